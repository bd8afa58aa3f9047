/**
 * Soft-dirty: which pages a process has written since it last asked to forget
 * (/proc/PID/clear_refs), with page tables that other processes use too.
 *
 *     soft-dirty(page) = VM_SOFTDIRTY of its VMA, or
 *                        the bit of its entry, and no SD_CLEARED on the path to it
 *
 * Forgetting marks what the root names, so it costs the root's entries and touches no table
 * that others see. A marked path may not be written through: the first write of a page faults,
 * makes the path private, which pushes the mark down (cow_pte.ts), and sets the bit of the
 * entry together with W. So an entry of a VMA without VM_SOFTDIRTY, on an unmarked path, has the
 * bit whenever it has W: no write goes unnoticed.
 *
 * @linux fs/proc/task_mmu.c:clear_soft_dirty
 */

import {
  entryPtr,
  LEVEL_PGD,
  LEVEL_PTE,
  pteClearSoftDirty,
  ptePfn,
  ptePresent,
  PTE_SD_CLEARED,
  PTE_SOFT_DIRTY,
  PTE_SWP_SOFT_DIRTY,
  PTE_W,
  PTE_WORDS,
  PTRS_PER_TABLE,
  type Pfn,
  type Pte,
  type Vaddr,
} from '../arch/riscv/pgtable.ts';
import type { MmStruct, PgData } from './mm_types.ts';
import { PG_TABLE_PINNED, pageAnon, pageMaybeDmaPinned } from './page.ts';
import { pathFlags } from './pgtable.ts';
import { flushTlbWrite } from './tlbflush.ts';
import { VM_SOFTDIRTY } from './vma.ts';
import { vmaSetFlags } from './vma_link.ts';

/** Whether everything in the leaf table of `addr` counts as not written since, whatever its entries say. */
export function pathSoftClean(mm: MmStruct, addr: Vaddr): boolean {
  return (pathFlags(mm, addr) & PTE_SD_CLEARED) !== 0;
}

/** Whether an entry, of a path that is not soft-clean, has its soft-dirty bit. */
export function pteSoftDirty(pte: Pte): boolean {
  return (pte & (ptePresent(pte) ? PTE_SOFT_DIRTY : PTE_SWP_SOFT_DIRTY)) !== 0;
}

/** Whoever has pinned a page for writing tells nobody when it writes: such a page stays soft-dirty. @linux fs/proc/task_mmu.c:pte_is_pinned */
function pteIsPinned(pgdat: PgData, pte: Pte): boolean {
  const pfn = ptePfn(pte);
  return (pte & PTE_W) !== 0 && pageAnon(pgdat.page, pfn) && pageMaybeDmaPinned(pgdat.page, pfn);
}

/** The entries of a private leaf table that may map pinned pages, one by one. */
function clearPinnedLeaf(pgdat: PgData, table: Pfn): void {
  const { u32 } = pgdat.ram;
  const end = entryPtr(table, PTRS_PER_TABLE);
  for (let at = entryPtr(table, 0) as number; at < end; at += PTE_WORDS) {
    const pte = u32[at] as Pte;
    if (!ptePresent(pte) || !pteIsPinned(pgdat, pte)) u32[at] = pteClearSoftDirty(pte);
  }
}

/**
 * Marks what a private table names. Tables with pins below are private, too, and are gone into.
 * @hot a root has a handful of entries.
 */
function clearTable(pgdat: PgData, table: Pfn, level: number): void {
  const { u32 } = pgdat.ram;
  const end = entryPtr(table, PTRS_PER_TABLE);
  for (let at = entryPtr(table, 0) as number; at < end; at += PTE_WORDS) {
    const entry = u32[at] as Pte;
    if (entry === 0) continue;
    const child = ptePfn(entry);
    if ((pgdat.page.flags[child]! & PG_TABLE_PINNED) === 0) u32[at] = entry | PTE_SD_CLEARED;
    else if (level - 1 === LEVEL_PTE) clearPinnedLeaf(pgdat, child);
    else clearTable(pgdat, child, level - 1);
  }
}

/**
 * Makes every page of `mm` count as not written, until it is. Needs no memory and cannot fail.
 * @linux fs/proc/task_mmu.c:clear_refs_write
 * @patch 12/14
 */
export function clearSoftDirty(mm: MmStruct): void {
  for (const vma of mm.vmas) {
    if ((vma.flags & VM_SOFTDIRTY) !== 0) vmaSetFlags(vma, vma.flags & ~VM_SOFTDIRTY);
  }
  clearTable(mm.pgdat, mm.pgd, LEVEL_PGD);
  flushTlbWrite(mm);
  mm.pgdat.events?.softDirtyCleared(mm.id);
}
