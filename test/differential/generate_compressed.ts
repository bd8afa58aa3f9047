/** Random instructions of RV64C, hints included. */

import * as asm from './assembler.ts';
import { type Context, fName, xName } from './context.ts';

const SP_POINTER = 0;
const SHORT_POINTER = 1;

function sixBits(c: Context): number {
  return c.r.below(64) - 32;
}

function nonzeroSixBits(c: Context): number {
  const imm = sixBits(c);
  return imm === 0 ? 1 : imm;
}

function name(short: number): string {
  return xName(8 + short);
}

/** C.LW, C.LD, C.FLD and the stores, through x8..x15. */
function shortMemory(c: Context): void {
  const kind = c.r.below(6);
  const size = kind === 1 || kind === 4 ? 4 : 8;
  const offset = c.scaledOffset(SHORT_POINTER, size, size === 4 ? 124 : 248);
  if (offset < 0 || c.writableShort.length === 0) return;
  const base = c.pointers[SHORT_POINTER]! - 8;
  const data = kind === 1 || kind === 2 ? c.r.pick(c.writableShort) : c.r.below(8);
  const f3 = [1, 2, 3, 5, 6, 7][kind]!;
  const mnemonic = ['c.fld', 'c.lw', 'c.ld', 'c.fsd', 'c.sw', 'c.sd'][kind]!;
  const register = kind === 0 || kind === 3 ? fName(8 + data) : name(data);
  const text = `${mnemonic} ${register}, ${offset}(${name(base)})`;
  c.emit(asm.short(asm.clcs(f3, base, data, offset, size), text));
}

/** C.LWSP, C.LDSP, C.FLDSP and the stores. */
function stackMemory(c: Context): void {
  const kind = c.r.below(6);
  const size = kind === 1 || kind === 4 ? 4 : 8;
  const offset = c.scaledOffset(SP_POINTER, size, size === 4 ? 252 : 504);
  if (offset < 0) return;
  const f3 = [1, 2, 3, 5, 6, 7][kind]!;
  const mnemonic = ['c.fldsp', 'c.lwsp', 'c.ldsp', 'c.fsdsp', 'c.swsp', 'c.sdsp'][kind]!;
  const data = kind === 1 || kind === 2 ? c.r.pick(c.writable) : c.rs();
  const register = kind === 0 || kind === 3 ? fName(data) : xName(data);
  const word = kind < 3 ? asm.ciLoad(f3, data, offset, size) : asm.css(f3, data, offset, size);
  c.emit(asm.short(word, `${mnemonic} ${register}, ${offset}(sp)`));
}

/** C.ADDI, C.ADDIW, C.LI, C.LUI, C.SLLI, C.NOP: rd and a 6-bit immediate. */
function immediate(c: Context): void {
  const rd = c.r.pick(c.writable);
  switch (c.r.below(7)) {
    case 0:
    case 1: {
      const imm = nonzeroSixBits(c);
      c.emit(asm.short(asm.ci(1, 0, rd, imm), `c.addi ${xName(rd)}, ${imm}`));
      return;
    }
    case 2: {
      const imm = sixBits(c);
      c.emit(asm.short(asm.ci(1, 1, rd, imm), `c.addiw ${xName(rd)}, ${imm}`));
      return;
    }
    case 3: {
      const imm = sixBits(c);
      c.emit(asm.short(asm.ci(1, 2, rd, imm), `c.li ${xName(rd)}, ${imm}`));
      return;
    }
    case 4: {
      const imm = nonzeroSixBits(c);
      c.emit(asm.short(asm.ci(1, 3, rd, imm), `c.lui ${xName(rd)}, ${imm}`));
      return;
    }
    case 5: {
      const shamt = 1 + c.r.below(63);
      c.emit(asm.short(asm.ci(2, 0, rd, shamt), `c.slli ${xName(rd)}, ${shamt}`));
      return;
    }
    default:
      hint(c);
  }
}

/** Encodings that are defined to do nothing. */
function hint(c: Context): void {
  const imm = sixBits(c);
  const rs2 = 1 + c.r.below(31);
  switch (c.r.below(5)) {
    case 0:
      c.emit(asm.short(asm.ci(1, 0, 0, imm), `c.nop ${imm}`));
      return;
    case 1:
      c.emit(asm.short(asm.ci(1, 2, 0, imm), `c.li zero, ${imm}`));
      return;
    case 2:
      c.emit(asm.short(asm.ci(1, 3, 0, imm === 0 ? 1 : imm), `c.lui zero, ${imm}`));
      return;
    case 3:
      c.emit(asm.short(asm.ci(2, 4, 0, rs2), `c.mv zero, ${xName(rs2)}`));
      return;
    default:
      c.emit(asm.short(asm.ci(1, 0, rs2, 0), `c.addi ${xName(rs2)}, 0`));
  }
}

/** C.SRLI, C.SRAI, C.ANDI and the register forms, on x8..x15. */
function shortArithmetic(c: Context): void {
  if (c.writableShort.length === 0) return;
  const rd = c.r.pick(c.writableShort);
  const kind = c.r.below(9);
  if (kind < 3) {
    const imm = kind === 2 ? sixBits(c) : 1 + c.r.below(63);
    const mnemonic = ['c.srli', 'c.srai', 'c.andi'][kind]!;
    const word = asm.ci(1, 4, rd | (kind << 3), imm);
    c.emit(asm.short(word, `${mnemonic} ${name(rd)}, ${imm}`));
    return;
  }
  const rs2 = c.r.below(8);
  const mnemonic = ['c.sub', 'c.xor', 'c.or', 'c.and', 'c.subw', 'c.addw'][kind - 3]!;
  const f2 = (kind - 3) & 3;
  const wide = kind < 7 ? 0 : 1;
  const word = 1 | (4 << 13) | (wide << 12) | (3 << 10) | (rd << 7) | (f2 << 5) | (rs2 << 2);
  c.emit(asm.short(word, `${mnemonic} ${name(rd)}, ${name(rs2)}`));
}

/** C.MV and C.ADD. */
function registers(c: Context): void {
  const rd = c.r.pick(c.writable);
  const rs2 = 1 + c.r.below(31);
  const add = c.r.below(2);
  const word = 2 | (4 << 13) | (add << 12) | (rd << 7) | (rs2 << 2);
  c.emit(asm.short(word, `${add ? 'c.add' : 'c.mv'} ${xName(rd)}, ${xName(rs2)}`));
}

/** C.ADDI4SPN, or C.ADDI16SP there and back. */
function stackPointer(c: Context): void {
  if (c.r.oneIn(2) && c.writableShort.length > 0) {
    const rd = c.r.pick(c.writableShort);
    const uimm = 4 + c.r.below(255) * 4;
    c.emit(asm.short(asm.ciw(rd, uimm), `c.addi4spn ${name(rd)}, sp, ${uimm}`));
    return;
  }
  const imm = 16 + c.r.below(31) * 16;
  const sign = c.r.oneIn(2) ? 1 : -1;
  c.emit(asm.short(asm.addi16sp(sign * imm), `c.addi16sp sp, ${sign * imm}`));
  registers(c);
  c.emit(asm.short(asm.addi16sp(-sign * imm), `c.addi16sp sp, ${-sign * imm}`));
}

function branchZero(c: Context): void {
  const f3 = 6 + c.r.below(2);
  const rs1 = c.r.below(8);
  c.emit({
    size: 2,
    text: `${f3 === 6 ? 'c.beqz' : 'c.bnez'} ${name(rs1)}, .`,
    word: asm.cb(f3, rs1, 0),
    patch: (offset) => asm.cb(f3, rs1, offset),
    skip: 1 + c.r.below(4),
  });
}

function jump(c: Context): void {
  c.emit({
    size: 2,
    text: 'c.j .',
    word: asm.cj(0),
    patch: (offset) => asm.cj(offset),
    skip: 1 + c.r.below(3),
  });
}

/** C.JR or C.JALR over 0 to 2 short instructions. */
function jumpRegister(c: Context): void {
  const t = c.freshX();
  const link = c.writable.includes(1) ? c.r.below(2) : 0;
  const over = c.r.below(3);
  const offset = 10 + over * 2;
  c.emit(asm.insn(asm.u(asm.OP_AUIPC, t, 0), `auipc ${xName(t)}, 0`));
  c.emit(asm.insn(asm.addi(t, t, offset), `addi ${xName(t)}, ${xName(t)}, ${offset}`));
  const word = 2 | (4 << 13) | (link << 12) | (t << 7);
  c.emit(asm.short(word, `${link ? 'c.jalr' : 'c.jr'} ${xName(t)}`));
  for (let n = 0; n < over; n++) c.emit(asm.short(asm.ci(1, 0, 0, 0), 'c.nop'));
}

export function compressed(c: Context): void {
  const n = c.r.below(100);
  if (n < 25) immediate(c);
  else if (n < 45) shortArithmetic(c);
  else if (n < 60) registers(c);
  else if (n < 72) shortMemory(c);
  else if (n < 84) stackMemory(c);
  else if (n < 90) stackPointer(c);
  else if (n < 95) branchZero(c);
  else if (n < 98) jump(c);
  else jumpRegister(c);
}
