#include "probe.h"
#include "print.h"
#include "syscall.h"

#define WORDS (PAGE_SIZE / sizeof(u64))
/* Odd, with bits all over: makes a digest depend on the order. */
#define MULTIPLIER 0x9e3779b97f4a7c15UL

typedef void (*access_fn)(volatile u64 *at, u64 *value);

static void *resume[5];
static volatile int armed;
static volatile int fault;

static void on_fault(int signo, struct siginfo *info, void *ucontext)
{
	if (!armed) {
		print("fault outside of a probe: signal %d code %d\n", (long)signo, (long)info->si_code);
		exit(99);
	}
	armed = 0;
	fault = signo * 10 + info->si_code;
	__builtin_longjmp(resume, 1);
}

void probe_init(void)
{
	/* The handler does not return, so its signal must not stay blocked. */
	sigaction(SIGSEGV, on_fault, SA_NODEFER);
	sigaction(SIGBUS, on_fault, SA_NODEFER);
}

/* A compiler takes setjmp() away where it sees that nothing can jump back: so it sees a call. */
static __attribute__((noinline)) int probe(u64 addr, u64 *value, access_fn access)
{
	access_fn volatile opaque = access;
	armed = 1;
	if (__builtin_setjmp(resume))
		return fault;
	opaque((volatile u64 *)addr, value);
	armed = 0;
	return 0;
}

static void load(volatile u64 *at, u64 *value)
{
	*value = *at;
}

static void store(volatile u64 *at, u64 *value)
{
	*at = *value;
}

static void load_page(volatile u64 *at, u64 *value)
{
	u64 sum = 0;
	for (size_t i = 0; i < WORDS; i++)
		sum = sum * MULTIPLIER + at[i];
	*value = sum;
}

static void store_page(volatile u64 *at, u64 *value)
{
	for (size_t i = 0; i < WORDS; i++)
		at[i] = *value;
}

int probe_load(u64 addr, u64 *value)
{
	return probe(addr, value, load);
}

int probe_store(u64 addr, u64 value)
{
	return probe(addr, &value, store);
}

int probe_load_page(u64 addr, u64 *digest)
{
	return probe(addr, digest, load_page);
}

int probe_store_page(u64 addr, u64 value)
{
	return probe(addr, &value, store_page);
}
