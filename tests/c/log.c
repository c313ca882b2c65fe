/* Logging: levels, context, what a log function may do. A warning is provoked by an unknown key in
 * the environment, which every sock_options_new() reads. */
#include "peer.h"

struct lines {
    pthread_mutex_t lock;
    int count, drops, last_level;
    char text[16384];
};

static void keep(void *ctx, int level, const char *target, const char *text)
{
    struct lines *lines = ctx;
    CHECK(target && target[0] && text && text[0]);
    pthread_mutex_lock(&lines->lock);
    lines->count++;
    lines->last_level = level;
    size_t used = strlen(lines->text);
    snprintf(lines->text + used, sizeof lines->text - used, "%s\n", text);
    pthread_mutex_unlock(&lines->lock);
}

static void dropped(void *ctx) { ((struct lines *)ctx)->drops++; }

static int has(struct lines *lines, const char *part)
{
    pthread_mutex_lock(&lines->lock);
    int found = strstr(lines->text, part) != NULL;
    pthread_mutex_unlock(&lines->lock);
    return found;
}

static void provoke_warning(void)
{
    setenv("DOTSOCK_RETAIN_LST", "true", 1);
    sock_options *options = sock_options_new();
    CHECK(options);
    sock_options_free(options);
}

TEST(silent_until_asked_and_by_level)
{
    struct lines lines = {.lock = PTHREAD_MUTEX_INITIALIZER};
    provoke_warning();
    CHECK_OK(sock_set_log(1, keep, &lines, dropped)); /* errors alone */
    provoke_warning();
    CHECK_INT(lines.count, 0);
    CHECK_OK(sock_set_log(2, keep, &lines, dropped));
    provoke_warning();
    CHECK_INT(lines.count, 1);
    CHECK_INT(lines.last_level, 2);
    CHECK_OK(sock_set_log(0, keep, &lines, dropped));
    provoke_warning();
    CHECK_INT(lines.count, 1);
    CHECK_OK(sock_set_log(0, NULL, NULL, NULL));
}

TEST(other_levels_are_refused_and_nothing_is_taken)
{
    struct lines lines = {.lock = PTHREAD_MUTEX_INITIALIZER};
    CHECK_STATUS(sock_set_log(6, keep, &lines, dropped), DOTSOCK_E_INVALID);
    CHECK_STATUS(sock_set_log(-1, keep, &lines, dropped), DOTSOCK_E_INVALID);
    CHECK_INT(lines.drops, 0);
    CHECK_STATUS(sock_set_log_fd(6, 2), DOTSOCK_E_INVALID);
    CHECK_STATUS(sock_set_log_fd(2, -2), DOTSOCK_E_INVALID);
}

TEST(the_earlier_context_is_dropped_once)
{
    struct lines first = {.lock = PTHREAD_MUTEX_INITIALIZER}, second = {.lock = PTHREAD_MUTEX_INITIALIZER};
    CHECK_OK(sock_set_log(5, keep, &first, dropped));
    CHECK_OK(sock_set_log(5, keep, &second, dropped));
    CHECK_INT(first.drops, 1);
    provoke_warning();
    CHECK_INT(first.count, 0);
    CHECK(second.count > 0);
    CHECK_OK(sock_set_log(0, NULL, NULL, NULL));
    CHECK_INT(first.drops, 1);
    CHECK_INT(second.drops, 1);
}

TEST(a_context_without_a_function_is_dropped_at_once)
{
    struct lines off = {.lock = PTHREAD_MUTEX_INITIALIZER}, none = {.lock = PTHREAD_MUTEX_INITIALIZER};
    CHECK_OK(sock_set_log(0, keep, &off, dropped));
    CHECK_INT(off.drops, 1);
    CHECK_OK(sock_set_log(5, NULL, &none, dropped));
    CHECK_INT(none.drops, 1);
}

/* Lines that have arrived in a pipe. */
static const char *piped(int fd)
{
    static char text[8192];
    ssize_t size = readable(fd) ? read(fd, text, sizeof text - 1) : 0;
    CHECK(size >= 0);
    text[size] = 0;
    return text;
}

TEST(a_descriptor_instead_of_a_function)
{
    int ends[2];
    struct lines lines = {.lock = PTHREAD_MUTEX_INITIALIZER};
    CHECK(pipe(ends) == 0);
    CHECK_OK(sock_set_log(2, keep, &lines, dropped));
    CHECK_OK(sock_set_log_fd(2, ends[1])); /* replaces the function */
    CHECK_INT(lines.drops, 1);
    provoke_warning();
    const char *text = piped(ends[0]);
    CHECK_CONTAINS(text, "RETAIN_LST");
    CHECK(strchr(text, '\n') == text + strlen(text) - 1); /* one line a record */
    CHECK_INT(lines.count, 0);
    CHECK_OK(sock_set_log_fd(2, -1));
    provoke_warning();
    CHECK_STR(piped(ends[0]), "");
    CHECK(fcntl(ends[1], F_GETFD) >= 0); /* it stays ours */
}

static void log_within(void *ctx, int level, const char *target, const char *text)
{
    (void)level, (void)target, (void)text;
    CHECK(++*(int *)ctx < 100);
    provoke_warning(); /* what a log function calls of the library does not log */
    CHECK_STATUS(sock_validate_event_name(""), DOTSOCK_E_INVALID);
}

TEST(a_log_function_may_call_the_library)
{
    int calls = 0;
    CHECK_OK(sock_set_log(2, log_within, &calls, NULL));
    setenv("DOTSOCK_RETAIN_LST", "true", 1);
    sock_options *options = sock_options_new();
    CHECK(options);
    CHECK_INT(calls, 1);
    CHECK_INT(sock_last_status(), DOTSOCK_OK); /* its failing call is not the caller's */
    sock_options_free(options);
    CHECK_OK(sock_set_log(0, NULL, NULL, NULL));
}

TEST(what_concerns_a_peer_names_it)
{
    struct lines lines = {.lock = PTHREAD_MUTEX_INITIALIZER};
    CHECK_OK(sock_set_log(2, keep, &lines, NULL));
    sock_server *server = start_server("e", NULL);
    int peer = peer_connect("e");
    peer_send(peer, "\0\0\0\1\xc0", 5); /* a frame that is no envelope */
    WAIT_FOR(stat_of(server, "malformed") == 1);
    char pid[32];
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    WAIT_FOR(has(&lines, pid));
    close(peer);
    sock_server_free(server);

    server = started(new_server(DOTSOCK_TCP, "e", NULL));
    peer = peer_connect_tcp(sock_server_port(server));
    peer_send(peer, "GET / HTTP/1.1\r\n\r\n", 18);
    WAIT_FOR(has(&lines, "127.0.0.1"));
    close(peer);
    sock_server_free(server);
    CHECK_OK(sock_set_log(0, NULL, NULL, NULL));
}

struct stopper {
    pthread_mutex_t lock;
    sock_server *server;
    int called;
};

static void stop_and_free(void *ctx, int level, const char *target, const char *text)
{
    (void)target, (void)text;
    struct stopper *stopper = ctx;
    pthread_mutex_lock(&stopper->lock);
    sock_server *server = level <= 2 ? stopper->server : NULL;
    if (server) {
        stopper->server = NULL;
        stopper->called = 1;
    }
    pthread_mutex_unlock(&stopper->lock);
    if (server) { /* both are deferred until the call that logged is over */
        CHECK_OK(sock_server_stop(server));
        sock_server_free(server);
    }
}

static int drops;
static void count_drop(void *ctx)
{
    (void)ctx;
    __atomic_add_fetch(&drops, 1, __ATOMIC_SEQ_CST);
}

TEST(a_log_function_may_free_the_server_that_logs)
{
    sock_server *server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_OK(sock_server_on_client_connected(server, NULL, NULL, NULL));
    struct record record = RECORD;
    CHECK_OK(sock_server_on_message_received(server, record_message, &record, count_drop));
    CHECK_OK(sock_server_start(server));
    struct stopper stopper = {.lock = PTHREAD_MUTEX_INITIALIZER, .server = server};
    CHECK_OK(sock_set_log(2, stop_and_free, &stopper, NULL));
    int peer = peer_connect("e");
    peer_send(peer, "\0\0\0\1\xc0", 5);
    PEER_EXPECT_END(peer);
    WAIT_FOR(__atomic_load_n(&drops, __ATOMIC_SEQ_CST) == 1);
    WAIT_FOR(access(check_path("sockets/e.lock"), F_OK) != 0);
    CHECK(stopper.called);
    WAIT_FOR(check_threads() == 1);
    close(peer);
    CHECK_OK(sock_set_log(0, NULL, NULL, NULL));
}

static void stop_when_it_listens(void *ctx, int level, const char *target, const char *text)
{
    (void)level, (void)target;
    if (strstr(text, "listens on"))
        CHECK_OK(sock_server_stop(ctx));
}

/* Nothing else happens that would let the stop be carried out. */
TEST(a_log_function_stops_a_run_that_has_just_begun)
{
    sock_server *server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_OK(sock_set_log(3, stop_when_it_listens, server, NULL));
    CHECK_OK(sock_server_run(server));
    CHECK_INT(sock_server_is_running(server), 0);
    CHECK_OK(sock_set_log(0, NULL, NULL, NULL));
    sock_server_free(server);
}

static int entered, released;

static void stay_when_it_is_over(void *ctx, int level, const char *target, const char *text)
{
    (void)ctx, (void)level, (void)target;
    if (!strstr(text, "is over") || __atomic_exchange_n(&entered, 1, __ATOMIC_SEQ_CST))
        return;
    while (!__atomic_load_n(&released, __ATOMIC_SEQ_CST))
        poll(NULL, 0, 1);
}

static void *receive_in_vain(void *client)
{
    sock_message *message;
    CHECK_STATUS(sock_client_recv(client, 2000, &message), DOTSOCK_E_TIMEOUT);
    return NULL;
}

/* Whoever is in a log function hears of nothing: the others must not be woken for it all the time. */
TEST(receivers_sleep_while_one_of_them_is_in_a_log_function)
{
    sock_server *server = start_server("e", NULL);
    sock_client *client = join("e", "reconnect_delay", "0.05", NULL);
    CHECK_OK(sock_set_log(3, stay_when_it_is_over, NULL, NULL));
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        threads[i] = check_thread(receive_in_vain, client);
    CHECK_OK(sock_server_stop(server));
    WAIT_FOR(__atomic_load_n(&entered, __ATOMIC_SEQ_CST));
    double before = cpu_seconds(CLOCK_PROCESS_CPUTIME_ID);
    poll(NULL, 0, 500);
    CHECK(cpu_seconds(CLOCK_PROCESS_CPUTIME_ID) - before < 0.2);
    __atomic_store_n(&released, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < 3; i++)
        check_join(threads[i]);
    CHECK_OK(sock_set_log(0, NULL, NULL, NULL));
    sock_client_free(client);
    sock_server_free(server);
}

static pid_t forked = -1;

static void fork_when_it_is_over(void *ctx, int level, const char *target, const char *text)
{
    (void)ctx, (void)level, (void)target;
    if (strstr(text, "is over") && forked < 0)
        forked = fork();
}

TEST(a_log_function_that_forks_leaves_the_client_to_the_parent)
{
    sock_server *server = start_server("e", NULL);
    sock_client *client = join("e", NULL);
    sock_message *message;
    int status = -1;
    CHECK_OK(sock_set_log(3, fork_when_it_is_over, NULL, NULL));
    CHECK_OK(sock_server_stop(server));
    int received = sock_client_recv(client, check_patience() / 16, &message);
    if (forked == 0)
        _exit(received != DOTSOCK_E_FORKED);
    CHECK_STATUS(received, DOTSOCK_E_TIMEOUT);
    CHECK(forked > 0);
    CHECK(waitpid(forked, &status, 0) == forked);
    CHECK_INT(status, 0);
    CHECK_OK(sock_set_log(0, NULL, NULL, NULL));
    sock_client_free(client);
    sock_server_free(server);
}

/* What a peer can cause at will does not fill the log; how much that was is counted. */
TEST(a_flood_of_malformed_frames_is_logged_once_a_second)
{
    enum { FRAMES = 2000 };
    static const unsigned char frames[4 * FRAMES]; /* of no bytes each */
    struct lines lines = {.lock = PTHREAD_MUTEX_INITIALIZER};
    sock_server *server = start_server("e", NULL);
    CHECK_OK(sock_set_log(2, keep, &lines, NULL));
    int64_t before = check_now();
    int peer = peer_connect("e");
    peer_send(peer, frames, sizeof frames);
    WAIT_FOR(stat_of(server, "malformed") == FRAMES);
    int64_t seconds = (check_now() - before) / 1000 + 1;
    CHECK_OK(sock_set_log(0, NULL, NULL, NULL));
    CHECK(has(&lines, "is dropped"));
    CHECK(lines.count >= 1 && lines.count <= seconds);
    close(peer);
    sock_server_free(server);
}

static int new_peer = -1;
/* What the call that logs may take: time enough to notice that the connection is over. */
static int limited(void) { return check_patience() / 50; }

static void serve_when_it_is_over(void *listener, int level, const char *target, const char *text)
{
    (void)level, (void)target;
    if (!strstr(text, "is over"))
        return;
    new_peer = peer_accept(*(int *)listener);
    peer_send_json(new_peer, "e", numbered(7));
    poll(NULL, 0, limited() + 50);
}

TEST(a_message_that_came_while_a_log_function_took_its_time_is_no_time_out)
{
    int listener = peer_listen("e");
    sock_client *client = join("e", NULL);
    int peer = peer_accept(listener);
    CHECK_OK(sock_set_log(3, serve_when_it_is_over, &listener, NULL));
    close(peer);
    sock_message *message;
    CHECK_OK(sock_client_recv(client, limited(), &message));
    CHECK_INT(number_of(message), 7);
    sock_message_free(message);
    CHECK_OK(sock_set_log(0, NULL, NULL, NULL));
    close(new_peer);
    close(listener);
    sock_client_free(client);
}
