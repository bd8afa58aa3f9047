/** A parent and its child, for tests of what fork shares. */

import assert from 'node:assert/strict';
import { dupMm, mmput } from '../../../src/mm/fork.ts';
import type { MmStruct, PgData } from '../../../src/mm/mm_types.ts';
import { checkPageTables } from '../../../src/mm/page_table_check.ts';
import { BASE, map, testMm, testPgData, touch } from './harness.ts';

export interface Family {
  readonly pgdat: PgData;
  /** Free frames before there was a parent. */
  readonly free: number;
  readonly parent: MmStruct;
  child: MmStruct;
}

/** A parent with `bytes` of fours at BASE, and its child. */
export function testFamily(bytes: number): Family {
  const pgdat = testPgData();
  const free = pgdat.freeFrames;
  const parent = testMm(pgdat);
  map(parent, BASE, bytes);
  touch(parent, BASE, bytes, 4);
  const child = dupMm(parent);
  assert.ok(child !== null);
  return { pgdat, free, parent, child };
}

/** Ends address spaces one by one: all counts stay right, and no frame is left. */
export function endAll(pgdat: PgData, free: number, ...mms: MmStruct[]): void {
  checkPageTables(pgdat);
  for (const mm of mms) {
    mmput(mm);
    checkPageTables(pgdat);
  }
  assert.equal(pgdat.freeFrames, free);
}

export function endFamily({ pgdat, free, parent, child }: Family): void {
  endAll(pgdat, free, child, parent);
}
