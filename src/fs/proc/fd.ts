/** /proc/PID/fd and fdinfo: one entry for each open descriptor. @linux fs/proc/fd.c */

import type { Task } from '../../kernel/task.ts';
import { EACCES, ENOENT } from '../../uapi/errno.ts';
import { O_CLOEXEC } from '../../uapi/fcntl.ts';
import { S_IFLNK, S_IFREG } from '../../uapi/stat.ts';
import { emitDots, FIRST_ENTRY } from '../dcache.ts';
import {
  Dentry,
  fileReadable,
  fileWritable,
  Inode,
  type DirEmit,
  type File,
  type FileOps,
  type InodeOps,
  type Path,
} from '../fs_types.ts';
import { dirLlseek } from '../llseek.ts';
import { PROC_INODE_OPS, seqFileOps } from './generic.ts';
import {
  currentTask,
  getProcTask,
  PID_INO_FDINFO,
  PID_INO_FDS,
  pidFdIno,
  pidUpdateInode,
  procPid,
  ptraceMayAccess,
  showTask,
  taskHasExited,
} from './pid.ts';
import { pathText } from './path.ts';

/** The decimal number a name spells, without sign or leading zeroes; -1 if it is none. @linux fs/proc/util.c:name_to_int */
export function nameToInt(name: string): number {
  return /^(0|[1-9]\d{0,8})$/.test(name) ? Number(name) : -1;
}

/** Descriptors of a task; none once it has exited. */
function openFile(task: Task | null, fd: number): File | undefined {
  return task === null || taskHasExited(task) ? undefined : task.files.getRaw(fd);
}

function linkFile(inode: Inode): File | number {
  const task = getProcTask(inode);
  const { fd, kernel } = procPid(inode);
  const file = openFile(task, fd);
  if (task === null || file === undefined) return -ENOENT;
  return ptraceMayAccess(currentTask(kernel), task) ? file : -EACCES;
}

const FD_LINK_OPS: InodeOps = {
  getLink(dentry): Path | number {
    const file = linkFile(dentry.inode);
    return typeof file === 'number' ? file : file.path;
  },
  readLink(dentry): string | number {
    const file = linkFile(dentry.inode);
    return typeof file === 'number' ? file : pathText(procPid(dentry.inode).kernel, file.path);
  },
  getAttr: pidUpdateInode,
};

function showFdinfo(task: Task, fd: number): string | number {
  const file = openFile(task, fd);
  if (file === undefined) return -ENOENT;
  const flags = file.flags | (task.files.getCloexec(fd) ? O_CLOEXEC : 0);
  const { mnt } = file.path;
  const common = `pos:\t${file.pos}\nflags:\t0${flags.toString(8)}\nmnt_id:\t${mnt.id}\nino:\t${file.inode.ino}\n`;
  return common + (file.fOps.showFdinfo?.(file) ?? '');
}

const FDINFO_OPS = seqFileOps(showTask((task, _kernel, pid) => showFdinfo(task, pid.fd)));

/** How the two directories differ. */
interface FdDir {
  /** First inode number of the entries. */
  readonly inoBase: number;
  readonly make: (dir: Dentry, file: File, ino: number) => Inode;
}

/** The link's permissions say what the descriptor may do. */
const FD_DIR: FdDir = {
  inoBase: PID_INO_FDS,
  make(dir, file, ino) {
    const mode = 0o100 | (fileReadable(file) ? 0o400 : 0) | (fileWritable(file) ? 0o200 : 0);
    return new Inode(dir.sb, S_IFLNK | mode, FD_LINK_OPS, {}, ino);
  },
};

const FDINFO_DIR: FdDir = {
  inoBase: PID_INO_FDINFO,
  make: (dir, _file, ino) => new Inode(dir.sb, S_IFREG | 0o400, PROC_INODE_OPS, FDINFO_OPS, ino),
};

function lookupFd(which: FdDir, dir: Dentry, name: string): Dentry | number {
  const fd = nameToInt(name);
  const task = getProcTask(dir.inode);
  const file = fd < 0 ? undefined : openFile(task, fd);
  if (file === undefined) return -ENOENT;
  const pid = procPid(dir.inode);
  const inode = which.make(dir, file, pidFdIno(pid.pid, which.inoBase, fd));
  inode.data = { ...pid, fd };
  pidUpdateInode(inode);
  return new Dentry(dir.sb, dir, name, inode);
}

/** Positions: FIRST_ENTRY + descriptor. @linux fs/proc/fd.c:proc_readfd_common */
function iterateFds(which: FdDir, type: number, file: File, emit: DirEmit): number {
  const dir = file.path.dentry;
  const { inode } = dir;
  const task = getProcTask(inode);
  if (task === null) return -ENOENT;
  if (!emitDots(file, inode.ino, dir.parent.inode.ino, emit)) return 0;
  const slots = taskHasExited(task) ? 0 : task.files.size;
  for (let fd = file.pos - FIRST_ENTRY; fd < slots; fd++) {
    const next = fd + 1 + FIRST_ENTRY;
    if (task.files.getRaw(fd) !== undefined) {
      const ino = pidFdIno(procPid(inode).pid, which.inoBase, fd);
      if (!emit(String(fd), ino, type, next)) return 0;
    }
    file.pos = next;
  }
  return 0;
}

function fdDirInodeOps(which: FdDir): InodeOps {
  return { lookup: (dir, name) => lookupFd(which, dir, name), getAttr: pidUpdateInode };
}

function fdDirFileOps(which: FdDir, type: number): FileOps {
  return { iterate: (file, emit) => iterateFds(which, type, file, emit), llseek: dirLlseek };
}

export const FD_DIR_INODE_OPS = fdDirInodeOps(FD_DIR);
export const FD_DIR_OPS = fdDirFileOps(FD_DIR, S_IFLNK >>> 12);
export const FDINFO_DIR_INODE_OPS = fdDirInodeOps(FDINFO_DIR);
export const FDINFO_DIR_OPS = fdDirFileOps(FDINFO_DIR, S_IFREG >>> 12);
