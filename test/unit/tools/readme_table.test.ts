import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { CpuRow } from '../../../src/bench/cpu.ts';
import { renderResults, replaceMeasured } from '../../../tools/readme_table.ts';

const pair = (p50: number) => ({ p50, p99: p50 * 2 });

function forkRow(
  mappedMiB: number,
  mode: 'native' | 'default' | 'cow-pte',
  us: number,
  pages: 'anon' | 'zero' = 'anon',
) {
  return {
    mappedMiB,
    pages,
    mode,
    forkUs: pair(us),
    cycleUs: pair(us * 2),
    childVmRssKiB: 1,
    childVmPteKiB: 40,
  };
}

describe('renderResults()', () => {
  it('compares sizes and names the largest one', () => {
    const lines = renderResults({
      fork: [
        forkRow(64, 'native', 900),
        forkRow(64, 'default', 100),
        forkRow(64, 'cow-pte', 3),
        forkRow(51_200, 'cow-pte', 4, 'zero'),
      ],
      fault: [{ pattern: 'random', mode: 'cow-pte', perPageNs: 29 }],
      break: [{ how: 'copy', mode: 'cow-pte', firstNs: 3000, secondNs: 600, breakNs: 2400 }],
      cpu: [],
    });
    assert.ok(lines.includes('| 64 MiB | 900 us | 100 us | 3.00 us | 1/300 |'));
    assert.ok(lines.includes('| fork + exit + wait, 64 MiB | 1.80 ms | 200 us | 6.00 us |  |'));
    assert.ok(lines.includes('| 50 GiB, only read | - | - | 4.00 us | - |'));
    assert.ok(lines.includes('| write after fork, random | - | - | 29.0 ns | 26 -> 29 ns |'));
    assert.ok(
      lines.includes('| a table of 512 pages broken by copying | - | - | 2.40 us |  |'),
      lines.join('\n'),
    );
  });

  it('sums up the processor by kind of row', () => {
    const times = { nativeMs: 10, qemuMs: 60, interpMs: 90, jitMs: 30 };
    const best = { native: 10, qemu: 60, interp: 90, jit: 30 };
    const row: CpuRow = {
      name: 'sieve',
      kind: 'kernel',
      float: false,
      ...times,
      best,
      guestInsns: 3_000_000,
      mips: 100,
      ok: true,
    };
    const workload: CpuRow = { ...row, name: 'lua', kind: 'workload', nativeMs: null };
    const lines = renderResults({ fork: [], fault: [], break: [], cpu: [row, workload] });
    assert.ok(lines.includes('| 1 integer kernels | 3.00x | 2.00x | 3.00x |'), lines.join('\n'));
    assert.ok(lines.includes('| 1 workloads | - | 2.00x | 3.00x |'), lines.join('\n'));
  });

  it('leaves out what was not measured', () => {
    const lines = renderResults({
      fork: [forkRow(0, 'cow-pte', 3)],
      fault: [],
      break: [],
      cpu: [],
    });
    assert.ok(lines.includes('| 0 MiB | - | - | 3.00 us | - |'));
  });
});

describe('replaceMeasured()', () => {
  it('keeps what stands around the markers, however often it runs', () => {
    const readme =
      'a\n<!-- measured: start, written by npm run readme-table -->\nold\n<!-- measured: end -->\nb\n';
    const once = replaceMeasured(readme, ['new']);
    assert.equal(once, readme.replace('old', 'new'));
    assert.equal(replaceMeasured(once, ['new']), once);
  });

  it('refuses a text without markers', () => {
    assert.throws(() => replaceMeasured('', []), /markers are missing/);
  });
});
