/*
 * Locked memory against RLIMIT_MEMLOCK, with and without CAP_IPC_LOCK. Run as root.
 */

#include "abi_mm.h"
#include "ksft.h"
#include "lines.h"
#include "print.h"
#include "string.h"
#include "syscall.h"

#if defined(__x86_64__)
#define NR_capget 125
#define NR_capset 126
#else
#define NR_capget 90
#define NR_capset 91
#endif

#define RLIMIT_MEMLOCK 8
#define MAP_LOCKED 0x2000
#define MCL_CURRENT 1
#define MCL_FUTURE 2
#define MCL_ONFAULT 4
#define MLOCK_ONFAULT 1
#define LIMIT (16 * PAGE_SIZE)
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

struct cap_header {
	u32 version;
	s32 pid;
};

static long mlock(void *addr, size_t len)
{
	return syscall2(NR_mlock, addr, len);
}

static long munlock(void *addr, size_t len)
{
	return syscall2(NR_munlock, addr, len);
}

static void limit(u64 bytes)
{
	struct rlimit both = { bytes, bytes };
	syscall4(NR_prlimit64, 0, RLIMIT_MEMLOCK, &both, NULL);
}

static long drop_caps(void)
{
	struct cap_header header = { 0x20080522, 0 };
	u32 data[6];
	memset(data, 0, sizeof(data));
	return syscall2(NR_capset, &header, data);
}

static u32 effective_caps(void)
{
	struct cap_header header = { 0x20080522, 0 };
	u32 data[6];
	memset(data, 0, sizeof(data));
	syscall2(NR_capget, &header, data);
	return data[0];
}

/* kB of the row VmLck of /proc/self/status. */
static long vm_lck(void)
{
	static char text[4096];
	long n = read_file("/proc/self/status", text, sizeof(text));
	for (long i = 0; i + 6 < n; i++) {
		if (text[i] != 'V' || text[i + 2] != 'L' || text[i + 3] != 'c')
			continue;
		long kb = 0;
		for (i += 6; text[i] == ' ' || text[i] == '\t'; i++)
			;
		for (; text[i] >= '0' && text[i] <= '9'; i++)
			kb = kb * 10 + text[i] - '0';
		return kb;
	}
	return -1;
}

static u8 *map(size_t pages)
{
	return mmap(NULL, pages * PAGE_SIZE, RW, ANON);
}

static int root_is_free(void)
{
	u8 *area = map(32);
	limit(LIMIT);
	if (mlock(area, 32 * PAGE_SIZE) != 0 || vm_lck() != 128)
		return 1;
	if (syscall1(NR_mlockall, MCL_CURRENT | MCL_FUTURE) != 0)
		return 2;
	syscall0(NR_munlockall);
	limit(0);
	return mlock(area, PAGE_SIZE) != 0 || vm_lck() != 4;
}

static int within_limit(void)
{
	u8 *area = map(32);
	limit(LIMIT);
	if (drop_caps() != 0 || effective_caps() != 0)
		return 1;
	if (mlock(area, 17 * PAGE_SIZE) != -ENOMEM || vm_lck() != 0)
		return 2;
	if (mlock(area + 100, 16 * PAGE_SIZE) != -ENOMEM)
		return 3;
	if (mlock(area, 16 * PAGE_SIZE) != 0 || vm_lck() != 64)
		return 4;
	if (mlock(area, 16 * PAGE_SIZE) != 0 || mlock(area + 8 * PAGE_SIZE, 9 * PAGE_SIZE) != -ENOMEM)
		return 5;
	if (munlock(area, 8 * PAGE_SIZE) != 0 || vm_lck() != 32)
		return 6;
	if (syscall3(NR_mlock2, area + 16 * PAGE_SIZE, 8 * PAGE_SIZE, MLOCK_ONFAULT) != 0)
		return 7;
	if (vm_lck() != 64 || syscall3(NR_mlock2, area, PAGE_SIZE, 2) != -EINVAL)
		return 8;
	munmap(area, 32 * PAGE_SIZE);
	return vm_lck() != 0;
}

static int mappings(void)
{
	limit(LIMIT);
	drop_caps();
	if ((long)mmap(NULL, 17 * PAGE_SIZE, RW, ANON | MAP_LOCKED) != -EAGAIN)
		return 1;
	u8 *area = mmap(NULL, 10 * PAGE_SIZE, RW, ANON | MAP_LOCKED);
	if (mmap_failed(area) || vm_lck() != 40)
		return 2;
	if ((long)mremap(area, 10 * PAGE_SIZE, 17 * PAGE_SIZE, MREMAP_MAYMOVE, NULL) != -EAGAIN)
		return 3;
	if (mmap_failed(mremap(area, 10 * PAGE_SIZE, 16 * PAGE_SIZE, MREMAP_MAYMOVE, NULL)))
		return 4;
	return vm_lck() != 64;
}

static int all(void)
{
	limit(LIMIT);
	map(32);
	drop_caps();
	if (syscall1(NR_mlockall, MCL_CURRENT) != -ENOMEM)
		return 1;
	if (syscall1(NR_mlockall, MCL_FUTURE | MCL_ONFAULT) != 0)
		return 2;
	if ((long)mmap(NULL, 17 * PAGE_SIZE, RW, ANON) != -EAGAIN)
		return 3;
	if (mmap_failed(map(15)) || vm_lck() != 60)
		return 4;
	u64 brk = syscall1(NR_brk, 0);
	if ((u64)syscall1(NR_brk, brk + 4 * PAGE_SIZE) != brk)
		return 5;
	syscall0(NR_munlockall);
	return vm_lck() != 0 || mmap_failed(map(17));
}

static int no_limit_at_all(void)
{
	u8 *area = map(4);
	limit(0);
	drop_caps();
	if (mlock(area, PAGE_SIZE) != -EPERM || mlock(area, 0) != -EPERM)
		return 1;
	if (syscall1(NR_mlockall, MCL_FUTURE) != -EPERM)
		return 2;
	if ((long)mmap(NULL, PAGE_SIZE, RW, ANON | MAP_LOCKED) != -EPERM)
		return 3;
	return munlock(area, PAGE_SIZE) != 0;
}

static int other_user(void)
{
	u8 *area = map(32);
	limit(LIMIT);
	syscall3(NR_setresuid, -1, 1000, -1);
	if (mlock(area, 32 * PAGE_SIZE) != -ENOMEM || effective_caps() != 0)
		return 1;
	syscall3(NR_setresuid, -1, 0, -1);
	if (mlock(area, 32 * PAGE_SIZE) != 0 || effective_caps() == 0)
		return 2;
	syscall3(NR_setresuid, 1000, 1000, 1000);
	munlock(area, 32 * PAGE_SIZE);
	return mlock(area, 32 * PAGE_SIZE) != -ENOMEM;
}

static int odd_ranges(void)
{
	u8 *area = map(4);
	u64 max = ~0UL;
	if (mlock(area, max) != 0 || mlock(area, 0) != 0 || munlock(area, max) != 0)
		return 1;
	if (mlock(area, max - PAGE_SIZE) != -EINVAL || munlock(area, max - PAGE_SIZE) != -EINVAL)
		return 2;
	if (mlock(area, 1UL << 60) != -ENOMEM || munlock(area, 1UL << 60) != -ENOMEM)
		return 3;
	munlock(area, 4 * PAGE_SIZE);
	munmap(area + PAGE_SIZE, PAGE_SIZE);
	if (mlock(area, 4 * PAGE_SIZE) != -ENOMEM || vm_lck() != 4)
		return 4;
	if (mlock((void *)8, 8) != -ENOMEM || munlock((void *)8, 8) != -ENOMEM)
		return 5;
	return syscall1(NR_mlockall, 0) != -EINVAL || syscall1(NR_mlockall, 8) != -EINVAL ||
	       syscall1(NR_mlockall, MCL_ONFAULT) != -EINVAL;
}

static int lost_caps_stay_lost(void)
{
	struct cap_header header = { 0x20080522, 0 };
	u32 data[6];
	drop_caps();
	memset(data, 0, sizeof(data));
	data[0] = 1 << 14;
	if (syscall2(NR_capset, &header, data) != -EPERM)
		return 1;
	header.version = 1;
	if (syscall2(NR_capset, &header, data) != -EINVAL || header.version != 0x20080522)
		return 2;
	header.pid = 1;
	return syscall2(NR_capset, &header, data) != -EPERM;
}

int main(void)
{
	ksft_plan(8);
	ksft_child(root_is_free, "CAP_IPC_LOCK lifts RLIMIT_MEMLOCK");
	ksft_child(within_limit, "mlock counts against RLIMIT_MEMLOCK without it");
	ksft_child(mappings, "so do locked mappings as they are made and grow");
	ksft_child(all, "so does mlockall, for what is there and what comes");
	ksft_child(no_limit_at_all, "a limit of 0 forbids all locking");
	ksft_child(other_user, "the capability goes and comes with user 0");
	ksft_child(odd_ranges, "odd ranges are told apart");
	ksft_child(lost_caps_stay_lost, "capset gives nothing back");
	ksft_finish();
	return 0;
}
