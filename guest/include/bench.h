/* What the benchmarks share: memory made of 4 KiB pages everywhere. */
#ifndef GUEST_BENCH_H
#define GUEST_BENCH_H

#include "types.h"

/* Maps and writes `bytes` of anonymous memory in base pages. Ends the program if it cannot. */
u8 *map_and_touch(size_t bytes);

/*
 * As above, but only read: all pages are the zero page and take page tables alone. One page is
 * written, because Linux's fork leaves out memory that no page was ever written to.
 */
u8 *map_and_read(size_t bytes);

#endif
