/* Numbers and structures of Linux's user ABI, as far as these programs use them. */
#ifndef GUEST_ABI_H
#define GUEST_ABI_H

#include "types.h"

#if defined(__x86_64__)
#define NR_read 0
#define NR_write 1
#define NR_close 3
#define NR_mmap 9
#define NR_mprotect 10
#define NR_munmap 11
#define NR_brk 12
#define NR_rt_sigaction 13
#define NR_rt_sigprocmask 14
#define NR_rt_sigreturn 15
#define NR_sched_yield 24
#define NR_mremap 25
#define NR_msync 26
#define NR_madvise 28
#define NR_nanosleep 35
#define NR_getpid 39
#define NR_clone 56
#define NR_execve 59
#define NR_exit 60
#define NR_wait4 61
#define NR_kill 62
#define NR_getppid 110
#define NR_sigaltstack 131
#define NR_prctl 157
#define NR_gettid 186
#define NR_futex 202
#define NR_clock_gettime 228
#define NR_exit_group 231
#define NR_openat 257
#define NR_pipe2 293
#elif defined(__riscv) || defined(__aarch64__)
#define NR_openat 56
#define NR_close 57
#define NR_pipe2 59
#define NR_read 63
#define NR_write 64
#define NR_exit 93
#define NR_exit_group 94
#define NR_futex 98
#define NR_nanosleep 101
#define NR_clock_gettime 113
#define NR_sched_yield 124
#define NR_kill 129
#define NR_sigaltstack 132
#define NR_rt_sigaction 134
#define NR_rt_sigprocmask 135
#define NR_rt_sigreturn 139
#define NR_prctl 167
#define NR_getpid 172
#define NR_getppid 173
#define NR_gettid 178
#define NR_brk 214
#define NR_munmap 215
#define NR_mremap 216
#define NR_clone 220
#define NR_execve 221
#define NR_mmap 222
#define NR_mprotect 226
#define NR_msync 227
#define NR_madvise 233
#define NR_wait4 260
#else
#error "these programs know riscv64, x86-64 and aarch64"
#endif

#define EPERM 1
#define ENOENT 2
#define EINTR 4
#define ECHILD 10
#define EAGAIN 11
#define ENOMEM 12
#define EFAULT 14
#define EEXIST 17
#define EINVAL 22

#define AT_FDCWD -100
#define O_RDONLY 0
#define O_CLOEXEC 02000000

#define PROT_NONE 0
#define PROT_READ 1
#define PROT_WRITE 2
#define PROT_EXEC 4

#define MAP_SHARED 0x01
#define MAP_PRIVATE 0x02
#define MAP_FIXED 0x10
#define MAP_ANONYMOUS 0x20
#define MAP_NORESERVE 0x4000
#define MAP_POPULATE 0x8000

#define MREMAP_MAYMOVE 1
#define MREMAP_FIXED 2

#define MADV_DONTNEED 4
#define MADV_FREE 8
#define MADV_DONTFORK 10
#define MADV_NOHUGEPAGE 15
#define MADV_WIPEONFORK 18

#define PR_SET_THP_DISABLE 41
/* The founding series' number: copy-on-write page tables from the next fork on. */
#define PR_SET_COW_PTE 65
/* The same under a number that only cowshed has; arg2 says what to do. */
#define PR_COW_PTE 0x43504554
#define COW_PTE_GET 0
#define COW_PTE_SET 1
#define COW_PTE_CLEAR 2

#define CLOCK_MONOTONIC 1

#define CLONE_VM 0x00000100
#define CLONE_FS 0x00000200
#define CLONE_FILES 0x00000400
#define CLONE_SIGHAND 0x00000800
#define CLONE_THREAD 0x00010000
#define CLONE_SYSVSEM 0x00040000
#define CLONE_PARENT_SETTID 0x00100000
#define CLONE_CHILD_CLEARTID 0x00200000

#define FUTEX_WAIT 0
#define FUTEX_WAKE 1

#define SIGILL 4
#define SIGBUS 7
#define SIGKILL 9
#define SIGUSR1 10
#define SIGSEGV 11
#define SIGUSR2 12
#define SIGPIPE 13
#define SIGCHLD 17

#define SIG_BLOCK 0
#define SIG_UNBLOCK 1
#define SA_SIGINFO 0x4
#define SA_ONSTACK 0x08000000
#define SA_RESTORER 0x04000000
#define SA_RESTART 0x10000000
#define SA_NODEFER 0x40000000

#define SEGV_MAPERR 1
#define SEGV_ACCERR 2

#define WIFEXITED(status) (((status) & 0x7f) == 0)
#define WEXITSTATUS(status) (((status) >> 8) & 0xff)
#define WIFSIGNALED(status) (((status) & 0x7f) != 0)
#define WTERMSIG(status) ((status) & 0x7f)

struct timespec {
	s64 tv_sec;
	s64 tv_nsec;
};

struct siginfo {
	s32 si_signo;
	s32 si_errno;
	s32 si_code;
	s32 pad;
	void *si_addr;
	u8 rest[104];
};

typedef void (*sighandler)(int signo, struct siginfo *info, void *ucontext);

/* struct sigaction of the kernel, not of the C library. */
struct ksigaction {
	sighandler handler;
	u64 flags;
#if defined(__x86_64__) || defined(__aarch64__)
	void (*restorer)(void);
#endif
	u64 mask;
};

struct sigaltstack {
	void *ss_sp;
	s32 ss_flags;
	size_t ss_size;
};

#endif
