/** Arithmetic on powers of two for sizes and counts; addresses use arch/riscv/pgtable.ts. */

/** Rounds `n` up to a multiple of `unit`; exact for 0 <= n < 2^53 and any positive unit. */
export function roundUp(n: number, unit: number): number {
  return Math.ceil(n / unit) * unit;
}

/** Smallest order with `1 << order >= n`, for 1 <= n <= 2^31. */
export function orderOf(n: number): number {
  return 32 - Math.clz32(n - 1);
}

export const TWO32 = 0x1_0000_0000;

/** The number made of two 32-bit halves, the high one read as unsigned; exact below 2^53. */
export function fromHalves(lo: number, hi: number): number {
  return (hi >>> 0) * TWO32 + (lo >>> 0);
}

/** As fromHalves(), with the high half signed (off_t, time_t). */
export function fromHalvesSigned(lo: number, hi: number): number {
  return (hi | 0) * TWO32 + (lo >>> 0);
}

/** High 32 bits of a number in (-2^53, 2^53), as two's complement. */
export function highHalf(n: number): number {
  return Math.floor(n / TWO32) | 0;
}

/** Low 32 bits of a number in (-2^53, 2^53), as two's complement. */
export function lowHalf(n: number): number {
  return n % TWO32 | 0;
}
