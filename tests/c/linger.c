/* Stop, disconnect and the end of a stream deliver what is queued, for `linger` seconds. */
#include "peer.h"

enum { COUNT = 60, SIZE = 50000 }; /* more than the kernel has room for */

struct reading {
    int peer, count;
};

/* Reads `count` numbered messages, then the end. */
static void *read_to_the_end(void *argument)
{
    struct reading *reading = argument;
    for (int n = 0; n < reading->count; n++) {
        sock_message *message = peer_next(reading->peer);
        CHECK(message);
        CHECK_INT(number_of(message), n);
        sock_message_free(message);
    }
    PEER_EXPECT_END(reading->peer);
    close(reading->peer);
    return NULL;
}

static void queue_up(sock_server *server)
{
    for (int n = 0; n < COUNT; n++)
        CHECK_OK(send_padded(server, n, SIZE, NULL));
}

/* The engine that runs it makes no difference. */
static sock_server *listening(int open, const char *linger)
{
    sock_server *server = new_server(DOTSOCK_UNIX, "e", "linger", linger, NULL);
    CHECK_OK(open ? sock_server_open(server) : sock_server_start(server));
    return server;
}

static void check_stop_delivers(int open)
{
    sock_server *server = listening(open, "30");
    struct reading reading = {peer_connect("e"), COUNT};
    if (open)
        EXPECT_EVENT(server, DOTSOCK_CLIENT_CONNECTED);
    wait_clients(server, 1);
    queue_up(server);
    pthread_t reader = check_thread(read_to_the_end, &reading);
    CHECK_OK(sock_server_stop(server));
    check_join(reader);
    CHECK_INT(stat_of(server, "messages_dropped"), 0);
    CHECK_INT(stat_of(server, "messages_sent"), COUNT);
    sock_server_free(server);
}

TEST(stop_delivers_what_is_queued) { check_stop_delivers(0); }
TEST(stop_of_an_opened_server_delivers_too) { check_stop_delivers(1); }

TEST(linger_ends)
{
    sock_server *server = listening(0, "0.2");
    int peer = peer_connect("e");
    wait_clients(server, 1);
    queue_up(server);
    int64_t before = check_now();
    CHECK_OK(sock_server_stop(server));
    int64_t took = check_now() - before;
    CHECK(took >= 150 && took < 1500 * check_slow());
    CHECK(stat_of(server, "messages_dropped") > 0); /* a linger that was over */
    CHECK_INT(stat_of(server, "messages_dropped") + stat_of(server, "messages_sent"), COUNT);
    close(peer);
    sock_server_free(server);
}

TEST(no_linger_means_at_once)
{
    sock_server *server = listening(0, "0");
    int peer = peer_connect("e");
    wait_clients(server, 1);
    queue_up(server);
    int64_t before = check_now();
    CHECK_OK(sock_server_stop(server));
    CHECK(check_now() - before < 500 * check_slow());
    CHECK(stat_of(server, "messages_dropped") > 0);
    close(peer);
    sock_server_free(server);
}

TEST(a_peer_that_ends_its_stream_gets_what_is_queued)
{
    struct record record = RECORD;
    sock_server *server = new_server(DOTSOCK_UNIX, "e", "linger", "30", NULL);
    record_hooks(server, &record);
    CHECK_OK(sock_server_start(server));
    struct reading reading = {peer_connect("e"), COUNT};
    wait_clients(server, 1);
    queue_up(server);
    peer_send_json(reading.peer, "e", "{\"last\":true}");
    shutdown(reading.peer, SHUT_WR); /* it has left, but reads on */
    pthread_t reader = check_thread(read_to_the_end, &reading);
    check_join(reader);
    WAIT_FOR(record_is(&record, "+A\nA {\"last\":true}\n-A\n"));
    CHECK_INT(stat_of(server, "messages_dropped"), 0);
    sock_server_free(server);
}

/* Its connection stays: without a write nobody would ever notice. */
TEST(a_peer_that_takes_nothing_any_more_leaves_once_what_it_said_is_read)
{
    struct record record = RECORD;
    sock_server *server = new_server(DOTSOCK_UNIX, "e", NULL);
    record_hooks(server, &record);
    CHECK_OK(sock_server_start(server));
    int peer = peer_connect("e");
    wait_clients(server, 1);
    peer_send_json(peer, "e", "{\"first\":true}");
    CHECK(shutdown(peer, SHUT_RD) == 0);
    CHECK_OK(sock_send_json(server, DOTSOCK_DATA, "{}", NULL));
    WAIT_FOR(record_is(&record, "+A\nA {\"first\":true}\n-A\n"));
    wait_clients(server, 0);
    close(peer);
    sock_server_free(server);
}

/* The same where the program asks for each event, and the peer goes on speaking meanwhile. */
TEST(what_a_peer_says_that_takes_nothing_any_more_is_yielded_before_its_end)
{
    enum { SAID = 50 };
    sock_server *server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_OK(sock_server_open(server));
    int peer = peer_connect("e");
    EXPECT_EVENT(server, DOTSOCK_CLIENT_CONNECTED);
    CHECK(shutdown(peer, SHUT_RD) == 0);
    for (int n = 1; n <= SAID; n++)
        peer_send_json(peer, "e", numbered(n));
    CHECK_OK(sock_send_json(server, DOTSOCK_DATA, "{}", NULL));
    for (int n = 1; n <= SAID; n++) {
        sock_event *event = next_event(server);
        CHECK_INT(number_of(sock_event_message(event)), n);
        sock_event_free(event);
    }
    EXPECT_EVENT(server, DOTSOCK_CLIENT_DISCONNECTED);
    CHECK(!readable(sock_server_fd(server)));
    close(peer);
    sock_server_free(server);
}

/* A stop in between changes nothing of that. */
TEST(what_such_a_peer_said_comes_before_its_end_when_the_server_stops)
{
    sock_event *event;
    sock_server *server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_OK(sock_server_open(server));
    int peer = peer_connect("e");
    EXPECT_EVENT(server, DOTSOCK_CLIENT_CONNECTED);
    CHECK(shutdown(peer, SHUT_RD) == 0);
    for (int n = 1; n <= 3; n++)
        peer_send_json(peer, "e", numbered(n));
    EXPECT_EVENT(server, DOTSOCK_MESSAGE_RECEIVED);
    CHECK_OK(sock_send_json(server, DOTSOCK_DATA, "{}", NULL));
    CHECK_OK(sock_server_stop(server));
    EXPECT_EVENT(server, DOTSOCK_MESSAGE_RECEIVED);
    EXPECT_EVENT(server, DOTSOCK_MESSAGE_RECEIVED);
    EXPECT_EVENT(server, DOTSOCK_CLIENT_DISCONNECTED);
    CHECK_STATUS(sock_server_next(server, 0, &event), DOTSOCK_E_NOT_RUNNING);
    close(peer);
    sock_server_free(server);
}

/* There may be nothing to read between its pieces. */
TEST(such_a_peer_is_not_cut_off_within_a_message)
{
    sock_server *server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_OK(sock_server_open(server));
    int peer = peer_connect("e");
    EXPECT_EVENT(server, DOTSOCK_CLIENT_CONNECTED);
    CHECK(shutdown(peer, SHUT_RD) == 0);
    struct bytes frame = {0};
    put_json_frame(&frame, "e", DOTSOCK_DATA, "{}");
    peer_send(peer, frame.at, 3);
    sock_event *event;
    CHECK_STATUS(sock_server_next(server, 0, &event), DOTSOCK_E_TIMEOUT);
    CHECK_OK(sock_send_json(server, DOTSOCK_DATA, "{}", NULL));
    CHECK_STATUS(sock_server_next(server, 0, &event), DOTSOCK_E_TIMEOUT);
    peer_send(peer, frame.at + 3, frame.size - 3);
    EXPECT_EVENT(server, DOTSOCK_MESSAGE_RECEIVED);
    EXPECT_EVENT(server, DOTSOCK_CLIENT_DISCONNECTED);
    CHECK_INT(stat_of(server, "malformed"), 0);
    free(frame.at);
    close(peer);
    sock_server_free(server);
}

TEST(a_disconnected_client_gets_what_is_queued)
{
    sock_server *server = listening(0, "30");
    struct reading reading = {peer_connect("e"), COUNT};
    wait_clients(server, 1);
    queue_up(server);
    CHECK_OK(sock_server_disconnect_client(server, client_id(server, 0))); /* returns at once */
    pthread_t reader = check_thread(read_to_the_end, &reading);
    check_join(reader);
    wait_clients(server, 0);
    CHECK_INT(stat_of(server, "messages_dropped"), 0);
    sock_server_free(server);
}

/* Closing a TCP socket with unread input resets it, and what the kernel had accepted is lost. */
TEST(unread_input_takes_nothing_away)
{
    sock_server *server = new_server(DOTSOCK_TCP, "e", "linger", "30", NULL);
    CHECK_OK(sock_server_open(server));
    struct reading reading = {peer_connect_tcp(sock_server_port(server)), COUNT};
    EXPECT_EVENT(server, DOTSOCK_CLIENT_CONNECTED);
    queue_up(server);
    for (int n = 0; n < 100; n++) /* nobody calls next(): it stays unread */
        peer_send_json(reading.peer, "e", numbered(n));
    pthread_t reader = check_thread(read_to_the_end, &reading);
    CHECK_OK(sock_server_stop(server));
    check_join(reader);
    CHECK_INT(stat_of(server, "messages_dropped"), 0);
    sock_server_free(server);
}

static void check_client_delivers(int transport, int free)
{
    struct record record = RECORD;
    sock_server *server = new_server(transport, "e", NULL);
    record_hooks(server, &record);
    CHECK_OK(sock_server_start(server));
    sock_client *client = connected(new_client(transport, "e", NULL));
    wait_clients(server, 1);
    for (int n = 0; n < 50; n++)
        SEND(server, n); /* input that the client leaves unread */
    for (int n = 0; n < 500; n++)
        CHECK_OK(sock_client_send_json(client, DOTSOCK_DATA, numbered(n)));
    if (!free)
        CHECK_OK(sock_client_disconnect(client));
    sock_client_free(client);
    WAIT_FOR(record_has(&record, "-A"));
    CHECK(record_has(&record, "A {\"n\":499}\n-A\n"));
    CHECK_INT(stat_of(server, "messages_received"), 500);
    sock_server_free(server);
}

TEST(a_client_that_is_freed_delivers) { check_client_delivers(DOTSOCK_UNIX, 1); }
TEST(a_client_that_disconnects_delivers) { check_client_delivers(DOTSOCK_UNIX, 0); }
TEST(over_tcp_too) { check_client_delivers(DOTSOCK_TCP, 1); }

TEST(the_last_word_before_the_end_of_a_program)
{
    sock_server *server = start_server("e", NULL);
    sock_client *client = join("e", "auto_reconnect", "false", NULL);
    wait_clients(server, 1);
    for (int n = 0; n < 100; n++)
        SEND(server, n);
    sock_server_free(server);
    sock_message *message = NULL;
    for (int n = 0; n < 100; n++)
        EXPECT_NUMBER(client, n);
    CHECK_STATUS(sock_client_recv(client, check_patience(), &message), DOTSOCK_E_CLOSED);
    sock_client_free(client);
}
