/**
 * Switching swap areas off: everything in one is brought back, in place.
 *
 *     for each mm, for each leaf table:   not seen yet   its entries are replaced, and counted
 *                                         always         mm.rss follows what was counted
 *
 * So a table that several address spaces share is changed once and told to all, whoever of
 * them is left. No table is dropped or broken: only the pages themselves are allocated.
 *
 * @linux mm/swapfile.c:try_to_unuse
 * @patch 04/14
 */

import {
  entryPtr,
  mkSwpPte,
  pmdAlignDown,
  PTE_MARKER_POISONED,
  ptePfn,
  PTRS_PER_TABLE,
  SWP_PTE_MARKER,
  TASK_SIZE,
  type Pfn,
  type Pte,
  type PtePtr,
  type Vaddr,
} from '../arch/riscv/pgtable.ts';
import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import { bugOn } from '../lib/assert.ts';
import { ENOMEM } from '../uapi/errno.ts';
import { INPLACE_SWAPOFF } from './events.ts';
import { LAST_INDEX } from './address_space.ts';
import { filemapGetPage } from './filemap.ts';
import {
  AddressSpace,
  MM_ANONPAGES,
  MM_SWAPENTS,
  type MmStruct,
  type PgData,
  type Vma,
} from './mm_types.ts';
import { putPage } from './page_alloc.ts';
import { walkLeafTables } from './pagewalk.ts';
import { folioFreeSwap, swapinFolio } from './swap_state.ts';
import {
  isSwapPte,
  pteToSwapEntry,
  SWAP_ENTRY_POISONED,
  swapEntryToValue,
  swapEntryType,
  valueToSwapEntry,
  type SwapInfo,
} from './swap_types.ts';
import { swapFree } from './swapfile.ts';
import { mapSwappedPage } from './swapin_shared.ts';

/** What became of the entries of one table. */
interface Unused {
  /** Replaced by their pages. */
  pages: number;
  /** Replaced by markers, because the device did not give the pages back. */
  lost: number;
}

/** One swapoff() at work. */
class Unuse {
  readonly pgdat: PgData;
  readonly area: SwapInfo;
  /** Tables seen that had entries of the area. */
  readonly tables = new Map<Pfn, Unused>();
  /** 0, or -ENOMEM: nothing is replaced any more, counters still follow. */
  err = 0;

  constructor(pgdat: PgData, area: SwapInfo) {
    this.pgdat = pgdat;
    this.area = area;
  }
}

/** @linux mm/swapfile.c:unuse_pte */
function unusePte(state: Unuse, vma: Vma, addr: Vaddr, ptep: PtePtr, unused: Unused): number {
  const { pgdat } = state;
  const { u32 } = pgdat.ram;
  const entry = pteToSwapEntry(u32[ptep] as Pte);
  const got = swapinFolio(pgdat, entry);
  if (got === -ENOMEM) return -ENOMEM;
  swapFree(pgdat, entry);
  if (got < 0) {
    u32[ptep] = mkSwpPte(SWP_PTE_MARKER, PTE_MARKER_POISONED);
    unused.lost++;
    return 0;
  }
  mapSwappedPage(pgdat, vma, addr, ptep, got as Pfn);
  unused.pages++;
  folioFreeSwap(pgdat, got as Pfn);
  return 0;
}

/** @linux mm/swapfile.c:unuse_pte_range */
function unuseTable(state: Unuse, mm: MmStruct, table: Pfn, base: Vaddr): Unused {
  const { pgdat, area } = state;
  const { u32 } = pgdat.ram;
  const unused: Unused = { pages: 0, lost: 0 };
  let vma: Vma | undefined;
  for (let i = 0; i < PTRS_PER_TABLE && state.err === 0; i++) {
    const ptep = entryPtr(table, i);
    const pte = u32[ptep] as Pte;
    if (!isSwapPte(pte) || swapEntryType(pteToSwapEntry(pte)) !== area.type) continue;
    const addr = base + i * PAGE_SIZE;
    if (vma === undefined || vma.end <= addr) vma = mm.vmas.find(addr)!;
    state.err = unusePte(state, vma, addr, ptep, unused);
  }
  const { page } = pgdat;
  page.ptSwap[table]! -= unused.pages + unused.lost;
  page.ptAnon[table]! += unused.pages;
  return unused;
}

/** @linux mm/swapfile.c:unuse_mm */
function unuseMm(state: Unuse, mm: MmStruct): void {
  const { page, ram } = state.pgdat;
  walkLeafTables(mm, 0, TASK_SIZE, (pmdp, addr) => {
    const table = ptePfn(ram.u32[pmdp] as Pte);
    let unused = state.tables.get(table);
    if (unused === undefined) {
      if (page.ptSwap[table] === 0) return 0;
      unused = unuseTable(state, mm, table, pmdAlignDown(addr));
      state.tables.set(table, unused);
    } else state.pgdat.vmstat.cowInplace[INPLACE_SWAPOFF]! += unused.pages + unused.lost;
    mm.rss[MM_SWAPENTS]! -= unused.pages + unused.lost;
    mm.rss[MM_ANONPAGES]! += unused.pages;
    return 0;
  });
}

/** Brings back what page caches have in the area. @linux mm/shmem.c:shmem_unuse */
function shmemUnuse(state: Unuse, mapping: AddressSpace): void {
  const { pgdat, area } = state;
  if (mapping.swapped === 0) return;
  mapping.pages.forEach(0, LAST_INDEX, (index, value) => {
    const entry = valueToSwapEntry(value);
    if (value > 0 || state.err !== 0 || entry === SWAP_ENTRY_POISONED) return;
    if (swapEntryType(entry) !== area.type) return;
    const got = filemapGetPage(mapping, index);
    if (got === -ENOMEM) state.err = got;
    else if (got >= 0) putPage(pgdat, got as Pfn);
    else {
      mapping.pages.set(index, swapEntryToValue(SWAP_ENTRY_POISONED));
      swapFree(pgdat, entry);
    }
  });
}

/**
 * Empties an area.
 * @returns 0, or -ENOMEM with a part of it brought back.
 */
function tryToUnuse(pgdat: PgData, area: SwapInfo): number {
  const state = new Unuse(pgdat, area);
  pgdat.mms.forEach((mm) => {
    unuseMm(state, mm);
  });
  pgdat.mappings.forEach((mapping) => {
    if (mapping instanceof AddressSpace) shmemUnuse(state, mapping);
  });
  if (state.err !== 0) return state.err;
  const { cache } = area;
  for (let i = 0; i < cache.length; i++) if (cache[i] !== 0) folioFreeSwap(pgdat, cache[i] as Pfn);
  bugOn(area.inUse !== 0, 'swapoff: slots that nobody names are in use');
  return 0;
}

/** Later areas without a priority of their own move up by the one that goes. @linux mm/swapfile.c:SYSCALL_DEFINE1(swapoff) */
function closePriorityGap(pgdat: PgData, prio: number): void {
  const { swap } = pgdat;
  if (prio >= 0) return;
  for (const area of swap.active) if (area.prio < prio) area.prio++;
  swap.leastPriority++;
}

/**
 * Takes an area out of use.
 * @returns 0, or -ENOMEM when what is in it does not fit anywhere else: it is still on then.
 * @linux mm/swapfile.c:SYSCALL_DEFINE1(swapoff)
 */
export function doSwapoff(pgdat: PgData, area: SwapInfo): number {
  const { swap } = pgdat;
  // What is free in it is no swap space any more; slots that become free are not counted either.
  area.writeOk = false;
  swap.freePages -= area.pages - area.inUse;
  const err = tryToUnuse(pgdat, area);
  if (err !== 0) {
    area.writeOk = true;
    swap.freePages += area.pages - area.inUse;
    return err;
  }
  swap.totalPages -= area.pages;
  swap.active.splice(swap.active.indexOf(area), 1);
  swap.areas[area.type] = null;
  closePriorityGap(pgdat, area.prio);
  return 0;
}
