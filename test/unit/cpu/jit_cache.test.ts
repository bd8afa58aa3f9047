import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CAUSE_BREAKPOINT, CAUSE_BUDGET, CAUSE_ECALL_U } from '../../../src/arch/riscv/cause.ts';
import type { JitStats } from '../../../src/cpu/jit/code_cache.ts';
import { INTERPRETER, JIT_SOON, type Tier } from '../../cpu_tiers.ts';
import {
  addi,
  branch,
  ci,
  i,
  ld,
  OP_JALR,
  OP_LUI,
  OP_STORE,
  s,
  u,
} from '../../differential/assembler.ts';
import { BareMachine, RWU, RWXU, RXU } from './bare_machine.ts';

const MIB = 1 << 20;
/** As patient with joining regions as the default, with what is sampled compiled sooner. */
const PATIENT: Tier = { name: 'jit 8', jit: { enabled: true, threshold: 8 } };
const TEXT = 0x10_0000;
const DATA = 0x200_0000;
const ECALL = 0x73;
const C_EBREAK = 0x9002;
const [RA, T0, T1, S0, S1, A0, A1] = [1, 5, 6, 8, 9, 10, 11];
const RET = i(OP_JALR, 0, 0, RA, 0);

function cAddi(rd: number, imm: number): number {
  return ci(1, 0, rd, imm);
}

function stats(m: BareMachine): JitStats {
  return { ...m.cpu.jitStats! };
}

/** Runs from `pc` until a trap that is not the end of the budget. */
function runTo(m: BareMachine, pc: number, wanted: number): void {
  m.pc = pc;
  let cause: number;
  do cause = m.cpu.run(1e9);
  while (cause === CAUSE_BUDGET);
  assert.equal(cause, wanted);
}

/** Loops that each stand alone, `bytes` apart: loop n adds `step(n)` to a0 s0 times. */
interface Loops {
  readonly bytes: number;
  readonly iterations: number;
  readonly step: (n: number) => number;
}

function runLoop(m: BareMachine, loops: Loops, n: number): void {
  m.setX(A0, 0n);
  m.setX(S0, BigInt(loops.iterations));
  runTo(m, TEXT + n * loops.bytes, CAUSE_BREAKPOINT);
  assert.equal(m.x(A0), BigInt(loops.step(n) * loops.iterations), `loop ${n}`);
}

/** Regions that are left, at most `cap`, of at most `insns` instructions in all. */
function assertLive(m: BareMachine, cap: number, insns: number): void {
  const { compiled, dropped, insns: total } = stats(m);
  assert.ok(compiled - dropped <= cap, `${compiled - dropped} regions`);
  assert.ok((compiled - dropped) * (total / compiled) <= insns, `${total / compiled} each`);
}

describe('compiled code that gets too much', () => {
  it('goes, the oldest first, when there are too many regions', () => {
    const m = new BareMachine(16 * MIB, JIT_SOON);
    const count = 10_000;
    const loops = { bytes: 8, iterations: 500, step: (n: number) => (n % 15) + 1 };
    const words = Array.from({ length: count }, (_, n) => [
      cAddi(A0, loops.step(n)),
      cAddi(S0, -1),
      // c.bnez s0, -4
      0xfc75,
      C_EBREAK,
    ]);
    m.code(TEXT, words.flat());
    for (let n = 0; n < count; n++) runLoop(m, loops, n);
    const first = stats(m);
    assert.equal(first.compiled, count);
    assert.ok(first.dropped > 0);
    assertLive(m, m.ram.layout.regionEntries / 4, 400_000);
    // What ran last is there yet, what ran first is not.
    for (let n = count - 100; n < count; n++) runLoop(m, loops, n);
    assert.equal(stats(m).compiled, count);
    for (let n = 0; n < 100; n++) runLoop(m, loops, n);
    assert.ok(stats(m).compiled > count);
  });

  it('goes when there are too many instructions', () => {
    const m = new BareMachine(256 * MIB, JIT_SOON);
    const adds = 123;
    const count = 3600;
    const loops = { bytes: 256, iterations: 20, step: (n: number) => adds * ((n % 7) + 1) };
    const words = Array.from({ length: count }, (_, n) => [
      ...Array.from({ length: adds }, () => cAddi(A0, (n % 7) + 1)),
      cAddi(S0, -1),
      branch(1, S0, 0, -2 * (adds + 1)),
      C_EBREAK,
      C_EBREAK,
    ]);
    m.code(TEXT, words.flat());
    for (let n = 0; n < count; n++) runLoop(m, loops, n);
    const { compiled, dropped, insns } = stats(m);
    assert.equal(compiled, count);
    assert.ok(insns > 400_000, `${insns} instructions`);
    assert.ok(dropped > 0);
    assertLive(m, m.ram.layout.regionEntries / 4, 400_000);
    for (let n = 0; n < count; n += 100) runLoop(m, loops, n);
  });
});

describe('code that changes all the time', () => {
  /** Runs `rounds` times a loop of `iterations` after a store changed what it adds. */
  function change(m: BareMachine, rounds: number, iterations: number): void {
    for (let round = 0; round < rounds; round++) {
      const value = (round % 100) + 1;
      m.setX(A0, 0n);
      m.setX(A1, BigInt(addi(A0, A0, value)));
      m.setX(S0, BigInt(iterations));
      runTo(m, TEXT, CAUSE_ECALL_U);
      assert.equal(m.x(A0), BigInt(value * iterations));
    }
  }

  function machine(): BareMachine {
    const m = new BareMachine(16 * MIB, JIT_SOON);
    m.map(TEXT, RWXU);
    m.code(TEXT, [
      s(OP_STORE, 2, T0, A1, 0),
      addi(A0, A0, 0),
      addi(S0, S0, -1),
      branch(1, S0, 0, -8),
      ECALL,
    ]);
    m.setX(T0, BigInt(TEXT + 4));
    return m;
  }

  it('is left to the interpreter', () => {
    const m = machine();
    change(m, 50, 2000);
    const before = stats(m);
    assert.ok(before.compiled > 0);
    change(m, 200, 2000);
    assert.equal(stats(m).compiled, before.compiled);
    assert.equal(before.dropped, before.compiled);
  });

  it('is compiled once it no longer does', () => {
    const m = machine();
    change(m, 50, 2000);
    const before = stats(m);
    change(m, 1, 100_000);
    assert.equal(stats(m).compiled, before.compiled + 1);
  });
});

/** Runs `body` on a host that has no memory left for compiled code. */
function withFullHost(body: () => void): void {
  const { Module } = WebAssembly;
  const full = function full(): never {
    throw new RangeError('WebAssembly.Module(): Out of memory');
  };
  Object.assign(WebAssembly, { Module: full });
  try {
    body();
  } finally {
    Object.assign(WebAssembly, { Module });
  }
}

describe('a host that refuses to compile', () => {
  const loops = { bytes: 16, iterations: 5000, step: (n: number) => n + 1 };

  function machine(tier: Tier): BareMachine {
    const m = new BareMachine(16 * MIB, tier);
    for (let n = 0; n < 100; n++)
      m.code(TEXT + n * loops.bytes, [
        addi(A0, A0, loops.step(n)),
        addi(S0, S0, -1),
        branch(1, S0, 0, -8),
        C_EBREAK,
      ]);
    return m;
  }

  for (const tier of [JIT_SOON, { ...JIT_SOON, jit: { enabled: true, threshold: 0 } }]) {
    it(`interprets, threshold ${tier.jit.threshold}`, () => {
      const m = machine(tier);
      withFullHost(() => {
        for (let n = 0; n < 100; n++) runLoop(m, loops, n);
      });
      const { compiled, modules, dropped } = stats(m);
      assert.deepEqual([compiled, modules, dropped], [0, 0, 0]);
      assert.equal(m.instret, 100 * 5000 * 3);
    });
  }

  it('keeps what was compiled before', () => {
    const m = machine(JIT_SOON);
    for (let n = 0; n < 50; n++) runLoop(m, loops, n);
    const before = stats(m);
    withFullHost(() => {
      for (let n = 0; n < 100; n++) runLoop(m, loops, n);
    });
    const { compiled, modules, dropped } = stats(m);
    assert.deepEqual([compiled, modules, dropped], [before.compiled, before.modules, 0]);
    assert.equal(before.compiled, 50);
  });
});

/**
 * Functions on pages of their own, called through a table of pointers round after round: function
 * n adds n + 1 to a0.
 */
function callsThroughPointers(m: BareMachine, count: number): void {
  const functions = 0x300_0000;
  const pointers = new BigUint64Array(count);
  for (let n = 0; n < count; n++) {
    const at = functions + n * 0x1000 + (n % 16) * 64;
    m.code(at, [addi(A0, A0, n + 1), RET]);
    pointers[n] = BigInt(at);
  }
  m.copyIn(DATA, new Uint8Array(pointers.buffer), RWU);
  m.map(TEXT, RXU);
  m.code(TEXT, [
    u(OP_LUI, T0, DATA >> 12),
    addi(S1, 0, count),
    ld(T1, T0, 0),
    i(OP_JALR, 0, RA, T1, 0),
    addi(T0, T0, 8),
    addi(S1, S1, -1),
    branch(1, S1, 0, -16),
    addi(S0, S0, -1),
    branch(1, S0, 0, -32),
    ECALL,
  ]);
}

describe('regions that are entered in turn', () => {
  const functions = 20;
  const rounds = 40_000;

  function run(m: BareMachine): void {
    m.setX(A0, 0n);
    m.setX(S0, BigInt(rounds));
    runTo(m, TEXT, CAUSE_ECALL_U);
    assert.equal(m.x(A0), BigInt((rounds * functions * (functions + 1)) / 2));
  }

  it('become one', () => {
    const [m, interpreted] = [JIT_SOON, INTERPRETER].map((tier) => new BareMachine(16 * MIB, tier));
    for (const each of [m!, interpreted!]) {
      callsThroughPointers(each, functions);
      run(each);
    }
    assert.ok(stats(m!).joined > 0);
    assert.equal(m!.instret, interpreted!.instret);
  });

  it('stay as they are on a host that no longer compiles', () => {
    const m = new BareMachine(16 * MIB, PATIENT);
    callsThroughPointers(m, functions);
    m.setX(A0, 0n);
    m.setX(S0, 2000n);
    runTo(m, TEXT, CAUSE_ECALL_U);
    const before = stats(m);
    assert.ok(before.compiled >= functions / 2, `${before.compiled} compiled`);
    assert.equal(before.joined, 0);
    const other = 0x500_0000;
    m.code(other, [addi(S0, S0, -1), branch(1, S0, 0, -4), ECALL]);
    withFullHost(() => {
      m.setX(S0, 1_000_000n);
      runTo(m, other, CAUSE_ECALL_U);
      run(m);
    });
    const { compiled, dropped, joined } = stats(m);
    assert.deepEqual([compiled, dropped, joined], [before.compiled, before.dropped, 0]);
  });
});
