/**
 * Reading and writing another address space: ptrace, /proc/PID/mem.
 *
 * @linux mm/memory.c:access_process_vm
 */

import { icacheInvalidateFrame } from '../arch/riscv/icache.ts';
import { PAGE_SIZE } from '../arch/riscv/memlayout.ts';
import type { Pfn, Vaddr } from '../arch/riscv/pgtable.ts';
import { expandStack } from './expand_stack.ts';
import { FOLL_WRITE, getUserPageVmaRemote } from './gup.ts';
import type { MmStruct, Vma } from './mm_types.ts';
import { PG_DIRTY } from './page.ts';
import { VM_GROWSDOWN } from './vma.ts';

/** The VMA of `addr`, a stack grown down to it if need be. */
function vmaLookupExpand(mm: MmStruct, addr: Vaddr): Vma | undefined {
  const vma = mm.vmas.find(addr);
  if (vma === undefined || vma.start <= addr) return vma;
  if ((vma.flags & VM_GROWSDOWN) === 0 || expandStack(vma, addr) !== 0) return undefined;
  return vma;
}

/**
 * Reads or writes (FOLL_WRITE) memory of any address space, with FOLL_FORCE also where the
 * process itself may not. A write to a private mapping reaches neither the file nor another
 * process; a shared mapping has to be writable.
 * @returns bytes transferred.
 * @linux mm/memory.c:access_remote_vm
 */
export function accessRemoteVm(
  mm: MmStruct,
  addr: Vaddr,
  buffer: Uint8Array,
  flags: number,
): number {
  const { page, ram } = mm.pgdat;
  let done = 0;
  while (done < buffer.length) {
    const at = addr + done;
    const vma = vmaLookupExpand(mm, at);
    if (vma === undefined) break;
    const pfn = getUserPageVmaRemote(vma, at, flags) as Pfn;
    if (pfn < 0) break;
    const offset = at % PAGE_SIZE;
    const n = Math.min(PAGE_SIZE - offset, buffer.length - done);
    const from = pfn * PAGE_SIZE + offset;
    if ((flags & FOLL_WRITE) === 0) buffer.set(ram.u8.subarray(from, from + n), done);
    else {
      icacheInvalidateFrame(ram, pfn);
      ram.u8.set(buffer.subarray(done, done + n), from);
      page.flags[pfn]! |= PG_DIRTY;
    }
    done += n;
  }
  return done;
}
