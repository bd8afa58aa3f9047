/** The ways the processor may execute the same code; tests that compare or change code run in each. */

import type { Ram } from '../src/arch/riscv/ram.ts';
import { Cpu, type CpuHost } from '../src/cpu/cpu.ts';

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

/** A processor before compilers has one tier. */
type AnyCpu = new (ram: Ram, host: CpuHost, jit?: TierJit) => Cpu;

export function newCpu(ram: Ram, host: CpuHost, tier: Tier): Cpu {
  return new (Cpu as AnyCpu)(ram, host, tier.jit);
}

/** Regions compiled since the start; null if there is no compiler. */
export function compiledRegions(cpu: Cpu): number | null {
  const { jitStats } = cpu as { jitStats?: { compiled: number } | null };
  return jitStats === undefined || jitStats === null ? null : jitStats.compiled;
}

/** Whether the processor has a compiler at all. */
export const HAS_JIT = 'jitStats' in Cpu.prototype;

export const TIERS: readonly Tier[] = HAS_JIT
  ? [INTERPRETER, JIT_AT_ONCE, JIT_DEFAULT]
  : [INTERPRETER];
