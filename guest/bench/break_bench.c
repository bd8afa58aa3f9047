/*
 * How long does it take to make one shared page table private?
 *
 *     break_bench TABLES
 *
 * Maps memory of TABLES page tables, all 512 pages of each present, and prints `ready`. Each line
 * on standard input asks for a round, which writes after a fork to one page of each table, in
 * order, and then to a second one, and prints the nanoseconds of both passes:
 *
 *     copy FIRST SECOND       while the child lives: FIRST breaks a table and copies a page,
 *                             SECOND copies a page
 *     takeover FIRST SECOND   after the child ended: FIRST takes a table over, SECOND needs nothing
 *
 * So FIRST - SECOND is the price of the break alone. A table more, before those that count, takes
 * what is paid once for all of them: the tables above.
 */

#include "bench.h"
#include "lines.h"
#include "print.h"
#include "string.h"
#include "syscall.h"

static u8 *memory;
static size_t tables;

/* Writes page `page` of each table. @returns nanoseconds. */
static u64 write_pass(size_t page)
{
	memory[page * PAGE_SIZE]++;
	u64 start = now_ns();
	for (size_t table = 1; table <= tables; table++)
		memory[table * PMD_SIZE + page * PAGE_SIZE]++;
	return now_ns() - start;
}

static void measure(const char *what, int alive)
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
		/* Now it has tables of its own above, and the last one of each path is what is shared. */
		memory[2 * PAGE_SIZE]++;
		if (alive)
			read(fds[0], &byte, 1);
		exit(0);
	}
	close(fds[0]);
	if (!alive)
		waitpid(pid, &status);
	u64 first = write_pass(0);
	u64 second = write_pass(1);
	close(fds[1]);
	if (alive)
		waitpid(pid, &status);
	print("%s %d %d\n", what, first, second);
}

int main(int argc, char **argv)
{
	char line[32];
	if (argc < 2) {
		print("usage: break_bench TABLES\n");
		return 2;
	}
	tables = parse_dec(argv[1]);
	/* One to be cut off at the start, so that the others are whole. */
	u64 mapped = (u64)map_and_touch((tables + 2) * PMD_SIZE);
	memory = (u8 *)((mapped + PMD_SIZE - 1) / PMD_SIZE * PMD_SIZE);
	print("ready\n");
	while (read_line(line, sizeof(line)) >= 0) {
		measure("copy", 1);
		measure("takeover", 0);
		print("done\n");
	}
	return 0;
}
