/** Which handlers the interpreter has, and which one a decoded instruction gets. */

import * as fpOps from './fp_ops.ts';
import { INSN_TABLE } from './insn_table.ts';
import { FIRST_INSN_OP } from './slots.ts';

/** Bytes of an instruction in memory. */
export type InsnLength = 2 | 4;

/** One handler: an instruction of one length; `far` goes to targets on other pages. */
export interface Handler {
  readonly row: number;
  readonly length: InsnLength;
  readonly far: boolean;
  /** The handler whose instruction follows at once, without another dispatch; or null. */
  readonly next: Handler | null;
}

/** Instructions with a compressed form. */
const COMPRESSIBLE = new Set(
  (
    'lui jal jalr beq bne lw ld sw sd addi andi slli srli srai add sub xor or and addiw addw ' +
    'subw ebreak fld fsd'
  ).split(' '),
);

function singleHandlers(): readonly Handler[] {
  const handlers: Handler[] = [];
  INSN_TABLE.forEach(({ name, format }, row) => {
    const lengths: readonly InsnLength[] = COMPRESSIBLE.has(name) ? [4, 2] : [4];
    for (const length of lengths) {
      handlers.push({ row, length, far: false, next: null });
      if (format === 'B' || format === 'J') handlers.push({ row, length, far: true, next: null });
    }
  });
  return handlers;
}

const SINGLES = singleHandlers();

/**
 * Pairs of instructions that get a handler of their own, which saves the second one's dispatch:
 * half of what an instruction costs. `[first, seconds]`; `c.` marks a compressed one. Chosen by
 * how often they ran in glibc programs and integer kernels: these are three quarters of all
 * pairs there. More pairs cost more start-up (the optimising compiler sees the whole function)
 * than they save.
 */
const PAIRS: readonly (readonly [first: string, seconds: string])[] = [
  ['c.addi', 'c.add c.addi addi beq c.jalr c.sd c.xor blt bltu c.sw lbu lw bne c.slli add sub'],
  ['c.add', 'bne c.add c.lw c.ld bltu c.addi c.jal c.jalr c.addiw lbu bgeu ld sd bge'],
  ['lbu', 'c.addi srliw c.beq addi c.bne c.add'],
  ['c.ld', 'c.ld c.addi c.add addi andi'],
  ['bltu', 'c.slli add c.ld addi c.lw'],
  ['c.sd', 'c.sd c.add c.addi c.ld'],
  ['c.lw', 'c.add c.jalr c.xor c.lw'],
  ['add', 'sb lbu lw c.addi'],
  ['bne', 'c.slli c.ld lbu lw'],
  ['addi', 'bltu mul c.add jal'],
  ['srliw', 'c.addi slliw srliw xor'],
  ['ld', 'ld c.addi c.sd c.add'],
  ['lw', 'c.add c.addi slli'],
  ['c.addiw', 'bne c.addi c.addiw'],
  ['slli', 'add c.add c.xor'],
  ['beq', 'add c.addi lbu'],
  ['c.beq', 'beq lbu c.add'],
  ['sd', 'c.jal sd c.addi'],
  ['c.slli', 'c.add addi'],
  ['sb', 'c.add bne'],
  ['andi', 'c.slli c.ld'],
  ['c.xor', 'c.addiw andi'],
  ['slliw', 'srliw slliw'],
  ['or', 'or addw'],
  ['c.sw', 'bne c.addi'],
  ['auipc', 'ld addi'],
  ['blt', 'c.lw sw'],
  ['xor', 'xor or'],
  ['addw', 'xor addw'],
  ['mul', 'c.add'],
  ['addiw', 'addiw'],
  ['c.bne', 'c.addi'],
  ['bge', 'slli'],
  ['c.addw', 'addw'],
  ['and', 'xor'],
];

function findSingle(label: string): Handler {
  const length = label.startsWith('c.') ? 2 : 4;
  const name = length === 2 ? label.slice(2) : label;
  const handler = SINGLES.find(
    (h) => INSN_TABLE[h.row]!.name === name && h.length === length && !h.far,
  );
  if (handler === undefined) throw new Error(`No instruction "${label}"`);
  return handler;
}

function pairHandlers(): readonly Handler[] {
  return PAIRS.flatMap(([first, seconds]) =>
    seconds.split(' ').map((second) => ({ ...findSingle(first), next: findSingle(second) })),
  );
}

/** Handler number `FIRST_INSN_OP + i` runs HANDLERS[i]. */
export const HANDLERS: readonly Handler[] = [...SINGLES, ...pairHandlers()];

/** Number of the handler of a row, indexed by row * 4 + (compressed) * 2 + (far). */
function singleNumbers(): Uint16Array {
  const numbers = new Uint16Array(INSN_TABLE.length * 4);
  SINGLES.forEach(({ row, length, far }, i) => {
    numbers[row * 4 + (length === 2 ? 2 : 0) + (far ? 1 : 0)] = FIRST_INSN_OP + i;
  });
  return numbers;
}

const NUMBERS = singleNumbers();

export function handlerOf(row: number, length: InsnLength, far: boolean): number {
  return NUMBERS[row * 4 + (length === 2 ? 2 : 0) + (far ? 1 : 0)]!;
}

/** Number of the handler of two in sequence, indexed by first * (number of handlers) + second. */
function pairNumbers(): Uint16Array {
  const size = FIRST_INSN_OP + SINGLES.length;
  const numbers = new Uint16Array(size * size);
  HANDLERS.forEach(({ row, length, far, next }, i) => {
    if (next === null) return;
    const first = handlerOf(row, length, far);
    numbers[first * size + handlerOf(next.row, next.length, next.far)] = FIRST_INSN_OP + i;
  });
  return numbers;
}

const PAIR_NUMBERS = pairNumbers();

/** Number of the handler that runs single handlers `first` and `second` in sequence, or 0. */
export function pairOf(first: number, second: number): number {
  return PAIR_NUMBERS[first * (FIRST_INSN_OP + SINGLES.length) + second]!;
}

/** Soft-float operation of each row (fp_ops.ts), or -1. */
export const SOFT_FLOAT_OPS: readonly number[] = INSN_TABLE.map(({ name }) => {
  const constant = `FP_${name.toUpperCase().replaceAll('.', '_')}`;
  return (fpOps as Readonly<Record<string, number>>)[constant] ?? -1;
});
