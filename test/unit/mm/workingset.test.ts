import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { mmput } from '../../../src/mm/fork.ts';
import {
  AddressSpace,
  type AddressSpaceOps,
  type MmStruct,
  type PgData,
  type VmFile,
} from '../../../src/mm/mm_types.ts';
import { LRU_ACTIVE_ANON, LRU_ACTIVE_FILE } from '../../../src/mm/page.ts';
import { checkPageTables } from '../../../src/mm/page_table_check.ts';
import { destroyMapping } from '../../../src/mm/truncate.ts';
import { EFAULT } from '../../../src/uapi/errno.ts';
import { MAP_PRIVATE, PROT_EXEC, PROT_READ } from '../../../src/uapi/mman.ts';
import {
  BASE,
  map,
  MIB,
  PAGE,
  pageoutRange,
  peek,
  testMm,
  testPgData,
  testSwapon,
  touch,
} from './harness.ts';

/** A file that can be read again, `pages` long. */
class TestFile implements VmFile {
  readonly mapping: AddressSpace;
  readonly dev = 1;
  readonly ino = 1;
  reads = 0;

  constructor(pgdat: PgData, pages: number) {
    const ops: AddressSpaceOps = {
      size: () => pages * PAGE,
      readFolio: (_mapping, index, pfn) => {
        this.reads++;
        pgdat.ram.u32[(pfn * PAGE) / 4] = index;
        return 0;
      },
    };
    this.mapping = new AddressSpace(pgdat, ops, false);
  }
  getFile(): void {}
  putFile(): void {}
  mapsName(): string {
    return '/file';
  }
}

const CODE = BASE + 64 * MIB;
const PAGES = 64;

interface Tight {
  pgdat: PgData;
  mm: MmStruct;
  file: TestFile;
}

/** A file of PAGES pages mapped where half of it fits, beside memory that cannot be swapped out. */
function tight(prot: number): Tight {
  const pgdat = testPgData(8);
  const mm = testMm(pgdat);
  const file = new TestFile(pgdat, PAGES);
  map(mm, CODE, PAGES * PAGE, { file, prot, flags: MAP_PRIVATE });
  for (let mib = 0; mib < 8; mib++) map(mm, BASE + mib * MIB, MIB);
  peek(mm, CODE);
  for (let at = BASE; pgdat.freeFrames > PAGES / 2; at += PAGE) touch(mm, at, PAGE);
  return { pgdat, mm, file };
}

function finish({ pgdat, mm, file }: Tight): void {
  checkPageTables(pgdat);
  mmput(mm);
  destroyMapping(file.mapping);
  checkPageTables(pgdat);
}

/** Reads the file over and over. @returns pages read until memory was out, or `most`. */
function readOver(mm: MmStruct, most: number): number {
  for (let n = 0; n < most; n++) {
    const got = peek(mm, CODE + (n % PAGES) * PAGE);
    if (got === -EFAULT) return n;
    assert.equal(got, n % PAGES);
  }
  return most;
}

describe('the working set', () => {
  it('comes back as active when it was reclaimed a moment ago, files and swap', () => {
    const pgdat = testPgData(8);
    testSwapon(pgdat, 64);
    const mm = testMm(pgdat);
    const file = new TestFile(pgdat, 8);
    map(mm, CODE, 8 * PAGE, { file, prot: PROT_READ });
    map(mm, BASE, 8 * PAGE);
    touch(mm, BASE, 8 * PAGE);
    for (let i = 0; i < 8; i++) peek(mm, CODE + i * PAGE);
    pageoutRange(mm, CODE, 8 * PAGE);
    pageoutRange(mm, BASE, 8 * PAGE);
    peek(mm, CODE);
    peek(mm, BASE);
    const { vmstat, lruSize } = pgdat;
    assert.deepEqual([vmstat.workingsetRefaultFile, vmstat.workingsetRefaultAnon], [1, 1]);
    // Nothing is active and nothing can have pushed them out: 16 pages went since.
    assert.deepEqual([lruSize[LRU_ACTIVE_FILE], lruSize[LRU_ACTIVE_ANON]], [0, 0]);
    for (let i = 1; i < 8; i++) peek(mm, CODE + i * PAGE);
    pageoutRange(mm, CODE, PAGE);
    peek(mm, CODE);
    // One page went since this one did.
    assert.ok(vmstat.workingsetActivateFile > 0);
    assert.equal(lruSize[LRU_ACTIVE_FILE], vmstat.workingsetActivateFile);
    mmput(mm);
    destroyMapping(file.mapping);
    checkPageTables(pgdat);
  });

  it('makes memory out when it is code that does not fit, and there is no swap', () => {
    const t = tight(PROT_READ | PROT_EXEC);
    const n = readOver(t.mm, 200_000);
    assert.ok(n > 64 * 256 && n < 100_000, `${n}`);
    finish(t);
  });

  it('does not when it is data', () => {
    const t = tight(PROT_READ);
    assert.equal(readOver(t.mm, 60_000), 60_000);
    assert.ok(t.file.reads > 20_000);
    finish(t);
  });

  it('does not when there is swap', () => {
    const t = tight(PROT_READ | PROT_EXEC);
    testSwapon(t.pgdat, 1000);
    assert.equal(readOver(t.mm, 60_000), 60_000);
    assert.ok(t.pgdat.vmstat.pswpout > 0);
    finish(t);
  });
});
