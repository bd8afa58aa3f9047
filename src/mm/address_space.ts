/** Files as mm sees them: which VMAs map one (i_mmap), and which cache a page is in. */

import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import type { Pfn } from '../arch/riscv/pgtable.ts';
import { bugOn } from '../lib/assert.ts';
import { AddressSpace, type PgData, type Vma } from './mm_types.ts';

/** Largest file in bytes: the index of a page cache has 40 bits. @linux include/linux/fs.h */
export const MAX_LFS_FILESIZE = 2 ** 52;
/** Behind the last page of any file. */
export const LAST_INDEX = MAX_LFS_FILESIZE / PAGE_SIZE;

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

/** Index in its file of a page that pageCacheOf() knows. */
export function pageIndex(pgdat: PgData, pfn: Pfn): number {
  return pgdat.page.index[pfn]! >>> 0;
}

/**
 * The page cache that a page is in; null when it is anonymous, or truncation has taken it out.
 * @linux include/linux/pagemap.h:folio_mapping
 */
export function pageCacheOf(pgdat: PgData, pfn: Pfn): AddressSpace | null {
  const owner = pgdat.mappings.peek(pgdat.page.mapping[pfn]! >> 1);
  if (!(owner instanceof AddressSpace)) return null;
  return owner.pages.get(pageIndex(pgdat, pfn)) === pfn ? owner : null;
}
