/** /proc/stat, uptime and loadavg: how busy the machine is. @linux fs/proc/stat.c, uptime.c, loadavg.c */

import type { Kernel } from '../../kernel/kernel.ts';
import { accountRuntime } from '../../kernel/sched.ts';
import { TASK_KILLABLE, TASK_RUNNING, type Task } from '../../kernel/task.ts';
import { NSEC_PER_SEC } from '../../kernel/time.ts';
import { USER_HZ } from '../../uapi/time.ts';
import { taskHasExited } from './pid.ts';

const NSEC_PER_TICK = NSEC_PER_SEC / USER_HZ;
/** Seconds over which the three load averages look back. */
const LOAD_SECONDS = [60, 300, 900] as const;
/** Seconds after which the load is sampled again. @linux LOAD_FREQ */
const LOAD_FREQ = 5;
/** Kinds of softirq that /proc/stat lists. */
const NR_SOFTIRQS = 10;

function countTasks(kernel: Kernel, matches: (task: Task) => boolean): number {
  let n = 0;
  for (const task of kernel.tasks.values()) if (matches(task)) n++;
  return n;
}

function running(kernel: Kernel): number {
  return countTasks(kernel, (task) => task.state === TASK_RUNNING);
}

/** Time since boot, and the part of it in which no task ran; ns. */
function machineTime(kernel: Kernel): { now: number; idle: number } {
  const now = accountRuntime(kernel);
  return { now, idle: Math.max(0, now - kernel.busyTime) };
}

/** All time on the hart is user time: the kernel's own is not told apart. @linux fs/proc/stat.c:show_stat */
export function showStat(kernel: Kernel): string {
  const { now, idle } = machineTime(kernel);
  const user = Math.floor((now - idle) / NSEC_PER_TICK);
  const times = `${user} 0 0 ${Math.floor(idle / NSEC_PER_TICK)} 0 0 0 0 0 0`;
  const blocked = countTasks(kernel, (task) => task.state === TASK_KILLABLE);
  return [
    `cpu  ${times}\n`,
    `cpu0 ${times}\n`,
    'intr 0\n',
    `ctxt ${kernel.switches}\n`,
    `btime ${kernel.clock.bootSec}\n`,
    `processes ${kernel.forks}\n`,
    `procs_running ${running(kernel)}\n`,
    `procs_blocked ${blocked}\n`,
    `softirq 0${' 0'.repeat(NR_SOFTIRQS)}\n`,
  ].join('');
}

/** Seconds with two decimals, cut. */
function seconds(ns: number): string {
  return (Math.floor(ns / (NSEC_PER_SEC / 100)) / 100).toFixed(2);
}

export function showUptime(kernel: Kernel): string {
  const { now, idle } = machineTime(kernel);
  return `${seconds(now)} ${seconds(idle)}\n`;
}

/** Load averages, sampled when somebody asks: a timer for it would keep an idle machine awake. */
export class LoadAverage {
  private readonly averages: number[] = LOAD_SECONDS.map(() => 0);
  /** Monotonic ns of the last sample. */
  private sampled = 0;

  private sample(kernel: Kernel): void {
    const now = kernel.clock.now();
    const elapsed = (now - this.sampled) / NSEC_PER_SEC;
    if (elapsed < LOAD_FREQ) return;
    this.sampled = now;
    const active = countTasks(
      kernel,
      (task) => task.state === TASK_RUNNING || task.state === TASK_KILLABLE,
    );
    LOAD_SECONDS.forEach((span, i) => {
      const decay = Math.exp(-elapsed / span);
      this.averages[i] = this.averages[i]! * decay + active * (1 - decay);
    });
  }

  /** Averages, tasks running / all, and the newest pid. @linux fs/proc/loadavg.c:loadavg_proc_show */
  show(kernel: Kernel): string {
    this.sample(kernel);
    const averages = this.averages.map((load) => load.toFixed(2)).join(' ');
    const all = countTasks(kernel, (task) => !taskHasExited(task));
    return `${averages} ${running(kernel)}/${all} ${kernel.lastPid}\n`;
  }
}
