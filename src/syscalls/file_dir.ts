/** Names: mkdir, mknod, link, unlink, rename, chdir, chroot, mount. @linux fs/namei.c, fs/open.c SYSCALL_DEFINE* */

import type { Path } from '../fs/fs_types.ts';
import { capable, inodePermission, MAY_EXEC } from '../fs/inode.ts';
import { LOOKUP_DIRECTORY, LOOKUP_FOLLOW, pathLookup } from '../fs/namei.ts';
import { vfsLink, vfsMkdir, vfsMknod, vfsSymlink } from '../fs/namei_create.ts';
import { vfsRename, vfsRmdir, vfsUnlink } from '../fs/namei_remove.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { Task } from '../kernel/task.ts';
import { EBADF, EINVAL, ENOENT, ENOTDIR, EPERM } from '../uapi/errno.ts';
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_REMOVEDIR,
  AT_SYMLINK_FOLLOW,
  AT_SYMLINK_NOFOLLOW,
} from '../uapi/fcntl.ts';
import { isDir } from '../uapi/stat.ts';
import type { SyscallArgs } from './args.ts';
import { getnameFlags, lookupAt } from './file_stat.ts';
import { getname } from './file_wait.ts';

export function sysMkdirat(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const name = getname(task, args.ulong(1));
  return typeof name === 'number' ? name : vfsMkdir(task, args.int(0), name, args.int(2));
}

export function sysMknodat(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const name = getname(task, args.ulong(1));
  if (typeof name === 'number') return name;
  return vfsMknod(task, args.int(0), name, args.int(2), args.uint(3));
}

export function sysSymlinkat(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const target = getname(task, args.ulong(0));
  if (typeof target === 'number') return target;
  const name = getname(task, args.ulong(2));
  return typeof name === 'number' ? name : vfsSymlink(task, target, args.int(1), name);
}

export function sysLinkat(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const flags = args.int(4);
  if ((flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH)) !== 0) return -EINVAL;
  const from = getnameFlags(task, args.ulong(1), flags);
  if (typeof from === 'number') return from;
  const follow = (flags & AT_SYMLINK_FOLLOW) !== 0 ? 0 : AT_SYMLINK_NOFOLLOW;
  const empty = flags & AT_EMPTY_PATH;
  if (from === '' && empty !== 0 && !capable(task.cred)) return -ENOENT;
  const path = lookupAt(task, args.int(0), from, follow | empty);
  if (typeof path === 'number') return path;
  const name = getname(task, args.ulong(3));
  return typeof name === 'number' ? name : vfsLink(task, path, args.int(2), name);
}

export function sysUnlinkat(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const flags = args.int(2);
  if ((flags & ~AT_REMOVEDIR) !== 0) return -EINVAL;
  const name = getname(task, args.ulong(1));
  if (typeof name === 'number') return name;
  const remove = (flags & AT_REMOVEDIR) !== 0 ? vfsRmdir : vfsUnlink;
  return remove(task, args.int(0), name);
}

export function sysRenameat2(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const from = getname(task, args.ulong(1));
  if (typeof from === 'number') return from;
  const to = getname(task, args.ulong(3));
  if (typeof to === 'number') return to;
  return vfsRename(task, args.int(0), from, args.int(2), to, args.int(4));
}

/** A directory argument that may be entered. */
function enterable(task: Task, addr: number): Path | number {
  const name = getname(task, addr);
  if (typeof name === 'number') return name;
  const path = pathLookup(task, AT_FDCWD, name, LOOKUP_FOLLOW | LOOKUP_DIRECTORY);
  if (typeof path === 'number') return path;
  const err = inodePermission(path.dentry.inode, MAY_EXEC, task.cred);
  return err === 0 ? path : err;
}

export function sysChdir(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const path = enterable(task, args.ulong(0));
  if (typeof path === 'number') return path;
  task.fs.pwd = path;
  return 0;
}

export function sysFchdir(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const file = task.files.getRaw(args.int(0));
  if (file === undefined) return -EBADF;
  if (!isDir(file.inode.mode)) return -ENOTDIR;
  const err = inodePermission(file.inode, MAY_EXEC, task.cred);
  if (err !== 0) return err;
  task.fs.pwd = file.path;
  return 0;
}

export function sysChroot(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const path = enterable(task, args.ulong(0));
  if (typeof path === 'number') return path;
  if (!capable(task.cred)) return -EPERM;
  task.fs.root = path;
  return 0;
}

export function sysUmask(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const old = task.fs.umask;
  task.fs.umask = args.int(0) & 0o777;
  return old;
}

/** Mounts are the embedder's to make. */
export function sysMount(): number {
  return -EPERM;
}

export function sysUmount2(): number {
  return -EPERM;
}
