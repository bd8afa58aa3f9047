/**
 * Reclaim: gives back clean page-cache pages that nobody maps, when memory is out.
 *
 * @linux mm/vmscan.c
 */

import type { Pfn } from '../arch/riscv/pgtable.ts';
import { AddressSpace, type PgData } from './mm_types.ts';
import { PG_DIRTY } from './page.ts';
import { deleteFromPageCache } from './truncate.ts';

const LAST_INDEX = 2 ** 40;

/** Pages that can be read again from where they came. */
function reclaimable(pgdat: PgData, pfn: Pfn): boolean {
  const { page } = pgdat;
  return page.refcount[pfn] === 1 && (page.flags[pfn]! & PG_DIRTY) === 0;
}

/**
 * Frees about `wanted` frames of files that can be read in again.
 * @returns how many were freed; 0 means that memory really is out.
 */
export function shrinkPageCache(pgdat: PgData, wanted: number): number {
  let freed = 0;
  pgdat.mappings.forEach((mapping) => {
    if (freed >= wanted || !(mapping instanceof AddressSpace)) return;
    if (mapping.ops.readFolio === undefined) return;
    mapping.pages.forEach(0, LAST_INDEX, (index, pfn) => {
      if (freed >= wanted || !reclaimable(pgdat, pfn as Pfn)) return;
      deleteFromPageCache(mapping, index);
      freed++;
    });
  });
  return freed;
}
