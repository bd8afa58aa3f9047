/** What a program does, and after how many instructions, is not the compiler's business. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { MachineStats } from '../../src/machine/machine.ts';
import { INTERPRETER, JIT_AT_ONCE, JIT_DEFAULT, JIT_SOON, type Tier } from '../cpu_tiers.ts';
import { type GuestRun, runGuest, withMachine } from '../guest.ts';

const MEMORY = 256 * 1024 ** 2;

/** Programs that do not look at the clock: it is the host's. */
const PROGRAMS: readonly (readonly string[])[] = [
  ['hello', 'a', 'b'],
  ['fork_tree', '100', '8', '4', '7'],
  ['random_memory', '1'],
  ['threads'],
  ['signals'],
  ['cow_fork'],
];

interface Outcome {
  readonly run: GuestRun;
  readonly stats: MachineStats;
  readonly compiled: number;
}

async function outcome({ jit }: Tier, [name = '', ...args]: readonly string[]): Promise<Outcome> {
  return withMachine({ memory: MEMORY, jit, randomSeed: 1 }, async (machine) => {
    const run = await runGuest(machine, name, args);
    return { run, stats: machine.stats(), compiled: machine.jitStats()?.compiled ?? 0 };
  });
}

describe('every tier retires the same instructions', () => {
  for (const program of PROGRAMS) {
    it(`in ${program.join(' ')}`, async () => {
      const wanted = await outcome(INTERPRETER, program);
      assert.equal(wanted.run.signal, null);
      assert.equal(wanted.compiled, 0);
      // The interpreter again: two runs are the same.
      for (const tier of [INTERPRETER, JIT_AT_ONCE, JIT_SOON, JIT_DEFAULT]) {
        const { run, stats, compiled } = await outcome(tier, program);
        assert.deepEqual(run, wanted.run, tier.name);
        assert.deepEqual(stats, wanted.stats, tier.name);
        if (tier === JIT_AT_ONCE) assert.ok(compiled > 0);
      }
    });
  }
});
