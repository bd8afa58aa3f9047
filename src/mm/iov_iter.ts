/**
 * Source or sink of a read or write: user memory in one or more segments, or a kernel buffer.
 * It remembers how far it got.
 *
 * @linux lib/iov_iter.c
 */

import type { Vaddr } from '../arch/riscv/pgtable.ts';
import type { MmStruct } from './mm_types.ts';
import { rawClearUser, rawCopyFromUser, rawCopyToUser } from './uaccess.ts';

export interface UserSegment {
  readonly addr: Vaddr;
  readonly len: number;
}

export class IovIter {
  /** Bytes left in all segments. */
  remaining = 0;
  /** User memory, or null for a kernel buffer. */
  mm: MmStruct | null = null;
  buffer: Uint8Array | null = null;
  /** What is left of the current segment: address, or offset in `buffer`. */
  at = 0;
  left = 0;
  /** Segments after the current one, and how many of them are used up. */
  more: readonly UserSegment[] | null = null;
  next = 0;
}

export function iovUser(mm: MmStruct, addr: Vaddr, len: number): IovIter {
  const it = new IovIter();
  it.mm = mm;
  it.at = addr;
  it.left = len;
  it.remaining = len;
  return it;
}

/** Segments may be empty; their order is the order of the bytes. */
export function iovUserVec(mm: MmStruct, segments: readonly UserSegment[]): IovIter {
  const it = new IovIter();
  it.mm = mm;
  it.more = segments;
  for (let i = 0; i < segments.length; i++) it.remaining += segments[i]!.len;
  return it;
}

export function iovKernel(buffer: Uint8Array): IovIter {
  const it = new IovIter();
  it.buffer = buffer;
  it.left = buffer.length;
  it.remaining = buffer.length;
  return it;
}

/** Enters the next segment when the current one is used up: `at` and `left` say where the next byte is. */
export function iovSettle(it: IovIter): void {
  while (it.left === 0 && it.more !== null && it.next < it.more.length) {
    const segment = it.more[it.next++]!;
    it.at = segment.addr;
    it.left = segment.len;
  }
}

function advance(it: IovIter, n: number): void {
  it.at += n;
  it.left -= n;
  it.remaining -= n;
}

/** Skips `n` bytes that were consumed otherwise; n <= remaining. */
export function iovAdvance(it: IovIter, n: number): void {
  let skip = n;
  while (skip > 0) {
    iovSettle(it);
    const part = Math.min(skip, it.left);
    advance(it, part);
    skip -= part;
  }
}

/** Copies src[offset, offset + n) into the iterator. @returns bytes copied; fewer than min(n, remaining) after a fault. */
export function copyToIter(it: IovIter, src: Uint8Array, offset: number, n: number): number {
  const total = Math.min(n, it.remaining);
  let done = 0;
  while (done < total) {
    iovSettle(it);
    const part = Math.min(total - done, it.left);
    const from = offset + done;
    let copied = part;
    if (it.mm !== null) copied = rawCopyToUser(it.mm, it.at, src, from, part);
    else it.buffer!.set(src.subarray(from, from + part), it.at);
    advance(it, copied);
    done += copied;
    if (copied < part) break;
  }
  return done;
}

/** Copies from the iterator into dst[offset, offset + n). @returns bytes copied; fewer than min(n, remaining) after a fault. */
export function copyFromIter(it: IovIter, dst: Uint8Array, offset: number, n: number): number {
  const total = Math.min(n, it.remaining);
  let done = 0;
  while (done < total) {
    iovSettle(it);
    const part = Math.min(total - done, it.left);
    let copied = part;
    if (it.mm !== null) copied = rawCopyFromUser(it.mm, dst, offset + done, it.at, part);
    else dst.set(it.buffer!.subarray(it.at, it.at + part), offset + done);
    advance(it, copied);
    done += copied;
    if (copied < part) break;
  }
  return done;
}

/** Zeroes the next `n` bytes of the sink. @returns bytes zeroed. */
export function iovZero(it: IovIter, n: number): number {
  const total = Math.min(n, it.remaining);
  let done = 0;
  while (done < total) {
    iovSettle(it);
    const part = Math.min(total - done, it.left);
    let cleared = part;
    if (it.mm !== null) cleared = rawClearUser(it.mm, it.at, part);
    else it.buffer!.fill(0, it.at, it.at + part);
    advance(it, cleared);
    done += cleared;
    if (cleared < part) break;
  }
  return done;
}
