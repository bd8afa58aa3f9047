/* Pipes and waiting for files: atomicity, ends, poll, select, epoll, eventfd. */
#include "observe.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/timerfd.h>
#include <sys/signalfd.h>
#include <sys/uio.h>

static void on_signal(int sig) { say("   SIG%s", sigabbrev_np(sig)); }

static short events(int fd, int want) {
    struct pollfd f = {fd, want};
    int n = poll(&f, 1, 0);
    return n < 0 ? -1 : f.revents;
}

static void pipes(void) {
    SECTION("pipes");
    int p[2];
    static char b[70000];
    R(pipe2(p, 12345));
    R(pipe((int *)8));
    R(pipe2(p, O_CLOEXEC | O_NONBLOCK));
    V(p[0] * 10 + p[1]);
    V(fcntl(p[0], F_GETFD));
    V(fcntl(p[1], F_GETFL));
    R(read(p[0], b, 1));
    R(write(p[1], b, 0));
    R(write(p[1], "abc", 3));
    int n;
    R(ioctl(p[0], FIONREAD, &n));
    V(n);
    R(read(p[0], b, 0));
    R(read(p[0], b, 2));
    R(read(p[0], b, 100));
    R(fcntl(p[0], F_GETPIPE_SZ));
    R(write(p[1], b, 70000));
    R(write(p[1], b, 1));
    V(events(p[1], POLLOUT));
    R(read(p[0], b, 4095));
    V(events(p[1], POLLOUT));
    R(write(p[1], b, 4096));
    R(read(p[0], b, 1));
    V(events(p[1], POLLOUT));
    R(write(p[1], b, 5000));
    R(write(p[1], b, 5000));
    while (read(p[0], b, 70000) > 0) {}
    R(fcntl(p[0], F_SETPIPE_SZ, 5000));
    R(write(p[1], b, 70000));
    R(fcntl(p[0], F_SETPIPE_SZ, 4096));
    while (read(p[0], b, 70000) > 0) {}
    R(write(p[0], b, 1));
    R(read(p[1], b, 1));
    R(lseek(p[0], 0, SEEK_CUR));
    R(pread(p[0], b, 1, 0));
    R(ftruncate(p[1], 0));
    R(fsync(p[1]));
    struct stat st;
    fstat(p[0], &st);
    V(st.st_mode);
    V(st.st_size);
    write(p[1], "rest", 4);
    close(p[1]);
    V(events(p[0], POLLIN | POLLOUT));
    R(read(p[0], b, 100));
    V(events(p[0], POLLIN));
    R(read(p[0], b, 100));
    close(p[0]);
    pipe(p);
    close(p[0]);
    V(events(p[1], POLLOUT));
    signal(SIGPIPE, on_signal);
    R(write(p[1], "x", 1));
    R(write(p[1], "x", 0));
    R(writev(p[1], &(struct iovec){"x", 1}, 1));
    signal(SIGPIPE, SIG_IGN);
    R(write(p[1], "x", 1));
    IN_CHILD("broken pipe", { signal(SIGPIPE, SIG_DFL); write(p[1], "x", 1); });
    close(p[1]);
    pipe(p);
    pid_t w[3];
    for (int k = 0; k < 3; k++)
        if ((w[k] = fork()) == 0) {
            char block[1000];
            memset(block, 'a' + k, 1000);
            for (int i = 0; i < 200; i++) write(p[1], block, 1000);
            _exit(0);
        }
    close(p[1]);
    long total = 0, torn = 0;
    char block[1000];
    for (;;) {
        int have = 0, r;
        while (have < 1000 && (r = read(p[0], block + have, 1000 - have)) > 0) have += r;
        if (have == 0) break;
        total += have;
        for (int i = 1; i < have; i++) torn += block[i] != block[0];
    }
    V(total);
    V(torn);
    for (int k = 0; k < 3; k++) report_child(w[k]);
    close(p[0]);
    pipe(p);
    pid_t big = fork();
    if (big == 0) {
        close(p[0]);
        static char data[300000];
        for (int i = 0; i < 300000; i++) data[i] = i * 7;
        R(write(p[1], data, 300000));
        _exit(0);
    }
    close(p[1]);
    long at = 0, wrong = 0;
    int r;
    while ((r = read(p[0], b, 7777)) > 0)
        for (int i = 0; i < r; i++, at++) wrong += b[i] != (char)(at * 7);
    V(at);
    V(wrong);
    report_child(big);
    close(p[0]);
    mkfifo("fifo", 0644);
    pid_t c = fork();
    if (c == 0) {
        sleep_ms(10);
        int fd = open("fifo", O_WRONLY);
        write(fd, "through", 7);
        _exit(0);
    }
    R(open("fifo", O_RDONLY));
    R(read(3, b, 100));
    R(read(3, b, 100));
    report_child(c);
    close(3);
    R(open("fifo", O_RDWR));
    R(write(3, "self", 4));
    V(events(3, POLLIN | POLLOUT));
    R(read(3, b, 100));
    close(3);
}

static void polls(void) {
    SECTION("poll");
    int p[2];
    pipe(p);
    int file = open("f", O_RDWR | O_CREAT, 0644);
    struct pollfd f[4] = {{p[0], POLLIN}, {p[1], POLLOUT}, {file, POLLIN | POLLOUT}, {-1, POLLIN}};
    R(poll(f, 4, -1));
    say("%x %x %x %x", f[0].revents, f[1].revents, f[2].revents, f[3].revents);
    f[0].fd = 77;
    R(poll(f, 1, -1));
    say("%x", f[0].revents);
    long t0 = now_ms();
    R(poll(NULL, 0, 30));
    V(now_ms() - t0 >= 30);
    f[0].fd = p[0];
    R(poll(f, 1, 10));
    R(poll((void *)8, 1, 0));
    R(poll(f, 1 << 30, 0));
    struct timespec ts = {0, 10000000}, bad = {0, -1};
    R(ppoll(f, 1, &ts, NULL));
    R(ppoll(f, 1, &bad, NULL));
    sigset_t none, alrm;
    sigemptyset(&none);
    sigemptyset(&alrm);
    sigaddset(&alrm, SIGUSR1);
    signal(SIGUSR1, on_signal);
    sigprocmask(SIG_BLOCK, &alrm, NULL);
    raise(SIGUSR1);
    R(poll(f, 1, 5));
    R(ppoll(f, 1, NULL, &none));
    sigset_t now;
    sigprocmask(SIG_BLOCK, NULL, &now);
    V(sigismember(&now, SIGUSR1));
    fd_set r, w, e;
    FD_ZERO(&r);
    FD_ZERO(&w);
    FD_ZERO(&e);
    FD_SET(p[0], &r);
    FD_SET(p[1], &w);
    FD_SET(file, &r);
    FD_SET(p[0], &e);
    struct timeval tv = {0, 10000};
    R(select(20, &r, &w, &e, &tv));
    say("%d%d%d%d", FD_ISSET(p[0], &r), FD_ISSET(p[1], &w), FD_ISSET(file, &r), FD_ISSET(p[0], &e));
    FD_ZERO(&r);
    FD_SET(p[0], &r);
    tv = (struct timeval){0, 10000};
    R(select(20, &r, NULL, NULL, &tv));
    V(FD_ISSET(p[0], &r));
    V(tv.tv_usec);
    FD_SET(15, &r);
    R(select(20, &r, NULL, NULL, &tv));
    R(select(-1, NULL, NULL, NULL, &tv));
    tv.tv_usec = -1;
    R(select(0, NULL, NULL, NULL, &tv));
    raise(SIGUSR1);
    FD_ZERO(&r);
    FD_SET(p[0], &r);
    R(pselect(20, &r, NULL, NULL, NULL, &none));
    sigprocmask(SIG_UNBLOCK, &alrm, NULL);
    pid_t c = fork();
    if (c == 0) {
        sleep_ms(15);
        write(p[1], "x", 1);
        _exit(0);
    }
    f[0] = (struct pollfd){p[0], POLLIN};
    R(poll(f, 1, 5000));
    V(f[0].revents);
    report_child(c);
    close(p[1]);
    R(poll(f, 1, -1));
    V(f[0].revents);
    close(p[0]);
    close(file);
}

static void epolls(void) {
    SECTION("epoll and friends");
    int e = epoll_create1(EPOLL_CLOEXEC), p[2];
    R(epoll_create1(99));
    R(epoll_create(0));
    pipe(p);
    struct epoll_event ev = {EPOLLIN, {.u64 = 0x1122334455667788}}, out[4];
    R(epoll_ctl(e, EPOLL_CTL_ADD, p[0], &ev));
    R(epoll_ctl(e, EPOLL_CTL_ADD, p[0], &ev));
    R(epoll_ctl(e, EPOLL_CTL_MOD, p[1], &ev));
    R(epoll_ctl(e, EPOLL_CTL_DEL, p[1], &ev));
    R(epoll_ctl(e, EPOLL_CTL_ADD, e, &ev));
    R(epoll_ctl(e, EPOLL_CTL_ADD, 99, &ev));
    R(epoll_ctl(e, 9, p[0], &ev));
    R(epoll_ctl(e, EPOLL_CTL_ADD, p[1], NULL));
    int file = open("f", O_RDWR | O_CREAT, 0644);
    R(epoll_ctl(e, EPOLL_CTL_ADD, file, &ev));
    R(epoll_wait(e, out, 4, 0));
    R(epoll_wait(e, out, 0, 0));
    R(epoll_wait(p[0], out, 4, 0));
    write(p[1], "ab", 2);
    R(epoll_wait(e, out, 4, -1));
    V(out[0].events);
    V(out[0].data.u64 == 0x1122334455667788);
    R(epoll_wait(e, out, 4, 0));
    ev.events = EPOLLIN | EPOLLET;
    R(epoll_ctl(e, EPOLL_CTL_MOD, p[0], &ev));
    R(epoll_wait(e, out, 4, 0));
    R(epoll_wait(e, out, 4, 0));
    write(p[1], "c", 1);
    R(epoll_wait(e, out, 4, 0));
    char b[16];
    read(p[0], b, 1);
    R(epoll_wait(e, out, 4, 0));
    ev.events = EPOLLIN | EPOLLONESHOT;
    epoll_ctl(e, EPOLL_CTL_MOD, p[0], &ev);
    R(epoll_wait(e, out, 4, 0));
    write(p[1], "c", 1);
    R(epoll_wait(e, out, 4, 0));
    ev.events = EPOLLIN | EPOLLRDHUP;
    epoll_ctl(e, EPOLL_CTL_MOD, p[0], &ev);
    V(events(e, POLLIN));
    close(p[1]);
    R(epoll_wait(e, out, 4, 0));
    V(out[0].events);
    close(p[0]);
    R(epoll_wait(e, out, 4, 10));
    close(e);
    int v = eventfd(3, EFD_NONBLOCK);
    uint64_t n = 0;
    R(read(v, &n, 8));
    V(n);
    R(read(v, &n, 8));
    R(read(v, &n, 4));
    n = 5;
    R(write(v, &n, 8));
    R(write(v, &n, 8));
    R(read(v, &n, 8));
    V(n);
    n = ~0ull;
    R(write(v, &n, 8));
    n = ~0ull - 1;
    R(write(v, &n, 8));
    n = 1;
    R(write(v, &n, 8));
    V(events(v, POLLIN | POLLOUT));
    close(v);
    v = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK);
    R(read(v, &n, 8));
    V(n);
    R(read(v, &n, 8));
    R(read(v, &n, 8));
    R(lseek(v, 0, SEEK_SET));
    close(v);
    R(eventfd(0, 123456));
}

int main(void) {
    pipes();
    polls();
    epolls();
    return 0;
}
