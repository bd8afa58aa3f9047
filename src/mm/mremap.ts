/**
 * mremap: shrinking, growing in place, moving.
 *
 *     move      old  [ a b c ] -----------> new [ a b c . . ]
 *               entries change place, pages do not; the old range is then unmapped
 *               (MREMAP_DONTUNMAP: stays mapped and empty)
 *
 * A move is prepared before it is begun: shared tables on both sides are made private and
 * the tables of the new place allocated, so that memory running out changes nothing.
 *
 * @linux mm/mremap.c
 */

import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import { pageAlignUp, TASK_SIZE, vpn, type Vaddr } from '../arch/riscv/pgtable.ts';
import { bug } from '../lib/assert.ts';
import { EAGAIN, EFAULT, EINVAL, ENOMEM, EPERM } from '../uapi/errno.ts';
import { MAP_FIXED, MREMAP_DONTUNMAP, MREMAP_FIXED, MREMAP_MAYMOVE } from '../uapi/mman.ts';
import { anonVmaClone, unlinkAnonVmas } from './anon_vma.ts';
import { mmPopulate } from './gup.ts';
import { doMunmap, findVmaIntersection, getUnmappedArea, unmapRange } from './mmap.ts';
import { MAX_MAP_COUNT, mayExpandVm, mlockFutureOk, vmEnoughMemory } from './mmap_limits.ts';
import { Vma, type MmStruct } from './mm_types.ts';
import { rangeIsSealed, vmaIsSealed } from './mseal.ts';
import { movePageTables, prepareMove } from './move_page_tables.ts';
import {
  VM_ACCOUNT,
  VM_DONTEXPAND,
  VM_LOCKED,
  VM_LOCKONFAULT,
  VM_MAYSHARE,
  VM_PFNMAP,
  VM_SHARED,
  vmaIsAnonymous,
  vmaPages,
} from './vma.ts';
import { vmaInsert } from './vma_link.ts';
import { settleAnonVma, vmaMergeNewRange, vmaModify } from './vma_merge.ts';
import { freePgtables, zapPrepare } from './zap.ts';

/** One call: sizes are page-aligned. */
interface Remap {
  readonly mm: MmStruct;
  readonly addr: Vaddr;
  oldLen: number;
  readonly newLen: number;
  readonly flags: number;
  /** With MREMAP_FIXED, or a hint with MREMAP_DONTUNMAP. */
  readonly newAddr: Vaddr;
}

/** A move adds a few VMAs at worst; none of the steps may then find the limit reached. */
const MAP_COUNT_RESERVE = 3;

/**
 * The VMA to resize, if it may be.
 * @returns it, or -EFAULT, -EINVAL, -EAGAIN, -ENOMEM.
 * @linux mm/mremap.c:vma_to_resize
 */
function vmaToResize(r: Remap): Vma | number {
  const { mm, addr, oldLen, newLen } = r;
  const vma = mm.vmas.find(addr);
  if (vma === undefined || vma.start > addr) return -EFAULT;
  // Old length 0 makes a second mapping of shared memory.
  if (oldLen === 0 && (vma.flags & (VM_SHARED | VM_MAYSHARE)) === 0) return -EINVAL;
  const fixedSize = (vma.flags & (VM_DONTEXPAND | VM_PFNMAP)) !== 0;
  if (fixedSize && (r.flags & MREMAP_DONTUNMAP) !== 0) return -EINVAL;
  if (oldLen > vma.end - addr) return -EFAULT;
  if (newLen === oldLen) return vma;
  if (fixedSize) return -EFAULT;
  if (!mlockFutureOk(mm, vma.flags, newLen - oldLen)) return -EAGAIN;
  return mayExpandVm(mm, vma.flags, (newLen - oldLen) / PAGE_SIZE) ? vma : -ENOMEM;
}

/** Lengthens `vma`, at whose end the old range ends, if nothing is in the way. @returns false when something is. */
function expandInPlace(r: Remap, vma: Vma): boolean {
  const { mm, addr, newLen } = r;
  const { end } = vma;
  const newEnd = addr + newLen;
  if (newEnd > TASK_SIZE || findVmaIntersection(mm, end, newEnd) !== undefined) return false;
  return vmaMergeNewRange(mm, end, newEnd, vma.pgoff + vmaPages(vma), vma, vma) !== null;
}

/** The VMA of the new place: a neighbour extended, or a copy. @linux mm/vma.c:copy_vma */
function copyVma(r: Remap, vma: Vma, newAddr: Vaddr): void {
  const { mm, addr, newLen } = r;
  settleAnonVma(vma);
  // Without pages the offset is free, and the one of a fresh mapping merges best.
  const fresh = vmaIsAnonymous(vma) && vma.anonVma === null;
  const pgoff = fresh ? vpn(newAddr) : vma.pgoff + (addr - vma.start) / PAGE_SIZE;
  if (vmaMergeNewRange(mm, newAddr, newAddr + newLen, pgoff, vma, vma) !== null) return;
  const copy = new Vma(mm, newAddr, newAddr + newLen, vma.flags, pgoff);
  copy.ops = vma.ops;
  copy.anonName = vma.anonName;
  copy.file = vma.file;
  if (copy.file !== null) copy.file.getFile();
  anonVmaClone(copy, vma);
  vmaInsert(copy);
}

/**
 * MREMAP_DONTUNMAP leaves the old range mapped, empty and not locked any more.
 * @linux mm/mremap.c:dontunmap_complete
 */
function leaveOldRange(r: Remap): void {
  const { mm, addr, oldLen } = r;
  const end = addr + oldLen;
  const vma = mm.vmas.find(addr);
  if (vma === undefined) return;
  const locked = vma.flags & (VM_LOCKED | VM_LOCKONFAULT);
  const old = locked === 0 ? vma : vmaModify(vma, addr, end, vma.flags & ~locked, vma.anonName);
  // Nothing of it is anywhere any more: a fresh start merges best.
  if (old !== null && old.start === addr && old.end === end) unlinkAnonVmas(old);
}

/**
 * Moves the mapping to `newAddr`, unmapping what is there (MREMAP_FIXED).
 * @returns the new address, or -ENOMEM with nothing changed.
 * @linux mm/mremap.c:move_vma
 */
function moveVma(r: Remap, vma: Vma, newAddr: Vaddr): number {
  const { mm, addr, oldLen, newLen } = r;
  const dontUnmap = (r.flags & MREMAP_DONTUNMAP) !== 0;
  if (mm.vmas.size >= MAX_MAP_COUNT - MAP_COUNT_RESERVE) return -ENOMEM;
  const more = (dontUnmap ? newLen : newLen - oldLen) / PAGE_SIZE;
  if ((vma.flags & VM_ACCOUNT) !== 0 && !vmEnoughMemory(mm, more)) return -ENOMEM;
  let err = zapPrepare(mm, newAddr, newAddr + newLen);
  if (err === 0) err = prepareMove(mm, addr, newAddr, oldLen);
  if (err !== 0) return err;
  unmapRange(mm, newAddr, newAddr + newLen, true);
  const source = mm.vmas.find(addr);
  if (source === undefined) return bug('move_vma: the source is gone');
  const locked = (source.flags & VM_LOCKED) !== 0;
  copyVma(r, source, newAddr);
  movePageTables(mm, addr, newAddr, oldLen);
  freePgtables(mm, newAddr, newAddr + newLen);
  if (dontUnmap) leaveOldRange(r);
  else if (oldLen !== 0) doMunmap(mm, addr, oldLen);
  if (locked) mmPopulate(mm, newAddr + oldLen, newAddr + newLen, true);
  return newAddr;
}

/** @returns true when the old and the new range have a page in common. */
function rangesOverlap(r: Remap): boolean {
  return r.addr + r.oldLen > r.newAddr && r.newAddr + r.newLen > r.addr;
}

/**
 * MREMAP_FIXED and MREMAP_DONTUNMAP.
 * @linux mm/mremap.c:mremap_to
 */
function mremapTo(r: Remap): number {
  const { mm, addr, newLen, newAddr, flags } = r;
  const fixed = (flags & MREMAP_FIXED) !== 0;
  if (newAddr % PAGE_SIZE !== 0 || newLen > TASK_SIZE || newAddr > TASK_SIZE - newLen)
    return -EINVAL;
  if (rangesOverlap(r)) return -EINVAL;
  if (mm.vmas.size + 2 >= MAX_MAP_COUNT - MAP_COUNT_RESERVE) return -ENOMEM;
  const tail = r.oldLen - newLen;
  if (tail > 0) r.oldLen = newLen;
  const vma = vmaToResize(r);
  if (typeof vma === 'number') return vma;
  const dontUnmap = (flags & MREMAP_DONTUNMAP) !== 0;
  if (dontUnmap && !mayExpandVm(mm, vma.flags, r.oldLen / PAGE_SIZE)) return -ENOMEM;
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

/** Without a place asked for: shrink, grow in place, or move. */
function mremapHere(r: Remap): number {
  const { mm, addr, oldLen, newLen } = r;
  if (oldLen >= newLen) {
    return oldLen === newLen ? addr : doMunmap(mm, addr + newLen, oldLen - newLen) || addr;
  }
  const vma = vmaToResize(r);
  if (typeof vma === 'number') return vma;
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

/**
 * Resizes or moves a mapping.
 *
 * @returns the address, or -EINVAL, -EFAULT (no such mapping, or the old range reaches over
 *   several), -EPERM (sealed), -EAGAIN (RLIMIT_MEMLOCK), -ENOMEM; with nothing changed.
 * @linux mm/mremap.c:SYSCALL_DEFINE5(mremap)
 */
export function doMremap(
  mm: MmStruct,
  addr: Vaddr,
  oldLen: number,
  newLen: number,
  flags: number,
  newAddr: Vaddr,
): number {
  if ((flags & ~(MREMAP_FIXED | MREMAP_MAYMOVE | MREMAP_DONTUNMAP)) !== 0) return -EINVAL;
  const mayMove = (flags & MREMAP_MAYMOVE) !== 0;
  const dontUnmap = (flags & MREMAP_DONTUNMAP) !== 0;
  if ((flags & MREMAP_FIXED) !== 0 && !mayMove) return -EINVAL;
  if (dontUnmap && (!mayMove || oldLen !== newLen)) return -EINVAL;
  if (addr % PAGE_SIZE !== 0 || newLen === 0) return -EINVAL;
  const vma = mm.vmas.find(addr);
  if (vma === undefined || vma.start > addr) return -EFAULT;
  if (vmaIsSealed(vma)) return -EPERM;
  const r = { mm, addr, oldLen: pageAlignUp(oldLen), newLen: pageAlignUp(newLen), flags, newAddr };
  return (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) !== 0 ? mremapTo(r) : mremapHere(r);
}
