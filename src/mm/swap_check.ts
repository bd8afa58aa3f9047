/** Recounts swap slots and compares, for page_table_check.ts. */

import { PTE_SWP_EXCLUSIVE, type Pte } from '../arch/riscv/pgtable.ts';
import { bug } from '../lib/assert.ts';
import type { PgData } from './mm_types.ts';
import { PG_SWAPCACHE } from './page.ts';
import {
  mkSwapEntry,
  pteToSwapEntry,
  SWAP_ENTRY_POISONED,
  SWAP_MAP_BAD,
  SWAPFILE_CLUSTER,
  type SwapEntry,
  type SwapInfo,
} from './swap_types.ts';
import { swapCount } from './swapfile.ts';

export class SwapRecount {
  private readonly pgdat: PgData;
  /** Entries of distinct tables and of page caches that name a slot. */
  private readonly counts = new Map<SwapEntry, number>();

  constructor(pgdat: PgData) {
    this.pgdat = pgdat;
  }

  countEntry(entry: SwapEntry): void {
    if (entry === SWAP_ENTRY_POISONED) return;
    this.counts.set(entry, (this.counts.get(entry) ?? 0) + 1);
  }

  countPte(pte: Pte): void {
    const entry = pteToSwapEntry(pte);
    this.countEntry(entry);
    if ((pte & PTE_SWP_EXCLUSIVE) !== 0 && swapCount(this.pgdat, entry) !== 1) {
      bug(`swap check: slot ${entry} is exclusive and named ${swapCount(this.pgdat, entry)} times`);
    }
  }

  /** Compares, and adds the swap cache's references to `cached`. */
  check(cached: Int32Array): void {
    const { swap } = this.pgdat;
    let total = 0;
    let free = 0;
    let pages = 0;
    for (const area of swap.active) {
      total += area.pages;
      free += area.pages - area.inUse;
      pages += this.checkArea(area, cached);
    }
    if (swap.totalPages !== total || swap.freePages !== free) {
      bug(
        `swap check: ${swap.freePages} of ${swap.totalPages} slots free, want ${free} of ${total}`,
      );
    }
    if (swap.cachedPages !== pages) bug(`swap check: ${swap.cachedPages} cached, want ${pages}`);
    if (this.counts.size !== 0)
      bug(`swap check: entry ${[...this.counts.keys()][0]} names no slot`);
  }

  /** @returns pages of the area in the swap cache. */
  private checkArea(area: SwapInfo, cached: Int32Array): number {
    const { flags, private: entries } = this.pgdat.page;
    let inUse = 0;
    let pages = 0;
    const free = new Int32Array(area.clusterFree.length);
    for (let offset = 0; offset < area.map.length; offset++) {
      const entry = mkSwapEntry(area.type, offset);
      const count = area.map[offset]!;
      if (count === SWAP_MAP_BAD) continue;
      const want = this.counts.get(entry) ?? 0;
      if (count !== want) bug(`swap check: slot ${offset} is named ${count} times, want ${want}`);
      this.counts.delete(entry);
      const pfn = area.cache[offset]!;
      if (count !== 0 || pfn !== 0) inUse++;
      else free[Math.floor(offset / SWAPFILE_CLUSTER)]!++;
      if (pfn === 0) continue;
      pages++;
      cached[pfn]!++;
      if ((flags[pfn]! & PG_SWAPCACHE) === 0 || entries[pfn] !== entry) {
        bug(`swap check: frame ${pfn} does not know that it is cached for slot ${offset}`);
      }
    }
    if (area.inUse !== inUse) bug(`swap check: ${area.inUse} slots in use, want ${inUse}`);
    for (let i = 0; i < free.length; i++) {
      if (free[i] !== area.clusterFree[i]) bug(`swap check: free slots of cluster ${i}`);
    }
    return pages;
  }
}
