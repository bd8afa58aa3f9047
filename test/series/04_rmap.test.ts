/**
 * Patch 04: reclaim, swapoff and writeback change entries of shared tables in place, and
 * everybody who reaches them is told.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  LEVEL_PTE,
  PTE_D,
  PTE_SOFT_DIRTY,
  PTE_SWP_EXCLUSIVE,
  PTE_SWP_SOFT_DIRTY,
  PTE_V,
  PTE_W,
  ptePfn,
} from '../../src/arch/riscv/pgtable.ts';
import { dupMm, mmput } from '../../src/mm/fork.ts';
import { doMlock, doMunlock } from '../../src/mm/mlock.ts';
import {
  MM_ANONPAGES,
  MM_FILEPAGES,
  MM_SHMEMPAGES,
  MM_SWAPENTS,
  type MmStruct,
  type PgData,
} from '../../src/mm/mm_types.ts';
import { doMadvise } from '../../src/mm/madvise.ts';
import { doMunmap } from '../../src/mm/mmap.ts';
import { doMprotect } from '../../src/mm/mprotect.ts';
import { doMremap } from '../../src/mm/mremap.ts';
import {
  GUP_PIN_COUNTING_BIAS,
  LRU_UNEVICTABLE,
  PG_ANON_EXCLUSIVE,
  PG_SWAPCACHE,
} from '../../src/mm/page.ts';
import { checkPageTables } from '../../src/mm/page_table_check.ts';
import { pathFlags, tableAt } from '../../src/mm/pgtable.ts';
import { folioMarkLazyfree } from '../../src/mm/swap.ts';
import { doSwapoff } from '../../src/mm/swapoff.ts';
import { putUser32 } from '../../src/mm/uaccess.ts';
import { kswapd, reclaimPages, tryToFreePages } from '../../src/mm/vmscan.ts';
import { EFAULT, ENOMEM } from '../../src/uapi/errno.ts';
import {
  MADV_DONTNEED,
  MAP_DROPPABLE,
  MREMAP_MAYMOVE,
  MREMAP_FIXED,
  PROT_READ,
  PROT_WRITE,
} from '../../src/uapi/mman.ts';
import {
  BASE,
  framesAt,
  map,
  MIB,
  PAGE,
  pageoutRange,
  peek,
  PMD,
  pteAt,
  testMm,
  testPgData,
  testSwapon,
  touch,
  type TestSwapDevice,
} from '../unit/mm/harness.ts';

/** Pages of the region that families share. */
const PAGES = 64;
const LEN = PAGES * PAGE;

interface Family {
  pgdat: PgData;
  free: number;
  device: TestSwapDevice;
  mms: MmStruct[];
}

/** A process with PAGES pages, page i of which says i + 1, and children that share its tables. */
function family(children: number, slots = 256): Family {
  const pgdat = testPgData();
  const free = pgdat.freeFrames;
  const device = testSwapon(pgdat, slots);
  const parent = testMm(pgdat);
  map(parent, BASE, LEN);
  for (let i = 0; i < PAGES; i++) assert.equal(putUser32(parent, BASE + i * PAGE, i + 1), 0);
  const mms = [parent];
  for (let i = 0; i < children; i++) mms.push(fork(mms[i % 2]!));
  checkPageTables(pgdat);
  return { pgdat, free, device, mms };
}

function fork(mm: MmStruct): MmStruct {
  const child = dupMm(mm);
  assert.ok(child !== null, 'fork');
  return child;
}

/** Ends everything: no frame and no slot may be left. */
function finish({ pgdat, free, mms }: Family): void {
  for (const mm of mms) {
    checkPageTables(pgdat);
    mmput(mm);
  }
  checkPageTables(pgdat);
  assert.equal(pgdat.freeFrames, free, 'frames');
  assert.equal(pgdat.swap.freePages, pgdat.swap.totalPages, 'slots');
}

/** [anonymous, swapped] pages by the mm's own counters. */
function counts(mm: MmStruct): number[] {
  return [mm.rss[MM_ANONPAGES]!, mm.rss[MM_SWAPENTS]!];
}

function checkContent(mm: MmStruct, what: string): void {
  for (let i = 0; i < PAGES; i++) assert.equal(peek(mm, BASE + i * PAGE), i + 1, `${what} ${i}`);
}

describe('reclaim of anonymous memory', () => {
  it('writes pages to swap and brings them back', () => {
    const f = family(0);
    const [mm] = f.mms;
    const before = f.pgdat.freeFrames;
    assert.equal(pageoutRange(mm!, BASE, LEN), PAGES);
    checkPageTables(f.pgdat);
    assert.equal(f.pgdat.freeFrames, before + PAGES);
    assert.deepEqual(counts(mm!), [0, PAGES]);
    assert.equal(f.pgdat.vmstat.pswpout, PAGES);
    assert.equal(f.device.writes, PAGES);
    checkContent(mm!, 'page');
    checkPageTables(f.pgdat);
    assert.deepEqual(counts(mm!), [PAGES, 0]);
    assert.equal(f.pgdat.vmstat.pswpin, PAGES);
    assert.equal(mm!.majorFaults, PAGES);
    finish(f);
  });

  it('is done in place on shared tables, with no frame free, for everybody at once (D18, I7)', () => {
    const f = family(5);
    const table = tableAt(f.mms[0]!, BASE, LEVEL_PTE);
    const tables = f.pgdat.pageTables;
    f.pgdat.failAllocAfter = 1;
    assert.equal(pageoutRange(f.mms[3]!, BASE, LEN), PAGES);
    assert.equal(f.pgdat.failAllocAfter, 1, 'reclaim allocated');
    f.pgdat.failAllocAfter = 0;
    checkPageTables(f.pgdat);
    assert.equal(f.device.writes, PAGES, 'each page once');
    assert.equal(f.pgdat.pageTables, tables);
    for (const mm of f.mms) {
      assert.equal(tableAt(mm, BASE, LEVEL_PTE), table);
      assert.deepEqual(counts(mm), [0, PAGES]);
    }
    for (const mm of f.mms) checkContent(mm, 'page');
    checkPageTables(f.pgdat);
    for (const mm of f.mms) assert.deepEqual(counts(mm), [PAGES, 0]);
    finish(f);
  });

  it('is undone in place too, by whoever reads first', () => {
    const f = family(5);
    pageoutRange(f.mms[0]!, BASE, LEN);
    const tables = f.pgdat.pageTables;
    checkContent(f.mms[4]!, 'page');
    checkPageTables(f.pgdat);
    assert.equal(f.pgdat.pageTables, tables);
    assert.equal(f.device.reads, PAGES);
    for (const mm of f.mms) {
      assert.deepEqual(counts(mm), [PAGES, 0]);
      assert.equal(tableAt(mm, BASE, LEVEL_PTE), tableAt(f.mms[0]!, BASE, LEVEL_PTE));
    }
    const majors = f.mms.map((mm) => mm.majorFaults);
    for (const mm of f.mms) checkContent(mm, 'page');
    assert.deepEqual(
      f.mms.map((mm) => mm.majorFaults),
      majors,
    );
    // The last one has them writable again, without a copy.
    for (const mm of f.mms.splice(1)) mmput(mm);
    const { pgcow } = f.pgdat.vmstat;
    touch(f.mms[0]!, BASE, LEN, 3);
    assert.equal(f.pgdat.vmstat.pgcow, pgcow);
    finish(f);
  });

  it('keeps processes apart that wrote after they were swapped out', () => {
    const f = family(2);
    pageoutRange(f.mms[0]!, BASE, LEN);
    f.mms.forEach((mm, n) => {
      for (let i = n; i < PAGES; i += 2) {
        assert.equal(putUser32(mm, BASE + i * PAGE, 1000 * (n + 1) + i), 0);
      }
      checkPageTables(f.pgdat);
    });
    f.mms.forEach((mm, n) => {
      for (let i = 0; i < PAGES; i++) {
        const mine = i >= n && (i - n) % 2 === 0;
        assert.equal(peek(mm, BASE + i * PAGE), mine ? 1000 * (n + 1) + i : i + 1);
      }
    });
    finish(f);
  });

  it('counts a slot once for each distinct table that names it, and the cache apart (I4)', () => {
    const f = family(3);
    const [parent, first] = f.mms;
    pageoutRange(parent!, BASE, LEN);
    const area = f.pgdat.swap.active[0]!;
    const slot = (): number => pteAt(first!, BASE + 7 * PAGE) >>> 8;
    assert.equal(area.map[slot()], 1);
    // A write elsewhere in the table gives the writer one of its own.
    assert.equal(putUser32(parent!, BASE, 1), 0);
    assert.equal(area.map[slot()], 2);
    assert.equal(peek(parent!, BASE + 7 * PAGE), 8);
    assert.equal(area.map[slot()], 1);
    assert.notEqual(area.cache[slot()], 0);
    checkPageTables(f.pgdat);
    finish(f);
  });

  it('gives all readers of a slot one page', () => {
    const f = family(2);
    pageoutRange(f.mms[0]!, BASE, LEN);
    const before = f.device.reads;
    for (const mm of f.mms) checkContent(mm, 'page');
    assert.equal(f.device.reads - before, PAGES);
    const frames = f.mms.map((mm) => ptePfn(pteAt(mm, BASE)));
    assert.equal(new Set(frames).size, 1);
    checkPageTables(f.pgdat);
    finish(f);
  });

  it('does not write a page again that was only read since it came back', () => {
    const f = family(0);
    const [mm] = f.mms;
    pageoutRange(mm!, BASE, LEN);
    checkContent(mm!, 'page');
    assert.equal(putUser32(mm!, BASE, 77), 0);
    assert.equal(f.device.writes, PAGES);
    assert.equal(pageoutRange(mm!, BASE, LEN), PAGES);
    assert.equal(f.device.writes, PAGES + 1);
    checkPageTables(f.pgdat);
    assert.equal(peek(mm!, BASE), 77);
    assert.equal(peek(mm!, BASE + PAGE), 2);
    finish(f);
  });

  it("gives a page that is nobody else's back writable, without a copy", () => {
    const f = family(0);
    const [mm] = f.mms;
    pageoutRange(mm!, BASE, LEN);
    assert.notEqual(pteAt(mm!, BASE) & PTE_SWP_EXCLUSIVE, 0);
    const { pgcow } = f.pgdat.vmstat;
    touch(mm!, BASE, LEN, 5);
    assert.equal(f.pgdat.vmstat.pgcow, pgcow);
    // What was changed needs its slot no more.
    assert.equal(f.pgdat.swap.freePages, f.pgdat.swap.totalPages);
    checkPageTables(f.pgdat);
    finish(f);
  });

  it('voids exclusiveness of a page in swap when its table is copied, not before (I5)', () => {
    const f = family(0);
    const [parent] = f.mms;
    pageoutRange(parent!, BASE, LEN);
    const child = fork(parent!);
    f.mms.push(child);
    assert.notEqual(pteAt(child, BASE) & PTE_SWP_EXCLUSIVE, 0);
    // A read changes nothing for anybody; a write breaks the table, and neither has a page alone.
    assert.equal(peek(child, BASE), 1);
    assert.notEqual(pteAt(parent!, BASE + PAGE) & PTE_SWP_EXCLUSIVE, 0);
    assert.equal(putUser32(child, BASE, 9), 0);
    assert.equal(pteAt(parent!, BASE + PAGE) & PTE_SWP_EXCLUSIVE, 0);
    assert.equal(pteAt(parent!, BASE) & PTE_W, 0);
    assert.equal(peek(parent!, BASE), 1);
    checkPageTables(f.pgdat);
    // The last one takes the table over, and what is left in swap with it.
    mmput(child);
    f.mms.pop();
    assert.equal(putUser32(parent!, BASE, 3), 0);
    assert.equal(pathFlags(parent!, BASE), 0);
    finish(f);
  });

  it('moves soft-dirty with the page, both ways', () => {
    const f = family(0);
    const [mm] = f.mms;
    assert.notEqual(pteAt(mm!, BASE) & PTE_SOFT_DIRTY, 0);
    const ptep = pteAt(mm!, BASE + PAGE);
    assert.notEqual(ptep & PTE_SOFT_DIRTY, 0);
    pageoutRange(mm!, BASE, LEN);
    assert.notEqual(pteAt(mm!, BASE) & PTE_SWP_SOFT_DIRTY, 0);
    peek(mm!, BASE);
    assert.notEqual(pteAt(mm!, BASE) & PTE_SOFT_DIRTY, 0);
    finish(f);
  });

  it('leaves locked pages alone, and takes them once they are unlocked', () => {
    const f = family(0);
    const [mm] = f.mms;
    assert.equal(doMlock(mm!, BASE, LEN / 2, 0), 0);
    assert.equal(pageoutRange(mm!, BASE, LEN), PAGES / 2);
    assert.equal(f.pgdat.lruSize[LRU_UNEVICTABLE], PAGES / 2);
    checkPageTables(f.pgdat);
    assert.equal(doMunlock(mm!, BASE, LEN), 0);
    assert.equal(pageoutRange(mm!, BASE, LEN), PAGES / 2);
    checkPageTables(f.pgdat);
    checkContent(mm!, 'page');
    finish(f);
  });

  it('leaves a page alone that one process among many has locked', () => {
    const f = family(2);
    const locker = f.mms[2]!;
    // To lock a page that may be written is to have one of one's own.
    assert.equal(doMprotect(locker, BASE, PAGE, PROT_READ), 0);
    assert.equal(doMlock(locker, BASE, PAGE, 0), 0);
    assert.equal(pageoutRange(f.mms[0]!, BASE, LEN), PAGES - 1);
    assert.notEqual(pteAt(f.mms[0]!, BASE) & PTE_V, 0);
    checkPageTables(f.pgdat);
    finish(f);
  });

  it('leaves pages alone whose frames somebody holds', () => {
    const f = family(0);
    const [mm] = f.mms;
    const [held, pinned] = framesAt(mm!, BASE, 2 * PAGE);
    const { refcount } = f.pgdat.page;
    refcount[held!]! += 1;
    refcount[pinned!]! += GUP_PIN_COUNTING_BIAS;
    assert.equal(pageoutRange(mm!, BASE, LEN), PAGES - 2);
    refcount[held!]! -= 1;
    refcount[pinned!]! -= GUP_PIN_COUNTING_BIAS;
    checkPageTables(f.pgdat);
    assert.equal(pageoutRange(mm!, BASE, LEN), 2);
    checkContent(mm!, 'page');
    finish(f);
  });

  it('drops what MADV_FREE gave up, unless it was written again', () => {
    const f = family(1);
    const [parent, child] = f.mms;
    // A fault in the parent makes the table its own; MADV_FREE clears the entries' D.
    touch(parent!, BASE, PAGE, 1);
    for (let i = 2; i < 6; i++) {
      const at = BASE + i * PAGE;
      touch(parent!, at, PAGE, 70 + i);
      const [pfn] = framesAt(parent!, at, PAGE);
      const ptep = pteAt(parent!, at);
      assert.notEqual(ptep & PTE_D, 0);
      clearDirty(parent!, at);
      folioMarkLazyfree(f.pgdat, pfn as never);
    }
    touch(parent!, BASE + 5 * PAGE, PAGE, 99);
    f.pgdat.failAllocAfter = 1;
    assert.equal(pageoutRange(parent!, BASE + 2 * PAGE, 4 * PAGE), 3);
    f.pgdat.failAllocAfter = 0;
    checkPageTables(f.pgdat);
    assert.equal(f.device.writes, 0);
    assert.equal(f.pgdat.vmstat.pglazyfreed, 3);
    for (let i = 2; i < 5; i++) assert.equal(peek(parent!, BASE + i * PAGE), 0);
    assert.equal(peek(parent!, BASE + 5 * PAGE), 99);
    checkContent(child!, 'page of the child');
    // Written after MADV_FREE: an ordinary page again.
    assert.equal(pageoutRange(parent!, BASE + 5 * PAGE, PAGE), 1);
    assert.equal(f.device.writes, 1);
    finish(f);
  });

  it('drops MAP_DROPPABLE memory although it is dirty', () => {
    const pgdat = testPgData();
    const mm = testMm(pgdat);
    map(mm, BASE, LEN, { flags: MAP_DROPPABLE });
    touch(mm, BASE, LEN, 3);
    assert.equal(pageoutRange(mm, BASE, LEN), PAGES);
    checkPageTables(pgdat);
    assert.equal(peek(mm, BASE), 0);
    mmput(mm);
    checkPageTables(pgdat);
  });
});

/** Clears the D bit of a private path's entry, as MADV_FREE does. */
function clearDirty(mm: MmStruct, addr: number): void {
  assert.equal(pathFlags(mm, addr), 0);
  const { u32 } = mm.pgdat.ram;
  const table = tableAt(mm, addr, LEVEL_PTE);
  const at = (table * PAGE) / 4 + ((addr / PAGE) % 512) * 2;
  u32[at] = u32[at]! & ~PTE_D;
}

describe('pages in swap', () => {
  it('go with munmap, MADV_DONTNEED and exit, their slots too', () => {
    const f = family(1);
    const [parent, child] = f.mms;
    pageoutRange(parent!, BASE, LEN);
    assert.equal(doMadvise(parent!, BASE, LEN / 4, MADV_DONTNEED), 0);
    checkPageTables(f.pgdat);
    assert.equal(peek(parent!, BASE), 0);
    assert.equal(doMunmap(parent!, BASE + LEN / 2, LEN / 2), 0);
    checkPageTables(f.pgdat);
    assert.equal(f.pgdat.swap.totalPages - f.pgdat.swap.freePages, PAGES);
    checkContent(child!, 'page of the child');
    mmput(child!);
    f.mms.pop();
    checkPageTables(f.pgdat);
    assert.equal(f.pgdat.swap.totalPages - f.pgdat.swap.freePages, PAGES / 4);
    finish(f);
  });

  it('move with mremap, entry by entry and table by table', () => {
    const f = family(1);
    const [parent, child] = f.mms;
    pageoutRange(parent!, BASE, LEN);
    const flags = MREMAP_MAYMOVE | MREMAP_FIXED;
    const odd = BASE + 5 * PMD + 3 * PAGE;
    assert.equal(doMremap(parent!, BASE, LEN, LEN, flags, odd), odd);
    checkPageTables(f.pgdat);
    assert.deepEqual(counts(parent!), [0, PAGES]);
    for (let i = 0; i < PAGES; i++) assert.equal(peek(parent!, odd + i * PAGE), i + 1);
    checkContent(child!, 'page of the child');
    checkPageTables(f.pgdat);
    finish(f);
  });

  it('have the rights that mprotect gave meanwhile', () => {
    const f = family(0);
    const [mm] = f.mms;
    pageoutRange(mm!, BASE, LEN);
    assert.equal(doMprotect(mm!, BASE, LEN, PROT_READ), 0);
    checkPageTables(f.pgdat);
    assert.equal(peek(mm!, BASE), 1);
    assert.equal(putUser32(mm!, BASE, 5), -EFAULT);
    assert.equal(doMprotect(mm!, BASE, LEN, PROT_READ | PROT_WRITE), 0);
    assert.equal(putUser32(mm!, BASE, 5), 0);
    checkPageTables(f.pgdat);
    finish(f);
  });

  it('are copied by default fork as entries', () => {
    const pgdat = testPgData();
    const device = testSwapon(pgdat, 128);
    const free = pgdat.freeFrames;
    const parent = testMm(pgdat, false);
    map(parent, BASE, LEN);
    for (let i = 0; i < PAGES; i++) putUser32(parent, BASE + i * PAGE, i + 1);
    pageoutRange(parent, BASE, LEN);
    const child = fork(parent);
    checkPageTables(pgdat);
    assert.deepEqual(counts(child), [0, PAGES]);
    touch(child, BASE, LEN / 2, 8);
    checkContent(parent, 'page of the parent');
    assert.equal(peek(child, BASE), 8);
    finish({ pgdat, free, device, mms: [parent, child] });
  });

  it('come back with no frame lost when an allocation fails', () => {
    const f = family(1);
    const [parent, child] = f.mms;
    pageoutRange(parent!, BASE, LEN);
    for (let fail = 1; ; fail++) {
      f.pgdat.failAllocAfter = fail;
      const got = peek(child!, BASE);
      const fired = f.pgdat.failAllocAfter === 0;
      f.pgdat.failAllocAfter = 0;
      checkPageTables(f.pgdat);
      if (!fired) {
        assert.equal(got, 1);
        break;
      }
      assert.equal(got, -EFAULT);
      assert.ok(fail < 10);
    }
    checkContent(parent!, 'page');
    finish(f);
  });
});

describe('a swap device that fails', () => {
  it('keeps pages in memory when it cannot write', () => {
    const f = family(2);
    f.device.failWrites = true;
    assert.equal(pageoutRange(f.mms[0]!, BASE, LEN), 0);
    checkPageTables(f.pgdat);
    assert.equal(f.pgdat.swap.freePages, f.pgdat.swap.totalPages);
    for (const mm of f.mms) assert.deepEqual(counts(mm), [PAGES, 0]);
    f.device.failWrites = false;
    assert.equal(pageoutRange(f.mms[0]!, BASE, LEN), PAGES);
    for (const mm of f.mms) checkContent(mm, 'page');
    finish(f);
  });

  it('is a fault when it cannot read, and the page is not lost', () => {
    const f = family(1);
    pageoutRange(f.mms[0]!, BASE, LEN);
    f.device.failReads = true;
    for (const mm of f.mms) assert.equal(peek(mm, BASE), -EFAULT);
    checkPageTables(f.pgdat);
    f.device.failReads = false;
    for (const mm of f.mms) checkContent(mm, 'page');
    finish(f);
  });

  it('takes as many pages as it has slots', () => {
    const f = family(1, PAGES / 2);
    assert.equal(pageoutRange(f.mms[1]!, BASE, LEN), PAGES / 2);
    checkPageTables(f.pgdat);
    assert.equal(f.pgdat.swap.freePages, 0);
    for (const mm of f.mms) assert.deepEqual(counts(mm), [PAGES / 2, PAGES / 2]);
    for (const mm of f.mms) checkContent(mm, 'page');
    finish(f);
  });
});

describe('swapoff', () => {
  it('replaces entries of shared tables in place, once, and drops no table (D2)', () => {
    const f = family(4);
    pageoutRange(f.mms[0]!, BASE, LEN);
    const table = tableAt(f.mms[0]!, BASE, LEVEL_PTE);
    const before = f.pgdat.pageTables;
    assert.equal(doSwapoff(f.pgdat, f.pgdat.swap.active[0]!), 0);
    checkPageTables(f.pgdat);
    assert.equal(f.pgdat.pageTables, before);
    assert.equal(f.pgdat.swap.totalPages, 0);
    assert.equal(f.device.reads, PAGES);
    for (const mm of f.mms) {
      assert.equal(tableAt(mm, BASE, LEVEL_PTE), table);
      assert.deepEqual(counts(mm), [PAGES, 0]);
      checkContent(mm, 'page');
    }
    assert.equal(f.device.reads, PAGES);
    finish(f);
  });

  it('finds entries that only a child holds (D15)', () => {
    const f = family(1);
    const [parent, child] = f.mms;
    pageoutRange(parent!, BASE, LEN);
    mmput(parent!);
    f.mms.shift();
    checkPageTables(f.pgdat);
    assert.equal(doSwapoff(f.pgdat, f.pgdat.swap.active[0]!), 0);
    checkPageTables(f.pgdat);
    assert.deepEqual(counts(child!), [PAGES, 0]);
    checkContent(child!, 'page');
    finish(f);
  });

  it('keeps a page exclusive that was', () => {
    const f = family(0);
    const [mm] = f.mms;
    pageoutRange(mm!, BASE, LEN);
    assert.equal(doSwapoff(f.pgdat, f.pgdat.swap.active[0]!), 0);
    const { pgcow } = f.pgdat.vmstat;
    touch(mm!, BASE, LEN, 9);
    assert.equal(f.pgdat.vmstat.pgcow, pgcow);
    const [pfn] = framesAt(mm!, BASE, PAGE);
    assert.notEqual(f.pgdat.page.flags[pfn!]! & PG_ANON_EXCLUSIVE, 0);
    assert.equal(f.pgdat.page.flags[pfn!]! & PG_SWAPCACHE, 0);
    finish(f);
  });

  it('fails with ENOMEM, everything where it was or back, and works when there is memory', () => {
    const f = family(3);
    pageoutRange(f.mms[0]!, BASE, LEN);
    // One table of several is shared, one is private.
    assert.equal(putUser32(f.mms[2]!, BASE, 50), 0);
    pageoutRange(f.mms[2]!, BASE, LEN);
    const area = f.pgdat.swap.active[0]!;
    for (const fail of [1, 2, 17, PAGES]) {
      f.pgdat.failAllocAfter = fail;
      assert.equal(doSwapoff(f.pgdat, area), -ENOMEM);
      assert.equal(f.pgdat.failAllocAfter, 0);
      checkPageTables(f.pgdat);
      for (const mm of f.mms) {
        const [anon, swapped] = counts(mm);
        assert.equal(anon! + swapped!, PAGES);
      }
      pageoutRange(f.mms[0]!, BASE, LEN);
      pageoutRange(f.mms[2]!, BASE, LEN);
      checkPageTables(f.pgdat);
    }
    assert.equal(doSwapoff(f.pgdat, area), 0);
    checkPageTables(f.pgdat);
    assert.equal(peek(f.mms[2]!, BASE), 50);
    assert.equal(peek(f.mms[3]!, BASE), 1);
    finish(f);
  });

  it('moves what it brings back to another area when memory is short', () => {
    const f = family(1);
    pageoutRange(f.mms[0]!, BASE, LEN);
    testSwapon(f.pgdat, 256, '/dev/swap1');
    const hog = testMm(f.pgdat);
    map(hog, BASE, 32 * MIB);
    let used = 0;
    while (f.pgdat.freeFrames > 8) {
      assert.equal(putUser32(hog, BASE + used, 1), 0);
      used += PAGE;
    }
    assert.equal(doSwapoff(f.pgdat, f.pgdat.swap.active[0]!), 0);
    checkPageTables(f.pgdat);
    for (const mm of f.mms) checkContent(mm, 'page');
    f.mms.push(hog);
    finish(f);
  });

  it('makes pages that cannot be read faults, and goes on', () => {
    const f = family(1);
    pageoutRange(f.mms[0]!, BASE, LEN);
    f.device.failReads = true;
    assert.equal(doSwapoff(f.pgdat, f.pgdat.swap.active[0]!), 0);
    checkPageTables(f.pgdat);
    for (const mm of f.mms) {
      assert.deepEqual(counts(mm), [0, 0]);
      assert.equal(peek(mm, BASE), -EFAULT);
      assert.equal(putUser32(mm, BASE, 1), -EFAULT);
    }
    // New memory in their place is as good as any.
    assert.equal(doMadvise(f.mms[0]!, BASE, LEN, MADV_DONTNEED), 0);
    assert.equal(peek(f.mms[0]!, BASE), 0);
    finish(f);
  });
});

describe('reclaim under pressure', () => {
  it('lets programs use more memory than there is', () => {
    const pgdat = testPgData(16);
    const free = pgdat.freeFrames;
    const device = testSwapon(pgdat, 8192);
    const parent = testMm(pgdat);
    const pages = 5000;
    map(parent, BASE, pages * PAGE);
    for (let i = 0; i < pages; i++) assert.equal(putUser32(parent, BASE + i * PAGE, i), 0, `${i}`);
    checkPageTables(pgdat);
    const child = fork(parent);
    checkPageTables(pgdat);
    for (let i = 0; i < pages; i += 3) assert.equal(putUser32(child, BASE + i * PAGE, -1), 0);
    checkPageTables(pgdat);
    for (let i = 0; i < pages; i++) {
      assert.equal(peek(parent, BASE + i * PAGE), i);
      assert.equal(peek(child, BASE + i * PAGE) | 0, i % 3 === 0 ? -1 : i);
    }
    assert.ok(pgdat.vmstat.allocstall > 0);
    assert.ok(pgdat.vmstat.pgstealAnon > 0);
    finish({ pgdat, free, device, mms: [parent, child] });
  });

  it('forks when memory is full of what can be swapped out, with and without shared tables', () => {
    for (const cowPte of [true, false]) {
      const pgdat = testPgData(8);
      const free = pgdat.freeFrames;
      const device = testSwapon(pgdat, 4096);
      const parent = testMm(pgdat, cowPte);
      map(parent, BASE, 16 * MIB);
      const mms = [parent];
      for (let i = 0; pgdat.freeFrames > 0; i++) {
        assert.equal(putUser32(parent, BASE + i * PAGE, i), 0);
      }
      const swapped = pgdat.vmstat.pswpout;
      mms.push(fork(parent));
      assert.ok(pgdat.vmstat.pswpout > swapped);
      checkPageTables(pgdat);
      assert.equal(peek(mms[1]!, BASE + PAGE), 1);
      finish({ pgdat, free, device, mms });
    }
  });

  it('takes the pages that were not used', () => {
    const f = family(1);
    const { pgdat } = f;
    tryToFreePages(pgdat, 1);
    const [parent] = f.mms;
    // The first look clears A everywhere and remembers who had it; a second use then keeps.
    for (let i = 0; i < 8; i++) peek(parent!, BASE + i * PAGE);
    let freed = 0;
    while (freed < PAGES - 8) {
      const n = tryToFreePages(pgdat, 1);
      assert.notEqual(n, 0);
      freed += n;
      for (let i = 0; i < 8; i++) peek(parent!, BASE + i * PAGE);
      if (pgdat.vmstat.pswpout >= PAGES - 16) break;
    }
    checkPageTables(pgdat);
    for (let i = 0; i < 8; i++) assert.notEqual(pteAt(parent!, BASE + i * PAGE) & PTE_V, 0, `${i}`);
    finish(f);
  });

  it('is done by kswapd up to the high watermark', () => {
    const pgdat = testPgData(16);
    const free = pgdat.freeFrames;
    const device = testSwapon(pgdat, 4096);
    const mm = testMm(pgdat);
    map(mm, BASE, 16 * MIB);
    for (let i = 0; !pgdat.kswapdWanted; i++) assert.equal(putUser32(mm, BASE + i * PAGE, i), 0);
    for (let runs = 0; pgdat.kswapdWanted; runs++) {
      kswapd(pgdat);
      assert.ok(runs < 100);
    }
    assert.ok(pgdat.freeFrames >= pgdat.wmarkHigh);
    assert.ok(pgdat.vmstat.pgstealKswapd > 0);
    assert.equal(pgdat.vmstat.allocstall, 0);
    checkPageTables(pgdat);
    finish({ pgdat, free, device, mms: [mm] });
  });

  it('gives up when nothing can be reclaimed', () => {
    const pgdat = testPgData(8);
    const mm = testMm(pgdat);
    for (let mib = 0; mib < 8; mib++) map(mm, BASE + mib * MIB, MIB);
    let i = 0;
    while (putUser32(mm, BASE + i * PAGE, i) === 0) i++;
    checkPageTables(pgdat);
    assert.equal(tryToFreePages(pgdat, 1), 0);
    pgdat.kswapdWanted = true;
    for (let runs = 0; runs < 40; runs++) {
      pgdat.kswapdWanted = true;
      kswapd(pgdat);
    }
    assert.ok(pgdat.vmstat.pageoutrun <= 16);
    assert.equal(reclaimPages(pgdat, framesAt(mm, BASE, PAGE), 1), 0);
    mmput(mm);
    checkPageTables(pgdat);
  });

  it('has no other kind of page in the counters', () => {
    const f = family(0);
    assert.deepEqual([f.mms[0]!.rss[MM_FILEPAGES], f.mms[0]!.rss[MM_SHMEMPAGES]], [0, 0]);
    finish(f);
  });
});
