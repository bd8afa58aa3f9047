/** The lines of `cowshed run --stats`. */

import type { MachineStats } from '../machine/machine.ts';

/** @param elapsedMs wall time of the program. */
export function formatStats(stats: MachineStats, elapsedMs: number): string {
  const lines = Object.entries(stats).map(([name, value]) => `${name}: ${String(value)}`);
  return `${[...lines, `wall time: ${elapsedMs.toFixed(0)} ms`].join('\n')}\n`;
}
