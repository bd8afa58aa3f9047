/* Entry point: the kernel leaves argc, argv and envp on the stack. */

#include "print.h"
#include "syscall.h"

int main(int argc, char **argv, char **envp);

__attribute__((used)) void start_c(long *sp)
{
	int argc = (int)sp[0];
	char **argv = (char **)(sp + 1);
	int code = main(argc, argv, argv + argc + 1);
	flush();
	exit(code);
}

#if defined(__riscv)
__asm__(".globl _start\n"
	"_start:\n"
	".option push\n.option norelax\n"
	"	la gp, __global_pointer$\n"
	".option pop\n"
	"	mv a0, sp\n"
	"	andi sp, sp, -16\n"
	"	call start_c\n");
#elif defined(__x86_64__)
__asm__(".globl _start\n"
	"_start:\n"
	"	xor %ebp, %ebp\n"
	"	mov %rsp, %rdi\n"
	"	and $-16, %rsp\n"
	"	call start_c\n");
#elif defined(__aarch64__)
__asm__(".globl _start\n"
	"_start:\n"
	"	mov x0, sp\n"
	"	bl start_c\n");
#endif
