/** Runs one self test: in cowshed, on this host, or under qemu's user mode. */

import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { ChildRequest, ChildResult } from './machine_child.ts';
import type { Program } from './programs.ts';
import type { Ending } from './tap.ts';

/** Where a program is run: with and without shared page tables, on the host, under qemu. */
export type Place = 'cow-pte' | 'default' | 'host' | 'qemu';

export interface Run extends Ending {
  /** Both streams as they came. */
  readonly output: string;
  readonly stdout: string;
  readonly stderr: string;
  readonly seconds: number;
}

interface Command {
  readonly file: string;
  readonly args: readonly string[];
  /** Whether descriptor 3 is a pipe for the result. */
  readonly reports: boolean;
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

function commandOf(place: Place, dir: string, { binary, args }: Program): Command {
  if (place === 'host') return { file: join(dir, binary), args, reports: false };
  if (place === 'qemu')
    return {
      file: findQemu() ?? 'qemu-riscv64',
      args: [join(dir, binary), ...args],
      reports: false,
    };
  const request: ChildRequest = { dir, program: binary, args, cowPte: place === 'cow-pte' };
  return {
    file: process.execPath,
    args: ['--import', loader, child, JSON.stringify(request)],
    reports: true,
  };
}

function collect(stream: Readable | null, take: (text: string) => void): void {
  stream?.on('data', (chunk: Buffer) => take(chunk.toString('latin1')));
}

/** How the program in the machine ended, as the child reports it. */
function endingOf(report: string, code: number | null, signal: string | null): Ending {
  if (report === '')
    return { code: null, killed: `cowshed ended (${signal ?? `exit code ${code}`})` };
  const { leakedFrames, ...ending } = JSON.parse(report) as ChildResult;
  if (ending.killed === '' && leakedFrames !== null && leakedFrames !== 0)
    return { code: ending.code, killed: `the machine has lost ${leakedFrames} frames` };
  return ending;
}

/** Runs a program to its end or to the time limit. */
export function runProgram(
  place: Place,
  dir: string,
  program: Program,
  limitSeconds: number,
): Promise<Run> {
  const { file, args, reports } = commandOf(place, dir, program);
  const cwd = mkdtempSync(join(tmpdir(), 'cowshed-kselftest-'));
  const started = performance.now();
  return new Promise((resolve) => {
    // A process group of its own, so that what the test leaves behind ends with it.
    const running = spawn(file, args, {
      cwd,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    });
    let [output, stdout, stderr, report] = ['', '', '', ''];
    let late = false;
    collect(running.stdout, (text) => {
      if (output.length > MAX_OUTPUT) return;
      stdout += text;
      output += text;
    });
    collect(running.stderr, (text) => {
      if (output.length > MAX_OUTPUT) return;
      stderr += text;
      output += text;
    });
    collect(running.stdio[3] as Readable, (text) => {
      report += text;
    });
    const endGroup = (): void => {
      try {
        if (running.pid !== undefined) process.kill(-running.pid, 'SIGKILL');
      } catch {
        // All of it has ended.
      }
    };
    const timer = setTimeout(() => {
      late = true;
      endGroup();
    }, limitSeconds * 1000);
    const finish = (ending: Ending): void => {
      clearTimeout(timer);
      endGroup();
      rmSync(cwd, { recursive: true, force: true });
      const seconds = (performance.now() - started) / 1000;
      resolve({ ...ending, output, stdout, stderr, seconds });
    };
    running.on('error', (error) => finish({ code: null, killed: error.message }));
    // Orphans hold the pipes open: they end with the program.
    running.on('exit', () => setTimeout(endGroup, 100));
    running.on('close', (code, signal) => {
      if (late) finish({ code: null, killed: `time limit of ${limitSeconds} s` });
      else if (reports) finish(endingOf(report, code, signal));
      else finish({ code, killed: signal ?? '' });
    });
  });
}
