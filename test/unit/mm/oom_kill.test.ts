import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { userFault } from '../../../src/mm/fault.ts';
import { dupMm, mmput } from '../../../src/mm/fork.ts';
import { oomReapTaskMm } from '../../../src/mm/oom_kill.ts';
import { checkPageTables } from '../../../src/mm/page_table_check.ts';
import { mmRssPages } from '../../../src/mm/rss.ts';
import { shmemFileSetup } from '../../../src/mm/shmem.ts';
import { FAULT_FLAG_WRITE, VM_FAULT_SIGBUS } from '../../../src/mm/vm_fault.ts';
import { EFAULT } from '../../../src/uapi/errno.ts';
import { MAP_SHARED } from '../../../src/uapi/mman.ts';
import { BASE, map, PAGE, peek, PMD, testMm, testPgData, touch } from './harness.ts';

for (const cowPte of [true, false]) {
  describe(`oomReapTaskMm(), ${cowPte ? 'tables shared' : 'tables copied'}`, () => {
    it('takes private pages, keeps shared ones, and lets no fault make them anew', () => {
      const pgdat = testPgData(8);
      const mm = testMm(pgdat, cowPte);
      const file = shmemFileSetup(pgdat, 'file', PAGE);
      map(mm, BASE, 8 * PAGE);
      touch(mm, BASE, 8 * PAGE, 7);
      map(mm, BASE + PMD, PAGE, { file, flags: MAP_SHARED });
      touch(mm, BASE + PMD, PAGE, 8);
      map(mm, BASE + 2 * PMD, PAGE, { file });
      touch(mm, BASE + 2 * PMD, PAGE, 9);
      const parent = dupMm(mm)!;
      assert.equal(oomReapTaskMm(mm), true);
      assert.equal(mmRssPages(mm), 1);
      assert.equal(mm.hiwaterRss, 10);
      assert.equal(peek(mm, BASE), -EFAULT);
      assert.equal(peek(mm, BASE + PMD), 8, 'the shared page is still there');
      assert.equal(userFault(mm, BASE, FAULT_FLAG_WRITE), VM_FAULT_SIGBUS);
      assert.deepEqual([peek(parent, BASE), peek(parent, BASE + 2 * PMD)], [7, 9]);
      checkPageTables(pgdat);
      assert.equal(oomReapTaskMm(mm), true, 'again: nothing left');
      mmput(mm);
      checkPageTables(pgdat);
      mmput(parent);
      file.putFile();
    });
  });
}

describe('oomReapTaskMm()', () => {
  it('says so when a shared table cannot be left for want of memory', () => {
    const pgdat = testPgData(8);
    const mm = testMm(pgdat);
    const file = shmemFileSetup(pgdat, 'file', PAGE);
    map(mm, BASE, PAGE);
    touch(mm, BASE, PAGE, 7);
    // The same table maps a shared page, so it has to be broken.
    map(mm, BASE + PAGE, PAGE, { file, flags: MAP_SHARED });
    touch(mm, BASE + PAGE, PAGE, 8);
    const parent = dupMm(mm)!;
    pgdat.failAllocAfter = 1;
    assert.equal(oomReapTaskMm(mm), false);
    assert.equal(pgdat.failAllocAfter, 0);
    assert.equal(mmRssPages(mm), 2);
    checkPageTables(pgdat);
    assert.equal(oomReapTaskMm(mm), true);
    assert.equal(mmRssPages(mm), 1);
    checkPageTables(pgdat);
    mmput(mm);
    mmput(parent);
    file.putFile();
  });
});
