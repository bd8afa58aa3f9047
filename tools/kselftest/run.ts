/** Runs one self test: in cowshed, on this host, or under qemu's user mode. */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { ChildReport, ChildRequest } from './machine_child.ts';
import type { Program } from './programs.ts';
import type { Ending } from './tap.ts';

/** Where a program is run: with and without shared page tables, on the host, under qemu. */
export type Place = 'cow-pte' | 'default' | 'host' | 'qemu';

export interface Run extends Ending {
  /** Both streams in the order of writing. */
  readonly output: string;
  readonly stdout: string;
  readonly stderr: string;
  readonly seconds: number;
}

interface Command {
  readonly file: string;
  readonly args: readonly string[];
}

const loader = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
const child = join(dirname(fileURLToPath(import.meta.url)), 'machine_child.ts');
/** A program that prints without end is cut here, characters. */
const MAX_OUTPUT = 2 ** 24;

/** @returns the name of qemu's user-mode emulator, or null when it is not installed. */
export function findQemu(): string | null {
  for (const name of ['qemu-riscv64', 'qemu-riscv64-static'])
    if (spawnSync(name, ['--version']).status === 0) return name;
  return null;
}

/** Both streams of a program in one pipe keep their order. */
const MERGE_SCRIPT = 'exec "$@" 2>&1';

function commandOf(place: Place, dir: string, { binary, args }: Program): Command {
  if (place === 'host' || place === 'qemu') {
    const emulator = place === 'qemu' ? [findQemu() ?? 'qemu-riscv64'] : [];
    const command = [...emulator, join(dir, binary), ...args];
    return { file: 'sh', args: ['-c', MERGE_SCRIPT, 'sh', ...command] };
  }
  const request: ChildRequest = { dir, program: binary, args, cowPte: place === 'cow-pte' };
  return { file: process.execPath, args: ['--import', loader, child, JSON.stringify(request)] };
}

/** What a run in the machine printed, and how it ended, from the child's lines. */
function readReports(
  text: string,
  code: number | null,
  signal: string | null,
): Omit<Run, 'seconds'> {
  let [output, stdout, stderr] = ['', '', ''];
  let ending: Ending = { code: null, killed: `cowshed ended (${signal ?? `exit code ${code}`})` };
  for (const line of text.split('\n')) {
    if (!line.startsWith('{') || !line.endsWith('}')) continue;
    const report = JSON.parse(line) as ChildReport;
    if ('stdout' in report) {
      stdout += report.stdout;
      output += report.stdout;
    } else if ('stderr' in report) {
      stderr += report.stderr;
      output += report.stderr;
    } else {
      const { leakedPages, ...ended } = report.result;
      const leaked = ended.killed === '' && leakedPages !== 0;
      ending = leaked ? { ...ended, killed: `the machine has lost ${leakedPages} pages` } : ended;
    }
  }
  return { ...ending, output, stdout, stderr };
}

/** Ends a process and all it has started. */
function endGroup({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL');
  } catch {
    // All of it has ended.
  }
}

/** Runs a program to its end or to the time limit. */
export function runProgram(
  place: Place,
  dir: string,
  program: Program,
  limitSeconds: number,
): Promise<Run> {
  const { file, args } = commandOf(place, dir, program);
  const inMachine = place === 'cow-pte' || place === 'default';
  const cwd = mkdtempSync(join(tmpdir(), 'cowshed-kselftest-'));
  const started = performance.now();
  return new Promise((resolve) => {
    // A process group of its own, so that what the test leaves behind ends with it.
    const running = spawn(file, args, {
      cwd,
      detached: true,
      stdio: ['ignore', 'pipe', inMachine ? 'inherit' : 'ignore'],
    });
    let text = '';
    let late = false;
    running.stdout.on('data', (chunk: Buffer) => {
      if (text.length < MAX_OUTPUT) text += chunk.toString('latin1');
    });
    const timer = setTimeout(() => {
      late = true;
      endGroup(running);
    }, limitSeconds * 1000);
    const finish = (run: Omit<Run, 'seconds'>): void => {
      clearTimeout(timer);
      endGroup(running);
      rmSync(cwd, { recursive: true, force: true });
      resolve({ ...run, seconds: (performance.now() - started) / 1000 });
    };
    running.on('error', (error) => {
      finish({ output: '', stdout: '', stderr: '', code: null, killed: error.message });
    });
    // Orphans hold the pipe open: they end with the program.
    running.on('exit', () => setTimeout(() => endGroup(running), 100));
    running.on('close', (code, signal) => {
      const run = inMachine
        ? readReports(text, code, signal)
        : { output: text, stdout: text, stderr: '', code, killed: signal ?? '' };
      finish(late ? { ...run, code: null, killed: `time limit of ${limitSeconds} s` } : run);
    });
  });
}
