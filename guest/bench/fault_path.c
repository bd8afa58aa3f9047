/*
 * How long does a page fault take, by what it has to do?
 *
 *     fault_path TABLES
 *
 * Prints `ready`. Each line on standard input is a kind, or `all`: a round, which prints `KIND
 * FAULTS NS` for each of TABLES page tables, and then `done`:
 *
 *     zero         first write to anonymous memory
 *     zero-page    first read of it
 *     cow          write after a fork while the child lives
 *     reuse        write to a page whose other user ended
 *     table        write after a fork while the child lives, to a table that was not written yet
 *     file-read    read of a private mapping of a cached file; the kernel maps pages around it
 *     file-copy    write to such a mapping
 *     file-write   write to a shared mapping of a cached file
 *
 * Each kind is done three times and the last one reported, so that what ran before does not matter:
 * a host's last cache may keep only what is used again.
 * The clock is read once per table and not once per fault. But for `table`, whose NS are of one
 * fault in each table, the table is there and private before the clock starts.
 */

#include "abi_mm.h"
#include "bench.h"
#include "lines.h"
#include "print.h"
#include "string.h"
#include "syscall.h"

#define PAGES_PER_TABLE 512UL
/* Pages that one fault of a file may map (fault_around_bytes). */
#define AROUND_PAGES 16UL

static size_t tables;
static int file;

static void die(const char *what, long result)
{
	print("cannot %s: error %d\n", what, -result);
	exit(1);
}

/* Address space of whole tables, reserved once, so that every mapping of it has the same place. */
static u8 *region;

static void reserve(void)
{
	u64 at = (u64)mmap(NULL, (tables + 1) * PMD_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS);
	if (mmap_failed((void *)at))
		die("reserve", (long)at);
	region = (u8 *)((at + PMD_SIZE - 1) / PMD_SIZE * PMD_SIZE);
}

static void map_region(int flags, int fd)
{
	long at = syscall6(NR_mmap, (long)region, (long)(tables * PMD_SIZE), PROT_READ | PROT_WRITE,
			   flags | MAP_FIXED, fd, 0);
	if (mmap_failed((void *)at))
		die("map", at);
	madvise(region, tables * PMD_SIZE, MADV_NOHUGEPAGE);
}

static void map_anonymous(void)
{
	map_region(MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

static void write_page(u8 *page)
{
	*(volatile u8 *)page = 1;
}

static void touch_all(void)
{
	for (size_t at = 0; at < tables * PMD_SIZE; at += PAGE_SIZE)
		write_page(region + at);
}

#define PASSES 3

static int reporting;

static void report(const char *kind, u64 faults, u64 ns)
{
	if (reporting)
		print("%s %d %d\n", kind, faults, ns);
}

/* Writes all pages of each table but the first, which makes the table ready. */
static void time_writes(const char *kind)
{
	for (size_t t = 0; t < tables; t++) {
		u8 *table = region + t * PMD_SIZE;
		write_page(table);
		u64 start = now_ns();
		for (u8 *page = table + PAGE_SIZE; page < table + PMD_SIZE; page += PAGE_SIZE)
			write_page(page);
		report(kind, PAGES_PER_TABLE - 1, now_ns() - start);
	}
}

/* As above, reading one page in `step`. */
static void time_reads(const char *kind, size_t step)
{
	for (size_t t = 0; t < tables; t++) {
		u8 *table = region + t * PMD_SIZE;
		*(volatile u8 *)table;
		u64 start = now_ns();
		for (size_t i = step; i < PAGES_PER_TABLE; i += step)
			*(volatile u8 *)(table + i * PAGE_SIZE);
		report(kind, PAGES_PER_TABLE / step - 1, now_ns() - start);
	}
}

/* A child that writes a page of each table if `breaks`, and lives until end_child() if `waits`. */
static long child;
static int child_pipe[2];

static void start_child(int breaks, int waits)
{
	char byte;
	pipe(child_pipe);
	child = fork();
	if (child < 0)
		die("fork", child);
	if (child != 0)
		return;
	close(child_pipe[1]);
	for (size_t t = 0; breaks && t < tables; t++)
		write_page(region + t * PMD_SIZE);
	if (waits)
		read(child_pipe[0], &byte, 1);
	exit(0);
}

static void end_child(void)
{
	int status;
	close(child_pipe[0]);
	close(child_pipe[1]);
	waitpid(child, &status);
}

static void time_cow(void)
{
	map_anonymous();
	touch_all();
	start_child(0, 1);
	time_writes("cow");
	end_child();
}

static void time_reuse(void)
{
	map_anonymous();
	touch_all();
	start_child(1, 0);
	end_child();
	time_writes("reuse");
}

static void time_table(void)
{
	map_anonymous();
	touch_all();
	start_child(0, 1);
	/* The tables above are paid for by the first. */
	write_page(region);
	u64 start = now_ns();
	for (size_t t = 1; t < tables; t++)
		write_page(region + t * PMD_SIZE);
	report("table", tables - 1, now_ns() - start);
	end_child();
}

static void time_zero(void)
{
	map_anonymous();
	time_writes("zero");
}

static void time_zero_page(void)
{
	map_anonymous();
	time_reads("zero-page", 1);
}

static void time_file_read(void)
{
	map_region(MAP_PRIVATE, file);
	time_reads("file-read", AROUND_PAGES);
}

static void time_file_copy(void)
{
	map_region(MAP_PRIVATE, file);
	time_writes("file-copy");
}

static void time_file_write(void)
{
	map_region(MAP_SHARED, file);
	time_writes("file-write");
}

static const struct {
	const char *name;
	void (*measure)(void);
} KINDS[] = {
	{ "zero", time_zero },
	{ "zero-page", time_zero_page },
	{ "cow", time_cow },
	{ "reuse", time_reuse },
	{ "table", time_table },
	{ "file-read", time_file_read },
	{ "file-copy", time_file_copy },
	{ "file-write", time_file_write },
};

static void answer(const char *wanted)
{
	for (size_t i = 0; i < ARRAY_SIZE(KINDS); i++) {
		if (!streq(wanted, "all") && !streq(wanted, KINDS[i].name))
			continue;
		for (int pass = 1; pass <= PASSES; pass++) {
			reporting = pass == PASSES;
			KINDS[i].measure();
		}
	}
	/* Lets go of the last one's pages. */
	map_anonymous();
	print("done\n");
}

int main(int argc, char **argv)
{
	char line[32];
	if (argc < 2) {
		print("usage: fault_path TABLES\n");
		return 2;
	}
	tables = parse_dec(argv[1]);
	prctl(PR_SET_THP_DISABLE, 1);
	reserve();
	file = syscall2(NR_memfd_create, "fault_path", 0);
	if (file < 0)
		die("make a file", file);
	syscall2(NR_ftruncate, file, tables * PMD_SIZE);
	map_region(MAP_SHARED, file);
	touch_all();
	print("ready\n");
	while (read_line(line, sizeof(line)) >= 0)
		answer(line);
	return 0;
}
