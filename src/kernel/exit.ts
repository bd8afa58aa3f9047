/**
 * The end of tasks and processes, and wait4() for them.
 *
 * @linux kernel/exit.c
 */

import { WaitQueue } from '../lib/wait_queue.ts';
import type { MmStruct } from '../mm/mm_types.ts';
import { ECHILD } from '../uapi/errno.ts';
import {
  CLD_CONTINUED,
  CLD_DUMPED,
  CLD_EXITED,
  CLD_KILLED,
  CLD_STOPPED,
  SIGCHLD,
  SIGCONT,
  SIGHUP,
  SIGKILL,
} from '../uapi/signal.ts';
import {
  P_ALL,
  P_PGID,
  P_PID,
  WCONTINUED,
  WCOREFLAG,
  WALL,
  WCLONE,
  WEXITED,
  WNOHANG,
  WNOWAIT,
  WSTOPPED,
  W_CONTINUED,
  W_STOPPED,
} from '../uapi/wait.ts';
import { futexCancel } from './futex.ts';
import type { Kernel } from './kernel.ts';
import { mmRelease, mmputTask } from './mm_release.ts';
import { NO_RETURN, accountRuntime, sleepInterruptible } from './sched.ts';
import {
  forEachInGroup,
  isOrphanedGroup,
  killProcess,
  killProcessGroup,
  parentIgnoresChildren,
  sendToGroup,
  sigInfo,
  signalWakeUp,
} from './signal.ts';
import {
  EXIT_DEAD,
  EXIT_ZOMBIE,
  linkChild,
  unlinkChild,
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
    if (child.zombie) notifyParent(kernel, child);
    else hangUpOrphans(kernel, child.pgrp, signal);
  }
}

/** SIGHUP and SIGCONT for a stopped process group that has just lost its last link to its session. */
function hangUpOrphans(kernel: Kernel, pgrp: number, leaving: SignalStruct): void {
  if (pgrp === leaving.pgrp || !isOrphanedGroup(kernel, pgrp)) return;
  let stopped = false;
  forEachInGroup(kernel, pgrp, (member) => {
    if (member.stopSignal !== 0) stopped = true;
  });
  if (!stopped) return;
  killProcessGroup(kernel, pgrp, SIGHUP);
  killProcessGroup(kernel, pgrp, SIGCONT);
}

function exitSigInfo(signal: SignalStruct, signo: number): ReturnType<typeof sigInfo> {
  const status = signal.exitCode;
  const killed = status & 0x7f;
  const code = killed === 0 ? CLD_EXITED : (status & WCOREFLAG) !== 0 ? CLD_DUMPED : CLD_KILLED;
  return sigInfo(signo, code, {
    pid: signal.tgid,
    uid: signal.leader.cred.uid,
    status: killed === 0 ? (status >> 8) & 0xff : killed,
  });
}

/** A process has ended: tells its parent, or reaps it when nobody will wait. @linux do_notify_parent */
function notifyParent(kernel: Kernel, signal: SignalStruct): void {
  const { parent, leader } = signal;
  if (parent === null) {
    releaseProcess(kernel, signal);
    return;
  }
  const sig = leader.exitSignal;
  const ignored = sig === SIGCHLD && parentIgnoresChildren(parent);
  if (sig > 0) sendToGroup(parent, exitSigInfo(signal, sig));
  if (ignored) releaseProcess(kernel, signal);
  parent.waitChildExit?.wakeAll();
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
  task.state = EXIT_ZOMBIE;
  if (task !== signal.leader) releaseThread(kernel, task);
  if (lastThread) exitProcess(kernel, task, code);
}

/** A thread that is not the leader leaves nothing behind. */
function releaseThread(kernel: Kernel, task: Task): void {
  task.state = EXIT_DEAD;
  detachPid(task, task.exitCode);
  kernel.tasks.delete(task.pid);
  kernel.recycleRegs(task.regs);
}

/** The last thread of a process is gone. */
function exitProcess(kernel: Kernel, task: Task, code: number): void {
  const { signal } = task;
  if (!signal.groupExit) {
    signal.groupExit = true;
    signal.exitCode = signal.leader.exitCode;
    if (task === signal.leader) signal.exitCode = code;
  }
  exitTimers(kernel, signal);
  reparentChildren(kernel, signal);
  signal.zombie = true;
  signal.onExit?.wakeAll();
  signal.leader.threadPid?.waitPidfd.wakeAll();
  notifyParent(kernel, signal);
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
    signal.stopSignal = 0;
    for (const thread of signal.threads) if (thread !== task) signalWakeUp(thread, true);
  }
  doExit(kernel, task, signal.exitCode);
}

/** exit(2): this thread only. @returns NO_RETURN. */
export function sysExit(kernel: Kernel, task: Task, code: number): number {
  doExit(kernel, task, (code & 0xff) << 8);
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

/** A child whose end is not told by SIGCHLD is found with __WCLONE or __WALL only. @linux eligible_child */
function eligible(child: SignalStruct, opts: WaitOpts): boolean {
  const isClone = child.leader.exitSignal !== SIGCHLD;
  if ((opts.options & WALL) === 0 && isClone !== ((opts.options & WCLONE) !== 0)) return false;
  if (opts.idType === P_ALL) return true;
  if (opts.idType === P_PID) return child.tgid === opts.id;
  return opts.idType === P_PGID && child.pgrp === opts.id;
}

/** @linux wait_task_zombie */
function reapZombie(kernel: Kernel, child: SignalStruct, opts: WaitOpts, out: WaitResult): void {
  const info = exitSigInfo(child, SIGCHLD);
  out.pid = child.tgid;
  out.uid = info.uid;
  out.status = child.exitCode;
  out.code = info.code;
  out.cause = info.status;
  out.runtime = child.sumRuntime + child.childrenRuntime;
  out.maxRss = Math.max(child.maxRss, child.childrenMaxRss);
  out.minorFaults = child.minorFaults + child.childrenMinorFaults;
  out.majorFaults = child.majorFaults + child.childrenMajorFaults;
  if ((opts.options & WNOWAIT) !== 0) return;
  const parent = child.parent!;
  parent.childrenRuntime += out.runtime;
  parent.childrenMinorFaults += out.minorFaults;
  parent.childrenMajorFaults += out.majorFaults;
  if (out.maxRss > parent.childrenMaxRss) parent.childrenMaxRss = out.maxRss;
  releaseProcess(kernel, child);
}

/** @linux wait_task_stopped, wait_task_continued */
function reportStopped(child: SignalStruct, opts: WaitOpts, out: WaitResult): boolean {
  const { options } = opts;
  const keep = (options & WNOWAIT) !== 0;
  if ((options & WSTOPPED) !== 0 && child.stopSignal !== 0 && !child.stopReported) {
    child.stopReported = !keep;
    out.status = (child.stopSignal << 8) | W_STOPPED;
    out.code = CLD_STOPPED;
    out.cause = child.stopSignal;
  } else if ((options & WCONTINUED) !== 0 && !child.continuedReported) {
    child.continuedReported = !keep;
    out.status = W_CONTINUED;
    out.code = CLD_CONTINUED;
    out.cause = SIGCONT;
  } else return false;
  out.pid = child.tgid;
  out.uid = child.leader.cred.uid;
  return true;
}

/**
 * Looks for a child that has changed state and takes the news off it.
 * @returns its pid with `out` filled in, 0 under WNOHANG if there is none yet, SLEEP, -ECHILD
 *   when there is no such child, -ERESTARTSYS.
 * @linux kernel/exit.c:do_wait
 */
export function doWait(kernel: Kernel, task: Task, opts: WaitOpts, out: WaitResult): number {
  const { signal } = task;
  let found = false;
  for (let child = signal.firstChild; child !== null; child = child.siblingNext) {
    if (!eligible(child, opts)) continue;
    found = true;
    if (child.zombie && (opts.options & WEXITED) !== 0) {
      reapZombie(kernel, child, opts, out);
      return out.pid;
    }
    if (!child.zombie && reportStopped(child, opts, out)) return out.pid;
  }
  if (!found) return -ECHILD;
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
