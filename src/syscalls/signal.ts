/** Signal system calls. @linux kernel/signal.c SYSCALL_DEFINE* */

import { getU64, setU64 } from '../lib/bits.ts';
import { copyFromUser, copyToUser } from '../mm/uaccess.ts';
import { EAGAIN, EFAULT, EINTR, EINVAL, EPERM, ERESTARTNOHAND, ESRCH } from '../uapi/errno.ts';
import {
  NSIG,
  SA_KNOWN,
  SIGACTION_BYTES,
  SIGINFO_BYTES,
  SIGKILL,
  SIGSET_BYTES,
  SIGSTOP,
  SIG_BLOCK,
  SIG_SETMASK,
  SIG_UNBLOCK,
  SI_TKILL,
  SI_USER,
  STACK_T_BYTES,
} from '../uapi/signal.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { NO_RETURN, sleepInterruptible, sleepUntil } from '../kernel/sched.ts';
import {
  dequeueSignal,
  flushIgnored,
  forEachInGroup,
  sendSignal,
  sendToGroup,
  setBlocked,
  sigHandlerIgnored,
  sighandForWrite,
  sigInfo,
  userSigInfo,
} from '../kernel/signal.ts';
import { doSigreturn, hartReg, putSigInfo, sasSsFlags, setAltStack } from '../kernel/sigframe.ts';
import { UNBLOCKABLE, validSignal } from '../kernel/sigset.ts';
import {
  SIGACTION_WORDS,
  type SigInfo,
  type SignalStruct,
  type SigSet,
  type Task,
} from '../kernel/task.ts';
import type { SyscallArgs } from './args.ts';
import { readTimespec } from './time.ts';

const REG_SP = 2;

/** Reads a sigset_t. @returns it, or -EFAULT. */
export function readSigset(task: Task, addr: number): SigSet | number {
  const words = new Int32Array(2);
  if (copyFromUser(task.mm!, new Uint8Array(words.buffer), addr) !== 0) return -EFAULT;
  return { lo: words[0]!, hi: words[1]! };
}

export function writeSigset(task: Task, addr: number, lo: number, hi: number): number {
  return copyToUser(task.mm!, addr, new Uint8Array(new Int32Array([lo, hi]).buffer));
}

export function sysRtSigaction(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const sig = args.int(0);
  const act = args.ulong(1);
  const old = args.ulong(2);
  if (args.ulong(3) !== SIGSET_BYTES || !validSignal(sig)) return -EINVAL;
  if (act !== 0 && (sig === SIGKILL || sig === SIGSTOP)) return -EINVAL;
  const { sighand } = task;
  const mm = task.mm!;
  const at = (sig - 1) * SIGACTION_WORDS;
  const words = new Int32Array(SIGACTION_WORDS);
  if (act !== 0 && copyFromUser(mm, new Uint8Array(words.buffer), act) !== 0) return -EFAULT;
  if (old !== 0) {
    const before = sighand.actions.slice(at, at + SIGACTION_WORDS);
    if (copyToUser(mm, old, new Uint8Array(before.buffer, 0, SIGACTION_BYTES)) !== 0) {
      return -EFAULT;
    }
  }
  if (act === 0) return 0;
  words[2] = words[2]! & SA_KNOWN;
  words[3] = 0;
  words[4] = words[4]! & ~UNBLOCKABLE;
  sighandForWrite(sighand).set(words, at);
  if (sigHandlerIgnored(sighand, sig)) flushIgnored(task, sig);
  return 0;
}

export function sysRtSigprocmask(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const how = args.int(0);
  const set = args.ulong(1);
  const old = args.ulong(2);
  if (args.ulong(3) !== SIGSET_BYTES) return -EINVAL;
  const { blockedLo, blockedHi } = task;
  if (set !== 0) {
    const mask = readSigset(task, set);
    if (typeof mask === 'number') return mask;
    const { lo, hi } = mask;
    if (how === SIG_BLOCK) setBlocked(task, blockedLo | lo, blockedHi | hi);
    else if (how === SIG_UNBLOCK) setBlocked(task, blockedLo & ~lo, blockedHi & ~hi);
    else if (how === SIG_SETMASK) setBlocked(task, lo, hi);
    else return -EINVAL;
  }
  return old === 0 ? 0 : writeSigset(task, old, blockedLo, blockedHi);
}

export function sysRtSigpending(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  if (args.ulong(1) > SIGSET_BYTES) return -EINVAL;
  const shared = task.signal.pending;
  const lo = (task.pending.lo | shared.lo) & task.blockedLo;
  const hi = (task.pending.hi | shared.hi) & task.blockedHi;
  return writeSigset(task, args.ulong(0), lo, hi);
}

/**
 * Replaces the mask until the call ends; the old one comes back with the handler's frame or
 * when the call restarts.
 */
export function setTemporarySigmask(task: Task, mask: SigSet): void {
  task.savedSigmask ??= { lo: task.blockedLo, hi: task.blockedHi };
  setBlocked(task, mask.lo, mask.hi);
}

export function sysRtSigsuspend(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  if (args.ulong(1) !== SIGSET_BYTES) return -EINVAL;
  const mask = readSigset(task, args.ulong(0));
  if (typeof mask === 'number') return mask;
  setTemporarySigmask(task, mask);
  return sleepInterruptible(task, ERESTARTNOHAND);
}

export function sysRtSigreturn(kernel: Kernel, task: Task): number {
  doSigreturn(kernel, task);
  return NO_RETURN;
}

/** Deadline of a sigtimedwait that sleeps. */
class SigtimedwaitState {
  readonly deadline: number;

  constructor(deadline: number) {
    this.deadline = deadline;
  }
}

export function sysRtSigtimedwait(kernel: Kernel, task: Task, args: SyscallArgs): number {
  if (args.ulong(3) !== SIGSET_BYTES) return -EINVAL;
  const set = readSigset(task, args.ulong(0));
  if (typeof set === 'number') return set;
  const waitLo = set.lo & ~UNBLOCKABLE;
  const info = dequeueSignal(task, ~waitLo, ~set.hi);
  if (info !== null) {
    restoreAwaited(task);
    const addr = args.ulong(1);
    if (addr === 0) return info.signo;
    const bytes = new Uint8Array(SIGINFO_BYTES);
    putSigInfo(new DataView(bytes.buffer), 0, info);
    return copyToUser(task.mm!, addr, bytes) === 0 ? info.signo : -EFAULT;
  }
  let deadline = Number.POSITIVE_INFINITY;
  if (task.sysState instanceof SigtimedwaitState) ({ deadline } = task.sysState);
  else if (args.ulong(2) !== 0) {
    const ns = readTimespec(task, args.ulong(2));
    if (ns < 0) return ns;
    deadline = kernel.clock.now() + ns;
  }
  task.sysState = new SigtimedwaitState(deadline);
  if (kernel.clock.now() >= deadline) {
    restoreAwaited(task);
    return -EAGAIN;
  }
  // The awaited signals wake the task although they are blocked.
  task.savedSigmask ??= { lo: task.blockedLo, hi: task.blockedHi };
  setBlocked(task, task.blockedLo & ~waitLo, task.blockedHi & ~set.hi);
  const result = sleepUntil(kernel, task, deadline, EINTR);
  if (result === -EINTR) restoreAwaited(task);
  return result;
}

function restoreAwaited(task: Task): void {
  const saved = task.savedSigmask;
  if (saved === null) return;
  task.savedSigmask = null;
  setBlocked(task, saved.lo, saved.hi);
}

export function mayKill(task: Task, target: SignalStruct): boolean {
  const { euid, uid } = task.cred;
  const { cred } = target.leader;
  if (euid === 0) return true;
  return euid === cred.suid || euid === cred.uid || uid === cred.suid || uid === cred.uid;
}

function killOne(task: Task, target: SignalStruct, sig: number): number {
  if (!mayKill(task, target)) return -EPERM;
  return sig === 0 ? 0 : sendToGroup(target, userSigInfo(task, sig, SI_USER));
}

/** kill(2) of many: succeeds if one could be signalled. */
function killMany(task: Task, targets: readonly SignalStruct[], sig: number): number {
  let result = -ESRCH;
  for (const target of targets) {
    const err = killOne(task, target, sig);
    if (err === 0) result = 0;
    else if (result === -ESRCH) result = err;
  }
  return result;
}

function processGroup(kernel: Kernel, pgrp: number): SignalStruct[] {
  const members: SignalStruct[] = [];
  forEachInGroup(kernel, pgrp, (signal) => members.push(signal));
  return members;
}

export function sysKill(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const pid = args.int(0);
  const sig = args.int(1);
  if (sig < 0 || sig > NSIG) return -EINVAL;
  if (pid > 0) {
    const target = kernel.tasks.get(pid);
    return target === undefined ? -ESRCH : killOne(task, target.signal, sig);
  }
  if (pid === -0x8000_0000) return -ESRCH;
  if (pid === 0) return killMany(task, processGroup(kernel, task.signal.pgrp), sig);
  if (pid < -1) return killMany(task, processGroup(kernel, -pid), sig);
  const all: SignalStruct[] = [];
  for (const other of kernel.tasks.values()) {
    if (other.pid === other.tgid && other.signal !== task.signal) all.push(other.signal);
  }
  return killMany(task, all, sig);
}

function tkill(kernel: Kernel, task: Task, tgid: number, pid: number, sig: number): number {
  if (pid <= 0 || sig < 0 || sig > NSIG) return -EINVAL;
  const target = kernel.tasks.get(pid);
  if (target === undefined || (tgid > 0 && target.tgid !== tgid)) return -ESRCH;
  if (!mayKill(task, target.signal)) return -EPERM;
  return sig === 0 ? 0 : sendSignal(target, userSigInfo(task, sig, SI_TKILL), false);
}

export function sysTkill(kernel: Kernel, task: Task, args: SyscallArgs): number {
  return tkill(kernel, task, 0, args.int(0), args.int(1));
}

export function sysTgkill(kernel: Kernel, task: Task, args: SyscallArgs): number {
  if (args.int(0) <= 0) return -EINVAL;
  return tkill(kernel, task, args.int(0), args.int(1), args.int(2));
}

/**
 * Reads a siginfo_t.
 * @param signo the number it is sent under; 0: the one it says itself.
 * @returns it, or -EFAULT.
 * @linux kernel/signal.c:copy_siginfo_from_user
 */
export function readSigInfo(task: Task, addr: number, signo: number): SigInfo | number {
  const bytes = new Uint8Array(SIGINFO_BYTES);
  if (copyFromUser(task.mm!, bytes, addr) !== 0) return -EFAULT;
  const view = new DataView(bytes.buffer);
  return sigInfo(signo === 0 ? view.getInt32(0, true) : signo, view.getInt32(8, true), {
    errno: view.getInt32(4, true),
    pid: view.getInt32(16, true),
    uid: view.getUint32(20, true),
    valueLo: view.getInt32(24, true),
    valueHi: view.getInt32(28, true),
    addr: getU64(view, 16),
  });
}

/** Sends a siginfo the caller made; it may not look like one from the kernel. */
function queueInfo(
  kernel: Kernel,
  task: Task,
  pid: number,
  sig: number,
  addr: number,
  toGroup: boolean,
): number {
  const info = readSigInfo(task, addr, sig);
  if (typeof info === 'number') return info;
  const { code } = info;
  const target = kernel.tasks.get(pid);
  if (target === undefined) return -ESRCH;
  if ((code >= 0 || code === SI_TKILL) && target.tgid !== task.tgid) return -EPERM;
  if (sig < 0 || sig > NSIG) return -EINVAL;
  if (!mayKill(task, target.signal)) return -EPERM;
  if (sig === 0) return 0;
  return sendSignal(target, info, toGroup);
}

export function sysRtSigqueueinfo(kernel: Kernel, task: Task, args: SyscallArgs): number {
  return queueInfo(kernel, task, args.int(0), args.int(1), args.ulong(2), true);
}

export function sysRtTgsigqueueinfo(kernel: Kernel, task: Task, args: SyscallArgs): number {
  return queueInfo(kernel, task, args.int(1), args.int(2), args.ulong(3), false);
}

export function sysSigaltstack(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const next = args.ulong(0);
  const old = args.ulong(1);
  const mm = task.mm!;
  const sp = hartReg(kernel, REG_SP);
  const before = new Uint8Array(STACK_T_BYTES);
  const view = new DataView(before.buffer);
  setU64(view, 0, task.sasSp);
  view.setInt32(8, sasSsFlags(task, sp), true);
  setU64(view, 16, task.sasSize);
  if (next !== 0) {
    const bytes = new Uint8Array(STACK_T_BYTES);
    if (copyFromUser(mm, bytes, next) !== 0) return -EFAULT;
    const given = new DataView(bytes.buffer);
    const at = (offset: number): number => getU64(given, offset);
    const err = setAltStack(task, at(0), given.getInt32(8, true), at(16), sp);
    if (err !== 0) return err;
  }
  return old === 0 ? 0 : copyToUser(mm, old, before);
}
