import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ptePfn, type Pfn, type Pte } from '../../../src/arch/riscv/pgtable.ts';
import { accessRemoteVm } from '../../../src/mm/access_process_vm.ts';
import { dupMm, mmput } from '../../../src/mm/fork.ts';
import {
  FOLL_FORCE,
  FOLL_LONGTERM,
  FOLL_WRITE,
  getUserPages,
  getUserPagesFast,
  pinUserPages,
  pinUserPagesFast,
  unpinUserPages,
  unpinUserPagesDirtyLock,
} from '../../../src/mm/gup.ts';
import { iovUser, iovUserVec } from '../../../src/mm/iov_iter.ts';
import { doMadvise } from '../../../src/mm/madvise.ts';
import { AddressSpace, MM_SWAPENTS, type MmStruct, type VmFile } from '../../../src/mm/mm_types.ts';
import { doMunmap } from '../../../src/mm/mmap.ts';
import { doMprotect } from '../../../src/mm/mprotect.ts';
import { putPage } from '../../../src/mm/page_alloc.ts';
import { GUP_PIN_COUNTING_BIAS, PG_DIRTY } from '../../../src/mm/page.ts';
import { checkPageTables } from '../../../src/mm/page_table_check.ts';
import { pathFlags, ptePtrOf } from '../../../src/mm/pgtable.ts';
import { processVmRw } from '../../../src/mm/process_vm_access.ts';
import { shmemFileSetup } from '../../../src/mm/shmem.ts';
import { destroyMapping } from '../../../src/mm/truncate.ts';
import { getUser8, putUser32 } from '../../../src/mm/uaccess.ts';
import { VM_IO } from '../../../src/mm/vma.ts';
import { EFAULT, EINVAL } from '../../../src/uapi/errno.ts';
import {
  MADV_PAGEOUT,
  MAP_GROWSDOWN,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_EXEC,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
} from '../../../src/uapi/mman.ts';
import { BASE, map, PAGE, peek, PMD, testMm, testPgData, testSwapon, touch } from './harness.ts';

const PIN = GUP_PIN_COUNTING_BIAS;

function frame(mm: MmStruct, addr: number): number {
  return ptePfn(mm.pgdat.ram.u32[ptePtrOf(mm, addr)] as Pte);
}

/** A file of a file system with a backing store: its pages are zeroes with a 5 in front. */
function diskFile(mm: MmStruct, pages: number): VmFile & { end(): void } {
  const { pgdat } = mm;
  const readFolio = (_mapping: AddressSpace, _index: number, pfn: Pfn): number => {
    pgdat.ram.u8.fill(0, pfn * PAGE, (pfn + 1) * PAGE);
    pgdat.ram.u32[(pfn * PAGE) / 4] = 5;
    return 0;
  };
  const mapping = new AddressSpace(pgdat, { size: () => pages * PAGE, readFolio }, false);
  return {
    mapping,
    dev: 1,
    ino: 1,
    getFile: () => {},
    putFile: () => {},
    mapsName: () => 'disk',
    end: () => destroyMapping(mapping),
  };
}

describe('getUserPages() and pinUserPages()', () => {
  it('fault pages in and count what they hand out', () => {
    const mm = testMm(testPgData(8));
    const { page, vmstat } = mm.pgdat;
    map(mm, BASE, 4 * PAGE);
    const got = new Int32Array(4);
    assert.equal(getUserPages(mm, BASE + 5, FOLL_WRITE, got), 4);
    assert.deepEqual(
      [...got],
      [0, 1, 2, 3].map((i) => frame(mm, BASE + i * PAGE)),
    );
    const pinned = new Int32Array(2);
    assert.equal(pinUserPages(mm, BASE, 0, pinned), 2);
    assert.deepEqual([page.refcount[got[0]!], page.refcount[got[3]!]], [2 + PIN, 2]);
    checkPageTables(mm.pgdat, new Map([...got].map((pfn, i) => [pfn, i < 2 ? 1 + PIN : 1])));
    unpinUserPages(mm.pgdat, pinned);
    for (const pfn of got) putPage(mm.pgdat, pfn as Pfn);
    assert.deepEqual([vmstat.nrFollPinAcquired, vmstat.nrFollPinReleased], [2, 2]);
    checkPageTables(mm.pgdat);
    mmput(mm);
  });

  it('stop at the first page that cannot be had', () => {
    const mm = testMm(testPgData(8));
    map(mm, BASE, 2 * PAGE);
    const pages = new Int32Array(4);
    assert.equal(getUserPages(mm, BASE, 0, pages), 2);
    for (const pfn of pages.subarray(0, 2)) putPage(mm.pgdat, pfn as Pfn);
    assert.equal(getUserPages(mm, BASE + 2 * PAGE, 0, pages), -EFAULT);
    assert.equal(getUserPages(mm, BASE, 0, new Int32Array(0)), 0);
    assert.equal(pinUserPages(mm, 2 ** 60, 0, pages), -EFAULT);
    checkPageTables(mm.pgdat);
    mmput(mm);
  });

  it('refuse flags that are not the caller’s', () => {
    const mm = testMm(testPgData(8));
    map(mm, BASE, PAGE);
    const one = new Int32Array(1);
    const [FOLL_GET, FOLL_ANON, FOLL_PIN] = [1 << 1, 1 << 7, 1 << 19];
    assert.equal(getUserPages(mm, BASE, FOLL_PIN, one), -EINVAL);
    assert.equal(getUserPages(mm, BASE, FOLL_LONGTERM, one), -EINVAL);
    assert.equal(pinUserPages(mm, BASE, FOLL_GET, one), -EINVAL);
    assert.equal(pinUserPages(mm, BASE, 1 << 16, one), -EINVAL);
    assert.equal(getUserPagesFast(mm, BASE, FOLL_ANON, one), -EINVAL);
    assert.equal(pinUserPagesFast(mm, BASE, FOLL_ANON, one), -EINVAL);
    assert.equal(pinUserPages(mm, BASE, FOLL_ANON, one), 1);
    unpinUserPages(mm.pgdat, one);
    mmput(mm);
  });

  it('take no page without the access, except by force within a private mapping', () => {
    const mm = testMm(testPgData(8));
    const one = new Int32Array(1);
    const file = shmemFileSetup(mm.pgdat, 'file', PAGE);
    map(mm, BASE, PAGE, { prot: PROT_READ });
    map(mm, BASE + PMD, PAGE, { prot: PROT_EXEC });
    map(mm, BASE + 2 * PMD, PAGE, { prot: PROT_READ, flags: MAP_SHARED, file });
    assert.equal(getUserPages(mm, BASE, FOLL_WRITE, one), -EFAULT);
    assert.equal(getUserPages(mm, BASE + PMD, 0, one), -EFAULT);
    for (const addr of [BASE, BASE + PMD]) {
      assert.equal(getUserPages(mm, addr, FOLL_WRITE | FOLL_FORCE, one), 1);
      putPage(mm.pgdat, one[0] as Pfn);
      assert.equal(putUser32(mm, addr, 1), -EFAULT, 'the process still cannot');
    }
    const force = FOLL_WRITE | FOLL_FORCE;
    assert.equal(getUserPages(mm, BASE + 2 * PMD, force, one), -EFAULT);
    checkPageTables(mm.pgdat);
    mmput(mm);
    file.putFile();
  });

  it('give nobody the pages of devices or secret memory', () => {
    const mm = testMm(testPgData(8));
    const one = new Int32Array(1);
    map(mm, BASE, 2 * PAGE);
    touch(mm, BASE, 2 * PAGE);
    const vma = mm.vmas.find(BASE)!;
    vma.flags |= VM_IO;
    assert.equal(getUserPages(mm, BASE, 0, one), -EFAULT);
    assert.equal(accessRemoteVm(mm, BASE, new Uint8Array(4), FOLL_FORCE), 0);
    vma.flags &= ~VM_IO;
    vma.ops = { fault: () => 0, secretmem: true };
    assert.equal(pinUserPages(mm, BASE, 0, one), -EFAULT);
    assert.equal(accessRemoteVm(mm, BASE, new Uint8Array(4), FOLL_FORCE), 0);
    vma.ops = null;
    mmput(mm);
  });

  it('do not pin the zero page, but unshare it for a long-term pin', () => {
    const mm = testMm(testPgData(8));
    const { pgdat } = mm;
    map(mm, BASE, PAGE);
    assert.equal(peek(mm, BASE), 0);
    const one = new Int32Array(1);
    assert.equal(pinUserPages(mm, BASE, 0, one), 1);
    assert.equal(one[0], pgdat.zeroPfn);
    assert.equal(pgdat.page.refcount[pgdat.zeroPfn], 1);
    unpinUserPages(pgdat, one);
    assert.equal(pinUserPages(mm, BASE, FOLL_LONGTERM, one), 1);
    assert.notEqual(one[0], pgdat.zeroPfn);
    assert.equal(putUser32(mm, BASE, 3), 0);
    assert.equal(frame(mm, BASE), one[0], 'the pin sees what is written later');
    unpinUserPages(pgdat, one);
    checkPageTables(pgdat);
    mmput(mm);
  });

  it('pin pages of the file for reading, and a copy for a long time', () => {
    const mm = testMm(testPgData(8));
    const { pgdat } = mm;
    const file = shmemFileSetup(pgdat, 'file', PAGE);
    map(mm, BASE, PAGE, { flags: MAP_PRIVATE, file });
    map(mm, BASE + PMD, PAGE, { flags: MAP_SHARED, file });
    touch(mm, BASE + PMD, PAGE, 9);
    const cached = frame(mm, BASE + PMD);
    const one = new Int32Array(1);
    assert.equal(pinUserPages(mm, BASE, 0, one), 1);
    assert.equal(one[0], cached);
    unpinUserPages(pgdat, one);
    for (const flags of [FOLL_LONGTERM, FOLL_LONGTERM | FOLL_WRITE]) {
      assert.equal(pinUserPages(mm, BASE, flags, one), 1);
      assert.notEqual(one[0], cached);
      unpinUserPages(pgdat, one);
    }
    assert.equal(pinUserPages(mm, BASE + PMD, FOLL_LONGTERM | FOLL_WRITE, one), 1);
    assert.equal(one[0], cached);
    unpinUserPages(pgdat, one);
    checkPageTables(pgdat);
    mmput(mm);
    file.putFile();
  });

  it('refuse a long-term pin for writing where a file system would have to know of writes', () => {
    const mm = testMm(testPgData(8));
    const file = diskFile(mm, 1);
    map(mm, BASE, PAGE, { flags: MAP_SHARED, file });
    map(mm, BASE + PMD, PAGE, { flags: MAP_PRIVATE, file });
    const one = new Int32Array(1);
    assert.equal(pinUserPages(mm, BASE, FOLL_LONGTERM | FOLL_WRITE, one), -EFAULT);
    for (const [addr, flags] of [
      [BASE, FOLL_LONGTERM],
      [BASE, FOLL_WRITE],
      [BASE + PMD, FOLL_LONGTERM | FOLL_WRITE],
    ] as const) {
      assert.equal(pinUserPages(mm, addr, flags, one), 1);
      unpinUserPages(mm.pgdat, one);
    }
    checkPageTables(mm.pgdat);
    mmput(mm);
    file.end();
  });

  it('tell when a pinned page was written', () => {
    const mm = testMm(testPgData(8));
    const { flags } = mm.pgdat.page;
    const file = diskFile(mm, 1);
    map(mm, BASE, PAGE, { flags: MAP_SHARED, file });
    const one = new Int32Array(1);
    assert.equal(pinUserPages(mm, BASE, 0, one), 1);
    assert.equal(flags[one[0]!]! & PG_DIRTY, 0);
    unpinUserPagesDirtyLock(mm.pgdat, one);
    assert.notEqual(flags[one[0]!]! & PG_DIRTY, 0);
    mmput(mm);
    file.end();
  });

  it('keep a page from being reclaimed, and bring one in swap back', () => {
    const mm = testMm(testPgData(8));
    const { pgdat } = mm;
    testSwapon(pgdat, 16);
    map(mm, BASE, 3 * PAGE);
    touch(mm, BASE, 3 * PAGE, 5);
    const one = new Int32Array(1);
    assert.equal(pinUserPages(mm, BASE, 0, one), 1);
    const two = new Int32Array(1);
    assert.equal(getUserPages(mm, BASE + PAGE, 0, two), 1);
    assert.equal(doMadvise(mm, BASE, 3 * PAGE, MADV_PAGEOUT), 0);
    assert.deepEqual([frame(mm, BASE), frame(mm, BASE + PAGE)], [one[0], two[0]]);
    assert.equal(mm.rss[MM_SWAPENTS], 1, 'the third page has gone');
    checkPageTables(
      pgdat,
      new Map([
        [one[0]!, PIN],
        [two[0]!, 1],
      ]),
    );
    unpinUserPages(pgdat, one);
    putPage(pgdat, two[0] as Pfn);
    assert.equal(doMadvise(mm, BASE, 3 * PAGE, MADV_PAGEOUT), 0);
    assert.equal(mm.rss[MM_SWAPENTS], 3);
    const child = dupMm(mm)!;
    assert.equal(pinUserPages(child, BASE, FOLL_WRITE, one), 1);
    assert.equal(getUserPages(child, BASE + PAGE, 0, two), 1);
    assert.equal(putUser32(child, BASE, 6), 0);
    assert.deepEqual([peek(child, BASE), peek(mm, BASE), peek(mm, BASE + PAGE)], [6, 5, 5]);
    unpinUserPages(pgdat, one);
    putPage(pgdat, two[0] as Pfn);
    checkPageTables(pgdat);
    mmput(child);
    mmput(mm);
    checkPageTables(pgdat);
  });

  it('keep a page that its process has unmapped', () => {
    const mm = testMm(testPgData(8));
    const { pgdat } = mm;
    map(mm, BASE, PAGE);
    touch(mm, BASE, PAGE, 77);
    const one = new Int32Array(1);
    assert.equal(pinUserPages(mm, BASE, FOLL_WRITE, one), 1);
    assert.equal(doMunmap(mm, BASE, PAGE), 0);
    checkPageTables(pgdat, new Map([[one[0]!, PIN]]));
    assert.equal(pgdat.ram.u32[(one[0]! * PAGE) / 4], 77);
    const free = pgdat.freeFrames;
    unpinUserPages(pgdat, one);
    assert.equal(pgdat.freeFrames, free + 1);
    mmput(mm);
  });
});

describe('accessRemoteVm()', () => {
  it('reads through shared tables and leaves them shared', () => {
    const parent = testMm(testPgData(8));
    map(parent, BASE, 2 * PAGE);
    touch(parent, BASE, 2 * PAGE, 0x01020304);
    const child = dupMm(parent)!;
    const bytes = new Uint8Array(6);
    assert.equal(accessRemoteVm(child, BASE + PAGE - 2, bytes, FOLL_FORCE), 6);
    assert.deepEqual([...bytes], [0, 0, 4, 3, 2, 1]);
    assert.notEqual(pathFlags(child, BASE), 0);
    checkPageTables(parent.pgdat);
    mmput(child);
    mmput(parent);
  });

  it('writes a copy where the process may only read, and leaves the mapping read-only', () => {
    for (const prot of [PROT_READ, PROT_NONE, PROT_READ | PROT_EXEC]) {
      const parent = testMm(testPgData(8));
      map(parent, BASE, PAGE);
      touch(parent, BASE, PAGE, 1);
      assert.equal(doMprotect(parent, BASE, PAGE, prot), 0);
      const child = dupMm(parent)!;
      const flags = FOLL_FORCE | FOLL_WRITE;
      assert.equal(accessRemoteVm(child, BASE, Uint8Array.of(9), flags), 1);
      assert.equal(accessRemoteVm(child, BASE + 1, Uint8Array.of(8), flags), 1);
      const seen = new Uint8Array(2);
      accessRemoteVm(child, BASE, seen, FOLL_FORCE);
      assert.deepEqual([...seen], [9, 8]);
      accessRemoteVm(parent, BASE, seen, FOLL_FORCE);
      assert.deepEqual([...seen], [1, 0]);
      assert.equal(putUser32(child, BASE, 1), -EFAULT);
      checkPageTables(parent.pgdat);
      mmput(child);
      mmput(parent);
    }
  });

  it('never writes a file through a private or a read-only shared mapping', () => {
    const mm = testMm(testPgData(8));
    const file = shmemFileSetup(mm.pgdat, 'file', PAGE);
    map(mm, BASE, PAGE, { flags: MAP_SHARED, file });
    touch(mm, BASE, PAGE, 5);
    map(mm, BASE + PMD, PAGE, { prot: PROT_READ, flags: MAP_PRIVATE, file });
    map(mm, BASE + 2 * PMD, PAGE, { prot: PROT_READ, flags: MAP_SHARED, file });
    const flags = FOLL_FORCE | FOLL_WRITE;
    assert.equal(accessRemoteVm(mm, BASE + PMD, Uint8Array.of(6), flags), 1);
    assert.equal(accessRemoteVm(mm, BASE + 2 * PMD, Uint8Array.of(7), flags), 0);
    assert.deepEqual([peek(mm, BASE), peek(mm, BASE + PMD)], [5, 6]);
    assert.equal(accessRemoteVm(mm, BASE, Uint8Array.of(7), flags), 1);
    assert.deepEqual([peek(mm, BASE), peek(mm, BASE + PMD)], [7, 6]);
    checkPageTables(mm.pgdat);
    mmput(mm);
    file.putFile();
  });

  it('grows a stack, and stops where nothing is', () => {
    const mm = testMm(testPgData(8));
    map(mm, BASE, PAGE, { flags: MAP_PRIVATE | MAP_GROWSDOWN });
    const flags = FOLL_FORCE | FOLL_WRITE;
    assert.equal(accessRemoteVm(mm, BASE - 2 * PAGE, Uint8Array.of(3), flags), 1);
    assert.equal(getUser8(mm, BASE - 2 * PAGE), 3);
    assert.equal(accessRemoteVm(mm, BASE + PAGE - 3, new Uint8Array(9), FOLL_FORCE), 3);
    assert.equal(accessRemoteVm(mm, BASE + PAGE, new Uint8Array(9), FOLL_FORCE), 0);
    checkPageTables(mm.pgdat);
    mmput(mm);
  });
});

describe('processVmRw()', () => {
  it('copies between two processes, page tables shared or not', () => {
    const parent = testMm(testPgData(16));
    map(parent, BASE, 4 * PAGE);
    touch(parent, BASE, 4 * PAGE, 6);
    const child = dupMm(parent)!;
    const remote = [
      { addr: BASE + 2 * PAGE - 4, len: 12 },
      { addr: BASE, len: 0 },
      { addr: BASE + 3 * PAGE, len: 100 },
    ];
    const to = iovUser(parent, BASE + 100, 14);
    assert.equal(processVmRw(child, remote, to, false), 14);
    assert.equal(peek(parent, BASE + 104), 6);
    assert.notEqual(pathFlags(child, BASE), 0, 'reading breaks nothing in the other process');
    const from = iovUserVec(parent, [{ addr: BASE + 100, len: 16 }]);
    assert.equal(processVmRw(child, [{ addr: BASE + PAGE - 8, len: 16 }], from, true), 16);
    assert.equal(peek(child, BASE + PAGE - 4), 6);
    assert.equal(peek(parent, BASE + PAGE - 4), 0);
    checkPageTables(parent.pgdat);
    mmput(child);
    mmput(parent);
  });

  it('copies within one process, onto itself', () => {
    const mm = testMm(testPgData(8));
    map(mm, BASE, 2 * PAGE);
    touch(mm, BASE, PAGE, 3);
    const child = dupMm(mm)!;
    assert.equal(
      processVmRw(mm, [{ addr: BASE, len: 2 * PAGE }], iovUser(mm, BASE, PAGE), true),
      PAGE,
    );
    assert.equal(
      processVmRw(mm, [{ addr: BASE, len: PAGE }], iovUser(mm, BASE + PAGE, PAGE), true),
      PAGE,
    );
    assert.deepEqual([peek(mm, BASE), peek(child, BASE)], [0, 3]);
    checkPageTables(mm.pgdat);
    mmput(child);
    mmput(mm);
  });

  it('says how far it got', () => {
    const mm = testMm(testPgData(8));
    const other = testMm(mm.pgdat);
    map(mm, BASE, PAGE);
    map(other, BASE, PAGE);
    touch(other, BASE, PAGE, 1);
    for (const write of [false, true]) {
      const past = [{ addr: BASE + PAGE - 4, len: 8 }];
      assert.equal(processVmRw(other, past, iovUser(mm, BASE, 100), write), 4);
      assert.equal(processVmRw(other, [{ addr: 8, len: 8 }], iovUser(mm, BASE, 8), write), -EFAULT);
      const whole = [{ addr: BASE, len: 8 }];
      assert.equal(processVmRw(other, whole, iovUser(mm, BASE + PAGE - 4, 8), write), 4);
      assert.equal(processVmRw(other, whole, iovUser(mm, BASE + PAGE, 8), write), -EFAULT);
      const beyond = [{ addr: 2 ** 63, len: 8 }];
      assert.equal(processVmRw(other, beyond, iovUser(mm, BASE, 8), write), -EFAULT);
    }
    assert.equal(doMprotect(other, BASE, PAGE, PROT_READ), 0);
    const whole = [{ addr: BASE, len: 8 }];
    assert.equal(processVmRw(other, whole, iovUser(mm, BASE, 8), true), -EFAULT);
    assert.equal(doMprotect(other, BASE, PAGE, PROT_WRITE | PROT_READ), 0);
    checkPageTables(mm.pgdat);
    mmput(other);
    mmput(mm);
  });
});

describe('copies between processes with each allocation failing in turn (I11)', () => {
  /** A child that shares all tables with its parent, which has two pages of 4. */
  function family(): { parent: MmStruct; child: MmStruct } {
    const parent = testMm(testPgData(8));
    map(parent, BASE, 2 * PAGE);
    touch(parent, BASE, 2 * PAGE, 4);
    return { parent, child: dupMm(parent)! };
  }

  const CALLS: readonly [string, (child: MmStruct, parent: MmStruct) => boolean][] = [
    [
      'accessRemoteVm()',
      (child) => accessRemoteVm(child, BASE, Uint8Array.of(9), FOLL_FORCE | FOLL_WRITE) === 1,
    ],
    [
      'processVmRw()',
      (child, parent) =>
        processVmRw(child, [{ addr: BASE, len: 1 }], iovUser(parent, BASE + PAGE, 1), true) === 1,
    ],
  ];
  for (const [name, call] of CALLS) {
    it(`${name} writes all or nothing of a page, and never the other process's`, () => {
      for (let n = 1; ; n++) {
        const { parent, child } = family();
        const { pgdat } = parent;
        pgdat.failAllocAfter = n;
        const done = call(child, parent);
        const failed = pgdat.failAllocAfter === 0;
        pgdat.failAllocAfter = 0;
        assert.equal(done, !failed);
        assert.equal(peek(parent, BASE), 4);
        if (!done) assert.equal(peek(child, BASE), 4);
        checkPageTables(pgdat);
        mmput(child);
        mmput(parent);
        checkPageTables(pgdat);
        if (done) break;
        assert.ok(n < 10);
      }
    });
  }
});
