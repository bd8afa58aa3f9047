/**
 * What a signal handler finds on its stack, and the way back: struct rt_sigframe of riscv64
 * (uapi/signal.ts draws it). The handler returns into the sigreturn page that exec maps.
 *
 * @linux arch/riscv/kernel/signal.c
 */

import {
  HART_F,
  HART_FFLAGS,
  HART_FRM,
  HART_PC,
  HART_RESERVED,
  HART_X,
} from '../arch/riscv/hart_state.ts';
import { TWO32, highHalf, lowHalf, setU64 } from '../lib/bits.ts';
import { copyFromUser, copyToUser } from '../mm/uaccess.ts';
import {
  FRAME_UCONTEXT,
  MINSIGSTKSZ,
  SA_NODEFER,
  SA_ONSTACK,
  SA_RESETHAND,
  SIGBUS,
  SIGCHLD,
  SIGFPE,
  SIGFRAME_BYTES,
  SIGILL,
  SIGSEGV,
  SIGTRAP,
  SI_ADDR,
  SI_CODE,
  SI_ERRNO,
  SI_KERNEL,
  SI_PID,
  SI_SIGNO,
  SI_STATUS,
  SI_TIMER,
  SI_TIMER_OVERRUN,
  SI_TIMER_TID,
  SI_UID,
  SI_VALUE,
  SS_AUTODISARM,
  SS_DISABLE,
  SS_ONSTACK,
  UC_FCSR,
  UC_FPREGS,
  UC_REGS,
  UC_SIGMASK,
  UC_STACK,
} from '../uapi/signal.ts';
import { EINVAL, ENOMEM, EPERM } from '../uapi/errno.ts';
import type { Kernel } from './kernel.ts';
import {
  forceSignal,
  resetSigaction,
  setBlocked,
  sigActionFlags,
  sigActionMaskHi,
  sigActionMaskLo,
  sigHandlerAddress,
  sigInfo,
} from './signal.ts';
import { VDSO_SIGRETURN } from './vdso.ts';
import { sigaddset } from './sigset.ts';
import type { SigInfo, SigSet, Task } from './task.ts';

const X_WORDS = HART_X >> 2;
const F_WORDS = HART_F >> 2;
const PC_WORDS = HART_PC >> 2;
const REG_RA = 1;
const REG_SP = 2;
const REG_A0 = 10;
const REG_A1 = 11;
const REG_A2 = 12;
const STACK_ALIGN = 16;

/** Value of integer register `reg` on the hart, exact below 2^53. */
export function hartReg(kernel: Kernel, reg: number): number {
  const { i32 } = kernel.ram;
  return (i32[X_WORDS + 2 * reg + 1]! >>> 0) * TWO32 + (i32[X_WORDS + 2 * reg]! >>> 0);
}

export function setHartReg(kernel: Kernel, reg: number, value: number): void {
  const { i32 } = kernel.ram;
  i32[X_WORDS + 2 * reg] = lowHalf(value);
  i32[X_WORDS + 2 * reg + 1] = highHalf(value);
}

export function setHartPc(kernel: Kernel, pc: number): void {
  const { i32 } = kernel.ram;
  i32[PC_WORDS] = lowHalf(pc);
  i32[PC_WORDS + 1] = highHalf(pc);
}

function hartPc(kernel: Kernel): number {
  const { i32 } = kernel.ram;
  return (i32[PC_WORDS + 1]! >>> 0) * TWO32 + (i32[PC_WORDS]! >>> 0);
}

/** Whether `sp` is within the task's alternate stack. */
export function onSigStack(task: Task, sp: number): boolean {
  if ((task.sasFlags & SS_AUTODISARM) !== 0) return false;
  return sp > task.sasSp && sp - task.sasSp <= task.sasSize;
}

/** ss_flags as programs read them. */
export function sasSsFlags(task: Task, sp: number): number {
  const kept = task.sasFlags & SS_AUTODISARM;
  if (task.sasSize === 0) return kept | SS_DISABLE;
  return kept | (onSigStack(task, sp) ? SS_ONSTACK : 0);
}

/**
 * sigaltstack(2) without the copying.
 * @returns 0, -EPERM while running on the stack, -EINVAL for unknown flags, -ENOMEM when too small.
 */
export function setAltStack(
  task: Task,
  sp: number,
  flags: number,
  size: number,
  at: number,
): number {
  if (onSigStack(task, at)) return -EPERM;
  const mode = flags & ~SS_AUTODISARM;
  if (mode !== 0 && mode !== SS_DISABLE && mode !== SS_ONSTACK) return -EINVAL;
  if (mode === SS_DISABLE) {
    task.sasSp = 0;
    task.sasSize = 0;
  } else {
    if (size < MINSIGSTKSZ) return -ENOMEM;
    task.sasSp = sp;
    task.sasSize = size;
  }
  task.sasFlags = flags;
  return 0;
}

/** Writes struct siginfo for `info` at `at`. */
export function putSigInfo(view: DataView, at: number, info: SigInfo): void {
  const { signo, code } = info;
  view.setInt32(at + SI_SIGNO, signo, true);
  view.setInt32(at + SI_ERRNO, info.errno, true);
  view.setInt32(at + SI_CODE, code, true);
  const fault = signo === SIGSEGV || signo === SIGBUS || signo === SIGILL || signo === SIGTRAP;
  if ((fault || signo === SIGFPE) && code > 0 && code !== SI_KERNEL) {
    setU64(view, at + SI_ADDR, info.addr);
    return;
  }
  if (code === SI_TIMER) {
    view.setInt32(at + SI_TIMER_TID, info.timerId, true);
    view.setInt32(at + SI_TIMER_OVERRUN, info.status, true);
  } else {
    view.setInt32(at + SI_PID, info.pid, true);
    view.setUint32(at + SI_UID, info.uid, true);
  }
  if (signo === SIGCHLD && code > 0) {
    view.setInt32(at + SI_STATUS, info.status, true);
    return;
  }
  view.setInt32(at + SI_VALUE, info.valueLo, true);
  view.setInt32(at + SI_VALUE + 4, info.valueHi, true);
}

/** Copies the hart's registers and the mask into a frame. */
function putUcontext(kernel: Kernel, task: Task, frame: DataView, mask: SigSet): void {
  const { i32 } = kernel.ram;
  const uc = FRAME_UCONTEXT;
  const stack = uc + UC_STACK;
  setU64(frame, stack, task.sasSp);
  // As set, not as sigaltstack(2) reports it: sigreturn sets it again. @linux __save_altstack
  frame.setInt32(stack + 8, task.sasFlags, true);
  setU64(frame, stack + 16, task.sasSize);
  frame.setInt32(uc + UC_SIGMASK, mask.lo, true);
  frame.setInt32(uc + UC_SIGMASK + 4, mask.hi, true);
  frame.setInt32(uc + UC_REGS, i32[PC_WORDS]!, true);
  frame.setInt32(uc + UC_REGS + 4, i32[PC_WORDS + 1]!, true);
  for (let w = 2; w < 64; w++) frame.setInt32(uc + UC_REGS + 4 * w, i32[X_WORDS + w]!, true);
  for (let w = 0; w < 64; w++) frame.setInt32(uc + UC_FPREGS + 4 * w, i32[F_WORDS + w]!, true);
  const fcsr = i32[HART_FFLAGS >> 2]! | (i32[HART_FRM >> 2]! << 5);
  frame.setInt32(uc + UC_FCSR, fcsr, true);
}

/** Where the frame goes: the alternate stack if the action asks for it, else below sp. */
function frameAddress(task: Task, flags: number, sp: number): number {
  let top = sp;
  if ((flags & SA_ONSTACK) !== 0 && task.sasSize !== 0 && !onSigStack(task, sp)) {
    top = task.sasSp + task.sasSize;
  } else if (onSigStack(task, sp) && !onSigStack(task, sp - SIGFRAME_BYTES)) {
    // The alternate stack overflows: an address that faults, as Linux gives it.
    return -1;
  }
  const at = top - SIGFRAME_BYTES;
  return at - (at % STACK_ALIGN);
}

/**
 * Makes the current task enter its handler for `info`. A stack that cannot take the frame
 * becomes SIGSEGV.
 * @linux arch/riscv/kernel/signal.c:handle_signal
 */
export function handleSignal(kernel: Kernel, task: Task, info: SigInfo): void {
  const { sighand } = task;
  const { signo } = info;
  const flags = sigActionFlags(sighand, signo);
  const handler = sigHandlerAddress(sighand, signo);
  const maskLo = sigActionMaskLo(sighand, signo);
  const maskHi = sigActionMaskHi(sighand, signo);
  const oldMask = task.savedSigmask ?? { lo: task.blockedLo, hi: task.blockedHi };
  if ((flags & SA_RESETHAND) !== 0) resetSigaction(sighand, signo);
  const at = frameAddress(task, flags, hartReg(kernel, REG_SP));
  const bytes = new Uint8Array(SIGFRAME_BYTES);
  const frame = new DataView(bytes.buffer);
  putSigInfo(frame, 0, info);
  putUcontext(kernel, task, frame, oldMask);
  const mm = task.mm!;
  if (at < 0 || copyToUser(mm, at, bytes) !== 0) {
    forceSigsegv(task, signo);
    return;
  }
  task.savedSigmask = null;
  if ((task.sasFlags & SS_AUTODISARM) !== 0) {
    task.sasSp = 0;
    task.sasSize = 0;
    task.sasFlags = SS_DISABLE;
  }
  setHartReg(kernel, REG_RA, VDSO_SIGRETURN);
  setHartReg(kernel, REG_SP, at);
  setHartReg(kernel, REG_A0, signo);
  setHartReg(kernel, REG_A1, at);
  setHartReg(kernel, REG_A2, at + FRAME_UCONTEXT);
  setHartPc(kernel, handler);
  const blocked = { lo: task.blockedLo | maskLo, hi: task.blockedHi | maskHi };
  if ((flags & SA_NODEFER) === 0) sigaddset(blocked, signo);
  setBlocked(task, blocked.lo, blocked.hi);
}

/** No frame could be built or read back: SIGSEGV, by default action if SIGSEGV itself was being delivered. @linux force_sigsegv */
function forceSigsegv(task: Task, sig: number): void {
  if (sig === SIGSEGV) resetSigaction(task.sighand, SIGSEGV);
  forceSignal(task, sigInfo(SIGSEGV, SI_KERNEL));
}

/** rt_sigreturn(2): registers and mask from the frame at sp. @linux sys_rt_sigreturn */
export function doSigreturn(kernel: Kernel, task: Task): void {
  const { i32 } = kernel.ram;
  const sp = hartReg(kernel, REG_SP);
  const bytes = new Uint8Array(SIGFRAME_BYTES);
  if (copyFromUser(task.mm!, bytes, sp) !== 0) {
    forceSigsegv(task, 0);
    return;
  }
  const frame = new DataView(bytes.buffer);
  const uc = FRAME_UCONTEXT;
  i32[PC_WORDS] = frame.getInt32(uc + UC_REGS, true);
  i32[PC_WORDS + 1] = frame.getInt32(uc + UC_REGS + 4, true);
  for (let w = 2; w < 64; w++) i32[X_WORDS + w] = frame.getInt32(uc + UC_REGS + 4 * w, true);
  for (let w = 0; w < 64; w++) i32[F_WORDS + w] = frame.getInt32(uc + UC_FPREGS + 4 * w, true);
  const fcsr = frame.getInt32(uc + UC_FCSR, true);
  i32[HART_FFLAGS >> 2] = fcsr & 0x1f;
  i32[HART_FRM >> 2] = (fcsr >> 5) & 7;
  i32[HART_RESERVED >> 2] = 0;
  setBlocked(
    task,
    frame.getInt32(uc + UC_SIGMASK, true),
    frame.getInt32(uc + UC_SIGMASK + 4, true),
  );
  const stack = uc + UC_STACK;
  const stackSp = frame.getUint32(stack + 4, true) * TWO32 + frame.getUint32(stack, true);
  const size = frame.getUint32(stack + 20, true) * TWO32 + frame.getUint32(stack + 16, true);
  // Errors are ignored, as in Linux: the frame may have been built while the stack was in use.
  setAltStack(task, stackSp, frame.getInt32(stack + 8, true), size, hartReg(kernel, REG_SP));
}

/** pc of the current task. */
export function currentPc(kernel: Kernel): number {
  return hartPc(kernel);
}
