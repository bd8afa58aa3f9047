/**
 * The software TLBs of the hart, in linear memory: the processor fills them, the kernel
 * invalidates them by writing here. Direct-mapped; entry = virtual page number modulo size.
 *
 *     read and write TLB, 16 bytes:            execute TLB, 16 bytes:
 *     | tag i64: page address  | addend | 0 |  | tag i64: page address | code | 0 |
 *
 * tag is the page's address, or all ones when empty. addend + low 32 bits of the address =
 * offset in the memory. code = offset of the frame's predecoded code (icache.ts).
 *
 * Each TLB counts its fills since the last flush and logs the first TLB_LOG_ENTRIES filled
 * slots, so that flushing after a short run costs what was filled, not the whole array.
 */

import { HART_TLB_FILLS, HART_TLB_LOGS } from './hart_state.ts';
import {
  TLB_ENTRIES,
  TLB_ENTRY_SIZE,
  TLB_EXEC_BASE,
  TLB_EXEC_ENTRIES,
  TLB_READ_BASE,
  TLB_WRITE_BASE,
} from './memlayout.ts';
import { PAGE_SIZE } from './memlayout.ts';
import type { Vaddr } from './pgtable.ts';
import type { Ram } from './ram.ts';

export const TLB_READ = 0;
export const TLB_WRITE = 1;
export const TLB_EXEC = 2;

/** Slots one log holds (u16 each). More fills than this: the flush clears the whole TLB. */
export const TLB_LOG_ENTRIES = 1024;
export const TLB_LOG_BYTES = TLB_LOG_ENTRIES * 2;

const BASE = [TLB_READ_BASE, TLB_WRITE_BASE, TLB_EXEC_BASE] as const;
const ENTRIES = [TLB_ENTRIES, TLB_ENTRIES, TLB_EXEC_ENTRIES] as const;
const ENTRY_WORDS = TLB_ENTRY_SIZE / 4;

/** Empties one TLB. */
export function flushTlbKind(ram: Ram, kind: 0 | 1 | 2): void {
  const { i32 } = ram;
  const countAt = (HART_TLB_FILLS >> 2) + kind;
  const fills = i32[countAt]!;
  if (fills === 0) return;
  const base = BASE[kind] >> 2;
  i32[countAt] = 0;
  if (fills > TLB_LOG_ENTRIES) {
    i32.fill(-1, base, base + ENTRIES[kind] * ENTRY_WORDS);
    return;
  }
  const { view } = ram;
  const log = HART_TLB_LOGS + kind * TLB_LOG_BYTES;
  for (let i = 0; i < fills; i++) {
    const at = base + view.getUint16(log + i * 2, true) * ENTRY_WORDS;
    i32[at] = -1;
    i32[at + 1] = -1;
  }
}

/** Empties all TLBs: on a change of the root table. */
export function flushTlbAll(ram: Ram): void {
  flushTlbKind(ram, TLB_READ);
  flushTlbKind(ram, TLB_WRITE);
  flushTlbKind(ram, TLB_EXEC);
}

/** Empties every TLB whatever the logs say: at boot, when the memory is still all zero. */
export function initTlb(ram: Ram): void {
  for (let kind = 0; kind < 3; kind++) {
    const base = BASE[kind]! >> 2;
    ram.i32.fill(-1, base, base + ENTRIES[kind]! * ENTRY_WORDS);
    ram.i32[(HART_TLB_FILLS >> 2) + kind] = 0;
  }
}

/** Forgets what one TLB knows about page number `page`. */
function flushEntry(i32: Int32Array, base: number, entries: number, page: number): void {
  // ToInt32 keeps the low bits of a number above 2^32; a remainder would be a call.
  const at = (base >> 2) + (page & (entries - 1)) * ENTRY_WORDS;
  i32[at] = -1;
  i32[at + 1] = -1;
}

/** Forgets what all TLBs know about the page at `addr`. @hot every copy-on-write fault */
export function flushTlbPageAt(ram: Ram, addr: Vaddr): void {
  const page = addr / PAGE_SIZE;
  const { i32 } = ram;
  flushEntry(i32, TLB_READ_BASE, TLB_ENTRIES, page);
  flushEntry(i32, TLB_WRITE_BASE, TLB_ENTRIES, page);
  flushEntry(i32, TLB_EXEC_BASE, TLB_EXEC_ENTRIES, page);
}

/** Pages above which clearing everything beats clearing page by page. */
const FLUSH_CEILING = 64;

/** Forgets what all TLBs know about [start, end). */
export function flushTlbRangeAt(ram: Ram, start: Vaddr, end: Vaddr): void {
  if (end - start > FLUSH_CEILING * PAGE_SIZE) {
    flushTlbAll(ram);
    return;
  }
  for (let addr = start; addr < end; addr += PAGE_SIZE) flushTlbPageAt(ram, addr);
}
