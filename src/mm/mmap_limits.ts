/** What an address space may not exceed. @linux mm/mmap.c:may_expand_vm, mm/util.c:__vm_enough_memory */

import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import { MMF_HAS_MDWE } from './mm_struct.ts';
import type { MmStruct } from './mm_types.ts';
import { VM_EXEC, VM_LOCKED, VM_NORESERVE, VM_SHARED, VM_WRITE } from './vma.ts';
import { isDataMapping } from './vma_account.ts';

/** Where an unsigned long wraps: no range may reach it. */
export const ADDRESS_LIMIT = 2 ** 64;
/** VMAs a process may have. Linux's default (vm.max_map_count). */
export const MAX_MAP_COUNT = 65_530;
/** Lowest address that can be mapped, so that null pointers fault. Linux's default (vm.mmap_min_addr). */
export const MMAP_MIN_ADDR = 0x1_0000;
/** Unmapped bytes kept below a stack. Linux's default (stack_guard_gap = 256 pages). */
export const STACK_GUARD_GAP = 256 * PAGE_SIZE;

/** @returns false when `pages` more of a mapping with these flags would exceed RLIMIT_AS or RLIMIT_DATA. */
export function mayExpandVm(mm: MmStruct, vmFlags: number, pages: number): boolean {
  if ((mm.totalVm + pages) * PAGE_SIZE > mm.limits.as) return false;
  return !isDataMapping(vmFlags) || (mm.dataVm + pages) * PAGE_SIZE <= mm.limits.data;
}

/** Private writable memory that was not asked for without reserve: it counts as a promise of frames. */
export function accountableMapping(vmFlags: number): boolean {
  return (vmFlags & (VM_NORESERVE | VM_SHARED | VM_WRITE)) === VM_WRITE;
}

/**
 * Linux's default overcommit rule: only a single request larger than all memory and swap is refused.
 * @linux mm/util.c:__vm_enough_memory
 */
export function vmEnoughMemory(mm: MmStruct, pages: number): boolean {
  return pages <= mm.pgdat.managedFrames + mm.pgdat.swap.totalPages;
}

/** @returns false when locking `bytes` more would exceed RLIMIT_MEMLOCK. @linux mm/mmap.c:mlock_future_ok */
export function mlockFutureOk(mm: MmStruct, vmFlags: number, bytes: number): boolean {
  if ((vmFlags & VM_LOCKED) === 0 || mm.ipcLock) return true;
  return mm.lockedVm * PAGE_SIZE + bytes <= mm.limits.memlock;
}

/** @returns true when PR_SET_MDWE forbids a mapping with flags `old` to have `next`. @linux include/linux/mman.h:map_deny_write_exec */
export function mapDenyWriteExec(mm: MmStruct, old: number, next: number): boolean {
  if ((mm.flags & MMF_HAS_MDWE) === 0 || (next & VM_EXEC) === 0) return false;
  return (next & VM_WRITE) !== 0 || (old & VM_EXEC) === 0;
}

/** @linux mm/mlock.c:can_do_mlock */
export function canDoMlock(mm: MmStruct): boolean {
  return mm.ipcLock || mm.limits.memlock !== 0;
}
