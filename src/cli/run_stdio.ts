/** Connects the terminal, pipes and signals of this process with a program in the guest. */

import { fstatSync, readFileSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import type { ReadStream } from 'node:tty';
import { killProcessGroup } from '../kernel/signal.ts';
import type { Machine, SpawnOptions } from '../machine/machine.ts';
import type { Process } from '../machine/process.ts';
import { signalNumber } from '../uapi/signal.ts';
import { CliError, hostErrorLine } from './exit_code.ts';
import type { RunFlags } from './run_flags.ts';

/** Signals that are passed on to the program. */
const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const;
const STDIN_FILENO = 0;
/** A second Ctrl-C within this time ends the program whatever it does, in milliseconds. */
const SECOND_INTERRUPT_MS = 1500;

/** The plan for standard streams, made before the program starts. */
export interface StdioPlan {
  readonly spawnOptions: Pick<SpawnOptions, 'stdin' | 'stdout' | 'stderr' | 'tty'>;
  /** Starts the flow of bytes. @returns what puts the host's streams back. */
  connect(guest: Process): () => void;
  /** Waits until all output has been written. @throws CliError when the host did not take it. */
  drain(guest: Process): Promise<void>;
}

/**
 * Passes signals on to the program and its children, as a terminal would. The second SIGINT within
 * a moment ends the program whatever it does with signals.
 *
 * @returns what restores the host's handling.
 */
export function forwardSignals(machine: Machine, guest: Process): () => void {
  let lastInterrupt = Number.NEGATIVE_INFINITY;
  const forward = (signal: NodeJS.Signals): void => {
    const now = Date.now();
    const again = signal === 'SIGINT' && now - lastInterrupt < SECOND_INTERRUPT_MS;
    if (signal === 'SIGINT') lastInterrupt = now;
    // The program leads the process group that it was started in.
    killProcessGroup(machine.internals, guest.pid, signalNumber(again ? 'SIGKILL' : signal));
  };
  for (const signal of FORWARDED) process.on(signal, forward);
  return () => {
    for (const signal of FORWARDED) process.removeListener(signal, forward);
  };
}

/**
 * Waits until the host has taken what the program wrote. Not for the end of the stream: a
 * background process that outlives the program may hold it open.
 */
async function drained(stream: Readable): Promise<void> {
  while (!stream.destroyed && !stream.readableEnded && stream.readableLength > 0)
    await setImmediate();
}

/** Keeps the guest's terminal as large as the host's. @returns what ends this. */
function followWindowSize(guest: Process): () => void {
  const { stdout } = process;
  const resize = (): void => guest.resize(stdout.rows, stdout.columns);
  if (!stdout.isTTY) return () => undefined;
  resize();
  stdout.on('resize', resize);
  return () => void stdout.removeListener('resize', resize);
}

/** Standard input is the program's when it is a pipe or a file, or when -i asks for the terminal. */
export function wireStdio(flags: RunFlags): StdioPlan {
  const input = process.stdin as ReadStream;
  const pass = flags.interactive === true || !input.isTTY;
  const tty = flags.tty === true;
  const raw = tty && pass && input.isTTY;
  let failure: CliError | null = null;
  return {
    spawnOptions: { stdin: pass ? 'pipe' : 'null', stdout: 'pipe', stderr: 'pipe', tty },
    connect(guest) {
      if (raw) input.setRawMode(true);
      const stopResizing = tty ? followWindowSize(guest) : () => undefined;
      // A program that ends before its input does is no error.
      guest.stdin.on('error', () => undefined);
      // All of a file is there before the program runs: reads return the same each time.
      if (flags.seed !== undefined && fstatSync(STDIN_FILENO).isFile())
        guest.stdin.end(readFileSync(STDIN_FILENO));
      else if (pass) input.pipe(guest.stdin);
      const outputs = [
        [guest.stdout, process.stdout],
        [guest.stderr, process.stderr],
      ] as const;
      for (const [from, to] of outputs) {
        from.pipe(to, { end: false });
        // A closed pipe (cowshed run ... | head) is closed for the program too.
        to.on('error', (error: NodeJS.ErrnoException) => {
          if (error.code !== 'EPIPE') failure ??= new CliError(hostErrorLine(error));
          from.destroy();
        });
      }
      return () => {
        stopResizing();
        if (pass) input.unpipe();
        if (raw) input.setRawMode(false);
        if (pass) input.pause();
      };
    },
    async drain(guest) {
      await Promise.all([drained(guest.stdout), drained(guest.stderr)]);
      if (failure !== null) throw failure;
    },
  };
}
