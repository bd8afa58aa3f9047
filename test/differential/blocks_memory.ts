/** Loads and stores around one base register, and stores that change code. */

import * as asm from './assembler.ts';
import type { Insn } from './assembler.ts';
import type { Generator } from './blocks_generate.ts';
import type { Assembly, Label } from './blocks_layout.ts';
import { type Context, fName, xName } from './context.ts';

const LOADS: readonly (readonly [string, number, number])[] = [
  ['lb', 0, 1],
  ['lh', 1, 2],
  ['lw', 2, 4],
  ['ld', 3, 8],
  ['lbu', 4, 1],
  ['lhu', 5, 2],
  ['lwu', 6, 4],
];

const STORES: readonly (readonly [string, number, number])[] = [
  ['sb', 0, 1],
  ['sh', 1, 2],
  ['sw', 2, 4],
  ['sd', 3, 8],
];

const AMOADD_W = 0x0;
const AMOSWAP = 0x04;

function loadInsn(c: Context, base: number, offset: number, rd: number): Insn {
  const [name, f3] = c.r.pick(LOADS);
  const text = `${name} ${xName(rd)}, ${offset}(${xName(base)})`;
  return asm.insn(asm.i(asm.OP_LOAD, f3, rd, base, offset), text);
}

function storeInsn(c: Context, base: number, offset: number): Insn {
  const [name, f3] = c.r.pick(STORES);
  const rs2 = c.rs();
  const text = `${name} ${xName(rs2)}, ${offset}(${xName(base)})`;
  return asm.insn(asm.s(asm.OP_STORE, f3, base, rs2, offset), text);
}

function floatAccess(c: Context, base: number, offset: number): Insn {
  const f3 = 2 + c.r.below(2);
  const width = f3 === 2 ? 'w' : 'd';
  const operand = `${offset}(${xName(base)})`;
  if (c.r.oneIn(2)) {
    const rd = c.freshF();
    const text = `fl${width} ${fName(rd)}, ${operand}`;
    return asm.insn(asm.i(asm.OP_LOAD_FP, f3, rd, base, offset), text);
  }
  const rs2 = c.f();
  const text = `fs${width} ${fName(rs2)}, ${operand}`;
  return asm.insn(asm.s(asm.OP_STORE_FP, f3, base, rs2, offset), text);
}

/** A compressed access, if the base and the offset allow one. */
function shortAccess(c: Context, base: number, offset: number): Insn | null {
  if (base < 8 || base > 15 || offset < 0 || offset > 120 || offset % 8 !== 0) return null;
  const kind = c.r.below(4);
  const data = kind < 2 ? c.r.pick(c.writableShort) : c.r.below(8);
  if (data === undefined) return null;
  const size = kind % 2 === 0 ? 4 : 8;
  const f3 = [2, 3, 6, 7][kind]!;
  const name = ['c.lw', 'c.ld', 'c.sw', 'c.sd'][kind]!;
  const text = `${name} ${xName(8 + data)}, ${offset}(${xName(base)})`;
  return asm.short(asm.clcs(f3, base - 8, data, offset, size), text);
}

/** An atomic on the base itself; misaligned ones trap. */
function atomicAccess(c: Context, base: number, rd: number): Insn {
  const f3 = 2 + c.r.below(2);
  const f7 = c.r.pick([AMOADD_W, AMOSWAP, 0x10, 0x20, 0x40, 0x70]);
  const rs2 = c.rs();
  const text = `amo ${xName(rd)}, ${xName(rs2)}, (${xName(base)})`;
  return asm.insn(asm.r(asm.OP_AMO, f3, f7, rd, base, rs2), text);
}

function offsetNear(c: Context): number {
  if (c.r.oneIn(24)) return c.r.pick([-2048, 2047, 2040, -1024, 1000]);
  const offset = c.r.below(112) - 48;
  return c.r.oneIn(3) ? offset : offset & ~7;
}

/** A register with an address somewhere in the pages behind one of the pointers. */
function randomBase(g: Generator): number {
  const { a, c, r } = g;
  const t = c.freshX();
  const pointer = r.pick(g.regs.pointers.slice(1));
  const rs1 = c.rs();
  const bits = r.pick([6, 9, 12, 13]);
  const left = 64 - bits;
  const shift = (f3: number, source: number, name: string): Insn =>
    asm.insn(
      asm.i(asm.OP_IMM, f3, t, source, left),
      `${name} ${xName(t)}, ${xName(source)}, ${left}`,
    );
  a.words(shift(1, rs1, 'slli'), shift(5, t, 'srli'));
  if (!r.oneIn(3)) {
    const mask = r.pick([-8, -8, -64, -4]);
    const text = `andi ${xName(t)}, ${xName(t)}, ${mask}`;
    a.insn(asm.insn(asm.i(asm.OP_IMM, 7, t, t, mask), text));
  }
  const text = `add ${xName(t)}, ${xName(t)}, ${xName(pointer)}`;
  a.insn(asm.insn(asm.r(asm.OP_OP, 0, 0, t, t, pointer), text));
  return t;
}

/** Several accesses off one base register, which may itself change on the way. */
export function cluster(g: Generator, walk?: number): void {
  const { a, c, r } = g;
  const own = walk === undefined && r.oneIn(2);
  const base = walk ?? (own ? randomBase(g) : r.pick(g.regs.pointers.slice(1)));
  for (let n = 2 + r.below(6); n > 0; n--) {
    const offset = offsetNear(c);
    const rd = c.rd();
    const kind = r.below(20);
    // An access through what a load just overwrote would go anywhere.
    const toBase = own && rd === base;
    let insn: Insn | null = null;
    if (kind < 4) insn = shortAccess(c, base, offset);
    if (toBase && insn === null) insn = storeInsn(c, base, offset);
    if (insn !== null) a.insn(insn);
    else if (kind < 10) a.insn(loadInsn(c, base, offset, rd));
    else if (kind < 16) a.insn(storeInsn(c, base, offset));
    else if (kind < 18) a.insn(floatAccess(c, base, offset));
    else if (kind === 18 && r.oneIn(3)) a.insn(atomicAccess(c, base, rd));
    else if (own) {
      const step = r.pick([8, 16, -8, 4]);
      const text = `addi ${xName(base)}, ${xName(base)}, ${step}`;
      a.insn(asm.insn(asm.addi(base, base, step), text));
    }
  }
  if (own && r.oneIn(4)) a.insn(loadInsn(c, base, offsetNear(c), base));
}

/** A place whose instruction changes. */
export interface Site {
  readonly label: Label;
  /** Instructions that may stand here, as 32 bits: one instruction or two short ones. */
  readonly words: readonly Insn[];
  /** Every one is an operation with an immediate, so that one byte of it may be changed alone. */
  readonly plain: boolean;
  placed: boolean;
}

function plainInsn(c: Context): Insn {
  const rd = c.rd();
  const rs1 = c.rs();
  const imm = c.r.below(4096) - 2048;
  const f3 = c.r.pick([0, 2, 3, 4, 6, 7]);
  return asm.insn(
    asm.i(asm.OP_IMM, f3, rd, rs1, imm),
    `opi${f3} ${xName(rd)}, ${xName(rs1)}, ${imm}`,
  );
}

function anyInsn(c: Context): Insn {
  switch (c.r.below(9)) {
    case 0: {
      const halves = [c.freshX(), c.freshX()].map((rd) => asm.ci(1, 0, rd, 1 + c.r.below(30)));
      return asm.insn((halves[0]! & 0xffff) | (halves[1]! << 16), 'c.addi; c.addi');
    }
    case 1:
      return asm.insn(asm.jal(0, 4), 'j .+4');
    case 2:
      return asm.insn(0x00019002, 'c.ebreak; c.nop');
    case 3:
      return asm.insn(-1, 'illegal');
    case 4:
      return loadInsn(c, c.r.pick(c.pointers), offsetNear(c), c.rd());
    case 5:
      return storeInsn(c, c.pointers[1]!, offsetNear(c));
    case 6: {
      const word = asm.r(asm.OP_FP, 7, 1, c.freshF(), c.f(), c.f());
      return asm.insn(word, 'fadd.d');
    }
    default: {
      const f3 = c.r.below(8);
      return asm.insn(asm.r(asm.OP_OP, f3, 1, c.rd(), c.rs(), c.rs()), `muldiv${f3}`);
    }
  }
}

export function newSite(c: Context, a: Assembly): Site {
  const plain = c.r.oneIn(2);
  const words = Array.from({ length: 4 }, () =>
    plain || c.r.oneIn(3) ? plainInsn(c) : anyInsn(c),
  );
  return { label: a.label(), words, plain, placed: false };
}

export function placeSite(g: Generator, site: Site): void {
  site.placed = true;
  g.a.place(site.label);
  const first = site.words.find((word) => !word.text.includes(';'));
  g.a.insn(first ?? plainInsn(g.c));
}

/** Loads 32 bits, sign-extended, into `rd`. */
function constant(a: Assembly, rd: number, word: number): void {
  const { high, low } = asm.split(word);
  a.insn(asm.insn(asm.u(asm.OP_LUI, rd, high), `lui ${xName(rd)}, ${high & 0xfffff}`));
  const text = `addiw ${xName(rd)}, ${xName(rd)}, ${low}`;
  a.insn(asm.insn(asm.i(asm.OP_IMM_32, 0, rd, rd, low), text));
}

/** Writes another instruction to `site`, in one store or in parts, here or through its mirror. */
export function patch(g: Generator, site: Site): void {
  const { a, c, r } = g;
  const t = c.freshX();
  let p = c.freshX();
  while (p === t) p = c.freshX();
  const word = r.pick(site.words);
  constant(a, t, word.word | 0);
  const back = r.pick([0, 0, 4, -32, 100]);
  a.address(p, site.label, back);
  if (r.oneIn(3)) {
    const text = `add ${xName(p)}, ${xName(p)}, ${xName(g.regs.delta)}`;
    a.insn(asm.insn(asm.r(asm.OP_OP, 0, 0, p, p, g.regs.delta), text));
  }
  const store = (f3: number, offset: number): Insn => {
    const text = `s${'bhwd'[f3]} ${xName(t)}, ${offset - back}(${xName(p)}) # ${word.text}`;
    return asm.insn(asm.s(asm.OP_STORE, f3, p, t, offset - back), text);
  };
  const shift = (by: number): Insn =>
    asm.insn(asm.i(asm.OP_IMM, 5, t, t, by), `srli ${xName(t)}, ${xName(t)}, ${by}`);
  const kind = r.below(8);
  if (kind === 0) a.words(store(1, 0), shift(16), store(1, 2));
  else if (kind === 1 && site.plain) a.words(shift(24), store(0, 3));
  else if (kind === 2) {
    a.words(store(0, 0), shift(8), store(0, 1), shift(8), store(0, 2), shift(8), store(0, 3));
  } else if (kind === 3 && back === 0) {
    const text = `amoswap.w zero, ${xName(t)}, (${xName(p)}) # ${word.text}`;
    a.insn(asm.insn(asm.r(asm.OP_AMO, 2, AMOSWAP, 0, p, t), text));
  } else if (kind === 4) {
    const f = c.freshF();
    a.insn(asm.insn(asm.r(asm.OP_FP, 0, 0x78, f, t, 0), `fmv.w.x ${fName(f)}, ${xName(t)}`));
    const text = `fsw ${fName(f)}, ${-back}(${xName(p)}) # ${word.text}`;
    a.insn(asm.insn(asm.s(asm.OP_STORE_FP, 2, p, f, -back), text));
  } else a.insn(store(2, 0));
}
