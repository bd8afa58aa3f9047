/**
 * /proc/PID/ns: the namespaces of a process. There is one of each kind, so all processes
 * show the same; two links with the same inode number mean the same namespace.
 *
 * @linux fs/proc/namespaces.c, fs/nsfs.c
 */

import { EACCES, EINVAL, ENOENT } from '../../uapi/errno.ts';
import { S_IFLNK, S_IFREG } from '../../uapi/stat.ts';
import { NSFS_MAGIC } from '../../uapi/statfs.ts';
import { emitDots, FIRST_ENTRY } from '../dcache.ts';
import {
  Dentry,
  Inode,
  Path,
  type DirEmit,
  type File,
  type FileOps,
  type InodeOps,
  type Vfs,
} from '../fs_types.ts';
import { dirLlseek } from '../llseek.ts';
import { kernMount } from '../super.ts';
import {
  currentTask,
  getProcTask,
  PID_INO_NS,
  pidIno,
  pidUpdateInode,
  procPid,
  ptraceMayAccess,
} from './pid.ts';

/** Name of each link, kind of its namespace, and the inode number of Linux's first one. @linux include/linux/proc_ns.h */
const NAMESPACES: readonly (readonly [string, string, number])[] = [
  ['cgroup', 'cgroup', 0xefff_fffb],
  ['ipc', 'ipc', 0xefff_ffff],
  ['mnt', 'mnt', 0xf000_0001],
  ['net', 'net', 0xf000_0000],
  ['pid', 'pid', 0xefff_fffc],
  ['pid_for_children', 'pid', 0xefff_fffc],
  ['time', 'time', 0xefff_fffa],
  ['time_for_children', 'time', 0xefff_fffa],
  ['user', 'user', 0xefff_fffd],
  ['uts', 'uts', 0xefff_fffe],
];

/** Places of the namespaces by kind; data of the procfs SuperBlock. */
export type NsFs = ReadonlyMap<string, Path>;

/** Makes the files the links lead to. */
export function createNsfs(vfs: Vfs): NsFs {
  const mnt = kernMount(vfs, 'nsfs', NSFS_MAGIC);
  const { sb } = mnt;
  const places = new Map<string, Path>();
  for (const [, kind, ino] of NAMESPACES) {
    const inode = new Inode(sb, S_IFREG | 0o444, {}, { read: () => -EINVAL }, ino);
    places.set(kind, new Path(mnt, new Dentry(sb, null, `${kind}:[${ino}]`, inode)));
  }
  return places;
}

function nsPath(dentry: Dentry): Path | number {
  const task = getProcTask(dentry.inode);
  const entry = NAMESPACES.find(([name]) => name === dentry.name);
  if (task === null || entry === undefined) return -ENOENT;
  if (!ptraceMayAccess(currentTask(procPid(dentry.inode).kernel), task)) return -EACCES;
  return (dentry.sb.data as NsFs).get(entry[1]) ?? -ENOENT;
}

const NS_LINK_OPS: InodeOps = {
  getLink: nsPath,
  readLink(dentry) {
    const path = nsPath(dentry);
    return typeof path === 'number' ? path : path.dentry.name;
  },
  getAttr: pidUpdateInode,
};

function nsIno(pid: number, index: number): number {
  return pidIno(pid, PID_INO_NS + index);
}

function lookupNs(dir: Dentry, name: string): Dentry | number {
  const index = NAMESPACES.findIndex(([entry]) => entry === name);
  if (index < 0 || getProcTask(dir.inode) === null) return -ENOENT;
  const pid = procPid(dir.inode);
  const inode = new Inode(dir.sb, S_IFLNK | 0o777, NS_LINK_OPS, {}, nsIno(pid.pid, index));
  inode.data = pid;
  pidUpdateInode(inode);
  return new Dentry(dir.sb, dir, name, inode);
}

/** Positions: FIRST_ENTRY + index. */
function iterateNs(file: File, emit: DirEmit): number {
  const dir = file.path.dentry;
  if (getProcTask(dir.inode) === null) return -ENOENT;
  if (!emitDots(file, dir.inode.ino, dir.parent.inode.ino, emit)) return 0;
  const { pid } = procPid(dir.inode);
  for (let index = file.pos - FIRST_ENTRY; index < NAMESPACES.length; index++) {
    const next = index + 1 + FIRST_ENTRY;
    if (!emit(NAMESPACES[index]![0], nsIno(pid, index), S_IFLNK >>> 12, next)) return 0;
    file.pos = next;
  }
  return 0;
}

export const NS_DIR_INODE_OPS: InodeOps = { lookup: lookupNs, getAttr: pidUpdateInode };
export const NS_DIR_OPS: FileOps = { iterate: iterateNs, llseek: dirLlseek };
