/** /dev/null, zero, full, random and urandom. @linux drivers/char/mem.c, drivers/char/random.c */

import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import { copyToIter, iovAdvance, iovZero, type IovIter } from '../mm/iov_iter.ts';
import { genericFileMmap } from '../mm/filemap.ts';
import type { Vma } from '../mm/mm_types.ts';
import { shmemFileSetup } from '../mm/shmem.ts';
import { VM_SHARED } from '../mm/vma.ts';
import { EFAULT, EINVAL, ENODEV, ENOSPC } from '../uapi/errno.ts';
import { makeDev } from '../uapi/stat.ts';
import type { File, FileOps, Vfs } from './fs_types.ts';
import { noopLlseek, nullLlseek } from './llseek.ts';

const MEM_MAJOR = 1;
export const NULL_DEV = makeDev(MEM_MAJOR, 3);
export const ZERO_DEV = makeDev(MEM_MAJOR, 5);
export const FULL_DEV = makeDev(MEM_MAJOR, 7);
export const RANDOM_DEV = makeDev(MEM_MAJOR, 8);
export const URANDOM_DEV = makeDev(MEM_MAJOR, 9);

/** Takes everything. */
function writeNull(_file: File, from: IovIter): number {
  const n = from.remaining;
  iovAdvance(from, n);
  return n;
}

function readZero(_file: File, to: IovIter): number {
  const want = to.remaining;
  const n = iovZero(to, want);
  return n === 0 && want > 0 ? -EFAULT : n;
}

/** Private mappings are anonymous memory, shared ones a nameless file. @linux drivers/char/mem.c:mmap_zero */
function mmapZero(file: File, vma: Vma): number {
  const shared = (vma.flags & VM_SHARED) !== 0;
  const { pgdat } = file.inode.sb.vfs;
  vma.file = shared ? shmemFileSetup(pgdat, '/dev/zero (deleted)', vma.end - vma.start) : null;
  file.putFile();
  if (vma.file === null) return 0;
  vma.pgoff = 0;
  return genericFileMmap(vma.file, vma);
}

/** Random bytes handed out at a time. */
const RANDOM_CHUNK = PAGE_SIZE;

function readRandom(file: File, to: IovIter): number {
  const { vfs } = file.inode.sb;
  const buffer = new Uint8Array(Math.min(RANDOM_CHUNK, to.remaining));
  let done = 0;
  while (to.remaining > 0) {
    const n = Math.min(buffer.length, to.remaining);
    vfs.random(buffer);
    const copied = copyToIter(to, buffer, 0, n);
    done += copied;
    if (copied < n) return done > 0 ? done : -EFAULT;
  }
  return done;
}

const nullOps: FileOps = {
  read: () => 0,
  write: writeNull,
  llseek: nullLlseek,
  mmap: () => -ENODEV,
};
const zeroOps: FileOps = {
  read: readZero,
  write: writeNull,
  llseek: nullLlseek,
  mmap: mmapZero,
};
const fullOps: FileOps = { read: readZero, write: () => -ENOSPC, llseek: nullLlseek };
const randomOps: FileOps = {
  read: readRandom,
  write: writeNull,
  llseek: noopLlseek,
  fsync: () => -EINVAL,
};

/** Makes the memory devices known. */
export function initMemDevices(vfs: Vfs): void {
  vfs.chrdevs.set(NULL_DEV, nullOps);
  vfs.chrdevs.set(ZERO_DEV, zeroOps);
  vfs.chrdevs.set(FULL_DEV, fullOps);
  vfs.chrdevs.set(RANDOM_DEV, randomOps);
  vfs.chrdevs.set(URANDOM_DEV, randomOps);
}
