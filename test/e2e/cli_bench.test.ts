import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { CloneRow } from '../../src/bench/clone.ts';
import type { CpuRow } from '../../src/bench/cpu.ts';
import { runCli } from './cli.ts';

const repository = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const root = process.env['COWSHED_ROOTFS'] ?? join(repository, '.cowshed', 'rootfs');
const skip = ['python3', 'lua5.4', 'gzip'].every((name) => existsSync(join(root, 'usr/bin', name)))
  ? false
  : 'no root file system with python3, lua5.4 and gzip: cowshed pull --lock debian.lock.json';

describe('cowshed bench cpu', () => {
  it('prints the same bits of floating point in every mode that this host has', async () => {
    const only = ['--only', 'mandelbrot,libm', '--rounds', '1', '--json'];
    const done = await runCli(['bench', 'cpu', ...only]);
    assert.equal(done.code, 0, done.stderr);
    const { rows } = JSON.parse(done.stdout) as { rows: readonly CpuRow[] };
    assert.deepEqual(
      rows.map(({ name, kind, float, ok }) => [name, kind, float, ok]),
      [
        ['mandelbrot', 'kernel', true, true],
        ['libm', 'kernel', true, true],
      ],
    );
    for (const { interpMs, jitMs, guestInsns } of rows) {
      assert.ok(interpMs !== null && interpMs > 0);
      assert.ok(jitMs !== null && jitMs > 0);
      assert.ok(guestInsns > 10_000_000);
    }
  });

  it('runs whole programs, which print the same in every mode', { skip }, async () => {
    const only = ['--only', 'lua,gzip', '--rounds', '1', '--scale', '0.02', '--json'];
    const done = await runCli(['bench', 'cpu', ...only, '--rootfs', root]);
    assert.equal(done.code, 0, done.stderr);
    const { rows } = JSON.parse(done.stdout) as { rows: readonly CpuRow[] };
    assert.deepEqual(
      rows.map(({ name, kind, ok }) => [name, kind, ok]),
      [
        ['lua', 'workload', true],
        ['gzip', 'workload', true],
      ],
    );
    for (const { guestInsns } of rows) assert.ok(guestInsns > 1_000_000);
  });

  it('says why a workload is left out', async () => {
    const only = ['--only', 'sqlite3', '--rounds', '1', '--rootfs', '/var/empty/nothing'];
    const done = await runCli(['bench', 'cpu', ...only, '--json']);
    assert.deepEqual([done.code, done.stdout], [0, '{"rows":[]}\n']);
    assert.match(done.stderr, /^cowshed: sqlite3 left out: .* has no sqlite3: cowshed pull/m);
  });

  it('names the rows when it knows none of that name', async () => {
    const done = await runCli(['bench', 'cpu', '--only', 'quux']);
    assert.equal(done.code, 125);
    assert.match(done.stderr, /^cowshed: Cannot measure "quux": it is none of sieve, /);
  });
});

describe('cowshed bench --html', () => {
  it('writes a page beside the table, and nothing else', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'cowshed-html-'));
    try {
      const file = join(folder, 'break.html');
      const done = await runCli(['bench', 'break', '--rounds', '1', '--html', file]);
      assert.equal(done.code, 0, done.stderr);
      assert.match(done.stdout, /^break by/);
      const html = readFileSync(file, 'utf8');
      assert.match(html, /^<!doctype html>.*<svg .*cow-pte.*<\/html>\n$/s);
      assert.deepEqual(readdirSync(folder), ['break.html']);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('says before it measures that there is no such folder', async () => {
    const done = await runCli(['bench', 'fork', '--html', '/no-such-folder/fork.html']);
    assert.deepEqual([done.code, done.stdout], [125, '']);
    assert.match(done.stderr, /^cowshed: Cannot write "\/no-such-folder\/fork.html": .*\n$/);
  });
});

describe('cowshed bench clone', () => {
  it('forks and clones a warm python3, whose answers it checks', { skip }, async () => {
    const done = await runCli(['bench', 'clone', '--clones', '20', '--rootfs', root, '--json']);
    assert.equal(done.code, 0, done.stderr);
    const { rows } = JSON.parse(done.stdout) as { rows: readonly CloneRow[] };
    assert.deepEqual(
      rows.map(({ how, clones }) => [how, clones]),
      [
        ['fork', 20],
        ['clone', 20],
      ],
    );
    for (const { ok, regionsBefore, regionsAfter } of rows)
      assert.equal(ok, regionsBefore === regionsAfter);
  });

  it('says what it needs where there is no python3', async () => {
    const done = await runCli(['bench', 'clone', '--rootfs', '/var/empty/nothing']);
    assert.deepEqual([done.code, done.stdout], [125, '']);
    assert.match(done.stderr, /^cowshed: Cannot measure clones: .* has no python3; cowshed pull/);
  });
});
