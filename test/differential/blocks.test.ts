/**
 * Random programs of many blocks in every tier of the processor and on the oracle, stopped all the
 * time: registers, pc, flags, counters, causes and memory must be the same at every stop.
 *
 * JIT_PROGRAMS is how many programs to run, JIT_SEED the first one's seed.
 */

import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import * as cause from '../../src/arch/riscv/cause.ts';
import { INTERPRETER, JIT_AT_ONCE, JIT_SOON, TIERS } from '../cpu_tiers.ts';
import { compareProgram, type Difference, hasLeft, newTally, traceOf } from './blocks_compare.ts';
import { CpuEngine, OracleEngine } from './blocks_engines.ts';
import { blockProgram } from './blocks_program.ts';

const COUNT = Number(process.env['JIT_PROGRAMS'] ?? 300);
/** One of so many programs is watched, too. */
const WATCHED_SHARE = 5;
const SEED = Number(process.env['JIT_SEED'] ?? 1);

/** Runs the program again on new engines, since it may have failed only after others. */
function explain(seed: number, found: Difference): string {
  const program = blockProgram(seed);
  const lines = [
    `program ${seed} (JIT_PROGRAMS=1 JIT_SEED=${seed}), stop ${found.stop}`,
    found.text,
  ];
  const tiers = TIERS.filter(({ name }) => name === found.engine || name === INTERPRETER.name);
  const engines = tiers.map((tier) => new CpuEngine(tier));
  const again = compareProgram(program, new OracleEngine(), engines, newTally());
  if (again === null) lines.push('It differs only after the programs before it.');
  const trace = traceOf(program, new CpuEngine(INTERPRETER), found.stop);
  return [...lines, ...trace].join('\n');
}

describe('programs of many blocks', () => {
  const tally = newTally();
  const oracle = new OracleEngine();
  const engines = TIERS.map((tier) => new CpuEngine(tier));

  after(() => {
    const { insns, stops, traps, cut, exited } = tally;
    const n = (value: number): string => value.toLocaleString('en');
    console.log(
      `${n(COUNT)} programs, ${n(insns)} instructions, ${n(stops)} stops, ${exited} ended by themselves, ${cut} cut off`,
    );
    console.log(
      `traps by cause: ${[...traps].map(([code, times]) => `${code}: ${n(times)}`).join(', ')}`,
    );
    for (const { name, compiled } of engines) {
      if (compiled !== null) console.log(`${name}: ${n(compiled)} regions compiled`);
    }
  });

  it('do the same in every tier as on the oracle, at every stop', () => {
    for (let seed = SEED; seed < SEED + COUNT; seed++) {
      const found = compareProgram(blockProgram(seed), oracle, engines, tally);
      if (found !== null) assert.fail(explain(seed, found));
    }
  });

  it('are watched the same in every tier', () => {
    const watch = { edges: true, compares: true, blocks: true, mapSize: 4096 };
    const watched = TIERS.map((tier) => new CpuEngine(tier, watch));
    let blocks = 0;
    for (let seed = SEED; seed < SEED + Math.ceil(COUNT / WATCHED_SHARE); seed++) {
      const found = compareProgram(blockProgram(seed), oracle, watched, newTally());
      if (found !== null) assert.fail(explain(seed, found));
      const stayed = watched.map((engine) => !hasLeft(engine));
      const [wanted, ...others] = watched.map((engine) => engine.takeWatched());
      blocks += wanted!.blocks.total;
      for (const [n, other] of others.entries())
        if (stayed[n + 1]!) assert.deepEqual(other, wanted, `${seed}: ${TIERS[n + 1]!.name}`);
    }
    assert.ok(blocks > 1000);
  });

  it('fault, trap and change code in every way', {
    skip: COUNT < 100 ? 'too few programs' : false,
  }, () => {
    const { traps } = tally;
    for (const code of [
      cause.CAUSE_INSN_PAGE_FAULT,
      cause.CAUSE_LOAD_PAGE_FAULT,
      cause.CAUSE_STORE_PAGE_FAULT,
      cause.CAUSE_STORE_MISALIGNED,
      cause.CAUSE_ILLEGAL_INSN,
      cause.CAUSE_BREAKPOINT,
      cause.CAUSE_ECALL_U,
    ]) {
      assert.ok((traps.get(code) ?? 0) > 10, `cause ${code}`);
    }
    assert.ok(tally.insns / COUNT > 500);
    assert.ok(tally.exited > COUNT * 0.8);
  });

  it('were compiled', () => {
    for (const { name } of [JIT_AT_ONCE, JIT_SOON]) {
      const engine = engines.find((known) => known.name === name);
      assert.ok(engine!.compiled! > COUNT / 10, name);
    }
  });
});
