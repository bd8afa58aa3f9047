/**
 * Accesses that the inlined TLB check of a load or store does not cover, as wasm functions: TLB
 * misses, misaligned and page-crossing ones, and all atomics.
 */

import { CAUSE_LOAD_MISALIGNED, CAUSE_STORE_MISALIGNED } from '../arch/riscv/cause.ts';
import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import { TLB_WRITE } from '../arch/riscv/tlb.ts';
import { raise } from './trap_global.ts';
import { type FunctionBuilder, I32, I64, Op } from './wasm_encoder.ts';

const PAGE_OFFSET = PAGE_SIZE - 1;

/** Pushes whether [va, va + size) crosses into the next page. */
function crosses(f: FunctionBuilder, va: number, size: number): void {
  f.get(va);
  f.op(Op.i32WrapI64);
  f.i32Const(PAGE_OFFSET);
  f.op(Op.i32And);
  f.get(size);
  f.op(Op.i32Add);
  f.i32Const(PAGE_SIZE);
  f.op(Op.i32GtU);
}

/** Emits `body(opcode index)` for the size in local `size`: 0..3 for 1, 2, 4, 8 bytes. */
function bySize(f: FunctionBuilder, size: number, body: (log2: number) => void): void {
  for (let log2 = 3; log2 >= 0; log2--) {
    if (log2 > 0) {
      f.get(size);
      f.i32Const(1 << log2);
      f.op(Op.i32Eq);
      f.if();
    }
    body(log2);
    if (log2 > 0) f.end();
  }
}

const LOADS = [Op.i64Load8U, Op.i64Load16U, Op.i64Load32U, Op.i64Load] as const;
const STORES = [Op.i64Store8, Op.i64Store16, Op.i64Store32, Op.i64Store] as const;

/** Locals of an access that lies on two pages. */
interface SplitAccess {
  readonly va: number;
  readonly size: number;
  /** Bytes on the first page, and the offset of each part. */
  readonly first: number;
  readonly low: number;
  readonly high: number;
}

/** Translates both pages; returns from the function (with what `result` pushes) on a fault. */
function translateBoth(
  f: FunctionBuilder,
  a: SplitAccess,
  translate: number,
  kind: number,
  result: () => void,
): void {
  f.get(a.va);
  f.i32Const(kind);
  f.call(translate);
  f.tee(a.low);
  f.op(Op.i32Eqz);
  f.if();
  result();
  f.op(Op.return);
  f.end();
  f.i32Const(PAGE_SIZE);
  f.get(a.va);
  f.op(Op.i32WrapI64);
  f.i32Const(PAGE_OFFSET);
  f.op(Op.i32And);
  f.op(Op.i32Sub);
  f.set(a.first);
  f.get(a.va);
  f.get(a.first);
  f.op(Op.i64ExtendI32U);
  f.op(Op.i64Add);
  f.i32Const(kind);
  f.call(translate);
  f.tee(a.high);
  f.op(Op.i32Eqz);
  f.if();
  result();
  f.op(Op.return);
  f.end();
}

/** Runs `body` for i = 0 .. size - 1, with the offset of byte i in local `at`. */
function eachByte(
  f: FunctionBuilder,
  a: SplitAccess,
  i: number,
  at: number,
  body: () => void,
): void {
  const next = f.loop();
  f.get(a.low);
  f.get(i);
  f.op(Op.i32Add);
  f.get(a.high);
  f.get(i);
  f.get(a.first);
  f.op(Op.i32Sub);
  f.op(Op.i32Add);
  f.get(i);
  f.get(a.first);
  f.op(Op.i32LtU);
  f.op(Op.select);
  f.set(at);
  body();
  f.get(i);
  f.i32Const(1);
  f.op(Op.i32Add);
  f.tee(i);
  f.get(a.size);
  f.op(Op.i32LtU);
  f.brIf(next);
  f.end();
}

/** Pushes 8 * i as an i64. */
function bitOffset(f: FunctionBuilder, i: number): void {
  f.get(i);
  f.i32Const(3);
  f.op(Op.i32Shl);
  f.op(Op.i64ExtendI32U);
}

export function emitLoadSlow(f: FunctionBuilder, translate: number): void {
  const [va, size] = [0, 1];
  const a = { va, size, first: f.local(I32), low: f.local(I32), high: f.local(I32) };
  const i = f.local(I32);
  const at = f.local(I32);
  const value = f.local(I64);
  crosses(f, va, size);
  f.if();
  translateBoth(f, a, translate, 0, () => f.i64Const(0));
  eachByte(f, a, i, at, () => {
    f.get(at);
    f.mem(Op.i64Load8U);
    bitOffset(f, i);
    f.op(Op.i64Shl);
    f.get(value);
    f.op(Op.i64Or);
    f.set(value);
  });
  f.get(value);
  f.op(Op.return);
  f.end();
  f.get(va);
  f.i32Const(0);
  f.call(translate);
  f.tee(at);
  f.op(Op.i32Eqz);
  f.if();
  f.i64Const(0);
  f.op(Op.return);
  f.end();
  bySize(f, size, (log2) => {
    f.get(at);
    f.mem(LOADS[log2]!);
    f.op(Op.return);
  });
  f.op(Op.unreachable);
}

export function emitStoreSlow(f: FunctionBuilder, translate: number): void {
  const [va, size, value] = [0, 1, 2];
  const a = { va, size, first: f.local(I32), low: f.local(I32), high: f.local(I32) };
  const i = f.local(I32);
  const at = f.local(I32);
  crosses(f, va, size);
  f.if();
  translateBoth(f, a, translate, TLB_WRITE, () => {});
  eachByte(f, a, i, at, () => {
    f.get(at);
    f.get(value);
    bitOffset(f, i);
    f.op(Op.i64ShrU);
    f.mem(Op.i64Store8);
  });
  f.op(Op.return);
  f.end();
  f.get(va);
  f.i32Const(TLB_WRITE);
  f.call(translate);
  f.tee(at);
  f.op(Op.i32Eqz);
  f.if();
  f.op(Op.return);
  f.end();
  bySize(f, size, (log2) => {
    f.get(at);
    f.get(value);
    f.mem(STORES[log2]!);
    f.op(Op.return);
  });
}

/** Atomic accesses must be naturally aligned: Unprivileged 8.2 and 8.4. */
export function emitAtomicOffset(f: FunctionBuilder, translate: number, trap: number): void {
  const [va, size, kind] = [0, 1, 2];
  f.get(va);
  f.op(Op.i32WrapI64);
  f.get(size);
  f.i32Const(1);
  f.op(Op.i32Sub);
  f.op(Op.i32And);
  f.if();
  const cause = (): void => {
    f.i32Const(CAUSE_STORE_MISALIGNED);
    f.i32Const(CAUSE_LOAD_MISALIGNED);
    f.get(kind);
    f.op(Op.select);
  };
  raise(f, trap, cause, va);
  f.i32Const(0);
  f.op(Op.return);
  f.end();
  f.get(va);
  f.get(kind);
  f.call(translate);
}
