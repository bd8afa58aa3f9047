/** futex(2) and its lists. @linux kernel/futex/syscalls.c */

import { ENOSYS } from '../uapi/errno.ts';
import {
  FUTEX_BITSET_MATCH_ANY,
  FUTEX_CLOCK_REALTIME,
  FUTEX_CMD_MASK,
  FUTEX_CMP_REQUEUE,
  FUTEX_REQUEUE,
  FUTEX_WAIT,
  FUTEX_WAIT_BITSET,
  FUTEX_WAKE,
  FUTEX_WAKE_BITSET,
  FUTEX_WAKE_OP,
} from '../uapi/futex.ts';
import { futexRequeue, futexWait, futexWake, futexWakeOp } from '../kernel/futex.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { Task } from '../kernel/task.ts';
import type { SyscallArgs } from './args.ts';
import { readDeadline } from './time.ts';

/** FUTEX_WAIT takes a duration, FUTEX_WAIT_BITSET a point in time. */
function waitCall(kernel: Kernel, task: Task, args: SyscallArgs, bitset: number): number {
  const op = args.int(1);
  let deadline = Number.POSITIVE_INFINITY;
  // A call that runs again after sleeping has its deadline.
  if (args.ulong(3) !== 0 && task.sysState === null) {
    const absolute = (op & FUTEX_CMD_MASK) === FUTEX_WAIT_BITSET;
    const wall = (op & FUTEX_CLOCK_REALTIME) !== 0;
    deadline = readDeadline(kernel, task, args.ulong(3), absolute, wall);
    if (deadline < 0) return deadline;
  }
  return futexWait(kernel, task, args.ulong(0), args.int(2), bitset, deadline);
}

export function sysFutex(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const mm = task.mm!;
  const addr = args.ulong(0);
  const value = args.int(2);
  const to = args.ulong(4);
  const op = args.int(1) & FUTEX_CMD_MASK;
  switch (op) {
    case FUTEX_WAIT:
      return waitCall(kernel, task, args, FUTEX_BITSET_MATCH_ANY);
    case FUTEX_WAIT_BITSET:
      return waitCall(kernel, task, args, args.int(5));
    case FUTEX_WAKE:
      return futexWake(kernel, mm, addr, Math.max(1, value), FUTEX_BITSET_MATCH_ANY);
    case FUTEX_WAKE_BITSET:
      return futexWake(kernel, mm, addr, Math.max(1, value), args.int(5));
    case FUTEX_REQUEUE:
      return futexRequeue(kernel, mm, addr, to, value, args.int(3), undefined);
    case FUTEX_CMP_REQUEUE:
      return futexRequeue(kernel, mm, addr, to, value, args.int(3), args.int(5));
    case FUTEX_WAKE_OP:
      return futexWakeOp(kernel, mm, addr, to, value, args.int(3), args.int(5));
    default:
      return -ENOSYS;
  }
}
