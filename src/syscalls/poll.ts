/** ppoll and pselect6. @linux fs/select.c SYSCALL_DEFINE* */

import { TaskPollTable, vfsPoll } from '../fs/poll.ts';
import type { PollTable } from '../fs/fs_types.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { SLEEP, sleepUntil } from '../kernel/sched.ts';
import { NSEC_PER_SEC } from '../kernel/time.ts';
import type { Task } from '../kernel/task.ts';
import { highHalf, lowHalf } from '../lib/bits.ts';
import { copyFromUser, copyToUser, getUser64 } from '../mm/uaccess.ts';
import { EBADF, EFAULT, EINVAL, EINTR, ERESTARTNOHAND } from '../uapi/errno.ts';
import {
  POLLERR,
  POLLEX_SET,
  POLLFD_BYTES,
  POLLFD_EVENTS,
  POLLFD_REVENTS,
  POLLHUP,
  POLLIN_SET,
  POLLNVAL,
  POLLOUT_SET,
} from '../uapi/poll.ts';
import { RLIMIT_NOFILE } from '../uapi/resource.ts';
import { SIGSET_BYTES } from '../uapi/signal.ts';
import { TIMESPEC_BYTES } from '../uapi/time.ts';
import type { SyscallArgs } from './args.ts';
import { restoreSavedSigmask } from '../kernel/do_signal.ts';
import { readSigset, setTemporarySigmask } from './signal.ts';
import { readTimespec } from './time.ts';

/** A wait in progress: its end does not move when the call runs again. */
export class PollState {
  /** Monotonic ns, Infinity = never. */
  readonly deadline: number;

  constructor(deadline: number) {
    this.deadline = deadline;
  }
}

/** Deadline of a timespec argument, kept over re-runs. @returns it, or -errno. */
function pollDeadline(kernel: Kernel, task: Task, addr: number): number {
  if (task.sysState instanceof PollState) return task.sysState.deadline;
  if (addr === 0) return Number.POSITIVE_INFINITY;
  const ns = readTimespec(task, addr);
  return ns < 0 ? ns : kernel.clock.now() + ns;
}

/** Applies the signal mask of ppoll() and kin on the first run. @returns 0 or -errno. */
export function enterSigmask(task: Task, addr: number, size: number): number {
  if (addr === 0 || task.sysState instanceof PollState) return 0;
  if (size !== SIGSET_BYTES) return -EINVAL;
  const mask = readSigset(task, addr);
  if (typeof mask === 'number') return mask;
  setTemporarySigmask(task, mask);
  return 0;
}

/**
 * Nothing is ready: sleeps on the queues already joined.
 * @param errno what a signal makes of the call.
 * @returns SLEEP, -errno, or 0 when the time is up.
 */
export function pollSleep(kernel: Kernel, task: Task, deadline: number, errno: number): number {
  if (kernel.clock.now() >= deadline) {
    task.leaveQueues();
    return 0;
  }
  const state = task.sysState instanceof PollState ? task.sysState : new PollState(deadline);
  const result = sleepUntil(kernel, task, deadline, errno);
  if (result === SLEEP) task.sysState = state;
  return result;
}

/** Puts the mask back, unless a signal ended the call: then its delivery does. @linux restore_saved_sigmask_unless */
export function leaveSigmask(task: Task, result: number): number {
  if (result !== SLEEP && result !== -ERESTARTNOHAND && result !== -EINTR)
    restoreSavedSigmask(task);
  return result;
}

/** Time left, written back as Linux does. Failing to is not an error. */
function putTimeLeft(kernel: Kernel, task: Task, addr: number, deadline: number): void {
  if (addr === 0 || deadline === Number.POSITIVE_INFINITY) return;
  const left = Math.max(0, deadline - kernel.clock.now());
  const sec = Math.floor(left / NSEC_PER_SEC);
  const words = new Int32Array([lowHalf(sec), highHalf(sec), left - sec * NSEC_PER_SEC, 0]);
  copyToUser(task.mm!, addr, new Uint8Array(words.buffer, 0, TIMESPEC_BYTES));
}

/** Fills in revents. @returns how many descriptors have something. */
function pollOnce(task: Task, view: DataView, count: number, pt: PollTable | null): number {
  let ready = 0;
  for (let i = 0; i < count; i++) {
    const at = i * POLLFD_BYTES;
    const fd = view.getInt32(at, true);
    let mask = 0;
    if (fd >= 0) {
      const file = task.files.get(fd);
      const wanted = view.getInt16(at + POLLFD_EVENTS, true) | POLLERR | POLLHUP;
      // Once something is ready there will be no sleep: no need to join more queues.
      mask = file === undefined ? POLLNVAL : vfsPoll(file, ready > 0 ? null : pt) & wanted;
    }
    view.setInt16(at + POLLFD_REVENTS, mask, true);
    if (mask !== 0) ready++;
  }
  return ready;
}

function doPoll(kernel: Kernel, task: Task, args: SyscallArgs, deadline: number): number {
  const addr = args.ulong(0);
  const count = args.uint(1);
  if (count > task.signal.limits.soft[RLIMIT_NOFILE]!) return -EINVAL;
  const bytes = new Uint8Array(count * POLLFD_BYTES);
  const mm = task.mm!;
  if (copyFromUser(mm, bytes, addr) !== 0) return -EFAULT;
  const ready = pollOnce(task, new DataView(bytes.buffer), count, new TaskPollTable(task));
  if (ready === 0) {
    const result = pollSleep(kernel, task, deadline, ERESTARTNOHAND);
    if (result !== 0) return result;
  } else task.leaveQueues();
  return copyToUser(mm, addr, bytes) === 0 ? ready : -EFAULT;
}

export function sysPpoll(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const timeAddr = args.ulong(2);
  const deadline = pollDeadline(kernel, task, timeAddr);
  if (deadline < 0) return deadline;
  const err = enterSigmask(task, args.ulong(3), args.ulong(4));
  if (err !== 0) return err;
  const result = doPoll(kernel, task, args, deadline);
  if (result !== SLEEP) putTimeLeft(kernel, task, timeAddr, deadline);
  return leaveSigmask(task, result);
}

/** select()'s three bit sets, in and out. */
class FdSets {
  readonly words: number;
  readonly sets: (Uint32Array | null)[] = [];

  constructor(count: number) {
    // Whole longs, as Linux reads and writes them.
    this.words = Math.ceil(count / 64) * 2;
  }

  read(task: Task, addr: number): boolean {
    if (addr === 0) {
      this.sets.push(null);
      return true;
    }
    const set = new Uint32Array(this.words);
    this.sets.push(set);
    return copyFromUser(task.mm!, new Uint8Array(set.buffer), addr) === 0;
  }
}

function bitSet(set: Uint32Array | null | undefined, fd: number): boolean {
  return set !== null && set !== undefined && ((set[fd >>> 5]! >>> (fd & 31)) & 1) !== 0;
}

const SELECT_MASKS = [POLLIN_SET, POLLOUT_SET, POLLEX_SET] as const;

/** Fills `out` with what is ready. @returns bits set, or -EBADF. @linux fs/select.c:do_select */
function selectOnce(
  task: Task,
  count: number,
  sets: FdSets,
  out: Uint32Array[],
  pt: PollTable,
): number {
  let ready = 0;
  for (let fd = 0; fd < count; fd++) {
    const wanted = sets.sets.some((set) => bitSet(set, fd));
    if (!wanted) continue;
    const file = task.files.get(fd);
    if (file === undefined) return -EBADF;
    const mask = vfsPoll(file, ready > 0 ? null : pt);
    for (let kind = 0; kind < SELECT_MASKS.length; kind++) {
      if ((mask & SELECT_MASKS[kind]!) === 0 || !bitSet(sets.sets[kind], fd)) continue;
      out[kind]![fd >>> 5]! |= 1 << (fd & 31);
      ready++;
    }
  }
  return ready;
}

function doSelect(kernel: Kernel, task: Task, args: SyscallArgs, deadline: number): number {
  const wanted = args.int(0);
  if (wanted < 0) return -EINVAL;
  const count = Math.min(wanted, Math.max(64, task.files.size));
  const sets = new FdSets(count);
  for (let kind = 0; kind < SELECT_MASKS.length; kind++) {
    if (!sets.read(task, args.ulong(1 + kind))) return -EFAULT;
  }
  const out = SELECT_MASKS.map(() => new Uint32Array(sets.words));
  const ready = selectOnce(task, count, sets, out, new TaskPollTable(task));
  if (ready === 0) {
    const result = pollSleep(kernel, task, deadline, ERESTARTNOHAND);
    if (result !== 0) return result;
  } else task.leaveQueues();
  if (ready < 0) return ready;
  for (let kind = 0; kind < SELECT_MASKS.length; kind++) {
    const addr = args.ulong(1 + kind);
    if (addr === 0) continue;
    if (copyToUser(task.mm!, addr, new Uint8Array(out[kind]!.buffer)) !== 0) return -EFAULT;
  }
  return ready;
}

export function sysPselect6(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const timeAddr = args.ulong(4);
  const deadline = pollDeadline(kernel, task, timeAddr);
  if (deadline < 0) return deadline;
  const sigAddr = args.ulong(5);
  if (sigAddr !== 0) {
    // Six arguments are not enough: the last points at { mask, size }.
    const mask = getUser64(task.mm!, sigAddr);
    const size = getUser64(task.mm!, sigAddr + 8);
    if (mask < 0 || size < 0) return -EFAULT;
    const err = enterSigmask(task, mask, size);
    if (err !== 0) return err;
  }
  const result = doSelect(kernel, task, args, deadline);
  if (result !== SLEEP) putTimeLeft(kernel, task, timeAddr, deadline);
  return leaveSigmask(task, result);
}
