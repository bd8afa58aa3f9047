import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  FileLocks,
  flockFile,
  locksRemoveFile,
  locksRemovePosix,
  OFFSET_MAX,
  posixLockFile,
  posixTestLock,
} from '../../../src/fs/locks.ts';
import { EAGAIN } from '../../../src/uapi/errno.ts';
import { F_RDLCK, F_UNLCK, F_WRLCK, LOCK_EX, LOCK_SH, LOCK_UN } from '../../../src/uapi/fcntl.ts';

const OWNERS = [{}, {}, {}];
const BYTES = 24;

describe('posixLockFile()', () => {
  it('agrees with one lock per byte', () => {
    const step = fc.record({
      owner: fc.nat(OWNERS.length - 1),
      type: fc.constantFrom(F_RDLCK, F_WRLCK, F_UNLCK),
      start: fc.nat(BYTES - 1),
      len: fc.nat(BYTES),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const locks = new FileLocks();
        /** Lock of each owner on each byte, the last one for all that follow; -1 = none. */
        const model = OWNERS.map(() => new Array<number>(BYTES + 1).fill(-1));
        for (const { owner, type, start, len } of steps) {
          const end = len === 0 || start + len > BYTES ? OFFSET_MAX : start + len - 1;
          const last = Math.min(end, BYTES);
          let blocked = false;
          for (let b = start; b <= last; b++) {
            for (let o = 0; o < OWNERS.length; o++) {
              const held = model[o]![b]!;
              if (o === owner || held < 0 || type === F_UNLCK) continue;
              if (type === F_WRLCK || held === F_WRLCK) blocked = true;
            }
          }
          const lock = { type, start, end, owner: OWNERS[owner]!, pid: owner };
          assert.equal(posixTestLock(locks, lock) !== undefined && type !== F_UNLCK, blocked);
          assert.equal(posixLockFile(locks, lock), blocked ? -EAGAIN : 0);
          if (blocked) continue;
          for (let b = start; b <= last; b++) model[owner]![b] = type === F_UNLCK ? -1 : type;
          for (let o = 0; o < OWNERS.length; o++) {
            for (let b = 0; b <= BYTES; b++) {
              const held = locks.posix.filter(
                (l) => l.owner === OWNERS[o] && l.start <= b && b <= l.end,
              );
              assert.ok(held.length <= 1, 'one owner has one lock on a byte');
              assert.equal(held[0]?.type ?? -1, model[o]![b]);
            }
          }
        }
      }),
      { numRuns: 300 },
    );
  });

  it('joins neighbours of one kind', () => {
    const locks = new FileLocks();
    const owner = {};
    for (const start of [0, 20, 10]) {
      posixLockFile(locks, { type: F_WRLCK, start, end: start + 9, owner, pid: 1 });
    }
    assert.deepEqual(
      locks.posix.map(({ start, end }) => [start, end]),
      [[0, 29]],
    );
  });

  it('tells the waiting when a range is free or the owner closes the file', () => {
    const locks = new FileLocks();
    const owner = {};
    let wakes = 0;
    const waiter = { wake: () => wakes++ };
    posixLockFile(locks, { type: F_WRLCK, start: 0, end: 9, owner, pid: 1 });
    locks.waiters.add(waiter);
    posixLockFile(locks, { type: F_UNLCK, start: 3, end: 4, owner, pid: 1 });
    assert.equal(wakes, 1);
    locks.waiters.add(waiter);
    locksRemovePosix(locks, owner);
    assert.equal(wakes, 2);
    assert.equal(locks.posix.length, 0);
  });
});

describe('flockFile()', () => {
  it('lets many share and one exclude', () => {
    const locks = new FileLocks();
    const [a, b] = [{}, {}];
    assert.equal(flockFile(locks, a, LOCK_SH), 0);
    assert.equal(flockFile(locks, b, LOCK_SH), 0);
    assert.equal(flockFile(locks, a, LOCK_EX), -EAGAIN);
    // As on Linux, a failed change has dropped the old lock.
    assert.equal(flockFile(locks, b, LOCK_EX), 0);
    assert.equal(flockFile(locks, a, LOCK_SH), -EAGAIN);
    assert.equal(flockFile(locks, b, LOCK_UN), 0);
    assert.equal(flockFile(locks, a, LOCK_EX), 0);
    locksRemoveFile(locks, a);
    assert.equal(flockFile(locks, b, LOCK_EX), 0);
  });
});
