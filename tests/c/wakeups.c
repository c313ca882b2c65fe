/* Nobody sleeps through anything: a loop that follows the descriptor while other threads call next
 * as well, the tails of bursts while hooks come and go, and cancels one after the other. */
#include "helpers.h"

enum { ROUNDS = 100, TALKERS = 2, SLEEPERS = 3 };

static sock_server *server;
static sock_client *client;
static int over, said, connects, disconnects, messages, cancelled;

static int value(int *counter) { return __atomic_load_n(counter, __ATOMIC_SEQ_CST); }
static void count(int *counter) { __atomic_add_fetch(counter, 1, __ATOMIC_SEQ_CST); }

/* A client that comes, says some things at once, and goes when everything said so far was heard: until
 * then nothing new happens that would wake the loop. */
static void *come_and_go(void *argument)
{
    (void)argument;
    for (int round = 0; round < ROUNDS; round++) {
        sock_client *guest = join("e", NULL);
        CHECK_OK(sock_client_cork(guest));
        for (int i = 0; i <= round % 20; i++) {
            count(&said);
            CHECK_OK(sock_client_send_json(guest, DOTSOCK_DATA, "{}"));
        }
        CHECK_OK(sock_client_uncork(guest));
        int all = value(&said);
        WAIT_FOR(value(&messages) >= all);
        sock_client_free(guest);
    }
    return NULL;
}

static void take_event(int timeout_ms)
{
    sock_event *event;
    int status = sock_server_next(server, timeout_ms, &event);
    if (status == DOTSOCK_E_TIMEOUT)
        return;
    CHECK_INT(status, DOTSOCK_OK);
    int kind = sock_event_kind(event);
    count(kind == DOTSOCK_CLIENT_CONNECTED ? &connects : kind == DOTSOCK_MESSAGE_RECEIVED ? &messages : &disconnects);
    sock_event_free(event);
}

static void *call_next(void *argument)
{
    (void)argument;
    while (!value(&over))
        take_event(2);
    return NULL;
}

static void follow_the_descriptor(int others)
{
    pthread_t talkers[TALKERS], callers[SLEEPERS];
    server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_OK(sock_server_open(server));
    int fd = sock_server_fd(server);
    for (int i = 0; i < others; i++)
        callers[i] = check_thread(call_next, NULL);
    for (int i = 0; i < TALKERS; i++)
        talkers[i] = check_thread(come_and_go, NULL);
    while (value(&disconnects) < TALKERS * ROUNDS) {
        struct pollfd entry = {.fd = fd, .events = POLLIN};
        if (poll(&entry, 1, 10) > 0)
            take_event(0); /* one each time: it must go on saying that there is more */
    }
    count(&over);
    for (int i = 0; i < TALKERS; i++)
        check_join(talkers[i]);
    for (int i = 0; i < others; i++)
        check_join(callers[i]);
    CHECK_INT(messages, said);
    CHECK_INT(connects, TALKERS * ROUNDS);
    CHECK(!readable(fd));
    sock_server_free(server);
}

TEST(a_loop_that_follows_the_descriptor) { follow_the_descriptor(0); }
TEST(the_same_while_others_call_next) { follow_the_descriptor(SLEEPERS); }

static void busy_hook(void *ctx, sock_server *from, const char *id, const sock_message *message)
{
    (void)ctx, (void)from, (void)id, (void)message;
    if (messages++ % 4 == 0)
        check_pause();
}

TEST(no_tail_of_a_burst_stays_behind)
{
    server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_OK(sock_server_on_message_received(server, busy_hook, NULL, NULL));
    CHECK_OK(sock_server_start(server));
    client = join("e", NULL);
    sock_client *talker = join("e", NULL);
    wait_clients(server, 2);
    for (int round = 0, number = 0; round < ROUNDS; round++) {
        int last = number + 1 + round * 7 % 200;
        for (int i = 0; i < round % 4; i++) /* hooks that may begin or end in the middle of the burst */
            CHECK_OK(sock_client_send_json(talker, DOTSOCK_DATA, "{}"));
        for (int n = number; n < last; n++)
            SEND(server, n);
        for (; number < last; number++) /* nothing more is sent meanwhile */
            EXPECT_NUMBER(client, number);
        CHECK_OK(sock_client_clear_buffer(talker));
    }
    sock_client_free(talker);
    sock_client_free(client);
    sock_server_free(server);
}

static void *receive(void *argument)
{
    (void)argument;
    sock_message *message;
    for (int status; (status = sock_client_recv(client, -1, &message)) != DOTSOCK_E_CLOSED;) {
        CHECK_INT(status, DOTSOCK_E_CANCELLED);
        count(&cancelled);
    }
    return NULL;
}

static void *await_events(void *argument)
{
    (void)argument;
    sock_event *event;
    for (int status; (status = sock_server_next(server, -1, &event)) != DOTSOCK_E_NOT_RUNNING;) {
        CHECK_INT(status, DOTSOCK_E_CANCELLED);
        count(&cancelled);
    }
    return NULL;
}

TEST(each_cancel_ends_one_wait)
{
    pthread_t receivers[SLEEPERS], callers[SLEEPERS];
    sock_server *other = start_server("f", NULL);
    client = join("f", NULL);
    server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_OK(sock_server_open(server));
    for (int i = 0; i < SLEEPERS; i++) {
        receivers[i] = check_thread(receive, NULL);
        callers[i] = check_thread(await_events, NULL);
    }
    for (int round = 0; round < ROUNDS; round++) {
        CHECK_INT(sock_client_cancel(client), DOTSOCK_OK);
        WAIT_FOR(value(&cancelled) == 2 * round + 1);
        CHECK_INT(sock_server_cancel(server), DOTSOCK_OK);
        WAIT_FOR(value(&cancelled) == 2 * round + 2);
    }
    CHECK_OK(sock_client_disconnect(client));
    CHECK_OK(sock_server_stop(server));
    for (int i = 0; i < SLEEPERS; i++) {
        check_join(receivers[i]);
        check_join(callers[i]);
    }
    sock_client_free(client);
    sock_server_free(server);
    sock_server_free(other);
}
