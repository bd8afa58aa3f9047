/** TLB entries as the processor makes them, for tests without a processor. */

import { HART_TLB_FILLS } from '../../../src/arch/riscv/hart_state.ts';
import {
  PAGE_SIZE,
  TLB_ENTRIES,
  TLB_ENTRY_SIZE,
  TLB_READ_BASE,
  TLB_WRITE_BASE,
} from '../../../src/arch/riscv/memlayout.ts';
import { PTE_W, ptePfn, type Pte } from '../../../src/arch/riscv/pgtable.ts';
import { TLB_LOG_ENTRIES } from '../../../src/arch/riscv/tlb.ts';
import { highHalf, lowHalf } from '../../../src/lib/bits.ts';
import type { MmStruct } from '../../../src/mm/mm_types.ts';
import { pathFlags, ptePtrOf } from '../../../src/mm/pgtable.ts';

function slotOf(base: number, addr: number): number {
  return (base + ((addr / PAGE_SIZE) % TLB_ENTRIES) * TLB_ENTRY_SIZE) >> 2;
}

/** Fills the read TLB for the page at `addr`, and the write TLB if the page may be written. */
export function fillTlb(mm: MmStruct, addr: number): void {
  const { i32, u32 } = mm.pgdat.ram;
  const pte = u32[ptePtrOf(mm, addr)] as Pte;
  const writable = (pte & PTE_W) !== 0 && pathFlags(mm, addr) === 0;
  for (const base of writable ? [TLB_READ_BASE, TLB_WRITE_BASE] : [TLB_READ_BASE]) {
    const at = slotOf(base, addr);
    i32[at] = lowHalf(addr);
    i32[at + 1] = highHalf(addr);
    i32[at + 2] = ptePfn(pte) * PAGE_SIZE - lowHalf(addr);
  }
  // More fills than the logs hold: a flush clears everything.
  for (let kind = 0; kind < 3; kind++) i32[(HART_TLB_FILLS >> 2) + kind] = TLB_LOG_ENTRIES + 1;
}

/** @returns true when the read TLB knows the page at `addr`. */
export function tlbHolds(mm: MmStruct, addr: number): boolean {
  const { i32 } = mm.pgdat.ram;
  const at = slotOf(TLB_READ_BASE, addr);
  return i32[at] === lowHalf(addr) && i32[at + 1] === highHalf(addr);
}
