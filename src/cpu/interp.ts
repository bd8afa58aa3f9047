/**
 * Tier 0: emits the interpreter, one wasm function that runs predecoded slots (slots.ts) in a
 * `loop` around a `br_table` with one handler per instruction, length and branch distance.
 *
 * Locals of the function: ip, the slot; pcBase, so that pc = pcBase + (ip >> 3); f, so that
 * f + left(ip) is what remains of the sample period, and that plus `rest` is what remains of the
 * budget. Registers stay in linear memory, so a trap finds them as they must be.
 *
 * A run stops where a branch goes back, a jump is indirect or the page changes: what compiled code
 * checks, too (jit/), so that it stops at the same instructions.
 */

import { CAUSE_BUDGET } from '../arch/riscv/cause.ts';
import { HART_FRM, HART_PC } from '../arch/riscv/hart_state.ts';
import { type MemLayout, PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import { TLB_EXEC, TLB_READ } from '../arch/riscv/tlb.ts';
import type { Push } from './emitter.ts';
import { HANDLERS, type Handler } from './handlers.ts';
import { emitChain } from './interp_chain.ts';
import { emitGoto, emitSample, splitBudget } from './interp_goto.ts';
import type { Instrument } from './instrument.ts';
import { emitRegion } from './interp_region.ts';
import { emitHelpers } from './wasm_functions.ts';
import {
  advance,
  type Calls,
  type Frame,
  pushImm32,
  pushPc,
  settle,
  slotField16,
} from './interp_frame.ts';
import {
  EXPORT_CHAIN,
  EXPORT_CHAIN_NO_STOP,
  EXPORT_SOFT_FLOAT,
  REGION_PARAMS,
  REGION_RESULTS,
  SOFT_FLOAT_PARAMS,
} from './jit/abi.ts';
import { emitMmu } from './mmu.ts';
import { SEMANTICS } from './semantics/all.ts';
import { SlotEmitter } from './slot_emitter.ts';
import {
  CROSS_SLOTS,
  CROSS_WORD,
  END_SLOT,
  FIRST_INSN_OP,
  OP_SOFT_FLOAT,
  REGISTER_MASK,
  REGISTER_SHIFT,
  RETIRED,
  SAMPLE_LEFT,
  SLOT_DELTA,
  SLOT_IMM,
  SLOT_LEFT,
  SLOT_OP,
  SLOT_RD,
  SLOT_RS1,
  SLOT_RS2,
  SLOT_SIZE,
} from './slots.ts';
import {
  type FunctionBuilder,
  I32,
  I64,
  type Label,
  ModuleBuilder,
  Op,
  TAIL_CALLS,
} from './wasm_encoder.ts';

/** Names of what the module imports and exports. */
export const IMPORT_NEW_CODE = 'newCode';
export const IMPORT_DROP_CODE = 'dropCode';
export const IMPORT_DECODE = 'decode';
export const IMPORT_DECODE_CROSS = 'decodeCross';
export const IMPORT_CSR = 'csr';
export const IMPORT_SOFT_FLOAT = 'softFloat';
export const IMPORT_SAMPLE = 'sample';
export const IMPORT_SAMPLE_ENTRY = 'sampleEntry';
export const EXPORT_RUN = 'run';
export const EXPORT_FETCH = 'fetch';
export const EXPORT_EXECUTABLE = 'executable';
export const EXPORT_READABLE = 'readable';

/** Interpreted instructions between two looks at where the program is. */
const SAMPLE_PERIOD = 1000;

const RM_DYN = 7;
const RM_RESERVED = 5;
/** Pushes the number of the register whose offset the slot has at `field`. */
function registerNumber(fr: Frame, push: Push): void {
  push();
  fr.f.i32Const(REGISTER_SHIFT);
  fr.f.op(Op.i32ShrU);
  fr.f.i32Const(REGISTER_MASK);
  fr.f.op(Op.i32And);
}

/** End of a page: goes on at the next one. */
function emitEnd(fr: Frame): void {
  pushPc(fr);
  fr.f.set(fr.target);
  settle(fr, 0);
  fr.f.br(fr.goto);
}

/**
 * The first half of an instruction is the last of its page: fetches the second half, which may
 * fault, and goes on in CROSS_SLOTS.
 */
function emitCross(fr: Frame): void {
  const { f, entry } = fr;
  const word = fr.cause;
  // Fetching may drop all code, this slot with it.
  pushImm32(fr);
  f.set(word);
  pushPc(fr);
  f.i64Const(2);
  f.op(Op.i64Add);
  f.tee(fr.target);
  f.call(fr.calls.fetchPage);
  f.tee(entry);
  f.op(Op.i32Eqz);
  f.brIf(fr.trap);
  f.get(entry);
  f.mem(Op.i32Load, END_SLOT + SLOT_IMM);
  f.mem(Op.i32Load16U);
  f.i32Const(16);
  f.op(Op.i32Shl);
  f.get(word);
  f.op(Op.i32Or);
  f.tee(word);
  f.i32Const(0);
  f.mem(Op.i32Load, CROSS_WORD);
  f.op(Op.i32Ne);
  f.if();
  f.get(word);
  f.call(fr.calls.decodeCross);
  f.end();
  f.get(fr.target);
  f.i64Const(2 + CROSS_SLOTS / (SLOT_SIZE / 2));
  f.op(Op.i64Sub);
  f.set(fr.pcBase);
  f.i32Const(CROSS_SLOTS);
  f.set(fr.ip);
  f.br(fr.loop);
}

/** softFloat(op, rd, rs1, rs2, rs3, rm), with frm for the dynamic rounding mode. */
function emitSoftFloat(fr: Frame, illegal: () => void): void {
  const { f } = fr;
  const rm = fr.entry;
  slotField16(fr, SLOT_DELTA);
  f.i32Const(7);
  f.op(Op.i32And);
  f.tee(rm);
  f.i32Const(RM_DYN);
  f.op(Op.i32Eq);
  f.if();
  f.i32Const(0);
  f.mem(Op.i32Load, HART_FRM);
  f.tee(rm);
  f.i32Const(RM_RESERVED);
  f.op(Op.i32GeU);
  f.if();
  illegal();
  f.end();
  f.end();
  slotField16(fr, SLOT_DELTA);
  f.i32Const(3);
  f.op(Op.i32ShrU);
  registerNumber(fr, () => slotField16(fr, SLOT_RD));
  registerNumber(fr, () => slotField16(fr, SLOT_RS1));
  registerNumber(fr, () => slotField16(fr, SLOT_RS2));
  registerNumber(fr, () => pushImm32(fr));
  f.get(rm);
  f.call(fr.calls.softFloat);
  advance(fr, 4);
  f.br(fr.loop);
}

function emitHandler(fr: Frame, handler: Handler, temps: Map<string, number>): void {
  const e = new SlotEmitter(fr, handler, temps);
  SEMANTICS[handler.row]!(e);
  e.finish();
  if (handler.next !== null) emitHandler(fr, handler.next, temps);
}

/** Emits the handlers, innermost block first, behind the dispatch. */
function emitHandlers(fr: Frame): void {
  const { f } = fr;
  const temps = new Map<string, number>();
  const count = FIRST_INSN_OP + HANDLERS.length;
  const region = f.block();
  // The soft-float handler's block is outside all others, which branch to it.
  fr.softFloat = f.block();
  const labels: Label[] = [];
  for (let i = count - 1; i >= 0; i--) {
    if (i !== OP_SOFT_FLOAT) labels[i] = f.block();
  }
  labels[OP_SOFT_FLOAT] = fr.softFloat;
  f.get(fr.op);
  f.brTable(labels, region);
  const special = (emit: () => void): void => {
    f.end();
    emit();
  };
  const illegal = new SlotEmitter(fr, HANDLERS[0]!, temps);
  special(() => {
    // Where a compiler starts from here.
    f.i32Const(0);
    pushPc(fr);
    f.mem(Op.i64Store, HART_PC);
    f.get(fr.ip);
    f.call(fr.calls.decode);
    // A compiler may have dropped this page's slots for others.
    pushPc(fr);
    f.set(fr.target);
    settle(fr, 0);
    emitGoto(fr);
    f.br(fr.loop);
  });
  special(() => emitEnd(fr));
  special(() => emitCross(fr));
  special(() => illegal.illegal());
  for (const handler of HANDLERS) {
    f.end();
    emitHandler(fr, handler, temps);
  }
  f.end();
  emitSoftFloat(fr, () => illegal.illegal());
  f.end();
  emitRegion(fr);
}

/**
 * The sample period is over at a place where a run may stop: does that if the budget is used up,
 * else lets the compiler look at the place.
 */
function emitTired(fr: Frame): void {
  const { f, entry } = fr;
  const total = entry;
  pushPc(fr);
  f.set(fr.target);
  settle(fr, 0);
  f.get(fr.fuel);
  f.get(fr.rest);
  f.op(Op.i32Add);
  f.tee(total);
  f.i32Const(0);
  f.op(Op.i32LeS);
  f.if();
  f.i32Const(CAUSE_BUDGET);
  f.set(fr.cause);
  f.br(fr.done);
  f.end();
  f.i32Const(SAMPLE_PERIOD);
  f.set(fr.fuel);
  splitBudget(fr, total);
  emitSample(fr);
}

/** Emits what the handlers branch to, inside the loop. */
function emitLoop(fr: Frame): void {
  const { f } = fr;
  fr.loop = f.loop();
  slotField16(fr, SLOT_OP);
  f.set(fr.op);
  fr.dispatch = f.loop();
  fr.trap = f.block();
  fr.stale = f.block();
  fr.tired = f.block();
  fr.goto = f.block();
  emitHandlers(fr);
  f.end();
  // goto
  emitGoto(fr);
  f.get(fr.fuel);
  f.i32Const(0);
  f.op(Op.i32GeS);
  f.brIf(fr.loop);
  f.end();
  // tired: there may still be something left for the instructions up to the end of the page.
  f.get(fr.fuel);
  slotField16(fr, SLOT_LEFT);
  f.op(Op.i32Add);
  f.i32Const(0);
  f.op(Op.i32GtS);
  f.brIf(fr.loop);
  emitTired(fr);
  f.end();
  // stale
  f.i32Const(0);
  f.globalSet(fr.calls.stale);
  pushPc(fr);
  f.set(fr.target);
  settle(fr, 0);
  emitGoto(fr);
  f.br(fr.loop);
  f.end();
  // trap
  f.globalGet(fr.calls.trap);
  f.set(fr.cause);
  pushPc(fr);
  f.set(fr.target);
  settle(fr, 0);
  f.br(fr.done);
  f.end();
  f.end();
}

/** run(budget) -> cause. RETIRED says how many instructions it took. */
function emitRun(f: FunctionBuilder, calls: Calls): void {
  const fr: Frame = {
    f,
    calls,
    budget: 0,
    ip: f.local(I32),
    pcBase: f.local(I64),
    fuel: f.local(I32),
    rest: f.local(I32),
    op: f.local(I32),
    target: f.local(I64),
    ea: f.local(I64),
    entry: f.local(I32),
    cause: f.local(I32),
    loop: 0,
    dispatch: 0,
    softFloat: 0,
    goto: 0,
    tired: 0,
    stale: 0,
    trap: 0,
    done: 0,
  };
  f.i32Const(0);
  f.mem(Op.i32Load, SAMPLE_LEFT);
  f.set(fr.fuel);
  splitBudget(fr, fr.budget);
  f.i32Const(0);
  f.mem(Op.i64Load, HART_PC);
  f.set(fr.target);
  fr.done = f.block();
  emitGoto(fr);
  emitLoop(fr);
  f.end();
  f.i32Const(0);
  f.globalSet(calls.trap);
  f.i32Const(0);
  f.get(fr.target);
  f.mem(Op.i64Store, HART_PC);
  f.i32Const(0);
  f.get(fr.fuel);
  f.mem(Op.i32Store, SAMPLE_LEFT);
  f.i32Const(0);
  f.get(fr.budget);
  f.get(fr.fuel);
  f.op(Op.i32Sub);
  f.get(fr.rest);
  f.op(Op.i32Sub);
  f.mem(Op.i32Store, RETIRED);
  f.get(fr.cause);
}

/** Pushes the address whose halves are in locals 0 and 1. */
function joinAddress(f: FunctionBuilder): void {
  f.get(0);
  f.op(Op.i64ExtendI32U);
  f.get(1);
  f.op(Op.i64ExtendI32U);
  f.i64Const(32);
  f.op(Op.i64Shl);
  f.op(Op.i64Or);
}

/** fetch(lo, hi) -> halfword of code at the address, or -1 if it cannot be fetched. */
function emitFetch(f: FunctionBuilder, walk: number): void {
  const frame = f.local(I32);
  joinAddress(f);
  f.i32Const(TLB_EXEC);
  f.call(walk);
  f.tee(frame);
  f.op(Op.i32Eqz);
  f.if(I32);
  f.i32Const(-1);
  f.else();
  f.get(0);
  f.i32Const(PAGE_SIZE - 1);
  f.op(Op.i32And);
  f.get(frame);
  f.op(Op.i32Or);
  f.mem(Op.i32Load16U);
  f.end();
}

/** executable(lo, hi), readable(lo, hi) -> offset of the page's frame, or 0 if it is not that. */
function emitPageLook(f: FunctionBuilder, peek: number, kind: number): void {
  joinAddress(f);
  f.i32Const(kind);
  f.call(peek);
}

/** Calls an import with its own parameters. */
function emitForward(f: FunctionBuilder, target: number): void {
  for (let i = 0; i < SOFT_FLOAT_PARAMS.length; i++) f.get(i);
  f.call(target);
}

/** The interpreter module for a memory of the given layout. */
export function emitInterpreter(
  layout: MemLayout,
  instrument: Instrument | null = null,
): Uint8Array<ArrayBuffer> {
  const m = new ModuleBuilder(layout.bytes / 65536);
  m.importTable(layout.regionEntries);
  const newCode = m.import(IMPORT_NEW_CODE, [I32], [I32]);
  const dropCode = m.import(IMPORT_DROP_CODE, [I32], []);
  const decode = m.import(IMPORT_DECODE, [I32], []);
  const decodeCross = m.import(IMPORT_DECODE_CROSS, [I32], []);
  const sample = m.import(IMPORT_SAMPLE, [I32], []);
  const sampleEntry = m.import(IMPORT_SAMPLE_ENTRY, [I32], []);
  const csr = m.import(IMPORT_CSR, [I32, I32, I32, I32], [I32]);
  const softFloat = m.import(IMPORT_SOFT_FLOAT, SOFT_FLOAT_PARAMS, []);
  const mmu = emitMmu(m, layout, { newCode, dropCode });
  const helpers = emitHelpers(m);
  const regionType = m.type(REGION_PARAMS, REGION_RESULTS);
  const regionEntries = layout.regionEntriesBase;
  const imports = { decode, decodeCross, sample, sampleEntry, csr, softFloat };
  const calls: Calls = { ...mmu, helpers, regionType, regionEntries, instrument, ...imports };
  // For regions: a module that imports a function of JavaScript takes the host longer.
  m.define(SOFT_FLOAT_PARAMS, [], (f) => emitForward(f, softFloat), EXPORT_SOFT_FLOAT);
  if (TAIL_CALLS) {
    m.define(REGION_RESULTS, REGION_RESULTS, (f) => emitChain(f, calls, true), EXPORT_CHAIN);
    const [params, results] = [REGION_RESULTS, REGION_RESULTS];
    m.define(params, results, (f) => emitChain(f, calls, false), EXPORT_CHAIN_NO_STOP);
  }
  m.define([I32], [I32], (f) => emitRun(f, calls), EXPORT_RUN);
  m.define([I32, I32], [I32], (f) => emitFetch(f, mmu.walk), EXPORT_FETCH);
  const look = (name: string, kind: number): number =>
    m.define([I32, I32], [I32], (f) => emitPageLook(f, mmu.peek, kind), name);
  look(EXPORT_EXECUTABLE, TLB_EXEC);
  look(EXPORT_READABLE, TLB_READ);
  return m.encode();
}
