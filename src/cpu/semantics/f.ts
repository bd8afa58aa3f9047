/** The F extension: what is not in float.ts. */

import type { Emitter, Semantics, Source } from '../emitter.ts';
import { I32, Op } from '../wasm_encoder.ts';
import { floatSemantics } from './float.ts';
import { conversions } from './float_convert.ts';
import { SINGLE } from './float_exact.ts';

const CANONICAL_NAN = 0x7fc0_0000;
const SIGN = -0x8000_0000;
/** Upper half of a NaN-boxed single, as an i64. */
const BOX = -0x1_0000_0000;

/** Pushes the bits of a single (i32): the canonical NaN if it is not NaN-boxed. */
function bits(e: Emitter, from: Source): void {
  e.f64Bits(from);
  e.f.op(Op.i32WrapI64);
  e.f.i32Const(CANONICAL_NAN);
  e.boxed(from);
  e.f.op(Op.select);
}

/** Emits the new sign bit (in bit 31) from the bits of rs1 (local) and rs2 (pushed). */
type Sign = (e: Emitter, bits1: number) => void;

function signInjection(sign: Sign): Semantics {
  return (e) => {
    const a = e.temp(I32, 0);
    bits(e, 1);
    e.f.set(a);
    e.setF32(() => {
      e.f.get(a);
      e.f.i32Const(~SIGN);
      e.f.op(Op.i32And);
      bits(e, 2);
      sign(e, a);
      e.f.i32Const(SIGN);
      e.f.op(Op.i32And);
      e.f.op(Op.i32Or);
      e.f.op(Op.f32ReinterpretI32);
    });
  };
}

function invert(e: Emitter): void {
  e.f.i32Const(-1);
  e.f.op(Op.i32Xor);
}

function xorWith(e: Emitter, bits1: number): void {
  e.f.get(bits1);
  e.f.op(Op.i32Xor);
}

function box(e: Emitter): void {
  e.f.i64Const(BOX);
  e.f.op(Op.i64Or);
}

function flw(e: Emitter): void {
  e.setFBits(() => {
    e.load(Op.i64Load32U, 4);
    box(e);
  });
}

function moveToFloat(e: Emitter): void {
  e.setFBits(() => {
    e.x32(1);
    e.f.op(Op.i64ExtendI32U);
    box(e);
  });
}

function moveToInteger(e: Emitter): void {
  e.setX(() => {
    e.f64Bits(1);
    e.f.op(Op.i64Extend32S);
  });
}

export const F_SEMANTICS: Readonly<Record<string, Semantics>> = {
  ...Object.fromEntries(floatSemantics(SINGLE)),
  ...Object.fromEntries(conversions(SINGLE)),
  flw,
  fsw: (e) => e.store(Op.i64Store32, 4, () => e.f64Bits(2)),
  'fsgnj.s': signInjection(() => {}),
  'fsgnjn.s': signInjection(invert),
  'fsgnjx.s': signInjection(xorWith),
  'fmv.x.w': moveToInteger,
  'fmv.w.x': moveToFloat,
};
