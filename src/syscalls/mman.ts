/** Memory system calls: arguments to the mm layer. @linux mm/mmap.c, mm/mprotect.c, ... SYSCALL_DEFINE* */

import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import { pageAlignUp } from '../arch/riscv/pgtable.ts';
import { doBrk } from '../mm/brk.ts';
import { secretmemFileCreate } from '../fs/secretmem.ts';
import { ptraceMayAccess } from '../fs/proc/pid.ts';
import { capable } from '../kernel/cred.ts';
import { CAP_SYS_NICE } from '../uapi/capability.ts';
import { pidfdGetTask } from '../kernel/pidfd.ts';
import { doMadvise, processMadviseValid, vectorMadvise } from '../mm/madvise.ts';
import { doMincore } from '../mm/mincore.ts';
import { doMlock, doMlockall, doMunlock, doMunlockall } from '../mm/mlock.ts';
import { doMmap, doMunmap } from '../mm/mmap.ts';
import { doMprotect } from '../mm/mprotect.ts';
import { doMremap } from '../mm/mremap.ts';
import { doMseal } from '../mm/mseal.ts';
import { doMsync } from '../mm/msync.ts';
import { shmemFileSetup } from '../mm/shmem.ts';
import { EACCES, EBADF, EINVAL, ENODEV, EPERM, ESRCH } from '../uapi/errno.ts';
import { MAP_ANONYMOUS, MAP_HUGETLB, MAP_SHARED, MAP_TYPE, MLOCK_ONFAULT } from '../uapi/mman.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { Task } from '../kernel/task.ts';
import { waitForUffdEvents } from '../kernel/userfaultfd.ts';
import { O_CLOEXEC } from '../uapi/fcntl.ts';
import type { SyscallArgs } from './args.ts';
import { installFd } from './file.ts';
import { importSegments } from './file_rw.ts';

function mmapFile(task: Task, args: SyscallArgs): number {
  const file = task.files.get(args.int(4));
  if (file === undefined) return -EBADF;
  const offset = args.ulong(5);
  if (offset % PAGE_SIZE !== 0) return -EINVAL;
  if (file.fOps.mmap === undefined) return -ENODEV;
  const pgoff = offset / PAGE_SIZE;
  const mm = task.mm!;
  return doMmap(mm, args.ulong(0), args.ulong(1), args.int(2), args.int(3), file, pgoff);
}

export function sysMmap(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const flags = args.int(3);
  if ((flags & MAP_ANONYMOUS) === 0) return mmapFile(task, args);
  if (args.ulong(5) % PAGE_SIZE !== 0) return -EINVAL;
  if ((flags & MAP_HUGETLB) !== 0) return -EINVAL;
  const mm = task.mm!;
  const addr = args.ulong(0);
  const len = args.ulong(1);
  const prot = args.int(2);
  if ((flags & MAP_TYPE) !== MAP_SHARED) return doMmap(mm, addr, len, prot, flags, null, 0);
  if (len === 0) return -EINVAL;
  const file = shmemFileSetup(kernel.pgdat, '/dev/zero (deleted)', pageAlignUp(len));
  const result = doMmap(mm, addr, len, prot, flags, file, 0);
  file.putFile();
  return result;
}

export function sysMunmap(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  return doMunmap(task.mm!, args.ulong(0), args.ulong(1));
}

export function sysBrk(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  return doBrk(task.mm!, args.ulong(0));
}

export function sysMprotect(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  return doMprotect(task.mm!, args.ulong(0), args.ulong(1), args.int(2));
}

export function sysMremap(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const mm = task.mm!;
  const flags = args.int(3);
  const at = doMremap(mm, args.ulong(0), args.ulong(1), args.ulong(2), flags, args.ulong(4));
  waitForUffdEvents(task, mm);
  return at;
}

export function sysMadvise(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  return doMadvise(task.mm!, args.ulong(0), args.ulong(1), args.int(2));
}

/** @linux mm/secretmem.c:SYSCALL_DEFINE1(memfd_secret) */
export function sysMemfdSecret(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const flags = args.uint(0);
  if ((flags & ~O_CLOEXEC) !== 0) return -EINVAL;
  const file = secretmemFileCreate(task.fs.root.mnt.sb.vfs, task.cred.uid, task.cred);
  return installFd(task, file, (flags & O_CLOEXEC) !== 0);
}

export function sysMseal(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  return args.ulong(2) !== 0 ? -EINVAL : doMseal(task.mm!, args.ulong(0), args.ulong(1));
}

/** @linux mm/madvise.c:SYSCALL_DEFINE5(process_madvise) */
export function sysProcessMadvise(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  if (args.uint(4) !== 0) return -EINVAL;
  const segments = importSegments(task, args.ulong(1), args.ulong(2));
  if (typeof segments === 'number') return segments;
  const target = pidfdGetTask(task, args.int(0));
  if (typeof target === 'number') return target;
  const { mm } = target;
  if (mm === null) return -ESRCH;
  const remote = mm !== task.mm;
  if (remote && !ptraceMayAccess(task, target)) return -EACCES;
  const advice = args.int(3);
  const err = processMadviseValid(advice, remote);
  if (err !== 0) return err;
  if (remote && !capable(task.cred, CAP_SYS_NICE)) return -EPERM;
  return vectorMadvise(mm, segments, advice);
}

export function sysMincore(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  return doMincore(task.mm!, args.ulong(0), args.ulong(1), args.ulong(2));
}

export function sysMsync(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  return doMsync(task.mm!, args.ulong(0), args.ulong(1), args.int(2));
}

export function sysMlock(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  return doMlock(task.mm!, args.ulong(0), args.ulong(1), 0);
}

export function sysMlock2(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const flags = args.int(2);
  if ((flags & ~MLOCK_ONFAULT) !== 0) return -EINVAL;
  return doMlock(task.mm!, args.ulong(0), args.ulong(1), flags);
}

export function sysMunlock(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  return doMunlock(task.mm!, args.ulong(0), args.ulong(1));
}

export function sysMlockall(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  return doMlockall(task.mm!, args.int(0));
}

export function sysMunlockall(_kernel: Kernel, task: Task): number {
  return doMunlockall(task.mm!);
}

/** Stores to code are noticed as they happen: there is nothing to flush. */
export function sysRiscvFlushIcache(_kernel: Kernel, _task: Task, args: SyscallArgs): number {
  return (args.ulong(2) & ~1) !== 0 || args.high(2) !== 0 ? -EINVAL : 0;
}
