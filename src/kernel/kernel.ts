/** The machine-wide state of the kernel: what Linux keeps in globals. */

import type { Ram } from '../arch/riscv/ram.ts';
import type { FsStruct } from '../fs/fs_types.ts';
import type { MmStruct, PgData, VmFile } from '../mm/mm_types.ts';
import { FutexTable } from './futex_table.ts';
import { KernelLog } from './printk.ts';
import { RandomPool } from './random.ts';
import { RunQueue, type Task } from './task.ts';
import { Clock, TimerQueue } from './time.ts';

/** Pids wrap here. @linux PID_MAX_DEFAULT */
const PID_MAX = 32768;
/** Where pids start again after a wrap: low ones stay with the first programs. */
const RESERVED_PIDS = 300;
/** The host, as programs see it: parent of spawned processes and of orphans. No task has it. */
export const HOST_PID = 1;

/** Memory one task may account for: the number of tasks is bounded by memory / this. @linux kernel/fork.c:set_max_threads */
const MEMORY_PER_TASK = 128 * 1024;
const MIN_TASKS = 64;
/** Register files kept for new tasks. */
const MAX_SPARE_REGS = 256;

export interface UtsName {
  sysname: string;
  nodename: string;
  release: string;
  version: string;
  machine: string;
  domainname: string;
}

export interface KernelOptions {
  readonly hostname: string;
  readonly cowPte: boolean;
  /** Makes getrandom() and AT_RANDOM repeatable; undefined takes the host's randomness. */
  readonly randomSeed: number | undefined;
  /** Time is that of the instructions, and starts at the same moment in each machine. */
  readonly virtualTime: boolean;
}

export class Kernel {
  readonly ram: Ram;
  readonly pgdat: PgData;
  readonly runQueue = new RunQueue();
  readonly clock: Clock;
  readonly timers = new TimerQueue();
  readonly futexes = new FutexTable();
  readonly log = new KernelLog();
  readonly random: RandomPool;
  readonly uts: UtsName;
  /** MMF_COW_PTE for address spaces of spawned programs. */
  readonly cowPte: boolean;
  /** Every task that a system call can find, by pid; zombies included. */
  readonly tasks = new Map<number, Task>();
  /** The task whose registers are on the hart; null before the first and after an exit. */
  current: Task | null = null;
  /** The address space whose root is in HART_SATP; compare before use, it may be gone. */
  hartMm: MmStruct | null = null;
  /** The sigreturn page; see vdso.ts. */
  vdso: VmFile | null = null;
  /** Root and working directory of spawned programs. Set once the root file system is mounted. */
  rootFs: FsStruct | null = null;
  /** Monotonic ns when the current task got the hart. */
  sliceStart = 0;
  /** The current task gives up the rest of its slice (sched_yield). */
  needResched = false;
  /** Time that any task has had the hart, ns. */
  busyTime = 0;
  /** Forks and context switches since boot (/proc/stat). */
  forks = 0;
  switches = 0;
  readonly maxTasks: number;
  /** Registers of dead tasks, for new ones. */
  readonly spareRegs: Int32Array[] = [];
  /** The newest pid. */
  lastPid = HOST_PID;

  constructor(ram: Ram, pgdat: PgData, options: KernelOptions) {
    this.ram = ram;
    this.pgdat = pgdat;
    this.cowPte = options.cowPte;
    this.clock = new Clock(options.virtualTime ? ram : null);
    this.random = new RandomPool(options.randomSeed);
    this.maxTasks = Math.max(MIN_TASKS, Math.floor(ram.layout.bytes / MEMORY_PER_TASK));
    this.uts = {
      sysname: 'Linux',
      nodename: options.hostname,
      release: '6.12.0-cowshed',
      version: '#1 SMP cowshed',
      machine: 'riscv64',
      domainname: '(none)',
    };
  }

  /** @returns a pid no task, process group or session uses, or 0 when there are too many tasks. */
  allocPid(): number {
    if (this.tasks.size >= this.maxTasks) return 0;
    let pid = this.lastPid;
    for (let tries = 0; tries < PID_MAX; tries++) {
      pid = pid + 1 < PID_MAX ? pid + 1 : RESERVED_PIDS;
      if (this.tasks.has(pid) || this.groupInUse(pid)) continue;
      this.lastPid = pid;
      return pid;
    }
    return 0;
  }

  /** Before the first wrap every pid is new and nothing has to be searched. */
  private groupInUse(pid: number): boolean {
    if (pid > this.lastPid && this.forks < PID_MAX - RESERVED_PIDS) return false;
    for (const task of this.tasks.values()) {
      if (task.signal.pgrp === pid || task.signal.session === pid) return true;
    }
    return false;
  }

  /** Keeps a dead task's registers for the next new task. */
  recycleRegs(regs: Int32Array): void {
    if (this.spareRegs.length < MAX_SPARE_REGS) this.spareRegs.push(regs);
  }
}
