/** The ways the processor may execute the same code; tests that compare or change code run in each. */

import type { Ram } from '../src/arch/riscv/ram.ts';
import { Cpu, type CpuHost } from '../src/cpu/cpu.ts';
import type { InstrumentOptions } from '../src/cpu/instrument.ts';

/** How the compiler is asked to behave. */
export interface TierJit {
  readonly enabled: boolean;
  /** Samples until code is compiled; 0 compiles it before it first runs. */
  readonly threshold?: number;
}

export interface Tier {
  readonly name: string;
  readonly jit: TierJit;
}

export const INTERPRETER: Tier = { name: 'interpreter', jit: { enabled: false } };
export const JIT_AT_ONCE: Tier = { name: 'jit 0', jit: { enabled: true, threshold: 0 } };
/** Compiles what ran for a moment: code changes hands in the middle of loops. */
export const JIT_SOON: Tier = { name: 'jit 1', jit: { enabled: true, threshold: 1 } };
export const JIT_DEFAULT: Tier = { name: 'jit', jit: { enabled: true } };

export function newCpu(
  ram: Ram,
  host: CpuHost,
  tier: Tier,
  instrument: InstrumentOptions = {},
): Cpu {
  return new Cpu(ram, host, tier.jit, instrument);
}

/** Regions compiled since the start; null if there is no compiler. */
export function compiledRegions(cpu: Cpu): number | null {
  return cpu.jitStats?.compiled ?? null;
}

/** Short programs never get hot enough for JIT_DEFAULT: JIT_SOON stands for it where they are. */
export const TIERS: readonly Tier[] = [INTERPRETER, JIT_AT_ONCE, JIT_SOON, JIT_DEFAULT];
