/**
 * Round-robin scheduling of one hart, and sleeping. A handler that cannot finish registers
 * its task on wait queues and returns what sleepInterruptible() gives it; the task's pc stays
 * at the ecall, so waking up means running the call again.
 *
 * @linux kernel/sched/core.c
 */

import { HART_SATP, loadRegs, saveRegs } from '../arch/riscv/hart_state.ts';
import { pfnToPaddr } from '../arch/riscv/pgtable.ts';
import { flushTlbAll } from '../arch/riscv/tlb.ts';
import { ERESTARTSYS } from '../uapi/errno.ts';
import type { Kernel } from './kernel.ts';
import { TASK_INTERRUPTIBLE, TASK_KILLABLE, type Task } from './task.ts';
import { Timer } from './time.ts';

/** A handler's result: the task sleeps, and the ecall runs again when it wakes. Below every -errno. */
export const SLEEP = -4096;
/** A handler's result: pc and a0 are already what they must be (execve, rt_sigreturn, exit). */
export const NO_RETURN = -4097;

/** Instructions in a time slice: a few milliseconds of interpreted code. */
export const TIME_SLICE = 2_000_000;

/**
 * Puts `task`, already on its wait queues, to sleep; call it last in a handler and return
 * its result.
 * @param errno ERESTART* or EINTR to end the call with when a signal is pending.
 * @returns SLEEP or -errno.
 */
export function sleepInterruptible(task: Task, errno: number = ERESTARTSYS): number {
  if (task.sigpending) {
    task.leaveQueues();
    return -errno;
  }
  if (task.wokenEarly) {
    // What it wants to wait for has just happened: the call runs again at once.
    task.wokenEarly = false;
    task.leaveQueues();
    return SLEEP;
  }
  task.state = TASK_INTERRUPTIBLE;
  return SLEEP;
}

/** As sleepInterruptible(), and wakes at `deadline` (monotonic ns; Infinity = never) at the latest. */
export function sleepUntil(
  kernel: Kernel,
  task: Task,
  deadline: number,
  errno: number = ERESTARTSYS,
): number {
  const result = sleepInterruptible(task, errno);
  if (result === SLEEP && deadline !== Number.POSITIVE_INFINITY) {
    task.sleepTimer ??= new Timer(() => task.wake());
    kernel.timers.start(task.sleepTimer, deadline);
  }
  return result;
}

/** Sleeps until woken by name: only SIGKILL interrupts it. The call itself must be complete. */
export function sleepKillable(task: Task): void {
  task.state = TASK_KILLABLE;
}

/** Charges the time since the current task got the hart to it. @returns the time now, monotonic ns. */
export function accountRuntime(kernel: Kernel): number {
  const now = kernel.clock.now();
  if (kernel.current !== null) {
    const elapsed = now - kernel.sliceStart;
    kernel.current.runtime += elapsed;
    kernel.busyTime += elapsed;
  }
  kernel.sliceStart = now;
  return now;
}

/** Takes the current task's registers off the hart, so that task.regs is right. */
export function saveCurrent(kernel: Kernel): void {
  const { current } = kernel;
  if (current === null) return;
  saveRegs(kernel.ram, current.regs);
  kernel.current = null;
}

/** Gives the hart to `next`: registers, root page table, TLBs. @hot */
export function switchTo(kernel: Kernel, next: Task): void {
  if (next.sleepTimer !== null && next.sleepTimer.index >= 0) kernel.timers.cancel(next.sleepTimer);
  const { current, ram } = kernel;
  if (current === next) return;
  if (current !== null) saveRegs(ram, current.regs);
  loadRegs(ram, next.regs);
  kernel.current = next;
  kernel.switches++;
  switchMm(kernel, next);
}

/** Puts the task's address space on the hart if another one is there. */
export function switchMm(kernel: Kernel, task: Task): void {
  const { mm } = task;
  const { pgdat, ram } = kernel;
  if (mm === null || kernel.hartMm === mm) return;
  ram.i32[HART_SATP >> 2] = pfnToPaddr(mm.pgd);
  flushTlbAll(ram);
  kernel.hartMm = mm;
  pgdat.activeMm = mm;
}

/** The address space on the hart is about to go: nothing may run until the next switchMm(). */
export function dropHartMm(kernel: Kernel): void {
  kernel.hartMm = null;
  kernel.pgdat.activeMm = null;
  flushTlbAll(kernel.ram);
}
