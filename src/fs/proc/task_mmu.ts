/**
 * /proc/PID/maps, and what smaps has in common with it: one record a VMA. A reader gets whole
 * records as they are at that moment; between two reads the address space may change, and the
 * second goes on behind the last VMA shown.
 *
 * @linux fs/proc/task_mmu.c
 */

import { PAGE_SIZE } from '../../arch/riscv/memlayout.ts';
import type { Vaddr } from '../../arch/riscv/pgtable.ts';
import { copyToIter, type IovIter } from '../../mm/iov_iter.ts';
import type { MmStruct, Vma } from '../../mm/mm_types.ts';
import { VM_EXEC, VM_MAYSHARE, VM_READ, VM_WRITE } from '../../mm/vma.ts';
import { EFAULT, ENOTTY, ESRCH } from '../../uapi/errno.ts';
import { PROCMAP_QUERY } from '../../uapi/fs.ts';
import { devMajor, devMinor } from '../../uapi/stat.ts';
import type { File, FileOps, FsContext } from '../fs_types.ts';
import { dirLlseek } from '../llseek.ts';
import { manglePath } from './generic.ts';
import { getProcTask, procMemOpen } from './pid.ts';
import { doProcmapQuery } from './procmap_query.ts';
import { vmaFile, vmaName } from './vma_name.ts';

/** Column at which the name of a mapping starts, less one. @linux show_vma_header_prefix seq_setwidth */
const NAME_COLUMN = 25 + 8 * 6 - 1;
/** Bytes of records made for one read, unless the first one alone is longer. @linux fs/seq_file.c */
const SEQ_BUFFER = PAGE_SIZE;

function hex(n: number, width: number): string {
  return n.toString(16).padStart(width, '0');
}

function permissions(flags: number): string {
  const r = (flags & VM_READ) === 0 ? '-' : 'r';
  const w = (flags & VM_WRITE) === 0 ? '-' : 'w';
  const x = (flags & VM_EXEC) === 0 ? '-' : 'x';
  return r + w + x + ((flags & VM_MAYSHARE) === 0 ? 'p' : 's');
}

function header(
  start: number,
  end: number,
  perms: string,
  pgoff: number,
  dev: number,
  ino: number,
): string {
  const range = `${hex(start, 8)}-${hex(end, 8)} ${perms} ${hex(pgoff * PAGE_SIZE, 8)}`;
  return `${range} ${hex(devMajor(dev), 2)}:${hex(devMinor(dev), 2)} ${ino} `;
}

function named(prefix: string, name: string): string {
  return name === '' ? `${prefix}\n` : `${prefix.padEnd(NAME_COLUMN)} ${name}\n`;
}

/** One line of maps. @linux fs/proc/task_mmu.c:show_map_vma */
export function showMapVma(vma: Vma): string {
  const file = vmaFile(vma);
  const perms = permissions(vma.flags);
  const prefix =
    file === null
      ? header(vma.start, vma.end, perms, 0, 0, 0)
      : header(vma.start, vma.end, perms, vma.pgoff, file.dev, file.ino);
  return named(prefix, manglePath(vmaName(vma), '\n'));
}

/** The line above the sums of smaps_rollup. */
export function showRollupHeader(start: Vaddr, end: Vaddr): string {
  return named(header(start, end, '---p', 0, 0, 0), '[rollup]');
}

/** State of an open maps or smaps file: file.data. @linux fs/proc/internal.h:proc_maps_private */
class ProcMapsPrivate {
  /** The address space the task had at open(); null for one that had none. */
  readonly mm: MmStruct | null;
  /** Position of the file that `rest` and then the VMA at `next` continue. */
  readPos = 0;
  /** Bytes of records already made that no read has taken yet. */
  rest: Buffer = Buffer.alloc(0);
  /** The next record is of the first VMA that ends behind this address. */
  next: Vaddr = 0;

  constructor(mm: MmStruct | null) {
    this.mm = mm;
  }
}

function mapsPrivate(file: File): ProcMapsPrivate {
  return file.data as ProcMapsPrivate;
}

function procMapsOpen(file: File, ctx: FsContext): number {
  const mm = procMemOpen(file, ctx);
  if (typeof mm === 'number') return mm;
  file.data = new ProcMapsPrivate(mm);
  return 0;
}

type ShowVma = (vma: Vma) => string;

/**
 * Makes records until `want` bytes are there or the next one does not fit the buffer.
 * @returns what it made; empty at the end.
 */
function fillRecords(priv: ProcMapsPrivate, show: ShowVma, want: number): Buffer {
  const { mm } = priv;
  let text = '';
  if (mm === null || mm.users === 0) return Buffer.alloc(0);
  for (let vma = mm.vmas.find(priv.next); vma !== undefined; vma = mm.vmas.next(vma)) {
    const record = show(vma);
    if (text.length !== 0 && text.length + record.length > SEQ_BUFFER) break;
    text += record;
    priv.next = vma.end;
    if (text.length >= want) break;
  }
  return Buffer.from(text, 'latin1');
}

/** Makes everything before `pos` again, after a seek. @linux fs/seq_file.c:traverse */
function traverse(priv: ProcMapsPrivate, show: ShowVma, pos: number): void {
  priv.readPos = 0;
  priv.next = 0;
  priv.rest = Buffer.alloc(0);
  while (priv.readPos < pos) {
    const made = fillRecords(priv, show, 1);
    if (made.length === 0) return;
    const skip = Math.min(made.length, pos - priv.readPos);
    priv.readPos += skip;
    priv.rest = made.subarray(skip);
  }
}

/** @returns bytes, 0 at the end or when the address space is gone, -ESRCH for a dead task, or -EFAULT. @linux fs/seq_file.c:seq_read_iter */
function seqReadVmas(file: File, to: IovIter, pos: number, show: ShowVma): number {
  if (getProcTask(file.inode) === null) return -ESRCH;
  const priv = mapsPrivate(file);
  if (pos === 0 || pos !== priv.readPos) traverse(priv, show, pos);
  if (pos !== priv.readPos || to.remaining === 0) return 0;
  if (priv.rest.length < to.remaining) {
    const more = fillRecords(priv, show, to.remaining - priv.rest.length);
    priv.rest = Buffer.concat([priv.rest, more]);
  }
  const want = Math.min(priv.rest.length, to.remaining);
  const n = copyToIter(to, priv.rest, 0, want);
  priv.rest = priv.rest.subarray(n);
  priv.readPos += n;
  return n === 0 && want !== 0 ? -EFAULT : n;
}

/** Operations of a file with one record a VMA. */
export function vmaSeqOps(show: ShowVma): FileOps {
  return {
    open: procMapsOpen,
    read: (file, to, pos) => seqReadVmas(file, to, pos, show),
    llseek: dirLlseek,
  };
}

/** @returns 0, -ENOTTY or what doProcmapQuery() returns. @linux procfs_procmap_ioctl */
function procmapIoctl(file: File, cmd: number, arg: number, mm: MmStruct): number {
  return cmd === PROCMAP_QUERY ? doProcmapQuery(mapsPrivate(file).mm, mm, arg) : -ENOTTY;
}

export const MAPS_OPS: FileOps = { ...vmaSeqOps(showMapVma), ioctl: procmapIoctl };
