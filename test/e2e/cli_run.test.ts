import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { guestProgramPath } from '../../src/bench/guest_files.ts';
import { temporaryDir } from '../unit/debian/fake_debian.ts';
import type { CliOptions, CliRun } from './cli.ts';
import { runCli } from './cli.ts';

const dir = temporaryDir();
after(dir.remove);

/** Runs `cowshed run` in an empty directory, with a small machine. */
function run(args: readonly string[], options: CliOptions = {}): Promise<CliRun> {
  return runCli(['run', '--memory', '128m', ...args], { cwd: dir.path, ...options });
}

describe('cowshed run', () => {
  it('runs a program of the host with its own flags', async () => {
    const done = await run([guestProgramPath('hello'), '--stats', '-x']);
    assert.deepEqual(done, { code: 0, stdout: 'hello from riscv64 --stats -x\n', stderr: '' });
  });

  it('passes standard input on, byte for byte, and ends with it', async () => {
    const input = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 7) & 255));
    const done = await run([guestProgramPath('cat')], { input });
    assert.equal(done.code, 0);
    assert.ok(Buffer.from(done.stdout, 'latin1').equals(input));
  });

  it("ends with the program's exit code", async () => {
    assert.deepEqual(await run([guestProgramPath('exit_code'), '42']), {
      code: 42,
      stdout: '',
      stderr: '',
    });
  });

  it('ends with 128 and the number of the signal', async () => {
    const killed = await run([guestProgramPath('exit_code'), '-9']);
    assert.deepEqual(
      [killed.code, killed.stderr.endsWith('exit_code was killed by SIGKILL\n')],
      [137, true],
    );
    assert.equal((await run([guestProgramPath('exit_code'), '-11'])).code, 139);
  });

  const refused: readonly (readonly [
    what: string,
    args: readonly string[],
    code: number,
    message: RegExp,
  ])[] = [
    [
      'a name that is nowhere',
      ['nope'],
      127,
      /^cowshed: Cannot run "nope": not found in the guest's PATH; there is no root file system, "cowshed pull" makes one\n$/,
    ],
    [
      'a path that is nowhere',
      ['./nope'],
      127,
      /^cowshed: Cannot run ".\/nope": no such file or directory\n$/,
    ],
    [
      'an absolute path that is nowhere',
      ['/no/pe'],
      127,
      /^cowshed: Cannot run "\/no\/pe": no such file; there is/,
    ],
    ['a directory', ['./sub'], 126, /^cowshed: Cannot run ".\/sub": it is a directory\n$/],
    [
      'too much memory',
      ['-m', '100g', 'x'],
      125,
      /^cowshed: Cannot make a machine with \d+ bytes of memory: want \d+ to \d+\n$/,
    ],
    [
      'a volume that is not there',
      ['-v', '/no/where:/x', 'x'],
      125,
      /^cowshed: Cannot mount "\/no\/where": no such directory/,
    ],
    [
      'a volume to write to',
      ['-v', '/tmp:/x:rw', 'x'],
      125,
      /the guest never writes to this host\n$/,
    ],
    [
      'a relative working directory',
      ['-w', 'x', guestProgramPath('hello')],
      125,
      /it is not absolute\n$/,
    ],
    [
      'a user id that does not exist',
      ['-u', '4294967295', guestProgramPath('hello')],
      125,
      /the guest has no such user\n$/,
    ],
    [
      'more than a user and a group',
      ['-u', '1:2:3', guestProgramPath('hello')],
      125,
      /: want USER or USER:GROUP\n$/,
    ],
    [
      'a log of system calls in no directory',
      ['--strace=/no/where', guestProgramPath('hello')],
      125,
      /^cowshed: Cannot log system calls to "\/no\/where": ENOENT[^\n]+\n$/,
    ],
    [
      'a log of memory events in no directory',
      ['--trace-mm=/no/where', guestProgramPath('hello')],
      125,
      /^cowshed: Cannot log memory events to "\/no\/where": ENOENT[^\n]+\n$/,
    ],
    [
      'a user that is not known',
      ['-u', 'nobody', guestProgramPath('hello')],
      125,
      /the guest has no such user\n$/,
    ],
  ];
  mkdirSync(join(dir.path, 'sub'));
  for (const [what, args, code, message] of refused) {
    it(`says in one line what is wrong with ${what}`, async () => {
      const done = await run(args);
      assert.match(done.stderr, message);
      assert.deepEqual([done.code, done.stdout], [code, '']);
    });
  }

  it('says so when its output cannot be written', {
    skip: existsSync('/dev/full') ? false : 'this host has no /dev/full',
  }, () => {
    const full = openSync('/dev/full', 'w');
    const command = ['dist/cli.js', 'run', '-m', '64m', guestProgramPath('hello')];
    const done = spawnSync(process.execPath, command, { stdio: ['ignore', full, 'pipe'] });
    assert.equal(String(done.stderr), 'cowshed: Cannot write: no space left on device\n');
    assert.equal(done.status, 125);
  });

  it('logs system calls to standard error or to a file', async () => {
    const done = await run(['--strace', guestProgramPath('hello')]);
    assert.match(done.stderr, /^write\(1, "hello from riscv64\\n", 19\) = 19$/m);
    assert.match(done.stderr, /^exit_group\(0\) = \?$/m);
    assert.equal((await run(['--strace=log', guestProgramPath('hello')])).stderr, '');
    assert.match(readFileSync(join(dir.path, 'log'), 'latin1'), /^exit_group\(0\)/m);
  });

  it('logs what happens to page tables with --trace-mm', async () => {
    const done = await run(['--trace-mm', guestProgramPath('cow_prctl')]);
    assert.match(done.stderr, /^mm: fault\(exec, 0x[0-9a-f]+\) = handled$/m);
    assert.match(done.stderr, /^mm: share_table\(pud, 0x[0-9a-f]+\)$/m);
    assert.match(done.stderr, /^mm: fork\(\) = \d+$/m);
    assert.match(done.stderr, /^\[pid \d+\] mm: break_table\(pte, 0x[0-9a-f]+\) = copy$/m);
    // Thousands of lines, which come faster than they are read.
    const long = await run(['--trace-mm', guestProgramPath('cow_fork')]);
    assert.match(long.stderr, /^\[pid \d+\] mm: break_table\(pmd, 0x[0-9a-f]+\) = copy$/m);
    assert.equal(long.code, 0);
    assert.equal((await run(['--trace-mm=trace', guestProgramPath('cow_prctl')])).stderr, '');
    assert.match(readFileSync(join(dir.path, 'trace'), 'latin1'), /^mm: fork\(\)/m);
  });

  it('prints what happened with --stats', async () => {
    const { stderr } = await run(['--stats', guestProgramPath('hello')]);
    assert.match(stderr, /^cowshed: instructions +\d+ \(\d+ MIPS\)$/m);
    assert.match(stderr, /^cowshed: page faults +\d+/m);
  });

  it('passes Ctrl-C and SIGTERM on', async () => {
    for (const [signal, code] of [
      ['SIGINT', 130],
      ['SIGTERM', 143],
    ] as const) {
      const done = await run([guestProgramPath('cat')], {
        input: 'first\n',
        keepInput: true,
        started: (child) => {
          child.stdout?.once('data', () => child.kill(signal));
        },
      });
      assert.deepEqual([done.code, done.stdout], [code, 'first\n']);
    }
  });
});
