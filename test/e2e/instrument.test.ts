/** What a machine's instrumentation writes is what programs do, whatever tier executes them. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { Machine, type MachineOptions } from '../../src/machine/machine.ts';
import { INTERPRETER, JIT_AT_ONCE, JIT_DEFAULT, JIT_SOON, type Tier } from '../cpu_tiers.ts';
import { runGuest, withMachine } from '../guest.ts';

const MEMORY = 256 * 1024 ** 2;
const WATCH_ALL = { edges: true, compares: true, blocks: true };

/** Programs that do not look at the clock: it is the host's. */
const PROGRAMS: readonly (readonly string[])[] = [
  ['hello', 'a', 'b'],
  ['fork_tree', '100', '8', '4', '7'],
  ['random_memory', '1'],
  ['threads'],
  ['signals'],
];

interface Outcome {
  readonly edges: number;
  readonly map: string;
  readonly blocks: string;
  readonly compares: string;
  readonly stats: string;
}

function digest(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

async function outcome({ jit }: Tier, [name = '', ...args]: readonly string[]): Promise<Outcome> {
  const options: MachineOptions = { memory: MEMORY, jit, randomSeed: 1, instrument: WATCH_ALL };
  return withMachine(options, async (machine) => {
    await runGuest(machine, name, args);
    const map = machine.coverage()!;
    const { total, records } = machine.compareLog()!;
    const blocks = machine.blockTrace()!;
    return {
      edges: map.reduce((count, counter) => count + (counter === 0 ? 0 : 1), 0),
      map: digest(map),
      blocks: `${blocks.total} ${digest(blocks.pcs.join())}`,
      compares: `${total} ${digest(records.map((r) => Object.values(r).join()).join('\n'))}`,
      stats: JSON.stringify(machine.stats()),
    };
  });
}

describe('the edge map, the blocks and the comparisons are those of every tier', () => {
  for (const program of PROGRAMS) {
    it(`in ${program.join(' ')}`, async () => {
      const wanted = await outcome(INTERPRETER, program);
      assert.ok(wanted.edges > 20, `${wanted.edges} edges`);
      // The interpreter again: two runs are the same.
      for (const tier of [INTERPRETER, JIT_AT_ONCE, JIT_SOON, JIT_DEFAULT])
        assert.deepEqual(await outcome(tier, program), wanted, tier.name);
    });
  }

  it('and differ when the program goes another way', async () => {
    const [few, more] = [
      await outcome(INTERPRETER, ['fork_tree', '10', '2', '1', '7']),
      await outcome(INTERPRETER, ['fork_tree', '10', '4', '1', '7']),
    ];
    assert.notEqual(few.map, more.map);
  });
});

describe('Machine.coverage()', () => {
  it('is null, as the logs are, unless it was asked for', async () => {
    await withMachine({ memory: MEMORY }, async (machine) => {
      assert.equal(machine.coverage(), null);
      assert.equal(machine.compareLog(), null);
      assert.equal(machine.blockTrace(), null);
      machine.clearCoverage();
    });
  });

  it('is a view that can be cleared between two runs that are the same', async () => {
    const instrument = { edges: true, mapSize: 8192 };
    await withMachine({ memory: MEMORY, randomSeed: 1, instrument }, async (machine) => {
      const map = machine.coverage()!;
      assert.equal(map.length, 8192);
      await runGuest(machine, 'hello', ['a']);
      const first = map.slice();
      assert.ok(first.some((count) => count > 0));
      machine.clearCoverage();
      assert.ok(map.every((count) => count === 0));
      await runGuest(machine, 'hello', ['a']);
      assert.deepEqual(map, first);
    });
  });

  it('refuses sizes that are no power of two, and more than the memory has', async () => {
    await assert.rejects(Machine.create({ instrument: { edges: true, mapSize: 65_000 } }), {
      code: 'EINVAL',
      message: 'Cannot use mapSize 65000: want a power of two, 256 to 4194304',
    });
    for (const comparesPerSite of [1, 3, 256])
      await assert.rejects(Machine.create({ instrument: { compares: true, comparesPerSite } }), {
        code: 'EINVAL',
        message: /^Cannot keep \d+ comparisons of each branch: want 0 or a power of two, 2 to 128$/,
      });
    const instrument = { compares: true, compareRecords: 1 << 20 };
    await assert.rejects(Machine.create({ memory: 16 << 20, instrument }), {
      code: 'ERR_MEMORY_SIZE',
    });
  });
});
