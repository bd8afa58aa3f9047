/** Walking the leaf tables of a range. @linux mm/pagewalk.c */

import {
  blockEnd,
  entryPtr,
  PMD_SIZE,
  pmdAlignDown,
  pteIndex,
  ptePfn,
  PTE_WORDS,
  PTRS_PER_TABLE,
  type Pte,
  type PtePtr,
  type Vaddr,
} from '../arch/riscv/pgtable.ts';
import type { MmStruct, PgData } from './mm_types.ts';
import { NO_PTEP, pmdPtrOf, skipMissing } from './pgtable.ts';

/**
 * Called for the part [addr, next) of one leaf table; `pmdp` is the entry that names it.
 * @returns 0 to go on.
 */
export type PmdVisitor = (pmdp: PtePtr, addr: Vaddr, next: Vaddr) => number;

/** Calls `visit` for every leaf table within [start, end), in order. @returns what it returned, if not 0. */
export function walkLeafTables(mm: MmStruct, start: Vaddr, end: Vaddr, visit: PmdVisitor): number {
  const { u32 } = mm.pgdat.ram;
  for (let addr = start; addr < end; ) {
    const pmdp = pmdPtrOf(mm, addr);
    if (pmdp === NO_PTEP) {
      addr = skipMissing(mm, addr, end);
      continue;
    }
    const next = blockEnd(addr, end, PMD_SIZE);
    if (u32[pmdp] !== 0) {
      const ret = visit(pmdp, addr, next);
      if (ret !== 0) return ret;
    }
    addr = next;
  }
  return 0;
}

/** Index behind the last entry of the table of `addr` that [addr, next) reaches. */
export function pteLast(addr: Vaddr, next: Vaddr): number {
  return next - pmdAlignDown(addr) >= PMD_SIZE ? PTRS_PER_TABLE : pteIndex(next);
}

/** @returns true when the table behind `pmdp` has an entry in [addr, next). */
export function tableMapsAny(pgdat: PgData, pmdp: PtePtr, addr: Vaddr, next: Vaddr): boolean {
  const { u32 } = pgdat.ram;
  const base = entryPtr(ptePfn(u32[pmdp] as Pte), 0);
  const last = base + pteLast(addr, next) * PTE_WORDS;
  for (let at = base + pteIndex(addr) * PTE_WORDS; at < last; at += PTE_WORDS) {
    if (u32[at] !== 0) return true;
  }
  return false;
}
