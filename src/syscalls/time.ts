/** Clocks, sleeping and timers. @linux kernel/time/ SYSCALL_DEFINE* */

import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import { fromHalvesSigned, highHalf, lowHalf, setU64 } from '../lib/bits.ts';
import { copyFromUser, copyToUser, putUser64, userFrame } from '../mm/uaccess.ts';
import {
  EAGAIN,
  EFAULT,
  EINVAL,
  EOPNOTSUPP,
  EPERM,
  ERESTARTNOHAND,
  ERESTART_RESTARTBLOCK,
} from '../uapi/errno.ts';
import { RLIMIT_SIGPENDING } from '../uapi/resource.ts';
import {
  SIGALRM,
  SIGEV_NONE,
  SIGEV_SIGNAL,
  SIGEV_THREAD_ID,
  SIGPROF,
  SIGVTALRM,
  SI_KERNEL,
  SI_TIMER,
} from '../uapi/signal.ts';
import {
  CLOCK_BOOTTIME,
  CLOCK_BOOTTIME_ALARM,
  CLOCK_MONOTONIC,
  CLOCK_MONOTONIC_COARSE,
  CLOCK_MONOTONIC_RAW,
  CLOCK_PROCESS_CPUTIME_ID,
  CLOCK_REALTIME,
  CLOCK_REALTIME_ALARM,
  CLOCK_REALTIME_COARSE,
  CLOCK_TAI,
  CLOCK_THREAD_CPUTIME_ID,
  ITIMERSPEC_BYTES,
  ITIMER_PROF,
  ITIMER_REAL,
  TIMER_ABSTIME,
  TIMESPEC_BYTES,
  USER_HZ,
} from '../uapi/time.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { sleepUntil } from '../kernel/sched.ts';
import { sendSignal, sendToGroup, sigInfo } from '../kernel/signal.ts';
import { processRuntime, threadRuntime } from '../kernel/sys.ts';
import { validSignal } from '../kernel/sigset.ts';
import type { PosixTimer, SignalStruct, SigPending, Task } from '../kernel/task.ts';
import { NSEC_PER_SEC, NSEC_PER_USEC, Timer } from '../kernel/time.ts';
import type { SyscallArgs } from './args.ts';

/** Seconds above this are "for ever": 2^53 ns. */
const SEC_MAX = 9_000_000;

/** Latest second the wall clock can be set to: it then runs for 30 years more. @linux include/linux/time64.h */
const TIME_SETTOD_SEC_MAX = 8_277_292_036;

/** Duration or point in time in ns, Infinity when it is too far to matter. @returns it, -EFAULT or -EINVAL. */
export function readTimespec(task: Task, addr: number): number {
  const bytes = new Uint8Array(TIMESPEC_BYTES);
  if (copyFromUser(task.mm!, bytes, addr) !== 0) return -EFAULT;
  return timespecNs(new DataView(bytes.buffer), 0, NSEC_PER_SEC, 1);
}

/** Seconds of a timespec that is a point on the wall clock need all their digits. */
interface WallTime {
  readonly sec: number;
  readonly nsec: number;
}

function readWallTime(task: Task, addr: number): WallTime | number {
  const bytes = new Uint8Array(TIMESPEC_BYTES);
  if (copyFromUser(task.mm!, bytes, addr) !== 0) return -EFAULT;
  const view = new DataView(bytes.buffer);
  const sec = fromHalvesSigned(view.getInt32(0, true), view.getInt32(4, true));
  const nsec = fromHalvesSigned(view.getInt32(8, true), view.getInt32(12, true));
  if (sec < 0 || nsec < 0 || nsec >= NSEC_PER_SEC) return -EINVAL;
  return { sec, nsec };
}

/** @param parts parts of a second the second field counts; `unit` ns each. */
function timespecNs(view: DataView, at: number, parts: number, unit: number): number {
  const sec = fromHalvesSigned(view.getInt32(at, true), view.getInt32(at + 4, true));
  const part = fromHalvesSigned(view.getInt32(at + 8, true), view.getInt32(at + 12, true));
  if (sec < 0 || part < 0 || part >= parts) return -EINVAL;
  if (sec > SEC_MAX) return Number.POSITIVE_INFINITY;
  return sec * NSEC_PER_SEC + part * unit;
}

function putSeconds(view: DataView, at: number, sec: number, part: number): void {
  setU64(view, at, sec);
  view.setUint32(at + 8, part, true);
}

function putNs(view: DataView, at: number, ns: number, unit: number): void {
  const sec = Math.floor(ns / NSEC_PER_SEC);
  putSeconds(view, at, sec, Math.floor((ns - sec * NSEC_PER_SEC) / unit));
}

function isWallClock(clock: number): boolean {
  return (
    clock === CLOCK_REALTIME ||
    clock === CLOCK_REALTIME_COARSE ||
    clock === CLOCK_REALTIME_ALARM ||
    clock === CLOCK_TAI
  );
}

/** Time on a clock that is not the wall clock, ns; -EINVAL for an unknown one. */
function clockNs(kernel: Kernel, task: Task, clock: number): number {
  switch (clock) {
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME:
    case CLOCK_BOOTTIME_ALARM:
      return kernel.clock.now();
    case CLOCK_PROCESS_CPUTIME_ID:
      return processRuntime(kernel, task.signal);
    case CLOCK_THREAD_CPUTIME_ID:
      return threadRuntime(kernel, task);
    default:
      return clock < 0 ? cpuClockNs(kernel, task, clock) : -EINVAL;
  }
}

/** CPU clock of a given process or thread: ~pid << 3 | kind, bit 2 for a thread. @linux include/linux/posix-timers_types.h */
function cpuClockNs(kernel: Kernel, task: Task, clock: number): number {
  const pid = ~(clock >> 3);
  const target = pid === 0 ? task : kernel.tasks.get(pid);
  if (target === undefined || (clock & 3) === 3) return -EINVAL;
  return (clock & 4) !== 0 ? threadRuntime(kernel, target) : processRuntime(kernel, target.signal);
}

/** Writes two longs, as struct timespec. @returns 0 or -EFAULT. @hot */
function putTimespec(task: Task, addr: number, sec: number, part: number): number {
  const mm = task.mm!;
  const inPage = addr % PAGE_SIZE;
  if (addr % 8 !== 0 || inPage > PAGE_SIZE - TIMESPEC_BYTES) {
    return putUser64(mm, addr, sec) === 0 ? putUser64(mm, addr + 8, part) : -EFAULT;
  }
  const at = userFrame(mm, addr, true);
  if (at < 0) return -EFAULT;
  const { i32 } = mm.pgdat.ram;
  const word = at >>> 2;
  i32[word] = lowHalf(sec);
  i32[word + 1] = highHalf(sec);
  i32[word + 2] = part;
  i32[word + 3] = 0;
  return 0;
}

/** Wall-clock time now, as parts of `unit` ns. */
function putNow(kernel: Kernel, task: Task, addr: number, unit: number): number {
  const { clock } = kernel;
  const ns = clock.now();
  const carry = Math.floor(ns / NSEC_PER_SEC);
  let sec = clock.bootSec + carry;
  let nsec = clock.bootNsec + (ns - carry * NSEC_PER_SEC);
  if (nsec >= NSEC_PER_SEC) {
    nsec -= NSEC_PER_SEC;
    sec++;
  }
  return putTimespec(task, addr, sec, Math.floor(nsec / unit));
}

/** @hot programs without a vDSO call it all the time */
export function sysClockGettime(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const clock = args.int(0);
  const addr = args.ulong(1);
  if (isWallClock(clock)) return putNow(kernel, task, addr, 1);
  const ns = clockNs(kernel, task, clock);
  if (ns < 0) return ns;
  const sec = Math.floor(ns / NSEC_PER_SEC);
  return putTimespec(task, addr, sec, ns - sec * NSEC_PER_SEC);
}

export function sysGettimeofday(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const addr = args.ulong(0);
  if (addr !== 0 && putNow(kernel, task, addr, NSEC_PER_USEC) !== 0) return -EFAULT;
  if (args.ulong(1) === 0) return 0;
  return copyToUser(task.mm!, args.ulong(1), new Uint8Array(8));
}

export function sysClockGetres(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const clock = args.int(0);
  if (!isWallClock(clock)) {
    const ns = clockNs(kernel, task, clock);
    if (ns < 0) return ns;
  }
  if (args.ulong(1) === 0) return 0;
  const bytes = new Uint8Array(TIMESPEC_BYTES);
  bytes[8] = 1;
  return copyToUser(task.mm!, args.ulong(1), bytes);
}

export function sysClockSettime(kernel: Kernel, task: Task, args: SyscallArgs): number {
  if (args.int(0) !== CLOCK_REALTIME) return -EINVAL;
  const wall = readWallTime(task, args.ulong(1));
  if (typeof wall === 'number') return wall;
  if (wall.sec > TIME_SETTOD_SEC_MAX) return -EINVAL;
  if (task.cred.euid !== 0) return -EPERM;
  kernel.clock.setRealtime(wall.sec, wall.nsec);
  return 0;
}

/** A sleep in progress, kept over restarts so that a relative one does not begin again. */
class SleepState {
  readonly deadline: number;

  constructor(deadline: number) {
    this.deadline = deadline;
  }
}

/** Sleeps until a monotonic time. @param rem where the rest goes when interrupted, 0 = nowhere. */
function sleepTo(kernel: Kernel, task: Task, deadline: number, rem: number, errno: number): number {
  const now = kernel.clock.now();
  if (now >= deadline) return 0;
  task.sysState = new SleepState(deadline);
  const result = sleepUntil(kernel, task, deadline, errno);
  if (result === -errno && rem !== 0) {
    const bytes = new Uint8Array(TIMESPEC_BYTES);
    putNs(new DataView(bytes.buffer), 0, deadline - now, 1);
    if (copyToUser(task.mm!, rem, bytes) !== 0) return -EFAULT;
  }
  return result;
}

export function sysNanosleep(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const state = task.sysState;
  let deadline: number;
  if (state instanceof SleepState) ({ deadline } = state);
  else {
    const ns = readTimespec(task, args.ulong(0));
    if (ns < 0) return ns;
    deadline = kernel.clock.now() + ns;
  }
  return sleepTo(kernel, task, deadline, args.ulong(1), ERESTART_RESTARTBLOCK);
}

export function sysClockNanosleep(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const clock = args.int(0);
  const absolute = (args.int(1) & TIMER_ABSTIME) !== 0;
  const rem = absolute ? 0 : args.ulong(3);
  const errno = absolute ? ERESTARTNOHAND : ERESTART_RESTARTBLOCK;
  const wall = isWallClock(clock);
  if (clock === CLOCK_THREAD_CPUTIME_ID) return -EINVAL;
  if (!wall && clock !== CLOCK_MONOTONIC && clock !== CLOCK_BOOTTIME) {
    return clockNs(kernel, task, clock) < 0 ? -EINVAL : -EOPNOTSUPP;
  }
  const state = task.sysState;
  if (state instanceof SleepState) return sleepTo(kernel, task, state.deadline, rem, errno);
  if (absolute && wall) {
    const time = readWallTime(task, args.ulong(2));
    if (typeof time === 'number') return time;
    const deadline = kernel.clock.realtimeToMonotonic(time.sec, time.nsec);
    return sleepTo(kernel, task, deadline, rem, errno);
  }
  const ns = readTimespec(task, args.ulong(2));
  if (ns < 0) return ns;
  return sleepTo(kernel, task, absolute ? ns : kernel.clock.now() + ns, rem, errno);
}

/** Monotonic deadline of an absolute or relative timespec on one of the two base clocks. */
export function readDeadline(
  kernel: Kernel,
  task: Task,
  addr: number,
  absolute: boolean,
  wall: boolean,
): number {
  if (absolute && wall) {
    const time = readWallTime(task, addr);
    if (typeof time === 'number') return time;
    return Math.max(0, kernel.clock.realtimeToMonotonic(time.sec, time.nsec));
  }
  const ns = readTimespec(task, addr);
  if (ns < 0) return ns;
  return absolute ? ns : kernel.clock.now() + ns;
}

const ITIMER_SIGNAL = [SIGALRM, SIGVTALRM, SIGPROF] as const;

/** Starts or restarts an interval timer; a periodic one restarts itself without drifting. */
function armItimer(
  kernel: Kernel,
  signal: SignalStruct,
  which: number,
  value: number,
  interval: number,
): void {
  signal.itimers ??= [null, null, null];
  const old = signal.itimers[which];
  if (old !== null && old !== undefined) kernel.timers.cancel(old.timer);
  signal.itimers[which] = null;
  if (value === 0) return;
  const timer: Timer = new Timer(() => {
    if (interval > 0)
      kernel.timers.start(timer, nextPeriod(timer.expires, interval, kernel.clock.now()));
    sendToGroup(signal, sigInfo(ITIMER_SIGNAL[which]!, SI_KERNEL));
  });
  signal.itimers[which] = { timer, intervalNs: interval };
  kernel.timers.start(timer, kernel.clock.now() + value);
}

/** The next multiple of the period after now: missed ones are not made up. */
function nextPeriod(expires: number, interval: number, now: number): number {
  const missed = Math.floor(Math.max(0, now - expires) / interval);
  return expires + (missed + 1) * interval;
}

function putItimer(kernel: Kernel, task: Task, which: number, addr: number): number {
  const bytes = new Uint8Array(ITIMERSPEC_BYTES);
  const view = new DataView(bytes.buffer);
  const itimer = task.signal.itimers?.[which];
  if (itimer?.timer.queued) {
    putNs(view, 0, itimer.intervalNs, NSEC_PER_USEC);
    putNs(
      view,
      16,
      Math.max(NSEC_PER_USEC, itimer.timer.expires - kernel.clock.now()),
      NSEC_PER_USEC,
    );
  }
  return copyToUser(task.mm!, addr, bytes);
}

export function sysGetitimer(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const which = args.int(0);
  if (which < ITIMER_REAL || which > ITIMER_PROF) return -EINVAL;
  return putItimer(kernel, task, which, args.ulong(1));
}

export function sysSetitimer(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const which = args.int(0);
  if (which < ITIMER_REAL || which > ITIMER_PROF) return -EINVAL;
  const bytes = new Uint8Array(ITIMERSPEC_BYTES);
  if (args.ulong(1) !== 0 && copyFromUser(task.mm!, bytes, args.ulong(1)) !== 0) return -EFAULT;
  const view = new DataView(bytes.buffer);
  const interval = timespecNs(view, 0, 1_000_000, NSEC_PER_USEC);
  const value = timespecNs(view, 16, 1_000_000, NSEC_PER_USEC);
  if (interval < 0 || value < 0) return -EINVAL;
  if (args.ulong(2) !== 0 && putItimer(kernel, task, which, args.ulong(2)) !== 0) return -EFAULT;
  armItimer(kernel, task.signal, which, value, interval);
  return 0;
}

/** Whether the signal of the timer's last expiry still waits to be delivered. */
function isQueued(timer: PosixTimer, pending: SigPending): boolean {
  return timer.info !== null && pending.infos?.includes(timer.info) === true;
}

/** A timer has one signal at most: later expiries count as overruns. @linux kernel/time/posix-timers.c:posix_timer_fn */
function firePosixTimer(kernel: Kernel, signal: SignalStruct, timer: PosixTimer): void {
  const { expires } = timer.timer;
  let missed = 0;
  if (timer.intervalNs > 0) {
    const next = nextPeriod(expires, timer.intervalNs, kernel.clock.now());
    missed = Math.round((next - expires) / timer.intervalNs) - 1;
    kernel.timers.start(timer.timer, next);
  }
  if (timer.notify === SIGEV_NONE) return;
  const { id, valueLo, valueHi } = timer;
  const target = timer.tid === 0 ? undefined : kernel.tasks.get(timer.tid);
  if (isQueued(timer, target === undefined ? signal.pending : target.pending)) {
    timer.overrun += missed + 1;
    timer.info!.status = timer.overrun;
    return;
  }
  timer.overrun = missed;
  const info = sigInfo(timer.signo, SI_TIMER, { timerId: id, status: missed, valueLo, valueHi });
  timer.info = info;
  if (target !== undefined) sendSignal(target, info, false);
  else sendToGroup(signal, info);
}

export function sysTimerCreate(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const clock = args.int(0);
  if (!isWallClock(clock) && clockNs(kernel, task, clock) < 0) return -EINVAL;
  const { signal } = task;
  signal.posixTimers ??= [];
  if (signal.posixTimers.length >= signal.limits.soft[RLIMIT_SIGPENDING]!) return -EAGAIN;
  const id = (signal.posixTimers.at(-1)?.id ?? -1) + 1;
  const event = new Int32Array(16);
  event[2] = SIGALRM;
  event[3] = SIGEV_SIGNAL;
  event[0] = id;
  const given = args.ulong(1);
  if (given !== 0 && copyFromUser(task.mm!, new Uint8Array(event.buffer), given) !== 0)
    return -EFAULT;
  const [valueLo = 0, valueHi = 0, signo = 0, notify = 0, tid = 0] = event;
  if ((notify & ~SIGEV_THREAD_ID) > 1 || (notify !== SIGEV_NONE && !validSignal(signo)))
    return -EINVAL;
  const byThread = (notify & SIGEV_THREAD_ID) !== 0;
  if (byThread && kernel.tasks.get(tid)?.tgid !== task.tgid) return -EINVAL;
  const timer: PosixTimer = {
    id,
    clock,
    notify,
    signo,
    valueLo,
    valueHi,
    tid: byThread ? tid : 0,
    timer: new Timer(() => firePosixTimer(kernel, signal, timer)),
    intervalNs: 0,
    overrun: 0,
    info: null,
  };
  signal.posixTimers.push(timer);
  return copyToUser(task.mm!, args.ulong(2), new Uint8Array(new Int32Array([id]).buffer));
}

function findTimer(task: Task, id: number): PosixTimer | undefined {
  return task.signal.posixTimers?.find((t) => t.id === id);
}

function putPosixTimer(kernel: Kernel, task: Task, timer: PosixTimer, addr: number): number {
  const bytes = new Uint8Array(ITIMERSPEC_BYTES);
  const view = new DataView(bytes.buffer);
  putNs(view, 0, timer.intervalNs, 1);
  if (timer.timer.queued) putNs(view, 16, Math.max(1, timer.timer.expires - kernel.clock.now()), 1);
  return copyToUser(task.mm!, addr, bytes);
}

export function sysTimerSettime(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const timer = findTimer(task, args.int(0));
  if (timer === undefined) return -EINVAL;
  const absolute = (args.int(1) & TIMER_ABSTIME) !== 0;
  const addr = args.ulong(2);
  const interval = readTimespec(task, addr);
  if (interval < 0) return interval;
  const relative = readTimespec(task, addr + TIMESPEC_BYTES);
  if (relative < 0) return relative;
  const deadline = readDeadline(
    kernel,
    task,
    addr + TIMESPEC_BYTES,
    absolute,
    isWallClock(timer.clock),
  );
  if (args.ulong(3) !== 0 && putPosixTimer(kernel, task, timer, args.ulong(3)) !== 0)
    return -EFAULT;
  kernel.timers.cancel(timer.timer);
  timer.intervalNs = interval;
  timer.overrun = 0;
  if (relative !== 0) kernel.timers.start(timer.timer, deadline);
  return 0;
}

export function sysTimerGettime(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const timer = findTimer(task, args.int(0));
  return timer === undefined ? -EINVAL : putPosixTimer(kernel, task, timer, args.ulong(1));
}

export function sysTimerGetoverrun(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  return findTimer(task, args.int(0))?.overrun ?? -EINVAL;
}

export function sysTimerDelete(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const timer = findTimer(task, args.int(0));
  if (timer === undefined) return -EINVAL;
  kernel.timers.cancel(timer.timer);
  task.signal.posixTimers = task.signal.posixTimers!.filter((t) => t !== timer);
  return 0;
}

/** times(2): clock ticks of the process and its children; all time counts as user time. */
export function sysTimes(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const tick = NSEC_PER_SEC / USER_HZ;
  const addr = args.ulong(0);
  if (addr !== 0) {
    const bytes = new Uint8Array(32);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, processRuntime(kernel, task.signal) / tick, true);
    view.setUint32(16, task.signal.childrenRuntime / tick, true);
    if (copyToUser(task.mm!, addr, bytes) !== 0) return -EFAULT;
  }
  return Math.floor(kernel.clock.now() / tick);
}
