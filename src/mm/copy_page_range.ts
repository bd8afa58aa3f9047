/**
 * fork's page tables: the child's root names the parent's tables, or gets copies.
 *
 *     with COW page tables              without
 *
 *     parent root [S][S]                every leaf table of a VMA with private pages is
 *                  |  |                 copied; the rest is left to the child's faults
 *     child  root [S][S]
 *
 * Sharing costs what the root has entries for, however much is mapped below. Whether a table
 * can be shared is known before anything is done to it: VMAs that the child does not get as
 * they are (VM_UNSHAREABLE) mark the tables on their paths, and pins have marked theirs. Only
 * marked tables are looked into, down to the leaf tables that have to be copied.
 *
 * @linux mm/memory.c:copy_page_range
 */

import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import {
  entryPtr,
  LEVEL_PGD,
  LEVEL_PTE,
  LEVEL_SIZE,
  mkPte,
  mkTable,
  PMD_SIZE,
  pteIndex,
  ptePfn,
  PTE_SD_CLEARED,
  PTE_SHARED,
  PTE_WORDS,
  PTRS_PER_TABLE,
  USER_PTRS_PER_PGD,
  tableOf,
  type Pfn,
  type Pte,
  type Vaddr,
} from '../arch/riscv/pgtable.ts';
import { ENOMEM } from '../uapi/errno.ts';
import { anonVmaPrepare, pageAddNewAnonRmap } from './anon_vma.ts';
import { breakCowPath, pteAlloc } from './cow_pte.ts';
import { copyPteRange, pagePinnedExclusive, pageReferencedExclusive } from './copy_pte.ts';
import {
  FALLBACK_DEVICE,
  FALLBACK_DONTFORK,
  FALLBACK_LOCKED,
  FALLBACK_PINNED,
  FALLBACK_WIPEONFORK,
} from './events.ts';
import type { MmStruct, PgData, Vma } from './mm_types.ts';
import { allocPage, copyPage } from './page_alloc.ts';
import { NO_PFN, PG_TABLE_NOSHARE, PG_TABLE_PINNED } from './page.ts';
import { pteLast, walkLeafTables } from './pagewalk.ts';
import { allocTable, markPath, NO_PTEP, pathFlags, tableAt } from './pgtable.ts';
import { addTableRss } from './pte_ops.ts';
import { VM_DONTCOPY, VM_LOCKED, VM_MAYBE_GUARD, VM_UNSHAREABLE, VM_WIPEONFORK } from './vma.ts';

/** Sets or clears PG_TABLE_NOSHARE on the tables on the paths of VMAs that cannot be shared. */
function markUnshareableTables(mm: MmStruct, mark: boolean): void {
  if (mm.unshareableVmas === 0) return;
  const [clear, set] = mark ? [0, PG_TABLE_NOSHARE] : [PG_TABLE_NOSHARE, 0];
  for (const vma of mm.vmas) {
    if ((vma.flags & VM_UNSHAREABLE) === 0) continue;
    walkLeafTables(mm, vma.start, vma.end, (_pmdp, addr) => {
      markPath(mm, addr, clear, set);
      return 0;
    });
  }
}

/**
 * Pages that a child could not fault in again for itself, and guards. Others are left to its
 * faults.
 * @linux mm/memory.c:vma_needs_copy
 */
function vmaNeedsCopy(vma: Vma): boolean {
  return vma.anonVmaChain.length !== 0 || (vma.flags & VM_MAYBE_GUARD) !== 0;
}

/** @returns true when an entry of [first, last) maps a page that may not get a second mapping. */
function mapsPinned(pgdat: PgData, table: Pfn, first: number, last: number): boolean {
  const { u32 } = pgdat.ram;
  const end = entryPtr(table, last);
  for (let at = entryPtr(table, first) as number; at < end; at += PTE_WORDS) {
    if (pagePinnedExclusive(pgdat, u32[at] as Pte)) return true;
  }
  return false;
}

/**
 * A pinned page stays the parent's alone: the child gets a copy of it now.
 * @returns 0 or -ENOMEM with nothing changed.
 * @linux mm/memory.c:copy_present_page
 */
function copyPinnedPage(childVma: Vma, addr: Vaddr, pte: Pte, table: Pfn): number {
  const { mm } = childVma;
  const { pgdat } = mm;
  const pfn = anonVmaPrepare(childVma) === 0 ? allocPage(pgdat) : NO_PFN;
  if (pfn === NO_PFN) return -ENOMEM;
  copyPage(pgdat, pfn, ptePfn(pte));
  pageAddNewAnonRmap(pgdat, pfn, childVma, addr);
  pgdat.page.ptAnon[table]!++;
  const pfnBits = mkPte(ptePfn(pte), 0);
  pgdat.ram.u32[entryPtr(table, pteIndex(addr))] = mkPte(pfn, pte ^ pfnBits);
  return 0;
}

/** copyPteRange() where pinned pages are among those copied. */
function copyPtesPinned(dst: MmStruct, src: Pfn, table: Pfn, addr: Vaddr, next: Vaddr): number {
  const { pgdat } = dst;
  const vma = dst.vmas.find(addr)!;
  for (let at = addr; at < next; at += PAGE_SIZE) {
    const index = pteIndex(at);
    const pte = pgdat.ram.u32[entryPtr(src, index)] as Pte;
    if (pagePinnedExclusive(pgdat, pte)) {
      const err = copyPinnedPage(vma, at, pte, table);
      if (err !== 0) return err;
    } else copyPteRange(pgdat, src, table, index, index + 1, false);
  }
  return 0;
}

/** Copies the entries of one VMA, [addr, next), from a leaf table of the parent to one of the child. */
function copyOneRange(dst: MmStruct, src: Pfn, table: Pfn, addr: Vaddr, next: Vaddr): number {
  const first = pteIndex(addr);
  const last = pteLast(addr, next);
  const pinned = (dst.pgdat.page.flags[src]! & PG_TABLE_PINNED) !== 0;
  if (pinned && mapsPinned(dst.pgdat, src, first, last)) {
    return copyPtesPinned(dst, src, table, addr, next);
  }
  copyPteRange(dst.pgdat, src, table, first, last, false);
  return 0;
}

/** Copies of a leaf table that cannot be shared what the child gets of it, VMA by VMA. */
function copyLeafTable(dst: MmStruct, src: MmStruct, old: Pfn, table: Pfn, base: Vaddr): number {
  const end = base + PMD_SIZE;
  let err = 0;
  let vma = src.vmas.find(base);
  while (vma !== undefined && vma.start < end && err === 0) {
    const gets = (vma.flags & (VM_DONTCOPY | VM_WIPEONFORK)) === 0 && vmaNeedsCopy(vma);
    const from = Math.max(vma.start, base);
    if (gets) err = copyOneRange(dst, old, table, from, Math.min(vma.end, end));
    vma = src.vmas.next(vma);
  }
  addTableRss(dst, old, -1);
  addTableRss(dst, table, 1);
  return err;
}

/**
 * @returns true when somebody has a reference to the exclusive page of an entry. Sharing its
 *   table would let another process become the page's only one, and write what the holder of
 *   the reference reads. A page that is held is not reclaimed, so entries in swap do not count.
 */
function mapsReferenced(pgdat: PgData, table: Pfn): boolean {
  const { u32 } = pgdat.ram;
  const end = entryPtr(table, PTRS_PER_TABLE);
  for (let at = entryPtr(table, 0) as number; at < end; at += PTE_WORDS) {
    if (pageReferencedExclusive(pgdat, u32[at] as Pte)) return true;
  }
  return false;
}

/** Clears the PINNED mark of a table below which nothing is pinned or referenced any more. @returns true if it is still set. */
function stillPinned(pgdat: PgData, table: Pfn, level: number): boolean {
  const { flags } = pgdat.page;
  const { u32 } = pgdat.ram;
  if ((flags[table]! & PG_TABLE_PINNED) === 0) return false;
  let pinned = level === LEVEL_PTE && mapsReferenced(pgdat, table);
  if (level !== LEVEL_PTE) {
    const end = entryPtr(table, PTRS_PER_TABLE);
    for (let at = entryPtr(table, 0) as number; at < end; at += PTE_WORDS) {
      if (u32[at] !== 0 && stillPinned(pgdat, ptePfn(u32[at] as Pte), level - 1)) pinned = true;
    }
  }
  if (!pinned) flags[table]! &= ~PG_TABLE_PINNED;
  return pinned;
}

/** @returns true when the child cannot have this table of the parent itself. */
function mustCopy(pgdat: PgData, table: Pfn, level: number): boolean {
  const { flags } = pgdat.page;
  if ((flags[table]! & (PG_TABLE_NOSHARE | PG_TABLE_PINNED)) === 0) return false;
  return stillPinned(pgdat, table, level) || (flags[table]! & PG_TABLE_NOSHARE) !== 0;
}

/** Why fork must copy the leaf table at `base`. @returns FALLBACK_*. */
function fallbackReason(src: MmStruct, table: Pfn, base: Vaddr): number {
  if ((src.pgdat.page.flags[table]! & PG_TABLE_PINNED) !== 0) return FALLBACK_PINNED;
  let flags = 0;
  let vma = src.vmas.find(base);
  while (vma !== undefined && vma.start < base + PMD_SIZE) {
    flags |= vma.flags;
    vma = src.vmas.next(vma);
  }
  if ((flags & VM_DONTCOPY) !== 0) return FALLBACK_DONTFORK;
  if ((flags & VM_WIPEONFORK) !== 0) return FALLBACK_WIPEONFORK;
  return (flags & VM_LOCKED) !== 0 ? FALLBACK_LOCKED : FALLBACK_DEVICE;
}

function noteFallback(src: MmStruct, table: Pfn, addr: Vaddr): void {
  const { vmstat, events } = src.pgdat;
  const reason = fallbackReason(src, table, addr);
  vmstat.cowPteFallback++;
  vmstat.cowFallback[reason]!++;
  events?.tableCopied(src.id, addr, reason);
}

/**
 * Points the entries of the child's table `to` at the tables that the parent's `from` names, or
 * at copies of those that cannot be shared. `base` is the first address that they map.
 * @returns 0, or -ENOMEM with the child partly filled.
 * @hot the common case is the root alone: a handful of entries.
 */
function shareTable(
  dst: MmStruct,
  src: MmStruct,
  from: Pfn,
  to: Pfn,
  level: number,
  base: Vaddr,
): number {
  const { pgdat } = src;
  const { u32 } = pgdat.ram;
  const childLevel = level - 1;
  const start = entryPtr(from, 0) as number;
  const end = start + (level === LEVEL_PGD ? USER_PTRS_PER_PGD : PTRS_PER_TABLE) * PTE_WORDS;
  const toOther = entryPtr(to, 0) - start;
  for (let at = start; at < end; at += PTE_WORDS) {
    const value = u32[at] as Pte;
    if (value === 0) continue;
    const child = ptePfn(value);
    const addr = base + ((at - start) / PTE_WORDS) * LEVEL_SIZE[level]!;
    if (!mustCopy(pgdat, child, childLevel)) {
      u32[at] = value | PTE_SHARED;
      u32[at + toOther] = value | PTE_SHARED;
      pgdat.page.ptRefs[child]!++;
      pgdat.vmstat.cowShared[childLevel]!++;
      pgdat.events?.tableShared(src.id, addr, childLevel);
      continue;
    }
    const table = allocTable(dst, childLevel, addr);
    if (table === NO_PFN) return -ENOMEM;
    u32[at + toOther] = mkTable(table) | (value & PTE_SD_CLEARED);
    let err: number;
    if (childLevel === LEVEL_PTE) {
      noteFallback(src, child, addr);
      err = copyLeafTable(dst, src, child, table, addr);
    } else err = shareTable(dst, src, child, table, childLevel, addr);
    if (err !== 0) return err;
  }
  return 0;
}

/**
 * Gives the child all page tables of the parent, by reference. Its VMAs are in place already.
 * The caller flushes the parent's write TLB afterwards.
 *
 * @returns 0, or -ENOMEM with the child partly filled; the caller tears it down.
 * @patch 02/14
 * @patch 08/14
 */
export function sharePageTables(dst: MmStruct, src: MmStruct): number {
  markUnshareableTables(src, true);
  dst.rss.set(src.rss);
  const err = shareTable(dst, src, src.pgd, dst.pgd, LEVEL_PGD, 0);
  markUnshareableTables(src, false);
  return err;
}

/** Default fork of the part [addr, next) of one VMA, which one leaf table maps. */
function copyPmdRange(dst: MmStruct, src: MmStruct, addr: Vaddr, next: Vaddr): number {
  // A pending soft-dirty clear is done now: the child's tables have no mark for it.
  const sdCleared = (pathFlags(src, addr) & PTE_SD_CLEARED) !== 0;
  if (sdCleared && breakCowPath(src, addr) !== 0) return -ENOMEM;
  const ptep = pteAlloc(dst, addr);
  if (ptep === NO_PTEP) return -ENOMEM;
  const table = tableOf(ptep);
  addTableRss(dst, table, -1);
  const err = copyOneRange(dst, tableAt(src, addr, LEVEL_PTE), table, addr, next);
  addTableRss(dst, table, 1);
  return err;
}

/**
 * Gives the child copies of what the parent maps in one VMA, as far as its faults could not
 * bring it back. The child's VMA is in place already. The caller flushes the parent's write TLB
 * afterwards.
 *
 * @returns 0, or -ENOMEM with the child partly filled; the caller tears it down.
 * @linux mm/memory.c:copy_page_range
 */
export function copyPageRange(dst: MmStruct, src: MmStruct, vma: Vma): number {
  if ((vma.flags & VM_WIPEONFORK) !== 0 || !vmaNeedsCopy(vma)) return 0;
  return walkLeafTables(src, vma.start, vma.end, (_pmdp, addr, next) =>
    copyPmdRange(dst, src, addr, next),
  );
}
