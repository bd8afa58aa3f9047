/**
 * Path walk. It never leaves the caller's root: ".." there stays, absolute links start there,
 * and every component is looked up by us, none by the host.
 *
 * @linux fs/namei.c
 */

import { EBADF, ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR, EXDEV } from '../uapi/errno.ts';
import {
  AT_FDCWD,
  NAME_MAX,
  PATH_MAX,
  RESOLVE_BENEATH,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  RESOLVE_NO_XDEV,
} from '../uapi/fcntl.ts';
import { isDir, isLnk } from '../uapi/stat.ts';
import { lookupOne } from './dcache.ts';
import { Path, type Dentry, type FsContext, type FsCred, type Mount } from './fs_types.ts';
import { inodePermission, MAY_EXEC } from './inode.ts';

/** Follow a symbolic link at the end. */
export const LOOKUP_FOLLOW = 1;
/** What is found must be a directory. */
export const LOOKUP_DIRECTORY = 2;
/** The empty path means the start. */
export const LOOKUP_EMPTY = 4;

/** Symbolic links in one walk. */
const MAXSYMLINKS = 40;

/** A walk in progress: where it is, and the last component, not yet looked up. */
export class Nameidata {
  readonly cred: FsCred;
  readonly root: Path;
  /** RESOLVE_*. */
  readonly resolve: number;
  mnt: Mount;
  dentry: Dentry;
  /** Last component; '' when the walk has arrived. */
  last = '';
  /** Slashes followed the last component. */
  trailing = false;
  /** Links followed. */
  links = 0;

  constructor(cred: FsCred, root: Path, start: Path, resolve: number) {
    this.cred = cred;
    this.root = root;
    this.resolve = resolve;
    this.mnt = start.mnt;
    this.dentry = start.dentry;
  }
}

export function ndPath(nd: Nameidata): Path {
  return new Path(nd.mnt, nd.dentry);
}

/** Whether the last component is no name that could be made or removed. */
export function lastIsSpecial(nd: Nameidata): boolean {
  return nd.last === '' || nd.last === '.' || nd.last === '..';
}

/**
 * A walk of `name` from `dirfd`.
 * @returns the walk, -ENOENT (empty path), -ENAMETOOLONG, -EBADF, -ENOTDIR, or -EXDEV.
 * @linux fs/namei.c:path_init
 */
export function pathInit(
  ctx: FsContext,
  dirfd: number,
  name: string,
  flags: number,
  resolve = 0,
): Nameidata | number {
  if (name === '' && (flags & LOOKUP_EMPTY) === 0) return -ENOENT;
  if (name.length >= PATH_MAX) return -ENAMETOOLONG;
  const { root, pwd } = ctx.fs;
  const confined = (resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT)) !== 0;
  if (name.startsWith('/') && !confined) return new Nameidata(ctx.cred, root, root, resolve);
  if (name.startsWith('/') && (resolve & RESOLVE_BENEATH) !== 0) return -EXDEV;
  let start = pwd;
  if (dirfd !== AT_FDCWD) {
    const file = ctx.files?.getRaw(dirfd);
    if (file === undefined) return -EBADF;
    if (name !== '' && !isDir(file.inode.mode)) return -ENOTDIR;
    start = file.path;
  }
  return new Nameidata(ctx.cred, confined ? start : root, start, resolve);
}

/** The current place must be a directory that may be searched. */
function mayLookup(nd: Nameidata): number {
  const { inode } = nd.dentry;
  if (!isDir(inode.mode)) return -ENOTDIR;
  return inodePermission(inode, MAY_EXEC, nd.cred);
}

function crossMounts(nd: Nameidata): number {
  while (nd.dentry.mounted !== null) {
    if ((nd.resolve & RESOLVE_NO_XDEV) !== 0) return -EXDEV;
    nd.mnt = nd.dentry.mounted;
    nd.dentry = nd.mnt.root;
  }
  return 0;
}

/** @linux fs/namei.c:follow_dotdot */
function followDotdot(nd: Nameidata): number {
  for (;;) {
    if (nd.dentry === nd.root.dentry && nd.mnt === nd.root.mnt) {
      return (nd.resolve & RESOLVE_BENEATH) !== 0 ? -EXDEV : 0;
    }
    if (nd.dentry !== nd.mnt.root) {
      nd.dentry = nd.dentry.parent;
      return crossMounts(nd);
    }
    const { at } = nd.mnt;
    if (at === null) return 0;
    if ((nd.resolve & RESOLVE_NO_XDEV) !== 0) return -EXDEV;
    nd.mnt = at.mnt;
    nd.dentry = at.dentry;
  }
}

/** The text of a link to go on with, 0 when it led straight to a place, or -errno. */
export function followLink(nd: Nameidata, link: Dentry): string | number {
  if (++nd.links > MAXSYMLINKS) return -ELOOP;
  if ((nd.resolve & RESOLVE_NO_SYMLINKS) !== 0) return -ELOOP;
  const { inode } = link;
  const target = inode.iOps.getLink === undefined ? inode.link : inode.iOps.getLink(link);
  if (typeof target === 'number') return target;
  if (typeof target === 'string') {
    if (target === '') return -ENOENT;
    if (!target.startsWith('/')) return target;
    if ((nd.resolve & RESOLVE_BENEATH) !== 0) return -EXDEV;
    nd.mnt = nd.root.mnt;
    nd.dentry = nd.root.dentry;
    return target;
  }
  if ((nd.resolve & RESOLVE_NO_MAGICLINKS) !== 0) return -ELOOP;
  if ((nd.resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT)) !== 0) return -EXDEV;
  nd.mnt = target.mnt;
  nd.dentry = target.dentry;
  return 0;
}

/**
 * Goes to the entry `name` of the current directory.
 * @returns 0, text of a link to walk next, or -errno.
 * @linux fs/namei.c:walk_component
 */
export function walkComponent(nd: Nameidata, name: string, follow: boolean): string | number {
  if (name === '.') return 0;
  if (name === '..') return followDotdot(nd);
  const child = lookupOne(nd.dentry, name);
  if (typeof child === 'number') return child;
  if (follow && isLnk(child.inode.mode)) return followLink(nd, child);
  nd.dentry = child;
  return child.mounted === null ? 0 : crossMounts(nd);
}

const SLASH = 47;

function skipSlashes(text: string, from: number): number {
  let at = from;
  while (text.charCodeAt(at) === SLASH) at++;
  return at;
}

/**
 * Walks all components but the last, which is left in nd.last.
 * @returns 0 or -errno.
 * @linux fs/namei.c:link_path_walk
 */
export function linkPathWalk(nd: Nameidata, name: string): number {
  /** What to walk after the links being followed, innermost last. */
  const rest: string[] = [];
  let text = name;
  let at = skipSlashes(text, 0);
  nd.last = '';
  nd.trailing = at > 0;
  for (;;) {
    if (at >= text.length) {
      if (rest.length === 0) return 0;
      text = rest.pop()!;
      at = 0;
    }
    const err = mayLookup(nd);
    if (err !== 0) return err;
    const slash = text.indexOf('/', at);
    const end = slash < 0 ? text.length : slash;
    const component = text.slice(at, end);
    if (component.length > NAME_MAX) return -ENAMETOOLONG;
    at = skipSlashes(text, end);
    if (at >= text.length && rest.length === 0) {
      nd.last = component;
      nd.trailing = at > end;
      return 0;
    }
    const target = walkComponent(nd, component, true);
    if (typeof target === 'number') {
      if (target < 0) return target;
      continue;
    }
    if (at < text.length) rest.push(text.slice(at));
    text = target;
    at = skipSlashes(text, 0);
  }
}

/** Finishes a walk whose last component has been followed or found. */
function completeWalk(nd: Nameidata, mustBeDir: boolean): number {
  return mustBeDir && !isDir(nd.dentry.inode.mode) ? -ENOTDIR : 0;
}

/**
 * Walks to the end; nd is then at what was found.
 * @returns 0 or -errno.
 * @linux fs/namei.c:path_lookupat
 */
export function pathLookupat(nd: Nameidata, name: string, flags: number): number {
  let mustBeDir = (flags & LOOKUP_DIRECTORY) !== 0;
  let text = name;
  for (;;) {
    const err = linkPathWalk(nd, text);
    if (err !== 0) return err;
    if (nd.last === '') return completeWalk(nd, mustBeDir);
    if (nd.trailing) mustBeDir = true;
    const follow = (flags & LOOKUP_FOLLOW) !== 0 || nd.trailing;
    const target = walkComponent(nd, nd.last, follow);
    if (typeof target !== 'string') return target !== 0 ? target : completeWalk(nd, mustBeDir);
    text = target;
  }
}

/**
 * Where a path leads.
 * @param flags LOOKUP_*.
 * @returns the place, -ENOENT, -ENOTDIR, -EACCES, -ELOOP, -ENAMETOOLONG, -EBADF, or -EIO of the host.
 * @linux fs/namei.c:filename_lookup
 */
export function pathLookup(
  ctx: FsContext,
  dirfd: number,
  name: string,
  flags: number,
): Path | number {
  const nd = pathInit(ctx, dirfd, name, flags);
  if (typeof nd === 'number') return nd;
  const err = pathLookupat(nd, name, flags);
  return err === 0 ? ndPath(nd) : err;
}

/**
 * The directory a path's last component is in; the name is in nd.last.
 * @linux fs/namei.c:filename_parentat
 */
export function pathParent(ctx: FsContext, dirfd: number, name: string): Nameidata | number {
  const nd = pathInit(ctx, dirfd, name, 0);
  if (typeof nd === 'number') return nd;
  const err = linkPathWalk(nd, name);
  return err === 0 ? nd : err;
}
