import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  CAUSE_BREAKPOINT,
  CAUSE_BUDGET,
  CAUSE_ECALL_U,
  CAUSE_ILLEGAL_INSN,
  CAUSE_LOAD_PAGE_FAULT,
} from '../../../src/arch/riscv/cause.ts';
import {
  HART_FFLAGS,
  HART_FRM,
  HART_INTERRUPT,
  HART_TVAL,
} from '../../../src/arch/riscv/hart_state.ts';
import { icacheInvalidateFrame } from '../../../src/arch/riscv/icache.ts';
import { PAGE_SIZE } from '../../../src/arch/riscv/memlayout.ts';
import { handlerOf, pairOf } from '../../../src/cpu/handlers.ts';
import { INSN_TABLE } from '../../../src/cpu/insn_table.ts';
import {
  addi,
  branch,
  i,
  jal,
  OP_AMO,
  OP_LOAD,
  OP_STORE,
  r,
  s,
} from '../../differential/assembler.ts';
import { BareMachine, RWU, RWXU, RXU } from './bare_machine.ts';

const TEXT = 0x10000;
const ECALL = 0x73;
const EBREAK = 0x100073;
const A0 = 10;
const A1 = 11;
const T0 = 5;
const C_NOP = 1;

function machine(words: readonly number[], bits = RXU, at = TEXT): BareMachine {
  const m = new BareMachine(16 << 20);
  for (let page = at - (at % PAGE_SIZE); page < at + words.length * 4; page += PAGE_SIZE)
    m.map(page, bits);
  m.code(at, words);
  m.pc = at;
  return m;
}

/** addi a0, a0, 1 / bne a0, a1, -4: two instructions an iteration. */
const LOOP = [addi(A0, A0, 1), branch(1, A0, A1, -4), ECALL];

describe('the instruction counter', () => {
  it('counts every retired instruction and not the ecall', () => {
    const m = machine(LOOP);
    m.setX(A1, 1000n);
    assert.equal(m.cpu.run(1e6), CAUSE_ECALL_U);
    assert.equal(m.instret, 2000);
    assert.equal(m.pc, TEXT + 8);
  });

  it('counts across pages, compressed instructions and an instruction on two pages', () => {
    const words = Array.from({ length: PAGE_SIZE / 2 - 1 }, () => C_NOP);
    const m = machine([...words, addi(A0, 0, 7), ECALL]);
    assert.equal(m.cpu.run(1e6), CAUSE_ECALL_U);
    assert.equal(m.instret, PAGE_SIZE / 2);
    assert.equal(m.x(A0), 7n);
  });

  it('is exact when code is entered in the middle of an instruction', () => {
    // lui a0, with a c.nop in its upper half; jump to the middle, then to the start.
    const m = machine([0x00010537 | (C_NOP << 16), ECALL]);
    assert.equal(m.cpu.run(10), CAUSE_ECALL_U);
    assert.equal(m.instret, 1);
    m.pc = TEXT + 2;
    assert.equal(m.cpu.run(10), CAUSE_ECALL_U);
    assert.equal(m.instret, 2);
  });

  it('shows in instret while code runs', () => {
    const rdinstret = 0xc0202573;
    const m = machine([C_NOP, C_NOP, C_NOP, rdinstret, ECALL]);
    m.cpu.run(10);
    assert.equal(m.x(A0), 3n);
  });
});

describe('the budget', () => {
  it('stops at the same instruction every time, at a taken branch', () => {
    const stops = [1, 2].map(() => {
      const m = machine(LOOP);
      m.setX(A1, 1_000_000n);
      assert.equal(m.cpu.run(1001), CAUSE_BUDGET);
      return [m.pc, m.x(A0), m.instret];
    });
    assert.deepEqual(stops[0], [TEXT, 501n, 1002]);
    assert.deepEqual(stops[1], stops[0]);
  });

  it('may be small: each run makes progress', () => {
    const m = machine(LOOP);
    m.setX(A1, 10n);
    let runs = 0;
    while (m.cpu.run(1) === CAUSE_BUDGET) runs++;
    assert.equal(runs, 9);
    assert.equal(m.instret, 20);
  });

  it('ends early when an interrupt is asked for', () => {
    const m = machine([jal(0, 0)]);
    m.ram.i32[HART_INTERRUPT >>> 2] = 1;
    assert.equal(m.cpu.run(1e9), CAUSE_BUDGET);
    assert.equal(m.instret, 0);
  });

  it('cuts an endless loop', () => {
    const m = machine([jal(0, 0)]);
    assert.equal(m.cpu.run(1_000_000), CAUSE_BUDGET);
    assert.equal(m.instret, 1_000_000);
  });
});

describe('traps', () => {
  it('ebreak stops with its own address', () => {
    const m = machine([C_NOP, EBREAK]);
    assert.equal(m.cpu.run(10), CAUSE_BREAKPOINT);
    assert.equal(m.pc, TEXT + 2);
    assert.equal(m.read64(HART_TVAL), TEXT + 2);
  });

  it('an illegal instruction stops with its word, 16 or 32 bits', () => {
    for (const word of [0x0000, 0xffff_ffff | 0, 0x00007057, 0x9c41 & 0xffff, 0x5057]) {
      const m = machine([word, ECALL]);
      assert.equal(m.cpu.run(10), CAUSE_ILLEGAL_INSN);
      assert.equal(m.pc, TEXT);
      assert.equal(m.read64(HART_TVAL), (word & 3) === 3 ? word >>> 0 : word & 0xffff);
    }
  });

  it('a reserved rounding mode is illegal, static or in frm', () => {
    const fadd = (rm: number): number => 0x02000053 | (rm << 12);
    for (const rm of [5, 6]) {
      assert.equal(machine([fadd(rm), ECALL]).cpu.run(10), CAUSE_ILLEGAL_INSN);
    }
    for (const frm of [5, 6, 7]) {
      const m = machine([fadd(7), ECALL]);
      m.ram.i32[HART_FRM >>> 2] = frm;
      assert.equal(m.cpu.run(10), CAUSE_ILLEGAL_INSN);
      assert.equal(m.read64(HART_TVAL), fadd(7));
      m.ram.i32[HART_FRM >>> 2] = 0;
      assert.equal(m.cpu.run(10), CAUSE_ECALL_U);
    }
  });

  it('writing a read-only CSR or naming an unknown one is illegal', () => {
    const csrrw = (csr: number, rs1: number): number => 0x1073 | (csr << 20) | (rs1 << 15);
    const csrrs = (csr: number, rs1: number): number => 0x2073 | (csr << 20) | (rs1 << 15);
    assert.equal(machine([csrrw(0xc00, 0)]).cpu.run(10), CAUSE_ILLEGAL_INSN);
    assert.equal(machine([csrrs(0xc00, 5)]).cpu.run(10), CAUSE_ILLEGAL_INSN);
    assert.equal(machine([csrrs(0xc00, 0), ECALL]).cpu.run(10), CAUSE_ECALL_U);
    assert.equal(machine([csrrs(0x300, 0)]).cpu.run(10), CAUSE_ILLEGAL_INSN);
  });
});

describe('CSRs', () => {
  it('fcsr is frm and fflags together', () => {
    const csrrwi = (csr: number, value: number, rd = 0): number =>
      0x5073 | (csr << 20) | (value << 15) | (rd << 7);
    const readFcsr = 0x2073 | (3 << 20) | (A0 << 7);
    const m = machine([csrrwi(1, 0x15), csrrwi(2, 3), readFcsr, csrrwi(3, 7, A1), ECALL]);
    m.cpu.run(10);
    assert.equal(m.x(A0), 0x75n);
    assert.equal(m.x(A1), 0x75n);
    assert.equal(m.ram.i32[HART_FFLAGS >>> 2], 7);
    assert.equal(m.ram.i32[HART_FRM >>> 2], 0);
  });

  it('time is what the host says, above 32 bits as well', () => {
    const m = machine([0xc0102573, ECALL]);
    m.now = 0x12_3456_789a;
    m.cpu.run(10);
    assert.equal(m.x(A0), 0x12_3456_789an);
  });
});

describe('changing text', () => {
  /** Stores a1 (an instruction word) over the instruction at t0, then runs it. */
  const patcher = (jump: number): number[] => [
    s(OP_STORE, 2, T0, A1, 0),
    jump,
    addi(A0, 0, 1),
    ECALL,
  ];

  it('by its own stores takes effect without fence.i, on the next instruction', () => {
    const m = machine(patcher(addi(0, 0, 0)), RWXU);
    for (const value of [2, 3, 4]) {
      m.setX(T0, BigInt(TEXT + 8));
      m.setX(A1, BigInt(addi(A0, 0, value)));
      m.pc = TEXT;
      assert.equal(m.cpu.run(100), CAUSE_ECALL_U);
      assert.equal(m.x(A0), BigInt(value));
    }
    assert.equal(m.instret, 9);
  });

  it('through another mapping of the frame takes effect', () => {
    const m = machine([addi(A0, 0, 1), ECALL]);
    const alias = 0x50_0000;
    m.cpu.run(10);
    m.map(alias, RWU, (m.offset(TEXT) / PAGE_SIZE) as never);
    m.code(0x60_0000, [s(OP_STORE, 2, T0, A1, 0), i(0x67, 0, 0, 6, 0)]);
    m.setX(T0, BigInt(alias));
    m.setX(A1, BigInt(addi(A0, 0, 9)));
    m.setX(6, BigInt(TEXT));
    m.pc = 0x60_0000;
    assert.equal(m.cpu.run(10), CAUSE_ECALL_U);
    assert.equal(m.x(A0), 9n);
  });

  it('stays noticed when the page has been written before it was executed', () => {
    const m = machine(
      [jal(0, 16), ECALL, ECALL, ECALL, s(OP_STORE, 2, T0, A1, 0), jal(0, -16)],
      RWXU,
    );
    // The store fills the write TLB, then the page becomes code again, then the store runs again.
    m.setX(T0, BigInt(TEXT + 4));
    m.setX(A1, BigInt(ECALL));
    m.cpu.run(8);
    m.cpu.run(8);
    m.pc = TEXT + 4;
    assert.equal(m.cpu.run(10), CAUSE_ECALL_U);
    m.setX(A1, BigInt(EBREAK));
    m.pc = TEXT + 16;
    m.cpu.run(1);
    m.pc = TEXT + 4;
    assert.equal(m.cpu.run(10), CAUSE_BREAKPOINT);
  });

  it('by an atomic takes effect', () => {
    const amoswap = r(OP_AMO, 2, 0x04, 0, T0, A1);
    const m = machine([amoswap, addi(A0, 0, 1), ECALL], RWXU);
    m.setX(T0, BigInt(TEXT + 4));
    m.setX(A1, BigInt(addi(A0, 0, 5)));
    assert.equal(m.cpu.run(10), CAUSE_ECALL_U);
    assert.equal(m.x(A0), 5n);
  });

  it('by the kernel takes effect after icacheInvalidateFrame()', () => {
    const m = machine([addi(A0, 0, 1), ECALL]);
    m.cpu.run(10);
    icacheInvalidateFrame(m.ram, (m.offset(TEXT) / PAGE_SIZE) as never);
    m.ram.i32[m.offset(TEXT) >>> 2] = addi(A0, 0, 6);
    m.pc = TEXT;
    m.cpu.run(10);
    assert.equal(m.x(A0), 6n);
  });
});

describe('the code pool', () => {
  it('starts anew when it is full, in the middle of a jump and of an instruction on two pages', () => {
    const m = new BareMachine(8 << 20);
    const pages = Math.floor(m.ram.layout.codePoolBytes / 32784) * 3;
    // Every page: a jump over it to its last halfword, where an addi spans two pages.
    for (let p = 0; p < pages; p++) {
      const page = TEXT + p * PAGE_SIZE;
      m.code(page + 4, [jal(0, PAGE_SIZE - 2 - 4)]);
      m.code(page + PAGE_SIZE - 2, [addi(A0, A0, 1)]);
      m.code(page + PAGE_SIZE + 2, [C_NOP]);
    }
    m.code(TEXT + pages * PAGE_SIZE + 4, [ECALL]);
    m.pc = TEXT + 4;
    for (let round = 1; round <= 2; round++) {
      m.pc = TEXT + 4;
      assert.equal(m.cpu.run(1e6), CAUSE_ECALL_U);
      assert.equal(m.x(A0), BigInt(pages * round));
      assert.equal(m.instret, pages * 3 * round);
    }
  });
});

describe('code that keeps changing itself', () => {
  it('does not use up the code pool', () => {
    const m = machine([s(OP_STORE, 2, T0, A1, 0), addi(A0, 0, 1), ECALL], RWXU);
    const other = m.map(0x40_0000, RXU);
    m.code(0x40_0000, [ECALL]);
    m.pc = 0x40_0000;
    m.cpu.run(10);
    const code = m.ram.codeIndex[other];
    m.setX(T0, BigInt(TEXT + 4));
    for (let round = 0; round < 100; round++) {
      m.setX(A1, BigInt(addi(A0, 0, round)));
      m.pc = TEXT;
      assert.equal(m.cpu.run(10), CAUSE_ECALL_U);
      assert.equal(m.x(A0), BigInt(round));
    }
    assert.notEqual(code, 0);
    assert.equal(m.ram.codeIndex[other], code);
  });
});

describe('a pair of instructions with one handler', () => {
  // c.addi t0, 1 / lbu a0, 0(t0)
  const pair = [0x0285, i(OP_LOAD, 4, A0, T0, 0), ECALL];

  it('is one that the table has', () => {
    const first = INSN_TABLE.findIndex(({ name }) => name === 'addi');
    const second = INSN_TABLE.findIndex(({ name }) => name === 'lbu');
    assert.notEqual(pairOf(handlerOf(first, 2, false), handlerOf(second, 4, false)), 0);
  });

  it('traps at the second one with the first one done', () => {
    const m = machine(pair);
    m.setX(T0, 0x7fffn);
    assert.equal(m.cpu.run(10), CAUSE_LOAD_PAGE_FAULT);
    assert.equal(m.pc, TEXT + 2);
    assert.equal(m.x(T0), 0x8000n);
    assert.equal(m.instret, 1);
    m.map(0x8000, RXU);
    assert.equal(m.cpu.run(10), CAUSE_ECALL_U);
    assert.equal(m.x(T0), 0x8000n);
    assert.equal(m.instret, 2);
  });

  it('can be entered at the second one', () => {
    const m = machine(pair);
    m.setX(T0, BigInt(TEXT - 1));
    assert.equal(m.cpu.run(10), CAUSE_ECALL_U);
    assert.equal(m.x(A0), 0x85n);
    m.pc = TEXT + 2;
    m.setX(T0, BigInt(TEXT + 1));
    assert.equal(m.cpu.run(10), CAUSE_ECALL_U);
    assert.equal(m.x(A0), 0x02n);
    assert.equal(m.instret, 3);
  });

  it('is noticed when the first one writes over the second one', () => {
    // c.sw a1, 0(a0) / c.addi a2, 1: the store turns the c.addi into the ecall.
    const m = machine([C_NOP, 0xc10c, 0x0605, C_NOP, EBREAK], RWXU);
    m.setX(A0, BigInt(TEXT + 4));
    m.setX(A1, BigInt(ECALL));
    assert.equal(m.cpu.run(10), CAUSE_ECALL_U);
    assert.equal(m.pc, TEXT + 4);
    assert.equal(m.x(12), 0n);
    assert.equal(m.instret, 2);
  });
});

describe('x0', () => {
  it('stays 0 whatever is written to it', () => {
    const words = [addi(0, 0, 5), i(OP_LOAD, 3, 0, T0, 0), r(0x33, 0, 1, 0, T0, T0)];
    const m = machine([...words, addi(A0, 0, 0), ECALL], RWXU);
    m.setX(T0, BigInt(TEXT));
    m.cpu.run(10);
    assert.equal(m.x(0), 0n);
    assert.equal(m.x(A0), 0n);
  });
});
