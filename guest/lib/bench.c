#include "bench.h"
#include "abi_mm.h"
#include "print.h"
#include "syscall.h"

/* Pages that one call makes present. */
#define POPULATE_BYTES (64 * MIB)

static u8 *map(size_t bytes, int flags)
{
	/* The founding document measures 4 KiB pages; huge pages would hide the page tables. */
	prctl(PR_SET_THP_DISABLE, 1);
	u8 *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags);
	if (mmap_failed(memory)) {
		print("cannot map %d bytes: error %d\n", (long)bytes, -(long)memory);
		exit(1);
	}
	madvise(memory, bytes, MADV_NOHUGEPAGE);
	return memory;
}

u8 *map_and_touch(size_t bytes)
{
	u8 *memory = map(bytes, 0);
	for (size_t at = 0; at < bytes; at += PAGE_SIZE)
		memory[at] = 1;
	return memory;
}

u8 *map_and_read(size_t bytes)
{
	u8 *memory = map(bytes, MAP_NORESERVE);
	memory[0] = 1;
	for (size_t at = 0; at < bytes; at += POPULATE_BYTES) {
		size_t length = bytes - at < POPULATE_BYTES ? bytes - at : POPULATE_BYTES;
		if (madvise(memory + at, length, MADV_POPULATE_READ) == 0)
			continue;
		for (size_t page = 0; page < length; page += PAGE_SIZE)
			((volatile u8 *)memory)[at + page];
	}
	return memory;
}
