import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { FakeMirror, SigningKey } from '../unit/debian/fake_debian.ts';
import { makeSigningKey, publish, startMirror, temporaryDir } from '../unit/debian/fake_debian.ts';
import type { CliOptions, CliRun } from './cli.ts';
import { runCli } from './cli.ts';

const dir = temporaryDir();
let mirror: FakeMirror;
let key: SigningKey;

before(async () => {
  mirror = await startMirror();
  key = await makeSigningKey(dir.path, 'archive');
  const packages = [
    { name: 'libc6', files: { './lib/libc.so': 'libc' } },
    { name: 'shell', control: 'Depends: libc6', files: { './bin/shell': 'shell' } },
  ];
  await publish(mirror, 'trixie', { codename: 'trixie', suite: 'stable', packages, key });
});
after(async () => {
  await mirror.close();
  dir.remove();
});

/** Pulls in a working directory of its own, with the fake mirror from the environment. */
function pull(name: string, args: readonly string[], options: CliOptions = {}): Promise<CliRun> {
  const cwd = join(dir.path, name);
  mkdirSync(cwd, { recursive: true });
  const env = {
    COWSHED_DEBIAN_MIRROR: mirror.url,
    COWSHED_CACHE: join(cwd, 'cache'),
    ...options.env,
  };
  return runCli(['pull', '--keyring', key.keyring, ...args], { ...options, cwd, env });
}

describe('cowshed pull', () => {
  it('makes .cowshed/rootfs and says what it did', async () => {
    const run = await pull('default', ['shell']);
    assert.deepEqual([run.code, run.stderr], [0, '']);
    assert.match(
      run.stdout,
      /rootfs: 2 packages of trixie 13\.8 of 21 Nov 2026, 2 unpacked \(\S+ k?B fetched, \d+ B written\)\n$/,
    );
    assert.equal(
      readFileSync(join(dir.path, 'default/.cowshed/rootfs/bin/shell'), 'utf8'),
      'shell',
    );
    const again = await pull('default', ['shell', '--frozen']);
    assert.match(again.stdout, /nothing to do\n$/);
  });

  it('prints the result as JSON', async () => {
    const run = await pull('json', ['--json', 'libc6']);
    const result = JSON.parse(run.stdout) as { suite: string; packages: unknown };
    assert.equal(result.suite, 'trixie');
    assert.deepEqual(result.packages, [{ name: 'libc6', version: '1.0', state: 'unpacked' }]);
  });

  it('says one line and exits with 125 for what it cannot do', async () => {
    const run = await pull('missing', ['nothing']);
    assert.deepEqual(run, {
      code: 125,
      stdout: '',
      stderr: 'cowshed: Cannot install "nothing": the suite has no package of this name\n',
    });
  });

  it('says what it cannot do to the host, and where', async () => {
    const run = await pull('blocked', ['shell'], { env: { COWSHED_CACHE: '/dev/null/cache' } });
    assert.deepEqual([run.code, run.stdout], [125, '']);
    assert.match(
      run.stderr,
      /^cowshed: Cannot mkdir "\/dev\/null\/cache[^"]*": not a directory\n$/,
    );
  });

  it('stops at Ctrl-C with 130, leaves no half root, and goes on the next time', async () => {
    const pool = [...mirror.files.keys()].find((path) => path.endsWith('shell_1.0_riscv64.deb'))!;
    const data = mirror.files.get(pool)!;
    let stop = (): void => undefined;
    mirror.intercept = (request, response) => {
      if (!(request.url ?? '').endsWith(pool)) return false;
      response.writeHead(200, { 'Content-Length': data.length });
      response.write(data.subarray(0, 100), () => setTimeout(stop, 200));
      return true;
    };
    const started: CliOptions['started'] = (child) => {
      stop = () => child.kill('SIGINT');
    };
    const run = await pull('stopped', ['shell'], { started });
    mirror.intercept = () => false;
    assert.deepEqual([run.code, run.stderr], [130, 'cowshed: Stopped: interrupted\n']);
    assert.ok(!existsSync(join(dir.path, 'stopped/.cowshed')));
    mirror.log.length = 0;
    assert.equal((await pull('stopped', ['shell'])).code, 0);
    assert.ok(mirror.log.some((line) => line.endsWith(`${pool} bytes=100-`)));
    assert.deepEqual(readdirSync(join(dir.path, 'stopped/.cowshed')).sort(), [
      'cowshed.lock.json',
      'rootfs',
    ]);
  });
});
