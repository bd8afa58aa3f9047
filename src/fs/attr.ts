/** Changing mode, owner, times and size. @linux fs/attr.c, fs/open.c */

import { EINVAL, EISDIR, EPERM, EROFS, ETXTBSY, EACCES } from '../uapi/errno.ts';
import { isDir, isLnk, isReg, S_IALLUGO, S_IFMT, S_ISGID, S_ISUID, S_IXGRP } from '../uapi/stat.ts';
import type { FsContext, FsCred, Inode, Timespec } from './fs_types.ts';
import {
  capable,
  inGroup,
  inodeOwnerOrCapable,
  inodePermission,
  MAY_WRITE,
  removePrivs,
  touchCtime,
} from './inode.ts';

/** "Leave it": an id of -1, a time to omit. */
export const KEEP_ID = 0xffff_ffff;

function mayChange(inode: Inode): number {
  if (inode.sb.readOnly) return -EROFS;
  return inode.iOps.mayChange === true ? 0 : -EPERM;
}

export function vfsChmod(inode: Inode, mode: number, cred: FsCred): number {
  const err = mayChange(inode);
  if (err !== 0) return err;
  if (!inodeOwnerOrCapable(inode, cred)) return -EPERM;
  let bits = mode & S_IALLUGO;
  if (!capable(cred) && !inGroup(cred, inode.gid)) bits &= ~S_ISGID;
  inode.mode = (inode.mode & S_IFMT) | bits;
  touchCtime(inode);
  return 0;
}

/** @param uid, gid KEEP_ID leaves one alone. @linux fs/open.c:chown_common */
export function vfsChown(inode: Inode, uid: number, gid: number, cred: FsCred): number {
  const err = mayChange(inode);
  if (err !== 0) return err;
  if (!capable(cred)) {
    if (uid !== KEEP_ID && (cred.fsuid !== inode.uid || uid !== inode.uid)) return -EPERM;
    if (
      gid !== KEEP_ID &&
      (cred.fsuid !== inode.uid || (gid !== inode.gid && !inGroup(cred, gid)))
    ) {
      return -EPERM;
    }
  }
  if (uid !== KEEP_ID) inode.uid = uid;
  if (gid !== KEEP_ID) inode.gid = gid;
  if (!isDir(inode.mode)) {
    inode.mode &= ~S_ISUID;
    if ((inode.mode & S_IXGRP) !== 0) inode.mode &= ~S_ISGID;
  }
  touchCtime(inode);
  return 0;
}

/** A time to set: a value, "now", or null to leave it. */
export type NewTime = Timespec | 'now' | null;

/** @linux fs/utimes.c:vfs_utimes */
export function vfsUtimes(inode: Inode, atime: NewTime, mtime: NewTime, cred: FsCred): number {
  if (atime === null && mtime === null) return 0;
  const err = mayChange(inode);
  if (err !== 0) return err;
  if (!inodeOwnerOrCapable(inode, cred)) {
    // Who may write the file may set both times to the present.
    if (atime !== 'now' || mtime !== 'now') return -EPERM;
    if (inodePermission(inode, MAY_WRITE, cred) !== 0) return -EACCES;
  }
  const now = inode.sb.vfs.now();
  if (atime !== null) inode.atime = atime === 'now' ? now : atime;
  if (mtime !== null) inode.mtime = mtime === 'now' ? now : mtime;
  inode.ctime = now;
  return 0;
}

/** Sets the size of a file open for writing. */
export function doTruncate(inode: Inode, size: number, cred: FsCred): number {
  if (size < 0) return -EINVAL;
  const { setSize } = inode.iOps;
  if (setSize === undefined) return -EINVAL;
  removePrivs(inode, cred);
  return setSize(inode, size);
}

/** truncate(2). @linux fs/open.c:vfs_truncate */
export function vfsTruncate(inode: Inode, size: number, ctx: FsContext): number {
  if (isDir(inode.mode)) return -EISDIR;
  if (!isReg(inode.mode) || isLnk(inode.mode)) return -EINVAL;
  const err = inodePermission(inode, MAY_WRITE, ctx.cred);
  if (err !== 0) return err;
  if (inode.denyWrite > 0) return -ETXTBSY;
  return doTruncate(inode, size, ctx.cred);
}
