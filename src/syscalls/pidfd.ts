/** Processes by descriptor. @linux kernel/pid.c, kernel/signal.c SYSCALL_DEFINE*(pidfd_*) */

import type { File } from '../fs/fs_types.ts';
import { isProcessDir } from '../fs/proc/base.ts';
import { getProcTask, ptraceMayAccess, taskHasExited } from '../fs/proc/pid.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { processMrelease } from '../kernel/oom_kill.ts';
import { pidfdGetTask, pidfdOpen, pidfdPid, taskPid } from '../kernel/pidfd.ts';
import { forEachInGroup, sendSignal, userSigInfo } from '../kernel/signal.ts';
import type { Pid, SigInfo, SignalStruct, Task } from '../kernel/task.ts';
import { EBADF, EINVAL, EPERM, ESRCH } from '../uapi/errno.ts';
import {
  PIDFD_SELF_THREAD,
  PIDFD_SELF_THREAD_GROUP,
  PIDFD_SIGNAL_PROCESS_GROUP,
  PIDFD_SIGNAL_THREAD,
  PIDFD_SIGNAL_THREAD_GROUP,
  PIDFD_THREAD,
} from '../uapi/pidfd.ts';
import { NSIG, SI_TKILL, SI_USER } from '../uapi/signal.ts';
import type { SyscallArgs } from './args.ts';
import { installFd } from './file.ts';
import { mayKill, readSigInfo } from './signal.ts';

export function sysPidfdOpen(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const { vfs } = task.fs.root.mnt.sb;
  const file = pidfdOpen(kernel, vfs, args.int(0), args.uint(1));
  return typeof file === 'number' ? file : installFd(task, file, true);
}

/** Whom a signal goes to. */
interface SignalTarget {
  readonly pid: Pid;
  /** PIDFD_SIGNAL_*. */
  readonly scope: number;
}

/** What a pidfd or an open /proc/PID means. @returns it, -EBADF or -ESRCH. @linux kernel/signal.c:pidfd_to_pid */
function signalPid(file: File): Pid | number {
  const pid = pidfdPid(file);
  if (pid !== null) return pid;
  if (!isProcessDir(file)) return -EBADF;
  const task = getProcTask(file.inode);
  return task === null ? -ESRCH : taskPid(task);
}

/** @returns the target, -EBADF or -ESRCH. */
function signalTarget(task: Task, fd: number, flags: number): SignalTarget | number {
  if (fd === PIDFD_SELF_THREAD) {
    return { pid: taskPid(task), scope: flags === 0 ? PIDFD_SIGNAL_THREAD : flags };
  }
  if (fd === PIDFD_SELF_THREAD_GROUP) {
    const scope = flags === 0 ? PIDFD_SIGNAL_THREAD_GROUP : flags;
    return { pid: taskPid(task.signal.leader), scope };
  }
  const file = task.files.get(fd);
  if (file === undefined) return -EBADF;
  const pid = signalPid(file);
  if (typeof pid === 'number') return pid;
  const own = (file.flags & PIDFD_THREAD) !== 0 ? PIDFD_SIGNAL_THREAD : PIDFD_SIGNAL_THREAD_GROUP;
  return { pid, scope: flags === 0 ? own : flags };
}

/** The siginfo to send. @returns it, -EFAULT, -EINVAL or -EPERM. */
function signalInfo(task: Task, to: SignalTarget, sig: number, addr: number): SigInfo | number {
  if (addr === 0) {
    return userSigInfo(task, sig, to.scope === PIDFD_SIGNAL_THREAD ? SI_TKILL : SI_USER);
  }
  const info = readSigInfo(task, addr, 0);
  if (typeof info === 'number') return info;
  if (info.signo !== sig) return -EINVAL;
  const toSelf = to.pid.task === task && to.scope !== PIDFD_SIGNAL_PROCESS_GROUP;
  const kernelLike = info.code >= 0 || info.code === SI_TKILL;
  return kernelLike && !toSelf ? -EPERM : info;
}

/** @linux kernel/signal.c:group_send_sig_info */
function sendTo(task: Task, target: Task, info: SigInfo, toGroup: boolean): number {
  if (info.signo < 0 || info.signo > NSIG) return -EINVAL;
  if (!mayKill(task, target.signal)) return -EPERM;
  return info.signo === 0 ? 0 : sendSignal(target, info, toGroup);
}

/** Succeeds if one member could be signalled. @linux kernel/signal.c:__kill_pgrp_info */
function sendToProcessGroup(kernel: Kernel, task: Task, pgrp: number, info: SigInfo): number {
  let result = -ESRCH;
  const visit = (member: SignalStruct): void => {
    const err = sendTo(task, member.leader, info, true);
    if (result !== 0) result = err;
  };
  forEachInGroup(kernel, pgrp, visit);
  return result;
}

const SIGNAL_SCOPES = PIDFD_SIGNAL_THREAD | PIDFD_SIGNAL_THREAD_GROUP | PIDFD_SIGNAL_PROCESS_GROUP;

export function sysPidfdSendSignal(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const flags = args.uint(3);
  if ((flags & ~SIGNAL_SCOPES) !== 0 || (flags & (flags - 1)) !== 0) return -EINVAL;
  const target = signalTarget(task, args.int(0), flags);
  if (typeof target === 'number') return target;
  const info = signalInfo(task, target, args.int(1), args.ulong(2));
  if (typeof info === 'number') return info;
  const { pid, scope } = target;
  if (scope === PIDFD_SIGNAL_PROCESS_GROUP) {
    return sendToProcessGroup(kernel, task, pid.nr, info);
  }
  if (pid.task === null) return -ESRCH;
  return sendTo(task, pid.task, info, scope === PIDFD_SIGNAL_THREAD_GROUP);
}

export function sysProcessMrelease(kernel: Kernel, task: Task, args: SyscallArgs): number {
  if (args.uint(1) !== 0) return -EINVAL;
  const target = pidfdGetTask(task, args.int(0));
  return typeof target === 'number' ? target : processMrelease(kernel, target.signal);
}

/** Copies a descriptor of another process, as if it had been sent. @linux kernel/pid.c:SYSCALL_DEFINE3(pidfd_getfd) */
export function sysPidfdGetfd(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  if (args.uint(2) !== 0) return -EINVAL;
  const pidFile = task.files.get(args.int(0));
  const pid = pidFile === undefined ? null : pidfdPid(pidFile);
  if (pid === null) return -EBADF;
  const target = pid.task;
  if (target === null) return -ESRCH;
  if (!ptraceMayAccess(task, target)) return -EPERM;
  if (taskHasExited(target)) return -ESRCH;
  const file = target.files.getRaw(args.int(1));
  if (file === undefined) return -EBADF;
  file.getFile();
  return installFd(task, file, true);
}
