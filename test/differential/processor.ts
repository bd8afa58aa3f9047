/** The processor under test as an engine: page tables made by hand, two system calls. */

import { CAUSE_BUDGET, CAUSE_ECALL_U } from '../../src/arch/riscv/cause.ts';
import { HART_PC, HART_SATP, HART_TVAL, HART_X } from '../../src/arch/riscv/hart_state.ts';
import { icacheInvalidateFrame } from '../../src/arch/riscv/icache.ts';
import { PAGE_SHIFT, PAGE_SIZE } from '../../src/arch/riscv/memlayout.ts';
import {
  entryPtr,
  mkPte,
  mkTable,
  PMD_SIZE,
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
import { flushTlbAll } from '../../src/arch/riscv/tlb.ts';
import type { Cpu } from '../../src/cpu/cpu.ts';
import { compiledRegions, newCpu, type Tier } from '../cpu_tiers.ts';
import type { Engine, Outcome } from './engine.ts';
import { BASE, type Image, setRepeat, VARIABLES, WINDOW, WINDOW_BYTES } from './image.ts';

const RAM_BYTES = 32 * 1024 * 1024;
const SYS_WRITE = 64;
const REG_A0 = 10;
const REG_A1 = 11;
const REG_A2 = 12;
const REG_A7 = 17;
/** Instructions between two looks at whether a program has run away. */
const BUDGET = 10_000_000;
/** Such looks before it has. */
const MAX_TURNS = 100;

export class Processor implements Engine {
  readonly name: string;
  private readonly ram = new Ram(RAM_BYTES);
  private readonly cpu: Cpu;
  /** How often each run is done. */
  private readonly repeat: number;
  private readonly pages = Math.ceil((WINDOW + WINDOW_BYTES - BASE) / PAGE_SIZE);
  /** The first frame of the image's pages. */
  private readonly firstFrame: number;

  constructor(tier: Tier, repeat = 1) {
    const { ram } = this;
    this.name = tier.name;
    this.cpu = newCpu(ram, { timeNs: () => 0 }, tier);
    this.repeat = repeat;
    let next = ram.layout.firstFrame;
    const table = (): Pfn => next++ as Pfn;
    const [pgd, pud, pmd] = [table(), table(), table()];
    ram.u32[entryPtr(pgd, 0)] = mkTable(pud);
    ram.u32[entryPtr(pud, 0)] = mkTable(pmd);
    const leaves: Pfn[] = [];
    for (let at = 0; at < WINDOW + WINDOW_BYTES; at += PMD_SIZE) {
      const leaf = table();
      leaves.push(leaf);
      ram.u32[entryPtr(pmd, pmdIndex(at))] = mkTable(leaf);
    }
    this.firstFrame = next;
    for (let page = 0; page < this.pages; page++) {
      const address = BASE + page * PAGE_SIZE;
      const leaf = leaves[pmdIndex(address)]!;
      const bits = PTE_V | PTE_R | PTE_W | PTE_X | PTE_U;
      ram.u32[entryPtr(leaf, pteIndex(address))] = mkPte(this.frame(page), bits);
    }
    ram.u32[HART_SATP >> 2] = pfnToPaddr(pgd);
  }

  /** Regions compiled so far; null without a compiler. */
  get compiled(): number | null {
    return compiledRegions(this.cpu);
  }

  /** Pages lie in memory backwards, so that no two neighbours in one space are so in the other. */
  private frame(page: number): Pfn {
    return (this.firstFrame + this.pages - 1 - page) as Pfn;
  }

  private loadImage(image: Image): void {
    const { ram } = this;
    for (let page = 0; page < this.pages; page++) {
      const pfn = this.frame(page);
      icacheInvalidateFrame(ram, pfn);
      const at = pfn << PAGE_SHIFT;
      const bytes = image.bytes.subarray(page * PAGE_SIZE, (page + 1) * PAGE_SIZE);
      ram.u8.set(bytes, at);
      ram.u8.fill(0, at + bytes.length, at + PAGE_SIZE);
    }
    const variables = this.frame((VARIABLES - BASE) / PAGE_SIZE) << PAGE_SHIFT;
    setRepeat(new DataView(ram.memory.buffer, variables), this.repeat);
    flushTlbAll(ram);
    ram.i32[HART_PC >> 2] = image.entry;
    ram.i32[(HART_PC >> 2) + 1] = 0;
  }

  /** The `length` bytes at `address`. */
  private read(address: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length; ) {
      const offset = address + done - BASE;
      const inPage = offset % PAGE_SIZE;
      const n = Math.min(PAGE_SIZE - inPage, length - done);
      const at = (this.frame(Math.floor(offset / PAGE_SIZE)) << PAGE_SHIFT) + inPage;
      bytes.set(this.ram.u8.subarray(at, at + n), done);
      done += n;
    }
    return bytes;
  }

  private register(n: number): number {
    return this.ram.u32[(HART_X >> 2) + n * 2]!;
  }

  run(image: Image): Outcome {
    const { ram } = this;
    this.loadImage(image);
    const output: Uint8Array[] = [];
    for (let turn = 0; turn < MAX_TURNS; turn++) {
      const cause = this.cpu.run(BUDGET);
      if (cause === CAUSE_BUDGET) continue;
      if (cause !== CAUSE_ECALL_U) {
        const pc = ram.u32[HART_PC >> 2]!.toString(16);
        const tval = ram.u32[HART_TVAL >> 2]!.toString(16);
        const trouble = `cause ${cause} at 0x${pc}, tval 0x${tval}`;
        return { output: Buffer.concat(output), trouble };
      }
      if (this.register(REG_A7) !== SYS_WRITE) {
        return { output: Buffer.concat(output), trouble: null };
      }
      const length = this.register(REG_A2);
      output.push(this.read(this.register(REG_A1), length));
      ram.u32[(HART_X >> 2) + REG_A0 * 2] = length;
      ram.u32[(HART_X >> 2) + REG_A0 * 2 + 1] = 0;
      ram.u32[HART_PC >> 2] = ram.u32[HART_PC >> 2]! + 4;
    }
    return { output: Buffer.concat(output), trouble: 'did not end' };
  }
}
