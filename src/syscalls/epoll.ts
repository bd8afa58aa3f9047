/** epoll and eventfd. @linux fs/eventpoll.c, fs/eventfd.c SYSCALL_DEFINE* */

import { createEventfd } from '../fs/eventfd.ts';
import {
  createEpoll,
  epDelete,
  epInsert,
  epModify,
  epollOf,
  epSendEvents,
  type EpollEvent,
  type EventPoll,
} from '../fs/eventpoll.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { SLEEP } from '../kernel/sched.ts';
import type { Task } from '../kernel/task.ts';
import { NSEC_PER_MSEC } from '../kernel/time.ts';
import { copyFromUser, copyToUser } from '../mm/uaccess.ts';
import { EBADF, EFAULT, EINTR, EINVAL } from '../uapi/errno.ts';
import { O_NONBLOCK } from '../uapi/fcntl.ts';
import {
  EFD_CLOEXEC,
  EFD_NONBLOCK,
  EFD_SEMAPHORE,
  EPOLL_CLOEXEC,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLL_CTL_MOD,
  EPOLL_EVENT_BYTES,
  EPOLL_EVENT_DATA,
} from '../uapi/poll.ts';
import type { SyscallArgs } from './args.ts';
import { installFd } from './file.ts';
import { enterSigmask, leaveSigmask, PollState, pollSleep } from './poll.ts';
import { readTimespec } from './time.ts';

export function sysEventfd2(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const flags = args.int(1);
  if ((flags & ~(EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC)) !== 0) return -EINVAL;
  const { vfs } = task.fs.root.mnt.sb;
  const semaphore = (flags & EFD_SEMAPHORE) !== 0;
  const file = createEventfd(vfs, args.uint(0), flags & O_NONBLOCK, semaphore);
  return installFd(task, file, (flags & EFD_CLOEXEC) !== 0);
}

export function sysEpollCreate1(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const flags = args.int(0);
  if ((flags & ~EPOLL_CLOEXEC) !== 0) return -EINVAL;
  const file = createEpoll(task.fs.root.mnt.sb.vfs);
  return installFd(task, file, (flags & EPOLL_CLOEXEC) !== 0);
}

export function sysEpollCtl(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const op = args.int(1);
  const fd = args.int(2);
  const event: EpollEvent = { events: 0, dataLo: 0, dataHi: 0 };
  if (op !== EPOLL_CTL_DEL) {
    const bytes = new Uint8Array(EPOLL_EVENT_BYTES);
    if (copyFromUser(task.mm!, bytes, args.ulong(3)) !== 0) return -EFAULT;
    const view = new DataView(bytes.buffer);
    event.events = view.getInt32(0, true);
    event.dataLo = view.getInt32(EPOLL_EVENT_DATA, true);
    event.dataHi = view.getInt32(EPOLL_EVENT_DATA + 4, true);
  }
  const epFile = task.files.get(args.int(0));
  const file = task.files.get(fd);
  if (epFile === undefined || file === undefined) return -EBADF;
  switch (op) {
    case EPOLL_CTL_ADD:
      return epInsert(epFile, file, fd, event);
    case EPOLL_CTL_MOD:
      return epModify(epFile, file, fd, event);
    case EPOLL_CTL_DEL:
      return epDelete(epFile, file, fd);
    default:
      return -EINVAL;
  }
}

/** Most events of one call. @linux EP_MAX_EVENTS */
const EVENTS_MAX = Math.floor(0x7fff_ffff / EPOLL_EVENT_BYTES);

function putEvents(task: Task, addr: number, sent: readonly EpollEvent[]): number {
  const bytes = new Uint8Array(sent.length * EPOLL_EVENT_BYTES);
  const view = new DataView(bytes.buffer);
  sent.forEach(({ events, dataLo, dataHi }, i) => {
    const at = i * EPOLL_EVENT_BYTES;
    view.setInt32(at, events, true);
    view.setInt32(at + EPOLL_EVENT_DATA, dataLo, true);
    view.setInt32(at + EPOLL_EVENT_DATA + 4, dataHi, true);
  });
  return copyToUser(task.mm!, addr, bytes) === 0 ? sent.length : -EFAULT;
}

/** @param deadline monotonic ns. */
function epWait(
  kernel: Kernel,
  task: Task,
  ep: EventPoll,
  args: SyscallArgs,
  deadline: number,
): number {
  const sent = epSendEvents(ep, args.int(2));
  if (sent.length > 0) return putEvents(task, args.ulong(1), sent);
  task.waitOn(ep.queue);
  return pollSleep(kernel, task, deadline, EINTR);
}

function doEpollWait(kernel: Kernel, task: Task, args: SyscallArgs, timeout: number): number {
  const max = args.int(2);
  if (max <= 0 || max > EVENTS_MAX) return -EINVAL;
  const ep = epollOf(task.files.get(args.int(0)));
  if (typeof ep === 'number') return ep;
  const err = enterSigmask(task, args.ulong(4), args.ulong(5));
  if (err !== 0) return err;
  const state = task.sysState;
  const deadline = state instanceof PollState ? state.deadline : kernel.clock.now() + timeout;
  const result = epWait(kernel, task, ep, args, deadline);
  return result === SLEEP ? SLEEP : leaveSigmask(task, result);
}

export function sysEpollPwait(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const ms = args.int(3);
  const timeout = ms < 0 ? Number.POSITIVE_INFINITY : ms * NSEC_PER_MSEC;
  return doEpollWait(kernel, task, args, timeout);
}

export function sysEpollPwait2(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const addr = args.ulong(3);
  const timeout = addr === 0 ? Number.POSITIVE_INFINITY : readTimespec(task, addr);
  return timeout < 0 ? timeout : doEpollWait(kernel, task, args, timeout);
}
