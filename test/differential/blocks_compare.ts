/** Runs one program with blocks on all engines in step, and says where they first differ. */

import { CAUSE_BUDGET } from '../../src/arch/riscv/cause.ts';
import { disassemble } from '../../src/cpu/disasm.ts';
import {
  type CpuEngine,
  OracleEngine,
  STATE_FCSR,
  STATE_PC,
  STATE_RESERVATION,
  STATE_TVAL,
  STATE_WORDS,
  type Stop,
} from './blocks_engines.ts';
import { type BlockProgram, FRAMES } from './blocks_program.ts';
import { PAGE } from './blocks_registers.ts';
import { fName, xName } from './context.ts';
import { Random } from './random.ts';

/** Instructions after which a program is taken to have gone astray; it is compared up to there. */
const MAX_INSNS = 150_000;
const MAX_TRACE = 400;
/** Regions compiled for one program until its engine leaves it: code that changes all the time. */
const MAX_COMPILED = 150;

/** What ran. */
export interface Tally {
  insns: number;
  stops: number;
  traps: Map<number, number>;
  /** Programs cut off at MAX_INSNS. */
  cut: number;
  /** Programs that ended by themselves, not because they went astray. */
  exited: number;
}

export function newTally(): Tally {
  return { insns: 0, stops: 0, traps: new Map(), cut: 0, exited: 0 };
}

/** Whether the engine leaves the program to the others. */
export function hasLeft(engine: CpuEngine): boolean {
  return engine.compiledSinceLoad >= MAX_COMPILED;
}

function budgetOf(r: Random): number {
  return r.oneIn(4) ? 1 + r.below(20) : r.oneIn(6) ? 1_000_000 : 1 + r.below(2000);
}

function fieldName(n: number): string {
  if (n < 32) return xName(n);
  if (n < STATE_PC) return fName(n - 32);
  return { [STATE_PC]: 'pc', [STATE_FCSR]: 'fcsr', [STATE_TVAL]: 'tval' }[n] ?? 'reservation';
}

function hex(value: bigint | number): string {
  return `0x${value.toString(16)}`;
}

function difference(left: Stop, right: Stop): string[] {
  const lines: string[] = [];
  const add = (name: string, a: string, b: string): void => {
    if (a !== b) lines.push(`  ${name}: ${a}, ${b}`);
  };
  add('cause', String(left.cause), String(right.cause));
  add('instret', String(left.instret), String(right.instret));
  for (let n = 0; n < STATE_WORDS; n++) {
    add(fieldName(n), hex(left.state[n]!), hex(right.state[n]!));
  }
  return lines;
}

function sameStop(left: Stop, right: Stop): boolean {
  if (left.cause !== right.cause || left.instret !== right.instret) return false;
  for (let n = 0; n <= STATE_RESERVATION; n++) {
    if (left.state[n] !== right.state[n]) return false;
  }
  return true;
}

function memoryDifference(left: Uint8Array, right: Uint8Array): string | null {
  if (Buffer.compare(left, right) === 0) return null;
  for (let at = 0; at < FRAMES * PAGE; at++) {
    if (left[at] !== right[at]) {
      return `  frame ${Math.floor(at / PAGE)} + ${hex(at % PAGE)}: ${left[at]}, ${right[at]}`;
    }
  }
  return null;
}

/** Where engines differed. */
export interface Difference {
  readonly engine: string;
  /** Which stop it was, from 0. */
  readonly stop: number;
  readonly text: string;
}

/**
 * Runs `program` on the engines, all stopping where the first one does, and compares with the
 * oracle at each stop.
 * @returns the first difference, or null.
 */
export function compareProgram(
  program: BlockProgram,
  oracle: OracleEngine,
  all: readonly CpuEngine[],
  tally: Tally,
): Difference | null {
  oracle.load(program);
  for (const engine of all) engine.load(program);
  const r = new Random(program.seed + 1);
  let engines = all;
  for (let stop = 0; ; stop++) {
    const budget = budgetOf(r);
    engines = engines.filter((engine) => !hasLeft(engine));
    const stops = engines.map((engine) => engine.run(budget));
    const [first] = stops as [Stop];
    let wanted = oracle.runTo(first.instret);
    if (first.cause !== CAUSE_BUDGET && wanted.cause === CAUSE_BUDGET)
      wanted = oracle.runIntoTrap();
    for (const [n, engine] of engines.entries()) {
      const memory = memoryDifference(oracle.memory, engine.memory);
      if (memory === null && sameStop(wanted, stops[n]!)) continue;
      const lines = difference(wanted, stops[n]!);
      if (memory !== null) lines.push(memory);
      const text = `oracle, ${engine.name}:\n${lines.join('\n')}`;
      return { engine: engine.name, stop, text };
    }
    tally.stops++;
    if (!goOn(first, oracle, engines, tally)) return null;
  }
}

/** Lets the kernels act on a stop. @returns whether the program goes on. */
function goOn(
  stop: Stop,
  oracle: OracleEngine,
  engines: readonly CpuEngine[],
  tally: Tally,
): boolean {
  const { cause, instret } = stop;
  let goes = instret < MAX_INSNS;
  if (!goes) tally.cut++;
  if (cause !== CAUSE_BUDGET) {
    tally.traps.set(cause, (tally.traps.get(cause) ?? 0) + 1);
    const tval = Number(stop.state[STATE_TVAL]);
    for (const { kernel } of [oracle, ...engines]) {
      if (!kernel.handle(cause, tval)) goes = false;
    }
  }
  if (!goes) tally.insns += instret;
  if (oracle.kernel.exited) tally.exited++;
  return goes;
}

/** The instructions that the oracle executed before stop number `stop`, and those up to it. */
export function traceOf(program: BlockProgram, engine: CpuEngine, stop: number): string[] {
  const oracle = new OracleEngine();
  oracle.load(program);
  engine.load(program);
  const r = new Random(program.seed + 1);
  let trace: string[] = [];
  for (let n = 0; n <= stop; n++) {
    trace = [`stop ${n}, budget used up at ${oracle.hart.retired}`];
    const { instret, cause } = engine.run(budgetOf(r));
    let trapped = false;
    while (oracle.hart.retired < instret && !trapped) {
      trace.push(nextInsn(oracle));
      trapped = oracle.hart.step() !== null;
    }
    if (cause === CAUSE_BUDGET) continue;
    trace.push(nextInsn(oracle));
    const { state } = oracle.runIntoTrap();
    const tval = Number(state[STATE_TVAL]);
    trace.push(`  cause ${cause}, tval ${hex(tval)}`);
    if (!oracle.kernel.handle(cause, tval) || !engine.kernel.handle(cause, tval)) break;
  }
  return trace.length > MAX_TRACE ? ['...', ...trace.slice(-MAX_TRACE)] : trace;
}

function nextInsn(oracle: OracleEngine): string {
  const { pc } = oracle;
  const half = (at: number): number => {
    const page = oracle.kernel.find(at);
    if (page === undefined) return 0;
    const bytes = oracle.frame(page.frame);
    return bytes[at % PAGE]! | (bytes[(at % PAGE) + 1]! << 8);
  };
  const low = half(pc);
  const word = (low & 3) === 3 ? low | (half(pc + 2) << 16) : low;
  return `  ${hex(pc)}  ${(word >>> 0).toString(16).padStart(8)}  ${disassemble(word, pc)}`;
}
