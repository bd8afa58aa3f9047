/*
 * Forks in trees with random writes, and checks that no process sees another's.
 *
 *     fork_tree [FORKS] [DEPTH] [MIB] [SEED]
 *
 * Each process changes random pages of a shared-by-copy buffer, remembers what it wrote in a
 * checksum array of its own, forks up to three children while its depth allows, waits for them
 * and then compares the whole buffer with what it remembers. Prints `forks N failures N`.
 */

#include "bench.h"
#include "print.h"
#include "random.h"
#include "string.h"
#include "syscall.h"

#define CHILDREN 3
#define WRITES 24

static u64 *memory;
static size_t pages;
/* What this process believes of each page: its first word and its last. */
static u64 *expected;
/* Shared by all: forks left, and wrong pages found. */
static volatile s64 *forks_left;
static volatile s64 *failures;
static volatile s64 *forked;

static u64 *last_word(size_t page)
{
	return memory + page * 512 + 511;
}

static void write_some(u64 *state)
{
	for (int i = 0; i < WRITES; i++) {
		size_t page = next_random(state) % pages;
		u64 value = next_random(state);
		memory[page * 512] = value;
		*last_word(page) = ~value;
		expected[page] = value;
	}
}

static void compare(void)
{
	for (size_t page = 0; page < pages; page++) {
		if (memory[page * 512] != expected[page] || *last_word(page) != ~expected[page])
			__atomic_fetch_add(failures, 1, __ATOMIC_RELAXED);
	}
}

static int take_fork(void)
{
	return __atomic_fetch_sub(forks_left, 1, __ATOMIC_RELAXED) > 0;
}

static void grow(int depth, u64 seed)
{
	u64 state = seed | 1;
	long children[CHILDREN];
	int running = 0;
	write_some(&state);
	for (int i = 0; i < CHILDREN && depth > 0 && take_fork(); i++) {
		u64 child_seed = next_random(&state);
		long pid = fork();
		if (pid == 0) {
			grow(depth - 1, child_seed);
			exit(0);
		}
		if (pid < 0) {
			__atomic_fetch_add(failures, 1, __ATOMIC_RELAXED);
			break;
		}
		__atomic_fetch_add(forked, 1, __ATOMIC_RELAXED);
		children[running++] = pid;
		/* While the child runs, or before it does. */
		write_some(&state);
	}
	while (running > 0) {
		int status = 0;
		if (waitpid(children[--running], &status) < 0 || status != 0)
			__atomic_fetch_add(failures, 1, __ATOMIC_RELAXED);
	}
	compare();
}

int main(int argc, char **argv)
{
	s64 forks = argc > 1 ? (s64)parse_dec(argv[1]) : 1000;
	int depth = argc > 2 ? (int)parse_dec(argv[2]) : 8;
	size_t bytes = (argc > 3 ? parse_dec(argv[3]) : 4) * MIB;
	u64 seed = argc > 4 ? parse_dec(argv[4]) : 1;
	volatile s64 *shared = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS);
	if (mmap_failed((void *)shared))
		return 1;
	forks_left = shared;
	failures = shared + 1;
	forked = shared + 2;
	*forks_left = forks;
	memory = (u64 *)map_and_touch(bytes);
	pages = bytes / PAGE_SIZE;
	expected = (u64 *)map_and_touch(pages * sizeof(u64));
	for (size_t page = 0; page < pages; page++) {
		memory[page * 512] = expected[page] = page;
		*last_word(page) = ~(u64)page;
	}
	for (u64 round = 1; *forks_left > 0 && *failures == 0; round++)
		grow(depth, seed + round * 1000003);
	print("forks %d failures %d\n", *forked, *failures);
	return *failures != 0;
}
