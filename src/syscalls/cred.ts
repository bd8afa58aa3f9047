/** User and group identities, and capabilities as root sees them. @linux kernel/sys.c, kernel/groups.c, kernel/capability.c */

import { copyFromUser, copyToUser, putUser32 } from '../mm/uaccess.ts';
import { EFAULT, EINVAL, EPERM, ESRCH } from '../uapi/errno.ts';
import {
  CAP_FULL_SET,
  capEffective,
  capInheritable,
  capPermitted,
  capset,
  commitCreds,
} from '../kernel/cred.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { CAPABILITY_VERSION_3 } from '../uapi/capability.ts';
import type { CapSet, Cred, Task } from '../kernel/task.ts';
import type { SyscallArgs } from './args.ts';

const NGROUPS_MAX = 65536;
/** Id argument that means "leave it". */
const KEEP = 0xffff_ffff;

export function sysGetuid(_kernel: Kernel, task: Task): number {
  return task.cred.uid;
}

export function sysGeteuid(_kernel: Kernel, task: Task): number {
  return task.cred.euid;
}

export function sysGetgid(_kernel: Kernel, task: Task): number {
  return task.cred.gid;
}

export function sysGetegid(_kernel: Kernel, task: Task): number {
  return task.cred.egid;
}

function commit(task: Task, cred: Cred): number {
  commitCreds(task, cred);
  return 0;
}

export function sysSetuid(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const id = args.uint(0);
  const { cred } = task;
  if (id === KEEP) return -EINVAL;
  if (cred.euid === 0) return commit(task, { ...cred, uid: id, euid: id, suid: id, fsuid: id });
  if (id !== cred.uid && id !== cred.suid) return -EPERM;
  return commit(task, { ...cred, euid: id, fsuid: id });
}

export function sysSetgid(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const id = args.uint(0);
  const { cred } = task;
  if (id === KEEP) return -EINVAL;
  if (cred.euid === 0) return commit(task, { ...cred, gid: id, egid: id, sgid: id, fsgid: id });
  if (id !== cred.gid && id !== cred.sgid) return -EPERM;
  return commit(task, { ...cred, egid: id, fsgid: id });
}

/** Whether a process that is not root may take `id` as one of its ids. */
function mayTake(cred: Cred, ids: readonly number[], id: number): boolean {
  return cred.euid === 0 || id === KEEP || ids.includes(id);
}

function pick(id: number, current: number): number {
  return id === KEEP ? current : id;
}

export function sysSetresuid(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const { cred } = task;
  const own = [cred.uid, cred.euid, cred.suid];
  const [ruid, euid, suid] = [args.uint(0), args.uint(1), args.uint(2)];
  for (const id of [ruid, euid, suid]) if (!mayTake(cred, own, id)) return -EPERM;
  const effective = pick(euid, cred.euid);
  return commit(task, {
    ...cred,
    uid: pick(ruid, cred.uid),
    euid: effective,
    suid: pick(suid, cred.suid),
    fsuid: effective,
  });
}

export function sysSetresgid(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const { cred } = task;
  const own = [cred.gid, cred.egid, cred.sgid];
  const [rgid, egid, sgid] = [args.uint(0), args.uint(1), args.uint(2)];
  for (const id of [rgid, egid, sgid]) if (!mayTake(cred, own, id)) return -EPERM;
  const effective = pick(egid, cred.egid);
  return commit(task, {
    ...cred,
    gid: pick(rgid, cred.gid),
    egid: effective,
    sgid: pick(sgid, cred.sgid),
    fsgid: effective,
  });
}

export function sysSetreuid(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const { cred } = task;
  const [ruid, euid] = [args.uint(0), args.uint(1)];
  if (!mayTake(cred, [cred.uid, cred.euid], ruid)) return -EPERM;
  if (!mayTake(cred, [cred.uid, cred.euid, cred.suid], euid)) return -EPERM;
  const effective = pick(euid, cred.euid);
  const saved = ruid !== KEEP || (euid !== KEEP && euid !== cred.uid) ? effective : cred.suid;
  return commit(task, {
    ...cred,
    uid: pick(ruid, cred.uid),
    euid: effective,
    suid: saved,
    fsuid: effective,
  });
}

export function sysSetregid(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const { cred } = task;
  const [rgid, egid] = [args.uint(0), args.uint(1)];
  if (!mayTake(cred, [cred.gid, cred.egid], rgid)) return -EPERM;
  if (!mayTake(cred, [cred.gid, cred.egid, cred.sgid], egid)) return -EPERM;
  const effective = pick(egid, cred.egid);
  const saved = rgid !== KEEP || (egid !== KEEP && egid !== cred.gid) ? effective : cred.sgid;
  return commit(task, {
    ...cred,
    gid: pick(rgid, cred.gid),
    egid: effective,
    sgid: saved,
    fsgid: effective,
  });
}

function putThree(task: Task, args: SyscallArgs, ids: readonly number[]): number {
  for (let n = 0; n < ids.length; n++) {
    if (putUser32(task.mm!, args.ulong(n), ids[n]!) !== 0) return -EFAULT;
  }
  return 0;
}

export function sysGetresuid(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const { uid, euid, suid } = task.cred;
  return putThree(task, args, [uid, euid, suid]);
}

export function sysGetresgid(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const { gid, egid, sgid } = task.cred;
  return putThree(task, args, [gid, egid, sgid]);
}

/** @returns the old value, whether or not the change was allowed. */
export function sysSetfsuid(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const { cred } = task;
  const id = args.uint(0);
  if (mayTake(cred, [cred.uid, cred.euid, cred.suid, cred.fsuid], id) && id !== KEEP) {
    commitCreds(task, { ...cred, fsuid: id });
  }
  return cred.fsuid;
}

export function sysSetfsgid(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const { cred } = task;
  const id = args.uint(0);
  if (mayTake(cred, [cred.gid, cred.egid, cred.sgid, cred.fsgid], id) && id !== KEEP) {
    commitCreds(task, { ...cred, fsgid: id });
  }
  return cred.fsgid;
}

export function sysGetgroups(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const size = args.int(0);
  const { groups } = task.cred;
  if (size < 0) return -EINVAL;
  if (size === 0) return groups.length;
  if (size < groups.length) return -EINVAL;
  const bytes = new Uint8Array(new Uint32Array(groups).buffer);
  return copyToUser(task.mm!, args.ulong(1), bytes) === 0 ? groups.length : -EFAULT;
}

export function sysSetgroups(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const size = args.int(0);
  if (task.cred.euid !== 0) return -EPERM;
  if (size < 0 || size > NGROUPS_MAX) return -EINVAL;
  const groups = new Uint32Array(size);
  if (copyFromUser(task.mm!, new Uint8Array(groups.buffer), args.ulong(1)) !== 0) return -EFAULT;
  return commit(task, { ...task.cred, groups: Array.from(groups) });
}

/** What capget() and capset() are about. */
interface CapHeader {
  readonly version: number;
  readonly pid: number;
}

/** @returns the header, with another version than 3 answered, or -EFAULT. @linux kernel/capability.c:cap_validate_magic */
function readCapHeader(task: Task, addr: number): CapHeader | number {
  const words = new Int32Array(2);
  const mm = task.mm!;
  if (copyFromUser(mm, new Uint8Array(words.buffer), addr) !== 0) return -EFAULT;
  const [version = 0, pid = 0] = words;
  if (version === CAPABILITY_VERSION_3) return { version, pid };
  return putUser32(mm, addr, CAPABILITY_VERSION_3) === 0 ? { version, pid } : -EFAULT;
}

export function sysCapget(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const header = readCapHeader(task, args.ulong(0));
  if (typeof header === 'number') return header;
  const { version, pid } = header;
  if (version !== CAPABILITY_VERSION_3) return args.ulong(1) === 0 ? 0 : -EINVAL;
  if (pid < 0) return -EINVAL;
  const target = pid === 0 ? task : kernel.tasks.get(pid);
  if (target === undefined) return -ESRCH;
  const { cred } = target;
  const sets = [capEffective(cred), capPermitted(cred), capInheritable(cred)];
  const data = new Int32Array([...sets.map(({ lo }) => lo), ...sets.map(({ hi }) => hi)]);
  return copyToUser(task.mm!, args.ulong(1), new Uint8Array(data.buffer));
}

export function sysCapset(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const header = readCapHeader(task, args.ulong(0));
  if (typeof header === 'number') return header;
  if (header.version !== CAPABILITY_VERSION_3) return -EINVAL;
  if (header.pid !== 0 && header.pid !== task.pid) return -EPERM;
  const words = new Int32Array(6);
  if (copyFromUser(task.mm!, new Uint8Array(words.buffer), args.ulong(1)) !== 0) return -EFAULT;
  const set = (n: number): CapSet => ({
    lo: words[n]! & CAP_FULL_SET.lo,
    hi: words[n + 3]! & CAP_FULL_SET.hi,
  });
  return capset(task, set(0), set(1), set(2));
}
