/** /proc/PID/clear_refs: forgetting what was referenced or written. @linux fs/proc/task_mmu.c:clear_refs_write */

import {
  entryPtr,
  pteIndex,
  ptePfn,
  ptePresent,
  pteSpecial,
  PTE_A,
  PTE_WORDS,
  type Pte,
} from '../../arch/riscv/pgtable.ts';
import type { Vma } from '../../mm/mm_types.ts';
import { PG_REFERENCED } from '../../mm/page.ts';
import { pteLast, walkLeafTables } from '../../mm/pagewalk.ts';
import { mmRssPages } from '../../mm/rss.ts';
import { clearSoftDirty } from '../../mm/soft_dirty.ts';
import { flushTlbEveryone } from '../../mm/tlbflush.ts';
import { VM_PFNMAP } from '../../mm/vma.ts';
import { EINVAL, ESRCH } from '../../uapi/errno.ts';
import type { File } from '../fs_types.ts';
import { parseInteger } from './generic.ts';
import { getProcTask } from './pid.ts';

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

/** Forgets that the pages of a mapping were used. The bits of a shared table are cleared for all who use it. */
function clearYoung(vma: Vma): void {
  const { ram, page } = vma.mm.pgdat;
  walkLeafTables(vma.mm, vma.start, vma.end, (pmdp, addr, next) => {
    const base = entryPtr(ptePfn(ram.u32[pmdp] as Pte), 0);
    const last = base + pteLast(addr, next) * PTE_WORDS;
    for (let at = base + pteIndex(addr) * PTE_WORDS; at < last; at += PTE_WORDS) {
      const pte = ram.u32[at] as Pte;
      if (!ptePresent(pte) || pteSpecial(pte)) continue;
      ram.u32[at] = pte & ~PTE_A;
      page.flags[ptePfn(pte)]! &= ~PG_REFERENCED;
    }
    return 0;
  });
}

/**
 * clear_refs: forgets which pages were referenced (1 all, 2 anonymous, 3 files), which were
 * written (4, soft-dirty), or the highest RSS (5).
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
  if (mm === null) return text.length;
  if (type === CLEAR_REFS_SOFT_DIRTY) {
    clearSoftDirty(mm);
    return text.length;
  }
  if (type === CLEAR_REFS_MM_HIWATER_RSS) {
    mm.hiwaterRss = mmRssPages(mm);
    return text.length;
  }
  for (const vma of mm.vmas) if (clearsVma(vma, type)) clearYoung(vma);
  flushTlbEveryone(mm.pgdat);
  return text.length;
}
