/*
 * Patches 01 and 14: prctl(65) turns copy-on-write page tables on from the next fork. Also valid
 * on a kernel where 65 is PR_SET_MDWE: without bits it changes nothing and returns 0.
 */

#include "ksft.h"
#include "print.h"
#include "syscall.h"

static volatile u64 value = 1;

static int child_writes(void)
{
	value = 2;
	return value != 2;
}

static int grandchild(void)
{
	int status;
	long pid = fork();
	if (pid == 0)
		exit(child_writes());
	waitpid(pid, &status);
	return status != 0 || value != 1;
}

int main(void)
{
	ksft_plan(6);
	ksft_test(prctl(PR_SET_COW_PTE, 0) == 0, "prctl(65) is accepted");
	ksft_test(prctl(PR_SET_COW_PTE, 0) == 0, "a second prctl(65) is accepted");
	ksft_child(child_writes, "a child forked with shared tables writes");
	ksft_test(value == 1, "the parent does not see it");
	ksft_child(grandchild, "the setting is inherited");
	ksft_test(value == 1, "the parent still does not see it");
	ksft_finish();
	return 0;
}
