/**
 * The F and D instructions that round, compare, convert or classify, exact to the bit and the
 * flag (Unprivileged 21 and 22). The processor calls run() for what its own wasm cannot do.
 */

import { HART_F, HART_FFLAGS, HART_X } from '../arch/riscv/hart_state.ts';
import type { Ram } from '../arch/riscv/ram.ts';
import * as fp from './fp_ops.ts';
import * as arith from './softfloat_arith.ts';
import * as convert from './softfloat_convert.ts';
import { FFLAGS_NV, FpEnv, roundSingle } from './softfloat_round.ts';

/** High word of a canonical NaN (double) and of a NaN-boxed single, and the single's own word. */
const NAN_DOUBLE_HIGH = 0x7ff80000;
const NAN_SINGLE = 0x7fc00000;
const BOX = -1;

/** Quiet bits: a NaN with it clear signals. */
const QUIET_DOUBLE_HIGH = 0x00080000;
const QUIET_SINGLE = 0x00400000;

const MIN_NORMAL_SINGLE = 2 ** -126;
const MIN_NORMAL_DOUBLE = 2 ** -1022;
const CLASS_SIGNALLING = 1 << 8;
const CLASS_QUIET = 1 << 9;

export class SoftFloat {
  private readonly env = new FpEnv();
  private readonly i32: Int32Array;
  /** The f registers: as doubles, as singles (every second one), as words. */
  private readonly doubles: Float64Array;
  private readonly singles: Float32Array;
  private readonly words: Int32Array;
  /** The x registers as words. */
  private readonly x: Int32Array;

  constructor(ram: Ram) {
    const { buffer } = ram.memory;
    this.i32 = ram.i32;
    this.doubles = new Float64Array(buffer, HART_F, 32);
    this.singles = new Float32Array(buffer, HART_F, 64);
    this.words = new Int32Array(buffer, HART_F, 64);
    this.x = new Int32Array(buffer, HART_X, 64);
  }

  /**
   * Executes one instruction on the hart's registers and adds its flags to fflags.
   * @param op FP_* of fp_ops.ts.
   * @param rs3 only read by the fused instructions.
   * @param rm rounding mode 0..4, already taken from frm if dynamic; ignored where the
   *   instruction has none.
   * @hot
   */
  run(op: number, rd: number, rs1: number, rs2: number, rs3: number, rm: number): void {
    const { env } = this;
    env.rm = rm;
    env.flags = 0;
    if (op < fp.FP_FEQ_S) this.setSingle(rd, this.arithSingle(op, rs1, rs2, rs3));
    else if (op < fp.FP_FCLASS_S)
      this.setX(rd, this.compare(op, this.single(rs1), this.single(rs2)));
    else if (op === fp.FP_FCLASS_S) this.setX(rd, this.classSingle(rs1));
    else if (op < fp.FP_FEQ_D) this.setDouble(rd, this.arithDouble(op, rs1, rs2, rs3));
    else if (op < fp.FP_FCLASS_D)
      this.setX(rd, this.compare(op, this.double(rs1), this.double(rs2)));
    else if (op === fp.FP_FCLASS_D) this.setX(rd, this.classDouble(rs1));
    else this.convert(op, rd, rs1);
    const { i32 } = this;
    i32[HART_FFLAGS >> 2] = i32[HART_FFLAGS >> 2]! | env.flags;
  }

  private arithSingle(op: number, rs1: number, rs2: number, rs3: number): number {
    const { env } = this;
    const a = this.single(rs1);
    if (op === fp.FP_FSQRT_S) return arith.sqrtSingle(env, a);
    const b = this.single(rs2);
    switch (op) {
      case fp.FP_FADD_S:
        return arith.addSingle(env, a, b);
      case fp.FP_FSUB_S:
        return arith.addSingle(env, a, -b);
      case fp.FP_FMUL_S:
        return arith.mulSingle(env, a, b);
      case fp.FP_FDIV_S:
        return arith.divSingle(env, a, b);
      case fp.FP_FMIN_S:
        return convert.minimum(a, b);
      case fp.FP_FMAX_S:
        return convert.maximum(a, b);
      case fp.FP_FMADD_S:
        return arith.fmaSingle(env, a, b, this.single(rs3));
      case fp.FP_FMSUB_S:
        return arith.fmaSingle(env, a, b, -this.single(rs3));
      case fp.FP_FNMSUB_S:
        return arith.fmaSingle(env, -a, b, this.single(rs3));
      default:
        return arith.fmaSingle(env, -a, b, -this.single(rs3));
    }
  }

  private arithDouble(op: number, rs1: number, rs2: number, rs3: number): number {
    const { env } = this;
    const a = this.double(rs1);
    if (op === fp.FP_FSQRT_D) return arith.sqrtDouble(env, a);
    const b = this.double(rs2);
    switch (op) {
      case fp.FP_FADD_D:
        return arith.addDouble(env, a, b);
      case fp.FP_FSUB_D:
        return arith.addDouble(env, a, -b);
      case fp.FP_FMUL_D:
        return arith.mulDouble(env, a, b);
      case fp.FP_FDIV_D:
        return arith.divDouble(env, a, b);
      case fp.FP_FMIN_D:
        return convert.minimum(a, b);
      case fp.FP_FMAX_D:
        return convert.maximum(a, b);
      case fp.FP_FMADD_D:
        return arith.fmaDouble(env, a, b, this.double(rs3));
      case fp.FP_FMSUB_D:
        return arith.fmaDouble(env, a, b, -this.double(rs3));
      case fp.FP_FNMSUB_D:
        return arith.fmaDouble(env, -a, b, this.double(rs3));
      default:
        return arith.fmaDouble(env, -a, b, -this.double(rs3));
    }
  }

  private compare(op: number, a: number, b: number): number {
    const { env } = this;
    switch (op) {
      case fp.FP_FEQ_S:
      case fp.FP_FEQ_D:
        return a === b ? 1 : 0;
      case fp.FP_FLT_S:
      case fp.FP_FLT_D:
        return convert.orderedOrInvalid(env, a, b) && a < b ? 1 : 0;
      default:
        return convert.orderedOrInvalid(env, a, b) && a <= b ? 1 : 0;
    }
  }

  private convert(op: number, rd: number, rs1: number): void {
    if (op === fp.FP_FCVT_S_D) this.setSingle(rd, this.narrow(this.double(rs1)));
    else if (op === fp.FP_FCVT_D_S) this.setDouble(rd, this.single(rs1));
    else if (op < fp.FP_FCVT_S_W) this.toInteger(op, rd, this.single(rs1));
    else if (op < fp.FP_FCVT_W_D) this.setSingle(rd, this.fromInteger(op, rs1));
    else if (op < fp.FP_FCVT_D_W) this.toInteger(op, rd, this.double(rs1));
    else this.setDouble(rd, this.fromInteger(op, rs1));
  }

  private fromInteger(op: number, rs1: number): number {
    const { env } = this;
    const low = this.x[rs1 * 2]!;
    const high = this.x[rs1 * 2 + 1]!;
    switch (op) {
      case fp.FP_FCVT_S_W:
        return roundSingle(env, low, 0);
      case fp.FP_FCVT_S_WU:
        return roundSingle(env, low >>> 0, 0);
      case fp.FP_FCVT_S_L:
        return convert.integerToSingle(env, high, low >>> 0);
      case fp.FP_FCVT_S_LU:
        return convert.integerToSingle(env, high >>> 0, low >>> 0);
      case fp.FP_FCVT_D_W:
        return low;
      case fp.FP_FCVT_D_WU:
        return low >>> 0;
      case fp.FP_FCVT_D_L:
        return convert.integerToDouble(env, high, low >>> 0);
      default:
        return convert.integerToDouble(env, high >>> 0, low >>> 0);
    }
  }

  private toInteger(op: number, rd: number, value: number): void {
    const { env } = this;
    switch (op) {
      case fp.FP_FCVT_W_S:
      case fp.FP_FCVT_W_D:
        this.setX(rd, convert.toInt32(env, value));
        return;
      case fp.FP_FCVT_WU_S:
      case fp.FP_FCVT_WU_D:
        this.setX(rd, convert.toUint32(env, value));
        return;
      case fp.FP_FCVT_L_S:
      case fp.FP_FCVT_L_D:
        convert.toInt64(env, value, env.words, 0);
        break;
      default:
        convert.toUint64(env, value, env.words, 0);
        break;
    }
    if (rd === 0) return;
    this.x[rd * 2] = env.words[0]!;
    this.x[rd * 2 + 1] = env.words[1]!;
  }

  private narrow(value: number): number {
    return Number.isFinite(value) ? roundSingle(this.env, value, 0) : value;
  }

  /** Reads a single: a register that does not hold a boxed one reads as the canonical NaN. */
  private single(r: number): number {
    const { words } = this;
    if (words[r * 2 + 1] !== BOX) return Number.NaN;
    const value = this.singles[r * 2]!;
    if (Number.isNaN(value) && (words[r * 2]! & QUIET_SINGLE) === 0) this.env.flags |= FFLAGS_NV;
    return value;
  }

  private double(r: number): number {
    const value = this.doubles[r]!;
    if (Number.isNaN(value) && (this.words[r * 2 + 1]! & QUIET_DOUBLE_HIGH) === 0) {
      this.env.flags |= FFLAGS_NV;
    }
    return value;
  }

  private setSingle(r: number, value: number): void {
    if (Number.isNaN(value)) this.words[r * 2] = NAN_SINGLE;
    else this.singles[r * 2] = value;
    this.words[r * 2 + 1] = BOX;
  }

  private setDouble(r: number, value: number): void {
    if (Number.isNaN(value)) {
      this.words[r * 2] = 0;
      this.words[r * 2 + 1] = NAN_DOUBLE_HIGH;
      return;
    }
    this.doubles[r] = value;
  }

  /** Writes a sign-extended 32-bit value; x0 stays 0. */
  private setX(r: number, value: number): void {
    if (r === 0) return;
    this.x[r * 2] = value;
    this.x[r * 2 + 1] = value >> 31;
  }

  private classSingle(r: number): number {
    const { words } = this;
    if (words[r * 2 + 1] !== BOX) return CLASS_QUIET;
    const value = this.singles[r * 2]!;
    if (!Number.isNaN(value)) return convert.classify(value, MIN_NORMAL_SINGLE);
    return (words[r * 2]! & QUIET_SINGLE) === 0 ? CLASS_SIGNALLING : CLASS_QUIET;
  }

  private classDouble(r: number): number {
    const value = this.doubles[r]!;
    if (!Number.isNaN(value)) return convert.classify(value, MIN_NORMAL_DOUBLE);
    return (this.words[r * 2 + 1]! & QUIET_DOUBLE_HIGH) === 0 ? CLASS_SIGNALLING : CLASS_QUIET;
  }
}
