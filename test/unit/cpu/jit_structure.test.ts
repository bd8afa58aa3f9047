import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  emitFlow,
  type Flow,
  type Goer,
  type Plan,
  planFlow,
} from '../../../src/cpu/jit/structure.ts';
import {
  type FunctionBuilder,
  I32,
  IMPORT_MEMORY,
  IMPORT_MODULE,
  ModuleBuilder,
  Op,
} from '../../../src/cpu/wasm_encoder.ts';

/** Steps of a walk: the choices are at the start of the memory, the trace is after them. */
const STEPS = 400;
const TRACE = STEPS * 4;
/** In the trace, an entry from outside is this plus its label. */
const ENTRY = 1000;
const RUNS = 600;

/** A successor: any block, or one near by. */
const edge = fc.oneof(
  fc.nat(39).map((to) => (_from: number, count: number) => to % count),
  fc
    .integer({ min: -4, max: 6 })
    .map((by) => (from: number, count: number) => (from + by + 4 * count) % count),
);

const flows: fc.Arbitrary<Flow> = fc.integer({ min: 2, max: 40 }).chain((count) =>
  fc.record({
    succs: fc
      .array(fc.array(edge, { maxLength: 3 }), { minLength: count, maxLength: count })
      .map((blocks) => blocks.map((edges, from) => edges.map((to) => to(from, count)))),
    entries: fc.uniqueArray(fc.nat(count - 1), { minLength: 1, maxLength: 5 }),
    reenters: fc.boolean(),
  }),
);

const walks = fc.array(fc.nat(0x7fff_ffff), { minLength: STEPS, maxLength: STEPS, size: 'max' });

/** Ways to go on at a block: its successors, and the root if the flow reenters. */
function ways(flow: Flow, block: number): number {
  return flow.succs[block]!.length + (flow.reenters ? 1 : 0);
}

/** What a walk of the graph meets, from the entry with this label. */
function walk(flow: Flow, label: number, choices: readonly number[]): number[] {
  const trace = [ENTRY + label];
  let block = flow.entries[label]!;
  for (let step = 0; step < STEPS; step++) {
    trace.push(block);
    const count = ways(flow, block);
    if (count === 0 || step === STEPS - 1) break;
    const choice = choices[step]!;
    const succ = flow.succs[block]![choice % count];
    if (succ === undefined) {
      const next = choice % flow.entries.length;
      trace.push(ENTRY + next);
      block = flow.entries[next]!;
    } else block = succ;
  }
  return trace;
}

/** The locals: the label, steps done, the step's choice, where the trace goes on. */
const [LABEL, STEP, CHOICE, END] = [0, 1, 2, 3];

function emitTrace(f: FunctionBuilder, value: number): void {
  f.get(END);
  f.i32Const(value);
  f.mem(Op.i32Store, TRACE);
  f.get(END);
  f.i32Const(4);
  f.op(Op.i32Add);
  f.set(END);
}

/** Pushes the step's choice, less than `count`. */
function emitChoice(f: FunctionBuilder, count: number): void {
  f.get(CHOICE);
  f.i32Const(count);
  f.op(Op.i32RemU);
}

/** Returns after the last step, else takes the next choice. */
function emitStep(f: FunctionBuilder): void {
  f.get(STEP);
  f.i32Const(4);
  f.op(Op.i32Mul);
  f.mem(Op.i32Load);
  f.set(CHOICE);
  f.get(STEP);
  f.i32Const(1);
  f.op(Op.i32Add);
  f.tee(STEP);
  f.i32Const(STEPS);
  f.op(Op.i32GeU);
  f.if();
  emitReturn(f);
  f.end();
}

function emitReturn(f: FunctionBuilder): void {
  f.get(END);
  f.op(Op.return);
}

function emitReenter(f: FunctionBuilder, flow: Flow, goer: Goer): void {
  emitChoice(f, flow.entries.length);
  f.set(LABEL);
  goer.reenter();
}

/** Emits the block: notes its number, and goes where the next choice says. */
function emitBlock(f: FunctionBuilder, flow: Flow, block: number, goer: Goer): void {
  const succs = flow.succs[block]!;
  const count = ways(flow, block);
  emitTrace(f, block);
  if (count === 0) {
    emitReturn(f);
    return;
  }
  emitStep(f);
  for (let way = 0; way < count; way++) {
    const last = way === count - 1;
    if (!last) {
      emitChoice(f, count);
      f.i32Const(way);
      f.op(Op.i32Eq);
      f.if();
    }
    const succ = succs[way];
    if (succ === undefined) emitReenter(f, flow, goer);
    else goer.go(succ);
    if (!last) f.end();
  }
}

interface Emitted {
  /** Runs from the entry with this label; gives the trace. */
  readonly run: (label: number, choices: readonly number[]) => number[];
  /** How often each block was emitted. */
  readonly copies: readonly number[];
}

function emit(flow: Flow, plan: Plan): Emitted {
  const copies = flow.succs.map(() => 0);
  const m = new ModuleBuilder(1);
  const define = (f: FunctionBuilder): void => {
    for (let n = LABEL + 1; n <= END; n++) f.local(I32);
    emitFlow(
      f,
      plan,
      LABEL,
      (enter) => enter(),
      (label) => emitTrace(f, ENTRY + label),
      (block, goer) => {
        copies[block]!++;
        emitBlock(f, flow, block, goer);
      },
    );
    f.op(Op.unreachable);
  };
  m.define([I32], [I32], define, 'run');
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
  const imports = { [IMPORT_MODULE]: { [IMPORT_MEMORY]: memory } };
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(m.encode()), imports);
  const compiled = exports['run'] as (label: number) => number;
  const run = (label: number, choices: readonly number[]): number[] => {
    new Uint32Array(memory.buffer).set(choices);
    const bytes = compiled(label);
    return [...new Uint32Array(memory.buffer, TRACE, bytes / 4)];
  };
  return { run, copies };
}

/** Blocks that can be reached from `starts` without going through `without`. */
function reachable(flow: Flow, starts: readonly number[], without = -1): Set<number> {
  const seen = new Set<number>();
  const work = [...starts];
  for (let block = work.pop(); block !== undefined; block = work.pop()) {
    if (block === without || seen.has(block)) continue;
    seen.add(block);
    work.push(...flow.succs[block]!);
  }
  return seen;
}

/** Whether every loop is entered at one block only: without edges to dominators none is left. */
function isReducible(flow: Flow): boolean {
  const inside = reachable(flow, flow.entries);
  const left = new Map<number, Set<number>>([...inside].map((block) => [block, new Set()]));
  for (const to of inside) {
    const others = reachable(flow, flow.entries, to);
    // Only blocks that `to` dominates cannot be reached without it.
    for (const from of inside)
      if (flow.succs[from]!.includes(to) && others.has(from)) left.get(from)!.add(to);
  }
  // Takes away blocks that go nowhere, until none is left or all that are lie on a cycle or lead to it.
  for (;;) {
    const ended = [...left].filter(([, succs]) => succs.size === 0);
    if (ended.length === 0) return left.size === 0;
    for (const [block] of ended) left.delete(block);
    for (const succs of left.values()) for (const [block] of ended) succs.delete(block);
  }
}

describe('any flow as nested blocks and loops', () => {
  it('goes where the graph goes, from every entry', () => {
    fc.assert(
      fc.property(flows, walks, (flow, choices) => {
        const { run } = emit(flow, planFlow(flow));
        for (let label = 0; label < flow.entries.length; label++)
          assert.deepEqual(run(label, choices), walk(flow, label, choices));
      }),
      { numRuns: RUNS },
    );
  });

  it('has each block that can be reached once', () => {
    fc.assert(
      fc.property(flows, (flow) => {
        const seen = reachable(flow, flow.entries);
        const wanted = flow.succs.map((_, block) => (seen.has(block) ? 1 : 0));
        assert.deepEqual(emit(flow, planFlow(flow)).copies, wanted);
      }),
      { numRuns: RUNS },
    );
  });

  it('dispatches to entries only, unless it is irreducible', () => {
    const found = new Set<boolean>();
    fc.assert(
      fc.property(flows, (flow) => {
        const { targets } = planFlow(flow);
        const reducible = isReducible(flow);
        found.add(reducible);
        assert.deepEqual(targets.slice(0, flow.entries.length), flow.entries);
        const added = targets.length > flow.entries.length;
        // With several entries, they may be all that an irreducible loop is entered at.
        if (reducible || flow.entries.length === 1) assert.equal(added, !reducible);
      }),
      { numRuns: RUNS },
    );
    assert.equal(found.size, 2);
  });
});
