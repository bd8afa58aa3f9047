/**
 * Forks in trees of depth up to 8 with random writes: nobody sees another's writes, and no frame
 * and no table is left. FORK_STORM is the number of forks.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { runGuest, withMachine } from '../guest.ts';

const FORKS = Number(process.env['FORK_STORM'] ?? 500);

describe('a storm of forks', () => {
  for (const cowPte of [true, false]) {
    it(`leaves nothing behind ${cowPte ? 'with copy-on-write page tables' : 'with default fork'}`, async () => {
      await withMachine({ cowPte }, async (machine) => {
        const before = machine.stats();
        const run = await runGuest(machine, 'fork_tree', [String(FORKS), '8', '8', '1']);
        assert.equal(run.stdout, `forks ${FORKS} failures 0\n`);
        const after = machine.stats();
        assert.equal(after.forks - before.forks, FORKS);
        assert.equal(machine.leakedFrames(), 0);
        assert.equal(after.pageTableBytes, before.pageTableBytes);
        console.log(
          `${FORKS} forks, cow-pte ${cowPte ? 'on' : 'off'}: ${after.sharedTables} tables shared, ` +
            `${after.tableCopies} copied, ${after.tableReuses} taken over; frames and tables as before`,
        );
      });
    });
  }
});
