import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LEVEL_PTE } from '../../../src/arch/riscv/pgtable.ts';
import { dupMm, mmput } from '../../../src/mm/fork.ts';
import { doMprotect } from '../../../src/mm/mprotect.ts';
import { checkPageTables } from '../../../src/mm/page_table_check.ts';
import { mmRssPages } from '../../../src/mm/rss.ts';
import { shmemFileSetup } from '../../../src/mm/shmem.ts';
import { putUser32 } from '../../../src/mm/uaccess.ts';
import { EFAULT, EINVAL, ENOMEM } from '../../../src/uapi/errno.ts';
import {
  MAP_GROWSDOWN,
  MAP_LOCKED,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_EXEC,
  PROT_GROWSDOWN,
  PROT_GROWSUP,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
} from '../../../src/uapi/mman.ts';
import { BASE, map, PAGE, peek, testMm, testPgData, touch } from './harness.ts';

const RW = PROT_READ | PROT_WRITE;

describe('doMprotect()', () => {
  it('refuses odd arguments and takes a length of 0', () => {
    const mm = testMm(testPgData(8));
    map(mm, BASE, PAGE);
    assert.equal(doMprotect(mm, BASE + 1, PAGE, RW), -EINVAL);
    assert.equal(doMprotect(mm, BASE, PAGE, 0x40), -EINVAL);
    assert.equal(doMprotect(mm, BASE, PAGE, RW | PROT_GROWSDOWN | PROT_GROWSUP), -EINVAL);
    assert.equal(doMprotect(mm, BASE, PAGE, RW | PROT_GROWSDOWN), -EINVAL);
    assert.equal(doMprotect(mm, BASE, PAGE, RW | PROT_GROWSUP), -EINVAL);
    assert.equal(doMprotect(mm, BASE, 2 ** 60, RW), -ENOMEM);
    assert.equal(doMprotect(mm, BASE + PAGE, 0, RW), 0);
    mmput(mm);
  });

  it('takes rights away and gives them back without losing contents', () => {
    const mm = testMm(testPgData(8));
    map(mm, BASE, 3 * PAGE);
    touch(mm, BASE, 2 * PAGE, 9);
    assert.equal(doMprotect(mm, BASE, 3 * PAGE, PROT_NONE), 0);
    assert.equal(peek(mm, BASE), -EFAULT);
    assert.equal(doMprotect(mm, BASE, 3 * PAGE, PROT_READ), 0);
    assert.equal(peek(mm, BASE), 9);
    assert.equal(putUser32(mm, BASE, 1), -EFAULT);
    assert.equal(doMprotect(mm, BASE, 3 * PAGE, PROT_EXEC), 0);
    assert.equal(peek(mm, BASE), -EFAULT);
    assert.equal(doMprotect(mm, BASE, 3 * PAGE, RW), 0);
    assert.equal(putUser32(mm, BASE, 1), 0);
    assert.equal(mmRssPages(mm), 2);
    checkPageTables(mm.pgdat);
    mmput(mm);
  });

  it('gives a page of its own write access at once, and a shared one only by copying', () => {
    const pgdat = testPgData(8);
    const mm = testMm(pgdat, false);
    map(mm, BASE, 2 * PAGE);
    touch(mm, BASE, PAGE, 4);
    const child = dupMm(mm)!;
    touch(mm, BASE + PAGE, PAGE, 5);
    doMprotect(mm, BASE, 2 * PAGE, PROT_READ);
    doMprotect(mm, BASE, 2 * PAGE, RW);
    const faults = mm.minorFaults;
    putUser32(mm, BASE + PAGE, 6);
    assert.equal(mm.minorFaults, faults);
    putUser32(mm, BASE, 6);
    assert.equal(mm.minorFaults, faults + 1);
    assert.equal(peek(child, BASE), 4);
    checkPageTables(pgdat);
    mmput(mm);
    mmput(child);
  });

  it('makes a shared file page writable in place', () => {
    const pgdat = testPgData(8);
    const mm = testMm(pgdat);
    const file = shmemFileSetup(pgdat, 'file', PAGE);
    map(mm, BASE, PAGE, { file, flags: MAP_SHARED, prot: PROT_READ });
    map(mm, BASE + PAGE, PAGE, { file, prot: PROT_READ });
    assert.equal(peek(mm, BASE + PAGE), 0);
    assert.equal(peek(mm, BASE), 0);
    doMprotect(mm, BASE, 2 * PAGE, RW);
    putUser32(mm, BASE, 8);
    assert.equal(peek(mm, BASE + PAGE), 8, 'the private mapping still shows the file');
    putUser32(mm, BASE + PAGE, 9);
    assert.equal(peek(mm, BASE), 8);
    checkPageTables(pgdat);
    mmput(mm);
    file.putFile();
  });

  it('changes what lies before a hole and then fails', () => {
    const mm = testMm(testPgData(8));
    map(mm, BASE, PAGE);
    map(mm, BASE + 2 * PAGE, PAGE);
    assert.equal(doMprotect(mm, BASE, 3 * PAGE, PROT_READ), -ENOMEM);
    assert.equal(putUser32(mm, BASE, 1), -EFAULT);
    assert.equal(putUser32(mm, BASE + 2 * PAGE, 1), 0);
    assert.equal(doMprotect(mm, BASE + PAGE, PAGE, PROT_READ), -ENOMEM);
    mmput(mm);
  });

  it('reaches down to the start of a stack with PROT_GROWSDOWN', () => {
    const mm = testMm(testPgData(8));
    map(mm, BASE, 4 * PAGE, { flags: MAP_PRIVATE | MAP_GROWSDOWN });
    assert.equal(doMprotect(mm, BASE + 2 * PAGE, PAGE, PROT_READ | PROT_GROWSDOWN), 0);
    assert.equal(putUser32(mm, BASE, 1), -EFAULT);
    assert.equal(putUser32(mm, BASE + 3 * PAGE, 1), 0);
    mmput(mm);
  });

  it('copies locked private pages when they become writable', () => {
    const pgdat = testPgData(8);
    const mm = testMm(pgdat);
    const file = shmemFileSetup(pgdat, 'file', PAGE);
    map(mm, BASE, PAGE, { file, flags: MAP_PRIVATE | MAP_LOCKED, prot: PROT_READ });
    doMprotect(mm, BASE, PAGE, RW);
    const faults = mm.minorFaults;
    putUser32(mm, BASE, 1);
    assert.equal(mm.minorFaults, faults);
    mmput(mm);
    file.putFile();
  });

  it('changes nothing of a shared table when memory is out', () => {
    const pgdat = testPgData(8);
    const mm = testMm(pgdat);
    map(mm, BASE, 4 * PAGE);
    touch(mm, BASE, 4 * PAGE, 3);
    const child = dupMm(mm)!;
    pgdat.failAllocAfter = 1;
    assert.equal(doMprotect(child, BASE, PAGE, PROT_READ), -ENOMEM);
    assert.equal(pgdat.failAllocAfter, 0);
    assert.equal(child.vmas.size, 1);
    assert.equal(putUser32(child, BASE, 1), 0);
    assert.equal(doMprotect(child, BASE, PAGE, PROT_READ), 0);
    assert.equal(putUser32(mm, BASE, 5), 0);
    assert.equal(peek(child, BASE), 1);
    checkPageTables(pgdat);
    mmput(child);
    mmput(mm);
  });

  it('leaves a shared table shared when nothing in the range is mapped', () => {
    const pgdat = testPgData(8);
    const mm = testMm(pgdat);
    map(mm, BASE, 4 * PAGE);
    touch(mm, BASE, PAGE, 3);
    const child = dupMm(mm)!;
    assert.equal(doMprotect(child, BASE + 2 * PAGE, PAGE, PROT_READ), 0);
    assert.equal(pgdat.vmstat.cowBreakCopy[LEVEL_PTE], 0);
    assert.equal(putUser32(child, BASE + 2 * PAGE, 1), -EFAULT);
    assert.equal(peek(child, BASE + 2 * PAGE), 0);
    mmput(mm);
    mmput(child);
    checkPageTables(pgdat);
  });
});
