/** Random instructions of I, M, A, Zicsr and Zifencei. Each function adds one idea to the program. */

import * as asm from './assembler.ts';
import { type Context, xName } from './context.ts';

type Row = readonly [name: string, op: number, f3: number, f7: number];

const OPS: readonly Row[] = [
  ['add', asm.OP_OP, 0, 0],
  ['sub', asm.OP_OP, 0, 0x20],
  ['sll', asm.OP_OP, 1, 0],
  ['slt', asm.OP_OP, 2, 0],
  ['sltu', asm.OP_OP, 3, 0],
  ['xor', asm.OP_OP, 4, 0],
  ['srl', asm.OP_OP, 5, 0],
  ['sra', asm.OP_OP, 5, 0x20],
  ['or', asm.OP_OP, 6, 0],
  ['and', asm.OP_OP, 7, 0],
  ['addw', asm.OP_OP_32, 0, 0],
  ['subw', asm.OP_OP_32, 0, 0x20],
  ['sllw', asm.OP_OP_32, 1, 0],
  ['srlw', asm.OP_OP_32, 5, 0],
  ['sraw', asm.OP_OP_32, 5, 0x20],
];

const MULTIPLY: readonly Row[] = [
  ['mul', asm.OP_OP, 0, 1],
  ['mulh', asm.OP_OP, 1, 1],
  ['mulhsu', asm.OP_OP, 2, 1],
  ['mulhu', asm.OP_OP, 3, 1],
  ['div', asm.OP_OP, 4, 1],
  ['divu', asm.OP_OP, 5, 1],
  ['rem', asm.OP_OP, 6, 1],
  ['remu', asm.OP_OP, 7, 1],
  ['mulw', asm.OP_OP_32, 0, 1],
  ['divw', asm.OP_OP_32, 4, 1],
  ['divuw', asm.OP_OP_32, 5, 1],
  ['remw', asm.OP_OP_32, 6, 1],
  ['remuw', asm.OP_OP_32, 7, 1],
];

/** Name, opcode, funct3, and for shifts the funct7 part and the largest amount. */
const IMMEDIATES: readonly (readonly [string, number, number, number, number])[] = [
  ['addi', asm.OP_IMM, 0, 0, 0],
  ['slti', asm.OP_IMM, 2, 0, 0],
  ['sltiu', asm.OP_IMM, 3, 0, 0],
  ['xori', asm.OP_IMM, 4, 0, 0],
  ['ori', asm.OP_IMM, 6, 0, 0],
  ['andi', asm.OP_IMM, 7, 0, 0],
  ['addiw', asm.OP_IMM_32, 0, 0, 0],
  ['slli', asm.OP_IMM, 1, 0, 63],
  ['srli', asm.OP_IMM, 5, 0, 63],
  ['srai', asm.OP_IMM, 5, 0x400, 63],
  ['slliw', asm.OP_IMM_32, 1, 0, 31],
  ['srliw', asm.OP_IMM_32, 5, 0, 31],
  ['sraiw', asm.OP_IMM_32, 5, 0x400, 31],
];

const LOADS: readonly (readonly [string, number, number])[] = [
  ['lb', 0, 1],
  ['lh', 1, 2],
  ['lw', 2, 4],
  ['ld', 3, 8],
  ['lbu', 4, 1],
  ['lhu', 5, 2],
  ['lwu', 6, 4],
];

const STORES: readonly (readonly [string, number, number])[] = [
  ['sb', 0, 1],
  ['sh', 1, 2],
  ['sw', 2, 4],
  ['sd', 3, 8],
];

const BRANCHES: readonly (readonly [string, number])[] = [
  ['beq', 0],
  ['bne', 1],
  ['blt', 4],
  ['bge', 5],
  ['bltu', 6],
  ['bgeu', 7],
];

const CORNER_IMMEDIATES = [0, 1, -1, 2047, -2048, 1024, -1024, 255, 31, 63];

function immediate(c: Context): number {
  return c.r.oneIn(3) ? c.r.pick(CORNER_IMMEDIATES) : c.r.below(4096) - 2048;
}

function threeRegisters(c: Context, row: Row, rd: number): void {
  const [name, op, f3, f7] = row;
  const rs1 = c.rs();
  // The same register twice in a while: x - x, x / x.
  const rs2 = c.r.oneIn(8) ? rs1 : c.rs();
  const text = `${name} ${xName(rd)}, ${xName(rs1)}, ${xName(rs2)}`;
  c.emit(asm.insn(asm.r(op, f3, f7, rd, rs1, rs2), text));
}

function registerImmediate(c: Context): void {
  const [name, op, f3, f7, max] = c.r.pick(IMMEDIATES);
  const rd = c.rd();
  const rs1 = c.rs();
  const imm = max === 0 ? immediate(c) : c.r.below(max + 1);
  const text = `${name} ${xName(rd)}, ${xName(rs1)}, ${imm}`;
  c.emit(asm.insn(asm.i(op, f3, rd, rs1, imm | f7), text));
}

function upper(c: Context): void {
  const [name, op] = c.r.oneIn(2)
    ? (['lui', asm.OP_LUI] as const)
    : (['auipc', asm.OP_AUIPC] as const);
  const rd = c.rd();
  const imm = c.r.oneIn(4) ? c.r.pick([0, 1, 0x7ffff, 0x80000, 0xfffff]) : c.r.below(0x100000);
  c.emit(asm.insn(asm.u(op, rd, imm), `${name} ${xName(rd)}, ${imm}`));
}

export function load(c: Context): void {
  const [name, f3, size] = c.r.pick(LOADS);
  const rd = c.rd();
  const { base, offset } = c.place(size);
  const text = `${name} ${xName(rd)}, ${offset}(${xName(base)})`;
  c.emit(asm.insn(asm.i(asm.OP_LOAD, f3, rd, base, offset), text));
}

export function store(c: Context): void {
  const [name, f3, size] = c.r.pick(STORES);
  const rs2 = c.rs();
  const { base, offset } = c.place(size);
  const text = `${name} ${xName(rs2)}, ${offset}(${xName(base)})`;
  c.emit(asm.insn(asm.s(asm.OP_STORE, f3, base, rs2, offset), text));
}

function conditional(c: Context): void {
  const [name, f3] = c.r.pick(BRANCHES);
  const rs1 = c.rs();
  const rs2 = c.r.oneIn(8) ? rs1 : c.rs();
  c.emit({
    size: 4,
    text: `${name} ${xName(rs1)}, ${xName(rs2)}, .`,
    word: asm.branch(f3, rs1, rs2, 0),
    patch: (offset) => asm.branch(f3, rs1, rs2, offset),
    skip: 1 + c.r.below(4),
  });
}

function jumpAndLink(c: Context): void {
  const rd = c.rd();
  c.emit({
    size: 4,
    text: `jal ${xName(rd)}, .`,
    word: asm.jal(rd, 0),
    patch: (offset) => asm.jal(rd, offset),
    skip: 1 + c.r.below(3),
  });
}

/** AUIPC and JALR over 0 to 2 instructions of 4 bytes, bit 0 of the target set now and then. */
function jumpRegister(c: Context): void {
  const t = c.freshX();
  const rd = c.r.oneIn(3) ? t : c.rd();
  const over = c.r.below(3);
  const offset = 8 + over * 4 + (c.r.oneIn(4) ? 1 : 0);
  c.emit(asm.insn(asm.u(asm.OP_AUIPC, t, 0), `auipc ${xName(t)}, 0`));
  const text = `jalr ${xName(rd)}, ${offset}(${xName(t)})`;
  c.emit(asm.insn(asm.i(asm.OP_JALR, 0, rd, t, offset), text));
  for (let n = 0; n < over; n++) c.emit(asm.insn(asm.addi(0, 0, 0), 'nop'));
}

/** A hop back: over a block that is entered from below, as loops are. */
function jumpBack(c: Context): void {
  const rd = c.rd();
  c.emit(asm.insn(asm.jal(0, 12), 'j .+12'));
  registerImmediate(c);
  c.emit(asm.insn(asm.jal(0, 8), 'j .+8'), asm.insn(asm.jal(rd, -8), `jal ${xName(rd)}, .-8`));
}

function fence(c: Context): void {
  const imm = c.r.oneIn(4) ? 0x833 : c.r.below(256);
  c.emit(asm.insn(asm.i(asm.OP_MISC_MEM, 0, 0, 0, imm), `fence ${imm}`));
}

export function integer(c: Context): void {
  const n = c.r.below(100);
  if (n < 35) threeRegisters(c, c.r.pick(OPS), c.rd());
  else if (n < 60) registerImmediate(c);
  else if (n < 66) upper(c);
  else if (n < 78) load(c);
  else if (n < 88) store(c);
  else if (n < 94) conditional(c);
  else if (n < 96) jumpAndLink(c);
  else if (n < 97) jumpRegister(c);
  else if (n < 98) jumpBack(c);
  else fence(c);
}

export function multiply(c: Context): void {
  threeRegisters(c, c.r.pick(MULTIPLY), c.freshX());
}

const AMOS: readonly (readonly [string, number])[] = [
  ['amoadd', 0x00],
  ['amoswap', 0x01],
  ['amoxor', 0x04],
  ['amoor', 0x08],
  ['amoand', 0x0c],
  ['amomin', 0x10],
  ['amomax', 0x14],
  ['amominu', 0x18],
  ['amomaxu', 0x1c],
];

/** Puts an aligned address of the window into a register. */
function alignedAddress(c: Context, size: number): number {
  const t = c.freshX();
  const { base, offset } = c.place(size, true);
  const text = `addi ${xName(t)}, ${xName(base)}, ${offset}`;
  c.emit(asm.insn(asm.addi(t, base, offset), text));
  return t;
}

export function atomic(c: Context): void {
  const f3 = c.r.oneIn(2) ? 2 : 3;
  const suffix = f3 === 2 ? 'w' : 'd';
  const t = alignedAddress(c, f3 === 2 ? 4 : 8);
  if (c.r.oneIn(4)) {
    reserve(c, f3, suffix, t);
    return;
  }
  for (let n = 1 + c.r.below(4); n > 0; n--) {
    const [name, f5] = c.r.pick(AMOS);
    const order = c.r.below(4);
    const rd = n === 1 ? c.rd() : differentFrom(c, t);
    const rs2 = c.rs();
    const text = `${name}.${suffix} ${xName(rd)}, ${xName(rs2)}, (${xName(t)})`;
    c.emit(asm.insn(asm.r(asm.OP_AMO, f3, (f5 << 2) | order, rd, t, rs2), text));
  }
}

function differentFrom(c: Context, t: number): number {
  for (;;) {
    const rd = c.freshX();
    if (rd !== t) return rd;
  }
}

/** LR, perhaps something that is not a memory access, SC to there or elsewhere, perhaps another SC. */
function reserve(c: Context, f3: number, suffix: string, t: number): void {
  const old = differentFrom(c, t);
  const amo = (f5: number, rd: number, rs1: number, rs2: number): number =>
    asm.r(asm.OP_AMO, f3, (f5 << 2) | c.r.below(4), rd, rs1, rs2);
  const to = c.r.oneIn(5) ? alignedAddress(c, f3 === 2 ? 4 : 8) : t;
  c.emit(asm.insn(amo(2, old, t, 0), `lr.${suffix} ${xName(old)}, (${xName(t)})`));
  if (c.r.oneIn(2)) threeRegisters(c, c.r.pick(OPS), differentFrom2(c, t, to));
  for (let n = c.r.oneIn(4) ? 2 : 1; n > 0; n--) {
    const rd = differentFrom2(c, t, to);
    const rs2 = c.r.oneIn(2) ? old : c.rs();
    const text = `sc.${suffix} ${xName(rd)}, ${xName(rs2)}, (${xName(to)})`;
    c.emit(asm.insn(amo(3, rd, to, rs2), text));
  }
}

function differentFrom2(c: Context, t: number, u: number): number {
  for (;;) {
    const rd = c.freshX();
    if (rd !== t && rd !== u) return rd;
  }
}

const CSRS: readonly (readonly [string, number])[] = [
  ['fflags', 1],
  ['frm', 2],
  ['fcsr', 3],
];

const CSR_OPS: readonly (readonly [string, number])[] = [
  ['csrrw', 1],
  ['csrrs', 2],
  ['csrrc', 3],
  ['csrrwi', 5],
  ['csrrsi', 6],
  ['csrrci', 7],
];

/** Reads and changes the floating-point CSRs; counters are read into x0 or at once forgotten. */
export function csr(c: Context): void {
  if (c.r.oneIn(20)) {
    const [name, number] = c.r.pick([
      ['rdcycle', 0xc00],
      ['rdtime', 0xc01],
      ['rdinstret', 0xc02],
    ] as const);
    const rd = c.freshX();
    c.emit(asm.insn(asm.i(asm.OP_SYSTEM, 2, rd, 0, number), `${name} ${xName(rd)}`));
    c.emit(asm.insn(asm.addi(rd, 0, 0), `li ${xName(rd)}, 0`));
    return;
  }
  const [name, f3] = c.r.pick(CSR_OPS);
  const [csrName, number] = c.r.pick(CSRS);
  const rd = c.r.oneIn(6) ? 0 : c.freshX();
  const rs1 = c.r.oneIn(4) ? 0 : c.rs();
  const source = f3 >= 4 ? `${rs1}` : xName(rs1);
  const text = `${name} ${xName(rd)}, ${csrName}, ${source}`;
  c.emit(asm.insn(asm.i(asm.OP_SYSTEM, f3, rd, rs1, number), text));
}

/** Writes a new instruction over one further on, then FENCE.I, then runs into it. */
export function modifyCode(c: Context): void {
  const from = c.insns.length;
  threeRegisters(c, c.r.pick(OPS), c.freshX());
  const fresh = c.insns.pop()!;
  threeRegisters(c, c.r.pick(OPS), c.freshX());
  const old = c.insns.pop()!;
  if (c.insns.length !== from) throw new Error('modifyCode: more than one instruction');
  const t = c.freshX();
  const a = differentFrom(c, t);
  const { high, low } = asm.split(fresh.word);
  c.emit(asm.insn(asm.u(asm.OP_LUI, t, high), `lui ${xName(t)}, ${high & 0xfffff}`));
  c.emit(asm.insn(asm.i(asm.OP_IMM_32, 0, t, t, low), `addiw ${xName(t)}, ${xName(t)}, ${low}`));
  c.emit(asm.insn(asm.u(asm.OP_AUIPC, a, 0), `auipc ${xName(a)}, 0`));
  c.emit(asm.insn(asm.s(asm.OP_STORE, 2, a, t, 12), `sw ${xName(t)}, 12(${xName(a)})`));
  c.emit(asm.insn(asm.i(asm.OP_MISC_MEM, 1, 0, 0, 0), 'fence.i'));
  c.emit({ ...old, text: `${old.text} # becomes ${fresh.text}` });
}

/** FENCE.I alone, as most of them are. */
export function fenceI(c: Context): void {
  c.emit(asm.insn(asm.i(asm.OP_MISC_MEM, 1, 0, 0, 0), 'fence.i'));
}
