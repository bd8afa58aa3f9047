/** The three modes of a benchmark: the host's own kernel, default fork, copy-on-write tables. */

import type { Machine, RootSpec } from '../machine/machine.ts';
import { buildNative } from './guest_files.ts';
import { type BenchMode, machineMode, nativeMode } from './line_program.ts';

/** Makes the machine of one mode; the bench disposes of it. */
export type MachineFactory = (options: {
  readonly cowPte: boolean;
  /** Bytes. */
  readonly memory: number;
  /** Default: an empty root file system. */
  readonly root?: RootSpec;
}) => Promise<Machine>;

export interface BenchOptions {
  readonly machine: MachineFactory;
  /** Memory of each machine in bytes; the default is 2 GiB. */
  readonly memory?: number;
  /** False leaves out the native rows. */
  readonly native?: boolean;
  /** Told before each long step. */
  readonly onProgress?: (step: string) => void;
}

const DEFAULT_MEMORY = 2 * 1024 ** 3;

/** Modes in the order of their rows, and why one is missing. */
interface Modes {
  readonly modes: readonly BenchMode[];
  /** Reason for having no native rows; undefined if there are some. */
  readonly skipped: string | undefined;
}

/** Sets up the modes for one program, runs `body`, and takes everything down again. */
export async function withModes<T>(
  program: string,
  options: BenchOptions,
  body: (modes: Modes) => Promise<T>,
): Promise<T> {
  const memory = options.memory ?? DEFAULT_MEMORY;
  const native =
    options.native === false
      ? { ok: false as const, reason: 'not asked for' }
      : buildNative([program]);
  const machines: Machine[] = [];
  try {
    const modes: BenchMode[] = native.ok ? [nativeMode(native.path)] : [];
    for (const name of ['default', 'cow-pte'] as const) {
      const machine = await options.machine({ cowPte: name === 'cow-pte', memory });
      machines.push(machine);
      modes.push(machineMode(name, machine));
    }
    return await body({ modes, skipped: native.ok ? undefined : native.reason });
  } finally {
    if (native.ok) native.dispose();
    for (const machine of machines) await machine.dispose();
  }
}

/** Every second round goes backwards, so that a drift of the host's speed hits no mode more. */
export function roundOrder<T>(modes: readonly T[], round: number): readonly T[] {
  return round % 2 === 0 ? modes : modes.toReversed();
}
