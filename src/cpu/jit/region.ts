/**
 * What is compiled as one function: finds the instructions that belong together, starting at a hot
 * one, and cuts them into basic blocks.
 *
 * Addresses here are relative to the page of the first instruction, in bytes: compiled code does
 * not know where it is mapped.
 */

import { PAGE_SHIFT, PAGE_SIZE } from '../../arch/riscv/memlayout.ts';
import { expand } from '../compressed.ts';
import { decode, ILLEGAL, type Insn } from '../decode.ts';
import { INSN_TABLE } from '../insn_table.ts';
import type { CodePool } from '../predecode.ts';
import { END_SLOT, SLOT_LEFT, SLOT_SIZE } from '../slots.ts';
import type { Flow } from './structure.ts';

/** Region addresses stay within this of the first page: entries have 16 bits for a page's distance. */
const REACH = 1 << 26;
/** Return sites that one return compares with. */
const MAX_RETURNS = 6;
const RA = 1;
const T0 = 5;

export interface RegionInsn extends Insn {
  readonly rel: number;
  readonly length: 2 | 4;
  /** Instructions from here to the end of the page (slots.ts). */
  readonly left: number;
}

/** How a block ends. */
export type BlockEnd =
  /** Goes on at the next instruction. */
  | 'next'
  | 'branch'
  | 'jump'
  | 'call'
  | 'indirect-call'
  | 'return'
  | 'indirect'
  /** The last instruction traps. */
  | 'trap'
  /** The last instruction is left to the interpreter; `insns` has it not. */
  | 'interpret';

export interface Block {
  readonly start: number;
  readonly insns: readonly RegionInsn[];
  readonly end: BlockEnd;
  /** Address after the last instruction, or of the one for the interpreter. */
  readonly next: number;
  /** Target of a branch, jump or call. */
  readonly target: number;
  /** Where an indirect jump goes as far as can be seen, or null. */
  readonly predicted: number | null;
  /** Return sites that a return may go to, as block numbers. */
  returns: number[];
}

export interface Region {
  /** Offsets of the pages' predecoded code, by their distance from the first page. */
  readonly pages: ReadonlyMap<number, number>;
  readonly blocks: readonly Block[];
  /** Block number by address. */
  readonly blockAt: ReadonlyMap<number, number>;
  readonly flow: Flow;
  readonly insnCount: number;
  /** Made of several regions. */
  readonly joined: boolean;
}

/** Gives the predecoded code of the page at a distance from the first one; 0 if there is none. */
export type CodePageOf = (page: number) => number;

/** What limits a region, and what it can know of the program's data. */
export interface RegionLimits {
  readonly maxInsns: number;
  /** Whether code whose slot is at this offset is worth it. */
  readonly wants: (slot: number) => boolean;
  /** The starts are those of regions that there are. */
  readonly joined: boolean;
  /** The address in the doubleword at `rel`, relative as all are here; null if it is not mapped. */
  readonly pointerAt: (rel: number) => number | null;
}

interface Discovery {
  readonly pool: CodePool;
  readonly codePageOf: CodePageOf;
  readonly limits: RegionLimits;
  /** 0 for a page that is not there. */
  readonly pages: Map<number, number>;
  readonly insns: Map<number, RegionInsn>;
  readonly leaders: Set<number>;
  /** Target of indirect jumps by the address of the jump. */
  readonly predictions: Map<number, number>;
  /** Where control may come from outside: after traps and calls; the called address, if known. */
  readonly entries: { rel: number; callee: number | null }[];
  /** Addresses to look at: within the function first, called functions after that. */
  readonly work: number[];
  readonly calls: number[];
}

export function pageOf(rel: number): number {
  return rel >> PAGE_SHIFT;
}

/** Offset of the slot at `rel` of a page whose predecoded code is at `code`. */
function slotIn(code: number, rel: number): number {
  return code + ((rel & (PAGE_SIZE - 1)) / 2) * SLOT_SIZE;
}

/** Offset of the predecoded code of the page of `rel`, which is the region's. */
export function codeAt(region: Region, rel: number): number {
  return region.pages.get(pageOf(rel))!;
}

/** Offset of the slot at `rel`. */
export function slotOf(region: Region, rel: number): number {
  return slotIn(codeAt(region, rel), rel);
}

function codePage(d: Discovery, page: number): number {
  let code = d.pages.get(page);
  if (code === undefined) {
    code = d.codePageOf(page);
    d.pages.set(page, code);
  }
  return code;
}

function halfword(d: Discovery, code: number, index: number): number {
  const frame = d.pool.ram.u32[(code + END_SLOT + 8) >>> 2]!;
  return d.pool.u16[frame / 2 + index]!;
}

/** The instruction at `rel`, or null when it cannot be fetched. */
function fetchInsn(d: Discovery, rel: number): RegionInsn | null {
  if (rel < -REACH || rel >= REACH) return null;
  const code = codePage(d, pageOf(rel));
  if (code === 0) return null;
  const index = (rel & (PAGE_SIZE - 1)) / 2;
  const low = halfword(d, code, index);
  const length = (low & 3) === 3 ? 4 : 2;
  let word = low;
  if (length === 2) word = expand(low);
  else if (index < PAGE_SIZE / 2 - 1) word |= halfword(d, code, index + 1) << 16;
  else {
    const next = codePage(d, pageOf(rel) + 1);
    if (next === 0) return null;
    word |= halfword(d, next, 0) << 16;
  }
  const { insn } = d.pool;
  decode(word, insn);
  const { row, rd, rs1, rs2, rs3, imm, rm } = insn;
  const left = d.pool.u16[(code + index * SLOT_SIZE + SLOT_LEFT) >>> 1]!;
  return { row, rd, rs1, rs2, rs3, imm, rm, rel, length, left };
}

/** Whether the code at `rel` is there and worth compiling. */
function isWanted(d: Discovery, rel: number): boolean {
  if (rel < -REACH || rel >= REACH) return false;
  const code = codePage(d, pageOf(rel));
  return code !== 0 && d.limits.wants(slotIn(code, rel));
}

/** Instructions that end a block by their name. */
const TRAPS = new Set(['ecall', 'ebreak']);

/** How an instruction ends its block, or null if it does not. */
function endOf(insn: RegionInsn): BlockEnd | null {
  if (insn.row === ILLEGAL) return 'interpret';
  const { name, format } = INSN_TABLE[insn.row]!;
  if (format === 'B') return 'branch';
  if (format === 'J') return insn.rd === 0 ? 'jump' : 'call';
  if (name === 'jalr') {
    if (insn.rd === RA || insn.rd === T0) return 'indirect-call';
    return insn.rd === 0 && (insn.rs1 === RA || insn.rs1 === T0) && insn.imm === 0
      ? 'return'
      : 'indirect';
  }
  if (TRAPS.has(name)) return 'trap';
  if (format === 'CSR' || format === 'CSRI') return 'interpret';
  return null;
}

/** Adds an address that control may come to. */
function follow(d: Discovery, rel: number, list: number[]): void {
  if (!isWanted(d, rel)) return;
  d.leaders.add(rel);
  list.push(rel);
}

function addEntry(d: Discovery, rel: number, callee: number | null): void {
  if (!isWanted(d, rel)) return;
  d.leaders.add(rel);
  d.work.push(rel);
  d.entries.push({ rel, callee });
}

/**
 * Predicts the indirect jump `insn` when the instructions before it, the last first, load its
 * address: `auipc; jalr` is a far call, `auipc; ld; jalr` a call through the table of a shared
 * library's imports.
 */
function predict(d: Discovery, insn: RegionInsn, before: readonly RegionInsn[]): void {
  const [last, first] = [before.at(-1), before.at(-2)];
  if (last === undefined || last.rd !== insn.rs1) return;
  const { name } = INSN_TABLE[last.row]!;
  let target: number | null = null;
  if (name === 'auipc') target = last.rel + last.imm + insn.imm;
  else if (name === 'ld' && first !== undefined && first.rd === last.rs1) {
    if (INSN_TABLE[first.row]!.name !== 'auipc') return;
    const pointer = d.limits.pointerAt(first.rel + first.imm + last.imm);
    if (pointer !== null) target = pointer + insn.imm;
  }
  if (target !== null && isWanted(d, target)) d.predictions.set(insn.rel, target);
}

/** Notes where control goes after `insn`, which ends a block. */
function followEnd(d: Discovery, insn: RegionInsn, end: BlockEnd): void {
  const next = insn.rel + insn.length;
  const predicted = d.predictions.get(insn.rel) ?? null;
  switch (end) {
    case 'branch':
      follow(d, next, d.work);
      follow(d, insn.rel + insn.imm, d.work);
      break;
    case 'jump':
      follow(d, insn.rel + insn.imm, d.work);
      break;
    case 'call':
      follow(d, insn.rel + insn.imm, d.calls);
      addEntry(d, next, insn.rel + insn.imm);
      break;
    case 'indirect':
      if (predicted !== null) follow(d, predicted, d.calls);
      break;
    case 'indirect-call':
      if (predicted !== null) follow(d, predicted, d.calls);
      addEntry(d, next, predicted);
      break;
    case 'trap':
    case 'interpret':
      addEntry(d, next, null);
      break;
    default:
  }
}

/** Decodes from `start` to the end of its block. */
function scan(d: Discovery, start: number): void {
  const before: RegionInsn[] = [];
  for (let rel = start; !d.insns.has(rel); ) {
    if (d.insns.size >= d.limits.maxInsns) return;
    const insn = fetchInsn(d, rel);
    if (insn === null) return;
    d.insns.set(rel, insn);
    const end = endOf(insn);
    if (end !== null) {
      if (end === 'indirect' || end === 'indirect-call') predict(d, insn, before);
      followEnd(d, insn, end);
      return;
    }
    before.push(insn);
    rel += insn.length;
    // Another page is entered by an edge, which checks that it is there.
    if (pageOf(rel) !== pageOf(insn.rel)) d.leaders.add(rel);
  }
}

/** Whether a block goes on wherever a register says. */
export function isIndirect({ end }: Block): boolean {
  return end === 'return' || end === 'indirect' || end === 'indirect-call';
}

/** The block at `rel`, whose first instruction is known. */
function cutBlock(d: Discovery, rel: number): Block {
  const insns: RegionInsn[] = [];
  const block = (end: BlockEnd, next: number, target: number, predicted: number | null): Block => {
    return { start: rel, insns, end, next, target, predicted, returns: [] };
  };
  let at = rel;
  for (;;) {
    const insn = d.insns.get(at);
    if (insn === undefined || (at !== rel && d.leaders.has(at))) return block('next', at, 0, null);
    const end = endOf(insn);
    if (end === 'interpret') return block(end, at, 0, null);
    insns.push(insn);
    at += insn.length;
    if (end !== null)
      return block(end, at, insn.rel + insn.imm, d.predictions.get(insn.rel) ?? null);
  }
}

/** Blocks that belong to the function that starts at `entry`: calls are stepped over. */
function functionBlocks(
  blocks: readonly Block[],
  blockAt: ReadonlyMap<number, number>,
  entry: number,
): Set<number> {
  const seen = new Set<number>();
  const work = [entry];
  for (;;) {
    const block = work.pop();
    if (block === undefined) return seen;
    if (seen.has(block)) continue;
    seen.add(block);
    const { end, next, target, predicted } = blocks[block]!;
    const to = (rel: number): void => {
      const succ = blockAt.get(rel);
      if (succ !== undefined) work.push(succ);
    };
    if (end === 'branch' || end === 'jump') to(target);
    // A jump to another function: that one returns.
    if (end === 'indirect' && predicted !== null) to(predicted);
    if (end !== 'jump' && end !== 'return' && end !== 'indirect') to(next);
  }
}

/** Finds the return sites that each return of a called function may go to. */
function matchReturns(blocks: readonly Block[], blockAt: ReadonlyMap<number, number>): void {
  const sites = new Map<number, number[]>();
  for (const { end, next, target, predicted } of blocks) {
    if (end !== 'call' && (end !== 'indirect-call' || predicted === null)) continue;
    const callee = blockAt.get(end === 'call' ? target : predicted!);
    const site = blockAt.get(next);
    if (callee === undefined || site === undefined) continue;
    const known = sites.get(callee);
    if (known === undefined) sites.set(callee, [site]);
    else known.push(site);
  }
  for (const [callee, returnSites] of sites) {
    for (const number of functionBlocks(blocks, blockAt, callee)) {
      const block = blocks[number]!;
      if (block.end !== 'return') continue;
      for (const site of returnSites) {
        if (block.returns.length < MAX_RETURNS && !block.returns.includes(site))
          block.returns.push(site);
      }
    }
  }
}

function successors(block: Block, blockAt: ReadonlyMap<number, number>): number[] {
  const succs: number[] = [];
  const to = (rel: number): void => {
    const succ = blockAt.get(rel);
    if (succ !== undefined) succs.push(succ);
  };
  switch (block.end) {
    case 'next':
      to(block.next);
      break;
    case 'branch':
      to(block.target);
      to(block.next);
      break;
    case 'jump':
    case 'call':
      to(block.target);
      break;
    case 'return':
      succs.push(...block.returns);
      break;
    case 'indirect':
    case 'indirect-call':
      if (block.predicted !== null) to(block.predicted);
      break;
    default:
  }
  return succs;
}

/**
 * Finds the region that starts at `starts`, the first of them on page 0.
 * @returns null when there is nothing to compile.
 */
export function findRegion(
  pool: CodePool,
  codePageOf: CodePageOf,
  starts: readonly number[],
  limits: RegionLimits,
): Region | null {
  const d: Discovery = {
    pool,
    codePageOf,
    limits,
    pages: new Map(),
    insns: new Map(),
    predictions: new Map(),
    leaders: new Set(starts),
    entries: starts.map((rel) => ({ rel, callee: null })),
    work: [...starts],
    calls: [],
  };
  for (;;) {
    const rel = d.work.shift() ?? d.calls.shift();
    if (rel === undefined) break;
    scan(d, rel);
  }
  return buildRegion(d, starts[0]!);
}

function buildRegion(d: Discovery, start: number): Region | null {
  const starts = [...d.leaders].filter((rel) => d.insns.has(rel)).sort((a, b) => a - b);
  const blocks = starts.map((rel) => cutBlock(d, rel));
  const blockAt = new Map(starts.map((rel, i) => [rel, i]));
  const first = blockAt.get(start);
  if (first === undefined || blocks[first]!.insns.length === 0) return null;
  matchReturns(blocks, blockAt);
  const entries = new Set([first]);
  for (const { rel, callee } of d.entries) {
    const block = blockAt.get(rel);
    if (block === undefined || blocks[block]!.insns.length === 0) continue;
    // A called function of the region comes back within it.
    if (callee === null || !blockAt.has(callee)) entries.add(block);
  }
  const used = new Set<number>();
  for (const { rel, length } of d.insns.values())
    used.add(pageOf(rel)).add(pageOf(rel + length - 1));
  const pages = new Map([...used].map((page) => [page, d.pages.get(page)!]));
  const flow = {
    succs: blocks.map((block) => successors(block, blockAt)),
    entries: [...entries],
    reenters: blocks.some(isIndirect),
  };
  return { pages, blocks, blockAt, flow, insnCount: d.insns.size, joined: d.limits.joined };
}
