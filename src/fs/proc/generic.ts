/**
 * What the files of procfs and sysfs are made of: a tree of names that never changes, and
 * text that is made when a file is first read and kept with the open file, so that a reader
 * of small pieces sees one state. Reading at offset 0 makes it anew.
 *
 * @linux fs/proc/generic.c, fs/seq_file.c
 */

import { copyFromIter, copyToIter, type IovIter } from '../../mm/iov_iter.ts';
import { EFAULT, EINVAL } from '../../uapi/errno.ts';
import { S_IFDIR, S_IFLNK, S_IFREG } from '../../uapi/stat.ts';
import { dAddInode, dcacheReaddir, linkDirectory } from '../dcache.ts';
import {
  Inode,
  type Dentry,
  type File,
  type FileOps,
  type FsContext,
  type InodeOps,
} from '../fs_types.ts';
import { dirLlseek } from '../llseek.ts';

/** Bytes of one write() that a file takes at most. */
const STORE_MAX = 4096;

/** The text of a file as a byte string, or -errno. */
export type SeqShow = (file: File) => string | number;
/** Takes what a program wrote. @returns bytes taken, or -errno. */
export type SeqStore = (file: File, text: string) => number;

/** Copies from `bytes` at `pos`. @returns bytes copied, 0 at the end, or -EFAULT. */
export function simpleReadFromBuffer(to: IovIter, bytes: Uint8Array, pos: number): number {
  if (pos >= bytes.length || to.remaining === 0) return 0;
  const n = copyToIter(to, bytes, pos, bytes.length - pos);
  return n === 0 ? -EFAULT : n;
}

function seqRead(show: SeqShow, file: File, to: IovIter, pos: number): number {
  if (pos === 0 || file.data === null) {
    const text = show(file);
    if (typeof text === 'number') return text;
    file.data = Buffer.from(text, 'latin1');
  }
  return simpleReadFromBuffer(to, file.data as Uint8Array, pos);
}

function seqWrite(store: SeqStore, file: File, from: IovIter): number {
  const bytes = Buffer.alloc(Math.min(from.remaining, STORE_MAX));
  const n = copyFromIter(from, bytes, 0, bytes.length);
  if (n < bytes.length) return -EFAULT;
  return n === 0 ? 0 : store(file, bytes.toString('latin1'));
}

/** Operations of a text file. Without `store` it takes no writes. */
export function seqFileOps(
  show: SeqShow,
  store?: SeqStore,
  open?: (file: File, ctx: FsContext) => number,
): FileOps {
  const ops: FileOps = { read: (file, to, pos) => seqRead(show, file, to, pos), llseek: dirLlseek };
  ops.write = (file, from) => (store === undefined ? -EINVAL : seqWrite(store, file, from));
  if (open !== undefined) ops.open = open;
  return ops;
}

/** Files here have no size to cut: O_TRUNC is no error. */
export const PROC_INODE_OPS: InodeOps = { setSize: () => 0 };

const PROC_DIR_OPS: FileOps = { iterate: dcacheReaddir, llseek: dirLlseek };

/** Makes a directory that lists its dentries. */
export function procMkdir(dir: Dentry, name: string, iOps: InodeOps = {}): Dentry {
  const inode = new Inode(dir.sb, S_IFDIR | 0o555, iOps, PROC_DIR_OPS);
  inode.nlink = 2;
  linkDirectory(dir.inode, inode);
  return dAddInode(dir, name, inode);
}

/** Makes a file. */
export function procCreate(dir: Dentry, name: string, mode: number, fOps: FileOps): Inode {
  const inode = new Inode(dir.sb, S_IFREG | mode, PROC_INODE_OPS, fOps);
  dAddInode(dir, name, inode);
  return inode;
}

/** Makes a file that anybody may read. */
export function procCreateText(dir: Dentry, name: string, show: SeqShow): Inode {
  return procCreate(dir, name, 0o444, seqFileOps(show));
}

/** Makes files that show one value each. */
export function procCreateValues(
  dir: Dentry,
  table: Readonly<Record<string, string | number>>,
): void {
  for (const [name, value] of Object.entries(table)) {
    procCreateText(dir, name, () => `${value}\n`);
  }
}

/** Makes a symbolic link with a fixed target. */
export function procSymlink(dir: Dentry, name: string, target: string): Inode {
  const inode = new Inode(dir.sb, S_IFLNK | 0o777, {}, {});
  inode.link = target;
  dAddInode(dir, name, inode);
  return inode;
}

/** `n` as C's %*lu prints it. */
export function padNumber(n: number, width: number): string {
  return String(n).padStart(width);
}

/** 64 bits given as two words, as C's %016llx prints them. */
export function hex64(lo: number, hi: number): string {
  return hexWord(hi) + hexWord(lo);
}

/** 32 bits as C's %08x prints them. */
export function hexWord(word: number): string {
  return (word >>> 0).toString(16).padStart(8, '0');
}

/** Writes characters of `special` as octal, so that lines stay lines. @linux fs/seq_file.c:mangle_path */
export function manglePath(path: string, special: string): string {
  let out = '';
  for (const char of path) {
    const octal = special.includes(char);
    out += octal ? `\\${char.charCodeAt(0).toString(8).padStart(3, '0')}` : char;
  }
  return out;
}

/** The integer a program wrote, white space around it ignored; null if it is none. */
export function parseInteger(text: string): number | null {
  const trimmed = text.replace(/\0+$/, '').trim();
  return /^[+-]?\d{1,15}$/.test(trimmed) ? Number(trimmed) : null;
}
