/**
 * ioctl PAGEMAP_SCAN on /proc/PID/pagemap: runs of pages that are in given categories.
 *
 * @linux fs/proc/task_mmu.c:do_pagemap_scan
 */

import { PAGE_SIZE } from '../../arch/riscv/memlayout.ts';
import {
  blockEnd,
  entryPtr,
  pageAlignUp,
  PMD_SIZE,
  pteIndex,
  pteIsGuard,
  pteIsMigration,
  ptePfn,
  ptePresent,
  pteSpecial,
  swpOffset,
  type Pfn,
  type Pte,
  type Vaddr,
} from '../../arch/riscv/pgtable.ts';
import { getU64, setU64 } from '../../lib/bits.ts';
import type { MmStruct, Vma } from '../../mm/mm_types.ts';
import { pageAnon, type MemMap } from '../../mm/page.ts';
import { NO_PTEP, pmdPtrOf, skipMissing } from '../../mm/pgtable.ts';
import { pathSoftClean, pteSoftDirty } from '../../mm/soft_dirty.ts';
import { copyFromUser, copyToUser, putUser64 } from '../../mm/uaccess.ts';
import { VM_PFNMAP, VM_SOFTDIRTY } from '../../mm/vma.ts';
import { EFAULT, EINVAL, ENOSPC, EPERM } from '../../uapi/errno.ts';
import * as uapi from '../../uapi/fs.ts';

const PM_SCAN_CATEGORIES =
  uapi.PAGE_IS_WPALLOWED |
  uapi.PAGE_IS_WRITTEN |
  uapi.PAGE_IS_FILE |
  uapi.PAGE_IS_PRESENT |
  uapi.PAGE_IS_SWAPPED |
  uapi.PAGE_IS_PFNZERO |
  uapi.PAGE_IS_HUGE |
  uapi.PAGE_IS_SOFT_DIRTY |
  uapi.PAGE_IS_GUARD;
const PM_SCAN_FLAGS = uapi.PM_SCAN_WP_MATCHING | uapi.PM_SCAN_CHECK_WPASYNC;

/** No limit on pages. */
const NO_LIMIT = Number.MAX_SAFE_INTEGER;
/** End of what a pointer may point at. @linux arch/riscv/include/asm/pgtable.h:TASK_SIZE_MAX */
const TASK_SIZE_MAX = 2 ** 63;

interface PageRegion {
  readonly start: Vaddr;
  end: Vaddr;
  readonly categories: number;
}

/** One scan: its arguments, and what it has found. */
class PagemapScan {
  readonly mm: MmStruct;
  flags = 0;
  start: Vaddr = 0;
  end: Vaddr = 0;
  vec: Vaddr = 0;
  /** Regions that fit `vec`; 0 lets the scan find nothing. */
  vecLen = 0;
  maxPages = 0;
  inverted = 0;
  mask = 0;
  anyofMask = 0;
  returnMask = 0;
  /** Where the scan ended early; 0 = it did not. */
  walkEnd: Vaddr = 0;
  foundPages = 0;
  readonly regions: PageRegion[] = [];
  /** Categories of all pages of the VMA being scanned. */
  vmaCategory = 0;

  constructor(mm: MmStruct) {
    this.mm = mm;
  }
}

/** Reads a mask, of which only `known` bits may be set. @returns -EINVAL for others. */
function getMask(view: DataView, at: number, known: number): number {
  const lo = view.getInt32(at, true);
  return (lo & ~known) === 0 && view.getInt32(at + 4, true) === 0 ? lo : -EINVAL;
}

/** @returns 0, -EFAULT or -EINVAL. @linux pagemap_scan_get_args */
function getArgs(scan: PagemapScan, caller: MmStruct, arg: Vaddr): number {
  const bytes = new Uint8Array(uapi.PM_SCAN_ARG_BYTES);
  const view = new DataView(bytes.buffer);
  if (copyFromUser(caller, bytes, arg) !== 0) return -EFAULT;
  if (getU64(view, uapi.PMS_SIZE) !== uapi.PM_SCAN_ARG_BYTES) return -EINVAL;
  scan.flags = getMask(view, uapi.PMS_FLAGS, PM_SCAN_FLAGS);
  scan.inverted = getMask(view, uapi.PMS_CATEGORY_INVERTED, PM_SCAN_CATEGORIES);
  scan.mask = getMask(view, uapi.PMS_CATEGORY_MASK, PM_SCAN_CATEGORIES);
  scan.anyofMask = getMask(view, uapi.PMS_CATEGORY_ANYOF_MASK, PM_SCAN_CATEGORIES);
  scan.returnMask = getMask(view, uapi.PMS_RETURN_MASK, PM_SCAN_CATEGORIES);
  if ((scan.flags | scan.inverted | scan.mask | scan.anyofMask | scan.returnMask) < 0) {
    return -EINVAL;
  }
  scan.start = getU64(view, uapi.PMS_START);
  scan.end = getU64(view, uapi.PMS_END);
  scan.vec = getU64(view, uapi.PMS_VEC);
  scan.vecLen = getU64(view, uapi.PMS_VEC_LEN);
  scan.maxPages = getU64(view, uapi.PMS_MAX_PAGES);
  return checkRanges(scan);
}

function checkRanges(scan: PagemapScan): number {
  const { start, end, vec, vecLen } = scan;
  if (start % PAGE_SIZE !== 0) return -EINVAL;
  if (end < start || end > TASK_SIZE_MAX) return -EFAULT;
  if (vec === 0 && vecLen !== 0) return -EINVAL;
  if (vec !== 0 && vec + vecLen * uapi.PAGE_REGION_BYTES > TASK_SIZE_MAX) return -EFAULT;
  scan.end = pageAlignUp(end);
  if (scan.maxPages === 0) scan.maxPages = NO_LIMIT;
  return 0;
}

/** Whether a scan looks at a VMA. @returns 1 = yes, 0 = no, -EPERM. @linux pagemap_scan_test_walk */
function testWalk(scan: PagemapScan, vma: Vma): number {
  // No VMA has asynchronous write protection: that is userfaultfd's.
  if ((scan.flags & uapi.PM_SCAN_CHECK_WPASYNC) !== 0) return -EPERM;
  if ((scan.flags & uapi.PM_SCAN_WP_MATCHING) !== 0) return 0;
  if ((vma.flags & VM_PFNMAP) !== 0) return 0;
  scan.vmaCategory = (vma.flags & VM_SOFTDIRTY) === 0 ? 0 : uapi.PAGE_IS_SOFT_DIRTY;
  const required = scan.mask & uapi.PAGE_IS_WPALLOWED;
  return ((scan.vmaCategory ^ scan.inverted) & required) === required ? 1 : 0;
}

/** Categories of an entry that is not present. */
function absentCategory(page: MemMap, pte: Pte): number {
  const category = uapi.PAGE_IS_SWAPPED | uapi.PAGE_IS_WRITTEN;
  if (pteIsGuard(pte)) return category | uapi.PAGE_IS_GUARD;
  const file = pteIsMigration(pte) && !pageAnon(page, swpOffset(pte) as Pfn);
  return file ? category | uapi.PAGE_IS_FILE : category;
}

/** An empty entry counts as written: nothing protects it. @linux pagemap_page_category */
function pageCategory(scan: PagemapScan, pte: Pte): number {
  if (pte === 0) return uapi.PAGE_IS_WRITTEN;
  const { page } = scan.mm.pgdat;
  if (!ptePresent(pte)) return absentCategory(page, pte);
  const category = uapi.PAGE_IS_PRESENT | uapi.PAGE_IS_WRITTEN;
  if (pteSpecial(pte)) return category | uapi.PAGE_IS_PFNZERO;
  return pageAnon(page, ptePfn(pte)) ? category : category | uapi.PAGE_IS_FILE;
}

/** @linux pagemap_scan_is_interesting_page */
function isInteresting(scan: PagemapScan, categories: number): boolean {
  const is = categories ^ scan.inverted;
  if ((is & scan.mask) !== scan.mask) return false;
  return scan.anyofMask === 0 || (is & scan.anyofMask) !== 0;
}

/** Adds a run to the last region, or as one of its own. @returns false when there is no room. */
function pushRange(scan: PagemapScan, categories: number, addr: Vaddr, end: Vaddr): boolean {
  const { regions } = scan;
  const last = regions.at(-1);
  if (last !== undefined && last.end === addr && last.categories === categories) {
    last.end = end;
    return true;
  }
  if (regions.length >= scan.vecLen) return false;
  regions.push({ start: addr, end, categories });
  return true;
}

/**
 * Notes a run of pages of the same categories.
 * @returns 0, or -ENOSPC when a limit cut it: walkEnd says where.
 * @linux pagemap_scan_output
 */
function output(scan: PagemapScan, categories: number, addr: Vaddr, end: Vaddr): number {
  if (scan.vecLen === 0) return 0;
  const room = scan.maxPages - scan.foundPages;
  const stop = Math.min(end, addr + room * PAGE_SIZE);
  const fits = room !== 0 && pushRange(scan, categories & scan.returnMask, addr, stop);
  if (fits) scan.foundPages += (stop - addr) / PAGE_SIZE;
  if (fits && stop === end) return 0;
  scan.walkEnd = fits ? stop : addr;
  return -ENOSPC;
}

/** Scans the part [addr, next) of the leaf table that `pmd` names. @linux pagemap_scan_pmd_entry */
function scanTable(scan: PagemapScan, pmd: Pte, addr: Vaddr, next: Vaddr): number {
  const { u32 } = scan.mm.pgdat.ram;
  const soft = !pathSoftClean(scan.mm, addr);
  for (let at = addr; at < next; at += PAGE_SIZE) {
    const pte = u32[entryPtr(ptePfn(pmd), pteIndex(at))] as Pte;
    let categories = scan.vmaCategory | pageCategory(scan, pte);
    if (soft && pteSoftDirty(pte)) categories |= uapi.PAGE_IS_SOFT_DIRTY;
    if (!isInteresting(scan, categories)) continue;
    const err = output(scan, categories, at, at + PAGE_SIZE);
    if (err !== 0) return err;
  }
  return 0;
}

/** @returns 0 or -ENOSPC. */
function scanVma(scan: PagemapScan, start: Vaddr, end: Vaddr): number {
  const { mm } = scan;
  for (let addr = start; addr < end; ) {
    const pmdp = pmdPtrOf(mm, addr);
    const pmd = (pmdp === NO_PTEP ? 0 : mm.pgdat.ram.u32[pmdp]) as Pte;
    const next = pmdp === NO_PTEP ? skipMissing(mm, addr, end) : blockEnd(addr, end, PMD_SIZE);
    let err = 0;
    if (pmd !== 0) err = scanTable(scan, pmd, addr, next);
    else if (isInteresting(scan, scan.vmaCategory)) {
      err = output(scan, scan.vmaCategory, addr, next);
    }
    if (err !== 0) return err;
    addr = next;
  }
  return 0;
}

/** @returns 0, -ENOSPC or -EPERM. */
function walkRange(scan: PagemapScan): number {
  const { vmas } = scan.mm;
  for (let vma = vmas.find(scan.start); vma !== undefined; vma = vmas.next(vma)) {
    if (vma.start >= scan.end) break;
    const test = testWalk(scan, vma);
    if (test < 0) return test;
    if (test === 0) continue;
    const err = scanVma(scan, Math.max(vma.start, scan.start), Math.min(vma.end, scan.end));
    if (err !== 0) return err;
  }
  return 0;
}

/** @returns the number of regions written, or -EFAULT. */
function putRegions(scan: PagemapScan, caller: MmStruct): number {
  const { regions } = scan;
  const bytes = new Uint8Array(regions.length * uapi.PAGE_REGION_BYTES);
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const { start, end, categories } of regions) {
    for (const word of [start, end, categories]) {
      setU64(view, at, word);
      at += 8;
    }
  }
  return copyToUser(caller, scan.vec, bytes) === 0 ? regions.length : -EFAULT;
}

/**
 * Scans `mm` as the structure at `arg` in the memory of `caller` says.
 *
 * @returns regions found; -EINVAL for sizes, flags or masks that are not known, an unaligned
 *   start or a length without a vector; -EPERM when asked to insist on write protection, which
 *   no VMA has; -EFAULT.
 * @linux fs/proc/task_mmu.c:do_pagemap_scan
 */
export function doPagemapScan(mm: MmStruct, caller: MmStruct, arg: Vaddr): number {
  const scan = new PagemapScan(mm);
  const bad = getArgs(scan, caller, arg);
  if (bad !== 0) return bad;
  const err = mm.users === 0 ? 0 : walkRange(scan);
  const found = putRegions(scan, caller);
  const ret = found < 0 || err === 0 || err === -ENOSPC ? found : err;
  const walkEnd = scan.walkEnd === 0 ? scan.end : scan.walkEnd;
  return putUser64(caller, arg + uapi.PMS_WALK_END, walkEnd) === 0 ? ret : -EFAULT;
}
