/**
 * What F and D have in common (Unprivileged chapters 11 and 12). wasm rounds to nearest even and
 * raises no flags, so an instruction is done here only when that is what it asks for and when
 * every flag it could raise is known: the result is exact, or the only flag possible is
 * "inexact" and that is already set. Everything else goes to the soft-float unit.
 */

import type { Emitter, Push, Semantics, Source } from '../emitter.ts';
import { I32, Op } from '../wasm_encoder.ts';
import {
  fusedResult,
  isSingle,
  outOfRange,
  type Precision,
  productResult,
  quotientResult,
  type Result,
  rootResult,
  stands,
  sumResult,
  type Test,
} from './float_exact.ts';

/** The bit that tells a quiet NaN from a signalling one. */
const QUIET_SINGLE = 2 ** 22;
const QUIET_DOUBLE = 2 ** 51;

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

/** Finishes rd = r if rounding to nearest was asked for and no flag is due. */
export function finish(e: Emitter, p: Precision, result: Test): void {
  if (e.inexactKnown) finishKnown(e, p, result);
  else softFloatUnless(e, () => stands(e, p, result));
  setF(e, p, () => e.f.get(result.r));
}

/** The same, with the helper's test where it is seldom made. */
function finishOr(e: Emitter, p: Precision, result: Result): void {
  if (e.inexactKnown || !e.compact || isSingle(p)) {
    finish(e, p, result);
    return;
  }
  softFloatUnless(e, () => {
    for (const operand of result.operands) e.f.get(operand);
    e.call(result.helper);
  });
  setF(e, p, () => e.f.get(result.r));
}

function finishKnown(e: Emitter, p: Precision, { r, normal, special }: Test): void {
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
    finishOr(e, p, sumResult(e, p, a, b, r));
  };
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
    finishOr(e, p, productResult(e, p, a, b, r));
  };
}

function quotient(p: Precision): Semantics {
  return (e) => {
    const { a, b, r } = scaled(e, p, p.div);
    finishOr(e, p, quotientResult(e, p, a, b, r));
  };
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
    finishOr(e, p, rootResult(e, p, a, r));
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
    finishOr(e, p, fusedResult(e, p, l));
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
