/**
 * What a tracer sees of system calls, and how a tracee goes on after a stop. Between entry and
 * exit a tracee's registers are as Linux has them: pc is after the ecall and a0 says ENOSYS;
 * a handler runs with both put back.
 *
 * @linux kernel/entry/common.c, arch/riscv/kernel/traps.c:do_trap_ecall_u
 */

import { HART_A0, HART_A7, HART_PC } from '../arch/riscv/hart_state.ts';
import { fromHalvesSigned, highHalf, lowHalf } from '../lib/bits.ts';
import {
  ENOSYS,
  ERESTARTNOHAND,
  ERESTARTNOINTR,
  ERESTARTSYS,
  ERESTART_RESTARTBLOCK,
} from '../uapi/errno.ts';
import {
  PTRACE_EVENTMSG_SYSCALL_ENTRY,
  PTRACE_EVENTMSG_SYSCALL_EXIT,
  PTRACE_EVENT_VFORK_DONE,
} from '../uapi/ptrace.ts';
import { SI_KERNEL } from '../uapi/signal.ts';
import { doSignal, resumeSignal } from './do_signal.ts';
import { doExit } from './exit.ts';
import { futexCancel } from './futex.ts';
import { JOBCTL_LISTENING, fatalSignalPending } from './jobctl.ts';
import type { Kernel } from './kernel.ts';
import { ptraceEvent, ptraceReportSyscall } from './ptrace_stop.ts';
import { NO_RETURN, sleepKillable } from './sched.ts';
import { recalcSigpending, sendSignal, sigInfo } from './signal.ts';
import {
  RESUME_EVENT,
  RESUME_EXIT,
  RESUME_SIGNAL,
  RESUME_SYSCALL_ENTRY,
  RESUME_SYSCALL_EXIT,
  RESUME_TRAP,
  RESUME_VFORK,
  type PtraceStop,
  type Task,
} from './task.ts';

const A0 = HART_A0 >> 2;
const A7 = HART_A7 >> 2;
const PC = HART_PC >> 2;
const ECALL_BYTES = 4;

/** Moves the hart's pc by one ecall. */
function movePc(kernel: Kernel, by: number): void {
  const { i32 } = kernel.ram;
  const pc = fromHalvesSigned(i32[PC]!, i32[PC + 1]!) + by;
  i32[PC] = lowHalf(pc);
  i32[PC + 1] = highHalf(pc);
}

function setA0(kernel: Kernel, value: number): void {
  kernel.ram.i32[A0] = lowHalf(value);
  kernel.ram.i32[A0 + 1] = highHalf(value);
}

/** Registers as they are while a call is under way, its first argument kept in `stop`. */
function showInSyscall(kernel: Kernel, stop: PtraceStop, a0: number): void {
  const { i32 } = kernel.ram;
  stop.origA0Lo = i32[A0]!;
  stop.origA0Hi = i32[A0 + 1]!;
  setA0(kernel, a0);
  movePc(kernel, ECALL_BYTES);
}

/** Registers as the handler, or the call made again, wants them. */
function backToEcall(kernel: Kernel, stop: PtraceStop): void {
  const { i32 } = kernel.ram;
  i32[A0] = stop.origA0Lo;
  i32[A0 + 1] = stop.origA0Hi;
  movePc(kernel, -ECALL_BYTES);
}

/** Whether a call has to be made again, or ends with EINTR. */
export function isRestart(result: number): boolean {
  const errno = -result;
  return (
    errno === ERESTARTSYS ||
    errno === ERESTARTNOINTR ||
    errno === ERESTARTNOHAND ||
    errno === ERESTART_RESTARTBLOCK
  );
}

/** The system call at pc is about to be made. @returns whether the task has stopped before it. @linux syscall_trace_enter */
export function syscallTraceEnter(kernel: Kernel, task: Task): boolean {
  if (task.ptrace?.syscallTrace !== true) return false;
  const stop = ptraceReportSyscall(task, PTRACE_EVENTMSG_SYSCALL_ENTRY, RESUME_SYSCALL_ENTRY);
  if (stop === null) return false;
  showInSyscall(kernel, stop, -ENOSYS);
  return true;
}

/**
 * The handler of a tracee's call has returned.
 * @returns whether the task has stopped, or sleeps in vfork: completing the call is then up to
 *   resumeTracee().
 * @linux syscall_exit_work
 */
export function syscallExitWork(kernel: Kernel, task: Task, result: number): boolean {
  const stop = task.ptraceStop;
  if (stop !== null) {
    // An event stop of the call itself, or vfork.
    if (result !== NO_RETURN) {
      stop.code = result;
      showInSyscall(kernel, stop, -ENOSYS);
    }
    return true;
  }
  if (result === NO_RETURN) return syscallExitStop(task, result) !== null;
  const exit = syscallExitStop(task, result);
  if (exit === null) return false;
  showInSyscall(kernel, exit, result);
  completeCall(task, result);
  return true;
}

/** Nothing of the call is left but its result; what an interrupted one keeps is for its restart. */
function completeCall(task: Task, result: number): void {
  task.inSyscall = false;
  if (!isRestart(result)) task.sysState = null;
}

/** @returns the stop; null if none is wanted. */
function syscallExitStop(task: Task, result: number): PtraceStop | null {
  if (task.ptrace?.syscallTrace !== true) return null;
  const stop = ptraceReportSyscall(task, PTRACE_EVENTMSG_SYSCALL_EXIT, RESUME_SYSCALL_EXIT);
  if (stop !== null) stop.code = result;
  return stop;
}

/** A tracer that resumes a stop without a signal of its own by one sends it. */
function sendResumeSignal(task: Task, sig: number): void {
  if (sig !== 0) sendSignal(task, sigInfo(sig, SI_KERNEL), false);
}

/** @returns whether the handler is to run now. */
function resumeEntry(kernel: Kernel, task: Task, stop: PtraceStop): boolean {
  const { i32 } = kernel.ram;
  sendResumeSignal(task, stop.exitCode);
  if (fatalSignalPending(task)) {
    doSignal(kernel, task, 0);
    return false;
  }
  // A number that is none: the call is skipped, its result is what the tracer left in a0.
  if (i32[A7 + 1] !== 0 || i32[A7]! < 0) {
    leaveCall(kernel, task, NO_RETURN);
    return false;
  }
  backToEcall(kernel, stop);
  return true;
}

/** The last of a call whose registers are already those of its result. */
function leaveCall(kernel: Kernel, task: Task, result: number): void {
  completeCall(task, result);
  if (syscallExitStop(task, result) !== null) return;
  if (task.sigpending) doSignal(kernel, task, 0);
}

function resumeEvent(kernel: Kernel, task: Task, stop: PtraceStop): void {
  if (stop.vforkChild !== null && stop.vforkChild.vforkParent === task) {
    stop.resume = RESUME_VFORK;
    stop.info = null;
    task.ptraceStop = stop;
    sleepKillable(task);
    return;
  }
  finishEvent(kernel, task, stop);
}

/** After the last event of a clone, or an exec. */
function finishEvent(kernel: Kernel, task: Task, stop: PtraceStop): void {
  if (stop.vforkChild !== null && vforkDone(task, stop)) return;
  if (stop.code !== NO_RETURN) setA0(kernel, stop.code);
  leaveCall(kernel, task, stop.code);
}

/** @returns whether the task has stopped once more. */
function vforkDone(task: Task, stop: PtraceStop): boolean {
  const { pid } = stop.vforkChild!;
  const done = ptraceEvent(task, PTRACE_EVENT_VFORK_DONE, pid, RESUME_EVENT);
  if (done === null) return false;
  done.code = stop.code;
  return true;
}

/** The tracer may have put another result in a0: whether the call restarts is read from there. */
function resumeExit(kernel: Kernel, task: Task, stop: PtraceStop): void {
  const { i32 } = kernel.ram;
  sendResumeSignal(task, stop.exitCode);
  const result = fromHalvesSigned(i32[A0]!, i32[A0 + 1]!);
  if (stop.code !== NO_RETURN && isRestart(result)) {
    backToEcall(kernel, stop);
    doSignal(kernel, task, -result);
    return;
  }
  if (task.sysState !== null) dropInterruptedCall(kernel, task);
  if (task.sigpending) doSignal(kernel, task, 0);
}

/** Forgets what an interrupted call has kept for its restart. */
export function dropInterruptedCall(kernel: Kernel, task: Task): void {
  futexCancel(kernel, task);
  task.sysState = null;
  task.inSyscall = false;
}

/**
 * Lets the current task, whose tracer has resumed it, go on from its stop.
 * @returns whether a system call is to be made now, as if the ecall at pc had been reached.
 */
export function resumeTracee(kernel: Kernel, task: Task): boolean {
  const stop = task.ptraceStop!;
  task.ptraceStop = null;
  task.jobctl &= ~JOBCTL_LISTENING;
  recalcSigpending(task);
  if (stop.resume === RESUME_EXIT) {
    doExit(kernel, task, stop.code);
    return false;
  }
  if (task.signal.groupExit || fatalSignalPending(task)) {
    doSignal(kernel, task, 0);
    return false;
  }
  switch (stop.resume) {
    case RESUME_SIGNAL:
      task.inSyscall = false;
      resumeSignal(kernel, task, stop);
      return false;
    case RESUME_TRAP:
      // It was attached to while stopped in the middle of a call.
      if (task.inSyscall && stop.code === 0) return true;
      task.inSyscall = false;
      doSignal(kernel, task, stop.code);
      return false;
    case RESUME_SYSCALL_ENTRY:
      return resumeEntry(kernel, task, stop);
    case RESUME_SYSCALL_EXIT:
      resumeExit(kernel, task, stop);
      return false;
    case RESUME_EVENT:
      resumeEvent(kernel, task, stop);
      return false;
    default:
      finishEvent(kernel, task, stop);
      return false;
  }
}
