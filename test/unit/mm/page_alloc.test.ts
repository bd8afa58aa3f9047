import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Pfn } from '../../../src/arch/riscv/pgtable.ts';
import { MAX_ORDER, PCP_HIGH, type PgData } from '../../../src/mm/mm_types.ts';
import {
  allocPage,
  allocPages,
  drainPcp,
  freePages,
  getPage,
  putPage,
} from '../../../src/mm/page_alloc.ts';
import { checkPageTables } from '../../../src/mm/page_table_check.ts';
import { NO_PFN } from '../../../src/mm/page.ts';
import { testPgData } from './harness.ts';

function largestBlocks(pgdat: PgData): number {
  drainPcp(pgdat, 0);
  let blocks = 0;
  for (let pfn = pgdat.freeHead[MAX_ORDER]!; pfn !== 0; pfn = pgdat.page.lruNext[pfn]!) blocks++;
  return blocks;
}

describe('page allocator', () => {
  it('hands out every frame once and fails cleanly when there is none', () => {
    const pgdat = testPgData(8);
    const seen = new Set<number>();
    const total = pgdat.freeFrames;
    for (let pfn = allocPage(pgdat); pfn !== NO_PFN; pfn = allocPage(pgdat)) {
      assert.ok(!seen.has(pfn));
      assert.ok(pfn >= pgdat.ram.layout.firstFrame);
      seen.add(pfn);
    }
    assert.equal(seen.size, total);
    assert.equal(pgdat.freeFrames, 0);
    for (const pfn of seen) putPage(pgdat, pfn as Pfn);
    assert.equal(pgdat.freeFrames, total);
  });

  it('merges freed frames back into the blocks it started with', () => {
    const pgdat = testPgData(32);
    const before = largestBlocks(pgdat);
    const frames: Pfn[] = [];
    for (let i = 0; i < 3000; i++) frames.push(allocPage(pgdat));
    for (const pfn of frames.reverse()) putPage(pgdat, pfn);
    assert.equal(largestBlocks(pgdat), before);
  });

  it('hands out what was freed last, and gives the oldest back when the stack is full', () => {
    const pgdat = testPgData(64);
    const frames: Pfn[] = [];
    for (let i = 0; i < PCP_HIGH + 1; i++) frames.push(allocPage(pgdat));
    drainPcp(pgdat, 0);
    for (const pfn of frames) putPage(pgdat, pfn);
    assert.ok(pgdat.pcpCount < PCP_HIGH);
    const kept = pgdat.pcpCount;
    for (let i = 1; i <= kept; i++) assert.equal(allocPage(pgdat), frames.at(-i));
    for (let i = 1; i <= kept; i++) putPage(pgdat, frames.at(-i)!);
    checkPageTables(pgdat);
  });

  it('asks for kswapd at the low watermark even while freed frames are at hand', () => {
    const pgdat = testPgData(8);
    const frames: Pfn[] = [];
    while (pgdat.freeFrames > 0) frames.push(allocPage(pgdat));
    for (const pfn of frames) putPage(pgdat, pfn);
    assert.equal(pgdat.pcpCount, pgdat.freeFrames);
    pgdat.kswapdWanted = false;
    const taken: Pfn[] = [];
    while (pgdat.freeFrames > pgdat.wmarkLow) taken.push(allocPage(pgdat));
    assert.equal(pgdat.kswapdWanted, false);
    taken.push(allocPage(pgdat));
    assert.equal(pgdat.kswapdWanted, true);
    for (const pfn of taken) putPage(pgdat, pfn);
  });

  it('keeps a frame until its last reference is gone', () => {
    const pgdat = testPgData(8);
    const free = pgdat.freeFrames;
    const pfn = allocPage(pgdat);
    getPage(pgdat, pfn);
    putPage(pgdat, pfn);
    assert.equal(pgdat.freeFrames, free - 1);
    putPage(pgdat, pfn);
    assert.equal(pgdat.freeFrames, free);
    assert.throws(() => putPage(pgdat, pfn), /free already/);
  });

  it('fails exactly the allocation it is told to', () => {
    const pgdat = testPgData(8);
    pgdat.failAllocAfter = 2;
    const first = allocPage(pgdat);
    assert.notEqual(first, NO_PFN);
    assert.equal(allocPage(pgdat), NO_PFN);
    const third = allocPage(pgdat);
    assert.notEqual(third, NO_PFN);
    freePages(pgdat, first, 0);
    freePages(pgdat, third, 0);
  });

  it('gives aligned blocks that never overlap, in any order of calls', () => {
    const step = fc.record({ order: fc.integer({ min: 0, max: 6 }), free: fc.nat(20) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const pgdat = testPgData(8);
        const before = pgdat.freeFrames;
        const held: { pfn: Pfn; order: number }[] = [];
        const used = new Set<number>();
        for (const { order, free } of steps) {
          const pfn = allocPages(pgdat, order);
          if (pfn !== NO_PFN) {
            assert.equal(pfn % (1 << order), 0);
            for (let i = 0; i < 1 << order; i++) {
              assert.ok(!used.has(pfn + i));
              used.add(pfn + i);
            }
            held.push({ pfn, order });
          }
          const victim = held[free];
          if (victim === undefined) continue;
          held.splice(free, 1);
          freePages(pgdat, victim.pfn, victim.order);
          for (let i = 0; i < 1 << victim.order; i++) used.delete(victim.pfn + i);
        }
        for (const { pfn, order } of held) freePages(pgdat, pfn, order);
        assert.equal(pgdat.freeFrames, before);
        checkPageTables(pgdat);
      }),
      { numRuns: 30 },
    );
  });
});
