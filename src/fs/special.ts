/** Device nodes and fifos: opening one finds the operations of what it stands for. @linux fs/char_dev.c:chrdev_open, block/fops.c:blkdev_open, fs/inode.c:init_special_inode */

import { ENXIO } from '../uapi/errno.ts';
import { isBlk, isChr, isFifo } from '../uapi/stat.ts';
import type { File, FileOps, FsContext } from './fs_types.ts';

function specialOpen(file: File, ctx: FsContext): number {
  const { inode } = file;
  const { vfs } = inode.sb;
  let ops: FileOps | null | undefined;
  if (isChr(inode.mode)) ops = vfs.chrdevs.get(inode.rdev);
  else if (isBlk(inode.mode)) ops = vfs.blkdevs.get(inode.rdev)?.ops;
  else if (isFifo(inode.mode)) ops = vfs.fifoOps;
  if (ops === null || ops === undefined) return -ENXIO;
  file.fOps = ops;
  return ops.open === undefined ? 0 : ops.open(file, ctx);
}

/** Operations of every device node, fifo and socket inode. */
export const specialFileOps: FileOps = { open: specialOpen };

/** Operations of what exists but cannot be opened: the host's devices, fifos and sockets. */
export const noOpenFileOps: FileOps = { open: () => -ENXIO };
