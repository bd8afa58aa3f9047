/** Arithmetic that is too long to inline into an instruction, as wasm functions. */

import type { Helper, StandsHelper } from './emitter.ts';
import { emitStands } from './semantics/float_exact.ts';
import {
  F32,
  F64,
  type FunctionBuilder,
  I32,
  I64,
  type ModuleBuilder,
  Op,
} from './wasm_encoder.ts';

/** mulhu(a, b): high 64 bits of the unsigned product, from four 32 x 32 products. */
function emitMulhu(f: FunctionBuilder): void {
  const [a, b] = [0, 1];
  const middle = f.local(I64);
  const low = (x: number): void => {
    f.get(x);
    f.i64Const(0xffff_ffff);
    f.op(Op.i64And);
  };
  const high = (x: number): void => {
    f.get(x);
    f.i64Const(32);
    f.op(Op.i64ShrU);
  };
  const product = (left: () => void, right: () => void): void => {
    left();
    right();
    f.op(Op.i64Mul);
  };
  // middle = a.high * b.low + (a.low * b.low >> 32): cannot overflow.
  const other = f.local(I64);
  product(
    () => high(a),
    () => low(b),
  );
  product(
    () => low(a),
    () => low(b),
  );
  f.i64Const(32);
  f.op(Op.i64ShrU);
  f.op(Op.i64Add);
  f.set(middle);
  product(
    () => low(a),
    () => high(b),
  );
  low(middle);
  f.op(Op.i64Add);
  f.set(other);
  product(
    () => high(a),
    () => high(b),
  );
  high(middle);
  f.op(Op.i64Add);
  high(other);
  f.op(Op.i64Add);
}

/** Emits `sum = x + y; error = what rounding lost`, exactly (Knuth's TwoSum). */
function twoSum(f: FunctionBuilder, x: number, y: number, sum: number, error: number): void {
  const part = f.local(F64);
  f.get(x);
  f.get(y);
  f.op(Op.f64Add);
  f.tee(sum);
  f.get(x);
  f.op(Op.f64Sub);
  f.set(part);
  f.get(x);
  f.get(sum);
  f.get(part);
  f.op(Op.f64Sub);
  f.op(Op.f64Sub);
  f.get(y);
  f.get(part);
  f.op(Op.f64Sub);
  f.op(Op.f64Add);
  f.set(error);
}

/** Pushes whether low < |local| < high. */
function between(f: FunctionBuilder, local: number, low: number, high: number): void {
  f.get(local);
  f.op(Op.f64Abs);
  f.f64Const(low);
  f.op(Op.f64Gt);
  f.get(local);
  f.op(Op.f64Abs);
  f.f64Const(high);
  f.op(Op.f64Lt);
  f.op(Op.i32And);
}

/** Factors within these bounds neither overflow nor underflow in any step of Dekker's product. */
const FACTOR_MIN = 2 ** -450;
const FACTOR_MAX = 2 ** 450;
const ADDEND_MIN = 2 ** -900;
const ADDEND_MAX = 2 ** 900;
/** Veltkamp's constant: splits 53 bits into 26 and 26 plus a sign. */
const SPLITTER = 2 ** 27 + 1;

function returnNaNUnless(f: FunctionBuilder): void {
  f.op(Op.i32Eqz);
  f.if();
  f.f64Const(Number.NaN);
  f.op(Op.return);
  f.end();
}

/** mulErrorD(a, b): a * b minus its rounded value, exactly (Dekker); NaN out of range. */
function emitMulError(f: FunctionBuilder): void {
  const [a, b] = [0, 1];
  for (const factor of [a, b]) {
    between(f, factor, FACTOR_MIN, FACTOR_MAX);
    f.get(factor);
    f.f64Const(0);
    f.op(Op.f64Eq);
    f.op(Op.i32Or);
    returnNaNUnless(f);
  }
  const split = (x: number): [number, number] => {
    const [scaled, high, low] = [f.local(F64), f.local(F64), f.local(F64)];
    f.get(x);
    f.f64Const(SPLITTER);
    f.op(Op.f64Mul);
    f.tee(scaled);
    f.get(scaled);
    f.get(x);
    f.op(Op.f64Sub);
    f.op(Op.f64Sub);
    f.set(high);
    f.get(x);
    f.get(high);
    f.op(Op.f64Sub);
    f.set(low);
    return [high, low];
  };
  const [ah, al] = split(a);
  const [bh, bl] = split(b);
  const times = (x: number, y: number): void => {
    f.get(x);
    f.get(y);
    f.op(Op.f64Mul);
  };
  times(ah, bh);
  times(a, b);
  f.op(Op.f64Sub);
  times(ah, bl);
  f.op(Op.f64Add);
  times(al, bh);
  f.op(Op.f64Add);
  times(al, bl);
  f.op(Op.f64Add);
}

/**
 * Pushes x + y rounded to odd: the exact sum if it is a double, else the neighbour whose last
 * bit is 1. Rounding that once more to fewer bits gives the correctly rounded result.
 */
function addToOdd(f: FunctionBuilder, x: number, y: number): void {
  const [sum, error, bits] = [f.local(F64), f.local(F64), f.local(I64)];
  twoSum(f, x, y, sum, error);
  f.get(sum);
  f.op(Op.i64ReinterpretF64);
  f.set(bits);
  f.get(error);
  f.f64Const(0);
  f.op(Op.f64Ne);
  f.get(bits);
  f.i64Const(1);
  f.op(Op.i64And);
  f.op(Op.i64Eqz);
  f.op(Op.i32And);
  f.if();
  f.get(bits);
  f.i64Const(1);
  f.i64Const(-1);
  // Away from zero when the lost part has the sign of the sum.
  f.get(error);
  f.f64Const(0);
  f.op(Op.f64Gt);
  f.get(sum);
  f.f64Const(0);
  f.op(Op.f64Gt);
  f.op(Op.i32Eq);
  f.op(Op.select);
  f.op(Op.i64Add);
  f.set(bits);
  f.end();
  f.get(bits);
  f.op(Op.f64ReinterpretI64);
}

/**
 * fmaD(a, b, c): a * b + c rounded once to nearest even, or NaN when an operand is out of range.
 * Boldo and Melquiond, "Emulation of a FMA and correctly rounded sums" (2008), algorithm 5.
 */
function emitFmaD(f: FunctionBuilder, mulError: number): void {
  const [a, b, c] = [0, 1, 2];
  const local = (): number => f.local(F64);
  const [uh, ul, th, tl, vh, vl] = [local(), local(), local(), local(), local(), local()];
  between(f, c, ADDEND_MIN, ADDEND_MAX);
  f.get(c);
  f.f64Const(0);
  f.op(Op.f64Eq);
  f.op(Op.i32Or);
  returnNaNUnless(f);
  f.get(a);
  f.get(b);
  f.op(Op.f64Mul);
  f.set(uh);
  f.get(a);
  f.get(b);
  f.call(mulError);
  f.set(ul);
  twoSum(f, c, ul, th, tl);
  twoSum(f, uh, th, vh, vl);
  f.get(vh);
  addToOdd(f, tl, vl);
  f.op(Op.f64Add);
  f.set(vh);
  // A 0 is exact, as nothing is so small; it takes its sign from the plain sum.
  f.get(uh);
  f.get(c);
  f.op(Op.f64Add);
  f.get(vh);
  f.get(vh);
  f.f64Const(0);
  f.op(Op.f64Eq);
  f.op(Op.select);
}

/**
 * fmaS(a, b, c): the product is exact as a double, and 53 bits rounded to odd are enough. NaN for
 * what is so small that it would round to 0.
 */
function emitFmaS(f: FunctionBuilder): void {
  const [a, b, c] = [0, 1, 2];
  const product = f.local(F64);
  const addend = f.local(F64);
  const result = f.local(F32);
  f.get(a);
  f.op(Op.f64PromoteF32);
  f.get(b);
  f.op(Op.f64PromoteF32);
  f.op(Op.f64Mul);
  f.set(product);
  f.get(c);
  f.op(Op.f64PromoteF32);
  f.set(addend);
  addToOdd(f, product, addend);
  f.op(Op.f32DemoteF64);
  f.set(result);
  f.get(product);
  f.get(addend);
  f.op(Op.f64Add);
  f.tee(product);
  f.op(Op.f32DemoteF64);
  f.f32Const(Number.NaN);
  f.get(product);
  f.f64Const(0);
  f.op(Op.f64Eq);
  f.op(Op.select);
  f.get(result);
  f.get(result);
  f.f32Const(0);
  f.op(Op.f32Eq);
  f.op(Op.select);
}

const STANDS_TYPE = [[F64, F64, F64, F64], [I32]] as const;

/** Parameters and result of each helper. */
export const HELPER_TYPES = {
  mulhu: [[I64, I64], [I64]],
  fmaD: [[F64, F64, F64], [F64]],
  fmaS: [[F32, F32, F32], [F32]],
  sumStands: STANDS_TYPE,
  productStands: STANDS_TYPE,
  quotientStands: STANDS_TYPE,
  rootStands: STANDS_TYPE,
  fusedStands: STANDS_TYPE,
} as const;

/** Adds the helpers to a module, exported by name, and gives their indexes. */
export function emitHelpers(m: ModuleBuilder): Readonly<Record<Helper, number>> {
  const mulErrorD = m.define([F64, F64], [F64], emitMulError);
  const stands = (name: StandsHelper): number =>
    m.define(...STANDS_TYPE, (f) => emitStands(f, name), name);
  return {
    mulhu: m.define(...HELPER_TYPES.mulhu, emitMulhu, 'mulhu'),
    fmaD: m.define(...HELPER_TYPES.fmaD, (f) => emitFmaD(f, mulErrorD), 'fmaD'),
    fmaS: m.define(...HELPER_TYPES.fmaS, emitFmaS, 'fmaS'),
    sumStands: stands('sumStands'),
    productStands: stands('productStands'),
    quotientStands: stands('quotientStands'),
    rootStands: stands('rootStands'),
    fusedStands: stands('fusedStands'),
  };
}
