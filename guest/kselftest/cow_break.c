/*
 * Patch 03: an event that concerns one process only gives it a page table of its own. Every
 * test changes part of a 2 MiB block in one process and looks at the rest in both.
 */

#include "ksft.h"
#include "print.h"
#include "string.h"
#include "syscall.h"

#define PAGES 512
#define WORDS_PER_PAGE 512

/* Three neighbours in one page table: each test maps its own block. */
static u64 *map_block(void)
{
	u8 *raw = mmap(NULL, 2 * PMD_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
	u8 *block = (u8 *)(((u64)raw + PMD_SIZE - 1) & ~(PMD_SIZE - 1));
	if (block > raw)
		munmap(raw, (size_t)(block - raw));
	munmap(block + PMD_SIZE, (size_t)(raw + PMD_SIZE - block));
	madvise(block, PMD_SIZE, MADV_NOHUGEPAGE);
	u64 *words = (u64 *)block;
	for (u64 page = 0; page < PAGES; page++)
		words[page * WORDS_PER_PAGE] = page + 1;
	return words;
}

static u64 *page_of(u64 *block, u64 page)
{
	return block + page * WORDS_PER_PAGE;
}

/* @returns the number of pages in [from, to) that do not hold what map_block() wrote. */
static int wrong_pages(u64 *block, u64 from, u64 to)
{
	int wrong = 0;
	for (u64 page = from; page < to; page++)
		wrong += *page_of(block, page) != page + 1;
	return wrong;
}

/* Forks; `change` runs in the child, then both look. @returns 0 if both see what they should. */
static int in_child(u64 *block, int (*change)(u64 *block))
{
	int status;
	long pid = fork();
	if (pid == 0)
		exit(change(block));
	waitpid(pid, &status);
	return status != 0 || wrong_pages(block, 0, PAGES) != 0;
}

/* Forks a child that waits; `change` runs in the parent; then the child looks. */
static int in_parent(u64 *block, int (*change)(u64 *block))
{
	int fds[2];
	int status;
	char byte;
	pipe(fds);
	long pid = fork();
	if (pid == 0) {
		close(fds[1]);
		read(fds[0], &byte, 1);
		exit(wrong_pages(block, 0, PAGES) != 0);
	}
	int bad = change(block);
	close(fds[1]);
	waitpid(pid, &status);
	return bad || status != 0;
}

static int write_one(u64 *block)
{
	*page_of(block, 100) = 0;
	return wrong_pages(block, 0, 100) || *page_of(block, 100) || wrong_pages(block, 101, PAGES);
}

static int unmap_middle(u64 *block)
{
	munmap(page_of(block, 100), 10 * PAGE_SIZE);
	return wrong_pages(block, 0, 100) || wrong_pages(block, 110, PAGES);
}

static int unmap_all(u64 *block)
{
	return munmap(block, PMD_SIZE) != 0;
}

static int discard_one(u64 *block)
{
	madvise(page_of(block, 7), PAGE_SIZE, MADV_DONTNEED);
	return wrong_pages(block, 0, 7) || *page_of(block, 7) != 0 || wrong_pages(block, 8, PAGES);
}

static int discard_all(u64 *block)
{
	madvise(block, PMD_SIZE, MADV_DONTNEED);
	for (u64 page = 0; page < PAGES; page++) {
		if (*page_of(block, page) != 0)
			return 1;
	}
	return 0;
}

static int protect_some(u64 *block)
{
	mprotect(page_of(block, 50), 20 * PAGE_SIZE, PROT_READ);
	if (wrong_pages(block, 0, PAGES))
		return 1;
	mprotect(page_of(block, 50), 20 * PAGE_SIZE, PROT_READ | PROT_WRITE);
	*page_of(block, 55) = 5;
	return *page_of(block, 55) != 5;
}

static int move_part(u64 *block)
{
	u64 *elsewhere = mmap(NULL, PMD_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
	u64 *moved = mremap(page_of(block, 200), 16 * PAGE_SIZE, 16 * PAGE_SIZE,
			    MREMAP_MAYMOVE | MREMAP_FIXED, elsewhere);
	if (moved != elsewhere)
		return 1;
	for (u64 page = 0; page < 16; page++) {
		if (moved[page * WORDS_PER_PAGE] != 200 + page + 1)
			return 1;
	}
	*moved = 0;
	return wrong_pages(block, 0, 200) || wrong_pages(block, 216, PAGES);
}

static int move_all(u64 *block)
{
	u64 *moved = mremap(block, PMD_SIZE, 2 * PMD_SIZE, MREMAP_MAYMOVE, NULL);
	if (mmap_failed(moved) || wrong_pages(moved, 0, PAGES))
		return 1;
	*moved = 0;
	return *moved;
}

static int map_over(u64 *block)
{
	u64 *page = mmap(page_of(block, 300), PAGE_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED);
	if (page != page_of(block, 300) || *page != 0)
		return 1;
	*page = 77;
	return wrong_pages(block, 0, 300) || wrong_pages(block, 301, PAGES);
}

static int fill_hole_in_both(void)
{
	/* A page that nobody had touched at fork: each side gets its own. */
	int status;
	u64 *block = map_block();
	madvise(page_of(block, 40), PAGE_SIZE, MADV_DONTNEED);
	long pid = fork();
	if (pid == 0) {
		int bad = *page_of(block, 40) != 0;
		*page_of(block, 40) = 1;
		exit(bad);
	}
	waitpid(pid, &status);
	return status != 0 || *page_of(block, 40) != 0;
}

static int dontfork_neighbour(void)
{
	int status;
	u64 *block = map_block();
	madvise(page_of(block, 128), 64 * PAGE_SIZE, MADV_DONTFORK);
	long pid = fork();
	if (pid == 0) {
		int bad = wrong_pages(block, 0, 128) || wrong_pages(block, 192, PAGES);
		/* The parent's secret must not be reachable: the kernel cannot read it for us. */
		int fds[2];
		pipe(fds);
		bad |= write(fds[1], page_of(block, 128), 8) != -EFAULT;
		bad |= write(fds[1], page_of(block, 191), 8) != -EFAULT;
		exit(bad);
	}
	waitpid(pid, &status);
	return status != 0 || wrong_pages(block, 0, PAGES);
}

static int wipeonfork_neighbour(void)
{
	int status;
	u64 *block = map_block();
	madvise(page_of(block, 128), 64 * PAGE_SIZE, MADV_WIPEONFORK);
	long pid = fork();
	if (pid == 0) {
		int bad = wrong_pages(block, 0, 128) || wrong_pages(block, 192, PAGES);
		for (u64 page = 128; page < 192; page++)
			bad |= *page_of(block, page) != 0;
		exit(bad);
	}
	waitpid(pid, &status);
	return status != 0 || wrong_pages(block, 0, PAGES);
}

static int two_vmas(int second_first)
{
	/* Two mappings in one table, unmapped by the child in either order. */
	int status;
	u64 *block = map_block();
	mprotect(page_of(block, 256), 256 * PAGE_SIZE, PROT_READ);
	long pid = fork();
	if (pid == 0) {
		u64 gone = second_first ? 256 : 0;
		u64 kept = second_first ? 0 : 256;
		munmap(page_of(block, gone), 256 * PAGE_SIZE);
		exit(wrong_pages(block, kept, kept + 256) != 0);
	}
	waitpid(pid, &status);
	return status != 0 || wrong_pages(block, 0, PAGES);
}

static int takes_over_after_exit(void)
{
	int status;
	u64 *block = map_block();
	long pid = fork();
	if (pid == 0)
		exit(0);
	waitpid(pid, &status);
	for (u64 page = 0; page < PAGES; page++)
		*page_of(block, page) += 0;
	return status != 0 || wrong_pages(block, 0, PAGES);
}

static int child_outlives_parent_tables(void)
{
	int status;
	int fds[2];
	char byte;
	u64 *block = map_block();
	pipe(fds);
	long pid = fork();
	if (pid == 0) {
		close(fds[1]);
		read(fds[0], &byte, 1);
		exit(wrong_pages(block, 0, PAGES) != 0);
	}
	munmap(block, PMD_SIZE);
	close(fds[1]);
	waitpid(pid, &status);
	return status;
}

static const struct change {
	const char *name;
	int (*change)(u64 *block);
} CHANGES[] = {
	{ "write of one page", write_one },
	{ "munmap of ten pages", unmap_middle },
	{ "munmap of the block", unmap_all },
	{ "MADV_DONTNEED of one page", discard_one },
	{ "MADV_DONTNEED of the block", discard_all },
	{ "mprotect of twenty pages", protect_some },
	{ "mremap of sixteen pages", move_part },
	{ "mremap of the block", move_all },
	{ "MAP_FIXED over one page", map_over },
};

int main(void)
{
	ksft_plan(2 * ARRAY_SIZE(CHANGES) + 7);
	for (size_t i = 0; i < ARRAY_SIZE(CHANGES); i++) {
		print("# in the child\n");
		ksft_test(in_child(map_block(), CHANGES[i].change) == 0, CHANGES[i].name);
		print("# in the parent\n");
		ksft_test(in_parent(map_block(), CHANGES[i].change) == 0, CHANGES[i].name);
	}
	ksft_test(fill_hole_in_both() == 0, "a page touched first after fork is private");
	ksft_test(dontfork_neighbour() == 0, "MADV_DONTFORK inside a shared table hides the pages");
	ksft_test(wipeonfork_neighbour() == 0, "MADV_WIPEONFORK inside a shared table wipes the pages");
	ksft_test(two_vmas(0) == 0, "two mappings in one table, first unmapped");
	ksft_test(two_vmas(1) == 0, "two mappings in one table, second unmapped");
	ksft_test(takes_over_after_exit() == 0, "the last user writes everything");
	ksft_test(child_outlives_parent_tables() == 0, "the child keeps what the parent unmapped");
	ksft_finish();
	return 0;
}
