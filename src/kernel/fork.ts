/**
 * clone(2) in all its shapes: fork, vfork, posix_spawn's and threads.
 *
 * fork is what cowshed is for, so nothing here allocates beyond the new task's own few
 * objects: handlers, limits and credentials are shared until one side writes them, and
 * registers of dead tasks are reused.
 *
 * @linux kernel/fork.c
 */

import { REGS_PC, REGS_X, saveRegs, type Regs } from '../arch/riscv/hart_state.ts';
import { fromHalves, highHalf, lowHalf } from '../lib/bits.ts';
import { dupMm } from '../mm/fork.ts';
import { MMF_COW_PTE, MMF_COW_PTE_READY } from '../mm/mm_struct.ts';
import type { MmStruct } from '../mm/mm_types.ts';
import { putUser32 } from '../mm/uaccess.ts';
import { EAGAIN, EFAULT, EINVAL, ENOMEM, EPERM } from '../uapi/errno.ts';
import { CAP_SYS_ADMIN } from '../uapi/capability.ts';
import { PTRACE_EVENT_CLONE, PTRACE_EVENT_FORK, PTRACE_EVENT_VFORK } from '../uapi/ptrace.ts';
import { PIDFD_AUTOKILL, PIDFD_THREAD } from '../uapi/pidfd.ts';
import { RLIMIT_NOFILE, RLIMIT_NPROC } from '../uapi/resource.ts';
import {
  CLONE_AUTOREAP_HI,
  CLONE_CHILD_CLEARTID,
  CLONE_CHILD_SETTID,
  CLONE_CLEAR_SIGHAND_HI,
  CLONE_DETACHED,
  CLONE_FILES,
  CLONE_FS,
  CLONE_NEWCGROUP,
  CLONE_NEWIPC,
  CLONE_NEWNET,
  CLONE_NEWNS,
  CLONE_NEWPID,
  CLONE_NEWUSER,
  CLONE_NEWUTS,
  CLONE_NNP_HI,
  CLONE_PARENT,
  CLONE_PARENT_SETTID,
  CLONE_PIDFD,
  CLONE_PIDFD_AUTOKILL_HI,
  CLONE_PTRACE,
  CLONE_SETTLS,
  CLONE_SIGHAND,
  CLONE_THREAD,
  CLONE_UNTRACED,
  CLONE_VFORK,
  CLONE_VM,
} from '../uapi/sched.ts';
import { NSIG, SIGCHLD } from '../uapi/signal.ts';
import { capable } from './cred.ts';
import { taskJoinGroupStop } from './jobctl.ts';
import type { Kernel } from './kernel.ts';
import { isRestart } from './entry.ts';
import { waitForUffdEvents } from './userfaultfd.ts';
import { mmputTask } from './mm_release.ts';
import { pidfsAllocFile, taskPid } from './pidfd.ts';
import { ptraceInitTask, ptraceUnlink } from './ptrace.ts';
import { ptraceEvent, ptraceEventEnabled } from './ptrace_stop.ts';
import { NO_RETURN, sleepKillable } from './sched.ts';
import { flushSignalHandlers } from './signal.ts';
import {
  PtraceStop,
  RESUME_EVENT,
  RESUME_SYSCALL_ENTRY,
  RESUME_SYSCALL_EXIT,
  RESUME_VFORK,
  SighandStruct,
  Task,
  linkChild,
  unlinkChild,
  type TaskShared,
} from './task.ts';

const CLONE_NAMESPACES =
  CLONE_NEWNS |
  CLONE_NEWCGROUP |
  CLONE_NEWUTS |
  CLONE_NEWIPC |
  CLONE_NEWUSER |
  CLONE_NEWPID |
  CLONE_NEWNET;

const REG_SP = 2;
const REG_TP = 4;
const REG_A0 = 10;
const ECALL_BYTES = 4;

/** What clone and clone3 ask for. Addresses are 0 when not given. */
export interface KernelCloneArgs {
  /** CLONE_* without the exit signal. */
  readonly flags: number;
  /** CLONE_*_HI, which only clone3 can say. */
  readonly high: number;
  readonly exitSignal: number;
  /** Stack pointer of the child; 0 keeps the parent's. */
  readonly stack: number;
  readonly tls: number;
  readonly parentTid: number;
  readonly childTid: number;
  /** Where the descriptor goes with CLONE_PIDFD. */
  readonly pidfd: number;
}

/** CLONE_AUTOREAP and kin. @returns 0, -EINVAL or -EPERM. */
function checkHighFlags(parent: Task, args: KernelCloneArgs): number {
  const { flags, high } = args;
  const autoreap = (high & CLONE_AUTOREAP_HI) !== 0;
  if (autoreap && args.exitSignal !== 0) return -EINVAL;
  if (autoreap && (flags & (CLONE_THREAD | CLONE_PARENT)) !== 0) return -EINVAL;
  if ((flags & CLONE_PARENT) !== 0 && parent.signal.autoreap) return -EINVAL;
  const nnp = (high & CLONE_NNP_HI) !== 0;
  if (nnp && (flags & CLONE_THREAD) !== 0) return -EINVAL;
  if ((high & CLONE_PIDFD_AUTOKILL_HI) === 0) return 0;
  if ((flags & CLONE_PIDFD) === 0 || !autoreap) return -EINVAL;
  // A child that could gain rights may be killed only by those who have them.
  return nnp || capable(parent.cred, CAP_SYS_ADMIN) ? 0 : -EPERM;
}

/** Combinations that cannot be. @returns 0, -EINVAL or -EPERM. @linux copy_process */
function checkCloneFlags(parent: Task, args: KernelCloneArgs): number {
  const { flags } = args;
  if ((flags & CLONE_THREAD) !== 0 && (flags & CLONE_SIGHAND) === 0) return -EINVAL;
  if ((flags & CLONE_SIGHAND) !== 0 && (flags & CLONE_VM) === 0) return -EINVAL;
  const clearSighand = (args.high & CLONE_CLEAR_SIGHAND_HI) !== 0;
  if ((flags & CLONE_SIGHAND) !== 0 && clearSighand) return -EINVAL;
  if ((flags & (CLONE_NEWNS | CLONE_FS)) === (CLONE_NEWNS | CLONE_FS)) return -EINVAL;
  if ((flags & CLONE_NAMESPACES) !== 0) return -EPERM;
  if ((flags & (CLONE_PIDFD | CLONE_DETACHED)) === (CLONE_PIDFD | CLONE_DETACHED)) return -EINVAL;
  const twoResults = CLONE_PIDFD | CLONE_PARENT_SETTID;
  if ((flags & twoResults) === twoResults && args.pidfd === args.parentTid) return -EINVAL;
  if (args.exitSignal < 0 || args.exitSignal > NSIG) return -EINVAL;
  return checkHighFlags(parent, args);
}

function copySighand(old: SighandStruct, args: KernelCloneArgs): SighandStruct {
  if ((args.flags & CLONE_SIGHAND) !== 0) {
    old.users++;
    return old;
  }
  old.shared = true;
  const sighand = new SighandStruct(old.actions, true);
  if ((args.high & CLONE_CLEAR_SIGHAND_HI) !== 0) flushSignalHandlers(sighand, false);
  return sighand;
}

/** The child's address space. @returns null when memory is out. */
function copyMm(old: MmStruct, flags: number): MmStruct | null {
  if ((flags & CLONE_VM) === 0) return dupMm(old);
  enableCowPte(old);
  old.users++;
  return old;
}

/**
 * COW page tables asked for before become active at the next clone of any kind.
 * @patch 14/14
 */
function enableCowPte(mm: MmStruct): void {
  if ((mm.flags & MMF_COW_PTE_READY) === 0) return;
  mm.flags = (mm.flags & ~MMF_COW_PTE_READY) | MMF_COW_PTE;
}

function addPc(regs: Regs, by: number): void {
  const pc = fromHalves(regs[REGS_PC]!, regs[REGS_PC + 1]!) + by;
  regs[REGS_PC] = lowHalf(pc);
  regs[REGS_PC + 1] = highHalf(pc);
}

/** Child registers: the parent's after the ecall, returning 0, on its own stack and TLS if given. */
function copyThreadRegs(kernel: Kernel, parent: Task, child: Task, args: KernelCloneArgs): void {
  const { regs } = child;
  if (kernel.current === parent) saveRegs(kernel.ram, regs);
  else regs.set(parent.regs);
  regs[REGS_X + 2 * REG_A0] = 0;
  regs[REGS_X + 2 * REG_A0 + 1] = 0;
  addPc(regs, ECALL_BYTES);
  if (args.stack !== 0) {
    regs[REGS_X + 2 * REG_SP] = lowHalf(args.stack);
    regs[REGS_X + 2 * REG_SP + 1] = highHalf(args.stack);
  }
  if ((args.flags & CLONE_SETTLS) !== 0) {
    regs[REGS_X + 2 * REG_TP] = lowHalf(args.tls);
    regs[REGS_X + 2 * REG_TP + 1] = highHalf(args.tls);
  }
}

/** Whether the user may have one more process. Root is not counted. */
function overProcessLimit(kernel: Kernel, task: Task): boolean {
  const limit = task.signal.limits.soft[RLIMIT_NPROC]!;
  if (task.cred.uid === 0 || kernel.tasks.size < limit) return false;
  let n = 0;
  for (const other of kernel.tasks.values()) if (other.cred.uid === task.cred.uid) n++;
  return n >= limit;
}

function inheritTask(child: Task, parent: Task, args: KernelCloneArgs): void {
  child.blockedLo = parent.blockedLo;
  child.blockedHi = parent.blockedHi;
  child.personality = parent.personality;
  child.noNewPrivs = parent.noNewPrivs || (args.high & CLONE_NNP_HI) !== 0;
  child.nice = parent.nice;
  child.schedPolicy = parent.schedPolicy;
  // A thread starts without an alternate stack; vfork's child borrows the parent's.
  if ((args.flags & (CLONE_VM | CLONE_VFORK)) !== CLONE_VM) {
    child.sasSp = parent.sasSp;
    child.sasSize = parent.sasSize;
    child.sasFlags = parent.sasFlags;
  }
  if ((args.flags & CLONE_CHILD_CLEARTID) !== 0) child.clearChildTid = args.childTid;
}

function joinFamily(child: Task, parent: Task, args: KernelCloneArgs): void {
  const { signal } = child;
  if ((args.flags & CLONE_THREAD) !== 0) {
    signal.threads.push(child);
    taskJoinGroupStop(child, parent);
    return;
  }
  signal.pgrp = parent.signal.pgrp;
  signal.session = parent.signal.session;
  signal.oomScoreAdj = parent.signal.oomScoreAdj;
  signal.autoreap = (args.high & CLONE_AUTOREAP_HI) !== 0;
  const sibling = (args.flags & CLONE_PARENT) !== 0;
  linkChild(sibling ? parent.signal.parent : parent.signal, signal);
  signal.parentTask = sibling ? parent.signal.parentTask : parent;
}

/**
 * A new task that is a copy of `parent`, not yet running.
 * @returns the task, -EINVAL, -EPERM, -EAGAIN or -ENOMEM.
 * @linux kernel/fork.c:copy_process
 */
export function copyProcess(kernel: Kernel, parent: Task, args: KernelCloneArgs): Task | number {
  const { flags } = args;
  const err = checkCloneFlags(parent, args);
  if (err !== 0) return err;
  if (overProcessLimit(kernel, parent)) return -EAGAIN;
  const pid = kernel.allocPid();
  if (pid === 0) return -EAGAIN;
  const mm = copyMm(parent.mm!, flags);
  if (mm === null) return -ENOMEM;
  const thread = (flags & CLONE_THREAD) !== 0;
  const shared: TaskShared = {
    mm,
    files: (flags & CLONE_FILES) !== 0 ? parent.files.share() : parent.files.clone(),
    fs: (flags & CLONE_FS) !== 0 ? parent.fs.share() : parent.fs.clone(),
    sighand: copySighand(parent.sighand, args),
    signal: thread ? parent.signal : null,
    cred: parent.cred,
    comm: parent.comm,
    exitSignal: thread ? -1 : args.exitSignal,
    limits: parent.signal.limits,
  };
  const tgid = thread ? parent.tgid : pid;
  const child = new Task(pid, tgid, kernel.runQueue, kernel.spareRegs.pop(), parent, shared);
  child.startTime = kernel.sliceStart;
  inheritTask(child, parent, args);
  copyThreadRegs(kernel, parent, child, args);
  joinFamily(child, parent, args);
  kernel.tasks.set(pid, child);
  kernel.forks++;
  if ((flags & CLONE_VM) === 0) kernel.pgdat.events?.forked(parent.tgid, child.tgid);
  return child;
}

/** Undoes copyProcess(): the child has never run and nobody knows of it. @linux kernel/fork.c:bad_fork_* */
function abandonProcess(kernel: Kernel, child: Task): void {
  const { signal } = child;
  kernel.tasks.delete(child.pid);
  kernel.forks--;
  if (child.ptrace !== null) ptraceUnlink(child);
  if (child === signal.leader) unlinkChild(signal);
  else signal.threads.pop();
  mmputTask(kernel, child);
  child.files.put();
  child.fs.put();
  child.sighand.users--;
  kernel.recycleRegs(child.regs);
}

/**
 * CLONE_PIDFD: a descriptor for the child in the parent's table, its number at args.pidfd.
 * @returns 0, -EMFILE or -EFAULT.
 */
function installPidfd(task: Task, child: Task, args: KernelCloneArgs): number {
  const { vfs } = task.fs.root.mnt.sb;
  const flags = (args.flags & CLONE_THREAD) === 0 ? 0 : PIDFD_THREAD;
  const file = pidfsAllocFile(vfs, taskPid(child), flags);
  const fd = task.files.alloc(file, 0, true, task.signal.limits.soft[RLIMIT_NOFILE]!);
  if (fd < 0) {
    file.putFile();
    return fd;
  }
  if (putUser32(task.mm!, args.pidfd, fd) !== 0) {
    task.files.close(fd);
    return -EFAULT;
  }
  if ((args.high & CLONE_PIDFD_AUTOKILL_HI) !== 0) file.flags |= PIDFD_AUTOKILL;
  return 0;
}

/** The event that a clone is to its tracer; 0 if the tracer does not want to know. @linux kernel/fork.c:kernel_clone */
function cloneEvent(task: Task, args: KernelCloneArgs): number {
  const { flags } = args;
  if (task.ptrace === null || (flags & CLONE_UNTRACED) !== 0) return 0;
  let event = args.exitSignal === SIGCHLD ? PTRACE_EVENT_FORK : PTRACE_EVENT_CLONE;
  if ((flags & CLONE_VFORK) !== 0) event = PTRACE_EVENT_VFORK;
  return ptraceEventEnabled(task, event) ? event : 0;
}

/** Stops a tracee that has made `child`, and notes whom its vfork has to wait for. */
function reportClone(task: Task, child: Task, event: number, vfork: boolean): void {
  const stop = event === 0 ? null : ptraceEvent(task, event, child.pid, RESUME_EVENT);
  if (stop !== null) {
    if (vfork) stop.vforkChild = child;
  } else if (vfork) {
    task.ptraceStop = new PtraceStop(RESUME_VFORK, 0, null, 0);
    task.ptraceStop.vforkChild = child;
    sleepKillable(task);
  }
}

/**
 * clone(2) for the current task: the child is runnable when it returns. A vfork parent is
 * left asleep, its call complete; a tracee may be left stopped, its call not yet complete.
 * @returns pid of the child or -errno as copyProcess(); -EMFILE or -EFAULT for CLONE_PIDFD.
 * @linux kernel/fork.c:kernel_clone
 */
export function kernelClone(kernel: Kernel, task: Task, args: KernelCloneArgs): number {
  const child = copyProcess(kernel, task, args);
  if (typeof child === 'number') return child;
  const { flags } = args;
  const { pid } = child;
  if ((flags & CLONE_PIDFD) !== 0) {
    const err = installPidfd(task, child, args);
    if (err !== 0) {
      abandonProcess(kernel, child);
      return err;
    }
  }
  if ((flags & CLONE_PARENT_SETTID) !== 0) putUser32(task.mm!, args.parentTid, pid);
  if ((flags & CLONE_CHILD_SETTID) !== 0) putUser32(child.mm!, args.childTid, pid);
  const vfork = (flags & CLONE_VFORK) !== 0;
  if (vfork) child.vforkParent = task;
  const event = cloneEvent(task, args);
  if (event !== 0 || (flags & CLONE_PTRACE) !== 0) ptraceInitTask(child, task);
  child.makeRunnable();
  waitForUffdEvents(task, task.mm!);
  if (task.ptrace !== null) reportClone(task, child, event, vfork);
  else if (vfork) sleepKillable(task);
  return pid;
}

const NO_CLONE_ARGS: KernelCloneArgs = {
  flags: 0,
  high: 0,
  exitSignal: SIGCHLD,
  stack: 0,
  tls: 0,
  parentTid: 0,
  childTid: 0,
  pidfd: 0,
};

/**
 * A copy of a task that stands in a ptrace stop is not traced: it makes the call that the task
 * is about to make, or goes on after the one it has made.
 */
function forgetPtraceStop(child: Task, original: Task): void {
  const stop = original.ptraceStop;
  if (stop === null) return;
  const { regs } = child;
  const a0 = REGS_X + 2 * REG_A0;
  const { resume, code } = stop;
  if (resume === RESUME_SYSCALL_ENTRY || (resume === RESUME_SYSCALL_EXIT && isRestart(code))) {
    regs[a0] = stop.origA0Lo;
    regs[a0 + 1] = stop.origA0Hi;
    addPc(regs, -ECALL_BYTES);
  } else if ((resume === RESUME_EVENT || resume === RESUME_VFORK) && code !== NO_RETURN) {
    regs[a0] = lowHalf(code);
    regs[a0 + 1] = highHalf(code);
  }
}

/** One more thread of a process the host has cloned, a copy of `thread`. @returns whether there was a pid for it. */
function cloneThread(kernel: Kernel, leader: Task, thread: Task): boolean {
  const pid = kernel.allocPid();
  if (pid === 0) return false;
  leader.mm!.users++;
  leader.sighand.users++;
  const shared: TaskShared = {
    mm: leader.mm,
    files: leader.files.share(),
    fs: leader.fs.share(),
    sighand: leader.sighand,
    signal: leader.signal,
    cred: thread.cred,
    comm: thread.comm,
    exitSignal: -1,
    limits: leader.signal.limits,
  };
  const child = new Task(pid, leader.tgid, kernel.runQueue, undefined, leader, shared);
  inheritTask(child, thread, NO_CLONE_ARGS);
  child.clearChildTid = thread.clearChildTid;
  child.robustList = thread.robustList;
  child.regs.set(thread.regs);
  forgetPtraceStop(child, thread);
  leader.signal.threads.push(child);
  kernel.tasks.set(pid, child);
  return true;
}

/**
 * A copy of a whole process for the host: all threads, registers and all, as a child of the
 * host. A system call that sleeps in the original is made again by the copy. The copy is not
 * running yet, so that its descriptors can be changed. No task may be on the hart.
 * @returns its leader, -EAGAIN or -ENOMEM.
 */
export function cloneForHost(kernel: Kernel, leader: Task): Task | number {
  const child = copyProcess(kernel, leader, NO_CLONE_ARGS);
  if (typeof child === 'number') return child;
  // The host does not wait for those who want to know of it.
  leader.mm!.uffdEvents = [];
  unlinkChild(child.signal);
  child.regs.set(leader.regs);
  forgetPtraceStop(child, leader);
  child.clearChildTid = leader.clearChildTid;
  child.robustList = leader.robustList;
  for (const thread of leader.signal.threads) {
    if (thread !== leader) cloneThread(kernel, child, thread);
  }
  return child;
}
