/* The option `spin`: a wait looks again and again before it sleeps, and ends as early as any other.
 * Every other test here runs with it as well: CHECK_SPIN=300 tests/c/run.sh PREFIX. */
#include "helpers.h"
#include <sched.h>

#define LONG "1000000" /* a second: what comes earlier has come while it looked */

static sock_server *server;
static sock_client *client;
static int over;

static double read_clock(clockid_t clock)
{
    struct timespec time;
    CHECK(clock_gettime(clock, &time) == 0);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

static double cpu_ms(void) { return read_clock(CLOCK_THREAD_CPUTIME_ID); }
static double now_ms(void) { return read_clock(CLOCK_MONOTONIC); }

typedef int wait_fn(void *handle, int timeout_ms);

static int wait_for_message(void *handle, int timeout_ms)
{
    sock_message *message;
    return sock_client_recv(handle, timeout_ms, &message);
}

static int wait_for_event(void *handle, int timeout_ms)
{
    sock_event *event;
    return sock_server_next(handle, timeout_ms, &event);
}

static int run(void *handle, int timeout_ms)
{
    (void)timeout_ms;
    return sock_server_run(handle);
}

/* ---- how long it looks ---- */

/* Whether this thread has its core to itself: else the library does not go on looking. */
static int is_quiet(void)
{
    double until = now_ms() + 5;
    for (double last = now_ms(); last < until;) {
        sched_yield();
        double now = now_ms();
        if (now - last > 0.3)
            return 0;
        last = now;
    }
    return 1;
}

/* The CPU time of a wait of 20 ms; -1 where other programs wanted the core. */
static double cpu_of_wait(wait_fn *wait, void *handle)
{
    if (!is_quiet())
        return -1;
    double before = cpu_ms();
    CHECK_STATUS(wait(handle, 20), DOTSOCK_E_TIMEOUT);
    double taken = cpu_ms() - before;
    return is_quiet() ? taken : -1;
}

/* One quiet wait of several, until `until`, takes CPU time from `least` to `most` ms. */
static void check_cpu(wait_fn *wait, void *handle, double least, double most, int64_t until)
{
    double taken = -1;
    for (int first = 1; first || check_now() < until; first = 0) {
        taken = cpu_of_wait(wait, handle);
        if (taken >= least && taken < most)
            return;
    }
    if (taken >= 0)
        FAIL("a wait of 20 ms took %.1f ms of CPU, expected %.0f to %.0f", taken, least, most);
    printf("  not measured: other programs kept the cores busy\n");
}

TEST(a_wait_looks_again_and_again_for_so_long_and_then_sleeps)
{
    static const struct { const char *length; double least, most; } cases[] = {
        {"0", 0, 2}, {"5000", 3, 12}, {LONG, 12, 21}};
    int64_t until = check_now() + check_patience();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        server = new_server(DOTSOCK_UNIX, "e", "spin", cases[i].length, NULL);
        CHECK_OK(sock_server_open(server));
        client = join("e", "spin", cases[i].length, NULL);
        sock_event *event;
        CHECK_OK(sock_server_next(server, check_patience(), &event));
        sock_event_free(event);
        check_cpu(wait_for_message, client, cases[i].least, cases[i].most, until);
        check_cpu(wait_for_event, server, cases[i].least, cases[i].most, until);
        sock_client_free(client);
        sock_server_free(server);
    }
}

TEST(what_comes_meanwhile_is_received)
{
    server = start_server("e", "spin", LONG, NULL);
    client = join("e", "spin", LONG, NULL);
    wait_clients(server, 1);
    for (int i = 0; i < 100; i++) {
        SEND(server, i);
        sock_message_free(take(client));
    }
    sock_client_free(client);
    sock_server_free(server);
}

/* ---- signals ---- */

static void nothing(int signal) { (void)signal; }

static void block_signals(void)
{
    sigset_t all;
    sigfillset(&all);
    CHECK(pthread_sigmask(SIG_BLOCK, &all, NULL) == 0);
}

enum { SIGNALS = 100 };
static pthread_t waiter;
static int waits;

/* One signal in each wait, at another moment each time. */
static void *signal_once(void *argument)
{
    (void)argument;
    block_signals();
    for (int round = 1; round <= SIGNALS; round++) {
        while (__atomic_load_n(&waits, __ATOMIC_SEQ_CST) < round)
            sched_yield();
        double until = now_ms() + 2 + round % 10 * 0.0937;
        while (now_ms() < until)
            sched_yield();
        pthread_kill(waiter, SIGUSR1);
    }
    return NULL;
}

/* A signal is missed if its handler runs between two looks and nobody hears of it. A few may come
 * before the wait does, where another program takes the core away at that moment. */
static void check_no_signal_missed(wait_fn *wait, void *handle)
{
    struct sigaction action = {.sa_handler = nothing};
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    waiter = pthread_self();
    pthread_t other = check_thread(signal_once, NULL);
    int missed = 0;
    for (int round = 1; round <= SIGNALS; round++) {
        __atomic_store_n(&waits, round, __ATOMIC_SEQ_CST);
        int status = wait(handle, 300);
        if (status == DOTSOCK_E_TIMEOUT)
            missed++;
        else
            CHECK_STATUS(status, DOTSOCK_E_INTERRUPTED);
    }
    check_join(other);
    if (missed > SIGNALS / 20)
        FAIL("%d of %d signals were missed", missed, SIGNALS);
}

static void *disturb(void *thread)
{
    while (!__atomic_load_n(&over, __ATOMIC_SEQ_CST)) {
        pthread_kill(*(pthread_t *)thread, SIGUSR1);
        check_pause();
    }
    return NULL;
}

/* At once, although it looks for a second, and what the program has blocked stays as it was. */
static void check_ended_by_handler(wait_fn *wait, void *handle)
{
    struct sigaction action = {.sa_handler = nothing};
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    sigset_t mine, before, after;
    sigemptyset(&mine);
    sigaddset(&mine, SIGUSR2);
    CHECK(pthread_sigmask(SIG_BLOCK, &mine, NULL) == 0);
    CHECK(pthread_sigmask(SIG_BLOCK, NULL, &before) == 0);

    pthread_t self = pthread_self();
    pthread_t other = check_thread(disturb, &self);
    int64_t took = 0;
    for (int round = 0; round < 5; round++) {
        int64_t start = check_now();
        CHECK_STATUS(wait(handle, -1), DOTSOCK_E_INTERRUPTED);
        took = check_now() - start > took ? check_now() - start : took;
    }
    __atomic_store_n(&over, 1, __ATOMIC_SEQ_CST);
    check_join(other);
    if (took >= 200 * check_slow())
        FAIL("a handler ended it after %d ms", (int)took);

    CHECK(pthread_sigmask(SIG_BLOCK, NULL, &after) == 0);
    for (int signal = 1; signal < SIGRTMAX; signal++)
        CHECK_INT(sigismember(&after, signal), sigismember(&before, signal));
}

TEST(a_signal_handler_ends_recv_while_it_looks)
{
    server = start_server("e", NULL);
    client = join("e", "spin", LONG, NULL);
    check_no_signal_missed(wait_for_message, client);
    check_ended_by_handler(wait_for_message, client);
    sock_client_free(client);
    sock_server_free(server);
}

TEST(a_signal_handler_ends_next_while_it_looks)
{
    server = new_server(DOTSOCK_UNIX, "e", "spin", LONG, NULL);
    CHECK_OK(sock_server_open(server));
    check_no_signal_missed(wait_for_event, server);
    check_ended_by_handler(wait_for_event, server);
    sock_server_free(server);
}

TEST(a_signal_handler_ends_run_while_it_looks)
{
    server = new_server(DOTSOCK_UNIX, "e", "spin", LONG, NULL);
    check_ended_by_handler(run, server);
    sock_server_free(server);
}

static void cancel(int signal)
{
    (void)signal;
    sock_client_cancel(client);
}

static void *kill_process(void *argument)
{
    (void)argument;
    while (!__atomic_load_n(&over, __ATOMIC_SEQ_CST)) {
        kill(getpid(), SIGUSR1);
        check_pause();
    }
    return NULL;
}

/* This thread lets signals in, and so the kernel may choose it for one that is sent to the process. */
TEST(a_cancel_in_a_handler_ends_recv_whichever_thread_it_runs_on)
{
    struct sigaction action = {.sa_handler = cancel};
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    server = start_server("e", NULL);
    client = join("e", "spin", LONG, NULL);
    pthread_t other = check_thread(kill_process, NULL);
    for (int round = 0; round < 50; round++)
        CHECK_STATUS(wait_for_message(client, -1), DOTSOCK_E_CANCELLED);
    __atomic_store_n(&over, 1, __ATOMIC_SEQ_CST);
    check_join(other);
    sock_client_free(client);
    sock_server_free(server);
}

static void note_mask(void *mask, sock_server *from, const char *id)
{
    (void)id;
    CHECK(pthread_sigmask(SIG_BLOCK, NULL, mask) == 0);
    CHECK_OK(sock_server_cancel(from));
}

static void *come(void *argument)
{
    (void)argument;
    WAIT_FOR(sock_server_is_running(server));
    connected(client);
    return NULL;
}

TEST(a_hook_runs_with_the_signals_of_the_program)
{
    sigset_t before, in_hook;
    CHECK(pthread_sigmask(SIG_BLOCK, NULL, &before) == 0);
    server = new_server(DOTSOCK_UNIX, "e", "spin", LONG, NULL);
    CHECK_OK(sock_server_on_client_connected(server, note_mask, &in_hook, NULL));
    client = new_client(DOTSOCK_UNIX, "e", NULL);
    pthread_t other = check_thread(come, NULL);
    CHECK_STATUS(sock_server_run(server), DOTSOCK_E_CANCELLED);
    check_join(other);
    for (int signal = 1; signal < SIGRTMAX; signal++)
        CHECK_INT(sigismember(&in_hook, signal), sigismember(&before, signal));
    sock_client_free(client);
    sock_server_free(server);
}
