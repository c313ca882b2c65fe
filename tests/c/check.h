/* check.h - what every test program here is made of.
 *
 * A program is a file of TEST(name) { ... } blocks; main() is in here. Each test runs in a process
 * of its own, so that one that fails, crashes or hangs takes no other with it, and finds
 *   - check_dir: an empty directory that is removed afterwards,
 *   - DOTSOCK_SOCKET_DIR = check_dir/sockets (not made yet), XDG_CONFIG_HOME = check_dir/config,
 *     and no other DOTSOCK_* in the environment.
 * A failed check prints what it expected and ends that test. `./program part_of_a_name` runs only
 * the tests whose name contains that.
 *
 * Nothing here sleeps and hopes: WAIT_FOR waits for a condition, with a deadline. The environment
 * variable CHECK_SLOW multiplies every deadline (valgrind, a busy machine), and CHECK_SPIN sets the
 * option `spin` for all of them.
 */
#ifndef CHECK_H
#define CHECK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dotsock.h>
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- time ---- */

static inline int64_t check_now(void) /* milliseconds, monotonic */
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static inline int check_slow(void)
{
    const char *text = getenv("CHECK_SLOW");
    int factor = text ? atoi(text) : 1;
    return factor < 1 ? 1 : factor;
}

/* How long a test waits for what should happen at once. */
static inline int check_patience(void) { return 5000 * check_slow(); }

static inline void check_pause(void) { poll(NULL, 0, 1); }

/* ---- checks ---- */

__attribute__((format(printf, 3, 4), noreturn)) static inline void check_fail(const char *file, int line,
                                                                              const char *format, ...)
{
    char text[4096];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(stderr, "  %s:%d: %s\n", file, line, text);
    fflush(stdout);
    _exit(1);
}

#define FAIL(...) check_fail(__FILE__, __LINE__, __VA_ARGS__)

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            FAIL("not true: %s (last error: %s)", #condition, sock_last_error());                            \
    } while (0)

#define CHECK_INT(expression, expected)                                                                      \
    do {                                                                                                     \
        long long got_ = (long long)(expression), want_ = (long long)(expected);                             \
        if (got_ != want_)                                                                                   \
            FAIL("%s is %lld, expected %lld", #expression, got_, want_);                                     \
    } while (0)

#define CHECK_STR(expression, expected)                                                                      \
    do {                                                                                                     \
        const char *got_ = (expression), *want_ = (expected);                                                \
        if (!got_ || strcmp(got_, want_) != 0)                                                               \
            FAIL("%s is \"%s\", expected \"%s\"", #expression, got_ ? got_ : "(NULL)", want_);               \
    } while (0)

#define CHECK_CONTAINS(expression, part)                                                                     \
    do {                                                                                                     \
        const char *got_ = (expression), *want_ = (part);                                                    \
        if (!got_ || !strstr(got_, want_))                                                                   \
            FAIL("%s is \"%s\", which lacks \"%s\"", #expression, got_ ? got_ : "(NULL)", want_);            \
    } while (0)

#define CHECK_OK(call)                                                                                       \
    do {                                                                                                     \
        int got_ = (call);                                                                                   \
        if (got_ != DOTSOCK_OK)                                                                              \
            FAIL("%s is %d (%s): %s", #call, got_, sock_strerror(got_), sock_last_error());                  \
    } while (0)

/* A call that fails with this status, and says so in sock_last_status() and sock_last_error(). */
#define CHECK_STATUS(call, expected)                                                                         \
    do {                                                                                                     \
        int got_ = (call), want_ = (expected);                                                               \
        if (got_ != want_)                                                                                   \
            FAIL("%s is %d (%s: %s), expected %d (%s)", #call, got_, sock_strerror(got_),                    \
                 got_ == DOTSOCK_OK ? "-" : sock_last_error(), want_, sock_strerror(want_));                 \
        if (sock_last_status() != want_ || !sock_last_error()[0])                                            \
            FAIL("%s is %d, but sock_last_status() is %d and the error is \"%s\"", #call, got_,              \
                 sock_last_status(), sock_last_error());                                                     \
    } while (0)

/* A call that returns NULL, with this status. */
#define CHECK_NULL(call, expected)                                                                           \
    do {                                                                                                     \
        const void *made_ = (call);                                                                          \
        int want_ = (expected);                                                                              \
        if (made_ || sock_last_status() != want_ || !sock_last_error()[0])                                   \
            FAIL("%s is %s with status %d (%s), expected NULL with %d (%s)", #call, made_ ? "made" : "NULL", \
                 sock_last_status(), sock_last_error(), want_, sock_strerror(want_));                        \
    } while (0)

/* Waits until the condition holds. */
#define WAIT_FOR(condition)                                                                                  \
    do {                                                                                                     \
        int64_t until_ = check_now() + check_patience();                                                     \
        while (!(condition)) {                                                                               \
            if (check_now() > until_)                                                                        \
                FAIL("waited %d ms in vain for: %s", check_patience(), #condition);                          \
            check_pause();                                                                                   \
        }                                                                                                    \
    } while (0)

/* ---- threads and children ---- */

static inline pthread_t check_thread(void *(*body)(void *), void *argument)
{
    pthread_t thread;
    int failed = pthread_create(&thread, NULL, body, argument);
    if (failed)
        FAIL("pthread_create: %s", strerror(failed));
    return thread;
}

static inline void check_join(pthread_t thread)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 3 * check_patience() / 1000; /* a thread does more than one thing */
    int failed = pthread_timedjoin_np(thread, NULL, &until);
    if (failed)
        FAIL("a thread did not end: %s", strerror(failed));
}

static inline void *check_nothing(void *argument) { return argument; }

/* ThreadSanitizer has threads of its own: one in every child, one more from the first thread on. */
#if defined __SANITIZE_THREAD__
#define CHECK_FOREIGN_THREADS 2
#elif defined __has_feature
#if __has_feature(thread_sanitizer)
#define CHECK_FOREIGN_THREADS 2
#endif
#endif
#ifndef CHECK_FOREIGN_THREADS
#define CHECK_FOREIGN_THREADS 0
#endif

/* How many threads this process has. */
static inline int check_threads(void)
{
    int count = -CHECK_FOREIGN_THREADS;
    DIR *tasks = opendir("/proc/self/task");
    if (!tasks)
        FAIL("/proc/self/task: %s", strerror(errno));
    for (struct dirent *entry; (entry = readdir(tasks)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(tasks);
    return count;
}

/* The end of a forked child that leaves memory of other threads behind. It becomes another program, so
 * that valgrind does not call that a leak. */
__attribute__((noreturn)) static inline void check_leave_child(void)
{
    execl("/bin/true", "true", (char *)NULL);
    _exit(127);
}

/* The exit status of a child process; a signal that killed it is a failure. */
static inline int check_child(pid_t pid)
{
    int status = 0, done = 0;
    WAIT_FOR((done = waitpid(pid, &status, WNOHANG)) != 0);
    if (done != pid)
        FAIL("waitpid: %s", strerror(errno));
    if (WIFSIGNALED(status))
        FAIL("a child process was killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    return WEXITSTATUS(status);
}

/* ---- the runner ---- */

struct check_case {
    const char *name;
    void (*body)(void);
    struct check_case *next;
};

static struct check_case *check_first, **check_end = &check_first;
static char check_dir[256];

#define TEST(title)                                                                                          \
    static void title(void);                                                                                 \
    static struct check_case check_case_##title = {#title, title, NULL};                                     \
    __attribute__((constructor)) static void check_add_##title(void)                                         \
    {                                                                                                        \
        *check_end = &check_case_##title;                                                                    \
        check_end = &check_case_##title.next;                                                                \
    }                                                                                                        \
    static void title(void)

/* A path inside check_dir; the text lives as long as the test. */
static inline const char *check_path(const char *name)
{
    static char paths[16][512];
    static int next;
    char *path = paths[next++ % 16];
    snprintf(path, sizeof paths[0], "%s/%s", check_dir, name);
    return path;
}

static int check_remove(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info, (void)kind, (void)walk;
    return remove(path);
}

static inline void check_environment(void)
{
    extern char **environ;
    for (int again = 1; again;) {
        again = 0;
        for (char **entry = environ; *entry && !again; entry++)
            if (strncmp(*entry, "DOTSOCK_", 8) == 0) {
                char name[128];
                snprintf(name, sizeof name, "%.*s", (int)strcspn(*entry, "="), *entry);
                again = unsetenv(name) == 0;
            }
    }
    setenv("DOTSOCK_SOCKET_DIR", check_path("sockets"), 1);
    setenv("XDG_CONFIG_HOME", check_path("config"), 1);
    if (getenv("CHECK_SPIN"))
        setenv("DOTSOCK_SPIN", getenv("CHECK_SPIN"), 1);
}

/* Runs one test in a child; 0 when it passed. */
static inline int check_run(const struct check_case *test)
{
    const char *base = getenv("TMPDIR");
    snprintf(check_dir, sizeof check_dir, "%s/dotsock-XXXXXX", base && strlen(base) < 40 ? base : "/tmp");
    if (!mkdtemp(check_dir)) {
        perror(check_dir);
        return 1;
    }
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        alarm(20 * (unsigned)check_slow());
        check_environment();
        if (CHECK_FOREIGN_THREADS)
            check_join(check_thread(check_nothing, NULL));
        test->body();
        exit(0);
    }
    int status = 0;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (pid > 0)
        kill(-pid, SIGKILL); /* children that a failed test left behind */
    nftw(check_dir, check_remove, 16, FTW_DEPTH | FTW_PHYS);
    if (WIFSIGNALED(status))
        fprintf(stderr, "  %s: killed by signal %d (%s)\n", test->name, WTERMSIG(status),
                WTERMSIG(status) == SIGALRM ? "it hung" : strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status))
        fprintf(stderr, "  %s: failed (exit status %d)\n", test->name, WEXITSTATUS(status));
    return status != 0;
}

static inline int check_main(int argc, char **argv)
{
    int ran = 0, failed = 0;
    for (const struct check_case *test = check_first; test; test = test->next) {
        if (argc > 1 && !strstr(test->name, argv[1]))
            continue;
        ran++;
        failed += check_run(test);
    }
    printf("%d of %d tests passed\n", ran - failed, ran);
    return failed || !ran;
}

#ifndef CHECK_OWN_MAIN
int main(int argc, char **argv) { return check_main(argc, argv); }
#endif

#endif
