/** The tree of mounts a machine starts with. */

import { realpathSync } from 'node:fs';
import { devfsSetup } from '../fs/devfs.ts';
import { FsStruct, Path, Vfs, type Dentry, type FsContext, type Mount } from '../fs/fs_types.ts';
import { createHostfs, createHostOverlay } from '../fs/hostfs.ts';
import { LOOKUP_DIRECTORY, LOOKUP_FOLLOW, pathLookup } from '../fs/namei.ts';
import { vfsMkdir } from '../fs/namei_create.ts';
import { hostContext } from '../fs/open.ts';
import { createDebugfs } from '../fs/proc/debugfs.ts';
import { createProcfs } from '../fs/proc/root.ts';
import { createSysfs } from '../fs/proc/sysfs.ts';
import { mountFs } from '../fs/super.ts';
import { createTmpfs } from '../fs/tmpfs.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { NSEC_PER_SEC } from '../kernel/time.ts';
import { EEXIST, ENOTDIR } from '../uapi/errno.ts';
import { AT_FDCWD } from '../uapi/fcntl.ts';
import { MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY, MS_RELATIME } from '../uapi/mount.ts';
import { isDir } from '../uapi/stat.ts';
import { CowshedError, errnoError } from './errors.ts';

/** The root file system. */
export interface RootSpec {
  /** Directory of the host, seen through a layer of memory that takes all changes. Absent: empty. */
  readonly host?: string | undefined;
}

/** A directory of the host in the guest. */
export interface HostMount {
  readonly host: string;
  /** Absolute; made if it is not there. */
  readonly guest: string;
  readonly readOnly?: true | undefined;
}

/** Text of the host as the kernel's byte string. */
export function bytesOf(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}

function hostDirectory(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    const message = `Cannot mount "${path}": no such directory on the host`;
    throw new CowshedError('ENOENT', message, error);
  }
}

/** The wall clock for file times. */
function wallClock(kernel: Kernel): { sec: number; nsec: number } {
  const { clock } = kernel;
  const ns = clock.bootNsec + clock.now();
  const sec = Math.floor(ns / NSEC_PER_SEC);
  return { sec: clock.bootSec + sec, nsec: ns - sec * NSEC_PER_SEC };
}

function rootDentry(vfs: Vfs, spec: RootSpec): Dentry {
  if (spec.host === undefined) return createTmpfs(vfs, 'tmpfs', 0o755);
  const root = createHostOverlay(vfs, hostDirectory(spec.host));
  if (typeof root === 'number') throw errnoError(root, `mount "${spec.host}"`);
  return root;
}

/** Makes a directory and those above it; what exists is left alone. @throws CowshedError */
export function mkdirAll(ctx: FsContext, path: string, mode: number): void {
  let made = '';
  for (const name of path.split('/')) {
    if (name === '') continue;
    made += `/${name}`;
    const err = vfsMkdir(ctx, AT_FDCWD, made, mode);
    if (err !== 0 && err !== -EEXIST) throw errnoError(err, `make directory "${made}"`);
  }
}

function mountAt(
  ctx: FsContext,
  root: Dentry,
  guest: string,
  source: string,
  flags: number,
): Mount {
  mkdirAll(ctx, guest, 0o755);
  const at = pathLookup(ctx, AT_FDCWD, guest, LOOKUP_FOLLOW | LOOKUP_DIRECTORY);
  if (typeof at === 'number') throw errnoError(at, `mount on "${guest}"`);
  const mount = mountFs(root.sb.vfs, root, at, source, flags);
  if (typeof mount === 'number') throw errnoError(mount, `mount on "${guest}"`);
  return mount;
}

function mountHost(ctx: FsContext, vfs: Vfs, { host, guest }: HostMount): void {
  const root = createHostfs(vfs, hostDirectory(host));
  if (typeof root === 'number') throw errnoError(root, `mount "${host}"`);
  if (!isDir(root.inode.mode)) throw errnoError(-ENOTDIR, `mount "${host}"`);
  mountAt(ctx, root, bytesOf(guest), bytesOf(host), MS_RDONLY | MS_RELATIME);
}

/** The tree as the host sees it. */
export interface GuestTree {
  readonly vfs: Vfs;
  /** Root's rights, working directory /. */
  readonly context: FsContext;
  /** Where /dev is mounted. */
  readonly dev: Mount;
}

/**
 * Mounts everything.
 * @throws CowshedError for a host directory that cannot be used.
 */
export function createRootFs(
  kernel: Kernel,
  spec: RootSpec,
  mounts: readonly HostMount[],
): GuestTree {
  const vfs = new Vfs(kernel.pgdat, {
    now: () => wallClock(kernel),
    random: (buffer) => kernel.random.fill(buffer),
  });
  const source = spec.host === undefined ? 'tmpfs' : 'overlay';
  const devices = devfsSetup(vfs);
  const mount = mountFs(vfs, rootDentry(vfs, spec), null, source, MS_RELATIME);
  if (typeof mount === 'number') throw errnoError(mount, 'mount the root file system');
  const root = new Path(mount, mount.root);
  const context = hostContext(new FsStruct(root, root, 0));
  const system = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  const dev = mountAt(context, devices, '/dev', 'devtmpfs', MS_NOSUID);
  mountAt(context, createProcfs(vfs, kernel), '/proc', 'proc', system);
  mountAt(context, createSysfs(vfs, kernel), '/sys', 'sysfs', system);
  mountAt(context, createDebugfs(vfs, kernel), '/sys/kernel/debug', 'debugfs', system);
  mountAt(context, createTmpfs(vfs, 'tmpfs', 0o1777), '/tmp', 'tmpfs', MS_NOSUID | MS_NODEV);
  for (const each of mounts) mountHost(context, vfs, each);
  kernel.rootFs = new FsStruct(root, root, 0o022);
  return { vfs, context, dev };
}
