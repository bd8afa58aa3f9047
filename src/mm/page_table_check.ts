/**
 * Recounts everything from the page tables and compares: table references, mapcounts, page
 * references, per-table counters, free frames, VMA order, TLB contents. For tests and --debug.
 *
 * @linux mm/page_table_check.c (the idea; the invariants are those of src/mm/README.md)
 */

import {
  entryPtr,
  LEVEL_PGD,
  LEVEL_PTE,
  LEVEL_SIZE,
  PTE_MARKER_GUARD,
  PTE_MARKER_POISONED,
  pteIsGuard,
  ptePfn,
  PTE_D,
  PTE_PATH_RO,
  PTE_SHARED,
  PTE_SOFT_DIRTY,
  PTE_SPECIAL,
  PTE_V,
  PTE_W,
  PTRS_PER_TABLE,
  SWP_MIGRATION_READ,
  SWP_MIGRATION_WRITE,
  SWP_PTE_MARKER,
  swpOffset,
  swpType,
  type Pfn,
  type Pte,
  type Vaddr,
} from '../arch/riscv/pgtable.ts';
import { PAGE_SIZE, TLB_ENTRIES, TLB_READ_BASE, TLB_WRITE_BASE } from '../arch/riscv/memlayout.ts';
import { bug } from '../lib/assert.ts';
import { fromHalves } from '../lib/bits.ts';
import { LAST_INDEX } from './address_space.ts';
import { pageReferencedExclusive } from './copy_pte.ts';
import { checkLru } from './lru_check.ts';
import {
  AddressSpace,
  MM_ANONPAGES,
  MM_FILEPAGES,
  MM_SHMEMPAGES,
  MM_SWAPENTS,
  NR_MM_COUNTERS,
  type MmStruct,
  type PgData,
  type Vma,
} from './mm_types.ts';
import {
  PG_ANON_EXCLUSIVE,
  PG_BUDDY,
  PG_RESERVED,
  PG_SWAPBACKED,
  PG_TABLE,
  PG_TABLE_NOSHARE,
  PG_TABLE_PINNED,
  pageAnon,
  tableLevel,
} from './page.ts';
import { pathFlags, ptePtrOf, tableAt } from './pgtable.ts';
import { SwapRecount } from './swap_check.ts';
import { isSwapPte, valueToSwapEntry } from './swap_types.ts';
import { VM_MAYBE_GUARD, VM_SHARED, VM_SOFTDIRTY, VM_UNSHAREABLE, vmaPages } from './vma.ts';

class Recount {
  readonly pgdat: PgData;
  /** Parent entries seen naming a table. */
  readonly tableRefs: Int32Array;
  /** Leaf entries of distinct tables naming a page. */
  readonly mapcount: Int32Array;
  /** Slots of page caches and of the swap cache naming a page. */
  readonly cached: Int32Array;
  /** References and pins that the caller knows of, by frame. */
  readonly held: ReadonlyMap<number, number>;
  readonly swap: SwapRecount;
  tables = 0;

  constructor(pgdat: PgData, held: ReadonlyMap<number, number>) {
    this.pgdat = pgdat;
    this.held = held;
    const { nrFrames } = pgdat.ram.layout;
    this.tableRefs = new Int32Array(nrFrames);
    this.mapcount = new Int32Array(nrFrames);
    this.cached = new Int32Array(nrFrames);
    this.swap = new SwapRecount(pgdat);
  }
}

function expect(got: number, want: number, what: string): void {
  if (got !== want) bug(`page table check: ${what} is ${got}, want ${want}`);
}

function checkAnonEntry(pgdat: PgData, pte: Pte, pfn: Pfn): void {
  const { page } = pgdat;
  const exclusive = (page.flags[pfn]! & PG_ANON_EXCLUSIVE) !== 0;
  if ((pte & PTE_W) !== 0 && !exclusive)
    bug(`page table check: frame ${pfn} is writable, not exclusive`);
  if (exclusive) expect(page.mapcount[pfn]!, 1, `mapcount of exclusive frame ${pfn}`);
  pgdat.mappings.get(page.mapping[pfn]! >> 1);
}

/** @returns true for an entry that its table counts as swap. */
function checkAbsentEntry(state: Recount, pte: Pte): boolean {
  const type = swpType(pte);
  if (pte === 0) return false;
  if (isSwapPte(pte)) {
    state.swap.countPte(pte);
    return true;
  }
  if (type === SWP_MIGRATION_READ || type === SWP_MIGRATION_WRITE) return false;
  const known = PTE_MARKER_GUARD | PTE_MARKER_POISONED;
  if (type !== SWP_PTE_MARKER || (swpOffset(pte) & ~known) !== 0)
    bug(`page table check: entry ${pte.toString(16)} is nothing known`);
  return false;
}

/** Counts the pages of one leaf table, which is visited once however many parents it has. */
function countLeaf(state: Recount, table: Pfn): void {
  const { pgdat, mapcount } = state;
  const { page, ram } = pgdat;
  let anon = 0;
  let file = 0;
  let shmem = 0;
  let swap = 0;
  for (let i = 0; i < PTRS_PER_TABLE; i++) {
    const ptep = entryPtr(table, i);
    const pte = ram.u32[ptep] as Pte;
    expect(ram.u32[ptep + 1]!, 0, `high word of entry ${i} of table ${table}`);
    if ((pte & PTE_V) === 0) {
      if (checkAbsentEntry(state, pte)) swap++;
      continue;
    }
    const pfn = ptePfn(pte);
    if ((pte & PTE_SPECIAL) !== 0) {
      expect(pfn, pgdat.zeroPfn, 'special entry');
      if ((pte & (PTE_W | PTE_D)) !== 0) bug('page table check: writable zero page');
      continue;
    }
    mapcount[pfn]!++;
    if (pageAnon(page, pfn)) {
      anon++;
      checkAnonEntry(pgdat, pte, pfn);
    } else if ((page.flags[pfn]! & PG_SWAPBACKED) !== 0) shmem++;
    else file++;
  }
  expect(page.ptAnon[table]!, anon, `anon count of table ${table}`);
  expect(page.ptFile[table]!, file, `file count of table ${table}`);
  expect(page.ptShmem[table]!, shmem, `shmem count of table ${table}`);
  expect(page.ptSwap[table]!, swap, `swap count of table ${table}`);
}

function countTable(state: Recount, table: Pfn, level: number): void {
  const { pgdat, tableRefs } = state;
  const { page, ram } = pgdat;
  if ((page.flags[table]! & PG_TABLE) === 0) bug(`page table check: frame ${table} is no table`);
  expect(tableLevel(page.flags[table]!), level, `level of table ${table}`);
  if (tableRefs[table]!++ !== 0) return;
  expect(page.flags[table]! & PG_TABLE_NOSHARE, 0, `fork mark of table ${table}`);
  state.tables++;
  if (level === LEVEL_PTE) {
    countLeaf(state, table);
    return;
  }
  for (let i = 0; i < PTRS_PER_TABLE; i++) {
    const entry = ram.u32[entryPtr(table, i)] as Pte;
    if (entry === 0) continue;
    const child = ptePfn(entry);
    const shared = (entry & PTE_SHARED) !== 0;
    if (page.ptRefs[child]! > 1 && !shared)
      bug(`page table check: table ${child} has an unmarked parent`);
    countTable(state, child, level - 1);
  }
}

function checkPages(state: Recount): void {
  const { pgdat, tableRefs, mapcount, cached } = state;
  const { page, ram } = pgdat;
  const { nrFrames, firstFrame } = ram.layout;
  let free = 0;
  for (let pfn = firstFrame; pfn < nrFrames; pfn++) {
    const flags = page.flags[pfn]!;
    if ((flags & PG_RESERVED) !== 0) continue;
    if ((flags & PG_BUDDY) !== 0) {
      const order = page.private[pfn]!;
      free += 1 << order;
      for (let i = 0; i < 1 << order; i++) {
        if (mapcount[pfn + i] !== 0 || tableRefs[pfn + i] !== 0)
          bug(`page table check: free frame ${pfn + i} in use`);
      }
      pfn += (1 << order) - 1;
      continue;
    }
    if ((flags & PG_TABLE) !== 0) {
      expect(page.ptRefs[pfn]!, tableRefs[pfn]!, `references of table ${pfn}`);
      continue;
    }
    if (page.refcount[pfn] === 0) {
      expect(mapcount[pfn]!, 0, `mappings of free frame ${pfn}`);
      continue;
    }
    expect(page.mapcount[pfn]!, mapcount[pfn]!, `mapcount of frame ${pfn}`);
    const want = mapcount[pfn]! + cached[pfn]! + (state.held.get(pfn) ?? 0);
    expect(page.refcount[pfn]!, want, `references of frame ${pfn}`);
  }
  expect(free + pgdat.pcpCount, pgdat.freeFrames, 'frames in the free lists');
}

function checkVmas(mm: MmStruct): void {
  let end = 0;
  let pages = 0;
  let unshareable = 0;
  for (const vma of mm.vmas) {
    if (vma.start < end || vma.end <= vma.start)
      bug(`page table check: vma ${vma.start.toString(16)} out of order`);
    if (vma.mm !== mm) bug('page table check: vma of another mm');
    end = vma.end;
    pages += vmaPages(vma);
    if ((vma.flags & VM_UNSHAREABLE) !== 0) unshareable++;
  }
  expect(mm.totalVm, pages, 'total_vm');
  expect(mm.unshareableVmas, unshareable, 'unshareable vmas');
}

/**
 * Whatever a table maps for an mm lies in a VMA of it that may map such a page; nothing pinned
 * is reached through a shared path, and the tables above it say so. Counts the pages in `rss`.
 */
function checkCovered(
  mm: MmStruct,
  table: Pfn,
  level: number,
  base: Vaddr,
  path: number,
  rss: Int32Array,
): void {
  const { ram, page } = mm.pgdat;
  const marked = (page.flags[table]! & PG_TABLE_PINNED) !== 0 || level === LEVEL_PGD;
  if (level === LEVEL_PTE) countRss(mm, table, rss);
  for (let i = 0; i < PTRS_PER_TABLE; i++) {
    const pte = ram.u32[entryPtr(table, i)] as Pte;
    if (pte === 0) continue;
    const addr = base + i * LEVEL_SIZE[level]!;
    if (level !== LEVEL_PTE) {
      checkCovered(mm, ptePfn(pte), level - 1, addr, path | pte, rss);
      const below = page.flags[ptePfn(pte)]! & PG_TABLE_PINNED;
      if (below !== 0 && !marked) bug(`page table check: pins below table ${table} are not marked`);
      continue;
    }
    const vma: Vma | undefined = mm.vmas.find(addr);
    if (vma === undefined || vma.start > addr)
      bug(`page table check: ${addr.toString(16)} mapped without a vma`);
    checkMapped(mm, vma, addr, pte, path);
  }
}

function countRss(mm: MmStruct, table: Pfn, rss: Int32Array): void {
  const { page } = mm.pgdat;
  rss[MM_ANONPAGES]! += page.ptAnon[table]!;
  rss[MM_FILEPAGES]! += page.ptFile[table]!;
  rss[MM_SHMEMPAGES]! += page.ptShmem[table]!;
  rss[MM_SWAPENTS]! += page.ptSwap[table]!;
}

/** A write that needs no fault is to a page that counts as written already. */
function checkSoftDirty(vma: Vma, addr: Vaddr, pte: Pte, path: number): void {
  const tracked = (vma.flags & VM_SOFTDIRTY) === 0 && (path & PTE_PATH_RO) === 0;
  if (tracked && (pte & (PTE_W | PTE_SOFT_DIRTY)) === PTE_W)
    bug(`page table check: soft-clean page at ${addr.toString(16)} is writable`);
}

function checkMapped(mm: MmStruct, vma: Vma, addr: Vaddr, pte: Pte, path: number): void {
  const { page } = mm.pgdat;
  if (pteIsGuard(pte) && (vma.flags & VM_MAYBE_GUARD) === 0)
    bug(`page table check: guard at ${addr.toString(16)} in a vma without guards`);
  if ((pte & (PTE_V | PTE_SPECIAL)) !== PTE_V) return;
  checkSoftDirty(vma, addr, pte, path);
  const pfn = ptePfn(pte);
  if (!pageAnon(page, pfn)) return;
  if ((vma.flags & VM_SHARED) !== 0) {
    bug(`page table check: private page in a shared vma at ${addr.toString(16)}`);
  }
  if (!pageReferencedExclusive(mm.pgdat, pte)) return;
  if ((path & PTE_SHARED) !== 0)
    bug(`page table check: held page on a shared path at ${addr.toString(16)}`);
  if ((page.flags[tableAt(mm, addr, LEVEL_PTE)]! & PG_TABLE_PINNED) === 0)
    bug(`page table check: table with a held page at ${addr.toString(16)} is not marked`);
}

/** The counters of an mm are what its tables count. */
function checkMm(mm: MmStruct): void {
  const rss = new Int32Array(NR_MM_COUNTERS);
  checkCovered(mm, mm.pgd, LEVEL_PGD, 0, 0, rss);
  for (let i = 0; i < NR_MM_COUNTERS; i++) {
    expect(mm.rss[i]!, rss[i]!, `counter ${i} of mm ${mm.id}`);
  }
}

/** What the TLBs say must be what the tables of the active address space say. */
function checkTlb(mm: MmStruct, base: number, write: boolean): void {
  const { i32, u32 } = mm.pgdat.ram;
  for (let slot = 0; slot < TLB_ENTRIES; slot++) {
    const at = (base >> 2) + slot * 4;
    if (i32[at] === -1 && i32[at + 1] === -1) continue;
    const addr = fromHalves(i32[at]!, i32[at + 1]!);
    const frame = ((i32[at + 2]! + i32[at]!) >>> 0) / PAGE_SIZE;
    const ptep = ptePtrOf(mm, addr);
    const pte = (ptep === 0 ? 0 : u32[ptep]) as Pte;
    const readOnly = (pte & PTE_W) === 0 || pathFlags(mm, addr) !== 0;
    if ((pte & PTE_V) === 0 || ptePfn(pte) !== frame || (write && readOnly)) {
      bug(`page table check: stale ${write ? 'write' : 'read'} TLB entry for ${addr.toString(16)}`);
    }
  }
}

/**
 * @param held references that are neither of an entry nor of a cache, by frame: a pin counts
 *   GUP_PIN_COUNTING_BIAS. Others count as wrong.
 * @throws KernelBug naming the first count that is wrong.
 */
export function checkPageTables(
  pgdat: PgData,
  held: ReadonlyMap<number, number> = new Map(),
): void {
  const state = new Recount(pgdat, held);
  pgdat.mms.forEach((mm) => {
    countTable(state, mm.pgd, LEVEL_PGD);
    checkVmas(mm);
    checkMm(mm);
  });
  pgdat.mappings.forEach((mapping) => {
    if (!(mapping instanceof AddressSpace)) return;
    let swapped = 0;
    mapping.pages.forEach(0, LAST_INDEX, (_index, value) => {
      if (value > 0) state.cached[value]!++;
      else swapped++;
      if (value < 0) state.swap.countEntry(valueToSwapEntry(value));
    });
    expect(mapping.swapped, swapped, `pages of mapping ${mapping.id} in swap`);
  });
  state.swap.check(state.cached);
  checkPages(state);
  checkLru(pgdat);
  expect(pgdat.pageTables, state.tables, 'number of page tables');
  const { activeMm } = pgdat;
  if (activeMm === null) return;
  checkTlb(activeMm, TLB_READ_BASE, false);
  checkTlb(activeMm, TLB_WRITE_BASE, true);
}
