/**
 * /proc/PID/pagemap: 64 bits for every page of the address space.
 *
 *      63      62    61   60 59  58     57       56       55     54            0
 *     | here | swap | file | 0 | guard | uffd-wp | alone | soft | frame or swap |
 *
 * @linux fs/proc/task_mmu.c:pagemap_read
 */

import { PAGE_SIZE } from '../../arch/riscv/memlayout.ts';
import {
  entryPtr,
  pteIndex,
  pteIsGuard,
  pteIsMigration,
  ptePfn,
  ptePresent,
  pteSpecial,
  swpOffset,
  TASK_SIZE,
  type Pfn,
  type Pte,
  type Vaddr,
} from '../../arch/riscv/pgtable.ts';
import { copyToIter, type IovIter } from '../../mm/iov_iter.ts';
import type { MmStruct, PgData, Vma } from '../../mm/mm_types.ts';
import { pageAnon } from '../../mm/page.ts';
import { PageUsersWalk, pageUsersVia } from '../../mm/page_users.ts';
import { walkLeafTables } from '../../mm/pagewalk.ts';
import { pathSoftClean, pteSoftDirty } from '../../mm/soft_dirty.ts';
import { pteToSwapEntry } from '../../mm/swap_types.ts';
import { VM_SOFTDIRTY } from '../../mm/vma.ts';
import { EFAULT, EINVAL, ESRCH } from '../../uapi/errno.ts';
import { PAGEMAP_SCAN } from '../../uapi/fs.ts';
import type { File, FileOps, FsContext } from '../fs_types.ts';
import { dirLlseek } from '../llseek.ts';
import { doPagemapScan } from './pagemap_scan.ts';
import { procMemOpen } from './pid.ts';

const PM_ENTRY_BYTES = 8;
// The flags as bits of the high word.
const PM_SOFT_DIRTY_HI = 1 << (55 - 32);
const PM_MMAP_EXCLUSIVE_HI = 1 << (56 - 32);
const PM_GUARD_REGION_HI = 1 << (58 - 32);
const PM_FILE_HI = 1 << (61 - 32);
const PM_SWAP_HI = 1 << (62 - 32);
const PM_PRESENT_HI = 1 << (63 - 32);
/** Entries made at a time. @linux PAGEMAP_WALK_SIZE */
const PM_BATCH = 512;

/** State of an open pagemap: file.data. */
interface PagemapPrivate {
  readonly mm: MmStruct;
  /** Frame numbers are for those who could use them against the kernel anyway. */
  readonly showPfn: boolean;
}

/** @returns 0, -EACCES, or -ESRCH for a task without memory. */
function pagemapOpen(file: File, ctx: FsContext): number {
  const mm = procMemOpen(file, ctx);
  if (typeof mm === 'number') return mm;
  if (mm === null) return -ESRCH;
  file.data = { mm, showPfn: ctx.cred.fsuid === 0 } satisfies PagemapPrivate;
  return 0;
}

/** One read: where it starts, and the entries made so far. */
class PagemapRead {
  readonly mm: MmStruct;
  readonly showPfn: boolean;
  readonly start: Vaddr;
  readonly end: Vaddr;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly walk: PageUsersWalk;

  constructor(priv: PagemapPrivate, start: Vaddr, entries: number) {
    this.mm = priv.mm;
    this.walk = new PageUsersWalk(priv.mm.pgdat);
    this.showPfn = priv.showPfn;
    this.start = start;
    this.end = start + entries * PAGE_SIZE;
    this.bytes = new Uint8Array(entries * PM_ENTRY_BYTES);
    this.view = new DataView(this.bytes.buffer);
  }
}

function putEntry(pm: PagemapRead, addr: Vaddr, lo: number, hi: number): void {
  const at = ((addr - pm.start) / PAGE_SIZE) * PM_ENTRY_BYTES;
  pm.view.setInt32(at, lo, true);
  pm.view.setInt32(at + 4, hi, true);
}

/** Bits of an entry that is not present. */
function absentBits(pgdat: PgData, pte: Pte): number {
  if (pteIsGuard(pte)) return PM_SWAP_HI | PM_GUARD_REGION_HI;
  if (!pteIsMigration(pte)) return PM_SWAP_HI;
  return pageAnon(pgdat.page, swpOffset(pte) as Pfn) ? PM_SWAP_HI : PM_SWAP_HI | PM_FILE_HI;
}

/** Bits of an entry that maps a page. */
function presentBits(pm: PagemapRead, table: Pfn, slot: number, pte: Pte): number {
  const { pgdat } = pm.mm;
  if (pteSpecial(pte)) return PM_PRESENT_HI;
  const pfn = ptePfn(pte);
  const file = pageAnon(pgdat.page, pfn) ? 0 : PM_FILE_HI;
  const alone = pageUsersVia(pm.walk, table, slot, pfn) === 1 ? PM_MMAP_EXCLUSIVE_HI : 0;
  return PM_PRESENT_HI | file | alone;
}

/**
 * Makes the entry of `addr`, whose page-table entry is in the leaf table `table`.
 * @param soft whether the soft-dirty bits of the table's entries are true.
 * @linux pte_to_pagemap_entry
 */
function putPagemapEntry(
  pm: PagemapRead,
  table: Pfn,
  addr: Vaddr,
  vmaBits: number,
  soft: boolean,
): void {
  const { pgdat } = pm.mm;
  const slot = pteIndex(addr);
  const pte = pgdat.ram.u32[entryPtr(table, slot)] as Pte;
  if (pte === 0) return;
  const present = ptePresent(pte);
  let hi = vmaBits | (present ? presentBits(pm, table, slot, pte) : absentBits(pgdat, pte));
  if (soft && pteSoftDirty(pte)) hi |= PM_SOFT_DIRTY_HI;
  const lo = present ? ptePfn(pte) : pteToSwapEntry(pte);
  putEntry(pm, addr, pm.showPfn ? lo : 0, hi);
}

function fillVma(pm: PagemapRead, vma: Vma): void {
  const from = Math.max(pm.start, vma.start);
  const to = Math.min(pm.end, vma.end);
  const bits = (vma.flags & VM_SOFTDIRTY) === 0 ? 0 : PM_SOFT_DIRTY_HI;
  if (bits !== 0) for (let addr = from; addr < to; addr += PAGE_SIZE) putEntry(pm, addr, 0, bits);
  walkLeafTables(pm.mm, from, to, (pmdp, addr, next) => {
    const table = ptePfn(pm.mm.pgdat.ram.u32[pmdp] as Pte);
    const soft = !pathSoftClean(pm.mm, addr);
    for (let at = addr; at < next; at += PAGE_SIZE) putPagemapEntry(pm, table, at, bits, soft);
    return 0;
  });
}

/** @returns bytes, 0 at the end of user space or when it is gone, -EINVAL for a part of an entry, or -EFAULT. */
function pagemapRead(file: File, to: IovIter, pos: number): number {
  const priv = file.data as PagemapPrivate;
  const { mm } = priv;
  if (mm.users === 0) return 0;
  if (pos % PM_ENTRY_BYTES !== 0 || to.remaining % PM_ENTRY_BYTES !== 0) return -EINVAL;
  let done = 0;
  while (to.remaining > 0) {
    const start = ((pos + done) / PM_ENTRY_BYTES) * PAGE_SIZE;
    if (start >= TASK_SIZE) break;
    const wanted = to.remaining / PM_ENTRY_BYTES;
    const entries = Math.min(PM_BATCH, wanted, (TASK_SIZE - start) / PAGE_SIZE);
    const pm = new PagemapRead(priv, start, entries);
    for (let vma = mm.vmas.find(start); vma !== undefined; vma = mm.vmas.next(vma)) {
      if (vma.start >= pm.end) break;
      fillVma(pm, vma);
    }
    const copied = copyToIter(to, pm.bytes, 0, pm.bytes.length);
    if (copied < pm.bytes.length) return -EFAULT;
    done += copied;
  }
  return done;
}

/** @returns what doPagemapScan() returns, or -EINVAL for any other command. @linux do_pagemap_cmd */
function pagemapIoctl(file: File, cmd: number, arg: number, caller: MmStruct): number {
  if (cmd !== PAGEMAP_SCAN) return -EINVAL;
  return doPagemapScan((file.data as PagemapPrivate).mm, caller, arg);
}

export const PAGEMAP_OPS: FileOps = {
  open: pagemapOpen,
  read: pagemapRead,
  ioctl: pagemapIoctl,
  llseek: dirLlseek,
};
