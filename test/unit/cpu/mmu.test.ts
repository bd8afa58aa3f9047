import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  CAUSE_ECALL_U,
  CAUSE_INSN_PAGE_FAULT,
  CAUSE_LOAD_MISALIGNED,
  CAUSE_LOAD_PAGE_FAULT,
  CAUSE_STORE_MISALIGNED,
  CAUSE_STORE_PAGE_FAULT,
} from '../../../src/arch/riscv/cause.ts';
import { HART_RESERVED, HART_SATP, HART_TVAL } from '../../../src/arch/riscv/hart_state.ts';
import { MAX_MEMORY_BYTES, PAGE_SIZE } from '../../../src/arch/riscv/memlayout.ts';
import {
  entryPtr,
  mkPte,
  type Pfn,
  pgdIndex,
  PMD_SIZE,
  PTE_A,
  PTE_D,
  PTE_R,
  PTE_SHARED,
  PTE_U,
  PTE_V,
  PTE_W,
  PTE_X,
  type Pte,
  type PtePtr,
  ptePfn,
  pudIndex,
  pmdIndex,
} from '../../../src/arch/riscv/pgtable.ts';
import { flushTlbAll, flushTlbKind, TLB_WRITE } from '../../../src/arch/riscv/tlb.ts';
import { addi, i, OP_AMO, OP_LOAD, OP_STORE, r, s } from '../../differential/assembler.ts';
import { BareMachine, RU, RWU, RXU } from './bare_machine.ts';

const TEXT = 0x10000;
const DATA = 0x20_0000;
const ECALL = 0x73;
const A0 = 10;
const A1 = 11;
const T0 = 5;

const LD = i(OP_LOAD, 3, A0, T0, 0);
const LH = i(OP_LOAD, 1, A0, T0, 0);
const SD = s(OP_STORE, 3, T0, A1, 0);
const LR_D = r(OP_AMO, 3, 0x08, A0, T0, 0);
const SC_D = r(OP_AMO, 3, 0x0c, A0, T0, A1);
const AMOADD_D = r(OP_AMO, 3, 0, A0, T0, A1);

/** Runs `insn`, then ecall, with t0 = address and a1 = value; gives the cause. */
function runAt(m: BareMachine, insn: number, address: bigint, value = 0n): number {
  m.code(TEXT, [insn, ECALL]);
  m.setX(T0, address);
  m.setX(A0, 0x1234n);
  m.setX(A1, value);
  m.pc = TEXT;
  return m.cpu.run(1000);
}

/** A machine whose text page is fresh for every instruction run. */
function machine(): BareMachine {
  const m = new BareMachine(16 << 20);
  m.map(TEXT, RXU);
  return m;
}

function fill(m: BareMachine, va: number): void {
  for (let k = 0; k < PAGE_SIZE; k++) m.ram.u8[m.offset(va) + k] = k & 0xff;
}

/** Takes code written over it: the tests write text as a loader would. */
function fresh(m: BareMachine): BareMachine {
  m.map(TEXT, RXU);
  return m;
}

describe('loads', () => {
  it('read bytes of a readable page', () => {
    const m = machine();
    m.map(DATA, RU);
    fill(m, DATA);
    assert.equal(runAt(m, LD, BigInt(DATA + 8)), CAUSE_ECALL_U);
    assert.equal(m.x(A0), 0x0f0e0d0c0b0a0908n);
  });

  it('may be misaligned, within a page and across two frames that are not neighbours', () => {
    const m = machine();
    m.map(DATA, RU);
    m.frame();
    m.map(DATA + PAGE_SIZE, RU);
    fill(m, DATA);
    fill(m, DATA + PAGE_SIZE);
    assert.equal(runAt(m, LD, BigInt(DATA + 5)), CAUSE_ECALL_U);
    assert.equal(m.x(A0), 0x0c0b0a0908070605n);
    fresh(m);
    assert.equal(runAt(m, LD, BigInt(DATA + PAGE_SIZE - 3)), CAUSE_ECALL_U);
    assert.equal(m.x(A0), 0x0403020100fffefdn);
    fresh(m);
    m.ram.u8[m.offset(DATA + PAGE_SIZE)] = 0x80;
    assert.equal(runAt(m, LH, BigInt(DATA + PAGE_SIZE - 1)), CAUSE_ECALL_U);
    assert.equal(m.x(A0), 0xffffffffffff80ffn);
  });

  it('fault with the address, pc on the instruction and rd unchanged', () => {
    const m = machine();
    assert.equal(runAt(m, LD, BigInt(DATA + 16)), CAUSE_LOAD_PAGE_FAULT);
    assert.equal(m.read64(HART_TVAL), DATA + 16);
    assert.equal(m.pc, TEXT);
    assert.equal(m.x(A0), 0x1234n);
  });

  it('that cross into a missing page fault at its first byte', () => {
    const m = machine();
    m.map(DATA, RU);
    assert.equal(runAt(m, LD, BigInt(DATA + PAGE_SIZE - 2)), CAUSE_LOAD_PAGE_FAULT);
    assert.equal(m.read64(HART_TVAL), DATA + PAGE_SIZE);
    assert.equal(m.x(A0), 0x1234n);
  });

  it('fault without R, without U, and on addresses that are not a user address', () => {
    for (const bits of [PTE_V | PTE_U | PTE_X, PTE_V | PTE_R | PTE_W]) {
      const m = machine();
      m.map(DATA, bits);
      assert.equal(runAt(m, LD, BigInt(DATA)), CAUSE_LOAD_PAGE_FAULT);
    }
    const m = machine();
    m.map(DATA, RWU);
    assert.equal(runAt(m, LD, BigInt(DATA)), CAUSE_ECALL_U);
    for (const high of [1n << 47n, 1n << 48n, 1n << 52n, 1n << 63n]) {
      fresh(m);
      assert.equal(runAt(m, LD, high + BigInt(DATA)), CAUSE_LOAD_PAGE_FAULT);
      assert.equal(m.ram.view.getBigUint64(HART_TVAL, true), high + BigInt(DATA));
    }
    fresh(m);
    assert.equal(runAt(m, LD, (1n << 64n) - 4n), CAUSE_LOAD_PAGE_FAULT);
  });

  it('set A in the leaf, and not D', () => {
    const m = machine();
    m.map(DATA, RWU);
    runAt(m, LD, BigInt(DATA));
    assert.equal(m.ram.u32[m.entry(DATA)]! & (PTE_A | PTE_D), PTE_A);
  });
});

describe('stores', () => {
  it('write, and set A and D', () => {
    const m = machine();
    m.map(DATA, RWU);
    assert.equal(runAt(m, SD, BigInt(DATA + 8), 0x1122334455667788n), CAUSE_ECALL_U);
    assert.equal(m.ram.view.getBigUint64(m.offset(DATA + 8), true), 0x1122334455667788n);
    assert.equal(m.ram.u32[m.entry(DATA)]! & (PTE_A | PTE_D), PTE_A | PTE_D);
  });

  it('across two pages write both, or nothing when the second one is missing', () => {
    const m = machine();
    m.map(DATA, RWU);
    m.frame();
    assert.equal(runAt(m, SD, BigInt(DATA + PAGE_SIZE - 3), ~0n), CAUSE_STORE_PAGE_FAULT);
    assert.equal(m.read64(HART_TVAL), DATA + PAGE_SIZE);
    assert.equal(m.ram.u8[m.offset(DATA) + PAGE_SIZE - 3], 0);
    m.map(DATA + PAGE_SIZE, RWU);
    fresh(m);
    assert.equal(runAt(m, SD, BigInt(DATA + PAGE_SIZE - 3), 0x0807060504030201n), CAUSE_ECALL_U);
    const first = m.offset(DATA) + PAGE_SIZE - 3;
    const second = m.offset(DATA + PAGE_SIZE);
    assert.deepEqual([...m.ram.u8.subarray(first, first + 3)], [1, 2, 3]);
    assert.deepEqual([...m.ram.u8.subarray(second, second + 6)], [4, 5, 6, 7, 8, 0]);
  });

  it('fault on a read-only page even after it has been read', () => {
    const m = machine();
    m.map(DATA, RU);
    runAt(m, LD, BigInt(DATA));
    fresh(m);
    assert.equal(runAt(m, SD, BigInt(DATA), 1n), CAUSE_STORE_PAGE_FAULT);
  });

  it('fault below an entry with SHARED at any level, while loads do not', () => {
    for (const level of [1, 2, 3]) {
      const m = machine();
      m.map(DATA, RWU);
      let table = (m.ram.u32[HART_SATP >>> 2]! / PAGE_SIZE) as Pfn;
      const indexes = [pgdIndex(DATA), pudIndex(DATA), pmdIndex(DATA)];
      let at: PtePtr = entryPtr(table, indexes[0]!);
      for (let k = 1; k <= 3 - level; k++) {
        table = ptePfn(m.ram.u32[at]! as Pte);
        at = entryPtr(table, indexes[k]!);
      }
      m.ram.u32[at] = m.ram.u32[at]! | PTE_SHARED;
      assert.equal(runAt(m, LD, BigInt(DATA)), CAUSE_ECALL_U);
      fresh(m);
      assert.equal(runAt(m, SD, BigInt(DATA), 1n), CAUSE_STORE_PAGE_FAULT);
      m.ram.u32[at] = m.ram.u32[at]! & ~PTE_SHARED;
      fresh(m);
      assert.equal(runAt(m, SD, BigInt(DATA), 1n), CAUSE_ECALL_U);
    }
  });

  it('that hit the write TLB stop writing once the kernel flushes it', () => {
    const m = machine();
    m.map(DATA, RWU);
    runAt(m, SD, BigInt(DATA), 1n);
    const at = m.entry(DATA);
    m.ram.u32[at] = m.ram.u32[at]! & ~PTE_W;
    flushTlbKind(m.ram, TLB_WRITE);
    fresh(m);
    assert.equal(runAt(m, SD, BigInt(DATA), 2n), CAUSE_STORE_PAGE_FAULT);
    assert.equal(m.ram.u8[m.offset(DATA)], 1);
  });

  it('honour 2 MiB leaves', () => {
    const m = machine();
    const va = 0x4000_0000;
    const pmd = m.entry(va);
    // The entry that points at the table of the leaf: make it a leaf itself.
    const pud = (m.ram.u32[HART_SATP >>> 2]! / PAGE_SIZE) as Pfn;
    let table = ptePfn(m.ram.u32[entryPtr(pud, pgdIndex(va))]! as Pte);
    table = ptePfn(m.ram.u32[entryPtr(table, pudIndex(va))]! as Pte);
    assert.notEqual(pmd, 0);
    const frame = PMD_SIZE / PAGE_SIZE;
    m.ram.u32[entryPtr(table, pmdIndex(va))] = mkPte((frame * 2) as Pfn, RWU);
    flushTlbAll(m.ram);
    assert.equal(runAt(m, SD, BigInt(va + 0x12_3458), 77n), CAUSE_ECALL_U);
    assert.equal(m.ram.u8[2 * PMD_SIZE + 0x12_3458], 77);
  });
});

describe('the largest memory', () => {
  it('loads, stores and runs from frames above 2 GiB', () => {
    const m = new BareMachine(MAX_MEMORY_BYTES);
    const last = m.ram.layout.nrFrames - 1;
    m.map(TEXT, RXU, (last - 1) as Pfn);
    m.map(DATA, RWU, last as Pfn);
    assert.equal(runAt(m, SD, BigInt(DATA + PAGE_SIZE - 8), 0x1122334455667788n), CAUSE_ECALL_U);
    assert.equal(m.ram.u8[MAX_MEMORY_BYTES - 8], 0x88);
    m.map(TEXT + PAGE_SIZE, RXU, (last - 2) as Pfn);
    m.code(TEXT + PAGE_SIZE, [LD, ECALL]);
    m.pc = TEXT + PAGE_SIZE;
    assert.equal(m.cpu.run(10), CAUSE_ECALL_U);
    assert.equal(m.x(A0), 0x1122334455667788n);
  });
});

describe('instruction fetch', () => {
  it('needs X and U', () => {
    for (const bits of [RWU, PTE_V | PTE_R | PTE_X]) {
      const m = new BareMachine(16 << 20);
      m.map(TEXT, bits);
      m.code(TEXT, [ECALL]);
      m.pc = TEXT;
      assert.equal(m.cpu.run(10), CAUSE_INSN_PAGE_FAULT);
      assert.equal(m.read64(HART_TVAL), TEXT);
      assert.equal(m.pc, TEXT);
    }
  });

  it('of the second half of an instruction faults at the next page, pc on the instruction', () => {
    const m = machine();
    const at = TEXT + PAGE_SIZE - 2;
    m.map(TEXT + PAGE_SIZE, RWU);
    m.code(at, [addi(A0, 0, 42), ECALL]);
    m.pc = at;
    assert.equal(m.cpu.run(10), CAUSE_INSN_PAGE_FAULT);
    assert.equal(m.read64(HART_TVAL), TEXT + PAGE_SIZE);
    assert.equal(m.pc, at);
    const entry = m.entry(TEXT + PAGE_SIZE);
    m.ram.u32[entry] = m.ram.u32[entry]! | PTE_X;
    assert.equal(m.cpu.run(10), CAUSE_ECALL_U);
    assert.equal(m.x(A0), 42n);
    assert.equal(m.pc, at + 4);
    assert.equal(m.instret, 1);
  });

  it('of a wild jump target faults there, after the jump has retired', () => {
    const m = machine();
    const jalr = i(0x67, 0, 1, T0, 0);
    assert.equal(runAt(m, jalr, (1n << 63n) + 0x1001n), CAUSE_INSN_PAGE_FAULT);
    assert.equal(m.ram.view.getBigUint64(HART_TVAL, true), (1n << 63n) + 0x1000n);
    assert.equal(m.x(1), BigInt(TEXT + 4));
    assert.equal(m.instret, 1);
  });
});

describe('atomics', () => {
  it('must be aligned', () => {
    const m = machine();
    m.map(DATA, RWU);
    assert.equal(runAt(m, LR_D, BigInt(DATA + 4)), CAUSE_LOAD_MISALIGNED);
    assert.equal(m.read64(HART_TVAL), DATA + 4);
    fresh(m);
    assert.equal(runAt(m, SC_D, BigInt(DATA + 1)), CAUSE_STORE_MISALIGNED);
    fresh(m);
    assert.equal(runAt(m, AMOADD_D, BigInt(DATA + 4)), CAUSE_STORE_MISALIGNED);
  });

  it('read-modify-write faults as a store, with memory and rd unchanged', () => {
    const m = machine();
    m.map(DATA, RU);
    assert.equal(runAt(m, AMOADD_D, BigInt(DATA), 5n), CAUSE_STORE_PAGE_FAULT);
    assert.equal(m.x(A0), 0x1234n);
    m.map(DATA, RWU, ptePfn(m.ram.u32[m.entry(DATA)]! as Pte));
    assert.equal(m.cpu.run(10), CAUSE_ECALL_U);
    assert.equal(m.x(A0), 0n);
    assert.equal(m.ram.u8[m.offset(DATA)], 5);
  });

  it('sc succeeds after lr, also after faulting once, and fails without a reservation', () => {
    const m = machine();
    m.map(DATA, RU);
    assert.equal(runAt(m, LR_D, BigInt(DATA)), CAUSE_ECALL_U);
    fresh(m);
    assert.equal(runAt(m, SC_D, BigInt(DATA), 9n), CAUSE_STORE_PAGE_FAULT);
    m.map(DATA, RWU, ptePfn(m.ram.u32[m.entry(DATA)]! as Pte));
    assert.equal(m.cpu.run(10), CAUSE_ECALL_U);
    assert.equal(m.x(A0), 0n);
    assert.equal(m.ram.u8[m.offset(DATA)], 9);
    fresh(m);
    assert.equal(runAt(m, SC_D, BigInt(DATA), 10n), CAUSE_ECALL_U);
    assert.equal(m.x(A0), 1n);
    assert.equal(m.ram.u8[m.offset(DATA)], 9);
    assert.equal(m.ram.i32[HART_RESERVED >>> 2], 0);
  });
});
