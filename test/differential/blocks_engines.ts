/** Runs programs with blocks: on the oracle, and on the processor in each tier. */

import * as cause from '../../src/arch/riscv/cause.ts';
import {
  HART_F,
  HART_FFLAGS,
  HART_FRM,
  HART_INSTRET,
  HART_PC,
  HART_RESERVED,
  HART_RESERVED_ADDR,
  HART_SATP,
  HART_TVAL,
  HART_X,
} from '../../src/arch/riscv/hart_state.ts';
import { icacheInvalidateFrame } from '../../src/arch/riscv/icache.ts';
import { PAGE_SHIFT, PAGE_SIZE } from '../../src/arch/riscv/memlayout.ts';
import {
  entryPtr,
  mkPte,
  mkTable,
  type Pfn,
  pgdIndex,
  pmdIndex,
  type Pte,
  PTE_R,
  PTE_U,
  PTE_V,
  PTE_W,
  PTE_X,
  pteIndex,
  ptePfn,
  type PtePtr,
  pudIndex,
} from '../../src/arch/riscv/pgtable.ts';
import { Ram } from '../../src/arch/riscv/ram.ts';
import { flushTlbAll, flushTlbPageAt } from '../../src/arch/riscv/tlb.ts';
import type { Cpu } from '../../src/cpu/cpu.ts';
import { instrumentBytes, type InstrumentOptions } from '../../src/cpu/instrument.ts';
import {
  type BlockTrace,
  blockTrace,
  clearInstrument,
  type CompareLog,
  compareLog,
  edgeMap,
} from '../../src/machine/instruments.ts';
import { compiledRegions, newCpu, type Tier } from '../cpu_tiers.ts';
import { type Access, Rv64, type Trap } from '../oracle/rv64.ts';
import { type BlockHart, BlockKernel, type Page } from './blocks_kernel.ts';
import { type BlockProgram, FRAMES } from './blocks_program.ts';

/** All that a program could see when it stopped, as words: x, f, pc, fcsr, tval, reservation. */
export const STATE_PC = 64;
export const STATE_FCSR = 65;
export const STATE_TVAL = 66;
export const STATE_RESERVATION = 67;
export const STATE_WORDS = 68;
const NOT_RESERVED = ~0n;

export interface Stop {
  readonly cause: number;
  readonly instret: number;
  readonly state: BigUint64Array;
}

export interface BlockEngine {
  readonly name: string;
  readonly memory: Uint8Array;
  readonly kernel: BlockKernel;
  load(program: BlockProgram): void;
}

export interface Watched {
  readonly edges: Uint8Array;
  readonly compares: CompareLog;
  readonly blocks: BlockTrace;
}

function hasTval(code: number): boolean {
  return code !== cause.CAUSE_ECALL_U && code !== cause.CAUSE_BUDGET;
}

const MEMORY_BYTES = 64 << 20;

/** The processor, with page tables made by hand. */
export class CpuEngine implements BlockEngine, BlockHart {
  readonly name: string;
  readonly x: BigUint64Array;
  readonly memory: Uint8Array;
  kernel!: BlockKernel;
  private readonly ram: Ram;
  private readonly cpu: Cpu;
  private readonly base: number;
  private readonly f: BigUint64Array;
  private readonly words: BigUint64Array;
  private readonly roots: Pfn[] = [];
  private nextTable = 0;
  private compiledBefore = 0;

  constructor(tier: Tier, instrument: InstrumentOptions = {}) {
    this.name = tier.name;
    this.ram = new Ram(MEMORY_BYTES, instrumentBytes(instrument));
    this.cpu = newCpu(this.ram, { timeNs: () => 0 }, tier, instrument);
    const { buffer } = this.ram.memory;
    this.base = this.ram.layout.firstFrame;
    this.x = new BigUint64Array(buffer, HART_X, 32);
    this.f = new BigUint64Array(buffer, HART_F, 32);
    this.words = new BigUint64Array(buffer, 0, (HART_SATP + 64) >> 3);
    this.memory = new Uint8Array(buffer, this.base * PAGE_SIZE, FRAMES * PAGE_SIZE);
  }

  get compiled(): number | null {
    return compiledRegions(this.cpu);
  }

  get compiledSinceLoad(): number {
    return (this.compiled ?? 0) - this.compiledBefore;
  }

  get pc(): number {
    return Number(this.words[HART_PC >> 3]!);
  }

  set pc(pc: number) {
    this.words[HART_PC >> 3] = BigInt(pc);
  }

  load(program: BlockProgram): void {
    const { ram } = this;
    for (let frame = 0; frame < FRAMES; frame++) this.beforeWrite(frame);
    this.memory.set(program.memory);
    this.nextTable = this.base + FRAMES;
    this.roots.length = 0;
    this.kernel = new BlockKernel(program, this);
    this.switched(0);
    this.x.set(program.x);
    this.f.set(program.f);
    this.pc = program.entry;
    ram.i32[HART_FFLAGS >> 2] = program.fcsr & 0x1f;
    ram.i32[HART_FRM >> 2] = program.fcsr >> 5;
    ram.i32[HART_RESERVED >> 2] = 0;
    this.words[HART_INSTRET >> 3] = 0n;
    this.compiledBefore = this.compiled ?? 0;
  }

  /** What was watched since the last call. */
  takeWatched(): Watched {
    const { ram } = this;
    const { instrument } = this.cpu;
    const watched = {
      edges: edgeMap(ram, instrument)!.slice(),
      compares: compareLog(ram, instrument)!,
      blocks: blockTrace(ram, instrument)!,
    };
    clearInstrument(ram, instrument);
    return watched;
  }

  private table(): Pfn {
    const pfn = this.nextTable++;
    this.ram.u32.fill(0, (pfn << PAGE_SHIFT) >> 2, ((pfn + 1) << PAGE_SHIFT) >> 2);
    return pfn as Pfn;
  }

  private entry(space: number, va: number): PtePtr {
    const { u32 } = this.ram;
    let table = (this.roots[space] ??= this.table());
    for (const index of [pgdIndex(va), pudIndex(va), pmdIndex(va)]) {
      const at = entryPtr(table, index);
      if (u32[at] === 0) u32[at] = mkTable(this.table());
      table = ptePfn(u32[at] as Pte);
    }
    return entryPtr(table, pteIndex(va));
  }

  changed(page: Page, space: number): void {
    const bits = page.bits === 0 ? 0 : page.bits | PTE_V | PTE_U;
    this.ram.u32[this.entry(space, page.va)] =
      bits === 0 ? 0 : mkPte((this.base + page.frame) as Pfn, bits);
    flushTlbPageAt(this.ram, page.va);
  }

  switched(space: number): void {
    this.ram.u32[HART_SATP >> 2] = this.roots[space]! << PAGE_SHIFT;
    flushTlbAll(this.ram);
  }

  /** Bytes of a frame. */
  readonly frame = (n: number): Uint8Array =>
    this.memory.subarray(n * PAGE_SIZE, (n + 1) * PAGE_SIZE);

  beforeWrite(frame: number): void {
    icacheInvalidateFrame(this.ram, (this.base + frame) as Pfn);
  }

  run(budget: number): Stop {
    const code = this.cpu.run(budget);
    const { ram, words } = this;
    const state = new BigUint64Array(STATE_WORDS);
    state.set(this.x, 0);
    state.set(this.f, 32);
    state[STATE_PC] = words[HART_PC >> 3]!;
    state[STATE_FCSR] = BigInt(ram.i32[HART_FFLAGS >> 2]! | (ram.i32[HART_FRM >> 2]! << 5));
    if (hasTval(code)) state[STATE_TVAL] = words[HART_TVAL >> 3]!;
    const reserved = ram.i32[HART_RESERVED >> 2] !== 0;
    state[STATE_RESERVATION] = reserved ? words[HART_RESERVED_ADDR >> 3]! : NOT_RESERVED;
    return { cause: code, instret: Number(words[HART_INSTRET >> 3]!), state };
  }
}

const NEEDS: Readonly<Record<Access, number>> = { load: PTE_R, store: PTE_W, fetch: PTE_X };

const CAUSES: Readonly<Record<Trap['cause'], number>> = {
  ecall: cause.CAUSE_ECALL_U,
  ebreak: cause.CAUSE_BREAKPOINT,
  illegal: cause.CAUSE_ILLEGAL_INSN,
  load: cause.CAUSE_LOAD_PAGE_FAULT,
  store: cause.CAUSE_STORE_PAGE_FAULT,
  fetch: cause.CAUSE_INSN_PAGE_FAULT,
  'load misaligned': cause.CAUSE_LOAD_MISALIGNED,
  'store misaligned': cause.CAUSE_STORE_MISALIGNED,
};

/** The oracle, with the kernel's page map for its memory. */
export class OracleEngine implements BlockEngine, BlockHart {
  readonly name = 'oracle';
  readonly memory = new Uint8Array(FRAMES * PAGE_SIZE);
  kernel!: BlockKernel;
  hart!: Rv64;

  get x(): BigUint64Array {
    return this.hart.x;
  }

  get pc(): number {
    return Number(this.hart.pc);
  }

  set pc(pc: number) {
    this.hart.pc = BigInt(pc);
  }

  load(program: BlockProgram): void {
    this.memory.set(program.memory);
    const find = (address: bigint, access: Access): number => {
      if (address >= 0x8000_0000_0000n) return -1;
      const page = this.kernel.find(Number(address));
      if (page === undefined || (page.bits & NEEDS[access]) === 0) return -1;
      return page.frame * PAGE_SIZE + Number(address & 4095n);
    };
    this.hart = new Rv64({ bytes: this.memory, find }, BigInt(program.entry));
    this.kernel = new BlockKernel(program, this);
    this.hart.x.set(program.x);
    this.hart.f.set(program.f);
    this.hart.fflags = program.fcsr & 0x1f;
    this.hart.frm = program.fcsr >> 5;
  }

  readonly frame = (n: number): Uint8Array =>
    this.memory.subarray(n * PAGE_SIZE, (n + 1) * PAGE_SIZE);

  beforeWrite(): void {}
  changed(): void {}
  switched(): void {}

  /** Runs until a trap or until `instret` instructions have retired. */
  runTo(instret: number): Stop {
    const { hart } = this;
    let trap: Trap | null = null;
    while (hart.retired < instret && trap === null) trap = hart.step();
    return this.stop(trap);
  }

  /** Executes the instruction that should trap now. */
  runIntoTrap(): Stop {
    return this.stop(this.hart.step());
  }

  private stop(trap: Trap | null): Stop {
    const { hart } = this;
    const state = new BigUint64Array(STATE_WORDS);
    state.set(hart.x, 0);
    state.set(hart.f, 32);
    state[STATE_PC] = hart.pc;
    state[STATE_FCSR] = BigInt(hart.fflags | (hart.frm << 5));
    if (trap !== null) state[STATE_TVAL] = this.tval(trap);
    state[STATE_RESERVATION] = hart.reservation ?? NOT_RESERVED;
    const code = trap === null ? cause.CAUSE_BUDGET : CAUSES[trap.cause];
    return { cause: code, instret: hart.retired, state };
  }

  private tval(trap: Trap): bigint {
    if (trap.cause === 'ebreak') return this.hart.pc;
    if (trap.cause === 'ecall') return 0n;
    return trap.cause === 'illegal' ? BigInt(trap.word >>> 0) : trap.address;
  }
}
