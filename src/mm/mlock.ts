/**
 * Locked memory: pages of VM_LOCKED VMAs are faulted in at once and stay.
 *
 * @linux mm/mlock.c
 */

import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import { pageAlignDown, pageAlignUp, TASK_SIZE, type Vaddr } from '../arch/riscv/pgtable.ts';
import { EAGAIN, EFAULT, EINVAL, ENOMEM, EPERM } from '../uapi/errno.ts';
import { MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT, MLOCK_ONFAULT } from '../uapi/mman.ts';
import { mmPopulate } from './gup.ts';
import { ADDRESS_LIMIT, canDoMlock } from './mmap_limits.ts';
import type { MmStruct, Vma } from './mm_types.ts';
import { VM_DROPPABLE, VM_LOCKED, VM_LOCKONFAULT, vmaIsSecretmem } from './vma.ts';
import { VM_SPECIAL, vmaModify } from './vma_merge.ts';

export const VM_LOCKED_MASK = VM_LOCKED | VM_LOCKONFAULT;

/** @linux mm/internal.h:vma_supports_mlock */
export function vmaSupportsMlock(vma: Vma): boolean {
  return (vma.flags & (VM_SPECIAL | VM_DROPPABLE)) === 0;
}

/** @returns 0, or -ENOMEM when there would be too many VMAs. @linux mm/mlock.c:mlock_fixup */
function mlockFixup(vma: Vma, start: Vaddr, end: Vaddr, lockFlags: number): number {
  const flags = (vma.flags & ~VM_LOCKED_MASK) | lockFlags;
  if (flags === vma.flags || !vmaSupportsMlock(vma) || vmaIsSecretmem(vma)) return 0;
  return vmaModify(vma, start, end, flags, vma.anonName) === null ? -ENOMEM : 0;
}

/** Stops at the first hole with -ENOMEM; what lies before it is changed. @linux mm/mlock.c:apply_vma_lock_flags */
function applyVmaLockFlags(mm: MmStruct, start: Vaddr, end: Vaddr, lockFlags: number): number {
  if (end >= ADDRESS_LIMIT) return -EINVAL;
  for (let addr = start; addr < end; ) {
    const vma = mm.vmas.find(addr);
    if (vma === undefined || vma.start > addr) return -ENOMEM;
    const to = vma.end < end ? vma.end : end;
    const err = mlockFixup(vma, addr, to, lockFlags);
    if (err !== 0) return err;
    addr = to;
  }
  return 0;
}

/** Pages of [start, end) that are locked already. @linux mm/mlock.c:count_mm_mlocked_page_nr */
function countMlockedPages(mm: MmStruct, start: Vaddr, end: Vaddr): number {
  let pages = 0;
  for (
    let vma = mm.vmas.find(start);
    vma !== undefined && vma.start < end;
    vma = mm.vmas.next(vma)
  ) {
    if ((vma.flags & VM_LOCKED) === 0) continue;
    pages += (Math.min(vma.end, end) - Math.max(vma.start, start)) / PAGE_SIZE;
  }
  return pages;
}

/** Bytes of the pages that `len` bytes from `addr` reach into; more than there are wraps to 0, as in Linux. */
function wholePages(addr: Vaddr, len: number): number {
  const bytes = pageAlignUp(len + (addr % PAGE_SIZE));
  return bytes >= ADDRESS_LIMIT ? bytes - ADDRESS_LIMIT : bytes;
}

/** @returns false when RLIMIT_MEMLOCK forbids to lock [start, end). What of it is locked already is not counted twice. */
function mayLock(mm: MmStruct, start: Vaddr, end: Vaddr): boolean {
  if (mm.ipcLock) return true;
  const limit = Math.floor(mm.limits.memlock / PAGE_SIZE);
  const locked = (end - start) / PAGE_SIZE + mm.lockedVm;
  return locked <= limit || locked - countMlockedPages(mm, start, end) <= limit;
}

/**
 * Locks [addr, addr + len), rounded out to pages, and faults it in.
 *
 * @param flags 0 or MLOCK_ONFAULT.
 * @returns 0; -EINVAL; -EPERM (RLIMIT_MEMLOCK is 0); -ENOMEM (limit, or not mapped, or a page
 *   cannot be had); -EAGAIN (memory is out).
 * @linux mm/mlock.c:do_mlock
 */
export function doMlock(mm: MmStruct, addr: Vaddr, len: number, flags: number): number {
  if ((flags & ~MLOCK_ONFAULT) !== 0) return -EINVAL;
  if (!canDoMlock(mm)) return -EPERM;
  const start = pageAlignDown(addr);
  const end = start + wholePages(addr, len);
  if (!mayLock(mm, start, end)) return -ENOMEM;
  const lockFlags = flags === 0 ? VM_LOCKED : VM_LOCKED_MASK;
  const err = applyVmaLockFlags(mm, start, end, lockFlags);
  return err !== 0 ? err : mlockPosixError(mmPopulate(mm, start, end, false));
}

/** @linux mm/mlock.c:__mlock_posix_error_return */
function mlockPosixError(err: number): number {
  if (err === -EFAULT) return -ENOMEM;
  return err === -ENOMEM ? -EAGAIN : err;
}

/** @returns 0, -ENOMEM where something is not mapped, or -EINVAL. @linux mm/mlock.c:SYSCALL_DEFINE2(munlock) */
export function doMunlock(mm: MmStruct, addr: Vaddr, len: number): number {
  const start = pageAlignDown(addr);
  return applyVmaLockFlags(mm, start, start + wholePages(addr, len), 0);
}

/** Sets the flags of future and present mappings; too many VMAs is no error. @linux mm/mlock.c:apply_mlockall_flags */
function applyMlockallFlags(mm: MmStruct, flags: number): void {
  const bits = (flags & MCL_ONFAULT) !== 0 ? VM_LOCKED_MASK : VM_LOCKED;
  mm.defFlags &= ~VM_LOCKED_MASK;
  if ((flags & MCL_FUTURE) !== 0) {
    mm.defFlags |= bits;
    if ((flags & MCL_CURRENT) === 0) return;
  }
  const lockFlags = (flags & MCL_CURRENT) !== 0 ? bits : 0;
  for (const vma of mm.vmas) mlockFixup(vma, vma.start, vma.end, lockFlags);
}

/**
 * @param flags MCL_*.
 * @returns 0, -EINVAL, -EPERM, or -ENOMEM when RLIMIT_MEMLOCK is too low.
 * @linux mm/mlock.c:SYSCALL_DEFINE1(mlockall)
 */
export function doMlockall(mm: MmStruct, flags: number): number {
  if (flags === 0 || (flags & ~(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)) !== 0) return -EINVAL;
  if (flags === MCL_ONFAULT) return -EINVAL;
  if (!canDoMlock(mm)) return -EPERM;
  const current = (flags & MCL_CURRENT) !== 0;
  const limit = Math.floor(mm.limits.memlock / PAGE_SIZE);
  if (current && !mm.ipcLock && mm.totalVm > limit) return -ENOMEM;
  applyMlockallFlags(mm, flags);
  if (current) mmPopulate(mm, 0, TASK_SIZE, true);
  return 0;
}

/** @linux mm/mlock.c:SYSCALL_DEFINE0(munlockall) */
export function doMunlockall(mm: MmStruct): number {
  applyMlockallFlags(mm, 0);
  return 0;
}
