/** swapon and swapoff. @linux mm/swapfile.c SYSCALL_DEFINE* */

import { dPath } from '../fs/dcache.ts';
import type { File } from '../fs/fs_types.ts';
import { vfsOpen } from '../fs/open.ts';
import { capable } from '../kernel/cred.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { Task } from '../kernel/task.ts';
import type { SwapDevice } from '../mm/swap_types.ts';
import { doSwapoff } from '../mm/swapoff.ts';
import { doSwapon, swapInfoOfDevice } from '../mm/swapon.ts';
import { CAP_SYS_ADMIN } from '../uapi/capability.ts';
import { EINVAL, EPERM } from '../uapi/errno.ts';
import { AT_FDCWD, O_LARGEFILE, O_RDWR } from '../uapi/fcntl.ts';
import { isBlk } from '../uapi/stat.ts';
import { SWAP_FLAGS_VALID } from '../uapi/swap.ts';
import type { SyscallArgs } from './args.ts';
import { getname } from './file_wait.ts';

/** Opens what a path names for reading and writing. @returns the file or -errno. */
function openSwapPath(task: Task, addr: number): File | number {
  const path = getname(task, addr);
  if (typeof path === 'number') return path;
  return vfsOpen(task, AT_FDCWD, path, { flags: O_RDWR | O_LARGEFILE, mode: 0, resolve: 0 });
}

/** Memory-only files have no blocks that swap could go to. */
function swapDeviceOf(file: File): SwapDevice | undefined {
  const { inode } = file;
  return isBlk(inode.mode) ? inode.sb.vfs.blkdevs.get(inode.rdev)?.device : undefined;
}

/** @returns 0; -EPERM; -EINVAL (flags, no device, or no swap area); -EBUSY; -EIO; or what opening it fails with. */
export function sysSwapon(kernel: Kernel, task: Task, args: SyscallArgs): number {
  const flags = args.int(1);
  if ((flags & ~SWAP_FLAGS_VALID) !== 0) return -EINVAL;
  if (!capable(task.cred, CAP_SYS_ADMIN)) return -EPERM;
  const file = openSwapPath(task, args.ulong(0));
  if (typeof file === 'number') return file;
  const device = swapDeviceOf(file);
  const name = dPath(task.fs.root, file.path);
  const err = device === undefined ? -EINVAL : doSwapon(kernel.pgdat, device, name, flags);
  file.putFile();
  return err;
}

/** @returns 0; -EPERM; -EINVAL (it is not on); -ENOMEM (what is in it fits nowhere else); or what opening it fails with. */
export function sysSwapoff(kernel: Kernel, task: Task, args: SyscallArgs): number {
  if (!capable(task.cred, CAP_SYS_ADMIN)) return -EPERM;
  const file = openSwapPath(task, args.ulong(0));
  if (typeof file === 'number') return file;
  const device = swapDeviceOf(file);
  file.putFile();
  const area = device === undefined ? undefined : swapInfoOfDevice(kernel.pgdat, device);
  return area === undefined ? -EINVAL : doSwapoff(kernel.pgdat, area);
}
