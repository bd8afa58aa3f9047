import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assertTap, runGuest, withMachine } from '../guest.ts';

const MEMORY = 256 * 1024 ** 2;

describe('guest programs', () => {
  it('get their arguments and print', async () => {
    await withMachine({ memory: MEMORY }, async (machine) => {
      const run = await runGuest(machine, 'hello', ['a', 'b c']);
      assert.equal(run.stdout, 'hello from riscv64 a b c\n');
      assert.deepEqual([run.code, run.signal], [0, null]);
    });
  });

  it('copy standard input to standard output, byte for byte', async () => {
    await withMachine({ memory: MEMORY }, async (machine) => {
      const input = Array.from({ length: 100_000 }, (_, i) => String.fromCharCode(i & 255)).join(
        '',
      );
      const run = await runGuest(machine, 'cat', [], input);
      assert.ok(run.stdout === input);
    });
  });

  it('end with an exit code or a signal', async () => {
    await withMachine({ memory: MEMORY }, async (machine) => {
      assert.equal((await runGuest(machine, 'exit_code', ['42'])).code, 42);
      const killed = await runGuest(machine, 'exit_code', ['-9']);
      assert.deepEqual([killed.code, killed.signal], [null, 'SIGKILL']);
    });
  });
});

const SELF_TESTS = [
  'cow_fork',
  'cow_break',
  'cow_prctl',
  'cow_switch',
  'threads',
  'signals',
  'autoreap',
  'pidfd',
  'mdwe',
  'mlock',
  'gup',
];

for (const cowPte of [true, false]) {
  describe(`self tests with ${cowPte ? 'copy-on-write page tables' : 'default fork'}`, () => {
    for (const name of SELF_TESTS) {
      it(`pass: ${name}`, async () => {
        await withMachine({ memory: MEMORY, cowPte }, async (machine) => {
          assertTap(await runGuest(machine, name));
        });
      });
    }

    it('stay isolated in trees of forks with random writes', async () => {
      await withMachine({ memory: MEMORY, cowPte }, async (machine) => {
        const run = await runGuest(machine, 'fork_tree', ['400', '8', '4', '7']);
        assert.equal(run.stdout, 'forks 400 failures 0\n');
        assert.equal(run.code, 0);
      });
    });
  });
}
