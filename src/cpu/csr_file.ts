/** CSRs that user code may touch: fflags, frm, fcsr, cycle, time, instret. */

import {
  CSR_CYCLE,
  CSR_FCSR,
  CSR_FFLAGS,
  CSR_FRM,
  CSR_INSTRET,
  CSR_TIME,
} from '../arch/riscv/csr.ts';
import { HART_FFLAGS, HART_FRM, HART_X, retiredInstructions } from '../arch/riscv/hart_state.ts';
import type { Ram } from '../arch/riscv/ram.ts';
import { highHalf, lowHalf } from '../lib/bits.ts';
import { RETIRED } from './slots.ts';

const FFLAGS_MASK = 0x1f;
const FRM_MASK = 7;
const FRM_SHIFT = 5;

/** funct3 of a Zicsr instruction: 1 write, 2 set, 3 clear; bit 2: the operand is immediate. */
const FUNCT3_SHIFT = 12;
const OPERATION_MASK = 3;
const OPERATION_WRITE = 1;
const OPERATION_SET = 2;
const IMMEDIATE = 4;

/** Clock of the `time` CSR. */
export interface TimeSource {
  /**
   * Nanoseconds since boot.
   * @param pending retired instructions that HART_INSTRET is without.
   */
  timeNs(pending: number): number;
}

/** Instructions retired since boot, the current run() included. */
function instret(ram: Ram): number {
  return retiredInstructions(ram) + ram.i32[RETIRED >>> 2]!;
}

/** Value of a CSR as a number below 2^53, or -1 when there is no such CSR. */
function readCsr(ram: Ram, host: TimeSource, csr: number): number {
  const fflags = ram.i32[HART_FFLAGS >>> 2]!;
  const frm = ram.i32[HART_FRM >>> 2]!;
  switch (csr) {
    case CSR_FFLAGS:
      return fflags;
    case CSR_FRM:
      return frm;
    case CSR_FCSR:
      return fflags | (frm << FRM_SHIFT);
    case CSR_CYCLE:
    case CSR_INSTRET:
      return instret(ram);
    case CSR_TIME:
      return Math.floor(host.timeNs(ram.i32[RETIRED >>> 2]!));
    default:
      return -1;
  }
}

/** @returns whether the CSR can be written. */
function writeCsr(ram: Ram, csr: number, value: number): boolean {
  const { i32 } = ram;
  if (csr === CSR_FFLAGS) i32[HART_FFLAGS >>> 2] = value & FFLAGS_MASK;
  else if (csr === CSR_FRM) i32[HART_FRM >>> 2] = value & FRM_MASK;
  else if (csr === CSR_FCSR) {
    i32[HART_FFLAGS >>> 2] = value & FFLAGS_MASK;
    i32[HART_FRM >>> 2] = (value >> FRM_SHIFT) & FRM_MASK;
  } else return false;
  return true;
}

/**
 * Executes a Zicsr instruction (Unprivileged 9.1).
 * @param match its row's match word: says which of the six it is.
 * @param rd offset of the destination register in the memory.
 * @param rs1 offset of the source register, or the 5-bit immediate.
 * @returns 0, or 1 when the instruction is illegal: unknown CSR, or a write to a read-only one.
 */
export function accessCsr(
  ram: Ram,
  host: TimeSource,
  match: number,
  csr: number,
  rd: number,
  rs1: number,
): 0 | 1 {
  const funct3 = match >> FUNCT3_SHIFT;
  const operation = funct3 & OPERATION_MASK;
  const immediate = (funct3 & IMMEDIATE) !== 0;
  const old = readCsr(ram, host, csr);
  if (old < 0) return 1;
  // Set and clear with x0 or 0 do not write, so they may name a read-only CSR.
  const writes = operation === OPERATION_WRITE || rs1 !== (immediate ? 0 : HART_X);
  if (writes) {
    // Only CSRs below 256 can be written: low halves do.
    const operand = immediate ? rs1 : ram.i32[rs1 >>> 2]!;
    const low = old | 0;
    let value = operand;
    if (operation === OPERATION_SET) value = low | operand;
    else if (operation !== OPERATION_WRITE) value = low & ~operand;
    if (!writeCsr(ram, csr, value)) return 1;
  }
  ram.i32[rd >>> 2] = lowHalf(old);
  ram.i32[(rd >>> 2) + 1] = highHalf(old);
  return 0;
}
