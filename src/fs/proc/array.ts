/**
 * /proc/PID/stat, status and statm.
 *
 * `VmPTEShared`, `RssShared`, `CowBreakCopy` and `CowBreakReuse` are rows of cowshed's own, at
 * the end of the Vm* block: kB of page tables that another process uses too, kB of VmRSS reached
 * through them, and shared tables (leaf, PMD, PUD) that the process copied and took over. Every
 * other row is Linux's.
 *
 * @linux fs/proc/array.c
 */

import { PAGE_SIZE } from '../../arch/riscv/memlayout.ts';
import { LEVEL_PGD, pageAlignDown, pageAlignUp } from '../../arch/riscv/pgtable.ts';
import {
  CAP_EMPTY_SET,
  CAP_FULL_SET,
  capEffective,
  capInheritable,
  capPermitted,
} from '../../kernel/cred.ts';
import { HOST_PID, type Kernel } from '../../kernel/kernel.ts';
import { sigHandlerAddress } from '../../kernel/signal.ts';
import { sigBit } from '../../kernel/sigset.ts';
import { processRuntime, threadRuntime } from '../../kernel/sys.ts';
import {
  EXIT_DEAD,
  EXIT_ZOMBIE,
  TASK_INTERRUPTIBLE,
  TASK_KILLABLE,
  TASK_RUNNING,
  TASK_STOPPED,
  TASK_TRACED,
  type CapSet,
  type SigSet,
  type Task,
} from '../../kernel/task.ts';
import { NSEC_PER_SEC } from '../../kernel/time.ts';
import type { MmStruct } from '../../mm/mm_types.ts';
import { mmUsage } from '../../mm/rss.ts';
import { RLIMIT_RSS, RLIMIT_SIGPENDING } from '../../uapi/resource.ts';
import { NSIG, SIG_DFL, SIG_IGN } from '../../uapi/signal.ts';
import { USER_HZ } from '../../uapi/time.ts';
import { Tty } from '../tty.ts';
import { hex64, manglePath, padNumber } from './generic.ts';
import { taskHasExited, type ProcPid } from './pid.ts';

const KB_PER_PAGE = PAGE_SIZE / 1024;
/** No limit, as an unsigned long prints. */
const ULONG_MAX = '18446744073709551615';
/** Effective capabilities of root: all of them. @linux include/uapi/linux/capability.h CAP_LAST_CAP = 40 */
/** Descriptor tables grow in steps of this. @linux NR_OPEN_DEFAULT */
const NR_OPEN_DEFAULT = 64;
/** Priority of a task with nice 0 as stat shows it. @linux kernel/sched/core.c:task_prio */
const DEFAULT_PRIO = 20;
/** stat's flags: forked and has not called exec. @linux include/linux/sched.h */
const PF_FORKNOEXEC = 0x40;
/** stat's flags: on its way out. */
const PF_EXITING = 0x04;

const STATE_NAMES: ReadonlyMap<number, string> = new Map([
  [TASK_RUNNING, 'R (running)'],
  [TASK_INTERRUPTIBLE, 'S (sleeping)'],
  [TASK_KILLABLE, 'D (disk sleep)'],
  [TASK_STOPPED, 'T (stopped)'],
  [TASK_TRACED, 't (tracing stop)'],
  [EXIT_ZOMBIE, 'Z (zombie)'],
  [EXIT_DEAD, 'X (dead)'],
]);

function stateName(task: Task): string {
  return STATE_NAMES.get(task.state) ?? 'R (running)';
}

export function parentPid(task: Task): number {
  const { parent } = task.signal;
  return parent === null ? HOST_PID : parent.tgid;
}

/** Threads of a process; a leader that has exited before the others counts. */
export function threadCount(task: Task): number {
  const { threads, leader } = task.signal;
  return threads.length + (threads.includes(leader) ? 0 : 1);
}

/** Clock ticks in a run time of `ns`. */
function ticks(ns: number): number {
  return Math.floor(ns / (NSEC_PER_SEC / USER_HZ));
}

/** Signals whose handler is `kind`: ignored, or caught when `kind` is null. */
function signalsWith(task: Task, ignored: boolean): SigSet {
  const set: SigSet = { lo: 0, hi: 0 };
  for (let sig = 1; sig <= NSIG; sig++) {
    const handler = sigHandlerAddress(task.sighand, sig);
    if (handler === SIG_DFL || (handler === SIG_IGN) !== ignored) continue;
    if (sig <= 32) set.lo |= sigBit(sig);
    else set.hi |= sigBit(sig);
  }
  return set;
}

/** stat keeps the first 31 signals only. */
function oldSigset(set: SigSet): number {
  return set.lo & 0x7fff_ffff;
}

function taskFlags(task: Task): number {
  return (task.signal.didExec ? 0 : PF_FORKNOEXEC) | (taskHasExited(task) ? PF_EXITING : 0);
}

/** tty_nr and tpgid: the terminal of the task's session and its foreground group. */
function ttyFields(task: Task, kernel: Kernel): number[] {
  const { session } = task.signal;
  const ttys = kernel.rootFs?.root.mnt.sb.vfs.ttys ?? [];
  for (const tty of ttys) {
    if (tty instanceof Tty && tty.session === session) return [tty.inode.rdev, tty.pgrp];
  }
  return [0, -1];
}

/** Minor, children's minor, major and children's major faults. */
function faultFields(task: Task): number[] {
  const { signal, mm } = task;
  return [
    signal.minorFaults + (mm === null ? 0 : mm.minorFaults),
    signal.childrenMinorFaults,
    signal.majorFaults + (mm === null ? 0 : mm.majorFaults),
    signal.childrenMajorFaults,
  ];
}

/** vsize, rss, rsslim. */
function sizeFields(task: Task): (number | string)[] {
  const { mm } = task;
  const limit = task.signal.limits.soft[RLIMIT_RSS]!;
  const rsslim = Number.isFinite(limit) ? limit : ULONG_MAX;
  if (mm === null) return [0, 0, rsslim];
  const { anon, file, shmem } = mmUsage(mm);
  return [mm.totalVm * PAGE_SIZE, anon + file + shmem, rsslim];
}

/** startcode, endcode, startstack, kstkesp, kstkeip. */
function codeFields(mm: MmStruct | null): number[] {
  return mm === null ? [0, 0, 0, 0, 0] : [mm.startCode, mm.endCode, mm.startStack, 0, 0];
}

/** start_data, end_data, start_brk, arg_start, arg_end, env_start, env_end. */
function layoutFields(mm: MmStruct | null): number[] {
  if (mm === null) return [0, 0, 0, 0, 0, 0, 0];
  const { startData, endData, startBrk, argStart, argEnd, envStart, envEnd } = mm;
  return [startData, endData, startBrk, argStart, argEnd, envStart, envEnd];
}

/**
 * One line of 52 fields.
 * @linux fs/proc/array.c:do_task_stat
 */
export function procTaskStat(task: Task, kernel: Kernel, pid: ProcPid): string {
  const { signal, mm } = task;
  const runtime = pid.thread ? threadRuntime(kernel, task) : processRuntime(kernel, signal);
  const fields = [
    task.pid,
    `(${task.comm})`,
    stateName(task)[0]!,
    parentPid(task),
    signal.pgrp,
    signal.session,
    ...ttyFields(task, kernel),
    taskFlags(task),
    ...faultFields(task),
    ticks(runtime),
    0,
    ticks(signal.childrenRuntime),
    0,
    DEFAULT_PRIO + task.nice,
    task.nice,
    threadCount(task),
    0,
    ticks(task.startTime),
    ...sizeFields(task),
    ...codeFields(mm),
    oldSigset(task.pending),
    oldSigset({ lo: task.blockedLo, hi: task.blockedHi }),
    oldSigset(signalsWith(task, true)),
    oldSigset(signalsWith(task, false)),
    0,
    0,
    0,
    task.exitSignal,
    0,
    0,
    task.schedPolicy,
    0,
    0,
    0,
    ...layoutFields(mm),
    taskHasExited(task) ? signal.exitCode : 0,
  ];
  return `${fields.join(' ')}\n`;
}

/** size, resident, shared, text, lib, data, dt: pages. @linux fs/proc/array.c:proc_pid_statm */
export function procPidStatm(task: Task): string {
  const { mm } = task;
  if (mm === null) return '0 0 0 0 0 0 0\n';
  const { anon, file, shmem } = mmUsage(mm);
  const text = (pageAlignUp(mm.endCode) - pageAlignDown(mm.startCode)) / PAGE_SIZE;
  const data = mm.dataVm + mm.stackVm;
  return `${mm.totalVm} ${anon + file + shmem} ${file + shmem} ${text} 0 ${data} 0\n`;
}

/** A row of kB: the name, a tab, and the number in eight columns. */
function kb(name: string, pages: number): string {
  return `${name}:\t${padNumber(pages * KB_PER_PAGE, 8)} kB\n`;
}

/** @linux fs/proc/task_mmu.c:task_mem */
function taskMem(mm: MmStruct): string {
  const { anon, file, shmem, swap, tableBytes, sharedTables, sharedPages } = mmUsage(mm);
  const rss = anon + file + shmem;
  const code = (pageAlignUp(mm.endCode) - pageAlignDown(mm.startCode)) / PAGE_SIZE;
  const text = Math.min(code, mm.execVm);
  return [
    kb('VmPeak', Math.max(mm.hiwaterVm, mm.totalVm)),
    kb('VmSize', mm.totalVm),
    kb('VmLck', mm.lockedVm),
    kb('VmPin', 0),
    kb('VmHWM', Math.max(mm.hiwaterRss, rss)),
    kb('VmRSS', rss),
    kb('RssAnon', anon),
    kb('RssFile', file),
    kb('RssShmem', shmem),
    kb('VmData', mm.dataVm),
    kb('VmStk', mm.stackVm),
    kb('VmExe', text),
    kb('VmLib', mm.execVm - text),
    kb('VmPTE', tableBytes / PAGE_SIZE),
    kb('VmSwap', swap),
    kb('VmPTEShared', sharedTables),
    kb('RssShared', sharedPages),
    `CowBreakCopy:\t${mm.cowBreaks.slice(0, LEVEL_PGD).join('\t')}\n`,
    `CowBreakReuse:\t${mm.cowBreaks.slice(LEVEL_PGD).join('\t')}\n`,
    'CoreDumping:\t0\n',
    'THP_enabled:\t0\n',
    'untag_mask:\t0xffffffffffffffff\n',
  ].join('');
}

function taskIdentity(task: Task): string {
  const { cred, signal, fs, files } = task;
  const exited = taskHasExited(task);
  const tracer = task.ptrace?.tracer.pid ?? 0;
  const umask = exited ? '' : `Umask:\t${fs.umask.toString(8).padStart(4, '0')}\n`;
  const slots = exited ? 0 : files.size;
  const fdSize = exited ? 0 : Math.max(Math.ceil(slots / NR_OPEN_DEFAULT), 1) * NR_OPEN_DEFAULT;
  return [
    `Name:\t${manglePath(task.comm, '\n\\')}\n`,
    umask,
    `State:\t${stateName(task)}\n`,
    `Tgid:\t${task.tgid}\nNgid:\t0\nPid:\t${task.pid}\nPPid:\t${parentPid(task)}\nTracerPid:\t${tracer}\n`,
    `Uid:\t${cred.uid}\t${cred.euid}\t${cred.suid}\t${cred.fsuid}\n`,
    `Gid:\t${cred.gid}\t${cred.egid}\t${cred.sgid}\t${cred.fsgid}\n`,
    `FDSize:\t${fdSize}\n`,
    `Groups:\t${cred.groups.join(' ')} \n`,
    `NStgid:\t${task.tgid}\nNSpid:\t${task.pid}\nNSpgid:\t${signal.pgrp}\nNSsid:\t${signal.session}\n`,
    'Kthread:\t0\n',
  ].join('');
}

function taskSignals(task: Task): string {
  const { signal, pending } = task;
  const queued = (pending.infos?.length ?? 0) + (signal.pending.infos?.length ?? 0);
  const limit = signal.limits.soft[RLIMIT_SIGPENDING]!;
  const ignored = signalsWith(task, true);
  const caught = signalsWith(task, false);
  return [
    `Threads:\t${threadCount(task)}\n`,
    `SigQ:\t${queued}/${Number.isFinite(limit) ? limit : ULONG_MAX}\n`,
    `SigPnd:\t${hex64(pending.lo, pending.hi)}\n`,
    `ShdPnd:\t${hex64(signal.pending.lo, signal.pending.hi)}\n`,
    `SigBlk:\t${hex64(task.blockedLo, task.blockedHi)}\n`,
    `SigIgn:\t${hex64(ignored.lo, ignored.hi)}\n`,
    `SigCgt:\t${hex64(caught.lo, caught.hi)}\n`,
  ].join('');
}

/** @linux fs/proc/array.c:task_cap */
function taskCap(task: Task): string {
  const row = (name: string, { lo, hi }: CapSet): string => `${name}:\t${hex64(lo, hi)}\n`;
  const { cred } = task;
  return [
    row('CapInh', capInheritable(cred)),
    row('CapPrm', capPermitted(cred)),
    row('CapEff', capEffective(cred)),
    row('CapBnd', CAP_FULL_SET),
    row('CapAmb', CAP_EMPTY_SET),
  ].join('');
}

function taskRest(task: Task): string {
  return [
    `NoNewPrivs:\t${task.noNewPrivs ? 1 : 0}\n`,
    'Seccomp:\t0\nSeccomp_filters:\t0\n',
    'Speculation_Store_Bypass:\tnot vulnerable\nSpeculationIndirectBranch:\tnot affected\n',
    'Cpus_allowed:\t1\nCpus_allowed_list:\t0\nMems_allowed:\t1\nMems_allowed_list:\t0\n',
    `voluntary_ctxt_switches:\t${task.nvcsw}\nnonvoluntary_ctxt_switches:\t${task.nivcsw}\n`,
  ].join('');
}

/** @linux fs/proc/array.c:proc_pid_status */
export function procPidStatus(task: Task): string {
  const mem = task.mm === null ? '' : taskMem(task.mm);
  return taskIdentity(task) + mem + taskSignals(task) + taskCap(task) + taskRest(task);
}
