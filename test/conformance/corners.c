/* Corners: what only some programs meet, over several subsystems at once. */
#include "observe.h"
#include <dirent.h>
#include <ftw.h>
#include <glob.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <termios.h>
#include <ucontext.h>
#include <utime.h>

#define P 4096L
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static void futexes(void) {
    SECTION("futex");
    int *w = mmap(0, P, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0), two = 0;
#define F(addr, op, val, timeout, addr2, val3) syscall(SYS_futex, addr, op, val, timeout, addr2, val3)
    struct timespec t = {0, 5000000}, bad = {0, 1000000000}, past = {1, 0};
    R(F(w, FUTEX_WAIT, 1, NULL, NULL, 0));
    R(F(w, FUTEX_WAIT, 0, &t, NULL, 0));
    R(F(w, FUTEX_WAIT_BITSET, 0, &past, NULL, ~0u));
    R(F(w, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &past, NULL, ~0u));
    R(F(w, FUTEX_WAIT_BITSET, 0, &past, NULL, 0));
    R(F(w, FUTEX_WAIT, 0, &bad, NULL, 0));
    R(F((char *)w + 1, FUTEX_WAIT, 0, NULL, NULL, 0));
    R(F((int *)8, FUTEX_WAIT, 0, NULL, NULL, 0));
    R(F(w, FUTEX_WAKE, 1, NULL, NULL, 0));
    R(F(w, 99, 1, NULL, NULL, 0));
    pid_t c[3];
    for (int i = 0; i < 3; i++)
        if ((c[i] = fork()) == 0) _exit(F(w, FUTEX_WAIT, 0, NULL, NULL, 0) == 0 ? 0 : 1);
    sleep_ms(30);
    R(F(w, FUTEX_CMP_REQUEUE, 1, (void *)1, w + 1, 5));
    R(F(w, FUTEX_CMP_REQUEUE, 1, (void *)1, w + 1, 0));
    R(F(w, FUTEX_WAKE, 10, NULL, NULL, 0));
    R(F(w + 1, FUTEX_WAKE, 10, NULL, NULL, 0));
    for (int i = 0; i < 3; i++) report_child(c[i]);
    pid_t b[2];
    for (int i = 0; i < 2; i++)
        if ((b[i] = fork()) == 0) _exit(F(w, FUTEX_WAIT_BITSET, 0, NULL, NULL, 1 << i) == 0 ? i : 9);
    sleep_ms(30);
    R(F(w, FUTEX_WAKE_BITSET, 10, NULL, NULL, 2));
    report_child(b[1]);
    R(F(w, FUTEX_WAKE_OP, 1, (void *)1, w + 2, FUTEX_OP(FUTEX_OP_SET, 7, FUTEX_OP_CMP_EQ, 0)));
    V(w[2]);
    report_child(b[0]);
    int fd = open("fx", O_RDWR | O_CREAT, 0644);
    ftruncate(fd, P);
    int *m1 = mmap(0, P, RW, MAP_SHARED, fd, 0), *m2 = mmap(0, P, RW, MAP_SHARED, fd, 0);
    pid_t k = fork();
    if (k == 0) _exit(F(m1 + 3, FUTEX_WAIT, 0, NULL, NULL, 0) == 0 ? 5 : 6);
    sleep_ms(20);
    R(F(m2 + 3, FUTEX_WAKE, 1, NULL, NULL, 0));
    report_child(k);
    close(fd);
    /* A private futex word in a page that fork shares: waiters of parent and child are apart. */
    static int word;
    word = 0;
    k = fork();
    if (k == 0) {
        struct timespec s = {0, 40000000};
        _exit(F(&word, FUTEX_WAIT, 0, &s, NULL, 0) == -1 && errno == ETIMEDOUT ? 7 : 8);
    }
    sleep_ms(15);
    R(F(&word, FUTEX_WAKE, 1, NULL, NULL, 0));
    report_child(k);
}

static int visits;
static int visit(const char *path, const struct stat *st, int type, struct FTW *f) {
    visits += type == FTW_D ? 100 : type == FTW_SL ? 10000 : 1;
    return 0;
}

static void names(void) {
    SECTION("names");
    mkdir("tree", 0755);
    mkdir("tree/a", 0755);
    mkdir("tree/a/b", 0755);
    symlink("../..", "tree/a/b/up");
    symlink("/dev/null", "tree/null");
    spill("tree/a/f", "x");
    struct stat st, other;
    R(stat("tree/a/b/up/a/b/up/a/f", &st));
    R(lstat("tree/a/b/up", &st));
    V(st.st_size);
    R(stat("tree/a/b/up/", &st));
    R(readlink("tree/a/b/up/", (char[9]){0}, 8));
    R(open("tree/a/b/up", O_RDONLY | O_NOFOLLOW));
    R(open("tree/a/b/up/", O_RDONLY | O_NOFOLLOW));
    close(3);
    R(open("tree/a/b/up", O_RDONLY | O_NOFOLLOW | O_DIRECTORY));
    R(open("tree/null", O_WRONLY | O_CREAT | O_TRUNC, 0644));
    close(3);
    R(open("tree/null", O_WRONLY | O_CREAT | O_EXCL, 0644));
    R(nftw("tree", visit, 10, FTW_PHYS));
    V(visits);
    R(rename("tree/a", "tree/a/b/c"));
    R(rename("tree/a/b", "tree/a"));
    R(rename("tree/a/b/up", "tree/up2"));
    R(rmdir("tree/a/b"));
    R(unlink("tree/up2"));
    R(stat("tree/a/../../tree/a/.//f", &st));
    R(stat("tree/a/f/..", &st));
    R(stat("tree/missing/..", &st));
    R(mkdir("tree/a/..", 0755));
    R(rmdir("tree/a/."));
    R(unlink("tree/a/f/"));
    R(rename("tree/a/f", "tree/a/f/"));
    R(rename("tree/a", "tree/n/"));
    R(link("tree/n", "tree/m"));
    R(link("tree/n/f", "tree/m/"));
    R(symlink("x", "tree/m/"));
    R(open("tree/m/", O_CREAT | O_RDWR, 0644));
    R(mknod("tree/m/", S_IFREG | 0644, 0));
    stat("tree", &st);
    V(st.st_nlink);
    stat("tree/n", &st);
    stat("tree/n/.", &other);
    V(st.st_ino == other.st_ino && st.st_dev == other.st_dev);
    DIR *d = opendir("tree");
    int matching = 0;
    for (struct dirent *e; (e = readdir(d));) {
        struct stat s;
        fstatat(dirfd(d), e->d_name, &s, AT_SYMLINK_NOFOLLOW);
        matching += s.st_ino == e->d_ino;
    }
    V(matching);
    closedir(d);
    glob_t g;
    R(glob("tree/*", 0, NULL, &g));
    V(g.gl_pathc);
    R(access("tree", R_OK | W_OK | X_OK));
    R(access("tree/n/f", X_OK));
    R(faccessat(AT_FDCWD, "tree/null", F_OK, AT_SYMLINK_NOFOLLOW));
    int fd = open("tree", O_RDONLY);
    R(unlink("tree/null"));
    R(renameat(fd, "n", AT_FDCWD, "moved"));
    R(rmdir("tree"));
    R(openat(fd, "x", O_CREAT | O_RDWR, 0644));
    R(openat(fd, "..", O_RDONLY) >= 0);
    R(fstat(fd, &st));
    V(st.st_nlink);
    for (int i = 3; i < 8; i++) close(i);
    R(setxattr("moved", "bogus", "v", 1, 0));
}

static void mapped_files(void) {
    SECTION("mapped files");
    int fd = open("mf", O_RDWR | O_CREAT, 0644);
    char block[P];
    for (int i = 0; i < 16; i++) {
        memset(block, 'A' + i, P);
        write(fd, block, P);
    }
    char *s = mmap(0, 16 * P, RW, MAP_SHARED, fd, 0), *p = mmap(0, 16 * P, RW, MAP_PRIVATE, fd, 0);
    IN_CHILD("fork and files", {
        s[0] = '1';
        p[P] = '2';
        say("%c%c %c%c", s[0], p[0], s[P], p[P]);
    });
    say("%c%c %c%c", s[0], p[0], s[P], p[P]);
    pwrite(fd, "w", 1, P);
    say("%c%c", s[P], p[P]);
    IN_CHILD("truncate below", { ftruncate(fd, 4 * P); });
    struct stat st;
    fstat(fd, &st);
    V(st.st_size);
    R(read(fd, s + 8 * P, 10));
    lseek(fd, 0, SEEK_SET);
    R(read(fd, s + 8 * P, 10));
    R(write(1, s + 8 * P, 10));
    ftruncate(fd, 16 * P);
    say("%d %d", s[8 * P], p[8 * P]);
    R(madvise(s, 4 * P, MADV_REMOVE));
    say("%d %d %c", s[0], p[0], p[1] ? 'c' : '0');
    R(read(fd, s, 3 * P));
    lseek(fd, 2 * P, SEEK_SET);
    memcpy(s + P, "overlap", 7);
    R(pread(fd, s + 2 * P, 8, P));
    say("%s", s + 2 * P);
    R(pwrite(fd, s + P, P, 5 * P));
    say("%.7s", s + 5 * P);
    munmap(s, 16 * P);
    munmap(p, 16 * P);
    char *e = mmap(0, 4 * P, RW, MAP_SHARED, fd, 8 * P);
    R(mremap(e, 4 * P, 8 * P, MREMAP_MAYMOVE) != MAP_FAILED);
    close(fd);
    fd = open("/proc/self/exe", O_RDONLY);
    char head[4];
    char *x = mmap(0, P, PROT_READ, MAP_PRIVATE, fd, 0);
    say("%d %.3s", x[0], x + 1);
    R(mprotect(x, P, RW));
    x[0] = 1;
    R(pread(fd, head, 4, 0));
    V(head[0]);
    close(fd);
}

static void *grow(void *arg) {
    volatile char b[100000];
    memset((void *)b, 1, sizeof b);
    for (int i = 0; i < 30; i++) {
        pid_t c = fork();
        if (c == 0) _exit(b[500] == 1 ? 0 : 1);
        int st;
        waitpid(c, &st, 0);
        if (st) return (void *)1;
        sched_yield();
    }
    return NULL;
}

static int *shared_count;
static void tree(int levels) {
    if (levels == 0) return;
    static int values[5000];
    values[levels * 100] += levels;
    for (int i = 0; i < 3; i++)
        if (fork() == 0) {
            values[levels * 100 + i] += 7;
            tree(levels - 1);
            __atomic_fetch_add(shared_count, values[levels * 100 + i], __ATOMIC_RELAXED);
            _exit(0);
        }
    while (wait(NULL) > 0) {}
}

static void many(void) {
    SECTION("many");
    pthread_t t[4];
    for (int i = 0; i < 4; i++) pthread_create(&t[i], NULL, grow, NULL);
    for (int i = 0; i < 4; i++) {
        void *v;
        pthread_join(t[i], &v);
        V((long)v);
    }
    shared_count = mmap(0, P, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    tree(4);
    V(*shared_count);
    IN_CHILD("RLIMIT_NPROC", {
        setresuid(4242, 4242, 4242);
        struct rlimit r = {3, 3};
        R(setrlimit(RLIMIT_NPROC, &r));
        int made = 0;
        for (int i = 0; i < 5; i++) {
            pid_t c = fork();
            if (c == 0) {
                pause();
                _exit(0);
            }
            if (c < 0) {
                say("%s", strerrorname_np(errno));
                break;
            }
            made++;
        }
        V(made);
        kill(0 - 0, 0);
        signal(SIGTERM, SIG_IGN);
        R(kill(-1, SIGTERM));
        while (wait(NULL) > 0) {}
    });
    IN_CHILD("deep pipeline", {
        int in = -1;
        for (int i = 0; i < 12; i++) {
            int p[2];
            pipe(p);
            if (fork() == 0) {
                close(p[0]);
                char b[512];
                int n;
                if (i == 0) for (int k = 0; k < 300; k++) write(p[1], b, 512);
                else while ((n = read(in, b, 512)) > 0) write(p[1], b, n);
                _exit(0);
            }
            close(p[1]);
            if (in >= 0) close(in);
            in = p[0];
        }
        long total = 0;
        char b[4096];
        int n;
        while ((n = read(in, b, 4096)) > 0) total += n;
        V(total);
        int ended = 0;
        while (wait(NULL) > 0) ended++;
        V(ended);
    });
}

static ucontext_t main_context, other_context;
static void coroutine(void) {
    say("   in coroutine");
    swapcontext(&other_context, &main_context);
    say("   again");
}
static volatile int skipped;
static void skip_instruction(int sig, siginfo_t *i, void *u) {
    ucontext_t *c = u;
#ifdef __riscv
    c->uc_mcontext.__gregs[REG_PC] = c->uc_mcontext.__gregs[10];
#else
    c->uc_mcontext.gregs[REG_RIP] = c->uc_mcontext.gregs[REG_RDI];
#endif
    skipped++;
}
static double keep;
static void use_fp(int sig) { keep = keep * 3.5 + 1.0 / 3; }

static void contexts(void) {
    SECTION("contexts");
    static char stack[65536];
    getcontext(&other_context);
    other_context.uc_stack.ss_sp = stack;
    other_context.uc_stack.ss_size = sizeof stack;
    other_context.uc_link = &main_context;
    makecontext(&other_context, coroutine, 0);
    swapcontext(&main_context, &other_context);
    say("back");
    swapcontext(&main_context, &other_context);
    say("done");
    signal(SIGUSR1, use_fp);
    volatile double x = 1.25, y = 2.5;
    double z = x * y;
    raise(SIGUSR1);
    V((long)(z * 1000 + x));
    struct itimerval it = {{0, 1000}, {0, 1000}}, off = {0};
    signal(SIGALRM, use_fp);
    setitimer(ITIMER_REAL, &it, NULL);
    double sum = 0;
    for (int round = 0; round < 30; round++) {
        double part = 0;
        for (int i = 1; i < 20000; i++) part += 1.0 / i;
        sum += part;
    }
    setitimer(ITIMER_REAL, &off, NULL);
    say("%.10f", sum);
    IN_CHILD("SIGALRM by default", { signal(SIGALRM, SIG_DFL); it.it_interval.tv_usec = 0; setitimer(ITIMER_REAL, &it, NULL); for (;;) {} });
    IN_CHILD("virtual timer", { signal(SIGVTALRM, SIG_DFL); setitimer(ITIMER_VIRTUAL, &it, NULL); for (;;) {} });
    IN_CHILD("RLIMIT_CPU", { struct rlimit r = {1, 2}; setrlimit(RLIMIT_CPU, &r); for (;;) {} });
}

static void terminals(void) {
    SECTION("not a terminal");
    struct termios t;
    struct winsize w;
    R(isatty(1));
    R(tcgetattr(1, &t));
    R(ioctl(1, TIOCGWINSZ, &w));
    R(ioctl(99, TIOCGWINSZ, &w));
    R(open("/dev/tty", O_RDWR));
    R(tcgetpgrp(0));
    R(lseek(1, 0, SEEK_CUR));
    int fd = open("ioctl", O_RDWR | O_CREAT, 0644);
    int n = 1;
    write(fd, "abc", 3);
    lseek(fd, 1, SEEK_SET);
    R(ioctl(fd, FIONREAD, &n));
    V(n);
    n = 1;
    R(ioctl(fd, FIONBIO, &n));
    V((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    R(ioctl(fd, FIOCLEX, 0));
    R(fcntl(fd, F_GETFD));
    R(ioctl(fd, 0x12345678, 0));
    close(fd);
}

int main(void) {
    futexes();
    names();
    mapped_files();
    many();
    contexts();
    terminals();
    return 0;
}
