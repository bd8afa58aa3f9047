/** Fills the code pool: frames' instructions as slots (slots.ts), decoded when first executed. */

import { PAGE_SHIFT, PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import { icacheInvalidateFrame } from '../arch/riscv/icache.ts';
import type { Pfn } from '../arch/riscv/pgtable.ts';
import type { Ram } from '../arch/riscv/ram.ts';
import { flushTlbKind, TLB_EXEC, TLB_WRITE } from '../arch/riscv/tlb.ts';
import { expand } from './compressed.ts';
import { decode, ILLEGAL, type Insn, newInsn } from './decode.ts';
import { handlerOf, type InsnLength, pairOf, SOFT_FLOAT_OPS } from './handlers.ts';
import { INSN_TABLE } from './insn_table.ts';
import {
  CODE_MARKS,
  CODE_PAGE_SIZE,
  CROSS_SLOTS,
  CROSS_WORD,
  END_SLOT,
  fOffset,
  OP_CROSS,
  OP_END,
  OP_ILLEGAL,
  OP_SOFT_FLOAT,
  OP_UNDECODED,
  SLOT_SCALE,
  SLOT_SIZE,
  SLOTS_PER_PAGE,
  xOffset,
  xTarget,
} from './slots.ts';

/** Most instructions decoded at once: a basic block is rarely longer. */
const DECODE_AHEAD = 64;

/** fcvt to an integer has its fast path for this static rounding mode, everything else for RNE. */
const RM_RTZ = 1;
const RM_RNE = 0;
const RM_DYN = 7;

const SLOT_WORDS = SLOT_SIZE / 4;

/** The code pool and what decoding needs. */
export interface CodePool {
  readonly ram: Ram;
  readonly u16: Uint16Array;
  /** Offset of the first byte that no code page has used. */
  next: number;
  /** Offsets of code pages below `next` that are free again. */
  readonly free: number[];
  readonly insn: Insn;
  /** Told of what is dropped, before that. */
  observer: CodeObserver | null;
}

/** Whoever keeps something for code pages. */
export interface CodeObserver {
  /** The code page at this offset goes. */
  dropPage(code: number): void;
  dropAll(): void;
}

export function newCodePool(ram: Ram): CodePool {
  const pool: CodePool = {
    ram,
    u16: new Uint16Array(ram.memory.buffer),
    next: ram.layout.codePoolBase,
    free: [],
    insn: newInsn(),
    observer: null,
  };
  const end = (CROSS_SLOTS + 2 * SLOT_SIZE) >>> 2;
  ram.i32[end] = OP_END;
  ram.i32[end + 3] = 0;
  ram.i32[(CROSS_SLOTS >>> 2) + 3] = 1 << 16;
  ram.i32[CROSS_WORD >>> 2] = 0;
  return pool;
}

/** Drops the code of every frame. */
export function dropAllCode(pool: CodePool): void {
  pool.observer?.dropAll();
  pool.ram.codeIndex.fill(0);
  flushTlbKind(pool.ram, TLB_EXEC);
  pool.next = pool.ram.layout.codePoolBase;
  pool.free.length = 0;
}

/** Drops the code of `pfn`, which a store is about to change; it has some. */
export function dropCodePage(pool: CodePool, pfn: Pfn): void {
  const code = pool.ram.codeIndex[pfn]! >>> 0;
  pool.observer?.dropPage(code);
  pool.free.push(code);
  icacheInvalidateFrame(pool.ram, pfn);
}

/** Whether a frame can get a code page without another one losing its own. */
export function hasRoom(pool: CodePool): boolean {
  const { codePoolBase, codePoolBytes } = pool.ram.layout;
  return pool.free.length > 0 || pool.next + CODE_PAGE_SIZE <= codePoolBase + codePoolBytes;
}

/** Frees the code pages of frames that were given other contents since. */
function reclaimCodePages(pool: CodePool): void {
  const { ram } = pool;
  for (let code = ram.layout.codePoolBase; code < pool.next; code += CODE_PAGE_SIZE) {
    const pfn = ram.u32[(code + END_SLOT + 8) >>> 2]! >>> PAGE_SHIFT;
    if (ram.codeIndex[pfn]! >>> 0 === code) continue;
    pool.observer?.dropPage(code);
    pool.free.push(code);
  }
}

/** A code page that no frame has; all of them if need be. */
function takeCodePage(pool: CodePool): number {
  if (!hasRoom(pool)) reclaimCodePages(pool);
  if (!hasRoom(pool)) dropAllCode(pool);
  const freed = pool.free.pop();
  if (freed !== undefined) return freed >>> 0;
  const code = pool.next;
  pool.next += CODE_PAGE_SIZE;
  return code;
}

/**
 * Gives frame `pfn` a page of undecoded slots. From here on the frame must not be in the write
 * TLB. Drops the code of all frames when the pool is full.
 * @returns the offset of its first slot.
 */
export function newCodePage(pool: CodePool, pfn: number): number {
  const { ram, u16 } = pool;
  const code = takeCodePage(pool);
  ram.codeIndex[pfn] = code;
  flushTlbKind(ram, TLB_WRITE);
  const { i32 } = ram;
  const frame = pfn * PAGE_SIZE;
  const end = (code + END_SLOT) >>> 2;
  i32[end] = OP_END;
  i32[end + 2] = frame;
  i32[end + 3] = 0;
  ram.u8.fill(0, code + CODE_MARKS, code + CODE_PAGE_SIZE);
  // left(next halfword) and left(the one after it).
  let after1 = 0;
  let after2 = 0;
  let half = frame / 2 + SLOTS_PER_PAGE - 1;
  for (let at = end - SLOT_WORDS; at >= code >>> 2; at -= SLOT_WORDS) {
    const left = ((u16[half]! & 3) === 3 ? after2 : after1) + 1;
    i32[at] = OP_UNDECODED;
    i32[at + 3] = left << 16;
    after2 = after1;
    after1 = left;
    half--;
  }
  return code;
}

/**
 * Decodes the instruction at `ip`, and those that follow it until the code branches away. Two
 * that follow each other may get one handler in the first one's slot; the second keeps its own
 * slot, for its operands and for jumps to it.
 */
export function decodeSlots(pool: CodePool, ip: number, ahead = DECODE_AHEAD): void {
  const { ram, u16 } = pool;
  const base = ram.layout.codePoolBase;
  const start = ip - ((ip - base) % CODE_PAGE_SIZE);
  const frame = ram.u32[(start + END_SLOT + 8) >>> 2]! / 2;
  let index = (ip - start) / SLOT_SIZE;
  let before = 0;
  let opBefore = OP_UNDECODED;
  for (let n = 0; n < ahead && index < SLOTS_PER_PAGE; n++) {
    const at = (start + index * SLOT_SIZE) >>> 2;
    if ((ram.i32[at]! & 0xffff) !== OP_UNDECODED) return;
    const half = u16[frame + index]!;
    if ((half & 3) === 3 && index === SLOTS_PER_PAGE - 1) {
      ram.i32[at] = OP_CROSS;
      ram.i32[at + 2] = half;
      return;
    }
    const length = (half & 3) === 3 ? 4 : 2;
    const word = length === 4 ? half | (u16[frame + index + 1]! << 16) : expand(half);
    decode(word, pool.insn);
    writeSlot(pool, at, length, index);
    const op = ram.i32[at]! & 0xffff;
    const pair = pairOf(opBefore, op);
    if (pair !== 0) ram.i32[before] = (ram.i32[before]! & 0xffff0000) | pair;
    before = at;
    opBefore = op;
    if (endsBlock(pool.insn.row)) return;
    index += length / 2;
  }
}

/** Decodes `word`, whose halves lie on two pages, into CROSS_SLOTS. */
export function decodeCross(pool: CodePool, word: number): void {
  decode(word, pool.insn);
  writeSlot(pool, CROSS_SLOTS >>> 2, 4, -1);
  pool.ram.i32[CROSS_WORD >>> 2] = word;
}

function endsBlock(row: number): boolean {
  if (row === ILLEGAL) return true;
  const { name } = INSN_TABLE[row]!;
  return name === 'jal' || name === 'jalr' || name === 'ecall' || name === 'ebreak';
}

/**
 * Writes the slot at word index `at` from pool.insn.
 * @param index which halfword of the page it is; -1 makes every branch a far one.
 */
function writeSlot(pool: CodePool, at: number, length: InsnLength, index: number): void {
  const { i32 } = pool.ram;
  const { insn } = pool;
  if (insn.row === ILLEGAL) {
    i32[at] = OP_ILLEGAL;
    return;
  }
  const { format, regs } = INSN_TABLE[insn.row]!;
  const rd = regs[0] === 'f' ? fOffset(insn.rd) : xTarget(insn.rd);
  const rs1 = regs[1] === 'f' ? fOffset(insn.rs1) : xOffset(insn.rs1);
  const rs2 = regs[2] === 'f' ? fOffset(insn.rs2) : xOffset(insn.rs2);
  i32[at + 1] = (format === 'CSRI' ? insn.rs1 : rs1) | (rs2 << 16);
  i32[at + 2] = format === 'R4' ? fOffset(insn.rs3) : insn.imm;
  let op = handlerOf(insn.row, length, false);
  if (format === 'B' || format === 'J') {
    const target = index + insn.imm / 2;
    if (index >= 0 && target >= 0 && target < SLOTS_PER_PAGE)
      nearBranch(i32, at, insn.imm << SLOT_SCALE);
    else op = handlerOf(insn.row, length, true);
  }
  const soft = SOFT_FLOAT_OPS[insn.row]!;
  if (soft >= 0) {
    i32[at + 3] = (i32[at + 3]! & 0xffff0000) | insn.rm | (soft << 3);
    if (needsSoftFloat(insn)) op = OP_SOFT_FLOAT;
  }
  i32[at] = op | (rd << 16);
}

/** Completes a branch within the page by `distance` bytes of slots. */
function nearBranch(i32: Int32Array, at: number, distance: number): void {
  const left = i32[at + 3]! >>> 16;
  const targetLeft = i32[at + (distance >> 2) + 3]! >>> 16;
  i32[at + 2] = distance;
  i32[at + 3] = (left << 16) | ((left - 1 - targetLeft) & 0xffff);
}

/** Whether the rounding mode alone rules the fast path out. */
export function needsSoftFloat(insn: Insn): boolean {
  const { format, regs } = INSN_TABLE[insn.row]!;
  if (format !== 'FR' && format !== 'FU' && format !== 'R4') return false;
  if (regs === 'xf') return insn.rm !== RM_RTZ;
  return insn.rm !== RM_RNE && insn.rm !== RM_DYN;
}
