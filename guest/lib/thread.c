#include "thread.h"
#include "syscall.h"

#define STACK_SIZE (64UL << 10)
#define THREAD_FLAGS \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | \
	 CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)

/*
 * The new thread starts on an empty stack, so it cannot return into C: body and argument wait at
 * the top of the stack, and the thread ends here.
 */
#if defined(__riscv)
static __attribute__((naked, noinline)) long clone_thread(u64 flags, void *stack, volatile u32 *tid)
{
	__asm__("mv a4, a2\n\t"
		"li a3, 0\n\t"
		"li a7, 220\n\t"
		"ecall\n\t"
		"beqz a0, 1f\n\t"
		"ret\n"
		"1:	ld a0, 8(sp)\n\t"
		"ld a1, 0(sp)\n\t"
		"jalr a1\n\t"
		"li a0, 0\n\t"
		"li a7, 93\n\t"
		"ecall");
}
#elif defined(__x86_64__)
static __attribute__((naked, noinline)) long clone_thread(u64 flags, void *stack, volatile u32 *tid)
{
	__asm__("mov %rdx, %r10\n\t"
		"xor %r8d, %r8d\n\t"
		"mov $56, %eax\n\t"
		"syscall\n\t"
		"test %eax, %eax\n\t"
		"jz 1f\n\t"
		"ret\n"
		"1:	pop %rax\n\t"
		"pop %rdi\n\t"
		"call *%rax\n\t"
		"xor %edi, %edi\n\t"
		"mov $60, %eax\n\t"
		"syscall");
}
#elif defined(__aarch64__)
static __attribute__((naked, noinline)) long clone_thread(u64 flags, void *stack, volatile u32 *tid)
{
	__asm__("mov x4, x2\n\t"
		"mov x3, #0\n\t"
		"mov x8, #220\n\t"
		"svc #0\n\t"
		"cbz x0, 1f\n\t"
		"ret\n"
		"1:	ldp x1, x0, [sp]\n\t"
		"blr x1\n\t"
		"mov x0, #0\n\t"
		"mov x8, #93\n\t"
		"svc #0");
}
#endif

long thread_start(struct thread *thread, void (*body)(void *), void *arg)
{
	thread->stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
	if (mmap_failed(thread->stack))
		return (long)thread->stack;
	void **top = (void **)(thread->stack + STACK_SIZE - 16);
	top[0] = (void *)body;
	top[1] = arg;
	long tid = clone_thread(THREAD_FLAGS, top, &thread->tid);
	return tid < 0 ? tid : 0;
}

static void futex_wait(volatile u32 *word, u32 value)
{
	syscall4(NR_futex, word, FUTEX_WAIT, value, NULL);
}

static void futex_wake(volatile u32 *word, int count)
{
	syscall3(NR_futex, word, FUTEX_WAKE, count);
}

void thread_join(struct thread *thread)
{
	u32 tid;
	while ((tid = thread->tid) != 0)
		futex_wait(&thread->tid, tid);
	munmap(thread->stack, STACK_SIZE);
}

void mutex_lock(struct mutex *mutex)
{
	u32 seen = 0;
	if (__atomic_compare_exchange_n(&mutex->state, &seen, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return;
	while (__atomic_exchange_n(&mutex->state, 2, __ATOMIC_ACQUIRE) != 0)
		futex_wait(&mutex->state, 2);
}

void mutex_unlock(struct mutex *mutex)
{
	if (__atomic_exchange_n(&mutex->state, 0, __ATOMIC_RELEASE) == 2)
		futex_wake(&mutex->state, 1);
}
