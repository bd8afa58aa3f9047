/** Swap areas of a machine: memory of the host, files of the host, and what the guest sees of them. */

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { CowshedError } from '../../src/machine/errors.ts';
import { Machine } from '../../src/machine/machine.ts';
import { withMachine } from '../guest.ts';

const MIB = 1024 * 1024;
const MEMORY = 32 * MIB;

function text(machine: Machine, path: string): string {
  return Buffer.from(machine.readFile(path)).toString('latin1');
}

async function withFolder<T>(body: (dir: string) => Promise<T>): Promise<T> {
  const dir = mkdtempSync(join(tmpdir(), 'cowshed-swap-'));
  try {
    return await body(dir);
  } finally {
    rmSync(dir, { recursive: true });
  }
}

describe('swap of a machine', () => {
  it('is none unless asked for', async () => {
    await withMachine({ memory: MEMORY }, async (machine) => {
      assert.equal(text(machine, '/proc/swaps').split('\n').length, 2);
      assert.equal(machine.stats().swapBytes, 0);
    });
  });

  it('is memory or files, filled in the order they are named', async () => {
    await withFolder(async (dir) => {
      const file = join(dir, 'swap');
      const swap = [16 * MIB, { file, bytes: 8 * MIB }];
      await withMachine({ memory: MEMORY, swap }, async (machine) => {
        assert.equal(
          text(machine, '/proc/swaps'),
          'Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n' +
            `${'/dev/swap0'.padEnd(40)}partition\t16380\t\t0\t\t-2\n` +
            `${'/dev/swap1'.padEnd(40)}partition\t8188\t\t0\t\t-3\n`,
        );
        assert.match(text(machine, '/proc/meminfo'), /SwapTotal: +24568 kB\nSwapFree: +24568 kB/);
        assert.match(text(machine, '/proc/partitions'), / 240 +1 +8192 swap1\n/);
        assert.equal(machine.stats().swapBytes, 24568 * 1024);
      });
      assert.equal(statSync(file).size, 8 * MIB);
      assert.equal(statSync(file).mode & 0o777, 0o600);
      assert.equal(readFileSync(file).toString('latin1', 4086, 4096), 'SWAPSPACE2');
      // A second machine takes the area as it is.
      await withMachine({ memory: MEMORY, swap: { file } }, async (machine) => {
        assert.equal(machine.stats().swapBytes, 8188 * 1024);
      });
    });
  });

  it('refuses what is no swap area, and overwrites nothing', async () => {
    await withFolder(async (dir) => {
      const file = join(dir, 'letter');
      const letter = Buffer.alloc(MIB, 'dear ');
      writeFileSync(file, letter);
      const refusals: readonly (readonly [unknown, RegExp])[] = [
        [{ file }, /not empty, and no swap area/],
        [{ file, bytes: 2 * MIB }, /it has 1048576 bytes, not 2097152/],
        [{ file: join(dir, 'new') }, /no size is given/],
        [{ file: dir }, /EISDIR/],
        [{ file: join(dir, 'a', 'b'), bytes: MIB }, /ENOENT/],
        [4096, /it has 4096 bytes, want 40960/],
        [Array(24).fill(MIB), /there are 24 areas/],
      ];
      for (const [swap, message] of refusals) {
        await assert.rejects(
          Machine.create({ memory: MEMORY, swap: swap as number }),
          (error) => error instanceof CowshedError && message.test(error.message),
          String(message),
        );
      }
      assert.deepEqual(readFileSync(file), letter);
    });
  });
});
