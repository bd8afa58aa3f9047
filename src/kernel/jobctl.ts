/**
 * Stops that a task has to take part in: a job-control stop of its process, and traps for a
 * tracer. Bits of task.jobctl; the lowest 16 are the signal of the last group stop.
 *
 * @linux include/linux/sched/jobctl.h, kernel/signal.c
 */

import { SIGKILL } from '../uapi/signal.ts';
import { sigBit } from './sigset.ts';
import type { Task } from './task.ts';

export const JOBCTL_STOP_SIGMASK = 0xffff;
/** A stop signal was taken off the queue; a SIGCONT since then takes it back. */
export const JOBCTL_STOP_DEQUEUED = 1 << 16;
/** It has to stop with its process. */
export const JOBCTL_STOP_PENDING = 1 << 17;
/** It is counted in groupStopCount. */
const JOBCTL_STOP_CONSUME = 1 << 18;
/** It has to trap for its tracer. */
export const JOBCTL_TRAP_STOP = 1 << 19;
/** The process stopped or went on: a seized tracee traps to tell. */
export const JOBCTL_TRAP_NOTIFY = 1 << 20;
/** PTRACE_LISTEN: trapped, but not for wait() or ptrace(). */
export const JOBCTL_LISTENING = 1 << 22;

export const JOBCTL_TRAP_MASK = JOBCTL_TRAP_STOP | JOBCTL_TRAP_NOTIFY;
export const JOBCTL_PENDING_MASK = JOBCTL_STOP_PENDING | JOBCTL_TRAP_MASK;
/** What a group stop that begins sets, beside its signal. */
export const JOBCTL_GSTOP = JOBCTL_STOP_PENDING | JOBCTL_STOP_CONSUME;

/** Whether SIGKILL is on its way to `task`. @linux include/linux/sched/signal.h:__fatal_signal_pending */
export function fatalSignalPending(task: Task): boolean {
  return ((task.pending.lo | task.signal.pending.lo) & sigBit(SIGKILL)) !== 0;
}

/** @returns false, with nothing set, for a task that is being killed. @linux kernel/signal.c:task_set_jobctl_pending */
export function taskSetJobctlPending(task: Task, mask: number): boolean {
  if (task.signal.groupExit || fatalSignalPending(task)) return false;
  if ((mask & JOBCTL_STOP_SIGMASK) !== 0) task.jobctl &= ~JOBCTL_STOP_SIGMASK;
  task.jobctl |= mask;
  return true;
}

/** @linux kernel/signal.c:task_clear_jobctl_pending */
export function taskClearJobctlPending(task: Task, mask: number): void {
  const stop = (mask & JOBCTL_STOP_PENDING) !== 0;
  task.jobctl &= ~(stop ? mask | JOBCTL_STOP_CONSUME | JOBCTL_STOP_DEQUEUED : mask);
}

/** `task` stops now. @returns whether that completes the stop of its process. @linux kernel/signal.c:task_participate_group_stop */
export function taskParticipateGroupStop(task: Task): boolean {
  const { signal } = task;
  const counted = (task.jobctl & JOBCTL_STOP_CONSUME) !== 0;
  taskClearJobctlPending(task, JOBCTL_STOP_PENDING);
  if (!counted) return false;
  if (signal.groupStopCount > 0) signal.groupStopCount--;
  if (signal.groupStopCount !== 0 || signal.stopped) return false;
  signal.stopped = true;
  signal.stopReported = false;
  signal.continuedReported = true;
  return true;
}

/** A new thread takes part in the stop of its process. @linux kernel/signal.c:task_join_group_stop */
export function taskJoinGroupStop(child: Task, parent: Task): void {
  const { signal } = parent;
  let mask = parent.jobctl & JOBCTL_STOP_SIGMASK;
  if (signal.groupStopCount !== 0) {
    signal.groupStopCount++;
    mask |= JOBCTL_STOP_CONSUME;
  } else if (!signal.stopped) return;
  if (taskSetJobctlPending(child, mask | JOBCTL_STOP_PENDING)) child.sigpending = true;
}
