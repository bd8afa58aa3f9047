/**
 * Random programs of every extension on the processor, the oracle and qemu-riscv64: all
 * registers, fcsr and the data window must come out the same, byte by byte. Then F and D on all
 * combinations of corner values.
 *
 * ISA_COUNT is how many instructions of each extension to execute, ISA_SEED where to start.
 */

import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { countMismatches, explain, findFailingRun, type Pair, pairsOf, runAll } from './compare.ts';
import { cornerRuns } from './corners.ts';
import { type Engine, findQemu, Oracle, type Outcome, Qemu } from './engine.ts';
import { generate, ROWS, type Row } from './generate.ts';
import { buildImage, type Image, type Run } from './image.ts';
import { INTERPRETER, JIT_AT_ONCE, JIT_SOON } from '../cpu_tiers.ts';
import { Processor } from './processor.ts';
import { Random } from './random.ts';

const COUNT = Number(process.env['ISA_COUNT'] ?? 20_000);
const SEED = Number(process.env['ISA_SEED'] ?? 1);

/** Runs in one executable, at most: it must fit in front of the data window. */
const RUNS_PER_IMAGE = 4000;
/** And about how many instructions of the row's own are in it, so that a small count stays small. */
const COUNT_PER_IMAGE = 60_000;

/** ISA_TIERS names those to run, such as "interpreter" or "jit 0,jit 1"; all if unset. */
const NAMES = process.env['ISA_TIERS']?.split(',');
const TIERS = [INTERPRETER, JIT_AT_ONCE, JIT_SOON].filter(
  ({ name }) => NAMES === undefined || NAMES.includes(name),
);

/** Repetitions that make a program hot enough for a compiler that takes its time. */
const REPEAT = 150;

interface Result {
  readonly name: string;
  /** Instructions executed of the row's extension, and of all. */
  readonly counted: number;
  readonly executed: number;
  readonly runs: number;
  readonly pairs: Pair[];
}

/** Instructions executed so far, in all. */
function executed(oracle: Oracle): number {
  return Object.values(oracle.counts).reduce((sum, n) => sum + n, 0);
}

function counted(row: Row, oracle: Oracle): number {
  return row.counted === null ? executed(oracle) : oracle.counts[row.counted];
}

/** Random runs for one image. */
function batch(row: Row, r: Random): Run[] {
  const runs: Run[] = [];
  const enough = Math.min(RUNS_PER_IMAGE, Math.ceil(Math.min(COUNT, COUNT_PER_IMAGE) / 10));
  while (runs.length < enough) runs.push(...generate(row, r));
  return runs;
}

/** Runs `runs` everywhere and adds to `pairs`; explains the first difference. @returns whether there was none. */
async function compareRuns(
  engines: readonly Engine[],
  runs: readonly Run[],
  pairs: Pair[],
  name: string,
): Promise<boolean> {
  const outcomes = await runAll(engines, buildImage(runs));
  if (countMismatches(outcomes, runs.length, pairs) < 0) return true;
  const failing = await findFailingRun(engines, runs);
  console.log(
    failing === null ? `seed ${name}: only together` : await explain(engines, failing, name),
  );
  return false;
}

async function runRow(row: Row, others: readonly Engine[]): Promise<Result> {
  const oracle = new Oracle();
  const engines = [oracle, ...others];
  const pairs = pairsOf(engines);
  let runs = 0;
  let same = true;
  for (let n = 0; same && counted(row, oracle) < COUNT; n++) {
    const seed = SEED * 1000 + n;
    const generated = batch(row, new Random(seed + 0x1_0000_0000 * ROWS.indexOf(row)));
    same = await compareRuns(engines, generated, pairs, `${row.name}/${seed}`);
    runs += generated.length;
  }
  const { name } = row;
  return { name, counted: counted(row, oracle), executed: executed(oracle), runs, pairs };
}

async function runCorners(others: readonly Engine[]): Promise<Result> {
  const oracle = new Oracle();
  const engines = [oracle, ...others];
  const pairs = pairsOf(engines);
  const all = [...cornerRuns()];
  let same = true;
  for (let from = 0; same && from < all.length; from += RUNS_PER_IMAGE) {
    const runs = all.slice(from, from + RUNS_PER_IMAGE);
    same = await compareRuns(engines, runs, pairs, 'corners');
  }
  const { F, D } = oracle.counts;
  const name = 'F, D corners';
  return { name, counted: F + D, executed: executed(oracle), runs: all.length, pairs };
}

function assertSame(result: Result): void {
  for (const pair of result.pairs) {
    assert.equal(pair.mismatches, 0, `${pair.left} and ${pair.right} differ`);
  }
}

function printTable(results: readonly Result[]): void {
  const pairs = results[0]?.pairs ?? [];
  const heads = [
    'extension',
    'of it',
    'executed',
    'programs',
    ...pairs.map((p) => `${p.left} != ${p.right}`),
  ];
  const rows = results.map((r) => [
    r.name,
    r.counted.toLocaleString('en'),
    r.executed.toLocaleString('en'),
    r.runs.toLocaleString('en'),
    ...r.pairs.map((p) => String(p.mismatches)),
  ]);
  const widths = heads.map((head, n) =>
    Math.max(head.length, ...rows.map((row) => row[n]!.length)),
  );
  for (const row of [heads, ...rows]) {
    const cells = row.map((cell, n) =>
      n === 0 ? cell.padEnd(widths[n]!) : cell.padStart(widths[n]!),
    );
    console.log(cells.join('  '));
  }
}

describe('random instructions', () => {
  const found = findQemu();
  const qemu = found === null ? null : new Qemu(found.command);
  const processors = TIERS.map((tier) => new Processor(tier, tier === JIT_SOON ? REPEAT : 1));
  const others: Engine[] = qemu === null ? processors : [...processors, qemu];
  const results: Result[] = [];

  after(() => {
    qemu?.close();
    printTable(results);
    for (const { name, compiled } of processors) {
      if (compiled !== null)
        console.log(`${name}: ${compiled.toLocaleString('en')} regions compiled`);
    }
  });

  it('are compared with qemu too', {
    skip: found === null ? 'qemu-riscv64 is not installed' : false,
  }, () => {
    console.log(
      `seed ${SEED}, ${COUNT.toLocaleString('en')} instructions an extension, ${found!.version}`,
    );
  });

  for (const row of ROWS) {
    it(`of ${row.name} do the same everywhere`, async () => {
      const result = await runRow(row, others);
      results.push(result);
      assertSame(result);
      assert.ok(result.counted >= COUNT);
    });
  }

  it('of F and D do the same on all corner values in all rounding modes', async () => {
    const result = await runCorners(others);
    results.push(result);
    assertSame(result);
  });

  it('were compiled', () => {
    for (const [n, { compiled }] of processors.entries()) {
      const least = TIERS[n] === JIT_AT_ONCE ? COUNT / 50 : TIERS[n] === JIT_SOON ? 100 : 0;
      assert.ok(compiled === null || compiled > least, TIERS[n]!.name);
    }
  });
});

/** The oracle, with one instruction word taken for another. */
class Mistaken implements Engine {
  readonly name = 'mistaken';
  private readonly from: number;
  private readonly to: number;

  constructor(from: number, to: number) {
    this.from = from;
    this.to = to;
  }

  run(image: Image): Outcome {
    const bytes = image.bytes.slice();
    const view = new DataView(bytes.buffer);
    for (let at = image.codeStart - 0x10000; at < image.codeEnd - 0x10000 - 2; at += 2) {
      if (view.getInt32(at, true) === this.from) view.setInt32(at, this.to, true);
    }
    return new Oracle().run({ ...image, bytes });
  }
}

describe('a difference', () => {
  it('is found and narrowed down to its instruction', async () => {
    const row = ROWS[0]!;
    const r = new Random(7);
    const runs = Array.from({ length: 20 }, () => generate(row, r)).flat();
    const wrong = runs[9]!.program.insns.find((insn) => insn.text.startsWith('xor '))!;
    // The same operands, but OR.
    const engines = [new Oracle(), new Mistaken(wrong.word, wrong.word | (2 << 12))];
    const failing = await findFailingRun(engines, runs);
    assert.ok(failing !== null);
    const text = await explain(engines, failing, 'test');
    assert.ok(text.includes(wrong.text), text);
    assert.match(text, /before: .*fcsr=/);
    assert.match(text, /oracle 0x[0-9a-f]{16} {2}mistaken 0x/);
  });
});
