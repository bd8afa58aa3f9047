/*
 * swap MIB: more memory than the machine has, in /dev/swap0; MIB is about one and a half times
 * the machine's memory, and less than memory and swap together.
 * swap MIB lost: fills it, prints `ready`, reads a byte, and then looks at every page.
 */

#include "abi_mm.h"
#include "ksft.h"
#include "print.h"
#include "string.h"
#include "syscall.h"

#if defined(__x86_64__)
#define NR_swapon 167
#define NR_swapoff 168
#define NR_ioctl 16
#else
#define NR_ioctl 29
#define NR_swapon 224
#define NR_swapoff 225
#endif

#define SEEK_SET 0
#define SEEK_END 2
#define EBUSY 16
#define EISDIR 21
#define ENOTTY 25
#define BLKGETSIZE64 0x80081272
#define SWAP_FLAG_PREFER 0x8000
#define DEVICE "/dev/swap0"

static u64 pages;
static u8 *memory;

static u64 *word(u64 page)
{
	return (u64 *)(memory + page * PAGE_SIZE + (page % 500) * 8);
}

static u64 pattern(u64 page, u64 salt)
{
	return (page + 1) * 0x9e3779b97f4a7c15UL + salt;
}

static void fill(void)
{
	for (u64 i = 0; i < pages; i++)
		*word(i) = pattern(i, 0);
}

/* Every `step`th page is `salt`'s, the rest as fill() left it. */
static int intact(u64 step, u64 salt)
{
	for (u64 i = 0; i < pages; i++) {
		u64 want = pattern(i, step != 0 && i % step == 0 ? salt : 0);
		if (*word(i) != want)
			return 0;
	}
	return 1;
}

static long swapon(const char *path, int flags)
{
	return syscall2(NR_swapon, path, flags);
}

static long swapoff(const char *path)
{
	return syscall1(NR_swapoff, path);
}

static int as_nobody(void)
{
	syscall3(NR_setresuid, 65534, 65534, 65534);
	return swapon(DEVICE, 0) == -EPERM && swapoff(DEVICE) == -EPERM ? 0 : 1;
}

static void refusals(void)
{
	long fd = syscall4(NR_openat, AT_FDCWD, "/tmp/file", O_RDWR | 0100, 0600);
	close(fd);
	ksft_test(swapon(DEVICE, 0x80000) == -EINVAL, "an unknown flag is refused");
	ksft_test(swapon("/dev/none", 0) == -ENOENT, "what is not there is ENOENT");
	ksft_test(swapon("/tmp", 0) == -EISDIR, "a directory is EISDIR");
	ksft_test(swapon("/dev/null", 0) == -EINVAL, "a character device is refused");
	ksft_test(swapon("/tmp/file", 0) == -EINVAL, "a file in memory is refused");
	ksft_test(swapon((char *)8, 0) == -EFAULT, "a bad path is EFAULT");
	ksft_test(swapon(DEVICE, 0) == -EBUSY, "what is on already is EBUSY");
	ksft_test(swapoff("/dev/null") == -EINVAL, "what is not on is refused");
	ksft_child(as_nobody, "only root may");
}

static void device(void)
{
	char magic[10];
	u64 bytes = 0;
	long fd = open(DEVICE, O_RDWR);
	long end = syscall3(NR_lseek, fd, 0, SEEK_END);
	ksft_test(syscall3(NR_ioctl, fd, BLKGETSIZE64, &bytes) == 0 && (long)bytes == end,
		  "BLKGETSIZE64 and SEEK_END agree");
	ksft_test(syscall3(NR_ioctl, fd, 0x12345, 0) == -ENOTTY, "another ioctl is ENOTTY");
	syscall3(NR_lseek, fd, PAGE_SIZE - 10, SEEK_SET);
	ksft_test(read(fd, magic, 10) == 10 && memcmp(magic, "SWAPSPACE2", 10) == 0,
		  "the first page ends with the signature");
	syscall3(NR_lseek, fd, 0, SEEK_END);
	ksft_test(read(fd, magic, 10) == 0, "there is nothing behind the end");
	close(fd);
}

static int reader(void)
{
	return intact(0, 0) ? 0 : 1;
}

static int writer(void)
{
	for (u64 i = 0; i < pages; i += 7)
		*word(i) = pattern(i, 99);
	return intact(7, 99) ? 0 : 1;
}

static int grandchild(void)
{
	for (u64 i = 0; i < pages; i += 5)
		*word(i) = pattern(i, 5);
	long pid = fork();
	if (pid == 0)
		exit(intact(5, 5) ? 0 : 1);
	int status = -1;
	waitpid(pid, &status);
	return status == 0 && intact(5, 5) ? 0 : 1;
}

static void more_than_there_is(void)
{
	fill();
	ksft_test(intact(0, 0), "more memory than there is keeps its bytes");
	ksft_child(reader, "a child reads its parent's");
	ksft_child(writer, "a child writes its own");
	ksft_child(grandchild, "a grandchild reads what its parent wrote");
	ksft_test(intact(0, 0), "and the parent's are as they were");
}

static void off_and_on(void)
{
	ksft_test(swapoff(DEVICE) == -ENOMEM, "swapoff of more than fits is ENOMEM");
	ksft_test(intact(0, 0), "and loses nothing");
	u64 kept = pages / 8;
	munmap(memory + kept * PAGE_SIZE, (pages - kept) * PAGE_SIZE);
	pages = kept;
	ksft_test(swapoff(DEVICE) == 0, "swapoff of what fits works");
	ksft_test(intact(0, 0), "and brings everything back");
	ksft_test(swapoff(DEVICE) == -EINVAL, "it is off now");
	ksft_test(swapon(DEVICE, SWAP_FLAG_PREFER | 7) == 0, "and can be on again, with a priority");
}

/* Shared memory, and a file that only memory holds. */
static int shared(void)
{
	u64 many = pages;
	memory = mmap(NULL, many * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS);
	if (mmap_failed(memory))
		return 1;
	fill();
	long pid = fork();
	if (pid == 0) {
		for (u64 i = 0; i < pages; i += 3)
			*word(i) = pattern(i, 3);
		exit(0);
	}
	waitpid(pid, NULL);
	return intact(3, 3) ? 0 : 1;
}

static void lost(void)
{
	char byte;
	fill();
	print("ready\n");
	flush();
	read(0, &byte, 1);
	print("%s\n", intact(0, 0) ? "intact" : "wrong");
	flush();
}

int main(int argc, char **argv)
{
	pages = (argc > 1 ? parse_dec(argv[1]) : 48) * (MIB / PAGE_SIZE);
	if (argc > 2) {
		memory = mmap(NULL, pages * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
		lost();
		return 0;
	}
	ksft_plan(25);
	refusals();
	device();
	ksft_child(shared, "shared memory can be more than there is");
	memory = mmap(NULL, pages * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
	more_than_there_is();
	off_and_on();
	ksft_finish();
	return 0;
}
