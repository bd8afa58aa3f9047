/* The frame of a program of kernels: picks one by name, times it and prints its checksum. */
#ifndef GUEST_KERNELS_H
#define GUEST_KERNELS_H

#include "types.h"

struct kernel {
	const char *name;
	/* Not timed; may be NULL. */
	void (*setup)(void);
	/* @returns a checksum that is the same on every machine. */
	u64 (*run)(u64 scale);
};

/* Zeroed memory, every page of it touched. Ends the program if there is none. */
void *kernel_alloc(size_t bytes);

/*
 * Runs the kernel that argv[1] names with the scale argv[2] (1 without it) and prints
 * `NAME CHECKSUM NS INSTRUCTIONS`: the time is that of the kernel alone, and INSTRUCTIONS are
 * those retired (0 where no counter is readable).
 */
int run_kernel(const struct kernel *kernels, size_t count, int argc, char **argv);

#endif
