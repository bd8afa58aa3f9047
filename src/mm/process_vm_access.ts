/**
 * Copying between two address spaces: process_vm_readv, process_vm_writev.
 *
 * @linux mm/process_vm_access.c
 */

import { icacheInvalidateFrame } from '../arch/riscv/icache.ts';
import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import { pageAlignDown, TASK_SIZE, type Pfn, type Vaddr } from '../arch/riscv/pgtable.ts';
import { EFAULT } from '../uapi/errno.ts';
import { FOLL_WRITE, getUserPageVmaRemote, pinUserPages, unpinUserPagesDirtyLock } from './gup.ts';
import { copyFromIter, copyToIter, type IovIter, type UserSegment } from './iov_iter.ts';
import type { MmStruct } from './mm_types.ts';
import { getPage, putPage } from './page_alloc.ts';

/** Out of one page of `mm`. The local copy may fault and so free frames: this one is held on to. */
function readPage(mm: MmStruct, addr: Vaddr, n: number, to: IovIter): number {
  const { pgdat } = mm;
  const vma = mm.vmas.find(addr);
  if (vma === undefined || vma.start > addr) return -EFAULT;
  const pfn = getUserPageVmaRemote(vma, addr, 0) as Pfn;
  if (pfn < 0) return -EFAULT;
  getPage(pgdat, pfn);
  const copied = copyToIter(to, pgdat.ram.u8, pfn * PAGE_SIZE + (addr % PAGE_SIZE), n);
  putPage(pgdat, pfn);
  return copied === n ? 0 : -EFAULT;
}

/** Into one page of `mm`. */
function writePage(mm: MmStruct, addr: Vaddr, n: number, from: IovIter): number {
  const { pgdat } = mm;
  const page = new Int32Array(1);
  if (pinUserPages(mm, pageAlignDown(addr), FOLL_WRITE, page) !== 1) return -EFAULT;
  const pfn = page[0] as Pfn;
  icacheInvalidateFrame(pgdat.ram, pfn);
  const copied = copyFromIter(from, pgdat.ram.u8, pfn * PAGE_SIZE + (addr % PAGE_SIZE), n);
  unpinUserPagesDirtyLock(pgdat, page);
  return copied === n ? 0 : -EFAULT;
}

/** One remote segment. @returns 0, or -EFAULT with part of it copied. @linux mm/process_vm_access.c:process_vm_rw_single_vec */
function processVmRwSingleVec(
  mm: MmStruct,
  segment: UserSegment,
  local: IovIter,
  write: boolean,
): number {
  const { addr, len } = segment;
  let done = 0;
  while (done < len && local.remaining > 0) {
    const at = addr + done;
    if (at >= TASK_SIZE) return -EFAULT;
    const n = Math.min(PAGE_SIZE - (at % PAGE_SIZE), len - done, local.remaining);
    const err = write ? writePage(mm, at, n, local) : readPage(mm, at, n, local);
    if (err !== 0) return err;
    done += n;
  }
  return 0;
}

/**
 * Copies from (or, with `write`, to) the segments of `mm` to the local iterator, as far as both
 * go.
 * @returns bytes copied, or -EFAULT when there are none.
 * @linux mm/process_vm_access.c:process_vm_rw_core
 */
export function processVmRw(
  mm: MmStruct,
  remote: readonly UserSegment[],
  local: IovIter,
  write: boolean,
): number {
  const total = local.remaining;
  let err = 0;
  for (let i = 0; i < remote.length && local.remaining > 0 && err === 0; i++) {
    err = processVmRwSingleVec(mm, remote[i]!, local, write);
  }
  const done = total - local.remaining;
  return done > 0 ? done : err;
}
