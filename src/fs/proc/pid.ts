/**
 * Inodes that stand for a process or thread. They name the task and look it up at every use,
 * as struct pid does: an open file neither keeps a dead task alive nor ever means another
 * one that got its number.
 *
 * @linux fs/proc/internal.h:get_proc_task, fs/proc/base.c
 */

import type { Kernel } from '../../kernel/kernel.ts';
import { ptraceMayAccess as taskMayAccess } from '../../kernel/ptrace.ts';
import { EXIT_DEAD, EXIT_ZOMBIE, Task, type SignalStruct } from '../../kernel/task.ts';
import type { MmStruct } from '../../mm/mm_types.ts';
import { EACCES, ESRCH } from '../../uapi/errno.ts';
import type { File, FsContext, Inode } from '../fs_types.ts';

/** inode.data of everything below /proc/PID. */
export interface ProcPid {
  readonly kernel: Kernel;
  readonly pid: number;
  /** Tells the task from a later one with the same number. */
  readonly signal: SignalStruct;
  /** Below /proc/PID/task: the thread alone, not its process. */
  readonly thread: boolean;
  /** Descriptor of /proc/PID/fd/N and fdinfo/N; -1 elsewhere. */
  readonly fd: number;
}

export function procPid(inode: Inode): ProcPid {
  return inode.data as ProcPid;
}

/** The task an inode stands for; null when it is gone. @linux fs/proc/internal.h:get_proc_task */
export function getProcTask(inode: Inode): Task | null {
  const { kernel, pid, signal } = procPid(inode);
  const task = kernel.tasks.get(pid);
  return task !== undefined && task.signal === signal ? task : null;
}

/** Whether a task has ended and has no files, paths or memory any more. */
export function taskHasExited(task: Task): boolean {
  return task.state === EXIT_ZOMBIE || task.state === EXIT_DEAD;
}

/** Inode numbers of one task: its directory's entries, then those of directories in it. */
export const PID_INO_NS = 0x1000;
export const PID_INO_MAP_FILES = 0x2000;
export const PID_INO_FDS = 0x4000;
export const PID_INO_FDINFO = 0x8000;
export const PID_INO_THREAD = 0xc000;
const PID_INO_SHIFT = 16;
const FD_MASK = 0x3fff;

/** A number that every look-up of the same entry gets. @param entry below 2^16. */
export function pidIno(pid: number, entry: number): number {
  return pid * 2 ** PID_INO_SHIFT + entry;
}

/** As pidIno() for the entry of a descriptor in the directory `base`; the lowest 16384 have numbers of their own. */
export function pidFdIno(pid: number, base: number, fd: number): number {
  return pidIno(pid, base + (fd & FD_MASK));
}

/** The task that makes the system call; null when the host walks. */
export function currentTask(kernel: Kernel): Task | null {
  return kernel.current;
}

/** Whether `ctx` may look into `task`. The host may look into everything. */
export function ptraceMayAccess(ctx: FsContext | null, task: Task): boolean {
  return !(ctx instanceof Task) || taskMayAccess(ctx, task);
}

/** open() of files that show memory. @returns 0, -ESRCH or -EACCES. @linux fs/proc/base.c:proc_mem_open */
export function openMm(file: File, ctx: FsContext): number {
  const task = getProcTask(file.inode);
  if (task === null) return -ESRCH;
  return ptraceMayAccess(ctx, task) ? 0 : -EACCES;
}

/**
 * The address space that an open file is about, whatever the task does later; its `users` say
 * whether it is still there.
 * @returns null for a task without one, -ESRCH or -EACCES.
 * @linux fs/proc/base.c:proc_mem_open
 */
export function procMemOpen(file: File, ctx: FsContext): MmStruct | null | number {
  const err = openMm(file, ctx);
  return err === 0 ? (getProcTask(file.inode)?.mm ?? null) : err;
}

/** A text file about a task. @returns -ESRCH once it is gone. */
export function showTask(
  show: (task: Task, kernel: Kernel, pid: ProcPid) => string | number,
): (file: File) => string | number {
  return (file) => {
    const task = getProcTask(file.inode);
    const pid = procPid(file.inode);
    return task === null ? -ESRCH : show(task, pid.kernel, pid);
  };
}

/** A text file about an address space; empty for a task that has none. */
export function showMm(
  show: (mm: MmStruct, task: Task) => string | number,
): (file: File) => string | number {
  return showTask((task) => (task.mm === null ? '' : show(task.mm, task)));
}

/** Owner of a task's files. @linux fs/proc/base.c:task_dump_owner */
export function pidUpdateInode(inode: Inode): void {
  const task = getProcTask(inode);
  if (task === null) return;
  inode.uid = task.cred.euid;
  inode.gid = task.cred.egid;
}
