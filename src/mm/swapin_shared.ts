/**
 * Bringing pages back into tables that several address spaces share, in place.
 *
 *     parent --+                                 parent --+
 *              +--> T [swap, slot 7]     -->              +--> T [page, read-only]
 *     child  --+                                 child  --+
 *
 * A read of a page in swap changes nothing that a sharer could see, so nobody needs a table of
 * its own for it. Everybody who reaches the entry counts a page more and a swap entry less.
 */

import {
  mkPte,
  PTE_A,
  PTE_SOFT_DIRTY,
  PTE_SWP_EXCLUSIVE,
  PTE_SWP_SOFT_DIRTY,
  tableOf,
  type Pfn,
  type Pte,
  type PtePtr,
  type Vaddr,
} from '../arch/riscv/pgtable.ts';
import { ENOMEM } from '../uapi/errno.ts';
import { pageSetSharedAnonRmap } from './anon_vma.ts';
import { MM_ANONPAGES, MM_SWAPENTS, type PgData, type Vma } from './mm_types.ts';
import { PG_ANON_EXCLUSIVE } from './page.ts';
import { rmapWalkEntry } from './page_vma_mapped.ts';
import { vmGetPageProt } from './pte_ops.ts';
import { folioFreeSwap, swapinFolio } from './swap_state.ts';
import { pteToSwapEntry } from './swap_types.ts';
import { swapFree, vmSwapFull } from './swapfile.ts';
import { VM_FAULT_OOM, VM_FAULT_SIGBUS } from './vm_fault.ts';

/**
 * Puts a page of the swap cache, whose reference the mapping takes over, where an entry named
 * its slot: read-only, unused so far, and as exclusive as it was. `vma` is any that reaches the
 * entry. Counters of the table and of mms are the caller's.
 */
export function mapSwappedPage(pgdat: PgData, vma: Vma, addr: Vaddr, ptep: PtePtr, pfn: Pfn): void {
  const { page } = pgdat;
  const { u32 } = pgdat.ram;
  const old = u32[ptep]!;
  if (page.mapcount[pfn] === 0) pageSetSharedAnonRmap(pgdat, pfn, vma, addr);
  if ((old & PTE_SWP_EXCLUSIVE) !== 0) page.flags[pfn]! |= PG_ANON_EXCLUSIVE;
  page.mapcount[pfn]!++;
  const soft = (old & PTE_SWP_SOFT_DIRTY) === 0 ? 0 : PTE_SOFT_DIRTY;
  u32[ptep] = mkPte(pfn, (vmGetPageProt(vma.flags) & ~PTE_A) | soft);
}

/** One swap entry became a page for every mm that reaches the entry. */
function countSwappedPage(pgdat: PgData, ptep: PtePtr, pfn: Pfn): void {
  const { ptAnon, ptSwap } = pgdat.page;
  ptSwap[tableOf(ptep)]!--;
  ptAnon[tableOf(ptep)]!++;
  rmapWalkEntry(pgdat, pfn, ptep);
  const { vmas, nrVmas } = pgdat.rmap;
  for (let i = 0; i < nrVmas; i++) {
    const { rss } = vmas[i]!.mm;
    rss[MM_SWAPENTS]!--;
    rss[MM_ANONPAGES]!++;
  }
}

/**
 * Brings the page at `addr`, which is in swap, back for all who share the table of its entry.
 * @returns 0, VM_FAULT_OOM, or VM_FAULT_SIGBUS when the device cannot give it back.
 * @patch 04/14
 */
export function swapinShared(vma: Vma, addr: Vaddr, ptep: PtePtr): number {
  const { pgdat } = vma.mm;
  const { u32 } = pgdat.ram;
  const entry = pteToSwapEntry(u32[ptep] as Pte);
  const got = swapinFolio(pgdat, entry);
  if (got < 0) return got === -ENOMEM ? VM_FAULT_OOM : VM_FAULT_SIGBUS;
  const pfn = got as Pfn;
  swapFree(pgdat, entry);
  mapSwappedPage(pgdat, vma, addr, ptep, pfn);
  u32[ptep] = u32[ptep]! | PTE_A;
  countSwappedPage(pgdat, ptep, pfn);
  if (vmSwapFull(pgdat)) folioFreeSwap(pgdat, pfn);
  return 0;
}
