/**
 * Filling in pages of registered memory.
 *
 * @linux mm/userfaultfd.c:mfill_atomic
 */

import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import { mkPte, PTE_SPECIAL, type Pfn, type Vaddr } from '../arch/riscv/pgtable.ts';
import { EEXIST, EFAULT, ENOENT, ENOMEM } from '../uapi/errno.ts';
import { anonVmaPrepare } from './anon_vma.ts';
import { pteAlloc } from './cow_pte.ts';
import { addToPageCache } from './filemap.ts';
import { setFilePte, setNewAnonPte } from './memory.ts';
import type { MmStruct, UserfaultfdCtx, Vma } from './mm_types.ts';
import { allocPage, allocZeroedPage, freePage } from './page_alloc.ts';
import { NO_PFN, PG_DIRTY } from './page.ts';
import { NO_PTEP } from './pgtable.ts';
import { vmGetPageProt } from './pte_ops.ts';
import { rawCopyFromUser } from './uaccess.ts';
import { FAULT_FLAG_WRITE } from './vm_fault.ts';
import { VM_SHARED, VM_WRITE, vmaIsAnonymous } from './vma.ts';

/** Where the bytes come from; null for zeroes. */
export interface MfillSource {
  readonly mm: MmStruct;
  readonly addr: Vaddr;
}

/** A frame with the contents, not yet anybody's. @returns it, or NO_PFN. */
function fillPage(mm: MmStruct, source: MfillSource | null, offset: number): Pfn | number {
  const { pgdat } = mm;
  const pfn = source === null ? allocZeroedPage(pgdat) : allocPage(pgdat);
  if (pfn === NO_PFN) return -ENOMEM;
  if (source === null) return pfn;
  const { u8 } = pgdat.ram;
  const from = source.addr + offset;
  if (rawCopyFromUser(source.mm, u8, pfn * PAGE_SIZE, from, PAGE_SIZE) === PAGE_SIZE) return pfn;
  freePage(pgdat, pfn);
  return -EFAULT;
}

/** A page of a shared mapping: it becomes the file's. @linux mm/userfaultfd.c:mfill_atomic_install_pte */
function fillShared(vma: Vma, addr: Vaddr, source: MfillSource | null, offset: number): number {
  const { mapping } = vma.file!;
  const index = vma.pgoff + (addr - vma.start) / PAGE_SIZE;
  if (index * PAGE_SIZE >= mapping.ops.size(mapping)) return -EFAULT;
  const pfn = fillPage(vma.mm, source, offset);
  if (pfn < 0) return pfn;
  const ptep = pteAlloc(vma.mm, addr);
  if (ptep === NO_PTEP || vma.mm.pgdat.ram.u32[ptep] !== 0 || mapping.pages.get(index) !== 0) {
    freePage(vma.mm.pgdat, pfn as Pfn);
    return ptep === NO_PTEP ? -ENOMEM : -EEXIST;
  }
  addToPageCache(mapping, index, pfn as Pfn);
  vma.mm.pgdat.page.flags[pfn]! |= PG_DIRTY;
  setFilePte(vma, ptep, pfn as Pfn, (vma.flags & VM_WRITE) === 0 ? 0 : FAULT_FLAG_WRITE);
  return 0;
}

/** A page of private memory. @linux mm/userfaultfd.c:mfill_atomic_pte_copy, mfill_atomic_pte_zeropage */
function fillPrivate(vma: Vma, addr: Vaddr, source: MfillSource | null, offset: number): number {
  const { mm } = vma;
  const { u32 } = mm.pgdat.ram;
  let ptep = pteAlloc(mm, addr);
  if (ptep === NO_PTEP) return -ENOMEM;
  if (u32[ptep] !== 0) return -EEXIST;
  if (source === null) {
    u32[ptep] = mkPte(mm.pgdat.zeroPfn, vmGetPageProt(vma.flags) | PTE_SPECIAL);
    return 0;
  }
  if (anonVmaPrepare(vma) !== 0) return -ENOMEM;
  const pfn = fillPage(mm, source, offset);
  if (pfn < 0) return pfn;
  // Reading the source may have faulted, and taken the table away.
  ptep = pteAlloc(mm, addr);
  if (ptep === NO_PTEP || u32[ptep] !== 0) {
    freePage(mm.pgdat, pfn as Pfn);
    return ptep === NO_PTEP ? -ENOMEM : -EEXIST;
  }
  setNewAnonPte(vma, addr, ptep, pfn as Pfn);
  return 0;
}

/**
 * Maps pages at [start, start + len), which are missing.
 *
 * @returns bytes filled; when there are none: -ENOENT (not one registered mapping), -EEXIST
 *   (the page is there), -EFAULT (the source cannot be read, or the file ends before), -ENOMEM.
 * @linux mm/userfaultfd.c:mfill_atomic
 * @patch 10/14
 */
export function mfillAtomic(
  ctx: UserfaultfdCtx,
  start: Vaddr,
  len: number,
  source: MfillSource | null,
): number {
  for (let done = 0; ; done += PAGE_SIZE) {
    if (done === len) return done;
    const vma = ctx.mm.vmas.find(start + done);
    const fits = vma !== undefined && vma.start <= start + done && start + len <= vma.end;
    let err = fits && vma.uffdCtx !== null ? 0 : -ENOENT;
    if (err === 0) {
      const shared = !vmaIsAnonymous(vma!) && (vma!.flags & VM_SHARED) !== 0;
      const fill = shared ? fillShared : fillPrivate;
      err = fill(vma!, start + done, source, done);
    }
    if (err !== 0) return done > 0 ? done : err;
  }
}
