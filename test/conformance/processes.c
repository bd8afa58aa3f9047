/* Processes: clone in its shapes, exec, wait, groups and sessions, threads. */
#include "observe.h"
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/times.h>
#include <sys/utsname.h>
#include <sys/auxv.h>

extern char **environ;
static char self[4096];

/** What an executed copy of this program says about itself. */
static int executed(int argc, char **argv) {
    for (int i = 0; i < argc; i++) say("   argv[%d]=%s", i, i == 0 && argv[i][0] == '/' ? strrchr(argv[i], '/') : argv[i]);
    for (int i = 0; environ[i]; i++) say("   env[%d]=%s", i, environ[i]);
    char open_fds[64] = "";
    for (int i = 3; i < 30; i++)
        if (fcntl(i, F_GETFD) >= 0) sprintf(open_fds + strlen(open_fds), " %d", i);
    say("   open:%s", open_fds);
    sigset_t s;
    sigprocmask(SIG_BLOCK, NULL, &s);
    struct sigaction a, b;
    sigaction(SIGUSR1, NULL, &a);
    sigaction(SIGUSR2, NULL, &b);
    sigset_t p;
    sigpending(&p);
    say("   usr1 blocked %d pending %d ignored %d, usr2 default %d", sigismember(&s, SIGUSR1), sigismember(&p, SIGUSR1), a.sa_handler == SIG_IGN, b.sa_handler == SIG_DFL);
    char comm[20];
    prctl(PR_GET_NAME, comm);
    say("   comm %s", comm);
    char *name = (char *)getauxval(AT_EXECFN);
    say("   execfn %s", strrchr(name, '/') ? strrchr(name, '/') : name);
    return 0;
}

static void handler(int sig) {}

static void exec(void) {
    SECTION("exec");
    char *argv[] = {"x", "one", "", "two words", NULL}, *env[] = {"A=1", "EMPTY=", "B", NULL};
    IN_CHILD("execve", {
        open("/dev/null", O_RDONLY);
        open("/dev/null", O_RDONLY | O_CLOEXEC);
        dup2(3, 10);
        signal(SIGUSR1, SIG_IGN);
        signal(SIGUSR2, handler);
        execve(self, argv, env);
    });
    IN_CHILD("mask and pending stay", {
        sigset_t s;
        sigemptyset(&s);
        sigaddset(&s, SIGUSR1);
        sigprocmask(SIG_BLOCK, &s, NULL);
        raise(SIGUSR1);
        execve(self, argv, env);
    });
    symlink(self, "link");
    IN_CHILD("through a link", { execve("./link", argv, env); });
    IN_CHILD("fexecve", { fexecve(open(self, O_RDONLY), argv, env); });
    IN_CHILD("execveat", { syscall(SYS_execveat, open(".", O_RDONLY | O_DIRECTORY), "link", argv, env, 0); });
    IN_CHILD("execveat nofollow", { R(syscall(SYS_execveat, AT_FDCWD, "link", argv, env, AT_SYMLINK_NOFOLLOW)); });
    char script[4200];
    snprintf(script, sizeof script, "#! %s  an argument \nbody\n", self);
    spill("script", script);
    R(execve("./script", argv, env));
    chmod("script", 0755);
    IN_CHILD("script", { execve("./script", argv, env); });
    IN_CHILD("script, cloexec", { R(syscall(SYS_execveat, open("script", O_RDONLY | O_CLOEXEC), "", argv, env, AT_EMPTY_PATH)); });
    spill("script2", "#!./script\n");
    chmod("script2", 0755);
    IN_CHILD("script of a script", { execve("./script2", argv, env); });
    spill("loop", "#!./loop\n");
    chmod("loop", 0755);
    R(execve("./loop", argv, env));
    spill("bad1", "#!/missing/interpreter\n");
    chmod("bad1", 0755);
    R(execve("./bad1", argv, env));
    spill("bad2", "#!\n");
    chmod("bad2", 0755);
    R(execve("./bad2", argv, env));
    spill("bad3", "plain text\n");
    chmod("bad3", 0755);
    R(execve("./bad3", argv, env));
    spill("bad4", "");
    chmod("bad4", 0755);
    R(execve("./bad4", argv, env));
    spill("bad5", "\177ELF");
    chmod("bad5", 0755);
    R(execve("./bad5", argv, env));
    R(execve(".", argv, env));
    R(execve("missing", argv, env));
    R(execve("script/x", argv, env));
    R(execve("", argv, env));
    R(execve((char *)8, argv, env));
    R(execve(self, (char **)8, env));
    R(execve("/dev/null", argv, env));
    int fd = open("bad3", O_RDONLY);
    R(syscall(SYS_execveat, fd, "", argv, env, 0));
    close(fd);
    IN_CHILD("no argv", { execve(self, NULL, env); });
    static char big[3 << 20];
    memset(big, 'b', sizeof big - 1);
    char *bigv[] = {"x", big, NULL};
    R(execve(self, bigv, env));
    big[131072 - 1] = 0;
    char *many[100];
    for (int i = 0; i < 98; i++) many[i] = big;
    many[98] = NULL;
    R(execve(self, many, env));
    fd = open(self, O_WRONLY);
    say("%s", fd < 0 ? strerrorname_np(errno) : "opened");
    close(fd);
    posix_spawn_file_actions_t fa;
    posix_spawn_file_actions_init(&fa);
    posix_spawn_file_actions_addopen(&fa, 7, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&fa, 7, 8);
    pid_t pid;
    int spawned = posix_spawn(&pid, self, &fa, NULL, argv, env);
    report_child(pid);
    V(spawned);
    R(posix_spawn(&pid, "missing", NULL, NULL, argv, env));
}

static void clones(void) {
    SECTION("clone");
    volatile int shared = 0;
    pid_t p = vfork();
    if (p == 0) {
        shared = 5;
        _exit(3);
    }
    V(shared);
    report_child(p);
    p = fork();
    if (p == 0) {
        shared = 6;
        _exit(0);
    }
    report_child(p);
    V(shared);
    struct clone_args ca = {.flags = CLONE_PARENT_SETTID | CLONE_FS | CLONE_FILES, .exit_signal = SIGCHLD};
    pid_t tid = 0;
    ca.parent_tid = (uintptr_t)&tid;
    p = syscall(SYS_clone3, &ca, sizeof ca);
    if (p == 0) {
        chdir("/");
        open("/dev/null", O_RDONLY);
        _exit(0);
    }
    V(tid == p);
    report_child(p);
    char cwd[100];
    getcwd(cwd, 100);
    say("%s", cwd);
    R(fcntl(3, F_GETFD));
    close(3);
    ca.flags = CLONE_THREAD;
    R(syscall(SYS_clone3, &ca, sizeof ca));
    ca.flags = CLONE_SIGHAND;
    R(syscall(SYS_clone3, &ca, sizeof ca));
    ca.flags = 0;
    R(syscall(SYS_clone3, &ca, 8));
    ca.exit_signal = 300;
    R(syscall(SYS_clone3, &ca, sizeof ca));
    ca.exit_signal = 0;
    p = syscall(SYS_clone3, &ca, sizeof ca);
    if (p == 0) _exit(4);
    int st;
    sleep_ms(10);
    R(waitpid(p, &st, 0));
    R(waitpid(p, &st, __WCLONE) == p);
    ca.exit_signal = SIGUSR1;
    signal(SIGUSR1, SIG_IGN);
    p = syscall(SYS_clone3, &ca, sizeof ca);
    if (p == 0) _exit(4);
    R(waitpid(p, &st, __WALL) == p);
    IN_CHILD("orphan", {
        if (fork() == 0) {
            sleep_ms(10);
            V(getppid() != 0);
            _exit(0);
        }
        _exit(0);
    });
    sleep_ms(30);
    IN_CHILD("death signal", {
        int pp[2];
        pipe(pp);
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGTERM);
            write(pp[1], "x", 1);
            sleep_ms(1000);
            say("not reached");
            _exit(0);
        }
        read(pp[0], cwd, 1);
    });
    sleep_ms(10);
    IN_CHILD("subreaper", {
        R(prctl(PR_SET_CHILD_SUBREAPER, 1));
        if (fork() == 0) {
            if (fork() == 0) {
                sleep_ms(10);
                _exit(9);
            }
            _exit(8);
        }
        int sum = 0;
        while (wait(&st) > 0) sum = sum * 100 + WEXITSTATUS(st);
        V(sum);
    });
    struct rusage ru;
    p = fork();
    if (p == 0) _exit(1);
    R(wait4(p, &st, 0, &ru) == p);
    V(ru.ru_maxrss > 0);
    R(getrusage(77, &ru));
    R(wait4(-1, NULL, 0, NULL));
}

static void groups(void) {
    SECTION("groups and sessions");
    IN_CHILD("session", {
        pid_t me = getpid();
        R(setsid() == me);
        R(setsid());
        V(getpgrp() == me);
        V(getsid(0) == me);
        R(setpgid(0, 0));
        pid_t a = fork();
        if (a == 0) {
            for (;;) pause();
        }
        R(setpgid(a, a));
        V(getpgid(a) == a);
        pid_t b = fork();
        if (b == 0) {
            for (;;) pause();
        }
        R(setpgid(b, a));
        R(setpgid(b, 99999999));
        R(setpgid(b, -1));
        R(setpgid(99999999, 0));
        R(getpgid(99999999));
        R(getsid(99999999));
        R(waitpid(-a, NULL, WNOHANG));
        R(waitpid(0, NULL, WNOHANG));
        R(kill(-a, SIGTERM));
        int st;
        pid_t x = waitpid(-a, &st, 0);
        V(x == a || x == b);
        siginfo_t si;
        R(waitid(P_PGID, a, &si, WEXITED));
        R(waitid(P_PGID, a, &si, WEXITED));
        R(kill(-a, 0));
        pid_t c = fork();
        if (c == 0) {
            R(setsid() == getpid());
            R(setpgid(0, getppid()));
            _exit(0);
        }
        report_child(c);
        c = fork();
        if (c == 0) execl(self, "sleeper", NULL);
        sleep_ms(30);
        R(setpgid(c, c));
        kill(c, SIGKILL);
        report_child(c);
    });
    IN_CHILD("ids", {
        R(setresgid(5, 6, 7));
        R(setresuid(1000, 1001, 1002));
        uid_t r, e, s;
        getresuid(&r, &e, &s);
        say("%d %d %d", r, e, s);
        R(setuid(0));
        R(setuid(1002));
        R(setresuid(1000, 1000, 1000));
        R(setresuid(0, -1, -1));
        R(setgid(0));
        R(chroot("."));
        R(open("/proc/1/mem", O_RDWR) >= 0);
        R(sethostname("x", 1));
        R(nice(-1));
        struct rlimit l;
        getrlimit(RLIMIT_NOFILE, &l);
        l.rlim_max += 1;
        R(setrlimit(RLIMIT_NOFILE, &l));
    });
    IN_CHILD("permissions", {
        mkdir("secret", 0700);
        spill("secret/f", "1");
        spill("ro", "1");
        mkdir("sticky", 01777);
        chmod("sticky", 01777);
        spill("sticky/f", "1");
        setresgid(1000, 1000, 1000);
        setresuid(1000, 1000, 1000);
        R(open("secret/f", O_RDONLY));
        R(open("secret", O_RDONLY));
        R(access("ro", W_OK));
        R(open("ro", O_RDWR));
        R(unlink("ro"));
        R(unlink("sticky/f"));
        R(open("sticky/g", O_CREAT | O_RDWR, 0444));
        R(open("sticky/g", O_RDWR));
        R(chmod("ro", 0777));
        R(chown("sticky/g", 0, 0));
        R(chmod("sticky/g", 0600));
        R(utimensat(AT_FDCWD, "ro", NULL, 0));
        R(mkdir("x", 0755));
        R(link("ro", "sticky/l"));
        R(execl("./ro", "ro", NULL));
        R(chdir("secret"));
        R(mknod("sticky/dev", S_IFCHR | 0666, 0x103));
    });
}

static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t c = PTHREAD_COND_INITIALIZER;
static __thread int local = 42;
static int counter, turn;
static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static void init_once(void) { counter += 1000000; }
static void destroyed(void *v) { say("   destructor %ld", (long)v); }
static void *adder(void *arg) {
    pthread_once(&once, init_once);
    for (int i = 0; i < 2000; i++) {
        pthread_mutex_lock(&m);
        counter++;
        pthread_mutex_unlock(&m);
        if (i % 500 == 0) sched_yield();
    }
    local += (long)arg;
    return (void *)(long)local;
}
static void *player(void *arg) {
    for (int i = 0; i < 50; i++) {
        pthread_mutex_lock(&m);
        while (turn != (long)arg) pthread_cond_wait(&c, &m);
        turn ^= 1;
        pthread_cond_broadcast(&c);
        pthread_mutex_unlock(&m);
    }
    return NULL;
}
static void cleanup(void *text) { say("   cleanup %s", (char *)text); }
static void *canceled(void *how) {
    pthread_cleanup_push(cleanup, how);
    pthread_setspecific(key, (void *)7);
    if (how && *(char *)how == 'a') {
        pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
        for (;;) {}
    }
    sleep_ms(10000);
    pthread_cleanup_pop(0);
    return NULL;
}
static void *exit_all(void *unused) {
    sleep_ms(5);
    exit(17);
}
static void *forker(void *unused) {
    pid_t p = fork();
    if (p == 0) _exit(local == 42 ? 21 : 22);
    report_child(p);
    return NULL;
}
static void *exec_thread(void *unused) {
    char *argv[] = {"from-thread", NULL}, *env[] = {NULL};
    execve(self, argv, env);
    return NULL;
}
static pthread_barrier_t barrier;
static void *at_barrier(void *unused) { return (void *)(long)(pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD); }

static void threads(void) {
    SECTION("threads");
    pthread_t t[8];
    for (long i = 0; i < 8; i++) pthread_create(&t[i], NULL, adder, (void *)i);
    for (int i = 0; i < 8; i++) {
        void *v;
        R(pthread_join(t[i], &v));
        V((long)v);
    }
    V(counter);
    V(local);
    for (long i = 0; i < 2; i++) pthread_create(&t[i], NULL, player, (void *)i);
    for (int i = 0; i < 2; i++) pthread_join(t[i], NULL);
    V(turn);
    pthread_key_create(&key, destroyed);
    static char *ways[] = {"deferred", "asynchronous"};
    for (int i = 0; i < 2; i++) {
        pthread_create(&t[0], NULL, canceled, ways[i]);
        sleep_ms(10);
        R(pthread_cancel(t[0]));
        void *v;
        R(pthread_join(t[0], &v));
        V(v == PTHREAD_CANCELED);
    }
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    ts.tv_nsec += 10000000;
    ts.tv_sec += ts.tv_nsec / 1000000000;
    ts.tv_nsec %= 1000000000;
    pthread_mutex_lock(&m);
    R(pthread_cond_timedwait(&c, &m, &ts));
    R(pthread_mutex_trylock(&m));
    R(pthread_mutex_timedlock(&m, &ts));
    pthread_mutex_unlock(&m);
    pthread_barrier_init(&barrier, NULL, 4);
    long serial = 0;
    for (int i = 0; i < 4; i++) pthread_create(&t[i], NULL, at_barrier, NULL);
    for (int i = 0; i < 4; i++) {
        void *v;
        pthread_join(t[i], &v);
        serial += (long)v;
    }
    V(serial);
    IN_CHILD("exit in a thread", {
        pthread_create(&t[0], NULL, exit_all, NULL);
        pthread_join(t[0], NULL);
        sleep_ms(1000);
    });
    IN_CHILD("the first thread exits first", {
        pthread_create(&t[0], NULL, exit_all, NULL);
        pthread_exit(NULL);
    });
    pthread_create(&t[0], NULL, forker, NULL);
    pthread_join(t[0], NULL);
    IN_CHILD("exec in a thread", {
        pthread_create(&t[0], NULL, exec_thread, NULL);
        sleep_ms(2000);
        say("not reached");
    });
    sem_t *sem = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    sem_init(sem, 1, 0);
    pid_t p = fork();
    if (p == 0) {
        sleep_ms(10);
        sem_post(sem);
        _exit(0);
    }
    R(sem_wait(sem));
    report_child(p);
    pthread_mutexattr_t at;
    pthread_mutexattr_init(&at);
    pthread_mutexattr_setpshared(&at, 1);
    pthread_mutexattr_setrobust(&at, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_t *rm = (void *)(sem + 4);
    pthread_mutex_init(rm, &at);
    p = fork();
    if (p == 0) {
        pthread_mutex_lock(rm);
        _exit(0);
    }
    report_child(p);
    R(pthread_mutex_lock(rm) == EOWNERDEAD);
    R(pthread_mutex_consistent(rm));
    R(pthread_mutex_unlock(rm));
    sem_t *named = sem_open("/conformance", O_CREAT | O_EXCL, 0600, 1);
    V(named != SEM_FAILED);
    R(sem_wait(named));
    R(sem_trywait(named));
    R(sem_unlink("/conformance"));
}

static void proc(void) {
    SECTION("proc");
    static const char *fields[] = {"Name:", "State:", "Threads:", "SigQ:", "SigBlk:", "SigIgn:", "SigCgt:", "Uid:", "Gid:", "Umask:"};
    prctl(PR_SET_NAME, "a (b) c");
    signal(SIGUSR1, SIG_IGN);
    signal(SIGUSR2, handler);
    static char text[16384];
    int fd = open("/proc/self/status", O_RDONLY);
    int n = read(fd, text, sizeof text - 1);
    text[n] = 0;
    close(fd);
    for (unsigned i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (i == 3) continue;
        char *at = strstr(text, fields[i]);
        if (at) say("%.*s", (int)strcspn(at, "\n"), at);
        else say("no %s", fields[i]);
    }
    fd = open("/proc/self/stat", O_RDONLY);
    n = read(fd, text, sizeof text - 1);
    text[n] = 0;
    close(fd);
    V(atoi(text) == getpid());
    char *rest = strrchr(text, ')');
    say("%.*s", (int)(rest + 3 - strchr(text, '(')), strchr(text, '('));
    int count = 0;
    for (char *q = rest; *q; q++) count += *q == ' ';
    V(count);
    fd = open("/proc/self/cmdline", O_RDONLY);
    n = read(fd, text, 100);
    close(fd);
    V(n == (int)strlen(text) + 1);
    fd = open("/proc/self/comm", O_RDWR);
    R(write(fd, "renamed-by-proc-comm", 20));
    close(fd);
    prctl(PR_GET_NAME, text);
    say("%s", text);
    n = readlink("/proc/self/exe", text, 4096);
    text[n] = 0;
    V(strcmp(text, self) == 0);
    n = readlink("/proc/self", text, 100);
    text[n] = 0;
    V(atoi(text) == getpid());
    fd = open("p", O_CREAT | O_RDWR, 0644);
    char name[64];
    snprintf(name, 64, "/proc/self/fd/%d", fd);
    n = readlink(name, text, 1000);
    text[n] = 0;
    say("%s", strrchr(text, '/'));
    unlink("p");
    n = readlink(name, text, 1000);
    text[n] = 0;
    say("%s", strrchr(text, '/'));
    int again = open(name, O_RDWR);
    R(write(again, "xy", 2));
    struct stat st;
    fstat(fd, &st);
    V(st.st_size);
    close(again);
    snprintf(name, 64, "/proc/self/fdinfo/%d", fd);
    again = open(name, O_RDONLY);
    n = read(again, text, 22);
    text[n] = 0;
    say("%s", text);
    close(again);
    close(fd);
    int p[2];
    pipe(p);
    snprintf(name, 64, "/proc/self/fd/%d", p[0]);
    n = readlink(name, text, 6);
    say("%.*s", n, text);
    close(p[0]);
    close(p[1]);
    R(open("/proc/self/nothing", O_RDONLY));
    R(open("/proc/99999999/status", O_RDONLY));
    R(unlink("/proc/self/status"));
    R(open("/proc/self/status", O_WRONLY));
    R(access("/proc/self/mem", R_OK));
    fd = open("/proc/self/mem", O_RDWR);
    long word = 1234, seen = 0;
    R(pread(fd, &seen, 8, (long)&word));
    V(seen);
    seen = 4321;
    R(pwrite(fd, &seen, 8, (long)&word));
    V(word);
    R(pread(fd, &seen, 8, 0));
    close(fd);
    fd = open("/proc/self/environ", O_RDONLY);
    R(read(fd, text, 5));
    close(fd);
    struct utsname u;
    uname(&u);
    say("%s", u.sysname);
    struct sysinfo si;
    R(sysinfo(&si));
    V(si.mem_unit);
    struct tms tm;
    V(times(&tm) > 0);
    R(getrandom(text, 16, 0));
    R(getrandom(text, 16, 99));
    R(getrandom((char *)8, 16, 0));
    R(prctl(9999));
    R(prctl(PR_SET_DUMPABLE, 5));
    R(prctl(PR_GET_DUMPABLE));
    R(syscall(9999));
    cpu_set_t set;
    R(sched_getaffinity(0, sizeof set, &set) >= 0);
    R(sched_getaffinity(0, 1, &set));
    R(sched_getscheduler(0));
    R(getpriority(PRIO_PROCESS, 0));
    R(setpriority(PRIO_PROCESS, 0, 5));
    R(getpriority(PRIO_PROCESS, 0));
    R(sched_get_priority_max(SCHED_FIFO));
    IN_CHILD("chroot", {
        mkdir("jail", 0755);
        mkdir("jail/in", 0755);
        R(chroot("jail"));
        R(chdir("/"));
        char cwd[100];
        say("%s", getcwd(cwd, 100));
        R(access("/in", F_OK));
        R(chdir("../../.."));
        R(access("in", F_OK));
        R(access("/proc", F_OK));
    });
}

static jmp_buf jump;
static void far(int n) {
    if (n == 0) longjmp(jump, 5);
    far(n - 1);
}

static void library(void) {
    SECTION("library");
    int v = setjmp(jump);
    if (v == 0) far(10);
    V(v);
    FILE *f = fopen("stdio", "w+");
    for (int i = 0; i < 3000; i++) fprintf(f, "%d %s\n", i, "line");
    fseek(f, 0, SEEK_SET);
    char line[64];
    long sum = 0;
    while (fgets(line, 64, f)) sum += atoi(line);
    V(sum);
    V(ftell(f));
    ungetc('x', f);
    V(fgetc(f));
    fclose(f);
    f = tmpfile();
    V(f != NULL);
    if (f) {
        fputs("text", f);
        rewind(f);
        V(fgetc(f));
        fclose(f);
    }
    char name[] = "tmpXXXXXX";
    R(mkstemp(name) >= 0);
    say("%.17g %a %Lg %s", 0.1, 1.0 / 3, 1.5L, strerror(ENOENT));
    fflush(stdout);
}

int main(int argc, char **argv) {
    if (argc > 0 && strcmp(argv[0], "sleeper") == 0) return sleep_ms(1000), 0;
    if (argc < 1 || strcmp(argv[0], "prog") != 0) return executed(argc, argv);
    self[readlink("/proc/self/exe", self, sizeof self - 1)] = 0;
    if (getenv("A") && strlen(self) > 4 && strcmp(self + strlen(self) - 5, "/prog") != 0) return executed(argc, argv);
    clones();
    char *slash = strrchr(self, '/');
    *slash = 0;
    chdir(self);
    chdir("work");
    *slash = '/';
    exec();
    groups();
    threads();
    proc();
    library();
    return 0;
}
