/** Dropping clean page cache on request (/proc/sys/vm/drop_caches). @linux fs/drop_caches.c */

import type { Pfn } from '../arch/riscv/pgtable.ts';
import { LAST_INDEX } from './address_space.ts';
import { AddressSpace, type PgData } from './mm_types.ts';
import { PG_DIRTY } from './page.ts';
import { deleteFromPageCache } from './truncate.ts';

/** Pages of files that can be read again and that nobody maps or holds. @linux mm/truncate.c:invalidate_mapping_pages */
export function dropPagecache(pgdat: PgData): void {
  const { refcount, flags } = pgdat.page;
  pgdat.mappings.forEach((mapping) => {
    if (!(mapping instanceof AddressSpace) || mapping.ops.readFolio === undefined) return;
    mapping.pages.forEach(0, LAST_INDEX, (index, value) => {
      const pfn = value as Pfn;
      if (value > 0 && refcount[pfn] === 1 && (flags[pfn]! & PG_DIRTY) === 0) {
        deleteFromPageCache(mapping, index);
      }
    });
  });
}
