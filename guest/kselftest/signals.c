/* Signals: delivery, masks, restart, alternate stacks, faults that a handler repairs. */

#include "ksft.h"
#include "print.h"
#include "syscall.h"

static volatile int caught;
static volatile u64 caught_addr;
static volatile int caught_code;
static u8 *page;
static u8 alternate[16384] __attribute__((aligned(16)));
static volatile int on_alternate;

static void count(int signo, struct siginfo *info, void *context)
{
	(void)info;
	(void)context;
	u8 here;
	caught += signo;
	on_alternate = &here >= alternate && &here < alternate + sizeof(alternate);
}

static void repair(int signo, struct siginfo *info, void *context)
{
	(void)signo;
	(void)context;
	caught++;
	caught_addr = (u64)info->si_addr;
	caught_code = info->si_code;
	mprotect(page, PAGE_SIZE, PROT_READ | PROT_WRITE);
}

static int delivery(void)
{
	caught = 0;
	sigaction(SIGUSR1, count, 0);
	kill(getpid(), SIGUSR1);
	return caught == SIGUSR1;
}

static int blocked(void)
{
	u64 mask = 1UL << (SIGUSR1 - 1);
	caught = 0;
	sigaction(SIGUSR1, count, 0);
	syscall4(NR_rt_sigprocmask, SIG_BLOCK, &mask, NULL, 8);
	kill(getpid(), SIGUSR1);
	kill(getpid(), SIGUSR1);
	int while_blocked = caught;
	syscall4(NR_rt_sigprocmask, SIG_UNBLOCK, &mask, NULL, 8);
	return while_blocked == 0 && caught == SIGUSR1;
}

static int alternate_stack(void)
{
	struct sigaltstack ss = { .ss_sp = alternate, .ss_size = sizeof(alternate) };
	syscall2(NR_sigaltstack, &ss, NULL);
	sigaction(SIGUSR2, count, SA_ONSTACK);
	kill(getpid(), SIGUSR2);
	return on_alternate;
}

static int fault_repaired(void)
{
	page = mmap(NULL, PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS);
	caught = 0;
	sigaction(SIGSEGV, repair, 0);
	*(volatile u8 *)(page + 5) = 42;
	return caught == 1 && page[5] == 42 && caught_addr == (u64)page + 5 &&
	       caught_code == SEGV_ACCERR;
}

/* A child sends SIGUSR1 to its parent, which sleeps in read(2), and later closes the pipe. */
static long interrupted_read(u64 flags)
{
	int fds[2];
	int status;
	char byte = 0;
	struct timespec wait = { 0, 20000000 };
	pipe(fds);
	caught = 0;
	sigaction(SIGUSR1, count, flags);
	long parent = getpid();
	long pid = fork();
	if (pid == 0) {
		syscall2(NR_nanosleep, &wait, NULL);
		kill(parent, SIGUSR1);
		syscall2(NR_nanosleep, &wait, NULL);
		write(fds[1], "x", 1);
		exit(0);
	}
	long n = read(fds[0], &byte, 1);
	while (waitpid(pid, &status) == -EINTR)
		continue;
	close(fds[0]);
	close(fds[1]);
	return caught == SIGUSR1 ? n : -999;
}

static int killed_by(int signo)
{
	int status;
	long pid = fork();
	if (pid == 0) {
		kill(getpid(), signo);
		exit(0);
	}
	waitpid(pid, &status);
	return WIFSIGNALED(status) && WTERMSIG(status) == signo;
}

static int broken_pipe(void)
{
	int fds[2];
	pipe(fds);
	close(fds[0]);
	caught = 0;
	sigaction(SIGPIPE, count, 0);
	long n = write(fds[1], "x", 1);
	return n == -32 && caught == SIGPIPE;
}

static int child_exit_signals(void)
{
	int status;
	caught = 0;
	sigaction(SIGCHLD, count, SA_RESTART);
	long pid = fork();
	if (pid == 0)
		exit(4);
	long waited = waitpid(pid, &status);
	return waited == pid && WEXITSTATUS(status) == 4 && caught == SIGCHLD;
}

static int handler_resets_on_exec_only(void)
{
	/* fork() keeps handlers. */
	int status;
	sigaction(SIGUSR1, count, 0);
	long pid = fork();
	if (pid == 0) {
		caught = 0;
		kill(getpid(), SIGUSR1);
		exit(caught == SIGUSR1 ? 0 : 1);
	}
	waitpid(pid, &status);
	return status == 0;
}

int main(void)
{
	ksft_plan(10);
	ksft_test(delivery(), "a handler runs");
	ksft_test(blocked(), "a blocked signal waits and is delivered once");
	ksft_test(alternate_stack(), "SA_ONSTACK uses the alternate stack");
	ksft_test(fault_repaired(), "a handler repairs a fault and the store is done again");
	ksft_test(interrupted_read(0) == -EINTR, "read returns EINTR without SA_RESTART");
	ksft_test(interrupted_read(SA_RESTART) == 1, "read goes on with SA_RESTART");
	ksft_test(killed_by(SIGKILL) && killed_by(SIGUSR2 + 3), "the parent learns which signal killed");
	ksft_test(broken_pipe(), "a write without a reader raises SIGPIPE");
	ksft_test(child_exit_signals(), "a child's end raises SIGCHLD");
	ksft_test(handler_resets_on_exec_only(), "a child keeps the handlers");
	ksft_finish();
	return 0;
}
