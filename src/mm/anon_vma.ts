/**
 * Reverse map of anonymous memory: which VMAs may map a page.
 *
 *     page.mapping -> AnonVma A -> chain: parent's VMA, child's VMA, grandchild's VMA
 *                     AnonVma B (made by the child's first own page) -> child's VMA, ...
 *
 * A VMA stands in the chain of its own AnonVma and of every ancestor's; the address of a page
 * in it follows from page.index.
 *
 * @linux mm/rmap.c
 */

import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import type { Pfn, Vaddr } from '../arch/riscv/pgtable.ts';
import { lowHalf } from '../lib/bits.ts';
import { AnonVma, type PgData, type Vma } from './mm_types.ts';
import { PG_ANON, PG_ANON_EXCLUSIVE, PG_LAZYFREE } from './page.ts';
import { lruAdd } from './swap.ts';
import { VM_ACCESS_FLAGS, VM_STICKY, VM_DROPPABLE, vmaPages } from './vma.ts';

function link(vma: Vma, anonVma: AnonVma): void {
  const avc = { vma, anonVma, index: anonVma.chain.length };
  anonVma.chain.push(avc);
  vma.anonVmaChain.push(avc);
}

/** A neighbour's AnonVma that `vma` may use, so that the two can merge later. @linux mm/vma.c:find_mergeable_anon_vma */
function findMergeableAnonVma(vma: Vma): AnonVma | null {
  const { vmas } = vma.mm;
  for (const near of [vmas.next(vma), vmas.prev(vma)]) {
    if (near === undefined || near.anonVma === null || near.anonVmaChain.length !== 1) continue;
    const touches = near.end === vma.start || near.start === vma.end;
    const distance = (near.start - vma.start) / PAGE_SIZE;
    const inLine = near.file === vma.file && near.pgoff - vma.pgoff === distance;
    const differ = (near.flags ^ vma.flags) & ~(VM_ACCESS_FLAGS | VM_STICKY);
    if (touches && inLine && differ === 0) return near.anonVma;
  }
  return null;
}

/**
 * Gives `vma` an AnonVma before its first anonymous page.
 * @returns 0 (an AnonVma takes no frame, so it cannot fail; callers check all the same).
 * @linux mm/rmap.c:__anon_vma_prepare
 */
export function anonVmaPrepare(vma: Vma): number {
  if (vma.anonVma !== null) return 0;
  const reuse = vma.anonVmaChain.length === 0 ? findMergeableAnonVma(vma) : null;
  vma.anonVma = reuse ?? new AnonVma(vma.mm.pgdat);
  link(vma, vma.anonVma);
  return 0;
}

/** Puts `dst`, which has no chain, into every chain that `src` is in (split, move). @linux mm/rmap.c:anon_vma_clone */
export function anonVmaClone(dst: Vma, src: Vma): number {
  anonVmaFork(dst, src);
  dst.anonVma = src.anonVma;
  return 0;
}

/**
 * Puts the child's VMA into every chain of the parent's. The child's own AnonVma comes with
 * its first own page.
 * @linux mm/rmap.c:anon_vma_fork
 */
export function anonVmaFork(dst: Vma, src: Vma): void {
  const chain = src.anonVmaChain;
  for (let i = 0; i < chain.length; i++) link(dst, chain[i]!.anonVma);
}

/** Takes `vma` out of all chains; an AnonVma nobody is in ends. @linux mm/rmap.c:unlink_anon_vmas */
export function unlinkAnonVmas(vma: Vma): void {
  const own = vma.anonVmaChain;
  for (let i = 0; i < own.length; i++) {
    const avc = own[i]!;
    const { anonVma } = avc;
    const last = anonVma.chain.pop();
    if (last !== undefined && last !== avc) {
      anonVma.chain[avc.index] = last;
      last.index = avc.index;
    }
    if (anonVma.chain.length === 0) anonVma.pgdat.mappings.release(anonVma.id >> 1);
  }
  own.length = 0;
  vma.anonVma = null;
}

/** Makes a fresh page an anonymous page of `vma`, mapped once and exclusively. @linux mm/rmap.c:folio_add_new_anon_rmap */
export function pageAddNewAnonRmap(pgdat: PgData, pfn: Pfn, vma: Vma, addr: Vaddr): void {
  const { page } = pgdat;
  page.mapcount[pfn] = 1;
  const lazy = (vma.flags & VM_DROPPABLE) === 0 ? 0 : PG_LAZYFREE;
  page.flags[pfn]! |= PG_ANON | PG_ANON_EXCLUSIVE | lazy;
  pageMoveAnonRmap(pgdat, pfn, vma, addr);
  lruAdd(pgdat, pfn);
}

/** Makes an anonymous page that only `vma` maps its own. @linux mm/rmap.c:folio_move_anon_rmap */
export function pageMoveAnonRmap(pgdat: PgData, pfn: Pfn, vma: Vma, addr: Vaddr): void {
  setAnonRmap(pgdat, pfn, vma.anonVma!, vma, addr);
}

/**
 * Makes a page that came back from swap and that others may map too an anonymous page of the
 * oldest AnonVma of `vma`: whoever has an entry that names the same slot got it by a fork, and
 * is in that chain.
 * @linux mm/rmap.c:__folio_set_anon (anon_vma->root)
 */
export function pageSetSharedAnonRmap(pgdat: PgData, pfn: Pfn, vma: Vma, addr: Vaddr): void {
  setAnonRmap(pgdat, pfn, vma.anonVmaChain[0]!.anonVma, vma, addr);
}

function setAnonRmap(pgdat: PgData, pfn: Pfn, anonVma: AnonVma, vma: Vma, addr: Vaddr): void {
  const { page } = pgdat;
  page.mapping[pfn] = anonVma.id;
  page.index[pfn] = lowHalf(vma.pgoff + (addr - vma.start) / PAGE_SIZE);
}

/**
 * Where `vma` would map the page with this index.
 * @returns -1 when the index lies outside of the VMA.
 * @linux mm/internal.h:vma_address
 */
export function vmaAddress(vma: Vma, index: number): Vaddr {
  // Both are cut to 32 bits; no VMA is as long as the 16 TiB at which they repeat.
  const delta = (index - lowHalf(vma.pgoff)) >>> 0;
  return delta < vmaPages(vma) ? vma.start + delta * PAGE_SIZE : -1;
}
