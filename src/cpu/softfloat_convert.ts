/**
 * Conversions between floating-point numbers and integers (Unprivileged 21.7 and 22.5), and
 * comparisons that need more than the host's: minimum, maximum, classification.
 */

import { TWO32 } from '../lib/bits.ts';
import {
  FFLAGS_NV,
  FFLAGS_NX,
  type FpEnv,
  RM_RDN,
  RM_RMM,
  RM_RNE,
  RM_RUP,
  roundDouble,
  roundSingle,
} from './softfloat_round.ts';

const TWO63 = 2 ** 63;
const TWO64 = 2 ** 64;
/** Doubles of this magnitude and above are integers. */
const TWO52 = 2 ** 52;

/** `x` rounded to an integer in the mode of `env`, without flags; NaN and infinities as they are. */
function roundToIntegral(env: FpEnv, x: number): number {
  const whole = Math.trunc(x);
  const fraction = Math.abs(x - whole);
  if (fraction === 0 || !(Math.abs(x) < TWO52)) return whole;
  const away = x < 0 ? -1 : 1;
  switch (env.rm) {
    case RM_RNE:
      return fraction > 0.5 || (fraction === 0.5 && whole % 2 !== 0) ? whole + away : whole;
    case RM_RDN:
      return Math.floor(x);
    case RM_RUP:
      return Math.ceil(x);
    case RM_RMM:
      return fraction >= 0.5 ? whole + away : whole;
    default:
      return whole;
  }
}

/**
 * `x` rounded to an integer of [min, limit), with NX if that changed it; with NV, min below the
 * range and `limit` above it or for NaN.
 */
function toInteger(env: FpEnv, x: number, min: number, limit: number): number {
  const r = roundToIntegral(env, x);
  if (r >= min && r < limit) {
    if (r !== x) env.flags |= FFLAGS_NX;
    return r;
  }
  env.flags |= FFLAGS_NV;
  return r < min ? min : limit;
}

export function toInt32(env: FpEnv, x: number): number {
  const r = toInteger(env, x, -2147483648, 2147483648);
  return r === 2147483648 ? 2147483647 : r | 0;
}

/** As the sign-extended low half of a register. */
export function toUint32(env: FpEnv, x: number): number {
  const r = toInteger(env, x, 0, TWO32);
  return r === TWO32 ? -1 : r | 0;
}

/** Writes the 64-bit result to `out[at]` (low) and `out[at + 1]`. */
export function toInt64(env: FpEnv, x: number, out: Int32Array, at: number): void {
  const r = toInteger(env, x, -TWO63, TWO63);
  if (r === TWO63) {
    out[at] = -1;
    out[at + 1] = 0x7fffffff;
    return;
  }
  storeInteger(r, out, at);
}

export function toUint64(env: FpEnv, x: number, out: Int32Array, at: number): void {
  const r = toInteger(env, x, 0, TWO64);
  if (r === TWO64) {
    out[at] = -1;
    out[at + 1] = -1;
    return;
  }
  storeInteger(r, out, at);
}

function storeInteger(r: number, out: Int32Array, at: number): void {
  const high = Math.floor(r / TWO32);
  out[at] = r - high * TWO32;
  out[at + 1] = high;
}

/** The 64-bit integer high * 2^32 + low to a double; high signed or unsigned, low unsigned. */
export function integerToDouble(env: FpEnv, high: number, low: number): number {
  const top = high * TWO32;
  const sum = top + low;
  return roundDouble(env, sum, top - sum + low);
}

/** As integerToDouble(), to a single. */
export function integerToSingle(env: FpEnv, high: number, low: number): number {
  const top = high * TWO32;
  const sum = top + low;
  return roundSingle(env, sum, top - sum + low);
}

/** minimumNumber of IEEE 754-2019: a NaN loses, -0 is below +0. */
export function minimum(a: number, b: number): number {
  if (Number.isNaN(a)) return b;
  if (Number.isNaN(b)) return a;
  return Math.min(a, b);
}

export function maximum(a: number, b: number): number {
  if (Number.isNaN(a)) return b;
  if (Number.isNaN(b)) return a;
  return Math.max(a, b);
}

/** FLT and FLE: any NaN is invalid. @returns whether both operands are numbers. */
export function orderedOrInvalid(env: FpEnv, a: number, b: number): boolean {
  if (!Number.isNaN(a) && !Number.isNaN(b)) return true;
  env.flags |= FFLAGS_NV;
  return false;
}

/**
 * FCLASS of a number that is not NaN, as the table in Unprivileged 21.9 numbers the bits.
 * @param minNormal the format's least normal number.
 */
export function classify(x: number, minNormal: number): number {
  const negative = x < 0 || Object.is(x, -0);
  const magnitude = Math.abs(x);
  if (magnitude === Number.POSITIVE_INFINITY) return negative ? 1 << 0 : 1 << 7;
  if (magnitude >= minNormal) return negative ? 1 << 1 : 1 << 6;
  if (magnitude !== 0) return negative ? 1 << 2 : 1 << 5;
  return negative ? 1 << 3 : 1 << 4;
}
