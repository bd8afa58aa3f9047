/**
 * How long fork() takes, by how much memory is mapped: natively, with default fork and with
 * copy-on-write page tables. A guest program measures itself; rounds of all modes alternate.
 */

import type { BenchMode, LineProgram } from './line_program.ts';
import { type BenchOptions, roundOrder, withModes } from './modes.ts';
import { percentile, round } from './stats.ts';
import { ratioOf, significant, textTable } from './table.ts';

const PROGRAM = 'fork_bench';
/** Sizes of the founding document, and 1 GiB, its memory example. */
const DEFAULT_SIZES_MIB: readonly number[] = [0, 64, 128, 256, 512, 1024];
/** Sizes for which there are not enough frames, and a small one to compare them with. */
const DEFAULT_ZERO_SIZES_MIB: readonly number[] = [64, 4096, 51_200];
const DEFAULT_ROUNDS = 8;
/** Time one mode may take in a round; decides how many forks a round has. */
const ROUND_MS = 60;
const MAX_FORKS = 150;
/** Forks of an empty program before the first size, until V8 has compiled all it will. */
const COMPILE_FORKS = 3000;
/** Forks that tell how many fit into a round. */
const ESTIMATE_FORKS = 3;
/** Forks before each measurement, so that caches are warm. */
const WARM_UP_FORKS = 40;

interface Percentiles {
  readonly p50: number;
  readonly p99: number;
}

/** What is mapped: pages of its own for each address, or the zero page for all of them. */
export type MappedPages = 'anon' | 'zero';

/** One line of `bench fork --json`. */
export interface ForkRow {
  readonly mappedMiB: number;
  readonly pages: MappedPages;
  readonly mode: BenchMode['name'];
  readonly forkUs: Percentiles;
  readonly cycleUs: Percentiles;
  readonly childVmRssKiB: number;
  readonly childVmPteKiB: number;
}

/** What /proc/PID/status says, in KiB, by field name. */
type StatusRows = Readonly<Record<string, number>>;

/** Memory of parent and child after a fork at the largest size. */
export interface ForkMemory {
  readonly mappedMiB: number;
  readonly mode: BenchMode['name'];
  readonly parent: StatusRows;
  readonly child: StatusRows;
}

export interface ForkBenchResult {
  readonly rows: readonly ForkRow[];
  readonly memory: readonly ForkMemory[];
  /** Why there are no native rows. */
  readonly skipped: string | undefined;
}

export interface ForkBenchOptions extends BenchOptions {
  readonly sizesMiB?: readonly number[];
  /** Sizes of memory that is only read. */
  readonly zeroSizesMiB?: readonly number[];
  readonly rounds?: number;
}

/** Memory of one measurement. */
interface Mapped {
  readonly mib: number;
  readonly pages: MappedPages;
}

/** One mode while a size is measured. */
interface Session {
  readonly mode: BenchMode['name'];
  readonly program: LineProgram;
  readonly memory: { readonly parent: StatusRows; readonly child: StatusRows };
  readonly forkNs: number[];
  readonly cycleNs: number[];
  forksPerRound: number;
}

function parseStatus(lines: readonly string[], who: string): StatusRows {
  const rows: Record<string, number> = {};
  for (const line of lines) {
    const match = /^(\w+) (\w+):\s+(\d+) kB$/.exec(line);
    if (match?.[1] === who) rows[match[2]!] = Number(match[3]);
  }
  return rows;
}

async function runForks(session: Session, forks: number): Promise<void> {
  const lines = await session.program.request(String(forks), (line) => line === 'done');
  for (const line of lines) {
    const match = /^fork (\d+) cycle (\d+)$/.exec(line);
    if (match === null) continue;
    session.forkNs.push(Number(match[1]));
    session.cycleNs.push(Number(match[2]));
  }
}

async function warmUp(modes: readonly BenchMode[]): Promise<void> {
  for (const mode of modes) {
    const program = mode.start(PROGRAM, ['0', 'anon', String(COMPILE_FORKS)]);
    await program.readUntil((line) => line === 'done');
    await program.close();
  }
}

async function startSession(mode: BenchMode, mapped: Mapped): Promise<Session> {
  const program = mode.start(PROGRAM, [String(mapped.mib), mapped.pages]);
  const lines = await program.readUntil((line) => line === 'ready');
  const memory = { parent: parseStatus(lines, 'parent'), child: parseStatus(lines, 'child') };
  const session: Session = {
    mode: mode.name,
    program,
    memory,
    forkNs: [],
    cycleNs: [],
    forksPerRound: 1,
  };
  await runForks(session, ESTIMATE_FORKS);
  const cycleMs = percentile(session.cycleNs, 0.5) / 1e6;
  const fitting = Math.floor(ROUND_MS / cycleMs);
  session.forksPerRound = Math.min(Math.max(fitting, 1), MAX_FORKS);
  if (fitting >= MAX_FORKS) await runForks(session, WARM_UP_FORKS);
  session.forkNs.length = 0;
  session.cycleNs.length = 0;
  return session;
}

function microseconds(samplesNs: readonly number[]): Percentiles {
  return {
    p50: round(percentile(samplesNs, 0.5) / 1000, 2),
    p99: round(percentile(samplesNs, 0.99) / 1000, 2),
  };
}

function toRow({ mib, pages }: Mapped, session: Session): ForkRow {
  return {
    mappedMiB: mib,
    pages,
    mode: session.mode,
    forkUs: microseconds(session.forkNs),
    cycleUs: microseconds(session.cycleNs),
    childVmRssKiB: session.memory.child['VmRSS'] ?? 0,
    childVmPteKiB: session.memory.child['VmPTE'] ?? 0,
  };
}

async function measureSize(
  modes: readonly BenchMode[],
  mapped: Mapped,
  rounds: number,
): Promise<Session[]> {
  const sessions: Session[] = [];
  for (const mode of modes) sessions.push(await startSession(mode, mapped));
  for (let i = 0; i < rounds; i++) {
    for (const session of roundOrder(sessions, i)) await runForks(session, session.forksPerRound);
  }
  for (const session of sessions) await session.program.close();
  return sessions;
}

function whatToMap({ sizesMiB, zeroSizesMiB }: ForkBenchOptions): Mapped[] {
  const anon = sizesMiB ?? DEFAULT_SIZES_MIB;
  const zero = zeroSizesMiB ?? (sizesMiB === undefined ? DEFAULT_ZERO_SIZES_MIB : []);
  return [
    ...anon.map((mib) => ({ mib, pages: 'anon' as const })),
    ...zero.map((mib) => ({ mib, pages: 'zero' as const })),
  ];
}

/** Runs the fork benchmark. Rows come by kind of page, size, then native, default, cow-pte. */
export function runForkBench(options: ForkBenchOptions): Promise<ForkBenchResult> {
  return withModes(PROGRAM, options, async ({ modes, skipped }) => {
    const rows: ForkRow[] = [];
    let memory: ForkMemory[] = [];
    options.onProgress?.('fork: warming up');
    await warmUp(modes);
    for (const mapped of whatToMap(options)) {
      options.onProgress?.(`fork with ${mapped.mib} MiB of ${mapped.pages} pages mapped`);
      const sessions = await measureSize(modes, mapped, options.rounds ?? DEFAULT_ROUNDS);
      rows.push(...sessions.map((session) => toRow(mapped, session)));
      if (mapped.pages === 'zero') continue;
      memory = sessions.map((session) => ({
        mappedMiB: mapped.mib,
        mode: session.mode,
        ...session.memory,
      }));
    }
    return { rows, memory, skipped };
  });
}

/** The table of fork latencies with the ratio to the native row of the same size. */
export function formatForkTable({ rows, skipped }: ForkBenchResult): string {
  const header = [
    'mapped',
    'pages',
    'mode',
    'fork p50',
    'p99',
    'cycle p50',
    'p99',
    'fork/native',
    'cycle/native',
  ];
  const cells = rows.map((row) => {
    const native = rows.find(
      ({ mode, mappedMiB, pages }) =>
        mode === 'native' && mappedMiB === row.mappedMiB && pages === row.pages,
    );
    return [
      `${row.mappedMiB} MiB`,
      row.pages,
      row.mode,
      `${significant(row.forkUs.p50)} us`,
      significant(row.forkUs.p99),
      `${significant(row.cycleUs.p50)} us`,
      significant(row.cycleUs.p99),
      native === undefined || native === row ? '' : ratioOf(row.forkUs.p50, native.forkUs.p50),
      native === undefined || native === row ? '' : ratioOf(row.cycleUs.p50, native.cycleUs.p50),
    ];
  });
  const note = skipped === undefined ? '' : `native rows skipped: ${skipped}\n`;
  return textTable(header, cells) + note;
}

const MEMORY_FIELDS = ['VmRSS', 'VmPTE'];

/** The founding document's first table: memory of parent and child after fork. */
export function formatMemoryTable({ memory }: ForkBenchResult): string {
  const header = ['', ...memory.flatMap(({ mode }) => [`${mode} parent`, 'child'])];
  const shared = Object.keys(memory.at(-1)?.child ?? {}).filter((name) => /Shared$/.test(name));
  const rows = [...MEMORY_FIELDS, ...shared].map((name) => [
    `${name}:`,
    ...memory.flatMap(({ parent, child }) =>
      [parent, child].map((status) => (status[name] === undefined ? '' : `${status[name]} kB`)),
    ),
  ]);
  return textTable(header, rows);
}
