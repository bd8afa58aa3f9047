/** Writing shared file mappings back. @linux mm/msync.c */

import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import { pageAlignUp, TASK_SIZE, type Vaddr } from '../arch/riscv/pgtable.ts';
import { EBUSY, EINVAL, ENOMEM } from '../uapi/errno.ts';
import { MS_ASYNC, MS_INVALIDATE, MS_SYNC } from '../uapi/mman.ts';
import type { MmStruct } from './mm_types.ts';
import { VM_LOCKED } from './vma.ts';

/**
 * Checks the range as Linux does. There is nothing to write: a shared mapping and write(2)
 * use the same page-cache pages, and no writable file has a store behind its page cache.
 *
 * @returns 0; -EINVAL; -EBUSY (MS_INVALIDATE of locked memory); -ENOMEM (something is not mapped).
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
    addr = vma.end;
  }
  return unmapped;
}
