import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describe, it } from 'node:test';
import { createProgram } from '../../../src/cli/program.ts';
import { markOptionalValues } from '../../../src/cli/run.ts';
import type { RunFlags } from '../../../src/cli/run_flags.ts';
import { guestEnvironment, parseSwap, parseUser, parseVolume } from '../../../src/cli/run_flags.ts';
import { formatBytes, parseSize } from '../../../src/cli/size.ts';

describe('parseSize()', () => {
  it('knows powers of 1024 with and without B', () => {
    const sizes = ['1', '1b', '2k', '3KiB', '512m', '1.5g', '1GB'].map((text) =>
      parseSize(text, '--memory'),
    );
    assert.deepEqual(sizes, [1, 1, 2048, 3072, 512 * 2 ** 20, 1.5 * 2 ** 30, 2 ** 30]);
  });

  it('refuses what is no size', () => {
    for (const bad of ['', '0', '-1', 'x', '1t', '1 000', 'NaN', '1e3']) {
      assert.throws(() => parseSize(bad, '--memory'), {
        message: `Cannot read --memory "${bad}": want a size such as 512m or 2g`,
      });
    }
  });
});

describe('formatBytes()', () => {
  it('prints three digits', () => {
    assert.deepEqual([0, 999, 1000, 14_760_072, 2.5e9].map(formatBytes), [
      '0 B',
      '999 B',
      '1.00 kB',
      '14.8 MB',
      '2.50 GB',
    ]);
  });
});

describe('parseSwap()', () => {
  it('reads a size, a file with a size, and a file', () => {
    assert.equal(parseSwap('256m'), 256 * 2 ** 20);
    assert.deepEqual(parseSwap('/tmp/a:b:1g'), { file: '/tmp/a:b', bytes: 2 ** 30 });
    assert.deepEqual(parseSwap('./s'), { file: resolve('s') });
  });

  it('refuses what is neither', () => {
    for (const bad of ['', 'big', 'file:', '/x:1t']) {
      assert.throws(() => parseSwap(bad), /want a size such as/);
    }
  });
});

describe('parseVolume()', () => {
  it('reads host, guest and mode', () => {
    assert.deepEqual(parseVolume('/a:/b'), { host: '/a', guest: '/b', readOnly: true });
    assert.deepEqual(parseVolume('x:/b:ro'), { host: resolve('x'), guest: '/b', readOnly: true });
  });

  it('keeps the root for the root file system, however it is written', () => {
    for (const guest of ['/', '//', '/x/..', '/x/../../..'])
      assert.throws(() => parseVolume(`/a:${guest}`), /Cannot mount .*: the root is --rootfs's/);
  });
});

describe('guestEnvironment()', () => {
  const flags = { cowPte: true };

  it('has a PATH, HOME and HOSTNAME, and nothing of the host', () => {
    const env = guestEnvironment(flags, { SECRET: '1' }, 'box');
    assert.deepEqual(Object.keys(env).sort(), ['HOME', 'HOSTNAME', 'PATH']);
    assert.equal(env['HOSTNAME'], 'box');
  });

  it('takes variables from files first, then from flags, and values of the host where none is given', () => {
    const dir = mkdtempSync(join(tmpdir(), 'cowshed-test-'));
    const file = join(dir, 'env');
    writeFileSync(file, '# comment\nA=file\nB=two words\n\nHOST\nABSENT\n');
    const env = guestEnvironment(
      { ...flags, envFile: [file], env: ['A=flag=1', 'EMPTY='] },
      { HOST: 'yes' },
      'box',
    );
    rmSync(dir, { recursive: true });
    assert.equal(env['A'], 'flag=1');
    assert.equal(env['B'], 'two words');
    assert.equal(env['HOST'], 'yes');
    assert.equal(env['EMPTY'], '');
    assert.ok(!('ABSENT' in env));
  });

  it('refuses variables without a name and files that are not there', () => {
    assert.throws(() => guestEnvironment({ ...flags, env: ['=x'] }, {}, 'box'), {
      message: /has no proper name$/,
    });
    assert.throws(() => guestEnvironment({ ...flags, envFile: ['/nowhere'] }, {}, 'box'), {
      message: /^Cannot read environment file "\/nowhere": /,
    });
  });
});

describe('parseUser()', () => {
  const files: Readonly<Record<string, string>> = {
    '/etc/passwd': 'root:x:0:0:root:/root:/bin/sh\ngames:x:5:60:games:/:/bin/sh\n',
    '/etc/group': 'root:x:0:\ngames:x:60:\n',
  };
  const read = (path: string): string | null => files[path] ?? null;

  it('takes names and numbers', () => {
    assert.deepEqual(parseUser('games', read), { uid: 5, gid: 60 });
    assert.deepEqual(parseUser('1000', read), { uid: 1000, gid: 0 });
    assert.deepEqual(parseUser('5', read), { uid: 5, gid: 60 });
    assert.deepEqual(parseUser('1000:games', read), { uid: 1000, gid: 60 });
    assert.deepEqual(parseUser('games:7', read), { uid: 5, gid: 7 });
  });

  it('refuses names the guest does not know', () => {
    assert.throws(() => parseUser('nobody', read), {
      message: 'Cannot run as user "nobody": the guest has no such user',
    });
    assert.throws(() => parseUser('0:wheel', read), { message: /no such group$/ });
    assert.throws(() => parseUser('', read), { message: /no such user$/ });
    assert.throws(() => parseUser('games', () => null), { message: /no such user$/ });
  });
});

describe('flags of cowshed run', () => {
  /** What commander makes of a command line. */
  function parse(...args: readonly string[]): { flags: RunFlags; words: string[] } {
    const program = createProgram();
    const run = program.commands.find((command) => command.name() === 'run')!;
    const parsed: { flags: RunFlags; words: string[] }[] = [];
    run.action((word: string | undefined, rest: string[], flags: RunFlags) => {
      parsed.push({ flags, words: word === undefined ? [] : [word, ...rest] });
    });
    program.parse(markOptionalValues(program, ['run', ...args]), { from: 'user' });
    return parsed[0]!;
  }

  it('leaves the flags of the program alone', () => {
    const { flags, words } = parse(
      '--stats',
      'ls',
      '-l',
      '--stats',
      '--strace',
      '--help',
      '-e',
      '--',
      'x',
    );
    assert.deepEqual(words, ['ls', '-l', '--stats', '--strace', '--help', '-e', '--', 'x']);
    assert.equal(flags.strace, undefined);
  });

  it('does not take the program for the file of --strace', () => {
    assert.deepEqual(parse('-it', '--strace', 'ls', '-l').words, ['ls', '-l']);
    assert.equal(parse('--strace', 'ls').flags.strace, '');
    assert.equal(parse('--trace-mm', 'ls').flags.traceMm, '');
    assert.equal(parse('--trace-mm=log', 'ls').flags.traceMm, 'log');
    assert.equal(parse('-e', 'A=1', '--strace=log', 'ls').flags.strace, 'log');
    assert.equal(parse('ls', '--strace').flags.strace, undefined);
  });

  it('knows the flags of docker run', () => {
    const { flags, words } = parse(
      ...[
        '--rm',
        '-it',
        '-e',
        'A=1',
        '-eB=2',
        '-v',
        '/a:/b',
        '-w',
        '/b',
        '-u',
        '1:1',
        '-m',
        '1g',
        '-h',
        'box',
      ],
      ...[
        '--name',
        'n',
        '--init',
        '--network',
        'none',
        '--cpus',
        '2',
        '--platform',
        'linux/riscv64',
        '--read-only',
        'sh',
      ],
    );
    assert.deepEqual(words, ['sh']);
    assert.deepEqual(flags.env, ['A=1', 'B=2']);
    assert.deepEqual(
      [flags.interactive, flags.tty, flags.readOnly, flags.hostname],
      [true, true, true, 'box'],
    );
  });

  it('shares page tables unless told not to', () => {
    assert.equal(parse('x').flags.cowPte, true);
    assert.equal(parse('--no-cow-pte', 'x').flags.cowPte, false);
  });

  it('stops at --', () => {
    assert.deepEqual(parse('--', '-x', 'y').words, ['-x', 'y']);
  });
});
