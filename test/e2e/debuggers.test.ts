/**
 * Debian's strace and gdbserver inside the machine: what they are told about a program, and what
 * they do to it.
 */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { guestProgram } from '../../src/bench/guest_files.ts';
import type { Machine } from '../../src/machine/machine.ts';
import type { Process } from '../../src/machine/process.ts';
import { withMachine } from '../guest.ts';

const repository = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const path = process.env['COWSHED_ROOTFS'] ?? join(repository, '.cowshed', 'rootfs');
const hasTools = ['strace', 'gdbserver', 'bash'].every((name) =>
  existsSync(join(path, 'usr/bin', name)),
);
const skip = hasTools
  ? false
  : 'no strace, gdbserver and bash here: cowshed pull --lock debian.lock.json makes a root with them';
const OPTIONS = { memory: 512 * 1024 ** 2, root: { host: path } };

async function collect(stream: Process['stdout']): Promise<string> {
  let text = '';
  for await (const chunk of stream) text += (chunk as Buffer).toString('latin1');
  return text;
}

interface Finished {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number | null;
}

async function run(machine: Machine, argv: readonly string[]): Promise<Finished> {
  const guest = machine.spawn(`/usr/bin/${argv[0]}`, argv, {
    env: { PATH: '/usr/bin' },
    stdout: 'pipe',
    stderr: 'pipe',
  });
  const output = Promise.all([collect(guest.stdout), collect(guest.stderr)]);
  const { code } = await guest.wait();
  const [stdout, stderr] = await output;
  return { stdout, stderr, code };
}

/** Lines of one process in strace's output, by the number in front. */
function byProcess(text: string): Map<string, string[]> {
  const lines = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    const [, pid, rest] = /^(\d+) +(.*)$/.exec(line) ?? [];
    if (pid === undefined || rest === undefined) continue;
    lines.set(pid, [...(lines.get(pid) ?? []), rest]);
  }
  return lines;
}

describe('strace', { skip }, () => {
  it('follows a shell and its children from call to call', async () => {
    await withMachine(OPTIONS, async (machine) => {
      const script = 'echo one; seq 2 | sort -rn; exit 5';
      const calls = 'execve,write,exit_group';
      const trace = ['strace', '-f', '-o', '/tmp/x', '-e', `trace=${calls}`, 'bash', '-c', script];
      const done = await run(machine, trace);
      assert.deepEqual([done.stdout, done.stderr, done.code], ['one\n2\n1\n', '', 5]);
      const text = (await run(machine, ['cat', '/tmp/x'])).stdout;
      const lines = [...byProcess(text).values()];
      assert.equal(lines.length, 3, text);
      const [shell = []] = lines;
      assert.match(shell[0]!, /^execve\("\/usr\/bin\/bash", \["bash", "-c", .*\) = 0$/);
      assert.ok(
        shell.some((line) => /^write\(1, "one\\n", 4\) += 4$/.test(line)),
        text,
      );
      assert.equal(shell.at(-1), '+++ exited with 5 +++');
      assert.ok(shell.some((line) => line.startsWith('--- SIGCHLD {si_signo=SIGCHLD, ')));
      for (const program of ['seq', 'sort']) {
        const own = lines.find((list) => list.some((line) => line.includes(`["${program}"`)));
        assert.equal(own?.at(-1), '+++ exited with 0 +++');
      }
    });
  });

  it('shows signals and interrupted calls, and changes what a call returns', async () => {
    await withMachine(OPTIONS, async (machine) => {
      const script =
        'trap "echo caught" USR1; (sleep 0.1; kill -USR1 $$; sleep 0.2) & wait; exit 0';
      const trace = ['strace', '-e', 'trace=wait4', 'bash', '-c', script];
      const done = await run(machine, trace);
      assert.equal(done.stdout, 'caught\n');
      assert.match(done.stderr, /^wait4\(.* = \? ERESTARTSYS \(To be restarted/m);
      assert.match(done.stderr, /^--- SIGUSR1 \{si_signo=SIGUSR1, si_code=SI_USER, si_pid=\d+/m);
      const inject = ['strace', '-e', 'inject=getppid:retval=4242', 'bash', '-c', 'echo $PPID'];
      assert.equal((await run(machine, inject)).stdout, '4242\n');
    });
  });

  it('attaches to a program that runs', async () => {
    await withMachine(OPTIONS, async (machine) => {
      const script =
        'sleep 0.4 & strace -o /tmp/x -p $! 2>/tmp/err; wait $!; echo $?; cat /tmp/x /tmp/err';
      const { stdout } = await run(machine, ['bash', '-c', script]);
      assert.match(stdout, /^0\n/);
      assert.match(stdout, /^\+\+\+ exited with 0 \+\+\+$/m);
      assert.match(stdout, /strace: Process \d+ attached/);
    });
  });
});

/** A client of gdb's remote serial protocol, as gdb is one. */
class Remote {
  private readonly guest: Process;
  private input = '';
  private wake: () => void = () => {};

  constructor(guest: Process) {
    this.guest = guest;
    guest.stdout.on('data', (chunk: Buffer) => {
      this.input += chunk.toString('latin1');
      this.wake();
    });
  }

  /** Sends a packet. @returns the reply's text, with runs of characters written out. */
  async ask(packet: string): Promise<string> {
    let sum = 0;
    for (const char of packet) sum += char.charCodeAt(0);
    this.guest.stdin.write(`$${packet}#${(sum & 0xff).toString(16).padStart(2, '0')}`);
    for (;;) {
      const reply = /\$([^#]*)#../.exec(this.input);
      if (reply !== null) {
        this.input = this.input.slice(reply.index + reply[0].length);
        this.guest.stdin.write('+');
        return reply[1]!.replace(/(.)\*(.)/g, (_, char: string, count: string) =>
          char.repeat(count.charCodeAt(0) - 28),
        );
      }
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }

  /** Integer register `n`; 32 is pc. */
  async register(n: number): Promise<number> {
    const bytes = Buffer.from((await this.ask('g')).slice(16 * n, 16 * n + 16), 'hex');
    return Number(bytes.readBigUInt64LE());
  }
}

const ECALL = Buffer.from('73000000', 'hex');
/** gdbserver for riscv64 sets no breakpoints itself: gdb writes them. */
const EBREAK = '73001000';
const PC = 32;
const PT_LOAD = 1;

/** Where byte `at` of a 64-bit ELF file is in memory; -1 if it is nowhere. */
function addressOf(elf: Buffer, at: number): number {
  const [first, count] = [Number(elf.readBigUInt64LE(32)), elf.readUInt16LE(56)];
  for (let phdr = first; phdr < first + count * 56; phdr += 56) {
    if (elf.readUInt32LE(phdr) !== PT_LOAD) continue;
    const offset = Number(elf.readBigUInt64LE(phdr + 8));
    const size = Number(elf.readBigUInt64LE(phdr + 32));
    if (at >= offset && at < offset + size)
      return Number(elf.readBigUInt64LE(phdr + 16)) + at - offset;
  }
  return -1;
}

/** Addresses of all system calls in a program. */
function ecalls(elf: Buffer): number[] {
  const found: number[] = [];
  for (let at = elf.indexOf(ECALL); at >= 0; at = elf.indexOf(ECALL, at + 1)) {
    const address = addressOf(elf, at);
    if (address >= 0) found.push(address);
  }
  return found;
}

describe('gdbserver', { skip }, () => {
  it('stops a program at breakpoints, reads and writes it, and lets it end', async () => {
    await withMachine(OPTIONS, async (machine) => {
      const elf = Buffer.from(guestProgram('hello'));
      machine.writeFile('/tmp/hello', elf, 0o755);
      const argv = ['gdbserver', '--once', '-', '/tmp/hello', 'a'];
      const guest = machine.spawn('/usr/bin/gdbserver', argv, {
        stdin: 'pipe',
        stdout: 'pipe',
        stderr: 'pipe',
      });
      const stderr = collect(guest.stderr);
      const gdb = new Remote(guest);
      assert.match(await gdb.ask('?'), /^T05/);
      const entry = Number(elf.readBigUInt64LE(24));
      assert.equal(await gdb.register(PC), entry);
      const places = ecalls(elf);
      assert.ok(places.length > 0);
      for (const place of places) {
        const at = place.toString(16);
        assert.equal(await gdb.ask(`m${at},4`), '73000000');
        assert.equal(await gdb.ask(`M${at},4:${EBREAK}`), 'OK');
      }
      assert.match(await gdb.ask('c'), /^T05/);
      const pc = await gdb.register(PC);
      assert.ok(places.includes(pc));
      // write(1, "hello...", n): the text is in memory that no file has.
      const [nr, text] = [await gdb.register(17), await gdb.register(11)];
      assert.equal(nr, 64);
      assert.equal(await gdb.ask(`m${text.toString(16)},5`), Buffer.from('hello').toString('hex'));
      const howdy = Buffer.from('HOWDY').toString('hex');
      assert.equal(await gdb.ask(`M${text.toString(16)},5:${howdy}`), 'OK');
      for (const place of places) {
        assert.equal(await gdb.ask(`M${place.toString(16)},4:73000000`), 'OK');
      }
      assert.match(await gdb.ask('c'), /^W00/);
      guest.stdin.end();
      await guest.wait();
      assert.match(await stderr, /HOWDY from riscv64 a/);
    });
  });
});
