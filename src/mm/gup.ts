/**
 * Getting user pages: the frame behind an address, with a reference (FOLL_GET) or a pin
 * (FOLL_PIN) that keeps it after the look-up.
 *
 * Neither is ever taken through a shared page table: the path is made private first, so that
 * PG_ANON_EXCLUSIVE means what it says, and its tables are marked, so that fork looks at the
 * pages below before it shares them.
 *
 *     entry              asked for      what happens
 *     none, in swap      anything       faulted in
 *     read-only          write          faulted: copied, or made writable. With FOLL_FORCE an
 *                                       exclusive page of a private mapping is taken as it is
 *     anonymous, shared  read-only pin  unshared: the process gets a page of its own first
 *     file, zero page    read-only pin  as it is. For a long-term pin of a private mapping
 *                                       unshared, or the pin would not see what is written later
 *
 * What is used and let go before anything else runs (ptrace, /proc/PID/mem) takes neither
 * reference nor pin, and reads then go through shared tables.
 *
 * @linux mm/gup.c
 */

import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import {
  pageAlignDown,
  ptePfn,
  PTE_A,
  PTE_D,
  PTE_SOFT_DIRTY,
  PTE_SPECIAL,
  PTE_V,
  PTE_W,
  type Pfn,
  type Pte,
  type Vaddr,
} from '../arch/riscv/pgtable.ts';
import { EFAULT, EINVAL, EMLINK, ENOMEM } from '../uapi/errno.ts';
import { breakCowPath, markPathPinned } from './cow_pte.ts';
import { handleMmFault, populateRange } from './memory.ts';
import type { MmStruct, PgData, Vma } from './mm_types.ts';
import { putPage } from './page_alloc.ts';
import { GUP_PIN_COUNTING_BIAS, NO_PFN, PG_ANON_EXCLUSIVE, PG_DIRTY, pageAnon } from './page.ts';
import { NO_PTEP, ptePtrOf } from './pgtable.ts';
import { FAULT_FLAG_UNSHARE, FAULT_FLAG_WRITE, VM_FAULT_ERROR, VM_FAULT_OOM } from './vm_fault.ts';
import {
  isCowMapping,
  VM_ACCESS_FLAGS,
  VM_IO,
  VM_LOCKONFAULT,
  VM_MAYREAD,
  VM_MAYSHARE,
  VM_MAYWRITE,
  VM_PFNMAP,
  VM_READ,
  VM_SHARED,
  VM_WRITE,
  vmaIsSecretmem,
} from './vma.ts';

/** The page will be written. */
export const FOLL_WRITE = 1 << 0;
/** Take a reference. */
const FOLL_GET = 1 << 1;
/** Regardless of what the mapping allows now, within what it could be made to allow. */
export const FOLL_FORCE = 1 << 3;
/** Fail where a fault would be needed. */
const FOLL_NOFAULT = 1 << 5;
/** Anonymous mappings only. */
const FOLL_ANON = 1 << 7;
/** The pin may stay for good. */
export const FOLL_LONGTERM = 1 << 8;
/** Take a pin. */
const FOLL_PIN = 1 << 19;

/** Flags of the other half of enum FOLL_*, which callers may not give. @linux mm/internal.h:INTERNAL_GUP_FLAGS */
const INTERNAL_GUP_FLAGS = 0x7f << 16;

/** References of one page beyond which no more are given, far below what 32 bits hold. */
const REFCOUNT_MAX = 0x4000_0000;

/** Write access through the page cache that the owner of the file would have to hear of. @linux mm/vma.c:vma_needs_dirty_tracking */
function vmaNeedsDirtyTracking(vma: Vma): boolean {
  const shared = VM_WRITE | VM_SHARED;
  if ((vma.flags & shared) !== shared || vma.file === null) return false;
  return !vma.file.mapping.swapBacked;
}

/**
 * Whether pages of a VMA can be had so.
 * @returns 0 or -EFAULT.
 * @linux mm/gup.c:check_vma_flags
 */
function checkVmaFlags(vma: Vma, flags: number): number {
  const vmFlags = vma.flags;
  if ((vmFlags & (VM_IO | VM_PFNMAP)) !== 0) return -EFAULT;
  if ((flags & FOLL_ANON) !== 0 && vma.ops !== null) return -EFAULT;
  if (vmaIsSecretmem(vma)) return -EFAULT;
  if ((flags & FOLL_WRITE) !== 0) {
    const longterm = FOLL_PIN | FOLL_LONGTERM;
    if ((flags & longterm) === longterm && vmaNeedsDirtyTracking(vma)) return -EFAULT;
    if ((vmFlags & VM_WRITE) !== 0) return 0;
    return (flags & FOLL_FORCE) !== 0 && isCowMapping(vmFlags) ? 0 : -EFAULT;
  }
  if ((vmFlags & VM_READ) !== 0) return 0;
  return (flags & FOLL_FORCE) !== 0 && (vmFlags & VM_MAYREAD) !== 0 ? 0 : -EFAULT;
}

/** An exclusive page of a private mapping that is read-only now, which only FOLL_FORCE may write. @linux mm/gup.c:can_follow_write_pte */
function canFollowWritePte(vma: Vma, pte: Pte, flags: number): boolean {
  if ((pte & PTE_W) !== 0) return true;
  if ((flags & FOLL_FORCE) === 0) return false;
  if ((vma.flags & (VM_SHARED | VM_MAYSHARE | VM_WRITE | VM_MAYWRITE)) !== VM_MAYWRITE)
    return false;
  if ((pte & PTE_SPECIAL) !== 0) return false;
  return isExclusiveAnon(vma.mm.pgdat, ptePfn(pte));
}

/** Meaningful on a private path only. */
function isExclusiveAnon(pgdat: PgData, pfn: Pfn): boolean {
  return pageAnon(pgdat.page, pfn) && (pgdat.page.flags[pfn]! & PG_ANON_EXCLUSIVE) !== 0;
}

/**
 * Whether a page mapped read-only has to become the process's own before it is pinned for
 * reading, so that the pin sees what the process writes.
 * @linux include/linux/mm.h:gup_must_unshare
 */
function gupMustUnshare(vma: Vma, pfn: Pfn, flags: number): boolean {
  if ((flags & (FOLL_WRITE | FOLL_PIN)) !== FOLL_PIN) return false;
  const { pgdat } = vma.mm;
  if (!pageAnon(pgdat.page, pfn)) {
    return (flags & FOLL_LONGTERM) !== 0 && isCowMapping(vma.flags);
  }
  return !isExclusiveAnon(pgdat, pfn);
}

/** Takes the reference or pin that `flags` ask for. The zero page is not pinned. @linux mm/gup.c:try_grab_folio */
function tryGrabPage(pgdat: PgData, pfn: Pfn, flags: number): number {
  const { refcount } = pgdat.page;
  if ((flags & (FOLL_GET | FOLL_PIN)) === 0) return 0;
  if (refcount[pfn]! >= REFCOUNT_MAX) return -ENOMEM;
  if ((flags & FOLL_GET) !== 0) refcount[pfn]!++;
  else if (pfn !== pgdat.zeroPfn) {
    refcount[pfn]! += GUP_PIN_COUNTING_BIAS;
    pgdat.vmstat.nrFollPinAcquired++;
  }
  return 0;
}

/**
 * The page that is mapped at `addr` now, grabbed.
 * @returns its frame; NO_PFN when it must be faulted in (for the access) first, -EMLINK when it
 *   must be unshared first, -ENOMEM.
 * @linux mm/gup.c:follow_page_pte
 */
function followPagePte(vma: Vma, addr: Vaddr, flags: number): number {
  const { mm } = vma;
  const { pgdat } = mm;
  const { u32 } = pgdat.ram;
  let ptep = ptePtrOf(mm, addr);
  if (ptep === NO_PTEP || (u32[ptep]! & PTE_V) === 0) return NO_PFN;
  const kept = (flags & (FOLL_GET | FOLL_PIN)) !== 0;
  if (kept || (flags & FOLL_WRITE) !== 0) {
    if (breakCowPath(mm, addr) !== 0) return -ENOMEM;
    ptep = ptePtrOf(mm, addr);
    // The break may have had to reclaim the page for its tables.
    if ((u32[ptep]! & PTE_V) === 0) return NO_PFN;
  }
  const pte = u32[ptep] as Pte;
  const pfn = ptePfn(pte);
  const write = (flags & FOLL_WRITE) !== 0;
  if (write && !canFollowWritePte(vma, pte, flags)) return NO_PFN;
  if ((pte & PTE_W) === 0 && gupMustUnshare(vma, pfn, flags)) return -EMLINK;
  const err = tryGrabPage(pgdat, pfn, flags);
  if (err !== 0) return err;
  if (kept && pageAnon(pgdat.page, pfn)) markPathPinned(mm, addr);
  u32[ptep] = pte | PTE_A;
  if (write) {
    u32[ptep] = pte | PTE_A | PTE_D | PTE_SOFT_DIRTY;
    pgdat.page.flags[pfn]! |= PG_DIRTY;
  }
  return pfn;
}

/** @returns 0, -ENOMEM or -EFAULT. @linux mm/gup.c:faultin_page */
function faultinPage(vma: Vma, addr: Vaddr, flags: number, unshare: boolean): number {
  if ((flags & FOLL_NOFAULT) !== 0) return -EFAULT;
  let faultFlags = (flags & FOLL_WRITE) !== 0 ? FAULT_FLAG_WRITE : 0;
  if (unshare) faultFlags |= FAULT_FLAG_UNSHARE;
  const ret = handleMmFault(vma, addr, faultFlags);
  if ((ret & VM_FAULT_OOM) !== 0) return -ENOMEM;
  return (ret & VM_FAULT_ERROR) !== 0 ? -EFAULT : 0;
}

/** The page at `addr` in a VMA that allows it, faulted in as needed. @returns its frame, -ENOMEM or -EFAULT. */
function gupPage(vma: Vma, addr: Vaddr, flags: number): number {
  for (;;) {
    const pfn = followPagePte(vma, addr, flags);
    if (pfn !== NO_PFN && pfn !== -EMLINK) return pfn;
    const err = faultinPage(vma, addr, flags, pfn === -EMLINK);
    if (err !== 0) return err;
  }
}

/**
 * Fills `pages` with the frames of as many pages from the one that holds `start` on.
 * @returns how many; fewer than asked where the next one cannot be had, -EFAULT or -ENOMEM
 *   when that is the first.
 * @linux mm/gup.c:__get_user_pages
 */
function gupPages(mm: MmStruct, start: Vaddr, flags: number, pages: Int32Array): number {
  const first = pageAlignDown(start);
  let vma: Vma | undefined;
  for (let i = 0; i < pages.length; i++) {
    const addr = first + i * PAGE_SIZE;
    if (vma === undefined || addr >= vma.end) {
      vma = mm.vmas.find(addr);
      if (vma === undefined || vma.start > addr) return i > 0 ? i : -EFAULT;
      const err = checkVmaFlags(vma, flags);
      if (err !== 0) return i > 0 ? i : err;
    }
    const pfn = gupPage(vma, addr, flags);
    if (pfn < 0) return i > 0 ? i : pfn;
    pages[i] = pfn;
  }
  return pages.length;
}

/** Flags that callers may give, and that go together. @linux mm/gup.c:is_valid_gup_args */
function isValidGupArgs(flags: number): boolean {
  if ((flags & (FOLL_PIN | FOLL_GET)) === (FOLL_PIN | FOLL_GET)) return false;
  return (flags & FOLL_LONGTERM) === 0 || (flags & FOLL_PIN) !== 0;
}

/**
 * Frames with one reference each, which putPage() gives back.
 * @param flags FOLL_WRITE, FOLL_FORCE.
 * @returns how many of pages.length; -EFAULT, -ENOMEM, or -EINVAL for other flags.
 * @linux mm/gup.c:get_user_pages
 * @patch 08/14
 */
export function getUserPages(mm: MmStruct, start: Vaddr, flags: number, pages: Int32Array): number {
  if ((flags & INTERNAL_GUP_FLAGS) !== 0 || !isValidGupArgs(flags | FOLL_GET)) return -EINVAL;
  return gupPages(mm, start, flags | FOLL_GET, pages);
}

/**
 * Pinned frames: for whoever reads or writes the bytes, at any later time. The pins stay with
 * the process through fork; unpinUserPages() ends them.
 * @param flags FOLL_WRITE, FOLL_FORCE, FOLL_LONGTERM.
 * @returns as getUserPages().
 * @linux mm/gup.c:pin_user_pages
 * @patch 08/14
 */
export function pinUserPages(mm: MmStruct, start: Vaddr, flags: number, pages: Int32Array): number {
  if ((flags & INTERNAL_GUP_FLAGS) !== 0 || !isValidGupArgs(flags | FOLL_PIN)) return -EINVAL;
  return gupPages(mm, start, flags | FOLL_PIN, pages);
}

/** Flags of the fast forms, which look at fewer things. @linux mm/gup.c:gup_fast_fallback */
const FOLL_FAST_KNOWN = FOLL_WRITE | FOLL_LONGTERM | FOLL_FORCE | FOLL_GET | FOLL_NOFAULT;

/** getUserPages() with the fast form's narrower choice of flags. @linux mm/gup.c:get_user_pages_fast */
export function getUserPagesFast(
  mm: MmStruct,
  start: Vaddr,
  flags: number,
  pages: Int32Array,
): number {
  return (flags & ~FOLL_FAST_KNOWN) !== 0 ? -EINVAL : getUserPages(mm, start, flags, pages);
}

/** pinUserPages() with the fast form's narrower choice of flags. @linux mm/gup.c:pin_user_pages_fast */
export function pinUserPagesFast(
  mm: MmStruct,
  start: Vaddr,
  flags: number,
  pages: Int32Array,
): number {
  return (flags & ~FOLL_FAST_KNOWN) !== 0 ? -EINVAL : pinUserPages(mm, start, flags, pages);
}

/** Ends one pin of a page. @linux mm/gup.c:unpin_user_page */
export function unpinUserPage(pgdat: PgData, pfn: Pfn): void {
  if (pfn === pgdat.zeroPfn) return;
  pgdat.page.refcount[pfn]! -= GUP_PIN_COUNTING_BIAS - 1;
  pgdat.vmstat.nrFollPinReleased++;
  putPage(pgdat, pfn);
}

/** Ends one pin of each page. @linux mm/gup.c:unpin_user_pages */
export function unpinUserPages(pgdat: PgData, pages: Int32Array): void {
  for (let i = 0; i < pages.length; i++) unpinUserPage(pgdat, pages[i] as Pfn);
}

/** As unpinUserPages(), for pages that were written. @linux mm/gup.c:unpin_user_pages_dirty_lock */
export function unpinUserPagesDirtyLock(pgdat: PgData, pages: Int32Array): void {
  for (let i = 0; i < pages.length; i++) {
    const pfn = pages[i] as Pfn;
    if (pfn !== pgdat.zeroPfn) pgdat.page.flags[pfn]! |= PG_DIRTY;
  }
  unpinUserPages(pgdat, pages);
}

/**
 * The page at `addr` in `vma` for use at once: no reference, no pin, and a read leaves shared
 * tables shared.
 * @param flags FOLL_WRITE, FOLL_FORCE.
 * @returns its frame, -EFAULT or -ENOMEM.
 * @linux include/linux/mm.h:get_user_page_vma_remote
 */
export function getUserPageVmaRemote(vma: Vma, addr: Vaddr, flags: number): number {
  const err = checkVmaFlags(vma, flags);
  return err !== 0 ? err : gupPage(vma, pageAlignDown(addr), flags);
}

/**
 * Faults in [start, end) of one VMA: for writing where that saves a later copy.
 * @returns 0, -ENOMEM, or -EFAULT where a page cannot be had.
 * @linux mm/gup.c:populate_vma_page_range
 */
export function populateVmaPageRange(vma: Vma, start: Vaddr, end: Vaddr): number {
  if ((vma.flags & VM_LOCKONFAULT) !== 0) return 0;
  if ((vma.flags & VM_ACCESS_FLAGS) === 0 || vmaIsSecretmem(vma)) return -EFAULT;
  const write = (vma.flags & (VM_WRITE | VM_SHARED)) === VM_WRITE;
  return populateRange(vma.mm, start, end, write);
}

/**
 * Faults in what is mapped of [start, end).
 * @param ignoreErrors go on with the next VMA after an error.
 * @returns 0 or the first error.
 * @linux mm/gup.c:__mm_populate
 */
export function mmPopulate(mm: MmStruct, start: Vaddr, end: Vaddr, ignoreErrors: boolean): number {
  for (let addr = start; addr < end; ) {
    const vma = mm.vmas.find(addr);
    if (vma === undefined || vma.start >= end) break;
    const from = Math.max(vma.start, addr);
    const to = Math.min(vma.end, end);
    addr = to;
    if ((vma.flags & (VM_IO | VM_PFNMAP)) !== 0) continue;
    const err = populateVmaPageRange(vma, from, to);
    if (err !== 0 && !ignoreErrors) return err;
  }
  return 0;
}
