/**
 * Rounding of exact results to double and single precision, with the flags of fcsr
 * (Unprivileged 21.2): the one place where precision is lost.
 *
 * An exact result arrives as `(value + error) * 2^exponent`: `value` is a double, `error` what
 * the host's rounding of `value` left out, itself exact. The host rounds to nearest even only
 * and raises no flags, but from the sign of `error` all five modes and NX follow. Results near
 * the ends of the exponent range are rounded in integers instead.
 */

export const FFLAGS_NX = 0x01;
export const FFLAGS_UF = 0x02;
export const FFLAGS_OF = 0x04;
export const FFLAGS_DZ = 0x08;
export const FFLAGS_NV = 0x10;

export const RM_RNE = 0;
export const RM_RTZ = 1;
export const RM_RDN = 2;
export const RM_RUP = 3;
export const RM_RMM = 4;

/** Largest magnitude that a double result may have to be rounded without scaling. */
export const SAFE_MAX = 2 ** 1022;

const MAX_SINGLE = 3.4028234663852886e38;
/** Twice the least normal single: nothing at or above it is tiny, however it is rounded. */
const SAFE_MIN_SINGLE = 2 ** -125;
/** A double below this is less than any fraction of the least single that matters. */
const NEGLIGIBLE_SINGLE = 2 ** -1000;

/** Working state of one floating-point instruction. */
export class FpEnv {
  /** Rounding mode, RM_*. */
  rm = RM_RNE;
  /** FFLAGS_* raised so far. */
  flags = 0;
  /** Second result of scaleToOne(): the exponent that it took out. */
  exponent = 0;
  /** A 64-bit significand in two halves; the lowest bit also stands for everything below it. */
  sigHi = 0;
  sigLo = 0;
  /** One double, the same as two words (low first), and one single as a word. */
  readonly f64 = new Float64Array(1);
  readonly words = new Int32Array(this.f64.buffer);
  readonly f32 = new Float32Array(1);
  readonly word = new Int32Array(this.f32.buffer);
}

/** `x` moved to the next double away from zero (`by` = 1) or towards it (-1); x is not 0. */
function stepMagnitude(env: FpEnv, x: number, by: 1 | -1): number {
  const { f64, words } = env;
  f64[0] = x;
  const low = words[0]!;
  words[0] = low + by;
  if (by === 1 ? low === -1 : low === 0) words[1] = words[1]! + by;
  return f64[0];
}

/** The double with a last bit of 1 next to value + error, when error is not 0: "round to odd". */
export function roundToOdd(env: FpEnv, value: number, error: number): number {
  env.f64[0] = value;
  if ((env.words[0]! & 1) !== 0) return value;
  return stepMagnitude(env, value, value < 0 === error < 0 ? 1 : -1);
}

/** Whether a significand with `rest` cut off grows by one; rest / (2 * half) is the fraction lost. */
function roundsUp(rm: number, negative: boolean, odd: number, rest: number, half: number): boolean {
  switch (rm) {
    case RM_RNE:
      return rest > half || (rest === half && odd !== 0);
    case RM_RDN:
      return negative && rest !== 0;
    case RM_RUP:
      return !negative && rest !== 0;
    case RM_RMM:
      return rest >= half;
    default:
      return false;
  }
}

/** Shifts the significand right, or-ing what falls out into its lowest bit. */
function shiftRightSticky(env: FpEnv, by: number): void {
  const hi = env.sigHi;
  const lo = env.sigLo;
  if (by === 0) return;
  if (by < 32) {
    const lost = lo << (32 - by);
    env.sigLo = (hi << (32 - by)) | (lo >>> by) | (lost !== 0 ? 1 : 0);
    env.sigHi = hi >>> by;
    return;
  }
  let low = 0;
  let lost = hi | lo;
  if (by < 64) {
    low = hi >>> (by - 32);
    lost = lo | (by === 32 ? 0 : hi << (64 - by));
  }
  env.sigLo = low | (lost !== 0 ? 1 : 0);
  env.sigHi = 0;
}

/** What an overflow gives: infinity, or the largest finite number where the mode says so. */
function overflow(env: FpEnv, negative: boolean, largest: number): number {
  env.flags |= FFLAGS_OF | FFLAGS_NX;
  const { rm } = env;
  const toInfinity =
    rm === RM_RNE || rm === RM_RMM || (rm === RM_RUP && !negative) || (rm === RM_RDN && negative);
  const magnitude = toInfinity ? Number.POSITIVE_INFINITY : largest;
  return negative ? -magnitude : magnitude;
}

/** NX for a rounded result, and UF if it is tiny as well (21.2: tininess is found after rounding). */
function raiseInexact(env: FpEnv, tiny: boolean): void {
  env.flags |= tiny ? FFLAGS_UF | FFLAGS_NX : FFLAGS_NX;
}

/** Rounds ±sig / 2^63 * 2^exponent, bit 63 of sig set, to a double. */
function packDouble(env: FpEnv, negative: boolean, exponent: number): number {
  if (exponent > 1023) return overflow(env, negative, Number.MAX_VALUE);
  let tiny = false;
  let base = exponent + 1022;
  if (base < 0) {
    // Tiny unless rounding with an unbounded exponent would carry up to 2^-1022.
    const carries =
      exponent === -1023 &&
      env.sigHi === -1 &&
      env.sigLo >>> 11 === 0x1fffff &&
      roundsUp(env.rm, negative, 1, env.sigLo & 0x7ff, 0x400);
    tiny = !carries;
    shiftRightSticky(env, -base);
    base = 0;
  }
  const rest = env.sigLo & 0x7ff;
  let low = (env.sigHi << 21) | (env.sigLo >>> 11);
  let high = (base << 20) + (env.sigHi >>> 11);
  if (rest !== 0) {
    raiseInexact(env, tiny);
    if (roundsUp(env.rm, negative, low & 1, rest, 0x400)) {
      low = (low + 1) | 0;
      if (low === 0) high++;
    }
  }
  if (high >= 0x7ff00000) return overflow(env, negative, Number.MAX_VALUE);
  env.words[0] = low;
  env.words[1] = negative ? high | 0x80000000 : high;
  return env.f64[0]!;
}

/** As packDouble(), to a single. */
function packSingle(env: FpEnv, negative: boolean, exponent: number): number {
  if (exponent > 127) return overflow(env, negative, MAX_SINGLE);
  let tiny = false;
  let base = exponent + 126;
  if (base < 0) {
    const carries =
      exponent === -127 &&
      env.sigHi >>> 8 === 0xffffff &&
      roundsUp(env.rm, negative, 1, singleRest(env), 0x100);
    tiny = !carries;
    shiftRightSticky(env, -base);
    base = 0;
  }
  const rest = singleRest(env);
  let bits = (base << 23) + (env.sigHi >>> 8);
  if (rest !== 0) {
    raiseInexact(env, tiny);
    if (roundsUp(env.rm, negative, bits & 1, rest, 0x100)) bits++;
  }
  if (bits >= 0x7f800000) return overflow(env, negative, MAX_SINGLE);
  env.word[0] = negative ? bits | 0x80000000 : bits;
  return env.f32[0]!;
}

/** The 40 bits below a single's significand, the lower 32 of them as one. */
function singleRest(env: FpEnv): number {
  return ((env.sigHi & 0xff) << 1) | (env.sigLo !== 0 ? 1 : 0);
}

/**
 * Writes the magnitude of value + error to env.sig* with bit 63 set.
 * @param value a normal double, not 0; with an exponent within ±900 unless error is 0.
 * @param error at most half a unit in the last place of value.
 * @returns the exponent of bit 63.
 */
function unpack(env: FpEnv, value: number, error: number): number {
  const { f64, words } = env;
  f64[0] = value;
  const low = words[0]!;
  const high = words[1]!;
  const exponent = ((high >>> 20) & 0x7ff) - 1023;
  env.sigHi = ((high | 0x100000) << 11) | (low >>> 21);
  env.sigLo = low << 11;
  if (error === 0) return exponent;
  words[0] = 0;
  words[1] = (63 - exponent + 1023) << 20;
  const units = value < 0 ? -error * f64[0] : error * f64[0];
  const whole = Math.floor(units);
  const sticky = whole === units ? 0 : 1;
  if (whole >= 0 || env.sigLo !== 0) {
    env.sigLo = (env.sigLo + whole) | sticky;
    return exponent;
  }
  env.sigLo = whole | sticky;
  env.sigHi = (env.sigHi - 1) | 0;
  if (env.sigHi < 0) return exponent;
  env.sigHi = (env.sigHi << 1) | (env.sigLo >>> 31);
  env.sigLo = (env.sigLo << 1) | sticky;
  return exponent - 1;
}

/**
 * Rounds (value + error) * 2^exponent to a double.
 * @param value as for unpack(), or 0 with an error of 0.
 */
export function roundScaledDouble(
  env: FpEnv,
  value: number,
  error: number,
  exponent: number,
): number {
  if (value === 0) return value;
  const top = unpack(env, value, error) + exponent;
  return packDouble(env, value < 0, top);
}

/** RMM differs from the host's RNE in ties that went towards zero: the next double is as near. */
function roundTieAway(env: FpEnv, value: number, error: number): number {
  const twice = error * 2;
  const tie = value + twice - value === twice;
  return tie && error < 0 === value < 0 ? stepMagnitude(env, value, 1) : value;
}

/**
 * Rounds value + error to a double, where value is the double nearest to the sum.
 * @param value exact, or with a magnitude within [2^-1021, SAFE_MAX].
 * @hot
 */
export function roundDouble(env: FpEnv, value: number, error: number): number {
  if (error === 0) return value;
  const { rm } = env;
  if (rm === RM_RNE) {
    env.flags |= FFLAGS_NX;
    return value;
  }
  env.flags |= FFLAGS_NX;
  if (rm === RM_RMM) return roundTieAway(env, value, error);
  const negative = value < 0;
  const shrinks = error < 0 !== negative;
  const towardsZero = rm === RM_RTZ || (rm === RM_RDN) !== negative;
  if (shrinks === towardsZero) return stepMagnitude(env, value, towardsZero ? -1 : 1);
  return value;
}

/**
 * Rounds value + error to a single.
 * @param value 0 with an error of 0, or the double nearest to the sum, finite; below 2^-900
 *   only with an error of 0.
 * @hot
 */
export function roundSingle(env: FpEnv, value: number, error: number): number {
  // 53 bits rounded to odd hold 24 bits, a guard bit and the fact that something follows.
  let odd = error === 0 ? value : roundToOdd(env, value, error);
  const nearest = Math.fround(odd);
  if (nearest === odd) return nearest;
  const magnitude = Math.abs(nearest);
  if (env.rm === RM_RNE && magnitude >= SAFE_MIN_SINGLE && magnitude <= MAX_SINGLE) {
    env.flags |= FFLAGS_NX;
    return nearest;
  }
  if (Math.abs(odd) < NEGLIGIBLE_SINGLE) odd = odd < 0 ? -NEGLIGIBLE_SINGLE : NEGLIGIBLE_SINGLE;
  return packSingle(env, odd < 0, unpack(env, odd, 0));
}
