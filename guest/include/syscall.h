/* System calls without a C library: each returns what the kernel returned, -errno included. */
#ifndef GUEST_SYSCALL_H
#define GUEST_SYSCALL_H

#include "abi.h"

#if defined(__riscv)
static inline long syscall6(long nr, long a, long b, long c, long d, long e, long f)
{
	register long a0 __asm__("a0") = a;
	register long a1 __asm__("a1") = b;
	register long a2 __asm__("a2") = c;
	register long a3 __asm__("a3") = d;
	register long a4 __asm__("a4") = e;
	register long a5 __asm__("a5") = f;
	register long a7 __asm__("a7") = nr;
	__asm__ volatile("ecall"
			 : "+r"(a0)
			 : "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5), "r"(a7)
			 : "memory");
	return a0;
}
#elif defined(__x86_64__)
static inline long syscall6(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long result;
	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}
#elif defined(__aarch64__)
static inline long syscall6(long nr, long a, long b, long c, long d, long e, long f)
{
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;
	register long x8 __asm__("x8") = nr;
	__asm__ volatile("svc #0"
			 : "+r"(x0)
			 : "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5), "r"(x8)
			 : "memory");
	return x0;
}
#endif

#define syscall0(nr) syscall6(nr, 0, 0, 0, 0, 0, 0)
#define syscall1(nr, a) syscall6(nr, (long)(a), 0, 0, 0, 0, 0)
#define syscall2(nr, a, b) syscall6(nr, (long)(a), (long)(b), 0, 0, 0, 0)
#define syscall3(nr, a, b, c) syscall6(nr, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define syscall4(nr, a, b, c, d) syscall6(nr, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define syscall5(nr, a, b, c, d, e) \
	syscall6(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)

static inline void exit(int code)
{
	syscall1(NR_exit_group, code);
	__builtin_unreachable();
}

static inline long read(int fd, void *buf, size_t n)
{
	return syscall3(NR_read, fd, buf, n);
}

static inline long write(int fd, const void *buf, size_t n)
{
	return syscall3(NR_write, fd, buf, n);
}

static inline long close(int fd)
{
	return syscall1(NR_close, fd);
}

static inline long open(const char *path, int flags)
{
	return syscall4(NR_openat, AT_FDCWD, path, flags, 0);
}

static inline long pipe(int fds[2])
{
	return syscall2(NR_pipe2, fds, 0);
}

static inline long fork(void)
{
	return syscall5(NR_clone, SIGCHLD, 0, 0, 0, 0);
}

static inline long waitpid(long pid, int *status)
{
	return syscall4(NR_wait4, pid, status, 0, 0);
}

static inline long getpid(void)
{
	return syscall0(NR_getpid);
}

static inline long kill(long pid, int signo)
{
	return syscall2(NR_kill, pid, signo);
}

static inline long execve(const char *path, char *const argv[], char *const envp[])
{
	return syscall3(NR_execve, path, argv, envp);
}

/* Failure is a value above -4096, as for every call here. */
static inline void *mmap(void *addr, size_t len, int prot, int flags)
{
	return (void *)syscall6(NR_mmap, (long)addr, (long)len, prot, flags, -1, 0);
}

static inline int mmap_failed(const void *addr)
{
	return (u64)addr > -4096UL;
}

static inline long munmap(void *addr, size_t len)
{
	return syscall2(NR_munmap, addr, len);
}

static inline long mprotect(void *addr, size_t len, int prot)
{
	return syscall3(NR_mprotect, addr, len, prot);
}

static inline void *mremap(void *addr, size_t len, size_t newLen, int flags, void *newAddr)
{
	return (void *)syscall5(NR_mremap, addr, len, newLen, flags, newAddr);
}

static inline long madvise(void *addr, size_t len, int advice)
{
	return syscall3(NR_madvise, addr, len, advice);
}

static inline long prctl(int option, u64 arg2)
{
	return syscall5(NR_prctl, option, arg2, 0, 0, 0);
}

/* Nanoseconds of CLOCK_MONOTONIC. */
static inline u64 now_ns(void)
{
	struct timespec ts;
	syscall2(NR_clock_gettime, CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * 1000000000UL + (u64)ts.tv_nsec;
}

#if defined(__x86_64__)
static __attribute__((naked, used)) void restore_rt(void)
{
	__asm__("mov $15, %eax\n\tsyscall");
}
#elif defined(__aarch64__)
static __attribute__((naked, used)) void restore_rt(void)
{
	__asm__("mov x8, #139\n\tsvc #0");
}
#endif

static inline long sigaction(int signo, sighandler handler, u64 flags)
{
	struct ksigaction action = { .handler = handler, .flags = flags | SA_SIGINFO };
#if defined(__x86_64__) || defined(__aarch64__)
	action.flags |= SA_RESTORER;
	action.restorer = restore_rt;
#endif
	return syscall4(NR_rt_sigaction, signo, &action, NULL, 8);
}

#endif
