/**
 * How a tracee stops for its tracer. There is no stack to sleep on: a stop is a state of the
 * task and a note (PtraceStop) of where it goes on, which entry.ts reads.
 *
 * @linux kernel/signal.c:ptrace_stop, include/linux/ptrace.h
 */

import { TWO32 } from '../lib/bits.ts';
import {
  PTRACE_EVENT_EXEC,
  PTRACE_EVENT_SHIFT,
  PTRACE_EVENT_STOP,
  PTRACE_O_TRACESYSGOOD,
  SYSGOOD_BIT,
} from '../uapi/ptrace.ts';
import { CLD_STOPPED, CLD_TRAPPED, SIGTRAP, SI_USER } from '../uapi/signal.ts';
import {
  JOBCTL_STOP_DEQUEUED,
  JOBCTL_STOP_PENDING,
  JOBCTL_STOP_SIGMASK,
  JOBCTL_TRAP_NOTIFY,
  JOBCTL_TRAP_STOP,
  fatalSignalPending,
  taskClearJobctlPending,
  taskParticipateGroupStop,
} from './jobctl.ts';
import { notifyParentCldstop, ptraceReparented, sendSignal, sigInfo } from './signal.ts';
import {
  PtraceStop,
  RESUME_EXIT,
  RESUME_SIGNAL,
  RESUME_TRAP,
  TASK_TRACED,
  type SigInfo,
  type Task,
} from './task.ts';

function isEventStop(info: SigInfo | null): boolean {
  return info !== null && info.code >>> PTRACE_EVENT_SHIFT === PTRACE_EVENT_STOP;
}

/**
 * Puts `task` into a stop and tells its tracer.
 * @param why CLD_TRAPPED, or CLD_STOPPED to take part in a group stop.
 * @returns false when nobody traces the task or it is being killed: it goes on at once.
 * @linux kernel/signal.c:ptrace_stop
 */
export function ptraceStop(task: Task, stop: PtraceStop, why: number): boolean {
  if (task.ptrace === null || fatalSignalPending(task)) return false;
  if (task.signal.groupExit && stop.resume !== RESUME_EXIT) return false;
  task.state = TASK_TRACED;
  task.ptraceStop = stop;
  const joins = why === CLD_STOPPED && (task.jobctl & JOBCTL_STOP_PENDING) !== 0;
  const completes = joins && taskParticipateGroupStop(task);
  taskClearJobctlPending(task, JOBCTL_TRAP_STOP);
  if (isEventStop(stop.info)) taskClearJobctlPending(task, JOBCTL_TRAP_NOTIFY);
  notifyParentCldstop(task, true, why);
  if (completes && ptraceReparented(task)) notifyParentCldstop(task, false, why);
  return true;
}

/** siginfo of a stop that no signal caused. @linux kernel/signal.c:ptrace_do_notify */
function stopSigInfo(task: Task, signo: number, code: number): SigInfo {
  const { pid } = task;
  const { uid } = task.cred;
  // si_pid and si_uid lie where a SIGTRAP with a small code has si_addr.
  return sigInfo(signo, code, { pid, uid, addr: uid * TWO32 + pid });
}

/**
 * Stops `task` with SIGTRAP.
 * @param exitCode SIGTRAP, and the event or SYSGOOD_BIT.
 * @returns the stop, to be completed by the caller; null when the task goes on.
 * @linux kernel/signal.c:ptrace_notify
 */
function ptraceNotify(
  task: Task,
  exitCode: number,
  message: number,
  resume: number,
): PtraceStop | null {
  const stop = new PtraceStop(resume, exitCode, stopSigInfo(task, SIGTRAP, exitCode), message);
  return ptraceStop(task, stop, CLD_TRAPPED) ? stop : null;
}

/** @param event PTRACE_EVENT_*. @linux include/linux/ptrace.h:ptrace_event_enabled */
export function ptraceEventEnabled(task: Task, event: number): boolean {
  return task.ptrace !== null && (task.ptrace.options & (1 << event)) !== 0;
}

/**
 * Stops `task` for an event if its tracer has asked for it.
 * @returns as ptraceNotify().
 * @linux include/linux/ptrace.h:ptrace_event
 */
export function ptraceEvent(
  task: Task,
  event: number,
  message: number,
  resume: number,
): PtraceStop | null {
  if (ptraceEventEnabled(task, event)) {
    return ptraceNotify(task, (event << PTRACE_EVENT_SHIFT) | SIGTRAP, message, resume);
  }
  // The signal of old, for tracers that know no events.
  if (event === PTRACE_EVENT_EXEC && task.ptrace?.seized === false) {
    sendSignal(task, sigInfo(SIGTRAP, SI_USER), false);
  }
  return null;
}

/** Stops at the entry to or the exit from a system call. @returns as ptraceNotify(). @linux include/linux/ptrace.h:ptrace_report_syscall */
export function ptraceReportSyscall(
  task: Task,
  message: number,
  resume: number,
): PtraceStop | null {
  const sysgood = (task.ptrace!.options & PTRACE_O_TRACESYSGOOD) !== 0;
  return ptraceNotify(task, sysgood ? SIGTRAP | SYSGOOD_BIT : SIGTRAP, message, resume);
}

/**
 * Shows the tracer a signal before it is delivered.
 * @param restart ERESTART* of the interrupted call.
 * @returns whether the task has stopped.
 * @linux kernel/signal.c:ptrace_signal
 */
export function ptraceSignal(task: Task, info: SigInfo, restart: number): boolean {
  // The tracer may make a stop signal of it; a SIGCONT in the meantime counts.
  task.jobctl |= JOBCTL_STOP_DEQUEUED;
  const stop = new PtraceStop(RESUME_SIGNAL, info.signo, info, 0);
  stop.code = restart;
  return ptraceStop(task, stop, CLD_TRAPPED);
}

/**
 * Takes part in a stop of the process, or in one that the tracer has asked for.
 * @param restart as ptraceSignal().
 * @returns whether the task has stopped.
 * @linux kernel/signal.c:do_jobctl_trap
 */
export function doJobctlTrap(task: Task, restart: number): boolean {
  const { signal } = task;
  const sig = task.jobctl & JOBCTL_STOP_SIGMASK;
  let stop = new PtraceStop(RESUME_TRAP, sig, null, 0);
  if (task.ptrace?.seized === true) {
    const stopping = signal.stopped || signal.groupStopCount !== 0;
    const signo = stopping ? sig : SIGTRAP;
    const exitCode = (PTRACE_EVENT_STOP << PTRACE_EVENT_SHIFT) | signo;
    stop = new PtraceStop(RESUME_TRAP, exitCode, stopSigInfo(task, signo, exitCode), 0);
  }
  stop.code = restart;
  return ptraceStop(task, stop, CLD_STOPPED);
}
