/**
 * Making, duplicating and ending address spaces: the mm half of kernel/fork.c.
 *
 * @linux kernel/fork.c:dup_mm, mm/mmap.c:exit_mmap
 */

import { vmaLinkFile, vmaUnlinkFile } from './address_space.ts';
import { anonVmaFork, unlinkAnonVmas } from './anon_vma.ts';
import { copyPageRange, sharePageTables } from './copy_page_range.ts';
import { MMF_COW_PTE, MMF_COW_PTE_READY, mmfInitFlags } from './mm_struct.ts';
import { MmStruct, Vma, type MmLimits, type PgData, type UserfaultfdCtx } from './mm_types.ts';
import { pgdAlloc } from './pgtable.ts';
import { updateHiwaterRss } from './rss.ts';
import { flushTlbWrite } from './tlbflush.ts';
import { dupUserfaultfd, dupUserfaultfdComplete } from './userfaultfd.ts';
import {
  VM_DONTCOPY,
  VM_LOCKED,
  VM_LOCKONFAULT,
  VM_UNSHAREABLE,
  VM_WIPEONFORK,
  vmaPages,
} from './vma.ts';
import { vmStatAccount } from './vma_account.ts';
import { tryToFreePages } from './vmscan.ts';
import { exitPgtables } from './zap.ts';

/**
 * An empty address space with one user.
 * @returns null when memory is out.
 */
export function mmAlloc(pgdat: PgData, limits: MmLimits): MmStruct | null {
  const mm = new MmStruct(pgdat, limits);
  if (pgdAlloc(mm)) return mm;
  pgdat.mms.release(mm.id);
  return null;
}

function copyMmFields(mm: MmStruct, old: MmStruct): void {
  mm.flags = mmfInitFlags(old.flags);
  mm.ipcLock = old.ipcLock;
  mm.mayMapLow = old.mayMapLow;
  mm.mmapBase = old.mmapBase;
  mm.startCode = old.startCode;
  mm.endCode = old.endCode;
  mm.startData = old.startData;
  mm.endData = old.endData;
  mm.startBrk = old.startBrk;
  mm.brk = old.brk;
  mm.startStack = old.startStack;
  mm.argStart = old.argStart;
  mm.argEnd = old.argEnd;
  mm.envStart = old.envStart;
  mm.envEnd = old.envEnd;
  mm.totalVm = old.totalVm;
  mm.dataVm = old.dataVm;
  mm.execVm = old.execVm;
  mm.stackVm = old.stackVm;
  mm.hiwaterVm = old.totalVm;
  mm.savedAuxv = old.savedAuxv;
  mm.exeFile = old.exeFile;
  if (mm.exeFile !== null) mm.exeFile.getFile();
}

/** The userfaultfds that this fork has made for the child, by the parent's. */
interface ForkedUffds {
  /** null until the first. */
  made: Map<UserfaultfdCtx, UserfaultfdCtx> | null;
}

/** The child's copy of one VMA, linked into everything but its tree. */
function dupVma(mm: MmStruct, old: Vma, uffds: ForkedUffds): Vma {
  const vma = new Vma(mm, old.start, old.end, old.flags & ~(VM_LOCKED | VM_LOCKONFAULT), old.pgoff);
  vma.ops = old.ops;
  vma.anonName = old.anonName;
  vma.uffdCtx = old.uffdCtx;
  if (old.uffdCtx !== null) {
    uffds.made ??= new Map();
    dupUserfaultfd(vma, uffds.made);
  }
  if ((vma.flags & VM_UNSHAREABLE) !== 0) mm.unshareableVmas++;
  if (old.file !== null) {
    vma.file = old.file;
    old.file.getFile();
    vmaLinkFile(vma);
  }
  if ((old.flags & VM_WIPEONFORK) === 0) anonVmaFork(vma, old);
  return vma;
}

function dupMmap(mm: MmStruct, old: MmStruct, uffds: ForkedUffds): number {
  const share = (old.flags & MMF_COW_PTE) !== 0;
  for (const oldVma of old.vmas) {
    if ((oldVma.flags & VM_DONTCOPY) !== 0) {
      vmStatAccount(mm, oldVma.flags, -vmaPages(oldVma), oldVma.file);
      continue;
    }
    mm.vmas.append(dupVma(mm, oldVma, uffds));
    if (share) continue;
    const err = copyPageRange(mm, old, oldVma);
    if (err !== 0) return err;
  }
  return share ? sharePageTables(mm, old) : 0;
}

/** One attempt at dupMm(). @returns null when no frame is free and none may be reclaimed. */
function tryDupMm(old: MmStruct): MmStruct | null {
  const mm = mmAlloc(old.pgdat, old.limits);
  if (mm === null) return null;
  copyMmFields(mm, old);
  const uffds: ForkedUffds = { made: null };
  const err = dupMmap(mm, old, uffds);
  flushTlbWrite(old);
  if (err === 0) {
    if (uffds.made !== null) dupUserfaultfdComplete(uffds.made);
    return mm;
  }
  mmput(mm);
  return null;
}

/** Frames reclaimed for a second attempt; twice as many for each further one. */
const FORK_RECLAIM = 64;

/**
 * fork's copy of an address space: VMAs duplicated, page tables shared or copied.
 * The first fork after COW page tables were asked for turns them on.
 *
 * @returns null when memory is out; the parent is then as a program sees it unchanged.
 * @linux kernel/fork.c:dup_mm
 * @patch 02/14
 * @patch 14/14
 */
export function dupMm(old: MmStruct): MmStruct | null {
  if ((old.flags & MMF_COW_PTE_READY) !== 0) {
    old.flags = (old.flags & ~MMF_COW_PTE_READY) | MMF_COW_PTE;
  }
  const { pgdat } = old;
  for (let frames = FORK_RECLAIM; ; frames *= 2) {
    // Reclaim would find the child's tables half made and its counters ahead of them.
    pgdat.reclaimDeferred = false;
    pgdat.noReclaim++;
    const mm = tryDupMm(old);
    pgdat.noReclaim--;
    if (mm !== null || !pgdat.reclaimDeferred || tryToFreePages(pgdat, frames) === 0) return mm;
  }
}

/** Unmaps everything. @linux mm/mmap.c:exit_mmap */
function exitMmap(mm: MmStruct): void {
  if (mm.lockedVm !== 0) mm.pgdat.munlocked = true;
  exitPgtables(mm);
  for (const vma of mm.vmas) {
    unlinkAnonVmas(vma);
    if (vma.file !== null) {
      vmaUnlinkFile(vma);
      vma.file.putFile();
    }
  }
  mm.vmas.clear();
}

/** Drops one user; the last one ends the address space. @linux kernel/fork.c:mmput */
export function mmput(mm: MmStruct): void {
  if (--mm.users > 0) return;
  updateHiwaterRss(mm);
  exitMmap(mm);
  if (mm.exeFile !== null) mm.exeFile.putFile();
  mm.exeFile = null;
  const { pgdat } = mm;
  if (pgdat.activeMm === mm) pgdat.activeMm = null;
  pgdat.mms.release(mm.id);
}
