/** Waiting for files: operations say -EAGAIN, and here the task goes to sleep until that changes. */

import type { File } from '../fs/fs_types.ts';
import { TaskPollTable, vfsPoll } from '../fs/poll.ts';
import { fileTty, ttyCheckChange } from '../fs/tty.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { sleepInterruptible } from '../kernel/sched.ts';
import {
  killProcessGroup,
  sendSignal,
  sigHandlerIgnored,
  sigInfo,
  userSigInfo,
} from '../kernel/signal.ts';
import type { Task } from '../kernel/task.ts';
import { strncpyFromUser } from '../mm/uaccess.ts';
import { EAGAIN, EIO, EPIPE, ERESTARTSYS } from '../uapi/errno.ts';
import { O_NONBLOCK, PATH_MAX } from '../uapi/fcntl.ts';
import { SIGPIPE, SIGTTIN, SI_USER } from '../uapi/signal.ts';

/** A path argument. @returns the byte string, -EFAULT or -ENAMETOOLONG. */
export function getname(task: Task, addr: number): string | number {
  return strncpyFromUser(task.mm!, addr, PATH_MAX);
}

/** Sleeps until the file may have become ready, unless it is non-blocking. @returns SLEEP, -EAGAIN or -ERESTARTSYS. */
export function waitForFile(task: Task, file: File): number {
  if ((file.flags & O_NONBLOCK) !== 0) return -EAGAIN;
  vfsPoll(file, new TaskPollTable(task));
  return sleepInterruptible(task);
}

/** SIGPIPE for a write that nobody reads. @returns -EPIPE. */
export function brokenPipe(task: Task): number {
  sendSignal(task, userSigInfo(task, SIGPIPE, SI_USER), false);
  return -EPIPE;
}

/**
 * Job control: a background process may not use its terminal.
 * @returns 0, or -ERESTARTSYS with the process group signalled, or -EIO when it ignores that.
 */
export function checkTerminal(kernel: Kernel, task: Task, file: File, write: boolean): number {
  const tty = fileTty(file);
  if (tty === undefined) return 0;
  const sig = ttyCheckChange(tty, task, write);
  if (sig === 0) return 0;
  const blocked = (task.blockedLo & (1 << (sig - 1))) !== 0;
  if (blocked || sigHandlerIgnored(task.sighand, sig)) return sig === SIGTTIN ? -EIO : 0;
  killProcessGroup(kernel, task.signal.pgrp, sig);
  return -ERESTARTSYS;
}

/** Signal with kernel origin for the calling thread. */
export function raise(task: Task, sig: number, code: number): void {
  sendSignal(task, sigInfo(sig, code), false);
}
