/** Sparse array from index to a non-zero 32-bit number: page caches. */

const CHUNK_SHIFT = 9;
const CHUNK_SIZE = 1 << CHUNK_SHIFT;

class Chunk {
  readonly slots = new Int32Array(CHUNK_SIZE);
  used = 0;
}

/** Index range 0 <= index < 2^40; 0 means absent. */
export class XArray {
  private readonly chunks = new Map<number, Chunk>();
  private lastKey = -1;
  private lastChunk: Chunk | undefined;
  private count = 0;

  /** Entries that are not 0. */
  get size(): number {
    return this.count;
  }

  private chunkOf(index: number): Chunk | undefined {
    const key = Math.floor(index / CHUNK_SIZE);
    if (key !== this.lastKey || this.lastChunk === undefined) {
      this.lastKey = key;
      this.lastChunk = this.chunks.get(key);
    }
    return this.lastChunk;
  }

  get(index: number): number {
    const chunk = this.chunkOf(index);
    return chunk === undefined ? 0 : chunk.slots[index % CHUNK_SIZE]!;
  }

  /** Stores `value` (not 0). */
  set(index: number, value: number): void {
    let chunk = this.chunkOf(index);
    if (chunk === undefined) {
      chunk = new Chunk();
      this.chunks.set(this.lastKey, chunk);
      this.lastChunk = chunk;
    }
    const slot = index % CHUNK_SIZE;
    if (chunk.slots[slot] === 0) {
      chunk.used++;
      this.count++;
    }
    chunk.slots[slot] = value;
  }

  /** @returns what was there, 0 if nothing. */
  delete(index: number): number {
    const chunk = this.chunkOf(index);
    if (chunk === undefined) return 0;
    const slot = index % CHUNK_SIZE;
    const old = chunk.slots[slot]!;
    if (old === 0) return 0;
    chunk.slots[slot] = 0;
    this.count--;
    if (--chunk.used === 0) {
      this.chunks.delete(this.lastKey);
      this.lastChunk = undefined;
    }
    return old;
  }

  /** Calls `visit(index, value)` for every entry with first <= index <= last; it may delete the entry it is given. */
  forEach(first: number, last: number, visit: (index: number, value: number) => void): void {
    for (const [key, chunk] of [...this.chunks]) {
      const base = key * CHUNK_SIZE;
      if (base > last || base + CHUNK_SIZE <= first) continue;
      for (let slot = 0; slot < CHUNK_SIZE; slot++) {
        const value = chunk.slots[slot]!;
        const index = base + slot;
        if (value !== 0 && index >= first && index <= last) visit(index, value);
      }
    }
  }
}
