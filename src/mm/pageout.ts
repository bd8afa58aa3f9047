/**
 * Reclaiming one page: off the entries that map it, out of its cache, its bytes saved where
 * they are the only ones.
 *
 *     page                        bytes                   entries
 *     file, as it was read        dropped                 cleared
 *     file, changed               to the file, or swap    cleared
 *     shared memory, tmpfs        to swap                 cleared (the cache has the place)
 *     anonymous                   to swap                 swap entry
 *     anonymous, MADV_FREE'd      dropped if unchanged    cleared
 *
 * What can fail comes first: a page is written before anybody loses it, so an error of a
 * device, or swap being full, leaves it as it was.
 *
 * @linux mm/vmscan.c:shrink_folio_list
 * @patch 04/14
 */

import type { Pfn } from '../arch/riscv/pgtable.ts';
import { pageCacheOf, pageIndex } from './address_space.ts';
import { AddressSpace, type PgData } from './mm_types.ts';
import {
  PG_ACTIVE,
  PG_DIRTY,
  PG_LAZYFREE,
  PG_REFERENCED,
  PG_SWAPCACHE,
  PG_UNEVICTABLE,
  pageAnon,
} from './page.ts';
import { rmapWalk } from './page_vma_mapped.ts';
import { folioMappedDirty, folioReferenced, tryToUnmapAnon, tryToUnmapFile } from './rmap.ts';
import { anonLru } from './swap.ts';
import { deleteFromSwapCache, setSwapShadow, swapWritePage } from './swap_state.ts';
import { swapEntryToValue, type SwapEntry } from './swap_types.ts';
import {
  allocSwapSlot,
  NO_SWAP_ENTRY,
  releaseSwapSlot,
  swapDuplicate,
  swapInfoOf,
} from './swapfile.ts';
import { deleteFromPageCache } from './truncate.ts';
import { shadowFilePage } from './workingset.ts';
import { VM_DROPPABLE, VM_EXEC, VM_LOCKED } from './vma.ts';

/** What became of a page. */
export const PAGE_RECLAIMED = 0;
/** Stays inactive. */
export const PAGE_KEEP = 1;
/** Goes to the active list. */
export const PAGE_ACTIVATE = 2;

/** The one who reclaims it holds a reference, beside mappings and caches. */
const OWN_REF = 1;

/** @returns true when somebody beside mappings, caches and the caller holds the page: its frame is in use. */
function heldElsewhere(pgdat: PgData, pfn: Pfn, caches: number): boolean {
  return pgdat.page.refcount[pfn]! !== pgdat.page.mapcount[pfn]! + caches + OWN_REF;
}

/**
 * Whether a mapped page was used enough to stay: twice since it was last looked at, or by an
 * instruction fetch.
 * @returns PAGE_KEEP, PAGE_ACTIVATE, or PAGE_RECLAIMED for "try".
 * @linux mm/vmscan.c:folio_check_references
 */
function checkReferences(pgdat: PgData, pfn: Pfn): number {
  const { flags } = pgdat.page;
  const before = flags[pfn]! & PG_REFERENCED;
  const young = folioReferenced(pgdat);
  flags[pfn]! &= ~PG_REFERENCED;
  if (young === 0) return PAGE_RECLAIMED;
  flags[pfn]! |= PG_REFERENCED;
  if (before !== 0 || young > 1) return PAGE_ACTIVATE;
  const code = (pgdat.rmap.vmFlags & VM_EXEC) !== 0 && !anonLru(flags[pfn]!);
  return code ? PAGE_ACTIVATE : PAGE_KEEP;
}

/** Drops an anonymous page that its program has given up. @returns PAGE_*. */
function discardLazyfree(pgdat: PgData, pfn: Pfn): number {
  const { flags } = pgdat.page;
  const droppable = (pgdat.rmap.vmFlags & VM_DROPPABLE) !== 0;
  const dirty = (flags[pfn]! & PG_DIRTY) !== 0 || folioMappedDirty(pgdat);
  if (dirty && !droppable) {
    // Written again since MADV_FREE: it is needed after all.
    flags[pfn]! &= ~PG_LAZYFREE;
    return PAGE_ACTIVATE;
  }
  tryToUnmapFile(pgdat, pfn);
  pgdat.vmstat.pglazyfreed++;
  return PAGE_RECLAIMED;
}

/** A slot with the page's bytes: the one it has, if nothing changed since. @returns NO_SWAP_ENTRY when there is none. */
function saveToSwap(pgdat: PgData, pfn: Pfn): SwapEntry {
  const { flags, private: entries } = pgdat.page;
  let entry = NO_SWAP_ENTRY;
  let fresh = false;
  if ((flags[pfn]! & PG_SWAPCACHE) !== 0) {
    entry = entries[pfn] as SwapEntry;
    // An area that is being emptied takes nothing new.
    if (!swapInfoOf(pgdat, entry).writeOk) return NO_SWAP_ENTRY;
    if ((flags[pfn]! & PG_DIRTY) === 0 && !folioMappedDirty(pgdat)) return entry;
  } else {
    entry = allocSwapSlot(pgdat);
    if (entry === NO_SWAP_ENTRY) return entry;
    fresh = true;
  }
  pgdat.anonCost++;
  if (swapWritePage(pgdat, entry, pfn) === 0) return entry;
  if (fresh) releaseSwapSlot(pgdat, entry);
  return NO_SWAP_ENTRY;
}

/** @returns PAGE_*. */
function pageoutAnon(pgdat: PgData, pfn: Pfn): number {
  const { flags, mapcount } = pgdat.page;
  const cached = (flags[pfn]! & PG_SWAPCACHE) === 0 ? 0 : 1;
  if (heldElsewhere(pgdat, pfn, cached)) return PAGE_ACTIVATE;
  if (mapcount[pfn] === 0) {
    // Only the cache has it, for entries that still name the slot.
    if (cached !== 0) deleteFromSwapCache(pgdat, pfn);
    return PAGE_RECLAIMED;
  }
  if ((flags[pfn]! & PG_LAZYFREE) !== 0) return discardLazyfree(pgdat, pfn);
  const entry = saveToSwap(pgdat, pfn);
  if (entry === NO_SWAP_ENTRY) return PAGE_ACTIVATE;
  flags[pfn]! &= ~PG_DIRTY;
  setSwapShadow(pgdat, entry);
  tryToUnmapAnon(pgdat, pfn, entry);
  if (cached !== 0) deleteFromSwapCache(pgdat, pfn);
  return PAGE_RECLAIMED;
}

/** Puts a changed page that has no other home into swap, and its place into the cache. @linux mm/shmem.c:shmem_writeout */
function shmemWriteout(pgdat: PgData, mapping: AddressSpace, pfn: Pfn): number {
  const entry = allocSwapSlot(pgdat);
  if (entry === NO_SWAP_ENTRY) return PAGE_ACTIVATE;
  if (swapWritePage(pgdat, entry, pfn) !== 0) {
    releaseSwapSlot(pgdat, entry);
    return PAGE_ACTIVATE;
  }
  const index = pageIndex(pgdat, pfn);
  tryToUnmapFile(pgdat, pfn);
  deleteFromPageCache(mapping, index);
  setSwapShadow(pgdat, entry);
  swapDuplicate(pgdat, entry);
  mapping.pages.set(index, swapEntryToValue(entry));
  mapping.swapped++;
  return PAGE_RECLAIMED;
}

/** @returns PAGE_*. */
function pageoutFile(pgdat: PgData, pfn: Pfn): number {
  const { flags } = pgdat.page;
  const mapping = pageCacheOf(pgdat, pfn);
  // Truncated, and held by somebody who has not let go yet.
  if (mapping === null || heldElsewhere(pgdat, pfn, 1)) return PAGE_KEEP;
  if (folioMappedDirty(pgdat)) flags[pfn]! |= PG_DIRTY;
  if ((flags[pfn]! & PG_DIRTY) !== 0) {
    const { writePage } = mapping.ops;
    if (writePage === undefined) return shmemWriteout(pgdat, mapping, pfn);
    pgdat.fileCost++;
    if (writePage(mapping, pageIndex(pgdat, pfn), pfn) !== 0) return PAGE_ACTIVATE;
    flags[pfn]! &= ~PG_DIRTY;
    pgdat.vmstat.pgpgout++;
  }
  const index = pageIndex(pgdat, pfn);
  tryToUnmapFile(pgdat, pfn);
  deleteFromPageCache(mapping, index);
  if (mapping.ops.readFolio !== undefined) shadowFilePage(mapping, index);
  return PAGE_RECLAIMED;
}

/** @returns false for a page that no reclaim may take: locked, or of a file that stays in memory. */
function evictable(pgdat: PgData, pfn: Pfn): boolean {
  if ((pgdat.rmap.vmFlags & VM_LOCKED) !== 0) return false;
  const owner = pgdat.mappings.peek(pgdat.page.mapping[pfn]! >> 1);
  return !(owner instanceof AddressSpace) || !owner.unevictable;
}

/**
 * Reclaims a page that is on no LRU list and on which the caller holds a reference.
 *
 * @param ignoreReferences take it even if it was just used (MADV_PAGEOUT).
 * @returns PAGE_RECLAIMED: nobody but the caller has it any more; PAGE_KEEP or PAGE_ACTIVATE: it
 *   is as it was, and goes back to the list its flags name.
 */
export function pageout(pgdat: PgData, pfn: Pfn, ignoreReferences: boolean): number {
  const { flags, mapcount } = pgdat.page;
  const complete = rmapWalk(pgdat, pfn);
  if (!evictable(pgdat, pfn)) {
    flags[pfn] = (flags[pfn]! & ~(PG_ACTIVE | PG_REFERENCED)) | PG_UNEVICTABLE;
    pgdat.vmstat.unevictablePgsCulled++;
    return PAGE_KEEP;
  }
  if (!ignoreReferences && mapcount[pfn] !== 0) {
    const used = checkReferences(pgdat, pfn);
    if (used !== PAGE_RECLAIMED) return used;
  }
  if (!complete) return PAGE_ACTIVATE;
  return pageAnon(pgdat.page, pfn) ? pageoutAnon(pgdat, pfn) : pageoutFile(pgdat, pfn);
}
