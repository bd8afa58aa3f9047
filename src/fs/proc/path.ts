/** Links of procfs that lead to a place rather than to a name. @linux fs/proc/base.c:proc_pid_link_inode_operations */

import type { Kernel } from '../../kernel/kernel.ts';
import type { Task } from '../../kernel/task.ts';
import { EACCES, ENOENT } from '../../uapi/errno.ts';
import { dPath } from '../dcache.ts';
import { File, pathFrom, type Inode, type InodeOps, type Path } from '../fs_types.ts';
import {
  currentTask,
  getProcTask,
  pidUpdateInode,
  procPid,
  ptraceMayAccess,
  taskHasExited,
} from './pid.ts';

/** The name of a place as the task that asks sees it. */
export function pathText(kernel: Kernel, path: Path): string | number {
  const viewer = currentTask(kernel);
  if (viewer !== null) return dPath(viewer.fs.root, path);
  return pathFrom(null, path) ?? -ENOENT;
}

/** The program a task runs. */
export function taskExe(task: Task): Path | number {
  const file = task.mm?.exeFile;
  return file instanceof File ? file.path : -ENOENT;
}

export function taskCwd(task: Task): Path | number {
  return taskHasExited(task) ? -ENOENT : task.fs.pwd;
}

export function taskRoot(task: Task): Path | number {
  return taskHasExited(task) ? -ENOENT : task.fs.root;
}

function follow(inode: Inode, place: (task: Task) => Path | number): Path | number {
  const task = getProcTask(inode);
  if (task === null) return -ENOENT;
  return ptraceMayAccess(currentTask(procPid(inode).kernel), task) ? place(task) : -EACCES;
}

/** A link to a place of the task its inode stands for. */
export function pidLinkOps(place: (task: Task) => Path | number): InodeOps {
  return {
    getLink: (dentry) => follow(dentry.inode, place),
    readLink(dentry) {
      const path = follow(dentry.inode, place);
      return typeof path === 'number' ? path : pathText(procPid(dentry.inode).kernel, path);
    },
    getAttr: pidUpdateInode,
  };
}
