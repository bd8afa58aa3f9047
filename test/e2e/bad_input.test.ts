/**
 * The list of bad input: what each leads to, in one table that the run prints. Every case leaves
 * the machine whole (no frame leaked, page tables right, programs still run) and says one line.
 */

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { guestProgram, guestProgramPath } from '../../src/bench/guest_files.ts';
import { Machine } from '../../src/machine/machine.ts';
import { elf } from '../elf.ts';
import { runGuest } from '../guest.ts';
import type { FakeMirror, SigningKey } from '../unit/debian/fake_debian.ts';
import { makeSigningKey, publish, startMirror, temporaryDir } from '../unit/debian/fake_debian.ts';
import { BadInputTable, onlyLine, onWholeMachine } from './bad_input.ts';
import { FATAL, LOADED, REFUSED } from './bad_input_elf.ts';
import { BAD_ACCESSES } from './bad_input_guests.ts';
import { BAD_PACKAGES } from './bad_input_packages.ts';
import { BAD_PATHS, makeHostileRoot } from './bad_input_root.ts';
import { runCli } from './cli.ts';

const MEMORY = 64 * 1024 ** 2;
/** Cases that run at the same time where each starts a process of its own. */
const CONCURRENCY = 2;
const ERRNO: Readonly<Record<string, number>> = {
  ENOENT: 2,
  ENOEXEC: 8,
  EACCES: 13,
  ENOTDIR: 20,
  ELOOP: 40,
};

const dir = temporaryDir();
const table = new BadInputTable();
after(() => {
  table.print();
  dir.remove();
});

/** A file of the host. @returns its path. */
function hostFile(name: string, bytes: Uint8Array, mode = 0o755): string {
  const path = join(dir.path, name.replace(/\W+/g, '_'));
  writeFileSync(path, bytes, { mode });
  return path;
}

/** What a program of the guest gets from execve(). */
async function execInGuest(machine: Machine, path: string, uid = 0): Promise<string> {
  machine.writeFile('/tmp/exec_file', guestProgram('exec_file'), 0o755);
  const guest = machine.spawn('/tmp/exec_file', ['exec_file', path], { uid, gid: uid });
  let said = '';
  for await (const chunk of guest.stdout) said += String(chunk);
  await guest.wait();
  return said.trimEnd();
}

describe('a program file that cannot be run', { concurrency: CONCURRENCY }, () => {
  for (const [what, [image, code, message]] of Object.entries(REFUSED)) {
    it(`is refused by the library and by execve(): ${what}`, async () => {
      await onWholeMachine({ memory: MEMORY }, async (machine) => {
        machine.writeFile('/tmp/bad', image, 0o755);
        assert.throws(() => machine.spawn('/tmp/bad', ['bad']), { code, message });
        assert.equal(await execInGuest(machine, '/tmp/bad'), `/tmp/bad: error ${ERRNO[code]}`);
      });
      table.add(what, code);
    });
  }

  for (const [what, spec] of Object.entries(FATAL)) {
    it(`is refused by the library and kills who calls execve(): ${what}`, async () => {
      await onWholeMachine({ memory: MEMORY }, async (machine) => {
        machine.writeFile('/tmp/bad', elf(spec), 0o755);
        assert.throws(
          () => machine.spawn('/tmp/bad', ['bad']),
          /Cannot load "\/tmp\/bad": its segments cannot be mapped$/,
        );
        assert.equal(await execInGuest(machine, '/tmp/bad'), '/tmp/bad: signal 11');
      });
      table.add(what, 'SIGSEGV');
    });
  }

  const images = [
    ...Object.entries(REFUSED).map(([what, [image]]) => [what, image] as const),
    ...Object.entries(FATAL).map(([what, spec]) => [what, elf(spec)] as const),
  ];
  for (const [what, image] of images) {
    it(`ends cowshed run in one line: ${what}`, async () => {
      const path = hostFile(what, image);
      if (what === 'a script that runs itself') writeFileSync(path, `#!/host/${basename(path)}\n`);
      const run = await runCli(['run', '-m', '64m', path]);
      const line = onlyLine(run);
      const code = REFUSED[what]?.[1] === 'ENOENT' ? 127 : 126;
      assert.equal(run.code, code, line);
      table.add(what, `exit ${code}`, line.replace(path, 'FILE'));
    });
  }

  for (const [what, [spec, outcome, code]] of Object.entries(LOADED)) {
    it(`is loaded as Linux loads it, and ends by what it does: ${what}`, async () => {
      await onWholeMachine({ memory: MEMORY }, async (machine) => {
        machine.writeFile('/tmp/loaded', elf(spec), 0o755);
        const { code: exit, signal } = await machine.spawn('/tmp/loaded', ['x']).wait();
        assert.equal(signal ?? `exit ${exit}`, outcome);
      });
      const path = hostFile(what, elf(spec));
      const run = await runCli(['run', '-m', '64m', path]);
      assert.equal(run.code, code);
      table.add(what, outcome);
      table.add(what, `exit ${code}`, run.stderr.trimEnd().replace(path, 'FILE'));
    });
  }

  it('is refused as a directory, without permission, or when it does not exist', async () => {
    await onWholeMachine({ memory: MEMORY }, async (machine) => {
      machine.writeFile('/tmp/plain', elf(), 0o644);
      machine.writeFile('/tmp/private', elf(), 0o700);
      const cases = [
        ['/tmp', 'EACCES', 'a directory as program'],
        ['/tmp/plain', 'EACCES', 'a file that may not be executed'],
        ['/tmp/none', 'ENOENT', 'a file that is not there'],
      ] as const;
      for (const [path, code, what] of cases) {
        assert.throws(() => machine.spawn(path, ['x']), { code });
        assert.equal(await execInGuest(machine, path), `${path}: error ${ERRNO[code]}`);
        table.add(what, code);
      }
      assert.throws(() => machine.spawn('/tmp/plain/x', ['x']), { code: 'ENOTDIR' });
      assert.throws(() => machine.spawn('/tmp/private', ['x'], { uid: 99, gid: 99 }), {
        code: 'EACCES',
      });
      assert.equal(await execInGuest(machine, '/tmp/private', 99), '/tmp/private: error 13');
      table.add('an unreadable file as program', 'EACCES');
    });
  });

  it('ends cowshed run in one line: directories, pipes, loops, files without permission', async () => {
    const root = join(dir.path, 'guest');
    mkdirSync(root);
    writeFileSync(join(root, 'private'), elf(), { mode: 0o600 });
    symlinkSync('loop', join(dir.path, 'loop'));
    const huge = hostFile('huge', Buffer.alloc(70 * 2 ** 20));
    const cases = [
      ['a directory as program', [dir.path], 126, 'it is a directory'],
      ['a file that is not there', [join(dir.path, 'none')], 127, 'no such file'],
      ['a loop of symbolic links as program', [join(dir.path, 'loop')], 126, 'symbolic links'],
      ['a file below a file', [join(hostFile('text', Buffer.from('x')), 'x')], 127, 'not a dir'],
      ['a device as program', ['../dev/null'], 126, 'it is not a regular file'],
      ['a program larger than memory', ['-m', '64m', huge], 126, "the machine's memory"],
      [
        'an unreadable file as program',
        ['--rootfs', root, '-u', '99', '/private'],
        126,
        'permission denied',
      ],
    ] as const;
    for (const [what, args, code, cause] of cases) {
      const run = await runCli(['run', ...args], { cwd: '/tmp' });
      const line = onlyLine(run);
      assert.ok(line.includes(cause), line);
      assert.equal(run.code, code, line);
      table.add(what, `exit ${code}`, line.replaceAll(dir.path, 'DIR'));
    }
  });
});

describe('a program that does what no program may', { concurrency: CONCURRENCY }, () => {
  for (const [name, { what, said }] of Object.entries(BAD_ACCESSES)) {
    const signal = name === 'illegal' ? 'SIGILL' : 'SIGSEGV';
    it(`dies by a signal, or reaches its handler: ${what}`, async () => {
      await onWholeMachine({ memory: MEMORY }, async (machine) => {
        const fatal = await runGuest(machine, 'bad_access', [name]);
        assert.deepEqual([fatal.code, fatal.signal, fatal.stdout], [null, signal, '']);
        const handled = await runGuest(machine, 'bad_access', [name, 'handled']);
        assert.ok(handled.stdout.startsWith(said), handled.stdout);
        assert.equal(handled.code, 0);
      });
      table.add(what, signal);
    });

    it(`ends cowshed run in one line: ${what}`, async () => {
      const run = await runCli(['run', '-m', '64m', guestProgramPath('bad_access'), name]);
      const line = onlyLine(run);
      assert.match(line, /bad_access was killed by SIG(SEGV|ILL)$/);
      const code = name === 'illegal' ? 132 : 139;
      assert.equal(run.code, code);
      table.add(what, `exit ${code}`, line.replace(/ \S*bad_access/, ' PROGRAM'));
    });
  }
});

describe('a program that wants everything', { concurrency: CONCURRENCY }, () => {
  for (const cowPte of [true, false]) {
    const mode = cowPte ? 'shared page tables' : 'default fork';
    it(`gets EAGAIN or ENOMEM from fork() in the end (${mode})`, async () => {
      await onWholeMachine({ memory: MEMORY, cowPte }, async (machine) => {
        const run = await runGuest(machine, 'fork_bomb', ['100000']);
        const [, error] = /^forked \d+ error (11|12)\n$/.exec(run.stdout) ?? [];
        assert.ok(error !== undefined, run.stdout);
        table.add('infinite fork, one level', error === '11' ? 'EAGAIN' : 'ENOMEM');
      });
    });

    it(`is killed when memory runs out, and only it (${mode})`, async () => {
      await onWholeMachine({ memory: MEMORY, cowPte }, async (machine) => {
        machine.writeFile('/tmp/cat', guestProgram('cat'), 0o755);
        const bystander = machine.spawn('/tmp/cat', ['cat'], { stdin: 'pipe' });
        const run = await runGuest(machine, 'eat_memory');
        assert.equal(run.signal, 'SIGKILL');
        assert.ok(machine.stats().oomKills >= 1);
        bystander.stdin.end('still here');
        let said = '';
        for await (const chunk of bystander.stdout) said += String(chunk);
        assert.equal(said, 'still here');
        await bystander.wait();
      });
      table.add('endless allocation', 'SIGKILL');
    });
  }

  it('does not keep the machine from being disposed of', async () => {
    const machine = await Machine.create({ memory: MEMORY });
    machine.writeFile('/tmp/fork_bomb', guestProgram('fork_bomb'), 0o755);
    const guest = machine.spawn('/tmp/fork_bomb', ['fork_bomb']);
    await new Promise((resolve) => setTimeout(resolve, 500));
    await machine.dispose();
    await assert.rejects(guest.wait(), { code: 'ERR_DISPOSED' });
    assert.throws(() => machine.spawn('/tmp/fork_bomb', ['x']), { code: 'ERR_DISPOSED' });
  });

  it('ends cowshed run in one line: endless allocation', async () => {
    const run = await runCli(['run', '-m', '64m', guestProgramPath('eat_memory')]);
    const line = onlyLine(run);
    assert.match(line, /eat_memory was killed by SIGKILL$/);
    assert.equal(run.code, 137);
    table.add('endless allocation', 'exit 137', line.replace(/ \S*eat_memory/, ' PROGRAM'));
  });

  it('is ended by Ctrl-C: infinite fork', async () => {
    const trace = join(dir.path, 'fork_bomb.trace');
    const run = await runCli(
      ['run', '-m', '64m', `--strace=${trace}`, guestProgramPath('fork_bomb')],
      {
        started: (child) => {
          // Once it forks, and not while the command still starts.
          const timer = setInterval(() => {
            if (!existsSync(trace) || statSync(trace).size === 0) return;
            clearInterval(timer);
            setTimeout(() => child.kill('SIGINT'), 200);
          }, 50);
        },
      },
    );
    assert.deepEqual([run.code, run.stdout, run.stderr], [130, '', '']);
    table.add('infinite fork, every process', 'exit 130 at Ctrl-C');
  });
});

describe('a root file system with links that lead out', () => {
  it('shows nothing of the host, and takes nothing to it', async () => {
    const root = makeHostileRoot(dir.path);
    const listing = readdirSync(dir.path);
    await onWholeMachine({ memory: MEMORY, root: { host: root } }, async (machine) => {
      for (const [path, [what, said]] of Object.entries(BAD_PATHS)) {
        const run = await runGuest(machine, 'cat', [path]);
        const errno = ERRNO[said];
        assert.equal(run.stdout, errno === undefined ? said : `cat: ${path}: error ${errno}\n`);
        table.add(what, said);
      }
      for (const path of ['/up/new', '/../../new']) machine.writeFile(path, 'x');
      assert.throws(() => machine.writeFile('/absolute/new', 'x'), { code: 'ENOENT' });
    });
    assert.deepEqual(readdirSync(dir.path), listing);
    assert.deepEqual(readdirSync(root).sort(), readdirSync(makeHostileRoot(dir.path)).sort());
  });

  it('ends cowshed run in one line', async () => {
    const root = makeHostileRoot(dir.path);
    const cases = [
      ['/loop', 126, 'too many levels of symbolic links or scripts'],
      ['/self/x', 126, 'too many levels of symbolic links or scripts'],
      ['/out', 127, 'no such file; there is no root file system, "cowshed pull" makes one'],
      ['/absolute', 127, 'no such file; there is no root file system, "cowshed pull" makes one'],
      ['/up', 126, 'permission denied'],
    ] as const;
    for (const [path, code, cause] of cases) {
      const run = await runCli(['run', '-m', '64m', '--rootfs', root, path]);
      assert.equal(onlyLine(run), `cowshed: Cannot run "${path}": ${cause}`);
      assert.equal(run.code, code);
      table.add(`${path} of such a root as program`, `exit ${code}`, onlyLine(run));
    }
  });
});

describe('a package that lies', { concurrency: CONCURRENCY }, () => {
  let mirror: FakeMirror;
  let key: SigningKey;
  before(async () => {
    mirror = await startMirror();
    key = await makeSigningKey(dir.path, 'archive');
    const packages = BAD_PACKAGES.map(({ spec }) => spec);
    await publish(mirror, 'trixie', { codename: 'trixie', suite: 'stable', packages, key });
    for (const { spec, afterwards } of BAD_PACKAGES) {
      const path = [...mirror.files.keys()].find((file) => file.includes(`/${spec.name}_`))!;
      if (afterwards !== undefined) mirror.files.set(path, afterwards(mirror.files.get(path)!));
    }
  });
  after(() => mirror.close());

  for (const { what, spec, line } of BAD_PACKAGES) {
    it(`is not unpacked: ${what}`, async () => {
      const home = join(dir.path, 'pulls', spec.name);
      mkdirSync(home, { recursive: true });
      const env = { COWSHED_DEBIAN_MIRROR: mirror.url, COWSHED_CACHE: join(home, 'cache') };
      const args = ['pull', '--keyring', key.keyring, '--root', join(home, 'root'), spec.name];
      const run = await runCli(args, { cwd: home, env });
      assert.match(onlyLine(run), line);
      assert.equal(run.code, 125);
      assert.deepEqual(readdirSync(home), ['cache']);
      table.add(what, 'exit 125', onlyLine(run));
    });
  }
});
