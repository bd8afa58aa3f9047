/*
 * kill_storm N SEED: N children, one after the other, do random memory system calls on what they
 * inherited, fork children of their own, and are killed after a random time in the middle of it.
 * The parent's memory must not change. Prints `kills N failures F`.
 */

#include "print.h"
#include "random.h"
#include "string.h"
#include "syscall.h"

#define O_WRONLY 1
#define NR_vmsplice 75
#define SPLICE_F_NONBLOCK 2
#define O_NONBLOCK 04000
#define NR_mlock2 284
#define NR_munlock 229
#define NR_setpgid 154
#define NR_process_vm_writev 271

#define ARENA_PAGES 2048UL
#define ARENA_BYTES (ARENA_PAGES * PAGE_SIZE)

static u8 *arena;
static u64 failures;
static int pipes[2];

static u64 below(u64 *seed, u64 n)
{
	return next_random(seed) % n;
}

static u64 *word(u64 page)
{
	return (u64 *)(arena + page * PAGE_SIZE);
}

/* Advice that a kernel may take at any time: all known numbers, and some that are none. */
static int random_advice(u64 *seed)
{
	static const u8 advice[] = { 0,	 1,  2,	 3,  4,	 4,  8,	 8,  9,	 10, 11, 14,  15,  16, 17,
				     18, 19, 20, 20, 21, 21, 22, 23, 24, 25, 99, 102, 103, 5 };
	return advice[below(seed, sizeof(advice))];
}

static void random_call(u64 *seed)
{
	u64 page = below(seed, ARENA_PAGES);
	u64 pages = 1 + below(seed, below(seed, 8) == 0 ? ARENA_PAGES - page : 40);
	u8 *at = arena + page * PAGE_SIZE;
	size_t len = pages * PAGE_SIZE;
	u64 local = 7;
	struct {
		void *base;
		size_t len;
	} from = { &local, sizeof(local) }, to = { at, sizeof(local) };

	switch (below(seed, 14)) {
	case 0:
	case 1:
		madvise(at, len, random_advice(seed));
		break;
	case 2:
		munmap(at, len);
		break;
	case 3:
		mprotect(at, len, below(seed, 8));
		break;
	case 4:
		mremap(at, len, (1 + below(seed, 64)) * PAGE_SIZE, MREMAP_MAYMOVE, NULL);
		break;
	case 5:
		mremap(at, len, len, MREMAP_MAYMOVE | MREMAP_FIXED,
		       arena + below(seed, 2 * ARENA_PAGES) * PAGE_SIZE);
		break;
	case 6:
		syscall6(NR_mmap, (long)at, (long)len, 3,
			 MAP_FIXED | MAP_ANONYMOUS | (1 + below(seed, 2)), -1, 0);
		break;
	case 7:
		syscall3(NR_mlock2, at, len, below(seed, 2));
		break;
	case 8:
		syscall2(NR_munlock, at, len);
		break;
	case 9:
		/* Writes through get_user_pages, where something is mapped. */
		syscall6(NR_process_vm_writev, getpid(), (long)&from, 1, (long)&to, 1, 0);
		break;
	case 10:
		/* Pages held by a pipe. */
		syscall4(NR_vmsplice, pipes[1], &to, 1, SPLICE_F_NONBLOCK);
		break;
	case 11:
		syscall3(NR_read, pipes[0], at, sizeof(local));
		break;
	default:
		/* The kernel writes, so that what is not mapped is an error and no signal. */
		syscall2(NR_clock_gettime, CLOCK_MONOTONIC, at);
		break;
	}
}

/* A process forks twice at most, its children once, theirs not at all. */
static void child(u64 seed)
{
	int forks = 2;

	for (;;) {
		random_call(&seed);
		if (forks == 0 || below(&seed, 60) != 0)
			continue;
		forks--;
		if (fork() == 0)
			seed ^= 0x9e3779b97f4a7c15UL;
	}
}

/* Who dies when memory is out: -1000 never, 1000 first. */
static void oom_score_adj(const char *score, size_t len)
{
	long fd = open("/proc/self/oom_score_adj", O_WRONLY);

	if (fd < 0)
		return;
	write(fd, score, len);
	close(fd);
}

/* A page of the parent's must be what the parent last wrote there. */
static void check_own(u64 *seed, u64 *written)
{
	u64 page = below(seed, ARENA_PAGES);
	if (*word(page) != written[page] && failures++ < 10)
		print("page %d is %x, want %x\n", page, *word(page), written[page]);
	written[page] = next_random(seed);
	*word(page) = written[page];
}

int main(int argc, char **argv)
{
	static u64 written[ARENA_PAGES];
	u64 kills = argc > 1 ? parse_dec(argv[1]) : 10;
	u64 seed = argc > 2 ? parse_dec(argv[2]) : 1;
	int status;

	oom_score_adj("-1000", 5);
	syscall2(NR_pipe2, pipes, O_NONBLOCK);
	arena = mmap(NULL, 3 * ARENA_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS);
	mprotect(arena, ARENA_BYTES, PROT_READ | PROT_WRITE);
	for (u64 page = 0; page < ARENA_PAGES; page++)
		written[page] = *word(page) = page;
	for (u64 i = 0; i < kills; i++) {
		long pid = fork();
		if (pid < 0 && pid != -ENOMEM) {
			failures++;
			print("fork failed: %d\n", -pid);
		}
		if (pid < 0)
			continue;
		if (pid == 0) {
			syscall2(NR_setpgid, 0, 0);
			oom_score_adj("1000", 4);
			child(seed + i);
		}
		for (u64 turns = 1 + below(&seed, 40); turns != 0; turns--) {
			check_own(&seed, written);
			syscall0(NR_sched_yield);
		}
		if (kill(-pid, SIGKILL) != 0)
			kill(pid, SIGKILL);
		waitpid(pid, &status);
	}
	for (u64 page = 0; page < ARENA_PAGES; page++)
		if (*word(page) != written[page] && failures++ < 10)
			print("page %d is %x, want %x\n", page, *word(page), written[page]);
	print("kills %d failures %d\n", kills, failures);
	return failures != 0;
}
