/**
 * One hart's registers in linear memory, at HART_BASE: read and written by the processor's
 * wasm and by the kernel. All offsets are bytes from the start of the memory.
 */

import type { Ram } from './ram.ts';
import { HART_BASE } from './memlayout.ts';

/** x0..x31, 8 bytes each; x0 always reads 0. */
export const HART_X = HART_BASE;
/** a0 (x10): first argument and result of a call. */
export const HART_A0 = HART_X + 10 * 8;
/** a7 (x17): number of a system call. */
export const HART_A7 = HART_X + 17 * 8;
/** f0..f31, 8 bytes each, single-precision values NaN-boxed. */
export const HART_F = HART_BASE + 0x100;
/** Program counter, 8 bytes: after a trap, the address of the instruction that trapped. */
export const HART_PC = HART_BASE + 0x200;
/** Second address of a trap (stval), 8 bytes: the faulting address, or the instruction word. */
export const HART_TVAL = HART_BASE + 0x208;
/** fflags (5 bits), 4 bytes. */
export const HART_FFLAGS = HART_BASE + 0x210;
/** frm (3 bits), 4 bytes. */
export const HART_FRM = HART_BASE + 0x214;
/** Offset of the root page table, 4 bytes. Changing it needs flushTlbAll(). */
export const HART_SATP = HART_BASE + 0x218;
/** 1 while a load reservation is held, 4 bytes; its address is HART_RESERVED_ADDR. */
export const HART_RESERVED = HART_BASE + 0x21c;
export const HART_RESERVED_ADDR = HART_BASE + 0x220;
/** Instructions retired since boot, 8 bytes. */
export const HART_INSTRET = HART_BASE + 0x228;
/** Fill counts of the read, write and execute TLB since their last flush, 4 bytes each; see tlb.ts. */
export const HART_TLB_FILLS = HART_BASE + 0x230;
/** Non-zero asks run() to return at the next opportunity, 4 bytes. */
export const HART_INTERRUPT = HART_BASE + 0x23c;
/** What is left of the block that ran last, for the edge to the next one, 4 bytes; see cpu/instrument.ts. */
export const HART_PREV_BLOCK = HART_BASE + 0x240;
/** First offset free for the processor's own scratch state, up to HART_BASE + 0x1000. */
export const HART_SCRATCH = HART_BASE + 0x300;

/** Logs of filled TLB slots (u16 each), one per TLB; see tlb.ts. */
export const HART_TLB_LOGS = HART_BASE + 0x1000;

/** Instructions retired since boot, without those of a run that is under way. */
export function retiredInstructions({ u32 }: Ram): number {
  return u32[(HART_INSTRET >> 2) + 1]! * 2 ** 32 + u32[HART_INSTRET >> 2]!;
}

/** Bytes a saved register file takes: x, f, pc, (fflags | frm << 5), and HART_PREV_BLOCK. */
export const REGS_BYTES = 0x210;
const REGS_WORDS = REGS_BYTES / 4;

/**
 * The registers of a task that is not on the hart: `[x0..x31, f0..f31, pc]` as 32-bit halves,
 * low first, then fcsr and HART_PREV_BLOCK, 4 bytes each. The layout of the first 0x208 bytes is
 * that of the hart.
 */
export type Regs = Int32Array;

export const REGS_X = 0;
export const REGS_F = 64;
export const REGS_PC = 128;
export const REGS_FCSR = 130;
const REGS_PREV_BLOCK = 131;

export function newRegs(): Regs {
  return new Int32Array(REGS_WORDS);
}

/** Copies the hart's registers into `regs`. */
export function saveRegs(ram: Ram, regs: Regs): void {
  const { i32 } = ram;
  const base = HART_BASE >> 2;
  for (let i = 0; i < REGS_FCSR; i++) regs[i] = i32[base + i]!;
  regs[REGS_FCSR] = i32[HART_FFLAGS >> 2]! | (i32[HART_FRM >> 2]! << 5);
  regs[REGS_PREV_BLOCK] = i32[HART_PREV_BLOCK >> 2]!;
}

/** Loads the hart from `regs` and drops its load reservation. */
export function loadRegs(ram: Ram, regs: Regs): void {
  const { i32 } = ram;
  const base = HART_BASE >> 2;
  for (let i = 0; i < REGS_FCSR; i++) i32[base + i] = regs[i]!;
  i32[HART_FFLAGS >> 2] = regs[REGS_FCSR]! & 0x1f;
  i32[HART_FRM >> 2] = (regs[REGS_FCSR]! >> 5) & 7;
  i32[HART_PREV_BLOCK >> 2] = regs[REGS_PREV_BLOCK]!;
  i32[HART_RESERVED >> 2] = 0;
}
