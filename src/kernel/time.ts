/**
 * Clocks and timers. Times are nanoseconds as JS numbers: monotonic ones since boot (exact
 * for a hundred days), wall-clock ones as seconds and nanoseconds because 2^53 ns is 1970.
 *
 * @linux kernel/time/hrtimer.c, kernel/time/timekeeping.c
 */

import { retiredInstructions } from '../arch/riscv/hart_state.ts';
import type { Ram } from '../arch/riscv/ram.ts';

export const NSEC_PER_SEC = 1_000_000_000;
export const NSEC_PER_MSEC = 1_000_000;
export const NSEC_PER_USEC = 1000;

/** What an instruction takes of virtual time, ns. */
const NSEC_PER_INSN = 1;
/** Wall clock at which virtual time begins: 1 January 2026. */
const VIRTUAL_BOOT_SEC = 1_767_225_600;

/**
 * The host's monotonic clock as the machine sees it, or virtual time: that of a processor whose
 * instructions all take the same time, which waits for no timer.
 */
export class Clock {
  private readonly startMs: number;
  /** Where retired instructions are counted; null for the host's time. */
  private readonly ram: Ram | null;
  /** Virtual time that no instruction took, ns. */
  private skipped = 0;
  /** Wall clock at boot; 0 <= bootNsec < 10^9. */
  bootSec: number;
  bootNsec: number;

  constructor(ram: Ram | null) {
    this.ram = ram;
    this.startMs = performance.now();
    const wallMs = performance.timeOrigin + this.startMs;
    this.bootSec = ram === null ? Math.floor(wallMs / 1000) : VIRTUAL_BOOT_SEC;
    this.bootNsec = ram === null ? Math.floor((wallMs - this.bootSec * 1000) * NSEC_PER_MSEC) : 0;
  }

  /**
   * Nanoseconds since boot.
   * @param pending retired instructions that the hart has not counted yet.
   */
  now(pending = 0): number {
    if (this.ram === null) return Math.round((performance.now() - this.startMs) * NSEC_PER_MSEC);
    return (retiredInstructions(this.ram) + pending) * NSEC_PER_INSN + this.skipped;
  }

  /** Nothing can run before `time`: makes it now, if time is virtual. */
  skipTo(time: number): void {
    if (this.ram === null || time === Number.POSITIVE_INFINITY) return;
    this.skipped += Math.max(0, time - this.now());
  }

  /** Makes the wall clock show this time now. @linux kernel/time/timekeeping.c:do_settimeofday64 */
  setRealtime(sec: number, nsec: number): void {
    const now = this.now();
    const boot = nsec - (now % NSEC_PER_SEC);
    const borrow = boot < 0 ? 1 : 0;
    this.bootSec = sec - Math.floor(now / NSEC_PER_SEC) - borrow;
    this.bootNsec = boot + borrow * NSEC_PER_SEC;
  }

  /** Nanoseconds since boot that correspond to a wall-clock time. */
  realtimeToMonotonic(sec: number, nsec: number): number {
    return (sec - this.bootSec) * NSEC_PER_SEC + (nsec - this.bootNsec);
  }
}

/** One pending event. Owned by whoever made it; queued while `index` >= 0. */
export class Timer {
  /** Monotonic ns at which it fires. */
  expires = 0;
  /** Place in the heap; -1 = not queued. */
  index = -1;
  readonly fire: () => void;

  constructor(fire: () => void) {
    this.fire = fire;
  }

  get queued(): boolean {
    return this.index >= 0;
  }
}

/** Pending timers, nearest first: a binary heap. */
export class TimerQueue {
  private readonly heap: Timer[] = [];

  /** When the nearest timer fires, Infinity if there is none. */
  get nearest(): number {
    const first = this.heap[0];
    return first === undefined ? Number.POSITIVE_INFINITY : first.expires;
  }

  /** Queues `timer`, or moves it if it is queued. */
  start(timer: Timer, expires: number): void {
    if (timer.index >= 0) this.cancel(timer);
    timer.expires = expires;
    timer.index = this.heap.length;
    this.heap.push(timer);
    this.siftUp(timer.index);
  }

  cancel(timer: Timer): void {
    const { index } = timer;
    if (index < 0) return;
    timer.index = -1;
    const last = this.heap.pop()!;
    if (last === timer) return;
    last.index = index;
    this.heap[index] = last;
    this.siftUp(index);
    this.siftDown(last.index);
  }

  /** Fires every timer that is due. A timer may start itself again. */
  run(now: number): void {
    while (this.heap.length !== 0) {
      const first = this.heap[0]!;
      if (first.expires > now) return;
      this.cancel(first);
      first.fire();
    }
  }

  private siftUp(from: number): void {
    const { heap } = this;
    let at = from;
    while (at > 0) {
      const up = (at - 1) >> 1;
      if (heap[up]!.expires <= heap[at]!.expires) return;
      this.swap(up, at);
      at = up;
    }
  }

  private siftDown(from: number): void {
    const { heap } = this;
    let at = from;
    for (;;) {
      let small = at;
      const left = 2 * at + 1;
      if (left < heap.length && heap[left]!.expires < heap[small]!.expires) small = left;
      if (left + 1 < heap.length && heap[left + 1]!.expires < heap[small]!.expires) {
        small = left + 1;
      }
      if (small === at) return;
      this.swap(small, at);
      at = small;
    }
  }

  private swap(a: number, b: number): void {
    const { heap } = this;
    const x = heap[a]!;
    const y = heap[b]!;
    heap[a] = y;
    heap[b] = x;
    y.index = a;
    x.index = b;
  }
}
