import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CAUSE_BUDGET, CAUSE_ECALL_U } from '../../../src/arch/riscv/cause.ts';
import { HART_PREV_BLOCK } from '../../../src/arch/riscv/hart_state.ts';
import { blockOfPc, type InstrumentOptions } from '../../../src/cpu/instrument.ts';
import {
  blockTrace,
  clearInstrument,
  compareLog,
  edgeMap,
} from '../../../src/machine/instruments.ts';
import { JIT_AT_ONCE, type Tier, TIERS } from '../../cpu_tiers.ts';
import { addi, branch, i, jal, OP_JALR } from '../../differential/assembler.ts';
import { BareMachine } from './bare_machine.ts';

const RAM = 16 << 20;
const ECALL = 0x73;
const [RA, T0, S0, A0] = [1, 5, 8, 10];
const [BEQ, BNE, BLT] = [0, 1, 4];
const RET = i(OP_JALR, 0, 0, RA, 0);

/** The last instructions of a page, and a function on the next but one. */
const TEXT = 0x10ff0;
const CALLEE = 0x12ffa;
/** Calls and compares; the backward branch begins on one page and ends on the next. */
const PROGRAM = [
  addi(A0, A0, 1),
  jal(RA, CALLEE - (TEXT + 4)),
  addi(0, 0, 0),
  0x0001, // c.nop: what follows straddles the pages
  branch(BNE, A0, S0, -14),
  ECALL,
];
/** Skips an instruction each other time, with a branch that straddles pages too, and returns. */
const FUNCTION = [
  0x0001,
  i(0x13, 7, T0, A0, 1),
  branch(BEQ, T0, 0, 8),
  addi(0, 0, 0),
  branch(BLT, A0, 0, 8),
  RET,
];
const LOOP_BRANCH = TEXT + 14;
const HOT_LOOP = 0x20000;
const SKIP = CALLEE + 6;
const SKIPPED = SKIP + 8;

function newMachine(tier: Tier, instrument: InstrumentOptions): BareMachine {
  const m = new BareMachine(RAM, tier, instrument);
  m.code(TEXT, PROGRAM);
  m.code(CALLEE, FUNCTION);
  return m;
}

function runLoop(m: BareMachine, iterations: number): void {
  m.setX(A0, 0n);
  m.setX(S0, BigInt(iterations));
  runFrom(m, TEXT);
}

/** Runs from `pc` to the ecall. */
function runFrom(m: BareMachine, pc: number): void {
  m.pc = pc;
  let cause: number;
  do cause = m.cpu.run(10_000);
  while (cause === CAUSE_BUDGET);
  assert.equal(cause, CAUSE_ECALL_U);
}

/** What runLoop() reaches and compares, by the manual. */
function expected(iterations: number): { blocks: number[]; compares: [number, string, bigint][] } {
  const blocks: number[] = [];
  const compares: [number, string, bigint][] = [];
  for (let n = 1; n <= iterations; n++) {
    blocks.push(CALLEE, n % 2 === 0 ? SKIPPED : SKIP + 4);
    compares.push([SKIP, 'beq', BigInt(n % 2)], [SKIPPED, 'blt', BigInt(n)]);
    blocks.push(SKIPPED + 4, TEXT + 8, n < iterations ? TEXT : LOOP_BRANCH + 4);
    compares.push([LOOP_BRANCH, 'bne', BigInt(n)]);
  }
  return { blocks, compares };
}

function expectedMap(blocks: readonly number[], size: number): Uint8Array {
  const map = new Uint8Array(size);
  let prev = 0;
  for (const pc of blocks) {
    const block = blockOfPc(pc, size);
    map[block ^ prev]!++;
    prev = block >> 1;
  }
  return map;
}

for (const tier of TIERS) {
  describe(`instrumentation: ${tier.name}`, () => {
    it('counts edges where branches are taken and not, calls and returns', () => {
      const m = newMachine(tier, { edges: true, mapSize: 4096 });
      runLoop(m, 50);
      const map = edgeMap(m.ram, m.cpu.instrument)!;
      assert.deepEqual(map, expectedMap(expected(50).blocks, 4096));
      assert.equal(compareLog(m.ram, m.cpu.instrument), null);
      assert.equal(blockTrace(m.ram, m.cpu.instrument), null);
    });

    it('lets counters of hot edges wrap at 256, as AFL does', () => {
      const m = newMachine(tier, { edges: true });
      runLoop(m, 300_000);
      const map = edgeMap(m.ram, m.cpu.instrument)!;
      assert.deepEqual(map, expectedMap(expected(300_000).blocks, 65536));
    });

    it('traces blocks in order and keeps the newest', () => {
      const m = newMachine(tier, { blocks: true, blockRecords: 256 });
      runLoop(m, 3);
      const { blocks } = expected(3);
      const short = blockTrace(m.ram, m.cpu.instrument)!;
      assert.equal(short.total, blocks.length);
      assert.deepEqual([...short.pcs], blocks);
      clearInstrument(m.ram, m.cpu.instrument);
      assert.equal(blockTrace(m.ram, m.cpu.instrument)!.total, 0);
      runLoop(m, 20_000);
      const all = expected(20_000).blocks;
      const long = blockTrace(m.ram, m.cpu.instrument)!;
      assert.equal(long.total, all.length);
      assert.deepEqual([...long.pcs], all.slice(-256));
    });

    it('logs the operands of branches in order and keeps the newest', () => {
      const m = newMachine(tier, { compares: true, compareRecords: 256 });
      runLoop(m, 20_000);
      const all = expected(20_000).compares;
      const { total, records } = compareLog(m.ram, m.cpu.instrument)!;
      assert.equal(total, all.length);
      const others: Readonly<Record<string, bigint>> = { beq: 0n, blt: 0n, bne: 20_000n };
      assert.deepEqual(
        records,
        all.slice(-256).map(([pc, kind, rs1]) => ({ pc, kind, rs1, rs2: others[kind]! })),
      );
    });

    it('keeps the newest operands of each branch, whichever runs most', () => {
      const sized = { compareRecords: 4096, comparesPerSite: 16 };
      const m = newMachine(tier, { compares: true, ...sized });
      runLoop(m, 3);
      m.setX(S0, 20_000n);
      m.setX(A0, 0n);
      m.code(HOT_LOOP, [addi(A0, A0, 1), branch(BNE, A0, S0, -4), ECALL]);
      runFrom(m, HOT_LOOP);
      const { total, records } = compareLog(m.ram, m.cpu.instrument)!;
      assert.equal(total, 9 + 20_000);
      const of = (site: number): bigint[] =>
        records.filter(({ pc }) => pc === site).map(({ rs1 }) => rs1);
      assert.deepEqual(of(SKIP), [1n, 0n, 1n]);
      assert.deepEqual(of(SKIPPED), [1n, 2n, 3n]);
      assert.deepEqual(of(LOOP_BRANCH), [1n, 2n, 3n]);
      assert.deepEqual(
        of(HOT_LOOP + 4),
        Array.from({ length: 16 }, (_, n) => BigInt(19_985 + n)),
      );
      assert.equal(records.length, 25);
      clearInstrument(m.ram, m.cpu.instrument);
      assert.deepEqual(compareLog(m.ram, m.cpu.instrument), { total: 0, records: [] });
    });

    it('keeps everything asked for apart', () => {
      const m = newMachine(tier, { edges: true, mapSize: 256, compares: true, blocks: true });
      runLoop(m, 1000);
      const { blocks, compares } = expected(1000);
      assert.deepEqual(edgeMap(m.ram, m.cpu.instrument), expectedMap(blocks, 256));
      assert.deepEqual([...blockTrace(m.ram, m.cpu.instrument)!.pcs], blocks);
      assert.equal(compareLog(m.ram, m.cpu.instrument)!.records.length, compares.length);
      clearInstrument(m.ram, m.cpu.instrument);
      assert.ok(edgeMap(m.ram, m.cpu.instrument)!.every((count) => count === 0));
      assert.equal(m.ram.u32[HART_PREV_BLOCK >>> 2], 0);
      assert.deepEqual(compareLog(m.ram, m.cpu.instrument), { total: 0, records: [] });
    });
  });
}

/** The modules that running the loop compiles, interpreter and regions. */
function modulesOf(instrument: InstrumentOptions): Uint8Array[] {
  const { Module } = WebAssembly;
  const modules: Uint8Array[] = [];
  WebAssembly.Module = new Proxy(Module, {
    construct(target, args: [Uint8Array<ArrayBuffer>]) {
      modules.push(args[0]);
      return new target(...args);
    },
  });
  try {
    runLoop(newMachine(JIT_AT_ONCE, instrument), 10);
  } finally {
    WebAssembly.Module = Module;
  }
  return modules;
}

describe('instrumentation that is off', () => {
  it('leaves no byte in the interpreter or in compiled code', () => {
    const plain = modulesOf({});
    assert.ok(plain.length > 1);
    assert.deepEqual(modulesOf({ edges: false, compares: false, blocks: false }), plain);
    for (const name of ['edges', 'compares', 'blocks']) {
      const watched = modulesOf({ [name]: true });
      assert.equal(watched.length, plain.length);
      for (const [n, bytes] of watched.entries())
        assert.ok(bytes.length > plain[n]!.length, `${name} ${n}`);
    }
  });

  it('takes no memory', () => {
    const [off, on] = [new BareMachine(RAM), new BareMachine(RAM, JIT_AT_ONCE, { edges: true })];
    assert.equal(on.ram.layout.firstFrame - off.ram.layout.firstFrame, 16);
  });
});
