/**
 * Slots of swap areas: giving them out and counting who names them. An entry of a page table
 * that fork shared counts once, as its page did.
 *
 * @linux mm/swapfile.c
 */

import { bug } from '../lib/assert.ts';
import type { PgData } from './mm_types.ts';
import {
  mkSwapEntry,
  SWAPFILE_CLUSTER,
  swapEntryOffset,
  swapEntryType,
  type SwapEntry,
  type SwapInfo,
} from './swap_types.ts';

/** No slot is free. */
export const NO_SWAP_ENTRY = 0 as SwapEntry;

/** The area an entry names, which is on. @linux mm/swapfile.c:swap_entry_to_info */
export function swapInfoOf(pgdat: PgData, entry: SwapEntry): SwapInfo {
  const area = pgdat.swap.areas[swapEntryType(entry)];
  return area ?? bug(`swap: no area for entry ${entry}`);
}

/** A free slot at or behind area.next, else the first. The area has one. */
function scanSwapMap(area: SwapInfo): number {
  const { map, cache, clusterFree } = area;
  let offset = area.next < map.length ? area.next : 1;
  // One round more than there are clusters: the first may be entered in its middle.
  for (let round = 0; round <= clusterFree.length; round++) {
    const cluster = Math.floor(offset / SWAPFILE_CLUSTER);
    const end = Math.min((cluster + 1) * SWAPFILE_CLUSTER, map.length);
    if (clusterFree[cluster] !== 0) {
      for (; offset < end; offset++) if (map[offset] === 0 && cache[offset] === 0) return offset;
    }
    offset = end < map.length ? end : 1;
  }
  return bug(`swap: area ${area.type} says ${area.inUse} of ${area.pages} slots are in use`);
}

/** Areas of one priority take turns, a cluster each. */
function rotate(pgdat: PgData, area: SwapInfo): void {
  const { active } = pgdat.swap;
  const at = active.indexOf(area);
  let last = at;
  while (active[last + 1]?.prio === area.prio) last++;
  if (last === at) return;
  active.splice(at, 1);
  active.splice(last, 0, area);
}

/**
 * A slot for a page, named by nobody yet, from the area with the highest priority.
 * @returns NO_SWAP_ENTRY when swap is full or off.
 * @linux mm/swapfile.c:folio_alloc_swap
 */
export function allocSwapSlot(pgdat: PgData): SwapEntry {
  const { active } = pgdat.swap;
  for (let i = 0; i < active.length; i++) {
    const area = active[i]!;
    if (!area.writeOk || area.inUse === area.pages) continue;
    const offset = scanSwapMap(area);
    area.inUse++;
    area.clusterFree[Math.floor(offset / SWAPFILE_CLUSTER)]!--;
    area.next = offset + 1;
    pgdat.swap.freePages--;
    if (area.next % SWAPFILE_CLUSTER === 0) rotate(pgdat, area);
    return mkSwapEntry(area.type, offset);
  }
  return NO_SWAP_ENTRY;
}

/** Gives back a slot that nobody names and whose page is not cached. */
export function releaseSwapSlot(pgdat: PgData, entry: SwapEntry): void {
  const area = swapInfoOf(pgdat, entry);
  area.inUse--;
  area.clusterFree[Math.floor(swapEntryOffset(entry) / SWAPFILE_CLUSTER)]!++;
  if (area.writeOk) pgdat.swap.freePages++;
}

/** One more entry names the slot. @hot 512 entries of a table that is copied. @linux mm/swapfile.c:swap_duplicate */
export function swapDuplicate(pgdat: PgData, entry: SwapEntry): void {
  swapInfoOf(pgdat, entry).map[swapEntryOffset(entry)]!++;
}

/** One entry fewer names the slot; the last one frees it, unless the page is cached too. @linux mm/swapfile.c:swap_free */
export function swapFree(pgdat: PgData, entry: SwapEntry): void {
  const area = swapInfoOf(pgdat, entry);
  const offset = swapEntryOffset(entry);
  const left = area.map[offset]! - 1;
  if (left < 0) bug(`swap_free: slot ${offset} of area ${area.type} is free`);
  area.map[offset] = left;
  if (left === 0 && area.cache[offset] === 0) releaseSwapSlot(pgdat, entry);
}

/** Entries that name the slot, the swap cache not counted. @linux mm/swapfile.c:swp_swapcount */
export function swapCount(pgdat: PgData, entry: SwapEntry): number {
  return swapInfoOf(pgdat, entry).map[swapEntryOffset(entry)]!;
}

/** @returns true when over half of the swap is in use: slots of pages in memory are better given back. @linux include/linux/swap.h:vm_swap_full */
export function vmSwapFull(pgdat: PgData): boolean {
  return pgdat.swap.freePages * 2 < pgdat.swap.totalPages;
}
