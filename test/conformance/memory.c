/* Memory: the mmap family, /proc/self/maps, limits, stacks, files and mappings. */
#include "observe.h"
#include <linux/mman.h>
#include <setjmp.h>
#include <sys/resource.h>
#include <sys/prctl.h>
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

#define P 4096L
static sigjmp_buf env;
static void *fault_at;
static void fault(int sig, siginfo_t *i, void *u) {
    say("   SIG%s code %d %s", sigabbrev_np(sig), i->si_code, i->si_addr == fault_at ? "exact" : "other");
    siglongjmp(env, 1);
}
static int touches(volatile char *at, int write) {
    fault_at = (void *)at;
    if (sigsetjmp(env, 1)) return 0;
    if (write) *at = *at + 1;
    else (void)*at;
    return 1;
}

static char *base;

/** Prints the lines of /proc/self/maps in [base, base + pages), relative to base. */
static void maps(long pages) {
    static char text[1 << 16];
    int fd = open("/proc/self/maps", O_RDONLY), n = 0, r;
    while ((r = read(fd, text + n, sizeof text - 1 - n)) > 0) n += r;
    text[n] = 0;
    close(fd);
    for (char *line = text; *line;) {
        char *next = strchr(line, '\n');
        *next++ = 0;
        unsigned long start, end, off, ino;
        unsigned maj, min;
        char perms[8], name[256] = "";
        sscanf(line, "%lx-%lx %7s %lx %x:%x %lu %255s", &start, &end, perms, &off, &maj, &min, &ino, name);
        char *slash = strrchr(name, '/');
        if (end > (unsigned long)base && start < (unsigned long)base + pages * P)
            say("   %ld-%ld %s %lx %s %s", ((long)start - (long)base) / P, ((long)end - (long)base) / P, perms, off, ino ? "ino" : "0", slash ? slash : name);
        line = next;
    }
}

static char *reserve(long pages) {
    base = mmap(0, (pages + 2) * P, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    base += P;
    munmap(base, pages * P);
    return base;
}
/** A mapping at page `at` of the reservation, or the errno. */
static long map_at(long at, long pages, int prot, int flags, int fd, long pgoff) {
    char *p = mmap(base + at * P, pages * P, prot, flags | MAP_FIXED, fd, pgoff * P);
    return p == MAP_FAILED ? -1 : (p - base) / P;
}
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static void arguments(void) {
    SECTION("mmap arguments");
    int fd = open("f", O_RDWR | O_CREAT, 0644), ro = open("f", O_RDONLY), wo = open("f", O_WRONLY);
    ftruncate(fd, 4 * P);
    OK(mmap(0, 0, RW, ANON, -1, 0));
    OK(mmap(0, P, RW, MAP_ANONYMOUS, -1, 0));
    OK(mmap(0, P, RW, MAP_PRIVATE, -1, 0));
    OK(mmap(0, P, RW, MAP_PRIVATE, fd, 1));
    OK(mmap(0, P, RW, ANON, -1, 1));
    OK(mmap((void *)1, P, RW, ANON | MAP_FIXED, -1, 0));
    OK(mmap(0, -P, RW, ANON, -1, 0));
    OK(mmap(0, 1L << 50, PROT_NONE, ANON, -1, 0));
    OK(mmap(0, P, RW, MAP_SHARED, ro, 0));
    OK(mmap(0, P, PROT_READ, MAP_SHARED, ro, 0));
    OK(mmap(0, P, RW, MAP_PRIVATE, ro, 0));
    OK(mmap(0, P, PROT_READ, MAP_SHARED, wo, 0));
    OK(mmap(0, P, PROT_WRITE, MAP_SHARED, wo, 0));
    OK(mmap(0, P, RW, MAP_SHARED_VALIDATE, fd, 0));
    OK(mmap(0, P, RW, MAP_SHARED_VALIDATE | 0x1000000, fd, 0));
    OK(mmap(0, P, RW, MAP_SHARED_VALIDATE | MAP_ANONYMOUS, -1, 0));
    OK(mmap(0, P, RW, 0x0f, fd, 0));
    OK(mmap(0, P, RW, MAP_SHARED, open("/dev/null", O_RDWR), 0));
    OK(mmap(0, P, RW, MAP_PRIVATE, open("/dev/zero", O_RDWR), 0));
    OK(mmap(0, P, RW, MAP_SHARED, open("/dev/zero", O_RDWR), 0));
    OK(mmap(0, P, PROT_READ, MAP_PRIVATE, open(".", O_RDONLY), 0));
    int pipes[2];
    pipe(pipes);
    OK(mmap(0, P, PROT_READ, MAP_PRIVATE, pipes[0], 0));
    OK(mmap(0, P, PROT_READ, MAP_PRIVATE, fd, 1L << 62));
    OK(mmap(0, P, RW, ANON | MAP_POPULATE | MAP_LOCKED | MAP_NORESERVE | MAP_STACK, -1, 0));
    char *q = mmap(0, 3, RW, ANON, -1, 0);
    q[P - 1] = 1;
    reserve(8);
    R(map_at(0, 4, RW, ANON, -1, 0));
    OK(mmap(base + 3 * P, 2 * P, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0));
    OK(mmap(base + 4 * P, 2 * P, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0));
    V((char *)mmap(base + 6 * P, P, RW, ANON, -1, 0) == base + 6 * P);
    V((char *)mmap(base + 6 * P + 5, P, RW, ANON, -1, 0) == base + 6 * P);
    V((char *)mmap(base + 7 * P + 5, P, RW, ANON, -1, 0) == base + 7 * P);
    maps(8);
    R(munmap(base + 1, P));
    R(munmap(base, 0));
    R(munmap(base, 1));
    R(munmap(base, -P));
    R(munmap((void *)(1L << 60), P));
    R(munmap(base, 8 * P));
    R(munmap(base, 8 * P));
    maps(8);
    for (int i = 3; i < 20; i++) close(i);
}

static void split_and_merge(void) {
    SECTION("split and merge");
    reserve(20);
    map_at(0, 10, RW, ANON, -1, 0);
    maps(20);
    R(mprotect(base + 3 * P, 2 * P, PROT_READ));
    maps(20);
    R(mprotect(base + 3 * P, P, PROT_NONE));
    R(mprotect(base + 8 * P, 2 * P, PROT_READ | PROT_EXEC));
    maps(20);
    R(mprotect(base, 10 * P, RW));
    maps(20);
    map_at(10, 5, RW, ANON, -1, 0);
    maps(20);
    base[0] = base[12 * P] = 1;
    munmap(base + 5 * P, P);
    maps(20);
    map_at(5, 1, RW, ANON, -1, 0);
    maps(20);
    R(mprotect(base + 14 * P, 3 * P, PROT_READ));
    maps(20);
    R(mprotect(base + 17 * P, P, PROT_READ));
    R(mprotect(base + 1, P, PROT_READ));
    R(mprotect(base, 0, PROT_READ));
    R(mprotect(base, P, 0x100));
    R(mprotect(base, P, PROT_READ | PROT_GROWSDOWN));
    R(mprotect(base, P, PROT_GROWSDOWN | PROT_GROWSUP));
    munmap(base, 20 * P);
    int fd = open("f", O_RDWR | O_CREAT, 0644);
    ftruncate(fd, 8 * P);
    map_at(0, 2, PROT_READ, MAP_PRIVATE, fd, 0);
    map_at(2, 2, PROT_READ, MAP_PRIVATE, fd, 2);
    map_at(4, 2, PROT_READ, MAP_PRIVATE, fd, 5);
    map_at(6, 2, PROT_READ, MAP_SHARED, fd, 7);
    map_at(8, 2, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    map_at(10, 2, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    maps(20);
    R(munmap(base + P, 2 * P));
    maps(20);
    int ro = open("f", O_RDONLY);
    map_at(12, 1, PROT_READ, MAP_SHARED, ro, 0);
    R(mprotect(base + 12 * P, P, RW));
    R(mprotect(base + 12 * P, P, PROT_READ | PROT_EXEC));
    R(mprotect(base + 11 * P, 2 * P, RW));
    maps(20);
    map_at(15, 1, RW, ANON | MAP_GROWSDOWN, -1, 0);
    maps(20);
    close(fd);
    close(ro);
    munmap(base, 20 * P);
}

static void moving(void) {
    SECTION("mremap");
    reserve(32);
    map_at(0, 4, RW, ANON, -1, 0);
    for (int i = 0; i < 4; i++) base[i * P] = 'a' + i;
#define M(expr) ({ char *m_ = (expr); m_ == MAP_FAILED ? -1 : (m_ - base) / P; })
    R(M(mremap(base, 4 * P, 2 * P, 0)));
    maps(32);
    R(M(mremap(base, 2 * P, 5 * P, 0)));
    maps(32);
    map_at(5, 1, PROT_READ, ANON, -1, 0);
    R(M(mremap(base, 5 * P, 6 * P, 0)));
    V(mremap(base, 5 * P, 6 * P, MREMAP_MAYMOVE) != MAP_FAILED);
    maps(32);
    map_at(0, 4, RW, ANON, -1, 0);
    for (int i = 0; i < 4; i++) base[i * P] = 'a' + i;
    R(M(mremap(base + P, 2 * P, 2 * P, MREMAP_MAYMOVE | MREMAP_FIXED, base + 10 * P)));
    say("%c%c", base[10 * P], base[11 * P]);
    maps(32);
    R(M(mremap(base, P, P, MREMAP_FIXED, base + 20 * P)));
    R(M(mremap(base, P, P, MREMAP_MAYMOVE | MREMAP_FIXED, base)));
    R(M(mremap(base, P, P, MREMAP_MAYMOVE | MREMAP_FIXED, base + 1)));
    R(M(mremap(base + 1, P, P, MREMAP_MAYMOVE)));
    R(M(mremap(base, P, 0, MREMAP_MAYMOVE)));
    R(M(mremap(base, 0, P, MREMAP_MAYMOVE)));
    R(M(mremap(base + 30 * P, P, 2 * P, MREMAP_MAYMOVE)));
    R(M(mremap(base, 2 * P, 3 * P, MREMAP_MAYMOVE)));
    R(M(mremap(base, P, P, 64)));
    R(M(mremap(base + 10 * P, 2 * P, 2 * P, MREMAP_MAYMOVE | MREMAP_DONTUNMAP | MREMAP_FIXED, base + 20 * P)));
    say("%c %d", base[20 * P], base[10 * P]);
    maps(32);
    R(M(mremap(base + 10 * P, 2 * P, 3 * P, MREMAP_MAYMOVE | MREMAP_DONTUNMAP)));
    R(M(mremap(base + 10 * P, 2 * P, 2 * P, MREMAP_DONTUNMAP)));
    R(M(mremap(base + 20 * P, 2 * P, P, MREMAP_MAYMOVE | MREMAP_FIXED, base + 24 * P)));
    maps(32);
    R(M(mremap(base + 24 * P, P, 4 * P, MREMAP_MAYMOVE | MREMAP_FIXED, base + 26 * P)));
    say("%c %d", base[26 * P], base[29 * P]);
    maps(32);
    munmap(base, 32 * P);
    map_at(0, 2, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    base[0] = 'S';
    R(M(mremap(base, 0, 2 * P, MREMAP_MAYMOVE | MREMAP_FIXED, base + 8 * P)));
    base[8 * P + 1] = 'T';
    say("%c%c", base[8 * P], base[1]);
    R(M(mremap(base, 2 * P, 4 * P, 0)));
    say("beyond %d", touches(base + 3 * P, 1));
    maps(32);
    munmap(base, 32 * P);
    int fd = open("mv", O_RDWR | O_CREAT, 0644);
    ftruncate(fd, 8 * P);
    for (int i = 0; i < 8; i++) pwrite(fd, &(char){'0' + i}, 1, i * P);
    map_at(0, 4, RW, MAP_PRIVATE, fd, 1);
    base[P] = 'x';
    R(M(mremap(base, 4 * P, 6 * P, MREMAP_MAYMOVE | MREMAP_FIXED, base + 10 * P)));
    say("%c%c%c%c%c%c", base[10 * P], base[11 * P], base[12 * P], base[13 * P], base[14 * P], base[15 * P]);
    maps(32);
    munmap(base, 32 * P);
    long big = 3 << 20;
    char *b = mmap(0, big, RW, ANON, -1, 0);
    for (long i = 0; i < big; i += P) *(long *)(b + i) = i;
    char *c = mremap(b, big, 2 * big, MREMAP_MAYMOVE);
    int ok = c != MAP_FAILED;
    for (long i = 0; i < big; i += P) ok &= *(long *)(c + i) == i;
    for (long i = big; i < 2 * big; i += P) ok &= *(long *)(c + i) == 0;
    V(ok);
    IN_CHILD("moved in a child", {
        char *d = mremap(c, big, big, MREMAP_MAYMOVE | MREMAP_FIXED, mmap(0, big + P, 0, ANON, -1, 0) + P);
        int same = 1;
        for (long i = 0; i < big; i += P) same &= *(long *)(d + i) == i;
        V(same);
        *(long *)d = 5;
    });
    V(*(long *)c);
    munmap(c, 2 * big);
    close(fd);
}

static void files(void) {
    SECTION("files and mappings");
    int fd = open("coherent", O_RDWR | O_CREAT, 0644);
    write(fd, "0123456789", 10);
    char *s = mmap(0, 2 * P, RW, MAP_SHARED, fd, 0), *p = mmap(0, 2 * P, RW, MAP_PRIVATE, fd, 0);
    char b[16] = {0};
    s[0] = 'S';
    pread(fd, b, 10, 0);
    say("%s %.10s", b, p);
    pwrite(fd, "W", 1, 1);
    say("%.10s %.10s", s, p);
    p[2] = 'P';
    pwrite(fd, "X", 1, 3);
    pread(fd, b, 10, 0);
    say("%.10s %.10s %s", s, p, b);
    s[20] = 'z';
    ftruncate(fd, 30);
    pread(fd, b, 1, 20);
    V(b[0]);
    struct stat st;
    fstat(fd, &st);
    V(st.st_size);
    ftruncate(fd, 5);
    ftruncate(fd, 30);
    say("%d %d %c", s[6], s[20], s[4]);
    say("%d %d", p[6], p[2]);
    IN_CHILD("child sees", { s[7] = 'C'; p[7] = 'D'; });
    say("%c %d", s[7], p[7]);
    V(touches(s + P, 0));
    ftruncate(fd, 2 * P);
    V(touches(s + P, 1));
    R(msync(s, 2 * P, MS_SYNC));
    R(msync(s, 2 * P, MS_ASYNC | MS_INVALIDATE));
    R(msync(s, 2 * P, MS_ASYNC | MS_SYNC));
    R(msync(s, 2 * P, 64));
    R(msync(s + 1, P, MS_SYNC));
    R(msync(s, 0, MS_SYNC));
    reserve(4);
    R(msync(base, P, MS_SYNC));
    close(fd);
    unlink("coherent");
    s[1] = 'u';
    say("%c", s[1]);
    munmap(s, 2 * P);
    munmap(p, 2 * P);
    int m = syscall(SYS_memfd_create, "mem", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    V(m >= 0);
    ftruncate(m, P);
    char *q = mmap(0, P, RW, MAP_SHARED, m, 0);
    R(fcntl(m, F_ADD_SEALS, F_SEAL_WRITE));
    munmap(q, P);
    R(fcntl(m, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK));
    R(fcntl(m, F_GET_SEALS));
    R(write(m, "x", 1));
    R(ftruncate(m, 0));
    R(ftruncate(m, 2 * P));
    OK(mmap(0, P, RW, MAP_SHARED, m, 0));
    OK(mmap(0, P, PROT_READ, MAP_SHARED, m, 0));
    char name[64] = {0};
    snprintf(b, 16, "/proc/self/fd");
    char path[64];
    snprintf(path, 64, "/proc/self/fd/%d", m);
    readlink(path, name, 63);
    say("%s", name);
    close(m);
}

static void advice(void) {
    SECTION("madvise");
    reserve(16);
    map_at(0, 4, RW, ANON, -1, 0);
    map_at(4, 4, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int fd = open("adv", O_RDWR | O_CREAT, 0644);
    ftruncate(fd, 4 * P);
    pwrite(fd, "F", 1, 0);
    map_at(8, 4, RW, MAP_PRIVATE, fd, 0);
    base[0] = base[4 * P] = 'x';
    base[8 * P] = 'y';
    R(madvise(base, 12 * P, MADV_DONTNEED));
    say("%d %c %c", base[0], base[4 * P], base[8 * P]);
    R(madvise(base + 1, P, MADV_DONTNEED));
    R(madvise(base, 0, MADV_DONTNEED));
    R(madvise(base, 0, 9999));
    R(madvise(base, P, 9999));
    R(madvise(base, 16 * P, MADV_DONTNEED));
    R(madvise(base, -P, MADV_DONTNEED));
    static const int hints[] = {MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_FREE, MADV_REMOVE, MADV_DONTFORK, MADV_DOFORK, MADV_WIPEONFORK, MADV_KEEPONFORK, MADV_COLD, MADV_PAGEOUT, MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_DONTDUMP, MADV_DODUMP, 24};
    for (unsigned i = 0; i < sizeof hints / sizeof *hints; i++) {
        say("advice %d", hints[i]);
        R(madvise(base, P, hints[i]));
        R(madvise(base + 4 * P, P, hints[i]));
        R(madvise(base + 8 * P, P, hints[i]));
        R(madvise(base + 14 * P, P, hints[i]));
    }
    munmap(base, 16 * P);
    map_at(0, 6, RW, ANON, -1, 0);
    for (int i = 0; i < 6; i++) base[i * P] = 'a' + i;
    R(madvise(base + P, P, MADV_DONTFORK));
    R(madvise(base + 3 * P, P, MADV_WIPEONFORK));
    maps(16);
    IN_CHILD("fork", {
        maps(16);
        V(touches(base + P, 0));
        say("%c %d %c", base[2 * P], base[3 * P], base[4 * P]);
        R(madvise(base + 4 * P, P, MADV_DONTNEED));
        V(base[4 * P]);
    });
    say("%c %c", base[3 * P], base[4 * P]);
    unsigned char vec[16] = {0};
    munmap(base, 16 * P);
    map_at(0, 4, RW, ANON, -1, 0);
    base[P] = 1;
    R(mincore(base, 4 * P, vec));
    say("%d%d%d%d", vec[0] & 1, vec[1] & 1, vec[2] & 1, vec[3] & 1);
    R(mincore(base, 5 * P, vec));
    R(mincore(base + 1, P, vec));
    R(mincore(base, P, (void *)8));
    R(mincore(base, 0, vec));
    R(madvise(base, 4 * P, MADV_POPULATE_WRITE));
    R(mincore(base, 4 * P, vec));
    say("%d%d%d%d", vec[0] & 1, vec[1] & 1, vec[2] & 1, vec[3] & 1);
    mprotect(base, P, PROT_READ);
    R(madvise(base, P, MADV_POPULATE_WRITE));
    mprotect(base, P, PROT_NONE);
    R(madvise(base, P, MADV_POPULATE_READ));
    R(mlock(base + P, P));
    R(mlock(base, 4 * P));
    R(mlock(base, 5 * P));
    R(mlock(base + P + 1, P));
    R(madvise(base + P, P, MADV_DONTNEED));
    R(munlock(base + P, P));
    R(madvise(base + P, P, MADV_DONTNEED));
    R(munlock(base + 5 * P, P));
    R(mlock2(base + P, P, MLOCK_ONFAULT));
    R(mlock2(base + P, P, 8));
    maps(16);
    R(munlockall());
    R(mlockall(0));
    R(mlockall(8));
    R(mlockall(MCL_ONFAULT));
    maps(16);
    munmap(base, 16 * P);
    close(fd);
}

static long mbind_(void *at, long len, int mode, unsigned long *nodes, long max, int flags) {
    return syscall(SYS_mbind, at, len, mode, nodes, max, flags);
}

static void policies(void) {
    SECTION("policies");
    char *p = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(p + 4096, 4096);
    p[0] = 1;
    unsigned long none[2] = {0, 0}, first[2] = {1, 0}, far[2] = {1, 1UL << 40};
    enum { DEFAULT, PREFERRED, BIND, INTERLEAVE, LOCAL, MANY };
    enum { STATIC = 1 << 15, RELATIVE = 1 << 14, BALANCING = 1 << 13, MOVE = 2, ALL = 4 };
    R(mbind_(p, 4096, LOCAL, NULL, 0x7ff, MOVE));
    R(mbind_(p, 4096, LOCAL, first, 2, 0));
    R(mbind_(p, 4096, LOCAL | STATIC, NULL, 0, 0));
    R(mbind_(p, 4096, DEFAULT, NULL, 0, 0));
    R(mbind_(p, 4096, DEFAULT, first, 2, 0));
    R(mbind_(p, 4096, PREFERRED, first, 2, 0));
    R(mbind_(p, 4096, PREFERRED, none, 2, 0));
    R(mbind_(p, 4096, PREFERRED | RELATIVE, none, 2, 0));
    R(mbind_(p, 4096, BIND, first, 2, MOVE | ALL));
    R(mbind_(p, 4096, BIND, first, 1, 0));
    R(mbind_(p, 4096, BIND, first, 0, 0));
    R(mbind_(p, 4096, BIND, NULL, 0, 0));
    R(mbind_(p, 4096, BIND, far, 65, 0));
    unsigned long two = 5, other = 4;
    R(mbind_(p, 4096, BIND, &two, 5, 0));
    R(mbind_(p, 4096, BIND, &other, 5, 0));
    R(mbind_(p, 4096, PREFERRED, &other, 5, 0));
    R(mbind_(p, 4096, BIND, (void *)8, 2, 0));
    R(mbind_(p, 4096, BIND, first, 40000, 0));
    R(mbind_(p, 4096, BIND | BALANCING, first, 2, 0));
    R(mbind_(p, 4096, PREFERRED | BALANCING, first, 2, 0));
    R(mbind_(p, 4096, BIND | STATIC | RELATIVE, first, 2, 0));
    R(mbind_(p, 4096, 9, first, 2, 0));
    R(mbind_(p, 4096, -1, first, 2, 0));
    R(mbind_(p, 4096, BIND, first, 2, 64));
    R(mbind_(p + 1, 4096, BIND, first, 2, 0));
    R(mbind_(p, 0, BIND, none, 2, 0));
    R(mbind_(p, -4096, BIND, first, 2, 0));
    R(mbind_(p, 3 * 4096, BIND, first, 2, 0));
    R(mbind_(p, 3 * 4096, DEFAULT, NULL, 0, 0));
    V(p[0]);
    munmap(p, 3 * 4096);
}

static void limits(void) {
    SECTION("limits");
    IN_CHILD("RLIMIT_AS", {
        struct rlimit r = {64 << 20, 64 << 20};
        R(setrlimit(RLIMIT_AS, &r));
        OK(mmap(0, 128 << 20, RW, ANON, -1, 0));
        OK(mmap(0, 16 << 20, RW, ANON, -1, 0));
        OK(sbrk(100 << 20));
    });
    IN_CHILD("RLIMIT_DATA", {
        struct rlimit r = {8 << 20, 8 << 20};
        R(setrlimit(RLIMIT_DATA, &r));
        OK(mmap(0, 16 << 20, RW, ANON, -1, 0));
        OK(mmap(0, 16 << 20, PROT_READ, ANON, -1, 0));
        OK(mmap(0, 16 << 20, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
        char *p = mmap(0, 16 << 20, PROT_READ, ANON, -1, 0);
        R(mprotect(p, 16 << 20, RW));
        OK(sbrk(16 << 20));
    });
    IN_CHILD("RLIMIT_MEMLOCK", {
        struct rlimit r = {2 * P, 2 * P};
        R(setrlimit(RLIMIT_MEMLOCK, &r));
        R(setresuid(1000, 1000, 1000));
        char *p = mmap(0, 4 * P, RW, ANON, -1, 0);
        R(mlock(p, 2 * P));
        R(mlock(p + 2 * P, P));
        OK(mmap(0, P, RW, ANON | MAP_LOCKED, -1, 0));
        R(munlock(p, P));
        R(mlock(p + 2 * P, P));
        R(mlockall(MCL_CURRENT));
        struct rlimit s = {3 * P, 3 * P};
        R(setrlimit(RLIMIT_MEMLOCK, &s));
    });
    struct rlimit bad = {5, 4};
    R(setrlimit(RLIMIT_AS, &bad));
    R(setrlimit(99, &bad));
    R(getrlimit(RLIMIT_STACK, &bad));
    V(bad.rlim_cur);
    R(prlimit(99999999, RLIMIT_AS, NULL, &bad));
}

static volatile char *lowest;
static int deep(int n) {
    volatile char b[1000];
    b[0] = n;
    lowest = b;
    return n == 0 ? 0 : deep(n - 1) + b[0];
}

static void stack(void) {
    SECTION("stack");
    static char alt[32768];
    stack_t s = {alt, 0, sizeof alt};
    sigaltstack(&s, NULL);
    IN_CHILD("grows", { V(deep(4000) != 0); });
    IN_CHILD("limit", {
        struct rlimit r = {256 << 10, RLIM_INFINITY};
        setrlimit(RLIMIT_STACK, &r);
        signal(SIGSEGV, SIG_DFL);
        deep(4000);
        say("not reached");
    });
    IN_CHILD("guard gap", {
        char here;
        char *page = (char *)((long)&here & -P);
        char *below = mmap(page - 512 * P, 100 * P, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0);
        V(below == page - 512 * P);
        V(touches(page - 200 * P, 1));
        V(touches(page - 100 * P, 1));
        below[5] = 1;
        V(touches(page - 412 * P - 1, 1));
    });
    IN_CHILD("MAP_GROWSDOWN", {
        reserve(600);
        map_at(590, 1, RW, ANON | MAP_GROWSDOWN, -1, 0);
        V(touches(base + 589 * P, 1));
        V(touches(base + 585 * P, 1));
        maps(600);
        map_at(0, 1, PROT_READ, ANON, -1, 0);
        V(touches(base + 200 * P, 1));
        V(touches(base + 300 * P, 1));
    });
}

static void heap(void) {
    SECTION("brk");
    char *b = sbrk(0);
    R(brk(b + 10 * P) == 0);
    V((char *)sbrk(0) - b);
    V(b[9 * P]);
    b[9 * P] = 1;
    R(brk(b + 5 * P + 7));
    V((char *)sbrk(0) - b);
    V((long)syscall(SYS_brk, 0) == (long)b + 5 * P + 7);
    V((long)syscall(SYS_brk, 1) == (long)b + 5 * P + 7);
    R(brk(b + 10 * P));
    V(b[9 * P]);
    OK(mmap((void *)(((long)b + 12 * P) & -P), P, PROT_READ, ANON | MAP_FIXED, -1, 0));
    V((long)syscall(SYS_brk, b + 20 * P) == (long)b + 10 * P);
    V((long)syscall(SYS_brk, b) == (long)b);
}

static long field(const char *name) {
    static char text[8192];
    int fd = open("/proc/self/status", O_RDONLY);
    int n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = 0;
    char *at = strstr(text, name);
    return at ? atol(at + strlen(name)) : -1;
}

static void accounting(void) {
    SECTION("accounting");
    long size = 16 << 20, data = field("VmData:"), vm = field("VmSize:"), rss = field("RssAnon:"), sh = field("RssShmem:"), lck = field("VmLck:");
    char *p = mmap(0, size, RW, ANON, -1, 0);
    V(field("VmSize:") - vm);
    V(field("VmData:") - data);
    memset(p, 1, size / 2);
    long grown = field("RssAnon:") - rss;
    V(grown >= 8192 && grown < 8192 + 64);
    mprotect(p, size / 4, PROT_READ);
    V(field("VmData:") - data);
    madvise(p, size, MADV_DONTNEED);
    grown = field("RssAnon:") - rss;
    V(grown >= 0 && grown < 64);
    char *s = mmap(0, size, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    memset(s, 1, size / 4);
    V(field("RssShmem:") - sh);
    mlock(s, size / 4);
    V(field("VmLck:") - lck);
    munmap(s, size);
    V(field("RssShmem:") - sh);
    V(field("VmLck:") - lck);
    munmap(p, size);
    V(field("VmSize:") - vm);
    volatile char sum = 0;
    char *z = mmap(0, size, RW, ANON, -1, 0);
    madvise(z, size, MADV_NOHUGEPAGE);
    rss = field("RssAnon:");
    for (long i = 0; i < size; i += P) sum += z[i];
    grown = field("RssAnon:") - rss;
    V(grown >= 0 && grown < 64);
    munmap(z, size);
}

static void forks(void) {
    SECTION("fork");
    reserve(1024);
    map_at(0, 1024, RW, ANON, -1, 0);
    for (int i = 0; i < 1024; i++) base[i * P] = i;
    IN_CHILD("writes stay apart", {
        base[5 * P] = 99;
        mprotect(base + 7 * P, P, PROT_READ);
        munmap(base + 9 * P, P);
        IN_CHILD("grandchild", {
            V(base[5 * P]);
            base[6 * P] = 98;
            V(touches(base + 7 * P, 1));
            V(touches(base + 9 * P, 0));
            mprotect(base + 7 * P, P, RW);
            base[7 * P] = 97;
            V(base[7 * P]);
        });
        V(base[6 * P]);
        V(base[7 * P]);
    });
    V(base[5 * P]);
    V(touches(base + 7 * P, 1));
    V(base[7 * P]);
    V(base[9 * P]);
    int sum = 0;
    for (int round = 0; round < 20; round++) {
        pid_t c = fork();
        if (c == 0) {
            for (int i = round; i < 1024; i += 7) base[i * P + 1] = round + 1;
            _exit(base[(round + 7) * P + 1]);
        }
        base[round * P + 1] = 77;
        int st;
        waitpid(c, &st, 0);
        sum += WEXITSTATUS(st);
    }
    V(sum);
    for (int i = 0; i < 1024; i++) sum += base[i * P + 1];
    V(sum);
}

int main(void) {
    struct sigaction a = {.sa_sigaction = fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigaction(SIGSEGV, &a, NULL);
    sigaction(SIGBUS, &a, NULL);
    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
    heap();
    arguments();
    split_and_merge();
    moving();
    files();
    advice();
    limits();
    policies();
    stack();
    accounting();
    forks();
    return 0;
}
