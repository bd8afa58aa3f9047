/**
 * Swap areas: what mm knows of a device that pages go to, and the counts of its slots.
 *
 *     slot      map   cache    what it is
 *     0         BAD   0        the header (mkswap)
 *     free      0     0
 *     in use    n     0        n entries of page tables and page caches name it
 *     cached    n     pfn      as above, and the page is in memory too; n may be 0
 *
 * @linux include/linux/swap.h
 */

import type { Brand } from '../lib/brand.ts';
import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import {
  MAX_SWAPFILES,
  mkSwpPte,
  PTE_V,
  swpOffset,
  swpType,
  type Pte,
} from '../arch/riscv/pgtable.ts';

/** Bits of a type in a SwapEntry. @linux include/linux/swap.h:MAX_SWAPFILES_SHIFT */
const TYPE_BITS = 5;
/** Slots of an area that an entry can name: 64 GiB. */
export const MAX_SWAP_SLOTS = 1 << 24;
/** `map` of a slot that is never given out. */
export const SWAP_MAP_BAD = -1;
/** Slots that one search of the free ones passes over at a time. @linux include/linux/swap.h */
export const SWAPFILE_CLUSTER = 256;

/** A slot of an area: offset << 5 | type, never 0 because slot 0 is the header. */
export type SwapEntry = Brand<number, 'SwapEntry'>;

/** Stands in a page cache for a page whose slot could not be read when its area was switched off. */
export const SWAP_ENTRY_POISONED = 1 as SwapEntry;

export function mkSwapEntry(type: number, offset: number): SwapEntry {
  return ((offset << TYPE_BITS) | type) as SwapEntry;
}

export function swapEntryType(entry: SwapEntry): number {
  return entry & ((1 << TYPE_BITS) - 1);
}

export function swapEntryOffset(entry: SwapEntry): number {
  return entry >>> TYPE_BITS;
}

/** @returns true for an entry that names a slot. */
export function isSwapPte(pte: Pte): boolean {
  return (pte & PTE_V) === 0 && pte !== 0 && swpType(pte) < MAX_SWAPFILES;
}

export function pteToSwapEntry(pte: Pte): SwapEntry {
  return mkSwapEntry(swpType(pte), swpOffset(pte));
}

/** An entry that names the slot, without PTE_SWP_* bits. */
export function swapEntryToPte(entry: SwapEntry): Pte {
  return mkSwpPte(swapEntryType(entry), swapEntryOffset(entry));
}

/** What a page cache holds for a page in swap: below 0, as frame numbers never are. @linux include/linux/swapops.h:swp_to_radix_entry */
export function swapEntryToValue(entry: SwapEntry): number {
  return -entry;
}

export function valueToSwapEntry(value: number): SwapEntry {
  return -value as SwapEntry;
}

/** A block device whose size is in pages: memory or a file of the host. Errors are -EIO. */
export interface SwapDevice {
  /** Size in bytes, a multiple of PAGE_SIZE. */
  readonly bytes: number;
  /** Reads page `offset` to byte `at` of `memory`. @returns 0 or -errno: never bytes that were not written there. */
  readPage(offset: number, memory: Uint8Array, at: number): number;
  /** Writes page `offset` from byte `at` of `memory`. @returns 0 or -errno. */
  writePage(offset: number, memory: Uint8Array, at: number): number;
}

/** An area that is on. @linux include/linux/swap.h:swap_info_struct */
export class SwapInfo {
  /** Place in SwapState.areas and in its entries. */
  readonly type: number;
  readonly device: SwapDevice;
  /** As /proc/swaps prints it: a byte string. */
  readonly name: string;
  /** Areas of higher priority fill first; negative ones were given by the kernel. */
  prio: number;
  /** New pages may go there; false while swapoff() empties it. @linux SWP_WRITEOK */
  writeOk = true;
  /** Entries that name the slot, SWAP_MAP_BAD, or 0. */
  readonly map: Int32Array;
  /** Frame of the page in the swap cache, 0 = not there. */
  readonly cache: Int32Array;
  /** When the page in the slot was reclaimed; see workingset.ts. */
  readonly shadow: Int32Array;
  /** Free slots of each cluster. */
  readonly clusterFree: Uint16Array;
  /** Slots that can hold pages, and those that do. */
  readonly pages: number;
  inUse = 0;
  /** Where the next search for a free slot begins. */
  next = 1;

  constructor(
    type: number,
    device: SwapDevice,
    name: string,
    prio: number,
    slots: number,
    badPages: number,
  ) {
    this.type = type;
    this.device = device;
    this.name = name;
    this.prio = prio;
    this.pages = slots - 1 - badPages;
    this.map = new Int32Array(slots);
    this.cache = new Int32Array(slots);
    this.shadow = new Int32Array(slots);
    this.map[0] = SWAP_MAP_BAD;
    this.clusterFree = new Uint16Array(Math.ceil(slots / SWAPFILE_CLUSTER)).fill(SWAPFILE_CLUSTER);
    this.clusterFree[0]!--;
    const tail = slots % SWAPFILE_CLUSTER;
    if (tail !== 0) this.clusterFree[this.clusterFree.length - 1]! -= SWAPFILE_CLUSTER - tail;
  }
}

/** All swap of a machine. */
export class SwapState {
  /** Areas by type; null = not on. */
  readonly areas: (SwapInfo | null)[] = [];
  /** Areas that are on, the next to be filled first. */
  readonly active: SwapInfo[] = [];
  /** Slots of all areas that are on, and those of them that are free. */
  totalPages = 0;
  freePages = 0;
  /** Priority the last area without one got. @linux mm/swapfile.c:least_priority */
  leastPriority = -1;
  /** Pages in the swap cache. */
  cachedPages = 0;
}

export function deviceSlots(device: SwapDevice): number {
  return Math.floor(device.bytes / PAGE_SIZE);
}
