import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  LEVEL_PMD,
  LEVEL_PTE,
  LEVEL_PUD,
  ptePfn,
  PTE_D,
  PTE_SOFT_DIRTY,
  type Pfn,
  type Pte,
} from '../../src/arch/riscv/pgtable.ts';
import { dupMm, mmput } from '../../src/mm/fork.ts';
import {
  FOLL_LONGTERM,
  FOLL_WRITE,
  getUserPages,
  pinUserPages,
  unpinUserPages,
} from '../../src/mm/gup.ts';
import type { MmStruct, PgData } from '../../src/mm/mm_types.ts';
import { doMunmap } from '../../src/mm/mmap.ts';
import { doMremap } from '../../src/mm/mremap.ts';
import { putPage } from '../../src/mm/page_alloc.ts';
import { GUP_PIN_COUNTING_BIAS, PG_ANON_EXCLUSIVE, PG_TABLE_PINNED } from '../../src/mm/page.ts';
import { checkPageTables } from '../../src/mm/page_table_check.ts';
import { pathFlags, ptePtrOf, tableAt } from '../../src/mm/pgtable.ts';
import { putUser32 } from '../../src/mm/uaccess.ts';
import { ENOMEM } from '../../src/uapi/errno.ts';
import { MREMAP_FIXED, MREMAP_MAYMOVE } from '../../src/uapi/mman.ts';
import { BASE, map, PAGE, peek, PMD, testMm, testPgData, touch } from '../unit/mm/harness.ts';

const PIN = GUP_PIN_COUNTING_BIAS;

interface Family {
  pgdat: PgData;
  free: number;
  parent: MmStruct;
}

/** A process with two leaf tables of fours. */
function process(cowPte = true): Family {
  const pgdat = testPgData(16);
  const free = pgdat.freeFrames;
  const parent = testMm(pgdat, cowPte);
  map(parent, BASE, 2 * PMD);
  touch(parent, BASE, 4 * PAGE, 4);
  touch(parent, BASE + PMD, 4 * PAGE, 4);
  return { pgdat, free, parent };
}

function fork(mm: MmStruct): MmStruct {
  const child = dupMm(mm);
  assert.ok(child !== null);
  return child;
}

function end(f: Family, ...mms: MmStruct[]): void {
  for (const mm of mms) mmput(mm);
  checkPageTables(f.pgdat);
  assert.equal(f.pgdat.freeFrames, f.free);
}

/** Pins one page. */
function pin(mm: MmStruct, addr: number, flags = 0): Int32Array {
  const pages = new Int32Array(1);
  assert.equal(pinUserPages(mm, addr, flags, pages), 1);
  return pages;
}

function get(mm: MmStruct, addr: number, flags = 0): Pfn {
  const pages = new Int32Array(1);
  assert.equal(getUserPages(mm, addr, flags, pages), 1);
  return pages[0] as Pfn;
}

/** First word of a frame, as whoever holds it sees it. */
function word(pgdat: PgData, pfn: number): number {
  return pgdat.ram.u32[(pfn * PAGE) / 4]!;
}

function frame(mm: MmStruct, addr: number): number {
  return ptePfn(mm.pgdat.ram.u32[ptePtrOf(mm, addr)] as Pte);
}

const MODES = [
  ['with COW page tables', true],
  ['without', false],
] as const;

describe('a pin through a shared table (D4)', () => {
  it('makes the path private first, and both sharers can still write', () => {
    const f = process();
    const child = fork(f.parent);
    for (const flags of [0, FOLL_WRITE]) {
      const addr = BASE + (flags === 0 ? 0 : PMD);
      const pages = pin(child, addr, flags);
      assert.equal(pathFlags(child, addr), 0, 'the pinned page is on a private path');
      assert.notEqual(pages[0], frame(f.parent, addr));
      assert.equal(putUser32(child, addr, 7), 0);
      assert.equal(word(f.pgdat, pages[0]!), 7, 'the pin sees what the child writes');
      assert.equal(putUser32(f.parent, addr, 5), 0);
      assert.equal(word(f.pgdat, pages[0]!), 7);
      assert.equal(peek(child, addr), 7);
      checkPageTables(f.pgdat, new Map([[pages[0]!, PIN]]));
      unpinUserPages(f.pgdat, pages);
    }
    end(f, child, f.parent);
  });

  it('leaves tables alone in which nothing is pinned', () => {
    const f = process();
    const child = fork(f.parent);
    const table = tableAt(child, BASE + PMD, LEVEL_PTE);
    const pages = pin(child, BASE);
    assert.equal(tableAt(child, BASE + PMD, LEVEL_PTE), table);
    assert.equal(tableAt(f.parent, BASE + PMD, LEVEL_PTE), table);
    assert.equal(f.pgdat.page.ptRefs[table], 2);
    unpinUserPages(f.pgdat, pages);
    end(f, child, f.parent);
  });
});

describe('a writable page through a shared table (D4b)', () => {
  it('is one that no other process sees, though the leaf entry has W and the page is exclusive', () => {
    const f = process();
    const child = fork(f.parent);
    const shared = frame(child, BASE);
    assert.notEqual(f.pgdat.page.flags[shared]! & PG_ANON_EXCLUSIVE, 0);
    const pfn = get(child, BASE, FOLL_WRITE);
    f.pgdat.ram.u32[(pfn * PAGE) / 4] = 9;
    assert.equal(peek(child, BASE), 9);
    assert.equal(peek(f.parent, BASE), 4);
    putPage(f.pgdat, pfn);
    end(f, child, f.parent);
  });
});

describe('a table with a pinned page (D5)', () => {
  it('is shared by fork again once the pin has ended', () => {
    const f = process();
    const { vmstat } = f.pgdat;
    const pages = pin(f.parent, BASE, FOLL_WRITE);
    const first = fork(f.parent);
    assert.equal(vmstat.cowPteFallback, 1, 'copied while pinned');
    assert.notEqual(tableAt(first, BASE, LEVEL_PTE), tableAt(f.parent, BASE, LEVEL_PTE));
    assert.equal(tableAt(first, BASE + PMD, LEVEL_PTE), tableAt(f.parent, BASE + PMD, LEVEL_PTE));
    unpinUserPages(f.pgdat, pages);
    const second = fork(f.parent);
    assert.equal(vmstat.cowPteFallback, 1);
    for (const level of [LEVEL_PTE, LEVEL_PMD, LEVEL_PUD]) {
      const table = tableAt(f.parent, BASE, level);
      assert.equal(tableAt(second, BASE, level), table);
      assert.equal(f.pgdat.page.flags[table]! & PG_TABLE_PINNED, 0);
    }
    end(f, first, second, f.parent);
  });

  it('is not one for use that ended with the call', () => {
    const f = process();
    const pfn = get(f.parent, BASE);
    putPage(f.pgdat, pfn);
    const child = fork(f.parent);
    assert.equal(f.pgdat.vmstat.cowPteFallback, 0);
    end(f, child, f.parent);
  });
});

describe('making a table private while looking a page up (D6) (D7)', () => {
  // Nothing maps frames without a struct page here, so remap_pfn_range() and follow_pfn_pte()
  // have no namesake; their mistakes could be made on this path.
  it('does not take success for failure', () => {
    const f = process();
    const child = fork(f.parent);
    const pages = new Int32Array(4);
    assert.equal(pinUserPages(child, BASE, FOLL_WRITE, pages), 4);
    unpinUserPages(f.pgdat, pages);
    end(f, child, f.parent);
  });

  it('marks the entry of the new table, not of the one it had before', () => {
    const f = process();
    const { u32 } = f.pgdat.ram;
    const child = fork(f.parent);
    const old = ptePtrOf(child, BASE);
    u32[old]! &= ~(PTE_D | PTE_SOFT_DIRTY);
    const pages = pin(child, BASE, FOLL_WRITE);
    assert.equal(ptePtrOf(f.parent, BASE), old);
    assert.equal(u32[old]! & (PTE_D | PTE_SOFT_DIRTY), 0);
    assert.notEqual(u32[ptePtrOf(child, BASE)]! & PTE_D, 0);
    unpinUserPages(f.pgdat, pages);
    end(f, child, f.parent);
  });
});

describe('effective exclusivity (I5)', () => {
  for (const [mode, cowPte] of MODES) {
    it(`decides whether a read-only pin unshares, ${mode}`, () => {
      const f = process(cowPte);
      const own = frame(f.parent, BASE);
      const alone = pin(f.parent, BASE);
      assert.equal(alone[0], own, 'an exclusive page is pinned as it is');
      unpinUserPages(f.pgdat, alone);
      const child = fork(f.parent);
      const pages = pin(child, BASE);
      assert.notEqual(pages[0], own, 'a shared one is not');
      assert.equal(word(f.pgdat, pages[0]!), 4);
      assert.equal(frame(f.parent, BASE), own);
      unpinUserPages(f.pgdat, pages);
      end(f, child, f.parent);
    });

    it(`comes back to whoever is left, ${mode}`, () => {
      const f = process(cowPte);
      const own = frame(f.parent, BASE);
      mmput(fork(f.parent));
      const pages = pin(f.parent, BASE, FOLL_LONGTERM);
      assert.equal(pages[0], own);
      assert.equal(putUser32(f.parent, BASE, 8), 0);
      assert.equal(word(f.pgdat, own), 8);
      unpinUserPages(f.pgdat, pages);
      end(f, f.parent);
    });

    it(`does not come back while somebody holds a reference, ${mode}`, () => {
      const f = process(cowPte);
      const pfn = get(f.parent, BASE);
      const child = fork(f.parent);
      assert.equal(doMunmap(f.parent, BASE, 2 * PMD), 0);
      assert.equal(putUser32(child, BASE, 6), 0);
      assert.equal(word(f.pgdat, pfn), 4, 'the child wrote into a copy');
      checkPageTables(f.pgdat, new Map([[pfn, 1]]));
      putPage(f.pgdat, pfn);
      end(f, child, f.parent);
    });

    it(`is lost to a reference through a shared path (CVE-2020-29374), ${mode}`, () => {
      const f = process(cowPte);
      const child = fork(f.parent);
      const pfn = get(child, BASE);
      assert.equal(doMunmap(child, BASE, PAGE), 0);
      assert.equal(putUser32(f.parent, BASE, 6), 0);
      assert.equal(word(f.pgdat, pfn), 4);
      putPage(f.pgdat, pfn);
      end(f, child, f.parent);
    });
  }
});

describe('a pinned page (I6)', () => {
  for (const [mode, cowPte] of MODES) {
    it(`stays the parent's alone through fork, ${mode}`, () => {
      const f = process(cowPte);
      const pages = pin(f.parent, BASE + PAGE, FOLL_WRITE | FOLL_LONGTERM);
      const held = new Map([[pages[0]!, PIN]]);
      const child = fork(f.parent);
      const grandchild = fork(child);
      checkPageTables(f.pgdat, held);
      assert.equal(frame(f.parent, BASE + PAGE), pages[0]);
      assert.notEqual(frame(child, BASE + PAGE), pages[0]);
      assert.equal(putUser32(f.parent, BASE + PAGE, 11), 0);
      assert.equal(word(f.pgdat, pages[0]!), 11);
      f.pgdat.ram.u32[(pages[0]! * PAGE) / 4] = 12;
      assert.deepEqual(
        [f.parent, child, grandchild].map((mm) => peek(mm, BASE + PAGE)),
        [12, 4, 4],
      );
      assert.equal(peek(child, BASE), 4, 'its neighbours are there too');
      checkPageTables(f.pgdat, held);
      mmput(f.parent);
      checkPageTables(f.pgdat, held);
      unpinUserPages(f.pgdat, pages);
      end(f, child, grandchild);
    });

    it(`takes its mark along when it is moved, ${mode}`, () => {
      const f = process(cowPte);
      const to = BASE + 0x100_0000_0000;
      const pages = pin(f.parent, BASE, FOLL_WRITE);
      const flags = MREMAP_MAYMOVE | MREMAP_FIXED;
      assert.equal(doMremap(f.parent, BASE, 2 * PAGE, 2 * PAGE, flags, to), to);
      const child = fork(f.parent);
      assert.equal(frame(f.parent, to), pages[0]);
      assert.notEqual(frame(child, to), pages[0]);
      checkPageTables(f.pgdat, new Map([[pages[0]!, PIN]]));
      unpinUserPages(f.pgdat, pages);
      end(f, child, f.parent);
    });
  }
});

describe('with each allocation failing in turn (I11)', () => {
  it('a pin through a shared path takes all it needs or changes nothing to see', () => {
    for (const flags of [0, FOLL_WRITE]) {
      for (let n = 1; ; n++) {
        const f = process();
        const child = fork(f.parent);
        const pages = new Int32Array(1);
        f.pgdat.failAllocAfter = n;
        const got = pinUserPages(child, BASE, flags, pages);
        f.pgdat.failAllocAfter = 0;
        assert.equal(got, n <= 4 ? -ENOMEM : 1, 'three tables and a page are allocated');
        if (got === 1) unpinUserPages(f.pgdat, pages);
        assert.deepEqual([peek(child, BASE), peek(f.parent, BASE)], [4, 4]);
        end(f, child, f.parent);
        if (n > 4) break;
      }
    }
  });

  it('fork of a process with pinned pages leaves the parent as it was', () => {
    for (const [, cowPte] of MODES) {
      const f = process(cowPte);
      const pages = new Int32Array(3);
      assert.equal(pinUserPages(f.parent, BASE, FOLL_WRITE, pages), 3);
      const held = new Map([...pages].map((pfn) => [pfn, PIN] as const));
      for (let n = 1; ; n++) {
        f.pgdat.failAllocAfter = n;
        const child = dupMm(f.parent);
        f.pgdat.failAllocAfter = 0;
        checkPageTables(f.pgdat, held);
        assert.equal(frame(f.parent, BASE), pages[0]);
        if (child === null) continue;
        assert.ok(n > 5, 'tables and three copies were allocated');
        mmput(child);
        break;
      }
      unpinUserPages(f.pgdat, pages);
      end(f, f.parent);
    }
  });
});
