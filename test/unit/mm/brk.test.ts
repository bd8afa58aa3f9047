import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { doBrk, vmBrkFlags } from '../../../src/mm/brk.ts';
import { dupMm, mmput } from '../../../src/mm/fork.ts';
import { doMlockall } from '../../../src/mm/mlock.ts';
import type { MmStruct } from '../../../src/mm/mm_types.ts';
import { doMunmap, findVma } from '../../../src/mm/mmap.ts';
import { RLIM_NONE } from '../../../src/mm/mm_struct.ts';
import { checkPageTables } from '../../../src/mm/page_table_check.ts';
import { mmRssPages } from '../../../src/mm/rss.ts';
import { VM_EXEC } from '../../../src/mm/vma.ts';
import { EAGAIN, EFAULT, EINVAL, ENOMEM } from '../../../src/uapi/errno.ts';
import { MCL_FUTURE } from '../../../src/uapi/mman.ts';
import { BASE, map, PAGE, peek, testMm, testPgData, touch } from './harness.ts';

function heap(mm: MmStruct, start: number): MmStruct {
  mm.startBrk = start;
  mm.brk = start;
  return mm;
}

describe('doBrk()', () => {
  it('grows and shrinks the heap byte by byte, mapping whole pages', () => {
    const mm = heap(testMm(testPgData(8)), BASE + 100);
    assert.equal(doBrk(mm, 0), BASE + 100);
    assert.equal(doBrk(mm, BASE + 200), BASE + 200);
    assert.equal(mm.totalVm, 0, 'the rest of the last page of the program');
    assert.equal(doBrk(mm, BASE + 3 * PAGE), BASE + 3 * PAGE);
    assert.equal(mm.totalVm, 2);
    touch(mm, BASE + PAGE, 2 * PAGE, 4);
    assert.equal(doBrk(mm, BASE + PAGE + 1), BASE + PAGE + 1);
    assert.equal(peek(mm, BASE + PAGE), 4);
    assert.equal(peek(mm, BASE + 2 * PAGE), -EFAULT);
    doBrk(mm, BASE + 8 * PAGE);
    assert.equal(mm.vmas.size, 1);
    checkPageTables(mm.pgdat);
    mmput(mm);
  });

  it('keeps the old end where the new one is not possible', () => {
    const mm = heap(testMm(testPgData(8)), BASE);
    map(mm, BASE + 8 * PAGE, PAGE);
    assert.equal(doBrk(mm, BASE + 7 * PAGE), BASE + 7 * PAGE);
    assert.equal(doBrk(mm, BASE + 7 * PAGE + 1), BASE + 7 * PAGE, 'one page stays free behind it');
    assert.equal(doBrk(mm, BASE - 1), BASE + 7 * PAGE);
    mm.limits.data = 4 * PAGE;
    assert.equal(doBrk(mm, BASE + 6 * PAGE), BASE + 7 * PAGE, 'RLIMIT_DATA');
    mm.limits.data = RLIM_NONE;
    mm.limits.as = 4 * PAGE;
    assert.equal(doBrk(mm, BASE + 2 * PAGE), BASE + 2 * PAGE);
    assert.equal(doBrk(mm, BASE + 6 * PAGE), BASE + 2 * PAGE, 'RLIMIT_AS');
    mmput(mm);
  });

  it('keeps the old end when a shared table cannot be made private', () => {
    const pgdat = testPgData(8);
    const mm = heap(testMm(pgdat), BASE);
    doBrk(mm, BASE + 4 * PAGE);
    touch(mm, BASE, 4 * PAGE, 2);
    const child = dupMm(mm)!;
    pgdat.failAllocAfter = 1;
    assert.equal(doBrk(child, BASE + PAGE), BASE + 4 * PAGE);
    pgdat.failAllocAfter = 0;
    assert.equal(peek(child, BASE + 3 * PAGE), 2);
    assert.equal(doBrk(child, BASE + PAGE), BASE + PAGE);
    mmput(mm);
    mmput(child);
    checkPageTables(pgdat);
  });

  it('does not shrink where nothing is left of the heap', () => {
    const mm = heap(testMm(testPgData(8)), BASE);
    doBrk(mm, BASE + 8 * PAGE);
    doMunmap(mm, BASE + 2 * PAGE, 6 * PAGE);
    assert.equal(doBrk(mm, BASE + 6 * PAGE), BASE + 8 * PAGE);
    assert.equal(doBrk(mm, BASE + 2 * PAGE), BASE + 8 * PAGE);
    assert.equal(doBrk(mm, BASE + PAGE), BASE + PAGE);
    assert.equal(mm.totalVm, 1);
    mmput(mm);
  });

  it('locks the heap after mlockall(MCL_FUTURE)', () => {
    const mm = heap(testMm(testPgData(8)), BASE);
    doMlockall(mm, MCL_FUTURE);
    mm.limits.memlock = 2 * PAGE;
    assert.equal(doBrk(mm, BASE + 2 * PAGE), BASE + 2 * PAGE);
    assert.equal(mmRssPages(mm), 2);
    assert.equal(doBrk(mm, BASE + 3 * PAGE), BASE + 2 * PAGE);
    assert.equal(vmBrkFlags(mm, BASE + 9 * PAGE, PAGE, false), -EAGAIN);
    mmput(mm);
  });
});

describe('vmBrkFlags()', () => {
  it('maps zeroes over whatever is there', () => {
    const mm = testMm(testPgData(8));
    map(mm, BASE, 4 * PAGE);
    touch(mm, BASE, 4 * PAGE, 3);
    assert.equal(vmBrkFlags(mm, BASE + PAGE, PAGE + 1, true), 0);
    assert.equal(peek(mm, BASE + 2 * PAGE), 0);
    assert.equal(peek(mm, BASE + 3 * PAGE), 3);
    assert.notEqual(findVma(mm, BASE + PAGE)!.flags & VM_EXEC, 0);
    assert.equal(vmBrkFlags(mm, BASE + 1, PAGE, false), -EINVAL);
    assert.equal(vmBrkFlags(mm, BASE, 0, false), 0);
    assert.equal(vmBrkFlags(mm, BASE, 2 ** 50, false), -ENOMEM);
    mmput(mm);
  });
});
