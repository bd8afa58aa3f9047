/**
 * How fast the processor is: kernels of different kind and whole programs, natively, under
 * qemu-user, in the interpreter and compiled. Every run is a process of its own, so that each
 * compiles what it executes; what it prints must be the same everywhere.
 */

import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type CpuMode, type CpuModeName, type CpuModeOptions, cpuModes } from './cpu_modes.ts';
import { type CommandRun, type HostCommand, runCommand } from './host_command.ts';
import { roundOrder } from './modes.ts';
import { percentile, round } from './stats.ts';
import { WORKLOADS, prepareWorkload } from './workloads.ts';

interface Kernel {
  readonly name: string;
  readonly program: 'cpu_kernels' | 'float_kernels';
}

const INTEGER = [
  'sieve',
  'fib',
  'qsort',
  'sha256',
  'crc32',
  'matmul',
  'bytecode',
  'chase',
  'chase_far',
  'strings',
];
const FLOAT = ['dmatmul', 'nbody', 'mandelbrot', 'libm'];
const KERNELS: readonly Kernel[] = [
  ...INTEGER.map((name) => ({ name, program: 'cpu_kernels' as const })),
  ...FLOAT.map((name) => ({ name, program: 'float_kernels' as const })),
];
const DEFAULT_ROUNDS = 5;

/** Milliseconds by mode; null where the mode is missing or failed. */
export type CpuTimes = Readonly<Record<CpuModeName, number | null>>;

/** One line of `bench cpu --json`. Times are medians of the rounds, in milliseconds. */
export interface CpuRow {
  readonly name: string;
  /** Kernels time themselves; workloads are whole processes, start-up included. */
  readonly kind: 'kernel' | 'workload';
  /** A kernel of floating point. */
  readonly float: boolean;
  /** Null where the host has no C compiler or no such program. */
  readonly nativeMs: number | null;
  /** Null where the host has no qemu-user. */
  readonly qemuMs: number | null;
  readonly interpMs: number | null;
  readonly jitMs: number | null;
  /** The best of the rounds. */
  readonly best: CpuTimes;
  /** Instructions that the machine retired. */
  readonly guestInsns: number;
  /** Million guest instructions a second, compiled. */
  readonly mips: number;
  /** All modes succeeded and printed the same. */
  readonly ok: boolean;
}

export interface CpuBenchResult {
  readonly rows: readonly CpuRow[];
  /** What is missing or went wrong, a line each. */
  readonly notes: readonly string[];
}

export interface CpuBenchOptions extends Omit<CpuModeOptions, 'scratch'> {
  /** Where downloads are kept. */
  readonly cacheDir: string;
  /** Rows to measure; all by default. */
  readonly only?: readonly string[] | undefined;
  readonly kind?: CpuRow['kind'] | undefined;
  readonly rounds?: number | undefined;
  /** Work of each row; 1 is 20 ms or more of native time. */
  readonly scale?: number | undefined;
  /** Told before each long step. */
  readonly onProgress?: ((step: string) => void) | undefined;
}

/** What one run gave. */
interface Run {
  readonly digest: string;
  readonly ms: number;
  readonly insns: number;
}

/** A row to measure: how each mode runs it and how its output is read. */
interface Subject {
  readonly name: string;
  readonly kind: CpuRow['kind'];
  readonly float: boolean;
  readonly command: (mode: CpuMode) => HostCommand | undefined;
  readonly parse: (run: CommandRun) => Run;
}

/** Output of a kernel: `NAME CHECKSUM NS INSTRUCTIONS`. @throws Error when it is none. */
export function parseKernel(name: string, output: string): Run {
  const match = new RegExp(`^${name} (0x[0-9a-f]+) (\\d+) (\\d+)$`, 'm').exec(output);
  if (match === null) throw new Error(`it printed "${output.trim()}"`);
  return { digest: match[1]!, ms: Number(match[2]) / 1e6, insns: Number(match[3]) };
}

/** Output of a whole process; `--stats` says what the machine retired. */
export function parseProcess({ wallMs, stdout, stderr }: CommandRun): Run {
  const insns = /^cowshed: instructions\s+([\d,]+)/m.exec(stderr)?.[1]?.replaceAll(',', '');
  const digest = createHash('sha256').update(stdout).digest('hex');
  return { digest, ms: wallMs, insns: Number(insns ?? 0) };
}

/** What a kernel repeats: so often that compiling it is a small part, unlike in a workload. */
const KERNEL_SCALE = 4;

function kernelSubject({ name, program }: Kernel, scale: number): Subject {
  const args = [name, String(Math.max(1, Math.round(scale * KERNEL_SCALE)))];
  return {
    name,
    kind: 'kernel',
    float: program === 'float_kernels',
    command: (mode) => mode.kernel(program, args),
    parse: ({ stdout }) => parseKernel(name, stdout.toString('latin1')),
  };
}

/** Workloads that can run here; a note for each that cannot. */
function workloadSubjects(
  options: CpuBenchOptions,
  folder: string,
  wanted: (name: string) => boolean,
  notes: string[],
): Subject[] {
  const { rootfs, cacheDir, scale = 1 } = options;
  return WORKLOADS.filter(({ name }) => wanted(name)).flatMap((workload): Subject[] => {
    try {
      const prepared = prepareWorkload(workload, { rootfs, cacheDir, folder, scale });
      return [
        {
          name: workload.name,
          kind: 'workload',
          float: false,
          command: (mode) => mode.workload(prepared),
          parse: parseProcess,
        },
      ];
    } catch (error) {
      notes.push(`${workload.name} left out: ${(error as Error).message}`);
      return [];
    }
  });
}

/** Runs of one row by mode. */
type Samples = Map<CpuModeName, Run[]>;

function measureRound(
  subject: Subject,
  modes: readonly CpuMode[],
  samples: Samples,
  failures: Map<string, string>,
): void {
  for (const mode of modes) {
    // What failed once is not tried again: it would fail for minutes.
    if (failures.has(mode.name)) continue;
    const command = subject.command(mode);
    if (command === undefined) continue;
    try {
      const run = subject.parse(runCommand(command));
      samples.set(mode.name, [...(samples.get(mode.name) ?? []), run]);
    } catch (error) {
      failures.set(mode.name, `${subject.name}, ${mode.name}: ${(error as Error).message}`);
    }
  }
}

function timesOf(samples: Samples, pick: (ms: number[]) => number): CpuTimes {
  const time = (name: CpuModeName): number | null => {
    const runs = samples.get(name) ?? [];
    return runs.length === 0 ? null : round(pick(runs.map(({ ms }) => ms)), 3);
  };
  return { native: time('native'), qemu: time('qemu'), interp: time('interp'), jit: time('jit') };
}

function toRow(subject: Subject, samples: Samples, failed: boolean): CpuRow {
  const { name, kind, float } = subject;
  const median = timesOf(samples, (ms) => percentile(ms, 0.5));
  const insns = (samples.get('jit') ?? samples.get('interp'))?.at(-1)?.insns ?? 0;
  const digests = new Set([...samples.values()].flat().map(({ digest }) => digest));
  const ms = median.jit ?? median.interp;
  return {
    name,
    kind,
    float,
    nativeMs: median.native,
    qemuMs: median.qemu,
    interpMs: median.interp,
    jitMs: median.jit,
    best: timesOf(samples, (all) => Math.min(...all)),
    guestInsns: insns,
    mips: ms === null ? 0 : round(insns / ms / 1000, 1),
    ok: !failed && digests.size === 1,
  };
}

function measureSubject(
  subject: Subject,
  modes: readonly CpuMode[],
  options: CpuBenchOptions,
  notes: string[],
): CpuRow {
  const samples: Samples = new Map();
  const failures = new Map<string, string>();
  const rounds = options.rounds ?? DEFAULT_ROUNDS;
  for (let i = 0; i < rounds; i++) {
    options.onProgress?.(`cpu: ${subject.name}, round ${i + 1} of ${rounds}`);
    measureRound(subject, roundOrder(modes, i), samples, failures);
  }
  notes.push(...failures.values());
  return toRow(subject, samples, failures.size > 0);
}

/** @throws Error for a name that is no row. */
function checkNames(names: readonly string[]): void {
  const known = [...KERNELS, ...WORKLOADS].map(({ name }) => name);
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined)
    throw new Error(`Cannot measure "${unknown}": it is none of ${known.join(', ')}`);
}

/** Runs the processor benchmark. Rows come as kernels of integers, of floating point, workloads. */
export function runCpuBench(options: CpuBenchOptions): CpuBenchResult {
  checkNames(options.only ?? []);
  const wanted = (kind: CpuRow['kind'], name: string): boolean =>
    (options.kind ?? kind) === kind && (options.only?.includes(name) ?? true);
  const scratch = mkdtempSync(join(tmpdir(), 'cowshed-bench-'));
  const { modes, skipped, dispose } = cpuModes({ ...options, scratch });
  const notes = [...skipped];
  try {
    const kernels = KERNELS.filter(({ name }) => wanted('kernel', name));
    const subjects = [
      ...kernels.map((kernel) => kernelSubject(kernel, options.scale ?? 1)),
      ...workloadSubjects(options, scratch, (name) => wanted('workload', name), notes),
    ];
    const rows = subjects.map((subject) => measureSubject(subject, modes, options, notes));
    return { rows, notes };
  } finally {
    dispose();
    rmSync(scratch, { recursive: true, force: true });
  }
}
