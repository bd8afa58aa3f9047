/** The D extension: what is not in float.ts. */

import type { Emitter, Semantics } from '../emitter.ts';
import { F32, F64, Op } from '../wasm_encoder.ts';
import { finish, floatSemantics, softFloatUnless } from './float.ts';
import { conversions } from './float_convert.ts';
import { DOUBLE, roundsToNearest, SINGLE } from './float_exact.ts';

const SIGN = -(2 ** 63);

/** Emits the new sign bit (in bit 63) from the bits of rs2, which are on the stack. */
type Sign = (e: Emitter) => void;

/** @param same the instruction that does the same when rs1 and rs2 are one register. */
function signInjection(sign: Sign, same: Sign): Semantics {
  return (e) => {
    if (e.sameSources) {
      e.setF64(() => {
        e.f64(1);
        same(e);
      });
      return;
    }
    e.setFBits(() => {
      e.f64Bits(1);
      e.f.i64Const(SIGN);
      e.f.i64Const(-1);
      e.f.op(Op.i64Xor);
      e.f.op(Op.i64And);
      e.f64Bits(2);
      sign(e);
      e.f.i64Const(SIGN);
      e.f.op(Op.i64And);
      e.f.op(Op.i64Or);
    });
  };
}

function invert(e: Emitter): void {
  e.f.i64Const(-1);
  e.f.op(Op.i64Xor);
}

function xorWith(e: Emitter): void {
  e.f64Bits(1);
  e.f.op(Op.i64Xor);
}

/** fcvt.s.d: no flag at all if the single is the same number. */
function narrow(e: Emitter): void {
  const { f } = e;
  const a = e.temp(F64, 0);
  const r = e.temp(F32, 2);
  e.f64(1);
  f.tee(a);
  f.op(Op.f32DemoteF64);
  f.set(r);
  const zero = (): void => {
    f.get(a);
    f.f64Const(0);
    f.op(Op.f64Eq);
  };
  const exact = (): void => {
    f.get(r);
    f.op(Op.f64PromoteF32);
    f.get(a);
    f.op(Op.f64Eq);
  };
  finish(e, SINGLE, { r, normal: true, exact, special: zero });
}

/** fcvt.d.s: always exact, but a NaN needs canonicalisation. */
function widen(e: Emitter): void {
  softFloatUnless(e, () => {
    e.boxed(1);
    e.f32(1);
    e.f32(1);
    e.f.op(Op.f32Eq);
    e.f.op(Op.i32And);
    if (e.inexactKnown) return;
    roundsToNearest(e);
    e.f.op(Op.i32And);
  });
  e.setF64(() => {
    e.f32(1);
    e.f.op(Op.f64PromoteF32);
  });
}

export const D_SEMANTICS: Readonly<Record<string, Semantics>> = {
  ...Object.fromEntries(floatSemantics(DOUBLE)),
  ...Object.fromEntries(conversions(DOUBLE)),
  fld: (e) => e.setF64(() => e.load(Op.f64Load, 8)),
  fsd: (e) => e.store(Op.f64Store, 8, () => e.f64(2)),
  'fsgnj.d': signInjection(
    () => {},
    () => {},
  ),
  'fsgnjn.d': signInjection(invert, (e) => e.f.op(Op.f64Neg)),
  'fsgnjx.d': signInjection(xorWith, (e) => e.f.op(Op.f64Abs)),
  'fcvt.s.d': narrow,
  'fcvt.d.s': widen,
  'fmv.x.d': (e) => e.setX(() => e.f64Bits(1)),
  'fmv.d.x': (e) => e.setFBits(() => e.x(1)),
};
