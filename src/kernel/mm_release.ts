/**
 * What happens when a task lets go of its address space, at exec and at exit: the thread id
 * is cleared and woken for pthread_join(), and a vfork parent runs again.
 *
 * @linux kernel/fork.c:mm_release
 */

import { mmput } from '../mm/fork.ts';
import { putUser32 } from '../mm/uaccess.ts';
import { exitRobustList, futexWakeAddress } from './futex.ts';
import type { Kernel } from './kernel.ts';
import { dropHartMm } from './sched.ts';
import type { Task } from './task.ts';

/** Wakes the parent that waits in vfork for this task to exec or exit. */
export function completeVfork(task: Task): void {
  const parent = task.vforkParent;
  if (parent === null) return;
  task.vforkParent = null;
  parent.wake();
}

/** Robust futexes, clear_child_tid and vfork; the address space is still there. */
export function mmRelease(kernel: Kernel, task: Task): void {
  const mm = task.mm!;
  if (task.robustList !== 0) {
    exitRobustList(kernel, task);
    task.robustList = 0;
  }
  if (task.clearChildTid !== 0) {
    // Nobody is left to see it if this was the last user.
    if (mm.users > 1 && putUser32(mm, task.clearChildTid, 0) === 0) {
      futexWakeAddress(kernel, mm, task.clearChildTid, 1);
    }
    task.clearChildTid = 0;
  }
  completeVfork(task);
}

/** Drops the task's use of its address space; the last user ends it. */
export function mmputTask(kernel: Kernel, task: Task): void {
  const { mm } = task;
  if (mm === null) return;
  task.mm = null;
  if (mm.users === 1 && kernel.hartMm === mm) dropHartMm(kernel);
  mmput(mm);
}
