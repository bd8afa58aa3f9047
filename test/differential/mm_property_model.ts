/**
 * The memory of processes as simply as it can be said: a map from page number to what is
 * there. Nothing is shared but files, nothing is copied late. The real memory manager must not
 * be tellable from this.
 */

import { EACCES, EEXIST, EFAULT, EINVAL, ENOMEM, EPERM } from '../../src/uapi/errno.ts';
import {
  MADV_COLD,
  MADV_DODUMP,
  MADV_DOFORK,
  MADV_DONTDUMP,
  MADV_DONTFORK,
  MADV_DONTNEED,
  MADV_FREE,
  MADV_GUARD_INSTALL,
  MADV_GUARD_REMOVE,
  MADV_KEEPONFORK,
  MADV_PAGEOUT,
  MADV_POPULATE_READ,
  MADV_POPULATE_WRITE,
  MADV_REMOVE,
  MADV_WIPEONFORK,
  PROT_READ,
  PROT_WRITE,
} from '../../src/uapi/mman.ts';

/** Words of a page that programs use; the rest stays zero. */
export const WORD_OFFSETS = [0, 1024, 2052, 4092] as const;

/** The words at WORD_OFFSETS. Never changed in place. */
export type Content = readonly number[];
export const ZERO: Content = [0, 0, 0, 0];

/** A file, or the object behind shared anonymous memory. */
export class FileObject {
  readonly pages = new Map<number, Content>();
  /** In pages. */
  size: number;

  constructor(size: number) {
    this.size = size;
  }
}

/** An open file: several may name one object. */
export interface Handle {
  readonly object: FileObject;
  readonly writable: boolean;
}

export const UNLOCKED = 0;
export const LOCKED = 1;
export const LOCKED_ON_FAULT = 2;

export interface PageState {
  prot: number;
  /** MAP_SHARED was asked for. */
  shared: boolean;
  mayWrite: boolean;
  handle: Handle | null;
  /** Page within the file. */
  index: number;
  /** What the process wrote to a private page; null: never, or dropped. */
  own: Content | null;
  dontFork: boolean;
  wipeOnFork: boolean;
  dontDump: boolean;
  locked: number;
  /** Any touch is SIGSEGV. */
  guard: boolean;
  sealed: boolean;
}

export class Proc {
  pages = new Map<number, PageState>();
  startBrk = 0;
  brk = 0;

  clone(): Proc {
    const copy = new Proc();
    for (const [page, state] of this.pages) copy.pages.set(page, { ...state });
    copy.startBrk = this.startBrk;
    copy.brk = this.brk;
    return copy;
  }

  /** What a child gets. */
  fork(): Proc {
    const child = new Proc();
    for (const [page, state] of this.pages) {
      if (state.dontFork) continue;
      const own = state.wipeOnFork ? null : state.own;
      const guard = state.guard && !state.wipeOnFork;
      child.pages.set(page, { ...state, own, guard, locked: UNLOCKED });
    }
    child.startBrk = this.startBrk;
    child.brk = this.brk;
    return child;
  }
}

export function isFree(proc: Proc, page: number, len: number): boolean {
  for (let i = 0; i < len; i++) if (proc.pages.has(page + i)) return false;
  return true;
}

/** @returns true when a page of the range is sealed, which forbids to unmap or replace it. */
export function isSealed(proc: Proc, page: number, len: number): boolean {
  for (let i = 0; i < len; i++) if (proc.pages.get(page + i)?.sealed === true) return true;
  return false;
}

/** @returns null where an access is SIGBUS or SIGSEGV. */
export function contentOf(state: PageState): Content | null {
  const { handle } = state;
  if (state.guard) return null;
  if (handle !== null && state.index >= handle.object.size) return null;
  if (state.own !== null) return state.own;
  return handle === null ? ZERO : (handle.object.pages.get(state.index) ?? ZERO);
}

function unmap(proc: Proc, page: number, len: number): void {
  for (let i = 0; i < len; i++) proc.pages.delete(page + i);
}

/** Faults a page in; only a private writable page of a file is changed by that. @returns false when it cannot be had. */
function populatePage(state: PageState, write: boolean): boolean {
  const content = contentOf(state);
  if (content === null) return false;
  if (write && !state.shared && state.handle !== null) state.own = content;
  return true;
}

/** As mlock and MAP_POPULATE do. @returns 0, or -EFAULT at the first page that cannot be had, if errors count. */
function populateRange(proc: Proc, page: number, len: number, ignoreErrors: boolean): number {
  for (let i = 0; i < len; i++) {
    const state = proc.pages.get(page + i);
    if (state === undefined || state.locked === LOCKED_ON_FAULT) continue;
    const ok = state.prot !== 0 && populatePage(state, (state.prot & PROT_WRITE) !== 0);
    if (!ok && !ignoreErrors) return -EFAULT;
  }
  return 0;
}

export interface MmapArgs {
  readonly page: number;
  readonly len: number;
  readonly prot: number;
  readonly shared: boolean;
  /** null: anonymous. */
  readonly handle: Handle | null;
  readonly index: number;
  readonly mode: 'fixed' | 'noreplace' | 'hint' | 'any';
  readonly locked: boolean;
  readonly populate: boolean;
}

/** A place the kernel chose must be free; `-1` is what no call returns. */
function chosenPlace(proc: Proc, got: number, len: number): number {
  return got > 0 && isFree(proc, got, len) ? got : -1;
}

/** All calls take and give pages; `got` is what the real call returned, for places that the kernel chooses. */
export function mmap(proc: Proc, a: MmapArgs, got: number): number {
  const { len, prot, shared, handle } = a;
  if (len === 0) return -EINVAL;
  const fixed = a.mode === 'fixed' || a.mode === 'noreplace';
  if (a.mode === 'noreplace' && !isFree(proc, a.page, len)) return -EEXIST;
  const denied = shared && handle !== null && !handle.writable;
  if (denied && (prot & PROT_WRITE) !== 0) return -EACCES;
  const asHinted = fixed || (a.mode === 'hint' && isFree(proc, a.page, len));
  const page = asHinted ? a.page : chosenPlace(proc, got, len);
  if (page < 0) return page;
  if (isSealed(proc, page, len)) return -EPERM;
  unmap(proc, page, len);
  const backing =
    shared && handle === null ? { object: new FileObject(len), writable: true } : handle;
  for (let i = 0; i < len; i++) {
    proc.pages.set(page + i, {
      prot,
      shared,
      mayWrite: !denied,
      handle: backing,
      index: handle === null ? i : a.index + i,
      own: null,
      dontFork: false,
      wipeOnFork: false,
      dontDump: false,
      locked: a.locked ? LOCKED : UNLOCKED,
      guard: false,
      sealed: false,
    });
  }
  if (a.populate || a.locked) populateRange(proc, page, len, true);
  return page;
}

export function munmap(proc: Proc, page: number, len: number): number {
  if (len === 0) return -EINVAL;
  if (isSealed(proc, page, len)) return -EPERM;
  unmap(proc, page, len);
  return 0;
}

export function mprotect(proc: Proc, page: number, len: number, prot: number): number {
  for (let at = page; at < page + len; at++) {
    const state = proc.pages.get(at);
    if (state === undefined) return -ENOMEM;
    if ((prot & PROT_WRITE) !== 0 && !state.mayWrite) return -EACCES;
    if (state.sealed) return -EPERM;
    const becomesWritable = (prot & ~state.prot & PROT_WRITE) !== 0;
    state.prot = prot;
    if (becomesWritable && !state.shared && state.locked === LOCKED) populatePage(state, true);
  }
  return 0;
}

function adviseFlags(state: PageState, advice: number): number {
  if (advice === MADV_WIPEONFORK && state.handle !== null) return -EINVAL;
  if (advice === MADV_DONTFORK) state.dontFork = true;
  else if (advice === MADV_DOFORK) state.dontFork = false;
  else if (advice === MADV_WIPEONFORK) state.wipeOnFork = true;
  else if (advice === MADV_KEEPONFORK) state.wipeOnFork = false;
  else if (advice === MADV_DONTDUMP) state.dontDump = true;
  else if (advice === MADV_DODUMP) state.dontDump = false;
  return 0;
}

const DISCARDS: readonly number[] = [
  MADV_DONTFORK,
  MADV_DONTNEED,
  MADV_FREE,
  MADV_GUARD_INSTALL,
  MADV_REMOVE,
  MADV_WIPEONFORK,
];

function sealForbids(state: PageState, advice: number): boolean {
  const loses = state.sealed && state.handle === null && (state.prot & PROT_WRITE) === 0;
  return loses && DISCARDS.includes(advice);
}

function advisePage(state: PageState, advice: number): number {
  if (sealForbids(state, advice)) return -EPERM;
  switch (advice) {
    case MADV_FREE:
    case MADV_DONTNEED:
      if (state.locked !== UNLOCKED) return -EINVAL;
      if (advice === MADV_FREE && state.handle !== null) return -EINVAL;
      // What MADV_FREE gives up stays until memory is short, which only swap machines are.
      if (advice === MADV_DONTNEED) state.own = null;
      return 0;
    case MADV_REMOVE:
      if (state.locked !== UNLOCKED || state.handle === null) return -EINVAL;
      if (!state.shared || !state.mayWrite) return -EACCES;
      state.handle.object.pages.delete(state.index);
      return 0;
    case MADV_GUARD_INSTALL:
      if (state.locked !== UNLOCKED) return -EINVAL;
      state.own = null;
      state.guard = true;
      return 0;
    case MADV_GUARD_REMOVE:
      state.guard = false;
      return 0;
    case MADV_COLD:
    case MADV_PAGEOUT:
      return state.locked === UNLOCKED ? 0 : -EINVAL;
    default:
      return adviseFlags(state, advice);
  }
}

function advisePopulate(proc: Proc, page: number, len: number, write: boolean): number {
  for (let at = page; at < page + len; at++) {
    const state = proc.pages.get(at);
    if (state === undefined) return -ENOMEM;
    if ((state.prot & (write ? PROT_WRITE : PROT_READ)) === 0) return -EINVAL;
    if (!populatePage(state, write)) return -EFAULT;
  }
  return 0;
}

export function madvise(proc: Proc, page: number, len: number, advice: number): number {
  if (advice === MADV_POPULATE_READ || advice === MADV_POPULATE_WRITE) {
    return advisePopulate(proc, page, len, advice === MADV_POPULATE_WRITE);
  }
  let unmapped = 0;
  for (let at = page; at < page + len; at++) {
    const state = proc.pages.get(at);
    if (state === undefined) {
      unmapped = -ENOMEM;
      continue;
    }
    const err = advisePage(state, advice);
    if (err !== 0) return err;
  }
  return unmapped;
}

export function mlock(proc: Proc, page: number, len: number, kind: number): number {
  for (let at = page; at < page + len; at++) {
    const state = proc.pages.get(at);
    if (state === undefined) return -ENOMEM;
    state.locked = kind;
  }
  if (kind === UNLOCKED) return 0;
  return populateRange(proc, page, len, false) === 0 ? 0 : -ENOMEM;
}

export function mseal(proc: Proc, page: number, len: number): number {
  for (let at = page; at < page + len; at++) if (!proc.pages.has(at)) return -ENOMEM;
  for (let at = page; at < page + len; at++) proc.pages.get(at)!.sealed = true;
  return 0;
}

export function brk(proc: Proc, to: number): number {
  if (to < proc.startBrk) return proc.brk;
  if (to < proc.brk) {
    // Where nothing is left of the heap it cannot shrink.
    if (isFree(proc, to, proc.brk - to)) return proc.brk;
    if (isSealed(proc, to, proc.brk - to)) return proc.brk;
    unmap(proc, to, proc.brk - to);
  } else if (to > proc.brk) {
    // One page stays free behind the heap.
    if (!isFree(proc, proc.brk, to - proc.brk + 1)) return proc.brk;
    for (let page = proc.brk; page < to; page++) {
      proc.pages.set(page, {
        prot: PROT_READ | PROT_WRITE,
        shared: false,
        mayWrite: true,
        handle: null,
        index: 0,
        own: null,
        dontFork: false,
        wipeOnFork: false,
        dontDump: false,
        locked: UNLOCKED,
        guard: false,
        sealed: false,
      });
    }
  }
  proc.brk = to;
  return to;
}

export interface MremapArgs {
  readonly page: number;
  readonly oldLen: number;
  readonly newLen: number;
  readonly mayMove: boolean;
  readonly fixed: boolean;
  readonly dontUnmap: boolean;
  readonly newPage: number;
}

function movePages(proc: Proc, a: MremapArgs, oldLen: number, to: number): void {
  const { page, newLen } = a;
  const first = proc.pages.get(page)!;
  const moved: PageState[] = [];
  for (let i = 0; i < newLen; i++) {
    const from = i < oldLen ? proc.pages.get(page + i)! : first;
    const index = first.index + i;
    const own = i < oldLen ? from.own : null;
    moved.push({ ...from, index, own, guard: i < oldLen && from.guard });
  }
  unmap(proc, to, newLen);
  for (let i = 0; i < oldLen; i++) {
    const old = proc.pages.get(page + i)!;
    if (a.dontUnmap) {
      old.own = null;
      old.guard = false;
      old.locked = UNLOCKED;
    } else proc.pages.delete(page + i);
  }
  for (let i = 0; i < newLen; i++) proc.pages.set(to + i, moved[i]!);
  if (first.locked !== UNLOCKED) populateRange(proc, to + oldLen, newLen - oldLen, true);
}

/** All that is mapped in the range, page by page; what is at the new place stays where nothing comes. */
function moveSeveral(proc: Proc, a: MremapArgs): void {
  const { page, oldLen, newPage } = a;
  for (let i = 0; i < oldLen; i++) {
    if (!proc.pages.has(page + i)) continue;
    const one = { ...a, page: page + i, oldLen: 1, newLen: 1 };
    movePages(proc, one, 1, newPage + i);
  }
}

function mremapTo(proc: Proc, a: MremapArgs, vmaEnd: number, got: number): number {
  const { page, newLen, newPage } = a;
  if (a.fixed && a.oldLen === newLen) {
    if (isSealed(proc, newPage, newLen)) return -EPERM;
    moveSeveral(proc, a);
    return newPage;
  }
  const oldLen = Math.min(a.oldLen, newLen);
  if (oldLen === 0 && !proc.pages.get(page)!.shared) return -EINVAL;
  if (oldLen > vmaEnd - page) return -EFAULT;
  const asHinted = a.fixed || isFree(proc, newPage, newLen);
  const to = asHinted ? newPage : chosenPlace(proc, got, newLen);
  if (to < 0) return to;
  if (isSealed(proc, to, newLen)) return -EPERM;
  if (isSealed(proc, page + newLen, a.oldLen - newLen)) return -EPERM;
  if (a.fixed && oldLen === 0 && to <= page && page < to + newLen) {
    // The place of the second mapping is cleared first, and that was the first mapping.
    unmap(proc, to, newLen);
    return -EFAULT;
  }
  movePages(proc, a, oldLen, to);
  unmap(proc, page + newLen, Math.max(0, a.oldLen - newLen));
  return to;
}

function growInPlace(proc: Proc, page: number, oldLen: number, newLen: number): void {
  const last = proc.pages.get(page + oldLen - 1)!;
  for (let i = oldLen; i < newLen; i++) {
    proc.pages.set(page + i, {
      ...last,
      index: last.index + 1 + i - oldLen,
      own: null,
      guard: false,
    });
  }
  if (last.locked !== UNLOCKED) populateRange(proc, page + oldLen, newLen - oldLen, true);
}

/** @param vmaEnd where the real VMA of `page` ends: what is one mapping is not the model's business. */
export function mremap(proc: Proc, a: MremapArgs, vmaEnd: number, got: number): number {
  const { page, oldLen, newLen } = a;
  if (a.dontUnmap && oldLen !== newLen) return -EINVAL;
  if (newLen === 0) return -EINVAL;
  const placed = a.fixed || a.dontUnmap;
  if (placed && page + oldLen > a.newPage && a.newPage + newLen > page) return -EINVAL;
  const state = proc.pages.get(page);
  if (state === undefined) return -EFAULT;
  if (state.sealed) return -EPERM;
  if (placed) return mremapTo(proc, a, vmaEnd, got);
  if (oldLen >= newLen) {
    if (isSealed(proc, page + newLen, oldLen - newLen)) return -EPERM;
    unmap(proc, page + newLen, oldLen - newLen);
    return page;
  }
  if (oldLen === 0 && !state.shared) return -EINVAL;
  if (oldLen > vmaEnd - page) return -EFAULT;
  if (oldLen === vmaEnd - page && isFree(proc, page + oldLen, newLen - oldLen)) {
    growInPlace(proc, page, oldLen, newLen);
    return page;
  }
  if (!a.mayMove) return -ENOMEM;
  const to = chosenPlace(proc, got, newLen);
  if (to < 0) return to;
  movePages(proc, a, oldLen, to);
  return to;
}

/** @returns the word, or -EFAULT. */
export function read(proc: Proc, page: number, word: number): number {
  const state = proc.pages.get(page);
  if (state === undefined || (state.prot & (PROT_READ | PROT_WRITE)) === 0) return -EFAULT;
  return contentOf(state)?.[word] ?? -EFAULT;
}

export function write(proc: Proc, page: number, word: number, value: number): number {
  const state = proc.pages.get(page);
  if (state === undefined || (state.prot & PROT_WRITE) === 0) return -EFAULT;
  const old = contentOf(state);
  if (old === null) return -EFAULT;
  const content = old.with(word, value);
  if (state.shared) state.handle!.object.pages.set(state.index, content);
  else state.own = content;
  return 0;
}

/** ftruncate() of a file: pages behind the new end go, private copies too. */
export function truncate(procs: readonly Proc[], object: FileObject, size: number): void {
  object.size = size;
  for (const index of object.pages.keys()) if (index >= size) object.pages.delete(index);
  for (const proc of procs) {
    for (const state of proc.pages.values()) {
      if (state.handle?.object === object && state.index >= size) state.own = null;
    }
  }
}
