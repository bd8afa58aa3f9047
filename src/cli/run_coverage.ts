/** `cowshed run --coverage` and `--trace-blocks`: what the program ran, for afl-showmap's readers and others. */

import type { InstrumentOptions } from '../cpu/instrument.ts';
import type { Machine } from '../machine/machine.ts';
import { type OutputFile, planOutput, writeOutput } from './output_file.ts';
import type { RunFlags } from './run_flags.ts';

/** Blocks that --trace-blocks keeps: the newest. */
const TRACED_BLOCKS = 1 << 20;
/** Least count of each of AFL's classes 1, 2, 3... of counters. */
const CLASSES = [1, 2, 3, 4, 8, 16, 32, 128];

/** The files that were asked for; null for one that was not. */
export interface CoverageOutput {
  readonly instrument: InstrumentOptions;
  readonly edges: OutputFile | null;
  readonly blocks: OutputFile | null;
}

/** Looks before the program runs whether the files can be written. @throws CliError */
export function planCoverage({ coverage, traceBlocks }: RunFlags): CoverageOutput {
  const edges = coverage === undefined ? null : planOutput('coverage', coverage);
  const blocks = traceBlocks === undefined ? null : planOutput('blocks', traceBlocks);
  const instrument = {
    edges: edges !== null,
    blocks: blocks !== null,
    blockRecords: TRACED_BLOCKS,
  };
  return { instrument, edges, blocks };
}

/** One line an edge, as afl-showmap writes them: its counter, and the class of its count. */
export function formatCoverage(map: Uint8Array): string {
  const lines: string[] = [];
  map.forEach((count, edge) => {
    if (count === 0) return;
    const bucket = CLASSES.findLastIndex((least) => count >= least) + 1;
    lines.push(`${String(edge).padStart(6, '0')}:${bucket}\n`);
  });
  return lines.join('');
}

/** Addresses of blocks, one a line, the oldest first. */
function formatBlocks(pcs: Float64Array): string {
  return Array.from(pcs, (pc) => `0x${pc.toString(16)}\n`).join('');
}

/** Writes what there is, also of a program that was killed. Nothing when none has run. @throws CliError */
export function writeCoverage({ edges, blocks }: CoverageOutput, machine: Machine): void {
  if (machine.stats().instructions === 0) return;
  const map = machine.coverage();
  if (edges !== null && map !== null) writeOutput(edges, formatCoverage(map));
  const trace = machine.blockTrace();
  if (blocks === null || trace === null) return;
  writeOutput(blocks, formatBlocks(trace.pcs));
  const missing = trace.total - trace.pcs.length;
  if (missing === 0) return;
  const [cut, all] = [missing, trace.total].map((n) => n.toLocaleString('en-US'));
  process.stderr.write(`cowshed: "${blocks.path}" is without the first ${cut} of ${all} blocks\n`);
}
