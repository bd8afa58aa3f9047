import { describe, it } from 'node:test';
import { assertTap, runGuest, withMachine } from '../guest.ts';

describe('prctl switches copy-on-write page tables', () => {
  for (const cowPte of [true, false]) {
    it(`from inside, in a machine that starts with them ${cowPte ? 'on' : 'off'}`, async () => {
      await withMachine({ cowPte }, async (machine) => {
        assertTap(await runGuest(machine, 'cow_switch'));
      });
    });
  }
});
