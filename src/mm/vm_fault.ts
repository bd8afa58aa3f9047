/** Why a fault is taken and how it ended. @linux include/linux/mm_types.h:enum fault_flag, vm_fault_reason */

/** 0 is a read. */
export const FAULT_FLAG_WRITE = 1;
export const FAULT_FLAG_EXEC = 2;
/** Not an access: a read-only page of a private mapping is to become the process's own, still read-only. */
export const FAULT_FLAG_UNSHARE = 4;
/** The program's own access, not the kernel's for it. */
export const FAULT_FLAG_USER = 8;

/** A frame could not be allocated. */
export const VM_FAULT_OOM = 0x01;
/** The backing store has no such page or failed to read it. */
export const VM_FAULT_SIGBUS = 0x02;
export const VM_FAULT_SIGSEGV = 0x40;
/** The address is mapped, the access is not allowed: si_code SEGV_ACCERR instead of SEGV_MAPERR. */
export const VM_FAULT_ACCERR = 0x1_0000;

/** The access can be made again once pgdat.userfault is resolved: an error to whoever cannot wait. */
export const VM_FAULT_RETRY = 0x400;

export const VM_FAULT_ERROR = VM_FAULT_OOM | VM_FAULT_SIGBUS | VM_FAULT_SIGSEGV | VM_FAULT_RETRY;
