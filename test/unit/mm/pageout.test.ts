import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PTE_D, PTE_V, PTE_W, type Pfn } from '../../../src/arch/riscv/pgtable.ts';
import { dropPagecache } from '../../../src/mm/drop_caches.ts';
import { filemapRead, filemapWrite } from '../../../src/mm/filemap.ts';
import { dupMm, mmput } from '../../../src/mm/fork.ts';
import { iovKernel } from '../../../src/mm/iov_iter.ts';
import { doMincore } from '../../../src/mm/mincore.ts';
import {
  AddressSpace,
  MM_FILEPAGES,
  MM_SHMEMPAGES,
  MM_SWAPENTS,
  type AddressSpaceOps,
  type MmStruct,
  type PgData,
  type VmFile,
} from '../../../src/mm/mm_types.ts';
import { doMsync } from '../../../src/mm/msync.ts';
import { LRU_ACTIVE_FILE, LRU_UNEVICTABLE } from '../../../src/mm/page.ts';
import { checkPageTables } from '../../../src/mm/page_table_check.ts';
import { doSwapoff } from '../../../src/mm/swapoff.ts';
import {
  destroyMapping,
  truncateInodePages,
  truncatePagecacheRange,
} from '../../../src/mm/truncate.ts';
import { getUser8, putUser32 } from '../../../src/mm/uaccess.ts';
import { reclaimPages, tryToFreePages } from '../../../src/mm/vmscan.ts';
import { EFAULT, EIO } from '../../../src/uapi/errno.ts';
import {
  MAP_PRIVATE,
  MAP_SHARED,
  MS_SYNC,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
} from '../../../src/uapi/mman.ts';
import {
  BASE,
  map,
  PAGE,
  pageoutRange,
  peek,
  pteAt,
  testMm,
  testPgData,
  testSwapon,
} from './harness.ts';

/** A file of `pages` pages: in memory only, or with a store whose page n holds bytes n + 1. */
class TestFile implements VmFile {
  readonly mapping: AddressSpace;
  readonly dev = 1;
  readonly ino = 1;
  size: number;
  /** Bytes written back, by page. */
  readonly written = new Map<number, number>();
  reads = 0;
  failWrites = false;

  constructor(pgdat: PgData, pages: number, kind: 'shmem' | 'read-only' | 'store') {
    this.size = pages * PAGE;
    const { u8 } = pgdat.ram;
    const ops: AddressSpaceOps = { size: () => this.size };
    if (kind !== 'shmem') {
      ops.readFolio = (_mapping, index, pfn) => {
        this.reads++;
        u8.fill(this.written.get(index) ?? index + 1, pfn * PAGE, (pfn + 1) * PAGE);
        return 0;
      };
    }
    if (kind === 'store') {
      ops.writePage = (_mapping, index, pfn) => {
        if (this.failWrites) return -EIO;
        this.written.set(index, u8[pfn * PAGE]!);
        return 0;
      };
    }
    this.mapping = new AddressSpace(pgdat, ops, kind === 'shmem');
  }
  getFile(): void {}
  putFile(): void {}
  mapsName(): string {
    return '/file';
  }
}

const PAGES = 16;
const LEN = PAGES * PAGE;

/** Reclaims cached pages, mapped or not. */
function pageoutFile(pgdat: PgData, { mapping }: TestFile): number {
  const pfns: number[] = [];
  mapping.pages.forEach(0, PAGES, (_index, value) => {
    if (value > 0) pfns.push(value);
  });
  return reclaimPages(pgdat, Int32Array.from(pfns), pfns.length);
}

function byteAt(file: TestFile, page: number): number {
  const out = new Uint8Array(1);
  const n = filemapRead(file.mapping, iovKernel(out), page * PAGE);
  return n < 0 ? n : out[0]!;
}

function writeByte(file: TestFile, page: number, byte: number): void {
  assert.equal(
    filemapWrite(file.mapping, iovKernel(new Uint8Array(PAGE).fill(byte)), page * PAGE),
    PAGE,
  );
}

interface World {
  pgdat: PgData;
  file: TestFile;
  mms: MmStruct[];
  free: number;
}

/** A process that maps the file, and a child that shares its tables. */
function world(kind: ConstructorParameters<typeof TestFile>[2], flags = MAP_SHARED): World {
  const pgdat = testPgData(8);
  const free = pgdat.freeFrames;
  const file = new TestFile(pgdat, PAGES, kind);
  const parent = testMm(pgdat);
  map(parent, BASE, LEN, { file, flags });
  for (let i = 0; i < PAGES; i++) assert.ok(peek(parent, BASE + i * PAGE) >= 0);
  const child = dupMm(parent);
  assert.ok(child !== null);
  return { pgdat, file, mms: [parent, child], free };
}

function finish({ pgdat, file, mms, free }: World): void {
  checkPageTables(pgdat);
  for (const mm of mms) mmput(mm);
  checkPageTables(pgdat);
  destroyMapping(file.mapping);
  checkPageTables(pgdat);
  assert.equal(pgdat.freeFrames, free);
  assert.equal(pgdat.swap.freePages, pgdat.swap.totalPages);
}

describe('reclaim of files', () => {
  it('drops mapped pages that can be read again, in place for all who share the tables', () => {
    const w = world('read-only');
    w.pgdat.failAllocAfter = 1;
    assert.equal(pageoutFile(w.pgdat, w.file), PAGES);
    w.pgdat.failAllocAfter = 0;
    checkPageTables(w.pgdat);
    assert.equal(w.file.mapping.pages.size, 0);
    for (const mm of w.mms) assert.equal(mm.rss[MM_FILEPAGES], 0);
    for (const mm of w.mms) {
      for (let i = 0; i < PAGES; i++) assert.equal(getUser8(mm, BASE + i * PAGE), i + 1);
    }
    assert.equal(w.file.reads, 2 * PAGES);
    finish(w);
  });

  it('keeps private copies, and swaps those', () => {
    const w = world('read-only', MAP_PRIVATE);
    testSwapon(w.pgdat, 64);
    assert.equal(putUser32(w.mms[0]!, BASE, 0x5555), 0);
    assert.equal(pageoutFile(w.pgdat, w.file), PAGES);
    assert.equal(pageoutRange(w.mms[0]!, BASE, LEN), 1);
    checkPageTables(w.pgdat);
    assert.equal(peek(w.mms[0]!, BASE), 0x5555);
    assert.equal(getUser8(w.mms[1]!, BASE), 1);
    finish(w);
  });

  it('lets truncation take private copies that are in swap, from all who share the table', () => {
    const w = world('read-only', MAP_PRIVATE);
    testSwapon(w.pgdat, 64);
    const [parent] = w.mms;
    for (let i = 0; i < PAGES; i++) assert.equal(putUser32(parent!, BASE + i * PAGE, 99), 0);
    const child = dupMm(parent!);
    assert.ok(child !== null);
    w.mms.push(child);
    assert.equal(pageoutRange(parent!, BASE, LEN), PAGES);
    w.pgdat.failAllocAfter = 1;
    w.file.size = PAGE;
    truncateInodePages(w.file.mapping, PAGE);
    w.pgdat.failAllocAfter = 0;
    checkPageTables(w.pgdat);
    assert.equal(w.pgdat.swap.totalPages - w.pgdat.swap.freePages, 1);
    for (const mm of [parent!, child]) assert.equal(mm.rss[MM_SWAPENTS], 1);
    for (const mm of [parent!, child]) {
      assert.equal(peek(mm, BASE), 99);
      assert.equal(peek(mm, BASE + PAGE), -EFAULT);
    }
    finish(w);
  });

  it('writes changes back to a file with a store, and keeps them if that fails', () => {
    const w = world('store');
    assert.equal(putUser32(w.mms[1]!, BASE + 3 * PAGE, 0x4444_4444), 0);
    writeByte(w.file, 5, 0x66);
    w.file.failWrites = true;
    assert.equal(pageoutFile(w.pgdat, w.file), PAGES - 2);
    checkPageTables(w.pgdat);
    w.file.failWrites = false;
    assert.equal(pageoutFile(w.pgdat, w.file), 2);
    assert.deepEqual(
      [...w.file.written],
      [
        [3, 0x44],
        [5, 0x66],
      ],
    );
    for (const mm of w.mms) assert.equal(getUser8(mm, BASE + 3 * PAGE), 0x44);
    assert.equal(byteAt(w.file, 5), 0x66);
    finish(w);
  });

  it('puts changes of a file without a store into swap', () => {
    const w = world('read-only');
    const device = testSwapon(w.pgdat, 64);
    assert.equal(putUser32(w.mms[0]!, BASE + 3 * PAGE, 0x4444_4444), 0);
    assert.equal(pageoutFile(w.pgdat, w.file), PAGES);
    checkPageTables(w.pgdat);
    assert.equal(device.writes, 1);
    assert.equal(w.file.mapping.swapped, 1);
    assert.equal(byteAt(w.file, 3), 0x44);
    assert.equal(byteAt(w.file, 4), 5);
    assert.equal(w.file.mapping.swapped, 0);
    assert.equal(pageoutFile(w.pgdat, w.file), 2);
    assert.equal(byteAt(w.file, 3), 0x44);
    finish(w);
  });

  it('does not touch pages that somebody holds, or that a VM_LOCKED mapping or the file locks', () => {
    const w = world('read-only');
    const held = w.file.mapping.pages.get(2) as Pfn;
    w.pgdat.page.refcount[held]!++;
    assert.equal(pageoutFile(w.pgdat, w.file), PAGES - 1);
    w.pgdat.page.refcount[held]!--;
    w.file.mapping.unevictable = true;
    assert.equal(pageoutFile(w.pgdat, w.file), 0);
    assert.equal(w.pgdat.lruSize[LRU_UNEVICTABLE], 1);
    finish(w);
  });

  it('keeps code that runs, and pages that are read twice', () => {
    const pgdat = testPgData(8);
    const pages = 64;
    const file = new TestFile(pgdat, pages, 'read-only');
    const mm = testMm(pgdat);
    map(mm, BASE, PAGE, { file, prot: PROT_READ | PROT_EXEC, flags: MAP_PRIVATE });
    peek(mm, BASE);
    for (let i = 1; i < pages; i++) byteAt(file, i);
    for (let i = 1; i < 4; i++) byteAt(file, i);
    assert.equal(pgdat.lruSize[LRU_ACTIVE_FILE], 3);
    tryToFreePages(pgdat, 1);
    checkPageTables(pgdat);
    assert.notEqual(pteAt(mm, BASE) & PTE_V, 0);
    assert.ok(file.mapping.pages.get(1) !== 0);
    assert.ok(file.mapping.pages.size < pages);
    mmput(mm);
    destroyMapping(file.mapping);
    checkPageTables(pgdat);
  });

  it('is what drop_caches does to pages that nobody uses', () => {
    const w = world('read-only');
    dropPagecache(w.pgdat);
    assert.equal(w.file.mapping.pages.size, PAGES);
    for (const mm of w.mms.splice(0)) mmput(mm);
    writeByte(w.file, 1, 9);
    dropPagecache(w.pgdat);
    assert.equal(w.file.mapping.pages.size, 1);
    finish(w);
  });
});

describe('shared memory in swap', () => {
  function swapped(): World & { device: ReturnType<typeof testSwapon> } {
    const w = world('shmem');
    const device = testSwapon(w.pgdat, 64);
    for (let i = 0; i < PAGES; i++)
      assert.equal(putUser32(w.mms[i % 2]!, BASE + i * PAGE, i + 1), 0);
    assert.equal(pageoutFile(w.pgdat, w.file), PAGES);
    checkPageTables(w.pgdat);
    assert.equal(w.file.mapping.swapped, PAGES);
    assert.equal(w.file.mapping.pages.size, PAGES);
    for (const mm of w.mms) assert.equal(mm.rss[MM_SHMEMPAGES], 0);
    return { ...w, device };
  }

  it('comes back for faults and for read() and write()', () => {
    const w = swapped();
    assert.equal(byteAt(w.file, 0), 1);
    writeByte(w.file, 4, 0x77);
    for (const mm of w.mms) {
      for (let i = 0; i < PAGES; i++) {
        assert.equal(getUser8(mm, BASE + i * PAGE), i === 4 ? 0x77 : i + 1);
      }
    }
    assert.equal(w.file.mapping.swapped, 0);
    finish(w);
  });

  it('needs no slot for pages that were only read', () => {
    const w = world('shmem');
    const device = testSwapon(w.pgdat, 64);
    assert.equal(pageoutFile(w.pgdat, w.file), PAGES);
    assert.equal(device.writes, 0);
    assert.equal(w.file.mapping.pages.size, 0);
    assert.equal(peek(w.mms[1]!, BASE), 0);
    finish(w);
  });

  it('gives its slots back when the file is cut or punched, also in the middle of a page', () => {
    const w = swapped();
    const pages = (): number => w.pgdat.swap.totalPages - w.pgdat.swap.freePages;
    truncatePagecacheRange(w.file.mapping, 2 * PAGE + 2, 5 * PAGE);
    checkPageTables(w.pgdat);
    assert.equal(pages(), PAGES - 2);
    assert.equal(getUser8(w.mms[0]!, BASE + 2 * PAGE), 3);
    assert.equal(getUser8(w.mms[0]!, BASE + 3 * PAGE), 0);
    w.file.size = 8 * PAGE + 1;
    w.pgdat.failAllocAfter = 1;
    truncateInodePages(w.file.mapping, w.file.size);
    assert.equal(w.pgdat.failAllocAfter, 1);
    w.pgdat.failAllocAfter = 0;
    checkPageTables(w.pgdat);
    w.file.size = LEN;
    assert.equal(peek(w.mms[0]!, BASE + 8 * PAGE), 9);
    assert.equal(peek(w.mms[0]!, BASE + 9 * PAGE), 0);
    finish(w);
  });

  it('cuts bytes off a page in swap, or loses it rather than showing them', () => {
    const w = world('shmem');
    const device = testSwapon(w.pgdat, 64);
    for (let i = 0; i < PAGES; i++) writeByte(w.file, i, 0xaa);
    pageoutFile(w.pgdat, w.file);
    w.file.size = 3 * PAGE + 100;
    truncateInodePages(w.file.mapping, w.file.size);
    w.file.size = LEN;
    assert.equal(getUser8(w.mms[0]!, BASE + 3 * PAGE + 99), 0xaa);
    assert.equal(getUser8(w.mms[0]!, BASE + 3 * PAGE + 100), 0);
    device.failWrites = true;
    truncateInodePages(w.file.mapping, 2 * PAGE + 1);
    assert.equal(getUser8(w.mms[0]!, BASE + 2 * PAGE), -EFAULT);
    assert.equal(byteAt(w.file, 2), -EIO);
    assert.equal(getUser8(w.mms[0]!, BASE + PAGE), 0xaa);
    finish(w);
  });

  it('is an error when the device fails, and there when it works again', () => {
    const w = swapped();
    w.device.failReads = true;
    assert.equal(byteAt(w.file, 1), -EIO);
    assert.equal(peek(w.mms[0]!, BASE + PAGE), -EFAULT);
    checkPageTables(w.pgdat);
    w.device.failReads = false;
    assert.equal(peek(w.mms[0]!, BASE + PAGE), 2);
    finish(w);
  });

  it('is brought back by swapoff, and what cannot be read is an error', () => {
    const w = swapped();
    assert.equal(doSwapoff(w.pgdat, w.pgdat.swap.active[0]!), 0);
    checkPageTables(w.pgdat);
    assert.equal(w.file.mapping.swapped, 0);
    for (let i = 0; i < PAGES; i++) assert.equal(peek(w.mms[1]!, BASE + i * PAGE), i + 1);
    const device = testSwapon(w.pgdat, 64);
    assert.equal(pageoutFile(w.pgdat, w.file), PAGES);
    device.failReads = true;
    assert.equal(doSwapoff(w.pgdat, w.pgdat.swap.active[0]!), 0);
    checkPageTables(w.pgdat);
    assert.equal(byteAt(w.file, 1), -EIO);
    w.file.size = 0;
    truncateInodePages(w.file.mapping, 0);
    w.file.size = LEN;
    assert.equal(byteAt(w.file, 1), 0);
    finish(w);
  });

  it('is not resident for mincore()', () => {
    const w = swapped();
    const mm = testMm(w.pgdat);
    map(mm, BASE, PAGE);
    map(mm, BASE + 64 * PAGE, LEN, { file: w.file, flags: MAP_SHARED });
    peek(w.mms[0]!, BASE + 2 * PAGE);
    assert.equal(doMincore(mm, BASE + 64 * PAGE, LEN, BASE), 0);
    const bits = Array.from({ length: PAGES }, (_, i) => getUser8(mm, BASE + i));
    assert.deepEqual(
      bits,
      Array.from({ length: PAGES }, (_, i) => (i === 2 ? 1 : 0)),
    );
    w.mms.push(mm);
    finish(w);
  });
});

describe('msync', () => {
  it('writes back what shared mappings changed, once, in place (pageMkclean)', () => {
    const w = world('store');
    const [parent, child] = w.mms;
    assert.equal(putUser32(parent!, BASE + 2 * PAGE, 0x2222_2222), 0);
    assert.equal(putUser32(child!, BASE + 4 * PAGE, 0x4444_4444), 0);
    const tables = w.pgdat.pageTables;
    assert.equal(doMsync(parent!, BASE, LEN, MS_SYNC), 0);
    assert.equal(w.pgdat.pageTables, tables);
    checkPageTables(w.pgdat);
    assert.deepEqual(
      [...w.file.written],
      [
        [2, 0x22],
        [4, 0x44],
      ],
    );
    assert.equal(pteAt(child!, BASE + 4 * PAGE) & (PTE_D | PTE_W), 0);
    w.file.written.clear();
    assert.equal(doMsync(child!, BASE, LEN, MS_SYNC), 0);
    assert.equal(w.file.written.size, 0);
    assert.equal(putUser32(child!, BASE + 4 * PAGE, 0x5555_5555), 0);
    assert.equal(doMsync(parent!, BASE + 3 * PAGE, 2 * PAGE, MS_SYNC), 0);
    assert.deepEqual([...w.file.written], [[4, 0x55]]);
    finish(w);
  });

  it('says when a page could not be written, which stays changed', () => {
    const w = world('store');
    assert.equal(putUser32(w.mms[0]!, BASE, 0x1111_1111), 0);
    w.file.failWrites = true;
    assert.equal(doMsync(w.mms[0]!, BASE, LEN, MS_SYNC), -EIO);
    w.file.failWrites = false;
    assert.equal(doMsync(w.mms[0]!, BASE, LEN, MS_SYNC), 0);
    assert.deepEqual([...w.file.written], [[0, 0x11]]);
    finish(w);
  });

  it('leaves private mappings alone', () => {
    const w = world('store', MAP_PRIVATE);
    assert.equal(putUser32(w.mms[0]!, BASE, 0x1111_1111), 0);
    assert.equal(doMsync(w.mms[0]!, BASE, LEN, MS_SYNC), 0);
    assert.equal(w.file.written.size, 0);
    map(w.mms[0]!, BASE + 32 * PAGE, PAGE, { prot: PROT_READ | PROT_WRITE });
    assert.equal(doMsync(w.mms[0]!, BASE + 32 * PAGE, PAGE, MS_SYNC), 0);
    finish(w);
  });
});
