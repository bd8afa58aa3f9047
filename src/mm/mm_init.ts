/** Building one machine's memory manager. @linux mm/mm_init.c */

import { initTlb } from '../arch/riscv/tlb.ts';
import type { Ram } from '../arch/riscv/ram.ts';
import { PgData } from './mm_types.ts';
import { allocZeroedPage, initPageAlloc } from './page_alloc.ts';
import { PG_RESERVED } from './page.ts';
import { tryToFreePages } from './vmscan.ts';

/** A memory manager over a fresh Ram: allocator, zero page, reclaim. */
export function createPgData(ram: Ram): PgData {
  const pgdat = new PgData(ram);
  initTlb(ram);
  initPageAlloc(pgdat);
  pgdat.zeroPfn = allocZeroedPage(pgdat);
  pgdat.page.flags[pgdat.zeroPfn] = PG_RESERVED;
  pgdat.managedFrames--;
  pgdat.reclaim = (wanted) => tryToFreePages(pgdat, wanted);
  return pgdat;
}
