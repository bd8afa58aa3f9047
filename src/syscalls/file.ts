/** Opening, closing and duplicating descriptors. @linux fs/open.c, fs/file.c, fs/pipe.c SYSCALL_DEFINE* */

import { Dentry, Path, type File } from '../fs/fs_types.ts';
import { dentryOpen, vfsOpen, type OpenHow } from '../fs/open.ts';
import { createPipe, fifoOpenWait, type FifoWait } from '../fs/pipe.ts';
import { memfdDirectory, tmpfsUnnamed } from '../fs/tmpfs.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { SLEEP, sleepInterruptible } from '../kernel/sched.ts';
import type { Task } from '../kernel/task.ts';
import { getU64 } from '../lib/bits.ts';
import { copyFromUser, copyToUser, strncpyFromUser } from '../mm/uaccess.ts';
import { E2BIG, EBADF, EFAULT, EINVAL, EMFILE } from '../uapi/errno.ts';
import {
  CLOSE_RANGE_CLOEXEC,
  CLOSE_RANGE_UNSHARE,
  F_SEAL_EXEC,
  F_SEAL_SEAL,
  MFD_ALLOW_SEALING,
  MFD_CLOEXEC,
  MFD_EXEC,
  MFD_HUGETLB,
  MFD_NOEXEC_SEAL,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECT,
  O_LARGEFILE,
  O_NONBLOCK,
  O_PATH,
  O_RDWR,
  O_TMPFILE_BIT,
  OPEN_HOW_SIZE_VER0,
  RESOLVE_BENEATH,
  RESOLVE_CACHED,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  RESOLVE_NO_XDEV,
  VALID_OPEN_FLAGS,
} from '../uapi/fcntl.ts';
import { RLIMIT_NOFILE } from '../uapi/resource.ts';
import { S_IALLUGO } from '../uapi/stat.ts';
import type { SyscallArgs } from './args.ts';
import { getname } from './file_wait.ts';

/** Descriptors this process may have. */
export function nofile(task: Task): number {
  return task.signal.limits.soft[RLIMIT_NOFILE]!;
}

/** Gives a file a descriptor; on failure its reference is dropped. @returns the descriptor or -EMFILE. */
export function installFd(task: Task, file: File, cloexec: boolean): number {
  const fd = task.files.alloc(file, 0, cloexec, nofile(task));
  if (fd < 0) file.putFile();
  return fd;
}

/** An open() that waits for the other end of a fifo. The descriptor is there already, so that exit closes it. */
class FifoOpenState {
  readonly fd: number;
  readonly wait: FifoWait;

  constructor(fd: number, wait: FifoWait) {
    this.fd = fd;
    this.wait = wait;
  }
}

function waitForFifo(task: Task, state: FifoOpenState): number {
  if (state.wait.ready()) return state.fd;
  task.sysState = state;
  task.waitOn(state.wait.queue);
  const result = sleepInterruptible(task);
  if (result !== SLEEP) task.files.close(state.fd);
  return result;
}

function openAt(task: Task, dirfd: number, pathAddr: number, how: OpenHow): number {
  const state = task.sysState;
  if (state instanceof FifoOpenState) return waitForFifo(task, state);
  const path = getname(task, pathAddr);
  if (typeof path === 'number') return path;
  // No descriptor to give: before O_CREAT has made anything.
  if (task.files.isFull(nofile(task))) return -EMFILE;
  const file = vfsOpen(task, dirfd, path, how);
  if (typeof file === 'number') return file;
  const fd = installFd(task, file, (how.flags & O_CLOEXEC) !== 0);
  if (fd < 0) return fd;
  const wait = fifoOpenWait(file);
  return wait === null ? fd : waitForFifo(task, new FifoOpenState(fd, wait));
}

export function sysOpenat(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const flags = args.int(2) | O_LARGEFILE;
  return openAt(task, args.int(0), args.ulong(1), { flags, mode: args.int(3), resolve: 0 });
}

const RESOLVE_KNOWN =
  RESOLVE_NO_XDEV |
  RESOLVE_NO_MAGICLINKS |
  RESOLVE_NO_SYMLINKS |
  RESOLVE_BENEATH |
  RESOLVE_IN_ROOT |
  RESOLVE_CACHED;

/** struct open_how, unknown tail zero. @returns it, -EINVAL, -E2BIG or -EFAULT. */
function readOpenHow(task: Task, addr: number, size: number): OpenHow | number {
  if (size < OPEN_HOW_SIZE_VER0) return -EINVAL;
  if (size > 4096) return -E2BIG;
  const bytes = new Uint8Array(size);
  if (copyFromUser(task.mm!, bytes, addr) !== 0) return -EFAULT;
  for (let i = OPEN_HOW_SIZE_VER0; i < size; i++) if (bytes[i] !== 0) return -E2BIG;
  const view = new DataView(bytes.buffer);
  const word = (at: number): number => getU64(view, at);
  const flags = word(0);
  const mode = word(8);
  const resolve = word(16);
  if (flags > 0xffff_ffff || (flags & ~VALID_OPEN_FLAGS) !== 0) return -EINVAL;
  if (resolve > RESOLVE_KNOWN || (resolve & ~RESOLVE_KNOWN) !== 0) return -EINVAL;
  const creates = (flags & (O_CREAT | O_TMPFILE_BIT)) !== 0;
  if (mode > S_IALLUGO || (!creates && mode !== 0)) return -EINVAL;
  const both = RESOLVE_BENEATH | RESOLVE_IN_ROOT;
  return (resolve & both) === both ? -EINVAL : { flags, mode, resolve };
}

export function sysOpenat2(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const how = readOpenHow(task, args.ulong(2), args.ulong(3));
  if (typeof how === 'number') return how;
  const flags = (how.flags & O_PATH) !== 0 ? how.flags : how.flags | O_LARGEFILE;
  return openAt(task, args.int(0), args.ulong(1), { ...how, flags });
}

export function sysClose(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  return task.files.close(args.int(0));
}

export function sysCloseRange(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const first = args.uint(0);
  const last = args.uint(1);
  const flags = args.int(2);
  if ((flags & ~(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC)) !== 0 || first > last) return -EINVAL;
  if ((flags & CLOSE_RANGE_UNSHARE) !== 0) task.files = task.files.unshare();
  const { files } = task;
  const end = Math.min(last + 1, files.size);
  for (let fd = first; fd < end; fd++) {
    if ((flags & CLOSE_RANGE_CLOEXEC) === 0) files.close(fd);
    else if (files.getRaw(fd) !== undefined) files.setCloexec(fd, true);
  }
  return 0;
}

/** @returns the new descriptor, -EBADF, -EMFILE or -EINVAL. */
export function dupFrom(task: Task, fd: number, minFd: number, cloexec: boolean): number {
  const file = task.files.getRaw(fd);
  if (file === undefined) return -EBADF;
  if (minFd < 0 || minFd >= nofile(task)) return -EINVAL;
  const dup = task.files.alloc(file, minFd, cloexec, nofile(task));
  if (dup >= 0) file.getFile();
  return dup;
}

export function sysDup(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const result = dupFrom(task, args.int(0), 0, false);
  return result === -EINVAL ? -EMFILE : result;
}

export function sysDup3(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const oldFd = args.int(0);
  const newFd = args.int(1);
  const flags = args.int(2);
  if ((flags & ~O_CLOEXEC) !== 0 || oldFd === newFd) return -EINVAL;
  const file = task.files.getRaw(oldFd);
  if (file === undefined || newFd < 0 || newFd >= nofile(task)) return -EBADF;
  file.getFile();
  task.files.install(newFd, file, (flags & O_CLOEXEC) !== 0);
  return newFd;
}

export function sysPipe2(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const flags = args.int(1);
  if ((flags & ~(O_CLOEXEC | O_NONBLOCK | O_DIRECT)) !== 0) return -EINVAL;
  const { vfs } = task.fs.root.mnt.sb;
  const cloexec = (flags & O_CLOEXEC) !== 0;
  const [reader, writer] = createPipe(vfs, flags & (O_NONBLOCK | O_DIRECT), task.cred);
  const readFd = installFd(task, reader, cloexec);
  if (readFd < 0) {
    writer.putFile();
    return readFd;
  }
  const writeFd = installFd(task, writer, cloexec);
  if (writeFd < 0) {
    task.files.close(readFd);
    return writeFd;
  }
  const fds = new Uint8Array(new Int32Array([readFd, writeFd]).buffer);
  if (copyToUser(task.mm!, args.ulong(0), fds) === 0) return 0;
  task.files.close(readFd);
  task.files.close(writeFd);
  return -EFAULT;
}

const MFD_KNOWN = MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB | MFD_NOEXEC_SEAL | MFD_EXEC;
/** Bytes of a memfd's name, NUL included. */
const MFD_NAME_MAX = 250;

/** @linux mm/memfd.c:memfd_create */
export function sysMemfdCreate(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const flags = args.int(1);
  if ((flags & ~MFD_KNOWN) !== 0 || (flags & MFD_HUGETLB) !== 0) return -EINVAL;
  const bothExec = MFD_EXEC | MFD_NOEXEC_SEAL;
  if ((flags & bothExec) === bothExec) return -EINVAL;
  const name = strncpyFromUser(task.mm!, args.ulong(0), MFD_NAME_MAX);
  if (typeof name === 'number') return name === -EFAULT ? -EFAULT : -EINVAL;
  const noexec = (flags & MFD_NOEXEC_SEAL) !== 0;
  const mount = memfdDirectory(task.fs.root.mnt.sb.vfs);
  const inode = tmpfsUnnamed(mount.root.inode, noexec ? 0o666 : 0o777, task.cred);
  if (typeof inode === 'number') return inode;
  if ((flags & MFD_ALLOW_SEALING) !== 0 || noexec) inode.seals &= ~F_SEAL_SEAL;
  if (noexec) inode.seals |= F_SEAL_EXEC;
  const dentry = new Dentry(mount.sb, mount.root, `/memfd:${name} (deleted)`, inode);
  dentry.unhashed = true;
  const file = dentryOpen(new Path(mount, dentry), O_RDWR | O_LARGEFILE, task);
  return typeof file === 'number' ? file : installFd(task, file, (flags & MFD_CLOEXEC) !== 0);
}
