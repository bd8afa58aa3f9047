/* Descriptors of processes: opening, waiting, polling, signalling, and what they refuse. */

#include "abi_mm.h"
#include "ksft.h"
#include "print.h"
#include "string.h"
#include "syscall.h"
#include "thread.h"

static volatile int got_signal;

static void on_signal(int signo, struct siginfo *info, void *context)
{
	(void)info;
	(void)context;
	got_signal = signo;
}

static long pidfd_open(long pid, int flags)
{
	return syscall2(NR_pidfd_open, pid, flags);
}

static long send_signal(int fd, int signo, void *info, int flags)
{
	return syscall4(NR_pidfd_send_signal, fd, signo, info, flags);
}

static long waitid(int fd, struct siginfo *info, int options)
{
	return syscall5(NR_waitid, P_PIDFD, fd, info, options, 0);
}

static int poll_now(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	struct timespec none = { 0, 0 };
	long n = syscall5(NR_ppoll, &pfd, 1, &none, 0, 8);
	return n < 0 ? n : pfd.revents;
}

static void wait_readable(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	syscall5(NR_ppoll, &pfd, 1, 0, 0, 8);
}

static long fork_sleeper(void)
{
	long pid = fork();
	if (pid == 0) {
		for (;;)
			syscall5(NR_ppoll, 0, 0, 0, 0, 8);
	}
	return pid;
}

static void open_refuses(void)
{
	long pid = getpid();
	ksft_test(pidfd_open(0, 0) == -EINVAL, "pid 0 is refused");
	ksft_test(pidfd_open(-1, 0) == -EINVAL, "pid -1 is refused");
	ksft_test(pidfd_open(pid, 1) == -EINVAL, "an unknown flag is refused");
	ksft_test(pidfd_open(0x3fffffff, 0) == -ESRCH, "a pid nobody has is ESRCH");
}

static int fd_flags(void)
{
	int fd = pidfd_open(getpid(), PIDFD_NONBLOCK);
	char byte;
	int ok = (syscall2(NR_fcntl, fd, 1) & 1) == 1;
	ok &= (syscall2(NR_fcntl, fd, 3) & O_NONBLOCK) != 0;
	ok &= read(fd, &byte, 1) == -EINVAL && write(fd, &byte, 1) == -EINVAL;
	close(fd);
	return ok;
}

static int life_and_death(void)
{
	struct siginfo info;
	long pid = fork_sleeper();
	int fd = pidfd_open(pid, PIDFD_NONBLOCK);
	int ok = fd >= 0 && poll_now(fd) == 0;
	ok &= waitid(fd, &info, WEXITED) == -EAGAIN;
	ok &= waitid(fd, &info, WEXITED | WNOHANG) == 0;
	ok &= send_signal(fd, 0, NULL, 0) == 0;
	ok &= send_signal(fd, SIGKILL, NULL, 0) == 0;
	wait_readable(fd);
	ok &= poll_now(fd) == POLLIN;
	ok &= waitid(fd, &info, WEXITED) == 0 && info.si_signo == SIGCHLD && info.si_code == 2;
	ok &= poll_now(fd) == (POLLIN | POLLHUP);
	ok &= send_signal(fd, 0, NULL, 0) == -ESRCH;
	ok &= waitid(fd, &info, WEXITED) == -ECHILD;
	ok &= pidfd_open(pid, 0) == -ESRCH;
	close(fd);
	return ok;
}

static void signal_refuses(void)
{
	struct siginfo info;
	int self = pidfd_open(getpid(), 0);
	long pid = fork_sleeper();
	int fd = pidfd_open(pid, 0);
	memset(&info, 0, sizeof(info));
	info.si_signo = SIGUSR1;
	info.si_code = -1;
	ksft_test(send_signal(fd, SIGUSR2, &info, 0) == -EINVAL, "another number in siginfo is refused");
	info.si_code = 0;
	ksft_test(send_signal(fd, SIGUSR1, &info, 0) == -EPERM, "a kernel's siginfo is refused");
	ksft_test(send_signal(fd, SIGUSR1, (void *)8, 0) == -EFAULT, "a bad siginfo is EFAULT");
	ksft_test(send_signal(fd, 0, NULL, 8) == -EINVAL, "an unknown scope is refused");
	ksft_test(send_signal(fd, 0, NULL, 3) == -EINVAL, "two scopes are refused");
	ksft_test(send_signal(fd, 65, NULL, 0) == -EINVAL, "signal 65 is refused");
	ksft_test(send_signal(0, 0, NULL, 0) == -EBADF, "standard input is no pidfd");
	ksft_test(send_signal(-1, 0, NULL, 0) == -EBADF, "-1 is no descriptor");
	ksft_test(send_signal(self, SIGUSR1, &info, 0) == 0 && got_signal == SIGUSR1,
		  "any siginfo may be sent to oneself");
	send_signal(fd, SIGKILL, NULL, 0);
	waitpid(pid, NULL);
	close(fd);
	close(self);
}

static void sentinels(void)
{
	got_signal = 0;
	ksft_test(send_signal(PIDFD_SELF_THREAD, SIGUSR1, NULL, 0) == 0 && got_signal == SIGUSR1,
		  "PIDFD_SELF_THREAD is the caller");
	got_signal = 0;
	ksft_test(send_signal(PIDFD_SELF_THREAD_GROUP, SIGUSR2, NULL, 0) == 0 &&
			  got_signal == SIGUSR2,
		  "PIDFD_SELF_THREAD_GROUP is its process");
}

static int proc_directory(void)
{
	int fd = open("/proc/self", O_RDONLY);
	int ok = fd >= 0;
	got_signal = 0;
	ok &= send_signal(fd, SIGUSR1, NULL, 0) == 0 && got_signal == SIGUSR1;
	close(fd);
	return ok;
}

static volatile u32 leave;

static void stay(void *arg)
{
	(void)arg;
	while (leave == 0)
		syscall4(NR_futex, &leave, FUTEX_WAIT, 0, NULL);
}

static int threads(void)
{
	struct thread thread;
	struct siginfo info;
	leave = 0;
	thread_start(&thread, stay, NULL);
	long tid = thread.tid;
	int ok = pidfd_open(tid, 0) == -ENOENT;
	int fd = pidfd_open(tid, PIDFD_THREAD);
	ok &= fd >= 0 && poll_now(fd) == 0;
	ok &= send_signal(fd, 0, NULL, 0) == 0;
	ok &= waitid(fd, &info, WEXITED) == -ECHILD;
	leave = 1;
	syscall3(NR_futex, &leave, FUTEX_WAKE, 1);
	thread_join(&thread);
	wait_readable(fd);
	ok &= (poll_now(fd) & POLLHUP) != 0;
	ok &= send_signal(fd, 0, NULL, 0) == -ESRCH;
	close(fd);
	return ok;
}

static int getfd(void)
{
	int fds[2];
	char byte = 0;
	pipe(fds);
	long pid = fork_sleeper();
	int fd = pidfd_open(pid, 0);
	close(fds[1]);
	int got = syscall3(NR_pidfd_getfd, fd, fds[1], 0);
	int ok = got >= 0 && (syscall2(NR_fcntl, got, 1) & 1) == 1;
	ok &= write(got, "x", 1) == 1 && read(fds[0], &byte, 1) == 1 && byte == 'x';
	ok &= syscall3(NR_pidfd_getfd, fd, fds[1], 1) == -EINVAL;
	ok &= syscall3(NR_pidfd_getfd, fd, 999, 0) == -EBADF;
	ok &= syscall3(NR_pidfd_getfd, fds[0], 0, 0) == -EBADF;
	ok &= syscall3(NR_pidfd_getfd, PIDFD_SELF_THREAD, 0, 0) == -EBADF;
	kill(pid, SIGKILL);
	wait_readable(fd);
	ok &= syscall3(NR_pidfd_getfd, fd, fds[0], 0) == -ESRCH;
	waitpid(pid, NULL);
	ok &= syscall3(NR_pidfd_getfd, fd, fds[0], 0) == -ESRCH;
	close(fd);
	close(got);
	close(fds[0]);
	return ok;
}

static int clone_pidfd(void)
{
	struct siginfo info;
	volatile int fd = -1;
	long pid = syscall5(NR_clone, CLONE_PIDFD | SIGCHLD, 0, &fd, 0, 0);
	if (pid == 0)
		exit(fd == -1 && close(3) == -EBADF ? 5 : 6);
	int ok = pid > 0 && fd >= 3 && (syscall2(NR_fcntl, fd, 1) & 1) == 1;
	ok &= waitid(fd, &info, WEXITED) == 0 && info.si_code == 1;
	/* si_status is the second half of what si_addr is for faults. */
	ok &= ((s32 *)&info)[6] == 5;
	close(fd);
	ok &= syscall5(NR_clone, CLONE_PIDFD | SIGCHLD, 0, 8, 0, 0) == -EFAULT;
	ok &= syscall5(NR_clone, CLONE_PIDFD | CLONE_PARENT_SETTID | SIGCHLD, 0, &fd, 0, 0) == -EINVAL;
	ok &= syscall5(NR_clone, CLONE_PIDFD | 0x00400000 | SIGCHLD, 0, &fd, 0, 0) == -EINVAL;
	ok &= waitpid(-1, NULL) == -ECHILD;
	return ok;
}

static int clone3_pidfd(void)
{
	int fd = -1;
	struct clone_args args;
	memset(&args, 0, sizeof(args));
	args.flags = CLONE_PIDFD;
	args.pidfd = (u64)&fd;
	args.exit_signal = SIGCHLD;
	long pid = syscall2(NR_clone3, &args, sizeof(args));
	if (pid == 0)
		exit(0);
	int ok = pid > 0 && fd >= 3;
	wait_readable(fd);
	ok &= waitpid(pid, NULL) == pid;
	close(fd);
	return ok;
}

/* The row `Pid:` of a descriptor's fdinfo, or -2. */
static long fdinfo_pid(int fd)
{
	char text[256];
	char path[32] = "/proc/self/fdinfo/";
	path[18] = '0' + fd / 10;
	path[19] = '0' + fd % 10;
	if (fd < 10) {
		path[18] = '0' + fd;
		path[19] = 0;
	}
	int info = open(path, O_RDONLY);
	long n = read(info, text, sizeof(text) - 1);
	close(info);
	text[n < 0 ? 0 : n] = 0;
	for (long i = 0; i + 5 < n; i++) {
		if (text[i] != 'P' || text[i + 1] != 'i' || text[i + 3] != ':')
			continue;
		if (text[i + 5] == '-')
			return -1;
		long pid = 0;
		for (i += 5; text[i] >= '0' && text[i] <= '9'; i++)
			pid = pid * 10 + text[i] - '0';
		return pid;
	}
	return -2;
}

static int fdinfo(void)
{
	long pid = fork_sleeper();
	int fd = pidfd_open(pid, 0);
	int ok = fdinfo_pid(fd) == pid;
	kill(pid, SIGKILL);
	waitpid(pid, NULL);
	ok &= fdinfo_pid(fd) == -1;
	close(fd);
	return ok;
}

static int limit(void)
{
	int fd = -1;
	struct rlimit few = { 3, 3 };
	if (syscall4(NR_prlimit64, 0, 7, &few, NULL) != 0)
		return 1;
	if (pidfd_open(getpid(), 0) != -EMFILE)
		return 2;
	if (syscall5(NR_clone, CLONE_PIDFD | SIGCHLD, 0, &fd, 0, 0) != -EMFILE)
		return 3;
	return waitpid(-1, NULL) == -ECHILD ? 0 : 4;
}

int main(void)
{
	sigaction(SIGUSR1, on_signal, 0);
	sigaction(SIGUSR2, on_signal, 0);
	ksft_plan(24);
	open_refuses();
	ksft_test(fd_flags(), "a pidfd is close-on-exec and cannot be read");
	ksft_test(life_and_death(), "a pidfd tells of its process's end");
	signal_refuses();
	sentinels();
	ksft_test(proc_directory(), "/proc/PID signals too");
	ksft_test(threads(), "PIDFD_THREAD means one thread");
	ksft_test(getfd(), "pidfd_getfd copies a descriptor");
	ksft_test(clone_pidfd(), "clone gives a pidfd");
	ksft_test(clone3_pidfd(), "clone3 gives a pidfd");
	ksft_test(fdinfo(), "fdinfo names the process until it is reaped");
	ksft_child(limit, "RLIMIT_NOFILE limits pidfds");
	ksft_finish();
	return 0;
}
