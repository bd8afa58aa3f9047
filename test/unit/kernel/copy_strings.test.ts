import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { mmput } from '../../../src/mm/fork.ts';
import { clearUser, copyToUser, putUser64 } from '../../../src/mm/uaccess.ts';
import { copyStrings } from '../../../src/syscalls/process.ts';
import { E2BIG, EFAULT } from '../../../src/uapi/errno.ts';
import { BASE, map, MIB, PAGE, testMm, testPgData } from '../mm/harness.ts';

/** Longest string that execve() takes, its NUL included. */
const MAX_ARG_STRLEN = 128 * 1024;

describe('copyStrings()', () => {
  const mm = testMm(testPgData(32));
  const pointers = map(mm, BASE, 8 * MIB);
  const text = map(mm, BASE + 16 * MIB, MIB);

  /** Makes the array name the string at `text` `count` times. */
  function pointTo(count: number): void {
    for (let i = 0; i < count; i++) putUser64(mm, pointers + 8 * i, text);
    putUser64(mm, pointers + 8 * count, 0);
  }

  it('reads strings up to the null pointer', () => {
    copyToUser(mm, text, Buffer.from('h\xffllo\0', 'latin1'));
    pointTo(3);
    assert.deepEqual(copyStrings(mm, pointers), Array(3).fill('h\xffllo'));
    assert.deepEqual(copyStrings(mm, 0), []);
  });

  it('stops at what a stack can take, though one long string is named many times', () => {
    copyToUser(mm, text, Buffer.alloc(MAX_ARG_STRLEN - 1, 'x'));
    pointTo(40);
    assert.equal((copyStrings(mm, pointers) as string[]).length, 40);
    pointTo(500_000);
    const before = process.memoryUsage().heapUsed;
    assert.equal(copyStrings(mm, pointers), -E2BIG);
    assert.ok(process.memoryUsage().heapUsed - before < 100 * MIB);
  });

  it('refuses a longer string and an array without an end', () => {
    copyToUser(mm, text, Buffer.alloc(MAX_ARG_STRLEN, 'x'));
    pointTo(1);
    assert.equal(copyStrings(mm, pointers), -E2BIG);
    clearUser(mm, text, PAGE);
    pointTo(1);
    putUser64(mm, BASE + 17 * MIB - 8, text);
    assert.equal(copyStrings(mm, BASE + 17 * MIB - 8), -EFAULT);
    assert.equal(copyStrings(mm, 1), -EFAULT);
    mmput(mm);
  });
});
