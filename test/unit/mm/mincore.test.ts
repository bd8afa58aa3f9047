import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { dupMm, mmput } from '../../../src/mm/fork.ts';
import { doMincore } from '../../../src/mm/mincore.ts';
import { doMlock } from '../../../src/mm/mlock.ts';
import type { MmStruct } from '../../../src/mm/mm_types.ts';
import { doMsync } from '../../../src/mm/msync.ts';
import { shmemFileSetup } from '../../../src/mm/shmem.ts';
import { copyFromUser } from '../../../src/mm/uaccess.ts';
import { EBUSY, EFAULT, EINVAL, ENOMEM } from '../../../src/uapi/errno.ts';
import { MAP_SHARED, MS_ASYNC, MS_INVALIDATE, MS_SYNC } from '../../../src/uapi/mman.ts';
import { BASE, map, PAGE, PMD, testMm, testPgData, touch } from './harness.ts';

const VEC = BASE + 16 * PMD;

function bytes(mm: MmStruct, n: number): number[] {
  const out = new Uint8Array(n);
  assert.equal(copyFromUser(mm, out, VEC), 0);
  return [...out];
}

describe('doMincore()', () => {
  it('tells pages that are there from pages that are not, in a child too', () => {
    const pgdat = testPgData(8);
    const mm = testMm(pgdat);
    map(mm, BASE, 4 * PAGE);
    map(mm, VEC, PAGE);
    touch(mm, BASE + PAGE, PAGE);
    touch(mm, BASE + 3 * PAGE, PAGE);
    const child = dupMm(mm)!;
    for (const each of [mm, child]) {
      assert.equal(doMincore(each, BASE, 4 * PAGE - 1, VEC), 0);
      assert.deepEqual(bytes(each, 4), [0, 1, 0, 1]);
    }
    mmput(child);
    mmput(mm);
  });

  it('counts what the page cache has of a file, mapped or not', () => {
    const pgdat = testPgData(8);
    const mm = testMm(pgdat);
    const file = shmemFileSetup(pgdat, 'file', 4 * PAGE);
    map(mm, VEC, PAGE);
    map(mm, BASE, 4 * PAGE, { file, flags: MAP_SHARED });
    touch(mm, BASE + 2 * PAGE, PAGE);
    map(mm, BASE + PMD, 4 * PAGE, { file });
    assert.equal(doMincore(mm, BASE + PMD, 4 * PAGE, VEC), 0);
    assert.deepEqual(bytes(mm, 4), [0, 0, 1, 0]);
    mmput(mm);
    file.putFile();
  });

  it('refuses odd ranges, holes and a bad vector', () => {
    const mm = testMm(testPgData(8));
    map(mm, BASE, PAGE);
    map(mm, VEC, PAGE);
    assert.equal(doMincore(mm, BASE + 1, PAGE, VEC), -EINVAL);
    assert.equal(doMincore(mm, BASE, 2 * PAGE, VEC), -ENOMEM);
    assert.equal(doMincore(mm, BASE, 2 ** 60, VEC), -ENOMEM);
    assert.equal(doMincore(mm, BASE, PAGE, VEC - 1), -EFAULT);
    assert.equal(doMincore(mm, BASE, PAGE, 2 ** 60), -EFAULT);
    assert.equal(doMincore(mm, BASE, 0, VEC), 0);
    mmput(mm);
  });
});

describe('doMsync()', () => {
  it('checks flags, holes and locks', () => {
    const mm = testMm(testPgData(8));
    map(mm, BASE, PAGE);
    map(mm, BASE + 2 * PAGE, PAGE);
    assert.equal(doMsync(mm, BASE, PAGE, 8), -EINVAL);
    assert.equal(doMsync(mm, BASE + 1, PAGE, MS_SYNC), -EINVAL);
    assert.equal(doMsync(mm, BASE, PAGE, MS_SYNC | MS_ASYNC), -EINVAL);
    assert.equal(doMsync(mm, BASE, 0, MS_SYNC), 0);
    assert.equal(doMsync(mm, BASE, PAGE, MS_SYNC), 0);
    assert.equal(doMsync(mm, BASE, 3 * PAGE, MS_SYNC), -ENOMEM);
    assert.equal(doMsync(mm, BASE, 3 * PAGE, MS_ASYNC), -ENOMEM);
    assert.equal(doMsync(mm, BASE + PAGE, PAGE, MS_SYNC), -ENOMEM);
    assert.equal(doMsync(mm, BASE + 3 * PAGE, PAGE, MS_SYNC), -ENOMEM);
    assert.equal(doMsync(mm, 2 ** 60, PAGE, MS_SYNC), -ENOMEM);
    doMlock(mm, BASE, PAGE, 0);
    assert.equal(doMsync(mm, BASE, PAGE, MS_INVALIDATE), -EBUSY);
    mmput(mm);
  });
});
