/** Commands of the host that a benchmark times, a process each: start-up and compilation count. */

import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** A command with all that decides what it does. */
export interface HostCommand {
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  /** Host path of its standard input; none by default. */
  readonly stdin?: string | undefined;
}

/** What a command printed and how long it took, its start and end included. */
export interface CommandRun {
  readonly wallMs: number;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** Most that one command may print. */
const MAX_OUTPUT_BYTES = 256 * 1024 ** 2;
/** Before $PATH: what stands there may be a wrapper that takes longer than the program. */
const PROGRAM_FOLDERS = ['/usr/bin', '/bin'];

/** The first of a few lines, for messages. */
export function firstLine(text: string): string {
  return text.trim().split('\n')[0] ?? '';
}

/**
 * Runs a command to its end.
 * @throws Error when it does not start or does not end with 0.
 */
export function runCommand({ command, args, cwd, env, stdin }: HostCommand): CommandRun {
  const input = stdin === undefined ? 'ignore' : openSync(stdin, 'r');
  try {
    const started = performance.now();
    const run = spawnSync(command, args, {
      cwd,
      env,
      stdio: [input, 'pipe', 'pipe'],
      maxBuffer: MAX_OUTPUT_BYTES,
    });
    const wallMs = performance.now() - started;
    if (run.error !== undefined) throw run.error;
    const stderr = run.stderr.toString('utf8');
    if (run.status === 0) return { wallMs, stdout: run.stdout, stderr };
    const how = run.signal === null ? `ended with ${run.status}` : `was killed by ${run.signal}`;
    throw new Error(`${command} ${how}: ${firstLine(stderr)}`);
  } finally {
    if (typeof input === 'number') closeSync(input);
  }
}

/** Path of a program that this host has. */
export function findProgram(name: string): string | undefined {
  const path = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  return [...PROGRAM_FOLDERS, ...path].map((folder) => join(folder, name)).find(existsSync);
}
