/**
 * The compiler's emitter: operands are constants, registers are locals. Memory holds the registers
 * only while no region runs.
 */

import { HART_FRM, HART_TVAL, HART_X } from '../../arch/riscv/hart_state.ts';
import { PAGE_SIZE, TLB_READ_BASE, TLB_WRITE_BASE } from '../../arch/riscv/memlayout.ts';
import { TLB_READ, TLB_WRITE } from '../../arch/riscv/tlb.ts';
import { newInsn } from '../decode.ts';
import type { Emitter, Helper, Push, Size, Source } from '../emitter.ts';
import { SOFT_FLOAT_OPS } from '../handlers.ts';
import { INSN_TABLE } from '../insn_table.ts';
import { emitCompare, emitReached } from '../instrument.ts';
import { emitTlbEntry, emitTlbHit } from '../mmu.ts';
import { needsSoftFloat } from '../predecode.ts';
import { fOffset } from '../slots.ts';
import { F64, type FunctionBuilder, I32, I64, type Label, Op } from '../wasm_encoder.ts';
import { EXPORT_ATOMIC, EXPORT_SOFT_FLOAT } from './abi.ts';
import type { RegionCalls } from './imports.ts';
import type { Group } from './groups.ts';
import type { RegionInsn } from './region.ts';

const RM_DYN = 7;
const RM_RESERVED = 5;
/** First number of the temporaries that groups use; the semantics' own are below. */
const GROUP_TEMP = 100;

/** Locals of a region's function and what its instructions branch to. */
export interface RegionFrame {
  readonly f: FunctionBuilder;
  readonly calls: RegionCalls;
  /** Address of the first page (i64), and f of slots.ts (i32). */
  readonly base: number;
  readonly fuel: number;
  /** Local of each register, -1 for one that the region does not touch. */
  readonly x: Int32Array;
  readonly fp: Int32Array;
  readonly ea: number;
  readonly entry: number;
  readonly offset: number;
  /** Address of the instruction that leaves at `fault`, and its `left`. */
  readonly where: number;
  readonly whereLeft: number;
  /** Where to go on, with fuel; at `chain` and `chainNoStop` that is done. */
  readonly goOn: number;
  /** Whether NX is set and frm is "to nearest", since the region was entered. */
  readonly inexact: number;
  chain: Label;
  chainNoStop: Label;
  /** Leaves at the instruction in `where`; dirty registers are stored already. */
  fault: Label;
  /** Stores what is dirty before the current instruction, then goes to `fault`. */
  leave: Label;
}

/** Instructions of floating-point arithmetic and what lies between: see float_runs.ts. */
export interface FloatRun {
  readonly insns: readonly RegionInsn[];
  /** Those whose result, if not finite, makes a later one not finite that is tested. */
  readonly finiteLater: ReadonlySet<RegionInsn>;
}

/** How a block's last instruction goes on. */
export interface Ends {
  /** Goes to the branch's, jump's or call's target. */
  taken(): void;
  /** Goes to the address in a local. */
  indirect(target: number): void;
}

/** Pushes the address `rel`. */
export function pushAddress(fr: RegionFrame, rel: number): void {
  fr.f.get(fr.base);
  fr.f.i64Const(rel);
  fr.f.op(Op.i64Add);
}

/** By rounding mode. Ties away from zero (4) are for the soft-float unit. */
const ROUNDING: readonly (number | null)[] = [Op.f64Nearest, null, Op.f64Floor, Op.f64Ceil];

/** Whether an instruction is always the soft-float unit's. */
export function isSoftFloat(insn: RegionInsn): boolean {
  if (SOFT_FLOAT_OPS[insn.row]! < 0 || !needsSoftFloat(insn)) return false;
  const { regs } = INSN_TABLE[insn.row]!;
  return (regs !== 'xf' && regs !== 'fx') || (ROUNDING[insn.rm] ?? null) === null;
}

const NO_INSN: RegionInsn = { ...newInsn(), rel: 0, length: 4, left: 0 };

export class RegionEmitter implements Emitter {
  readonly f: FunctionBuilder;
  readonly #fr: RegionFrame;
  readonly #ends: Ends;
  readonly #temps = new Map<string, number>();
  /** Accesses that share a look into the TLB; set for each block. */
  groups: ReadonlyMap<RegionInsn, Group> = new Map();
  readonly compact = true;
  #insn: RegionInsn = NO_INSN;
  /** The run whose instructions are being emitted for the usual case, that fr.inexact is set. */
  run: FloatRun | null = null;

  constructor(fr: RegionFrame, ends: Ends) {
    this.f = fr.f;
    this.#fr = fr;
    this.#ends = ends;
  }

  /** Emits one instruction. */
  emit(insn: RegionInsn, semantics: (e: Emitter) => void): void {
    this.#insn = insn;
    if (isSoftFloat(insn)) this.softFloat();
    else semantics(this);
  }

  get inexactKnown(): boolean {
    return this.run !== null;
  }

  get finiteLater(): boolean {
    return this.run?.finiteLater.has(this.#insn) ?? false;
  }

  get rounding(): number | null {
    return ROUNDING[this.#insn.rm] ?? null;
  }

  get sameSources(): boolean {
    return this.#insn.rs1 === this.#insn.rs2;
  }

  /** The soft-float unit works on the registers in memory. */
  softFloat(): void {
    const { f } = this;
    const operation = SOFT_FLOAT_OPS[this.#insn.row]!;
    const { regs } = INSN_TABLE[this.#insn.row]!;
    const { rd, rs1, rs2, rs3, rm } = this.#insn;
    const { x, fp, calls, entry } = this.#fr;
    [rs1, rs2, rs3].forEach((n, i) => {
      const file = regs[i + 1];
      if (file === 'f') this.#toMemory(fOffset(n), fp[n]!, Op.f64Store);
      else if (file === 'x' && n !== 0) this.#toMemory(HART_X + n * 8, x[n]!, Op.i64Store);
    });
    if (rm === RM_DYN) {
      f.i32Const(0);
      f.mem(Op.i32Load, HART_FRM);
      f.tee(entry);
      f.i32Const(RM_RESERVED);
      f.op(Op.i32GeU);
      f.if();
      this.illegal();
      f.end();
    }
    for (const n of [operation, rd, rs1, rs2, rs3]) f.i32Const(n);
    if (rm === RM_DYN) f.get(entry);
    else f.i32Const(rm);
    f.call(calls.use(EXPORT_SOFT_FLOAT));
    if (regs[0] === 'f') {
      f.i32Const(0);
      f.mem(Op.f64Load, fOffset(rd));
      f.set(fp[rd]!);
    } else if (rd !== 0) {
      f.i32Const(0);
      f.mem(Op.i64Load, HART_X + rd * 8);
      f.set(x[rd]!);
    }
  }

  #toMemory(offset: number, local: number, store: number): void {
    this.f.i32Const(0);
    this.f.get(local);
    this.f.mem(store, offset);
  }

  temp(type: number, n: number): number {
    const key = `${type}:${n}`;
    const known = this.#temps.get(key);
    if (known !== undefined) return known;
    const local = this.f.local(type);
    this.#temps.set(key, local);
    return local;
  }

  #number(source: Source): number {
    if (source === 1) return this.#insn.rs1;
    return source === 2 ? this.#insn.rs2 : this.#insn.rs3;
  }

  x(source: Source): void {
    const n = this.#number(source);
    if (n === 0) this.f.i64Const(0);
    else this.f.get(this.#fr.x[n]!);
  }

  x32(source: Source): void {
    if (this.#number(source) === 0) this.f.i32Const(0);
    else {
      this.x(source);
      this.f.op(Op.i32WrapI64);
    }
  }

  setX(value: Push): void {
    value();
    if (this.#insn.rd === 0) this.f.op(Op.drop);
    else this.f.set(this.#fr.x[this.#insn.rd]!);
  }

  imm(): void {
    this.f.i64Const(this.#insn.imm);
  }

  imm32(): void {
    this.f.i32Const(this.#insn.imm);
  }

  f64(source: Source): void {
    this.f.get(this.#fr.fp[this.#number(source)]!);
  }

  f64Bits(source: Source): void {
    this.f64(source);
    this.f.op(Op.i64ReinterpretF64);
  }

  f32(source: Source): void {
    this.f64Bits(source);
    this.f.op(Op.i32WrapI64);
    this.f.op(Op.f32ReinterpretI32);
  }

  boxed(source: Source): void {
    this.f64Bits(source);
    this.f.i64Const(32);
    this.f.op(Op.i64ShrS);
    this.f.i64Const(-1);
    this.f.op(Op.i64Eq);
  }

  setFBits(value: Push): void {
    this.setF64(() => {
      value();
      this.f.op(Op.f64ReinterpretI64);
    });
  }

  setF64(value: Push): void {
    value();
    this.f.set(this.#fr.fp[this.#insn.rd]!);
  }

  setF32(value: Push): void {
    this.setFBits(() => {
      value();
      this.f.op(Op.i32ReinterpretF32);
      this.f.op(Op.i64ExtendI32U);
      this.f.i64Const(-0x1_0000_0000);
      this.f.op(Op.i64Or);
    });
  }

  /** The interpreter finds out that it is one for the soft-float unit. */
  softFloatIf(condition: Push): void {
    const { f } = this;
    condition();
    f.hint(false);
    if (this.run !== null) {
      f.brIf(this.#fr.leave);
      return;
    }
    f.if();
    this.#leave();
    f.end();
  }

  pc(): void {
    pushAddress(this.#fr, this.#insn.rel);
  }

  nextPc(): void {
    pushAddress(this.#fr, this.#insn.rel + this.#insn.length);
  }

  branch(condition: Push): void {
    const { instrument } = this.#fr.calls;
    // Where the branch goes may be emitted within it.
    const { row, rel, length } = this.#insn;
    if (instrument !== null) emitCompare(this, instrument, row);
    condition();
    this.f.if();
    this.jump();
    this.f.end();
    if (instrument !== null)
      emitReached(this, instrument, () => pushAddress(this.#fr, rel + length));
  }

  jump(): void {
    const { instrument } = this.#fr.calls;
    const { rel, imm } = this.#insn;
    if (instrument !== null) emitReached(this, instrument, () => pushAddress(this.#fr, rel + imm));
    this.#ends.taken();
  }

  jumpTo(target: number): void {
    const { instrument } = this.#fr.calls;
    if (instrument !== null) emitReached(this, instrument, () => this.f.get(target));
    this.#ends.indirect(target);
  }

  /** Leaves at this instruction, or at the start of the run. */
  #leave(): void {
    if (this.run !== null) {
      this.f.br(this.#fr.leave);
      return;
    }
    const { rel, left } = this.#insn;
    this.f.i32Const(rel);
    this.f.set(this.#fr.where);
    this.f.i32Const(left);
    this.f.set(this.#fr.whereLeft);
    this.f.br(this.#fr.leave);
  }

  trap(cause: number, tval: Push): void {
    const { f } = this;
    f.i32Const(0);
    tval();
    f.mem(Op.i64Store, HART_TVAL);
    f.i32Const(cause);
    f.globalSet(this.#fr.calls.trap);
    this.#leave();
  }

  /** The interpreter finds out that it is illegal. */
  illegal(): void {
    this.#leave();
  }

  csr(): void {
    this.#leave();
  }

  #effectiveAddress(imm: number): void {
    const { f } = this;
    const { ea, entry } = this.#fr;
    this.x(1);
    if (imm !== 0) {
      f.i64Const(imm);
      f.op(Op.i64Add);
    }
    f.set(ea);
    emitTlbEntry(f, ea);
    f.set(entry);
  }

  /** Leaves if the offset on the stack is 0; else pushes it. */
  #checkOffset(): void {
    const { f } = this;
    f.tee(this.#fr.offset);
    f.op(Op.i32Eqz);
    f.hint(false);
    f.if();
    this.#leave();
    f.end();
    f.get(this.#fr.offset);
  }

  /**
   * Pushes the memory offset of [rs1 + imm, + span), which are on one page. Leaves if they are not,
   * or the TLB does not have that page: the interpreter finds out why not. A call from here that
   * came back would cost more, as all registers would live across it.
   */
  #look(imm: number, span: number, write: boolean): void {
    const { f } = this;
    const { ea, entry } = this.#fr;
    const base = write ? TLB_WRITE_BASE : TLB_READ_BASE;
    this.#effectiveAddress(imm);
    f.get(entry);
    f.mem(Op.i64Load, base);
    f.get(ea);
    if (span > 1) {
      // The last byte's page: a hit only if it is that of the first, whose entry it is.
      f.i64Const(span - 1);
      f.op(Op.i64Add);
    }
    f.i64Const(-PAGE_SIZE);
    f.op(Op.i64And);
    f.op(Op.i64Ne);
    f.hint(false);
    f.if();
    this.#leave();
    f.end();
    f.get(ea);
    f.op(Op.i32WrapI64);
    f.get(entry);
    f.mem(Op.i32Load, base + 8);
    f.op(Op.i32Add);
  }

  /** Pushes the memory offset of the operand, less what this returns. */
  #operand(size: Size, write: boolean): number {
    const insn = this.#insn;
    const group = this.groups.get(insn);
    if (group === undefined) {
      this.#look(insn.imm, size, write);
      return 0;
    }
    const local = this.temp(I32, GROUP_TEMP + group.local);
    if (group.first === insn) {
      this.#look(group.min, group.span, group.write);
      this.f.tee(local);
    } else this.f.get(local);
    return insn.imm - group.min;
  }

  load(opcode: number, size: Size): void {
    this.f.mem(opcode, this.#operand(size, false));
  }

  store(opcode: number, size: Size, value: Push): void {
    const offset = this.#operand(size, true);
    value();
    this.f.mem(opcode, offset);
  }

  atomicOffset(size: 4 | 8, write: boolean): void {
    const { f } = this;
    const { ea, entry, calls } = this.#fr;
    const base = write ? TLB_WRITE_BASE : TLB_READ_BASE;
    this.#effectiveAddress(0);
    emitTlbHit(f, entry, ea, base, size);
    f.if(I32);
    f.get(ea);
    f.op(Op.i32WrapI64);
    f.get(entry);
    f.mem(Op.i32Load, base + 8);
    f.op(Op.i32Add);
    f.else();
    // Leaves when the store dropped code, too: it then runs once more.
    f.i32Const(0);
    f.get(ea);
    f.i32Const(size);
    f.i32Const(write ? TLB_WRITE : TLB_READ);
    f.call(calls.use(EXPORT_ATOMIC));
    f.globalGet(calls.stale);
    f.op(Op.select);
    this.#checkOffset();
    f.end();
  }

  call(helper: Helper): void {
    this.f.call(this.#fr.calls.use(helper));
  }
}

/** Gives each register that the instructions touch a local. */
export function allocateLocals(
  f: FunctionBuilder,
  insns: Iterable<RegionInsn>,
  x: Int32Array,
  fp: Int32Array,
): void {
  const touch = (file: string | undefined, n: number): void => {
    if (file === 'x' && n !== 0 && x[n] === -1) x[n] = f.local(I64);
    if (file === 'f' && fp[n] === -1) fp[n] = f.local(F64);
  };
  for (const insn of insns) {
    const { regs } = INSN_TABLE[insn.row]!;
    touch(regs[0], insn.rd);
    touch(regs[1], insn.rs1);
    touch(regs[2], insn.rs2);
    touch(regs[3], insn.rs3);
  }
}
