/**
 * TLB invalidation for an address space: only the one on the hart has entries, because a
 * change of address space empties the TLBs.
 *
 * @linux arch/riscv/mm/tlbflush.c
 */

import type { Vaddr } from '../arch/riscv/pgtable.ts';
import {
  flushTlbAll,
  flushTlbKind,
  flushTlbPageAt,
  flushTlbRangeAt,
  TLB_WRITE,
} from '../arch/riscv/tlb.ts';
import type { MmStruct, PgData } from './mm_types.ts';

export function flushTlbPage(mm: MmStruct, addr: Vaddr): void {
  const { pgdat } = mm;
  if (pgdat.activeMm === mm) flushTlbPageAt(pgdat.ram, addr);
}

export function flushTlbRange(mm: MmStruct, start: Vaddr, end: Vaddr): void {
  const { pgdat } = mm;
  if (pgdat.activeMm === mm) flushTlbRangeAt(pgdat.ram, start, end);
}

export function flushTlbMm(mm: MmStruct): void {
  const { pgdat } = mm;
  if (pgdat.activeMm === mm) flushTlbAll(pgdat.ram);
}

/** Forgets write permissions only: frames did not move, so reads and code stay valid (fork). */
export function flushTlbWrite(mm: MmStruct): void {
  const { pgdat } = mm;
  if (pgdat.activeMm === mm) flushTlbKind(pgdat.ram, TLB_WRITE);
}

/** Forgets everything, whoever is on the hart: for changes made through rmap. */
export function flushTlbEveryone(pgdat: PgData): void {
  flushTlbAll(pgdat.ram);
}
