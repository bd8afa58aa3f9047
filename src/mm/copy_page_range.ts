/**
 * fork's page tables: for every table of the parent, share it or copy it.
 *
 * Whether a leaf table can be shared is known before anything is done to it: the VMAs that
 * the child does not get as they are (VM_UNSHAREABLE) mark the tables they reach, and only
 * when the mm has such VMAs at all.
 *
 * @linux mm/memory.c:copy_page_range
 */

import {
  blockEnd,
  PMD_SIZE,
  pmdAlignDown,
  pteIndex,
  ptePfn,
  PTE_SHARED,
  PTE_WORDS,
  PTRS_PER_TABLE,
  PUD_SIZE,
  type Pfn,
  type Pte,
  type PtePtr,
  type Vaddr,
} from '../arch/riscv/pgtable.ts';
import { ENOMEM } from '../uapi/errno.ts';
import { copyPteRange } from './copy_pte.ts';
import type { MmStruct, PgData, Vma } from './mm_types.ts';
import { MMF_COW_PTE } from './mm_struct.ts';
import { NO_PFN, PG_TABLE_NOSHARE } from './page.ts';
import { walkLeafTables } from './pagewalk.ts';
import { leafTableAlloc, NO_PTEP, pmdAlloc, pmdPtrOf, skipMissing } from './pgtable.ts';
import { VM_UNSHAREABLE, VM_WIPEONFORK } from './vma.ts';

/** Sets or clears PG_TABLE_NOSHARE on the leaf tables that an unshareable VMA reaches. */
export function markUnshareableTables(mm: MmStruct, mark: boolean): void {
  if (mm.unshareableVmas === 0) return;
  const { pgdat } = mm;
  for (const vma of mm.vmas) {
    if ((vma.flags & VM_UNSHAREABLE) === 0) continue;
    walkLeafTables(mm, vma.start, vma.end, (pmdp) => {
      const table = ptePfn(pgdat.ram.u32[pmdp] as Pte);
      if (mark) pgdat.page.flags[table]! |= PG_TABLE_NOSHARE;
      else pgdat.page.flags[table]! &= ~PG_TABLE_NOSHARE;
      return 0;
    });
  }
}

/**
 * Pages that a child could not fault in again for itself. Others are left to its faults.
 * @linux mm/memory.c:vma_needs_copy
 */
function vmaNeedsCopy(vma: Vma): boolean {
  return vma.anonVmaChain.length !== 0;
}

function copyOneTable(dst: MmStruct, dstPmdp: PtePtr, src: Pfn, addr: Vaddr, next: Vaddr): number {
  const table = leafTableAlloc(dst, dstPmdp, addr);
  if (table === NO_PFN) return -ENOMEM;
  const last = next - pmdAlignDown(addr) >= PMD_SIZE ? PTRS_PER_TABLE : pteIndex(next);
  copyPteRange(dst.pgdat, src, table, pteIndex(addr), last);
  return 0;
}

/**
 * Shares the leaf tables of [addr, end), which one PMD table maps on either side.
 * A table that several VMAs reach was shared whole at the first of them.
 * @hot 1 GiB is 512 rounds of this loop.
 */
function sharePmdRange(pgdat: PgData, srcPmdp: PtePtr, dstPmdp: PtePtr, entries: number): void {
  const { u32 } = pgdat.ram;
  const { ptRefs } = pgdat.page;
  const shift = dstPmdp - srcPmdp;
  const end = srcPmdp + entries * PTE_WORDS;
  let shared = 0;
  for (let at = srcPmdp as number; at < end; at += PTE_WORDS) {
    if (u32[at] === 0 || u32[at + shift] !== 0) continue;
    const entry = u32[at]! | PTE_SHARED;
    u32[at] = entry;
    u32[at + shift] = entry;
    ptRefs[ptePfn(entry as Pte)]!++;
    shared++;
  }
  pgdat.vmstat.cowPteShared += shared;
}

/** As sharePmdRange(), with tables among them that have to be copied, or all of them. */
function copyPmdRange(dst: MmStruct, src: MmStruct, vma: Vma, start: Vaddr, end: Vaddr): number {
  const { pgdat } = src;
  const { u32 } = pgdat.ram;
  const share = (src.flags & MMF_COW_PTE) !== 0;
  for (let addr = start; addr < end; ) {
    const next = blockEnd(addr, end, PMD_SIZE);
    const srcPmdp = pmdPtrOf(src, addr);
    const dstPmdp = pmdPtrOf(dst, addr);
    const table = ptePfn(u32[srcPmdp] as Pte);
    const noshare = !share || (pgdat.page.flags[table]! & PG_TABLE_NOSHARE) !== 0;
    if (!noshare) sharePmdRange(pgdat, srcPmdp, dstPmdp, 1);
    else if (table !== NO_PFN && vmaNeedsCopy(vma)) {
      if (share) pgdat.vmstat.cowPteFallback++;
      const err = copyOneTable(dst, dstPmdp, table, addr, next);
      if (err !== 0) return err;
    }
    addr = next;
  }
  return 0;
}

/**
 * Gives the child what the parent maps in one VMA. The child's VMA is in place already.
 * The caller flushes the parent's write TLB afterwards.
 *
 * @returns 0, or -ENOMEM with the child partly filled; the caller tears it down.
 * @linux mm/memory.c:copy_page_range
 * @patch 02/14
 */
export function copyPageRange(dst: MmStruct, src: MmStruct, vma: Vma): number {
  const share = (src.flags & MMF_COW_PTE) !== 0;
  if ((vma.flags & VM_WIPEONFORK) !== 0) return 0;
  if (!share && !vmaNeedsCopy(vma)) return 0;
  const shareAll = share && src.unshareableVmas === 0;
  for (let addr = vma.start; addr < vma.end; ) {
    const srcPmdp = pmdPtrOf(src, addr);
    if (srcPmdp === NO_PTEP) {
      addr = skipMissing(src, addr, vma.end);
      continue;
    }
    const next = blockEnd(addr, vma.end, PUD_SIZE);
    const dstPmdp = pmdAlloc(dst, addr);
    if (dstPmdp === NO_PTEP) return -ENOMEM;
    if (shareAll) {
      const entries = Math.ceil((next - pmdAlignDown(addr)) / PMD_SIZE);
      sharePmdRange(src.pgdat, srcPmdp, dstPmdp, entries);
    } else {
      const err = copyPmdRange(dst, src, vma, addr, next);
      if (err !== 0) return err;
    }
    addr = next;
  }
  return 0;
}
