/**
 * Registers and system calls of a stopped tracee, as its tracer reads and writes them.
 *
 * @linux arch/riscv/kernel/ptrace.c, arch/riscv/include/asm/syscall.h, kernel/ptrace.c
 */

import { REGS_F, REGS_FCSR, REGS_PC, REGS_X, type Regs } from '../arch/riscv/hart_state.ts';
import { EINVAL, ERANGE } from '../uapi/errno.ts';
import {
  AUDIT_ARCH_RISCV64,
  FPREGSET_BYTES,
  GREGSET_BYTES,
  NT_PRFPREG,
  NT_PRSTATUS,
  PTRACE_EVENTMSG_SYSCALL_ENTRY,
  PTRACE_EVENTMSG_SYSCALL_EXIT,
  PTRACE_SYSCALL_INFO_ENTRY,
  PTRACE_SYSCALL_INFO_EXIT,
  PTRACE_SYSCALL_INFO_NONE,
  SYSCALL_INFO_ARCH,
  SYSCALL_INFO_ARGS,
  SYSCALL_INFO_BYTES,
  SYSCALL_INFO_ENTRY_BYTES,
  SYSCALL_INFO_EXIT_BYTES,
  SYSCALL_INFO_FLAGS,
  SYSCALL_INFO_IP,
  SYSCALL_INFO_IS_ERROR,
  SYSCALL_INFO_NONE_BYTES,
  SYSCALL_INFO_NR,
  SYSCALL_INFO_OP,
  SYSCALL_INFO_RESERVED,
  SYSCALL_INFO_RVAL,
  SYSCALL_INFO_SP,
  SYSGOOD_BIT,
} from '../uapi/ptrace.ts';
import { SIGTRAP } from '../uapi/signal.ts';
import { dropInterruptedCall } from './entry.ts';
import type { Kernel } from './kernel.ts';
import { RESUME_SIGNAL, RESUME_TRAP, type Task } from './task.ts';

/** Words of f0..f31; fcsr follows them in a register set. */
const F_WORDS = 64;
/** frm and fflags: the bits of fcsr that are not reserved. Unprivileged 20.2 */
const FCSR_MASK = 0xff;
const GREGSET_WORDS = GREGSET_BYTES / 4;
const X_SP = REGS_X + 2 * 2;
const X_A0 = REGS_X + 2 * 10;
const X_A1 = REGS_X + 2 * 11;
const X_A7 = REGS_X + 2 * 17;
const ARGS = 6;
/** Results from here on are errors. @linux include/linux/err.h:IS_ERR_VALUE */
const MAX_ERRNO = 4095;

/** @returns bytes of a register set, 0 for one there is not. */
export function regsetBytes(type: number): number {
  if (type === NT_PRSTATUS) return GREGSET_BYTES;
  return type === NT_PRFPREG ? FPREGSET_BYTES : 0;
}

/** pc, x1..x31: the registers with pc in the place of x0. */
function gregset(regs: Regs): Int32Array {
  const words = regs.slice(REGS_X, REGS_X + GREGSET_WORDS);
  words[0] = regs[REGS_PC]!;
  words[1] = regs[REGS_PC + 1]!;
  return words;
}

function fpregset(regs: Regs): Int32Array {
  const words = new Int32Array(FPREGSET_BYTES / 4);
  words.set(regs.subarray(REGS_F, REGS_F + F_WORDS));
  words[F_WORDS] = regs[REGS_FCSR]!;
  return words;
}

/** A register set of a stopped task. @param type NT_PRSTATUS or NT_PRFPREG. */
export function getRegset(task: Task, type: number): Uint8Array {
  const words = type === NT_PRSTATUS ? gregset(task.regs) : fpregset(task.regs);
  return new Uint8Array(words.buffer);
}

/** A call that was interrupted is not made again by a task that is sent elsewhere, or to another call. */
function checkInterruptedCall(kernel: Kernel, task: Task, before: Int32Array): void {
  const after = gregset(task.regs);
  const moved = after[0] !== before[0] || after[1] !== before[1];
  let changed = moved;
  for (let w = X_A0; w <= X_A7 + 1; w++) if (after[w] !== before[w]) changed = true;
  if (changed && task.sysState !== null) dropInterruptedCall(kernel, task);
  const stop = task.ptraceStop!;
  const interrupted = stop.resume === RESUME_SIGNAL || stop.resume === RESUME_TRAP;
  if (moved && interrupted) stop.code = 0;
}

function setGregset(kernel: Kernel, task: Task, bytes: Uint8Array): void {
  const { regs } = task;
  const before = gregset(regs);
  const words = gregset(regs);
  new Uint8Array(words.buffer).set(bytes);
  regs.set(words.subarray(2), REGS_X + 2);
  regs[REGS_PC] = words[0]!;
  regs[REGS_PC + 1] = words[1]!;
  checkInterruptedCall(kernel, task, before);
}

/** Changes the first registers of a set. @param bytes no longer than the set. */
export function setRegset(kernel: Kernel, task: Task, type: number, bytes: Uint8Array): void {
  if (type === NT_PRSTATUS) {
    setGregset(kernel, task, bytes);
    return;
  }
  const words = fpregset(task.regs);
  new Uint8Array(words.buffer).set(bytes);
  task.regs.set(words.subarray(0, F_WORDS), REGS_F);
  task.regs[REGS_FCSR] = words[F_WORDS]! & FCSR_MASK;
}

/** @linux kernel/ptrace.c:ptrace_get_syscall_info_op */
function syscallInfoOp(task: Task): number {
  const { info, message } = task.ptraceStop!;
  if (info?.code !== (SIGTRAP | SYSGOOD_BIT)) return PTRACE_SYSCALL_INFO_NONE;
  if (message === PTRACE_EVENTMSG_SYSCALL_ENTRY) return PTRACE_SYSCALL_INFO_ENTRY;
  if (message === PTRACE_EVENTMSG_SYSCALL_EXIT) return PTRACE_SYSCALL_INFO_EXIT;
  return PTRACE_SYSCALL_INFO_NONE;
}

function putWords(view: DataView, at: number, lo: number, hi: number): void {
  view.setInt32(at, lo, true);
  view.setInt32(at + 4, hi, true);
}

function putReg(view: DataView, at: number, regs: Regs, word: number): void {
  putWords(view, at, regs[word]!, regs[word + 1]!);
}

function putEntry(view: DataView, task: Task): number {
  const { regs } = task;
  const { origA0Lo, origA0Hi } = task.ptraceStop!;
  const nr = regs[X_A7]!;
  putWords(view, SYSCALL_INFO_NR, nr, nr < 0 ? -1 : 0);
  putWords(view, SYSCALL_INFO_ARGS, origA0Lo, origA0Hi);
  for (let n = 1; n < ARGS; n++) putReg(view, SYSCALL_INFO_ARGS + 8 * n, regs, X_A0 + 2 * n);
  return SYSCALL_INFO_ENTRY_BYTES;
}

function putExit(view: DataView, task: Task): number {
  const { regs } = task;
  putReg(view, SYSCALL_INFO_RVAL, regs, X_A0);
  const isError = regs[X_A0 + 1] === -1 && regs[X_A0]! >>> 0 >= -MAX_ERRNO >>> 0;
  view.setUint8(SYSCALL_INFO_IS_ERROR, isError ? 1 : 0);
  return SYSCALL_INFO_EXIT_BYTES;
}

/**
 * struct ptrace_syscall_info of a stopped task.
 * @returns the bytes that mean something.
 * @linux kernel/ptrace.c:ptrace_get_syscall_info
 */
export function getSyscallInfo(task: Task): Uint8Array {
  const bytes = new Uint8Array(SYSCALL_INFO_BYTES);
  const view = new DataView(bytes.buffer);
  const op = syscallInfoOp(task);
  view.setUint8(SYSCALL_INFO_OP, op);
  view.setUint32(SYSCALL_INFO_ARCH, AUDIT_ARCH_RISCV64, true);
  putReg(view, SYSCALL_INFO_IP, task.regs, REGS_PC);
  putReg(view, SYSCALL_INFO_SP, task.regs, X_SP);
  let size = SYSCALL_INFO_NONE_BYTES;
  if (op === PTRACE_SYSCALL_INFO_ENTRY) size = putEntry(view, task);
  else if (op === PTRACE_SYSCALL_INFO_EXIT) size = putExit(view, task);
  return bytes.subarray(0, size);
}

function setEntry(view: DataView, task: Task): number {
  const { regs } = task;
  const stop = task.ptraceStop!;
  const nr = view.getInt32(SYSCALL_INFO_NR, true);
  if (view.getInt32(SYSCALL_INFO_NR + 4, true) !== (nr < 0 ? -1 : 0)) return -ERANGE;
  regs[X_A7] = nr;
  regs[X_A7 + 1] = nr < 0 ? -1 : 0;
  // A call that is skipped has no arguments; a0 is its result.
  if (nr === -1) return 0;
  stop.origA0Lo = view.getInt32(SYSCALL_INFO_ARGS, true);
  stop.origA0Hi = view.getInt32(SYSCALL_INFO_ARGS + 4, true);
  for (let w = 0; w < 2 * (ARGS - 1); w++) {
    regs[X_A1 + w] = view.getInt32(SYSCALL_INFO_ARGS + 8 + 4 * w, true);
  }
  return 0;
}

/**
 * Changes number and arguments of the call a task is about to make, or the result of the one
 * it has made.
 * @param bytes struct ptrace_syscall_info.
 * @returns 0, -EINVAL, -ERANGE.
 * @linux kernel/ptrace.c:ptrace_set_syscall_info
 */
export function setSyscallInfo(task: Task, bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  if (view.getUint16(SYSCALL_INFO_FLAGS, true) !== 0) return -EINVAL;
  if (view.getUint8(SYSCALL_INFO_RESERVED) !== 0) return -EINVAL;
  const op = syscallInfoOp(task);
  if (view.getUint8(SYSCALL_INFO_OP) !== op) return -EINVAL;
  if (op === PTRACE_SYSCALL_INFO_ENTRY) return setEntry(view, task);
  if (op !== PTRACE_SYSCALL_INFO_EXIT) return -EINVAL;
  task.regs[X_A0] = view.getInt32(SYSCALL_INFO_RVAL, true);
  task.regs[X_A0 + 1] = view.getInt32(SYSCALL_INFO_RVAL + 4, true);
  return 0;
}
