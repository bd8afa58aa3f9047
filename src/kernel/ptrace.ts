/** Tracers and tracees: who may look into and change another process, and who does. @linux kernel/ptrace.c */

import { CAP_SYS_PTRACE } from '../uapi/capability.ts';
import { SIGSTOP, SI_USER } from '../uapi/signal.ts';
import { capable, getDumpable } from './cred.ts';
import {
  JOBCTL_STOP_PENDING,
  JOBCTL_TRAP_MASK,
  JOBCTL_TRAP_STOP,
  taskClearJobctlPending,
  taskSetJobctlPending,
} from './jobctl.ts';
import { ptraceSignalWakeUp, queueSignal, sigInfo } from './signal.ts';
import { EXIT_DEAD, EXIT_ZOMBIE, PtraceLink, TASK_TRACED, type Task } from './task.ts';

/** A target all of whose ids are the given ones, and which has not said that nobody is to look in. */
function ownAndDumpable(target: Task, uid: number, gid: number): boolean {
  const { cred, mm } = target;
  const sameUser = uid === cred.uid && uid === cred.euid && uid === cred.suid;
  const sameGroup = gid === cred.gid && gid === cred.egid && gid === cred.sgid;
  return sameUser && sameGroup && (mm === null || getDumpable(mm));
}

/**
 * Whether `task` may look into `target` through a file of /proc.
 * @linux kernel/ptrace.c:__ptrace_may_access with PTRACE_MODE_READ_FSCREDS
 */
export function ptraceMayAccess(task: Task, target: Task): boolean {
  if (task.signal === target.signal || capable(task.cred, CAP_SYS_PTRACE)) return true;
  return ownAndDumpable(target, task.cred.fsuid, task.cred.fsgid);
}

/**
 * Whether `task` may attach to `target`, or use its memory as if.
 * @linux kernel/ptrace.c:__ptrace_may_access with PTRACE_MODE_ATTACH_REALCREDS
 */
export function ptraceMayAttach(task: Task, target: Task): boolean {
  if (task.signal === target.signal || capable(task.cred, CAP_SYS_PTRACE)) return true;
  return ownAndDumpable(target, task.cred.uid, task.cred.gid);
}

/** Ties `child` to `tracer`. @param options PTRACE_O_*. @linux kernel/ptrace.c:__ptrace_link */
export function ptraceLink(child: Task, tracer: Task, seized: boolean, options: number): void {
  child.ptrace = new PtraceLink(tracer, seized, options);
  if (tracer.ptraced === null) tracer.ptraced = [child];
  else tracer.ptraced.push(child);
}

/** Removes the tie; the task runs on, or stops with its process. @linux kernel/ptrace.c:__ptrace_unlink */
export function ptraceUnlink(child: Task): void {
  const { tracer } = child.ptrace!;
  const { ptraced } = tracer;
  if (ptraced !== null) ptraced.splice(ptraced.indexOf(child), 1);
  child.ptrace = null;
  if (child.state === EXIT_ZOMBIE || child.state === EXIT_DEAD) return;
  taskClearJobctlPending(child, JOBCTL_TRAP_MASK);
  const { signal } = child;
  if (signal.stopped || signal.groupStopCount !== 0) child.jobctl |= JOBCTL_STOP_PENDING;
  const stops = (child.jobctl & JOBCTL_STOP_PENDING) !== 0;
  if (stops || child.state === TASK_TRACED) ptraceSignalWakeUp(child, true);
}

/** A new task is traced as its parent is, and stops at once. @linux include/linux/ptrace.h:ptrace_init_task */
export function ptraceInitTask(child: Task, parent: Task): void {
  const { ptrace } = parent;
  if (ptrace === null) return;
  ptraceLink(child, ptrace.tracer, ptrace.seized, ptrace.options);
  if (ptrace.seized) taskSetJobctlPending(child, JOBCTL_TRAP_STOP);
  else queueSignal(child.pending, sigInfo(SIGSTOP, SI_USER), false);
  child.sigpending = true;
}
