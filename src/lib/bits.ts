/** Arithmetic on powers of two for sizes and counts; addresses use arch/riscv/pgtable.ts. */

export const TWO32 = 0x1_0000_0000;

/** The number made of two 32-bit halves, the high one read as unsigned; exact below 2^53. */
export function fromHalves(lo: number, hi: number): number {
  return (hi >>> 0) * TWO32 + (lo >>> 0);
}

/** As fromHalves(), with the high half signed (off_t, time_t). */
export function fromHalvesSigned(lo: number, hi: number): number {
  return (hi | 0) * TWO32 + (lo >>> 0);
}

/** The unsigned 64-bit word of a structure at byte `at`; exact below 2^53. */
export function getU64(view: DataView, at: number): number {
  return fromHalves(view.getUint32(at, true), view.getUint32(at + 4, true));
}

/** Stores a number in (-2^53, 2^53) as the 64-bit word of a structure at byte `at`. */
export function setU64(view: DataView, at: number, value: number): void {
  view.setInt32(at, lowHalf(value), true);
  view.setInt32(at + 4, highHalf(value), true);
}

/** High 32 bits of a number in (-2^53, 2^53), as two's complement. */
export function highHalf(n: number): number {
  return Math.floor(n / TWO32) | 0;
}

/** Low 32 bits of a number in (-2^53, 2^53), as two's complement. */
export function lowHalf(n: number): number {
  return (n % TWO32) | 0;
}
