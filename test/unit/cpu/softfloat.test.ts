/** SoftFloat against exact rational arithmetic, and against cases worked out by hand. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { HART_F, HART_FFLAGS, HART_X } from '../../../src/arch/riscv/hart_state.ts';
import { MIN_MEMORY_BYTES } from '../../../src/arch/riscv/memlayout.ts';
import { Ram } from '../../../src/arch/riscv/ram.ts';
import * as fp from '../../../src/cpu/fp_ops.ts';
import { SoftFloat } from '../../../src/cpu/softfloat.ts';
import {
  Random,
  randomDouble,
  randomInteger,
  randomSingle,
  relateDoubles,
  relateSingles,
} from '../../differential/random.ts';
import { fpInstruction } from '../../oracle/fp_instruction.ts';

const NX = 1;
const UF = 2;
const OF = 4;
const DZ = 8;
const NV = 16;

const RNE = 0;
const RTZ = 1;
const RDN = 2;
const RUP = 3;
const RMM = 4;

const OPS = Object.entries(fp).filter(([name]) => name !== 'FP_OPS') as [string, number][];

/** One hart with the floating point under test. */
class Hart {
  readonly ram = new Ram(MIN_MEMORY_BYTES);
  readonly softFloat = new SoftFloat(this.ram);
  readonly f = new BigUint64Array(this.ram.memory.buffer, HART_F, 32);
  readonly x = new BigUint64Array(this.ram.memory.buffer, HART_X, 32);

  get fflags(): number {
    return this.ram.i32[HART_FFLAGS >> 2]!;
  }

  set fflags(value: number) {
    this.ram.i32[HART_FFLAGS >> 2] = value;
  }

  /** Runs `op` on doubles in f1, f2, f3. @returns f4 and the flags. */
  double(op: number, rm: number, ...operands: number[]): [number, number] {
    const doubles = new Float64Array(this.ram.memory.buffer, HART_F, 32);
    doubles.set(operands, 1);
    this.fflags = 0;
    this.softFloat.run(op, 4, 1, 2, 3, rm);
    return [doubles[4]!, this.fflags];
  }

  /** Runs `op` on the double in f1. @returns x4, signed, and the flags. */
  toInteger(op: number, rm: number, operand: number): [bigint, number] {
    new Float64Array(this.ram.memory.buffer, HART_F, 32)[1] = operand;
    this.fflags = 0;
    this.softFloat.run(op, 4, 1, 0, 0, rm);
    return [BigInt.asIntN(64, this.x[4]!), this.fflags];
  }
}

const MAX = Number.MAX_VALUE;
const MIN = Number.MIN_VALUE;
const MIN_NORMAL = 2 ** -1022;
const EPS = Number.EPSILON;

describe('SoftFloat', () => {
  it('rounds an addition in the five modes', () => {
    const hart = new Hart();
    const half = EPS / 2;
    assert.deepEqual(hart.double(fp.FP_FADD_D, RNE, 1, half), [1, NX]);
    assert.deepEqual(hart.double(fp.FP_FADD_D, RNE, 1 + EPS, half), [1 + 2 * EPS, NX]);
    assert.deepEqual(hart.double(fp.FP_FADD_D, RTZ, 1, half), [1, NX]);
    assert.deepEqual(hart.double(fp.FP_FADD_D, RDN, -1, -half), [-1 - EPS, NX]);
    assert.deepEqual(hart.double(fp.FP_FADD_D, RUP, 1, MIN), [1 + EPS, NX]);
    assert.deepEqual(hart.double(fp.FP_FADD_D, RMM, 1, half), [1 + EPS, NX]);
    assert.deepEqual(hart.double(fp.FP_FADD_D, RMM, 1, half * (1 - EPS)), [1, NX]);
  });

  it('gives -0 for x - x only when rounding down', () => {
    const hart = new Hart();
    for (const rm of [RNE, RTZ, RUP, RMM]) {
      assert.deepEqual(hart.double(fp.FP_FSUB_D, rm, 2, 2), [0, 0]);
    }
    assert.deepEqual(hart.double(fp.FP_FSUB_D, RDN, 2, 2), [-0, 0]);
    assert.deepEqual(hart.double(fp.FP_FADD_D, RDN, 0, 0), [0, 0]);
    assert.deepEqual(hart.double(fp.FP_FADD_D, RUP, -0, -0), [-0, 0]);
  });

  it('overflows to infinity or to the largest number, as the mode says', () => {
    const hart = new Hart();
    assert.deepEqual(hart.double(fp.FP_FMUL_D, RNE, MAX, 2), [Infinity, OF | NX]);
    assert.deepEqual(hart.double(fp.FP_FMUL_D, RTZ, MAX, 2), [MAX, OF | NX]);
    assert.deepEqual(hart.double(fp.FP_FMUL_D, RDN, -MAX, 2), [-Infinity, OF | NX]);
    assert.deepEqual(hart.double(fp.FP_FADD_D, RUP, MAX, MIN), [Infinity, OF | NX]);
    assert.deepEqual(hart.double(fp.FP_FADD_D, RNE, MAX, MIN), [MAX, NX]);
  });

  it('raises underflow only for what is tiny after rounding and not exact', () => {
    const hart = new Hart();
    assert.deepEqual(hart.double(fp.FP_FMUL_D, RNE, MIN, 0.5), [0, UF | NX]);
    assert.deepEqual(hart.double(fp.FP_FMUL_D, RNE, MIN_NORMAL, 0.5), [MIN_NORMAL / 2, 0]);
    // (1 - 2^-53)(1 + 2^-52) * 2^-1022 is below the least normal number and rounds up to it;
    // with an unbounded exponent it rounds to that as well, so it is not tiny.
    const product = hart.double(fp.FP_FMUL_D, RUP, MIN_NORMAL * (1 + EPS), 1 - EPS / 2);
    assert.deepEqual(product, [MIN_NORMAL * (1 + EPS), NX]);
    const below = hart.double(fp.FP_FMUL_D, RNE, MIN_NORMAL, 1 - EPS / 2);
    assert.deepEqual(below, [MIN_NORMAL, UF | NX]);
  });

  it('rounds a fused multiply-add once', () => {
    const hart = new Hart();
    const x = 1 + EPS;
    assert.deepEqual(hart.double(fp.FP_FMADD_D, RNE, x, x, -(1 + 2 * EPS)), [EPS * EPS, 0]);
    assert.deepEqual(hart.double(fp.FP_FNMSUB_D, RNE, 3, 4, 12), [0, 0]);
    assert.deepEqual(hart.double(fp.FP_FNMADD_D, RNE, 3, 4, 12), [-24, 0]);
    assert.deepEqual(hart.double(fp.FP_FMADD_D, RNE, MAX, 2, -MAX), [MAX, 0]);
    assert.deepEqual(hart.double(fp.FP_FMADD_D, RUP, 1, 1, MIN), [1 + EPS, NX]);
  });

  it('finds 0 * infinity + quiet NaN invalid', () => {
    const hart = new Hart();
    assert.deepEqual(hart.double(fp.FP_FMADD_D, RNE, 0, Infinity, Number.NaN), [Number.NaN, NV]);
    assert.deepEqual(hart.double(fp.FP_FMADD_D, RNE, 1, 2, Number.NaN), [Number.NaN, 0]);
  });

  it('tells division by zero from invalid operations', () => {
    const hart = new Hart();
    assert.deepEqual(hart.double(fp.FP_FDIV_D, RNE, -1, 0), [-Infinity, DZ]);
    assert.deepEqual(hart.double(fp.FP_FDIV_D, RNE, 0, 0), [Number.NaN, NV]);
    assert.deepEqual(hart.double(fp.FP_FDIV_D, RNE, Infinity, 0), [Infinity, 0]);
    assert.deepEqual(hart.double(fp.FP_FSQRT_D, RNE, -1), [Number.NaN, NV]);
    assert.deepEqual(hart.double(fp.FP_FSQRT_D, RNE, -0), [-0, 0]);
  });

  it('clamps conversions to integers with NV alone', () => {
    const hart = new Hart();
    assert.deepEqual(hart.toInteger(fp.FP_FCVT_W_D, RTZ, 2147483647.5), [2147483647n, NX]);
    assert.deepEqual(hart.toInteger(fp.FP_FCVT_W_D, RUP, 2147483647.5), [2147483647n, NV]);
    assert.deepEqual(hart.toInteger(fp.FP_FCVT_WU_D, RTZ, -0.5), [0n, NX]);
    assert.deepEqual(hart.toInteger(fp.FP_FCVT_WU_D, RDN, -0.5), [0n, NV]);
    assert.deepEqual(hart.toInteger(fp.FP_FCVT_WU_D, RTZ, 2 ** 32), [-1n, NV]);
    assert.deepEqual(hart.toInteger(fp.FP_FCVT_L_D, RTZ, Number.NaN), [2n ** 63n - 1n, NV]);
    assert.deepEqual(hart.toInteger(fp.FP_FCVT_LU_D, RTZ, 2 ** 63), [-(2n ** 63n), 0]);
  });

  it('writes the canonical NaN, boxed in single precision', () => {
    const hart = new Hart();
    hart.f[1] = 0xffffffffffc12345n;
    hart.softFloat.run(fp.FP_FADD_S, 2, 1, 1, 0, RNE);
    assert.equal(hart.f[2], 0xffffffff7fc00000n);
    hart.f[1] = 0xfff8000000012345n;
    hart.softFloat.run(fp.FP_FADD_D, 2, 1, 1, 0, RNE);
    assert.equal(hart.f[2], 0x7ff8000000000000n);
  });

  it('reads a single that is not boxed as a quiet NaN', () => {
    const hart = new Hart();
    hart.f[1] = 0x3f800000n;
    hart.softFloat.run(fp.FP_FCLASS_S, 4, 1, 0, 0, RNE);
    assert.equal(hart.x[4], 1n << 9n);
    hart.softFloat.run(fp.FP_FEQ_S, 4, 1, 1, 0, RNE);
    assert.equal(hart.x[4], 0n);
    assert.equal(hart.fflags, 0);
  });

  it('discards results for x0 but keeps their flags', () => {
    const hart = new Hart();
    new Float64Array(hart.ram.memory.buffer, HART_F, 32)[1] = 1.5;
    hart.softFloat.run(fp.FP_FCVT_L_D, 0, 1, 0, 0, RNE);
    assert.equal(hart.x[0], 0n);
    assert.equal(hart.fflags, NX);
  });
});

/** Runs of each instruction against the rationals; SOFTFLOAT_COUNT scales it. */
const COUNT = Number(process.env['SOFTFLOAT_COUNT'] ?? 4000);
const SEED = Number(process.env['SEED'] ?? 1);

describe('SoftFloat against exact rational arithmetic', () => {
  for (const [name, op] of OPS) {
    it(`${name.slice(3).toLowerCase().replaceAll('_', '.')} agrees in value and flags`, () => {
      const hart = new Hart();
      const r = new Random(SEED * 1000 + op);
      const words = new Int32Array(8);
      const doubles = new Float64Array(words.buffer);
      const bits = new BigUint64Array(words.buffer);
      const fromInteger = /FCVT_[SD]_[WL]/.test(name);
      const single = /_S$/.test(name);
      for (let n = 0; n < COUNT; n++) {
        for (let i = 0; i < 3; i++) {
          if (fromInteger) randomInteger(r, words, i * 2);
          else if (single) randomSingle(r, words, i * 2, 50);
          else randomDouble(r, words, i * 2);
        }
        if (!fromInteger && r.oneIn(2)) {
          if (single) relateSingles(r, new Float32Array(words.buffer, 0, 6), words);
          else relateDoubles(r, doubles.subarray(0, 3), words);
        }
        const [a, b, c] = [bits[0]!, bits[1]!, bits[2]!];
        const rm = r.below(5);
        const expected = fpInstruction(name.slice(3), a, b, c, rm);
        (fromInteger ? hart.x : hart.f).set([a, b, c], 1);
        hart.fflags = 0;
        hart.softFloat.run(op, 4, 1, 2, 3, rm);
        const actual = expected.toX ? hart.x[4]! : hart.f[4]!;
        if (actual === expected.value && hart.fflags === expected.flags) continue;
        const hex = (v: bigint): string => v.toString(16).padStart(16, '0');
        assert.fail(
          `${name} rm=${rm} ${hex(a)} ${hex(b)} ${hex(c)}: got ${hex(actual)} flags ${hart.fflags}, ` +
            `want ${hex(expected.value)} flags ${expected.flags}`,
        );
      }
    });
  }
});
