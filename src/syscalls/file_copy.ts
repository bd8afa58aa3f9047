/** Copies within the kernel: sendfile, copy_file_range. @linux fs/read_write.c, fs/splice.c SYSCALL_DEFINE* */

import type { File } from '../fs/fs_types.ts';
import { AT_POS, seekable, vfsRead, vfsWrite } from '../fs/read_write.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { Task } from '../kernel/task.ts';
import { iovKernel } from '../mm/iov_iter.ts';
import { FMODE_READ, FMODE_WRITE } from '../mm/mm_types.ts';
import { getUser64, putUser64 } from '../mm/uaccess.ts';
import { EAGAIN, EBADF, EFAULT, EINVAL, EISDIR, EPIPE, EXDEV } from '../uapi/errno.ts';
import { MAX_RW_COUNT, O_APPEND } from '../uapi/fcntl.ts';
import { isDir, isReg } from '../uapi/stat.ts';
import type { SyscallArgs } from './args.ts';
import { brokenPipe, waitForFile } from './file_wait.ts';

/** Bytes moved at a time. */
const COPY_CHUNK = 65536;

/** Positions of the two files; AT_POS for the file's own, which then moves. */
interface CopyRange {
  inPos: number;
  outPos: number;
}

/** Copies up to `count` bytes. @returns bytes, or -errno when there are none. */
function copyRange(from: File, to: File, range: CopyRange, count: number): number {
  const buffer = new Uint8Array(Math.min(count, COPY_CHUNK));
  let done = 0;
  while (done < count) {
    const want = Math.min(buffer.length, count - done);
    const inPos = range.inPos === AT_POS ? from.pos : range.inPos;
    const n = vfsRead(from, iovKernel(buffer.subarray(0, want)), seekable(from) ? inPos : AT_POS);
    if (n <= 0) return done > 0 ? done : n;
    const written = vfsWrite(to, iovKernel(buffer.subarray(0, n)), range.outPos);
    if (written <= 0) return done > 0 ? done : written;
    done += written;
    if (range.inPos === AT_POS) from.pos = inPos + written;
    else range.inPos = inPos + written;
    if (range.outPos !== AT_POS) range.outPos += written;
    if (written < n) return done;
  }
  return done;
}

export function sysSendfile(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const to = task.files.get(args.int(0));
  const from = task.files.get(args.int(1));
  if (to === undefined || from === undefined) return -EBADF;
  if ((from.fMode & FMODE_READ) === 0 || (to.fMode & FMODE_WRITE) === 0) return -EBADF;
  const offsetAddr = args.ulong(2);
  // What cannot be read twice would be lost when the other side is full.
  if (!isReg(from.inode.mode) || (to.flags & O_APPEND) !== 0) return -EINVAL;
  const mm = task.mm!;
  const offset = offsetAddr === 0 ? AT_POS : getUser64(mm, offsetAddr);
  if (offset === -EFAULT) return -EFAULT;
  if (offset > Number.MAX_SAFE_INTEGER) return -EINVAL;
  const range = { inPos: offset, outPos: AT_POS };
  const done = copyRange(from, to, range, Math.min(args.ulong(3), MAX_RW_COUNT));
  if (done === -EAGAIN) return waitForFile(task, to);
  if (done === -EPIPE) return brokenPipe(task);
  if (done > 0 && offsetAddr !== 0 && putUser64(mm, offsetAddr, range.inPos) !== 0) return -EFAULT;
  return done;
}

/** An offset argument by address: the file's own position when there is none. */
function offsetArg(task: Task, addr: number): number {
  if (addr === 0) return AT_POS;
  const offset = getUser64(task.mm!, addr);
  return offset > Number.MAX_SAFE_INTEGER ? -EINVAL : offset;
}

/** @returns 0 or the -errno copy_file_range() gives for such files. @linux fs/read_write.c:generic_copy_file_checks */
function checkCopyFiles(from: File, to: File): number {
  if (isDir(from.inode.mode) || isDir(to.inode.mode)) return -EISDIR;
  if (!isReg(from.inode.mode) || !isReg(to.inode.mode)) return -EINVAL;
  const modes = (from.fMode & FMODE_READ) !== 0 && (to.fMode & FMODE_WRITE) !== 0;
  if (!modes || (to.flags & O_APPEND) !== 0) return -EBADF;
  return from.inode.sb === to.inode.sb ? 0 : -EXDEV;
}

export function sysCopyFileRange(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const from = task.files.get(args.int(0));
  const to = task.files.get(args.int(2));
  if (from === undefined || to === undefined) return -EBADF;
  if (args.int(5) !== 0) return -EINVAL;
  const bad = checkCopyFiles(from, to);
  if (bad !== 0) return bad;
  const inAddr = args.ulong(1);
  const outAddr = args.ulong(3);
  const range = { inPos: offsetArg(task, inAddr), outPos: offsetArg(task, outAddr) };
  if (range.inPos < AT_POS) return range.inPos;
  if (range.outPos < AT_POS) return range.outPos;
  const inPos = range.inPos === AT_POS ? from.pos : range.inPos;
  const outPos = range.outPos === AT_POS ? to.pos : range.outPos;
  // Up to the end as it is now: a copy to the end of the same file would move it on and on.
  const left = Math.max(0, from.inode.size - inPos);
  const count = Math.min(args.ulong(4), MAX_RW_COUNT, left);
  if (from.inode === to.inode && overlap(inPos, outPos, count)) return -EINVAL;
  const done = copyRange(from, to, range, count);
  if (done <= 0) return done;
  const mm = task.mm!;
  if (inAddr !== 0 && putUser64(mm, inAddr, range.inPos) !== 0) return -EFAULT;
  if (outAddr !== 0 && putUser64(mm, outAddr, range.outPos) !== 0) return -EFAULT;
  return done;
}

/** Whether two ranges of `count` bytes have one in common. */
function overlap(from: number, to: number, count: number): boolean {
  return from < to + count && to < from + count;
}
