/**
 * Call frame information: how to find, from the registers at some instruction, those of the
 * caller. The instructions of an FDE are run once for each place and the result, a row of the
 * table that they stand for, is kept. Instructions and stack are a guest's: they may be
 * anything, and nothing here throws or runs for longer than they are.
 *
 * @linux (DWARF 5, 6.4: call frame information)
 */

import { TASK_SIZE } from '../../arch/riscv/pgtable.ts';
import {
  Cursor,
  readSleb,
  readU16,
  readU32,
  readU64,
  readU8,
  readUleb,
  skip,
} from '../../lib/cursor.ts';
import { CFI_REGISTERS, readEncoded, type Cie, type EhFrame, type Fde } from './eh_frame.ts';
import { evaluate, type ReadWord } from './dwarf_expr.ts';

// DW_CFA_*. Three have their operand in the low six bits.
const DW_CFA_ADVANCE_LOC = 0x40;
const DW_CFA_OFFSET = 0x80;
const DW_CFA_RESTORE = 0xc0;
const HIGH_BITS = 0xc0;
const LOW_BITS = 0x3f;

// How the caller's value of a register is found.
const SAME = 0;
const UNDEFINED = 1;
/** In memory at CFA + n. */
const OFFSET = 2;
/** It is CFA + n. */
const VAL_OFFSET = 3;
/** In another register. */
const REGISTER = 4;
/** In memory at an expression. */
const EXPRESSION = 5;
/** It is the value of an expression. */
const VAL_EXPRESSION = 6;

/** States that DW_CFA_remember_state may put aside: compilers nest two or three. */
const STATES_MAX = 32;
/** Instructions that are run for one row. Large functions have some thousands. */
const INSTRUCTIONS_MAX = 1 << 16;
const REG_SP = 2;
/** Place of pc in Registers, behind all that CFI can name. */
export const PC = CFI_REGISTERS;

/** Integer registers by number, then whatever CFI calls 32 to 64, then pc. Exact below 2^53. */
export type Registers = Float64Array;

export function newRegisters(): Registers {
  return new Float64Array(CFI_REGISTERS + 1);
}

/** The rules at one place in the code. */
export class CfiRow {
  /** The CFA is register + offset, or the value of the expression at this offset of the section. */
  cfaRegister = REG_SP;
  cfaOffset = 0;
  cfaExpression = -1;
  /** By register: SAME... and what it needs: an offset, a register, the place of an expression. */
  readonly kinds = new Uint8Array(CFI_REGISTERS);
  readonly values = new Float64Array(CFI_REGISTERS);
  raRegister = 1;
  signalFrame = false;
}

function copyRow(to: CfiRow, from: CfiRow): void {
  to.cfaRegister = from.cfaRegister;
  to.cfaOffset = from.cfaOffset;
  to.cfaExpression = from.cfaExpression;
  to.kinds.set(from.kinds);
  to.values.set(from.values);
}

/** One run of instructions. */
class CfiProgram {
  readonly cie: Cie;
  readonly vaddr: number;
  row = new CfiRow();
  /** Address that the row so far is for. */
  location: number;
  /** Rules of the CIE, for DW_CFA_restore; null while they are being made. */
  initial: CfiRow | null = null;
  readonly saved: CfiRow[] = [];

  constructor(cie: Cie, vaddr: number, location: number) {
    this.cie = cie;
    this.vaddr = vaddr;
    this.location = location;
  }
}

function setRule(row: CfiRow, register: number, kind: number, value: number): void {
  // Registers of vectors and others that no return address depends on.
  if (register >= CFI_REGISTERS) return;
  row.kinds[register] = kind;
  row.values[register] = value;
}

function restoreRule(p: CfiProgram, register: number): void {
  if (p.initial === null || register >= CFI_REGISTERS) return;
  setRule(p.row, register, p.initial.kinds[register]!, p.initial.values[register]!);
}

function setCfa(row: CfiRow, register: number, offset: number): void {
  row.cfaRegister = register;
  row.cfaOffset = offset;
  row.cfaExpression = -1;
}

/** The place of an expression, which is skipped. */
function takeExpression(c: Cursor): number {
  const at = c.pos;
  skip(c, readUleb(c));
  return at;
}

function rememberState(p: CfiProgram, c: Cursor): void {
  if (p.saved.length >= STATES_MAX) {
    c.bad = true;
    return;
  }
  const copy = new CfiRow();
  copyRow(copy, p.row);
  p.saved.push(copy);
}

/** Instructions that change where the CFA is. @returns false for others. */
function cfaInstruction(p: CfiProgram, c: Cursor, op: number): boolean {
  const { row } = p;
  switch (op) {
    case 0x0c: // DW_CFA_def_cfa
      setCfa(row, readUleb(c), readUleb(c));
      return true;
    case 0x0d: // DW_CFA_def_cfa_register
      setCfa(row, readUleb(c), row.cfaOffset);
      return true;
    case 0x0e: // DW_CFA_def_cfa_offset
      setCfa(row, row.cfaRegister, readUleb(c));
      return true;
    case 0x0f: // DW_CFA_def_cfa_expression
      row.cfaExpression = takeExpression(c);
      return true;
    case 0x12: // DW_CFA_def_cfa_sf
      setCfa(row, readUleb(c), readSleb(c) * p.cie.dataAlign);
      return true;
    case 0x13: // DW_CFA_def_cfa_offset_sf
      setCfa(row, row.cfaRegister, readSleb(c) * p.cie.dataAlign);
      return true;
    default:
      return false;
  }
}

/** Instructions that change the rule of a register. @returns false for others. */
function ruleInstruction(p: CfiProgram, c: Cursor, op: number): boolean {
  const { row } = p;
  const { dataAlign } = p.cie;
  switch (op) {
    case 0x05: // DW_CFA_offset_extended
      setRule(row, readUleb(c), OFFSET, readUleb(c) * dataAlign);
      return true;
    case 0x06: // DW_CFA_restore_extended
      restoreRule(p, readUleb(c));
      return true;
    case 0x07: // DW_CFA_undefined
      setRule(row, readUleb(c), UNDEFINED, 0);
      return true;
    case 0x08: // DW_CFA_same_value
      setRule(row, readUleb(c), SAME, 0);
      return true;
    case 0x09: // DW_CFA_register
      setRule(row, readUleb(c), REGISTER, readUleb(c));
      return true;
    case 0x10: // DW_CFA_expression
      setRule(row, readUleb(c), EXPRESSION, takeExpression(c));
      return true;
    case 0x11: // DW_CFA_offset_extended_sf
      setRule(row, readUleb(c), OFFSET, readSleb(c) * dataAlign);
      return true;
    case 0x14: // DW_CFA_val_offset
      setRule(row, readUleb(c), VAL_OFFSET, readUleb(c) * dataAlign);
      return true;
    case 0x15: // DW_CFA_val_offset_sf
      setRule(row, readUleb(c), VAL_OFFSET, readSleb(c) * dataAlign);
      return true;
    case 0x16: // DW_CFA_val_expression
      setRule(row, readUleb(c), VAL_EXPRESSION, takeExpression(c));
      return true;
    case 0x2f: // DW_CFA_GNU_negative_offset_extended
      setRule(row, readUleb(c), OFFSET, -readUleb(c) * dataAlign);
      return true;
    default:
      return false;
  }
}

/** The rest. @returns false for what is unknown. */
function stateInstruction(p: CfiProgram, c: Cursor, op: number): boolean {
  switch (op) {
    case 0x00: // DW_CFA_nop
      return true;
    case 0x01: // DW_CFA_set_loc
      p.location = readEncoded(c, p.cie.pointerEncoding, p.vaddr);
      return true;
    case 0x02: // DW_CFA_advance_loc1
      p.location += readU8(c) * p.cie.codeAlign;
      return true;
    case 0x03: // DW_CFA_advance_loc2
      p.location += readU16(c) * p.cie.codeAlign;
      return true;
    case 0x04: // DW_CFA_advance_loc4
      p.location += readU32(c) * p.cie.codeAlign;
      return true;
    case 0x0a: // DW_CFA_remember_state
      rememberState(p, c);
      return true;
    case 0x0b: // DW_CFA_restore_state
      if (p.saved.length === 0) return false;
      copyRow(p.row, p.saved.pop()!);
      return true;
    case 0x1d: // DW_CFA_MIPS_advance_loc8
      p.location += readU64(c) * p.cie.codeAlign;
      return true;
    case 0x2e: // DW_CFA_GNU_args_size
      readUleb(c);
      return true;
    default:
      return false;
  }
}

function instruction(p: CfiProgram, c: Cursor): boolean {
  const byte = readU8(c);
  const low = byte & LOW_BITS;
  switch (byte & HIGH_BITS) {
    case DW_CFA_ADVANCE_LOC:
      p.location += low * p.cie.codeAlign;
      return true;
    case DW_CFA_OFFSET:
      setRule(p.row, low, OFFSET, readUleb(c) * p.cie.dataAlign);
      return true;
    case DW_CFA_RESTORE:
      restoreRule(p, low);
      return true;
    default:
      return (
        cfaInstruction(p, c, byte) || ruleInstruction(p, c, byte) || stateInstruction(p, c, byte)
      );
  }
}

/**
 * Runs instructions until those of an address above `vaddr` come.
 * @returns false for broken or unknown ones.
 */
function runInstructions(p: CfiProgram, c: Cursor, vaddr: number): boolean {
  for (let n = 0; c.pos < c.end; n++) {
    if (n === INSTRUCTIONS_MAX || !instruction(p, c) || c.bad) return false;
    if (p.location > vaddr) return true;
  }
  return true;
}

/** The rules for the instruction at `vaddr`, which the FDE covers; null when they cannot be read. */
export function rowAt(frame: EhFrame, fde: Fde, vaddr: number): CfiRow | null {
  const { cie } = fde;
  const p = new CfiProgram(cie, frame.vaddr, fde.vaddr);
  if (!runInstructions(p, new Cursor(frame.bytes, cie.start, cie.end), vaddr)) return null;
  p.initial = new CfiRow();
  copyRow(p.initial, p.row);
  if (!runInstructions(p, new Cursor(frame.bytes, fde.start, fde.end), vaddr)) return null;
  p.row.raRegister = cie.raRegister;
  p.row.signalFrame = cie.signalFrame;
  return p.row.cfaExpression < 0 && p.row.cfaRegister >= CFI_REGISTERS ? null : p.row;
}

/** Rules of code that has `size` bytes on the stack, the return address first; or, with 0, only that in ra. */
export function frameRow(size: number, outermost: boolean): CfiRow {
  const row = new CfiRow();
  row.cfaOffset = size;
  if (outermost) setRule(row, row.raRegister, UNDEFINED, 0);
  else if (size > 0) setRule(row, row.raRegister, OFFSET, -size);
  return row;
}

/** @returns the caller's value, NaN when it is not known. */
function ruleValue(
  frame: EhFrame,
  row: CfiRow,
  register: number,
  old: Registers,
  cfa: number,
  read: ReadWord,
): number {
  const value = row.values[register]!;
  switch (row.kinds[register]) {
    case SAME:
      return old[register]!;
    case OFFSET:
      return read(cfa + value);
    case VAL_OFFSET:
      return cfa + value;
    case REGISTER:
      return value < CFI_REGISTERS ? old[value]! : Number.NaN;
    case EXPRESSION:
      return read(evaluate(frame.bytes, value, old, read, cfa));
    case VAL_EXPRESSION:
      return evaluate(frame.bytes, value, old, read, cfa);
    default:
      return Number.NaN;
  }
}

/** The caller was found; there is none; or it cannot be told. */
export const STEP_CALLER = 0;
export const STEP_END = 1;
export const STEP_LOST = 2;

/**
 * Makes `registers` those of the caller.
 * @param scratch overwritten.
 * @returns STEP_*.
 */
export function stepRow(
  frame: EhFrame,
  row: CfiRow,
  registers: Registers,
  scratch: Registers,
  read: ReadWord,
): number {
  if (row.kinds[row.raRegister] === UNDEFINED) return STEP_END;
  scratch.set(registers);
  const cfa =
    row.cfaExpression < 0
      ? scratch[row.cfaRegister]! + row.cfaOffset
      : evaluate(frame.bytes, row.cfaExpression, scratch, read, Number.NaN);
  if (!(cfa > 0 && cfa < TASK_SIZE)) return STEP_LOST;
  // By convention; a rule may say otherwise.
  registers[REG_SP] = cfa;
  for (let register = 1; register < CFI_REGISTERS; register++) {
    if (row.kinds[register] === SAME) continue;
    registers[register] = ruleValue(frame, row, register, scratch, cfa, read);
  }
  registers[PC] = registers[row.raRegister]!;
  return Number.isNaN(registers[PC]) ? STEP_LOST : STEP_CALLER;
}
