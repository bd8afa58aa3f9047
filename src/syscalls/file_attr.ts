/** chmod, chown, utimes, truncate, fallocate, sync, advice, extended attributes. @linux fs/open.c, fs/utimes.c, fs/sync.c, mm/fadvise.c, fs/xattr.c SYSCALL_DEFINE* */

import {
  doTruncate,
  vfsChmod,
  vfsChown,
  vfsTruncate,
  vfsUtimes,
  type NewTime,
} from '../fs/attr.ts';
import { fileWritable, type Path } from '../fs/fs_types.ts';
import { seekable } from '../fs/read_write.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { NSEC_PER_SEC } from '../kernel/time.ts';
import type { Task } from '../kernel/task.ts';
import { fromHalvesSigned } from '../lib/bits.ts';
import { copyFromUser } from '../mm/uaccess.ts';
import {
  EBADF,
  EFAULT,
  EFBIG,
  EINVAL,
  EISDIR,
  ENODATA,
  ENODEV,
  EOPNOTSUPP,
  ESPIPE,
} from '../uapi/errno.ts';
import { AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW } from '../uapi/fcntl.ts';
import { RLIMIT_FSIZE } from '../uapi/resource.ts';
import { SIGXFSZ, SI_KERNEL } from '../uapi/signal.ts';
import { isDir, isFifo, isLnk, isReg, UTIME_NOW, UTIME_OMIT } from '../uapi/stat.ts';
import { TIMESPEC_BYTES } from '../uapi/time.ts';
import type { SyscallArgs } from './args.ts';
import { userPathAt } from './file_stat.ts';
import { raise } from './file_wait.ts';

/** @param flags AT_*. */
function chmodAt(task: Task, args: SyscallArgs, flags: number): number {
  if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) !== 0) return -EINVAL;
  const path = userPathAt(task, args.int(0), args.ulong(1), flags);
  if (typeof path === 'number') return path;
  const { inode } = path.dentry;
  return isLnk(inode.mode) ? -EOPNOTSUPP : vfsChmod(inode, args.int(2), task.cred);
}

export function sysFchmodat(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  return chmodAt(task, args, 0);
}

export function sysFchmodat2(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  return chmodAt(task, args, args.int(3));
}

export function sysFchmod(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const file = task.files.get(args.int(0));
  return file === undefined ? -EBADF : vfsChmod(file.inode, args.int(1), task.cred);
}

export function sysFchownat(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const flags = args.int(4);
  if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) !== 0) return -EINVAL;
  const path = userPathAt(task, args.int(0), args.ulong(1), flags);
  if (typeof path === 'number') return path;
  return vfsChown(path.dentry.inode, args.uint(2), args.uint(3), task.cred);
}

export function sysFchown(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const file = task.files.get(args.int(0));
  if (file === undefined) return -EBADF;
  return vfsChown(file.inode, args.uint(1), args.uint(2), task.cred);
}

function readNewTime(view: DataView, at: number): NewTime | undefined {
  const nsec = fromHalvesSigned(view.getInt32(at + 8, true), view.getInt32(at + 12, true));
  if (nsec === UTIME_NOW) return 'now';
  if (nsec === UTIME_OMIT) return null;
  if (nsec < 0 || nsec >= NSEC_PER_SEC) return undefined;
  return { sec: fromHalvesSigned(view.getInt32(at, true), view.getInt32(at + 4, true)), nsec };
}

/** What utimensat() changes: a null path means the descriptor itself. */
function utimesTarget(task: Task, args: SyscallArgs): Path | number {
  const flags = args.int(3);
  if (args.ulong(1) !== 0) return userPathAt(task, args.int(0), args.ulong(1), flags);
  if (flags !== 0) return -EINVAL;
  if (args.int(0) === AT_FDCWD) return -EFAULT;
  return task.files.get(args.int(0))?.path ?? -EBADF;
}

export function sysUtimensat(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  if ((args.int(3) & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) !== 0) return -EINVAL;
  let atime: NewTime | undefined = 'now';
  let mtime: NewTime | undefined = 'now';
  if (args.ulong(2) !== 0) {
    const bytes = new Uint8Array(2 * TIMESPEC_BYTES);
    if (copyFromUser(task.mm!, bytes, args.ulong(2)) !== 0) return -EFAULT;
    const view = new DataView(bytes.buffer);
    atime = readNewTime(view, 0);
    mtime = readNewTime(view, TIMESPEC_BYTES);
    if (atime === undefined || mtime === undefined) return -EINVAL;
    if (atime === null && mtime === null) return 0;
  }
  const path = utimesTarget(task, args);
  if (typeof path === 'number') return path;
  return vfsUtimes(path.dentry.inode, atime, mtime, task.cred);
}

/** Growing beyond RLIMIT_FSIZE. @returns 0, or -EFBIG with SIGXFSZ sent. */
function checkFileSize(task: Task, size: number, current: number): number {
  if (size <= task.signal.limits.soft[RLIMIT_FSIZE]! || size <= current) return 0;
  raise(task, SIGXFSZ, SI_KERNEL);
  return -EFBIG;
}

export function sysTruncate(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const size = args.long(1);
  if (size < 0) return -EINVAL;
  const path = userPathAt(task, AT_FDCWD, args.ulong(0), 0);
  if (typeof path === 'number') return path;
  const { inode } = path.dentry;
  const err = checkFileSize(task, size, inode.size);
  return err === 0 ? vfsTruncate(inode, size, task) : err;
}

export function sysFtruncate(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const size = args.long(1);
  if (size < 0) return -EINVAL;
  const file = task.files.get(args.int(0));
  if (file === undefined) return -EBADF;
  if (!isReg(file.inode.mode) || !fileWritable(file)) return -EINVAL;
  const err = checkFileSize(task, size, file.inode.size);
  return err === 0 ? doTruncate(file.inode, size, task.cred) : err;
}

export function sysFallocate(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const file = task.files.get(args.int(0));
  if (file === undefined) return -EBADF;
  const offset = args.long(2);
  const len = args.long(3);
  if (offset < 0 || len <= 0) return -EINVAL;
  if (!fileWritable(file)) return -EBADF;
  const { mode } = file.inode;
  if (isFifo(mode)) return -ESPIPE;
  if (isDir(mode)) return -EISDIR;
  if (!isReg(mode)) return -ENODEV;
  const err = checkFileSize(task, offset + len, file.inode.size);
  if (err !== 0) return err;
  const { fOps } = file;
  return fOps.fallocate === undefined
    ? -EOPNOTSUPP
    : fOps.fallocate(file, args.int(1), offset, len);
}

function doFsync(task: Task, fd: number, dataOnly: boolean): number {
  const file = task.files.get(fd);
  if (file === undefined) return -EBADF;
  const { fOps } = file;
  return fOps.fsync === undefined ? -EINVAL : fOps.fsync(file, dataOnly);
}

export function sysFsync(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  return doFsync(task, args.int(0), false);
}

export function sysFdatasync(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  return doFsync(task, args.int(0), true);
}

/** Files live in memory: there is nothing to write back. */
export function sysSync(): number {
  return 0;
}

export function sysSyncfs(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  return task.files.get(args.int(0)) === undefined ? -EBADF : 0;
}

export function sysSyncFileRange(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const file = task.files.get(args.int(0));
  if (file === undefined) return -EBADF;
  if (args.long(1) < 0 || args.long(2) < 0 || (args.int(3) & ~7) !== 0) return -EINVAL;
  return seekable(file) ? 0 : -ESPIPE;
}

const POSIX_FADV_NOREUSE = 5;

export function sysFadvise64(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const file = task.files.get(args.int(0));
  if (file === undefined) return -EBADF;
  if (isFifo(file.inode.mode)) return -ESPIPE;
  const advice = args.int(3);
  return args.long(2) < 0 || advice < 0 || advice > POSIX_FADV_NOREUSE ? -EINVAL : 0;
}

export function sysReadahead(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const file = task.files.get(args.int(0));
  if (file === undefined) return -EBADF;
  return isReg(file.inode.mode) ? 0 : -EINVAL;
}

// No file has extended attributes. The calls still say whether the file is there.

function xattrPath(task: Task, args: SyscallArgs, flags: number, result: number): number {
  const path = userPathAt(task, AT_FDCWD, args.ulong(0), flags);
  return typeof path === 'number' ? path : result;
}

function xattrFd(task: Task, args: SyscallArgs, result: number): number {
  return task.files.get(args.int(0)) === undefined ? -EBADF : result;
}

export function sysSetxattr(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  return xattrPath(task, args, 0, -EOPNOTSUPP);
}

export function sysLsetxattr(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  return xattrPath(task, args, AT_SYMLINK_NOFOLLOW, -EOPNOTSUPP);
}

export function sysFsetxattr(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  return xattrFd(task, args, -EOPNOTSUPP);
}

export function sysGetxattr(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  return xattrPath(task, args, 0, -ENODATA);
}

export function sysLgetxattr(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  return xattrPath(task, args, AT_SYMLINK_NOFOLLOW, -ENODATA);
}

export function sysFgetxattr(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  return xattrFd(task, args, -ENODATA);
}

export function sysListxattr(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  return xattrPath(task, args, 0, 0);
}

export function sysLlistxattr(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  return xattrPath(task, args, AT_SYMLINK_NOFOLLOW, 0);
}

export function sysFlistxattr(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  return xattrFd(task, args, 0);
}

export function sysRemovexattr(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  return xattrPath(task, args, 0, -ENODATA);
}

export function sysLremovexattr(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  return xattrPath(task, args, AT_SYMLINK_NOFOLLOW, -ENODATA);
}

export function sysFremovexattr(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  return xattrFd(task, args, -ENODATA);
}
