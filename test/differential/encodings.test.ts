/**
 * What is an instruction and what is not: every 16-bit encoding, and 32-bit ones that are
 * random or one bit away from a valid one, each alone on the processor and on the oracle. The
 * reason for stopping, its address and all registers must agree.
 *
 * ENCODING_COUNT is how many 32-bit words to try, ISA_SEED where to start.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as cause from '../../src/arch/riscv/cause.ts';
import {
  HART_F,
  HART_FFLAGS,
  HART_FRM,
  HART_PC,
  HART_RESERVED,
  HART_SATP,
  HART_TVAL,
  HART_X,
} from '../../src/arch/riscv/hart_state.ts';
import { icacheInvalidateFrame } from '../../src/arch/riscv/icache.ts';
import { MIN_MEMORY_BYTES, PAGE_SHIFT, PAGE_SIZE } from '../../src/arch/riscv/memlayout.ts';
import {
  entryPtr,
  mkPte,
  mkTable,
  type Pfn,
  PTE_R,
  PTE_U,
  PTE_V,
  PTE_W,
  PTE_X,
  pfnToPaddr,
  pmdIndex,
  pteIndex,
} from '../../src/arch/riscv/pgtable.ts';
import { Ram } from '../../src/arch/riscv/ram.ts';
import { Cpu } from '../../src/cpu/cpu.ts';
import { flatSpace, Rv64, type Trap } from '../oracle/rv64.ts';
import { Context } from './context.ts';
import { compressed } from './generate_compressed.ts';
import { float } from './generate_float.ts';
import { atomic, csr, fenceI, integer, multiply } from './generate_integer.ts';
import { Random, randomDouble, randomInteger, randomSingle } from './random.ts';

const COUNT = Number(process.env['ENCODING_COUNT'] ?? 60_000);
const SEED = Number(process.env['ISA_SEED'] ?? 1);

/** One small address space: a page that is not there, then data, then code, then nothing again. */
const SPACE = 0x40_0000;
const PAGES = 16;
const BYTES = PAGES * PAGE_SIZE;
const DATA_PAGES = 4;
const CODE = SPACE + 8 * PAGE_SIZE;
/** Where a 4-byte instruction lies on two pages. */
const CODE_ACROSS = CODE + PAGE_SIZE - 2;
const C_EBREAK = 0x9002;
/** Steps after which an instruction is taken to jump to itself for ever; such ones are left out. */
const MAX_STEPS = 4;
/** Instructions between two comparisons of the data pages. */
const DATA_INTERVAL = 256;

const OPCODE_SYSTEM = 0x73;
const CSR_CYCLE = 0xc00;
const CSR_INSTRET = 0xc02;

const CAUSES: Record<Trap['cause'], number> = {
  ecall: cause.CAUSE_ECALL_U,
  ebreak: cause.CAUSE_BREAKPOINT,
  illegal: cause.CAUSE_ILLEGAL_INSN,
  load: cause.CAUSE_LOAD_PAGE_FAULT,
  store: cause.CAUSE_STORE_PAGE_FAULT,
  fetch: cause.CAUSE_INSN_PAGE_FAULT,
  'load misaligned': cause.CAUSE_LOAD_MISALIGNED,
  'store misaligned': cause.CAUSE_STORE_MISALIGNED,
};

/** The processor and the oracle with the same memory and registers. */
class Both {
  private readonly ram = new Ram(MIN_MEMORY_BYTES);
  private readonly cpu = new Cpu(this.ram, { timeNs: () => 0 });
  private readonly frames: Pfn;
  private readonly memory = new Uint8Array(BYTES);
  private readonly view = new DataView(this.memory.buffer);
  private readonly hart = new Rv64(flatSpace(this.memory, BigInt(SPACE)), BigInt(CODE));
  private readonly x = new BigUint64Array(this.ram.memory.buffer, HART_X, 32);
  private readonly f = new BigUint64Array(this.ram.memory.buffer, HART_F, 32);
  private readonly pc = new BigUint64Array(this.ram.memory.buffer, HART_PC, 1);
  private readonly tval = new BigUint64Array(this.ram.memory.buffer, HART_TVAL, 1);
  skipped = 0;

  constructor(r: Random) {
    const { ram } = this;
    const first = ram.layout.firstFrame;
    const [pgd, pud, pmd, leaf] = [first, first + 1, first + 2, first + 3] as Pfn[];
    this.frames = (first + 4) as Pfn;
    ram.u32[entryPtr(pgd!, 0)] = mkTable(pud!);
    ram.u32[entryPtr(pud!, 0)] = mkTable(pmd!);
    ram.u32[entryPtr(pmd!, pmdIndex(SPACE))] = mkTable(leaf!);
    for (let page = 0; page < PAGES; page++) {
      const at = entryPtr(leaf!, pteIndex(SPACE + page * PAGE_SIZE));
      ram.u32[at] = mkPte((this.frames + page) as Pfn, PTE_V | PTE_R | PTE_W | PTE_X | PTE_U);
    }
    ram.u32[HART_SATP >> 2] = pfnToPaddr(pgd!);
    const data = DATA_PAGES * PAGE_SIZE;
    for (let at = 0; at < data; at += 4) this.view.setInt32(at, r.word(), true);
    for (let at = data; at < BYTES; at += 2) this.view.setUint16(at, C_EBREAK, true);
    ram.u8.set(this.memory, this.frames << PAGE_SHIFT);
  }

  private writeCode(address: number, half: number): void {
    const at = address - SPACE;
    this.view.setUint16(at, half, true);
    icacheInvalidateFrame(this.ram, (this.frames + (at >> PAGE_SHIFT)) as Pfn);
    this.ram.view.setUint16((this.frames << PAGE_SHIFT) + at, half, true);
  }

  /** Random registers, some of which point into the data. */
  randomize(r: Random): void {
    const words = new Int32Array(2);
    const value = new BigUint64Array(words.buffer);
    for (let n = 1; n < 32; n++) {
      randomInteger(r, words, 0);
      this.x[n] = r.oneIn(3) ? BigInt(SPACE + PAGE_SIZE + r.below(2 * PAGE_SIZE)) : value[0]!;
      if (r.oneIn(3)) this.x[n] = this.x[n]! & ~7n;
    }
    for (let n = 0; n < 32; n++) {
      if (r.oneIn(2)) randomDouble(r, words, 0);
      else randomSingle(r, words, 0, 20);
      this.f[n] = value[0]!;
    }
    this.ram.i32[HART_FRM >> 2] = r.below(8);
    this.ram.i32[HART_FFLAGS >> 2] = r.below(32);
  }

  /** Executes `word` at `address` on both. @returns what differs, or null. */
  compare(word: number, length: 2 | 4, address: number): string | null {
    this.writeCode(address, word & 0xffff);
    if (length === 4) this.writeCode(address + 2, word >>> 16);
    const difference = this.execute(BigInt(address));
    this.writeCode(address, C_EBREAK);
    if (length === 4) this.writeCode(address + 2, C_EBREAK);
    return difference;
  }

  private execute(address: bigint): string | null {
    const { hart, ram } = this;
    hart.x.set(this.x);
    hart.f.set(this.f);
    hart.frm = ram.i32[HART_FRM >> 2]!;
    hart.fflags = ram.i32[HART_FFLAGS >> 2]!;
    hart.reservation = null;
    hart.pc = address;
    let trap: Trap | null = null;
    const dataEnd = BigInt(SPACE + DATA_PAGES * PAGE_SIZE);
    const inData = (): boolean => hart.pc >= BigInt(SPACE) && hart.pc < dataEnd;
    for (let n = 0; n < MAX_STEPS && trap === null && !inData(); n++) trap = hart.step();
    if (trap === null) {
      this.skipped++;
      return null;
    }
    ram.i32[HART_RESERVED >> 2] = 0;
    this.pc[0] = address;
    const stopped = this.cpu.run(1000);
    return this.difference(trap, stopped);
  }

  private difference(trap: Trap, stopped: number): string | null {
    const { hart, ram } = this;
    const found: string[] = [];
    const check = (name: string, want: bigint | number, got: bigint | number): void => {
      if (want !== got)
        found.push(`${name}: oracle ${want.toString(16)}, processor ${got.toString(16)}`);
    };
    check('cause', CAUSES[trap.cause], stopped);
    check('pc', hart.pc, this.pc[0]!);
    if ('address' in trap) check('tval', trap.address, this.tval[0]!);
    for (let n = 0; n < 32; n++) check(`x${n}`, hart.x[n]!, this.x[n]!);
    for (let n = 0; n < 32; n++) check(`f${n}`, hart.f[n]!, this.f[n]!);
    check('fflags', hart.fflags, ram.i32[HART_FFLAGS >> 2]!);
    check('frm', hart.frm, ram.i32[HART_FRM >> 2]!);
    return found.length === 0 ? null : `${JSON.stringify(trap.cause)} ${found.join('; ')}`;
  }

  /** Whether the data pages are the same. */
  sameData(): boolean {
    const data = DATA_PAGES * PAGE_SIZE;
    const at = this.frames << PAGE_SHIFT;
    return Buffer.compare(this.memory.subarray(0, data), this.ram.u8.subarray(at, at + data)) === 0;
  }
}

/** Counters differ between the two, as they may. */
function readsCounter(word: number): boolean {
  const number = word >>> 20;
  return (word & 0x7f) === OPCODE_SYSTEM && number >= CSR_CYCLE && number <= CSR_INSTRET;
}

const IDEAS: readonly ((c: Context) => void)[] = [
  integer,
  multiply,
  atomic,
  csr,
  fenceI,
  (c) => float(c, 0),
  (c) => float(c, 1),
];

/** A 32-bit word that is random, valid, or valid but for one bit. */
function randomWord(r: Random): number {
  if (r.oneIn(4)) return r.word() | 3;
  const c = new Context(r);
  c.add(r.pick(IDEAS));
  const word = r.pick(c.insns).word;
  return (r.oneIn(3) ? word : word ^ (1 << r.below(32))) | 3;
}

describe('encodings', () => {
  it('of 16 bits mean the same to the processor and the oracle, every one', () => {
    const r = new Random(SEED);
    const both = new Both(r);
    for (let word = 0; word < 0x10000; word++) {
      if ((word & 3) === 3) continue;
      both.randomize(r);
      const difference = both.compare(word, 2, CODE);
      assert.equal(difference, null, `${word.toString(16)}: ${difference}`);
      if (word % DATA_INTERVAL === 0)
        assert.ok(both.sameData(), `data before ${word.toString(16)}`);
    }
  });

  it(`of 32 bits mean the same to the processor and the oracle, ${COUNT} of them`, () => {
    const r = new Random(SEED);
    const both = new Both(r);
    for (let n = 0; n < COUNT; n++) {
      both.randomize(r);
      const word = randomWord(r);
      if (readsCounter(word)) continue;
      const difference = both.compare(word, 4, r.oneIn(4) ? CODE_ACROSS : CODE);
      const digits = (word >>> 0).toString(16).padStart(8, '0');
      assert.equal(difference, null, `${digits} (seed ${SEED}, number ${n}): ${difference}`);
      if (n % DATA_INTERVAL === 0) assert.ok(both.sameData(), `data before number ${n}`);
    }
    assert.ok(both.skipped < COUNT / 50, `${both.skipped} jumped to themselves or into the data`);
  });

  it('of compressed instructions are reached by the generator', () => {
    const r = new Random(SEED);
    const quadrants = new Set<number>();
    for (let n = 0; n < 2000; n++) {
      const c = new Context(r);
      c.add(compressed);
      for (const insn of c.insns) {
        if (insn.size === 2) quadrants.add((insn.word & 3) | (((insn.word >> 13) & 7) << 2));
      }
    }
    // All rows of the opcode map but the reserved one.
    assert.equal(quadrants.size, 23);
  });
});
