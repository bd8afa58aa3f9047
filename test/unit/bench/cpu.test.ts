import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { describe, it } from 'node:test';
import { type CpuRow, parseKernel, parseProcess, runCpuBench } from '../../../src/bench/cpu.ts';
import { cpuCells, cpuGroups, meanRatios, ratiosOf } from '../../../src/bench/cpu_table.ts';

/** A row whose times are these milliseconds. */
function row(name: string, [native, qemu, interp, jit]: readonly (number | null)[]): CpuRow {
  const times = { native: native!, qemu: qemu!, interp: interp!, jit: jit! };
  return {
    name,
    kind: 'kernel',
    float: false,
    nativeMs: times.native,
    qemuMs: times.qemu,
    interpMs: times.interp,
    jitMs: times.jit,
    best: times,
    guestInsns: 1_000_000,
    mips: 50,
    ok: true,
  };
}

describe('parseKernel()', () => {
  it('reads checksum, time and instructions', () => {
    const run = parseKernel('fib', 'fib 0xcb228 1500000 42\n');
    assert.deepEqual(run, { digest: '0xcb228', ms: 1.5, insns: 42 });
  });

  it('refuses the output of another kernel', () => {
    assert.throws(() => parseKernel('fib', 'fibre 0x1 1 1\n'), /printed "fibre 0x1 1 1"/);
  });
});

describe('parseProcess()', () => {
  const output = (text: string, stderr: string) =>
    parseProcess({ wallMs: 7, stdout: Buffer.from(text), stderr });

  it('finds the instructions among the lines of --stats', () => {
    const stats = 'warning\ncowshed: time   0.1 s\ncowshed: instructions   1,234,567 (12 MIPS)\n';
    assert.equal(output('x', stats).insns, 1_234_567);
    assert.equal(output('x', '').insns, 0);
  });

  it('tells outputs apart by their bytes', () => {
    assert.equal(output('same', '').digest, output('same', 'said more').digest);
    assert.notEqual(output('same', '').digest, output('same\n', '').digest);
  });
});

describe('ratiosOf()', () => {
  it('is above 1 where compiled code is faster, except beside native code', () => {
    const ratios = ratiosOf(row('sieve', [10, 60, 90, 30]));
    assert.deepEqual(ratios, { toNative: 3, overQemu: 2, overInterp: 3 });
  });

  it('has none for a time that is missing', () => {
    const ratios = ratiosOf(row('sieve', [null, null, 90, 30]));
    assert.deepEqual(ratios, { toNative: null, overQemu: null, overInterp: 3 });
  });
});

describe('meanRatios()', () => {
  it('leaves rows without the time out of the mean', () => {
    const rows = [
      row('a', [10, 40, 40, 20]),
      row('b', [10, 80, 160, 80]),
      row('c', [null, 40, 40, 40]),
    ];
    assert.equal(meanRatios(rows).toNative, 4);
    assert.equal(Math.round(meanRatios(rows).overInterp! * 1e6), Math.round(Math.cbrt(4) * 1e6));
    assert.equal(meanRatios([row('c', [null, 1, 1, 1])]).toNative, null);
  });
});

describe('cpuCells()', () => {
  it('sums up each kind of row below it', () => {
    const rows = [
      row('sieve', [10, 60, 90, 30]),
      { ...row('nbody', [10, 90, 90, 30]), float: true },
      { ...row('gzip', [10, 30, 90, 30]), kind: 'workload' as const, ok: false },
    ];
    const cells = cpuCells(rows);
    const names = cells.map(([name]) => name);
    assert.deepEqual(names, [
      'sieve',
      'mean of integer kernels',
      'nbody',
      'mean of floating-point kernels',
      'gzip',
      'mean of workloads',
    ]);
    assert.equal(cells[3]![6], '3.00x');
    assert.equal(cells[4]!.at(-1), 'DIFFERS');
    assert.deepEqual(
      cpuGroups(rows.slice(2)).map(({ name }) => name),
      ['workloads'],
    );
  });
});

describe('runCpuBench()', () => {
  it('refuses a name that is no row', () => {
    const options = { cowshed: ['cowshed'] as [string], rootfs: null, cacheDir: '' };
    assert.throws(() => runCpuBench({ ...options, only: ['sieve', 'quux'] }), /measure "quux"/);
  });
});
