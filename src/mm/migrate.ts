/**
 * Moving a page to another frame, under its program's feet.
 *
 *     frame A <- T[5] (shared by two processes)      frame B <- T[5]
 *             <- page cache or swap cache     -->            <- page cache or swap cache
 *
 * Done in place: every entry that names the page is written once, in shared tables for
 * everybody who reaches them. Nothing is counted anew, because no page appears or goes; nothing
 * is allocated. No program runs in between, so no migration entries are needed.
 *
 * @linux mm/migrate.c
 */

import { entryPfn, type Pfn, type Pte } from '../arch/riscv/pgtable.ts';
import { pageCacheOf, pageIndex } from './address_space.ts';
import type { AddressSpace, PgData } from './mm_types.ts';
import { copyPage, freePage } from './page_alloc.ts';
import { PG_LRU, PG_SWAPCACHE, PG_TABLE } from './page.ts';
import { rmapWalk } from './page_vma_mapped.ts';
import { lruAdd, lruDel } from './swap.ts';
import { swapEntryOffset, type SwapEntry } from './swap_types.ts';
import { swapInfoOf } from './swapfile.ts';

/** @returns true when nobody but entries and caches has the page: its frame may change. */
function movable(pgdat: PgData, pfn: Pfn, cache: AddressSpace | null): boolean {
  const { flags, mapcount, refcount } = pgdat.page;
  if ((flags[pfn]! & (PG_LRU | PG_TABLE)) !== PG_LRU) return false;
  if (cache?.unevictable) return false;
  const caches = (cache === null ? 0 : 1) + ((flags[pfn]! & PG_SWAPCACHE) === 0 ? 0 : 1);
  return refcount[pfn] === mapcount[pfn]! + caches && refcount[pfn] !== 0;
}

/** Gives the frame `to` everything that struct page says of `pfn`, its place on an LRU list included. */
function moveState(pgdat: PgData, pfn: Pfn, to: Pfn): void {
  const { flags, mapcount, refcount, mapping, index, private: entries } = pgdat.page;
  lruDel(pgdat, pfn, flags[pfn]!);
  flags[to] = flags[pfn]!;
  refcount[to] = refcount[pfn]!;
  mapcount[to] = mapcount[pfn]!;
  mapping[to] = mapping[pfn]!;
  index[to] = index[pfn]!;
  entries[to] = entries[pfn]!;
  mapcount[pfn] = 0;
  mapping[pfn] = 0;
  lruAdd(pgdat, to);
}

/**
 * Moves the page in frame `pfn` to the frame `to`, which the caller has allocated and which
 * belongs to the page afterwards; the old frame is free. The caller flushes all TLBs before a
 * guest runs.
 *
 * @returns true; false with nothing changed when the page cannot be moved, because it is
 *   pinned, held, or no page of a program or file.
 * @linux mm/migrate.c:migrate_folio
 */
export function migratePage(pgdat: PgData, pfn: Pfn, to: Pfn): boolean {
  const cache = pageCacheOf(pgdat, pfn);
  if (!movable(pgdat, pfn, cache) || !rmapWalk(pgdat, pfn)) {
    pgdat.vmstat.pgmigrateFail++;
    return false;
  }
  const { flags, private: entries } = pgdat.page;
  const { u32 } = pgdat.ram;
  copyPage(pgdat, to, pfn);
  const swapCached = (flags[pfn]! & PG_SWAPCACHE) !== 0;
  moveState(pgdat, pfn, to);
  if (cache !== null) cache.pages.set(pageIndex(pgdat, to), to);
  if (swapCached) {
    const entry = entries[to] as SwapEntry;
    swapInfoOf(pgdat, entry).cache[swapEntryOffset(entry)] = to;
  }
  const { pteps, nrPteps } = pgdat.rmap;
  for (let i = 0; i < nrPteps; i++) u32[pteps[i]!] = entryPfn(u32[pteps[i]!] as Pte, to);
  freePage(pgdat, pfn);
  pgdat.vmstat.pgmigrateSuccess++;
  return true;
}
