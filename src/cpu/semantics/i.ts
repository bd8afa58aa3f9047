/** RV64I and Zifencei (Unprivileged chapters 2, 3, 5). */

import { CAUSE_BREAKPOINT, CAUSE_ECALL_U } from '../../arch/riscv/cause.ts';
import type { Emitter, Semantics, Size } from '../emitter.ts';
import { I64, Op } from '../wasm_encoder.ts';

/** rd = rs1 op rs2, or rs1 op imm. */
function binary(opcode: number, immediate = false): Semantics {
  return (e) =>
    e.setX(() => {
      e.x(1);
      if (immediate) e.imm();
      else e.x(2);
      e.f.op(opcode);
    });
}

/** The 32-bit form: operates on the low words and sign-extends. */
function binary32(opcode: number, immediate = false): Semantics {
  return (e) =>
    e.setX(() => {
      e.x32(1);
      if (immediate) e.imm32();
      else e.x32(2);
      e.f.op(opcode);
      e.f.op(Op.i64ExtendI32S);
    });
}

/** rd = rs1 op rs2 as 0 or 1. */
function compare(opcode: number, immediate = false): Semantics {
  return (e) =>
    e.setX(() => {
      e.x(1);
      if (immediate) e.imm();
      else e.x(2);
      e.f.op(opcode);
      e.f.op(Op.i64ExtendI32U);
    });
}

function branch(opcode: number): Semantics {
  return (e) =>
    e.branch(() => {
      e.x(1);
      e.x(2);
      e.f.op(opcode);
    });
}

function load(opcode: number, size: Size): Semantics {
  return (e) => e.setX(() => e.load(opcode, size));
}

function store(opcode: number, size: Size): Semantics {
  return (e) => e.store(opcode, size, () => e.x(2));
}

function lui(e: Emitter): void {
  e.setX(() => e.imm());
}

function auipc(e: Emitter): void {
  e.setX(() => {
    e.pc();
    e.imm();
    e.f.op(Op.i64Add);
  });
}

function jal(e: Emitter): void {
  e.setX(() => e.nextPc());
  e.jump();
}

function jalr(e: Emitter): void {
  const target = e.temp(I64, 0);
  e.x(1);
  e.imm();
  e.f.op(Op.i64Add);
  e.f.i64Const(-2);
  e.f.op(Op.i64And);
  e.f.set(target);
  e.setX(() => e.nextPc());
  e.jumpTo(target);
}

/** Memory is coherent with itself and with the predecoded code, on one hart: nothing to order. */
function fence(): void {}

export const I_SEMANTICS: Readonly<Record<string, Semantics>> = {
  lui,
  auipc,
  jal,
  jalr,
  beq: branch(Op.i64Eq),
  bne: branch(Op.i64Ne),
  blt: branch(Op.i64LtS),
  bge: branch(Op.i64GeS),
  bltu: branch(Op.i64LtU),
  bgeu: branch(Op.i64GeU),
  lb: load(Op.i64Load8S, 1),
  lh: load(Op.i64Load16S, 2),
  lw: load(Op.i64Load32S, 4),
  ld: load(Op.i64Load, 8),
  lbu: load(Op.i64Load8U, 1),
  lhu: load(Op.i64Load16U, 2),
  lwu: load(Op.i64Load32U, 4),
  sb: store(Op.i64Store8, 1),
  sh: store(Op.i64Store16, 2),
  sw: store(Op.i64Store32, 4),
  sd: store(Op.i64Store, 8),
  addi: binary(Op.i64Add, true),
  slti: compare(Op.i64LtS, true),
  sltiu: compare(Op.i64LtU, true),
  xori: binary(Op.i64Xor, true),
  ori: binary(Op.i64Or, true),
  andi: binary(Op.i64And, true),
  slli: binary(Op.i64Shl, true),
  srli: binary(Op.i64ShrU, true),
  srai: binary(Op.i64ShrS, true),
  add: binary(Op.i64Add),
  sub: binary(Op.i64Sub),
  sll: binary(Op.i64Shl),
  slt: compare(Op.i64LtS),
  sltu: compare(Op.i64LtU),
  xor: binary(Op.i64Xor),
  srl: binary(Op.i64ShrU),
  sra: binary(Op.i64ShrS),
  or: binary(Op.i64Or),
  and: binary(Op.i64And),
  addiw: binary32(Op.i32Add, true),
  slliw: binary32(Op.i32Shl, true),
  srliw: binary32(Op.i32ShrU, true),
  sraiw: binary32(Op.i32ShrS, true),
  addw: binary32(Op.i32Add),
  subw: binary32(Op.i32Sub),
  sllw: binary32(Op.i32Shl),
  srlw: binary32(Op.i32ShrU),
  sraw: binary32(Op.i32ShrS),
  fence,
  'fence.i': fence,
  ecall: (e) => e.trap(CAUSE_ECALL_U, () => e.f.i64Const(0)),
  ebreak: (e) => e.trap(CAUSE_BREAKPOINT, () => e.pc()),
};
