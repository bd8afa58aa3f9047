/**
 * What the semantics of an instruction are written against. The interpreter implements it with
 * operands read from a predecoded slot and registers in linear memory; a compiler can implement
 * it with constants and locals. Each method emits wasm; "pushes" speaks of wasm's value stack.
 */

import type { FunctionBuilder } from './wasm_encoder.ts';

/** Emits code that leaves one value on the stack. */
export type Push = () => void;

/** A source operand: rs1, rs2 or rs3. */
export type Source = 1 | 2 | 3;

/** Whether a result stands that wasm computed: see semantics/float_exact.ts. */
export type StandsHelper =
  | 'sumStands'
  | 'productStands'
  | 'quotientStands'
  | 'rootStands'
  | 'fusedStands';

/** Functions every module of the processor has: see wasm_functions.ts. */
export type Helper = 'mulhu' | 'fmaD' | 'fmaS' | StandsHelper;

/** Bytes a memory access moves. */
export type Size = 1 | 2 | 4 | 8;

export interface Emitter {
  readonly f: FunctionBuilder;
  /** A local for values that live within one instruction; the same `n` gives the same local. */
  temp(type: number, n: number): number;

  /** Pushes integer register rs1 or rs2 (i64). */
  x(source: Source): void;
  /** Pushes the low 32 bits of rs1 or rs2 (i32). */
  x32(source: Source): void;
  /** Writes rd; `value` pushes an i64. A write to x0 is dropped. */
  setX(value: Push): void;
  /** Pushes the immediate: sign-extended (i64), or its low 32 bits (i32). */
  imm(): void;
  imm32(): void;

  /** Pushes the bits of a floating-point register (i64). */
  f64Bits(source: Source): void;
  /** Pushes it as a double, or its low half as a single. */
  f64(source: Source): void;
  f32(source: Source): void;
  /** Pushes whether a register holds a properly NaN-boxed single (i32). */
  boxed(source: Source): void;
  /** Writes rd: `value` pushes an i64, an f64, or an f32 that gets boxed. */
  setFBits(value: Push): void;
  setF64(value: Push): void;
  setF32(value: Push): void;
  /** Runs this instruction in the soft-float unit. */
  softFloat(): void;
  /** Has the soft-float unit do this instruction if `condition` pushes a non-zero i32. */
  softFloatIf(condition: Push): void;
  /** NX is set and frm is "to nearest" whenever this runs. */
  readonly inexactKnown: boolean;
  /** Whether code that seldom runs had better be short. */
  readonly compact: boolean;
  /** That the result is finite is seen from a later one. */
  readonly finiteLater: boolean;
  /**
   * Opcode that rounds a double in the mode that the instruction itself names; null when it names
   * none or, to an integer, towards zero.
   */
  readonly rounding: number | null;
  /** rs1 and rs2 are known to be one register. */
  readonly sameSources: boolean;

  /** Pushes the address of this instruction, and of the next one (i64). */
  pc(): void;
  nextPc(): void;
  /** Goes to pc + imm when `condition` pushes a non-zero i32; ends the instruction. */
  branch(condition: Push): void;
  /** Goes to pc + imm. */
  jump(): void;
  /** Goes to the even address in local `target` (i64). */
  jumpTo(target: number): void;
  /** Stops with a cause; pc stays at this instruction. `tval` pushes an i64. */
  trap(cause: number, tval: Push): void;
  /** Illegal instruction: stops with the instruction word as tval. */
  illegal(): void;
  /** Reads or writes a CSR as the row's mnemonic says, and rd. */
  csr(): void;

  /** Pushes what `opcode` (an i64 load of `size` bytes, or f64.load) reads at rs1 + imm. */
  load(opcode: number, size: Size): void;
  /** Stores what `value` (i64, or f64 for f64.store) pushes at rs1 + imm with `opcode`. */
  store(opcode: number, size: Size, value: Push): void;
  /** Pushes the memory offset (i32) of the naturally aligned operand at rs1, readable or, when
   * `write`, also writable. Traps as a load, or as a store or AMO. */
  atomicOffset(size: 4 | 8, write: boolean): void;

  call(helper: Helper): void;
}

/** What one instruction does. Falls through to the next instruction unless it ended itself. */
export type Semantics = (e: Emitter) => void;
