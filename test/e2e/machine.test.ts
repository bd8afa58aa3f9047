import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { guestProgram } from '../../src/bench/guest_files.ts';
import { Machine } from '../../src/machine/machine.ts';
import { elf } from '../elf.ts';
import { runGuest, withMachine } from '../guest.ts';

const MEMORY = 64 * 1024 ** 2;

function install(machine: Machine, name: string): string {
  const path = `/tmp/${name}`;
  machine.writeFile(path, guestProgram(name), 0o755);
  return path;
}

async function text(stream: AsyncIterable<Uint8Array>): Promise<string> {
  let all = '';
  for await (const chunk of stream) all += Buffer.from(chunk).toString('latin1');
  return all;
}

describe('Machine', () => {
  it('refuses memory sizes it cannot have', async () => {
    await assert.rejects(Machine.create({ memory: 1024 }), { code: 'ERR_MEMORY_SIZE' });
    await assert.rejects(Machine.create({ memory: 2 ** 33 }), { code: 'ERR_MEMORY_SIZE' });
  });

  it('keeps files and directories', async () => {
    await withMachine({ memory: MEMORY }, async (machine) => {
      machine.mkdir('/a/b/c');
      machine.mkdir('/a/b/c');
      machine.writeFile('/a/b/c/file', 'hello');
      assert.equal(Buffer.from(machine.readFile('/a/b/c/file')).toString(), 'hello');
      machine.writeFile('/a/b/c/file', 'x');
      assert.equal(Buffer.from(machine.readFile('/a/b/c/file')).toString(), 'x');
      assert.throws(() => machine.readFile('/none'), { code: 'ENOENT' });
      assert.throws(() => machine.readFile('/a'), { code: 'EISDIR' });
      assert.throws(() => machine.mkdir('/a/b/c/file/d'), { code: 'ENOTDIR' });
    });
  });

  it('runs several machines in one process, each with its own files and programs', async () => {
    const machines = await Promise.all([1, 2, 3].map(() => Machine.create({ memory: MEMORY })));
    const codes = await Promise.all(
      machines.map(
        async (machine, i) => (await runGuest(machine, 'exit_code', [`${i + 10}`])).code,
      ),
    );
    assert.deepEqual(codes, [10, 11, 12]);
    await Promise.all(machines.map((machine) => machine.dispose()));
  });

  it('prints one line a system call to strace', async () => {
    const lines: string[] = [];
    const strace = (line: string): void => void lines.push(line);
    await withMachine({ memory: MEMORY, strace }, async (machine) => {
      await runGuest(machine, 'hello', ['you']);
    });
    assert.ok(lines.includes('write(1, "hello from riscv64 you\\n", 23) = 23'), lines.join('\n'));
    assert.ok(lines.some((line) => line.startsWith('exit')));
  });

  it('counts what happened', async () => {
    await withMachine({ memory: MEMORY }, async (machine) => {
      await runGuest(machine, 'fork_tree', ['20', '3', '2', '1']);
      const stats = machine.stats();
      assert.equal(stats.forks, 20);
      assert.ok(stats.instructions > 1000);
      assert.ok(stats.systemCalls > 40);
      assert.ok(stats.contextSwitches > 20);
      assert.equal(stats.processes, 0);
    });
  });

  it('has no frame in use when nothing runs, apart from files', async () => {
    await withMachine({ memory: MEMORY }, async (machine) => {
      for (const name of ['cow_fork', 'cow_break', 'threads', 'signals']) {
        await runGuest(machine, name);
        assert.equal(machine.leakedFrames(), 0, name);
      }
    });
  });

  it('stops with the error of a callback that throws', async () => {
    const cause = new Error('no more paper');
    const strace = (): void => {
      throw cause;
    };
    await withMachine({ memory: MEMORY, strace }, async (machine) => {
      const guest = machine.spawn(install(machine, 'hello'), ['hello']);
      const message = 'The machine has stopped: no more paper';
      await assert.rejects(guest.wait(), { code: 'ERR_MACHINE', message, cause });
      assert.throws(() => machine.spawn('/tmp/hello', ['hello']), { code: 'ERR_MACHINE' });
    });
  });

  it('ends everything when it is disposed of', async () => {
    const machine = await Machine.create({ memory: MEMORY });
    const guest = machine.spawn(install(machine, 'cat'), ['cat'], { stdin: 'pipe' });
    await machine.dispose();
    await assert.rejects(guest.wait(), { code: 'ERR_DISPOSED' });
    assert.throws(() => machine.spawn('/tmp/cat', ['cat']), { code: 'ERR_DISPOSED' });
    await machine.dispose();
  });
});

describe('Process', () => {
  it('streams what it reads and writes', async () => {
    await withMachine({ memory: MEMORY }, async (machine) => {
      const guest = machine.spawn(install(machine, 'cat'), ['cat'], { stdin: 'pipe' });
      guest.stdin.write('one ');
      setTimeout(() => guest.stdin.end('two'), 20);
      assert.equal(await text(guest.stdout), 'one two');
      assert.deepEqual(await guest.wait(), { code: 0, signal: null });
    });
  });

  it('waits when nobody reads its output, and goes on when somebody does', async () => {
    await withMachine({ memory: MEMORY }, async (machine) => {
      const guest = machine.spawn(install(machine, 'cat'), ['cat'], { stdin: 'pipe' });
      const data = 'x'.repeat(1 << 20);
      guest.stdin.end(data);
      const first = await Promise.race([
        guest.wait(),
        new Promise((r) => setTimeout(r, 200, 'waits')),
      ]);
      assert.equal(first, 'waits');
      assert.equal((await text(guest.stdout)).length, data.length);
      assert.equal((await guest.wait()).code, 0);
    });
  });

  it('has an empty input unless it is asked for', async () => {
    await withMachine({ memory: MEMORY }, async (machine) => {
      const guest = machine.spawn(install(machine, 'cat'), ['cat']);
      assert.equal(await text(guest.stdout), '');
      assert.equal((await guest.wait()).code, 0);
    });
  });

  it('can be killed while it sleeps and while it runs', async () => {
    await withMachine({ memory: MEMORY }, async (machine) => {
      const asleep = machine.spawn(install(machine, 'cat'), ['cat'], { stdin: 'pipe' });
      // jal x0, 0: for ever.
      const loop = new Uint8Array([0x6f, 0, 0, 0]);
      machine.writeFile(
        '/tmp/loop',
        elf({ body: loop, segments: [{ filesz: 4, memsz: 4 }] }),
        0o755,
      );
      const busy = machine.spawn('/tmp/loop', ['loop']);
      setTimeout(() => {
        assert.ok(asleep.kill());
        assert.ok(busy.kill('SIGINT'));
      }, 30);
      assert.deepEqual(await asleep.wait(), { code: null, signal: 'SIGTERM' });
      assert.deepEqual(await busy.wait(), { code: null, signal: 'SIGINT' });
      assert.equal(busy.kill(), false);
      assert.throws(() => busy.kill('SIGNOTHING'), { code: 'EINVAL' });
      assert.equal(machine.leakedFrames(), 0);
    });
  });

  it('is cloned with its memory, in the middle of a read', async () => {
    await withMachine({ memory: MEMORY }, async (machine) => {
      const guest = machine.spawn(install(machine, 'cat'), ['cat'], { stdin: 'pipe' });
      guest.stdin.write('before ');
      await new Promise((resolve) => setTimeout(resolve, 50));
      const clones = [1, 2, 3].map(() => guest.fork({ stdin: 'pipe' }));
      const outputs = clones.map((clone) => text(clone.stdout));
      for (const [i, clone] of clones.entries()) clone.stdin.end(`clone ${i}`);
      assert.deepEqual(await Promise.all(outputs), ['clone 0', 'clone 1', 'clone 2']);
      for (const clone of clones) assert.equal((await clone.wait()).code, 0);
      guest.stdin.end('after');
      assert.equal(await text(guest.stdout), 'before after');
      assert.equal((await guest.wait()).code, 0);
      assert.equal(machine.leakedFrames(), 0);
      assert.throws(() => guest.fork(), { code: 'ESRCH' });
    });
  });

  it('tells how much memory it has', async () => {
    await withMachine({ memory: MEMORY }, async (machine) => {
      const guest = machine.spawn(install(machine, 'cat'), ['cat'], { stdin: 'pipe' });
      await new Promise((resolve) => setTimeout(resolve, 50));
      const clone = guest.fork({ stdin: 'pipe' });
      const { rss, pageTables, sharedPageTables } = clone.memory();
      assert.ok(rss > 0 && pageTables > 0 && sharedPageTables > 0);
      guest.kill();
      clone.kill();
      await guest.wait();
      await clone.wait();
      assert.throws(() => guest.memory(), { code: 'ESRCH' });
    });
  });
});

describe('a terminal', () => {
  it('echoes, gives lines to the program, and ends it with ^C', async () => {
    await withMachine({ memory: MEMORY }, async (machine) => {
      const guest = machine.spawn(install(machine, 'cat'), ['cat'], { stdin: 'pipe', tty: true });
      const output = text(guest.stdout);
      guest.stdin.write('on');
      setTimeout(() => guest.stdin.write('e\n'), 30);
      setTimeout(() => guest.stdin.write('two\x03'), 80);
      assert.deepEqual(await guest.wait(), { code: null, signal: 'SIGINT' });
      assert.equal(await output, 'one\r\none\r\ntwo^C');
      assert.equal(machine.leakedFrames(), 0);
    });
  });

  it('ends the input with ^D', async () => {
    await withMachine({ memory: MEMORY }, async (machine) => {
      const guest = machine.spawn(install(machine, 'cat'), ['cat'], { stdin: 'pipe', tty: true });
      const output = text(guest.stdout);
      guest.stdin.write('one\n\x04');
      assert.deepEqual(await guest.wait(), { code: 0, signal: null });
      assert.equal(await output, 'one\r\none\r\n');
    });
  });
});
