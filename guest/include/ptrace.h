/* ptrace(2): numbers, registers by name, and waiting for a tracee. */
#ifndef GUEST_PTRACE_H
#define GUEST_PTRACE_H

#include "abi_mm.h"
#include "syscall.h"

#if defined(__x86_64__)
#define NR_ptrace 101
#define NR_tkill 200
#define NR_rt_sigqueueinfo 129
#define REGS_WORDS 27
#define REG_RESULT 10
#define REG_NR 15
#define REG_PC 16
#define REG_SP 19
#define BREAKPOINT 0xcc
#define BREAKPOINT_BYTES 1
/* Where pc is after a breakpoint, from its start. */
#define BREAKPOINT_PC 1
#elif defined(__aarch64__)
#define NR_ptrace 117
#define NR_tkill 130
#define NR_rt_sigqueueinfo 138
#define REGS_WORDS 34
#define REG_RESULT 0
#define REG_NR 8
#define REG_PC 32
#define REG_SP 31
#define BREAKPOINT 0xd4200000
#define BREAKPOINT_BYTES 4
#define BREAKPOINT_PC 0
#else
#define NR_ptrace 117
#define NR_tkill 130
#define NR_rt_sigqueueinfo 138
#define REGS_WORDS 32
#define REG_PC 0
#define REG_SP 2
#define REG_RESULT 10
#define REG_NR 17
#define BREAKPOINT 0x9002
#define BREAKPOINT_BYTES 2
#define BREAKPOINT_PC 0
#endif

#define EIO 5
#define ENOSYS 38
#define ERANGE 34

#define SIGTRAP 5
#define SIGCONT 18
#define SIGSTOP 19
#define SIGTSTP 20
#define SIGURG 23

#define PTRACE_TRACEME 0
#define PTRACE_PEEKDATA 2
#define PTRACE_POKEDATA 5
#define PTRACE_CONT 7
#define PTRACE_KILL 8
#define PTRACE_ATTACH 16
#define PTRACE_DETACH 17
#define PTRACE_SYSCALL 24
#define PTRACE_SETOPTIONS 0x4200
#define PTRACE_GETEVENTMSG 0x4201
#define PTRACE_GETSIGINFO 0x4202
#define PTRACE_SETSIGINFO 0x4203
#define PTRACE_GETREGSET 0x4204
#define PTRACE_SETREGSET 0x4205
#define PTRACE_SEIZE 0x4206
#define PTRACE_INTERRUPT 0x4207
#define PTRACE_LISTEN 0x4208
#define PTRACE_GETSIGMASK 0x420a
#define PTRACE_SETSIGMASK 0x420b
#define PTRACE_GET_SYSCALL_INFO 0x420e

#define PTRACE_EVENT_FORK 1
#define PTRACE_EVENT_VFORK 2
#define PTRACE_EVENT_CLONE 3
#define PTRACE_EVENT_EXEC 4
#define PTRACE_EVENT_VFORK_DONE 5
#define PTRACE_EVENT_EXIT 6
#define PTRACE_EVENT_STOP 128

#define PTRACE_O_TRACESYSGOOD 1
#define PTRACE_O_TRACE(event) (1 << (event))
#define PTRACE_O_EXITKILL (1 << 20)

#define NT_PRSTATUS 1
#define NT_PRFPREG 2

#define PR_SET_DUMPABLE 4

#define __WALL 0x40000000
#define P_PID 1
#define WUNTRACED 2
#define WNOWAIT 0x01000000
#define WCONTINUED 8

/* Statuses of wait4(). */
#define STOPPED(sig) (((sig) << 8) | 0x7f)
#define EVENT(event) (((event) << 16) | STOPPED(SIGTRAP))
#define EXITED(code) ((code) << 8)

struct syscall_info {
	u8 op;
	u8 reserved;
	u16 flags;
	u32 arch;
	u64 pc;
	u64 sp;
	u64 nr_or_result;
	u64 args[6];
	u64 rest;
};

static inline long ptrace(long request, long pid, const void *addr, const void *data)
{
	return syscall4(NR_ptrace, request, pid, addr, data);
}

static inline long resume(long request, long pid, long sig)
{
	return ptrace(request, pid, NULL, (void *)sig);
}

static inline long peek(long pid, const void *addr, u64 *word)
{
	return ptrace(PTRACE_PEEKDATA, pid, addr, word);
}

static inline long poke(long pid, const void *addr, u64 word)
{
	return ptrace(PTRACE_POKEDATA, pid, addr, (void *)word);
}

static inline long get_regs(long pid, u64 *regs)
{
	struct iovec iov = { regs, REGS_WORDS * 8 };
	return ptrace(PTRACE_GETREGSET, pid, (void *)NT_PRSTATUS, &iov);
}

static inline long set_regs(long pid, u64 *regs)
{
	struct iovec iov = { regs, REGS_WORDS * 8 };
	return ptrace(PTRACE_SETREGSET, pid, (void *)NT_PRSTATUS, &iov);
}

static inline u64 event_message(long pid)
{
	u64 message = ~0UL;
	ptrace(PTRACE_GETEVENTMSG, pid, NULL, &message);
	return message;
}

/* @returns the status of `pid`, or -errno. */
static inline long wait_for(long pid)
{
	int status = 0;
	long found = syscall4(NR_wait4, pid, &status, __WALL, NULL);
	return found < 0 ? found : status;
}

static inline long wait_now(long pid, int options)
{
	int status = 0;
	long found = syscall4(NR_wait4, pid, &status, options | WNOHANG, NULL);
	return found <= 0 ? found : status;
}

/* Forks `body` as a tracee of the caller, stopped by SIGSTOP. */
static inline long start_traced(int (*body)(void))
{
	long pid = fork();
	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		kill(getpid(), SIGSTOP);
		exit(body());
	}
	return wait_for(pid) == STOPPED(SIGSTOP) ? pid : -1;
}

/* Ends a child however it stands. @returns whether SIGKILL was what ended it. */
static inline int kill_and_reap(long pid)
{
	long status;
	kill(pid, SIGKILL);
	while ((status = wait_for(pid)) >= 0 && (status & 0xff) == 0x7f)
		resume(PTRACE_CONT, pid, 0);
	return status == SIGKILL;
}

/* Words that a program shares with its children, to wait for each other. */
static volatile u64 *flags;

static inline void share_flags(void)
{
	flags = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS);
}

static inline void sleep_ms(long ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };
	syscall2(NR_nanosleep, &ts, NULL);
}

static inline void wait_flag(int n)
{
	while (flags[n] == 0)
		sleep_ms(1);
}

#endif
