import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ptePfn, type Pfn, type Pte } from '../../../src/arch/riscv/pgtable.ts';
import { initTlb } from '../../../src/arch/riscv/tlb.ts';
import { compactZone } from '../../../src/mm/compaction.ts';
import { dupMm, mmput } from '../../../src/mm/fork.ts';
import { migratePage } from '../../../src/mm/migrate.ts';
import { MAX_ORDER, type MmStruct, type PgData } from '../../../src/mm/mm_types.ts';
import { doMunmap } from '../../../src/mm/mmap.ts';
import {
  allocPage,
  allocPages,
  drainPcp,
  freePage,
  freePages,
} from '../../../src/mm/page_alloc.ts';
import { NO_PFN } from '../../../src/mm/page.ts';
import { checkPageTables } from '../../../src/mm/page_table_check.ts';
import { ptePtrOf } from '../../../src/mm/pgtable.ts';
import { mmRssPages } from '../../../src/mm/rss.ts';
import { MAP_SHARED } from '../../../src/uapi/mman.ts';
import { BASE, map, PAGE, peek, PMD, testMm, testPgData, touch } from './harness.ts';
import { fillTlb, tlbHolds } from './tlb_entries.ts';

function frameAt(mm: MmStruct, addr: number): Pfn {
  return ptePfn(mm.pgdat.ram.u32[ptePtrOf(mm, addr)] as Pte);
}

/** Largest order of which the allocator has a block. */
function largestFreeOrder(pgdat: PgData): number {
  let order = MAX_ORDER;
  while (order >= 0 && pgdat.freeHead[order] === 0) order--;
  return order;
}

describe('migratePage()', () => {
  it('moves a page of a shared table once, for all who reach it', () => {
    const pgdat = testPgData();
    const free = pgdat.freeFrames;
    const mm = testMm(pgdat);
    map(mm, BASE, PMD);
    touch(mm, BASE, PMD, 4);
    const children = [dupMm(mm)!, dupMm(mm)!];
    touch(children[0]!, BASE + PAGE, PAGE, 5);
    const before = [mm, ...children].map(mmRssPages);
    const old = frameAt(mm, BASE);
    const to = allocPage(pgdat);
    assert.ok(migratePage(pgdat, old, to));
    checkPageTables(pgdat);
    for (const one of [mm, ...children]) {
      assert.equal(frameAt(one, BASE), to);
      assert.equal(peek(one, BASE), 4);
    }
    assert.equal(pgdat.page.mapcount[to], 2, 'a shared table and a private one');
    assert.deepEqual([mm, ...children].map(mmRssPages), before);
    for (const one of [mm, ...children]) mmput(one);
    checkPageTables(pgdat);
    assert.equal(pgdat.freeFrames, free);
  });

  it('moves a page of a file in its cache and in every mapping', () => {
    const pgdat = testPgData();
    const mm = testMm(pgdat);
    map(mm, BASE, 4 * PAGE, { flags: MAP_SHARED });
    touch(mm, BASE, PAGE, 7);
    const child = dupMm(mm)!;
    const to = allocPage(pgdat);
    assert.ok(migratePage(pgdat, frameAt(mm, BASE), to));
    assert.equal(mm.vmas.find(BASE)!.file!.mapping.pages.get(0), to);
    touch(child, BASE, PAGE, 8);
    assert.equal(peek(mm, BASE), 8);
    checkPageTables(pgdat);
    mmput(child);
    mmput(mm);
  });

  it('leaves a page alone that somebody holds by its frame, and what is no page', () => {
    const pgdat = testPgData();
    const mm = testMm(pgdat);
    map(mm, BASE, PAGE);
    touch(mm, BASE, PAGE, 7);
    const pfn = frameAt(mm, BASE);
    const to = allocPage(pgdat);
    pgdat.page.refcount[pfn]!++;
    assert.ok(!migratePage(pgdat, pfn, to));
    pgdat.page.refcount[pfn]!--;
    assert.ok(!migratePage(pgdat, mm.pgd, to), 'a page table');
    assert.ok(!migratePage(pgdat, pgdat.zeroPfn, to));
    assert.equal(frameAt(mm, BASE), pfn);
    freePage(pgdat, to);
    checkPageTables(pgdat);
    mmput(mm);
  });
});

describe('compactZone()', () => {
  it('makes a large block of memory that was free in single frames', () => {
    const pgdat = testPgData(32);
    const mm = testMm(pgdat);
    let bytes = 0;
    for (; pgdat.freeFrames > 64; bytes += 2 * PAGE) {
      map(mm, BASE + bytes, 2 * PAGE);
      touch(mm, BASE + bytes, 2 * PAGE, 3);
    }
    mmput(dupMm(mm)!);
    for (let at = BASE; at < BASE + bytes; at += 2 * PAGE) doMunmap(mm, at, PAGE);
    drainPcp(pgdat, 0);
    const before = largestFreeOrder(pgdat);
    assert.ok(before < MAX_ORDER);
    initTlb(pgdat.ram);
    pgdat.activeMm = mm;
    fillTlb(mm, BASE + PAGE);
    compactZone(pgdat);
    checkPageTables(pgdat);
    assert.ok(!tlbHolds(mm, BASE + PAGE));
    assert.ok(pgdat.vmstat.pgmigrateSuccess > 0);
    const order = largestFreeOrder(pgdat);
    assert.ok(order > before + 1, `order ${before} before, ${order} after`);
    const block = allocPages(pgdat, order);
    assert.notEqual(block, NO_PFN);
    freePages(pgdat, block, order);
    for (let at = BASE + PAGE; at < BASE + bytes; at += 2 * PAGE) assert.equal(peek(mm, at), 3);
    mmput(mm);
    checkPageTables(pgdat);
  });
});
