/**
 * Predecoded code. Every frame that is executed has one slot for each of its halfwords, plus an
 * end slot, in the code pool:
 *
 *       0        2        4         6         8         12          14         16
 *      | op u16 | rd u16 | rs1 u16 | rs2 u16 | imm i32 | delta i16 | left u16 |
 *
 * op is the number of the interpreter's handler. rd, rs1, rs2 are offsets of registers in the
 * memory; a write to x0 goes to X0_SINK. imm is the immediate, in a near branch the distance
 * to the target's slot in bytes, in a fused multiply-add the offset of rs3.
 *
 * `left` counts the instructions from here to the end of the page. Each halfword has exactly one
 * successor, so it is right whatever address code is entered at, and straight-line code needs no
 * counter: with `f` kept by the interpreter, `f + left(ip)` is what remains of the budget. Only a
 * taken branch changes f, a near one by the constant `delta` = left(branch) - 1 - left(target).
 * In F and D instructions that may end in the soft-float unit, delta is rm | operation << 3.
 */

import { HART_F, HART_SCRATCH, HART_X } from '../arch/riscv/hart_state.ts';
import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';

export const SLOT_SIZE = 16;
/** log2(SLOT_SIZE / 2): an address's distance in bytes to one in slots. */
export const SLOT_SCALE = 3;
export const SLOT_OP = 0;
export const SLOT_RD = 2;
export const SLOT_RS1 = 4;
export const SLOT_RS2 = 6;
export const SLOT_IMM = 8;
export const SLOT_DELTA = 12;
export const SLOT_LEFT = 14;

export const SLOTS_PER_PAGE = PAGE_SIZE / 2;
/** The end slot of a page; its imm is the offset of the frame in the memory. */
export const END_SLOT = SLOTS_PER_PAGE * SLOT_SIZE;
/** After that, a byte for each halfword: whether compiled code that begins there has run. */
export const CODE_MARKS = END_SLOT + SLOT_SIZE;
/** Bytes of one frame's predecoded code. */
export const CODE_PAGE_SIZE = CODE_MARKS + SLOTS_PER_PAGE;

/** The processor's part of the hart's scratch area; a multiple of 256, see X0_SINK. */
const SCRATCH = HART_SCRATCH;
/** Where writes to x0 go. Bits 3-7 are 0 as in the offset of x0: REGISTER_SHIFT needs it. */
export const X0_SINK = SCRATCH;
/** Instructions retired in the current call of the interpreter, for rdinstret (u32). */
export const RETIRED = SCRATCH + 0x08;
/** What remains of the sample period between two calls of the interpreter (i32). */
export const SAMPLE_LEFT = SCRATCH + 0x40;
/** Entries of regions until the next one is looked at (i32). */
export const ENTRIES_LEFT = SCRATCH + 0x44;
/** Times that a region is left for code that is not compiled until the next look at it (i32). */
export const LANDINGS_LEFT = SCRATCH + 0x48;
/** The instruction word that CROSS_SLOTS holds (u32), or 0. */
export const CROSS_WORD = SCRATCH + 0x0c;
/**
 * An instruction whose halves lie on two pages is decoded here: its slot, the slot of its second
 * half, and an end slot.
 */
export const CROSS_SLOTS = SCRATCH + 0x10;

/** Offset of integer register `n` as a source. */
export function xOffset(n: number): number {
  return HART_X + n * 8;
}

/** Offset of integer register `n` as a destination. */
export function xTarget(n: number): number {
  return n === 0 ? X0_SINK : HART_X + n * 8;
}

export function fOffset(n: number): number {
  return HART_F + n * 8;
}

/** Number of a register by its offset: (offset >> REGISTER_SHIFT) & REGISTER_MASK. */
export const REGISTER_SHIFT = 3;
export const REGISTER_MASK = 31;

/** Handlers that are no instruction. */
export const OP_UNDECODED = 0;
/** Goes on at the next page. */
export const OP_END = 1;
/** Low half (in imm) of an instruction that continues on the next page. */
export const OP_CROSS = 2;
export const OP_ILLEGAL = 3;
/** An F or D instruction that always goes to the soft-float unit. */
export const OP_SOFT_FLOAT = 4;
export const FIRST_INSN_OP = 5;
/** This plus the number of a region entry: compiled code starts here (jit/abi.ts). A power of two. */
export const OP_REGION = 0x8000;
