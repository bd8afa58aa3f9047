/** Which pages are resident. @linux mm/mincore.c */

import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import { pageAlignUp, PTE_V, TASK_SIZE, type Pte, type Vaddr } from '../arch/riscv/pgtable.ts';
import { EFAULT, EINVAL, ENOMEM } from '../uapi/errno.ts';
import type { MmStruct, Vma } from './mm_types.ts';
import { NO_PFN } from './page.ts';
import { NO_PTEP, ptePtrOf } from './pgtable.ts';
import { lookupSwapCache } from './swap_state.ts';
import { isSwapPte, pteToSwapEntry } from './swap_types.ts';
import { copyToUser } from './uaccess.ts';

/** Result bytes made at a time. */
const CHUNK_PAGES = PAGE_SIZE;

/** A page that is mapped, or that a fault would find in the page cache or the swap cache. Shared tables are read as they are. */
function pageResident(vma: Vma, addr: Vaddr): boolean {
  const { mm } = vma;
  const ptep = ptePtrOf(mm, addr);
  const pte = (ptep === NO_PTEP ? 0 : mm.pgdat.ram.u32[ptep]!) as Pte;
  if ((pte & PTE_V) !== 0) return true;
  if (isSwapPte(pte)) return lookupSwapCache(mm.pgdat, pteToSwapEntry(pte)) !== NO_PFN;
  if (vma.file === null || vma.ops === null) return false;
  return vma.file.mapping.pages.get(vma.pgoff + (addr - vma.start) / PAGE_SIZE) > 0;
}

/**
 * Writes one byte a page to `vec`: 1 if the page is resident.
 * @returns 0; -EINVAL (not aligned); -ENOMEM (something is not mapped: the bytes before it are
 *   written); -EFAULT (`vec` cannot be written).
 * @linux mm/mincore.c:SYSCALL_DEFINE3(mincore)
 */
export function doMincore(mm: MmStruct, start: Vaddr, len: number, vec: Vaddr): number {
  if (start % PAGE_SIZE !== 0) return -EINVAL;
  if (len > TASK_SIZE || start + len > TASK_SIZE) return -ENOMEM;
  const end = start + pageAlignUp(len);
  if (vec > TASK_SIZE - (end - start) / PAGE_SIZE) return -EFAULT;
  for (let addr = start; addr < end; ) {
    const vma = mm.vmas.find(addr);
    if (vma === undefined || vma.start > addr) return -ENOMEM;
    const to = Math.min(vma.end, end, addr + CHUNK_PAGES * PAGE_SIZE);
    const bytes = new Uint8Array((to - addr) / PAGE_SIZE);
    for (let i = 0; i < bytes.length; i++) {
      bytes[i] = pageResident(vma, addr + i * PAGE_SIZE) ? 1 : 0;
    }
    const err = copyToUser(mm, vec + (addr - start) / PAGE_SIZE, bytes);
    if (err !== 0) return err;
    addr = to;
  }
  return 0;
}
