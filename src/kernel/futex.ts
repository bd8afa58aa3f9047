/**
 * futex(2): sleep if a word still has a value, wake who sleeps on it. A word in a shared
 * mapping is known by its page-cache object, any other by its address space.
 *
 * @linux kernel/futex/
 */

import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import { fromHalvesSigned } from '../lib/bits.ts';
import { findVma } from '../mm/mmap.ts';
import type { MmStruct } from '../mm/mm_types.ts';
import { getUser32, getUser64, userWordOffset } from '../mm/uaccess.ts';
import { VM_MAYSHARE } from '../mm/vma.ts';
import {
  EAGAIN,
  EINVAL,
  ENOSYS,
  ERESTARTSYS,
  ERESTART_RESTARTBLOCK,
  ETIMEDOUT,
} from '../uapi/errno.ts';
import {
  FUTEX_BITSET_MATCH_ANY,
  FUTEX_OP_ADD,
  FUTEX_OP_ANDN,
  FUTEX_OP_CMP_EQ,
  FUTEX_OP_CMP_GE,
  FUTEX_OP_CMP_GT,
  FUTEX_OP_CMP_LE,
  FUTEX_OP_CMP_LT,
  FUTEX_OP_CMP_NE,
  FUTEX_OP_OPARG_SHIFT,
  FUTEX_OP_OR,
  FUTEX_OP_SET,
  FUTEX_OP_XOR,
  FUTEX_OWNER_DIED,
  FUTEX_TID_MASK,
  FUTEX_WAITERS,
  ROBUST_LIST_LIMIT,
} from '../uapi/futex.ts';
import { FutexWaiter } from './futex_table.ts';
import type { Kernel } from './kernel.ts';
import { sleepUntil } from './sched.ts';
import type { Task } from './task.ts';

/** The object a futex word belongs to, for FutexTable; the same through a mapping that may only be read. */
export function futexSpace(mm: MmStruct, addr: number): object {
  const vma = findVma(mm, addr);
  if (vma === undefined || vma.start > addr || (vma.flags & VM_MAYSHARE) === 0) return mm;
  return vma.file === null ? mm : vma.file.mapping;
}

/** The word's offset in its space. */
function futexOffset(mm: MmStruct, addr: number): number {
  const vma = findVma(mm, addr);
  if (vma === undefined || vma.start > addr || (vma.flags & VM_MAYSHARE) === 0) return addr;
  return vma.file === null ? addr : addr - vma.start + vma.pgoff * PAGE_SIZE;
}

/** Alignment and access. @returns byte offset of the word in Ram, -EINVAL or -EFAULT. */
function futexWord(mm: MmStruct, addr: number, write: boolean): number {
  if (addr % 4 !== 0) return -EINVAL;
  return userWordOffset(mm, addr, write);
}

/**
 * FUTEX_WAIT and FUTEX_WAIT_BITSET.
 * @param deadline monotonic ns, Infinity for none; used by the first run of the call only.
 * @returns 0 when woken, SLEEP, -EAGAIN if the word has another value, -ETIMEDOUT, -EFAULT, -EINVAL, -ERESTART*.
 */
export function futexWait(
  kernel: Kernel,
  task: Task,
  addr: number,
  value: number,
  bitset: number,
  deadline: number,
): number {
  const mm = task.mm!;
  const state = task.sysState;
  let until = deadline;
  if (state instanceof FutexWaiter) {
    if (state.woken) return 0;
    until = state.deadline;
    kernel.futexes.remove(state);
    if (kernel.clock.now() >= until) return -ETIMEDOUT;
  }
  if (bitset === 0) return -EINVAL;
  const word = futexWord(mm, addr, false);
  if (word < 0) return word;
  if (kernel.ram.i32[word >>> 2] !== value) return -EAGAIN;
  const errno = until === Number.POSITIVE_INFINITY ? ERESTARTSYS : ERESTART_RESTARTBLOCK;
  const space = futexSpace(mm, addr);
  const waiter = new FutexWaiter(space, futexOffset(mm, addr), bitset, task, until);
  task.sysState = waiter;
  const result = sleepUntil(kernel, task, until, errno);
  if (result === -ERESTARTSYS || result === -ERESTART_RESTARTBLOCK) return result;
  kernel.futexes.add(waiter);
  return result;
}

/** The task will not come back to its futex(2): it exits or runs a handler. */
export function futexCancel(kernel: Kernel, task: Task): void {
  if (task.sysState instanceof FutexWaiter) kernel.futexes.remove(task.sysState);
}

/** FUTEX_WAKE and FUTEX_WAKE_BITSET. @returns how many were woken, or -EINVAL. */
export function futexWake(
  kernel: Kernel,
  mm: MmStruct,
  addr: number,
  max: number,
  bitset: number,
): number {
  if (bitset === 0 || addr % 4 !== 0) return -EINVAL;
  return kernel.futexes.wake(futexSpace(mm, addr), futexOffset(mm, addr), max, bitset);
}

/** Wakes waiters on a word the kernel itself changed. */
export function futexWakeAddress(kernel: Kernel, mm: MmStruct, addr: number, max: number): void {
  futexWake(kernel, mm, addr, max, FUTEX_BITSET_MATCH_ANY);
}

/**
 * FUTEX_REQUEUE and FUTEX_CMP_REQUEUE.
 * @param expected value the word must have, undefined for no comparison.
 * @returns how many were woken or moved, -EAGAIN, -EFAULT or -EINVAL.
 */
export function futexRequeue(
  kernel: Kernel,
  mm: MmStruct,
  addr: number,
  to: number,
  wake: number,
  move: number,
  expected: number | undefined,
): number {
  if (wake < 0 || move < 0 || to % 4 !== 0) return -EINVAL;
  const word = futexWord(mm, addr, false);
  if (word < 0) return word;
  if (expected !== undefined && kernel.ram.i32[word >>> 2] !== expected) return -EAGAIN;
  const space = futexSpace(mm, addr);
  const offset = futexOffset(mm, addr);
  const { futexes } = kernel;
  const woken = futexes.wake(space, offset, wake, FUTEX_BITSET_MATCH_ANY);
  return woken + futexes.requeue(space, offset, futexSpace(mm, to), futexOffset(mm, to), move);
}

function wakeOpResult(op: number, old: number, arg: number): number | undefined {
  switch (op) {
    case FUTEX_OP_SET:
      return arg;
    case FUTEX_OP_ADD:
      return (old + arg) | 0;
    case FUTEX_OP_OR:
      return old | arg;
    case FUTEX_OP_ANDN:
      return old & ~arg;
    case FUTEX_OP_XOR:
      return old ^ arg;
    default:
      return undefined;
  }
}

function wakeOpCompare(cmp: number, old: number, arg: number): boolean | undefined {
  switch (cmp) {
    case FUTEX_OP_CMP_EQ:
      return old === arg;
    case FUTEX_OP_CMP_NE:
      return old !== arg;
    case FUTEX_OP_CMP_LT:
      return old < arg;
    case FUTEX_OP_CMP_LE:
      return old <= arg;
    case FUTEX_OP_CMP_GT:
      return old > arg;
    case FUTEX_OP_CMP_GE:
      return old >= arg;
    default:
      return undefined;
  }
}

/** FUTEX_WAKE_OP. @returns how many were woken, -EFAULT, -EINVAL or -ENOSYS. */
export function futexWakeOp(
  kernel: Kernel,
  mm: MmStruct,
  addr: number,
  addr2: number,
  wake: number,
  wake2: number,
  encoded: number,
): number {
  if (addr % 4 !== 0) return -EINVAL;
  const word = futexWord(mm, addr2, true);
  if (word < 0) return word;
  const rawOp = encoded >>> 28;
  const rawArg = (encoded << 8) >> 20;
  const arg = (rawOp & FUTEX_OP_OPARG_SHIFT) !== 0 ? 1 << (rawArg & 31) : rawArg;
  const old = kernel.ram.i32[word >>> 2]!;
  const value = wakeOpResult(rawOp & 7, old, arg);
  const also = wakeOpCompare((encoded >>> 24) & 15, old, (encoded << 20) >> 20);
  if (value === undefined || also === undefined) return -ENOSYS;
  kernel.ram.i32[word >>> 2] = value;
  const woken = futexWake(kernel, mm, addr, wake, FUTEX_BITSET_MATCH_ANY);
  return also ? woken + futexWake(kernel, mm, addr2, wake2, FUTEX_BITSET_MATCH_ANY) : woken;
}

/** One mutex of a dead thread: marked, and one waiter told. @linux handle_futex_death */
function handleFutexDeath(kernel: Kernel, task: Task, addr: number): boolean {
  const word = futexWord(task.mm!, addr, true);
  if (word < 0) return false;
  const { i32 } = kernel.ram;
  const value = i32[word >>> 2]!;
  if ((value & FUTEX_TID_MASK) !== task.pid) return true;
  i32[word >>> 2] = (value & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
  if ((value & FUTEX_WAITERS) !== 0) futexWakeAddress(kernel, task.mm!, addr, 1);
  return true;
}

/** Walks the list of robust mutexes a thread registered. @linux exit_robust_list */
export function exitRobustList(kernel: Kernel, task: Task): void {
  const mm = task.mm!;
  const head = task.robustList;
  const offsetLo = getUser32(mm, head + 8);
  const offsetHi = getUser32(mm, head + 12);
  const pending = getUser64(mm, head + 16);
  let entry = getUser64(mm, head);
  if (offsetLo < 0 || offsetHi < 0 || pending < 0 || entry < 0) return;
  // A long, and usually negative.
  const delta = fromHalvesSigned(offsetLo, offsetHi);
  for (let n = 0; entry !== head && n < ROBUST_LIST_LIMIT; n++) {
    const next = getUser64(mm, entry - (entry % 2));
    if (entry !== pending && !handleFutexDeath(kernel, task, entry - (entry % 2) + delta)) return;
    if (next < 0) return;
    entry = next;
  }
  if (pending !== 0) handleFutexDeath(kernel, task, pending - (pending % 2) + delta);
}
