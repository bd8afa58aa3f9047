/* Prints one line with its arguments; the smallest program that shows a machine works. */

#include "print.h"

int main(int argc, char **argv)
{
	put_str("hello from riscv64");
	for (int i = 1; i < argc; i++) {
		put_char(' ');
		put_str(argv[i]);
	}
	put_char('\n');
	return 0;
}
