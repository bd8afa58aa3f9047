/** stat, access, readlink, statfs, getdents. @linux fs/stat.c, fs/open.c, fs/statfs.c, fs/readdir.c SYSCALL_DEFINE* */

import { dPath } from '../fs/dcache.ts';
import type { FsContext, Path } from '../fs/fs_types.ts';
import { inodePermission } from '../fs/inode.ts';
import { LOOKUP_EMPTY, LOOKUP_FOLLOW, pathLookup } from '../fs/namei.ts';
import { fillStat, fillStatfs, fillStatx } from '../fs/stat.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { Task } from '../kernel/task.ts';
import { copyToUser } from '../mm/uaccess.ts';
import { EBADF, EFAULT, EINVAL, ENOENT, ENOTDIR, ERANGE } from '../uapi/errno.ts';
import { DIRENT_NAME, DIRENT_OFF, DIRENT_RECLEN, DIRENT_TYPE } from '../uapi/dirent.ts';
import {
  AT_EACCESS,
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_NO_AUTOMOUNT,
  AT_STATX_SYNC_TYPE,
  AT_SYMLINK_NOFOLLOW,
  PATH_MAX,
  R_OK,
  W_OK,
  X_OK,
} from '../uapi/fcntl.ts';
import { isLnk, STATX_RESERVED } from '../uapi/stat.ts';
import type { SyscallArgs } from './args.ts';
import { getname } from './file_wait.ts';

/** A path argument that AT_EMPTY_PATH lets be empty or absent. */
export function getnameFlags(task: Task, addr: number, flags: number): string | number {
  if (addr === 0 && (flags & AT_EMPTY_PATH) !== 0) return '';
  return getname(task, addr);
}

/**
 * What `dirfd` and a path mean under AT_* flags.
 * @returns the place or -errno.
 */
export function lookupAt(
  task: FsContext,
  dirfd: number,
  name: string,
  flags: number,
): Path | number {
  const empty = (flags & AT_EMPTY_PATH) !== 0 ? LOOKUP_EMPTY : 0;
  if (name === '' && empty !== 0 && dirfd !== AT_FDCWD) {
    return task.files?.getRaw(dirfd)?.path ?? -EBADF;
  }
  const follow = (flags & AT_SYMLINK_NOFOLLOW) === 0 ? LOOKUP_FOLLOW : 0;
  return pathLookup(task, dirfd, name, follow | empty);
}

/** lookupAt() of a path argument. */
export function userPathAt(task: Task, dirfd: number, addr: number, flags: number): Path | number {
  const name = getnameFlags(task, addr, flags);
  return typeof name === 'number' ? name : lookupAt(task, dirfd, name, flags);
}

export function sysFstat(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const file = task.files.getRaw(args.int(0));
  if (file === undefined) return -EBADF;
  return copyToUser(task.mm!, args.ulong(1), fillStat(file.inode));
}

const STAT_FLAGS = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH;

export function sysNewfstatat(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const flags = args.int(3);
  if ((flags & ~STAT_FLAGS) !== 0) return -EINVAL;
  const path = userPathAt(task, args.int(0), args.ulong(1), flags);
  if (typeof path === 'number') return path;
  return copyToUser(task.mm!, args.ulong(2), fillStat(path.dentry.inode));
}

export function sysStatx(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const flags = args.int(2);
  if ((flags & ~(STAT_FLAGS | AT_STATX_SYNC_TYPE)) !== 0) return -EINVAL;
  if ((flags & AT_STATX_SYNC_TYPE) === AT_STATX_SYNC_TYPE) return -EINVAL;
  if (args.uint(3) >= STATX_RESERVED) return -EINVAL;
  const path = userPathAt(task, args.int(0), args.ulong(1), flags);
  if (typeof path === 'number') return path;
  return copyToUser(task.mm!, args.ulong(4), fillStatx(path.dentry.inode, path.mnt.id));
}

/** Access as the real identity has it, unless AT_EACCESS. @linux fs/open.c:do_faccessat */
function doFaccessat(task: Task, args: SyscallArgs, flags: number): number {
  const mode = args.int(2);
  if ((mode & ~(R_OK | W_OK | X_OK)) !== 0) return -EINVAL;
  if ((flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) !== 0) return -EINVAL;
  const { cred } = task;
  const real = { fsuid: cred.uid, fsgid: cred.gid, groups: cred.groups };
  const ctx = { fs: task.fs, files: task.files, cred: (flags & AT_EACCESS) !== 0 ? cred : real };
  const name = getnameFlags(task, args.ulong(1), flags);
  if (typeof name === 'number') return name;
  const path = lookupAt(ctx, args.int(0), name, flags);
  if (typeof path === 'number') return path;
  // R_OK, W_OK and X_OK are MAY_READ, MAY_WRITE and MAY_EXEC.
  return inodePermission(path.dentry.inode, mode, ctx.cred);
}

export function sysFaccessat(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  return doFaccessat(task, args, 0);
}

export function sysFaccessat2(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  return doFaccessat(task, args, args.int(3));
}

export function sysReadlinkat(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const size = args.int(3);
  if (size <= 0) return -EINVAL;
  const name = getname(task, args.ulong(1));
  if (typeof name === 'number') return name;
  const path = lookupAt(task, args.int(0), name, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH);
  if (typeof path === 'number') return path;
  const { dentry } = path;
  const { inode } = dentry;
  if (!isLnk(inode.mode)) return name === '' ? -ENOENT : -EINVAL;
  const text = linkText(path);
  if (typeof text === 'number') return text;
  const bytes = Buffer.from(text.slice(0, size), 'latin1');
  return copyToUser(task.mm!, args.ulong(2), bytes) === 0 ? bytes.length : -EFAULT;
}

function linkText({ dentry }: Path): string | number {
  const { iOps, link } = dentry.inode;
  if (iOps.readLink !== undefined) return iOps.readLink(dentry);
  const target = iOps.getLink === undefined ? link : iOps.getLink(dentry);
  return typeof target === 'object' ? -EINVAL : target;
}

export function sysGetcwd(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const { root, pwd } = task.fs;
  if (pwd.dentry.unhashed) return -ENOENT;
  const bytes = Buffer.from(`${dPath(root, pwd)}\0`, 'latin1');
  if (bytes.length > PATH_MAX || bytes.length > args.ulong(1)) return -ERANGE;
  return copyToUser(task.mm!, args.ulong(0), bytes) === 0 ? bytes.length : -EFAULT;
}

export function sysStatfs(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const path = userPathAt(task, AT_FDCWD, args.ulong(0), 0);
  if (typeof path === 'number') return path;
  return copyToUser(task.mm!, args.ulong(1), fillStatfs(path.mnt));
}

export function sysFstatfs(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const file = task.files.getRaw(args.int(0));
  if (file === undefined) return -EBADF;
  return copyToUser(task.mm!, args.ulong(1), fillStatfs(file.path.mnt));
}

/** Directory entries of one call at most. */
const DIRENTS_MAX = 65536;
const DIRENT_ALIGN = 8;

export function sysGetdents64(_kernel: Kernel, task: Task, args: SyscallArgs): number {
  const file = task.files.get(args.int(0));
  if (file === undefined) return -EBADF;
  const { fOps } = file;
  if (fOps.iterate === undefined) return -ENOTDIR;
  const dir = file.path.dentry;
  if (dir.unhashed) return -ENOENT;
  const buffer = Buffer.alloc(Math.min(args.uint(2), DIRENTS_MAX));
  let used = 0;
  let tooSmall = false;
  const start = file.pos;
  const err = fOps.iterate(file, (name, ino, type, nextPos) => {
    const end = used + DIRENT_NAME + name.length + 1;
    const reclen = Math.ceil(end / DIRENT_ALIGN) * DIRENT_ALIGN - used;
    if (used + reclen > buffer.length) {
      tooSmall = used === 0;
      return false;
    }
    buffer.writeUIntLE(ino % 2 ** 48, used, 6);
    buffer.writeUIntLE(nextPos, used + DIRENT_OFF, 6);
    buffer.writeUInt16LE(reclen, used + DIRENT_RECLEN);
    buffer[used + DIRENT_TYPE] = type;
    buffer.write(name, used + DIRENT_NAME, 'latin1');
    used += reclen;
    return true;
  });
  if (err < 0) return err;
  if (tooSmall) return -EINVAL;
  if (copyToUser(task.mm!, args.ulong(1), buffer.subarray(0, used)) === 0) return used;
  file.pos = start;
  return -EFAULT;
}
