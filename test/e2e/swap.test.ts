/** Swap areas of a machine: memory of the host, files of the host, and what the guest sees of them. */

import assert from 'node:assert/strict';
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { CowshedError } from '../../src/machine/errors.ts';
import { Machine } from '../../src/machine/machine.ts';
import { allocPage } from '../../src/mm/page_alloc.ts';
import { NO_PFN } from '../../src/mm/page.ts';
import { assertTap, runGuest, withMachine } from '../guest.ts';
import { guestProgram } from '../../src/bench/guest_files.ts';

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

  it('takes a file again with the size that it was made with', async () => {
    await withFolder(async (dir) => {
      const swap = { file: join(dir, 'swap'), bytes: 1_000_001 };
      for (let time = 0; time < 2; time++) {
        await withMachine({ memory: MEMORY, swap }, async (machine) => {
          assert.equal(machine.stats().swapBytes, 243 * 4096);
        });
      }
    });
  });

  it('does not swap twice to one file', async () => {
    await withFolder(async (dir) => {
      const swap = { file: join(dir, 'swap'), bytes: MIB };
      const refused = { code: 'EBUSY' };
      await assert.rejects(Machine.create({ memory: MEMORY, swap: [swap, swap] }), refused);
      await withMachine({ memory: MEMORY, swap }, async () => {
        await assert.rejects(Machine.create({ memory: MEMORY, swap }), refused);
      });
      await withMachine({ memory: MEMORY, swap }, async () => {});
    });
  });

  it('leaves no new file behind when it cannot be used', async () => {
    await withFolder(async (dir) => {
      const file = join(dir, 'swap');
      for (const bytes of [undefined, 1024, Number.NaN]) {
        const created = Machine.create({ memory: MEMORY, swap: { file, bytes } });
        await assert.rejects(created, { code: 'ERR_SWAP_SIZE' });
        assert.equal(existsSync(file), false);
      }
    });
  });

  it('says what it wants when it is given something else', async () => {
    for (const swap of [null, '64m', [undefined], {}, true]) {
      const created = Machine.create({ memory: MEMORY, swap: swap as never });
      await assert.rejects(created, { code: 'EINVAL', message: /want a number of bytes/ });
    }
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

/** Memory that the guest program `swap` fills, MiB: half as much again as there is. */
const FILL = '48';

for (const cowPte of [true, false]) {
  describe(`programs larger than memory, with ${cowPte ? 'shared page tables' : 'default fork'}`, () => {
    it('keep their bytes in memory of the host', async () => {
      await withMachine({ memory: MEMORY, swap: 64 * MIB, cowPte }, async (machine) => {
        assertTap(await runGuest(machine, 'swap', [FILL]));
        const { swapOuts, swapIns, swapBytes, swapFreeBytes } = machine.stats();
        assert.ok(swapOuts > 1000 && swapIns > 1000);
        assert.equal(swapFreeBytes, swapBytes);
        assert.equal(machine.leakedFrames(), 0);
        assert.match(text(machine, '/proc/vmstat'), /^pgsteal_kswapd [1-9]/m);
      });
    });

    it('keep their bytes in a file of the host', async () => {
      await withFolder(async (dir) => {
        const swap = { file: join(dir, 'swap'), bytes: 64 * MIB };
        await withMachine({ memory: MEMORY, swap, cowPte }, async (machine) => {
          assertTap(await runGuest(machine, 'swap', [FILL]));
        });
      });
    });
  });
}

describe('a swap file that is touched while the machine runs', () => {
  /** Fills memory and swap, does something to the file, and lets the program look at every page. */
  async function lose(harm: (file: string) => void): Promise<string> {
    return withFolder(async (dir) => {
      const file = join(dir, 'swap');
      const swap = { file, bytes: 64 * MIB };
      return withMachine({ memory: MEMORY, swap }, async (machine) => {
        machine.writeFile('/tmp/swap', guestProgram('swap'), 0o755);
        const guest = machine.spawn('/tmp/swap', ['swap', FILL, 'lost'], {
          stdin: 'pipe',
          stdout: 'pipe',
        });
        let output = '';
        for await (const chunk of guest.stdout) {
          output += String(chunk);
          if (output !== 'ready\n') continue;
          harm(file);
          guest.stdin.write('x');
        }
        const { code, signal } = await guest.wait();
        return `${output.replace('ready\n', '')}${signal ?? code}`;
      });
    });
  }

  it('may be removed', async () => {
    assert.equal(await lose(unlinkSync), 'intact\n0');
  });

  it('is SIGBUS once it is cut short', async () => {
    assert.equal(await lose((file) => truncateSync(file, 16 * MIB)), 'SIGBUS');
  });

  it('is SIGBUS, never zeroes, once it was cut and made as long again', async () => {
    const harm = (file: string): void => {
      truncateSync(file, 0);
      truncateSync(file, 64 * MIB);
    };
    assert.equal(await lose(harm), 'SIGBUS');
  });

  it('is SIGBUS, never wrong bytes, once somebody else wrote to it', async () => {
    assert.equal(await lose((file) => writeFileSync(file, Buffer.alloc(64 * MIB, 'x'))), 'SIGBUS');
  });
});

describe('memory and swap together too small', () => {
  it('end the program that is largest', async () => {
    await withMachine({ memory: MEMORY, swap: 8 * MIB }, async (machine) => {
      const run = await runGuest(machine, 'eat_memory');
      assert.equal(run.signal, 'SIGKILL');
      assert.equal(machine.stats().oomKills, 1);
      assert.ok(machine.stats().swapOuts >= 2000);
      assert.equal(machine.leakedFrames(), 0);
    });
  });

  it('kill nobody for a bad pointer', async () => {
    await withMachine({ memory: MEMORY }, async (machine) => {
      const { pgdat } = machine.internals;
      machine.writeFile('/tmp/bad_access', guestProgram('bad_access'), 0o755);
      const guest = machine.spawn('/tmp/bad_access', ['bad_access', 'bad_pointer'], {
        stdin: 'pipe',
        stdout: 'pipe',
      });
      let output = '';
      for await (const chunk of guest.stdout) {
        output += String(chunk);
        if (output !== 'ready\n') continue;
        while (pgdat.freeFrames > 12) assert.notEqual(allocPage(pgdat), NO_PFN);
        guest.stdin.write('xx');
      }
      await guest.wait();
      assert.match(output, /^ready\nerror 14\n/);
      assert.equal(machine.stats().oomKills, 0);
    });
  });
});
