/** The interpreter's side of compiled regions (jit/abi.ts): entering one, and going on after it. */

import { HART_PC } from '../arch/riscv/hart_state.ts';
import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import { countDown, pushEntry, toFirstPage } from './interp_chain.ts';
import { type Frame, pushPc, settle, slotField16 } from './interp_frame.ts';
import { emitGoto, emitSample, splitBudget } from './interp_goto.ts';
import { ENTRY_FUNCTION, ENTRY_LABEL, ENTRY_OP, REGION_SPECIAL } from './jit/abi.ts';
import { ENTRIES_LEFT, LANDINGS_LEFT, OP_REGION, SLOT_LEFT, SLOT_OP } from './slots.ts';
import { Op } from './wasm_encoder.ts';

/** In the slot's offset, for IMPORT_DECODE: this instruction is for the interpreter. */
export const DECODE_ONLY = 1;
/** Times that a region is left for code that is not compiled, until the compiler looks at it. */
const LANDING_PERIOD = 40;

/** `op` = operation of the slot that the region entry at ip stands in for. */
function originalOp(fr: Frame): void {
  const { f, op } = fr;
  slotField16(fr, SLOT_OP);
  f.tee(op);
  f.i32Const(OP_REGION);
  f.op(Op.i32GeU);
  f.if();
  pushEntry(f, op);
  f.mem(Op.i32Load16U, fr.calls.regionEntries + ENTRY_OP);
  f.set(op);
  f.end();
  f.get(op);
  f.op(Op.i32Eqz);
  f.if();
  f.get(fr.ip);
  f.i32Const(DECODE_ONLY);
  f.op(Op.i32Or);
  f.call(fr.calls.decode);
  slotField16(fr, SLOT_OP);
  f.set(op);
  f.end();
}

/** Every so often, has the compiler look at a region that is entered. */
function countEntry(fr: Frame): void {
  const { f } = fr;
  countDown(f, fr.entry, ENTRIES_LEFT);
  f.i32Const(0);
  f.op(Op.i32LtS);
  f.if();
  f.i32Const(0);
  pushPc(fr);
  f.mem(Op.i64Store, HART_PC);
  f.get(fr.op);
  f.i32Const(OP_REGION - 1);
  f.op(Op.i32And);
  f.call(fr.calls.sampleEntry);
  // It may have dropped the region.
  f.br(fr.loop);
  f.end();
}

/** A region was left for ip: goes on there; every so often, has the compiler look if it is not compiled. */
function emitLanded(fr: Frame): void {
  const { f, op } = fr;
  slotField16(fr, SLOT_OP);
  f.tee(op);
  f.i32Const(OP_REGION);
  f.op(Op.i32GeU);
  f.brIf(fr.dispatch);
  countDown(f, fr.entry, LANDINGS_LEFT);
  f.i32Const(0);
  f.op(Op.i32GeS);
  f.brIf(fr.dispatch);
  f.i32Const(0);
  f.i32Const(LANDING_PERIOD);
  f.mem(Op.i32Store, LANDINGS_LEFT);
  pushPc(fr);
  f.set(fr.target);
  settle(fr, 0);
  emitSample(fr);
}

/** The slot is the entry of a compiled region (jit/abi.ts): runs it, and goes where it says. */
export function emitRegion(fr: Frame): void {
  const { f, entry, cause } = fr;
  const total = entry;
  countEntry(fr);
  settle(fr, 0);
  pushEntry(f, fr.op);
  f.set(entry);
  pushPc(fr);
  f.i64Const(-PAGE_SIZE);
  f.op(Op.i64And);
  toFirstPage(f, fr.calls.regionEntries, entry);
  f.get(entry);
  f.mem(Op.i32Load16U, fr.calls.regionEntries + ENTRY_LABEL);
  f.get(fr.fuel);
  f.get(fr.rest);
  f.op(Op.i32Add);
  f.get(entry);
  f.mem(Op.i32Load16U, fr.calls.regionEntries + ENTRY_FUNCTION);
  f.callIndirect(fr.calls.regionType);
  f.set(total);
  f.set(fr.target);
  splitBudget(fr, total);
  f.get(fr.target);
  f.op(Op.i32WrapI64);
  f.i32Const(REGION_SPECIAL);
  f.op(Op.i32And);
  f.op(Op.i32Eqz);
  f.if();
  emitGoto(fr);
  f.get(fr.fuel);
  slotField16(fr, SLOT_LEFT);
  f.op(Op.i32Add);
  f.i32Const(0);
  f.op(Op.i32LeS);
  f.brIf(fr.tired);
  emitLanded(fr);
  f.end();
  f.get(fr.target);
  f.i64Const(-2);
  f.op(Op.i64And);
  f.set(fr.target);
  f.globalGet(fr.calls.trap);
  f.tee(cause);
  f.i32Const(0);
  f.op(Op.i32GtS);
  f.brIf(fr.done);
  f.get(cause);
  f.set(fr.op);
  f.i32Const(0);
  f.globalSet(fr.calls.trap);
  f.i32Const(0);
  f.globalSet(fr.calls.stale);
  emitGoto(fr);
  f.get(fr.op);
  f.if();
  emitLanded(fr);
  f.end();
  originalOp(fr);
  f.br(fr.dispatch);
}
