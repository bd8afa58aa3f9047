/** Mounting, and freeing what file systems hold. @linux fs/super.c, fs/namespace.c */

import { EBUSY, ENOTDIR } from '../uapi/errno.ts';
import { isDir } from '../uapi/stat.ts';
import { evictInode, Mount, type Dentry, type Path, type Vfs } from './fs_types.ts';

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
