/** The root of /proc: files about the machine, and a directory for each process. @linux fs/proc/root.c */

import type { Kernel } from '../../kernel/kernel.ts';
import { ENOENT } from '../../uapi/errno.ts';
import { S_IFDIR, S_IFLNK } from '../../uapi/stat.ts';
import { PROC_SUPER_MAGIC } from '../../uapi/statfs.ts';
import { dAddInode, dcacheReaddir } from '../dcache.ts';
import {
  Dentry,
  Inode,
  SuperBlock,
  type DirEmit,
  type File,
  type FileOps,
  type Vfs,
} from '../fs_types.ts';
import { dirLlseek } from '../llseek.ts';
import { PSEUDO_SUPER_OPS } from '../super.ts';
import { lookupPid, pidDirIno } from './base.ts';
import { procCreateText, procSymlink } from './generic.ts';
import { showBuddyinfo, showMeminfo, showVmstat } from './meminfo.ts';
import { createNsfs } from './namespaces.ts';
import { procPageInit } from './page.ts';
import { currentTask } from './pid.ts';
import { procSysInit } from './proc_sysctl.ts';
import { LoadAverage, showStat, showUptime } from './stat.ts';
import {
  showCpuinfo,
  showDevices,
  showFilesystems,
  showKernelCmdline,
  showPartitions,
  showSwaps,
  showVersion,
} from './version.ts';

/** Position of pid 0: entries that are not processes come before. @linux fs/proc/internal.h:FIRST_PROCESS_ENTRY */
const FIRST_PROCESS_ENTRY = 256;
const DT_DIR = S_IFDIR >>> 12;

/** Pids of processes, ascending. */
function tgids(kernel: Kernel): number[] {
  const pids: number[] = [];
  for (const task of kernel.tasks.values()) if (task.pid === task.tgid) pids.push(task.pid);
  return pids.sort((a, b) => a - b);
}

/** Emits the fixed entries, then FIRST_PROCESS_ENTRY + pid for each process. @linux proc_pid_readdir */
function procRootReaddir(kernel: Kernel, file: File, emit: DirEmit): number {
  let full = false;
  const err = dcacheReaddir(file, (name, ino, type, next) => {
    full = !emit(name, ino, type, next);
    return !full;
  });
  if (err !== 0 || full) return err;
  for (const pid of tgids(kernel)) {
    const at = FIRST_PROCESS_ENTRY + pid;
    if (at < file.pos) continue;
    if (!emit(String(pid), pidDirIno(pid), DT_DIR, at + 1)) return 0;
    file.pos = at + 1;
  }
  return 0;
}

/** A link whose target depends on who looks. @linux fs/proc/self.c, thread_self.c */
function selfLink(kernel: Kernel, root: Dentry, name: string, thread: boolean): void {
  const getLink = (): string | number => {
    const task = currentTask(kernel);
    if (task === null) return -ENOENT;
    return thread ? `${task.tgid}/task/${task.pid}` : String(task.tgid);
  };
  dAddInode(root, name, new Inode(root.sb, S_IFLNK | 0o777, { getLink, readLink: getLink }, {}));
}

function machineFiles(kernel: Kernel, vfs: Vfs, root: Dentry): void {
  const load = new LoadAverage();
  procCreateText(root, 'buddyinfo', () => showBuddyinfo(kernel));
  procCreateText(root, 'cmdline', showKernelCmdline);
  procCreateText(root, 'cpuinfo', showCpuinfo);
  procCreateText(root, 'devices', () => showDevices(vfs));
  procCreateText(root, 'diskstats', () => '');
  procCreateText(root, 'filesystems', () => showFilesystems(vfs));
  procCreateText(root, 'loadavg', () => load.show(kernel));
  procCreateText(root, 'meminfo', () => showMeminfo(kernel));
  procCreateText(root, 'partitions', () => showPartitions(vfs));
  procCreateText(root, 'stat', () => showStat(kernel));
  procCreateText(root, 'swaps', () => showSwaps(kernel));
  procCreateText(root, 'uptime', () => showUptime(kernel));
  procCreateText(root, 'version', () => showVersion(kernel));
  procCreateText(root, 'vmstat', () => showVmstat(kernel));
  procPageInit(kernel, root);
  procSymlink(root, 'mounts', 'self/mounts');
  selfLink(kernel, root, 'self', false);
  selfLink(kernel, root, 'thread-self', true);
}

/** Makes /proc of a machine; the caller mounts it. */
export function createProcfs(vfs: Vfs, kernel: Kernel): Dentry {
  const sb = new SuperBlock(vfs, 'proc', PROC_SUPER_MAGIC, PSEUDO_SUPER_OPS);
  sb.data = createNsfs(vfs);
  const fOps: FileOps = {
    iterate: (file, emit) => procRootReaddir(kernel, file, emit),
    llseek: dirLlseek,
  };
  const iOps = { lookup: (dir: Dentry, name: string) => lookupPid(kernel, dir, name) };
  const inode = new Inode(sb, S_IFDIR | 0o555, iOps, fOps);
  const root = new Dentry(sb, null, '', inode);
  root.loaded = true;
  machineFiles(kernel, vfs, root);
  procSysInit(kernel, root);
  return root;
}
