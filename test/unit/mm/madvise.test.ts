import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { vmaName } from '../../../src/fs/proc/vma_name.ts';
import { dupMm, mmput } from '../../../src/mm/fork.ts';
import {
  doMadvise,
  madviseSetAnonName,
  processMadviseValid,
  vectorMadvise,
} from '../../../src/mm/madvise.ts';
import { doMlock } from '../../../src/mm/mlock.ts';
import type { VmFile } from '../../../src/mm/mm_types.ts';
import { findVma } from '../../../src/mm/mmap.ts';
import { doMprotect } from '../../../src/mm/mprotect.ts';
import { checkPageTables } from '../../../src/mm/page_table_check.ts';
import { mmRssPages } from '../../../src/mm/rss.ts';
import { shmemFileSetup } from '../../../src/mm/shmem.ts';
import { putUser32 } from '../../../src/mm/uaccess.ts';
import { VM_HUGEPAGE, VM_NOHUGEPAGE, VM_RAND_READ, VM_SEQ_READ } from '../../../src/mm/vma.ts';
import { EACCES, EBADF, EFAULT, EINVAL, ENOMEM, EOPNOTSUPP } from '../../../src/uapi/errno.ts';
import {
  MADV_COLD,
  MADV_COLLAPSE,
  MADV_DODUMP,
  MADV_DOFORK,
  MADV_DONTFORK,
  MADV_DONTNEED,
  MADV_DONTNEED_LOCKED,
  MADV_FREE,
  MADV_HUGEPAGE,
  MADV_KEEPONFORK,
  MADV_MERGEABLE,
  MADV_NOHUGEPAGE,
  MADV_NORMAL,
  MADV_PAGEOUT,
  MADV_POPULATE_READ,
  MADV_POPULATE_WRITE,
  MADV_RANDOM,
  MADV_REMOVE,
  MADV_SEQUENTIAL,
  MADV_WILLNEED,
  MADV_WIPEONFORK,
  MAP_SHARED,
  PROT_NONE,
  PROT_READ,
} from '../../../src/uapi/mman.ts';
import { BASE, map, PAGE, peek, PMD, testMm, testPgData, touch } from './harness.ts';

/** The same file as a file system without holes would show it. */
function plainFile(file: VmFile): VmFile {
  const { mapping, dev, ino } = file;
  return { mapping, dev, ino, getFile() {}, putFile() {}, mapsName: () => '/plain' };
}

describe('doMadvise()', () => {
  it('refuses unknown advice and odd ranges, and passes over holes with an error', () => {
    const mm = testMm(testPgData(8));
    map(mm, BASE, PAGE);
    map(mm, BASE + 2 * PAGE, PAGE);
    touch(mm, BASE, PAGE, 5);
    touch(mm, BASE + 2 * PAGE, PAGE, 5);
    for (const advice of [MADV_MERGEABLE, MADV_COLLAPSE, 100, 999]) {
      assert.equal(doMadvise(mm, BASE, PAGE, advice), -EINVAL);
    }
    assert.equal(doMadvise(mm, BASE + 1, PAGE, MADV_NORMAL), -EINVAL);
    assert.equal(doMadvise(mm, BASE, 2 ** 60, MADV_NORMAL), -ENOMEM);
    assert.equal(doMadvise(mm, BASE, 2 ** 64 - BASE, MADV_NORMAL), -EINVAL);
    assert.equal(doMadvise(mm, BASE + PAGE, 0, MADV_NORMAL), 0);
    assert.equal(doMadvise(mm, BASE, 3 * PAGE, MADV_DONTNEED), -ENOMEM);
    assert.equal(peek(mm, BASE), 0);
    assert.equal(peek(mm, BASE + 2 * PAGE), 0);
    assert.equal(doMadvise(mm, BASE + 2 * PAGE, 2 * PAGE, MADV_WILLNEED), -ENOMEM);
    mmput(mm);
  });

  it('drops pages with MADV_DONTNEED, but not locked ones', () => {
    const pgdat = testPgData(8);
    const mm = testMm(pgdat);
    const file = shmemFileSetup(pgdat, 'file', 2 * PAGE);
    map(mm, BASE, 2 * PAGE);
    touch(mm, BASE, 2 * PAGE, 7);
    assert.equal(doMadvise(mm, BASE, PAGE, MADV_DONTNEED), 0);
    assert.equal(peek(mm, BASE), 0);
    assert.equal(peek(mm, BASE + PAGE), 7);
    map(mm, BASE + PMD, 2 * PAGE, { file });
    touch(mm, BASE + PMD, PAGE, 8);
    assert.equal(doMadvise(mm, BASE + PMD, PAGE, MADV_FREE), -EINVAL);
    assert.equal(doMadvise(mm, BASE + PMD, PAGE, MADV_DONTNEED), 0);
    assert.equal(peek(mm, BASE + PMD), 0, 'the file again');
    doMlock(mm, BASE + PAGE, PAGE, 0);
    touch(mm, BASE, PAGE, 9);
    assert.equal(doMadvise(mm, BASE, 2 * PAGE, MADV_DONTNEED), -EINVAL);
    assert.equal(peek(mm, BASE), 0, 'what came before is done');
    assert.equal(peek(mm, BASE + PAGE), 7);
    assert.equal(doMadvise(mm, BASE, PAGE, MADV_COLD), 0);
    assert.equal(doMadvise(mm, BASE + PAGE, PAGE, MADV_COLD), -EINVAL);
    assert.equal(doMadvise(mm, BASE + PAGE, PAGE, MADV_PAGEOUT), -EINVAL);
    assert.equal(doMadvise(mm, BASE + PAGE, PAGE, MADV_DONTNEED_LOCKED), 0);
    assert.equal(peek(mm, BASE + PAGE), 0);
    checkPageTables(pgdat);
    mmput(mm);
    file.putFile();
  });

  it('drops its pages of a shared table only for itself, or nothing when memory is out', () => {
    const pgdat = testPgData(8);
    const mm = testMm(pgdat);
    map(mm, BASE, 4 * PAGE);
    touch(mm, BASE, 4 * PAGE, 7);
    const child = dupMm(mm)!;
    pgdat.failAllocAfter = 1;
    assert.equal(doMadvise(child, BASE, PAGE, MADV_DONTNEED), -ENOMEM);
    pgdat.failAllocAfter = 0;
    assert.equal(peek(child, BASE), 7);
    assert.equal(doMadvise(child, BASE, PAGE, MADV_DONTNEED), 0);
    assert.equal(peek(child, BASE), 0);
    assert.equal(peek(child, BASE + PAGE), 7, 'the neighbours stay');
    assert.equal(peek(mm, BASE), 7);
    checkPageTables(pgdat);
    mmput(mm);
    mmput(child);
  });

  it('keeps memory from children with MADV_DONTFORK, also within a page table of theirs', () => {
    for (const cowPte of [true, false]) {
      const pgdat = testPgData(8);
      const mm = testMm(pgdat, cowPte);
      map(mm, BASE, 3 * PAGE);
      touch(mm, BASE, 3 * PAGE, 7);
      assert.equal(doMadvise(mm, BASE + PAGE, PAGE, MADV_DONTFORK), 0);
      assert.equal(mm.unshareableVmas, 1);
      const child = dupMm(mm)!;
      assert.equal(peek(child, BASE), 7);
      assert.equal(peek(child, BASE + PAGE), -EFAULT);
      assert.equal(peek(child, BASE + 2 * PAGE), 7);
      assert.equal(child.totalVm, 2);
      checkPageTables(pgdat);
      doMadvise(mm, BASE, 3 * PAGE, MADV_DOFORK);
      assert.equal(mm.unshareableVmas, 0);
      assert.equal(mm.vmas.size, 1);
      mmput(child);
      mmput(mm);
    }
  });

  it('gives children zeroes with MADV_WIPEONFORK, on private anonymous memory only', () => {
    for (const cowPte of [true, false]) {
      const pgdat = testPgData(8);
      const mm = testMm(pgdat, cowPte);
      map(mm, BASE, 3 * PAGE);
      map(mm, BASE + PMD, PAGE, { flags: MAP_SHARED });
      touch(mm, BASE, 3 * PAGE, 7);
      assert.equal(doMadvise(mm, BASE + PMD, PAGE, MADV_WIPEONFORK), -EINVAL);
      assert.equal(doMadvise(mm, BASE + PAGE, PAGE, MADV_WIPEONFORK), 0);
      const child = dupMm(mm)!;
      assert.equal(peek(child, BASE + PAGE), 0);
      assert.equal(peek(child, BASE), 7);
      assert.equal(peek(mm, BASE + PAGE), 7);
      doMadvise(mm, BASE, 3 * PAGE, MADV_KEEPONFORK);
      const second = dupMm(mm)!;
      assert.equal(peek(second, BASE + PAGE), 7);
      checkPageTables(pgdat);
      for (const each of [child, second, mm]) mmput(each);
    }
  });

  it('frees the file behind a shared mapping with MADV_REMOVE', () => {
    const pgdat = testPgData(8);
    const mm = testMm(pgdat);
    const file = shmemFileSetup(pgdat, 'file', 4 * PAGE);
    map(mm, BASE, 4 * PAGE, { file, flags: MAP_SHARED });
    map(mm, BASE + PMD, 2 * PAGE, { file, pgoff: 1 });
    touch(mm, BASE, 4 * PAGE, 6);
    putUser32(mm, BASE + PMD, 5);
    assert.equal(doMadvise(mm, BASE + PMD, PAGE, MADV_REMOVE), -EACCES);
    assert.equal(doMadvise(mm, BASE + PAGE, 2 * PAGE, MADV_REMOVE), 0);
    assert.equal(file.mapping.pages.size, 2);
    assert.equal(peek(mm, BASE + PAGE), 0);
    assert.equal(peek(mm, BASE + 3 * PAGE), 6);
    assert.equal(peek(mm, BASE + PMD), 5, 'a private copy stays');
    map(mm, BASE + 2 * PMD, PAGE);
    assert.equal(doMadvise(mm, BASE + 2 * PMD, PAGE, MADV_REMOVE), -EINVAL);
    map(mm, BASE + 2 * PMD, PAGE, { file: plainFile(file), flags: MAP_SHARED });
    assert.equal(doMadvise(mm, BASE + 2 * PMD, PAGE, MADV_REMOVE), -EOPNOTSUPP);
    checkPageTables(pgdat);
    mmput(mm);
    file.putFile();
  });

  it('faults pages in with MADV_POPULATE_READ and MADV_POPULATE_WRITE', () => {
    const pgdat = testPgData(8);
    const mm = testMm(pgdat);
    const file = shmemFileSetup(pgdat, 'file', PAGE);
    map(mm, BASE, 2 * PAGE);
    map(mm, BASE + 3 * PAGE, PAGE, { prot: PROT_READ });
    map(mm, BASE + PMD, 2 * PAGE, { file });
    assert.equal(doMadvise(mm, BASE, 2 * PAGE, MADV_POPULATE_READ), 0);
    assert.equal(mmRssPages(mm), 0, 'the zero page does not count');
    assert.equal(doMadvise(mm, BASE, 3 * PAGE, MADV_POPULATE_WRITE), -ENOMEM);
    assert.equal(mmRssPages(mm), 2);
    assert.equal(doMadvise(mm, BASE + 3 * PAGE, PAGE, MADV_POPULATE_WRITE), -EINVAL);
    assert.equal(doMadvise(mm, BASE + PMD, 2 * PAGE, MADV_POPULATE_WRITE), -EFAULT, 'past the end');
    doMprotect(mm, BASE + 3 * PAGE, PAGE, PROT_NONE);
    assert.equal(doMadvise(mm, BASE + 3 * PAGE, PAGE, MADV_POPULATE_READ), -EINVAL);
    mmput(mm);
    file.putFile();
  });

  it('keeps advice about access and huge pages as flags', () => {
    const mm = testMm(testPgData(8));
    map(mm, BASE, PAGE);
    const flags = () => findVma(mm, BASE)!.flags;
    const all = VM_RAND_READ | VM_SEQ_READ | VM_HUGEPAGE | VM_NOHUGEPAGE;
    doMadvise(mm, BASE, PAGE, MADV_RANDOM);
    doMadvise(mm, BASE, PAGE, MADV_HUGEPAGE);
    assert.equal(flags() & all, VM_RAND_READ | VM_HUGEPAGE);
    doMadvise(mm, BASE, PAGE, MADV_SEQUENTIAL);
    doMadvise(mm, BASE, PAGE, MADV_NOHUGEPAGE);
    assert.equal(flags() & all, VM_SEQ_READ | VM_NOHUGEPAGE);
    doMadvise(mm, BASE, PAGE, MADV_NORMAL);
    doMadvise(mm, BASE, PAGE, MADV_DODUMP);
    assert.equal(flags() & all, VM_NOHUGEPAGE);
    mmput(mm);
  });
});

describe('vectorMadvise()', () => {
  it('counts the bytes of segments done before one fails', () => {
    const pgdat = testPgData(8);
    const mm = testMm(pgdat);
    map(mm, BASE, 4 * PAGE);
    touch(mm, BASE, 4 * PAGE, 7);
    const vector = (...pairs: [number, number][]): number =>
      vectorMadvise(
        mm,
        pairs.map(([addr, len]) => ({ addr, len })),
        MADV_DONTNEED,
      );
    assert.equal(vector([BASE, PAGE], [BASE + 2 * PAGE, 100]), PAGE + 100, 'as asked, not rounded');
    assert.deepEqual(
      [0, 1, 2, 3].map((i) => peek(mm, BASE + i * PAGE)),
      [0, 7, 0, 7],
    );
    assert.equal(vector(), 0);
    assert.equal(vector([1, 0]), 0, 'nothing asked for is not looked at');
    assert.equal(vector([1, 0], [BASE, PAGE]), -EINVAL);
    assert.equal(vector([BASE, 0], [BASE + PAGE, PAGE]), PAGE);
    assert.equal(vector([BASE + 1, PAGE]), -EINVAL);
    assert.equal(vector([BASE + 4 * PAGE, PAGE]), -ENOMEM);
    assert.equal(vector([BASE + 3 * PAGE, PAGE], [BASE + 4 * PAGE, PAGE], [BASE, PAGE]), PAGE);
    assert.equal(vector([BASE + 3 * PAGE, 2 * PAGE]), -ENOMEM, 'a hole, the rest done');
    checkPageTables(pgdat);
    mmput(mm);
  });

  it("is for hints only where the memory is somebody else's", () => {
    for (const advice of [MADV_COLD, MADV_PAGEOUT, MADV_WILLNEED]) {
      assert.equal(processMadviseValid(advice, true), 0);
    }
    for (const advice of [MADV_DONTNEED, MADV_FREE, MADV_NORMAL, MADV_POPULATE_READ, -1, 999]) {
      assert.equal(processMadviseValid(advice, true), -EINVAL);
    }
    assert.equal(processMadviseValid(MADV_DONTNEED, false), 0);
    assert.equal(processMadviseValid(-1, false), -EINVAL);
  });
});

describe('madviseSetAnonName()', () => {
  it('names part of a mapping and keeps it apart from what has another name', () => {
    const pgdat = testPgData(8);
    const mm = testMm(pgdat);
    const file = shmemFileSetup(pgdat, 'file', PAGE);
    map(mm, BASE, 3 * PAGE);
    map(mm, BASE + PMD, PAGE, { file: plainFile(file) });
    assert.equal(madviseSetAnonName(mm, BASE + PAGE, PAGE, 'heap'), 0);
    assert.equal(mm.vmas.size, 4);
    assert.equal(findVma(mm, BASE + PAGE)!.anonName, 'heap');
    assert.equal(madviseSetAnonName(mm, BASE + PAGE, PAGE, null), 0);
    assert.equal(mm.vmas.size, 2);
    assert.equal(madviseSetAnonName(mm, BASE + PMD, PAGE, 'x'), -EBADF);
    assert.equal(madviseSetAnonName(mm, BASE, 4 * PAGE, 'x'), -ENOMEM);
    assert.equal(madviseSetAnonName(mm, BASE + 1, PAGE, 'x'), -EINVAL);
    map(mm, BASE + PMD, PAGE, { file, flags: MAP_SHARED });
    assert.equal(madviseSetAnonName(mm, BASE + PMD, PAGE, 'x'), 0, 'shared anonymous memory');
    assert.equal(vmaName(findVma(mm, BASE + PMD)!), '[anon_shmem:x]');
    mmput(mm);
    file.putFile();
  });
});
