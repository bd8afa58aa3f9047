import { describe, it } from 'node:test';
import { TIERS } from '../cpu_tiers.ts';
import { assertTap, runGuest, withMachine } from '../guest.ts';

const MEMORY = 256 * 1024 ** 2;

for (const { name, jit } of TIERS) {
  describe(`code that changes without a fence: ${name}`, () => {
    for (const cowPte of [true, false]) {
      const fork = cowPte ? 'copy-on-write page tables' : 'default fork';
      it(`runs as it was last written, with ${fork}`, async () => {
        const options = { memory: MEMORY, cowPte, ...{ jit } };
        await withMachine(options, async (machine) => {
          assertTap(await runGuest(machine, 'code_changes'));
        });
      });
    }
  });
}
