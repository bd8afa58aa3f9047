/**
 * Block devices: pages of bytes that swap can be switched on. A program reads and writes them
 * at any offset; nothing is cached, the host caches already.
 *
 * @linux block/bdev.c, block/fops.c, block/ioctl.c
 */

import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import { copyFromIter, copyToIter, type IovIter } from '../mm/iov_iter.ts';
import type { MmStruct } from '../mm/mm_types.ts';
import type { SwapDevice } from '../mm/swap_types.ts';
import { putUser32, putUser64 } from '../mm/uaccess.ts';
import { EFAULT, EINVAL, ENOSPC, ENOTTY } from '../uapi/errno.ts';
import { SEEK_END } from '../uapi/fcntl.ts';
import { BLKGETSIZE, BLKGETSIZE64, BLKPBSZGET, BLKROGET, BLKSSZGET } from '../uapi/ioctl.ts';
import type { File, FileOps } from './fs_types.ts';
import { genericFileLlseek } from './llseek.ts';

/** For experimental use, in Linux's list of majors. */
export const SWAP_MAJOR = 240;
/** Unit of BLKGETSIZE and smallest of what a device does. */
const SECTOR_SIZE = 512;

/** Name in /dev. */
export function swapDeviceName(minor: number): string {
  return `swap${minor}`;
}

/** Passes the pages of [pos, pos + len) to `transfer` one by one. @returns bytes done, or -errno when there are none. */
function eachPage(
  pos: number,
  len: number,
  transfer: (page: number, offset: number, want: number) => number,
): number {
  let done = 0;
  while (done < len) {
    const at = pos + done;
    const offset = at % PAGE_SIZE;
    const want = Math.min(PAGE_SIZE - offset, len - done);
    const n = transfer(Math.floor(at / PAGE_SIZE), offset, want);
    if (n < 0) return done > 0 ? done : n;
    done += n;
    if (n < want) return done > 0 ? done : -EFAULT;
  }
  return done;
}

function blkdevRead(device: SwapDevice, to: IovIter, pos: number): number {
  const buffer = new Uint8Array(PAGE_SIZE);
  const len = Math.min(to.remaining, Math.max(0, device.bytes - pos));
  return eachPage(pos, len, (page, offset, want) => {
    const err = device.readPage(page, buffer, 0);
    return err !== 0 ? err : copyToIter(to, buffer, offset, want);
  });
}

function blkdevWrite(device: SwapDevice, from: IovIter, pos: number): number {
  const buffer = new Uint8Array(PAGE_SIZE);
  if (pos >= device.bytes) return from.remaining === 0 ? 0 : -ENOSPC;
  const len = Math.min(from.remaining, device.bytes - pos);
  return eachPage(pos, len, (page, offset, want) => {
    const whole = want === PAGE_SIZE;
    let err = whole ? 0 : device.readPage(page, buffer, 0);
    if (err !== 0) return err;
    const n = copyFromIter(from, buffer, offset, want);
    if (whole && n < want) return 0;
    err = device.writePage(page, buffer, 0);
    return err !== 0 ? err : n;
  });
}

function blkdevIoctl(device: SwapDevice, cmd: number, arg: number, mm: MmStruct): number {
  switch (cmd) {
    case BLKGETSIZE64:
      return putUser64(mm, arg, device.bytes);
    case BLKGETSIZE:
      return putUser64(mm, arg, device.bytes / SECTOR_SIZE);
    case BLKSSZGET:
    case BLKPBSZGET:
      return putUser32(mm, arg, SECTOR_SIZE);
    case BLKROGET:
      return putUser32(mm, arg, 0);
    default:
      return -ENOTTY;
  }
}

function blkdevLlseek(device: SwapDevice, file: File, offset: number, whence: number): number {
  if (whence !== SEEK_END) return genericFileLlseek(file, offset, whence);
  const at = device.bytes + offset;
  if (at < 0) return -EINVAL;
  file.pos = at;
  return at;
}

/** Operations of the nodes of a device. */
export function blockFileOps(device: SwapDevice): FileOps {
  return {
    read: (_file, to, pos) => blkdevRead(device, to, pos),
    write: (_file, from, pos) => blkdevWrite(device, from, pos),
    ioctl: (_file, cmd, arg, mm) => blkdevIoctl(device, cmd, arg, mm),
    llseek: (file, offset, whence) => blkdevLlseek(device, file, offset, whence),
    fsync: () => 0,
  };
}
