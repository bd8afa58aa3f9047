/**
 * Sealed mappings: what is mapped there, with which rights, is fixed for good.
 *
 * @linux mm/mseal.c
 */

import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import { pageAlignUp, type Vaddr } from '../arch/riscv/pgtable.ts';
import { EINVAL, ENOMEM } from '../uapi/errno.ts';
import { ADDRESS_LIMIT } from './mmap_limits.ts';
import type { MmStruct, Vma } from './mm_types.ts';
import { VM_SEALED } from './vma.ts';
import { vmaModify } from './vma_merge.ts';

/** @linux mm/vma.h:vma_is_sealed */
export function vmaIsSealed(vma: Vma): boolean {
  return (vma.flags & VM_SEALED) !== 0;
}

/** @returns true when a mapping that reaches into [start, end) is sealed. */
export function rangeIsSealed(mm: MmStruct, start: Vaddr, end: Vaddr): boolean {
  let vma = mm.vmas.find(start);
  while (vma !== undefined && vma.start < end) {
    if (vmaIsSealed(vma)) return true;
    vma = mm.vmas.next(vma);
  }
  return false;
}

/** @linux mm/mseal.c:range_contains_unmapped */
function rangeContainsUnmapped(mm: MmStruct, start: Vaddr, end: Vaddr): boolean {
  for (let addr = start; addr < end; ) {
    const vma = mm.vmas.find(addr);
    if (vma === undefined || vma.start > addr) return true;
    addr = vma.end;
  }
  return false;
}

/**
 * Seals all that is mapped in [start, start + len).
 *
 * @returns 0; -EINVAL (not aligned, or the address wraps); -ENOMEM (something is not mapped:
 *   nothing is sealed; or too many VMAs: what came before is).
 * @linux mm/mseal.c:do_mseal
 */
export function doMseal(mm: MmStruct, start: Vaddr, len: number): number {
  const end = start + pageAlignUp(len);
  if (start % PAGE_SIZE !== 0 || end >= ADDRESS_LIMIT) return -EINVAL;
  if (rangeContainsUnmapped(mm, start, end)) return -ENOMEM;
  for (let addr = start; addr < end; ) {
    const vma = mm.vmas.find(addr)!;
    const to = Math.min(vma.end, end);
    if (!vmaIsSealed(vma)) {
      const flags = vma.flags | VM_SEALED;
      if (vmaModify(vma, addr, to, flags, vma.anonName) === null) return -ENOMEM;
    }
    addr = to;
  }
  return 0;
}
