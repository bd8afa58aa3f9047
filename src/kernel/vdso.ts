/**
 * The one page of code the kernel gives every program: the return from a signal handler. It
 * is an ordinary private mapping of one shared-memory page, so fork and exec need no special
 * case. The address space's fixed places are here too: nothing is randomised.
 *
 * @linux arch/riscv/kernel/vdso/rt_sigreturn.S
 */

import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import { TASK_SIZE } from '../arch/riscv/pgtable.ts';
import { iovKernel } from '../mm/iov_iter.ts';
import { filemapWrite } from '../mm/filemap.ts';
import { doMmap } from '../mm/mmap.ts';
import type { MmStruct, PgData, VmFile } from '../mm/mm_types.ts';
import { shmemFileSetup } from '../mm/shmem.ts';
import { MAP_FIXED, MAP_PRIVATE, PROT_EXEC, PROT_READ } from '../uapi/mman.ts';
import { NR_RT_SIGRETURN } from '../uapi/unistd.ts';

/** The sigreturn page: one page short of the end of user space. */
export const VDSO_BASE = TASK_SIZE - 2 * PAGE_SIZE;
export const VDSO_SIGRETURN = VDSO_BASE;
/** Highest address of the first stack. */
export const STACK_TOP = VDSO_BASE - PAGE_SIZE;
/** Where position-independent programs go: two thirds of user space. @linux ELF_ET_DYN_BASE */
export const ELF_ET_DYN_BASE = 0x5555_5555_5000;

/** addi a7, x0, imm (ADDI: I-type, opcode 0x13, rd 17). */
function liA7(imm: number): number {
  return (imm << 20) | (17 << 7) | 0x13;
}
const ECALL = 0x73;

/** @returns the page's file, one for all programs of a machine; null when memory is out. */
export function vdsoSetup(pgdat: PgData): VmFile | null {
  const file = shmemFileSetup(pgdat, '[vdso]', PAGE_SIZE);
  file.mapping.unevictable = true;
  const code = new Uint8Array(8);
  const view = new DataView(code.buffer);
  view.setUint32(0, liA7(NR_RT_SIGRETURN), true);
  view.setUint32(4, ECALL, true);
  return filemapWrite(file.mapping, iovKernel(code), 0) === code.length ? file : null;
}

/** Maps the page into a new program. @returns 0 or -errno. */
export function mapVdso(mm: MmStruct, file: VmFile): number {
  const flags = MAP_PRIVATE | MAP_FIXED;
  const addr = doMmap(mm, VDSO_BASE, PAGE_SIZE, PROT_READ | PROT_EXEC, flags, file, 0);
  return Math.min(addr, 0);
}
