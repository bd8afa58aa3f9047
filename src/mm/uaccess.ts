/**
 * The kernel's access to user memory. Every byte goes through userFrame(), which takes the
 * effective permission (leaf AND path) and faults like the program itself would, so no kernel
 * write can land in a page or table that somebody else shares.
 *
 * @linux lib/usercopy.c, lib/strncpy_from_user.c
 */

import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import {
  entryPtr,
  pgdIndex,
  pmdIndex,
  pteIndex,
  ptePfn,
  PTE_A,
  PTE_D,
  PTE_R,
  PTE_PATH_RO,
  PTE_U,
  PTE_V,
  PTE_W,
  pudIndex,
  TASK_SIZE,
  type Pte,
  type Vaddr,
} from '../arch/riscv/pgtable.ts';
import { icacheInvalidateFrame } from '../arch/riscv/icache.ts';
import { fromHalves, highHalf, lowHalf } from '../lib/bits.ts';
import { EFAULT, ENAMETOOLONG, ENOMEM } from '../uapi/errno.ts';
import { userFault } from './fault.ts';
import type { MmStruct } from './mm_types.ts';
import { FAULT_FLAG_WRITE, VM_FAULT_OOM } from './vm_fault.ts';

/**
 * Walks as the processor does.
 * @returns offset of the page in the memory, or -1 when the access must fault first. @hot
 */
function walk(mm: MmStruct, addr: Vaddr, write: boolean): number {
  const { ram } = mm.pgdat;
  const { u32 } = ram;
  const pgd = u32[entryPtr(mm.pgd, pgdIndex(addr))] as Pte;
  if (pgd === 0) return -1;
  const pud = u32[entryPtr(ptePfn(pgd), pudIndex(addr))] as Pte;
  if (pud === 0) return -1;
  const pmd = u32[entryPtr(ptePfn(pud), pmdIndex(addr))] as Pte;
  if (pmd === 0) return -1;
  const ptep = entryPtr(ptePfn(pmd), pteIndex(addr));
  const pte = u32[ptep] as Pte;
  if ((pte & (PTE_V | PTE_U | PTE_R)) !== (PTE_V | PTE_U | PTE_R)) return -1;
  if (!write) {
    u32[ptep] = pte | PTE_A;
    return ptePfn(pte) * PAGE_SIZE;
  }
  if ((pte & PTE_W) === 0 || ((pgd | pud | pmd) & PTE_PATH_RO) !== 0) return -1;
  u32[ptep] = pte | PTE_A | PTE_D;
  const pfn = ptePfn(pte);
  if (ram.codeIndex[pfn] !== 0) icacheInvalidateFrame(ram, pfn);
  return pfn * PAGE_SIZE;
}

/**
 * Where in the memory the byte at `addr` is, resident and with the asked permission; valid up
 * to the end of its page and until anything else happens in the kernel.
 * @returns an offset, -EFAULT, or -ENOMEM when memory is out.
 */
export function userFrame(mm: MmStruct, addr: Vaddr, write: boolean): number {
  if (addr >= TASK_SIZE || addr < 0) return -EFAULT;
  let page = walk(mm, addr, write);
  // A fault may break a table and need another for the page: two rounds settle any entry.
  for (let round = 0; page < 0 && round < 3; round++) {
    const ret = userFault(mm, addr, write ? FAULT_FLAG_WRITE : 0);
    if (ret !== 0) return (ret & VM_FAULT_OOM) !== 0 ? -ENOMEM : -EFAULT;
    page = walk(mm, addr, write);
  }
  return page < 0 ? -EFAULT : page + (addr & (PAGE_SIZE - 1));
}

/** Bytes from `addr` to the end of its page, `len` at most. */
function inPage(addr: Vaddr, len: number): number {
  return Math.min(PAGE_SIZE - (addr & (PAGE_SIZE - 1)), len);
}

/**
 * Copies `len` bytes out of user memory into `dst` at `offset`.
 * @returns bytes copied; fewer than `len` where the next byte cannot be read.
 */
export function rawCopyFromUser(
  mm: MmStruct,
  dst: Uint8Array,
  offset: number,
  addr: Vaddr,
  len: number,
): number {
  const { u8 } = mm.pgdat.ram;
  let done = 0;
  while (done < len) {
    const at = userFrame(mm, addr + done, false);
    if (at < 0) break;
    const n = inPage(addr + done, len - done);
    if (dst.buffer === u8.buffer) u8.copyWithin(dst.byteOffset + offset + done, at, at + n);
    else dst.set(u8.subarray(at, at + n), offset + done);
    done += n;
  }
  return done;
}

/** As rawCopyFromUser(), the other way. */
export function rawCopyToUser(
  mm: MmStruct,
  addr: Vaddr,
  src: Uint8Array,
  offset: number,
  len: number,
): number {
  const { u8 } = mm.pgdat.ram;
  let done = 0;
  while (done < len) {
    const at = userFrame(mm, addr + done, true);
    if (at < 0) break;
    const n = inPage(addr + done, len - done);
    const from = offset + done;
    if (src.buffer === u8.buffer)
      u8.copyWithin(at, src.byteOffset + from, src.byteOffset + from + n);
    else u8.set(src.subarray(from, from + n), at);
    done += n;
  }
  return done;
}

/** Fills all of `dst`. @returns 0 or -EFAULT. */
export function copyFromUser(mm: MmStruct, dst: Uint8Array, addr: Vaddr): number {
  return rawCopyFromUser(mm, dst, 0, addr, dst.length) === dst.length ? 0 : -EFAULT;
}

/** Writes all of `src`. @returns 0 or -EFAULT, with a prefix written. */
export function copyToUser(mm: MmStruct, addr: Vaddr, src: Uint8Array): number {
  return rawCopyToUser(mm, addr, src, 0, src.length) === src.length ? 0 : -EFAULT;
}

/** Zeroes user memory. @returns bytes zeroed. */
export function rawClearUser(mm: MmStruct, addr: Vaddr, len: number): number {
  let done = 0;
  while (done < len) {
    const at = userFrame(mm, addr + done, true);
    if (at < 0) break;
    const n = inPage(addr + done, len - done);
    mm.pgdat.ram.u8.fill(0, at, at + n);
    done += n;
  }
  return done;
}

/** Zeroes `len` bytes. @returns 0 or -EFAULT. */
export function clearUser(mm: MmStruct, addr: Vaddr, len: number): number {
  return rawClearUser(mm, addr, len) === len ? 0 : -EFAULT;
}

/**
 * Reads a little-endian number of up to 4 bytes, which may cross a page.
 * @returns its unsigned value or -EFAULT.
 */
function getUser(mm: MmStruct, addr: Vaddr, size: 1 | 2 | 4): number {
  const { view } = mm.pgdat.ram;
  const at = userFrame(mm, addr, false);
  if (at < 0) return -EFAULT;
  if (inPage(addr, size) === size) {
    if (size === 4) return view.getUint32(at, true);
    return size === 2 ? view.getUint16(at, true) : view.getUint8(at);
  }
  let value = 0;
  for (let i = size - 1; i >= 0; i--) {
    const byte = getUser(mm, addr + i, 1);
    if (byte < 0) return -EFAULT;
    value = value * 256 + byte;
  }
  return value;
}

function putUser(mm: MmStruct, addr: Vaddr, value: number, size: 1 | 2 | 4): number {
  const { view } = mm.pgdat.ram;
  if (inPage(addr, size) === size) {
    const at = userFrame(mm, addr, true);
    if (at < 0) return -EFAULT;
    if (size === 4) view.setInt32(at, value, true);
    else if (size === 2) view.setInt16(at, value, true);
    else view.setInt8(at, value);
    return 0;
  }
  // Both pages first, so that a fault in the second leaves the first unwritten.
  if (userFrame(mm, addr + size - 1, true) < 0) return -EFAULT;
  for (let i = 0; i < size; i++) {
    if (putUser(mm, addr + i, (value >>> (8 * i)) & 0xff, 1) !== 0) return -EFAULT;
  }
  return 0;
}

/** @returns the byte, or -EFAULT. */
export function getUser8(mm: MmStruct, addr: Vaddr): number {
  return getUser(mm, addr, 1);
}

/** @returns the unsigned value, or -EFAULT. */
export function getUser32(mm: MmStruct, addr: Vaddr): number {
  return getUser(mm, addr, 4);
}

/**
 * Reads 8 bytes as an unsigned number: exact below 2^53, rounded (and so out of any valid
 * range) above.
 * @returns the value, or -EFAULT.
 */
export function getUser64(mm: MmStruct, addr: Vaddr): number {
  const lo = getUser(mm, addr, 4);
  const hi = lo < 0 ? lo : getUser(mm, addr + 4, 4);
  return hi < 0 ? -EFAULT : fromHalves(lo, hi);
}

/** @returns 0 or -EFAULT. */
export function putUser8(mm: MmStruct, addr: Vaddr, value: number): number {
  return putUser(mm, addr, value, 1);
}

/** @returns 0 or -EFAULT. */
export function putUser32(mm: MmStruct, addr: Vaddr, value: number): number {
  return putUser(mm, addr, value, 4);
}

/** Writes 8 bytes; negative values in two's complement, |value| < 2^53. @returns 0 or -EFAULT. */
export function putUser64(mm: MmStruct, addr: Vaddr, value: number): number {
  const err = putUser(mm, addr + 4, highHalf(value), 4);
  return err !== 0 ? err : putUser(mm, addr, lowHalf(value), 4);
}

/** Offset in the memory of an aligned word of user memory (futex). @returns -EFAULT when it is not there. */
export function userWordOffset(mm: MmStruct, addr: Vaddr, write: boolean): number {
  const at = userFrame(mm, addr, write);
  return at < 0 ? -EFAULT : at;
}

/**
 * A string from user memory as a byte string, without its NUL.
 * @param max bytes to look at, NUL included.
 * @returns the string, -EFAULT, or -ENAMETOOLONG when there is no NUL within `max`.
 */
export function strncpyFromUser(mm: MmStruct, addr: Vaddr, max: number): string | number {
  const { u8 } = mm.pgdat.ram;
  let text = '';
  let done = 0;
  while (done < max) {
    const at = userFrame(mm, addr + done, false);
    if (at < 0) return -EFAULT;
    const n = inPage(addr + done, max - done);
    const end = u8.subarray(at, at + n).indexOf(0);
    text += byteString(u8, at, end < 0 ? n : end);
    if (end >= 0) return text;
    done += n;
  }
  return -ENAMETOOLONG;
}

/** One char a byte; `n` is at most a page, which fits an argument list. */
function byteString(u8: Uint8Array, at: number, n: number): string {
  return String.fromCharCode(...u8.subarray(at, at + n));
}
