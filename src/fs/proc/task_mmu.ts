/**
 * /proc/PID/maps, smaps, smaps_rollup, clear_refs and pagemap: what an address space maps and what of it
 * is in memory.
 *
 * A page's mapcount counts distinct tables, so a page behind a shared table has that many
 * more users. Whether a page is private or shared is exact; Pss divides by the users known
 * from this side, and is too large for a page that several shared tables map.
 *
 * @linux fs/proc/task_mmu.c
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
  PTE_A,
  PTE_WORDS,
  TASK_SIZE,
  type Pte,
  type PtePtr,
} from '../../arch/riscv/pgtable.ts';
import type { Task } from '../../kernel/task.ts';
import { copyToIter, type IovIter } from '../../mm/iov_iter.ts';
import type { MmStruct, Vma } from '../../mm/mm_types.ts';
import { pageAnon, PG_DIRTY, PG_SWAPBACKED } from '../../mm/page.ts';
import { pteLast, walkLeafTables } from '../../mm/pagewalk.ts';
import { leafTableUsers } from '../../mm/pgtable.ts';
import { mmRssPages } from '../../mm/rss.ts';
import { flushTlbEveryone } from '../../mm/tlbflush.ts';
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
} from '../../mm/vma.ts';
import { EFAULT, EINVAL, ESRCH } from '../../uapi/errno.ts';
import { devMajor, devMinor } from '../../uapi/stat.ts';
import type { File, FileOps } from '../fs_types.ts';
import { dirLlseek } from '../llseek.ts';
import { manglePath, padNumber, parseInteger } from './generic.ts';
import { currentTask, getProcTask, openMm, procPid } from './pid.ts';

/** Column at which the name of a mapping starts, less one. @linux show_vma_header_prefix seq_setwidth */
const NAME_COLUMN = 25 + 8 * 6 - 1;

function hex(n: number, width: number): string {
  return n.toString(16).padStart(width, '0');
}

function isInitialHeap(vma: Vma): boolean {
  const { mm } = vma;
  return vma.start < mm.brk && vma.end > mm.startBrk;
}

function isInitialStack(vma: Vma): boolean {
  const { startStack } = vma.mm;
  return vma.start <= startStack && vma.end >= startStack;
}

/** A kernel mapping that has a file only because it is made that way. */
function kernelName(vma: Vma): string | null {
  const name = vma.file === null ? vma.ops?.name : vma.file.mapsName();
  return name?.startsWith('[') ? name : null;
}

/** What the last column says; '' for plain anonymous memory. @linux get_vma_name */
function vmaName(vma: Vma): string {
  const { file, anonName } = vma;
  const kernel = kernelName(vma);
  if (kernel !== null) return kernel;
  if (file !== null) {
    return anonName === null ? manglePath(file.mapsName(), '\n') : `[anon_shmem:${anonName}]`;
  }
  if (isInitialHeap(vma)) return '[heap]';
  if (isInitialStack(vma)) return '[stack]';
  return anonName === null ? '' : `[anon:${anonName}]`;
}

function permissions(flags: number): string {
  const r = (flags & VM_READ) === 0 ? '-' : 'r';
  const w = (flags & VM_WRITE) === 0 ? '-' : 'w';
  const x = (flags & VM_EXEC) === 0 ? '-' : 'x';
  return r + w + x + ((flags & VM_MAYSHARE) === 0 ? 'p' : 's');
}

function header(
  start: number,
  end: number,
  perms: string,
  pgoff: number,
  dev: number,
  ino: number,
): string {
  const range = `${hex(start, 8)}-${hex(end, 8)} ${perms} ${hex(pgoff * PAGE_SIZE, 8)}`;
  return `${range} ${hex(devMajor(dev), 2)}:${hex(devMinor(dev), 2)} ${ino} `;
}

function named(prefix: string, name: string): string {
  return name === '' ? `${prefix}\n` : `${prefix.padEnd(NAME_COLUMN)} ${name}\n`;
}

/** One line of maps. @linux fs/proc/task_mmu.c:show_map_vma */
function showMapVma(vma: Vma): string {
  const file = kernelName(vma) === null ? vma.file : null;
  const perms = permissions(vma.flags);
  const prefix =
    file === null
      ? header(vma.start, vma.end, perms, 0, 0, 0)
      : header(vma.start, vma.end, perms, vma.pgoff, file.dev, file.ino);
  return named(prefix, vmaName(vma));
}

export function showMaps(mm: MmStruct): string {
  let text = '';
  for (const vma of mm.vmas) text += showMapVma(vma);
  return text;
}

/** Pages of a range by what is known about them; Pss in pages, fractions included. */
class MemSizeStats {
  resident = 0;
  pss = 0;
  pssDirty = 0;
  pssAnon = 0;
  pssFile = 0;
  pssShmem = 0;
  sharedClean = 0;
  sharedDirty = 0;
  privateClean = 0;
  privateDirty = 0;
  referenced = 0;
  anonymous = 0;
  locked = 0;
}

/** Counts one mapped page that `users` processes have, as far as is known. @linux smaps_account */
function smapsAccount(mss: MemSizeStats, vma: Vma, pte: Pte, users: number): void {
  const { page } = vma.mm.pgdat;
  const pfn = ptePfn(pte);
  const flags = page.flags[pfn]!;
  const anon = pageAnon(page, pfn);
  const dirty = pteDirty(pte) || (flags & PG_DIRTY) !== 0;
  const share = 1 / users;
  mss.resident++;
  mss.pss += share;
  if (dirty) mss.pssDirty += share;
  if (anon) mss.pssAnon += share;
  else if ((flags & PG_SWAPBACKED) !== 0) mss.pssShmem += share;
  else mss.pssFile += share;
  if (anon) mss.anonymous++;
  if (pteYoung(pte)) mss.referenced++;
  if (users > 1) mss[dirty ? 'sharedDirty' : 'sharedClean']++;
  else mss[dirty ? 'privateDirty' : 'privateClean']++;
  if ((vma.flags & VM_LOCKED) !== 0) mss.locked += share;
}

/** Adds what `vma` has in memory. @linux smap_gather_stats */
function gatherStats(mss: MemSizeStats, vma: Vma): void {
  const { mm } = vma;
  const { page, ram } = mm.pgdat;
  walkLeafTables(mm, vma.start, vma.end, (pmdp, addr, next) => {
    const table = ptePfn(ram.u32[pmdp] as Pte);
    const others = leafTableUsers(mm, addr) - 1;
    const base = entryPtr(table, 0);
    const last = base + pteLast(addr, next) * PTE_WORDS;
    for (let at = base + pteIndex(addr) * PTE_WORDS; at < last; at += PTE_WORDS) {
      const pte = ram.u32[at] as Pte;
      if (!ptePresent(pte) || pteSpecial(pte)) continue;
      smapsAccount(mss, vma, pte, page.mapcount[ptePfn(pte)]! + others);
    }
    return 0;
  });
}

/** A row of kB; names are padded to 16 columns, numbers to 8. */
function row(name: string, pages: number): string {
  const kb = Math.floor((pages * PAGE_SIZE) / 1024);
  return `${`${name}:`.padEnd(16)}${padNumber(kb, 8)} kB\n`;
}

/** @linux __show_smap */
function showStats(mss: MemSizeStats, rollup: boolean): string {
  const parts = rollup
    ? row('Pss_Anon', mss.pssAnon) + row('Pss_File', mss.pssFile) + row('Pss_Shmem', mss.pssShmem)
    : '';
  return [
    row('Rss', mss.resident),
    row('Pss', mss.pss),
    row('Pss_Dirty', mss.pssDirty),
    parts,
    row('Shared_Clean', mss.sharedClean),
    row('Shared_Dirty', mss.sharedDirty),
    row('Private_Clean', mss.privateClean),
    row('Private_Dirty', mss.privateDirty),
    row('Referenced', mss.referenced),
    row('Anonymous', mss.anonymous),
    row('KSM', 0),
    row('LazyFree', 0),
    row('AnonHugePages', 0),
    row('ShmemPmdMapped', 0),
    row('FilePmdMapped', 0),
    row('Shared_Hugetlb', 0),
    row('Private_Hugetlb', 0),
    row('Swap', 0),
    row('SwapPss', 0),
    row('Locked', mss.locked),
  ].join('');
}

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
export function showSmaps(mm: MmStruct): string {
  let text = '';
  for (const vma of mm.vmas) {
    const mss = new MemSizeStats();
    gatherStats(mss, vma);
    const size = row('Size', (vma.end - vma.start) / PAGE_SIZE);
    text += `${showMapVma(vma)}${size}${row('KernelPageSize', 1)}${row('MMUPageSize', 1)}`;
    text += `${showStats(mss, false)}THPeligible:           0\n${vmFlagNames(vma.flags)}`;
  }
  return text;
}

/** @linux fs/proc/task_mmu.c:show_smaps_rollup */
export function showSmapsRollup(mm: MmStruct): string {
  const first = mm.vmas.first();
  const last = mm.vmas.last();
  if (first === undefined || last === undefined) return '';
  const mss = new MemSizeStats();
  for (const vma of mm.vmas) gatherStats(mss, vma);
  return named(header(first.start, last.end, '---p', 0, 0, 0), '[rollup]') + showStats(mss, true);
}

// What is written to clear_refs.
const CLEAR_REFS_ALL = 1;
const CLEAR_REFS_ANON = 2;
const CLEAR_REFS_MAPPED = 3;
const CLEAR_REFS_SOFT_DIRTY = 4;
const CLEAR_REFS_MM_HIWATER_RSS = 5;

/** Whether clearing references of this kind concerns a mapping. */
function clearsVma(vma: Vma, type: number): boolean {
  if ((vma.flags & VM_PFNMAP) !== 0) return false;
  if (type === CLEAR_REFS_ANON) return vma.file === null;
  return type !== CLEAR_REFS_MAPPED || vma.file !== null;
}

/** Clears the accessed bits of a mapping. Those of a shared table are cleared for all who use it. */
function clearYoung(vma: Vma): void {
  const { ram } = vma.mm.pgdat;
  walkLeafTables(vma.mm, vma.start, vma.end, (pmdp, addr, next) => {
    const base = entryPtr(ptePfn(ram.u32[pmdp] as Pte), 0);
    const last = base + pteLast(addr, next) * PTE_WORDS;
    for (let at = base + pteIndex(addr) * PTE_WORDS; at < last; at += PTE_WORDS) {
      const pte = ram.u32[at] as Pte;
      if (ptePresent(pte)) ram.u32[at] = pte & ~PTE_A;
    }
    return 0;
  });
}

/**
 * clear_refs: forgets which pages were referenced (1 all, 2 anonymous, 3 files), or the
 * highest RSS (5). Soft-dirty bits (4) do not exist, as on Linux for riscv: accepted, no effect.
 *
 * @returns bytes taken, -EINVAL or -ESRCH.
 * @linux fs/proc/task_mmu.c:clear_refs_write
 * @patch 12/14
 */
export function clearRefsWrite(file: File, text: string): number {
  const type = parseInteger(text) ?? 0;
  if (type < CLEAR_REFS_ALL || type > CLEAR_REFS_MM_HIWATER_RSS) return -EINVAL;
  const task = getProcTask(file.inode);
  if (task === null) return -ESRCH;
  const { mm } = task;
  if (mm === null || type === CLEAR_REFS_SOFT_DIRTY) return text.length;
  if (type === CLEAR_REFS_MM_HIWATER_RSS) {
    mm.hiwaterRss = mmRssPages(mm);
    return text.length;
  }
  for (const vma of mm.vmas) if (clearsVma(vma, type)) clearYoung(vma);
  flushTlbEveryone(mm.pgdat);
  return text.length;
}

// One entry of pagemap: frame in bits 0-54, then these, as bits of the high word.
const PM_ENTRY_BYTES = 8;
const PM_SOFT_DIRTY_HI = 1 << 23;
const PM_MMAP_EXCLUSIVE_HI = 1 << 24;
const PM_FILE_HI = 1 << 29;
const PM_PRESENT_HI = 1 << 31;
/** Entries made at a time. */
const PM_BATCH = 512;

/** The entry at `ptep` as pagemap shows it; frames are for root's eyes only. @linux pte_to_pagemap_entry */
function pagemapEntry(vma: Vma, ptep: PtePtr, others: number, showPfn: boolean): [number, number] {
  const { page, ram } = vma.mm.pgdat;
  const pte = ram.u32[ptep] as Pte;
  // Soft-dirty bits of entries do not exist, as on Linux for riscv.
  let hi = (vma.flags & VM_SOFTDIRTY) === 0 ? 0 : PM_SOFT_DIRTY_HI;
  if (!ptePresent(pte)) return [0, hi];
  const pfn = ptePfn(pte);
  hi |= PM_PRESENT_HI;
  if (!pteSpecial(pte)) {
    if (!pageAnon(page, pfn)) hi |= PM_FILE_HI;
    if (page.mapcount[pfn]! + others === 1) hi |= PM_MMAP_EXCLUSIVE_HI;
  }
  return [showPfn ? pfn : 0, hi];
}

/** Fills `view` with the entries of [start, end). */
function fillPagemap(
  mm: MmStruct,
  start: number,
  end: number,
  view: DataView,
  showPfn: boolean,
): void {
  const { ram } = mm.pgdat;
  for (let vma = mm.vmas.find(start); vma !== undefined; vma = mm.vmas.next(vma)) {
    if (vma.start >= end) return;
    const area = vma;
    walkLeafTables(mm, Math.max(start, area.start), Math.min(end, area.end), (pmdp, from, next) => {
      const table = ptePfn(ram.u32[pmdp] as Pte);
      const others = leafTableUsers(mm, from) - 1;
      for (let addr = from; addr < next; addr += PAGE_SIZE) {
        const [lo, hi] = pagemapEntry(area, entryPtr(table, pteIndex(addr)), others, showPfn);
        const at = ((addr - start) / PAGE_SIZE) * PM_ENTRY_BYTES;
        view.setUint32(at, lo, true);
        view.setInt32(at + 4, hi, true);
      }
      return 0;
    });
  }
}

function mayShowPfn(task: Task, file: File): boolean {
  const viewer = currentTask(procPid(file.inode).kernel) ?? task;
  return viewer.cred.fsuid === 0;
}

/** @returns bytes, 0 at the end of user space, -EINVAL for an offset within an entry, -ESRCH or -EFAULT. */
function pagemapRead(file: File, to: IovIter, pos: number): number {
  const task = getProcTask(file.inode);
  if (task === null) return -ESRCH;
  if (pos % PM_ENTRY_BYTES !== 0 || to.remaining % PM_ENTRY_BYTES !== 0) return -EINVAL;
  if (task.mm === null) return 0;
  const showPfn = mayShowPfn(task, file);
  let done = 0;
  while (to.remaining > 0) {
    const start = ((pos + done) / PM_ENTRY_BYTES) * PAGE_SIZE;
    if (start >= TASK_SIZE) break;
    const entries = Math.min(
      PM_BATCH,
      to.remaining / PM_ENTRY_BYTES,
      (TASK_SIZE - start) / PAGE_SIZE,
    );
    const bytes = new Uint8Array(entries * PM_ENTRY_BYTES);
    const end = start + entries * PAGE_SIZE;
    fillPagemap(task.mm, start, end, new DataView(bytes.buffer), showPfn);
    const copied = copyToIter(to, bytes, 0, bytes.length);
    if (copied === 0) return done === 0 ? -EFAULT : done;
    done += copied;
    if (copied < bytes.length) break;
  }
  return done;
}

export const PAGEMAP_OPS: FileOps = { open: openMm, read: pagemapRead, llseek: dirLlseek };
