/**
 * What F and D have in common (Unprivileged chapters 11 and 12). wasm rounds to nearest even and
 * raises no flags, so an instruction is done here only when that is what it asks for and when
 * every flag it could raise is known: the result is exact, or the only flag possible is
 * "inexact" and that is already set. Everything else goes to the soft-float unit.
 *
 * A range is tested on a result's upper word, shifted left so that the sign is gone: one
 * comparison tells numbers from what is not finite or may be tiny.
 */

import { HART_FFLAGS, HART_FRM } from '../../arch/riscv/hart_state.ts';
import type { Emitter, Push, Semantics, Source } from '../emitter.ts';
import { F32, F64, I32, Op } from '../wasm_encoder.ts';

/** NX, "inexact", in fflags. */
const FFLAG_NX = 1;

/** The bit that tells a quiet NaN from a signalling one. */
const QUIET_SINGLE = 2 ** 22;
const QUIET_DOUBLE = 2 ** 51;

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

/** Pushes a source as this precision's wasm type. */
export function source(e: Emitter, p: Precision, from: Source): void {
  if (isSingle(p)) e.f32(from);
  else e.f64(from);
}

export function setF(e: Emitter, p: Precision, value: Push): void {
  if (isSingle(p)) e.setF32(value);
  else e.setF64(value);
}

/** Leaves the instruction to the soft-float unit unless `condition` pushes a non-zero i32. */
export function softFloatUnless(e: Emitter, condition: Push): void {
  e.softFloatIf(() => {
    condition();
    e.f.op(Op.i32Eqz);
  });
}

/** Singles must be NaN-boxed: anything else reads as the canonical NaN (Unprivileged 12.2). */
export function needBoxed(e: Emitter, p: Precision, sources: readonly Source[]): void {
  if (!isSingle(p)) return;
  softFloatUnless(e, () =>
    sources.forEach((from, i) => {
      e.boxed(from);
      if (i > 0) e.f.op(Op.i32And);
    }),
  );
}

/** Pushes whether frm is "to nearest, ties to even". */
export function roundsToNearest(e: Emitter): void {
  e.f.i32Const(0);
  e.f.mem(Op.i32Load, HART_FRM);
  e.f.op(Op.i32Eqz);
}

/** Pushes whether NX is set already. */
export function inexactSet(e: Emitter): void {
  e.f.i32Const(0);
  e.f.mem(Op.i32Load, HART_FFLAGS);
  e.f.i32Const(FFLAG_NX);
  e.f.op(Op.i32And);
}

/** Pushes whether NX is set and frm is "to nearest": fflags and frm lie side by side. */
export function inexactIsKnown({ f }: Pick<Emitter, 'f'>): void {
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
export function outOfRange(e: Emitter, p: Precision, local: number, normal: boolean): void {
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
function isZero(e: Emitter, p: Precision, local: number): void {
  e.f.get(local);
  if (isSingle(p)) e.f.f32Const(0);
  else e.f.f64Const(0);
  e.f.op(p.eq);
}

/** Pushes whether a + b = r exactly: Knuth's TwoSum, whose error term is exact. */
function sumIsExact(e: Emitter, p: Precision, a: number, b: number, r: number): void {
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
interface Result {
  readonly r: number;
  /** Whether it must not be tiny. */
  readonly normal: boolean;
  /** Pushes whether r, which is in range, is exact. */
  readonly exact: Push;
  /** Pushes whether r, which is out of range, is nevertheless right and raises no flag. */
  readonly special?: Push;
}

/** Finishes rd = r if rounding to nearest was asked for and no flag is due. */
export function finish(e: Emitter, p: Precision, result: Result): void {
  if (e.inexactKnown) finishKnown(e, p, result);
  else finishUnknown(e, p, result);
  setF(e, p, () => e.f.get(result.r));
}

function finishKnown(e: Emitter, p: Precision, { r, normal, special }: Result): void {
  if (!normal && e.finiteLater) return;
  const out = (): void => outOfRange(e, p, r, normal);
  if (special === undefined) {
    e.softFloatIf(out);
    return;
  }
  out();
  e.f.hint(false);
  e.f.if();
  softFloatUnless(e, special);
  e.f.end();
}

function finishUnknown(e: Emitter, p: Precision, result: Result): void {
  const { f } = e;
  const nearestAnd = (condition: Push): void => {
    condition();
    roundsToNearest(e);
    f.op(Op.i32And);
  };
  softFloatUnless(e, () => {
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
  });
}

/** fadd and fsub: no sum is both tiny and inexact, so a finite one raises nothing but NX. */
function sum(p: Precision, opcode: number): Semantics {
  return (e) => {
    const { f } = e;
    const [a, b, r] = [e.temp(p.type, 0), e.temp(p.type, 1), e.temp(p.type, 2)];
    needBoxed(e, p, [1, 2]);
    source(e, p, 1);
    f.set(a);
    source(e, p, 2);
    if (opcode === p.sub) f.op(isSingle(p) ? Op.f32Neg : Op.f64Neg);
    f.set(b);
    f.get(a);
    f.get(b);
    f.op(p.add);
    f.set(r);
    finish(e, p, { r, normal: false, exact: () => sumIsExact(e, p, a, b, r) });
  };
}

/** Pushes how many of a double's significand bits at the end are 0; 52 for 0. */
function trailingZeros(e: Emitter, local: number): void {
  const { f } = e;
  f.get(local);
  f.op(Op.i64ReinterpretF64);
  f.i64Const(2 ** DOUBLE_FRACTION);
  f.op(Op.i64Or);
  f.op(Op.i64Ctz);
}

/** Pushes whether two doubles have so few digits that their product, if normal, is exact. */
function fewDigits(e: Emitter, x: number, y: number): void {
  trailingZeros(e, x);
  trailingZeros(e, y);
  e.f.op(Op.i64Add);
  e.f.i64Const(DOUBLE_DIGITS);
  e.f.op(Op.i64GeS);
}

/** Pushes whether x * y = product exactly, which is in range; may miss some. */
function productIsExact(e: Emitter, p: Precision, x: number, y: number, product: number): void {
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

/** Pushes r = a op b for fmul and fdiv. */
function scaled(e: Emitter, p: Precision, op: number): { a: number; b: number; r: number } {
  const { f } = e;
  const [a, b, r] = [e.temp(p.type, 0), e.temp(p.type, 1), e.temp(p.type, 2)];
  needBoxed(e, p, [1, 2]);
  source(e, p, 1);
  f.tee(a);
  source(e, p, 2);
  f.tee(b);
  f.op(op);
  f.set(r);
  return { a, b, r };
}

function product(p: Precision): Semantics {
  return (e) => {
    const { a, b, r } = scaled(e, p, p.mul);
    const exact = (): void => productIsExact(e, p, a, b, r);
    finish(e, p, {
      r,
      normal: true,
      exact,
      special: () => {
        isZero(e, p, r);
        isZero(e, p, a);
        isZero(e, p, b);
        e.f.op(Op.i32Or);
        e.f.op(Op.i32And);
      },
    });
  };
}

/** fdiv is exact when quotient * divisor gives the dividend back exactly. */
function quotient(p: Precision): Semantics {
  return (e) => {
    const { a, b, r } = scaled(e, p, p.div);
    const exact = (): void => productIsExact(e, p, r, b, a);
    finish(e, p, {
      r,
      normal: true,
      exact,
      special: () => {
        isZero(e, p, r);
        isZero(e, p, a);
        e.f.op(Op.i32And);
      },
    });
  };
}

/** No root is tiny. */
function squareRoot(p: Precision): Semantics {
  return (e) => {
    const { f } = e;
    const [a, r] = [e.temp(p.type, 0), e.temp(p.type, 2)];
    needBoxed(e, p, [1]);
    source(e, p, 1);
    f.tee(a);
    f.op(p.sqrt);
    f.set(r);
    finish(e, p, { r, normal: false, exact: () => productIsExact(e, p, r, r, a) });
  };
}

/** Pushes whether neither source is a NaN. */
function ordered(e: Emitter, p: Precision, sources: readonly Source[]): void {
  sources.forEach((from, i) => {
    source(e, p, from);
    source(e, p, from);
    e.f.op(p.eq);
    if (i > 0) e.f.op(Op.i32And);
  });
}

/** Without NaNs, wasm's min and max are RISC-V's: -0 is below +0. */
function minMax(p: Precision, opcode: number): Semantics {
  return (e) => {
    needBoxed(e, p, [1, 2]);
    softFloatUnless(e, () => ordered(e, p, [1, 2]));
    setF(e, p, () => {
      source(e, p, 1);
      source(e, p, 2);
      e.f.op(opcode);
    });
  };
}

/** Sets an i32 to whether rs1 and rs2 compare so. */
function compared(e: Emitter, p: Precision, opcode: number): number {
  const r = e.temp(I32, 8);
  needBoxed(e, p, [1, 2]);
  source(e, p, 1);
  source(e, p, 2);
  e.f.op(opcode);
  e.f.set(r);
  return r;
}

function setCompared(e: Emitter, r: number): void {
  e.setX(() => {
    e.f.get(r);
    e.f.op(Op.i64ExtendI32U);
  });
}

/** flt and fle, whose opposite is false as well when a source is a NaN. */
function ordering(p: Precision, opcode: number): Semantics {
  return (e) => {
    const { f } = e;
    const r = compared(e, p, opcode);
    f.get(r);
    f.op(Op.i32Eqz);
    f.if();
    softFloatUnless(e, () => {
      source(e, p, opcode === p.lt ? 1 : 2);
      source(e, p, opcode === p.lt ? 2 : 1);
      f.op(opcode === p.lt ? p.ge : p.lt);
    });
    f.end();
    setCompared(e, r);
  };
}

/** Pushes whether a source is a signalling NaN. */
function signals(e: Emitter, p: Precision, from: Source): void {
  const { f } = e;
  source(e, p, from);
  source(e, p, from);
  f.op(p.eq);
  e.f64Bits(from);
  f.i64Const(isSingle(p) ? QUIET_SINGLE : QUIET_DOUBLE);
  f.op(Op.i64And);
  f.op(Op.i64Eqz);
  f.op(Op.i32LtU);
}

/** feq. A quiet NaN is just different; only a signalling one raises a flag. */
function equality(p: Precision): Semantics {
  return (e) => {
    const { f } = e;
    const r = compared(e, p, p.eq);
    f.get(r);
    f.op(Op.i32Eqz);
    f.if();
    e.softFloatIf(() => {
      signals(e, p, 1);
      signals(e, p, 2);
      f.op(Op.i32Or);
    });
    f.end();
    setCompared(e, r);
  };
}

/** Pushes whether a * b and then a * b + c are exact; may miss some. */
function fusedIsExact(e: Emitter, p: Precision, l: FusedLocals): void {
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

/** Pushes whether r and the exact result are 0, and sets r to the zero of the right sign. */
function fusedZero(e: Emitter, p: Precision, { a, b, c, r }: FusedLocals): void {
  const { f } = e;
  const sum = e.temp(F64, 6);
  isZero(e, p, r);
  for (const [n, local] of [a, b, c].entries()) {
    f.get(local);
    if (isSingle(p)) f.op(Op.f64PromoteF32);
    if (n > 0) f.op(n === 1 ? Op.f64Mul : Op.f64Add);
  }
  f.tee(sum);
  if (isSingle(p)) f.op(Op.f32DemoteF64);
  f.set(r);
  isZero(e, DOUBLE, sum);
  f.op(Op.i32And);
}

interface FusedLocals {
  readonly a: number;
  readonly b: number;
  readonly c: number;
  readonly r: number;
}

/** fmadd = a * b + c, and its three sign variants. The helper gives NaN for what it cannot do. */
function fused(p: Precision, negateProduct: boolean, negateAddend: boolean): Semantics {
  return (e) => {
    const { f } = e;
    const local = (n: number): number => e.temp(p.type, n);
    const l = { a: local(0), b: local(1), c: local(7), r: local(2) };
    const negate = isSingle(p) ? Op.f32Neg : Op.f64Neg;
    needBoxed(e, p, [1, 2, 3]);
    source(e, p, 1);
    if (negateProduct) f.op(negate);
    f.tee(l.a);
    source(e, p, 2);
    f.tee(l.b);
    source(e, p, 3);
    if (negateAddend) f.op(negate);
    f.tee(l.c);
    e.call(isSingle(p) ? 'fmaS' : 'fmaD');
    f.set(l.r);
    finish(e, p, {
      r: l.r,
      normal: true,
      exact: () => fusedIsExact(e, p, l),
      special: () => fusedZero(e, p, l),
    });
  };
}

/** The rows that F and D share, keyed by mnemonic. */
export function floatSemantics(p: Precision): [string, Semantics][] {
  const rows: [string, Semantics][] = [
    ['fadd', sum(p, p.add)],
    ['fsub', sum(p, p.sub)],
    ['fmul', product(p)],
    ['fdiv', quotient(p)],
    ['fsqrt', squareRoot(p)],
    ['fmin', minMax(p, p.min)],
    ['fmax', minMax(p, p.max)],
    ['feq', equality(p)],
    ['flt', ordering(p, p.lt)],
    ['fle', ordering(p, p.le)],
    ['fmadd', fused(p, false, false)],
    ['fmsub', fused(p, false, true)],
    ['fnmsub', fused(p, true, false)],
    ['fnmadd', fused(p, true, true)],
    ['fclass', (e) => e.softFloat()],
  ];
  return rows.map(([name, s]): [string, Semantics] => [`${name}.${p.suffix}`, s]);
}
