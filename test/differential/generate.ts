/** The rows of the differential run: what each generates, and the registers it starts from. */

import type { Extension } from '../oracle/rv64.ts';
import { Context } from './context.ts';
import { compressed } from './generate_compressed.ts';
import { type Format, float, setMode, takeFlags } from './generate_float.ts';
import { atomic, csr, fenceI, integer, modifyCode, multiply } from './generate_integer.ts';
import { type Run, RECORD_BYTES, recordViews, WINDOW } from './image.ts';
import {
  type Random,
  randomDouble,
  randomInteger,
  randomSingle,
  relateDoubles,
  relateSingles,
} from './random.ts';

/** One row of the table. */
export interface Row {
  readonly name: string;
  /** Only instructions of this extension count towards the row's number; null: all do. */
  readonly counted: Extension | null;
  /** Ideas a program is made of; an idea is one instruction or a few. */
  readonly ideas: number;
  /** Register sets that each program is run from. */
  readonly runs: number;
  readonly idea: (c: Context) => void;
  /** What the f registers hold at the start. */
  readonly floats: 'single' | 'double' | 'mixed';
  /** Whether frm may become invalid, so that no instruction may use it. */
  readonly wildModes?: boolean;
}

/** Adds one instruction of F or D and, mostly, a read of the flags it raised. */
function floatWithFlags(c: Context, format: Format): void {
  if (c.r.oneIn(12)) c.add(setMode);
  c.add((d) => float(d, format));
  if (!c.r.oneIn(3)) c.add(takeFlags);
}

function mostly(c: Context, percent: number, idea: (c: Context) => void): void {
  c.add(c.r.below(100) < percent ? idea : integer);
}

function csrAndFlags(c: Context): void {
  if (c.r.oneIn(4)) c.add((d) => float(d, d.r.oneIn(2) ? 0 : 1));
  else mostly(c, 90, csr);
}

const EVERYTHING: readonly ((c: Context) => void)[] = [
  (c) => c.add(integer),
  (c) => c.add(multiply),
  (c) => c.add(atomic),
  (c) => floatWithFlags(c, 0),
  (c) => floatWithFlags(c, 1),
  (c) => c.add(compressed),
  (c) => c.add(compressed),
];

export const ROWS: readonly Row[] = [
  { name: 'I', counted: 'I', ideas: 40, runs: 2, idea: (c) => c.add(integer), floats: 'mixed' },
  {
    name: 'M',
    counted: 'M',
    ideas: 32,
    runs: 2,
    idea: (c) => mostly(c, 88, multiply),
    floats: 'mixed',
  },
  {
    name: 'A',
    counted: 'A',
    ideas: 20,
    runs: 2,
    idea: (c) => mostly(c, 88, atomic),
    floats: 'mixed',
  },
  {
    name: 'F',
    counted: 'F',
    ideas: 16,
    runs: 2,
    idea: (c) => floatWithFlags(c, 0),
    floats: 'single',
  },
  {
    name: 'D',
    counted: 'D',
    ideas: 16,
    runs: 2,
    idea: (c) => floatWithFlags(c, 1),
    floats: 'double',
  },
  {
    name: 'C',
    counted: 'C',
    ideas: 48,
    runs: 2,
    idea: (c) => mostly(c, 88, compressed),
    floats: 'mixed',
  },
  {
    name: 'Zicsr',
    counted: 'Zicsr',
    ideas: 32,
    runs: 2,
    idea: csrAndFlags,
    floats: 'mixed',
    wildModes: true,
  },
  {
    name: 'Zifencei',
    counted: 'Zifencei',
    ideas: 40,
    runs: 1,
    idea: (c) => c.add(c.r.oneIn(32) ? modifyCode : c.r.oneIn(5) ? integer : fenceI),
    floats: 'mixed',
  },
  {
    name: 'RV64GC',
    counted: null,
    ideas: 40,
    runs: 2,
    idea: (c) => c.r.pick(EVERYTHING)(c),
    floats: 'mixed',
  },
];

/** The next program of `row`, with its register sets. */
export function generate(row: Row, r: Random): Run[] {
  const c = new Context(r);
  if (row.wildModes === true) c.dynamicModes = false;
  for (let n = 0; n < row.ideas; n++) row.idea(c);
  const program = { insns: c.insns, reserved: c.reserved };
  const runs: Run[] = [];
  for (let n = 0; n < row.runs; n++) runs.push({ program, record: randomRecord(row, c) });
  return runs;
}

function randomRecord(row: Row, c: Context): Uint8Array {
  const { r } = c;
  const record = new Uint8Array(RECORD_BYTES);
  const { x, fWords, doubles, singles, fcsr, window } = recordViews(record);
  for (let n = 1; n < 32; n++) {
    randomInteger(r, x, n * 2);
    // Equal registers now and then, for branches and comparisons.
    if (n > 1 && r.oneIn(8)) x.copyWithin(n * 2, n * 2 - 2, n * 2);
  }
  for (const [n, pointer] of c.pointers.entries()) {
    x[pointer * 2] = WINDOW + c.pointerOffsets[n]!;
    x[pointer * 2 + 1] = 0;
  }
  for (let n = 0; n < 32; n++) randomFloat(row, r, fWords, n * 2);
  if (row.floats !== 'single') relateDoubles(r, doubles, fWords);
  if (row.floats !== 'double') relateSingles(r, singles, fWords);
  fcsr[0] = (r.below(5) << 5) | (r.oneIn(2) ? 0 : r.below(32));
  for (let at = 0; at < window.length; at += 2) {
    if (r.oneIn(2)) randomFloat(row, r, window, at);
    else randomInteger(r, window, at);
  }
  return record;
}

function randomFloat(row: Row, r: Random, out: Int32Array, at: number): void {
  const single = row.floats === 'single' || (row.floats === 'mixed' ? r.oneIn(2) : r.oneIn(16));
  if (single) randomSingle(r, out, at, 24);
  else randomDouble(r, out, at);
}
