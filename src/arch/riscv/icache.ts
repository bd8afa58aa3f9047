/**
 * Predecoded code is kept by frame, so every mapping of a frame and every fork shares it.
 * Whoever changes a frame's bytes must drop its code first; the processor's own stores do so
 * because a frame with code is never in the write TLB.
 */

import type { Pfn } from './pgtable.ts';
import type { Ram } from './ram.ts';
import { flushTlbKind, TLB_EXEC } from './tlb.ts';

/** Drops the predecoded code of `pfn`, if there is any. Call before writing to or freeing a frame. */
export function icacheInvalidateFrame(ram: Ram, pfn: Pfn): void {
  if (ram.codeIndex[pfn] === 0) return;
  ram.codeIndex[pfn] = 0;
  flushTlbKind(ram, TLB_EXEC);
}
