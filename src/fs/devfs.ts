/** /dev: device nodes and links. @linux drivers/base/devtmpfs.c, init/do_mounts.c */

import { bug } from '../lib/assert.ts';
import type { SwapDevice } from '../mm/swap_types.ts';
import { makeDev, S_IFBLK, S_IFCHR, S_IFDIR, S_IFLNK } from '../uapi/stat.ts';
import { blockFileOps, SWAP_MAJOR, swapDeviceName } from './block_dev.ts';
import type { Dentry, FsCred, Vfs } from './fs_types.ts';
import { FULL_DEV, initMemDevices, NULL_DEV, RANDOM_DEV, URANDOM_DEV, ZERO_DEV } from './mem.ts';
import { vfsCreate } from './namei_create.ts';
import { initPipefs } from './pipe.ts';
import { createTmpfs } from './tmpfs.ts';
import { CONSOLE_DEV, initTtyDevices, TTY_DEV } from './tty.ts';

const ROOT: FsCred = { fsuid: 0, fsgid: 0, groups: [] };

const DEVICES: readonly (readonly [string, number, number])[] = [
  ['null', NULL_DEV, 0o666],
  ['zero', ZERO_DEV, 0o666],
  ['full', FULL_DEV, 0o666],
  ['random', RANDOM_DEV, 0o666],
  ['urandom', URANDOM_DEV, 0o666],
  ['tty', TTY_DEV, 0o666],
  ['console', CONSOLE_DEV, 0o620],
];

const LINKS: readonly (readonly [string, string])[] = [
  ['fd', '/proc/self/fd'],
  ['stdin', '/proc/self/fd/0'],
  ['stdout', '/proc/self/fd/1'],
  ['stderr', '/proc/self/fd/2'],
];

function make(dir: Dentry, name: string, mode: number, rdev: number): Dentry {
  const made = vfsCreate(dir, name, mode, rdev, ROOT);
  return typeof made === 'number' ? bug(`devfs: cannot make ${name}`) : made;
}

/** Makes the node of a swap device, which only root may use. @param root what devfsSetup() gave. @returns its name. */
export function addSwapDevice(root: Dentry, minor: number, device: SwapDevice): string {
  const rdev = makeDev(SWAP_MAJOR, minor);
  root.sb.vfs.blkdevs.set(rdev, { device, ops: blockFileOps(device) });
  const name = swapDeviceName(minor);
  make(root, name, S_IFBLK | 0o660, rdev);
  return name;
}

/**
 * Makes devices, pipes and terminals work in a new machine.
 * @returns root of a file system for /dev; it has empty directories pts and shm.
 */
export function devfsSetup(vfs: Vfs): Dentry {
  initPipefs(vfs);
  initMemDevices(vfs);
  initTtyDevices(vfs);
  const root = createTmpfs(vfs, 'devtmpfs', 0o755);
  for (const [name, dev, mode] of DEVICES) make(root, name, S_IFCHR | mode, dev);
  for (const [name, target] of LINKS) {
    const { inode } = make(root, name, S_IFLNK | 0o777, 0);
    inode.link = target;
    inode.size = target.length;
  }
  make(root, 'shm', S_IFDIR | 0o1777, 0);
  vfs.devPts = make(root, 'pts', S_IFDIR | 0o755, 0);
  return root;
}
