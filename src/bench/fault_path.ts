/**
 * How long a page fault takes end to end, by what it has to do: the median over page tables, whose
 * 511 faults are timed together so that reading the clock costs next to nothing.
 */

import type { BenchMode, LineProgram } from './line_program.ts';
import { type BenchOptions, roundOrder, withModes } from './modes.ts';
import { percentile, round } from './stats.ts';
import { significant, textTable } from './table.ts';

const PROGRAM = 'fault_path';
/** Page tables of a round: one sample each. 8 MiB: with more, all modes wait for the host's memory. */
const TABLES = 4;
const DEFAULT_ROUNDS = 30;
/** Rounds that are not kept: V8 compiles, and the host commits the frames that are handed out. */
const WARM_UP_ROUNDS = 10;

const KINDS = [
  'zero',
  'zero-page',
  'cow',
  'reuse',
  'table',
  'file-read',
  'file-copy',
  'file-write',
] as const;

type FaultKind = (typeof KINDS)[number];

/** What the table calls a kind; fault_path.c says what exactly it does. */
export const TITLES: Readonly<Record<FaultKind, string>> = {
  zero: 'demand-zero page',
  'zero-page': 'read of nothing',
  cow: 'COW page break',
  reuse: 'page taken over',
  table: 'COW table and page break',
  'file-read': 'file read, 16 pages',
  'file-copy': 'file, private write',
  'file-write': 'file, shared write',
};

/** One line of `bench fault --json` for a kind of fault. */
export interface FaultKindRow {
  readonly kind: FaultKind;
  readonly mode: BenchMode['name'];
  /** Median, in nanoseconds for one fault. */
  readonly p50Ns: number;
  /** Time by the host's own kernel's; null without native rows. */
  readonly toNative: number | null;
}

interface Session {
  readonly mode: BenchMode['name'];
  readonly program: LineProgram;
  readonly samples: Readonly<Record<FaultKind, number[]>>;
}

function noSamples(): Record<FaultKind, number[]> {
  return Object.fromEntries(KINDS.map((kind) => [kind, [] as number[]])) as Record<
    FaultKind,
    number[]
  >;
}

async function measure({ program, samples }: Session, keep: boolean): Promise<void> {
  for (const line of await program.request('all', (text) => text === 'done')) {
    const [name, faults, ns] = line.split(' ');
    const kind = KINDS.find((known) => known === name);
    if (keep && kind !== undefined) samples[kind].push(Number(ns) / Number(faults));
  }
}

function rowsOf(sessions: readonly Session[]): FaultKindRow[] {
  const p50 = (session: Session, kind: FaultKind): number => percentile(session.samples[kind], 0.5);
  const native = sessions.find(({ mode }) => mode === 'native');
  return KINDS.flatMap((kind) =>
    sessions.map((session) => ({
      kind,
      mode: session.mode,
      p50Ns: round(p50(session, kind), 1),
      toNative: native === undefined ? null : round(p50(session, kind) / p50(native, kind), 3),
    })),
  );
}

/** Measures every kind of fault. Rows come by kind, then native, default, cow-pte. */
export function runFaultPathBench(
  options: BenchOptions & { readonly rounds?: number },
): Promise<FaultKindRow[]> {
  return withModes(PROGRAM, options, async ({ modes }) => {
    const sessions: Session[] = [];
    for (const mode of modes) {
      const program = mode.start(PROGRAM, [String(TABLES)]);
      await program.readUntil((line) => line === 'ready');
      sessions.push({ mode: mode.name, program, samples: noSamples() });
    }
    const rounds = WARM_UP_ROUNDS + (options.rounds ?? DEFAULT_ROUNDS);
    for (let i = 0; i < rounds; i++) {
      options.onProgress?.(`kinds of faults: round ${i} of ${rounds}`);
      for (const session of roundOrder(sessions, i)) await measure(session, i >= WARM_UP_ROUNDS);
    }
    for (const { program } of sessions) await program.close();
    return rowsOf(sessions);
  });
}

/** The table of kinds of faults. */
export function formatFaultPathTable(rows: readonly FaultKindRow[]): string {
  const cells = rows.map(({ kind, mode, p50Ns, toNative }) => [
    TITLES[kind],
    mode,
    `${significant(p50Ns)} ns`,
    mode === 'native' || toNative === null ? '' : `${significant(toNative)}x`,
  ]);
  return textTable(['a fault', 'mode', 'p50', 'to native'], cells);
}
