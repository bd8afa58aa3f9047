/** Small integers for objects that linear memory must name. */

import { bug } from './assert.ts';

/** Handles start at 1; a freed one is given out again. */
export class HandleTable<T> {
  private readonly slots: (T | undefined)[] = [undefined];
  private readonly free: number[] = [];

  get used(): number {
    return this.slots.length - 1 - this.free.length;
  }

  alloc(value: T): number {
    const handle = this.free.pop() ?? this.slots.length;
    this.slots[handle] = value;
    return handle;
  }

  get(handle: number): T {
    return this.slots[handle] ?? bug(`handle table: ${handle} is not in use`);
  }

  /** As get(), undefined where get() stops the machine. */
  peek(handle: number): T | undefined {
    return this.slots[handle];
  }

  /** Calls `visit` for every value in use. */
  forEach(visit: (value: T, handle: number) => void): void {
    for (let handle = 1; handle < this.slots.length; handle++) {
      const value = this.slots[handle];
      if (value !== undefined) visit(value, handle);
    }
  }

  release(handle: number): void {
    this.slots[handle] = undefined;
    this.free.push(handle);
  }
}
