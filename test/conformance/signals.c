/* Signals: flags, contents, masks, stacks, interrupted calls, timers. */
#include "observe.h"
#include <linux/futex.h>
#include <pthread.h>
#include <setjmp.h>
#include <sys/select.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <ucontext.h>

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1U << 31)
#endif

static volatile int hits, order[32], orders;
static siginfo_t last;
static void count(int sig) { hits++; order[orders++ & 31] = sig; }
static void info(int sig, siginfo_t *i, void *u) { hits++; last = *i; order[orders++ & 31] = sig; }

static void handle(int sig, void *f, int flags) {
    struct sigaction a = {0};
    a.sa_handler = f;
    a.sa_flags = flags;
    sigaction(sig, &a, NULL);
}

static const char *code_name(int c) {
    switch (c) {
    case SI_USER: return "SI_USER";
    case SI_QUEUE: return "SI_QUEUE";
    case SI_TKILL: return "SI_TKILL";
    case SI_TIMER: return "SI_TIMER";
    case SI_KERNEL: return "SI_KERNEL";
    default: return "other";
    }
}

static void actions(void) {
    SECTION("actions");
    struct sigaction a = {0}, old;
    a.sa_handler = count;
    a.sa_flags = SA_RESTART | SA_NODEFER;
    sigaddset(&a.sa_mask, SIGUSR2);
    R(sigaction(SIGUSR1, &a, &old));
    V(old.sa_handler == SIG_DFL);
    R(sigaction(SIGUSR1, NULL, &old));
    V(old.sa_handler == count);
    V((old.sa_flags & ~0x04000000) == (int)(SA_RESTART | SA_NODEFER));
    V(sigismember(&old.sa_mask, SIGUSR2));
    R(sigaction(SIGKILL, &a, NULL));
    R(sigaction(SIGSTOP, &a, NULL));
    R(sigaction(SIGKILL, NULL, &old));
    R(sigaction(0, &a, NULL));
    R(sigaction(65, &a, NULL));
    R(syscall(SYS_rt_sigaction, SIGUSR1, NULL, NULL, 4));
    handle(SIGUSR1, info, SA_SIGINFO);
    R(kill(getpid(), SIGUSR1));
    say("%d %s %d %d", last.si_signo, code_name(last.si_code), last.si_pid == getpid(), last.si_uid);
    R(raise(SIGUSR1));
    say("%s %d", code_name(last.si_code), last.si_pid == getpid());
    R(sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 1234}));
    say("%s %d", code_name(last.si_code), last.si_value.sival_int);
    R(pthread_kill(pthread_self(), SIGUSR1));
    say("%s", code_name(last.si_code));
    R(kill(getpid(), 0));
    R(kill(getpid(), 65));
    R(kill(getpid(), -1));
    R(kill(99999999, 0));
    R(kill(-99999999, SIGUSR1));
    R(syscall(SYS_tgkill, getpid(), getpid(), 0));
    R(syscall(SYS_tgkill, getpid(), 99999999, 0));
    R(syscall(SYS_tgkill, 0, getpid(), 0));
    R(syscall(SYS_tgkill, -1, -1, 0));
    handle(SIGUSR1, count, SA_RESETHAND);
    hits = 0;
    raise(SIGUSR1);
    V(hits);
    sigaction(SIGUSR1, NULL, &old);
    V(old.sa_handler == SIG_DFL);
    signal(SIGUSR1, SIG_IGN);
    R(raise(SIGUSR1));
    siginfo_t si = {0};
    si.si_code = SI_USER;
    R(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, &si));
    IN_CHILD("queue to another process", {
        R(syscall(SYS_rt_sigqueueinfo, getppid(), SIGUSR1, &si));
        si.si_code = 5;
        R(syscall(SYS_rt_sigqueueinfo, getppid(), SIGUSR1, &si));
    });
}

static void masks(void) {
    SECTION("masks");
    sigset_t s, o, p;
    sigemptyset(&s);
    sigaddset(&s, SIGUSR1);
    sigaddset(&s, SIGUSR2);
    sigaddset(&s, SIGRTMIN);
    sigaddset(&s, SIGRTMIN + 1);
    sigaddset(&s, SIGKILL);
    R(sigprocmask(SIG_BLOCK, &s, NULL));
    R(sigprocmask(SIG_BLOCK, NULL, &o));
    V(sigismember(&o, SIGKILL));
    V(sigismember(&o, SIGUSR1));
    R(sigprocmask(77, &s, NULL));
    R(sigprocmask(77, NULL, &o));
    R(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &s, NULL, 16));
    handle(SIGUSR1, info, SA_SIGINFO);
    handle(SIGUSR2, info, SA_SIGINFO);
    handle(SIGRTMIN, info, SA_SIGINFO);
    handle(SIGRTMIN + 1, info, SA_SIGINFO);
    hits = orders = 0;
    sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 1});
    sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 2});
    sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 3});
    raise(SIGUSR2);
    raise(SIGUSR1);
    raise(SIGUSR1);
    sigpending(&p);
    V(sigismember(&p, SIGUSR1) + 2 * sigismember(&p, SIGUSR2) + 4 * sigismember(&p, SIGRTMIN));
    V(hits);
    struct timespec zero = {0, 0};
    sigset_t rt;
    sigemptyset(&rt);
    sigaddset(&rt, SIGRTMIN);
    siginfo_t si;
    R(sigtimedwait(&rt, &si, &zero) == SIGRTMIN);
    V(si.si_value.sival_int);
    R(sigtimedwait(&rt, &si, &zero) == SIGRTMIN);
    V(si.si_value.sival_int);
    R(sigtimedwait(&rt, &si, &zero));
    struct timespec bad = {0, -1};
    R(sigtimedwait(&rt, &si, &bad));
    IN_CHILD("pending is not inherited, the mask is", {
        sigpending(&p);
        V(sigismember(&p, SIGUSR1));
        sigprocmask(SIG_BLOCK, NULL, &o);
        V(sigismember(&o, SIGUSR1));
    });
    sigdelset(&s, SIGKILL);
    R(sigprocmask(SIG_UNBLOCK, &s, NULL));
    V(hits);
    for (int i = 0; i < orders; i++) say("order %d", order[i] >= 32 ? order[i] - SIGRTMIN + 100 : order[i]);
    sigprocmask(SIG_BLOCK, &s, NULL);
    raise(SIGUSR1);
    signal(SIGUSR1, SIG_IGN);
    sigpending(&p);
    V(sigismember(&p, SIGUSR1));
    handle(SIGUSR1, info, SA_SIGINFO);
    hits = 0;
    raise(SIGUSR1);
    sigset_t none;
    sigemptyset(&none);
    R(sigsuspend(&none));
    V(hits);
    sigprocmask(SIG_BLOCK, NULL, &o);
    V(sigismember(&o, SIGUSR1));
    raise(SIGUSR1);
    int got;
    R(sigwait(&s, &got));
    V(got);
    sigprocmask(SIG_UNBLOCK, &s, NULL);
}

static volatile int depth, deepest, raises = 6;
static void nested(int sig) {
    depth++;
    if (depth > deepest) deepest = depth;
    if (depth < 4 && raises-- > 0) raise(sig == SIGUSR1 ? SIGUSR2 : SIGUSR1);
    sigset_t o;
    sigprocmask(SIG_BLOCK, NULL, &o);
    say("in %d depth %d mask %d%d%d", sig, depth, sigismember(&o, SIGUSR1), sigismember(&o, SIGUSR2), sigismember(&o, SIGTERM));
    depth--;
}

static sigjmp_buf env;
static char alt[65536] __attribute__((aligned(16)));
static volatile int on_alt;
static void alternate(int sig, siginfo_t *i, void *u) {
    char c;
    stack_t s;
    on_alt = &c >= alt && &c < alt + sizeof alt;
    sigaltstack(NULL, &s);
    say("flags in handler %d, change %s", s.ss_flags, ({ stack_t d = {.ss_flags = SS_DISABLE}; sigaltstack(&d, NULL) ? strerrorname_np(errno) : "ok"; }));
    say("uc_stack %d", ((ucontext_t *)u)->uc_stack.ss_sp == alt);
    if (sig == SIGSEGV) siglongjmp(env, 1);
}

static int recurse(int n) {
    volatile char b[4096];
    b[0] = n;
    return n > 1 << 20 ? 0 : recurse(n + 1) + b[0];
}

static void stacks(void) {
    SECTION("nesting and stacks");
    handle(SIGUSR1, nested, 0);
    handle(SIGUSR2, nested, 0);
    raise(SIGUSR1);
    V(deepest);
    struct sigaction a = {.sa_handler = nested};
    sigaddset(&a.sa_mask, SIGTERM);
    sigaddset(&a.sa_mask, SIGUSR2);
    sigaction(SIGUSR1, &a, NULL);
    a.sa_flags = SA_NODEFER;
    sigaction(SIGUSR2, &a, NULL);
    raises = 6;
    raise(SIGUSR2);
    stack_t s = {alt, 0, sizeof alt}, o;
    R(sigaltstack(NULL, &o));
    V(o.ss_flags);
    R(sigaltstack(&s, NULL));
    R(sigaltstack(NULL, &o));
    V(o.ss_flags);
    V(o.ss_size);
    s.ss_size = 1000;
    R(sigaltstack(&s, NULL));
    s.ss_flags = 77;
    R(sigaltstack(&s, NULL));
    handle(SIGUSR1, alternate, SA_ONSTACK | SA_SIGINFO);
    raise(SIGUSR1);
    V(on_alt);
    handle(SIGUSR1, alternate, SA_SIGINFO);
    raise(SIGUSR1);
    V(on_alt);
    handle(SIGSEGV, alternate, SA_ONSTACK | SA_SIGINFO);
    if (sigsetjmp(env, 1) == 0) say("recursed %d", recurse(0));
    else say("stack overflow, on_alt %d", on_alt);
    if (sigsetjmp(env, 1) == 0) say("recursed %d", recurse(0));
    else say("again, on_alt %d", on_alt);
    IN_CHILD("altstack after fork", { sigaltstack(NULL, &o); V(o.ss_flags); });
    s.ss_flags = SS_DISABLE;
    R(sigaltstack(&s, NULL));
    R(sigaltstack(NULL, &o));
    V(o.ss_flags);
    IN_CHILD("overflow without an alternate stack", { recurse(0); });
    s = (stack_t){alt, SS_AUTODISARM, sizeof alt};
    R(sigaltstack(&s, NULL));
    handle(SIGUSR1, alternate, SA_ONSTACK | SA_SIGINFO);
    raise(SIGUSR1);
    sigaltstack(NULL, &o);
    say("after autodisarm %x", (unsigned)o.ss_flags);
    signal(SIGSEGV, SIG_DFL);
}

static void *fault_at;
static void fault(int sig, siginfo_t *i, void *u) {
    say("SIG%s code %d addr %s", sigabbrev_np(sig), i->si_code, i->si_addr == fault_at ? "exact" : "other");
    siglongjmp(env, 1);
}
#define FAULT(at, expr)                            \
    do {                                           \
        fault_at = (void *)(at);                   \
        if (sigsetjmp(env, 1) == 0) {              \
            (void)(expr);                          \
            say("%s: no fault", #expr);            \
        }                                          \
    } while (0)

static void faults(void) {
    SECTION("faults");
    handle(SIGSEGV, fault, SA_SIGINFO);
    handle(SIGBUS, fault, SA_SIGINFO);
    handle(SIGFPE, fault, SA_SIGINFO);
    volatile char *p = mmap(0, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    FAULT(0, *(volatile int *)0);
    FAULT(0x10, *(volatile char *)0x10 = 1);
    mprotect((void *)p, 4096, PROT_READ);
    FAULT(p + 5, p[5]);
    FAULT(p + 5, p[5] = 1);
    mprotect((void *)p, 4096, PROT_NONE);
    FAULT(p + 7, p[7]);
    FAULT(p + 7, p[7] = 1);
    munmap((void *)p, 4096);
    FAULT(p + 7, p[7]);
    FAULT(p + 4096, ((void (*)(void))(p + 4096))());
    FAULT((char *)faults, *(volatile char *)faults = 1);
    int fd = open("bus", O_RDWR | O_CREAT, 0644);
    ftruncate(fd, 5000);
    volatile char *f = mmap(0, 4 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    FAULT(f + 8191, f[8191]);
    FAULT(f + 8192, f[8192]);
    FAULT(f + 8192, f[8192] = 1);
    ftruncate(fd, 100);
    FAULT(f + 4096, f[4096]);
    FAULT(f + 4095, f[4095]);
    volatile char *g = mmap(0, 2 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    FAULT(g + 4096, g[4096]);
    FAULT(g + 4096, g[4096] = 1);
    FAULT(g + 100, g[100] = 1);
    ftruncate(fd, 0);
    FAULT(g + 100, g[100]);
    R(write(1, (void *)(g + 4096), 10));
    R(read(open("/dev/zero", O_RDONLY), (void *)p, 10));
    IN_CHILD("blocked SIGSEGV kills", {
        sigset_t s;
        sigemptyset(&s);
        sigaddset(&s, SIGSEGV);
        sigprocmask(SIG_BLOCK, &s, NULL);
        *(volatile int *)0 = 1;
    });
    IN_CHILD("ignored SIGSEGV kills", { signal(SIGSEGV, SIG_IGN); *(volatile int *)0 = 1; });
    IN_CHILD("abort", { signal(SIGABRT, SIG_IGN); abort(); });
    IN_CHILD("abort with a handler", { handle(SIGABRT, count, 0); abort(); });
    IN_CHILD("trap", { signal(SIGTRAP, SIG_DFL); raise(SIGTRAP); });
    for (int sig = 1; sig < 32; sig++) {
        if (sig == SIGSTOP || sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU) continue;
        IN_CHILD(sigabbrev_np(sig), { signal(sig, SIG_DFL); kill(getpid(), sig); });
    }
    IN_CHILD("rt", { kill(getpid(), SIGRTMIN + 3); });
    close(fd);
}

static void later(long ms) {
    struct itimerval t = {{0, 0}, {0, ms * 1000}};
    setitimer(ITIMER_REAL, &t, NULL);
}

/** Makes a call that a signal interrupts after 15 ms; a child writes to the pipe after 60 ms. */
static void interrupted(int flags) {
    int p[2];
    char b[4];
    handle(SIGALRM, count, flags);
    pipe(p);
#define FEED(ms)                                                                        \
    ({ pid_t f_ = fork(); if (f_ == 0) { sleep_ms(ms); write(p[1], "x", 1); _exit(0); } f_; })
    pid_t c = FEED(60);
    later(15);
    R(read(p[0], b, 1));
    waitpid(c, NULL, 0);
    fcntl(p[0], F_SETFL, O_NONBLOCK);
    read(p[0], b, 1);
    fcntl(p[0], F_SETFL, 0);
    c = FEED(60);
    later(15);
    R(readv(p[0], &(struct iovec){b, 1}, 1));
    waitpid(c, NULL, 0);
    struct pollfd f = {p[0], POLLIN};
    fcntl(p[0], F_SETFL, O_NONBLOCK);
    while (read(p[0], b, 1) > 0) {}
    fcntl(p[0], F_SETFL, 0);
    later(15);
    R(poll(&f, 1, 60));
    later(15);
    fd_set set;
    FD_ZERO(&set);
    FD_SET(p[0], &set);
    struct timeval tv = {0, 60000};
    R(select(p[0] + 1, &set, NULL, NULL, &tv));
    later(15);
    struct timespec t = {0, 60000000}, left = {9, 9};
    R(nanosleep(&t, &left));
    V(left.tv_sec == 0 && left.tv_nsec < 60000000);
    later(15);
    left = (struct timespec){9, 9};
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    now.tv_nsec += 60000000;
    now.tv_sec += now.tv_nsec / 1000000000;
    now.tv_nsec %= 1000000000;
    R(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &now, &left));
    V(left.tv_sec);
    later(15);
    int word = 0;
    struct timespec ft = {0, 60000000};
    R(syscall(SYS_futex, &word, FUTEX_WAIT, 0, &ft, 0, 0));
    c = fork();
    if (c == 0) {
        sleep_ms(60);
        _exit(7);
    }
    later(15);
    int st = 0;
    R(waitpid(c, &st, 0) == c ? 1 : -1);
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) {}
    c = fork();
    if (c == 0) {
        sleep_ms(60);
        _exit(7);
    }
    later(15);
    siginfo_t si;
    R(waitid(P_PID, c, &si, WEXITED));
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) {}
    sigset_t s;
    sigemptyset(&s);
    sigaddset(&s, SIGUSR1);
    struct timespec wt = {0, 60000000};
    later(15);
    R(sigtimedwait(&s, NULL, &wt));
    later(15);
    R(pause());
    fcntl(p[1], F_SETFL, O_NONBLOCK);
    char big[4096] = {0};
    while (write(p[1], big, 4096) > 0) {}
    fcntl(p[1], F_SETFL, 0);
    c = fork();
    if (c == 0) {
        sleep_ms(60);
        char drain[65536];
        read(p[0], drain, 65536);
        _exit(0);
    }
    later(15);
    R(write(p[1], "y", 1));
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) {}
    R(sleep(0));
    close(p[0]);
    close(p[1]);
}

static void restarts(void) {
    SECTION("interrupted");
    interrupted(0);
    SECTION("interrupted, SA_RESTART");
    interrupted(SA_RESTART);
}

static void jobs(void) {
    SECTION("SIGCHLD and job control");
    handle(SIGCHLD, info, SA_SIGINFO);
    pid_t c = fork();
    if (c == 0) {
        setpgid(0, 0);
        for (;;) pause();
    }
    sleep_ms(20);
    int st;
    siginfo_t si;
#define SIGCHLD_INFO() sleep_ms(10), say("SIGCHLD code %d status %d pid %d", last.si_code, last.si_status, last.si_pid == c)
    last.si_code = -99;
    kill(c, SIGSTOP);
    R(waitpid(c, &st, WUNTRACED) == c);
    say_status(st);
    SIGCHLD_INFO();
    R(waitpid(c, &st, WUNTRACED | WNOHANG));
    kill(c, SIGCONT);
    R(waitpid(c, &st, WCONTINUED) == c);
    say_status(st);
    SIGCHLD_INFO();
    kill(c, SIGTSTP);
    memset(&si, 0, sizeof si);
    R(waitid(P_PID, c, &si, WSTOPPED | WNOWAIT));
    say("%d %d %d", si.si_code, si.si_status, si.si_signo);
    R(waitid(P_PID, c, &si, WSTOPPED));
    memset(&si, 0, sizeof si);
    R(waitid(P_PID, c, &si, WSTOPPED | WNOHANG));
    V(si.si_pid);
    kill(c, SIGTERM);
    sleep_ms(10);
    R(waitpid(c, &st, WNOHANG));
    kill(c, SIGCONT);
    while (waitid(P_ALL, 0, &si, WEXITED | WNOWAIT) < 0 && errno == EINTR) {}
    say("%d %d", si.si_code, si.si_status);
    while (waitpid(c, &st, 0) < 0 && errno == EINTR) {}
    say_status(st);
    c = fork();
    if (c == 0) _exit(300);
    while (waitid(P_PID, c, &si, WEXITED) < 0) {}
    say("%d %d", si.si_code, si.si_status);
    SIGCHLD_INFO();
    c = fork();
    if (c == 0) abort();
    while (waitid(P_PID, c, &si, WEXITED) < 0) {}
    say("%d %d", si.si_code == CLD_KILLED || si.si_code == CLD_DUMPED, si.si_status);
    hits = 0;
    handle(SIGCHLD, info, SA_SIGINFO | SA_NOCLDSTOP);
    c = fork();
    if (c == 0) {
        for (;;) pause();
    }
    kill(c, SIGSTOP);
    waitpid(c, &st, WUNTRACED);
    V(hits);
    kill(c, SIGKILL);
    while (waitpid(c, &st, 0) < 0) {}
    V(hits);
    handle(SIGCHLD, count, SA_NOCLDWAIT);
    c = fork();
    if (c == 0) _exit(1);
    sleep_ms(10);
    R(waitpid(c, &st, 0));
    signal(SIGCHLD, SIG_IGN);
    c = fork();
    if (c == 0) _exit(1);
    R(waitpid(c, &st, 0));
    signal(SIGCHLD, SIG_DFL);
    R(waitpid(-1, &st, 0));
    R(waitpid(-1, &st, 0x10000000));
    R(waitpid(1 << 30, &st, 0));
    R(waitid(P_PID, 0, &si, WEXITED));
    R(waitid(P_ALL, 0, &si, 0));
    R(waitid(9, 0, &si, WEXITED));
    R(waitpid(INT32_MIN, &st, 0));
    IN_CHILD("stops itself", {
        pid_t k = fork();
        if (k == 0) {
            raise(SIGSTOP);
            _exit(3);
        }
        waitpid(k, &st, WUNTRACED);
        say_status(st);
        kill(k, SIGCONT);
        waitpid(k, &st, 0);
        say_status(st);
    });
}

static void timers(void) {
    SECTION("timers");
    struct itimerval it = {{0, 5000}, {0, 5000}}, old;
    handle(SIGALRM, info, SA_SIGINFO);
    hits = 0;
    R(setitimer(ITIMER_REAL, &it, NULL));
    while (hits < 3) pause();
    say("%s", code_name(last.si_code));
    memset(&it, 0, sizeof it);
    R(setitimer(ITIMER_REAL, &it, &old));
    V(old.it_interval.tv_usec);
    R(getitimer(ITIMER_REAL, &old));
    V(old.it_value.tv_usec);
    R(setitimer(9, &it, NULL));
    it.it_value.tv_usec = 1000000;
    R(setitimer(ITIMER_REAL, &it, NULL));
    R(alarm(100));
    R(alarm(0));
    R(alarm(0));
    timer_t id;
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN, .sigev_value.sival_int = 77};
    handle(SIGRTMIN, info, SA_SIGINFO);
    R(timer_create(CLOCK_MONOTONIC, &ev, &id));
    struct itimerspec ts = {{0, 0}, {0, 5000000}}, cur;
    hits = 0;
    R(timer_settime(id, 0, &ts, NULL));
    R(timer_gettime(id, &cur));
    V(cur.it_value.tv_nsec > 0);
    while (!hits) pause();
    say("%s %d overrun %d", code_name(last.si_code), last.si_value.sival_int, last.si_overrun);
    R(timer_gettime(id, &cur));
    V(cur.it_value.tv_nsec);
    R(timer_getoverrun(id));
    sigset_t s;
    sigemptyset(&s);
    sigaddset(&s, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &s, NULL);
    ts = (struct itimerspec){{0, 1000000}, {0, 1000000}};
    timer_settime(id, 0, &ts, NULL);
    sleep_ms(20);
    memset(&ts, 0, sizeof ts);
    hits = 0;
    siginfo_t si;
    R(sigtimedwait(&s, &si, &ts.it_value) == SIGRTMIN);
    V(si.si_overrun > 5);
    timer_settime(id, 0, &ts, NULL);
    sigprocmask(SIG_UNBLOCK, &s, NULL);
    ts.it_value.tv_nsec = -1;
    R(timer_settime(id, 0, &ts, NULL));
    R(timer_delete(id));
    R(timer_create(99, &ev, &id));
    ev.sigev_signo = 99;
    R(timer_create(CLOCK_MONOTONIC, &ev, &id));
    ev.sigev_notify = SIGEV_NONE;
    R(timer_create(CLOCK_MONOTONIC, &ev, &id));
    R(timer_delete(id));
    R(timer_create(CLOCK_REALTIME, NULL, &id));
    hits = 0;
    clock_gettime(CLOCK_REALTIME, &ts.it_value);
    R(timer_settime(id, TIMER_ABSTIME, &ts, NULL));
    while (!hits) pause();
    say("%s", code_name(last.si_code));
    R(timer_delete(id));
    struct timespec bad = {0, 1000000000};
    R(nanosleep(&bad, NULL));
    bad = (struct timespec){-1, 0};
    R(nanosleep(&bad, NULL));
    R(clock_nanosleep(99, 0, &bad, NULL));
    R(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &bad, NULL));
    bad = (struct timespec){1, 0};
    R(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &bad, NULL));
    long t0 = now_ms();
    sleep_ms(30);
    V(now_ms() - t0 >= 30);
    R(clock_gettime(99, &bad));
    R(clock_getres(CLOCK_MONOTONIC, &bad));
    V(bad.tv_nsec);
    IN_CHILD("timers are not inherited", { later(1); if (fork() == 0) { sleep_ms(20); say("alive"); _exit(0); } handle(SIGALRM, count, SA_RESTART); wait(NULL); });
}

static void *raiser(void *unused) {
    hits = 0;
    raise(SIGUSR1);
    say("raised in thread %d", hits);
    return NULL;
}

static pthread_t main_thread, handled_by;
static void where(int sig) { handled_by = pthread_self(); hits++; }
static void *blocked_thread(void *unused) {
    sigset_t s;
    sigfillset(&s);
    pthread_sigmask(SIG_BLOCK, &s, NULL);
    sleep_ms(40);
    return NULL;
}
static void *exit_thread(void *unused) {
    *(volatile int *)0 = 1;
    return NULL;
}

static void threads(void) {
    SECTION("threads");
    handle(SIGUSR1, count, 0);
    pthread_t t;
    pthread_create(&t, NULL, raiser, NULL);
    pthread_join(t, NULL);
    handle(SIGUSR1, where, 0);
    main_thread = pthread_self();
    pthread_create(&t, NULL, blocked_thread, NULL);
    sleep_ms(10);
    hits = 0;
    kill(getpid(), SIGUSR1);
    V(hits);
    V(pthread_equal(handled_by, main_thread));
    pthread_join(t, NULL);
    IN_CHILD("a thread that faults ends the process", {
        signal(SIGSEGV, SIG_DFL);
        pthread_create(&t, NULL, exit_thread, NULL);
        pthread_join(t, NULL);
        say("not reached");
    });
}

int main(void) {
    actions();
    masks();
    stacks();
    faults();
    restarts();
    jobs();
    timers();
    threads();
    return 0;
}
