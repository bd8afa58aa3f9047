/* Threads by clone(2) and futex(2), without a C library. */
#ifndef GUEST_THREAD_H
#define GUEST_THREAD_H

#include "types.h"

struct thread {
	/* The thread's id while it runs; the kernel writes 0 and wakes when it has ended. */
	volatile u32 tid;
	u8 *stack;
};

/* Starts `body(arg)` in a thread of its own. @returns 0 or -errno. */
long thread_start(struct thread *thread, void (*body)(void *), void *arg);
void thread_join(struct thread *thread);

struct mutex {
	/* 0 free, 1 held, 2 held and somebody sleeps. */
	volatile u32 state;
};

void mutex_lock(struct mutex *mutex);
void mutex_unlock(struct mutex *mutex);

#endif
