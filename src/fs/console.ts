/**
 * Where the host's streams meet the guest's files: a byte stream in each direction, with
 * queues for guest tasks and callbacks for the host. Standard input and output of a spawned
 * program are files of these, or of a terminal (tty.ts) that has one behind it.
 */

import { WaitQueue } from '../lib/wait_queue.ts';
import { copyFromIter, copyToIter, type IovIter } from '../mm/iov_iter.ts';
import { FMODE_READ, FMODE_WRITE, type MmStruct } from '../mm/mm_types.ts';
import { putUser32 } from '../mm/uaccess.ts';
import { EAGAIN, EFAULT, ENOTTY, EPIPE } from '../uapi/errno.ts';
import { FIONREAD } from '../uapi/ioctl.ts';
import { POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM } from '../uapi/poll.ts';
import { S_IFIFO } from '../uapi/stat.ts';
import type { File, FileOps, PollTable, Vfs } from './fs_types.ts';
import { anonFile } from './pipe.ts';

/** Bytes handed to the host in one callback at most. */
const WRITE_CHUNK = 65536;

export class HostStream {
  /** Sent by the host, not yet read by the guest. */
  private readonly chunks: Uint8Array[] = [];
  /** Bytes of the first chunk that have been read. */
  private offset = 0;
  /** Bytes waiting for the guest. */
  buffered = 0;
  /** The host will send no more. */
  ended = false;
  /** The host takes no more: writes fail with EPIPE. */
  closed = false;
  /** The host is full: writes wait for drained(). */
  congested = false;
  readonly readQueue = new WaitQueue();
  readonly writeQueue = new WaitQueue();
  /** Guest files open for reading and for writing. */
  readers = 0;
  writers = 0;
  /** Output of the guest; the bytes are the host's to keep. false: call drained() before more is sent. */
  onWrite: ((data: Uint8Array) => boolean) | null = null;
  /** Input has arrived: a terminal works on it before anybody reads. */
  onPush: (() => void) | null = null;
  /** A guest has asked for input and found none. */
  onStarved: (() => void) | null = null;
  /** Input has been read: `buffered` went down. */
  onRead: (() => void) | null = null;
  /** The last guest file for writing (reading) is closed. */
  onWritersGone: (() => void) | null = null;
  onReadersGone: (() => void) | null = null;

  /** Input from the host; the bytes become the stream's. */
  push(data: Uint8Array): void {
    if (data.length === 0 || this.ended) return;
    this.chunks.push(data);
    this.buffered += data.length;
    this.onPush?.();
    this.readQueue.wakeAll();
  }

  /** End of input. */
  end(): void {
    this.ended = true;
    this.onPush?.();
    this.readQueue.wakeAll();
  }

  /** The host can take output again. */
  drained(): void {
    this.congested = false;
    this.writeQueue.wakeAll();
  }

  /** Nobody on the host reads the output any more. */
  close(): void {
    this.closed = true;
    this.writeQueue.wakeAll();
  }

  /** Takes up to `max` bytes; null when there are none. */
  take(max: number): Uint8Array | null {
    const first = this.chunks[0];
    if (first === undefined) return null;
    const end = Math.min(first.length, this.offset + max);
    const part = first.subarray(this.offset, end);
    this.skip(part.length);
    return part;
  }

  /** Gives output to the host. Not while congested. */
  send(data: Uint8Array): void {
    if (this.onWrite !== null && !this.onWrite(data)) this.congested = true;
  }

  /** Copies input to a reader. @returns bytes copied; short after a fault. */
  copyOut(to: IovIter): number {
    let done = 0;
    while (to.remaining > 0 && this.chunks.length > 0) {
      const first = this.chunks[0]!;
      const want = Math.min(to.remaining, first.length - this.offset);
      const n = copyToIter(to, first, this.offset, want);
      this.skip(n);
      done += n;
      if (n < want) break;
    }
    return done;
  }

  private skip(n: number): void {
    if (n === 0) return;
    this.offset += n;
    this.buffered -= n;
    if (this.offset === this.chunks[0]!.length) {
      this.chunks.shift();
      this.offset = 0;
    }
    this.onRead?.();
  }
}

function streamOf(file: File): HostStream {
  return file.inode.data as HostStream;
}

function streamRead(file: File, to: IovIter): number {
  const stream = streamOf(file);
  if (to.remaining === 0) return 0;
  if (stream.buffered === 0) {
    if (stream.ended) return 0;
    stream.onStarved?.();
    // The host may have answered at once.
    if (stream.buffered === 0) return stream.ended ? 0 : -EAGAIN;
  }
  const n = stream.copyOut(to);
  return n === 0 ? -EFAULT : n;
}

function streamWrite(file: File, from: IovIter): number {
  const stream = streamOf(file);
  if (stream.closed) return -EPIPE;
  if (stream.congested) return -EAGAIN;
  if (from.remaining === 0) return 0;
  const data = new Uint8Array(Math.min(from.remaining, WRITE_CHUNK));
  const n = copyFromIter(from, data, 0, data.length);
  if (n === 0) return -EFAULT;
  stream.send(n === data.length ? data : data.subarray(0, n));
  return n;
}

function streamPoll(file: File, pt: PollTable | null): number {
  const stream = streamOf(file);
  let mask = 0;
  if ((file.fMode & FMODE_READ) !== 0) {
    pt?.add(stream.readQueue);
    if (stream.buffered === 0 && !stream.ended) stream.onStarved?.();
    if (stream.buffered > 0) mask |= POLLIN | POLLRDNORM;
    if (stream.ended) mask |= POLLHUP;
  }
  if ((file.fMode & FMODE_WRITE) !== 0) {
    pt?.add(stream.writeQueue);
    if (!stream.congested) mask |= POLLOUT | POLLWRNORM;
    if (stream.closed) mask |= POLLERR;
  }
  return mask;
}

function streamIoctl(file: File, cmd: number, arg: number, mm: MmStruct): number {
  return cmd === FIONREAD ? putUser32(mm, arg, streamOf(file).buffered) : -ENOTTY;
}

function streamOpen(file: File): number {
  const stream = streamOf(file);
  if ((file.fMode & FMODE_READ) !== 0) stream.readers++;
  if ((file.fMode & FMODE_WRITE) !== 0) stream.writers++;
  return 0;
}

function streamRelease(file: File): void {
  const stream = streamOf(file);
  if ((file.fMode & FMODE_READ) !== 0 && --stream.readers === 0) stream.onReadersGone?.();
  if ((file.fMode & FMODE_WRITE) !== 0 && --stream.writers === 0) stream.onWritersGone?.();
}

const streamFileOps: FileOps = {
  stream: true,
  open: streamOpen,
  read: streamRead,
  write: streamWrite,
  poll: streamPoll,
  ioctl: streamIoctl,
  release: streamRelease,
};

/**
 * A guest file of a host stream; to the guest it is a pipe.
 * @param flags O_RDONLY, O_WRONLY or O_RDWR.
 * @returns a file with one reference.
 */
export function openHostStream(vfs: Vfs, stream: HostStream, flags: number): File {
  const file = anonFile(vfs, 'pipe', S_IFIFO | 0o600, flags, streamFileOps);
  file.path.dentry.name = `pipe:[${file.ino}]`;
  file.inode.data = stream;
  streamOpen(file);
  return file;
}
