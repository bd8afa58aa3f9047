/**
 * What happens to a task's pending signals before its next instruction, and what becomes of
 * the system call one of them interrupted.
 *
 * @linux arch/riscv/kernel/signal.c:arch_do_signal_or_restart, kernel/signal.c:get_signal
 */

import { HART_PC, HART_X } from '../arch/riscv/hart_state.ts';
import { highHalf, lowHalf } from '../lib/bits.ts';
import { EINTR, ERESTARTNOHAND, ERESTARTSYS, ERESTART_RESTARTBLOCK } from '../uapi/errno.ts';
import { RLIMIT_CORE } from '../uapi/resource.ts';
import { SA_RESTART, SIGSTOP, SIG_DFL } from '../uapi/signal.ts';
import { WCOREFLAG } from '../uapi/wait.ts';
import { doGroupExit } from './exit.ts';
import { futexCancel } from './futex.ts';
import type { Kernel } from './kernel.ts';
import {
  dequeueSignal,
  doSignalStop,
  isOrphanedGroup,
  recalcSigpending,
  setBlocked,
  sigActionFlags,
  sigHandlerAddress,
  sigHandlerIgnored,
} from './signal.ts';
import { handleSignal } from './sigframe.ts';
import { sigDefaultStops, sigDumpsCore } from './sigset.ts';
import { TASK_RUNNING, TASK_STOPPED, type SigInfo, type Task } from './task.ts';

const A0 = (HART_X >> 2) + 20;
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
    doSignalStop(task, signo);
    return false;
  }
  // No dump is written; the flag says what a parent would see if one were.
  const dumps = sigDumpsCore(signo) && task.signal.limits.soft[RLIMIT_CORE]! > 0;
  const core = dumps ? WCOREFLAG : 0;
  doGroupExit(kernel, task, signo | core);
  return false;
}

/** A stop or an exit that another thread or signal began. @returns whether the task can go on. */
function joinGroupAction(kernel: Kernel, task: Task): boolean {
  const { signal } = task;
  if (signal.groupExit) {
    doGroupExit(kernel, task, signal.exitCode);
    return false;
  }
  if (signal.stopSignal === 0) return true;
  doSignalStop(task, signal.stopSignal);
  return false;
}

/**
 * Delivers what is pending for the current task.
 * @param restart ERESTART* of the system call that was interrupted, 0 if none was.
 */
export function doSignal(kernel: Kernel, task: Task, restart: number): void {
  let interrupted = restart;
  while (task.sigpending && task.state === TASK_RUNNING) {
    if (!joinGroupAction(kernel, task)) return;
    const info = dequeueSignal(task, task.blockedLo, task.blockedHi);
    if (info === null) {
      recalcSigpending(task);
      break;
    }
    const { sighand } = task;
    if (sigHandlerIgnored(sighand, info.signo)) continue;
    if (sigHandlerAddress(sighand, info.signo) === SIG_DFL) {
      if (!defaultAction(kernel, task, info)) return;
      continue;
    }
    if (interrupted !== 0) {
      settleRestart(kernel, task, interrupted, sigActionFlags(sighand, info.signo));
      interrupted = 0;
    }
    handleSignal(kernel, task, info);
  }
  restoreSavedSigmask(task);
}

/** No handler took the mask that rt_sigsuspend or ppoll saved: put it back. */
export function restoreSavedSigmask(task: Task): void {
  const saved = task.savedSigmask;
  if (saved === null || task.state === TASK_STOPPED) return;
  task.savedSigmask = null;
  setBlocked(task, saved.lo, saved.hi);
}
