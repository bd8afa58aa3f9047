/* call_chain: known functions that take a known number of instructions each, for profiles. Built
 * with symbols and call frame information; two functions in assembly have none of the latter. */

#include "print.h"
#include "syscall.h"

#define FUNCTION __attribute__((noinline, noclone))
/* Keeps what is before it in its place, a call from being the last thing a function does. */
#define HERE __asm__ volatile("" ::: "memory")

/* Loops n times: two instructions each. */
FUNCTION void spin(long n)
{
	for (; n > 0; n--)
		HERE;
}

FUNCTION void inner(void)
{
	spin(300000);
	HERE;
}

FUNCTION void middle(void)
{
	spin(200000);
	inner();
	HERE;
}

FUNCTION void outer(void)
{
	spin(100000);
	middle();
	HERE;
}

FUNCTION void recurse(int depth)
{
	if (depth == 0)
		spin(100000);
	else
		recurse(depth - 1);
	HERE;
}

/* Where its frame is depends on what it is given: it needs a frame pointer. */
FUNCTION void dynamic(long n)
{
	char bytes[n];
	__asm__ volatile("" : : "r"(bytes) : "memory");
	spin(100000);
	HERE;
}

FUNCTION void handler(int signo, struct siginfo *info, void *context)
{
	(void)signo;
	(void)info;
	(void)context;
	spin(100000);
	HERE;
}

FUNCTION void interrupted(void)
{
	kill(getpid(), SIGUSR1);
	HERE;
}

#if defined(__riscv)
void framed(long n);
void bare(long n);
__asm__(".globl framed, bare\n"
	".type framed, @function\n"
	"framed:\n"
	"	addi sp, sp, -16\n"
	"	sd ra, 8(sp)\n"
	"	sd s0, 0(sp)\n"
	"	addi s0, sp, 16\n"
	"	call spin\n"
	"	ld ra, 8(sp)\n"
	"	ld s0, 0(sp)\n"
	"	addi sp, sp, 16\n"
	"	ret\n"
	".size framed, . - framed\n"
	".type bare, @function\n"
	"bare:\n"
	"	addi a0, a0, -1\n"
	"	bnez a0, bare\n"
	"	ret\n"
	".size bare, . - bare\n");
#else
FUNCTION void bare(long n)
{
	spin(n);
}

FUNCTION void framed(long n)
{
	spin(n);
	HERE;
}
#endif

FUNCTION void without_cfi(void)
{
	framed(100000);
	bare(100000);
	HERE;
}

/* Deeper than a profile looks. */
FUNCTION void deep(int depth)
{
	volatile int left = depth;
	if (left > 0)
		deep(left - 1);
	else
		spin(100000);
	HERE;
}

int main(int argc, char **argv, char **envp)
{
	(void)argc;
	(void)argv;
	(void)envp;
	sigaction(SIGUSR1, handler, 0);
	outer();
	recurse(3);
	dynamic(1000);
	interrupted();
	without_cfi();
	deep(400);
	print("done\n");
	return 0;
}
