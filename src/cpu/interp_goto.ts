/** How the interpreter comes to another address: by the execute TLB, with the budget split anew. */

import { HART_PC } from '../arch/riscv/hart_state.ts';
import { PAGE_SIZE, TLB_EXEC_BASE } from '../arch/riscv/memlayout.ts';
import { type Frame, slotField16 } from './interp_frame.ts';
import { emitExecEntry } from './mmu.ts';
import { SLOT_LEFT, SLOT_SCALE } from './slots.ts';
import { type FunctionBuilder, I32, Op } from './wasm_encoder.ts';

/** Adds to the offset of a page's predecoded code that of the slot of the address in local `va`. */
export function addSlot(f: FunctionBuilder, va: number): void {
  f.get(va);
  f.op(Op.i32WrapI64);
  f.i32Const(PAGE_SIZE - 2);
  f.op(Op.i32And);
  f.i32Const(SLOT_SCALE);
  f.op(Op.i32Shl);
  f.op(Op.i32Add);
}

/**
 * Goes to `target` with the remaining budget in `fuel`: sets ip, pcBase and f. Branches to
 * `done` when the page cannot be fetched.
 */
export function emitGoto(fr: Frame): void {
  const { f, target, entry, ip } = fr;
  const code = fr.cause;
  emitExecEntry(f, target);
  f.tee(entry);
  f.mem(Op.i64Load, TLB_EXEC_BASE);
  f.get(target);
  f.i64Const(-PAGE_SIZE);
  f.op(Op.i64And);
  f.op(Op.i64Eq);
  f.if(I32);
  f.get(entry);
  f.mem(Op.i32Load, TLB_EXEC_BASE + 8);
  f.else();
  f.get(target);
  f.call(fr.calls.fetchPage);
  f.end();
  f.tee(code);
  f.op(Op.i32Eqz);
  f.if();
  f.globalGet(fr.calls.trap);
  f.set(fr.cause);
  f.br(fr.done);
  f.end();
  f.get(code);
  addSlot(f, target);
  f.set(ip);
  f.get(target);
  f.i64Const(-PAGE_SIZE);
  f.op(Op.i64And);
  f.get(code);
  f.i32Const(SLOT_SCALE);
  f.op(Op.i32ShrU);
  f.op(Op.i64ExtendI32U);
  f.op(Op.i64Sub);
  f.set(fr.pcBase);
  f.get(fr.fuel);
  slotField16(fr, SLOT_LEFT);
  f.op(Op.i32Sub);
  f.set(fr.fuel);
}

/** Splits the whole remaining budget, in local `total`, at the end of the sample period in `fuel`. */
export function splitBudget(fr: Frame, total: number): void {
  const { f, fuel, rest } = fr;
  f.get(total);
  f.get(fuel);
  f.get(total);
  f.get(fuel);
  f.op(Op.i32LtS);
  f.op(Op.select);
  f.set(fuel);
  f.get(total);
  f.get(fuel);
  f.op(Op.i32Sub);
  f.set(rest);
}

/** Has the compiler look at `target`, whose slot is at ip, and goes on there. */
export function emitSample(fr: Frame): void {
  const { f } = fr;
  f.i32Const(0);
  f.get(fr.target);
  f.mem(Op.i64Store, HART_PC);
  f.get(fr.ip);
  f.call(fr.calls.sample);
  // It may have dropped this page's slots.
  emitGoto(fr);
  f.br(fr.loop);
}
