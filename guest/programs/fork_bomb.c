/*
 * fork_bomb [LIMIT]: every process forks for ever. With LIMIT, one process forks children that
 * wait, until fork fails or LIMIT is reached, prints `forked N error N` and kills them all.
 */

#include "print.h"
#include "string.h"
#include "syscall.h"

static void bounded(u64 limit)
{
	int fds[2];
	char byte;
	u64 count = 0;
	long pid = 0;
	pipe(fds);
	while (count < limit && (pid = fork()) > 0)
		count++;
	if (count < limit && pid == 0) {
		close(fds[1]);
		read(fds[0], &byte, 1);
		exit(0);
	}
	/* The children end when nobody can write to the pipe any more. */
	close(fds[1]);
	print("forked %d error %d\n", count, pid < 0 ? -pid : 0L);
	for (u64 i = 0; i < count; i++) {
		int status;
		waitpid(-1, &status);
	}
}

int main(int argc, char **argv)
{
	if (argc > 1)
		bounded(parse_dec(argv[1]));
	else
		for (;;)
			fork();
	return 0;
}
