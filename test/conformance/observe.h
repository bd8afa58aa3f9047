/* What a program sees, printed so that two kernels can be compared line by line. */
#ifndef OBSERVE_H
#define OBSERVE_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/** Writes a whole line at once and without a buffer, so that forks never print twice. */
static inline void say(const char *format, ...) {
    char line[4096];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line - 1, format, args);
    va_end(args);
    if (n > (int)sizeof line - 2) n = sizeof line - 2;
    line[n++] = '\n';
    if (write(1, line, n) != n) _exit(99);
}

/** The result of a call: its value, or the name of its errno. */
static inline const char *result(long value, int error) {
    static __thread char text[8][64];
    static __thread int turn;
    char *out = text[turn++ & 7];
    const char *name = strerrorname_np(error);
    if (value == -1 && error != 0) snprintf(out, 64, "-1 %s", name ? name : "E?");
    else snprintf(out, 64, "%ld", value);
    return out;
}

/** Prints an expression and its result. */
#define R(expr)                                     \
    do {                                            \
        errno = 0;                                  \
        long r_ = (long)(expr);                     \
        int e_ = errno;                             \
        say("%s = %s", #expr, result(r_, e_));      \
    } while (0)

/** As R(), for addresses: only whether it worked. */
#define OK(expr)                                                                    \
    do {                                                                            \
        errno = 0;                                                                  \
        long r_ = (long)(expr);                                                     \
        int e_ = errno;                                                             \
        say("%s : %s", #expr, r_ == -1 ? result(-1, e_) : "ok");                    \
    } while (0)

#define V(expr) say("%s == %ld", #expr, (long)(expr))

#define SECTION(name) say("## %s", name)

/** Runs a block in a child and says how it ended. */
#define IN_CHILD(name, ...)                                     \
    do {                                                        \
        say("-- %s", name);                                     \
        pid_t child_ = fork();                                  \
        if (child_ == 0) {                                      \
            __VA_ARGS__;                                        \
            _exit(0);                                           \
        }                                                       \
        report_child(child_);                                   \
    } while (0)

static inline void say_status(int status) {
    if (WIFEXITED(status)) say("   exited %d", WEXITSTATUS(status));
    else if (WIFSIGNALED(status)) say("   killed by SIG%s", sigabbrev_np(WTERMSIG(status)));
    else if (WIFSTOPPED(status)) say("   stopped by SIG%s", sigabbrev_np(WSTOPSIG(status)));
    else if (WIFCONTINUED(status)) say("   continued");
}

static inline void report_child(pid_t pid) {
    int status = 0;
    pid_t got;
    do got = waitpid(pid, &status, 0);
    while (got < 0 && errno == EINTR);
    if (got != pid) say("   wait failed: %s", strerrorname_np(errno));
    else say_status(status);
}

static inline void sleep_ms(long ms) {
    struct timespec t = {ms / 1000, (ms % 1000) * 1000000};
    while (nanosleep(&t, &t) < 0 && errno == EINTR) {}
}

static inline long now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static inline void spill(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || write(fd, text, strlen(text)) < 0) say("spill failed: %s", strerrorname_np(errno));
    close(fd);
}
#endif
