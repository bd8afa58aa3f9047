/** The heap: brk and the anonymous areas that loading a program needs. @linux mm/mmap.c:SYSCALL_DEFINE1(brk) */

import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import { pageAlignUp, TASK_SIZE, vpn, type Vaddr } from '../arch/riscv/pgtable.ts';
import { EAGAIN, EINVAL, ENOMEM } from '../uapi/errno.ts';
import { mmPopulate } from './gup.ts';
import { doMunmap, findVmaIntersection, vmStartGap } from './mmap.ts';
import { MAX_MAP_COUNT, mayExpandVm, mlockFutureOk, vmEnoughMemory } from './mmap_limits.ts';
import { Vma, type MmStruct } from './mm_types.ts';
import {
  VM_ACCOUNT,
  VM_EXEC,
  VM_LOCKED,
  VM_MAYEXEC,
  VM_MAYREAD,
  VM_MAYWRITE,
  VM_READ,
  VM_SOFTDIRTY,
  VM_WRITE,
} from './vma.ts';
import { vmaInsert } from './vma_link.ts';
import { vmaMergeNewRange } from './vma_merge.ts';

/** @linux VM_DATA_DEFAULT_FLAGS | VM_ACCOUNT */
const BRK_FLAGS = VM_READ | VM_WRITE | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC | VM_ACCOUNT;

/** Adds anonymous memory at [start, end), which is free. @linux mm/mmap.c:do_brk_flags */
function doBrkFlags(mm: MmStruct, start: Vaddr, end: Vaddr, extra: number): number {
  const flags = BRK_FLAGS | VM_SOFTDIRTY | mm.defFlags | extra;
  const pages = (end - start) / PAGE_SIZE;
  if (!mlockFutureOk(mm, flags, end - start)) return -EAGAIN;
  if (!mayExpandVm(mm, flags, pages) || mm.vmas.size > MAX_MAP_COUNT) return -ENOMEM;
  if (!vmEnoughMemory(mm, pages)) return -ENOMEM;
  const kind = { flags, file: null, ops: null, anonName: null, uffdCtx: null };
  const vmg = { mm, start, end, pgoff: vpn(start), kind, copiedFrom: null, keepSource: false };
  if (vmaMergeNewRange(vmg) !== null) return 0;
  vmaInsert(new Vma(mm, start, end, flags, vpn(start)));
  return 0;
}

/**
 * Maps anonymous memory for a program being loaded, replacing what is there.
 * @param exec the memory is executable too.
 * @returns 0, -EINVAL, -ENOMEM or -EAGAIN.
 * @linux mm/mmap.c:vm_brk_flags
 */
export function vmBrkFlags(mm: MmStruct, addr: Vaddr, len: number, exec: boolean): number {
  const bytes = pageAlignUp(len);
  if (bytes === 0) return 0;
  if (addr % PAGE_SIZE !== 0) return -EINVAL;
  if (addr + bytes > TASK_SIZE) return -ENOMEM;
  const err = doMunmap(mm, addr, bytes);
  if (err !== 0) return err;
  const added = doBrkFlags(mm, addr, addr + bytes, exec ? VM_EXEC : 0);
  if (added === 0 && (mm.defFlags & VM_LOCKED) !== 0) mmPopulate(mm, addr, addr + bytes, true);
  return added;
}

/** @returns false when the data segment would exceed RLIMIT_DATA. @linux include/linux/mm.h:check_data_rlimit */
function dataRlimitOk(mm: MmStruct, brk: Vaddr): boolean {
  return brk - mm.startBrk + (mm.endData - mm.startData) <= mm.limits.data;
}

/** Moves the end of the heap. @returns 0, or -errno with nothing changed. */
function moveBrk(mm: MmStruct, brk: Vaddr): number {
  if (brk < mm.startBrk || !dataRlimitOk(mm, brk) || brk > TASK_SIZE) return -ENOMEM;
  const from = pageAlignUp(mm.brk);
  const to = pageAlignUp(brk);
  if (to < from) {
    // Where nothing is left of the heap it cannot shrink.
    return findVmaIntersection(mm, to, from) === undefined ? -EINVAL : doMunmap(mm, to, from - to);
  }
  if (to === from) return 0;
  const next = mm.vmas.find(from);
  if (next !== undefined && to + PAGE_SIZE > vmStartGap(next)) return -ENOMEM;
  const err = doBrkFlags(mm, from, to, 0);
  if (err === 0 && (mm.defFlags & VM_LOCKED) !== 0) mmPopulate(mm, from, to, true);
  return err;
}

/**
 * Sets the end of the heap.
 * @returns the end of the heap: `brk`, or the old one when that is impossible.
 */
export function doBrk(mm: MmStruct, brk: Vaddr): number {
  if (moveBrk(mm, brk) === 0) mm.brk = brk;
  return mm.brk;
}
