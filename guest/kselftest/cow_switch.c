/*
 * Patch 01: switching copy-on-write page tables on and off, and seeing that they are on. Needs
 * cowshed's own prctl number, so it runs nowhere else.
 *
 *     cow_switch             the tests
 *     cow_switch inherited   exit code 0 if the tables are on (after exec)
 */

#include "bench.h"
#include "ksft.h"
#include "lines.h"
#include "print.h"
#include "string.h"
#include "syscall.h"

#define SIZE (16 * PMD_SIZE)

/* Kilobytes of page tables that this process counts as its own. */
static u64 own_tables(void)
{
	static char text[4096];
	long length = read_file("/proc/self/status", text, sizeof(text));
	for (long at = 0; at < length; at++) {
		if (memcmp(text + at, "VmPTE:", 6) == 0) {
			at += 6;
			while (text[at] == ' ' || text[at] == '\t')
				at++;
			return parse_dec(text + at);
		}
	}
	return 0;
}

static long switch_to(u64 what)
{
	return prctl(PR_COW_PTE, what);
}

/* @returns own_tables() of a new child. */
static u64 child_tables(void)
{
	int status;
	long pid = fork();
	if (pid == 0)
		exit((int)own_tables());
	waitpid(pid, &status);
	return (u64)WEXITSTATUS(status);
}

static int odf_says(char digit)
{
	char text[8];
	return read_file("/proc/self/use_odf", text, sizeof(text)) == 2 && text[0] == digit;
}

static int exec_keeps_it(void)
{
	static char *argv[] = { "cow_switch", "inherited", NULL };
	static char *envp[] = { NULL };
	execve("/proc/self/exe", argv, envp);
	return 1;
}

int main(int argc, char **argv)
{
	if (argc > 1 && streq(argv[1], "inherited"))
		return switch_to(COW_PTE_GET) == 1 ? 0 : 1;
	ksft_plan(11);
	map_and_touch(SIZE);
	ksft_test(switch_to(COW_PTE_CLEAR) == 0, "off is accepted");
	ksft_test(switch_to(COW_PTE_GET) == 0, "off is read back");
	ksft_test(odf_says('0'), "use_odf says 0");
	u64 copied = child_tables();
	ksft_test(switch_to(COW_PTE_SET) == 0, "on is accepted");
	ksft_test(switch_to(COW_PTE_GET) == 0, "on waits for the next fork");
	u64 shared = child_tables();
	ksft_test(switch_to(COW_PTE_GET) == 1, "on is read back after a fork");
	ksft_test(odf_says('1'), "use_odf says 1");
	print("# the child's page tables: copied %d kB, shared %d kB\n", copied, shared);
	ksft_test(shared + 4 * (SIZE / PMD_SIZE) <= copied, "the child has no table of the 32 MiB");
	ksft_child(exec_keeps_it, "exec keeps it");
	ksft_test(switch_to(99) == -EINVAL, "another operation is refused");
	switch_to(COW_PTE_CLEAR);
	ksft_test(child_tables() == copied, "off again copies again");
	ksft_finish();
	return 0;
}
