/**
 * What a process holds: its resident pages, which its mm counts, and its page tables and the
 * shares of both that other processes use too, which are read from the tables.
 *
 * VmPTE counts every table for exactly one process: its owner. A table whose owner no longer
 * uses it is claimed by the next process whose tables are read, so that the sum over all
 * processes is PageTables of /proc/meminfo and letting go of a table costs nothing.
 */

import {
  entryPtr,
  LEVEL_PGD,
  LEVEL_PTE,
  PMD_SIZE,
  ptePfn,
  PTE_WORDS,
  PTRS_PER_TABLE,
  type Pfn,
  type Pte,
} from '../arch/riscv/pgtable.ts';
import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import {
  MM_ANONPAGES,
  MM_FILEPAGES,
  MM_SHMEMPAGES,
  MM_SWAPENTS,
  type MmStruct,
} from './mm_types.ts';
import { tableAt } from './pgtable.ts';

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

/** @returns true when the mm that VmPTE counts a table for still uses it. */
function ownerUses(mm: MmStruct, table: Pfn, level: number): boolean {
  const { mms, page } = mm.pgdat;
  const owner = mms.peek(page.ptOwner[table]!);
  if (owner === undefined) return false;
  return tableAt(owner, page.ptIndex[table]! * PMD_SIZE, level) === table;
}

/** @param shared a table above is shared already. */
function addTable(mm: MmStruct, table: Pfn, level: number, shared: boolean, usage: MmUsage): void {
  const { page, ram } = mm.pgdat;
  const owner = page.ptOwner[table];
  const mayClaim = owner !== mm.id && level !== LEVEL_PGD;
  if (mayClaim && !ownerUses(mm, table, level)) page.ptOwner[table] = mm.id;
  if (page.ptOwner[table] === mm.id) usage.tableBytes += PAGE_SIZE;
  const below = shared || page.ptRefs[table]! > 1;
  if (below) usage.sharedTables++;
  if (level === LEVEL_PTE) {
    if (below)
      usage.sharedPages += page.ptAnon[table]! + page.ptFile[table]! + page.ptShmem[table]!;
    return;
  }
  const end = entryPtr(table, PTRS_PER_TABLE);
  for (let at = entryPtr(table, 0) as number; at < end; at += PTE_WORDS) {
    const entry = ram.u32[at] as Pte;
    if (entry !== 0) addTable(mm, ptePfn(entry), level - 1, below, usage);
  }
}

/** Reads all tables of `mm`: O(tables), not O(pages). */
export function mmUsage(mm: MmStruct): MmUsage {
  const { rss } = mm;
  const usage: MmUsage = {
    anon: rss[MM_ANONPAGES]!,
    file: rss[MM_FILEPAGES]!,
    shmem: rss[MM_SHMEMPAGES]!,
    swap: rss[MM_SWAPENTS]!,
    tableBytes: 0,
    sharedTables: 0,
    sharedPages: 0,
  };
  addTable(mm, mm.pgd, LEVEL_PGD, false, usage);
  return usage;
}

/** Resident pages. @linux include/linux/mm.h:get_mm_rss */
export function mmRssPages(mm: MmStruct): number {
  const { rss } = mm;
  return rss[MM_ANONPAGES]! + rss[MM_FILEPAGES]! + rss[MM_SHMEMPAGES]!;
}

/** Notes the RSS where it is about to shrink or to be read (VmHWM, ru_maxrss). @linux include/linux/mm.h:update_hiwater_rss */
export function updateHiwaterRss(mm: MmStruct): number {
  const rss = mmRssPages(mm);
  if (rss > mm.hiwaterRss) mm.hiwaterRss = rss;
  return rss;
}
