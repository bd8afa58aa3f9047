/** @linux mm/userfaultfd.c SYSCALL_DEFINE* */

import { createUserfaultfd } from '../fs/userfaultfd.ts';
import { capable } from '../kernel/cred.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { Task } from '../kernel/task.ts';
import { CAP_SYS_PTRACE } from '../uapi/capability.ts';
import { EINVAL, EPERM } from '../uapi/errno.ts';
import { UFFD_CLOEXEC, UFFD_NONBLOCK, UFFD_USER_MODE_ONLY } from '../uapi/userfaultfd.ts';
import type { SyscallArgs } from './args.ts';
import { installFd } from './file.ts';

export function sysUserfaultfd(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const flags = args.int(0);
  const userModeOnly = (flags & UFFD_USER_MODE_ONLY) !== 0;
  if (!userModeOnly && !capable(task.cred, CAP_SYS_PTRACE)) return -EPERM;
  if ((flags & ~(UFFD_CLOEXEC | UFFD_NONBLOCK | UFFD_USER_MODE_ONLY)) !== 0) return -EINVAL;
  const { vfs } = task.fs.root.mnt.sb;
  const file = createUserfaultfd(vfs, task.mm!, flags & UFFD_NONBLOCK, userModeOnly);
  return installFd(task, file, (flags & UFFD_CLOEXEC) !== 0);
}
