/** splice, tee and vmsplice. @linux fs/splice.c SYSCALL_DEFINE* */

import type { File } from '../fs/fs_types.ts';
import {
  PIPE_BUF_FLAG_GIFT,
  pipeEmpty,
  pipeFull,
  type PipeInodeInfo,
  pipeOf,
} from '../fs/pipe_fs_i.ts';
import { TaskPollTable, vfsPoll } from '../fs/poll.ts';
import { AT_POS, seekable } from '../fs/read_write.ts';
import {
  iterToPipe,
  linkPipe,
  pipeToUser,
  spliceFileToPipe,
  splicePipeToFile,
  splicePipeToPipe,
} from '../fs/splice.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { sleepInterruptible } from '../kernel/sched.ts';
import type { Task } from '../kernel/task.ts';
import { IovIter } from '../mm/iov_iter.ts';
import { FMODE_READ, FMODE_WRITE } from '../mm/mm_types.ts';
import { getUser64, putUser64 } from '../mm/uaccess.ts';
import { EAGAIN, EBADF, EFAULT, EINVAL, EPIPE, ESPIPE } from '../uapi/errno.ts';
import {
  MAX_RW_COUNT,
  O_APPEND,
  O_NONBLOCK,
  SPLICE_F_ALL,
  SPLICE_F_GIFT,
  SPLICE_F_NONBLOCK,
} from '../uapi/fcntl.ts';
import type { SyscallArgs } from './args.ts';
import { importIovec, limitWrite } from './file_rw.ts';
import { brokenPipe, checkTerminal } from './file_wait.ts';

/** Sleeps until `file` may have become ready. @returns SLEEP, -EAGAIN or -ERESTARTSYS. */
function waitOn(task: Task, file: File, flags: number): number {
  if ((flags & SPLICE_F_NONBLOCK) !== 0) return -EAGAIN;
  vfsPoll(file, new TaskPollTable(task));
  return sleepInterruptible(task);
}

/** Whether a pipe has room now. @returns 0, -EPIPE with SIGPIPE sent, or what waitOn() gives. @linux fs/splice.c:wait_for_space */
function waitForSpace(task: Task, file: File, pipe: PipeInodeInfo, flags: number): number {
  if (pipe.readers === 0) return brokenPipe(task);
  return pipeFull(pipe) ? waitOn(task, file, flags) : 0;
}

/** As waitForSpace() for something to read; 0 also at the end. @linux fs/splice.c:ipipe_prep */
function waitForData(task: Task, file: File, pipe: PipeInodeInfo, flags: number): number {
  return pipeEmpty(pipe) && pipe.writers > 0 ? waitOn(task, file, flags) : 0;
}

export function sysVmsplice(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const flags = args.uint(3);
  if ((flags & ~SPLICE_F_ALL) !== 0) return -EINVAL;
  const file = task.files.get(args.int(0));
  if (file === undefined || file.fMode === 0) return -EBADF;
  const it = importIovec(task, args.ulong(1), args.ulong(2));
  if (typeof it === 'number') return it;
  if (it.remaining === 0) return 0;
  const pipe = pipeOf(file.inode);
  if (pipe === undefined) return -EBADF;
  if ((file.fMode & FMODE_WRITE) === 0) {
    const wait = waitForData(task, file, pipe, flags);
    return wait !== 0 ? wait : pipeToUser(pipe, it);
  }
  const wait = waitForSpace(task, file, pipe, flags);
  if (wait !== 0) return wait;
  return iterToPipe(it, pipe, (flags & SPLICE_F_GIFT) !== 0 ? PIPE_BUF_FLAG_GIFT : 0);
}

/** The two files of a call, the flags with those of non-blocking files. */
interface SpliceEnds {
  readonly from: File;
  readonly to: File;
  readonly fromPipe: PipeInodeInfo | undefined;
  readonly toPipe: PipeInodeInfo | undefined;
  readonly len: number;
  readonly flags: number;
}

/** Between two pipes. @linux fs/splice.c:splice_pipe_to_pipe, do_tee */
function betweenPipes(
  task: Task,
  ends: SpliceEnds,
  move: (from: PipeInodeInfo, to: PipeInodeInfo, len: number) => number,
): number {
  const { from, to } = ends;
  const fromPipe = ends.fromPipe!;
  const toPipe = ends.toPipe!;
  const nonblock = ((from.flags | to.flags) & O_NONBLOCK) !== 0 ? SPLICE_F_NONBLOCK : 0;
  const flags = ends.flags | nonblock;
  let wait = waitForData(task, from, fromPipe, flags);
  if (wait === 0) wait = waitForSpace(task, to, toPipe, flags);
  if (wait !== 0) return wait;
  const done = move(fromPipe, toPipe, ends.len);
  return done === -EPIPE ? brokenPipe(task) : done;
}

function fileToPipe(kernel: Kernel, task: Task, ends: SpliceEnds, pos: number): number {
  const { from, to } = ends;
  const toPipe = ends.toPipe!;
  const flags = ends.flags | ((to.flags & O_NONBLOCK) !== 0 ? SPLICE_F_NONBLOCK : 0);
  const barred = checkTerminal(kernel, task, from, false);
  if (barred !== 0) return barred;
  const wait = waitForSpace(task, to, toPipe, flags);
  if (wait !== 0) return wait;
  const done = spliceFileToPipe(from, toPipe, pos, ends.len);
  if (done !== -EAGAIN || (from.flags & O_NONBLOCK) !== 0) return done;
  return waitOn(task, from, flags);
}

function pipeToFile(kernel: Kernel, task: Task, ends: SpliceEnds, pos: number): number {
  const { from, to } = ends;
  const fromPipe = ends.fromPipe!;
  if ((to.flags & O_APPEND) !== 0) return -EINVAL;
  const flags = ends.flags | ((from.flags & O_NONBLOCK) !== 0 ? SPLICE_F_NONBLOCK : 0);
  const barred = checkTerminal(kernel, task, to, true);
  if (barred !== 0) return barred;
  const wait = waitForData(task, from, fromPipe, flags);
  if (wait !== 0) return wait;
  const range = new IovIter();
  range.remaining = ends.len;
  const err = limitWrite(task, to, range, pos, false);
  if (err !== 0) return err;
  const done = splicePipeToFile(fromPipe, to, pos, range.remaining);
  if (done === -EPIPE) return brokenPipe(task);
  if (done !== -EAGAIN || (to.flags & O_NONBLOCK) !== 0) return done;
  return waitOn(task, to, flags);
}

/** @linux fs/splice.c:do_splice */
function doSplice(
  kernel: Kernel,
  task: Task,
  ends: SpliceEnds,
  inPos: number,
  outPos: number,
): number {
  const { from, to, fromPipe, toPipe } = ends;
  if ((from.fMode & FMODE_READ) === 0 || (to.fMode & FMODE_WRITE) === 0) return -EBADF;
  if (fromPipe !== undefined && toPipe !== undefined) {
    return fromPipe === toPipe ? -EINVAL : betweenPipes(task, ends, splicePipeToPipe);
  }
  if (fromPipe !== undefined) {
    if (outPos !== AT_POS && !seekable(to)) return -EINVAL;
    return pipeToFile(kernel, task, ends, outPos);
  }
  if (toPipe === undefined) return -EINVAL;
  if (inPos !== AT_POS && !seekable(from)) return -EINVAL;
  return fileToPipe(kernel, task, ends, inPos);
}

/** A position by address: AT_POS when there is none. @returns -EFAULT, or -EINVAL for a negative one. */
function offsetArg(task: Task, addr: number): number {
  if (addr === 0) return AT_POS;
  const offset = getUser64(task.mm!, addr);
  if (offset === -EFAULT) return -EFAULT;
  return offset > Number.MAX_SAFE_INTEGER ? -EINVAL : offset;
}

function spliceEnds(task: Task, args: SyscallArgs, at: [number, number]): SpliceEnds | undefined {
  const from = task.files.get(args.int(at[0]));
  const to = task.files.get(args.int(at[1]));
  if (from === undefined || to === undefined) return undefined;
  return {
    from,
    to,
    fromPipe: pipeOf(from.inode),
    toPipe: pipeOf(to.inode),
    len: 0,
    flags: 0,
  };
}

export function sysSplice(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const len = Math.min(args.ulong(4), MAX_RW_COUNT);
  const flags = args.uint(5);
  if (len === 0) return 0;
  if ((flags & ~SPLICE_F_ALL) !== 0) return -EINVAL;
  const found = spliceEnds(task, args, [0, 2]);
  if (found === undefined) return -EBADF;
  const ends = { ...found, len, flags };
  const inAddr = args.ulong(1);
  const outAddr = args.ulong(3);
  if (ends.fromPipe !== undefined && inAddr !== 0) return -ESPIPE;
  if (ends.toPipe !== undefined && outAddr !== 0) return -ESPIPE;
  const outPos = offsetArg(task, outAddr);
  if (outPos < AT_POS) return outPos;
  const inPos = offsetArg(task, inAddr);
  if (inPos < AT_POS) return inPos;
  const done = doSplice(kernel, task, ends, inPos, outPos);
  if (done < 0) return done;
  const mm = task.mm!;
  if (outAddr !== 0 && putUser64(mm, outAddr, outPos + done) !== 0) return -EFAULT;
  if (inAddr !== 0 && putUser64(mm, inAddr, inPos + done) !== 0) return -EFAULT;
  return done;
}

export function sysTee(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const len = Math.min(args.ulong(2), MAX_RW_COUNT);
  const flags = args.uint(3);
  if ((flags & ~SPLICE_F_ALL) !== 0) return -EINVAL;
  if (len === 0) return 0;
  const found = spliceEnds(task, args, [0, 1]);
  if (found === undefined) return -EBADF;
  const { from, to, fromPipe, toPipe } = found;
  if ((from.fMode & FMODE_READ) === 0 || (to.fMode & FMODE_WRITE) === 0) return -EBADF;
  if (fromPipe === undefined || toPipe === undefined || fromPipe === toPipe) return -EINVAL;
  return betweenPipes(task, { ...found, len, flags }, linkPipe);
}
