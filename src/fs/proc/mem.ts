/** /proc/PID/mem, cmdline and environ: the memory of a task itself. @linux fs/proc/base.c:mem_rw */

import { PAGE_SIZE } from '../../arch/riscv/memlayout.ts';
import { ARG_STRINGS_MAX } from '../../kernel/exec_stack.ts';
import { highHalf, lowHalf } from '../../lib/bits.ts';
import { accessRemoteVm } from '../../mm/access_process_vm.ts';
import { FOLL_FORCE, FOLL_WRITE } from '../../mm/gup.ts';
import { copyFromIter, copyToIter, type IovIter } from '../../mm/iov_iter.ts';
import type { MmStruct } from '../../mm/mm_types.ts';
import { getUser8, rawCopyFromUser } from '../../mm/uaccess.ts';
import { EFAULT, EIO } from '../../uapi/errno.ts';
import type { File, FileOps, FsContext } from '../fs_types.ts';
import { dirLlseek } from '../llseek.ts';
import { getProcTask, openMm } from './pid.ts';

/** Bytes of [start, end) that can be read, as a byte string; no more than exec puts there. */
function readRange(mm: MmStruct, start: number, end: number): string {
  if (end <= start) return '';
  const bytes = Buffer.alloc(Math.min(end - start, ARG_STRINGS_MAX));
  return bytes.toString('latin1', 0, rawCopyFromUser(mm, bytes, 0, start, bytes.length));
}

/**
 * The arguments, each with its NUL. A program that has overwritten the last NUL uses the
 * room for a title of its own, up to the next NUL.
 * @linux fs/proc/base.c:get_mm_cmdline
 */
export function showCmdline(mm: MmStruct): string {
  const { argStart, argEnd, envEnd } = mm;
  if (argEnd <= argStart) return '';
  if (getUser8(mm, argEnd - 1) === 0) return readRange(mm, argStart, argEnd);
  const title = readRange(mm, argStart, Math.min(Math.max(argEnd, envEnd), argStart + PAGE_SIZE));
  const nul = title.indexOf('\0');
  return nul < 0 ? title : title.slice(0, nul);
}

export function showEnviron(mm: MmStruct): string {
  return readRange(mm, mm.envStart, mm.envEnd);
}

/** The auxiliary vector as pairs of unsigned longs. @linux fs/proc/base.c:proc_pid_auxv */
export function showAuxv(mm: MmStruct): string {
  const bytes = Buffer.alloc(mm.savedAuxv.length * 8);
  mm.savedAuxv.forEach((word, i) => {
    bytes.writeUInt32LE(lowHalf(word) >>> 0, i * 8);
    bytes.writeUInt32LE(highHalf(word) >>> 0, i * 8 + 4);
  });
  return bytes.toString('latin1');
}

/** open(): the file stands for the address space as it is now. @linux fs/proc/base.c:mem_open */
function memOpen(file: File, ctx: FsContext): number {
  const err = openMm(file, ctx);
  if (err === 0) file.data = getProcTask(file.inode)?.mm ?? null;
  return err;
}

/** The address space of an open file; null when it has ended. */
function memMm(file: File): MmStruct | null {
  const mm = file.data as MmStruct | null;
  return mm === null || mm.users === 0 ? null : mm;
}

/** @returns bytes, 0 when the address space is gone, -EIO where nothing can be had, or -EFAULT. @linux fs/proc/base.c:mem_rw */
function memRead(file: File, to: IovIter, pos: number): number {
  const mm = memMm(file);
  if (mm === null) return 0;
  const buffer = new Uint8Array(Math.min(to.remaining, PAGE_SIZE));
  let done = 0;
  while (to.remaining > 0) {
    const want = Math.min(buffer.length, to.remaining);
    const got = accessRemoteVm(mm, pos + done, buffer.subarray(0, want), FOLL_FORCE);
    if (got === 0) return done === 0 ? -EIO : done;
    if (copyToIter(to, buffer, 0, got) < got) return -EFAULT;
    done += got;
  }
  return done;
}

/** As memRead(): also where the process itself may only read, in private mappings. */
function memWrite(file: File, from: IovIter, pos: number): number {
  const mm = memMm(file);
  if (mm === null) return 0;
  const buffer = new Uint8Array(Math.min(from.remaining, PAGE_SIZE));
  let done = 0;
  while (from.remaining > 0) {
    const want = Math.min(buffer.length, from.remaining);
    if (copyFromIter(from, buffer, 0, want) < want) return -EFAULT;
    const flags = FOLL_FORCE | FOLL_WRITE;
    const put = accessRemoteVm(mm, pos + done, buffer.subarray(0, want), flags);
    if (put === 0) return done === 0 ? -EIO : done;
    done += put;
    if (put < want) break;
  }
  return done;
}

export const MEM_OPS: FileOps = {
  open: memOpen,
  read: memRead,
  write: memWrite,
  llseek: dirLlseek,
};
