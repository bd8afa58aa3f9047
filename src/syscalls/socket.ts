/** Socket pairs, and sending and receiving through them. @linux net/socket.c SYSCALL_DEFINE* */

import { copyToUser, putUser32 } from '../mm/uaccess.ts';
import { iovAdvance, iovUser, type IovIter } from '../mm/iov_iter.ts';
import type { File } from '../fs/fs_types.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { SLEEP } from '../kernel/sched.ts';
import type { Task } from '../kernel/task.ts';
import {
  createSocketPair,
  RCV_SHUTDOWN,
  SEND_SHUTDOWN,
  unixRecv,
  unixSend,
  unixShutdown,
  unixSockOf,
  type UnixSock,
} from '../net/af_unix.ts';
import {
  EAFNOSUPPORT,
  EAGAIN,
  EBADF,
  EFAULT,
  EINVAL,
  EISCONN,
  ENOTSOCK,
  EOPNOTSUPP,
  EPIPE,
  EPROTONOSUPPORT,
  ESOCKTNOSUPPORT,
} from '../uapi/errno.ts';
import { MAX_RW_COUNT } from '../uapi/fcntl.ts';
import * as uapi from '../uapi/socket.ts';
import type { SyscallArgs } from './args.ts';
import { installFd } from './file.ts';
import { brokenPipe, waitForFile } from './file_wait.ts';

/** Bytes that a send which sleeps has already sent. */
class SendProgress {
  done = 0;
}

/** An open socket. */
interface OpenSock {
  readonly file: File;
  readonly sock: UnixSock;
}

/** What a descriptor means. @returns it, -EBADF or -ENOTSOCK. @linux net/socket.c:sockfd_lookup_light */
function sockfdLookup(task: Task, fd: number): OpenSock | number {
  const file = task.files.get(fd);
  if (file === undefined) return -EBADF;
  const sock = unixSockOf(file);
  return sock === undefined ? -ENOTSOCK : { file, sock };
}

/** The type of a local socket, as socketpair() is asked for it. @returns SOCK_* or -errno. */
function unixType(family: number, type: number, protocol: number): number {
  if (family < 0 || family >= uapi.AF_MAX || family !== uapi.AF_UNIX) return -EAFNOSUPPORT;
  if (type < 0 || type >= uapi.SOCK_MAX) return -EINVAL;
  if (protocol !== 0 && protocol !== uapi.AF_UNIX) return -EPROTONOSUPPORT;
  switch (type) {
    case uapi.SOCK_STREAM:
    case uapi.SOCK_SEQPACKET:
    case uapi.SOCK_DGRAM:
      return type;
    case uapi.SOCK_RAW:
      return uapi.SOCK_DGRAM;
    default:
      return -ESOCKTNOSUPPORT;
  }
}

export function sysSocketpair(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const flags = args.int(1) & ~uapi.SOCK_TYPE_MASK;
  if ((flags & ~(uapi.SOCK_CLOEXEC | uapi.SOCK_NONBLOCK)) !== 0) return -EINVAL;
  const type = unixType(args.int(0), args.int(1) & uapi.SOCK_TYPE_MASK, args.int(2));
  if (type < 0) return type;
  const cloexec = (flags & uapi.SOCK_CLOEXEC) !== 0;
  const { vfs } = task.fs.root.mnt.sb;
  const [a, b] = createSocketPair(vfs, type, flags & uapi.SOCK_NONBLOCK);
  const first = installFd(task, a, cloexec);
  if (first < 0) {
    b.putFile();
    return first;
  }
  const second = installFd(task, b, cloexec);
  if (second < 0) {
    task.files.close(first);
    return second;
  }
  const fds = new Uint8Array(new Int32Array([first, second]).buffer);
  if (copyToUser(task.mm!, args.ulong(3), fds) === 0) return 0;
  task.files.close(first);
  task.files.close(second);
  return -EFAULT;
}

export function sysShutdown(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const found = sockfdLookup(task, args.int(0));
  if (typeof found === 'number') return found;
  const how = args.int(1);
  if (how < uapi.SHUT_RD || how > uapi.SHUT_RDWR) return -EINVAL;
  const masks = [RCV_SHUTDOWN, SEND_SHUTDOWN, RCV_SHUTDOWN | SEND_SHUTDOWN] as const;
  unixShutdown(found.sock, masks[how]!);
  return 0;
}

/** Sleeps for the socket unless the call or the file says not to. */
function waitForSocket(task: Task, file: File, flags: number): number {
  return (flags & uapi.MSG_DONTWAIT) !== 0 ? -EAGAIN : waitForFile(task, file);
}

/** The user's buffer of a call. @returns the iterator or -EINVAL for a length that is negative as ssize_t. */
function buffer(task: Task, args: SyscallArgs): IovIter | number {
  const len = args.ulong(2);
  if (len >= 2 ** 63) return -EINVAL;
  return iovUser(task.mm!, args.ulong(1), Math.min(len, MAX_RW_COUNT));
}

export function sysSendto(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const found = sockfdLookup(task, args.int(0));
  if (typeof found === 'number') return found;
  const { file, sock } = found;
  const flags = args.int(3);
  if ((flags & uapi.MSG_OOB) !== 0) return -EOPNOTSUPP;
  if (args.ulong(4) !== 0) return -EISCONN;
  const from = buffer(task, args);
  if (typeof from === 'number') return from;
  let done = task.sysState instanceof SendProgress ? task.sysState.done : 0;
  if (done > 0) iovAdvance(from, done);
  for (;;) {
    const n = unixSend(sock, from);
    if (n >= 0) done += n;
    if (n >= 0 && (from.remaining === 0 || file.fOps.stream !== true)) return done;
    if (n === -EAGAIN) return blockSend(task, file, flags, done);
    if (n === -EPIPE && (flags & uapi.MSG_NOSIGNAL) === 0) brokenPipe(task);
    if (n < 0) return done > 0 ? done : n;
  }
}

/** Nothing more can be sent now: sleeps with what is done in mind. */
function blockSend(task: Task, file: File, flags: number, done: number): number {
  const progress = new SendProgress();
  progress.done = done;
  const result = waitForSocket(task, file, flags);
  if (result !== SLEEP) return done > 0 ? done : result;
  task.sysState = progress;
  return SLEEP;
}

export function sysRecvfrom(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const found = sockfdLookup(task, args.int(0));
  if (typeof found === 'number') return found;
  const { file, sock } = found;
  const flags = args.int(3);
  if ((flags & uapi.MSG_OOB) !== 0) return -EOPNOTSUPP;
  const to = buffer(task, args);
  if (typeof to === 'number') return to;
  const n = unixRecv(sock, to, flags);
  if (n === -EAGAIN) return waitForSocket(task, file, flags);
  // The other end of a pair has no name.
  if (n >= 0 && args.ulong(4) !== 0 && putUser32(task.mm!, args.ulong(5), 0) !== 0) return -EFAULT;
  return n;
}
