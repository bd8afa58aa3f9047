/** Instruction word -> decoded instruction, by insn_table.ts. */

import { INSN_TABLE, type Format } from './insn_table.ts';

/** One decoded instruction. Fields a format does not have are 0. */
export interface Insn {
  /** Index into INSN_TABLE, or ILLEGAL. */
  row: number;
  rd: number;
  rs1: number;
  rs2: number;
  rs3: number;
  /** Sign-extended; for U the final 32-bit value, for CSR the number of the CSR. */
  imm: number;
  /** Rounding mode field (funct3) of the formats that have one. */
  rm: number;
}

/** Row of a word that is no instruction. */
export const ILLEGAL = -1;

export function newInsn(): Insn {
  return { row: ILLEGAL, rd: 0, rs1: 0, rs2: 0, rs3: 0, imm: 0, rm: 0 };
}

/** Rows that can match a given opcode (bits 6:2) and funct3, indexed by opcode * 8 + funct3. */
function buildBuckets(): readonly (readonly number[])[] {
  const buckets: number[][] = [];
  for (let key = 0; key < 256; key++) {
    const word = ((key >> 3) << 2) | 3 | ((key & 7) << 12);
    const rows: number[] = [];
    INSN_TABLE.forEach((row, index) => {
      const mask = row.mask & 0x707f;
      if ((word & mask) === (row.match & mask)) rows.push(index);
    });
    buckets.push(rows);
  }
  return buckets;
}

const BUCKETS = buildBuckets();

/** Index of the row that `word` matches, or ILLEGAL. */
function findRow(word: number): number {
  const bucket = BUCKETS[((word & 0x7c) << 1) | ((word >> 12) & 7)]!;
  for (const index of bucket) {
    const row = INSN_TABLE[index]!;
    if ((word & row.mask) === row.match) return index;
  }
  return ILLEGAL;
}

/** The immediate of `word`; the bit layouts are those of Unprivileged 2.3. */
export function immediate(word: number, format: Format): number {
  switch (format) {
    case 'I':
    case 'LOAD':
      return word >> 20;
    case 'S':
      return ((word >> 25) << 5) | ((word >> 7) & 0x1f);
    case 'B':
      return (
        ((word >> 31) << 12) | ((word << 4) & 0x800) | ((word >> 20) & 0x7e0) | ((word >> 7) & 0x1e)
      );
    case 'U':
      return word & 0xfffff000;
    case 'J':
      return (
        ((word >> 31) << 20) | (word & 0xff000) | ((word >> 9) & 0x800) | ((word >> 20) & 0x7fe)
      );
    case 'SHIFT':
      return (word >> 20) & 0x3f;
    case 'SHIFTW':
      return (word >> 20) & 0x1f;
    case 'CSR':
    case 'CSRI':
      return word >>> 20;
    default:
      return 0;
  }
}

/**
 * Decodes a 32-bit instruction into `insn`. CSRI keeps its 5-bit operand in rs1.
 * Static rounding modes 5 and 6 are reserved (Unprivileged 11.2) and decode as ILLEGAL.
 */
export function decode(word: number, insn: Insn): void {
  const row = findRow(word);
  insn.row = row;
  if (row === ILLEGAL) return;
  const { format } = INSN_TABLE[row]!;
  insn.rd = (word >> 7) & 0x1f;
  insn.rs1 = (word >> 15) & 0x1f;
  insn.rs2 = (word >> 20) & 0x1f;
  insn.rs3 = word >>> 27;
  insn.rm = (word >> 12) & 7;
  insn.imm = immediate(word, format);
  const rounds = format === 'FR' || format === 'FU' || format === 'R4';
  if (rounds && (insn.rm === 5 || insn.rm === 6)) insn.row = ILLEGAL;
}
