/*
 * bad_access CASE [handled]: does what a correct program never does.
 *
 * Unhandled, the program ends by the signal. With `handled`, a handler on an alternate stack
 * prints `signal N code N addr 0xN` and ends with 0.
 */

#include "print.h"
#include "string.h"
#include "syscall.h"

static u8 alternate[8192];
static const char constant[] = "read only";

static void on_signal(int signo, struct siginfo *info, void *context)
{
	(void)context;
	print("signal %d code %d addr %x\n", (long)signo, (long)info->si_code, (u64)info->si_addr);
	exit(0);
}

static void null_read(void)
{
	(void)*(volatile u8 *)0x10;
}

static void wild_write(void)
{
	*(volatile u8 *)0x3f12345000UL = 1;
}

/* Bit 60 set: no such address in any page-table format. */
static void far_read(void)
{
	(void)*(volatile u8 *)0x1000000000000000UL;
}

static void write_text(void)
{
	extern void start_c(long *sp);
	*(volatile u8 *)start_c = 0;
}

static void write_rodata(void)
{
	*(volatile char *)constant = 'R';
}

static void wild_jump(void)
{
	((void (*)(void))0x3f12345000UL)();
}

/* Memory that may be read and written is not code. */
static void run_data(void)
{
	((void (*)(void))alternate)();
}

static void illegal(void)
{
#if defined(__riscv)
	__asm__ volatile(".word 0");
#elif defined(__x86_64__)
	__asm__ volatile("ud2");
#else
	__asm__ volatile(".inst 0");
#endif
}

static int overflow(volatile int depth)
{
	volatile u8 frame[1024];
	frame[0] = (u8)depth;
	return overflow(depth + 1) + frame[0];
}

static void stack(void)
{
	overflow(0);
}

static void far_below_stack(void)
{
	volatile u8 here;
	*(&here - (64UL << 20)) = 1;
}

/* Waits for a byte, then has the kernel write the next one to nowhere. */
static void bad_pointer(void)
{
	char byte;
	print("ready\n");
	read(0, &byte, 1);
	print("error %d\n", -read(0, (void *)8, 1));
}

static const struct {
	const char *name;
	void (*run)(void);
} CASES[] = {
	{ "null_read", null_read },	{ "wild_write", wild_write },
	{ "far_read", far_read },	{ "write_text", write_text },
	{ "write_rodata", write_rodata }, { "wild_jump", wild_jump },
	{ "run_data", run_data },	{ "illegal", illegal },
	{ "stack", stack },		{ "far_below_stack", far_below_stack },
	{ "bad_pointer", bad_pointer },
};

int main(int argc, char **argv)
{
	if (argc > 2 && streq(argv[2], "handled")) {
		struct sigaltstack ss = { .ss_sp = alternate, .ss_size = sizeof(alternate) };
		syscall2(NR_sigaltstack, &ss, NULL);
		sigaction(SIGSEGV, on_signal, SA_ONSTACK);
		sigaction(SIGBUS, on_signal, SA_ONSTACK);
		sigaction(SIGILL, on_signal, SA_ONSTACK);
	}
	for (size_t i = 0; argc > 1 && i < ARRAY_SIZE(CASES); i++) {
		if (streq(argv[1], CASES[i].name)) {
			CASES[i].run();
			print("%s went through\n", CASES[i].name);
			return 1;
		}
	}
	print("usage: bad_access CASE [handled], CASE one of");
	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++)
		print(" %s", CASES[i].name);
	put_char('\n');
	return 2;
}
