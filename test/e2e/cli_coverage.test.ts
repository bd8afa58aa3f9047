import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { guestProgramPath } from '../../src/bench/guest_files.ts';
import { formatCoverage } from '../../src/cli/run_coverage.ts';
import { temporaryDir } from '../unit/debian/fake_debian.ts';
import type { CliRun } from './cli.ts';
import { runCli } from './cli.ts';

const dir = temporaryDir();
after(dir.remove);

function run(...args: readonly string[]): Promise<CliRun> {
  return runCli(['run', '--memory', '128m', ...args], { cwd: dir.path });
}

function read(name: string): string {
  return readFileSync(join(dir.path, name), 'latin1');
}

describe('formatCoverage()', () => {
  it("has AFL's classes of counts, and no line for an edge that never ran", () => {
    const map = new Uint8Array(16);
    [0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 127, 128, 255].forEach((count, edge) => {
      map[edge] = count;
    });
    assert.deepEqual(
      formatCoverage(map)
        .trim()
        .split('\n')
        .map((line) => line.replace(/^0000/, '')),
      '01:1 02:2 03:3 04:4 05:4 06:5 07:5 08:6 09:6 10:7 11:7 12:8 13:8'.split(' '),
    );
  });
});

describe('cowshed run --coverage', () => {
  it('writes the same edges in both tiers, and others for another way through the program', async () => {
    const program = guestProgramPath('call_chain');
    for (const [file, jit] of [
      ['on', 'on'],
      ['off', 'off'],
    ] as const) {
      const done = await run('--jit', jit, '--coverage', file, program);
      assert.deepEqual([done.code, done.stderr], [0, '']);
    }
    assert.match(read('on'), /^(\d{6}:[1-8]\n){20,}$/);
    assert.equal(read('off'), read('on'));
    await run('--coverage', 'other', guestProgramPath('hello'));
    assert.notEqual(read('other'), read('on'));
  });

  it('is written, too, when a signal ends the program', async () => {
    const done = await run('--coverage', 'killed', guestProgramPath('exit_code'), '-11');
    assert.equal(done.code, 139);
    assert.match(read('killed'), /^(\d{6}:[1-8]\n)+$/);
  });

  it('is refused before the program runs when the file cannot be written', async () => {
    const done = await run('--coverage', 'no/such/dir', guestProgramPath('hello'));
    assert.deepEqual([done.code, done.stdout], [125, '']);
    assert.match(done.stderr, /^cowshed: Cannot write coverage "no\/such\/dir": ENOENT/);
  });

  it('leaves no file when there is no program', async () => {
    assert.equal((await run('--coverage', 'none', './nope')).code, 127);
    assert.ok(!existsSync(join(dir.path, 'none')));
  });
});

describe('cowshed run --trace-blocks', () => {
  it('writes addresses of the program, from its first branch on', async () => {
    const done = await run('--trace-blocks', 'blocks', guestProgramPath('hello'), 'x');
    assert.deepEqual([done.code, done.stderr], [0, '']);
    const lines = read('blocks').trim().split('\n');
    assert.ok(lines.length > 20);
    for (const line of lines) assert.match(line, /^0x[0-9a-f]+$/);
  });
});
