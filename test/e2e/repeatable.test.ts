/** A machine with a seed does the same again: instructions, switches of threads, times, output. */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { guestProgramPath } from '../../src/bench/guest_files.ts';
import { Machine, type MachineOptions, type MachineStats } from '../../src/machine/machine.ts';
import { INTERPRETER, JIT_DEFAULT, JIT_SOON, type Tier } from '../cpu_tiers.ts';
import { type GuestRun, readAll, runGuest, withMachine } from '../guest.ts';
import { temporaryDir } from '../unit/debian/fake_debian.ts';
import { runCli } from './cli.ts';

const repository = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const host = process.env['COWSHED_ROOTFS'] ?? join(repository, '.cowshed', 'rootfs');
const noRoot = ['sqlite3', 'python3'].every((name) => existsSync(join(host, 'usr/bin', name)))
  ? false
  : 'no Debian root file system with sqlite3 and python3 here: cowshed pull makes one';

const MEMORY = 256 * 1024 ** 2;
const RUNS = 3;
const TIERS: readonly Tier[] = [INTERPRETER, JIT_SOON, JIT_DEFAULT];

interface Outcome {
  readonly run: GuestRun;
  readonly stats: MachineStats;
}

async function runDebian(machine: Machine, words: readonly string[]): Promise<GuestRun> {
  const [name = ''] = words;
  const guest = machine.spawn(`/usr/bin/${name}`, words);
  const output = Promise.all([readAll(guest.stdout), readAll(guest.stderr)]);
  const { code, signal } = await guest.wait();
  const [stdout, stderr] = await output;
  return { code, signal, stdout, stderr };
}

function outcome(
  options: MachineOptions,
  run: (machine: Machine) => Promise<GuestRun>,
): Promise<Outcome> {
  return withMachine({ memory: MEMORY, ...options }, async (machine) => ({
    run: await run(machine),
    stats: machine.stats(),
  }));
}

/** Runs a few times in each tier; all must be the same. @returns one of them. */
async function repeat(
  options: MachineOptions,
  run: (machine: Machine) => Promise<GuestRun>,
): Promise<Outcome> {
  const wanted = await outcome({ ...options, jit: INTERPRETER.jit }, run);
  assert.deepEqual([wanted.run.code, wanted.run.signal], [0, null], wanted.run.stderr);
  for (const tier of TIERS) {
    for (let n = 1; n <= RUNS; n++) {
      const again = await outcome({ ...options, jit: tier.jit }, run);
      assert.deepEqual(again.run, wanted.run, `${tier.name}, run ${n}`);
      assert.deepEqual(again.stats, wanted.stats, `${tier.name}, run ${n}`);
    }
  }
  return wanted;
}

/** Three threads sleep and wake, and say what the clocks and the random numbers are. */
const CLOCKS = `
import os, random, threading, time
log = []
def work(n):
    for i in range(4):
        time.sleep(0.1 + n / 100)
        log.append((n, time.monotonic()))
        sum(range(20000))
threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
for t in threads: t.start()
for t in threads: t.join()
print(log, time.time(), time.process_time(), random.random(), os.urandom(8).hex())
`;

const SQL = `
create table t(a integer primary key, b text);
with recursive n(i) as (values(1) union all select i + 1 from n where i < 2000)
  insert into t select i, hex((i * 7919) % 10007) from n;
create index tb on t(b);
select count(*), sum(a), min(b), hex(randomblob(8)), random(), strftime('%s %f', 'now') from t;
`;

/** One process counts while another writes more than anybody reads at once; then the count. */
const COUNT_AND_WRITE = `
import mmap, os, struct
shared = mmap.mmap(-1, 4096)
pid = os.fork()
if pid == 0:
    n = 0
    while True:
        n += 1
        shared[0:8] = struct.pack('Q', n)
for i in range(200): os.write(1, b'x' * 4096)
count = struct.unpack('Q', shared[0:8])[0]
os.kill(pid, 9)
os.waitpid(pid, 0)
print(count)
`;

/** Reads a stream to its end, waiting some ms after each part. */
async function readSlowly(stream: AsyncIterable<Uint8Array>, pause: number): Promise<string> {
  let text = '';
  for await (const part of stream) {
    text += Buffer.from(part).toString('latin1');
    await setTimeout(pause);
  }
  return text;
}

describe('a machine with a seed', () => {
  it('switches between threads at the same instructions', async () => {
    const { stats } = await repeat({ seed: 1 }, (machine) => runGuest(machine, 'threads'));
    assert.ok(stats.contextSwitches > 10, `${stats.contextSwitches} switches`);
  });

  it('delivers timers at the same instructions', async () => {
    await repeat({ seed: 1 }, (machine) => runGuest(machine, 'signals'));
  });

  it('runs sqlite3 the same', { skip: noRoot }, async () => {
    const { run } = await repeat({ seed: 1, root: { host } }, (machine) =>
      runDebian(machine, ['sqlite3', ':memory:', SQL]),
    );
    assert.match(run.stdout, /^2000\|2001000\|\w+\|[0-9A-F]{16}\|-?\d+\|1767225600 00\.\d+\n$/);
  });

  it('does not show programs how fast their output is read', { skip: noRoot }, async () => {
    const [fast, slow] = [0, 100].map((pause) =>
      withMachine({ memory: MEMORY, seed: 1, root: { host } }, async (machine) => {
        const guest = machine.spawn('/usr/bin/python3', ['python3', '-c', COUNT_AND_WRITE]);
        const output = readSlowly(guest.stdout, pause);
        await guest.wait();
        return { output: await output, stats: machine.stats() };
      }),
    );
    const { output, stats } = await fast!;
    assert.match(output, /^x{819200}\d+\n$/);
    assert.deepEqual(await slow, { output, stats });
  });

  it('shows threads of python3 the same times, and lets none wait', { skip: noRoot }, async () => {
    const sleep = 'import time; time.sleep(3600); print(time.time())';
    const long = await outcome({ seed: 1, root: { host } }, (machine) =>
      runDebian(machine, ['python3', '-c', sleep]),
    );
    assert.ok(Number(long.run.stdout) >= 1_767_229_200);
    const run = (seed: number): Promise<Outcome> =>
      outcome({ seed, root: { host } }, (machine) => runDebian(machine, ['python3', '-c', CLOCKS]));
    const [first, again, other] = [await run(1), await run(1), await run(2)];
    assert.equal(first.run.code, 0, first.run.stderr);
    assert.deepEqual(again, first);
    assert.notEqual(other.run.stdout, first.run.stdout);
  });
});

describe('MachineOptions.maxInstructions', () => {
  it('ends the machine there, whatever its programs do', async () => {
    const machine = await Machine.create({ memory: MEMORY, maxInstructions: 100_000 });
    const error = {
      code: 'ERR_INSTRUCTION_LIMIT',
      message: /its 100,000 instructions are used up/,
    };
    await assert.rejects(runGuest(machine, 'fork_tree', ['100', '8', '4', '7']), error);
    const { instructions } = machine.stats();
    assert.ok(instructions >= 100_000 && instructions < 110_000, `${instructions} instructions`);
    assert.throws(() => machine.spawn('/tmp/fork_tree', ['fork_tree']), error);
    await machine.dispose();
  });

  it('ends at the same instruction in every tier', async () => {
    const counts = TIERS.map(({ jit }) =>
      withMachine({ memory: MEMORY, jit, seed: 1, maxInstructions: 654_321 }, async (machine) => {
        await assert.rejects(runGuest(machine, 'fork_tree', ['100', '8', '4', '7']));
        return machine.stats();
      }),
    );
    const [first, ...others] = await Promise.all(counts);
    assert.ok(first!.instructions >= 654_321);
    for (const other of others) assert.deepEqual(other, first);
  });

  it('leaves alone what takes less, and refuses a limit of 0', async () => {
    const done = await outcome({ maxInstructions: 1e9 }, (machine) => runGuest(machine, 'hello'));
    assert.equal(done.run.code, 0);
    await assert.rejects(Machine.create({ maxInstructions: 0 }), { code: 'EINVAL' });
  });
});

describe('cowshed run --seed, --max-insns', () => {
  const dir = temporaryDir();
  after(dir.remove);
  const run = (...args: readonly string[]) =>
    runCli(['run', '--memory', '128m', ...args], { cwd: dir.path });

  it('end with 125 and a line when the instructions are used up', async () => {
    const args = ['--seed', '1', '--max-insns', '50000', guestProgramPath('fork_tree')];
    const done = await run(...args, '100', '8', '4', '7');
    assert.equal(done.code, 125);
    assert.equal(
      done.stderr,
      'cowshed: The machine has stopped: its 50,000 instructions are used up\n',
    );
  });

  it('refuse what is no number', async () => {
    for (const [flag, value] of [
      ['--seed', '-1'],
      ['--max-insns', '0'],
      ['--max-insns', 'many'],
    ] as const) {
      const done = await run(flag, value, 'true');
      assert.equal(done.code, 125);
      assert.match(
        done.stderr,
        new RegExp(`^cowshed: Cannot read ${flag} "${value}": want a whole`),
      );
    }
  });
});
