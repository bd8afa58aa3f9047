/** read, write and their vector and positional forms, lseek. @linux fs/read_write.c SYSCALL_DEFINE* */

import type { File } from '../fs/fs_types.ts';
import { AT_POS, seekable, vfsRead, vfsWrite, writePosition } from '../fs/read_write.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { Task } from '../kernel/task.ts';
import { SLEEP } from '../kernel/sched.ts';
import { TASK_SIZE } from '../arch/riscv/pgtable.ts';
import { getU64 } from '../lib/bits.ts';
import { iovAdvance, iovUser, iovUserVec, type IovIter, type UserSegment } from '../mm/iov_iter.ts';
import { copyFromUser } from '../mm/uaccess.ts';
import { EAGAIN, EBADF, EFAULT, EFBIG, EINVAL, EOPNOTSUPP, EPIPE, ESPIPE } from '../uapi/errno.ts';
import {
  MAX_RW_COUNT,
  O_NONBLOCK,
  RWF_APPEND,
  RWF_DSYNC,
  RWF_HIPRI,
  RWF_NOWAIT,
  RWF_SYNC,
  SEEK_HOLE,
  UIO_MAXIOV,
} from '../uapi/fcntl.ts';
import { RLIMIT_FSIZE } from '../uapi/resource.ts';
import { SIGXFSZ, SI_KERNEL } from '../uapi/signal.ts';
import { isReg } from '../uapi/stat.ts';
import type { SyscallArgs } from './args.ts';
import { brokenPipe, checkTerminal, raise, waitForFile } from './file_wait.ts';

/** Bytes that a write which sleeps has already written. */
class WriteProgress {
  done = 0;
}

function doRead(kernel: Kernel, task: Task, file: File, to: IovIter, at: number): number {
  const barred = checkTerminal(kernel, task, file, false);
  if (barred !== 0) return barred;
  const n = vfsRead(file, to, at, task);
  return n === -EAGAIN ? waitForFile(task, file) : n;
}

/** Cuts a write at RLIMIT_FSIZE. @returns 0, or -EFBIG with SIGXFSZ sent. @linux fs/read_write.c:generic_write_check_limits */
export function limitWrite(
  task: Task,
  file: File,
  from: IovIter,
  at: number,
  append: boolean,
): number {
  const limit = task.signal.limits.soft[RLIMIT_FSIZE]!;
  if (limit === Number.POSITIVE_INFINITY || !isReg(file.inode.mode)) return 0;
  const pos = writePosition(file, at, append);
  if (from.remaining === 0) return 0;
  if (pos >= limit) {
    raise(task, SIGXFSZ, SI_KERNEL);
    return -EFBIG;
  }
  from.remaining = Math.min(from.remaining, limit - pos);
  return 0;
}

/** The result of a write that wrote `done` bytes and then met `err`. */
function writeResult(task: Task, done: number, err: number): number {
  if (err === -EPIPE) brokenPipe(task);
  return done > 0 ? done : err;
}

function doWrite(
  kernel: Kernel,
  task: Task,
  file: File,
  from: IovIter,
  at: number,
  append = false,
): number {
  const barred = checkTerminal(kernel, task, file, true);
  if (barred !== 0) return barred;
  const progress = task.sysState instanceof WriteProgress ? task.sysState : null;
  let done = progress === null ? 0 : progress.done;
  if (done > 0) iovAdvance(from, done);
  const err = limitWrite(task, file, from, at, append);
  if (err !== 0) return writeResult(task, done, err);
  for (;;) {
    const n = vfsWrite(file, from, at === AT_POS ? AT_POS : at + done, append);
    if (n === -EAGAIN) return blockWrite(task, file, done);
    if (n < 0) return writeResult(task, done, n);
    done += n;
    if (from.remaining === 0 || n === 0 || file.fOps.stream !== true) return done;
  }
}

/** Nothing more can be written now: sleeps with what is done in mind. */
function blockWrite(task: Task, file: File, done: number): number {
  if (done > 0 && (file.flags & O_NONBLOCK) !== 0) return done;
  const progress = new WriteProgress();
  progress.done = done;
  const result = waitForFile(task, file);
  if (result !== SLEEP) return done > 0 ? done : result;
  task.sysState = progress;
  return SLEEP;
}

/** A buffer argument. @returns the iterator or -EINVAL for a length that is negative as ssize_t. */
function userBuffer(task: Task, addr: number, len: number): IovIter | number {
  if (len >= 2 ** 63) return -EINVAL;
  return iovUser(task.mm!, addr, Math.min(len, MAX_RW_COUNT));
}

export function sysRead(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const file = task.files.get(args.int(0));
  if (file === undefined) return -EBADF;
  const to = userBuffer(task, args.ulong(1), args.ulong(2));
  return typeof to === 'number' ? to : doRead(kernel, task, file, to, AT_POS);
}

export function sysWrite(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const file = task.files.get(args.int(0));
  if (file === undefined) return -EBADF;
  const from = userBuffer(task, args.ulong(1), args.ulong(2));
  return typeof from === 'number' ? from : doWrite(kernel, task, file, from, AT_POS);
}

export function sysPread64(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const file = task.files.get(args.int(0));
  if (file === undefined) return -EBADF;
  const at = args.long(3);
  if (at < 0) return -EINVAL;
  const to = userBuffer(task, args.ulong(1), args.ulong(2));
  return typeof to === 'number' ? to : doRead(kernel, task, file, to, at);
}

export function sysPwrite64(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const file = task.files.get(args.int(0));
  if (file === undefined) return -EBADF;
  const at = args.long(3);
  if (at < 0) return -EINVAL;
  const from = userBuffer(task, args.ulong(1), args.ulong(2));
  return typeof from === 'number' ? from : doWrite(kernel, task, file, from, at);
}

const IOVEC_BYTES = 16;

/**
 * Reads struct iovec[], which may be about another address space.
 * @returns all segments, empty ones too, -EINVAL or -EFAULT.
 * @linux lib/iov_iter.c:iovec_from_user
 */
export function iovecFromUser(task: Task, addr: number, count: number): UserSegment[] | number {
  if (count > UIO_MAXIOV) return -EINVAL;
  const bytes = new Uint8Array(count * IOVEC_BYTES);
  if (copyFromUser(task.mm!, bytes, addr) !== 0) return -EFAULT;
  const view = new DataView(bytes.buffer);
  const segments: UserSegment[] = [];
  for (let at = 0; at < bytes.length; at += IOVEC_BYTES) {
    const base = getU64(view, at);
    const len = getU64(view, at + 8);
    if (len >= 2 ** 63) return -EINVAL;
    segments.push({ addr: base, len });
  }
  return segments;
}

/**
 * Reads struct iovec[]; what goes beyond MAX_RW_COUNT is cut off.
 * @returns all segments, empty ones too, -EINVAL or -EFAULT.
 * @linux lib/iov_iter.c:__import_iovec
 */
export function importSegments(task: Task, addr: number, count: number): UserSegment[] | number {
  const segments = iovecFromUser(task, addr, count);
  if (typeof segments === 'number') return segments;
  let left = MAX_RW_COUNT;
  for (let i = 0; i < segments.length; i++) {
    const { addr: base, len } = segments[i]!;
    if (base > TASK_SIZE - len) return -EFAULT;
    const taken = Math.min(len, left);
    left -= taken;
    segments[i] = { addr: base, len: taken };
  }
  return segments;
}

/** struct iovec[]. @returns the iterator, -EINVAL or -EFAULT. @linux lib/iov_iter.c:import_iovec */
export function importIovec(task: Task, addr: number, count: number): IovIter | number {
  const segments = importSegments(task, addr, count);
  return typeof segments === 'number' ? segments : iovUserVec(task.mm!, segments);
}

export function sysReadv(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const file = task.files.get(args.int(0));
  if (file === undefined) return -EBADF;
  const to = importIovec(task, args.ulong(1), args.ulong(2));
  return typeof to === 'number' ? to : doRead(kernel, task, file, to, AT_POS);
}

export function sysWritev(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const file = task.files.get(args.int(0));
  if (file === undefined) return -EBADF;
  const from = importIovec(task, args.ulong(1), args.ulong(2));
  return typeof from === 'number' ? from : doWrite(kernel, task, file, from, AT_POS);
}

const RWF_KNOWN = RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND;

/** preadv and pwritev; position -1 of the "2" forms means the file's own. */
function vectorAt(
  kernel: Kernel,
  task: Task,
  args: SyscallArgs,
  options: { write: boolean; two: boolean },
): number {
  const file = task.files.get(args.int(0));
  if (file === undefined) return -EBADF;
  const flags = options.two ? args.int(5) : 0;
  const pos = args.long(3);
  if ((flags & ~RWF_KNOWN) !== 0) return -EOPNOTSUPP;
  const own = options.two && pos === -1;
  if (pos < 0 && !own) return -EINVAL;
  if (!own && !seekable(file)) return -ESPIPE;
  const it = importIovec(task, args.ulong(1), args.ulong(2));
  if (typeof it === 'number') return it;
  const at = own ? AT_POS : pos;
  if (!options.write) return doRead(kernel, task, file, it, at);
  return doWrite(kernel, task, file, it, at, (flags & RWF_APPEND) !== 0);
}

export function sysPreadv(kernel: Kernel, task: Task, args: SyscallArgs): number {
  return vectorAt(kernel, task, args, { write: false, two: false });
}

export function sysPwritev(kernel: Kernel, task: Task, args: SyscallArgs): number {
  return vectorAt(kernel, task, args, { write: true, two: false });
}

export function sysPreadv2(kernel: Kernel, task: Task, args: SyscallArgs): number {
  return vectorAt(kernel, task, args, { write: false, two: true });
}

export function sysPwritev2(kernel: Kernel, task: Task, args: SyscallArgs): number {
  return vectorAt(kernel, task, args, { write: true, two: true });
}

export function sysLseek(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const file = task.files.get(args.int(0));
  if (file === undefined) return -EBADF;
  const whence = args.int(2);
  if (whence < 0 || whence > SEEK_HOLE) return -EINVAL;
  const { fOps } = file;
  return fOps.llseek === undefined ? -ESPIPE : fOps.llseek(file, args.long(1), whence);
}
