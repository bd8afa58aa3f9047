/** Text of one instruction, in the assembler's notation without pseudo-instructions. */

import {
  CSR_CYCLE,
  CSR_FCSR,
  CSR_FFLAGS,
  CSR_FRM,
  CSR_INSTRET,
  CSR_TIME,
} from '../arch/riscv/csr.ts';
import { expand } from './compressed.ts';
import { decode, ILLEGAL, type Insn, newInsn } from './decode.ts';
import { INSN_TABLE, type InsnRow } from './insn_table.ts';

/** ABI names of the integer and the floating-point registers (Unprivileged chapter 25). */
const X_NAMES = (
  'zero ra sp gp tp t0 t1 t2 s0 s1 a0 a1 a2 a3 a4 a5 a6 a7 ' +
  's2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6'
).split(' ');
const F_NAMES = (
  'ft0 ft1 ft2 ft3 ft4 ft5 ft6 ft7 fs0 fs1 fa0 fa1 fa2 fa3 fa4 fa5 fa6 fa7 ' +
  'fs2 fs3 fs4 fs5 fs6 fs7 fs8 fs9 fs10 fs11 ft8 ft9 ft10 ft11'
).split(' ');

const ROUNDING_MODES = ['rne', 'rtz', 'rdn', 'rup', 'rmm'];
const RM_DYN = 7;

const CSR_NAMES: Readonly<Record<number, string | undefined>> = {
  [CSR_FFLAGS]: 'fflags',
  [CSR_FRM]: 'frm',
  [CSR_FCSR]: 'fcsr',
  [CSR_CYCLE]: 'cycle',
  [CSR_TIME]: 'time',
  [CSR_INSTRET]: 'instret',
};

function register(row: InsnRow, operand: 0 | 1 | 2 | 3, n: number): string {
  return (row.regs[operand] === 'f' ? F_NAMES : X_NAMES)[n]!;
}

function csrName(n: number): string {
  return CSR_NAMES[n] ?? `0x${n.toString(16)}`;
}

/** The rounding mode as a further operand, unless it is the dynamic one. */
function rounding(rm: number): string[] {
  return rm === RM_DYN ? [] : [ROUNDING_MODES[rm]!];
}

function operands(row: InsnRow, insn: Insn, pc: number): string[] {
  const rd = register(row, 0, insn.rd);
  const rs1 = register(row, 1, insn.rs1);
  const rs2 = register(row, 2, insn.rs2);
  const { imm } = insn;
  const target = (): string => `0x${(pc + imm).toString(16)}`;
  switch (row.format) {
    case 'R':
      return [rd, rs1, rs2];
    case 'RU':
      return [rd, rs1];
    case 'R4':
      return [rd, rs1, rs2, register(row, 3, insn.rs3), ...rounding(insn.rm)];
    case 'FR':
      return [rd, rs1, rs2, ...rounding(insn.rm)];
    case 'FU':
      return [rd, rs1, ...rounding(insn.rm)];
    case 'I':
      if (row.name.startsWith('fence')) return [];
      return row.name === 'jalr' ? [rd, `${imm}(${rs1})`] : [rd, rs1, String(imm)];
    case 'SHIFT':
    case 'SHIFTW':
      return [rd, rs1, String(imm)];
    case 'LOAD':
      return [rd, `${imm}(${rs1})`];
    case 'S':
      return [rs2, `${imm}(${rs1})`];
    case 'B':
      return [rs1, rs2, target()];
    case 'U':
      return [rd, `0x${(imm >>> 12).toString(16)}`];
    case 'J':
      return [rd, target()];
    case 'CSR':
      return [rd, csrName(imm), rs1];
    case 'CSRI':
      return [rd, csrName(imm), String(insn.rs1)];
    case 'AMO':
      return [rd, rs2, `(${rs1})`];
    case 'LR':
      return [rd, `(${rs1})`];
    case 'NONE':
      return [];
  }
}

/**
 * The instruction as text: `addi sp, sp, -16`.
 * @param word the instruction; of a compressed one only the low 16 bits count.
 * @param pc its address, for branch targets.
 */
export function disassemble(word: number, pc: number): string {
  const insn = newInsn();
  const compressed = (word & 3) !== 3;
  decode(compressed ? expand(word & 0xffff) : word | 0, insn);
  if (insn.row === ILLEGAL) {
    const digits = compressed ? 4 : 8;
    const bits = compressed ? word & 0xffff : word >>> 0;
    return `.insn 0x${bits.toString(16).padStart(digits, '0')}`;
  }
  const row = INSN_TABLE[insn.row]!;
  const text = operands(row, insn, pc).join(', ');
  return text === '' ? row.name : `${row.name} ${text}`;
}
