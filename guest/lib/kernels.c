#include "kernels.h"
#include "print.h"
#include "string.h"
#include "syscall.h"

static u64 instructions(void)
{
#if defined(__riscv)
	u64 n;
	__asm__ volatile("rdinstret %0" : "=r"(n));
	return n;
#else
	return 0;
#endif
}

void *kernel_alloc(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
	if (mmap_failed(memory)) {
		print("cannot map %d bytes\n", (long)bytes);
		exit(1);
	}
	memset(memory, 0, bytes);
	return memory;
}

int run_kernel(const struct kernel *kernels, size_t count, int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";
	u64 scale = argc > 2 ? parse_dec(argv[2]) : 1;
	for (size_t i = 0; i < count; i++) {
		if (!streq(kernels[i].name, name))
			continue;
		if (kernels[i].setup)
			kernels[i].setup();
		u64 start = now_ns();
		u64 before = instructions();
		u64 sum = kernels[i].run(scale);
		u64 after = instructions();
		u64 end = now_ns();
		print("%s %x %d %d\n", name, sum, end - start, after - before);
		return 0;
	}
	print("usage: PROGRAM NAME [SCALE], NAME one of");
	for (size_t i = 0; i < count; i++)
		print(" %s", kernels[i].name);
	put_char('\n');
	return 2;
}
