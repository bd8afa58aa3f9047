/**
 * What F and D have in common (Unprivileged chapters 11 and 12). wasm rounds to nearest even and
 * raises no flags, so an instruction is done here only when that is what it asks for and when
 * every flag it could raise is known: the result is exact, or the only flag possible is
 * "inexact" and that is already set. Everything else goes to the soft-float unit.
 */

import { HART_FFLAGS, HART_FRM } from '../../arch/riscv/hart_state.ts';
import type { Emitter, Push, Semantics, Source } from '../emitter.ts';
import { F32, F64, I32, I64, Op } from '../wasm_encoder.ts';

/** NX, "inexact", in fflags. */
const FFLAG_NX = 1;

const DOUBLE_MIN_NORMAL = 2 ** -1022;
const SINGLE_MIN_NORMAL = 2 ** -126;

/** What differs between the two widths. */
export interface Precision {
  readonly suffix: 's' | 'd';
  readonly type: number;
  readonly minNormal: number;
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
  readonly gt: number;
}

export const SINGLE: Precision = {
  suffix: 's',
  type: F32,
  minNormal: SINGLE_MIN_NORMAL,
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
  gt: Op.f32Gt,
};

export const DOUBLE: Precision = {
  suffix: 'd',
  type: F64,
  minNormal: DOUBLE_MIN_NORMAL,
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
  gt: Op.f64Gt,
};

function isSingle(p: Precision): boolean {
  return p.suffix === 's';
}

/** Pushes a source as this precision's wasm type. */
export function source(e: Emitter, p: Precision, from: Source): void {
  if (isSingle(p)) e.f32(from);
  else e.f64(from);
}

function setF(e: Emitter, p: Precision, value: Push): void {
  if (isSingle(p)) e.setF32(value);
  else e.setF64(value);
}

/** Ends the instruction in the soft-float unit unless `condition` pushes a non-zero i32. */
export function softFloatUnless(e: Emitter, condition: Push): void {
  condition();
  e.f.op(Op.i32Eqz);
  e.f.if();
  e.softFloat();
  e.f.end();
}

/** Singles must be NaN-boxed: anything else reads as the canonical NaN (Unprivileged 12.2). */
function needBoxed(e: Emitter, p: Precision, sources: readonly Source[]): void {
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

/** Pushes whether |local| is finite and, if `normal`, above the smallest normal number. */
export function inRange(e: Emitter, p: Precision, local: number, normal: boolean): void {
  const { f } = e;
  const constant = (value: number): void => (isSingle(p) ? f.f32Const(value) : f.f64Const(value));
  f.get(local);
  f.op(p.abs);
  constant(Number.POSITIVE_INFINITY);
  f.op(p.lt);
  if (!normal) return;
  f.get(local);
  f.op(p.abs);
  constant(p.minNormal);
  f.op(p.gt);
  f.op(Op.i32And);
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

/**
 * Finishes rd = r when rounding to nearest was asked for and no flag is due: NX is set already
 * and r is in range, or what `exact` pushes says that r is exact.
 */
function finish(e: Emitter, p: Precision, r: number, normal: boolean, exact: Push): void {
  const { f } = e;
  softFloatUnless(e, () => {
    inRange(e, p, r, normal);
    inexactSet(e);
    f.op(Op.i32And);
    f.if(I32);
    f.i32Const(1);
    f.else();
    exact();
    f.end();
    roundsToNearest(e);
    f.op(Op.i32And);
  });
  setF(e, p, () => f.get(r));
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
    finish(e, p, r, false, () => sumIsExact(e, p, a, b, r));
  };
}

/** Pushes whether x * y = product exactly. */
function productIsExact(e: Emitter, p: Precision, x: number, y: number, product: number): void {
  const { f } = e;
  f.get(x);
  f.get(y);
  if (isSingle(p)) {
    // 24 + 24 bits fit a double.
    f.op(Op.f64PromoteF32);
    f.set(e.temp(F64, 4));
    f.op(Op.f64PromoteF32);
    f.get(e.temp(F64, 4));
    f.op(Op.f64Mul);
    f.get(product);
    f.op(Op.f64PromoteF32);
    f.op(Op.f64Eq);
    return;
  }
  e.call('mulErrorD');
  f.f64Const(0);
  f.op(Op.f64Eq);
  f.get(x);
  f.get(y);
  f.op(Op.f64Mul);
  f.get(product);
  f.op(Op.f64Eq);
  f.op(Op.i32And);
}

/** fmul or fdiv; `exact` leaves whether the result is. */
function scaled(
  p: Precision,
  op: number,
  exact: (e: Emitter, a: number, b: number, r: number) => void,
): Semantics {
  return (e) => {
    const { f } = e;
    const [a, b, r] = [e.temp(p.type, 0), e.temp(p.type, 1), e.temp(p.type, 2)];
    needBoxed(e, p, [1, 2]);
    source(e, p, 1);
    f.tee(a);
    source(e, p, 2);
    f.tee(b);
    f.op(op);
    f.set(r);
    finish(e, p, r, true, () => exact(e, a, b, r));
  };
}

function product(p: Precision): Semantics {
  return scaled(p, p.mul, (e, a, b, r) => productIsExact(e, p, a, b, r));
}

/** fdiv is exact when quotient * divisor gives the dividend back exactly. */
function quotient(p: Precision): Semantics {
  return scaled(p, p.div, (e, a, b, r) => productIsExact(e, p, r, b, a));
}

function squareRoot(p: Precision): Semantics {
  return (e) => {
    const { f } = e;
    const [a, r] = [e.temp(p.type, 0), e.temp(p.type, 2)];
    needBoxed(e, p, [1]);
    source(e, p, 1);
    f.tee(a);
    f.op(p.sqrt);
    f.set(r);
    finish(e, p, r, true, () => productIsExact(e, p, r, r, a));
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

function compare(p: Precision, opcode: number): Semantics {
  return (e) => {
    needBoxed(e, p, [1, 2]);
    softFloatUnless(e, () => ordered(e, p, [1, 2]));
    e.setX(() => {
      source(e, p, 1);
      source(e, p, 2);
      e.f.op(opcode);
      e.f.op(Op.i64ExtendI32U);
    });
  };
}

/** Bounds (exclusive) of the doubles that truncate to a number of the type, and how to make it. */
interface IntegerType {
  readonly above: number;
  readonly below: number;
  readonly word: boolean;
}

const INTEGER_TYPES: Readonly<Record<string, IntegerType>> = {
  w: { above: -2147483649, below: 2147483648, word: true },
  wu: { above: -1, below: 4294967296, word: true },
  // The largest double below -2^63, so that -2^63 itself is in range.
  l: { above: -(2 ** 63) - 2048, below: 2 ** 63, word: false },
  // Upper half of the unsigned range: soft float.
  lu: { above: -1, below: 2 ** 63, word: false },
};

/** fcvt to an integer, towards zero (rm 1): what C casts use. */
function toInteger(p: Precision, to: IntegerType): Semantics {
  return (e) => {
    const { f } = e;
    const a = e.temp(F64, 0);
    const r = e.temp(I64, 0);
    needBoxed(e, p, [1]);
    source(e, p, 1);
    if (isSingle(p)) f.op(Op.f64PromoteF32);
    f.set(a);
    softFloatUnless(e, () => {
      f.get(a);
      f.f64Const(to.above);
      f.op(Op.f64Gt);
      f.get(a);
      f.f64Const(to.below);
      f.op(Op.f64Lt);
      f.op(Op.i32And);
    });
    f.get(a);
    f.op(Op.i64TruncF64S);
    f.set(r);
    softFloatUnless(e, () => {
      f.get(r);
      f.op(Op.f64ConvertI64S);
      f.get(a);
      f.op(Op.f64Eq);
      inexactSet(e);
      f.op(Op.i32Or);
    });
    e.setX(() => {
      f.get(r);
      if (to.word) f.op(Op.i64Extend32S);
    });
  };
}

/** Pushes rs1 as the i64 that an integer of the named type has. */
function integerSource(e: Emitter, name: string): void {
  if (name === 'w' || name === 'wu') e.x32(1);
  else e.x(1);
  if (name === 'w') e.f.op(Op.i64ExtendI32S);
  if (name === 'wu') e.f.op(Op.i64ExtendI32U);
}

/** fcvt from an integer. Exact when the number converts back to itself and fits 53 bits. */
function fromInteger(p: Precision, name: string): Semantics {
  return (e) => {
    const { f } = e;
    const x = e.temp(I64, 0);
    const r = e.temp(p.type, 2);
    const unsigned = name === 'lu';
    integerSource(e, name);
    f.tee(x);
    if (isSingle(p)) f.op(unsigned ? Op.f32ConvertI64U : Op.f32ConvertI64S);
    else f.op(unsigned ? Op.f64ConvertI64U : Op.f64ConvertI64S);
    f.set(r);
    softFloatUnless(e, () => {
      roundsToNearest(e);
      inexactSet(e);
      // -2^53 <= x < 2^53 (0 <= x if unsigned): exact as a double; as a single if that gives
      // the same number.
      f.get(x);
      if (!unsigned) {
        f.i64Const(2 ** 53);
        f.op(Op.i64Add);
      }
      f.i64Const(unsigned ? 2 ** 53 : 2 ** 54);
      f.op(Op.i64LtU);
      if (isSingle(p)) {
        f.get(r);
        f.op(Op.f64PromoteF32);
        f.get(x);
        f.op(Op.f64ConvertI64S);
        f.op(Op.f64Eq);
        f.op(Op.i32And);
      }
      f.op(Op.i32Or);
      f.op(Op.i32And);
    });
    setF(e, p, () => f.get(r));
  };
}

/** Pushes whether a * b and then a * b + c are exact; sets r to the sum if so. */
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
  f.get(sum);
  if (isSingle(p)) f.op(Op.f32DemoteF64);
  f.set(l.r);
  // The product of two singles fits a double; then the double sum must fit a single.
  if (isSingle(p)) {
    promote(l.r);
    f.get(sum);
  } else {
    f.get(l.a);
    f.get(l.b);
    e.call('mulErrorD');
    f.f64Const(0);
  }
  f.op(Op.f64Eq);
  sumIsExact(e, DOUBLE, wide, addend, sum);
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
    finish(e, p, l.r, true, () => fusedIsExact(e, p, l));
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
    ['feq', compare(p, p.eq)],
    ['flt', compare(p, p.lt)],
    ['fle', compare(p, p.le)],
    ['fmadd', fused(p, false, false)],
    ['fmsub', fused(p, false, true)],
    ['fnmsub', fused(p, true, false)],
    ['fnmadd', fused(p, true, true)],
    ['fclass', (e) => e.softFloat()],
  ];
  const named = rows.map(([name, s]): [string, Semantics] => [`${name}.${p.suffix}`, s]);
  for (const [name, type] of Object.entries(INTEGER_TYPES)) {
    named.push([`fcvt.${name}.${p.suffix}`, toInteger(p, type)]);
    named.push([`fcvt.${p.suffix}.${name}`, fromInteger(p, name)]);
  }
  return named;
}
