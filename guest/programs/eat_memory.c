/*
 * eat_memory [MIB]: maps and touches memory for ever, or MIB mebibytes. Prints `mapped N MiB,
 * error N` when mmap() fails; on a machine that overcommits, the OOM killer comes first.
 */

#include "print.h"
#include "string.h"
#include "syscall.h"

int main(int argc, char **argv)
{
	u64 limit = argc > 1 ? parse_dec(argv[1]) : ~0UL;
	u64 mapped = 0;
	long error = 0;
	for (; mapped < limit; mapped++) {
		u8 *memory = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
		if (mmap_failed(memory)) {
			error = -(long)memory;
			break;
		}
		for (size_t at = 0; at < MIB; at += PAGE_SIZE)
			memory[at] = 1;
	}
	print("mapped %d MiB, error %d\n", mapped, error);
	return error != 0;
}
