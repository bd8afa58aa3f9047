/* Threads, futexes, and fork() from a process with threads. */

#include "ksft.h"
#include "print.h"
#include "syscall.h"
#include "thread.h"

#define THREADS 8
#define ROUNDS 2000

static struct mutex mutex;
static volatile u64 counter;
static volatile u32 turn;

static void add(void *arg)
{
	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		mutex_lock(&mutex);
		u64 seen = counter;
		/* Lets the others in, so that a lock that does not lock is noticed. */
		if (i % 64 == 0)
			syscall0(NR_sched_yield);
		counter = seen + 1;
		mutex_unlock(&mutex);
	}
}

static int many_threads(void)
{
	struct thread threads[THREADS];
	counter = 0;
	for (int i = 0; i < THREADS; i++) {
		if (thread_start(&threads[i], add, NULL) != 0)
			return 0;
	}
	for (int i = 0; i < THREADS; i++)
		thread_join(&threads[i]);
	return counter == THREADS * ROUNDS;
}

static void pass_turn(void *arg)
{
	u32 mine = (u32)(u64)arg;
	for (int i = 0; i < 100; i++) {
		u32 now;
		while ((now = turn) % 2 != mine)
			syscall4(NR_futex, &turn, FUTEX_WAIT, now, NULL);
		turn = now + 1;
		syscall3(NR_futex, &turn, FUTEX_WAKE, 1);
	}
}

static int ping_pong(void)
{
	struct thread threads[2];
	turn = 0;
	thread_start(&threads[0], pass_turn, (void *)0);
	thread_start(&threads[1], pass_turn, (void *)1);
	thread_join(&threads[0]);
	thread_join(&threads[1]);
	return turn == 200;
}

static void fork_here(void *arg)
{
	int status = -1;
	long pid = fork();
	if (pid == 0) {
		/* Only this thread exists in the child. */
		counter = 77;
		exit(many_threads() ? 3 : 4);
	}
	waitpid(pid, &status);
	*(volatile int *)arg = status;
}

static int fork_from_thread(void)
{
	struct thread thread;
	volatile int status = -1;
	counter = 5;
	thread_start(&thread, fork_here, (void *)&status);
	thread_join(&thread);
	return WIFEXITED(status) && WEXITSTATUS(status) == 3 && counter == 5;
}

static void spin(void *arg)
{
	(void)arg;
	for (;;)
		syscall0(NR_sched_yield);
}

static int exit_group_ends_threads(void)
{
	struct thread threads[3];
	int status = -1;
	long pid = fork();
	if (pid == 0) {
		for (int i = 0; i < 3; i++)
			thread_start(&threads[i], spin, NULL);
		exit(9);
	}
	waitpid(pid, &status);
	return WIFEXITED(status) && WEXITSTATUS(status) == 9;
}

static int wrong_value(void)
{
	volatile u32 word = 1;
	return syscall4(NR_futex, &word, FUTEX_WAIT, 2, NULL) == -EAGAIN;
}

static int timeout(void)
{
	volatile u32 word = 1;
	struct timespec soon = { 0, 5000000 };
	u64 start = now_ns();
	long result = syscall4(NR_futex, &word, FUTEX_WAIT, 1, &soon);
	return result == -110 && now_ns() - start >= 5000000;
}

static void exit_later(void *arg)
{
	struct timespec wait = { 0, 20000000 };
	(void)arg;
	syscall2(NR_nanosleep, &wait, NULL);
	syscall1(NR_exit, 2);
}

/* exit() of each thread, the leader first: the status of the last one is the process's. */
static int last_thread_decides(void)
{
	static struct thread thread;
	int status = -1;
	long pid = fork();
	if (pid == 0) {
		thread_start(&thread, exit_later, NULL);
		syscall1(NR_exit, 1);
	}
	waitpid(pid, &status);
	return WIFEXITED(status) && WEXITSTATUS(status) == 2;
}

int main(void)
{
	ksft_plan(7);
	ksft_test(many_threads(), "eight threads count under a futex mutex");
	ksft_test(ping_pong(), "two threads take turns");
	ksft_test(fork_from_thread(), "a thread forks and the child has threads");
	ksft_test(exit_group_ends_threads(), "exit_group ends running threads");
	ksft_test(last_thread_decides(), "the last thread's exit code is the process's");
	ksft_test(wrong_value(), "FUTEX_WAIT on another value returns EAGAIN");
	ksft_test(timeout(), "FUTEX_WAIT times out");
	ksft_finish();
	return 0;
}
