/** Assembles programs with labels: gives every piece an address and every jump a form that reaches. */

import * as asm from './assembler.ts';
import type { Insn } from './assembler.ts';
import { xName } from './context.ts';

/** A place in a program; its address is known after layout(). */
export interface Label {
  /** Bytes from the start of the program. */
  at: number;
}

/** How far a jump reaches: a compressed form, one instruction, or two. */
const SHORT = 0;
const NEAR = 1;
const FAR = 2;

interface Jump {
  readonly kind: 'jump';
  /** funct3 of a conditional branch, or -1 for a jump. */
  readonly f3: number;
  readonly rs1: number;
  readonly rs2: number;
  /** Where a jump links to. */
  readonly rd: number;
  readonly to: Label;
  reach: number;
}

type Item =
  | { readonly kind: 'insn'; readonly insn: Insn; readonly to: Label | null }
  | { readonly kind: 'label'; readonly label: Label }
  | Jump
  /** auipc and addi: the address of a label. */
  | { readonly kind: 'address'; readonly rd: number; readonly to: Label; readonly delta: number }
  /** auipc and jalr. */
  | { readonly kind: 'call'; readonly rd: number; readonly temp: number; readonly to: Label }
  /** The addresses of labels, 8 bytes each. */
  | { readonly kind: 'table'; readonly to: readonly Label[] }
  /** Bytes that are no code. */
  | { readonly kind: 'hole'; readonly bytes: number }
  /** No code up to this offset in a page. */
  | { readonly kind: 'upTo'; readonly offset: number };

/** One line of a listing. */
export interface Line {
  readonly at: number;
  readonly text: string;
}

export interface Assembled {
  readonly bytes: Uint8Array;
  readonly lines: readonly Line[];
}

const PAGE = 4096;

function isShort(n: number): boolean {
  return n >= 8 && n <= 15;
}

/** Code under construction. */
export class Assembly {
  private readonly items: Item[] = [];

  label(): Label {
    return { at: -1 };
  }

  place(label: Label): void {
    this.items.push({ kind: 'label', label });
  }

  insn(insn: Insn, to: Label | null = null): void {
    this.items.push({ kind: 'insn', insn, to });
  }

  words(...insns: Insn[]): void {
    for (const insn of insns) this.insn(insn);
  }

  /** A conditional branch; `compressed` asks for the short form where there is one. */
  branch(f3: number, rs1: number, rs2: number, to: Label, compressed = false): void {
    const short = compressed && f3 < 2 && rs2 === 0 && isShort(rs1);
    this.items.push({ kind: 'jump', f3, rs1, rs2, rd: 0, to, reach: short ? SHORT : NEAR });
  }

  jump(rd: number, to: Label, compressed = false): void {
    const reach = compressed && rd === 0 ? SHORT : NEAR;
    this.items.push({ kind: 'jump', f3: -1, rs1: 0, rs2: 0, rd, to, reach });
  }

  address(rd: number, to: Label, delta = 0): void {
    this.items.push({ kind: 'address', rd, to, delta });
  }

  call(rd: number, temp: number, to: Label): void {
    this.items.push({ kind: 'call', rd, temp, to });
  }

  table(to: readonly Label[]): void {
    this.items.push({ kind: 'table', to });
  }

  hole(bytes: number): void {
    this.items.push({ kind: 'hole', bytes });
  }

  upTo(offset: number): void {
    this.items.push({ kind: 'upTo', offset });
  }

  /** Lays everything out from `base`, the start of a page. */
  layout(base: number): Assembled {
    let size = 0;
    for (let again = true; again; ) {
      size = this.measure();
      again = this.widen();
    }
    const bytes = new Uint8Array(size);
    const view = new DataView(bytes.buffer);
    const lines: Line[] = [];
    let at = 0;
    for (const item of this.items) {
      const put = (insn: Insn): void => {
        if (insn.size === 2) view.setUint16(at, insn.word, true);
        else view.setInt32(at, insn.word, true);
        lines.push({ at, text: insn.text });
        at += insn.size;
      };
      if (item.kind === 'hole' || item.kind === 'upTo') at += sizeOf(item, at);
      else if (item.kind === 'table') {
        for (const label of item.to) {
          view.setBigUint64(at, BigInt(base + label.at), true);
          at += 8;
        }
      } else for (const insn of encode(item, at)) put(insn);
    }
    return { bytes, lines };
  }

  private measure(): number {
    let at = 0;
    for (const item of this.items) {
      if (item.kind === 'label') item.label.at = at;
      else at += sizeOf(item, at);
    }
    return at;
  }

  /** Gives jumps that do not reach a longer form. @returns whether there were any. */
  private widen(): boolean {
    let changed = false;
    let at = 0;
    for (const item of this.items) {
      if (item.kind === 'jump' && !reaches(item, item.to.at - at)) {
        item.reach++;
        changed = true;
      }
      at += sizeOf(item, at);
    }
    return changed;
  }
}

function reaches(jump: Jump, distance: number): boolean {
  if (jump.reach === FAR) return true;
  const short = jump.reach === SHORT;
  const limit = jump.f3 < 0 ? (short ? 2046 : 0xf_fffe) : short ? 254 : 4094;
  return distance >= -limit && distance <= limit;
}

function sizeOf(item: Item, position: number): number {
  switch (item.kind) {
    case 'insn':
      return item.insn.size;
    case 'label':
      return 0;
    case 'jump':
      return item.reach === SHORT ? 2 : item.reach === NEAR ? 4 : 8;
    case 'hole':
      return item.bytes;
    case 'table':
      return item.to.length * 8;
    case 'upTo':
      return (item.offset - (position % PAGE) + PAGE) % PAGE;
    default:
      return 8;
  }
}

const BRANCH_NAMES = ['beq', 'bne', '', '', 'blt', 'bge', 'bltu', 'bgeu'];

function encodeJump(jump: Jump, at: number): Insn[] {
  const { f3, rs1, rs2, rd, to, reach } = jump;
  const distance = to.at - at;
  const where = `.${distance < 0 ? '' : '+'}${distance}`;
  if (f3 < 0) {
    if (reach === SHORT) return [asm.short(asm.cj(distance), `c.j ${where}`)];
    return [asm.insn(asm.jal(rd, distance), `jal ${xName(rd)}, ${where}`)];
  }
  const operands = `${xName(rs1)}, ${xName(rs2)}`;
  if (reach === SHORT) {
    const text = `c.${BRANCH_NAMES[f3]}z ${xName(rs1)}, ${where}`;
    return [asm.short(asm.cb(6 + f3, rs1 - 8, distance), text)];
  }
  if (reach === NEAR) {
    const text = `${BRANCH_NAMES[f3]} ${operands}, ${where}`;
    return [asm.insn(asm.branch(f3, rs1, rs2, distance), text)];
  }
  const over = asm.insn(
    asm.branch(f3 ^ 1, rs1, rs2, 8),
    `${BRANCH_NAMES[f3 ^ 1]} ${operands}, .+8`,
  );
  return [over, asm.insn(asm.jal(0, distance - 4), `j ${where}-4`)];
}

function encode(item: Item, at: number): Insn[] {
  switch (item.kind) {
    case 'insn': {
      const { insn, to } = item;
      if (to === null) return [insn];
      const distance = to.at - at;
      return [{ ...insn, word: insn.patch!(distance), text: `${insn.text}+${distance}` }];
    }
    case 'jump':
      return encodeJump(item, at);
    case 'address': {
      const { high, low } = asm.split(item.to.at + item.delta - at);
      const { rd } = item;
      const auipc = asm.insn(asm.u(asm.OP_AUIPC, rd, high), `auipc ${xName(rd)}, ${high}`);
      return [auipc, asm.insn(asm.addi(rd, rd, low), `addi ${xName(rd)}, ${xName(rd)}, ${low}`)];
    }
    case 'call': {
      const { rd, temp, to } = item;
      const { high, low } = asm.split(to.at - at);
      const auipc = asm.insn(asm.u(asm.OP_AUIPC, temp, high), `auipc ${xName(temp)}, ${high}`);
      const text = `jalr ${xName(rd)}, ${low}(${xName(temp)})`;
      return [auipc, asm.insn(asm.i(asm.OP_JALR, 0, rd, temp, low), text)];
    }
    default:
      return [];
  }
}
