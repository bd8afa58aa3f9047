/**
 * The structures of the VFS that point at each other. The dentry tree is the directory
 * storage of every file system here: a directory's entries are its `children`, and what a
 * host directory holds is read into them when it is first looked at.
 *
 * Names and paths are byte strings: one char (0..255) a byte.
 *
 * @linux include/linux/fs.h, include/linux/dcache.h, include/linux/fdtable.h, fs/mount.h
 */

import { bug } from '../lib/assert.ts';
import type { WaitQueue } from '../lib/wait_queue.ts';
import type { IovIter } from '../mm/iov_iter.ts';
import {
  AddressSpace,
  FMODE_READ,
  FMODE_WRITE,
  type AddressSpaceOps,
  type MmStruct,
  type PgData,
  type VmFile,
  type Vma,
} from '../mm/mm_types.ts';
import type { SwapDevice } from '../mm/swap_types.ts';
import type { UserStruct } from '../mm/secretmem.ts';
import { destroyMapping } from '../mm/truncate.ts';
import { EBADF, EMFILE, ENODEV, EOPNOTSUPP } from '../uapi/errno.ts';
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  F_SEAL_SEAL,
  O_ACCMODE,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
} from '../uapi/fcntl.ts';
import { type FileLocks, locksRemoveFile, locksRemovePosix } from './locks.ts';

/** A point on the wall clock. */
export interface Timespec {
  readonly sec: number;
  readonly nsec: number;
}

/** Identities that file permissions look at. */
export interface FsCred {
  readonly fsuid: number;
  readonly fsgid: number;
  readonly groups: readonly number[];
}

/** Whose root, descriptors and identity an operation uses; a Task is one. */
export interface FsContext {
  readonly fs: FsStruct;
  readonly files: FdTable | null;
  readonly cred: FsCred;
  /** Session of the caller, for its controlling terminal; absent for the host. */
  readonly signal?: { readonly session: number; readonly pgrp: number };
}

/** Collects the queues that tell of a change; null asks for the current state only. */
export interface PollTable {
  add(queue: WaitQueue): void;
}

/** Called for each entry; false = full, stop. `nextPos` continues after this entry. */
export type DirEmit = (name: string, ino: number, type: number, nextPos: number) => boolean;

/** No operation blocks: -EAGAIN means "not now", and poll() says which queues will tell. */
export interface FileOps {
  /** A write that is cut short is one that has filled a buffer: the rest waits. */
  readonly stream?: true;
  /** splice() to and from it is -EINVAL. */
  readonly noSplice?: true;
  /** @returns 0 or -errno. */
  open?(file: File, ctx: FsContext): number;
  /** @param ctx the reader; absent for the kernel itself. @returns bytes, 0 at the end, or -errno. */
  read?(file: File, to: IovIter, pos: number, ctx?: FsContext): number;
  /** @returns bytes (possibly fewer than asked), or -errno. */
  write?(file: File, from: IovIter, pos: number): number;
  /** @returns POLL* mask. Absent: always readable and writable. */
  poll?(file: File, pt: PollTable | null): number;
  ioctl?(file: File, cmd: number, arg: number, mm: MmStruct, ctx: FsContext): number;
  /** Emits entries from file.pos on; sets file.pos. */
  iterate?(file: File, emit: DirEmit): number;
  mmap?(file: File, vma: Vma): number;
  fsync?(file: File, dataOnly: boolean): number;
  /** The last reference is gone. */
  release?(file: File): void;
  /** @returns the new position or -errno. Absent: the file cannot seek. */
  llseek?(file: File, offset: number, whence: number): number;
  fallocate?(file: File, mode: number, offset: number, len: number): number;
  /** More lines for /proc/PID/fdinfo/N. */
  showFdinfo?(file: File): string;
}

export interface InodeOps {
  /** Finds or makes an entry that is not in `dir.children`. Absent: what is not there does not exist. */
  lookup?(dir: Dentry, name: string): Dentry | number;
  /** A new inode for an entry of `dir`. Absent: nothing can be made there. */
  newInode?(dir: Inode, mode: number, rdev: number, cred: FsCred): Inode | number;
  /** Target of a symbolic link: text, or the very place (/proc/PID/fd). Absent: inode.link. */
  getLink?(dentry: Dentry): string | Path | number;
  /** Text for readlink() where getLink() gives a place. */
  readLink?(dentry: Dentry): string | number;
  /** Changes the size; regular files only. */
  setSize?(inode: Inode, size: number): number;
  /** The inode can be given another mode, owner and times. Absent: it cannot. */
  readonly mayChange?: boolean;
  /** Brings attributes up to date before stat(). */
  getAttr?(inode: Inode): void;
}

export interface SuperOps {
  /** Fills `dir.children` with the entries that exist elsewhere. @returns 0 or -errno. */
  loadDir?(dir: Dentry): number;
  /** Sets the inode of an entry that loadDir() made. @returns 0 or -errno. */
  loadInode?(dentry: Dentry): number;
  /** An inode with no name and no user is going. */
  evictInode?(inode: Inode): void;
  /** The machine goes. */
  kill?(sb: SuperBlock): void;
  /** Blocks of a page and inodes, for statfs(). */
  statfs(sb: SuperBlock): { blocks: number; free: number; files: number; freeFiles: number };
}

/** What a block device number stands for. */
export interface BlockDevice {
  readonly device: SwapDevice;
  readonly ops: FileOps;
}

/** What Linux's fs/ keeps in globals, one per machine. */
export class Vfs {
  readonly pgdat: PgData;
  /** The wall clock. */
  readonly now: () => Timespec;
  /** Fills a buffer with random bytes. */
  readonly random: (buffer: Uint8Array) => void;
  readonly superBlocks: SuperBlock[] = [];
  readonly mounts: Mount[] = [];
  /** Character devices by device number. */
  readonly chrdevs = new Map<number, FileOps>();
  /** Block devices by device number. */
  readonly blkdevs = new Map<number, BlockDevice>();
  /** Pipes, eventfds and other files without a path. */
  anonMount: Mount | null = null;
  /** Holds memfd_create()'s files; made on first use. */
  memfdMount: Mount | null = null;
  /** Holds the inodes behind pidfds; made on first use. */
  pidfsMount: Mount | null = null;
  /** Holds memfd_secret()'s files; made on first use. */
  secretmemMount: Mount | null = null;
  /** What users have locked without a mapping of their own, by uid; made on first use. */
  readonly users = new Map<number, UserStruct>();
  /** Bytes of pages of pipes' own. */
  pipeBytes = 0;
  /** Bytes on the way in all sockets, headers included. */
  socketBytes = 0;
  /** Operations of fifos, which any file system can hold. */
  fifoOps: FileOps | null = null;
  /** Root of /dev/pts, where terminals appear; null before it is mounted. */
  devPts: Dentry | null = null;
  /** Terminals by N of /dev/pts/N; owned by tty.ts. */
  readonly ttys: unknown[] = [];
  nextMountId = 1;
  /** Minor of the next device number for a file system without a device. */
  nextDevMinor = 2;

  constructor(pgdat: PgData, hooks: { now: () => Timespec; random: (buffer: Uint8Array) => void }) {
    this.pgdat = pgdat;
    this.now = hooks.now;
    this.random = hooks.random;
  }
}

export class SuperBlock {
  readonly vfs: Vfs;
  /** Name of the file system type, as in /proc/filesystems. */
  readonly fsType: string;
  /** statfs f_type. */
  readonly magic: number;
  readonly dev: number;
  readonly ops: SuperOps;
  readOnly = false;
  /** Files have no place in the tree: their name is all of their path. */
  pseudo: boolean;
  nextIno = 1;
  /** Inodes with a page cache, to free it when the machine goes. */
  readonly caches = new Set<Inode>();
  /** Owned by the file system. */
  data: unknown = null;

  constructor(vfs: Vfs, fsType: string, magic: number, ops: SuperOps, pseudo = false) {
    this.vfs = vfs;
    this.fsType = fsType;
    this.magic = magic;
    this.ops = ops;
    this.pseudo = pseudo;
    this.dev = vfs.nextDevMinor++;
    vfs.superBlocks.push(this);
  }
}

export class Inode {
  readonly sb: SuperBlock;
  readonly ino: number;
  /** Type and permission bits. */
  mode: number;
  nlink = 1;
  uid = 0;
  gid = 0;
  rdev = 0;
  /** Bytes. */
  size = 0;
  atime: Timespec;
  mtime: Timespec;
  ctime: Timespec;
  readonly btime: Timespec;
  iOps: InodeOps;
  fOps: FileOps;
  /** Open files. The inode goes when this and nlink are 0. */
  opens = 0;
  /** Open files that may write, and running programs: they exclude each other (ETXTBSY). */
  writers = 0;
  denyWrite = 0;
  /** Target of a symbolic link. */
  link = '';
  /** Page cache; null until first used. */
  cache: AddressSpace | null = null;
  locks: FileLocks | null = null;
  /** F_SEAL_*. The seal against sealing is what ordinary files have. */
  seals = F_SEAL_SEAL;
  /** The pipe behind a fifo while it is open; owned by pipe.ts. */
  pipe: unknown = null;
  /** Owned by the file system. */
  data: unknown = null;

  constructor(sb: SuperBlock, mode: number, iOps: InodeOps, fOps: FileOps, ino?: number) {
    this.sb = sb;
    this.ino = ino ?? sb.nextIno++;
    this.mode = mode;
    this.iOps = iOps;
    this.fOps = fOps;
    const now = sb.vfs.now();
    this.atime = now;
    this.mtime = now;
    this.ctime = now;
    this.btime = now;
  }
}

/** A name in a directory. The root of a file system is its own parent. */
export class Dentry {
  name: string;
  parent: Dentry;
  readonly sb: SuperBlock;
  /** null: known from a listing, not yet looked at (SuperOps.loadInode). */
  dInode: Inode | null;
  /** Entries of a directory, oldest first; cookies ascend. */
  children: Map<string, Dentry> | null = null;
  /** SuperOps.loadDir has run, or there is nothing to load. */
  loaded = false;
  /** Position of this entry for getdents(), unique within its directory. */
  cookie = 0;
  /** The next child's. 1 and 2 are for "." and "..". */
  nextCookie = 3;
  /** Inode number and DT_* before the inode is loaded. */
  ino: number;
  type: number;
  /** Not in its directory any more. */
  unhashed = false;
  /** What is mounted here. */
  mounted: Mount | null = null;
  /** Owned by the file system. */
  data: unknown = null;

  constructor(sb: SuperBlock, parent: Dentry | null, name: string, inode: Inode | null) {
    this.sb = sb;
    this.parent = parent ?? this;
    this.name = name;
    this.dInode = inode;
    this.ino = inode === null ? 0 : inode.ino;
    this.type = inode === null ? 0 : inode.mode >>> 12;
  }

  get inode(): Inode {
    return this.dInode ?? bug('dentry: inode is not loaded');
  }
}

export class Mount {
  readonly id: number;
  readonly sb: SuperBlock;
  readonly root: Dentry;
  /** Where it is mounted; null for the root of the tree. */
  readonly at: Path | null;
  /** What /proc/mounts shows as the device. */
  readonly source: string;
  /** MS_*. */
  readonly flags: number;

  constructor(vfs: Vfs, root: Dentry, at: Path | null, source: string, flags: number) {
    this.id = vfs.nextMountId++;
    this.sb = root.sb;
    this.root = root;
    this.at = at;
    this.source = source;
    this.flags = flags;
  }
}

export class Path {
  readonly mnt: Mount;
  readonly dentry: Dentry;

  constructor(mnt: Mount, dentry: Dentry) {
    this.mnt = mnt;
    this.dentry = dentry;
  }
}

/** The inode's page cache. */
export function inodeMapping(
  inode: Inode,
  ops: AddressSpaceOps,
  swapBacked: boolean,
): AddressSpace {
  const { sb } = inode;
  inode.cache = new AddressSpace(sb.vfs.pgdat, ops, swapBacked);
  sb.caches.add(inode);
  return inode.cache;
}

/** Frees an inode that has neither a name nor an open file. @linux fs/inode.c:iput */
export function iput(inode: Inode): void {
  if (inode.nlink > 0 || inode.opens > 0) return;
  evictInode(inode);
}

/** Gives back everything an inode holds. */
export function evictInode(inode: Inode): void {
  inode.sb.ops.evictInode?.(inode);
  if (inode.cache === null) return;
  inode.sb.caches.delete(inode);
  destroyMapping(inode.cache);
  inode.cache = null;
}

/** Position as pread() sees it: nothing to do with File.pos. */
const ACCESS_OF_MODE = [FMODE_READ, FMODE_WRITE, FMODE_READ | FMODE_WRITE, 0] as const;

export class File implements VmFile {
  readonly path: Path;
  readonly inode: Inode;
  /** O_*, without those that only matter while opening. */
  flags: number;
  readonly fMode: number;
  fOps: FileOps;
  /** Offset of the next read or write. */
  pos = 0;
  refs = 1;
  /** Keeps programs from being written while they run: counted in inode.denyWrite. */
  deniesWrite = false;
  /** Signal and process for SIGIO; stored only. */
  owner = 0;
  /** Owned by the file's operations. */
  data: unknown = null;
  /** Told when the file goes: epoll instances that watch it. */
  onRelease: Set<(file: File) => void> | null = null;

  constructor(path: Path, flags: number, fOps: FileOps) {
    this.path = path;
    this.inode = path.dentry.inode;
    this.flags = flags;
    this.fMode = (flags & O_PATH) !== 0 ? 0 : ACCESS_OF_MODE[flags & O_ACCMODE]!;
    this.fOps = fOps;
    this.inode.opens++;
    if ((this.fMode & FMODE_WRITE) !== 0) this.inode.writers++;
  }

  get mapping(): AddressSpace {
    return this.inode.cache ?? bug('file: no page cache');
  }

  get dev(): number {
    return this.inode.sb.dev;
  }

  get ino(): number {
    return this.inode.ino;
  }

  getFile(): void {
    this.refs++;
  }

  putFile(): void {
    if (--this.refs > 0) return;
    if (this.onRelease !== null) for (const told of this.onRelease) told(this);
    const { inode } = this;
    if (inode.locks !== null) locksRemoveFile(inode.locks, this);
    if ((this.flags & O_PATH) === 0) this.fOps.release?.(this);
    if ((this.fMode & FMODE_WRITE) !== 0) inode.writers--;
    if (this.deniesWrite) inode.denyWrite--;
    inode.opens--;
    iput(inode);
  }

  mmap(vma: Vma): number {
    const { mmap } = this.fOps;
    return mmap === undefined ? -ENODEV : mmap.call(this.fOps, this, vma);
  }

  punchHole(start: number, end: number): number {
    const mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    return this.fOps.fallocate?.(this, mode, start, end - start) ?? -EOPNOTSUPP;
  }

  mapsName(): string {
    return absolutePath(this.path);
  }
}

/** The path from the root of the mount tree; deleted names say so. */
export function absolutePath(path: Path): string {
  return pathFrom(null, path) ?? bug('absolutePath: no root');
}

/**
 * The path as seen from `root` (null: the top of the mount tree).
 * @returns null when `path` is not below `root`.
 * @linux fs/d_path.c:prepend_path
 */
export function pathFrom(root: Path | null, path: Path): string | null {
  let { mnt, dentry } = path;
  if (dentry.sb.pseudo) return dentry.name;
  let text = '';
  const deleted = dentry.unhashed ? ' (deleted)' : '';
  for (;;) {
    if (root !== null && dentry === root.dentry && mnt === root.mnt) break;
    if (dentry === mnt.root || dentry.parent === dentry) {
      if (mnt.at === null) {
        if (root !== null) return null;
        break;
      }
      ({ mnt, dentry } = mnt.at);
      continue;
    }
    text = `/${dentry.name}${text}`;
    dentry = dentry.parent;
  }
  return (text === '' ? '/' : text) + deleted;
}

/** Descriptors of a process, or of several that share them (CLONE_FILES). */
export class FdTable {
  users = 1;
  private readonly slots: (File | null)[];
  /** FD_CLOEXEC by descriptor. */
  private readonly cloexec: boolean[];
  /** No free descriptor is below this. */
  private firstFree: number;

  constructor(slots: (File | null)[] = [], cloexec: boolean[] = [], firstFree = 0) {
    this.slots = slots;
    this.cloexec = cloexec;
    this.firstFree = firstFree;
  }

  /** One more than the highest descriptor in use, at least. */
  get size(): number {
    return this.slots.length;
  }

  /** The open file of a descriptor; undefined also for one opened with O_PATH: see getRaw(). @hot */
  get(fd: number): File | undefined {
    const file = this.slots[fd];
    return file === null || file === undefined || (file.flags & O_PATH) !== 0 ? undefined : file;
  }

  /** As get(), O_PATH descriptors included. */
  getRaw(fd: number): File | undefined {
    return this.slots[fd] ?? undefined;
  }

  /**
   * Takes the lowest free descriptor >= minFd; the table takes over the caller's reference.
   * @param limit RLIMIT_NOFILE.
   * @returns the descriptor, or -EMFILE with the reference still the caller's.
   */
  alloc(file: File, minFd: number, cloexec: boolean, limit: number): number {
    const { slots } = this;
    let fd = Math.max(minFd, this.firstFree);
    while (fd < slots.length && slots[fd] !== null) fd++;
    if (fd >= limit) return -EMFILE;
    while (slots.length < fd) {
      this.cloexec.push(false);
      slots.push(null);
    }
    slots[fd] = file;
    this.cloexec[fd] = cloexec;
    if (minFd <= this.firstFree) this.firstFree = fd + 1;
    return fd;
  }

  /** Puts `file` at `fd` (below the limit), closing what was there; takes over the reference. */
  install(fd: number, file: File, cloexec: boolean): void {
    const { slots } = this;
    while (slots.length <= fd) {
      this.cloexec.push(false);
      slots.push(null);
    }
    const old = slots[fd] ?? null;
    slots[fd] = file;
    this.cloexec[fd] = cloexec;
    if (old !== null) this.filpClose(old);
  }

  /** @returns 0 or -EBADF. */
  close(fd: number): number {
    const file = this.slots[fd];
    if (file === null || file === undefined) return -EBADF;
    this.slots[fd] = null;
    if (fd < this.firstFree) this.firstFree = fd;
    this.filpClose(file);
    return 0;
  }

  /** Whether alloc() from 0 would fail. */
  isFull(limit: number): boolean {
    const { slots } = this;
    let fd = this.firstFree;
    while (fd < slots.length && slots[fd] !== null) fd++;
    return fd >= limit;
  }

  getCloexec(fd: number): boolean {
    return this.cloexec[fd] === true;
  }

  setCloexec(fd: number, on: boolean): void {
    this.cloexec[fd] = on;
  }

  /** A copy for a new process: every file gains a reference. @hot */
  clone(): FdTable {
    const slots = this.slots.slice();
    for (let fd = 0; fd < slots.length; fd++) {
      const file = slots[fd];
      if (file !== null && file !== undefined) file.refs++;
    }
    return new FdTable(slots, this.cloexec.slice(), this.firstFree);
  }

  share(): FdTable {
    this.users++;
    return this;
  }

  /** A table nobody else uses; gives up this one if it is shared. */
  unshare(): FdTable {
    if (this.users === 1) return this;
    this.users--;
    return this.clone();
  }

  closeOnExec(): void {
    for (let fd = 0; fd < this.slots.length; fd++) if (this.cloexec[fd]) this.close(fd);
    this.cloexec.fill(false);
  }

  /** One user less; the last one closes everything. */
  put(): void {
    if (--this.users > 0) return;
    for (let fd = 0; fd < this.slots.length; fd++) {
      const file = this.slots[fd];
      if (file === null || file === undefined) continue;
      this.slots[fd] = null;
      this.filpClose(file);
    }
    this.slots.length = 0;
  }

  /** @linux fs/open.c:filp_close */
  private filpClose(file: File): void {
    const { locks } = file.inode;
    if (locks !== null) locksRemovePosix(locks, this);
    file.putFile();
  }
}

/** Root, working directory and umask of a process, or of several (CLONE_FS). */
export class FsStruct {
  users = 1;
  root: Path;
  pwd: Path;
  umask: number;

  constructor(root: Path, pwd: Path, umask: number) {
    this.root = root;
    this.pwd = pwd;
    this.umask = umask;
  }

  clone(): FsStruct {
    return new FsStruct(this.root, this.pwd, this.umask);
  }

  share(): FsStruct {
    this.users++;
    return this;
  }

  unshare(): FsStruct {
    if (this.users === 1) return this;
    this.users--;
    return this.clone();
  }

  put(): void {
    this.users--;
  }
}

/** Whether an open file may be read or written, as O_ACCMODE says. */
export function fileReadable(file: File): boolean {
  const mode = file.flags & O_ACCMODE;
  return mode !== O_WRONLY && mode !== O_ACCMODE;
}

export function fileWritable(file: File): boolean {
  const mode = file.flags & O_ACCMODE;
  return mode !== O_RDONLY && mode !== O_ACCMODE;
}
