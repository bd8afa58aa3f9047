/**
 * How long a write takes after fork() while the child still holds the memory: every page of
 * 512 MiB in order, and a million writes to random pages, as the founding document measures.
 */

import { type FaultKindRow, formatFaultPathTable, runFaultPathBench } from './fault_path.ts';
import type { BenchMode, LineProgram } from './line_program.ts';
import { type BenchOptions, roundOrder, withModes } from './modes.ts';
import { round } from './stats.ts';
import { significant, textTable } from './table.ts';

const PROGRAM = 'fault_bench';
const DEFAULT_MIB = 512;
const DEFAULT_WRITES = 1_000_000;
const DEFAULT_ROUNDS = 7;
const PATTERNS = ['sequential', 'random'] as const;

type Pattern = (typeof PATTERNS)[number];

/** One line of `bench fault --json` for writes after a fork. */
export interface FaultRow {
  readonly pattern: Pattern;
  readonly mode: BenchMode['name'];
  /** Best of the rounds, in nanoseconds for one write: other work on the host only adds time. */
  readonly perPageNs: number;
}

export interface FaultBenchResult {
  readonly rows: readonly (FaultRow | FaultKindRow)[];
  /** Why there are no native rows. */
  readonly skipped: string | undefined;
}

export interface FaultBenchOptions extends BenchOptions {
  readonly mappedMiB?: number;
  readonly writes?: number;
  readonly rounds?: number;
  /** False leaves out the kinds of faults. */
  readonly kinds?: boolean;
}

interface Session {
  readonly mode: BenchMode['name'];
  readonly program: LineProgram;
  readonly samples: Readonly<Record<Pattern, number[]>>;
}

async function measure(session: Session, pattern: Pattern): Promise<void> {
  const isAnswer = (line: string): boolean => line.startsWith(`${pattern} `);
  const lines = await session.program.request(pattern, isAnswer);
  const [, writes, ns] = lines.at(-1)!.split(' ').map(Number);
  session.samples[pattern].push(ns! / writes!);
}

/** Runs the fault benchmark. Rows come by pattern and kind, then native, default, cow-pte. */
export async function runFaultBench(options: FaultBenchOptions): Promise<FaultBenchResult> {
  const { rows, skipped } = await runWriteBench(options);
  const kinds = options.kinds === false ? [] : await runFaultPathBench(options);
  return { rows: [...rows, ...kinds], skipped };
}

interface WriteBenchResult {
  readonly rows: readonly FaultRow[];
  readonly skipped: string | undefined;
}

/** Writes after a fork, by pattern. */
function runWriteBench(options: FaultBenchOptions): Promise<WriteBenchResult> {
  return withModes(PROGRAM, options, async ({ modes, skipped }) => {
    const args = [options.mappedMiB ?? DEFAULT_MIB, options.writes ?? DEFAULT_WRITES].map(String);
    const sessions: Session[] = [];
    for (const mode of modes) {
      options.onProgress?.(`faults: preparing ${mode.name}`);
      const program = mode.start(PROGRAM, args);
      await program.readUntil((line) => line === 'ready');
      sessions.push({ mode: mode.name, program, samples: { sequential: [], random: [] } });
    }
    const rounds = options.rounds ?? DEFAULT_ROUNDS;
    // One round more than is kept: the first one warms compilers and caches.
    for (let i = 0; i <= rounds; i++) {
      options.onProgress?.(`faults: round ${i} of ${rounds}`);
      for (const session of roundOrder(sessions, i)) {
        for (const pattern of PATTERNS) await measure(session, pattern);
      }
      if (i === 0)
        for (const { samples } of sessions) for (const p of PATTERNS) samples[p].length = 0;
    }
    for (const { program } of sessions) await program.close();
    const rows = PATTERNS.flatMap((pattern) =>
      sessions.map(({ mode, samples }) => ({
        pattern,
        mode,
        perPageNs: round(Math.min(...samples[pattern]), 1),
      })),
    );
    return { rows, skipped };
  });
}

/** The table of fault latencies with the ratio to default fork, and that of the kinds of faults. */
export function formatFaultTable({ rows: all, skipped }: FaultBenchResult): string {
  const rows = all.filter((row) => 'pattern' in row);
  const kinds = all.filter((row) => 'kind' in row);
  const header = ['writes after fork', 'mode', 'a write', 'to default', 'to native'];
  const cells = rows.map((row) => {
    const other = (mode: string): number =>
      rows.find((r) => r.mode === mode && r.pattern === row.pattern)?.perPageNs ?? Number.NaN;
    const ratio = (mode: string): string => `${significant(row.perPageNs / other(mode))}x`;
    return [
      row.pattern,
      row.mode,
      `${significant(row.perPageNs)} ns`,
      row.mode === 'cow-pte' ? ratio('default') : '',
      row.mode === 'native' || skipped !== undefined ? '' : ratio('native'),
    ];
  });
  const note = skipped === undefined ? '' : `native rows skipped: ${skipped}\n`;
  const kindTable = kinds.length === 0 ? '' : `\n${formatFaultPathTable(kinds)}`;
  return textTable(header, cells) + kindTable + note;
}
