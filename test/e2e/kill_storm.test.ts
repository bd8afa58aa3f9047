/**
 * Children killed in the middle of every memory operation: whatever they were about, their parent's
 * memory is untouched, all counts are right while the storm is on, and nothing is left after it.
 * KILL_STORM is the number of kills.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { checkPageTables } from '../../src/mm/page_table_check.ts';
import { runGuest, withMachine } from '../guest.ts';

const KILLS = Number(process.env['KILL_STORM'] ?? 12);
const MIB = 1024 * 1024;

describe('a storm of kills', () => {
  for (const cowPte of [true, false]) {
    const mode = cowPte ? 'with copy-on-write page tables' : 'with default fork';
    it(`keeps every count right and leaves nothing behind ${mode}`, async () => {
      await withMachine({ cowPte, memory: 96 * MIB }, async (machine) => {
        const { pgdat } = machine.internals;
        let checks = 0;
        let running = true;
        const checker = (async () => {
          while (running) {
            checkPageTables(pgdat);
            checks++;
            await sleep(20);
          }
        })();
        const run = await runGuest(machine, 'kill_storm', [String(KILLS), '1']);
        running = false;
        await checker;
        assert.equal(run.stdout, `kills ${KILLS} failures 0\n`);
        checkPageTables(pgdat);
        assert.equal(machine.leakedFrames(), 0);
        assert.ok(checks > 1);
        console.log(`${KILLS} kills, ${machine.stats().forks} forks, ${checks} checks ${mode}`);
      });
    });
  }
});
