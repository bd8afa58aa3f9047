import { describe, it } from 'node:test';
import { assertTap, runGuest, withMachine } from '../guest.ts';

describe('the fork system call', () => {
  for (const cowPte of [true, false]) {
    it(`shares tables after prctl(65), in a machine that starts with them ${cowPte ? 'on' : 'off'}`, async () => {
      await withMachine({ cowPte }, async (machine) => {
        assertTap(await runGuest(machine, 'cow_prctl'));
        assertTap(await runGuest(machine, 'cow_fork'));
      });
    });
  }
});
