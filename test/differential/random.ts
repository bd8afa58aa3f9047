/** A seeded generator, and register contents that sit on the corners of the instruction set. */

/** sfc32 by Chris Doty-Humphrey: small, fast, and the same everywhere. */
export class Random {
  private a = 0;
  private b = 0;
  private c = 1;
  private d = 1;

  constructor(seed: number) {
    this.a = seed | 0;
    this.b = (seed / 0x1_0000_0000) | 0;
    for (let i = 0; i < 12; i++) this.word();
  }

  /** 32 random bits, signed. */
  word(): number {
    const t = (((this.a + this.b) | 0) + this.d) | 0;
    this.d = (this.d + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = (this.c << 21) | (this.c >>> 11);
    this.c = (this.c + t) | 0;
    return t;
  }

  /** A number of [0, n). */
  below(n: number): number {
    return Math.floor(((this.word() >>> 0) / 0x1_0000_0000) * n);
  }

  /** True once in `n` times. */
  oneIn(n: number): boolean {
    return this.below(n) === 0;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }
}

const CORNER_WORDS = [
  0, 1, 2, 3, 7, 8, 0x1f, 0x20, 0x3f, 0x40, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff,
  0x10000, 0x7fffffff, -0x80000000, -0x7fffffff, -1, -2, -3, -128, -129, -32768, -32769, 0x55555555,
];

/** Writes a 64-bit integer register: corners of both halves, single bits, or anything. */
export function randomInteger(r: Random, out: Int32Array, at: number): void {
  switch (r.below(8)) {
    case 0:
    case 1: {
      const low = r.pick(CORNER_WORDS);
      out[at] = low;
      out[at + 1] = low >> 31;
      return;
    }
    case 2:
      out[at] = r.pick(CORNER_WORDS);
      out[at + 1] = r.pick(CORNER_WORDS);
      return;
    case 3: {
      const bit = r.below(64);
      out[at] = bit < 32 ? 1 << bit : 0;
      out[at + 1] = bit < 32 ? 0 : 1 << (bit - 32);
      if (r.oneIn(2)) decrement(out, at);
      return;
    }
    case 4:
      // Most negative: the dividend of the overflowing division.
      out[at] = 0;
      out[at + 1] = -0x80000000;
      return;
    case 5:
      out[at] = r.word() >> r.below(32);
      out[at + 1] = out[at] >> 31;
      return;
    default:
      out[at] = r.word();
      out[at + 1] = r.word();
  }
}

function decrement(out: Int32Array, at: number): void {
  if (out[at] === 0) out[at + 1] = out[at + 1]! - 1;
  out[at] = out[at]! - 1;
}

/** A fraction of `bits` bits (at most 32): zeros, ones, a single bit, a run, or anything. */
function fraction(r: Random, bits: number): number {
  const all = bits === 32 ? -1 : (1 << bits) - 1;
  switch (r.below(7)) {
    case 0:
      return 0;
    case 1:
      return all;
    case 2:
      return (1 << r.below(bits)) & all;
    case 3:
      return (all << r.below(bits)) & all;
    case 4:
      return all >>> r.below(bits);
    default:
      return r.word() & all;
  }
}

/** Exponent fields by distance to what is special about them: ends, bias, integer limits. */
function exponentField(r: Random, bits: number, bias: number, precision: number): number {
  const max = (1 << bits) - 1;
  switch (r.below(11)) {
    case 10:
      // Doubles where singles end.
      return bits === 11 ? bias + r.pick([-150, -149, -127, -126, 126, 127, 128]) : bias;
    case 0:
      return r.below(4);
    case 1:
      return max - r.below(4);
    case 2:
      return bias + 29 + r.below(6);
    case 3:
      return bias + 60 + r.below(6);
    case 4:
      return bias + precision - 3 + r.below(5);
    case 5:
      return (bias >> 1) + r.below(8) - 4;
    case 6:
      return bias + (bias >> 1) + r.below(8) - 4;
    case 7:
      return r.below(max + 1);
    default:
      return bias - 3 + r.below(7);
  }
}

/** Writes any double, with a weight on those where rounding, overflow or underflow happen. */
export function randomDouble(r: Random, out: Int32Array, at: number): void {
  const sign = r.word() & 0x80000000;
  const field = exponentField(r, 11, 1023, 53);
  const high = fraction(r, 20);
  const low = r.oneIn(3) ? (high & 1 ? -1 : 0) : fraction(r, 32);
  out[at] = low;
  out[at + 1] = sign | (field << 20) | high;
  if (field === 2047 && r.oneIn(2)) {
    // Infinity as often as all NaNs.
    out[at] = 0;
    out[at + 1] = sign | 0x7ff00000;
  } else if (field === 0 && r.oneIn(3)) {
    out[at] = 0;
    out[at + 1] = sign;
  }
}

/** Writes any single, NaN-boxed but for one in `unboxed` times. */
export function randomSingle(r: Random, out: Int32Array, at: number, unboxed: number): void {
  const sign = r.word() & 0x80000000;
  const field = exponentField(r, 8, 127, 24);
  let bits = sign | (field << 23) | fraction(r, 23);
  if (field === 255 && r.oneIn(2)) bits = sign | 0x7f800000;
  else if (field === 0 && r.oneIn(3)) bits = sign;
  out[at] = bits;
  out[at + 1] = r.oneIn(unboxed) ? r.pick([0, -2, 0x7fffffff, r.word()]) : -1;
}

const MAX_SINGLE = 3.4028234663852886e38;

/**
 * Makes registers that belong together: sums that cancel, quotients near 1, products that the
 * third operand almost takes back. Registers are those of `f`, two words each.
 */
export function relateDoubles(r: Random, f: Float64Array, words: Int32Array): void {
  const n = f.length;
  for (let i = 0; i < 6; i++) {
    const a = r.below(n);
    const b = r.below(n);
    const to = r.below(n);
    const value = related(r, f[a]!, f[b]!, 2 ** -1022, Number.MAX_VALUE);
    if (Number.isNaN(value)) continue;
    f[to] = value;
    if (r.oneIn(2)) words[to * 2] = words[to * 2]! + r.below(5) - 2;
  }
}

/** As relateDoubles(), for NaN-boxed singles. */
export function relateSingles(r: Random, f: Float32Array, words: Int32Array): void {
  const n = f.length / 2;
  for (let i = 0; i < 6; i++) {
    const a = r.below(n);
    const b = r.below(n);
    const to = r.below(n);
    const value = related(r, f[a * 2]!, f[b * 2]!, 2 ** -126, MAX_SINGLE);
    if (Number.isNaN(value)) continue;
    f[to * 2] = value;
    if (r.oneIn(2)) words[to * 2] = words[to * 2]! + r.below(5) - 2;
    words[to * 2 + 1] = -1;
  }
}

/** A number that goes with `a` or `b`; least and largest are those of the format, normal. */
function related(r: Random, a: number, b: number, least: number, largest: number): number {
  switch (r.below(7)) {
    case 0:
      return -a;
    case 1:
      return -(a * b);
    case 2:
      return a * b;
    case 3:
      return a / b;
    case 4:
      return a * a;
    case 5:
      return least / a;
    default:
      return largest / a;
  }
}
