/**
 * What a process holds, derived from its tables' counters: RSS, page-table bytes and the
 * shares of both that other processes use too. Nothing is kept per mm, so sharing a table
 * or changing a shared one cannot make the numbers wrong.
 *
 * VmPTE counts every table for exactly one process: its owner. A table whose owner no longer
 * uses it is claimed by the next process whose tables are read, so that the sum over all
 * processes is PageTables of /proc/meminfo and letting go of a table costs nothing.
 */

import {
  entryPtr,
  LEVEL_PGD,
  LEVEL_PMD,
  LEVEL_PTE,
  PMD_SIZE,
  ptePfn,
  PTE_WORDS,
  PTRS_PER_TABLE,
  type Pfn,
  type Pte,
} from '../arch/riscv/pgtable.ts';
import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import type { MmStruct, PgData } from './mm_types.ts';
import { NO_PTEP, pmdPtrOf } from './pgtable.ts';

export interface MmUsage {
  /** Pages mapped, by kind. */
  anon: number;
  file: number;
  shmem: number;
  swap: number;
  /** Bytes of tables that VmPTE counts for this mm. */
  tableBytes: number;
  /** Tables, and pages mapped through them, that another mm uses as well. */
  sharedTables: number;
  sharedPages: number;
}

/** @returns true when the mm that VmPTE counts a leaf table for still uses it. */
function ownerUses(mm: MmStruct, table: Pfn): boolean {
  const { mms, page, ram } = mm.pgdat;
  const owner = mms.peek(page.ptOwner[table]!);
  if (owner === undefined) return false;
  const pmdp = pmdPtrOf(owner, page.ptIndex[table]! * PMD_SIZE);
  return pmdp !== NO_PTEP && ptePfn(ram.u32[pmdp] as Pte) === table;
}

function addTable(mm: MmStruct, table: Pfn, level: number, usage: MmUsage): void {
  const { page, ram } = mm.pgdat;
  const shared = page.ptRefs[table]! > 1;
  if (shared) usage.sharedTables++;
  // Only leaf tables are shared, so only they change owners.
  if (level === LEVEL_PTE && page.ptOwner[table] !== mm.id && !ownerUses(mm, table)) {
    page.ptOwner[table] = mm.id;
  }
  if (page.ptOwner[table] === mm.id) usage.tableBytes += PAGE_SIZE;
  if (level === LEVEL_PTE) {
    const anon = page.ptAnon[table]!;
    const file = page.ptFile[table]!;
    const shmem = page.ptShmem[table]!;
    usage.anon += anon;
    usage.file += file;
    usage.shmem += shmem;
    usage.swap += page.ptSwap[table]!;
    if (shared) usage.sharedPages += anon + file + shmem;
    return;
  }
  const start = entryPtr(table, 0);
  const end = start + PTRS_PER_TABLE * PTE_WORDS;
  for (let at = start as number; at < end; at += PTE_WORDS) {
    const entry = ram.u32[at] as Pte;
    if (entry !== 0) addTable(mm, ptePfn(entry), level - 1, usage);
  }
}

/** Reads all tables of `mm`: O(tables), not O(pages). */
export function mmUsage(mm: MmStruct): MmUsage {
  const usage: MmUsage = {
    anon: 0,
    file: 0,
    shmem: 0,
    swap: 0,
    tableBytes: 0,
    sharedTables: 0,
    sharedPages: 0,
  };
  addTable(mm, mm.pgd, LEVEL_PGD, usage);
  return usage;
}

/** Pages that the leaf tables of one PMD table map. @hot run at every exit. */
function pmdTableRss(pgdat: PgData, pmdTable: Pfn): number {
  const { u32 } = pgdat.ram;
  const { ptAnon, ptFile, ptShmem } = pgdat.page;
  const start = entryPtr(pmdTable, 0);
  const end = start + PTRS_PER_TABLE * PTE_WORDS;
  let pages = 0;
  for (let at = start as number; at < end; at += PTE_WORDS) {
    const entry = u32[at] as Pte;
    if (entry === 0) continue;
    const table = ptePfn(entry);
    pages += ptAnon[table]! + ptFile[table]! + ptShmem[table]!;
  }
  return pages;
}

function tableRss(pgdat: PgData, table: Pfn, level: number): number {
  if (level === LEVEL_PMD) return pmdTableRss(pgdat, table);
  const { u32 } = pgdat.ram;
  const start = entryPtr(table, 0);
  const end = start + PTRS_PER_TABLE * PTE_WORDS;
  let pages = 0;
  for (let at = start as number; at < end; at += PTE_WORDS) {
    if (u32[at] !== 0) pages += tableRss(pgdat, ptePfn(u32[at] as Pte), level - 1);
  }
  return pages;
}

/** Resident pages. */
export function mmRssPages(mm: MmStruct): number {
  return tableRss(mm.pgdat, mm.pgd, LEVEL_PGD);
}

/** Notes the RSS where it is about to shrink or to be read (VmHWM, ru_maxrss). @linux include/linux/mm.h:update_hiwater_rss */
export function updateHiwaterRss(mm: MmStruct): number {
  const rss = mmRssPages(mm);
  if (rss > mm.hiwaterRss) mm.hiwaterRss = rss;
  return rss;
}

/** Pages that may be unmapped before the peak RSS is looked at, at least, and as a share of it. */
const HIWATER_PAGES = 64;
const HIWATER_SHARE = 8;

/**
 * To be called before `pages` are unmapped. Reading the RSS costs as much as there are page
 * tables, so it is read only once an eighth of the peak may have gone: VmHWM is exact to that.
 */
export function noteUnmap(mm: MmStruct, pages: number): void {
  mm.unmappedPages += pages;
  if (mm.unmappedPages < Math.max(HIWATER_PAGES, mm.hiwaterRss / HIWATER_SHARE)) return;
  mm.unmappedPages = 0;
  updateHiwaterRss(mm);
}
