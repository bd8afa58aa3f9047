/**
 * The page cache: pages of files, found by index, read in when missing, mapped and copied.
 *
 * @linux mm/filemap.c
 */

import { icacheInvalidateFrame } from '../arch/riscv/icache.ts';
import { PAGE_SHIFT, PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import {
  mkPte,
  pteIndex,
  PTE_WORDS,
  type Pfn,
  type PtePtr,
  type Vaddr,
} from '../arch/riscv/pgtable.ts';
import { EFAULT, EIO, ENOMEM } from '../uapi/errno.ts';
import { copyFromIter, copyToIter, iovZero, type IovIter } from './iov_iter.ts';
import type { AddressSpace, Vma, VmFile, VmOperations } from './mm_types.ts';
import { allocPage, clearPage, freePage, getPage, putPage } from './page_alloc.ts';
import { NO_PFN, PG_DIRTY, PG_SWAPBACKED, PG_UNEVICTABLE, PG_UPTODATE } from './page.ts';
import { ptAccountAdd, vmaPageProt } from './pte_ops.ts';
import { pageMkclean } from './rmap.ts';
import { folioActivate, folioMarkAccessed, lruAdd } from './swap.ts';
import { swapReadPage, swapShadow } from './swap_state.ts';
import { SWAP_ENTRY_POISONED, valueToSwapEntry, type SwapEntry } from './swap_types.ts';
import { swapFree } from './swapfile.ts';
import { flushTlbEveryone } from './tlbflush.ts';
import { VM_FAULT_OOM, VM_FAULT_SIGBUS } from './vm_fault.ts';
import { VM_EXEC } from './vma.ts';
import { takeShadow, workingsetRefault } from './workingset.ts';

/** Pages mapped around a read fault when the cache has them. Linux's default (fault_around_bytes = 64 KiB). */
const FAULT_AROUND_PAGES = 16;

/** Puts a fresh page into the cache, which takes a reference of its own. */
export function addToPageCache(mapping: AddressSpace, index: number, pfn: Pfn): void {
  const { page } = mapping.pgdat;
  page.mapping[pfn] = mapping.id;
  page.index[pfn] = index | 0;
  let flags = PG_UPTODATE;
  if (mapping.swapBacked) flags |= PG_SWAPBACKED;
  if (mapping.unevictable) flags |= PG_UNEVICTABLE;
  page.flags[pfn] = flags;
  page.refcount[pfn]!++;
  mapping.pages.set(index, pfn);
  lruAdd(mapping.pgdat, pfn);
}

function readNewPage(mapping: AddressSpace, index: number): number {
  const { pgdat } = mapping;
  const pfn = allocPage(pgdat);
  if (pfn === NO_PFN) return -ENOMEM;
  if (mapping.ops.readFolio === undefined) clearPage(pgdat, pfn);
  else {
    const err = mapping.ops.readFolio(mapping, index, pfn);
    pgdat.vmstat.pgmajfault++;
    if (err !== 0) {
      freePage(pgdat, pfn);
      return err;
    }
  }
  addToPageCache(mapping, index, pfn);
  if (workingsetRefault(pgdat, takeShadow(mapping, index), true)) folioActivate(pgdat, pfn);
  return pfn;
}

/**
 * Brings a page of the cache back from swap.
 * @returns a frame number with a reference for the caller, -ENOMEM, or -EIO.
 * @linux mm/shmem.c:shmem_swapin_folio
 */
function shmemSwapinFolio(mapping: AddressSpace, index: number, entry: SwapEntry): number {
  const { pgdat } = mapping;
  if (entry === SWAP_ENTRY_POISONED) return -EIO;
  const pfn = allocPage(pgdat);
  if (pfn === NO_PFN) return -ENOMEM;
  pgdat.vmstat.pgmajfault++;
  const err = swapReadPage(pgdat, entry, pfn);
  if (err !== 0) {
    freePage(pgdat, pfn);
    return err;
  }
  addToPageCache(mapping, index, pfn);
  pgdat.page.flags[pfn]! |= PG_DIRTY;
  mapping.swapped--;
  if (workingsetRefault(pgdat, swapShadow(pgdat, entry), false)) folioActivate(pgdat, pfn);
  swapFree(pgdat, entry);
  return pfn;
}

/**
 * The page at `index`, read in or made if missing, with a reference for the caller.
 * @returns a frame number, -ENOMEM, -EIO, or what readFolio() failed with.
 * @linux mm/filemap.c:filemap_get_pages
 */
export function filemapGetPage(mapping: AddressSpace, index: number): number {
  const pfn = mapping.pages.get(index);
  if (pfn === 0) return readNewPage(mapping, index);
  if (pfn < 0) return shmemSwapinFolio(mapping, index, valueToSwapEntry(pfn));
  getPage(mapping.pgdat, pfn as Pfn);
  return pfn;
}

/** A page that must first be read: a hole of a memory-only file is zeroes without one. */
function readNeedsPage(mapping: AddressSpace, index: number): boolean {
  return mapping.ops.readFolio !== undefined || mapping.pages.get(index) !== 0;
}

/**
 * The page that a read of `index` shows, with a reference for the caller: the zero page for a
 * hole of a memory-only file.
 * @returns a frame number or -errno.
 * @linux mm/filemap.c:filemap_splice_read
 */
export function filemapGetReadPage(mapping: AddressSpace, index: number): number {
  if (readNeedsPage(mapping, index)) return filemapGetPage(mapping, index);
  getPage(mapping.pgdat, mapping.pgdat.zeroPfn);
  return mapping.pgdat.zeroPfn;
}

/**
 * Copies file bytes from `pos` on, up to the end of the file.
 * @returns bytes copied, or -errno when there are none because of an error.
 * @linux mm/filemap.c:filemap_read
 */
export function filemapRead(mapping: AddressSpace, to: IovIter, pos: number): number {
  const { pgdat } = mapping;
  const size = mapping.ops.size(mapping);
  let done = 0;
  while (to.remaining > 0 && pos + done < size) {
    const at = pos + done;
    const index = Math.floor(at / PAGE_SIZE);
    const offset = at % PAGE_SIZE;
    const want = Math.min(PAGE_SIZE - offset, size - at, to.remaining);
    let copied: number;
    if (readNeedsPage(mapping, index)) {
      const pfn = filemapGetPage(mapping, index);
      if (pfn < 0) return done > 0 ? done : pfn;
      folioMarkAccessed(pgdat, pfn as Pfn);
      copied = copyToIter(to, pgdat.ram.u8, pfn * PAGE_SIZE + offset, want);
      putPage(pgdat, pfn as Pfn);
    } else copied = iovZero(to, want);
    done += copied;
    if (copied < want) return done > 0 ? done : -EFAULT;
  }
  return done;
}

/**
 * Copies bytes into the cache at `pos`, making pages as needed; the caller then updates the size.
 * @returns bytes copied, or -errno when there are none.
 * @linux mm/filemap.c:generic_perform_write
 */
export function filemapWrite(mapping: AddressSpace, from: IovIter, pos: number): number {
  const { pgdat } = mapping;
  let done = 0;
  while (from.remaining > 0) {
    const at = pos + done;
    const offset = at % PAGE_SIZE;
    const want = Math.min(PAGE_SIZE - offset, from.remaining);
    const pfn = filemapGetPage(mapping, Math.floor(at / PAGE_SIZE)) as Pfn;
    if (pfn < 0) return done > 0 ? done : pfn;
    folioMarkAccessed(pgdat, pfn);
    icacheInvalidateFrame(pgdat.ram, pfn);
    const copied = copyFromIter(from, pgdat.ram.u8, ((pfn << PAGE_SHIFT) >>> 0) + offset, want);
    pgdat.page.flags[pfn]! |= PG_DIRTY;
    putPage(pgdat, pfn);
    done += copied;
    if (copied < want) return done > 0 ? done : -EFAULT;
  }
  return done;
}

/**
 * Writes changed pages of bytes [start, end) back. Their mappings become read-only first, so
 * that what is written from now on is a change again.
 * @returns 0, or -EIO: pages that were not written stay changed.
 * @linux mm/filemap.c:filemap_fdatawrite_range
 */
export function filemapFdatawrite(mapping: AddressSpace, start: number, end: number): number {
  const { pgdat } = mapping;
  const { writePage } = mapping.ops;
  if (writePage === undefined) return 0;
  const { flags } = pgdat.page;
  let failed = 0;
  const last = Math.ceil(end / PAGE_SIZE) - 1;
  mapping.pages.forEach(Math.floor(start / PAGE_SIZE), last, (index, value) => {
    if (value < 0) return;
    pageMkclean(pgdat, value as Pfn);
    if ((flags[value]! & PG_DIRTY) === 0) return;
    pgdat.vmstat.pgpgout++;
    if (writePage(mapping, index, value as Pfn) === 0) flags[value]! &= ~PG_DIRTY;
    else failed = -EIO;
  });
  flushTlbEveryone(pgdat);
  return failed;
}

/** @linux mm/filemap.c:filemap_fault */
function filemapFault(vma: Vma, pgoff: number): number {
  const { file } = vma;
  if (file === null) return -VM_FAULT_SIGBUS;
  const { mapping } = file;
  if (pgoff * PAGE_SIZE >= mapping.ops.size(mapping)) return -VM_FAULT_SIGBUS;
  const { pgdat } = mapping;
  const before = pgdat.vmstat.workingsetRefaultFile;
  const pfn = filemapGetPage(mapping, pgoff);
  const refault = pgdat.vmstat.workingsetRefaultFile !== before;
  if (refault && (vma.flags & VM_EXEC) !== 0) pgdat.codeRefaults++;
  if (pfn < 0) return pfn === -ENOMEM ? -VM_FAULT_OOM : -VM_FAULT_SIGBUS;
  return pfn;
}

/**
 * Maps cached neighbours of a page just mapped for reading, within its VMA and leaf table.
 * @linux mm/filemap.c:filemap_map_pages
 */
function filemapMapPages(vma: Vma, addr: Vaddr, ptep: PtePtr): void {
  const { mapping } = vma.file!;
  const { mm } = vma;
  const { pgdat } = mm;
  const { u32 } = pgdat.ram;
  const slot = pteIndex(addr);
  const pgoff = vma.pgoff + (addr - vma.start) / PAGE_SIZE;
  const window = slot - (slot % FAULT_AROUND_PAGES);
  const filePages = Math.ceil(mapping.ops.size(mapping) / PAGE_SIZE);
  const first = Math.max(window, slot - (addr - vma.start) / PAGE_SIZE);
  const last = Math.min(
    window + FAULT_AROUND_PAGES,
    slot + (vma.end - addr) / PAGE_SIZE,
    slot + filePages - pgoff,
  );
  const bits = vmaPageProt(vma);
  for (let i = first; i < last; i++) {
    const near = (ptep + (i - slot) * PTE_WORDS) as PtePtr;
    if (u32[near] !== 0) continue;
    const pfn = mapping.pages.get(pgoff + i - slot) as Pfn;
    if (pfn <= NO_PFN) continue;
    getPage(pgdat, pfn);
    pgdat.page.mapcount[pfn]!++;
    ptAccountAdd(mm, near, pfn);
    u32[near] = mkPte(pfn, bits);
  }
}

/** Operations of every VMA that a page cache backs. */
export const genericFileVmOps: VmOperations = {
  fault: filemapFault,
  mapPages: filemapMapPages,
};

/** mmap of a file: faults come to the page cache. The caller has set vma.file. @linux mm/filemap.c:generic_file_mmap */
export function genericFileMmap(_file: VmFile, vma: Vma): number {
  vma.ops = genericFileVmOps;
  return 0;
}
