import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { CliRun } from './cli.ts';
import { runCli } from './cli.ts';

const repository = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const root = process.env['COWSHED_ROOTFS'] ?? join(repository, '.cowshed', 'rootfs');
const hasRoot = existsSync(join(root, 'usr/bin/sqlite3')) && existsSync(join(root, 'usr/bin/bash'));
const skip = hasRoot
  ? false
  : 'no Debian root file system here: cowshed pull --lock debian.lock.json makes one';
const hasQemu = spawnSync('qemu-riscv64', ['--version']).status === 0;
const skipQemu = skip || (hasQemu ? false : 'this host has no qemu-riscv64');

function run(args: readonly string[], input?: string): Promise<CliRun> {
  return runCli(['run', ...args], {
    env: { COWSHED_ROOTFS: root },
    ...(input === undefined ? {} : { input }),
  });
}

/** Words as one line for a shell. */
function shellWords(words: readonly string[]): string {
  return words.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
}

/** Command line that runs a program of the root under qemu's user mode. */
function qemuCommand([program = '', ...rest]: readonly string[]): string[] {
  return ['qemu-riscv64', '-L', root, '-0', program, join(root, 'usr/bin', program), ...rest];
}

/** Output of one program of the root under qemu's user mode. */
function qemu(args: readonly string[], input = ''): string {
  const [command = '', ...rest] = qemuCommand(args);
  const env = { PATH: process.env['PATH'] ?? '/usr/bin', HOME: '/root', HOSTNAME: 'cowshed' };
  const done = spawnSync(command, rest, { input, env });
  return done.stdout.toString('latin1');
}

/** What sqlite3 is asked: a recursive insert, aggregates, an index, an update and an integrity check. */
const SQL = `
create table t(a integer primary key, b text, c real);
with recursive n(i) as (values(1) union all select i + 1 from n where i < 20000)
  insert into t select i, hex((i * 7919) % 10007), i / 7.0 from n;
select count(*), sum(a), min(b), max(b), round(avg(c), 6), total(c) from t;
create index tb on t(b);
explain query plan select * from t where b = '31';
select a, b, c from t where b = hex(4242) order by a;
update t set c = c * 1.5 where a % 3 = 0;
delete from t where a % 7 = 0;
select count(*), printf('%.12f', sum(c)) from t;
select group_concat(b, ',') from (select b from t order by c desc limit 20);
pragma integrity_check;
`;

/** What the last of three connections asks a data base on disk. */
const FINAL_SQL = 'pragma journal_mode; select count(*) from t; pragma wal_checkpoint(truncate);';

describe('programs of Debian', () => {
  it('run as a pipeline of five processes', { skip }, async () => {
    const stages = [
      ['seq', '1', '20000'],
      ['busybox', 'grep', '7'],
      ['busybox', 'awk', '{ s += $1; print s }'],
      ['sort', '-rn'],
      ['head', '-n', '300'],
    ];
    const done = await run(['bash', '-c', stages.map(shellWords).join(' | ')]);
    assert.deepEqual([done.code, done.stderr], [0, '']);
    assert.equal(done.stdout.split('\n').length, 301);
    if (!hasQemu) return;
    // The host's shell makes the pipes, since qemu's user mode cannot exec a riscv64 program itself.
    const emulated = stages.map((stage) => shellWords(qemuCommand(stage))).join(' | ');
    const wanted = spawnSync('sh', ['-c', emulated]);
    assert.equal(done.stdout, wanted.stdout.toString('latin1'));
  });

  it('print what they print under qemu', { skip: skipQemu }, async () => {
    for (const args of [
      ['seq', '-w', '1', '3', '1000'],
      [
        'bash',
        '-c',
        'for i in {1..300}; do ((s += i * i)); done; printf "%d %x %s\\n" $s $s "$BASH_VERSION"',
      ],
      ['busybox', 'sha256sum', '/etc/debian_version'],
      ['mawk', 'BEGIN { for (i = 0; i < 200; i++) printf "%.15g %e\\n", sin(i), exp(i / 3) }'],
      ['numfmt', '--to=iec', '1234567890'],
      ['factor', '1000000007', '18446744073709551615'],
      ['basenc', '--base32', '/etc/debian_version'],
    ]) {
      const done = await run(args);
      assert.equal(done.stdout, qemu(args), args.join(' '));
      assert.equal(done.code, 0, args.join(' '));
    }
  });

  it('sort and hash a large input as under qemu', { skip: skipQemu }, async () => {
    const input = Array.from(
      { length: 20_000 },
      (_, i) => `${(i * 7919) % 20011} ${i.toString(36)}\n`,
    ).join('');
    for (const args of [['sort', '-n'], ['sha512sum'], ['busybox', 'md5sum'], ['wc'], ['tac']]) {
      assert.equal((await run(args, input)).stdout, qemu(args, input), args.join(' '));
    }
  });

  it('use a data base in memory: sqlite3', { skip }, async () => {
    const done = await run(['sqlite3', ':memory:'], SQL);
    assert.deepEqual([done.code, done.stderr], [0, '']);
    assert.match(done.stdout, /^20000\|200010000\|/);
    assert.match(done.stdout, /ok\n$/);
    if (hasQemu) assert.equal(done.stdout, qemu(['sqlite3', ':memory:'], SQL));
  });

  it('use a data base on disk in WAL mode: sqlite3', { skip }, async () => {
    const calls = ['pragma journal_mode = wal;', SQL, FINAL_SQL];
    const script = calls.map((sql) => shellWords(['sqlite3', '/tmp/db', sql])).join(' && ');
    const done = await run(['bash', '-c', script]);
    assert.deepEqual([done.code, done.stderr], [0, '']);
    const lines = done.stdout.trimEnd().split('\n');
    assert.equal(lines[0], 'wal');
    assert.deepEqual(lines.slice(-3), ['wal', '17143', '0|0|0']);
    if (!hasQemu) return;
    const dir = mkdtempSync(join(tmpdir(), 'cowshed-wal-'));
    const wanted = calls.map((sql) => qemu(['sqlite3', join(dir, 'db'), sql])).join('');
    rmSync(dir, { recursive: true });
    assert.equal(done.stdout, wanted);
  });

  it('end with their own exit code, 126, 127 or 128 + signal', { skip }, async () => {
    const codes: readonly (readonly [readonly string[], number])[] = [
      [['bash', '-c', 'exit 7'], 7],
      [['false'], 1],
      [['/etc/passwd'], 126],
      [['/etc'], 126],
      [['no-such-program'], 127],
      [['/usr/bin/no-such-program'], 127],
      [['bash', '-c', 'kill -TERM $$'], 143],
      [['bash', '-c', 'kill -SEGV $$'], 139],
    ];
    for (const [args, code] of codes) assert.equal((await run(args)).code, code, args.join(' '));
  });

  it('see their environment, working directory, host name and user', { skip }, async () => {
    const script = 'echo $A $B; pwd; hostname 2>/dev/null || busybox hostname; id -u; id -g';
    const done = await run([
      '-e',
      'A=1',
      '--env',
      'B=two words',
      '-w',
      '/usr',
      '-h',
      'box',
      '-u',
      '7:8',
      'bash',
      '-c',
      script,
    ]);
    assert.equal(done.stdout, '1 two words\n/usr\nbox\n7\n8\n');
  });

  it('get Ctrl-C; a second one kills what ignores the first', { skip }, async () => {
    const script = 'trap "echo caught" INT; echo ready; while :; do :; done';
    let output = '';
    const done = await runCli(['run', 'bash', '-c', script], {
      env: { COWSHED_ROOTFS: root },
      started: (child) => {
        child.stdout?.on('data', (chunk: Buffer) => {
          output += chunk.toString();
          // One signal for each line: the first is caught, the second is not.
          if (chunk.toString().endsWith('\n')) child.kill('SIGINT');
        });
      },
    });
    assert.equal(output, 'ready\ncaught\n');
    assert.equal(done.code, 137);
  });

  it('keep to a read-only root', { skip }, async () => {
    const done = await run([
      '--read-only',
      'bash',
      '-c',
      'echo x > /etc/x || echo refused; echo y > /tmp/y; cat /tmp/y',
    ]);
    assert.equal(done.stdout, 'refused\ny\n');
    assert.match(done.stderr, /Read-only file system/);
  });

  it('see a directory of the host', { skip }, async () => {
    const script = 'cat /data/package.json | head -n 2 | tail -n 1; touch /data/new';
    const done = await run(['-v', `${repository}:/data:ro`, 'bash', '-c', script]);
    assert.equal(done.stdout, '  "name": "cowshed",\n');
    assert.match(done.stderr, /Read-only file system/);
  });

  it('cannot change the root file system on the host', { skip }, async () => {
    const done = await run([
      'bash',
      '-c',
      'echo x > /etc/new && rm /etc/debian_version && ls /etc/new',
    ]);
    assert.equal(done.stdout, '/etc/new\n');
    assert.ok(!existsSync(join(root, 'etc/new')) && existsSync(join(root, 'etc/debian_version')));
  });
});
