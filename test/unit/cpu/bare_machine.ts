/** A processor without a kernel: page tables built by hand, two system calls. */

import { readFileSync } from 'node:fs';
import { CAUSE_BUDGET, CAUSE_ECALL_U } from '../../../src/arch/riscv/cause.ts';
import { HART_INSTRET, HART_PC, HART_SATP, HART_X } from '../../../src/arch/riscv/hart_state.ts';
import { PAGE_SIZE } from '../../../src/arch/riscv/memlayout.ts';
import {
  entryPtr,
  mkPte,
  mkTable,
  type Pfn,
  pgdIndex,
  pmdIndex,
  PTE_R,
  PTE_U,
  PTE_V,
  PTE_W,
  PTE_X,
  pteIndex,
  ptePfn,
  type Pte,
  pudIndex,
  type PtePtr,
} from '../../../src/arch/riscv/pgtable.ts';
import { Ram } from '../../../src/arch/riscv/ram.ts';
import { flushTlbAll } from '../../../src/arch/riscv/tlb.ts';
import type { Cpu } from '../../../src/cpu/cpu.ts';
import { instrumentBytes, type InstrumentOptions } from '../../../src/cpu/instrument.ts';
import { fromHalves, highHalf, lowHalf } from '../../../src/lib/bits.ts';
import { JIT_DEFAULT, newCpu } from '../../cpu_tiers.ts';

export const RWXU = PTE_V | PTE_U | PTE_R | PTE_W | PTE_X;
export const RXU = PTE_V | PTE_U | PTE_R | PTE_X;
export const RWU = PTE_V | PTE_U | PTE_R | PTE_W;
export const RU = PTE_V | PTE_U | PTE_R;

const SYS_WRITE = 64;
const SYS_EXIT = 93;
const SYS_EXIT_GROUP = 94;

export class BareMachine {
  readonly ram: Ram;
  readonly cpu: Cpu;
  /** Next frame never used. */
  nextFrame: number;
  /** Value of timeNs(). */
  now = 0;
  output = '';

  constructor(bytes = 64 << 20, tier = JIT_DEFAULT, instrument: InstrumentOptions = {}) {
    this.ram = new Ram(bytes, instrumentBytes(instrument));
    this.cpu = newCpu(this.ram, { timeNs: () => this.now }, tier, instrument);
    this.nextFrame = this.ram.layout.firstFrame;
    this.ram.u32[HART_SATP >>> 2] = this.frame() * PAGE_SIZE;
  }

  frame(): Pfn {
    return this.nextFrame++ as Pfn;
  }

  /** Place of the leaf entry of `va`; makes the tables on the way. */
  entry(va: number): PtePtr {
    const { u32 } = this.ram;
    let table = (u32[HART_SATP >>> 2]! / PAGE_SIZE) as Pfn;
    for (const index of [pgdIndex(va), pudIndex(va), pmdIndex(va)]) {
      const at = entryPtr(table, index);
      if (u32[at] === 0) u32[at] = mkTable(this.frame());
      table = ptePfn(u32[at] as Pte);
    }
    return entryPtr(table, pteIndex(va));
  }

  /** Maps a new frame, or `pfn`, at `va`, and returns its number. */
  map(va: number, bits: number, pfn: Pfn = this.frame()): Pfn {
    this.ram.u32[this.entry(va)] = mkPte(pfn, bits);
    flushTlbAll(this.ram);
    return pfn;
  }

  /** Offset in the memory of a mapped address. */
  offset(va: number): number {
    const pte = this.ram.u32[this.entry(va)]! as Pte;
    return ptePfn(pte) * PAGE_SIZE + (va % PAGE_SIZE);
  }

  /** Copies bytes to user memory; maps what is missing. */
  copyIn(va: number, bytes: Uint8Array, bits = RWXU): void {
    for (let i = 0; i < bytes.length; ) {
      const at = va + i;
      const n = Math.min(PAGE_SIZE - (at % PAGE_SIZE), bytes.length - i);
      if (this.ram.u32[this.entry(at)] === 0) this.map(at, bits);
      this.ram.u8.set(bytes.subarray(i, i + n), this.offset(at));
      i += n;
    }
  }

  /** Places 32-bit instruction words (or 16-bit ones, as numbers below 0x10000 that are compressed). */
  code(va: number, words: readonly number[]): void {
    const bytes: number[] = [];
    for (const word of words) {
      const n = (word & 3) === 3 ? 4 : 2;
      for (let i = 0; i < n; i++) bytes.push((word >>> (8 * i)) & 0xff);
    }
    this.copyIn(va, Uint8Array.from(bytes));
  }

  get pc(): number {
    return this.read64(HART_PC);
  }

  set pc(value: number) {
    this.write64(HART_PC, value);
  }

  get instret(): number {
    return this.read64(HART_INSTRET);
  }

  /** 64-bit words of the hart as numbers; exact below 2^53. */
  read64(offset: number): number {
    const { u32 } = this.ram;
    return fromHalves(u32[offset >>> 2]!, u32[(offset >>> 2) + 1]!);
  }

  write64(offset: number, value: number): void {
    const { i32 } = this.ram;
    i32[offset >>> 2] = lowHalf(value);
    i32[(offset >>> 2) + 1] = highHalf(value);
  }

  x(n: number): bigint {
    return this.ram.view.getBigUint64(HART_X + n * 8, true);
  }

  setX(n: number, value: bigint): void {
    this.ram.view.setBigUint64(HART_X + n * 8, BigInt.asUintN(64, value), true);
  }

  /** Maps the PT_LOAD segments of a static ELF file and a stack, and sets pc and sp. */
  loadElf(path: string): void {
    const file = readFileSync(path);
    const phoff = Number(file.readBigUInt64LE(32));
    for (let i = 0; i < file.readUInt16LE(56); i++) {
      const ph = phoff + i * file.readUInt16LE(54);
      if (file.readUInt32LE(ph) !== 1) continue;
      const flags = file.readUInt32LE(ph + 4);
      const [offset, va, , filesz, memsz] = [8, 16, 24, 32, 40].map((at) =>
        Number(file.readBigUInt64LE(ph + at)),
      ) as [number, number, number, number, number];
      let bits = PTE_V | PTE_U | PTE_R;
      if ((flags & 2) !== 0) bits |= PTE_W;
      if ((flags & 1) !== 0) bits |= PTE_X;
      const start = va - (va % PAGE_SIZE);
      for (let at = start; at < va + memsz; at += PAGE_SIZE)
        if (this.ram.u32[this.entry(at)] === 0) this.map(at, bits);
      this.copyIn(va, file.subarray(offset, offset + filesz));
    }
    const stackTop = 0x7fff_ff00_0000;
    for (let i = 1; i <= 256; i++) this.map(stackTop - i * PAGE_SIZE, RWU);
    this.setX(2, BigInt(stackTop - 256));
    this.pc = Number(file.readBigUInt64LE(24));
  }

  /** Runs until exit() and returns its code; throws on any other trap. */
  runToExit(budget = 1e7): number {
    for (;;) {
      const cause = this.cpu.run(budget);
      if (cause === CAUSE_BUDGET) continue;
      if (cause !== CAUSE_ECALL_U) throw new Error(`trap ${cause} at pc ${this.pc.toString(16)}`);
      const number = Number(this.x(17));
      if (number === SYS_EXIT || number === SYS_EXIT_GROUP) return Number(this.x(10) & 0xffn);
      if (number !== SYS_WRITE) throw new Error(`system call ${number}`);
      const [at, n] = [Number(this.x(11)), Number(this.x(12))];
      for (let i = 0; i < n; i++)
        this.output += String.fromCharCode(this.ram.u8[this.offset(at + i)]!);
      this.setX(10, BigInt(n));
      this.pc += 4;
    }
  }
}
