/** What a tracer asks for. @linux kernel/ptrace.c */

import { accessRemoteVm } from '../mm/access_process_vm.ts';
import { FOLL_FORCE, FOLL_WRITE } from '../mm/gup.ts';
import { CAP_SYS_PTRACE } from '../uapi/capability.ts';
import { EINVAL, EIO, EPERM, ESRCH } from '../uapi/errno.ts';
import {
  PTRACE_CONT,
  PTRACE_EVENT_EXEC,
  PTRACE_EVENT_SHIFT,
  PTRACE_EVENT_STOP,
  PTRACE_O_MASK,
  PTRACE_O_SUSPEND_SECCOMP,
  PTRACE_SYSCALL,
} from '../uapi/ptrace.ts';
import { NSIG, SIGKILL, SIGSTOP, SIGTRAP, SI_KERNEL, SI_USER } from '../uapi/signal.ts';
import { capable, getDumpable } from './cred.ts';
import { ptraceDetachTask } from './exit.ts';
import {
  JOBCTL_LISTENING,
  JOBCTL_TRAP_NOTIFY,
  JOBCTL_TRAP_STOP,
  fatalSignalPending,
  taskSetJobctlPending,
} from './jobctl.ts';
import type { Kernel } from './kernel.ts';
import { ptraceLink, ptraceMayAttach } from './ptrace.ts';
import { doJobctlTrap } from './ptrace_stop.ts';
import { ptraceSignalWakeUp, sendSignal, sigInfo, userSigInfo } from './signal.ts';
import { UNBLOCKABLE } from './sigset.ts';
import {
  EXIT_DEAD,
  EXIT_ZOMBIE,
  TASK_STOPPED,
  TASK_TRACED,
  type SigInfo,
  type SigSet,
  type Task,
} from './task.ts';

/** @returns 0 or -EINVAL. @linux kernel/ptrace.c:check_ptrace_options */
function checkOptions(options: number): number {
  if (options > PTRACE_O_MASK || (options & ~PTRACE_O_MASK) !== 0) return -EINVAL;
  return (options & PTRACE_O_SUSPEND_SECCOMP) === 0 ? 0 : -EINVAL;
}

/** @returns 0, -EIO or -EINVAL. @linux kernel/ptrace.c:ptrace_attach */
export function ptraceCheckSeize(addr: number, options: number): number {
  if (addr !== 0 || options > PTRACE_O_MASK || (options & ~PTRACE_O_MASK) !== 0) return -EIO;
  return checkOptions(options);
}

/**
 * PTRACE_ATTACH, which stops the task, and PTRACE_SEIZE, which does not.
 * @returns 0 or -EPERM.
 * @linux kernel/ptrace.c:ptrace_attach
 */
export function ptraceAttach(tracer: Task, task: Task, seize: boolean, options: number): number {
  if (task.signal === tracer.signal || !ptraceMayAttach(tracer, task)) return -EPERM;
  if (task.state === EXIT_ZOMBIE || task.state === EXIT_DEAD) return -EPERM;
  if (task.ptrace !== null) return -EPERM;
  ptraceLink(task, tracer, seize, options);
  if (!seize) sendSignal(task, sigInfo(SIGSTOP, SI_KERNEL), false);
  if (task.state === TASK_STOPPED && taskSetJobctlPending(task, JOBCTL_TRAP_STOP)) {
    doJobctlTrap(task, 0);
  }
  return 0;
}

/**
 * PTRACE_TRACEME: the parent becomes the tracer.
 * @returns 0; -EPERM when somebody is already, or when the parent is the host.
 * @linux kernel/ptrace.c:ptrace_traceme
 */
export function ptraceTraceme(task: Task): number {
  const { parent, parentTask } = task.signal;
  if (task.ptrace !== null || parent === null) return -EPERM;
  const known = parentTask !== null && parent.threads.includes(parentTask);
  const tracer = known ? parentTask : parent.threads[0];
  if (tracer === undefined) return -EPERM;
  ptraceLink(task, tracer, false, 0);
  return 0;
}

/** The tracee got another number by exec and its tracer does not know yet. @linux kernel/ptrace.c:looks_like_a_spurious_pid */
function looksLikeASpuriousPid(task: Task): boolean {
  const { exitCode, message } = task.ptraceStop!;
  return exitCode === ((PTRACE_EVENT_EXEC << PTRACE_EVENT_SHIFT) | SIGTRAP) && message !== task.pid;
}

/**
 * Whether `tracer` traces `task`, and it stands in a stop.
 * @param ignoreState it need not.
 * @returns 0 or -ESRCH.
 * @linux kernel/ptrace.c:ptrace_check_attach
 */
export function ptraceCheckAttach(tracer: Task, task: Task, ignoreState: boolean): number {
  if (task.ptrace?.tracer !== tracer) return -ESRCH;
  if (ignoreState) return 0;
  if (task.state !== TASK_TRACED || (task.jobctl & JOBCTL_LISTENING) !== 0) return -ESRCH;
  return fatalSignalPending(task) || looksLikeASpuriousPid(task) ? -ESRCH : 0;
}

/**
 * Memory of a tracee that has not given up being looked into since.
 * @returns 0 or -EIO.
 * @linux kernel/ptrace.c:ptrace_access_vm
 */
function accessVm(task: Task, addr: number, word: Uint8Array, flags: number): number {
  const { mm, ptrace } = task;
  if (mm === null) return -EIO;
  if (!getDumpable(mm) && !capable(ptrace!.tracer.cred, CAP_SYS_PTRACE)) return -EIO;
  return accessRemoteVm(mm, addr, word, flags) === word.length ? 0 : -EIO;
}

/** @returns 0 or -EIO. @linux kernel/ptrace.c:generic_ptrace_peekdata */
export function ptracePeek(task: Task, addr: number, word: Uint8Array): number {
  return accessVm(task, addr, word, FOLL_FORCE);
}

/** @returns 0 or -EIO. @linux kernel/ptrace.c:generic_ptrace_pokedata */
export function ptracePoke(task: Task, addr: number, word: Uint8Array): number {
  return accessVm(task, addr, word, FOLL_FORCE | FOLL_WRITE);
}

/** @returns 0 or -EINVAL. @linux kernel/ptrace.c:ptrace_setoptions */
export function ptraceSetOptions(task: Task, options: number): number {
  const err = checkOptions(options);
  if (err === 0) task.ptrace!.options = options;
  return err;
}

/** @returns -EINVAL in a stop without one. @linux kernel/ptrace.c:ptrace_setsiginfo */
export function ptraceSetSigInfo(task: Task, info: SigInfo): number {
  const stop = task.ptraceStop!;
  if (stop.info === null) return -EINVAL;
  stop.info = info;
  return 0;
}

/** The mask that counts once the call that has replaced it is over. */
export function ptraceGetSigmask(task: Task): SigSet {
  return task.savedSigmask ?? { lo: task.blockedLo, hi: task.blockedHi };
}

export function ptraceSetSigmask(task: Task, mask: SigSet): void {
  // What is pending is looked at when the task goes on.
  task.blockedLo = mask.lo & ~UNBLOCKABLE;
  task.blockedHi = mask.hi;
  task.savedSigmask = null;
}

/**
 * PTRACE_CONT and PTRACE_SYSCALL. There is no PTRACE_SINGLESTEP on riscv.
 * @param sig to go on with, 0 for none.
 * @returns 0 or -EIO.
 * @linux kernel/ptrace.c:ptrace_resume
 */
export function ptraceResume(task: Task, request: number, sig: number): number {
  if (sig > NSIG) return -EIO;
  task.ptrace!.syscallTrace = request === PTRACE_SYSCALL;
  if (request !== PTRACE_SYSCALL && request !== PTRACE_CONT) return -EIO;
  task.ptraceStop!.exitCode = sig;
  task.makeRunnable();
  return 0;
}

/** @returns 0 or -EIO. @linux kernel/ptrace.c:ptrace_detach */
export function ptraceDetach(kernel: Kernel, tracer: Task, task: Task, sig: number): number {
  if (sig > NSIG) return -EIO;
  task.ptraceStop!.exitCode = sig;
  ptraceDetachTask(kernel, tracer, task);
  return 0;
}

/** PTRACE_KILL. */
export function ptraceKill(tracer: Task, task: Task): number {
  return sendSignal(task, userSigInfo(tracer, SIGKILL, SI_USER), false);
}

/**
 * PTRACE_INTERRUPT: a stop without a signal.
 * @returns 0; -EIO for a task that was not seized.
 */
export function ptraceInterrupt(task: Task): number {
  if (!task.ptrace!.seized) return -EIO;
  if (taskSetJobctlPending(task, JOBCTL_TRAP_STOP)) {
    ptraceSignalWakeUp(task, (task.jobctl & JOBCTL_LISTENING) !== 0);
  }
  return 0;
}

/**
 * PTRACE_LISTEN: the task stays in its group stop, and stops anew when that ends.
 * @returns 0; -EIO in another stop.
 */
export function ptraceListen(task: Task): number {
  const { info } = task.ptraceStop!;
  if (!task.ptrace!.seized || info === null) return -EIO;
  if (info.code >>> PTRACE_EVENT_SHIFT !== PTRACE_EVENT_STOP) return -EIO;
  task.jobctl |= JOBCTL_LISTENING;
  if ((task.jobctl & JOBCTL_TRAP_NOTIFY) !== 0) ptraceSignalWakeUp(task, true);
  return 0;
}
