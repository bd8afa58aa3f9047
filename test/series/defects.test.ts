/**
 * One test for each defect of the founding series' trees, as far as it is not with the tests of
 * the patch it belongs to; D1 to D18 are listed in docs/series.md.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PTE_V, ptePfn, PUD_SIZE, type Pte } from '../../src/arch/riscv/pgtable.ts';
import { initTlb } from '../../src/arch/riscv/tlb.ts';
import { breakCowPath } from '../../src/mm/cow_pte.ts';
import { dupMm, mmput } from '../../src/mm/fork.ts';
import { doMadvise } from '../../src/mm/madvise.ts';
import { doMlock } from '../../src/mm/mlock.ts';
import type { MmStruct } from '../../src/mm/mm_types.ts';
import { doMunmap } from '../../src/mm/mmap.ts';
import { doMprotect } from '../../src/mm/mprotect.ts';
import { doMremap } from '../../src/mm/mremap.ts';
import { checkPageTables } from '../../src/mm/page_table_check.ts';
import { pathFlags, pgdPtr, ptePtrOf } from '../../src/mm/pgtable.ts';
import { mmRssPages } from '../../src/mm/rss.ts';
import { putUser32 } from '../../src/mm/uaccess.ts';
import { ENOMEM } from '../../src/uapi/errno.ts';
import {
  MADV_DONTFORK,
  MADV_DONTNEED,
  MADV_FREE,
  MAP_NORESERVE,
  MAP_PRIVATE,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
  PROT_READ,
} from '../../src/uapi/mman.ts';
import { endFamily, testFamily } from '../unit/mm/family.ts';
import { fillTlb, tlbHolds } from '../unit/mm/tlb_entries.ts';
import { BASE, map, PAGE, peek, PMD, testMm, testPgData, touch } from '../unit/mm/harness.ts';

describe('what went wrong in the founding series', () => {
  it('counts every kind of entry for both sides of a break (D8)', () => {
    const f = testFamily(PMD);
    map(f.parent, BASE + PMD, 4 * PAGE, { prot: PROT_READ });
    assert.equal(peek(f.parent, BASE + PMD), 0, 'a zero page, which nobody counts');
    const third = dupMm(f.parent)!;
    touch(third, BASE, PAGE, 5);
    assert.equal(breakCowPath(third, BASE + PMD), 0);
    assert.equal(mmRssPages(third), 512);
    assert.equal(mmRssPages(f.parent), 512);
    mmput(third);
    endFamily(f);
  });

  it('frees a table that two sharers broke away from one after the other (D9)', () => {
    const f = testFamily(PMD);
    const tables = f.pgdat.pageTables;
    assert.equal(breakCowPath(f.parent, BASE), 0);
    assert.equal(breakCowPath(f.child, BASE), 0);
    assert.equal(f.pgdat.pageTables, tables + 3, 'one copy of each level, one taken over');
    touch(f.parent, BASE, PMD, 5);
    touch(f.child, BASE, PMD, 6);
    assert.equal(f.pgdat.pageTables, tables + 3);
    endFamily(f);
  });

  it('finds a path private that another thread of the same mm has just broken (D10)', () => {
    const f = testFamily(PMD);
    assert.equal(breakCowPath(f.child, BASE), 0);
    const place = ptePtrOf(f.child, BASE);
    assert.equal(breakCowPath(f.child, BASE), 0);
    assert.equal(ptePtrOf(f.child, BASE), place);
    assert.equal(pathFlags(f.child, BASE), 0);
    endFamily(f);
  });

  it('leaves the entry as it was when a break cannot allocate (D11)', () => {
    const f = testFamily(PMD);
    const { u32 } = f.pgdat.ram;
    for (let n = 1; n <= 3; n++) {
      const child = dupMm(f.parent)!;
      f.pgdat.failAllocAfter = n;
      assert.equal(breakCowPath(child, BASE), -ENOMEM);
      assert.ok(u32[pgdPtr(child, BASE)]! !== 0 && pathFlags(child, BASE) !== 0);
      assert.equal(peek(child, BASE + PAGE), 4);
      assert.equal(breakCowPath(child, BASE), 0, 'and works when there is memory');
      mmput(child);
    }
    endFamily(f);
  });

  it('lets no translation survive the table it was made through (D12)', () => {
    const f = testFamily(PMD);
    initTlb(f.pgdat.ram);
    f.pgdat.activeMm = f.child;
    fillTlb(f.child, BASE);
    assert.ok(tlbHolds(f.child, BASE));
    assert.equal(doMunmap(f.child, BASE, PMD), 0);
    assert.ok(!tlbHolds(f.child, BASE));
    endFamily(f);
  });

  it('breaks a table whatever its process has mapped in it since (D13)', () => {
    const f = testFamily(PMD);
    const half = PMD / 2;
    const third = dupMm(f.child)!;
    // The child has no VMA over the first half any more, its grandchild still has.
    assert.equal(doMunmap(f.child, BASE, half), 0);
    assert.equal(breakCowPath(third, BASE), 0);
    assert.equal(breakCowPath(f.parent, BASE), 0);
    assert.equal(peek(third, BASE), 4);
    assert.ok(peek(f.child, BASE) < 0);
    assert.equal(peek(f.child, BASE + half), 4);
    mmput(third);
    endFamily(f);
  });

  it('returns -ENOMEM and changes no VMA where a call cannot break (D14)', () => {
    const to = BASE + PUD_SIZE;
    const calls: Record<string, (mm: MmStruct) => number> = {
      mprotect: (mm) => doMprotect(mm, BASE + PAGE, PAGE, PROT_READ),
      munmap: (mm) => doMunmap(mm, BASE + PAGE, PAGE),
      dontneed: (mm) => doMadvise(mm, BASE + PAGE, PAGE, MADV_DONTNEED),
      free: (mm) => doMadvise(mm, BASE + PAGE, PAGE, MADV_FREE),
      mremap: (mm) => doMremap(mm, BASE + PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to),
    };
    for (const [name, call] of Object.entries(calls)) {
      const f = testFamily(PMD);
      for (let n = 1; ; n++) {
        const { size } = f.child.vmas;
        f.pgdat.failAllocAfter = n;
        const ret = call(f.child);
        const injected = f.pgdat.failAllocAfter === 0;
        f.pgdat.failAllocAfter = 0;
        checkPageTables(f.pgdat);
        if (!injected) {
          assert.ok(ret >= 0, name);
          assert.ok(n > 1, `${name} allocates`);
          break;
        }
        assert.equal(ret, -ENOMEM, name);
        assert.equal(f.child.vmas.size, size, name);
        assert.equal(peek(f.child, BASE + PAGE), 4, name);
        assert.equal(putUser32(f.parent, BASE + PAGE, 4), 0, name);
      }
      endFamily(f);
    }
  });

  it('keeps the count of locked pages when a table of locked memory goes (D16)', () => {
    const pgdat = testPgData();
    const free = pgdat.freeFrames;
    const mm = testMm(pgdat);
    map(mm, BASE, PMD);
    touch(mm, BASE, PMD, 4);
    const child = dupMm(mm)!;
    assert.equal(doMlock(child, BASE, PMD, 0), 0);
    assert.deepEqual([mm.lockedVm, child.lockedVm], [0, 512]);
    const grandchild = dupMm(child)!;
    assert.equal(grandchild.lockedVm, 0, 'locks are not inherited');
    assert.equal(doMunmap(child, BASE, PMD), 0);
    assert.equal(child.lockedVm, 0);
    assert.equal(peek(grandchild, BASE), 4);
    mmput(grandchild);
    endFamily({ pgdat, free, parent: mm, child });
  });
});

describe('invariants', () => {
  it('no store of one process is seen by another, through any number of forks (I1)', () => {
    const pgdat = testPgData();
    const free = pgdat.freeFrames;
    const mms = [testMm(pgdat)];
    map(mms[0]!, BASE, 2 * PMD);
    touch(mms[0]!, BASE, 2 * PMD, 1);
    for (let i = 1; i < 6; i++) mms.push(dupMm(mms[(i * 7) % mms.length]!)!);
    mms.forEach((mm, i) => {
      assert.equal(putUser32(mm, BASE + i * PAGE, 100 + i), 0);
    });
    mms.forEach((mm, i) => {
      for (let at = 0; at < mms.length; at++) {
        assert.equal(peek(mm, BASE + at * PAGE), at === i ? 100 + i : 1);
      }
    });
    checkPageTables(pgdat);
    for (const mm of mms) mmput(mm);
    assert.equal(pgdat.freeFrames, free);
  });

  it('a table has as many references as entries that name it (I2, I3)', () => {
    const f = testFamily(PMD);
    const { page, ram } = f.pgdat;
    const pud = ptePfn(ram.u32[pgdPtr(f.parent, BASE)] as Pte);
    const pfn = ptePfn(ram.u32[ptePtrOf(f.parent, BASE)] as Pte);
    assert.equal(page.ptRefs[pud], 2);
    assert.equal(page.mapcount[pfn], 1, 'one table, two processes');
    assert.equal(breakCowPath(f.child, BASE), 0);
    assert.equal(page.ptRefs[pud], 1);
    assert.equal(page.mapcount[pfn], 2);
    endFamily(f);
  });

  it('an exclusive page is copied on a write through a path that was shared (I5)', () => {
    const f = testFamily(PMD);
    const pfn = ptePfn(f.pgdat.ram.u32[ptePtrOf(f.parent, BASE)] as Pte);
    touch(f.child, BASE, PAGE, 5);
    assert.notEqual(ptePfn(f.pgdat.ram.u32[ptePtrOf(f.child, BASE)] as Pte), pfn);
    mmput(dupMm(f.child)!);
    touch(f.child, BASE, PAGE, 6);
    assert.equal(peek(f.parent, BASE), 4);
    endFamily(f);
  });

  it('RSS is what a walk counts after every step, and so are the sums of all (I7, I8)', () => {
    const f = testFamily(PMD);
    const steps: ((mm: MmStruct) => unknown)[] = [
      (mm) => touch(mm, BASE, PAGE, 5),
      (mm) => doMadvise(mm, BASE + 8 * PAGE, 8 * PAGE, MADV_DONTNEED),
      (mm) => doMunmap(mm, BASE + 32 * PAGE, 32 * PAGE),
      (mm) => mmput(dupMm(mm)!),
      (mm) => doMremap(mm, BASE + PMD / 2, PMD / 2, PAGE, 0, 0),
    ];
    for (const step of steps) {
      for (const mm of [f.child, f.parent]) {
        step(mm);
        checkPageTables(f.pgdat);
      }
    }
    endFamily(f);
  });

  it('a process reaches only what it has a VMA for (I9)', () => {
    const pgdat = testPgData();
    const mm = testMm(pgdat);
    map(mm, BASE, PMD);
    touch(mm, BASE, PMD, 4);
    assert.equal(doMadvise(mm, BASE + 16 * PAGE, 16 * PAGE, MADV_DONTFORK), 0);
    const child = dupMm(mm)!;
    assert.equal(ptePtrOf(child, BASE) === ptePtrOf(mm, BASE), false);
    for (let at = BASE; at < BASE + PMD; at += PAGE) {
      const kept = at < BASE + 16 * PAGE || at >= BASE + 32 * PAGE;
      const pte = pgdat.ram.u32[ptePtrOf(child, at)]!;
      assert.equal((pte & PTE_V) !== 0, kept);
    }
    checkPageTables(pgdat);
    mmput(child);
    mmput(mm);
  });

  it('no write translation made before a fork is left after it (I10)', () => {
    const pgdat = testPgData();
    const mm = testMm(pgdat);
    map(mm, BASE, PMD);
    touch(mm, BASE, PMD, 4);
    initTlb(pgdat.ram);
    pgdat.activeMm = mm;
    fillTlb(mm, BASE);
    const child = dupMm(mm)!;
    checkPageTables(pgdat);
    mmput(child);
    mmput(mm);
  });

  it('a call that cannot allocate leaves memory as it was (I11)', () => {
    const f = testFamily(PMD);
    f.pgdat.failAllocAfter = 1;
    assert.ok(doMlock(f.child, BASE, PAGE, 0) < 0);
    assert.equal(f.pgdat.failAllocAfter, 0);
    assert.equal(peek(f.child, BASE), 4);
    endFamily(f);
  });

  it('a child that wrote nothing costs the parent one take-over and no page fault (I12)', () => {
    const pgdat = testPgData();
    const mm = testMm(pgdat);
    map(mm, BASE, 4 * PMD, { flags: MAP_PRIVATE | MAP_NORESERVE });
    touch(mm, BASE, 4 * PMD, 4);
    const { pgfault } = pgdat.vmstat;
    mmput(dupMm(mm)!);
    touch(mm, BASE, 4 * PMD, 4);
    assert.equal(pgdat.vmstat.pgfault - pgfault, 1);
    assert.deepEqual([...pgdat.vmstat.cowBreakReuse], [0, 0, 1]);
    assert.equal(pgdat.vmstat.pgcow, 0);
    checkPageTables(pgdat);
    mmput(mm);
  });
});
