/**
 * What happens to a task's pending signals before its next instruction, and what becomes of
 * the system call one of them interrupted.
 *
 * @linux arch/riscv/kernel/signal.c:arch_do_signal_or_restart, kernel/signal.c:get_signal
 */

import { HART_A0, HART_PC } from '../arch/riscv/hart_state.ts';
import { highHalf, lowHalf } from '../lib/bits.ts';
import { EINTR, ERESTARTNOHAND, ERESTARTSYS, ERESTART_RESTARTBLOCK } from '../uapi/errno.ts';
import { RLIMIT_CORE } from '../uapi/resource.ts';
import { SA_RESTART, SIGKILL, SIGSTOP, SIG_DFL, SI_USER } from '../uapi/signal.ts';
import { WCOREFLAG } from '../uapi/wait.ts';
import { doGroupExit } from './exit.ts';
import { futexCancel } from './futex.ts';
import { JOBCTL_STOP_DEQUEUED, JOBCTL_STOP_PENDING, JOBCTL_TRAP_MASK } from './jobctl.ts';
import type { Kernel } from './kernel.ts';
import { doJobctlTrap, ptraceSignal } from './ptrace_stop.ts';
import {
  dequeueSignal,
  doSignalStop,
  isOrphanedGroup,
  recalcSigpending,
  sendSignal,
  setBlocked,
  sigActionFlags,
  sigHandlerAddress,
  sigHandlerIgnored,
  sigInfo,
} from './signal.ts';
import { handleSignal } from './sigframe.ts';
import { sigDefaultStops, sigDumpsCore, sigdelset, sigismember } from './sigset.ts';
import {
  TASK_RUNNING,
  TASK_STOPPED,
  TASK_TRACED,
  type PtraceStop,
  type SigInfo,
  type Task,
} from './task.ts';

const A0 = HART_A0 >> 2;
const PC = HART_PC >> 2;
const ECALL_BYTES = 4;

/** Completes the system call at pc: a0 = `result`, on to the next instruction. @hot */
export function syscallReturn(kernel: Kernel, task: Task, result: number): void {
  const { i32 } = kernel.ram;
  i32[A0] = lowHalf(result);
  i32[A0 + 1] = highHalf(result);
  const pc = (i32[PC]! >>> 0) + ECALL_BYTES;
  i32[PC] = pc | 0;
  if (pc > 0xffff_ffff) i32[PC + 1] = i32[PC + 1]! + 1;
  task.sysState = null;
  task.inSyscall = false;
}

/**
 * Ends or keeps an interrupted call now that a handler is going to run. The pc of a kept call
 * stays at the ecall, where sigreturn will find it.
 */
function settleRestart(kernel: Kernel, task: Task, restart: number, flags: number): void {
  futexCancel(kernel, task);
  const eintr =
    restart === ERESTARTNOHAND ||
    restart === ERESTART_RESTARTBLOCK ||
    (restart === ERESTARTSYS && (flags & SA_RESTART) === 0);
  if (eintr) syscallReturn(kernel, task, -EINTR);
  task.sysState = null;
  task.inSyscall = false;
}

/** The default action. @returns whether the task can go on. */
function defaultAction(kernel: Kernel, task: Task, info: SigInfo): boolean {
  const { signo } = info;
  if (sigDefaultStops(signo)) {
    if (signo !== SIGSTOP && isOrphanedGroup(kernel, task.signal.pgrp)) return true;
    return !doSignalStop(task, signo);
  }
  // No dump is written; the flag says what a parent would see if one were.
  const dumps = sigDumpsCore(signo) && task.signal.limits.soft[RLIMIT_CORE]! > 0;
  const core = dumps ? WCOREFLAG : 0;
  doGroupExit(kernel, task, signo | core);
  return false;
}

/**
 * A stop or an exit that another thread, a signal or the tracer began.
 * @returns whether the task can go on.
 */
function joinGroupAction(kernel: Kernel, task: Task, restart: number): boolean {
  const { signal } = task;
  if (signal.groupExit) {
    sigdelset(task.pending, SIGKILL);
    doGroupExit(kernel, task, signal.exitCode);
    return false;
  }
  if ((task.jobctl & JOBCTL_STOP_PENDING) !== 0 && doSignalStop(task, 0)) return false;
  if ((task.jobctl & JOBCTL_TRAP_MASK) === 0) return true;
  return !doJobctlTrap(task, restart);
}

/** The task has gone away or stands still. */
const STAYS = -1;

/**
 * Does what `info` asks for.
 * @param restart ERESTART* of the system call that was interrupted, 0 if none was.
 * @returns what is then left of it, or STAYS.
 */
function deliverSignal(kernel: Kernel, task: Task, info: SigInfo, restart: number): number {
  const { sighand } = task;
  if (sigHandlerIgnored(sighand, info.signo)) return restart;
  if (sigHandlerAddress(sighand, info.signo) === SIG_DFL) {
    return defaultAction(kernel, task, info) ? restart : STAYS;
  }
  if (restart !== 0) settleRestart(kernel, task, restart, sigActionFlags(sighand, info.signo));
  handleSignal(kernel, task, info);
  return 0;
}

/**
 * Delivers what is pending for the current task.
 * @param restart as deliverSignal().
 */
export function doSignal(kernel: Kernel, task: Task, restart: number): void {
  let interrupted = restart;
  while (task.sigpending && task.state === TASK_RUNNING) {
    if (!joinGroupAction(kernel, task, interrupted)) return;
    const info = dequeueSignal(task, task.blockedLo, task.blockedHi);
    if (info === null) {
      recalcSigpending(task);
      break;
    }
    if (sigDefaultStops(info.signo)) task.jobctl |= JOBCTL_STOP_DEQUEUED;
    if (task.ptrace !== null && info.signo !== SIGKILL) {
      if (ptraceSignal(task, info, interrupted)) return;
      continue;
    }
    interrupted = deliverSignal(kernel, task, info, interrupted);
    if (interrupted === STAYS) return;
  }
  restoreSavedSigmask(task);
}

/**
 * Goes on after a signal was shown to the tracer, with what the tracer made of it.
 * @linux kernel/signal.c:ptrace_signal, after its stop
 */
export function resumeSignal(kernel: Kernel, task: Task, stop: PtraceStop): void {
  const signo = stop.exitCode;
  let info = stop.info!;
  let restart = stop.code;
  if (signo !== 0) {
    if (signo !== info.signo) {
      const pid = task.ptrace?.tracer.pid ?? 0;
      info = sigInfo(signo, SI_USER, { pid, uid: task.ptrace?.tracer.cred.uid ?? 0 });
    }
    if (sigismember(task.blockedLo, task.blockedHi, signo)) sendSignal(task, info, false);
    else restart = deliverSignal(kernel, task, info, restart);
  }
  if (restart !== STAYS) doSignal(kernel, task, restart);
}

/** No handler took the mask that rt_sigsuspend or ppoll saved: put it back. */
export function restoreSavedSigmask(task: Task): void {
  const saved = task.savedSigmask;
  if (saved === null || task.state === TASK_STOPPED || task.state === TASK_TRACED) return;
  task.savedSigmask = null;
  setBlocked(task, saved.lo, saved.hi);
}
