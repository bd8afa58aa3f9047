/**
 * The map of the one WebAssembly.Memory. Read this file first.
 *
 *     0          4K         64K                 ...                                      size
 *     | never    | hart     | software | code    | region  | mem_map | code | re-    | frames |
 *     | mapped   | state    | TLBs     | index   | entries |         | pool | served |        |
 *
 * A physical address is an offset into this memory, so a frame number is `offset >> 12` and
 * the kernel's own area is simply the first frames, reserved. The memory is created at its
 * full size and never grows, so the views in ram.ts never detach.
 */

export const PAGE_SHIFT = 12;
export const PAGE_SIZE = 4096;
/** 32-bit words in a page. */
export const PAGE_WORDS = 1024;

/** Offset of the hart's state; see hart_state.ts. */
export const HART_BASE = 0x1000;

/** Entries of the read and the write TLB; a power of two. Reach 64 MiB each. */
export const TLB_ENTRIES = 16384;
/** Entries of the execute TLB; a power of two. Reach 4 MiB of text. */
export const TLB_EXEC_ENTRIES = 1024;
/** Bytes of one TLB entry; see tlb.ts. */
export const TLB_ENTRY_SIZE = 16;

export const TLB_READ_BASE = 0x1_0000;
export const TLB_WRITE_BASE = TLB_READ_BASE + TLB_ENTRIES * TLB_ENTRY_SIZE;
export const TLB_EXEC_BASE = TLB_WRITE_BASE + TLB_ENTRIES * TLB_ENTRY_SIZE;
const TLB_END = TLB_EXEC_BASE + TLB_EXEC_ENTRIES * TLB_ENTRY_SIZE;

/** 32-bit words that describe one frame: `struct page`. */
export const STRUCT_PAGE_WORDS = 8;

/** Largest memory: what a wasm32 memory can have, one page short so that every end address fits 32 bits. */
export const MAX_MEMORY_BYTES = 0x1_0000_0000 - 0x1_0000;
/** Smallest memory a machine starts with. */
export const MIN_MEMORY_BYTES = 8 * 1024 * 1024;

/** Share of the memory that holds predecoded code, and its bounds in bytes. */
const CODE_POOL_SHARE = 32;
const CODE_POOL_MIN = 1 << 20;
const CODE_POOL_MAX = 64 << 20;

/** Bytes of one region entry; see cpu/jit/abi.ts. */
export const REGION_ENTRY_SIZE = 8;
/** A slot's operation field has 15 bits for the number of an entry. */
const REGION_ENTRIES_MAX = 1 << 15;

/** Where each area starts, in bytes; every one page-aligned. */
export interface MemLayout {
  /** Size of the whole memory. */
  readonly bytes: number;
  /** Frame numbers run from 0 to nrFrames - 1; those below firstFrame are the kernel's. */
  readonly nrFrames: number;
  /** One i32 a frame: 0, or the offset of the frame's predecoded code; see icache.ts. */
  readonly codeIndexBase: number;
  /** Places at which compiled code can be entered; see cpu/jit/abi.ts. */
  readonly regionEntriesBase: number;
  readonly regionEntries: number;
  readonly memMapBase: number;
  readonly codePoolBase: number;
  readonly codePoolBytes: number;
  /** For who watches the processor (cpu/instrument.ts): no page table leads here. */
  readonly reservedBase: number;
  readonly firstFrame: number;
}

function pageAlign(bytes: number): number {
  return Math.ceil(bytes / PAGE_SIZE) * PAGE_SIZE;
}

/**
 * Cuts `bytes` of memory into areas.
 * @param bytes a multiple of 64 KiB within [MIN_MEMORY_BYTES, MAX_MEMORY_BYTES].
 * @param reserved bytes at reservedBase, a multiple of the page size.
 */
export function memLayout(bytes: number, reserved = 0): MemLayout {
  const nrFrames = bytes / PAGE_SIZE;
  const codeIndexBase = pageAlign(TLB_END);
  const regionEntriesBase = pageAlign(codeIndexBase + nrFrames * 4);
  const regionEntries = Math.min(nrFrames, REGION_ENTRIES_MAX);
  const memMapBase = pageAlign(regionEntriesBase + regionEntries * REGION_ENTRY_SIZE);
  const codePoolBase = pageAlign(memMapBase + nrFrames * STRUCT_PAGE_WORDS * 4);
  const share = Math.min(Math.max(bytes / CODE_POOL_SHARE, CODE_POOL_MIN), CODE_POOL_MAX);
  const codePoolBytes = pageAlign(share);
  const reservedBase = codePoolBase + codePoolBytes;
  const firstFrame = (reservedBase + reserved) / PAGE_SIZE;
  return {
    bytes,
    nrFrames,
    codeIndexBase,
    regionEntriesBase,
    regionEntries,
    memMapBase,
    codePoolBase,
    codePoolBytes,
    reservedBase,
    firstFrame,
  };
}
