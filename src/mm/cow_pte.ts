/**
 * Copy-on-write page tables: making a leaf table that fork shared private again.
 *
 *     after fork                        after the parent wrote (break by copy)
 *
 *     parent PMD --SHARED--+            parent PMD ---------> T' (private copy)
 *                          v
 *     child  PMD --SHARED--> T (refs 2)  child PMD --SHARED--> T (refs 1: the child's next
 *                                                              write takes it over)
 *
 * A page mapped by T is counted once for T, however many processes reach it, so sharing and
 * letting go of a table touch no page. PG_ANON_EXCLUSIVE keeps its value while a table is
 * shared and is void on that path; a process that takes the table over has its pages writable
 * again without a fault.
 *
 * Order of updates: allocate; copy; entry; TLB; counts; free. Nothing before the entry is
 * written can be seen by the program, so a failed allocation changes nothing.
 */

import {
  entryPtr,
  LEVEL_PTE,
  mkTable,
  pmdAlignDown,
  pteIndex,
  ptePfn,
  PTRS_PER_TABLE,
  tableShared,
  type Pte,
  type PtePtr,
  type Vaddr,
} from '../arch/riscv/pgtable.ts';
import { ENOMEM } from '../uapi/errno.ts';
import { copyPteRange } from './copy_pte.ts';
import type { MmStruct } from './mm_types.ts';
import { NO_PFN } from './page.ts';
import { tableMapsAny, walkLeafTables } from './pagewalk.ts';
import { allocTable, leafTableAlloc, NO_PTEP, pmdAlloc } from './pgtable.ts';

/** Nobody else is left: the table becomes ours as it is, its writable pages writable again. */
function reuseCowPte(mm: MmStruct, pmdp: PtePtr, pmd: Pte): number {
  const { pgdat } = mm;
  const table = ptePfn(pmd);
  pgdat.ram.u32[pmdp] = mkTable(table);
  pgdat.vmstat.cowPteBreakReuse++;
  return 0;
}

function copyCowPte(mm: MmStruct, pmdp: PtePtr, pmd: Pte, addr: Vaddr): number {
  const { pgdat } = mm;
  const { u32 } = pgdat.ram;
  const old = ptePfn(pmd);
  const table = allocTable(mm, LEVEL_PTE, addr);
  if (table === NO_PFN) return -ENOMEM;
  // Nobody has a write TLB entry through `old`: all its parents are SHARED. Reads keep their
  // frames, so no TLB entry of anybody becomes wrong.
  copyPteRange(pgdat, old, table, 0, PTRS_PER_TABLE);
  u32[pmdp] = mkTable(table);
  pgdat.page.ptRefs[old]!--;
  pgdat.vmstat.cowPteBreakCopy++;
  return 0;
}

/**
 * Makes the page table behind `pmdp` private to `mm`: takes it over if no other mm uses it,
 * copies it otherwise.
 *
 * @returns 0, or -ENOMEM with nothing changed.
 * @linux mm/memory.c:break_cow_pte (founding series)
 * @patch 03/14
 */
export function breakCowPte(mm: MmStruct, pmdp: PtePtr, addr: Vaddr): number {
  const pmd = mm.pgdat.ram.u32[pmdp] as Pte;
  if (!tableShared(pmd)) return 0;
  if (mm.pgdat.page.ptRefs[ptePfn(pmd)] === 1) return reuseCowPte(mm, pmdp, pmd);
  return copyCowPte(mm, pmdp, pmd, pmdAlignDown(addr));
}

/**
 * breakCowPte() for every shared table that maps something in [start, end); tables that map
 * nothing there stay shared.
 * @returns 0, or -ENOMEM: tables broken before stay broken, which no program can see.
 * @linux mm/memory.c:break_cow_pte_range (founding series)
 * @patch 03/14
 */
export function breakCowPteRange(mm: MmStruct, start: Vaddr, end: Vaddr): number {
  const { pgdat } = mm;
  return walkLeafTables(mm, start, end, (pmdp, addr, next) => {
    if (!tableShared(pgdat.ram.u32[pmdp] as Pte)) return 0;
    return tableMapsAny(pgdat, pmdp, addr, next) ? breakCowPte(mm, pmdp, addr) : 0;
  });
}

/**
 * Lets go of a shared table that somebody else still uses, whole, without looking at its
 * entries. The caller has checked ptRefs > 1 and that nothing in the table stays mapped, and
 * flushes the TLB.
 * @patch 03/14
 */
export function dropCowPte(mm: MmStruct, pmdp: PtePtr): void {
  const { pgdat } = mm;
  const table = ptePfn(pgdat.ram.u32[pmdp] as Pte);
  pgdat.ram.u32[pmdp] = 0;
  pgdat.page.ptRefs[table]!--;
  pgdat.vmstat.cowPteDrop++;
}

/**
 * Place of the leaf entry of `addr` in a private table, allocating and breaking what is needed.
 * @returns NO_PTEP when memory is out.
 * @linux mm/memory.c:pte_alloc
 */
export function pteAlloc(mm: MmStruct, addr: Vaddr): PtePtr {
  const pmdp = pmdAlloc(mm, addr);
  if (pmdp === NO_PTEP) return NO_PTEP;
  if (breakCowPte(mm, pmdp, addr) !== 0) return NO_PTEP;
  const table = leafTableAlloc(mm, pmdp, addr);
  return table === NO_PFN ? NO_PTEP : entryPtr(table, pteIndex(addr));
}
