/**
 * Advice about memory use: some changes VMA flags, some drops or fetches pages, the rest is
 * checked and ignored.
 *
 * @linux mm/madvise.c
 */

import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import { pageAlignUp, type Vaddr } from '../arch/riscv/pgtable.ts';
import { EACCES, EAGAIN, EBADF, EINVAL, ENOMEM, EOPNOTSUPP, EPERM } from '../uapi/errno.ts';
import {
  MADV_COLD,
  MADV_DODUMP,
  MADV_DOFORK,
  MADV_DONTDUMP,
  MADV_DONTFORK,
  MADV_DONTNEED,
  MADV_DONTNEED_LOCKED,
  MADV_FREE,
  MADV_GUARD_INSTALL,
  MADV_GUARD_REMOVE,
  MADV_HUGEPAGE,
  MADV_KEEPONFORK,
  MADV_NOHUGEPAGE,
  MADV_NORMAL,
  MADV_PAGEOUT,
  MADV_POPULATE_READ,
  MADV_POPULATE_WRITE,
  MADV_RANDOM,
  MADV_REMOVE,
  MADV_SEQUENTIAL,
  MADV_WILLNEED,
  MADV_WIPEONFORK,
} from '../uapi/mman.ts';
import { breakCowPteRange } from './cow_pte.ts';
import { GUARD_INSTALL, GUARD_REMOVE } from './guard_regions.ts';
import type { UserSegment } from './iov_iter.ts';
import { madviseColdOrPageout, madviseFree } from './madvise_pages.ts';
import { populateRange } from './memory.ts';
import { ADDRESS_LIMIT } from './mmap_limits.ts';
import type { MmStruct, Vma } from './mm_types.ts';
import { vmaIsSealed } from './mseal.ts';
import { updateHiwaterRss } from './rss.ts';
import {
  VM_DONTCOPY,
  VM_DONTDUMP,
  VM_DROPPABLE,
  VM_HUGEPAGE,
  VM_IO,
  VM_LOCKED,
  VM_MAYBE_GUARD,
  VM_MAYWRITE,
  VM_NOHUGEPAGE,
  VM_PFNMAP,
  VM_RAND_READ,
  VM_READ,
  VM_SEQ_READ,
  VM_SHARED,
  VM_WIPEONFORK,
  VM_WRITE,
  vmaIsAnonymous,
  vmaIsSecretmem,
} from './vma.ts';
import { VM_SPECIAL, vmaModify } from './vma_merge.ts';
import { zapPrepare, zapRange } from './zap.ts';

/** Handles [start, end) of one VMA. @returns 0 or -errno, which ends the call. */
type VmaVisitor = (vma: Vma, start: Vaddr, end: Vaddr) => number;

/**
 * Calls `visit` for every VMA in the range; holes are passed over.
 * @returns what visit() failed with, -ENOMEM if there were holes, else 0.
 * @linux mm/madvise.c:madvise_walk_vmas
 */
function walkVmas(mm: MmStruct, start: Vaddr, end: Vaddr, visit: VmaVisitor): number {
  let unmapped = 0;
  for (let addr = start; addr < end; ) {
    const vma = mm.vmas.find(addr);
    if (vma === undefined) return -ENOMEM;
    if (vma.start > addr) unmapped = -ENOMEM;
    if (vma.start >= end) break;
    const from = Math.max(vma.start, addr);
    const to = Math.min(vma.end, end);
    const err = visit(vma, from, to);
    if (err !== 0) return err;
    addr = to;
  }
  return unmapped;
}

/** Advice that loses what a mapping holds, here or in children. @linux mm/madvise.c:is_discard */
const DISCARDS: readonly number[] = [
  MADV_FREE,
  MADV_DONTNEED,
  MADV_DONTNEED_LOCKED,
  MADV_REMOVE,
  MADV_DONTFORK,
  MADV_WIPEONFORK,
  MADV_GUARD_INSTALL,
];

/** A sealed mapping that its process cannot write keeps what it holds. @linux mm/madvise.c:can_madvise_modify */
function canMadviseModify(vma: Vma, advice: number): boolean {
  if (!vmaIsSealed(vma) || !DISCARDS.includes(advice)) return true;
  return !vmaIsAnonymous(vma) || (vma.flags & VM_WRITE) !== 0;
}

/** VM_* after advice that is kept as flags. @returns flags, or -EINVAL. */
function adviceFlags(vma: Vma, advice: number): number {
  const { flags } = vma;
  switch (advice) {
    case MADV_NORMAL:
      return flags & ~(VM_RAND_READ | VM_SEQ_READ);
    case MADV_SEQUENTIAL:
      return (flags & ~VM_RAND_READ) | VM_SEQ_READ;
    case MADV_RANDOM:
      return (flags & ~VM_SEQ_READ) | VM_RAND_READ;
    case MADV_DONTFORK:
      return flags | VM_DONTCOPY;
    case MADV_DOFORK:
      return (flags & VM_SPECIAL) !== 0 ? -EINVAL : flags & ~VM_DONTCOPY;
    case MADV_WIPEONFORK:
      return vma.file !== null || (flags & VM_SHARED) !== 0 ? -EINVAL : flags | VM_WIPEONFORK;
    case MADV_KEEPONFORK:
      return (flags & VM_DROPPABLE) !== 0 ? -EINVAL : flags & ~VM_WIPEONFORK;
    case MADV_DONTDUMP:
      return flags | VM_DONTDUMP;
    case MADV_DODUMP:
      return (flags & (VM_SPECIAL | VM_DROPPABLE)) !== 0 ? -EINVAL : flags & ~VM_DONTDUMP;
    case MADV_HUGEPAGE:
      return (flags & ~VM_NOHUGEPAGE) | VM_HUGEPAGE;
    case MADV_NOHUGEPAGE:
      return (flags & ~VM_HUGEPAGE) | VM_NOHUGEPAGE;
    default:
      return -EINVAL;
  }
}

/** Too many VMAs is -EAGAIN here. @linux mm/madvise.c:madvise_update_vma */
function updateVma(
  vma: Vma,
  start: Vaddr,
  end: Vaddr,
  flags: number,
  anonName: string | null,
): number {
  if (flags === vma.flags && anonName === vma.anonName) return 0;
  return vmaModify(vma, start, end, flags, anonName) === null ? -EAGAIN : 0;
}

/** Advice that is kept as flags. */
function adviseFlags(vma: Vma, start: Vaddr, end: Vaddr, advice: number): number {
  const flags = adviceFlags(vma, advice);
  return flags < 0 ? flags : updateVma(vma, start, end, flags, vma.anonName);
}

/** @returns 0 if pages of the VMA may be dropped on this advice, else -EINVAL. @linux mm/madvise.c:madvise_dontneed_free_valid_vma */
function mayDrop(vma: Vma, advice: number): number {
  const forbidden = advice === MADV_DONTNEED_LOCKED ? VM_PFNMAP : VM_PFNMAP | VM_LOCKED;
  if ((vma.flags & forbidden) !== 0) return -EINVAL;
  return advice === MADV_FREE && !vmaIsAnonymous(vma) ? -EINVAL : 0;
}

/** What a call that checks its range before it changes anything is about. */
class CheckedRange {
  readonly start: Vaddr;
  /** End of what may be changed: the first VMA that forbids it, or the range's own. */
  stop: Vaddr;
  /** There may be guards. */
  guards = false;

  constructor(start: Vaddr) {
    this.start = start;
    this.stop = start;
  }
}

/** @returns 0; what `valid` says of the first VMA that forbids the advice, or -EPERM; or -ENOMEM for holes. */
function checkRange(
  mm: MmStruct,
  range: CheckedRange,
  end: Vaddr,
  advice: number,
  valid: (vma: Vma, advice: number) => number,
): number {
  return walkVmas(mm, range.start, end, (vma, _from, to) => {
    const err = canMadviseModify(vma, advice) ? valid(vma, advice) : -EPERM;
    if (err !== 0) return err;
    range.stop = to;
    if ((vma.flags & VM_MAYBE_GUARD) !== 0) range.guards = true;
    return 0;
  });
}

/** As walkVmas() for a range that has been checked: holes are no error. */
function walkChecked(mm: MmStruct, range: CheckedRange, visit: VmaVisitor): number {
  let failed = 0;
  walkVmas(mm, range.start, range.stop, (vma, from, to) => {
    failed = visit(vma, from, to);
    return failed;
  });
  return failed;
}

/**
 * MADV_DONTNEED. One zap covers all VMAs up to the first that forbids it, so a shared table
 * that several of them fill is let go of whole.
 * @returns 0, -EINVAL, -EPERM or -ENOMEM as checkRange(); -ENOMEM also with nothing changed.
 * @patch 07/14
 */
function dontneed(mm: MmStruct, start: Vaddr, end: Vaddr, advice: number): number {
  const range = new CheckedRange(start);
  const ret = checkRange(mm, range, end, advice, mayDrop);
  const err = zapPrepare(mm, start, range.stop, range.guards);
  if (err !== 0) return err;
  updateHiwaterRss(mm);
  zapRange(mm, start, range.stop, range.guards);
  return ret;
}

/** MADV_FREE. @returns as dontneed(). @linux mm/madvise.c:madvise_free_single_vma */
function free(mm: MmStruct, start: Vaddr, end: Vaddr): number {
  const range = new CheckedRange(start);
  const ret = checkRange(mm, range, end, MADV_FREE, mayDrop);
  const err = breakCowPteRange(mm, start, range.stop);
  if (err !== 0) return err;
  madviseFree(mm, start, range.stop);
  return ret;
}

/** MADV_GUARD_INSTALL and MADV_GUARD_REMOVE. @returns as dontneed(). */
function guard(mm: MmStruct, start: Vaddr, end: Vaddr, advice: number): number {
  const range = new CheckedRange(start);
  const guards = advice === MADV_GUARD_INSTALL ? GUARD_INSTALL : GUARD_REMOVE;
  const ret = checkRange(mm, range, end, advice, guards.valid);
  const err = walkChecked(mm, range, guards.prepare);
  if (err !== 0) return err;
  updateHiwaterRss(mm);
  walkChecked(mm, range, (vma, from, to) => {
    guards.apply(vma, from, to);
    return 0;
  });
  return ret;
}

/** Frees the file's pages behind a shared mapping. @linux mm/madvise.c:madvise_remove */
function remove(vma: Vma, start: Vaddr, end: Vaddr): number {
  if ((vma.flags & VM_LOCKED) !== 0 || vma.file === null) return -EINVAL;
  const shared = VM_SHARED | VM_MAYWRITE;
  if ((vma.flags & shared) !== shared) return -EACCES;
  const offset = vma.pgoff * PAGE_SIZE - vma.start;
  return vma.file.punchHole?.(start + offset, end + offset) ?? -EOPNOTSUPP;
}

/** @returns 0 or -EINVAL. @linux mm/madvise.c:madvise_cold, madvise_pageout */
function coldOrPageout(vma: Vma, start: Vaddr, end: Vaddr, pageout: boolean): number {
  if ((vma.flags & (VM_LOCKED | VM_PFNMAP)) !== 0) return -EINVAL;
  madviseColdOrPageout(vma, start, end, pageout);
  return 0;
}

/**
 * Faults the range in. Stops at the first hole or VMA that forbids the access.
 * @linux mm/madvise.c:madvise_populate
 */
function populate(mm: MmStruct, start: Vaddr, end: Vaddr, write: boolean): number {
  for (let addr = start; addr < end; ) {
    const vma = mm.vmas.find(addr);
    if (vma === undefined || vma.start > addr) return -ENOMEM;
    const needs = write ? VM_WRITE : VM_READ;
    if ((vma.flags & needs) === 0 || (vma.flags & (VM_IO | VM_PFNMAP)) !== 0) return -EINVAL;
    if (vmaIsSecretmem(vma)) return -EINVAL;
    const to = vma.end < end ? vma.end : end;
    const err = populateRange(mm, addr, to, write);
    if (err !== 0) return err;
    addr = to;
  }
  return 0;
}

/** What advice other than dropping pages does to part of one VMA. @linux mm/madvise.c:madvise_vma_behavior */
function adviseVma(vma: Vma, start: Vaddr, end: Vaddr, advice: number): number {
  if (!canMadviseModify(vma, advice)) return -EPERM;
  switch (advice) {
    case MADV_REMOVE:
      return remove(vma, start, end);
    case MADV_WILLNEED:
      return 0;
    case MADV_COLD:
    case MADV_PAGEOUT:
      return coldOrPageout(vma, start, end, advice === MADV_PAGEOUT);
    default:
      return adviseFlags(vma, start, end, advice);
  }
}

function adviseRange(mm: MmStruct, start: Vaddr, end: Vaddr, advice: number): number {
  switch (advice) {
    case MADV_DONTNEED:
    case MADV_DONTNEED_LOCKED:
      return dontneed(mm, start, end, advice);
    case MADV_FREE:
      return free(mm, start, end);
    case MADV_GUARD_INSTALL:
    case MADV_GUARD_REMOVE:
      return guard(mm, start, end, advice);
    case MADV_POPULATE_READ:
    case MADV_POPULATE_WRITE:
      return populate(mm, start, end, advice === MADV_POPULATE_WRITE);
    default:
      return walkVmas(mm, start, end, (vma, from, to) => adviseVma(vma, from, to, advice));
  }
}

const KNOWN_ADVICE: readonly number[] = [
  MADV_NORMAL,
  MADV_RANDOM,
  MADV_SEQUENTIAL,
  MADV_WILLNEED,
  MADV_DONTNEED,
  MADV_FREE,
  MADV_REMOVE,
  MADV_DONTFORK,
  MADV_DOFORK,
  MADV_HUGEPAGE,
  MADV_NOHUGEPAGE,
  MADV_DONTDUMP,
  MADV_DODUMP,
  MADV_WIPEONFORK,
  MADV_KEEPONFORK,
  MADV_COLD,
  MADV_PAGEOUT,
  MADV_POPULATE_READ,
  MADV_POPULATE_WRITE,
  MADV_DONTNEED_LOCKED,
  MADV_GUARD_INSTALL,
  MADV_GUARD_REMOVE,
];

/** What any range must be: page-aligned at its start, and without wrapping at its end. */
function rangeOk(start: Vaddr, len: number): boolean {
  return start % PAGE_SIZE === 0 && start + pageAlignUp(len) < ADDRESS_LIMIT;
}

function adviseChecked(mm: MmStruct, start: Vaddr, len: number, advice: number): number {
  if (!rangeOk(start, len)) return -EINVAL;
  return len === 0 ? 0 : adviseRange(mm, start, start + pageAlignUp(len), advice);
}

/**
 * @returns 0; -EINVAL (unknown advice, not aligned, not for this kind of mapping); -ENOMEM
 *   (something is not mapped: the rest is done; or memory is out: nothing is done); -EACCES,
 *   -EOPNOTSUPP (MADV_REMOVE); -EPERM (sealed, and the advice would lose what it holds); -EAGAIN
 *   (too many VMAs); -EFAULT (MADV_POPULATE_* past the end of a file).
 * @linux mm/madvise.c:do_madvise
 */
export function doMadvise(mm: MmStruct, start: Vaddr, len: number, advice: number): number {
  return KNOWN_ADVICE.includes(advice) ? adviseChecked(mm, start, len, advice) : -EINVAL;
}

/** Advice that one process may give about the memory of another. @linux mm/madvise.c:process_madvise_remote_valid */
const REMOTE_ADVICE: readonly number[] = [MADV_COLD, MADV_PAGEOUT, MADV_WILLNEED];

/**
 * @param remote it is about the memory of another process.
 * @returns 0, or -EINVAL for advice that is unknown or not for others.
 */
export function processMadviseValid(advice: number, remote: boolean): number {
  const known = remote ? REMOTE_ADVICE : KNOWN_ADVICE;
  return known.includes(advice) ? 0 : -EINVAL;
}

/**
 * The same advice for each segment in turn, up to the first that fails.
 * @returns bytes of the segments done; if there are none, what the first failed with.
 * @linux mm/madvise.c:vector_madvise
 */
export function vectorMadvise(
  mm: MmStruct,
  segments: readonly UserSegment[],
  advice: number,
): number {
  let left = 0;
  for (const { len } of segments) left += len;
  let done = 0;
  for (const { addr, len } of segments) {
    if (done === left) break;
    const err = adviseChecked(mm, addr, len, advice);
    if (err < 0) return done > 0 ? done : err;
    done += len;
  }
  return done;
}

/**
 * PR_SET_VMA_ANON_NAME: the name that /proc/PID/maps shows for anonymous memory.
 *
 * @param name as it stands in `[anon:name]`; null takes the name away.
 * @returns 0; -EINVAL (not aligned); -EBADF (a file is mapped there); -ENOMEM (something is not
 *   mapped: the rest is done); -EAGAIN (too many VMAs).
 * @linux mm/madvise.c:madvise_set_anon_name
 */
export function madviseSetAnonName(
  mm: MmStruct,
  start: Vaddr,
  len: number,
  name: string | null,
): number {
  if (!rangeOk(start, len)) return -EINVAL;
  if (len === 0) return 0;
  return walkVmas(mm, start, start + pageAlignUp(len), (vma, from, to) =>
    vma.file !== null && vma.file.anonShmem !== true
      ? -EBADF
      : updateVma(vma, from, to, vma.flags, name),
  );
}
