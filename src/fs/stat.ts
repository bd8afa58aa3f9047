/** What stat(2), statx(2) and statfs(2) say. @linux fs/stat.c, fs/statfs.c */

import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import { TWO32 } from '../lib/bits.ts';
import * as uapi from '../uapi/stat.ts';
import * as sfs from '../uapi/statfs.ts';
import { MS_RDONLY } from '../uapi/mount.ts';
import type { Inode, Mount, Timespec } from './fs_types.ts';

/** Units of st_blocks. */
const STAT_BLOCK = 512;
/** Bytes of a name. */
const NAME_LEN = 255;

function putNumber(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % TWO32, true);
  view.setInt32(at + 4, Math.floor(value / TWO32), true);
}

function putTime(view: DataView, at: number, time: Timespec): void {
  // Seconds before 1970 are negative: the low half is what is above a multiple of 2^32.
  const high = Math.floor(time.sec / TWO32);
  view.setUint32(at, time.sec - high * TWO32, true);
  view.setInt32(at + 4, high, true);
  view.setUint32(at + 8, time.nsec, true);
}

/** 512-byte blocks in use: cached pages, or the size of what is below. */
function blocksOf(inode: Inode): number {
  if (!uapi.isReg(inode.mode)) return 0;
  const { cache } = inode;
  const pages =
    cache === null || !cache.swapBacked ? Math.ceil(inode.size / PAGE_SIZE) : cache.pages.size;
  return pages * (PAGE_SIZE / STAT_BLOCK);
}

/** struct stat. */
export function fillStat(inode: Inode): Uint8Array {
  inode.iOps.getAttr?.(inode);
  const bytes = new Uint8Array(uapi.STAT_BYTES);
  const view = new DataView(bytes.buffer);
  putNumber(view, uapi.STAT_DEV, inode.sb.dev);
  putNumber(view, uapi.STAT_INO, inode.ino);
  view.setUint32(uapi.STAT_MODE, inode.mode, true);
  view.setUint32(uapi.STAT_NLINK, inode.nlink, true);
  view.setUint32(uapi.STAT_UID, inode.uid, true);
  view.setUint32(uapi.STAT_GID, inode.gid, true);
  putNumber(view, uapi.STAT_RDEV, inode.rdev);
  putNumber(view, uapi.STAT_SIZE, inode.size);
  view.setUint32(uapi.STAT_BLKSIZE, PAGE_SIZE, true);
  putNumber(view, uapi.STAT_BLOCKS, blocksOf(inode));
  putTime(view, uapi.STAT_ATIME, inode.atime);
  putTime(view, uapi.STAT_MTIME, inode.mtime);
  putTime(view, uapi.STAT_CTIME, inode.ctime);
  return bytes;
}

/** struct statx: everything we have, whatever was asked for. */
export function fillStatx(inode: Inode, mountId: number): Uint8Array {
  inode.iOps.getAttr?.(inode);
  const bytes = new Uint8Array(uapi.STATX_BYTES);
  const view = new DataView(bytes.buffer);
  const mask = uapi.STATX_BASIC_STATS | uapi.STATX_WANT_BTIME | uapi.STATX_WANT_MNT_ID;
  view.setUint32(uapi.STATX_MASK, mask, true);
  view.setUint32(uapi.STATX_BLKSIZE, PAGE_SIZE, true);
  view.setUint32(uapi.STATX_NLINK, inode.nlink, true);
  view.setUint32(uapi.STATX_UID, inode.uid, true);
  view.setUint32(uapi.STATX_GID, inode.gid, true);
  view.setUint16(uapi.STATX_MODE, inode.mode, true);
  putNumber(view, uapi.STATX_INO, inode.ino);
  putNumber(view, uapi.STATX_SIZE, inode.size);
  putNumber(view, uapi.STATX_BLOCKS, blocksOf(inode));
  putTime(view, uapi.STATX_ATIME, inode.atime);
  putTime(view, uapi.STATX_BTIME, inode.btime);
  putTime(view, uapi.STATX_CTIME, inode.ctime);
  putTime(view, uapi.STATX_MTIME, inode.mtime);
  view.setUint32(uapi.STATX_RDEV_MAJOR, uapi.devMajor(inode.rdev), true);
  view.setUint32(uapi.STATX_RDEV_MINOR, uapi.devMinor(inode.rdev), true);
  view.setUint32(uapi.STATX_DEV_MAJOR, uapi.devMajor(inode.sb.dev), true);
  view.setUint32(uapi.STATX_DEV_MINOR, uapi.devMinor(inode.sb.dev), true);
  putNumber(view, uapi.STATX_MNT_ID, mountId);
  return bytes;
}

/** struct statfs. */
export function fillStatfs(mount: Mount): Uint8Array {
  const { sb } = mount;
  const { blocks, free, files, freeFiles } = sb.ops.statfs(sb);
  const bytes = new Uint8Array(sfs.STATFS_BYTES);
  const view = new DataView(bytes.buffer);
  putNumber(view, sfs.F_TYPE, sb.magic);
  putNumber(view, sfs.F_BSIZE, PAGE_SIZE);
  putNumber(view, sfs.F_BLOCKS, blocks);
  putNumber(view, sfs.F_BFREE, free);
  putNumber(view, sfs.F_BAVAIL, free);
  putNumber(view, sfs.F_FILES, files);
  putNumber(view, sfs.F_FFREE, freeFiles);
  view.setUint32(sfs.F_FSID, sb.dev, true);
  putNumber(view, sfs.F_NAMELEN, NAME_LEN);
  putNumber(view, sfs.F_FRSIZE, PAGE_SIZE);
  const readOnly = sb.readOnly || (mount.flags & MS_RDONLY) !== 0;
  const flags = sfs.ST_VALID | sfs.ST_RELATIME | (readOnly ? sfs.ST_RDONLY : 0);
  putNumber(view, sfs.F_FLAGS, flags);
  return bytes;
}
