/** Page counts of an address space by kind of mapping (VmSize, VmData, VmExe, VmStk; RLIMIT_AS and RLIMIT_DATA). */

import type { MmStruct, VmFile } from './mm_types.ts';
import { VM_EXEC, VM_GROWSDOWN, VM_SHARED, VM_WRITE } from './vma.ts';

/** Private, writable, not a stack: what RLIMIT_DATA limits. @linux mm/internal.h:is_data_mapping */
export function isDataMapping(vmFlags: number): boolean {
  return (vmFlags & (VM_WRITE | VM_SHARED | VM_GROWSDOWN)) === VM_WRITE;
}

function isExecMapping(vmFlags: number): boolean {
  return (vmFlags & (VM_EXEC | VM_WRITE | VM_GROWSDOWN)) === VM_EXEC;
}

/**
 * Counts `pages` (negative: uncounts them) of a mapping with these flags.
 * @linux mm/mmap.c:vm_stat_account
 */
export function vmStatAccount(
  mm: MmStruct,
  vmFlags: number,
  pages: number,
  _file: VmFile | null,
): void {
  mm.totalVm += pages;
  if (isExecMapping(vmFlags)) mm.execVm += pages;
  else if ((vmFlags & VM_GROWSDOWN) !== 0) mm.stackVm += pages;
  else if (isDataMapping(vmFlags)) mm.dataVm += pages;
  if (mm.totalVm > mm.hiwaterVm) mm.hiwaterVm = mm.totalVm;
}
