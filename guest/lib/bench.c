#include "bench.h"
#include "print.h"
#include "syscall.h"

u8 *map_and_touch(size_t bytes)
{
	/* The founding document measures 4 KiB pages; huge pages would hide the page tables. */
	prctl(PR_SET_THP_DISABLE, 1);
	u8 *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
	if (mmap_failed(memory)) {
		print("cannot map %d bytes: error %d\n", (long)bytes, -(long)memory);
		exit(1);
	}
	madvise(memory, bytes, MADV_NOHUGEPAGE);
	for (size_t at = 0; at < bytes; at += PAGE_SIZE)
		memory[at] = 1;
	return memory;
}
