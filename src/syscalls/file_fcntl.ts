/** fcntl, flock, ioctl. @linux fs/fcntl.c, fs/locks.c, fs/ioctl.c SYSCALL_DEFINE* */

import { fileReadable, fileWritable, type File } from '../fs/fs_types.ts';
import { inodeOwnerOrCapable } from '../fs/inode.ts';
import {
  FileLocks,
  flockFile,
  OFFSET_MAX,
  posixLockFile,
  posixTestLock,
  type PosixLock,
} from '../fs/locks.ts';
import { pipeGetSize, pipeSetSize } from '../fs/pipe.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { sleepInterruptible } from '../kernel/sched.ts';
import type { Task } from '../kernel/task.ts';
import { fromHalvesSigned, setU64 } from '../lib/bits.ts';
import { copyFromUser, copyToUser, getUser32, putUser32 } from '../mm/uaccess.ts';
import { VM_MAYWRITE, VM_SHARED } from '../mm/vma.ts';
import { EAGAIN, EBADF, EBUSY, EFAULT, EINVAL, ENOTTY, EOVERFLOW, EPERM } from '../uapi/errno.ts';
import * as f from '../uapi/fcntl.ts';
import { FIOASYNC, FIOCLEX, FIONBIO, FIONCLEX, FIONREAD } from '../uapi/ioctl.ts';
import { isReg } from '../uapi/stat.ts';
import type { SyscallArgs } from './args.ts';
import { dupFrom } from './file.ts';

/** F_SETFL. @linux fs/fcntl.c:setfl */
function setFlags(file: File, flags: number, task: Task): number {
  const noatime = (flags & ~file.flags & f.O_NOATIME) !== 0;
  if (noatime && !inodeOwnerOrCapable(file.inode, task.cred)) return -EPERM;
  file.flags = (file.flags & ~f.SETFL_MASK) | (flags & f.SETFL_MASK);
  return 0;
}

interface FlockArg {
  readonly lock: PosixLock;
  readonly view: DataView;
}

/** struct flock of the caller. @returns the range it means, or -EFAULT, -EINVAL, -EOVERFLOW. */
function readFlock(task: Task, file: File, addr: number, ofd: boolean): FlockArg | number {
  const bytes = new Uint8Array(f.FLOCK_BYTES);
  if (copyFromUser(task.mm!, bytes, addr) !== 0) return -EFAULT;
  const view = new DataView(bytes.buffer);
  const s64 = (at: number): number =>
    fromHalvesSigned(view.getInt32(at, true), view.getInt32(at + 4, true));
  const type = view.getInt16(f.FLOCK_TYPE, true);
  const whence = view.getInt16(f.FLOCK_WHENCE, true);
  if (type < f.F_RDLCK || type > f.F_UNLCK) return -EINVAL;
  if (ofd && view.getInt32(f.FLOCK_PID, true) !== 0) return -EINVAL;
  let base = 0;
  if (whence === f.SEEK_CUR) base = file.pos;
  else if (whence === f.SEEK_END) base = file.inode.size;
  else if (whence !== f.SEEK_SET) return -EINVAL;
  const len = s64(f.FLOCK_LEN);
  let start = base + s64(f.FLOCK_START);
  let end = len === 0 ? OFFSET_MAX : start + len - 1;
  if (len < 0) {
    end = start - 1;
    start += len;
  }
  if (start < 0) return -EINVAL;
  if (end !== OFFSET_MAX && end > Number.MAX_SAFE_INTEGER) return -EOVERFLOW;
  const owner = ofd ? file : task.files;
  return { lock: { type, start, end, owner, pid: ofd ? -1 : task.tgid }, view };
}

function getLock(task: Task, file: File, addr: number, ofd: boolean): number {
  const arg = readFlock(task, file, addr, ofd);
  if (typeof arg === 'number') return arg;
  const { lock, view } = arg;
  if (lock.type === f.F_UNLCK && !ofd) return -EINVAL;
  const { locks } = file.inode;
  const found = locks === null ? undefined : posixTestLock(locks, lock);
  if (found === undefined) view.setInt16(f.FLOCK_TYPE, f.F_UNLCK, true);
  else {
    const len = found.end === OFFSET_MAX ? 0 : found.end - found.start + 1;
    view.setInt16(f.FLOCK_TYPE, found.type, true);
    view.setInt16(f.FLOCK_WHENCE, f.SEEK_SET, true);
    setU64(view, f.FLOCK_START, found.start);
    setU64(view, f.FLOCK_LEN, len);
    view.setInt32(f.FLOCK_PID, found.pid, true);
  }
  return copyToUser(task.mm!, addr, new Uint8Array(view.buffer));
}

function setLock(
  task: Task,
  file: File,
  addr: number,
  options: { ofd: boolean; wait: boolean },
): number {
  const arg = readFlock(task, file, addr, options.ofd);
  if (typeof arg === 'number') return arg;
  const { lock } = arg;
  if (lock.type === f.F_RDLCK && !fileReadable(file)) return -EBADF;
  if (lock.type === f.F_WRLCK && !fileWritable(file)) return -EBADF;
  const { inode } = file;
  if (lock.type === f.F_UNLCK && inode.locks === null) return 0;
  inode.locks ??= new FileLocks();
  const result = posixLockFile(inode.locks, lock);
  if (result !== -EAGAIN || !options.wait) return result;
  task.waitOn(inode.locks.waiters);
  return sleepInterruptible(task);
}

const SEALS =
  f.F_SEAL_SEAL |
  f.F_SEAL_SHRINK |
  f.F_SEAL_GROW |
  f.F_SEAL_WRITE |
  f.F_SEAL_FUTURE_WRITE |
  f.F_SEAL_EXEC;

/** Whether a shared mapping of the file may be written to. @linux mapping_deny_writable */
function isMappedForWriting(file: File): boolean {
  const mayWrite = VM_SHARED | VM_MAYWRITE;
  return file.mapping.iMmap.some((vma) => (vma.flags & mayWrite) === mayWrite);
}

/** @linux mm/memfd.c:memfd_add_seals */
function addSeals(file: File, seals: number): number {
  if (!isReg(file.inode.mode) || (seals & ~SEALS) !== 0) return -EINVAL;
  if (!fileWritable(file) || (file.inode.seals & f.F_SEAL_SEAL) !== 0) return -EPERM;
  if ((seals & f.F_SEAL_WRITE) !== 0 && isMappedForWriting(file)) return -EBUSY;
  file.inode.seals |= seals;
  return 0;
}

/** Commands about locks, pipes and seals. @returns undefined for a command that is none of these. */
function fcntlObject(task: Task, file: File, cmd: number, args: SyscallArgs): number | undefined {
  const addr = args.ulong(2);
  switch (cmd) {
    case f.F_GETLK:
      return getLock(task, file, addr, false);
    case f.F_OFD_GETLK:
      return getLock(task, file, addr, true);
    case f.F_SETLK:
      return setLock(task, file, addr, { ofd: false, wait: false });
    case f.F_SETLKW:
      return setLock(task, file, addr, { ofd: false, wait: true });
    case f.F_OFD_SETLK:
      return setLock(task, file, addr, { ofd: true, wait: false });
    case f.F_OFD_SETLKW:
      return setLock(task, file, addr, { ofd: true, wait: true });
    case f.F_GETPIPE_SZ:
      return pipeGetSize(file);
    case f.F_SETPIPE_SZ:
      return pipeSetSize(file, args.uint(2), task.cred);
    case f.F_ADD_SEALS:
      return addSeals(file, args.int(2));
    case f.F_GET_SEALS:
      return isReg(file.inode.mode) ? file.inode.seals : -EINVAL;
    default:
      return undefined;
  }
}

/** What may also be done to a file opened with O_PATH. */
function fcntlDescriptor(
  task: Task,
  fd: number,
  cmd: number,
  args: SyscallArgs,
): number | undefined {
  const { files } = task;
  switch (cmd) {
    case f.F_DUPFD:
      return dupFrom(task, fd, args.int(2), false);
    case f.F_DUPFD_CLOEXEC:
      return dupFrom(task, fd, args.int(2), true);
    case f.F_GETFD:
      return files.getCloexec(fd) ? f.FD_CLOEXEC : 0;
    case f.F_SETFD:
      files.setCloexec(fd, (args.int(2) & f.FD_CLOEXEC) !== 0);
      return 0;
    case f.F_GETFL:
      return files.getRaw(fd)!.flags;
    default:
      return undefined;
  }
}

export function sysFcntl(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const fd = args.int(0);
  const cmd = args.int(1);
  if (task.files.getRaw(fd) === undefined) return -EBADF;
  const plain = fcntlDescriptor(task, fd, cmd, args);
  if (plain !== undefined) return plain;
  const file = task.files.get(fd);
  if (file === undefined) return -EBADF;
  switch (cmd) {
    case f.F_SETFL:
      return setFlags(file, args.int(2), task);
    case f.F_SETOWN:
      file.owner = args.int(2);
      return 0;
    case f.F_GETOWN:
      return file.owner;
    case f.F_SETSIG:
    case f.F_GETSIG:
      return 0;
    case f.F_GETLEASE:
      return f.F_UNLCK;
    case f.F_SETLEASE:
      return args.int(2) === f.F_UNLCK ? -EAGAIN : -EINVAL;
    default:
      return fcntlObject(task, file, cmd, args) ?? -EINVAL;
  }
}

export function sysFlock(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const file = task.files.get(args.int(0));
  if (file === undefined) return -EBADF;
  const cmd = args.int(1);
  if ((cmd & f.LOCK_MAND) !== 0) return 0;
  const type = cmd & ~f.LOCK_NB;
  if (type !== f.LOCK_SH && type !== f.LOCK_EX && type !== f.LOCK_UN) return -EINVAL;
  const { inode } = file;
  inode.locks ??= new FileLocks();
  const result = flockFile(inode.locks, file, type);
  if (result !== -EAGAIN || (cmd & f.LOCK_NB) !== 0) return result;
  task.waitOn(inode.locks.waiters);
  return sleepInterruptible(task);
}

/** FIONBIO and FIOASYNC: a flag by the int that `addr` points at. */
function ioctlFlag(task: Task, file: File, addr: number, flag: number): number {
  const on = getUser32(task.mm!, addr);
  if (on === -EFAULT) return -EFAULT;
  file.flags = on === 0 ? file.flags & ~flag : file.flags | flag;
  return 0;
}

export function sysIoctl(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const fd = args.int(0);
  const file = task.files.get(fd);
  if (file === undefined) return -EBADF;
  const cmd = args.uint(1);
  const arg = args.ulong(2);
  switch (cmd) {
    case FIOCLEX:
      task.files.setCloexec(fd, true);
      return 0;
    case FIONCLEX:
      task.files.setCloexec(fd, false);
      return 0;
    case FIONBIO:
      return ioctlFlag(task, file, arg, f.O_NONBLOCK);
    case FIOASYNC:
      return ioctlFlag(task, file, arg, f.O_ASYNC);
    default:
      break;
  }
  if (cmd === FIONREAD && isReg(file.inode.mode)) {
    return putUser32(task.mm!, arg, file.inode.size - file.pos);
  }
  const { fOps } = file;
  return fOps.ioctl === undefined ? -ENOTTY : fOps.ioctl(file, cmd, arg, task.mm!, task);
}
