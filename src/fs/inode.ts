/** Permissions, times and ownership of inodes. @linux fs/inode.c, fs/namei.c:inode_permission, fs/attr.c */

import { EACCES, EROFS } from '../uapi/errno.ts';
import { isDir, isReg, S_IFMT, S_ISGID, S_ISUID, S_ISVTX, S_IXGRP, S_IXUGO } from '../uapi/stat.ts';
import type { FsContext, FsCred, Inode, Timespec } from './fs_types.ts';

export const MAY_EXEC = 1;
export const MAY_WRITE = 2;
export const MAY_READ = 4;

/** Contents changed. */
export function touchMtime(inode: Inode): void {
  const now = inode.sb.vfs.now();
  inode.mtime = now;
  inode.ctime = now;
}

/** Attributes changed. */
export function touchCtime(inode: Inode): void {
  inode.ctime = inode.sb.vfs.now();
}

function laterOrEqual(a: Timespec, b: Timespec): boolean {
  return a.sec > b.sec || (a.sec === b.sec && a.nsec >= b.nsec);
}

const RELATIME_SECONDS = 24 * 3600;

/** Contents were read: relatime's rule, only after a change or once a day. @linux fs/inode.c:touch_atime */
export function touchAtime(inode: Inode): void {
  const { atime, mtime, ctime } = inode;
  if (inode.sb.readOnly) return;
  const stale = laterOrEqual(mtime, atime) || laterOrEqual(ctime, atime);
  const now = inode.sb.vfs.now();
  if (stale || now.sec - atime.sec >= RELATIME_SECONDS) inode.atime = now;
}

export function inGroup(cred: FsCred, gid: number): boolean {
  return cred.fsgid === gid || cred.groups.includes(gid);
}

/** Root has every capability here. */
export function capable(cred: FsCred): boolean {
  return cred.fsuid === 0;
}

export function inodeOwnerOrCapable(inode: Inode, cred: FsCred): boolean {
  return cred.fsuid === inode.uid || capable(cred);
}

/**
 * @param mask MAY_* bits.
 * @returns 0, -EACCES or -EROFS.
 * @linux fs/namei.c:inode_permission, generic_permission
 */
export function inodePermission(inode: Inode, mask: number, cred: FsCred): number {
  const { mode } = inode;
  if ((mask & MAY_WRITE) !== 0 && inode.sb.readOnly) {
    if (isReg(mode) || isDir(mode) || (mode & S_IFMT) === 0o120000) return -EROFS;
  }
  let bits = mode;
  if (cred.fsuid === inode.uid) bits >>= 6;
  else if (inGroup(cred, inode.gid)) bits >>= 3;
  if ((mask & ~bits & 7) === 0) return 0;
  if (!capable(cred)) return -EACCES;
  // Root may do all but run what nobody may run.
  if ((mask & MAY_EXEC) === 0 || isDir(mode) || (mode & S_IXUGO) !== 0) return 0;
  return -EACCES;
}

/** In a sticky directory only the owners may take a name away. @linux fs/namei.c:check_sticky */
export function stickyForbids(dir: Inode, inode: Inode, cred: FsCred): boolean {
  if ((dir.mode & S_ISVTX) === 0) return false;
  return cred.fsuid !== inode.uid && cred.fsuid !== dir.uid && !capable(cred);
}

/** Gives a new inode its owner; a setgid directory passes on its group. @linux fs/inode.c:inode_init_owner */
export function inodeInitOwner(inode: Inode, dir: Inode, cred: FsCred): void {
  inode.uid = cred.fsuid;
  inode.gid = cred.fsgid;
  if ((dir.mode & S_ISGID) === 0) return;
  inode.gid = dir.gid;
  if (isDir(inode.mode)) inode.mode |= S_ISGID;
}

/** A write by an ordinary user takes setuid and setgid away. @linux fs/inode.c:file_remove_privs */
export function removePrivs(inode: Inode, cred: FsCred): void {
  if (capable(cred) || !isReg(inode.mode)) return;
  if ((inode.mode & (S_ISUID | S_ISGID)) === 0) return;
  inode.mode &= ~S_ISUID;
  if ((inode.mode & S_IXGRP) !== 0) inode.mode &= ~S_ISGID;
}

/** Mode of a new file. */
export function applyUmask(mode: number, ctx: FsContext): number {
  return mode & ~ctx.fs.umask;
}
