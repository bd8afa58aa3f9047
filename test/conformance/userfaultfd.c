/* userfaultfd: registering, faults of programs and of the kernel for them, filling, events. */
#include "observe.h"
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#define P 4096L
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#define RW (PROT_READ | PROT_WRITE)

static int uffd_flags(int flags, unsigned long features) {
    int fd = syscall(SYS_userfaultfd, flags);
    struct uffdio_api api = {.api = UFFD_API, .features = features};
    if (fd >= 0 && ioctl(fd, UFFDIO_API, &api) < 0) say("   UFFDIO_API: %s", strerrorname_np(errno));
    return fd;
}

static int uffd_open(unsigned long features) {
    return uffd_flags(O_CLOEXEC | O_NONBLOCK, features);
}

static char *map(long pages, int flags) { return mmap(NULL, pages * P, RW, flags | MAP_ANONYMOUS, -1, 0); }

static long reg(int fd, void *at, long len, int mode) {
    struct uffdio_register r = {.range = {(unsigned long)at, len}, .mode = mode, .ioctls = 77};
    long n = ioctl(fd, UFFDIO_REGISTER, &r);
    if (n == 0) say("   ioctls %llx", r.ioctls & 0x1c);
    return n;
}

static long unreg(int fd, void *at, long len) {
    struct uffdio_range r = {(unsigned long)at, len};
    return ioctl(fd, UFFDIO_UNREGISTER, &r);
}

static long copied;

static long copy(int fd, void *to, void *from, long len, int mode) {
    struct uffdio_copy c = {.dst = (unsigned long)to, .src = (unsigned long)from, .len = len, .mode = mode, .copy = 99};
    long n = ioctl(fd, UFFDIO_COPY, &c);
    copied = c.copy;
    return n;
}

static long zero(int fd, void *to, long len, int mode) {
    struct uffdio_zeropage z = {.range = {(unsigned long)to, len}, .mode = mode, .zeropage = 99};
    long n = ioctl(fd, UFFDIO_ZEROPAGE, &z);
    copied = z.zeropage;
    return n;
}

static void calls(void) {
    SECTION("calls");
    R(syscall(SYS_userfaultfd, 2));
    int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
    V(fcntl(fd, F_GETFL) & O_NONBLOCK);
    V(fcntl(fd, F_GETFD));
    char *p = map(8, MAP_PRIVATE), message[64];
    R(reg(fd, p, P, UFFDIO_REGISTER_MODE_MISSING));
    R(read(fd, message, 32));
    struct pollfd f = {fd, POLLIN};
    R(poll(&f, 1, 0));
    V(f.revents);
    struct uffdio_api api = {.api = 1};
    R(ioctl(fd, UFFDIO_API, &api));
    V(api.api);
    api = (struct uffdio_api){.api = UFFD_API, .features = 1ull << 40};
    R(ioctl(fd, UFFDIO_API, &api));
    V(api.features);
    R(ioctl(fd, UFFDIO_API, 8));
    api = (struct uffdio_api){.api = UFFD_API};
    R(ioctl(fd, UFFDIO_API, &api));
    V(api.api);
    V(api.ioctls >> 32);
    V(api.ioctls & 0xffffffff);
    unsigned want = UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_MISSING_SHMEM |
        UFFD_FEATURE_SIGBUS | UFFD_FEATURE_THREAD_ID;
    V(api.features & want);
    R(ioctl(fd, UFFDIO_API, &api));
    R(poll(&f, 1, 0));
    R(read(fd, message, 32));
    R(read(fd, message, 31));
    R(lseek(fd, 5, SEEK_SET));
    R(reg(fd, p, P, 0));
    R(reg(fd, p, P, 64));
    R(reg(fd, p + 1, P, 1));
    R(reg(fd, p, 0, 1));
    R(reg(fd, p, 100, 1));
    R(reg(fd, p, -P, 1));
    R(ioctl(fd, UFFDIO_REGISTER, 8));
    R(reg(fd, p + 2 * P, 2 * P, 1));
    R(reg(fd, p + 2 * P, 2 * P, 1));
    R(reg(fd, p + P, 2 * P, 1));
    int other = uffd_open(0);
    R(reg(other, p, 8 * P, 1));
    R(unreg(other, p, 8 * P));
    R(unreg(fd, p, P));
    R(unreg(fd, p + 3 * P, P));
    munmap(p + 7 * P, P);
    R(reg(fd, p + 7 * P, P, 1));
    R(unreg(fd, p + 7 * P, P));
    R(reg(fd, p, 8 * P, 1));
    char *ro = mmap(NULL, P, PROT_READ, MAP_PRIVATE, open("/proc/self/exe", O_RDONLY), 0);
    R(reg(fd, ro, P, 1));
    R(copy(fd, p + P, p, 0, 0));
    R(copy(fd, p + P + 1, p, P, 0));
    R(copy(fd, p + P, p, P, 64));
    V(copied);
    R(ioctl(fd, UFFDIO_COPY, 8));
    R(ioctl(fd, UFFDIO_WAKE, 8));
    R(ioctl(fd, 0x1234, 8));
    R(close(other));
    R(close(fd));
    munmap(p, 7 * P);
}

static void filling(int flags, const char *name) {
    SECTION(name);
    int fd = uffd_open(0);
    char *p = map(16, flags), *s = map(4, MAP_PRIVATE);
    for (int i = 0; i < 4; i++) memset(s + i * P, 'a' + i, P);
    p[0] = 'p';
    R(reg(fd, p, 12 * P, UFFDIO_REGISTER_MODE_MISSING));
    R(copy(fd, p, s, P, 0));
    V(copied);
    R(copy(fd, p + P, s, 2 * P, 0));
    V(copied);
    V(p[P] * 1000 + p[2 * P]);
    R(copy(fd, p + 3 * P, s + 2, P, 0));
    V(p[3 * P] * 1000 + p[4 * P - 1]);
    R(copy(fd, p + 5 * P, s, P, UFFDIO_COPY_MODE_DONTWAKE));
    R(copy(fd, p + 4 * P, s, 3 * P, 0));
    V(copied);
    R(copy(fd, p + 8 * P, (void *)(8 * P), P, 0));
    V(copied);
    R(copy(fd, p + 11 * P, s, 2 * P, 0));
    V(copied);
    R(copy(fd, p + 12 * P, s, P, 0));
    R(zero(fd, p + 6 * P, 2 * P, 0));
    V(copied);
    V(p[6 * P] + p[7 * P]);
    R(zero(fd, p + 5 * P, 2 * P, 0));
    V(copied);
    p[6 * P] = 'z';
    V(p[6 * P]);
    mprotect(p + 8 * P, P, PROT_READ);
    R(copy(fd, p + 8 * P, s + P, P, 0));
    V(p[8 * P]);
    IN_CHILD("a page of a read-only mapping", { signal(SIGSEGV, SIG_DFL); p[8 * P] = 1; });
    V(p[8 * P]);
    madvise(p + P, P, MADV_DONTNEED);
    R(copy(fd, p + P, s + 3 * P, P, 0));
    V(p[P]);
    /* Beyond what is registered nothing is told. */
    V(p[12 * P]);
    R(unreg(fd, p, 12 * P));
    V(p[9 * P]);
    R(copy(fd, p + 10 * P, s, P, 0));
    close(fd);
    munmap(p, 16 * P);
    munmap(s, 4 * P);
}

struct server {
    int fd, how, faults, exact;
    char *base;
    unsigned tid;
};

/* Serves faults until told to stop through its pipe. */
static int stop_pipe[2];
static struct server server;

static void *serve(void *arg) {
    struct server *v = arg;
    char *page = map(1, MAP_PRIVATE);
    for (;;) {
        struct pollfd f[2] = {{v->fd, POLLIN}, {stop_pipe[0], POLLIN}};
        if (poll(f, 2, -1) < 0) continue;
        if (f[1].revents) break;
        struct uffd_msg m;
        if (read(v->fd, &m, sizeof m) != sizeof m) continue;
        if (m.event != UFFD_EVENT_PAGEFAULT) {
            v->faults += 1000;
            continue;
        }
        long page_nr = (m.arg.pagefault.address - (unsigned long)v->base) / P;
        say("   fault %ld %s%s", page_nr, m.arg.pagefault.flags & 1 ? "write" : "read",
            m.arg.pagefault.address % P ? " not aligned" : "");
        v->tid = m.arg.pagefault.feat.ptid;
        v->faults++;
        char *at = (char *)(m.arg.pagefault.address & -P);
        memset(page, 'A' + page_nr, P);
        if (v->how == 0) copy(v->fd, at, page, P, 0);
        else if (v->how == 1) zero(v->fd, at, P, 0);
        else {
            copy(v->fd, at, page, P, UFFDIO_COPY_MODE_DONTWAKE);
            struct uffdio_range r = {(unsigned long)at, P};
            ioctl(v->fd, UFFDIO_WAKE, &r);
        }
    }
    munmap(page, P);
    return NULL;
}

static pthread_t start(int fd, char *base, int how) {
    server = (struct server){fd, how, 0, 0, base, 0};
    pipe(stop_pipe);
    pthread_t t;
    pthread_create(&t, NULL, serve, &server);
    return t;
}

static void stop(pthread_t t) {
    write(stop_pipe[1], "x", 1);
    pthread_join(t, NULL);
    close(stop_pipe[0]);
    close(stop_pipe[1]);
}

static void faults(int flags, const char *name) {
    SECTION(name);
    int fd = uffd_open(UFFD_FEATURE_THREAD_ID);
    char *p = map(16, flags), b[100] = "";
    reg(fd, p, 16 * P, 1);
    pthread_t t = start(fd, p, 0);
    V(p[0]);
    p[P + 5] = 'w';
    V(p[P] * 1000 + p[P + 5]);
    V(server.faults);
    V(server.tid == syscall(SYS_gettid));
    /* The kernel's own accesses wait as well. */
    int q[2];
    pipe(q);
    write(q[1], "hello", 5);
    R(read(q[0], p + 2 * P + 10, 5));
    say("%.*s", 7, p + 2 * P + 9);
    R(write(q[1], p + 3 * P, 3));
    R(read(q[0], b, 10));
    say("%s", b);
    R(open(p + 4 * P, O_RDONLY));
    struct stat st;
    R(fstat(q[0], (void *)(p + 6 * P - 16)));
    V(server.faults);
    server.how = 1;
    V(p[8 * P]);
    server.how = 2;
    V(p[9 * P]);
    /* A child of a registered parent is not registered. */
    IN_CHILD("child", { V(p[0]); V(p[10 * P]); p[11 * P] = 1; });
    V(p[11 * P]);
    V(server.faults);
    stop(t);
    /* With nobody to tell, pages are zeroes. */
    close(fd);
    V(p[12 * P]);
    munmap(p, 16 * P);
    close(q[0]);
    close(q[1]);
}

static volatile int alarms;
static void on_alarm(int sig) { alarms++; }
static char *waited;

static void *reader(void *arg) { return (void *)(long)waited[0]; }

static void join_reader(pthread_t t) {
    void *got = (void *)-1L;
    pthread_join(t, &got);
    V(got);
}

static void waiting(void) {
    SECTION("waiting");
    int fd = uffd_open(0);
    char *p = map(4, MAP_PRIVATE);
    reg(fd, p, 4 * P, 1);
    struct pollfd f = {fd, POLLIN};
    pthread_t t;
    waited = p;
    pthread_create(&t, NULL, reader, NULL);
    R(poll(&f, 1, 2000));
    V(f.revents);
    struct uffd_msg m[2];
    R(read(fd, m, sizeof m));
    V(m[0].event);
    V(m[0].arg.pagefault.address == (unsigned long)p);
    R(poll(&f, 1, 0));
    R(unreg(fd, p, P));
    join_reader(t);
    waited = p + P;
    pthread_create(&t, NULL, reader, NULL);
    R(poll(&f, 1, 2000));
    R(close(fd));
    join_reader(t);
    munmap(p, 4 * P);

    /* A handler runs while the access waits; after it the access is made again. */
    fd = uffd_open(0);
    p = map(4, MAP_PRIVATE);
    reg(fd, p, 4 * P, 1);
    struct sigaction a = {.sa_handler = on_alarm};
    sigaction(SIGUSR1, &a, NULL);
    waited = p;
    pthread_create(&t, NULL, reader, NULL);
    f.fd = fd;
    R(poll(&f, 1, 2000));
    pthread_kill(t, SIGUSR1);
    while (!alarms) sleep_ms(1);
    sleep_ms(20);
    R(zero(fd, p, P, 0));
    join_reader(t);
    V(alarms);
    /* A process can be killed while it waits. */
    pid_t pid = fork();
    if (pid == 0) {
        int mine = uffd_open(0);
        char *q = map(1, MAP_PRIVATE);
        struct uffdio_register r = {.range = {(unsigned long)q, P}, .mode = 1};
        ioctl(mine, UFFDIO_REGISTER, &r);
        _exit(q[0]);
    }
    sleep_ms(30);
    kill(pid, SIGKILL);
    report_child(pid);
    close(fd);
    munmap(p, 4 * P);
}

static void modes(void) {
    SECTION("modes");
    int fd = uffd_open(UFFD_FEATURE_SIGBUS);
    char *p = map(4, MAP_PRIVATE);
    reg(fd, p, 4 * P, 1);
    IN_CHILD("a child is not registered", V(p[0]));
    pid_t pid = fork();
    if (pid == 0) {
        int mine = uffd_open(UFFD_FEATURE_SIGBUS);
        struct uffdio_register r = {.range = {(unsigned long)p, P}, .mode = 1};
        ioctl(mine, UFFDIO_REGISTER, &r);
        _exit(p[0]);
    }
    report_child(pid);
    int q[2];
    pipe(q);
    R(write(q[1], p, 1));
    close(fd);
    fd = uffd_flags(O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY, 0);
    reg(fd, p, 4 * P, 1);
    R(write(q[1], p, 1));
    V(fcntl(fd, F_GETFL) & 0xfff);
    close(fd);
    R(write(q[1], p, 1));
    /* Of an ordinary user. */
    IN_CHILD("not root", {
        setresuid(1000, 1000, 1000);
        R(syscall(SYS_userfaultfd, 0));
        int mine = syscall(SYS_userfaultfd, UFFD_USER_MODE_ONLY);
        V(mine >= 0);
        struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_EVENT_FORK};
        R(ioctl(mine, UFFDIO_API, &api));
    });
    close(q[0]);
    close(q[1]);
    munmap(p, 4 * P);
}

static int event_fd, child_fd = -1;

static void *events(void *arg) {
    struct uffd_msg m;
    struct pollfd f = {event_fd, POLLIN};
    long n = (long)arg;
    while (n-- > 0) {
        poll(&f, 1, -1);
        sleep_ms(20);
        long got = read(event_fd, &m, sizeof m);
        say("   event %x, %ld bytes", m.event, got);
        if (m.event == UFFD_EVENT_FORK) child_fd = m.arg.fork.ufd;
        if (m.event == UFFD_EVENT_REMAP) say("   %llx bytes, %d", m.arg.remap.len, m.arg.remap.from != m.arg.remap.to);
    }
    return NULL;
}

static void tellings(void) {
    SECTION("events");
    int fd = event_fd = uffd_open(UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_REMAP);
    char *p = map(8, MAP_PRIVATE), *s = map(1, MAP_PRIVATE);
    memset(s, 's', P);
    p[0] = 'x';
    reg(fd, p, 4 * P, 1);
    pthread_t t;
    pthread_create(&t, NULL, events, (void *)1L);
    long before = now_ms();
    pid_t pid = fork();
    if (pid == 0) _exit(p[P]);
    V(now_ms() - before >= 15);
    pthread_join(t, NULL);
    V(child_fd >= 0);
    struct pollfd f = {child_fd, POLLIN};
    R(poll(&f, 1, 2000));
    struct uffd_msg m;
    R(read(child_fd, &m, sizeof m));
    V(m.arg.pagefault.address == (unsigned long)p + P);
    R(copy(child_fd, p + P, s, P, 0));
    report_child(pid);
    R(copy(child_fd, p + P, s, P, 0));
    close(child_fd);
    /* In the parent the page is still missing. */
    R(copy(fd, p + P, s, P, 0));
    pthread_create(&t, NULL, events, (void *)1L);
    char *q = mremap(p, 4 * P, 4 * P, MREMAP_MAYMOVE | MREMAP_FIXED, p + 1024 * P);
    pthread_join(t, NULL);
    V(q[0] * 1000 + q[P]);
    R(copy(fd, q + 2 * P, s, P, 0));
    V(q[2 * P]);
    close(fd);
    munmap(q, 4 * P);
    munmap(p + 4 * P, 4 * P);

    /* Without the feature a mapping that moves is not registered any more. */
    fd = uffd_open(0);
    p = map(4, MAP_PRIVATE);
    reg(fd, p, 4 * P, 1);
    q = mremap(p, 4 * P, 4 * P, MREMAP_MAYMOVE | MREMAP_FIXED, p + 1024 * P);
    V(q[0]);
    R(copy(fd, q + P, s, P, 0));
    close(fd);
    munmap(q, 4 * P);
    munmap(s, P);
}

int main(void) {
    calls();
    filling(MAP_PRIVATE, "filling private memory");
    filling(MAP_SHARED, "filling shared memory");
    faults(MAP_PRIVATE, "faults on private memory");
    faults(MAP_SHARED, "faults on shared memory");
    waiting();
    modes();
    tellings();
    return 0;
}
