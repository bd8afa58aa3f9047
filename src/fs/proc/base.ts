/** /proc/PID and /proc/PID/task/TID: their entries, found and listed while the task is there. @linux fs/proc/base.c */

import { PAGE_SIZE } from '../../arch/riscv/memlayout.ts';
import type { Kernel } from '../../kernel/kernel.ts';
import { prctlGetCowPte, prctlSetCowPte } from '../../kernel/sys.ts';
import type { Task } from '../../kernel/task.ts';
import { mmUsage } from '../../mm/rss.ts';
import { EACCES, EINVAL, ENOENT, ESRCH } from '../../uapi/errno.ts';
import { TASK_COMM_LEN } from '../../uapi/prctl.ts';
import { isDir, S_IFDIR, S_IFLNK, S_IFREG } from '../../uapi/stat.ts';
import { emitDots, FIRST_ENTRY } from '../dcache.ts';
import {
  Dentry,
  Inode,
  type DirEmit,
  type File,
  type FileOps,
  type InodeOps,
} from '../fs_types.ts';
import { dirLlseek } from '../llseek.ts';
import { procPidStatm, procPidStatus, procTaskStat } from './array.ts';
import { clearRefsWrite } from './clear_refs.ts';
import {
  FD_DIR_INODE_OPS,
  FD_DIR_OPS,
  FDINFO_DIR_INODE_OPS,
  FDINFO_DIR_OPS,
  nameToInt,
} from './fd.ts';
import { hexWord, parseInteger, seqFileOps, type SeqShow, type SeqStore } from './generic.ts';
import { showLimits } from './limits.ts';
import { MAP_FILES_INODE_OPS, MAP_FILES_OPS } from './map_files.ts';
import { MEM_OPS, showAuxv, showCmdline, showEnviron } from './mem.ts';
import { NS_DIR_INODE_OPS, NS_DIR_OPS } from './namespaces.ts';
import { PAGEMAP_OPS } from './pagemap.ts';
import { pidLinkOps, taskCwd, taskExe, taskRoot } from './path.ts';
import {
  currentTask,
  getProcTask,
  openMm,
  PID_INO_THREAD,
  pidIno,
  pidUpdateInode,
  procPid,
  showMm,
  showTask,
  type ProcPid,
} from './pid.ts';
import { showMountinfo, showMounts, showMountstats } from './proc_namespace.ts';
import { SMAPS_OPS, SMAPS_ROLLUP_OPS } from './smaps.ts';
import { MAPS_OPS } from './task_mmu.ts';

/** One name of a task's directory. */
interface PidEntry {
  readonly name: string;
  /** Type and permission bits. */
  readonly mode: number;
  readonly iOps: InodeOps;
  readonly fOps: FileOps;
}

const PID_INODE_OPS: InodeOps = { setSize: () => 0, getAttr: pidUpdateInode };

function reg(name: string, mode: number, fOps: FileOps): PidEntry {
  return { name, mode: S_IFREG | mode, iOps: PID_INODE_OPS, fOps };
}

/** A text file anybody may read. */
function one(name: string, show: SeqShow): PidEntry {
  return reg(name, 0o444, seqFileOps(show));
}

/** A text file about memory: for those who may look into the task. */
function mmText(name: string, mode: number, show: SeqShow): PidEntry {
  return reg(name, mode, seqFileOps(show, undefined, openMm));
}

function rw(name: string, show: SeqShow, store: SeqStore): PidEntry {
  return reg(name, 0o644, seqFileOps(show, store));
}

function lnk(name: string, iOps: InodeOps): PidEntry {
  return { name, mode: S_IFLNK | 0o777, iOps, fOps: {} };
}

function dir(name: string, mode: number, iOps: InodeOps, fOps: FileOps): PidEntry {
  return { name, mode: S_IFDIR | mode, iOps, fOps };
}

/** Only threads of the same process may rename a task. @linux comm_write */
function storeComm(file: File, text: string): number {
  const task = getProcTask(file.inode);
  if (task === null) return -ESRCH;
  if (currentTask(procPid(file.inode).kernel)?.signal !== task.signal) return -EINVAL;
  const nul = text.indexOf('\0');
  task.comm = (nul < 0 ? text : text.slice(0, nul)).slice(0, TASK_COMM_LEN - 1);
  return text.length;
}

/** @patch 01/14 */
function storeUseOdf(file: File, text: string): number {
  const task = getProcTask(file.inode);
  if (task === null || task.mm === null) return -ESRCH;
  const value = parseInteger(text);
  if (value === null) return -EINVAL;
  if (value === 0 || value === 1) prctlSetCowPte(task.mm, value === 1);
  return text.length;
}

const OOM_SCORE_ADJ_MAX = 1000;

/** @linux oom_score_adj_write */
function storeOomScoreAdj(file: File, text: string): number {
  const task = getProcTask(file.inode);
  if (task === null) return -ESRCH;
  const value = parseInteger(text);
  if (value === null || Math.abs(value) > OOM_SCORE_ADJ_MAX) return -EINVAL;
  const viewer = currentTask(procPid(file.inode).kernel);
  const privileged = viewer === null || viewer.cred.euid === 0;
  if (value < task.signal.oomScoreAdj && !privileged) return -EACCES;
  task.signal.oomScoreAdj = value;
  return text.length;
}

/** Share of all memory in thousandths plus the adjustment, scaled as Linux does: 667 = nothing. @linux proc_oom_score */
function showOomScore(task: Task, kernel: Kernel): string {
  const { mm, signal } = task;
  if (mm === null || signal.oomScoreAdj === -OOM_SCORE_ADJ_MAX) return '0\n';
  const { anon, file, shmem, swap, tableBytes } = mmUsage(mm);
  const total = kernel.pgdat.managedFrames;
  const pages = anon + file + shmem + swap + tableBytes / PAGE_SIZE;
  const badness = pages + (signal.oomScoreAdj * total) / 1000;
  return `${Math.max(0, Math.trunc(((1000 + (badness * 1000) / total) * 2) / 3))}\n`;
}

/** Entries of a process and of a thread; a thread's directory lacks `task`. The order gives inode numbers. */
const TID_ENTRIES: readonly PidEntry[] = [
  dir('fd', 0o500, FD_DIR_INODE_OPS, FD_DIR_OPS),
  dir('fdinfo', 0o555, FDINFO_DIR_INODE_OPS, FDINFO_DIR_OPS),
  dir('ns', 0o511, NS_DIR_INODE_OPS, NS_DIR_OPS),
  mmText('environ', 0o400, showMm(showEnviron)),
  mmText('auxv', 0o400, showMm(showAuxv)),
  one('status', showTask(procPidStatus)),
  one(
    'limits',
    showTask((task) => showLimits(task.signal.limits)),
  ),
  rw(
    'comm',
    showTask((task) => `${task.comm}\n`),
    storeComm,
  ),
  one('cmdline', showMm(showCmdline)),
  one('stat', showTask(procTaskStat)),
  one('statm', showTask(procPidStatm)),
  reg('maps', 0o444, MAPS_OPS),
  reg('mem', 0o600, MEM_OPS),
  lnk('cwd', pidLinkOps(taskCwd)),
  lnk('root', pidLinkOps(taskRoot)),
  lnk('exe', pidLinkOps(taskExe)),
  one('mounts', showTask(showMounts)),
  one('mountinfo', showTask(showMountinfo)),
  reg('mountstats', 0o400, seqFileOps(showTask(showMountstats))),
  reg('smaps', 0o444, SMAPS_OPS),
  reg('smaps_rollup', 0o444, SMAPS_ROLLUP_OPS),
  reg(
    'clear_refs',
    0o200,
    seqFileOps(() => -EINVAL, clearRefsWrite),
  ),
  reg('pagemap', 0o400, PAGEMAP_OPS),
  one(
    'personality',
    showTask((task) => `${hexWord(task.personality)}\n`),
  ),
  one(
    'schedstat',
    showTask((task) => `${task.runtime} 0 ${task.nvcsw + task.nivcsw}\n`),
  ),
  one(
    'wchan',
    showTask(() => '0'),
  ),
  one(
    'cgroup',
    showTask(() => '0::/\n'),
  ),
  one('oom_score', showTask(showOomScore)),
  rw(
    'oom_score_adj',
    showTask((task) => `${task.signal.oomScoreAdj}\n`),
    storeOomScoreAdj,
  ),
  rw(
    'use_odf',
    showMm((mm) => `${prctlGetCowPte(mm) ? 1 : 0}\n`),
    storeUseOdf,
  ),
];

const TASK_DIR_INODE_OPS: InodeOps = { lookup: lookupThread, getAttr: pidUpdateInode };
const TASK_DIR_OPS: FileOps = { iterate: iterateThreads, llseek: dirLlseek };

const TGID_ENTRIES: readonly PidEntry[] = [
  ...TID_ENTRIES,
  dir('map_files', 0o500, MAP_FILES_INODE_OPS, MAP_FILES_OPS),
  dir('task', 0o555, TASK_DIR_INODE_OPS, TASK_DIR_OPS),
];

const PID_DIR_INODE_OPS: InodeOps = { lookup: lookupPidEntry, getAttr: pidUpdateInode };
const PID_DIR_OPS: FileOps = { iterate: iteratePidEntries, llseek: dirLlseek };

function entriesOf(pid: ProcPid): readonly PidEntry[] {
  return pid.thread ? TID_ENTRIES : TGID_ENTRIES;
}

/** Number of entry `index` of a task's directory; 0 is the directory's own. */
function entryIno(pid: ProcPid, index: number): number {
  return pidIno(pid.pid, (pid.thread ? PID_INO_THREAD : 0) + 1 + index);
}

function pidDentry(
  parent: Dentry,
  name: string,
  entry: PidEntry,
  ino: number,
  pid: ProcPid,
): Dentry {
  const inode = new Inode(parent.sb, entry.mode, entry.iOps, entry.fOps, ino);
  inode.data = pid;
  if (isDir(entry.mode)) inode.nlink = 2;
  pidUpdateInode(inode);
  return new Dentry(parent.sb, parent, name, inode);
}

function lookupPidEntry(parent: Dentry, name: string): Dentry | number {
  const pid = procPid(parent.inode);
  if (getProcTask(parent.inode) === null) return -ENOENT;
  const index = entriesOf(pid).findIndex((entry) => entry.name === name);
  if (index < 0) return -ENOENT;
  return pidDentry(parent, name, entriesOf(pid)[index]!, entryIno(pid, index), pid);
}

/** Positions: FIRST_ENTRY + index. @linux fs/proc/base.c:proc_pident_readdir */
function iteratePidEntries(file: File, emit: DirEmit): number {
  const { dentry } = file.path;
  const pid = procPid(dentry.inode);
  if (getProcTask(dentry.inode) === null) return -ENOENT;
  if (!emitDots(file, dentry.inode.ino, dentry.parent.inode.ino, emit)) return 0;
  const entries = entriesOf(pid);
  for (let index = file.pos - FIRST_ENTRY; index < entries.length; index++) {
    const next = index + 1 + FIRST_ENTRY;
    const { name, mode } = entries[index]!;
    if (!emit(name, entryIno(pid, index), mode >>> 12, next)) return 0;
    file.pos = next;
  }
  return 0;
}

const PID_DIR: PidEntry = dir('', 0o555, PID_DIR_INODE_OPS, PID_DIR_OPS);

/** /proc/PID of any task, threads included. @returns -ENOENT when there is none. @linux proc_pid_lookup */
export function lookupPid(kernel: Kernel, parent: Dentry, name: string): Dentry | number {
  const task = kernel.tasks.get(nameToInt(name));
  if (task === undefined) return -ENOENT;
  const pid: ProcPid = { kernel, pid: task.pid, signal: task.signal, thread: false, fd: -1 };
  return pidDentry(parent, name, PID_DIR, pidIno(task.pid, 0), pid);
}

/** Whether an open file is the directory of a process, which pidfd_send_signal() takes as well. @linux fs/proc/base.c:tgid_pidfd_to_pid */
export function isProcessDir(file: File): boolean {
  return file.fOps === PID_DIR_OPS && !procPid(file.inode).thread;
}

/** Number of /proc/PID itself. */
export function pidDirIno(pid: number): number {
  return pidIno(pid, 0);
}

function lookupThread(parent: Dentry, name: string): Dentry | number {
  const group = procPid(parent.inode);
  const task = group.kernel.tasks.get(nameToInt(name));
  if (task === undefined || task.signal !== group.signal) return -ENOENT;
  const pid: ProcPid = { ...group, pid: task.pid, thread: true };
  return pidDentry(parent, name, PID_DIR, pidIno(task.pid, PID_INO_THREAD), pid);
}

/** Thread ids of a process in order, an exited leader included. */
function threadIds(leader: Task): number[] {
  const ids = leader.signal.threads.map((task) => task.pid);
  if (!ids.includes(leader.tgid)) ids.push(leader.tgid);
  return ids.sort((a, b) => a - b);
}

/** Positions: FIRST_ENTRY + thread id. @linux proc_task_readdir */
function iterateThreads(file: File, emit: DirEmit): number {
  const { dentry } = file.path;
  const task = getProcTask(dentry.inode);
  if (task === null) return -ENOENT;
  if (!emitDots(file, dentry.inode.ino, dentry.parent.inode.ino, emit)) return 0;
  for (const tid of threadIds(task)) {
    const at = FIRST_ENTRY + tid;
    if (at < file.pos) continue;
    if (!emit(String(tid), pidIno(tid, PID_INO_THREAD), S_IFDIR >>> 12, at + 1)) return 0;
    file.pos = at + 1;
  }
  return 0;
}
