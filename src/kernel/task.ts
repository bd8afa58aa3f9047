/**
 * Tasks and what they share. A task that sleeps holds no stack: its system call is run again
 * from the start when it wakes, so a "sleep" is a state, the queues it stands in, and
 * whatever the call keeps in `sysState`.
 *
 * @linux include/linux/sched.h, include/linux/sched/signal.h
 */

import { newRegs, type Regs } from '../arch/riscv/hart_state.ts';
import type { FdTable, FsStruct } from '../fs/fs_types.ts';
import { WaitQueue, type Waiter } from '../lib/wait_queue.ts';
import type { MmLimits, MmStruct } from '../mm/mm_types.ts';
import { RLIMIT_AS, RLIMIT_DATA, RLIMIT_MEMLOCK, RLIMIT_STACK } from '../uapi/resource.ts';
import type { Timer } from './time.ts';

/** On the run queue, or on the hart. */
export const TASK_RUNNING = 0;
/** Asleep until woken or signalled. */
export const TASK_INTERRUPTIBLE = 1;
/** Asleep until woken or killed (a vfork parent). */
export const TASK_KILLABLE = 2;
/** Stopped by a job-control signal. */
export const TASK_STOPPED = 4;
/** Stopped for its tracer. */
export const TASK_TRACED = 8;
/** Has exited; kept for wait4(). */
export const EXIT_ZOMBIE = 32;
/** Gone: no system call can find it. */
export const EXIT_DEAD = 16;

/** A set of signals 1..64 as two words: signal n is bit n-1. */
export interface SigSet {
  lo: number;
  hi: number;
}

/** What siginfo_t says about one queued signal. */
export interface SigInfo {
  readonly signo: number;
  readonly errno: number;
  /** SI_* or a code of the signal (SEGV_MAPERR). */
  readonly code: number;
  /** Sender, or child: si_pid, si_uid. */
  readonly pid: number;
  readonly uid: number;
  /** si_status of SIGCHLD; si_overrun of a timer, which grows while the signal is queued. */
  status: number;
  /** si_addr of a fault. */
  readonly addr: number;
  /** si_value of sigqueue and timers, as two words. */
  readonly valueLo: number;
  readonly valueHi: number;
  /** Timer id of SI_TIMER. */
  readonly timerId: number;
}

/** Signals sent and not yet delivered. `infos` holds one entry for each signal in the set that has something to tell. */
export class SigPending {
  lo = 0;
  hi = 0;
  /** Oldest first; several of one number only for real-time signals. */
  infos: SigInfo[] | null = null;
}

/** Words of one struct sigaction: handler, flags and mask, 8 bytes each. */
export const SIGACTION_WORDS = 6;

/** Handlers of a thread group (or of any CLONE_SIGHAND sharers). */
export class SighandStruct {
  /** Tasks that use it. */
  users = 1;
  /** struct sigaction of signals 1.., SIGACTION_WORDS each. Copied before the first write while `shared`. */
  actions: Int32Array;
  /** Another SighandStruct may refer to `actions` too: fork copies nothing. */
  shared: boolean;

  constructor(actions: Int32Array, shared: boolean) {
    this.actions = actions;
    this.shared = shared;
  }
}

/** Capabilities 0..63 as two words: capability n is bit n. */
export interface CapSet {
  readonly lo: number;
  readonly hi: number;
}

/** User and group identities. Never changed in place: setuid and kin replace it. */
export interface Cred {
  readonly uid: number;
  readonly euid: number;
  readonly suid: number;
  readonly fsuid: number;
  readonly gid: number;
  readonly egid: number;
  readonly sgid: number;
  readonly fsgid: number;
  readonly groups: readonly number[];
  /** What capset(2) has set; absent: capabilities follow the ids. */
  readonly caps?: {
    readonly effective: CapSet;
    readonly permitted: CapSet;
    readonly inheritable: CapSet;
  };
}

export const ROOT_CRED: Cred = {
  uid: 0,
  euid: 0,
  suid: 0,
  fsuid: 0,
  gid: 0,
  egid: 0,
  sgid: 0,
  fsgid: 0,
  groups: [],
};

/** Resource limits by RLIMIT_*. Never changed in place: prlimit64 replaces it. */
export class Rlimits implements MmLimits {
  readonly soft: readonly number[];
  readonly hard: readonly number[];
  readonly as: number;
  readonly data: number;
  readonly stack: number;
  readonly memlock: number;

  constructor(soft: readonly number[], hard: readonly number[]) {
    this.soft = soft;
    this.hard = hard;
    this.as = soft[RLIMIT_AS]!;
    this.data = soft[RLIMIT_DATA]!;
    this.stack = soft[RLIMIT_STACK]!;
    this.memlock = soft[RLIMIT_MEMLOCK]!;
  }
}

/** One interval timer (setitimer) of a thread group. */
export interface Itimer {
  readonly timer: Timer;
  /** Period in ns, 0 = one shot. */
  intervalNs: number;
}

/** One POSIX timer (timer_create). */
export interface PosixTimer {
  readonly id: number;
  readonly clock: number;
  /** SIGEV_*. */
  readonly notify: number;
  readonly signo: number;
  readonly valueLo: number;
  readonly valueHi: number;
  /** Thread that gets the signal (SIGEV_THREAD_ID), 0 = the group. */
  readonly tid: number;
  readonly timer: Timer;
  intervalNs: number;
  /** Expiries beyond the first that the last signal stands for. */
  overrun: number;
  /** The last signal sent, queued or delivered. */
  info: SigInfo | null;
}

/**
 * struct pid: what a pidfd refers to. It outlives its task and never means a later one with
 * the same number. Made when the first pidfd asks for it.
 */
export class Pid {
  readonly nr: number;
  /** The task; exec by another thread than the leader passes the leader's on. null once it is reaped. */
  task: Task | null;
  /** The wait status it ended with; -1 before that. */
  exitCode = -1;
  /** Told when the task ends and when it is reaped. */
  readonly waitPidfd = new WaitQueue();
  /** The inode of its pidfds; owned by pidfd.ts. */
  inode: unknown = null;

  constructor(task: Task) {
    this.nr = task.pid;
    this.task = task;
  }
}

/** What the threads of one process share: struct signal_struct. "Process" below means this. */
export class SignalStruct {
  /** Pid of the process. */
  readonly tgid: number;
  leader: Task;
  /** Live threads, leader included unless it has exited first. */
  readonly threads: Task[];
  /** Process that waits for this one; null = the host, which reaps at once. */
  parent: SignalStruct | null;
  /** The parent's thread that made it, which PTRACE_TRACEME makes the tracer; null: any. */
  parentTask: Task | null = null;
  /** Children in order of birth, zombies included; a linked list through sibling*. */
  firstChild: SignalStruct | null = null;
  lastChild: SignalStruct | null = null;
  siblingNext: SignalStruct | null = null;
  siblingPrev: SignalStruct | null = null;
  /** Process group and session. */
  pgrp: number;
  session: number;
  /** Sent to the process as a whole. */
  readonly pending = new SigPending();
  /** Threads in wait4() for a child; made on first use. */
  waitChildExit: WaitQueue | null = null;
  /** exit_group() or a fatal signal has begun: the wait status for every thread. */
  groupExit = false;
  /** Wait status: code << 8, or signal | 0x80 if it would dump core. */
  exitCode = 0;
  /** The signal that stopped the process or is stopping it; 0 = neither. */
  stopSignal = 0;
  /** The stop is complete: every thread has stopped since. @linux SIGNAL_STOP_STOPPED */
  stopped = false;
  /** Threads that have yet to stop. */
  groupStopCount = 0;
  /** A stop or continue that wait4() has not reported yet. */
  stopReported = true;
  continuedReported = true;
  /** Zombie: every thread is gone and nobody has waited yet. */
  zombie = false;
  /** Threads other than the leader that have ended and wait for their tracer. */
  zombieThreads = 0;
  limits: Rlimits;
  /** PR_SET_CHILD_SUBREAPER. */
  subreaper = false;
  /** CLONE_AUTOREAP: no zombie is left of it, and its parent hears nothing. */
  autoreap = false;
  /** It has called execve since fork. */
  didExec = false;
  /** Run time of threads that are gone, and of waited-for children, in ns. */
  sumRuntime = 0;
  childrenRuntime = 0;
  /** Faults of reaped children. */
  childrenMinorFaults = 0;
  childrenMajorFaults = 0;
  /** Largest RSS in pages of this process when it exited, and of reaped children. */
  maxRss = 0;
  childrenMaxRss = 0;
  minorFaults = 0;
  majorFaults = 0;
  itimers: (Itimer | null)[] | null = null;
  posixTimers: PosixTimer[] | null = null;
  /** Told when the process ends: the host's Process object. */
  onExit: WaitQueue | null = null;
  oomScoreAdj = 0;

  constructor(leader: Task, parent: SignalStruct | null, limits: Rlimits) {
    this.tgid = leader.pid;
    this.leader = leader;
    this.threads = [leader];
    this.parent = parent;
    this.pgrp = parent === null ? leader.pid : parent.pgrp;
    this.session = parent === null ? leader.pid : parent.session;
    this.limits = limits;
  }
}

/** Tasks ready to run, oldest first. */
export class RunQueue {
  private head: Task | null = null;
  private tail: Task | null = null;
  /** Called when the first task is queued: a host that sleeps must run the machine. */
  onReady: () => void = () => {};

  get empty(): boolean {
    return this.head === null;
  }

  enqueue(task: Task): void {
    if (task.onRq) return;
    task.onRq = true;
    task.rqNext = null;
    const { tail } = this;
    this.tail = task;
    if (tail !== null) {
      tail.rqNext = task;
      return;
    }
    this.head = task;
    this.onReady();
  }

  /** Takes the next task off, null if there is none. */
  dequeue(): Task | null {
    const task = this.head;
    if (task === null) return null;
    this.head = task.rqNext;
    if (this.head === null) this.tail = null;
    task.rqNext = null;
    task.onRq = false;
    return task;
  }

  remove(task: Task): void {
    if (!task.onRq) return;
    let prev: Task | null = null;
    for (let t = this.head; t !== null; prev = t, t = t.rqNext) {
      if (t !== task) continue;
      if (prev === null) this.head = t.rqNext;
      else prev.rqNext = t.rqNext;
      if (this.tail === t) this.tail = prev;
      break;
    }
    task.rqNext = null;
    task.onRq = false;
  }
}

// Where a task goes on after a ptrace stop.

/** With the signal that was about to be delivered, or the one the tracer gives. */
export const RESUME_SIGNAL = 1;
/** With its signals: a group stop, or PTRACE_INTERRUPT. */
export const RESUME_TRAP = 2;
/** With the system call it was about to make. */
export const RESUME_SYSCALL_ENTRY = 3;
/** After the system call that has completed. */
export const RESUME_SYSCALL_EXIT = 4;
/** With the rest of a clone() that made a child, or of an exec. */
export const RESUME_EVENT = 5;
/** With the rest of a vfork, once the child lets go of the memory. */
export const RESUME_VFORK = 6;
/** With its end. */
export const RESUME_EXIT = 7;

/** What a tracer has of a tracee: task_struct's ptrace and parent. */
export class PtraceLink {
  readonly tracer: Task;
  readonly seized: boolean;
  /** PTRACE_O_*. */
  options: number;
  /** Last resumed by PTRACE_SYSCALL: it stops at the next entry to or exit from a call. */
  syscallTrace = false;

  constructor(tracer: Task, seized: boolean, options: number) {
    this.tracer = tracer;
    this.seized = seized;
    this.options = options;
  }
}

/** A stop for the tracer, and where the task goes on; also the sleep of vfork between two. */
export class PtraceStop {
  /** RESUME_*. */
  resume: number;
  /** What wait() reports, 0 once it has; then the signal the tracer resumes with. */
  exitCode: number;
  /** PTRACE_GETSIGINFO; null in the group stop of a task that was not seized. */
  info: SigInfo | null;
  /** PTRACE_GETEVENTMSG. */
  message: number;
  /** By RESUME_*: ERESTART* of the interrupted call, result of the completed one, exit status. */
  code = 0;
  /** The call's first argument, whose register holds the result by now. */
  origA0Lo = 0;
  origA0Hi = 0;
  /** Whom vfork waits for. */
  vforkChild: Task | null = null;

  constructor(resume: number, exitCode: number, info: SigInfo | null, message: number) {
    this.resume = resume;
    this.exitCode = exitCode;
    this.info = info;
    this.message = message;
  }
}

export class Task implements Waiter {
  /** Thread id; equal to tgid for the leader. exec by another thread changes it. */
  pid: number;
  readonly tgid: number;
  /** What pidfds know it by; null before the first. */
  threadPid: Pid | null = null;
  /** Up to 15 bytes, as a byte string. */
  comm: string;
  /** null once it has exited. */
  mm: MmStruct | null;
  files: FdTable;
  fs: FsStruct;
  signal: SignalStruct;
  sighand: SighandStruct;
  cred: Cred;
  /** Registers while it is not the current task; stale while it is. */
  readonly regs: Regs;
  /** TASK_* or EXIT_*. */
  state = TASK_RUNNING;

  private readonly rq: RunQueue;
  onRq = false;
  rqNext: Task | null = null;
  /** Woken since it last stood in a queue, before it slept. */
  wokenEarly = false;
  /** Queues it stands in while asleep. */
  private queues: WaitQueue[] | null = null;
  /** Wakes it when its deadline passes; made on first use. */
  sleepTimer: Timer | null = null;
  /** Kept while one system call sleeps and re-runs; null again when the call completes. */
  sysState: unknown = null;
  /** Its pc is at an ecall that has begun and slept: that call runs again before signals are looked at. */
  inSyscall = false;

  blockedLo = 0;
  blockedHi = 0;
  /** Mask to return to after the handler that ends rt_sigsuspend, ppoll...; null when none is saved. */
  savedSigmask: SigSet | null = null;
  readonly pending = new SigPending();
  /** Something may have to be done before the next instruction: a signal, a stop, an exit. */
  sigpending = false;
  /** JOBCTL_*: stops it has to take part in. */
  jobctl = 0;
  /** Who traces it; null = nobody. */
  ptrace: PtraceLink | null = null;
  /** The stop it is in, or has to go on from when it next runs; null = none. */
  ptraceStop: PtraceStop | null = null;
  /** Whom it traces; null before the first. */
  ptraced: Task[] | null = null;
  /** Alternate signal stack: address, SS_* flags, size. */
  sasSp = 0;
  sasFlags = 2;
  sasSize = 0;

  /** CLONE_CHILD_CLEARTID / set_tid_address: zeroed and woken at exit; 0 = none. */
  clearChildTid = 0;
  robustList = 0;
  /** Signal for the parent at exit; -1 for a thread other than the leader. */
  exitSignal: number;
  exitCode = 0;
  /** Parent that sleeps until this task execs or exits. */
  vforkParent: Task | null = null;
  /** PR_SET_PDEATHSIG. */
  pdeathSignal = 0;
  personality = 0;
  noNewPrivs = false;
  /** Time on the hart in ns, and voluntary/involuntary switches. */
  runtime = 0;
  nvcsw = 0;
  nivcsw = 0;
  /** Monotonic ns at which it was made. */
  startTime = 0;
  nice = 0;
  schedPolicy = 0;

  constructor(
    pid: number,
    tgid: number,
    rq: RunQueue,
    regs: Regs | undefined,
    parent: Task | null,
    init: TaskShared,
  ) {
    this.pid = pid;
    this.tgid = tgid;
    this.rq = rq;
    this.regs = regs ?? newRegs();
    this.mm = init.mm;
    this.files = init.files;
    this.fs = init.fs;
    this.sighand = init.sighand;
    this.cred = init.cred;
    this.comm = init.comm;
    this.exitSignal = init.exitSignal;
    this.signal =
      init.signal ?? new SignalStruct(this, parent === null ? null : parent.signal, init.limits);
  }

  /**
   * Makes a sleeping task runnable: its system call runs again. A task that is only about to
   * sleep is kept from it; others are left alone.
   */
  wake(): void {
    if (this.state === TASK_RUNNING) this.wokenEarly = true;
    if (this.state !== TASK_INTERRUPTIBLE && this.state !== TASK_KILLABLE) return;
    this.state = TASK_RUNNING;
    if (this.queues !== null && this.queues.length !== 0) this.leaveQueues();
    this.rq.enqueue(this);
  }

  /** Puts a task that is no longer stopped, or is new, on the run queue. */
  makeRunnable(): void {
    this.state = TASK_RUNNING;
    this.rq.enqueue(this);
  }

  /** Stands in `queue` until the next wake. */
  waitOn(queue: WaitQueue): void {
    if (this.queues === null) this.queues = [];
    if (this.queues.length === 0) this.wokenEarly = false;
    this.queues.push(queue);
    queue.add(this);
  }

  /** Stands in no queue any more. */
  leaveQueues(): void {
    const { queues } = this;
    if (queues === null) return;
    for (const queue of queues) queue.remove(this);
    queues.length = 0;
  }
}

/** What a new task starts with; kernelClone() and the host's spawn() fill it in. */
export interface TaskShared {
  mm: MmStruct | null;
  files: FdTable;
  fs: FsStruct;
  sighand: SighandStruct;
  /** The thread group to join; null makes a new process. */
  signal: SignalStruct | null;
  cred: Cred;
  comm: string;
  exitSignal: number;
  limits: Rlimits;
}

/** Links a new process into its parent's children, youngest last. */
export function linkChild(parent: SignalStruct | null, child: SignalStruct): void {
  child.parent = parent;
  if (parent === null) return;
  child.siblingPrev = parent.lastChild;
  child.siblingNext = null;
  if (parent.lastChild === null) parent.firstChild = child;
  else parent.lastChild.siblingNext = child;
  parent.lastChild = child;
}

/** Takes a process out of its parent's children. */
export function unlinkChild(child: SignalStruct): void {
  const { parent } = child;
  if (parent === null) return;
  if (child.siblingPrev === null) parent.firstChild = child.siblingNext;
  else child.siblingPrev.siblingNext = child.siblingNext;
  if (child.siblingNext === null) parent.lastChild = child.siblingPrev;
  else child.siblingNext.siblingPrev = child.siblingPrev;
  child.siblingPrev = null;
  child.siblingNext = null;
  child.parent = null;
}
