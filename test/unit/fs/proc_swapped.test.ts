import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PTE_D, type Pfn } from '../../../src/arch/riscv/pgtable.ts';
import type { Task } from '../../../src/kernel/task.ts';
import { mmput } from '../../../src/mm/fork.ts';
import { doMadvise } from '../../../src/mm/madvise.ts';
import { doMlock } from '../../../src/mm/mlock.ts';
import { MMF_COW_PTE } from '../../../src/mm/mm_struct.ts';
import type { MmStruct, PgData } from '../../../src/mm/mm_types.ts';
import { doMremap } from '../../../src/mm/mremap.ts';
import { checkPageTables } from '../../../src/mm/page_table_check.ts';
import { ptePtrOf } from '../../../src/mm/pgtable.ts';
import { shmemFileSetup } from '../../../src/mm/shmem.ts';
import { clearSoftDirty } from '../../../src/mm/soft_dirty.ts';
import { folioMarkLazyfree } from '../../../src/mm/swap.ts';
import {
  MADV_DONTNEED,
  MAP_PRIVATE,
  MAP_SHARED,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
} from '../../../src/uapi/mman.ts';
import {
  BASE,
  framesAt,
  map,
  PAGE,
  pageoutRange,
  peek,
  PMD,
  pteAt,
  testSwapon,
  touch,
} from '../mm/harness.ts';
import { bootProc, cat, field, forkTask, mustOpen, newTask, read } from './proc_harness.ts';

const KB = 4;

interface World {
  machine: ReturnType<typeof bootProc>;
  pgdat: PgData;
  task: Task;
  mm: MmStruct;
}

function setup(cowPte: boolean): World {
  const machine = bootProc();
  const task = newTask(machine);
  const mm = task.mm!;
  if (!cowPte) mm.flags &= ~MMF_COW_PTE;
  testSwapon(machine.kernel.pgdat, 512);
  return { machine, pgdat: machine.kernel.pgdat, task, mm };
}

function smaps(task: Task, row: string): number {
  return field(cat(task, `/proc/${task.pid}/smaps_rollup`), row);
}

/** Entries of pagemap from `addr` on, as hex. */
function pagemap(task: Task, addr: number, pages: number): bigint[] {
  const file = mustOpen(task, `/proc/${task.pid}/pagemap`);
  const bytes = Buffer.from(read(file, pages * 8, (addr / PAGE) * 8) as string, 'latin1');
  return Array.from({ length: pages }, (_v, i) => bytes.readBigUInt64LE(i * 8));
}

for (const cowPte of [true, false]) {
  describe(`pages in swap, ${cowPte ? 'shared' : 'copied'} page tables`, () => {
    it('are divided between the processes that have them there (D17)', () => {
      const { machine, pgdat, task, mm } = setup(cowPte);
      map(mm, BASE, PMD);
      touch(mm, BASE, 64 * PAGE);
      const child = forkTask(machine, task);
      const third = forkTask(machine, child);
      assert.equal(pageoutRange(mm, BASE, 32 * PAGE), 32);
      for (const one of [task, child, third]) {
        assert.equal(smaps(one, 'Swap'), 32 * KB);
        assert.equal(smaps(one, 'SwapPss'), Math.floor((32 * KB) / 3));
        assert.equal(smaps(one, 'Rss'), 32 * KB);
        assert.equal(field(cat(task, `/proc/${one.pid}/status`), 'VmSwap'), 32 * KB);
      }
      assert.equal(doMadvise(child.mm!, BASE, 16 * PAGE, MADV_DONTNEED), 0);
      assert.equal(smaps(child, 'SwapPss'), Math.floor((16 * KB) / 3));
      assert.equal(smaps(task, 'SwapPss'), Math.floor((16 * KB) / 3 + (16 * KB) / 2));
      checkPageTables(pgdat);
      mmput(child.mm!);
      child.mm = null;
      assert.equal(smaps(third, 'SwapPss'), (32 * KB) / 2);
      mmput(mm);
      task.mm = null;
      assert.equal(smaps(third, 'SwapPss'), 32 * KB);
      checkPageTables(pgdat);
    });

    it('are divided where one of them has moved, also by no whole table', () => {
      const { machine, pgdat, task, mm } = setup(cowPte);
      map(mm, BASE, PMD);
      touch(mm, BASE, 8 * PAGE);
      const child = forkTask(machine, task);
      const to = BASE + 8 * PMD + PAGE;
      const flags = MREMAP_MAYMOVE | MREMAP_FIXED;
      assert.equal(doMremap(child.mm!, BASE, 8 * PAGE, 8 * PAGE, flags, to), to);
      pageoutRange(mm, BASE, 8 * PAGE);
      assert.equal(smaps(task, 'SwapPss'), (8 * KB) / 2);
      assert.equal(smaps(child, 'SwapPss'), (8 * KB) / 2);
      assert.equal(peek(child.mm!, to), 1);
      assert.equal(smaps(task, 'SwapPss'), (7 * KB) / 2 + KB);
      assert.equal(smaps(child, 'SwapPss'), (7 * KB) / 2);
      checkPageTables(pgdat);
    });

    it('are in pagemap with type and slot, for root, and keep their soft-dirty bit', () => {
      const { pgdat, task, mm } = setup(cowPte);
      map(mm, BASE, 4 * PAGE);
      touch(mm, BASE, 4 * PAGE);
      clearSoftDirty(mm);
      touch(mm, BASE + PAGE, PAGE, 2);
      pageoutRange(mm, BASE, 4 * PAGE);
      const entries = pagemap(task, BASE, 4);
      const soft = entries.map((entry) => Number((entry >> 55n) & 1n));
      assert.deepEqual(soft, [0, 1, 0, 0]);
      entries.forEach((entry, i) => {
        assert.equal((entry >> 56n).toString(16), '40');
        const slot = Number((entry >> 5n) & 0xffffffn);
        assert.equal(slot, pteAt(mm, BASE + i * PAGE) >>> 8);
        assert.equal(entry & 31n, 0n);
      });
      assert.equal(peek(mm, BASE), 1);
      assert.equal(peek(mm, BASE + PAGE), 2);
      const back = pagemap(task, BASE, 2).map((entry) => Number((entry >> 55n) & 1n));
      assert.deepEqual(back, [0, 1]);
      touch(mm, BASE + 2 * PAGE, PAGE, 3);
      touch(mm, BASE, PAGE, 3);
      const written = pagemap(task, BASE, 4).map((entry) => Number((entry >> 55n) & 1n));
      assert.deepEqual(written, [1, 1, 1, 0]);
      checkPageTables(pgdat);
      clearSoftDirty(mm);
      const cleared = pagemap(task, BASE, 4).map((entry) => Number((entry >> 55n) & 1n));
      assert.deepEqual(cleared, [0, 0, 0, 0]);
      checkPageTables(pgdat);
    });

    it('of shared memory count where a mapping would find them', () => {
      const { pgdat, task, mm } = setup(cowPte);
      const file = shmemFileSetup(pgdat, '/dev/zero (deleted)', 8 * PAGE);
      map(mm, BASE, 8 * PAGE, { file, flags: MAP_SHARED });
      touch(mm, BASE, 8 * PAGE);
      file.getFile();
      map(mm, BASE + PMD, 4 * PAGE, { file, flags: MAP_PRIVATE, pgoff: 2 });
      assert.equal(pageoutRange(mm, BASE, 8 * PAGE), 8);
      assert.equal(file.mapping.swapped, 8);
      assert.equal(smaps(task, 'Swap'), (8 + 4) * KB);
      assert.equal(smaps(task, 'SwapPss'), 0);
      touch(mm, BASE + PMD, PAGE, 9);
      assert.equal(file.mapping.swapped, 7);
      assert.equal(smaps(task, 'Swap'), (7 + 3) * KB);
      checkPageTables(pgdat);
    });
  });
}

describe('smaps and kpageflags of pages that reclaim knows', () => {
  const flags = (task: Task, addr: number): bigint => {
    const pfn = Number(pagemap(task, addr, 1)[0]! & ((1n << 55n) - 1n));
    const text = read(mustOpen(task, '/proc/kpageflags'), 8, pfn * 8) as string;
    return Buffer.from(text, 'latin1').readBigUInt64LE();
  };
  const has = (word: bigint, bit: number): boolean => ((word >> BigInt(bit)) & 1n) === 1n;

  it('tell pages that may be dropped', () => {
    const { pgdat, task, mm } = setup(true);
    map(mm, BASE, 4 * PAGE);
    touch(mm, BASE, 4 * PAGE);
    assert.equal(smaps(task, 'LazyFree'), 0);
    assert.ok(has(flags(task, BASE), 14) && has(flags(task, BASE), 5));
    const [pfn] = framesAt(mm, BASE, PAGE);
    pgdat.ram.u32[ptePtrOf(mm, BASE)]! &= ~PTE_D;
    folioMarkLazyfree(pgdat, pfn as Pfn);
    assert.equal(smaps(task, 'LazyFree'), KB);
    assert.ok(!has(flags(task, BASE), 14));
    touch(mm, BASE, PAGE, 3);
    assert.equal(smaps(task, 'LazyFree'), 0);
    checkPageTables(pgdat);
  });

  it('tell locked pages', () => {
    const { pgdat, task, mm } = setup(true);
    map(mm, BASE, 2 * PAGE);
    touch(mm, BASE, 2 * PAGE);
    assert.equal(doMlock(mm, BASE, PAGE, 0), 0);
    assert.equal(smaps(task, 'Locked'), KB);
    assert.ok(has(flags(task, BASE), 18) && has(flags(task, BASE), 33));
    assert.ok(!has(flags(task, BASE + PAGE), 18) && !has(flags(task, BASE + PAGE), 33));
    checkPageTables(pgdat);
  });
});
