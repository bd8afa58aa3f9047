/**
 * Guard regions: pages of a mapping that nobody may touch, without a VMA of their own. A
 * marker stands in the page-table entry instead of a page.
 *
 *     install   entries -> guards; pages that were there are dropped
 *     remove    guards  -> none
 *     fork      copied, or shared with the table
 *     zap       MADV_DONTNEED, truncation and kin leave them; munmap takes them away
 *
 * VM_MAYBE_GUARD of a VMA says that there may be some, also after all have been removed.
 *
 * @linux mm/madvise.c:madvise_guard_install, madvise_guard_remove
 */

import {
  blockEnd,
  entryPtr,
  mkSwpPte,
  PMD_SIZE,
  pteIndex,
  pteIsGuard,
  ptePfn,
  PTE_MARKER_GUARD,
  PTE_WORDS,
  SWP_PTE_MARKER,
  type Pte,
  type PtePtr,
  type Vaddr,
} from '../arch/riscv/pgtable.ts';
import { EINVAL, ENOMEM } from '../uapi/errno.ts';
import { anonVmaPrepare } from './anon_vma.ts';
import { breakCowPath, pteAlloc } from './cow_pte.ts';
import type { MmStruct, PgData, Vma } from './mm_types.ts';
import { pteLast, walkLeafTables } from './pagewalk.ts';
import { NO_PTEP } from './pgtable.ts';
import { VM_LOCKED, VM_MAYBE_GUARD, vmaIsAnonymous } from './vma.ts';
import { vmaSetFlags } from './vma_link.ts';
import { VM_SPECIAL } from './vma_merge.ts';
import { freePgtables, zapRange } from './zap.ts';

const GUARD = mkSwpPte(SWP_PTE_MARKER, PTE_MARKER_GUARD);

/** Private leaf tables for all of [start, end). @returns 0, or -ENOMEM with nothing changed that a program could see. */
function allocTables(mm: MmStruct, start: Vaddr, end: Vaddr): number {
  for (let addr = start; addr < end; addr = blockEnd(addr, end, PMD_SIZE)) {
    if (pteAlloc(mm, addr) !== NO_PTEP) continue;
    freePgtables(mm, start, end);
    return -ENOMEM;
  }
  return 0;
}

/**
 * MADV_GUARD_INSTALL for a part of one VMA.
 * @returns 0; -EINVAL (locked, or not ordinary memory); -ENOMEM with nothing changed.
 * @linux mm/madvise.c:madvise_guard_install
 * @patch 07/14
 */
export function guardInstall(vma: Vma, start: Vaddr, end: Vaddr): number {
  const { mm } = vma;
  const { u32 } = mm.pgdat.ram;
  if ((vma.flags & (VM_SPECIAL | VM_LOCKED)) !== 0) return -EINVAL;
  const err = allocTables(mm, start, end);
  if (err !== 0) return err;
  if (vmaIsAnonymous(vma) && anonVmaPrepare(vma) !== 0) return -ENOMEM;
  vmaSetFlags(vma, vma.flags | VM_MAYBE_GUARD);
  zapRange(mm, start, end);
  walkLeafTables(mm, start, end, (pmdp, addr, next) => {
    const table = ptePfn(u32[pmdp] as Pte);
    const last = entryPtr(table, pteLast(addr, next));
    for (let at = entryPtr(table, pteIndex(addr)) as number; at < last; at += PTE_WORDS) {
      u32[at] = GUARD;
    }
    return 0;
  });
  return 0;
}

/** @returns true when the leaf table behind `pmdp` has a guard in [addr, next). */
function hasGuards(pgdat: PgData, pmdp: PtePtr, addr: Vaddr, next: Vaddr): boolean {
  const { u32 } = pgdat.ram;
  const table = ptePfn(u32[pmdp] as Pte);
  const last = entryPtr(table, pteLast(addr, next));
  for (let at = entryPtr(table, pteIndex(addr)) as number; at < last; at += PTE_WORDS) {
    if (pteIsGuard(u32[at] as Pte)) return true;
  }
  return false;
}

/**
 * MADV_GUARD_REMOVE for a part of one VMA: what is not a guard stays.
 * @returns 0; -EINVAL (not ordinary memory); -ENOMEM with nothing changed.
 * @linux mm/madvise.c:madvise_guard_remove
 * @patch 07/14
 */
export function guardRemove(vma: Vma, start: Vaddr, end: Vaddr): number {
  const { mm } = vma;
  const { pgdat } = mm;
  const { u32 } = pgdat.ram;
  if ((vma.flags & VM_SPECIAL) !== 0) return -EINVAL;
  if ((vma.flags & VM_MAYBE_GUARD) === 0) return 0;
  const err = walkLeafTables(mm, start, end, (pmdp, addr, next) =>
    hasGuards(pgdat, pmdp, addr, next) ? breakCowPath(mm, addr) : 0,
  );
  if (err !== 0) return err;
  return walkLeafTables(mm, start, end, (pmdp, addr, next) => {
    if (!hasGuards(pgdat, pmdp, addr, next)) return 0;
    const table = ptePfn(u32[pmdp] as Pte);
    const last = entryPtr(table, pteLast(addr, next));
    for (let at = entryPtr(table, pteIndex(addr)) as number; at < last; at += PTE_WORDS) {
      if (pteIsGuard(u32[at] as Pte)) u32[at] = 0;
    }
    return 0;
  });
}
