/* Random steps of the mmap family in a small region, with forks: the map and the bytes after each. */
#include "observe.h"

#define P 4096L
#define PAGES 48
#define RW (PROT_READ | PROT_WRITE)

static char *base;
static uint64_t state;
static unsigned rnd(unsigned n) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (state >> 20) % n;
}

static char text[1 << 16];
/** The region's lines of /proc/self/maps, compactly. */
static void maps(char *out) {
    int fd = open("/proc/self/maps", O_RDONLY), n = 0, r;
    while ((r = read(fd, text + n, sizeof text - 1 - n)) > 0) n += r;
    text[n] = 0;
    close(fd);
    *out = 0;
    for (char *line = text; *line;) {
        char *next = strchr(line, '\n');
        *next++ = 0;
        unsigned long start, end, off;
        char perms[8];
        sscanf(line, "%lx-%lx %7s %lx", &start, &end, perms, &off);
        if (start >= (unsigned long)base && end <= (unsigned long)base + PAGES * P) {
            char *slash = strrchr(line, '/');
            int has_file = slash != NULL;
            out += sprintf(out, " %ld-%ld%s", (start - (unsigned long)base) / P, (end - (unsigned long)base) / P, perms);
            if (has_file) out += sprintf(out, "@%ld", off / P);
        }
        line = next;
    }
}

static unsigned char vec[PAGES];
/** A digest of what can be read, page by page. */
static unsigned contents(void) {
    unsigned sum = 0;
    char page[16];
    int p[2];
    pipe(p);
    for (int i = 0; i < PAGES; i++) {
        int n = write(p[1], base + i * P + 8, 8);
        if (n == 8) read(p[0], page, 8);
        for (int k = 0; k < 8; k++) sum = sum * 31 + (n == 8 ? (unsigned char)page[k] : 77);
    }
    close(p[0]);
    close(p[1]);
    return sum;
}

/** Whether pages [at, at + n) are of one mapping: newer kernels move several at once. */
static int one_mapping(int at, int n) {
    char line[8192];
    maps(line);
    for (char *word = strtok(line, " "); word; word = strtok(NULL, " ")) {
        int start, end;
        sscanf(word, "%d-%d", &start, &end);
        if (at >= start && at + n <= end) return 1;
    }
    return 0;
}

static int fd;
static void step(int level, int number);

static void poke(void) {
    int at = rnd(PAGES), n = 0;
    char value[8];
    memset(value, rnd(255) + 1, 8);
    /* Through a pipe: EFAULT instead of a signal. */
    int p[2];
    pipe(p);
    write(p[1], value, 8);
    errno = 0;
    n = read(p[0], base + at * P + 8, 8);
    say("poke %d = %s", at, result(n, errno));
    close(p[0]);
    close(p[1]);
}

static void child(int level) {
    pid_t c = fork();
    if (c == 0) {
        for (int i = 0; i < 12; i++) step(level + 1, i);
        char line[8192];
        maps(line);
        say("child %u%s", contents(), line);
        _exit(0);
    }
    report_child(c);
}

static void step(int level, int number) {
    int a = rnd(PAGES), n = 1 + rnd(PAGES - a < 12 ? PAGES - a : 12), prot = (const int[]){PROT_NONE, PROT_READ, RW, RW, RW}[rnd(5)];
    char *at = base + a * P;
    void *m;
    errno = 0;
    long r;
    switch (rnd(level > 1 ? 15 : 16)) {
    case 0: case 1: case 2:
        r = mmap(at, n * P, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED;
        say("map %d+%d %d = %s", a, n, prot, result(-r, errno));
        break;
    case 3:
        r = mmap(at, n * P, prot, MAP_SHARED | MAP_FIXED, fd, a * P) == MAP_FAILED;
        say("file %d+%d %d = %s", a, n, prot, result(-r, errno));
        break;
    case 4:
        r = mmap(at, n * P, prot, MAP_PRIVATE | MAP_FIXED, fd, a * P) == MAP_FAILED;
        say("private file %d+%d %d = %s", a, n, prot, result(-r, errno));
        break;
    case 5: {
        r = munmap(at, n * P);
        int e = errno;
        /* Keeps strangers (a library's own mapping) out of the hole. */
        say("unmap %d+%d = %s", a, n, result(r, e));
        break;
    }
    case 6: case 7:
        r = mprotect(at, n * P, prot);
        say("protect %d+%d %d = %s", a, n, prot, result(r, errno));
        break;
    case 8: case 9: {
        int to = rnd(PAGES - n + 1), old = 1 + rnd(n);
        if (!one_mapping(a, old)) break;
        m = mremap(at, old * P, n * P, MREMAP_MAYMOVE | MREMAP_FIXED, base + to * P);
        say("move %d+%d to %d+%d = %s", a, old, to, n, result(m == MAP_FAILED ? -1 : 0, errno));
        break;
    }
    case 10: {
        int old = 1 + rnd(n);
        m = mremap(at, old * P, n * P, 0);
        say("grow %d+%d to %d = %s", a, old, n, result(m == MAP_FAILED ? -1 : 0, errno));
        break;
    }
    case 11: {
        static const int advices[] = {MADV_DONTNEED, MADV_DONTNEED, MADV_WIPEONFORK, MADV_KEEPONFORK, MADV_DONTFORK, MADV_DOFORK, MADV_RANDOM, MADV_NORMAL, MADV_WILLNEED, MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_DONTDUMP};
        int advice = advices[rnd(12)];
        r = madvise(at, n * P, advice);
        say("advise %d+%d %d = %s", a, n, advice, result(r, errno));
        break;
    }
    case 12:
        r = rnd(2) ? mlock(at, n * P) : munlock(at, n * P);
        say("lock %d+%d = %s", a, n, result(r, errno));
        break;
    case 13: {
        int old = 1 + rnd(n), to = rnd(PAGES - old + 1);
        if (!one_mapping(a, old)) break;
        m = mremap(at, old * P, old * P, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, base + to * P);
        say("copy %d+%d to %d = %s", a, old, to, result(m == MAP_FAILED ? -1 : 0, errno));
        break;
    }
    case 14:
        break;
    default:
        child(level);
    }
    for (int i = rnd(4); i > 0; i--) poke();
    char line[8192];
    maps(line);
    say("%d.%d %08x%s", level, number, contents(), line);
}

int main(void) {
    fd = open("random", O_RDWR | O_CREAT, 0644);
    base = mmap(0, (PAGES + 16) * P, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    base += 8 * P;
    for (int seed = 1; seed <= 12; seed++) {
        state = seed * 0x9e3779b97f4a7c15ull;
        ftruncate(fd, 0);
        ftruncate(fd, PAGES * P);
        mmap(base, PAGES * P, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0);
        munmap(base, PAGES * P);
        SECTION("seed");
        for (int i = 0; i < 40; i++) step(0, i);
    }
    return 0;
}
