/**
 * Entries of leaf tables and what their table counts. RSS is the sum of these counters, so
 * whoever makes a leaf entry present or absent calls ptAccountAdd() or pageRemoveRmap().
 */

import {
  PTE_A,
  PTE_R,
  PTE_U,
  PTE_V,
  PTE_W,
  PTE_X,
  tableOf,
  type Pfn,
  type PtePtr,
} from '../arch/riscv/pgtable.ts';
import type { PgData } from './mm_types.ts';
import { putPage } from './page_alloc.ts';
import { PG_ANON, PG_SWAPBACKED } from './page.ts';
import { VM_EXEC, VM_READ, VM_SHARED, VM_WRITE } from './vma.ts';

/**
 * Leaf bits for a page of a VMA. A private mapping never gets W here: a page must first be
 * known to be exclusive. No access at all is a valid entry without U (the manual gives
 * R = W = X = 0 another meaning).
 * @linux mm/mmap.c:vm_get_page_prot
 */
export function vmGetPageProt(vmFlags: number): number {
  if ((vmFlags & (VM_READ | VM_WRITE | VM_EXEC)) === 0) return PTE_V | PTE_R;
  let bits = PTE_V | PTE_U | PTE_A;
  if ((vmFlags & (VM_READ | VM_WRITE)) !== 0) bits |= PTE_R;
  if ((vmFlags & VM_EXEC) !== 0) bits |= PTE_X;
  if ((vmFlags & (VM_WRITE | VM_SHARED)) === (VM_WRITE | VM_SHARED)) bits |= PTE_W;
  return bits;
}

/** Counts a page that the entry at `ptep` now maps. page.flags must say its kind. @hot */
export function ptAccountAdd(pgdat: PgData, ptep: PtePtr, pfn: Pfn): void {
  const { page } = pgdat;
  const table = tableOf(ptep);
  const flags = page.flags[pfn]!;
  if ((flags & PG_ANON) !== 0) page.ptAnon[table]!++;
  else if ((flags & PG_SWAPBACKED) !== 0) page.ptShmem[table]!++;
  else page.ptFile[table]!++;
}

/**
 * Drops the page that the entry at `ptep` mapped: its count in the table, its mapping and the
 * mapping's reference. The caller has overwritten the entry, or does so next. @hot
 * @linux mm/rmap.c:folio_remove_rmap_pte
 */
export function pageRemoveRmap(pgdat: PgData, ptep: PtePtr, pfn: Pfn): void {
  const { page } = pgdat;
  const table = tableOf(ptep);
  const flags = page.flags[pfn]!;
  const left = page.mapcount[pfn]! - 1;
  page.mapcount[pfn] = left;
  if ((flags & PG_ANON) !== 0) {
    page.ptAnon[table]!--;
    // Its AnonVma may end before a last reference that is not a mapping.
    if (left === 0) page.mapping[pfn] = 0;
  } else if ((flags & PG_SWAPBACKED) !== 0) page.ptShmem[table]!--;
  else page.ptFile[table]!--;
  putPage(pgdat, pfn);
}
