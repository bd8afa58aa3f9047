/** i_mmap: which VMAs map a file. */

import { bugOn } from '../lib/assert.ts';
import type { Vma } from './mm_types.ts';

/** Links a file VMA into its mapping's i_mmap. */
export function vmaLinkFile(vma: Vma): void {
  if (vma.file === null) return;
  bugOn(vma.iMmapIndex !== -1, 'vmaLinkFile: already linked');
  const { iMmap } = vma.file.mapping;
  vma.iMmapIndex = iMmap.length;
  iMmap.push(vma);
}

/** Takes a file VMA out of its mapping's i_mmap. */
export function vmaUnlinkFile(vma: Vma): void {
  if (vma.iMmapIndex === -1 || vma.file === null) return;
  const { iMmap } = vma.file.mapping;
  const last = iMmap.pop();
  if (last !== undefined && last !== vma) {
    iMmap[vma.iMmapIndex] = last;
    last.iMmapIndex = vma.iMmapIndex;
  }
  vma.iMmapIndex = -1;
}
