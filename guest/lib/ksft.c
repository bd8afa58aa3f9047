#include "ksft.h"
#include "print.h"
#include "syscall.h"

static int planned;
static int done;
static int failed;

void ksft_plan(int tests)
{
	planned = tests;
	print("TAP version 13\n1..%d\n", (long)tests);
}

void ksft_test(int ok, const char *name)
{
	done++;
	if (!ok)
		failed++;
	print("%s %d %s\n", ok ? "ok" : "not ok", (long)done, name);
}

void ksft_finish(void)
{
	print("# Totals: pass:%d fail:%d\n", (long)(done - failed), (long)failed);
	exit(failed == 0 && done == planned ? 0 : 1);
}

void ksft_child(int (*body)(void), const char *name)
{
	int status = -1;
	long pid = fork();
	if (pid == 0)
		exit(body());
	waitpid(pid, &status);
	ksft_test(pid > 0 && status == 0, name);
}
