import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LEVEL_PTE, LEVEL_PUD } from '../../src/arch/riscv/pgtable.ts';
import { mmput } from '../../src/mm/fork.ts';
import { doMadvise } from '../../src/mm/madvise.ts';
import { doMmap, doMunmap } from '../../src/mm/mmap.ts';
import { putUser32 } from '../../src/mm/uaccess.ts';
import { ENOMEM } from '../../src/uapi/errno.ts';
import {
  MADV_DONTNEED,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  PROT_READ,
  PROT_WRITE,
} from '../../src/uapi/mman.ts';
import { endFamily, testFamily } from '../unit/mm/family.ts';
import { BASE, map, MIB, PAGE, peek, PMD, testMm, touch } from '../unit/mm/harness.ts';

describe('breaking a shared page table', () => {
  it('copies it for the first writer and lets the last one take it over', () => {
    const f = testFamily(2 * MIB);
    const { vmstat } = f.pgdat;
    assert.equal(putUser32(f.parent, BASE, 1), 0);
    assert.deepEqual([vmstat.cowBreakCopy[LEVEL_PTE], vmstat.cowBreakReuse[LEVEL_PTE]], [1, 0]);
    assert.equal(putUser32(f.child, BASE, 2), 0);
    assert.deepEqual([vmstat.cowBreakCopy[LEVEL_PTE], vmstat.cowBreakReuse[LEVEL_PTE]], [1, 1]);
    assert.equal(peek(f.parent, BASE), 1);
    assert.equal(peek(f.child, BASE), 2);
    endFamily(f);
  });

  it('copies no page for a parent whose child has exited', () => {
    const f = testFamily(2 * MIB);
    mmput(f.child);
    touch(f.parent, BASE, PMD, 9);
    assert.equal(f.pgdat.vmstat.pgcow, 0);
    assert.equal(f.pgdat.vmstat.pgreuse, 0, 'no write-protect fault either');
    assert.equal(f.pgdat.vmstat.cowBreakReuse[LEVEL_PUD], 1, 'the highest shared table');
    f.child = testMm(f.pgdat);
    endFamily(f);
  });

  it('keeps the rest of a table when one page of it is dropped (D1)', () => {
    const f = testFamily(2 * MIB);
    assert.equal(doMadvise(f.child, BASE + PAGE, PAGE, MADV_DONTNEED), 0);
    assert.equal(peek(f.child, BASE + PAGE), 0);
    assert.equal(peek(f.child, BASE), 4);
    assert.equal(peek(f.parent, BASE + PAGE), 4);
    endFamily(f);
  });

  it('keeps a neighbouring mapping when one VMA of a table is unmapped (D1)', () => {
    const f = testFamily(1 * MIB);
    map(f.parent, BASE + MIB + PAGE, PAGE);
    assert.equal(doMunmap(f.child, BASE, MIB / 2), 0);
    assert.ok(peek(f.child, BASE) < 0);
    assert.equal(peek(f.child, BASE + MIB / 2), 4);
    assert.equal(peek(f.parent, BASE), 4);
    endFamily(f);
  });

  it('only lets go of tables that a range covers whole', () => {
    const f = testFamily(6 * MIB);
    const { vmstat } = f.pgdat;
    assert.equal(doMunmap(f.child, BASE, 6 * MIB), 0);
    assert.equal(vmstat.cowBreakCopy[LEVEL_PTE], 0);
    assert.deepEqual([...vmstat.cowDrop], [0, 0, 1], 'the highest table that holds nothing else');
    endFamily(f);
  });

  it('reads through a shared table without breaking it', () => {
    const f = testFamily(2 * MIB);
    for (let at = BASE; at < BASE + PMD; at += PAGE) assert.equal(peek(f.child, at), 4);
    assert.equal(f.pgdat.vmstat.cowBreakCopy[LEVEL_PTE], 0);
    endFamily(f);
  });

  it('breaks before a read fault fills an entry that the other process must not see', () => {
    const f = testFamily(1 * MIB);
    const hole = BASE + MIB;
    assert.equal(
      doMmap(
        f.child,
        hole,
        PAGE,
        PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
        null,
        0,
      ),
      hole,
    );
    assert.equal(peek(f.child, hole), 0);
    assert.ok(peek(f.parent, hole) < 0);
    endFamily(f);
  });

  it('changes nothing when memory is out (I11)', () => {
    const f = testFamily(2 * MIB);
    f.pgdat.failAllocAfter = 1;
    assert.ok(putUser32(f.child, BASE, 1) < 0);
    assert.equal(peek(f.child, BASE), 4);
    f.pgdat.failAllocAfter = 1;
    assert.equal(doMunmap(f.child, BASE, PAGE), -ENOMEM);
    assert.equal(peek(f.child, BASE), 4);
    endFamily(f);
  });
});
