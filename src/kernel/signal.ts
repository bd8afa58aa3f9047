/**
 * Sending signals, and choosing the one to deliver. What a handler finds on its stack is in
 * sigframe.ts; the end of a process in exit.ts.
 *
 * @linux kernel/signal.c
 */

import { fromHalves } from '../lib/bits.ts';
import {
  SA_NOCLDSTOP,
  SA_NOCLDWAIT,
  CLD_CONTINUED,
  CLD_STOPPED,
  SIG_DFL,
  SIG_IGN,
  SIGCHLD,
  SIGCONT,
  SIGKILL,
  SIGRTMIN,
  SI_KERNEL,
  type SI_TKILL,
  SI_USER,
} from '../uapi/signal.ts';
import { EAGAIN } from '../uapi/errno.ts';
import { RLIMIT_SIGPENDING } from '../uapi/resource.ts';
import type { Kernel } from './kernel.ts';
import {
  JOBCTL_GSTOP,
  JOBCTL_LISTENING,
  JOBCTL_PENDING_MASK,
  JOBCTL_STOP_DEQUEUED,
  JOBCTL_STOP_PENDING,
  JOBCTL_TRAP_NOTIFY,
  JOBCTL_TRAP_STOP,
  taskClearJobctlPending,
  taskParticipateGroupStop,
  taskSetJobctlPending,
} from './jobctl.ts';
import {
  SIGCONT_BIT,
  STOP_SIGNALS,
  SYNCHRONOUS_SIGNALS,
  UNBLOCKABLE,
  firstSignal,
  sigBit,
  sigDefaultIgnored,
  sigDefaultStops,
  sigDumpsCore,
  sigaddset,
  sigdelset,
  sigismember,
} from './sigset.ts';
import {
  SIGACTION_WORDS,
  TASK_INTERRUPTIBLE,
  TASK_KILLABLE,
  TASK_STOPPED,
  TASK_TRACED,
  type SigInfo,
  type SigPending,
  type SighandStruct,
  type SignalStruct,
  type Task,
} from './task.ts';

const HANDLER = 0;
const FLAGS = 2;
const MASK = 4;

/** Handler of `sig`, by its low word: enough to tell SIG_DFL and SIG_IGN from an address. */
function handlerKind(sighand: SighandStruct, sig: number): number {
  const at = (sig - 1) * SIGACTION_WORDS + HANDLER;
  return sighand.actions[at + 1] === 0 ? sighand.actions[at]! >>> 0 : -1;
}

export function sigHandlerAddress(sighand: SighandStruct, sig: number): number {
  const at = (sig - 1) * SIGACTION_WORDS + HANDLER;
  return fromHalves(sighand.actions[at]!, sighand.actions[at + 1]!);
}

export function sigActionFlags(sighand: SighandStruct, sig: number): number {
  return sighand.actions[(sig - 1) * SIGACTION_WORDS + FLAGS]!;
}

export function sigActionMaskLo(sighand: SighandStruct, sig: number): number {
  return sighand.actions[(sig - 1) * SIGACTION_WORDS + MASK]!;
}

export function sigActionMaskHi(sighand: SighandStruct, sig: number): number {
  return sighand.actions[(sig - 1) * SIGACTION_WORDS + MASK + 1]!;
}

/** The actions, private to this SighandStruct, for a write. */
export function sighandForWrite(sighand: SighandStruct): Int32Array {
  if (sighand.shared) {
    sighand.actions = sighand.actions.slice();
    sighand.shared = false;
  }
  return sighand.actions;
}

/** Makes `sig` act by default again. */
export function resetSigaction(sighand: SighandStruct, sig: number): void {
  const at = (sig - 1) * SIGACTION_WORDS;
  sighandForWrite(sighand).fill(0, at, at + SIGACTION_WORDS);
}

/** exec: caught signals act by default, ignored ones stay ignored; flags and masks go. @linux flush_signal_handlers */
export function flushSignalHandlers(sighand: SighandStruct, forceDefault: boolean): void {
  const actions = sighandForWrite(sighand);
  for (let at = 0; at < actions.length; at += SIGACTION_WORDS) {
    const ignored = actions[at] === SIG_IGN && actions[at + 1] === 0;
    actions.fill(0, at, at + SIGACTION_WORDS);
    if (ignored && !forceDefault) actions[at] = SIG_IGN;
  }
}

/** Whether the action of `sig`, set or default, is to do nothing. */
export function sigHandlerIgnored(sighand: SighandStruct, sig: number): boolean {
  const kind = handlerKind(sighand, sig);
  return kind === SIG_IGN || (kind === SIG_DFL && sigDefaultIgnored(sig));
}

/** Recomputes what `task.sigpending` says. */
export function recalcSigpending(task: Task): void {
  const { signal, pending } = task;
  const lo = (pending.lo | signal.pending.lo) & ~task.blockedLo;
  const hi = (pending.hi | signal.pending.hi) & ~task.blockedHi;
  const jobctl = task.jobctl & JOBCTL_PENDING_MASK;
  task.sigpending = lo !== 0 || hi !== 0 || signal.groupExit || jobctl !== 0;
}

/** Changes the mask of blocked signals; SIGKILL and SIGSTOP stay deliverable. */
export function setBlocked(task: Task, lo: number, hi: number): void {
  task.blockedLo = lo & ~UNBLOCKABLE;
  task.blockedHi = hi;
  recalcSigpending(task);
}

/** Makes `task` look at its signals before its next instruction. */
export function signalWakeUp(task: Task, fatal: boolean): void {
  task.sigpending = true;
  const { state } = task;
  if (state === TASK_INTERRUPTIBLE) task.wake();
  else if (fatal && state === TASK_KILLABLE) task.wake();
  else if (fatal && (state === TASK_STOPPED || state === TASK_TRACED)) task.makeRunnable();
}

/** As signalWakeUp(); `resume` ends a ptrace stop too. @linux ptrace_signal_wake_up */
export function ptraceSignalWakeUp(task: Task, resume: boolean): void {
  signalWakeUp(task, false);
  if (resume && task.state === TASK_TRACED) task.makeRunnable();
}

/** The process of a seized task stops or goes on. @linux ptrace_trap_notify */
function ptraceTrapNotify(task: Task): void {
  taskSetJobctlPending(task, JOBCTL_TRAP_NOTIFY);
  ptraceSignalWakeUp(task, (task.jobctl & JOBCTL_LISTENING) !== 0);
}

/** A siginfo with everything 0 that is not given. */
export function sigInfo(signo: number, code: number, more: Partial<SigInfo> = {}): SigInfo {
  return {
    signo,
    errno: 0,
    code,
    pid: 0,
    uid: 0,
    status: 0,
    addr: 0,
    valueLo: 0,
    valueHi: 0,
    timerId: 0,
    ...more,
  };
}

function dropPending(pending: SigPending, maskLo: number): void {
  if ((pending.lo & maskLo) === 0) return;
  pending.lo &= ~maskLo;
  const { infos } = pending;
  if (infos !== null) {
    pending.infos = infos.filter((info) => info.signo > 32 || (sigBit(info.signo) & maskLo) === 0);
  }
}

/** Effects of a signal at the time it is sent: stops cancel SIGCONT, SIGCONT resumes. @linux prepare_signal */
function prepareSignal(signal: SignalStruct, sig: number): void {
  if (sigDefaultStops(sig)) {
    dropPending(signal.pending, SIGCONT_BIT);
    for (const thread of signal.threads) dropPending(thread.pending, SIGCONT_BIT);
  } else if (sig === SIGCONT) prepareContinue(signal);
  else if (sig === SIGKILL) prepareKill(signal);
}

/** Stop signals and stops are forgotten; what has stopped runs again. */
function prepareContinue(signal: SignalStruct): void {
  dropPending(signal.pending, STOP_SIGNALS);
  for (const thread of signal.threads) {
    dropPending(thread.pending, STOP_SIGNALS);
    taskClearJobctlPending(thread, JOBCTL_STOP_PENDING);
    if (thread.ptrace?.seized === true) ptraceTrapNotify(thread);
    else if (thread.state === TASK_STOPPED) thread.makeRunnable();
    recalcSigpending(thread);
  }
  if (!signal.stopped && signal.groupStopCount === 0) return;
  // A stop that is not complete counts as if it had been.
  const why = signal.stopped ? CLD_CONTINUED : CLD_STOPPED;
  const { leader } = signal;
  notifyParentCldstop(leader, false, why);
  if (ptraceReparented(leader)) notifyParentCldstop(leader, true, why);
  endGroupStop(signal);
  signal.continuedReported = false;
  signal.stopReported = true;
}

/** No stop holds a process back from being killed. @linux complete_signal */
function prepareKill(signal: SignalStruct): void {
  dropPending(signal.pending, STOP_SIGNALS);
  endGroupStop(signal);
  for (const thread of signal.threads) {
    dropPending(thread.pending, STOP_SIGNALS);
    taskClearJobctlPending(thread, JOBCTL_PENDING_MASK);
  }
}

/** The process is no longer stopped. */
export function endGroupStop(signal: SignalStruct): void {
  signal.stopSignal = 0;
  signal.stopped = false;
  signal.groupStopCount = 0;
}

/** Whether a task is traced by another process than its parent. @linux include/linux/ptrace.h:ptrace_reparented */
export function ptraceReparented(task: Task): boolean {
  return task.ptrace !== null && task.ptrace.tracer.signal !== task.signal.parent;
}

function cldstopStatus(task: Task, why: number): number {
  if (why === CLD_CONTINUED) return SIGCONT;
  if (why === CLD_STOPPED) return task.signal.stopSignal;
  return task.ptraceStop!.exitCode & 0x7f;
}

/**
 * SIGCHLD about a stop or continue of `task` to its tracer, or of its process to the parent;
 * wait4() there looks again.
 * @param why CLD_STOPPED, CLD_CONTINUED or CLD_TRAPPED.
 * @linux do_notify_parent_cldstop
 */
export function notifyParentCldstop(task: Task, forPtracer: boolean, why: number): void {
  const about = forPtracer ? task : task.signal.leader;
  const parent = forPtracer ? task.ptrace!.tracer.signal : task.signal.parent;
  if (parent === null) return;
  const { sighand } = parent.leader;
  const wanted = (sigActionFlags(sighand, SIGCHLD) & SA_NOCLDSTOP) === 0;
  if (wanted && handlerKind(sighand, SIGCHLD) !== SIG_IGN) {
    const status = cldstopStatus(about, why);
    sendToGroup(parent, sigInfo(SIGCHLD, why, { pid: about.pid, uid: about.cred.uid, status }));
  }
  parent.waitChildExit?.wakeAll();
}

/** Whether the parent wants no zombie and maybe no signal from its children. */
export function parentIgnoresChildren(parent: SignalStruct): boolean {
  const { sighand } = parent.leader;
  return (
    handlerKind(sighand, SIGCHLD) === SIG_IGN ||
    (sigActionFlags(sighand, SIGCHLD) & SA_NOCLDWAIT) !== 0
  );
}

/** The thread of the group that takes a signal sent to all of them. @linux complete_signal */
function pickThread(signal: SignalStruct, sig: number): Task | null {
  for (const thread of signal.threads) {
    if (!sigismember(thread.blockedLo, thread.blockedHi, sig)) return thread;
  }
  return null;
}

/** Queues `info` in `pending`; its number alone when the queue is full. */
export function queueSignal(pending: SigPending, info: SigInfo, full: boolean): void {
  const { signo } = info;
  const already = sigismember(pending.lo, pending.hi, signo);
  if (already && signo < SIGRTMIN) return;
  sigaddset(pending, signo);
  if (signo === SIGKILL || full) return;
  if (pending.infos === null) pending.infos = [info];
  else pending.infos.push(info);
}

/**
 * Sends to one thread, or to the process as a whole when `toGroup`.
 * @returns 0, or -EAGAIN when the queue of real-time signals is full.
 * @linux __send_signal_locked
 */
export function sendSignal(target: Task, info: SigInfo, toGroup: boolean): number {
  const { signal, sighand } = target;
  const { signo } = info;
  if (signal.zombie || signal.groupExit) return 0;
  prepareSignal(signal, signo);
  const blocked = sigismember(target.blockedLo, target.blockedHi, signo);
  // What rt_sigtimedwait() waits for counts as blocked although it may wake the task.
  const saved = target.savedSigmask;
  const kept = blocked || (saved !== null && sigismember(saved.lo, saved.hi, signo));
  // A tracer is told of signals that are ignored, too.
  const ignored = !kept && target.ptrace === null && sigHandlerIgnored(sighand, signo);
  if (ignored && signo !== SIGKILL) return 0;
  // SIGKILL is for every thread, whichever it is sent to.
  const pending = toGroup || signo === SIGKILL ? signal.pending : target.pending;
  const queued = pending.infos === null ? 0 : pending.infos.length;
  const full = queued >= signal.limits.soft[RLIMIT_SIGPENDING]!;
  if (full && signo >= SIGRTMIN && info.code !== SI_USER) return -EAGAIN;
  queueSignal(pending, info, full && signo >= SIGRTMIN);
  if (signo === SIGKILL) {
    for (const thread of signal.threads) signalWakeUp(thread, true);
    return 0;
  }
  const thread = toGroup ? pickThread(signal, signo) : blocked ? null : target;
  if (thread !== null) signalWakeUp(thread, false);
  return 0;
}

/** Sends to a process. @returns as sendSignal(). */
export function sendToGroup(signal: SignalStruct, info: SigInfo): number {
  return sendSignal(signal.leader, info, true);
}

/** From the kernel itself: the terminal, a timer, the OOM killer, the host. */
export function killProcess(signal: SignalStruct, sig: number): void {
  sendToGroup(signal, sigInfo(sig, SI_KERNEL));
}

/** Calls `visit` for each process of a process group. */
export function forEachInGroup(
  kernel: Kernel,
  pgrp: number,
  visit: (signal: SignalStruct) => void,
): void {
  for (const task of [...kernel.tasks.values()]) {
    if (task.pid === task.tgid && task.signal.pgrp === pgrp) visit(task.signal);
  }
}

/** Sends a signal to a whole process group: ^C on the terminal. */
export function killProcessGroup(kernel: Kernel, pgrp: number, sig: number): void {
  forEachInGroup(kernel, pgrp, (signal) => killProcess(signal, sig));
}

/**
 * A signal the instruction at pc caused: it cannot be ignored or left blocked.
 * @linux force_sig_info_to_task
 */
export function forceSignal(task: Task, info: SigInfo): void {
  const { sighand } = task;
  const { signo } = info;
  const blocked = sigismember(task.blockedLo, task.blockedHi, signo);
  if (blocked || handlerKind(sighand, signo) === SIG_IGN) {
    resetSigaction(sighand, signo);
    const mask = { lo: task.blockedLo, hi: task.blockedHi };
    sigdelset(mask, signo);
    setBlocked(task, mask.lo, mask.hi);
  }
  queueSignal(task.pending, info, false);
  task.sigpending = true;
}

/** kill(2)'s siginfo. */
export function userSigInfo(
  from: Task,
  sig: number,
  code: typeof SI_USER | typeof SI_TKILL,
): SigInfo {
  return sigInfo(sig, code, { pid: from.tgid, uid: from.cred.uid });
}

/** Whether `sig` ends the whole process at once, without a core. @linux include/linux/signal.h:sig_fatal */
function sigFatal(sighand: SighandStruct, sig: number): boolean {
  if (sigDefaultIgnored(sig) || sigDefaultStops(sig) || sigDumpsCore(sig)) return false;
  return handlerKind(sighand, sig) === SIG_DFL;
}

/** Whether a process ends before it runs another instruction. Linux says so by SIGNAL_GROUP_EXIT as soon as the signal is sent. */
export function isDying(signal: SignalStruct): boolean {
  if (signal.groupExit) return true;
  for (const { pending, blockedLo, blockedHi, sighand, ptrace } of signal.threads) {
    let lo = (pending.lo | signal.pending.lo) & ~blockedLo;
    let hi = (pending.hi | signal.pending.hi) & ~blockedHi;
    for (let sig = firstSignal(lo, hi); sig !== 0; sig = firstSignal(lo, hi)) {
      if (sig === SIGKILL || (ptrace === null && sigFatal(sighand, sig))) return true;
      if (sig <= 32) lo &= ~sigBit(sig);
      else hi &= ~sigBit(sig);
    }
  }
  return false;
}

/** Takes the siginfo of `sig` off the queue, and the signal out of the set unless more are queued. */
function collectSignal(pending: SigPending, sig: number): SigInfo {
  const { infos } = pending;
  let found: SigInfo | undefined;
  if (infos !== null) {
    const at = infos.findIndex((info) => info.signo === sig);
    if (at >= 0) {
      found = infos[at];
      infos.splice(at, 1);
    }
    if (infos.some((info) => info.signo === sig)) return found!;
  }
  sigdelset(pending, sig);
  return found ?? sigInfo(sig, SI_USER);
}

/**
 * Takes the next signal that is not in the given mask off the queues: the task's own first,
 * faults before others, low numbers before high.
 * @returns null if there is none.
 */
export function dequeueSignal(task: Task, maskLo: number, maskHi: number): SigInfo | null {
  const own = task.pending;
  const shared = task.signal.pending;
  let pending = own;
  let sig = firstSignal(own.lo & ~maskLo & SYNCHRONOUS_SIGNALS, 0);
  if (sig === 0) sig = firstSignal(own.lo & ~maskLo, own.hi & ~maskHi);
  if (sig === 0) {
    pending = shared;
    sig = firstSignal(shared.lo & ~maskLo, shared.hi & ~maskHi);
  }
  if (sig === 0) return null;
  const info = collectSignal(pending, sig);
  recalcSigpending(task);
  return info;
}

/** Forgets pending signals that are now ignored, after a change of action. */
export function flushIgnored(task: Task, sig: number): void {
  const set = { lo: 0, hi: 0 };
  sigaddset(set, sig);
  const drop = (pending: SigPending): void => {
    pending.lo &= ~set.lo;
    pending.hi &= ~set.hi;
    if (pending.infos !== null) pending.infos = pending.infos.filter((i) => i.signo !== sig);
  };
  drop(task.signal.pending);
  for (const thread of task.signal.threads) drop(thread.pending);
}

/** A stop of the whole process begins; every thread joins it as it next looks at its signals. */
function beginGroupStop(task: Task, sig: number): void {
  const { signal } = task;
  if (!signal.stopped) signal.stopSignal = sig;
  signal.groupStopCount = 0;
  if (taskSetJobctlPending(task, sig | JOBCTL_GSTOP)) signal.groupStopCount++;
  for (const thread of signal.threads) {
    if (thread === task || thread.state === TASK_STOPPED) continue;
    if (!taskSetJobctlPending(thread, sig | JOBCTL_GSTOP)) continue;
    signal.groupStopCount++;
    if (thread.ptrace?.seized === true) ptraceTrapNotify(thread);
    else signalWakeUp(thread, false);
  }
}

/**
 * Stops the current task with its process; the last thread to stop tells the parent. A traced
 * task is to trap instead.
 * @param sig the signal that stops the process; 0: the stop has begun already.
 * @returns whether the task has stopped.
 * @linux do_signal_stop
 */
export function doSignalStop(task: Task, sig: number): boolean {
  if ((task.jobctl & JOBCTL_STOP_PENDING) === 0) {
    if ((task.jobctl & JOBCTL_STOP_DEQUEUED) === 0 || task.signal.groupExit) return false;
    beginGroupStop(task, sig);
  }
  if (task.ptrace !== null) {
    if (taskSetJobctlPending(task, JOBCTL_TRAP_STOP)) task.sigpending = true;
    return false;
  }
  const done = taskParticipateGroupStop(task);
  task.state = TASK_STOPPED;
  if (done) notifyParentCldstop(task, false, CLD_STOPPED);
  return true;
}

/** Whether `pgrp` has no member with a parent in the same session outside it: its stops would never end. */
export function isOrphanedGroup(kernel: Kernel, pgrp: number): boolean {
  for (const task of kernel.tasks.values()) {
    const { signal } = task;
    if (task.pid !== task.tgid || signal.pgrp !== pgrp || signal.zombie) continue;
    const { parent } = signal;
    if (parent !== null && parent.pgrp !== pgrp && parent.session === signal.session) return false;
  }
  return true;
}
