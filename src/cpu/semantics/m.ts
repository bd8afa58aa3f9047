/** The M extension (Unprivileged chapter 7). wasm's division traps where RISC-V's has a result. */

import type { Emitter, Semantics } from '../emitter.ts';
import { I32, I64, Op } from '../wasm_encoder.ts';

/** rd = low 64 or sign-extended low 32 bits of rs1 * rs2. */
function mul(e: Emitter): void {
  e.setX(() => {
    e.x(1);
    e.x(2);
    e.f.op(Op.i64Mul);
  });
}

function mulw(e: Emitter): void {
  e.setX(() => {
    e.x32(1);
    e.x32(2);
    e.f.op(Op.i32Mul);
    e.f.op(Op.i64ExtendI32S);
  });
}

/** Pushes `value & -(source < 0)`: what a signed source adds to the unsigned high half. */
function signTerm(e: Emitter, source: 1 | 2, value: 1 | 2): void {
  e.x(source);
  e.f.i64Const(63);
  e.f.op(Op.i64ShrS);
  e.x(value);
  e.f.op(Op.i64And);
  e.f.op(Op.i64Sub);
}

/** High 64 bits of rs1 * rs2, from the unsigned product: each signed negative factor takes the other off. */
function mulHigh(signed1: boolean, signed2: boolean): Semantics {
  return (e) =>
    e.setX(() => {
      e.x(1);
      e.x(2);
      e.call('mulhu');
      if (signed1) signTerm(e, 1, 2);
      if (signed2) signTerm(e, 2, 1);
    });
}

interface Width {
  readonly type: number;
  readonly word: boolean;
  readonly eqz: number;
  readonly eq: number;
  readonly and: number;
}

const DOUBLEWORD: Width = {
  type: I64,
  word: false,
  eqz: Op.i64Eqz,
  eq: Op.i64Eq,
  and: Op.i64And,
};
const WORD: Width = { type: I32, word: true, eqz: Op.i32Eqz, eq: Op.i32Eq, and: Op.i32And };

function constant(e: Emitter, width: Width, value: number): void {
  if (width.word) e.f.i32Const(value);
  else e.f.i64Const(value);
}

/** Pushes whether dividing overflows: dividend = most negative number, divisor = -1. */
function overflows(e: Emitter, width: Width, dividend: number, divisor: number): void {
  e.f.get(divisor);
  constant(e, width, -1);
  e.f.op(width.eq);
  e.f.get(dividend);
  constant(e, width, width.word ? -0x8000_0000 : -(2 ** 63));
  e.f.op(width.eq);
  e.f.op(Op.i32And);
}

/**
 * Division and remainder, Unprivileged table 7.1: by zero gives -1 or the dividend, overflow
 * gives the dividend or 0.
 */
function divide(width: Width, opcode: number, signed: boolean, remainder: boolean): Semantics {
  return (e) => {
    const a = e.temp(width.type, 0);
    const b = e.temp(width.type, 1);
    const source = width.word ? e.x32 : e.x;
    source.call(e, 1);
    e.f.set(a);
    source.call(e, 2);
    e.f.set(b);
    e.setX(() => {
      e.f.get(b);
      e.f.op(width.eqz);
      e.f.if(width.type);
      if (remainder) e.f.get(a);
      else constant(e, width, -1);
      e.f.else();
      // wasm's own remainder is 0 on overflow; only its division traps.
      if (signed && !remainder) {
        overflows(e, width, a, b);
        e.f.if(width.type);
        e.f.get(a);
        e.f.else();
      }
      e.f.get(a);
      e.f.get(b);
      e.f.op(opcode);
      if (signed && !remainder) e.f.end();
      e.f.end();
      if (width.word) e.f.op(Op.i64ExtendI32S);
    });
  };
}

export const M_SEMANTICS: Readonly<Record<string, Semantics>> = {
  mul,
  mulw,
  mulh: mulHigh(true, true),
  mulhsu: mulHigh(true, false),
  mulhu: mulHigh(false, false),
  div: divide(DOUBLEWORD, Op.i64DivS, true, false),
  divu: divide(DOUBLEWORD, Op.i64DivU, false, false),
  rem: divide(DOUBLEWORD, Op.i64RemS, true, true),
  remu: divide(DOUBLEWORD, Op.i64RemU, false, true),
  divw: divide(WORD, Op.i32DivS, true, false),
  divuw: divide(WORD, Op.i32DivU, false, false),
  remw: divide(WORD, Op.i32RemS, true, true),
  remuw: divide(WORD, Op.i32RemU, false, true),
};
