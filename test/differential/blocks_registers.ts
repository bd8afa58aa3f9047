/** What the registers of a program with blocks are for, and where its memory is. */

import type { Registers } from './context.ts';
import type { Random } from './random.ts';

export const RA = 1;
export const SP = 2;
/** The second link register of the manual's calling hints. */
export const T0 = 5;
export const A0 = 10;
export const A7 = 17;

/** Bytes around each pointer that accesses go to. */
export const BLOCK_WINDOW = 128;
/** Bytes of a function's stack frame; those below SAVED are for anything. */
export const FRAME_BYTES = 96;
export const SAVED = 56;
/** The stack pointer's window ends where the frame's saved registers begin. */
const SP_OFFSET = BLOCK_WINDOW - 48;

export const PAGE = 4096;
export const CODE_PAGES = 12;
export const DATA_PAGES = 6;
export const STACK_PAGES = 3;

export interface BlockRegisters extends Registers {
  /** Counted down by everything that could go on for ever; below 0 the program ends. */
  readonly fuel: number;
  /** Counters of nested loops. */
  readonly counters: readonly number[];
  /** How much deeper recursion may go. */
  readonly depth: number;
  /** What to add to an address of code to get the same place in the other mapping. */
  readonly delta: number;
  /** An address that loops move along. */
  readonly walk: number;
  /** How often the whole program is still to run. */
  readonly rounds: number;
  /** Where sp starts each time. */
  readonly top: number;
}

export function blockRegisters(r: Random): BlockRegisters {
  const pool = Array.from({ length: 31 }, (_, n) => n + 1).filter((n) => n !== SP);
  const free = pool.filter((n) => n !== RA && n !== T0 && n !== A0 && n !== A7);
  const take = (from = 1, to = 31): number => {
    const n = r.pick(free.filter((m) => m >= from && m <= to));
    free.splice(free.indexOf(n), 1);
    pool.splice(pool.indexOf(n), 1);
    return n;
  };
  const pointers = [SP, take(8, 15), take(), take(), take()];
  const pointerOffsets = pointers.map((n) => (n === SP ? SP_OFFSET : BLOCK_WINDOW / 2));
  const fuel = take();
  const counters = [take(8, 15), take(), take()];
  const [depth, delta, walk] = [take(), take(), take()];
  const [rounds, top] = [take(), take()];
  const reserved = fuel;
  return {
    pointers,
    pointerOffsets,
    writable: pool,
    reserved,
    fuel,
    counters,
    depth,
    delta,
    walk,
    rounds,
    top,
  };
}

/** Addresses of a program's areas, each far from the others. */
export interface Areas {
  readonly code: number;
  /** The frames of the code once more. */
  readonly mirror: number;
  readonly data: number;
  /** Frames of the data once more, in another order. */
  readonly alias: number;
  readonly stack: number;
}

/** Around what 32-bit and sign-extended arithmetic gets wrong, and ends of tables. */
const BASES = [
  0x1_0000,
  0x20_0000 - 2 * PAGE,
  0x4000_0000 - 3 * PAGE,
  0x8000_0000 - 2 * PAGE,
  0xa000_0000,
  0x1_0000_0000 - 3 * PAGE,
  0x2_8000_0000 - PAGE,
  0x3f_ffff_e000,
  0x5555_5555_4000,
  0x7fff_f7fe_0000,
];

export function randomAreas(r: Random): Areas {
  const bases = [...BASES];
  const take = (): number => bases.splice(r.below(bases.length), 1)[0]!;
  return { code: take(), mirror: take(), data: take(), alias: take(), stack: take() };
}
