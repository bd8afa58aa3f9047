/* Numbers for moving pages through pipes and other address spaces. */
#ifndef GUEST_ABI_GUP_H
#define GUEST_ABI_GUP_H

#include "abi_mm.h"

#if defined(__x86_64__)
#define NR_pread64 17
#define NR_pwrite64 18
#define NR_splice 275
#define NR_tee 276
#define NR_vmsplice 278
#define NR_process_vm_writev 311
#else
#define NR_pread64 67
#define NR_pwrite64 68
#define NR_vmsplice 75
#define NR_splice 76
#define NR_tee 77
#define NR_process_vm_writev 271
#endif

#define EIO 5
#define ESPIPE 29
#define EPIPE 32

#define SPLICE_F_NONBLOCK 2
#define SPLICE_F_GIFT 8

#endif
