/** eventfd: a counter that is readable while it is not 0. @linux fs/eventfd.c */

import { TWO32 } from '../lib/bits.ts';
import { WaitQueue } from '../lib/wait_queue.ts';
import { copyFromIter, copyToIter, type IovIter } from '../mm/iov_iter.ts';
import { EAGAIN, EFAULT, EINVAL } from '../uapi/errno.ts';
import { O_RDWR } from '../uapi/fcntl.ts';
import { POLLIN, POLLOUT } from '../uapi/poll.ts';
import type { File, FileOps, PollTable, Vfs } from './fs_types.ts';
import { nullLlseek } from './llseek.ts';
import { anonFile } from './pipe.ts';

/** Reads and writes move one u64. */
const COUNT_BYTES = 8;
/** The counter stays below 2^64 - 1, this in both halves. */
const HALF_MAX = 0xffff_ffff;
const ANON_MODE = 0o600;

class EventfdCtx {
  /** The counter's two words. */
  lo: number;
  hi = 0;
  /** EFD_SEMAPHORE: a read takes 1. */
  readonly semaphore: boolean;
  readonly queue = new WaitQueue();

  constructor(count: number, semaphore: boolean) {
    this.lo = count;
    this.semaphore = semaphore;
  }
}

/** Takes all of the counter, or 1 of a semaphore. @returns what was taken, as two words. */
function take(ctx: EventfdCtx): Uint32Array {
  if (!ctx.semaphore) {
    const all = new Uint32Array([ctx.lo, ctx.hi]);
    ctx.lo = 0;
    ctx.hi = 0;
    return all;
  }
  if (ctx.lo === 0) ctx.hi--;
  ctx.lo = ctx.lo === 0 ? HALF_MAX : ctx.lo - 1;
  return new Uint32Array([1, 0]);
}

function read(file: File, to: IovIter): number {
  const ctx = file.data as EventfdCtx;
  if (to.remaining < COUNT_BYTES) return -EINVAL;
  if (ctx.lo === 0 && ctx.hi === 0) return -EAGAIN;
  const bytes = new Uint8Array(take(ctx).buffer);
  ctx.queue.wakeAll();
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
  const [addLo = 0, addHi = 0] = words;
  if (addLo === HALF_MAX && addHi === HALF_MAX) return -EINVAL;
  const carry = ctx.lo + addLo >= TWO32 ? 1 : 0;
  const lo = ctx.lo + addLo - carry * TWO32;
  const hi = ctx.hi + addHi + carry;
  if (hi > HALF_MAX || (hi === HALF_MAX && lo === HALF_MAX)) return -EAGAIN;
  ctx.lo = lo;
  ctx.hi = hi;
  if (addLo !== 0 || addHi !== 0) ctx.queue.wakeAll();
  return remaining - from.remaining;
}

function poll(file: File, pt: PollTable | null): number {
  const ctx = file.data as EventfdCtx;
  pt?.add(ctx.queue);
  const full = ctx.hi === HALF_MAX && ctx.lo >= HALF_MAX - 1;
  return (ctx.lo !== 0 || ctx.hi !== 0 ? POLLIN : 0) | (full ? 0 : POLLOUT);
}

const eventfdOps: FileOps = { noSplice: true, read, write, poll, llseek: nullLlseek };

/** @param flags O_NONBLOCK or 0. @returns a file with one reference. */
export function createEventfd(vfs: Vfs, count: number, flags: number, semaphore: boolean): File {
  const file = anonFile(vfs, 'anon_inode:[eventfd]', ANON_MODE, O_RDWR | flags, eventfdOps);
  file.data = new EventfdCtx(count, semaphore);
  return file;
}
