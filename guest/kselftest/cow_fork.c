/* Patch 02: fork() shares page tables, and nobody sees another's writes. */

#include "ksft.h"
#include "print.h"
#include "random.h"
#include "string.h"
#include "syscall.h"

#define SIZE (6 * PMD_SIZE)
#define WORDS (SIZE / sizeof(u64))

static u64 *memory;

static u64 checksum(void)
{
	u64 sum = 0;
	for (size_t i = 0; i < WORDS; i += 64)
		sum = sum * 31 + memory[i];
	return sum;
}

static int child_sees_parent_data(void)
{
	for (size_t i = 0; i < WORDS; i += 64) {
		if (memory[i] != i)
			return 1;
	}
	return 0;
}

static int child_writes_everything(void)
{
	for (size_t i = 0; i < WORDS; i += 64)
		memory[i] = ~i;
	for (size_t i = 0; i < WORDS; i += 64) {
		if (memory[i] != ~i)
			return 1;
	}
	return 0;
}

static int grandchild_is_isolated(void)
{
	int status;
	memory[0] = 1;
	long pid = fork();
	if (pid == 0) {
		memory[0]++;
		memory[512] = 7;
		exit(memory[0] == 2 ? 0 : 1);
	}
	waitpid(pid, &status);
	return status != 0 || memory[0] != 1 || memory[512] != 512;
}

static int kernel_write_breaks(void)
{
	/* read(2) into a page of a shared table is a write by the kernel. */
	int fds[2];
	pipe(fds);
	write(fds[1], "kernel!!", 8);
	if (read(fds[0], &memory[1024], 8) != 8)
		return 1;
	return memcmp(&memory[1024], "kernel!!", 8) != 0;
}

static int shared_mapping_stays_shared(void)
{
	int status;
	volatile u64 *shared = mmap(NULL, PMD_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS);
	shared[0] = 1;
	long pid = fork();
	if (pid == 0) {
		shared[0]++;
		shared[PMD_SIZE / 8 - 1] = 9;
		exit(0);
	}
	waitpid(pid, &status);
	return shared[0] != 2 || shared[PMD_SIZE / 8 - 1] != 9;
}

static int many_children(void)
{
	long pids[32];
	int bad = 0;
	for (int i = 0; i < 32; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			memory[(size_t)i * 512] = 1000UL + (u64)i;
			for (int j = 0; j < 32; j++) {
				u64 want = j == i ? 1000UL + (u64)i : (u64)j * 512;
				bad |= memory[(size_t)j * 512] != want;
			}
			exit(bad);
		}
	}
	for (int i = 0; i < 32; i++) {
		int status;
		waitpid(pids[i], &status);
		bad |= status;
	}
	return bad;
}

int main(void)
{
	ksft_plan(9);
	memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
	madvise(memory, SIZE, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < WORDS; i += 64)
		memory[i] = i;
	u64 before = checksum();
	ksft_child(child_sees_parent_data, "the child sees what the parent wrote");
	ksft_child(child_writes_everything, "the child sees its own writes");
	ksft_test(checksum() == before, "the parent sees none of the child's writes");
	ksft_child(grandchild_is_isolated, "three generations are isolated");
	ksft_child(kernel_write_breaks, "a write by the kernel is the child's own");
	ksft_test(checksum() == before, "the parent does not see the kernel's write");
	ksft_child(shared_mapping_stays_shared, "MAP_SHARED memory is one for both");
	ksft_child(many_children, "32 children write side by side");
	ksft_test(checksum() == before, "the parent's memory is as it was");
	ksft_finish();
	return 0;
}
