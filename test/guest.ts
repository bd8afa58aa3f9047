/** Guest programs of guest/bin run in a machine, for tests. */

import assert from 'node:assert/strict';
import type { Readable } from 'node:stream';
import { guestProgram } from '../src/bench/guest_files.ts';
import { Machine, type MachineOptions } from '../src/machine/machine.ts';

export interface GuestRun {
  readonly code: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

export async function readAll(stream: Readable): Promise<string> {
  let text = '';
  for await (const chunk of stream) text += (chunk as Buffer).toString('latin1');
  return text;
}

/** Runs `body` with a machine of its own and disposes of it. */
export async function withMachine<T>(
  options: MachineOptions,
  body: (machine: Machine) => Promise<T>,
): Promise<T> {
  const machine = await Machine.create(options);
  try {
    return await body(machine);
  } finally {
    await machine.dispose();
  }
}

/** Runs a program of guest/bin to its end. */
export async function runGuest(
  machine: Machine,
  name: string,
  args: readonly string[] = [],
  input = '',
): Promise<GuestRun> {
  const path = `/tmp/${name}`;
  machine.writeFile(path, guestProgram(name), 0o755);
  const guest = machine.spawn(path, [name, ...args], {
    stdin: 'pipe',
    stdout: 'pipe',
    stderr: 'pipe',
  });
  guest.stdin.end(Buffer.from(input, 'latin1'));
  const output = Promise.all([readAll(guest.stdout), readAll(guest.stderr)]);
  const { code, signal } = await guest.wait();
  const [stdout, stderr] = await output;
  return { code, signal, stdout, stderr };
}

/** Asserts that a TAP program passed all it planned. */
export function assertTap(run: GuestRun): void {
  const failures = run.stdout.split('\n').filter((line) => line.startsWith('not ok'));
  assert.deepEqual(failures, []);
  const planned = Number(/^1\.\.(\d+)$/m.exec(run.stdout)?.[1]);
  const passed = run.stdout.split('\n').filter((line) => line.startsWith('ok ')).length;
  assert.equal(passed, planned, run.stdout);
  assert.equal(run.signal, null);
  assert.equal(run.code, 0);
}
