/** Names that go or move. @linux fs/namei.c: vfs_unlink, vfs_rmdir, vfs_rename */

import {
  EBUSY,
  EEXIST,
  EINVAL,
  EISDIR,
  ENOENT,
  ENOTDIR,
  ENOTEMPTY,
  EPERM,
  EXDEV,
} from '../uapi/errno.ts';
import { RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT } from '../uapi/fcntl.ts';
import { isDir } from '../uapi/stat.ts';
import {
  dAdd,
  dDrop,
  dMove,
  dirEmpty,
  isBelow,
  linkDirectory,
  lookupOne,
  unlinkDirectory,
} from './dcache.ts';
import { iput, type Dentry, type FsContext, type FsCred, type Inode } from './fs_types.ts';
import {
  inodePermission,
  MAY_EXEC,
  MAY_WRITE,
  stickyForbids,
  touchCtime,
  touchMtime,
} from './inode.ts';
import { mayCreate } from './namei_create.ts';
import { lastIsSpecial, pathParent, type Nameidata } from './namei.ts';

/** Whether `cred` may take `victim` out of its directory. @linux fs/namei.c:may_delete */
function mayDelete(dir: Dentry, victim: Dentry, cred: FsCred): number {
  const err = inodePermission(dir.inode, MAY_WRITE | MAY_EXEC, cred);
  if (err !== 0) return err;
  if (dir.inode.iOps.newInode === undefined) return -EPERM;
  return stickyForbids(dir.inode, victim.inode, cred) ? -EPERM : 0;
}

/** An inode lost a name. */
function dropLink(inode: Inode): void {
  inode.nlink = isDir(inode.mode) ? 0 : inode.nlink - 1;
  touchCtime(inode);
  iput(inode);
}

function removeEntry(dir: Dentry, victim: Dentry): void {
  const { inode } = victim;
  dDrop(victim);
  unlinkDirectory(dir.inode, inode);
  touchMtime(dir.inode);
  dropLink(inode);
}

export function vfsUnlink(ctx: FsContext, dirfd: number, name: string): number {
  const nd = pathParent(ctx, dirfd, name);
  if (typeof nd === 'number') return nd;
  if (lastIsSpecial(nd)) return -EISDIR;
  const victim = lookupOne(nd.dentry, nd.last);
  if (typeof victim === 'number') return victim;
  const directory = isDir(victim.inode.mode);
  if (nd.trailing) return directory ? -EISDIR : -ENOTDIR;
  const err = mayDelete(nd.dentry, victim, ctx.cred);
  if (err !== 0) return err;
  if (directory) return -EISDIR;
  if (victim.mounted !== null) return -EBUSY;
  removeEntry(nd.dentry, victim);
  return 0;
}

export function vfsRmdir(ctx: FsContext, dirfd: number, name: string): number {
  const nd = pathParent(ctx, dirfd, name);
  if (typeof nd === 'number') return nd;
  if (nd.last === '..') return -ENOTEMPTY;
  if (nd.last === '.') return -EINVAL;
  if (nd.last === '') return -EBUSY;
  const victim = lookupOne(nd.dentry, nd.last);
  if (typeof victim === 'number') return victim;
  const err = mayDelete(nd.dentry, victim, ctx.cred);
  if (err !== 0) return err;
  if (!isDir(victim.inode.mode)) return -ENOTDIR;
  if (victim.mounted !== null) return -EBUSY;
  const empty = dirEmpty(victim);
  if (empty !== 0) return empty;
  removeEntry(nd.dentry, victim);
  return 0;
}

/** One side of a rename. */
interface Side {
  readonly nd: Nameidata;
  readonly dir: Dentry;
}

function renameSide(ctx: FsContext, dirfd: number, name: string): Side | number {
  const nd = pathParent(ctx, dirfd, name);
  if (typeof nd === 'number') return nd;
  return { nd, dir: nd.dentry };
}

/** Slashes after a name are only for directories. */
function trailingSlashError(nd: Nameidata, inode: Inode): number {
  return nd.trailing && !isDir(inode.mode) ? -ENOTDIR : 0;
}

/** Whether `target` may be replaced by `source`. */
function mayReplace(source: Dentry, target: Dentry, dir: Dentry, cred: FsCred): number {
  const err = mayDelete(dir, target, cred);
  if (err !== 0) return err;
  const sourceDir = isDir(source.inode.mode);
  if (sourceDir && !isDir(target.inode.mode)) return -ENOTDIR;
  if (!sourceDir && isDir(target.inode.mode)) return -EISDIR;
  if (target.mounted !== null) return -EBUSY;
  return sourceDir ? dirEmpty(target) : 0;
}

/** A directory that changes parents must be writable: its ".." changes. */
function mayReparent(child: Dentry, from: Dentry, to: Dentry, cred: FsCred): number {
  if (from === to || !isDir(child.inode.mode)) return 0;
  return inodePermission(child.inode, MAY_WRITE, cred);
}

function exchange(a: Dentry, b: Dentry): void {
  const dirA = a.parent;
  const dirB = b.parent;
  const nameA = a.name;
  const nameB = b.name;
  dirA.children?.delete(nameA);
  dirB.children?.delete(nameB);
  a.name = nameB;
  b.name = nameA;
  dAdd(dirB, a);
  dAdd(dirA, b);
  if (dirA === dirB) return;
  unlinkDirectory(dirA.inode, a.inode);
  linkDirectory(dirB.inode, a.inode);
  unlinkDirectory(dirB.inode, b.inode);
  linkDirectory(dirA.inode, b.inode);
}

function moveEntry(source: Dentry, dir: Dentry, name: string, target: Dentry | null): void {
  const from = source.parent;
  if (target !== null) removeEntry(dir, target);
  if (from !== dir) {
    unlinkDirectory(from.inode, source.inode);
    linkDirectory(dir.inode, source.inode);
  }
  dMove(source, dir, name);
  touchMtime(from.inode);
  touchMtime(dir.inode);
  touchCtime(source.inode);
}

function doExchange(from: Side, to: Side, source: Dentry, target: Dentry, cred: FsCred): number {
  if (isBelow(from.dir, target)) return -EINVAL;
  const err =
    trailingSlashError(to.nd, target.inode) ||
    mayDelete(from.dir, source, cred) ||
    mayDelete(to.dir, target, cred) ||
    mayReparent(source, from.dir, to.dir, cred) ||
    mayReparent(target, to.dir, from.dir, cred);
  if (err !== 0) return err;
  exchange(source, target);
  touchMtime(from.dir.inode);
  touchMtime(to.dir.inode);
  touchCtime(source.inode);
  touchCtime(target.inode);
  return 0;
}

/** @param target what has the new name now, or null. */
function doRename(
  from: Side,
  to: Side,
  source: Dentry,
  target: Dentry | null,
  cred: FsCred,
): number {
  if (target !== null && isBelow(from.dir, target)) return -ENOTEMPTY;
  if (target === null && !isDir(source.inode.mode) && to.nd.trailing) return -ENOTDIR;
  const err =
    mayDelete(from.dir, source, cred) ||
    (target === null
      ? mayCreate(to.dir, cred)
      : trailingSlashError(to.nd, source.inode) || mayReplace(source, target, to.dir, cred)) ||
    mayReparent(source, from.dir, to.dir, cred);
  if (err !== 0) return err;
  moveEntry(source, to.dir, to.nd.last, target);
  return 0;
}

/**
 * @param flags RENAME_NOREPLACE or RENAME_EXCHANGE.
 * @linux fs/namei.c:do_renameat2
 */
export function vfsRename(
  ctx: FsContext,
  olddirfd: number,
  oldname: string,
  newdirfd: number,
  newname: string,
  flags: number,
): number {
  if ((flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT)) !== 0) return -EINVAL;
  if ((flags & RENAME_EXCHANGE) !== 0 && flags !== RENAME_EXCHANGE) return -EINVAL;
  if ((flags & RENAME_WHITEOUT) !== 0) return -EINVAL;
  const from = renameSide(ctx, olddirfd, oldname);
  if (typeof from === 'number') return from;
  const to = renameSide(ctx, newdirfd, newname);
  if (typeof to === 'number') return to;
  if (from.nd.mnt !== to.nd.mnt) return -EXDEV;
  if (lastIsSpecial(from.nd)) return -EBUSY;
  if (lastIsSpecial(to.nd)) return (flags & RENAME_NOREPLACE) !== 0 ? -EEXIST : -EBUSY;
  const source = lookupOne(from.dir, from.nd.last);
  if (typeof source === 'number') return source;
  const found = lookupOne(to.dir, to.nd.last);
  if (typeof found === 'number' && found !== -ENOENT) return found;
  const target = typeof found === 'number' ? null : found;
  if (target !== null && (flags & RENAME_NOREPLACE) !== 0) return -EEXIST;
  const slash = trailingSlashError(from.nd, source.inode);
  if (slash !== 0) return slash;
  if (isBelow(to.dir, source)) return -EINVAL;
  if (source.mounted !== null) return -EBUSY;
  if ((flags & RENAME_EXCHANGE) !== 0) {
    return target === null ? -ENOENT : doExchange(from, to, source, target, ctx.cred);
  }
  const toSlash = target === null ? 0 : trailingSlashError(to.nd, target.inode);
  if (toSlash !== 0) return toSlash;
  // Two names of one file: nothing happens.
  if (target !== null && target.inode === source.inode) return 0;
  return doRename(from, to, source, target, ctx.cred);
}
