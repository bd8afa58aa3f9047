/**
 * Page faults: giving an address its page.
 *
 *     leaf entry      access    what happens
 *     no table        any       tables allocated, then as "none"
 *     SHARED path     write     table made private (taken over or copied), then as below
 *     SHARED path     read      as write if the entry is none; a present one needs nothing
 *     none            read      zero page, or the file's page with its cached neighbours
 *     none            write     new zeroed page; file: page cache (shared), copy (private)
 *     read-only       write     exclusive or last user: made writable; else copied
 *     read-only       unshare   as write, but left read-only
 *     in swap         any       read back, then as read-only unless it is nobody else's;
 *                               on a shared path a read brings it back for all
 *
 * @linux mm/memory.c
 */

import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import {
  mkPte,
  pageAlignDown,
  pteIsGuard,
  pteIsMarker,
  ptePfn,
  PTE_A,
  PTE_D,
  PTE_SOFT_DIRTY,
  PTE_SPECIAL,
  PTE_SWP_EXCLUSIVE,
  PTE_SWP_SOFT_DIRTY,
  PTE_V,
  PTE_W,
  tableOf,
  type Pfn,
  type Pte,
  type PtePtr,
  type Vaddr,
} from '../arch/riscv/pgtable.ts';
import { bug } from '../lib/assert.ts';
import { EFAULT, ENOMEM } from '../uapi/errno.ts';
import {
  anonVmaPrepare,
  pageAddNewAnonRmap,
  pageMoveAnonRmap,
  pageSetSharedAnonRmap,
} from './anon_vma.ts';
import { pteAlloc } from './cow_pte.ts';
import { MM_SWAPENTS, type MmStruct, type PgData, type Vma } from './mm_types.ts';
import { allocPage, allocZeroedPage, copyPage, getPage, putPage } from './page_alloc.ts';
import { NO_PFN, PG_ANON_EXCLUSIVE, PG_DIRTY, PG_SWAPCACHE, pageAnon } from './page.ts';
import { NO_PTEP, pathHasRefs, ptePtrOf } from './pgtable.ts';
import { pageRemoveRmap, ptAccountAdd, vmaPageProt, vmGetPageProt } from './pte_ops.ts';
import { folioFreeSwap, lookupSwapCache, swapinFolio } from './swap_state.ts';
import { isSwapPte, pteToSwapEntry } from './swap_types.ts';
import { swapFree, vmSwapFull } from './swapfile.ts';
import { swapinShared } from './swapin_shared.ts';
import { flushTlbPage } from './tlbflush.ts';
import { handleUserfault } from './userfaultfd.ts';
import {
  FAULT_FLAG_UNSHARE,
  FAULT_FLAG_WRITE,
  VM_FAULT_ERROR,
  VM_FAULT_OOM,
  VM_FAULT_SIGBUS,
  VM_FAULT_SIGSEGV,
} from './vm_fault.ts';
import { VM_LOCKED, VM_SHARED, VM_UFFD_MISSING, VM_WRITE } from './vma.ts';

/** Leaf bits of an anonymous page that is being written: by its process, or by force. */
function anonProt(vma: Vma): number {
  const prot = vmGetPageProt(vma.flags) | PTE_D | PTE_SOFT_DIRTY;
  return (vma.flags & VM_WRITE) === 0 ? prot : prot | PTE_W;
}

/** Maps a fresh private page at an empty or special entry. */
export function setNewAnonPte(vma: Vma, addr: Vaddr, ptep: PtePtr, pfn: Pfn): void {
  const { mm } = vma;
  const { pgdat } = mm;
  pageAddNewAnonRmap(pgdat, pfn, vma, addr);
  ptAccountAdd(mm, ptep, pfn);
  pgdat.ram.u32[ptep] = mkPte(pfn, anonProt(vma));
}

/** @linux mm/memory.c:do_anonymous_page */
function doAnonymousPage(vma: Vma, addr: Vaddr, ptep: PtePtr, flags: number): number {
  const { pgdat } = vma.mm;
  if ((vma.flags & VM_UFFD_MISSING) !== 0) return handleUserfault(vma, addr, flags);
  if ((flags & FAULT_FLAG_WRITE) === 0) {
    pgdat.ram.u32[ptep] = mkPte(pgdat.zeroPfn, vmGetPageProt(vma.flags) | PTE_SPECIAL);
    return 0;
  }
  if (anonVmaPrepare(vma) !== 0) return VM_FAULT_OOM;
  const pfn = allocZeroedPage(pgdat);
  if (pfn === NO_PFN) return VM_FAULT_OOM;
  setNewAnonPte(vma, addr, ptep, pfn);
  return 0;
}

/** Maps a page of the page cache, whose reference the mapping takes over. */
export function setFilePte(vma: Vma, ptep: PtePtr, pfn: Pfn, flags: number): void {
  const { mm } = vma;
  const { pgdat } = mm;
  const { page } = pgdat;
  let bits = vmaPageProt(vma);
  if ((flags & FAULT_FLAG_WRITE) !== 0) {
    bits |= PTE_W | PTE_D | PTE_SOFT_DIRTY;
    page.flags[pfn]! |= PG_DIRTY;
  }
  page.mapcount[pfn]!++;
  ptAccountAdd(mm, ptep, pfn);
  pgdat.ram.u32[ptep] = mkPte(pfn, bits);
}

/** A write to a private file mapping: the page is copied before it is ever mapped. @linux mm/memory.c:do_cow_fault */
function doCowFault(vma: Vma, addr: Vaddr, ptep: PtePtr, from: Pfn): number {
  const { pgdat } = vma.mm;
  const pfn = allocPage(pgdat);
  if (pfn !== NO_PFN) {
    copyPage(pgdat, pfn, from);
    setNewAnonPte(vma, addr, ptep, pfn);
  }
  putPage(pgdat, from);
  return pfn === NO_PFN ? VM_FAULT_OOM : 0;
}

/** @returns true for a hole of shared memory whose holes the program itself fills. */
function uffdMissing(vma: Vma, pgoff: number): boolean {
  if ((vma.flags & VM_UFFD_MISSING) === 0) return false;
  const { mapping } = vma.file!;
  return mapping.pages.get(pgoff) === 0 && pgoff * PAGE_SIZE < mapping.ops.size(mapping);
}

/** A page that a file backs. @linux mm/memory.c:do_fault */
function doFault(vma: Vma, addr: Vaddr, ptep: PtePtr, flags: number): number {
  const { ops } = vma;
  if (ops === null) return bug('do_fault: anonymous vma');
  const pgoff = vma.pgoff + (addr - vma.start) / PAGE_SIZE;
  if (uffdMissing(vma, pgoff)) return handleUserfault(vma, addr, flags);
  const write = (flags & FAULT_FLAG_WRITE) !== 0;
  const cow = write && (vma.flags & VM_SHARED) === 0;
  // Even if the file has no page there: what may be merged later depends on it.
  if (cow && anonVmaPrepare(vma) !== 0) return VM_FAULT_OOM;
  const pfn = ops.fault(vma, pgoff) as Pfn;
  if (pfn < 0) return -pfn;
  if (cow) return doCowFault(vma, addr, ptep, pfn);
  setFilePte(vma, ptep, pfn, flags);
  if (!write && ops.mapPages !== undefined) ops.mapPages(vma, addr, ptep);
  return 0;
}

/** Makes a page writable that nobody else has. By force a read-only mapping is written, and stays read-only. @linux mm/memory.c:wp_page_reuse */
function wpPageReuse(vma: Vma, addr: Vaddr, ptep: PtePtr, pte: Pte): number {
  const { mm } = vma;
  const writable = (vma.flags & VM_WRITE) === 0 ? 0 : PTE_W;
  mm.pgdat.ram.u32[ptep] = pte | writable | PTE_D | PTE_A | PTE_SOFT_DIRTY;
  mm.pgdat.vmstat.pgreuse++;
  flushTlbPage(mm, addr);
  return 0;
}

/** Gives the writer a copy; read-only, to unshare. @linux mm/memory.c:wp_page_copy */
function wpPageCopy(vma: Vma, addr: Vaddr, ptep: PtePtr, pte: Pte, unshare: boolean): number {
  const { mm } = vma;
  const { pgdat } = mm;
  if (anonVmaPrepare(vma) !== 0) return VM_FAULT_OOM;
  if ((pte & PTE_SPECIAL) !== 0) {
    const pfn = allocZeroedPage(pgdat);
    if (pfn === NO_PFN) return VM_FAULT_OOM;
    setNewAnonPte(vma, addr, ptep, pfn);
  } else {
    const old = ptePfn(pte);
    // Reclaim takes no page that somebody holds: the entry still maps it afterwards.
    getPage(pgdat, old);
    const pfn = allocPage(pgdat);
    if (pfn !== NO_PFN) {
      copyPage(pgdat, pfn, old);
      pageRemoveRmap(mm, ptep, old);
      setNewAnonPte(vma, addr, ptep, pfn);
      pgdat.vmstat.pgcow++;
    }
    putPage(pgdat, old);
    if (pfn === NO_PFN) return VM_FAULT_OOM;
  }
  if (unshare) {
    const written = PTE_W | PTE_D | PTE_SOFT_DIRTY;
    pgdat.ram.u32[ptep] = (pgdat.ram.u32[ptep]! & ~written) | (pte & PTE_SOFT_DIRTY);
  }
  flushTlbPage(mm, addr);
  return 0;
}

/** @returns true when nobody but one entry holds the page; it leaves the swap cache for that. @linux mm/memory.c:wp_can_reuse_anon_folio */
function lastUser(pgdat: PgData, pfn: Pfn): boolean {
  const { refcount, flags } = pgdat.page;
  const cached = (flags[pfn]! & PG_SWAPCACHE) !== 0;
  if (cached && refcount[pfn] === 2) folioFreeSwap(pgdat, pfn);
  return refcount[pfn] === 1;
}

/** A write to a present, read-only entry, or its unsharing. @linux mm/memory.c:do_wp_page */
function doWpPage(vma: Vma, addr: Vaddr, ptep: PtePtr, pte: Pte, unshare: boolean): number {
  const { mm } = vma;
  const { pgdat } = mm;
  const { page } = pgdat;
  if ((pte & PTE_SPECIAL) !== 0) return wpPageCopy(vma, addr, ptep, pte, unshare);
  const pfn = ptePfn(pte);
  if ((vma.flags & VM_SHARED) !== 0) {
    page.flags[pfn]! |= PG_DIRTY;
    return wpPageReuse(vma, addr, ptep, pte);
  }
  if (pageAnon(page, pfn)) {
    // The path is private here, so the exclusive bit means what it says.
    const exclusive = (page.flags[pfn]! & PG_ANON_EXCLUSIVE) !== 0;
    if (!exclusive && lastUser(pgdat, pfn) && anonVmaPrepare(vma) === 0) {
      pageMoveAnonRmap(pgdat, pfn, vma, addr);
      page.flags[pfn]! |= PG_ANON_EXCLUSIVE;
    }
    if ((page.flags[pfn]! & PG_ANON_EXCLUSIVE) !== 0) {
      return unshare ? 0 : wpPageReuse(vma, addr, ptep, pte);
    }
  }
  return wpPageCopy(vma, addr, ptep, pte, unshare);
}

/**
 * Whether a page that was just read back is better without its slot: when swap is short, when
 * it stays in memory anyway, or when it is about to be changed.
 * @linux mm/memory.c:should_try_to_free_swap
 */
function shouldFreeSwap(vma: Vma, flags: number): boolean {
  if ((vma.flags & VM_LOCKED) !== 0 || vmSwapFull(vma.mm.pgdat)) return true;
  return (flags & FAULT_FLAG_WRITE) !== 0;
}

/**
 * Maps a page of the swap cache, whose reference the mapping takes over, where an entry named its
 * slot. It is writable only if it is this entry's alone.
 */
function setSwappedPte(vma: Vma, addr: Vaddr, ptep: PtePtr, pfn: Pfn, flags: number): Pte {
  const { mm } = vma;
  const { pgdat } = mm;
  const { page } = pgdat;
  const old = pgdat.ram.u32[ptep]!;
  const alone = (old & PTE_SWP_EXCLUSIVE) !== 0 || page.refcount[pfn] === 1;
  if (alone) {
    pageMoveAnonRmap(pgdat, pfn, vma, addr);
    page.flags[pfn]! |= PG_ANON_EXCLUSIVE;
  } else if (page.mapcount[pfn] === 0) pageSetSharedAnonRmap(pgdat, pfn, vma, addr);
  page.mapcount[pfn]!++;
  let bits = vmGetPageProt(vma.flags);
  if ((old & PTE_SWP_SOFT_DIRTY) !== 0) bits |= PTE_SOFT_DIRTY;
  if (alone && (vma.flags & VM_WRITE) !== 0) {
    if ((flags & FAULT_FLAG_WRITE) !== 0) bits |= PTE_W | PTE_D | PTE_SOFT_DIRTY;
    // A write to a soft-clean page has to be noticed.
    else if ((bits & PTE_SOFT_DIRTY) !== 0) bits |= PTE_W;
  }
  page.ptSwap[tableOf(ptep)]!--;
  mm.rss[MM_SWAPENTS]!--;
  ptAccountAdd(mm, ptep, pfn);
  const pte = mkPte(pfn, bits);
  pgdat.ram.u32[ptep] = pte;
  return pte;
}

/**
 * Brings a page back from swap.
 * @returns 0, VM_FAULT_OOM, or VM_FAULT_SIGBUS when the device cannot give it back.
 * @linux mm/memory.c:do_swap_page
 * @patch 03/14
 */
function doSwapPage(vma: Vma, addr: Vaddr, ptep: PtePtr, flags: number): number {
  const { mm } = vma;
  const { pgdat } = mm;
  const pte = pgdat.ram.u32[ptep] as Pte;
  if (!isSwapPte(pte)) return nonswapFault(pte);
  if (anonVmaPrepare(vma) !== 0) return VM_FAULT_OOM;
  const entry = pteToSwapEntry(pte);
  countMajorFault(mm, ptep);
  const got = swapinFolio(pgdat, entry);
  if (got < 0) return got === -ENOMEM ? VM_FAULT_OOM : VM_FAULT_SIGBUS;
  const pfn = got as Pfn;
  swapFree(pgdat, entry);
  if (shouldFreeSwap(vma, flags)) folioFreeSwap(pgdat, pfn);
  const now = setSwappedPte(vma, addr, ptep, pfn, flags);
  if ((flags & FAULT_FLAG_WRITE) === 0 || (now & PTE_W) !== 0) return 0;
  return doWpPage(vma, addr, ptep, now, false);
}

/** An entry that is neither a page nor a place in swap. @linux mm/memory.c:handle_pte_marker */
function nonswapFault(pte: Pte): number {
  if (!pteIsMarker(pte)) return bug('do_swap_page: page under migration');
  return pteIsGuard(pte) ? VM_FAULT_SIGSEGV : VM_FAULT_SIGBUS;
}

/** The fault has to wait for a device, unless the page is in the swap cache. */
function countMajorFault(mm: MmStruct, ptep: PtePtr): void {
  const { pgdat } = mm;
  const entry = pteToSwapEntry(pgdat.ram.u32[ptep] as Pte);
  if (lookupSwapCache(pgdat, entry) !== NO_PFN) return;
  pgdat.vmstat.pgmajfault++;
  mm.minorFaults--;
  mm.majorFaults++;
}

/** The entry at a private or merely read path. @linux mm/memory.c:handle_pte_fault */
function handlePteFault(vma: Vma, addr: Vaddr, ptep: PtePtr, flags: number): number {
  const { mm } = vma;
  const { u32 } = mm.pgdat.ram;
  const pte = u32[ptep] as Pte;
  if (pte === 0) {
    return vma.ops === null
      ? doAnonymousPage(vma, addr, ptep, flags)
      : doFault(vma, addr, ptep, flags);
  }
  if ((pte & PTE_V) === 0) return doSwapPage(vma, addr, ptep, flags);
  if ((flags & (FAULT_FLAG_WRITE | FAULT_FLAG_UNSHARE)) !== 0 && (pte & PTE_W) === 0) {
    return doWpPage(vma, addr, ptep, pte, (flags & FAULT_FLAG_UNSHARE) !== 0);
  }
  if ((flags & FAULT_FLAG_WRITE) !== 0) {
    u32[ptep] = pte | PTE_A | PTE_D | PTE_SOFT_DIRTY;
  } else u32[ptep] = pte | PTE_A;
  flushTlbPage(mm, addr);
  return 0;
}

/**
 * Makes the page at `address` accessible for `flags`; the VMA has been found to allow it.
 *
 * @returns 0 or VM_FAULT_* bits; VM_FAULT_OOM with nothing a program could see changed.
 * @linux mm/memory.c:handle_mm_fault, handle_cow_pte_fault of the founding series
 * @patch 03/14
 */
export function handleMmFault(vma: Vma, address: Vaddr, flags: number): number {
  const { mm } = vma;
  const { pgdat } = mm;
  const addr = pageAlignDown(address);
  pgdat.vmstat.pgfault++;
  mm.minorFaults++;
  // A read of what is there needs no table of its own; all else writes an entry.
  const write = (flags & (FAULT_FLAG_WRITE | FAULT_FLAG_UNSHARE)) !== 0;
  let ptep = write ? NO_PTEP : ptePtrOf(mm, addr);
  if (ptep === NO_PTEP || (pgdat.ram.u32[ptep]! & PTE_V) === 0) {
    if (ptep !== NO_PTEP && isSwapPte(pgdat.ram.u32[ptep] as Pte) && pathHasRefs(mm, addr)) {
      countMajorFault(mm, ptep);
      return swapinShared(vma, addr, ptep);
    }
    ptep = pteAlloc(mm, addr);
    if (ptep === NO_PTEP) return VM_FAULT_OOM;
  }
  return handlePteFault(vma, addr, ptep, flags);
}

/**
 * Faults in every page of [start, end), which one or more VMAs that allow the access cover.
 * @returns 0, -ENOMEM, or -EFAULT where a page cannot be had or nothing is mapped.
 * @linux mm/gup.c:populate_vma_page_range
 */
export function populateRange(mm: MmStruct, start: Vaddr, end: Vaddr, write: boolean): number {
  const flags = write ? FAULT_FLAG_WRITE : 0;
  for (let addr = start; addr < end; addr += PAGE_SIZE) {
    const vma = mm.vmas.find(addr);
    if (vma === undefined || vma.start > addr) return -EFAULT;
    const ret = handleMmFault(vma, addr, flags);
    if ((ret & VM_FAULT_OOM) !== 0) return -ENOMEM;
    if ((ret & VM_FAULT_ERROR) !== 0) return -EFAULT;
  }
  return 0;
}
