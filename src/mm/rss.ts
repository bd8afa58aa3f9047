/**
 * What a process holds, derived from its tables' counters: RSS, page-table bytes and the
 * shares of both that other processes use too. Nothing is kept per mm, so sharing a table
 * or changing a shared one cannot make the numbers wrong.
 *
 * VmPTE counts every table for exactly one process: its owner. A table whose owner let go of
 * it is claimed by the next process whose tables are read, so that the sum over all processes
 * is PageTables of /proc/meminfo.
 */

import {
  entryPtr,
  LEVEL_PGD,
  LEVEL_PTE,
  ptePfn,
  PTE_WORDS,
  PTRS_PER_TABLE,
  type Pfn,
  type Pte,
} from '../arch/riscv/pgtable.ts';
import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import type { MmStruct } from './mm_types.ts';

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

function addTable(mm: MmStruct, table: Pfn, level: number, usage: MmUsage): void {
  const { page, ram } = mm.pgdat;
  const shared = page.ptRefs[table]! > 1;
  if (shared) usage.sharedTables++;
  if (page.ptOwner[table] === 0) page.ptOwner[table] = mm.id;
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

/** Resident pages. */
export function mmRssPages(mm: MmStruct): number {
  const { anon, file, shmem } = mmUsage(mm);
  return anon + file + shmem;
}

/** Notes the RSS where it is about to shrink or to be read (VmHWM, ru_maxrss). @linux include/linux/mm.h:update_hiwater_rss */
export function updateHiwaterRss(mm: MmStruct): number {
  const rss = mmRssPages(mm);
  if (rss > mm.hiwaterRss) mm.hiwaterRss = rss;
  return rss;
}
