/** Mounting, and freeing what file systems hold. @linux fs/super.c, fs/namespace.c, fs/libfs.c */

import { EBUSY, ENOTDIR } from '../uapi/errno.ts';
import { isDir } from '../uapi/stat.ts';
import {
  Dentry,
  evictInode,
  Inode,
  Mount,
  SuperBlock,
  type Path,
  type SuperOps,
  type Vfs,
} from './fs_types.ts';

/** A file system without blocks. */
export const PSEUDO_SUPER_OPS: SuperOps = {
  statfs: () => ({ blocks: 0, free: 0, files: 0, freeFiles: 0 }),
};

/**
 * A mount that is nowhere in the tree, for files whose name is all of their path.
 * @linux fs/namespace.c:kern_mount, fs/libfs.c:init_pseudo
 */
export function kernMount(vfs: Vfs, fsType: string, magic: number): Mount {
  const sb = new SuperBlock(vfs, fsType, magic, PSEUDO_SUPER_OPS, true);
  const root = new Dentry(sb, null, '', new Inode(sb, 0, {}, {}));
  return new Mount(vfs, root, null, fsType, 0);
}

/**
 * Mounts the tree below `root` on the directory `at` (null: as the root of everything).
 * @returns the mount, -ENOTDIR or -EBUSY.
 */
export function mountFs(
  vfs: Vfs,
  root: Dentry,
  at: Path | null,
  source: string,
  flags: number,
): Mount | number {
  if (at !== null) {
    if (isDir(at.dentry.inode.mode) !== isDir(root.inode.mode)) return -ENOTDIR;
    if (at.dentry.mounted !== null) return -EBUSY;
  }
  const mount = new Mount(vfs, root, at, source, flags);
  if (at !== null) at.dentry.mounted = mount;
  vfs.mounts.push(mount);
  return mount;
}

/** Frees every frame that files hold: the machine goes. No file may be open or mapped. */
export function killAllSuperBlocks(vfs: Vfs): void {
  for (const sb of vfs.superBlocks) {
    for (const inode of [...sb.caches]) evictInode(inode);
    sb.ops.kill?.(sb);
  }
  vfs.superBlocks.length = 0;
  vfs.mounts.length = 0;
}
