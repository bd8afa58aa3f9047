import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ptePfn, pteYoung } from '../../src/arch/riscv/pgtable.ts';
import { dupMm, mmput } from '../../src/mm/fork.ts';
import { doMadvise } from '../../src/mm/madvise.ts';
import { MM_ANONPAGES, MM_SWAPENTS, type MmStruct, type PgData } from '../../src/mm/mm_types.ts';
import { LRU_ACTIVE_ANON, LRU_INACTIVE_ANON } from '../../src/mm/page.ts';
import { checkPageTables } from '../../src/mm/page_table_check.ts';
import { pathFlags } from '../../src/mm/pgtable.ts';
import { shmemFileSetup } from '../../src/mm/shmem.ts';
import { folioActivate } from '../../src/mm/swap.ts';
import { tryToFreePages } from '../../src/mm/vmscan.ts';
import { EINVAL, ENOMEM, EPERM } from '../../src/uapi/errno.ts';
import {
  MADV_COLD,
  MADV_DONTNEED,
  MADV_FREE,
  MADV_PAGEOUT,
  MADV_WILLNEED,
  MAP_SHARED,
  PROT_READ,
} from '../../src/uapi/mman.ts';
import { doMlock } from '../../src/mm/mlock.ts';
import { doMprotect } from '../../src/mm/mprotect.ts';
import { doMseal } from '../../src/mm/mseal.ts';
import {
  BASE,
  map,
  PAGE,
  peek,
  PMD,
  pteAt,
  testMm,
  testPgData,
  testSwapon,
  touch,
} from '../unit/mm/harness.ts';

const PAGES = 6;

/** Six written pages, page n holds n + 1; 64 pages of swap. */
function written(cowPte = true): MmStruct {
  const pgdat = testPgData(8);
  testSwapon(pgdat, 64);
  const mm = testMm(pgdat, cowPte);
  map(mm, BASE, PAGES * PAGE);
  for (let i = 0; i < PAGES; i++) touch(mm, BASE + i * PAGE, PAGE, i + 1);
  return mm;
}

function pages(mm: MmStruct): number[] {
  return Array.from({ length: PAGES }, (_unused, i) => peek(mm, BASE + i * PAGE));
}

function advise(mm: MmStruct, first: number, count: number, advice: number): number {
  return doMadvise(mm, BASE + first * PAGE, count * PAGE, advice);
}

function swapUsed(pgdat: PgData): number {
  return pgdat.swap.totalPages - pgdat.swap.freePages;
}

function end(...mms: MmStruct[]): void {
  const { pgdat } = mms[0]!;
  checkPageTables(pgdat);
  for (const mm of mms) mmput(mm);
  checkPageTables(pgdat);
  assert.equal(swapUsed(pgdat), 0);
}

const ALL = [1, 2, 3, 4, 5, 6];

for (const cowPte of [true, false]) {
  describe(`patch 07, page tables ${cowPte ? 'shared' : 'copied'} by fork`, () => {
    it('MADV_PAGEOUT puts a process’s own pages into swap, from where they come back', () => {
      const mm = written(cowPte);
      assert.equal(advise(mm, 1, 3, MADV_PAGEOUT), 0);
      assert.deepEqual([mm.rss[MM_ANONPAGES], mm.rss[MM_SWAPENTS]], [3, 3]);
      assert.equal(swapUsed(mm.pgdat), 3);
      checkPageTables(mm.pgdat);
      assert.deepEqual(pages(mm), ALL);
      assert.equal(advise(mm, 0, PAGES, MADV_WILLNEED), 0);
      end(mm);
    });

    it('MADV_COLD and MADV_PAGEOUT leave pages alone that others map', () => {
      const mm = written(cowPte);
      const child = dupMm(mm)!;
      touch(child, BASE, PAGE, 9);
      const before = pteAt(mm, BASE + PAGE);
      for (const advice of [MADV_COLD, MADV_PAGEOUT]) {
        assert.equal(advise(mm, 1, 5, advice), 0);
        assert.equal(advise(child, 1, 5, advice), 0);
      }
      assert.equal(pteAt(mm, BASE + PAGE), before);
      assert.deepEqual([mm.rss[MM_SWAPENTS], child.rss[MM_SWAPENTS]], [0, 0]);
      assert.equal(advise(child, 0, PAGES, MADV_PAGEOUT), 0);
      assert.equal(child.rss[MM_SWAPENTS], 1, 'only its own copy');
      assert.deepEqual(pages(mm), ALL);
      assert.deepEqual(pages(child), [9, 2, 3, 4, 5, 6]);
      end(mm, child);
    });

    it('MADV_PAGEOUT takes them once the others are gone, without breaking a table', () => {
      const mm = written(cowPte);
      mmput(dupMm(mm)!);
      const { vmstat } = mm.pgdat;
      const breaks = [...vmstat.cowBreakCopy, ...vmstat.cowBreakReuse];
      assert.equal(advise(mm, 0, PAGES, MADV_PAGEOUT), 0);
      assert.deepEqual([...vmstat.cowBreakCopy, ...vmstat.cowBreakReuse], breaks);
      assert.equal(mm.rss[MM_SWAPENTS], PAGES);
      assert.deepEqual(pages(mm), ALL);
      end(mm);
    });

    it('MADV_FREE keeps pages until memory is needed, and those that were written again', () => {
      const mm = written(cowPte);
      assert.equal(advise(mm, 0, 5, MADV_FREE), 0);
      assert.deepEqual(pages(mm), ALL);
      touch(mm, BASE + PAGE, PAGE, 8);
      // Reading does not make a page needed, but twice used it stays a round longer.
      tryToFreePages(mm.pgdat, 64);
      tryToFreePages(mm.pgdat, 64);
      assert.deepEqual(pages(mm), [0, 8, 0, 0, 0, 6]);
      end(mm);
    });

    it('MADV_FREE of one process does not lose the pages of another', () => {
      const mm = written(cowPte);
      const child = dupMm(mm)!;
      assert.equal(advise(child, 0, PAGES, MADV_FREE), 0);
      for (let round = 0; round < 3; round++) tryToFreePages(mm.pgdat, 64);
      assert.deepEqual(pages(mm), ALL);
      const seen = pages(child);
      for (let i = 0; i < PAGES; i++) assert.ok(seen[i] === i + 1 || seen[i] === 0);
      end(mm, child);
    });

    it('MADV_FREE gives swap back at once, its own only', () => {
      const mm = written(cowPte);
      advise(mm, 0, PAGES, MADV_PAGEOUT);
      const child = dupMm(mm)!;
      assert.equal(advise(child, 0, 3, MADV_FREE), 0);
      assert.equal(child.rss[MM_SWAPENTS], 3);
      assert.equal(mm.rss[MM_SWAPENTS], PAGES);
      checkPageTables(mm.pgdat);
      assert.deepEqual(pages(child), [0, 0, 0, 4, 5, 6]);
      assert.deepEqual(pages(mm), ALL);
      end(mm, child);
    });

    it('MADV_DONTNEED drops from a shared table for one process only', () => {
      const mm = written(cowPte);
      const child = dupMm(mm)!;
      assert.equal(advise(child, 1, 2, MADV_DONTNEED), 0);
      assert.deepEqual(pages(child), [1, 0, 0, 4, 5, 6]);
      assert.deepEqual(pages(mm), ALL);
      end(mm, child);
    });
  });
}

describe('patch 07', () => {
  it('MADV_FREE and MADV_DONTNEED return -ENOMEM, and then nothing has changed (D14)', () => {
    for (const advice of [MADV_FREE, MADV_DONTNEED]) {
      for (let n = 1; ; n++) {
        const mm = written();
        advise(mm, 4, 1, MADV_PAGEOUT);
        const child = dupMm(mm)!;
        const { pgdat } = mm;
        pgdat.failAllocAfter = n;
        const err = advise(child, 0, 5, advice);
        const failed = pgdat.failAllocAfter === 0;
        pgdat.failAllocAfter = 0;
        assert.equal(err, failed ? -ENOMEM : 0);
        if (failed) assert.equal(child.rss[MM_SWAPENTS], 1);
        if (failed) assert.deepEqual(pages(child), ALL);
        assert.deepEqual(pages(mm), ALL);
        end(mm, child);
        if (!failed) {
          assert.ok(n > 1);
          break;
        }
      }
    }
  });

  it('MADV_COLD and MADV_PAGEOUT allocate no page table (D18)', () => {
    const mm = written();
    const child = dupMm(mm)!;
    const tables = mm.pgdat.pageTables;
    for (const advice of [MADV_COLD, MADV_PAGEOUT]) {
      mm.pgdat.failAllocAfter = 1;
      assert.equal(advise(child, 0, PAGES, advice), 0);
      assert.equal(mm.pgdat.failAllocAfter, 1);
      mm.pgdat.failAllocAfter = 0;
    }
    assert.equal(mm.pgdat.pageTables, tables);
    assert.notEqual(pathFlags(child, BASE), 0);
    end(mm, child);
  });

  it('MADV_COLD makes active pages inactive and forgets that they were used', () => {
    const mm = written();
    const { pgdat } = mm;
    for (let i = 0; i < 3; i++) folioActivate(pgdat, ptePfn(pteAt(mm, BASE + i * PAGE)));
    assert.equal(pgdat.lruSize[LRU_ACTIVE_ANON], 3);
    assert.equal(advise(mm, 1, 2, MADV_COLD), 0);
    assert.equal(pgdat.lruSize[LRU_ACTIVE_ANON], 1);
    assert.equal(pgdat.lruSize[LRU_INACTIVE_ANON], 5);
    assert.ok(!pteYoung(pteAt(mm, BASE + PAGE)));
    assert.ok(pteYoung(pteAt(mm, BASE)));
    end(mm);
  });

  it('MADV_PAGEOUT also takes pages of shared memory that one process maps', () => {
    const mm = written();
    const file = shmemFileSetup(mm.pgdat, 'file', 2 * PAGE);
    map(mm, BASE + PMD, 2 * PAGE, { file, flags: MAP_SHARED });
    touch(mm, BASE + PMD, 2 * PAGE, 5);
    assert.equal(doMadvise(mm, BASE + PMD, 2 * PAGE, MADV_PAGEOUT), 0);
    assert.equal(swapUsed(mm.pgdat), 2);
    assert.equal(peek(mm, BASE + PMD + PAGE), 5);
    file.putFile();
    end(mm);
  });

  it('without swap, MADV_PAGEOUT leaves pages where they are', () => {
    const pgdat = testPgData(8);
    const mm = testMm(pgdat);
    map(mm, BASE, 2 * PAGE);
    touch(mm, BASE, 2 * PAGE, 7);
    assert.equal(advise(mm, 0, 2, MADV_PAGEOUT), 0);
    assert.equal(mm.rss[MM_ANONPAGES], 2);
    assert.equal(peek(mm, BASE), 7);
    checkPageTables(pgdat);
    mmput(mm);
  });

  it('hints are for memory that may go: not locked; MADV_FREE only for anonymous memory', () => {
    const mm = written();
    doMlock(mm, BASE + 2 * PAGE, PAGE, 0);
    for (const advice of [MADV_COLD, MADV_PAGEOUT, MADV_FREE]) {
      assert.equal(advise(mm, 0, PAGES, advice), -EINVAL);
    }
    assert.equal(mm.rss[MM_SWAPENTS], 0, 'MADV_FREE has given back what MADV_PAGEOUT did before');
    const file = shmemFileSetup(mm.pgdat, 'file', PAGE);
    for (const flags of [MAP_SHARED, undefined]) {
      map(mm, BASE + PMD, PAGE, flags === undefined ? { file } : { file, flags });
      assert.equal(doMadvise(mm, BASE + PMD, PAGE, MADV_FREE), -EINVAL);
    }
    doMprotect(mm, BASE + 4 * PAGE, PAGE, PROT_READ);
    doMseal(mm, BASE + 4 * PAGE, PAGE);
    assert.equal(advise(mm, 4, 1, MADV_FREE), -EPERM);
    assert.equal(advise(mm, 4, 1, MADV_PAGEOUT), 0);
    assert.equal(peek(mm, BASE + 4 * PAGE), 5);
    file.putFile();
    end(mm);
  });
});
