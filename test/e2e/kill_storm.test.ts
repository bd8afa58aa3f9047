/**
 * Children killed in the middle of every memory operation, with memory and swap too small for
 * them, and pages moved to other frames meanwhile: whatever they were about, their parent's memory
 * is untouched, all counts are right while the storm is on, and nothing is left after it.
 * KILL_STORM is the number of kills.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type PipeInodeInfo, pipeOf } from '../../src/fs/pipe_fs_i.ts';
import type { Kernel } from '../../src/kernel/kernel.ts';
import { compactZone } from '../../src/mm/compaction.ts';
import { checkPageTables } from '../../src/mm/page_table_check.ts';
import { runGuest, withMachine } from '../guest.ts';

/** References that pipes hold on pages of processes, by frame. */
function heldByPipes(kernel: Kernel): Map<number, number> {
  const held = new Map<number, number>();
  const pipes = new Set<PipeInodeInfo>();
  for (const { files } of kernel.tasks.values()) {
    for (let fd = 0; fd < files.size; fd++) {
      const file = files.get(fd);
      const pipe = file === undefined ? undefined : pipeOf(file.inode);
      if (pipe !== undefined) pipes.add(pipe);
    }
  }
  for (const { bufs, head, tail } of pipes) {
    for (let i = tail; i < head; i++) {
      const { pfn } = bufs[i % bufs.length]!;
      if (pfn !== 0) held.set(pfn, (held.get(pfn) ?? 0) + 1);
    }
  }
  return held;
}

const KILLS = Number(process.env['KILL_STORM'] ?? 12);
const MIB = 1024 * 1024;

describe('a storm of kills', () => {
  for (const cowPte of [true, false]) {
    const mode = cowPte ? 'with copy-on-write page tables' : 'with default fork';
    it(`keeps every count right and leaves nothing behind ${mode}`, async () => {
      await withMachine({ cowPte, memory: 48 * MIB, swap: 24 * MIB }, async (machine) => {
        const { pgdat } = machine.internals;
        let checks = 0;
        let running = true;
        const checker = (async () => {
          while (running) {
            checkPageTables(pgdat, heldByPipes(machine.internals));
            // The pages of running programs change their frames, too.
            if (checks % 4 === 0) compactZone(pgdat);
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
        const { forks, swapOuts, swapIns, oomKills } = machine.stats();
        assert.ok(swapOuts > 0 && swapIns > 0);
        assert.ok(pgdat.vmstat.pgmigrateSuccess > 0);
        console.log(
          `${KILLS} kills, ${forks} forks, ${swapOuts} pages out and ${swapIns} in, ${oomKills} times ` +
            `out of memory, ${checks} checks ${mode}`,
        );
      });
    });
  }
});
