import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { filemapRead, filemapWrite } from '../../../src/mm/filemap.ts';
import { dupMm, mmput } from '../../../src/mm/fork.ts';
import { iovKernel } from '../../../src/mm/iov_iter.ts';
import {
  AddressSpace,
  type AddressSpaceOps,
  type PgData,
  type VmFile,
} from '../../../src/mm/mm_types.ts';
import { checkPageTables } from '../../../src/mm/page_table_check.ts';
import {
  destroyMapping,
  truncateInodePages,
  truncatePagecacheRange,
} from '../../../src/mm/truncate.ts';
import { putUser32 } from '../../../src/mm/uaccess.ts';
import { EIO } from '../../../src/uapi/errno.ts';
import { MAP_NORESERVE, MAP_PRIVATE, MAP_SHARED, PROT_READ } from '../../../src/uapi/mman.ts';
import { BASE, map, PAGE, peek, testMm, testPgData } from './harness.ts';

class TestFile implements VmFile {
  readonly mapping: AddressSpace;
  readonly dev = 1;
  readonly ino = 1;
  size: number;

  constructor(pgdat: PgData, size: number, readFolio?: AddressSpaceOps['readFolio']) {
    this.size = size;
    const ops: AddressSpaceOps = { size: () => this.size };
    if (readFolio !== undefined) ops.readFolio = readFolio;
    this.mapping = new AddressSpace(pgdat, ops, readFolio === undefined);
  }
  getFile(): void {}
  putFile(): void {}
  mapsName(): string {
    return '/file';
  }
}

/** A file whose page n is filled with byte n + 1. */
function backedFile(pgdat: PgData, pages: number): TestFile {
  return new TestFile(pgdat, pages * PAGE, (_mapping, index, pfn) => {
    pgdat.ram.u8.fill(index + 1, pfn * PAGE, (pfn + 1) * PAGE);
    return 0;
  });
}

describe('page cache', () => {
  it('reads what was written, zeroes in holes, and stops at the size', () => {
    const pgdat = testPgData(8);
    const file = new TestFile(pgdat, 0);
    const text = new TextEncoder().encode('over a page border');
    assert.equal(filemapWrite(file.mapping, iovKernel(text), 2 * PAGE - 5), text.length);
    file.size = 2 * PAGE - 5 + text.length;
    const out = new Uint8Array(3 * PAGE);
    assert.equal(filemapRead(file.mapping, iovKernel(out), 0), file.size);
    assert.equal(out[0], 0);
    assert.deepEqual(out.subarray(2 * PAGE - 5, file.size), text);
    assert.equal(file.mapping.pages.size, 2);
    destroyMapping(file.mapping);
    checkPageTables(pgdat);
  });

  it('shows a shared mapping and read() the same bytes, and a private one its own', () => {
    const pgdat = testPgData(8);
    const free = pgdat.freeFrames;
    const file = new TestFile(pgdat, 4 * PAGE);
    const mm = testMm(pgdat);
    map(mm, BASE, 4 * PAGE, { file, flags: MAP_SHARED });
    map(mm, BASE + 8 * PAGE, 4 * PAGE, { file, flags: MAP_PRIVATE });
    assert.equal(putUser32(mm, BASE + PAGE, 77), 0);
    assert.equal(peek(mm, BASE + 9 * PAGE), 77);
    assert.equal(putUser32(mm, BASE + 9 * PAGE, 78), 0);
    assert.equal(peek(mm, BASE + PAGE), 77);
    const out = new Uint8Array(4);
    filemapRead(file.mapping, iovKernel(out), PAGE);
    assert.equal(out[0], 77);
    checkPageTables(pgdat);
    mmput(mm);
    destroyMapping(file.mapping);
    assert.equal(pgdat.freeFrames, free);
  });

  it('maps cached neighbours with one fault', () => {
    const pgdat = testPgData(8);
    const file = backedFile(pgdat, 40);
    filemapRead(file.mapping, iovKernel(new Uint8Array(40 * PAGE)), 0);
    const mm = testMm(pgdat);
    map(mm, BASE, 40 * PAGE, { file, prot: PROT_READ });
    const before = pgdat.vmstat.pgfault;
    for (let i = 0; i < 40; i++) assert.equal(peek(mm, BASE + i * PAGE) & 0xff, i + 1);
    assert.equal(pgdat.vmstat.pgfault - before, 3);
    checkPageTables(pgdat);
    mmput(mm);
  });

  it('truncates through tables that fork shared, in place and without memory', () => {
    const pgdat = testPgData(8);
    const file = new TestFile(pgdat, 8 * PAGE);
    const mm = testMm(pgdat);
    map(mm, BASE, 8 * PAGE, { file, flags: MAP_SHARED });
    for (let i = 0; i < 8; i++) putUser32(mm, BASE + i * PAGE, i + 1);
    const child = dupMm(mm);
    assert.ok(child !== null);
    file.size = 2 * PAGE + 2;
    pgdat.failAllocAfter = 1;
    truncateInodePages(file.mapping, file.size);
    assert.equal(pgdat.failAllocAfter, 1);
    pgdat.failAllocAfter = 0;
    checkPageTables(pgdat);
    assert.ok(peek(child, BASE + 3 * PAGE) < 0);
    assert.ok(peek(mm, BASE + 7 * PAGE) < 0);
    assert.equal(peek(mm, BASE + 2 * PAGE), 3);
    assert.equal(peek(child, BASE), 1);
    mmput(child);
    mmput(mm);
    destroyMapping(file.mapping);
    checkPageTables(pgdat);
  });

  it('truncates a file mapped over terabytes at the cost of what is there', () => {
    const pgdat = testPgData(8);
    const bytes = 2 ** 42;
    const file = new TestFile(pgdat, bytes);
    const mm = testMm(pgdat);
    map(mm, BASE, bytes, { file, flags: MAP_SHARED | MAP_NORESERVE });
    assert.equal(putUser32(mm, BASE + bytes - PAGE, 1), 0);
    file.size = PAGE;
    truncateInodePages(file.mapping, file.size);
    assert.ok(peek(mm, BASE + bytes - PAGE) < 0);
    assert.equal(file.mapping.pages.size, 0);
    mmput(mm);
    destroyMapping(file.mapping);
    checkPageTables(pgdat);
  });

  it('punches holes that keep private copies', () => {
    const pgdat = testPgData(8);
    const file = new TestFile(pgdat, 4 * PAGE);
    const mm = testMm(pgdat);
    map(mm, BASE, 4 * PAGE, { file, flags: MAP_PRIVATE });
    putUser32(mm, BASE + PAGE, 5);
    truncatePagecacheRange(file.mapping, 0, 4 * PAGE);
    assert.equal(peek(mm, BASE + PAGE), 5);
    checkPageTables(pgdat);
    mmput(mm);
  });

  it('turns a failed read into a fault error, not into zeroes', () => {
    const pgdat = testPgData(8);
    const file = new TestFile(pgdat, PAGE, () => -EIO);
    const mm = testMm(pgdat);
    map(mm, BASE, PAGE, { file, prot: PROT_READ });
    assert.ok(peek(mm, BASE) < 0);
    assert.equal(filemapRead(file.mapping, iovKernel(new Uint8Array(4)), 0), -EIO);
    mmput(mm);
    checkPageTables(pgdat);
  });

  it('gives clean pages back when memory is out, and finds them again', () => {
    const pgdat = testPgData(8);
    const pages = pgdat.freeFrames + 100;
    const file = new TestFile(pgdat, pages * PAGE, (_mapping, index, pfn) => {
      pgdat.ram.view.setUint32(pfn * PAGE, index, true);
      return 0;
    });
    const out = new Uint8Array(4);
    const view = new DataView(out.buffer);
    for (const round of [0, 1]) {
      for (let i = round; i < pages; i += 1 + round * 97) {
        assert.equal(filemapRead(file.mapping, iovKernel(out), i * PAGE), 4);
        assert.equal(view.getUint32(0, true), i);
      }
    }
    checkPageTables(pgdat);
  });
});
