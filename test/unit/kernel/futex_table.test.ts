import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FutexTable, FutexWaiter } from '../../../src/kernel/futex_table.ts';

const FOREVER = Number.POSITIVE_INFINITY;

function sleeper(table: FutexTable, space: object, offset: number, bitset = -1): FutexWaiter {
  const waiter = new FutexWaiter(space, offset, bitset, { wake() {} }, FOREVER);
  table.add(waiter);
  return waiter;
}

describe('FutexTable', () => {
  const mm = {};
  const other = {};

  it('wakes the oldest first, and only on the same word of the same space', () => {
    const table = new FutexTable();
    const first = sleeper(table, mm, 8);
    const second = sleeper(table, mm, 8);
    const elsewhere = sleeper(table, other, 8);
    assert.equal(table.wake(mm, 8, 1, -1), 1);
    assert.deepEqual([first.woken, second.woken, elsewhere.woken], [true, false, false]);
    assert.equal(table.wake(mm, 8, 10, -1), 1);
    assert.equal(table.wake(mm, 8, 10, -1), 0);
    assert.equal(table.size, 1);
  });

  it('wakes only waiters whose bitset meets', () => {
    const table = new FutexTable();
    const one = sleeper(table, mm, 8, 1);
    const two = sleeper(table, mm, 8, 2);
    assert.equal(table.wake(mm, 8, 10, 2), 1);
    assert.deepEqual([one.woken, two.woken], [false, true]);
  });

  it('moves waiters to another word without waking them', () => {
    const table = new FutexTable();
    const one = sleeper(table, mm, 8);
    sleeper(table, mm, 8);
    assert.equal(table.requeue(mm, 8, other, 16, 1), 1);
    assert.equal(one.woken, false);
    assert.equal(table.wake(other, 16, 10, -1), 1);
    assert.ok(one.woken);
    assert.equal(table.size, 1);
  });

  it('forgets a waiter that gives up', () => {
    const table = new FutexTable();
    const one = sleeper(table, mm, 8);
    table.remove(one);
    table.remove(one);
    assert.equal(table.wake(mm, 8, 1, -1), 0);
    assert.equal(table.size, 0);
  });
});
