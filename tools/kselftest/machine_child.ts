/**
 * Runs one self test in a machine of its own, in a process of its own: a test that ends the
 * machine, or keeps it from ever returning to its event loop, takes nothing else with it.
 *
 *     node --import tsx machine_child.ts '{"dir":...,"program":...,"args":[...],"cowPte":true}'
 *
 * Prints lines of JSON: what the program prints, in the order in which it prints it, and at last
 * how it ended.
 */

import { once } from 'node:events';
import { writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { PAGE_SIZE } from '../../src/arch/riscv/memlayout.ts';
import type * as Cowshed from '../../src/index.ts';

/** What the parent asks for. */
export interface ChildRequest {
  /** Directory of the host with the program. */
  readonly dir: string;
  readonly program: string;
  readonly args: readonly string[];
  readonly cowPte: boolean;
}

/** How it ended. */
export interface ChildResult {
  readonly code: number | null;
  /** A signal, or why the machine stopped; empty when the program exited. */
  readonly killed: string;
  /** Frames and pages of swap in use that were not at boot, and are no cached file's; 0 while processes are left. */
  readonly leakedPages: number;
}

/** One line that this process prints. */
export type ChildReport =
  | { readonly stdout: string }
  | { readonly stderr: string }
  | { readonly result: ChildResult };

/** Where the programs are in the guest. */
const GUEST_DIR = '/kselftest';
/** Swap of a machine: what cow's largest case and the reclaim of droppable memory need, many times over. */
const SWAP_BYTES = 256 * 2 ** 20;
/** Milliseconds for orphans to end after the program has. */
const ORPHAN_MS = 2000;
const POLL_MS = 20;

const dist = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), 'dist', 'index.js');

function report(line: ChildReport): void {
  const bytes = Buffer.from(`${JSON.stringify(line)}\n`);
  for (let at = 0; at < bytes.length; ) at += writeSync(1, bytes, at);
}

async function passOn(guest: Cowshed.Process): Promise<void> {
  guest.stdout.on('data', (chunk: Buffer) => report({ stdout: chunk.toString('latin1') }));
  guest.stderr.on('data', (chunk: Buffer) => report({ stderr: chunk.toString('latin1') }));
  await Promise.all([once(guest.stdout, 'end'), once(guest.stderr, 'end')]);
}

/** Pages that somebody holds although nothing runs. */
function leaked(machine: Cowshed.Machine): number {
  const { swapBytes, swapFreeBytes } = machine.stats();
  return machine.leakedFrames() + (swapBytes - swapFreeBytes) / PAGE_SIZE;
}

async function run(request: ChildRequest): Promise<ChildResult> {
  const { Machine } = (await import(pathToFileURL(dist).href)) as typeof Cowshed;
  const machine = await Machine.create({
    cowPte: request.cowPte,
    mounts: [{ host: request.dir, guest: GUEST_DIR }],
    randomSeed: 1,
    swap: SWAP_BYTES,
  });
  const { tasks } = machine.internals;
  machine.mkdir('/dev/shm');
  try {
    const path = `${GUEST_DIR}/${request.program}`;
    const guest = machine.spawn(path, [path, ...request.args], { cwd: '/tmp' });
    const drained = passOn(guest);
    const { code, signal } = await guest.wait();
    const deadline = Date.now() + ORPHAN_MS;
    while (tasks.size > 0 && Date.now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    if (tasks.size === 0) await drained;
    return { code, killed: signal ?? '', leakedPages: tasks.size === 0 ? leaked(machine) : 0 };
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return { code: null, killed: text, leakedPages: 0 };
  }
}

report({ result: await run(JSON.parse(process.argv[2] ?? '') as ChildRequest) });
process.exit(0);
