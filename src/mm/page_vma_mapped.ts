/**
 * From a page to every place that maps it.
 *
 * Sharers of a table are found one by one, each through its own VMA, because each has counters
 * and a TLB of its own; the entry in the shared table is found once. So whoever changes an
 * entry in place writes it once, and tells everybody.
 *
 * @linux mm/page_vma_mapped.c, mm/rmap.c:rmap_walk
 * @patch 04/14
 */

import {
  ptePfn,
  PTE_SPECIAL,
  PTE_V,
  type Pfn,
  type Pte,
  type PtePtr,
} from '../arch/riscv/pgtable.ts';
import { vmaAddress } from './anon_vma.ts';
import { AnonVma, type PgData, type RmapPlaces, type Vma } from './mm_types.ts';
import { NO_PTEP, ptePtrOf } from './pgtable.ts';

/** Notes the place where a VMA maps the page, if it does. */
function visitVma(pgdat: PgData, places: RmapPlaces, vma: Vma, pfn: Pfn): void {
  const addr = vmaAddress(vma, pgdat.page.index[pfn]!);
  const ptep = addr < 0 ? NO_PTEP : ptePtrOf(vma.mm, addr);
  if (ptep === NO_PTEP) return;
  const { u32 } = pgdat.ram;
  const pte = u32[ptep] as Pte;
  if ((pte & (PTE_V | PTE_SPECIAL)) !== PTE_V || ptePfn(pte) !== pfn) return;
  places.vmas[places.nrVmas++] = vma;
  places.vmFlags |= vma.flags;
  // The high word of an entry is 0; as long as the walk lasts, 1 says that it was seen.
  if (u32[ptep + 1] !== 0) return;
  u32[ptep + 1] = 1;
  places.pteps[places.nrPteps++] = ptep;
}

/** Empties the result of the last walk. */
function restart(places: RmapPlaces): void {
  places.nrVmas = 0;
  places.nrPteps = 0;
  places.vmFlags = 0;
}

/** Finds everybody who reaches the entry at `ptep`, which maps an anonymous page; the result is in pgdat.rmap until the next walk. */
export function rmapWalkEntry(pgdat: PgData, pfn: Pfn, ptep: PtePtr): void {
  const { page, rmap: places } = pgdat;
  restart(places);
  const owner = pgdat.mappings.get(page.mapping[pfn]! >> 1);
  if (!(owner instanceof AnonVma)) return;
  const { chain } = owner;
  for (let i = 0; i < chain.length; i++) {
    const { vma } = chain[i]!;
    const addr = vmaAddress(vma, page.index[pfn]!);
    if (addr >= 0 && ptePtrOf(vma.mm, addr) === ptep) places.vmas[places.nrVmas++] = vma;
  }
  places.pteps[places.nrPteps++] = ptep;
}

/**
 * Finds every mapping of a page; the result is in pgdat.rmap until the next walk.
 * @returns true when they are all that the page's mapcount speaks of.
 * @linux mm/rmap.c:rmap_walk
 */
export function rmapWalk(pgdat: PgData, pfn: Pfn): boolean {
  const { page, rmap: places } = pgdat;
  const { u32 } = pgdat.ram;
  restart(places);
  const owner = pgdat.mappings.peek(page.mapping[pfn]! >> 1);
  if (owner instanceof AnonVma) {
    const { chain } = owner;
    for (let i = 0; i < chain.length; i++) visitVma(pgdat, places, chain[i]!.vma, pfn);
  } else if (owner !== undefined) {
    const { iMmap } = owner;
    for (let i = 0; i < iMmap.length; i++) visitVma(pgdat, places, iMmap[i]!, pfn);
  }
  for (let i = 0; i < places.nrPteps; i++) u32[places.pteps[i]! + 1] = 0;
  return places.nrPteps === page.mapcount[pfn];
}
