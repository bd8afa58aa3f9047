import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { prctlGetMdwe, prctlSetMdwe } from '../../../src/kernel/sys.ts';
import { dupMm, mmput } from '../../../src/mm/fork.ts';
import { doMmap, findVma } from '../../../src/mm/mmap.ts';
import { MMF_COW_PTE } from '../../../src/mm/mm_struct.ts';
import type { MmStruct } from '../../../src/mm/mm_types.ts';
import { doMprotect } from '../../../src/mm/mprotect.ts';
import { checkPageTables } from '../../../src/mm/page_table_check.ts';
import { EACCES, EINVAL, EPERM } from '../../../src/uapi/errno.ts';
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
} from '../../../src/uapi/mman.ts';
import { PR_MDWE_NO_INHERIT, PR_MDWE_REFUSE_EXEC_GAIN } from '../../../src/uapi/prctl.ts';
import { BASE, map, PAGE, peek, testMm, testPgData, touch } from '../mm/harness.ts';

const BOTH = PR_MDWE_REFUSE_EXEC_GAIN | PR_MDWE_NO_INHERIT;

describe('prctlSetMdwe()', () => {
  it('takes bits that make sense, and then no others', () => {
    for (const bits of [-1, PR_MDWE_NO_INHERIT, 4, 5, 2 ** 32, 2 ** 60]) {
      const mm = testMm(testPgData(8));
      assert.equal(prctlSetMdwe(mm, bits), -EINVAL, String(bits));
      assert.equal(prctlGetMdwe(mm), 0);
      mmput(mm);
    }
    for (const bits of [PR_MDWE_REFUSE_EXEC_GAIN, BOTH]) {
      const mm = testMm(testPgData(8));
      assert.equal(prctlSetMdwe(mm, 0), 0);
      assert.equal(prctlSetMdwe(mm, bits), 0);
      assert.equal(prctlSetMdwe(mm, bits), 0);
      assert.equal(prctlSetMdwe(mm, 0), -EPERM);
      assert.equal(prctlSetMdwe(mm, BOTH ^ bits ^ PR_MDWE_REFUSE_EXEC_GAIN), -EPERM);
      assert.equal(prctlGetMdwe(mm), bits);
      mmput(mm);
    }
  });

  for (const cowPte of [true, false]) {
    it(`is inherited unless told otherwise, tables ${cowPte ? 'shared' : 'copied'}`, () => {
      const pgdat = testPgData(8);
      const mm = testMm(pgdat, cowPte);
      prctlSetMdwe(mm, PR_MDWE_REFUSE_EXEC_GAIN);
      const child = dupMm(mm)!;
      assert.equal(prctlGetMdwe(child), PR_MDWE_REFUSE_EXEC_GAIN);
      assert.equal((child.flags & MMF_COW_PTE) !== 0, cowPte);
      const other = testMm(pgdat, cowPte);
      prctlSetMdwe(other, BOTH);
      const free = dupMm(other)!;
      assert.equal(prctlGetMdwe(free), 0);
      assert.equal((free.flags & MMF_COW_PTE) !== 0, cowPte);
      for (const each of [mm, child, other, free]) mmput(each);
      checkPageTables(pgdat);
    });
  }
});

describe('PR_MDWE_REFUSE_EXEC_GAIN', () => {
  function denied(): MmStruct {
    const mm = testMm(testPgData(8));
    map(mm, BASE, 2 * PAGE);
    touch(mm, BASE, 2 * PAGE, 7);
    map(mm, BASE + 2 * PAGE, PAGE, { prot: PROT_READ | PROT_EXEC });
    assert.equal(prctlSetMdwe(mm, PR_MDWE_REFUSE_EXEC_GAIN), 0);
    return mm;
  }

  it('makes nothing executable, and leaves what was refused as it was', () => {
    const mm = denied();
    const before = findVma(mm, BASE)!.flags;
    assert.equal(doMprotect(mm, BASE, PAGE, PROT_READ | PROT_EXEC), -EACCES);
    assert.equal(doMprotect(mm, BASE, PAGE, PROT_EXEC), -EACCES);
    assert.equal(doMprotect(mm, BASE + 2 * PAGE, PAGE, PROT_WRITE | PROT_EXEC), -EACCES);
    assert.deepEqual([mm.vmas.size, findVma(mm, BASE)!.flags], [2, before]);
    assert.equal(doMprotect(mm, BASE + 2 * PAGE, PAGE, PROT_EXEC), 0);
    assert.equal(doMprotect(mm, BASE + 2 * PAGE, PAGE, PROT_READ | PROT_EXEC), 0);
    checkPageTables(mm.pgdat);
    mmput(mm);
  });

  it('maps nothing that is writable and executable, not in place of something else either', () => {
    const mm = denied();
    const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    const all = PROT_READ | PROT_WRITE | PROT_EXEC;
    assert.equal(doMmap(mm, BASE, PAGE, all, flags, null, 0), -EACCES);
    assert.equal(peek(mm, BASE), 7);
    assert.equal(doMmap(mm, BASE, PAGE, PROT_READ | PROT_EXEC, flags, null, 0), BASE);
    assert.equal(peek(mm, BASE), 0);
    checkPageTables(mm.pgdat);
    mmput(mm);
  });
});
