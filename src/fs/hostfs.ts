/**
 * A directory of the host as what lies below a file system. The host never resolves a path of
 * the guest: names come from listings of directories that lstat() has seen to be directories,
 * symbolic links are handed to the guest as text, and what is opened is checked to be what
 * was seen. A guest therefore cannot leave the tree, whatever its links say.
 */

import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  type Dirent,
  type Stats,
} from 'node:fs';
import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import { EACCES, EIO, ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR } from '../uapi/errno.ts';
import { isDir, isLnk, isReg, S_IALLUGO, S_IFMT } from '../uapi/stat.ts';
import { HOSTFS_SUPER_MAGIC } from '../uapi/statfs.ts';
import type { Dentry, Timespec, Vfs } from './fs_types.ts';
import {
  createOverLower,
  createOverlay,
  type LowerEntry,
  type LowerNode,
  type LowerStat,
} from './tmpfs.ts';

const ERRNOS: Readonly<Record<string, number>> = {
  EACCES,
  EPERM: EACCES,
  ELOOP,
  ENAMETOOLONG,
  ENOENT,
  ENOTDIR,
};

/** What the guest sees of an error of the host: most are an I/O error to it. */
function hostErrno(error: unknown): number {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return -(ERRNOS[code] ?? EIO);
}

/** Descriptors of host files kept open: the rest are opened again when needed. */
const MAX_OPEN = 64;

/** Open files of one host tree, least recently used first. */
class HostTree {
  readonly open = new Map<HostNode, number>();
  /** The host user, who appears as root. */
  readonly uid = process.getuid?.() ?? 0;
  readonly gid = process.getgid?.() ?? 0;

  closeAll(): void {
    for (const fd of this.open.values()) closeSync(fd);
    this.open.clear();
  }
}

function timeOf(ms: number): Timespec {
  const sec = Math.floor(ms / 1000);
  return { sec, nsec: Math.floor((ms - sec * 1000) * 1_000_000) };
}

function direntType(entry: Dirent<Buffer>): number {
  if (entry.isFile()) return 8;
  if (entry.isDirectory()) return 4;
  if (entry.isSymbolicLink()) return 10;
  if (entry.isFIFO()) return 1;
  if (entry.isCharacterDevice()) return 2;
  if (entry.isBlockDevice()) return 6;
  return entry.isSocket() ? 12 : 0;
}

class HostNode implements LowerNode {
  private readonly tree: HostTree;
  private readonly parent: HostNode | null;
  /** Name in the parent as a byte string; the whole path for the top. */
  private readonly name: string;
  /** What lstat() saw first. */
  private seen: Stats | null = null;

  constructor(tree: HostTree, parent: HostNode | null, name: string) {
    this.tree = tree;
    this.parent = parent;
    this.name = name;
  }

  private bytePath(): string {
    return this.parent === null ? this.name : `${this.parent.bytePath()}/${this.name}`;
  }

  private path(): Buffer {
    return Buffer.from(this.bytePath(), 'latin1');
  }

  private isSame(stat: Stats): boolean {
    const { seen } = this;
    return seen !== null && stat.ino === seen.ino && stat.dev === seen.dev;
  }

  stat(): LowerStat | number {
    const path = this.path();
    try {
      const stat = lstatSync(path);
      const link = isLnk(stat.mode)
        ? readlinkSync(path, { encoding: 'buffer' }).toString('latin1')
        : '';
      this.seen = stat;
      const { tree } = this;
      return {
        mode: stat.mode & (S_IFMT | S_IALLUGO),
        nlink: stat.nlink,
        uid: stat.uid === tree.uid ? 0 : stat.uid,
        gid: stat.gid === tree.gid ? 0 : stat.gid,
        size: stat.size,
        mtime: timeOf(stat.mtimeMs),
        ctime: timeOf(stat.ctimeMs),
        linkKey: stat.nlink > 1 && isReg(stat.mode) ? `${stat.dev}:${stat.ino}` : '',
        link,
      };
    } catch (error) {
      return hostErrno(error);
    }
  }

  list(): LowerEntry[] | number {
    const path = this.path();
    try {
      if (!this.isStillDirectory(path)) return -EIO;
      const entries = readdirSync(path, { encoding: 'buffer', withFileTypes: true });
      if (!this.isStillDirectory(path)) return -EIO;
      return entries.map((entry) => {
        const name = entry.name.toString('latin1');
        return { name, type: direntType(entry), node: new HostNode(this.tree, this, name) };
      });
    } catch (error) {
      return hostErrno(error);
    }
  }

  /** A link put in a directory's place would be followed by the host: this sees it. */
  private isStillDirectory(path: Buffer): boolean {
    const stat = lstatSync(path);
    return isDir(stat.mode) && this.isSame(stat);
  }

  open(): number {
    const fd = this.descriptor();
    return Math.min(fd, 0);
  }

  private descriptor(): number {
    const { open } = this.tree;
    const known = open.get(this);
    if (known !== undefined) {
      open.delete(this);
      open.set(this, known);
      return known;
    }
    const fd = this.openChecked();
    if (fd < 0) return fd;
    if (open.size >= MAX_OPEN) {
      for (const [oldest, oldFd] of open) {
        closeSync(oldFd);
        open.delete(oldest);
        break;
      }
    }
    open.set(this, fd);
    return fd;
  }

  /** Opens what lstat() saw and nothing put in its place since. */
  private openChecked(): number {
    try {
      // Windows has neither flag; there lstat and fstat have to do.
      const { O_RDONLY, O_NOFOLLOW = 0, O_NONBLOCK = 0 } = constants;
      const fd = openSync(this.path(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
      const stat = fstatSync(fd);
      if (isReg(stat.mode) && this.isSame(stat)) return fd;
      closeSync(fd);
      return -EIO;
    } catch (error) {
      return hostErrno(error);
    }
  }

  readPage(index: number, memory: Uint8Array, at: number): number {
    const fd = this.descriptor();
    if (fd < 0) return -EIO;
    let done = 0;
    try {
      while (done < PAGE_SIZE) {
        const n = readSync(fd, memory, at + done, PAGE_SIZE - done, index * PAGE_SIZE + done);
        if (n === 0) break;
        done += n;
      }
    } catch {
      return -EIO;
    }
    memory.fill(0, at + done, at + PAGE_SIZE);
    // The file is shorter than it was: bytes the guest was promised are gone.
    const promised = Math.min(PAGE_SIZE, (this.seen?.size ?? 0) - index * PAGE_SIZE);
    return done < promised ? -EIO : 0;
  }
}

function hostRoot(tree: HostTree, hostPath: string): HostNode {
  return new HostNode(tree, null, Buffer.from(hostPath, 'utf8').toString('latin1'));
}

/** A read-only view of a host directory. @param hostPath absolute, its own links resolved by the caller. @returns its root or -errno. */
export function createHostfs(vfs: Vfs, hostPath: string): Dentry | number {
  const tree = new HostTree();
  const close = (): void => tree.closeAll();
  const mount = { fsType: 'hostfs', magic: HOSTFS_SUPER_MAGIC, readOnly: true, close };
  return createOverLower(vfs, hostRoot(tree, hostPath), mount);
}

/** A host directory under a layer of memory that takes all changes. @returns its root or -errno. */
export function createHostOverlay(vfs: Vfs, hostPath: string): Dentry | number {
  const tree = new HostTree();
  return createOverlay(vfs, hostRoot(tree, hostPath), () => tree.closeAll());
}
