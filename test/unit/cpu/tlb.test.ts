import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CAUSE_ECALL_U } from '../../../src/arch/riscv/cause.ts';
import {
  PAGE_SIZE,
  TLB_ENTRIES,
  TLB_ENTRY_SIZE,
  TLB_EXEC_BASE,
  TLB_EXEC_ENTRIES,
  TLB_READ_BASE,
  TLB_WRITE_BASE,
} from '../../../src/arch/riscv/memlayout.ts';
import type { Ram } from '../../../src/arch/riscv/ram.ts';
import {
  flushTlbAll,
  flushTlbKind,
  flushTlbPageAt,
  TLB_EXEC,
  TLB_LOG_ENTRIES,
  TLB_READ,
  TLB_WRITE,
} from '../../../src/arch/riscv/tlb.ts';
import { addi, branch, ld, r, sd } from '../../differential/assembler.ts';
import { BareMachine, RWU, RXU } from './bare_machine.ts';

const TEXT = 0x10000;
const DATA = 0x100_0000;
const ECALL = 0x73;

/** Entries of one TLB that hold a page. */
function used(ram: Ram, base: number, entries: number): number {
  let count = 0;
  for (let i = 0; i < entries; i++) if (ram.i32[(base + i * TLB_ENTRY_SIZE) >>> 2] !== -1) count++;
  return count;
}

function counts(ram: Ram): number[] {
  return [
    used(ram, TLB_READ_BASE, TLB_ENTRIES),
    used(ram, TLB_WRITE_BASE, TLB_ENTRIES),
    used(ram, TLB_EXEC_BASE, TLB_EXEC_ENTRIES),
  ];
}

/** A machine that has loaded from and stored to `pages` pages. */
function touched(pages: number): BareMachine {
  const m = new BareMachine(16 << 20);
  m.map(TEXT, RXU);
  for (let i = 0; i < pages; i++) m.map(DATA + i * PAGE_SIZE, RWU);
  // loop: ld x10, 0(x5); sd x10, 0(x5); x5 += x6; bne x5, x7, loop
  const loop = [ld(10, 5, 0), sd(10, 5, 0), r(0x33, 0, 0, 5, 5, 6), branch(1, 5, 7, -12), ECALL];
  m.code(TEXT, loop);
  m.setX(5, BigInt(DATA));
  m.setX(6, BigInt(PAGE_SIZE));
  m.setX(7, BigInt(DATA + pages * PAGE_SIZE));
  m.pc = TEXT;
  assert.equal(m.cpu.run(1e6), CAUSE_ECALL_U);
  return m;
}

describe('flushing a TLB', () => {
  for (const pages of [1, TLB_LOG_ENTRIES, TLB_LOG_ENTRIES + 1, 1000]) {
    it(`empties it after ${pages} fills, and only it`, () => {
      const m = touched(pages);
      assert.deepEqual(counts(m.ram), [pages, pages, 1]);
      flushTlbKind(m.ram, TLB_WRITE);
      assert.deepEqual(counts(m.ram), [pages, 0, 1]);
      flushTlbKind(m.ram, TLB_EXEC);
      flushTlbKind(m.ram, TLB_READ);
      assert.deepEqual(counts(m.ram), [0, 0, 0]);
    });
  }

  it('of one page leaves the others', () => {
    const m = touched(10);
    flushTlbPageAt(m.ram, DATA + 3 * PAGE_SIZE);
    assert.deepEqual(counts(m.ram), [9, 9, 1]);
  });

  it('makes the processor look at the tables again', () => {
    const m = touched(2);
    const pfn = m.map(DATA, RWU);
    m.ram.u8[pfn * PAGE_SIZE] = 42;
    flushTlbAll(m.ram);
    m.code(TEXT + 0x100, [addi(5, 6, 0), ld(10, 8, 0), ECALL]);
    m.setX(8, BigInt(DATA));
    m.pc = TEXT + 0x100;
    m.cpu.run(10);
    assert.equal(m.x(10), 42n);
  });
});
