/**
 * From one region to the next without the interpreter: compiled code leaves by a tail call of these
 * functions, which enter the region at the address where it goes on.
 */

import {
  PAGE_SHIFT,
  PAGE_SIZE,
  REGION_ENTRY_SIZE,
  TLB_EXEC_BASE,
} from '../arch/riscv/memlayout.ts';
import {
  ENTRY_FUNCTION,
  ENTRY_LABEL,
  ENTRY_PAGE,
  REGION_NO_STOP,
  REGION_SPECIAL,
} from './jit/abi.ts';
import { addSlot } from './interp_goto.ts';
import { emitExecEntry } from './mmu.ts';
import { ENTRIES_LEFT, OP_REGION, SLOT_OP } from './slots.ts';
import { type FunctionBuilder, I32, I64, type Label, Op } from './wasm_encoder.ts';

/** Type of a region, offset of the entries' table, index of the trap global. */
export interface ChainCalls {
  readonly regionType: number;
  readonly regionEntries: number;
  readonly trap: number;
}

const [PC, FUEL] = [0, 1];

/** Pushes the entry of the region operation in local `op`, less the entries' base. */
export function pushEntry(f: FunctionBuilder, op: number): void {
  f.get(op);
  f.i32Const(OP_REGION - 1);
  f.op(Op.i32And);
  f.i32Const(Math.log2(REGION_ENTRY_SIZE));
  f.op(Op.i32Shl);
}

/** Makes the address of the page of the region's entry that of the region's first page. */
export function toFirstPage(f: FunctionBuilder, entries: number, entry: number): void {
  f.get(entry);
  f.mem(Op.i64Load16S, entries + ENTRY_PAGE);
  f.i64Const(PAGE_SHIFT);
  f.op(Op.i64Shl);
  f.op(Op.i64Sub);
}

/** Counts the i32 at `counter` down by one, and pushes it; `left` is a local to use. */
export function countDown(f: FunctionBuilder, left: number, counter: number): void {
  f.i32Const(0);
  f.i32Const(0);
  f.mem(Op.i32Load, counter);
  f.i32Const(1);
  f.op(Op.i32Sub);
  f.tee(left);
  f.mem(Op.i32Store, counter);
  f.get(left);
}

/** Pushes the address in local `pc` as a region returns it. */
export function pushResultPc(f: FunctionBuilder, trap: number, pc: number, stops: boolean): void {
  f.get(pc);
  if (stops) return;
  f.i32Const(REGION_NO_STOP);
  f.globalSet(trap);
  f.i64Const(REGION_SPECIAL);
  f.op(Op.i64Or);
}

/**
 * Sets `entry` to the entry of the region at the address in `pc`, less the entries' base, and
 * `page` to the address of its page; branches to `none` if there is none.
 */
export function findEntry(
  f: FunctionBuilder,
  pc: number,
  page: number,
  entry: number,
  none: Label,
): void {
  f.get(pc);
  f.i64Const(-PAGE_SIZE);
  f.op(Op.i64And);
  f.set(page);
  emitExecEntry(f, pc);
  f.tee(entry);
  f.mem(Op.i64Load, TLB_EXEC_BASE);
  f.get(page);
  f.op(Op.i64Ne);
  f.brIf(none);
  f.get(entry);
  f.mem(Op.i32Load, TLB_EXEC_BASE + 8);
  addSlot(f, pc);
  f.mem(Op.i32Load16U, SLOT_OP);
  f.tee(entry);
  f.i32Const(OP_REGION);
  f.op(Op.i32LtU);
  f.brIf(none);
  pushEntry(f, entry);
  f.set(entry);
}

/**
 * chain(pc, fuel) -> (pc, fuel): what a region returns, or what the next one does.
 * @param stops whether a run may stop at pc.
 */
export function emitChain(f: FunctionBuilder, calls: ChainCalls, stops: boolean): void {
  const { regionEntries } = calls;
  const page = f.local(I64);
  const entry = f.local(I32);
  const left = f.local(I32);
  const none = f.block();
  if (stops) {
    f.get(FUEL);
    f.i32Const(0);
    f.op(Op.i32LeS);
    f.brIf(none);
  }
  findEntry(f, PC, page, entry, none);
  // The counter stays below 0 when this entry is to be sampled.
  countDown(f, left, ENTRIES_LEFT);
  f.i32Const(0);
  f.op(Op.i32LtS);
  f.brIf(none);
  f.get(page);
  toFirstPage(f, regionEntries, entry);
  f.get(entry);
  f.mem(Op.i32Load16U, regionEntries + ENTRY_LABEL);
  f.get(FUEL);
  f.get(entry);
  f.mem(Op.i32Load16U, regionEntries + ENTRY_FUNCTION);
  f.returnCallIndirect(calls.regionType);
  f.end();
  pushResultPc(f, calls.trap, PC, stops);
  f.get(FUEL);
}
