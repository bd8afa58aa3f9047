/** The A extension (Unprivileged chapter 8), on one hart: every access is atomic as it is. */

import { HART_RESERVED, HART_RESERVED_ADDR } from '../../arch/riscv/hart_state.ts';
import type { Emitter, Semantics } from '../emitter.ts';
import { I32, I64, Op } from '../wasm_encoder.ts';

type Size = 4 | 8;

function loadOp(size: Size): number {
  return size === 4 ? Op.i64Load32S : Op.i64Load;
}

function storeOp(size: Size): number {
  return size === 4 ? Op.i64Store32 : Op.i64Store;
}

/** lr: loads, and reserves the address. */
function loadReserved(size: Size): Semantics {
  return (e) => {
    const offset = e.temp(I32, 0);
    e.atomicOffset(size, false);
    e.f.set(offset);
    e.f.i32Const(0);
    e.x(1);
    e.f.mem(Op.i64Store, HART_RESERVED_ADDR);
    e.f.i32Const(0);
    e.f.i32Const(1);
    e.f.mem(Op.i32Store, HART_RESERVED);
    e.setX(() => {
      e.f.get(offset);
      e.f.mem(loadOp(size));
    });
  };
}

/**
 * sc: stores and sets rd to 0 if the reservation holds, else sets rd to 1. Any sc gives the
 * reservation up; a faulting one keeps it, so that it succeeds when it runs again.
 */
function storeConditional(size: Size): Semantics {
  return (e) => {
    const offset = e.temp(I32, 0);
    const failed = e.temp(I32, 1);
    e.atomicOffset(size, true);
    e.f.set(offset);
    e.f.i32Const(0);
    e.f.mem(Op.i32Load, HART_RESERVED);
    e.f.i32Const(0);
    e.f.mem(Op.i64Load, HART_RESERVED_ADDR);
    e.x(1);
    e.f.op(Op.i64Eq);
    e.f.op(Op.i32And);
    e.f.op(Op.i32Eqz);
    e.f.tee(failed);
    e.f.op(Op.i32Eqz);
    e.f.if();
    e.f.get(offset);
    e.x(2);
    e.f.mem(storeOp(size));
    e.f.end();
    e.f.i32Const(0);
    e.f.i32Const(0);
    e.f.mem(Op.i32Store, HART_RESERVED);
    e.setX(() => {
      e.f.get(failed);
      e.f.op(Op.i64ExtendI32U);
    });
  };
}

/** Emits `old op rs2`; `old` is an i64 local that holds the sign-extended memory operand. */
type Combine = (e: Emitter, size: Size, old: number) => void;

function arithmetic(opcode: number): Combine {
  return (e, _size, old) => {
    e.f.get(old);
    e.x(2);
    e.f.op(opcode);
  };
}

/** min and max: keeps the memory operand when `opcode32/64 (old, rs2)` holds. */
function choose(opcode32: number, opcode64: number): Combine {
  return (e, size, old) => {
    e.f.get(old);
    e.x(2);
    e.f.get(old);
    if (size === 4) e.f.op(Op.i32WrapI64);
    if (size === 4) e.x32(2);
    else e.x(2);
    e.f.op(size === 4 ? opcode32 : opcode64);
    e.f.op(Op.select);
  };
}

/** rd = memory; memory = combined value. */
function amo(size: Size, combine: Combine): Semantics {
  return (e) => {
    const offset = e.temp(I32, 0);
    const old = e.temp(I64, 0);
    e.atomicOffset(size, true);
    e.f.tee(offset);
    e.f.mem(loadOp(size));
    e.f.set(old);
    e.f.get(offset);
    combine(e, size, old);
    e.f.mem(storeOp(size));
    e.setX(() => e.f.get(old));
  };
}

const OPERATIONS: Readonly<Record<string, Combine>> = {
  amoswap: (e) => e.x(2),
  amoadd: arithmetic(Op.i64Add),
  amoxor: arithmetic(Op.i64Xor),
  amoand: arithmetic(Op.i64And),
  amoor: arithmetic(Op.i64Or),
  amomin: choose(Op.i32LtS, Op.i64LtS),
  amomax: choose(Op.i32GtS, Op.i64GtS),
  amominu: choose(Op.i32LtU, Op.i64LtU),
  amomaxu: choose(Op.i32GtU, Op.i64GtU),
};

function allOf(suffix: string, size: Size): [string, Semantics][] {
  const rows = Object.entries(OPERATIONS).map(([name, combine]): [string, Semantics] => [
    `${name}.${suffix}`,
    amo(size, combine),
  ]);
  return [...rows, [`lr.${suffix}`, loadReserved(size)], [`sc.${suffix}`, storeConditional(size)]];
}

export const A_SEMANTICS: Readonly<Record<string, Semantics>> = Object.fromEntries([
  ...allOf('w', 4),
  ...allOf('d', 8),
]);
