import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import {
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { Script } from 'node:vm';
import { guestProgramPath } from '../../src/bench/guest_files.ts';
import type { ProfileReport } from '../../src/machine/profile/report.ts';
import { readAll, runGuest, withMachine } from '../guest.ts';
import { defaultCacheDir } from '../../src/debian/cache.ts';
import { temporaryDir } from '../unit/debian/fake_debian.ts';
import { type CliOptions, type CliRun, runCli } from './cli.ts';

const MEMORY = 64 * 1024 ** 2;
const root = process.env['COWSHED_ROOTFS'] ?? join(process.cwd(), '.cowshed', 'rootfs');
const dir = temporaryDir();
after(dir.remove);

/** Profiles a program of guest/bin. */
function profileOf(
  name: string,
  interval: number,
  args: readonly string[] = [],
): Promise<ProfileReport> {
  return withMachine({ memory: MEMORY, profile: { interval } }, async (machine) => {
    assert.equal((await runGuest(machine, name, args)).code, 0);
    return machine.profile()!;
  });
}

/** Folded stacks, with runs of the same function written once. */
function folded(report: ProfileReport): string[] {
  return report.stacks.map(({ frames, samples }) => {
    const short = frames.filter((frame, i) => frame !== frames[i - 1]);
    return `${short.join(';')} ${samples}`;
  });
}

const START = 'call_chain;_start;start_c;main';

describe('a profile', () => {
  it('has the stacks of known functions, each with its share of instructions', async () => {
    const report = await profileOf('call_chain', 10_007);
    // Two instructions a turn: 20 samples for each 100,000 turns, one more or less by where they fall.
    assert.deepEqual(folded(report), [
      'call_chain;[truncated];deep;spin 20',
      `${START};deep 1`,
      `${START};dynamic;spin 20`,
      `${START};interrupted;__vdso_rt_sigreturn;handler;spin 20`,
      `${START};outer;middle;inner;spin 60`,
      `${START};outer;middle;spin 40`,
      `${START};outer;spin 19`,
      `${START};recurse;spin 20`,
      `${START};without_cfi;bare 20`,
      `${START};without_cfi;framed;spin 20`,
    ]);
    assert.equal(report.incomplete, 20);
    const recursion = report.stacks.find(({ frames }) => frames.includes('recurse'));
    assert.equal(recursion?.frames.filter((frame) => frame === 'recurse').length, 4);
  });

  it('counts a function once for recursion', async () => {
    const { functions, samples } = await profileOf('call_chain', 10_007);
    const spin = functions[0]!;
    assert.deepEqual(
      [spin.name, spin.module, spin.self, spin.total, samples],
      ['spin', 'call_chain', 219, 219, 240],
    );
    assert.equal(functions.find(({ name }) => name === 'recurse')?.total, 20);
    assert.equal(functions.find(({ name }) => name === 'outer')?.total, 119);
  });

  it('counts system calls and page faults', async () => {
    const { systemCalls, pageFaults } = await profileOf('call_chain', 10_007);
    assert.deepEqual(
      systemCalls.map(({ name, count }) => `${name} ${count}`),
      ['exit_group 1', 'getpid 1', 'kill 1', 'rt_sigaction 1', 'rt_sigreturn 1', 'write 1'],
    );
    assert.deepEqual(pageFaults.map(({ name }) => name).sort(), ['exec', 'read', 'write']);
  });

  it('is the same each time', async () => {
    assert.deepEqual(await profileOf('call_chain', 97), await profileOf('call_chain', 97));
  });

  it('counts every instruction when asked to', async () => {
    const report = await profileOf('hello', 1);
    const named = report.stacks.reduce((sum, { samples }) => sum + samples, 0);
    assert.deepEqual([named, report.interval], [report.samples, 1]);
    assert.ok(report.samples > 100);
  });

  it('shows programs without symbols and call frame information by place', async () => {
    const { stacks } = await profileOf('fork_tree', 503, ['20', '3', '2', '1']);
    assert.ok(stacks.length > 3);
    assert.match(stacks.at(-1)!.frames.join(';'), /^fork_tree(;fork_tree\+0x[0-9a-f]+)+$/);
  });

  it('does not change what a program does', async () => {
    const counts = await Promise.all(
      [false, { interval: 211 }].map((profile) =>
        withMachine({ memory: MEMORY, profile, randomSeed: 1 }, async (machine) => {
          const { stdout } = await runGuest(machine, 'call_chain');
          return [stdout, machine.stats().instructions, machine.stats().trapFaults];
        }),
      ),
    );
    assert.deepEqual(counts[1], counts[0]);
  });

  it('is refused with an interval that is none', async () => {
    for (const interval of [0, -1, 1.5, Number.NaN, 2 ** 40])
      await assert.rejects(
        withMachine({ memory: MEMORY, profile: { interval } }, async () => {}),
        {
          code: 'EINVAL',
        },
      );
  });
});

function run(args: readonly string[], options: CliOptions = {}): Promise<CliRun> {
  return runCli(['run', '--memory', '128m', ...args], { cwd: dir.path, ...options });
}

describe('cowshed run --profile', () => {
  const program = guestProgramPath('call_chain');
  const fifo = spawnSync('mkfifo', [join(dir.path, 'fifo')]).status === 0;

  it('writes folded stacks, and tables to standard error', async () => {
    const done = await run(['--profile', '--profile-interval', '10007', program]);
    assert.deepEqual([done.code, done.stdout], [0, 'done\n']);
    const lines = readFileSync(join(dir.path, 'cowshed.folded'), 'utf8').split('\n');
    assert.equal(lines.length, 11);
    assert.ok(lines.includes(`${START};outer;middle;inner;spin 60`), lines.join('\n'));
    assert.match(done.stderr, /^cowshed: profile: 240 samples, one each 10,007 instructions, 20/);
    assert.match(done.stderr, /^cowshed: +91\.3% +91\.3% +spin +call_chain$/m);
    assert.match(done.stderr, /^cowshed: system calls: .*rt_sigaction 1/m);
  });

  it('writes the file that is named, through links, and nothing beside it', async () => {
    writeFileSync(join(dir.path, 'old.json'), 'old');
    symlinkSync('old.json', join(dir.path, 'link.json'));
    const done = await run(['--profile=link.json', '--profile-interval=10007', program]);
    assert.equal(done.code, 0);
    const report = JSON.parse(readFileSync(join(dir.path, 'old.json'), 'utf8')) as ProfileReport;
    assert.equal(report.samples, 240);
    assert.deepEqual(
      readdirSync(dir.path).filter((name) => name.includes('tmp')),
      [],
    );
  });

  it('writes a page that needs nothing else', async () => {
    const done = await run(['--profile=page.html', '--profile-interval=10007', program]);
    assert.equal(done.code, 0);
    const page = readFileSync(join(dir.path, 'page.html'), 'utf8');
    assert.equal(/(?:src|href)=|https?:|@import|url\(/.exec(page), null);
    const [, json] = /id="data">([^<]+)</.exec(page)!;
    const { names, root: all } = JSON.parse(json!) as { names: string[]; root: [number, number] };
    assert.ok(names.includes('spin') && names.includes('call_chain'));
    assert.deepEqual([names[all[0]], all[1]], ['all', 240]);
    // The script is text to the compiler: at least it has to be one.
    const [, script] = /<script>([\s\S]+?)<\/script>/.exec(page)!;
    assert.doesNotThrow(() => new Script(script!));
  });

  it('writes to a pipe, which stays', { skip: fifo ? false : 'no mkfifo' }, async () => {
    const path = join(dir.path, 'fifo');
    const reader = spawn('cat', [path], { stdio: ['ignore', 'pipe', 'ignore'] });
    const [text, done] = await Promise.all([
      readAll(reader.stdout),
      run([`--profile=${path}`, '--profile-interval=10007', program]),
    ]);
    assert.equal(done.code, 0, done.stderr);
    assert.match(text, /^call_chain;\[truncated\];deep/);
    assert.ok(statSync(path).isFIFO());
  });

  it('writes what there is of a program that is killed', async () => {
    const spin = ['--profile=killed.folded', '--profile-interval=1009', guestProgramPath('cat')];
    const done = await run(spin, {
      input: 'first\n',
      keepInput: true,
      started: (child) => {
        child.stdout?.once('data', () => child.kill('SIGINT'));
      },
    });
    assert.equal(done.code, 130);
    assert.ok(existsSync(join(dir.path, 'killed.folded')));
  });

  const refused: readonly (readonly [args: readonly string[], message: RegExp])[] = [
    [['--profile=/no/where'], /^cowshed: Cannot write profile "\/no\/where": ENOENT[^\n]+\n$/],
    [['--profile', '--profile-interval=x'], /^cowshed: Cannot read --profile-interval "x": want/],
    [['--profile-interval=5'], /^cowshed: Cannot use --profile-interval: there is no --profile\n$/],
  ];
  for (const [args, message] of refused) {
    it(`says in one line what is wrong with ${args.join(' ')}`, async () => {
      const done = await run([...args, program]);
      assert.match(done.stderr, message);
      assert.deepEqual([done.code, done.stdout], [125, '']);
    });
  }

  it('writes nothing for a program that is not there', async () => {
    const done = await run(['--profile=none.folded', 'nope']);
    assert.equal(done.code, 127);
    assert.equal(existsSync(join(dir.path, 'none.folded')), false);
  });
});

describe('a profile of a Go program', () => {
  const cache = join(defaultCacheDir(process.env), 'bench');
  const name = existsSync(cache)
    ? readdirSync(cache).find((file) => /^esbuild-.*-linux-riscv64$/.test(file))
    : undefined;
  const program = join(cache, name ?? '');
  const skip =
    name === undefined ? 'no esbuild in the cache, "cowshed bench cpu" brings it' : false;

  it('has its functions, down to where goroutines begin', { skip }, async () => {
    const flags = ['--memory', '1g', '--profile=go.json', '--profile-interval=10007'];
    const done = await run([...flags, program, '--minify'], { input: 'let a = 1 + 2' });
    assert.equal(done.stdout, 'let a=3;\n', done.stderr);
    const report = JSON.parse(readFileSync(join(dir.path, 'go.json'), 'utf8')) as ProfileReport;
    const goroutines = report.stacks.filter(({ frames }) => frames[1] === 'runtime.goexit');
    assert.ok(goroutines.some(({ frames }) => frames.includes('main.main')));
    assert.ok(report.incomplete <= report.samples / 20, `${report.incomplete}`);
  });
});

describe('profiles of Debian programs', () => {
  const has = (path: string): false | string =>
    existsSync(join(root, path)) ? false : `no ${path} in a root file system`;

  it('resolve dynamic libraries, down to main()', { skip: has('usr/bin/sqlite3') }, async () => {
    const sql =
      'with recursive c(x) as (select 1 union all select x+1 from c where x<2000) select sum(x) from c';
    const done = await run(
      ['--profile=sql.json', '--profile-interval=5003', 'sqlite3', ':memory:', sql],
      { env: { COWSHED_ROOTFS: root } },
    );
    assert.equal(done.stdout, '2001000\n');
    const report = JSON.parse(readFileSync(join(dir.path, 'sql.json'), 'utf8')) as ProfileReport;
    assert.ok(report.incomplete <= report.samples / 100, `${report.incomplete}`);
    const stack = report.stacks.find(({ frames }) => frames.includes('sqlite3VdbeExec'))!.frames;
    const known = stack.filter((frame) => !frame.includes('+0x'));
    assert.deepEqual(known.slice(0, 5), [
      'sqlite3',
      '__libc_start_main',
      'main',
      'sqlite3_step',
      'sqlite3VdbeExec',
    ]);
    const modules = new Set(report.functions.map(({ module }) => module.replace(/\.so.*/, '')));
    for (const name of ['sqlite3', 'libsqlite3', 'libc', 'ld-linux-riscv64-lp64d'])
      assert.ok(modules.has(name), name);
  });

  it('resolve a static interpreter', { skip: has('usr/bin/python3') }, async () => {
    const script = 'def f(n): return n if n < 2 else f(n - 1) + f(n - 2)\nprint(f(12))';
    const done = await run(
      ['--profile=py.json', '--profile-interval=10007', 'python3', '-S', '-c', script],
      { env: { COWSHED_ROOTFS: root } },
    );
    assert.equal(done.stdout, '144\n');
    const report = JSON.parse(readFileSync(join(dir.path, 'py.json'), 'utf8')) as ProfileReport;
    assert.ok(report.incomplete <= report.samples / 100, `${report.incomplete}`);
    assert.ok(report.functions.some(({ name }) => name === '_PyEval_EvalFrameDefault'));
  });
});
