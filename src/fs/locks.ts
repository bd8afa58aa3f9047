/**
 * Advisory locks of one file: byte ranges owned by a process's descriptor table or an open
 * file (fcntl), and whole-file locks owned by an open file (flock). The two kinds do not see
 * each other. Nothing blocks here: a caller that wants to wait stands in `waiters`.
 *
 * @linux fs/locks.c
 */

import { WaitQueue } from '../lib/wait_queue.ts';
import { EAGAIN, ENOLCK } from '../uapi/errno.ts';
import { F_RDLCK, F_UNLCK, F_WRLCK, LOCK_EX, LOCK_UN } from '../uapi/fcntl.ts';

/** Last byte of a lock that reaches to the end of the file, however long it gets. */
export const OFFSET_MAX = Number.POSITIVE_INFINITY;

/** Ranges that may be locked in one file. */
const POSIX_LOCKS_MAX = 65536;

export interface PosixLock {
  /** F_RDLCK or F_WRLCK. */
  readonly type: number;
  /** First and last byte. */
  readonly start: number;
  readonly end: number;
  /** Descriptor table (F_SETLK) or open file (F_OFD_SETLK). */
  readonly owner: object;
  /** What F_GETLK reports; -1 for an open file's lock. */
  readonly pid: number;
}

interface Flock {
  readonly owner: object;
  /** LOCK_SH or LOCK_EX. */
  readonly type: number;
}

export class FileLocks {
  /** Ranges of one owner never overlap, and equal neighbours are joined. */
  posix: PosixLock[] = [];
  flocks: Flock[] = [];
  /** Told whenever a lock goes away. */
  readonly waiters = new WaitQueue();
}

function overlaps(a: PosixLock, b: PosixLock): boolean {
  return a.start <= b.end && b.start <= a.end;
}

/** The first lock of somebody else that `wanted` cannot live with. @linux fs/locks.c:posix_test_lock */
export function posixTestLock(locks: FileLocks, wanted: PosixLock): PosixLock | undefined {
  return locks.posix.find(
    (lock) =>
      lock.owner !== wanted.owner &&
      overlaps(lock, wanted) &&
      (lock.type === F_WRLCK || wanted.type === F_WRLCK),
  );
}

/** The owner's locks without the bytes of `range`. */
function cutRange(locks: readonly PosixLock[], range: PosixLock): PosixLock[] {
  const rest: PosixLock[] = [];
  for (const lock of locks) {
    if (lock.owner !== range.owner || !overlaps(lock, range)) {
      rest.push(lock);
      continue;
    }
    if (lock.start < range.start) rest.push({ ...lock, end: range.start - 1 });
    if (lock.end > range.end) rest.push({ ...lock, start: range.end + 1 });
  }
  return rest;
}

/** `lock` grown over the owner's locks of the same type that touch it, which are taken out. */
function joinNeighbours(locks: PosixLock[], lock: PosixLock): PosixLock {
  let joined = lock;
  for (let i = locks.length - 1; i >= 0; i--) {
    const other = locks[i]!;
    if (other.owner !== lock.owner || other.type !== lock.type) continue;
    if (other.end + 1 !== joined.start && joined.end + 1 !== other.start) continue;
    const start = Math.min(joined.start, other.start);
    const end = Math.max(joined.end, other.end);
    joined = { ...joined, start, end };
    locks.splice(i, 1);
    i = locks.length;
  }
  return joined;
}

/**
 * Sets or clears (F_UNLCK) a range for its owner.
 * @returns 0, -EAGAIN when another owner's lock is in the way, or -ENOLCK.
 * @linux fs/locks.c:posix_lock_inode
 */
export function posixLockFile(locks: FileLocks, request: PosixLock): number {
  if (request.type === F_UNLCK) {
    if (locks.posix.some((lock) => lock.owner === request.owner)) {
      locks.posix = cutRange(locks.posix, request);
      locks.waiters.wakeAll();
    }
    return 0;
  }
  if (posixTestLock(locks, request) !== undefined) return -EAGAIN;
  const rest = cutRange(locks.posix, request);
  if (rest.length >= POSIX_LOCKS_MAX) return -ENOLCK;
  const lock = joinNeighbours(rest, request);
  rest.push(lock);
  locks.posix = rest;
  // A write lock that became a read lock lets readers in.
  if (request.type === F_RDLCK) locks.waiters.wakeAll();
  return 0;
}

/** Drops every range lock of `owner`: a process closed some descriptor of the file. @linux fs/locks.c:locks_remove_posix */
export function locksRemovePosix(locks: FileLocks, owner: object): void {
  if (!locks.posix.some((lock) => lock.owner === owner)) return;
  locks.posix = locks.posix.filter((lock) => lock.owner !== owner);
  locks.waiters.wakeAll();
}

/** Drops whatever an open file holds: it is gone. @linux fs/locks.c:locks_remove_file */
export function locksRemoveFile(locks: FileLocks, file: object): void {
  locksRemovePosix(locks, file);
  flockFile(locks, file, LOCK_UN);
}

/**
 * Takes, changes or drops (LOCK_UN) a whole-file lock.
 * @returns 0, or -EAGAIN when another open file's lock is in the way.
 * @linux fs/locks.c:flock_lock_inode
 */
export function flockFile(locks: FileLocks, owner: object, type: number): number {
  const held = locks.flocks.find((lock) => lock.owner === owner);
  if (held?.type === type) return 0;
  if (held !== undefined) {
    locks.flocks = locks.flocks.filter((lock) => lock !== held);
    locks.waiters.wakeAll();
  }
  if (type === LOCK_UN) return 0;
  const blocked = locks.flocks.some((lock) => type === LOCK_EX || lock.type === LOCK_EX);
  if (blocked) return -EAGAIN;
  locks.flocks.push({ owner, type });
  return 0;
}
