import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { runCli } from './cli.ts';

describe('cowshed', () => {
  it('prints its version', async () => {
    const { version } = JSON.parse(
      readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
    ) as { version: string };
    assert.deepEqual(await runCli(['--version']), { code: 0, stdout: `${version}\n`, stderr: '' });
  });

  it('prints help for itself and every command', async () => {
    const commands = [
      [],
      ['--help'],
      ['run', '--help'],
      ['pull', '--help'],
      ['bench', '--help'],
      ['bench', 'fork', '--help'],
      ['demo', '--help'],
    ];
    const runs = await Promise.all(commands.map((command) => runCli(command)));
    for (const [i, { code, stdout, stderr }] of runs.entries()) {
      assert.equal(code, 0, commands[i]!.join(' '));
      assert.match(stdout, /^Usage: cowshed/, commands[i]!.join(' '));
      assert.equal(stderr, '');
    }
  });

  const mistakes: readonly (readonly [args: readonly string[], message: RegExp])[] = [
    [['--bogus'], /^cowshed: unknown option '--bogus'\n$/],
    [['frob'], /^cowshed: unknown command 'frob'\n$/],
    [['runn', 'x'], /^cowshed: unknown command 'runn'; \(Did you mean run\?\)\n$/],
    [['run', '--bogus', 'x'], /^cowshed: unknown option '--bogus'\n$/],
    [['run'], /^cowshed: Cannot run: name a PROGRAM\n$/],
    [
      ['run', '--rootfs', '/nowhere', 'x'],
      /^cowshed: Cannot use root file system "\/nowhere": no such directory/,
    ],
    [
      ['run', '--memory', 'lots', 'x'],
      /^cowshed: Cannot read --memory "lots": want a size such as 512m or 2g\n$/,
    ],
    [
      ['run', '-v', 'a', 'x'],
      /^cowshed: Cannot read volume "a": want HOST:GUEST or HOST:GUEST:ro\n$/,
    ],
    [
      ['run', '-v', '/tmp:x', 'x'],
      /^cowshed: Cannot read volume "\/tmp:x": the guest path is not absolute\n$/,
    ],
    [['run', '-e'], /^cowshed: option '-e, --env <k=v>' argument missing\n$/],
    [['bench', 'quux'], /^cowshed: unknown command 'quux'\n$/],
    [['pull', '--suite'], /^cowshed: option '--suite <name>' argument missing\n$/],
    [
      ['pull', '--root', '/', 'x'],
      /^cowshed: Cannot pull into "\/": it is the root of the host\n$/,
    ],
    [
      ['pull', '--mirror', 'ftp://x.example', 'bash'],
      /^cowshed: Cannot use mirror "ftp:\/\/x.example": it is not an http/,
    ],
  ];
  for (const [args, message] of mistakes) {
    it(`says in one line what is wrong with: ${args.join(' ')}`, async () => {
      const { code, stdout, stderr } = await runCli(args);
      assert.match(stderr, message);
      assert.equal(stderr.trimEnd().split('\n').length, 1);
      assert.deepEqual([code, stdout], [125, '']);
    });
  }
});
