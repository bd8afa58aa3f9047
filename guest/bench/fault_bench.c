/*
 * How long does a write to memory take after fork(), while the child still holds it?
 *
 *     fault_bench MIB WRITES [PATTERN]
 *
 * Prints `ready` once MIB mebibytes are mapped and touched. Each line on standard input (or
 * PATTERN once) is `sequential`: every page written in order, or `random`: WRITES writes to
 * random pages. The answer is `PATTERN WRITES NS`. A first round that is not reported makes the
 * host give out the frames that the copies go to; later rounds reuse them.
 */

#include "bench.h"
#include "lines.h"
#include "print.h"
#include "random.h"
#include "string.h"
#include "syscall.h"

static u8 *memory;
static size_t pages;

static u64 write_sequential(void)
{
	u64 start = now_ns();
	for (size_t page = 0; page < pages; page++)
		memory[page * PAGE_SIZE]++;
	return now_ns() - start;
}

static u64 write_random(u64 writes)
{
	u64 state = 88172645463325252UL;
	u64 start = now_ns();
	for (u64 i = 0; i < writes; i++) {
		/* The high half times the range: no division in the measured loop. */
		size_t page = ((next_random(&state) >> 32) * pages) >> 32;
		memory[page * PAGE_SIZE]++;
	}
	return now_ns() - start;
}

/* Forks a child that only waits, writes, and lets the child go. @returns nanoseconds. */
static u64 measure(int random, u64 writes)
{
	int fds[2];
	int status;
	char byte;
	pipe(fds);
	long pid = fork();
	if (pid < 0) {
		print("cannot fork: error %d\n", -pid);
		exit(1);
	}
	if (pid == 0) {
		close(fds[1]);
		read(fds[0], &byte, 1);
		exit(0);
	}
	close(fds[0]);
	u64 ns = random ? write_random(writes) : write_sequential();
	close(fds[1]);
	waitpid(pid, &status);
	return ns;
}

static void answer(const char *pattern, u64 writes)
{
	int random = streq(pattern, "random");
	u64 ns = measure(random, writes);
	print("%s %d %d\n", pattern, random ? writes : (u64)pages, ns);
}

int main(int argc, char **argv)
{
	char line[32];
	if (argc < 3) {
		print("usage: fault_bench MIB WRITES [PATTERN]\n");
		return 2;
	}
	size_t bytes = parse_dec(argv[1]) * MIB;
	u64 writes = parse_dec(argv[2]);
	memory = map_and_touch(bytes);
	pages = bytes / PAGE_SIZE;
	measure(0, writes);
	print("ready\n");
	if (argc > 3) {
		answer(argv[3], writes);
		return 0;
	}
	while (read_line(line, sizeof(line)) >= 0)
		answer(line, writes);
	return 0;
}
