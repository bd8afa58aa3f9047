/** /proc/meminfo, vmstat and buddyinfo. @linux fs/proc/meminfo.c, mm/vmstat.c */

import { PAGE_SIZE } from '../../arch/riscv/memlayout.ts';
import { LEVEL_PMD, LEVEL_PTE, LEVEL_PUD } from '../../arch/riscv/pgtable.ts';
import { FALLBACK_NAMES, INPLACE_NAMES } from '../../mm/events.ts';
import type { Kernel } from '../../kernel/kernel.ts';
import { AddressSpace, MAX_ORDER, type PgData } from '../../mm/mm_types.ts';
import {
  LRU_ACTIVE_ANON,
  LRU_ACTIVE_FILE,
  LRU_INACTIVE_ANON,
  LRU_INACTIVE_FILE,
  PAGE_MAPPING_ANON,
  PG_BUDDY,
  PG_DIRTY,
  PG_RESERVED,
  PG_SWAPBACKED,
  PG_TABLE,
} from '../../mm/page.ts';
import type { VmStat } from '../../mm/vmstat.ts';
import { padNumber } from './generic.ts';

const KB_PER_PAGE = PAGE_SIZE / 1024;
/** Address space of vmalloc on a Sv48 kernel, in kB: 32 TiB. */
const VMALLOC_TOTAL_KB = 34_359_738_368;
/** Share of memory that may be promised when overcommit_memory is 2; percent. Linux's default. */
const OVERCOMMIT_RATIO = 50;

/** What the frames in use are for, in pages. */
export interface PageCounts {
  /** Anonymous pages that are mapped. */
  anon: number;
  /** Page cache of files, and of shared memory and tmpfs. */
  file: number;
  shmem: number;
  /** Page cache that is mapped somewhere. */
  mapped: number;
  /** Page cache newer than its backing store. */
  dirty: number;
}

/** Reads all of mem_map: a millisecond or two for each GiB. */
export function countPages(pgdat: PgData): PageCounts {
  const { flags, refcount, mapcount, mapping } = pgdat.page;
  const counts: PageCounts = { anon: 0, file: 0, shmem: 0, mapped: 0, dirty: 0 };
  const { firstFrame, nrFrames } = pgdat.ram.layout;
  for (let pfn = firstFrame; pfn < nrFrames; pfn++) {
    if (refcount[pfn] === 0) continue;
    const flag = flags[pfn]!;
    if ((flag & (PG_TABLE | PG_BUDDY | PG_RESERVED)) !== 0) continue;
    const owner = mapping[pfn]!;
    if (owner === 0) continue;
    if ((owner & PAGE_MAPPING_ANON) !== 0) {
      counts.anon++;
      continue;
    }
    if ((flag & PG_SWAPBACKED) !== 0) counts.shmem++;
    else counts.file++;
    if (mapcount[pfn] !== 0) counts.mapped++;
    if ((flag & (PG_DIRTY | PG_SWAPBACKED)) === PG_DIRTY) counts.dirty++;
  }
  return counts;
}

/** Page cache that reclaim could give back: what can be read again. */
function reclaimableCache(pgdat: PgData): number {
  let pages = 0;
  pgdat.mappings.forEach((mapping) => {
    if (mapping instanceof AddressSpace && mapping.ops.readFolio !== undefined) {
      pages += mapping.pages.size - mapping.swapped;
    }
  });
  return pages;
}

/** Private writable memory that programs have been promised, in pages. */
function committedPages(pgdat: PgData): number {
  let pages = 0;
  pgdat.mms.forEach((mm) => {
    pages += mm.dataVm + mm.stackVm;
  });
  return pages;
}

function mlockedPages(pgdat: PgData): number {
  let pages = 0;
  pgdat.mms.forEach((mm) => {
    pages += mm.lockedVm;
  });
  return pages;
}

/** The name in 16 columns, kB in 8. @linux show_val_kb */
function row(name: string, kb: number): string {
  return `${`${name}:`.padEnd(16)}${padNumber(kb, 8)} kB\n`;
}

function pagesRow(name: string, pages: number): string {
  return row(name, pages * KB_PER_PAGE);
}

/** Rows of features this kernel does not have: 0, as on a Linux that does not use them. */
function absentRows(names: readonly string[]): string {
  return names.map((name) => row(name, 0)).join('');
}

/** @linux fs/proc/meminfo.c:meminfo_proc_show */
export function showMeminfo(kernel: Kernel): string {
  const { pgdat } = kernel;
  const { lruSize, swap } = pgdat;
  const { anon, file, shmem, mapped, dirty } = countPages(pgdat);
  const total = pgdat.managedFrames;
  const free = pgdat.freeFrames;
  const mlocked = mlockedPages(pgdat);
  return [
    pagesRow('MemTotal', total),
    pagesRow('MemFree', free),
    pagesRow('MemAvailable', free + Math.max(0, reclaimableCache(pgdat) - dirty)),
    absentRows(['Buffers']),
    pagesRow('Cached', file + shmem),
    pagesRow('SwapCached', swap.cachedPages),
    pagesRow('Active', lruSize[LRU_ACTIVE_ANON]! + lruSize[LRU_ACTIVE_FILE]!),
    pagesRow('Inactive', lruSize[LRU_INACTIVE_ANON]! + lruSize[LRU_INACTIVE_FILE]!),
    pagesRow('Active(anon)', lruSize[LRU_ACTIVE_ANON]!),
    pagesRow('Inactive(anon)', lruSize[LRU_INACTIVE_ANON]!),
    pagesRow('Active(file)', lruSize[LRU_ACTIVE_FILE]!),
    pagesRow('Inactive(file)', lruSize[LRU_INACTIVE_FILE]!),
    pagesRow('Unevictable', mlocked),
    pagesRow('Mlocked', mlocked),
    pagesRow('SwapTotal', swap.totalPages),
    pagesRow('SwapFree', swap.freePages),
    pagesRow('Dirty', dirty),
    absentRows(['Writeback']),
    pagesRow('AnonPages', anon),
    pagesRow('Mapped', mapped),
    pagesRow('Shmem', shmem),
    absentRows(['KReclaimable', 'Slab', 'SReclaimable', 'SUnreclaim', 'KernelStack']),
    pagesRow('PageTables', pgdat.pageTables),
    absentRows(['SecPageTables', 'NFS_Unstable', 'Bounce', 'WritebackTmp']),
    pagesRow('CommitLimit', Math.floor((total * OVERCOMMIT_RATIO) / 100) + swap.totalPages),
    pagesRow('Committed_AS', committedPages(pgdat)),
    row('VmallocTotal', VMALLOC_TOTAL_KB),
    absentRows(['VmallocUsed', 'VmallocChunk', 'Percpu']),
  ].join('');
}

/** What happened to shared tables of each level. */
function cowCounters(vmstat: VmStat): [string, number][] {
  const rows: [string, number][] = [];
  for (const [level, name] of [
    [LEVEL_PTE, 'pte'],
    [LEVEL_PMD, 'pmd'],
    [LEVEL_PUD, 'pud'],
  ] as const) {
    rows.push(
      [`cow_${name}_shared`, vmstat.cowShared[level]!],
      [`cow_${name}_break_copy`, vmstat.cowBreakCopy[level]!],
      [`cow_${name}_break_reuse`, vmstat.cowBreakReuse[level]!],
      [`cow_${name}_drop`, vmstat.cowDrop[level]!],
    );
  }
  rows.push(['cow_pte_fallback', vmstat.cowPteFallback]);
  FALLBACK_NAMES.forEach((name, reason) => {
    rows.push([`cow_pte_fallback_${name}`, vmstat.cowFallback[reason]!]);
  });
  INPLACE_NAMES.forEach((name, kind) => {
    rows.push([`cow_inplace_${name}`, vmstat.cowInplace[kind]!]);
  });
  return rows;
}

function reclaimCounters(vmstat: VmStat): (readonly [string, number])[] {
  return [
    ['pglazyfreed', vmstat.pglazyfreed],
    ['pgrefill', vmstat.pgrefill],
    ['pgsteal_kswapd', vmstat.pgstealKswapd],
    ['pgsteal_direct', vmstat.pgstealDirect],
    ['pgsteal_proactive', vmstat.pgstealProactive],
    ['pgscan_kswapd', vmstat.pgscanKswapd],
    ['pgscan_direct', vmstat.pgscanDirect],
    ['pgscan_proactive', vmstat.pgscanProactive],
    ['pgscan_anon', vmstat.pgscanAnon],
    ['pgscan_file', vmstat.pgscanFile],
    ['pgsteal_anon', vmstat.pgstealAnon],
    ['pgsteal_file', vmstat.pgstealFile],
    ['pageoutrun', vmstat.pageoutrun],
    ['unevictable_pgs_culled', vmstat.unevictablePgsCulled],
    ['unevictable_pgs_rescued', vmstat.unevictablePgsRescued],
    ['workingset_refault_anon', vmstat.workingsetRefaultAnon],
    ['workingset_refault_file', vmstat.workingsetRefaultFile],
    ['workingset_activate_anon', vmstat.workingsetActivateAnon],
    ['workingset_activate_file', vmstat.workingsetActivateFile],
  ];
}

/** Name and number on a line each; the counters of COW page tables are cowshed's own. @linux mm/vmstat.c:vmstat_show */
export function showVmstat(kernel: Kernel): string {
  const { pgdat } = kernel;
  const { lruSize, swap, vmstat } = pgdat;
  const { anon, file, shmem, mapped, dirty } = countPages(pgdat);
  const counters: readonly (readonly [string, number])[] = [
    ['nr_free_pages', pgdat.freeFrames],
    ['nr_inactive_anon', lruSize[LRU_INACTIVE_ANON]!],
    ['nr_active_anon', lruSize[LRU_ACTIVE_ANON]!],
    ['nr_inactive_file', lruSize[LRU_INACTIVE_FILE]!],
    ['nr_active_file', lruSize[LRU_ACTIVE_FILE]!],
    ['nr_unevictable', mlockedPages(pgdat)],
    ['nr_mlock', mlockedPages(pgdat)],
    ['nr_anon_pages', anon],
    ['nr_mapped', mapped],
    ['nr_file_pages', file + shmem],
    ['nr_dirty', dirty],
    ['nr_writeback', 0],
    ['nr_shmem', shmem],
    ['nr_foll_pin_acquired', vmstat.nrFollPinAcquired],
    ['nr_foll_pin_released', vmstat.nrFollPinReleased],
    ['nr_page_table_pages', pgdat.pageTables],
    ['nr_swapcached', swap.cachedPages],
    ['pgpgin', 0],
    ['pgpgout', vmstat.pgpgout * KB_PER_PAGE],
    ['pgmigrate_success', vmstat.pgmigrateSuccess],
    ['pgmigrate_fail', vmstat.pgmigrateFail],
    ['compact_migrate_scanned', vmstat.compactMigrateScanned],
    ['compact_free_scanned', vmstat.compactFreeScanned],
    ['compact_stall', vmstat.compactStall],
    ['pswpin', vmstat.pswpin],
    ['pswpout', vmstat.pswpout],
    ['allocstall_normal', vmstat.allocstall],
    ['pgactivate', vmstat.pgactivate],
    ['pgdeactivate', vmstat.pgdeactivate],
    ['pglazyfree', vmstat.pglazyfree],
    ['pgfault', vmstat.pgfault],
    ['pgmajfault', vmstat.pgmajfault],
    ['pgcow', vmstat.pgcow],
    ['pgreuse', vmstat.pgreuse],
    ...reclaimCounters(vmstat),
    ['oom_kill', vmstat.oomKill],
    ...cowCounters(vmstat),
  ];
  return counters.map(([name, value]) => `${name} ${value}\n`).join('');
}

/** Free blocks by order; single frames in the allocator's stack are in none. @linux mm/vmstat.c:frag_show */
export function showBuddyinfo(kernel: Kernel): string {
  const { freeHead, page } = kernel.pgdat;
  let text = `Node 0, zone ${'Normal'.padStart(8)} `;
  for (let order = 0; order <= MAX_ORDER; order++) {
    let blocks = 0;
    for (let pfn = freeHead[order]!; pfn !== 0; pfn = page.lruNext[pfn]!) blocks++;
    text += `${padNumber(blocks, 6)} `;
  }
  return `${text}\n`;
}

/** The rows of one node, which holds all memory. @linux drivers/base/node.c:node_read_meminfo */
export function showNodeMeminfo(kernel: Kernel): string {
  const { managedFrames, freeFrames } = kernel.pgdat;
  const rows = [
    pagesRow('MemTotal', managedFrames),
    pagesRow('MemFree', freeFrames),
    pagesRow('MemUsed', managedFrames - freeFrames),
  ];
  return rows.map((text) => `Node 0 ${text}`).join('');
}
