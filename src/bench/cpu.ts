/**
 * How fast the processor is: integer kernels of different kind, natively, under qemu-user and in
 * the interpreter. Every run prints a checksum, which must be the same everywhere.
 */

import { spawnSync } from 'node:child_process';
import { Buffer } from 'node:buffer';
import type { Machine } from '../machine/machine.ts';
import { buildNative, guestProgram, guestProgramPath } from './guest_files.ts';
import type { BenchOptions } from './modes.ts';
import { geometricMean, round } from './stats.ts';
import { significant, textTable } from './table.ts';

const PROGRAM = 'cpu_kernels';
const KERNELS = ['sieve', 'fib', 'qsort', 'sha256', 'crc32', 'matmul', 'bytecode', 'chase'];
const DEFAULT_ROUNDS = 3;
const QEMU = ['qemu-riscv64', 'qemu-riscv64-static'];
/** Enough for any kernel; the bench maps little. */
const MEMORY = 256 * 1024 ** 2;

/** One line of `bench cpu --json`. Times are the best of the rounds, in milliseconds. */
export interface CpuRow {
  readonly name: string;
  readonly kind: 'kernel';
  /** Null where the host has no C compiler. */
  readonly nativeMs: number | null;
  /** Null where the host has no qemu-user. */
  readonly qemuMs: number | null;
  readonly interpMs: number;
  readonly guestInsns: number;
  /** Million guest instructions a second. */
  readonly mips: number;
  /** All runs printed the same checksum. */
  readonly ok: boolean;
}

export interface CpuBenchResult {
  readonly rows: readonly CpuRow[];
}

export interface CpuBenchOptions extends BenchOptions {
  readonly kernels?: readonly string[];
  readonly rounds?: number;
  /** Work per kernel; 1 is some 30 million instructions. */
  readonly scale?: number;
}

/** One run of one kernel. */
interface Run {
  readonly checksum: string;
  readonly ns: number;
  readonly insns: number;
}

type Runner = (kernel: string, scale: number) => Promise<Run>;

function parseRun(kernel: string, output: string): Run {
  const match = new RegExp(`^${kernel} (0x[0-9a-f]+) (\\d+) (\\d+)$`, 'm').exec(output);
  if (match === null) throw new Error(`Cannot measure ${kernel}: the program printed "${output}"`);
  return { checksum: match[1]!, ns: Number(match[2]), insns: Number(match[3]) };
}

function hostRunner(command: string, prefix: readonly string[]): Runner {
  return (kernel, scale) => {
    const run = spawnSync(command, [...prefix, kernel, String(scale)], { encoding: 'utf8' });
    return Promise.resolve(parseRun(kernel, run.stdout ?? ''));
  };
}

function machineRunner(machine: Machine): Runner {
  const path = `/tmp/${PROGRAM}`;
  machine.writeFile(path, guestProgram(PROGRAM), 0o755);
  return async (kernel, scale) => {
    const guest = machine.spawn(path, [PROGRAM, kernel, String(scale)], { stdout: 'pipe' });
    const chunks: Buffer[] = [];
    guest.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
    const ended = new Promise((resolve) => guest.stdout.on('end', resolve));
    await guest.wait();
    await ended;
    return parseRun(kernel, Buffer.concat(chunks).toString('latin1'));
  };
}

function findQemu(): string | undefined {
  return QEMU.find((name) => spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0);
}

/** Best of several alternating runs, by runner. */
async function measureKernel(
  kernel: string,
  runners: ReadonlyMap<string, Runner>,
  { rounds, scale }: { rounds: number; scale: number },
): Promise<CpuRow> {
  const best = new Map<string, Run>();
  const checksums = new Set<string>();
  // The first round warms compilers and is not kept.
  for (let i = 0; i <= rounds; i++) {
    for (const [name, runner] of runners) {
      const run = await runner(kernel, scale);
      checksums.add(run.checksum);
      const known = best.get(name);
      if (i > 0 && (known === undefined || run.ns < known.ns)) best.set(name, run);
    }
  }
  const ms = (name: string): number | null => {
    const run = best.get(name);
    return run === undefined ? null : round(run.ns / 1e6, 3);
  };
  const interp = best.get('interp')!;
  return {
    name: kernel,
    kind: 'kernel',
    nativeMs: ms('native'),
    qemuMs: ms('qemu'),
    interpMs: round(interp.ns / 1e6, 3),
    guestInsns: interp.insns,
    mips: round((interp.insns / interp.ns) * 1000, 1),
    ok: checksums.size === 1,
  };
}

/** Runs the processor benchmark. */
export async function runCpuBench(options: CpuBenchOptions): Promise<CpuBenchResult> {
  const native = options.native === false ? undefined : buildNative([PROGRAM]);
  const machine = await options.machine({ cowPte: true, memory: options.memory ?? MEMORY });
  try {
    const runners = new Map<string, Runner>();
    if (native?.ok === true) runners.set('native', hostRunner(native.path(PROGRAM), []));
    const qemu = findQemu();
    if (qemu !== undefined) runners.set('qemu', hostRunner(qemu, [guestProgramPath(PROGRAM)]));
    runners.set('interp', machineRunner(machine));
    const work = { rounds: options.rounds ?? DEFAULT_ROUNDS, scale: options.scale ?? 1 };
    const rows: CpuRow[] = [];
    for (const kernel of options.kernels ?? KERNELS) {
      options.onProgress?.(`cpu: ${kernel}`);
      rows.push(await measureKernel(kernel, runners, work));
    }
    return { rows };
  } finally {
    if (native?.ok === true) native.dispose();
    await machine.dispose();
  }
}

/** The table of kernels, with geometric means below it. */
export function formatCpuTable({ rows }: CpuBenchResult): string {
  const header = [
    'kernel',
    'native',
    'qemu',
    'interpreter',
    'to native',
    'to qemu',
    'MIPS',
    'result',
  ];
  const ms = (value: number | null): string => (value === null ? '-' : `${significant(value)} ms`);
  const ratio = (value: number, to: number | null): string =>
    to === null ? '-' : `${significant(value / to)}x`;
  const cells = rows.map((row) => [
    row.name,
    ms(row.nativeMs),
    ms(row.qemuMs),
    ms(row.interpMs),
    ratio(row.interpMs, row.nativeMs),
    ratio(row.interpMs, row.qemuMs),
    significant(row.mips),
    row.ok ? 'same' : 'DIFFERS',
  ]);
  const means = ['nativeMs', 'qemuMs'].map((key) => {
    const ratios = rows.flatMap((row) => {
      const to = key === 'nativeMs' ? row.nativeMs : row.qemuMs;
      return to === null ? [] : [row.interpMs / to];
    });
    return ratios.length === 0 ? '-' : `${significant(geometricMean(ratios))}x`;
  });
  const mips = significant(geometricMean(rows.map((row) => row.mips)));
  cells.push(['geometric mean', '', '', '', means[0]!, means[1]!, mips, '']);
  return textTable(header, cells);
}
