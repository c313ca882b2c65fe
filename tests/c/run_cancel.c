/* run and cancel: from threads and signal handlers, pending ones, interruptions. */
#include "peer.h"

static sock_server *server;
static volatile sig_atomic_t handled;

static void cancel_handler(int signal)
{
    (void)signal;
    int before = errno, kept = errno = 4711;
    sock_server_cancel(server);
    handled = errno == kept ? handled + 1 : -1000; /* errno is kept */
    errno = before;
}

static void count_handler(int signal)
{
    (void)signal;
    handled++;
}

static void handle(int signal, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};
    CHECK(sigaction(signal, &action, NULL) == 0);
}

static void *cancel_soon(void *argument)
{
    (void)argument;
    WAIT_FOR(sock_server_is_running(server));
    CHECK_INT(sock_server_cancel(server), DOTSOCK_OK);
    return NULL;
}

TEST(a_thread_cancels_run)
{
    server = new_server(DOTSOCK_UNIX, "e", NULL);
    pthread_t thread = check_thread(cancel_soon, NULL);
    CHECK_STATUS(sock_server_run(server), DOTSOCK_E_CANCELLED);
    check_join(thread);
    CHECK_INT(sock_server_is_running(server), 1); /* still listening */
    sock_server_free(server);
}

static void *cancel_when_a_client_is_there(void *argument)
{
    (void)argument;
    wait_clients(server, 1);
    CHECK_INT(sock_server_cancel(server), DOTSOCK_OK);
    return NULL;
}

TEST(run_goes_on_with_its_clients)
{
    server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_INT(sock_server_cancel(server), DOTSOCK_OK); /* pending: run listens before it honours it */
    CHECK_STATUS(sock_server_run(server), DOTSOCK_E_CANCELLED);
    CHECK(sock_server_is_running(server));
    sock_client *client = join("e", NULL);
    CHECK_STATUS(sock_server_start(server), DOTSOCK_E_STATE);
    CHECK_STATUS(sock_server_open(server), DOTSOCK_E_STATE);
    pthread_t thread = check_thread(cancel_when_a_client_is_there, NULL);
    CHECK_STATUS(sock_server_run(server), DOTSOCK_E_CANCELLED);
    check_join(thread);
    SEND(server, 1); /* between two runs, too */
    EXPECT_NUMBER(client, 1);
    CHECK_OK(sock_server_stop(server));
    sock_client_free(client);
    sock_server_free(server);
}

static void *run_once(void *argument)
{
    (void)argument;
    CHECK_STATUS(sock_server_run(server), DOTSOCK_E_CANCELLED);
    return NULL;
}

static void *stop_once(void *argument)
{
    (void)argument;
    CHECK_OK(sock_server_stop(server));
    return NULL;
}

/* The system calls the second thread as it called the first, which ran the server and has ended. */
TEST(a_stop_between_two_runs_is_not_lost_whatever_thread_makes_it)
{
    server = new_server(DOTSOCK_UNIX, "e", NULL);
    pthread_t thread = check_thread(run_once, NULL);
    WAIT_FOR(sock_server_is_running(server));
    CHECK_OK(sock_server_cancel(server));
    check_join(thread);
    check_join(check_thread(stop_once, NULL));
    CHECK_OK(sock_server_run(server)); /* it tells of the stop, and starts nothing */
    CHECK_INT(sock_server_is_running(server), 0);
    sock_server_free(server);
}

TEST(a_cancel_counts_once_however_often)
{
    sock_event *event = NULL;
    server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_OK(sock_server_open(server));
    for (int i = 0; i < 5; i++)
        CHECK_INT(sock_server_cancel(server), DOTSOCK_OK);
    CHECK_STATUS(sock_server_next(server, 0, &event), DOTSOCK_E_TIMEOUT); /* a poll leaves it pending */
    CHECK_STATUS(sock_server_next(server, 10, &event), DOTSOCK_E_CANCELLED);
    CHECK_STATUS(sock_server_next(server, 10, &event), DOTSOCK_E_TIMEOUT);
    sock_server_free(server);
}

TEST(a_cancel_goes_ahead_of_events)
{
    sock_event *event = NULL;
    server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_OK(sock_server_open(server));
    sock_client *client = join("e", NULL);
    WAIT_FOR(readable(sock_server_fd(server)));
    CHECK_INT(sock_server_cancel(server), DOTSOCK_OK);
    CHECK_STATUS(sock_server_next(server, -1, &event), DOTSOCK_E_CANCELLED);
    EXPECT_EVENT(server, DOTSOCK_CLIENT_CONNECTED);
    sock_client_free(client);
    sock_server_free(server);
}

TEST(a_stop_leaves_a_cancel_pending)
{
    sock_event *event = NULL;
    server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_OK(sock_server_open(server));
    CHECK_INT(sock_server_cancel(server), DOTSOCK_OK);
    CHECK_OK(sock_server_stop(server));
    CHECK_OK(sock_server_open(server));
    CHECK_STATUS(sock_server_next(server, -1, &event), DOTSOCK_E_CANCELLED);
    sock_server_free(server);
}

TEST(nothing_stays_pending_for_a_started_server)
{
    sock_event *event = NULL;
    server = start_server("e", NULL);
    CHECK_INT(sock_server_cancel(server), DOTSOCK_OK);
    SEND(server, 1);
    CHECK_OK(sock_server_stop(server));
    CHECK_OK(sock_server_open(server));
    CHECK_STATUS(sock_server_next(server, 10, &event), DOTSOCK_E_TIMEOUT);
    sock_server_free(server);
}

static void *kill_soon(void *argument)
{
    WAIT_FOR(sock_server_is_running(server));
    pthread_kill(*(pthread_t *)argument, SIGUSR1);
    return NULL;
}

TEST(a_signal_handler_cancels_run)
{
    pthread_t self = pthread_self();
    server = new_server(DOTSOCK_UNIX, "e", NULL);
    handle(SIGUSR1, cancel_handler);
    pthread_t thread = check_thread(kill_soon, &self);
    CHECK_STATUS(sock_server_run(server), DOTSOCK_E_CANCELLED); /* ahead of INTERRUPTED */
    CHECK_INT(handled, 1);
    check_join(thread);
    sock_server_free(server);
}

TEST(a_signal_that_comes_before_run_is_not_lost)
{
    server = new_server(DOTSOCK_UNIX, "e", NULL);
    handle(SIGUSR1, cancel_handler);
    raise(SIGUSR1);
    CHECK_STATUS(sock_server_run(server), DOTSOCK_E_CANCELLED);
    sock_server_free(server);
}

static volatile int returned;

/* Signals until the loop has returned: one that comes before its wait does not end it. */
static void *kill_often(void *argument)
{
    while (!__atomic_load_n(&returned, __ATOMIC_SEQ_CST)) {
        pthread_kill(*(pthread_t *)argument, SIGUSR1);
        check_pause();
    }
    return NULL;
}

TEST(a_handler_interrupts_run_and_next)
{
    sock_event *event = NULL;
    pthread_t self = pthread_self();
    server = new_server(DOTSOCK_UNIX, "e", NULL);
    handle(SIGUSR1, count_handler);
    CHECK_OK(sock_server_open(server));
    pthread_t thread = check_thread(kill_often, &self);
    CHECK_STATUS(sock_server_next(server, -1, &event), DOTSOCK_E_INTERRUPTED);
    CHECK_OK(sock_server_stop(server)); /* goes on to its end, whatever signals come */
    CHECK_STATUS(sock_server_run(server), DOTSOCK_E_INTERRUPTED);
    __atomic_store_n(&returned, 1, __ATOMIC_SEQ_CST);
    check_join(thread);
    CHECK(handled > 0);
    CHECK_INT(sock_server_is_running(server), 1);
    sock_server_free(server);
}

static void *stop_and_continue(void *argument)
{
    (void)argument;
    check_pause();
    pid_t self = getpid(), pid = fork();
    if (pid == 0) { /* a process that is stopped cannot wake itself */
        kill(self, SIGSTOP);
        for (int i = 0; i < 30; i++)
            check_pause();
        kill(self, SIGCONT);
        check_leave_child();
    }
    CHECK_INT(check_child(pid), 0);
    CHECK_INT(sock_server_cancel(server), DOTSOCK_OK);
    return NULL;
}

TEST(stop_and_continue_are_no_reason)
{
    server = new_server(DOTSOCK_UNIX, "e", NULL);
    pthread_t thread = check_thread(stop_and_continue, NULL);
    CHECK_STATUS(sock_server_run(server), DOTSOCK_E_CANCELLED);
    check_join(thread);
    sock_server_free(server);
}

static void *stop(void *argument)
{
    (void)argument;
    CHECK_OK(sock_server_stop(server));
    return NULL;
}

TEST(a_stop_between_two_runs_is_not_lost)
{
    server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_INT(sock_server_cancel(server), DOTSOCK_OK);
    CHECK_STATUS(sock_server_run(server), DOTSOCK_E_CANCELLED);
    check_join(check_thread(stop, NULL));
    CHECK_INT(sock_server_is_running(server), 0);
    CHECK_OK(sock_server_run(server)); /* at once, and starts nothing */
    CHECK(access(check_path("sockets/e.sock"), F_OK) != 0);
    CHECK_INT(sock_server_cancel(server), DOTSOCK_OK);
    CHECK_STATUS(sock_server_run(server), DOTSOCK_E_CANCELLED); /* the one after that runs as ever */
    CHECK_INT(sock_server_is_running(server), 1);
    sock_server_free(server);
}

static void cancel_in_hook(void *ctx, sock_server *from, const char *id, const sock_message *message)
{
    (void)id, (void)message;
    ++*(int *)ctx;
    CHECK_INT(sock_server_cancel(from), DOTSOCK_OK);
}

TEST(a_hook_cancels_its_own_run)
{
    int calls = 0;
    server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_OK(sock_server_on_message_received(server, cancel_in_hook, &calls, NULL));
    CHECK_INT(sock_server_cancel(server), DOTSOCK_OK);
    CHECK_STATUS(sock_server_run(server), DOTSOCK_E_CANCELLED);
    sock_client *client = join("e", NULL);
    CHECK_OK(sock_client_send_json(client, DOTSOCK_DATA, "{}"));
    CHECK_STATUS(sock_server_run(server), DOTSOCK_E_CANCELLED);
    CHECK_INT(calls, 1);
    sock_client_free(client);
    sock_server_free(server);
}

/* Its loop is in this hook and takes no cancel, which must not keep a send awake that waits. */
static void cancel_then_fill(void *ctx, sock_server *from, const char *id)
{
    CHECK_INT(sock_server_cancel(from), DOTSOCK_OK);
    int status;
    double before;
    do {
        before = cpu_seconds(CLOCK_THREAD_CPUTIME_ID);
        status = send_padded(from, 0, 50000, id);
    } while (status == DOTSOCK_OK);
    *(double *)ctx = cpu_seconds(CLOCK_THREAD_CPUTIME_ID) - before;
    CHECK_STATUS(status, DOTSOCK_E_TIMEOUT);
    __atomic_store_n(&returned, 1, __ATOMIC_SEQ_CST);
}

TEST(a_send_after_a_cancel_waits_asleep_for_a_started_server)
{
    double spent = 0;
    server = new_server(DOTSOCK_UNIX, "e", "slow_client", "block", "client_queue_size", "200000", "send_timeout",
                        "0.5", NULL);
    CHECK_OK(sock_server_on_client_connected(server, cancel_then_fill, &spent, NULL));
    CHECK_OK(sock_server_start(server));
    int peer = peer_connect("e"); /* reads nothing */
    WAIT_FOR(__atomic_load_n(&returned, __ATOMIC_SEQ_CST));
    CHECK(spent < 0.2);
    close(peer);
    sock_server_free(server);
}

static void raise_then_stop(void *ctx, sock_server *from, const char *id)
{
    (void)ctx, (void)id;
    CHECK(raise(SIGINT) == 0);
    CHECK_OK(sock_server_stop(from));
}

static void *join_soon(void *argument)
{
    WAIT_FOR(sock_server_is_running(server));
    *(sock_client **)argument = join("e", NULL);
    return NULL;
}

/* Nobody else would carry it out. */
TEST(a_stop_in_a_hook_is_not_lost_to_a_cancel)
{
    sock_client *client = NULL;
    handle(SIGINT, cancel_handler);
    server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_OK(sock_server_on_client_connected(server, raise_then_stop, NULL, NULL));
    pthread_t thread = check_thread(join_soon, &client);
    CHECK_OK(sock_server_run(server));
    check_join(thread);
    CHECK_STATUS(sock_server_run(server), DOTSOCK_E_CANCELLED); /* it is still pending */
    CHECK_OK(sock_server_stop(server));
    sock_client_free(client);
    sock_server_free(server);
}

/* ... and frees it: then the hook's context is released, and the files are gone. */
static void raise_then_free(void *ctx, sock_server *from, const char *id)
{
    (void)ctx, (void)id;
    CHECK(raise(SIGINT) == 0);
    sock_server_free(from);
}

static void count_drop(void *ctx) { ++*(int *)ctx; }

TEST(a_free_in_a_hook_is_not_lost_to_a_cancel)
{
    int drops = 0;
    sock_client *client = NULL;
    handle(SIGINT, cancel_handler);
    server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_OK(sock_server_on_client_connected(server, raise_then_free, &drops, count_drop));
    pthread_t thread = check_thread(join_soon, &client);
    CHECK_OK(sock_server_run(server));
    check_join(thread);
    CHECK_INT(drops, 1);
    sock_client_free(client);
    server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_OK(sock_server_start(server));
    sock_server_free(server);
}
