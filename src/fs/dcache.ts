/** The tree of names: entries of directories, their order for getdents(), and moving them. @linux fs/dcache.c, fs/libfs.c */

import { ENOENT, ENOTEMPTY } from '../uapi/errno.ts';
import { isDir } from '../uapi/stat.ts';
import type { Path } from './fs_types.ts';
import { Dentry, pathFrom, type DirEmit, type File, type Inode } from './fs_types.ts';

/** Enters `dentry` into `dir` under its name, which is free. */
export function dAdd(dir: Dentry, dentry: Dentry): void {
  dir.children ??= new Map();
  dentry.parent = dir;
  dentry.unhashed = false;
  dentry.cookie = dir.nextCookie++;
  dir.children.set(dentry.name, dentry);
}

/** Makes an entry of `dir`. The name is free. */
export function dAddInode(dir: Dentry, name: string, inode: Inode): Dentry {
  const dentry = new Dentry(dir.sb, dir, name, inode);
  dAdd(dir, dentry);
  // A directory that is made here has nothing elsewhere to load.
  dentry.loaded = true;
  return dentry;
}

/** Takes an entry out of its directory; open files keep its name. */
export function dDrop(dentry: Dentry): void {
  dentry.parent.children?.delete(dentry.name);
  dentry.unhashed = true;
}

/** Moves an entry to a free name. */
export function dMove(dentry: Dentry, dir: Dentry, name: string): void {
  dentry.parent.children?.delete(dentry.name);
  dentry.name = name;
  dAdd(dir, dentry);
}

/** Reads what the directory holds elsewhere, once. @returns 0 or -errno. */
export function loadDir(dir: Dentry): number {
  if (dir.loaded) return 0;
  const { loadDir: load } = dir.sb.ops;
  if (load !== undefined) {
    const err = load.call(dir.sb.ops, dir);
    if (err !== 0) return err;
  }
  dir.loaded = true;
  return 0;
}

/** The inode of a listed entry. @returns 0 or -errno; -ENOENT drops the entry. */
function loadInode(dentry: Dentry): number {
  const { ops } = dentry.sb;
  const err = ops.loadInode === undefined ? -ENOENT : ops.loadInode(dentry);
  if (err === -ENOENT) dDrop(dentry);
  return err;
}

/**
 * The entry `name` of `dir`, its inode loaded.
 * @returns the dentry, -ENOENT, or -errno of the file system.
 * @linux fs/namei.c:lookup_dcache, lookup_slow
 */
export function lookupOne(dir: Dentry, name: string): Dentry | number {
  if (!dir.loaded) {
    const err = loadDir(dir);
    if (err !== 0) return err;
  }
  const child = dir.children?.get(name);
  if (child !== undefined) {
    const err = child.dInode === null ? loadInode(child) : 0;
    return err === 0 ? child : err;
  }
  const { iOps } = dir.inode;
  return iOps.lookup === undefined ? -ENOENT : iOps.lookup(dir, name);
}

/** Whether a directory has no entries. @returns 0, -ENOTEMPTY or -errno. */
export function dirEmpty(dir: Dentry): number {
  const err = loadDir(dir);
  if (err !== 0) return err;
  return dir.children === null || dir.children.size === 0 ? 0 : -ENOTEMPTY;
}

/** Whether `dentry` is `dir` or below it. */
export function isBelow(dentry: Dentry, dir: Dentry): boolean {
  for (let d = dentry; ; d = d.parent) {
    if (d === dir) return true;
    if (d.parent === d) return false;
  }
}

/**
 * Emits a directory of the dentry tree from file.pos on.
 * @returns 0 or -errno.
 * @linux fs/libfs.c:dcache_readdir
 */
export function dcacheReaddir(file: File, emit: DirEmit): number {
  const dir = file.path.dentry;
  const err = loadDir(dir);
  if (err !== 0) return err;
  if (!emitDots(file, dir.inode.ino, dir.parent.inode.ino, emit)) return 0;
  if (dir.children === null) return 0;
  for (const child of dir.children.values()) {
    if (child.cookie < file.pos) continue;
    const next = child.cookie + 1;
    const inode = child.dInode;
    const ino = inode === null ? child.ino : inode.ino;
    const type = inode === null ? child.type : inode.mode >>> 12;
    if (!emit(child.name, ino, type, next)) return 0;
    file.pos = next;
  }
  return 0;
}

/** Position after "." and "..": where a directory's own entries start. */
export const FIRST_ENTRY = 2;
const DT_DIR = 4;

/** Emits "." and ".." at positions 0 and 1. @returns false when the buffer is full. */
export function emitDots(file: File, ino: number, parentIno: number, emit: DirEmit): boolean {
  if (file.pos === 0) {
    if (!emit('.', ino, DT_DIR, 1)) return false;
    file.pos = 1;
  }
  if (file.pos === 1) {
    if (!emit('..', parentIno, DT_DIR, FIRST_ENTRY)) return false;
    file.pos = FIRST_ENTRY;
  }
  return true;
}

/**
 * The path as the process with root `root` sees it.
 * @linux fs/d_path.c:d_path
 */
export function dPath(root: Path, path: Path): string {
  const text = pathFrom(root, path);
  return text ?? `(unreachable)${pathFrom(null, path) ?? ''}`;
}

/** Directories count the ".." of their subdirectories. */
export function linkDirectory(dir: Inode, child: Inode): void {
  if (isDir(child.mode)) dir.nlink++;
}

export function unlinkDirectory(dir: Inode, child: Inode): void {
  if (isDir(child.mode)) dir.nlink--;
}
