/** The processor: runs the hart whose state is in the memory until something needs the kernel. */

import { CAUSE_BUDGET, CAUSE_ILLEGAL_INSN } from '../arch/riscv/cause.ts';
import { HART_INSTRET, HART_INTERRUPT, HART_PC, HART_TVAL } from '../arch/riscv/hart_state.ts';
import type { Pfn } from '../arch/riscv/pgtable.ts';
import type { Ram } from '../arch/riscv/ram.ts';
import { initTlb } from '../arch/riscv/tlb.ts';
import { accessCsr, type TimeSource } from './csr_file.ts';
import { type InstrumentOptions, type Instrument, placeInstrument } from './instrument.ts';
import * as interp from './interp.ts';
import { DECODE_ONLY } from './interp_region.ts';
import { decodeAndCompile, Jit, type JitStats, linkJit, sample } from './jit/code_cache.ts';
import { sampleEntry } from './jit/join.ts';
import type { JitOptions } from './jit/options.ts';
import {
  type CodePool,
  decodeCross,
  decodeSlots,
  dropCodePage,
  newCodePage,
  newCodePool,
} from './predecode.ts';
import { RETIRED } from './slots.ts';
import { SoftFloat } from './softfloat.ts';
import { IMPORT_MEMORY, IMPORT_MODULE, IMPORT_TABLE } from './wasm_encoder.ts';

/** What the processor needs from the machine around it. */
export type CpuHost = TimeSource;

/**
 * Instructions per call of the interpreter: V8 cannot replace a running function by its
 * optimised version, so calls must end for the hot one to be picked up.
 */
const CALL_BUDGET = 250_000;

interface Exports {
  readonly run: (budget: number) => number;
  /** Instruction fetch of a halfword, -1 if it faults; both halves of an address as i32. */
  readonly fetch: (lo: number, hi: number) => number;
}

export class Cpu {
  readonly #ram: Ram;
  readonly #exports: Exports;
  readonly #jit: Jit | null;

  /** What is watched; null if nothing is. */
  readonly instrument: Instrument | null;

  /** @param instrument needs instrumentBytes() of reserved memory. */
  constructor(
    ram: Ram,
    host: CpuHost,
    jitOptions: JitOptions = {},
    instrument: InstrumentOptions = {},
  ) {
    this.#ram = ram;
    this.instrument = placeInstrument(instrument, ram.layout.reservedBase);
    initTlb(ram);
    const pool = newCodePool(ram);
    const table = new WebAssembly.Table({
      element: 'anyfunc',
      initial: ram.layout.regionEntries,
    });
    this.#jit =
      jitOptions.enabled === false ? null : new Jit(pool, table, jitOptions, this.instrument);
    const own = importsOf(pool, host, new SoftFloat(ram), this.#jit);
    const imports = { [IMPORT_MODULE]: { ...own, [IMPORT_TABLE]: table } };
    const module = new WebAssembly.Module(interp.emitInterpreter(ram.layout, this.instrument));
    const { exports } = new WebAssembly.Instance(module, imports);
    if (this.#jit !== null) linkJit(this.#jit, exports);
    this.#exports = exports as unknown as Exports;
  }

  /** What the compiler did; null if there is none. */
  get jitStats(): Readonly<JitStats> | null {
    return this.#jit === null ? null : this.#jit.stats;
  }

  /**
   * Runs until a trap, or until about `budget` instructions have retired: it stops at the first
   * taken branch after that, so the same budget always stops at the same place.
   * @returns a CAUSE_* code; the hart's pc is that of the instruction that trapped, and
   * HART_TVAL holds the faulting address or the illegal instruction.
   */
  run(budget: number): number {
    const { i32 } = this.#ram;
    let remaining = budget;
    let cause = CAUSE_BUDGET;
    while (remaining > 0 && cause === CAUSE_BUDGET && i32[HART_INTERRUPT >>> 2] === 0) {
      cause = this.#exports.run(Math.min(remaining, CALL_BUDGET));
      const retired = i32[RETIRED >>> 2]!;
      i32[RETIRED >>> 2] = 0;
      addInstret(this.#ram, retired);
      remaining -= retired;
    }
    if (cause === CAUSE_ILLEGAL_INSN) this.#illegalTval();
    return cause;
  }

  /** Sets tval to the illegal instruction at pc. */
  #illegalTval(): void {
    const { i32 } = this.#ram;
    const lo = i32[HART_PC >>> 2]!;
    const hi = i32[(HART_PC >>> 2) + 1]!;
    let word = this.#exports.fetch(lo, hi);
    // An even address plus 2 carries into the high half when the low one wraps to 0.
    if ((word & 3) === 3) {
      const next = (lo + 2) | 0;
      word |= this.#exports.fetch(next, next === 0 ? (hi + 1) | 0 : hi) << 16;
    }
    i32[HART_TVAL >>> 2] = word;
    i32[(HART_TVAL >>> 2) + 1] = 0;
  }
}

function addInstret(ram: Ram, retired: number): void {
  const at = HART_INSTRET >>> 2;
  const low = ram.u32[at]! + retired;
  ram.u32[at] = low;
  if (low >= 0x1_0000_0000) ram.u32[at + 1] = ram.u32[at + 1]! + 1;
}

function importsOf(
  pool: CodePool,
  host: CpuHost,
  softFloat: SoftFloat,
  jit: Jit | null,
): Record<string, WebAssembly.ImportValue> {
  const { ram } = pool;
  return {
    [IMPORT_MEMORY]: ram.memory,
    [interp.IMPORT_NEW_CODE]: (pfn: number) => newCodePage(pool, pfn),
    [interp.IMPORT_DROP_CODE]: (pfn: number) => dropCodePage(pool, pfn as Pfn),
    [interp.IMPORT_DECODE]:
      jit === null
        ? (ip: number) => decodeSlots(pool, (ip & ~DECODE_ONLY) >>> 0)
        : (ip: number) => decodeAndCompile(jit, ip >>> 0),
    [interp.IMPORT_SAMPLE_ENTRY]: jit === null ? () => {} : (id: number) => sampleEntry(jit, id),
    [interp.IMPORT_SAMPLE]: jit === null ? () => {} : (ip: number) => sample(jit, ip >>> 0),
    [interp.IMPORT_DECODE_CROSS]: (word: number) => decodeCross(pool, word),
    [interp.IMPORT_CSR]: (match: number, csr: number, rd: number, rs1: number) =>
      accessCsr(ram, host, match, csr, rd, rs1),
    [interp.IMPORT_SOFT_FLOAT]: (
      op: number,
      rd: number,
      rs1: number,
      rs2: number,
      rs3: number,
      rm: number,
    ) => softFloat.run(op, rd, rs1, rs2, rs3, rm),
  };
}
