/** A whole random program: code, pages with permissions, what a fault on each does, registers. */

import { PTE_R, PTE_W, PTE_X } from '../../src/arch/riscv/pgtable.ts';
import { FUEL, generateBlocks, type Generator } from './blocks_generate.ts';
import type { Line } from './blocks_layout.ts';
import {
  type Areas,
  CODE_PAGES,
  DATA_PAGES,
  PAGE,
  randomAreas,
  SP,
  STACK_PAGES,
} from './blocks_registers.ts';
import { Random, randomDouble, randomInteger, randomSingle } from './random.ts';

const R = PTE_R;
const RW = PTE_R | PTE_W;
const RX = PTE_R | PTE_X;
const RWX = RW | PTE_X;

/** What the kernel does about an access that a page does not allow. */
export type OnFault =
  /** Allows it, and the instruction runs again. */
  | 'allow'
  /** Goes on after the instruction. */
  | 'skip'
  /** Gives the page a frame of its own if others use it too, and allows it. */
  | 'copy';

export interface PageSpec {
  readonly va: number;
  readonly area: keyof Areas;
  readonly frame: number;
  /** PTE_R, PTE_W, PTE_X; 0: not mapped. */
  readonly bits: number;
  readonly onFault: OnFault;
}

/** Where code may change, and to what. */
export interface PatchSite {
  readonly at: number;
  readonly words: readonly number[];
}

export interface BlockProgram {
  readonly seed: number;
  readonly areas: Areas;
  /** Contents of the frames 0, 1, ... */
  readonly memory: Uint8Array;
  /** Frames in use; those after them are free. */
  readonly frames: number;
  readonly pages: readonly PageSpec[];
  readonly sites: readonly PatchSite[];
  readonly entry: number;
  readonly x: BigUint64Array;
  readonly f: BigUint64Array;
  readonly fcsr: number;
  /** Number of the register that says how far the mirror is. */
  readonly deltaRegister: number;
  readonly lines: readonly Line[];
}

/** Rounds of the few programs that run long enough for a compiler that takes its time. */
const HOT_ROUNDS = 500;

/** Frames a program has, those for copies included. */
export const FRAMES = 64;

function codeFaults(r: Random): OnFault {
  return r.pick(['allow', 'allow', 'copy', 'skip'] as const);
}

function makePages(r: Random, areas: Areas, codePages: number): PageSpec[] {
  const pages: PageSpec[] = [];
  const wantsWrite = r.pick([RWX, RX, RX]);
  for (let n = 0; n < codePages; n++) {
    const bits = r.oneIn(6) ? r.pick([0, R, PTE_X]) : r.oneIn(6) ? RX : wantsWrite;
    const va = areas.code + n * PAGE;
    pages.push({ va, area: 'code', frame: n, bits, onFault: codeFaults(r) });
  }
  const mirror = r.pick([RW, RWX, RX]);
  for (let n = 0; n < codePages; n++) {
    const bits = r.oneIn(6) ? r.pick([0, R, RWX]) : mirror;
    const onFault = r.pick(['allow', 'allow', 'copy', 'skip'] as const);
    pages.push({ va: areas.mirror + n * PAGE, area: 'mirror', frame: n, bits, onFault });
  }
  for (let n = 0; n < DATA_PAGES; n++) {
    const bits = r.pick([RW, RW, RW, R, 0, RWX]);
    const onFault = r.pick(['allow', 'skip', 'skip', 'copy'] as const);
    pages.push({ va: areas.data + n * PAGE, area: 'data', frame: CODE_PAGES + n, bits, onFault });
  }
  for (let n = 0; n < DATA_PAGES; n++) {
    const frame = CODE_PAGES + r.below(DATA_PAGES);
    const bits = r.pick([RW, RW, R, 0]);
    const onFault = r.pick(['allow', 'skip', 'copy'] as const);
    pages.push({ va: areas.alias + n * PAGE, area: 'alias', frame, bits, onFault });
  }
  for (let n = 0; n < STACK_PAGES; n++) {
    const frame = CODE_PAGES + DATA_PAGES + n;
    const bits = r.oneIn(3) ? 0 : RW;
    pages.push({ va: areas.stack + n * PAGE, area: 'stack', frame, bits, onFault: 'allow' });
  }
  return pages;
}

/** An address in the data, near the edge of a page as often as not. */
function pointerInto(r: Random, base: number): number {
  const page = base + r.below(DATA_PAGES) * PAGE;
  if (r.oneIn(2)) return page + r.pick([0, 0, -64, 64]);
  return page + 64 * r.below(PAGE / 64);
}

function randomFloats(r: Random): BigUint64Array {
  const f = new BigUint64Array(32);
  const words = new Int32Array(f.buffer);
  for (let n = 0; n < 32; n++) {
    if (r.oneIn(2)) randomDouble(r, words, n * 2);
    else randomSingle(r, words, n * 2, 24);
  }
  return f;
}

function randomRegisters(r: Random, g: Generator, areas: Areas): BigUint64Array {
  const x = new BigUint64Array(32);
  const words = new Int32Array(x.buffer);
  for (let n = 1; n < 32; n++) randomInteger(r, words, n * 2);
  const { regs } = g;
  x[SP] = BigInt(areas.stack + STACK_PAGES * PAGE - 256);
  for (const pointer of regs.pointers.slice(1)) {
    const base = r.oneIn(3) ? areas.alias : areas.data;
    x[pointer] = BigInt(pointerInto(r, base));
  }
  if (r.oneIn(3)) {
    const base = r.oneIn(2) ? areas.code : areas.mirror;
    x[regs.pointers[r.pick([1, 4])]!] = BigInt(base + g.hole.at + 96);
  }
  x[regs.walk] = x[regs.pointers[1]!]!;
  x[regs.fuel] = BigInt(r.oneIn(8) ? 3000 : FUEL);
  x[regs.rounds] = BigInt(r.oneIn(40) ? HOT_ROUNDS : 1 + r.below(6));
  x[regs.top] = x[SP]!;
  for (const counter of regs.counters) x[counter] = 3n;
  x[regs.depth] = BigInt(r.below(7));
  x[regs.delta] = BigInt.asUintN(64, BigInt(areas.mirror - areas.code));
  return x;
}

/** The program of `seed`; always the same. */
export function blockProgram(seed: number): BlockProgram {
  for (let attempt = 0; ; attempt++) {
    const r = new Random(seed + attempt * 0x1_0000_0000);
    const g = generateBlocks(r);
    const areas = randomAreas(r);
    const { bytes, lines } = g.a.layout(areas.code);
    const codePages = Math.ceil(bytes.length / PAGE);
    if (codePages > CODE_PAGES) continue;
    const memory = new Uint8Array(FRAMES * PAGE);
    memory.set(bytes, 0);
    const words = new Int32Array(memory.buffer, CODE_PAGES * PAGE, (DATA_PAGES * PAGE) / 4);
    for (let n = 0; n < words.length; n += 2) {
      if (r.oneIn(2)) randomInteger(r, words, n);
    }
    const sites = g.sites.map((site) => ({
      at: site.label.at,
      words: site.words.map((insn) => insn.word),
    }));
    return {
      seed,
      areas,
      memory,
      frames: CODE_PAGES + DATA_PAGES + STACK_PAGES,
      pages: makePages(r, areas, codePages),
      sites,
      entry: areas.code + g.functions[0]!.at,
      x: randomRegisters(r, g, areas),
      f: randomFloats(r),
      fcsr: (r.below(5) << 5) | (r.oneIn(2) ? 0 : r.below(32)),
      deltaRegister: g.regs.delta,
      lines,
    };
  }
}
