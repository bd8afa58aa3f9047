/**
 * Ordered, non-overlapping ranges: the VMA tree.
 *
 *     chunks   [ chunk 0 | chunk 1 | chunk 2 ]      by address
 *                  |
 *     items    [ a | b | c | ... at most 64 ]       by address, never empty
 *
 * Two levels are enough for the 65,530 ranges a process may have: a look-up is two binary
 * searches, an insertion moves at most 64 items and, at a split, some 2,000 chunks. Each chunk
 * caches its widest gap, so that looking for free space skips whole chunks.
 */

import { bug } from './assert.ts';

/** A half-open range [start, end) with start < end. */
export interface Range {
  start: number;
  end: number;
}

const CHUNK_MAX = 64;
/** Neighbours that together hold no more are joined. */
const CHUNK_JOIN = 32;
const UNKNOWN = -1;

class Chunk<T extends Range> {
  items: T[];
  /** Widest gap between two neighbours of this chunk, or UNKNOWN. */
  maxGap = UNKNOWN;

  constructor(items: T[]) {
    this.items = items;
  }
}

function alignDown(n: number, align: number): number {
  return Math.floor(n / align) * align;
}

function alignUp(n: number, align: number): number {
  return Math.ceil(n / align) * align;
}

/**
 * The caller may change start and end of a range in place as long as order and disjointness
 * hold, and then calls gapsChanged().
 */
export class MapleTree<T extends Range> {
  private readonly chunks: Chunk<T>[] = [];
  private count = 0;
  /** Changes with every insertion and removal: an iterator that sees it change finds its place anew. */
  private version = 0;
  /** The last find() that hit. */
  private cached: T | undefined;

  get size(): number {
    return this.count;
  }

  clear(): void {
    this.chunks.length = 0;
    this.count = 0;
    this.version++;
    this.cached = undefined;
  }

  first(): T | undefined {
    return this.chunks[0]?.items[0];
  }

  last(): T | undefined {
    return this.chunks.at(-1)?.items.at(-1);
  }

  /** Index of the first chunk that reaches past `addr`; the number of chunks if none does. */
  private chunkIndex(addr: number): number {
    const { chunks } = this;
    let low = 0;
    let high = chunks.length;
    while (low < high) {
      const mid = (low + high) >>> 1;
      const { items } = chunks[mid]!;
      if (items[items.length - 1]!.end > addr) high = mid;
      else low = mid + 1;
    }
    return low;
  }

  /** Index of the first item that reaches past `addr`. */
  private itemIndex(items: T[], addr: number): number {
    let low = 0;
    let high = items.length;
    while (low < high) {
      const mid = (low + high) >>> 1;
      if (items[mid]!.end > addr) high = mid;
      else low = mid + 1;
    }
    return low;
  }

  /** The first range with end > addr: the one that holds `addr`, or the next one. */
  find(addr: number): T | undefined {
    const { cached } = this;
    if (cached !== undefined && cached.start <= addr && addr < cached.end) return cached;
    const chunk = this.chunks[this.chunkIndex(addr)];
    if (chunk === undefined) return undefined;
    const item = chunk.items[this.itemIndex(chunk.items, addr)]!;
    if (item.start <= addr) this.cached = item;
    return item;
  }

  /** The range after `t`, which is in the tree. */
  next(t: T): T | undefined {
    const c = this.chunkIndex(t.start);
    const { items } = this.chunks[c]!;
    const i = this.itemIndex(items, t.start) + 1;
    return i < items.length ? items[i] : this.chunks[c + 1]?.items[0];
  }

  /** The range before `t`, which is in the tree. */
  prev(t: T): T | undefined {
    return this.before(t.start);
  }

  /** The last range with start < addr that does not reach past `addr`. */
  before(addr: number): T | undefined {
    const c = this.chunkIndex(addr);
    const chunk = this.chunks[c];
    const i = chunk === undefined ? 0 : this.itemIndex(chunk.items, addr);
    if (i > 0) return chunk!.items[i - 1];
    return c > 0 ? this.chunks[c - 1]!.items.at(-1) : undefined;
  }

  /** Adds a range that overlaps no other. */
  insert(t: T): void {
    const c = this.chunkIndex(t.start);
    // Behind everything: append. Else before the first item that ends later.
    if (c === this.chunks.length) {
      this.append(t);
      return;
    }
    const chunk = this.chunks[c]!;
    const i = this.itemIndex(chunk.items, t.start);
    if (chunk.items[i]!.start < t.end) bug('maple tree: ranges overlap');
    chunk.items.splice(i, 0, t);
    chunk.maxGap = UNKNOWN;
    this.count++;
    this.version++;
    if (chunk.items.length > CHUNK_MAX) this.splitChunk(c);
  }

  /** As insert() for a range behind all others: O(1). */
  append(t: T): void {
    const chunk = this.chunks[this.chunks.length - 1];
    if (chunk === undefined || chunk.items.length === CHUNK_MAX) this.chunks.push(new Chunk([t]));
    else {
      if (chunk.items[chunk.items.length - 1]!.end > t.start)
        bug('maple tree: append out of order');
      chunk.items.push(t);
      chunk.maxGap = UNKNOWN;
    }
    this.count++;
    this.version++;
  }

  private splitChunk(c: number): void {
    const { items } = this.chunks[c]!;
    const upper = items.splice(items.length >>> 1);
    this.chunks.splice(c + 1, 0, new Chunk(upper));
  }

  /** Takes out a range that is in the tree, unchanged in place since then or with gapsChanged() called. */
  remove(t: T): void {
    const c = this.chunkIndex(t.start);
    const chunk = this.chunks[c];
    const i = chunk === undefined ? 0 : this.itemIndex(chunk.items, t.start);
    if (chunk === undefined || chunk.items[i] !== t) bug('maple tree: range is not in the tree');
    chunk.items.splice(i, 1);
    chunk.maxGap = UNKNOWN;
    if (this.cached === t) this.cached = undefined;
    this.count--;
    this.version++;
    if (chunk.items.length === 0) this.chunks.splice(c, 1);
    else this.joinChunks(c);
  }

  private joinChunks(c: number): void {
    const at = c + 1 < this.chunks.length ? c : c - 1;
    const low = this.chunks[at];
    const high = this.chunks[at + 1];
    if (low === undefined || high === undefined) return;
    if (low.items.length + high.items.length > CHUNK_JOIN) return;
    low.items = low.items.concat(high.items);
    low.maxGap = UNKNOWN;
    this.chunks.splice(at + 1, 1);
  }

  /** To be called after start or end of `t` was changed in place. */
  gapsChanged(t: T): void {
    const chunk = this.chunks[this.chunkIndex(t.start)];
    if (chunk !== undefined) chunk.maxGap = UNKNOWN;
  }

  private gapWithin(chunk: Chunk<T>): number {
    if (chunk.maxGap !== UNKNOWN) return chunk.maxGap;
    const { items } = chunk;
    let widest = 0;
    for (let i = 1; i < items.length; i++) {
      const gap = items[i]!.start - items[i - 1]!.end;
      if (gap > widest) widest = gap;
    }
    chunk.maxGap = widest;
    return widest;
  }

  /**
   * The highest multiple of `align` in [low, high) at which `size` bytes are free below `high`.
   * @returns -1 when there is no such place.
   */
  findGapDown(size: number, low: number, high: number, align = 1): number {
    let top = high;
    for (let c = Math.min(this.chunkIndex(high), this.chunks.length - 1); c >= 0; c--) {
      if (top - size < low) return -1;
      const { items } = this.chunks[c]!;
      const lastEnd = items[items.length - 1]!.end;
      const roomAbove = top - lastEnd >= size;
      if (!roomAbove && lastEnd <= top && this.gapWithin(this.chunks[c]!) < size) {
        top = items[0]!.start;
        continue;
      }
      for (let i = items.length - 1; i >= 0; i--) {
        const item = items[i]!;
        if (item.start >= high) continue;
        const at = alignDown(top - size, align);
        if (at >= item.end) return at >= low ? at : -1;
        top = item.start;
      }
    }
    const at = alignDown(top - size, align);
    return at >= low ? at : -1;
  }

  /**
   * The lowest multiple of `align` in [low, high) at which `size` bytes are free below `high`.
   * @returns -1 when there is no such place.
   */
  findGapUp(size: number, low: number, high: number, align = 1): number {
    let bottom = low;
    for (let c = this.chunkIndex(low); c < this.chunks.length; c++) {
      if (bottom + size > high) return -1;
      const { items } = this.chunks[c]!;
      const roomBelow = items[0]!.start - bottom >= size;
      if (!roomBelow && this.gapWithin(this.chunks[c]!) < size) {
        bottom = items[items.length - 1]!.end;
        continue;
      }
      for (let i = 0; i < items.length; i++) {
        const item = items[i]!;
        if (item.end <= low) continue;
        const at = alignUp(bottom, align);
        if (at + size <= item.start) return at + size <= high ? at : -1;
        bottom = item.end;
      }
    }
    const at = alignUp(bottom, align);
    return at + size <= high ? at : -1;
  }

  /** @returns true when no range overlaps [addr, addr + size). */
  isFree(addr: number, size: number): boolean {
    const found = this.find(addr);
    return found === undefined || found.start >= addr + size;
  }

  /** In order. The range just visited may be removed, grown or cut by the loop's body. */
  [Symbol.iterator](): Iterator<T, undefined> {
    let c = 0;
    let i = 0;
    let seen = this.version;
    let lastStart = Number.NEGATIVE_INFINITY;
    return {
      next: (): IteratorResult<T, undefined> => {
        if (seen !== this.version) {
          seen = this.version;
          c = this.chunkIndex(lastStart);
          const again = this.chunks[c]?.items;
          i = again === undefined ? 0 : this.itemIndex(again, lastStart);
          if (again !== undefined && again[i]!.start <= lastStart) i++;
        }
        let items = this.chunks[c]?.items;
        if (items !== undefined && i >= items.length) {
          items = this.chunks[++c]?.items;
          i = 0;
        }
        if (items === undefined) return { done: true, value: undefined };
        const value = items[i++]!;
        lastStart = value.start;
        return { done: false, value };
      },
    };
  }
}
