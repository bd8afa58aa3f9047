import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LEVEL_PTE } from '../../../src/arch/riscv/pgtable.ts';
import { dupMm, mmput } from '../../../src/mm/fork.ts';
import { doMlock, doMlockall, doMunlock, doMunlockall } from '../../../src/mm/mlock.ts';
import { doMmap, findVma } from '../../../src/mm/mmap.ts';
import { checkPageTables } from '../../../src/mm/page_table_check.ts';
import { mmRssPages } from '../../../src/mm/rss.ts';
import { VM_LOCKED, VM_LOCKONFAULT } from '../../../src/mm/vma.ts';
import { EAGAIN, EINVAL, ENOMEM, EPERM } from '../../../src/uapi/errno.ts';
import {
  MAP_ANONYMOUS,
  MAP_DROPPABLE,
  MAP_PRIVATE,
  MCL_CURRENT,
  MCL_FUTURE,
  MCL_ONFAULT,
  MLOCK_ONFAULT,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
} from '../../../src/uapi/mman.ts';
import { BASE, map, PAGE, testMm, testPgData, touch } from './harness.ts';

describe('doMlock()', () => {
  it('faults in and counts whole pages, and munlock undoes it', () => {
    const mm = testMm(testPgData(8));
    map(mm, BASE, 4 * PAGE);
    assert.equal(doMlock(mm, BASE + PAGE + 100, PAGE, 0), 0);
    assert.equal(mm.lockedVm, 2);
    assert.equal(mmRssPages(mm), 2);
    assert.equal(mm.vmas.size, 3);
    assert.equal(doMunlock(mm, BASE, 4 * PAGE), 0);
    assert.equal(mm.lockedVm, 0);
    assert.equal(mm.vmas.size, 1);
    assert.equal(mmRssPages(mm), 2);
    checkPageTables(mm.pgdat);
    mmput(mm);
  });

  it('leaves the faulting to the program with MLOCK_ONFAULT', () => {
    const mm = testMm(testPgData(8));
    map(mm, BASE, 2 * PAGE);
    assert.equal(doMlock(mm, BASE, 2 * PAGE, MLOCK_ONFAULT), 0);
    assert.equal(mm.lockedVm, 2);
    assert.equal(mmRssPages(mm), 0);
    assert.equal(doMlock(mm, BASE, PAGE, 2), -EINVAL);
    mmput(mm);
  });

  it('minds RLIMIT_MEMLOCK, not counting twice what is locked already', () => {
    const mm = testMm(testPgData(8));
    map(mm, BASE, 4 * PAGE);
    mm.limits.memlock = 2 * PAGE;
    assert.equal(doMlock(mm, BASE, 3 * PAGE, 0), -ENOMEM);
    assert.equal(doMlock(mm, BASE, 2 * PAGE, 0), 0);
    assert.equal(doMlock(mm, BASE, 2 * PAGE, 0), 0);
    assert.equal(doMlock(mm, BASE + 2 * PAGE, PAGE, 0), -ENOMEM);
    mm.limits.memlock = 0;
    assert.equal(doMlock(mm, BASE, PAGE, 0), -EPERM);
    assert.equal(doMlockall(mm, MCL_FUTURE), -EPERM);
    mmput(mm);
  });

  it('does not mind it with CAP_IPC_LOCK', () => {
    const mm = testMm(testPgData(8));
    map(mm, BASE, 4 * PAGE);
    mm.limits.memlock = 0;
    mm.ipcLock = true;
    assert.equal(doMlock(mm, BASE, 3 * PAGE, 0), 0);
    assert.equal(doMlockall(mm, MCL_CURRENT | MCL_FUTURE), 0);
    const child = dupMm(mm)!;
    assert.ok(child.ipcLock);
    mmput(child);
    mmput(mm);
  });

  it('tells ranges that wrap from those that reach too far', () => {
    const mm = testMm(testPgData(8));
    map(mm, BASE, 2 * PAGE);
    for (const call of [
      (len: number) => doMlock(mm, BASE, len, 0),
      (len: number) => doMunlock(mm, BASE, len),
    ]) {
      assert.equal(call(2 ** 64), 0, 'all ones, rounded up to nothing');
      assert.equal(call(2 ** 64 - BASE), -EINVAL);
      assert.equal(call(2 ** 60), -ENOMEM);
      assert.equal(call(0), 0);
    }
    assert.equal(doMlock(mm, 8, 8, 0), -ENOMEM);
    assert.equal(mm.lockedVm, 0);
    mmput(mm);
  });

  it('locks what lies before a hole, and what cannot be faulted in, but says so', () => {
    const pgdat = testPgData(8);
    const mm = testMm(pgdat);
    map(mm, BASE, PAGE);
    assert.equal(doMlock(mm, BASE, 2 * PAGE, 0), -ENOMEM);
    assert.equal(mm.lockedVm, 1);
    assert.equal(doMunlock(mm, BASE + PAGE, PAGE), -ENOMEM);
    map(mm, BASE + 4 * PAGE, PAGE, { prot: PROT_NONE });
    assert.equal(doMlock(mm, BASE + 4 * PAGE, PAGE, 0), -ENOMEM);
    assert.equal(mm.lockedVm, 2);
    map(mm, BASE + 8 * PAGE, PAGE);
    pgdat.failAllocAfter = 1;
    assert.equal(doMlock(mm, BASE + 8 * PAGE, PAGE, 0), -EAGAIN);
    pgdat.failAllocAfter = 0;
    mmput(mm);
  });

  it('does not lock droppable memory', () => {
    const mm = testMm(testPgData(8));
    const prot = PROT_READ | PROT_WRITE;
    const addr = doMmap(mm, 0, PAGE, prot, MAP_DROPPABLE | MAP_ANONYMOUS, null, 0);
    assert.equal(doMlock(mm, addr, PAGE, 0), 0);
    assert.equal(mm.lockedVm, 0);
    mmput(mm);
  });

  it('is not inherited by children, whose tables are then their own', () => {
    const pgdat = testPgData(8);
    const mm = testMm(pgdat);
    map(mm, BASE, 2 * PAGE);
    touch(mm, BASE, 2 * PAGE);
    doMlock(mm, BASE, PAGE, 0);
    const child = dupMm(mm)!;
    assert.equal(child.lockedVm, 0);
    assert.equal(child.unshareableVmas, 0);
    assert.equal(pgdat.vmstat.cowShared[LEVEL_PTE], 0);
    checkPageTables(pgdat);
    mmput(child);
    mmput(mm);
  });
});

describe('doMlockall()', () => {
  it('locks what is there and what comes', () => {
    const mm = testMm(testPgData(8));
    map(mm, BASE, 2 * PAGE);
    for (const flags of [0, 8, MCL_ONFAULT]) assert.equal(doMlockall(mm, flags), -EINVAL);
    assert.equal(doMlockall(mm, MCL_CURRENT | MCL_FUTURE), 0);
    assert.equal(mmRssPages(mm), 2);
    const addr = doMmap(mm, 0, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, null, 0);
    assert.equal(findVma(mm, addr)!.flags & VM_LOCKED, VM_LOCKED);
    assert.equal(mm.lockedVm, 3);
    assert.equal(doMunlockall(mm), 0);
    assert.equal(mm.lockedVm, 0);
    assert.equal(mm.defFlags, 0);
    mmput(mm);
  });

  it('leaves future mappings unlocked that cannot be locked', () => {
    const mm = testMm(testPgData(8));
    assert.equal(doMlockall(mm, MCL_CURRENT | MCL_FUTURE), 0);
    map(mm, BASE, 2 * PAGE, { flags: MAP_DROPPABLE });
    assert.equal(findVma(mm, BASE)!.flags & (VM_LOCKED | VM_LOCKONFAULT), 0);
    assert.equal(mm.lockedVm, 0);
    mmput(mm);
  });

  it('locks future mappings on fault only, and keeps to the limit', () => {
    const mm = testMm(testPgData(8));
    map(mm, BASE, 2 * PAGE);
    assert.equal(doMlockall(mm, MCL_FUTURE | MCL_ONFAULT), 0);
    assert.equal(mm.lockedVm, 0);
    const addr = doMmap(mm, 0, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, null, 0);
    assert.equal(findVma(mm, addr)!.flags & VM_LOCKONFAULT, VM_LOCKONFAULT);
    mm.limits.memlock = PAGE;
    assert.equal(doMlockall(mm, MCL_CURRENT), -ENOMEM);
    mmput(mm);
  });
});
