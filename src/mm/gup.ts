/** Faulting pages in on request. @linux mm/gup.c */

import type { Vaddr } from '../arch/riscv/pgtable.ts';
import { EFAULT } from '../uapi/errno.ts';
import { populateRange } from './memory.ts';
import type { MmStruct, Vma } from './mm_types.ts';
import { VM_ACCESS_FLAGS, VM_IO, VM_LOCKONFAULT, VM_PFNMAP, VM_SHARED, VM_WRITE } from './vma.ts';

/**
 * Faults in [start, end) of one VMA: for writing where that saves a later copy.
 * @returns 0, -ENOMEM, or -EFAULT where a page cannot be had.
 * @linux mm/gup.c:populate_vma_page_range
 */
export function populateVmaPageRange(vma: Vma, start: Vaddr, end: Vaddr): number {
  if ((vma.flags & VM_LOCKONFAULT) !== 0) return 0;
  if ((vma.flags & VM_ACCESS_FLAGS) === 0) return -EFAULT;
  const write = (vma.flags & (VM_WRITE | VM_SHARED)) === VM_WRITE;
  return populateRange(vma.mm, start, end, write);
}

/**
 * Faults in what is mapped of [start, end).
 * @param ignoreErrors go on with the next VMA after an error.
 * @returns 0 or the first error.
 * @linux mm/gup.c:__mm_populate
 */
export function mmPopulate(mm: MmStruct, start: Vaddr, end: Vaddr, ignoreErrors: boolean): number {
  for (let addr = start; addr < end; ) {
    const vma = mm.vmas.find(addr);
    if (vma === undefined || vma.start >= end) break;
    const from = Math.max(vma.start, addr);
    const to = Math.min(vma.end, end);
    addr = to;
    if ((vma.flags & (VM_IO | VM_PFNMAP)) !== 0) continue;
    const err = populateVmaPageRange(vma, from, to);
    if (err !== 0 && !ignoreErrors) return err;
  }
  return 0;
}
