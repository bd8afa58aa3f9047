import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PAGE_SIZE } from '../../../src/arch/riscv/memlayout.ts';
import { MAX_SWAPFILES } from '../../../src/arch/riscv/pgtable.ts';
import type { PgData } from '../../../src/mm/mm_types.ts';
import { swapEntryOffset, swapEntryType, type SwapEntry } from '../../../src/mm/swap_types.ts';
import {
  allocSwapSlot,
  NO_SWAP_ENTRY,
  releaseSwapSlot,
  swapCount,
  swapDuplicate,
  swapFree,
} from '../../../src/mm/swapfile.ts';
import { doSwapoff } from '../../../src/mm/swapoff.ts';
import { doSwapon, writeSwapHeader } from '../../../src/mm/swapon.ts';
import { EBUSY, EINVAL, EIO, EPERM } from '../../../src/uapi/errno.ts';
import { SWAP_FLAG_PREFER } from '../../../src/uapi/swap.ts';
import { testPgData, testSwapon, TestSwapDevice } from './harness.ts';

/** Takes a slot that one entry names. @returns NO_SWAP_ENTRY when there is none. */
function take(pgdat: PgData, taken: SwapEntry[]): SwapEntry {
  const entry = allocSwapSlot(pgdat);
  if (entry === NO_SWAP_ENTRY) return entry;
  swapDuplicate(pgdat, entry);
  taken.push(entry);
  return entry;
}

/** Every entry goes: all slots are free. */
function giveBack(pgdat: PgData, taken: readonly SwapEntry[]): void {
  for (const entry of taken) swapFree(pgdat, entry);
  assert.equal(pgdat.swap.freePages, pgdat.swap.totalPages);
}

function device(pages: number): TestSwapDevice {
  const made = new TestSwapDevice(pages);
  writeSwapHeader(made);
  return made;
}

describe('swap slots', () => {
  it('are given out once each, and again when their last entry goes', () => {
    const pgdat = testPgData(8);
    testSwapon(pgdat, 300);
    const taken: SwapEntry[] = [];
    for (let i = 0; i < 300; i++) assert.notEqual(take(pgdat, taken), NO_SWAP_ENTRY);
    assert.equal(new Set(taken).size, 300);
    assert.equal(pgdat.swap.freePages, 0);
    assert.equal(allocSwapSlot(pgdat), NO_SWAP_ENTRY);
    const [one] = taken.splice(123, 1) as [SwapEntry];
    swapDuplicate(pgdat, one);
    swapFree(pgdat, one);
    assert.equal(swapCount(pgdat, one), 1);
    assert.equal(allocSwapSlot(pgdat), NO_SWAP_ENTRY);
    swapFree(pgdat, one);
    assert.equal(pgdat.swap.freePages, 1);
    assert.equal(allocSwapSlot(pgdat), one);
    releaseSwapSlot(pgdat, one);
    giveBack(pgdat, taken);
  });

  it('come from the area with the highest priority, in turns where it is equal', () => {
    const pgdat = testPgData(8);
    assert.equal(doSwapon(pgdat, device(1001), 'low', 0), 0);
    assert.equal(doSwapon(pgdat, device(1001), 'a', SWAP_FLAG_PREFER | 7), 0);
    assert.equal(doSwapon(pgdat, device(1001), 'b', SWAP_FLAG_PREFER | 7), 0);
    const taken: SwapEntry[] = [];
    const byArea = [0, 0, 0];
    for (let i = 0; i < 1000; i++) byArea[swapEntryType(take(pgdat, taken))]!++;
    assert.equal(byArea[0], 0);
    assert.ok(byArea[1]! > 250 && byArea[2]! > 250, `${byArea}`);
    for (let i = 0; i < 1500; i++) byArea[swapEntryType(take(pgdat, taken))]!++;
    assert.deepEqual(byArea, [500, 1000, 1000]);
    giveBack(pgdat, taken);
  });
});

describe('swapon', () => {
  it('wants a proper header, of a device that is long enough and not on already', () => {
    const pgdat = testPgData(8);
    assert.equal(doSwapon(pgdat, new TestSwapDevice(16), 'x', 0), -EINVAL);
    assert.equal(doSwapon(pgdat, device(1), 'x', 0), -EINVAL);
    assert.equal(doSwapon(pgdat, device(16), 'x', 0x8_0000), -EINVAL);
    const long = device(16);
    new DataView(long.data.buffer).setUint32(1028, 16, true);
    assert.equal(doSwapon(pgdat, long, 'x', 0), -EINVAL);
    const version = device(16);
    version.data[1024] = 2;
    assert.equal(doSwapon(pgdat, version, 'x', 0), -EINVAL);
    const broken = device(16);
    broken.failReads = true;
    assert.equal(doSwapon(pgdat, broken, 'x', 0), -EIO);
    assert.equal(pgdat.swap.totalPages, 0);
    const good = device(16);
    assert.equal(doSwapon(pgdat, good, 'x', 0), 0);
    assert.equal(doSwapon(pgdat, good, 'x', 0), -EBUSY);
    assert.equal(pgdat.swap.totalPages, 15);
  });

  it('leaves bad pages out', () => {
    const pgdat = testPgData(8);
    const bad = device(16);
    const view = new DataView(bad.data.buffer);
    view.setUint32(1032, 2, true);
    view.setUint32(1536, 3, true);
    view.setUint32(1540, 9, true);
    assert.equal(doSwapon(pgdat, bad, 'x', 0), 0);
    const taken: SwapEntry[] = [];
    while (take(pgdat, taken) !== NO_SWAP_ENTRY);
    assert.deepEqual(taken.map(swapEntryOffset), [1, 2, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15]);
    giveBack(pgdat, taken);
    const out = device(16);
    new DataView(out.data.buffer).setUint32(1032, 1, true);
    new DataView(out.data.buffer).setUint32(1536, 16, true);
    assert.equal(doSwapon(pgdat, out, 'y', 0), -EINVAL);
  });

  it('gives priorities below all others, and closes the gap at swapoff', () => {
    const pgdat = testPgData(8);
    const prios = (): string[] => pgdat.swap.active.map(({ name, prio }) => `${name} ${prio}`);
    for (const name of ['a', 'b', 'c']) assert.equal(doSwapon(pgdat, device(16), name, 0), 0);
    assert.equal(doSwapon(pgdat, device(16), 'd', SWAP_FLAG_PREFER | 5), 0);
    assert.deepEqual(prios(), ['d 5', 'a -2', 'b -3', 'c -4']);
    assert.equal(doSwapoff(pgdat, pgdat.swap.active[2]!), 0);
    assert.deepEqual(prios(), ['d 5', 'a -2', 'c -3']);
    assert.equal(doSwapon(pgdat, device(16), 'e', 0), 0);
    assert.deepEqual(prios(), ['d 5', 'a -2', 'c -3', 'e -4']);
    assert.equal(pgdat.swap.totalPages, 4 * 15);
    assert.equal(pgdat.swap.freePages, 4 * 15);
  });

  it(`takes ${MAX_SWAPFILES} areas`, () => {
    const pgdat = testPgData(8);
    for (let i = 0; i < MAX_SWAPFILES; i++) assert.equal(doSwapon(pgdat, device(16), 'x', 0), 0);
    assert.equal(doSwapon(pgdat, device(16), 'x', 0), -EPERM);
    assert.equal(pgdat.swap.totalPages * PAGE_SIZE, MAX_SWAPFILES * 15 * PAGE_SIZE);
  });
});
