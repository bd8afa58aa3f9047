import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PAGE_SIZE } from '../../../src/arch/riscv/memlayout.ts';
import { MAX_SWAPFILES } from '../../../src/arch/riscv/pgtable.ts';
import { swapEntryType, type SwapEntry } from '../../../src/mm/swap_types.ts';
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

function device(pages: number): TestSwapDevice {
  const made = new TestSwapDevice(pages);
  writeSwapHeader(made);
  return made;
}

describe('swap slots', () => {
  it('are given out once each, and again when their last entry goes', () => {
    const pgdat = testPgData(8);
    testSwapon(pgdat, 300);
    const seen = new Set<number>();
    for (let i = 0; i < 300; i++) {
      const entry = allocSwapSlot(pgdat);
      assert.notEqual(entry, NO_SWAP_ENTRY);
      swapDuplicate(pgdat, entry);
      seen.add(entry);
    }
    assert.equal(seen.size, 300);
    assert.equal(pgdat.swap.freePages, 0);
    assert.equal(allocSwapSlot(pgdat), NO_SWAP_ENTRY);
    const one = [...seen][123] as SwapEntry;
    swapDuplicate(pgdat, one);
    swapFree(pgdat, one);
    assert.equal(swapCount(pgdat, one), 1);
    assert.equal(allocSwapSlot(pgdat), NO_SWAP_ENTRY);
    swapFree(pgdat, one);
    assert.equal(pgdat.swap.freePages, 1);
    assert.equal(allocSwapSlot(pgdat), one);
    releaseSwapSlot(pgdat, one);
  });

  it('come from the area with the highest priority, in turns where it is equal', () => {
    const pgdat = testPgData(8);
    assert.equal(doSwapon(pgdat, device(1001), 'low', 0), 0);
    assert.equal(doSwapon(pgdat, device(1001), 'a', SWAP_FLAG_PREFER | 7), 0);
    assert.equal(doSwapon(pgdat, device(1001), 'b', SWAP_FLAG_PREFER | 7), 0);
    const taken = [0, 0, 0];
    for (let i = 0; i < 1000; i++) {
      const entry = allocSwapSlot(pgdat);
      taken[swapEntryType(entry)]!++;
      swapDuplicate(pgdat, entry);
    }
    assert.equal(taken[0], 0);
    assert.ok(taken[1]! > 250 && taken[2]! > 250, `${taken}`);
    for (let i = 0; i < 1500; i++) {
      const entry = allocSwapSlot(pgdat);
      taken[swapEntryType(entry)]!++;
      swapDuplicate(pgdat, entry);
    }
    assert.deepEqual(taken, [500, 1000, 1000]);
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
    const offsets: number[] = [];
    for (let entry = allocSwapSlot(pgdat); entry !== NO_SWAP_ENTRY; entry = allocSwapSlot(pgdat)) {
      offsets.push(entry >>> 5);
      swapDuplicate(pgdat, entry);
    }
    assert.deepEqual(offsets, [1, 2, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15]);
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
