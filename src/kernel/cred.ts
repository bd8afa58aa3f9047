/**
 * Identities of tasks and what they may do. Capabilities follow the ids (the effective user 0
 * has all, others none) until capset(2) sets them apart; execve() joins them again.
 *
 * @linux kernel/cred.c, kernel/capability.c, security/commoncap.c
 */

import { MMF_NOT_DUMPABLE } from '../mm/mm_struct.ts';
import type { MmStruct } from '../mm/mm_types.ts';
import { EPERM } from '../uapi/errno.ts';
import { CAP_IPC_LOCK, CAP_LAST_CAP, CAP_SYS_RAWIO } from '../uapi/capability.ts';
import type { CapSet, Cred, Task } from './task.ts';

export const CAP_EMPTY_SET: CapSet = { lo: 0, hi: 0 };
export const CAP_FULL_SET: CapSet = { lo: -1, hi: (1 << (CAP_LAST_CAP - 31)) - 1 };

export function capEffective(cred: Cred): CapSet {
  return cred.caps?.effective ?? (cred.euid === 0 ? CAP_FULL_SET : CAP_EMPTY_SET);
}

/** What a process may make effective: as long as one of its ids is 0. */
export function capPermitted(cred: Cred): CapSet {
  const root = cred.uid === 0 || cred.euid === 0 || cred.suid === 0;
  return cred.caps?.permitted ?? (root ? CAP_FULL_SET : CAP_EMPTY_SET);
}

export function capInheritable(cred: Cred): CapSet {
  return cred.caps?.inheritable ?? CAP_EMPTY_SET;
}

/** @linux kernel/capability.c:capable */
export function capable(cred: Cred, cap: number): boolean {
  const { lo, hi } = capEffective(cred);
  return (((cap < 32 ? lo : hi) >>> (cap & 31)) & 1) !== 0;
}

/** Whether `a` has nothing that `b` lacks. @linux include/linux/capability.h:cap_issubset */
function capIsSubset(a: CapSet, b: CapSet): boolean {
  return (a.lo & ~b.lo) === 0 && (a.hi & ~b.hi) === 0;
}

/** What of a task's capabilities its address space has to know. */
export function mmSetCaps(mm: MmStruct, cred: Cred): void {
  mm.ipcLock = capable(cred, CAP_IPC_LOCK);
  mm.mayMapLow = capable(cred, CAP_SYS_RAWIO);
}

/** Capabilities set apart, after a change of user ids. @linux security/commoncap.c:cap_emulate_setxuid */
function emulateSetxuid(next: Cred, old: Cred): Cred {
  const { caps } = old;
  if (caps === undefined) return next;
  const { inheritable } = caps;
  let { permitted, effective } = caps;
  const hadRoot = old.uid === 0 || old.euid === 0 || old.suid === 0;
  if (hadRoot && next.uid !== 0 && next.euid !== 0 && next.suid !== 0) {
    permitted = CAP_EMPTY_SET;
    effective = CAP_EMPTY_SET;
  }
  if (old.euid === 0 && next.euid !== 0) effective = CAP_EMPTY_SET;
  if (old.euid !== 0 && next.euid === 0) effective = permitted;
  return { ...next, caps: { permitted, effective, inheritable } };
}

/** Whether the ids that count are not those they were. */
function changesRights(old: Cred, next: Cred): boolean {
  const same = old.euid === next.euid && old.egid === next.egid;
  return !same || old.fsuid !== next.fsuid || old.fsgid !== next.fsgid;
}

/** Gives a task other ids; what it has in memory is then not for those who have them, too. @linux kernel/cred.c:commit_creds */
export function commitCreds(task: Task, next: Cred): void {
  const { cred, mm } = task;
  task.cred = emulateSetxuid(next, cred);
  if (mm !== null) mmSetCaps(mm, task.cred);
  if (!changesRights(cred, next)) return;
  if (mm !== null) setDumpable(mm, false);
  task.pdeathSignal = 0;
}

/** @linux fs/exec.c:set_dumpable */
export function setDumpable(mm: MmStruct, dumpable: boolean): void {
  if (dumpable) mm.flags &= ~MMF_NOT_DUMPABLE;
  else mm.flags |= MMF_NOT_DUMPABLE;
}

/** @linux include/linux/sched/coredump.h:get_dumpable */
export function getDumpable(mm: MmStruct): boolean {
  return (mm.flags & MMF_NOT_DUMPABLE) === 0;
}

/** A new program's capabilities follow its ids. @linux security/commoncap.c:cap_bprm_creds_from_file */
export function execCreds(cred: Cred): Cred {
  if (cred.caps === undefined) return cred;
  const { caps: _dropped, ...ids } = cred;
  return ids;
}

/**
 * Sets a task's own capabilities; it can only lose some.
 * @returns 0 or -EPERM.
 * @linux security/commoncap.c:cap_capset
 */
export function capset(
  task: Task,
  effective: CapSet,
  permitted: CapSet,
  inheritable: CapSet,
): number {
  const { cred } = task;
  const had = capPermitted(cred);
  const old = capInheritable(cred);
  if (!capIsSubset(inheritable, { lo: had.lo | old.lo, hi: had.hi | old.hi })) return -EPERM;
  if (!capIsSubset(permitted, had) || !capIsSubset(effective, permitted)) return -EPERM;
  task.cred = { ...cred, caps: { effective, permitted, inheritable } };
  if (task.mm !== null) mmSetCaps(task.mm, task.cred);
  return 0;
}
