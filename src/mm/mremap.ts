/**
 * mremap: shrinking, growing in place, moving.
 *
 *     move      old  [ a b c ] -----------> new [ a b c . . ]
 *               entries change place, pages do not; the old range is then unmapped
 *               (MREMAP_DONTUNMAP: stays mapped and empty)
 *     several   old  [ a ]  [ b ][ c ] ---> new [ a ]  [ b ][ c ]
 *               one after the other, at the same distances; the first that fails ends it
 *
 * A move of one VMA is prepared before it is begun: shared tables on both sides are made private
 * and the tables of the new place allocated, so that memory running out changes nothing.
 *
 * @linux mm/mremap.c
 */

import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import { pageAlignUp, TASK_SIZE, vpn, type Vaddr } from '../arch/riscv/pgtable.ts';
import { EAGAIN, EFAULT, EINVAL, ENOMEM, EPERM } from '../uapi/errno.ts';
import { MAP_FIXED, MREMAP_DONTUNMAP, MREMAP_FIXED, MREMAP_MAYMOVE } from '../uapi/mman.ts';
import { anonVmaClone, unlinkAnonVmas } from './anon_vma.ts';
import { mmPopulate } from './gup.ts';
import { VM_LOCKED_MASK } from './mlock.ts';
import {
  countVmaPagesRange,
  doMunmap,
  findVmaIntersection,
  getUnmappedArea,
  unmapRange,
} from './mmap.ts';
import { MAX_MAP_COUNT, mayExpandVm, mlockFutureOk, vmEnoughMemory } from './mmap_limits.ts';
import { Vma, type MmStruct } from './mm_types.ts';
import { rangeIsSealed, vmaIsSealed } from './mseal.ts';
import { movePageTables, prepareMove } from './move_page_tables.ts';
import {
  VM_ACCOUNT,
  VM_DONTEXPAND,
  VM_LOCKED,
  VM_MAYSHARE,
  VM_PFNMAP,
  VM_SHARED,
  vmaIsAnonymous,
  vmaPages,
} from './vma.ts';
import { vmaInsert, vmaSetFlags } from './vma_link.ts';
import { mremapUserfaultfd } from './userfaultfd.ts';
import { settleAnonVma, splitVma, vmaMergeNewRange } from './vma_merge.ts';
import { freePgtables, zapPrepare } from './zap.ts';

/** One move or resize, within one VMA: sizes are page-aligned. @linux mm/mremap.c:vma_remap_struct */
interface Remap {
  readonly mm: MmStruct;
  readonly addr: Vaddr;
  oldLen: number;
  readonly newLen: number;
  readonly flags: number;
  /** With MREMAP_FIXED, or a hint with MREMAP_DONTUNMAP. */
  readonly newAddr: Vaddr;
}

/** VMAs that a call may add before it moves anything, and while it does. @linux mm/mremap.c:__check_map_count_against_split */
const UNMAPS_ADD = 2;
const MOVE_ADDS = 2;

function dontUnmaps(r: Remap): boolean {
  return (r.flags & MREMAP_DONTUNMAP) !== 0;
}

function impliesNewAddr(flags: number): boolean {
  return (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) !== 0;
}

/**
 * The VMA to resize or move, if it may be.
 * @returns it, or -EFAULT, -EPERM, -EINVAL, -EAGAIN, -ENOMEM.
 * @linux mm/mremap.c:check_prep_vma
 */
function checkPrepVma(r: Remap): Vma | number {
  const { mm, addr, newLen } = r;
  const vma = mm.vmas.find(addr);
  if (vma === undefined || vma.start > addr) return -EFAULT;
  if (vmaIsSealed(vma)) return -EPERM;
  if (newLen <= r.oldLen && !impliesNewAddr(r.flags)) return vma;
  // Old length 0 makes a second mapping of shared memory.
  if (r.oldLen === 0 && (vma.flags & (VM_SHARED | VM_MAYSHARE)) === 0) return -EINVAL;
  const fixedSize = (vma.flags & (VM_DONTEXPAND | VM_PFNMAP)) !== 0;
  if (fixedSize && dontUnmaps(r)) return -EINVAL;
  // What shrinking cuts off may reach over several.
  const oldLen = Math.min(r.oldLen, newLen);
  if (oldLen > vma.end - addr) return -EFAULT;
  if (newLen === oldLen) return vma;
  if (fixedSize) return -EFAULT;
  if (!mlockFutureOk(mm, vma.flags, newLen - oldLen)) return -EAGAIN;
  return mayExpandVm(mm, vma.flags, (newLen - oldLen) / PAGE_SIZE) ? vma : -ENOMEM;
}

/** Lengthens `vma`, at whose end the old range ends, if nothing is in the way. @returns false when something is. */
function expandInPlace(r: Remap, vma: Vma): boolean {
  const { mm } = r;
  const start = vma.end;
  const end = r.addr + r.newLen;
  if (end > TASK_SIZE || findVmaIntersection(mm, start, end) !== undefined) return false;
  const pgoff = vma.pgoff + vmaPages(vma);
  const vmg = { mm, start, end, pgoff, kind: vma, copiedFrom: vma, keepSource: false };
  return vmaMergeNewRange(vmg) !== null;
}

/** The VMA of the new place: a neighbour extended, or a copy. @linux mm/vma.c:copy_vma */
function copyVma(r: Remap, vma: Vma, start: Vaddr): Vma {
  const { mm, addr } = r;
  const end = start + r.newLen;
  settleAnonVma(vma);
  // Without pages the offset is free, and the one of a fresh mapping merges best.
  const fresh = vmaIsAnonymous(vma) && vma.anonVma === null;
  const pgoff = fresh ? vpn(start) : vma.pgoff + (addr - vma.start) / PAGE_SIZE;
  const keepSource = dontUnmaps(r);
  const vmg = { mm, start, end, pgoff, kind: vma, copiedFrom: vma, keepSource };
  const merged = vmaMergeNewRange(vmg);
  if (merged !== null) return merged;
  const copy = new Vma(mm, start, end, vma.flags, pgoff);
  copy.ops = vma.ops;
  copy.anonName = vma.anonName;
  copy.uffdCtx = vma.uffdCtx;
  copy.file = vma.file;
  if (copy.file !== null) copy.file.getFile();
  anonVmaClone(copy, vma);
  vmaInsert(copy);
  return copy;
}

/**
 * MREMAP_DONTUNMAP leaves the old range mapped, empty and not locked any more.
 * @linux mm/mremap.c:dontunmap_complete
 */
function dontunmapComplete(r: Remap): void {
  const { mm, addr, oldLen } = r;
  const end = addr + oldLen;
  let vma = mm.vmas.find(addr);
  if (vma === undefined) return;
  if ((vma.flags & VM_LOCKED) !== 0) {
    if (vma.start < addr) vma = splitVma(vma, addr);
    if (end < vma.end) splitVma(vma, end);
    vmaSetFlags(vma, vma.flags & ~VM_LOCKED_MASK);
  }
  if (vma.start !== addr || vma.end !== end) return;
  // Nothing of it is anywhere any more: a fresh start merges best.
  unlinkAnonVmas(vma);
  if (vmaIsAnonymous(vma)) vma.pgoff = vpn(addr);
}

/**
 * Moves the mapping to `newAddr`, unmapping what is there (MREMAP_FIXED).
 * @returns the new address; -ENOMEM with nothing changed; -EFAULT when what had to be unmapped
 *   was the mapping itself.
 * @linux mm/mremap.c:move_vma
 */
function moveVma(r: Remap, vma: Vma, newAddr: Vaddr): number {
  const { mm, addr, oldLen, newLen } = r;
  const dontUnmap = dontUnmaps(r);
  const adds = MOVE_ADDS + (dontUnmap && (vma.flags & VM_LOCKED) !== 0 ? 1 : 0);
  if (mm.vmas.size + adds > MAX_MAP_COUNT) return -ENOMEM;
  const more = (dontUnmap ? newLen : newLen - oldLen) / PAGE_SIZE;
  if ((vma.flags & VM_ACCOUNT) !== 0 && !vmEnoughMemory(mm, more)) return -ENOMEM;
  let err = zapPrepare(mm, newAddr, newAddr + newLen);
  if (err === 0) err = prepareMove(mm, addr, newAddr, oldLen);
  if (err !== 0) return err;
  unmapRange(mm, newAddr, newAddr + newLen, true);
  const source = mm.vmas.find(addr);
  // A second mapping (old length 0) may have asked for the place of the first.
  if (source === undefined || source.start > addr) {
    freePgtables(mm, newAddr, newAddr + newLen);
    return -EFAULT;
  }
  const locked = (source.flags & VM_LOCKED) !== 0;
  const copy = copyVma(r, source, newAddr);
  movePageTables(mm, addr, newAddr, oldLen);
  freePgtables(mm, newAddr, newAddr + newLen);
  mremapUserfaultfd(copy, addr, newAddr, oldLen);
  if (dontUnmap) dontunmapComplete(r);
  else if (oldLen !== 0) doMunmap(mm, addr, oldLen);
  if (locked) mmPopulate(mm, newAddr + oldLen, newAddr + newLen, true);
  return newAddr;
}

/**
 * MREMAP_FIXED and MREMAP_DONTUNMAP.
 * @linux mm/mremap.c:mremap_to
 */
function mremapTo(r: Remap): number {
  const { mm, addr, newLen, newAddr, flags } = r;
  const vma = checkPrepVma(r);
  if (typeof vma === 'number') return vma;
  const tail = r.oldLen - newLen;
  if (tail > 0) r.oldLen = newLen;
  const fixed = (flags & MREMAP_FIXED) !== 0;
  const replaced = fixed ? countVmaPagesRange(mm, newAddr, newAddr + newLen) : 0;
  const more = dontUnmaps(r) ? r.oldLen / PAGE_SIZE - replaced : 0;
  if (more > 0 && !mayExpandVm(mm, vma.flags, more)) return -ENOMEM;
  const place = getUnmappedArea(mm, newAddr, newLen, fixed ? MAP_FIXED : 0);
  if (place < 0) return place;
  if (rangeIsSealed(mm, place, place + newLen)) return -EPERM;
  if (tail > 0) {
    if (rangeIsSealed(mm, addr + newLen, addr + newLen + tail)) return -EPERM;
    const err = zapPrepare(mm, addr + newLen, addr + newLen + tail);
    if (err !== 0) return err;
  }
  const moved = moveVma(r, vma, place);
  if (moved >= 0 && tail > 0) doMunmap(mm, addr + newLen, tail);
  return moved;
}

/**
 * Moves all that is mapped in the range, gaps and all.
 *
 * @returns the new address; -EFAULT when nothing is mapped at its start, or when one of several
 *   VMAs has a userfaultfd; or what the first move that fails returns. The VMAs before it have moved.
 * @linux mm/mremap.c:remap_move
 */
function remapMove(r: Remap): number {
  const { mm, flags } = r;
  const end = r.addr + r.oldLen;
  const shift = r.newAddr - r.addr;
  let addr = r.addr;
  do {
    const vma = mm.vmas.find(addr);
    if (vma === undefined || vma.start >= end) break;
    if (vma.start > addr && addr === r.addr) return -EFAULT;
    // Who serves its faults would have to be told of each move before the next.
    if (vma.uffdCtx !== null && (addr !== r.addr || vma.end < end)) return -EFAULT;
    addr = Math.max(addr, vma.start);
    const len = Math.min(end, vma.end) - addr;
    const moved = mremapTo({ mm, addr, oldLen: len, newLen: len, flags, newAddr: addr + shift });
    if (moved < 0) return moved;
    addr += len;
  } while (addr < end);
  return addr === r.addr ? -EFAULT : r.newAddr;
}

/** Without a place asked for: shrink, grow in place, or move. @linux mm/mremap.c:mremap_at */
function mremapAt(r: Remap): number {
  const { mm, addr, oldLen, newLen } = r;
  const vma = checkPrepVma(r);
  if (typeof vma === 'number') return vma;
  if (oldLen === newLen) return addr;
  if (oldLen > newLen) return doMunmap(mm, addr + newLen, oldLen - newLen) || addr;
  if (oldLen === vma.end - addr) {
    const more = (newLen - oldLen) / PAGE_SIZE;
    const { flags } = vma;
    if ((flags & VM_ACCOUNT) !== 0 && !vmEnoughMemory(mm, more)) return -ENOMEM;
    if (expandInPlace(r, vma)) {
      if ((flags & VM_LOCKED) !== 0) mmPopulate(mm, addr + oldLen, addr + newLen, true);
      return addr;
    }
  }
  if ((r.flags & MREMAP_MAYMOVE) === 0) return -ENOMEM;
  const place = getUnmappedArea(mm, 0, newLen, 0);
  return place < 0 ? place : moveVma(r, vma, place);
}

/** @returns true when the old and the new range have a page in common. @linux mm/mremap.c:vrm_overlaps */
function rangesOverlap(r: Remap): boolean {
  return r.addr + r.oldLen > r.newAddr && r.newAddr + r.newLen > r.addr;
}

/** @returns 0 or -EINVAL. @linux mm/mremap.c:check_mremap_params */
function checkMremapParams(r: Remap): number {
  const { flags, newLen, newAddr } = r;
  if ((flags & ~(MREMAP_FIXED | MREMAP_MAYMOVE | MREMAP_DONTUNMAP)) !== 0) return -EINVAL;
  if (r.addr % PAGE_SIZE !== 0 || newLen === 0 || newLen > TASK_SIZE) return -EINVAL;
  if (!impliesNewAddr(flags)) return 0;
  if (newAddr > TASK_SIZE - newLen || newAddr % PAGE_SIZE !== 0) return -EINVAL;
  if ((flags & MREMAP_MAYMOVE) === 0) return -EINVAL;
  if (dontUnmaps(r) && r.oldLen !== newLen) return -EINVAL;
  return rangesOverlap(r) ? -EINVAL : 0;
}

/**
 * Resizes or moves a mapping, or moves several that keep their size (MREMAP_FIXED).
 *
 * @returns the address, or -EINVAL, -EFAULT (no such mapping, or a range to resize reaches over
 *   several), -EPERM (sealed), -EAGAIN (RLIMIT_MEMLOCK), -ENOMEM; with nothing changed, but for
 *   the mappings that moved before one that cannot.
 * @linux mm/mremap.c:do_mremap
 */
export function doMremap(
  mm: MmStruct,
  addr: Vaddr,
  oldLen: number,
  newLen: number,
  flags: number,
  newAddr: Vaddr,
): number {
  const r = { mm, addr, oldLen: pageAlignUp(oldLen), newLen: pageAlignUp(newLen), flags, newAddr };
  const err = checkMremapParams(r);
  if (err !== 0) return err;
  const adds = UNMAPS_ADD + MOVE_ADDS + (dontUnmaps(r) ? 1 : 0);
  if (mm.vmas.size + adds > MAX_MAP_COUNT) return -ENOMEM;
  if ((flags & MREMAP_FIXED) !== 0 && r.oldLen === r.newLen) return remapMove(r);
  return impliesNewAddr(flags) ? mremapTo(r) : mremapAt(r);
}
