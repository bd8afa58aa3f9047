/** Integer results and instruction fields for the oracle: 64-bit values are unsigned bigint. */

export function u64(value: bigint): bigint {
  return BigInt.asUintN(64, value);
}

export function s64(value: bigint): bigint {
  return BigInt.asIntN(64, value);
}

/** The low 32 bits, sign-extended: what the W instructions write. */
export function word(value: bigint): bigint {
  return BigInt.asIntN(32, value);
}

export function bits(value: number, from: number, count: number): number {
  return (value >>> from) & ((1 << count) - 1);
}

export function immI(w: number): number {
  return w >> 20;
}

export function immS(w: number): number {
  return ((w >> 25) << 5) | bits(w, 7, 5);
}

export function immB(w: number): number {
  return ((w >> 31) << 12) | (bits(w, 7, 1) << 11) | (bits(w, 25, 6) << 5) | (bits(w, 8, 4) << 1);
}

export function immU(w: number): bigint {
  return BigInt(w & ~0xfff);
}

export function immJ(w: number): number {
  const low = (bits(w, 20, 1) << 11) | (bits(w, 21, 10) << 1);
  return ((w >> 31) << 20) | (bits(w, 12, 8) << 12) | low;
}

export function operate64(funct3: number, other: boolean, a: bigint, b: bigint): bigint {
  const shamt = b & 63n;
  switch (funct3) {
    case 0:
      return other ? a - b : a + b;
    case 1:
      return a << shamt;
    case 2:
      return s64(a) < s64(b) ? 1n : 0n;
    case 3:
      return a < b ? 1n : 0n;
    case 4:
      return a ^ b;
    case 5:
      return other ? s64(a) >> shamt : a >> shamt;
    case 6:
      return a | b;
    default:
      return a & b;
  }
}

export function multiplyDivide(funct3: number, a: bigint, b: bigint): bigint {
  switch (funct3) {
    case 0:
      return a * b;
    case 1:
      return (s64(a) * s64(b)) >> 64n;
    case 2:
      return (s64(a) * b) >> 64n;
    case 3:
      return (a * b) >> 64n;
    case 4:
      return divide(s64(a), s64(b));
    case 5:
      return b === 0n ? -1n : a / b;
    case 6:
      return remainder(s64(a), s64(b));
    default:
      return b === 0n ? a : a % b;
  }
}

/** Signed division; the overflowing case needs nothing special, as the write wraps. */
export function divide(a: bigint, b: bigint): bigint {
  return b === 0n ? -1n : a / b;
}

export function remainder(a: bigint, b: bigint): bigint {
  return b === 0n ? a : a % b;
}

/** funct5 of the load and store that are not AMOs. */
export const LR = 2;
export const SC = 3;

const AMO_ADD = 0;
const AMO_SWAP = 1;
const AMO_XOR = 4;
const AMO_OR = 8;
const AMO_AND = 12;
const AMO_MIN = 16;
const AMO_MAX = 20;
const AMO_MINU = 24;
const AMO_MAXU = 28;

/** Whether funct5 is one of the eleven of the A extension. */
export function isAtomic(operation: number): boolean {
  return operation === AMO_SWAP || operation === LR || operation === SC || operation % 4 === 0;
}

/** What an AMO stores: `a` from memory and `b` from the register, sign-extended from `width`. */
export function modify(operation: number, width: number, a: bigint, b: bigint): bigint {
  const less = BigInt.asUintN(width, a) < BigInt.asUintN(width, b);
  const results: Record<number, bigint> = {
    [AMO_ADD]: a + b,
    [AMO_SWAP]: b,
    [AMO_XOR]: a ^ b,
    [AMO_OR]: a | b,
    [AMO_AND]: a & b,
    [AMO_MIN]: a < b ? a : b,
    [AMO_MAX]: a > b ? a : b,
    [AMO_MINU]: less ? a : b,
    [AMO_MAXU]: less ? b : a,
  };
  return BigInt.asUintN(width, results[operation]!);
}
