/**
 * A pipe: a ring of buffers, each at most one page. The bytes of a buffer are either in a page
 * of the pipe's own, which a writer filled, or in a frame of the machine that vmsplice() or
 * splice() put there: a page of a process or of a file, with a reference, whose later changes
 * the reader sees where Linux's reader would.
 *
 * @linux include/linux/pipe_fs_i.h, fs/pipe.c
 */

import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import type { Pfn } from '../arch/riscv/pgtable.ts';
import { WaitQueue } from '../lib/wait_queue.ts';
import { copyToIter, iovKernel, type IovIter } from '../mm/iov_iter.ts';
import { getPage, putPage } from '../mm/page_alloc.ts';
import { NO_PFN } from '../mm/page.ts';
import type { Inode, Vfs } from './fs_types.ts';

/** Given to the pipe for good (SPLICE_F_GIFT); taken note of, as there is nothing to steal. */
export const PIPE_BUF_FLAG_GIFT = 0x04;
/** A message of its own: a read takes no more than it and drops what it has no room for (O_DIRECT). */
export const PIPE_BUF_FLAG_PACKET = 0x08;
/** The next write may go on in this buffer's page. */
export const PIPE_BUF_FLAG_CAN_MERGE = 0x10;
/** Another buffer has the same page of a pipe's own: it is not used again. Not Linux's, which counts. */
const PIPE_BUF_FLAG_SHARED = 0x100;

/** Buffers of a new pipe. @linux PIPE_DEF_BUFFERS */
const PIPE_DEF_BUFFERS = 16;
/** Empty pages that a pipe keeps: as many as pass between two programs at a time. */
const TMP_PAGES = PIPE_DEF_BUFFERS;
/** Bytes that the pages of all pipes of a machine may take; each pipe may always have one. */
const PIPES_MAX_BYTES = 256 * 1024 * 1024;

/** struct pipe_buffer. */
export class PipeBuffer {
  /** A page of the pipe's own; null when the bytes are in `pfn`. */
  bytes: Uint8Array | null = null;
  /** A frame with a reference; NO_PFN when the bytes are in `bytes`. */
  pfn: Pfn = NO_PFN;
  /** First unread byte of the page, and unread bytes. */
  offset = 0;
  len = 0;
  /** PIPE_BUF_FLAG_*. */
  flags = 0;
}

/** struct pipe_inode_info. */
export class PipeInodeInfo {
  readonly vfs: Vfs;
  /** Ring, a power of two long; buffer n is bufs[n % length]. */
  bufs: PipeBuffer[] = newRing(PIPE_DEF_BUFFERS);
  /** Buffers ever filled, and ever emptied: the next to fill and to read. */
  head = 0;
  tail = 0;
  readers = 0;
  writers = 0;
  /** Opens ever, so that a waiting open() notices an end that came and went. */
  readerOpens = 0;
  writerOpens = 0;
  /** Pages that were read empty, for the next writes. */
  readonly tmpPages: Uint8Array[] = [];
  readonly readQueue = new WaitQueue();
  readonly writeQueue = new WaitQueue();

  constructor(vfs: Vfs) {
    this.vfs = vfs;
  }
}

function newRing(slots: number): PipeBuffer[] {
  return Array.from({ length: slots }, () => new PipeBuffer());
}

/** The pipe behind an inode, undefined for other inodes. @linux fs/splice.c:get_pipe_info */
export function pipeOf(inode: Inode): PipeInodeInfo | undefined {
  return inode.pipe instanceof PipeInodeInfo ? inode.pipe : undefined;
}

/** Buffers in use. */
export function pipeOccupancy(pipe: PipeInodeInfo): number {
  return pipe.head - pipe.tail;
}

export function pipeEmpty(pipe: PipeInodeInfo): boolean {
  return pipe.head === pipe.tail;
}

/** No buffer is free, or no page for one. */
export function pipeFull(pipe: PipeInodeInfo): boolean {
  const used = pipe.head - pipe.tail;
  if (used >= pipe.bufs.length) return true;
  return used > 0 && pipe.tmpPages.length === 0 && pipe.vfs.pipeBytes >= PIPES_MAX_BYTES;
}

/** Buffer number `n`. */
export function pipeBuf(pipe: PipeInodeInfo, n: number): PipeBuffer {
  return pipe.bufs[n % pipe.bufs.length]!;
}

/** Unread bytes. */
export function pipeBytesUsed(pipe: PipeInodeInfo): number {
  let used = 0;
  for (let n = pipe.tail; n < pipe.head; n++) used += pipeBuf(pipe, n).len;
  return used;
}

/** Appends an empty buffer with a page of the pipe's own. The pipe is not full. */
export function pipePushPage(pipe: PipeInodeInfo, flags: number): PipeBuffer {
  const buf = pipeBuf(pipe, pipe.head++);
  let page = pipe.tmpPages.pop();
  if (page === undefined) {
    page = new Uint8Array(PAGE_SIZE);
    pipe.vfs.pipeBytes += PAGE_SIZE;
  }
  buf.bytes = page;
  buf.offset = 0;
  buf.len = 0;
  buf.flags = flags;
  return buf;
}

/** Appends bytes [offset, offset + len) of a frame, whose reference the pipe takes over. The pipe is not full. */
export function pipePushFrame(
  pipe: PipeInodeInfo,
  pfn: Pfn,
  offset: number,
  len: number,
  flags: number,
): void {
  const buf = pipeBuf(pipe, pipe.head++);
  buf.pfn = pfn;
  buf.offset = offset;
  buf.len = len;
  buf.flags = flags;
}

/** Takes the last buffer off again, which has turned out to stay empty. */
export function pipePopEmpty(pipe: PipeInodeInfo): void {
  pipeBufRelease(pipe, pipeBuf(pipe, --pipe.head));
}

/**
 * Appends the first `len` bytes of `from` to another pipe, which is not full: both then have
 * the same page.
 * @linux fs/splice.c:link_pipe
 */
export function pipePushShared(pipe: PipeInodeInfo, from: PipeBuffer, len: number): void {
  const buf = pipeBuf(pipe, pipe.head++);
  buf.bytes = from.bytes;
  buf.pfn = from.pfn;
  if (from.bytes === null) getPage(pipe.vfs.pgdat, from.pfn);
  else {
    from.flags |= PIPE_BUF_FLAG_SHARED;
    pipe.vfs.pipeBytes += PAGE_SIZE;
  }
  buf.offset = from.offset;
  buf.len = len;
  // A write that went on in the page would not be seen by both, or by the wrong one.
  buf.flags = from.flags & ~(PIPE_BUF_FLAG_GIFT | PIPE_BUF_FLAG_CAN_MERGE);
}

/** Moves the first buffer of `from` to the end of `to`, which is not full. */
export function pipeMoveBuffer(from: PipeInodeInfo, to: PipeInodeInfo): void {
  const source = pipeBuf(from, from.tail++);
  const buf = pipeBuf(to, to.head++);
  Object.assign(buf, source);
  source.bytes = null;
  source.pfn = NO_PFN;
}

/** Drops what a buffer holds. @linux include/linux/pipe_fs_i.h:pipe_buf_release */
function pipeBufRelease(pipe: PipeInodeInfo, buf: PipeBuffer): void {
  if (buf.bytes === null) putPage(pipe.vfs.pgdat, buf.pfn);
  else if ((buf.flags & PIPE_BUF_FLAG_SHARED) === 0 && pipe.tmpPages.length < TMP_PAGES) {
    pipe.tmpPages.push(buf.bytes);
  } else pipe.vfs.pipeBytes -= PAGE_SIZE;
  buf.bytes = null;
  buf.pfn = NO_PFN;
}

/** Takes `n` bytes off the first buffer, and the buffer with the last of them. */
export function pipeConsume(pipe: PipeInodeInfo, n: number): void {
  const buf = pipeBuf(pipe, pipe.tail);
  buf.offset += n;
  buf.len -= n;
  if (buf.len > 0) return;
  pipeBufRelease(pipe, buf);
  pipe.tail++;
}

/** Copies the first `n` bytes of a buffer out. @returns bytes copied; fewer after a fault. */
export function pipeBufCopy(pipe: PipeInodeInfo, buf: PipeBuffer, to: IovIter, n: number): number {
  if (buf.bytes !== null) return copyToIter(to, buf.bytes, buf.offset, n);
  return copyToIter(to, pipe.vfs.pgdat.ram.u8, buf.pfn * PAGE_SIZE + buf.offset, n);
}

/** The first `n` bytes of a buffer as the source of a write. */
export function pipeBufIter(pipe: PipeInodeInfo, buf: PipeBuffer, n: number): IovIter {
  if (buf.bytes !== null) return iovKernel(buf.bytes.subarray(buf.offset, buf.offset + n));
  const at = buf.pfn * PAGE_SIZE + buf.offset;
  return iovKernel(pipe.vfs.pgdat.ram.u8.subarray(at, at + n));
}

/** Drops everything: the last end is closed. @linux fs/pipe.c:free_pipe_info */
export function freePipeInfo(pipe: PipeInodeInfo): void {
  while (!pipeEmpty(pipe)) pipeConsume(pipe, pipeBuf(pipe, pipe.tail).len);
  pipe.vfs.pipeBytes -= pipe.tmpPages.length * PAGE_SIZE;
  pipe.tmpPages.length = 0;
}

/** Gives the ring `slots` buffers (a power of two), no fewer than are in use. @linux fs/pipe.c:pipe_resize_ring */
export function pipeResizeRing(pipe: PipeInodeInfo, slots: number): void {
  const used = pipeOccupancy(pipe);
  const ring = newRing(slots);
  for (let i = 0; i < used; i++) ring[i] = pipeBuf(pipe, pipe.tail + i);
  pipe.bufs = ring;
  pipe.tail = 0;
  pipe.head = used;
}
