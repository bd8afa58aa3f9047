/**
 * Entries of leaf tables and what their table and their mm count. Whoever makes a leaf entry
 * present or absent calls ptAccountAdd() or pageRemoveRmap().
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
import {
  MM_ANONPAGES,
  MM_FILEPAGES,
  MM_SHMEMPAGES,
  MM_SWAPENTS,
  type MmStruct,
  type PgData,
  type Vma,
} from './mm_types.ts';
import { putPage } from './page_alloc.ts';
import { PG_ANON, PG_SWAPBACKED, PG_SWAPCACHE } from './page.ts';
import { folioFreeSwap } from './swap_state.ts';
import { VM_EXEC, VM_READ, VM_SHARED, VM_SOFTDIRTY, VM_WRITE } from './vma.ts';

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

/**
 * Leaf bits for a page that a read brings in. A shared mapping gets W at once, unless its first
 * write must be noticed to be known as soft-dirty.
 * @linux mm/vma.c:vma_set_page_prot, vma_wants_writenotify
 */
export function vmaPageProt(vma: Vma): number {
  const prot = vmGetPageProt(vma.flags);
  return (vma.flags & VM_SOFTDIRTY) === 0 ? prot & ~PTE_W : prot;
}

/** Which counter of an mm a mapped page with these flags belongs to. @linux include/linux/mm.h:mm_counter */
export function mmCounter(pageFlags: number): number {
  if ((pageFlags & PG_ANON) !== 0) return MM_ANONPAGES;
  return (pageFlags & PG_SWAPBACKED) !== 0 ? MM_SHMEMPAGES : MM_FILEPAGES;
}

/** Counts a page that the entry at `ptep`, private to `mm`, now maps. page.flags must say its kind. @hot */
export function ptAccountAdd(mm: MmStruct, ptep: PtePtr, pfn: Pfn): void {
  const { page } = mm.pgdat;
  const table = tableOf(ptep);
  const flags = page.flags[pfn]!;
  if ((flags & PG_ANON) !== 0) {
    page.ptAnon[table]!++;
    mm.rss[MM_ANONPAGES]!++;
  } else if ((flags & PG_SWAPBACKED) !== 0) {
    page.ptShmem[table]!++;
    mm.rss[MM_SHMEMPAGES]!++;
  } else {
    page.ptFile[table]!++;
    mm.rss[MM_FILEPAGES]!++;
  }
}

/**
 * Drops the page that the entry at `ptep` mapped: its count in the table, its mapping and the
 * mapping's reference; not the count of an mm. The caller has overwritten the entry, or does
 * so next. @hot
 */
export function pageRemoveRmapInPlace(pgdat: PgData, ptep: PtePtr, pfn: Pfn): void {
  const { page } = pgdat;
  const table = tableOf(ptep);
  const flags = page.flags[pfn]!;
  const left = page.mapcount[pfn]! - 1;
  page.mapcount[pfn] = left;
  if ((flags & PG_ANON) !== 0) {
    page.ptAnon[table]!--;
    if (left === 0) {
      // Its AnonVma may end before a last reference that is not a mapping.
      page.mapping[pfn] = 0;
      if ((flags & PG_SWAPCACHE) !== 0) folioFreeSwap(pgdat, pfn);
    }
  } else if ((flags & PG_SWAPBACKED) !== 0) page.ptShmem[table]!--;
  else page.ptFile[table]!--;
  putPage(pgdat, pfn);
}

/**
 * As pageRemoveRmapInPlace(), for an entry private to `mm`: uncounts the page there too.
 * @linux mm/rmap.c:folio_remove_rmap_pte
 */
export function pageRemoveRmap(mm: MmStruct, ptep: PtePtr, pfn: Pfn): void {
  mm.rss[mmCounter(mm.pgdat.page.flags[pfn]!)]!--;
  pageRemoveRmapInPlace(mm.pgdat, ptep, pfn);
}

/** Counts (sign 1) or uncounts (-1) for `mm` what a leaf table maps. */
export function addTableRss(mm: MmStruct, table: Pfn, sign: 1 | -1): void {
  const { page } = mm.pgdat;
  const { rss } = mm;
  rss[MM_ANONPAGES]! += sign * page.ptAnon[table]!;
  rss[MM_FILEPAGES]! += sign * page.ptFile[table]!;
  rss[MM_SHMEMPAGES]! += sign * page.ptShmem[table]!;
  rss[MM_SWAPENTS]! += sign * page.ptSwap[table]!;
}
