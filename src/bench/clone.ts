/**
 * What a clone of a warm program costs beside the program's first run, and that it compiles
 * nothing: python3 answers expressions until its code is compiled, then a thousand forks of it and
 * a thousand clones by the embedder evaluate one expression each.
 */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Machine } from '../machine/machine.ts';
import type { Process } from '../machine/process.ts';
import { LineProgram } from './line_program.ts';
import type { BenchOptions } from './modes.ts';
import { percentile, round } from './stats.ts';
import { significant, textTable } from './table.ts';

const MEMORY = 1024 ** 3;
const PYTHON = '/usr/bin/python3';
const DEFAULT_CLONES = 1000;
/** Expressions that the program answers before it counts as warm. */
const WARM_UP_ANSWERS = 300;
/**
 * Clones after that, in batches that are at least as many as will be measured, until one compiles
 * nothing: code that runs once a clone gets hot late.
 */
const LEAST_BATCH = 250;
const MOST_BATCHES = 20;
const HOW = ['fork', 'clone'] as const;

type How = (typeof HOW)[number];

/** `eval` answers, `fork` lets a child answer, `last` answers and ends. */
const SCRIPT = `import os, sys
def answer(text):
    os.write(1, b'%d\\n' % eval(text))
for line in sys.stdin:
    word, text = line.split(' ', 1)
    if word == 'fork':
        pid = os.fork()
        if pid == 0:
            answer(text)
            os._exit(0)
        os.waitpid(pid, 0)
        os.write(1, b'done\\n')
    else:
        answer(text)
        if word == 'last':
            os._exit(0)
`;

/** One line of `bench clone --json`. */
export interface CloneRow {
  /** fork() in the guest, or Process.fork() by the embedder. */
  readonly how: How;
  readonly clones: number;
  /** Clones before those, until nothing was compiled any more. */
  readonly warmUpClones: number;
  /** From spawn() to the first answer of a program that nothing is compiled for. */
  readonly firstRunMs: number;
  /** From the fork to the end of the clone, which evaluates one expression. */
  readonly cloneMs: { readonly p50: number; readonly p99: number };
  /** Compiled regions when the program was warm and after all clones; null without a JIT. */
  readonly regionsBefore: number | null;
  readonly regionsAfter: number | null;
  /** The clones compiled nothing. */
  readonly ok: boolean;
}

export interface CloneBenchResult {
  readonly rows: readonly CloneRow[];
}

export interface CloneBenchOptions extends BenchOptions {
  readonly rootfs: string | null;
  readonly clones?: number | undefined;
}

/** An expression that differs from clone to clone, and what it is. */
function question(i: number): { text: string; value: number } {
  const n = 100 + (i % 50);
  return { text: `sum(x * x for x in range(${n}))`, value: ((n - 1) * n * (2 * n - 1)) / 6 };
}

/** A program of the machine that answers lines. */
function lineProgram(process: Process): LineProgram {
  const how = process.wait().then(({ code, signal }) => `ended with ${code ?? signal}`);
  return new LineProgram('python3', process.stdin, process.stdout, { how });
}

/** Regions compiled since boot, if the machine counts them. */
function compiledRegions(machine: Machine): number | null {
  const { jitStats } = machine as { jitStats?: () => { readonly compiled: number } | null };
  return jitStats?.call(machine)?.compiled ?? null;
}

/** The warm program and what its first answer took. */
interface Warm {
  readonly machine: Machine;
  readonly process: Process;
  readonly program: LineProgram;
  readonly firstRunMs: number;
}

/** @throws Error for a wrong answer: times of wrong answers mean nothing. */
function checkAnswer(i: number, answer: string | undefined): void {
  const { text, value } = question(i);
  if (answer !== String(value))
    throw new Error(`Cannot measure clones: "${text}" gave "${answer}", want ${value}`);
}

async function ask(program: LineProgram, word: string, i: number): Promise<void> {
  const lines = await program.request(`${word} ${question(i).text}`, () => true);
  checkAnswer(i, lines[0]);
}

async function firstRun(machine: Machine): Promise<Warm> {
  const started = performance.now();
  const argv = ['python3', '-c', SCRIPT];
  const process = machine.spawn(PYTHON, argv, { stdin: 'pipe', stdout: 'pipe' });
  const program = lineProgram(process);
  await ask(program, 'eval', 0);
  return { machine, process, program, firstRunMs: performance.now() - started };
}

/** One fork or clone, from its beginning to its end. @returns milliseconds. */
async function cloneOnce({ process, program }: Warm, how: How, i: number): Promise<number> {
  const started = performance.now();
  if (how === 'fork') {
    const request = `fork ${question(i).text}`;
    const lines = await program.request(request, (line) => line === 'done');
    checkAnswer(i, lines[0]);
    return performance.now() - started;
  }
  const clone = lineProgram(process.fork({ stdin: 'pipe', stdout: 'pipe' }));
  await ask(clone, 'last', i);
  await clone.close();
  return performance.now() - started;
}

/** @returns how many clones it took until one batch of them compiled nothing. */
async function warmUp(warm: Warm, how: How, clones: number): Promise<number> {
  for (let i = 0; i < WARM_UP_ANSWERS; i++) await ask(warm.program, 'eval', i);
  const batch = Math.max(LEAST_BATCH, clones);
  for (let done = 0; ; ) {
    const before = compiledRegions(warm.machine);
    for (let i = 0; i < batch; i++) await cloneOnce(warm, how, i);
    done += batch;
    if (compiledRegions(warm.machine) === before || done >= MOST_BATCHES * batch) return done;
  }
}

async function measure(warm: Warm, how: How, clones: number): Promise<CloneRow> {
  const warmUpClones = await warmUp(warm, how, clones);
  const regionsBefore = compiledRegions(warm.machine);
  const times: number[] = [];
  for (let i = 0; i < clones; i++) times.push(await cloneOnce(warm, how, i));
  const regionsAfter = compiledRegions(warm.machine);
  return {
    how,
    clones,
    warmUpClones,
    firstRunMs: round(warm.firstRunMs, 1),
    cloneMs: { p50: round(percentile(times, 0.5), 3), p99: round(percentile(times, 0.99), 3) },
    regionsBefore,
    regionsAfter,
    ok: regionsBefore === regionsAfter,
  };
}

/** Runs the benchmark of clones: each way in a machine of its own. @throws Error without python3. */
export async function runCloneBench(options: CloneBenchOptions): Promise<CloneBenchResult> {
  const { rootfs } = options;
  if (rootfs === null || !existsSync(join(rootfs, PYTHON))) {
    const where = rootfs === null ? 'there is no root file system' : `${rootfs} has no python3`;
    throw new Error(`Cannot measure clones: ${where}; cowshed pull --lock debian.lock.json`);
  }
  const rows: CloneRow[] = [];
  for (const how of HOW) {
    options.onProgress?.(`clones of python3 by ${how}`);
    const memory = options.memory ?? MEMORY;
    const machine = await options.machine({ cowPte: true, memory, root: { host: rootfs } });
    try {
      const warm = await firstRun(machine);
      rows.push(await measure(warm, how, options.clones ?? DEFAULT_CLONES));
      await warm.program.close();
    } finally {
      await machine.dispose();
    }
  }
  return { rows };
}

/** The table of clones beside the first run. */
export function formatCloneTable({ rows }: CloneBenchResult): string {
  const header = [
    'by',
    'clones',
    'warm after',
    'first run',
    'clone p50',
    'p99',
    'regions before',
    'after',
    '',
  ];
  const cells = rows.map((row) => [
    row.how === 'fork' ? 'fork() in the guest' : 'Process.fork()',
    String(row.clones),
    String(row.warmUpClones),
    `${significant(row.firstRunMs)} ms`,
    `${significant(row.cloneMs.p50)} ms`,
    significant(row.cloneMs.p99),
    String(row.regionsBefore ?? '-'),
    String(row.regionsAfter ?? '-'),
    row.ok ? '' : 'COMPILED',
  ]);
  return textTable(header, cells);
}
