import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PTE_W } from '../../src/arch/riscv/pgtable.ts';
import { userFault } from '../../src/mm/fault.ts';
import { dupMm, mmput } from '../../src/mm/fork.ts';
import { doMadvise } from '../../src/mm/madvise.ts';
import { findVma } from '../../src/mm/mmap.ts';
import { MMF_HAS_MDWE } from '../../src/mm/mm_struct.ts';
import { MM_SWAPENTS, type MmStruct } from '../../src/mm/mm_types.ts';
import { doMprotect } from '../../src/mm/mprotect.ts';
import { doMseal } from '../../src/mm/mseal.ts';
import { checkPageTables } from '../../src/mm/page_table_check.ts';
import { pathFlags } from '../../src/mm/pgtable.ts';
import { putUser32 } from '../../src/mm/uaccess.ts';
import {
  FAULT_FLAG_EXEC,
  FAULT_FLAG_WRITE,
  VM_FAULT_ACCERR,
  VM_FAULT_SIGSEGV,
} from '../../src/mm/vm_fault.ts';
import { VM_ACCESS_FLAGS } from '../../src/mm/vma.ts';
import { EACCES, EFAULT, ENOMEM, EPERM } from '../../src/uapi/errno.ts';
import {
  MADV_GUARD_INSTALL,
  MADV_PAGEOUT,
  PROT_EXEC,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
} from '../../src/uapi/mman.ts';
import {
  BASE,
  map,
  PAGE,
  peek,
  PMD,
  pteAt,
  testMm,
  testPgData,
  testSwapon,
  touch,
} from '../unit/mm/harness.ts';

const RW = PROT_READ | PROT_WRITE;
const DENIED = VM_FAULT_SIGSEGV | VM_FAULT_ACCERR;

/** Three page tables' worth of memory with one page written at either end of each. */
function threeTables(cowPte = true): MmStruct {
  const mm = testMm(testPgData(8), cowPte);
  map(mm, BASE, 3 * PMD);
  for (let i = 0; i < 3; i++) {
    touch(mm, BASE + i * PMD, PAGE, 7);
    touch(mm, BASE + (i + 1) * PMD - PAGE, PAGE, 7);
  }
  return mm;
}

/** Rights of every VMA, and what each written page holds and allows: all that a program could see. */
function state(mm: MmStruct): string {
  let text = '';
  for (const vma of mm.vmas) text += `${vma.end - vma.start}:${vma.flags & VM_ACCESS_FLAGS} `;
  for (let i = 0; i < 3; i++) {
    for (const at of [BASE + i * PMD, BASE + (i + 1) * PMD - PAGE]) {
      const writable = userFault(mm, at, FAULT_FLAG_WRITE) === 0 ? 'w' : '-';
      const executable = userFault(mm, at, FAULT_FLAG_EXEC) === 0 ? 'x' : '-';
      text += `${peek(mm, at)}${writable}${executable} `;
    }
  }
  return text;
}

for (const cowPte of [true, false]) {
  describe(`patch 09, page tables ${cowPte ? 'shared' : 'copied'} by fork`, () => {
    it('changes rights for one process only', () => {
      const mm = threeTables(cowPte);
      const child = dupMm(mm)!;
      assert.equal(doMprotect(child, BASE, PMD + PAGE, PROT_READ), 0);
      assert.equal(userFault(child, BASE, FAULT_FLAG_WRITE), DENIED);
      assert.equal(putUser32(mm, BASE, 8), 0);
      assert.equal(putUser32(child, BASE + PMD + PAGE, 9), 0);
      assert.equal(peek(child, BASE), 7);
      assert.equal(doMprotect(mm, BASE, 3 * PMD, PROT_NONE), 0);
      assert.equal(peek(mm, BASE), -EFAULT);
      assert.equal(peek(child, BASE + 2 * PMD), 7);
      assert.equal(doMprotect(mm, BASE, 3 * PMD, PROT_READ | PROT_EXEC), 0);
      assert.equal(userFault(mm, BASE, FAULT_FLAG_EXEC), 0);
      assert.equal(userFault(child, BASE, FAULT_FLAG_EXEC), DENIED);
      checkPageTables(mm.pgdat);
      mmput(mm);
      mmput(child);
    });

    it('does not make writable what another process still reads', () => {
      const mm = threeTables(cowPte);
      const child = dupMm(mm)!;
      for (const prot of [PROT_READ, RW]) assert.equal(doMprotect(child, BASE, PMD, prot), 0);
      assert.equal(pteAt(child, BASE) & PTE_W, 0);
      assert.equal(putUser32(child, BASE, 9), 0);
      assert.equal(peek(mm, BASE), 7);
      checkPageTables(mm.pgdat);
      mmput(mm);
      mmput(child);
    });

    it('passes over what is in swap and over guards', () => {
      const mm = threeTables(cowPte);
      testSwapon(mm.pgdat, 16);
      doMadvise(mm, BASE, PAGE, MADV_PAGEOUT);
      doMadvise(mm, BASE + PAGE, PAGE, MADV_GUARD_INSTALL);
      const child = dupMm(mm)!;
      for (const prot of [PROT_NONE, PROT_READ, RW]) {
        assert.equal(doMprotect(child, BASE, PMD, prot), 0);
      }
      assert.equal(child.rss[MM_SWAPENTS], 1);
      assert.deepEqual([peek(child, BASE), peek(child, BASE + PAGE)], [7, -EFAULT]);
      assert.deepEqual([peek(mm, BASE), peek(mm, BASE + PAGE)], [7, -EFAULT]);
      checkPageTables(mm.pgdat);
      mmput(mm);
      mmput(child);
    });
  });
}

describe('patch 09', () => {
  it('returns -ENOMEM when a table cannot be made private, with rights and pages as before (D14)', () => {
    for (const prot of [PROT_READ, PROT_NONE, RW | PROT_EXEC]) {
      for (let n = 1; ; n++) {
        const mm = threeTables();
        const child = dupMm(mm)!;
        const before = state(threeTables());
        mm.pgdat.failAllocAfter = n;
        const err = doMprotect(child, BASE + PAGE, 3 * PMD - PAGE, prot);
        const failed = mm.pgdat.failAllocAfter === 0;
        mm.pgdat.failAllocAfter = 0;
        assert.equal(err, failed ? -ENOMEM : 0, `allocation ${n}`);
        if (failed) assert.equal(state(child), before);
        else assert.notEqual(state(child), before);
        checkPageTables(mm.pgdat);
        mmput(mm);
        mmput(child);
        if (!failed) {
          assert.ok(n > 3, 'a table for each of the three, at least');
          break;
        }
      }
    }
  });

  it('leaves tables shared in which the range maps nothing', () => {
    const mm = testMm(testPgData(8));
    map(mm, BASE, 2 * PMD);
    touch(mm, BASE, PAGE, 7);
    touch(mm, BASE + PMD, PAGE, 7);
    const child = dupMm(mm)!;
    assert.equal(doMprotect(child, BASE + PAGE, PMD - PAGE, PROT_READ), 0);
    assert.notEqual(pathFlags(child, BASE), 0);
    checkPageTables(mm.pgdat);
    mmput(mm);
    mmput(child);
  });

  it('is refused by mseal() and PR_SET_MDWE with nothing changed that a program could see (D14)', () => {
    const mm = threeTables();
    doMseal(mm, BASE, PAGE);
    const child = dupMm(mm)!;
    child.flags |= MMF_HAS_MDWE;
    const before = state(child);
    assert.equal(doMprotect(child, BASE, PAGE, PROT_READ), -EPERM);
    assert.equal(doMprotect(child, BASE + PMD, PAGE, PROT_READ | PROT_EXEC), -EACCES);
    assert.equal(state(child), before);
    assert.equal(findVma(child, BASE)!.end, BASE + PAGE);
    checkPageTables(mm.pgdat);
    mmput(mm);
    mmput(child);
  });
});
