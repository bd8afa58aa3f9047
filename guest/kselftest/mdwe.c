/*
 * PR_SET_MDWE over fork and exec, which the kernel's own mdwe_test leaves out, and beside
 * prctl(65, 0), which cowshed takes for COW page tables.
 *
 *     mdwe          the tests
 *     mdwe BITS     exits with 0 if PR_GET_MDWE gives BITS
 */

#include "abi_mm.h"
#include "ksft.h"
#include "print.h"
#include "syscall.h"

#define PR_SET_MDWE 65
#define PR_GET_MDWE 66
#define REFUSE_EXEC_GAIN 1
#define NO_INHERIT 2

static int get(void)
{
	return prctl(PR_GET_MDWE, 0);
}

static int exec_self(int bits)
{
	char digit[2] = { (char)('0' + bits), 0 };
	char *argv[] = { "mdwe", digit, NULL };
	char *envp[] = { NULL };
	execve("/proc/self/exe", argv, envp);
	return 9;
}

static int kept_over_exec(void)
{
	if (prctl(PR_SET_MDWE, REFUSE_EXEC_GAIN) != 0)
		return 1;
	return exec_self(REFUSE_EXEC_GAIN);
}

static int dropped_by_exec(void)
{
	if (prctl(PR_SET_MDWE, REFUSE_EXEC_GAIN | NO_INHERIT) != 0)
		return 1;
	return exec_self(0);
}

static int dropped_by_fork(void)
{
	int status = -1;
	if (prctl(PR_SET_MDWE, REFUSE_EXEC_GAIN | NO_INHERIT) != 0)
		return 1;
	long pid = fork();
	if (pid == 0)
		exit(get());
	waitpid(pid, &status);
	return status != 0 || get() != (REFUSE_EXEC_GAIN | NO_INHERIT);
}

static int zero_is_no_bits(void)
{
	if (prctl(PR_SET_MDWE, 0) != 0 || prctl(PR_SET_MDWE, 0) != 0 || get() != 0)
		return 1;
	if (prctl(PR_SET_MDWE, REFUSE_EXEC_GAIN) != 0)
		return 2;
	return prctl(PR_SET_MDWE, 0) != -EPERM;
}

static int bad_bits(void)
{
	if (prctl(PR_SET_MDWE, NO_INHERIT) != -EINVAL || prctl(PR_SET_MDWE, 4) != -EINVAL)
		return 1;
	return prctl(PR_SET_MDWE, 1UL << 32) != -EINVAL || get() != 0;
}

static int refused(void)
{
	int rw = PROT_READ | PROT_WRITE;
	int anon = MAP_PRIVATE | MAP_ANONYMOUS;
	u8 *page = mmap(NULL, PAGE_SIZE, rw, anon);
	u8 *code = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_EXEC, anon);
	page[0] = 1;
	prctl(PR_SET_MDWE, REFUSE_EXEC_GAIN);
	if (mprotect(page, PAGE_SIZE, PROT_READ | PROT_EXEC) != -EACCES)
		return 1;
	page[0] = 2;
	if ((long)mmap(NULL, PAGE_SIZE, rw | PROT_EXEC, anon) != -EACCES)
		return 2;
	if (mprotect(code, PAGE_SIZE, rw | PROT_EXEC) != -EACCES)
		return 3;
	return mprotect(code, PAGE_SIZE, PROT_EXEC) != 0;
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return get() != argv[1][0] - '0';
	ksft_plan(6);
	ksft_child(kept_over_exec, "exec keeps PR_MDWE_REFUSE_EXEC_GAIN");
	ksft_child(dropped_by_exec, "exec drops it with PR_MDWE_NO_INHERIT");
	ksft_child(dropped_by_fork, "fork drops it with PR_MDWE_NO_INHERIT");
	ksft_child(zero_is_no_bits, "no bits are accepted before bits are set");
	ksft_child(bad_bits, "bits that make no sense are refused");
	ksft_child(refused, "refused mappings stay as they were");
	ksft_finish();
	return 0;
}
