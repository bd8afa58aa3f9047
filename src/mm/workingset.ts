/**
 * What is read again soon after it was reclaimed belongs to the working set: it comes back as
 * active, so that what is used once goes first.
 *
 *     reclaimed at age 100  ->  shadow 100 stays at its place in the file or in swap
 *     read at age 130       ->  30 pages went meanwhile: with 30 pages more it had stayed
 *
 * Without swap, memory that is too small for a program's code is never out: each page of code
 * can be reclaimed, and is read again at once. When most of what is reclaimed is such for long,
 * memory is out all the same. Data does not count: who reads a file that is larger than memory
 * again and again gets on.
 *
 * @linux mm/workingset.c
 */

import { XArray } from '../lib/xarray.ts';
import type { AddressSpace, PgData } from './mm_types.ts';
import { LRU_ACTIVE_ANON, LRU_ACTIVE_FILE, LRU_INACTIVE_ANON, LRU_INACTIVE_FILE } from './page.ts';

/** Reclaimed pages between two looks at the share of refaults, at least; more when there are more file pages. */
const THRASH_WINDOW = 256;
/** Share of them that is code read again, where nothing gets done any more. */
const THRASH_SHARE = 0.5;
/** Such windows in a row until memory is out: a second or so on an idle host. */
const THRASH_WINDOWS = 64;

/** A page is reclaimed. @returns what to leave in its place, never 0. @linux mm/workingset.c:workingset_eviction */
export function workingsetEviction(pgdat: PgData): number {
  pgdat.nonresidentAge = (pgdat.nonresidentAge + 1) | 0;
  if (pgdat.nonresidentAge === 0) pgdat.nonresidentAge = 1;
  return pgdat.nonresidentAge;
}

/** As workingsetEviction(), for a page of a file that can be read again. */
export function shadowFilePage(mapping: AddressSpace, index: number): void {
  mapping.shadows ??= new XArray();
  mapping.shadows.set(index, workingsetEviction(mapping.pgdat));
}

/** @returns the shadow of a page of a file, which is gone then; 0 if there is none. */
export function takeShadow(mapping: AddressSpace, index: number): number {
  return mapping.shadows === null ? 0 : mapping.shadows.delete(index);
}

/**
 * A page comes back.
 * @returns true when it was reclaimed so lately that it must be active.
 * @linux mm/workingset.c:workingset_refault
 */
export function workingsetRefault(pgdat: PgData, shadow: number, file: boolean): boolean {
  if (shadow === 0) return false;
  const { lruSize, vmstat } = pgdat;
  if (file) vmstat.workingsetRefaultFile++;
  else vmstat.workingsetRefaultAnon++;
  let pages = lruSize[LRU_ACTIVE_FILE]!;
  if (!file) pages += lruSize[LRU_INACTIVE_FILE]!;
  if (pgdat.swap.freePages !== 0) {
    pages += lruSize[LRU_ACTIVE_ANON]!;
    if (file) pages += lruSize[LRU_INACTIVE_ANON]!;
  }
  if ((pgdat.nonresidentAge - shadow) >>> 0 > pages) return false;
  if (file) vmstat.workingsetActivateFile++;
  else vmstat.workingsetActivateAnon++;
  return true;
}

/** @returns true when reclaim mostly takes code that is read again at once, and has for long. */
export function thrashing(pgdat: PgData): boolean {
  const { thrash, lruSize } = pgdat;
  if (pgdat.swap.freePages !== 0) {
    thrash.windows = 0;
    return false;
  }
  const window = Math.max(THRASH_WINDOW, lruSize[LRU_INACTIVE_FILE]! + lruSize[LRU_ACTIVE_FILE]!);
  const evicted = (pgdat.nonresidentAge - thrash.age) >>> 0;
  if (evicted < window) return false;
  const share = (pgdat.codeRefaults - thrash.refaults) / evicted;
  thrash.age = pgdat.nonresidentAge;
  thrash.refaults = pgdat.codeRefaults;
  thrash.windows = share < THRASH_SHARE ? 0 : thrash.windows + 1;
  if (thrash.windows < THRASH_WINDOWS) return false;
  thrash.windows = 0;
  return true;
}
