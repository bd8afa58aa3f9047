/* xorshift64: the same numbers in every build, so that runs can be compared. */
#ifndef GUEST_RANDOM_H
#define GUEST_RANDOM_H

#include "types.h"

static inline u64 next_random(u64 *state)
{
	u64 x = *state;
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return *state = x;
}

#endif
