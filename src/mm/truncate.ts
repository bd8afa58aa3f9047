/**
 * Taking pages out of the page cache and out of every address space that maps them.
 *
 * Entries are cleared in place, also in shared tables: a present entry of a shared table
 * means the same page of the same file to every process that reaches it (whoever changed its
 * mapping there has a table of its own), and for all of them the page is gone. So truncation
 * needs no memory and cannot fail.
 *
 * @linux mm/truncate.c, mm/memory.c:unmap_mapping_range
 */

import { icacheInvalidateFrame } from '../arch/riscv/icache.ts';
import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import {
  entryPtr,
  pteIndex,
  ptePfn,
  PTE_SPECIAL,
  PTE_V,
  tableOf,
  type Pfn,
  type Pte,
  type PtePtr,
  type Vaddr,
} from '../arch/riscv/pgtable.ts';
import { INPLACE_TRUNCATE } from './events.ts';
import { LAST_INDEX } from './address_space.ts';
import {
  MM_SWAPENTS,
  type AddressSpace,
  type MmStruct,
  type PgData,
  type Vma,
} from './mm_types.ts';
import { putPage } from './page_alloc.ts';
import { PG_DIRTY, pageAnon } from './page.ts';
import { pteLast, walkLeafTables } from './pagewalk.ts';
import { mmCounter, pageRemoveRmapInPlace } from './pte_ops.ts';
import { freeSwapAndCache } from './swap_state.ts';
import {
  isSwapPte,
  pteToSwapEntry,
  SWAP_ENTRY_POISONED,
  swapEntryOffset,
  swapEntryToValue,
  valueToSwapEntry,
} from './swap_types.ts';
import { swapFree, swapInfoOf } from './swapfile.ts';
import { flushTlbEveryone } from './tlbflush.ts';
import { vmaPages } from './vma.ts';

/** Does something about the entry at `ptep`, which `mm` reaches. */
type PteVisitor = (mm: MmStruct, ptep: PtePtr, evenCows: boolean) => void;

/** @returns true when the entry maps a page that goes: private copies, swapped out or not, only if `evenCows`. */
function goes(pgdat: PgData, pte: Pte, evenCows: boolean): boolean {
  if ((pte & (PTE_V | PTE_SPECIAL)) !== PTE_V) return evenCows && isSwapPte(pte);
  return evenCows || !pageAnon(pgdat.page, ptePfn(pte));
}

/** First pass: every mm that reaches the entry uncounts the page, also through a shared table. */
function uncountPte(mm: MmStruct, ptep: PtePtr, evenCows: boolean): void {
  const { pgdat } = mm;
  const pte = pgdat.ram.u32[ptep] as Pte;
  if (!goes(pgdat, pte, evenCows)) return;
  const swapped = (pte & PTE_V) === 0;
  pgdat.vmstat.cowInplace[INPLACE_TRUNCATE]!++;
  mm.rss[swapped ? MM_SWAPENTS : mmCounter(pgdat.page.flags[ptePfn(pte)]!)]!--;
}

/** Second pass: the entry is cleared once, wherever its table is used. */
function zapPteInPlace(mm: MmStruct, ptep: PtePtr, evenCows: boolean): void {
  const { pgdat } = mm;
  const { u32 } = pgdat.ram;
  const pte = u32[ptep] as Pte;
  if ((pte & PTE_SPECIAL) !== 0 && (pte & PTE_V) !== 0) u32[ptep] = 0;
  if (!goes(pgdat, pte, evenCows)) return;
  u32[ptep] = 0;
  // What is left of the first pass's count are the mappings for which nothing had to be written.
  pgdat.vmstat.cowInplace[INPLACE_TRUNCATE]!--;
  if ((pte & PTE_V) !== 0) {
    pageRemoveRmapInPlace(pgdat, ptep, ptePfn(pte));
    return;
  }
  pgdat.page.ptSwap[tableOf(ptep)]!--;
  freeSwapAndCache(pgdat, pteToSwapEntry(pte));
}

/** Visits what one VMA maps in [start, end). Costs the tables that are there, not the range. */
function walkVma(vma: Vma, start: Vaddr, end: Vaddr, evenCows: boolean, visit: PteVisitor): void {
  const { mm } = vma;
  walkLeafTables(mm, start, end, (pmdp, addr, next) => {
    const table = ptePfn(mm.pgdat.ram.u32[pmdp] as Pte);
    const last = pteLast(addr, next);
    for (let i = pteIndex(addr); i < last; i++) visit(mm, entryPtr(table, i), evenCows);
    return 0;
  });
}

/** Visits file pages [first, last] in every VMA that maps them. */
function walkMapping(
  mapping: AddressSpace,
  first: number,
  last: number,
  evenCows: boolean,
  visit: PteVisitor,
): void {
  for (const vma of mapping.iMmap) {
    const from = Math.max(first - vma.pgoff, 0);
    const to = Math.min(last + 1 - vma.pgoff, vmaPages(vma));
    if (from >= to) continue;
    const { start } = vma;
    walkVma(vma, start + from * PAGE_SIZE, start + to * PAGE_SIZE, evenCows, visit);
  }
}

/**
 * Unmaps file pages [first, last] from everybody.
 * @param evenCows also private copies of them (truncation), or only the file's own pages (hole).
 * @linux mm/memory.c:unmap_mapping_range
 */
function unmapMappingRange(
  mapping: AddressSpace,
  first: number,
  last: number,
  evenCows: boolean,
): void {
  walkMapping(mapping, first, last, evenCows, uncountPte);
  walkMapping(mapping, first, last, evenCows, zapPteInPlace);
  if (mapping.iMmap.length !== 0) flushTlbEveryone(mapping.pgdat);
}

/** Drops the place in swap that `value` stands for. */
function freeSwapValue(pgdat: PgData, value: number): void {
  const entry = valueToSwapEntry(value);
  if (entry !== SWAP_ENTRY_POISONED) swapFree(pgdat, entry);
}

/** Takes one page out of the cache, or its place in swap. A holder of a reference keeps the bytes, not the place. */
export function deleteFromPageCache(mapping: AddressSpace, index: number): void {
  const { pgdat } = mapping;
  const value = mapping.pages.delete(index);
  if (value < 0) {
    mapping.swapped--;
    freeSwapValue(pgdat, value);
  }
  if (value <= 0) return;
  const pfn = value as Pfn;
  if (pgdat.page.mapcount[pfn] === 0) pgdat.page.mapping[pfn] = 0;
  putPage(pgdat, pfn);
}

function deleteRange(mapping: AddressSpace, first: number, last: number): void {
  mapping.pages.forEach(first, last, (index) => deleteFromPageCache(mapping, index));
}

function zeroWithin(pgdat: PgData, pfn: Pfn, from: number, to: number): void {
  icacheInvalidateFrame(pgdat.ram, pfn);
  pgdat.page.flags[pfn]! |= PG_DIRTY;
  pgdat.ram.u8.fill(0, pfn * PAGE_SIZE + from, pfn * PAGE_SIZE + to);
}

/**
 * Zeroes bytes of a page where it is, in swap, because there may be no frame for it. If the
 * device fails, the page is lost rather than wrong: reading it is an error from now on.
 */
function zeroInSwap(mapping: AddressSpace, index: number, from: number, to: number): void {
  const { pgdat, pages } = mapping;
  const entry = valueToSwapEntry(pages.get(index));
  if (entry === SWAP_ENTRY_POISONED) return;
  const { device } = swapInfoOf(pgdat, entry);
  const bytes = new Uint8Array(PAGE_SIZE);
  let err = device.readPage(swapEntryOffset(entry), bytes, 0);
  if (err === 0) err = device.writePage(swapEntryOffset(entry), bytes.fill(0, from, to), 0);
  if (err === 0) return;
  swapFree(pgdat, entry);
  pages.set(index, swapEntryToValue(SWAP_ENTRY_POISONED));
}

/** Zeroes bytes [start, end) of one cached page, if it is cached. */
function zeroPartial(mapping: AddressSpace, start: number, end: number): void {
  const index = Math.floor(start / PAGE_SIZE);
  const value = mapping.pages.get(index);
  if (value === 0 || start === end) return;
  const from = start - index * PAGE_SIZE;
  const to = end - index * PAGE_SIZE;
  if (value > 0) zeroWithin(mapping.pgdat, value as Pfn, from, to);
  else zeroInSwap(mapping, index, from, to);
}

/**
 * Shortens a file to `newSize` bytes: later pages go, the tail of the last one is zeroed.
 * The caller has set the new size.
 * @linux mm/truncate.c:truncate_pagecache
 */
export function truncateInodePages(mapping: AddressSpace, newSize: number): void {
  const first = Math.ceil(newSize / PAGE_SIZE);
  unmapMappingRange(mapping, first, LAST_INDEX, true);
  deleteRange(mapping, first, LAST_INDEX);
  zeroPartial(mapping, newSize, first * PAGE_SIZE);
}

/** Punches a hole of bytes [start, end) into a memory-only file. @linux mm/truncate.c:truncate_pagecache_range */
export function truncatePagecacheRange(mapping: AddressSpace, start: number, end: number): void {
  const first = Math.ceil(start / PAGE_SIZE);
  const last = Math.floor(end / PAGE_SIZE) - 1;
  if (last >= first) {
    unmapMappingRange(mapping, first, last, false);
    deleteRange(mapping, first, last);
  }
  if (first > last + 1) {
    zeroPartial(mapping, start, end);
    return;
  }
  zeroPartial(mapping, start, first * PAGE_SIZE);
  zeroPartial(mapping, (last + 1) * PAGE_SIZE, end);
}

/** Ends a page cache whose file is gone and that nobody maps. */
export function destroyMapping(mapping: AddressSpace): void {
  deleteRange(mapping, 0, LAST_INDEX);
  mapping.pgdat.mappings.release(mapping.id >> 1);
}
