/**
 * /proc/PID/smaps and smaps_rollup: how much of each mapping is in memory, how much of that is
 * this process's alone, and its share of the rest. A page's share is what all processes that
 * map it (page_users.ts) get together, divided by them.
 *
 * @linux fs/proc/task_mmu.c:show_smap
 */

import { PAGE_SIZE } from '../../arch/riscv/memlayout.ts';
import {
  entryPtr,
  pteDirty,
  pteIndex,
  ptePfn,
  ptePresent,
  pteSpecial,
  pteYoung,
  PTE_WORDS,
  type Pte,
} from '../../arch/riscv/pgtable.ts';
import type { IovIter } from '../../mm/iov_iter.ts';
import type { MmStruct, Vma } from '../../mm/mm_types.ts';
import { PG_ANON, PG_DIRTY, PG_LAZYFREE, PG_REFERENCED, PG_SWAPBACKED } from '../../mm/page.ts';
import { PageUsersWalk, pageUsersVia, swapUsersVia } from '../../mm/page_users.ts';
import { pteLast, walkLeafTables } from '../../mm/pagewalk.ts';
import { NO_PTEP, ptePtrOf } from '../../mm/pgtable.ts';
import { isSwapPte } from '../../mm/swap_types.ts';
import {
  VM_ACCOUNT,
  VM_DONTCOPY,
  VM_DONTDUMP,
  VM_DONTEXPAND,
  VM_DROPPABLE,
  VM_EXEC,
  VM_GROWSDOWN,
  VM_HUGEPAGE,
  VM_IO,
  VM_LOCKED,
  VM_LOCKONFAULT,
  VM_MAYBE_GUARD,
  VM_MAYEXEC,
  VM_MAYREAD,
  VM_MAYSHARE,
  VM_MAYWRITE,
  VM_NOHUGEPAGE,
  VM_NORESERVE,
  VM_PFNMAP,
  VM_RAND_READ,
  VM_READ,
  VM_SEALED,
  VM_SEQ_READ,
  VM_SHARED,
  VM_SOFTDIRTY,
  VM_WIPEONFORK,
  VM_WRITE,
  vmaPages,
} from '../../mm/vma.ts';
import { ESRCH } from '../../uapi/errno.ts';
import type { File, FileOps, FsContext } from '../fs_types.ts';
import { dirLlseek } from '../llseek.ts';
import { padNumber, simpleReadFromBuffer } from './generic.ts';
import { getProcTask, procMemOpen } from './pid.ts';
import { showMapVma, showRollupHeader, vmaSeqOps } from './task_mmu.ts';

/** Shares are kept in 1/4096 byte. @linux PSS_SHIFT */
const PSS_UNIT = 2 ** 12;
const PAGE_PSS = PAGE_SIZE * PSS_UNIT;

/** Bytes of a range by what is known about them; shares (pss) in units of 1 / PSS_UNIT byte. */
class MemSizeStats {
  resident = 0;
  sharedClean = 0;
  sharedDirty = 0;
  privateClean = 0;
  privateDirty = 0;
  referenced = 0;
  anonymous = 0;
  lazyfree = 0;
  swap = 0;
  pss = 0;
  pssDirty = 0;
  pssAnon = 0;
  pssFile = 0;
  pssShmem = 0;
  pssLocked = 0;
  swapPss = 0;
}

/** Adds the share of one page and says whose it is. @linux smaps_page_accumulate */
function smapsPageAccumulate(mss: MemSizeStats, kind: number, share: number, dirty: boolean): void {
  const anon = (kind & PG_ANON) !== 0;
  mss.pss += share;
  if (anon) mss.pssAnon += share;
  else if ((kind & PG_SWAPBACKED) !== 0) mss.pssShmem += share;
  else mss.pssFile += share;
  if (dirty) mss.pssDirty += share;
}

/** Counts one page that `users` processes map. @linux smaps_account */
function smapsAccount(mss: MemSizeStats, vma: Vma, pte: Pte, users: number): void {
  const kind = vma.mm.pgdat.page.flags[ptePfn(pte)]!;
  const dirty = pteDirty(pte) || (kind & PG_DIRTY) !== 0;
  const share = Math.floor(PAGE_PSS / users);
  mss.resident += PAGE_SIZE;
  if ((kind & PG_ANON) !== 0) mss.anonymous += PAGE_SIZE;
  if ((kind & PG_LAZYFREE) !== 0 && !dirty) mss.lazyfree += PAGE_SIZE;
  if (pteYoung(pte) || (kind & PG_REFERENCED) !== 0) mss.referenced += PAGE_SIZE;
  smapsPageAccumulate(mss, kind, share, dirty);
  if ((vma.flags & VM_LOCKED) !== 0) mss.pssLocked += share;
  if (users > 1) mss[dirty ? 'sharedDirty' : 'sharedClean'] += PAGE_SIZE;
  else mss[dirty ? 'privateDirty' : 'privateClean'] += PAGE_SIZE;
}

/** Counts a page in swap that `users` processes have there. @linux smaps_pte_entry */
function smapsSwap(mss: MemSizeStats, users: number): void {
  mss.swap += PAGE_SIZE;
  mss.swapPss += Math.floor(PAGE_PSS / users);
}

/**
 * Bytes of pages of shared memory that are in swap, as far as `vma` would find them there: the
 * page tables do not say. Where a private mapping has a page of its own, that one counts.
 * @linux mm/shmem.c:shmem_partial_swap_usage
 */
function shmemSwapUsage(vma: Vma): number {
  const mapping = vma.file?.mapping;
  if (mapping === undefined || mapping.swapped === 0) return 0;
  const { mm } = vma;
  const shared = (vma.flags & VM_SHARED) !== 0 || (vma.flags & VM_WRITE) === 0;
  let pages = 0;
  mapping.pages.forEach(vma.pgoff, vma.pgoff + vmaPages(vma) - 1, (index, value) => {
    if (value > 0) return;
    const ptep = ptePtrOf(mm, vma.start + (index - vma.pgoff) * PAGE_SIZE);
    if (shared || ptep === NO_PTEP || mm.pgdat.ram.u32[ptep] === 0) pages++;
  });
  return pages * PAGE_SIZE;
}

/** Adds what `vma` has in memory and in swap. @linux smap_gather_stats */
function smapGatherStats(mss: MemSizeStats, vma: Vma): void {
  const { mm } = vma;
  const { pgdat } = mm;
  const { u32 } = pgdat.ram;
  const walk = new PageUsersWalk(pgdat);
  mss.swap += shmemSwapUsage(vma);
  walkLeafTables(mm, vma.start, vma.end, (pmdp, addr, next) => {
    const table = ptePfn(u32[pmdp] as Pte);
    const base = entryPtr(table, 0);
    const last = base + pteLast(addr, next) * PTE_WORDS;
    for (let at = base + pteIndex(addr) * PTE_WORDS; at < last; at += PTE_WORDS) {
      const pte = u32[at] as Pte;
      if (pte === 0 || (ptePresent(pte) && pteSpecial(pte))) continue;
      const slot = (at - base) / PTE_WORDS;
      if (ptePresent(pte)) {
        smapsAccount(mss, vma, pte, pageUsersVia(walk, table, slot, ptePfn(pte)));
      } else if (isSwapPte(pte)) {
        const page = addr + (slot - pteIndex(addr)) * PAGE_SIZE;
        smapsSwap(mss, swapUsersVia(walk, vma, table, page, pte));
      }
    }
    return 0;
  });
}

/** A row of kB; names are padded to 16 columns, numbers to 8. */
function row(name: string, bytes: number): string {
  return `${`${name}:`.padEnd(16)}${padNumber(Math.floor(bytes / 1024), 8)} kB\n`;
}

function pssRow(name: string, pss: number): string {
  return row(name, pss / PSS_UNIT);
}

function pssParts(mss: MemSizeStats): string {
  const { pssAnon, pssFile, pssShmem } = mss;
  return pssRow('Pss_Anon', pssAnon) + pssRow('Pss_File', pssFile) + pssRow('Pss_Shmem', pssShmem);
}

/** @linux __show_smap */
function showStats(mss: MemSizeStats, rollup: boolean): string {
  return [
    row('Rss', mss.resident),
    pssRow('Pss', mss.pss),
    pssRow('Pss_Dirty', mss.pssDirty),
    rollup ? pssParts(mss) : '',
    row('Shared_Clean', mss.sharedClean),
    row('Shared_Dirty', mss.sharedDirty),
    row('Private_Clean', mss.privateClean),
    row('Private_Dirty', mss.privateDirty),
    row('Referenced', mss.referenced),
    row('Anonymous', mss.anonymous),
    row('KSM', 0),
    row('LazyFree', mss.lazyfree),
    row('AnonHugePages', 0),
    row('ShmemPmdMapped', 0),
    row('FilePmdMapped', 0),
    row('Shared_Hugetlb', 0),
    row('Private_Hugetlb', 0),
    row('Swap', mss.swap),
    pssRow('SwapPss', mss.swapPss),
    pssRow('Locked', mss.pssLocked),
  ].join('');
}

/** Flags by bit as Linux numbers them, which is the order in which they are shown. @linux show_smap_vma_flags */
const VM_FLAG_NAMES: readonly (readonly [number, string])[] = [
  [VM_READ, 'rd'],
  [VM_WRITE, 'wr'],
  [VM_EXEC, 'ex'],
  [VM_SHARED, 'sh'],
  [VM_MAYREAD, 'mr'],
  [VM_MAYWRITE, 'mw'],
  [VM_MAYEXEC, 'me'],
  [VM_MAYSHARE, 'ms'],
  [VM_GROWSDOWN, 'gd'],
  [VM_PFNMAP, 'pf'],
  [VM_MAYBE_GUARD, 'gu'],
  [VM_LOCKED, 'lo'],
  [VM_IO, 'io'],
  [VM_SEQ_READ, 'sr'],
  [VM_RAND_READ, 'rr'],
  [VM_DONTCOPY, 'dc'],
  [VM_DONTEXPAND, 'de'],
  [VM_LOCKONFAULT, 'lf'],
  [VM_ACCOUNT, 'ac'],
  [VM_NORESERVE, 'nr'],
  [VM_WIPEONFORK, 'wf'],
  [VM_DONTDUMP, 'dd'],
  [VM_SOFTDIRTY, 'sd'],
  [VM_HUGEPAGE, 'hg'],
  [VM_NOHUGEPAGE, 'nh'],
  [VM_DROPPABLE, 'dp'],
  [VM_SEALED, 'sl'],
];

function vmFlagNames(flags: number): string {
  let text = 'VmFlags: ';
  for (const [bit, name] of VM_FLAG_NAMES) if ((flags & bit) !== 0) text += `${name} `;
  return `${text}\n`;
}

/** @linux fs/proc/task_mmu.c:show_smap */
function showSmap(vma: Vma): string {
  const mss = new MemSizeStats();
  smapGatherStats(mss, vma);
  const size = row('Size', vma.end - vma.start);
  const pageSizes = row('KernelPageSize', PAGE_SIZE) + row('MMUPageSize', PAGE_SIZE);
  const eligible = 'THPeligible:           0\n';
  return [
    showMapVma(vma),
    size,
    pageSizes,
    showStats(mss, false),
    eligible,
    vmFlagNames(vma.flags),
  ].join('');
}

export const SMAPS_OPS: FileOps = vmaSeqOps(showSmap);

/** @linux fs/proc/task_mmu.c:show_smaps_rollup */
function showSmapsRollup(mm: MmStruct): string {
  const mss = new MemSizeStats();
  for (const vma of mm.vmas) smapGatherStats(mss, vma);
  const start = mm.vmas.first()?.start ?? 0;
  const end = mm.vmas.last()?.end ?? 0;
  return showRollupHeader(start, end) + showStats(mss, true);
}

/** State of an open smaps_rollup: the text made by a read at its start. */
class RollupPrivate {
  readonly mm: MmStruct;
  text: Buffer | null = null;

  constructor(mm: MmStruct) {
    this.mm = mm;
  }
}

/** @returns 0, -EACCES, or -ESRCH for a task without memory. */
function smapsRollupOpen(file: File, ctx: FsContext): number {
  const mm = procMemOpen(file, ctx);
  if (typeof mm === 'number') return mm;
  if (mm === null) return -ESRCH;
  file.data = new RollupPrivate(mm);
  return 0;
}

/** @returns bytes, -ESRCH when the task or its memory is gone, or -EFAULT. */
function smapsRollupRead(file: File, to: IovIter, pos: number): number {
  const priv = file.data as RollupPrivate;
  if (pos === 0 || priv.text === null) {
    if (getProcTask(file.inode) === null || priv.mm.users === 0) return -ESRCH;
    priv.text = Buffer.from(showSmapsRollup(priv.mm), 'latin1');
  }
  return simpleReadFromBuffer(to, priv.text, pos);
}

export const SMAPS_ROLLUP_OPS: FileOps = {
  open: smapsRollupOpen,
  read: smapsRollupRead,
  llseek: dirLlseek,
};
