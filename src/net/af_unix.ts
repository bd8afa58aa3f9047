/**
 * Connected pairs of local sockets, as socketpair() makes them.
 *
 *     a.write --> [ chunk chunk ... ] b's queue --> b.read
 *
 * A stream's chunks run together; of the other types each chunk is one message.
 *
 * @linux net/unix/af_unix.c
 */

import { copyFromIter, copyToIter, type IovIter } from '../mm/iov_iter.ts';
import type { MmStruct } from '../mm/mm_types.ts';
import { putUser32 } from '../mm/uaccess.ts';
import { WaitQueue } from '../lib/wait_queue.ts';
import {
  EAGAIN,
  ECONNREFUSED,
  ECONNRESET,
  EFAULT,
  EMSGSIZE,
  ENOBUFS,
  ENOTTY,
  EPIPE,
} from '../uapi/errno.ts';
import { O_RDWR } from '../uapi/fcntl.ts';
import { FIONREAD } from '../uapi/ioctl.ts';
import {
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLOUT,
  POLLRDHUP,
  POLLRDNORM,
  POLLWRBAND,
  POLLWRNORM,
} from '../uapi/poll.ts';
import { MSG_PEEK, MSG_TRUNC, SOCK_DGRAM, SOCK_STREAM } from '../uapi/socket.ts';
import { S_IFSOCK } from '../uapi/stat.ts';
import type { File, FileOps, PollTable, Vfs } from '../fs/fs_types.ts';
import { anonFile } from '../fs/pipe.ts';

export const RCV_SHUTDOWN = 1;
export const SEND_SHUTDOWN = 2;
const SHUTDOWN_MASK = RCV_SHUTDOWN | SEND_SHUTDOWN;

/** Bytes on the way in one direction, headers included. @linux net.core.wmem_default */
const SNDBUF = 212_992;
/** What a chunk costs beyond its bytes. @linux SKB_TRUESIZE(0) */
const SKB_OVERHEAD = 640;
/** A socket is writable while a quarter of its buffer at most is taken. @linux net/unix/af_unix.c:unix_writable */
const WRITABLE_SHARE = 4;
/** Bytes on the way in all sockets of a machine. */
const SOCKETS_MAX_BYTES = 64 * 1024 * 1024;

export class UnixSock {
  readonly vfs: Vfs;
  /** SOCK_STREAM, SOCK_DGRAM or SOCK_SEQPACKET. */
  readonly type: number;
  /** The other end; null once it is closed. */
  peer: UnixSock | null = null;
  /** What the other end has sent. */
  readonly queue: Uint8Array[] = [];
  /** Bytes of the first chunk that were read; of streams only. */
  readBytes = 0;
  /** What the queue takes of the other end's buffer. */
  charged = 0;
  shutdown = 0;
  /** Told once by whatever comes next: ECONNRESET, or 0. */
  error = 0;
  /** Data, room or an end has come. */
  readonly wait = new WaitQueue();

  constructor(vfs: Vfs, type: number) {
    this.vfs = vfs;
    this.type = type;
  }
}

/** The socket behind a file, undefined for other files. */
export function unixSockOf(file: File): UnixSock | undefined {
  return file.data instanceof UnixSock ? file.data : undefined;
}

function charge(sock: UnixSock, bytes: number): void {
  sock.charged += bytes;
  sock.vfs.socketBytes += bytes;
}

function takeError(sock: UnixSock): number {
  const { error } = sock;
  sock.error = 0;
  return -error;
}

/** Takes the first chunk out of the queue. */
function dequeue(sock: UnixSock): void {
  const chunk = sock.queue.shift();
  if (chunk === undefined) return;
  sock.readBytes = 0;
  charge(sock, -(chunk.length + SKB_OVERHEAD));
  sock.peer?.wait.wakeAll();
}

/** What a read of an empty queue gives: 0 at the end, else -errno. */
function emptyResult(sock: UnixSock): number {
  if (sock.error !== 0) return takeError(sock);
  return (sock.shutdown & RCV_SHUTDOWN) !== 0 ? 0 : -EAGAIN;
}

/** @linux net/unix/af_unix.c:unix_stream_read_generic */
function streamRead(sock: UnixSock, to: IovIter, peek: boolean): number {
  if (sock.queue.length === 0) return emptyResult(sock);
  let done = 0;
  let skip = sock.readBytes;
  for (let i = 0; i < sock.queue.length && to.remaining > 0; ) {
    const chunk = sock.queue[i]!;
    const want = Math.min(to.remaining, chunk.length - skip);
    const n = copyToIter(to, chunk, skip, want);
    done += n;
    if (peek) {
      i++;
      skip = 0;
    } else {
      sock.readBytes += n;
      if (sock.readBytes === chunk.length) dequeue(sock);
      skip = sock.readBytes;
    }
    if (n < want) return done === 0 ? -EFAULT : done;
  }
  return done;
}

/** One message; what does not fit is lost. @linux net/unix/af_unix.c:__unix_dgram_recvmsg */
function packetRead(sock: UnixSock, to: IovIter, flags: number): number {
  const packet = sock.queue[0];
  if (packet === undefined) return emptyResult(sock);
  const want = Math.min(to.remaining, packet.length);
  if (copyToIter(to, packet, 0, want) < want) return -EFAULT;
  if ((flags & MSG_PEEK) === 0) dequeue(sock);
  return (flags & MSG_TRUNC) !== 0 ? packet.length : want;
}

/**
 * @param flags MSG_PEEK, MSG_TRUNC.
 * @returns bytes, 0 at the end, -EAGAIN when there is nothing yet, -ECONNRESET, -EFAULT.
 */
export function unixRecv(sock: UnixSock, to: IovIter, flags: number): number {
  return sock.type === SOCK_STREAM
    ? streamRead(sock, to, (flags & MSG_PEEK) !== 0)
    : packetRead(sock, to, flags);
}

/** Puts the next `bytes` of the iterator into the peer's queue. */
function enqueue(peer: UnixSock, from: IovIter, bytes: number): number {
  const cost = bytes + SKB_OVERHEAD;
  if (peer.vfs.socketBytes + cost > SOCKETS_MAX_BYTES) return -ENOBUFS;
  const chunk = new Uint8Array(bytes);
  if (copyFromIter(from, chunk, 0, bytes) < bytes) return -EFAULT;
  peer.queue.push(chunk);
  charge(peer, cost);
  peer.wait.wakeAll();
  return bytes;
}

/** @returns why nothing can be sent any more, or 0. */
function sendError(sock: UnixSock): number {
  if ((sock.shutdown & SEND_SHUTDOWN) !== 0) return -EPIPE;
  if (sock.error !== 0) return takeError(sock);
  const { peer } = sock;
  if (peer === null) return sock.type === SOCK_DGRAM ? -ECONNREFUSED : -EPIPE;
  return (peer.shutdown & RCV_SHUTDOWN) !== 0 ? -EPIPE : 0;
}

/** @returns bytes, fewer than asked of a stream that is full; -EAGAIN, -EPIPE, -EMSGSIZE, -ECONNREFUSED, -ECONNRESET, -ENOBUFS, -EFAULT. */
export function unixSend(sock: UnixSock, from: IovIter): number {
  const err = sendError(sock);
  if (err !== 0) return err;
  const peer = sock.peer!;
  const room = SNDBUF - SKB_OVERHEAD - peer.charged;
  if (sock.type === SOCK_STREAM) {
    if (from.remaining === 0) return 0;
    return room <= 0 ? -EAGAIN : enqueue(peer, from, Math.min(room, from.remaining));
  }
  if (from.remaining > SNDBUF - SKB_OVERHEAD) return -EMSGSIZE;
  return room < from.remaining ? -EAGAIN : enqueue(peer, from, from.remaining);
}

function unixRead(file: File, to: IovIter): number {
  return to.remaining === 0 ? 0 : unixRecv(file.data as UnixSock, to, 0);
}

function unixWrite(file: File, from: IovIter): number {
  return unixSend(file.data as UnixSock, from);
}

function unixPoll(file: File, pt: PollTable | null): number {
  const sock = file.data as UnixSock;
  pt?.add(sock.wait);
  let mask = 0;
  if (sock.error !== 0) mask |= POLLERR;
  if (sock.shutdown === SHUTDOWN_MASK) mask |= POLLHUP;
  if ((sock.shutdown & RCV_SHUTDOWN) !== 0) mask |= POLLRDHUP | POLLIN | POLLRDNORM;
  if (sock.queue.length > 0) mask |= POLLIN | POLLRDNORM;
  const charged = sock.peer?.charged ?? 0;
  if (charged * WRITABLE_SHARE <= SNDBUF) mask |= POLLOUT | POLLWRNORM | POLLWRBAND;
  return mask;
}

/** SIOCINQ: all bytes, or those of the next message without a connection. @linux net/unix/af_unix.c:unix_inq_len */
function unixIoctl(file: File, cmd: number, arg: number, mm: MmStruct): number {
  if (cmd !== FIONREAD) return -ENOTTY;
  const sock = file.data as UnixSock;
  const { queue } = sock;
  let bytes = (queue[0]?.length ?? 0) - sock.readBytes;
  if (sock.type !== SOCK_DGRAM) for (let i = 1; i < queue.length; i++) bytes += queue[i]!.length;
  return putUser32(mm, arg, bytes);
}

/** Closes directions of a socket, and the other end's with them. @linux net/unix/af_unix.c:unix_shutdown */
export function unixShutdown(sock: UnixSock, how: number): void {
  sock.shutdown |= how;
  const { peer } = sock;
  if (peer !== null && sock.type !== SOCK_DGRAM) {
    if ((how & RCV_SHUTDOWN) !== 0) peer.shutdown |= SEND_SHUTDOWN;
    if ((how & SEND_SHUTDOWN) !== 0) peer.shutdown |= RCV_SHUTDOWN;
  }
  sock.wait.wakeAll();
  peer?.wait.wakeAll();
}

/** @linux net/unix/af_unix.c:unix_release_sock */
function unixRelease(file: File): void {
  const sock = file.data as UnixSock;
  const { peer } = sock;
  const unread = sock.queue.length > 0;
  charge(sock, -sock.charged);
  sock.queue.length = 0;
  sock.peer = null;
  if (peer === null) return;
  peer.peer = null;
  if (peer.type !== SOCK_DGRAM) {
    peer.shutdown = SHUTDOWN_MASK;
    if (unread) peer.error = ECONNRESET;
  }
  peer.wait.wakeAll();
}

const packetOps: FileOps = {
  read: unixRead,
  write: unixWrite,
  poll: unixPoll,
  ioctl: unixIoctl,
  release: unixRelease,
};
const streamOps: FileOps = { ...packetOps, stream: true };

function sockFile(vfs: Vfs, sock: UnixSock, flags: number): File {
  const ops = sock.type === SOCK_STREAM ? streamOps : packetOps;
  const file = anonFile(vfs, 'socket:', S_IFSOCK | 0o777, O_RDWR | flags, ops);
  file.path.dentry.name = `socket:[${file.inode.ino}]`;
  file.data = sock;
  return file;
}

/**
 * Two connected sockets, one reference each.
 * @param flags O_NONBLOCK or 0.
 * @linux net/unix/af_unix.c:unix_socketpair
 */
export function createSocketPair(vfs: Vfs, type: number, flags: number): [File, File] {
  const a = new UnixSock(vfs, type);
  const b = new UnixSock(vfs, type);
  a.peer = b;
  b.peer = a;
  return [sockFile(vfs, a, flags), sockFile(vfs, b, flags)];
}
