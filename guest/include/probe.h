/* Loads and stores that may fault: the signal becomes a result. */
#ifndef GUEST_PROBE_H
#define GUEST_PROBE_H

#include "types.h"

/* Catches SIGSEGV and SIGBUS from now on, in this process and its children. */
void probe_init(void);

/* Each returns 0, or signal number * 10 + si_code of the fault. */
int probe_load(u64 addr, u64 *value);
int probe_store(u64 addr, u64 value);
/* All words of one page: a digest of them, or the value for each. */
int probe_load_page(u64 addr, u64 *digest);
int probe_store_page(u64 addr, u64 value);

#endif
