/** What a mapping is called, and the file it shows: for maps, smaps and PROCMAP_QUERY. @linux fs/proc/task_mmu.c:get_vma_name */

import type { VmFile, Vma } from '../../mm/mm_types.ts';

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

/** The file as a program sees it: the kernel's own mappings have none. */
export function vmaFile(vma: Vma): VmFile | null {
  return kernelName(vma) === null ? vma.file : null;
}

/** A path, or a name in brackets; '' for plain anonymous memory. */
export function vmaName(vma: Vma): string {
  const { file, anonName } = vma;
  const kernel = kernelName(vma);
  if (kernel !== null) return kernel;
  if (file !== null) return anonName === null ? file.mapsName() : `[anon_shmem:${anonName}]`;
  if (isInitialHeap(vma)) return '[heap]';
  if (isInitialStack(vma)) return '[stack]';
  return anonName === null ? '' : `[anon:${anonName}]`;
}
