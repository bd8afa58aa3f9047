/* What the benchmarks share: memory made of 4 KiB pages everywhere. */
#ifndef GUEST_BENCH_H
#define GUEST_BENCH_H

#include "types.h"

/* Maps and writes `bytes` of anonymous memory in base pages. Ends the program if it cannot. */
u8 *map_and_touch(size_t bytes);

#endif
