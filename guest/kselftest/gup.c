/* Pages of a process in other hands: pipes, process_vm_readv and kin, /proc/PID/mem. */

#include "abi_gup.h"
#include "ksft.h"
#include "print.h"
#include "string.h"
#include "syscall.h"

#define PAGES 4
#define LEN (PAGES * PAGE_SIZE)

static char *area;
static char copy[LEN];

static void fresh(int value)
{
	area = mmap(0, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
	memset(area, value, LEN);
}

static long vmsplice(int fd, void *base, size_t len, int flags)
{
	struct iovec iov = { base, len };
	return syscall4(NR_vmsplice, fd, &iov, 1, flags);
}

static long splice(int in, s64 *in_pos, int out, s64 *out_pos, size_t len, int flags)
{
	return syscall6(NR_splice, in, (long)in_pos, out, (long)out_pos, (long)len, flags);
}

static int all(const char *bytes, size_t len, int value)
{
	for (size_t i = 0; i < len; i++)
		if (bytes[i] != value)
			return 0;
	return 1;
}

static int pipe_has(int fd, size_t len, int value)
{
	memset(copy, 0, sizeof(copy));
	return read(fd, copy, len) == (long)len && all(copy, len, value);
}

/* What is in a pipe is what its process writes later, and nobody else. */
static int splice_then_write(void)
{
	int fds[2];
	pipe(fds);
	fresh(1);
	if (vmsplice(fds[1], area, LEN, 0) != LEN)
		return 1;
	memset(area, 2, LEN);
	return !pipe_has(fds[0], LEN, 2);
}

static int child_writes(int before_fork)
{
	int fds[2], go[2], status;
	char byte = 0;
	pipe(fds);
	pipe(go);
	fresh(3);
	if (before_fork && vmsplice(fds[1], area, LEN, 0) != LEN)
		return 1;
	long pid = fork();
	if (pid == 0) {
		read(go[0], &byte, 1);
		memset(area, 4, LEN);
		exit(0);
	}
	if (!before_fork && vmsplice(fds[1], area, LEN, 0) != LEN)
		return 1;
	munmap(area, LEN);
	write(go[1], &byte, 1);
	waitpid(pid, &status);
	return status != 0 || !pipe_has(fds[0], LEN, 3);
}

static int child_writes_spliced_before(void)
{
	return child_writes(1);
}

static int child_writes_spliced_after(void)
{
	return child_writes(0);
}

/* CVE-2020-29374: a child keeps a page in a pipe and watches what its parent writes. */
static int parent_writes(void)
{
	int fds[2], ready[2], go[2], status;
	char byte = 0;
	pipe(ready);
	pipe(go);
	fresh(5);
	long pid = fork();
	if (pid == 0) {
		pipe(fds);
		if (vmsplice(fds[1], area, LEN, SPLICE_F_GIFT) != LEN)
			exit(1);
		munmap(area, LEN);
		write(ready[1], &byte, 1);
		read(go[0], &byte, 1);
		exit(!pipe_has(fds[0], LEN, 5));
	}
	read(ready[0], &byte, 1);
	memset(area, 6, LEN);
	write(go[1], &byte, 1);
	waitpid(pid, &status);
	return status;
}

static int killed_with_pages_in_a_pipe(void)
{
	int fds[2], status;
	pipe(fds);
	fresh(7);
	long pid = fork();
	if (pid == 0) {
		vmsplice(fds[1], area, LEN, 0);
		kill(getpid(), SIGKILL);
	}
	waitpid(pid, &status);
	memset(area, 8, LEN);
	return status != SIGKILL || !pipe_has(fds[0], LEN, 7);
}

static int vmsplice_errors(void)
{
	int fds[2];
	struct iovec iov = { copy, 1 };
	pipe(fds);
	int bad = vmsplice(fds[1], copy, 1, 16) != -EINVAL;
	bad |= vmsplice(-1, copy, 1, 0) != -EBADF;
	int null = open("/dev/null", O_RDWR);
	bad |= vmsplice(null, copy, 1, 0) != -EBADF;
	bad |= vmsplice(fds[1], copy, 0, 0) != 0;
	bad |= vmsplice(fds[1], (void *)PAGE_SIZE, 1, 0) != -EFAULT;
	bad |= syscall4(NR_vmsplice, fds[1], &iov, 1025, 0) != -EINVAL;
	bad |= syscall4(NR_vmsplice, fds[1], 8, 1, 0) != -EFAULT;
	bad |= vmsplice(fds[0], copy, 1, SPLICE_F_NONBLOCK) != -EAGAIN;
	fresh(1);
	for (int i = 0; i < 16; i++)
		bad |= vmsplice(fds[1], area, 1, 0) != 1;
	bad |= vmsplice(fds[1], area, 1, SPLICE_F_NONBLOCK) != -EAGAIN;
	close(fds[0]);
	sigaction(SIGPIPE, (sighandler)1, 0);
	bad |= vmsplice(fds[1], area, 1, 0) != -EPIPE;
	return bad;
}

static int vmsplice_reads(void)
{
	int fds[2];
	pipe(fds);
	fresh(0);
	write(fds[1], "abcdef", 6);
	int bad = vmsplice(fds[0], area, 4, 0) != 4 || memcmp(area, "abcd", 5) != 0;
	bad |= vmsplice(fds[0], area, LEN, 0) != 2 || memcmp(area, "efcd", 5) != 0;
	close(fds[1]);
	return bad || vmsplice(fds[0], area, LEN, 0) != 0;
}

static int splice_and_tee(void)
{
	int a[2], b[2];
	s64 pos = 0;
	char text[64];
	pipe(a);
	pipe(b);
	int null = open("/dev/null", O_RDWR);
	int bad = splice(a[0], &pos, null, 0, 1, 0) != -ESPIPE;
	bad |= splice(null, 0, null, 0, 1, 0) != -EINVAL;
	bad |= splice(a[0], 0, a[1], 0, 1, 0) != -EINVAL;
	bad |= splice(a[1], 0, null, 0, 1, 0) != -EBADF;
	bad |= splice(a[0], 0, null, 0, 1, 32) != -EINVAL;
	bad |= splice(a[0], 0, b[1], 0, 1, SPLICE_F_NONBLOCK) != -EAGAIN;
	bad |= syscall4(NR_tee, a[0], b[1], 1, SPLICE_F_NONBLOCK) != -EAGAIN;
	bad |= syscall4(NR_tee, a[0], null, 1, 0) != -EINVAL;
	write(a[1], "hello", 5);
	bad |= syscall4(NR_tee, a[0], b[1], 64, 0) != 5;
	bad |= splice(a[0], 0, b[1], 0, 2, 0) != 2;
	bad |= read(b[0], text, 64) != 7 || memcmp(text, "hellohe", 7) != 0;
	bad |= splice(a[0], 0, null, 0, 64, 0) != 3;
	close(a[1]);
	bad |= splice(a[0], 0, b[1], 0, 64, 0) != 0;
	return bad || syscall4(NR_tee, a[0], b[1], 64, 0) != 0;
}

static int splice_file(void)
{
	int fds[2];
	s64 pos = 1, out = 3;
	char text[16];
	pipe(fds);
	int from = syscall2(NR_memfd_create, "from", 0);
	int to = syscall2(NR_memfd_create, "to", 0);
	write(from, "0123456789", 10);
	int bad = splice(from, &pos, fds[1], 0, 6, 0) != 6 || pos != 7;
	/* The pipe has the page, not its bytes. */
	syscall4(NR_pwrite64, from, "X", 1, 2);
	bad |= splice(fds[0], 0, to, &out, 64, 0) != 6 || out != 9;
	bad |= syscall4(NR_pread64, to, text, 16, 0) != 9;
	return bad || memcmp(text, "\0\0\0" "1X3456", 9) != 0;
}

static long process_vm(long nr, long pid, void *local, void *remote, size_t len)
{
	struct iovec l = { local, len }, r = { remote, len };
	return syscall6(nr, pid, (long)&l, 1, (long)&r, 1, 0);
}

static int process_vm_shared(void)
{
	int go[2], ready[2], status;
	char byte = 0;
	pipe(go);
	pipe(ready);
	fresh(1);
	long pid = fork();
	if (pid == 0) {
		area[0] = 9;
		write(ready[1], &byte, 1);
		read(go[0], &byte, 1);
		exit(!(area[1] == 2 && area[PAGE_SIZE] == 1 && area[LEN - 1] == 1));
	}
	read(ready[0], &byte, 1);
	int bad = process_vm(NR_process_vm_readv, pid, copy, area, LEN) != LEN;
	bad |= copy[0] != 9 || !all(copy + 1, LEN - 1, 1);
	copy[0] = 2;
	bad |= process_vm(NR_process_vm_writev, pid, copy, area + 1, 1) != 1;
	bad |= !all(area, LEN, 1);
	memset(area, 3, LEN);
	write(go[1], &byte, 1);
	waitpid(pid, &status);
	return bad || status != 0;
}

static int process_vm_errors(void)
{
	struct iovec iov[2] = { { copy, 8 }, { (void *)PAGE_SIZE, 8 } };
	long self = getpid();
	int status;
	fresh(1);
	int bad = process_vm(NR_process_vm_readv, 0x3fffffff, copy, area, 8) != -ESRCH;
	bad |= syscall6(NR_process_vm_readv, self, (long)iov, 1, (long)iov, 1, 1) != -EINVAL;
	bad |= syscall6(NR_process_vm_readv, self, (long)iov, 1025, (long)iov, 1, 0) != -EINVAL;
	bad |= syscall6(NR_process_vm_readv, self, (long)iov, 1, (long)iov, 1025, 0) != -EINVAL;
	bad |= syscall6(NR_process_vm_readv, self, 8, 1, (long)iov, 1, 0) != -EFAULT;
	bad |= syscall6(NR_process_vm_readv, self, (long)iov, 1, 8, 1, 0) != -EFAULT;
	bad |= syscall6(NR_process_vm_readv, self, (long)iov, 0, 8, 1, 0) != 0;
	bad |= process_vm(NR_process_vm_readv, self, copy, (void *)PAGE_SIZE, 8) != -EFAULT;
	bad |= process_vm(NR_process_vm_readv, self, copy, area + LEN - 4, 8) != 4;
	mprotect(area, LEN, PROT_READ);
	bad |= process_vm(NR_process_vm_writev, self, copy, area, 8) != -EFAULT;
	bad |= process_vm(NR_process_vm_readv, self, copy, area, 8) != 8;
	mprotect(area, LEN, PROT_NONE);
	bad |= process_vm(NR_process_vm_readv, self, copy, area, 8) != -EFAULT;
	long zombie = fork();
	if (zombie == 0)
		exit(0);
	struct siginfo info;
	syscall5(NR_waitid, 1, zombie, &info, WEXITED | 0x01000000, 0);
	bad |= process_vm(NR_process_vm_readv, zombie, copy, area, 8) != -ESRCH;
	waitpid(zombie, &status);
	return bad;
}

static int process_vm_foreign(void)
{
	long pid = fork();
	int status;
	if (pid == 0) {
		syscall3(NR_setresuid, 1234, 1234, 1234);
		long parent = syscall0(NR_getppid);
		exit(process_vm(NR_process_vm_readv, parent, copy, copy, 8) != -EPERM);
	}
	waitpid(pid, &status);
	return status;
}

static int mem_by_force(void)
{
	fresh(1);
	int mem = open("/proc/self/mem", O_RDWR);
	long pid, status;
	int bad = mem < 0;
	mprotect(area, LEN, PROT_READ);
	pid = fork();
	if (pid == 0) {
		int own = open("/proc/self/mem", O_RDWR);
		bad |= syscall4(NR_pwrite64, own, "x", 1, (u64)area) != 1;
		exit(bad || area[0] != 'x' || area[1] != 1);
	}
	waitpid(pid, (int *)&status);
	bad |= (int)status != 0 || area[0] != 1;
	bad |= syscall4(NR_pwrite64, mem, "y", 1, (u64)area) != 1 || area[0] != 'y';
	mprotect(area, LEN, PROT_NONE);
	bad |= syscall4(NR_pread64, mem, copy, 2, (u64)area) != 2 || copy[0] != 'y';
	bad |= syscall4(NR_pread64, mem, copy, 1, PAGE_SIZE) != -EIO;
	bad |= syscall4(NR_pread64, mem, (void *)PAGE_SIZE, 1, (u64)area) != -EFAULT;
	char *shared = mmap(0, PAGE_SIZE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS);
	return bad || syscall4(NR_pwrite64, mem, "z", 1, (u64)shared) != -EIO;
}

int main(void)
{
	ksft_plan(13);
	ksft_child(splice_then_write, "a pipe has the pages of the process, not their bytes");
	ksft_child(child_writes_spliced_before, "a child's writes stay out of a pipe filled before fork");
	ksft_child(child_writes_spliced_after, "a child's writes stay out of a pipe filled after fork");
	ksft_child(parent_writes, "a parent's writes stay out of a child's pipe");
	ksft_child(killed_with_pages_in_a_pipe, "pages in a pipe outlive their process");
	ksft_child(vmsplice_errors, "vmsplice refuses what Linux refuses");
	ksft_child(vmsplice_reads, "vmsplice reads from a pipe");
	ksft_child(splice_and_tee, "splice and tee between pipes");
	ksft_child(splice_file, "splice from and to files");
	ksft_child(process_vm_shared, "process_vm_readv and writev through shared page tables");
	ksft_child(process_vm_errors, "process_vm_readv refuses what Linux refuses");
	ksft_child(process_vm_foreign, "process_vm_readv of another user's process is refused");
	ksft_child(mem_by_force, "/proc/PID/mem writes where the process may only read");
	ksft_finish();
	return 0;
}
