/*
 * ptrace: events, group stops, tracees of several threads, tracers that are not the parent, the
 * end of tracers, and SIGKILL in every kind of stop. `ptrace_stops hold PID` keeps a process in a
 * stop.
 */

#include "ksft.h"
#include "print.h"
#include "ptrace.h"
#include "string.h"
#include "thread.h"

#define VFORK_FLAGS (CLONE_VM | 0x4000)
#define GROUP_STOP(sig) ((PTRACE_EVENT_STOP << 16) | STOPPED(sig))
#define EVERY_EVENT 0x7e

static char self_path[] = "/proc/self/exe";
static volatile int caught;

static void note(int signo, struct siginfo *info, void *context)
{
	(void)info;
	(void)context;
	caught = signo;
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

static long start_with(int (*body)(void), u64 options)
{
	long pid = start_traced(body);
	return ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)options) == 0 ? pid : -1;
}

/* A child of the caller that is no tracee yet. */
static long start(int (*body)(void))
{
	long pid = fork();
	if (pid == 0)
		exit(body());
	return pid;
}

static int fork_and_wait(void)
{
	int status = -1;
	long pid = fork();
	if (pid == 0)
		exit(3);
	waitpid(pid, &status);
	return status == EXITED(3) ? 0 : 1;
}

/* The child of a tracee is a tracee, and its first stop is SIGSTOP. */
static int fork_event(void)
{
	long pid = start_with(fork_and_wait, EVERY_EVENT & ~PTRACE_O_TRACE(PTRACE_EVENT_EXIT));
	resume(PTRACE_CONT, pid, 0);
	int ok = wait_for(pid) == EVENT(PTRACE_EVENT_FORK);
	long child = event_message(pid);
	ok &= wait_for(child) == STOPPED(SIGSTOP);
	resume(PTRACE_CONT, pid, 0);
	ok &= wait_now(pid, __WALL) == 0;
	resume(PTRACE_CONT, child, 0);
	ok &= wait_for(child) == EXITED(3);
	ok &= wait_for(pid) == STOPPED(SIGCHLD);
	resume(PTRACE_CONT, pid, 0);
	return !(ok && wait_for(pid) == EXITED(0));
}

static int vfork_and_wait(void)
{
	int status = -1;
	long pid = syscall5(NR_clone, VFORK_FLAGS | SIGCHLD, 0, 0, 0, 0);
	if (pid == 0)
		exit(4);
	waitpid(pid, &status);
	return status == EXITED(4) ? 0 : 1;
}

static int vfork_events(void)
{
	u64 done = PTRACE_O_TRACE(PTRACE_EVENT_VFORK_DONE);
	long pid = start_with(vfork_and_wait, done | PTRACE_O_TRACE(PTRACE_EVENT_VFORK));
	resume(PTRACE_CONT, pid, 0);
	int ok = wait_for(pid) == EVENT(PTRACE_EVENT_VFORK);
	long child = event_message(pid);
	ok &= wait_for(child) == STOPPED(SIGSTOP);
	resume(PTRACE_CONT, pid, 0);
	sleep_ms(20);
	ok &= wait_now(pid, __WALL) == 0;
	resume(PTRACE_DETACH, child, 0);
	ok &= wait_for(pid) == EVENT(PTRACE_EVENT_VFORK_DONE) && (long)event_message(pid) == child;
	resume(PTRACE_CONT, pid, 0);
	long status = wait_for(pid);
	if (status == STOPPED(SIGCHLD)) {
		resume(PTRACE_CONT, pid, 0);
		status = wait_for(pid);
	}
	return !(ok && status == EXITED(0));
}

/* The calls of a tracee that is followed from call to call: entry and exit of a vfork. */
static int vfork_is_one_call(void)
{
	u64 options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACE(PTRACE_EVENT_VFORK_DONE);
	struct syscall_info info;
	long pid = start_with(vfork_and_wait, options);
	int entries = 0;
	int exits = 0;
	int dones = 0;
	long status;
	resume(PTRACE_SYSCALL, pid, 0);
	while (((status = wait_for(pid)) & 0xff) == 0x7f) {
		if (status == EVENT(PTRACE_EVENT_VFORK_DONE))
			dones += entries == 1 && exits == 0;
		ptrace(PTRACE_GET_SYSCALL_INFO, pid, (void *)sizeof(info), &info);
		int clone = info.op == 1 && info.nr_or_result == NR_clone;
		int ours = clone || (info.op == 2 && entries == 1 && exits == 0);
		if (ours)
			*(clone ? &entries : &exits) += 1;
		resume(PTRACE_SYSCALL, pid, 0);
	}
	return !(status == EXITED(0) && entries == 1 && exits == 1 && dones == 1);
}

static int exec_self(void)
{
	char *argv[] = { self_path, "exit", NULL };
	char *envp[] = { NULL };
	return (int)execve(self_path, argv, envp);
}

static int exec_event(void)
{
	long pid = start_with(exec_self, PTRACE_O_TRACE(PTRACE_EVENT_EXEC));
	resume(PTRACE_CONT, pid, 0);
	int ok = wait_for(pid) == EVENT(PTRACE_EVENT_EXEC) && (long)event_message(pid) == pid;
	resume(PTRACE_CONT, pid, 0);
	ok &= wait_for(pid) == EXITED(9);
	pid = start_traced(exec_self);
	resume(PTRACE_CONT, pid, 0);
	ok &= wait_for(pid) == STOPPED(SIGTRAP) && event_message(pid) == 0;
	resume(PTRACE_CONT, pid, 0);
	return !(ok && wait_for(pid) == EXITED(9));
}

static int exit_event(void)
{
	u64 regs[REGS_WORDS];
	long pid = start_with(nothing, PTRACE_O_TRACE(PTRACE_EVENT_EXIT));
	resume(PTRACE_CONT, pid, 0);
	int ok = wait_for(pid) == EVENT(PTRACE_EVENT_EXIT) && event_message(pid) == EXITED(7);
	ok &= get_regs(pid, regs) == 0 && regs[REG_PC] != 0;
	resume(PTRACE_CONT, pid, 0);
	ok &= wait_for(pid) == EXITED(7);
	pid = start_with(forever, PTRACE_O_TRACE(PTRACE_EVENT_EXIT));
	kill(pid, SIGKILL);
	ok &= wait_for(pid) == EVENT(PTRACE_EVENT_EXIT) && event_message(pid) == SIGKILL;
	resume(PTRACE_CONT, pid, 0);
	return !(ok && wait_for(pid) == SIGKILL);
}

static volatile int go;
static volatile u32 thread_tid;

static void work(void *arg)
{
	(void)arg;
	thread_tid = syscall0(NR_gettid);
	while (!go)
		sleep_ms(1);
}

static int with_thread(void)
{
	struct thread thread;
	thread_start(&thread, work, NULL);
	while (thread_tid == 0)
		sleep_ms(1);
	go = 1;
	thread_join(&thread);
	return 0;
}

/* Each thread is a tracee of its own, whose end the tracer waits for. */
static int thread_event(void)
{
	long pid = start_with(with_thread, PTRACE_O_TRACE(PTRACE_EVENT_CLONE));
	resume(PTRACE_CONT, pid, 0);
	int ok = wait_for(pid) == EVENT(PTRACE_EVENT_CLONE);
	long tid = event_message(pid);
	ok &= wait_for(tid) == STOPPED(SIGSTOP) && tid != pid;
	ok &= resume(PTRACE_CONT, pid, 0) == 0 && resume(PTRACE_CONT, tid, 0) == 0;
	ok &= wait_for(tid) == EXITED(0);
	return !(ok && wait_for(pid) == EXITED(0) && wait_for(-1) == -ECHILD);
}

static void exec_in_thread(void *arg)
{
	(void)arg;
	thread_tid = syscall0(NR_gettid);
	while (!go)
		sleep_ms(1);
	exec_self();
}

static int thread_execs(void)
{
	struct thread thread;
	thread_start(&thread, exec_in_thread, NULL);
	return forever();
}

/* A thread that calls exec gets the number of its process; the message is what it had. */
static int exec_by_thread(void)
{
	u64 one = 1;
	u64 options = PTRACE_O_TRACE(PTRACE_EVENT_EXEC) | PTRACE_O_TRACE(PTRACE_EVENT_CLONE);
	long pid = start_with(thread_execs, options);
	resume(PTRACE_CONT, pid, 0);
	int ok = wait_for(pid) == EVENT(PTRACE_EVENT_CLONE);
	long tid = event_message(pid);
	ok &= wait_for(tid) == STOPPED(SIGSTOP);
	ok &= poke(pid, (void *)&go, one) == 0;
	resume(PTRACE_CONT, pid, 0);
	resume(PTRACE_CONT, tid, 0);
	ok &= wait_for(-1) == EVENT(PTRACE_EVENT_EXEC);
	ok &= (long)event_message(pid) == tid && resume(PTRACE_CONT, tid, 0) == -ESRCH;
	resume(PTRACE_CONT, pid, 0);
	return !(ok && wait_for(pid) == EXITED(9) && wait_for(-1) == -ECHILD);
}

/* A stop signal is shown twice: before it is delivered, and as the stop of the process. */
static int group_stop_of_attached(void)
{
	struct siginfo info;
	long pid = start_traced(forever);
	resume(PTRACE_CONT, pid, 0);
	kill(pid, SIGTSTP);
	int ok = wait_for(pid) == STOPPED(SIGTSTP);
	ok &= ptrace(PTRACE_GETSIGINFO, pid, NULL, &info) == 0;
	/* An orphaned group ignores SIGTSTP, but not SIGSTOP. */
	resume(PTRACE_CONT, pid, SIGSTOP);
	ok &= wait_for(pid) == STOPPED(SIGSTOP);
	ok &= ptrace(PTRACE_GETSIGINFO, pid, NULL, &info) == -EINVAL;
	resume(PTRACE_CONT, pid, 0);
	kill(pid, SIGCONT);
	ok &= wait_for(pid) == STOPPED(SIGCONT);
	return !(ok && kill_and_reap(pid));
}

static int seize_and_interrupt(void)
{
	struct siginfo info;
	long pid = start(forever);
	int ok = ptrace(PTRACE_SEIZE, pid, NULL, (void *)PTRACE_O_TRACESYSGOOD) == 0;
	sleep_ms(20);
	ok &= wait_now(pid, __WALL) == 0;
	ok &= ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) == 0;
	ok &= wait_for(pid) == GROUP_STOP(SIGTRAP);
	ok &= ptrace(PTRACE_GETSIGINFO, pid, NULL, &info) == 0 && info.si_code == 0x8005;
	/* Another one while it stands comes after this stop. */
	ok &= ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) == 0 && wait_now(pid, __WALL) == 0;
	resume(PTRACE_CONT, pid, 0);
	ok &= wait_for(pid) == GROUP_STOP(SIGTRAP);
	resume(PTRACE_CONT, pid, 0);
	return !(ok && kill_and_reap(pid));
}

/* PTRACE_LISTEN keeps the process stopped until SIGCONT, and tells of that. */
static int seize_and_listen(void)
{
	long pid = start(forever);
	ptrace(PTRACE_SEIZE, pid, NULL, NULL);
	kill(pid, SIGSTOP);
	int ok = wait_for(pid) == STOPPED(SIGSTOP);
	ok &= ptrace(PTRACE_LISTEN, pid, NULL, NULL) == -EIO;
	resume(PTRACE_CONT, pid, SIGSTOP);
	ok &= wait_for(pid) == GROUP_STOP(SIGSTOP);
	ok &= ptrace(PTRACE_LISTEN, pid, NULL, NULL) == 0;
	ok &= resume(PTRACE_CONT, pid, 0) == -ESRCH && wait_now(pid, __WALL) == 0;
	kill(pid, SIGCONT);
	ok &= wait_for(pid) == GROUP_STOP(SIGTRAP);
	resume(PTRACE_CONT, pid, 0);
	ok &= wait_for(pid) == STOPPED(SIGCONT);
	resume(PTRACE_CONT, pid, SIGSTOP);
	ok &= wait_for(pid) == GROUP_STOP(SIGSTOP);
	ok &= ptrace(PTRACE_LISTEN, pid, NULL, NULL) == 0;
	ok &= ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) == 0;
	ok &= wait_for(pid) == GROUP_STOP(SIGSTOP);
	return !(ok && kill_and_reap(pid));
}

static int fork_on_request(void)
{
	wait_flag(0);
	return fork_and_wait();
}

static int seize_fork(void)
{
	share_flags();
	long pid = start(fork_on_request);
	int ok = ptrace(PTRACE_SEIZE, pid, NULL, (void *)PTRACE_O_TRACE(PTRACE_EVENT_FORK)) == 0;
	flags[0] = 1;
	ok &= wait_for(pid) == EVENT(PTRACE_EVENT_FORK);
	long child = event_message(pid);
	ok &= wait_for(child) == GROUP_STOP(SIGTRAP);
	resume(PTRACE_DETACH, child, 0);
	resume(PTRACE_DETACH, pid, 0);
	return !(ok && wait_for(pid) == EXITED(0));
}

static int attach_to_stopped(void)
{
	long pid = start(forever);
	kill(pid, SIGSTOP);
	int ok = wait_now(pid, 0) <= 0;
	int status;
	ok &= syscall4(NR_wait4, pid, &status, WUNTRACED, NULL) == pid && status == STOPPED(SIGSTOP);
	ok &= ptrace(PTRACE_SEIZE, pid, NULL, NULL) == 0;
	ok &= wait_for(pid) == GROUP_STOP(SIGSTOP);
	/* Let go of, it is stopped as it was. */
	resume(PTRACE_DETACH, pid, 0);
	sleep_ms(10);
	ok &= ptrace(PTRACE_ATTACH, pid, NULL, NULL) == 0;
	ok &= wait_for(pid) == STOPPED(SIGSTOP);
	return !(ok && kill_and_reap(pid));
}

static int two_threads_forever(void)
{
	struct thread thread;
	thread_start(&thread, work, NULL);
	return forever();
}

/* Every thread takes part in the stop, and the process is reported once. */
static int group_stop_of_threads(void)
{
	u64 options = PTRACE_O_TRACE(PTRACE_EVENT_CLONE);
	long pid = start_with(two_threads_forever, options);
	resume(PTRACE_CONT, pid, 0);
	int ok = wait_for(pid) == EVENT(PTRACE_EVENT_CLONE);
	long tid = event_message(pid);
	ok &= wait_for(tid) == STOPPED(SIGSTOP);
	resume(PTRACE_CONT, tid, 0);
	resume(PTRACE_CONT, pid, 0);
	syscall2(NR_tkill, tid, SIGSTOP);
	ok &= wait_for(tid) == STOPPED(SIGSTOP) && wait_now(pid, __WALL) == 0;
	resume(PTRACE_CONT, tid, SIGSTOP);
	ok &= wait_for(tid) == STOPPED(SIGSTOP) && wait_for(pid) == STOPPED(SIGSTOP);
	resume(PTRACE_CONT, tid, 0);
	resume(PTRACE_CONT, pid, 0);
	kill(pid, SIGKILL);
	ok &= wait_for(tid) == SIGKILL && wait_for(pid) == SIGKILL;
	return !(ok && wait_for(-1) == -ECHILD);
}

static long victim;

static int trace_the_victim(void)
{
	int ok = ptrace(PTRACE_ATTACH, victim, NULL, NULL) == 0;
	ok &= wait_for(victim) == STOPPED(SIGSTOP);
	flags[1] = 1;
	wait_flag(2);
	resume(PTRACE_CONT, victim, 0);
	ok &= wait_for(victim) == EXITED(7);
	ok &= wait_for(victim) == -ECHILD;
	return ok ? 0 : 1;
}

static int wait_and_return_7(void)
{
	wait_flag(0);
	return 7;
}

/* The end of a child goes to its tracer first, then to its parent. */
static int tracer_is_not_parent(void)
{
	share_flags();
	victim = start(wait_and_return_7);
	long tracer = start(trace_the_victim);
	wait_flag(1);
	int ok = wait_now(victim, WUNTRACED) == 0;
	flags[0] = 1;
	flags[2] = 1;
	ok &= wait_for(victim) == EXITED(7);
	return !(ok && wait_for(tracer) == EXITED(0) && wait_for(-1) == -ECHILD);
}

static u64 tracer_options;

static int attach_and_die(void)
{
	int ok = ptrace(PTRACE_SEIZE, victim, NULL, (void *)tracer_options) == 0;
	ok &= ptrace(PTRACE_INTERRUPT, victim, NULL, NULL) == 0;
	ok &= wait_for(victim) == GROUP_STOP(SIGTRAP);
	return ok ? 0 : 1;
}

static int tracer_dies(void)
{
	share_flags();
	victim = start(wait_and_return_7);
	long tracer = start(attach_and_die);
	int ok = wait_for(tracer) == EXITED(0);
	flags[0] = 1;
	ok &= wait_for(victim) == EXITED(7);
	flags[0] = 0;
	tracer_options = PTRACE_O_EXITKILL;
	victim = start(wait_and_return_7);
	tracer = start(attach_and_die);
	return !(ok && wait_for(tracer) == EXITED(0) && wait_for(victim) == SIGKILL);
}

static int attach_until_zombie(void)
{
	struct siginfo info;
	int ok = ptrace(PTRACE_SEIZE, victim, NULL, NULL) == 0;
	flags[0] = 1;
	ok &= syscall5(NR_waitid, P_PID, victim, &info, WEXITED | WNOWAIT | __WALL, NULL) == 0;
	flags[1] = 1;
	wait_flag(2);
	return ok ? 0 : 1;
}

/* A zombie that nobody has waited for goes back to its parent when the tracer ends. */
static int tracer_dies_after_tracee(void)
{
	share_flags();
	victim = start(wait_and_return_7);
	long tracer = start(attach_until_zombie);
	wait_flag(1);
	int ok = wait_now(victim, 0) == 0;
	flags[2] = 1;
	ok &= wait_for(victim) == EXITED(7) && wait_for(tracer) == EXITED(0);
	return !(ok && wait_for(-1) == -ECHILD);
}

static void trace_me(void *arg)
{
	(void)arg;
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	caught = SIGUSR1;
	for (;;)
		sleep_ms(1);
}

static int trace_me_in_thread(void)
{
	struct thread thread;
	thread_start(&thread, trace_me, NULL);
	while (!caught)
		sleep_ms(1);
	return 7;
}

/* A traced thread of an untraced process keeps the process from being reaped. */
static int traced_thread_only(void)
{
	int status;
	long pid = start(trace_me_in_thread);
	sleep_ms(100);
	int ok = wait_now(pid, 0) == 0;
	long tid = syscall4(NR_wait4, -1, &status, __WALL, NULL);
	ok &= tid > 0 && tid != pid && status == EXITED(7);
	return !(ok && wait_for(pid) == EXITED(7) && wait_for(-1) == -ECHILD);
}

static int clone_of_each_kind(void)
{
	fork_and_wait();
	vfork_and_wait();
	with_thread();
	sigaction(SIGUSR1, note, 0);
	kill(getpid(), SIGUSR1);
	return exec_self();
}

/* Everything that was traced, killed and reaped. @returns how many others there were than `pid`. */
static int reap_all(long pid)
{
	int others = 0;
	int status;
	long found;
	while ((found = syscall4(NR_wait4, -1, &status, __WALL, NULL)) > 0) {
		if ((status & 0xff) == 0x7f)
			kill(found, SIGKILL), resume(PTRACE_CONT, found, 0);
		else if (found != pid)
			others++;
	}
	return others;
}

/*
 * SIGKILL in the n-th stop of a tracee that goes through every kind of them.
 * @returns 0 when there is no n-th stop, 1 if the tracee was killed, -1 otherwise.
 */
static int kill_in_stop(int n, int request)
{
	long status = 0;
	long pid = start_with(clone_of_each_kind, EVERY_EVENT | PTRACE_O_TRACESYSGOOD);
	for (int i = 0; i < n; i++) {
		resume(request, pid, 0);
		status = wait_for(pid);
		/* Children run on untraced, so that this one does not wait for them. */
		if ((status >> 16) >= PTRACE_EVENT_FORK && (status >> 16) <= PTRACE_EVENT_CLONE) {
			long child = event_message(pid);
			wait_for(child);
			resume(PTRACE_DETACH, child, 0);
		}
		if ((status & 0xff) != 0x7f)
			return status == EXITED(9) ? 0 : -1;
	}
	kill(pid, SIGKILL);
	/* An exit that has begun cannot be hastened. */
	if (status == EVENT(PTRACE_EVENT_EXIT))
		resume(PTRACE_CONT, pid, 0);
	while ((status = wait_for(pid)) >= 0 && (status & 0xff) == 0x7f) {
		if (status != EVENT(PTRACE_EVENT_EXIT))
			return -1;
		resume(PTRACE_CONT, pid, 0);
	}
	reap_all(pid);
	return status == SIGKILL || status == EXITED(9) ? 1 : -1;
}

static int killed_in_each_stop(int request, int least)
{
	int n = 0;
	int result;
	while ((result = kill_in_stop(n, request)) == 1)
		n++;
	return result == 0 && n >= least ? 0 : 1;
}

static int killed_in_event_stops(void)
{
	return killed_in_each_stop(PTRACE_CONT, 8);
}

static int killed_in_syscall_stops(void)
{
	return killed_in_each_stop(PTRACE_SYSCALL, 30);
}

static int killed_in_group_stops(void)
{
	long pid = start(forever);
	int ok = ptrace(PTRACE_SEIZE, pid, NULL, NULL) == 0;
	ptrace(PTRACE_INTERRUPT, pid, NULL, NULL);
	ok &= wait_for(pid) == GROUP_STOP(SIGTRAP);
	kill(pid, SIGKILL);
	ok &= wait_for(pid) == SIGKILL;
	pid = start(forever);
	ptrace(PTRACE_SEIZE, pid, NULL, NULL);
	kill(pid, SIGSTOP);
	ok &= wait_for(pid) == STOPPED(SIGSTOP);
	resume(PTRACE_CONT, pid, SIGSTOP);
	ok &= wait_for(pid) == GROUP_STOP(SIGSTOP);
	ok &= ptrace(PTRACE_LISTEN, pid, NULL, NULL) == 0;
	kill(pid, SIGKILL);
	return !(ok && wait_for(pid) == SIGKILL && wait_for(-1) == -ECHILD);
}

/* In the state of the tracee "t", and its tracer's number. */
static int has_line(const char *text, const char *line)
{
	size_t n = strlen(line);
	for (; *text; text++)
		if (memcmp(text, line, n) == 0)
			return 1;
	return 0;
}

static int proc_status(void)
{
	static char path[32];
	static char text[4096];
	char digits[16];
	int n = 0;
	long pid = start_traced(nothing);
	for (long rest = pid; rest; rest /= 10)
		digits[n++] = '0' + rest % 10;
	memcpy(path, "/proc/", 6);
	for (int i = 0; i < n; i++)
		path[6 + i] = digits[n - 1 - i];
	memcpy(path + 6 + n, "/status", 8);
	int fd = open(path, O_RDONLY);
	read(fd, text, sizeof(text) - 1);
	close(fd);
	int ok = has_line(text, "State:\tt (tracing stop)");
	ok &= !has_line(text, "TracerPid:\t0\n") && has_line(text, "TracerPid:\t");
	return !(ok && kill_and_reap(pid));
}

/* Holds a process at the entry to a system call until its own standard input ends. */
static int hold(long pid)
{
	char byte;
	int ok = ptrace(PTRACE_SEIZE, pid, NULL, (void *)PTRACE_O_TRACESYSGOOD) == 0;
	ptrace(PTRACE_INTERRUPT, pid, NULL, NULL);
	ok &= wait_for(pid) == GROUP_STOP(SIGTRAP);
	resume(PTRACE_SYSCALL, pid, 0);
	ok &= wait_for(pid) == STOPPED(SIGTRAP | 0x80);
	print(ok ? "held\n" : "not held\n");
	while (read(0, &byte, 1) > 0)
		;
	return !ok;
}

int main(int argc, char **argv)
{
	if (argc > 2)
		return hold(parse_dec(argv[2]));
	if (argc > 1)
		return 9;
	ksft_plan(21);
	ksft_child(fork_event, "an event for fork, and the child is traced");
	ksft_child(vfork_events, "events for vfork and its end");
	ksft_child(vfork_is_one_call, "a vfork has one entry and one exit");
	ksft_child(exec_event, "an event for exec, or SIGTRAP");
	ksft_child(exit_event, "an event for exit");
	ksft_child(thread_event, "an event for a thread, and its end");
	ksft_child(exec_by_thread, "an exec by another thread than the leader");
	ksft_child(group_stop_of_attached, "group stops without PTRACE_SEIZE");
	ksft_child(seize_and_interrupt, "PTRACE_SEIZE and PTRACE_INTERRUPT");
	ksft_child(seize_and_listen, "PTRACE_LISTEN");
	ksft_child(seize_fork, "the child of a seized tracee is seized");
	ksft_child(attach_to_stopped, "attach to a stopped process");
	ksft_child(group_stop_of_threads, "a group stop of two threads");
	ksft_child(tracer_is_not_parent, "a tracer that is not the parent");
	ksft_child(tracer_dies, "the tracer's end, and PTRACE_O_EXITKILL");
	ksft_child(tracer_dies_after_tracee, "the tracer's end after the tracee's");
	ksft_child(traced_thread_only, "a traced thread of an untraced process");
	ksft_child(killed_in_event_stops, "SIGKILL in each stop at a signal or an event");
	ksft_child(killed_in_syscall_stops, "SIGKILL in each stop at a system call");
	ksft_child(killed_in_group_stops, "SIGKILL in group stops");
	ksft_child(proc_status, "State and TracerPid");
	ksft_finish();
	return 0;
}
