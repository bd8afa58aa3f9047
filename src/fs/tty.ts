/**
 * Terminals: the host's end is a HostStream, the guest's a character device. The line
 * discipline between them edits lines, echoes, and turns ^C into a signal.
 *
 * @linux drivers/tty/n_tty.c, drivers/tty/tty_io.c, drivers/tty/tty_jobctrl.c
 */

import { WaitQueue } from '../lib/wait_queue.ts';
import { copyFromIter, copyToIter, type IovIter } from '../mm/iov_iter.ts';
import { FMODE_READ, FMODE_WRITE, type MmStruct } from '../mm/mm_types.ts';
import { copyFromUser, copyToUser, getUser32, putUser32 } from '../mm/uaccess.ts';
import { EAGAIN, EFAULT, EINVAL, EIO, ENOTTY, ENXIO, EPERM } from '../uapi/errno.ts';
import { O_NOCTTY, O_RDWR } from '../uapi/fcntl.ts';
import * as io from '../uapi/ioctl.ts';
import { POLLHUP, POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM } from '../uapi/poll.ts';
import { SIGCONT, SIGHUP, SIGTTIN, SIGTTOU, SIGWINCH } from '../uapi/signal.ts';
import { makeDev, S_IFCHR } from '../uapi/stat.ts';
import { dAddInode, dDrop } from './dcache.ts';
import type { HostStream } from './console.ts';
import {
  File,
  Inode,
  Path,
  type Dentry,
  type FileOps,
  type FsContext,
  type Mount,
  type PollTable,
  type Vfs,
} from './fs_types.ts';
import { readTermios, writeTermios } from './termios.ts';
import { ttyFlushInput, ttyProcessInput, TtyLine } from './n_tty.ts';

export const TTY_DEV = makeDev(5, 0);
export const CONSOLE_DEV = makeDev(5, 1);
const PTS_MAJOR = 136;
/** Most bytes of one write that are processed at a time. */
const WRITE_CHUNK = 4096;

/** Sends a signal to every process of a group. */
export type TtySignal = (pgrp: number, sig: number) => void;

export class Tty {
  readonly vfs: Vfs;
  /** N of /dev/pts/N. */
  readonly index: number;
  readonly inode: Inode;
  readonly dentry: Dentry;
  readonly line: TtyLine;
  /** Foreground process group, and the session this is the terminal of; 0 = none. */
  pgrp = 0;
  session = 0;
  rows = 24;
  columns = 80;
  xpixels = 0;
  ypixels = 0;
  /** The host has gone: reads end, writes fail. */
  hungUp = false;
  readonly writeQueue = new WaitQueue();
  readonly signal: TtySignal;

  constructor(vfs: Vfs, index: number, host: HostStream, signal: TtySignal) {
    this.vfs = vfs;
    this.index = index;
    this.signal = signal;
    this.line = new TtyLine(host, (sig) => this.raise(sig));
    const dir = vfs.devPts!;
    const rdev = makeDev(PTS_MAJOR, index);
    this.inode = new Inode(dir.sb, S_IFCHR | 0o620, { mayChange: true }, ttyFileOps);
    this.inode.rdev = rdev;
    this.inode.data = this;
    vfs.chrdevs.set(rdev, ttyFileOps);
    this.dentry = dAddInode(dir, String(index), this.inode);
  }

  private raise(sig: number): void {
    if (this.pgrp > 0) this.signal(this.pgrp, sig);
  }
}

function ttyOf(file: File): Tty {
  return file.data as Tty;
}

/** The terminal behind an open file; undefined for other files. */
export function fileTty(file: File): Tty | undefined {
  return file.data instanceof Tty ? file.data : undefined;
}

/**
 * A terminal whose other end is `host`: what the user types is pushed into it, what programs
 * print comes out of it. It appears as /dev/pts/N.
 * @param signal how a process group gets a signal.
 */
export function createTty(vfs: Vfs, host: HostStream, signal: TtySignal): Tty {
  const { ttys } = vfs;
  let index = ttys.indexOf(null);
  if (index < 0) index = ttys.length;
  const tty = new Tty(vfs, index, host, signal);
  ttys[index] = tty;
  // What the host pushes goes through the line discipline at once: ^C must work while nobody reads.
  host.onPush = () => drainHost(tty);
  return tty;
}

/** Moves what the user has typed into the line discipline. */
function drainHost(tty: Tty): void {
  const { line } = tty;
  // Only news wakes readers: this runs while one of them is about to sleep.
  let news = line.host.ended && !line.ended;
  for (;;) {
    const data = line.host.take(WRITE_CHUNK);
    if (data === null) break;
    ttyProcessInput(line, data);
    news = true;
  }
  if (line.host.ended) line.ended = true;
  if (news) line.readQueue.wakeAll();
}

/** Opens a terminal for a program's standard streams. @returns a file with one reference. */
export function openTty(tty: Tty, mnt: Mount): File {
  const file = new File(new Path(mnt, tty.dentry), O_RDWR, ttyFileOps);
  file.data = tty;
  return file;
}

/** Changes the window's size, and tells the programs. */
export function ttyResize(tty: Tty, rows: number, columns: number): void {
  if (tty.rows === rows && tty.columns === columns) return;
  tty.rows = rows;
  tty.columns = columns;
  if (tty.pgrp > 0) tty.signal(tty.pgrp, SIGWINCH);
}

/** The user has gone: programs see SIGHUP and end of file. @linux tty_hangup */
export function ttyHangup(tty: Tty): void {
  if (tty.hungUp) return;
  tty.hungUp = true;
  tty.line.readQueue.wakeAll();
  tty.writeQueue.wakeAll();
  if (tty.pgrp > 0) {
    tty.signal(tty.pgrp, SIGHUP);
    tty.signal(tty.pgrp, SIGCONT);
  }
  tty.vfs.ttys[tty.index] = null;
  tty.vfs.chrdevs.delete(tty.inode.rdev);
  dDrop(tty.dentry);
}

/**
 * Signal that a background process gets for using its terminal; 0 = it may.
 * @linux drivers/tty/tty_jobctrl.c:__tty_check_change
 */
export function ttyCheckChange(tty: Tty, ctx: FsContext, write: boolean): number {
  const { signal } = ctx;
  if (signal === undefined || signal.session !== tty.session || tty.pgrp === 0) return 0;
  if (signal.pgrp === tty.pgrp) return 0;
  if (!write) return SIGTTIN;
  return (tty.line.termios.lflag & io.TOSTOP) !== 0 ? SIGTTOU : 0;
}

function ttyRead(file: File, to: IovIter): number {
  const tty = ttyOf(file);
  const { line } = tty;
  if (to.remaining === 0) return 0;
  drainHost(tty);
  const chunk = line.takeInput(to.remaining);
  if (chunk !== null) return chunk.length === 0 ? 0 : copyInput(to, chunk);
  if (tty.hungUp || line.ended) return 0;
  if (!line.canonical && line.termios.cc[io.VMIN] === 0) return 0;
  line.host.onStarved?.();
  return -EAGAIN;
}

function copyInput(to: IovIter, chunk: Uint8Array): number {
  const n = copyToIter(to, chunk, 0, chunk.length);
  return n === 0 ? -EFAULT : n;
}

function ttyWrite(file: File, from: IovIter): number {
  const tty = ttyOf(file);
  const { line } = tty;
  if (tty.hungUp || line.host.closed) return -EIO;
  if (line.stopped || line.host.congested) return -EAGAIN;
  if (from.remaining === 0) return 0;
  const data = new Uint8Array(Math.min(from.remaining, WRITE_CHUNK));
  const n = copyFromIter(from, data, 0, data.length);
  if (n === 0) return -EFAULT;
  line.print(data.subarray(0, n));
  return n;
}

function ttyPoll(file: File, pt: PollTable | null): number {
  const tty = ttyOf(file);
  const { line } = tty;
  let mask = 0;
  if ((file.fMode & FMODE_READ) !== 0) {
    pt?.add(line.readQueue);
    drainHost(tty);
    if (line.inputReady || line.ended) mask |= POLLIN | POLLRDNORM;
    else line.host.onStarved?.();
  }
  if ((file.fMode & FMODE_WRITE) !== 0) {
    pt?.add(tty.writeQueue);
    pt?.add(line.host.writeQueue);
    if (!line.stopped && !line.host.congested) mask |= POLLOUT | POLLWRNORM;
  }
  return tty.hungUp ? mask | POLLIN | POLLHUP : mask;
}

function getWinsize(tty: Tty, arg: number, mm: MmStruct): number {
  const size = new Uint16Array([tty.rows, tty.columns, tty.xpixels, tty.ypixels]);
  return copyToUser(mm, arg, new Uint8Array(size.buffer));
}

function setWinsize(tty: Tty, arg: number, mm: MmStruct): number {
  const size = new Uint16Array(io.WINSIZE_BYTES / 2);
  if (copyFromUser(mm, new Uint8Array(size.buffer), arg) !== 0) return -EFAULT;
  tty.xpixels = size[2]!;
  tty.ypixels = size[3]!;
  ttyResize(tty, size[0]!, size[1]!);
  return 0;
}

function setPgrp(tty: Tty, arg: number, mm: MmStruct, ctx: FsContext): number {
  const pgrp = getUser32(mm, arg) | 0;
  if (pgrp === -EFAULT) return -EFAULT;
  if (pgrp < 0) return -EINVAL;
  if (ctx.signal?.session !== tty.session) return -ENOTTY;
  tty.pgrp = pgrp;
  return 0;
}

/** The caller's session takes the terminal. Only its leader may. @linux tiocsctty */
function setControlling(tty: Tty, ctx: FsContext): number {
  const { signal } = ctx;
  if (signal === undefined || (tty.session !== 0 && tty.session !== signal.session)) return -EPERM;
  tty.session = signal.session;
  tty.pgrp = signal.pgrp;
  return 0;
}

function setTermios(tty: Tty, cmd: number, arg: number, mm: MmStruct): number {
  const two = cmd === io.TCSETS2 || cmd === io.TCSETSW2 || cmd === io.TCSETSF2;
  const bytes = new Uint8Array(two ? io.TERMIOS2_BYTES : io.TERMIOS_BYTES);
  if (copyFromUser(mm, bytes, arg) !== 0) return -EFAULT;
  const next = readTermios(bytes, tty.line.termios);
  if (cmd === io.TCSETSF || cmd === io.TCSETSF2) ttyFlushInput(tty.line);
  tty.line.setTermios(next);
  return 0;
}

function flush(tty: Tty, what: number): number {
  if (what !== io.TCIFLUSH && what !== io.TCOFLUSH && what !== io.TCIOFLUSH) return -EINVAL;
  if (what !== io.TCOFLUSH) ttyFlushInput(tty.line);
  return 0;
}

/** Terminal state. @returns undefined for a command that is none of these. */
function termiosIoctl(tty: Tty, cmd: number, arg: number, mm: MmStruct): number | undefined {
  switch (cmd) {
    case io.TCGETS:
      return copyToUser(mm, arg, writeTermios(tty.line.termios, io.TERMIOS_BYTES));
    case io.TCGETS2:
      return copyToUser(mm, arg, writeTermios(tty.line.termios, io.TERMIOS2_BYTES));
    case io.TCSETS:
    case io.TCSETSW:
    case io.TCSETSF:
    case io.TCSETS2:
    case io.TCSETSW2:
    case io.TCSETSF2:
      return setTermios(tty, cmd, arg, mm);
    case io.TCSBRK:
    case io.TCSBRKP:
    case io.TCXONC:
      return 0;
    case io.TCFLSH:
      return flush(tty, arg);
    default:
      return undefined;
  }
}

function ttyIoctl(file: File, cmd: number, arg: number, mm: MmStruct, ctx: FsContext): number {
  const tty = ttyOf(file);
  const done = termiosIoctl(tty, cmd, arg, mm);
  if (done !== undefined) return done;
  switch (cmd) {
    case io.TIOCGWINSZ:
      return getWinsize(tty, arg, mm);
    case io.TIOCSWINSZ:
      return setWinsize(tty, arg, mm);
    case io.TIOCGPGRP:
      return ctx.signal?.session === tty.session ? putUser32(mm, arg, tty.pgrp) : -ENOTTY;
    case io.TIOCSPGRP:
      return setPgrp(tty, arg, mm, ctx);
    case io.TIOCGSID:
      return ctx.signal?.session === tty.session ? putUser32(mm, arg, tty.session) : -ENOTTY;
    case io.TIOCSCTTY:
      return setControlling(tty, ctx);
    case io.TIOCNOTTY:
      return 0;
    case io.FIONREAD:
      return putUser32(mm, arg, tty.line.inputBytes);
    case io.TIOCOUTQ:
      return putUser32(mm, arg, 0);
    default:
      return -ENOTTY;
  }
}

/** Opens a terminal by its node; without O_NOCTTY it may become the caller's. */
function ttyOpen(file: File, ctx: FsContext): number {
  const tty = file.inode.data;
  if (!(tty instanceof Tty) || tty.hungUp) return -ENXIO;
  file.data = tty;
  const { signal } = ctx;
  const leader = signal !== undefined && tty.session === 0 && (file.flags & O_NOCTTY) === 0;
  if (leader && !hasTerminal(tty.vfs, signal.session)) setControlling(tty, ctx);
  return 0;
}

function hasTerminal(vfs: Vfs, session: number): boolean {
  return vfs.ttys.some((tty) => tty instanceof Tty && tty.session === session);
}

const ttyFileOps: FileOps = {
  stream: true,
  open: ttyOpen,
  read: ttyRead,
  write: ttyWrite,
  poll: ttyPoll,
  ioctl: ttyIoctl,
};

/** /dev/tty: the caller's own terminal. */
function openCurrentTty(file: File, ctx: FsContext): number {
  const session = ctx.signal?.session ?? 0;
  for (const tty of file.inode.sb.vfs.ttys) {
    if (!(tty instanceof Tty) || session === 0 || tty.session !== session) continue;
    file.data = tty;
    file.fOps = ttyFileOps;
    return 0;
  }
  return -ENXIO;
}

/** /dev/console: the first terminal there is. */
function openConsole(file: File): number {
  const tty = file.inode.sb.vfs.ttys.find((each) => each instanceof Tty);
  if (tty === undefined) return -ENXIO;
  file.data = tty;
  file.fOps = ttyFileOps;
  return 0;
}

/** Makes /dev/tty and /dev/console known. */
export function initTtyDevices(vfs: Vfs): void {
  vfs.chrdevs.set(TTY_DEV, { open: openCurrentTty });
  vfs.chrdevs.set(CONSOLE_DEV, { open: openConsole });
}
