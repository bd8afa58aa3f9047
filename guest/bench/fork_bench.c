/*
 * How long does fork() take when so much memory is mapped?
 *
 *     fork_bench MIB anon|zero [ITERATIONS]
 *
 * Maps MIB mebibytes and writes every page, or only reads them, prints what /proc/self/status says in the parent and in a
 * child, then `ready`. Each line N on standard input (or ITERATIONS once) asks for N rounds; a
 * round prints `fork NS cycle NS`: fork() alone in the parent, and fork + _exit + waitpid.
 * `done` ends the answer.
 */

#include "bench.h"
#include "lines.h"
#include "print.h"
#include "string.h"
#include "syscall.h"

static int is_memory_row(const char *line)
{
	return memcmp(line, "Vm", 2) == 0 || memcmp(line, "Rss", 3) == 0;
}

/* Prints the memory rows of /proc/self/status after `who`. */
static void print_status(const char *who)
{
	static char text[4096];
	read_file("/proc/self/status", text, sizeof(text));
	for (char *line = text; *line;) {
		char *end = line;
		while (*end && *end != '\n')
			end++;
		char *next = *end ? end + 1 : end;
		*end = 0;
		if (is_memory_row(line))
			print("%s %s\n", who, line);
		line = next;
	}
}

static void print_child_status(void)
{
	int status;
	long pid = fork();
	if (pid == 0) {
		print_status("child");
		exit(0);
	}
	waitpid(pid, &status);
}

static void run(u64 rounds)
{
	for (u64 i = 0; i < rounds; i++) {
		int status;
		u64 start = now_ns();
		long pid = fork();
		if (pid == 0)
			exit(0);
		u64 forked = now_ns();
		if (pid < 0 || waitpid(pid, &status) != pid || status != 0) {
			print("round failed: fork returned %d, status %x\n", pid, (u64)status);
			exit(1);
		}
		u64 end = now_ns();
		print("fork %d cycle %d\n", forked - start, end - start);
	}
	print("done\n");
}

int main(int argc, char **argv)
{
	char line[32];
	if (argc < 3) {
		print("usage: fork_bench MIB anon|zero [ITERATIONS]\n");
		return 2;
	}
	u64 mib = parse_dec(argv[1]);
	if (mib && streq(argv[2], "zero"))
		map_and_read(mib * MIB);
	else if (mib)
		map_and_touch(mib * MIB);
	print_status("parent");
	print_child_status();
	print("ready\n");
	if (argc > 3) {
		run(parse_dec(argv[3]));
		return 0;
	}
	while (read_line(line, sizeof(line)) >= 0)
		run(parse_dec(line));
	return 0;
}
