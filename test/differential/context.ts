/** What one random program may use: its registers by role, and addresses in the data window. */

import type { Insn } from './assembler.ts';
import { WINDOW_BYTES } from './image.ts';
import type { Random } from './random.ts';

const ABI = [
  ...['zero', 'ra', 'sp', 'gp', 'tp', 't0', 't1', 't2', 's0', 's1', 'a0', 'a1', 'a2', 'a3', 'a4'],
  ...['a5', 'a6', 'a7', 's2', 's3', 's4', 's5', 's6', 's7', 's8', 's9', 's10', 's11', 't3', 't4'],
  ...['t5', 't6'],
] as const;

export function xName(n: number): string {
  return ABI[n]!;
}

export function fName(n: number): string {
  return `f${n}`;
}

/** A place in the window: register, offset for the instruction. */
export interface Place {
  base: number;
  offset: number;
}

const SP = 2;

/** Which registers a program may use, and for what. */
export interface Registers {
  /** Kept by whoever runs the program: readable, never written. */
  readonly reserved: number;
  /** Point into windows of memory and are never written; sp, one of x8..x15, and others. */
  readonly pointers: number[];
  /** How far into its window each of them points. */
  readonly pointerOffsets: number[];
  /** What instructions may write. */
  readonly writable: number[];
}

/** Three pointers into the one window of an image, one reserved register, the rest to write. */
function imageRegisters(r: Random): Registers {
  const writable = Array.from({ length: 31 }, (_, n) => n + 1).filter((n) => n !== SP);
  const take = (from: number, to: number): number => {
    const n = r.pick(writable.filter((n) => n >= from && n <= to));
    writable.splice(writable.indexOf(n), 1);
    return n;
  };
  const short = take(8, 15);
  const pointers = [SP, short, take(1, 31)];
  const reserved = take(1, 31);
  const pointerOffsets = pointers.map(() => r.below(r.oneIn(2) ? 16 : WINDOW_BYTES));
  return { reserved, pointers, pointerOffsets, writable };
}

/** The state of generating one program. */
export class Context {
  readonly r: Random;
  readonly insns: Insn[] = [];
  /** The frame's own register. */
  readonly reserved: number;
  /** Registers that point into the window and are never written; the first is sp. */
  readonly pointers: number[];
  /** How far into the window each of them points. */
  readonly pointerOffsets: number[];
  /** Registers that instructions may write. */
  readonly writable: number[];
  /** Those of them that compressed instructions can name, as 0..7 for x8..x15. */
  readonly writableShort: number[];
  /** Whether frm is sure to hold a valid mode, so that instructions may use it. */
  dynamicModes = true;
  private readonly windowBytes: number;
  private nextX: number;
  private nextF: number;

  /** @param windowBytes size of each window, which begins at a multiple of 64. */
  constructor(r: Random, registers = imageRegisters(r), windowBytes = WINDOW_BYTES) {
    this.r = r;
    this.windowBytes = windowBytes;
    this.pointers = registers.pointers;
    this.reserved = registers.reserved;
    this.pointerOffsets = registers.pointerOffsets;
    this.writable = registers.writable;
    this.writableShort = this.writable.filter((n) => n >= 8 && n <= 15).map((n) => n - 8);
    this.nextX = r.below(this.writable.length);
    this.nextF = r.below(32);
  }

  /** Adds what `idea` emits as one piece that is only entered at its start. */
  add(idea: (c: Context) => void): void {
    const from = this.insns.length;
    idea(this);
    for (let n = from + 1; n < this.insns.length; n++) this.insns[n]!.joined = true;
  }

  emit(...insns: Insn[]): void {
    this.insns.push(...insns);
  }

  /** A register to write: x0 now and then. */
  rd(): number {
    return this.r.oneIn(32) ? 0 : this.r.pick(this.writable);
  }

  /** A register to read. */
  rs(): number {
    return this.r.below(32);
  }

  /** A register to write that was not written for as long as possible, so that results survive. */
  freshX(): number {
    this.nextX = (this.nextX + 1) % this.writable.length;
    return this.writable[this.nextX]!;
  }

  freshF(): number {
    this.nextF = (this.nextF + 1) % 32;
    return this.nextF;
  }

  f(): number {
    return this.r.below(32);
  }

  /** A place of the window for an access of `size` bytes; misaligned as likely as not. */
  place(size: number, aligned = false): Place {
    const which = this.r.below(this.pointers.length);
    let at = this.r.below(this.windowBytes - size + 1);
    if (aligned || this.r.oneIn(2)) at -= at % size;
    return { base: this.pointers[which]!, offset: at - this.pointerOffsets[which]! };
  }

  /**
   * A place that the unsigned, scaled offsets of the C extension reach.
   * @param which index into pointers.
   * @returns the offset, or -1 if the pointer is too near the end.
   */
  scaledOffset(which: number, size: number, max: number): number {
    const room = this.windowBytes - size - this.pointerOffsets[which]!;
    if (room < 0) return -1;
    return this.r.below(Math.min(Math.floor(room / size), max / size) + 1) * size;
  }
}
