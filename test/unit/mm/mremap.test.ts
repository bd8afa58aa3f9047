import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { dupMm, mmput } from '../../../src/mm/fork.ts';
import { doMadvise } from '../../../src/mm/madvise.ts';
import { doMlock } from '../../../src/mm/mlock.ts';
import type { MmStruct } from '../../../src/mm/mm_types.ts';
import { findVma } from '../../../src/mm/mmap.ts';
import { doMprotect } from '../../../src/mm/mprotect.ts';
import { doMremap } from '../../../src/mm/mremap.ts';
import { doMseal } from '../../../src/mm/mseal.ts';
import { checkPageTables } from '../../../src/mm/page_table_check.ts';
import { mmRssPages, mmUsage } from '../../../src/mm/rss.ts';
import { shmemFileSetup } from '../../../src/mm/shmem.ts';
import { putUser32 } from '../../../src/mm/uaccess.ts';
import { EAGAIN, EFAULT, EINVAL, ENOMEM, EPERM } from '../../../src/uapi/errno.ts';
import {
  MADV_DONTNEED,
  MAP_SHARED,
  MREMAP_DONTUNMAP,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
  PROT_READ,
} from '../../../src/uapi/mman.ts';
import { BASE, map, PAGE, peek, PMD, testMm, testPgData, touch } from './harness.ts';

const TO = MREMAP_MAYMOVE | MREMAP_FIXED;

/** Writes the page's number to every page, so that a move shows. */
function number(mm: MmStruct, addr: number, pages: number): void {
  for (let i = 0; i < pages; i++) putUser32(mm, addr + i * PAGE, i + 1);
}

function assertNumbered(mm: MmStruct, addr: number, pages: number): void {
  for (let i = 0; i < pages; i++) assert.equal(peek(mm, addr + i * PAGE), i + 1);
}

/** Mappings within 1024 pages of `base`, as [first page, pages]. */
function ranges(mm: MmStruct, base: number): number[][] {
  return [...mm.vmas]
    .filter((vma) => vma.start >= base && vma.end <= base + 2 * PMD)
    .map((vma) => [(vma.start - base) / PAGE, (vma.end - vma.start) / PAGE]);
}

describe('doMremap()', () => {
  it('refuses what Linux refuses', () => {
    const mm = testMm(testPgData(8));
    map(mm, BASE, 4 * PAGE);
    map(mm, BASE + 4 * PAGE, PAGE, { prot: PROT_READ });
    const call = (addr: number, from: number, to: number, flags: number, at = 0) =>
      doMremap(mm, addr, from * PAGE, to * PAGE, flags, at);
    assert.equal(call(BASE, 1, 1, 8), -EINVAL);
    assert.equal(call(BASE, 1, 1, MREMAP_FIXED, BASE + PMD), -EINVAL);
    assert.equal(call(BASE, 1, 1, MREMAP_DONTUNMAP), -EINVAL);
    assert.equal(call(BASE, 1, 2, MREMAP_DONTUNMAP | MREMAP_MAYMOVE), -EINVAL);
    assert.equal(call(BASE + 1, 1, 1, 0), -EINVAL);
    assert.equal(call(BASE, 1, 0, 0), -EINVAL);
    assert.equal(call(BASE, 0, 1, MREMAP_MAYMOVE), -EINVAL, 'length 0 of private memory');
    assert.equal(call(BASE - PAGE, 1, 1, 0), -EFAULT);
    assert.equal(call(BASE, 5, 6, MREMAP_MAYMOVE), -EFAULT, 'over two mappings');
    assert.equal(call(BASE, 2, 3, 0), -ENOMEM, 'no room and may not move');
    assert.equal(call(BASE, 2, 2, TO, BASE + PAGE), -EINVAL, 'overlap');
    assert.equal(call(BASE, 2, 2, TO, BASE + 1), -EINVAL);
    assert.equal(call(BASE, 2, 2, TO, 2 ** 60), -EINVAL);
    assert.equal(mm.vmas.size, 2);
    mmput(mm);
  });

  it('finds nothing to map again when the first mapping was in the way', () => {
    const pgdat = testPgData(8);
    const mm = testMm(pgdat);
    map(mm, BASE, PAGE, { flags: MAP_SHARED });
    map(mm, BASE + 2 * PAGE, 2 * PAGE);
    number(mm, BASE + 2 * PAGE, 2);
    assert.equal(doMremap(mm, BASE, 0, 2 * PAGE, TO, BASE), -EFAULT);
    assert.equal(mm.vmas.size, 1, 'the place was cleared first, as by Linux');
    checkPageTables(pgdat);
    mmput(mm);
  });

  it('shrinks over several mappings', () => {
    const mm = testMm(testPgData(8));
    map(mm, BASE, 4 * PAGE);
    map(mm, BASE + 4 * PAGE, PAGE, { prot: PROT_READ });
    number(mm, BASE, 4);
    assert.equal(doMremap(mm, BASE, 5 * PAGE, 2 * PAGE, 0, 0), BASE);
    assert.equal(mm.totalVm, 2);
    assert.equal(mmRssPages(mm), 2);
    assert.equal(doMremap(mm, BASE, 2 * PAGE, 2 * PAGE, 0, 0), BASE);
    mmput(mm);
  });

  it('grows in place where there is room, joining what follows', () => {
    const mm = testMm(testPgData(8));
    map(mm, BASE, 2 * PAGE);
    map(mm, BASE + 4 * PAGE, PAGE);
    number(mm, BASE, 2);
    assert.equal(doMremap(mm, BASE, 2 * PAGE, 4 * PAGE, 0, 0), BASE);
    assert.equal(mm.vmas.size, 1);
    assertNumbered(mm, BASE, 2);
    assert.equal(peek(mm, BASE + 3 * PAGE), 0);
    mmput(mm);
  });

  it('moves pages, not bytes', () => {
    const pgdat = testPgData(8);
    const mm = testMm(pgdat);
    map(mm, BASE - 3 * PAGE, 6 * PAGE);
    map(mm, BASE + 3 * PAGE, PAGE, { prot: PROT_READ });
    number(mm, BASE - 3 * PAGE, 6);
    const copied = pgdat.vmstat.pgcow;
    const moved = doMremap(mm, BASE - 3 * PAGE, 6 * PAGE, 9 * PAGE, MREMAP_MAYMOVE, 0);
    assert.ok(moved > 0 && moved !== BASE - 3 * PAGE);
    assertNumbered(mm, moved, 6);
    assert.equal(peek(mm, moved + 8 * PAGE), 0);
    assert.equal(peek(mm, BASE), -EFAULT);
    assert.equal(pgdat.vmstat.pgcow, copied);
    checkPageTables(pgdat);
    mmput(mm);
  });

  it('moves whole page tables where both places are aligned', () => {
    const pgdat = testPgData(32);
    const mm = testMm(pgdat);
    map(mm, BASE, PMD + 2 * PAGE);
    number(mm, BASE, 514);
    const frames = pgdat.freeFrames;
    const to = BASE + 64 * PMD;
    assert.equal(doMremap(mm, BASE, PMD + 2 * PAGE, PMD + 2 * PAGE, TO, to), to);
    assertNumbered(mm, to, 514);
    assert.equal(pgdat.freeFrames, frames);
    checkPageTables(pgdat);
    const child = dupMm(mm)!;
    const bytes = mmUsage(mm).tableBytes + mmUsage(child).tableBytes;
    assert.equal(bytes, pgdat.pageTables * PAGE, 'every table counts for one process');
    mmput(child);
    // Over a table that is there already, empty or not.
    map(mm, BASE, PMD);
    touch(mm, BASE, 5 * PAGE, 77);
    assert.equal(doMremap(mm, to, PMD, PMD, TO, BASE), BASE);
    assertNumbered(mm, BASE, 512);
    assert.equal(peek(mm, to), -EFAULT);
    checkPageTables(pgdat);
    mmput(mm);
  });

  it('gives back page tables that are not needed after all', () => {
    const pgdat = testPgData(8);
    const mm = testMm(pgdat);
    map(mm, BASE, 4 * PAGE);
    touch(mm, BASE, 4 * PAGE);
    const tables = pgdat.pageTables;
    const far = BASE + 600 * 512 * PMD;
    pgdat.failAllocAfter = 3;
    assert.equal(doMremap(mm, BASE, 4 * PAGE, 4 * PAGE, TO, far), -ENOMEM);
    assert.equal(pgdat.pageTables, tables);
    map(mm, far, 4 * PAGE);
    touch(mm, far, 4 * PAGE);
    map(mm, BASE, 4 * PAGE);
    assert.equal(doMremap(mm, BASE, 4 * PAGE, 4 * PAGE, TO, far), far);
    assert.equal(pgdat.pageTables, 1);
    mmput(mm);
  });

  it('moves its own view of a table that a child shares', () => {
    const pgdat = testPgData(32);
    const mm = testMm(pgdat);
    map(mm, BASE, PMD);
    number(mm, BASE, 512);
    const child = dupMm(mm)!;
    assert.equal(doMremap(mm, BASE, PMD, PMD, TO, BASE + PMD), BASE + PMD);
    assertNumbered(mm, BASE + PMD, 512);
    assertNumbered(child, BASE, 512);
    assert.equal(peek(child, BASE + PMD), -EFAULT);
    putUser32(mm, BASE + PMD, 99);
    assert.equal(peek(child, BASE), 1);
    checkPageTables(pgdat);
    mmput(mm);
    mmput(child);
  });

  it('replaces what is at a fixed place, and trims the old range first', () => {
    const mm = testMm(testPgData(8));
    map(mm, BASE, 6 * PAGE);
    number(mm, BASE, 6);
    map(mm, BASE + PMD, 4 * PAGE);
    touch(mm, BASE + PMD, 4 * PAGE, 55);
    assert.equal(doMremap(mm, BASE, 6 * PAGE, 2 * PAGE, TO, BASE + PMD), BASE + PMD);
    assertNumbered(mm, BASE + PMD, 2);
    assert.equal(peek(mm, BASE + PMD + 2 * PAGE), 55);
    assert.equal(peek(mm, BASE + 4 * PAGE), -EFAULT);
    assert.equal(mm.totalVm, 4);
    checkPageTables(mm.pgdat);
    mmput(mm);
  });

  it('makes a second mapping of shared memory for an old length of 0', () => {
    const pgdat = testPgData(8);
    const mm = testMm(pgdat);
    map(mm, BASE, 2 * PAGE, { flags: MAP_SHARED });
    const twin = doMremap(mm, BASE, 0, 2 * PAGE, MREMAP_MAYMOVE, 0);
    putUser32(mm, twin + PAGE, 31);
    assert.equal(peek(mm, BASE + PAGE), 31);
    assert.equal(mm.totalVm, 4);
    mmput(mm);
    checkPageTables(pgdat);
  });

  it('leaves the old range mapped and empty with MREMAP_DONTUNMAP', () => {
    const pgdat = testPgData(8);
    const mm = testMm(pgdat);
    map(mm, BASE, 3 * PAGE);
    number(mm, BASE, 3);
    assert.equal(doMlock(mm, BASE, 3 * PAGE, 0), 0);
    const flags = MREMAP_MAYMOVE | MREMAP_DONTUNMAP;
    const to = doMremap(mm, BASE + PAGE, PAGE, PAGE, flags, BASE + PMD);
    assert.equal(to, BASE + PMD, 'the address is a hint');
    assert.equal(peek(mm, to), 2);
    assert.equal(peek(mm, BASE + PAGE), 0);
    assert.equal(mm.lockedVm, 3);
    assert.equal(
      doMremap(mm, BASE, PAGE, PAGE, flags | MREMAP_FIXED, BASE + 2 * PMD),
      BASE + 2 * PMD,
    );
    assert.equal(peek(mm, BASE + 2 * PMD), 1);
    checkPageTables(pgdat);
    mmput(mm);
  });

  it('moves several mappings and the gaps between them', () => {
    const mm = testMm(testPgData(8));
    const to = BASE + 2 * PMD;
    map(mm, BASE, 3 * PAGE);
    map(mm, BASE + 4 * PAGE, 2 * PAGE, { prot: PROT_READ });
    map(mm, BASE + 6 * PAGE, 3 * PAGE);
    number(mm, BASE, 3);
    number(mm, BASE + 6 * PAGE, 3);
    map(mm, to, 16 * PAGE);
    // From the middle of the first to the middle of the last.
    assert.equal(doMremap(mm, BASE + PAGE, 7 * PAGE, 7 * PAGE, TO, to), to);
    assert.deepEqual(ranges(mm, BASE), [
      [0, 1],
      [8, 1],
    ]);
    // What was there goes only where something comes: the gap keeps it.
    assert.deepEqual(ranges(mm, to), [
      [0, 2],
      [2, 1],
      [3, 2],
      [5, 2],
      [7, 9],
    ]);
    assert.equal(peek(mm, to + PAGE), 3);
    assert.equal(peek(mm, to + 5 * PAGE), 1);
    assert.equal(peek(mm, to + 6 * PAGE), 2);
    checkPageTables(mm.pgdat);
    mmput(mm);
  });

  it('leaves several mappings empty in place with MREMAP_DONTUNMAP', () => {
    const mm = testMm(testPgData(8));
    map(mm, BASE, 2 * PAGE);
    map(mm, BASE + 3 * PAGE, 2 * PAGE);
    number(mm, BASE, 2);
    number(mm, BASE + 3 * PAGE, 2);
    const flags = TO | MREMAP_DONTUNMAP;
    assert.equal(doMremap(mm, BASE, 5 * PAGE, 5 * PAGE, flags, BASE + PMD), BASE + PMD);
    assert.deepEqual(ranges(mm, BASE), [
      [0, 2],
      [3, 2],
      [512, 2],
      [515, 2],
    ]);
    assertNumbered(mm, BASE + PMD, 2);
    assertNumbered(mm, BASE + PMD + 3 * PAGE, 2);
    assert.equal(peek(mm, BASE), 0);
    checkPageTables(mm.pgdat);
    mmput(mm);
  });

  it('stops at the first of several mappings that cannot move', () => {
    const mm = testMm(testPgData(8));
    for (let i = 0; i < 3; i++) map(mm, BASE + 2 * i * PAGE, PAGE);
    for (let i = 0; i < 3; i++) number(mm, BASE + 2 * i * PAGE, 1);
    assert.equal(doMseal(mm, BASE + 2 * PAGE, PAGE), 0);
    assert.equal(doMremap(mm, BASE - PAGE, 6 * PAGE, 6 * PAGE, TO, BASE + PMD), -EFAULT);
    assert.equal(doMremap(mm, BASE, 5 * PAGE, 5 * PAGE, TO, BASE + PMD), -EPERM);
    assert.deepEqual(ranges(mm, BASE), [
      [2, 1],
      [4, 1],
      [512, 1],
    ]);
    assert.equal(peek(mm, BASE + PMD), 1);
    checkPageTables(mm.pgdat);
    mmput(mm);
  });

  it('does not extend a mapping without pages that stays behind', () => {
    const mm = testMm(testPgData(8));
    map(mm, BASE, 2 * PAGE);
    const flags = TO | MREMAP_DONTUNMAP;
    assert.equal(doMremap(mm, BASE, 2 * PAGE, 2 * PAGE, flags, BASE + 2 * PAGE), BASE + 2 * PAGE);
    assert.deepEqual(ranges(mm, BASE), [
      [0, 2],
      [2, 2],
    ]);
    // Without the flag it is one mapping that has slid.
    assert.equal(doMremap(mm, BASE, 2 * PAGE, 2 * PAGE, TO, BASE + 4 * PAGE), BASE + 4 * PAGE);
    assert.deepEqual(ranges(mm, BASE), [[2, 4]]);
    mmput(mm);
  });

  it('keeps the file offset of what moves', () => {
    const pgdat = testPgData(8);
    const mm = testMm(pgdat);
    const file = shmemFileSetup(pgdat, 'file', 8 * PAGE);
    map(mm, BASE, 4 * PAGE, { file, flags: MAP_SHARED, pgoff: 3 });
    number(mm, BASE, 4);
    const to = BASE + PMD;
    assert.equal(doMremap(mm, BASE + PAGE, 2 * PAGE, 3 * PAGE, TO, to), to);
    assert.equal(findVma(mm, to)!.pgoff, 4);
    assert.equal(peek(mm, to + 2 * PAGE), 4, 'the new third page shows the file');
    assert.equal(file.mapping.iMmap.length, 3);
    mmput(mm);
    file.putFile();
    checkPageTables(pgdat);
  });

  it('counts locked memory and its limit', () => {
    const mm = testMm(testPgData(8));
    map(mm, BASE, PAGE);
    doMlock(mm, BASE, PAGE, 0);
    mm.limits.memlock = 2 * PAGE;
    assert.equal(doMremap(mm, BASE, PAGE, 3 * PAGE, 0, 0), -EAGAIN);
    assert.equal(doMremap(mm, BASE, PAGE, 2 * PAGE, 0, 0), BASE);
    assert.equal(mm.lockedVm, 2);
    assert.equal(mmRssPages(mm), 2, 'what is new of a locked mapping is faulted in');
    mm.limits.as = 2 * PAGE;
    doMprotect(mm, BASE, PAGE, PROT_READ);
    assert.equal(doMremap(mm, BASE + PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE, 0), -EAGAIN);
    mmput(mm);
  });

  it('takes what it replaces off before it looks at RLIMIT_AS', () => {
    const mm = testMm(testPgData(8));
    map(mm, BASE, 2 * PAGE);
    map(mm, BASE + PMD, 2 * PAGE);
    mm.limits.as = 4 * PAGE;
    const flags = TO | MREMAP_DONTUNMAP;
    assert.equal(doMremap(mm, BASE, 2 * PAGE, 2 * PAGE, flags, BASE + PMD + PAGE), -ENOMEM);
    assert.equal(doMremap(mm, BASE, 2 * PAGE, 2 * PAGE, flags, BASE + PMD), BASE + PMD);
    assert.equal(mm.totalVm, 4);
    mmput(mm);
  });

  it('leaves an empty table in its way to the child that shares it', () => {
    const pgdat = testPgData(16);
    const mm = testMm(pgdat);
    const target = BASE + 9 * PMD;
    map(mm, target, PMD);
    touch(mm, target, PAGE);
    assert.equal(doMadvise(mm, target, PMD, MADV_DONTNEED), 0);
    map(mm, BASE, PMD);
    number(mm, BASE, 3);
    const child = dupMm(mm)!;
    assert.equal(doMremap(mm, BASE, PMD, PMD, TO, target), target);
    checkPageTables(pgdat);
    assertNumbered(mm, target, 3);
    assert.equal(peek(child, target), 0);
    touch(child, target, PAGE, 9);
    assert.equal(peek(child, target), 9);
    assertNumbered(child, BASE, 3);
    checkPageTables(pgdat);
    mmput(mm);
    mmput(child);
    checkPageTables(pgdat);
  });

  for (const newLen of [8, 6, 4]) {
    it(`changes nothing whichever allocation fails, moving ${newLen} of 8 pages`, () => {
      for (let failAt = 1; ; failAt++) {
        const pgdat = testPgData(16);
        const mm = testMm(pgdat);
        map(mm, BASE - 4 * PAGE, 8 * PAGE);
        number(mm, BASE - 4 * PAGE, 8);
        const target = BASE + 9 * PMD - 2 * PAGE;
        map(mm, target - 2 * PAGE, 12 * PAGE, { prot: PROT_READ | 2 });
        touch(mm, target - 2 * PAGE, 12 * PAGE, 66);
        // A neighbour keeps the second table from being dropped whole.
        map(mm, BASE + 20 * PAGE, PAGE);
        touch(mm, BASE + 20 * PAGE, PAGE);
        const child = dupMm(mm)!;
        pgdat.failAllocAfter = failAt;
        const got = doMremap(mm, BASE - 4 * PAGE, 8 * PAGE, newLen * PAGE, TO, target);
        const failed = pgdat.failAllocAfter === 0;
        pgdat.failAllocAfter = 0;
        checkPageTables(pgdat);
        if (failed) {
          assert.equal(got, -ENOMEM);
          assertNumbered(mm, BASE - 4 * PAGE, 8);
          assert.equal(peek(mm, target), 66);
          assert.equal(mm.vmas.size, 3);
        } else {
          assert.equal(got, target);
          assertNumbered(mm, target, newLen);
          assert.equal(peek(mm, target + 9 * PAGE), 66);
          assert.ok(failAt > 4, 'tables of both sides had to be broken');
        }
        assertNumbered(child, BASE - 4 * PAGE, 8);
        mmput(mm);
        mmput(child);
        if (!failed) return;
      }
    });
  }
});
