/* clone3's CLONE_AUTOREAP, CLONE_NNP and CLONE_PIDFD_AUTOKILL, which Linux has since 7.1. */

#include "abi_mm.h"
#include "ksft.h"
#include "print.h"
#include "string.h"
#include "syscall.h"

#define CLONE_AUTOREAP (1UL << 34)
#define CLONE_PARENT 0x8000
#define CLONE_NNP (1UL << 35)
#define CLONE_PIDFD_AUTOKILL (1UL << 36)
#define PR_SET_CHILD_SUBREAPER 36
#define PR_GET_NO_NEW_PRIVS 39

static volatile int signals;

static void on_signal(int signo, struct siginfo *info, void *context)
{
	(void)signo;
	(void)info;
	(void)context;
	signals++;
}

static long clone3(u64 flags, int *pidfd, int exit_signal)
{
	struct clone_args args;
	memset(&args, 0, sizeof(args));
	args.flags = flags;
	args.pidfd = (u64)pidfd;
	args.exit_signal = exit_signal;
	return syscall2(NR_clone3, &args, sizeof(args));
}

static void sleep_forever(void)
{
	for (;;)
		syscall5(NR_ppoll, 0, 0, 0, 0, 8);
}

static int revents(int fd, long seconds)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	long timeout[2] = { seconds, 0 };
	long n = syscall5(NR_ppoll, &pfd, 1, timeout, 0, 8);
	return n < 0 ? (int)n : pfd.revents;
}

static void refuses(void)
{
	int fd = -1;
	u64 kill = CLONE_PIDFD_AUTOKILL;
	ksft_test(clone3(CLONE_AUTOREAP, NULL, SIGCHLD) == -EINVAL, "an exit signal is refused");
	ksft_test(clone3(CLONE_AUTOREAP | CLONE_PARENT, NULL, 0) == -EINVAL, "CLONE_PARENT is refused");
	ksft_test(clone3(CLONE_AUTOREAP | CLONE_THREAD | CLONE_SIGHAND | CLONE_VM, NULL, 0) == -EINVAL,
		  "a thread is refused");
	ksft_test(clone3(CLONE_NNP | CLONE_THREAD | CLONE_SIGHAND | CLONE_VM, NULL, 0) == -EINVAL,
		  "a thread with CLONE_NNP is refused");
	ksft_test(clone3(kill | CLONE_AUTOREAP, NULL, 0) == -EINVAL, "autokill needs a pidfd");
	ksft_test(clone3(kill | CLONE_PIDFD, &fd, SIGCHLD) == -EINVAL, "autokill needs autoreap");
	ksft_test(clone3(1UL << 38, NULL, 0) == -EINVAL, "an unknown flag is refused");
}

/* No zombie, no signal, and a brother of an autoreaped process is refused. */
static int reaped(void)
{
	int fd = -1;
	signals = 0;
	long pid = clone3(CLONE_PIDFD | CLONE_AUTOREAP, &fd, 0);
	if (pid == 0)
		exit(clone3(CLONE_PARENT, NULL, 0) == -EINVAL ? 0 : 1);
	int ok = pid > 0 && revents(fd, 20) == (POLLIN | POLLHUP);
	ok &= waitpid(pid, NULL) == -ECHILD && signals == 0;
	close(fd);
	return ok;
}

/* Who inherits it leaves no zombie to its new parent; its own children do. */
static int reaped_later(void)
{
	int fds[2];
	char byte = 0;
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0 || pipe(fds) != 0)
		return 1;
	long pid = fork();
	if (pid == 0) {
		if (clone3(CLONE_AUTOREAP, NULL, 0) == 0) {
			close(fds[1]);
			read(fds[0], &byte, 1);
			/* The pipe has ended with the parent: it is another's child now. */
			long child = fork();
			if (child == 0)
				exit(7);
			int status = 0;
			exit(waitpid(child, &status) == child && status == 7 << 8 ? 0 : 1);
		}
		exit(0);
	}
	close(fds[0]);
	close(fds[1]);
	int ok = waitpid(pid, NULL) == pid;
	signals = 0;
	/* Sleeps until the last child is gone, which nobody can wait for. */
	ok &= waitpid(-1, NULL) == -ECHILD && signals == 0;
	prctl(PR_SET_CHILD_SUBREAPER, 0);
	return ok ? 0 : 2;
}

static int no_new_privs(void)
{
	int status = -1;
	long pid = clone3(CLONE_NNP, NULL, SIGCHLD);
	if (pid == 0)
		exit(prctl(PR_GET_NO_NEW_PRIVS, 0));
	return waitpid(pid, &status) == pid && status == 1 << 8 && prctl(PR_GET_NO_NEW_PRIVS, 0) == 0;
}

/* Closing the descriptor that clone3 gave kills, closing another does not. */
static int autokill(void)
{
	int fd = -1;
	u64 flags = CLONE_PIDFD | CLONE_AUTOREAP | CLONE_PIDFD_AUTOKILL;
	long pid = clone3(flags | CLONE_NNP, &fd, 0);
	if (pid == 0)
		sleep_forever();
	int other = syscall2(NR_pidfd_open, pid, 0);
	close(syscall2(NR_pidfd_open, pid, 0));
	int ok = pid > 0 && other >= 0 && revents(other, 0) == 0;
	ok &= (syscall2(NR_fcntl, fd, 3) & 01000) != 0 && (syscall2(NR_fcntl, other, 3) & 01000) == 0;
	close(fd);
	ok &= revents(other, 20) == (POLLIN | POLLHUP);
	close(other);
	/* Nothing is left of a clone whose descriptor cannot be given. */
	ok &= clone3(flags | CLONE_NNP, (int *)8, 0) == -EFAULT;
	ok &= waitpid(-1, NULL) == -ECHILD;
	return ok;
}

static int autokill_needs_rights(void)
{
	int fd = -1;
	u64 flags = CLONE_PIDFD | CLONE_AUTOREAP | CLONE_PIDFD_AUTOKILL;
	if (syscall3(NR_setresuid, 1000, 1000, 1000) != 0)
		return 1;
	if (clone3(flags, &fd, 0) != -EPERM)
		return 2;
	long pid = clone3(flags | CLONE_NNP, &fd, 0);
	if (pid == 0)
		sleep_forever();
	return pid > 0 ? 0 : 3;
}

int main(void)
{
	sigaction(SIGCHLD, on_signal, 0);
	ksft_plan(12);
	refuses();
	ksft_test(reaped(), "no zombie and no signal are left");
	ksft_child(reaped_later, "also of one that has got another parent");
	ksft_test(no_new_privs(), "CLONE_NNP is for the child");
	ksft_test(autokill(), "closing the descriptor kills");
	ksft_child(autokill_needs_rights, "autokill needs CLONE_NNP or CAP_SYS_ADMIN");
	ksft_finish();
	return 0;
}
