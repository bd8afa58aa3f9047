/** The lines of `cowshed run --stats`. */

import type { JitStats } from '../cpu/jit/code_cache.ts';
import type { MachineStats } from '../machine/machine.ts';
import { formatBytes } from './size.ts';

function count(value: number): string {
  return value.toLocaleString('en-US');
}

/** What was swapped, on a machine that has swap. */
function swapRows(stats: MachineStats): (readonly [name: string, value: string])[] {
  const { swapBytes, swapFreeBytes, swapIns, swapOuts } = stats;
  if (swapBytes === 0) return [];
  return [
    ['swap now', `${formatBytes(swapBytes - swapFreeBytes)} of ${formatBytes(swapBytes)}`],
    ['pages swapped out', `${count(swapOuts)} (${count(swapIns)} read back)`],
  ];
}

function jitRows(jit: JitStats | null): (readonly [name: string, value: string])[] {
  if (jit === null) return [];
  const { compiled, modules, dropped, insns, bytes, compileMs } = jit;
  return [
    [
      'regions compiled',
      `${count(compiled)} in ${count(modules)} modules (${count(dropped)} dropped)`,
    ],
    [
      'code compiled',
      `${count(insns)} instructions, ${formatBytes(bytes)}, ${compileMs.toFixed(0)} ms`,
    ],
  ];
}

/**
 * Names and values in two columns.
 *
 * @param elapsedMs wall time of the program.
 */
export function formatStats(stats: MachineStats, jit: JitStats | null, elapsedMs: number): string {
  const mips = stats.instructions / (elapsedMs * 1000);
  const rows: readonly (readonly [name: string, value: string])[] = [
    ['time', `${(elapsedMs / 1000).toFixed(3)} s`],
    ['instructions', `${count(stats.instructions)} (${mips.toFixed(0)} MIPS)`],
    ...jitRows(jit),
    ['system calls', count(stats.systemCalls)],
    ['forks', count(stats.forks)],
    ['context switches', count(stats.contextSwitches)],
    ['page faults', `${count(stats.pageFaults)} (${count(stats.majorFaults)} read a file)`],
    ['pages copied on write', `${count(stats.pageCopies)} (${count(stats.pageReuses)} taken over)`],
    ['page tables shared by fork', count(stats.sharedTables)],
    [
      'shared tables copied',
      `${count(stats.tableCopies)} (${count(stats.tableReuses)} taken over)`,
    ],
    ['shared tables given up', count(stats.tableFallbacks)],
    ['page tables now', formatBytes(stats.pageTableBytes)],
    [
      'memory now',
      `${formatBytes(stats.memoryBytes - stats.freeBytes)} of ${formatBytes(stats.memoryBytes)}`,
    ],
    ...swapRows(stats),
    ['killed for lack of memory', count(stats.oomKills)],
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `cowshed: ${name.padEnd(width)}  ${value}\n`).join('');
}
