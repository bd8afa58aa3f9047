/** Changing the rights of mappings. @linux mm/mprotect.c */

import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import {
  entryPtr,
  pageAlignUp,
  pteIndex,
  ptePfn,
  PTE_R,
  PTE_SOFT_DIRTY,
  PTE_SPECIAL,
  PTE_U,
  PTE_V,
  PTE_W,
  PTE_WORDS,
  PTE_X,
  TASK_SIZE,
  type Pfn,
  type Pte,
  type Vaddr,
} from '../arch/riscv/pgtable.ts';
import { EACCES, EINVAL, ENOMEM, EPERM } from '../uapi/errno.ts';
import { PROT_EXEC, PROT_GROWSDOWN, PROT_GROWSUP, PROT_READ, PROT_WRITE } from '../uapi/mman.ts';
import { breakCowPteRange } from './cow_pte.ts';
import { populateVmaPageRange } from './gup.ts';
import { mapDenyWriteExec, mayExpandVm, vmEnoughMemory } from './mmap_limits.ts';
import type { MmStruct, PgData, Vma } from './mm_types.ts';
import { vmaIsSealed } from './mseal.ts';
import { PG_ANON_EXCLUSIVE } from './page.ts';
import { pteLast, walkLeafTables } from './pagewalk.ts';
import { vmGetPageProt } from './pte_ops.ts';
import { flushTlbRange } from './tlbflush.ts';
import {
  VM_ACCESS_FLAGS,
  VM_ACCOUNT,
  VM_GROWSDOWN,
  VM_LOCKED,
  VM_NORESERVE,
  VM_SHARED,
  VM_SOFTDIRTY,
  VM_WRITE,
  vmaIsAnonymous,
} from './vma.ts';
import { vmaModify } from './vma_merge.ts';

/** PROT_SEM: accepted and without meaning. */
const PROT_SEM = 0x8;
const PTE_RIGHTS = PTE_R | PTE_W | PTE_X | PTE_U;

/**
 * Gives entries [first, last) of a private table the rights of `vmFlags`. A private page may
 * be written at once only if it is nobody else's. @hot
 */
function changePteRange(
  pgdat: PgData,
  table: Pfn,
  first: number,
  last: number,
  vmFlags: number,
): void {
  const { u32 } = pgdat.ram;
  const { flags } = pgdat.page;
  const rights = vmGetPageProt(vmFlags) & PTE_RIGHTS;
  const cow = (vmFlags & (VM_WRITE | VM_SHARED)) === VM_WRITE;
  const soft = (vmFlags & VM_SOFTDIRTY) === 0 ? 0 : PTE_SOFT_DIRTY;
  const end = entryPtr(table, last);
  for (let at = entryPtr(table, first) as number; at < end; at += PTE_WORDS) {
    const old = u32[at] as Pte;
    if ((old & PTE_V) === 0) continue;
    let pte = (old & ~PTE_RIGHTS) | rights;
    if (cow && (old & PTE_SPECIAL) === 0) {
      if ((flags[ptePfn(old)]! & PG_ANON_EXCLUSIVE) !== 0) pte |= PTE_W;
    }
    // A write to a soft-clean page has to be noticed.
    if (((old | soft) & PTE_SOFT_DIRTY) === 0) pte &= ~PTE_W;
    u32[at] = pte;
  }
}

/**
 * Rewrites the entries of [start, end) for new VM_* flags. Tables that map something there
 * are private already.
 * @linux mm/mprotect.c:change_protection
 * @patch 09/14
 */
function changeProtection(mm: MmStruct, start: Vaddr, end: Vaddr, vmFlags: number): void {
  const { pgdat } = mm;
  walkLeafTables(mm, start, end, (pmdp, addr, next) => {
    const table = ptePfn(pgdat.ram.u32[pmdp] as Pte);
    changePteRange(pgdat, table, pteIndex(addr), pteLast(addr, next), vmFlags);
    return 0;
  });
  flushTlbRange(mm, start, end);
}

/** VM_ACCOUNT follows whether the memory is a promise of frames now. @returns flags, or -ENOMEM. */
function accountFlags(vma: Vma, flags: number, pages: number): number {
  const { mm } = vma;
  if ((flags & VM_WRITE) === 0) {
    // A fork's child has a chain before it has an AnonVma of its own, and may never need one.
    const untouched = vmaIsAnonymous(vma) && vma.anonVmaChain.length === 0;
    return untouched && (vma.flags & VM_ACCOUNT) !== 0 ? flags & ~VM_ACCOUNT : flags;
  }
  if (!mayExpandVm(mm, flags, pages) && mayExpandVm(mm, vma.flags, pages)) return -ENOMEM;
  if ((vma.flags & (VM_ACCOUNT | VM_WRITE | VM_SHARED | VM_NORESERVE)) !== 0) return flags;
  return vmEnoughMemory(mm, pages) ? flags | VM_ACCOUNT : -ENOMEM;
}

/**
 * Changes the rights of [start, end) of one VMA.
 * @returns 0, or -ENOMEM or -EPERM (sealed) with this range unchanged.
 * @linux mm/mprotect.c:mprotect_fixup
 */
function mprotectFixup(vma: Vma, start: Vaddr, end: Vaddr, newFlags: number): number {
  const oldFlags = vma.flags;
  if (vmaIsSealed(vma)) return -EPERM;
  if (newFlags === oldFlags) return 0;
  const flags = accountFlags(vma, newFlags, (end - start) / PAGE_SIZE);
  if (flags < 0) return flags;
  const now = vmaModify(vma, start, end, flags, vma.anonName);
  if (now === null) return -ENOMEM;
  changeProtection(now.mm, start, end, flags);
  const lockedCow = (oldFlags & (VM_WRITE | VM_SHARED | VM_LOCKED)) === VM_LOCKED;
  if (lockedCow && (flags & VM_WRITE) !== 0) populateVmaPageRange(now, start, end);
  return 0;
}

/** The first VMA that the call concerns. @returns it or -errno. */
function firstVma(mm: MmStruct, start: Vaddr, end: Vaddr, grows: number): Vma | number {
  const vma = mm.vmas.find(start);
  if (vma === undefined) return -ENOMEM;
  if ((grows & PROT_GROWSDOWN) !== 0) {
    if (vma.start >= end) return -ENOMEM;
    return (vma.flags & VM_GROWSDOWN) === 0 ? -EINVAL : vma;
  }
  if (vma.start > start) return -ENOMEM;
  // No mapping grows up here.
  return (grows & PROT_GROWSUP) !== 0 ? -EINVAL : vma;
}

/** mprotect() of whole pages. VMAs before the one that fails are changed, as in Linux. */
function protectRange(mm: MmStruct, first: Vma, start: Vaddr, end: Vaddr, prot: number): number {
  let vma: Vma | undefined = first;
  for (let addr = start; addr < end; vma = mm.vmas.find(addr)) {
    if (vma === undefined || vma.start > addr) return -ENOMEM;
    const flags = (vma.flags & ~VM_ACCESS_FLAGS) | prot;
    // VM_MAYREAD and kin are four bits above VM_READ and kin.
    if ((flags & ~(flags >> 4) & VM_ACCESS_FLAGS) !== 0) return -EACCES;
    if (mapDenyWriteExec(mm, vma.flags, flags)) return -EACCES;
    const to = vma.end < end ? vma.end : end;
    const err = mprotectFixup(vma, addr, to, flags);
    if (err !== 0) return err;
    addr = to;
  }
  return 0;
}

/**
 * Sets the rights of [start, start + len).
 *
 * @returns 0; -EINVAL; -EACCES (a file not opened for that, PR_SET_MDWE) or -EPERM (sealed), then
 *   what lies before it is changed; or -ENOMEM: something is not mapped, then what lies before it
 *   is changed; or too many VMAs; or memory is out, then nothing is changed.
 * @linux mm/mprotect.c:do_mprotect_pkey
 */
export function doMprotect(mm: MmStruct, start: Vaddr, len: number, prot: number): number {
  const grows = prot & (PROT_GROWSDOWN | PROT_GROWSUP);
  const rights = prot & ~(PROT_GROWSDOWN | PROT_GROWSUP);
  if (grows === (PROT_GROWSDOWN | PROT_GROWSUP) || start % PAGE_SIZE !== 0) return -EINVAL;
  if (len === 0) return 0;
  const end = start + pageAlignUp(len);
  if (len > TASK_SIZE || end > TASK_SIZE) return -ENOMEM;
  if ((rights & ~(PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM)) !== 0) return -EINVAL;
  const vma = firstVma(mm, start, end, grows);
  if (typeof vma === 'number') return vma;
  const from = (grows & PROT_GROWSDOWN) !== 0 ? vma.start : start;
  const err = breakCowPteRange(mm, from, end);
  if (err !== 0) return err;
  return protectRange(mm, vma, from, end, rights & VM_ACCESS_FLAGS);
}
