/**
 * Pipes and fifos: their ends, reading and writing. What lies in between is pipe_fs_i.ts.
 *
 * @linux fs/pipe.c
 */

import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import type { WaitQueue } from '../lib/wait_queue.ts';
import { copyFromIter, type IovIter } from '../mm/iov_iter.ts';
import { putUser32 } from '../mm/uaccess.ts';
import { FMODE_READ, FMODE_WRITE, type MmStruct } from '../mm/mm_types.ts';
import {
  EAGAIN,
  EBADF,
  EBUSY,
  EFAULT,
  EINVAL,
  ENOTTY,
  ENXIO,
  EPERM,
  EPIPE,
} from '../uapi/errno.ts';
import { O_ACCMODE, O_DIRECT, O_NONBLOCK, O_RDONLY, O_WRONLY } from '../uapi/fcntl.ts';
import { FIONREAD } from '../uapi/ioctl.ts';
import { POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM } from '../uapi/poll.ts';
import { S_IFIFO } from '../uapi/stat.ts';
import { PIPEFS_MAGIC } from '../uapi/statfs.ts';
import {
  Dentry,
  File,
  Inode,
  Path,
  type FileOps,
  type FsCred,
  type PollTable,
  type Vfs,
} from './fs_types.ts';
import {
  freePipeInfo,
  PIPE_BUF_FLAG_CAN_MERGE,
  PIPE_BUF_FLAG_PACKET,
  pipeBuf,
  pipeBufCopy,
  pipeBytesUsed,
  pipeConsume,
  pipeEmpty,
  pipeFull,
  PipeInodeInfo,
  pipeOccupancy,
  pipeOf,
  pipePopEmpty,
  pipePushPage,
  pipeResizeRing,
} from './pipe_fs_i.ts';
import { kernMount } from './super.ts';

/** Most an ordinary user may ask for. @linux pipe_max_size */
export const PIPE_MAX_BYTES = 1024 * 1024;
/** Most anybody may ask for. */
const PIPE_LIMIT_BYTES = 64 * 1024 * 1024;

/** @linux fs/pipe.c:pipe_read */
function pipeRead(file: File, to: IovIter): number {
  const pipe = file.data as PipeInodeInfo;
  if (to.remaining === 0) return 0;
  if (pipeEmpty(pipe)) return pipe.writers === 0 ? 0 : -EAGAIN;
  let done = 0;
  while (!pipeEmpty(pipe) && to.remaining > 0) {
    const buf = pipeBuf(pipe, pipe.tail);
    const want = Math.min(buf.len, to.remaining);
    const packet = (buf.flags & PIPE_BUF_FLAG_PACKET) !== 0;
    if (pipeBufCopy(pipe, buf, to, want) < want) {
      if (done === 0) return -EFAULT;
      break;
    }
    pipeConsume(pipe, packet ? buf.len : want);
    done += want;
    if (packet) break;
  }
  pipe.writeQueue.wakeAll();
  return done;
}

/**
 * Goes on in the page of the last buffer with what would not fill a page of its own.
 * @returns bytes written, or -EFAULT.
 */
function mergeIntoLast(pipe: PipeInodeInfo, from: IovIter): number {
  const chars = from.remaining % PAGE_SIZE;
  if (chars === 0 || pipeEmpty(pipe)) return 0;
  const buf = pipeBuf(pipe, pipe.head - 1);
  const end = buf.offset + buf.len;
  if ((buf.flags & PIPE_BUF_FLAG_CAN_MERGE) === 0 || end + chars > PAGE_SIZE) return 0;
  if (copyFromIter(from, buf.bytes!, end, chars) < chars) return -EFAULT;
  buf.len += chars;
  return chars;
}

/**
 * A write of up to PIPE_BUF bytes takes one buffer, or the rest of one, and so goes in whole
 * or not at all.
 * @linux fs/pipe.c:pipe_write
 */
function pipeWrite(file: File, from: IovIter): number {
  const pipe = file.data as PipeInodeInfo;
  if (from.remaining === 0) return 0;
  if (pipe.readers === 0) return -EPIPE;
  const packet = (file.flags & O_DIRECT) !== 0;
  let done = mergeIntoLast(pipe, from);
  if (done < 0) return done;
  while (from.remaining > 0) {
    if (pipeFull(pipe)) {
      if (done === 0) return -EAGAIN;
      break;
    }
    const buf = pipePushPage(pipe, packet ? PIPE_BUF_FLAG_PACKET : PIPE_BUF_FLAG_CAN_MERGE);
    const want = Math.min(from.remaining, PAGE_SIZE);
    if (copyFromIter(from, buf.bytes!, 0, want) < want) {
      pipePopEmpty(pipe);
      if (done === 0) return -EFAULT;
      break;
    }
    buf.len = want;
    done += want;
  }
  pipe.readQueue.wakeAll();
  return done;
}

function pipePoll(file: File, pt: PollTable | null): number {
  const pipe = file.data as PipeInodeInfo;
  let mask = 0;
  if ((file.fMode & FMODE_READ) !== 0) {
    pt?.add(pipe.readQueue);
    if (!pipeEmpty(pipe)) mask |= POLLIN | POLLRDNORM;
    // A fifo that never had a writer is not hung up.
    if (pipe.writers === 0 && file.pos !== pipe.writerOpens) mask |= POLLHUP;
  }
  if ((file.fMode & FMODE_WRITE) !== 0) {
    pt?.add(pipe.writeQueue);
    if (!pipeFull(pipe)) mask |= POLLOUT | POLLWRNORM;
    if (pipe.readers === 0) mask |= POLLERR;
  }
  return mask;
}

function pipeIoctl(file: File, cmd: number, arg: number, mm: MmStruct): number {
  if (cmd !== FIONREAD) return -ENOTTY;
  return putUser32(mm, arg, pipeBytesUsed(file.data as PipeInodeInfo));
}

function pipeRelease(file: File): void {
  const pipe = file.data as PipeInodeInfo | null;
  if (pipe === null) return;
  if ((file.fMode & FMODE_READ) !== 0) pipe.readers--;
  if ((file.fMode & FMODE_WRITE) !== 0) pipe.writers--;
  pipe.readQueue.wakeAll();
  pipe.writeQueue.wakeAll();
  if (pipe.readers > 0 || pipe.writers > 0) return;
  freePipeInfo(pipe);
  file.inode.pipe = null;
}

/** Counts a new end in. */
function connect(file: File, pipe: PipeInodeInfo): void {
  file.data = pipe;
  if ((file.fMode & FMODE_READ) !== 0) {
    pipe.readers++;
    pipe.readerOpens++;
    pipe.writeQueue.wakeAll();
  }
  if ((file.fMode & FMODE_WRITE) !== 0) {
    pipe.writers++;
    pipe.writerOpens++;
    pipe.readQueue.wakeAll();
  }
}

/**
 * Opens one end of a fifo (or, through /proc, of a pipe). It does not wait: fifoOpenWaits()
 * says whether the caller has to.
 * @returns 0, or -ENXIO for a non-blocking writer without a reader.
 * @linux fs/pipe.c:fifo_open
 */
function fifoOpen(file: File): number {
  const { inode } = file;
  const pipe = pipeOf(inode) ?? new PipeInodeInfo(inode.sb.vfs);
  const nonblocking = (file.flags & O_NONBLOCK) !== 0;
  const writeOnly = (file.flags & O_ACCMODE) === O_WRONLY;
  const fifo = !inode.sb.pseudo;
  if (fifo && writeOnly && nonblocking && pipe.readers === 0) return -ENXIO;
  inode.pipe = pipe;
  // poll() must tell "no writer yet" from "the writer has gone".
  file.pos = !fifo || pipe.writers > 0 ? -1 : pipe.writerOpens;
  connect(file, pipe);
  return 0;
}

/** A fifo opened for one direction waits for the other end. */
export interface FifoWait {
  readonly queue: WaitQueue;
  /** Whether the other end has come. */
  readonly ready: () => boolean;
}

/** What the opener of `file` has to wait for; null = nothing. */
export function fifoOpenWait(file: File): FifoWait | null {
  const pipe = file.data;
  if (!(pipe instanceof PipeInodeInfo) || (file.flags & O_NONBLOCK) !== 0) return null;
  // A pipe opened again through /proc has had both ends from the start.
  if (file.inode.sb.pseudo) return null;
  const mode = file.flags & O_ACCMODE;
  const { readerOpens, writerOpens } = pipe;
  if (mode === O_RDONLY && pipe.writers === 0) {
    const ready = (): boolean => pipe.writers > 0 || pipe.writerOpens !== writerOpens;
    return { queue: pipe.readQueue, ready };
  }
  if (mode === O_WRONLY && pipe.readers === 0) {
    const ready = (): boolean => pipe.readers > 0 || pipe.readerOpens !== readerOpens;
    return { queue: pipe.writeQueue, ready };
  }
  return null;
}

const pipeFileOps: FileOps = {
  stream: true,
  open: fifoOpen,
  read: pipeRead,
  write: pipeWrite,
  poll: pipePoll,
  ioctl: pipeIoctl,
  release: pipeRelease,
};

/** Makes pipes, and all else without a path, possible in a new machine. @linux fs/anon_inodes.c, fs/pipe.c:init_pipe_fs */
export function initPipefs(vfs: Vfs): void {
  vfs.anonMount = kernMount(vfs, 'pipefs', PIPEFS_MAGIC);
  vfs.fifoOps = pipeFileOps;
}

/**
 * An open file of an inode without a path.
 * @param name what /proc/PID/fd shows, `[INO]` not included.
 */
export function anonFile(vfs: Vfs, name: string, mode: number, flags: number, ops: FileOps): File {
  const mount = vfs.anonMount!;
  const inode = new Inode(mount.sb, mode, {}, ops);
  inode.nlink = 1;
  return new File(new Path(mount, new Dentry(mount.sb, mount.root, name, inode)), flags, ops);
}

/**
 * The two ends of a new pipe: [for reading, for writing], one reference each.
 * @param flags O_NONBLOCK for both ends, O_DIRECT for messages.
 */
export function createPipe(vfs: Vfs, flags: number, cred: FsCred): [File, File] {
  const mount = vfs.anonMount!;
  const inode = new Inode(mount.sb, S_IFIFO | 0o600, {}, pipeFileOps);
  inode.uid = cred.fsuid;
  inode.gid = cred.fsgid;
  const pipe = new PipeInodeInfo(vfs);
  inode.pipe = pipe;
  const path = new Path(mount, new Dentry(mount.sb, mount.root, `pipe:[${inode.ino}]`, inode));
  const reader = new File(path, O_RDONLY | (flags & ~O_DIRECT), pipeFileOps);
  const writer = new File(path, O_WRONLY | flags, pipeFileOps);
  connect(reader, pipe);
  connect(writer, pipe);
  reader.pos = -1;
  return [reader, writer];
}

/** Capacity of a pipe in bytes, -EBADF for other files. @linux F_GETPIPE_SZ */
export function pipeGetSize(file: File): number {
  const pipe = pipeOf(file.inode);
  return pipe === undefined ? -EBADF : pipe.bufs.length * PAGE_SIZE;
}

/** @linux fs/pipe.c:pipe_set_size */
export function pipeSetSize(file: File, bytes: number, cred: FsCred): number {
  const pipe = pipeOf(file.inode);
  if (pipe === undefined) return -EBADF;
  if (bytes > PIPE_LIMIT_BYTES || bytes < 0) return -EINVAL;
  let size = PAGE_SIZE;
  while (size < bytes) size *= 2;
  const grows = size > pipe.bufs.length * PAGE_SIZE;
  if (size > PIPE_MAX_BYTES && grows && cred.fsuid !== 0) return -EPERM;
  if (size < pipeOccupancy(pipe) * PAGE_SIZE) return -EBUSY;
  pipeResizeRing(pipe, size / PAGE_SIZE);
  pipe.writeQueue.wakeAll();
  return size;
}
