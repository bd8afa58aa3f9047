import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { doBrk } from '../../../src/mm/brk.ts';
import { dupMm, mmput } from '../../../src/mm/fork.ts';
import { doMadvise } from '../../../src/mm/madvise.ts';
import { doMlock, doMunlock } from '../../../src/mm/mlock.ts';
import { doMmap, doMunmap, findVma } from '../../../src/mm/mmap.ts';
import type { MmStruct } from '../../../src/mm/mm_types.ts';
import { doMprotect } from '../../../src/mm/mprotect.ts';
import { doMremap } from '../../../src/mm/mremap.ts';
import { doMseal } from '../../../src/mm/mseal.ts';
import { checkPageTables } from '../../../src/mm/page_table_check.ts';
import { shmemFileSetup } from '../../../src/mm/shmem.ts';
import { VM_SEALED } from '../../../src/mm/vma.ts';
import { EINVAL, ENOMEM, EPERM } from '../../../src/uapi/errno.ts';
import {
  MADV_COLD,
  MADV_DONTFORK,
  MADV_DONTNEED,
  MADV_DONTNEED_LOCKED,
  MADV_FREE,
  MADV_NORMAL,
  MADV_RANDOM,
  MADV_WILLNEED,
  MADV_WIPEONFORK,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  MREMAP_DONTUNMAP,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
} from '../../../src/uapi/mman.ts';
import { BASE, map, PAGE, peek, PMD, testMm, testPgData, touch } from './harness.ts';

/** Six written pages, the middle two sealed. */
function sealed(prot = PROT_READ | PROT_WRITE, cowPte = true): MmStruct {
  const mm = testMm(testPgData(8), cowPte);
  map(mm, BASE, 6 * PAGE);
  touch(mm, BASE, 6 * PAGE, 7);
  assert.equal(doMprotect(mm, BASE, 6 * PAGE, prot), 0);
  assert.equal(doMseal(mm, BASE + 2 * PAGE, 2 * PAGE), 0);
  return mm;
}

function values(mm: MmStruct): number[] {
  return [0, 1, 2, 3, 4, 5].map((i) => peek(mm, BASE + i * PAGE));
}

/** Nothing that any call tried has changed what is mapped, or its rights. */
function assertWhole(mm: MmStruct): void {
  assert.deepEqual(values(mm), [7, 7, 7, 7, 7, 7]);
  assert.equal(mm.totalVm, 6);
  checkPageTables(mm.pgdat);
  mmput(mm);
}

describe('doMseal()', () => {
  it('seals whole pages, again without error, and splits and merges as any flag does', () => {
    const mm = sealed();
    assert.equal(mm.vmas.size, 3);
    assert.equal(findVma(mm, BASE + 2 * PAGE)!.flags & VM_SEALED, VM_SEALED);
    assert.equal(doMseal(mm, BASE + 2 * PAGE, 2 * PAGE), 0);
    assert.equal(doMseal(mm, BASE, 1), 0, 'lengths are rounded up');
    assert.equal(mm.vmas.size, 4);
    assert.equal(doMseal(mm, BASE, 6 * PAGE), 0);
    assert.equal(mm.vmas.size, 1);
    assertWhole(mm);
  });

  it('refuses odd ranges and holes, and then seals nothing', () => {
    const mm = testMm(testPgData(8));
    map(mm, BASE, 2 * PAGE);
    map(mm, BASE + 3 * PAGE, PAGE);
    assert.equal(doMseal(mm, BASE + 1, PAGE), -EINVAL);
    assert.equal(doMseal(mm, BASE, 2 ** 64 - BASE), -EINVAL);
    assert.equal(doMseal(mm, BASE, 2 ** 64 - 1), -EINVAL);
    assert.equal(doMseal(mm, BASE, 2 ** 60), -ENOMEM);
    assert.equal(doMseal(mm, BASE, 4 * PAGE), -ENOMEM, 'a hole within');
    assert.equal(doMseal(mm, BASE - PAGE, 2 * PAGE), -ENOMEM, 'a hole before');
    assert.equal(doMseal(mm, BASE + 3 * PAGE, 2 * PAGE), -ENOMEM, 'a hole behind');
    assert.equal(doMseal(mm, BASE + 2 * PAGE, PAGE), -ENOMEM);
    assert.equal(doMseal(mm, BASE + 2 * PAGE, 0), 0);
    for (const vma of mm.vmas) assert.equal(vma.flags & VM_SEALED, 0);
    mmput(mm);
  });
});

describe('a sealed mapping', () => {
  it('cannot be unmapped, in part or with its neighbours', () => {
    const mm = sealed();
    for (const [first, pages] of [
      [0, 6],
      [2, 2],
      [3, 1],
      [0, 3],
      [3, 3],
    ] as const) {
      assert.equal(doMunmap(mm, BASE + first * PAGE, pages * PAGE), -EPERM, `${first}+${pages}`);
    }
    assertWhole(mm);
  });

  it('cannot be mapped over', () => {
    const mm = sealed();
    const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    for (const at of [0, 2, 3]) {
      const addr = BASE + at * PAGE;
      assert.equal(doMmap(mm, addr, 3 * PAGE, PROT_READ, flags, null, 0), -EPERM);
    }
    assertWhole(mm);
  });

  it('keeps its rights; what lies before it in the range has changed', () => {
    const mm = sealed();
    assert.equal(doMprotect(mm, BASE + 2 * PAGE, PAGE, PROT_READ), -EPERM);
    assert.equal(doMprotect(mm, BASE + 2 * PAGE, PAGE, PROT_READ | PROT_WRITE), -EPERM, 'its own');
    assert.equal(doMprotect(mm, BASE, 6 * PAGE, PROT_READ), -EPERM);
    assert.equal(doMprotect(mm, BASE, 2 * PAGE, PROT_READ), 0);
    assert.equal(doMprotect(mm, BASE + 4 * PAGE, 2 * PAGE, PROT_NONE), 0);
    assert.equal(doMprotect(mm, BASE + 4 * PAGE, 2 * PAGE, PROT_READ), 0);
    assertWhole(mm);
  });

  it('stays where it is and as large as it is', () => {
    const mm = sealed();
    const at = BASE + 2 * PAGE;
    const to = BASE + PMD;
    const fixed = MREMAP_MAYMOVE | MREMAP_FIXED;
    assert.equal(doMremap(mm, at, 2 * PAGE, 2 * PAGE, 0, 0), -EPERM, 'same size');
    assert.equal(doMremap(mm, at, 2 * PAGE, PAGE, 0, 0), -EPERM, 'shrink');
    assert.equal(doMremap(mm, at, 2 * PAGE, 4 * PAGE, MREMAP_MAYMOVE, 0), -EPERM, 'grow');
    assert.equal(doMremap(mm, at, 2 * PAGE, 2 * PAGE, fixed, to), -EPERM, 'move');
    const dontUnmap = MREMAP_MAYMOVE | MREMAP_DONTUNMAP;
    assert.equal(doMremap(mm, at, 2 * PAGE, 2 * PAGE, dontUnmap, 0), -EPERM);
    assertWhole(mm);
  });

  it('is not replaced by what moves to its place, nor cut off behind what shrinks', () => {
    const mm = sealed();
    const fixed = MREMAP_MAYMOVE | MREMAP_FIXED;
    assert.equal(doMremap(mm, BASE, PAGE, PAGE, fixed, BASE + 3 * PAGE), -EPERM);
    assert.equal(doMremap(mm, BASE, 4 * PAGE, PAGE, 0, 0), -EPERM);
    assert.equal(doMremap(mm, BASE, 4 * PAGE, PAGE, fixed, BASE + PMD), -EPERM);
    assertWhole(mm);
  });

  it('keeps its pages unless its process could write them away', () => {
    const discards = [MADV_DONTNEED, MADV_DONTNEED_LOCKED, MADV_FREE, MADV_DONTFORK];
    const readOnly = sealed(PROT_READ);
    for (const advice of [...discards, MADV_WIPEONFORK]) {
      assert.equal(doMadvise(readOnly, BASE + 2 * PAGE, PAGE, advice), -EPERM, String(advice));
    }
    for (const advice of [MADV_NORMAL, MADV_RANDOM, MADV_WILLNEED, MADV_COLD]) {
      assert.equal(doMadvise(readOnly, BASE + 2 * PAGE, PAGE, advice), 0, String(advice));
    }
    assert.equal(doMadvise(readOnly, BASE, 6 * PAGE, MADV_DONTNEED), -EPERM);
    assert.deepEqual(values(readOnly), [0, 0, 7, 7, 7, 7], 'what came before is done');
    mmput(readOnly);
    const writable = sealed();
    assert.equal(doMadvise(writable, BASE, 6 * PAGE, MADV_DONTNEED), 0);
    assert.deepEqual(values(writable), [0, 0, 0, 0, 0, 0]);
    mmput(writable);
  });

  it('gives back pages that a file has, whatever its rights', () => {
    const pgdat = testPgData(8);
    const mm = testMm(pgdat);
    const file = shmemFileSetup(pgdat, 'file', PAGE);
    map(mm, BASE, PAGE, { file });
    touch(mm, BASE, PAGE, 5);
    doMprotect(mm, BASE, PAGE, PROT_READ);
    doMseal(mm, BASE, PAGE);
    assert.equal(doMadvise(mm, BASE, PAGE, MADV_DONTNEED), 0);
    assert.equal(peek(mm, BASE), 0);
    mmput(mm);
    file.putFile();
  });

  it('can be locked and unlocked', () => {
    const mm = sealed();
    assert.equal(doMlock(mm, BASE, 6 * PAGE, 0), 0);
    assert.equal(doMunlock(mm, BASE, 6 * PAGE), 0);
    assertWhole(mm);
  });

  it('keeps the heap from shrinking', () => {
    const mm = testMm(testPgData(8));
    mm.startBrk = BASE;
    mm.brk = BASE;
    assert.equal(doBrk(mm, BASE + 4 * PAGE), BASE + 4 * PAGE);
    doMseal(mm, BASE + PAGE, PAGE);
    assert.equal(doBrk(mm, BASE + PAGE), BASE + 4 * PAGE);
    assert.equal(doBrk(mm, BASE + 2 * PAGE), BASE + 2 * PAGE);
    assert.equal(doBrk(mm, BASE + 6 * PAGE), BASE + 6 * PAGE, 'growing is no matter');
    mmput(mm);
  });

  for (const cowPte of [true, false]) {
    it(`is sealed in a child too, tables ${cowPte ? 'shared' : 'copied'}`, () => {
      const mm = sealed(PROT_READ | PROT_WRITE, cowPte);
      const child = dupMm(mm)!;
      assert.equal(doMunmap(child, BASE, 6 * PAGE), -EPERM);
      touch(child, BASE + 2 * PAGE, PAGE, 9);
      assert.equal(peek(mm, BASE + 2 * PAGE), 7);
      checkPageTables(mm.pgdat);
      mmput(child);
      assertWhole(mm);
    });
  }

  it('takes no memory to refuse', () => {
    const mm = sealed();
    const child = dupMm(mm)!;
    mm.pgdat.failAllocAfter = 1;
    assert.equal(doMunmap(mm, BASE, 6 * PAGE), -EPERM);
    const flags = MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED;
    assert.equal(doMmap(mm, BASE, 6 * PAGE, PROT_READ, flags, null, 0), -EPERM);
    assert.equal(mm.pgdat.failAllocAfter, 1);
    mm.pgdat.failAllocAfter = 0;
    mmput(child);
    assertWhole(mm);
  });
});
