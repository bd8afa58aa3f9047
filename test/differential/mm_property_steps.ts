/** Random programs for the property run of the memory manager. */

import { PAGE_SIZE } from '../../src/arch/riscv/memlayout.ts';
import {
  MADV_COLD,
  MADV_DODUMP,
  MADV_DOFORK,
  MADV_DONTDUMP,
  MADV_DONTFORK,
  MADV_DONTNEED,
  MADV_FREE,
  MADV_GUARD_INSTALL,
  MADV_GUARD_REMOVE,
  MADV_KEEPONFORK,
  MADV_PAGEOUT,
  MADV_POPULATE_READ,
  MADV_POPULATE_WRITE,
  MADV_REMOVE,
  MADV_WILLNEED,
  MADV_WIPEONFORK,
  PROT_EXEC,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
} from '../../src/uapi/mman.ts';
import { WORD_OFFSETS } from './mm_property_model.ts';
import type { Random } from './random.ts';

const TABLE_PAGES = 512;
/**
 * First page of the arena, which is three leaf tables long. The first border between them is also
 * one between PMD tables, PUD tables and entries of the root.
 */
export const ARENA = 0x4000_0000_0000 / PAGE_SIZE - TABLE_PAGES;
export const ARENA_PAGES = 3 * TABLE_PAGES;
/** The heap starts here, some pages before a border. */
export const START_BRK = ARENA + 2 * TABLE_PAGES - 20;

/** Open files that mmap can name: 0 and 1 are one file, 1 is read-only; 2 is another file. */
export const HANDLES = 3;
export const FILE_PAGES = 24;

/** Allocations until one fails in the step; 0: none does. */
interface Base {
  readonly proc: number;
  readonly failAfter: number;
}

export type Step = Base &
  (
    | {
        readonly op: 'mmap';
        readonly page: number;
        readonly len: number;
        readonly prot: number;
        readonly shared: boolean;
        /** -1: anonymous. */
        readonly handle: number;
        readonly index: number;
        readonly mode: 'fixed' | 'noreplace' | 'hint' | 'any';
        readonly locked: boolean;
        readonly populate: boolean;
      }
    | { readonly op: 'munmap'; readonly page: number; readonly len: number }
    | {
        readonly op: 'mprotect';
        readonly page: number;
        readonly len: number;
        readonly prot: number;
      }
    | {
        readonly op: 'madvise';
        readonly page: number;
        readonly len: number;
        readonly advice: number;
      }
    | { readonly op: 'mlock'; readonly page: number; readonly len: number; readonly kind: number }
    | { readonly op: 'mseal'; readonly page: number; readonly len: number }
    | {
        readonly op: 'mremap';
        readonly page: number;
        readonly oldLen: number;
        readonly newLen: number;
        readonly mayMove: boolean;
        readonly fixed: boolean;
        readonly dontUnmap: boolean;
        readonly newPage: number;
      }
    | { readonly op: 'brk'; readonly page: number }
    | { readonly op: 'fork' }
    | { readonly op: 'exit' }
    | { readonly op: 'read'; readonly page: number; readonly word: number }
    | { readonly op: 'write'; readonly page: number; readonly word: number; readonly value: number }
    | {
        readonly op: 'filewrite';
        readonly handle: number;
        readonly index: number;
        readonly word: number;
        readonly value: number;
      }
    | { readonly op: 'truncate'; readonly handle: number; readonly pages: number }
    /** Pages of a process are reclaimed, whoever shares them. */
    | { readonly op: 'pageout'; readonly page: number; readonly len: number }
    /** Pages that were not used lately are reclaimed, of everybody and of files. */
    | { readonly op: 'reclaim'; readonly frames: number }
    /** Everything in swap is brought back. */
    | { readonly op: 'swapoff' }
  );

export type Op = Step['op'];

const WEIGHTS: readonly (readonly [Op, number])[] = [
  ['mmap', 10],
  ['write', 30],
  ['read', 10],
  ['munmap', 7],
  ['mprotect', 9],
  ['madvise', 11],
  ['mremap', 10],
  ['fork', 9],
  ['exit', 5],
  ['brk', 4],
  ['mlock', 3],
  ['mseal', 1],
  ['filewrite', 3],
  ['truncate', 1],
];
/** Steps of programs that run under swap pressure, beside the others. */
const SWAP_WEIGHTS: readonly (readonly [Op, number])[] = [
  ['pageout', 24],
  ['reclaim', 4],
  ['swapoff', 2],
];

const ADVICE = [
  MADV_DONTNEED,
  MADV_DONTNEED,
  MADV_DONTNEED,
  MADV_FREE,
  MADV_DONTFORK,
  MADV_DOFORK,
  MADV_WIPEONFORK,
  MADV_KEEPONFORK,
  MADV_REMOVE,
  MADV_POPULATE_READ,
  MADV_POPULATE_WRITE,
  MADV_DONTDUMP,
  MADV_DODUMP,
  MADV_WILLNEED,
  MADV_COLD,
  MADV_GUARD_INSTALL,
  MADV_GUARD_INSTALL,
  MADV_GUARD_REMOVE,
] as const;
/** Under pressure nobody knows what of MADV_FREE's pages is left. */
const SWAP_ADVICE = [
  ...ADVICE.filter((advice) => advice !== MADV_FREE),
  MADV_PAGEOUT,
  MADV_PAGEOUT,
  MADV_PAGEOUT,
] as const;
const RW = PROT_READ | PROT_WRITE;
const PROTS = [
  RW,
  RW,
  RW,
  RW,
  RW,
  RW,
  RW,
  RW,
  PROT_READ,
  PROT_NONE,
  PROT_READ | PROT_EXEC,
  PROT_WRITE,
  PROT_EXEC,
] as const;
/** Breaking a table is the first allocation of a call. */
const FAIL_AFTER = [1, 1, 1, 2, 3, 4] as const;
const MODES = ['fixed', 'fixed', 'noreplace', 'hint', 'any'] as const;

/** Draws steps; remembers where it mapped something, so that most calls find a mapping. */
class Generator {
  private readonly random: Random;
  private readonly weights: readonly (readonly [Op, number])[];
  private readonly totalWeight: number;
  private readonly advice: readonly number[];
  /** [page, len] of mappings asked for. They may be gone again. */
  private readonly ranges: (readonly [number, number])[] = [];

  constructor(random: Random, swap: boolean) {
    this.random = random;
    this.advice = swap ? SWAP_ADVICE : ADVICE;
    this.weights = swap ? [...WEIGHTS, ...SWAP_WEIGHTS] : WEIGHTS;
    this.totalWeight = this.weights.reduce((sum, [, weight]) => sum + weight, 0);
  }

  private op(): Op {
    let left = this.random.below(this.totalWeight);
    for (const [op, weight] of this.weights) {
      if (left < weight) return op;
      left -= weight;
    }
    return 'read';
  }

  /** Anywhere, mostly around the two inner borders between page tables. */
  private place(): number {
    const { random } = this;
    if (random.oneIn(12)) return ARENA + random.below(ARENA_PAGES);
    const border = random.oneIn(3) ? 2 * TABLE_PAGES : TABLE_PAGES;
    return ARENA + border - 14 + random.below(24);
  }

  private anyLen(): number {
    const { random } = this;
    if (random.oneIn(40)) return 0;
    if (random.oneIn(20)) return TABLE_PAGES * (1 + random.below(2)) - random.below(3) * 7;
    return random.oneIn(3) ? 8 + random.below(25) : 1 + random.below(8);
  }

  /** Lengths that are faulted in at once stay small, so that memory never runs out by itself. */
  private smallLen(): number {
    return 1 + this.random.below(12);
  }

  /** Part of something mapped before, now and then of nothing. */
  private mapped(): { page: number; len: number } {
    const { random } = this;
    if (this.ranges.length === 0 || random.oneIn(9)) {
      return { page: this.place(), len: this.anyLen() };
    }
    // The latest ones are the likeliest to be there still.
    const back = random.below(
      random.oneIn(3) ? this.ranges.length : Math.min(4, this.ranges.length),
    );
    const [page, len] = this.ranges[this.ranges.length - 1 - back]!;
    if (len === 0 || random.oneIn(4)) return { page, len };
    // Near an end: that is where tables are shared with neighbours.
    const skip = random.oneIn(2) ? random.below(Math.min(len, 6)) : random.below(len);
    return {
      page: page + skip,
      len: random.oneIn(5) ? len - skip : 1 + random.below(Math.min(9, len - skip)),
    };
  }

  private mmap(base: Base, mode: (typeof MODES)[number]): Step & { op: 'mmap' } {
    const { random } = this;
    const populate = random.oneIn(8);
    const locked = random.oneIn(25);
    const step = {
      ...base,
      op: 'mmap' as const,
      page: this.place(),
      len: populate || locked ? this.smallLen() : this.anyLen(),
      prot: random.pick(PROTS),
      shared: random.oneIn(3),
      handle: random.oneIn(3) ? random.below(HANDLES) : -1,
      index: random.below(8),
      mode,
      locked,
      populate,
    };
    this.ranges.push([step.page, step.len]);
    return step;
  }

  private mremap(base: Base): Step {
    const { random } = this;
    const { page, len } = this.mapped();
    // Rarely 0, rarely long: the old range must lie in one mapping.
    const oldLen = random.oneIn(20)
      ? 0
      : random.oneIn(3)
        ? len
        : Math.min(len, 1 + random.below(4));
    const dontUnmap = random.oneIn(6);
    const grown = random.oneIn(2)
      ? oldLen + random.below(9)
      : Math.max(0, oldLen - random.below(9));
    // Now and then to the same place within another page table: whole tables can then move.
    const near = random.oneIn(4) ? page + TABLE_PAGES : page + 12 + random.below(12);
    const newPage = random.oneIn(4) ? this.place() : near;
    const newLen = dontUnmap ? oldLen : grown;
    this.ranges.push([newPage, newLen]);
    const mayMove = dontUnmap || !random.oneIn(5);
    return {
      ...base,
      op: 'mremap',
      page,
      oldLen,
      newLen,
      mayMove,
      fixed: random.oneIn(2),
      dontUnmap,
      newPage,
    };
  }

  private madvise(base: Base): Step {
    const { page, len } = this.mapped();
    const advice = this.random.pick(this.advice);
    const populates = advice === MADV_POPULATE_READ || advice === MADV_POPULATE_WRITE;
    return { ...base, op: 'madvise', page, len: populates ? Math.min(len, 12) : len, advice };
  }

  step(): Step {
    const { random } = this;
    const op = this.op();
    const base = {
      proc: random.below(4),
      failAfter: random.oneIn(4) ? random.pick(FAIL_AFTER) : 0,
    };
    const { page, len } = this.mapped();
    const word = random.below(WORD_OFFSETS.length);
    const value = 1 + random.below(0x7fff_fffe);
    switch (op) {
      case 'mmap':
        return this.mmap(base, random.pick(MODES));
      case 'munmap':
        return { ...base, op, page, len };
      case 'mprotect':
        return { ...base, op, page, len, prot: random.pick(PROTS) };
      case 'madvise':
        return this.madvise(base);
      case 'mlock':
        return { ...base, op, page, len: Math.min(len, 12), kind: random.below(3) };
      case 'mseal':
        return { ...base, op, page, len: Math.min(len, 1 + random.below(6)) };
      case 'mremap':
        return this.mremap(base);
      case 'brk':
        return { ...base, op, page: START_BRK - 2 + random.below(40) };
      case 'fork':
      case 'exit':
        return { ...base, op };
      case 'read':
        return { ...base, op, page, word };
      case 'write':
        return { ...base, op, page, word, value };
      case 'filewrite':
        return {
          ...base,
          op,
          handle: random.pick([0, 2]),
          index: random.below(FILE_PAGES),
          word,
          value,
        };
      case 'truncate':
        return { ...base, op, handle: random.pick([0, 2]), pages: random.below(FILE_PAGES + 8) };
      case 'pageout':
        return { ...base, op, page, len: random.oneIn(4) ? TABLE_PAGES : len };
      case 'reclaim':
        return { ...base, op, frames: 1 + random.below(200) };
      case 'swapoff':
        return { ...base, op };
    }
  }

  /** A few mappings to begin with, then anything. */
  program(): Step[] {
    const steps: Step[] = [];
    for (let i = 0; i < 4; i++) {
      const step = this.mmap({ proc: 0, failAfter: 0 }, 'fixed');
      steps.push(i % 2 === 0 ? { ...step, prot: RW, handle: -1 } : step);
    }
    const length = 15 + this.random.below(75);
    while (steps.length < length) steps.push(this.step());
    return steps;
  }
}

/** @param swap pages are swapped out and brought back between the other steps. */
export function makeProgram(random: Random, swap: boolean): Step[] {
  return new Generator(random, swap).program();
}
