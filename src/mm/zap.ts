/**
 * Unmapping ranges and freeing page tables. Works on entries alone: an entry and its page
 * say all that unmapping needs, so a range may cover any number of VMAs.
 *
 *     shared table T of any level, range covers    what happens
 *     all that T maps                              let go of T: one reference, nothing below touched
 *     part of it                                   break, then the same one level down
 *     nothing of it                                left alone
 *
 * @linux mm/memory.c:unmap_page_range, free_pgtables
 */

import {
  entryPtr,
  LEVEL_PGD,
  LEVEL_PTE,
  levelIndex,
  LEVEL_SIZE,
  pteIsGuard,
  ptePfn,
  PTE_D,
  PTE_SPECIAL,
  PTE_V,
  PTE_WORDS,
  PTRS_PER_TABLE,
  USER_PTRS_PER_PGD,
  tableShared,
  type Pfn,
  type Pte,
  type PtePtr,
  type Vaddr,
} from '../arch/riscv/pgtable.ts';
import { ENOMEM } from '../uapi/errno.ts';
import { breakCowPteRange, breakCowTable } from './cow_pte.ts';
import {
  MM_ANONPAGES,
  MM_FILEPAGES,
  MM_SHMEMPAGES,
  MM_SWAPENTS,
  type MmStruct,
} from './mm_types.ts';
import { freePage, putPage } from './page_alloc.ts';
import { NO_PFN, PG_ANON, PG_DIRTY, PG_SWAPBACKED, PG_SWAPCACHE } from './page.ts';
import { freeTable, pgdFree, pgdPtr, tableEmpty } from './pgtable.ts';
import { addTableRss } from './pte_ops.ts';
import { folioFreeSwap, freeSwapAndCache } from './swap_state.ts';
import { isSwapPte, pteToSwapEntry } from './swap_types.ts';
import { flushTlbMm, flushTlbRange } from './tlbflush.ts';

/**
 * Clears entries [first, last) of a table that only one address space uses, and drops their
 * pages. @hot 512 entries a call.
 * @param keepMarkers leave PTE markers where they are.
 */
function zapPteRange(
  mm: MmStruct,
  table: Pfn,
  first: number,
  last: number,
  keepMarkers: boolean,
): void {
  const { pgdat, rss } = mm;
  const { u32 } = pgdat.ram;
  const { refcount, mapcount, mapping, flags } = pgdat.page;
  const start = entryPtr(table, first);
  const end = start + (last - first) * PTE_WORDS;
  let anon = 0;
  let shmem = 0;
  let file = 0;
  let swap = 0;
  for (let at = start as number; at < end; at += PTE_WORDS) {
    const pte = u32[at] as Pte;
    if (pte === 0) continue;
    if ((pte & PTE_V) === 0) {
      if (keepMarkers && pteIsGuard(pte)) continue;
      u32[at] = 0;
      if (!isSwapPte(pte)) continue;
      freeSwapAndCache(pgdat, pteToSwapEntry(pte));
      swap++;
      continue;
    }
    u32[at] = 0;
    if ((pte & PTE_SPECIAL) !== 0) continue;
    const pfn = ptePfn(pte);
    const left = mapcount[pfn]! - 1;
    mapcount[pfn] = left;
    const kind = flags[pfn]!;
    if ((kind & PG_ANON) !== 0) {
      anon++;
      // Its AnonVma may end before a last reference that is not a mapping.
      if (left === 0) mapping[pfn] = 0;
    } else {
      if ((kind & PG_SWAPBACKED) !== 0) shmem++;
      else file++;
      if ((pte & PTE_D) !== 0) flags[pfn] = kind | PG_DIRTY;
    }
    if (refcount[pfn] === 1) freePage(pgdat, pfn);
    else {
      if (left === 0 && (kind & PG_SWAPCACHE) !== 0) folioFreeSwap(pgdat, pfn);
      putPage(pgdat, pfn);
    }
  }
  pgdat.page.ptAnon[table]! -= anon;
  pgdat.page.ptShmem[table]! -= shmem;
  pgdat.page.ptFile[table]! -= file;
  pgdat.page.ptSwap[table]! -= swap;
  rss[MM_ANONPAGES]! -= anon;
  rss[MM_SHMEMPAGES]! -= shmem;
  rss[MM_FILEPAGES]! -= file;
  rss[MM_SWAPENTS]! -= swap;
}

/** Index of the first entry that [start, ...) reaches of a table whose first address is `base`. */
function firstIndex(base: Vaddr, start: Vaddr, level: number): number {
  return start <= base ? 0 : levelIndex(start, level);
}

/** Index behind the last entry that [..., end) reaches. */
function lastIndex(base: Vaddr, end: Vaddr, level: number): number {
  return Math.min(PTRS_PER_TABLE, Math.ceil((end - base) / LEVEL_SIZE[level]!));
}

/** What is unmapped. @linux include/linux/mm.h:zap_details */
interface ZapDetails {
  readonly mm: MmStruct;
  readonly start: Vaddr;
  readonly end: Vaddr;
  /** PTE markers stay. */
  readonly keepMarkers: boolean;
}

/** @returns true when the range takes away something that `table` maps, which begins at `base`. */
function mapsAny(zap: ZapDetails, table: Pfn, level: number, base: Vaddr): boolean {
  const { start, end } = zap;
  const { u32 } = zap.mm.pgdat.ram;
  const size = LEVEL_SIZE[level]!;
  const last = lastIndex(base, end, level);
  for (let i = firstIndex(base, start, level); i < last; i++) {
    const entry = u32[entryPtr(table, i)] as Pte;
    if (entry === 0) continue;
    const at = base + i * size;
    if (level === LEVEL_PTE || (at >= start && at + size <= end)) return true;
    if (mapsAny(zap, ptePfn(entry), level - 1, at)) return true;
  }
  return false;
}

/** @returns true when nothing that `table` maps lies outside of the range. */
function coversTable(zap: ZapDetails, table: Pfn, level: number, base: Vaddr): boolean {
  const { start, end } = zap;
  const { u32 } = zap.mm.pgdat.ram;
  const size = LEVEL_SIZE[level]!;
  for (let i = 0; i < PTRS_PER_TABLE; i++) {
    const entry = u32[entryPtr(table, i)] as Pte;
    if (entry === 0) continue;
    const at = base + i * size;
    if (at >= start && at + size <= end) continue;
    if (level === LEVEL_PTE || at >= end || at + size <= start) return false;
    if (!coversTable(zap, ptePfn(entry), level - 1, at)) return false;
  }
  return true;
}

/** Takes what a table of any level maps off the mm's counters. */
function uncountTable(mm: MmStruct, table: Pfn, level: number): void {
  if (level === LEVEL_PTE) {
    addTableRss(mm, table, -1);
    return;
  }
  const { u32 } = mm.pgdat.ram;
  const end = entryPtr(table, PTRS_PER_TABLE);
  for (let at = entryPtr(table, 0) as number; at < end; at += PTE_WORDS) {
    if (u32[at] !== 0) uncountTable(mm, ptePfn(u32[at] as Pte), level - 1);
  }
}

/**
 * Lets go of a shared table that somebody else still uses, whole, without looking at its
 * pages. The caller has checked that nothing in it stays mapped, and flushes the TLB.
 * @patch 03/14
 */
export function dropCowTable(mm: MmStruct, entry: PtePtr, level: number, addr: Vaddr): void {
  const { pgdat } = mm;
  const table = ptePfn(pgdat.ram.u32[entry] as Pte);
  uncountTable(mm, table, level);
  pgdat.ram.u32[entry] = 0;
  pgdat.page.ptRefs[table]!--;
  pgdat.vmstat.cowDrop[level]!++;
  pgdat.events?.tableDropped(mm.id, addr, level);
}

/** What the shared table behind an entry needs before the range can be unmapped. */
const ZAP_NOTHING = 0;
const ZAP_DROP = 1;
const ZAP_BREAK = 2;

/** @returns ZAP_NOTHING, ZAP_DROP or ZAP_BREAK. */
function zapShared(zap: ZapDetails, table: Pfn, level: number, base: Vaddr): number {
  if (!mapsAny(zap, table, level, base)) return ZAP_NOTHING;
  if (zap.keepMarkers || zap.mm.pgdat.page.ptRefs[table] === 1) return ZAP_BREAK;
  return coversTable(zap, table, level, base) ? ZAP_DROP : ZAP_BREAK;
}

/**
 * The part of zapRange() that can fail: makes shared tables private that [start, end) covers
 * only partly; they are those on the paths of its first and last page. Tables in which the
 * range maps nothing are left shared.
 * @returns 0, or -ENOMEM with nothing a program could see changed.
 * @patch 03/14
 */
export function zapPrepare(mm: MmStruct, start: Vaddr, end: Vaddr, keepMarkers = false): number {
  if (start >= end) return 0;
  // What stays may be anywhere: no table can be let go of whole.
  if (keepMarkers) return breakCowPteRange(mm, start, end);
  const zap = { mm, start, end, keepMarkers };
  const err = breakPartlyCovered(zap, start);
  return err !== 0 ? err : breakPartlyCovered(zap, end - 1);
}

/** zapPrepare() for the path of one address. */
function breakPartlyCovered(zap: ZapDetails, addr: Vaddr): number {
  const { mm } = zap;
  const { u32 } = mm.pgdat.ram;
  let entry = pgdPtr(mm, addr);
  for (let level: number = LEVEL_PGD - 1; level >= LEVEL_PTE; level--) {
    const value = u32[entry] as Pte;
    if (value === 0) return 0;
    let table = ptePfn(value);
    if (tableShared(value)) {
      const span = LEVEL_SIZE[level + 1]!;
      const base = Math.floor(addr / span) * span;
      if (zapShared(zap, table, level, base) !== ZAP_BREAK) return 0;
      table = breakCowTable(mm, entry, level, addr);
      if (table === NO_PFN) return -ENOMEM;
    }
    entry = entryPtr(table, levelIndex(addr, level));
  }
  return 0;
}

/** Unmaps the part of the range that lies in `table`, which is private. */
function zapTable(zap: ZapDetails, table: Pfn, level: number, base: Vaddr): number {
  const { mm } = zap;
  const { u32 } = mm.pgdat.ram;
  const first = firstIndex(base, zap.start, level);
  const last = lastIndex(base, zap.end, level);
  if (level === LEVEL_PTE) {
    zapPteRange(mm, table, first, last, zap.keepMarkers);
    return 0;
  }
  for (let i = first; i < last; i++) {
    const entry = entryPtr(table, i);
    const value = u32[entry] as Pte;
    if (value === 0) continue;
    const at = base + i * LEVEL_SIZE[level]!;
    let child = ptePfn(value);
    if (tableShared(value)) {
      const needs = zapShared(zap, child, level - 1, at);
      if (needs === ZAP_DROP) dropCowTable(mm, entry, level - 1, at);
      if (needs !== ZAP_BREAK) continue;
      child = breakCowTable(mm, entry, level - 1, at);
      if (child === NO_PFN) return -ENOMEM;
    }
    const err = zapTable(zap, child, level - 1, at);
    if (err !== 0) return err;
  }
  return 0;
}

/**
 * Drops every page mapped in [start, end). The tables stay; see freePgtables().
 * @param keepMarkers guards outlive their pages: only the end of the mapping takes them away.
 * @returns 0, or -ENOMEM when a partly covered shared table could not be made private; what
 *   came before it is already unmapped. It cannot fail after zapPrepare() on the same range.
 * @linux mm/memory.c:zap_page_range_single
 * @patch 03/14
 */
export function zapRange(mm: MmStruct, start: Vaddr, end: Vaddr, keepMarkers = false): number {
  const err = zapTable({ mm, start, end, keepMarkers }, mm.pgd, LEVEL_PGD, 0);
  flushTlbRange(mm, start, end);
  return err;
}

/** Frees the tables below `table`, which is private, that the range reaches and that are empty. */
function freeEmptyTables(zap: ZapDetails, table: Pfn, level: number, base: Vaddr): void {
  const { pgdat } = zap.mm;
  const { u32 } = pgdat.ram;
  const last = lastIndex(base, zap.end, level);
  for (let i = firstIndex(base, zap.start, level); i < last; i++) {
    const entry = entryPtr(table, i);
    if (u32[entry] === 0) continue;
    const child = ptePfn(u32[entry] as Pte);
    if (pgdat.page.ptRefs[child]! > 1) continue;
    if (level - 1 !== LEVEL_PTE) {
      freeEmptyTables(zap, child, level - 1, base + i * LEVEL_SIZE[level]!);
    }
    if (!tableEmpty(pgdat, child)) continue;
    u32[entry] = 0;
    freeTable(pgdat, child);
  }
}

/**
 * Frees the tables of [start, end) that hold nothing any more, leaf tables first. Nobody
 * needs to know the neighbouring VMAs: an empty table is of no use to them either. A table
 * that others use too is left to whoever is last.
 * @linux mm/memory.c:free_pgtables
 */
export function freePgtables(mm: MmStruct, start: Vaddr, end: Vaddr): void {
  freeEmptyTables({ mm, start, end, keepMarkers: false }, mm.pgd, LEVEL_PGD, 0);
}

/** Frees what a table holds, shared tables by reference; the table itself is the caller's. */
function exitEntries(mm: MmStruct, table: Pfn, level: number): void {
  const { pgdat } = mm;
  const { u32 } = pgdat.ram;
  const { ptRefs } = pgdat.page;
  const end = entryPtr(table, level === LEVEL_PGD ? USER_PTRS_PER_PGD : PTRS_PER_TABLE);
  for (let at = entryPtr(table, 0) as number; at < end; at += PTE_WORDS) {
    if (u32[at] === 0) continue;
    const child = ptePfn(u32[at] as Pte);
    if (ptRefs[child]! > 1) {
      ptRefs[child]!--;
      pgdat.vmstat.cowDrop[level - 1]!++;
      continue;
    }
    if (level - 1 === LEVEL_PTE) zapPteRange(mm, child, 0, PTRS_PER_TABLE, false);
    else exitEntries(mm, child, level - 1);
    freeTable(pgdat, child);
  }
}

/**
 * Unmaps everything and frees all tables, root included. Costs what the process has for
 * itself, plus one reference a shared subtree.
 * @linux mm/mmap.c:exit_mmap
 */
export function exitPgtables(mm: MmStruct): void {
  flushTlbMm(mm);
  exitEntries(mm, mm.pgd, LEVEL_PGD);
  pgdFree(mm);
}
