/** The tree of mounts a machine starts with. */

import { realpathSync } from 'node:fs';
import type { FsContext } from '../fs/fs_types.ts';
import { hostContext } from '../fs/open.ts';
import { createProcfs } from '../fs/proc/root.ts';
import { buildRootFs, createVfs, mountAt } from '../fs/rootfs.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { NSEC_PER_SEC } from '../kernel/time.ts';
import { MS_NODEV, MS_NOEXEC, MS_NOSUID } from '../uapi/mount.ts';
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

/**
 * Mounts everything.
 * @returns the host's view of the tree: root's rights, working directory /.
 * @throws CowshedError for a host directory that cannot be used.
 */
export function createRootFs(
  kernel: Kernel,
  spec: RootSpec,
  mounts: readonly HostMount[],
): FsContext {
  const vfs = createVfs(
    kernel.pgdat,
    () => wallClock(kernel),
    (buffer) => kernel.random.fill(buffer),
  );
  const fs = buildRootFs(vfs, {
    host: spec.host === undefined ? null : hostDirectory(spec.host),
    mounts: mounts.map((m) => ({ host: hostDirectory(m.host), guest: bytesOf(m.guest) })),
  });
  if (typeof fs === 'number') throw errnoError(fs, 'mount the root file system');
  kernel.rootFs = fs;
  const ctx = hostContext(fs);
  const flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  const err = mountAt(ctx, createProcfs(vfs, kernel), '/proc', 'proc', flags);
  if (err !== 0) throw errnoError(err, 'mount "/proc"');
  return ctx;
}
