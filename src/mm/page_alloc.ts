/**
 * The buddy allocator: blocks of 2^order frames, split and merged with their buddy, and a
 * stack of single frames in front of it (Linux's per-CPU lists), because almost every
 * request is for one frame.
 *
 * @linux mm/page_alloc.c
 */

import { icacheInvalidateFrame } from '../arch/riscv/icache.ts';
import { PAGE_SIZE, PAGE_WORDS } from '../arch/riscv/memlayout.ts';
import type { Pfn } from '../arch/riscv/pgtable.ts';
import { bug } from '../lib/assert.ts';
import { MAX_ORDER, PCP_HIGH, type PgData } from './mm_types.ts';
import { NO_PFN, PG_BUDDY, PG_LRU, PG_RESERVED } from './page.ts';
import { initLru, lruDel } from './swap.ts';

/** Single frames taken from the buddy lists at a time. */
const PCP_BATCH = 128;
/** Single frames given back at a time when the stack is full. */
const PCP_DRAIN = PCP_HIGH / 4;

/** Frames asked of reclaim when none is free. */
const RECLAIM_BATCH = 32;

function listAdd(pgdat: PgData, pfn: Pfn, order: number): void {
  const { lruNext, lruPrev, flags, private: orders } = pgdat.page;
  const head = pgdat.freeHead[order]!;
  lruNext[pfn] = head;
  lruPrev[pfn] = 0;
  if (head !== 0) lruPrev[head] = pfn;
  pgdat.freeHead[order] = pfn;
  flags[pfn] = PG_BUDDY;
  orders[pfn] = order;
}

function listDel(pgdat: PgData, pfn: Pfn, order: number): void {
  const { lruNext, lruPrev, flags } = pgdat.page;
  const next = lruNext[pfn]!;
  const prev = lruPrev[pfn]!;
  if (prev === 0) pgdat.freeHead[order] = next;
  else lruNext[prev] = next;
  if (next !== 0) lruPrev[next] = prev;
  flags[pfn] = 0;
}

/** Takes a block out of the lists, splitting a larger one if needed. @returns NO_PFN when there is none. */
function rmqueue(pgdat: PgData, order: number): Pfn {
  let have = order;
  while (have <= MAX_ORDER && pgdat.freeHead[have] === 0) have++;
  if (have > MAX_ORDER) return NO_PFN;
  const pfn = pgdat.freeHead[have] as Pfn;
  listDel(pgdat, pfn, have);
  while (have > order) {
    have--;
    listAdd(pgdat, (pfn + (1 << have)) as Pfn, have);
  }
  return pfn;
}

/** Puts a block back and merges it with its buddies. @linux mm/page_alloc.c:__free_one_page */
function freeOnePage(pgdat: PgData, block: Pfn, blockOrder: number): void {
  const { flags, private: orders } = pgdat.page;
  let pfn = block;
  let order = blockOrder;
  while (order < MAX_ORDER) {
    const buddy = (pfn ^ (1 << order)) as Pfn;
    if (buddy >= pgdat.ram.layout.nrFrames) break;
    if (flags[buddy] !== PG_BUDDY || orders[buddy] !== order) break;
    listDel(pgdat, buddy, order);
    pfn = (pfn & ~(1 << order)) as Pfn;
    order++;
  }
  listAdd(pgdat, pfn, order);
}

/** Gives every frame behind the kernel's own area to the allocator. Call once. */
export function initPageAlloc(pgdat: PgData): void {
  const { firstFrame, nrFrames } = pgdat.ram.layout;
  pgdat.page.flags.fill(PG_RESERVED, 0, firstFrame);
  let pfn = firstFrame;
  while (pfn < nrFrames) {
    let order = MAX_ORDER;
    while (pfn % (1 << order) !== 0 || pfn + (1 << order) > nrFrames) order--;
    listAdd(pgdat, pfn as Pfn, order);
    pfn += 1 << order;
  }
  pgdat.freeFrames = nrFrames - firstFrame;
  pgdat.managedFrames = pgdat.freeFrames;
  initLru(pgdat);
  setMinFreeKbytes(pgdat, defaultMinFreeKbytes(pgdat.managedFrames));
}

/** Bounds of the default below. @linux mm/page_alloc.c:calculate_min_free_kbytes */
const MIN_FREE_KBYTES_MIN = 128;
const MIN_FREE_KBYTES_MAX = 262_144;
/** Distance between the watermarks, as a share of all frames. Linux's default (vm.watermark_scale_factor = 10 of 10,000). */
const WATERMARK_SCALE = 1000;

/** Four times the square root of the memory, in kB. @linux mm/page_alloc.c:calculate_min_free_kbytes */
function defaultMinFreeKbytes(frames: number): number {
  const kbytes = Math.floor(Math.sqrt(frames * (PAGE_SIZE / 1024) * 16));
  return Math.min(Math.max(kbytes, MIN_FREE_KBYTES_MIN), MIN_FREE_KBYTES_MAX);
}

/** Sets the watermarks from vm.min_free_kbytes. @linux mm/page_alloc.c:__setup_per_zone_wmarks */
export function setMinFreeKbytes(pgdat: PgData, kbytes: number): void {
  const min = Math.floor(kbytes / (PAGE_SIZE / 1024));
  const step = Math.max(Math.floor(min / 4), Math.floor(pgdat.managedFrames / WATERMARK_SCALE));
  pgdat.minFreeKbytes = kbytes;
  pgdat.wmarkLow = min + step;
  pgdat.wmarkHigh = min + 2 * step;
}

/** Counts an allocation for fault injection. @returns true when this one has to fail. */
function shouldFail(pgdat: PgData): boolean {
  return pgdat.failAllocAfter !== 0 && --pgdat.failAllocAfter === 0;
}

function refillPcp(pgdat: PgData): boolean {
  const { pcp } = pgdat;
  let count = 0;
  while (count < PCP_BATCH) {
    const pfn = rmqueue(pgdat, 0);
    if (pfn === NO_PFN) break;
    // Popped from the end: the stack is filled backwards so that frames come out ascending.
    pcp[PCP_BATCH - 1 - count] = pfn;
    count++;
  }
  if (count > 0 && count < PCP_BATCH) pcp.copyWithin(0, PCP_BATCH - count, PCP_BATCH);
  pgdat.pcpCount = count;
  return count > 0;
}

/** @returns true when there are frames now. @linux mm/page_alloc.c:__alloc_pages_direct_reclaim */
function directReclaim(pgdat: PgData): boolean {
  if (pgdat.noReclaim !== 0) {
    pgdat.reclaimDeferred = true;
    return false;
  }
  if (pgdat.reclaim === null || pgdat.reclaim(RECLAIM_BATCH) === 0) return false;
  return pgdat.pcpCount !== 0 || refillPcp(pgdat);
}

/**
 * One frame, its bytes undefined, with one reference; mapcount, mapping and flags are 0.
 * Reclaim may run in it: a page the caller looks at without a reference of its own can be gone
 * afterwards, and an entry read before may name swap now.
 * @returns NO_PFN when memory is exhausted and reclaim found nothing.
 * @linux mm/page_alloc.c:__alloc_pages
 */
export function allocPage(pgdat: PgData): Pfn {
  if (shouldFail(pgdat)) return NO_PFN;
  if (pgdat.pcpCount === 0 && !refillPcp(pgdat) && !directReclaim(pgdat)) return NO_PFN;
  const pfn = pgdat.pcp[--pgdat.pcpCount] as Pfn;
  if (--pgdat.freeFrames < pgdat.wmarkLow) pgdat.kswapdWanted = true;
  initPage(pgdat, pfn);
  return pfn;
}

function initPage(pgdat: PgData, pfn: Pfn): void {
  const { page } = pgdat;
  page.flags[pfn] = 0;
  page.refcount[pfn] = 1;
  page.mapcount[pfn] = 0;
  page.mapping[pfn] = 0;
}

/** As allocPage(), filled with zeroes. */
export function allocZeroedPage(pgdat: PgData): Pfn {
  const pfn = allocPage(pgdat);
  if (pfn !== NO_PFN) clearPage(pgdat, pfn);
  return pfn;
}

/** Copies one frame's bytes to another, which must hold no code. */
export function copyPage(pgdat: PgData, to: Pfn, from: Pfn): void {
  const start = from * PAGE_WORDS;
  pgdat.ram.u32.copyWithin(to * PAGE_WORDS, start, start + PAGE_WORDS);
}

/** Zeroes a frame's bytes; it must hold no code. */
export function clearPage(pgdat: PgData, pfn: Pfn): void {
  const start = pfn * PAGE_WORDS;
  pgdat.ram.u32.fill(0, start, start + PAGE_WORDS);
}

/**
 * A block of 2^order contiguous frames, aligned to its size, with one reference on the first.
 * @returns NO_PFN when there is no such block.
 */
export function allocPages(pgdat: PgData, order: number): Pfn {
  if (shouldFail(pgdat)) return NO_PFN;
  let pfn = rmqueue(pgdat, order);
  if (pfn === NO_PFN) {
    drainPcp(pgdat, 0);
    pfn = rmqueue(pgdat, order);
    if (pfn === NO_PFN) return NO_PFN;
  }
  pgdat.freeFrames -= 1 << order;
  for (let i = 0; i < 1 << order; i++) {
    initPage(pgdat, (pfn + i) as Pfn);
    if (i !== 0) pgdat.page.refcount[pfn + i] = 0;
  }
  return pfn;
}

/** Gives cached single frames back to the buddy lists, the oldest first, until `keep` are left. @linux mm/page_alloc.c:free_pcppages_bulk */
export function drainPcp(pgdat: PgData, keep: number): void {
  const { pcp, pcpCount } = pgdat;
  const excess = pcpCount - keep;
  if (excess <= 0) return;
  for (let i = 0; i < excess; i++) freeOnePage(pgdat, pcp[i] as Pfn, 0);
  pcp.copyWithin(0, excess, pcpCount);
  pgdat.pcpCount = keep;
}

/**
 * Takes a certain free block out of the lists: its frames have one reference each.
 * @param pfn the first frame of a block (PG_BUDDY).
 */
export function takeFreeBlock(pgdat: PgData, pfn: Pfn): void {
  const order = pgdat.page.private[pfn]!;
  listDel(pgdat, pfn, order);
  pgdat.freeFrames -= 1 << order;
  for (let i = 0; i < 1 << order; i++) initPage(pgdat, (pfn + i) as Pfn);
}

/** Frees a block that allocPages() gave. */
export function freePages(pgdat: PgData, pfn: Pfn, order: number): void {
  pgdat.page.refcount[pfn] = 0;
  for (let i = 0; i < 1 << order; i++) icacheInvalidateFrame(pgdat.ram, (pfn + i) as Pfn);
  pgdat.freeFrames += 1 << order;
  freeOnePage(pgdat, pfn, order);
}

/** Frees one frame whose last reference is gone. */
export function freePage(pgdat: PgData, pfn: Pfn): void {
  const { ram } = pgdat;
  if (ram.codeIndex[pfn] !== 0) icacheInvalidateFrame(ram, pfn);
  const flags = pgdat.page.flags[pfn]!;
  if ((flags & PG_LRU) !== 0) lruDel(pgdat, pfn, flags);
  pgdat.page.flags[pfn] = 0;
  pgdat.page.refcount[pfn] = 0;
  if (pgdat.pcpCount === PCP_HIGH) drainPcp(pgdat, PCP_HIGH - PCP_DRAIN);
  pgdat.pcp[pgdat.pcpCount++] = pfn;
  pgdat.freeFrames++;
}

export function getPage(pgdat: PgData, pfn: Pfn): void {
  pgdat.page.refcount[pfn]!++;
}

/** Drops a reference; the last one frees the frame. */
export function putPage(pgdat: PgData, pfn: Pfn): void {
  const { refcount } = pgdat.page;
  const left = refcount[pfn]! - 1;
  if (left > 0) {
    refcount[pfn] = left;
    return;
  }
  if (left < 0) bug(`put_page: frame ${pfn} is free already`);
  freePage(pgdat, pfn);
}
