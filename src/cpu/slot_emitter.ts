/**
 * The interpreter's emitter: operands come from the slot that the local `ip` points at, registers
 * are in linear memory.
 */

import { CAUSE_ILLEGAL_INSN } from '../arch/riscv/cause.ts';
import { HART_TVAL } from '../arch/riscv/hart_state.ts';
import { TLB_READ_BASE, TLB_WRITE_BASE } from '../arch/riscv/memlayout.ts';
import { TLB_READ, TLB_WRITE } from '../arch/riscv/tlb.ts';
import type { Emitter, Helper, Push, Size, Source } from './emitter.ts';
import type { Handler } from './handlers.ts';
import { INSN_TABLE } from './insn_table.ts';
import { emitCompare, emitReached } from './instrument.ts';
import { advance, type Frame, pushImm32, pushPc, settle, slotField16 } from './interp_frame.ts';
import { emitTlbEntry, emitTlbHit } from './mmu.ts';
import {
  RETIRED,
  SLOT_DELTA,
  SLOT_LEFT,
  SLOT_RD,
  SLOT_RS1,
  SLOT_RS2,
  SLOT_SCALE,
} from './slots.ts';
import { F64, type FunctionBuilder, I64, Op } from './wasm_encoder.ts';

/** What turns the zero-extended bytes of loadSlow() into what the opcode loads. */
const SIGN_EXTEND: Readonly<Record<number, number | undefined>> = {
  [Op.i64Load8S]: Op.i64Extend8S,
  [Op.i64Load16S]: Op.i64Extend16S,
  [Op.i64Load32S]: Op.i64Extend32S,
};

/** The emitter of one handler. */
export class SlotEmitter implements Emitter {
  readonly f: FunctionBuilder;
  readonly #fr: Frame;
  readonly #handler: Handler;
  readonly #temps: Map<string, number>;
  readonly inexactKnown = false;
  readonly finiteLater = false;
  readonly compact = false;
  readonly rounding = null;
  readonly sameSources = false;
  /** Whether the handler's end is unreachable. */
  ended = false;
  /** Whether a store of this handler may leave ip stale. */
  #mayStale = false;

  constructor(fr: Frame, handler: Handler, temps: Map<string, number>) {
    this.f = fr.f;
    this.#fr = fr;
    this.#handler = handler;
    this.#temps = temps;
  }

  temp(type: number, n: number): number {
    const key = `${type}:${n}`;
    const known = this.#temps.get(key);
    if (known !== undefined) return known;
    const local = this.f.local(type);
    this.#temps.set(key, local);
    return local;
  }

  /** Pushes the offset of a source register. */
  #source(source: Source): void {
    if (source === 1) slotField16(this.#fr, SLOT_RS1);
    else if (source === 2) slotField16(this.#fr, SLOT_RS2);
    else pushImm32(this.#fr);
  }

  x(source: Source): void {
    this.#source(source);
    this.f.mem(Op.i64Load);
  }

  x32(source: Source): void {
    this.#source(source);
    this.f.mem(Op.i32Load);
  }

  setX(value: Push): void {
    this.setFBits(value);
  }

  imm(): void {
    pushImm32(this.#fr);
    this.f.op(Op.i64ExtendI32S);
  }

  imm32(): void {
    pushImm32(this.#fr);
  }

  f64Bits(source: Source): void {
    this.x(source);
  }

  f64(source: Source): void {
    this.#source(source);
    this.f.mem(Op.f64Load);
  }

  f32(source: Source): void {
    this.#source(source);
    this.f.mem(Op.f32Load);
  }

  boxed(source: Source): void {
    this.#source(source);
    this.f.mem(Op.i32Load, 4);
    this.f.i32Const(-1);
    this.f.op(Op.i32Eq);
  }

  setFBits(value: Push): void {
    slotField16(this.#fr, SLOT_RD);
    value();
    this.f.mem(Op.i64Store);
  }

  setF64(value: Push): void {
    slotField16(this.#fr, SLOT_RD);
    value();
    this.f.mem(Op.f64Store);
  }

  setF32(value: Push): void {
    slotField16(this.#fr, SLOT_RD);
    value();
    this.f.mem(Op.f32Store);
    slotField16(this.#fr, SLOT_RD);
    this.f.i32Const(-1);
    this.f.mem(Op.i32Store, 4);
  }

  softFloat(): void {
    this.f.br(this.#fr.softFloat);
  }

  softFloatIf(condition: Push): void {
    condition();
    this.f.hint(false);
    this.f.brIf(this.#fr.softFloat);
  }

  pc(): void {
    pushPc(this.#fr);
  }

  nextPc(): void {
    const { f } = this;
    f.get(this.#fr.pcBase);
    f.get(this.#fr.ip);
    f.i32Const(this.#handler.length << SLOT_SCALE);
    f.op(Op.i32Add);
    f.i32Const(SLOT_SCALE);
    f.op(Op.i32ShrU);
    f.op(Op.i64ExtendI32U);
    f.op(Op.i64Add);
  }

  branch(condition: Push): void {
    const { instrument } = this.#fr.calls;
    if (instrument !== null) emitCompare(this, instrument, this.#handler.row);
    condition();
    this.f.if();
    this.#goto();
    this.f.end();
    if (instrument !== null) emitReached(this, instrument, () => this.nextPc());
  }

  jump(): void {
    this.#goto();
    this.ended = true;
  }

  /** Pushes pc + imm. */
  #pushTarget(): void {
    const fr = this.#fr;
    const { f } = this;
    this.pc();
    pushImm32(fr);
    if (!this.#handler.far) {
      f.i32Const(SLOT_SCALE);
      f.op(Op.i32ShrS);
    }
    f.op(Op.i64ExtendI32S);
    f.op(Op.i64Add);
  }

  #goto(): void {
    const fr = this.#fr;
    const { f } = this;
    const { instrument } = fr.calls;
    if (instrument !== null) emitReached(this, instrument, () => this.#pushTarget());
    if (this.#handler.far) {
      this.#pushTarget();
      f.set(fr.target);
      settle(fr, 1);
      f.br(fr.goto);
      return;
    }
    f.get(fr.fuel);
    f.get(fr.ip);
    f.mem(Op.i32Load16S, SLOT_DELTA);
    f.op(Op.i32Add);
    f.set(fr.fuel);
    f.get(fr.ip);
    pushImm32(fr);
    f.tee(fr.entry);
    f.op(Op.i32Add);
    f.set(fr.ip);
    f.get(fr.fuel);
    f.i32Const(0);
    f.op(Op.i32GeS);
    f.brIf(fr.loop);
    // A branch ahead is no place to stop.
    f.get(fr.entry);
    f.i32Const(0);
    f.op(Op.i32GtS);
    f.brIf(fr.loop);
    f.br(fr.tired);
  }

  jumpTo(target: number): void {
    const fr = this.#fr;
    const { instrument } = fr.calls;
    if (instrument !== null) emitReached(this, instrument, () => this.f.get(target));
    this.f.get(target);
    this.f.set(fr.target);
    settle(fr, 1);
    this.f.br(fr.goto);
    this.ended = true;
  }

  trap(cause: number, tval: Push): void {
    const { f } = this;
    f.i32Const(0);
    tval();
    f.mem(Op.i64Store, HART_TVAL);
    f.i32Const(cause);
    f.globalSet(this.#fr.calls.trap);
    f.br(this.#fr.trap);
    this.ended = true;
  }

  illegal(): void {
    const ended = this.ended;
    // Cpu.run() fills in the instruction word.
    this.trap(CAUSE_ILLEGAL_INSN, () => this.f.i64Const(0));
    this.ended = ended;
  }

  csr(): void {
    const fr = this.#fr;
    const { f } = this;
    f.i32Const(0);
    f.get(fr.budget);
    f.get(fr.fuel);
    slotField16(fr, SLOT_LEFT);
    f.op(Op.i32Add);
    f.get(fr.rest);
    f.op(Op.i32Add);
    f.op(Op.i32Sub);
    f.mem(Op.i32Store, RETIRED);
    f.i32Const(INSN_TABLE[this.#handler.row]!.match);
    pushImm32(fr);
    slotField16(fr, SLOT_RD);
    slotField16(fr, SLOT_RS1);
    f.call(fr.calls.csr);
    f.if();
    this.illegal();
    f.end();
  }

  /** Leaves the handler when an MMU function has set `trap`. */
  #checkTrap(): void {
    this.f.globalGet(this.#fr.calls.trap);
    this.f.brIf(this.#fr.trap);
  }

  #effectiveAddress(): void {
    const fr = this.#fr;
    this.x(1);
    this.imm();
    this.f.op(Op.i64Add);
    this.f.set(fr.ea);
    emitTlbEntry(this.f, fr.ea);
    this.f.set(fr.entry);
  }

  /** Pushes the memory offset that a TLB hit gives. */
  #hitOffset(base: number): void {
    const fr = this.#fr;
    this.f.get(fr.ea);
    this.f.op(Op.i32WrapI64);
    this.f.get(fr.entry);
    this.f.mem(Op.i32Load, base + 8);
    this.f.op(Op.i32Add);
  }

  load(opcode: number, size: Size): void {
    const fr = this.#fr;
    const { f } = this;
    this.#effectiveAddress();
    emitTlbHit(f, fr.entry, fr.ea, TLB_READ_BASE, size);
    f.hint(true);
    f.if(opcode === Op.f64Load ? F64 : I64);
    this.#hitOffset(TLB_READ_BASE);
    f.mem(opcode);
    f.else();
    f.get(fr.ea);
    f.i32Const(size);
    f.call(fr.calls.loadSlow);
    this.#checkTrap();
    const extend = SIGN_EXTEND[opcode];
    if (extend !== undefined) f.op(extend);
    if (opcode === Op.f64Load) f.op(Op.f64ReinterpretI64);
    f.end();
  }

  store(opcode: number, size: Size, value: Push): void {
    const fr = this.#fr;
    const { f } = this;
    this.#effectiveAddress();
    emitTlbHit(f, fr.entry, fr.ea, TLB_WRITE_BASE, size);
    f.hint(true);
    f.if();
    this.#hitOffset(TLB_WRITE_BASE);
    value();
    f.mem(opcode);
    f.else();
    f.get(fr.ea);
    f.i32Const(size);
    value();
    if (opcode === Op.f64Store) f.op(Op.i64ReinterpretF64);
    f.call(fr.calls.storeSlow);
    this.#checkTrap();
    this.#checkStale();
    f.end();
  }

  /** The store is done; if it dropped code, ip may point into it. */
  #checkStale(): void {
    const { f } = this;
    f.globalGet(this.#fr.calls.stale);
    f.if();
    advance(this.#fr, this.#handler.length);
    f.br(this.#fr.stale);
    f.end();
  }

  atomicOffset(size: 4 | 8, write: boolean): void {
    const { f } = this;
    this.x(1);
    f.i32Const(size);
    f.i32Const(write ? TLB_WRITE : TLB_READ);
    f.call(this.#fr.calls.atomicOffset);
    this.#checkTrap();
    if (write) this.#mayStale = true;
  }

  call(helper: Helper): void {
    this.f.call(this.#fr.calls.helpers[helper]);
  }

  /** The way to the next instruction. */
  finish(): void {
    if (this.ended) return;
    if (this.#mayStale) this.#checkStale();
    advance(this.#fr, this.#handler.length);
    if (this.#handler.next === null) this.f.br(this.#fr.loop);
  }
}
