/** Tasks that wait for whoever reads a userfaultfd. @linux mm/userfaultfd.c */

import type { MmStruct, Userfault } from '../mm/mm_types.ts';
import { queueUserfault } from '../mm/userfaultfd.ts';
import type { Kernel } from './kernel.ts';
import { sleepInterruptible, sleepKillable } from './sched.ts';
import type { Task } from './task.ts';

/** The access that the trap or system call in progress could not make for want of a page, if any. */
export function takeUserfault(kernel: Kernel): Userfault | null {
  const { pgdat } = kernel;
  const fault = pgdat.userfault;
  pgdat.userfault = null;
  return fault;
}

/**
 * Puts the task to sleep until the page is there; its instruction or system call is then run
 * again.
 * @param inKernel the access is a system call's: only SIGKILL keeps it from being made.
 */
export function waitForUserfault(task: Task, fault: Userfault, inKernel: boolean): void {
  if (!inKernel && task.sigpending) return;
  task.waitOn(fault.queue);
  if (inKernel) sleepKillable(task);
  else sleepInterruptible(task);
  queueUserfault(fault, task.pid);
}

/** Leaves the caller asleep, its call complete, until what it changed in `mm` has been read. */
export function waitForUffdEvents(task: Task, mm: MmStruct): void {
  // A call makes one event for each userfaultfd; the last stands for all.
  const event = mm.uffdEvents.at(-1);
  if (event === undefined) return;
  mm.uffdEvents = [];
  task.waitOn(event.queue);
  sleepKillable(task);
}
