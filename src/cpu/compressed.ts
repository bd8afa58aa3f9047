/**
 * Expands the C extension's 16-bit instructions (Unprivileged chapter 16) to the 32-bit
 * instructions they stand for.
 */

/** What expand() returns for a halfword that is no instruction: an all-zero word is illegal too. */
export const NOT_COMPRESSED = 0;

const OPCODE_LOAD = 0x03;
const OPCODE_LOAD_FP = 0x07;
const OPCODE_OP_IMM = 0x13;
const OPCODE_OP_IMM_32 = 0x1b;
const OPCODE_STORE = 0x23;
const OPCODE_STORE_FP = 0x27;
const OPCODE_OP = 0x33;
const OPCODE_OP_32 = 0x3b;
const OPCODE_LUI = 0x37;
const OPCODE_BRANCH = 0x63;
const OPCODE_JALR = 0x67;
const OPCODE_JAL = 0x6f;
const EBREAK = 0x00100073;

function iType(opcode: number, funct3: number, rd: number, rs1: number, imm: number): number {
  return opcode | (rd << 7) | (funct3 << 12) | (rs1 << 15) | (imm << 20);
}

function sType(opcode: number, funct3: number, rs1: number, rs2: number, imm: number): number {
  return (
    opcode | ((imm & 0x1f) << 7) | (funct3 << 12) | (rs1 << 15) | (rs2 << 20) | ((imm >> 5) << 25)
  );
}

function rType(opcode: number, funct: number, rd: number, rs1: number, rs2: number): number {
  return opcode | (rd << 7) | (rs1 << 15) | (rs2 << 20) | funct;
}

function bType(funct3: number, rs1: number, imm: number): number {
  const low = ((imm & 0x1e) << 7) | ((imm & 0x800) >> 4);
  const high = ((imm & 0x7e0) << 20) | (imm < 0 ? 0x80000000 : 0);
  return OPCODE_BRANCH | low | (funct3 << 12) | (rs1 << 15) | high;
}

function jType(rd: number, imm: number): number {
  const low = (imm & 0xff000) | ((imm & 0x800) << 9) | ((imm & 0x7fe) << 20);
  return OPCODE_JAL | (rd << 7) | low | (imm < 0 ? 0x80000000 : 0);
}

/** Bits [hi:lo] of `half`, moved so that bit `lo` lands on bit `to`. */
function field(half: number, hi: number, lo: number, to: number): number {
  return ((half >> lo) & ((1 << (hi - lo + 1)) - 1)) << to;
}

/** The signed 6-bit immediate in bits 12 and 6:2. */
function imm6(half: number): number {
  return (((half << 19) >> 31) << 5) | field(half, 6, 2, 0);
}

function jumpOffset(h: number): number {
  const sign = ((h << 19) >> 31) << 11;
  return (
    sign |
    field(h, 11, 11, 4) |
    field(h, 10, 9, 8) |
    field(h, 8, 8, 10) |
    field(h, 7, 7, 6) |
    field(h, 6, 6, 7) |
    field(h, 5, 3, 1) |
    field(h, 2, 2, 5)
  );
}

function branchOffset(h: number): number {
  const sign = ((h << 19) >> 31) << 8;
  return sign | field(h, 11, 10, 3) | field(h, 6, 5, 6) | field(h, 4, 3, 1) | field(h, 2, 2, 5);
}

/** Offset of c.lw and c.sw, then of c.ld, c.sd, c.fld and c.fsd. */
function wordOffset(h: number): number {
  return field(h, 12, 10, 3) | field(h, 6, 6, 2) | field(h, 5, 5, 6);
}

function doubleOffset(h: number): number {
  return field(h, 12, 10, 3) | field(h, 6, 5, 6);
}

/** Quadrant 0: loads and stores with 3-bit registers, c.addi4spn. */
function quadrant0(h: number): number {
  const low = 8 + field(h, 4, 2, 0);
  const rs1 = 8 + field(h, 9, 7, 0);
  switch (h >> 13) {
    case 0: {
      const imm = field(h, 12, 11, 4) | field(h, 10, 7, 6) | field(h, 6, 6, 2) | field(h, 5, 5, 3);
      return imm === 0 ? NOT_COMPRESSED : iType(OPCODE_OP_IMM, 0, low, 2, imm);
    }
    case 1:
      return iType(OPCODE_LOAD_FP, 3, low, rs1, doubleOffset(h));
    case 2:
      return iType(OPCODE_LOAD, 2, low, rs1, wordOffset(h));
    case 3:
      return iType(OPCODE_LOAD, 3, low, rs1, doubleOffset(h));
    case 5:
      return sType(OPCODE_STORE_FP, 3, rs1, low, doubleOffset(h));
    case 6:
      return sType(OPCODE_STORE, 2, rs1, low, wordOffset(h));
    case 7:
      return sType(OPCODE_STORE, 3, rs1, low, doubleOffset(h));
    default:
      return NOT_COMPRESSED;
  }
}

/** c.srli, c.srai, c.andi and the register-register group: quadrant 1, funct3 4. */
function arithmetic(h: number): number {
  const rd = 8 + field(h, 9, 7, 0);
  const rs2 = 8 + field(h, 4, 2, 0);
  const shamt = imm6(h) & 0x3f;
  switch ((h >> 10) & 3) {
    case 0:
      return iType(OPCODE_OP_IMM, 5, rd, rd, shamt);
    case 1:
      return iType(OPCODE_OP_IMM, 5, rd, rd, shamt | 0x400);
    case 2:
      return iType(OPCODE_OP_IMM, 7, rd, rd, imm6(h));
  }
  switch (((h >> 10) & 4) | ((h >> 5) & 3)) {
    case 0:
      return rType(OPCODE_OP, 0x40000000, rd, rd, rs2);
    case 1:
      return rType(OPCODE_OP, 4 << 12, rd, rd, rs2);
    case 2:
      return rType(OPCODE_OP, 6 << 12, rd, rd, rs2);
    case 3:
      return rType(OPCODE_OP, 7 << 12, rd, rd, rs2);
    case 4:
      return rType(OPCODE_OP_32, 0x40000000, rd, rd, rs2);
    case 5:
      return rType(OPCODE_OP_32, 0, rd, rd, rs2);
    default:
      return NOT_COMPRESSED;
  }
}

/** c.lui and c.addi16sp: quadrant 1, funct3 3. */
function luiOrStack(h: number): number {
  const rd = (h >> 7) & 0x1f;
  if (rd === 2) {
    const sign = ((h << 19) >> 31) << 9;
    const imm =
      sign | field(h, 6, 6, 4) | field(h, 5, 5, 6) | field(h, 4, 3, 7) | field(h, 2, 2, 5);
    return imm === 0 ? NOT_COMPRESSED : iType(OPCODE_OP_IMM, 0, 2, 2, imm);
  }
  const imm = imm6(h);
  return imm === 0 ? NOT_COMPRESSED : OPCODE_LUI | (rd << 7) | (imm << 12);
}

function quadrant1(h: number): number {
  const rd = (h >> 7) & 0x1f;
  switch (h >> 13) {
    case 0:
      return iType(OPCODE_OP_IMM, 0, rd, rd, imm6(h));
    case 1:
      return rd === 0 ? NOT_COMPRESSED : iType(OPCODE_OP_IMM_32, 0, rd, rd, imm6(h));
    case 2:
      return iType(OPCODE_OP_IMM, 0, rd, 0, imm6(h));
    case 3:
      return luiOrStack(h);
    case 4:
      return arithmetic(h);
    case 5:
      return jType(0, jumpOffset(h));
    default:
      return bType((h >> 13) & 1, 8 + field(h, 9, 7, 0), branchOffset(h));
  }
}

/** c.jr, c.mv, c.ebreak, c.jalr, c.add: quadrant 2, funct3 4. */
function jumpOrMove(h: number): number {
  const rd = (h >> 7) & 0x1f;
  const rs2 = (h >> 2) & 0x1f;
  const link = (h >> 12) & 1;
  if (rs2 !== 0) return rType(OPCODE_OP, 0, rd, link === 1 ? rd : 0, rs2);
  if (rd === 0) return link === 1 ? EBREAK : NOT_COMPRESSED;
  return iType(OPCODE_JALR, 0, link, rd, 0);
}

function quadrant2(h: number): number {
  const rd = (h >> 7) & 0x1f;
  const rs2 = (h >> 2) & 0x1f;
  const loadDouble = field(h, 12, 12, 5) | field(h, 6, 5, 3) | field(h, 4, 2, 6);
  const storeDouble = field(h, 12, 10, 3) | field(h, 9, 7, 6);
  switch (h >> 13) {
    case 0:
      return iType(OPCODE_OP_IMM, 1, rd, rd, imm6(h) & 0x3f);
    case 1:
      return iType(OPCODE_LOAD_FP, 3, rd, 2, loadDouble);
    case 2: {
      const offset = field(h, 12, 12, 5) | field(h, 6, 4, 2) | field(h, 3, 2, 6);
      return rd === 0 ? NOT_COMPRESSED : iType(OPCODE_LOAD, 2, rd, 2, offset);
    }
    case 3:
      return rd === 0 ? NOT_COMPRESSED : iType(OPCODE_LOAD, 3, rd, 2, loadDouble);
    case 4:
      return jumpOrMove(h);
    case 5:
      return sType(OPCODE_STORE_FP, 3, 2, rs2, storeDouble);
    case 6:
      return sType(OPCODE_STORE, 2, 2, rs2, field(h, 12, 9, 2) | field(h, 8, 7, 6));
    default:
      return sType(OPCODE_STORE, 3, 2, rs2, storeDouble);
  }
}

/**
 * The 32-bit form of a compressed instruction.
 * @param half an instruction halfword whose low two bits are not both set.
 * @returns the instruction word (signed), or NOT_COMPRESSED for a reserved encoding.
 */
export function expand(half: number): number {
  switch (half & 3) {
    case 0:
      return quadrant0(half);
    case 1:
      return quadrant1(half);
    default:
      return quadrant2(half);
  }
}
