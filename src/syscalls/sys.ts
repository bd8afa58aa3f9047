/** System information, limits, scheduling parameters and prctl. @linux kernel/sys.c, arch/riscv/kernel/sys_hwprobe.c */

import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import { getU64 } from '../lib/bits.ts';
import { copyFromUser, copyToUser, getUser64, putUser32 } from '../mm/uaccess.ts';
import { EACCES, EFAULT, EINVAL, EPERM, ESRCH } from '../uapi/errno.ts';
import { CAP_LAST_CAP } from '../uapi/capability.ts';
import {
  COW_PTE_CLEAR,
  COW_PTE_GET,
  COW_PTE_SET,
  PR_CAPBSET_DROP,
  PR_CAPBSET_READ,
  PR_CAP_AMBIENT,
  PR_COW_PTE,
  PR_GET_CHILD_SUBREAPER,
  PR_GET_DUMPABLE,
  PR_GET_KEEPCAPS,
  PR_GET_NAME,
  PR_GET_NO_NEW_PRIVS,
  PR_GET_PDEATHSIG,
  PR_GET_SECCOMP,
  PR_GET_THP_DISABLE,
  PR_GET_TIMERSLACK,
  PR_GET_TIMING,
  PR_SET_CHILD_SUBREAPER,
  PR_GET_MDWE,
  PR_SET_MDWE,
  PR_SET_DUMPABLE,
  PR_SET_KEEPCAPS,
  PR_SET_NAME,
  PR_SET_NO_NEW_PRIVS,
  PR_SET_PDEATHSIG,
  PR_SET_THP_DISABLE,
  PR_SET_TIMERSLACK,
  PR_SET_VMA,
  PR_SET_VMA_ANON_NAME,
  TASK_COMM_LEN,
} from '../uapi/prctl.ts';
import {
  RLIMIT_NICE,
  PRIO_PROCESS,
  PRIO_USER,
  RLIM_INFINITY,
  RLIM_NLIMITS,
  RLIMIT_NOFILE,
  RUSAGE_CHILDREN,
  RUSAGE_SELF,
  RUSAGE_THREAD,
} from '../uapi/resource.ts';
import { SCHED_NORMAL, SCHED_RESET_ON_FORK } from '../uapi/sched.ts';
import { NSIG } from '../uapi/signal.ts';
import { getDumpable, setDumpable } from '../kernel/cred.ts';
import type { Kernel } from '../kernel/kernel.ts';
import {
  childrenUsage,
  prctlGetCowPte,
  prctlGetMdwe,
  prctlSetAnonVmaName,
  prctlSetCowPte,
  prctlSetMdwe,
  putRusage,
  selfUsage,
  setRlimit,
  threadRuntime,
} from '../kernel/sys.ts';
import type { Task } from '../kernel/task.ts';
import { NSEC_PER_SEC } from '../kernel/time.ts';
import type { SyscallArgs } from './args.ts';

const UTS_FIELD = 65;
/** Most that RLIMIT_NOFILE can be raised to. @linux sysctl_nr_open */
const NR_OPEN = 1_048_576;

function putBytes(task: Task, addr: number, bytes: Uint8Array): number {
  return copyToUser(task.mm!, addr, bytes);
}

export function sysUname(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const { uts } = kernel;
  const out = Buffer.alloc(6 * UTS_FIELD);
  const fields = [uts.sysname, uts.nodename, uts.release, uts.version, uts.machine, uts.domainname];
  for (const [i, text] of fields.entries()) {
    out.write(text.slice(0, UTS_FIELD - 1), i * UTS_FIELD, 'latin1');
  }
  return putBytes(task, args.ulong(0), out);
}

function setUts(task: Task, args: SyscallArgs, store: (name: string) => void): number {
  const len = args.int(1);
  if (task.cred.euid !== 0) return -EPERM;
  if (len < 0 || len >= UTS_FIELD) return -EINVAL;
  const bytes = Buffer.alloc(len);
  if (copyFromUser(task.mm!, bytes, args.ulong(0)) !== 0) return -EFAULT;
  store(bytes.toString('latin1').replace(/\0.*$/s, ''));
  return 0;
}

export function sysSethostname(kernel: Kernel, task: Task, args: SyscallArgs): number {
  return setUts(task, args, (name) => {
    kernel.uts.nodename = name;
  });
}

export function sysSetdomainname(kernel: Kernel, task: Task, args: SyscallArgs): number {
  return setUts(task, args, (name) => {
    kernel.uts.domainname = name;
  });
}

/** struct sysinfo: 112 bytes. */
export function sysSysinfo(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const { pgdat } = kernel;
  const bytes = new Uint8Array(112);
  const view = new DataView(bytes.buffer);
  const put = (at: number, value: number): void => {
    view.setUint32(at, value % 0x1_0000_0000, true);
    view.setUint32(at + 4, Math.floor(value / 0x1_0000_0000), true);
  };
  put(0, Math.floor(kernel.clock.now() / NSEC_PER_SEC));
  put(32, pgdat.managedFrames * PAGE_SIZE);
  put(40, pgdat.freeFrames * PAGE_SIZE);
  put(64, pgdat.swap.totalPages * PAGE_SIZE);
  put(72, pgdat.swap.freePages * PAGE_SIZE);
  view.setUint16(80, Math.min(kernel.tasks.size, 0xffff), true);
  view.setUint32(104, 1, true);
  return putBytes(task, args.ulong(0), bytes);
}

const GRND_KNOWN = 7;
/** GRND_RANDOM with GRND_INSECURE makes no sense. */
const GRND_CONFLICT = 6;
/** getrandom() fills this much at a time. */
const RANDOM_CHUNK = 65536;

export function sysGetrandom(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const flags = args.int(2);
  if ((flags & ~GRND_KNOWN) !== 0 || (flags & GRND_CONFLICT) === GRND_CONFLICT) return -EINVAL;
  const addr = args.ulong(0);
  const len = Math.min(args.ulong(1), 0x7fff_f000);
  const chunk = new Uint8Array(Math.min(len, RANDOM_CHUNK));
  for (let done = 0; done < len; done += chunk.length) {
    const part = chunk.subarray(0, Math.min(chunk.length, len - done));
    kernel.random.fill(part);
    if (copyToUser(task.mm!, addr + done, part) !== 0) return done === 0 ? -EFAULT : done;
    if (task.sigpending && done + part.length < len) return done + part.length;
  }
  return len;
}

/** A limit on the wire: all ones for none. */
function putRlim(view: DataView, at: number, value: number): void {
  const none = value === RLIM_INFINITY;
  view.setUint32(at, none ? 0xffff_ffff : value % 0x1_0000_0000, true);
  view.setUint32(at + 4, none ? 0xffff_ffff : Math.floor(value / 0x1_0000_0000), true);
}

function getRlim(view: DataView, at: number): number {
  const value = getU64(view, at);
  return value > Number.MAX_SAFE_INTEGER ? RLIM_INFINITY : value;
}

function prlimit(task: Task, target: Task, which: number, next: number, old: number): number {
  if (which < 0 || which >= RLIM_NLIMITS) return -EINVAL;
  const { signal } = target;
  const mm = task.mm!;
  const before = new Uint8Array(16);
  const view = new DataView(before.buffer);
  putRlim(view, 0, signal.limits.soft[which]!);
  putRlim(view, 8, signal.limits.hard[which]!);
  if (next !== 0) {
    const bytes = new Uint8Array(16);
    if (copyFromUser(mm, bytes, next) !== 0) return -EFAULT;
    const given = new DataView(bytes.buffer);
    const soft = getRlim(given, 0);
    const hard = getRlim(given, 8);
    if (soft > hard) return -EINVAL;
    if (which === RLIMIT_NOFILE && hard > NR_OPEN) return -EPERM;
    if (hard > signal.limits.hard[which]! && task.cred.euid !== 0) return -EPERM;
    setRlimit(signal, which, soft, hard);
  }
  return old === 0 ? 0 : copyToUser(mm, old, before);
}

export function sysPrlimit64(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const pid = args.int(0);
  const target = pid === 0 ? task : kernel.tasks.get(pid);
  if (target === undefined) return -ESRCH;
  return prlimit(task, target, args.int(1), args.ulong(2), args.ulong(3));
}

export function sysGetrlimit(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  return prlimit(task, task, args.int(0), 0, args.ulong(1));
}

export function sysSetrlimit(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  return prlimit(task, task, args.int(0), args.ulong(1), 0);
}

export function sysGetrusage(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const who = args.int(0);
  const addr = args.ulong(1);
  const mm = task.mm!;
  if (who === RUSAGE_SELF) return putRusage(mm, addr, selfUsage(kernel, task));
  if (who === RUSAGE_CHILDREN) return putRusage(mm, addr, childrenUsage(task.signal));
  if (who !== RUSAGE_THREAD) return -EINVAL;
  return putRusage(mm, addr, { ...selfUsage(kernel, task), runtime: threadRuntime(kernel, task) });
}

/** @patch 01/14 */
function prctlCowPte(task: Task, what: number): number {
  const mm = task.mm!;
  switch (what) {
    case COW_PTE_GET:
      return prctlGetCowPte(mm) ? 1 : 0;
    case COW_PTE_SET:
    case COW_PTE_CLEAR:
      prctlSetCowPte(mm, what === COW_PTE_SET);
      return 0;
    default:
      return -EINVAL;
  }
}

/**
 * PR_SET_MDWE, which Linux gave the founding series' number to. The call the series documents,
 * prctl(65, 0, 0, 0, 0), changes nothing there and asks for COW page tables here; a second one
 * is no error.
 * @patch 01/14
 */
function prctlSetMdweOrCowPte(task: Task, args: SyscallArgs): number {
  for (let n = 2; n < 5; n++) if (args.ulong(n) !== 0) return -EINVAL;
  const mm = task.mm!;
  const bits = args.ulong(1);
  const err = prctlSetMdwe(mm, bits);
  if (err === 0 && bits === 0) prctlSetCowPte(mm, true);
  return err;
}

function prctlGetMdweChecked(task: Task, args: SyscallArgs): number {
  for (let n = 1; n < 5; n++) if (args.ulong(n) !== 0) return -EINVAL;
  return prctlGetMdwe(task.mm!);
}

function prctlName(task: Task, option: number, addr: number): number {
  const mm = task.mm!;
  if (option === PR_GET_NAME) {
    const out = Buffer.alloc(TASK_COMM_LEN);
    out.write(task.comm, 'latin1');
    return copyToUser(mm, addr, out);
  }
  const bytes = Buffer.alloc(TASK_COMM_LEN);
  for (let i = 0; i < TASK_COMM_LEN - 1; i++) {
    if (copyFromUser(mm, bytes.subarray(i, i + 1), addr + i) !== 0) return -EFAULT;
    if (bytes[i] === 0) break;
  }
  task.comm = bytes.toString('latin1', 0, bytes.indexOf(0));
  return 0;
}

export function sysPrctl(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const option = args.int(0);
  const arg2 = args.ulong(1);
  const mm = task.mm!;
  switch (option) {
    case PR_SET_MDWE:
      return prctlSetMdweOrCowPte(task, args);
    case PR_GET_MDWE:
      return prctlGetMdweChecked(task, args);
    case PR_COW_PTE:
      return prctlCowPte(task, arg2);
    case PR_SET_NAME:
    case PR_GET_NAME:
      return prctlName(task, option, arg2);
    case PR_SET_VMA:
      if (arg2 !== PR_SET_VMA_ANON_NAME) return -EINVAL;
      return prctlSetAnonVmaName(mm, args.ulong(2), args.ulong(3), args.ulong(4));
    case PR_SET_PDEATHSIG:
      if (arg2 > NSIG) return -EINVAL;
      task.pdeathSignal = arg2;
      return 0;
    case PR_GET_PDEATHSIG:
      return putUser32(mm, arg2, task.pdeathSignal);
    case PR_SET_CHILD_SUBREAPER:
      task.signal.subreaper = arg2 !== 0;
      return 0;
    case PR_GET_CHILD_SUBREAPER:
      return putUser32(mm, arg2, task.signal.subreaper ? 1 : 0);
    case PR_SET_NO_NEW_PRIVS:
      if (arg2 !== 1) return -EINVAL;
      task.noNewPrivs = true;
      return 0;
    case PR_GET_NO_NEW_PRIVS:
      return task.noNewPrivs ? 1 : 0;
    case PR_GET_DUMPABLE:
      return getDumpable(mm) ? 1 : 0;
    case PR_SET_DUMPABLE:
      if (arg2 > 1) return -EINVAL;
      setDumpable(mm, arg2 === 1);
      return 0;
    case PR_CAPBSET_READ:
      return arg2 > CAP_LAST_CAP ? -EINVAL : 1;
    case PR_CAPBSET_DROP:
      return arg2 > CAP_LAST_CAP ? -EINVAL : 0;
    case PR_SET_TIMERSLACK:
    case PR_SET_THP_DISABLE:
    case PR_SET_KEEPCAPS:
    case PR_GET_KEEPCAPS:
    case PR_GET_THP_DISABLE:
    case PR_GET_TIMING:
    case PR_GET_SECCOMP:
    case PR_CAP_AMBIENT:
      return 0;
    case PR_GET_TIMERSLACK:
      return 50_000;
    default:
      return -EINVAL;
  }
}

export function sysSchedYield(kernel: Kernel): number {
  kernel.needResched = true;
  return 0;
}

function findTask(kernel: Kernel, task: Task, pid: number): Task | undefined {
  return pid === 0 ? task : kernel.tasks.get(pid);
}

/** One processor: the mask is 1. @returns bytes written. */
export function sysSchedGetaffinity(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const len = args.uint(1);
  if (len < 8 || len % 8 !== 0) return -EINVAL;
  if (findTask(kernel, task, args.int(0)) === undefined) return -ESRCH;
  const mask = new Uint8Array(8);
  mask[0] = 1;
  return putBytes(task, args.ulong(2), mask) === 0 ? mask.length : -EFAULT;
}

export function sysSchedSetaffinity(kernel: Kernel, task: Task, args: SyscallArgs): number {
  if (findTask(kernel, task, args.int(0)) === undefined) return -ESRCH;
  const mask = new Uint8Array(Math.min(args.uint(1), 128));
  if (copyFromUser(task.mm!, mask, args.ulong(2)) !== 0) return -EFAULT;
  return ((mask[0] ?? 0) & 1) === 0 ? -EINVAL : 0;
}

export function sysSchedGetscheduler(kernel: Kernel, task: Task, args: SyscallArgs): number {
  return findTask(kernel, task, args.int(0))?.schedPolicy ?? -ESRCH;
}

export function sysSchedSetscheduler(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const target = findTask(kernel, task, args.int(0));
  const policy = args.int(1) & ~SCHED_RESET_ON_FORK;
  if (target === undefined) return -ESRCH;
  if (policy < 0 || policy > 5 || policy === 4) return -EINVAL;
  if (policy === 1 || policy === 2) return -EPERM;
  target.schedPolicy = policy;
  return 0;
}

export function sysSchedGetparam(kernel: Kernel, task: Task, args: SyscallArgs): number {
  if (findTask(kernel, task, args.int(0)) === undefined) return -ESRCH;
  return putUser32(task.mm!, args.ulong(1), 0);
}

export function sysSchedSetparam(kernel: Kernel, task: Task, args: SyscallArgs): number {
  if (findTask(kernel, task, args.int(0)) === undefined) return -ESRCH;
  const priority = new Int32Array(1);
  if (copyFromUser(task.mm!, new Uint8Array(priority.buffer), args.ulong(1)) !== 0) return -EFAULT;
  return priority[0] === 0 ? 0 : -EINVAL;
}

/** Real-time policies have priorities 1 to 99, the others none. */
export function sysSchedGetPriorityMax(_kernel: Kernel, _task: Task, args: SyscallArgs): number {
  const policy = args.int(0);
  if (policy === 1 || policy === 2) return 99;
  return policy === SCHED_NORMAL || policy === 3 || policy === 5 ? 0 : -EINVAL;
}

export function sysSchedGetPriorityMin(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const max = sysSchedGetPriorityMax(kernel, task, args);
  return max === 99 ? 1 : max;
}

export function sysGetpriority(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const which = args.int(0);
  if (which < PRIO_PROCESS || which > PRIO_USER) return -EINVAL;
  const target = which === PRIO_PROCESS ? findTask(kernel, task, args.int(1)) : task;
  return target === undefined ? -ESRCH : 20 - target.nice;
}

export function sysSetpriority(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const which = args.int(0);
  if (which < PRIO_PROCESS || which > PRIO_USER) return -EINVAL;
  const target = which === PRIO_PROCESS ? findTask(kernel, task, args.int(1)) : task;
  if (target === undefined) return -ESRCH;
  const nice = Math.min(19, Math.max(-20, args.int(2)));
  const allowed = 20 - target.signal.limits.soft[RLIMIT_NICE]!;
  if (nice < target.nice && nice < allowed && task.cred.euid !== 0) return -EACCES;
  target.nice = nice;
  return 0;
}

export function sysGetcpu(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  for (let n = 0; n < 2; n++) {
    const addr = args.ulong(n);
    if (addr !== 0 && putUser32(task.mm!, addr, 0) !== 0) return -EFAULT;
  }
  return 0;
}

export function sysPersonality(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const old = task.personality;
  if (args.uint(0) !== 0xffff_ffff) task.personality = args.uint(0);
  return old;
}

const HWPROBE_KEY_MVENDORID = 0;
const HWPROBE_KEY_MARCHID = 1;
const HWPROBE_KEY_MIMPID = 2;
const HWPROBE_KEY_BASE_BEHAVIOR = 3;
const HWPROBE_KEY_IMA_EXT_0 = 4;
const HWPROBE_KEY_CPUPERF_0 = 5;
const HWPROBE_KEY_HIGHEST_VIRT_ADDRESS = 7;
const HWPROBE_KEY_TIME_CSR_FREQ = 8;
const HWPROBE_KEY_MISALIGNED_SCALAR_PERF = 9;
const HWPROBE_BASE_BEHAVIOR_IMA = 1;
/** IMA_FD and IMA_C: plain RV64GC. */
const HWPROBE_IMA_FD_C = 3;
const HWPROBE_MISALIGNED_FAST = 3;
/** The time CSR counts nanoseconds. */
const TIME_CSR_HZ = 1_000_000_000;
const HIGHEST_VIRT_ADDRESS = 0x7fff_ffff_f000;
const HWPROBE_PAIR_BYTES = 16;

function hwprobeValue(key: number): number | undefined {
  switch (key) {
    case HWPROBE_KEY_MVENDORID:
    case HWPROBE_KEY_MARCHID:
    case HWPROBE_KEY_MIMPID:
      return 0;
    case HWPROBE_KEY_BASE_BEHAVIOR:
      return HWPROBE_BASE_BEHAVIOR_IMA;
    case HWPROBE_KEY_IMA_EXT_0:
      return HWPROBE_IMA_FD_C;
    case HWPROBE_KEY_CPUPERF_0:
    case HWPROBE_KEY_MISALIGNED_SCALAR_PERF:
      return HWPROBE_MISALIGNED_FAST;
    case HWPROBE_KEY_HIGHEST_VIRT_ADDRESS:
      return HIGHEST_VIRT_ADDRESS;
    case HWPROBE_KEY_TIME_CSR_FREQ:
      return TIME_CSR_HZ;
    default:
      return undefined;
  }
}

/** Fills pairs of {key, value}; an unknown key becomes -1. */
export function sysRiscvHwprobe(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  if (args.uint(4) !== 0) return -EINVAL;
  const mm = task.mm!;
  const count = args.ulong(1);
  for (let i = 0; i < count; i++) {
    const at = args.ulong(0) + i * HWPROBE_PAIR_BYTES;
    const key = getUser64(mm, at);
    if (key === -EFAULT) return -EFAULT;
    const value = hwprobeValue(key);
    const pair = new Uint32Array(4);
    pair[0] = value === undefined ? 0xffff_ffff : key;
    pair[1] = value === undefined ? 0xffff_ffff : 0;
    pair[2] = (value ?? 0) % 0x1_0000_0000;
    pair[3] = Math.floor((value ?? 0) / 0x1_0000_0000);
    if (copyToUser(mm, at, new Uint8Array(pair.buffer)) !== 0) return -EFAULT;
  }
  return 0;
}

const MEMBARRIER_CMD_QUERY = 0;
const MEMBARRIER_CMD_GLOBAL = 1;
const MEMBARRIER_CMD_PRIVATE_EXPEDITED = 8;
const MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED = 16;

/** One hart: every barrier is already there. */
export function sysMembarrier(_kernel: Kernel, _task: Task, args: SyscallArgs): number {
  if (args.uint(1) !== 0) return -EINVAL;
  const known =
    MEMBARRIER_CMD_GLOBAL |
    MEMBARRIER_CMD_PRIVATE_EXPEDITED |
    MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED;
  const cmd = args.int(0);
  if (cmd === MEMBARRIER_CMD_QUERY) return known;
  return (cmd & known) === cmd && (cmd & (cmd - 1)) === 0 ? 0 : -EINVAL;
}

/** syslog(2): reading the kernel log (3) and its size (10). */
export function sysSyslog(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const action = args.int(0);
  const text = Buffer.from(`${kernel.log.lines.join('\n')}\n`, 'latin1');
  if (action === 10) return 1 << 17;
  if (action === 9) return text.length;
  if (action < 2 || action > 4) return action >= 0 && action <= 10 ? 0 : -EINVAL;
  const part = text.subarray(0, Math.max(0, args.int(2)));
  return putBytes(task, args.ulong(1), part) === 0 ? part.length : -EFAULT;
}

export function sysReboot(): number {
  return -EPERM;
}
