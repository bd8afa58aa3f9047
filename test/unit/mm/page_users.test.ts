import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { pteIndex, ptePfn, tableOf, type Pfn, type Pte } from '../../../src/arch/riscv/pgtable.ts';
import { dupMm, mmput } from '../../../src/mm/fork.ts';
import { doMadvise } from '../../../src/mm/madvise.ts';
import type { MmStruct, PgData } from '../../../src/mm/mm_types.ts';
import { doMunmap } from '../../../src/mm/mmap.ts';
import { doMremap } from '../../../src/mm/mremap.ts';
import { pageUsers, PageUsersWalk, pageUsersVia } from '../../../src/mm/page_users.ts';
import { checkPageTables } from '../../../src/mm/page_table_check.ts';
import { ptePtrOf } from '../../../src/mm/pgtable.ts';
import { shmemFileSetup } from '../../../src/mm/shmem.ts';
import {
  MADV_DONTNEED,
  MAP_PRIVATE,
  MAP_SHARED,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
  PROT_READ,
} from '../../../src/uapi/mman.ts';
import { BASE, map, PAGE, peek, PMD, testMm, testPgData, touch } from './harness.ts';
import { checkPageUsers } from './users_check.ts';

function fork(mm: MmStruct): MmStruct {
  const child = dupMm(mm);
  if (child === null) throw new Error('no memory for a fork');
  return child;
}

function pfnAt(mm: MmStruct, addr: number): Pfn {
  return ptePfn(mm.pgdat.ram.u32[ptePtrOf(mm, addr)] as Pte);
}

function usersAt(mm: MmStruct, addr: number): number {
  return pageUsers(mm.pgdat, pfnAt(mm, addr));
}

function checkUsers(pgdat: PgData): void {
  checkPageUsers(pgdat);
  checkPageTables(pgdat);
}

for (const cowPte of [true, false]) {
  describe(`users of a page (D17), ${cowPte ? 'shared' : 'copied'} page tables`, () => {
    it('are all processes of a fork tree that reach it', () => {
      const pgdat = testPgData();
      const mm = testMm(pgdat, cowPte);
      map(mm, BASE, PMD);
      touch(mm, BASE, 8 * PAGE);
      assert.equal(usersAt(mm, BASE), 1);
      const child = fork(mm);
      const grandchild = fork(child);
      const second = fork(mm);
      assert.equal(usersAt(mm, BASE), 4);
      checkUsers(pgdat);
      mmput(child);
      assert.equal(usersAt(mm, BASE), 3);
      assert.equal(usersAt(grandchild, BASE + 7 * PAGE), 3);
      checkUsers(pgdat);
      mmput(mm);
      mmput(second);
      assert.equal(usersAt(grandchild, BASE), 1);
      checkUsers(pgdat);
    });

    it('fall by one where a process writes, and its copy has one', () => {
      const pgdat = testPgData();
      const mm = testMm(pgdat, cowPte);
      map(mm, BASE, 2 * PMD);
      touch(mm, BASE, 2 * PMD);
      const children = [fork(mm), fork(mm), fork(mm)];
      touch(children[0]!, BASE, PAGE, 2);
      assert.equal(usersAt(mm, BASE), 3);
      assert.equal(usersAt(children[0]!, BASE), 1);
      assert.equal(usersAt(mm, BASE + PAGE), 4);
      assert.equal(usersAt(mm, BASE + PMD), 4);
      const grandchild = fork(children[0]!);
      assert.equal(usersAt(children[0]!, BASE), 2);
      assert.equal(usersAt(mm, BASE + PAGE), 5);
      touch(grandchild, BASE + PAGE, PAGE, 3);
      checkUsers(pgdat);
      mmput(children[0]!);
      checkUsers(pgdat);
    });

    it('do not include who unmapped it, moved it away or took it with him', () => {
      const pgdat = testPgData();
      const mm = testMm(pgdat, cowPte);
      map(mm, BASE, PMD);
      touch(mm, BASE, 8 * PAGE);
      const child = fork(mm);
      const mover = fork(mm);
      assert.equal(doMunmap(child, BASE, PAGE), 0);
      assert.equal(usersAt(mm, BASE), 2);
      assert.equal(doMadvise(child, BASE + PAGE, PAGE, MADV_DONTNEED), 0);
      assert.equal(usersAt(mm, BASE + PAGE), 2);
      const to = BASE + 8 * PMD;
      const flags = MREMAP_MAYMOVE | MREMAP_FIXED;
      assert.equal(doMremap(mover, BASE + 2 * PAGE, PAGE, PAGE, flags, to), to);
      assert.equal(usersAt(mm, BASE + 2 * PAGE), 3);
      assert.equal(pfnAt(mover, to), pfnAt(mm, BASE + 2 * PAGE));
      checkUsers(pgdat);
      touch(mover, to, PAGE, 9);
      assert.equal(usersAt(mm, BASE + 2 * PAGE), 2);
      assert.equal(usersAt(mover, to), 1);
      checkUsers(pgdat);
    });

    it('count a file page once for each address at which it is mapped', () => {
      const pgdat = testPgData();
      const mm = testMm(pgdat, cowPte);
      const file = shmemFileSetup(pgdat, '/dev/zero (deleted)', 4 * PAGE);
      map(mm, BASE, 4 * PAGE, { file, flags: MAP_SHARED });
      file.getFile();
      map(mm, BASE + PMD, 2 * PAGE, { file, flags: MAP_PRIVATE, pgoff: 2, prot: PROT_READ });
      touch(mm, BASE, 4 * PAGE);
      assert.equal(peek(mm, BASE + PMD), 1);
      assert.equal(usersAt(mm, BASE + 2 * PAGE), 2);
      const child = fork(mm);
      assert.equal(peek(child, BASE + 2 * PAGE), 1);
      assert.equal(peek(child, BASE + PMD), 1);
      assert.equal(usersAt(mm, BASE + 2 * PAGE), 4);
      checkUsers(pgdat);
    });
  });
}

describe('pageUsersVia() (D17)', () => {
  it('says what pageUsers() says, for pages of one table and of several', () => {
    const pgdat = testPgData();
    const mm = testMm(pgdat);
    map(mm, BASE, 3 * PMD);
    touch(mm, BASE, 3 * PMD);
    const child = fork(mm);
    touch(child, BASE + PMD, 4 * PAGE, 2);
    fork(child);
    for (const reader of [mm, child]) {
      const walk = new PageUsersWalk(pgdat);
      for (let addr = BASE; addr < BASE + 3 * PMD; addr += PAGE) {
        const pfn = pfnAt(reader, addr);
        const ptep = ptePtrOf(reader, addr);
        const got = pageUsersVia(walk, tableOf(ptep), pteIndex(addr), pfn);
        assert.equal(got, pageUsers(pgdat, pfn), addr.toString(16));
      }
    }
    checkUsers(pgdat);
  });
});
