/** Recounts the LRU lists and compares, for page_table_check.ts. */

import type { Pfn } from '../arch/riscv/pgtable.ts';
import { bug } from '../lib/assert.ts';
import type { PgData } from './mm_types.ts';
import { NR_LRU_LISTS, PG_BUDDY, PG_LRU, PG_RESERVED, PG_TABLE } from './page.ts';
import { folioLruList, lruHead } from './swap.ts';

/** @returns pages on the list. */
function checkList(pgdat: PgData, lru: number): number {
  const { lruNext, lruPrev, flags, refcount } = pgdat.page;
  const head = lruHead(lru);
  let pages = 0;
  let prev = head;
  for (let pfn = lruNext[head]!; pfn !== head; pfn = lruNext[pfn]!) {
    if (lruPrev[pfn] !== prev) bug(`lru check: frame ${pfn} does not point back to ${prev}`);
    if ((flags[pfn]! & PG_LRU) === 0) bug(`lru check: frame ${pfn} is on list ${lru} unmarked`);
    if (folioLruList(flags[pfn]!) !== lru) bug(`lru check: frame ${pfn} is on list ${lru}`);
    if (refcount[pfn] === 0) bug(`lru check: free frame ${pfn} is on list ${lru}`);
    prev = pfn;
    if (++pages > flags.length) bug(`lru check: list ${lru} has no end`);
  }
  if (pages !== pgdat.lruSize[lru]) {
    bug(`lru check: list ${lru} has ${pages} pages, want ${pgdat.lruSize[lru]}`);
  }
  return pages;
}

/** Pages of processes and files must be on a list, and nothing else. */
export function checkLru(pgdat: PgData): void {
  const { flags, refcount, mapping } = pgdat.page;
  const { firstFrame, nrFrames } = pgdat.ram.layout;
  let listed = 0;
  for (let lru = 0; lru < NR_LRU_LISTS; lru++) listed += checkList(pgdat, lru);
  let marked = 0;
  for (let pfn = firstFrame as Pfn; pfn < nrFrames; pfn = (pfn + 1) as Pfn) {
    const flag = flags[pfn]!;
    if ((flag & (PG_BUDDY | PG_TABLE | PG_RESERVED)) !== 0 || refcount[pfn] === 0) continue;
    if ((flag & PG_LRU) !== 0) marked++;
    else if (mapping[pfn] !== 0) bug(`lru check: frame ${pfn} is on no list`);
  }
  if (marked !== listed) bug(`lru check: ${marked} pages are marked, ${listed} are listed`);
}
