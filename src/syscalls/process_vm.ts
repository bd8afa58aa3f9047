/** process_vm_readv and process_vm_writev. @linux mm/process_vm_access.c SYSCALL_DEFINE* */

import type { Kernel } from '../kernel/kernel.ts';
import { ptraceMayAttach } from '../kernel/ptrace.ts';
import type { Task } from '../kernel/task.ts';
import { processVmRw } from '../mm/process_vm_access.ts';
import { EINVAL, EPERM, ESRCH } from '../uapi/errno.ts';
import type { SyscallArgs } from './args.ts';
import { importIovec, iovecFromUser } from './file_rw.ts';

function processVm(kernel: Kernel, task: Task, args: SyscallArgs, write: boolean): number {
  if (args.ulong(5) !== 0) return -EINVAL;
  const local = importIovec(task, args.ulong(1), args.ulong(2));
  if (typeof local === 'number') return local;
  if (local.remaining === 0) return 0;
  const remote = iovecFromUser(task, args.ulong(3), args.ulong(4));
  if (typeof remote === 'number') return remote;
  if (remote.length === 0) return 0;
  const target = kernel.tasks.get(args.int(0));
  if (target === undefined || target.mm === null) return -ESRCH;
  const own = target.mm === task.mm;
  if (!own && !ptraceMayAttach(task, target)) return -EPERM;
  return processVmRw(target.mm, remote, local, write);
}

export function sysProcessVmReadv(kernel: Kernel, task: Task, args: SyscallArgs): number {
  return processVm(kernel, task, args, false);
}

export function sysProcessVmWritev(kernel: Kernel, task: Task, args: SyscallArgs): number {
  return processVm(kernel, task, args, true);
}
