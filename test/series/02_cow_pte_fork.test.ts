import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LEVEL_PTE } from '../../src/arch/riscv/pgtable.ts';
import { dupMm, mmput } from '../../src/mm/fork.ts';
import type { MmStruct, PgData } from '../../src/mm/mm_types.ts';
import { doMadvise } from '../../src/mm/madvise.ts';
import { checkPageTables } from '../../src/mm/page_table_check.ts';
import { mmUsage } from '../../src/mm/rss.ts';
import { putUser32 } from '../../src/mm/uaccess.ts';
import { MADV_DONTFORK, MADV_WIPEONFORK, MAP_SHARED } from '../../src/uapi/mman.ts';
import { endAll } from '../unit/mm/family.ts';
import { BASE, map, MIB, PAGE, peek, PMD, testMm, testPgData, touch } from '../unit/mm/harness.ts';

function fork(mm: MmStruct): MmStruct {
  const child = dupMm(mm);
  assert.ok(child !== null);
  return child;
}

function finish(pgdat: PgData, free: number, ...mms: MmStruct[]): void {
  endAll(pgdat, free, ...mms);
  assert.equal(pgdat.pageTables, 0);
}

describe('fork with COW page tables', () => {
  it('shares everything below the root', () => {
    const pgdat = testPgData();
    const free = pgdat.freeFrames;
    const mm = testMm(pgdat);
    map(mm, BASE, 8 * MIB);
    touch(mm, BASE, 8 * MIB);
    const before = pgdat.freeFrames;
    const child = fork(mm);
    assert.equal(before - pgdat.freeFrames, 1, 'the root');
    assert.equal(mmUsage(child).anon, 2048);
    assert.equal(mmUsage(child).tableBytes, PAGE);
    assert.equal(mmUsage(child).sharedTables, 6);
    assert.equal(mmUsage(mm).tableBytes, 7 * PAGE);
    finish(pgdat, free, mm, child);
  });

  it('keeps the sum of VmPTE equal to PageTables when the owner exits first', () => {
    const pgdat = testPgData();
    const free = pgdat.freeFrames;
    const mm = testMm(pgdat);
    map(mm, BASE, 4 * MIB);
    touch(mm, BASE, 4 * MIB);
    const a = fork(mm);
    const b = fork(mm);
    mmput(mm);
    const sum = mmUsage(a).tableBytes + mmUsage(b).tableBytes;
    assert.equal(sum, pgdat.pageTables * PAGE);
    finish(pgdat, free, a, b);
  });

  it('shows each process its own writes only', () => {
    const pgdat = testPgData();
    const free = pgdat.freeFrames;
    const mm = testMm(pgdat);
    map(mm, BASE, PMD);
    touch(mm, BASE, PMD, 7);
    const child = fork(mm);
    assert.equal(putUser32(child, BASE, 8), 0);
    assert.equal(putUser32(mm, BASE + PAGE, 9), 0);
    assert.equal(peek(mm, BASE), 7);
    assert.equal(peek(child, BASE), 8);
    assert.equal(peek(mm, BASE + PAGE), 9);
    assert.equal(peek(child, BASE + PAGE), 7);
    finish(pgdat, free, child, mm);
  });

  it('gives a DONTFORK neighbour in the same table to nobody (D3)', () => {
    const pgdat = testPgData();
    const free = pgdat.freeFrames;
    const mm = testMm(pgdat);
    map(mm, BASE, PMD);
    touch(mm, BASE, PMD, 5);
    assert.equal(doMadvise(mm, BASE + PAGE, PAGE, MADV_DONTFORK), 0);
    assert.equal(doMadvise(mm, BASE + 3 * PAGE, PAGE, MADV_WIPEONFORK), 0);
    const child = fork(mm);
    assert.ok(peek(child, BASE + PAGE) < 0, 'no mapping at all');
    assert.equal(peek(child, BASE + 3 * PAGE), 0);
    assert.equal(peek(child, BASE + 2 * PAGE), 5);
    assert.equal(peek(mm, BASE + PAGE), 5);
    assert.equal(pgdat.vmstat.cowShared[LEVEL_PTE], 0);
    finish(pgdat, free, mm, child);
  });

  it('keeps shared memory shared through shared tables', () => {
    const pgdat = testPgData();
    const free = pgdat.freeFrames;
    const mm = testMm(pgdat);
    map(mm, BASE, PMD, { flags: MAP_SHARED });
    touch(mm, BASE, PMD, 3);
    const child = fork(mm);
    assert.equal(putUser32(child, BASE, 4), 0);
    assert.equal(peek(mm, BASE), 4);
    finish(pgdat, free, mm, child);
  });

  it('leaves parent and memory as they were when any allocation fails', () => {
    for (let n = 1; ; n++) {
      const pgdat = testPgData();
      const free = pgdat.freeFrames;
      const mm = testMm(pgdat);
      map(mm, BASE, 4 * MIB);
      touch(mm, BASE, 4 * MIB, 6);
      assert.equal(doMadvise(mm, BASE + PAGE, PAGE, MADV_DONTFORK), 0);
      const before = pgdat.freeFrames;
      pgdat.failAllocAfter = n;
      const child = dupMm(mm);
      const injected = pgdat.failAllocAfter === 0;
      pgdat.failAllocAfter = 0;
      checkPageTables(pgdat);
      if (child !== null) {
        assert.ok(!injected);
        assert.ok(n > 3);
        finish(pgdat, free, mm, child);
        return;
      }
      assert.equal(pgdat.freeFrames, before);
      assert.equal(peek(mm, BASE), 6);
      finish(pgdat, free, mm);
    }
  });
});
