/**
 * struct page as struct-of-arrays over linear memory (`mem_map`), indexed by frame number.
 *
 * A frame is exactly one of: reserved, free (buddy), a page table, a page (anonymous, file or
 * shmem), or kernel data. The eight words mean different things for pages and for tables; the
 * second set of names is that of `struct ptdesc` in Linux.
 */

import type { Brand } from '../lib/brand.ts';
import type { Pfn } from '../arch/riscv/pgtable.ts';
import type { Ram } from '../arch/riscv/ram.ts';

/** No frame: what allocation returns on failure. Frame 0 is the kernel's, never handed out. */
export const NO_PFN = 0 as Pfn;

/** In the buddy allocator's free lists; `private` is the order. */
export const PG_BUDDY = 1 << 0;
/** Never handed out: the kernel's own area, the zero page. */
export const PG_RESERVED = 1 << 1;
/** A page table; the pt* arrays describe it. */
export const PG_TABLE = 1 << 2;
/** Mapped anonymous page that only its one mapping may refer to: writable without a copy. Void while any table on the path is shared. */
export const PG_ANON_EXCLUSIVE = 1 << 3;
/** Belongs to shared memory or tmpfs: counted as RssShmem. */
export const PG_SWAPBACKED = 1 << 4;
/** Page cache: the bytes are valid. */
export const PG_UPTODATE = 1 << 5;
/** Newer than the file it is from, or than its slot in swap. Entries may say so too (PTE_D). */
export const PG_DIRTY = 1 << 6;

/** Anonymous page, as PAGE_MAPPING_ANON in `mapping` says; stays until the page is freed. Here because loops over entries read the flags anyway. */
export const PG_ANON = 1 << 11;
/** On an LRU list; the next three say which, see swap.ts. */
export const PG_LRU = 1 << 13;
/** On an active list. */
export const PG_ACTIVE = 1 << 14;
/** Used since the last look at it: one more use makes it active. */
export const PG_REFERENCED = 1 << 15;
/** Not worth a look by reclaim, because a VM_LOCKED mapping holds it. */
export const PG_UNEVICTABLE = 1 << 16;
/** In the swap cache: `private` is the SwapEntry, and the cache holds one reference. */
export const PG_SWAPCACHE = 1 << 17;
/** Anonymous page whose bytes may be dropped instead of swapped out as long as it is clean (MADV_FREE), or always (VM_DROPPABLE). */
export const PG_LAZYFREE = 1 << 18;

/** A table that the fork under way must not share: below it is a VMA that the child does not get as it is. */
export const PG_TABLE_NOSHARE = 1 << 10;
/** A table below which a page may be pinned or referenced; a fork that finds none any more clears it. Never set on a shared path. */
export const PG_TABLE_PINNED = 1 << 12;

/** Level (LEVEL_*) of a page table, in bits 8-9 of its flags. */
const TABLE_LEVEL_SHIFT = 8;

/** LRU lists: anonymous and shared memory, then files, inactive before active. @linux include/linux/mmzone.h:lru_list */
export const LRU_INACTIVE_ANON = 0;
export const LRU_ACTIVE_ANON = 1;
export const LRU_INACTIVE_FILE = 2;
export const LRU_ACTIVE_FILE = 3;
export const LRU_UNEVICTABLE = 4;
export const NR_LRU_LISTS = 5;
/** From a kind's inactive to its active list. */
export const LRU_ACTIVE = 1;

/** `mapping` of an anonymous page: handle of its AnonVma, tagged. */
export const PAGE_MAPPING_ANON = 1;

/** Value of `page.mapping`: handle << 1, plus PAGE_MAPPING_ANON; 0 when there is none. */
export type MappingId = Brand<number, 'MappingId'>;

export class MemMap {
  /** PG_* bits. */
  readonly flags: Int32Array;
  /** References: one a mapping (PTE), one from the page cache, one a temporary holder, GUP_PIN_COUNTING_BIAS a pin. 0 = free. */
  readonly refcount: Int32Array;
  /** PTEs that map the page, in distinct tables: a shared table counts once. */
  readonly mapcount: Int32Array;
  /** MappingId of the owner, see pgdat.mappings. */
  readonly mapping: Int32Array;
  /** Offset in the mapping in pages; the virtual page number for anonymous memory, cut to 32 bits. */
  readonly index: Int32Array;
  /** Order of a free block (PG_BUDDY); SwapEntry of a page in the swap cache (PG_SWAPCACHE). */
  readonly private: Int32Array;
  /** List links (frame numbers, 0 = none): free list, LRU. */
  readonly lruNext: Int32Array;
  readonly lruPrev: Int32Array;

  /** Page tables: entries of parent tables that point here (a root counts 1). Invariant: when > 1, all those entries carry PTE_SHARED (one that is left alone may still carry it). */
  readonly ptRefs: Int32Array;
  /** Leaf tables: present entries by kind, in pages: RSS of a process = sum over its leaf tables. */
  readonly ptAnon: Int32Array;
  readonly ptFile: Int32Array;
  readonly ptShmem: Int32Array;
  /** Leaf tables: swap entries, in pages. */
  readonly ptSwap: Int32Array;
  /** Page tables: id of the mm that VmPTE counts the table for; when that one no longer uses it, the next reader takes it (rss.ts). */
  readonly ptOwner: Int32Array;
  /** Page tables: first address mapped, divided by PMD_SIZE. */
  readonly ptIndex: Int32Array;

  constructor(ram: Ram) {
    const { memMapBase, nrFrames } = ram.layout;
    const column = (n: number): Int32Array =>
      new Int32Array(ram.memory.buffer, memMapBase + n * nrFrames * 4, nrFrames);
    this.flags = column(0);
    this.refcount = column(1);
    this.mapcount = column(2);
    this.mapping = column(3);
    this.index = column(4);
    this.private = column(5);
    this.lruNext = column(6);
    this.lruPrev = column(7);
    this.ptRefs = this.refcount;
    this.ptAnon = this.mapcount;
    this.ptFile = this.mapping;
    this.ptShmem = this.index;
    this.ptSwap = this.private;
    this.ptOwner = this.lruNext;
    this.ptIndex = this.lruPrev;
  }
}

/** What one pin (FOLL_PIN) adds to a page's references. @linux include/linux/mm.h */
export const GUP_PIN_COUNTING_BIAS = 1024;

/** True for every pinned page, and for one with as many other references. @linux include/linux/mm.h:folio_maybe_dma_pinned */
export function pageMaybeDmaPinned(page: MemMap, pfn: Pfn): boolean {
  return page.refcount[pfn]! >= GUP_PIN_COUNTING_BIAS;
}

export function tableFlags(level: number): number {
  return PG_TABLE | (level << TABLE_LEVEL_SHIFT);
}

export function tableLevel(flags: number): number {
  return (flags >> TABLE_LEVEL_SHIFT) & 3;
}

export function pageAnon(page: MemMap, pfn: Pfn): boolean {
  return (page.flags[pfn]! & PG_ANON) !== 0;
}
