/**
 * The LRU lists: every page that reclaim may take is on one, the newest at the head.
 *
 *     fault, read      -> inactive head ... inactive tail -> reclaim (vmscan.ts)
 *     used twice       -> active head   ... active tail   -> back to inactive
 *     VM_LOCKED, found by reclaim       -> unevictable, until something is unlocked
 *
 * Anonymous memory and shared memory, which only swap can take, have lists of their own;
 * MADV_FREE'd pages are on the file lists, because dropping them costs no more.
 *
 * The heads are the struct pages of the kernel's own first frames, so a list is a ring and
 * neither adding nor removing a page has a case to tell apart. A list holds no references: a
 * page leaves it when it is freed.
 *
 * @linux mm/swap.c, include/linux/mm_inline.h
 */

import type { Pfn } from '../arch/riscv/pgtable.ts';
import type { PgData } from './mm_types.ts';
import {
  LRU_ACTIVE,
  LRU_INACTIVE_ANON,
  LRU_INACTIVE_FILE,
  LRU_UNEVICTABLE,
  NR_LRU_LISTS,
  PG_ACTIVE,
  PG_ANON,
  PG_LAZYFREE,
  PG_LRU,
  PG_REFERENCED,
  PG_SWAPBACKED,
  PG_UNEVICTABLE,
} from './page.ts';

/** The first head's frame; frame 0 stands for no frame. */
const LRU_HEAD_BASE = 1;

/** The frame whose struct page is the head of a list. */
export function lruHead(lru: number): number {
  return LRU_HEAD_BASE + lru;
}

/** Empties the lists. Call once. */
export function initLru(pgdat: PgData): void {
  const { lruNext, lruPrev } = pgdat.page;
  for (let lru = 0; lru < NR_LRU_LISTS; lru++) {
    lruNext[lruHead(lru)] = lruHead(lru);
    lruPrev[lruHead(lru)] = lruHead(lru);
  }
}

/** @returns true when only swap can take the page. @linux include/linux/mm_inline.h:folio_is_file_lru (the opposite) */
export function anonLru(flags: number): boolean {
  return (flags & (PG_ANON | PG_SWAPBACKED)) !== 0 && (flags & PG_LAZYFREE) === 0;
}

/** The list for a page with these PG_* flags. @linux include/linux/mm_inline.h:folio_lru_list */
export function folioLruList(flags: number): number {
  if ((flags & PG_UNEVICTABLE) !== 0) return LRU_UNEVICTABLE;
  const kind = anonLru(flags) ? LRU_INACTIVE_ANON : LRU_INACTIVE_FILE;
  return (flags & PG_ACTIVE) === 0 ? kind : kind + LRU_ACTIVE;
}

function link(pgdat: PgData, pfn: number, after: number): void {
  const { lruNext, lruPrev } = pgdat.page;
  const next = lruNext[after]!;
  lruNext[pfn] = next;
  lruPrev[pfn] = after;
  lruPrev[next] = pfn;
  lruNext[after] = pfn;
}

/** Puts a page that is on no list on the list its flags name, as the newest. @hot every new page */
export function lruAdd(pgdat: PgData, pfn: Pfn): void {
  const flags = pgdat.page.flags[pfn]!;
  const lru = folioLruList(flags);
  pgdat.page.flags[pfn] = flags | PG_LRU;
  link(pgdat, pfn, lruHead(lru));
  pgdat.lruSize[lru]!++;
}

/** Takes a page off its list; `flags` are its own, with PG_LRU. @hot every freed page */
export function lruDel(pgdat: PgData, pfn: Pfn, flags: number): void {
  const { lruNext, lruPrev } = pgdat.page;
  const next = lruNext[pfn]!;
  const prev = lruPrev[pfn]!;
  lruNext[prev] = next;
  lruPrev[next] = prev;
  pgdat.lruSize[folioLruList(flags)]!--;
  pgdat.page.flags[pfn] = flags & ~PG_LRU;
}

/** Changes flags that decide which list a page is on; it becomes the newest there. */
function moveTo(pgdat: PgData, pfn: Pfn, clear: number, set: number): void {
  const { flags } = pgdat.page;
  const old = flags[pfn]!;
  if ((old & PG_LRU) === 0) {
    flags[pfn] = (old & ~clear) | set;
    return;
  }
  lruDel(pgdat, pfn, old);
  flags[pfn] = (flags[pfn]! & ~clear) | set;
  lruAdd(pgdat, pfn);
}

/** Makes a page active: it has been used repeatedly. @linux mm/swap.c:folio_activate */
export function folioActivate(pgdat: PgData, pfn: Pfn): void {
  if ((pgdat.page.flags[pfn]! & (PG_ACTIVE | PG_UNEVICTABLE)) !== 0) return;
  moveTo(pgdat, pfn, PG_REFERENCED, PG_ACTIVE);
  pgdat.vmstat.pgactivate++;
}

/** Makes a page inactive and forgets that it was used (MADV_COLD). @linux mm/swap.c:folio_deactivate */
export function folioDeactivate(pgdat: PgData, pfn: Pfn): void {
  if ((pgdat.page.flags[pfn]! & (PG_LRU | PG_UNEVICTABLE)) !== PG_LRU) return;
  if ((pgdat.page.flags[pfn]! & PG_ACTIVE) !== 0) pgdat.vmstat.pgdeactivate++;
  moveTo(pgdat, pfn, PG_ACTIVE | PG_REFERENCED, 0);
}

/**
 * Makes an anonymous page one that is dropped under pressure instead of swapped out. The
 * caller has found it mapped once and in no swap cache, and cleared the entry's A and D.
 * @linux mm/swap.c:folio_mark_lazyfree
 */
export function folioMarkLazyfree(pgdat: PgData, pfn: Pfn): void {
  const flags = pgdat.page.flags[pfn]!;
  if ((flags & (PG_LRU | PG_LAZYFREE | PG_UNEVICTABLE)) !== PG_LRU) return;
  moveTo(pgdat, pfn, PG_ACTIVE | PG_REFERENCED, PG_LAZYFREE);
  pgdat.vmstat.pglazyfree++;
}

/** A read or write of a page of a file: the second makes it active. @linux mm/swap.c:folio_mark_accessed */
export function folioMarkAccessed(pgdat: PgData, pfn: Pfn): void {
  const flags = pgdat.page.flags[pfn]!;
  if ((flags & PG_REFERENCED) === 0) pgdat.page.flags[pfn] = flags | PG_REFERENCED;
  else if ((flags & PG_ACTIVE) === 0) folioActivate(pgdat, pfn);
}

/**
 * Gives the pages that were found locked another chance after something was unlocked: reclaim
 * looks at each once more.
 * @linux mm/vmscan.c:check_move_unevictable_folios
 */
export function rescueUnevictable(pgdat: PgData): void {
  pgdat.munlocked = false;
  const { lruPrev } = pgdat.page;
  const head = lruHead(LRU_UNEVICTABLE);
  for (let pfn = lruPrev[head] as Pfn; (pfn as number) !== head; pfn = lruPrev[head] as Pfn) {
    moveTo(pgdat, pfn, PG_UNEVICTABLE | PG_ACTIVE, 0);
    pgdat.vmstat.unevictablePgsRescued++;
  }
}
