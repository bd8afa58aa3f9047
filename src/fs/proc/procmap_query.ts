/**
 * ioctl PROCMAP_QUERY on /proc/PID/maps: one VMA, looked up by address and by what it must
 * have, in binary.
 *
 * @linux fs/proc/task_mmu.c:do_procmap_query
 */

import { PAGE_SIZE } from '../../arch/riscv/memlayout.ts';
import type { Vaddr } from '../../arch/riscv/pgtable.ts';
import { buildIdParseFile } from '../../kernel/buildid.ts';
import { getU64, setU64 } from '../../lib/bits.ts';
import type { MmStruct, Vma } from '../../mm/mm_types.ts';
import { copyFromUser, copyToUser, getUser64 } from '../../mm/uaccess.ts';
import { VM_EXEC, VM_MAYSHARE, VM_READ, VM_WRITE } from '../../mm/vma.ts';
import { E2BIG, EFAULT, EINVAL, ENAMETOOLONG, ENOENT, ESRCH } from '../../uapi/errno.ts';
import { PATH_MAX } from '../../uapi/fcntl.ts';
import * as uapi from '../../uapi/fs.ts';
import { devMajor, devMinor } from '../../uapi/stat.ts';
import { vmaFile, vmaName } from './vma_name.ts';

const QUERY_VMA_FLAGS =
  uapi.PROCMAP_QUERY_VMA_READABLE |
  uapi.PROCMAP_QUERY_VMA_WRITABLE |
  uapi.PROCMAP_QUERY_VMA_EXECUTABLE |
  uapi.PROCMAP_QUERY_VMA_SHARED;
const QUERY_VALID_FLAGS =
  QUERY_VMA_FLAGS | uapi.PROCMAP_QUERY_COVERING_OR_NEXT_VMA | uapi.PROCMAP_QUERY_FILE_BACKED_VMA;

/** The fields a caller must at least pass. */
const MIN_BYTES = uapi.PQ_QUERY_ADDR + 8;

/** PROCMAP_QUERY_VMA_* of a VMA. */
function queryFlags(vma: Vma): number {
  let flags = 0;
  if ((vma.flags & VM_READ) !== 0) flags |= uapi.PROCMAP_QUERY_VMA_READABLE;
  if ((vma.flags & VM_WRITE) !== 0) flags |= uapi.PROCMAP_QUERY_VMA_WRITABLE;
  if ((vma.flags & VM_EXEC) !== 0) flags |= uapi.PROCMAP_QUERY_VMA_EXECUTABLE;
  if ((vma.flags & VM_MAYSHARE) !== 0) flags |= uapi.PROCMAP_QUERY_VMA_SHARED;
  return flags;
}

/** The VMA that covers `addr`, or with the flag the next one, that has all that `flags` asks for. */
function queryMatchingVma(mm: MmStruct, addr: Vaddr, flags: number): Vma | null {
  const wanted = flags & QUERY_VMA_FLAGS;
  const orNext = (flags & uapi.PROCMAP_QUERY_COVERING_OR_NEXT_VMA) !== 0;
  const fileBacked = (flags & uapi.PROCMAP_QUERY_FILE_BACKED_VMA) !== 0;
  for (let vma = mm.vmas.find(addr); vma !== undefined; vma = mm.vmas.next(vma)) {
    const matches = (queryFlags(vma) & wanted) === wanted && (!fileBacked || vmaFile(vma) !== null);
    if (matches && (orNext || vma.start <= addr)) return vma;
    if (!orNext) return null;
  }
  return null;
}

/**
 * Copies in a structure of `size` bytes of which the first of ours are known.
 * @returns 0, -EFAULT, or -E2BIG when a byte that is not known is not zero.
 * @linux include/linux/uaccess.h:copy_struct_from_user
 */
function copyStructFromUser(mm: MmStruct, karg: Uint8Array, arg: Vaddr, size: number): number {
  const known = Math.min(size, karg.length);
  const rest = new Uint8Array(size - known);
  if (copyFromUser(mm, karg.subarray(0, known), arg) !== 0) return -EFAULT;
  if (copyFromUser(mm, rest, arg + known) !== 0) return -EFAULT;
  return rest.some((byte) => byte !== 0) ? -E2BIG : 0;
}

/** @returns 0, -EFAULT, -E2BIG or -EINVAL. */
function getArgs(mm: MmStruct, karg: Uint8Array, view: DataView, arg: Vaddr): number {
  const size = getUser64(mm, arg);
  if (size < 0) return -EFAULT;
  if (size > PAGE_SIZE) return -E2BIG;
  if (size < MIN_BYTES) return -EINVAL;
  const err = copyStructFromUser(mm, karg, arg, size);
  if (err !== 0) return err;
  const unknown = view.getInt32(uapi.PQ_QUERY_FLAGS, true) & ~QUERY_VALID_FLAGS;
  if (unknown !== 0 || view.getInt32(uapi.PQ_QUERY_FLAGS + 4, true) !== 0) return -EINVAL;
  const nameSize = view.getUint32(uapi.PQ_VMA_NAME_SIZE, true);
  if ((nameSize !== 0) !== (getU64(view, uapi.PQ_VMA_NAME_ADDR) !== 0)) return -EINVAL;
  const idSize = view.getUint32(uapi.PQ_BUILD_ID_SIZE, true);
  return (idSize !== 0) === (getU64(view, uapi.PQ_BUILD_ID_ADDR) !== 0) ? 0 : -EINVAL;
}

function describeVma(view: DataView, vma: Vma): void {
  const file = vmaFile(vma);
  setU64(view, uapi.PQ_VMA_START, vma.start);
  setU64(view, uapi.PQ_VMA_END, vma.end);
  setU64(view, uapi.PQ_VMA_FLAGS, queryFlags(vma));
  setU64(view, uapi.PQ_VMA_PAGE_SIZE, PAGE_SIZE);
  setU64(view, uapi.PQ_VMA_OFFSET, file === null ? 0 : vma.pgoff * PAGE_SIZE);
  setU64(view, uapi.PQ_INODE, file === null ? 0 : file.ino);
  view.setUint32(uapi.PQ_DEV_MAJOR, file === null ? 0 : devMajor(file.dev), true);
  view.setUint32(uapi.PQ_DEV_MINOR, file === null ? 0 : devMinor(file.dev), true);
}

/** The name with its NUL, empty if it has none; null when it is longer than `size` bytes. */
function nameBytes(vma: Vma, size: number): Buffer | null {
  const name = vmaName(vma);
  if (name === '' || size === 0) return Buffer.alloc(0);
  return name.length + 1 > Math.min(size, PATH_MAX) ? null : Buffer.from(`${name}\0`, 'latin1');
}

/**
 * Answers the query at `arg` in the memory of `caller` about `mm`, which was open()ed.
 *
 * @returns 0; -ENOENT when no VMA matches; -ENAMETOOLONG when name or build id do not fit;
 *   -E2BIG for a structure that is too large or has unknown fields set; -EINVAL for one that is
 *   too small, unknown flags, or a buffer without a size; -ESRCH when `mm` is gone; -EFAULT.
 * @linux fs/proc/task_mmu.c:do_procmap_query
 */
export function doProcmapQuery(mm: MmStruct | null, caller: MmStruct, arg: Vaddr): number {
  const karg = new Uint8Array(uapi.PROCMAP_QUERY_BYTES);
  const view = new DataView(karg.buffer);
  const err = getArgs(caller, karg, view, arg);
  if (err !== 0) return err;
  if (mm === null || mm.users === 0) return -ESRCH;
  const flags = view.getInt32(uapi.PQ_QUERY_FLAGS, true);
  const vma = queryMatchingVma(mm, getU64(view, uapi.PQ_QUERY_ADDR), flags);
  if (vma === null) return -ENOENT;
  const usize = getU64(view, 0);
  const idSize = view.getUint32(uapi.PQ_BUILD_ID_SIZE, true);
  describeVma(view, vma);
  const name = nameBytes(vma, view.getUint32(uapi.PQ_VMA_NAME_SIZE, true));
  if (name === null) return -ENAMETOOLONG;
  view.setUint32(uapi.PQ_VMA_NAME_SIZE, name.length, true);
  const file = idSize === 0 ? null : vmaFile(vma);
  const id = (file === null ? null : buildIdParseFile(file)) ?? new Uint8Array(0);
  if (id.length > idSize) return -ENAMETOOLONG;
  view.setUint32(uapi.PQ_BUILD_ID_SIZE, id.length, true);
  if (copyToUser(caller, getU64(view, uapi.PQ_VMA_NAME_ADDR), name) !== 0) return -EFAULT;
  if (copyToUser(caller, getU64(view, uapi.PQ_BUILD_ID_ADDR), id) !== 0) return -EFAULT;
  return copyToUser(caller, arg, karg.subarray(0, Math.min(karg.length, usize)));
}
