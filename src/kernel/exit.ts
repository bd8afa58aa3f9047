/**
 * The end of tasks and processes, and wait4() for them.
 *
 * @linux kernel/exit.c
 */

import { WaitQueue } from '../lib/wait_queue.ts';
import type { MmStruct } from '../mm/mm_types.ts';
import { ECHILD } from '../uapi/errno.ts';
import { PTRACE_EVENT_EXIT, PTRACE_O_EXITKILL } from '../uapi/ptrace.ts';
import {
  CLD_CONTINUED,
  CLD_DUMPED,
  CLD_EXITED,
  CLD_KILLED,
  CLD_STOPPED,
  CLD_TRAPPED,
  SIGCHLD,
  SIGCONT,
  SIGHUP,
  SIGKILL,
  SI_KERNEL,
} from '../uapi/signal.ts';
import {
  P_PGID,
  P_PID,
  WCONTINUED,
  WCOREFLAG,
  WALL,
  WCLONE,
  WEXITED,
  WNOHANG,
  WNOTHREAD,
  WNOWAIT,
  WSTOPPED,
  W_CONTINUED,
  W_STOPPED,
} from '../uapi/wait.ts';
import { futexCancel } from './futex.ts';
import { JOBCTL_LISTENING, JOBCTL_STOP_PENDING, taskParticipateGroupStop } from './jobctl.ts';
import type { Kernel } from './kernel.ts';
import { mmRelease, mmputTask } from './mm_release.ts';
import { ptraceUnlink } from './ptrace.ts';
import { ptraceEvent } from './ptrace_stop.ts';
import { NO_RETURN, accountRuntime, sleepInterruptible } from './sched.ts';
import {
  endGroupStop,
  forEachInGroup,
  isOrphanedGroup,
  killProcess,
  killProcessGroup,
  notifyParentCldstop,
  parentIgnoresChildren,
  ptraceReparented,
  sendSignal,
  sendToGroup,
  sigInfo,
  signalWakeUp,
} from './signal.ts';
import {
  EXIT_DEAD,
  EXIT_ZOMBIE,
  RESUME_EXIT,
  TASK_TRACED,
  linkChild,
  unlinkChild,
  type SigInfo,
  type SignalStruct,
  type Task,
} from './task.ts';

/** The ancestor that adopts orphans of `signal`; null is the host. */
function findReaper(signal: SignalStruct): SignalStruct | null {
  for (let s = signal.parent; s !== null; s = s.parent) {
    if (s.subreaper && !s.groupExit && !s.zombie) return s;
  }
  return null;
}

/** Children of a process that ends get a new parent; zombies among them are reaped or announced. @linux forget_original_parent */
function reparentChildren(kernel: Kernel, signal: SignalStruct): void {
  if (signal.firstChild === null) return;
  const reaper = findReaper(signal);
  for (let child = signal.firstChild; child !== null; child = signal.firstChild) {
    unlinkChild(child);
    linkChild(reaper, child);
    const { leader } = child;
    if (leader.pdeathSignal !== 0) killProcess(child, leader.pdeathSignal);
    leader.exitSignal = SIGCHLD;
    child.parentTask = null;
    if (child.zombie) {
      if (leader.ptrace === null && child.zombieThreads === 0) notifyParent(kernel, child);
    } else hangUpOrphans(kernel, child.pgrp, signal);
  }
}

/** SIGHUP and SIGCONT for a stopped process group that has just lost its last link to its session. */
function hangUpOrphans(kernel: Kernel, pgrp: number, leaving: SignalStruct): void {
  if (pgrp === leaving.pgrp || !isOrphanedGroup(kernel, pgrp)) return;
  let stopped = false;
  forEachInGroup(kernel, pgrp, (member) => {
    if (member.stopped) stopped = true;
  });
  if (!stopped) return;
  killProcessGroup(kernel, pgrp, SIGHUP);
  killProcessGroup(kernel, pgrp, SIGCONT);
}

function exitSigInfo(task: Task, signo: number, status: number): SigInfo {
  const killed = status & 0x7f;
  const code = killed === 0 ? CLD_EXITED : (status & WCOREFLAG) !== 0 ? CLD_DUMPED : CLD_KILLED;
  return sigInfo(signo, code, {
    pid: task.pid,
    uid: task.cred.uid,
    status: killed === 0 ? (status >> 8) & 0xff : killed,
  });
}

/**
 * A process has ended: tells its parent, or reaps it when nobody will wait. While it is traced
 * the tracer is told, and the parent only after the tracer.
 * @linux do_notify_parent
 */
function notifyParent(kernel: Kernel, signal: SignalStruct): void {
  const { parent, leader } = signal;
  const sig = leader.exitSignal;
  leader.threadPid?.waitPidfd.wakeAll();
  if (leader.ptrace !== null) {
    notifyTracer(leader, ptraceReparented(leader) ? SIGCHLD : sig);
    return;
  }
  if (parent === null) {
    releaseProcess(kernel, signal);
    return;
  }
  const ignored = signal.autoreap || (sig === SIGCHLD && parentIgnoresChildren(parent));
  if (sig > 0 && !signal.autoreap) sendToGroup(parent, exitSigInfo(leader, sig, signal.exitCode));
  if (ignored) releaseProcess(kernel, signal);
  parent.waitChildExit?.wakeAll();
}

/** A tracee has ended. Its tracer's wait() reaps it, however SIGCHLD is handled. */
function notifyTracer(task: Task, sig: number): void {
  const { signal } = task.ptrace!.tracer;
  if (sig > 0) sendToGroup(signal, exitSigInfo(task, sig, task.exitCode));
  signal.waitChildExit?.wakeAll();
}

/** The task's number means nothing any more; pidfds keep the status it ended with. @linux kernel/exit.c:__unhash_process */
export function detachPid(task: Task, exitCode: number): void {
  const pid = task.threadPid;
  if (pid === null) return;
  task.threadPid = null;
  pid.task = null;
  pid.exitCode = exitCode;
  pid.waitPidfd.wakeAll();
}

/** Removes a zombie: its pid is free. @linux release_task */
function releaseProcess(kernel: Kernel, signal: SignalStruct): void {
  unlinkChild(signal);
  const { leader } = signal;
  if (leader.ptrace !== null) ptraceUnlink(leader);
  leader.state = EXIT_DEAD;
  detachPid(leader, signal.exitCode);
  kernel.tasks.delete(signal.tgid);
  kernel.recycleRegs(leader.regs);
}

/** Stops timers of a process whose last thread is gone. */
function exitTimers(kernel: Kernel, signal: SignalStruct): void {
  for (const itimer of signal.itimers ?? [])
    if (itimer !== null) kernel.timers.cancel(itimer.timer);
  for (const timer of signal.posixTimers ?? []) kernel.timers.cancel(timer.timer);
  signal.itimers = null;
  signal.posixTimers = null;
}

/** Usage of an address space that the process is the last to leave, for getrusage(). */
function keepUsage(signal: SignalStruct, mm: MmStruct): void {
  if (mm.users !== 0) return;
  if (mm.hiwaterRss > signal.maxRss) signal.maxRss = mm.hiwaterRss;
  signal.minorFaults += mm.minorFaults;
  signal.majorFaults += mm.majorFaults;
}

/**
 * Ends one task; `code` is a wait status. The task is off the hart afterwards.
 * @linux kernel/exit.c:do_exit
 */
export function doExit(kernel: Kernel, task: Task, code: number): void {
  const { signal } = task;
  if (kernel.current === task) accountRuntime(kernel);
  if (task.sysState !== null) {
    futexCancel(kernel, task);
    task.sysState = null;
  }
  task.leaveQueues();
  kernel.runQueue.remove(task);
  if (task.sleepTimer !== null) kernel.timers.cancel(task.sleepTimer);
  task.exitCode = code;
  const mm = task.mm!;
  mmRelease(kernel, task);
  mmputTask(kernel, task);
  keepUsage(signal, mm);
  task.files.put();
  task.fs.put();
  task.sighand.users--;
  signal.sumRuntime += task.runtime;
  const { threads } = signal;
  threads.splice(threads.indexOf(task), 1);
  const lastThread = threads.length === 0;
  if (kernel.current === task) kernel.current = null;
  task.ptraceStop = null;
  task.state = EXIT_ZOMBIE;
  leaveGroupStop(task);
  exitPtrace(kernel, task);
  if (task.ptrace === null) {
    if (task !== signal.leader) releaseThread(kernel, task);
  } else if (task !== signal.leader) {
    signal.zombieThreads++;
    notifyTracer(task, SIGCHLD);
  } else if (!lastThread) notifyTracer(task, SIGCHLD);
  if (lastThread) exitProcess(kernel, signal, code);
}

/** A stop of the process does not wait for a thread that ends. @linux kernel/signal.c:exit_signals */
function leaveGroupStop(task: Task): void {
  const { signal, jobctl } = task;
  if ((jobctl & JOBCTL_STOP_PENDING) === 0 || signal.groupExit) return;
  if (taskParticipateGroupStop(task)) notifyParentCldstop(task, false, CLD_STOPPED);
}

/** A thread that is not the leader leaves nothing behind. */
function releaseThread(kernel: Kernel, task: Task): void {
  task.state = EXIT_DEAD;
  if (task.ptrace !== null) ptraceUnlink(task);
  detachPid(task, task.exitCode);
  kernel.tasks.delete(task.pid);
  kernel.recycleRegs(task.regs);
}

/** A thread that its tracer has kept as a zombie goes; the process may have waited for that. @linux release_task */
function releaseZombieThread(kernel: Kernel, task: Task): void {
  const { signal } = task;
  releaseThread(kernel, task);
  signal.zombieThreads--;
  if (signal.zombie && signal.zombieThreads === 0) notifyParent(kernel, signal);
}

/**
 * Lets go of a tracee. A zombie among them is reaped, or announced to its parent, as it would
 * have been without the tracer.
 * @linux kernel/ptrace.c:__ptrace_detach
 */
export function ptraceDetachTask(kernel: Kernel, tracer: Task, task: Task): void {
  ptraceUnlink(task);
  if (task.state !== EXIT_ZOMBIE) return;
  const { signal } = task;
  if (task !== signal.leader) releaseZombieThread(kernel, task);
  else if (!signal.zombie || signal.zombieThreads !== 0) return;
  else if (signal.parent !== tracer.signal) notifyParent(kernel, signal);
  else if (signal.autoreap || parentIgnoresChildren(tracer.signal)) {
    tracer.signal.waitChildExit?.wakeAll();
    releaseProcess(kernel, signal);
  }
}

/** A tracer ends: its tracees run on, or are killed if it asked for that. @linux kernel/ptrace.c:exit_ptrace */
function exitPtrace(kernel: Kernel, tracer: Task): void {
  if (tracer.ptraced === null) return;
  for (const task of [...tracer.ptraced]) {
    if ((task.ptrace!.options & PTRACE_O_EXITKILL) !== 0) {
      sendSignal(task, sigInfo(SIGKILL, SI_KERNEL), false);
    }
    ptraceDetachTask(kernel, tracer, task);
  }
  tracer.ptraced = null;
}

/** The last thread of a process is gone: without an exit_group() its status is the process's. */
function exitProcess(kernel: Kernel, signal: SignalStruct, code: number): void {
  if (!signal.groupExit) {
    signal.groupExit = true;
    signal.exitCode = code;
  }
  exitTimers(kernel, signal);
  reparentChildren(kernel, signal);
  signal.zombie = true;
  signal.onExit?.wakeAll();
  if (signal.zombieThreads === 0) notifyParent(kernel, signal);
}

/** The end of one task, after its tracer has been told if it wants to know. */
function exitTask(kernel: Kernel, task: Task, code: number): void {
  const stop = ptraceEvent(task, PTRACE_EVENT_EXIT, code, RESUME_EXIT);
  if (stop !== null) stop.code = code;
  else doExit(kernel, task, code);
}

/**
 * Ends the whole process from one of its threads: the others die as they next look at their
 * signals, which this makes them do.
 * @linux kernel/exit.c:do_group_exit
 */
export function doGroupExit(kernel: Kernel, task: Task, code: number): void {
  const { signal } = task;
  if (!signal.groupExit) {
    signal.groupExit = true;
    signal.exitCode = code;
    endGroupStop(signal);
    for (const thread of signal.threads) if (thread !== task) signalWakeUp(thread, true);
  }
  exitTask(kernel, task, signal.exitCode);
}

/** exit(2): this thread only; it may stop for its tracer first. @returns NO_RETURN. */
export function sysExit(kernel: Kernel, task: Task, code: number): number {
  exitTask(kernel, task, (code & 0xff) << 8);
  return NO_RETURN;
}

/** exit_group(2). @returns NO_RETURN. */
export function sysExitGroup(kernel: Kernel, task: Task, code: number): number {
  doGroupExit(kernel, task, (code & 0xff) << 8);
  return NO_RETURN;
}

/** Which children a wait is for, and what to do about them. */
export interface WaitOpts {
  /** P_ALL, P_PID or P_PGID with `id`. */
  readonly idType: number;
  readonly id: number;
  /** WNOHANG, WEXITED, WSTOPPED, WCONTINUED, WNOWAIT, WALL, WCLONE. */
  readonly options: number;
}

/** What a wait found. One per kernel call, filled in by doWait(). */
export class WaitResult {
  pid = 0;
  uid = 0;
  /** Wait status as wait4() stores it. */
  status = 0;
  /** CLD_* and si_status for waitid(). */
  code = 0;
  cause = 0;
  /** For struct rusage. */
  runtime = 0;
  maxRss = 0;
  minorFaults = 0;
  majorFaults = 0;
}

/** A child whose end is not told by SIGCHLD is found with __WCLONE or __WALL only; a tracee always. @linux eligible_child */
function eligible(child: Task, traced: boolean, opts: WaitOpts): boolean {
  if (opts.idType === P_PID && child.pid !== opts.id) return false;
  if (opts.idType === P_PGID && child.signal.pgrp !== opts.id) return false;
  if (traced || (opts.options & WALL) !== 0) return true;
  const isClone = child.exitSignal !== SIGCHLD;
  return isClone === ((opts.options & WCLONE) !== 0);
}

function childUsage(child: SignalStruct, out: WaitResult): void {
  out.runtime = child.sumRuntime + child.childrenRuntime;
  out.maxRss = Math.max(child.maxRss, child.childrenMaxRss);
  out.minorFaults = child.minorFaults + child.childrenMinorFaults;
  out.majorFaults = child.majorFaults + child.childrenMajorFaults;
}

/** Usage of a child that is reaped counts as its parent's. */
function keepChildUsage(parent: SignalStruct, used: WaitResult): void {
  parent.childrenRuntime += used.runtime;
  parent.childrenMinorFaults += used.minorFaults;
  parent.childrenMajorFaults += used.majorFaults;
  if (used.maxRss > parent.childrenMaxRss) parent.childrenMaxRss = used.maxRss;
}

/** @linux wait_task_zombie */
function reapZombie(kernel: Kernel, child: Task, opts: WaitOpts, out: WaitResult): void {
  const { signal } = child;
  const status = signal.groupExit ? signal.exitCode : child.exitCode;
  const info = exitSigInfo(child, SIGCHLD, status);
  out.pid = child.pid;
  out.uid = info.uid;
  out.status = status;
  out.code = info.code;
  out.cause = info.status;
  childUsage(signal, out);
  if ((opts.options & WNOWAIT) !== 0) return;
  if (child !== signal.leader) {
    releaseZombieThread(kernel, child);
  } else if (ptraceReparented(child)) {
    // Its parent has not been told yet.
    ptraceUnlink(child);
    notifyParent(kernel, signal);
  } else {
    keepChildUsage(signal.parent!, out);
    releaseProcess(kernel, signal);
  }
}

function putStopped(child: Task, status: number, out: WaitResult): boolean {
  out.pid = child.pid;
  out.uid = child.cred.uid;
  out.status = status;
  return true;
}

/** A stop that the tracer has not seen yet. @linux wait_task_stopped with ptrace */
function reportTraced(child: Task, opts: WaitOpts, out: WaitResult): boolean {
  const stop = child.ptraceStop;
  if (child.state !== TASK_TRACED || stop === null || stop.exitCode === 0) return false;
  if ((child.jobctl & JOBCTL_LISTENING) !== 0) return false;
  out.code = CLD_TRAPPED;
  out.cause = stop.exitCode;
  if ((opts.options & WNOWAIT) === 0) stop.exitCode = 0;
  return putStopped(child, (out.cause << 8) | W_STOPPED, out);
}

/** @linux wait_task_stopped */
function reportStopped(child: Task, opts: WaitOpts, out: WaitResult): boolean {
  const { signal } = child;
  if ((opts.options & WSTOPPED) === 0 || !signal.stopped || signal.stopReported) return false;
  signal.stopReported = (opts.options & WNOWAIT) === 0;
  out.code = CLD_STOPPED;
  out.cause = signal.stopSignal;
  return putStopped(child, (signal.stopSignal << 8) | W_STOPPED, out);
}

/** @linux wait_task_continued */
function reportContinued(child: Task, opts: WaitOpts, out: WaitResult): boolean {
  const { signal } = child;
  if ((opts.options & WCONTINUED) === 0 || signal.continuedReported) return false;
  signal.continuedReported = (opts.options & WNOWAIT) === 0;
  out.code = CLD_CONTINUED;
  out.cause = SIGCONT;
  return putStopped(child, W_CONTINUED, out);
}

/** What considerChild() has found. */
const NOT_MINE = 0;
const NO_NEWS = 1;
const NEWS = 2;

/**
 * Looks at one child, or at one tracee when `traced`.
 * @returns NEWS with `out` filled in, NO_NEWS if there may be some later, NOT_MINE.
 * @linux wait_consider_child
 */
function considerChild(
  kernel: Kernel,
  child: Task,
  traced: boolean,
  opts: WaitOpts,
  out: WaitResult,
): number {
  if (!eligible(child, traced, opts)) return NOT_MINE;
  const { signal, ptrace } = child;
  // A child that its parent traces itself shows its ptrace stops only.
  const asTracer = traced || (ptrace !== null && !ptraceReparented(child));
  let later = true;
  if (child.state === EXIT_ZOMBIE) {
    const waits = child === signal.leader && (!signal.zombie || signal.zombieThreads !== 0);
    if (!waits && (asTracer || ptrace === null) && (opts.options & WEXITED) !== 0) {
      reapZombie(kernel, child, opts, out);
      return NEWS;
    }
    later = !asTracer || (opts.options & (WCONTINUED | WEXITED)) !== 0;
  }
  const stopped = asTracer ? reportTraced(child, opts, out) : reportStopped(child, opts, out);
  if (stopped || reportContinued(child, opts, out)) return NEWS;
  return later ? NO_NEWS : NOT_MINE;
}

/** News of the calling process's children. @returns as considerChild(). @linux do_wait_thread */
function waitChildren(
  kernel: Kernel,
  signal: SignalStruct,
  opts: WaitOpts,
  out: WaitResult,
): number {
  let found = NOT_MINE;
  for (let child = signal.firstChild; child !== null; child = child.siblingNext) {
    const news = considerChild(kernel, child.leader, false, opts, out);
    if (news === NEWS) return NEWS;
    if (news === NO_NEWS) found = NO_NEWS;
  }
  return found;
}

/** News of those it traces. @linux ptrace_do_wait */
function waitTracees(kernel: Kernel, task: Task, opts: WaitOpts, out: WaitResult): number {
  let found = NOT_MINE;
  const tracers = (opts.options & WNOTHREAD) === 0 ? task.signal.threads : [task];
  for (const { ptraced } of tracers) {
    for (const tracee of ptraced ?? []) {
      const news = considerChild(kernel, tracee, true, opts, out);
      if (news === NEWS) return NEWS;
      if (news === NO_NEWS) found = NO_NEWS;
    }
  }
  return found;
}

/**
 * Looks for a child or tracee that has changed state and takes the news off it.
 * @returns its pid with `out` filled in, 0 under WNOHANG if there is none yet, SLEEP, -ECHILD
 *   when there is no such child, -ERESTARTSYS.
 * @linux kernel/exit.c:do_wait
 */
export function doWait(kernel: Kernel, task: Task, opts: WaitOpts, out: WaitResult): number {
  const { signal } = task;
  const children = waitChildren(kernel, signal, opts, out);
  if (children === NEWS) return out.pid;
  const tracees = waitTracees(kernel, task, opts, out);
  if (tracees === NEWS) return out.pid;
  if (children === NOT_MINE && tracees === NOT_MINE) return -ECHILD;
  if ((opts.options & WNOHANG) !== 0) return 0;
  signal.waitChildExit ??= new WaitQueue();
  task.waitOn(signal.waitChildExit);
  return sleepInterruptible(task);
}

/** Kills every process, as the host switches the machine off. No guest code runs after it. */
export function killAll(kernel: Kernel): void {
  for (const task of [...kernel.tasks.values()]) {
    if (task.state === EXIT_ZOMBIE || task.state === EXIT_DEAD) continue;
    task.signal.groupExit = true;
    task.signal.exitCode = SIGKILL;
    doExit(kernel, task, SIGKILL);
  }
  for (const task of [...kernel.tasks.values()]) {
    if (task.signal.zombie) releaseProcess(kernel, task.signal);
  }
  kernel.log.printk(kernel.clock.now(), 'machine halted');
}
