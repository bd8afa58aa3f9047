/**
 * Unmapping ranges and freeing page tables. Works on entries alone: an entry and its page
 * say all that unmapping needs, so a range may cover any number of VMAs.
 *
 *     shared table T, range covers          what happens
 *     all that T maps                       let go of T: one reference, no page touched
 *     part of it                            break, then zap the private copy
 *
 * @linux mm/memory.c:unmap_page_range, free_pgtables
 */

import {
  blockEnd,
  entryPtr,
  LEVEL_PGD,
  LEVEL_PMD,
  pgdIndex,
  PMD_SIZE,
  pmdAlignDown,
  pteIndex,
  ptePfn,
  PTE_D,
  PTE_SPECIAL,
  PTE_V,
  PTE_WORDS,
  PTRS_PER_TABLE,
  PUD_SIZE,
  pudIndex,
  tableShared,
  type Pfn,
  type Pte,
  type PtePtr,
  type Vaddr,
} from '../arch/riscv/pgtable.ts';
import { bug } from '../lib/assert.ts';
import { breakCowPte, dropCowPte } from './cow_pte.ts';
import type { MmStruct, PgData } from './mm_types.ts';
import { freePage, putPage } from './page_alloc.ts';
import { PG_ANON, PG_DIRTY, PG_SWAPBACKED } from './page.ts';
import { pteLast, tableMapsAny, walkLeafTables } from './pagewalk.ts';
import { freeTable, NO_PTEP, pgdFree, pmdPtrOf, tableEmpty } from './pgtable.ts';
import { flushTlbMm, flushTlbRange } from './tlbflush.ts';

/**
 * Clears entries [first, last) of a table that only one address space uses, and drops their
 * pages. @hot 512 entries a call.
 */
function zapPteRange(pgdat: PgData, table: Pfn, first: number, last: number): void {
  const { u32 } = pgdat.ram;
  const { refcount, mapcount, mapping, flags } = pgdat.page;
  const start = entryPtr(table, first);
  const end = start + (last - first) * PTE_WORDS;
  let anon = 0;
  let shmem = 0;
  let file = 0;
  for (let at = start as number; at < end; at += PTE_WORDS) {
    const pte = u32[at] as Pte;
    if (pte === 0) continue;
    u32[at] = 0;
    if ((pte & PTE_SPECIAL) !== 0) continue;
    if ((pte & PTE_V) === 0) bug('zap_pte_range: swap entry');
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
    else putPage(pgdat, pfn);
  }
  pgdat.page.ptAnon[table]! -= anon;
  pgdat.page.ptShmem[table]! -= shmem;
  pgdat.page.ptFile[table]! -= file;
}

/** @returns true when no entry of the table outside of [first, last) is in use. */
function coversTable(pgdat: PgData, table: Pfn, first: number, last: number): boolean {
  const { u32 } = pgdat.ram;
  const base = entryPtr(table, 0);
  for (let i = 0; i < first; i++) if (u32[base + i * PTE_WORDS] !== 0) return false;
  for (let i = last; i < PTRS_PER_TABLE; i++) if (u32[base + i * PTE_WORDS] !== 0) return false;
  return true;
}

/** @returns true when [addr, next) must first make the shared table of `pmdp` private. */
function needsBreak(mm: MmStruct, pmdp: PtePtr, addr: Vaddr, next: Vaddr): boolean {
  const { pgdat } = mm;
  const pmd = pgdat.ram.u32[pmdp] as Pte;
  if (!tableShared(pmd)) return false;
  const table = ptePfn(pmd);
  if (pgdat.page.ptRefs[table] === 1) return true;
  return !coversTable(pgdat, table, pteIndex(addr), pteLast(addr, next));
}

/**
 * The part of zapRange() that can fail: makes shared tables private that [start, end) covers
 * only partly. Tables in which the range maps nothing are left shared.
 * @returns 0, or -ENOMEM with nothing a program could see changed.
 * @patch 03/14
 */
export function zapPrepare(mm: MmStruct, start: Vaddr, end: Vaddr): number {
  const err = breakPartlyCovered(mm, start, blockEnd(start, end, PMD_SIZE));
  if (err !== 0) return err;
  // Only the first and the last table can be covered partly.
  return breakPartlyCovered(mm, Math.max(start, pmdAlignDown(end)), end);
}

/** zapPrepare() for the part [addr, next) of one table. */
function breakPartlyCovered(mm: MmStruct, addr: Vaddr, next: Vaddr): number {
  const pmdp = addr < next ? pmdPtrOf(mm, addr) : NO_PTEP;
  if (pmdp === NO_PTEP || !tableMapsAny(mm.pgdat, pmdp, addr, next)) return 0;
  return needsBreak(mm, pmdp, addr, next) ? breakCowPte(mm, pmdp, addr) : 0;
}

function zapPmd(mm: MmStruct, pmdp: PtePtr, addr: Vaddr, next: Vaddr): number {
  const { pgdat } = mm;
  if (!tableMapsAny(pgdat, pmdp, addr, next)) return 0;
  const pmd = pgdat.ram.u32[pmdp] as Pte;
  if (tableShared(pmd)) {
    if (!needsBreak(mm, pmdp, addr, next)) {
      dropCowPte(mm, pmdp);
      return 0;
    }
    const err = breakCowPte(mm, pmdp, addr);
    if (err !== 0) return err;
  }
  const table = ptePfn(pgdat.ram.u32[pmdp] as Pte);
  zapPteRange(pgdat, table, pteIndex(addr), pteLast(addr, next));
  return 0;
}

/**
 * Drops every page mapped in [start, end). The tables stay; see freePgtables().
 * @returns 0, or -ENOMEM when a partly covered shared table could not be made private; what
 *   came before it is already unmapped. It cannot fail after zapPrepare() on the same range.
 * @linux mm/memory.c:zap_page_range_single
 * @patch 03/14
 */
export function zapRange(mm: MmStruct, start: Vaddr, end: Vaddr): number {
  const err = walkLeafTables(mm, start, end, (pmdp, addr, next) => zapPmd(mm, pmdp, addr, next));
  flushTlbRange(mm, start, end);
  return err;
}

/**
 * Frees the tables of [start, end) that hold nothing any more, leaf tables first. Nobody
 * needs to know the neighbouring VMAs: an empty table is of no use to them either. A table
 * that others use too is left to whoever is last.
 * @linux mm/memory.c:free_pgtables
 */
export function freePgtables(mm: MmStruct, start: Vaddr, end: Vaddr): void {
  const { pgdat } = mm;
  const { u32 } = pgdat.ram;
  walkLeafTables(mm, start, end, (pmdp) => {
    const table = ptePfn(u32[pmdp] as Pte);
    if (pgdat.page.ptRefs[table] === 1 && tableEmpty(pgdat, table)) {
      u32[pmdp] = 0;
      freeTable(pgdat, table);
    }
    return 0;
  });
  for (let addr = start; addr < end; addr = blockEnd(addr, end, PUD_SIZE))
    freeUpperTables(mm, addr);
}

/** Frees the PMD and then the PUD table of `addr` where they are empty. */
function freeUpperTables(mm: MmStruct, addr: Vaddr): void {
  const { pgdat } = mm;
  const { u32 } = pgdat.ram;
  const pgdp = entryPtr(mm.pgd, pgdIndex(addr));
  if (u32[pgdp] === 0) return;
  const pudTable = ptePfn(u32[pgdp] as Pte);
  const pudp = entryPtr(pudTable, pudIndex(addr));
  const pmdTable = ptePfn(u32[pudp] as Pte);
  if (u32[pudp] !== 0) {
    if (!tableEmpty(pgdat, pmdTable)) return;
    u32[pudp] = 0;
    freeTable(pgdat, pmdTable);
  }
  if (!tableEmpty(pgdat, pudTable)) return;
  u32[pgdp] = 0;
  freeTable(pgdat, pudTable);
}

/** Lets go of the leaf tables of a PMD table: shared ones by reference. @hot 512 entries a GiB. */
function exitPmdTable(pgdat: PgData, pmdTable: Pfn): void {
  const { u32 } = pgdat.ram;
  const { ptRefs } = pgdat.page;
  const start = entryPtr(pmdTable, 0);
  const end = start + PTRS_PER_TABLE * PTE_WORDS;
  let dropped = 0;
  for (let at = start as number; at < end; at += PTE_WORDS) {
    if (u32[at] === 0) continue;
    const table = ptePfn(u32[at] as Pte);
    const refs = ptRefs[table]!;
    if (refs > 1) {
      ptRefs[table] = refs - 1;
      dropped++;
      continue;
    }
    zapPteRange(pgdat, table, 0, PTRS_PER_TABLE);
    freeTable(pgdat, table);
  }
  pgdat.vmstat.cowPteDrop += dropped;
}

/** Frees what a table above the leaves holds; the table itself is the caller's. */
function exitEntries(pgdat: PgData, table: Pfn, level: number): void {
  if (level === LEVEL_PMD) {
    exitPmdTable(pgdat, table);
    return;
  }
  const { u32 } = pgdat.ram;
  const start = entryPtr(table, 0);
  const end = start + PTRS_PER_TABLE * PTE_WORDS;
  for (let at = start as number; at < end; at += PTE_WORDS) {
    if (u32[at] === 0) continue;
    const child = ptePfn(u32[at] as Pte);
    exitEntries(pgdat, child, level - 1);
    freeTable(pgdat, child);
  }
}

/**
 * Unmaps everything and frees all tables, root included. Costs what the process has for
 * itself, plus one reference a shared table.
 * @linux mm/mmap.c:exit_mmap
 */
export function exitPgtables(mm: MmStruct): void {
  flushTlbMm(mm);
  exitEntries(mm.pgdat, mm.pgd, LEVEL_PGD);
  pgdFree(mm);
}
