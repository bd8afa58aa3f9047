import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { vmaAddress } from '../../../src/mm/anon_vma.ts';
import { dupMm, mmput } from '../../../src/mm/fork.ts';
import { doMadvise } from '../../../src/mm/madvise.ts';
import type { MmStruct } from '../../../src/mm/mm_types.ts';
import { doMmap, doMunmap } from '../../../src/mm/mmap.ts';
import { MAX_MAP_COUNT } from '../../../src/mm/mmap_limits.ts';
import { doMprotect } from '../../../src/mm/mprotect.ts';
import { checkPageTables } from '../../../src/mm/page_table_check.ts';
import { ptePtrOf } from '../../../src/mm/pgtable.ts';
import { ptePfn, type Pte } from '../../../src/arch/riscv/pgtable.ts';
import { shmemFileSetup } from '../../../src/mm/shmem.ts';
import { putUser32 } from '../../../src/mm/uaccess.ts';
import { EAGAIN, ENOMEM } from '../../../src/uapi/errno.ts';
import {
  MADV_DODUMP,
  MADV_DONTDUMP,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
} from '../../../src/uapi/mman.ts';
import { VM_SOFTDIRTY } from '../../../src/mm/vma.ts';
import { vmaSetFlags } from '../../../src/mm/vma_link.ts';
import { BASE, map, PAGE, testMm, testPgData, touch } from './harness.ts';

/** VMAs as [first page, pages], counted from BASE. */
function ranges(mm: MmStruct): number[][] {
  return [...mm.vmas].map((vma) => [(vma.start - BASE) / PAGE, (vma.end - vma.start) / PAGE]);
}

function at(page: number): number {
  return BASE + page * PAGE;
}

/** The rmap must lead from every anonymous page of [page, page + len) back to its address. */
function checkRmap(mm: MmStruct, page: number, len: number): void {
  const { pgdat } = mm;
  for (let i = page; i < page + len; i++) {
    const pte = pgdat.ram.u32[ptePtrOf(mm, at(i))] as Pte;
    if (pte === 0) continue;
    const pfn = ptePfn(pte);
    const owner = pgdat.mappings.get(pgdat.page.mapping[pfn]! >> 1);
    const vma = mm.vmas.find(at(i))!;
    assert.ok(vma.anonVmaChain.some((avc) => avc.anonVma === owner));
    assert.equal(vmaAddress(vma, pgdat.page.index[pfn]!), at(i));
  }
}

describe('vmaMergeNewRange()', () => {
  it('joins a mapping with the one before, the one behind, and both', () => {
    const mm = testMm(testPgData(8));
    map(mm, at(0), 2 * PAGE);
    map(mm, at(2), 2 * PAGE);
    assert.deepEqual(ranges(mm), [[0, 4]]);
    map(mm, at(8), 2 * PAGE);
    map(mm, at(6), 2 * PAGE);
    assert.deepEqual(ranges(mm), [
      [0, 4],
      [6, 4],
    ]);
    map(mm, at(4), 2 * PAGE);
    assert.deepEqual(ranges(mm), [[0, 10]]);
    checkPageTables(mm.pgdat);
    mmput(mm);
  });

  it('keeps mappings of different rights, kinds or files apart', () => {
    const pgdat = testPgData(8);
    const mm = testMm(pgdat);
    const file = shmemFileSetup(pgdat, 'file', 64 * PAGE);
    map(mm, at(0), PAGE);
    map(mm, at(1), PAGE, { prot: PROT_READ });
    map(mm, at(2), PAGE, { prot: PROT_READ, file, pgoff: 2 });
    map(mm, at(3), PAGE, { prot: PROT_READ, file, flags: MAP_SHARED, pgoff: 3 });
    map(mm, at(4), PAGE, { flags: MAP_SHARED });
    map(mm, at(5), PAGE, { flags: MAP_SHARED });
    assert.equal(mm.vmas.size, 6);
    mmput(mm);
    file.putFile();
  });

  it('joins file mappings only where the offsets continue', () => {
    const pgdat = testPgData(8);
    const mm = testMm(pgdat);
    const file = shmemFileSetup(pgdat, 'file', 64 * PAGE);
    map(mm, at(0), PAGE, { file, pgoff: 5 });
    map(mm, at(1), PAGE, { file, pgoff: 6 });
    map(mm, at(2), PAGE, { file, pgoff: 8 });
    assert.deepEqual(ranges(mm), [
      [0, 2],
      [2, 1],
    ]);
    assert.equal(file.mapping.iMmap.length, 2);
    doMunmap(mm, BASE, 3 * PAGE);
    assert.equal(file.mapping.iMmap.length, 0);
    mmput(mm);
    file.putFile();
    checkPageTables(pgdat);
  });

  it('does not let a mapping join one whose pages a relative may share', () => {
    const mm = testMm(testPgData(8));
    map(mm, at(0), PAGE);
    touch(mm, at(0), PAGE);
    const child = dupMm(mm)!;
    map(child, at(1), PAGE);
    assert.deepEqual(ranges(child), [
      [0, 1],
      [1, 1],
    ]);
    map(mm, at(1), PAGE);
    assert.deepEqual(ranges(mm), [[0, 2]]);
    mmput(child);
    mmput(mm);
  });

  it('keeps a private file mapping apart that a relative has tried to write, page or no page', () => {
    const pgdat = testPgData(8);
    const mm = testMm(pgdat);
    const file = shmemFileSetup(pgdat, 'file', 4 * PAGE);
    const mapFile = (owner: MmStruct, page: number): number =>
      map(owner, at(page), 4 * PAGE, { file, flags: MAP_PRIVATE, pgoff: page });
    mapFile(mm, 4);
    assert.notEqual(putUser32(mm, at(4), 1), 0, 'it lies behind the end of the file');
    const child = dupMm(mm)!;
    mapFile(child, 8);
    assert.deepEqual(ranges(child), [
      [4, 4],
      [8, 4],
    ]);
    mapFile(mm, 8);
    assert.deepEqual(ranges(mm), [[4, 8]]);
    mmput(child);
    mmput(mm);
    file.putFile();
    checkPageTables(pgdat);
  });
});

describe('vmaModify()', () => {
  it('splits off the front, the back and the middle, and joins all again', () => {
    const mm = testMm(testPgData(8));
    map(mm, at(0), 9 * PAGE);
    touch(mm, at(0), 9 * PAGE);
    doMprotect(mm, at(3), 3 * PAGE, PROT_READ);
    assert.deepEqual(ranges(mm), [
      [0, 3],
      [3, 3],
      [6, 3],
    ]);
    doMprotect(mm, at(0), PAGE, PROT_NONE);
    doMprotect(mm, at(8), PAGE, PROT_NONE);
    assert.deepEqual(ranges(mm), [
      [0, 1],
      [1, 2],
      [3, 3],
      [6, 2],
      [8, 1],
    ]);
    doMprotect(mm, at(0), 9 * PAGE, PROT_READ | PROT_WRITE);
    assert.deepEqual(ranges(mm), [[0, 9]]);
    checkRmap(mm, 0, 9);
    checkPageTables(mm.pgdat);
    mmput(mm);
  });

  it('moves the border instead of making a mapping', () => {
    const mm = testMm(testPgData(8));
    map(mm, at(0), 4 * PAGE);
    map(mm, at(4), 4 * PAGE, { prot: PROT_READ });
    doMprotect(mm, at(4), PAGE, PROT_READ | PROT_WRITE);
    assert.deepEqual(ranges(mm), [
      [0, 5],
      [5, 3],
    ]);
    doMprotect(mm, at(3), 2 * PAGE, PROT_READ);
    assert.deepEqual(ranges(mm), [
      [0, 3],
      [3, 5],
    ]);
    assert.equal(mm.dataVm, 3);
    assert.equal(mm.totalVm, 8);
    mmput(mm);
  });

  for (const [name, first, advised, undo] of [
    ['whole', [1, 1], [1, 1], [1, 1]],
    ['front', [2, 2], [2, 1], [2, 1]],
    ['back', [0, 2], [1, 1], [1, 1]],
  ] as const) {
    it(`takes the anonymous pages over when a neighbour gets the ${name} of a mapping`, () => {
      const mm = testMm(testPgData(8));
      map(mm, at(0), 4 * PAGE);
      doMadvise(mm, at(first[0]), first[1] * PAGE, MADV_DONTDUMP);
      touch(mm, at(advised[0]), advised[1] * PAGE);
      doMadvise(mm, at(undo[0]), undo[1] * PAGE, MADV_DODUMP);
      checkRmap(mm, 0, 4);
      doMadvise(mm, at(0), 4 * PAGE, MADV_DODUMP);
      assert.deepEqual(ranges(mm), [[0, 4]]);
      checkRmap(mm, 0, 4);
      mmput(mm);
      assert.equal(mm.pgdat.mappings.used, 0);
    });
  }

  it('keeps mappings apart whose pages belong to different AnonVmas', () => {
    const mm = testMm(testPgData(8));
    map(mm, at(0), PAGE);
    map(mm, at(2), PAGE);
    touch(mm, at(0), PAGE);
    touch(mm, at(2), PAGE);
    map(mm, at(1), PAGE);
    assert.deepEqual(ranges(mm), [
      [0, 2],
      [2, 1],
    ]);
    mmput(mm);
  });

  it('lets a child split and join what it has from its parent', () => {
    for (const cowPte of [true, false]) {
      const mm = testMm(testPgData(8), cowPte);
      map(mm, at(0), 6 * PAGE);
      touch(mm, at(0), 6 * PAGE);
      const child = dupMm(mm)!;
      doMprotect(child, at(2), 2 * PAGE, PROT_READ);
      touch(child, at(0), PAGE, 7);
      touch(child, at(5), PAGE, 7);
      doMprotect(child, at(2), 2 * PAGE, PROT_READ | PROT_WRITE);
      assert.deepEqual(ranges(child), [[0, 6]]);
      checkRmap(child, 0, 6);
      mmput(mm);
      checkPageTables(child.pgdat);
      mmput(child);
    }
  });
});

describe('number of mappings', () => {
  it('gives sticky flags of a part to all of what is joined', () => {
    const mm = testMm(testPgData(8));
    for (const [page, soft] of [
      [0, true],
      [4, false],
      [2, false],
    ] as const) {
      map(mm, at(page), 2 * PAGE);
      const vma = mm.vmas.find(at(page))!;
      if (soft) vmaSetFlags(vma, vma.flags | VM_SOFTDIRTY);
    }
    assert.deepEqual(ranges(mm), [[0, 6]]);
    assert.notEqual(mm.vmas.find(at(0))!.flags & VM_SOFTDIRTY, 0);
    assert.equal(doMprotect(mm, at(2), 2 * PAGE, PROT_READ), 0);
    const front = mm.vmas.find(at(0))!;
    vmaSetFlags(front, front.flags & ~VM_SOFTDIRTY);
    assert.equal(doMprotect(mm, at(2), 2 * PAGE, PROT_READ | PROT_WRITE), 0);
    assert.deepEqual(ranges(mm), [[0, 6]]);
    assert.notEqual(mm.vmas.find(at(0))!.flags & VM_SOFTDIRTY, 0);
    mmput(mm);
  });

  it('stops at the limit with nothing changed, and munmap still works', () => {
    const mm = testMm(testPgData(8));
    const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    // One of three pages, to be split, and then every other page.
    doMmap(mm, at(-10), 3 * PAGE, PROT_READ, flags, null, 0);
    for (let i = 0; mm.vmas.size < MAX_MAP_COUNT; i++) {
      doMmap(mm, at(i), PAGE, i % 2 === 0 ? PROT_READ : PROT_NONE, flags, null, 0);
    }
    assert.equal(doMprotect(mm, at(-9), PAGE, PROT_NONE), -ENOMEM);
    assert.equal(doMadvise(mm, at(-9), PAGE, MADV_DONTDUMP), -EAGAIN);
    assert.equal(doMunmap(mm, at(-9), PAGE), -ENOMEM);
    assert.equal(mm.vmas.size, MAX_MAP_COUNT);
    // Linux compares before it adds, so one more fits.
    assert.equal(doMmap(mm, at(-20), PAGE, PROT_READ, flags, null, 0), at(-20));
    assert.equal(doMmap(mm, at(-22), PAGE, PROT_READ, flags, null, 0), -ENOMEM);
    assert.equal(doMunmap(mm, at(0), 1000 * PAGE), 0);
    assert.equal(doMunmap(mm, at(-9), PAGE), 0);
    mmput(mm);
  });
});
