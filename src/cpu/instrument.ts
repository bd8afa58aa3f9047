/**
 * Points at which a run can be watched, in every tier: which edges between blocks it took, what
 * its branches compared, which blocks it ran. A block is what a branch, taken or not, a jump, a
 * call or a return leads to. Nothing is emitted for what was not asked for.
 *
 * What is written lies in the reserved part of the memory, which no page table leads to:
 *
 *      | edge map | compare ring | block ring |        each one page-aligned, present if asked for
 *
 *      ring:     | total u64 | - 56 bytes | record 0 | record 1 | ... |   the newest is total - 1
 *      by site:  | total u64 | - 56 bytes | count u32 of each site | a ring of each site |
 *      compare:  | pc u64 | rs1 u64 | rs2 u64 | row of INSN_TABLE u32 | - u32 |
 *      block:    | pc u64 |
 */

import { HART_PREV_BLOCK } from '../arch/riscv/hart_state.ts';
import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import { TWO32 } from '../lib/bits.ts';
import type { Emitter, Push } from './emitter.ts';
import { type FunctionBuilder, I32, I64, Op } from './wasm_encoder.ts';

/** What to watch. Sizes are powers of two. */
export interface InstrumentOptions {
  /** Count edges as AFL does. Default false. */
  readonly edges?: boolean | undefined;
  /** Bytes of the edge map, one a counter. Default 65536, AFL's. */
  readonly mapSize?: number | undefined;
  /** Log the operands of conditional branches. Default false. */
  readonly compares?: boolean | undefined;
  /** The newest comparisons that are kept. Default 65536. */
  readonly compareRecords?: number | undefined;
  /**
   * Keeps the newest so many of each branch, so that a loop does not displace what else was
   * compared; branches that share a hash share these. Default 0: the newest of all.
   */
  readonly comparesPerSite?: number | undefined;
  /** Log the address of each block that is reached. Default false. */
  readonly blocks?: boolean | undefined;
  /** The newest blocks that are kept. Default 65536. */
  readonly blockRecords?: number | undefined;
}

/** A part of the reserved memory. */
export interface InstrumentArea {
  /** Offset in the memory. */
  readonly base: number;
  /** log2 of the number of counters or records. */
  readonly order: number;
}

/** Records of comparisons. */
export interface CompareArea extends InstrumentArea {
  /** log2 of the number of sites, each with as many of the records; -1 for one ring of all. */
  readonly siteOrder: number;
  /** Offset of the first record. */
  readonly first: number;
}

/** What is watched, and where it is written; null for what is not. */
export interface Instrument {
  readonly edges: InstrumentArea | null;
  readonly compares: CompareArea | null;
  readonly blocks: InstrumentArea | null;
}

export const INSTRUMENT_ENTRIES_MIN = 256;
export const INSTRUMENT_ENTRIES_MAX = 1 << 22;
const DEFAULT_ENTRIES = 1 << 16;

/** Bytes before the first record of a ring, which begin with the count of all records, ever. */
export const RING_HEADER = 64;
/** Bytes of a site's count. */
export const SITE_COUNT = 4;
export const COMPARE_RECORD = 32;
export const COMPARE_RS1 = 8;
export const COMPARE_RS2 = 16;
export const COMPARE_ROW = 24;
export const BLOCK_RECORD = 8;

/** 2^32 / golden ratio, odd: the high bits of a product with it depend on all bits of an address. */
const HASH = 0x9e37_79b1 | 0;
/** First number of the temporaries used here; the semantics' own are below. */
const TEMP = 90;

function pageAlign(bytes: number): number {
  return Math.ceil(bytes / PAGE_SIZE) * PAGE_SIZE;
}

/** Places what is asked for from `base` on. @returns also the bytes it takes. */
function place(options: InstrumentOptions, base: number): [Instrument, bytes: number] {
  let at = base;
  const area = (
    wanted: boolean | undefined,
    entries: number | undefined,
    header: number,
    size: number,
  ): InstrumentArea | null => {
    if (wanted !== true) return null;
    const order = Math.log2(entries ?? DEFAULT_ENTRIES);
    const placed = { base: at, order };
    at += pageAlign(header + size * 2 ** order);
    return placed;
  };
  const { edges, mapSize, compares, compareRecords, blocks, blockRecords } = options;
  const perSite = options.comparesPerSite ?? 0;
  const sites = perSite === 0 ? 0 : (compareRecords ?? DEFAULT_ENTRIES) / perSite;
  const header = RING_HEADER + sites * SITE_COUNT;
  const siteOrder = sites === 0 ? -1 : Math.log2(sites);
  const ofCompares = (placed: InstrumentArea | null): CompareArea | null =>
    placed === null ? null : { ...placed, siteOrder, first: placed.base + header };
  const instrument = {
    edges: area(edges, mapSize, 0, 1),
    compares: ofCompares(area(compares, compareRecords, header, COMPARE_RECORD)),
    blocks: area(blocks, blockRecords, RING_HEADER, BLOCK_RECORD),
  };
  return [instrument, at - base];
}

/** Bytes of reserved memory that the options take: 0 if nothing is watched. */
export function instrumentBytes(options: InstrumentOptions): number {
  return place(options, 0)[1];
}

/** @returns null if nothing is watched. */
export function placeInstrument(options: InstrumentOptions, base: number): Instrument | null {
  const [instrument, bytes] = place(options, base);
  return bytes === 0 ? null : instrument;
}

/** The counter of the block at `pc`, as it enters the hash of an edge: for who reads the map. */
export function blockOfPc(pc: number, mapSize: number): number {
  const low = (pc % TWO32) | 0;
  return Math.imul(low, HASH) >>> (32 - Math.log2(mapSize));
}

/** Replaces the address on the stack by its hash of `order` bits. */
function emitHash(f: FunctionBuilder, order: number): void {
  f.op(Op.i32WrapI64);
  f.i32Const(HASH);
  f.op(Op.i32Mul);
  f.i32Const(32 - order);
  f.op(Op.i32ShrU);
}

/** map[block ^ prev]++, prev = block >> 1, where `block` is a hash of the address in `pc`. */
function emitEdge(e: Emitter, pc: number, { base, order }: InstrumentArea): void {
  const { f } = e;
  const block = e.temp(I32, TEMP);
  const counter = e.temp(I32, TEMP + 1);
  f.get(pc);
  emitHash(f, order);
  f.tee(block);
  f.i32Const(0);
  f.mem(Op.i32Load, HART_PREV_BLOCK);
  f.op(Op.i32Xor);
  f.tee(counter);
  f.get(counter);
  f.mem(Op.i32Load8U, base);
  f.i32Const(1);
  f.op(Op.i32Add);
  f.mem(Op.i32Store8, base);
  f.i32Const(0);
  f.get(block);
  f.i32Const(1);
  f.op(Op.i32ShrU);
  f.mem(Op.i32Store, HART_PREV_BLOCK);
}

/** Counts one more record; sets the local that is returned to how many there were. */
function emitTotal(e: Emitter, base: number): number {
  const { f } = e;
  const total = e.temp(I64, TEMP);
  f.i32Const(0);
  f.i32Const(0);
  f.mem(Op.i64Load, base);
  f.tee(total);
  f.i64Const(1);
  f.op(Op.i64Add);
  f.mem(Op.i64Store, base);
  return total;
}

/** Sets the local that is returned to the offset, less that of the first record, of a new one. */
function emitRecord(e: Emitter, { base, order }: InstrumentArea, bytes: number): number {
  const { f } = e;
  const total = emitTotal(e, base);
  const record = e.temp(I32, TEMP);
  f.get(total);
  f.op(Op.i32WrapI64);
  f.i32Const(2 ** order - 1);
  f.op(Op.i32And);
  f.i32Const(Math.log2(bytes));
  f.op(Op.i32Shl);
  f.set(record);
  return record;
}

/** As emitRecord(), in the ring of the site that the instruction's address belongs to. */
function emitSiteRecord(e: Emitter, { base, order, siteOrder }: CompareArea): number {
  const { f } = e;
  const [record, count] = [e.temp(I32, TEMP), e.temp(I32, TEMP + 1)];
  const counts = base + RING_HEADER;
  emitTotal(e, base);
  e.pc();
  emitHash(f, siteOrder);
  f.tee(record);
  f.i32Const(Math.log2(SITE_COUNT));
  f.op(Op.i32Shl);
  f.tee(count);
  f.get(count);
  f.mem(Op.i32Load, counts);
  f.tee(count);
  f.i32Const(1);
  f.op(Op.i32Add);
  f.mem(Op.i32Store, counts);
  f.get(record);
  f.i32Const(order - siteOrder);
  f.op(Op.i32Shl);
  f.get(count);
  f.i32Const(2 ** (order - siteOrder) - 1);
  f.op(Op.i32And);
  f.op(Op.i32Or);
  f.i32Const(Math.log2(COMPARE_RECORD));
  f.op(Op.i32Shl);
  f.set(record);
  return record;
}

/** The block at the address that `target` pushes is reached; before anything of it runs. */
export function emitReached(e: Emitter, { edges, blocks }: Instrument, target: Push): void {
  const { f } = e;
  if (edges === null && blocks === null) return;
  const pc = e.temp(I64, TEMP + 1);
  target();
  f.set(pc);
  if (edges !== null) emitEdge(e, pc, edges);
  if (blocks === null) return;
  const record = emitRecord(e, blocks, BLOCK_RECORD);
  f.get(record);
  f.get(pc);
  f.mem(Op.i64Store, blocks.base + RING_HEADER);
}

/** The branch of this row of INSN_TABLE is about to compare rs1 and rs2. */
export function emitCompare(e: Emitter, { compares }: Instrument, row: number): void {
  if (compares === null) return;
  const { f } = e;
  const record =
    compares.siteOrder < 0 ? emitRecord(e, compares, COMPARE_RECORD) : emitSiteRecord(e, compares);
  const store = (push: Push, offset: number): void => {
    f.get(record);
    push();
    f.mem(Op.i64Store, compares.first + offset);
  };
  store(() => e.pc(), 0);
  store(() => e.x(1), COMPARE_RS1);
  store(() => e.x(2), COMPARE_RS2);
  store(() => f.i64Const(row), COMPARE_ROW);
}
