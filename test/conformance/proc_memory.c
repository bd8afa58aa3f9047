/* What /proc says of memory: PROCMAP_QUERY, PAGEMAP_SCAN, pagemap, kpagecount, kpageflags, smaps. */
#include "observe.h"
#include <sys/ioctl.h>
#include <sys/prctl.h>

#define P 4096UL
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

/* Both structures are spelled out: the C library's headers may be older than they are. */
struct query {
    uint64_t size, flags, addr, start, end, vma_flags, page_size, offset, inode;
    uint32_t major, minor, name_size, id_size;
    uint64_t name_addr, id_addr;
};
#define QUERY _IOWR('f', 17, struct query)
struct region { uint64_t start, end, categories; };
struct scan {
    uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages, inverted, mask, anyof, ret;
};
#define SCAN _IOWR('f', 16, struct scan)
enum { WPALLOWED = 1, WRITTEN = 2, FILE_ = 4, PRESENT = 8, SWAPPED = 16, PFNZERO = 32, SOFT = 128 };
#define ALL (WPALLOWED | WRITTEN | FILE_ | PRESENT | SWAPPED | PFNZERO)

static char *base;
static int maps, pagemap;

/** Pages from the start of the area. */
static long at(uint64_t addr) { return ((long)addr - (long)base) / (long)P; }

/** A free area with nothing near it, where faults map the same neighbours on every kernel. */
static void area(void) {
    long room = 4L << 20;
    char *p = mmap(0, 3 * room, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);
    base = (char *)(((uintptr_t)p + 2 * room) & -room);
    munmap(p, 3 * room);
}
static void *put(long page, long pages, int prot, int flags, int fd, long pgoff) {
    return mmap(base + page * P, pages * P, prot, flags | MAP_FIXED, fd, pgoff * P);
}

static void ask(uint64_t flags, long page) {
    char name[4096];
    struct query q = {.size = sizeof q, .flags = flags, .addr = (uint64_t)(base + page * P)};
    q.name_size = sizeof name;
    q.name_addr = (uint64_t)name;
    int r = ioctl(maps, QUERY, &q), e = errno;
    if (r < 0) {
        say("   flags %#lx page %ld: %s", flags, page, result(-1, e));
        return;
    }
    if (at(q.start) < -40 || at(q.start) > 40) {
        say("   flags %#lx page %ld: elsewhere", flags, page);
        return;
    }
    char *shown = q.name_size ? strrchr(name, '/') : NULL;
    if (q.name_size == 0) *name = 0;
    if (shown == NULL) shown = name;
    say("   flags %#lx page %ld: %ld-%ld flags %lx size %lu offset %lx ino %d name %ld '%s' id %u", flags, page,
        at(q.start), at(q.end), q.vma_flags, q.page_size, q.offset, q.inode != 0,
        (long)q.name_size - (shown - name), shown, q.id_size);
}

static void queries(void) {
    SECTION("PROCMAP_QUERY: look-up");
    int fd = open("query file", O_RDWR | O_CREAT, 0644);
    ftruncate(fd, 8 * P);
    area();
    put(0, 2, RW, ANON, -1, 0);
    put(4, 2, PROT_READ, MAP_PRIVATE, fd, 1);
    put(6, 1, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 3);
    put(10, 2, RW, MAP_SHARED, fd, 0);
    put(14, 1, PROT_READ, MAP_SHARED, fd, 0);
    put(20, 1, PROT_NONE, ANON, -1, 0);
    put(24, 3, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (long page = -1; page < 28; page++) ask(0, page);
    for (long page = 0; page < 21; page += 3) ask(0x10, page);
    for (uint64_t flags = 1; flags < 0x40; flags++)
        if (flags & 0x2f) {
            ask(flags, 0);
            ask(flags, 5);
            ask(flags | 0x10, 11);
        }
    ask(0x40, 0);
    ask(0x80000000, 0);
    ask(1UL << 32, 0);
    unlink("query file");
    ask(0, 4);

    SECTION("PROCMAP_QUERY: structures");
    char name[64];
    struct { struct query q; char more[8192]; } big = {{0}};
    struct query *q = &big.q;
#define TRY(...) do { \
        memset(&big, 0, sizeof big); \
        *q = (struct query){.size = sizeof *q, .addr = (uint64_t)base, ##__VA_ARGS__}; \
        errno = 0; int r_ = ioctl(maps, QUERY, q); int e_ = errno; \
        say("%s = %s name %u id %u", #__VA_ARGS__, result(r_, e_), r_ < 0 || q->name_size < 10 ? q->name_size : 99, q->id_size); \
    } while (0)
    TRY(.size = 0);
    TRY(.size = 23);
    TRY(.size = 24);
    TRY(.size = 32);
    TRY(.size = 103);
    TRY(.size = 105);
    TRY(.size = 4096);
    TRY(.size = 4097);
    TRY(.size = -1UL);
    TRY(.flags = 0x40);
    TRY(.name_size = 64);
    TRY(.name_addr = (uint64_t)name);
    TRY(.name_size = 64, .name_addr = (uint64_t)name);
    TRY(.name_size = 64, .name_addr = 8);
    TRY(.id_size = 20);
    TRY(.id_addr = (uint64_t)name);
    TRY(.id_size = 20, .id_addr = (uint64_t)name);
    TRY(.id_size = 20, .id_addr = 8);
    TRY(.addr = (uint64_t)(base + 4 * P), .name_size = 4, .name_addr = (uint64_t)name);
    TRY(.addr = (uint64_t)(base + 4 * P), .name_size = -1, .name_addr = (uint64_t)name);
    TRY(.addr = (uint64_t)(base + 4 * P), .name_size = 64, .name_addr = 8);
    TRY(.addr = -1UL);
    TRY(.addr = -1UL, .flags = 0x10);
    memset(&big, 0, sizeof big);
    big.q = (struct query){.size = 4096, .addr = (uint64_t)base};
    big.more[100] = 1;
    R(ioctl(maps, QUERY, q));
    q->size = 24;
    q->start = 77;
    R(ioctl(maps, QUERY, q));
    V(q->start);
    q->size = 32;
    R(ioctl(maps, QUERY, q));
    V(at(q->start));
    R(ioctl(maps, QUERY, 8));
    R(ioctl(maps, QUERY + 1, q));
    R(ioctl(pagemap, QUERY, q));
    int smaps = open("/proc/self/smaps", O_RDONLY);
    R(ioctl(smaps, QUERY, q));
    close(smaps);

    SECTION("PROCMAP_QUERY: own program");
    unsigned char id[64];
    memset(&big, 0, sizeof big);
    big.q = (struct query){.size = sizeof *q, .addr = (uint64_t)&queries, .id_size = 64, .id_addr = (uint64_t)id};
    R(ioctl(maps, QUERY, q));
    V(q->id_size);
    V(q->vma_flags);
    q->id_size = 3;
    R(ioctl(maps, QUERY, q));
    int stack;
    *q = (struct query){.size = sizeof *q, .addr = (uint64_t)&stack, .name_size = 64, .name_addr = (uint64_t)name};
    R(ioctl(maps, QUERY, q));
    say("%s", name);
    *q = (struct query){.size = sizeof *q, .addr = (uint64_t)sbrk(0) - 1, .name_size = 64, .name_addr = (uint64_t)name};
    R(ioctl(maps, QUERY, q));
    say("%s", name);
    munmap(base, 40 * P);
    close(fd);
}

static struct region vec[64];
static void scan_(const char *what, struct scan s) {
    memset(vec, 0, sizeof vec);
    errno = 0;
    int r = ioctl(pagemap, SCAN, &s), e = errno;
    if (r < 0 && e != EPERM && s.vec != 8) say("%s = %s", what, result(r, e));
    else say("%s = %s walk_end %ld", what, result(r, e), at(s.walk_end));
    for (int i = 0; i < r && i < 64; i++)
        say("   %ld-%ld %lx", at(vec[i].start), at(vec[i].end), vec[i].categories & ALL);
}
#define SCAN_(...) scan_(#__VA_ARGS__, (struct scan){.size = sizeof(struct scan), .start = (uint64_t)base, \
    .end = (uint64_t)(base + 40 * P), .vec = (uint64_t)vec, .vec_len = 64, .ret = ALL, ##__VA_ARGS__})

static void scans(void) {
    SECTION("PAGEMAP_SCAN: categories");
    int fd = open("scan file", O_RDWR | O_CREAT, 0644);
    for (int i = 0; i < 8; i++) pwrite(fd, "x", 1, i * P);
    area();
    char *p = put(0, 10, RW, ANON, -1, 0);
    madvise(p, 10 * P, MADV_NOHUGEPAGE);
    p[0] = 1;
    p[P] = 1;
    (void)*(volatile char *)(p + 2 * P);
    p[5 * P] = 1;
    char *f = put(12, 4, RW, MAP_PRIVATE, fd, 0);
    madvise(f, 4 * P, MADV_RANDOM);
    f[0] = 1;
    (void)*(volatile char *)(f + P);
    char *s = put(20, 4, RW, MAP_SHARED, fd, 4);
    madvise(s, 4 * P, MADV_RANDOM);
    s[P] = 1;
    (void)*(volatile char *)(s + 2 * P);
    char *a = put(28, 4, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    a[P] = 1;
    SCAN_();
    SCAN_(.mask = PRESENT);
    SCAN_(.mask = PRESENT | FILE_);
    SCAN_(.mask = FILE_);
    SCAN_(.mask = PFNZERO);
    SCAN_(.mask = SWAPPED);
    SCAN_(.mask = WRITTEN);
    SCAN_(.mask = WRITTEN, .ret = WRITTEN);
    SCAN_(.mask = WRITTEN | PRESENT, .ret = WRITTEN | FILE_);
    SCAN_(.mask = WPALLOWED);
    SCAN_(.anyof = PFNZERO | FILE_);
    SCAN_(.mask = PRESENT, .anyof = PFNZERO | FILE_);
    SCAN_(.mask = PRESENT, .inverted = PRESENT);
    SCAN_(.mask = PRESENT | FILE_, .inverted = FILE_);
    SCAN_(.mask = WPALLOWED, .inverted = WPALLOWED);
    SCAN_(.mask = PRESENT, .ret = 0);
    SCAN_(.mask = PRESENT, .ret = PRESENT);
    SECTION("PAGEMAP_SCAN: limits");
    for (long n = 1; n < 8; n++) SCAN_(.mask = PRESENT, .max_pages = n);
    for (long n = 1; n < 8; n++) SCAN_(.mask = PRESENT, .vec_len = n);
    SCAN_(.mask = PRESENT, .vec_len = 2, .max_pages = 3);
    SCAN_(.mask = PRESENT, .vec_len = 0);
    SCAN_(.mask = PRESENT, .vec_len = 0, .vec = 0);
    SCAN_(.max_pages = 15);
    SCAN_(.start = (uint64_t)(base + P), .end = (uint64_t)(base + 2 * P));
    SCAN_(.start = (uint64_t)(base + P), .end = (uint64_t)(base + P + 1));
    SCAN_(.start = (uint64_t)(base + P), .end = (uint64_t)(base + P));
    SCAN_(.start = (uint64_t)(base + 3 * P), .end = (uint64_t)(base + 13 * P));
    SECTION("PAGEMAP_SCAN: structures");
    SCAN_(.size = 0);
    SCAN_(.size = 95);
    SCAN_(.size = 97);
    SCAN_(.flags = 1);
    SCAN_(.flags = 2);
    SCAN_(.flags = 3);
    SCAN_(.flags = 1, .vec_len = 0, .vec = 0);
    SCAN_(.flags = 4);
    SCAN_(.flags = 1UL << 32);
    SCAN_(.mask = 1 << 9);
    SCAN_(.inverted = 1 << 9);
    SCAN_(.anyof = 1UL << 63);
    SCAN_(.ret = 1 << 20);
    SCAN_(.start = (uint64_t)base + 1);
    SCAN_(.end = (uint64_t)base - P);
    SCAN_(.end = -1UL);
    SCAN_(.vec = 0);
    SCAN_(.vec = 8);
    SCAN_(.vec = -1UL);
    SCAN_(.vec_len = -1UL);
    R(ioctl(pagemap, SCAN, 8));
    R(ioctl(pagemap, SCAN, -1L));
    R(ioctl(maps, SCAN, vec));
    munmap(base, 40 * P);
    close(fd);
    unlink("scan file");
}

static uint64_t entry(void *addr) {
    uint64_t e = 0;
    if (pread(pagemap, &e, 8, (uint64_t)addr / P * 8) != 8) return 0xdead;
    return e;
}
static uint64_t word(const char *path, uint64_t index) {
    uint64_t w = 0xdead;
    int fd = open(path, O_RDONLY);
    if (pread(fd, &w, 8, index * 8) != 8) w = 0xdead;
    close(fd);
    return w;
}
#define PFN(e) ((e) & ((1UL << 55) - 1))
/** Of the flags those that do not depend on what else the machine does. */
#define FLAGS(f) ((f) & ((1 << 3) | (1 << 11) | (1 << 12) | (1 << 14) | (1 << 24) | (1 << 26) | (1 << 10)))

static void page(const char *what, void *addr) {
    uint64_t e = entry(addr);
    if (e >> 63 == 0) {
        say("   %s: %lx", what, e & ~(1UL << 55));
        return;
    }
    uint64_t flags = word("/proc/kpageflags", PFN(e)), zero = flags >> 24 & 1;
    say("   %s: bits %lx pfn %d count %ld flags %lx", what, e >> 56, PFN(e) != 0,
        zero ? 0 : (long)word("/proc/kpagecount", PFN(e)), zero ? 1L << 24 : FLAGS(flags));
}

static long smaps_kb(const char *file, void *addr, const char *row) {
    static char text[1 << 18];
    char start[32];
    int fd = open(file, O_RDONLY), n = 0, r;
    while ((r = read(fd, text + n, sizeof text - 1 - n)) > 0) n += r;
    close(fd);
    text[n] = 0;
    sprintf(start, "%lx-", (long)addr);
    char *p = addr ? strstr(text, start) : text;
    p = p ? strstr(p, row) : NULL;
    return p ? atol(p + strlen(row)) : -1;
}

static void smaps_rows(const char *what, void *addr) {
    static const char *rows[] = {"Size:", "KernelPageSize:", "MMUPageSize:", "Rss:", "Pss:", "Shared_Clean:", "Shared_Dirty:",
                                 "Private_Clean:", "Private_Dirty:", "Anonymous:", "KSM:", "AnonHugePages:", "ShmemPmdMapped:",
                                 "FilePmdMapped:", "Shared_Hugetlb:", "Private_Hugetlb:", "Swap:", "SwapPss:", "Locked:"};
    say("-- smaps of %s", what);
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) say("   %s %ld", rows[i], smaps_kb("/proc/self/smaps", addr, rows[i]));
}

static void layout(const char *file) {
    FILE *f = fopen(file, "r");
    char line[512], name[64];
    fgets(line, sizeof line, f);
    while (fgets(line, sizeof line, f) && strncmp(line, "VmFlags", 7)) {
        if (sscanf(line, "%63[^:]:", name) != 1 || strchr(line, '-')) break;
        char *digits = line + strcspn(line, "0123456789");
        int end = (int)(digits - line) + (int)strspn(digits, "0123456789");
        say("   %s|%d|%s", name, end, line[end] ? line + end + (line[strlen(line) - 1] = 0) : "");
    }
    fclose(f);
}

static void vmflags(const char *what, void *addr) {
    static char text[1 << 18];
    char start[32];
    int fd = open("/proc/self/smaps", O_RDONLY), n = 0, r;
    while ((r = read(fd, text + n, sizeof text - 1 - n)) > 0) n += r;
    close(fd);
    text[n] = 0;
    sprintf(start, "%lx-", (long)addr);
    char *p = strstr(text, start), out[256] = "";
    p = p ? strstr(p, "VmFlags:") : NULL;
    if (!p) return;
    *strchr(p, '\n') = 0;
    /* Soft-dirty tracking depends on the kernel's configuration. */
    for (char *w = strtok(p + 8, " "); w; w = strtok(NULL, " "))
        if (strcmp(w, "sd")) strcat(strcat(out, " "), w);
    say("   VmFlags of %s:%s", what, out);
}

static void sharing(void) {
    SECTION("pages of one and two processes");
    int fd = open("share file", O_RDWR | O_CREAT, 0644);
    for (int i = 0; i < 8; i++) pwrite(fd, "x", 1, i * P);
    area();
    char *p = put(0, 8, RW, ANON, -1, 0);
    madvise(p, 8 * P, MADV_NOHUGEPAGE);
    for (int i = 0; i < 4; i++) p[i * P] = 1;
    (void)*(volatile char *)(p + 4 * P);
    char *f = put(12, 4, RW, MAP_PRIVATE, fd, 0);
    madvise(f, 4 * P, MADV_RANDOM);
    f[0] = 1;
    (void)*(volatile char *)(f + P);
    char *s = put(20, 4, RW, MAP_SHARED, fd, 4);
    madvise(s, 4 * P, MADV_RANDOM);
    s[P] = 1;
    char *a = put(28, 4, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    a[P] = 1;
    page("anon 0", p);
    page("anon zero page", p + 4 * P);
    page("anon none", p + 5 * P);
    page("file copy", f);
    page("file", f + P);
    page("file none", f + 2 * P);
    page("shared file", s + P);
    page("shared anon", a + P);
    page("nothing", base + 9 * P);
    smaps_rows("anon", p);
    smaps_rows("file", f);
    smaps_rows("shared file", s);
    smaps_rows("shared anon", a);
    int up[2], down[2];
    char c;
    pipe(up);
    pipe(down);
    pid_t child = fork();
    if (child == 0) {
        read(down[0], &c, 1);
        p[P] = 2;
        write(up[1], "", 1);
        read(down[0], &c, 1);
        munmap(p, 2 * P);
        a[P] = 2;
        write(up[1], "", 1);
        read(down[0], &c, 1);
        _exit(0);
    }
    say("-- a child");
    for (int i = 0; i < 5; i++) page("anon", p + i * P);
    page("file copy", f);
    smaps_rows("anon", p);
    write(down[1], "", 1);
    read(up[0], &c, 1);
    say("-- the child has written page 1");
    for (int i = 0; i < 5; i++) page("anon", p + i * P);
    smaps_rows("anon", p);
    write(down[1], "", 1);
    read(up[0], &c, 1);
    say("-- the child has unmapped pages 0 and 1");
    for (int i = 0; i < 5; i++) page("anon", p + i * P);
    page("shared anon", a + P);
    smaps_rows("anon", p);
    smaps_rows("shared anon", a);
    write(down[1], "", 1);
    report_child(child);
    for (int i = 0; i < 5; i++) page("anon", p + i * P);
    smaps_rows("anon", p);

    SECTION("VmFlags");
    vmflags("anon", p);
    vmflags("file", f);
    vmflags("shared file", s);
    vmflags("shared anon", a);
    madvise(p, 8 * P, MADV_DONTFORK);
    vmflags("MADV_DONTFORK", p);
    madvise(p, 8 * P, MADV_DOFORK);
    madvise(p, 8 * P, MADV_WIPEONFORK);
    madvise(p, 8 * P, MADV_DONTDUMP);
    vmflags("MADV_WIPEONFORK, DONTDUMP", p);
    mprotect(p, P, PROT_READ);
    vmflags("read-only", p);
    mprotect(p, P, PROT_NONE);
    vmflags("PROT_NONE", p);
    mlock(a, 4 * P);
    vmflags("mlock", a);
    smaps_rows("mlock", a);
    munlock(a, 4 * P);
    syscall(SYS_mlock2, s, 4 * P, 1);
    vmflags("mlock2 on fault", s);
    munlock(s, 4 * P);

    SECTION("layout of smaps and smaps_rollup");
    layout("/proc/self/smaps");
    layout("/proc/self/smaps_rollup");
    munmap(base, 40 * P);
    close(fd);
    unlink("share file");
}

static void reads(void) {
    SECTION("reads at odd places");
    uint64_t words[8];
    char *text = malloc(1 << 20), *more = malloc(1 << 20);
    R(pread(pagemap, words, 7, 0));
    R(pread(pagemap, words, 8, 4));
    R(pread(pagemap, words, 0, 8));
    R(pread(pagemap, words, 16, 0));
    R(pread(pagemap, words, 8, 1UL << 50));
    R(pread(pagemap, (void *)8, 8, 0));
    for (const char **f = (const char *[]){"/proc/kpagecount", "/proc/kpageflags", 0}; *f; f++) {
        say("-- %s", *f);
        struct stat st;
        stat(*f, &st);
        say("   mode %o", st.st_mode);
        int fd = open(*f, O_RDONLY);
        R(pread(fd, words, 7, 0));
        R(pread(fd, words, 8, 4));
        R(pread(fd, words, 16, 8));
        R(pread(fd, words, 8, 1UL << 50));
        R(pread(fd, (void *)8, 8, 0));
        R(pread(fd, words, 0, 0));
        R(lseek(fd, 16, SEEK_SET));
        R(read(fd, words, 8));
        R(lseek(fd, 0, SEEK_CUR));
        R(lseek(fd, 0, SEEK_END));
        close(fd);
        IN_CHILD("as somebody else", setuid(1000); OK(open(*f, O_RDONLY)));
    }
    SECTION("maps in pieces");
    int fd = open("/proc/self/maps", O_RDONLY);
    long n = 0, r;
    while ((r = read(fd, text + n, 100)) > 0) n += r;
    lseek(fd, 0, SEEK_SET);
    long m = 0;
    while ((r = read(fd, more + m, 7)) > 0) m += r;
    V(n == m && memcmp(text, more, n) == 0);
    V(pread(fd, more, 50, 130) == 50 && memcmp(text + 130, more, 50) == 0);
    V(pread(fd, more, 50, 30) == 50 && memcmp(text + 30, more, 50) == 0);
    R(pread(fd, more, 50, n));
    R(pread(fd, more, 50, n + 1000));
    R(pread(fd, (void *)8, 50, 0));
    R(read(fd, more, 0));
    close(fd);
    /* Whole lines as far as a page goes, one of them at least. */
    fd = open("/proc/self/smaps", O_RDONLY);
    r = read(fd, text, 1 << 20);
    V(r > 0 && r <= 4096 && text[r - 1] == '\n');
    close(fd);
    SECTION("an address space that is gone");
    pid_t child = fork();
    if (child == 0) {
        pause();
        _exit(0);
    }
    char path[64];
    int fds[4], i = 0;
    for (const char **f = (const char *[]){"maps", "smaps", "smaps_rollup", "pagemap", 0}; *f; f++) {
        sprintf(path, "/proc/%d/%s", child, *f);
        fds[i++] = open(path, O_RDONLY);
    }
    struct query q = {.size = sizeof q, .addr = (uint64_t)&queries};
    R(ioctl(fds[0], QUERY, &q));
    kill(child, SIGKILL);
    siginfo_t info;
    waitid(P_PID, child, &info, WEXITED | WNOWAIT);
    for (i = 0; i < 4; i++) R(read(fds[i], text, 4096));
    R(ioctl(fds[0], QUERY, &q));
    sprintf(path, "/proc/%d/maps", child);
    int late = open(path, O_RDONLY);
    V(late >= 0);
    R(read(late, text, 4096));
    sprintf(path, "/proc/%d/smaps_rollup", child);
    OK(open(path, O_RDONLY));
    sprintf(path, "/proc/%d/pagemap", child);
    OK(open(path, O_RDONLY));
    report_child(child);
    for (i = 0; i < 4; i++) R(read(fds[i], text, 4096));
    R(ioctl(fds[0], QUERY, &q));
    IN_CHILD("frames without rights", {
        char *p = mmap(0, P, RW, ANON, -1, 0);
        *p = 1;
        V(PFN(entry(p)) != 0);
        setuid(1000);
        V(PFN(entry(p)) != 0);
        prctl(PR_SET_DUMPABLE, 1);
        pagemap = open("/proc/self/pagemap", O_RDONLY);
        V(pagemap >= 0);
        V(PFN(entry(p)) != 0);
        V(entry(p) >> 56);
    });
}

int main(void) {
    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
    maps = open("/proc/self/maps", O_RDONLY);
    pagemap = open("/proc/self/pagemap", O_RDONLY);
    queries();
    scans();
    sharing();
    reads();
    return 0;
}
