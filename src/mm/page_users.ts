/**
 * Who maps a page. `mapcount` counts entries of distinct tables, so behind a shared table
 * there are more users than it says: here each pair of an address space and an address that
 * reaches the page counts, at whatever level of the tables the paths meet.
 *
 *     mm A -- PMD --S--> T --> page        mapcount 2 (T and U), users 3
 *     mm B -- PMD --S-/
 *     mm C -- PMD -----> U -/
 *
 * The candidates come from the reverse map: every VMA that may map the page, at the one address
 * where it would. What its page table says there decides.
 */

import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import {
  entryPtr,
  LEVEL_PTE,
  mkPte,
  PMD_SIZE,
  pteIndex,
  ptePresent,
  PTE_SWP_EXCLUSIVE,
  PTE_SWP_SOFT_DIRTY,
  PTE_V,
  type Pfn,
  type Pte,
  type Vaddr,
} from '../arch/riscv/pgtable.ts';
import { lowHalf } from '../lib/bits.ts';
import { vmaAddress } from './anon_vma.ts';
import { AddressSpace, type AnonVma, type PgData, type Vma } from './mm_types.ts';
import { NO_PFN } from './page.ts';
import { rmapWalk } from './page_vma_mapped.ts';
import { NO_PTEP, ptePtrOf, tableAt } from './pgtable.ts';
import { pteToSwapEntry } from './swap_types.ts';
import { swapCount } from './swapfile.ts';

/**
 * Pairs of address space and address that map the page; 0 for a page that nobody maps.
 * `pfn` names a page, not a table or a free frame. Costs a look-up for each VMA of its reverse map.
 */
export function pageUsers(pgdat: PgData, pfn: Pfn): number {
  if (pgdat.page.mapcount[pfn] === 0) return 0;
  rmapWalk(pgdat, pfn);
  return pgdat.rmap.nrVmas;
}

/**
 * The leaf tables that map what one leaf table maps of one mapping: a fork tree has them at
 * the same address, so they are looked up once and not for every page.
 */
class TableUsers {
  /** page.mapping of the pages, and the offset of the one at slot 0. */
  readonly owner: number;
  readonly index: number;
  /** Distinct tables, and how many pairs of address space and address reach each. */
  readonly tables: Pfn[] = [];
  readonly users: number[] = [];
  /** Those of the table that is being walked. */
  own = 0;
  /** No table has two users: mapcount says it all. */
  alone = true;
  /** Some mapping is not at the same place within its tables: there is nothing to remember. */
  oblique = false;

  constructor(owner: number, index: number) {
    this.owner = owner;
    this.index = index;
  }
}

/** What of an entry says that it maps this frame. */
const PFN_BITS = mkPte(0xf_ffff as Pfn, PTE_V);
/** What of an entry that is not present says which slot of swap it means. */
const SLOT_BITS = ~(PTE_SWP_EXCLUSIVE | PTE_SWP_SOFT_DIRTY);

/** What a walk over one address space remembers about the leaf table it is in. */
export class PageUsersWalk {
  readonly pgdat: PgData;
  table = NO_PFN;
  known: TableUsers[] = [];

  constructor(pgdat: PgData) {
    this.pgdat = pgdat;
  }
}

function addTable(known: TableUsers, table: Pfn): void {
  const at = known.tables.indexOf(table);
  if (at < 0) {
    known.tables.push(table);
    known.users.push(1);
  } else {
    known.users[at]!++;
    known.alone = false;
  }
}

/** Where `vma` has, or would have, offset known.index. */
function baseIn(known: TableUsers, vma: Vma): Vaddr {
  return vma.start + ((known.index - lowHalf(vma.pgoff)) | 0) * PAGE_SIZE;
}

/** Adds the table through which `vma` maps pages from offset known.index on. */
function addVma(known: TableUsers, vma: Vma, partial: Vma[]): void {
  const base = baseIn(known, vma);
  if (base + PMD_SIZE <= vma.start || base >= vma.end) return;
  if (base % PMD_SIZE !== 0) {
    known.oblique = true;
    return;
  }
  if (base < vma.start || base + PMD_SIZE > vma.end) {
    // Two VMAs of one address space in one table are one pair for each of its pages.
    for (let i = 0; i < partial.length; i++) {
      if (partial[i]!.mm === vma.mm && baseIn(known, partial[i]!) === base) return;
    }
    partial.push(vma);
  }
  const table = tableAt(vma.mm, base, LEVEL_PTE);
  if (table !== NO_PFN) addTable(known, table);
}

function gatherTables(walk: PageUsersWalk, owner: number, index: number): TableUsers {
  const known = new TableUsers(owner, index);
  const mapping = walk.pgdat.mappings.get(owner >> 1);
  const partial: Vma[] = [];
  if (mapping instanceof AddressSpace) {
    for (let i = 0; i < mapping.iMmap.length; i++) addVma(known, mapping.iMmap[i]!, partial);
  } else {
    const { chain } = mapping;
    for (let i = 0; i < chain.length; i++) addVma(known, chain[i]!.vma, partial);
  }
  known.own = known.users[known.tables.indexOf(walk.table)] ?? 0;
  walk.known.push(known);
  return known;
}

/** What is known of the tables that map offset `index` of a mapping where walk.table has slot 0. */
function tablesOf(walk: PageUsersWalk, owner: number, index: number): TableUsers {
  const { known } = walk;
  for (let i = 0; i < known.length; i++) {
    if (known[i]!.owner === owner && known[i]!.index === index) return known[i]!;
  }
  return gatherTables(walk, owner, index);
}

/**
 * As pageUsers(), for the page that entry `slot` of the leaf table `table` maps.
 * @hot for each page of a process.
 */
export function pageUsersVia(walk: PageUsersWalk, table: Pfn, slot: number, pfn: Pfn): number {
  enterTable(walk, table);
  const { pgdat } = walk;
  const { page } = pgdat;
  const index = (page.index[pfn]! - slot) | 0;
  const known = tablesOf(walk, page.mapping[pfn]!, index);
  if (known.oblique) return pageUsers(pgdat, pfn);
  const mapcount = page.mapcount[pfn]!;
  if (mapcount === 1) return known.own;
  if (known.alone) return mapcount;
  return usersOfEntry(walk, known, slot, mkPte(pfn, PTE_V), mapcount);
}

function enterTable(walk: PageUsersWalk, table: Pfn): void {
  if (walk.table === table) return;
  walk.table = table;
  walk.known = [];
}

/** Users of those of the known tables whose entry `slot` names what `pte` does; there are `count` of them. */
function usersOfEntry(
  walk: PageUsersWalk,
  known: TableUsers,
  slot: number,
  pte: Pte,
  count: number,
): number {
  const { u32 } = walk.pgdat.ram;
  const mask = ptePresent(pte) ? PFN_BITS : SLOT_BITS;
  const { tables, users } = known;
  let found = 0;
  let total = 0;
  for (let i = 0; i < tables.length && found < count; i++) {
    if ((u32[entryPtr(tables[i]!, slot)]! & mask) !== (pte & mask)) continue;
    found++;
    total += users[i]!;
  }
  return total;
}

/** Looks for a swap entry at the one address in each VMA that may have inherited it. */
function swapUsersAnywhere(pgdat: PgData, root: AnonVma, index: number, pte: Pte): number {
  let users = 0;
  for (let i = 0; i < root.chain.length; i++) {
    const { vma } = root.chain[i]!;
    const addr = vmaAddress(vma, index);
    const ptep = addr < 0 ? NO_PTEP : ptePtrOf(vma.mm, addr);
    if (ptep !== NO_PTEP && ((pgdat.ram.u32[ptep]! ^ pte) & SLOT_BITS) === 0) users++;
  }
  return users;
}

/**
 * Pairs of address space and address that have the swap entry `pte`, which the leaf table
 * `table` holds for `addr` of `vma`. Whoever has it too got it by fork from the VMA that the
 * first AnonVma of the chain was made for, so that one knows them all.
 */
export function swapUsersVia(
  walk: PageUsersWalk,
  vma: Vma,
  table: Pfn,
  addr: Vaddr,
  pte: Pte,
): number {
  const { pgdat } = walk;
  enterTable(walk, table);
  const count = swapCount(pgdat, pteToSwapEntry(pte));
  const root = vma.anonVmaChain[0]?.anonVma;
  if (root === undefined) return count;
  const slot = pteIndex(addr);
  const index = lowHalf(vma.pgoff + (addr - vma.start) / PAGE_SIZE);
  const known = tablesOf(walk, root.id, (index - slot) | 0);
  if (known.oblique) return swapUsersAnywhere(pgdat, root, index, pte);
  if (count === 1) return known.own;
  if (known.alone) return count;
  return usersOfEntry(walk, known, slot, pte, count);
}
