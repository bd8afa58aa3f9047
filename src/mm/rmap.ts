/**
 * Operations on all mappings of one page, in place: an entry of a shared table is changed
 * once, for everybody who reaches it, and the counters of each of them follow. Nothing here
 * allocates, so reclaim works when no frame is left.
 *
 * Each works on what rmapWalk() found last. The caller flushes all TLBs before a guest runs.
 *
 * @linux mm/rmap.c
 * @patch 04/14
 */

import {
  PTE_A,
  PTE_D,
  PTE_SOFT_DIRTY,
  PTE_SWP_EXCLUSIVE,
  PTE_SWP_SOFT_DIRTY,
  PTE_W,
  tableOf,
  type Pfn,
} from '../arch/riscv/pgtable.ts';
import { vmaAddress } from './anon_vma.ts';
import { INPLACE_MKCLEAN, INPLACE_RECLAIM, type MmEvents } from './events.ts';
import { MM_ANONPAGES, MM_SWAPENTS, type PgData } from './mm_types.ts';
import { PG_ANON_EXCLUSIVE, PG_DIRTY } from './page.ts';
import { rmapWalk } from './page_vma_mapped.ts';
import { mmCounter, pageRemoveRmapInPlace } from './pte_ops.ts';
import { updateHiwaterRss } from './rss.ts';
import { swapEntryToPte, type SwapEntry } from './swap_types.ts';
import { swapDuplicate } from './swapfile.ts';

/** Entries that were used since the last look; they count as unused from now on. @linux mm/rmap.c:folio_referenced */
export function folioReferenced(pgdat: PgData): number {
  const { pteps, nrPteps } = pgdat.rmap;
  const { u32 } = pgdat.ram;
  let young = 0;
  for (let i = 0; i < nrPteps; i++) {
    const pte = u32[pteps[i]!]!;
    if ((pte & PTE_A) === 0) continue;
    u32[pteps[i]!] = pte & ~PTE_A;
    young++;
  }
  return young;
}

/** @returns true when a program wrote the page since its entries were last clean. */
export function folioMappedDirty(pgdat: PgData): boolean {
  const { pteps, nrPteps } = pgdat.rmap;
  const { u32 } = pgdat.ram;
  for (let i = 0; i < nrPteps; i++) if ((u32[pteps[i]!]! & PTE_D) !== 0) return true;
  return false;
}

/** Tells every mm that reaches the page: one page fewer of kind `from`; one more swap entry if `swapped`. */
function moveRss(pgdat: PgData, pfn: Pfn, from: number, swapped: boolean): void {
  const { vmas, nrVmas, nrPteps } = pgdat.rmap;
  if (nrVmas === 0) return;
  pgdat.vmstat.cowInplace[INPLACE_RECLAIM]! += nrVmas - nrPteps;
  for (let i = 0; i < nrVmas; i++) {
    const { mm } = vmas[i]!;
    updateHiwaterRss(mm);
    mm.rss[from]!--;
    if (swapped) mm.rss[MM_SWAPENTS]!++;
  }
  if (pgdat.events !== null) tellReclaim(pgdat, pgdat.events, pfn, swapped);
}

/** Names the page by one of the places where it was mapped. */
function tellReclaim(pgdat: PgData, events: MmEvents, pfn: Pfn, swapped: boolean): void {
  const { vmas, nrVmas, nrPteps } = pgdat.rmap;
  const [first] = vmas;
  const addr = vmaAddress(first!, pgdat.page.index[pfn]!);
  events.reclaim(first!.mm.id, addr, nrVmas, nrPteps, swapped);
}

/**
 * Puts a swap entry where an anonymous page is mapped. Its bytes are in the slot.
 * @linux mm/rmap.c:try_to_unmap_one
 * @patch 04/14
 */
export function tryToUnmapAnon(pgdat: PgData, pfn: Pfn, entry: SwapEntry): void {
  const { pteps, nrPteps } = pgdat.rmap;
  const { u32 } = pgdat.ram;
  const { flags, ptSwap } = pgdat.page;
  // The bit says what it says on the page: void while a table on the path is shared.
  const exclusive = (flags[pfn]! & PG_ANON_EXCLUSIVE) === 0 ? 0 : PTE_SWP_EXCLUSIVE;
  const swapPte = swapEntryToPte(entry) | exclusive;
  for (let i = 0; i < nrPteps; i++) {
    const ptep = pteps[i]!;
    const soft = (u32[ptep]! & PTE_SOFT_DIRTY) === 0 ? 0 : PTE_SWP_SOFT_DIRTY;
    u32[ptep] = swapPte | soft;
    ptSwap[tableOf(ptep)]!++;
    swapDuplicate(pgdat, entry);
    pageRemoveRmapInPlace(pgdat, ptep, pfn);
  }
  flags[pfn]! &= ~PG_ANON_EXCLUSIVE;
  moveRss(pgdat, pfn, MM_ANONPAGES, true);
}

/**
 * Takes a page out of its entries, which become empty: a page of a file, or an anonymous one
 * whose bytes nobody needs. What the entries say about writes goes to PG_DIRTY.
 * @linux mm/rmap.c:try_to_unmap_one
 * @patch 04/14
 */
export function tryToUnmapFile(pgdat: PgData, pfn: Pfn): void {
  const { pteps, nrPteps } = pgdat.rmap;
  const { u32 } = pgdat.ram;
  const { flags } = pgdat.page;
  for (let i = 0; i < nrPteps; i++) {
    const ptep = pteps[i]!;
    if ((u32[ptep]! & PTE_D) !== 0) flags[pfn]! |= PG_DIRTY;
    u32[ptep] = 0;
    pageRemoveRmapInPlace(pgdat, ptep, pfn);
  }
  moveRss(pgdat, pfn, mmCounter(flags[pfn]!), false);
}

/**
 * Makes every mapping of a page of a file clean and read-only, so that the next write is
 * noticed. What the entries said about writes goes to PG_DIRTY.
 * @returns true when an entry was writable or dirty.
 * @linux mm/rmap.c:folio_mkclean
 * @patch 04/14
 */
export function pageMkclean(pgdat: PgData, pfn: Pfn): boolean {
  rmapWalk(pgdat, pfn);
  const { pteps, nrPteps, nrVmas } = pgdat.rmap;
  const { u32 } = pgdat.ram;
  let cleaned = false;
  pgdat.vmstat.cowInplace[INPLACE_MKCLEAN]! += nrVmas - nrPteps;
  for (let i = 0; i < nrPteps; i++) {
    const pte = u32[pteps[i]!]!;
    if ((pte & (PTE_W | PTE_D)) === 0) continue;
    if ((pte & PTE_D) !== 0) pgdat.page.flags[pfn]! |= PG_DIRTY;
    u32[pteps[i]!] = pte & ~(PTE_W | PTE_D);
    cleaned = true;
  }
  return cleaned;
}
