import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  FALLBACK_NAMES,
  INPLACE_MKCLEAN,
  INPLACE_NAMES,
  INPLACE_RECLAIM,
  INPLACE_SWAPOFF,
  INPLACE_TRUNCATE,
  type MmEvents,
} from '../../../src/mm/events.ts';
import { dupMm } from '../../../src/mm/fork.ts';
import { doMadvise } from '../../../src/mm/madvise.ts';
import { doMlock } from '../../../src/mm/mlock.ts';
import type { MmStruct, PgData } from '../../../src/mm/mm_types.ts';
import { checkPageTables } from '../../../src/mm/page_table_check.ts';
import { pageMkclean } from '../../../src/mm/rmap.ts';
import { shmemFileSetup } from '../../../src/mm/shmem.ts';
import { doSwapoff } from '../../../src/mm/swapoff.ts';
import { truncateInodePages } from '../../../src/mm/truncate.ts';
import { MADV_DONTFORK, MADV_WIPEONFORK, MAP_SHARED } from '../../../src/uapi/mman.ts';
import {
  BASE,
  framesAt,
  map,
  PAGE,
  pageoutRange,
  PMD,
  testMm,
  testPgData,
  testSwapon,
  touch,
} from './harness.ts';
import type { Pfn } from '../../../src/arch/riscv/pgtable.ts';

function fork(mm: MmStruct): MmStruct {
  const child = dupMm(mm);
  if (child === null) throw new Error('no memory for a fork');
  return child;
}

/** The counters that are not 0, by name. */
function counted(names: readonly string[], counters: Float64Array): Record<string, number> {
  const entries = names.map((name, i): [string, number] => [name, counters[i]!]);
  return Object.fromEntries(entries.filter(([, n]) => n !== 0));
}

function fallbacks(pgdat: PgData): Record<string, number> {
  return counted(FALLBACK_NAMES, pgdat.vmstat.cowFallback);
}

describe('counters of tables that fork could not share', () => {
  it('say why, once for each table', () => {
    const pgdat = testPgData();
    const mm = testMm(pgdat);
    map(mm, BASE, 4 * PMD);
    touch(mm, BASE, 4 * PMD);
    doMadvise(mm, BASE, PAGE, MADV_DONTFORK);
    doMadvise(mm, BASE + PMD, PAGE, MADV_WIPEONFORK);
    doMlock(mm, BASE + 2 * PMD, PAGE, 0);
    fork(mm);
    assert.deepEqual(fallbacks(pgdat), { dontfork: 1, wipeonfork: 1, locked: 1 });
    doMadvise(mm, BASE + PMD, PAGE, MADV_DONTFORK);
    fork(mm);
    assert.deepEqual(fallbacks(pgdat), { dontfork: 3, wipeonfork: 1, locked: 2 });
    assert.equal(pgdat.vmstat.cowPteFallback, 6);
    checkPageTables(pgdat);
  });
});

describe('counters of an address space', () => {
  it('are the tables that it copied and took over, by level', () => {
    const pgdat = testPgData();
    const mm = testMm(pgdat);
    map(mm, BASE, 2 * PMD);
    touch(mm, BASE, 2 * PMD);
    const child = fork(mm);
    assert.deepEqual(child.cowBreaks, [0, 0, 0, 0, 0, 0]);
    touch(child, BASE, PAGE, 2);
    assert.deepEqual(child.cowBreaks, [1, 1, 1, 0, 0, 0]);
    touch(child, BASE + PMD, PAGE, 2);
    assert.deepEqual(child.cowBreaks, [2, 1, 1, 0, 0, 0]);
    touch(mm, BASE, PAGE, 3);
    assert.deepEqual(mm.cowBreaks, [0, 0, 0, 1, 1, 1]);
    checkPageTables(pgdat);
  });
});

describe('counters of changes in place', () => {
  const inplace = (pgdat: PgData): Record<string, number> =>
    counted(INPLACE_NAMES, pgdat.vmstat.cowInplace);

  it('are mappings beyond those for which an entry was written', () => {
    const pgdat = testPgData();
    testSwapon(pgdat, 256);
    const mm = testMm(pgdat);
    map(mm, BASE, PMD);
    touch(mm, BASE, 8 * PAGE);
    fork(mm);
    fork(mm);
    assert.equal(pageoutRange(mm, BASE, 8 * PAGE), 8);
    assert.equal(pgdat.vmstat.cowInplace[INPLACE_RECLAIM], 16);
    assert.equal(doSwapoff(pgdat, pgdat.swap.active[0]!), 0);
    assert.equal(pgdat.vmstat.cowInplace[INPLACE_SWAPOFF], 16);
    checkPageTables(pgdat);
    const file = shmemFileSetup(pgdat, '/dev/zero (deleted)', 4 * PAGE);
    const other = testMm(pgdat);
    map(other, BASE, 4 * PAGE, { file, flags: MAP_SHARED });
    touch(other, BASE, 4 * PAGE);
    fork(other);
    const [pfn] = framesAt(other, BASE, PAGE);
    pageMkclean(pgdat, pfn as Pfn);
    assert.equal(pgdat.vmstat.cowInplace[INPLACE_MKCLEAN], 1);
    truncateInodePages(file.mapping, PAGE);
    assert.equal(pgdat.vmstat.cowInplace[INPLACE_TRUNCATE], 3);
    assert.deepEqual(inplace(pgdat), { reclaim: 16, mkclean: 1, truncate: 3, swapoff: 16 });
    checkPageTables(pgdat);
  });

  it('are 0 where every process has tables of its own', () => {
    const pgdat = testPgData();
    testSwapon(pgdat, 256);
    const mm = testMm(pgdat, false);
    map(mm, BASE, PMD);
    touch(mm, BASE, 8 * PAGE);
    fork(mm);
    assert.equal(pageoutRange(mm, BASE, 8 * PAGE), 8);
    assert.deepEqual(inplace(pgdat), {});
    checkPageTables(pgdat);
  });
});

describe('pgdat.events', () => {
  it('is told the address of each table that is shared, broken and let go', () => {
    const pgdat = testPgData();
    const mm = testMm(pgdat);
    const told: string[] = [];
    const tell =
      (what: string) =>
      (id: number, ...rest: (number | boolean)[]): void => {
        told.push(`${what} ${id}: ${rest.map((value) => value.toString(16)).join(' ')}`);
      };
    const events: MmEvents = {
      forked: tell('forked'),
      tableShared: tell('shared'),
      tableCopied: tell('copied'),
      tableBroken: tell('broken'),
      tableDropped: tell('dropped'),
      fault: tell('fault'),
      reclaim: tell('reclaim'),
      softDirtyCleared: tell('soft'),
    };
    map(mm, BASE, 2 * PMD);
    touch(mm, BASE, 2 * PMD);
    pgdat.events = events;
    const child = fork(mm);
    assert.deepEqual(told.splice(0), [`shared ${mm.id}: 400000000000 2`]);
    touch(child, BASE + PMD + PAGE, PAGE);
    const at = '400000201000';
    assert.deepEqual(told.splice(0), [
      `broken ${child.id}: ${at} 2 0`,
      `broken ${child.id}: ${at} 1 0`,
      `broken ${child.id}: ${at} 0 0`,
      `fault ${child.id}: ${at} 1 0`,
    ]);
    touch(mm, BASE, PAGE);
    assert.equal(told.splice(0).filter((line) => line.startsWith(`broken ${mm.id}`)).length, 3);
    checkPageTables(pgdat);
  });
});
