/**
 * The swap cache: anonymous pages that were read from a slot and still have it. All entries
 * that name the slot get the one page, and a page nobody changed is reclaimed without being
 * written again.
 *
 * Reclaim writes a page before it takes it from its entries, so pages on their way out are
 * never in the cache for that alone.
 *
 * @linux mm/swap_state.c, mm/page_io.c
 */

import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import type { Pfn } from '../arch/riscv/pgtable.ts';
import { ENOMEM } from '../uapi/errno.ts';
import type { PgData } from './mm_types.ts';
import { allocPage, freePage, getPage, putPage } from './page_alloc.ts';
import { NO_PFN, PG_ANON, PG_DIRTY, PG_SWAPCACHE, PG_UPTODATE } from './page.ts';
import { folioActivate, lruAdd } from './swap.ts';
import { swapEntryOffset, type SwapEntry } from './swap_types.ts';
import { releaseSwapSlot, swapCount, swapFree, swapInfoOf } from './swapfile.ts';
import { workingsetEviction, workingsetRefault } from './workingset.ts';

/** The cached page of a slot, NO_PFN if there is none; no reference is taken. @linux mm/swap_state.c:swap_cache_get_folio */
export function lookupSwapCache(pgdat: PgData, entry: SwapEntry): Pfn {
  return swapInfoOf(pgdat, entry).cache[swapEntryOffset(entry)] as Pfn;
}

/** Puts a page into the cache, which takes a reference. @linux mm/swap_state.c:swap_cache_add_folio */
function addToSwapCache(pgdat: PgData, pfn: Pfn, entry: SwapEntry): void {
  const { page, swap } = pgdat;
  swapInfoOf(pgdat, entry).cache[swapEntryOffset(entry)] = pfn;
  page.flags[pfn]! |= PG_SWAPCACHE;
  page.private[pfn] = entry;
  page.refcount[pfn]!++;
  swap.cachedPages++;
}

/**
 * Takes a page out of the cache and drops the cache's reference; the slot is free if nobody
 * names it.
 * @linux mm/swap_state.c:swap_cache_del_folio
 */
export function deleteFromSwapCache(pgdat: PgData, pfn: Pfn): void {
  const { page, swap } = pgdat;
  const entry = page.private[pfn] as SwapEntry;
  swapInfoOf(pgdat, entry).cache[swapEntryOffset(entry)] = 0;
  page.flags[pfn]! &= ~PG_SWAPCACHE;
  page.private[pfn] = 0;
  swap.cachedPages--;
  if (swapCount(pgdat, entry) === 0) releaseSwapSlot(pgdat, entry);
  putPage(pgdat, pfn);
}

/**
 * Takes a page out of the swap cache if no entry names its slot: its bytes are then nowhere
 * else.
 * @returns true when the page is in no swap cache now.
 * @linux mm/swapfile.c:folio_free_swap
 */
export function folioFreeSwap(pgdat: PgData, pfn: Pfn): boolean {
  const { flags, private: entries } = pgdat.page;
  if ((flags[pfn]! & PG_SWAPCACHE) === 0) return true;
  if (swapCount(pgdat, entries[pfn] as SwapEntry) !== 0) return false;
  flags[pfn]! |= PG_DIRTY;
  deleteFromSwapCache(pgdat, pfn);
  return true;
}

/** As swapFree(), for an entry that is dropped: a page nobody asks for any more leaves the cache. @linux mm/swapfile.c:free_swap_and_cache */
export function freeSwapAndCache(pgdat: PgData, entry: SwapEntry): void {
  const pfn = lookupSwapCache(pgdat, entry);
  swapFree(pgdat, entry);
  if (pfn !== NO_PFN && pgdat.page.mapcount[pfn] === 0) folioFreeSwap(pgdat, pfn);
}

/** Reads a slot into a frame. @returns 0 or -errno. @linux mm/page_io.c:swap_read_folio */
export function swapReadPage(pgdat: PgData, entry: SwapEntry, pfn: Pfn): number {
  const { device } = swapInfoOf(pgdat, entry);
  const err = device.readPage(swapEntryOffset(entry), pgdat.ram.u8, pfn * PAGE_SIZE);
  if (err === 0) pgdat.vmstat.pswpin++;
  return err;
}

/** Writes a frame to a slot. @returns 0 or -errno. @linux mm/page_io.c:swap_writeout */
export function swapWritePage(pgdat: PgData, entry: SwapEntry, pfn: Pfn): number {
  const { device } = swapInfoOf(pgdat, entry);
  const err = device.writePage(swapEntryOffset(entry), pgdat.ram.u8, pfn * PAGE_SIZE);
  if (err === 0) pgdat.vmstat.pswpout++;
  return err;
}

/** When the page in a slot was reclaimed. */
export function swapShadow(pgdat: PgData, entry: SwapEntry): number {
  return swapInfoOf(pgdat, entry).shadow[swapEntryOffset(entry)]!;
}

/** Notes that the page in a slot is being reclaimed. */
export function setSwapShadow(pgdat: PgData, entry: SwapEntry): void {
  swapInfoOf(pgdat, entry).shadow[swapEntryOffset(entry)] = workingsetEviction(pgdat);
}

/**
 * The anonymous page of a slot that some entry names, read in if it is not cached, with a
 * reference for the caller. A page read in is cached and in no address space yet.
 * @returns a frame number, -ENOMEM, or -EIO when the device cannot give the bytes back.
 * @linux mm/swap_state.c:read_swap_cache_async
 */
export function swapinFolio(pgdat: PgData, entry: SwapEntry): number {
  const cached = lookupSwapCache(pgdat, entry);
  if (cached !== NO_PFN) {
    getPage(pgdat, cached);
    return cached;
  }
  const pfn = allocPage(pgdat);
  if (pfn === NO_PFN) return -ENOMEM;
  const err = swapReadPage(pgdat, entry, pfn);
  if (err !== 0) {
    freePage(pgdat, pfn);
    return err;
  }
  pgdat.page.flags[pfn] = PG_ANON | PG_UPTODATE;
  addToSwapCache(pgdat, pfn, entry);
  lruAdd(pgdat, pfn);
  if (workingsetRefault(pgdat, swapShadow(pgdat, entry), false)) folioActivate(pgdat, pfn);
  return pfn;
}
