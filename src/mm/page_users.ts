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

import { ptePfn, ptePresent, type Pfn, type Pte } from '../arch/riscv/pgtable.ts';
import { vmaAddress } from './anon_vma.ts';
import { AddressSpace, type AnonVma, type PgData, type Vma } from './mm_types.ts';
import { NO_PFN } from './page.ts';
import { NO_PTEP, ptePtrOf } from './pgtable.ts';

/** @returns 1 when `vma` maps the page, whose offset in its mapping is `index`, else 0. */
function vmaMaps(pgdat: PgData, vma: Vma, index: number, pfn: Pfn): number {
  const addr = vmaAddress(vma, index);
  const ptep = addr < 0 ? NO_PTEP : ptePtrOf(vma.mm, addr);
  if (ptep === NO_PTEP) return 0;
  const pte = pgdat.ram.u32[ptep] as Pte;
  return ptePresent(pte) && ptePfn(pte) === pfn ? 1 : 0;
}

function anonUsers(pgdat: PgData, anonVma: AnonVma, index: number, pfn: Pfn): number {
  const { chain } = anonVma;
  let users = 0;
  for (let i = 0; i < chain.length; i++) users += vmaMaps(pgdat, chain[i]!.vma, index, pfn);
  return users;
}

function fileUsers(mapping: AddressSpace, index: number, pfn: Pfn): number {
  const { pgdat, iMmap } = mapping;
  let users = 0;
  for (let i = 0; i < iMmap.length; i++) users += vmaMaps(pgdat, iMmap[i]!, index, pfn);
  return users;
}

/**
 * Pairs of address space and address that map the page; 0 for a page that nobody maps.
 * `pfn` names a page, not a table or a free frame. Costs a look-up for each VMA of its reverse map.
 */
export function pageUsers(pgdat: PgData, pfn: Pfn): number {
  const { page } = pgdat;
  if (page.mapcount[pfn] === 0 || page.mapping[pfn] === 0) return 0;
  const owner = pgdat.mappings.get(page.mapping[pfn]! >> 1);
  const index = page.index[pfn]!;
  return owner instanceof AddressSpace
    ? fileUsers(owner, index, pfn)
    : anonUsers(pgdat, owner, index, pfn);
}

/** What a walk over one address space remembers about the leaf table it is in. */
export class PageUsersWalk {
  table = NO_PFN;
  users = 0;
}

/**
 * As pageUsers(), for a page that an entry of the leaf table `table` maps. All pages that only
 * this table maps have the same users, so one of them is counted for each table.
 */
export function pageUsersVia(walk: PageUsersWalk, pgdat: PgData, table: Pfn, pfn: Pfn): number {
  if (pgdat.page.mapcount[pfn] !== 1) return pageUsers(pgdat, pfn);
  if (walk.table !== table) {
    walk.users = pageUsers(pgdat, pfn);
    walk.table = table;
  }
  return walk.users;
}
