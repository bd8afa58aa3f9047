/**
 * Reclaim: finds pages that have not been used for longest and makes their frames free.
 *
 *     kswapd()             between tasks, when free frames fall below the low watermark
 *     tryToFreePages()     in an allocation that finds no frame
 *     reclaimPages()       pages that are named (MADV_PAGEOUT)
 *
 * The first two take from the tails of the inactive lists, and refill those from the active ones when
 * they are short. How much of which kind follows from swappiness and from what each has cost.
 *
 * @linux mm/vmscan.c
 * @patch 04/14
 */

import type { Pfn } from '../arch/riscv/pgtable.ts';
import type { PgData } from './mm_types.ts';
import { freePage } from './page_alloc.ts';
import {
  LRU_ACTIVE,
  LRU_ACTIVE_FILE,
  LRU_INACTIVE_ANON,
  LRU_INACTIVE_FILE,
  LRU_UNEVICTABLE,
  PG_ACTIVE,
  PG_LRU,
  PG_REFERENCED,
} from './page.ts';
import { rmapWalk } from './page_vma_mapped.ts';
import { PAGE_ACTIVATE, PAGE_RECLAIMED, pageout } from './pageout.ts';
import { folioReferenced } from './rmap.ts';
import { anonLru, lruAdd, lruDel, lruHead, rescueUnevictable } from './swap.ts';
import { flushTlbEveryone } from './tlbflush.ts';
import { VM_EXEC, VM_LOCKED } from './vma.ts';
import { thrashing } from './workingset.ts';

/** Pages looked at in one go. @linux include/linux/swap.h */
const SWAP_CLUSTER_MAX = 32;
/** The first pass looks at this power of two's part of each list, every next one at twice as much. @linux include/linux/mmzone.h */
const DEF_PRIORITY = 12;
/** Frames kswapd frees at most before tasks run again. */
const KSWAPD_BATCH = 256;
/** kswapd gives up after so many runs in vain, until an allocation finds something. @linux mm/internal.h */
const MAX_RECLAIM_RETRIES = 16;
/** Looks at everything before memory is out: the first finds what was used before, the second what is used. */
const MAX_ROUNDS = 3;
const FRAMES_PER_GIB = 1 << 18;

/** Who reclaims, for the counters. */
const BY_KSWAPD = 0;
const BY_ALLOCATION = 1;
const BY_REQUEST = 2;

function countScan(pgdat: PgData, by: number, anon: boolean): void {
  const { vmstat } = pgdat;
  if (by === BY_KSWAPD) vmstat.pgscanKswapd++;
  else if (by === BY_ALLOCATION) vmstat.pgscanDirect++;
  else vmstat.pgscanProactive++;
  if (anon) vmstat.pgscanAnon++;
  else vmstat.pgscanFile++;
}

function countSteal(pgdat: PgData, by: number, anon: boolean): void {
  const { vmstat } = pgdat;
  if (by === BY_KSWAPD) vmstat.pgstealKswapd++;
  else if (by === BY_ALLOCATION) vmstat.pgstealDirect++;
  else vmstat.pgstealProactive++;
  if (anon) vmstat.pgstealAnon++;
  else vmstat.pgstealFile++;
}

/**
 * Takes one page off its list and reclaims it, or puts it back.
 * @returns true when its frame is free.
 */
function shrinkFolio(pgdat: PgData, pfn: Pfn, by: number): boolean {
  const { flags, refcount } = pgdat.page;
  const anon = anonLru(flags[pfn]!);
  lruDel(pgdat, pfn, flags[pfn]!);
  refcount[pfn]!++;
  countScan(pgdat, by, anon);
  const result = pageout(pgdat, pfn, by === BY_REQUEST);
  if (result === PAGE_RECLAIMED) {
    freePage(pgdat, pfn);
    countSteal(pgdat, by, anon);
    return true;
  }
  refcount[pfn]!--;
  if (anon) pgdat.anonCost++;
  else pgdat.fileCost++;
  if (result === PAGE_ACTIVATE && (flags[pfn]! & PG_ACTIVE) === 0) {
    flags[pfn]! |= PG_ACTIVE;
    pgdat.vmstat.pgactivate++;
  }
  lruAdd(pgdat, pfn);
  return false;
}

/** @returns frames freed of the oldest `count` pages of an inactive list. @linux mm/vmscan.c:shrink_inactive_list */
function shrinkInactiveList(pgdat: PgData, lru: number, count: number, by: number): number {
  const { lruPrev } = pgdat.page;
  const head = lruHead(lru);
  let freed = 0;
  // A page that is put back goes to the head: the tail moves on.
  for (let i = Math.min(count, pgdat.lruSize[lru]!); i > 0; i--) {
    const pfn = lruPrev[head]!;
    if (pfn === head) break;
    if (shrinkFolio(pgdat, pfn as Pfn, by)) freed++;
  }
  return freed;
}

/** Code that runs stays active; a page that is not mapped has been used by somebody's read. */
function keepsActive(pgdat: PgData, pfn: Pfn): boolean {
  const { flags, mapcount } = pgdat.page;
  if (mapcount[pfn] === 0) return false;
  rmapWalk(pgdat, pfn);
  const { vmFlags } = pgdat.rmap;
  if (folioReferenced(pgdat) === 0 || (vmFlags & VM_LOCKED) !== 0) return false;
  return (vmFlags & VM_EXEC) !== 0 && !anonLru(flags[pfn]!);
}

/** Makes the oldest `count` active pages inactive. @linux mm/vmscan.c:shrink_active_list */
function shrinkActiveList(pgdat: PgData, lru: number, count: number): void {
  const { lruPrev, flags } = pgdat.page;
  const head = lruHead(lru);
  for (let i = Math.min(count, pgdat.lruSize[lru]!); i > 0; i--) {
    const pfn = lruPrev[head] as Pfn;
    if ((pfn as number) === head) return;
    pgdat.vmstat.pgrefill++;
    lruDel(pgdat, pfn, flags[pfn]!);
    if (!keepsActive(pgdat, pfn)) {
      flags[pfn]! &= ~(PG_ACTIVE | PG_REFERENCED);
      pgdat.vmstat.pgdeactivate++;
    }
    lruAdd(pgdat, pfn);
  }
}

/** Small memories keep as many pages inactive as active, 1 GiB a quarter. @linux mm/vmscan.c:inactive_is_low */
function inactiveIsLow(pgdat: PgData, lru: number): boolean {
  const inactive = pgdat.lruSize[lru]!;
  const active = pgdat.lruSize[lru + LRU_ACTIVE]!;
  const gib = Math.floor((inactive + active) / FRAMES_PER_GIB);
  const ratio = gib === 0 ? 1 : Math.floor(Math.sqrt(10 * gib));
  return inactive * ratio < active;
}

/** Share of the file lists in what is looked at next, 0 to 1, above priority 0. @linux mm/vmscan.c:get_scan_count */
function fileShare(pgdat: PgData, priority: number): number {
  const { lruSize, swappiness } = pgdat;
  if (lruSize[LRU_INACTIVE_FILE]! + lruSize[LRU_ACTIVE_FILE]! === 0) return 0;
  if (swappiness === 0) return 1;
  const enoughFile = lruSize[LRU_INACTIVE_FILE]! >> priority > 0;
  if (enoughFile && !inactiveIsLow(pgdat, LRU_INACTIVE_FILE)) return 1;
  const total = pgdat.anonCost + pgdat.fileCost + 1;
  const anon = swappiness * (total / (pgdat.anonCost + total));
  const file = (200 - swappiness) * (total / (pgdat.fileCost + total));
  return file / (anon + file);
}

/** What was long ago counts less. @linux mm/swap.c:lru_note_cost */
function ageCosts(pgdat: PgData): void {
  const pages = pgdat.lruSize[LRU_INACTIVE_ANON]! + pgdat.lruSize[LRU_INACTIVE_FILE]!;
  if (pgdat.anonCost + pgdat.fileCost <= pages) return;
  pgdat.anonCost >>= 1;
  pgdat.fileCost >>= 1;
}

/** Pages of a kind to look at. */
function scanCount(pgdat: PgData, lru: number, priority: number, share: number): number {
  const pages = pgdat.lruSize[lru]! + pgdat.lruSize[lru + LRU_ACTIVE]!;
  if (share === 0 || pages === 0) return 0;
  const part = Math.ceil((pages >> priority) * share);
  return Math.max(part, Math.min(pages, SWAP_CLUSTER_MAX));
}

/** Looks at a part of one kind of pages. @returns frames freed. @linux mm/vmscan.c:shrink_list */
function shrinkKind(pgdat: PgData, lru: number, count: number, wanted: number, by: number): number {
  let freed = 0;
  for (let left = count; left > 0 && freed < wanted; left -= SWAP_CLUSTER_MAX) {
    if (inactiveIsLow(pgdat, lru)) shrinkActiveList(pgdat, lru + LRU_ACTIVE, SWAP_CLUSTER_MAX);
    freed += shrinkInactiveList(pgdat, lru, Math.min(left, SWAP_CLUSTER_MAX), by);
  }
  return freed;
}

/** Looks at a part of everything, of all at priority 0. @returns frames freed. @linux mm/vmscan.c:shrink_lruvec */
function shrinkLruvec(pgdat: PgData, priority: number, wanted: number, by: number): number {
  const canSwap = pgdat.swap.freePages !== 0;
  const share = canSwap && priority !== 0 ? fileShare(pgdat, priority) : 1;
  const file = scanCount(pgdat, LRU_INACTIVE_FILE, priority, share);
  const anonShare = priority === 0 && canSwap ? 1 : 1 - share;
  const anon = scanCount(pgdat, LRU_INACTIVE_ANON, priority, anonShare);
  const freed = shrinkKind(pgdat, LRU_INACTIVE_FILE, file, wanted, by);
  if (freed >= wanted) return freed;
  return freed + shrinkKind(pgdat, LRU_INACTIVE_ANON, anon, wanted - freed, by);
}

/** Looks harder and harder until `wanted` frames are free or everything was looked at. @returns frames freed. */
function shrinkNode(pgdat: PgData, wanted: number, by: number): number {
  if (pgdat.munlocked && pgdat.lruSize[LRU_UNEVICTABLE] !== 0) rescueUnevictable(pgdat);
  pgdat.noReclaim++;
  let freed = 0;
  for (let priority = DEF_PRIORITY; priority >= 0 && freed < wanted; priority--) {
    freed += shrinkLruvec(pgdat, priority, wanted - freed, by);
  }
  pgdat.noReclaim--;
  ageCosts(pgdat);
  flushTlbEveryone(pgdat);
  return freed;
}

/**
 * Direct reclaim: frees about `wanted` frames for an allocation that found none.
 * @returns how many were freed; 0 means that memory really is out.
 * @linux mm/vmscan.c:try_to_free_pages
 */
export function tryToFreePages(pgdat: PgData, wanted: number): number {
  pgdat.vmstat.allocstall++;
  if (thrashing(pgdat)) return 0;
  let freed = 0;
  for (let round = 0; round < MAX_ROUNDS && freed === 0; round++) {
    freed = shrinkNode(pgdat, Math.max(wanted, SWAP_CLUSTER_MAX), BY_ALLOCATION);
  }
  if (freed !== 0) pgdat.kswapdFailures = 0;
  return freed;
}

/**
 * Frees frames up to the high watermark, a batch at a time, so that allocations rarely have to
 * do it themselves. The machine calls it between tasks while pgdat.kswapdWanted.
 * @linux mm/vmscan.c:balance_pgdat
 */
export function kswapd(pgdat: PgData): void {
  const missing = pgdat.wmarkHigh - pgdat.freeFrames;
  if (missing <= 0 || pgdat.kswapdFailures >= MAX_RECLAIM_RETRIES) {
    pgdat.kswapdWanted = false;
    return;
  }
  pgdat.vmstat.pageoutrun++;
  const freed = shrinkNode(pgdat, Math.min(missing, KSWAPD_BATCH), BY_KSWAPD);
  pgdat.kswapdFailures = freed === 0 ? pgdat.kswapdFailures + 1 : 0;
  pgdat.kswapdWanted = freed !== 0 && pgdat.freeFrames < pgdat.wmarkHigh;
}

/**
 * Reclaims the pages named now, used or not. Their LRU lists are left by those that go; one that
 * is on no list, or cannot go, stays as it is.
 *
 * @param pfns frames, of which the first `n` count; a frame may be named twice.
 * @returns frames freed.
 * @linux mm/vmscan.c:reclaim_pages
 */
export function reclaimPages(pgdat: PgData, pfns: Int32Array, n: number): number {
  const { flags } = pgdat.page;
  if (pgdat.munlocked) rescueUnevictable(pgdat);
  pgdat.noReclaim++;
  let freed = 0;
  for (let i = 0; i < n; i++) {
    const pfn = pfns[i] as Pfn;
    if ((flags[pfn]! & PG_LRU) !== 0 && shrinkFolio(pgdat, pfn, BY_REQUEST)) freed++;
  }
  pgdat.noReclaim--;
  flushTlbEveryone(pgdat);
  return freed;
}
