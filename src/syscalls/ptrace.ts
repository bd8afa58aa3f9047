/** ptrace(2): requests to kernel/ptrace_request.ts. @linux kernel/ptrace.c SYSCALL_DEFINE4(ptrace) */

import { getU64 } from '../lib/bits.ts';
import { copyFromUser, copyToUser, putUser64 } from '../mm/uaccess.ts';
import { EFAULT, EINVAL, EIO, ESRCH } from '../uapi/errno.ts';
import {
  IOVEC_BYTES,
  PEEKSIGINFO_ARGS_BYTES,
  PEEKSIGINFO_ARGS_FLAGS,
  PEEKSIGINFO_ARGS_NR,
  PTRACE_ATTACH,
  PTRACE_CONT,
  PTRACE_DETACH,
  PTRACE_GETEVENTMSG,
  PTRACE_GETREGSET,
  PTRACE_GETSIGINFO,
  PTRACE_GETSIGMASK,
  PTRACE_GET_SYSCALL_INFO,
  PTRACE_INTERRUPT,
  PTRACE_KILL,
  PTRACE_LISTEN,
  PTRACE_OLDSETOPTIONS,
  PTRACE_PEEKDATA,
  PTRACE_PEEKSIGINFO,
  PTRACE_PEEKSIGINFO_SHARED,
  PTRACE_PEEKTEXT,
  PTRACE_POKEDATA,
  PTRACE_POKETEXT,
  PTRACE_SEIZE,
  PTRACE_SETOPTIONS,
  PTRACE_SETREGSET,
  PTRACE_SETSIGINFO,
  PTRACE_SETSIGMASK,
  PTRACE_SET_SYSCALL_INFO,
  PTRACE_SINGLESTEP,
  PTRACE_SYSCALL,
  PTRACE_TRACEME,
  REGSET_WORD,
  SYSCALL_INFO_BYTES,
} from '../uapi/ptrace.ts';
import { SIGINFO_BYTES, SIGSET_BYTES } from '../uapi/signal.ts';
import type { Kernel } from '../kernel/kernel.ts';
import {
  ptraceAttach,
  ptraceCheckAttach,
  ptraceCheckSeize,
  ptraceDetach,
  ptraceGetSigmask,
  ptraceInterrupt,
  ptraceKill,
  ptraceListen,
  ptracePeek,
  ptracePoke,
  ptraceResume,
  ptraceSetOptions,
  ptraceSetSigInfo,
  ptraceSetSigmask,
  ptraceTraceme,
} from '../kernel/ptrace_request.ts';
import {
  getRegset,
  getSyscallInfo,
  regsetBytes,
  setRegset,
  setSyscallInfo,
} from '../kernel/ptrace_regset.ts';
import { putSigInfo } from '../kernel/sigframe.ts';
import type { SigInfo, Task } from '../kernel/task.ts';
import type { SyscallArgs } from './args.ts';
import { readSigInfo, readSigset, writeSigset } from './signal.ts';

const WORD_BYTES = 8;
const ADDR = 2;
const DATA = 3;

function peek(task: Task, child: Task, args: SyscallArgs): number {
  const word = new Uint8Array(WORD_BYTES);
  const err = ptracePeek(child, args.ulong(ADDR), word);
  return err !== 0 ? err : copyToUser(task.mm!, args.ulong(DATA), word);
}

function poke(child: Task, args: SyscallArgs): number {
  const words = Int32Array.of(args.int(DATA), args.high(DATA));
  return ptracePoke(child, args.ulong(ADDR), new Uint8Array(words.buffer));
}

function writeSigInfo(task: Task, addr: number, info: SigInfo): number {
  const bytes = new Uint8Array(SIGINFO_BYTES);
  putSigInfo(new DataView(bytes.buffer), 0, info);
  return copyToUser(task.mm!, addr, bytes);
}

function getSigInfo(task: Task, child: Task, addr: number): number {
  const { info } = child.ptraceStop!;
  return info === null ? -EINVAL : writeSigInfo(task, addr, info);
}

function setSigInfo(task: Task, child: Task, addr: number): number {
  const info = readSigInfo(task, addr, 0);
  return typeof info === 'number' ? info : ptraceSetSigInfo(child, info);
}

/** Copies queued signals without taking them. @returns how many, -EINVAL or -EFAULT. @linux ptrace_peek_siginfo */
function peekSigInfo(task: Task, child: Task, args: SyscallArgs): number {
  const bytes = new Uint8Array(PEEKSIGINFO_ARGS_BYTES);
  if (copyFromUser(task.mm!, bytes, args.ulong(ADDR)) !== 0) return -EFAULT;
  const view = new DataView(bytes.buffer);
  const flags = view.getUint32(PEEKSIGINFO_ARGS_FLAGS, true);
  const nr = view.getInt32(PEEKSIGINFO_ARGS_NR, true);
  if ((flags & ~PTRACE_PEEKSIGINFO_SHARED) !== 0 || nr < 0) return -EINVAL;
  const off = getU64(view, 0);
  const infos = (flags === 0 ? child.pending : child.signal.pending).infos ?? [];
  const data = args.ulong(DATA);
  let n = 0;
  for (; n < nr && off + n < infos.length; n++) {
    if (writeSigInfo(task, data + n * SIGINFO_BYTES, infos[off + n]!) === 0) continue;
    return n === 0 ? -EFAULT : n;
  }
  return n;
}

function sigmask(task: Task, child: Task, args: SyscallArgs, set: boolean): number {
  if (args.ulong(ADDR) !== SIGSET_BYTES) return -EINVAL;
  if (!set) {
    const { lo, hi } = ptraceGetSigmask(child);
    return writeSigset(task, args.ulong(DATA), lo, hi);
  }
  const mask = readSigset(task, args.ulong(DATA));
  if (typeof mask === 'number') return mask;
  ptraceSetSigmask(child, mask);
  return 0;
}

/** @linux kernel/ptrace.c:ptrace_regset */
function regset(kernel: Kernel, task: Task, child: Task, args: SyscallArgs, set: boolean): number {
  const mm = task.mm!;
  const addr = args.ulong(DATA);
  const iovec = new Uint8Array(IOVEC_BYTES);
  if (copyFromUser(mm, iovec, addr) !== 0) return -EFAULT;
  const view = new DataView(iovec.buffer);
  const base = getU64(view, 0);
  const len = getU64(view, 8);
  const type = args.uint(ADDR);
  const size = regsetBytes(type);
  if (size === 0 || view.getUint32(8, true) % REGSET_WORD !== 0) return -EINVAL;
  const n = Math.min(len, size);
  if (!set) {
    if (copyToUser(mm, base, getRegset(child, type).subarray(0, n)) !== 0) return -EFAULT;
  } else {
    const bytes = new Uint8Array(n);
    if (copyFromUser(mm, bytes, base) !== 0) return -EFAULT;
    setRegset(kernel, child, type, bytes);
  }
  return putUser64(mm, addr + 8, n);
}

function syscallInfo(task: Task, child: Task, args: SyscallArgs): number {
  const info = getSyscallInfo(child);
  const n = Math.min(info.length, args.ulong(ADDR));
  const err = copyToUser(task.mm!, args.ulong(DATA), info.subarray(0, n));
  return err !== 0 ? err : info.length;
}

function changeSyscallInfo(task: Task, child: Task, args: SyscallArgs): number {
  if (args.ulong(ADDR) < SYSCALL_INFO_BYTES) return -EINVAL;
  const bytes = new Uint8Array(SYSCALL_INFO_BYTES);
  if (copyFromUser(task.mm!, bytes, args.ulong(DATA)) !== 0) return -EFAULT;
  return setSyscallInfo(child, bytes);
}

/** Requests that leave the stop as it is. @linux kernel/ptrace.c:ptrace_request */
function inspect(
  kernel: Kernel,
  task: Task,
  child: Task,
  request: number,
  args: SyscallArgs,
): number {
  const data = args.ulong(DATA);
  switch (request) {
    case PTRACE_PEEKTEXT:
    case PTRACE_PEEKDATA:
      return peek(task, child, args);
    case PTRACE_POKETEXT:
    case PTRACE_POKEDATA:
      return poke(child, args);
    case PTRACE_OLDSETOPTIONS:
    case PTRACE_SETOPTIONS:
      return ptraceSetOptions(child, data);
    case PTRACE_GETEVENTMSG:
      return putUser64(task.mm!, data, child.ptraceStop!.message);
    case PTRACE_GETSIGINFO:
      return getSigInfo(task, child, data);
    case PTRACE_SETSIGINFO:
      return setSigInfo(task, child, data);
    case PTRACE_PEEKSIGINFO:
      return peekSigInfo(task, child, args);
    case PTRACE_GETSIGMASK:
    case PTRACE_SETSIGMASK:
      return sigmask(task, child, args, request === PTRACE_SETSIGMASK);
    case PTRACE_GETREGSET:
    case PTRACE_SETREGSET:
      return regset(kernel, task, child, args, request === PTRACE_SETREGSET);
    case PTRACE_GET_SYSCALL_INFO:
      return syscallInfo(task, child, args);
    case PTRACE_SET_SYSCALL_INFO:
      return changeSyscallInfo(task, child, args);
    default:
      return -EIO;
  }
}

export function sysPtrace(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const request = args.long(0);
  if (request === PTRACE_TRACEME) return ptraceTraceme(task);
  const child = kernel.tasks.get(args.int(1));
  if (child === undefined) return -ESRCH;
  const data = args.ulong(DATA);
  if (request === PTRACE_ATTACH) return ptraceAttach(task, child, false, 0);
  if (request === PTRACE_SEIZE) {
    const err = ptraceCheckSeize(args.ulong(ADDR), data);
    return err !== 0 ? err : ptraceAttach(task, child, true, data);
  }
  const anyState = request === PTRACE_KILL || request === PTRACE_INTERRUPT;
  const err = ptraceCheckAttach(task, child, anyState);
  if (err !== 0) return err;
  switch (request) {
    case PTRACE_KILL:
      return ptraceKill(task, child);
    case PTRACE_INTERRUPT:
      return ptraceInterrupt(child);
    case PTRACE_LISTEN:
      return ptraceListen(child);
    case PTRACE_CONT:
    case PTRACE_SYSCALL:
    case PTRACE_SINGLESTEP:
      return ptraceResume(child, request, data);
    case PTRACE_DETACH:
      return ptraceDetach(kernel, task, child, data);
    default:
      return inspect(kernel, task, child, request, args);
  }
}
