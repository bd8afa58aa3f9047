/** Moving bytes between files and memory. @linux fs/read_write.c */

import { FMODE_READ, FMODE_WRITE } from '../mm/mm_types.ts';
import type { IovIter } from '../mm/iov_iter.ts';
import { EBADF, EINVAL, EISDIR, ESPIPE } from '../uapi/errno.ts';
import { O_APPEND } from '../uapi/fcntl.ts';
import { isDir, isReg } from '../uapi/stat.ts';
import type { File, FsContext } from './fs_types.ts';

/** "At the file's own position." */
export const AT_POS = -1;

/** Whether the file has positions. */
export function seekable(file: File): boolean {
  return file.fOps.llseek !== undefined;
}

/**
 * @param at offset, or AT_POS to use and move the file's position.
 * @returns bytes, 0 at the end, or -errno; -EAGAIN when there is nothing yet.
 * @linux fs/read_write.c:vfs_read
 */
export function vfsRead(file: File, to: IovIter, at: number, ctx?: FsContext): number {
  if ((file.fMode & FMODE_READ) === 0) return -EBADF;
  if (at !== AT_POS && !seekable(file)) return -ESPIPE;
  const { fOps } = file;
  if (fOps.read === undefined) return isDir(file.inode.mode) ? -EISDIR : -EINVAL;
  if (at !== AT_POS) return fOps.read(file, to, at, ctx);
  const n = fOps.read(file, to, file.pos, ctx);
  if (n > 0 && fOps.llseek !== undefined) file.pos += n;
  return n;
}

/** Where a write goes: the end for O_APPEND. */
export function writePosition(file: File, at: number, append: boolean): number {
  if ((append || (file.flags & O_APPEND) !== 0) && isReg(file.inode.mode)) return file.inode.size;
  return at === AT_POS ? file.pos : at;
}

/**
 * @param at offset, or AT_POS to use and move the file's position.
 * @param append as if the file had O_APPEND.
 * @returns bytes, possibly fewer than asked, or -errno.
 * @linux fs/read_write.c:vfs_write
 */
export function vfsWrite(file: File, from: IovIter, at: number, append = false): number {
  if ((file.fMode & FMODE_WRITE) === 0) return -EBADF;
  if (at !== AT_POS && !seekable(file)) return -ESPIPE;
  const { fOps } = file;
  if (fOps.write === undefined) return -EINVAL;
  const pos = writePosition(file, at, append);
  const n = fOps.write(file, from, pos);
  if (n > 0 && at === AT_POS && fOps.llseek !== undefined) file.pos = pos + n;
  return n;
}
