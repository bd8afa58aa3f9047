import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LEVEL_PTE, LEVEL_PUD, TASK_SIZE } from '../../../src/arch/riscv/pgtable.ts';
import { userFault } from '../../../src/mm/fault.ts';
import { dupMm, mmput } from '../../../src/mm/fork.ts';
import { doMlock } from '../../../src/mm/mlock.ts';
import { type AddressSpace, FMODE_READ, type VmFile } from '../../../src/mm/mm_types.ts';
import { doMmap, doMunmap, findVma } from '../../../src/mm/mmap.ts';
import { STACK_GUARD_GAP } from '../../../src/mm/mmap_limits.ts';
import { doMprotect } from '../../../src/mm/mprotect.ts';
import { checkPageTables } from '../../../src/mm/page_table_check.ts';
import { RLIM_NONE } from '../../../src/mm/mm_struct.ts';
import { mmRssPages } from '../../../src/mm/rss.ts';
import { shmemFileSetup } from '../../../src/mm/shmem.ts';
import { putUser32 } from '../../../src/mm/uaccess.ts';
import { FAULT_FLAG_WRITE, VM_FAULT_SIGSEGV } from '../../../src/mm/vm_fault.ts';
import { VM_DROPPABLE, VM_WIPEONFORK } from '../../../src/mm/vma.ts';
import {
  EACCES,
  EAGAIN,
  EEXIST,
  EFAULT,
  EINVAL,
  ENODEV,
  ENOMEM,
  EOPNOTSUPP,
  EOVERFLOW,
  EPERM,
} from '../../../src/uapi/errno.ts';
import {
  MAP_ANONYMOUS,
  MAP_DROPPABLE,
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_GROWSDOWN,
  MAP_HUGETLB,
  MAP_LOCKED,
  MAP_NORESERVE,
  MAP_POPULATE,
  MAP_PRIVATE,
  MAP_SHARED,
  MAP_SHARED_VALIDATE,
  MAP_SYNC,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
} from '../../../src/uapi/mman.ts';
import { BASE, map, MIB, PAGE, peek, PMD, testMm, testPgData, touch } from './harness.ts';

const RW = PROT_READ | PROT_WRITE;
const ANON = MAP_PRIVATE | MAP_ANONYMOUS;

/** A file opened for reading only, over the pages of another. */
class ReadOnlyFile implements VmFile {
  readonly mapping: AddressSpace;
  readonly fMode = FMODE_READ;
  readonly dev = 1;
  readonly ino = 1;
  private readonly mmapResult: number;

  constructor(mapping: AddressSpace, mmapResult = 0) {
    this.mapping = mapping;
    this.mmapResult = mmapResult;
  }
  mmap(): number {
    return this.mmapResult;
  }
  getFile(): void {}
  putFile(): void {}
  mapsName(): string {
    return '/ro';
  }
}

describe('doMmap()', () => {
  it('refuses what Linux refuses', () => {
    const pgdat = testPgData(8);
    const mm = testMm(pgdat);
    const file = shmemFileSetup(pgdat, 'file', PAGE);
    const call = (
      addr: number,
      len: number,
      flags: number,
      prot = RW,
      f: VmFile | null = null,
      pgoff = 0,
    ) => doMmap(mm, addr, len, prot, flags, f, pgoff);
    assert.equal(call(0, 0, ANON), -EINVAL);
    assert.equal(call(0, 2 ** 60, ANON), -ENOMEM);
    assert.equal(call(0, TASK_SIZE, ANON, PROT_NONE), -ENOMEM);
    assert.equal(call(BASE + 1, PAGE, ANON | MAP_FIXED), -EINVAL);
    assert.equal(call(TASK_SIZE, PAGE, ANON | MAP_FIXED), -ENOMEM);
    assert.equal(call(0, PAGE, ANON | MAP_FIXED), -EPERM);
    assert.equal(call(0, PAGE, MAP_ANONYMOUS), -EINVAL);
    assert.equal(call(0, PAGE, MAP_SHARED | MAP_ANONYMOUS | MAP_GROWSDOWN), -EINVAL);
    assert.equal(call(0, PAGE, MAP_PRIVATE | MAP_GROWSDOWN, RW, file), -EINVAL);
    assert.equal(call(0, PAGE, MAP_SHARED_VALIDATE | MAP_SYNC, RW, file), -EOPNOTSUPP);
    assert.equal(call(0, PAGE, MAP_PRIVATE, RW, file, 2 ** 51), -EOVERFLOW);
    assert.equal(call(0, PAGE, ANON | MAP_HUGETLB), -ENOMEM);
    assert.equal(mm.vmas.size, 0);
    assert.equal(call(BASE, PAGE, ANON | MAP_FIXED), BASE);
    assert.equal(call(BASE, PAGE, ANON | MAP_FIXED_NOREPLACE), -EEXIST);
    mmput(mm);
    file.putFile();
  });

  it('grants a read-only file no shared writing, now or by mprotect later', () => {
    const pgdat = testPgData(8);
    const mm = testMm(pgdat);
    const backing = shmemFileSetup(pgdat, 'file', PAGE);
    const file = new ReadOnlyFile(backing.mapping);
    assert.equal(doMmap(mm, BASE, PAGE, RW, MAP_SHARED, file, 0), -EACCES);
    map(mm, BASE, PAGE, { file, flags: MAP_SHARED, prot: PROT_READ });
    assert.equal(doMprotect(mm, BASE, PAGE, RW), -EACCES);
    map(mm, BASE, PAGE, { file, prot: RW });
    assert.equal(
      doMmap(mm, BASE, PAGE, RW, MAP_PRIVATE, new ReadOnlyFile(backing.mapping, -ENODEV), 0),
      -ENODEV,
    );
    mmput(mm);
    backing.putFile();
    checkPageTables(pgdat);
  });

  it('places mappings from the top down, takes a free hint, and falls back to the bottom', () => {
    const mm = testMm(testPgData(8));
    mm.mmapBase = BASE + 8 * PAGE;
    const any = (len: number, hint = 0) => doMmap(mm, hint, len, PROT_NONE, ANON, null, 0);
    assert.equal(any(4 * PAGE), BASE + 4 * PAGE);
    assert.equal(any(2 * PAGE), BASE + 2 * PAGE);
    assert.equal(any(PAGE, BASE + 100), BASE);
    assert.equal(any(PAGE, BASE + 3 * PAGE), BASE + PAGE);
    assert.equal(any(PAGE, 5), BASE - PAGE, 'hints below mmap_min_addr are moved up to it');
    mm.mmapBase = 0x1_0000;
    const low = any(PAGE);
    assert.ok(low > 0x2000_0000_0000 && low < BASE);
    mmput(mm);
  });

  it('leaves the guard gap below a stack free', () => {
    const mm = testMm(testPgData(8));
    mm.mmapBase = BASE;
    map(mm, BASE - PAGE, PAGE, { flags: MAP_PRIVATE | MAP_GROWSDOWN });
    const addr = doMmap(mm, 0, PAGE, RW, ANON, null, 0);
    assert.equal(addr, BASE - 2 * PAGE - STACK_GUARD_GAP);
    const hinted = doMmap(mm, BASE - 8 * PAGE, PAGE, RW, ANON, null, 0);
    assert.ok(hinted < BASE - STACK_GUARD_GAP);
    mmput(mm);
  });

  it('replaces what a fixed mapping covers and keeps the rest', () => {
    const pgdat = testPgData(8);
    const mm = testMm(pgdat);
    map(mm, BASE, 8 * PAGE);
    touch(mm, BASE, 8 * PAGE, 7);
    map(mm, BASE + 2 * PAGE, 2 * PAGE, { prot: PROT_READ });
    assert.equal(peek(mm, BASE + PAGE), 7);
    assert.equal(peek(mm, BASE + 2 * PAGE), 0);
    assert.equal(peek(mm, BASE + 4 * PAGE), 7);
    assert.equal(mmRssPages(mm), 6);
    checkPageTables(pgdat);
    mmput(mm);
  });

  it('counts limits in pages and lets a replaced mapping make room', () => {
    const mm = testMm(testPgData(8));
    mm.limits.as = 10 * PAGE;
    mm.limits.data = 6 * PAGE;
    map(mm, BASE, 6 * PAGE);
    assert.equal(doMmap(mm, 0, PAGE, RW, ANON, null, 0), -ENOMEM, 'RLIMIT_DATA');
    map(mm, BASE + 6 * PAGE, 4 * PAGE, { prot: PROT_READ });
    assert.equal(doMmap(mm, 0, PAGE, PROT_NONE, ANON, null, 0), -ENOMEM, 'RLIMIT_AS');
    map(mm, BASE + PAGE, 5 * PAGE);
    mm.limits.as = RLIM_NONE;
    assert.equal(doMprotect(mm, BASE + 6 * PAGE, PAGE, RW), -ENOMEM, 'RLIMIT_DATA by mprotect');
    assert.equal(mm.totalVm, 10);
    assert.equal(mm.dataVm, 6);
    mmput(mm);
  });

  it('refuses more private memory than there is, unless no reserve is asked for', () => {
    const mm = testMm(testPgData(8));
    assert.equal(doMmap(mm, 0, 64 * MIB, RW, ANON, null, 0), -ENOMEM);
    assert.ok(doMmap(mm, 0, 64 * MIB, RW, ANON | MAP_NORESERVE, null, 0) > 0);
    const reserved = doMmap(mm, 0, 2 ** 40, PROT_NONE, ANON, null, 0);
    assert.ok(reserved > 0);
    assert.equal(doMprotect(mm, reserved, 64 * MIB, RW), -ENOMEM);
    mmput(mm);
  });

  it('faults in what is populated or locked, and minds RLIMIT_MEMLOCK', () => {
    const mm = testMm(testPgData(8));
    map(mm, BASE, 4 * PAGE, { flags: MAP_PRIVATE | MAP_POPULATE });
    assert.equal(mmRssPages(mm), 4);
    mm.limits.memlock = 2 * PAGE;
    map(mm, BASE + PMD, 2 * PAGE, { flags: MAP_PRIVATE | MAP_LOCKED });
    assert.equal(mmRssPages(mm), 6);
    assert.equal(mm.lockedVm, 2);
    assert.equal(mm.unshareableVmas, 1);
    assert.equal(doMmap(mm, 0, PAGE, RW, ANON | MAP_LOCKED, null, 0), -EAGAIN);
    mm.limits.memlock = 0;
    assert.equal(doMmap(mm, 0, PAGE, RW, ANON | MAP_LOCKED, null, 0), -EPERM);
    doMunmap(mm, BASE + PMD, PAGE);
    assert.equal(mm.lockedVm, 1);
    mmput(mm);
  });

  it('makes droppable memory that a child gets empty', () => {
    const mm = testMm(testPgData(8));
    const addr = doMmap(mm, BASE, PAGE, RW, MAP_DROPPABLE | MAP_ANONYMOUS, null, 0);
    assert.equal(addr, BASE);
    assert.equal(
      findVma(mm, BASE)!.flags & (VM_DROPPABLE | VM_WIPEONFORK),
      VM_DROPPABLE | VM_WIPEONFORK,
    );
    putUser32(mm, BASE, 5);
    const child = dupMm(mm)!;
    assert.equal(peek(child, BASE), 0);
    mmput(child);
    mmput(mm);
  });

  it('shares anonymous memory with children', () => {
    const pgdat = testPgData(8);
    const free = pgdat.freeFrames;
    const mm = testMm(pgdat);
    map(mm, BASE, 2 * PAGE, { flags: MAP_SHARED });
    const child = dupMm(mm)!;
    putUser32(child, BASE, 11);
    putUser32(mm, BASE + PAGE, 12);
    assert.equal(peek(mm, BASE), 11);
    assert.equal(peek(child, BASE + PAGE), 12);
    mmput(mm);
    assert.equal(peek(child, BASE), 11);
    mmput(child);
    assert.equal(pgdat.freeFrames, free);
  });
});

describe('doMunmap()', () => {
  it('takes whole pages, allows holes, and refuses odd ranges', () => {
    const pgdat = testPgData(8);
    const mm = testMm(pgdat);
    assert.equal(doMunmap(mm, BASE + 1, PAGE), -EINVAL);
    assert.equal(doMunmap(mm, BASE, 0), -EINVAL);
    assert.equal(doMunmap(mm, TASK_SIZE - PAGE, 2 * PAGE), -EINVAL);
    map(mm, BASE, PAGE);
    map(mm, BASE + 4 * PAGE, PAGE);
    touch(mm, BASE, PAGE);
    assert.equal(doMunmap(mm, BASE - 10 * PAGE, 20 * PAGE - 1), 0);
    assert.equal(mm.vmas.size, 0);
    assert.equal(pgdat.pageTables, 1, 'emptied tables are freed');
    mmput(mm);
  });

  it('remembers about how much was resident before', () => {
    const mm = testMm(testPgData(8));
    map(mm, BASE, 512 * PAGE);
    touch(mm, BASE, 512 * PAGE);
    for (let i = 0; i < 512; i += 8) doMunmap(mm, BASE + i * PAGE, 8 * PAGE);
    assert.ok(mm.hiwaterRss >= 512 * (7 / 8) && mm.hiwaterRss <= 512);
    mmput(mm);
  });

  it('changes nothing when a shared table cannot be made private', () => {
    const pgdat = testPgData(16);
    const mm = testMm(pgdat);
    map(mm, BASE - 8 * PAGE, 16 * PAGE);
    touch(mm, BASE - 8 * PAGE, 16 * PAGE, 3);
    const child = dupMm(mm)!;
    // Two tables are covered in part: either break may fail.
    for (const failAt of [1, 2]) {
      pgdat.failAllocAfter = failAt;
      assert.equal(doMunmap(mm, BASE - 4 * PAGE, 8 * PAGE), -ENOMEM);
      pgdat.failAllocAfter = 0;
      assert.equal(mm.vmas.size, 1);
      assert.equal(peek(mm, BASE), 3);
      checkPageTables(pgdat);
      // The first break is done now and stays.
    }
    assert.equal(doMunmap(mm, BASE - 4 * PAGE, 8 * PAGE), 0);
    assert.equal(peek(child, BASE), 3);
    assert.equal(peek(mm, BASE), -EFAULT);
    mmput(mm);
    mmput(child);
    checkPageTables(pgdat);
  });

  it('drops a shared table whole when nothing of it stays mapped', () => {
    const pgdat = testPgData(16);
    const mm = testMm(pgdat);
    map(mm, BASE, 4 * PAGE);
    map(mm, BASE + 6 * PAGE, 2 * PAGE, { prot: PROT_READ });
    touch(mm, BASE, 4 * PAGE, 3);
    const child = dupMm(mm)!;
    const frames = pgdat.freeFrames;
    assert.equal(doMunmap(child, BASE, PMD), 0);
    assert.equal(pgdat.vmstat.cowDrop[LEVEL_PUD], 1);
    assert.equal(pgdat.vmstat.cowBreakCopy[LEVEL_PTE], 0);
    assert.ok(pgdat.freeFrames >= frames);
    mmput(child);
    mmput(mm);
  });
});

describe('expandStack()', () => {
  it('grows by a fault below the stack, up to RLIMIT_STACK', () => {
    const mm = testMm(testPgData(8));
    mm.limits.stack = 16 * PAGE;
    map(mm, BASE, PAGE, { flags: MAP_PRIVATE | MAP_GROWSDOWN });
    assert.equal(userFault(mm, BASE - 14 * PAGE - 8, FAULT_FLAG_WRITE), 0);
    assert.equal(findVma(mm, BASE)!.start, BASE - 15 * PAGE);
    assert.equal(mm.stackVm, 16);
    assert.equal(userFault(mm, BASE - 16 * PAGE, FAULT_FLAG_WRITE), VM_FAULT_SIGSEGV);
    assert.equal(mmRssPages(mm), 1);
    checkPageTables(mm.pgdat);
    mmput(mm);
  });

  it('stops short of an accessible mapping below by the guard gap', () => {
    const mm = testMm(testPgData(8));
    map(mm, BASE, PAGE, { flags: MAP_PRIVATE | MAP_GROWSDOWN });
    const below = BASE - STACK_GUARD_GAP - 4 * PAGE;
    map(mm, below, PAGE);
    assert.equal(userFault(mm, BASE - 3 * PAGE, FAULT_FLAG_WRITE), 0);
    assert.equal(userFault(mm, BASE - 4 * PAGE, FAULT_FLAG_WRITE), VM_FAULT_SIGSEGV);
    doMprotect(mm, below, PAGE, PROT_NONE);
    assert.equal(
      userFault(mm, BASE - 4 * PAGE, FAULT_FLAG_WRITE),
      0,
      'an inaccessible one is a guard itself',
    );
    mmput(mm);
  });

  it('faults in only what is touched, even of a locked stack', () => {
    const mm = testMm(testPgData(8));
    map(mm, BASE, PAGE, { flags: MAP_PRIVATE | MAP_GROWSDOWN });
    doMlock(mm, BASE, PAGE, 0);
    assert.equal(userFault(mm, BASE - 4 * PAGE, FAULT_FLAG_WRITE), 0);
    assert.equal(mm.lockedVm, 5);
    assert.equal(mmRssPages(mm), 2);
    mmput(mm);
  });

  it('does not grow other mappings', () => {
    const mm = testMm(testPgData(8));
    map(mm, BASE, PAGE);
    assert.equal(userFault(mm, BASE - 8, FAULT_FLAG_WRITE), VM_FAULT_SIGSEGV);
    mmput(mm);
  });
});
