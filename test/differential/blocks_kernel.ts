/**
 * The kernel of programs with blocks: a page map with two address spaces that share frames, page
 * faults that map, copy or skip, and calls that change mappings and code at random, the same in
 * each engine.
 */

import {
  CAUSE_BREAKPOINT,
  CAUSE_ECALL_U,
  CAUSE_ILLEGAL_INSN,
  CAUSE_INSN_PAGE_FAULT,
  CAUSE_LOAD_MISALIGNED,
  CAUSE_LOAD_PAGE_FAULT,
  CAUSE_STORE_MISALIGNED,
  CAUSE_STORE_PAGE_FAULT,
} from '../../src/arch/riscv/cause.ts';
import { PTE_R, PTE_W, PTE_X } from '../../src/arch/riscv/pgtable.ts';
import { CALL_EXIT } from './blocks_generate.ts';
import { type BlockProgram, FRAMES, type OnFault } from './blocks_program.ts';
import { A0, A7, PAGE } from './blocks_registers.ts';
import { Random } from './random.ts';

/** A page of one address space. */
export interface Page {
  readonly va: number;
  readonly area: string;
  frame: number;
  bits: number;
  onFault: OnFault;
}

/** What the kernel needs of the engine below it. */
export interface BlockHart {
  readonly x: BigUint64Array;
  pc: number;
  /** Bytes of a frame. */
  readonly frame: (frame: number) => Uint8Array;
  /** The kernel is about to write to a frame. */
  readonly beforeWrite: (frame: number) => void;
  /** The page has another frame or other permissions. */
  readonly changed: (page: Page, space: number) => void;
  readonly switched: (space: number) => void;
}

/** Traps that end nothing are skipped at most so often: code that went astray stays short. */
const MAX_TRAPS = 3000;
/** Kinds of changes that a call makes. */
const CHANGES = 8;

export class BlockKernel {
  /** Pages by number, in each address space. */
  readonly spaces: Map<number, Page>[];
  space = 0;
  /** The program ended by its own call, not because it went astray. */
  exited = false;
  /** Calls that changed something, by kind. */
  readonly changes = new Int32Array(CHANGES);
  private readonly program: BlockProgram;
  private readonly hart: BlockHart;
  private readonly r: Random;
  private readonly users = new Int32Array(FRAMES);
  private traps = 0;
  private nextFrame: number;

  constructor(program: BlockProgram, hart: BlockHart) {
    this.program = program;
    this.hart = hart;
    this.r = new Random(program.seed + 7);
    this.nextFrame = program.frames;
    const first = new Map<number, Page>();
    for (const spec of program.pages) {
      first.set(spec.va / PAGE, { ...spec });
      this.users[spec.frame]!++;
    }
    this.spaces = [first];
    for (const page of first.values()) hart.changed(page, 0);
  }

  find(va: number): Page | undefined {
    return this.spaces[this.space]!.get(Math.floor(va / PAGE));
  }

  /** Acts on a trap. @returns whether the program goes on. */
  handle(cause: number, tval: number): boolean {
    if (this.traps++ >= MAX_TRAPS) return false;
    switch (cause) {
      case CAUSE_ECALL_U:
        return this.call();
      case CAUSE_INSN_PAGE_FAULT:
        return this.fault(tval, PTE_X);
      case CAUSE_LOAD_PAGE_FAULT:
        return this.fault(tval, PTE_R);
      case CAUSE_STORE_PAGE_FAULT:
        return this.fault(tval, PTE_W);
      case CAUSE_BREAKPOINT:
      case CAUSE_ILLEGAL_INSN:
      case CAUSE_LOAD_MISALIGNED:
      case CAUSE_STORE_MISALIGNED:
        return this.skip();
      default:
        return false;
    }
  }

  private set(page: Page, bits: number, frame = page.frame): void {
    page.bits = bits;
    page.frame = frame;
    this.hart.changed(page, this.space);
  }

  private skip(): boolean {
    const page = this.find(this.hart.pc);
    if (page === undefined) return false;
    const low = this.hart.frame(page.frame)[this.hart.pc % PAGE]!;
    this.hart.pc += (low & 3) === 3 ? 4 : 2;
    return true;
  }

  private fault(va: number, need: number): boolean {
    const page = this.find(va);
    if (need === PTE_X) {
      if (page === undefined) return false;
      this.set(page, page.bits | PTE_X);
      return true;
    }
    if (page === undefined || page.onFault === 'skip') return this.skip();
    const bits = page.bits | need | PTE_R;
    if (need === PTE_W && page.onFault === 'copy') this.set(page, bits, this.ownFrame(page));
    else this.set(page, bits);
    return true;
  }

  /** A frame that only `page` uses, with the same contents. */
  private ownFrame(page: Page): number {
    if (this.users[page.frame] === 1) return page.frame;
    return this.copyOf(page.frame);
  }

  /** A free frame with the contents of `from`, which loses a user; `from` when there is none. */
  private copyOf(from: number): number {
    const { hart, users } = this;
    for (let n = 0; n < FRAMES; n++) {
      const frame = this.nextFrame;
      this.nextFrame = frame + 1 === FRAMES ? this.program.frames : frame + 1;
      if (users[frame] !== 0) continue;
      hart.beforeWrite(frame);
      hart.frame(frame).set(hart.frame(from));
      users[frame] = 1;
      users[from]!--;
      return frame;
    }
    return from;
  }

  private call(): boolean {
    const { hart } = this;
    if (hart.x[A7] === BigInt(CALL_EXIT)) {
      this.exited = true;
      return false;
    }
    hart.pc += 4;
    hart.x[A0] = BigInt(this.r.word() >>> 0);
    const change = this.r.below(CHANGES);
    this.changes[change]!++;
    switch (change) {
      case 0:
        break;
      case 1:
      case 2:
        this.protect();
        break;
      case 3:
        this.poke(false);
        break;
      case 4:
        this.poke(true);
        break;
      case 5:
        this.hop();
        break;
      case 6:
        this.remapAlias();
        break;
      default:
        this.forkOrSwitch();
    }
    return true;
  }

  private pagesOf(...areas: string[]): Page[] {
    return [...this.spaces[this.space]!.values()].filter((page) => areas.includes(page.area));
  }

  private protect(): void {
    const page = this.r.pick(this.pagesOf('code', 'code', 'mirror', 'data', 'alias', 'stack'));
    const all = [0, PTE_R, PTE_R | PTE_W, PTE_R | PTE_X, PTE_R | PTE_W | PTE_X, PTE_X];
    this.set(page, this.r.pick(all));
    if (page.area !== 'stack') page.onFault = this.r.pick(['allow', 'copy', 'skip'] as const);
  }

  /** Writes another instruction into code: in place, or in a new frame mapped instead of the old. */
  private poke(replace: boolean): void {
    const { sites, areas } = this.program;
    if (sites.length === 0) return;
    const site = this.r.pick(sites);
    const word = this.r.pick(site.words);
    const area = this.r.oneIn(2) ? areas.code : areas.mirror;
    for (let n = 0; n < 4; n++) {
      const page = this.find(area + site.at + n);
      if (page === undefined) continue;
      if (replace && (n === 0 || (site.at + n) % PAGE === 0)) {
        this.set(page, page.bits, this.copyOf(page.frame));
      }
      this.hart.beforeWrite(page.frame);
      this.hart.frame(page.frame)[(site.at + n) % PAGE] = (word >>> (8 * n)) & 0xff;
    }
  }

  /** Goes on in the other mapping of the code. */
  private hop(): void {
    const { hart, program } = this;
    const { code, mirror } = program.areas;
    const area = this.find(hart.pc)?.area;
    if (area === 'code') hart.pc += mirror - code;
    else if (area === 'mirror') hart.pc += code - mirror;
    const d = program.deltaRegister;
    if (area !== undefined) hart.x[d] = BigInt.asUintN(64, -hart.x[d]!);
  }

  private remapAlias(): void {
    const page = this.r.pick(this.pagesOf('alias'));
    const { frame } = this.r.pick(this.pagesOf('data'));
    this.users[page.frame]!--;
    this.users[frame]!++;
    this.set(page, page.bits, frame);
  }

  /** The first time makes a second address space whose pages are copied when written. */
  private forkOrSwitch(): void {
    if (this.spaces.length === 1) {
      const child = new Map<number, Page>();
      for (const [number, page] of this.spaces[0]!) {
        const shared = page.area === 'stack' || page.onFault === 'skip';
        if (!shared && (page.bits & PTE_W) !== 0) {
          this.set(page, page.bits & ~PTE_W);
          page.onFault = 'copy';
        }
        child.set(number, { ...page });
        this.users[page.frame]!++;
      }
      this.spaces.push(child);
      for (const page of child.values()) this.hart.changed(page, 1);
    }
    this.space = 1 - this.space;
    this.hart.switched(this.space);
  }
}
