import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { guestProgram } from '../../src/bench/guest_files.ts';
import type { MachineEvent, MachineEventMap, TableBrokenEvent } from '../../src/machine/events.ts';
import { Machine } from '../../src/machine/machine.ts';
import { runGuest, withMachine } from '../guest.ts';

const MEMORY = 256 * 1024 ** 2;
const NAMES: readonly MachineEvent[] = [
  'fork',
  'tableShared',
  'tableCopied',
  'tableBroken',
  'tableDropped',
  'fault',
  'reclaim',
  'softDirtyCleared',
];

type Seen = { [E in MachineEvent]: MachineEventMap[E][] };

function watch(machine: Machine): Seen {
  const seen: Seen = {
    fork: [],
    tableShared: [],
    tableCopied: [],
    tableBroken: [],
    tableDropped: [],
    fault: [],
    reclaim: [],
    softDirtyCleared: [],
  };
  for (const name of NAMES) {
    machine.events.on(name, (event) => {
      (seen[name] as unknown[]).push(event);
    });
  }
  return seen;
}

describe('machine.events', () => {
  it('tell of forks, of tables shared, broken and let go, and of faults, as the counters do', async () => {
    await withMachine({ memory: MEMORY }, async (machine) => {
      const seen = watch(machine);
      await runGuest(machine, 'cow_break');
      const { vmstat } = machine.internals.pgdat;
      assert.equal(seen.fork.length, machine.stats().forks);
      assert.ok(seen.fork.every(({ pid, child }) => pid > 0 && child > pid));
      const broken = (how: TableBrokenEvent['how'], level: string): number =>
        seen.tableBroken.filter((event) => event.how === how && event.level === level).length;
      for (const [index, level] of ['pte', 'pmd', 'pud'].entries()) {
        assert.equal(broken('copy', level), vmstat.cowBreakCopy[index], `${level} copied`);
        assert.equal(broken('reuse', level), vmstat.cowBreakReuse[index], `${level} taken over`);
      }
      assert.ok(seen.tableShared.length > 0);
      assert.ok(seen.tableShared.some(({ level }) => level === 'pud'));
      assert.ok(seen.tableDropped.length > 0);
      assert.equal(seen.tableCopied.length, vmstat.cowPteFallback);
      assert.ok(seen.fault.length >= machine.stats().trapFaults);
      assert.ok(
        seen.fault.some(({ access, result }) => access === 'write' && result === 'handled'),
      );
      for (const { pid, address } of [...seen.tableBroken, ...seen.fault]) {
        assert.ok(pid >= 0 && address >= 0 && address < 2 ** 47);
      }
    });
  });

  it('say why fork copied a table, as /proc/vmstat counts it', async () => {
    await withMachine({ memory: MEMORY }, async (machine) => {
      const reasons = new Map<string, number>();
      machine.events.on('tableCopied', ({ reason }) => {
        reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
      });
      await runGuest(machine, 'cow_break');
      const { cowFallback } = machine.internals.pgdat.vmstat;
      const names = ['pinned', 'dontfork', 'wipeonfork', 'locked', 'device'];
      const counted = new Map<string, number>();
      names.forEach((name, i) => {
        if (cowFallback[i] !== 0) counted.set(name, cowFallback[i]!);
      });
      assert.deepEqual([...reasons].sort(), [...counted].sort());
      assert.ok(reasons.size > 0);
    });
  });

  it('tell of pages that are swapped out', async () => {
    await withMachine({ memory: 16 * 1024 ** 2, swap: 64 * 1024 ** 2 }, async (machine) => {
      const pages: { how: string; users: number; entries: number }[] = [];
      machine.events.on('reclaim', (event) => pages.push(event));
      await runGuest(machine, 'proc_sums', ['16', '2']);
      assert.ok(pages.length > 0);
      assert.ok(pages.some(({ how }) => how === 'swap'));
      assert.ok(pages.every(({ users, entries }) => users >= entries && entries >= 1));
      assert.ok(pages.some(({ users, entries }) => users > entries));
      const inPlace = pages.reduce((sum, { users, entries }) => sum + users - entries, 0);
      assert.equal(machine.internals.pgdat.vmstat.cowInplace[0], inPlace);
    });
  });

  it('cost nothing when nobody listens, and end when asked', async () => {
    await withMachine({ memory: MEMORY }, async (machine) => {
      const { pgdat } = machine.internals;
      assert.equal(pgdat.events, null);
      let forks = 0;
      const stop = machine.events.on('fork', () => forks++);
      const stopFaults = machine.events.on('fault', () => {});
      assert.notEqual(pgdat.events, null);
      await runGuest(machine, 'cow_fork');
      assert.ok(forks > 0);
      const before = forks;
      stop();
      assert.notEqual(pgdat.events, null);
      stopFaults();
      stopFaults();
      assert.equal(pgdat.events, null);
      await runGuest(machine, 'cow_fork');
      assert.equal(forks, before);
    });
  });

  it('let a listener look, but not change the machine', async () => {
    await withMachine({ memory: MEMORY }, async (machine) => {
      const codes = new Set<unknown>();
      let freeBytes = 0;
      const attempt = (call: () => void): void => {
        try {
          call();
        } catch (error) {
          codes.add((error as { code: unknown }).code);
        }
      };
      const disposals: Promise<void>[] = [];
      const stop = machine.events.on('fork', () => {
        freeBytes = machine.stats().freeBytes;
        attempt(() => machine.writeFile('/tmp/x', 'x'));
        attempt(() => machine.spawn('/tmp/cow_fork', ['cow_fork']));
        const disposal = machine.dispose();
        disposal.catch(() => {});
        disposals.push(disposal);
      });
      const run = runGuest(machine, 'cow_fork');
      assert.equal((await run).code, 0);
      stop();
      assert.deepEqual([...codes], ['EBUSY']);
      await assert.rejects(disposals[0]!, { code: 'EBUSY' });
      assert.ok(freeBytes > 0);
      machine.writeFile('/tmp/x', 'x');
    });
  });

  it('stop the machine when a listener throws', async () => {
    const machine = await Machine.create({ memory: MEMORY });
    machine.events.on('fork', () => {
      throw new Error('listener broke');
    });
    await assert.rejects(runGuest(machine, 'cow_fork'), { code: 'ERR_MACHINE' });
    await machine.dispose();
  });
});

describe('a listener that throws', () => {
  const listener = (): void => {
    throw new Error('listener broke');
  };

  it('stops the machine when it was called for spawn()', async () => {
    const machine = await Machine.create({ memory: MEMORY });
    const program = '/tmp/cow_fork';
    machine.writeFile(program, guestProgram('cow_fork'), 0o755);
    const off = machine.events.on('fault', listener);
    assert.throws(() => machine.spawn(program, ['cow_fork']), /listener broke/);
    off();
    await Promise.resolve();
    assert.throws(() => machine.spawn(program, ['cow_fork']), { code: 'ERR_MACHINE' });
    await machine.dispose();
  });
});

describe('counters of shared page tables', () => {
  it('are in /proc/vmstat, by level, reason and kind', async () => {
    await withMachine({ memory: MEMORY }, async (machine) => {
      await runGuest(machine, 'cow_break');
      const text = Buffer.from(machine.readFile('/proc/vmstat')).toString();
      const row = (name: string): number =>
        Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)![1]);
      for (const level of ['pte', 'pmd', 'pud']) {
        for (const what of ['shared', 'break_copy', 'break_reuse', 'drop']) {
          assert.ok(row(`cow_${level}_${what}`) >= 0);
        }
      }
      assert.ok(row('cow_pud_shared') > 0 && row('cow_pte_break_copy') > 0);
      const reasons = ['pinned', 'dontfork', 'wipeonfork', 'locked', 'device'];
      const sum = reasons.reduce((n, reason) => n + row(`cow_pte_fallback_${reason}`), 0);
      assert.equal(sum, row('cow_pte_fallback'));
      for (const kind of ['reclaim', 'mkclean', 'truncate', 'swapoff']) {
        assert.ok(row(`cow_inplace_${kind}`) >= 0);
      }
    });
  });
});
