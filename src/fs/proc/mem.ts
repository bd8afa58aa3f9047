/** /proc/PID/mem, cmdline and environ: the memory of a task itself. @linux fs/proc/base.c:mem_rw */

import { PAGE_SIZE } from '../../arch/riscv/memlayout.ts';
import { ARG_STRINGS_MAX } from '../../kernel/exec_stack.ts';
import { highHalf, lowHalf } from '../../lib/bits.ts';
import { copyFromIter, copyToIter, type IovIter } from '../../mm/iov_iter.ts';
import type { MmStruct } from '../../mm/mm_types.ts';
import { getUser8, rawCopyFromUser, rawCopyToUser } from '../../mm/uaccess.ts';
import { EFAULT, EIO, ESRCH } from '../../uapi/errno.ts';
import type { File, FileOps } from '../fs_types.ts';
import { dirLlseek } from '../llseek.ts';
import { getProcTask, openMm } from './pid.ts';

/** Bytes copied at a time. */
const CHUNK = 64 * 1024;

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

/** @returns bytes, 0 when the address space is gone, -EIO where nothing is mapped, -ESRCH or -EFAULT. */
function memRead(file: File, to: IovIter, pos: number): number {
  const task = getProcTask(file.inode);
  if (task === null) return -ESRCH;
  if (task.mm === null) return 0;
  const buffer = new Uint8Array(Math.min(to.remaining, CHUNK));
  let done = 0;
  while (to.remaining > 0) {
    const want = Math.min(buffer.length, to.remaining);
    const got = rawCopyFromUser(task.mm, buffer, 0, pos + done, want);
    if (got === 0) return done === 0 ? -EIO : done;
    const copied = copyToIter(to, buffer, 0, got);
    if (copied === 0) return done === 0 ? -EFAULT : done;
    done += copied;
    if (copied < want) break;
  }
  return done;
}

/** As memRead(). Unlike Linux it does not write what the task itself could not. */
function memWrite(file: File, from: IovIter, pos: number): number {
  const task = getProcTask(file.inode);
  if (task === null) return -ESRCH;
  if (task.mm === null) return 0;
  const buffer = new Uint8Array(Math.min(from.remaining, CHUNK));
  let done = 0;
  while (from.remaining > 0) {
    const want = Math.min(buffer.length, from.remaining);
    const got = copyFromIter(from, buffer, 0, want);
    if (got === 0) return done === 0 ? -EFAULT : done;
    const copied = rawCopyToUser(task.mm, pos + done, buffer, 0, got);
    if (copied === 0) return done === 0 ? -EIO : done;
    done += copied;
    if (copied < want) break;
  }
  return done;
}

export const MEM_OPS: FileOps = { open: openMm, read: memRead, write: memWrite, llseek: dirLlseek };
