/*
 * Code that changes after it has run hot, in every way there is: by stores and by the kernel,
 * through other mappings and other processes, by changed permissions and replaced mappings.
 * No fence is ever executed: a riscv64 that needs fence.i would fail this.
 */

#include "abi_mm.h"
#include "ksft.h"
#include "ptrace.h"
#include "string.h"
#include "syscall.h"
#include "thread.h"

#if defined(__x86_64__)
#define NR_pwrite64 18
#define NR_process_vm_writev 311
#else
#define NR_pwrite64 68
#define NR_process_vm_writev 271
#endif

#define RW (PROT_READ | PROT_WRITE)
#define RX (PROT_READ | PROT_EXEC)
#define RWX (RW | PROT_EXEC)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

/* Calls that make code hot for any compiler. */
#define HOT 40000
#define CODE_BYTES 16
#define BELOW_EDGE(page, bytes) ((page) + PAGE_SIZE - (bytes))

typedef long (*function)(void);

/* Writes a function that returns `value`, at most CODE_BYTES long. */
static void emit(u8 *at, u32 value)
{
#if defined(__riscv)
	u32 high = (value + 0x800) & 0xfffff000;
	u32 code[3] = { high | 0x537, (value - high) << 20 | 0x5051b, 0x8067 };
	memcpy(at, code, sizeof(code));
#elif defined(__x86_64__)
	at[0] = 0xb8;
	memcpy(at + 1, &value, 4);
	at[5] = 0xc3;
#endif
}

/* Writes a function that returns its own address. */
static void emit_where(u8 *at)
{
#if defined(__riscv)
	u32 code[2] = { 0x517, 0x8067 };
	memcpy(at, code, sizeof(code));
#elif defined(__x86_64__)
	memcpy(at, "\x48\x8d\x05\xf9\xff\xff\xff\xc3", 8);
#endif
}

static void emit_nops(u8 *at, int bytes)
{
#if defined(__riscv)
	for (int i = 0; i < bytes; i += 2)
		memcpy(at + i, "\x01\x00", 2);
#elif defined(__x86_64__)
	memset(at, 0x90, bytes);
#endif
}

static long call(const u8 *at)
{
	return ((function)at)();
}

/* What the function at `at` returns, -1 if not always the same. */
static long hot(const u8 *at)
{
	function volatile f = (function)at;
	long first = f();
	for (int i = 0; i < HOT; i++)
		if (f() != first)
			return -1;
	return first;
}

static u8 *pages(int n, int prot)
{
	return mmap(NULL, n * PAGE_SIZE, prot, ANON);
}

/* A page of code that returns `value`, and has done so for a while. */
static u8 *warm_page(u32 value, int prot)
{
	u8 *page = pages(1, RW);
	emit(page, value);
	mprotect(page, PAGE_SIZE, prot);
	return hot(page) == value ? page : NULL;
}

static int by_stores(void)
{
	u8 *page = warm_page(1, RWX);
	for (int i = 2; i < 30; i++) {
		emit(page, i);
		if (call(page) != i || (i % 8 == 0 && hot(page) != i))
			return i;
	}
	return 0;
}

/* As a compiler that allows no page to be both does. */
static int by_flips(void)
{
	u8 *page = warm_page(1, RX);
	for (int i = 2; i < 30; i++) {
		mprotect(page, PAGE_SIZE, RW);
		emit(page, i);
		mprotect(page, PAGE_SIZE, RX);
		if (call(page) != i || (i % 8 == 0 && hot(page) != i))
			return i;
	}
	return 0;
}

/* Ends by the signal, which is what calling `at` gives. */
static int dies(const u8 *at, int signo)
{
	int status = 0;
	long pid = fork();
	if (pid == 0) {
		call(at);
		exit(0);
	}
	waitpid(pid, &status);
	return WIFSIGNALED(status) && (signo == 0 || WTERMSIG(status) == signo);
}

static int no_longer_executable(void)
{
	u8 *page = warm_page(1, RX);
	mprotect(page, PAGE_SIZE, RW);
	if (!dies(page, SIGSEGV))
		return 1;
	mprotect(page, PAGE_SIZE, RX);
	return hot(page) != 1;
}

static int replaced(void)
{
	u8 *page = warm_page(1, RX);
	u8 *other = warm_page(2, RX);
	munmap(page, PAGE_SIZE);
	if (!dies(page, SIGSEGV))
		return 1;
	if (mremap(other, PAGE_SIZE, PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, page) != page)
		return 2;
	if (call(page) != 2 || hot(page) != 2 || !dies(other, SIGSEGV))
		return 3;
	mmap(page, PAGE_SIZE, RWX, ANON | MAP_FIXED);
	emit(page, 3);
	return call(page) != 3;
}

static int knows_where_it_is(void)
{
	u8 *page = pages(1, RWX);
	u8 *to = pages(1, PROT_NONE);
	emit_where(page);
	if (hot(page) != (long)page)
		return 1;
	if (mremap(page, PAGE_SIZE, PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, to) != to)
		return 2;
	return call(to) != (long)to || hot(to) != (long)to;
}

static long code_file(u32 value)
{
	u8 code[CODE_BYTES] = { 0 };
	long fd = syscall2(NR_memfd_create, "code", 0);
	syscall2(NR_ftruncate, fd, PAGE_SIZE);
	emit(code, value);
	syscall4(NR_pwrite64, fd, code, CODE_BYTES, 0);
	return fd;
}

static u8 *map_file(long fd, int prot, int flags)
{
	return (u8 *)syscall6(NR_mmap, 0, PAGE_SIZE, prot, flags, fd, 0);
}

static int at_two_addresses(void)
{
	long fd = code_file(0);
	u8 *a = map_file(fd, RX, MAP_SHARED);
	u8 *b = map_file(fd, RX, MAP_PRIVATE);
	u8 *write_here = map_file(fd, RW, MAP_SHARED);
	emit_where(write_here);
	for (int i = 0; i < 4; i++)
		if (hot(a) != (long)a || hot(b) != (long)b)
			return 1;
	emit(write_here, 7);
	return call(a) != 7 || call(b) != 7 || hot(a) != 7 || hot(b) != 7;
}

static int written_file(void)
{
	u8 code[CODE_BYTES] = { 0 };
	long fd = code_file(1);
	u8 *shared = map_file(fd, RX, MAP_SHARED);
	u8 *private = map_file(fd, RX, MAP_PRIVATE);
	for (int i = 1; i < 20; i++) {
		emit(code, i);
		syscall4(NR_pwrite64, fd, code, CODE_BYTES, 0);
		if (call(shared) != i || call(private) != i)
			return i;
		if (i % 6 == 1 && (hot(shared) != i || hot(private) != i))
			return i;
	}
	return 0;
}

static int truncated_file(void)
{
	u8 code[CODE_BYTES] = { 0 };
	long fd = code_file(1);
	u8 *page = map_file(fd, RX, MAP_SHARED);
	if (hot(page) != 1)
		return 1;
	syscall2(NR_ftruncate, fd, 0);
	if (!dies(page, SIGBUS))
		return 2;
	syscall2(NR_ftruncate, fd, PAGE_SIZE);
	emit(code, 2);
	syscall4(NR_pwrite64, fd, code, CODE_BYTES, 0);
	if (call(page) != 2 || hot(page) != 2)
		return 3;
	syscall4(NR_fallocate, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE_SIZE);
	return !dies(page, 0);
}

/* A function that begins below an edge of pages, by `bytes`, and ends above it. */
static int second_page(int bytes)
{
	u8 *page = pages(2, RWX);
	u8 *other = pages(1, RWX);
	u8 *start = BELOW_EDGE(page, bytes);
	u8 code[CODE_BYTES + 64];
	if (bytes > 2)
		emit_nops(code, bytes);
	for (u32 i = 1; i < 6; i++) {
		emit(bytes > 2 ? code + bytes : code, i << 16);
		if (i == 1)
			memcpy(start, code, sizeof(code));
		else {
			memcpy(other, code + bytes, sizeof(code) - bytes);
			mremap(other, PAGE_SIZE, PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED,
			       page + PAGE_SIZE);
			other = pages(1, RWX);
		}
		if (call(start) != i << 16 || hot(start) != i << 16)
			return i;
	}
	return 0;
}

static int replaced_second_page(void)
{
	return second_page(32);
}

static int replaced_second_half(void)
{
	return second_page(2);
}

static int dropped(void)
{
	u8 *page = warm_page(1, RWX);
	madvise(page, PAGE_SIZE, MADV_DONTNEED);
	if (!dies(page, 0))
		return 1;
	emit(page, 2);
	return call(page) != 2 || hot(page) != 2;
}

static int read_into(void)
{
	u8 code[CODE_BYTES] = { 0 };
	int fds[2];
	u8 *page = warm_page(1, RWX);
	pipe(fds);
	for (int i = 2; i < 20; i++) {
		emit(code, i);
		write(fds[1], code, CODE_BYTES);
		read(fds[0], page, CODE_BYTES);
		if (call(page) != i || (i % 8 == 0 && hot(page) != i))
			return i;
	}
	return 0;
}

static int proc_mem(void)
{
	u8 code[CODE_BYTES] = { 0 };
	u8 *page = warm_page(1, RX);
	long fd = open("/proc/self/mem", O_RDWR);
	emit(code, 2);
	if (syscall4(NR_pwrite64, fd, code, CODE_BYTES, page) != CODE_BYTES)
		return 1;
	return call(page) != 2 || hot(page) != 2;
}

/* One process of two writes to code that both have: only its own changes. */
static int one_of_two(void)
{
	int status = -1;
	u8 *page = warm_page(1, RWX);
	for (int i = 2; i < 12; i++) {
		long pid = fork();
		if (pid == 0) {
			if (call(page) != 1 || hot(page) != 1)
				exit(1);
			emit(page, i);
			exit(call(page) != i || hot(page) != i);
		}
		if (hot(page) != 1 || waitpid(pid, &status) != pid || status != 0)
			return i;
	}
	return call(page) != 1;
}

static int parent_of_two(void)
{
	int status = -1;
	u8 *page = warm_page(1, RWX);
	share_flags();
	long pid = fork();
	if (pid == 0) {
		wait_flag(0);
		exit(call(page) != 1 || hot(page) != 1);
	}
	emit(page, 2);
	if (call(page) != 2 || hot(page) != 2)
		return 1;
	flags[0] = 1;
	waitpid(pid, &status);
	return status != 0 || call(page) != 2;
}

static int written_by_another(void)
{
	int status = -1;
	u8 code[CODE_BYTES] = { 0 };
	u8 *page = warm_page(1, RWX);
	struct iovec local = { code, CODE_BYTES };
	struct iovec remote = { page, CODE_BYTES };
	share_flags();
	long pid = fork();
	if (pid == 0) {
		int before = hot(page);
		flags[0] = 1;
		wait_flag(1);
		exit(before != 1 || call(page) != 2 || hot(page) != 2);
	}
	emit(code, 2);
	wait_flag(0);
	if (syscall6(NR_process_vm_writev, pid, (long)&local, 1, (long)&remote, 1, 0) != CODE_BYTES)
		return kill(pid, SIGKILL), 1;
	flags[1] = 1;
	waitpid(pid, &status);
	return status != 0 || call(page) != 1;
}

static u8 *traced_page;

static int traced(void)
{
	int before = hot(traced_page);
	kill(getpid(), SIGSTOP);
	return before != 1 || call(traced_page) != 2 || hot(traced_page) != 2;
}

static int poked(void)
{
	u64 words[2] = { 0 };
	traced_page = warm_page(1, RX);
	emit((u8 *)words, 2);
	long pid = start_traced(traced);
	resume(PTRACE_CONT, pid, 0);
	if (wait_for(pid) != STOPPED(SIGSTOP))
		return 1;
	if (poke(pid, traced_page, words[0]) != 0 || poke(pid, traced_page + 8, words[1]) != 0)
		return 2;
	resume(PTRACE_CONT, pid, 0);
	return wait_for(pid) != EXITED(0) || call(traced_page) != 1;
}

static volatile u64 rounds;
static volatile int stop_at;

static void calls(void *page)
{
	while (call(page) != stop_at)
		rounds++;
}

static int by_another_thread(void)
{
	struct thread thread;
	u8 *page = warm_page(1, RWX);
	stop_at = 3;
	if (thread_start(&thread, calls, page) != 0)
		return 1;
	while (rounds < 2 * HOT)
		sleep_ms(1);
	emit(page, 2);
	u64 before = rounds;
	while (rounds < before + HOT)
		sleep_ms(1);
	emit(page, 3);
	thread_join(&thread);
	return call(page) != 3;
}

int main(void)
{
	ksft_plan(18);
	ksft_child(by_stores, "stores");
	ksft_child(by_flips, "stores between two changes of permissions");
	ksft_child(no_longer_executable, "code that may no longer be executed");
	ksft_child(replaced, "other code mapped in its place");
	ksft_child(knows_where_it_is, "code that moves knows its new address");
	ksft_child(at_two_addresses, "code at two addresses knows each");
	ksft_child(written_file, "a write to the file that is mapped");
	ksft_child(truncated_file, "the file that is mapped cut short");
	ksft_child(replaced_second_page, "the second page of a function replaced");
	ksft_child(replaced_second_half, "the second half of an instruction replaced");
	ksft_child(dropped, "MADV_DONTNEED");
	ksft_child(read_into, "read() into code");
	ksft_child(proc_mem, "a write to /proc/self/mem");
	ksft_child(one_of_two, "a child changes its own copy only");
	ksft_child(parent_of_two, "a parent changes its own copy only");
	ksft_child(written_by_another, "process_vm_writev()");
	ksft_child(poked, "PTRACE_POKEDATA");
	ksft_child(by_another_thread, "another thread");
	ksft_finish();
	return 0;
}
