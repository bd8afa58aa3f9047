/**
 * Page tables: Sv48's four levels and its leaf entries, plus one software bit of our own.
 *
 *     leaf and table entry, low word (Privileged 4.4.1; the high word of a valid entry is 0,
 *     because a frame number here is below 2^20):
 *
 *      31 30 29                10  9    8   7 6 5 4 3 2 1 0
 *     | 0 0 |        PFN         | SH | SP | D A G U X W R V |      an entry that points at a table
 *                                | SD |
 *     | 0 0 |        PFN         | SD | SP | D A G U X W R V |      a leaf entry
 *
 * SH, in an entry that points at a table, is SHARED: the table has other parents, so nothing
 * below it may be written through this path. RISC-V's own table entries have no permission
 * bits (R = W = X = 0 is what makes an entry a pointer), so real hardware could not honour it:
 * it is part of cowshed's table format, as the founding series' cleared PMD write bit is part
 * of x86's. SD_CLEARED, in bit 8 of such an entry, says that everything below counts as not
 * written since (soft-dirty), and takes W away below it too, so that writes are noticed.
 * Effective write permission = leaf W AND neither SHARED nor SD_CLEARED on the path.
 *
 * Bit 8 of a leaf entry is SPECIAL, bit 9 is soft-dirty.
 *
 * Not valid (V = 0) and not zero: where the page is instead, or a marker.
 *
 *      31                        8  7  6 5       1  0
 *     |          offset           | SD | E | type | 0 |
 *
 * E: the page is this entry's alone (as PG_ANON_EXCLUSIVE), SD: soft-dirty.
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
/** Leaf: written since the bit was last cleared. Set wherever D is, in the same store. */
export const PTE_SOFT_DIRTY = 0x200;
/** Table entry: the table has several parents; see above. */
export const PTE_SHARED = 0x200;
/** Table entry: everything below counts as soft-clean on this path; see above. */
export const PTE_SD_CLEARED = 0x100;
/** Table entry: nothing below may be written through this path. */
export const PTE_PATH_RO = PTE_SHARED | PTE_SD_CLEARED;

/** Not present: the page in swap belongs to this entry alone. */
export const PTE_SWP_EXCLUSIVE = 0x40;
/** Not present: soft-dirty. */
export const PTE_SWP_SOFT_DIRTY = 0x80;
const SWP_TYPE_SHIFT = 1;
const SWP_TYPE_MASK = 0x1f;
const SWP_OFFSET_SHIFT = 8;

/** Types below this are swap devices. @linux include/linux/swap.h:MAX_SWAPFILES */
export const MAX_SWAPFILES = 23;
/** Page under migration, of which the entry was read-only or writable; the offset is its frame. */
export const SWP_MIGRATION_READ = 27;
export const SWP_MIGRATION_WRITE = 28;
/** No page at all: the offset says what the entry is for (PTE_MARKER_*). */
export const SWP_PTE_MARKER = 29;

/** Touching it is SIGSEGV (MADV_GUARD_INSTALL). */
export const PTE_MARKER_GUARD = 1;
/** Touching it is SIGBUS. */
export const PTE_MARKER_POISONED = 2;

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
/** Entries of a root table that are used: the other half is the kernel's. */
export const USER_PTRS_PER_PGD = TASK_SIZE / PGD_SIZE;

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

/** The leaf entry, counted as not written since; a write to its page will be noticed. */
export function pteClearSoftDirty(pte: Pte): Pte {
  const bits = (pte & PTE_V) !== 0 ? PTE_SOFT_DIRTY | PTE_W : PTE_SWP_SOFT_DIRTY;
  return (pte & ~bits) as Pte;
}

/** A present entry that says the same of another frame. */
export function entryPfn(pte: Pte, pfn: Pfn): Pte {
  return ((pte & ~(PFN_MASK << PFN_SHIFT)) | (pfn << PFN_SHIFT)) as Pte;
}

/** An entry that points at the table in `pfn`. */
export function mkTable(pfn: Pfn): Pte {
  return ((pfn << PFN_SHIFT) | PTE_V) as Pte;
}

/** An entry that is not present: a place in swap, a page under migration, a marker. */
export function mkSwpPte(type: number, offset: number): Pte {
  return ((offset << SWP_OFFSET_SHIFT) | (type << SWP_TYPE_SHIFT)) as Pte;
}

export function swpType(pte: Pte): number {
  return (pte >>> SWP_TYPE_SHIFT) & SWP_TYPE_MASK;
}

/** @returns true for an entry that stands for no page, not even one elsewhere. @linux include/linux/leafops.h:pte_is_marker */
export function pteIsMarker(pte: Pte): boolean {
  return (pte & PTE_V) === 0 && swpType(pte) === SWP_PTE_MARKER;
}

/** @returns true for an entry that MADV_GUARD_INSTALL made. @linux include/linux/leafops.h:softleaf_is_guard_marker */
export function pteIsGuard(pte: Pte): boolean {
  return pteIsMarker(pte) && (swpOffset(pte) & PTE_MARKER_GUARD) !== 0;
}

/** @returns true for an entry whose page is being moved; the offset is its frame. @linux include/linux/leafops.h:softleaf_is_migration */
export function pteIsMigration(pte: Pte): boolean {
  const type = swpType(pte);
  return (pte & PTE_V) === 0 && (type === SWP_MIGRATION_READ || type === SWP_MIGRATION_WRITE);
}

/** 24 bits: 64 GiB of one device. */
export function swpOffset(pte: Pte): number {
  return pte >>> SWP_OFFSET_SHIFT;
}

export function tableShared(entry: Pte): boolean {
  return (entry & PTE_SHARED) !== 0;
}

/** Index of the entry for `addr` in a table of this level. */
export function levelIndex(addr: Vaddr, level: number): number {
  return indexOf(addr, LEVEL_SIZE[level]!);
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
