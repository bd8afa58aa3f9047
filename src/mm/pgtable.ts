/**
 * Page tables: walking down, allocating and freeing them.
 *
 *     root (LEVEL_PGD) -> LEVEL_PUD -> LEVEL_PMD -> leaf table (LEVEL_PTE) -> page
 *
 * Every table is a frame with a descriptor (page.pt*): references from parent entries at
 * every level, counters of what a leaf table maps, and the mm that VmPTE counts it for.
 * Look-ups here end in tables that may be shared: good for reading. Who writes an entry for
 * one mm gets its place from cow_pte.ts.
 *
 * @linux mm/memory.c:__pmd_alloc and kin, arch/riscv/include/asm/pgalloc.h
 */

import {
  blockEnd,
  entryPtr,
  LEVEL_PGD,
  LEVEL_PTE,
  levelIndex,
  PGD_SIZE,
  pgdIndex,
  PMD_SIZE,
  pmdIndex,
  pteIndex,
  PTE_PATH_RO,
  ptePfn,
  PTE_WORDS,
  PTRS_PER_TABLE,
  PUD_SIZE,
  pudIndex,
  type Pfn,
  type Pte,
  type PtePtr,
  type Vaddr,
} from '../arch/riscv/pgtable.ts';
import { bugOn } from '../lib/assert.ts';
import type { MmStruct, PgData } from './mm_types.ts';
import { allocZeroedPage, freePage } from './page_alloc.ts';
import { NO_PFN, tableFlags } from './page.ts';

/** No entry: what look-ups return when a table on the path is missing. */
export const NO_PTEP = 0 as PtePtr;

/**
 * An empty table with one reference.
 * @returns NO_PFN when memory is out.
 */
export function allocTable(mm: MmStruct, level: number, addr: Vaddr): Pfn {
  const { page } = mm.pgdat;
  const pfn = allocZeroedPage(mm.pgdat);
  if (pfn === NO_PFN) return NO_PFN;
  page.flags[pfn] = tableFlags(level);
  page.ptRefs[pfn] = 1;
  page.ptAnon[pfn] = 0;
  page.ptFile[pfn] = 0;
  page.ptShmem[pfn] = 0;
  page.ptSwap[pfn] = 0;
  page.ptOwner[pfn] = mm.id;
  page.ptIndex[pfn] = Math.floor(addr / PMD_SIZE);
  mm.pgdat.pageTables++;
  return pfn;
}

/** Frees a table to which no entry points any more. */
export function freeTable(pgdat: PgData, pfn: Pfn): void {
  pgdat.pageTables--;
  pgdat.page.ptRefs[pfn] = 0;
  freePage(pgdat, pfn);
}

/** Place of the root's entry for `addr`. */
export function pgdPtr(mm: MmStruct, addr: Vaddr): PtePtr {
  return entryPtr(mm.pgd, pgdIndex(addr));
}

/** Place of the entry that names the leaf table of `addr`, in a table that may be shared; NO_PTEP when there is no PMD table. */
export function pmdPtrOf(mm: MmStruct, addr: Vaddr): PtePtr {
  const { u32 } = mm.pgdat.ram;
  const pgd = u32[pgdPtr(mm, addr)] as Pte;
  if (pgd === 0) return NO_PTEP;
  const pud = u32[entryPtr(ptePfn(pgd), pudIndex(addr))] as Pte;
  if (pud === 0) return NO_PTEP;
  return entryPtr(ptePfn(pud), pmdIndex(addr));
}

/**
 * PTE_SHARED and PTE_SD_CLEARED as they stand anywhere on the path of `addr`: 0 means that the
 * leaf entry alone says what may be done.
 */
export function pathFlags(mm: MmStruct, addr: Vaddr): number {
  const { u32 } = mm.pgdat.ram;
  const pgd = u32[pgdPtr(mm, addr)] as Pte;
  if (pgd === 0) return 0;
  const pud = u32[entryPtr(ptePfn(pgd), pudIndex(addr))] as Pte;
  if (pud === 0) return pgd & PTE_PATH_RO;
  return (pgd | pud | u32[entryPtr(ptePfn(pud), pmdIndex(addr))]!) & PTE_PATH_RO;
}

/** The table of this level that maps `addr` for `mm`; NO_PFN when there is none. */
export function tableAt(mm: MmStruct, addr: Vaddr, level: number): Pfn {
  const { u32 } = mm.pgdat.ram;
  let table = mm.pgd;
  for (let at = LEVEL_PGD; at > level; at--) {
    const entry = u32[entryPtr(table, levelIndex(addr, at))] as Pte;
    if (entry === 0) return NO_PFN;
    table = ptePfn(entry);
  }
  return table;
}

/** Clears and sets flags (PG_TABLE_*) of every table below the root on the path of `addr`. */
export function markPath(mm: MmStruct, addr: Vaddr, clear: number, set: number): void {
  const { u32 } = mm.pgdat.ram;
  const { flags } = mm.pgdat.page;
  let table = mm.pgd;
  for (let level: number = LEVEL_PGD; level > LEVEL_PTE; level--) {
    const entry = u32[entryPtr(table, levelIndex(addr, level))] as Pte;
    if (entry === 0) return;
    table = ptePfn(entry);
    flags[table] = (flags[table]! & ~clear) | set;
  }
}

/** @returns true when another address space reaches the leaf table of `addr`, which exists. */
export function pathHasRefs(mm: MmStruct, addr: Vaddr): boolean {
  const { u32 } = mm.pgdat.ram;
  const { ptRefs } = mm.pgdat.page;
  let table = mm.pgd;
  for (let level: number = LEVEL_PGD; level > LEVEL_PTE; level--) {
    table = ptePfn(u32[entryPtr(table, levelIndex(addr, level))] as Pte);
    if (ptRefs[table]! > 1) return true;
  }
  return false;
}

/** First address after `addr`, which has no PMD table, that may have one; `end` at most. */
export function skipMissing(mm: MmStruct, addr: Vaddr, end: Vaddr): Vaddr {
  const pgd = mm.pgdat.ram.u32[pgdPtr(mm, addr)];
  return blockEnd(addr, end, pgd === 0 ? PGD_SIZE : PUD_SIZE);
}

/** Place of the leaf entry of `addr`, in a table that may be shared; NO_PTEP when there is no leaf table. */
export function ptePtrOf(mm: MmStruct, addr: Vaddr): PtePtr {
  const pmdp = pmdPtrOf(mm, addr);
  if (pmdp === NO_PTEP) return NO_PTEP;
  const pmd = mm.pgdat.ram.u32[pmdp] as Pte;
  return pmd === 0 ? NO_PTEP : entryPtr(ptePfn(pmd), pteIndex(addr));
}

/** @returns true when the table holds no entry at all. */
export function tableEmpty(pgdat: PgData, pfn: Pfn): boolean {
  const { u32 } = pgdat.ram;
  const first = entryPtr(pfn, 0);
  for (let i = 0; i < PTRS_PER_TABLE * PTE_WORDS; i += PTE_WORDS) {
    if (u32[first + i] !== 0) return false;
  }
  return true;
}

/** Gives a new address space its root. @returns false when memory is out. */
export function pgdAlloc(mm: MmStruct): boolean {
  mm.pgd = allocTable(mm, LEVEL_PGD, 0);
  return mm.pgd !== NO_PFN;
}

/** Frees the root, which must be empty. */
export function pgdFree(mm: MmStruct): void {
  bugOn(mm.pgd === NO_PFN, 'pgd_free: no root');
  freeTable(mm.pgdat, mm.pgd);
  mm.pgd = NO_PFN;
}
