/* Pairs of local sockets: streams, messages, ends, poll. */
#include "observe.h"
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

static void on_signal(int sig) { say("   SIG%s", sigabbrev_np(sig)); }

static short events(int fd) {
    struct pollfd f = {fd, POLLIN | POLLOUT | POLLRDHUP, 0};
    int n = poll(&f, 1, 0);
    return n < 0 ? -1 : f.revents;
}

static char b[300000];

static void creation(void) {
    SECTION("creation");
    int s[2];
    R(socketpair(99, SOCK_STREAM, 0, s));
    R(socketpair(AF_UNIX, 4, 0, s));
    R(socketpair(AF_UNIX, 0, 0, s));
    R(socketpair(AF_UNIX, 15, 0, s));
    R(socketpair(AF_UNIX, SOCK_STREAM, 7, s));
    R(socketpair(AF_UNIX, SOCK_STREAM | 0x100, 0, s));
    R(socketpair(AF_UNIX, SOCK_STREAM, 0, (int *)8));
    R(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, AF_UNIX, s));
    V(s[0] * 10 + s[1]);
    V(fcntl(s[0], F_GETFD));
    V(fcntl(s[1], F_GETFL));
    struct stat st;
    fstat(s[0], &st);
    V(st.st_mode);
    V(st.st_size);
    R(lseek(s[0], 0, SEEK_CUR));
    R(pread(s[0], b, 1, 0));
    int null = open("/dev/null", O_RDWR);
    R(send(null, b, 1, 0));
    close(null);
    R(recv(99, b, 1, 0));
    R(shutdown(s[0], 3));
    close(s[0]);
    close(s[1]);
}

static void ends(int type, const char *name) {
    SECTION(name);
    int s[2], n;
    socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, s);
    V(events(s[0]));
    R(read(s[0], b, 1));
    R(write(s[0], "abcd", 4));
    R(write(s[0], "efg", 3));
    V(events(s[1]));
    R(ioctl(s[1], FIONREAD, &n));
    V(n);
    R(recv(s[1], b, 3, MSG_PEEK));
    R(recv(s[1], b, 100, MSG_PEEK));
    R(read(s[1], b, 0));
    R(read(s[1], b, 3));
    V(b[2]);
    R(ioctl(s[1], FIONREAD, &n));
    V(n);
    R(recv(s[1], b, 1, MSG_TRUNC));
    R(read(s[1], b, 100));
    R(read(s[1], b, 100));
    struct iovec v[2] = {{"12", 2}, {"345", 3}};
    R(writev(s[1], v, 2));
    struct iovec w[2] = {{b, 1}, {b + 10, 9}};
    R(readv(s[0], w, 2));
    V(b[0] * 1000 + b[10]);
    R(write(s[0], (char *)8, 1));
    /* Full, and what a full one still takes. */
    long sent = 0, one;
    while ((one = write(s[0], b, 1000)) > 0) sent += one;
    V(one == -1 && errno == EAGAIN);
    V(sent > 50000 && sent < 400000);
    V(events(s[0]));
    long got = 0;
    while ((one = read(s[1], b, 1000)) > 0) got += one;
    V(got == sent);
    V(events(s[0]));
    R(shutdown(s[0], SHUT_WR));
    V(events(s[0]));
    V(events(s[1]));
    R(read(s[1], b, 1));
    signal(SIGPIPE, SIG_IGN);
    R(write(s[0], "x", 1));
    R(write(s[1], "yz", 2));
    V(events(s[0]));
    /* The other end goes with something unread. */
    R(close(s[0]));
    V(events(s[1]));
    R(read(s[1], b, 1));
    R(read(s[1], b, 1));
    R(write(s[1], "x", 1));
    R(close(s[1]));
    /* The end with something to read still reads it. */
    socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, s);
    R(write(s[0], "left", 4));
    close(s[0]);
    V(events(s[1]));
    R(read(s[1], b, 100));
    R(read(s[1], b, 100));
    V(events(s[1]));
    close(s[1]);
}

static void sizes(void) {
    SECTION("sizes");
    int s[2];
    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, s);
    R(write(s[0], b, 300000));
    R(write(s[0], b, 100000));
    R(read(s[1], b, 300000));
    R(send(s[0], b, 0, 0));
    R(read(s[1], b, 100));
    close(s[0]);
    close(s[1]);
}

static void signals(void) {
    SECTION("broken stream");
    int s[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, s);
    close(s[1]);
    signal(SIGPIPE, on_signal);
    R(write(s[0], "x", 1));
    R(send(s[0], "x", 1, 0));
    R(send(s[0], "x", 1, MSG_NOSIGNAL));
    close(s[0]);
}

static void waiting(void) {
    SECTION("waiting");
    int s[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, s);
    pid_t pid = fork();
    if (pid == 0) {
        close(s[0]);
        if (write(s[1], b, 300000) != 300000) _exit(1);
        if (read(s[1], b, 2) != 2) _exit(2);
        if (send(s[1], b, 250000, 0) != 250000) _exit(3);
        _exit(0);
    }
    close(s[1]);
    long got = 0, one;
    while (got < 300000 && (one = read(s[0], b, 4096)) > 0) got += one;
    V(got);
    sleep_ms(30);
    R(write(s[0], "go", 2));
    got = 0;
    while ((one = read(s[0], b, sizeof b)) > 0) got += one;
    V(got);
    report_child(pid);
    close(s[0]);
}

int main(void) {
    creation();
    ends(SOCK_STREAM, "stream");
    ends(SOCK_SEQPACKET, "seqpacket");
    ends(SOCK_DGRAM, "dgram");
    sizes();
    signals();
    waiting();
    return 0;
}
