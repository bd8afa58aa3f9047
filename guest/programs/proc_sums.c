/*
 * proc_sums MIB CLONES: maps MIB of memory, forks CLONES children that each write one page in a
 * hundred, every second of them spread over all of it, and prints what /proc says of them
 * all: sums that must agree. Reads every process there is, so it should be alone on its machine.
 *
 *   processes N
 *   pss_kb, private_kb        sums of Pss and of Private_Clean + Private_Dirty over all processes
 *   vmrss_kb, walked_kb       sums of VmRSS (counters) and of Rss (a walk of the page tables)
 *   rss_differs N             processes for which the two differ
 *   vmpte_kb, pagetables_kb   sum of VmPTE, and PageTables of meminfo
 *   frames, frames_once       frames with a count in kpagecount, and those with the count 1
 *   users                     the sum of all counts
 *   mapped_kb                 AnonPages + Mapped of meminfo
 */

#include "lines.h"
#include "print.h"
#include "string.h"
#include "syscall.h"

#define MAX_CLONES 256
#define TEXT 16384
#define FRAMES 8192

static char text[TEXT];
static u64 counts[FRAMES];

static long pss, private, vmrss, walked, differs, vmpte, processes;
static long frames, once, users;

/* The number behind the first `name` of the text. */
static long row(const char *name)
{
	size_t length = strlen(name);
	for (const char *at = text; *at != 0; at++) {
		if (memcmp(at, name, length) != 0)
			continue;
		at += length;
		while (*at == ' ' || *at == '\t')
			at++;
		return (long)parse_dec(at);
	}
	return 0;
}

static int read_proc(long pid, const char *file)
{
	char path[64];
	char digits[24];
	size_t n = 0;
	size_t at = 6;
	memcpy(path, "/proc/", 6);
	for (long rest = pid; rest != 0; rest /= 10)
		digits[n++] = (char)('0' + rest % 10);
	while (n > 0)
		path[at++] = digits[--n];
	path[at++] = '/';
	memcpy(path + at, file, strlen(file) + 1);
	return read_file(path, text, TEXT) > 0;
}

static void measure_process(long pid)
{
	if (!read_proc(pid, "smaps_rollup"))
		return;
	long rss = row("\nRss:");
	processes++;
	pss += row("\nPss:");
	private += row("\nPrivate_Clean:") + row("\nPrivate_Dirty:");
	walked += rss;
	read_proc(pid, "status");
	vmrss += row("\nVmRSS:");
	vmpte += row("\nVmPTE:");
	differs += row("\nVmRSS:") != rss;
}

static void measure_frames(void)
{
	long fd = open("/proc/kpagecount", O_RDONLY);
	long n;
	while ((n = read((int)fd, counts, sizeof(counts))) > 0) {
		for (long i = 0; i < n / 8; i++) {
			frames += counts[i] != 0;
			once += counts[i] == 1;
			users += (long)counts[i];
		}
	}
	close((int)fd);
}

static void measure(long last)
{
	pss = private = vmrss = walked = differs = vmpte = processes = frames = once = users = 0;
	for (long pid = 1; pid <= last; pid++)
		measure_process(pid);
	measure_frames();
	read_file("/proc/meminfo", text, TEXT);
}

static void child(char *memory, long pages, long number, int ready, int end)
{
	char byte;
	for (long i = 0; i < pages / 100; i++) {
		long page = number % 2 == 0 ? i * 100 + number % 100 : (number * (pages / 100) + i) % pages;
		memory[page * PAGE_SIZE] = (char)number;
	}
	write(ready, "", 1);
	read(end, &byte, 1);
	exit(0);
}

int main(int argc, char **argv)
{
	int ready[2];
	int end[2];
	long mib = argc > 1 ? (long)parse_dec(argv[1]) : 64;
	long clones = argc > 2 ? (long)parse_dec(argv[2]) : 16;
	long size = mib << 20;
	long last = getpid();
	char byte;
	if (clones > MAX_CLONES)
		clones = MAX_CLONES;
	char *memory = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
	madvise(memory, (size_t)size, MADV_NOHUGEPAGE);
	for (long at = 0; at < size; at += PAGE_SIZE)
		memory[at] = 1;
	pipe(ready);
	pipe(end);
	for (long i = 0; i < clones; i++) {
		long pid = fork();
		if (pid == 0) {
			close(end[1]);
			child(memory, size / PAGE_SIZE, i, ready[1], end[0]);
		}
		last = pid > last ? pid : last;
	}
	for (long i = 0; i < clones; i++)
		read(ready[0], &byte, 1);
	/* Once to bring in every page that measuring needs. */
	measure(last);
	measure(last);
	print("processes %d\npss_kb %d\nprivate_kb %d\n", processes, pss, private);
	print("vmrss_kb %d\nwalked_kb %d\nrss_differs %d\n", vmrss, walked, differs);
	print("vmpte_kb %d\npagetables_kb %d\n", vmpte, row("\nPageTables:"));
	print("frames %d\nframes_once %d\nusers %d\n", frames, once, users);
	print("mapped_kb %d\n", row("\nAnonPages:") + row("\nMapped:"));
	close(end[1]);
	for (long i = 0; i < clones; i++)
		waitpid(-1, NULL);
	return 0;
}
