/**
 * The only functions that put a VMA into an address space, take it out or change its range or
 * flags: they keep the counters of the mm (totalVm and kin, lockedVm, unshareableVmas) and the
 * links to its file and anon_vma exactly right.
 *
 * @linux mm/vma.c:vma_link, remove_vma
 */

import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import type { Vaddr } from '../arch/riscv/pgtable.ts';
import { vmaLinkFile, vmaUnlinkFile } from './address_space.ts';
import { unlinkAnonVmas } from './anon_vma.ts';
import type { Vma } from './mm_types.ts';
import { VM_LOCKED, VM_UNSHAREABLE, vmaPages } from './vma.ts';
import { vmStatAccount } from './vma_account.ts';

function account(vma: Vma, pages: number): void {
  vmStatAccount(vma.mm, vma.flags, pages, vma.file);
  if ((vma.flags & VM_LOCKED) === 0) return;
  vma.mm.lockedVm += pages;
  if (pages < 0) vma.mm.pgdat.munlocked = true;
}

/** Puts a complete VMA into its mm; the VMA's reference to its file is already held. */
export function vmaInsert(vma: Vma): void {
  const { mm } = vma;
  mm.vmas.insert(vma);
  vmaLinkFile(vma);
  if ((vma.flags & VM_UNSHAREABLE) !== 0) mm.unshareableVmas++;
  account(vma, vmaPages(vma));
}

/** Takes a VMA out of its mm and drops what it holds. Its pages have no entries any more, or belong to a VMA merged with it. */
export function vmaRemove(vma: Vma): void {
  const { mm } = vma;
  mm.vmas.remove(vma);
  account(vma, -vmaPages(vma));
  if ((vma.flags & VM_UNSHAREABLE) !== 0) mm.unshareableVmas--;
  unlinkAnonVmas(vma);
  if (vma.file === null) return;
  vmaUnlinkFile(vma);
  vma.file.putFile();
  vma.file = null;
}

/** Changes VM_* flags of a VMA that is in its mm. */
export function vmaSetFlags(vma: Vma, flags: number): void {
  const { mm } = vma;
  if ((vma.flags & VM_UNSHAREABLE) !== 0) mm.unshareableVmas--;
  account(vma, -vmaPages(vma));
  vma.flags = flags;
  account(vma, vmaPages(vma));
  if ((flags & VM_UNSHAREABLE) !== 0) mm.unshareableVmas++;
}

/**
 * Moves the ends of a VMA that is in its mm; the file offset follows the start. No other VMA
 * may reach into the new range.
 */
export function vmaSetRange(vma: Vma, start: Vaddr, end: Vaddr): void {
  account(vma, (end - start) / PAGE_SIZE - vmaPages(vma));
  vma.pgoff += (start - vma.start) / PAGE_SIZE;
  vma.start = start;
  vma.end = end;
  vma.mm.vmas.gapsChanged(vma);
}
