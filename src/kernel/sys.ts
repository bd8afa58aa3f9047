/**
 * What a process can ask about and set for itself: COW page tables, limits, usage, identity
 * of the machine.
 *
 * @linux kernel/sys.c
 */

import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import type { Vaddr } from '../arch/riscv/pgtable.ts';
import { madviseSetAnonName } from '../mm/madvise.ts';
import {
  MMF_COW_PTE,
  MMF_COW_PTE_READY,
  MMF_HAS_MDWE,
  MMF_HAS_MDWE_NO_INHERIT,
} from '../mm/mm_struct.ts';
import type { MmStruct } from '../mm/mm_types.ts';
import { copyToUser, strncpyFromUser } from '../mm/uaccess.ts';
import { updateHiwaterRss } from '../mm/rss.ts';
import { EFAULT, EINVAL, EPERM } from '../uapi/errno.ts';
import {
  ANON_VMA_NAME_MAX_LEN,
  PR_MDWE_NO_INHERIT,
  PR_MDWE_REFUSE_EXEC_GAIN,
} from '../uapi/prctl.ts';
import {
  RLIMIT_CPU,
  RLIMIT_CORE,
  RLIMIT_MEMLOCK,
  RLIMIT_MSGQUEUE,
  RLIMIT_NICE,
  RLIMIT_NOFILE,
  RLIMIT_NPROC,
  RLIMIT_RTPRIO,
  RLIMIT_SIGPENDING,
  RLIMIT_STACK,
  RLIM_INFINITY,
  RLIM_NLIMITS,
  RUSAGE_BYTES,
} from '../uapi/resource.ts';
import { SIGKILL, SIGXCPU, SI_KERNEL } from '../uapi/signal.ts';
import type { WaitResult } from './exit.ts';
import type { Kernel } from './kernel.ts';
import { accountRuntime } from './sched.ts';
import { sendToGroup, sigInfo } from './signal.ts';
import { Rlimits, type SignalStruct, type Task } from './task.ts';
import { NSEC_PER_SEC, NSEC_PER_USEC } from './time.ts';

/**
 * Whether fork shares this process's page tables now. Between enabling and the next fork it
 * does not yet.
 * @patch 01/14
 */
export function prctlGetCowPte(mm: MmStruct): boolean {
  return (mm.flags & MMF_COW_PTE) !== 0;
}

/**
 * Turns COW page tables on from the next fork on, or off at once. Tables that are shared
 * already stay shared until they are written: off only means that no more will be.
 * @linux kernel/sys.c:prctl_set_cow_pte
 * @patch 01/14
 */
export function prctlSetCowPte(mm: MmStruct, on: boolean): void {
  if (!on) mm.flags &= ~(MMF_COW_PTE | MMF_COW_PTE_READY);
  else if ((mm.flags & MMF_COW_PTE) === 0) mm.flags |= MMF_COW_PTE_READY;
}

/** @returns PR_MDWE_* of an address space. @linux kernel/sys.c:prctl_get_mdwe */
export function prctlGetMdwe(mm: MmStruct): number {
  const refuse = (mm.flags & MMF_HAS_MDWE) === 0 ? 0 : PR_MDWE_REFUSE_EXEC_GAIN;
  return refuse | ((mm.flags & MMF_HAS_MDWE_NO_INHERIT) === 0 ? 0 : PR_MDWE_NO_INHERIT);
}

/**
 * Memory-deny-write-execute, for good.
 * @param bits PR_MDWE_*.
 * @returns 0; -EINVAL for bits that make no sense; -EPERM when others are set already.
 * @linux kernel/sys.c:prctl_set_mdwe
 */
export function prctlSetMdwe(mm: MmStruct, bits: number): number {
  if (bits < 0 || bits > (PR_MDWE_REFUSE_EXEC_GAIN | PR_MDWE_NO_INHERIT)) return -EINVAL;
  if (bits === PR_MDWE_NO_INHERIT) return -EINVAL;
  const current = prctlGetMdwe(mm);
  if (current !== 0 && current !== bits) return -EPERM;
  if ((bits & PR_MDWE_REFUSE_EXEC_GAIN) !== 0) mm.flags |= MMF_HAS_MDWE;
  if ((bits & PR_MDWE_NO_INHERIT) !== 0) mm.flags |= MMF_HAS_MDWE_NO_INHERIT;
  return 0;
}

/** Bytes that a name may not have: what is not printable in Latin-1, and these. @linux kernel/sys.c:is_valid_name_char */
const BAD_NAME_CHARS = /[^\x20-\x7e\xa0-\xff]|[\\`$[\]]/;

/**
 * PR_SET_VMA_ANON_NAME.
 * @param nameAddr address of the name; 0 takes the name away.
 * @returns 0; -EFAULT; -EINVAL (the name is too long or has odd bytes); or what
 *   madviseSetAnonName() returns.
 * @linux kernel/sys.c:prctl_set_vma
 */
export function prctlSetAnonVmaName(
  mm: MmStruct,
  start: Vaddr,
  len: number,
  nameAddr: Vaddr,
): number {
  if (nameAddr === 0) return madviseSetAnonName(mm, start, len, null);
  const name = strncpyFromUser(mm, nameAddr, ANON_VMA_NAME_MAX_LEN);
  if (typeof name === 'number') return name === -EFAULT ? -EFAULT : -EINVAL;
  return BAD_NAME_CHARS.test(name) ? -EINVAL : madviseSetAnonName(mm, start, len, name);
}

/** Limits of the first process. @linux include/asm-generic/resource.h:INIT_RLIMITS */
export function initialRlimits(maxTasks: number): Rlimits {
  const soft = new Array<number>(RLIM_NLIMITS).fill(RLIM_INFINITY);
  const hard = new Array<number>(RLIM_NLIMITS).fill(RLIM_INFINITY);
  soft[RLIMIT_STACK] = 8 * 1024 * 1024;
  soft[RLIMIT_CORE] = 0;
  soft[RLIMIT_NOFILE] = 1024;
  hard[RLIMIT_NOFILE] = 1_048_576;
  for (const list of [soft, hard]) {
    list[RLIMIT_NPROC] = maxTasks / 2;
    list[RLIMIT_SIGPENDING] = maxTasks / 2;
    list[RLIMIT_MEMLOCK] = 8 * 1024 * 1024;
    list[RLIMIT_MSGQUEUE] = 819_200;
    list[RLIMIT_NICE] = 0;
    list[RLIMIT_RTPRIO] = 0;
  }
  return new Rlimits(soft, hard);
}

/** Replaces one limit of a process. Both values are bytes or counts, Infinity for none. */
export function setRlimit(signal: SignalStruct, which: number, soft: number, hard: number): void {
  const limits = signal.limits;
  const next = new Rlimits(limits.soft.with(which, soft), limits.hard.with(which, hard));
  signal.limits = next;
  for (const thread of signal.threads) {
    if (thread.mm !== null) thread.mm.limits = next;
  }
}

/** Time a process has spent on the hart, ns; threads that are gone included. */
export function processRuntime(kernel: Kernel, signal: SignalStruct): number {
  if (kernel.current?.signal === signal) accountRuntime(kernel);
  let sum = signal.sumRuntime;
  for (const thread of signal.threads) sum += thread.runtime;
  return sum;
}

/**
 * RLIMIT_CPU: SIGXCPU each second past the soft limit, SIGKILL at the hard one.
 * @linux kernel/time/posix-cpu-timers.c:check_process_timers
 */
export function checkCpuLimit(kernel: Kernel, signal: SignalStruct): void {
  const soft = signal.limits.soft[RLIMIT_CPU]!;
  if (soft === RLIM_INFINITY) return;
  const seconds = processRuntime(kernel, signal) / NSEC_PER_SEC;
  if (seconds < soft) return;
  const hard = signal.limits.hard[RLIMIT_CPU]!;
  if (seconds >= hard) {
    sendToGroup(signal, sigInfo(SIGKILL, SI_KERNEL));
    return;
  }
  setRlimit(signal, RLIMIT_CPU, soft + 1, hard);
  sendToGroup(signal, sigInfo(SIGXCPU, SI_KERNEL));
}

/** Time one thread has spent on the hart, ns. */
export function threadRuntime(kernel: Kernel, task: Task): number {
  if (kernel.current === task) accountRuntime(kernel);
  return task.runtime;
}

/** What struct rusage is made from. */
export type Usage = Pick<WaitResult, 'runtime' | 'maxRss' | 'minorFaults' | 'majorFaults'>;

/** Usage of the process itself. */
export function selfUsage(kernel: Kernel, task: Task): Usage {
  const { signal } = task;
  const mm = task.mm!;
  updateHiwaterRss(mm);
  return {
    runtime: processRuntime(kernel, signal),
    maxRss: Math.max(signal.maxRss, mm.hiwaterRss),
    minorFaults: signal.minorFaults + mm.minorFaults,
    majorFaults: signal.majorFaults + mm.majorFaults,
  };
}

/** Usage of its reaped children. */
export function childrenUsage(signal: SignalStruct): Usage {
  return {
    runtime: signal.childrenRuntime,
    maxRss: signal.childrenMaxRss,
    minorFaults: signal.childrenMinorFaults,
    majorFaults: signal.childrenMajorFaults,
  };
}

/** Writes struct rusage; all run time is user time. @returns 0 or -EFAULT. */
export function putRusage(mm: MmStruct, addr: number, usage: Usage): number {
  const bytes = new Uint8Array(RUSAGE_BYTES);
  const view = new DataView(bytes.buffer);
  const sec = Math.floor(usage.runtime / NSEC_PER_SEC);
  view.setUint32(0, sec, true);
  view.setUint32(8, Math.floor((usage.runtime - sec * NSEC_PER_SEC) / NSEC_PER_USEC), true);
  view.setUint32(32, (usage.maxRss * PAGE_SIZE) / 1024, true);
  view.setUint32(64, usage.minorFaults, true);
  view.setUint32(72, usage.majorFaults, true);
  return copyToUser(mm, addr, bytes);
}
