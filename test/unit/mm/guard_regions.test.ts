import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { userFault } from '../../../src/mm/fault.ts';
import { dupMm, mmput } from '../../../src/mm/fork.ts';
import { doMadvise } from '../../../src/mm/madvise.ts';
import { doMincore } from '../../../src/mm/mincore.ts';
import { doMlock } from '../../../src/mm/mlock.ts';
import { doMunmap, findVma } from '../../../src/mm/mmap.ts';
import type { MmStruct } from '../../../src/mm/mm_types.ts';
import { doMprotect } from '../../../src/mm/mprotect.ts';
import { doMremap } from '../../../src/mm/mremap.ts';
import { checkPageTables } from '../../../src/mm/page_table_check.ts';
import { mmRssPages } from '../../../src/mm/rss.ts';
import { shmemFileSetup } from '../../../src/mm/shmem.ts';
import { truncateInodePages, truncatePagecacheRange } from '../../../src/mm/truncate.ts';
import { copyFromUser } from '../../../src/mm/uaccess.ts';
import { FAULT_FLAG_WRITE, VM_FAULT_SIGSEGV } from '../../../src/mm/vm_fault.ts';
import { VM_IO, VM_MAYBE_GUARD } from '../../../src/mm/vma.ts';
import { vmaSetFlags } from '../../../src/mm/vma_link.ts';
import { EFAULT, EINVAL, ENOMEM, EPERM } from '../../../src/uapi/errno.ts';
import {
  MADV_COLD,
  MADV_DONTFORK,
  MADV_DONTNEED,
  MADV_DONTNEED_LOCKED,
  MADV_FREE,
  MADV_GUARD_INSTALL,
  MADV_GUARD_REMOVE,
  MADV_PAGEOUT,
  MADV_POPULATE_READ,
  MADV_POPULATE_WRITE,
  MADV_WIPEONFORK,
  MAP_SHARED,
  MREMAP_DONTUNMAP,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
} from '../../../src/uapi/mman.ts';
import { doMseal } from '../../../src/mm/mseal.ts';
import { BASE, map, PAGE, peek, PMD, testMm, testPgData, touch } from './harness.ts';

/** Six written pages, all 7. */
function written(cowPte = true): MmStruct {
  const mm = testMm(testPgData(8), cowPte);
  map(mm, BASE, 6 * PAGE);
  touch(mm, BASE, 6 * PAGE, 7);
  return mm;
}

/** What a read of each page gives; 'G' where it faults. */
function pages(mm: MmStruct, base = BASE, count = 6): string {
  let text = '';
  for (let i = 0; i < count; i++) {
    const value = peek(mm, base + i * PAGE);
    text += value === -EFAULT ? 'G' : value;
  }
  return text;
}

function install(mm: MmStruct, first: number, count: number): number {
  return doMadvise(mm, BASE + first * PAGE, count * PAGE, MADV_GUARD_INSTALL);
}

function remove(mm: MmStruct, first: number, count: number): number {
  return doMadvise(mm, BASE + first * PAGE, count * PAGE, MADV_GUARD_REMOVE);
}

describe('MADV_GUARD_INSTALL', () => {
  it('drops pages and makes any touch of them fault', () => {
    const mm = written();
    assert.equal(install(mm, 1, 2), 0);
    assert.equal(pages(mm), '7GG777');
    assert.equal(mmRssPages(mm), 4);
    for (const flags of [0, FAULT_FLAG_WRITE]) {
      assert.equal(userFault(mm, BASE + PAGE + 8, flags), VM_FAULT_SIGSEGV);
    }
    assert.equal(mm.vmas.size, 1, 'no VMA of its own');
    assert.equal(install(mm, 0, 3), 0, 'over guards');
    assert.equal(pages(mm), 'GGG777');
    checkPageTables(mm.pgdat);
    mmput(mm);
    checkPageTables(mm.pgdat);
  });

  it('needs no page to be there, nor a page table', () => {
    const mm = testMm(testPgData(8));
    map(mm, BASE, 3 * PMD);
    assert.equal(doMadvise(mm, BASE + PMD - PAGE, PMD + 2 * PAGE, MADV_GUARD_INSTALL), 0);
    assert.equal(peek(mm, BASE + PMD - 2 * PAGE), 0);
    for (const at of [PMD - PAGE, PMD, 2 * PMD - PAGE, 2 * PMD]) {
      assert.equal(peek(mm, BASE + at), -EFAULT);
    }
    assert.equal(peek(mm, BASE + 2 * PMD + PAGE), 0);
    checkPageTables(mm.pgdat);
    mmput(mm);
  });

  it('is for memory that is not locked, sealed and read-only, or special', () => {
    const mm = written();
    doMlock(mm, BASE + PAGE, PAGE, 0);
    assert.equal(install(mm, 0, 3), -EINVAL);
    assert.equal(pages(mm), 'G77777', 'what came before is done');
    assert.equal(remove(mm, 0, 3), 0, 'locked memory may lose guards');
    vmaSetFlags(findVma(mm, BASE + 4 * PAGE)!, findVma(mm, BASE + 4 * PAGE)!.flags | VM_IO);
    assert.equal(install(mm, 4, 1), -EINVAL);
    assert.equal(remove(mm, 4, 1), -EINVAL);
    const sealed = written();
    doMprotect(sealed, BASE, 6 * PAGE, PROT_READ);
    doMseal(sealed, BASE, PAGE);
    assert.equal(install(sealed, 0, 2), -EPERM);
    assert.equal(install(sealed, 1, 1), 0);
    assert.equal(doMadvise(mm, BASE + 1, PAGE, MADV_GUARD_INSTALL), -EINVAL);
    assert.equal(doMadvise(mm, BASE, 2 ** 64 - BASE, MADV_GUARD_REMOVE), -EINVAL);
    assert.equal(doMadvise(mm, BASE + 6 * PAGE, PAGE, MADV_GUARD_INSTALL), -ENOMEM);
    assert.equal(doMadvise(mm, BASE, 0, MADV_GUARD_INSTALL), 0);
    mmput(mm);
    mmput(sealed);
  });

  it('has changed nothing when memory is out', () => {
    for (let n = 1; ; n++) {
      const pgdat = testPgData(8);
      const mm = testMm(pgdat);
      map(mm, BASE, 3 * PMD);
      touch(mm, BASE, PAGE, 7);
      const child = dupMm(mm)!;
      pgdat.failAllocAfter = n;
      const err = doMadvise(child, BASE, 3 * PMD, MADV_GUARD_INSTALL);
      const failed = pgdat.failAllocAfter === 0;
      pgdat.failAllocAfter = 0;
      assert.equal(err, failed ? -ENOMEM : 0, `allocation ${n}`);
      assert.equal(peek(child, BASE), failed ? 7 : -EFAULT);
      assert.equal(peek(child, BASE + 2 * PMD), failed ? 0 : -EFAULT);
      assert.equal(peek(mm, BASE), 7);
      checkPageTables(pgdat);
      mmput(child);
      mmput(mm);
      checkPageTables(pgdat);
      if (!failed) {
        assert.ok(n > 4, 'tables were allocated');
        break;
      }
    }
  });
});

/** Two mappings of a table each, fork's copy of them, and a guard in each when `guards`. */
function twoMappings(guards: boolean): { mm: MmStruct; child: MmStruct } {
  const mm = testMm(testPgData(8));
  map(mm, BASE, PMD);
  map(mm, BASE + PMD, PMD);
  for (const at of [0, PMD]) touch(mm, BASE + at, 2 * PAGE, 7);
  doMprotect(mm, BASE + PMD, PMD, PROT_READ);
  if (guards) for (const at of [0, PMD]) doMadvise(mm, BASE + at, PAGE, MADV_GUARD_INSTALL);
  return { mm, child: dupMm(mm)! };
}

for (const advice of [MADV_GUARD_INSTALL, MADV_GUARD_REMOVE]) {
  const name = advice === MADV_GUARD_INSTALL ? 'MADV_GUARD_INSTALL' : 'MADV_GUARD_REMOVE';
  it(`${name} over two mappings changes neither when memory is out`, () => {
    const before = advice === MADV_GUARD_INSTALL ? '77' : 'G7';
    const after = advice === MADV_GUARD_INSTALL ? 'GG' : '07';
    for (let n = 1; ; n++) {
      const { mm, child } = twoMappings(advice === MADV_GUARD_REMOVE);
      mm.pgdat.failAllocAfter = n;
      const err = doMadvise(child, BASE, 2 * PMD, advice);
      const failed = mm.pgdat.failAllocAfter === 0;
      mm.pgdat.failAllocAfter = 0;
      assert.equal(err, failed ? -ENOMEM : 0, `allocation ${n}`);
      for (const at of [0, PMD]) {
        assert.equal(pages(child, BASE + at, 2), failed ? before : after);
        assert.equal(pages(mm, BASE + at, 2), before);
      }
      checkPageTables(mm.pgdat);
      mmput(child);
      mmput(mm);
      checkPageTables(mm.pgdat);
      if (!failed) {
        assert.ok(n > 2, 'a table for each');
        break;
      }
    }
  });
}

describe('MADV_GUARD_REMOVE', () => {
  it('takes guards away and leaves pages alone', () => {
    const mm = written();
    install(mm, 2, 2);
    assert.equal(remove(mm, 0, 6), 0);
    assert.equal(pages(mm), '770077');
    assert.equal(remove(mm, 0, 6), 0, 'none left');
    const other = written();
    assert.equal(remove(other, 0, 6), 0, 'never any');
    assert.equal(pages(other), '777777');
    checkPageTables(mm.pgdat);
    mmput(mm);
    mmput(other);
  });

  it('does so for one of two that share the table, or for none when memory is out', () => {
    const mm = written();
    install(mm, 2, 2);
    const child = dupMm(mm)!;
    mm.pgdat.failAllocAfter = 1;
    assert.equal(remove(child, 2, 2), -ENOMEM);
    mm.pgdat.failAllocAfter = 0;
    assert.equal(pages(child), '77GG77');
    assert.equal(remove(child, 2, 1), 0);
    assert.equal(pages(child), '770G77');
    assert.equal(pages(mm), '77GG77');
    checkPageTables(mm.pgdat);
    mmput(mm);
    assert.equal(remove(child, 2, 2), 0);
    checkPageTables(child.pgdat);
    mmput(child);
  });
});

for (const cowPte of [true, false]) {
  describe(`guards, page tables ${cowPte ? 'shared' : 'copied'} by fork`, () => {
    it('are inherited and then each process has its own', () => {
      const mm = written(cowPte);
      install(mm, 1, 1);
      const child = dupMm(mm)!;
      assert.equal(pages(child), '7G7777');
      touch(child, BASE, PAGE, 8);
      assert.equal(install(child, 4, 1), 0);
      assert.equal(remove(mm, 1, 1), 0);
      assert.deepEqual([pages(mm), pages(child)], ['707777', '8G77G7']);
      const grandchild = dupMm(child)!;
      assert.equal(pages(grandchild), '8G77G7');
      checkPageTables(mm.pgdat);
      for (const each of [mm, child, grandchild]) mmput(each);
      checkPageTables(mm.pgdat);
    });

    it('are inherited over file mappings that fork need not copy', () => {
      const pgdat = testPgData(8);
      const mm = testMm(pgdat, cowPte);
      const file = shmemFileSetup(pgdat, 'file', 4 * PAGE);
      map(mm, BASE, 4 * PAGE, { file, flags: MAP_SHARED });
      touch(mm, BASE, 4 * PAGE, 6);
      install(mm, 1, 1);
      assert.equal(file.mapping.pages.size, 4, 'the file keeps its page');
      const child = dupMm(mm)!;
      assert.equal(pages(child, BASE, 4), '6G66');
      remove(child, 1, 1);
      assert.equal(pages(child, BASE, 4), '6666');
      assert.equal(pages(mm, BASE, 4), '6G66');
      checkPageTables(pgdat);
      mmput(mm);
      mmput(child);
      file.putFile();
    });

    it('stay behind with MADV_WIPEONFORK and MADV_DONTFORK', () => {
      const mm = written(cowPte);
      install(mm, 1, 2);
      doMadvise(mm, BASE + PAGE, PAGE, MADV_WIPEONFORK);
      doMadvise(mm, BASE + 2 * PAGE, PAGE, MADV_DONTFORK);
      const child = dupMm(mm)!;
      assert.equal(pages(child), '70G777');
      assert.equal(child.totalVm, 5);
      assert.equal(pages(mm), '7GG777');
      checkPageTables(mm.pgdat);
      mmput(mm);
      mmput(child);
    });

    it('outlive MADV_DONTNEED, in whole tables as in part of one', () => {
      const mm = written(cowPte);
      install(mm, 1, 1);
      const child = dupMm(mm)!;
      assert.equal(doMadvise(child, BASE, 6 * PAGE, MADV_DONTNEED), 0);
      assert.equal(pages(child), '0G0000');
      assert.equal(pages(mm), '7G7777');
      assert.equal(doMadvise(mm, BASE, 2 * PAGE, MADV_DONTNEED_LOCKED), 0);
      assert.equal(pages(mm), '0G7777');
      checkPageTables(mm.pgdat);
      mmput(mm);
      mmput(child);
    });

    it('end with the mapping', () => {
      const mm = written(cowPte);
      install(mm, 0, 6);
      const child = dupMm(mm)!;
      map(child, BASE + PAGE, 2 * PAGE);
      assert.equal(pages(child), 'G00GGG');
      doMunmap(child, BASE, 6 * PAGE);
      map(child, BASE, 6 * PAGE);
      assert.equal(pages(child), '000000');
      assert.equal(pages(mm), 'GGGGGG');
      checkPageTables(mm.pgdat);
      mmput(mm);
      mmput(child);
      checkPageTables(mm.pgdat);
    });

    it('move with the mapping, entry by entry and table by table', () => {
      const mm = written(cowPte);
      install(mm, 1, 1);
      const child = dupMm(mm)!;
      const fixed = MREMAP_MAYMOVE | MREMAP_FIXED;
      const to = BASE + 4 * PMD + PAGE;
      assert.equal(doMremap(child, BASE, 6 * PAGE, 6 * PAGE, fixed, to), to);
      assert.equal(pages(child, to), '7G7777');
      assert.equal(pages(mm), '7G7777');
      map(mm, BASE + 8 * PMD, PMD);
      doMadvise(mm, BASE + 8 * PMD + PAGE, PAGE, MADV_GUARD_INSTALL);
      const second = dupMm(mm)!;
      const move = MREMAP_MAYMOVE | MREMAP_DONTUNMAP;
      const at = doMremap(second, BASE + 8 * PMD, PMD, PMD, move, BASE + 16 * PMD);
      assert.equal(pages(second, at, 3), '0G0');
      assert.equal(pages(second, BASE + 8 * PMD, 3), '000', 'none stay behind');
      assert.equal(pages(mm, BASE + 8 * PMD, 3), '0G0');
      checkPageTables(mm.pgdat);
      for (const each of [mm, child, second]) mmput(each);
    });
  });
}

describe('guards', () => {
  it('keep through changes of rights', () => {
    const mm = written();
    install(mm, 1, 1);
    doMprotect(mm, BASE, 6 * PAGE, PROT_NONE);
    doMprotect(mm, BASE, 6 * PAGE, PROT_READ | PROT_WRITE);
    assert.equal(pages(mm), '7G7777');
    checkPageTables(mm.pgdat);
    mmput(mm);
  });

  it('are passed over by MADV_FREE, MADV_COLD and MADV_PAGEOUT', () => {
    const mm = written();
    install(mm, 1, 1);
    for (const advice of [MADV_FREE, MADV_COLD, MADV_PAGEOUT]) {
      assert.equal(doMadvise(mm, BASE, 6 * PAGE, advice), 0);
    }
    assert.equal(peek(mm, BASE + PAGE), -EFAULT);
    checkPageTables(mm.pgdat);
    mmput(mm);
  });

  it('stop MADV_POPULATE_*, mlock() and copies', () => {
    const mm = written();
    install(mm, 1, 1);
    for (const advice of [MADV_POPULATE_READ, MADV_POPULATE_WRITE]) {
      assert.equal(doMadvise(mm, BASE, 2 * PAGE, advice), -EFAULT);
    }
    assert.equal(copyFromUser(mm, new Uint8Array(2 * PAGE), BASE), -EFAULT);
    assert.equal(doMlock(mm, BASE, 6 * PAGE, 0), -ENOMEM);
    assert.equal(pages(mm), '7G7777');
    checkPageTables(mm.pgdat);
    mmput(mm);
  });

  it('outlive what happens to the file', () => {
    const pgdat = testPgData(8);
    const mm = testMm(pgdat);
    let size = 4 * PAGE;
    const file = shmemFileSetup(pgdat, 'file', size);
    map(mm, BASE, 4 * PAGE, { file, flags: MAP_SHARED });
    touch(mm, BASE, 4 * PAGE, 6);
    install(mm, 1, 2);
    truncatePagecacheRange(file.mapping, 0, 2 * PAGE);
    assert.equal(pages(mm, BASE, 4), '0GG6');
    size = 0;
    truncateInodePages(file.mapping, size);
    assert.equal(pages(mm, BASE, 4), '0GG0');
    checkPageTables(pgdat);
    mmput(mm);
    file.putFile();
  });

  it('are not resident for mincore(), but the page of the file behind one is', () => {
    const pgdat = testPgData(8);
    const mm = testMm(pgdat);
    const file = shmemFileSetup(pgdat, 'file', 4 * PAGE);
    map(mm, BASE, 4 * PAGE, { file, flags: MAP_SHARED });
    touch(mm, BASE, 2 * PAGE, 6);
    map(mm, BASE + PMD, 2 * PAGE);
    touch(mm, BASE + PMD, 2 * PAGE, 5);
    install(mm, 1, 2);
    doMadvise(mm, BASE + PMD, PAGE, MADV_GUARD_INSTALL);
    map(mm, BASE + 2 * PMD, PAGE);
    const vector = new Uint8Array(4);
    doMincore(mm, BASE, 4 * PAGE, BASE + 2 * PMD);
    copyFromUser(mm, vector, BASE + 2 * PMD);
    assert.deepEqual([...vector], [1, 1, 0, 0]);
    doMincore(mm, BASE + PMD, 2 * PAGE, BASE + 2 * PMD);
    copyFromUser(mm, vector, BASE + 2 * PMD);
    assert.deepEqual([...vector.subarray(0, 2)], [0, 1]);
    mmput(mm);
    file.putFile();
  });

  it('keep no mappings apart, and the joined one says that it may have some', () => {
    const mm = testMm(testPgData(8));
    const flagged = (addr: number): boolean => (findVma(mm, addr)!.flags & VM_MAYBE_GUARD) !== 0;
    map(mm, BASE, 2 * PAGE);
    map(mm, BASE + 4 * PAGE, 2 * PAGE);
    install(mm, 4, 1);
    assert.deepEqual([flagged(BASE), flagged(BASE + 4 * PAGE)], [false, true]);
    map(mm, BASE + 2 * PAGE, 2 * PAGE);
    assert.equal(mm.vmas.size, 1);
    assert.ok(flagged(BASE));
    assert.equal(pages(mm), '0000G0');
    doMunmap(mm, BASE + 2 * PAGE, PAGE);
    assert.deepEqual([flagged(BASE), flagged(BASE + 3 * PAGE)], [true, true]);
    remove(mm, 4, 1);
    assert.ok(flagged(BASE + 3 * PAGE), 'also when there are none any more');
    checkPageTables(mm.pgdat);
    mmput(mm);
  });

  it('reach a neighbour that takes over part of a mapping', () => {
    for (const first of [true, false]) {
      const mm = testMm(testPgData(8));
      map(mm, BASE, 4 * PAGE);
      touch(mm, BASE, 4 * PAGE, 7);
      const from = first ? 0 : 2;
      doMprotect(mm, BASE + from * PAGE, 2 * PAGE, PROT_READ);
      assert.equal(mm.vmas.size, 2);
      install(mm, 2 - from, 2);
      // The page at the border changes sides with its guard.
      const border = first ? 2 : 1;
      assert.equal(doMprotect(mm, BASE + border * PAGE, PAGE, PROT_READ), 0);
      assert.equal(mm.vmas.size, 2);
      const taker = findVma(mm, BASE + (first ? 0 : 3) * PAGE)!;
      assert.equal(taker.flags & VM_MAYBE_GUARD, VM_MAYBE_GUARD);
      checkPageTables(mm.pgdat);
      mmput(mm);
    }
  });
});
