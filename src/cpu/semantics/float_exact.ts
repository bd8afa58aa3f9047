/**
 * Whether what wasm computed is what RISC-V wants, with no flag to raise but those that are set.
 *
 * A range is tested on a result's upper word, shifted left so that the sign is gone: one
 * comparison tells numbers from what is not finite or may be tiny.
 */

import { HART_FFLAGS, HART_FRM } from '../../arch/riscv/hart_state.ts';
import type { Emitter, Push, StandsHelper } from '../emitter.ts';
import { F32, F64, type FunctionBuilder, I32, Op } from '../wasm_encoder.ts';

/** As much of an emitter as this takes. */
type Scratch = Pick<Emitter, 'f' | 'temp'>;

export interface FusedLocals {
  readonly a: number;
  readonly b: number;
  readonly c: number;
  readonly r: number;
}

/** NX, "inexact", in fflags. */
const FFLAG_NX = 1;

/** What differs between the two widths. */
export interface Precision {
  readonly suffix: 's' | 'd';
  readonly type: number;
  readonly add: number;
  readonly sub: number;
  readonly mul: number;
  readonly div: number;
  readonly sqrt: number;
  readonly abs: number;
  readonly min: number;
  readonly max: number;
  readonly eq: number;
  readonly lt: number;
  readonly le: number;
  readonly ge: number;
}

export const SINGLE: Precision = {
  suffix: 's',
  type: F32,
  add: Op.f32Add,
  sub: Op.f32Sub,
  mul: Op.f32Mul,
  div: Op.f32Div,
  sqrt: Op.f32Sqrt,
  abs: Op.f32Abs,
  min: Op.f32Min,
  max: Op.f32Max,
  eq: Op.f32Eq,
  lt: Op.f32Lt,
  le: Op.f32Le,
  ge: Op.f32Ge,
};

export const DOUBLE: Precision = {
  suffix: 'd',
  type: F64,
  add: Op.f64Add,
  sub: Op.f64Sub,
  mul: Op.f64Mul,
  div: Op.f64Div,
  sqrt: Op.f64Sqrt,
  abs: Op.f64Abs,
  min: Op.f64Min,
  max: Op.f64Max,
  eq: Op.f64Eq,
  lt: Op.f64Lt,
  le: Op.f64Le,
  ge: Op.f64Ge,
};

/** Significand bits below the implicit one, and significand bits in all, of a double. */
const DOUBLE_FRACTION = 52;
const DOUBLE_DIGITS = 53;

export function isSingle(p: Precision): boolean {
  return p.suffix === 's';
}

/** Pushes whether frm is "to nearest, ties to even". */
export function roundsToNearest(e: Scratch): void {
  e.f.i32Const(0);
  e.f.mem(Op.i32Load, HART_FRM);
  e.f.op(Op.i32Eqz);
}

/** Pushes whether NX is set already. */
export function inexactSet(e: Scratch): void {
  e.f.i32Const(0);
  e.f.mem(Op.i32Load, HART_FFLAGS);
  e.f.i32Const(FFLAG_NX);
  e.f.op(Op.i32And);
}

/** Pushes whether NX is set and frm is "to nearest": fflags and frm lie side by side. */
export function inexactIsKnown({ f }: Pick<Scratch, 'f'>): void {
  f.i32Const(0);
  f.mem(Op.i64Load, HART_FFLAGS);
  f.i64Const(FFLAG_NX - 2 ** 32);
  f.op(Op.i64And);
  f.i64Const(FFLAG_NX);
  f.op(Op.i64Eq);
}

/**
 * Pushes whether a local is infinite or NaN or, if `normal`, less than twice the smallest normal
 * number. With one added, these exponents are the lowest ones.
 */
export function outOfRange(e: Scratch, p: Precision, local: number, normal: boolean): void {
  const { f } = e;
  const exponent = isSingle(p) ? 2 ** 24 : 2 ** 21;
  f.get(local);
  if (isSingle(p)) f.op(Op.i32ReinterpretF32);
  else {
    f.op(Op.i64ReinterpretF64);
    f.i64Const(32);
    f.op(Op.i64ShrU);
    f.op(Op.i32WrapI64);
  }
  f.i32Const(1);
  f.op(Op.i32Shl);
  f.i32Const(exponent);
  f.op(Op.i32Add);
  f.i32Const(normal ? 3 * exponent : exponent);
  f.op(Op.i32LtU);
}

/** Pushes whether a local is 0. */
function isZero(e: Scratch, p: Precision, local: number): void {
  e.f.get(local);
  if (isSingle(p)) e.f.f32Const(0);
  else e.f.f64Const(0);
  e.f.op(p.eq);
}

/** Pushes whether a + b = r exactly: Knuth's TwoSum, whose error term is exact. */
function sumIsExact(e: Scratch, p: Precision, a: number, b: number, r: number): void {
  const { f } = e;
  const bb = e.temp(p.type, 3);
  f.get(r);
  f.get(a);
  f.op(p.sub);
  f.set(bb);
  f.get(a);
  f.get(r);
  f.get(bb);
  f.op(p.sub);
  f.op(p.sub);
  f.get(bb);
  f.get(b);
  f.op(p.sub);
  f.op(p.eq);
}

/** What decides whether a result stands. */
export interface Test {
  readonly r: number;
  /** Whether it must not be tiny. */
  readonly normal: boolean;
  /** Pushes whether r, which is in range, is exact. */
  readonly exact: Push;
  /** Pushes whether r, which is out of range, is nevertheless right and raises no flag. */
  readonly special?: Push;
}

/** The result of an instruction. */
export interface Result extends Test {
  /** The helper that does the same test on doubles, and its arguments. */
  readonly helper: StandsHelper;
  readonly operands: readonly number[];
}

/** Pushes how many of a double's significand bits at the end are 0; 52 for 0. */
function trailingZeros(e: Scratch, local: number): void {
  const { f } = e;
  f.get(local);
  f.op(Op.i64ReinterpretF64);
  f.i64Const(2 ** DOUBLE_FRACTION);
  f.op(Op.i64Or);
  f.op(Op.i64Ctz);
}

/** Pushes whether two doubles have so few digits that their product, if normal, is exact. */
function fewDigits(e: Scratch, x: number, y: number): void {
  trailingZeros(e, x);
  trailingZeros(e, y);
  e.f.op(Op.i64Add);
  e.f.i64Const(DOUBLE_DIGITS);
  e.f.op(Op.i64GeS);
}

/** Pushes whether x * y = product exactly, which is in range; may miss some. */
function productIsExact(e: Scratch, p: Precision, x: number, y: number, product: number): void {
  const { f } = e;
  f.get(x);
  if (isSingle(p)) f.op(Op.f64PromoteF32);
  f.get(y);
  if (isSingle(p)) f.op(Op.f64PromoteF32);
  f.op(Op.f64Mul);
  f.get(product);
  if (isSingle(p)) f.op(Op.f64PromoteF32);
  f.op(Op.f64Eq);
  // The product of two singles fits a double.
  if (isSingle(p)) return;
  fewDigits(e, x, y);
  f.op(Op.i32And);
  outOfRange(e, p, product, true);
  f.op(Op.i32Eqz);
  f.op(Op.i32And);
}

/** Pushes whether a * b and then a * b + c are exact; may miss some. */
function fusedIsExact(e: Scratch, p: Precision, l: FusedLocals): void {
  const { f } = e;
  const wide = e.temp(F64, 4);
  const [addend, sum] = [e.temp(F64, 5), e.temp(F64, 6)];
  const promote = (local: number): void => {
    f.get(local);
    if (isSingle(p)) f.op(Op.f64PromoteF32);
  };
  promote(l.a);
  promote(l.b);
  f.op(Op.f64Mul);
  f.set(wide);
  promote(l.c);
  f.set(addend);
  f.get(wide);
  f.get(addend);
  f.op(Op.f64Add);
  f.set(sum);
  // The product of two singles fits a double; then the double sum must fit a single.
  promote(l.r);
  f.get(sum);
  f.op(Op.f64Eq);
  if (!isSingle(p)) {
    fewDigits(e, l.a, l.b);
    f.op(Op.i32And);
    outOfRange(e, p, wide, true);
    f.op(Op.i32Eqz);
    f.op(Op.i32And);
  }
  sumIsExact(e, DOUBLE, wide, addend, sum);
  f.op(Op.i32And);
}

/** An addition: no sum is both tiny and inexact, so a finite one raises nothing but NX. */
export function sumResult(e: Scratch, p: Precision, a: number, b: number, r: number): Result {
  const exact = (): void => sumIsExact(e, p, a, b, r);
  return { r, normal: false, exact, helper: 'sumStands', operands: [a, b, r, r] };
}

export function productResult(e: Scratch, p: Precision, a: number, b: number, r: number): Result {
  const special = (): void => {
    isZero(e, p, r);
    isZero(e, p, a);
    isZero(e, p, b);
    e.f.op(Op.i32Or);
    e.f.op(Op.i32And);
  };
  const exact = (): void => productIsExact(e, p, a, b, r);
  return { r, normal: true, exact, special, helper: 'productStands', operands: [a, b, r, r] };
}

/** A quotient is exact when quotient * divisor gives the dividend back exactly. */
export function quotientResult(e: Scratch, p: Precision, a: number, b: number, r: number): Result {
  const special = (): void => {
    isZero(e, p, r);
    isZero(e, p, a);
    e.f.op(Op.i32And);
  };
  const exact = (): void => productIsExact(e, p, r, b, a);
  return { r, normal: true, exact, special, helper: 'quotientStands', operands: [a, b, r, r] };
}

/** No root is tiny. */
export function rootResult(e: Scratch, p: Precision, a: number, r: number): Result {
  const exact = (): void => productIsExact(e, p, r, r, a);
  return { r, normal: false, exact, helper: 'rootStands', operands: [a, a, r, r] };
}

/** The helpers give no 0 that is not exact. */
export function fusedResult(e: Scratch, p: Precision, l: FusedLocals): Result {
  const special = (): void => isZero(e, p, l.r);
  const exact = (): void => fusedIsExact(e, p, l);
  const operands = [l.a, l.b, l.c, l.r];
  return { r: l.r, normal: true, exact, special, helper: 'fusedStands', operands };
}

/** Pushes whether a result stands: rounding is to nearest and no flag is due. */
export function stands(e: Scratch, p: Precision, result: Test): void {
  const { f } = e;
  const nearestAnd = (condition: Push): void => {
    condition();
    roundsToNearest(e);
    f.op(Op.i32And);
  };
  outOfRange(e, p, result.r, result.normal);
  f.if(I32);
  nearestAnd(result.special ?? ((): void => f.i32Const(0)));
  f.else();
  inexactIsKnown(e);
  f.if(I32);
  f.i32Const(1);
  f.else();
  nearestAnd(result.exact);
  f.end();
  f.end();
}

const STANDS = {
  sumStands: (e: Scratch): Result => sumResult(e, DOUBLE, 0, 1, 2),
  productStands: (e: Scratch): Result => productResult(e, DOUBLE, 0, 1, 2),
  quotientStands: (e: Scratch): Result => quotientResult(e, DOUBLE, 0, 1, 2),
  rootStands: (e: Scratch): Result => rootResult(e, DOUBLE, 0, 2),
  fusedStands: (e: Scratch): Result => fusedResult(e, DOUBLE, { a: 0, b: 1, c: 2, r: 3 }),
};

/** The body of a helper, whose parameters are its operands. */
export function emitStands(f: FunctionBuilder, helper: StandsHelper): void {
  const temps = new Map<string, number>();
  const temp = (type: number, n: number): number => {
    const key = `${type}:${n}`;
    const local = temps.get(key) ?? f.local(type);
    temps.set(key, local);
    return local;
  };
  const e: Scratch = { f, temp };
  stands(e, DOUBLE, STANDS[helper](e));
}
