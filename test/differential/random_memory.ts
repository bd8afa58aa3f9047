/**
 * Runs guest/programs/random_memory.c on several kernels, and cuts a program on which two of them
 * differ down to the steps that matter.
 */

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { guestProgram } from '../../src/bench/guest_files.ts';
import type { Machine, MachineOptions, MachineStats } from '../../src/machine/machine.ts';
import { checkPageTables } from '../../src/mm/page_table_check.ts';
import { withMachine } from '../guest.ts';

export const PROGRAM = 'random_memory';
/** Steps of one program; STEPS of the source. */
const STEPS = 70;
const ALL_STEPS = Array.from({ length: STEPS }, (_, step) => step);
/** The guest's files are on a tmpfs, so the host's must be. */
export const HOST_TMPFS = '/dev/shm';
/** Runs of one program that shrinking may take. */
const MAX_TRIALS = 200;

/** Runs the program with these arguments. @returns what it printed, and how it ended if not well. */
export type Runner = (args: readonly string[]) => Promise<string>;

async function readAll(stream: Readable): Promise<string> {
  let text = '';
  for await (const chunk of stream) text += (chunk as Buffer).toString('latin1');
  return text;
}

function ending(code: number | null, signal: string | null): string {
  return code === 0 ? '' : `ended with ${signal ?? code}\n`;
}

/** The program on the host's own kernel. @param timeoutMs after which it has hung. */
export function hostRunner(path: string, timeoutMs: number): Runner {
  return async (args) => {
    const cwd = mkdtempSync(join(HOST_TMPFS, 'random-memory-'));
    try {
      const child = spawn(path, args, {
        cwd,
        stdio: ['ignore', 'pipe', 'inherit'],
        detached: true,
      });
      const ended = new Promise<string>((resolve) =>
        child.on('exit', (code, signal) => resolve(ending(code, signal))),
      );
      // Workers outlive the driver, so all of its process group is ended.
      const timer = setTimeout(() => process.kill(-child.pid!, 'SIGKILL'), timeoutMs);
      const output = await readAll(child.stdout);
      clearTimeout(timer);
      return output + (await ended);
    } finally {
      rmSync(cwd, { recursive: true, force: true });
    }
  };
}

/** Nothing but files is left of a program that has ended. @throws Error */
function checkMachine(machine: Machine): void {
  checkPageTables(machine.internals.pgdat);
  const leaked = machine.leakedFrames();
  if (leaked !== 0) throw new Error(`${leaked} frames are left when all programs have ended`);
}

/** What machines did, over all runs. */
export class Totals {
  forks = 0;
  shared = 0;
  copied = 0;
  takenOver = 0;
  swapOuts = 0;
  swapIns = 0;

  add(stats: MachineStats): void {
    this.forks += stats.forks;
    this.shared += stats.sharedTables;
    this.copied += stats.tableCopies;
    this.takenOver += stats.tableReuses;
    this.swapOuts += stats.swapOuts;
    this.swapIns += stats.swapIns;
  }

  toString(): string {
    return (
      `${this.forks} forks; tables: ${this.shared} shared, ${this.copied} copied, ` +
      `${this.takenOver} taken over; pages swapped: ${this.swapOuts} out, ${this.swapIns} in`
    );
  }
}

/** The program in a machine of its own. @param totals to which its counters are added. */
export function machineRunner(options: MachineOptions, timeoutMs: number, totals: Totals): Runner {
  return async (args) => {
    // A program without one of its workers waits for ever.
    let killed: (line: string) => void = () => {};
    const outOfMemory = new Promise<string>((resolve) => (killed = resolve));
    const log = (line: string): void => {
      if (line.includes('Out of memory')) killed(line);
    };
    return withMachine({ ...options, log }, async (machine) => {
      machine.writeFile(`/tmp/${PROGRAM}`, guestProgram(PROGRAM), 0o755);
      const guest = machine.spawn(`/tmp/${PROGRAM}`, [PROGRAM, ...args], {
        cwd: '/tmp',
        stdin: 'null',
        stdout: 'pipe',
      });
      let output = '';
      guest.stdout.on('data', (chunk: Buffer) => (output += chunk.toString('latin1')));
      const drained = new Promise((resolve) => guest.stdout.on('close', resolve));
      let timer: NodeJS.Timeout | undefined;
      const hung = new Promise<string>((resolve) => {
        timer = setTimeout(resolve, timeoutMs, 'it hangs');
      });
      const end = await Promise.race([guest.wait(), hung, outOfMemory]);
      clearTimeout(timer);
      if (typeof end === 'string') return `${output}ended early: ${end}\n`;
      await drained;
      totals.add(machine.stats());
      checkMachine(machine);
      return output + ending(end.code, end.signal);
    });
  };
}

/** Digest by seed, from the program's output. */
export function parseDigests(output: string): Map<number, string> {
  const digests = new Map<number, string>();
  for (const line of output.split('\n')) {
    const match = /^(\d+) (0x[0-9a-f]+)$/.exec(line);
    if (match !== null) digests.set(Number(match[1]), match[2]!);
  }
  return digests;
}

/** Where two kernels part ways. */
interface Difference {
  readonly step: number;
  readonly lines: readonly [string, string];
}

/** @param only the steps to run. @returns undefined if all lines are the same. */
type Comparison = (only: readonly number[]) => Promise<Difference | undefined>;

function firstDifference(a: string, b: string): Difference | undefined {
  const left = a.split('\n');
  const right = b.split('\n');
  const at = left.findIndex((line, i) => line !== right[i]);
  if (at < 0) return undefined;
  const step = Number(/^\d+/.exec(left[at]!)?.[0] ?? STEPS);
  return { step, lines: [left[at]!, right[at] ?? 'nothing'] };
}

/**
 * Leaves out ever smaller groups of steps while the kernels still differ.
 * @returns the steps that remain.
 */
async function minimise(differ: Comparison, first: Difference): Promise<number[]> {
  let steps = ALL_STEPS.filter((step) => step <= first.step);
  let trials = 0;
  for (let size = steps.length >> 1; size >= 1; size >>= 1) {
    for (let at = steps.length - size; at > -size && trials < MAX_TRIALS; at -= size) {
      const from = Math.max(at, 0);
      const fewer = [...steps.slice(0, from), ...steps.slice(at + size)];
      trials++;
      if ((await differ(fewer)) !== undefined) steps = fewer;
    }
  }
  return steps;
}

/** One word of a line a line, so that long maps can be compared by eye. */
function onlyIn(a: string, b: string): string {
  const other = new Set(b.split(' '));
  return a
    .split(' ')
    .filter((word) => !other.has(word))
    .join(' ');
}

/** Which of the two runs is called what. */
export interface Contender {
  readonly name: string;
  readonly run: Runner;
}

/** @returns a report of the least program with this seed on which `a` and `b` differ. */
export async function explain(
  seed: number,
  a: Contender,
  b: Contender,
  words: readonly string[],
): Promise<string> {
  const args = (only: readonly number[]): string[] => [
    ...[String(seed), '1', 'verbose', ...words],
    ...(only.length === STEPS ? [] : [`only=${only.join(',')}`]),
  ];
  const differ: Comparison = async (only) =>
    firstDifference(await a.run(args(only)), await b.run(args(only)));
  const first = await differ(ALL_STEPS);
  if (first === undefined) return `seed ${seed}: differs no more when it is run alone`;
  const steps = await minimise(differ, first);
  const { lines } = (await differ(steps)) ?? first;
  const program = (await a.run(args(steps))).split('\n').map((line) => line.replace(/ map .*/, ''));
  return [
    `seed ${seed}: ${a.name} and ${b.name} differ. The least program, as ${a.name} runs it:`,
    ...program.filter((line) => line !== '').map((line) => `    ${line}`),
    `  ${a.name}: ${lines[0]}`,
    `  ${b.name}: ${lines[1]}`,
    `  only ${a.name}: ${onlyIn(...lines)}`,
    `  only ${b.name}: ${onlyIn(lines[1], lines[0])}`,
    `  again: ${PROGRAM} ${args(steps).join(' ')}`,
  ].join('\n');
}
