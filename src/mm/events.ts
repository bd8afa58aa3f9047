/**
 * What the memory manager tells somebody who watches: pgdat.events, null when nobody does, so
 * that watching costs a test for null where something happens and nothing else. Address spaces
 * are named by their id. Nobody who is told may change anything.
 */

/** How a shared table became private. */
export const BREAK_COPY = 0;
export const BREAK_REUSE = 1;

/** Why fork copied a leaf table instead of sharing it. Each table has the first reason that holds. */
export const FALLBACK_PINNED = 0;
export const FALLBACK_DONTFORK = 1;
export const FALLBACK_WIPEONFORK = 2;
export const FALLBACK_LOCKED = 3;
export const FALLBACK_DEVICE = 4;
export const FALLBACK_NAMES = ['pinned', 'dontfork', 'wipeonfork', 'locked', 'device'] as const;

/** What was done in place, to a table that several address spaces use. */
export const INPLACE_RECLAIM = 0;
export const INPLACE_MKCLEAN = 1;
export const INPLACE_TRUNCATE = 2;
export const INPLACE_SWAPOFF = 3;
export const INPLACE_NAMES = ['reclaim', 'mkclean', 'truncate', 'swapoff'] as const;

export interface MmEvents {
  /** A process was cloned, with an address space of its own. Numbers of processes. */
  forked(parent: number, child: number): void;
  /** Fork named the table of this level at `addr` twice. */
  tableShared(mm: number, addr: number, level: number): void;
  /** Fork copied the leaf table at `addr`. @param reason FALLBACK_*. */
  tableCopied(mm: number, addr: number, reason: number): void;
  /** The table of this level at `addr` became private. @param how BREAK_*. */
  tableBroken(mm: number, addr: number, level: number, how: number): void;
  /** A shared table was let go of whole. */
  tableDropped(mm: number, addr: number, level: number): void;
  /** The program, or the kernel for it, faulted at `addr`. @param flags FAULT_FLAG_*. @param result VM_FAULT_*, 0 = handled. */
  fault(mm: number, addr: number, flags: number, result: number): void;
  /** A page was taken out of memory: `users` mappings of it in `tables` tables; one is at `addr` of `mm`. */
  reclaim(mm: number, addr: number, users: number, tables: number, swapped: boolean): void;
  /** All of an address space counts as not written. */
  softDirtyCleared(mm: number): void;
}
