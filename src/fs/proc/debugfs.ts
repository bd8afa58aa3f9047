/** /sys/kernel/debug: files for those who test the kernel; for root only. @linux fs/debugfs/inode.c */

import type { Kernel } from '../../kernel/kernel.ts';
import { S_IFDIR } from '../../uapi/stat.ts';
import { DEBUGFS_MAGIC } from '../../uapi/statfs.ts';
import { dcacheReaddir } from '../dcache.ts';
import { Dentry, Inode, SuperBlock, type Vfs } from '../fs_types.ts';
import { dirLlseek } from '../llseek.ts';
import { PSEUDO_SUPER_OPS } from '../super.ts';
import { procCreate } from './generic.ts';
import { GUP_TEST_OPS, GupTest } from './gup_test.ts';

/** Makes the debugfs of a machine; the caller mounts it. */
export function createDebugfs(vfs: Vfs, kernel: Kernel): Dentry {
  const sb = new SuperBlock(vfs, 'debugfs', DEBUGFS_MAGIC, PSEUDO_SUPER_OPS);
  const fOps = { iterate: dcacheReaddir, llseek: dirLlseek };
  const root = new Dentry(sb, null, '', new Inode(sb, S_IFDIR | 0o700, {}, fOps));
  root.loaded = true;
  procCreate(root, 'gup_test', 0o600, GUP_TEST_OPS).data = new GupTest(kernel);
  return root;
}
