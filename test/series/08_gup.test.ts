import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LEVEL_PTE, ptePfn, type Pfn, type Pte } from '../../src/arch/riscv/pgtable.ts';
import { markPathPinned } from '../../src/mm/cow_pte.ts';
import { dupMm, mmput } from '../../src/mm/fork.ts';
import type { MmStruct, PgData } from '../../src/mm/mm_types.ts';
import { GUP_PIN_COUNTING_BIAS } from '../../src/mm/page.ts';
import { checkPageTables } from '../../src/mm/page_table_check.ts';
import { ptePtrOf } from '../../src/mm/pgtable.ts';
import { BASE, map, MIB, PAGE, peek, PMD, testMm, testPgData, touch } from '../unit/mm/harness.ts';

/** Pins the page at `addr`, which its process has to itself. @returns its frame. */
function pin(mm: MmStruct, addr: number): Pfn {
  const { pgdat } = mm;
  const pfn = ptePfn(pgdat.ram.u32[ptePtrOf(mm, addr)] as Pte);
  pgdat.page.refcount[pfn]! += GUP_PIN_COUNTING_BIAS;
  markPathPinned(mm, addr);
  return pfn;
}

function unpin(pgdat: PgData, pfn: Pfn): void {
  pgdat.page.refcount[pfn]! -= GUP_PIN_COUNTING_BIAS;
}

describe('fork of a process with a pinned page (I6)', () => {
  for (const cowPte of [true, false]) {
    const mode = cowPte ? 'COW page tables' : 'default fork';
    it(`leaves the page with the parent and copies it for the child (${mode})`, () => {
      const pgdat = testPgData();
      const free = pgdat.freeFrames;
      const mm = testMm(pgdat, cowPte);
      map(mm, BASE, 4 * MIB);
      touch(mm, BASE, 4 * MIB, 7);
      const pfn = pin(mm, BASE + PAGE);
      const child = dupMm(mm)!;
      touch(mm, BASE + PAGE, PAGE, 8);
      assert.equal(ptePfn(pgdat.ram.u32[ptePtrOf(mm, BASE + PAGE)] as Pte), pfn, 'still pinned');
      assert.equal(peek(child, BASE + PAGE), 7);
      assert.equal(peek(child, BASE), 7);
      if (cowPte) {
        assert.equal(pgdat.vmstat.cowPteFallback, 1, 'only the table with the pin');
        assert.equal(pgdat.vmstat.cowShared[LEVEL_PTE], 1, 'its neighbour is shared');
      }
      unpin(pgdat, pfn);
      checkPageTables(pgdat);
      mmput(child);
      mmput(mm);
      checkPageTables(pgdat);
      assert.equal(pgdat.freeFrames, free);
    });
  }

  it('shares the table again once nothing is pinned (D5)', () => {
    const pgdat = testPgData();
    const mm = testMm(pgdat);
    map(mm, BASE, PMD);
    touch(mm, BASE, PMD, 7);
    unpin(pgdat, pin(mm, BASE));
    const frames = pgdat.freeFrames;
    const child = dupMm(mm)!;
    assert.equal(pgdat.vmstat.cowPteFallback, 0);
    assert.equal(frames - pgdat.freeFrames, 1, 'nothing but the root');
    checkPageTables(pgdat);
    mmput(child);
    mmput(mm);
  });

  it('changes nothing for the parent when any allocation fails (I11)', () => {
    for (let n = 1; ; n++) {
      const pgdat = testPgData();
      const mm = testMm(pgdat);
      map(mm, BASE, PMD);
      touch(mm, BASE, PMD, 7);
      const pfn = pin(mm, BASE);
      const free = pgdat.freeFrames;
      pgdat.failAllocAfter = n;
      const child = dupMm(mm);
      const injected = pgdat.failAllocAfter === 0;
      pgdat.failAllocAfter = 0;
      if (child !== null) {
        assert.ok(!injected && n > 4);
        return;
      }
      assert.equal(pgdat.freeFrames, free);
      touch(mm, BASE, PAGE, 8);
      assert.equal(ptePfn(pgdat.ram.u32[ptePtrOf(mm, BASE)] as Pte), pfn);
      unpin(pgdat, pfn);
      checkPageTables(pgdat);
      mmput(mm);
    }
  });
});
