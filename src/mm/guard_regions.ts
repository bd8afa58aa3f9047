/**
 * Guard regions: pages of a mapping that nobody may touch, without a VMA of their own. A
 * marker stands in the page-table entry instead of a page.
 *
 *     install   entries -> guards; pages that were there are dropped
 *     remove    guards  -> none
 *     fork      copied, or shared with the table
 *     zap       MADV_DONTNEED, truncation and kin leave them; munmap takes them away
 *
 * A call prepares all VMAs of its range before it changes the first, so that memory running out
 * changes nothing.
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
import type { PgData, Vma } from './mm_types.ts';
import { pteLast, walkLeafTables } from './pagewalk.ts';
import { NO_PTEP } from './pgtable.ts';
import { VM_LOCKED, VM_MAYBE_GUARD, vmaIsAnonymous } from './vma.ts';
import { vmaSetFlags } from './vma_link.ts';
import { VM_SPECIAL } from './vma_merge.ts';
import { freePgtables, zapRange } from './zap.ts';

const GUARD = mkSwpPte(SWP_PTE_MARKER, PTE_MARKER_GUARD);

/** Which of the two an advice is. */
export interface GuardAdvice {
  /** @returns 0, or -EINVAL for a VMA that cannot have guards. */
  valid(vma: Vma): number;
  /** Makes what apply() needs for a part of one VMA. @returns 0, or -ENOMEM with nothing changed that a program could see. */
  prepare(vma: Vma, start: Vaddr, end: Vaddr): number;
  /** Cannot fail after prepare(). */
  apply(vma: Vma, start: Vaddr, end: Vaddr): void;
}

/** @linux mm/madvise.c:is_valid_guard_vma */
function validGuardVma(vma: Vma, forbidden: number): number {
  return (vma.flags & (VM_SPECIAL | forbidden)) === 0 ? 0 : -EINVAL;
}

/** Private leaf tables for the whole part, and an AnonVma, as if there were pages. */
function prepareInstall(vma: Vma, start: Vaddr, end: Vaddr): number {
  const { mm } = vma;
  for (let addr = start; addr < end; addr = blockEnd(addr, end, PMD_SIZE)) {
    if (pteAlloc(mm, addr) !== NO_PTEP) continue;
    freePgtables(mm, start, end);
    return -ENOMEM;
  }
  return vmaIsAnonymous(vma) ? anonVmaPrepare(vma) : 0;
}

/**
 * MADV_GUARD_INSTALL: pages that are there are dropped.
 * @linux mm/madvise.c:madvise_guard_install
 */
function guardInstall(vma: Vma, start: Vaddr, end: Vaddr): void {
  const { mm } = vma;
  const { u32 } = mm.pgdat.ram;
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

/** Tables with guards to remove become private. */
function prepareRemove(vma: Vma, start: Vaddr, end: Vaddr): number {
  const { mm } = vma;
  if ((vma.flags & VM_MAYBE_GUARD) === 0) return 0;
  return walkLeafTables(mm, start, end, (pmdp, addr, next) =>
    hasGuards(mm.pgdat, pmdp, addr, next) ? breakCowPath(mm, addr) : 0,
  );
}

/**
 * MADV_GUARD_REMOVE: what is not a guard stays.
 * @linux mm/madvise.c:madvise_guard_remove
 */
function guardRemove(vma: Vma, start: Vaddr, end: Vaddr): void {
  const { mm } = vma;
  const { pgdat } = mm;
  const { u32 } = pgdat.ram;
  if ((vma.flags & VM_MAYBE_GUARD) === 0) return;
  walkLeafTables(mm, start, end, (pmdp, addr, next) => {
    if (!hasGuards(pgdat, pmdp, addr, next)) return 0;
    const table = ptePfn(u32[pmdp] as Pte);
    const last = entryPtr(table, pteLast(addr, next));
    for (let at = entryPtr(table, pteIndex(addr)) as number; at < last; at += PTE_WORDS) {
      if (pteIsGuard(u32[at] as Pte)) u32[at] = 0;
    }
    return 0;
  });
}

/**
 * Locked memory gets no guards: its pages would have to go.
 * @patch 07/14
 */
export const GUARD_INSTALL: GuardAdvice = {
  valid: (vma) => validGuardVma(vma, VM_LOCKED),
  prepare: prepareInstall,
  apply: guardInstall,
};

/** @patch 07/14 */
export const GUARD_REMOVE: GuardAdvice = {
  valid: (vma) => validGuardVma(vma, 0),
  prepare: prepareRemove,
  apply: guardRemove,
};
