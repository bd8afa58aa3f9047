/**
 * Moving pages between processes, files and pipes. What can be handed on by reference is: the
 * pages of a process (vmsplice), of the page cache (splice), of another pipe (splice, tee). All
 * else is copied.
 *
 * Nothing here waits: callers first see to it that there is something to read and room to
 * write.
 *
 * @linux fs/splice.c
 */

import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import type { Pfn } from '../arch/riscv/pgtable.ts';
import { filemapGetReadPage } from '../mm/filemap.ts';
import { getUserPages } from '../mm/gup.ts';
import { iovAdvance, iovKernel, iovSettle, type IovIter } from '../mm/iov_iter.ts';
import { EFAULT, EINVAL, EPIPE } from '../uapi/errno.ts';
import { isReg } from '../uapi/stat.ts';
import type { File } from './fs_types.ts';
import { touchAtime } from './inode.ts';
import {
  PIPE_BUF_FLAG_CAN_MERGE,
  pipeBuf,
  pipeBufCopy,
  pipeBufIter,
  pipeConsume,
  pipeEmpty,
  pipeFull,
  type PipeInodeInfo,
  pipeMoveBuffer,
  pipePopEmpty,
  pipePushFrame,
  pipePushPage,
  pipePushShared,
} from './pipe_fs_i.ts';
import { AT_POS, seekable, vfsRead, vfsWrite } from './read_write.ts';

/**
 * Puts references to the pages of user memory into a pipe, as many as there is room for.
 * @param flags PIPE_BUF_FLAG_GIFT or 0.
 * @returns bytes, or -EFAULT, -ENOMEM when there are none.
 * @linux fs/splice.c:iter_to_pipe
 */
export function iterToPipe(from: IovIter, pipe: PipeInodeInfo, flags: number): number {
  const mm = from.mm!;
  const page = new Int32Array(1);
  let done = 0;
  while (from.remaining > 0 && !pipeFull(pipe)) {
    iovSettle(from);
    const got = getUserPages(mm, from.at, 0, page);
    if (got < 0) return done > 0 ? done : got;
    const offset = from.at % PAGE_SIZE;
    const len = Math.min(PAGE_SIZE - offset, from.left);
    pipePushFrame(pipe, page[0] as Pfn, offset, len, flags);
    iovAdvance(from, len);
    done += len;
  }
  if (done > 0) pipe.readQueue.wakeAll();
  return done;
}

/** Copies what a pipe holds to user memory. @returns bytes, or -EFAULT when there are none. @linux fs/splice.c:vmsplice_to_user */
export function pipeToUser(pipe: PipeInodeInfo, to: IovIter): number {
  let done = 0;
  while (to.remaining > 0 && !pipeEmpty(pipe)) {
    const buf = pipeBuf(pipe, pipe.tail);
    const want = Math.min(buf.len, to.remaining);
    if (pipeBufCopy(pipe, buf, to, want) < want) {
      if (done === 0) return -EFAULT;
      break;
    }
    pipeConsume(pipe, want);
    done += want;
  }
  if (done > 0) pipe.writeQueue.wakeAll();
  return done;
}

/** Puts pages of the page cache into a pipe. @linux mm/filemap.c:filemap_splice_read, mm/shmem.c:shmem_file_splice_read */
function filemapSpliceRead(from: File, pos: number, pipe: PipeInodeInfo, len: number): number {
  const { mapping } = from;
  let done = 0;
  while (done < len && !pipeFull(pipe)) {
    const at = pos + done;
    const left = mapping.ops.size(mapping) - at;
    if (left <= 0) break;
    const offset = at % PAGE_SIZE;
    const pfn = filemapGetReadPage(mapping, Math.floor(at / PAGE_SIZE));
    if (pfn < 0) return done > 0 ? done : pfn;
    const n = Math.min(PAGE_SIZE - offset, left, len - done);
    pipePushFrame(pipe, pfn as Pfn, offset, n, 0);
    done += n;
  }
  touchAtime(from.inode);
  return done;
}

/** Puts copies of what a file gives into a pipe. @linux fs/splice.c:copy_splice_read */
function copySpliceRead(from: File, at: number, pipe: PipeInodeInfo, len: number): number {
  let done = 0;
  while (done < len && !pipeFull(pipe)) {
    const buf = pipePushPage(pipe, PIPE_BUF_FLAG_CAN_MERGE);
    const want = Math.min(PAGE_SIZE, len - done);
    const page = iovKernel(buf.bytes!.subarray(0, want));
    const n = vfsRead(from, page, at === AT_POS ? AT_POS : at + done);
    if (n > 0) buf.len = n;
    else pipePopEmpty(pipe);
    if (n < 0) return done > 0 ? done : n;
    done += n;
    if (n < want) break;
  }
  return done;
}

/**
 * From a file into a pipe that is not full.
 * @param pos where, AT_POS for the file's own position, which then moves.
 * @returns bytes, 0 at the end, or -errno as reading gives it.
 * @linux fs/splice.c:splice_file_to_pipe
 */
export function spliceFileToPipe(
  from: File,
  pipe: PipeInodeInfo,
  pos: number,
  len: number,
): number {
  if (from.fOps.read === undefined || from.fOps.noSplice === true) return -EINVAL;
  let done: number;
  if (!isReg(from.inode.mode) || from.inode.cache === null) {
    done = copySpliceRead(from, seekable(from) ? pos : AT_POS, pipe, len);
  } else {
    done = filemapSpliceRead(from, pos === AT_POS ? from.pos : pos, pipe, len);
    if (done > 0 && pos === AT_POS) from.pos += done;
  }
  if (done > 0) pipe.readQueue.wakeAll();
  return done;
}

/**
 * From a pipe that is not empty into a file.
 * @param pos as for spliceFileToPipe().
 * @returns bytes, or -errno as writing gives it when there are none.
 * @linux fs/splice.c:do_splice_from
 */
export function splicePipeToFile(pipe: PipeInodeInfo, to: File, pos: number, len: number): number {
  if (to.fOps.write === undefined || to.fOps.noSplice === true) return -EINVAL;
  let done = 0;
  while (done < len && !pipeEmpty(pipe)) {
    const buf = pipeBuf(pipe, pipe.tail);
    const want = Math.min(buf.len, len - done);
    const at = pos === AT_POS || !seekable(to) ? AT_POS : pos + done;
    const n = vfsWrite(to, pipeBufIter(pipe, buf, want), at);
    if (n < 0 && done === 0) return n;
    if (n <= 0) break;
    pipeConsume(pipe, n);
    done += n;
    if (n < want) break;
  }
  if (done > 0) pipe.writeQueue.wakeAll();
  return done;
}

/** From one pipe to another, whole buffers by handing them on. @returns bytes, or -EPIPE. @linux fs/splice.c:splice_pipe_to_pipe */
export function splicePipeToPipe(from: PipeInodeInfo, to: PipeInodeInfo, len: number): number {
  if (to.readers === 0) return -EPIPE;
  let done = 0;
  while (done < len && !pipeEmpty(from) && !pipeFull(to)) {
    const buf = pipeBuf(from, from.tail);
    const n = Math.min(buf.len, len - done);
    if (n === buf.len) pipeMoveBuffer(from, to);
    else {
      pipePushShared(to, buf, n);
      pipeConsume(from, n);
    }
    done += n;
  }
  if (done > 0) {
    to.readQueue.wakeAll();
    from.writeQueue.wakeAll();
  }
  return done;
}

/** Gives `to` what `from` holds and keeps. @returns bytes, or -EPIPE. @linux fs/splice.c:link_pipe */
export function linkPipe(from: PipeInodeInfo, to: PipeInodeInfo, len: number): number {
  if (to.readers === 0) return -EPIPE;
  let done = 0;
  for (let n = from.tail; n < from.head && done < len && !pipeFull(to); n++) {
    const buf = pipeBuf(from, n);
    const part = Math.min(buf.len, len - done);
    pipePushShared(to, buf, part);
    done += part;
  }
  if (done > 0) to.readQueue.wakeAll();
  return done;
}
