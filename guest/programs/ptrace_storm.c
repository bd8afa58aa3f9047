/*
 * ptrace_storm N SEED: N tracers, one after the other, make random requests about processes that
 * fork, vfork, start threads, send signals, call exec and end, until the tracer ends or is
 * killed. Prints `rounds N failures F`: all that was ever started must end and be reaped. Not for
 * a machine with other processes: a number may be somebody else's by the time it is used.
 */

#include "print.h"
#include "ptrace.h"
#include "random.h"
#include "string.h"
#include "thread.h"

#if defined(__x86_64__)
#define NR_setpgid 109
#define NR_tgkill 234
#else
#define NR_setpgid 154
#define NR_tgkill 131
#endif
#define PR_SET_CHILD_SUBREAPER 36
#define VFORK_FLAGS (CLONE_VM | 0x4000)
#define KNOWN 32
#define STEPS 150
#define ACTIONS 40

static char self_path[] = "/proc/self/exe";
static long known[KNOWN];
static int known_count;

static u64 below(u64 *seed, u64 n)
{
	return next_random(seed) % n;
}

static void note(int signo, struct siginfo *info, void *context)
{
	(void)signo;
	(void)info;
	(void)context;
}

static void send_something(void *arg)
{
	(void)arg;
	syscall2(NR_tkill, syscall0(NR_gettid), SIGUSR1);
	sleep_ms(1);
}

static void victim(u64 seed, int depth);

static void fork_victim(u64 *seed, int depth, u64 flags)
{
	u64 next = next_random(seed);
	long pid = syscall5(NR_clone, flags, 0, 0, 0, 0);
	if (pid == 0)
		victim(next, depth + 1);
	if (pid > 0 && below(seed, 2))
		wait_now(pid, __WALL);
}

static void exec_victim(u64 *seed)
{
	static char digits[24];
	char *argv[] = { self_path, "victim", digits, NULL };
	char *envp[] = { NULL };
	u64 n = below(seed, 1000000000);
	for (int i = 8; i >= 0; i--, n /= 10)
		digits[i] = '0' + n % 10;
	execve(self_path, argv, envp);
}

static void exec_victim_in_thread(void *arg)
{
	exec_victim(arg);
}

static void act(u64 *seed, int depth)
{
	struct thread thread;
	static const u8 signals[] = { SIGUSR1, SIGUSR1, SIGURG, SIGCONT, SIGSTOP, SIGTSTP, SIGTRAP };

	switch (below(seed, 14)) {
	case 0:
		if (depth < 3)
			fork_victim(seed, depth, SIGCHLD);
		break;
	case 1:
		if (depth < 3)
			fork_victim(seed, depth, VFORK_FLAGS | SIGCHLD);
		break;
	case 2:
		if (depth < 3)
			fork_victim(seed, depth, 0x2000 | SIGUSR1);
		break;
	case 3:
	case 4:
		if (thread_start(&thread, send_something, NULL) == 0)
			thread_join(&thread);
		break;
	case 5:
		kill(getpid(), signals[below(seed, sizeof(signals))]);
		break;
	case 6:
		kill(syscall0(NR_getppid), SIGURG);
		break;
	case 7:
		if (below(seed, 4) == 0)
			exec_victim(seed);
		break;
	case 8:
		if (below(seed, 4) == 0 && thread_start(&thread, exec_victim_in_thread, seed) == 0)
			thread_join(&thread);
		break;
	case 9:
		if (below(seed, 16) == 0)
			*(volatile int *)8 = 1;
		break;
	case 10:
		wait_now(-1, __WALL | WUNTRACED);
		break;
	case 11:
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		break;
	default:
		sleep_ms(below(seed, 3));
	}
}

static void victim(u64 seed, int depth)
{
	sigaction(SIGUSR1, note, below(&seed, 2) ? SA_RESTART : 0);
	for (int i = 0; i < ACTIONS; i++)
		act(&seed, depth);
	if (below(&seed, 2))
		syscall1(NR_exit, 3);
	exit(4);
}

static void know(long pid)
{
	if (pid > 0 && known_count < KNOWN)
		known[known_count++] = pid;
}

/* News of any tracee: a number not seen yet, or that of a new child. */
static void look_around(void)
{
	int status;
	long pid = syscall4(NR_wait4, -1, &status, __WALL | WNOHANG | WUNTRACED, NULL);
	if (pid <= 0)
		return;
	int event = (status & 0xff) == 0x7f ? status >> 16 : 0;
	if (event >= PTRACE_EVENT_FORK && event <= PTRACE_EVENT_CLONE)
		know(event_message(pid));
	for (int i = 0; i < known_count; i++)
		if (known[i] == pid)
			return;
	know(pid);
}

/* Mostly as they are. No result is changed: that of getpid() is what is killed next. */
static void write_registers(u64 *seed, long pid)
{
	u64 regs[REGS_WORDS];
	if (get_regs(pid, regs) != 0)
		return;
	if (below(seed, 16) == 0)
		regs[REG_SP] -= 16;
	if (below(seed, 32) == 0)
		regs[REG_PC] = 8;
	set_regs(pid, regs);
}

static void request(u64 *seed)
{
	static const u8 signals[] = { 0, 0, 0, 0, SIGUSR1, SIGSTOP, SIGCONT, SIGTSTP, SIGURG, 9, 64 };
	u64 buffer[16];
	long pid = known[below(seed, known_count)];
	long sig = signals[below(seed, below(seed, 4) ? 4 : sizeof(signals))];
	u64 options = below(seed, 0x80) | (below(seed, 2) << 20);

	switch (below(seed, 20)) {
	case 0:
		ptrace(PTRACE_ATTACH, pid, NULL, NULL);
		break;
	case 1:
		ptrace(PTRACE_SEIZE, pid, NULL, (void *)options);
		break;
	case 2:
		resume(PTRACE_DETACH, pid, sig);
		break;
	case 3:
	case 4:
		ptrace(PTRACE_INTERRUPT, pid, NULL, NULL);
		break;
	case 5:
		ptrace(PTRACE_LISTEN, pid, NULL, NULL);
		break;
	case 6:
		ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)options);
		break;
	case 7:
		kill(pid, sig);
		break;
	case 8:
		if (below(seed, 8) == 0)
			ptrace(PTRACE_KILL, pid, NULL, NULL);
		break;
	case 9:
		write_registers(seed, pid);
		break;
	case 10:
		peek(pid, &known, buffer);
		poke(pid, &known, buffer[0]);
		break;
	case 11:
		if (ptrace(PTRACE_GETSIGINFO, pid, NULL, buffer) == 0)
			ptrace(PTRACE_SETSIGINFO, pid, NULL, buffer);
		break;
	case 12:
		ptrace(PTRACE_GET_SYSCALL_INFO, pid, (void *)88, buffer);
		break;
	case 13:
	case 14:
	case 15:
		resume(PTRACE_SYSCALL, pid, sig);
		break;
	default:
		resume(PTRACE_CONT, pid, sig);
	}
}

static void trace(u64 seed)
{
	syscall2(NR_setpgid, 0, 0);
	for (int i = 0; i < 3; i++) {
		u64 next = next_random(&seed);
		long pid = fork();
		if (pid == 0)
			victim(next, 0);
		know(pid);
	}
	for (int i = 0; i < STEPS; i++) {
		look_around();
		request(&seed);
		if (below(&seed, 4) == 0)
			sleep_ms(below(&seed, 2));
	}
	if (below(&seed, 2))
		kill(getpid(), SIGKILL);
	exit(0);
}

/* Everything of a round is killed. @returns whether nothing is left. */
static int clean_up(long pgrp)
{
	for (int tries = 0; tries < 1000; tries++) {
		long found;
		kill(-pgrp, SIGKILL);
		while ((found = syscall4(NR_wait4, -1, NULL, __WALL | WNOHANG, NULL)) > 0)
			;
		if (found == -ECHILD)
			return kill(-pgrp, 0) == -ESRCH;
		sleep_ms(2);
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 2 && streq(argv[1], "victim"))
		victim(parse_dec(argv[2]), 1);
	u64 rounds = argc > 1 ? parse_dec(argv[1]) : 20;
	u64 seed = argc > 2 ? parse_dec(argv[2]) : 1;
	u64 failures = 0;
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	for (u64 i = 0; i < rounds; i++) {
		u64 next = next_random(&seed);
		long pid = fork();
		if (pid == 0)
			trace(next);
		syscall2(NR_setpgid, pid, pid);
		waitpid(pid, NULL);
		failures += !clean_up(pid);
	}
	print("rounds %d failures %d\n", rounds, failures);
	return failures != 0;
}
