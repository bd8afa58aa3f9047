/**
 * Pipes and fifos: a ring of bytes with readers and writers. A write of up to PIPE_BUF bytes
 * goes in whole or not at all.
 *
 * @linux fs/pipe.c
 */

import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import { WaitQueue } from '../lib/wait_queue.ts';
import { copyFromIter, copyToIter, type IovIter } from '../mm/iov_iter.ts';
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
import { O_ACCMODE, O_NONBLOCK, O_RDONLY, O_WRONLY, PIPE_BUF } from '../uapi/fcntl.ts';
import { FIONREAD } from '../uapi/ioctl.ts';
import { POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM } from '../uapi/poll.ts';
import { S_IFIFO } from '../uapi/stat.ts';
import { PIPEFS_MAGIC } from '../uapi/statfs.ts';
import {
  Dentry,
  File,
  Inode,
  Mount,
  Path,
  SuperBlock,
  type FileOps,
  type FsCred,
  type PollTable,
  type Vfs,
} from './fs_types.ts';

/** Capacity of a new pipe. @linux PIPE_DEF_BUFFERS pages */
const PIPE_DEF_BYTES = 16 * PAGE_SIZE;
/** Most an ordinary user may ask for. @linux pipe_max_size */
export const PIPE_MAX_BYTES = 1024 * 1024;
/** Most anybody may ask for. */
const PIPE_LIMIT_BYTES = 64 * 1024 * 1024;
/** The ring starts small: most pipes carry little. */
const RING_MIN_BYTES = PAGE_SIZE;

/** Bytes that the rings of all pipes of a machine may take beyond their first pages. */
const PIPES_MAX_BYTES = 256 * 1024 * 1024;

class Pipe {
  readonly vfs: Vfs;
  /** Room of the ring now; grows up to `capacity`. */
  ring = new Uint8Array(RING_MIN_BYTES);
  capacity = PIPE_DEF_BYTES;
  /** First unread byte, and unread bytes. */
  head = 0;
  used = 0;
  readers = 0;
  writers = 0;
  /** Opens ever, so that a waiting open() notices an end that came and went. */
  readerOpens = 0;
  writerOpens = 0;
  readonly readQueue = new WaitQueue();
  readonly writeQueue = new WaitQueue();

  constructor(vfs: Vfs) {
    this.vfs = vfs;
  }
}

/** The pipe behind an inode, undefined for other inodes. */
function pipeOf(inode: Inode): Pipe | undefined {
  return inode.pipe instanceof Pipe ? inode.pipe : undefined;
}

/** Room for `bytes` in all, as far as pipes may grow; one that may not keeps its size from then on. */
function growRing(pipe: Pipe, bytes: number): void {
  if (bytes <= pipe.ring.length) return;
  let size = pipe.ring.length;
  while (size < bytes) size *= 2;
  size = Math.min(size, pipe.capacity);
  if (pipe.vfs.pipeBytes + size <= PIPES_MAX_BYTES) resizeRing(pipe, size);
  else pipe.capacity = pipe.ring.length;
}

function resizeRing(pipe: Pipe, size: number): void {
  const { ring, head, used } = pipe;
  if (size === ring.length) return;
  pipe.vfs.pipeBytes += size - ring.length;
  const next = new Uint8Array(size);
  const first = Math.min(used, ring.length - head);
  next.set(ring.subarray(head, head + first), 0);
  next.set(ring.subarray(0, used - first), first);
  pipe.ring = next;
  pipe.head = 0;
}

function pipeRead(file: File, to: IovIter): number {
  const pipe = file.data as Pipe;
  if (to.remaining === 0) return 0;
  if (pipe.used === 0) return pipe.writers === 0 ? 0 : -EAGAIN;
  const want = Math.min(to.remaining, pipe.used);
  let done = 0;
  while (done < want) {
    const part = Math.min(want - done, pipe.ring.length - pipe.head);
    const n = copyToIter(to, pipe.ring, pipe.head, part);
    pipe.head = (pipe.head + n) % pipe.ring.length;
    pipe.used -= n;
    done += n;
    if (n < part) break;
  }
  if (pipe.used === 0) pipe.head = 0;
  if (done === 0) return -EFAULT;
  pipe.writeQueue.wakeAll();
  return done;
}

function pipeWrite(file: File, from: IovIter): number {
  const pipe = file.data as Pipe;
  if (from.remaining === 0) return 0;
  if (pipe.readers === 0) return -EPIPE;
  growRing(pipe, Math.min(pipe.used + from.remaining, pipe.capacity));
  const room = pipe.capacity - pipe.used;
  if (room <= 0 || (from.remaining <= PIPE_BUF && room < from.remaining)) return -EAGAIN;
  const want = Math.min(room, from.remaining);
  let done = 0;
  while (done < want) {
    const { ring } = pipe;
    const tail = (pipe.head + pipe.used) % ring.length;
    const part = Math.min(want - done, ring.length - tail);
    const n = copyFromIter(from, ring, tail, part);
    pipe.used += n;
    done += n;
    if (n < part) break;
  }
  if (done === 0) return -EFAULT;
  pipe.readQueue.wakeAll();
  return done;
}

function pipePoll(file: File, pt: PollTable | null): number {
  const pipe = file.data as Pipe;
  let mask = 0;
  if ((file.fMode & FMODE_READ) !== 0) {
    pt?.add(pipe.readQueue);
    if (pipe.used > 0) mask |= POLLIN | POLLRDNORM;
    // A fifo that never had a writer is not hung up.
    if (pipe.writers === 0 && file.pos !== pipe.writerOpens) mask |= POLLHUP;
  }
  if ((file.fMode & FMODE_WRITE) !== 0) {
    pt?.add(pipe.writeQueue);
    if (pipe.capacity - pipe.used >= PIPE_BUF) mask |= POLLOUT | POLLWRNORM;
    if (pipe.readers === 0) mask |= POLLERR;
  }
  return mask;
}

function pipeIoctl(file: File, cmd: number, arg: number, mm: MmStruct): number {
  if (cmd !== FIONREAD) return -ENOTTY;
  return putUser32(mm, arg, (file.data as Pipe).used);
}

function pipeRelease(file: File): void {
  const pipe = file.data as Pipe | null;
  if (pipe === null) return;
  if ((file.fMode & FMODE_READ) !== 0) pipe.readers--;
  if ((file.fMode & FMODE_WRITE) !== 0) pipe.writers--;
  pipe.readQueue.wakeAll();
  pipe.writeQueue.wakeAll();
  if (pipe.readers > 0 || pipe.writers > 0) return;
  pipe.vfs.pipeBytes -= pipe.ring.length - RING_MIN_BYTES;
  file.inode.pipe = null;
}

/** Counts a new end in. */
function connect(file: File, pipe: Pipe): void {
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
  const pipe = pipeOf(inode) ?? new Pipe(inode.sb.vfs);
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
  if (!(pipe instanceof Pipe) || (file.flags & O_NONBLOCK) !== 0) return null;
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

/** File system of everything without a path. @linux fs/anon_inodes.c, fs/pipe.c:pipefs */
function anonSuper(vfs: Vfs): Mount {
  const statfs = (): ReturnType<SuperBlock['ops']['statfs']> => ({
    blocks: 0,
    free: 0,
    files: 0,
    freeFiles: 0,
  });
  const sb = new SuperBlock(vfs, 'pipefs', PIPEFS_MAGIC, { statfs }, true);
  const root = new Dentry(sb, null, '', new Inode(sb, 0, {}, {}));
  return new Mount(vfs, root, null, 'none', 0);
}

/** Makes pipes possible in a new machine. */
export function initPipefs(vfs: Vfs): void {
  vfs.anonMount = anonSuper(vfs);
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

/** The two ends of a new pipe: [for reading, for writing], one reference each. */
export function createPipe(vfs: Vfs, flags: number, cred: FsCred): [File, File] {
  const mount = vfs.anonMount!;
  const inode = new Inode(mount.sb, S_IFIFO | 0o600, {}, pipeFileOps);
  inode.uid = cred.fsuid;
  inode.gid = cred.fsgid;
  const pipe = new Pipe(vfs);
  inode.pipe = pipe;
  const path = new Path(mount, new Dentry(mount.sb, mount.root, `pipe:[${inode.ino}]`, inode));
  const reader = new File(path, O_RDONLY | flags, pipeFileOps);
  const writer = new File(path, O_WRONLY | flags, pipeFileOps);
  connect(reader, pipe);
  connect(writer, pipe);
  reader.pos = -1;
  return [reader, writer];
}

/** Capacity of a pipe in bytes, -EBADF for other files. @linux F_GETPIPE_SZ */
export function pipeGetSize(file: File): number {
  return pipeOf(file.inode)?.capacity ?? -EBADF;
}

/** @linux fs/pipe.c:pipe_set_size */
export function pipeSetSize(file: File, bytes: number, cred: FsCred): number {
  const pipe = pipeOf(file.inode);
  if (pipe === undefined) return -EBADF;
  if (bytes > PIPE_LIMIT_BYTES || bytes < 0) return -EINVAL;
  let size = PAGE_SIZE;
  while (size < bytes) size *= 2;
  if (size > PIPE_MAX_BYTES && size > pipe.capacity && cred.fsuid !== 0) return -EPERM;
  if (size < pipe.used) return -EBUSY;
  pipe.capacity = size;
  if (pipe.ring.length > size) resizeRing(pipe, size);
  pipe.writeQueue.wakeAll();
  return size;
}
