/* Numbers and structures for descriptors of processes and for calls about memory. */
#ifndef GUEST_ABI_MM_H
#define GUEST_ABI_MM_H

#include "abi.h"

#if defined(__x86_64__)
#define NR_fstat 5
#define NR_unlinkat 263
#define NR_fallocate 285
#define NR_lseek 8
#define NR_dup 32
#define NR_fcntl 72
#define NR_ftruncate 77
#define NR_prlimit64 302
#define NR_waitid 247
#define NR_ppoll 271
#define NR_mlock 149
#define NR_munlock 150
#define NR_mlockall 151
#define NR_munlockall 152
#define NR_mlock2 325
#define NR_process_vm_readv 310
#define NR_memfd_create 319
#define NR_mincore 27
#define NR_setresuid 117
#else
#define NR_dup 23
#define NR_fcntl 25
#define NR_unlinkat 35
#define NR_ftruncate 46
#define NR_fallocate 47
#define NR_lseek 62
#define NR_ppoll 73
#define NR_fstat 80
#define NR_waitid 95
#define NR_setresuid 147
#define NR_mlock 228
#define NR_munlock 229
#define NR_mlockall 230
#define NR_munlockall 231
#define NR_mincore 232
#define NR_prlimit64 261
#define NR_process_vm_readv 270
#define NR_memfd_create 279
#define NR_mlock2 284
#endif

/* From 424 on every architecture has the same numbers. */
#define NR_pidfd_send_signal 424
#define NR_pidfd_open 434
#define NR_clone3 435
#define NR_pidfd_getfd 438
#define NR_process_madvise 440
#define NR_memfd_secret 447
#define NR_process_mrelease 448
#define NR_mseal 462

#define ESRCH 3
#define EBADF 9
#define EACCES 13
#define EMFILE 24
#define ENOTTY 25

#define O_NONBLOCK 04000
#define O_RDWR 02
#define O_CREAT 0100

#define P_PIDFD 3
#define WNOHANG 1
#define WEXITED 4

#define POLLIN 1
#define POLLHUP 0x10

#define CLONE_PIDFD 0x00001000
#define PIDFD_NONBLOCK O_NONBLOCK
#define PIDFD_THREAD 0200
#define PIDFD_SELF_THREAD -10000
#define PIDFD_SELF_THREAD_GROUP -10001

#define PROT_GROWSDOWN 0x01000000
#define MAP_GROWSDOWN 0x0100
#define MAP_FIXED_NOREPLACE 0x100000
#define MREMAP_DONTUNMAP 4
#define MLOCK_ONFAULT 1
#define RLIMIT_STACK 3
#define RLIMIT_MEMLOCK 8
#define RLIMIT_AS 9
#define FALLOC_FL_KEEP_SIZE 1
#define FALLOC_FL_PUNCH_HOLE 2
#define PR_SET_CHILD_SUBREAPER 36

#define MADV_NORMAL 0
#define MADV_RANDOM 1
#define MADV_SEQUENTIAL 2
#define MADV_WILLNEED 3
#define MADV_REMOVE 9
#define MADV_DOFORK 11
#define MADV_DONTDUMP 16
#define MADV_DODUMP 17
#define MADV_KEEPONFORK 19
#define MADV_COLD 20
#define MADV_PAGEOUT 21
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#define MADV_DONTNEED_LOCKED 24
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103

struct pollfd {
	s32 fd;
	short events;
	short revents;
};

struct iovec {
	void *base;
	size_t len;
};

struct rlimit {
	u64 cur;
	u64 max;
};

struct clone_args {
	u64 flags;
	u64 pidfd;
	u64 child_tid;
	u64 parent_tid;
	u64 exit_signal;
	u64 stack;
	u64 stack_size;
	u64 tls;
};

#endif
