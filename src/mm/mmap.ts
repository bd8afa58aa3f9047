/**
 * mmap and munmap.
 *
 * Order of work in every call that unmaps: whatever can fail (making page tables private,
 * limits) comes before the first VMA changes, so -ENOMEM leaves the address space as it was.
 *
 * @linux mm/mmap.c, mm/vma.c
 */

import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import { pageAlignDown, pageAlignUp, TASK_SIZE, vpn, type Vaddr } from '../arch/riscv/pgtable.ts';
import {
  EACCES,
  EAGAIN,
  EEXIST,
  EINVAL,
  ENOMEM,
  EOPNOTSUPP,
  EOVERFLOW,
  EPERM,
} from '../uapi/errno.ts';
import {
  MAP_ANONYMOUS,
  MAP_DENYWRITE,
  MAP_DROPPABLE,
  MAP_EXECUTABLE,
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_GROWSDOWN,
  MAP_HUGETLB,
  MAP_LOCKED,
  MAP_NONBLOCK,
  MAP_NORESERVE,
  MAP_POPULATE,
  MAP_PRIVATE,
  MAP_SHARED,
  MAP_SHARED_VALIDATE,
  MAP_STACK,
  MAP_TYPE,
  MAP_UNINITIALIZED,
  PROT_WRITE,
} from '../uapi/mman.ts';
import { genericFileMmap } from './filemap.ts';
import { mmPopulate } from './gup.ts';
import {
  accountableMapping,
  canDoMlock,
  mapDenyWriteExec,
  MAX_MAP_COUNT,
  mayExpandVm,
  mlockFutureOk,
  MMAP_MIN_ADDR,
  STACK_GUARD_GAP,
  vmEnoughMemory,
} from './mmap_limits.ts';
import { VM_LOCKED_MASK, vmaSupportsMlock } from './mlock.ts';
import { FMODE_READ, FMODE_WRITE, Vma, type MmStruct, type VmFile } from './mm_types.ts';
import { rangeIsSealed } from './mseal.ts';
import { updateHiwaterRss } from './rss.ts';
import { shmemFileSetup } from './shmem.ts';
import {
  VM_ACCESS_FLAGS,
  VM_ACCOUNT,
  VM_DONTDUMP,
  VM_DROPPABLE,
  VM_GROWSDOWN,
  VM_LOCKED,
  VM_MAYEXEC,
  VM_MAYREAD,
  VM_MAYSHARE,
  VM_MAYWRITE,
  VM_NOHUGEPAGE,
  VM_NORESERVE,
  VM_SHARED,
  VM_SOFTDIRTY,
  VM_WIPEONFORK,
} from './vma.ts';
import { vmaInsert, vmaRemove, vmaSetFlags } from './vma_link.ts';
import { splitVma, vmaMergeNewRange } from './vma_merge.ts';
import { freePgtables, zapPrepare, zapRange } from './zap.ts';

/** Where the search for space starts when there is none below mmapBase. @linux TASK_UNMAPPED_BASE */
const TASK_UNMAPPED_BASE = pageAlignUp(TASK_SIZE / 3);
/** Flags that mmap knew before MAP_SHARED_VALIDATE; MAP_SHARED ignores all others. */
const LEGACY_MAP_MASK =
  MAP_SHARED |
  MAP_PRIVATE |
  MAP_FIXED |
  MAP_ANONYMOUS |
  MAP_DENYWRITE |
  MAP_EXECUTABLE |
  MAP_UNINITIALIZED |
  MAP_GROWSDOWN |
  MAP_LOCKED |
  MAP_NORESERVE |
  MAP_POPULATE |
  MAP_NONBLOCK |
  MAP_STACK |
  MAP_HUGETLB;
/** Largest file offset in pages: 2^63 bytes. */
const MAX_PGOFF = 2 ** 51;

/** The first VMA that ends behind `addr`. @linux mm/mmap.c:find_vma */
export function findVma(mm: MmStruct, addr: Vaddr): Vma | undefined {
  return mm.vmas.find(addr);
}

/** @returns the first VMA that overlaps [start, end). @linux include/linux/mm.h:find_vma_intersection */
export function findVmaIntersection(mm: MmStruct, start: Vaddr, end: Vaddr): Vma | undefined {
  const vma = mm.vmas.find(start);
  return vma !== undefined && vma.start < end ? vma : undefined;
}

/** Lowest address that nothing but `vma` may use: a stack keeps a gap below. @linux include/linux/mm.h:vm_start_gap */
export function vmStartGap(vma: Vma): Vaddr {
  if ((vma.flags & VM_GROWSDOWN) === 0) return vma.start;
  return Math.max(0, vma.start - STACK_GUARD_GAP);
}

/** Free space of `len` bytes below `high`, the highest there is. @linux mm/mmap.c:vm_unmapped_area */
function unmappedAreaTopdown(mm: MmStruct, len: number, high: Vaddr): number {
  for (let top = high; ; ) {
    const addr = mm.vmas.findGapDown(len, MMAP_MIN_ADDR, top, PAGE_SIZE);
    if (addr < 0) return -ENOMEM;
    const next = mm.vmas.find(addr);
    if (next === undefined || vmStartGap(next) >= addr + len) return addr;
    top = vmStartGap(next);
  }
}

function unmappedAreaBottomup(mm: MmStruct, len: number, low: Vaddr): number {
  for (let bottom = low; ; ) {
    const addr = mm.vmas.findGapUp(len, bottom, TASK_SIZE, PAGE_SIZE);
    if (addr < 0) return -ENOMEM;
    const next = mm.vmas.find(addr);
    if (next === undefined || vmStartGap(next) >= addr + len) return addr;
    bottom = next.end;
  }
}

/**
 * Where a mapping of `len` bytes (page-aligned) goes.
 * @param addr page-aligned hint, or the address itself with MAP_FIXED; 0: anywhere.
 * @returns an address, -ENOMEM, -EINVAL (fixed and not aligned) or -EPERM (fixed below mmap_min_addr).
 * @linux mm/mmap.c:get_unmapped_area, arch_get_unmapped_area_topdown
 */
export function getUnmappedArea(mm: MmStruct, addr: Vaddr, len: number, flags: number): number {
  if (len > TASK_SIZE - MMAP_MIN_ADDR) return -ENOMEM;
  if ((flags & MAP_FIXED) !== 0) {
    if (addr > TASK_SIZE - len) return -ENOMEM;
    if (addr % PAGE_SIZE !== 0) return -EINVAL;
    return addr < MMAP_MIN_ADDR && !mm.mayMapLow ? -EPERM : addr;
  }
  if (addr !== 0 && addr <= TASK_SIZE - len && addr >= MMAP_MIN_ADDR) {
    const next = mm.vmas.find(addr);
    if (next === undefined || addr + len <= vmStartGap(next)) return addr;
  }
  const found = mm.mmapBase === 0 ? -ENOMEM : unmappedAreaTopdown(mm, len, mm.mmapBase);
  return found >= 0 ? found : unmappedAreaBottomup(mm, len, TASK_UNMAPPED_BASE);
}

/** Pages of VMAs within [start, end). @linux mm/mmap.c:count_vma_pages_range */
export function countVmaPagesRange(mm: MmStruct, start: Vaddr, end: Vaddr): number {
  let pages = 0;
  let vma = findVmaIntersection(mm, start, end);
  while (vma !== undefined && vma.start < end) {
    pages += (Math.min(end, vma.end) - Math.max(start, vma.start)) / PAGE_SIZE;
    vma = mm.vmas.next(vma);
  }
  return pages;
}

/** VM_* that any kind of mapping gets. @linux include/linux/mman.h:calc_vm_flag_bits */
function calcVmFlagBits(mm: MmStruct, prot: number, flags: number): number {
  let bits = (prot & VM_ACCESS_FLAGS) | mm.defFlags | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC;
  if ((flags & MAP_GROWSDOWN) !== 0) bits |= VM_GROWSDOWN;
  if ((flags & MAP_LOCKED) !== 0) bits |= VM_LOCKED;
  if ((flags & MAP_STACK) !== 0) bits |= VM_NOHUGEPAGE;
  if ((flags & MAP_NORESERVE) !== 0) bits |= VM_NORESERVE;
  return bits;
}

/** The flags of a file mapping. @returns VM_* (never negative here) or -errno. */
function fileVmFlags(file: VmFile, prot: number, flags: number, vmFlags: number): number {
  const type = flags & MAP_TYPE;
  const fMode = file.fMode ?? FMODE_READ | FMODE_WRITE;
  let bits = vmFlags;
  if (type === MAP_SHARED || type === MAP_SHARED_VALIDATE) {
    if (type === MAP_SHARED_VALIDATE && (flags & ~LEGACY_MAP_MASK) !== 0) return -EOPNOTSUPP;
    if ((prot & PROT_WRITE) !== 0 && (fMode & FMODE_WRITE) === 0) return -EACCES;
    bits |= VM_SHARED | VM_MAYSHARE;
    if ((fMode & FMODE_WRITE) === 0) bits &= ~(VM_MAYWRITE | VM_SHARED);
  } else if (type !== MAP_PRIVATE) return -EINVAL;
  if ((fMode & FMODE_READ) === 0) return -EACCES;
  return (bits & VM_GROWSDOWN) !== 0 ? -EINVAL : bits;
}

/** The flags of a mapping without a file. @returns VM_* or -errno. */
function anonVmFlags(flags: number, vmFlags: number): number {
  switch (flags & MAP_TYPE) {
    case MAP_SHARED:
      return (vmFlags & VM_GROWSDOWN) !== 0 ? -EINVAL : vmFlags | VM_SHARED | VM_MAYSHARE;
    case MAP_DROPPABLE:
      if ((flags & (MAP_LOCKED | MAP_GROWSDOWN)) !== 0) return -EINVAL;
      return vmFlags | VM_DROPPABLE | VM_NORESERVE | VM_WIPEONFORK | VM_DONTDUMP;
    case MAP_PRIVATE:
      return vmFlags;
    default:
      return -EINVAL;
  }
}

/**
 * Maps `len` bytes of a file, or anonymous memory.
 *
 * @param flags MAP_*; MAP_ANONYMOUS goes with `file` null.
 * @param pgoff offset in the file in pages.
 * @returns the address, or -EINVAL, -ENOMEM, -EACCES, -EAGAIN, -EEXIST, -EOVERFLOW, -EOPNOTSUPP,
 *   -EPERM, or what the file's mmap returned.
 * @linux mm/mmap.c:do_mmap
 */
export function doMmap(
  mm: MmStruct,
  addr: Vaddr,
  len: number,
  prot: number,
  flags: number,
  file: VmFile | null,
  pgoff: number,
): number {
  if (len === 0) return -EINVAL;
  const fixed = (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) !== 0;
  const bytes = pageAlignUp(len);
  if (bytes > TASK_SIZE) return -ENOMEM;
  if (pgoff + bytes / PAGE_SIZE > MAX_PGOFF) return -EOVERFLOW;
  if (mm.vmas.size > MAX_MAP_COUNT) return -ENOMEM;
  const hint = fixed ? addr : roundHintToMin(addr);
  const at = getUnmappedArea(mm, hint, bytes, fixed ? flags | MAP_FIXED : flags);
  if (at < 0) return at;
  const noReplace = (flags & MAP_FIXED_NOREPLACE) !== 0;
  if (noReplace && findVmaIntersection(mm, at, at + bytes) !== undefined) return -EEXIST;
  const base = calcVmFlagBits(mm, prot, flags);
  if ((flags & MAP_LOCKED) !== 0 && !canDoMlock(mm)) return -EPERM;
  if (!mlockFutureOk(mm, base, bytes)) return -EAGAIN;
  // There are no huge pages set aside.
  if ((flags & MAP_HUGETLB) !== 0) return file === null ? -ENOMEM : -EINVAL;
  const vmFlags = file === null ? anonVmFlags(flags, base) : fileVmFlags(file, prot, flags, base);
  if (vmFlags < 0) return vmFlags;
  const err = mmapRegion(mm, at, at + bytes, vmFlags, file, pgoff);
  if (err !== 0) return err;
  const populate = (flags & (MAP_POPULATE | MAP_NONBLOCK)) === MAP_POPULATE;
  if (populate || (vmFlags & VM_LOCKED) !== 0) mmPopulate(mm, at, at + bytes, true);
  return at;
}

/** @linux mm/mmap.c:round_hint_to_min */
function roundHintToMin(addr: Vaddr): Vaddr {
  const hint = pageAlignDown(addr);
  return hint !== 0 && hint < MMAP_MIN_ADDR ? MMAP_MIN_ADDR : hint;
}

/**
 * Puts a mapping at [start, end), replacing what is there.
 * @returns 0 or -errno; -ENOMEM with nothing changed.
 * @linux mm/vma.c:mmap_region
 */
function mmapRegion(
  mm: MmStruct,
  start: Vaddr,
  end: Vaddr,
  vmFlags: number,
  file: VmFile | null,
  pgoff: number,
): number {
  const pages = (end - start) / PAGE_SIZE;
  if (mapDenyWriteExec(mm, vmFlags, vmFlags)) return -EACCES;
  if (!mayExpandVm(mm, vmFlags, pages)) {
    const replaced = countVmaPagesRange(mm, start, end);
    if (!mayExpandVm(mm, vmFlags, pages - replaced)) return -ENOMEM;
  }
  // What is new counts as written, or unmapping and mapping again would hide a change.
  let flags = vmFlags | VM_SOFTDIRTY;
  if (accountableMapping(flags)) {
    if (!vmEnoughMemory(mm, pages)) return -ENOMEM;
    flags |= VM_ACCOUNT;
  }
  const err = unmapRange(mm, start, end, false);
  if (err !== 0) return err;
  const shared = (flags & VM_SHARED) !== 0;
  const offset = file !== null ? pgoff : shared ? 0 : vpn(start);
  const kind = { flags, file, ops: null, anonName: null, uffdCtx: null };
  const mayMerge = file !== null || !shared;
  const vmg = { mm, start, end, pgoff: offset, kind, copiedFrom: null, keepSource: false };
  if (mayMerge && vmaMergeNewRange(vmg) !== null) return 0;
  const vma = new Vma(mm, start, end, flags, offset);
  const failed = connectFile(vma, file);
  if (failed !== 0) return failed;
  vmaInsert(vma);
  // mlockall(MCL_FUTURE) asks for what some mappings cannot give.
  if ((flags & VM_LOCKED) !== 0 && !vmaSupportsMlock(vma)) {
    vmaSetFlags(vma, vma.flags & ~VM_LOCKED_MASK);
  }
  return 0;
}

/** Gives a new VMA its file and handler. @returns 0 or -errno with nothing held. */
function connectFile(vma: Vma, file: VmFile | null): number {
  if (file === null) {
    if ((vma.flags & VM_SHARED) === 0) return 0;
    const bytes = vma.end - vma.start;
    vma.file = shmemFileSetup(vma.mm.pgdat, '/dev/zero (deleted)', bytes);
    return genericFileMmap(vma.file, vma);
  }
  file.getFile();
  vma.file = file;
  const err = file.mmap === undefined ? genericFileMmap(file, vma) : file.mmap(vma);
  if (err === 0) return 0;
  vma.file = null;
  file.putFile();
  return err;
}

/** Splits whatever reaches over `start` or `end`, so that VMAs end there. */
function splitAtEnds(mm: MmStruct, start: Vaddr, end: Vaddr): void {
  const first = mm.vmas.find(start);
  if (first !== undefined && first.start < start) splitVma(first, start);
  const last = mm.vmas.find(end);
  if (last !== undefined && last.start < end) splitVma(last, end);
}

/**
 * Removes all VMAs and pages of [start, end), which is page-aligned.
 * @param keepTables leave emptied page tables in place, for a caller that fills them again.
 * @returns 0, or -ENOMEM or -EPERM (part of it is sealed) with nothing changed.
 * @linux mm/vma.c:do_vmi_align_munmap
 */
export function unmapRange(mm: MmStruct, start: Vaddr, end: Vaddr, keepTables: boolean): number {
  const first = findVmaIntersection(mm, start, end);
  if (first === undefined) return 0;
  // Only a hole within one VMA leaves more VMAs behind.
  if (first.start < start && end < first.end && mm.vmas.size >= MAX_MAP_COUNT) return -ENOMEM;
  if (rangeIsSealed(mm, start, end)) return -EPERM;
  const err = zapPrepare(mm, start, end);
  if (err !== 0) return err;
  updateHiwaterRss(mm);
  splitAtEnds(mm, start, end);
  zapRange(mm, start, end);
  let vma = findVmaIntersection(mm, start, end);
  const from = vma === undefined ? start : vma.start;
  let to = start;
  while (vma !== undefined) {
    to = vma.end;
    vmaRemove(vma);
    vma = findVmaIntersection(mm, start, end);
  }
  if (!keepTables) freePgtables(mm, from, to);
  return 0;
}

/**
 * @returns 0, -EINVAL, or -ENOMEM or -EPERM (part of it is sealed) with nothing changed.
 * @linux mm/mmap.c:do_munmap
 */
export function doMunmap(mm: MmStruct, addr: Vaddr, len: number): number {
  if (addr % PAGE_SIZE !== 0 || addr > TASK_SIZE || len > TASK_SIZE - addr) return -EINVAL;
  const bytes = pageAlignUp(len);
  return bytes === 0 ? -EINVAL : unmapRange(mm, addr, addr + bytes, false);
}
