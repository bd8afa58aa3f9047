/** Conversions between floating-point numbers and integers, which F and D share. */

import type { Emitter, Semantics } from '../emitter.ts';
import { F64, I64, Op } from '../wasm_encoder.ts';
import { needBoxed, setF, softFloatUnless, source } from './float.ts';
import { inexactSet, isSingle, type Precision, roundsToNearest } from './float_exact.ts';

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

/** fcvt to an integer: C casts round towards zero, floor(), ceil() and rint() otherwise. */
function toInteger(p: Precision, to: IntegerType): Semantics {
  return (e) => {
    const { f } = e;
    const a = e.temp(F64, 0);
    const rounded = e.temp(F64, 1);
    const r = e.temp(I64, 0);
    needBoxed(e, p, [1]);
    source(e, p, 1);
    if (isSingle(p)) f.op(Op.f64PromoteF32);
    f.tee(a);
    if (e.rounding !== null) f.op(e.rounding);
    f.set(rounded);
    softFloatUnless(e, () => {
      f.get(rounded);
      f.f64Const(to.above);
      f.op(Op.f64Gt);
      f.get(rounded);
      f.f64Const(to.below);
      f.op(Op.f64Lt);
      f.op(Op.i32And);
    });
    f.get(rounded);
    f.op(Op.i64TruncF64S);
    f.set(r);
    if (!e.inexactKnown)
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

/**
 * Pushes whether r = x exactly. -2^53 <= x < 2^53 (0 <= x if unsigned) is exact as a
 * double; as a single if that gives the same number.
 */
function integerFits(e: Emitter, p: Precision, unsigned: boolean, x: number, r: number): void {
  const { f } = e;
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
}

/** fcvt from an integer. */
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
    // Rounding otherwise than to nearest is done only where there is nothing to round.
    const exactOnly = e.rounding !== null && e.rounding !== Op.f64Nearest;
    const alwaysExact = !isSingle(p) && name.startsWith('w');
    if (exactOnly ? !alwaysExact : !e.inexactKnown)
      softFloatUnless(e, () => {
        integerFits(e, p, unsigned, x, r);
        if (exactOnly) return;
        inexactSet(e);
        f.op(Op.i32Or);
        roundsToNearest(e);
        f.op(Op.i32And);
      });
    setF(e, p, () => f.get(r));
  };
}

/** The rows of both directions, keyed by mnemonic. */
export function conversions(p: Precision): [string, Semantics][] {
  return Object.entries(INTEGER_TYPES).flatMap(([name, type]): [string, Semantics][] => [
    [`fcvt.${name}.${p.suffix}`, toInteger(p, type)],
    [`fcvt.${p.suffix}.${name}`, fromInteger(p, name)],
  ]);
}
