/** Encodes instructions for the generated programs and for the frame around them. */

/** One instruction of a program; jumps get their offset when the program is laid out. */
export interface Insn {
  /** Bytes: 2 or 4. */
  readonly size: 2 | 4;
  /** As an assembler would write it; `.` stands for the target of a jump. */
  readonly text: string;
  /** The encoding, or for a jump its encoding with an offset of 0. */
  readonly word: number;
  /** For jumps: puts the offset, in bytes from this instruction, into the encoding. */
  readonly patch?: (offset: number) => number;
  /** For jumps: how many instructions further on the target is; may exceed the program. */
  readonly skip?: number;
  /** It belongs to the instruction before it: no jump may lead here and no program end before it. */
  joined?: boolean;
}

export const OP_LOAD = 0x03;
export const OP_LOAD_FP = 0x07;
export const OP_MISC_MEM = 0x0f;
export const OP_IMM = 0x13;
export const OP_AUIPC = 0x17;
export const OP_IMM_32 = 0x1b;
export const OP_STORE = 0x23;
export const OP_STORE_FP = 0x27;
export const OP_AMO = 0x2f;
export const OP_OP = 0x33;
export const OP_LUI = 0x37;
export const OP_OP_32 = 0x3b;
export const OP_FP = 0x53;
export const OP_BRANCH = 0x63;
export const OP_JALR = 0x67;
export const OP_JAL = 0x6f;
export const OP_SYSTEM = 0x73;

export function insn(word: number, text: string): Insn {
  return { size: 4, text, word };
}

export function short(word: number, text: string): Insn {
  return { size: 2, text, word };
}

export function r(
  op: number,
  f3: number,
  f7: number,
  rd: number,
  rs1: number,
  rs2: number,
): number {
  return (f7 << 25) | (rs2 << 20) | (rs1 << 15) | (f3 << 12) | (rd << 7) | op;
}

export function i(op: number, f3: number, rd: number, rs1: number, imm: number): number {
  return (imm << 20) | (rs1 << 15) | (f3 << 12) | (rd << 7) | op;
}

export function s(op: number, f3: number, rs1: number, rs2: number, imm: number): number {
  return r(op, f3, (imm >> 5) & 0x7f, imm & 0x1f, rs1, rs2);
}

export function u(op: number, rd: number, imm20: number): number {
  return (imm20 << 12) | (rd << 7) | op;
}

/** Moves bits of `value`: `order` lists the source bits from bit `top` downwards. */
function place(value: number, top: number, order: readonly number[]): number {
  let word = 0;
  for (let k = 0; k < order.length; k++) word |= ((value >> order[k]!) & 1) << (top - k);
  return word;
}

export function branch(f3: number, rs1: number, rs2: number, offset: number): number {
  const high = place(offset, 31, [12, 10, 9, 8, 7, 6, 5]);
  const low = place(offset, 11, [4, 3, 2, 1, 11]);
  return high | (rs2 << 20) | (rs1 << 15) | (f3 << 12) | low | OP_BRANCH;
}

export function jal(rd: number, offset: number): number {
  const order = [20, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 11, 19, 18, 17, 16, 15, 14, 13, 12];
  return place(offset, 31, order) | (rd << 7) | OP_JAL;
}

export function addi(rd: number, rs1: number, imm: number): number {
  return i(OP_IMM, 0, rd, rs1, imm);
}

export function ld(rd: number, rs1: number, imm: number): number {
  return i(OP_LOAD, 3, rd, rs1, imm);
}

export function sd(rs2: number, rs1: number, imm: number): number {
  return s(OP_STORE, 3, rs1, rs2, imm);
}

/** A small absolute address in two parts: for LUI, and the signed rest. */
export function split(address: number): { high: number; low: number } {
  const high = (address + 0x800) >> 12;
  return { high, low: address - high * 4096 };
}

/** CI format: quadrant, funct3, rd, 6-bit immediate. */
export function ci(quadrant: number, f3: number, rd: number, imm: number): number {
  return quadrant | (f3 << 13) | (rd << 7) | ((imm & 0x1f) << 2) | (((imm >> 5) & 1) << 12);
}

/** CI loads from the stack: the offset's bits in the order of the manual. */
export function ciLoad(f3: number, rd: number, offset: number, size: 4 | 8): number {
  const order = size === 4 ? [4, 3, 2, 7, 6] : [4, 3, 8, 7, 6];
  return 2 | (f3 << 13) | (((offset >> 5) & 1) << 12) | (rd << 7) | place(offset, 6, order);
}

/** CSS stores to the stack. */
export function css(f3: number, rs2: number, offset: number, size: 4 | 8): number {
  const order = size === 4 ? [5, 4, 3, 2, 7, 6] : [5, 4, 3, 8, 7, 6];
  return 2 | (f3 << 13) | place(offset, 12, order) | (rs2 << 2);
}

/** CL and CS: `short1` and `short2` are 0..7 for x8..x15. */
export function clcs(
  f3: number,
  short1: number,
  short2: number,
  offset: number,
  size: 4 | 8,
): number {
  const low = size === 4 ? [2, 6] : [7, 6];
  return (
    (f3 << 13) |
    place(offset, 12, [5, 4, 3]) |
    (short1 << 7) |
    place(offset, 6, low) |
    (short2 << 2)
  );
}

/** C.ADDI4SPN. */
export function ciw(shortRd: number, uimm: number): number {
  return place(uimm, 12, [5, 4, 9, 8, 7, 6, 2, 3]) | (shortRd << 2);
}

/** C.ADDI16SP. */
export function addi16sp(imm: number): number {
  return 1 | (3 << 13) | (((imm >> 9) & 1) << 12) | (2 << 7) | place(imm, 6, [4, 6, 8, 7, 5]);
}

/** C.J. */
export function cj(offset: number): number {
  return 1 | (5 << 13) | place(offset, 12, [11, 4, 9, 8, 10, 6, 7, 3, 2, 1, 5]);
}

/** C.BEQZ (f3 = 6) and C.BNEZ (f3 = 7). */
export function cb(f3: number, shortRs1: number, offset: number): number {
  return (
    1 |
    (f3 << 13) |
    place(offset, 12, [8, 4, 3]) |
    (shortRs1 << 7) |
    place(offset, 6, [7, 6, 2, 1, 5])
  );
}
