/** Processes, threads and identities: arguments to kernel/. @linux kernel/fork.c, exit.c, sys.c SYSCALL_DEFINE* */

import {
  CLONE_ARGS_CHILD_TID,
  CLONE_ARGS_EXIT_SIGNAL,
  CLONE_ARGS_FLAGS,
  CLONE_ARGS_PARENT_TID,
  CLONE_ARGS_PIDFD,
  CLONE_ARGS_SET_TID,
  CLONE_ARGS_SIZE_VER0,
  CLONE_ARGS_SIZE_VER2,
  CLONE_ARGS_STACK,
  CLONE_ARGS_STACK_SIZE,
  CLONE_ARGS_TLS,
  CLONE_AUTOREAP_HI,
  CLONE_CLEAR_SIGHAND_HI,
  CLONE_DETACHED,
  CLONE_NNP_HI,
  CLONE_PIDFD_AUTOKILL_HI,
  CSIGNAL,
} from '../uapi/sched.ts';
import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import { LOOKUP_EMPTY, pathLookup } from '../fs/namei.ts';
import { atPath, openExec } from '../fs/open.ts';
import { getU64 } from '../lib/bits.ts';
import type { MmStruct } from '../mm/mm_types.ts';
import {
  copyFromUser,
  copyToUser,
  getUser64,
  putUser32,
  putUser64,
  strncpyFromUser,
} from '../mm/uaccess.ts';
import {
  E2BIG,
  EACCES,
  EAGAIN,
  EBADF,
  EFAULT,
  EINVAL,
  ELOOP,
  ENAMETOOLONG,
  EPERM,
  ESRCH,
} from '../uapi/errno.ts';
import { AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, O_NONBLOCK, PATH_MAX } from '../uapi/fcntl.ts';
import { isLnk } from '../uapi/stat.ts';
import {
  P_ALL,
  P_PGID,
  P_PID,
  P_PIDFD,
  WALL,
  WCLONE,
  WCONTINUED,
  WEXITED,
  WNOHANG,
  WNOWAIT,
  WSTOPPED,
  WNOTHREAD,
  WUNTRACED,
} from '../uapi/wait.ts';
import { SIGCHLD, SIGINFO_BYTES } from '../uapi/signal.ts';
import { doExecve } from '../kernel/exec.ts';
import { ARG_STRINGS_MAX, MAX_ARG_STRLEN, POINTER } from '../kernel/exec_stack.ts';
import { WaitResult, doWait, sysExit, sysExitGroup } from '../kernel/exit.ts';
import { kernelClone, type KernelCloneArgs } from '../kernel/fork.ts';
import { HOST_PID, type Kernel } from '../kernel/kernel.ts';
import { pidfdPid } from '../kernel/pidfd.ts';
import { sigInfo } from '../kernel/signal.ts';
import { putSigInfo } from '../kernel/sigframe.ts';
import type { Task } from '../kernel/task.ts';
import { putRusage } from '../kernel/sys.ts';
import type { SyscallArgs } from './args.ts';

/** struct robust_list_head. */
const ROBUST_LIST_HEAD_BYTES = 24;

export function sysCloneCall(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const flags = args.int(0);
  const clone: KernelCloneArgs = {
    flags: flags & ~CSIGNAL,
    high: 0,
    exitSignal: flags & CSIGNAL,
    stack: args.ulong(1),
    parentTid: args.ulong(2),
    pidfd: args.ulong(2),
    tls: args.ulong(3),
    childTid: args.ulong(4),
  };
  return kernelClone(kernel, task, clone);
}

/** Copies struct clone_args, whose unknown tail must be zero. @returns its first 88 bytes or -errno. */
function copyCloneArgs(task: Task, addr: number, size: number): DataView | number {
  if (size < CLONE_ARGS_SIZE_VER0) return -EINVAL;
  if (size > PAGE_SIZE) return -E2BIG;
  const bytes = new Uint8Array(Math.max(size, CLONE_ARGS_SIZE_VER2));
  if (copyFromUser(task.mm!, bytes.subarray(0, size), addr) !== 0) return -EFAULT;
  for (let i = CLONE_ARGS_SIZE_VER2; i < size; i++) if (bytes[i] !== 0) return -E2BIG;
  return new DataView(bytes.buffer);
}

const KNOWN_CLONE_HI =
  CLONE_CLEAR_SIGHAND_HI | CLONE_AUTOREAP_HI | CLONE_NNP_HI | CLONE_PIDFD_AUTOKILL_HI;

export function sysClone3(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const view = copyCloneArgs(task, args.ulong(0), args.ulong(1));
  if (typeof view === 'number') return view;
  const field = (at: number): number => getU64(view, at);
  const high = view.getUint32(CLONE_ARGS_FLAGS + 4, true);
  const low = view.getInt32(CLONE_ARGS_FLAGS, true);
  const stack = field(CLONE_ARGS_STACK);
  const stackSize = field(CLONE_ARGS_STACK_SIZE);
  if ((high & ~KNOWN_CLONE_HI) !== 0) return -EINVAL;
  if ((low & (CSIGNAL | CLONE_DETACHED)) !== 0) return -EINVAL;
  if ((stack === 0) !== (stackSize === 0)) return -EINVAL;
  if (field(CLONE_ARGS_SET_TID) !== 0) return -EPERM;
  const exitSignal = field(CLONE_ARGS_EXIT_SIGNAL);
  return kernelClone(kernel, task, {
    flags: low,
    high,
    exitSignal: exitSignal > CSIGNAL ? -1 : exitSignal,
    stack: stack + stackSize,
    parentTid: field(CLONE_ARGS_PARENT_TID),
    tls: field(CLONE_ARGS_TLS),
    childTid: field(CLONE_ARGS_CHILD_TID),
    pidfd: field(CLONE_ARGS_PIDFD),
  });
}

/**
 * Reads a NULL-terminated array of strings, and no more than a stack can take of it: the
 * pointers may all name one long string.
 * @returns the byte strings, -EFAULT or -E2BIG.
 * @linux fs/exec.c:copy_strings
 */
export function copyStrings(mm: MmStruct, addr: number): string[] | number {
  const strings: string[] = [];
  if (addr === 0) return strings;
  let room = ARG_STRINGS_MAX;
  for (let at = addr; ; at += POINTER) {
    const pointer = getUser64(mm, at);
    if (pointer < 0) return -EFAULT;
    if (pointer === 0) return strings;
    const text = strncpyFromUser(mm, pointer, MAX_ARG_STRLEN);
    if (typeof text === 'number') return text === -ENAMETOOLONG ? -E2BIG : text;
    room -= text.length + 1 + POINTER;
    if (room < 0) return -E2BIG;
    strings.push(text);
  }
}

function execve(kernel: Kernel, task: Task, path: string, argv: number, envp: number): number {
  const args = copyStrings(task.mm!, argv);
  if (typeof args === 'number') return args;
  const env = copyStrings(task.mm!, envp);
  if (typeof env === 'number') return env;
  const file = openExec(task.fs, task, path);
  if (typeof file === 'number') return file;
  return doExecve(kernel, task, file, path, args, env);
}

export function sysExecve(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const path = strncpyFromUser(task.mm!, args.ulong(0), PATH_MAX);
  if (typeof path === 'number') return path;
  return execve(kernel, task, path, args.ulong(1), args.ulong(2));
}

export function sysExecveat(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const path = strncpyFromUser(task.mm!, args.ulong(1), PATH_MAX);
  if (typeof path === 'number') return path;
  const flags = args.int(4);
  if ((flags & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)) !== 0) return -EINVAL;
  if ((flags & AT_SYMLINK_NOFOLLOW) !== 0) {
    const found = pathLookup(task, args.int(0), path, LOOKUP_EMPTY);
    if (typeof found === 'number') return found;
    if (isLnk(found.dentry.inode.mode)) return -ELOOP;
  }
  const full = atPath(task.fs, task.files, args.int(0), path, flags);
  if (typeof full === 'number') return full;
  return execve(kernel, task, full, args.ulong(2), args.ulong(3));
}

export function sysExitCall(kernel: Kernel, task: Task, args: SyscallArgs): number {
  return sysExit(kernel, task, args.int(0));
}

export function sysExitGroupCall(kernel: Kernel, task: Task, args: SyscallArgs): number {
  return sysExitGroup(kernel, task, args.int(0));
}

const WHICH_CHILDREN = WNOTHREAD | WALL | WCLONE;
const WAIT4_OPTIONS = WNOHANG | WUNTRACED | WCONTINUED | WHICH_CHILDREN;

export function sysWait4(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const upid = args.int(0);
  const options = args.int(2);
  if ((options & ~WAIT4_OPTIONS) !== 0) return -EINVAL;
  let idType = P_PID;
  let id = upid;
  if (upid === -0x8000_0000) return -ESRCH;
  if (upid === -1) idType = P_ALL;
  else if (upid <= 0) {
    idType = P_PGID;
    id = upid === 0 ? task.signal.pgrp : -upid;
  }
  const result = new WaitResult();
  const opts = { idType, id, options: options | WEXITED };
  const pid = doWait(kernel, task, opts, result);
  if (pid <= 0) return pid;
  const mm = task.mm!;
  const status = args.ulong(1);
  const rusage = args.ulong(3);
  if (status !== 0 && putUser32(mm, status, result.status) !== 0) return -EFAULT;
  if (rusage !== 0 && putRusage(mm, rusage, result) !== 0) return -EFAULT;
  return pid;
}

const WAITID_OPTIONS = WNOHANG | WNOWAIT | WEXITED | WSTOPPED | WCONTINUED | WHICH_CHILDREN;

/** Whom waitid() is for. */
interface WaitidTarget {
  readonly idType: number;
  readonly id: number;
  /** A non-blocking pidfd: -EAGAIN instead of sleep. */
  readonly noWait: boolean;
}

/** No process has it: a pidfd of one that is gone, or of a thread, finds no child. */
const NO_PID = -1;

/** @returns the target, -EINVAL or -EBADF. @linux kernel/exit.c:kernel_waitid_prepare */
function waitidTarget(task: Task, idType: number, id: number): WaitidTarget | number {
  switch (idType) {
    case P_ALL:
      return { idType, id, noWait: false };
    case P_PID:
      return id <= 0 ? -EINVAL : { idType, id, noWait: false };
    case P_PGID:
      if (id < 0) return -EINVAL;
      return { idType, id: id === 0 ? task.signal.pgrp : id, noWait: false };
    case P_PIDFD: {
      if (id < 0) return -EINVAL;
      const file = task.files.get(id);
      const pid = file === undefined ? null : pidfdPid(file);
      if (file === undefined || pid === null) return -EBADF;
      const noWait = (file.flags & O_NONBLOCK) !== 0;
      return { idType: P_PID, id: pid.task?.pid ?? NO_PID, noWait };
    }
    default:
      return -EINVAL;
  }
}

export function sysWaitid(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const options = args.int(3);
  if ((options & ~WAITID_OPTIONS) !== 0) return -EINVAL;
  if ((options & (WEXITED | WSTOPPED | WCONTINUED)) === 0) return -EINVAL;
  const which = waitidTarget(task, args.int(0), args.int(1));
  if (typeof which === 'number') return which;
  const { idType, id, noWait } = which;
  const result = new WaitResult();
  const opts = { idType, id, options: noWait ? options | WNOHANG : options };
  const pid = doWait(kernel, task, opts, result);
  if (pid < 0) return pid;
  if (pid === 0 && noWait && (options & WNOHANG) === 0) return -EAGAIN;
  const mm = task.mm!;
  const addr = args.ulong(2);
  if (addr !== 0) {
    const bytes = new Uint8Array(SIGINFO_BYTES);
    if (pid > 0) {
      const { uid, code, cause } = result;
      const info = sigInfo(SIGCHLD, code, { pid, uid, status: cause });
      putSigInfo(new DataView(bytes.buffer), 0, info);
    }
    if (copyToUser(mm, addr, bytes) !== 0) return -EFAULT;
  }
  const rusage = args.ulong(4);
  if (pid > 0 && rusage !== 0 && putRusage(mm, rusage, result) !== 0) return -EFAULT;
  return 0;
}

export function sysGetpid(_kernel: Kernel, task: Task): number {
  return task.tgid;
}

export function sysGettid(_kernel: Kernel, task: Task): number {
  return task.pid;
}

export function sysGetppid(_kernel: Kernel, task: Task): number {
  return task.signal.parent === null ? HOST_PID : task.signal.parent.tgid;
}

export function sysSetTidAddress(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  task.clearChildTid = args.ulong(0);
  return task.pid;
}

/** The process a pid argument names; 0 is the caller's own. */
function findProcess(kernel: Kernel, task: Task, pid: number): Task | undefined {
  return pid === 0 ? task.signal.leader : kernel.tasks.get(pid);
}

export function sysGetpgid(kernel: Kernel, task: Task, args: SyscallArgs): number {
  return findProcess(kernel, task, args.int(0))?.signal.pgrp ?? -ESRCH;
}

export function sysGetsid(kernel: Kernel, task: Task, args: SyscallArgs): number {
  return findProcess(kernel, task, args.int(0))?.signal.session ?? -ESRCH;
}

/** @linux kernel/sys.c:setpgid */
export function sysSetpgid(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const pid = args.int(0) === 0 ? task.tgid : args.int(0);
  const pgid = args.int(1) === 0 ? pid : args.int(1);
  if (pgid < 0) return -EINVAL;
  const target = kernel.tasks.get(pid);
  if (target === undefined || target.pid !== target.tgid) return -ESRCH;
  const { signal } = target;
  const own = signal === task.signal;
  if (!own && signal.parent !== task.signal) return -ESRCH;
  if (!own && signal.session !== task.signal.session) return -EPERM;
  if (!own && signal.didExec) return -EACCES;
  if (signal.session === signal.tgid) return -EPERM;
  if (pgid !== pid && !groupInSession(kernel, pgid, task.signal.session)) return -EPERM;
  signal.pgrp = pgid;
  return 0;
}

function groupInSession(kernel: Kernel, pgid: number, session: number): boolean {
  for (const task of kernel.tasks.values()) {
    if (task.signal.pgrp === pgid && task.signal.session === session) return true;
  }
  return false;
}

export function sysSetsid(kernel: Kernel, task: Task): number {
  const { signal } = task;
  for (const other of kernel.tasks.values()) {
    if (other.signal.pgrp === signal.tgid) return -EPERM;
  }
  signal.session = signal.tgid;
  signal.pgrp = signal.tgid;
  return signal.tgid;
}

export function sysSetRobustList(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  if (args.ulong(1) !== ROBUST_LIST_HEAD_BYTES) return -EINVAL;
  task.robustList = args.ulong(0);
  return 0;
}

export function sysGetRobustList(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const pid = args.int(0);
  const target = pid === 0 ? task : kernel.tasks.get(pid);
  if (target === undefined) return -ESRCH;
  const err = putUser64(task.mm!, args.ulong(1), target.robustList);
  return err !== 0 ? err : putUser64(task.mm!, args.ulong(2), ROBUST_LIST_HEAD_BYTES);
}
