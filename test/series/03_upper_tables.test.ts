/** Beyond the series: PMD and PUD tables are shared too. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  LEVEL_PTE,
  LEVEL_PUD,
  PTE_SD_CLEARED,
  PTE_SOFT_DIRTY,
  ptePfn,
  PUD_SIZE,
  type Pfn,
  type Pte,
} from '../../src/arch/riscv/pgtable.ts';
import { dupMm, mmput } from '../../src/mm/fork.ts';
import { FOLL_WRITE, pinUserPages, unpinUserPage } from '../../src/mm/gup.ts';
import { doMadvise } from '../../src/mm/madvise.ts';
import type { MmStruct } from '../../src/mm/mm_types.ts';
import { doMunmap } from '../../src/mm/mmap.ts';
import { allocPage, freePage } from '../../src/mm/page_alloc.ts';
import { checkPageTables } from '../../src/mm/page_table_check.ts';
import { pathFlags, pgdPtr, ptePtrOf } from '../../src/mm/pgtable.ts';
import { mmRssPages, mmUsage } from '../../src/mm/rss.ts';
import { putUser32 } from '../../src/mm/uaccess.ts';
import { ENOMEM } from '../../src/uapi/errno.ts';
import { MADV_DONTFORK, MADV_DONTNEED, MAP_NORESERVE, MAP_PRIVATE } from '../../src/uapi/mman.ts';
import { endAll } from '../unit/mm/family.ts';
import {
  BASE,
  map,
  PAGE,
  peek,
  PMD,
  testMm,
  testPgData,
  testSwapon,
  touch,
} from '../unit/mm/harness.ts';

/** One page in each of `gib` GiB. */
function sparse(mm: MmStruct, gib: number, value: number): void {
  map(mm, BASE, gib * PUD_SIZE, { flags: MAP_PRIVATE | MAP_NORESERVE });
  for (let i = 0; i < gib; i++) touch(mm, BASE + i * PUD_SIZE, PAGE, value);
}

describe('fork of a large process', () => {
  it('takes one frame, however much is mapped', () => {
    for (const gib of [1, 50]) {
      const pgdat = testPgData();
      const free = pgdat.freeFrames;
      const mm = testMm(pgdat);
      sparse(mm, gib, 5);
      const before = pgdat.freeFrames;
      const child = dupMm(mm)!;
      assert.equal(before - pgdat.freeFrames, 1);
      assert.equal(pgdat.vmstat.cowShared[LEVEL_PUD], 1, 'one entry of the root');
      assert.equal(mmRssPages(child), gib);
      assert.equal(mmUsage(child).tableBytes, PAGE);
      endAll(pgdat, free, child, mm);
    }
  });

  it('copies one table of each level for the first write, one leaf table for the next', () => {
    const pgdat = testPgData();
    const free = pgdat.freeFrames;
    const mm = testMm(pgdat);
    map(mm, BASE, 2 * PMD);
    touch(mm, BASE, 2 * PMD, 5);
    const child = dupMm(mm)!;
    touch(child, BASE, PAGE, 6);
    assert.deepEqual([...pgdat.vmstat.cowBreakCopy], [1, 1, 1]);
    touch(child, BASE + PMD, PAGE, 6);
    assert.deepEqual([...pgdat.vmstat.cowBreakCopy], [2, 1, 1]);
    assert.equal(peek(mm, BASE + PMD), 5);
    endAll(pgdat, free, mm, child);
  });

  it('leaves other regions shared when one is unmapped, dropped or written', () => {
    const pgdat = testPgData();
    const free = pgdat.freeFrames;
    const mm = testMm(pgdat);
    sparse(mm, 4, 5);
    const child = dupMm(mm)!;
    assert.equal(doMunmap(child, BASE + PUD_SIZE, PUD_SIZE), 0);
    assert.equal(doMadvise(child, BASE + 2 * PUD_SIZE, PMD, MADV_DONTNEED), 0);
    assert.equal(putUser32(child, BASE + 3 * PUD_SIZE, 6), 0);
    assert.deepEqual(
      [0, 1, 2, 3].map((i) => peek(child, BASE + i * PUD_SIZE)),
      [5, -14, 0, 6],
    );
    assert.deepEqual(
      [0, 1, 2, 3].map((i) => peek(mm, BASE + i * PUD_SIZE)),
      [5, 5, 5, 5],
    );
    assert.equal(mmRssPages(child), 2);
    endAll(pgdat, free, mm, child);
  });

  it('copies the one table with a DONTFORK neighbour and shares the others', () => {
    const pgdat = testPgData();
    const free = pgdat.freeFrames;
    const mm = testMm(pgdat);
    sparse(mm, 3, 5);
    touch(mm, BASE + PUD_SIZE + PAGE, PAGE, 9);
    assert.equal(doMadvise(mm, BASE + PUD_SIZE + PAGE, PAGE, MADV_DONTFORK), 0);
    const child = dupMm(mm)!;
    assert.equal(pgdat.vmstat.cowPteFallback, 1);
    assert.equal(pgdat.vmstat.cowShared[LEVEL_PTE], 0);
    assert.ok(peek(child, BASE + PUD_SIZE + PAGE) < 0);
    assert.equal(mmRssPages(child), 3);
    assert.equal(mmRssPages(mm), 4);
    endAll(pgdat, free, mm, child);
  });

  it('keeps a table that a process and its grandchild share when the child goes', () => {
    const pgdat = testPgData();
    const free = pgdat.freeFrames;
    const mm = testMm(pgdat);
    sparse(mm, 2, 5);
    const child = dupMm(mm)!;
    touch(child, BASE, PAGE, 6);
    const grandchild = dupMm(child)!;
    mmput(child);
    checkPageTables(pgdat);
    assert.equal(peek(grandchild, BASE), 6);
    assert.equal(peek(grandchild, BASE + PUD_SIZE), 5);
    touch(grandchild, BASE + PUD_SIZE, PAGE, 7);
    assert.equal(peek(mm, BASE + PUD_SIZE), 5);
    endAll(pgdat, free, mm, grandchild);
  });

  it('changes nothing when any table of the path cannot be copied (I11)', () => {
    const pgdat = testPgData();
    const free = pgdat.freeFrames;
    const mm = testMm(pgdat);
    sparse(mm, 1, 5);
    touch(mm, BASE + PAGE, PAGE, 5);
    for (let n = 1; n <= 4; n++) {
      const child = dupMm(mm)!;
      pgdat.failAllocAfter = n;
      if (n % 2 === 0) assert.ok(putUser32(child, BASE, 6) < 0);
      else assert.equal(doMunmap(child, BASE, PAGE), -ENOMEM);
      assert.equal(pgdat.failAllocAfter, 0, 'the failure happened');
      checkPageTables(pgdat);
      assert.equal(peek(child, BASE), 5);
      assert.equal(peek(mm, BASE), 5);
      assert.equal(peek(child, BASE + PAGE), 5);
      mmput(child);
    }
    endAll(pgdat, free, mm);
  });
});

describe('fork short of memory', () => {
  for (const cowPte of [true, false]) {
    const mode = cowPte ? 'COW page tables' : 'default fork';
    it(`counts what it reclaims itself, for parent and child (${mode})`, () => {
      const pgdat = testPgData(16);
      testSwapon(pgdat, 8192);
      const mm = testMm(pgdat, cowPte);
      const tables = Array.from({ length: 48 }, (_, i) => BASE + i * PMD);
      map(mm, BASE, tables.length * PMD, { flags: MAP_PRIVATE | MAP_NORESERVE });
      // Every table has a page that is held, and must be copied with it. The oldest pages, which
      // reclaim takes first, are in the tables that fork comes to last.
      const held = new Int32Array(1);
      for (const at of tables.toReversed()) {
        touch(mm, at, 8 * PAGE, 5);
        assert.equal(pinUserPages(mm, at, FOLL_WRITE, held), 1);
        assert.equal(doMadvise(mm, at + 7 * PAGE, PAGE, MADV_DONTFORK), 0);
      }
      const taken: Pfn[] = [];
      while (pgdat.freeFrames > 1) taken.push(allocPage(pgdat));
      const swapped = pgdat.vmstat.pswpout;
      const child = dupMm(mm)!;
      assert.ok(pgdat.vmstat.pswpout > swapped, 'fork had to reclaim');
      for (const pfn of taken) freePage(pgdat, pfn);
      for (const at of tables) {
        unpinUserPage(pgdat, ptePfn(pgdat.ram.u32[ptePtrOf(mm, at)] as Pte));
      }
      checkPageTables(pgdat);
      assert.equal(peek(child, BASE + PAGE), 5);
      assert.ok(peek(child, BASE + 7 * PAGE) < 0);
      mmput(child);
      mmput(mm);
      checkPageTables(pgdat);
    });
  }
});

describe('a pending soft-dirty clear', () => {
  it('takes write access away and is pushed down by the writer alone', () => {
    const pgdat = testPgData();
    const free = pgdat.freeFrames;
    const mm = testMm(pgdat);
    map(mm, BASE, 2 * PMD);
    touch(mm, BASE, 2 * PMD, 5);
    const child = dupMm(mm)!;
    const { u32 } = pgdat.ram;
    u32[pgdPtr(child, BASE)]! |= PTE_SD_CLEARED;
    touch(child, BASE, PAGE, 6);
    assert.equal(pathFlags(child, BASE), 0);
    assert.ok((u32[ptePtrOf(child, BASE)]! & PTE_SOFT_DIRTY) !== 0, 'written');
    assert.equal(u32[ptePtrOf(child, BASE + PAGE)]! & PTE_SOFT_DIRTY, 0, 'cleared');
    assert.ok((pathFlags(child, BASE + PMD) & PTE_SD_CLEARED) !== 0, 'still pending');
    assert.ok((u32[ptePtrOf(mm, BASE + PAGE)]! & PTE_SOFT_DIRTY) !== 0, 'not for the parent');
    mmput(mm);
    touch(child, BASE + PMD + PAGE, PAGE, 7);
    assert.equal(u32[ptePtrOf(child, BASE + PMD)]! & PTE_SOFT_DIRTY, 0);
    endAll(pgdat, free, child);
  });
});
