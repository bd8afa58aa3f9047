import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { userFault } from '../../../src/mm/fault.ts';
import { dupMm, mmput } from '../../../src/mm/fork.ts';
import { UserfaultfdCtx, type MmStruct } from '../../../src/mm/mm_types.ts';
import { findVma } from '../../../src/mm/mmap.ts';
import { doMremap } from '../../../src/mm/mremap.ts';
import { doMprotect } from '../../../src/mm/mprotect.ts';
import { checkPageTables } from '../../../src/mm/page_table_check.ts';
import { putUser32 } from '../../../src/mm/uaccess.ts';
import {
  findUffdEvent,
  findUserfault,
  queueUserfault,
  uffdEventComplete,
  userfaultfdRelease,
  wakeUserfault,
} from '../../../src/mm/userfaultfd.ts';
import { mfillAtomic } from '../../../src/mm/userfaultfd_fill.ts';
import {
  userfaultfdRegister,
  userfaultfdUnregister,
} from '../../../src/mm/userfaultfd_register.ts';
import {
  FAULT_FLAG_USER,
  FAULT_FLAG_WRITE,
  VM_FAULT_RETRY,
  VM_FAULT_SIGBUS,
} from '../../../src/mm/vm_fault.ts';
import { VM_UFFD_MISSING } from '../../../src/mm/vma.ts';
import { EBUSY, EEXIST, EFAULT, EINVAL, ENOENT, ENOMEM } from '../../../src/uapi/errno.ts';
import {
  MAP_DROPPABLE,
  MAP_SHARED,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
  PROT_READ,
} from '../../../src/uapi/mman.ts';
import {
  UFFD_FEATURE_EVENT_FORK,
  UFFD_FEATURE_EVENT_REMAP,
  UFFD_FEATURE_SIGBUS,
  UFFD_PAGEFAULT_FLAG_WRITE,
} from '../../../src/uapi/userfaultfd.ts';
import { BASE, map, PAGE, peek, PMD, testMm, testPgData, touch } from './harness.ts';

function at(page: number): number {
  return BASE + page * PAGE;
}

/** VMAs as [first page, pages, registered]. */
function ranges(mm: MmStruct): (number | boolean)[][] {
  return [...mm.vmas].map((vma) => {
    assert.equal(vma.uffdCtx !== null, (vma.flags & VM_UFFD_MISSING) !== 0);
    return [(vma.start - BASE) / PAGE, (vma.end - vma.start) / PAGE, vma.uffdCtx !== null];
  });
}

function open(mm: MmStruct, features = 0): UserfaultfdCtx {
  const ctx = new UserfaultfdCtx(mm, false);
  ctx.features = features;
  ctx.initialized = true;
  return ctx;
}

/** A waiting access. */
class Sleeper {
  woken = false;

  wake(): void {
    this.woken = true;
  }
}

/** The program touches a page that is missing. */
function access(mm: MmStruct, page: number, flags = 0): Sleeper {
  const { pgdat } = mm;
  assert.equal(userFault(mm, at(page), flags | FAULT_FLAG_USER), VM_FAULT_RETRY);
  const sleeper = new Sleeper();
  pgdat.userfault!.queue.add(sleeper);
  queueUserfault(pgdat.userfault!, 7);
  return sleeper;
}

describe('userfaultfdRegister()', () => {
  it('splits mappings, and joins them again when they are unregistered', () => {
    const mm = testMm(testPgData(8));
    const ctx = open(mm);
    map(mm, at(0), 8 * PAGE);
    assert.equal(userfaultfdRegister(ctx, at(2), at(4)), 0);
    assert.equal(userfaultfdRegister(ctx, at(4), at(5)), 0);
    assert.deepEqual(ranges(mm), [
      [0, 2, false],
      [2, 3, true],
      [5, 3, false],
    ]);
    assert.equal(userfaultfdRegister(ctx, at(0), at(8)), 0);
    assert.deepEqual(ranges(mm), [[0, 8, true]]);
    assert.equal(userfaultfdUnregister(ctx, at(1), at(8)), 0);
    assert.deepEqual(ranges(mm), [
      [0, 1, true],
      [1, 7, false],
    ]);
    assert.equal(userfaultfdUnregister(ctx, at(0), at(8)), 0);
    assert.deepEqual(ranges(mm), [[0, 8, false]]);
    checkPageTables(mm.pgdat);
    mmput(mm);
  });

  it('refuses what it cannot serve, with nothing changed', () => {
    const mm = testMm(testPgData(8));
    const ctx = open(mm);
    map(mm, at(0), 2 * PAGE);
    map(mm, at(2), PAGE, { flags: MAP_DROPPABLE });
    assert.equal(userfaultfdRegister(ctx, at(8), at(9)), -EINVAL);
    assert.equal(userfaultfdRegister(ctx, at(0), at(3)), -EINVAL);
    assert.equal(userfaultfdUnregister(ctx, at(8), at(9)), -EINVAL);
    assert.equal(userfaultfdRegister(open(mm), at(0), at(1)), 0);
    assert.equal(userfaultfdRegister(ctx, at(0), at(2)), -EBUSY);
    assert.equal(userfaultfdUnregister(ctx, at(0), at(2)), -EINVAL);
    assert.deepEqual(ranges(mm), [
      [0, 1, true],
      [1, 1, false],
      [2, 1, false],
    ]);
    mmput(mm);
  });
});

describe('handleUserfault()', () => {
  it('lets an access wait, be told once, and be made again', () => {
    const mm = testMm(testPgData(8));
    const ctx = open(mm);
    map(mm, at(0), 4 * PAGE);
    touch(mm, at(0), PAGE);
    assert.equal(userfaultfdRegister(ctx, at(0), at(4)), 0);
    assert.equal(peek(mm, at(0)), 1, 'what is there needs nobody');
    const first = access(mm, 1);
    const second = access(mm, 2, FAULT_FLAG_WRITE);
    const told = findUserfault(ctx)!;
    assert.deepEqual([told.address, told.flags, told.ptid], [at(1), 0, 0]);
    told.read = true;
    const next = findUserfault(ctx)!;
    assert.deepEqual([next.address, next.flags], [at(2), UFFD_PAGEFAULT_FLAG_WRITE]);
    wakeUserfault(ctx, at(2), at(3));
    assert.deepEqual([first.woken, second.woken], [false, true]);
    assert.equal(findUserfault(ctx), undefined);
    userfaultfdRelease(ctx);
    assert.equal(first.woken, true);
    assert.equal(userFault(mm, at(1), FAULT_FLAG_USER), 0);
    assert.deepEqual(ranges(mm), [[0, 4, false]]);
    checkPageTables(mm.pgdat);
    mmput(mm);
  });

  it('forgets who has gone on by himself', () => {
    const mm = testMm(testPgData(8));
    const ctx = open(mm);
    map(mm, at(0), 2 * PAGE);
    assert.equal(userfaultfdRegister(ctx, at(0), at(2)), 0);
    const gone = access(mm, 0);
    ctx.faults[0]!.queue.remove(gone);
    assert.equal(findUserfault(ctx), undefined);
    access(mm, 1);
    assert.equal(ctx.faults.length, 1);
    mmput(mm);
  });

  it('is an error to the kernel, or to all, where that is asked for', () => {
    const mm = testMm(testPgData(8));
    const ctx = new UserfaultfdCtx(mm, true);
    map(mm, at(0), PAGE);
    assert.equal(userfaultfdRegister(ctx, at(0), at(1)), 0);
    assert.equal(userFault(mm, at(0), 0), VM_FAULT_SIGBUS);
    assert.equal(userFault(mm, at(0), FAULT_FLAG_USER), VM_FAULT_RETRY);
    assert.equal(putUser32(mm, at(0), 1), -EFAULT);
    ctx.features = UFFD_FEATURE_SIGBUS;
    assert.equal(userFault(mm, at(0), FAULT_FLAG_USER), VM_FAULT_SIGBUS);
    mmput(mm);
  });
});

describe('mfillAtomic()', () => {
  for (const [name, flags] of [
    ['private', undefined],
    ['shared', MAP_SHARED],
  ] as const) {
    it(`fills missing pages of ${name} memory`, () => {
      const mm = testMm(testPgData(8));
      const ctx = open(mm);
      map(mm, at(0), 4 * PAGE, flags === undefined ? {} : { flags });
      map(mm, at(8), 2 * PAGE);
      touch(mm, at(8), PAGE, 41);
      touch(mm, at(9), PAGE, 42);
      const source = { mm, addr: at(8) };
      assert.equal(mfillAtomic(ctx, at(0), PAGE, source), -ENOENT);
      assert.equal(userfaultfdRegister(ctx, at(0), at(4)), 0);
      assert.equal(mfillAtomic(ctx, at(1), 2 * PAGE, source), 2 * PAGE);
      assert.deepEqual([peek(mm, at(1)), peek(mm, at(2))], [41, 42]);
      assert.equal(mfillAtomic(ctx, at(0), 2 * PAGE, null), PAGE, 'up to the page that is there');
      assert.equal(mfillAtomic(ctx, at(0), PAGE, source), -EEXIST);
      assert.equal(peek(mm, at(0)), 0);
      assert.equal(mfillAtomic(ctx, at(3), PAGE, { mm, addr: at(20) }), -EFAULT);
      assert.equal(mfillAtomic(ctx, at(3), 2 * PAGE, source), -ENOENT);
      touch(mm, at(0), 3 * PAGE, 5);
      checkPageTables(mm.pgdat);
      mmput(mm);
      checkPageTables(mm.pgdat);
    });
  }

  it('leaves a page of a read-only mapping read-only', () => {
    const mm = testMm(testPgData(8));
    const ctx = open(mm);
    map(mm, at(0), PAGE);
    map(mm, at(4), PAGE);
    touch(mm, at(4), PAGE, 9);
    assert.equal(doMprotect(mm, at(0), PAGE, PROT_READ), 0);
    assert.equal(userfaultfdRegister(ctx, at(0), at(1)), 0);
    assert.equal(mfillAtomic(ctx, at(0), PAGE, { mm, addr: at(4) }), PAGE);
    assert.equal(putUser32(mm, at(0), 1), -EFAULT);
    assert.equal(peek(mm, at(0)), 9);
    mmput(mm);
  });

  it('makes a table that a child shares its own first', () => {
    const mm = testMm(testPgData(8));
    const ctx = open(mm);
    map(mm, at(0), 4 * PAGE);
    touch(mm, at(0), PAGE);
    assert.equal(userfaultfdRegister(ctx, at(0), at(4)), 0);
    const child = dupMm(mm)!;
    assert.equal(findVma(child, at(0))!.uffdCtx, null);
    assert.equal(mfillAtomic(ctx, at(1), PAGE, { mm, addr: at(0) }), PAGE);
    assert.deepEqual([peek(mm, at(1)), peek(child, at(1))], [1, 0]);
    checkPageTables(mm.pgdat);
    mmput(child);
    mmput(mm);
  });

  it('changes nothing whichever allocation fails', () => {
    for (let failing = 1; ; failing++) {
      const pgdat = testPgData(8);
      const mm = testMm(pgdat);
      const ctx = open(mm);
      map(mm, at(0), PAGE);
      map(mm, at(0) + PMD, PAGE);
      touch(mm, at(0) + PMD, PAGE, 3);
      assert.equal(userfaultfdRegister(ctx, at(0), at(1)), 0);
      const free = pgdat.freeFrames;
      pgdat.failAllocAfter = failing;
      const done = mfillAtomic(ctx, at(0), PAGE, { mm, addr: at(0) + PMD });
      const failed = pgdat.failAllocAfter === 0;
      pgdat.failAllocAfter = 0;
      checkPageTables(pgdat);
      if (!failed) {
        assert.equal(done, PAGE);
        assert.ok(failing > 2);
        return;
      }
      assert.equal(done, -ENOMEM);
      // A table that was made on the way may stay.
      assert.ok(pgdat.freeFrames >= free - 1);
      assert.equal(mfillAtomic(ctx, at(0), PAGE, { mm, addr: at(0) + PMD }), PAGE);
      mmput(mm);
      checkPageTables(pgdat);
    }
  });
});

describe('events', () => {
  it('of a fork give the child a userfaultfd of its own', () => {
    const mm = testMm(testPgData(8));
    const ctx = open(mm, UFFD_FEATURE_EVENT_FORK);
    map(mm, at(0), 2 * PAGE);
    map(mm, at(4), 2 * PAGE, { prot: PROT_READ });
    assert.equal(userfaultfdRegister(ctx, at(0), at(6)), 0);
    const child = dupMm(mm)!;
    const event = findUffdEvent(ctx)!;
    assert.equal(event.kind, 'fork');
    assert.deepEqual(mm.uffdEvents, [event]);
    for (const vma of child.vmas) assert.equal(vma.uffdCtx, event.child);
    assert.equal(event.child!.mm, child);
    uffdEventComplete(ctx, event);
    assert.equal(findUffdEvent(ctx), undefined);
    mmput(child);
    mmput(mm);
  });

  it('of a move keep it registered; without them it is not', () => {
    for (const features of [0, UFFD_FEATURE_EVENT_REMAP]) {
      const mm = testMm(testPgData(8));
      const ctx = open(mm, features);
      map(mm, at(0), 2 * PAGE);
      assert.equal(userfaultfdRegister(ctx, at(0), at(2)), 0);
      const flags = MREMAP_MAYMOVE | MREMAP_FIXED;
      assert.equal(doMremap(mm, at(0), 2 * PAGE, 2 * PAGE, flags, at(16)), at(16));
      assert.deepEqual(ranges(mm), [[16, 2, features !== 0]]);
      assert.equal(findUffdEvent(ctx)?.to, features === 0 ? undefined : at(16));
      mmput(mm);
    }
  });

  it('keep several mappings from moving at once', () => {
    const mm = testMm(testPgData(8));
    const ctx = open(mm);
    for (const page of [0, 2, 4]) map(mm, at(page), PAGE);
    assert.equal(userfaultfdRegister(ctx, at(2), at(3)), 0);
    const flags = MREMAP_MAYMOVE | MREMAP_FIXED;
    assert.equal(doMremap(mm, at(2), 3 * PAGE, 3 * PAGE, flags, at(32)), -EFAULT);
    assert.equal(doMremap(mm, at(0), 5 * PAGE, 5 * PAGE, flags, at(32)), -EFAULT);
    assert.deepEqual(ranges(mm), [
      [2, 1, true],
      [4, 1, false],
      [32, 1, false],
    ]);
    mmput(mm);
  });
});
