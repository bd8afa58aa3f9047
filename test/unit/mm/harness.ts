/** Address spaces without a processor: what the mm tests are built from. */

import { afterEach } from 'node:test';
import { ptePfn, PTE_SPECIAL, PTE_V, type Pte } from '../../../src/arch/riscv/pgtable.ts';
import { Ram } from '../../../src/arch/riscv/ram.ts';
import { doMmap } from '../../../src/mm/mmap.ts';
import { mmAlloc } from '../../../src/mm/fork.ts';
import { createPgData } from '../../../src/mm/mm_init.ts';
import { MMF_COW_PTE, RLIM_NONE } from '../../../src/mm/mm_struct.ts';
import type { MmStruct, PgData, VmFile } from '../../../src/mm/mm_types.ts';
import { checkPageTables } from '../../../src/mm/page_table_check.ts';
import { NO_PTEP, ptePtrOf } from '../../../src/mm/pgtable.ts';
import type { SwapDevice } from '../../../src/mm/swap_types.ts';
import { doSwapon, writeSwapHeader } from '../../../src/mm/swapon.ts';
import { getUser32, putUser32 } from '../../../src/mm/uaccess.ts';
import { reclaimPages } from '../../../src/mm/vmscan.ts';
import { EIO } from '../../../src/uapi/errno.ts';
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  PROT_READ,
  PROT_WRITE,
} from '../../../src/uapi/mman.ts';

export const MIB = 1024 * 1024;
export const PMD = 2 * MIB;
/** A 2 MiB-aligned address in the middle of nowhere. */
export const BASE = 0x4000_0000_0000;
export const PAGE = 4096;

/** Memories of the test that runs: the last of them, as random tests make thousands. */
const memories: PgData[] = [];
const MEMORIES_KEPT = 8;

/** Memory whose counts are proved when the test that made it ends. */
export function testPgData(mib = 32): PgData {
  const pgdat = createPgData(new Ram(mib * MIB));
  if (memories.push(pgdat) > MEMORIES_KEPT) memories.shift();
  return pgdat;
}

afterEach(() => {
  for (const pgdat of memories.splice(0)) checkPageTables(pgdat);
});

/** An empty address space, with COW page tables on or off. */
export function testMm(pgdat: PgData, cowPte = true): MmStruct {
  const limits = { as: RLIM_NONE, data: RLIM_NONE, stack: 8 * MIB, memlock: RLIM_NONE };
  const mm = mmAlloc(pgdat, limits);
  if (mm === null) throw new Error('no memory for an mm');
  if (cowPte) mm.flags |= MMF_COW_PTE;
  mm.mmapBase = 0x7fff_0000_0000;
  return mm;
}

export interface MapOptions {
  prot?: number;
  flags?: number;
  file?: VmFile | null;
  pgoff?: number;
}

/** Maps [addr, addr + len) and insists that it worked. */
export function map(mm: MmStruct, addr: number, len: number, options: MapOptions = {}): number {
  const { prot = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE, file = null, pgoff = 0 } = options;
  const anonymous = file === null ? MAP_ANONYMOUS : 0;
  const got = doMmap(mm, addr, len, prot, flags | MAP_FIXED | anonymous, file, pgoff);
  if (got !== addr) throw new Error(`mmap gave ${got}`);
  return got;
}

/** Writes `value` to the first word of every page of [addr, addr + len). */
export function touch(mm: MmStruct, addr: number, len: number, value = 1): void {
  for (let at = addr; at < addr + len; at += PAGE) {
    const err = putUser32(mm, at, value);
    if (err !== 0) throw new Error(`write at ${at.toString(16)} gave ${err}`);
  }
}

export function peek(mm: MmStruct, addr: number): number {
  return getUser32(mm, addr);
}

/** Swap of `pages` pages in this process, whose reads and writes can be made to fail. */
export class TestSwapDevice implements SwapDevice {
  readonly bytes: number;
  readonly data: Uint8Array;
  failReads = false;
  failWrites = false;
  reads = 0;
  writes = 0;

  constructor(pages: number) {
    this.bytes = pages * PAGE;
    this.data = new Uint8Array(this.bytes);
  }
  readPage(offset: number, memory: Uint8Array, at: number): number {
    if (this.failReads) return -EIO;
    this.reads++;
    memory.set(this.data.subarray(offset * PAGE, (offset + 1) * PAGE), at);
    return 0;
  }
  writePage(offset: number, memory: Uint8Array, at: number): number {
    if (this.failWrites) return -EIO;
    this.writes++;
    this.data.set(memory.subarray(at, at + PAGE), offset * PAGE);
    return 0;
  }
}

/** A swap area of `pages` slots, switched on. */
export function testSwapon(pgdat: PgData, pages: number, name = '/dev/swap0'): TestSwapDevice {
  const device = new TestSwapDevice(pages + 1);
  writeSwapHeader(device);
  const err = doSwapon(pgdat, device, name, 0);
  if (err !== 0) throw new Error(`swapon gave ${err}`);
  device.writes = 0;
  device.reads = 0;
  return device;
}

/** Frames mapped in [addr, addr + len), each once for every page that maps it. */
export function framesAt(mm: MmStruct, addr: number, len: number): Int32Array {
  const pfns: number[] = [];
  for (let at = addr; at < addr + len; at += PAGE) {
    const ptep = ptePtrOf(mm, at);
    const pte = (ptep === NO_PTEP ? 0 : mm.pgdat.ram.u32[ptep]!) as Pte;
    if ((pte & (PTE_V | PTE_SPECIAL)) === PTE_V) pfns.push(ptePfn(pte));
  }
  return Int32Array.from(pfns);
}

/** Reclaims what is mapped in [addr, addr + len), used or not. @returns frames freed. */
export function pageoutRange(mm: MmStruct, addr: number, len: number): number {
  const pfns = framesAt(mm, addr, len);
  return reclaimPages(mm.pgdat, pfns, pfns.length);
}

/** The leaf entry of an address, 0 if there is none. */
export function pteAt(mm: MmStruct, addr: number): Pte {
  const ptep = ptePtrOf(mm, addr);
  return (ptep === NO_PTEP ? 0 : mm.pgdat.ram.u32[ptep]!) as Pte;
}
