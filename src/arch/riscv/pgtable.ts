/**
 * Page tables: Sv48's four levels and its leaf entries, plus one software bit of our own.
 *
 *     leaf and table entry, low word (Privileged 4.4.1; the high word of a valid entry is 0,
 *     because a frame number here is below 2^20):
 *
 *      31 30 29                10  9    8   7 6 5 4 3 2 1 0
 *     | 0 0 |        PFN         | SH | SP | D A G U X W R V |
 *
 * SH, in an entry that points at a table, is SHARED: the table has other parents, so nothing
 * below it may be written through this path. RISC-V's own table entries have no permission
 * bits (R = W = X = 0 is what makes an entry a pointer), so real hardware could not honour it:
 * it is part of cowshed's table format, as the founding series' cleared PMD write bit is part
 * of x86's. Effective write permission = leaf W AND no SHARED on the path.
 *
 * Not valid (V = 0) and not zero: a swap or migration entry (type in bits 1-5, offset in 8-31).
 *
 * This file owns the address arithmetic: 47-bit addresses do not survive JS bit operators.
 */

import type { Brand } from '../../lib/brand.ts';
import { PAGE_SHIFT, PAGE_SIZE } from './memlayout.ts';

/** Frame number: offset in the memory divided by PAGE_SIZE; below 2^20. */
export type Pfn = Brand<number, 'Pfn'>;
/** Physical address: offset in the memory, 0 <= paddr < 2^32. */
export type Paddr = Brand<number, 'Paddr'>;
/** User virtual address in bytes, 0 <= vaddr <= TASK_SIZE. A plain number: it comes from guests. */
export type Vaddr = number;
/** Value of an entry at any level: its low word. */
export type Pte = Brand<number, 'Pte'>;
/** Place of an entry: word index into Ram.u32 (byte offset >>> 2); the high word is at +1. */
export type PtePtr = Brand<number, 'PtePtr'>;

export const PTE_V = 0x01;
export const PTE_R = 0x02;
export const PTE_W = 0x04;
export const PTE_X = 0x08;
export const PTE_U = 0x10;
export const PTE_A = 0x40;
export const PTE_D = 0x80;
/** Leaf: the frame has no struct page accounting in this mapping (zero page). */
export const PTE_SPECIAL = 0x100;
/** Table entry: the table has several parents; see above. */
export const PTE_SHARED = 0x200;

const PFN_SHIFT = 10;
const PFN_MASK = 0xfffff;

export const PTRS_PER_TABLE = 512;
/** Words of Ram one entry takes. */
export const PTE_WORDS = 2;

export const PMD_SIZE = 0x20_0000;
export const PUD_SIZE = 0x4000_0000;
export const PGD_SIZE = 0x80_0000_0000;
/** End of user space: half of Sv48. */
export const TASK_SIZE = 0x8000_0000_0000;

/** Level of a table: what its entries map. LEVEL_PTE tables are the leaf tables. */
export const LEVEL_PTE = 0;
export const LEVEL_PMD = 1;
export const LEVEL_PUD = 2;
export const LEVEL_PGD = 3;

/** Bytes one entry of a table at this level maps. */
export const LEVEL_SIZE = [PAGE_SIZE, PMD_SIZE, PUD_SIZE, PGD_SIZE] as const;

export function pfnToPaddr(pfn: Pfn): Paddr {
  return ((pfn << PAGE_SHIFT) >>> 0) as Paddr;
}

export function ptePresent(pte: Pte): boolean {
  return (pte & PTE_V) !== 0;
}

export function pteDirty(pte: Pte): boolean {
  return (pte & PTE_D) !== 0;
}

export function pteYoung(pte: Pte): boolean {
  return (pte & PTE_A) !== 0;
}

export function pteSpecial(pte: Pte): boolean {
  return (pte & PTE_SPECIAL) !== 0;
}

export function ptePfn(pte: Pte): Pfn {
  return ((pte >>> PFN_SHIFT) & PFN_MASK) as Pfn;
}

/** A leaf entry for `pfn` with the given PTE_* bits. */
export function mkPte(pfn: Pfn, bits: number): Pte {
  return ((pfn << PFN_SHIFT) | bits) as Pte;
}

/** An entry that points at the table in `pfn`. */
export function mkTable(pfn: Pfn): Pte {
  return ((pfn << PFN_SHIFT) | PTE_V) as Pte;
}

export function tableShared(entry: Pte): boolean {
  return (entry & PTE_SHARED) !== 0;
}

/** Word index of entry `index` of the table in `pfn`. */
export function entryPtr(pfn: Pfn, index: number): PtePtr {
  return (((pfn << PAGE_SHIFT) >>> 2) + index * PTE_WORDS) as PtePtr;
}

/** Which entry of its table maps `addr`, for the table level whose entries map `size` bytes. */
function indexOf(addr: Vaddr, size: number): number {
  // ToInt32 keeps the low 32 bits of the whole part, and the index is in the lowest nine.
  return (addr / size) & (PTRS_PER_TABLE - 1);
}

export function pteIndex(addr: Vaddr): number {
  return indexOf(addr, PAGE_SIZE);
}

export function pmdIndex(addr: Vaddr): number {
  return indexOf(addr, PMD_SIZE);
}

export function pudIndex(addr: Vaddr): number {
  return indexOf(addr, PUD_SIZE);
}

export function pgdIndex(addr: Vaddr): number {
  return indexOf(addr, PGD_SIZE);
}

export function pageAlignDown(addr: Vaddr): Vaddr {
  return addr - (addr & (PAGE_SIZE - 1));
}

export function pageAlignUp(addr: Vaddr): Vaddr {
  return Math.ceil(addr / PAGE_SIZE) * PAGE_SIZE;
}

export function pmdAlignDown(addr: Vaddr): Vaddr {
  return addr - (addr & (PMD_SIZE - 1));
}

/** End of the `size`-aligned block that holds `addr`, or `end` if that comes first. */
export function blockEnd(addr: Vaddr, end: Vaddr, size: number): Vaddr {
  const next = (Math.floor(addr / size) + 1) * size;
  return next < end ? next : end;
}

/** Table that holds the entry at `ptep`. */
export function tableOf(ptep: PtePtr): Pfn {
  return (ptep >>> (PAGE_SHIFT - 2)) as Pfn;
}

/** Virtual page number: exact, below 2^36. */
export function vpn(addr: Vaddr): number {
  return Math.floor(addr / PAGE_SIZE);
}
