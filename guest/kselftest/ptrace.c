/*
 * ptrace: signals, memory, registers and system calls of a tracee, and what is refused.
 * What a tracer writes no other process sees, whatever pages and page tables it shares.
 */

#include "ksft.h"
#include "print.h"
#include "ptrace.h"
#include "string.h"

static volatile int caught;
static volatile int caught_code;
static volatile u64 word = 0x1122334455667788;
static u64 *memory;

static void note(int signo, struct siginfo *info, void *context)
{
	(void)context;
	caught = signo;
	caught_code = info->si_code;
}

static int nothing(void)
{
	return 7;
}

static int forever(void)
{
	for (;;)
		sleep_ms(1000);
	return 0;
}

static int traceme_and_continue(void)
{
	long pid = start_traced(nothing);
	int ok = pid > 0 && wait_now(pid, __WALL) == 0;
	ok &= resume(PTRACE_CONT, pid, 0) == 0;
	return !(ok && wait_for(pid) == EXITED(7) && wait_for(pid) == -ECHILD);
}

static int raise_twice(void)
{
	sigaction(SIGUSR1, note, 0);
	sigaction(SIGUSR2, note, 0);
	kill(getpid(), SIGUSR1);
	int first = caught;
	kill(getpid(), SIGUSR1);
	return first == 0 && caught == SIGUSR2 && caught_code == 0 ? 0 : 1;
}

/* The first signal is taken away, the second changed. */
static int signals_are_shown(void)
{
	struct siginfo info;
	long pid = start_traced(raise_twice);
	resume(PTRACE_CONT, pid, 0);
	int ok = wait_for(pid) == STOPPED(SIGUSR1);
	ok &= ptrace(PTRACE_GETSIGINFO, pid, NULL, &info) == 0;
	ok &= info.si_signo == SIGUSR1 && info.si_code == 0 && (s32)(u64)info.si_addr == pid;
	resume(PTRACE_CONT, pid, 0);
	ok &= wait_for(pid) == STOPPED(SIGUSR1);
	resume(PTRACE_CONT, pid, SIGUSR2);
	return !(ok && wait_for(pid) == EXITED(0));
}

static int raise_ignored(void)
{
	kill(getpid(), SIGURG);
	return 0;
}

static int ignored_signals_are_shown(void)
{
	long pid = start_traced(raise_ignored);
	resume(PTRACE_CONT, pid, 0);
	int ok = wait_for(pid) == STOPPED(SIGURG);
	resume(PTRACE_CONT, pid, 0);
	return !(ok && wait_for(pid) == EXITED(0));
}

static int expect_code(void)
{
	sigaction(SIGUSR1, note, 0);
	kill(getpid(), SIGUSR1);
	return caught == SIGUSR1 && caught_code == -77 ? 0 : 1;
}

static int siginfo_is_changed(void)
{
	struct siginfo info;
	long pid = start_traced(expect_code);
	resume(PTRACE_CONT, pid, 0);
	int ok = wait_for(pid) == STOPPED(SIGUSR1);
	ptrace(PTRACE_GETSIGINFO, pid, NULL, &info);
	info.si_code = -77;
	ok &= ptrace(PTRACE_SETSIGINFO, pid, NULL, &info) == 0;
	resume(PTRACE_CONT, pid, SIGUSR1);
	return !(ok && wait_for(pid) == EXITED(0));
}

static int raise_blocked(void)
{
	sigaction(SIGUSR1, note, 0);
	kill(getpid(), SIGUSR1);
	return caught;
}

/* A mask set by the tracer counts: the signal that it passes on then waits in the queue. */
static int mask_is_changed(void)
{
	u64 mask = 0;
	long pid = start_traced(raise_blocked);
	resume(PTRACE_CONT, pid, 0);
	int ok = wait_for(pid) == STOPPED(SIGUSR1);
	ok &= ptrace(PTRACE_GETSIGMASK, pid, (void *)8, &mask) == 0 && mask == 0;
	mask = ~0UL;
	ok &= ptrace(PTRACE_SETSIGMASK, pid, (void *)8, &mask) == 0;
	ok &= ptrace(PTRACE_GETSIGMASK, pid, (void *)8, &mask) == 0;
	ok &= mask == ~(1UL << (SIGKILL - 1) | 1UL << (SIGSTOP - 1));
	ok &= ptrace(PTRACE_GETSIGMASK, pid, (void *)4, &mask) == -EINVAL;
	resume(PTRACE_CONT, pid, SIGUSR1);
	return !(ok && wait_for(pid) == EXITED(0));
}

static int check_word(void)
{
	return word == 0xcafe ? 0 : 1;
}

static int peek_and_poke(void)
{
	u64 seen = 0;
	long pid = start_traced(check_word);
	int ok = peek(pid, (void *)&word, &seen) == 0 && seen == word;
	ok &= peek(pid, (u8 *)&word + 3, &seen) == 0 && (seen & 0xff) == 0x55;
	ok &= poke(pid, (void *)&word, 0xcafe) == 0 && word == 0x1122334455667788;
	ok &= peek(pid, (void *)8, &seen) == -EIO && poke(pid, (void *)8, 1) == -EIO;
	ok &= peek(pid, (void *)&word, (void *)8) == -EFAULT;
	resume(PTRACE_CONT, pid, 0);
	return !(ok && wait_for(pid) == EXITED(0));
}

/* Waits, then says whether the word at the start of `memory` is what it was. */
static int unchanged(void)
{
	u64 before = *memory;
	flags[0] = 1;
	wait_flag(1);
	return *memory == before ? 0 : 1;
}

static int changed_to_42(void)
{
	return *memory == 42 ? 0 : 1;
}

/* A page nobody may write, shared with a child forked before and with the tracer. */
static int poke_read_only(void)
{
	share_flags();
	memory = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
	*memory = 9;
	mprotect(memory, PAGE_SIZE, PROT_READ);
	long other = start_traced(unchanged);
	resume(PTRACE_DETACH, other, 0);
	wait_flag(0);
	long pid = start_traced(changed_to_42);
	int ok = poke(pid, memory, 42) == 0 && *memory == 9;
	resume(PTRACE_CONT, pid, 0);
	ok &= wait_for(pid) == EXITED(0);
	flags[1] = 1;
	return !(ok && wait_for(other) == EXITED(0) && *memory == 9);
}

static int see_42_and_so_does_a_child(void)
{
	int status = -1;
	long pid = fork();
	if (pid == 0)
		exit(*memory == 42 ? 0 : 1);
	waitpid(pid, &status);
	return *memory == 42 && status == 0 ? 0 : 1;
}

/* Several page tables, all shared by fork; the words poked lie behind the first and the last. */
static int poke_behind_shared_tables(void)
{
	size_t last = 8 * MIB / 8 - 8;
	u64 seen = 0;
	share_flags();
	memory = mmap(NULL, 8 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
	for (size_t at = 0; at < 8 * MIB; at += PAGE_SIZE)
		memory[at / 8] = at + 1;
	memory[last] = 5;
	long other = start_traced(unchanged);
	resume(PTRACE_DETACH, other, 0);
	wait_flag(0);
	long pid = start_traced(see_42_and_so_does_a_child);
	int ok = poke(pid, memory, 42) == 0 && poke(pid, memory + last, 43) == 0;
	ok &= peek(pid, memory + last, &seen) == 0 && seen == 43;
	ok &= memory[0] == 1 && memory[last] == 5;
	resume(PTRACE_CONT, pid, 0);
	long status;
	while ((status = wait_for(pid)) == STOPPED(SIGCHLD))
		resume(PTRACE_CONT, pid, 0);
	ok &= status == EXITED(0) && memory[0] == 1 && memory[last] == 5;
	flags[1] = 1;
	return !(ok && wait_for(other) == EXITED(0));
}

static int read_through_no_access(void)
{
	u64 seen = 0;
	memory = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
	*memory = 77;
	mprotect(memory, PAGE_SIZE, PROT_NONE);
	long pid = start_traced(nothing);
	int ok = peek(pid, memory, &seen) == 0 && seen == 77;
	ok &= poke(pid, memory, 78) == 0 && peek(pid, memory, &seen) == 0 && seen == 78;
	kill_and_reap(pid);
	pid = start_traced(nothing);
	ok &= peek(pid, memory, &seen) == 0 && seen == 77;
	return !(ok && kill_and_reap(pid));
}

/* A mapping that is shared and read-only cannot be written by force. */
static int poke_shared_read_only(void)
{
	u64 seen = 0;
	memory = mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS);
	long pid = start_traced(nothing);
	int ok = peek(pid, memory, &seen) == 0 && seen == 0 && poke(pid, memory, 1) == -EIO;
	return !(ok && kill_and_reap(pid));
}

static __attribute__((noinline)) int add(int a, int b)
{
	__asm__ volatile("");
	return a + b;
}

static int call_add(void)
{
	return add(20, 22);
}

/* A breakpoint in code that runs from the program's file, in one process only. */
static int breakpoint(void)
{
	u64 regs[REGS_WORDS];
	u64 code;
	u64 mask = BREAKPOINT_BYTES == 8 ? ~0UL : (1UL << (8 * BREAKPOINT_BYTES)) - 1;
	long pid = start_traced(call_add);
	int ok = peek(pid, (void *)add, &code) == 0;
	ok &= poke(pid, (void *)add, (code & ~mask) | BREAKPOINT) == 0;
	resume(PTRACE_CONT, pid, 0);
	ok &= wait_for(pid) == STOPPED(SIGTRAP) && add(1, 2) == 3;
	ok &= get_regs(pid, regs) == 0 && regs[REG_PC] == (u64)add + BREAKPOINT_PC;
	regs[REG_PC] = (u64)add;
	ok &= poke(pid, (void *)add, code) == 0 && set_regs(pid, regs) == 0;
	resume(PTRACE_CONT, pid, 0);
	return !(ok && wait_for(pid) == EXITED(42));
}

static int register_sets(void)
{
	u64 regs[128];
	u64 all[128];
	struct iovec iov = { regs, 8 };
	long pid = start_traced(nothing);
	memset(regs, 0xff, sizeof(regs));
	int ok = ptrace(PTRACE_GETREGSET, pid, (void *)NT_PRSTATUS, &iov) == 0 && iov.len == 8;
	ok &= regs[1] == ~0UL;
	iov.len = 12;
	ok &= ptrace(PTRACE_GETREGSET, pid, (void *)NT_PRSTATUS, &iov) == -EINVAL && iov.len == 12;
	iov = (struct iovec){ all, sizeof(all) };
	ok &= ptrace(PTRACE_GETREGSET, pid, (void *)NT_PRSTATUS, &iov) == 0;
	ok &= iov.len == REGS_WORDS * 8 && all[0] == regs[0] && all[REG_SP] != 0;
	iov.len = 0;
	ok &= ptrace(PTRACE_SETREGSET, pid, (void *)NT_PRSTATUS, &iov) == 0 && iov.len == 0;
	iov.len = sizeof(all);
	ok &= ptrace(PTRACE_GETREGSET, pid, (void *)NT_PRFPREG, &iov) == 0 && iov.len > 256;
	ok &= ptrace(PTRACE_GETREGSET, pid, (void *)0x12345, &iov) == -EINVAL;
	ok &= ptrace(PTRACE_GETREGSET, pid, (void *)NT_PRSTATUS, (void *)8) == -EFAULT;
	iov = (struct iovec){ (void *)8, 16 };
	ok &= ptrace(PTRACE_GETREGSET, pid, (void *)NT_PRSTATUS, &iov) == -EFAULT;
	return !(ok && kill_and_reap(pid));
}

static int ask_getppid(void)
{
	return syscall0(NR_getppid) == 1234 && syscall0(NR_getppid) == -ENOSYS ? 0 : 1;
}

/* The result of the first call is replaced, the second is not made at all. */
static int system_calls(void)
{
	u64 regs[REGS_WORDS];
	struct syscall_info info;
	long pid = start_traced(ask_getppid);
	int ok = ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)PTRACE_O_TRACESYSGOOD) == 0;
	ok &= ptrace(PTRACE_GET_SYSCALL_INFO, pid, (void *)sizeof(info), &info) == 24;
	ok &= info.op == 0 && info.pc != 0 && info.sp != 0;
	int seen = 0;
	long status;
	resume(PTRACE_SYSCALL, pid, 0);
	while ((status = wait_for(pid)) == STOPPED(SIGTRAP | 0x80)) {
		long size = ptrace(PTRACE_GET_SYSCALL_INFO, pid, (void *)sizeof(info), &info);
		if (info.op == 1) {
			ok &= size == 80 && event_message(pid) == 1;
			seen += info.nr_or_result == NR_getppid;
		} else {
			ok &= (info.op == 2 && size == 33 && event_message(pid) == 2) || seen == 0;
		}
		get_regs(pid, regs);
		if (info.op == 2 && seen == 1) {
			ok &= regs[REG_RESULT] == (u64)getpid();
			regs[REG_RESULT] = 1234;
			set_regs(pid, regs);
			seen = 2;
		} else if (info.op == 1 && seen == 3 && info.nr_or_result == NR_getppid) {
			ok &= (long)regs[REG_RESULT] == -ENOSYS;
			regs[REG_NR] = -1;
			set_regs(pid, regs);
		}
		resume(PTRACE_SYSCALL, pid, 0);
	}
	return !(ok && seen == 3 && status == EXITED(0));
}

static int sleep_half(void)
{
	u64 start = now_ns();
	sleep_ms(600);
	return now_ns() - start >= 600000000 ? 0 : 1;
}

/* What is attached to while it sleeps stops, and sleeps on for the rest of its time. */
static int attach_to_sleeper(void)
{
	long pid = fork();
	if (pid == 0)
		exit(sleep_half());
	sleep_ms(50);
	int ok = ptrace(PTRACE_ATTACH, pid, NULL, NULL) == 0;
	ok &= ptrace(PTRACE_ATTACH, pid, NULL, NULL) == -EPERM;
	ok &= wait_for(pid) == STOPPED(SIGSTOP);
	sleep_ms(50);
	ok &= resume(PTRACE_DETACH, pid, 0) == 0 && resume(PTRACE_CONT, pid, 0) == -ESRCH;
	return !(ok && wait_for(pid) == EXITED(0));
}

static int detach_with_signal(void)
{
	long pid = start_traced(forever);
	int ok = resume(PTRACE_DETACH, pid, 65) == -EIO;
	ok &= resume(PTRACE_DETACH, pid, SIGUSR2) == 0;
	return !(ok && wait_for(pid) == SIGUSR2);
}

static int refusals(void)
{
	u64 seen;
	long pid = fork();
	if (pid == 0)
		forever();
	int ok = peek(pid, (void *)&word, &seen) == -ESRCH;
	ok &= ptrace(PTRACE_ATTACH, getpid(), NULL, NULL) == -EPERM;
	ok &= ptrace(PTRACE_ATTACH, 0x3fffffff, NULL, NULL) == -ESRCH;
	ok &= ptrace(PTRACE_SEIZE, pid, (void *)1, NULL) == -EIO;
	ok &= ptrace(PTRACE_SEIZE, pid, NULL, (void *)0x40000000) == -EIO;
	ok &= ptrace(PTRACE_SEIZE, pid, NULL, NULL) == 0;
	ok &= peek(pid, (void *)&word, &seen) == -ESRCH && resume(PTRACE_CONT, pid, 0) == -ESRCH;
	kill_and_reap(pid);
	pid = start_traced(nothing);
	ok &= ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)0x40000000) == -EINVAL;
	ok &= ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) == -EIO;
	ok &= ptrace(PTRACE_LISTEN, pid, NULL, NULL) == -EIO;
	ok &= resume(PTRACE_CONT, pid, 65) == -EIO;
	ok &= ptrace(0x4299, pid, NULL, NULL) == -EIO;
	ok &= ptrace(PTRACE_GETEVENTMSG, pid, NULL, (void *)8) == -EFAULT;
	ok &= ptrace(PTRACE_GETSIGINFO, pid, NULL, (void *)8) == -EFAULT;
	return !(ok && kill_and_reap(pid));
}

/* As user 1000: root, and a process of its own that will not be looked into. */
static int permissions(void)
{
	int status = -1;
	share_flags();
	long root = fork();
	if (root == 0)
		forever();
	long user = fork();
	if (user == 0) {
		syscall3(NR_setresuid, 1000, 1000, 1000);
		long open = fork();
		if (open == 0) {
			prctl(PR_SET_DUMPABLE, 1);
			flags[0] = 1;
			forever();
		}
		long closed = fork();
		if (closed == 0) {
			prctl(PR_SET_DUMPABLE, 0);
			flags[1] = 1;
			forever();
		}
		wait_flag(0);
		wait_flag(1);
		int ok = ptrace(PTRACE_ATTACH, root, NULL, NULL) == -EPERM;
		ok &= ptrace(PTRACE_ATTACH, closed, NULL, NULL) == -EPERM;
		ok &= ptrace(PTRACE_ATTACH, open, NULL, NULL) == 0;
		kill_and_reap(open);
		kill_and_reap(closed);
		exit(ok ? 0 : 1);
	}
	waitpid(user, &status);
	return !(status == 0 && kill_and_reap(root));
}

int main(void)
{
	ksft_plan(17);
	ksft_child(traceme_and_continue, "PTRACE_TRACEME, a stop, PTRACE_CONT");
	ksft_child(signals_are_shown, "signals are shown, taken away and changed");
	ksft_child(ignored_signals_are_shown, "ignored signals are shown too");
	ksft_child(siginfo_is_changed, "siginfo is changed");
	ksft_child(mask_is_changed, "the mask of blocked signals is changed");
	ksft_child(peek_and_poke, "peek and poke");
	ksft_child(poke_read_only, "a read-only page is poked for the tracee alone");
	ksft_child(poke_behind_shared_tables, "so is a page behind shared page tables");
	ksft_child(read_through_no_access, "so is a page without any access");
	ksft_child(poke_shared_read_only, "a shared read-only mapping is not poked");
	ksft_child(breakpoint, "a breakpoint stops the tracee alone");
	ksft_child(register_sets, "register sets: lengths and errors");
	ksft_child(system_calls, "system calls: results replaced, calls skipped");
	ksft_child(attach_to_sleeper, "attach to a sleeper and let it sleep on");
	ksft_child(detach_with_signal, "detach with a signal");
	ksft_child(refusals, "what is refused");
	ksft_child(permissions, "who may not be attached to");
	ksft_finish();
	return 0;
}
