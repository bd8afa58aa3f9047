/**
 * The memory manager on its own: address spaces, page tables and fork over one block of
 * memory, without a processor or programs. Import it as `cowshed/mm`.
 */

export { MAX_MEMORY_BYTES, MIN_MEMORY_BYTES, PAGE_SIZE } from './arch/riscv/memlayout.ts';
export type { Pfn, Pte, Vaddr } from './arch/riscv/pgtable.ts';
export { Ram } from './arch/riscv/ram.ts';
export { doBrk } from './mm/brk.ts';
export { userFault } from './mm/fault.ts';
export { dupMm, mmAlloc, mmput } from './mm/fork.ts';
export { doMadvise } from './mm/madvise.ts';
export { createPgData } from './mm/mm_init.ts';
export { MMF_COW_PTE, MMF_COW_PTE_READY, RLIM_NONE } from './mm/mm_struct.ts';
export type { MmLimits, MmStruct, PgData, Vma, VmFile } from './mm/mm_types.ts';
export { doMmap, doMunmap, findVma } from './mm/mmap.ts';
export { doMprotect } from './mm/mprotect.ts';
export { doMremap } from './mm/mremap.ts';
export { checkPageTables } from './mm/page_table_check.ts';
export { mmUsage, type MmUsage } from './mm/rss.ts';
export { shmemFileSetup } from './mm/shmem.ts';
export { clearUser, copyFromUser, copyToUser, getUser64, putUser64 } from './mm/uaccess.ts';
export {
  FAULT_FLAG_EXEC,
  FAULT_FLAG_WRITE,
  VM_FAULT_ACCERR,
  VM_FAULT_OOM,
  VM_FAULT_SIGBUS,
  VM_FAULT_SIGSEGV,
} from './mm/vm_fault.ts';
export * from './uapi/mman.ts';
