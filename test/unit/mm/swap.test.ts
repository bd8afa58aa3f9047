import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ptePfn, type Pfn, type Pte } from '../../../src/arch/riscv/pgtable.ts';
import { mmput } from '../../../src/mm/fork.ts';
import type { MmStruct, PgData } from '../../../src/mm/mm_types.ts';
import {
  LRU_ACTIVE_ANON,
  LRU_INACTIVE_ANON,
  LRU_INACTIVE_FILE,
  LRU_UNEVICTABLE,
  PG_UNEVICTABLE,
} from '../../../src/mm/page.ts';
import { checkPageTables } from '../../../src/mm/page_table_check.ts';
import { ptePtrOf } from '../../../src/mm/pgtable.ts';
import {
  folioActivate,
  folioDeactivate,
  folioMarkAccessed,
  folioMarkLazyfree,
  lruAdd,
  lruDel,
  lruHead,
  rescueUnevictable,
} from '../../../src/mm/swap.ts';
import { BASE, map, PAGE, testMm, testPgData, touch } from './harness.ts';

function pfnAt(mm: MmStruct, addr: number): Pfn {
  return ptePfn(mm.pgdat.ram.u32[ptePtrOf(mm, addr)] as Pte);
}

/** Frames of a list, the newest first. */
function list(pgdat: PgData, lru: number): number[] {
  const { lruNext } = pgdat.page;
  const pfns: number[] = [];
  for (let pfn = lruNext[lruHead(lru)]!; pfn !== lruHead(lru); pfn = lruNext[pfn]!) pfns.push(pfn);
  return pfns;
}

describe('LRU lists', () => {
  it('hold every page of a process, the newest first, and lose what is freed', () => {
    const pgdat = testPgData(8);
    const mm = testMm(pgdat);
    map(mm, BASE, 4 * PAGE);
    touch(mm, BASE, 4 * PAGE);
    const pfns = [3, 2, 1, 0].map((i) => pfnAt(mm, BASE + i * PAGE));
    assert.deepEqual(list(pgdat, LRU_INACTIVE_ANON), pfns);
    checkPageTables(pgdat);
    mmput(mm);
    assert.equal(pgdat.lruSize[LRU_INACTIVE_ANON], 0);
    assert.deepEqual(list(pgdat, LRU_INACTIVE_ANON), []);
    checkPageTables(pgdat);
  });

  it('move a page by activation, deactivation and MADV_FREE', () => {
    const pgdat = testPgData(8);
    const mm = testMm(pgdat);
    map(mm, BASE, PAGE);
    touch(mm, BASE, PAGE);
    const pfn = pfnAt(mm, BASE);
    folioActivate(pgdat, pfn);
    folioActivate(pgdat, pfn);
    assert.deepEqual(list(pgdat, LRU_ACTIVE_ANON), [pfn]);
    assert.equal(pgdat.vmstat.pgactivate, 1);
    checkPageTables(pgdat);
    folioDeactivate(pgdat, pfn);
    assert.deepEqual(list(pgdat, LRU_INACTIVE_ANON), [pfn]);
    folioMarkLazyfree(pgdat, pfn);
    assert.deepEqual(list(pgdat, LRU_INACTIVE_FILE), [pfn]);
    assert.equal(pgdat.vmstat.pglazyfree, 1);
    checkPageTables(pgdat);
    mmput(mm);
    checkPageTables(pgdat);
  });

  it('take the second use, not the first, for a reason to keep a page', () => {
    const pgdat = testPgData(8);
    const mm = testMm(pgdat);
    map(mm, BASE, PAGE);
    touch(mm, BASE, PAGE);
    const pfn = pfnAt(mm, BASE);
    folioMarkAccessed(pgdat, pfn);
    assert.equal(pgdat.lruSize[LRU_ACTIVE_ANON], 0);
    folioMarkAccessed(pgdat, pfn);
    assert.equal(pgdat.lruSize[LRU_ACTIVE_ANON], 1);
    mmput(mm);
    checkPageTables(pgdat);
  });

  it('give back what was unevictable', () => {
    const pgdat = testPgData(8);
    const mm = testMm(pgdat);
    map(mm, BASE, 3 * PAGE);
    touch(mm, BASE, 3 * PAGE);
    for (let i = 0; i < 3; i++) {
      const pfn = pfnAt(mm, BASE + i * PAGE);
      lruDel(pgdat, pfn, pgdat.page.flags[pfn]!);
      pgdat.page.flags[pfn]! |= PG_UNEVICTABLE;
      lruAdd(pgdat, pfn);
    }
    assert.equal(pgdat.lruSize[LRU_UNEVICTABLE], 3);
    checkPageTables(pgdat);
    rescueUnevictable(pgdat);
    assert.equal(pgdat.lruSize[LRU_UNEVICTABLE], 0);
    assert.equal(pgdat.lruSize[LRU_INACTIVE_ANON], 3);
    checkPageTables(pgdat);
    mmput(mm);
    checkPageTables(pgdat);
  });
});
