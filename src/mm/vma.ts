/** VM_* flags and questions about one VMA. @linux include/linux/mm.h */

import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import type { Vma } from './mm_types.ts';

// Linux's bits where they fit 32; flags may be negative as a number, only bit operations are used.
export const VM_READ = 0x01;
export const VM_WRITE = 0x02;
export const VM_EXEC = 0x04;
export const VM_SHARED = 0x08;
export const VM_MAYREAD = 0x10;
export const VM_MAYWRITE = 0x20;
export const VM_MAYEXEC = 0x40;
export const VM_MAYSHARE = 0x80;
export const VM_GROWSDOWN = 0x100;
/** Pages that are missing are filled in through a userfaultfd. */
export const VM_UFFD_MISSING = 0x200;
export const VM_PFNMAP = 0x400;
/** MADV_GUARD_INSTALL was used here. */
export const VM_MAYBE_GUARD = 0x800;
export const VM_LOCKED = 0x2000;
export const VM_IO = 0x4000;
export const VM_SEQ_READ = 0x8000;
export const VM_RAND_READ = 0x1_0000;
/** MADV_DONTFORK. */
export const VM_DONTCOPY = 0x2_0000;
export const VM_DONTEXPAND = 0x4_0000;
export const VM_LOCKONFAULT = 0x8_0000;
export const VM_ACCOUNT = 0x10_0000;
export const VM_NORESERVE = 0x20_0000;
export const VM_DROPPABLE = 0x40_0000;
/** mseal(2); bit 42 in Linux. */
export const VM_SEALED = 0x100_0000;
export const VM_WIPEONFORK = 0x200_0000;
export const VM_DONTDUMP = 0x400_0000;
export const VM_SOFTDIRTY = 0x800_0000;
export const VM_HUGEPAGE = 0x2000_0000;
export const VM_NOHUGEPAGE = 0x4000_0000;

/** Set exactly when a VMA has a userfaultfd. */
export const VM_UFFD_FLAGS = VM_UFFD_MISSING;
export const VM_ACCESS_FLAGS = VM_READ | VM_WRITE | VM_EXEC;
/** Flags that tell of some of a VMA's pages: two VMAs may differ in them and become one, which has them. @linux include/linux/mm.h:VMA_STICKY_FLAGS */
export const VM_STICKY = VM_SOFTDIRTY | VM_MAYBE_GUARD;
/** VMAs that fork may not hand on by sharing a page table. */
export const VM_UNSHAREABLE = VM_DONTCOPY | VM_WIPEONFORK | VM_LOCKED | VM_PFNMAP | VM_IO;

/** Private anonymous: no file and no special handler. Shared anonymous memory has a shmem file. */
export function vmaIsAnonymous(vma: Vma): boolean {
  return vma.ops === null;
}

/** Memory that nobody but its process gets at (secretmem.ts). @linux mm/secretmem.c:vma_is_secretmem */
export function vmaIsSecretmem(vma: Vma): boolean {
  return vma.ops !== null && vma.ops.secretmem === true;
}

export function vmaPages(vma: Vma): number {
  return (vma.end - vma.start) / PAGE_SIZE;
}

/** A mapping whose writes go to copies: private, and writable now or after mprotect(). @linux include/linux/mm.h:is_cow_mapping */
export function isCowMapping(flags: number): boolean {
  return (flags & (VM_SHARED | VM_MAYWRITE)) === VM_MAYWRITE;
}
