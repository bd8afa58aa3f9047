/**
 * The memory file system. With something below it, it is also the overlay and the read-only
 * host mount: a directory's names are listed from below when it is first looked into, an
 * inode is looked at when its name is first used, a page is read when it is first touched.
 * From then on everything lives here, so removed and renamed entries need no whiteouts, and a
 * write copies up one page. Nothing is ever written below.
 *
 * @linux mm/shmem.c, fs/overlayfs/
 */

import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import type { Pfn } from '../arch/riscv/pgtable.ts';
import { MAX_LFS_FILESIZE } from '../mm/address_space.ts';
import { filemapGetPage, filemapRead, filemapWrite, genericFileMmap } from '../mm/filemap.ts';
import { iovKernel, type IovIter } from '../mm/iov_iter.ts';
import type { AddressSpace, AddressSpaceOps, Vma } from '../mm/mm_types.ts';
import { putPage } from '../mm/page_alloc.ts';
import { truncateInodePages, truncatePagecacheRange } from '../mm/truncate.ts';
import { VM_MAYWRITE, VM_SHARED, VM_WRITE } from '../mm/vma.ts';
import { EFBIG, EISDIR, ENOMEM, ENOSPC, ENXIO, EOPNOTSUPP, EPERM } from '../uapi/errno.ts';
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FALLOC_FL_ZERO_RANGE,
  F_SEAL_FUTURE_WRITE,
  F_SEAL_GROW,
  F_SEAL_SHRINK,
  F_SEAL_WRITE,
  SEEK_DATA,
  SEEK_HOLE,
} from '../uapi/fcntl.ts';
import { isDir, isLnk, isReg, S_IALLUGO, S_IFDIR, S_IFMT, S_IFREG } from '../uapi/stat.ts';
import { OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC } from '../uapi/statfs.ts';
import { dAdd, dcacheReaddir } from './dcache.ts';
import {
  Dentry,
  Inode,
  inodeMapping,
  Mount,
  SuperBlock,
  type File,
  type FileOps,
  type FsCred,
  type InodeOps,
  type SuperOps,
  type Timespec,
  type Vfs,
} from './fs_types.ts';
import { inodeInitOwner, touchAtime, touchMtime } from './inode.ts';
import { dirLlseek, genericFileLlseek } from './llseek.ts';
import { noOpenFileOps, specialFileOps } from './special.ts';

/** Linux's default: half of the memory. */
const MEMORY_SHARE = 2;
/** Allocations after which page use is counted anew: faults on mappings are not noticed. */
const TRUST_GUESS = 256;

export interface LowerStat {
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: Timespec;
  readonly ctime: Timespec;
  /** Same non-empty key: names of one file. */
  readonly linkKey: string;
  /** Target of a symbolic link. */
  readonly link: string;
}

export interface LowerEntry {
  readonly name: string;
  /** DT_*, 0 = unknown. */
  readonly type: number;
  readonly node: LowerNode;
}

/** A file or directory below. Errors are the host's, as -errno. */
export interface LowerNode {
  stat(): LowerStat | number;
  list(): LowerEntry[] | number;
  /** Whether the bytes can be read. @returns 0 or -errno. */
  open(): number;
  /** Reads the page at `index` to byte `at` of `memory`; what the file lacks is zeroed. @returns 0 or -errno. */
  readPage(index: number, memory: Uint8Array, at: number): number;
}

/** Inode.data of what exists below. */
class Lower {
  readonly node: LowerNode;
  /** Bytes from the start that still show through; truncation lowers it. */
  bytes: number;

  constructor(node: LowerNode, bytes: number) {
    this.node = node;
    this.bytes = bytes;
  }
}

/** SuperBlock.data: inodes of lower files with several names. */
class TmpfsInfo {
  readonly links = new Map<string, Inode>();
  /** Pages in use, at a guess, and how often it is still good enough. */
  used = 0;
  trusted = 0;
  /** Inodes made here, and not yet gone. */
  inodes = 0;
  /** Releases the host's resources. */
  readonly close: () => void;

  constructor(close: () => void) {
    this.close = close;
  }
}

function lowerOf(inode: Inode): Lower | null {
  return inode.data as Lower | null;
}

/** Fills a frame from below; a page that truncation has cut off reads as zeroes. */
function readLower(lower: Lower, mapping: AddressSpace, index: number, pfn: Pfn): number {
  const { u8 } = mapping.pgdat.ram;
  const start = pfn * PAGE_SIZE;
  const visible = lower.bytes - index * PAGE_SIZE;
  if (visible <= 0) {
    u8.fill(0, start, start + PAGE_SIZE);
    return 0;
  }
  const err = lower.node.readPage(index, u8, start);
  if (err === 0 && visible < PAGE_SIZE) u8.fill(0, start + visible, start + PAGE_SIZE);
  return err;
}

/** The inode's page cache, made on first use. */
function cacheOf(inode: Inode): AddressSpace {
  if (inode.cache !== null) return inode.cache;
  const ops: AddressSpaceOps = { size: () => inode.size };
  const lower = lowerOf(inode);
  if (lower === null) return inodeMapping(inode, ops, true);
  ops.readFolio = (mapping, index, pfn) => readLower(lower, mapping, index, pfn);
  return inodeMapping(inode, ops, false);
}

function regOpen(file: File): number {
  const { inode } = file;
  if (inode.cache !== null) return 0;
  const lower = lowerOf(inode);
  const err = lower === null || lower.bytes === 0 ? 0 : lower.node.open();
  if (err === 0) cacheOf(inode);
  return err;
}

function regRead(file: File, to: IovIter, pos: number): number {
  const n = filemapRead(file.mapping, to, pos);
  if (n > 0) touchAtime(file.inode);
  return n;
}

/** Pages of [start, end) that have no frame yet. */
function missingPages(inode: Inode, start: number, end: number): number {
  const { pages } = cacheOf(inode);
  let missing = 0;
  for (let index = Math.floor(start / PAGE_SIZE); index * PAGE_SIZE < end; index++) {
    if (pages.get(index) === 0) missing++;
  }
  return missing;
}

/** Pages of files that have no other home. */
function pagesInUse(sb: SuperBlock): number {
  let used = 0;
  for (const { cache } of sb.caches) if (cache?.swapBacked === true) used += cache.pages.size;
  return used;
}

/** Whether bytes [start, end) of a file would take more than the file system may. @linux mm/shmem.c:shmem_inode_acct_blocks */
function noSpace(inode: Inode, start: number, end: number): boolean {
  const { sb } = inode;
  const { freeFrames, managedFrames } = sb.vfs.pgdat;
  const limit = Math.floor(managedFrames / MEMORY_SHARE);
  const most = Math.ceil((end - start) / PAGE_SIZE) + 1;
  if (most <= freeFrames - limit) return false;
  if (most > limit + 1) return true;
  const info = sb.data as TmpfsInfo;
  info.used += most;
  // The sum over all files is only made when the running guess, which errs high, says no.
  if (info.used <= limit && --info.trusted > 0) return false;
  info.trusted = TRUST_GUESS;
  info.used = pagesInUse(sb) + missingPages(inode, start, end);
  return info.used > limit;
}

function regWrite(file: File, from: IovIter, pos: number): number {
  const { inode } = file;
  const end = pos + from.remaining;
  if (end > MAX_LFS_FILESIZE) return -EFBIG;
  if ((inode.seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) !== 0) return -EPERM;
  if ((inode.seals & F_SEAL_GROW) !== 0 && end > inode.size) return -EPERM;
  if (noSpace(inode, pos, end)) return -ENOSPC;
  const n = filemapWrite(file.mapping, from, pos);
  if (n <= 0) return n === -ENOMEM ? -ENOSPC : n;
  if (pos + n > inode.size) inode.size = pos + n;
  touchMtime(inode);
  return n;
}

function setSize(inode: Inode, size: number): number {
  if (size > MAX_LFS_FILESIZE) return -EFBIG;
  const shrinks = size < inode.size;
  if (shrinks && (inode.seals & F_SEAL_SHRINK) !== 0) return -EPERM;
  if (size > inode.size && (inode.seals & F_SEAL_GROW) !== 0) return -EPERM;
  inode.size = size;
  const lower = lowerOf(inode);
  if (lower !== null && lower.bytes > size) lower.bytes = size;
  if (shrinks && inode.cache !== null) truncateInodePages(inode.cache, size);
  touchMtime(inode);
  return 0;
}

/** Reads pages of [start, end) in, so that they no longer depend on what is below. @returns 0 or -errno. */
function fillPages(inode: Inode, start: number, end: number): number {
  const mapping = cacheOf(inode);
  if (noSpace(inode, start, end)) return -ENOSPC;
  for (let index = Math.floor(start / PAGE_SIZE); index * PAGE_SIZE < end; index++) {
    const pfn = filemapGetPage(mapping, index);
    if (pfn < 0) return pfn === -ENOMEM ? -ENOSPC : pfn;
    putPage(mapping.pgdat, pfn as Pfn);
  }
  return 0;
}

/** Zeroes bytes that exist below page by page; a hole would show them again. */
function zeroRange(file: File, start: number, end: number): number {
  const step = new Uint8Array(PAGE_SIZE);
  let at = start;
  while (at < end) {
    const n = Math.min(PAGE_SIZE - (at % PAGE_SIZE), end - at);
    const written = filemapWrite(
      file.mapping,
      iovKernel(n === PAGE_SIZE ? step : step.subarray(0, n)),
      at,
    );
    if (written < 0) return written === -ENOMEM ? -ENOSPC : written;
    at += written;
  }
  return 0;
}

/** @linux mm/shmem.c:shmem_fallocate */
function fallocate(file: File, mode: number, offset: number, len: number): number {
  const { inode } = file;
  const end = offset + len;
  const known = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE;
  if ((mode & ~known) !== 0) return -EOPNOTSUPP;
  if (end > MAX_LFS_FILESIZE) return -EFBIG;
  const keep = (mode & FALLOC_FL_KEEP_SIZE) !== 0;
  const punch = (mode & FALLOC_FL_PUNCH_HOLE) !== 0;
  if (punch && !keep) return -EOPNOTSUPP;
  if (!keep && end > inode.size && (inode.seals & F_SEAL_GROW) !== 0) return -EPERM;
  if ((mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) !== 0) {
    if ((inode.seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) !== 0) return -EPERM;
    const last = Math.min(end, inode.size);
    const lower = lowerOf(inode);
    const shown = lower === null ? 0 : Math.min(lower.bytes, last);
    const err = offset < shown ? zeroRange(file, offset, shown) : 0;
    if (err !== 0) return err;
    const from = Math.max(offset, shown);
    if (from < last) truncatePagecacheRange(file.mapping, from, last);
  } else {
    const err = fillPages(inode, offset, end);
    if (err !== 0) return err;
  }
  if (!keep && end > inode.size) inode.size = end;
  touchMtime(inode);
  return 0;
}

/** The next data or hole, by page. @linux mm/shmem.c:shmem_file_llseek */
function seekDataHole(inode: Inode, offset: number, whence: number): number {
  if (offset < 0 || offset >= inode.size) return -ENXIO;
  if (lowerOf(inode) !== null) return whence === SEEK_DATA ? offset : inode.size;
  const { pages } = cacheOf(inode);
  const first = Math.floor(offset / PAGE_SIZE);
  if (whence === SEEK_HOLE) {
    let index = first;
    while (pages.get(index) !== 0) index++;
    return Math.min(Math.max(offset, index * PAGE_SIZE), inode.size);
  }
  let next = Number.POSITIVE_INFINITY;
  pages.forEach(first, Math.floor(inode.size / PAGE_SIZE), (index) => {
    if (index < next) next = index;
  });
  const at = Math.max(offset, next * PAGE_SIZE);
  return at < inode.size ? at : -ENXIO;
}

function regLlseek(file: File, offset: number, whence: number): number {
  if (whence !== SEEK_DATA && whence !== SEEK_HOLE) return genericFileLlseek(file, offset, whence);
  const at = seekDataHole(file.inode, offset, whence);
  if (at >= 0) file.pos = at;
  return at;
}

function regMmap(file: File, vma: Vma): number {
  const { seals } = file.inode;
  if ((vma.flags & VM_SHARED) !== 0 && (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) !== 0) {
    if ((vma.flags & VM_WRITE) !== 0) return -EPERM;
    vma.flags &= ~VM_MAYWRITE;
  }
  return genericFileMmap(file, vma);
}

const regFileOps: FileOps = {
  open: regOpen,
  read: regRead,
  write: regWrite,
  llseek: regLlseek,
  mmap: regMmap,
  fsync: () => 0,
  fallocate,
};

/** Directories of every file system whose entries are the dentry tree. */
export const dirFileOps: FileOps = {
  read: () => -EISDIR,
  iterate: dcacheReaddir,
  llseek: dirLlseek,
  fsync: () => 0,
};

const linkFileOps: FileOps = {};

const tmpfsInodeOps: InodeOps = {
  newInode: (dir, mode, rdev, cred) => tmpfsNewInode(dir, mode, rdev, cred),
  setSize,
  mayChange: true,
};

function fileOpsFor(mode: number): FileOps {
  if (isReg(mode)) return regFileOps;
  if (isDir(mode)) return dirFileOps;
  return isLnk(mode) ? linkFileOps : specialFileOps;
}

/** A new inode, or -ENOSPC when there are as many as Linux allows: half the number of frames. */
function tmpfsNewInode(dir: Inode, mode: number, rdev: number, cred: FsCred): Inode | number {
  const info = dir.sb.data as TmpfsInfo;
  if (info.inodes >= dir.sb.vfs.pgdat.managedFrames / MEMORY_SHARE) return -ENOSPC;
  info.inodes++;
  const inode = new Inode(dir.sb, mode, tmpfsInodeOps, fileOpsFor(mode));
  inode.rdev = rdev;
  if (isDir(mode)) inode.nlink = 2;
  inodeInitOwner(inode, dir, cred);
  return inode;
}

/** Lists a directory from below. @returns 0 or -errno. */
function loadDir(dir: Dentry): number {
  const lower = lowerOf(dir.inode);
  if (lower === null) return 0;
  const entries = lower.node.list();
  if (typeof entries === 'number') return entries;
  for (const { name, type, node } of entries) {
    if (dir.children?.has(name) === true) continue;
    const dentry = new Dentry(dir.sb, dir, name, null);
    dentry.ino = dir.sb.nextIno++;
    dentry.type = type;
    dentry.data = node;
    dAdd(dir, dentry);
  }
  return 0;
}

function lowerInode(sb: SuperBlock, node: LowerNode, stat: LowerStat, ino: number): Inode {
  const { mode } = stat;
  const plain = isReg(mode) || isDir(mode) || isLnk(mode);
  const inode = new Inode(sb, mode, tmpfsInodeOps, plain ? fileOpsFor(mode) : noOpenFileOps, ino);
  inode.nlink = isDir(mode) ? Math.max(2, stat.nlink) : stat.nlink;
  inode.uid = stat.uid;
  inode.gid = stat.gid;
  inode.size = stat.size;
  inode.link = stat.link;
  inode.atime = stat.mtime;
  inode.mtime = stat.mtime;
  inode.ctime = stat.ctime;
  inode.data = new Lower(node, stat.size);
  return inode;
}

/** Looks at a listed entry for the first time. @returns 0 or -errno. */
function loadInode(dentry: Dentry): number {
  const { sb } = dentry;
  const node = dentry.data as LowerNode;
  const stat = node.stat();
  if (typeof stat === 'number') return stat;
  const { links } = sb.data as TmpfsInfo;
  const known = stat.linkKey === '' ? undefined : links.get(stat.linkKey);
  const inode = known ?? lowerInode(sb, node, stat, dentry.ino);
  if (known === undefined && stat.linkKey !== '') links.set(stat.linkKey, inode);
  dentry.dInode = inode;
  dentry.data = null;
  return 0;
}

/** What came from below was never counted. */
function evictInode(inode: Inode): void {
  if (inode.data === null) (inode.sb.data as TmpfsInfo).inodes--;
}

function statfs(sb: SuperBlock): ReturnType<SuperOps['statfs']> {
  const { managedFrames, freeFrames } = sb.vfs.pgdat;
  const blocks = Math.floor(managedFrames / MEMORY_SHARE);
  const free = Math.max(0, Math.min(freeFrames, blocks - pagesInUse(sb)));
  return { blocks, free, files: blocks, freeFiles: blocks - (sb.data as TmpfsInfo).inodes };
}

const tmpfsSuperOps: SuperOps = {
  loadDir,
  loadInode,
  evictInode,
  statfs,
  kill: (sb) => (sb.data as TmpfsInfo).close(),
};

function makeRoot(sb: SuperBlock, inode: Inode): Dentry {
  const root = new Dentry(sb, null, '', inode);
  root.loaded = inode.data === null;
  return root;
}

/** An empty file system. @param mode of its root directory. @param fsType `tmpfs`, `devtmpfs`... */
export function createTmpfs(vfs: Vfs, fsType: string, mode: number): Dentry {
  const sb = new SuperBlock(vfs, fsType, TMPFS_MAGIC, tmpfsSuperOps);
  sb.data = new TmpfsInfo(() => {});
  const inode = new Inode(sb, S_IFDIR | mode, tmpfsInodeOps, dirFileOps);
  inode.nlink = 2;
  return makeRoot(sb, inode);
}

export interface LowerMount {
  readonly fsType: string;
  readonly magic: number;
  readonly readOnly: boolean;
  /** Releases the host's resources. */
  readonly close: () => void;
}

/**
 * A file system over the directory `node`: a writable overlay, or a read-only view.
 * @returns its root or -errno.
 */
export function createOverLower(vfs: Vfs, node: LowerNode, mount: LowerMount): Dentry | number {
  const stat = node.stat();
  if (typeof stat === 'number') return stat;
  const sb = new SuperBlock(vfs, mount.fsType, mount.magic, tmpfsSuperOps);
  sb.data = new TmpfsInfo(mount.close);
  sb.readOnly = mount.readOnly;
  return makeRoot(sb, lowerInode(sb, node, stat, sb.nextIno++));
}

/** The overlay: what is below can be changed, and the changes are ours. @returns its root or -errno. */
export function createOverlay(vfs: Vfs, node: LowerNode, close: () => void): Dentry | number {
  const magic = OVERLAYFS_SUPER_MAGIC;
  return createOverLower(vfs, node, { fsType: 'overlay', magic, readOnly: false, close });
}

/** The mount that memfd_create()'s files are in; it is nowhere in the tree. @linux mm/shmem.c:shm_mnt */
export function memfdDirectory(vfs: Vfs): Mount {
  if (vfs.memfdMount !== null) return vfs.memfdMount;
  const root = createTmpfs(vfs, 'tmpfs', 0o1777);
  root.sb.pseudo = true;
  vfs.memfdMount = new Mount(vfs, root, null, 'tmpfs', 0);
  return vfs.memfdMount;
}

/** A regular file without a name (memfd_create, O_TMPFILE) in the file system of `dir`. */
export function tmpfsUnnamed(dir: Inode, mode: number, cred: FsCred): Inode | number {
  const inode = tmpfsNewInode(dir, S_IFREG | (mode & S_IALLUGO & ~S_IFMT), 0, cred);
  if (typeof inode !== 'number') inode.nlink = 0;
  return inode;
}
