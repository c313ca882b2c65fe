/* Clients that do not read: the four policies, what is dropped and who is told. The slow client is a
 * raw peer that reads only when the test says so. Whatever the kernel has room for, COUNT messages
 * of SIZE bytes are more. */
#include "peer.h"

enum { COUNT = 60, SIZE = 50000 };
#define QUEUE "200000"

static sock_server *server;

static int slow_peer(const char *policy, const char *timeout)
{
    server = start_server("e", "slow_client", policy, "client_queue_size", QUEUE, "default_timeout", timeout, NULL);
    int peer = peer_connect("e");
    wait_clients(server, 1);
    return peer;
}

/* What the list of clients says about one; 0 when it is gone. */
static uint64_t dropped(const char *id)
{
    sock_client_list *list = sock_server_client(server, id);
    uint64_t count = sock_client_list_dropped(list, 0);
    sock_client_list_free(list);
    return count;
}

static uint64_t queued_bytes(const char *id)
{
    sock_client_list *list = sock_server_client(server, id);
    uint64_t count = sock_client_list_queued_bytes(list, 0);
    sock_client_list_free(list);
    return count;
}

/* Reads numbered messages and notices until `count` are accounted for; how many were missed. Each
 * notice must stand exactly where its messages are missing. */
static int read_with_gaps(int peer, int count)
{
    int next = 0, missed = 0;
    while (next < count) {
        sock_message *message = peer_next(peer);
        CHECK(message);
        int gap = missed_count(message);
        if (gap) {
            missed += gap;
            next += gap;
        } else {
            CHECK_INT(number_of(message), next);
            next++;
        }
        sock_message_free(message);
    }
    CHECK_INT(next, count);
    return missed;
}

static void check_gap(const char *policy, int unicast)
{
    int peer = slow_peer(policy, "5"), full = 0;
    const char *id = client_id(server, 0);
    for (int n = 0; n < COUNT; n++) {
        int status = send_padded(server, n, SIZE, unicast ? id : NULL);
        CHECK(status == DOTSOCK_OK || status == DOTSOCK_E_FULL);
        full += status == DOTSOCK_E_FULL;
        CHECK(queued_bytes(id) <= (uint64_t)atoi(QUEUE));
    }
    int lost = (int)dropped(id);
    CHECK(lost > 0);
    CHECK_INT(full, unicast && strcmp(policy, "drop_newest") == 0 ? lost : 0);
    CHECK_INT(stat_of(server, "messages_dropped"), lost);
    CHECK_INT(read_with_gaps(peer, COUNT), lost);
    SEND(server, 1000); /* and all is well again */
    PEER_EXPECT(peer, numbered(1000));
    CHECK_INT(dropped(id), lost);
    close(peer);
    sock_server_free(server);
}

TEST(drop_oldest_broadcast) { check_gap("drop_oldest", 0); }
TEST(drop_oldest_unicast) { check_gap("drop_oldest", 1); }
TEST(drop_newest_broadcast) { check_gap("drop_newest", 0); }
TEST(drop_newest_unicast) { check_gap("drop_newest", 1); }

TEST(drop_oldest_keeps_the_newest)
{
    int peer = slow_peer("drop_oldest", "5"), last = -1;
    for (int n = 0; n < COUNT; n++)
        CHECK_OK(send_padded(server, n, SIZE, NULL));
    for (int gap = 0; last < COUNT - 1;) {
        sock_message *message = peer_next(peer);
        CHECK(message);
        int missed = missed_count(message);
        if (missed) {
            CHECK(!gap); /* one gap, one notice */
            gap = missed;
            CHECK(sock_message_timestamp_ms(message) > 0);
            CHECK_STR(sock_message_event_name(message), "e");
        } else {
            last = number_of(message);
        }
        sock_message_free(message);
    }
    close(peer);
    sock_server_free(server);
}

/* Reads to the end of the stream, whatever it is. */
static void drain(int peer)
{
    char bytes[65536];
    while (peer_read(peer, bytes, sizeof bytes) == sizeof bytes)
        ;
}

TEST(disconnect_unicast)
{
    int peer = slow_peer("disconnect", "5"), status = DOTSOCK_OK;
    const char *id = client_id(server, 0);
    for (int n = 0; n < COUNT && status == DOTSOCK_OK; n++)
        status = send_padded(server, n, SIZE, id);
    CHECK_INT(status, DOTSOCK_E_FULL);
    wait_clients(server, 0);
    CHECK(stat_of(server, "messages_dropped") > 0); /* what was queued, and this one */
    CHECK_STATUS(send_padded(server, 0, SIZE, id), DOTSOCK_E_NO_CLIENT);
    drain(peer);
    close(peer);
    sock_server_free(server);
}

static void *keep_reading(void *client)
{
    for (;;) {
        sock_message *message = take(client);
        int number = number_of(message);
        sock_message_free(message);
        if (number == 1000)
            return NULL;
    }
}

TEST(disconnect_broadcast_leaves_the_others)
{
    struct record record = RECORD;
    server = new_server(DOTSOCK_UNIX, "e", "slow_client", "disconnect", "client_queue_size", QUEUE, NULL);
    record_hooks(server, &record);
    CHECK_OK(sock_server_start(server));
    int peer = peer_connect("e");
    WAIT_FOR(record_has(&record, "+A"));
    sock_client *other = join("e", NULL);
    WAIT_FOR(record_has(&record, "+B"));
    pthread_t reader = check_thread(keep_reading, other);
    for (int n = 0; n < COUNT && !record_has(&record, "-A"); n++) {
        CHECK_OK(send_padded(server, n, SIZE, NULL));
        WAIT_FOR(queued_bytes(record.ids[1]) == 0); /* the other one keeps up */
    }
    WAIT_FOR(record_has(&record, "-A"));
    CHECK(!record_has(&record, "-B"));
    SEND(server, 1000);
    check_join(reader);
    drain(peer);
    close(peer);
    sock_client_free(other);
    sock_server_free(server);
}

TEST(one_slow_client_costs_the_others_nothing)
{
    int peer = slow_peer("drop_oldest", "5");
    sock_client *fast = join("e", NULL);
    wait_clients(server, 2);
    for (int n = 0; n < COUNT; n++) {
        CHECK_OK(send_padded(server, n, SIZE, NULL));
        sock_message *message = take(fast);
        CHECK_INT(number_of(message), n);
        sock_message_free(message);
    }
    CHECK(stat_of(server, "messages_dropped") > 0);
    CHECK_INT(read_with_gaps(peer, COUNT), stat_of(server, "messages_dropped"));
    close(peer);
    sock_client_free(fast);
    sock_server_free(server);
}

/* ---- block ---- */

struct reading {
    int peer, count;
};

static void *read_everything(void *argument)
{
    struct reading *reading = argument;
    CHECK_INT(read_with_gaps(reading->peer, reading->count), 0);
    return NULL;
}

TEST(block_waits_for_a_reader_and_loses_nothing)
{
    struct reading reading = {slow_peer("block", "10"), 4 * COUNT};
    pthread_t reader = check_thread(read_everything, &reading);
    for (int n = 0; n < 4 * COUNT; n++)
        CHECK_OK(send_padded(server, n, SIZE, n % 3 ? NULL : client_id(server, 0)));
    check_join(reader);
    CHECK_INT(stat_of(server, "messages_dropped"), 0);
    close(reading.peer);
    sock_server_free(server);
}

/* Unicasts until one is refused; how many were not. */
static int fill(const char *id, int expected)
{
    int n = 0, status;
    while ((status = send_padded(server, n, SIZE, id)) == DOTSOCK_OK)
        CHECK(++n < 4 * COUNT);
    CHECK_INT(status, expected);
    CHECK_INT(sock_last_status(), expected);
    return n;
}

TEST(block_times_out)
{
    int peer = slow_peer("block", "0.1");
    const char *id = client_id(server, 0);
    int count = fill(id, DOTSOCK_E_TIMEOUT);
    int64_t before = check_now();
    CHECK_STATUS(send_padded(server, 5000, SIZE, id), DOTSOCK_E_TIMEOUT);
    CHECK(check_now() - before >= 90);
    CHECK_INT(dropped(id), 0); /* the sender may try again: not counted */
    CHECK_OK(send_padded(server, 5001, SIZE, NULL)); /* a broadcast is OK however the wait ends */
    CHECK_INT(dropped(id), 1);
    CHECK_INT(stat_of(server, "messages_dropped"), 1);
    /* What was refused was not queued; the gap of the broadcast is told. */
    CHECK_INT(read_with_gaps(peer, count + 1), 1);
    SEND(server, 5002);
    PEER_EXPECT(peer, numbered(5002));
    close(peer);
    sock_server_free(server);
}

TEST(send_timeout_goes_before_default_timeout)
{
    server = start_server("e", "slow_client", "block", "client_queue_size", QUEUE, "default_timeout", "3000",
                          "send_timeout", "0.05", NULL);
    int peer = peer_connect("e");
    wait_clients(server, 1);
    fill(client_id(server, 0), DOTSOCK_E_TIMEOUT);
    CHECK_OK(sock_server_stop(server));
    close(peer);
    sock_server_free(server);
}

TEST(a_timeout_of_zero_never_waits)
{
    int peer = slow_peer("block", "0");
    fill(client_id(server, 0), DOTSOCK_E_TIMEOUT);
    close(peer);
    sock_server_free(server);
}

TEST(the_timeout_is_for_the_whole_call)
{
    int peers[5] = {slow_peer("block", "0.2")};
    for (int i = 1; i < 5; i++)
        peers[i] = peer_connect("e");
    wait_clients(server, 5);
    int n = 0;
    while (stat_of(server, "messages_dropped") == 0) {
        CHECK_OK(send_padded(server, n++, SIZE, NULL));
        CHECK(n < 4 * COUNT);
    }
    int64_t before = check_now();
    CHECK_OK(send_padded(server, n, SIZE, NULL));
    CHECK(check_now() - before < 600 * check_slow()); /* not five times 200 ms */
    for (int i = 0; i < 5; i++)
        close(peers[i]);
    sock_server_free(server);
}

/* ---- what ends a send that waits ---- */

static char victim[64];

static void *send_until_refused(void *argument)
{
    (void)argument;
    int status;
    do
        status = send_padded(server, 0, SIZE, victim);
    while (status == DOTSOCK_OK);
    return (void *)(intptr_t)status;
}

/* A thread that waits, or is about to, for room that never comes. */
static pthread_t blocked_sender(int *peer)
{
    server = start_server("e", "slow_client", "block", "client_queue_size", QUEUE, "default_timeout", "600", "linger",
                          "0", NULL);
    *peer = peer_connect("e");
    wait_clients(server, 1);
    snprintf(victim, sizeof victim, "%s", client_id(server, 0));
    pthread_t sender = check_thread(send_until_refused, NULL);
    WAIT_FOR(queued_bytes(victim) > 2 * SIZE);
    return sender;
}

/* What the blocked send returns in the end. It may not have begun to wait when the
 * cause first comes, so a cause that does not last is repeated. */
static void check_ended(pthread_t sender, int expected, void (*again)(void))
{
    void *result = NULL;
    int64_t until = check_now() + check_patience();
    while (pthread_tryjoin_np(sender, &result) == EBUSY) {
        CHECK(check_now() < until);
        if (again)
            again();
        check_pause();
    }
    CHECK_INT((intptr_t)result, expected);
}

static void cancel(void) { CHECK_INT(sock_server_cancel(server), DOTSOCK_OK); }

TEST(cancel_ends_a_send_that_waits)
{
    int peer;
    pthread_t sender = blocked_sender(&peer);
    check_ended(sender, DOTSOCK_E_CANCELLED, cancel);
    CHECK_INT(dropped(victim), 0);
    close(peer);
    sock_server_free(server);
}

TEST(the_client_leaves_while_a_send_waits)
{
    int peer;
    pthread_t sender = blocked_sender(&peer);
    close(peer);
    check_ended(sender, DOTSOCK_E_NO_CLIENT, NULL);
    sock_server_free(server);
}

TEST(the_server_is_stopped_while_a_send_waits)
{
    int peer;
    pthread_t sender = blocked_sender(&peer);
    CHECK_OK(sock_server_stop(server));
    check_ended(sender, DOTSOCK_E_NOT_RUNNING, NULL);
    close(peer);
    sock_server_free(server);
}

static pthread_t sender_thread;
static void on_signal(int signal) { (void)signal; }
static void interrupt(void) { pthread_kill(sender_thread, SIGUSR1); }

TEST(a_signal_handler_interrupts_a_send_that_waits)
{
    int peer;
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &action, NULL);
    sender_thread = blocked_sender(&peer);
    check_ended(sender_thread, DOTSOCK_E_INTERRUPTED, interrupt);
    close(peer);
    sock_server_free(server);
}

TEST(a_blocked_send_needs_no_loop)
{
    /* The server is opened and nobody calls next: the send writes to the clients itself. */
    server = new_server(DOTSOCK_UNIX, "e", "slow_client", "block", "client_queue_size", QUEUE, NULL);
    CHECK_OK(sock_server_open(server));
    struct reading reading = {peer_connect("e"), 2 * COUNT};
    EXPECT_EVENT(server, DOTSOCK_CLIENT_CONNECTED);
    pthread_t reader = check_thread(read_everything, &reading);
    for (int n = 0; n < 2 * COUNT; n++)
        CHECK_OK(send_padded(server, n, SIZE, NULL));
    CHECK_OK(sock_server_stop(server)); /* delivers the tail */
    check_join(reader);
    close(reading.peer);
    sock_server_free(server);
}

/* ---- bounds ---- */

TEST(a_message_larger_than_the_queue_goes_when_nothing_else_waits)
{
    static const char *const policies[] = {"drop_oldest", "drop_newest", "disconnect", "block"};
    for (int i = 0; i < 4; i++) {
        server = start_server("e", "slow_client", policies[i], "client_queue_size", "1000", NULL);
        struct reading reading = {peer_connect("e"), 1};
        wait_clients(server, 1);
        pthread_t reader = check_thread(read_everything, &reading);
        CHECK_OK(send_padded(server, 0, 3000000, client_id(server, 0)));
        check_join(reader);
        CHECK_INT(stat_of(server, "messages_dropped"), 0);
        close(reading.peer);
        sock_server_free(server);
    }
}
