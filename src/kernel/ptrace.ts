/** Who may look into and change another process. @linux kernel/ptrace.c */

import type { Task } from './task.ts';

/**
 * Whether `task` may attach to `target`, or use its memory as if: its own process, one of which
 * all ids are those it was started with, or anything for root.
 * @linux kernel/ptrace.c:__ptrace_may_access with PTRACE_MODE_ATTACH_REALCREDS
 */
export function ptraceMayAttach(task: Task, target: Task): boolean {
  if (task.signal === target.signal || task.cred.euid === 0) return true;
  const { uid, gid } = task.cred;
  const { cred } = target;
  const sameUser = uid === cred.uid && uid === cred.euid && uid === cred.suid;
  return sameUser && gid === cred.gid && gid === cred.egid && gid === cred.sgid;
}
