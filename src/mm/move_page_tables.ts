/** Moving page-table entries from one range of an address space to another. @linux mm/mremap.c:move_page_tables */

import {
  blockEnd,
  entryPtr,
  LEVEL_PTE,
  PMD_SIZE,
  ptePfn,
  ptePresent,
  PTE_SOFT_DIRTY,
  PTE_SPECIAL,
  PTE_SWP_SOFT_DIRTY,
  PTE_V,
  PTE_WORDS,
  PTRS_PER_TABLE,
  tableOf,
  type Pfn,
  type Pte,
  type PtePtr,
  type Vaddr,
} from '../arch/riscv/pgtable.ts';
import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import { bug } from '../lib/assert.ts';
import { ENOMEM } from '../uapi/errno.ts';
import { breakCowPteRange, markPathPinned, pmdAlloc, pteAlloc } from './cow_pte.ts';
import type { MmStruct, PgData } from './mm_types.ts';
import { pageAnon, PG_SWAPBACKED, PG_TABLE_PINNED } from './page.ts';
import { tableMapsAny, walkLeafTables } from './pagewalk.ts';
import { freeTable, NO_PTEP, pmdPtrOf, ptePtrOf } from './pgtable.ts';
import { isSwapPte } from './swap_types.ts';
import { flushTlbRange } from './tlbflush.ts';
import { dropCowTable, freePgtables } from './zap.ts';

/** A whole leaf table that can move by moving the entry that names it. */
function movesWhole(from: Vaddr, to: Vaddr, next: Vaddr): boolean {
  return next - from === PMD_SIZE && to % PMD_SIZE === 0;
}

/** Allocates what the entries of [addr, next) need at `to`. @returns false when memory is out. */
function allocDestination(mm: MmStruct, addr: Vaddr, next: Vaddr, to: Vaddr): boolean {
  if (movesWhole(addr, to, next)) return pmdAlloc(mm, to) !== NO_PTEP;
  const end = to + (next - addr);
  for (let at = to; at < end; at = blockEnd(at, end, PMD_SIZE)) {
    if (pteAlloc(mm, at) === NO_PTEP) return false;
  }
  return true;
}

/**
 * Everything about moving [from, from + len) to `to` that can fail: makes the tables private
 * that hold entries to move, and allocates private tables for them at the new place.
 * @returns 0, or -ENOMEM with nothing changed that a program could see.
 */
export function prepareMove(mm: MmStruct, from: Vaddr, to: Vaddr, len: number): number {
  const { pgdat } = mm;
  let err = breakCowPteRange(mm, from, from + len);
  if (err !== 0) return err;
  err = walkLeafTables(mm, from, from + len, (pmdp, addr, next) => {
    if (!tableMapsAny(pgdat, pmdp, addr, next)) return 0;
    return allocDestination(mm, addr, next, addr - from + to) ? 0 : -ENOMEM;
  });
  if (err !== 0) freePgtables(mm, to, to + len);
  return err;
}

/** Moves the table itself. An empty one may be in its place, and shared. @linux mm/mremap.c:move_normal_pmd */
function moveTable(mm: MmStruct, srcPmdp: PtePtr, to: Vaddr): void {
  const { pgdat } = mm;
  const { u32 } = pgdat.ram;
  const dstPmdp = pmdPtrOf(mm, to);
  const pmd = u32[srcPmdp] as Pte;
  const old = u32[dstPmdp] as Pte;
  if (old !== 0 && pgdat.page.ptRefs[ptePfn(old)]! > 1) dropCowTable(mm, dstPmdp, LEVEL_PTE, to);
  else if (old !== 0) freeTable(pgdat, ptePfn(old));
  u32[srcPmdp] = 0;
  u32[dstPmdp] = pmd;
  pgdat.page.ptIndex[ptePfn(pmd)] = to / PMD_SIZE;
  moveSoftDirtyTable(pgdat, ptePfn(pmd));
  if ((pgdat.page.flags[ptePfn(pmd)]! & PG_TABLE_PINNED) !== 0) markPathPinned(mm, to);
}

/** A moved page is news at its new place. @linux mm/mremap.c:move_soft_dirty_pte */
function moveSoftDirtyPte(pte: Pte): Pte {
  return (pte | (ptePresent(pte) ? PTE_SOFT_DIRTY : PTE_SWP_SOFT_DIRTY)) as Pte;
}

/** As moveSoftDirtyPte() for a table that moved whole: an entry cannot be marked so from above. */
function moveSoftDirtyTable(pgdat: PgData, table: Pfn): void {
  const { u32 } = pgdat.ram;
  const end = entryPtr(table, PTRS_PER_TABLE);
  for (let at = entryPtr(table, 0) as number; at < end; at += PTE_WORDS) {
    if (u32[at] !== 0) u32[at] = moveSoftDirtyPte(u32[at] as Pte);
  }
}

/** Moves `count` entries, which end no table on either side. @hot */
function movePtes(pgdat: PgData, src: PtePtr, dst: PtePtr, count: number): void {
  const { u32 } = pgdat.ram;
  const { page } = pgdat;
  const shift = dst - src;
  const end = src + count * PTE_WORDS;
  let anon = 0;
  let shmem = 0;
  let file = 0;
  let swap = 0;
  for (let at = src as number; at < end; at += PTE_WORDS) {
    const pte = u32[at] as Pte;
    if (pte === 0) continue;
    u32[at] = 0;
    u32[at + shift] = moveSoftDirtyPte(pte);
    if ((pte & (PTE_V | PTE_SPECIAL)) !== PTE_V) {
      if (isSwapPte(pte)) swap++;
      continue;
    }
    const pfn = ptePfn(pte);
    if (pageAnon(page, pfn)) anon++;
    else if ((page.flags[pfn]! & PG_SWAPBACKED) !== 0) shmem++;
    else file++;
  }
  const from = tableOf(src);
  const to = tableOf(dst);
  page.ptAnon[from]! -= anon;
  page.ptAnon[to]! += anon;
  page.ptShmem[from]! -= shmem;
  page.ptShmem[to]! += shmem;
  page.ptFile[from]! -= file;
  page.ptFile[to]! += file;
  page.ptSwap[from]! -= swap;
  page.ptSwap[to]! += swap;
}

/**
 * Moves all entries of [from, from + len) to `to`, where nothing is mapped. prepareMove() was
 * called, so it cannot fail. Pages, their counts and their rmap stay: the new VMA gives them
 * the same offset.
 */
export function movePageTables(mm: MmStruct, from: Vaddr, to: Vaddr, len: number): void {
  const { pgdat } = mm;
  walkLeafTables(mm, from, from + len, (pmdp, addr, next) => {
    if (!tableMapsAny(pgdat, pmdp, addr, next)) return 0;
    const target = addr - from + to;
    if (movesWhole(addr, target, next)) {
      moveTable(mm, pmdp, target);
      return 0;
    }
    const end = target + (next - addr);
    for (let at = target; at < end; ) {
      const stop = blockEnd(at, end, PMD_SIZE);
      const dst = ptePtrOf(mm, at);
      if (dst === NO_PTEP) bug('move_page_tables: no table');
      const src = ptePtrOf(mm, at - to + from);
      movePtes(pgdat, src, dst, (stop - at) / PAGE_SIZE);
      if ((pgdat.page.flags[tableOf(src)]! & PG_TABLE_PINNED) !== 0) markPathPinned(mm, at);
      at = stop;
    }
    return 0;
  });
  flushTlbRange(mm, from, from + len);
}
