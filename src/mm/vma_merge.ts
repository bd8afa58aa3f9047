/**
 * Merging and splitting VMAs.
 *
 *     new range N between P and X           range of V gets new flags (n)
 *
 *     PPPP NNNN XXXX -> PPPPPPPPPPPP        PPPP vvvv XXXX -> PPPPPPPPPPPP   whole V
 *     PPPP NNNN  XXX -> PPPPPPPP  XXX       PPPP nnVV      -> PPPPPP VV      front: border moves
 *     PPP  NNNN XXXX -> PPP  XXXXXXXX       VVnn XXXX      -> VV XXXXXX      back: border moves
 *                                           VVnnVV         -> VV nn VV       middle: two splits
 *
 * Two VMAs can be one when flags, file, offset, handler and name agree and their anonymous
 * pages belong to the same AnonVma (or one has none yet). Sticky flags need not agree: what one
 * of them has, all of the merged VMA gets.
 *
 * @linux mm/vma.c:vma_merge_existing_range, vma_merge_new_range, split_vma
 */

import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import type { Vaddr } from '../arch/riscv/pgtable.ts';
import { ENOMEM } from '../uapi/errno.ts';
import { anonVmaClone, anonVmaPrepare } from './anon_vma.ts';
import { MAX_MAP_COUNT } from './mmap_limits.ts';
import {
  Vma,
  type MmStruct,
  type UserfaultfdCtx,
  type VmFile,
  type VmOperations,
} from './mm_types.ts';
import { VM_DONTEXPAND, VM_IO, VM_PFNMAP, VM_STICKY, vmaPages } from './vma.ts';
import { vmaInsert, vmaRemove, vmaSetFlags, vmaSetRange } from './vma_link.ts';

/** VMAs whose extent means something: never merged. @linux include/linux/mm.h:VM_SPECIAL */
export const VM_SPECIAL = VM_IO | VM_DONTEXPAND | VM_PFNMAP;

/** What a range to be mapped has in common with the VMAs it could join. */
export interface VmaKind {
  readonly flags: number;
  readonly file: VmFile | null;
  readonly ops: VmOperations | null;
  readonly anonName: string | null;
  readonly uffdCtx: UserfaultfdCtx | null;
}

/** A range that is about to be mapped, for which neighbours may be extended. @linux mm/vma.h:vma_merge_struct */
export interface VmaMerge {
  readonly mm: MmStruct;
  /** [start, end) is free. */
  readonly start: Vaddr;
  readonly end: Vaddr;
  /** What the VMA's `pgoff` would be. */
  readonly pgoff: number;
  readonly kind: VmaKind;
  /** The VMA whose anonymous pages move into the range; null for a new mapping. */
  readonly copiedFrom: Vma | null;
  /** `copiedFrom` stays mapped (MREMAP_DONTUNMAP), so it cannot be what is extended unless it has pages. */
  readonly keepSource: boolean;
}

/**
 * Linux gives a forked VMA its own AnonVma at fork, here it comes with the first page; whoever
 * compares or clones chains sees the state Linux would have.
 */
export function settleAnonVma(vma: Vma): void {
  if (vma.anonVma === null && vma.anonVmaChain.length !== 0) anonVmaPrepare(vma);
}

function sameKind(vma: Vma, kind: VmaKind): boolean {
  if (((vma.flags ^ kind.flags) & ~VM_STICKY) !== 0 || (vma.flags & VM_SPECIAL) !== 0) {
    return false;
  }
  // One file has one handler, which a mapping under way does not know yet.
  const sameOps = vma.ops === kind.ops || kind.file !== null;
  const sameNames = vma.anonName === kind.anonName && vma.uffdCtx === kind.uffdCtx;
  return vma.file === kind.file && sameOps && sameNames;
}

/** @returns true when a range without anonymous pages may join `vma`. A chain shared with relatives is not made to cover more. */
function anonVmaTakesNew(vma: Vma): boolean {
  settleAnonVma(vma);
  return vma.anonVma === null || vma.anonVmaChain.length === 1;
}

/** @linux mm/vma.c:is_mergeable_anon_vma */
function anonVmasAgree(a: Vma, b: Vma): boolean {
  settleAnonVma(a);
  settleAnonVma(b);
  if (a.anonVma === b.anonVma) return true;
  if (a.anonVma === null) return b.anonVmaChain.length === 1;
  return b.anonVma === null && a.anonVmaChain.length === 1;
}

/** @returns true when `b`, which begins where `a` ends, continues it, were its kind `kind`. */
function continues(a: Vma, b: Vma, kind: VmaKind): boolean {
  return (
    a.end === b.start &&
    sameKind(a, kind) &&
    a.pgoff + vmaPages(a) === b.pgoff &&
    anonVmasAgree(a, b)
  );
}

/** Before `vma` takes over pages of `from`. */
function takeAnonVma(vma: Vma, from: Vma): void {
  if (vma.anonVma === null && from.anonVma !== null) anonVmaClone(vma, from);
}

/** Before `vma` takes over a range with these flags. */
function takeSticky(vma: Vma, flags: number): void {
  const more = flags & VM_STICKY & ~vma.flags;
  if (more !== 0) vmaSetFlags(vma, vma.flags | more);
}

/** Makes `a` cover the directly following `b` as well and ends `b`. */
function absorbNext(a: Vma, b: Vma): void {
  const { end } = b;
  takeAnonVma(a, b);
  takeSticky(a, b.flags);
  vmaRemove(b);
  vmaSetRange(a, a.start, end);
}

/** @returns true when a range that brings the anonymous pages of `from` may join `vma`. */
function anonVmaTakes(vma: Vma, from: Vma | null): boolean {
  if (from === null) return anonVmaTakesNew(vma);
  settleAnonVma(from);
  return from.anonVma === null ? anonVmaTakesNew(vma) : anonVmasAgree(vma, from);
}

/** @returns true when the range may become part of `near`, whose offsets continue it. */
function mayJoin(vmg: VmaMerge, near: Vma): boolean {
  if (!sameKind(near, vmg.kind)) return false;
  const { copiedFrom } = vmg;
  // Without pages its offset would follow the new place, although it stays at the old one.
  if (near === copiedFrom && vmg.keepSource && near.anonVma === null) return false;
  return anonVmaTakes(near, copiedFrom);
}

/** The directly preceding VMA, if the range continues it. */
function prevThatFits(vmg: VmaMerge): Vma | undefined {
  const prev = vmg.mm.vmas.before(vmg.start);
  if (prev === undefined || prev.end !== vmg.start) return undefined;
  return prev.pgoff + vmaPages(prev) === vmg.pgoff && mayJoin(vmg, prev) ? prev : undefined;
}

/** The directly following VMA, if it continues the range. */
function nextThatFits(vmg: VmaMerge): Vma | undefined {
  const next = vmg.mm.vmas.find(vmg.end);
  if (next === undefined || next.start !== vmg.end) return undefined;
  const pgoff = vmg.pgoff + (vmg.end - vmg.start) / PAGE_SIZE;
  return next.pgoff === pgoff && mayJoin(vmg, next) ? next : undefined;
}

/**
 * Extends a neighbour over a free range instead of making a VMA.
 *
 * @returns the VMA that now covers the range, or null when no neighbour fits.
 * @linux mm/vma.c:vma_merge_new_range
 */
export function vmaMergeNewRange(vmg: VmaMerge): Vma | null {
  const { copiedFrom } = vmg;
  const prev = prevThatFits(vmg);
  const next = nextThatFits(vmg);
  const joined = prev ?? next;
  if (joined === undefined) return null;
  // Only what both sides belong to joins them.
  const both = prev !== undefined && next !== undefined && anonVmasAgree(prev, next);
  if (copiedFrom !== null && copiedFrom !== joined) takeAnonVma(joined, copiedFrom);
  takeSticky(joined, vmg.kind.flags);
  if (both) absorbNext(prev, next);
  else if (joined === prev) vmaSetRange(prev, prev.start, vmg.end);
  else vmaSetRange(joined, vmg.start, joined.end);
  return joined;
}

/** A copy of `vma` for [start, end), which lies within it; not yet in the mm. */
function vmAreaDup(vma: Vma, start: Vaddr, end: Vaddr): Vma {
  const dup = new Vma(vma.mm, start, end, vma.flags, vma.pgoff + (start - vma.start) / PAGE_SIZE);
  dup.ops = vma.ops;
  dup.anonName = vma.anonName;
  dup.uffdCtx = vma.uffdCtx;
  dup.file = vma.file;
  if (dup.file !== null) dup.file.getFile();
  settleAnonVma(vma);
  anonVmaClone(dup, vma);
  return dup;
}

/**
 * Cuts `vma` in two at `addr`, strictly inside it, without regard to the limit of VMAs.
 * @returns the part behind `addr`; `vma` is the part before it.
 * @linux mm/vma.c:__split_vma
 */
export function splitVma(vma: Vma, addr: Vaddr): Vma {
  const upper = vmAreaDup(vma, addr, vma.end);
  vmaSetRange(vma, vma.start, addr);
  vmaInsert(upper);
  return upper;
}

/** @returns true when `next`, directly behind `vma`, could begin inside of it. */
function nextFits(vma: Vma, next: Vma | undefined, kind: VmaKind): next is Vma {
  return (
    next !== undefined &&
    vma.end === next.start &&
    sameKind(next, kind) &&
    vma.pgoff + vmaPages(vma) === next.pgoff &&
    anonVmasAgree(vma, next)
  );
}

function vmaSetKind(vma: Vma, kind: VmaKind): void {
  vmaSetFlags(vma, kind.flags);
  vma.anonName = kind.anonName;
  vma.uffdCtx = kind.uffdCtx;
}

/** Gives all of `vma` its new kind and joins it with the neighbours that fit. */
function modifyWhole(vma: Vma, kind: VmaKind, prev: Vma | undefined, next: Vma | undefined): Vma {
  const joinsPrev = prev !== undefined && continues(prev, vma, kind);
  const joinsNext = nextFits(vma, next, kind);
  vmaSetKind(vma, kind);
  if (joinsPrev) {
    const all = joinsNext && (vma.anonVma !== null || anonVmasAgree(prev, next));
    absorbNext(prev, vma);
    if (all) absorbNext(prev, next);
    return prev;
  }
  if (joinsNext) absorbNext(vma, next);
  return vma;
}

/**
 * Gives [start, end) of `vma` other flags or another name, merging with neighbours where they
 * then agree and splitting where they do not.
 *
 * @returns the VMA that now covers the range, or null (-ENOMEM) when there would be too many VMAs.
 * @linux mm/vma.c:vma_modify
 */
export function vmaModify(
  vma: Vma,
  start: Vaddr,
  end: Vaddr,
  flags: number,
  anonName: string | null,
): Vma | null {
  const { file, ops, uffdCtx } = vma;
  return vmaModifyKind(vma, start, end, { flags, file, ops, anonName, uffdCtx });
}

/** As vmaModify(), for all that two VMAs must agree in but their file. */
export function vmaModifyKind(vma: Vma, start: Vaddr, end: Vaddr, kind: VmaKind): Vma | null {
  const { mm } = vma;
  const { flags } = kind;
  const prev = start === vma.start ? mm.vmas.prev(vma) : undefined;
  const next = end === vma.end ? mm.vmas.next(vma) : undefined;
  if (start === vma.start && end === vma.end) return modifyWhole(vma, kind, prev, next);
  if (prev !== undefined && continues(prev, vma, kind)) {
    takeAnonVma(prev, vma);
    takeSticky(prev, flags);
    vmaSetRange(vma, end, vma.end);
    vmaSetRange(prev, prev.start, end);
    return prev;
  }
  if (nextFits(vma, next, kind)) {
    takeAnonVma(next, vma);
    takeSticky(next, flags);
    vmaSetRange(vma, vma.start, start);
    vmaSetRange(next, start, next.end);
    return next;
  }
  if (checkSplits(vma, start, end) !== 0) return null;
  if (end !== vma.end) splitVma(vma, end);
  const part = start === vma.start ? vma : splitVma(vma, start);
  vmaSetKind(part, kind);
  return part;
}

/**
 * @returns -ENOMEM when cutting [start, end) out of `vma` would make too many VMAs.
 * @linux mm/vma.c:split_vma
 */
export function checkSplits(vma: Vma, start: Vaddr, end: Vaddr): number {
  const more = (start > vma.start ? 1 : 0) + (end < vma.end ? 1 : 0);
  return vma.mm.vmas.size + more > MAX_MAP_COUNT ? -ENOMEM : 0;
}
