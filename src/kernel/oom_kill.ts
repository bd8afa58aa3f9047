/** Memory is out: the process that holds most of it is killed. @linux mm/oom_kill.c */

import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import type { MmStruct } from '../mm/mm_types.ts';
import { oomReapTaskMm } from '../mm/oom_kill.ts';
import { mmUsage } from '../mm/rss.ts';
import { EAGAIN, EINVAL, ESRCH } from '../uapi/errno.ts';
import { SIGKILL } from '../uapi/signal.ts';
import { doExit } from './exit.ts';
import type { Kernel } from './kernel.ts';
import { isDying, killProcess } from './signal.ts';
import type { SignalStruct } from './task.ts';

/** Memory and importance of a process, in pages; larger dies first. -1000 in oom_score_adj exempts it. */
function oomBadness(kernel: Kernel, signal: SignalStruct): number {
  const thread = signal.threads[0];
  if (thread === undefined || thread.mm === null || signal.oomScoreAdj === -1000) return 0;
  const { anon, file, shmem, swap, tableBytes } = mmUsage(thread.mm);
  const pages = anon + file + shmem + swap + tableBytes / PAGE_SIZE;
  const adjust = (signal.oomScoreAdj * kernel.pgdat.managedFrames) / 1000;
  return Math.max(1, pages + adjust);
}

/**
 * Ends a process now. It holds no kernel stack, so nothing of it has to run for that; waiting
 * for its turn would let every other task find memory out and kill once more.
 */
function reap(kernel: Kernel, victim: SignalStruct): void {
  victim.groupExit = true;
  victim.exitCode = SIGKILL;
  for (const thread of [...victim.threads]) doExit(kernel, thread, SIGKILL);
}

/** Whether every process that uses the address space is about to end. @linux mm/oom_kill.c:task_will_free_mem */
function willFreeMem(kernel: Kernel, mm: MmStruct): boolean {
  for (const task of kernel.tasks.values()) {
    if (task.mm === mm && !isDying(task.signal)) return false;
  }
  return true;
}

/**
 * Takes the memory of a killed process before it comes round to give it back itself.
 * @returns 0; -ESRCH when it has none any more; -EINVAL when it, or another process with the
 *   same address space, is not about to end; -EAGAIN when only part of it could be taken.
 * @linux mm/oom_kill.c:SYSCALL_DEFINE2(process_mrelease)
 */
export function processMrelease(kernel: Kernel, signal: SignalStruct): number {
  const mm = signal.threads.find((thread) => thread.mm !== null)?.mm ?? null;
  if (mm === null) return -ESRCH;
  if (!willFreeMem(kernel, mm)) return -EINVAL;
  return oomReapTaskMm(mm) ? 0 : -EAGAIN;
}

/**
 * Kills the largest process. The current one dies at its next return to user mode, any other
 * has given its memory back when this returns.
 * @returns it, or null if nothing is left to kill.
 */
export function outOfMemory(kernel: Kernel): SignalStruct | null {
  let worst: SignalStruct | null = null;
  let points = 0;
  for (const task of kernel.tasks.values()) {
    if (task.pid !== task.tgid || task.signal.zombie) continue;
    const badness = oomBadness(kernel, task.signal);
    if (badness <= points) continue;
    points = badness;
    worst = task.signal;
  }
  if (worst === null) return null;
  const { leader } = worst;
  kernel.log.printk(
    kernel.clock.now(),
    `Out of memory: Killed process ${leader.pid} (${leader.comm}) ${Math.round(points) * 4}kB`,
  );
  kernel.pgdat.vmstat.oomKill++;
  if (worst === kernel.current?.signal) killProcess(worst, SIGKILL);
  else reap(kernel, worst);
  return worst;
}
