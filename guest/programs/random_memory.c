/*
 * Random memory programs: what each call returns, the map after it, and all that can be read.
 *
 *     random_memory SEED COUNT [verbose] [pss] [toggle] [ballast=MIB] [only=N,N...]
 *
 * Prints `SEED DIGEST` for COUNT seeds. Two kernels agree on a program if the digests are equal;
 * `verbose` prints the lines that go into the digest, `only` leaves the other steps out. A step is
 * the same whatever is left out: it depends on the seed and its number alone.
 *
 * A driver forks the first worker. Then it gives the word, a step each time, to one of up to six
 * workers, which fork, change their memory and end while their relatives live. Nothing happens
 * at the same time, and nothing that is printed depends on the machine: not addresses that the
 * kernel chose (named from the first one down), not process ids, not how far memory was scarce.
 *
 * `pss` counts who else maps a page, which depends on what is in swap.
 * `toggle` turns copy-on-write page tables on and off in between, where the kernel has them.
 * `ballast` now and then takes so much memory for a moment that the kernel has to reclaim.
 */

#include "abi_gup.h"
#include "abi_mm.h"
#include "print.h"
#include "probe.h"
#include "random.h"
#include "regions.h"
#include "string.h"
#include "syscall.h"

#define STEPS 70
#define SETUP_STEPS 10
#define WORKERS 6
#define FILE_PAGES 64
#define CHUNK 512
#define RW (PROT_READ | PROT_WRITE)
#define FILE_NAME "random_memory.data"

/* What the driver says to a worker, besides numbers of steps. */
#define SAY_FORK 1000
#define SAY_EXIT 1100
#define SAY_REAP 1200
#define SAY_CHECK 1300

/* The upper half of window a is in another top-level entry than its lower half. */
#define EDGE 0x10000000000UL
#define GIB (1024 * MIB)
/* Never mapped when a step ends. */
#define SCRATCH (EDGE + 2 * GIB)
#define BALLAST (EDGE + 4 * GIB)

/* A piece of address space that the program works in; addresses are printed as `b12`. */
struct window {
	char name;
	u64 start;
	u64 pages;
};

enum { WINDOW_PGD, WINDOW_PMD, WINDOW_PUD, WINDOW_BIG, WINDOW_STACK, WINDOW_HEAP, WINDOW_CHOSEN };

static struct window windows[] = {
	[WINDOW_PGD] = { 'a', EDGE - 24 * PAGE_SIZE, 48 },
	[WINDOW_PMD] = { 'b', EDGE + 3 * PMD_SIZE - 24 * PAGE_SIZE, 48 },
	[WINDOW_PUD] = { 'c', EDGE + GIB - 24 * PAGE_SIZE, 48 },
	[WINDOW_BIG] = { 'd', EDGE + 8 * PMD_SIZE, 4 * CHUNK },
	[WINDOW_STACK] = { 's', EDGE + 16 * PMD_SIZE, 1024 },
	[WINDOW_HEAP] = { 'h', 0, 64 },
	/* Where the kernel puts what has no place of its own, down from the end. */
	[WINDOW_CHOSEN] = { 'k', 0, 4096 },
};

/* Shared by driver and workers. */
struct control {
	u64 seed;
	u64 digest;
	u32 step;
	u32 slot;
	s32 pid[WORKERS];
	/* Slot of the parent, or -1 once that has ended. */
	s32 parent[WORKERS];
};

static volatile struct control *control;
static int verbose, pss, toggle;
static u64 ballast;
static u8 skipped[STEPS];
static int files[3];
static const char *const file_names[] = { "file", "read-only file", "memfd" };
static int orders[WORKERS][2], done[2], data[2];

/* -- Output: into the digest, and onto standard output if that is wanted. -- */

static char line[1024];
static size_t used;

static void drain(void)
{
	u64 digest = control->digest;
	for (size_t i = 0; i < used; i++)
		digest = (digest ^ (u8)line[i]) * 0x100000001b3UL;
	control->digest = digest;
	if (verbose)
		write(1, line, used);
	used = 0;
}

static void say_char(char c)
{
	line[used++] = c;
	if (c == '\n' || used == sizeof(line))
		drain();
}

static void say_str(const char *s)
{
	while (*s)
		say_char(*s++);
}

static void say_number(u64 n, u64 base)
{
	char digits[20];
	int count = 0;
	do {
		digits[count++] = "0123456789abcdef"[n % base];
		n /= base;
	} while (n);
	while (count)
		say_char(digits[--count]);
}

static void say_signed(s64 n)
{
	if (n < 0)
		say_char('-');
	say_number(n < 0 ? -(u64)n : (u64)n, 10);
}

/* `b12`, `b12+100` in hexadecimal within the page; what is in no window is not printed. */
static void say_addr(u64 addr)
{
	for (size_t i = 0; i < ARRAY_SIZE(windows); i++) {
		s64 offset = (s64)(addr - windows[i].start);
		if (offset < 0 || offset > (s64)(windows[i].pages * PAGE_SIZE))
			continue;
		say_char(windows[i].name);
		say_number((u64)offset / PAGE_SIZE, 10);
		if ((u64)offset % PAGE_SIZE) {
			say_char('+');
			say_number((u64)offset % PAGE_SIZE, 16);
		}
		return;
	}
	say_str(addr ? "elsewhere" : "null");
}

/* `%a` address, `%d` signed, `%x` hexadecimal, `%s` string, `%r` result of a call: address, or -errno. */
static void say(const char *format, ...)
{
	__builtin_va_list args;
	__builtin_va_start(args, format);
	for (; *format; format++) {
		if (*format != '%') {
			say_char(*format);
			continue;
		}
		u64 arg = __builtin_va_arg(args, u64);
		switch (*++format) {
		case 'a':
			say_addr(arg);
			break;
		case 'd':
			say_signed((s64)arg);
			break;
		case 'x':
			say_number(arg, 16);
			break;
		case 's':
			say_str((const char *)arg);
			break;
		default:
			if (arg > -4096UL)
				say_signed((s64)arg);
			else
				say_addr(arg);
		}
	}
	__builtin_va_end(args);
}

/* -- Random choices: a function of seed, step and order alone. -- */

static u64 state;

static void choose(u64 seed, u64 step)
{
	state = (seed * 1000003 + step + 1) * 0x9e3779b97f4a7c15UL;
	for (int i = 0; i < 4; i++)
		next_random(&state);
}

static u64 rnd(u64 n)
{
	return (next_random(&state) >> 11) % n;
}

#define PICK(array) ((array)[rnd(ARRAY_SIZE(array))])

static u64 at_most(u64 n, u64 limit)
{
	return n < limit ? n : limit;
}

struct range {
	u64 start;
	u64 pages;
};

static struct range pages_of(int window, u64 offset, u64 pages)
{
	return (struct range){ windows[window].start + offset * PAGE_SIZE, pages };
}

static struct range small_range(int window)
{
	u64 offset = rnd(48);
	u64 left = 48 - offset;
	return pages_of(window, offset, 1 + rnd(at_most(left, 12)));
}

/* Whole leaf tables, or something around an edge between two. */
static struct range big_range(void)
{
	u64 chunk = rnd(4);
	if (rnd(2))
		return pages_of(WINDOW_BIG, chunk * CHUNK, (1 + rnd(4 - chunk)) * CHUNK);
	u64 offset = chunk * CHUNK + (chunk ? rnd(17) - 8 : rnd(8));
	return pages_of(WINDOW_BIG, offset, 1 + rnd(rnd(3) ? 12 : 500));
}

static struct range any_range(void)
{
	/* One choice a statement: compilers order the operands of an expression as they like. */
	u64 window = rnd(16);
	u64 offset = rnd(96);
	u64 pages = 1 + rnd(12);
	switch (window) {
	default:
		return small_range((int)rnd(3));
	case 11:
	case 12:
		return big_range();
	case 13:
		return pages_of(WINDOW_CHOSEN, 4095 - offset, 1);
	case 14:
		return pages_of(WINDOW_CHOSEN, 3988 + offset, pages);
	case 15:
		if (offset % 2)
			return pages_of(WINDOW_HEAP, offset / 3, pages);
		return pages_of(WINDOW_STACK, offset < 48 ? 700 + offset / 3 : 950 + offset * 2 / 3, pages);
	}
}

/* A page that steps read and write: in the big window, one of few in each table. */
static u64 any_page(void)
{
	static const u64 in_chunk[] = { 0, 1, 255, 510, 511 };
	u64 addr = any_range().start;
	u64 offset = (addr - windows[WINDOW_BIG].start) / PAGE_SIZE;
	if (offset >= windows[WINDOW_BIG].pages)
		return addr;
	return pages_of(WINDOW_BIG, offset - offset % CHUNK + PICK(in_chunk), 1).start;
}

/* Words of a page that are read and written. */
static const u64 word_offsets[] = { 0, 8, 1016, 2048, 4080, 4088 };

static u64 any_word(void)
{
	u64 page = any_page();
	return page + PICK(word_offsets);
}

static u64 new_value(void)
{
	return next_random(&state) | 1;
}

static int any_prot(void)
{
	static const int prots[] = {
		PROT_NONE, PROT_READ, RW, RW, RW, RW, PROT_READ | PROT_EXEC, RW | PROT_EXEC,
	};
	return PICK(prots);
}

/* -- What this process has, by /proc -- */

/* Calls visit for each part of a region that lies in a window. */
static void in_windows(void (*visit)(const struct region *, u64 start, u64 end, int window))
{
	for (size_t w = 0; w < ARRAY_SIZE(windows); w++) {
		u64 from = windows[w].start;
		u64 to = from + windows[w].pages * PAGE_SIZE;
		for (size_t i = 0; i < region_count; i++) {
			const struct region *region = &regions[i];
			u64 start = region->start > from ? region->start : from;
			u64 end = region->end < to ? region->end : to;
			if (start < end)
				visit(region, start, end, (int)w);
		}
	}
}

static void say_region(const struct region *region, u64 start, u64 end, int window)
{
	say(" %a-%d%s", start, (end - windows[window].start) / PAGE_SIZE, region->perms);
	if (region->file) {
		say_char(region->file);
		say_number(region->pgoff, 10);
	}
}

static void say_map(void)
{
	read_regions("/proc/self/maps");
	say(" map");
	in_windows(say_region);
	say("\n");
}

/* Pages that are this process's own, present or in swap. Swap of a file is not. */
static void say_region_details(const struct region *region, u64 start, u64 end, int window)
{
	say_region(region, start, end, window);
	say(":%s", region->flags);
	if (!region->file)
		say(":%d", region->anonymous_kib / 4);
}

/* How many of the pages other processes have, too. */
static void say_region_users(const struct region *region, u64 start, u64 end, int window)
{
	if (region->file || region->anonymous_kib == 0)
		return;
	say(" %a:%d:%d:%d", start, region->private_kib / 4, region->shared_kib / 4, region->pss_kib);
}

/* What it was before there were windows, which depends on the processor and the compiler. */
static u64 status_before[4];
static const char *const status_names[] = { "VmSize", "VmLck", "VmData", "VmStk" };

static void say_status(void)
{
	status_kib(NULL);
	for (size_t i = 0; i < ARRAY_SIZE(status_names); i++)
		say(" %s %d", status_names[i], (status_kib(status_names[i]) - status_before[i]) / 4);
}

static u64 sum;

static void add_words(u64 page)
{
	for (size_t i = 0; i < ARRAY_SIZE(word_offsets); i++) {
		u64 value = 0;
		int fault = probe_load(page + word_offsets[i], &value);
		sum = (sum + value + (u64)fault) * 0x100000001b3UL;
		if (fault)
			return;
	}
}

static void add_region(const struct region *region, u64 start, u64 end, int window)
{
	if (region->perms[0] != 'r')
		return;
	for (u64 page = start; page < end; page += PAGE_SIZE)
		add_words(page);
}

static void add_region_fully(const struct region *region, u64 start, u64 end, int window)
{
	if (window == WINDOW_BIG) {
		add_region(region, start, end, window);
		return;
	}
	if (region->perms[0] != 'r')
		return;
	for (u64 page = start; page < end; page += PAGE_SIZE) {
		u64 digest = 0;
		int fault = probe_load_page(page, &digest);
		sum = (sum + digest + (u64)fault) * 0x100000001b3UL;
	}
}

/* All that this process can read, and what it takes. */
static void check(void)
{
	sum = 0;
	read_regions("/proc/self/maps");
	in_windows(add_region_fully);
	say("check %x", sum);
	say_status();
	read_regions("/proc/self/smaps");
	in_windows(say_region_details);
	say("\n");
	if (pss) {
		say("users");
		in_windows(say_region_users);
		say("\n");
	}
}

/* -- Steps -- */

static void map_something(struct range r, int fixed)
{
	static const int kinds[] = { 0, 0, 0, 0, 1, 2, 2, 3, 4, 5, 6 };
	static const char *const names[] = {
		"anon", "shared", "file", "private file", "read-only file", "memfd", "private memfd",
	};
	int kind = PICK(kinds);
	int prot = any_prot();
	int is_private = kind == 0 || kind == 3 || kind == 6;
	int flags = is_private ? MAP_PRIVATE : MAP_SHARED;
	int fd = -1;
	if (kind < 2)
		flags |= MAP_ANONYMOUS;
	else
		fd = files[kind >= 5 ? 2 : kind == 4 ? 1 : 0];
	u64 pgoff = kind < 2 ? 0 : rnd(FILE_PAGES);
	if (rnd(8) == 0)
		flags |= MAP_POPULATE;
	if (rnd(8) == 0)
		flags |= MAP_NORESERVE;
	u64 how = fixed ? 0 : rnd(12);
	if (how < 8)
		flags |= MAP_FIXED;
	else if (how == 8)
		flags |= MAP_FIXED_NOREPLACE;
	/* The kernel aligns what would fill whole leaf tables. */
	if (how > 8)
		r.pages = at_most(r.pages, 12);
	if (how > 9)
		r.start = 0;
	long result = syscall6(NR_mmap, (long)r.start, (long)(r.pages * PAGE_SIZE), prot, flags, fd,
			       (long)(pgoff * PAGE_SIZE));
	say("mmap %a+%d prot %d flags %x %s %d = %r", r.start, r.pages, (long)prot, (long)flags,
	    names[kind], pgoff, result);
}

static void step_map(struct range r)
{
	map_something(r, 0);
}

static void step_unmap(struct range r)
{
	say("munmap %a+%d = %d", r.start, r.pages, munmap((void *)r.start, r.pages * PAGE_SIZE));
}

static void step_protect(struct range r)
{
	int prot = any_prot();
	if (r.start >= windows[WINDOW_STACK].start && rnd(4) == 0)
		prot |= PROT_GROWSDOWN;
	say("mprotect %a+%d prot %x = %d", r.start, r.pages, (long)prot,
	    mprotect((void *)r.start, r.pages * PAGE_SIZE, prot));
}

static int window_of(u64 addr)
{
	int w = 0;
	while (addr - windows[w].start >= windows[w].pages * PAGE_SIZE)
		w++;
	return w;
}

/* Pages from `addr` to the end of its window. */
static u64 room(u64 addr)
{
	struct window *window = &windows[window_of(addr)];
	return window->pages - (addr - window->start) / PAGE_SIZE;
}

/*
 * What MREMAP_DONTUNMAP leaves behind depends on the version of Linux in three ways: whether all
 * of a locked mapping is unlocked or a part, whether the mapping may merge with its own copy, and
 * which offset memory without pages has afterwards. So it is unlocked before, copied to another
 * window, and what stays moves away and back, which gives it the offset of its address.
 */
static void step_remap_dontunmap(struct range from)
{
	u64 length = at_most(from.pages, room(from.start));
	int flags = MREMAP_MAYMOVE | MREMAP_DONTUNMAP;
	struct range to = small_range((window_of(from.start) + 1) % 3);
	u64 how = rnd(8);
	/* Without a place, or with one that is taken, it goes where the kernel chooses. */
	if (how < 5 || window_of(from.start) == WINDOW_CHOSEN)
		flags |= MREMAP_FIXED;
	else if (how < 7)
		to.start = 0;
	length = at_most(length, flags & MREMAP_FIXED ? room(to.start) : 12) * PAGE_SIZE;
	/* One by one, so that holes do not matter. */
	for (u64 at = 0; at < length; at += PAGE_SIZE)
		syscall2(NR_munlock, from.start + at, PAGE_SIZE);
	void *result = mremap((void *)from.start, length, length, flags, (void *)to.start);
	say("mremap %a+%d to %a flags %d = %r", from.start, length / PAGE_SIZE, to.start, (long)flags,
	    result);
	if (mmap_failed(result))
		return;
	flags = MREMAP_MAYMOVE | MREMAP_FIXED;
	void *away = mremap((void *)from.start, length, length, flags, (void *)SCRATCH);
	void *back = mremap((void *)SCRATCH, length, length, flags, (void *)from.start);
	say(", %d, %r", away == (void *)SCRATCH ? 0L : (long)away, back);
}

static void step_remap(struct range from)
{
	struct range to = any_range();
	u64 old = rnd(4) ? from.pages : 1 + rnd(from.pages);
	u64 new = at_most(rnd(2) ? old : to.pages, at_most(room(from.start), room(to.start)));
	int flags = MREMAP_MAYMOVE | MREMAP_FIXED;
	switch (rnd(8)) {
	case 0:
		flags = 0;
		break;
	case 1:
		flags = MREMAP_MAYMOVE;
		new = at_most(new, 12);
		break;
	case 2:
	case 3:
		step_remap_dontunmap(from);
		return;
	case 4:
		old = rnd(2) ? 0 : old;
	}
	void *result = mremap((void *)from.start, old * PAGE_SIZE, new * PAGE_SIZE, flags,
			      (void *)to.start);
	say("mremap %a+%d to %a+%d flags %d = %r", from.start, old,
	    flags & MREMAP_FIXED ? to.start : 0, new, (long)flags, result);
}

static void step_advise(struct range r)
{
	static const int advices[] = {
		MADV_DONTNEED, MADV_DONTNEED, MADV_DONTNEED, MADV_DONTFORK, MADV_DONTFORK, MADV_DOFORK,
		MADV_WIPEONFORK, MADV_WIPEONFORK, MADV_KEEPONFORK, MADV_COLD, MADV_PAGEOUT, MADV_PAGEOUT,
		MADV_PAGEOUT, MADV_PAGEOUT, MADV_WILLNEED, MADV_POPULATE_READ, MADV_POPULATE_WRITE,
		MADV_REMOVE, MADV_GUARD_INSTALL, MADV_GUARD_INSTALL, MADV_GUARD_REMOVE,
		MADV_DONTNEED_LOCKED, MADV_DONTDUMP, MADV_DODUMP, MADV_RANDOM, MADV_SEQUENTIAL, MADV_NORMAL,
	};
	int advice = PICK(advices);
	say("madvise %a+%d %d = %d", r.start, r.pages, (long)advice,
	    madvise((void *)r.start, r.pages * PAGE_SIZE, advice));
}

/* What MADV_FREE leaves behind is for the kernel to choose, so all of it is overwritten. */
static void step_free(struct range r)
{
	r.pages = at_most(r.pages, 12);
	long result = mprotect((void *)r.start, r.pages * PAGE_SIZE, RW);
	say("free %a+%d: mprotect = %d", r.start, r.pages, result);
	if (result)
		return;
	result = madvise((void *)r.start, r.pages * PAGE_SIZE, MADV_FREE);
	u64 value = new_value();
	u64 faults = 0;
	for (u64 i = 0; i < r.pages; i++)
		faults = faults * 7 + (u64)probe_store_page(r.start + i * PAGE_SIZE, value + i);
	say(", madvise = %d, stores %d", result, faults);
}

static void step_lock(struct range r)
{
	static const char *const names[] = { "mlock", "munlock", "mlock2", "mlockall", "munlockall" };
	static const int calls[] = {
		NR_mlock, NR_mlock, NR_munlock, NR_munlock, NR_mlock2, NR_mlockall, NR_munlockall,
	};
	u64 which = rnd(28);
	which = which < 25 ? which % 5 : which - 20;
	if (which > 6)
		which = 6;
	int flags = which == 4 ? MLOCK_ONFAULT : (int)(1 + rnd(2));
	long result = which > 4 ? syscall1(calls[which], flags)
				: syscall3(calls[which], r.start, r.pages * PAGE_SIZE, flags);
	say("%s %a+%d %d = %d", names[which < 2 ? 0 : which < 4 ? 1 : which - 2], r.start, r.pages,
	    (long)flags, result);
}

static void step_poke(struct range r)
{
	say("poke");
	for (u64 n = 1 + rnd(6); n > 0; n--) {
		u64 addr = any_word();
		u64 value = 0;
		if (rnd(3)) {
			value = new_value();
			say(" w%a=%d", addr, (long)probe_store(addr, value));
		} else {
			int fault = probe_load(addr, &value);
			say(" r%a=%d,%x", addr, (long)fault, value);
		}
	}
}

/* One word on each page: they become present, one after the other. */
static void step_fill(struct range r)
{
	u64 value = new_value();
	u64 faults = 0;
	u64 at = PICK(word_offsets);
	if (r.pages > 12 && rnd(4))
		r = small_range((int)rnd(3));
	for (u64 i = 0; i < r.pages; i++)
		faults = faults * 7 + (u64)probe_store(r.start + i * PAGE_SIZE + at, value + i);
	say("fill %a+%d = %x", r.start + at, r.pages, faults);
}

/* The kernel reads and writes this process's memory. */
static void step_copy(struct range r)
{
	u64 addr = any_word();
	int which = rnd(2) ? 2 : 0;
	int fd = files[which];
	u64 offset = rnd(FILE_PAGES) * PAGE_SIZE;
	offset += PICK(word_offsets);
	u64 word = new_value();
	u64 back = 0;
	long first;
	long second;
	switch (rnd(4)) {
	case 0:
		/* A write of what cannot be read lengthens a file on Linux's tmpfs: there is none. */
		first = probe_load(addr, &back);
		if (first == 0)
			first = syscall4(NR_pwrite64, fd, addr, 8, offset);
		say("pwrite %a to %s %d = %d", addr, file_names[which], offset, first);
		return;
	case 1:
		first = syscall4(NR_pread64, fd, addr, 8, offset);
		say("pread %a from %s %d = %d", addr, file_names[which], offset, first);
		return;
	case 2:
		first = write(data[1], (void *)addr, 8);
		second = first == 8 ? read(data[0], &back, 8) : 0;
		say("write %a = %d, %d, %x", addr, first, second, back);
		return;
	default:
		first = write(data[1], &word, 8);
		second = read(data[0], (void *)addr, 8);
		say("read %a = %d, %d", addr, first, second);
		/* What could not be stored is still in the pipe. */
		if (second != 8)
			read(data[0], &back, 8);
	}
}

static void step_file(struct range r)
{
	static const u64 sizes[] = { 0, 10, 32, FILE_PAGES, FILE_PAGES, FILE_PAGES };
	int which = rnd(2) ? 2 : 0;
	int fd = files[which];
	if (rnd(2)) {
		u64 size = PICK(sizes) * PAGE_SIZE;
		size += rnd(2) ? 0 : rnd(PAGE_SIZE);
		say("ftruncate %s %d = %d", file_names[which], size, syscall2(NR_ftruncate, fd, size));
		return;
	}
	u64 page = rnd(FILE_PAGES);
	u64 start = page * PAGE_SIZE + (rnd(2) ? 0 : 2048);
	u64 length = (1 + rnd(8)) * PAGE_SIZE;
	say("punch %s %d+%d = %d", file_names[which], start, length,
	    syscall4(NR_fallocate, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, start, length));
}

static void step_brk(struct range r)
{
	u64 wanted = windows[WINDOW_HEAP].start + rnd(40) * PAGE_SIZE;
	wanted -= rnd(4) ? 0 : 8;
	say("brk %a = %a", wanted, syscall1(NR_brk, wanted));
}

/* A stack in a window of its own: mapped, or touched below its end. */
static void step_stack(struct range r)
{
	u64 start = windows[WINDOW_STACK].start;
	static const u64 depths[] = { 1, 2, 8, 100, 240, 255, 256, 257, 300 };
	u64 addr = start + (1000 - PICK(depths)) * PAGE_SIZE;
	u64 value = new_value();
	switch (rnd(4)) {
	case 0:
		addr = start + (1000 + rnd(4)) * PAGE_SIZE;
		say("mmap stack %a = %r", addr,
		    mmap((void *)addr, 8 * PAGE_SIZE, RW,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN));
		return;
	case 1:
		say("stack pread %a = %d", addr, syscall4(NR_pread64, files[0], addr, 8, 0));
		return;
	default:
		say("stack w%a = %d", addr, (long)probe_store(addr, value));
	}
}

static void step_sync(struct range r)
{
	int flags = (int)(1 << rnd(3));
	say("msync %a+%d %d = %d", r.start, r.pages, (long)flags,
	    syscall3(NR_msync, r.start, r.pages * PAGE_SIZE, flags));
}

static void step_sum(struct range r)
{
	sum = 0;
	read_regions("/proc/self/maps");
	in_windows(add_region);
	say("sum %x", sum);
}

/* The first steps map the windows, so that the others find something. */
static void step_setup(u64 step)
{
	struct range r = small_range(0);
	if (step < 3)
		r = pages_of((int)step, 0, 48);
	else if (step == 3)
		r = pages_of(WINDOW_BIG, 0, 4 * CHUNK);
	else
		r = any_range();
	if (step < 4 && rnd(4)) {
		say("mmap %a+%d = %r\n", r.start, r.pages,
		    mmap((void *)r.start, r.pages * PAGE_SIZE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED));
		if (rnd(2))
			step_fill(step == 3 ? pages_of(WINDOW_BIG, rnd(3) * CHUNK, CHUNK) : r);
		return;
	}
	map_something(r, step < 4);
}

/* One process reads and writes another's memory, or its own. */
static void step_remote(struct range r)
{
	static const char *const names[] = { "readv", "writev", "mem read", "mem write" };
	u64 addr = any_word();
	u64 value = new_value();
	u64 slot = rnd(WORKERS);
	u64 how = rnd(4);
	long result;
	if (control->pid[slot] <= 0)
		slot = control->slot;
	/* On Linux reading by this call, and no other, gives the other process pages of its own. */
	if (pss && how == 0)
		how = 2;
	if (how < 2) {
		struct iovec local = { &value, 8 };
		struct iovec remote = { (void *)addr, 8 };
		result = syscall6(how ? NR_process_vm_writev : NR_process_vm_readv, control->pid[slot],
				  (long)&local, 1, (long)&remote, 1, 0);
	} else {
		char path[] = "/proc/0000000000/mem";
		u64 pid = (u64)control->pid[slot];
		for (int i = 15; i > 5; i--, pid /= 10)
			path[i] = (char)('0' + pid % 10);
		/* A process id has no zeroes in front. */
		char *number = path + 6;
		while (*number == '0')
			number++;
		memcpy(number - 6, "/proc/", 6);
		int fd = (int)open(number - 6, O_RDWR);
		result = syscall4(how == 3 ? NR_pwrite64 : NR_pread64, fd, &value, 8, addr);
		close(fd);
	}
	say("%s of p%d %a = %d", names[how], slot, addr, result);
	if (how % 2 == 0)
		say(", %x", result == 8 ? value : 0);
}

static void step_splice(struct range r)
{
	struct iovec vec = { (void *)any_word(), 8 };
	u64 back = 0;
	long first = syscall4(NR_vmsplice, data[1], &vec, 1, 0);
	if (first == 8)
		read(data[0], &back, 8);
	say("vmsplice %a = %d, %x", (u64)vec.base, first, back);
}

/* One call while there may be little more than there is. Of a kind that changes nothing if it fails. */
static void step_limit(struct range r)
{
	u64 pages = rnd(16);
	u64 limit[2] = { 0, ~0UL };
	u64 n = 1 + rnd(12);
	u64 how = rnd(4);
	/* As in step_remap_dontunmap(): the copy must not come to lie beside the original. */
	if (how == 3 && window_of(r.start) == WINDOW_CHOSEN)
		how = 0;
	u64 place = how == 1 ? windows[WINDOW_HEAP].start + rnd(40) * PAGE_SIZE : r.start;
	long result;
	status_kib(NULL);
	limit[0] = (status_kib("VmSize") + pages * 4) * 1024;
	syscall4(NR_prlimit64, 0, RLIMIT_AS, limit, NULL);
	if (how == 0)
		result = (long)mmap(NULL, n * PAGE_SIZE, RW, MAP_PRIVATE | MAP_ANONYMOUS);
	else if (how == 1)
		result = syscall1(NR_brk, place);
	else if (how == 2)
		result = (long)mremap((void *)place, PAGE_SIZE, n * PAGE_SIZE, MREMAP_MAYMOVE, NULL);
	else
		result = (long)mremap((void *)place, n * PAGE_SIZE, n * PAGE_SIZE,
				      MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
	limit[0] = ~0UL;
	syscall4(NR_prlimit64, 0, RLIMIT_AS, limit, NULL);
	say("with %d pages: call %d %a+%d = %r", pages, how, place, n, result);
}

static void take_ballast(void)
{
	u8 *memory = mmap((void *)BALLAST, ballast, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED);
	/* mlockall() may have locked it. */
	syscall2(NR_munlock, memory, ballast);
	mprotect(memory, ballast, RW);
	if (mmap_failed(memory))
		return;
	for (u64 at = 0; at < ballast; at += PAGE_SIZE)
		memory[at] = 1;
	munmap(memory, ballast);
}

/* What a step does: how often of all weights, and whether it may change the map. */
static const struct action {
	u32 weight;
	u32 maps;
	void (*run)(struct range r);
} actions[] = {
	{ 24, 1, step_map },
	{ 14, 1, step_unmap },
	{ 16, 1, step_protect },
	{ 26, 1, step_remap },
	{ 32, 1, step_advise },
	{ 8, 1, step_lock },
	{ 6, 1, step_brk },
	{ 6, 1, step_stack },
	{ 4, 1, step_free },
	{ 2, 1, step_limit },
	{ 24, 0, step_poke },
	{ 16, 0, step_fill },
	{ 12, 0, step_copy },
	{ 12, 1, step_remote },
	{ 2, 0, step_splice },
	{ 6, 0, step_file },
	{ 2, 0, step_sync },
	{ 4, 0, step_sum },
};

static const struct action *choose_action(void)
{
	u64 all = 0;
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++)
		all += actions[i].weight;
	u64 at = rnd(all);
	const struct action *action = actions;
	for (; at >= action->weight; action++)
		at -= action->weight;
	return action;
}

static void perform(u64 step)
{
	choose(control->seed, step);
	u64 aside = rnd(16);
	if (toggle && aside < 3)
		prctl(PR_COW_PTE, aside < 2 ? COW_PTE_SET : COW_PTE_CLEAR);
	if (ballast && aside == 3)
		take_ballast();
	if (step < SETUP_STEPS) {
		step_setup(step);
		say_map();
		return;
	}
	const struct action *action = choose_action();
	action->run(any_range());
	if (action->maps)
		say_map();
	else
		say("\n");
}

/* -- Workers and their driver -- */

static void order(int slot, u32 what)
{
	char byte;
	write(orders[slot][1], &what, sizeof(what));
	read(done[0], &byte, 1);
}

static void reap(int slot)
{
	int status = 0;
	long pid = waitpid(control->pid[slot], &status);
	say("wait p%d: %s %x\n", (long)slot, pid > 0 ? "status" : "error", pid > 0 ? (long)status : pid);
}

static void worker(int slot);

static void fork_worker(int slot)
{
	long pid = fork();
	if (pid == 0) {
		used = 0;
		worker(slot);
	}
	control->pid[slot] = (s32)pid;
	say("fork p%d%s\n", (long)slot, pid < 0 ? " failed" : "");
}

/* Does what the driver says, for ever. */
static void worker(int slot)
{
	for (;;) {
		u32 what;
		if (read(orders[slot][0], &what, sizeof(what)) != sizeof(what))
			exit(98);
		control->slot = (u32)slot;
		say("%d p%d ", (long)control->step, (long)slot);
		if (what < STEPS)
			perform(what);
		else if (what < SAY_EXIT)
			fork_worker((int)what - SAY_FORK);
		else if (what < SAY_REAP)
			say("exit\n");
		else if (what < SAY_CHECK)
			reap((int)what - SAY_REAP);
		else
			check();
		write(done[1], "", 1);
		if (what >= SAY_EXIT && what < SAY_REAP)
			exit((int)what - SAY_EXIT);
	}
}

static int live_worker(u64 wanted)
{
	for (int i = 0;; i++) {
		int slot = (int)((wanted + (u64)i) % WORKERS);
		if (control->pid[slot] > 0)
			return slot;
	}
}

static int free_slot(void)
{
	for (int slot = 0; slot < WORKERS; slot++) {
		if (control->pid[slot] == 0)
			return slot;
	}
	return -1;
}

static int live_count(void)
{
	int n = 0;
	for (int slot = 0; slot < WORKERS; slot++)
		n += control->pid[slot] > 0;
	return n;
}

/* After its end: its parent, if it still has one, says how it ended. */
static void bury(int slot)
{
	int status;
	int parent = control->parent[slot];
	if (parent >= 0)
		order(parent, SAY_REAP + (u32)slot);
	else
		waitpid(control->pid[slot], &status);
	control->pid[slot] = 0;
	for (int i = 0; i < WORKERS; i++) {
		if (control->parent[i] == slot)
			control->parent[i] = -1;
	}
}

static void drive(u32 step)
{
	control->step = step;
	choose(control->seed, step + 500);
	int slot = live_worker(rnd(WORKERS));
	u64 what = step < SETUP_STEPS ? 99 : rnd(100);
	if (what < 10) {
		int child = free_slot();
		if (child < 0)
			return;
		control->parent[child] = slot;
		order(slot, SAY_FORK + (u32)child);
	} else if (what < 14 && live_count() > 1) {
		order(slot, SAY_EXIT + step);
		bury(slot);
	} else if (what < 15 && live_count() > 1) {
		kill(control->pid[slot], SIGKILL);
		bury(slot);
	} else {
		order(slot, step);
	}
}

static void run_program(u64 seed)
{
	control->seed = seed;
	control->digest = 0xcbf29ce484222325UL;
	for (int slot = 0; slot < WORKERS; slot++)
		control->parent[slot] = -1;
	for (u64 page = 0; page < FILE_PAGES; page++) {
		u64 value = page + seed;
		for (int i = 0; i < 3; i += 2) {
			if (page == 0) {
				syscall2(NR_ftruncate, files[i], 0);
				syscall2(NR_ftruncate, files[i], FILE_PAGES * PAGE_SIZE);
			}
			/* Some pages stay holes. */
			if (page % 4)
				syscall4(NR_pwrite64, files[i], &value, 8, page * PAGE_SIZE + 2048);
		}
	}
	long pid = fork();
	if (pid == 0)
		worker(0);
	control->pid[0] = (s32)pid;
	for (u32 step = 0; step < STEPS; step++) {
		if (!skipped[step])
			drive(step);
	}
	control->step = STEPS;
	choose(seed, 999);
	for (int slot = 0; slot < WORKERS; slot++) {
		if (control->pid[slot] > 0 && rnd(2))
			order(slot, SAY_CHECK);
	}
	while (live_count()) {
		int slot = live_worker(rnd(WORKERS));
		order(slot, SAY_CHECK);
		order(slot, SAY_EXIT);
		bury(slot);
	}
	print("%d %x\n", seed, control->digest);
}

/* Finds the place below which the kernel puts mappings, with nothing free above it. */
static void find_chosen_window(void)
{
	u64 last = 0;
	for (int in_a_row = 0; in_a_row < 8;) {
		u64 addr = (u64)mmap(NULL, PAGE_SIZE, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS);
		in_a_row = addr == last - PAGE_SIZE ? in_a_row + 1 : 0;
		last = addr;
	}
	windows[WINDOW_CHOSEN].start = last - windows[WINDOW_CHOSEN].pages * PAGE_SIZE;
}

static void prepare(void)
{
	/* So that stacks meet it. */
	u64 stack_limit[2] = { MIB, MIB };
	/* So that none of the capabilities matters. */
	u64 unlimited[2] = { ~0UL, ~0UL };
	prctl(PR_SET_THP_DISABLE, 1);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	syscall4(NR_prlimit64, 0, RLIMIT_STACK, stack_limit, NULL);
	syscall4(NR_prlimit64, 0, RLIMIT_MEMLOCK, unlimited, NULL);
	probe_init();
	/* With a hole before it, so that it does not matter whether the heap begins at the data's end. */
	u64 brk = ((u64)syscall1(NR_brk, 0) + PAGE_SIZE - 1) / PAGE_SIZE * PAGE_SIZE;
	syscall1(NR_brk, brk + PAGE_SIZE);
	munmap((void *)brk, PAGE_SIZE);
	windows[WINDOW_HEAP].start = brk + PAGE_SIZE;
	files[0] = (int)syscall4(NR_openat, AT_FDCWD, FILE_NAME, O_RDWR | O_CREAT, 0600);
	files[1] = (int)open(FILE_NAME, O_RDONLY);
	syscall3(NR_unlinkat, AT_FDCWD, FILE_NAME, 0);
	files[2] = (int)syscall2(NR_memfd_create, "memfd", 0);
	for (int slot = 0; slot < WORKERS; slot++)
		pipe(orders[slot]);
	pipe(done);
	pipe(data);
	control = mmap(NULL, PAGE_SIZE, RW, MAP_SHARED | MAP_ANONYMOUS);
	find_chosen_window();
	status_kib(NULL);
	for (size_t i = 0; i < ARRAY_SIZE(status_names); i++)
		status_before[i] = status_kib(status_names[i]);
}

static void parse_only(const char *list)
{
	memset(skipped, 1, sizeof(skipped));
	while (*list) {
		u64 step = parse_dec(list);
		if (step < STEPS)
			skipped[step] = 0;
		while (*list >= '0' && *list <= '9')
			list++;
		if (*list)
			list++;
	}
}

int main(int argc, char **argv)
{
	if (argc < 3) {
		print("usage: random_memory SEED COUNT [verbose] [pss] [toggle] [ballast=MIB] [only=N,N...]\n");
		return 2;
	}
	for (int i = 3; i < argc; i++) {
		if (streq(argv[i], "verbose"))
			verbose = 1;
		else if (streq(argv[i], "pss"))
			pss = 1;
		else if (streq(argv[i], "toggle"))
			toggle = 1;
		else if (memcmp(argv[i], "ballast=", 8) == 0)
			ballast = parse_dec(argv[i] + 8) * MIB;
		else if (memcmp(argv[i], "only=", 5) == 0)
			parse_only(argv[i] + 5);
	}
	prepare();
	u64 seed = parse_dec(argv[1]);
	for (u64 end = seed + parse_dec(argv[2]); seed < end; seed++)
		run_program(seed);
	return 0;
}
