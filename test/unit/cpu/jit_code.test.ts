import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  CAUSE_BREAKPOINT,
  CAUSE_BUDGET,
  CAUSE_ECALL_U,
  CAUSE_INSN_PAGE_FAULT,
  CAUSE_LOAD_PAGE_FAULT,
  CAUSE_STORE_PAGE_FAULT,
} from '../../../src/arch/riscv/cause.ts';
import { HART_SATP, HART_TVAL } from '../../../src/arch/riscv/hart_state.ts';
import { icacheInvalidateFrame } from '../../../src/arch/riscv/icache.ts';
import { PAGE_SIZE } from '../../../src/arch/riscv/memlayout.ts';
import type { Pfn } from '../../../src/arch/riscv/pgtable.ts';
import { flushTlbAll } from '../../../src/arch/riscv/tlb.ts';
import { JIT_AT_ONCE, TIERS } from '../../cpu_tiers.ts';
import {
  addi,
  branch,
  i,
  jal,
  ld,
  OP_AUIPC,
  OP_JALR,
  OP_STORE,
  r,
  s,
  sd,
  u,
} from '../../differential/assembler.ts';
import { BareMachine, RU, RWU, RWXU, RXU } from './bare_machine.ts';

const TEXT = 0x10000;
const ECALL = 0x73;
const C_NOP = 1;
const RA = 1;
const T0 = 5;
const T1 = 6;
const S0 = 8;
const A0 = 10;
const A1 = 11;
const A2 = 12;
const RET = i(OP_JALR, 0, 0, RA, 0);
/** Stores to code that is then compiled at once cost a compilation each. */
const FEW = 40;
/** Iterations that make a loop hot in every tier, and are over quickly in all. */
const HOT = 400_000;

for (const tier of TIERS) {
  const atOnce = tier === JIT_AT_ONCE;

  function machine(): BareMachine {
    return new BareMachine(16 << 20, tier);
  }

  /** Runs from `pc` until the ecall. */
  function runToEcall(m: BareMachine, pc: number): void {
    m.pc = pc;
    let cause: number;
    do cause = m.cpu.run(1e9);
    while (cause === CAUSE_BUDGET);
    assert.equal(cause, CAUSE_ECALL_U);
  }

  /** s0 = HOT; loop { a0 += what `body` adds; s0-- }; ecall. */
  function loop(body: readonly number[]): number[] {
    const words = [...body, addi(S0, S0, -1)];
    return [...words, branch(1, S0, 0, -4 * words.length), ECALL];
  }

  function start(m: BareMachine, iterations = HOT): void {
    m.setX(S0, BigInt(iterations));
    m.setX(A0, 0n);
  }

  describe(`stores to running code: ${tier.name}`, () => {
    it('take effect ahead, in the same block, in each iteration', () => {
      const m = machine();
      m.map(TEXT, RWXU);
      // The value of a1 alternates between two instructions.
      const words = loop([s(OP_STORE, 2, T0, A1, 0), addi(A0, A0, 1), r(0x33, 4, 0, A1, A1, A2)]);
      m.code(TEXT, words);
      const [one, two] = [addi(A0, A0, 1), addi(A0, A0, 2)];
      const iterations = atOnce ? FEW : 2000;
      start(m, iterations);
      m.setX(T0, BigInt(TEXT + 4));
      m.setX(A1, BigInt(two));
      m.setX(A2, BigInt(one ^ two));
      runToEcall(m, TEXT);
      assert.equal(m.x(A0), BigInt(iterations * 1.5));
      assert.equal(m.instret, iterations * 5);
    });

    it('take effect behind, in the next iteration', () => {
      const m = machine();
      m.map(TEXT, RWXU);
      // Only the iteration in which s0 = a2 stores.
      const words = loop([addi(A0, A0, 1), branch(1, S0, A2, 8), s(OP_STORE, 2, T0, A1, 0)]);
      m.code(TEXT, words);
      start(m);
      m.setX(T0, BigInt(TEXT));
      m.setX(A1, BigInt(addi(A0, A0, 3)));
      m.setX(A2, BigInt(HOT / 4));
      runToEcall(m, TEXT);
      const after = HOT / 4 - 1;
      assert.equal(m.x(A0), BigInt(HOT - after + 3 * after));
      assert.equal(m.instret, HOT * 4 + 1);
    });

    it('leave the loop when its branch goes away', () => {
      const m = machine();
      m.map(TEXT, RWXU);
      const words = loop([addi(A0, A0, 1), branch(1, S0, A2, 8), s(OP_STORE, 2, T0, A1, 0)]);
      m.code(TEXT, words);
      start(m);
      m.setX(T0, BigInt(TEXT + 16));
      m.setX(A1, BigInt(addi(0, 0, 0)));
      m.setX(A2, BigInt(HOT / 2));
      runToEcall(m, TEXT);
      assert.equal(m.x(S0), BigInt(HOT / 2 - 1));
    });

    it('take effect through another mapping, and from another page', () => {
      const m = machine();
      const pfn = m.map(TEXT, RXU);
      const alias = 0x9000_0000;
      m.map(alias, RWU, pfn);
      m.code(TEXT, [addi(A0, A0, 1), RET]);
      const caller = 0x6_0000;
      m.code(
        caller,
        loop([jal(RA, TEXT - caller), branch(1, S0, A2, 8), s(OP_STORE, 2, T0, A1, 0)]),
      );
      start(m);
      m.setX(T0, BigInt(alias));
      m.setX(A1, BigInt(addi(A0, A0, 5)));
      m.setX(A2, BigInt(HOT / 4));
      runToEcall(m, caller);
      const after = HOT / 4 - 1;
      assert.equal(m.x(A0), BigInt(HOT - after + 5 * after));
    });

    it('may be to data beside the code, all the time', () => {
      const m = machine();
      m.map(TEXT, RWXU);
      m.code(TEXT, loop([ld(A1, T0, 0), addi(A1, A1, 1), sd(A1, T0, 0)]));
      const iterations = atOnce ? FEW : 20_000;
      start(m, iterations);
      m.setX(T0, BigInt(TEXT + 1024));
      runToEcall(m, TEXT);
      assert.equal(m.ram.view.getUint32(m.offset(TEXT + 1024), true), iterations);
    });
  });

  describe(`mappings of hot code: ${tier.name}`, () => {
    it('show each where it is', () => {
      const m = machine();
      const pfn = m.map(TEXT, RXU);
      m.code(TEXT, loop([u(OP_AUIPC, A0, 0), addi(A1, 0, 0)]));
      const others = [0x8765_4000, 0x1_2345_6000, 0x7fff_ffff_0000];
      for (const va of others) m.map(va, RXU, pfn);
      for (const va of [TEXT, ...others, TEXT]) {
        start(m);
        runToEcall(m, va);
        assert.equal(m.x(A0), BigInt(va));
        assert.equal(m.pc, va + 16);
      }
    });

    it('are left where the next page is another one', () => {
      const m = machine();
      m.map(TEXT, RXU);
      const edge = TEXT + PAGE_SIZE;
      m.map(edge, RXU);
      // The loop begins on the first page and ends on the second one.
      m.code(edge - 4, [addi(A0, A0, 1), ...loop([addi(A0, A0, 1)]).slice(1)]);
      m.code(edge, [addi(A0, A0, 1), addi(S0, S0, -1), branch(1, S0, 0, -12), ECALL]);
      start(m);
      runToEcall(m, edge - 4);
      assert.equal(m.x(A0), BigInt(2 * HOT));
      const other = m.map(0x40_0000, RXU);
      m.code(0x40_0000, [addi(A0, A0, 10), addi(S0, S0, -1), branch(1, S0, 0, -12), ECALL]);
      m.map(edge, RXU, other);
      start(m);
      runToEcall(m, edge - 4);
      assert.equal(m.x(A0), BigInt(11 * HOT));
      m.ram.u32[m.entry(edge)] = 0;
      flushTlbAll(m.ram);
      start(m);
      m.pc = edge - 4;
      assert.equal(m.cpu.run(1e9), CAUSE_INSN_PAGE_FAULT);
      assert.equal(m.pc, edge);
      assert.equal(m.read64(HART_TVAL), edge);
      assert.equal(m.x(A0), 1n);
    });

    it('of two address spaces share it until one has a page of its own', () => {
      const m = machine();
      const first = m.ram.u32[HART_SATP >>> 2]!;
      const shared = m.map(TEXT, RXU);
      m.code(TEXT, loop([addi(A0, A0, 1)]));
      const second = m.frame() * PAGE_SIZE;
      const enter = (root: number): void => {
        m.ram.u32[HART_SATP >>> 2] = root;
        flushTlbAll(m.ram);
      };
      const result = (root: number): bigint => {
        enter(root);
        start(m);
        runToEcall(m, TEXT);
        return m.x(A0);
      };
      enter(second);
      m.map(TEXT, RXU, shared);
      assert.deepEqual([result(first), result(second)], [BigInt(HOT), BigInt(HOT)]);
      const own = m.frame();
      icacheInvalidateFrame(m.ram, own);
      m.ram.u8.copyWithin(own * PAGE_SIZE, shared * PAGE_SIZE, (shared + 1) * PAGE_SIZE);
      m.map(TEXT, RWXU, own);
      m.setX(A1, BigInt(addi(A0, A0, 2)));
      m.setX(T0, BigInt(TEXT));
      m.code(0x50_0000, [s(OP_STORE, 2, T0, A1, 0), ECALL]);
      runToEcall(m, 0x50_0000);
      assert.deepEqual([result(second), result(first)], [BigInt(2 * HOT), BigInt(HOT)]);
    });

    it('may lose and regain the permission to execute', () => {
      const m = machine();
      const pfn = m.map(TEXT, RXU);
      m.code(TEXT, loop([addi(A0, A0, 1)]));
      for (let round = 0; round < 3; round++) {
        start(m);
        runToEcall(m, TEXT);
        m.map(TEXT, RWU, pfn);
        m.pc = TEXT;
        assert.equal(m.cpu.run(1e9), CAUSE_INSN_PAGE_FAULT);
        assert.equal(m.pc, TEXT);
        m.map(TEXT, RXU, pfn);
      }
    });
  });

  describe(`a frame that is used again: ${tier.name}`, () => {
    it('runs its new code', () => {
      const m = machine();
      const pfn: Pfn = m.map(TEXT, RXU);
      for (let value = 1; value < 6; value++) {
        icacheInvalidateFrame(m.ram, pfn);
        m.code(TEXT, loop([addi(A0, A0, value)]));
        start(m);
        runToEcall(m, TEXT);
        assert.equal(m.x(A0), BigInt(value * HOT));
      }
    });
  });

  describe(`traps in hot loops: ${tier.name}`, () => {
    it('are precise: registers, pc, counter', () => {
      const m = machine();
      m.map(TEXT, RXU);
      const data = 0x20_0000;
      const pages = 64;
      for (let n = 0; n < pages; n++) m.map(data + n * PAGE_SIZE, RWU);
      // a1 = *t0; *(t0 + 8) = s0; a0 += 1; t0 += 16: several accesses off one base register.
      const body = [ld(A1, T0, 0), sd(S0, T0, 8), addi(A0, A0, 1), addi(T0, T0, 16)];
      m.code(TEXT, loop(body));
      for (let round = 0; round < 40; round++) {
        start(m);
        m.setX(T0, BigInt(data));
        m.pc = TEXT;
        const before = m.instret;
        let cause: number;
        do cause = m.cpu.run(50_000);
        while (cause === CAUSE_BUDGET);
        assert.equal(cause, CAUSE_LOAD_PAGE_FAULT);
        const iterations = (pages * PAGE_SIZE) / 16;
        assert.deepEqual([m.pc, m.read64(HART_TVAL)], [TEXT, data + pages * PAGE_SIZE]);
        assert.deepEqual([m.x(A0), m.x(T0)], [BigInt(iterations), BigInt(data + iterations * 16)]);
        assert.equal(m.instret - before, iterations * 6);
      }
    });

    it('leave what came before in the block done, and nothing after it', () => {
      const m = machine();
      m.map(TEXT, RXU);
      const data = 0x20_0000;
      m.map(data, RWU);
      m.map(data + PAGE_SIZE, RU);
      // The second store reaches the read-only page when t0 is at the end of the first.
      const body = [sd(S0, T0, 0), addi(A1, A1, 1), sd(S0, T0, 8), addi(T0, T0, 8)];
      m.code(TEXT, loop(body));
      for (let round = 0; round < 200; round++) {
        start(m);
        m.setX(A1, 0n);
        m.setX(T0, BigInt(data));
        m.pc = TEXT;
        assert.equal(m.cpu.run(1e9), CAUSE_STORE_PAGE_FAULT);
        const last = PAGE_SIZE / 8;
        assert.deepEqual([m.pc, m.read64(HART_TVAL)], [TEXT + 8, data + PAGE_SIZE]);
        assert.deepEqual([m.x(A1), m.x(T0)], [BigInt(last), BigInt(data + (last - 1) * 8)]);
      }
    });

    it('run again after the page was mapped', () => {
      const m = machine();
      m.map(TEXT, RXU);
      const data = 0x20_0000;
      m.code(TEXT, loop([sd(S0, T0, 0), addi(T0, T0, 8), addi(A0, A0, 1)]));
      start(m, 200_000);
      m.setX(T0, BigInt(data));
      m.pc = TEXT;
      let faults = 0;
      for (;;) {
        const cause = m.cpu.run(10_000);
        if (cause === CAUSE_ECALL_U) break;
        if (cause === CAUSE_BUDGET) continue;
        assert.equal(cause, CAUSE_STORE_PAGE_FAULT);
        faults++;
        m.map(m.read64(HART_TVAL), RWU);
      }
      assert.equal(faults, Math.ceil((200_000 * 8) / PAGE_SIZE));
      assert.equal(m.x(A0), 200_000n);
      assert.equal(m.ram.view.getUint32(m.offset(data + 8 * 199_999), true), 1);
      assert.equal(m.instret, 200_000 * 5);
    });

    it('stop at a breakpoint that was put into the loop', () => {
      const m = machine();
      const pfn = m.map(TEXT, RXU);
      m.code(TEXT, loop([addi(A0, A0, 1), C_NOP, C_NOP, addi(T1, T1, 1)]));
      m.code(TEXT + 12, [addi(S0, S0, -1), branch(1, S0, 0, -16), ECALL]);
      start(m);
      m.pc = TEXT;
      assert.equal(m.cpu.run(HOT * 2), CAUSE_BUDGET);
      icacheInvalidateFrame(m.ram, pfn);
      m.ram.view.setUint16(m.offset(TEXT + 4), 0x9002, true);
      const before = m.x(A0);
      assert.equal(m.cpu.run(1e9), CAUSE_BREAKPOINT);
      assert.equal(m.pc, TEXT + 4);
      assert.equal(m.x(A0), before + 1n);
    });
  });
}
