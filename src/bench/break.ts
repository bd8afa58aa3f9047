/**
 * What it costs to make a shared page table private: the first write after a fork to the 2 MiB of
 * a table, less what the same write costs once the table is private.
 */

import type { BenchMode, LineProgram } from './line_program.ts';
import { type BenchOptions, roundOrder, withModes } from './modes.ts';
import { round } from './stats.ts';
import { significant, textTable } from './table.ts';

const PROGRAM = 'break_bench';
/** Tables that one round breaks. */
const TABLES = 64;
const DEFAULT_ROUNDS = 30;
/** Rounds that are not kept: V8 compiles, and the host commits the frames that copies go to. */
const WARM_UP_ROUNDS = 5;
const HOW = ['copy', 'takeover'] as const;

type How = (typeof HOW)[number];

/** One line of `bench break --json`: the best of the rounds, in nanoseconds. */
export interface BreakRow {
  readonly how: How;
  readonly mode: BenchMode['name'];
  /** The first write to the memory of a table. */
  readonly firstNs: number;
  /** A write to another page of it, after that. */
  readonly secondNs: number;
  /** The difference: the break alone. */
  readonly breakNs: number;
}

export interface BreakBenchResult {
  readonly rows: readonly BreakRow[];
  /** Why there are no native rows. */
  readonly skipped: string | undefined;
}

export interface BreakBenchOptions extends BenchOptions {
  readonly rounds?: number;
}

interface Session {
  readonly mode: BenchMode['name'];
  readonly program: LineProgram;
  readonly first: Readonly<Record<How, number[]>>;
  readonly second: Readonly<Record<How, number[]>>;
}

async function measure({ program, first, second }: Session): Promise<void> {
  for (const line of await program.request('round', (text) => text === 'done')) {
    const [name, one, two] = line.split(' ');
    const how = HOW.find((known) => known === name);
    if (how === undefined) continue;
    first[how].push(Number(one) / TABLES);
    second[how].push(Number(two) / TABLES);
  }
}

function toRow(how: How, { mode, first, second }: Session): BreakRow {
  const firstNs = Math.min(...first[how]);
  const secondNs = Math.min(...second[how]);
  return {
    how,
    mode,
    firstNs: round(firstNs, 1),
    secondNs: round(secondNs, 1),
    breakNs: round(firstNs - secondNs, 1),
  };
}

/** Runs the benchmark of breaks. Rows come by how, then native, default, cow-pte. */
export function runBreakBench(options: BreakBenchOptions): Promise<BreakBenchResult> {
  return withModes(PROGRAM, options, async ({ modes, skipped }) => {
    const sessions: Session[] = [];
    for (const mode of modes) {
      const program = mode.start(PROGRAM, [String(TABLES)]);
      await program.readUntil((line) => line === 'ready');
      const samples = (): Record<How, number[]> => ({ copy: [], takeover: [] });
      sessions.push({ mode: mode.name, program, first: samples(), second: samples() });
    }
    const rounds = options.rounds ?? DEFAULT_ROUNDS;
    for (let i = 0; i < WARM_UP_ROUNDS + rounds; i++) {
      options.onProgress?.(`breaks: round ${i} of ${WARM_UP_ROUNDS + rounds}`);
      for (const session of roundOrder(sessions, i)) await measure(session);
      if (i !== WARM_UP_ROUNDS - 1) continue;
      for (const { first, second } of sessions) {
        for (const how of HOW) first[how].length = second[how].length = 0;
      }
    }
    for (const { program } of sessions) await program.close();
    return { rows: HOW.flatMap((how) => sessions.map((s) => toRow(how, s))), skipped };
  });
}

/** The table of breaks. */
export function formatBreakTable({ rows, skipped }: BreakBenchResult): string {
  const header = ['break by', 'mode', 'first write', 'second write', 'the break'];
  const cells = rows.map(({ how, mode, firstNs, secondNs, breakNs }) => [
    how === 'copy' ? 'copying' : 'taking over',
    mode,
    `${significant(firstNs)} ns`,
    `${significant(secondNs)} ns`,
    `${significant(breakNs)} ns`,
  ]);
  const note = skipped === undefined ? '' : `native rows skipped: ${skipped}\n`;
  return textTable(header, cells) + note;
}
