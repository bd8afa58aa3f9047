/** New names: files, directories, nodes, links. The second half of path walk. @linux fs/namei.c */

import { EEXIST, EMLINK, ENOENT, EPERM, EXDEV } from '../uapi/errno.ts';
import {
  isDir,
  isReg,
  S_IFCHR,
  S_IFBLK,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
  S_IRWXUGO,
  S_ISGID,
  S_ISUID,
  S_ISVTX,
  S_IXGRP,
  S_IALLUGO,
} from '../uapi/stat.ts';
import { dAddInode, linkDirectory, lookupOne } from './dcache.ts';
import type { Dentry, FsContext, FsCred, Inode, Path } from './fs_types.ts';
import {
  applyUmask,
  capable,
  inodeOwnerOrCapable,
  inodePermission,
  MAY_EXEC,
  MAY_READ,
  MAY_WRITE,
  touchCtime,
  touchMtime,
} from './inode.ts';
import { lastIsSpecial, pathParent, type Nameidata } from './namei.ts';

const LINK_MAX = 65000;

/** Whether `cred` may make a name in `dir`. @returns 0, -EACCES, -EROFS, -EPERM, or -ENOENT for a removed directory. @linux fs/namei.c:may_create */
export function mayCreate(dir: Dentry, cred: FsCred): number {
  if (dir.unhashed) return -ENOENT;
  const err = inodePermission(dir.inode, MAY_WRITE | MAY_EXEC, cred);
  if (err !== 0) return err;
  return dir.inode.iOps.newInode === undefined ? -EPERM : 0;
}

/**
 * A new inode under the free name `name`.
 * @param mode type and permissions, umask applied.
 * @returns its dentry or -errno.
 * @linux fs/namei.c:vfs_create, vfs_mknod, vfs_mkdir
 */
export function vfsCreate(
  dir: Dentry,
  name: string,
  mode: number,
  rdev: number,
  cred: FsCred,
): Dentry | number {
  const err = mayCreate(dir, cred);
  if (err !== 0) return err;
  const { inode } = dir;
  if (isDir(mode) && inode.nlink >= LINK_MAX) return -EMLINK;
  const made = inode.iOps.newInode!(inode, mode, rdev, cred);
  if (typeof made === 'number') return made;
  const dentry = dAddInode(dir, name, made);
  linkDirectory(inode, made);
  touchMtime(inode);
  return dentry;
}

/** The directory for a new name that is free. @returns the walk or -errno. @linux fs/namei.c:filename_create */
export function parentForCreate(
  ctx: FsContext,
  dirfd: number,
  name: string,
  directory: boolean,
): Nameidata | number {
  const nd = pathParent(ctx, dirfd, name);
  if (typeof nd === 'number') return nd;
  if (lastIsSpecial(nd)) return -EEXIST;
  const child = lookupOne(nd.dentry, nd.last);
  if (typeof child !== 'number') return -EEXIST;
  if (child !== -ENOENT) return child;
  // "name/" can only become a directory.
  return nd.trailing && !directory ? -ENOENT : nd;
}

export function vfsMkdir(ctx: FsContext, dirfd: number, name: string, mode: number): number {
  const nd = parentForCreate(ctx, dirfd, name, true);
  if (typeof nd === 'number') return nd;
  const bits = S_IFDIR | (applyUmask(mode, ctx) & (S_IRWXUGO | S_ISVTX));
  const made = vfsCreate(nd.dentry, nd.last, bits, 0, ctx.cred);
  return typeof made === 'number' ? made : 0;
}

/** @param rdev dev_t of a device node. */
export function vfsMknod(
  ctx: FsContext,
  dirfd: number,
  name: string,
  mode: number,
  rdev: number,
): number {
  const type = (mode & S_IFMT) === 0 ? S_IFREG : mode & S_IFMT;
  if (type === S_IFDIR) return -EPERM;
  const device = type === S_IFCHR || type === S_IFBLK;
  if (!device && type !== S_IFREG && type !== S_IFIFO && type !== S_IFSOCK) return -EEXIST;
  const nd = parentForCreate(ctx, dirfd, name, false);
  if (typeof nd === 'number') return nd;
  if (device && !capable(ctx.cred)) return mayCreate(nd.dentry, ctx.cred) || -EPERM;
  const bits = type | (applyUmask(mode, ctx) & S_IALLUGO);
  const made = vfsCreate(nd.dentry, nd.last, bits, device ? rdev : 0, ctx.cred);
  return typeof made === 'number' ? made : 0;
}

export function vfsSymlink(ctx: FsContext, target: string, dirfd: number, name: string): number {
  if (target === '') return -ENOENT;
  const nd = parentForCreate(ctx, dirfd, name, false);
  if (typeof nd === 'number') return nd;
  const made = vfsCreate(nd.dentry, nd.last, S_IFLNK | S_IRWXUGO, 0, ctx.cred);
  if (typeof made === 'number') return made;
  made.inode.link = target;
  made.inode.size = target.length;
  return 0;
}

/**
 * Nobody may keep a file of somebody else alive that he could not write himself: what
 * Linux's protected_hardlinks forbids, which distributions turn on.
 * @linux fs/namei.c:may_linkat
 */
function mayLinkat(inode: Inode, cred: FsCred): number {
  if (inodeOwnerOrCapable(inode, cred)) return 0;
  const { mode } = inode;
  const setgid = (mode & (S_ISGID | S_IXGRP)) === (S_ISGID | S_IXGRP);
  if (!isReg(mode) || (mode & S_ISUID) !== 0 || setgid) return -EPERM;
  return inodePermission(inode, MAY_READ | MAY_WRITE, cred) === 0 ? 0 : -EPERM;
}

/** Whether a hard link to `inode` may be made. @linux fs/namei.c:vfs_link */
function mayLink(inode: Inode, dir: Dentry): number {
  if (isDir(inode.mode)) return -EPERM;
  if (inode.sb !== dir.sb) return -EXDEV;
  if (inode.nlink >= LINK_MAX) return -EMLINK;
  return 0;
}

/** A second name for what `from` leads to. */
export function vfsLink(ctx: FsContext, from: Path, dirfd: number, name: string): number {
  const { inode } = from.dentry;
  const nd = parentForCreate(ctx, dirfd, name, false);
  if (typeof nd === 'number') return nd;
  const dir = nd.dentry;
  if (from.mnt !== nd.mnt) return -EXDEV;
  const err = mayLinkat(inode, ctx.cred) || mayCreate(dir, ctx.cred) || mayLink(inode, dir);
  if (err !== 0) return err;
  // Only a file that never had a name may get one after all (O_TMPFILE).
  if (inode.nlink === 0 && !(from.dentry.unhashed && from.dentry.name.startsWith('#')))
    return -ENOENT;
  inode.nlink++;
  dAddInode(dir, nd.last, inode);
  touchCtime(inode);
  touchMtime(dir.inode);
  return 0;
}
