/**
 * Copying leaf entries from one table to another: what default fork does for every table and
 * what breaking a shared table does for one. Everything needed is in the entry and its
 * page, so no VMA is looked at and a break is legal from any context.
 *
 *     page of            source entry      copy           page
 *     private memory     W cleared         W cleared      exclusive cleared, one more mapping
 *     shared file        unchanged         same           one more mapping
 *     zero page          unchanged         same           not counted
 *     none (marker)      unchanged         same
 *     in swap            exclusive cleared same           one more entry names the slot
 *
 * @linux mm/memory.c:copy_pte_range
 */

import {
  entryPtr,
  ptePfn,
  PTE_SOFT_DIRTY,
  PTE_SWP_EXCLUSIVE,
  PTE_SWP_SOFT_DIRTY,
  PTE_SPECIAL,
  PTE_V,
  PTE_W,
  PTE_WORDS,
  tableOf,
  type Pfn,
  type Pte,
  type PtePtr,
} from '../arch/riscv/pgtable.ts';
import type { PgData } from './mm_types.ts';
import {
  PG_ANON,
  PG_ANON_EXCLUSIVE,
  PG_SWAPBACKED,
  PG_SWAPCACHE,
  pageMaybeDmaPinned,
} from './page.ts';
import { isSwapPte, pteToSwapEntry } from './swap_types.ts';
import { swapDuplicate } from './swapfile.ts';

/**
 * Copies an entry that is not present: one more names a slot, and the page in it is nobody's
 * alone any more.
 * @linux mm/memory.c:copy_nonpresent_pte
 */
function copyNonpresentPte(pgdat: PgData, src: PtePtr, dst: PtePtr, clearSoftDirty: boolean): void {
  const { u32 } = pgdat.ram;
  let pte = u32[src] as Pte;
  if (isSwapPte(pte)) {
    swapDuplicate(pgdat, pteToSwapEntry(pte));
    pgdat.page.ptSwap[tableOf(dst)]!++;
    pte = (pte & ~PTE_SWP_EXCLUSIVE) as Pte;
    u32[src] = pte;
  }
  u32[dst] = clearSoftDirty ? pte & ~PTE_SWP_SOFT_DIRTY : pte;
}

/**
 * Copies entries [first, last) of table `src` into `dst`, whose entries there are empty, and
 * counts them in `dst`. The caller flushes write TLB entries made through `src`, if any.
 * @param clearSoftDirty the copies count as not written since (PTE_SD_CLEARED on the way to src).
 * @hot 512 entries a call; 1 GiB is 512 calls.
 */
export function copyPteRange(
  pgdat: PgData,
  src: Pfn,
  dst: Pfn,
  first: number,
  last: number,
  clearSoftDirty: boolean,
): void {
  const { u32 } = pgdat.ram;
  const { refcount, mapcount, flags } = pgdat.page;
  const start = entryPtr(src, first);
  const end = start + (last - first) * PTE_WORDS;
  const shift = entryPtr(dst, first) - start;
  const kept = clearSoftDirty ? ~(PTE_SOFT_DIRTY | PTE_W) : -1;
  let anon = 0;
  let shmem = 0;
  let file = 0;
  for (let at = start as number; at < end; at += PTE_WORDS) {
    let pte = u32[at] as Pte;
    if (pte === 0) continue;
    if ((pte & (PTE_V | PTE_SPECIAL)) === PTE_V) {
      const pfn = ptePfn(pte);
      refcount[pfn]!++;
      mapcount[pfn]!++;
      const kind = flags[pfn]!;
      if ((kind & PG_ANON) !== 0) {
        anon++;
        if ((kind & PG_ANON_EXCLUSIVE) !== 0) flags[pfn] = kind & ~PG_ANON_EXCLUSIVE;
        if ((pte & PTE_W) !== 0) {
          pte = (pte & ~PTE_W) as Pte;
          u32[at] = pte;
        }
      } else if ((kind & PG_SWAPBACKED) !== 0) shmem++;
      else file++;
    } else if ((pte & PTE_V) === 0) {
      copyNonpresentPte(pgdat, at as PtePtr, (at + shift) as PtePtr, clearSoftDirty);
      continue;
    }
    u32[at + shift] = pte & kept;
  }
  pgdat.page.ptAnon[dst]! += anon;
  pgdat.page.ptShmem[dst]! += shmem;
  pgdat.page.ptFile[dst]! += file;
}

/** @returns true when the page may not get a second mapping: somebody reads or writes it by its frame. */
export function pagePinnedExclusive(pgdat: PgData, pte: Pte): boolean {
  if ((pte & (PTE_V | PTE_SPECIAL)) !== PTE_V) return false;
  const pfn = ptePfn(pte);
  const pinnable = PG_ANON | PG_ANON_EXCLUSIVE;
  if ((pgdat.page.flags[pfn]! & pinnable) !== pinnable) return false;
  return pageMaybeDmaPinned(pgdat.page, pfn);
}

/** @returns true when the page is the entry's alone, but for somebody who has a reference or a pin. */
export function pageReferencedExclusive(pgdat: PgData, pte: Pte): boolean {
  if ((pte & (PTE_V | PTE_SPECIAL)) !== PTE_V) return false;
  const pfn = ptePfn(pte);
  const { flags, refcount } = pgdat.page;
  const exclusive = PG_ANON | PG_ANON_EXCLUSIVE;
  if ((flags[pfn]! & exclusive) !== exclusive) return false;
  return refcount[pfn]! > ((flags[pfn]! & PG_SWAPCACHE) === 0 ? 1 : 2);
}
