/** The tree a machine starts with: root, /dev, /tmp and mounts of host directories. @linux init/do_mounts.c, drivers/base/devtmpfs.c */

import { ENOTDIR } from '../uapi/errno.ts';
import { AT_FDCWD } from '../uapi/fcntl.ts';
import { MS_NODEV, MS_NOSUID, MS_RDONLY, MS_RELATIME } from '../uapi/mount.ts';
import { isDir, makeDev, S_IFCHR } from '../uapi/stat.ts';
import { FsStruct, Path, Vfs, type Dentry, type FsContext, type Timespec } from './fs_types.ts';
import { createHostfs, createHostOverlay } from './hostfs.ts';
import { FULL_DEV, initMemDevices, NULL_DEV, RANDOM_DEV, URANDOM_DEV, ZERO_DEV } from './mem.ts';
import { LOOKUP_FOLLOW, pathLookup } from './namei.ts';
import { vfsMkdir, vfsMknod, vfsSymlink } from './namei_create.ts';
import { hostContext } from './open.ts';
import { initPipefs } from './pipe.ts';
import { mountFs } from './super.ts';
import { createTmpfs } from './tmpfs.ts';
import type { PgData } from '../mm/mm_types.ts';

/** What the root file system is made of. */
export interface RootOptions {
  /** Host directory under a layer of memory; null for an empty tmpfs. Absolute, its own links resolved. */
  readonly host: string | null;
  /** Read-only host directories and where the guest sees them. */
  readonly mounts: readonly { readonly host: string; readonly guest: string }[];
}

const TTY_DEV = makeDev(5, 0);
const CONSOLE_DEV = makeDev(5, 1);
const TTY_MODE = 0o666;
const STICKY_ALL = 0o1777;

/** Empty fs/ state of a machine. @param now the wall clock. */
export function createVfs(
  pgdat: PgData,
  now: () => Timespec,
  random: (buffer: Uint8Array) => void,
): Vfs {
  const vfs = new Vfs(pgdat, { now, random });
  initMemDevices(vfs);
  initPipefs(vfs);
  return vfs;
}

function followed(ctx: FsContext, path: string): Path | number {
  return pathLookup(ctx, AT_FDCWD, path, LOOKUP_FOLLOW);
}

/** Makes a directory and those above it. Links on the way are followed inside the guest. @returns it or -errno. */
export function mkdirAll(ctx: FsContext, path: string): Path | number {
  let at = '';
  for (const name of path.split('/')) {
    if (name === '') continue;
    at += `/${name}`;
    const found = followed(ctx, at);
    if (typeof found !== 'number') continue;
    const err = vfsMkdir(ctx, AT_FDCWD, at, 0o755);
    if (err !== 0) return err;
  }
  return followed(ctx, at === '' ? '/' : at);
}

/** Mounts the tree below `root` at `path`, which is made if need be. @returns 0 or -errno. */
export function mountAt(
  ctx: FsContext,
  root: Dentry,
  path: string,
  source: string,
  flags: number,
): number {
  const at = mkdirAll(ctx, path);
  if (typeof at === 'number') return at;
  const mount = mountFs(root.sb.vfs, root, at, source, flags);
  return typeof mount === 'number' ? mount : 0;
}

const DEVICES: readonly (readonly [string, number, number])[] = [
  ['null', NULL_DEV, 0o666],
  ['zero', ZERO_DEV, 0o666],
  ['full', FULL_DEV, 0o666],
  ['random', RANDOM_DEV, 0o666],
  ['urandom', URANDOM_DEV, 0o666],
  ['tty', TTY_DEV, TTY_MODE],
  ['console', CONSOLE_DEV, 0o620],
];

const DEV_LINKS: readonly (readonly [string, string])[] = [
  ['fd', '/proc/self/fd'],
  ['stdin', '/proc/self/fd/0'],
  ['stdout', '/proc/self/fd/1'],
  ['stderr', '/proc/self/fd/2'],
];

/** /dev with its nodes, /dev/shm and /dev/pts. */
function mountDev(vfs: Vfs, ctx: FsContext): number {
  const err =
    mountAt(ctx, createTmpfs(vfs, 'devtmpfs', 0o755), '/dev', 'devtmpfs', MS_NOSUID | MS_RELATIME) ||
    mountAt(ctx, createTmpfs(vfs, 'tmpfs', STICKY_ALL), '/dev/shm', 'tmpfs', MS_NOSUID | MS_NODEV);
  if (err !== 0) return err;
  const pts = createTmpfs(vfs, 'devpts', 0o755);
  const ptsErr = mountAt(ctx, pts, '/dev/pts', 'devpts', MS_NOSUID);
  if (ptsErr !== 0) return ptsErr;
  vfs.devPts = pts;
  for (const [name, dev, mode] of DEVICES) {
    const made = vfsMknod(ctx, AT_FDCWD, `/dev/${name}`, S_IFCHR | mode, dev);
    if (made !== 0) return made;
  }
  for (const [name, target] of DEV_LINKS) {
    const made = vfsSymlink(ctx, target, AT_FDCWD, `/dev/${name}`);
    if (made !== 0) return made;
  }
  return 0;
}

function mountTmp(vfs: Vfs, ctx: FsContext): number {
  return mountAt(ctx, createTmpfs(vfs, 'tmpfs', STICKY_ALL), '/tmp', 'tmpfs', MS_NOSUID | MS_NODEV);
}

function mountHost(vfs: Vfs, ctx: FsContext, host: string, guest: string): number {
  const root = createHostfs(vfs, host);
  if (typeof root === 'number') return root;
  if (!isDir(root.inode.mode)) return -ENOTDIR;
  return mountAt(ctx, root, guest, host, MS_RDONLY | MS_RELATIME);
}

/**
 * Mounts everything but /proc and /sys, which know tasks.
 * @returns root and working directory of the first program; -ENOENT, -EACCES, -ENOTDIR for a
 *   host directory that cannot be used.
 */
export function buildRootFs(vfs: Vfs, options: RootOptions): FsStruct | number {
  const { host } = options;
  const root = host === null ? createTmpfs(vfs, 'tmpfs', 0o755) : createHostOverlay(vfs, host);
  if (typeof root === 'number') return root;
  if (!isDir(root.inode.mode)) return -ENOTDIR;
  const mount = mountFs(vfs, root, null, host === null ? 'tmpfs' : 'overlay', MS_RELATIME);
  if (typeof mount === 'number') return mount;
  const path = new Path(mount, root);
  const fs = new FsStruct(path, path, 0);
  const ctx = hostContext(fs);
  const err = mountDev(vfs, ctx) || mountTmp(vfs, ctx);
  if (err !== 0) return err;
  for (const { host: dir, guest } of options.mounts) {
    const mounted = mountHost(vfs, ctx, dir, guest);
    if (mounted !== 0) return mounted;
  }
  return new FsStruct(path, path, 0o022);
}
