/** eventfd: a counter that is readable while it is not 0. @linux fs/eventfd.c */

import { TWO32, fromHalves } from '../lib/bits.ts';
import { WaitQueue } from '../lib/wait_queue.ts';
import { copyFromIter, copyToIter, type IovIter } from '../mm/iov_iter.ts';
import { EAGAIN, EFAULT, EINVAL } from '../uapi/errno.ts';
import { O_RDWR } from '../uapi/fcntl.ts';
import { POLLERR, POLLIN, POLLOUT } from '../uapi/poll.ts';
import type { File, FileOps, PollTable, Vfs } from './fs_types.ts';
import { anonFile } from './pipe.ts';

/** Reads and writes move one u64. */
const COUNT_BYTES = 8;
/** The counter stays below 2^64 - 1. Above 2^53 it is kept rounded. */
const COUNT_MAX = 2 ** 64 - 2 ** 11;
const ANON_MODE = 0o600;

class EventfdCtx {
  count: number;
  /** EFD_SEMAPHORE: a read takes 1. */
  readonly semaphore: boolean;
  readonly queue = new WaitQueue();

  constructor(count: number, semaphore: boolean) {
    this.count = count;
    this.semaphore = semaphore;
  }
}

function read(file: File, to: IovIter): number {
  const ctx = file.data as EventfdCtx;
  if (to.remaining < COUNT_BYTES) return -EINVAL;
  if (ctx.count === 0) return -EAGAIN;
  const taken = ctx.semaphore ? 1 : ctx.count;
  const words = new Uint32Array([taken % TWO32, Math.floor(taken / TWO32)]);
  ctx.count -= taken;
  ctx.queue.wakeAll();
  const bytes = new Uint8Array(words.buffer);
  return copyToIter(to, bytes, 0, COUNT_BYTES) === COUNT_BYTES ? COUNT_BYTES : -EFAULT;
}

function write(file: File, from: IovIter): number {
  const ctx = file.data as EventfdCtx;
  if (from.remaining < COUNT_BYTES) return -EINVAL;
  const words = new Uint32Array(2);
  const bytes = new Uint8Array(words.buffer);
  // Looked at before it is taken: a write that has to wait is made again.
  const { remaining } = from;
  if (copyFromIter(from, bytes, 0, COUNT_BYTES) !== COUNT_BYTES) return -EFAULT;
  const value = fromHalves(words[0]!, words[1]!);
  if (value >= TWO32 * TWO32 - 1 && words[0] === 0xffff_ffff) return -EINVAL;
  if (ctx.count + value > COUNT_MAX) return -EAGAIN;
  ctx.count += value;
  if (value > 0) ctx.queue.wakeAll();
  return remaining - from.remaining;
}

function poll(file: File, pt: PollTable | null): number {
  const ctx = file.data as EventfdCtx;
  pt?.add(ctx.queue);
  let mask = 0;
  if (ctx.count > 0) mask |= POLLIN;
  if (ctx.count >= COUNT_MAX) mask |= POLLERR;
  if (ctx.count < COUNT_MAX - 1) mask |= POLLOUT;
  return mask;
}

const eventfdOps: FileOps = { read, write, poll };

/** @param flags O_NONBLOCK or 0. @returns a file with one reference. */
export function createEventfd(vfs: Vfs, count: number, flags: number, semaphore: boolean): File {
  const file = anonFile(vfs, 'anon_inode:[eventfd]', ANON_MODE, O_RDWR | flags, eventfdOps);
  file.data = new EventfdCtx(count, semaphore);
  return file;
}
