/** Random bytes for getrandom(), /dev/urandom and AT_RANDOM: the host's, or a repeatable stream. */

import { randomFillSync } from 'node:crypto';

export class RandomPool {
  private state: number;
  private readonly seeded: boolean;

  /** @param seed any 32-bit number for a repeatable stream; undefined for the host's randomness. */
  constructor(seed: number | undefined) {
    this.seeded = seed !== undefined;
    this.state = (seed ?? 0) | 0;
  }

  fill(buffer: Uint8Array): void {
    if (!this.seeded) {
      randomFillSync(buffer);
      return;
    }
    for (let i = 0; i < buffer.length; i++) buffer[i] = this.next() >>> 24;
  }

  /** One 32-bit step of splitmix32: repeatable, not secret. */
  private next(): number {
    this.state = (this.state + 0x9e37_79b9) | 0;
    let z = this.state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0_aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a_2d97);
    return (z ^ (z >>> 15)) >>> 0;
  }
}
