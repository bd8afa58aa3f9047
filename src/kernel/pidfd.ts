/**
 * Descriptors that mean a process or a thread: readable once it has ended, and safe to signal
 * by, because they never come to mean another task that got its number.
 *
 * @linux fs/pidfs.c, kernel/pid.c
 */

import {
  Dentry,
  File,
  Inode,
  Path,
  type FileOps,
  type Mount,
  type PollTable,
  type Vfs,
} from '../fs/fs_types.ts';
import { kernMount } from '../fs/super.ts';
import type { MmStruct } from '../mm/mm_types.ts';
import { copyToUser, getUser64 } from '../mm/uaccess.ts';
import { EBADF, EFAULT, EINVAL, ENOENT, ENOTTY, ESRCH } from '../uapi/errno.ts';
import { O_RDWR } from '../uapi/fcntl.ts';
import {
  IOC_SIZE_MASK,
  IOC_SIZE_SHIFT,
  PIDFD_AUTOKILL,
  PIDFD_GET_INFO_NOSIZE,
  PIDFD_INFO_CREDS,
  PIDFD_INFO_EXIT,
  PIDFD_INFO_EXIT_CODE_AT,
  PIDFD_INFO_PID,
  PIDFD_INFO_PID_AT,
  PIDFD_INFO_SIZE_VER0,
  PIDFD_INFO_SIZE_VER3,
  PIDFD_INFO_SUPPORTED_AT,
  PIDFD_INFO_SUPPORTED_MASK,
  PIDFD_NONBLOCK,
  PIDFD_SELF_THREAD,
  PIDFD_SELF_THREAD_GROUP,
  PIDFD_THREAD,
} from '../uapi/pidfd.ts';
import { POLLHUP, POLLIN, POLLRDNORM } from '../uapi/poll.ts';
import { SIGKILL } from '../uapi/signal.ts';
import { PID_FS_MAGIC } from '../uapi/statfs.ts';
import { HOST_PID, type Kernel } from './kernel.ts';
import { killProcess } from './signal.ts';
import { Pid, type Task } from './task.ts';

/** Its owner may do everything; there is no file type. */
const PIDFD_MODE = 0o700;

/** The struct pid of a task. */
export function taskPid(task: Task): Pid {
  task.threadPid ??= new Pid(task);
  return task.threadPid;
}

function isLeader(task: Task): boolean {
  return task === task.signal.leader;
}

/** A process has ended once its last thread has; a thread that is no leader is gone at once. @linux fs/pidfs.c:pidfd_poll */
function pidfdPoll(file: File, pt: PollTable | null): number {
  const { task, waitPidfd } = file.inode.data as Pid;
  pt?.add(waitPidfd);
  if (task === null) return POLLIN | POLLRDNORM | POLLHUP;
  const { zombie, zombieThreads } = task.signal;
  return zombie && zombieThreads === 0 ? POLLIN | POLLRDNORM : 0;
}

function pidfdShowFdinfo(file: File): string {
  const { task, nr } = file.inode.data as Pid;
  const shown = task === null ? -1 : nr;
  return `Pid:\t${shown}\nNSpid:\t${shown}\n`;
}

/** Identity of a live task. @returns the PIDFD_INFO_* bits filled in. */
function putTaskInfo(view: DataView, task: Task): number {
  const { uid, gid, euid, egid, suid, sgid, fsuid, fsgid } = task.cred;
  const { parent } = task.signal;
  const ppid = parent === null ? HOST_PID : parent.tgid;
  const fields = [task.pid, task.tgid, ppid, uid, gid, euid, egid, suid, sgid, fsuid, fsgid];
  fields.forEach((value, i) => {
    view.setUint32(PIDFD_INFO_PID_AT + 4 * i, value, true);
  });
  return PIDFD_INFO_PID | PIDFD_INFO_CREDS;
}

/** @linux fs/pidfs.c:pidfd_info */
function pidfdInfo(pid: Pid, size: number, arg: number, mm: MmStruct): number {
  if (arg === 0 || size < PIDFD_INFO_SIZE_VER0) return -EINVAL;
  const asked = getUser64(mm, arg);
  if (asked === -EFAULT) return -EFAULT;
  const bytes = new Uint8Array(Math.max(size, PIDFD_INFO_SIZE_VER3));
  const view = new DataView(bytes.buffer);
  let mask = 0;
  if ((asked & PIDFD_INFO_EXIT) !== 0 && pid.task === null) {
    mask |= PIDFD_INFO_EXIT;
    view.setInt32(PIDFD_INFO_EXIT_CODE_AT, pid.exitCode, true);
  }
  if (pid.task !== null) mask |= putTaskInfo(view, pid.task);
  else if (mask === 0) return -ESRCH;
  if ((asked & PIDFD_INFO_SUPPORTED_MASK) !== 0) {
    mask |= PIDFD_INFO_SUPPORTED_MASK;
    const known = PIDFD_INFO_PID | PIDFD_INFO_CREDS | PIDFD_INFO_EXIT | PIDFD_INFO_SUPPORTED_MASK;
    view.setUint32(PIDFD_INFO_SUPPORTED_AT, known, true);
  }
  view.setUint32(0, mask, true);
  return copyToUser(mm, arg, bytes.subarray(0, size));
}

/** PIDFD_GET_INFO only: there are no namespaces to open. */
function pidfdIoctl(file: File, cmd: number, arg: number, mm: MmStruct): number {
  const size = (cmd >>> IOC_SIZE_SHIFT) & IOC_SIZE_MASK;
  if ((cmd & ~(IOC_SIZE_MASK << IOC_SIZE_SHIFT)) >>> 0 !== PIDFD_GET_INFO_NOSIZE) return -ENOTTY;
  return pidfdInfo(file.inode.data as Pid, size, arg, mm);
}

/** @linux fs/pidfs.c:pidfs_file_release */
function pidfdRelease(file: File): void {
  const { task } = file.inode.data as Pid;
  if ((file.flags & PIDFD_AUTOKILL) !== 0 && task !== null) killProcess(task.signal, SIGKILL);
}

const pidfdOps: FileOps = {
  poll: pidfdPoll,
  showFdinfo: pidfdShowFdinfo,
  ioctl: pidfdIoctl,
  release: pidfdRelease,
};

/** The mount that pidfds are in; it is nowhere in the tree. */
function pidfsMount(vfs: Vfs): Mount {
  vfs.pidfsMount ??= kernMount(vfs, 'pidfs', PID_FS_MAGIC);
  return vfs.pidfsMount;
}

/**
 * An open file that means `pid`; all of one pid have the same inode.
 * @param flags PIDFD_NONBLOCK, PIDFD_THREAD.
 * @returns it with one reference.
 * @linux fs/pidfs.c:pidfs_alloc_file
 */
export function pidfsAllocFile(vfs: Vfs, pid: Pid, flags: number): File {
  const mount = pidfsMount(vfs);
  if (!(pid.inode instanceof Inode)) {
    const inode = new Inode(mount.sb, PIDFD_MODE, {}, pidfdOps);
    inode.data = pid;
    pid.inode = inode;
  }
  const dentry = new Dentry(mount.sb, mount.root, 'anon_inode:[pidfd]', pid.inode as Inode);
  return new File(new Path(mount, dentry), O_RDWR | flags, pidfdOps);
}

/** What a descriptor's file means; null when it is no pidfd. @linux fs/pidfs.c:pidfd_pid */
export function pidfdPid(file: File): Pid | null {
  return file.fOps === pidfdOps ? (file.inode.data as Pid) : null;
}

/**
 * @param flags of pidfd_open().
 * @returns an open file, -EINVAL, -ESRCH, or -ENOENT for a thread that is no leader when the
 *   process is asked for.
 * @linux kernel/pid.c:SYSCALL_DEFINE2(pidfd_open)
 */
export function pidfdOpen(kernel: Kernel, vfs: Vfs, nr: number, flags: number): File | number {
  if ((flags & ~(PIDFD_NONBLOCK | PIDFD_THREAD)) !== 0 || nr <= 0) return -EINVAL;
  const task = kernel.tasks.get(nr);
  if (task === undefined) return -ESRCH;
  if ((flags & PIDFD_THREAD) === 0 && !isLeader(task)) return -ENOENT;
  return pidfsAllocFile(vfs, taskPid(task), flags);
}

/**
 * The task that a pidfd argument names: the leader of a process, or the calling thread.
 * @returns it, -EBADF or -ESRCH.
 * @linux kernel/pid.c:pidfd_get_task
 */
export function pidfdGetTask(caller: Task, fd: number): Task | number {
  if (fd === PIDFD_SELF_THREAD) return caller;
  if (fd === PIDFD_SELF_THREAD_GROUP) return caller.signal.leader;
  const file = caller.files.get(fd);
  const pid = file === undefined ? null : pidfdPid(file);
  if (pid === null) return -EBADF;
  return pid.task === null || !isLeader(pid.task) ? -ESRCH : pid.task;
}
