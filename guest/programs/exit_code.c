/* exit_code N: ends with N. exit_code -N: kills itself with signal N. */

#include "print.h"
#include "string.h"
#include "syscall.h"

int main(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	if (argv[1][0] == '-') {
		kill(getpid(), (int)parse_dec(argv[1] + 1));
		return 1;
	}
	return (int)parse_dec(argv[1]);
}
