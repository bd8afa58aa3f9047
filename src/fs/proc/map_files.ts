/** /proc/PID/map_files: a link to the file of each mapping that has one. @linux fs/proc/base.c:proc_map_files_operations */

import type { Task } from '../../kernel/task.ts';
import { findVma } from '../../mm/mmap.ts';
import type { Vma } from '../../mm/mm_types.ts';
import { VM_READ, VM_WRITE } from '../../mm/vma.ts';
import { EACCES, ENOENT } from '../../uapi/errno.ts';
import { S_IFLNK } from '../../uapi/stat.ts';
import { emitDots, FIRST_ENTRY } from '../dcache.ts';
import {
  Dentry,
  File,
  Inode,
  type DirEmit,
  type FileOps,
  type InodeOps,
  type Path,
} from '../fs_types.ts';
import { dirLlseek } from '../llseek.ts';
import { pathText } from './path.ts';
import {
  currentTask,
  getProcTask,
  openMm,
  PID_INO_MAP_FILES,
  pidIno,
  pidUpdateInode,
  procPid,
  ptraceMayAccess,
} from './pid.ts';

function vmaFile(vma: Vma | undefined): File | null {
  return vma?.file instanceof File ? vma.file : null;
}

function linkName(vma: Vma): string {
  return `${vma.start.toString(16)}-${vma.end.toString(16)}`;
}

/** The mapping a name means: both ends must be right. */
function namedVma(task: Task | null, name: string): Vma | undefined {
  if (task === null || task.mm === null) return undefined;
  const vma = findVma(task.mm, Number.parseInt(name, 16));
  return vma !== undefined && linkName(vma) === name ? vma : undefined;
}

function linkPath(dentry: Dentry): Path | number {
  const task = getProcTask(dentry.inode);
  const file = vmaFile(namedVma(task, dentry.name));
  if (task === null || file === null) return -ENOENT;
  const viewer = currentTask(procPid(dentry.inode).kernel);
  return ptraceMayAccess(viewer, task) ? file.path : -EACCES;
}

const MAP_FILE_LINK_OPS: InodeOps = {
  getLink: linkPath,
  readLink(dentry) {
    const path = linkPath(dentry);
    return typeof path === 'number' ? path : pathText(procPid(dentry.inode).kernel, path);
  },
  getAttr: pidUpdateInode,
};

function lookupMapFile(dir: Dentry, name: string): Dentry | number {
  const vma = namedVma(getProcTask(dir.inode), name);
  if (vma === undefined || vmaFile(vma) === null) return -ENOENT;
  const readable = (vma.flags & VM_READ) === 0 ? 0 : 0o500;
  const mode = readable | ((vma.flags & VM_WRITE) === 0 ? 0 : 0o300);
  const ino = pidIno(procPid(dir.inode).pid, PID_INO_MAP_FILES);
  const inode = new Inode(dir.sb, S_IFLNK | mode, MAP_FILE_LINK_OPS, {}, ino);
  inode.data = procPid(dir.inode);
  pidUpdateInode(inode);
  return new Dentry(dir.sb, dir, name, inode);
}

/** Positions: FIRST_ENTRY + number of the mapping. @linux proc_map_files_readdir */
function iterateMapFiles(file: File, emit: DirEmit): number {
  const dir = file.path.dentry;
  const task = getProcTask(dir.inode);
  if (task === null) return -ENOENT;
  if (!emitDots(file, dir.inode.ino, dir.parent.inode.ino, emit)) return 0;
  if (task.mm === null) return 0;
  const ino = pidIno(procPid(dir.inode).pid, PID_INO_MAP_FILES);
  let at = FIRST_ENTRY;
  for (const vma of task.mm.vmas) {
    if (vmaFile(vma) === null) continue;
    if (at++ < file.pos) continue;
    if (!emit(linkName(vma), ino, S_IFLNK >>> 12, at)) return 0;
    file.pos = at;
  }
  return 0;
}

export const MAP_FILES_INODE_OPS: InodeOps = { lookup: lookupMapFile, getAttr: pidUpdateInode };
export const MAP_FILES_OPS: FileOps = {
  open: openMm,
  iterate: iterateMapFiles,
  llseek: dirLlseek,
};
