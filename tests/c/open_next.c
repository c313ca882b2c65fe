/* The server that the program drives itself: open, next, fd. */
#include "peer.h"

TEST(events_come_in_order)
{
    sock_server *server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_INT(sock_server_fd(server), -1);
    CHECK_OK(sock_server_open(server));
    sock_client *client = join("e", NULL);
    CHECK_OK(sock_client_send_json(client, DOTSOCK_DATA, numbered(1)));
    CHECK_OK(sock_client_send_json(client, DOTSOCK_ERROR, numbered(2)));
    sock_client_free(client);

    sock_event *event = next_event(server);
    char id[64];
    CHECK_INT(sock_event_kind(event), DOTSOCK_CLIENT_CONNECTED);
    snprintf(id, sizeof id, "%s", sock_event_client_id(event));
    CHECK(id[0]);
    CHECK(!sock_event_message(event));
    sock_event_free(event);
    for (int n = 1; n <= 2; n++) {
        event = next_event(server);
        CHECK_INT(sock_event_kind(event), DOTSOCK_MESSAGE_RECEIVED);
        CHECK_STR(sock_event_client_id(event), id);
        sock_message *kept = sock_message_ref(sock_event_message(event));
        sock_event_free(event); /* the reference outlives the event */
        CHECK_INT(number_of(kept), n);
        CHECK_INT(sock_message_type(kept), n == 1 ? DOTSOCK_DATA : DOTSOCK_ERROR);
        sock_message_free(kept);
    }
    event = next_event(server);
    CHECK_INT(sock_event_kind(event), DOTSOCK_CLIENT_DISCONNECTED);
    CHECK_STR(sock_event_client_id(event), id);
    CHECK(!sock_event_message(event));
    sock_event_free(event);
    sock_server_free(server);
}

TEST(timeouts)
{
    sock_event *event = NULL;
    sock_server *server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_OK(sock_server_open(server));
    int64_t before = check_now();
    CHECK_STATUS(sock_server_next(server, 0, &event), DOTSOCK_E_TIMEOUT);
    CHECK_STATUS(sock_server_next(server, 60, &event), DOTSOCK_E_TIMEOUT);
    CHECK(check_now() - before >= 55);
    CHECK(!event);
    sock_server_free(server);
}

TEST(a_client_is_connected_before_its_event)
{
    sock_server *server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_OK(sock_server_open(server));
    SEND(server, 1); /* to the backlog */
    sock_client *client = join("e", NULL);
    sock_event *event = next_event(server);
    CHECK_INT(stat_of(server, "clients"), 1);
    CHECK_OK(sock_send_json(server, DOTSOCK_DATA, numbered(2), sock_event_client_id(event)));
    sock_event_free(event);
    EXPECT_NUMBER(client, 1);
    EXPECT_NUMBER(client, 2);
    sock_client_free(client);
    sock_server_free(server);
}

TEST(the_descriptor_is_readable_while_there_is_something_to_do)
{
    sock_event *event = NULL;
    sock_server *server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_OK(sock_server_open(server));
    int fd = sock_server_fd(server);
    CHECK(fd >= 0);
    CHECK(!readable(fd));
    sock_client *client = join("e", NULL);
    WAIT_FOR(readable(fd));
    CHECK(readable(fd)); /* level-triggered: still */
    EXPECT_EVENT(server, DOTSOCK_CLIENT_CONNECTED);
    for (int n = 0; n < 3; n++) /* may all be read from the socket at once */
        CHECK_OK(sock_client_send_json(client, DOTSOCK_DATA, numbered(n)));
    for (int n = 0; n < 3; n++) { /* one event for each wake-up, as many event loops do */
        WAIT_FOR(readable(fd));
        EXPECT_EVENT(server, DOTSOCK_MESSAGE_RECEIVED);
    }
    while (sock_server_next(server, 0, &event) == DOTSOCK_OK)
        sock_event_free(event);
    CHECK(!readable(fd));
    sock_client_free(client);
    WAIT_FOR(readable(fd));
    EXPECT_EVENT(server, DOTSOCK_CLIENT_DISCONNECTED);
    CHECK_STATUS(sock_server_next(server, 0, &event), DOTSOCK_E_TIMEOUT);
    CHECK(!readable(fd));
    sock_server_free(server);
}

TEST(after_a_stop_next_yields_what_is_left)
{
    sock_event *event = NULL;
    sock_server *server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_OK(sock_server_open(server));
    int fd = sock_server_fd(server);
    sock_client *one = join("e", NULL), *two = join("e", NULL);
    EXPECT_EVENT(server, DOTSOCK_CLIENT_CONNECTED);
    EXPECT_EVENT(server, DOTSOCK_CLIENT_CONNECTED);
    CHECK_OK(sock_server_stop(server));
    CHECK_INT(sock_server_is_running(server), 0);
    CHECK(readable(fd));
    EXPECT_EVENT(server, DOTSOCK_CLIENT_DISCONNECTED);
    CHECK(readable(fd));
    EXPECT_EVENT(server, DOTSOCK_CLIENT_DISCONNECTED);
    CHECK(readable(fd)); /* once more, for the end itself */
    CHECK_STATUS(sock_server_next(server, -1, &event), DOTSOCK_E_NOT_RUNNING);
    CHECK(!readable(fd));
    CHECK_STATUS(sock_server_next(server, 0, &event), DOTSOCK_E_NOT_RUNNING);
    CHECK_INT(sock_server_fd(server), fd); /* the same until it is freed */
    sock_client_free(one);
    sock_client_free(two);
    sock_server_free(server);
}

TEST(opening_again_yields_what_was_left_first)
{
    sock_server *server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_OK(sock_server_open(server));
    int fd = sock_server_fd(server);
    sock_client *one = join("e", "auto_reconnect", "false", NULL);
    EXPECT_EVENT(server, DOTSOCK_CLIENT_CONNECTED);
    CHECK_OK(sock_server_stop(server));
    CHECK_OK(sock_server_open(server));
    CHECK_INT(sock_server_fd(server), fd);
    sock_client *two = join("e", NULL);
    EXPECT_EVENT(server, DOTSOCK_CLIENT_DISCONNECTED);
    EXPECT_EVENT(server, DOTSOCK_CLIENT_CONNECTED);
    sock_client_free(one);
    sock_client_free(two);
    sock_server_free(server);
}

TEST(start_discards_what_was_left)
{
    sock_event *event = NULL;
    struct record record = RECORD;
    sock_server *server = new_server(DOTSOCK_UNIX, "e", NULL);
    record_hooks(server, &record);
    CHECK_OK(sock_server_open(server));
    int fd = sock_server_fd(server);
    sock_client *client = join("e", "auto_reconnect", "false", NULL);
    EXPECT_EVENT(server, DOTSOCK_CLIENT_CONNECTED);
    CHECK_OK(sock_server_stop(server));
    CHECK_OK(sock_server_start(server));
    CHECK_INT(sock_server_fd(server), fd);
    CHECK(!readable(fd)); /* quiet while the server runs in another way */
    CHECK_STATUS(sock_server_next(server, 0, &event), DOTSOCK_E_STATE);
    CHECK_OK(sock_server_stop(server));
    CHECK(record_is(&record, ""));
    sock_client_free(client);
    sock_server_free(server);
}

static void *stop(void *server)
{
    CHECK_OK(sock_server_stop(server));
    return NULL;
}

TEST(a_stop_by_another_thread_ends_the_wait)
{
    sock_event *event = NULL;
    sock_server *server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_OK(sock_server_open(server));
    pthread_t thread = check_thread(stop, server);
    CHECK_STATUS(sock_server_next(server, -1, &event), DOTSOCK_E_NOT_RUNNING);
    check_join(thread);
    sock_server_free(server);
}

TEST(a_descriptor_works_in_another_epoll_and_dup)
{
    sock_server *server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_OK(sock_server_open(server));
    int copy = dup(sock_server_fd(server));
    sock_client *client = join("e", NULL);
    WAIT_FOR(readable(copy));
    close(copy);
    EXPECT_EVENT(server, DOTSOCK_CLIENT_CONNECTED);
    sock_client_free(client);
    sock_server_free(server);
}

enum { SLOW_COUNT = 64, SLOW_SIZE = 32768 };

static void *read_all(void *argument)
{
    int peer = *(int *)argument;
    for (int n = 0; n < SLOW_COUNT; n++) {
        sock_message *message = peer_next(peer);
        CHECK(message);
        CHECK_INT(number_of(message), n);
        sock_message_free(message);
    }
    close(peer);
    return NULL;
}

TEST(an_opened_server_delivers_when_a_slow_client_reads_again)
{
    sock_server *server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_OK(sock_server_open(server));
    int peer = peer_connect("e");
    EXPECT_EVENT(server, DOTSOCK_CLIENT_CONNECTED);
    for (int n = 0; n < SLOW_COUNT; n++) /* more than the kernel has room for */
        CHECK_OK(send_padded(server, n, SLOW_SIZE, NULL));
    pthread_t reader = check_thread(read_all, &peer);
    EXPECT_EVENT(server, DOTSOCK_CLIENT_DISCONNECTED); /* next() is the engine: it writes the rest */
    check_join(reader);
    CHECK_INT(stat_of(server, "messages_sent"), SLOW_COUNT);
    CHECK_INT(stat_of(server, "messages_dropped"), 0);
    sock_server_free(server);
}
