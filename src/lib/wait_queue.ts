/**
 * Wait queues without stacks: a sleeper is re-run from its start when woken.
 * Nothing here knows tasks or a scheduler; a waiter is whatever has `wake()`.
 */

export interface Waiter {
  /** Called at most once per queue per registration; must not throw. */
  wake(): void;
}

/** Who sleeps here, oldest first. A waiter stands in it at most once. */
export class WaitQueue {
  private readonly waiters = new Set<Waiter>();

  get size(): number {
    return this.waiters.size;
  }

  add(waiter: Waiter): void {
    this.waiters.add(waiter);
  }

  remove(waiter: Waiter): void {
    this.waiters.delete(waiter);
  }

  /** Wakes up to `max` waiters, oldest first, and forgets them. @returns how many. */
  wake(max: number): number {
    let woken = 0;
    for (const waiter of this.waiters) {
      if (woken === max) break;
      this.waiters.delete(waiter);
      waiter.wake();
      woken++;
    }
    return woken;
  }

  wakeAll(): void {
    if (this.waiters.size !== 0) this.wake(this.waiters.size);
  }
}
