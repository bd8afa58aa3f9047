/**
 * Tracers and tracees that do everything at random and are killed in the middle of it: who traces
 * whom stays consistent, and nothing is left. PTRACE_STORM is the number of tracers.
 */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Kernel } from '../../src/kernel/kernel.ts';
import { EXIT_DEAD, EXIT_ZOMBIE, TASK_TRACED, type Task } from '../../src/kernel/task.ts';
import { guestProgram } from '../../src/bench/guest_files.ts';
import type { Machine } from '../../src/machine/machine.ts';
import type { Process } from '../../src/machine/process.ts';
import { checkPageTables } from '../../src/mm/page_table_check.ts';
import { assertTap, runGuest, withMachine } from '../guest.ts';

const MEMORY = 256 * 1024 ** 2;
const ROUNDS = Number(process.env['PTRACE_STORM'] ?? 30);

function hasEnded(task: Task): boolean {
  return task.state === EXIT_ZOMBIE || task.state === EXIT_DEAD;
}

/** Both ends of every tie agree, and what stands in a stop can be found by its tracer. */
function checkTies(kernel: Kernel): void {
  const zombies = new Map<Task['signal'], number>();
  for (const task of kernel.tasks.values()) {
    const { ptrace, signal } = task;
    if (ptrace !== null) {
      assert.ok(!hasEnded(ptrace.tracer), `the tracer of ${task.pid} has ended`);
      assert.ok(ptrace.tracer.ptraced?.includes(task), `${task.pid} is not among the tracees`);
    }
    for (const tracee of task.ptraced ?? []) assert.equal(tracee.ptrace?.tracer, task);
    if (task.state === TASK_TRACED) {
      assert.ok(ptrace !== null && task.ptraceStop !== null, `${task.pid} is stopped for nobody`);
      assert.ok(!task.onRq);
    }
    if (task.state === EXIT_ZOMBIE && task !== signal.leader) {
      assert.ok(ptrace !== null, `thread ${task.pid} is a zombie for nobody`);
      zombies.set(signal, (zombies.get(signal) ?? 0) + 1);
    }
  }
  for (const { signal } of kernel.tasks.values()) {
    assert.equal(signal.zombieThreads, zombies.get(signal) ?? 0);
    assert.ok(signal.groupStopCount <= signal.threads.length);
  }
}

async function nextText(guest: Process): Promise<string> {
  const [chunk] = (await once(guest.stdout, 'data')) as [Buffer];
  return chunk.toString('latin1');
}

function assertNothingLeft(machine: Machine): void {
  assert.equal(machine.internals.tasks.size, 0);
  assert.equal(machine.leakedFrames(), 0);
  checkPageTables(machine.internals.pgdat);
}

describe('ptrace', () => {
  for (const cowPte of [true, false]) {
    const mode = cowPte ? 'with copy-on-write page tables' : 'with default fork';

    for (const name of ['ptrace', 'ptrace_stops']) {
      it(`does what Linux does ${mode}: ${name}`, async () => {
        await withMachine({ memory: MEMORY, cowPte }, async (machine) => {
          assertTap(await runGuest(machine, name));
          assertNothingLeft(machine);
        });
      });
    }

    it(`lets the host clone a process in a stop ${mode}`, async () => {
      await withMachine({ memory: MEMORY, cowPte }, async (machine) => {
        machine.writeFile('/cat', guestProgram('cat'), 0o755);
        machine.writeFile('/hold', guestProgram('ptrace_stops'), 0o755);
        const stdio = { stdin: 'pipe', stdout: 'pipe' } as const;
        const original = machine.spawn('/cat', ['cat'], stdio);
        original.stdin.write('one ');
        assert.equal(await nextText(original), 'one ');
        const tracer = machine.spawn('/hold', ['hold', 'hold', String(original.pid)], stdio);
        assert.equal(await nextText(tracer), 'held\n');
        const clone = original.fork(stdio);
        clone.stdin.end('clone');
        assert.equal(await nextText(clone), 'clone');
        assert.equal((await clone.wait()).code, 0);
        tracer.stdin.end();
        assert.equal((await tracer.wait()).code, 0);
        original.stdin.end('two');
        assert.equal(await nextText(original), 'two');
        assert.equal((await original.wait()).code, 0);
        assertNothingLeft(machine);
      });
    });

    it(`survives a storm of requests ${mode}`, async () => {
      await withMachine({ memory: MEMORY, cowPte }, async (machine) => {
        const { pgdat } = machine.internals;
        let checks = 0;
        let running = true;
        const checker = (async () => {
          while (running) {
            checkTies(machine.internals);
            checkPageTables(pgdat);
            checks++;
            await sleep(5);
          }
        })();
        const run = await runGuest(machine, 'ptrace_storm', [String(ROUNDS), cowPte ? '1' : '2']);
        running = false;
        await checker;
        assert.equal(run.stdout, `rounds ${ROUNDS} failures 0\n`);
        assertNothingLeft(machine);
        const { forks } = machine.stats();
        console.log(`${ROUNDS} tracers, ${forks} forks, ${checks} checks ${mode}`);
      });
    });
  }
});
