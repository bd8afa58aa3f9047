/**
 * Memory for secrets: pages that only their owners' mappings reach. The kernel takes no
 * reference to them (gup.ts refuses), reclaim never writes them anywhere, and they count
 * against RLIMIT_MEMLOCK of their user from the first touch to the end of the file.
 *
 * @linux mm/secretmem.c
 */

import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import type { Pfn } from '../arch/riscv/pgtable.ts';
import { EINVAL, ENOMEM } from '../uapi/errno.ts';
import { LAST_INDEX } from './address_space.ts';
import { filemapGetPage } from './filemap.ts';
import type { AddressSpace, AddressSpaceOps, Vma, VmOperations } from './mm_types.ts';
import { clearPage } from './page_alloc.ts';
import { VM_FAULT_OOM, VM_FAULT_SIGBUS } from './vm_fault.ts';
import { VM_DONTDUMP, VM_MAYSHARE, VM_SHARED } from './vma.ts';

/** What a user has locked beyond any mapping, in pages. @linux include/linux/sched/user.h */
export class UserStruct {
  lockedVm = 0;
}

/** Operations of one secretmem file's page cache, with what it has been charged. */
export interface SecretmemOps extends AddressSpaceOps {
  readonly user: UserStruct;
  /** Pages, counted in user.lockedVm. */
  accounted: number;
}

function opsOf(mapping: AddressSpace): SecretmemOps {
  return mapping.ops as SecretmemOps;
}

/** Charges a page that the file does not have yet. @returns false over the limit. @linux mm/secretmem.c:secretmem_account_folio */
function accountPage(ops: SecretmemOps, limitBytes: number): boolean {
  if (ops.user.lockedVm + 1 > Math.floor(limitBytes / PAGE_SIZE)) return false;
  ops.user.lockedVm++;
  ops.accounted++;
  return true;
}

function unaccountPages(ops: SecretmemOps, pages: number): void {
  ops.user.lockedVm -= pages;
  ops.accounted -= pages;
}

/** @linux mm/secretmem.c:secretmem_fault */
function secretmemFault(vma: Vma, pgoff: number): number {
  const { mapping } = vma.file!;
  const ops = opsOf(mapping);
  if (pgoff * PAGE_SIZE >= ops.size(mapping)) return -VM_FAULT_SIGBUS;
  const fresh = mapping.pages.get(pgoff) === 0;
  if (fresh && !accountPage(ops, vma.mm.limits.memlock)) return -VM_FAULT_SIGBUS;
  const pfn = filemapGetPage(mapping, pgoff);
  if (pfn < 0) {
    unaccountPages(ops, 1);
    return pfn === -ENOMEM ? -VM_FAULT_OOM : -VM_FAULT_SIGBUS;
  }
  return pfn;
}

const secretmemVmOps: VmOperations = { fault: secretmemFault, secretmem: true };

/** @returns 0, or -EINVAL for a private mapping. @linux mm/secretmem.c:secretmem_mmap_prepare */
export function secretmemMmap(vma: Vma): number {
  if ((vma.flags & (VM_SHARED | VM_MAYSHARE)) === 0) return -EINVAL;
  vma.flags |= VM_DONTDUMP;
  vma.ops = secretmemVmOps;
  return 0;
}

/** The last user of the file is gone: its pages are wiped before they are anybody's. @linux mm/secretmem.c:secretmem_release, secretmem_free_folio */
export function secretmemRelease(mapping: AddressSpace): void {
  const ops = opsOf(mapping);
  mapping.pages.forEach(0, LAST_INDEX, (_index, pfn) => {
    clearPage(mapping.pgdat, pfn as Pfn);
  });
  unaccountPages(ops, ops.accounted);
}
