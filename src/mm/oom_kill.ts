/** Taking the memory of a process that is about to end and may be slow to do so. @linux mm/oom_kill.c */

import { MMF_UNSTABLE } from './mm_struct.ts';
import type { MmStruct } from './mm_types.ts';
import { updateHiwaterRss } from './rss.ts';
import { VM_PFNMAP, VM_SHARED, vmaIsAnonymous } from './vma.ts';
import { zapPrepare, zapRange } from './zap.ts';

/**
 * Drops all private pages of an address space whose tasks run no instruction any more. From
 * then on its faults fail: nothing may come to be read as zeroes that was something else.
 *
 * @returns false when memory was too short to let go of all of it.
 * @linux mm/oom_kill.c:__oom_reap_task_mm
 */
export function oomReapTaskMm(mm: MmStruct): boolean {
  updateHiwaterRss(mm);
  mm.flags |= MMF_UNSTABLE;
  let all = true;
  for (const vma of mm.vmas) {
    if ((vma.flags & VM_PFNMAP) !== 0) continue;
    if (!vmaIsAnonymous(vma) && (vma.flags & VM_SHARED) !== 0) continue;
    if (zapPrepare(mm, vma.start, vma.end) !== 0) all = false;
    else zapRange(mm, vma.start, vma.end);
  }
  return all;
}
