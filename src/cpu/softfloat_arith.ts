/**
 * Addition, multiplication, division, square root and fused multiply-add in every rounding
 * mode, on the host's doubles with exact error terms (Dekker 1971, Knuth's TwoSum): each
 * function computes the nearest double and what it left out, and softfloat_round.ts does the
 * rest. Operands whose products or errors could leave the exponent range are scaled to [1, 2).
 *
 * A NaN returned here is written as the canonical NaN; NV for signalling operands has been
 * raised where they were read.
 */

import {
  FFLAGS_DZ,
  FFLAGS_NV,
  type FpEnv,
  RM_RDN,
  roundDouble,
  roundScaledDouble,
  roundSingle,
  roundToOdd,
  SAFE_MAX,
} from './softfloat_round.ts';

/** Veltkamp's constant: splits 53 bits into 26 and 27. */
const SPLIT = 134217729;

/** Between these, products of two operands and their errors are far from both ends of the range. */
const MID_MIN = 2 ** -400;
const MID_MAX = 2 ** 400;

/** Exponent distance beyond which a summand only tells that the other one is not exact. */
const FAR = 300;
/** Stands for such a summand: below every bit of a 106-bit product. */
const FAR_VALUE = 2 ** -250;

/** Stands for the error of a quotient or root of magnitude 1: less than a quarter of its last place. */
const INEXACT = 2 ** -55;

/** Summands below this leave sums of SAFE_MAX and above as inexact as they are. */
const NEGLIGIBLE_SUMMAND = 2 ** 800;

function isMid(x: number): boolean {
  const magnitude = Math.abs(x);
  return magnitude > MID_MIN && magnitude < MID_MAX;
}

/** What a * b, the host's product, left out; exact for operands of the middle range. */
function productError(a: number, b: number, product: number): number {
  const ta = SPLIT * a;
  const aHigh = ta - (ta - a);
  const aLow = a - aHigh;
  const tb = SPLIT * b;
  const bHigh = tb - (tb - b);
  const bLow = b - bHigh;
  return aLow * bLow - (product - aHigh * bHigh - aLow * bHigh - aHigh * bLow);
}

/** What a + b, the host's sum, left out; exact unless something overflows. */
function sumError(a: number, b: number, sum: number): number {
  const bb = sum - a;
  return a - (sum - bb) + (b - bb);
}

/** Splits finite `x`, not 0, into a value of magnitude [1, 2), returned, and env.exponent. */
function scaleToOne(env: FpEnv, x: number): number {
  const { f64, words } = env;
  f64[0] = x;
  let bias = 1023;
  if ((words[1]! & 0x7ff00000) === 0) {
    f64[0] = x * 2 ** 64;
    bias += 64;
  }
  const high = words[1]!;
  env.exponent = ((high >>> 20) & 0x7ff) - bias;
  words[1] = (high & 0x800fffff) | 0x3ff00000;
  return f64[0];
}

/** 2^n for a normal result. */
function powerOfTwo(env: FpEnv, n: number): number {
  env.words[0] = 0;
  env.words[1] = (n + 1023) << 20;
  return env.f64[0]!;
}

function isNegative(x: number): boolean {
  return x < 0 || Object.is(x, -0);
}

/** The sign of an exact zero sum x + y (IEEE 754-2019, 6.3). */
function zeroSum(env: FpEnv, x: number, y: number): number {
  const bothPlus = x === 0 && !isNegative(x) && !isNegative(y);
  const bothMinus = x === 0 && isNegative(x) && isNegative(y);
  return bothMinus || (env.rm === RM_RDN && !bothPlus) ? -0 : 0;
}

/** Raises NV for an invalid operation. @returns NaN. */
function invalid(env: FpEnv): number {
  env.flags |= FFLAGS_NV;
  return Number.NaN;
}

/** @hot */
export function addDouble(env: FpEnv, a: number, b: number): number {
  const sum = a + b;
  if (Math.abs(sum) < SAFE_MAX) {
    if (sum === 0) return zeroSum(env, a, b);
    return roundDouble(env, sum, sumError(a, b, sum));
  }
  return addDoubleWide(env, a, b, sum);
}

/** Sums that are NaN, infinite or about to be. */
function addDoubleWide(env: FpEnv, a: number, b: number, sum: number): number {
  if (Number.isNaN(sum)) return Number.isNaN(a) || Number.isNaN(b) ? sum : invalid(env);
  if (!Number.isFinite(a) || !Number.isFinite(b)) return sum;
  const x = scaleDown(a);
  const y = scaleDown(b);
  const scaled = x + y;
  return roundScaledDouble(env, scaled, sumError(x, y, scaled), 900);
}

/** x * 2^-900 for a summand of a huge sum, or a value that makes the sum as inexact. */
function scaleDown(x: number): number {
  if (x === 0) return 0;
  if (Math.abs(x) >= NEGLIGIBLE_SUMMAND) return x * 2 ** -900;
  return x < 0 ? -(2 ** -100) : 2 ** -100;
}

/** @hot */
export function mulDouble(env: FpEnv, a: number, b: number): number {
  const product = a * b;
  if (isMid(a) && isMid(b)) return roundDouble(env, product, productError(a, b, product));
  if (Number.isNaN(product)) return Number.isNaN(a) || Number.isNaN(b) ? product : invalid(env);
  if (a === 0 || b === 0 || !Number.isFinite(a) || !Number.isFinite(b)) return product;
  const x = scaleToOne(env, a);
  const exponent = env.exponent;
  const y = scaleToOne(env, b);
  const scaled = x * y;
  return roundScaledDouble(env, scaled, productError(x, y, scaled), exponent + env.exponent);
}

/** The sign of a / b - quotient, as an error of the quotient; exact for the middle range. */
function quotientError(a: number, b: number, quotient: number): number {
  const product = quotient * b;
  const remainder = a - product - productError(quotient, b, product);
  if (remainder === 0) return 0;
  const error = Math.abs(quotient) * INEXACT;
  return remainder < 0 === b < 0 ? error : -error;
}

/** @hot */
export function divDouble(env: FpEnv, a: number, b: number): number {
  const quotient = a / b;
  if (isMid(a) && isMid(b) && isMid(quotient)) {
    return roundDouble(env, quotient, quotientError(a, b, quotient));
  }
  if (isSpecialQuotient(a, b)) return specialQuotient(env, a, b, quotient);
  const x = scaleToOne(env, a);
  const exponent = env.exponent;
  const y = scaleToOne(env, b);
  const scaled = x / y;
  return roundScaledDouble(env, scaled, quotientError(x, y, scaled), exponent - env.exponent);
}

function isSpecialQuotient(a: number, b: number): boolean {
  return a === 0 || b === 0 || !Number.isFinite(a) || !Number.isFinite(b);
}

/** Quotients with an operand that is 0, infinite or NaN: exact, or invalid. */
function specialQuotient(env: FpEnv, a: number, b: number, quotient: number): number {
  if (Number.isNaN(quotient)) return Number.isNaN(a) || Number.isNaN(b) ? quotient : invalid(env);
  if (b === 0 && Number.isFinite(a)) env.flags |= FFLAGS_DZ;
  return quotient;
}

/** The sign of sqrt(a) - root, as an error of the root; exact for the middle range. */
function rootError(a: number, root: number): number {
  const square = root * root;
  const remainder = a - square - productError(root, root, square);
  if (remainder === 0) return 0;
  return remainder < 0 ? -root * INEXACT : root * INEXACT;
}

/** @hot */
export function sqrtDouble(env: FpEnv, a: number): number {
  if (a > MID_MIN && a < MID_MAX) {
    const root = Math.sqrt(a);
    return roundDouble(env, root, rootError(a, root));
  }
  if (a === 0 || a === Number.POSITIVE_INFINITY || Number.isNaN(a)) return a;
  if (a < 0) return invalid(env);
  let x = scaleToOne(env, a);
  if ((env.exponent & 1) !== 0) x *= 2;
  const exponent = (env.exponent - (env.exponent & 1)) / 2;
  const root = Math.sqrt(x);
  return roundScaledDouble(env, root, rootError(x, root), exponent);
}

/** a * b + c, rounded once. @hot */
export function fmaDouble(env: FpEnv, a: number, b: number, c: number): number {
  if (isMid(a) && isMid(b) && (isMid(c) || c === 0)) return fmaScaled(env, a, b, c, 0);
  const product = a * b;
  if (Number.isNaN(product) && !Number.isNaN(a) && !Number.isNaN(b)) return invalid(env);
  if (Number.isNaN(product) || Number.isNaN(c)) return Number.NaN;
  if (!Number.isFinite(a) || !Number.isFinite(b)) {
    const sum = product + c;
    return Number.isNaN(sum) ? invalid(env) : sum;
  }
  if (!Number.isFinite(c)) return c;
  if (a === 0 || b === 0) return c === 0 ? zeroSum(env, product, c) : c;
  const x = scaleToOne(env, a);
  let exponent = env.exponent;
  const y = scaleToOne(env, b);
  exponent += env.exponent;
  if (c === 0) return fmaScaled(env, x, y, 0, exponent);
  const z = scaleToOne(env, c);
  const distance = env.exponent - exponent;
  if (distance > FAR) {
    const tiny = x < 0 === y < 0 ? FAR_VALUE : -FAR_VALUE;
    return fmaScaled(env, tiny, 1, z, env.exponent);
  }
  if (distance < -FAR) return fmaScaled(env, x, y, z < 0 ? -FAR_VALUE : FAR_VALUE, exponent);
  return fmaScaled(env, x, y, z * powerOfTwo(env, distance), exponent);
}

/**
 * (a * b + c) * 2^exponent: the product and the sum as an expansion of three doubles that do
 * not overlap, the last two of them rounded to odd into one (Boldo and Melquiond 2008).
 */
function fmaScaled(env: FpEnv, a: number, b: number, c: number, exponent: number): number {
  const product = a * b;
  const low = productError(a, b, product);
  const s = product + c;
  const sLow = sumError(product, c, s);
  const t = s + low;
  const tLow = sumError(s, low, t);
  let tail = sLow + tLow;
  const tailLow = sumError(sLow, tLow, tail);
  if (tailLow !== 0) tail = roundToOdd(env, tail, tailLow);
  const sum = t + tail;
  if (sum === 0) return zeroSum(env, product, c);
  const error = sumError(t, tail, sum);
  const magnitude = Math.abs(sum);
  if (exponent === 0 && magnitude > MID_MIN && magnitude < SAFE_MAX)
    return roundDouble(env, sum, error);
  return roundScaledDouble(env, sum, error, exponent);
}

/** @hot */
export function addSingle(env: FpEnv, a: number, b: number): number {
  const sum = a + b;
  if (sum === 0) return zeroSum(env, a, b);
  if (!Number.isFinite(sum)) return specialSum(env, a, b, sum);
  return roundSingle(env, sum, sumError(a, b, sum));
}

/** Sums of singles with an operand that is infinite or NaN. */
function specialSum(env: FpEnv, a: number, b: number, sum: number): number {
  if (Number.isNaN(sum) && !Number.isNaN(a) && !Number.isNaN(b)) return invalid(env);
  return sum;
}

/** @hot */
export function mulSingle(env: FpEnv, a: number, b: number): number {
  const product = a * b;
  if (Number.isFinite(product)) return roundSingle(env, product, 0);
  if (Number.isNaN(product) && !Number.isNaN(a) && !Number.isNaN(b)) return invalid(env);
  return product;
}

/** @hot */
export function divSingle(env: FpEnv, a: number, b: number): number {
  const quotient = a / b;
  if (isSpecialQuotient(a, b)) return specialQuotient(env, a, b, quotient);
  return roundSingle(env, quotient, quotientError(a, b, quotient));
}

/** @hot */
export function sqrtSingle(env: FpEnv, a: number): number {
  if (a < 0) return invalid(env);
  if (a === 0 || !Number.isFinite(a)) return a;
  const root = Math.sqrt(a);
  return roundSingle(env, root, rootError(a, root));
}

/** a * b + c, rounded once: the product of two singles is an exact double. @hot */
export function fmaSingle(env: FpEnv, a: number, b: number, c: number): number {
  const product = a * b;
  if (Number.isNaN(product) && !Number.isNaN(a) && !Number.isNaN(b)) return invalid(env);
  return addSingle(env, product, c);
}
