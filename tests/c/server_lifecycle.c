/* Starting, stopping, starting again; states; who is live. */
#include "peer.h"

TEST(a_server_starts_and_stops)
{
    sock_server *server = new_server(DOTSOCK_UNIX, "life", NULL);
    CHECK_STR(sock_server_event_name(server), "life");
    CHECK_INT(sock_server_is_running(server), 0);
    CHECK_INT(sock_server_port(server), 0);
    CHECK_INT(sock_server_fd(server), -1);
    CHECK(access(check_path("sockets"), F_OK) != 0); /* a new server opens nothing yet */
    CHECK_INT(check_threads(), 1);                   /* and starts no thread */
    for (int again = 0; again < 3; again++) {
        CHECK_OK(sock_server_start(server));
        CHECK_INT(sock_server_is_running(server), 1);
        CHECK_STR(sock_server_address(server), check_path("sockets/life.sock"));
        CHECK(access(check_path("sockets/life.sock"), F_OK) == 0);
        sock_client *client = join("life", NULL);
        wait_clients(server, 1);
        SEND(server, again);
        EXPECT_NUMBER(client, again);
        CHECK_INT(check_threads(), 2); /* one thread, however many clients */
        CHECK_OK(sock_server_stop(server));
        WAIT_FOR(check_threads() == 1);
        CHECK_INT(sock_server_is_running(server), 0);
        CHECK(access(check_path("sockets/life.sock"), F_OK) != 0);
        CHECK(access(check_path("sockets/life.lock"), F_OK) != 0);
        sock_client_free(client);
    }
    CHECK_INT(stat_of(server, "connections"), 3);
    CHECK_INT(stat_of(server, "clients"), 0);
    CHECK_OK(sock_server_stop(server)); /* harmless */
    sock_server_free(server);
}

TEST(stopping_what_never_ran)
{
    sock_server *server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_OK(sock_server_stop(server));
    CHECK_STATUS(sock_send_json(server, DOTSOCK_DATA, "{}", NULL), DOTSOCK_E_NOT_RUNNING);
    CHECK_STATUS(sock_send_json(server, DOTSOCK_DATA, "{}", "x"), DOTSOCK_E_NOT_RUNNING);
    sock_event *event = NULL;
    CHECK_STATUS(sock_server_next(server, 0, &event), DOTSOCK_E_NOT_RUNNING); /* never opened */
    CHECK_STATUS(sock_server_disconnect_client(server, "x"), DOTSOCK_E_NO_CLIENT);
    CHECK_NULL(sock_server_client(server, "x"), DOTSOCK_E_NO_CLIENT);
    sock_client_list *list = sock_server_clients(server);
    CHECK(list);
    CHECK_INT(sock_client_list_size(list), 0);
    sock_client_list_free(list);
    sock_server_free(server);
}

TEST(one_way_of_running_at_a_time)
{
    struct record record = RECORD;
    sock_event *event = NULL;
    sock_server *server = start_server("e", NULL);
    CHECK_STATUS(sock_server_start(server), DOTSOCK_E_STATE);
    CHECK_STATUS(sock_server_run(server), DOTSOCK_E_STATE);
    CHECK_STATUS(sock_server_open(server), DOTSOCK_E_STATE);
    CHECK_STATUS(sock_server_next(server, 0, &event), DOTSOCK_E_STATE);
    CHECK_STATUS(sock_server_on_client_connected(server, record_connected, &record, record_drop), DOTSOCK_E_STATE);
    CHECK_STATUS(sock_server_on_client_disconnected(server, NULL, NULL, NULL), DOTSOCK_E_STATE);
    CHECK_STATUS(sock_server_on_message_received(server, record_message, &record, record_drop), DOTSOCK_E_STATE);
    CHECK_INT(record.drops, 0); /* nothing was taken */
    CHECK_INT(sock_server_is_running(server), 1);
    CHECK_OK(sock_server_stop(server));
    CHECK_OK(sock_server_open(server));
    CHECK_INT(sock_server_is_running(server), 1);
    CHECK_STATUS(sock_server_open(server), DOTSOCK_E_STATE);
    CHECK_STATUS(sock_server_start(server), DOTSOCK_E_STATE);
    CHECK_STATUS(sock_server_run(server), DOTSOCK_E_STATE);
    CHECK_STATUS(sock_server_on_client_connected(server, NULL, NULL, NULL), DOTSOCK_E_STATE);
    sock_server_free(server);
}

static void *run(void *server) { return (void *)(intptr_t)sock_server_run(server); }
static void *start(void *server) { return (void *)(intptr_t)sock_server_start(server); }

static void check_blocking(sock_server *server, void *(*way)(void *))
{
    void *result = NULL;
    pthread_t thread = check_thread(way, server);
    WAIT_FOR(sock_server_is_running(server));
    CHECK_STATUS(sock_server_start(server), DOTSOCK_E_STATE);
    sock_client *client = join("e", NULL);
    wait_clients(server, 1);
    SEND(server, 1);
    EXPECT_NUMBER(client, 1);
    CHECK_OK(sock_server_stop(server));
    CHECK(pthread_join(thread, &result) == 0);
    CHECK_INT((intptr_t)result, DOTSOCK_OK);
    sock_client_free(client);
    sock_server_free(server);
}

TEST(run_returns_ok_when_stopped) { check_blocking(new_server(DOTSOCK_UNIX, "e", NULL), run); }

TEST(start_with_blocking_mode_is_run)
{
    check_blocking(new_server(DOTSOCK_UNIX, "e", "blocking_mode", "true", NULL), start);
}

TEST(the_event_of_a_live_server_is_in_use)
{
    sock_server *one = start_server("e", NULL), *two = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_STATUS(sock_server_start(two), DOTSOCK_E_IN_USE);
    CHECK_CONTAINS(sock_last_error(), "e");
    CHECK_STATUS(sock_server_open(two), DOTSOCK_E_IN_USE);
    CHECK_STATUS(sock_server_run(two), DOTSOCK_E_IN_USE);
    CHECK_INT(sock_server_is_running(two), 0);
    sock_client *client = join("e", NULL); /* the first one is none the worse for it */
    wait_clients(one, 1);
    sock_client_free(client);
    sock_server_free(one);
    CHECK_OK(sock_server_start(two));
    sock_server_free(two);
}

TEST(of_many_that_start_at_once_one_wins)
{
    enum { STARTERS = 12 };
    int go[2], done[2], wins = 0, rest = 0;
    pid_t pids[STARTERS];
    CHECK(pipe(go) == 0 && pipe(done) == 0);
    for (int i = 0; i < STARTERS; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            char byte;
            close(go[1]);
            sock_server *server = new_server(DOTSOCK_UNIX, "race", NULL);
            CHECK(read(go[0], &byte, 1) == 0); /* everybody's turn at once: the end of the pipe */
            int status = sock_server_start(server);
            CHECK(status == DOTSOCK_OK || status == DOTSOCK_E_IN_USE);
            byte = status == DOTSOCK_OK ? 'w' : 'l';
            CHECK(write(done[1], &byte, 1) == 1);
            if (byte == 'w')
                pause(); /* the parent kills the winner: its files stay, and are stale */
            sock_server_free(server);
            exit(0);
        }
    }
    close(go[0]);
    close(go[1]);
    for (int i = 0; i < STARTERS; i++) {
        char byte = 0;
        peer_wait(done[0]);
        CHECK(read(done[0], &byte, 1) == 1);
        wins += byte == 'w';
        rest += byte == 'l';
    }
    CHECK_INT(wins, 1);
    CHECK_INT(rest, STARTERS - 1);
    sock_client *client = join("race", NULL); /* and the winner can be reached */
    sock_client_free(client);
    for (int i = 0; i < STARTERS; i++)
        kill(pids[i], SIGKILL);
    for (int i = 0; i < STARTERS; i++)
        waitpid(pids[i], NULL, 0);
    sock_server *next = start_server("race", NULL); /* stale files are in nobody's way */
    sock_server_free(next);
}

TEST(a_path_that_is_too_long)
{
    char directory[300];
    int used = snprintf(directory, sizeof directory, "%s/", check_dir);
    memset(directory + used, 'd', 100);
    directory[used + 100] = 0;
    sock_server *server = new_server(DOTSOCK_UNIX, "e", "socket_dir", directory, NULL);
    CHECK_STATUS(sock_server_start(server), DOTSOCK_E_INVALID);
    CHECK_CONTAINS(sock_last_error(), directory);
    CHECK(strstr(sock_last_error(), "107") || strstr(sock_last_error(), "108")); /* the limit, with or without NUL */
    CHECK_STATUS(sock_server_open(server), DOTSOCK_E_INVALID);
    CHECK_STATUS(sock_server_run(server), DOTSOCK_E_INVALID);
    sock_server_free(server);
    sock_client *client = new_client(DOTSOCK_UNIX, "e", "socket_dir", directory, NULL);
    CHECK_STATUS(sock_client_connect(client), DOTSOCK_E_INVALID);
    CHECK_STATUS(sock_client_open(client), DOTSOCK_E_INVALID);
    sock_client_free(client);
}

TEST(counters)
{
    sock_server *server = start_server("e", NULL);
    sock_client *one = join("e", NULL), *two = join("e", NULL);
    wait_clients(server, 2);
    SEND(server, 1);
    EXPECT_NUMBER(one, 1);
    EXPECT_NUMBER(two, 1);
    CHECK_OK(sock_client_send_json(one, DOTSOCK_DATA, numbered(2)));
    WAIT_FOR(stat_of(server, "messages_received") == 1);
    CHECK_INT(stat_of(server, "messages_sent"), 2); /* per recipient */
    CHECK_INT(stat_of(server, "bytes_sent"), client_stat_of(one, "bytes_received") * 2);
    CHECK_INT(stat_of(server, "bytes_received"), client_stat_of(one, "bytes_sent"));
    CHECK_INT(client_stat_of(one, "messages_received"), 1);
    CHECK_INT(client_stat_of(one, "messages_sent"), 1);
    CHECK_INT(client_stat_of(one, "malformed"), 0);
    CHECK_INT(client_stat_of(one, "reconnects"), 0);
    CHECK_INT(stat_of(server, "connections"), 2);
    sock_client_free(one);
    wait_clients(server, 1);
    static const char *const zero[] = {"rejected", "messages_dropped", "malformed", "denied", "queued"};
    for (size_t i = 0; i < sizeof zero / sizeof *zero; i++)
        CHECK_INT(stat_of(server, zero[i]), 0);
    sock_client_free(two);
    sock_server_free(server);
}

TEST(the_list_of_clients)
{
    sock_server *server = start_server("e", NULL);
    int64_t before = sock_timestamp_ms();
    sock_client *one = join("e", NULL);
    wait_clients(server, 1);
    sock_client *two = join("e", NULL);
    wait_clients(server, 2);
    sock_client_list *list = sock_server_clients(server);
    CHECK_INT(sock_client_list_size(list), 2);
    for (size_t i = 0; i < 2; i++) {
        const char *id = sock_client_list_id(list, i);
        CHECK(strlen(id) >= 1 && strlen(id) <= 63);
        CHECK_INT(strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-"), strlen(id));
        CHECK(sock_client_list_address(list, i));
        CHECK(sock_client_list_connected_at_ms(list, i) >= before);
        CHECK(sock_client_list_connected_at_ms(list, i) <= sock_timestamp_ms());
        CHECK_INT(sock_client_list_uid(list, i), getuid());
        CHECK_INT(sock_client_list_pid(list, i), getpid());
        CHECK_INT(sock_client_list_dropped(list, i), 0);
        CHECK_INT(sock_client_list_queued_bytes(list, i), 0);
        sock_client_list *alone = sock_server_client(server, id);
        CHECK_INT(sock_client_list_size(alone), 1);
        CHECK_STR(sock_client_list_id(alone, 0), id);
        sock_client_list_free(alone);
    }
    CHECK(strcmp(sock_client_list_id(list, 0), sock_client_list_id(list, 1)) != 0);
    char gone[64];
    snprintf(gone, sizeof gone, "%s", sock_client_list_id(list, 0));
    sock_client_free(one);
    sock_client_free(two);
    wait_clients(server, 0);
    CHECK_INT(sock_client_list_size(list), 2); /* a snapshot */
    CHECK_STR(sock_client_list_id(list, 0), gone);
    sock_client_list_free(list);
    CHECK_NULL(sock_server_client(server, gone), DOTSOCK_E_NO_CLIENT);
    sock_server_free(server);
}

TEST(signals_and_descriptors_are_the_programs)
{
    struct sigaction before[65], after;
    for (int i = 1; i < 65; i++)
        if (sigaction(i, NULL, &before[i]) < 0)
            memset(&before[i], 0, sizeof before[i]);
    sock_server *server = start_server("e", NULL);
    sock_client *client = join("e", NULL);
    wait_clients(server, 1);
    for (int i = 1; i < 65; i++)
        if (sigaction(i, NULL, &after) == 0 && i != SIGALRM)
            CHECK(after.sa_handler == before[i].sa_handler);
    for (int fd = 3; fd < 64; fd++) { /* the runner opened none */
        int flags = fcntl(fd, F_GETFD);
        if (flags >= 0 && !(flags & FD_CLOEXEC)) {
            char path[64], what[256] = "";
            snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
            if (readlink(path, what, sizeof what - 1) > 0 && (strstr(what, "socket") || strstr(what, check_dir)))
                FAIL("descriptor %d (%s) survives exec", fd, what);
        }
    }
    sock_client_free(client);
    sock_server_free(server);
}

static volatile sig_atomic_t handled;
static void on_signal(int signal)
{
    (void)signal;
    handled++;
}

TEST(a_servers_thread_takes_no_signals)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t set, pending;
    sigaction(SIGUSR1, &action, NULL);
    sock_server *server = start_server("e", NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    kill(getpid(), SIGUSR1); /* no thread but the library's could take it */
    sock_client *client = join("e", NULL);
    wait_clients(server, 1); /* it has been at work since */
    CHECK_INT(handled, 0);
    CHECK(sigpending(&pending) == 0 && sigismember(&pending, SIGUSR1));
    CHECK(pthread_sigmask(SIG_UNBLOCK, &set, NULL) == 0);
    CHECK_INT(handled, 1);
    sock_client_free(client);
    sock_server_free(server);
}

TEST(freeing_a_running_server_stops_it)
{
    sock_server *server = start_server("e", NULL);
    sock_client *client = join("e", "auto_reconnect", "false", NULL);
    wait_clients(server, 1);
    SEND(server, 1);
    sock_server_free(server);
    CHECK(access(check_path("sockets/e.sock"), F_OK) != 0);
    EXPECT_NUMBER(client, 1);
    sock_message *message = NULL;
    CHECK_STATUS(sock_client_recv(client, check_patience(), &message), DOTSOCK_E_CLOSED);
    sock_client_free(client);
}
