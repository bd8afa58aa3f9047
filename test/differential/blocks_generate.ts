/**
 * Random programs with real control flow: loops in loops, branches forwards and backwards, jump
 * tables, calls, returns to odd places, recursion, loops entered in the middle; and in them
 * loads and stores that fault, cross pages and change the code that is running.
 *
 * Everything that could repeat counts `fuel` down, so every program ends.
 */

import * as asm from './assembler.ts';
import type { Insn } from './assembler.ts';
import { Assembly, type Label } from './blocks_layout.ts';
import {
  A7,
  BLOCK_WINDOW,
  type BlockRegisters,
  blockRegisters,
  FRAME_BYTES,
  RA,
  SAVED,
  SP,
  T0,
} from './blocks_registers.ts';
import { Context, xName } from './context.ts';
import { cluster, patch, type Site, newSite, placeSite } from './blocks_memory.ts';
import { compressed } from './generate_compressed.ts';
import { float, setMode, takeFlags } from './generate_float.ts';
import { atomic, csr, integer, multiply } from './generate_integer.ts';
import type { Random } from './random.ts';

const CSR_INSTRET = 0xc02;
const CSR_CYCLE = 0xc00;
const EBREAK = 0x100073;
const C_EBREAK = 0x9002;
export const ECALL = 0x73;
/** Values of a7: what an ecall asks for. */
export const CALL_EXIT = 0;
export const CALL_CHANGE = 1;

/** Fuel of each round. */
export const FUEL = 100;

/** How much of what a program has, in percent of its statements and ideas. */
interface Taste {
  readonly float: number;
  readonly memory: number;
  readonly changes: number;
  readonly shortForms: number;
  /** frm may hold an invalid mode. */
  readonly wildModes: boolean;
}

/** The state of generating one program. */
export interface Generator {
  readonly r: Random;
  readonly c: Context;
  readonly a: Assembly;
  readonly regs: BlockRegisters;
  readonly taste: Taste;
  readonly functions: readonly Label[];
  readonly exit: Label;
  readonly sites: readonly Site[];
  /** A place between code that is no code; one of the pointers may point there. */
  readonly hole: Label;
  holePlaced: boolean;
  /** The function being generated. */
  current: number;
  /** Statements still allowed. */
  left: number;
  /** Nearly empty pages still allowed. */
  jumps: number;
}

function addi(rd: number, rs1: number, imm: number): Insn {
  return asm.insn(asm.addi(rd, rs1, imm), `addi ${xName(rd)}, ${xName(rs1)}, ${imm}`);
}

function add(rd: number, rs1: number, rs2: number): Insn {
  const text = `add ${xName(rd)}, ${xName(rs1)}, ${xName(rs2)}`;
  return asm.insn(asm.r(asm.OP_OP, 0, 0, rd, rs1, rs2), text);
}

/** rd += imm, in the short form where it is asked for. */
function bump(g: Generator, rd: number, imm: number): void {
  if (isShortForm(g) && imm >= -32 && imm < 32) {
    g.a.insn(asm.short(asm.ci(1, 0, rd, imm), `c.addi ${xName(rd)}, ${imm}`));
  } else g.a.insn(addi(rd, rd, imm));
}

function jumpTo(g: Generator, rs1: number, link: number): void {
  if (isShortForm(g) && link <= 1) {
    const text = `${link === 1 ? 'c.jalr' : 'c.jr'} ${xName(rs1)}`;
    g.a.insn(asm.short(2 | (4 << 13) | (link << 12) | (rs1 << 7), text));
    return;
  }
  const text = `jalr ${xName(link)}, 0(${xName(rs1)})`;
  g.a.insn(asm.insn(asm.i(asm.OP_JALR, 0, link, rs1, 0), text));
}

function isShortForm(g: Generator): boolean {
  return g.r.below(100) < g.taste.shortForms;
}

function idea(g: Generator): void {
  const { c, r, taste } = g;
  const n = r.below(100);
  if (n < taste.float) {
    const format = r.oneIn(2) ? 0 : 1;
    if (taste.wildModes && r.oneIn(6)) c.add(csr);
    else if (r.oneIn(8)) c.add(setMode);
    c.add((d) => float(d, format));
    if (r.oneIn(4)) c.add(takeFlags);
    return;
  }
  const m = r.below(100);
  if (m < taste.shortForms / 2) c.add(compressed);
  else if (m < 70) c.add(integer);
  else if (m < 82) c.add(multiply);
  else if (m < 88) c.add(atomic);
  else if (m < 90) c.add(readCounter);
  else c.add(compressed);
}

function readCounter(c: Context): void {
  const number = c.r.oneIn(2) ? CSR_INSTRET : CSR_CYCLE;
  const rd = c.freshX();
  const text = `csrr ${xName(rd)}, ${number === CSR_CYCLE ? 'cycle' : 'instret'}`;
  c.emit(asm.insn(asm.i(asm.OP_SYSTEM, 2, rd, 0, number), text));
}

/** Moves the instructions that ideas made to the program; their own jumps get labels. */
export function takeIdeas(g: Generator): void {
  const insns = g.c.insns.splice(0);
  const labels = new Map<number, Label>();
  const targets = insns.map((insn, n) => {
    if (insn.patch === undefined) return null;
    let target = Math.min(n + (insn.skip ?? 1), insns.length);
    while (insns[target]?.joined === true) target++;
    const label = labels.get(target) ?? g.a.label();
    labels.set(target, label);
    return label;
  });
  for (let n = 0; n <= insns.length; n++) {
    const label = labels.get(n);
    if (label !== undefined) g.a.place(label);
    if (n < insns.length) g.a.insn(insns[n]!, targets[n]);
  }
}

function straight(g: Generator, max: number): void {
  for (let n = 1 + g.r.below(max); n > 0; n--) idea(g);
  takeIdeas(g);
}

/** A branch on whatever registers hold, mostly either way. */
function branch(g: Generator, to: Label): void {
  const { c, r } = g;
  const f3 = r.pick([0, 1, 1, 4, 5, 6, 7]);
  if (r.oneIn(3)) {
    g.a.branch(r.below(2), r.pick([8, 9, 10, 11, 12, 13, 14, 15]), 0, to, isShortForm(g));
    return;
  }
  if (r.oneIn(3)) {
    // One bit of a register: as good as a coin.
    const t = c.freshX();
    const bit = r.below(12);
    const rs1 = c.rs();
    const text = `andi ${xName(t)}, ${xName(rs1)}, ${1 << bit}`;
    g.a.insn(asm.insn(asm.i(asm.OP_IMM, 7, t, rs1, bit === 11 ? -2048 : 1 << bit), text));
    g.a.branch(r.below(2), t, 0, to, isShortForm(g));
    return;
  }
  g.a.branch(f3, c.rs(), r.oneIn(6) ? 0 : c.rs(), to);
}

function burn(g: Generator): void {
  bump(g, g.regs.fuel, -1);
  g.a.branch(4, g.regs.fuel, 0, g.exit);
}

function statements(g: Generator, depth: number, max: number): void {
  for (let n = 1 + g.r.below(max); n > 0 && g.left > 0; n--) {
    g.left--;
    statement(g, depth);
  }
}

function ifElse(g: Generator, depth: number): void {
  const { a } = g;
  const [otherwise, end] = [a.label(), a.label()];
  branch(g, otherwise);
  statements(g, depth + 1, 2);
  const both = g.r.oneIn(2);
  if (both) a.jump(0, end, isShortForm(g));
  a.place(otherwise);
  if (both) statements(g, depth + 1, 2);
  a.place(end);
}

/** A counted loop, with its test at either end; perhaps entered in the middle, perhaps left early. */
function loop(g: Generator, depth: number, nesting: number): void {
  const { a, r, regs } = g;
  const counter = regs.counters[nesting]!;
  const [top, middle, end] = [a.label(), a.label(), a.label()];
  a.insn(addi(counter, 0, r.oneIn(6) ? 20 + r.below(200) : 1 + r.below(10)));
  if (r.oneIn(2)) a.insn(addi(regs.walk, r.pick(regs.pointers), r.below(128) - 64));
  const atTop = r.oneIn(3);
  if (r.oneIn(4)) branch(g, middle);
  a.place(top);
  if (atTop) a.branch(0, counter, 0, end, isShortForm(g));
  burn(g);
  statements(g, depth + 1, 3);
  a.place(middle);
  if (r.oneIn(2)) bump(g, regs.walk, r.pick([1, 4, 8, 8, 16, -8, 60]));
  statements(g, depth + 1, 2);
  if (r.oneIn(5)) branch(g, end);
  bump(g, counter, -1);
  if (atTop) a.jump(0, top, isShortForm(g));
  else if (r.oneIn(2)) a.branch(5, counter, 0, top);
  else a.branch(1, counter, 0, top, isShortForm(g));
  a.place(end);
}

function innermost(g: Generator, depth: number): void {
  const { a, regs, r } = g;
  const top = a.label();
  const counter = regs.counters[2]!;
  a.insn(addi(counter, 0, 2 + r.below(r.oneIn(4) ? 300 : 12)));
  a.place(top);
  if (r.oneIn(2)) burn(g);
  if (depth >= 0 && r.below(100) < g.taste.memory) cluster(g, regs.walk);
  else straight(g, 5);
  if (r.oneIn(2)) bump(g, regs.walk, 8);
  bump(g, counter, -1);
  a.branch(1, counter, 0, top, isShortForm(g));
}

/** An index of a few bits in a register. */
function index(g: Generator, arms: number, shift: number): number {
  const t = g.c.freshX();
  const rs1 = g.c.rs();
  const text = `andi ${xName(t)}, ${xName(rs1)}, ${arms - 1}`;
  g.a.insn(asm.insn(asm.i(asm.OP_IMM, 7, t, rs1, arms - 1), text));
  const shiftText = `slli ${xName(t)}, ${xName(t)}, ${shift}`;
  g.a.insn(asm.insn(asm.i(asm.OP_IMM, 1, t, t, shift), shiftText));
  return t;
}

function other(g: Generator, ...taken: number[]): number {
  for (;;) {
    const n = g.c.freshX();
    if (!taken.includes(n)) return n;
  }
}

/** A switch: through a table of addresses, or into a row of jumps. */
function switchJump(g: Generator, depth: number): void {
  const { a, r } = g;
  const arms = r.pick([2, 4, 8]);
  const labels = Array.from({ length: arms }, () => a.label());
  const [table, end] = [a.label(), a.label()];
  const throughTable = r.oneIn(2);
  const t = index(g, arms, throughTable ? 3 : 2);
  const u = other(g, t);
  a.address(u, table);
  a.insn(add(u, u, t));
  if (throughTable) a.insn(asm.insn(asm.ld(u, u, 0), `ld ${xName(u)}, 0(${xName(u)})`));
  jumpTo(g, u, r.oneIn(4) ? other(g, u) : 0);
  a.place(table);
  if (throughTable) a.table(labels);
  else for (const label of labels) a.jump(0, label);
  for (const label of labels) {
    a.place(label);
    if (r.oneIn(2)) straight(g, 3);
    else statements(g, depth + 1, 1);
    if (!r.oneIn(4)) a.jump(0, end, isShortForm(g));
  }
  a.place(end);
}

/** Blocks that jump to each other as they like. */
function soup(g: Generator): void {
  const { a, r } = g;
  const labels = Array.from({ length: 3 + r.below(5) }, () => a.label());
  const end = a.label();
  if (r.oneIn(2)) branch(g, r.pick(labels));
  for (const label of labels) {
    a.place(label);
    if (r.below(100) < g.taste.memory) cluster(g);
    else straight(g, 4);
    burn(g);
    branch(g, r.oneIn(4) ? end : r.pick(labels));
    if (r.oneIn(3)) a.jump(0, r.oneIn(3) ? end : r.pick(labels), isShortForm(g));
  }
  a.place(end);
}

/** Calls `to` in one of the ways there are. */
function callTo(g: Generator, to: Label): void {
  const { a, r } = g;
  const t = other(g, RA);
  switch (r.below(5)) {
    case 0:
    case 1:
      a.jump(RA, to);
      return;
    case 2:
      a.call(RA, r.oneIn(2) ? RA : t, to);
      return;
    case 3:
      a.address(t, to);
      jumpTo(g, t, RA);
      return;
    default:
      a.address(RA, to);
      jumpTo(g, RA, RA);
  }
}

function call(g: Generator): void {
  const { a, r, regs } = g;
  const after = g.functions.slice(g.current + 1);
  if (after.length > 0 && !r.oneIn(4)) {
    callTo(g, r.pick(after));
    return;
  }
  if (g.functions.length < 2) return;
  const over = a.label();
  a.branch(5, 0, regs.depth, over);
  bump(g, regs.depth, -1);
  callTo(g, r.pick(g.functions.slice(1, g.current + 1).concat(g.functions[1]!)));
  bump(g, regs.depth, 1);
  a.place(over);
}

/** A few instructions that leave ra alone. */
function simple(g: Generator): void {
  for (let n = g.r.below(3); n > 0; n--) {
    const rd = other(g, RA, T0);
    g.a.insn(addi(rd, g.c.rs(), g.r.below(4096) - 2048));
  }
}

/** Returns and links that are not those of calls. */
function oddReturn(g: Generator): void {
  const { a, r } = g;
  const [sub, end] = [a.label(), a.label()];
  switch (r.below(4)) {
    case 0:
      // A computed jump that looks like a return.
      a.address(RA, end);
      simple(g);
      jumpTo(g, RA, 0);
      straight(g, 2);
      break;
    case 1:
      // The second link register.
      a.jump(T0, sub);
      a.jump(0, end, isShortForm(g));
      a.place(sub);
      simple(g);
      jumpTo(g, T0, 0);
      break;
    case 2:
      // The callee returns past the instruction after the call.
      a.jump(RA, sub);
      a.insn(addi(other(g, RA), 0, 1));
      a.jump(0, end);
      a.place(sub);
      simple(g);
      bump(g, RA, 4);
      jumpTo(g, RA, 0);
      break;
    default: {
      // Coroutines: each return goes to where the other one left.
      const t = other(g, RA, T0);
      a.jump(RA, sub);
      simple(g);
      jumpTo(g, RA, 0);
      a.place(sub);
      a.insn(addi(t, RA, 0));
      jumpTo(g, t, RA);
      simple(g);
    }
  }
  a.place(end);
}

/** Something for the kernel in the middle of code. */
function trap(g: Generator): void {
  const { a, r } = g;
  if (r.oneIn(4)) {
    a.insn(r.oneIn(2) ? asm.short(C_EBREAK, 'c.ebreak') : asm.insn(EBREAK, 'ebreak'));
    return;
  }
  if (r.oneIn(6)) {
    a.insn(r.oneIn(2) ? asm.short(0, 'c.unimp') : asm.insn(-1, 'illegal'));
    return;
  }
  a.insn(addi(A7, 0, CALL_CHANGE));
  a.insn(asm.insn(ECALL, 'ecall'));
}

/** A 4-byte instruction whose halves lie on two pages. */
function straddle(g: Generator): void {
  const { a, r } = g;
  if (g.jumps-- <= 0) return;
  const on = a.label();
  a.jump(0, on, isShortForm(g));
  a.upTo(4094);
  a.place(on);
  const site = g.sites.find((s) => !s.placed);
  if (site !== undefined && r.oneIn(2)) placeSite(g, site);
  else a.insn(addi(other(g, RA), g.c.rs(), r.below(4096) - 2048));
}

function smc(g: Generator): void {
  const site = g.sites.find((s) => !s.placed);
  const after = g.r.oneIn(2);
  if (after) patch(g, site !== undefined && g.r.oneIn(2) ? site : g.r.pick(g.sites));
  if (site !== undefined && !site.placed) placeSite(g, site);
  if (!after) patch(g, g.r.pick(g.sites));
}

function statement(g: Generator, depth: number): void {
  const { r, taste } = g;
  const n = r.below(100);
  if (n < taste.memory / 2) cluster(g, r.oneIn(3) ? g.regs.walk : undefined);
  else if (g.sites.length > 0 && r.below(100) < taste.changes) smc(g);
  else if (r.below(100) < 12) trap(g);
  else if (r.below(100) < 3) straddle(g);
  else if (depth >= 4) straight(g, 6);
  else compound(g, depth);
}

function compound(g: Generator, depth: number): void {
  const n = g.r.below(100);
  if (n < 25) straight(g, 6);
  else if (n < 40) ifElse(g, depth);
  else if (n < 50) {
    if (depth < 2) loop(g, depth, depth);
    else innermost(g, depth);
  } else if (n < 58) innermost(g, depth);
  else if (n < 66) switchJump(g, depth);
  else if (n < 74) soup(g);
  else if (n < 88) call(g);
  else oddReturn(g);
}

const STORED = [SAVED, SAVED + 8, SAVED + 16, SAVED + 24];

function saveOrRestore(g: Generator, load: boolean): void {
  const registers = [RA, ...g.regs.counters];
  for (const [n, register] of registers.entries()) {
    const offset = STORED[n]!;
    const operands = `${xName(register)}, ${offset}(sp)`;
    if (isShortForm(g)) {
      const word = load ? asm.ciLoad(3, register, offset, 8) : asm.css(7, register, offset, 8);
      g.a.insn(asm.short(word, `${load ? 'c.ldsp' : 'c.sdsp'} ${operands}`));
    } else {
      const word = load ? asm.ld(register, SP, offset) : asm.sd(register, SP, offset);
      g.a.insn(asm.insn(word, `${load ? 'ld' : 'sd'} ${operands}`));
    }
  }
}

function moveStack(g: Generator, by: number): void {
  if (isShortForm(g)) g.a.insn(asm.short(asm.addi16sp(by), `c.addi16sp sp, ${by}`));
  else g.a.insn(addi(SP, SP, by));
}

function define(g: Generator, n: number): void {
  const { a, r } = g;
  g.current = n;
  a.place(g.functions[n]!);
  if (n > 0 && n === g.functions.length - 1 && r.oneIn(2)) {
    // A leaf: nothing is saved.
    simple(g);
    simple(g);
    jumpTo(g, RA, 0);
    return;
  }
  if (n > 0) burn(g);
  moveStack(g, -FRAME_BYTES);
  saveOrRestore(g, false);
  g.left = n === 0 ? 30 : 12;
  statements(g, 0, n === 0 ? 12 : 6);
  saveOrRestore(g, true);
  moveStack(g, FRAME_BYTES);
  if (n > 0 && n < g.functions.length - 1 && r.oneIn(4)) {
    const t = other(g, RA);
    if (r.oneIn(2)) a.call(0, t, g.functions[n + 1]!);
    else a.jump(0, g.functions[n + 1]!);
  } else if (n > 0) jumpTo(g, RA, 0);
  else a.jump(0, g.exit);
}

function randomTaste(r: Random): Taste {
  return {
    float: r.pick([0, 10, 30, 60]),
    memory: r.pick([10, 30, 60]),
    changes: r.pick([0, 0, 6, 12, 25]),
    shortForms: r.pick([0, 30, 60, 90]),
    wildModes: r.oneIn(4),
  };
}

/** Generates the code of one program; the caller lays it out. */
export function generateBlocks(r: Random): Generator {
  const regs = blockRegisters(r);
  const taste = randomTaste(r);
  const a = new Assembly();
  const c = new Context(r, regs, BLOCK_WINDOW);
  const functions = Array.from({ length: 1 + r.below(5) }, () => a.label());
  const exit = a.label();
  const hole = a.label();
  const sites = taste.changes === 0 ? [] : Array.from({ length: 6 }, () => newSite(c, a));
  const state = { current: 0, left: 0, jumps: 3, holePlaced: false };
  const g: Generator = { r, c, a, regs, taste, functions, exit, hole, sites, ...state };
  for (let n = 0; n < functions.length; n++) {
    define(g, n);
    if (r.oneIn(3)) a.hole(2 * r.below(200));
    if (!g.holePlaced && r.oneIn(3)) placeHole(g);
  }
  for (const site of sites) if (!site.placed) placeSite(g, site);
  if (!g.holePlaced) placeHole(g);
  finish(g);
  return g;
}

/** Where every way ends: starts again, or leaves. */
function finish(g: Generator): void {
  const { a, regs } = g;
  const done = a.label();
  a.place(g.exit);
  bump(g, regs.rounds, -1);
  a.branch(5, 0, regs.rounds, done);
  a.insn(addi(SP, regs.top, 0));
  a.insn(addi(regs.fuel, 0, FUEL));
  a.jump(0, g.functions[0]!);
  a.place(done);
  a.insn(addi(A7, 0, CALL_EXIT));
  a.insn(asm.insn(ECALL, 'ecall'));
}

function placeHole(g: Generator): void {
  g.a.place(g.hole);
  g.a.hole(BLOCK_WINDOW + 64);
  g.holePlaced = true;
}
