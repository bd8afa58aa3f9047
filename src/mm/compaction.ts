/**
 * Compaction: making contiguous free memory by moving pages from the low end of memory into
 * free frames at its high end.
 *
 *     | P . P P . . P . T . . P . . . . |      P movable, T not, . free
 *       -> migrate scanner   free scanner <-
 *     | . . . . . . . . T . P P P P P P |
 *
 * @linux mm/compaction.c
 */

import type { Pfn } from '../arch/riscv/pgtable.ts';
import { migratePage } from './migrate.ts';
import type { PgData } from './mm_types.ts';
import { drainPcp, freePages, takeFreeBlock } from './page_alloc.ts';
import { NO_PFN, PG_BUDDY, PG_LRU } from './page.ts';
import { flushTlbEveryone } from './tlbflush.ts';

/** Where the two scanners are. */
interface CompactControl {
  readonly pgdat: PgData;
  /** The next frame whose page may move. */
  migratePfn: number;
  /** Frames from here on have been looked through for free ones. */
  freePfn: number;
  /** A block taken from the allocator: frames used up so far, and its end. */
  next: number;
  end: number;
}

/** Takes the highest free block below the free scanner. @returns false when the scanners meet. @linux mm/compaction.c:isolate_freepages */
function isolateFreepages(cc: CompactControl): boolean {
  const { pgdat } = cc;
  const { flags, private: orders } = pgdat.page;
  for (let pfn = cc.freePfn - 1; pfn > cc.migratePfn; pfn--) {
    pgdat.vmstat.compactFreeScanned++;
    if (flags[pfn] !== PG_BUDDY) continue;
    cc.freePfn = pfn;
    cc.next = pfn;
    cc.end = pfn + (1 << orders[pfn]!);
    takeFreeBlock(pgdat, pfn as Pfn);
    return true;
  }
  return false;
}

/** A free frame above the migrate scanner. @returns NO_PFN when there is none. @linux mm/compaction.c:compaction_alloc */
function compactionAlloc(cc: CompactControl): Pfn {
  if (cc.next === cc.end && !isolateFreepages(cc)) return NO_PFN;
  return cc.next++ as Pfn;
}

/**
 * Moves what can be moved to the high end of memory.
 * @linux mm/compaction.c:compact_zone
 */
export function compactZone(pgdat: PgData): void {
  const { firstFrame, nrFrames } = pgdat.ram.layout;
  const cc: CompactControl = { pgdat, migratePfn: firstFrame, freePfn: nrFrames, next: 0, end: 0 };
  const { flags } = pgdat.page;
  pgdat.vmstat.compactStall++;
  drainPcp(pgdat, 0);
  for (; cc.migratePfn < cc.freePfn; cc.migratePfn++) {
    pgdat.vmstat.compactMigrateScanned++;
    if ((flags[cc.migratePfn]! & PG_LRU) === 0) continue;
    const to = compactionAlloc(cc);
    if (to === NO_PFN) break;
    if (!migratePage(pgdat, cc.migratePfn as Pfn, to)) cc.next--;
  }
  for (; cc.next < cc.end; cc.next++) freePages(pgdat, cc.next as Pfn, 0);
  drainPcp(pgdat, 0);
  flushTlbEveryone(pgdat);
}
