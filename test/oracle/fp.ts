/**
 * Floating point by the definition: operands become exact rationals (bigint), the operation is
 * done on those, and one function rounds. Slow and plain, to compare the processor with.
 */

export const NX = 1;
export const UF = 2;
export const OF = 4;
export const DZ = 8;
export const NV = 16;

/** A binary interchange format: width in bits, precision with the hidden bit, exponent range. */
export interface Format {
  width: number;
  precision: number;
  emin: number;
  emax: number;
}

export const SINGLE: Format = { width: 32, precision: 24, emin: -126, emax: 127 };
export const DOUBLE: Format = { width: 64, precision: 53, emin: -1022, emax: 1023 };

/** Flags raised so far and the rounding mode (0 RNE, 1 RTZ, 2 RDN, 3 RUP, 4 RMM). */
export interface Status {
  rm: number;
  flags: number;
}

type Finite = { kind: 'finite'; negative: boolean; digits: bigint; exponent: number };
type Infinite = { kind: 'infinite'; negative: boolean };
type Nan = { kind: 'nan'; signalling: boolean };
/** A datum: finite ones are digits * 2^exponent. */
export type Datum = Finite | Infinite | Nan;

function mask(bits: number): bigint {
  return (1n << BigInt(bits)) - 1n;
}

function exponentField(f: Format): bigint {
  return mask(f.width - f.precision);
}

export function canonicalNan(f: Format): bigint {
  return (exponentField(f) << BigInt(f.precision - 1)) | (1n << BigInt(f.precision - 2));
}

function infinity(f: Format, negative: boolean): bigint {
  return signBit(f, negative) | (exponentField(f) << BigInt(f.precision - 1));
}

function signBit(f: Format, negative: boolean): bigint {
  return negative ? 1n << BigInt(f.width - 1) : 0n;
}

export function decode(f: Format, bits: bigint): Datum {
  const fractionBits = f.precision - 1;
  const negative = bits >> BigInt(f.width - 1) !== 0n;
  const field = (bits >> BigInt(fractionBits)) & exponentField(f);
  const fraction = bits & mask(fractionBits);
  if (field === exponentField(f)) {
    if (fraction === 0n) return { kind: 'infinite', negative };
    return { kind: 'nan', signalling: fraction >> BigInt(fractionBits - 1) === 0n };
  }
  if (field === 0n) {
    return { kind: 'finite', negative, digits: fraction, exponent: f.emin - fractionBits };
  }
  const digits = fraction | (1n << BigInt(fractionBits));
  return { kind: 'finite', negative, digits, exponent: Number(field) - f.emax - fractionBits };
}

function bitLength(n: bigint): number {
  const hex = n.toString(16);
  return hex.length * 4 - Math.clz32(Number.parseInt(hex[0]!, 16)) + 28;
}

/** numerator / denominator * 2^exponent rounded to a multiple of 2^quantum, in units of that. */
function roundTo(
  numerator: bigint,
  denominator: bigint,
  exponent: number,
  quantum: number,
  negative: boolean,
  rm: number,
): { units: bigint; exact: boolean } {
  const shift = BigInt(Math.abs(exponent - quantum));
  const n = exponent >= quantum ? numerator << shift : numerator;
  const d = exponent >= quantum ? denominator : denominator << shift;
  const units = n / d;
  const rest = n - units * d;
  if (rest === 0n) return { units, exact: true };
  const twice = rest * 2n;
  let up = false;
  if (rm === 0) up = twice > d || (twice === d && (units & 1n) === 1n);
  else if (rm === 2) up = negative;
  else if (rm === 3) up = !negative;
  else if (rm === 4) up = twice >= d;
  return { units: up ? units + 1n : units, exact: false };
}

/** Rounds ±numerator / denominator * 2^exponent, not zero, into the format. */
export function round(
  s: Status,
  f: Format,
  negative: boolean,
  numerator: bigint,
  denominator: bigint,
  exponent: number,
): bigint {
  // The magnitude is in [2^(top - 1), 2^(top + 1)): find the binade that it is in.
  let top = bitLength(numerator) - bitLength(denominator) + exponent;
  const aligned = BigInt(Math.abs(top - exponent));
  const below =
    top >= exponent ? numerator < denominator << aligned : numerator << aligned < denominator;
  if (below) top--;
  const quantum = top - f.precision + 1;
  const unbounded = roundTo(numerator, denominator, exponent, quantum, negative, s.rm);
  const grown = unbounded.units === 1n << BigInt(f.precision) ? 1 : 0;
  const tiny = top + grown < f.emin;
  const leastQuantum = f.emin - f.precision + 1;
  if (quantum >= leastQuantum) {
    if (!unbounded.exact) s.flags |= NX;
    if (top + grown > f.emax) return overflow(s, f, negative);
    return encode(f, negative, unbounded.units, quantum);
  }
  const bounded = roundTo(numerator, denominator, exponent, leastQuantum, negative, s.rm);
  if (!bounded.exact) s.flags |= tiny ? NX | UF : NX;
  return encode(f, negative, bounded.units, leastQuantum);
}

function overflow(s: Status, f: Format, negative: boolean): bigint {
  s.flags |= OF | NX;
  const finite = s.rm === 1 || (s.rm === 2 && !negative) || (s.rm === 3 && negative);
  return finite ? infinity(f, negative) - 1n : infinity(f, negative);
}

/** units * 2^quantum, known to fit, as bits: adding the hidden bit's carry to the exponent. */
function encode(f: Format, negative: boolean, units: bigint, quantum: number): bigint {
  const step = BigInt(quantum - (f.emin - f.precision + 1));
  return signBit(f, negative) | ((step << BigInt(f.precision - 1)) + units);
}

/** NaN operands: NV if one signals. @returns the canonical NaN if there is any NaN. */
function nanResult(s: Status, f: Format, operands: Datum[]): bigint | null {
  let result: bigint | null = null;
  for (const d of operands) {
    if (d.kind !== 'nan') continue;
    if (d.signalling) s.flags |= NV;
    result = canonicalNan(f);
  }
  return result;
}

function invalid(s: Status, f: Format): bigint {
  s.flags |= NV;
  return canonicalNan(f);
}

function negated(d: Datum): Datum {
  return d.kind === 'nan' ? d : { ...d, negative: !d.negative };
}

/** The sum of two exact finite numbers; the sign of a zero is IEEE 754's. */
function exactSum(s: Status, a: Finite, b: Finite): Finite {
  const exponent = Math.min(a.exponent, b.exponent);
  const x = a.digits << BigInt(a.exponent - exponent);
  const y = b.digits << BigInt(b.exponent - exponent);
  const sum = (a.negative ? -x : x) + (b.negative ? -y : y);
  const bothNegative = a.negative && b.negative;
  const differ = a.negative !== b.negative;
  const negative = sum === 0n ? bothNegative || (differ && s.rm === 2) : sum < 0n;
  return { kind: 'finite', negative, digits: sum < 0n ? -sum : sum, exponent };
}

function roundFinite(s: Status, f: Format, d: Finite): bigint {
  if (d.digits === 0n) return signBit(f, d.negative);
  return round(s, f, d.negative, d.digits, 1n, d.exponent);
}

function sumOf(s: Status, f: Format, a: Finite | Infinite, b: Finite | Infinite): bigint {
  if (a.kind === 'infinite') {
    if (b.kind === 'infinite' && a.negative !== b.negative) return invalid(s, f);
    return infinity(f, a.negative);
  }
  if (b.kind === 'infinite') return infinity(f, b.negative);
  return roundFinite(s, f, exactSum(s, a, b));
}

export function add(s: Status, f: Format, x: bigint, y: bigint, minus = false): bigint {
  const a = decode(f, x);
  const b = minus ? negated(decode(f, y)) : decode(f, y);
  if (a.kind === 'nan' || b.kind === 'nan') return nanResult(s, f, [a, b])!;
  return sumOf(s, f, a, b);
}

function isZero(d: Datum): boolean {
  return d.kind === 'finite' && d.digits === 0n;
}

/** The exact product, or null where it is invalid (0 * infinity). */
function exactProduct(a: Finite | Infinite, b: Finite | Infinite): Finite | Infinite | null {
  const negative = a.negative !== b.negative;
  if (a.kind === 'infinite' || b.kind === 'infinite') {
    return isZero(a) || isZero(b) ? null : { kind: 'infinite', negative };
  }
  return {
    kind: 'finite',
    negative,
    digits: a.digits * b.digits,
    exponent: a.exponent + b.exponent,
  };
}

export function mul(s: Status, f: Format, x: bigint, y: bigint): bigint {
  const a = decode(f, x);
  const b = decode(f, y);
  if (a.kind === 'nan' || b.kind === 'nan') return nanResult(s, f, [a, b])!;
  const product = exactProduct(a, b);
  if (product === null) return invalid(s, f);
  if (product.kind === 'infinite') return infinity(f, product.negative);
  return roundFinite(s, f, product);
}

/** ±(x * y) ± z, rounded once. */
export function fma(
  s: Status,
  f: Format,
  x: bigint,
  y: bigint,
  z: bigint,
  negateProduct: boolean,
  negateAddend: boolean,
): bigint {
  const a = negateProduct ? negated(decode(f, x)) : decode(f, x);
  const b = decode(f, y);
  const c = negateAddend ? negated(decode(f, z)) : decode(f, z);
  if (a.kind === 'nan' || b.kind === 'nan') return nanResult(s, f, [a, b, c])!;
  const product = exactProduct(a, b);
  // 0 * infinity is invalid even if the addend is a quiet NaN (Unprivileged 21.6).
  if (product === null) return invalid(s, f);
  if (c.kind === 'nan') return nanResult(s, f, [c])!;
  return sumOf(s, f, product, c);
}

export function div(s: Status, f: Format, x: bigint, y: bigint): bigint {
  const a = decode(f, x);
  const b = decode(f, y);
  if (a.kind === 'nan' || b.kind === 'nan') return nanResult(s, f, [a, b])!;
  const negative = a.negative !== b.negative;
  if (a.kind === 'infinite') {
    return b.kind === 'infinite' ? invalid(s, f) : infinity(f, negative);
  }
  if (b.kind === 'infinite') return signBit(f, negative);
  if (b.digits === 0n) {
    if (a.digits === 0n) return invalid(s, f);
    s.flags |= DZ;
    return infinity(f, negative);
  }
  if (a.digits === 0n) return signBit(f, negative);
  return round(s, f, negative, a.digits, b.digits, a.exponent - b.exponent);
}

/** The whole part of the square root. */
function integerRoot(n: bigint): bigint {
  let root = 1n << BigInt((bitLength(n) + 1) >> 1);
  for (;;) {
    const next = (root + n / root) >> 1n;
    if (next >= root) return root;
    root = next;
  }
}

export function sqrt(s: Status, f: Format, x: bigint): bigint {
  const a = decode(f, x);
  if (a.kind === 'nan') return nanResult(s, f, [a])!;
  if (isZero(a)) return x;
  if (a.negative) return invalid(s, f);
  if (a.kind === 'infinite') return x;
  // Scale so that the root has far more digits than the format, then let one more digit say
  // whether it was exact: no rounding boundary has that many digits.
  const shift = 160 + (a.exponent & 1);
  const scaled = a.digits << BigInt(shift);
  const root = integerRoot(scaled);
  const digits = root * 2n + (root * root === scaled ? 0n : 1n);
  return round(s, f, false, digits, 1n, (a.exponent - shift) / 2 - 1);
}

/** -1, 0, 1, or null when a NaN takes part. */
function order(a: Datum, b: Datum): number | null {
  if (a.kind === 'nan' || b.kind === 'nan') return null;
  const x = rank(a);
  const y = rank(b);
  const exponent = Math.min(x.exponent, y.exponent);
  const m = x.digits << BigInt(x.exponent - exponent);
  const n = y.digits << BigInt(y.exponent - exponent);
  return m < n ? -1 : m > n ? 1 : 0;
}

/** A signed exact number that orders like `d`. */
function rank(d: Finite | Infinite): { digits: bigint; exponent: number } {
  if (d.kind === 'infinite') return { digits: d.negative ? -1n : 1n, exponent: 5000 };
  return { digits: d.negative ? -d.digits : d.digits, exponent: d.exponent };
}

export function compare(
  s: Status,
  f: Format,
  x: bigint,
  y: bigint,
  relation: 'eq' | 'lt' | 'le',
): boolean {
  const a = decode(f, x);
  const b = decode(f, y);
  const o = order(a, b);
  if (o === null) {
    if (relation === 'eq') nanResult(s, f, [a, b]);
    else s.flags |= NV;
    return false;
  }
  return relation === 'eq' ? o === 0 : relation === 'lt' ? o < 0 : o <= 0;
}

export function minMax(s: Status, f: Format, x: bigint, y: bigint, max: boolean): bigint {
  const a = decode(f, x);
  const b = decode(f, y);
  nanResult(s, f, [a, b]);
  if (a.kind === 'nan') return b.kind === 'nan' ? canonicalNan(f) : y;
  if (b.kind === 'nan') return x;
  const o = order(a, b)!;
  const xFirst = o < 0 || (o === 0 && a.negative);
  return xFirst !== max ? x : y;
}

export function classify(f: Format, x: bigint): bigint {
  const d = decode(f, x);
  if (d.kind === 'nan') return d.signalling ? 1n << 8n : 1n << 9n;
  if (d.kind === 'infinite') return d.negative ? 1n : 1n << 7n;
  if (d.digits === 0n) return d.negative ? 1n << 3n : 1n << 4n;
  const normal = d.digits >> BigInt(f.precision - 1) !== 0n;
  if (d.negative) return normal ? 1n << 1n : 1n << 2n;
  return normal ? 1n << 6n : 1n << 5n;
}

/** To an integer of [min, max], clamped. */
export function toInteger(s: Status, f: Format, x: bigint, min: bigint, max: bigint): bigint {
  const d = decode(f, x);
  if (d.kind !== 'finite') {
    s.flags |= NV;
    return d.kind === 'infinite' && d.negative ? min : max;
  }
  const { units, exact } = roundTo(d.digits, 1n, d.exponent, 0, d.negative, s.rm);
  const value = d.negative ? -units : units;
  if (value < min || value > max) {
    s.flags |= NV;
    return value < min ? min : max;
  }
  if (!exact) s.flags |= NX;
  return value;
}

export function fromInteger(s: Status, f: Format, value: bigint): bigint {
  if (value === 0n) return 0n;
  return round(s, f, value < 0n, value < 0n ? -value : value, 1n, 0);
}

export function convert(s: Status, from: Format, to: Format, x: bigint): bigint {
  const d = decode(from, x);
  if (d.kind === 'nan') return nanResult(s, to, [d])!;
  if (d.kind === 'infinite') return infinity(to, d.negative);
  return roundFinite(s, to, d);
}
