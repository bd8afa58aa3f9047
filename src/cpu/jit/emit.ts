/** One region as one wasm function. */

import { HART_X } from '../../arch/riscv/hart_state.ts';
import { PAGE_SIZE, TLB_EXEC_BASE } from '../../arch/riscv/memlayout.ts';
import { type Format, INSN_TABLE } from '../insn_table.ts';
import { SOFT_FLOAT_OPS } from '../handlers.ts';
import { SEMANTICS } from '../semantics/all.ts';
import { inexactIsKnown } from '../semantics/float_exact.ts';
import { findEntry, pushResultPc, toFirstPage } from '../interp_chain.ts';
import { emitExecEntry } from '../mmu.ts';
import type { CodePool } from '../predecode.ts';
import { CODE_MARKS, fOffset, SLOT_LEFT } from '../slots.ts';
import { FunctionBuilder, I32, I64, Op } from '../wasm_encoder.ts';
import {
  EXPORT_CHAIN,
  EXPORT_CHAIN_NO_STOP,
  ENTRY_FUNCTION,
  ENTRY_LABEL,
  REGION_PARAMS,
  REGION_SPECIAL,
} from './abi.ts';
import { emitFloatRun, findFloatRun, hasFloatRun } from './float_runs.ts';
import type { RegionCalls } from './imports.ts';
import { findGroups } from './groups.ts';
import { codeAt, isIndirect, pageOf, type Region, type RegionInsn, slotOf } from './region.ts';
import {
  allocateLocals,
  type Ends,
  pushAddress,
  RegionEmitter,
  type RegionFrame,
} from './region_emitter.ts';
import { planRegisters, type RegisterPlan, writeOf } from './registers.ts';
import { emitFlow, type Goer, planFlow } from './structure.ts';

const LABEL = 1;

/** What emitting a region needs, made once for each. */
interface Context {
  readonly region: Region;
  readonly fr: RegionFrame;
  readonly u16: Uint16Array;
  readonly emitter: RegionEmitter;
  readonly registers: RegisterPlan;
  /** The function's place in the table, and offset of the entries' table. */
  readonly functionIndex: number;
  readonly entries: number;
  /** How the block that is being emitted goes on. */
  ends: Ends;
}

/** Dirty registers, one word for each file. */
interface Dirty {
  readonly x: number;
  readonly f: number;
}

/** Numbers of the bits in a mask. */
function bitsOf(mask: number): number[] {
  const bits: number[] = [];
  for (let n = 0; n < 32; n++) if ((mask & (1 << n)) !== 0) bits.push(n);
  return bits;
}

function storeRegisters(fr: RegionFrame, dirty: Dirty): void {
  const { f, x, fp } = fr;
  for (const n of bitsOf(dirty.x)) {
    f.i32Const(0);
    f.get(x[n]!);
    f.mem(Op.i64Store, HART_X + n * 8);
  }
  for (const n of bitsOf(dirty.f)) {
    f.i32Const(0);
    f.get(fp[n]!);
    f.mem(Op.f64Store, fOffset(n));
  }
}

function loadRegisters(fr: RegionFrame, live: Dirty): void {
  const { f, x, fp } = fr;
  for (const n of bitsOf(live.x)) {
    f.i32Const(0);
    f.mem(Op.i64Load, HART_X + n * 8);
    f.set(x[n]!);
  }
  for (const n of bitsOf(live.f)) {
    f.i32Const(0);
    f.mem(Op.f64Load, fOffset(n));
    f.set(fp[n]!);
  }
}

/** Pushes fuel + n. */
function pushFuel(fr: RegionFrame, n: number): void {
  fr.f.get(fr.fuel);
  if (n === 0) return;
  fr.f.i32Const(n);
  fr.f.op(Op.i32Add);
}

/** fuel += n. */
function addFuel(fr: RegionFrame, n: number): void {
  if (n === 0) return;
  pushFuel(fr, n);
  fr.f.set(fr.fuel);
}

/** Leaves the region for `rel`, with fuel + extra; `stops` if a run may stop there. */
function emitExit(fr: RegionFrame, dirty: Dirty, rel: number, extra: number, stops: boolean): void {
  storeRegisters(fr, dirty);
  pushAddress(fr, rel);
  fr.f.set(fr.goOn);
  addFuel(fr, extra);
  fr.f.br(stops ? fr.chain : fr.chainNoStop);
}

/** What exits of the region branch to: goes on at `goOn`, in the next region if there is one. */
function emitChain({ f, calls, goOn, fuel }: RegionFrame, stops: boolean): void {
  if (calls.tailCalls) {
    f.get(goOn);
    f.get(fuel);
    f.returnCall(calls.use(stops ? EXPORT_CHAIN : EXPORT_CHAIN_NO_STOP));
    return;
  }
  pushResultPc(f, calls.trap, goOn, stops);
  f.get(fuel);
  f.op(Op.return);
}

/** Instructions from `rel`, which is in the region's pages, to the end of its page. */
function leftAt(c: Context, rel: number): number {
  return c.u16[(slotOf(c.region, rel) + SLOT_LEFT) >>> 1]!;
}

/** Pushes whether the page of `rel` is not mapped where the region expects it. */
function pageChanged(c: Context, rel: number): void {
  const { f, entry, ea } = c.fr;
  pushAddress(c.fr, pageOf(rel) * PAGE_SIZE);
  f.set(ea);
  emitExecEntry(f, ea);
  f.tee(entry);
  f.mem(Op.i64Load, TLB_EXEC_BASE);
  f.get(ea);
  f.op(Op.i64Ne);
  f.get(entry);
  f.mem(Op.i32Load, TLB_EXEC_BASE + 8);
  f.i32Const(codeAt(c.region, rel));
  f.op(Op.i32Ne);
  f.op(Op.i32Or);
}

/** An edge out of a block. */
interface Edge {
  readonly block: number;
  /** The block's last instruction. */
  readonly from: RegionInsn;
  /** An indirect jump may stop wherever it goes. */
  readonly indirect: boolean;
  readonly goer: Goer;
}

const CLEAN: Dirty = { x: 0, f: 0 };

/** What is still dirty on the edges out of a block: nothing, except in a loop. */
function carried(c: Context, block: number): Dirty {
  const { loopOf, dirtyOut } = c.registers;
  return loopOf[block]! < 0 ? CLEAN : { x: dirtyOut.x[block]!, f: dirtyOut.f[block]! };
}

/** Goes to `rel`, within the region if that has it. */
function emitEdge(c: Context, edge: Edge, rel: number): void {
  const { fr, region, registers } = c;
  const { from, block } = edge;
  const { f } = fr;
  const dirty = carried(c, block);
  const page = pageOf(rel);
  const samePage = page === pageOf(from.rel) && page === pageOf(from.rel + from.length - 1);
  const mayStop = edge.indirect || !samePage || rel <= from.rel;
  const succ = region.blockAt.get(rel);
  if (succ === undefined) {
    emitExit(fr, dirty, rel, from.left - 1, mayStop);
    return;
  }
  const left = leftAt(c, rel);
  const delta = from.left - 1 - left;
  addFuel(fr, delta);
  if (mayStop) {
    f.get(fr.fuel);
    f.i32Const(-left);
    f.op(Op.i32LeS);
    if (!samePage) {
      pageChanged(c, rel);
      f.op(Op.i32Or);
    }
    f.hint(false);
    f.if();
    emitExit(fr, dirty, rel, left, true);
    f.end();
  }
  if (registers.loopOf[succ] !== registers.loopOf[block]) storeRegisters(fr, dirty);
  edge.goer.go(succ);
}

/** A return or an indirect jump: compares with where it may go in the region. */
function emitIndirect(c: Context, edge: Edge, target: number): void {
  const { fr, region } = c;
  const { f } = fr;
  const { returns, predicted } = region.blocks[edge.block]!;
  const sites = returns.map((site) => region.blocks[site]!.start);
  if (predicted !== null && region.blockAt.has(predicted)) sites.push(predicted);
  for (const rel of sites) {
    f.get(target);
    pushAddress(fr, rel);
    f.op(Op.i64Eq);
    f.if();
    emitEdge(c, edge, rel);
    f.end();
  }
  storeRegisters(fr, carried(c, edge.block));
  f.get(target);
  f.set(fr.goOn);
  addFuel(fr, edge.from.left - 1);
  edge.goer.reenter();
}

/** Enters this function again at `goOn` if it has an entry there, with fuel; else goes on elsewhere. */
function emitReenter(c: Context, enter: () => void): void {
  const { f, ea, entry, base, goOn, chain } = c.fr;
  findEntry(f, goOn, ea, entry, chain);
  f.get(entry);
  f.mem(Op.i32Load16U, c.entries + ENTRY_FUNCTION);
  f.i32Const(c.functionIndex);
  f.op(Op.i32Eq);
  f.get(ea);
  toFirstPage(f, c.entries, entry);
  f.get(base);
  f.op(Op.i64Eq);
  f.op(Op.i32And);
  f.get(c.fr.fuel);
  f.i32Const(0);
  f.op(Op.i32GtS);
  f.op(Op.i32And);
  f.op(Op.i32Eqz);
  f.brIf(chain);
  f.get(entry);
  f.mem(Op.i32Load16U, c.entries + ENTRY_LABEL);
  f.set(LABEL);
  enter();
}

/** Leaves for the interpreter, before the instruction at `rel`. */
function emitInterpret(c: Context, dirty: Dirty, rel: number): void {
  const { f, where, whereLeft, fault } = c.fr;
  storeRegisters(c.fr, dirty);
  f.i32Const(rel);
  f.set(where);
  f.i32Const(leftAt(c, rel));
  f.set(whereLeft);
  f.br(fault);
}

/** Whether an instruction's halves are on different pages. */
function straddles(insn: RegionInsn): boolean {
  return pageOf(insn.rel + insn.length - 1) !== pageOf(insn.rel);
}

/** An instruction whose second half is on the next page: the interpreter's if that changed. */
function emitStraddle(c: Context, dirty: Dirty, insn: RegionInsn): void {
  if (!straddles(insn)) return;
  pageChanged(c, insn.rel + insn.length);
  c.fr.f.if();
  emitInterpret(c, dirty, insn.rel);
  c.fr.f.end();
}

const LEAVING = new Set<Format>(['LOAD', 'S', 'AMO', 'LR', 'FR', 'FU', 'R4']);

/** Whether the region may be left at an instruction that does not end a block. */
function mayLeave(insn: RegionInsn): boolean {
  return LEAVING.has(INSN_TABLE[insn.row]!.format) || SOFT_FLOAT_OPS[insn.row]! >= 0;
}

/** The dirty registers after an instruction. */
function dirtyAfter(dirty: Dirty, insn: RegionInsn): Dirty {
  return { x: dirty.x | writeOf(insn, 'x'), f: dirty.f | writeOf(insn, 'f') };
}

/**
 * Emits instructions that end no block. Where one may leave the region, the registers that are
 * dirty there have to be stored; as they only become more, the exits are one chain that stores
 * the last ones first.
 */
function emitStraight(c: Context, insns: readonly RegionInsn[], start: Dirty): Dirty {
  const { fr } = c;
  const { f } = fr;
  const groups = findGroups(insns);
  c.emitter.groups = groups;
  const steps: Dirty[] = [];
  const stepOf: number[] = [];
  let dirty = start;
  for (const insn of insns) {
    const top = steps.at(-1) ?? CLEAN;
    const group = groups.get(insn);
    const leaves = mayLeave(insn) && (group === undefined || group.first === insn);
    if (leaves && (top.x !== dirty.x || top.f !== dirty.f)) steps.push(dirty);
    stepOf.push(steps.length - 1);
    dirty = dirtyAfter(dirty, insn);
  }
  const after = steps.length > 0 ? f.block() : 0;
  const labels = steps.map(() => f.block());
  let now = start;
  const emit = (insn: RegionInsn, i: number): void => {
    fr.leave = labels[stepOf[i]!] ?? fr.fault;
    emitStraddle(c, now, insn);
    c.emitter.emit(insn, SEMANTICS[insn.row]!);
    now = dirtyAfter(now, insn);
  };
  for (let i = 0; i < insns.length; ) {
    const run = findFloatRun(insns, i, straddles);
    if (run === null) {
      emit(insns[i]!, i);
      i++;
      continue;
    }
    fr.leave = labels[stepOf[i]!] ?? fr.fault;
    const first = i;
    emitFloatRun(fr, c.emitter, run, now, () => {
      for (const [n, insn] of run.insns.entries()) emit(insn, first + n);
    });
    i += run.insns.length;
  }
  fr.leave = fr.fault;
  if (steps.length === 0) return dirty;
  f.br(after);
  for (let i = steps.length - 1; i >= 0; i--) {
    f.end();
    const below = i > 0 ? steps[i - 1]! : CLEAN;
    storeRegisters(fr, { x: steps[i]!.x & ~below.x, f: steps[i]!.f & ~below.f });
  }
  f.br(fr.fault);
  f.end();
  return dirty;
}

/** Notes that the block at `rel` runs. */
function emitMark(c: Context, rel: number): void {
  const { f } = c.fr;
  const code = codeAt(c.region, rel);
  f.i32Const(0);
  f.i32Const(1);
  f.mem(Op.i32Store8, code + CODE_MARKS + (rel & (PAGE_SIZE - 1)) / 2);
}

/** Emits a block. */
function emitBlock(c: Context, number: number, goer: Goer): void {
  const { fr, registers } = c;
  const block = c.region.blocks[number]!;
  emitMark(c, block.start);
  const ends = block.end !== 'next' && block.end !== 'interpret';
  const last = block.insns.at(-1);
  const before = { x: registers.dirtyIn.x[number]!, f: registers.dirtyIn.f[number]! };
  const dirty = emitStraight(c, ends ? block.insns.slice(0, -1) : block.insns, before);
  if (last === undefined || block.end === 'interpret') {
    emitInterpret(c, dirty, block.next);
    return;
  }
  const edge: Edge = { block: number, from: last, goer, indirect: isIndirect(block) };
  const keeps = registers.loopOf[number]! >= 0;
  const flush = (set: Dirty): void => {
    if (!keeps) storeRegisters(fr, set);
  };
  if (block.end === 'next') {
    flush(dirty);
    emitEdge(c, edge, block.next);
    return;
  }
  emitStraddle(c, dirty, last);
  if (block.end === 'trap') storeRegisters(fr, dirty);
  if (block.end === 'branch') flush(dirty);
  const link = dirtyAfter(dirty, last);
  c.ends = {
    taken: () => {
      if (block.end !== 'branch') flush(link);
      emitEdge(c, edge, block.target);
    },
    indirect: (target) => {
      flush(link);
      emitIndirect(c, edge, target);
    },
  };
  c.emitter.emit(last, SEMANTICS[last.row]!);
  if (block.end === 'branch') emitEdge(c, edge, block.next);
}

function newFrame(f: FunctionBuilder, calls: RegionCalls): RegionFrame {
  return {
    f,
    calls,
    base: 0,
    fuel: 2,
    x: new Int32Array(32).fill(-1),
    fp: new Int32Array(32).fill(-1),
    ea: f.local(I64),
    entry: f.local(I32),
    offset: f.local(I32),
    where: f.local(I32),
    whereLeft: f.local(I32),
    fault: 0,
    goOn: f.local(I64),
    chain: 0,
    inexact: f.local(I32),
    chainNoStop: 0,
    leave: 0,
  };
}

/**
 * The function of a region, with parameters REGION_PARAMS; its labels are region.flow.entries.
 * @param functionIndex its place in the table.
 */
export function emitRegion(
  region: Region,
  functionIndex: number,
  calls: RegionCalls,
  { ram, u16 }: Pick<CodePool, 'ram' | 'u16'>,
): FunctionBuilder {
  const f = new FunctionBuilder(REGION_PARAMS.length);
  const fr = newFrame(f, calls);
  allocateLocals(
    f,
    region.blocks.flatMap((block) => block.insns),
    fr.x,
    fr.fp,
  );
  const plan = planFlow(region.flow);
  const registers = planRegisters(region.blocks, plan);
  const c: Context = {
    region,
    fr,
    u16,
    emitter: new RegionEmitter(fr, {
      taken: () => c.ends.taken(),
      indirect: (target) => c.ends.indirect(target),
    }),
    registers,
    functionIndex,
    entries: ram.layout.regionEntriesBase,
    ends: { taken: () => {}, indirect: () => {} },
  };
  fr.chainNoStop = f.block();
  fr.chain = f.block();
  fr.fault = f.block();
  fr.leave = fr.fault;
  emitFlow(
    f,
    plan,
    LABEL,
    (enter) => emitReenter(c, enter),
    (label) => emitEntry(c, region.flow.entries[label]!),
    (block, goer) => emitBlock(c, block, goer),
  );
  f.op(Op.unreachable);
  f.end();
  pushFault(fr);
  f.op(Op.return);
  f.end();
  emitChain(fr, true);
  f.end();
  emitChain(fr, false);
  return f;
}

/** What entering at a block from outside takes: its registers, and fuel as slots.ts has it. */
function emitEntry(c: Context, block: number): void {
  const { fr, registers } = c;
  loadRegisters(fr, { x: registers.live.x[block]!, f: registers.live.f[block]! });
  if (c.region.blocks.some(({ insns }) => hasFloatRun(insns))) {
    inexactIsKnown(fr);
    // So that the host keeps this, and not what it is computed from.
    fr.f.if(I32);
    fr.f.i32Const(1);
    fr.f.else();
    fr.f.i32Const(0);
    fr.f.end();
    fr.f.set(fr.inexact);
  }
  pushFuel(fr, -c.region.blocks[block]!.insns[0]!.left);
  fr.f.set(fr.fuel);
}

/** Pushes what a region returns at the instruction in `where`. */
function pushFault({ f, base, where, whereLeft, fuel }: RegionFrame): void {
  f.get(base);
  f.get(where);
  f.op(Op.i64ExtendI32S);
  f.op(Op.i64Add);
  f.i64Const(REGION_SPECIAL);
  f.op(Op.i64Add);
  f.get(fuel);
  f.get(whereLeft);
  f.op(Op.i32Add);
}
