/** Opening files. @linux fs/open.c, fs/namei.c:path_openat */

import {
  EACCES,
  EBADF,
  EEXIST,
  EINVAL,
  EISDIR,
  ELOOP,
  ENOENT,
  ENOTDIR,
  ENXIO,
  EOPNOTSUPP,
  EPERM,
  ETXTBSY,
} from '../uapi/errno.ts';
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  O_ACCMODE,
  O_ASYNC,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOATIME,
  O_NOCTTY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  O_TMPFILE_BIT,
  O_TRUNC,
  VALID_OPEN_FLAGS,
} from '../uapi/fcntl.ts';
import { isDir, isLnk, isReg, S_IALLUGO, S_IFMT, S_IFREG, S_IFSOCK } from '../uapi/stat.ts';
import { lookupOne } from './dcache.ts';
import {
  Dentry,
  File,
  type FsStruct,
  Path,
  type FdTable,
  type FileOps,
  type FsContext,
  type FsCred,
} from './fs_types.ts';
import {
  applyUmask,
  inodeOwnerOrCapable,
  inodePermission,
  MAY_EXEC,
  MAY_READ,
  MAY_WRITE,
  removePrivs,
} from './inode.ts';
import {
  followLink,
  lastIsSpecial,
  linkPathWalk,
  LOOKUP_DIRECTORY,
  LOOKUP_EMPTY,
  LOOKUP_FOLLOW,
  ndPath,
  pathInit,
  pathLookup,
  pathLookupat,
  type Nameidata,
} from './namei.ts';
import { vfsCreate } from './namei_create.ts';
import { tmpfsUnnamed } from './tmpfs.ts';

export interface OpenHow {
  /** O_*. */
  readonly flags: number;
  /** Permission bits of a new file, before the umask. */
  readonly mode: number;
  /** RESOLVE_*. */
  readonly resolve: number;
}

/** Flags that only matter while a file is being opened: F_GETFL does not show them. */
const OPENING_FLAGS = O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC;
/** What O_PATH leaves of the flags. */
const PATH_FLAGS = O_PATH | O_DIRECTORY | O_NOFOLLOW;

const pathFileOps: FileOps = {};

/** MAY_* that an access mode asks for; 3 asks for both, and gives neither. */
const ACCESS_MASK = [MAY_READ, MAY_WRITE, MAY_READ | MAY_WRITE, MAY_READ | MAY_WRITE] as const;

/** Whether `ctx` may open what was found. @linux fs/namei.c:may_open */
function mayOpen(path: Path, flags: number, cred: FsCred): number {
  const { inode } = path.dentry;
  const { mode } = inode;
  let mask: number = ACCESS_MASK[flags & O_ACCMODE]!;
  if ((flags & O_TRUNC) !== 0) mask |= MAY_WRITE;
  if (isLnk(mode)) return -ELOOP;
  if (isDir(mode) && (mask & MAY_WRITE) !== 0) return -EISDIR;
  if ((mode & S_IFMT) === S_IFSOCK) return -ENXIO;
  const err = inodePermission(inode, mask, cred);
  if (err !== 0) return err;
  if ((flags & O_NOATIME) !== 0 && !inodeOwnerOrCapable(inode, cred)) return -EPERM;
  if ((mask & MAY_WRITE) !== 0 && inode.denyWrite > 0) return -ETXTBSY;
  return 0;
}

/** Sets a regular file's size to 0 as its writer. */
function handleTruncate(file: File, cred: FsCred): number {
  const { inode } = file;
  if (!isReg(inode.mode)) return 0;
  const { setSize } = inode.iOps;
  if (setSize === undefined) return 0;
  removePrivs(inode, cred);
  return setSize(inode, 0);
}

/**
 * An open file of `path`, which may be opened so.
 * @returns the file with one reference, or -errno. A fifo may still have to wait for its other
 *   end: fifoOpenWait().
 * @linux fs/open.c:do_dentry_open
 */
export function dentryOpen(path: Path, flags: number, ctx: FsContext): File | number {
  if ((flags & O_PATH) !== 0) return new File(path, flags & PATH_FLAGS, pathFileOps);
  const kept = flags & ~OPENING_FLAGS;
  const file = new File(path, kept, path.dentry.inode.fOps);
  const { open } = file.fOps;
  let err = open === undefined ? 0 : open(file, ctx);
  if (err === 0 && (flags & O_TRUNC) !== 0) err = handleTruncate(file, ctx.cred);
  if (err === 0) return file;
  // What never opened has nothing to release.
  file.fOps = pathFileOps;
  file.putFile();
  return err;
}

function openFound(nd: Nameidata, how: OpenHow, ctx: FsContext): File | number {
  const { flags } = how;
  const path = ndPath(nd);
  const { mode } = path.dentry.inode;
  if ((flags & O_DIRECTORY) !== 0 && !isDir(mode)) return -ENOTDIR;
  if ((flags & O_PATH) === 0) {
    const err = mayOpen(path, flags, ctx.cred);
    if (err !== 0) return err;
  }
  return dentryOpen(path, flags, ctx);
}

/** Makes the file and opens it: permissions apply to those who come later. */
function openNew(nd: Nameidata, how: OpenHow, ctx: FsContext): File | number {
  const mode = S_IFREG | (applyUmask(how.mode, ctx) & S_IALLUGO);
  const dentry = vfsCreate(nd.dentry, nd.last, mode, 0, ctx.cred);
  if (typeof dentry === 'number') return dentry;
  return dentryOpen(new Path(nd.mnt, dentry), how.flags & ~O_TRUNC, ctx);
}

/** open() with O_CREAT. @linux fs/namei.c:open_last_lookups */
function openCreate(nd: Nameidata, name: string, how: OpenHow, ctx: FsContext): File | number {
  const { flags } = how;
  let text = name;
  for (;;) {
    const err = linkPathWalk(nd, text);
    if (err !== 0) return err;
    if (lastIsSpecial(nd)) return (flags & O_EXCL) !== 0 ? -EEXIST : -EISDIR;
    if (nd.trailing) return -EISDIR;
    const child = lookupOne(nd.dentry, nd.last);
    if (child === -ENOENT) return openNew(nd, how, ctx);
    if (typeof child === 'number') return child;
    if ((flags & O_EXCL) !== 0) return -EEXIST;
    const link = isLnk(child.inode.mode);
    if (link && (flags & O_NOFOLLOW) !== 0) return -ELOOP;
    if (!link) {
      nd.dentry = child;
      while (nd.dentry.mounted !== null) {
        nd.mnt = nd.dentry.mounted;
        nd.dentry = nd.mnt.root;
      }
      if (isDir(nd.dentry.inode.mode)) return -EISDIR;
      return openFound(nd, how, ctx);
    }
    const target = followLink(nd, child);
    if (typeof target === 'number') return target === 0 ? openFound(nd, how, ctx) : target;
    text = target;
  }
}

/** O_TMPFILE: a file without a name in a directory. */
function openTmpfile(nd: Nameidata, how: OpenHow, ctx: FsContext): File | number {
  const dir = nd.dentry.inode;
  if (!isDir(dir.mode)) return -ENOTDIR;
  const err = inodePermission(dir, MAY_WRITE | MAY_EXEC, ctx.cred);
  if (err !== 0) return err;
  if (dir.iOps.newInode === undefined) return -EOPNOTSUPP;
  const inode = tmpfsUnnamed(dir, applyUmask(how.mode, ctx), ctx.cred);
  if (typeof inode === 'number') return inode;
  const dentry = new Dentry(dir.sb, nd.dentry, `#${inode.ino}`, inode);
  dentry.unhashed = true;
  return dentryOpen(new Path(nd.mnt, dentry), how.flags & ~O_DIRECTORY, ctx);
}

/** What open() makes of its flags. @returns -EINVAL for those that do not go together. @linux fs/open.c:build_open_flags */
function checkFlags(how: OpenHow): number {
  const { flags } = how;
  const tmpfile = (flags & O_TMPFILE_BIT) !== 0;
  if (tmpfile && ((flags & O_DIRECTORY) === 0 || (flags & O_ACCMODE) === O_RDONLY)) return -EINVAL;
  if (tmpfile && (flags & O_CREAT) !== 0) return -EINVAL;
  if ((flags & (O_DIRECTORY | O_CREAT)) === (O_DIRECTORY | O_CREAT)) return -EINVAL;
  return 0;
}

/**
 * @returns a file with one reference, or any -errno of open(2).
 * @linux fs/open.c:do_sys_openat2, fs/namei.c:path_openat
 */
export function vfsOpen(ctx: FsContext, dirfd: number, name: string, how: OpenHow): File | number {
  let flags = how.flags & VALID_OPEN_FLAGS & ~O_ASYNC;
  if ((flags & O_PATH) !== 0) flags &= PATH_FLAGS | O_CLOEXEC;
  const open = { ...how, flags };
  const bad = checkFlags(open);
  if (bad !== 0) return bad;
  const nd = pathInit(ctx, dirfd, name, 0, how.resolve);
  if (typeof nd === 'number') return nd;
  if ((flags & O_CREAT) !== 0) return openCreate(nd, name, open, ctx);
  const follow = (flags & O_NOFOLLOW) === 0 ? LOOKUP_FOLLOW : 0;
  const directory = (flags & O_DIRECTORY) !== 0 ? LOOKUP_DIRECTORY : 0;
  const err = pathLookupat(nd, name, follow);
  if (err !== 0) return err;
  if ((flags & O_TMPFILE_BIT) !== 0) return openTmpfile(nd, open, ctx);
  // A link that was not followed is ELOOP, but ENOTDIR when a directory was asked for.
  if (directory !== 0 && !isDir(nd.dentry.inode.mode)) return -ENOTDIR;
  return openFound(nd, open, ctx);
}

/** Identity of whoever has no task. */
const ROOT_CRED: FsCred = { fsuid: 0, fsgid: 0, groups: [] };

/** The context of the host: root's identity, no descriptors. */
export function hostContext(fs: FsStruct): FsContext {
  return { fs, files: null, cred: ROOT_CRED };
}

const DEV_FD = '/dev/fd/';

/** execveat() and scripts name an open file so; it works without /proc too. */
function lookupForExec(ctx: FsContext, path: string): Path | number {
  if (!path.startsWith(DEV_FD) || ctx.files === null) {
    return pathLookup(ctx, AT_FDCWD, path, LOOKUP_FOLLOW);
  }
  const slash = path.indexOf('/', DEV_FD.length);
  const fd = Number(path.slice(DEV_FD.length, slash < 0 ? undefined : slash));
  const rest = slash < 0 ? '' : path.slice(slash + 1);
  if (!Number.isInteger(fd)) return -ENOENT;
  return pathLookup(ctx, fd, rest, LOOKUP_FOLLOW | LOOKUP_EMPTY);
}

/**
 * Opens a program: a regular file that may be executed and that nobody has open for writing.
 * @param task who asks; null for the host, as root.
 * @returns a file with one reference, -EACCES, -ENOENT, -ETXTBSY...
 * @linux fs/exec.c:do_open_execat
 */
export function openExec(fs: FsStruct, task: FsContext | null, path: string): File | number {
  const ctx = task === null ? hostContext(fs) : { ...taskContext(task), fs };
  const found = lookupForExec(ctx, path);
  if (typeof found === 'number') return found;
  const { inode } = found.dentry;
  if (!isReg(inode.mode)) return -EACCES;
  const err = inodePermission(inode, MAY_EXEC, ctx.cred);
  if (err !== 0) return err;
  if (inode.writers > 0) return -ETXTBSY;
  const file = dentryOpen(found, O_RDONLY, ctx);
  if (typeof file === 'number') return file;
  inode.denyWrite++;
  file.deniesWrite = true;
  return file;
}

function taskContext(task: FsContext): FsContext {
  return { fs: task.fs, files: task.files, cred: task.cred };
}

/**
 * The path execveat() gives to a program: absolute or below a descriptor.
 * @returns a path openExec() understands, -EBADF, -ENOENT or -ELOOP.
 * @linux fs/exec.c:alloc_bprm
 */
export function atPath(
  fs: FsStruct,
  files: FdTable,
  dirfd: number,
  path: string,
  flags: number,
): string | number {
  if (path.startsWith('/')) return path;
  if (path === '' && (flags & AT_EMPTY_PATH) === 0) return -ENOENT;
  if (dirfd === AT_FDCWD) return path === '' ? -EACCES : path;
  const file = files.getRaw(dirfd);
  if (file === undefined) return -EBADF;
  if (path !== '' && !isDir(file.inode.mode)) return -ENOTDIR;
  if (path !== '' && fs.root === file.path) return `/${path}`;
  return path === '' ? `${DEV_FD}${dirfd}` : `${DEV_FD}${dirfd}/${path}`;
}
