/**
 * The memory management unit as wasm functions: the table walker, the filling of the software
 * TLBs, and the accesses that the inlined TLB check of a load or store handler does not cover
 * (misses, misaligned and page-crossing accesses).
 */

import {
  CAUSE_INSN_PAGE_FAULT,
  CAUSE_LOAD_PAGE_FAULT,
  CAUSE_STORE_PAGE_FAULT,
} from '../arch/riscv/cause.ts';
import { HART_SATP, HART_TLB_FILLS, HART_TLB_LOGS } from '../arch/riscv/hart_state.ts';
import {
  type MemLayout,
  PAGE_SHIFT,
  PAGE_SIZE,
  TLB_ENTRIES,
  TLB_ENTRY_SIZE,
  TLB_EXEC_BASE,
  TLB_EXEC_ENTRIES,
  TLB_READ_BASE,
  type TLB_WRITE_BASE,
} from '../arch/riscv/memlayout.ts';
import {
  LEVEL_PGD,
  LEVEL_PTE,
  LEVEL_SIZE,
  PTE_A,
  PTE_D,
  PTE_R,
  PTE_PATH_RO,
  PTE_U,
  PTE_V,
  PTE_W,
  PTE_X,
} from '../arch/riscv/pgtable.ts';
import { TLB_EXEC, TLB_LOG_BYTES, TLB_LOG_ENTRIES, TLB_WRITE } from '../arch/riscv/tlb.ts';
import { emitAtomicOffset, emitLoadSlow, emitStoreSlow } from './mmu_access.ts';
import { EXPORT_ATOMIC, EXPORT_STALE, EXPORT_TRAP } from './jit/abi.ts';
import { raise } from './trap_global.ts';
import { type FunctionBuilder, I32, I64, type ModuleBuilder, Op } from './wasm_encoder.ts';

const PAGE_OFFSET = PAGE_SIZE - 1;
/** Addresses at or above 2^USER_BITS are no user addresses: every access to them faults. */
const USER_BITS = 47;
const TLB_BYTES = TLB_ENTRIES * TLB_ENTRY_SIZE;
/** Place of a table's address bits in an entry, relative to where they are in an address. */
const PTE_TO_PADDR = 2;
const ENTRY_ADDEND = 8;

/** Functions and globals of a module that has an MMU. */
export interface Mmu {
  /** Global: cause of the trap that a function below reports, or 0. */
  readonly trap: number;
  /** Global: not 0 when a store has dropped predecoded code, so that ip may be stale. */
  readonly stale: number;
  /** (va i64, kind i32) -> frame offset, or 0. No TLB involved. */
  readonly walk: number;
  /** As walk, without a trace in the tables. */
  readonly peek: number;
  /** (va i64, size i32) -> the zero-extended bytes (i64); may set `trap`. */
  readonly loadSlow: number;
  /** (va i64, size i32, value i64); may set `trap`, then memory is unchanged; may set `stale`. */
  readonly storeSlow: number;
  /** (va i64, size i32, kind i32) -> offset, or 0 with `trap` set. */
  readonly atomicOffset: number;
  /** (va i64) -> offset of the page's predecoded code, or 0 with `trap` set. */
  readonly fetchPage: number;
}

/** Functions of the host that the MMU calls. */
export interface MmuImports {
  /** (pfn i32) -> offset of new predecoded code for it. */
  readonly newCode: number;
  /** (pfn i32): drops its code. */
  readonly dropCode: number;
}

/** Pushes `va & mask` as an i64. */
function maskVa(f: FunctionBuilder, va: number, mask: number): void {
  f.get(va);
  f.i64Const(mask);
  f.op(Op.i64And);
}

/** Returns 0 from the function when the i32 on the stack is not 0. */
function fail(f: FunctionBuilder): void {
  f.if();
  f.i32Const(0);
  f.op(Op.return);
  f.end();
}

/**
 * walk: Privileged 4.3.2, with our SHARED and SD_CLEARED bits taking W off everything below them.
 * Sets A, and D for a store, in the leaf. Superpages of any level are honoured.
 * @param marks false for a look that is no access: it sets neither.
 */
function emitWalk(f: FunctionBuilder, marks: boolean): void {
  const [va, kind] = [0, 1];
  const table = f.local(I32);
  const entry = f.local(I32);
  const pte = f.local(I32);
  const path = f.local(I32);
  const inPage = f.local(I32);
  f.get(va);
  f.i64Const(USER_BITS);
  f.op(Op.i64ShrU);
  f.op(Op.i64Eqz);
  f.op(Op.i32Eqz);
  fail(f);
  f.i32Const(0);
  f.mem(Op.i32Load, HART_SATP);
  f.set(table);
  const leaf = f.block();
  for (let level: number = LEVEL_PGD; level >= LEVEL_PTE; level--) {
    loadEntry(f, { va, table, entry, pte }, PAGE_SHIFT + level * 9);
    f.i32Const(LEVEL_SIZE[level]! - PAGE_SIZE);
    f.set(inPage);
    if (level === LEVEL_PTE) break;
    f.get(pte);
    f.i32Const(PTE_R | PTE_W | PTE_X);
    f.op(Op.i32And);
    f.brIf(leaf);
    f.get(path);
    f.get(pte);
    f.op(Op.i32Or);
    f.set(path);
    frameOf(f, pte);
    f.set(table);
  }
  f.end();
  checkLeaf(f, kind, pte, path);
  if (marks) markUsed(f, kind, pte, entry);
  frameOf(f, pte);
  f.get(va);
  f.op(Op.i32WrapI64);
  f.get(inPage);
  f.op(Op.i32And);
  f.op(Op.i32Add);
}

/** Locals of one step of the walk. */
interface WalkLocals {
  readonly va: number;
  readonly table: number;
  readonly entry: number;
  readonly pte: number;
}

/** entry = &table[index of va]; pte = its low word; fails when it is not valid. */
function loadEntry(f: FunctionBuilder, l: WalkLocals, shift: number): void {
  f.get(l.va);
  f.i64Const(shift - 3);
  f.op(Op.i64ShrU);
  f.op(Op.i32WrapI64);
  f.i32Const(0xff8);
  f.op(Op.i32And);
  f.get(l.table);
  f.op(Op.i32Add);
  f.tee(l.entry);
  f.mem(Op.i32Load);
  f.tee(l.pte);
  f.i32Const(PTE_V);
  f.op(Op.i32And);
  f.op(Op.i32Eqz);
  fail(f);
}

/** Pushes the offset of the frame an entry points at. */
function frameOf(f: FunctionBuilder, pte: number): void {
  f.get(pte);
  f.i32Const(PTE_TO_PADDR);
  f.op(Op.i32Shl);
  f.i32Const(-PAGE_SIZE);
  f.op(Op.i32And);
}

/** Fails unless the leaf allows `kind` to user code, and no entry of the path forbids writing. */
function checkLeaf(f: FunctionBuilder, kind: number, pte: number, path: number): void {
  const need = f.local(I32);
  f.i32Const(PTE_V | PTE_U | PTE_X);
  f.i32Const(PTE_V | PTE_U | PTE_R);
  f.get(kind);
  f.i32Const(TLB_EXEC);
  f.op(Op.i32Eq);
  f.op(Op.select);
  f.get(kind);
  f.i32Const(TLB_WRITE);
  f.op(Op.i32Eq);
  f.if(I32);
  f.i32Const(PTE_W);
  f.else();
  f.i32Const(0);
  f.end();
  f.op(Op.i32Or);
  f.tee(need);
  f.get(pte);
  f.op(Op.i32And);
  f.get(need);
  f.op(Op.i32Ne);
  fail(f);
  f.get(kind);
  f.i32Const(TLB_WRITE);
  f.op(Op.i32Eq);
  f.get(path);
  f.i32Const(PTE_PATH_RO);
  f.op(Op.i32And);
  f.op(Op.i32Eqz);
  f.op(Op.i32Eqz);
  f.op(Op.i32And);
  fail(f);
}

function markUsed(f: FunctionBuilder, kind: number, pte: number, entry: number): void {
  const used = f.local(I32);
  f.i32Const(PTE_A | PTE_D);
  f.i32Const(PTE_A);
  f.get(kind);
  f.i32Const(TLB_WRITE);
  f.op(Op.i32Eq);
  f.op(Op.select);
  f.get(pte);
  f.op(Op.i32Or);
  f.tee(used);
  f.get(pte);
  f.op(Op.i32Ne);
  f.if();
  f.get(entry);
  f.get(used);
  f.mem(Op.i32Store);
  f.end();
}

/** Logs that `slot` (i32 local) of TLB `kind` was filled, as tlb.ts wants it. */
function logFill(f: FunctionBuilder, kind: () => void, slot: number): void {
  const counter = f.local(I32);
  const count = f.local(I32);
  kind();
  f.i32Const(2);
  f.op(Op.i32Shl);
  f.tee(counter);
  f.mem(Op.i32Load, HART_TLB_FILLS);
  f.tee(count);
  f.i32Const(TLB_LOG_ENTRIES);
  f.op(Op.i32LtU);
  f.if();
  kind();
  f.i32Const(TLB_LOG_BYTES);
  f.op(Op.i32Mul);
  f.get(count);
  f.i32Const(1);
  f.op(Op.i32Shl);
  f.op(Op.i32Add);
  f.get(slot);
  f.mem(Op.i32Store16, HART_TLB_LOGS);
  f.end();
  f.get(counter);
  f.get(count);
  f.i32Const(1);
  f.op(Op.i32Add);
  f.mem(Op.i32Store, HART_TLB_FILLS);
}

/** Pushes the predecoded code of the frame at offset `frame` (0 = none). */
function codeOf(f: FunctionBuilder, layout: MemLayout, frame: number): void {
  f.get(frame);
  f.i32Const(PAGE_SHIFT - 2);
  f.op(Op.i32ShrU);
  f.mem(Op.i32Load, layout.codeIndexBase);
}

function pfnOf(f: FunctionBuilder, frame: number): void {
  f.get(frame);
  f.i32Const(PAGE_SHIFT);
  f.op(Op.i32ShrU);
}

/** translate(va, kind) -> memory offset, or 0 with `trap` set: the data TLBs, filled on a miss. */
function emitTranslate(
  f: FunctionBuilder,
  layout: MemLayout,
  walk: number,
  globals: { trap: number; stale: number },
  dropCode: number,
): void {
  const [va, kind] = [0, 1];
  const slot = f.local(I32);
  const entry = f.local(I32);
  const frame = f.local(I32);
  f.get(va);
  f.i64Const(PAGE_SHIFT);
  f.op(Op.i64ShrU);
  f.op(Op.i32WrapI64);
  f.i32Const(TLB_ENTRIES - 1);
  f.op(Op.i32And);
  f.tee(slot);
  f.i32Const(TLB_ENTRY_SIZE);
  f.op(Op.i32Mul);
  f.get(kind);
  f.i32Const(TLB_BYTES);
  f.op(Op.i32Mul);
  f.op(Op.i32Add);
  f.tee(entry);
  f.mem(Op.i64Load, TLB_READ_BASE);
  maskVa(f, va, -PAGE_SIZE);
  f.op(Op.i64Eq);
  f.if();
  f.get(va);
  f.op(Op.i32WrapI64);
  f.get(entry);
  f.mem(Op.i32Load, TLB_READ_BASE + ENTRY_ADDEND);
  f.op(Op.i32Add);
  f.op(Op.return);
  f.end();
  f.get(va);
  f.get(kind);
  f.call(walk);
  f.tee(frame);
  f.op(Op.i32Eqz);
  f.if();
  raise(f, globals.trap, () => pageFaultCause(f, kind), va);
  f.i32Const(0);
  f.op(Op.return);
  f.end();
  // A frame with predecoded code is never in the write TLB.
  f.get(kind);
  f.if();
  codeOf(f, layout, frame);
  f.if();
  pfnOf(f, frame);
  f.call(dropCode);
  f.i32Const(1);
  f.globalSet(globals.stale);
  f.end();
  f.end();
  f.get(entry);
  maskVa(f, va, -PAGE_SIZE);
  f.mem(Op.i64Store, TLB_READ_BASE);
  f.get(entry);
  f.get(frame);
  f.get(va);
  f.op(Op.i32WrapI64);
  f.i32Const(-PAGE_SIZE);
  f.op(Op.i32And);
  f.op(Op.i32Sub);
  f.mem(Op.i32Store, TLB_READ_BASE + ENTRY_ADDEND);
  logFill(f, () => f.get(kind), slot);
  f.get(va);
  f.op(Op.i32WrapI64);
  f.i32Const(PAGE_OFFSET);
  f.op(Op.i32And);
  f.get(frame);
  f.op(Op.i32Or);
}

/** Pushes the cause of a page fault of a load (kind 0) or a store (kind 1). */
function pageFaultCause(f: FunctionBuilder, kind: number): void {
  f.i32Const(CAUSE_STORE_PAGE_FAULT);
  f.i32Const(CAUSE_LOAD_PAGE_FAULT);
  f.get(kind);
  f.op(Op.select);
}

/** fetchPage(va): fills the execute TLB; the frame gets predecoded code if it has none. */
function emitFetchPage(
  f: FunctionBuilder,
  layout: MemLayout,
  walk: number,
  trap: number,
  newCode: number,
): void {
  const va = 0;
  const frame = f.local(I32);
  const code = f.local(I32);
  const slot = f.local(I32);
  const entry = f.local(I32);
  f.get(va);
  f.i32Const(TLB_EXEC);
  f.call(walk);
  f.tee(frame);
  f.op(Op.i32Eqz);
  f.if();
  raise(f, trap, () => f.i32Const(CAUSE_INSN_PAGE_FAULT), va);
  f.i32Const(0);
  f.op(Op.return);
  f.end();
  codeOf(f, layout, frame);
  f.tee(code);
  f.op(Op.i32Eqz);
  f.if();
  pfnOf(f, frame);
  f.call(newCode);
  f.set(code);
  f.end();
  f.get(va);
  f.i64Const(PAGE_SHIFT);
  f.op(Op.i64ShrU);
  f.op(Op.i32WrapI64);
  f.i32Const(TLB_EXEC_ENTRIES - 1);
  f.op(Op.i32And);
  f.tee(slot);
  f.i32Const(TLB_ENTRY_SIZE);
  f.op(Op.i32Mul);
  f.tee(entry);
  maskVa(f, va, -PAGE_SIZE);
  f.mem(Op.i64Store, TLB_EXEC_BASE);
  f.get(entry);
  f.get(code);
  f.mem(Op.i32Store, TLB_EXEC_BASE + ENTRY_ADDEND);
  logFill(f, () => f.i32Const(TLB_EXEC), slot);
  f.get(code);
}

/** Adds the MMU to a module. */
export function emitMmu(m: ModuleBuilder, layout: MemLayout, imports: MmuImports): Mmu {
  const trap = m.global(EXPORT_TRAP);
  const stale = m.global(EXPORT_STALE);
  const walk = m.define([I64, I32], [I32], (f) => emitWalk(f, true));
  const peek = m.define([I64, I32], [I32], (f) => emitWalk(f, false));
  const translate = m.define([I64, I32], [I32], (f) =>
    emitTranslate(f, layout, walk, { trap, stale }, imports.dropCode),
  );
  const loadSlow = m.define([I64, I32], [I64], (f) => emitLoadSlow(f, translate));
  const storeSlow = m.define([I64, I32, I64], [], (f) => emitStoreSlow(f, translate));
  const access = [I64, I32, I32];
  const atomicOffset = m.define(
    access,
    [I32],
    (f) => emitAtomicOffset(f, translate, trap),
    EXPORT_ATOMIC,
  );
  const fetchPage = m.define([I64], [I32], (f) =>
    emitFetchPage(f, layout, walk, trap, imports.newCode),
  );
  return { trap, stale, walk, peek, loadSlow, storeSlow, atomicOffset, fetchPage };
}

/**
 * Pushes the read or write TLB entry of the address in local `va`, less the TLB's base, which
 * goes into the offset of the load that follows: ((va >> 12) % TLB_ENTRIES) * TLB_ENTRY_SIZE.
 */
export function emitTlbEntry(f: FunctionBuilder, va: number): void {
  entryOf(f, va, TLB_ENTRIES);
}

/** The same for the execute TLB. */
export function emitExecEntry(f: FunctionBuilder, va: number): void {
  entryOf(f, va, TLB_EXEC_ENTRIES);
}

function entryOf(f: FunctionBuilder, va: number, entries: number): void {
  f.get(va);
  f.i64Const(PAGE_SHIFT - Math.log2(TLB_ENTRY_SIZE));
  f.op(Op.i64ShrU);
  f.op(Op.i32WrapI64);
  f.i32Const((entries - 1) * TLB_ENTRY_SIZE);
  f.op(Op.i32And);
}

/** Pushes whether the entry in local `entry` maps the naturally aligned `size` bytes at `va`. */
export function emitTlbHit(
  f: FunctionBuilder,
  entry: number,
  va: number,
  base: typeof TLB_READ_BASE | typeof TLB_WRITE_BASE,
  size: number,
): void {
  f.get(entry);
  f.mem(Op.i64Load, base);
  // A misaligned address keeps low bits that no tag has.
  maskVa(f, va, -PAGE_SIZE + size - 1);
  f.op(Op.i64Eq);
}
