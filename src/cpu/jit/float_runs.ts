/**
 * Runs of floating-point arithmetic, with what lies between, that are compiled for the usual
 * case: NX is set and rounding is to nearest, so that nothing is due but results in range.
 *
 * Infinities and NaNs spread to what is computed from them, so that only the last results of a
 * run are tested for these. That is too late to stop at the instruction that made one: the run is
 * left at its start, with the registers of that time, and the interpreter does it again. So a run
 * has no stores.
 */

import { type Format, INSN_TABLE } from '../insn_table.ts';
import { SEMANTICS } from '../semantics/all.ts';
import { fOffset } from '../slots.ts';
import { F64, I64, Op } from '../wasm_encoder.ts';
import type { RegionInsn } from './region.ts';
import {
  type FloatRun,
  isSoftFloat,
  type RegionEmitter,
  type RegionFrame,
} from './region_emitter.ts';
import { readsOf, writeOf } from './registers.ts';

/** Instructions of a run, at most: more registers to keep cost more than fewer tests save. */
const MAX_RUN = 48;
/** First number of the temporaries that keep registers; groups' own are below. */
const KEPT_TEMP = 1000;

/** What a run may have: nothing that changes memory or goes elsewhere. */
const FORMATS = new Set<Format>(['R', 'RU', 'R4', 'I', 'LOAD', 'U', 'SHIFT', 'SHIFTW', 'FR', 'FU']);
const NO_RUN = new Set(['jalr', 'fence', 'fence.i', 'fclass.s', 'fclass.d']);
const ARITHMETIC = new Set<Format>(['FR', 'R4']);

function isArithmetic(insn: RegionInsn): boolean {
  const { name, format } = INSN_TABLE[insn.row]!;
  return (ARITHMETIC.has(format) || name.startsWith('fsqrt')) && !isSoftFloat(insn);
}

function mayBeInRun(insn: RegionInsn): boolean {
  const { name, format } = INSN_TABLE[insn.row]!;
  return FORMATS.has(format) && !NO_RUN.has(name) && !isSoftFloat(insn);
}

/** Whether an arithmetic instruction's result shows that the operands in `reg` were finite. */
function spreads(insn: RegionInsn, reg: number): boolean {
  if (!isArithmetic(insn)) return false;
  const { name } = INSN_TABLE[insn.row]!;
  if (!name.endsWith('.d')) return false;
  // 0 divided by infinity is 0.
  if (name === 'fdiv.d') return insn.rs1 === reg;
  return (readsOf(insn, 'f') & (1 << reg)) !== 0;
}

function findFiniteLater(insns: readonly RegionInsn[]): Set<RegionInsn> {
  const found = new Set<RegionInsn>();
  insns.forEach((insn, i) => {
    if (!isArithmetic(insn) || !INSN_TABLE[insn.row]!.name.endsWith('.d')) return;
    for (const later of insns.slice(i + 1)) {
      if (spreads(later, insn.rd)) {
        found.add(insn);
        return;
      }
      if ((writeOf(later, 'f') & (1 << insn.rd)) !== 0) return;
    }
  });
  return found;
}

/** The run that starts at insns[from], or null; `excluded` says what else is not to be in one. */
export function findFloatRun(
  insns: readonly RegionInsn[],
  from: number,
  excluded: (insn: RegionInsn) => boolean,
): FloatRun | null {
  if (!isArithmetic(insns[from]!)) return null;
  let end = from;
  for (let i = from; i < Math.min(insns.length, from + MAX_RUN); i++) {
    const insn = insns[i]!;
    if (!mayBeInRun(insn) || excluded(insn)) break;
    if (isArithmetic(insn)) end = i + 1;
  }
  if (end === from) return null;
  const run = insns.slice(from, end);
  return { insns: run, finiteLater: findFiniteLater(run) };
}

export function hasFloatRun(insns: readonly RegionInsn[]): boolean {
  return insns.some(isArithmetic);
}

/** Registers, by file. */
interface Registers {
  readonly x: number;
  readonly f: number;
}

/**
 * Emits a run; fr.leave stores what is `dirty` before it.
 * @param plain emits its instructions for the unusual case.
 */
export function emitFloatRun(
  fr: RegionFrame,
  emitter: RegionEmitter,
  run: FloatRun,
  dirty: Registers,
  plain: () => void,
): void {
  const { f } = fr;
  const { leave } = fr;
  const first = run.insns[0]!;
  f.get(fr.inexact);
  f.hint(true);
  f.if();
  const done = f.block();
  fr.leave = f.block();
  const restore = keepRegisters(fr, emitter, run, dirty);
  emitter.run = run;
  for (const insn of run.insns) emitter.emit(insn, SEMANTICS[insn.row]!);
  emitter.run = null;
  f.br(done);
  f.end();
  fr.leave = leave;
  restore();
  f.i32Const(first.rel);
  f.set(fr.where);
  f.i32Const(first.left);
  f.set(fr.whereLeft);
  f.br(leave);
  f.end();
  f.else();
  tellApart(fr, run);
  plain();
  f.end();
}

/**
 * Passes the floating-point sources of a run through memory: else the host sees that both ways
 * compute the same values, and computes these once more where the ways meet.
 */
function tellApart({ f, fp }: RegionFrame, { insns }: FloatRun): void {
  let sources = 0;
  let written = 0;
  for (const insn of insns) {
    sources |= readsOf(insn, 'f') & ~written;
    written |= writeOf(insn, 'f');
  }
  for (let n = 0; n < 32; n++) {
    if ((sources & (1 << n)) === 0) continue;
    f.i32Const(0);
    f.get(fp[n]!);
    f.mem(Op.f64Store, fOffset(n));
    f.i32Const(0);
    f.mem(Op.f64Load, fOffset(n));
    f.set(fp[n]!);
  }
}

/** Keeps what the run overwrites of `dirty`. @returns what emits their restoration. */
function keepRegisters(
  fr: RegionFrame,
  emitter: RegionEmitter,
  { insns }: FloatRun,
  dirty: Registers,
): () => void {
  const { f } = fr;
  const kept: (readonly [local: number, keeper: number])[] = [];
  for (const file of ['x', 'f'] as const) {
    const overwritten = insns.reduce((set, insn) => set | writeOf(insn, file), 0) & dirty[file];
    for (let n = 0; n < 32; n++) {
      if ((overwritten & (1 << n)) === 0) continue;
      const local = file === 'x' ? fr.x[n]! : fr.fp[n]!;
      kept.push([local, emitter.temp(file === 'x' ? I64 : F64, KEPT_TEMP + n)]);
    }
  }
  const copy = (from: number, to: number): void => {
    f.get(from);
    f.set(to);
  };
  for (const [local, keeper] of kept) copy(local, keeper);
  return () => {
    for (const [local, keeper] of kept) copy(keeper, local);
  };
}
