/**
 * Straight runs of floating-point instructions, which the compiler takes apart and tests as a
 * whole, in compiled code and in the interpreter: the same registers, flags and stop.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  CAUSE_BUDGET,
  CAUSE_ECALL_U,
  CAUSE_LOAD_PAGE_FAULT,
} from '../../../src/arch/riscv/cause.ts';
import {
  HART_F,
  HART_FFLAGS,
  HART_FRM,
  HART_PC,
  HART_X,
} from '../../../src/arch/riscv/hart_state.ts';
import { compiledRegions, INTERPRETER, JIT_AT_ONCE } from '../../cpu_tiers.ts';
import { addi, i, OP_FP, OP_LOAD_FP, OP_STORE_FP, r, s } from '../../differential/assembler.ts';
import { Random } from '../../differential/random.ts';
import { BareMachine, RWU } from './bare_machine.ts';

const TEXT = 0x10000;
const DATA = 0x800000;
const UNMAPPED = 0x900000;
const ECALL = 0x73;
/** FLOAT_RUNS is how many programs to try with each kind of numbers. */
const PROGRAMS = Number(process.env['FLOAT_RUNS'] ?? 40);
/** Bytes for each program; several share a page, so that a store to one may drop others. */
const PROGRAM_SIZE = 256;
const LENGTH = 30;

const NX = 1;
const OF = 4;
const RNE = 0;
const DYN = 7;
/** x registers: a mapped page, an unmapped one, and results. */
const [MAPPED, MISSING, RESULT] = [10, 11, 12];
const FLOATS = 8;

const [FADD, FSUB, FMUL, FDIV, FSQRT, FSGNJ, FMINMAX, FCOMPARE] = [0, 1, 2, 3, 0xb, 4, 5, 0x14];
const FMADD = [0x43, 0x47, 0x4b, 0x4f];
const DOUBLE = 1;

/** Signalling NaN, as bits. */
const SNAN = 0x7ff0_0000_0000_0001n;
const EDGES = [
  0,
  -0,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  Number.NaN,
  Number.MAX_VALUE,
  -Number.MAX_VALUE,
  2 ** -1022,
  2 ** -1021,
  -(2 ** -1021),
  Number.MIN_VALUE,
  2 ** -600,
  2 ** 600,
  2 ** 1023,
];

function random(random: Random, edges: number): DataView {
  const view = new DataView(new ArrayBuffer(8));
  if (edges > 0 && random.below(edges) === 0) {
    if (random.oneIn(8)) view.setBigUint64(0, SNAN, true);
    else view.setFloat64(0, random.pick(EDGES), true);
    return view;
  }
  const magnitude = random.oneIn(4) ? random.below(8) : 1 + random.below(1 << 30) / (1 << 28);
  view.setFloat64(0, random.oneIn(2) ? magnitude : -magnitude, true);
  return view;
}

function word(c: Random, precision: number): number {
  const [rd, rs1, rs2, rs3] = [0, 0, 0, 0].map(() => c.below(FLOATS)) as [
    number,
    number,
    number,
    number,
  ];
  const rm = c.oneIn(3) ? DYN : RNE;
  const fp = (f5: number, f3: number, d = rd, b = rs2): number =>
    r(OP_FP, f3, (f5 << 2) | precision, d, rs1, b);
  switch (c.below(20)) {
    case 0:
      return fp(FSQRT, rm, rd, 0);
    case 1:
      return fp(FDIV, rm);
    case 2:
      return fp(FSGNJ, c.below(3), rd, c.oneIn(2) ? rs1 : rs2);
    case 3:
      return fp(FMINMAX, c.below(2));
    case 4:
      return fp(FCOMPARE, c.below(3), RESULT + c.below(2));
    case 5:
      return r(c.pick(FMADD), rm, (rs3 << 2) | precision, rd, rs1, rs2);
    case 6:
      return i(OP_LOAD_FP, 2 + precision, rd, MAPPED, 8 * c.below(FLOATS));
    case 7:
      return c.oneIn(6)
        ? i(OP_LOAD_FP, 2 + precision, rd, MISSING, 0)
        : s(OP_STORE_FP, 2 + precision, MAPPED, rs2, 64 + 8 * c.below(FLOATS));
    case 8:
      return addi(RESULT + c.below(2), RESULT + c.below(2), c.below(100));
    // fmv.x.d, fcvt.d.l, fcvt.w.d, fcvt.s.d and fcvt.d.s.
    case 9:
      return fp(0x1c, 0, RESULT + c.below(2), 0);
    case 10:
      return r(
        OP_FP,
        c.oneIn(2) ? rm : c.below(5),
        (0x1a << 2) | precision,
        rd,
        RESULT,
        c.below(4),
      );
    case 11:
      return fp(0x18, c.oneIn(2) ? 1 : c.below(5), RESULT + c.below(2), c.below(4));
    case 12:
      return r(OP_FP, rm, (8 << 2) | precision, rd, rs1, 1 - precision);
    default:
      return fp(c.pick([FADD, FSUB, FMUL, FMUL]), rm);
  }
}

interface Outcome {
  readonly cause: number;
  readonly state: string;
}

class Side {
  readonly m: BareMachine;

  constructor(tier: typeof INTERPRETER) {
    this.m = new BareMachine(16 << 20, tier);
    this.m.map(DATA, RWU);
  }

  /** Runs the program at `at` from registers that depend on `seed` only. */
  run(at: number, seed: number, edges: number): Outcome {
    const { m } = this;
    const { i32, view } = m.ram;
    const c = new Random(seed);
    for (let n = 0; n < 32; n++) m.setX(n, 0n);
    for (let n = 0; n < FLOATS; n++) {
      view.setBigUint64(HART_F + 8 * n, random(c, edges).getBigUint64(0, true), true);
      view.setBigUint64(m.offset(DATA) + 8 * n, random(c, edges).getBigUint64(0, true), true);
    }
    m.setX(MAPPED, BigInt(DATA));
    m.setX(MISSING, BigInt(UNMAPPED));
    m.setX(RESULT, BigInt(c.below(1000)));
    i32[HART_FFLAGS >> 2] = c.oneIn(6) ? 0 : NX;
    i32[HART_FRM >> 2] = c.oneIn(12) ? 1 : RNE;
    return this.runFrom(at);
  }

  runFrom(at: number): Outcome {
    const { m } = this;
    m.pc = at;
    let cause: number;
    do cause = m.cpu.run(1e6);
    while (cause === CAUSE_BUDGET);
    const bytes = (offset: number, size: number): string =>
      Buffer.from(m.ram.u8.subarray(offset, offset + size)).toString('hex');
    const state = [
      bytes(HART_PC, 8),
      bytes(HART_X, 256),
      bytes(HART_F, 256),
      bytes(HART_FFLAGS, 8),
      bytes(m.offset(DATA), 128),
    ].join('\n');
    return { cause, state };
  }
}

describe('an infinity that a run of arithmetic makes and loses', () => {
  it('is found when 0 was divided by it', () => {
    const d = (f5: number, rd: number, rs1: number, rs2: number): number =>
      r(OP_FP, RNE, (f5 << 2) | DOUBLE, rd, rs1, rs2);
    const [big, zero, infinite, quotient] = [0, 1, 2, 3];
    const words = [
      d(FADD, infinite, big, big),
      d(FDIV, quotient, zero, infinite),
      d(FADD, quotient, quotient, zero),
      d(FMUL, infinite, zero, zero),
      ECALL,
    ];
    const [a, b] = [INTERPRETER, JIT_AT_ONCE].map((tier) => {
      const side = new Side(tier);
      const { i32, view } = side.m.ram;
      side.m.code(TEXT, words);
      view.setFloat64(HART_F + 8 * big, Number.MAX_VALUE, true);
      view.setFloat64(HART_F + 8 * zero, 0, true);
      i32[HART_FFLAGS >> 2] = NX;
      const outcome = side.runFrom(TEXT);
      assert.equal(i32[HART_FFLAGS >> 2], NX | OF, tier.name);
      return outcome;
    });
    assert.deepEqual(b, a);
  });
});

for (const [name, precision] of [
  ['doubles', DOUBLE],
  ['singles', 0],
] as const) {
  describe(`runs of arithmetic with ${name}`, () => {
    for (const [what, edges] of [
      ['ordinary numbers', 0],
      ['a few special values', 24],
      ['many special values', 3],
    ] as const) {
      it(`do the same compiled, with ${what}`, () => {
        const sides = [new Side(INTERPRETER), new Side(JIT_AT_ONCE)] as const;
        const c = new Random(precision * 1000 + edges);
        for (let n = 0; n < PROGRAMS; n++) {
          const words = Array.from({ length: 4 + c.below(LENGTH) }, () => word(c, precision));
          for (const { m } of sides) m.code(TEXT + n * PROGRAM_SIZE, [...words, ECALL]);
        }
        const causes = new Set<number>();
        for (let n = 0; n < PROGRAMS; n++) {
          const [a, b] = sides.map((side) => side.run(TEXT + n * PROGRAM_SIZE, n, edges)) as [
            Outcome,
            Outcome,
          ];
          assert.deepEqual(b, a, `program ${n}`);
          causes.add(a.cause);
        }
        assert.deepEqual([...causes].sort(), [CAUSE_ECALL_U, CAUSE_LOAD_PAGE_FAULT].sort());
        assert.ok(compiledRegions(sides[1].m.cpu)! > PROGRAMS / 2);
      });
    }
  });
}
