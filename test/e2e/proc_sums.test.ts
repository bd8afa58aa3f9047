/**
 * 64 clones of a process of 256 MiB that each write one page in a hundred: what /proc says of
 * them adds up, with shared page tables as without.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { runGuest, withMachine } from '../guest.ts';

const MIB = 256;
const CLONES = 64;
const MEMORY = 1024 ** 3;

function sums(stdout: string): Map<string, number> {
  const rows = stdout
    .trimEnd()
    .split('\n')
    .map((line) => line.split(' '));
  return new Map(rows.map(([name, value]) => [name!, Number(value)]));
}

const seen = new Map<boolean, Map<string, number>>();

for (const cowPte of [true, false]) {
  describe(`/proc of ${CLONES} clones of ${MIB} MiB, ${cowPte ? 'shared' : 'copied'} page tables`, () => {
    it('adds up: Pss to the frames in use (D17), RSS to a walk (I7), VmPTE to PageTables (I8)', async () => {
      await withMachine({ memory: MEMORY, cowPte }, async (machine) => {
        const run = await runGuest(machine, 'proc_sums', [String(MIB), String(CLONES)]);
        assert.equal(run.code, 0, run.stderr);
        const sum = sums(run.stdout);
        const get = (name: string): number => sum.get(name)!;
        seen.set(cowPte, sum);
        assert.equal(get('processes'), CLONES + 1);
        const frames = get('frames') * 4;
        const written = Math.floor((MIB * 256) / 100) * CLONES;
        assert.ok(frames >= MIB * 1024 + written * 4);
        // A process's Pss is cut to whole kB.
        assert.ok(get('pss_kb') <= frames && get('pss_kb') > frames - (CLONES + 1), run.stdout);
        assert.equal(get('mapped_kb'), frames);
        assert.equal(get('private_kb'), get('frames_once') * 4);
        assert.equal(get('rss_differs'), 0);
        assert.equal(get('vmrss_kb'), get('walked_kb'));
        assert.equal(get('users') * 4, get('vmrss_kb'));
        assert.equal(get('vmpte_kb'), get('pagetables_kb'));
        console.log(
          `${CLONES} clones of ${MIB} MiB, cow-pte ${cowPte ? 'on' : 'off'}: Pss ${get('pss_kb')} kB, ` +
            `frames in use ${frames} kB; VmRSS ${get('vmrss_kb')} kB, walked ${get('walked_kb')} kB; ` +
            `VmPTE ${get('vmpte_kb')} kB, PageTables ${get('pagetables_kb')} kB`,
        );
      });
    });
  });
}

describe('/proc with shared and with copied page tables', () => {
  it('says the same of everything but page tables', () => {
    const [shared, copied] = [seen.get(true)!, seen.get(false)!];
    for (const [name, value] of copied) {
      if (name === 'vmpte_kb' || name === 'pagetables_kb') assert.ok(shared.get(name)! < value);
      else assert.equal(shared.get(name), value, name);
    }
  });
});
