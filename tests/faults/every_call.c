/* every_call.c - makes every system call of the library fail, once each, with every errno that it
 * can have, and sees how the library takes it.
 *
 *     every_call [--quick] [--jobs N] [PART OF A CALL'S NAME ...]
 *     every_call --one CALL ERRNO FIRST FOR_MS TRANSPORT THREADED
 *
 * The n-th call fails, for n = 1, 2, ... until the scenario (scenario.c) runs through untouched.
 * --quick leaves most n out. Each run is a process of its own. */
#define _GNU_SOURCE
#include "numbered.h"
#include "scenario.h"

#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- what fails, and how ---- */

enum { SHORT = -1, NO_MORE = 0 };

static const struct {
    int call;
    int errors[10];
    int lasting; /* one of them that also lasts for a while */
} faults[] = {
    {CALL_SOCKET, {EMFILE, ENFILE, ENOBUFS, ENOMEM, EACCES}, EMFILE},
    {CALL_BIND, {EADDRINUSE, EACCES, ENOMEM, ENOBUFS, ENOSPC, EROFS}, ENOSPC},
    {CALL_LISTEN, {EADDRINUSE, ENOMEM}, NO_MORE},
    {CALL_ACCEPT4, {EMFILE, ENFILE, ENOBUFS, ENOMEM, EINTR, EAGAIN, ECONNABORTED, EPERM, EPROTO}, EMFILE},
    {CALL_CONNECT, {ECONNREFUSED, ECONNRESET, EINTR, EAGAIN, EACCES, ENOMEM, ENOBUFS, ETIMEDOUT, ENOENT}, EAGAIN},
    {CALL_RECV, {SHORT, EINTR, EAGAIN, ECONNRESET, ETIMEDOUT, ENOMEM}, NO_MORE},
    {CALL_SEND, {SHORT, EINTR, EAGAIN, EPIPE, ECONNRESET, ENOBUFS, ENOMEM, ETIMEDOUT}, ENOBUFS},
    {CALL_SHUTDOWN, {ENOTCONN, ENOBUFS}, NO_MORE},
    {CALL_SETSOCKOPT, {ENOMEM, ENOBUFS}, NO_MORE},
    {CALL_GETSOCKOPT, {ENOMEM, ENOBUFS}, NO_MORE},
    {CALL_GETSOCKNAME, {ENOBUFS}, NO_MORE},
    {CALL_GETPEERNAME, {ENOTCONN, ENOBUFS}, NO_MORE},
    {CALL_IOCTL, {EINVAL}, NO_MORE},
    {CALL_EPOLL_CREATE, {EMFILE, ENFILE, ENOMEM}, EMFILE},
    {CALL_EPOLL_ADD, {ENOMEM, ENOSPC}, ENOSPC},
    {CALL_EPOLL_WAIT, {EINTR}, NO_MORE},
    {CALL_POLL, {EINTR, ENOMEM}, NO_MORE},
    {CALL_EVENTFD, {EMFILE, ENFILE, ENOMEM}, EMFILE},
    {CALL_EVENT_READ, {EAGAIN}, NO_MORE},
    {CALL_TIMERFD, {EMFILE, ENFILE, ENOMEM}, EMFILE},
    {CALL_OPEN, {EMFILE, ENFILE, ENOMEM, EACCES, ENOSPC, EROFS, EINTR}, EMFILE},
    {CALL_READ, {SHORT, EINTR, EIO}, NO_MORE},
    {CALL_WRITE, {SHORT, EINTR, ENOSPC, EIO}, ENOSPC},
    {CALL_STAT, {EACCES, ENOMEM, EIO}, NO_MORE},
    {CALL_FTRUNCATE, {EINTR, EIO}, NO_MORE},
    {CALL_FCHMOD, {EPERM, EACCES, EROFS, EIO}, NO_MORE},
    {CALL_FLOCK, {ENOLCK, ENOMEM, EINTR, EAGAIN}, ENOLCK},
    {CALL_RENAME, {ENOSPC, ENOMEM, EACCES, EIO}, NO_MORE},
    {CALL_UNLINK, {EACCES, ENOMEM, EROFS, EIO}, NO_MORE},
    {CALL_MKDIR, {EACCES, ENOMEM, ENOSPC, EMLINK, EROFS}, ENOSPC},
    {CALL_FCNTL, {EMFILE}, EMFILE},
    {CALL_MMAP, {ENOMEM}, ENOMEM},
    {CALL_MADVISE, {EINVAL, ENOMEM}, NO_MORE},
    {CALL_THREAD, {EAGAIN}, EAGAIN},
    {CALL_MALLOC, {ENOMEM}, ENOMEM},
};

static const struct variant {
    int transport, threaded;
    const char *token, *name;
} variants[] = {{DOTSOCK_UNIX, 1, "", "unix, own thread"},
                {DOTSOCK_TCP, 0, "", "tcp, open and next"},
                {DOTSOCK_TCP, 1, "a token of the tests", "tcp with a token, own thread"},
                {DOTSOCK_UNIX, 0, "", "unix, open and next"}};

enum { VARIANTS = 4, MOST_JOBS = 16, LARGE = 150000, LASTING_MS = 250, MOST_REPEATS = 3, MOST_MS = 2500 };

/* ---- runs ---- */

struct run {
    pid_t pid;
    struct fault_plan plan;
    const struct variant *variant;
    size_t large;
    char directory[64];
    struct outcome *outcome;
    int *misses; /* of its series: runs in which nothing failed any more */
    int repeats; /* since it cost more CPU time than it should */
};

static struct run runs[MOST_JOBS];
static int jobs = 2, quick;
static long total, hit, failed, messages, errors, losses, by_call[CALLS];
static int64_t usual_cpu, usual_blocks[VARIANTS], slowest;
static uint64_t usual_calls[VARIANTS][CALLS];

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info, (void)kind, (void)walk;
    return remove(path);
}

static const char *error_name(const struct fault_plan *plan)
{
    return plan->kind == FAULT_SHORT ? "1 byte" : strerrorname_np(plan->error);
}

static void describe(const struct run *run, const char *what)
{
    const struct fault_plan *plan = &run->plan;
    fprintf(stderr, "FAILED %s (%s): call %llu fails with %s%s: %s\n", fault_name(plan->call),
            run->variant->name, (unsigned long long)plan->first, error_name(plan),
            plan->for_ms ? ", lasting" : "", what);
    fprintf(stderr, "       again: --one %s %s %llu %lld %d %d\n", fault_name(plan->call),
            plan->kind == FAULT_SHORT ? "SHORT" : error_name(plan), (unsigned long long)plan->first,
            (long long)plan->for_ms, run->variant->transport, run->variant->threaded);
    failed++;
}

static void begin(struct run *run)
{
    const struct variant *variant = run->variant;
    memset(run->outcome, 0, sizeof *run->outcome);
    strcpy(run->directory, "/tmp/dotsock-XXXXXX");
    if (!mkdtemp(run->directory)) {
        perror(run->directory);
        exit(1);
    }
    fflush(NULL);
    run->pid = fork();
    if (run->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        char config[100];
        snprintf(config, sizeof config, "%s/config", run->directory);
        mkdir(config, 0700);
        setenv("XDG_CONFIG_HOME", config, 1);
        strcat(config, "/dotsock");
        mkdir(config, 0700);
        strcat(config, "/settings.toml");
        FILE *file = fopen(config, "w");
        fputs("linger = 1\nmax_connections = 100\n", file);
        fclose(file);
        struct scenario scenario = {variant->transport, variant->threaded, variant->token, run->large,
                                    run->plan.call < CALLS ? &run->plan : NULL, run->directory};
        scenario_run(&scenario, run->outcome);
    }
}

/* A busy loop, or a wait for what does not come, costs what it costs every time; a busy machine does
 * not. */
static int costs_too_much(const struct run *run)
{
    const struct outcome *outcome = run->outcome;
    return (run->plan.for_ms >= 0 && outcome->cpu_ms > usual_cpu + 120) ||
           (run->plan.for_ms == 0 && outcome->wall_ms > MOST_MS);
}

static void judge(struct run *run, int status)
{
    struct outcome *outcome = run->outcome;
    char text[500];
    if (WIFEXITED(status) && outcome->done && costs_too_much(run) && run->repeats < MOST_REPEATS) {
        nftw(run->directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
        run->repeats++;
        begin(run);
        return;
    }
    if (WIFSIGNALED(status)) {
        snprintf(text, sizeof text, "killed by signal %d (%s)", WTERMSIG(status),
                 WTERMSIG(status) == SIGALRM ? "it hung" : strsignal(WTERMSIG(status)));
        describe(run, text);
    } else if (!outcome->done) {
        describe(run, outcome->why[0] ? outcome->why : "ended early");
    } else if (costs_too_much(run)) {
        snprintf(text, sizeof text, "%lld ms of CPU time (usually %lld), %lld ms in all (allowed: %d)",
                 (long long)outcome->cpu_ms, (long long)usual_cpu, (long long)outcome->wall_ms, MOST_MS);
        describe(run, text);
    } else if (outcome->blocks > usual_blocks[run->variant - variants] + 16) {
        snprintf(text, sizeof text, "%lld blocks of memory are left, usually it is %lld",
                 (long long)outcome->blocks, (long long)usual_blocks[run->variant - variants]);
        describe(run, text);
    }
    total++;
    hit += outcome->hits > 0;
    by_call[run->plan.call] += outcome->hits > 0;
    messages += (long)outcome->messages;
    errors += (long)outcome->errors;
    losses += (long)outcome->losses;
    if (outcome->wall_ms > slowest) {
        slowest = outcome->wall_ms;
        if (getenv("FAULT_SLOW"))
            fprintf(stderr, "slow: %lld ms: %s %s %llu %lld (%s)\n", (long long)slowest,
                    fault_name(run->plan.call), error_name(&run->plan), (unsigned long long)run->plan.first,
                    (long long)run->plan.for_ms, run->variant->name);
    }
    if (outcome->hits == 0)
        ++*run->misses;
    nftw(run->directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void wait_for_one(void)
{
    int status;
    pid_t pid = wait(&status);
    for (int i = 0; i < jobs; i++)
        if (runs[i].pid == pid) {
            runs[i].pid = 0;
            judge(&runs[i], status);
        }
}

static struct run *free_run(void)
{
    for (;;) {
        for (int i = 0; i < jobs; i++)
            if (!runs[i].pid)
                return &runs[i];
        wait_for_one();
    }
}

static void wait_for_all(void)
{
    for (int i = 0; i < jobs; i++)
        while (runs[i].pid)
            wait_for_one();
}

static void launch(const struct fault_plan *plan, const struct variant *variant, size_t large, int *misses)
{
    struct run *run = free_run();
    *run = (struct run){
        .plan = *plan, .variant = variant, .large = large, .outcome = run->outcome, .misses = misses};
    begin(run);
}

/* ---- series ---- */

static void series(int call, int error, int64_t for_ms, const struct variant *variant, unsigned stride)
{
    static int in_all;
    int own = 0, *misses = quick ? &in_all : &own;
    /* With a stride, n grows by that part of itself in hundredths, and at least by one. */
    for (uint64_t n = 1; quick || *misses < 2; n += 1 + n * stride / 100) {
        struct fault_plan plan = {.call = call,
                                  .kind = error == SHORT ? FAULT_SHORT : FAULT_ERROR,
                                  .error = error,
                                  .first = n,
                                  .for_ms = for_ms};
        if (n > usual_calls[variant - variants][call]) {
            if (quick)
                break;
            wait_for_all();
        }
        launch(&plan, variant, LARGE, misses);
    }
    if (!quick)
        wait_for_all();
}

/* How it is when nothing fails. */
static void learn(const struct variant *variant)
{
    int misses = 0;
    struct fault_plan none = {.call = CALLS};
    for (int i = 0; i < 3; i++) {
        launch(&none, variant, LARGE, &misses);
        wait_for_all();
        struct outcome *outcome = runs[0].outcome;
        if (!outcome->done) {
            fprintf(stderr, "FAILED with no fault at all (%s): %s\n", variant->name, outcome->why);
            exit(1);
        }
        memcpy(usual_calls[variant - variants], outcome->calls, sizeof outcome->calls);
        if (outcome->cpu_ms > usual_cpu)
            usual_cpu = outcome->cpu_ms;
        if (outcome->blocks > usual_blocks[variant - variants])
            usual_blocks[variant - variants] = outcome->blocks;
    }
    if (getenv("FAULT_SLOW")) {
        fprintf(stderr, "%s: %lld ms, %lld ms of CPU, %lld blocks:", variant->name,
                (long long)runs[0].outcome->wall_ms, (long long)usual_cpu,
                (long long)usual_blocks[variant - variants]);
        for (int call = 0; call < CALLS; call++)
            fprintf(stderr, " %s %llu", fault_name(call), (unsigned long long)runs[0].outcome->calls[call]);
        fprintf(stderr, "\n");
    }
}

static int is_wanted(const char *name, char **parts, int count)
{
    for (int i = 0; i < count; i++)
        if (strstr(name, parts[i]))
            return 1;
    return count == 0;
}

static int one(char **words)
{
    struct fault_plan plan = {.call = 0, .first = strtoull(words[2], NULL, 10), .for_ms = atoll(words[3])};
    while (plan.call < CALLS && strcmp(fault_name(plan.call), words[0]) != 0)
        plan.call++;
    plan.kind = strcmp(words[1], "SHORT") == 0 ? FAULT_SHORT : FAULT_ERROR;
    for (int error = 1; error < 134; error++)
        if (strerrorname_np(error) && strcmp(strerrorname_np(error), words[1]) == 0)
            plan.error = error;
    if (plan.call == CALLS || (plan.kind == FAULT_ERROR && !plan.error))
        return 2;
    int misses = 0, v = 0;
    while (v < VARIANTS - 1 &&
           (variants[v].transport != atoi(words[4]) || variants[v].threaded != atoi(words[5])))
        v++;
    usual_cpu = usual_blocks[v] = 1000;
    setenv("FAULT_LOG", "1", 1);
    launch(&plan, &variants[v], LARGE, &misses);
    wait_for_all();
    printf("%lld ms, %lld ms of CPU, %lld blocks, %llu hits\n", (long long)runs[0].outcome->wall_ms,
           (long long)runs[0].outcome->cpu_ms, (long long)runs[0].outcome->blocks,
           (unsigned long long)runs[0].outcome->hits);
    return failed != 0;
}

int main(int argc, char **argv)
{
    int at = 1;
    numbered_pad(0, 0); /* made once for all runs */
    for (int i = 0; i < MOST_JOBS; i++) {
        runs[i].outcome =
            mmap(NULL, sizeof(struct outcome), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (runs[i].outcome == MAP_FAILED)
            return 1;
    }
    if (argc == 8 && strcmp(argv[1], "--one") == 0)
        return one(argv + 2);
    for (; at < argc && strncmp(argv[at], "--", 2) == 0; at++) {
        if (strcmp(argv[at], "--quick") == 0)
            quick = 1;
        else if (strcmp(argv[at], "--jobs") == 0 && at + 1 < argc)
            jobs = atoi(argv[++at]);
        else
            return 2;
    }
    jobs = jobs < 1 ? 1 : jobs > MOST_JOBS ? MOST_JOBS : jobs;
    int count = quick ? 3 : VARIANTS;
    for (int v = 0; v < count; v++)
        learn(&variants[v]);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        int call = faults[i].call;
        if (!is_wanted(fault_name(call), argv + at, argc - at))
            continue;
        for (int v = 0; v < count; v++) {
            const int *first = faults[i].errors;
            for (const int *error = first; *error != NO_MORE; error++)
                series(call, *error, 0, &variants[v], !quick ? 0 : error == first ? 150 : 600);
            /* Two that begin one after the other overlap for the most part. */
            if (faults[i].lasting)
                series(call, faults[i].lasting, LASTING_MS, &variants[v], quick ? 600 : 30);
        }
    }
    wait_for_all();
    /* Every transfer of one byte, from the first to the last. A socket is full after some 300 of those,
     * so that both sides have to get on at once. */
    for (int v = 0; v < count; v++)
        if (at == argc && variants[v].threaded)
            for (int call = CALL_RECV; call <= CALL_SEND; call++) {
                static int misses;
                struct fault_plan plan = {.call = call, .kind = FAULT_SHORT, .first = 1, .for_ms = -1};
                launch(&plan, &variants[v], 5000, &misses);
            }
    wait_for_all();
    for (int call = 0; call < CALLS; call++)
        if (by_call[call] && !quick)
            printf("%-16s failed in %ld runs\n", fault_name(call), by_call[call]);
    printf("%ld runs, in %ld of them a call failed; %ld messages, %ld errors returned, %ld connections lost; "
           "the slowest run took %lld ms; %ld failed\n",
           total, hit, messages, errors, losses, (long long)slowest, failed);
    return failed != 0;
}
