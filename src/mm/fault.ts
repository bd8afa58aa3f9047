/**
 * From a faulting address to a handled fault: finds the VMA, grows a stack, checks rights.
 *
 * @linux arch/riscv/mm/fault.c:do_page_fault
 */

import { TASK_SIZE, type Vaddr } from '../arch/riscv/pgtable.ts';
import { expandStack } from './expand_stack.ts';
import { handleMmFault } from './memory.ts';
import { MMF_UNSTABLE } from './mm_struct.ts';
import type { MmStruct } from './mm_types.ts';
import {
  FAULT_FLAG_EXEC,
  FAULT_FLAG_WRITE,
  VM_FAULT_ACCERR,
  VM_FAULT_OOM,
  VM_FAULT_SIGBUS,
  VM_FAULT_SIGSEGV,
} from './vm_fault.ts';
import { VM_EXEC, VM_GROWSDOWN, VM_READ, VM_WRITE } from './vma.ts';

/** VMA rights that make an access of this kind legal. RISC-V: writable implies readable. */
function accessAllowed(vmFlags: number, flags: number): boolean {
  if ((flags & FAULT_FLAG_EXEC) !== 0) return (vmFlags & VM_EXEC) !== 0;
  if ((flags & FAULT_FLAG_WRITE) !== 0) return (vmFlags & VM_WRITE) !== 0;
  return (vmFlags & (VM_READ | VM_WRITE)) !== 0;
}

/**
 * Handles a fault of the running program, or of the kernel on its behalf.
 *
 * @param addr any address below 2^64, as a number.
 * @param flags FAULT_FLAG_WRITE, FAULT_FLAG_EXEC or 0 for a read.
 * @returns 0: run the instruction again; else VM_FAULT_SIGSEGV (with VM_FAULT_ACCERR when the
 *   address is mapped), VM_FAULT_SIGBUS or VM_FAULT_OOM.
 */
export function userFault(mm: MmStruct, addr: Vaddr, flags: number): number {
  const ret = doPageFault(mm, addr, flags);
  if ((ret & VM_FAULT_OOM) !== 0) mm.pgdat.faultOom = true;
  mm.pgdat.events?.fault(mm.id, addr, flags, ret);
  return ret;
}

function doPageFault(mm: MmStruct, addr: Vaddr, flags: number): number {
  if (addr >= TASK_SIZE) return VM_FAULT_SIGSEGV;
  const vma = mm.vmas.find(addr);
  if (vma === undefined) return VM_FAULT_SIGSEGV;
  if (vma.start > addr) {
    if ((vma.flags & VM_GROWSDOWN) === 0 || expandStack(vma, addr) !== 0) return VM_FAULT_SIGSEGV;
  }
  if (!accessAllowed(vma.flags, flags)) return VM_FAULT_SIGSEGV | VM_FAULT_ACCERR;
  if ((mm.flags & MMF_UNSTABLE) !== 0) return VM_FAULT_SIGBUS;
  return handleMmFault(vma, addr, flags);
}
