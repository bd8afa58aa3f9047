/** The interpreter function's locals and branch targets, and the code its parts share. */

import type { Helper } from './emitter.ts';
import type { Instrument } from './instrument.ts';
import type { Mmu } from './mmu.ts';
import { SLOT_IMM, SLOT_LEFT, SLOT_SCALE } from './slots.ts';
import { type FunctionBuilder, type Label, Op } from './wasm_encoder.ts';

/** Function indexes the interpreter calls. */
export interface Calls extends Mmu {
  readonly helpers: Readonly<Record<Helper, number>>;
  readonly decode: number;
  readonly decodeCross: number;
  readonly sample: number;
  readonly sampleEntry: number;
  readonly csr: number;
  readonly softFloat: number;
  /** Type of a compiled region; offset of the entries' table. */
  readonly regionType: number;
  readonly regionEntries: number;
  readonly instrument: Instrument | null;
}

/** Locals and branch targets of the interpreter function. */
export interface Frame {
  readonly f: FunctionBuilder;
  readonly calls: Calls;
  readonly budget: number;
  readonly ip: number;
  readonly pcBase: number;
  /** f of the file comment. From `goto` and `done` on it holds all that remains of the sample period. */
  readonly fuel: number;
  /** Budget beyond the sample period. */
  readonly rest: number;
  /** Operation to dispatch. */
  readonly op: number;
  /** Where to go on, or at the end the final pc. */
  readonly target: number;
  readonly ea: number;
  readonly entry: number;
  readonly cause: number;
  /** Dispatches the slot at ip. */
  loop: Label;
  /** Dispatches `op`, with the slot at ip. */
  dispatch: Label;
  /** Instruction in the soft-float unit; slot as decoded. */
  softFloat: Label;
  /** Look `target` up and go there. */
  goto: Label;
  /** `fuel` became negative where a run may stop. */
  tired: Label;
  /** ip is stale after a store: find the code of the page again. */
  stale: Label;
  /** The trap global says why the instruction at ip did not happen. */
  trap: Label;
  /** `cause`, `target` = pc and `fuel` are final. */
  done: Label;
}

export function slotField16(fr: Frame, offset: number): void {
  fr.f.get(fr.ip);
  fr.f.mem(Op.i32Load16U, offset);
}

export function pushImm32(fr: Frame): void {
  fr.f.get(fr.ip);
  fr.f.mem(Op.i32Load, SLOT_IMM);
}

/** Pushes pc (i64). */
export function pushPc(fr: Frame): void {
  fr.f.get(fr.pcBase);
  fr.f.get(fr.ip);
  fr.f.i32Const(SLOT_SCALE);
  fr.f.op(Op.i32ShrU);
  fr.f.op(Op.i64ExtendI32U);
  fr.f.op(Op.i64Add);
}

/** fuel += left(ip) - retired: makes it the whole remaining budget. */
export function settle(fr: Frame, retired: number): void {
  slotField16(fr, SLOT_LEFT);
  fr.f.get(fr.fuel);
  fr.f.op(Op.i32Add);
  if (retired > 0) {
    fr.f.i32Const(retired);
    fr.f.op(Op.i32Sub);
  }
  fr.f.set(fr.fuel);
}

export function advance(fr: Frame, length: number): void {
  fr.f.get(fr.ip);
  fr.f.i32Const(length << SLOT_SCALE);
  fr.f.op(Op.i32Add);
  fr.f.set(fr.ip);
}
