/**
 * Advice that looks at every page of a range and leaves it mapped: which are not needed soon
 * (MADV_COLD), not needed now (MADV_PAGEOUT), or not needed at all unless written again
 * (MADV_FREE).
 *
 *     advice          page                                    entry
 *     MADV_COLD       to the tail of the inactive list        A cleared
 *     MADV_PAGEOUT    reclaimed: to swap, to its file         swap entry, or none
 *     MADV_FREE       dropped under pressure if still clean   A and D cleared; swap entries go
 *
 * The first two are hints about pages that only this process maps: entries change in place,
 * whoever shares the table with others is passed over. MADV_FREE changes what a process may
 * read, so it needs private tables.
 *
 * @linux mm/madvise.c
 */

import {
  entryPtr,
  pteIndex,
  pteIsGuard,
  pteIsMarker,
  ptePfn,
  PTE_A,
  PTE_D,
  PTE_SPECIAL,
  PTE_V,
  PTE_WORDS,
  PTRS_PER_TABLE,
  type Pfn,
  type Pte,
  type Vaddr,
} from '../arch/riscv/pgtable.ts';
import { MM_SWAPENTS, type MmStruct, type PgData, type Vma } from './mm_types.ts';
import { PG_DIRTY, PG_LRU, PG_SWAPCACHE } from './page.ts';
import { PageUsersWalk, pageUsersVia } from './page_users.ts';
import { pteLast, walkLeafTables } from './pagewalk.ts';
import { pathFlags } from './pgtable.ts';
import { folioDeactivate, folioMarkLazyfree } from './swap.ts';
import { folioFreeSwap, freeSwapAndCache } from './swap_state.ts';
import { isSwapPte, pteToSwapEntry } from './swap_types.ts';
import { flushTlbRange } from './tlbflush.ts';
import { reclaimPages } from './vmscan.ts';

/** Pages of one leaf table that only the process that asks maps. */
class OwnPages {
  readonly pfns = new Int32Array(PTRS_PER_TABLE);
  n = 0;
  readonly walk: PageUsersWalk;

  constructor(pgdat: PgData) {
    this.walk = new PageUsersWalk(pgdat);
  }
}

/**
 * Collects the pages of entries [first, last) that are on an LRU list and that nobody else
 * maps, and clears A of their entries. @hot
 * @param shared others may reach the table.
 */
function collectOwnPages(
  own: OwnPages,
  table: Pfn,
  first: number,
  last: number,
  shared: boolean,
): void {
  const { pgdat } = own.walk;
  const { u32 } = pgdat.ram;
  const { flags, mapcount } = pgdat.page;
  own.n = 0;
  for (let slot = first; slot < last; slot++) {
    const at = entryPtr(table, slot);
    const pte = u32[at] as Pte;
    if ((pte & (PTE_V | PTE_SPECIAL)) !== PTE_V) continue;
    const pfn = ptePfn(pte);
    if ((flags[pfn]! & PG_LRU) === 0 || mapcount[pfn] !== 1) continue;
    if (shared && pageUsersVia(own.walk, table, slot, pfn) !== 1) continue;
    u32[at] = pte & ~PTE_A;
    own.pfns[own.n++] = pfn;
  }
}

/**
 * MADV_COLD and MADV_PAGEOUT for a part of one VMA.
 * @linux mm/madvise.c:madvise_cold_or_pageout_pte_range
 * @patch 07/14
 */
export function madviseColdOrPageout(vma: Vma, start: Vaddr, end: Vaddr, pageout: boolean): void {
  const { mm } = vma;
  const { pgdat } = mm;
  const own = new OwnPages(pgdat);
  walkLeafTables(mm, start, end, (pmdp, addr, next) => {
    const table = ptePfn(pgdat.ram.u32[pmdp] as Pte);
    const shared = pathFlags(mm, addr) !== 0;
    collectOwnPages(own, table, pteIndex(addr), pteLast(addr, next), shared);
    if (pageout) reclaimPages(pgdat, own.pfns, own.n);
    else for (let i = 0; i < own.n; i++) folioDeactivate(pgdat, own.pfns[i] as Pfn);
    return 0;
  });
  flushTlbRange(mm, start, end);
}

/** Lets go of a page in swap, or of a page that could not be read. @returns swap entries dropped, 0 or 1. */
function freeNonpresentPte(pgdat: PgData, at: number, pte: Pte): number {
  const { u32 } = pgdat.ram;
  if (isSwapPte(pte)) {
    u32[at] = 0;
    freeSwapAndCache(pgdat, pteToSwapEntry(pte));
    return 1;
  }
  if (pteIsMarker(pte) && !pteIsGuard(pte)) u32[at] = 0;
  return 0;
}

/** @returns false for a page whose bytes others may still need: those of its mappings, or in swap. */
function cleanForFree(pgdat: PgData, pfn: Pfn): boolean {
  const { flags, mapcount } = pgdat.page;
  if ((flags[pfn]! & (PG_DIRTY | PG_SWAPCACHE)) === 0) return true;
  if (mapcount[pfn] !== 1 || !folioFreeSwap(pgdat, pfn)) return false;
  flags[pfn]! &= ~PG_DIRTY;
  return true;
}

/** Entries [first, last) of a private table. @hot @linux mm/madvise.c:madvise_free_pte_range */
function madviseFreePteRange(mm: MmStruct, table: Pfn, first: number, last: number): void {
  const { pgdat } = mm;
  const { u32 } = pgdat.ram;
  const end = entryPtr(table, last);
  let swap = 0;
  for (let at = entryPtr(table, first) as number; at < end; at += PTE_WORDS) {
    const pte = u32[at] as Pte;
    if ((pte & PTE_V) === 0) {
      if (pte !== 0) swap += freeNonpresentPte(pgdat, at, pte);
      continue;
    }
    if ((pte & PTE_SPECIAL) !== 0) continue;
    const pfn = ptePfn(pte);
    if (!cleanForFree(pgdat, pfn)) continue;
    u32[at] = pte & ~(PTE_A | PTE_D);
    folioMarkLazyfree(pgdat, pfn);
  }
  pgdat.page.ptSwap[table]! -= swap;
  mm.rss[MM_SWAPENTS]! -= swap;
}

/**
 * MADV_FREE for [start, end) of private anonymous VMAs. Tables that map something there are
 * private already.
 * @linux mm/madvise.c:madvise_free_single_vma
 * @patch 07/14
 */
export function madviseFree(mm: MmStruct, start: Vaddr, end: Vaddr): void {
  const { pgdat } = mm;
  walkLeafTables(mm, start, end, (pmdp, addr, next) => {
    const table = ptePfn(pgdat.ram.u32[pmdp] as Pte);
    madviseFreePteRange(mm, table, pteIndex(addr), pteLast(addr, next));
    return 0;
  });
  flushTlbRange(mm, start, end);
}
