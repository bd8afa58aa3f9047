/** Who waits on which futex word. Knows no tasks beyond "something to wake". */

import type { Waiter } from '../lib/wait_queue.ts';

/**
 * One sleeper. A word is named by the object it belongs to (the address space for private
 * memory, the page cache for shared memory) and its offset in that.
 */
export class FutexWaiter {
  space: object;
  offset: number;
  readonly bitset: number;
  readonly waiter: Waiter;
  /** Woken by a wake or requeue operation, not by a timeout or signal. */
  woken = false;
  queued = false;
  /** Monotonic ns at which the wait gives up. */
  readonly deadline: number;

  constructor(space: object, offset: number, bitset: number, waiter: Waiter, deadline: number) {
    this.space = space;
    this.offset = offset;
    this.bitset = bitset;
    this.waiter = waiter;
    this.deadline = deadline;
  }
}

export class FutexTable {
  /** By offset; waiters of different spaces share a list. Oldest first. */
  private readonly byOffset = new Map<number, FutexWaiter[]>();

  add(waiter: FutexWaiter): void {
    const list = this.byOffset.get(waiter.offset);
    if (list === undefined) this.byOffset.set(waiter.offset, [waiter]);
    else list.push(waiter);
    waiter.queued = true;
  }

  remove(waiter: FutexWaiter): void {
    if (!waiter.queued) return;
    waiter.queued = false;
    const list = this.byOffset.get(waiter.offset);
    if (list === undefined) return;
    const at = list.indexOf(waiter);
    if (at >= 0) list.splice(at, 1);
    if (list.length === 0) this.byOffset.delete(waiter.offset);
  }

  /** Wakes up to `max` waiters whose bitset meets `bitset`. @returns how many. */
  wake(space: object, offset: number, max: number, bitset: number): number {
    const list = this.byOffset.get(offset);
    if (list === undefined) return 0;
    let woken = 0;
    for (const waiter of [...list]) {
      if (woken >= max) break;
      if (waiter.space !== space || (waiter.bitset & bitset) === 0) continue;
      this.remove(waiter);
      waiter.woken = true;
      waiter.waiter.wake();
      woken++;
    }
    return woken;
  }

  /** Moves up to `max` waiters to another word without waking them. @returns how many. */
  requeue(space: object, offset: number, to: object, toOffset: number, max: number): number {
    const list = this.byOffset.get(offset);
    if (list === undefined) return 0;
    let moved = 0;
    for (const waiter of [...list]) {
      if (moved >= max) break;
      if (waiter.space !== space) continue;
      this.remove(waiter);
      waiter.space = to;
      waiter.offset = toOffset;
      this.add(waiter);
      moved++;
    }
    return moved;
  }

  /** Waiters on any word: 0 when no task sleeps in futex(2). */
  get size(): number {
    let n = 0;
    for (const list of this.byOffset.values()) n += list.length;
    return n;
  }
}
