/** Stacks that grow down when they are touched below their end. @linux mm/vma.c:expand_downwards */

import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import { pageAlignDown, type Vaddr } from '../arch/riscv/pgtable.ts';
import { ENOMEM, EPERM } from '../uapi/errno.ts';
import { anonVmaPrepare } from './anon_vma.ts';
import {
  mayExpandVm,
  mlockFutureOk,
  MMAP_MIN_ADDR,
  STACK_GUARD_GAP,
  vmEnoughMemory,
} from './mmap_limits.ts';
import type { Vma } from './mm_types.ts';
import { VM_ACCESS_FLAGS, VM_GROWSDOWN } from './vma.ts';
import { vmaSetRange } from './vma_link.ts';

/** Limits on a stack of `size` bytes that grows by `pages`. @linux mm/mmap.c:acct_stack_growth */
function acctStackGrowth(vma: Vma, size: number, pages: number): number {
  const { mm } = vma;
  if (!mayExpandVm(mm, vma.flags, pages)) return -ENOMEM;
  if (size > mm.limits.stack) return -ENOMEM;
  if (!mlockFutureOk(mm, vma.flags, pages * PAGE_SIZE)) return -ENOMEM;
  return vmEnoughMemory(mm, pages) ? 0 : -ENOMEM;
}

/**
 * Grows a VM_GROWSDOWN VMA so that it holds `addr`, which lies below it.
 * @returns 0, -ENOMEM (limits, or too close to the mapping below), or -EPERM below mmap_min_addr.
 * @linux mm/vma.c:expand_downwards
 */
export function expandStack(vma: Vma, addr: Vaddr): number {
  if ((vma.flags & VM_GROWSDOWN) === 0) return -ENOMEM;
  const start = pageAlignDown(addr);
  if (start < MMAP_MIN_ADDR) return -EPERM;
  const prev = vma.mm.vmas.prev(vma);
  if (prev !== undefined && (prev.flags & VM_GROWSDOWN) === 0) {
    const accessible = (prev.flags & VM_ACCESS_FLAGS) !== 0;
    if (accessible && start - prev.end < STACK_GUARD_GAP) return -ENOMEM;
  }
  const pages = (vma.start - start) / PAGE_SIZE;
  if (pages <= 0) return 0;
  if (pages > vma.pgoff) return -ENOMEM;
  if (anonVmaPrepare(vma) !== 0) return -ENOMEM;
  const err = acctStackGrowth(vma, vma.end - start, pages);
  if (err !== 0) return err;
  vmaSetRange(vma, start, vma.end);
  return 0;
}
