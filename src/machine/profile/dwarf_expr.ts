/**
 * DWARF expressions, as far as call frame information of riscv64 programs uses them: sums of
 * registers and constants, and words of memory.
 *
 * @linux (DWARF 5, 2.5: DWARF expressions)
 */

import {
  Cursor,
  readS16,
  readS32,
  readS64,
  readS8,
  readSleb,
  readU16,
  readU32,
  readU64,
  readU8,
  readUleb,
} from '../../lib/cursor.ts';

/** The 64-bit word at an address; NaN when it is not there, exact below 2^53. */
export type ReadWord = (addr: number) => number;

const STACK_MAX = 64;
// DW_OP_*.
const DW_OP_DEREF = 0x06;
const DW_OP_DUP = 0x12;
const DW_OP_DROP = 0x13;
const DW_OP_SWAP = 0x16;
const DW_OP_MINUS = 0x1c;
const DW_OP_MUL = 0x1e;
const DW_OP_PLUS = 0x22;
const DW_OP_PLUS_UCONST = 0x23;
const DW_OP_LIT0 = 0x30;
const DW_OP_LIT31 = 0x4f;
const DW_OP_BREG0 = 0x70;
const DW_OP_BREG31 = 0x8f;
const DW_OP_BREGX = 0x92;
const DW_OP_NOP = 0x96;

/** The value of an operation that only pushes; NaN for others. */
function pushed(c: Cursor, op: number, registers: Float64Array): number {
  if (op >= DW_OP_LIT0 && op <= DW_OP_LIT31) return op - DW_OP_LIT0;
  if (op >= DW_OP_BREG0 && op <= DW_OP_BREG31) return registers[op - DW_OP_BREG0]! + readSleb(c);
  switch (op) {
    case 0x08: // DW_OP_const1u and on
      return readU8(c);
    case 0x09:
      return readS8(c);
    case 0x0a:
      return readU16(c);
    case 0x0b:
      return readS16(c);
    case 0x0c:
      return readU32(c);
    case 0x0d:
      return readS32(c);
    case 0x0e:
      return readU64(c);
    case 0x0f:
      return readS64(c);
    case 0x10:
      return readUleb(c);
    case 0x11:
      return readSleb(c);
    case DW_OP_BREGX:
      return (registers[readUleb(c)] ?? Number.NaN) + readSleb(c);
    default:
      return Number.NaN;
  }
}

function binary(op: number, a: number, b: number): number {
  switch (op) {
    case DW_OP_PLUS:
      return a + b;
    case DW_OP_MINUS:
      return a - b;
    case DW_OP_MUL:
      return a * b;
    default:
      return Number.NaN;
  }
}

/** Performs one operation. An operand that is missing is undefined, and makes what follows NaN. */
function perform(
  c: Cursor,
  op: number,
  stack: number[],
  registers: Float64Array,
  read: ReadWord,
): void {
  switch (op) {
    case DW_OP_NOP:
      return;
    case DW_OP_DEREF:
      stack.push(read(stack.pop() ?? Number.NaN));
      return;
    case DW_OP_DUP:
      stack.push(stack.at(-1) ?? Number.NaN);
      return;
    case DW_OP_DROP:
      stack.pop();
      return;
    case DW_OP_SWAP:
      stack.push(stack.pop() ?? Number.NaN, stack.pop() ?? Number.NaN);
      return;
    case DW_OP_PLUS_UCONST:
      stack.push((stack.pop() ?? Number.NaN) + readUleb(c));
      return;
    case DW_OP_PLUS:
    case DW_OP_MINUS:
    case DW_OP_MUL: {
      const b = stack.pop() ?? Number.NaN;
      stack.push(binary(op, stack.pop() ?? Number.NaN, b));
      return;
    }
    default:
      stack.push(pushed(c, op, registers));
  }
}

/**
 * The value of the expression at `at`, which begins with its length.
 * @param cfa what is on the stack at first; NaN = nothing.
 * @returns NaN when it cannot be told.
 */
export function evaluate(
  bytes: Uint8Array,
  at: number,
  registers: Float64Array,
  read: ReadWord,
  cfa: number,
): number {
  const c = new Cursor(bytes, at);
  const length = readUleb(c);
  c.end = Math.min(c.end, c.pos + length);
  const stack = Number.isNaN(cfa) ? [] : [cfa];
  while (c.pos < c.end && !c.bad) {
    perform(c, readU8(c), stack, registers, read);
    if (stack.length > STACK_MAX || Number.isNaN(stack.at(-1))) return Number.NaN;
  }
  return c.bad ? Number.NaN : (stack.at(-1) ?? Number.NaN);
}
