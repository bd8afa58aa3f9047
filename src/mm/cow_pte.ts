/**
 * Copy-on-write page tables: making what fork shared private again, from the top down.
 *
 *     after fork                     after the parent wrote one page
 *
 *     parent root [S]---+            parent root [ ]--> PUD'[S ..]      child root [S]--> PUD
 *                       v                                 [ ]--> PMD'[S S S]              |
 *     child  root [S]-> PUD (refs 2)                        [ ]--> T' |  |                v
 *                       |                                          +--+--+-----------> PMD [S S S S]
 *                       v                                          v  v  v                | | | |
 *                       PMD -> T, T, T, T (refs 1)                 T  T  T (refs 2)    T, T, T, T
 *
 * Tables are shared at any level: an entry that carries PTE_SHARED names a table that other
 * entries name too, and nothing below it may be written through it. Copying a table above the
 * leaves shares its children; copying a leaf table gives its pages one more mapping. A table
 * that nobody else names any more is taken over as it is.
 *
 * A page mapped by a leaf table is counted once for that table, however many processes reach
 * it, so sharing and letting go of a table touch no page. PG_ANON_EXCLUSIVE keeps its value
 * while a table is shared and is void on that path; a process that takes the table over has
 * its pages writable again without a fault.
 *
 * PTE_SD_CLEARED works the same way: clearing the soft-dirty bits of everything below an entry
 * sets it there, and whoever makes the path private pushes it one level down.
 *
 * Order of updates: allocate; copy; entry; TLB; counts; free. Nothing before the entry is
 * written can be seen by the program, so a failed allocation changes nothing. No VMA is looked
 * at: everything needed is in the entries and their pages.
 */

import {
  entryPtr,
  LEVEL_PGD,
  LEVEL_PMD,
  LEVEL_PTE,
  LEVEL_PUD,
  levelIndex,
  mkTable,
  pmdIndex,
  pteClearSoftDirty,
  pteIndex,
  pudIndex,
  ptePfn,
  PTE_PATH_RO,
  PTE_SD_CLEARED,
  PTE_SHARED,
  PTE_WORDS,
  PTRS_PER_TABLE,
  type Pfn,
  type Pte,
  type PtePtr,
  type Vaddr,
} from '../arch/riscv/pgtable.ts';
import { ENOMEM } from '../uapi/errno.ts';
import { copyPteRange } from './copy_pte.ts';
import { BREAK_COPY, BREAK_REUSE } from './events.ts';
import type { MmStruct, PgData } from './mm_types.ts';
import { NO_PFN, PG_TABLE_PINNED } from './page.ts';
import { tableMapsAny, walkLeafTables } from './pagewalk.ts';
import { allocTable, markPath, NO_PTEP, pathFlags, pgdPtr } from './pgtable.ts';

/**
 * Points the entries of `dst` at the tables that those of `src` name, which get one more
 * reference each, and SHARED in both. @hot 512 entries a call.
 */
function shareChildren(pgdat: PgData, src: Pfn, dst: Pfn, childLevel: number, extra: number): void {
  const { u32 } = pgdat.ram;
  const { ptRefs } = pgdat.page;
  const start = entryPtr(src, 0);
  const end = start + PTRS_PER_TABLE * PTE_WORDS;
  const shift = entryPtr(dst, 0) - start;
  let shared = 0;
  for (let at = start as number; at < end; at += PTE_WORDS) {
    if (u32[at] === 0) continue;
    const entry = u32[at]! | PTE_SHARED;
    u32[at] = entry;
    u32[at + shift] = entry | extra;
    ptRefs[ptePfn(entry as Pte)]!++;
    shared++;
  }
  pgdat.vmstat.cowShared[childLevel]! += shared;
}

/** Gives the mm a copy of the shared table of this level that `entry` names. @returns NO_PFN when memory is out. */
function copyCowTable(mm: MmStruct, entry: PtePtr, level: number, addr: Vaddr): Pfn {
  const { pgdat } = mm;
  const { u32 } = pgdat.ram;
  const value = u32[entry] as Pte;
  const old = ptePfn(value);
  const table = allocTable(mm, level, addr);
  if (table === NO_PFN) return NO_PFN;
  const sdCleared = value & PTE_SD_CLEARED;
  // Nobody has a write TLB entry through `old`: all its parents are SHARED. Reads keep their
  // frames, so no TLB entry of anybody becomes wrong.
  if (level === LEVEL_PTE) copyPteRange(pgdat, old, table, 0, PTRS_PER_TABLE, sdCleared !== 0);
  else shareChildren(pgdat, old, table, level - 1, sdCleared);
  u32[entry] = mkTable(table);
  pgdat.page.ptRefs[old]!--;
  pgdat.vmstat.cowBreakCopy[level]!++;
  mm.cowBreaks[level]!++;
  pgdat.events?.tableBroken(mm.id, addr, level, BREAK_COPY);
  return table;
}

/** Does to the entries of a private table what SD_CLEARED on its own entry stood for. */
function pushSoftDirty(pgdat: PgData, table: Pfn, level: number): void {
  const { u32 } = pgdat.ram;
  const start = entryPtr(table, 0);
  const end = start + PTRS_PER_TABLE * PTE_WORDS;
  for (let at = start as number; at < end; at += PTE_WORDS) {
    const entry = u32[at]!;
    if (entry === 0) continue;
    if (level !== LEVEL_PTE) u32[at] = entry | PTE_SD_CLEARED;
    else u32[at] = pteClearSoftDirty(entry as Pte);
  }
}

/**
 * Makes the table behind `entry`, which lies in a private table, private too: takes it over if
 * no other entry names it, copies it otherwise; and pushes a pending soft-dirty clear into it.
 * @returns the table, or NO_PFN when memory is out, with nothing changed.
 */
export function breakCowTable(mm: MmStruct, entry: PtePtr, level: number, addr: Vaddr): Pfn {
  const { pgdat } = mm;
  const { u32 } = pgdat.ram;
  const value = u32[entry] as Pte;
  const table = ptePfn(value);
  if ((value & PTE_SHARED) !== 0) {
    if (pgdat.page.ptRefs[table]! > 1) return copyCowTable(mm, entry, level, addr);
    pgdat.vmstat.cowBreakReuse[level]!++;
    mm.cowBreaks[LEVEL_PGD + level]!++;
    pgdat.events?.tableBroken(mm.id, addr, level, BREAK_REUSE);
  }
  if ((value & PTE_SD_CLEARED) !== 0) pushSoftDirty(pgdat, table, level);
  u32[entry] = mkTable(table);
  return table;
}

/** The table of this level behind `entry`, private, allocated if there is none. @returns NO_PFN when memory is out. @hot */
function privateTable(mm: MmStruct, entry: PtePtr, level: number, addr: Vaddr): Pfn {
  const { u32 } = mm.pgdat.ram;
  const value = u32[entry] as Pte;
  if (value === 0) {
    const table = allocTable(mm, level, addr);
    if (table !== NO_PFN) u32[entry] = mkTable(table);
    return table;
  }
  if ((value & PTE_PATH_RO) === 0) return ptePfn(value);
  return breakCowTable(mm, entry, level, addr);
}

/**
 * Place of the entry that names the leaf table of `addr`, in a private PMD table: upper tables
 * are allocated and made private as needed. The leaf table itself may be shared.
 * @returns NO_PTEP when memory is out; tables already allocated stay, empty.
 * @linux mm/memory.c:pmd_alloc
 */
export function pmdAlloc(mm: MmStruct, addr: Vaddr): PtePtr {
  const pud = privateTable(mm, pgdPtr(mm, addr), LEVEL_PUD, addr);
  if (pud === NO_PFN) return NO_PTEP;
  const pmd = privateTable(mm, entryPtr(pud, pudIndex(addr)), LEVEL_PMD, addr);
  return pmd === NO_PFN ? NO_PTEP : entryPtr(pmd, pmdIndex(addr));
}

/**
 * Place of the leaf entry of `addr` in a private table on a private path, allocating and
 * breaking what is needed. Every write of an entry for one mm goes to a place got here.
 * @returns NO_PTEP when memory is out, with nothing changed that a program could see.
 * @linux mm/memory.c:pte_alloc
 */
export function pteAlloc(mm: MmStruct, addr: Vaddr): PtePtr {
  const pmdp = pmdAlloc(mm, addr);
  if (pmdp === NO_PTEP) return NO_PTEP;
  const table = privateTable(mm, pmdp, LEVEL_PTE, addr);
  return table === NO_PFN ? NO_PTEP : entryPtr(table, pteIndex(addr));
}

/**
 * Makes the whole path of `addr` private to `mm`, as far as there are tables.
 * @returns 0, or -ENOMEM: tables broken before stay broken, which no program can see.
 * @linux mm/memory.c:break_cow_pte (founding series)
 * @patch 03/14
 */
export function breakCowPath(mm: MmStruct, addr: Vaddr): number {
  const { u32 } = mm.pgdat.ram;
  let entry = pgdPtr(mm, addr);
  for (let level: number = LEVEL_PGD - 1; u32[entry] !== 0; level--) {
    const table = privateTable(mm, entry, level, addr);
    if (table === NO_PFN) return -ENOMEM;
    if (level === LEVEL_PTE) break;
    entry = entryPtr(table, levelIndex(addr, level));
  }
  return 0;
}

/**
 * breakCowPath() for every leaf table that maps something in [start, end); tables that map
 * nothing there stay shared.
 * @returns 0, or -ENOMEM: tables broken before stay broken, which no program can see.
 * @linux mm/memory.c:break_cow_pte_range (founding series)
 * @patch 03/14
 */
export function breakCowPteRange(mm: MmStruct, start: Vaddr, end: Vaddr): number {
  return walkLeafTables(mm, start, end, (pmdp, addr, next) => {
    const maps = pathFlags(mm, addr) !== 0 && tableMapsAny(mm.pgdat, pmdp, addr, next);
    return maps ? breakCowPath(mm, addr) : 0;
  });
}

/**
 * Says of every table on the private path of `addr` that a page below it may be pinned, so
 * that fork looks before it shares one.
 * @patch 08/14
 */
export function markPathPinned(mm: MmStruct, addr: Vaddr): void {
  markPath(mm, addr, 0, PG_TABLE_PINNED);
}
