/** Switching swap areas off. @linux mm/swapfile.c:SYSCALL_DEFINE1(swapoff) */

import { bugOn } from '../lib/assert.ts';
import type { PgData } from './mm_types.ts';
import type { SwapInfo } from './swap_types.ts';

/** Later areas without a priority of their own move up by the one that goes. @linux mm/swapfile.c:swapoff */
function closePriorityGap(pgdat: PgData, prio: number): void {
  const { swap } = pgdat;
  if (prio >= 0) return;
  for (const area of swap.active) if (area.prio < prio) area.prio++;
  swap.leastPriority++;
}

/**
 * Takes an area out of use, which is empty.
 * @linux mm/swapfile.c:SYSCALL_DEFINE1(swapoff)
 */
export function doSwapoff(pgdat: PgData, area: SwapInfo): number {
  const { swap } = pgdat;
  bugOn(area.inUse !== 0, 'swapoff: the area is in use');
  swap.totalPages -= area.pages;
  swap.freePages -= area.pages;
  swap.active.splice(swap.active.indexOf(area), 1);
  swap.areas[area.type] = null;
  closePriorityGap(pgdat, area.prio);
  return 0;
}
