/** Who maps a page, counted by walking every address space: what page_users.ts must agree with. */

import assert from 'node:assert/strict';
import {
  entryPtr,
  LEVEL_PGD,
  LEVEL_PTE,
  pteIndex,
  ptePfn,
  ptePresent,
  pteSpecial,
  PTRS_PER_TABLE,
  tableOf,
  type Pfn,
  type Pte,
} from '../../../src/arch/riscv/pgtable.ts';
import type { MmStruct, PgData } from '../../../src/mm/mm_types.ts';
import { pageUsers, PageUsersWalk, pageUsersVia } from '../../../src/mm/page_users.ts';
import { ptePtrOf } from '../../../src/mm/pgtable.ts';
import { PAGE } from './harness.ts';

/** Counts the leaf entries of one address space by page: the slow truth. */
function countEntries(pgdat: PgData, table: Pfn, level: number, users: Int32Array): void {
  for (let i = 0; i < PTRS_PER_TABLE; i++) {
    const pte = pgdat.ram.u32[entryPtr(table, i)] as Pte;
    if (pte === 0) continue;
    if (level !== LEVEL_PTE) countEntries(pgdat, ptePfn(pte), level - 1, users);
    else if (ptePresent(pte) && !pteSpecial(pte)) users[ptePfn(pte)]!++;
  }
}

/** Asserts that what pageUsersVia() says of each entry of a process is in `users`. */
function checkVia(pgdat: PgData, mm: MmStruct, users: Int32Array): void {
  for (const vma of mm.vmas) {
    const walk = new PageUsersWalk(pgdat);
    for (let addr = vma.start; addr < vma.end; addr += PAGE) {
      const ptep = ptePtrOf(mm, addr);
      const pte = (ptep === 0 ? 0 : pgdat.ram.u32[ptep]) as Pte;
      if (!ptePresent(pte) || pteSpecial(pte)) continue;
      const got = pageUsersVia(walk, tableOf(ptep), pteIndex(addr), ptePfn(pte));
      assert.equal(got, users[ptePfn(pte)], `via ${addr.toString(16)}`);
    }
  }
}

/** Asserts that both ways to count users give what walks of all address spaces count, for every page. */
export function checkPageUsers(pgdat: PgData): void {
  const users = new Int32Array(pgdat.ram.layout.nrFrames);
  pgdat.mms.forEach((mm) => {
    countEntries(pgdat, mm.pgd, LEVEL_PGD, users);
  });
  for (let pfn = 0; pfn < users.length; pfn++) {
    if (users[pfn] !== 0) assert.equal(pageUsers(pgdat, pfn as Pfn), users[pfn], `frame ${pfn}`);
  }
  pgdat.mms.forEach((mm) => {
    checkVia(pgdat, mm, users);
  });
}
