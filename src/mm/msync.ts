/** Writing shared file mappings back. @linux mm/msync.c */

import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import { pageAlignUp, TASK_SIZE, type Vaddr } from '../arch/riscv/pgtable.ts';
import { EBUSY, EINVAL, ENOMEM } from '../uapi/errno.ts';
import { MS_ASYNC, MS_INVALIDATE, MS_SYNC } from '../uapi/mman.ts';
import { filemapFdatawrite } from './filemap.ts';
import type { MmStruct, Vma } from './mm_types.ts';
import { VM_LOCKED, VM_SHARED } from './vma.ts';

/** Writes back what [start, end) of a shared mapping has changed, if its file has a store. @returns 0 or -EIO. */
function syncVma(vma: Vma, start: Vaddr, end: Vaddr): number {
  if (vma.file === null || (vma.flags & VM_SHARED) === 0) return 0;
  const offset = vma.pgoff * PAGE_SIZE - vma.start;
  return filemapFdatawrite(vma.file.mapping, start + offset, end + offset);
}

/**
 * Writes shared file mappings back (MS_SYNC). A shared mapping and write(2) use the same pages
 * of the page cache, so there is nothing else to bring together.
 *
 * @returns 0; -EINVAL; -EBUSY (MS_INVALIDATE of locked memory); -ENOMEM (something is not
 *   mapped); -EIO.
 * @linux mm/msync.c:SYSCALL_DEFINE3(msync)
 */
export function doMsync(mm: MmStruct, start: Vaddr, len: number, flags: number): number {
  if ((flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) !== 0 || start % PAGE_SIZE !== 0)
    return -EINVAL;
  if ((flags & MS_ASYNC) !== 0 && (flags & MS_SYNC) !== 0) return -EINVAL;
  if (len > TASK_SIZE || start > TASK_SIZE) return -ENOMEM;
  const end = start + pageAlignUp(len);
  let unmapped = 0;
  for (let addr = start; addr < end; ) {
    const vma = mm.vmas.find(addr);
    if (vma === undefined) return -ENOMEM;
    if (vma.start > addr) {
      if (flags === MS_ASYNC || vma.start >= end) return -ENOMEM;
      unmapped = -ENOMEM;
    }
    if ((flags & MS_INVALIDATE) !== 0 && (vma.flags & VM_LOCKED) !== 0) return -EBUSY;
    const from = Math.max(vma.start, addr);
    addr = vma.end;
    if ((flags & MS_SYNC) === 0) continue;
    const err = syncVma(vma, from, Math.min(vma.end, end));
    if (err !== 0) return err;
  }
  return unmapped;
}
