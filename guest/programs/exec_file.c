/*
 * exec_file FILE...: runs each file in a child and prints `FILE: error N` when execve() refused,
 * else `FILE: signal N` or `FILE: exit N`.
 */

#include "print.h"
#include "syscall.h"

/* Tells the parent which errno execve() gave. */
static int errors[2];

static void child(char *path)
{
	char *argv[] = { path, NULL };
	char *envp[] = { NULL };
	long error = -execve(path, argv, envp);
	write(errors[1], &error, sizeof(error));
	exit(0);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		long error = 0;
		int status = 0;
		syscall2(NR_pipe2, errors, O_CLOEXEC);
		if (fork() == 0)
			child(argv[i]);
		close(errors[1]);
		waitpid(-1, &status);
		if (read(errors[0], &error, sizeof(error)) == sizeof(error))
			print("%s: error %d\n", argv[i], error);
		else if (WIFSIGNALED(status))
			print("%s: signal %d\n", argv[i], (long)WTERMSIG(status));
		else
			print("%s: exit %d\n", argv[i], (long)WEXITSTATUS(status));
		close(errors[0]);
	}
	return 0;
}
