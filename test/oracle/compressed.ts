/**
 * The C extension: each 16-bit instruction of RV64C as the 32-bit instruction that it
 * abbreviates (Unprivileged 26, "C"). Field names and bit lists follow the manual's tables.
 */

/** Takes bits of `word` by position and puts them at other positions: [from, to] pairs. */
function scatter(word: number, pairs: readonly (readonly [number, number])[]): number {
  let value = 0;
  for (const [from, to] of pairs) value |= ((word >> from) & 1) << to;
  return value;
}

function signed(value: number, bits: number): number {
  return (value << (32 - bits)) >> (32 - bits);
}

const LOAD = 0x03;
const LOAD_FP = 0x07;
const OP_IMM = 0x13;
const OP_IMM_32 = 0x1b;
const STORE = 0x23;
const STORE_FP = 0x27;
const OP = 0x33;
const LUI = 0x37;
const OP_32 = 0x3b;
const BRANCH = 0x63;
const JALR = 0x67;
const JAL = 0x6f;
const EBREAK = 0x0010_0073;

function iType(opcode: number, funct3: number, rd: number, rs1: number, imm: number): number {
  return (imm << 20) | (rs1 << 15) | (funct3 << 12) | (rd << 7) | opcode;
}

function sType(opcode: number, funct3: number, rs1: number, rs2: number, imm: number): number {
  const high = (imm >> 5) & 0x7f;
  const low = imm & 0x1f;
  return (high << 25) | (rs2 << 20) | (rs1 << 15) | (funct3 << 12) | (low << 7) | opcode;
}

function rType(
  opcode: number,
  funct3: number,
  funct7: number,
  rd: number,
  rs1: number,
  rs2: number,
): number {
  return (funct7 << 25) | (rs2 << 20) | (rs1 << 15) | (funct3 << 12) | (rd << 7) | opcode;
}

function bType(funct3: number, rs1: number, offset: number): number {
  const high = (((offset >> 12) & 1) << 6) | ((offset >> 5) & 0x3f);
  const low = (((offset >> 1) & 0xf) << 1) | ((offset >> 11) & 1);
  return (high << 25) | (rs1 << 15) | (funct3 << 12) | (low << 7) | BRANCH;
}

function jType(rd: number, offset: number): number {
  const imm =
    (((offset >> 20) & 1) << 19) |
    (((offset >> 1) & 0x3ff) << 9) |
    (((offset >> 11) & 1) << 8) |
    ((offset >> 12) & 0xff);
  return (imm << 12) | (rd << 7) | JAL;
}

/** CI immediates: imm[5] in bit 12, imm[4:0] in bits 6:2. */
function immCi(w: number): number {
  return signed(((w >> 7) & 0x20) | ((w >> 2) & 0x1f), 6);
}

/** Offsets of C.LW and C.SW: 5:3 in 12:10, 2|6 in 6:5. */
function offsetW(w: number): number {
  return ((w >> 7) & 0x38) | ((w >> 4) & 4) | ((w << 1) & 0x40);
}

/** Offsets of C.LD and C.SD: 5:3 in 12:10, 7:6 in 6:5. */
function offsetD(w: number): number {
  return ((w >> 7) & 0x38) | ((w << 1) & 0xc0);
}

/** Quadrant 0: stack address, loads and stores through x8..x15. */
function quadrant0(w: number): number | null {
  const rdShort = 8 + ((w >> 2) & 7);
  const rs1Short = 8 + ((w >> 7) & 7);
  switch ((w >> 13) & 7) {
    case 0: {
      const uimm = scatter(w, [
        [11, 4],
        [12, 5],
        [7, 6],
        [8, 7],
        [9, 8],
        [10, 9],
        [6, 2],
        [5, 3],
      ]);
      return uimm === 0 ? null : iType(OP_IMM, 0, rdShort, 2, uimm);
    }
    case 1:
      return iType(LOAD_FP, 3, rdShort, rs1Short, offsetD(w));
    case 2:
      return iType(LOAD, 2, rdShort, rs1Short, offsetW(w));
    case 3:
      return iType(LOAD, 3, rdShort, rs1Short, offsetD(w));
    case 5:
      return sType(STORE_FP, 3, rs1Short, rdShort, offsetD(w));
    case 6:
      return sType(STORE, 2, rs1Short, rdShort, offsetW(w));
    case 7:
      return sType(STORE, 3, rs1Short, rdShort, offsetD(w));
    default:
      return null;
  }
}

/** C.SRLI to C.ADDW: arithmetic on x8..x15. */
function shortArithmetic(w: number): number | null {
  const rd = 8 + ((w >> 7) & 7);
  const rs2 = 8 + ((w >> 2) & 7);
  const shamt = ((w >> 7) & 0x20) | ((w >> 2) & 0x1f);
  switch ((w >> 10) & 3) {
    case 0:
      return iType(OP_IMM, 5, rd, rd, shamt);
    case 1:
      return iType(OP_IMM, 5, rd, rd, 0x400 | shamt);
    case 2:
      return iType(OP_IMM, 7, rd, rd, immCi(w));
  }
  const wide = ((w >> 12) & 1) === 0;
  switch ((w >> 5) & 3) {
    case 0:
      return rType(wide ? OP : OP_32, 0, 0x20, rd, rd, rs2);
    case 1:
      return wide ? rType(OP, 4, 0, rd, rd, rs2) : rType(OP_32, 0, 0, rd, rd, rs2);
    case 2:
      return wide ? rType(OP, 6, 0, rd, rd, rs2) : null;
    default:
      return wide ? rType(OP, 7, 0, rd, rd, rs2) : null;
  }
}

/** C.LUI and, with rd = sp, C.ADDI16SP. */
function lui(w: number, rd: number): number | null {
  if (rd === 2) {
    const imm = scatter(w, [
      [12, 9],
      [6, 4],
      [5, 6],
      [4, 8],
      [3, 7],
      [2, 5],
    ]);
    return imm === 0 ? null : iType(OP_IMM, 0, 2, 2, signed(imm, 10));
  }
  const imm = immCi(w);
  return imm === 0 ? null : (imm << 12) | (rd << 7) | LUI;
}

function jumpOffset(w: number): number {
  const offset = scatter(w, [
    [12, 11],
    [11, 4],
    [10, 9],
    [9, 8],
    [8, 10],
    [7, 6],
    [6, 7],
    [5, 3],
    [4, 2],
    [3, 1],
    [2, 5],
  ]);
  return signed(offset, 12);
}

function branchOffset(w: number): number {
  const offset = scatter(w, [
    [12, 8],
    [11, 4],
    [10, 3],
    [6, 7],
    [5, 6],
    [4, 2],
    [3, 1],
    [2, 5],
  ]);
  return signed(offset, 9);
}

/** Quadrant 1: immediates, arithmetic, branches. */
function quadrant1(w: number): number | null {
  const rd = (w >> 7) & 0x1f;
  switch ((w >> 13) & 7) {
    case 0:
      return iType(OP_IMM, 0, rd, rd, immCi(w));
    case 1:
      return rd === 0 ? null : iType(OP_IMM_32, 0, rd, rd, immCi(w));
    case 2:
      return iType(OP_IMM, 0, rd, 0, immCi(w));
    case 3:
      return lui(w, rd);
    case 4:
      return shortArithmetic(w);
    case 5:
      return jType(0, jumpOffset(w));
    case 6:
      return bType(0, 8 + ((w >> 7) & 7), branchOffset(w));
    default:
      return bType(1, 8 + ((w >> 7) & 7), branchOffset(w));
  }
}

/** C.JR, C.MV, C.EBREAK, C.JALR, C.ADD. */
function jumpOrMove(w: number, rd: number, rs2: number): number | null {
  const link = (w >> 12) & 1;
  if (rs2 !== 0) return rType(OP, 0, 0, rd, link ? rd : 0, rs2);
  if (rd !== 0) return iType(JALR, 0, link, rd, 0);
  return link ? EBREAK : null;
}

/** Quadrant 2: shifts, stack-relative loads and stores, register moves and jumps. */
function quadrant2(w: number): number | null {
  const rd = (w >> 7) & 0x1f;
  const rs2 = (w >> 2) & 0x1f;
  const loadW = ((w >> 7) & 0x20) | ((w >> 2) & 0x1c) | ((w << 4) & 0xc0);
  const loadD = ((w >> 7) & 0x20) | ((w >> 2) & 0x18) | ((w << 4) & 0x1c0);
  const storeW = ((w >> 7) & 0x3c) | ((w >> 1) & 0xc0);
  const storeD = ((w >> 7) & 0x38) | ((w >> 1) & 0x1c0);
  switch ((w >> 13) & 7) {
    case 0:
      return iType(OP_IMM, 1, rd, rd, ((w >> 7) & 0x20) | rs2);
    case 1:
      return iType(LOAD_FP, 3, rd, 2, loadD);
    case 2:
      return rd === 0 ? null : iType(LOAD, 2, rd, 2, loadW);
    case 3:
      return rd === 0 ? null : iType(LOAD, 3, rd, 2, loadD);
    case 4:
      return jumpOrMove(w, rd, rs2);
    case 5:
      return sType(STORE_FP, 3, 2, rs2, storeD);
    case 6:
      return sType(STORE, 2, 2, rs2, storeW);
    default:
      return sType(STORE, 3, 2, rs2, storeD);
  }
}

/** The 32-bit form of a 16-bit instruction, or null if it is reserved. */
export function expand(half: number): number | null {
  switch (half & 3) {
    case 0:
      return quadrant0(half);
    case 1:
      return quadrant1(half);
    case 2:
      return quadrant2(half);
    default:
      return null;
  }
}
