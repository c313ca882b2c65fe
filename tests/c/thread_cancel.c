/* pthread_cancel of a thread that is in a call of ours: it takes effect when the call has returned. */
#include "peer.h"

static sock_client *client;
static sock_server *server;
static int entered, returned;

static void enter(void) { __atomic_store_n(&entered, 1, __ATOMIC_SEQ_CST); }
static int has_entered(void) { return __atomic_load_n(&entered, __ATOMIC_SEQ_CST); }

static void *receive(void *argument)
{
    sock_message *message;
    enter();
    CHECK_OK(sock_client_recv(client, -1, &message));
    sock_message_free(message);
    returned = 1;
    pthread_testcancel();
    return argument;
}

static void *take_event(void *argument)
{
    sock_event *event;
    enter();
    CHECK_OK(sock_server_next(server, -1, &event));
    CHECK_INT(sock_event_kind(event), DOTSOCK_MESSAGE_RECEIVED);
    sock_event_free(event);
    returned = 1;
    pthread_testcancel();
    return argument;
}

static pthread_t cancelled_in(void *(*body)(void *))
{
    pthread_t thread = check_thread(body, NULL);
    WAIT_FOR(has_entered());
    CHECK_INT(pthread_cancel(thread), 0);
    return thread;
}

static void expect_cancelled(pthread_t thread)
{
    void *result;
    CHECK_INT(pthread_join(thread, &result), 0);
    CHECK(result == PTHREAD_CANCELED);
    CHECK_INT(returned, 1);
}

TEST(a_client_that_receives_goes_on_until_it_has_something)
{
    server = start_server("e", NULL);
    client = join("e", NULL);
    wait_clients(server, 1);
    pthread_t thread = cancelled_in(receive);
    SEND(server, 1);
    expect_cancelled(thread);
    SEND(server, 2);
    EXPECT_NUMBER(client, 2);
    sock_client_free(client);
    sock_server_free(server);
}

TEST(a_server_that_waits_for_an_event_does_so_too)
{
    server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_OK(sock_server_open(server));
    client = join("e", NULL);
    sock_event *event;
    CHECK_OK(sock_server_next(server, -1, &event));
    CHECK_INT(sock_event_kind(event), DOTSOCK_CLIENT_CONNECTED);
    sock_event_free(event);
    pthread_t thread = cancelled_in(take_event);
    CHECK_OK(sock_client_send_json(client, DOTSOCK_DATA, "{}"));
    expect_cancelled(thread);
    SEND(server, 1);
    EXPECT_NUMBER(client, 1);
    sock_client_free(client);
    sock_server_free(server);
}

/* A thread that is cancelled already does all of `body`: the calls in it are no places to end at. */
static void *(*rest)(void *);

static void *with_a_cancel_pending(void *argument)
{
    CHECK_INT(pthread_cancel(pthread_self()), 0);
    rest(argument);
    returned = 1;
    pthread_testcancel();
    return argument;
}

static void expect_done(void *(*body)(void *))
{
    rest = body;
    expect_cancelled(check_thread(with_a_cancel_pending, NULL));
}

/* A payload so large that it is not copied behind its head. */
static void *send_large(void *argument)
{
    enum { SIZE = 100000, HEAD = 8 };
    struct bytes map = {0};
    put_hex(&map, "81 a1 74 db");
    put_number(&map, SIZE - HEAD, 4);
    unsigned char *all = calloc(1, SIZE);
    memcpy(all, map.at, HEAD);
    CHECK_OK(sock_client_send_data(client, DOTSOCK_DATA, all, SIZE));
    CHECK_OK(sock_send_data(server, DOTSOCK_DATA, all, SIZE, NULL));
    free(all);
    free(map.at);
    return argument;
}

/* What a send waits with is given back at its end. */
static void *send_that_waits(void *argument)
{
    int status;
    do
        status = send_padded(server, 0, 50000, argument);
    while (status == DOTSOCK_OK);
    CHECK_STATUS(status, DOTSOCK_E_TIMEOUT);
    return NULL;
}

TEST(a_send_waits_for_room)
{
    server = start_server("e", "slow_client", "block", "client_queue_size", "200000", "send_timeout", "0.1", NULL);
    int peer = peer_connect("e"); /* reads nothing */
    wait_clients(server, 1);
    rest = send_that_waits;
    expect_cancelled(check_thread(with_a_cancel_pending, (void *)client_id(server, 0)));
    close(peer);
    sock_server_free(server);
}

TEST(large_messages_are_sent)
{
    server = start_server("e", NULL);
    client = join("e", NULL);
    wait_clients(server, 1);
    expect_done(send_large);
    WAIT_FOR(stat_of(server, "messages_received") == 1);
    sock_message_free(take(client));
    sock_client_free(client);
    sock_server_free(server);
}

static void *receive_one(void *argument)
{
    sock_message *message;
    CHECK_OK(sock_client_recv(client, -1, &message));
    sock_message_free(message);
    return argument;
}

static void *look_and_receive(void *argument)
{
    CHECK_INT(sock_client_is_connected(client), 1);
    return receive_one(argument);
}

/* The one who reads all tells the other one, and the descriptor. */
TEST(others_are_told_of_what_was_read)
{
    client = new_client(DOTSOCK_UNIX, "e", NULL);
    int listener = peer_listen("e");
    CHECK_OK(sock_client_connect(client));
    CHECK(sock_client_fd(client) >= 0);
    int peer = peer_accept(listener);
    pthread_t other = check_thread(receive_one, NULL);
    for (int i = 0; i < 20; i++)
        peer_send_json(peer, "e", "{}");
    expect_done(look_and_receive);
    check_join(other);
    sock_client_free(client);
    close(peer);
    close(listener);
}

static void *receive_the_end(void *argument)
{
    sock_message *message;
    CHECK_INT(sock_client_recv(client, -1, &message), DOTSOCK_E_CLOSED);
    return argument;
}

TEST(a_server_that_has_left_is_noticed)
{
    client = new_client(DOTSOCK_UNIX, "e", "auto_reconnect", "false", NULL);
    int listener = peer_listen("e");
    CHECK_OK(sock_client_connect(client));
    close(peer_accept(listener));
    expect_done(receive_the_end);
    sock_client_free(client);
    close(listener);
}

TEST(a_client_connects_again)
{
    int log = open("/dev/null", O_WRONLY | O_CLOEXEC);
    CHECK_OK(sock_set_log_fd(DOTSOCK_LOG_TRACE, log));
    client = new_client(DOTSOCK_UNIX, "e", NULL);
    int listener = peer_listen("e");
    CHECK_OK(sock_client_connect(client));
    close(peer_accept(listener));
    /* It waits in the queue of the listener. */
    rest = receive_one;
    pthread_t thread = check_thread(with_a_cancel_pending, NULL);
    int peer = peer_accept(listener);
    peer_send_json(peer, "e", "{}");
    expect_cancelled(thread);
    sock_client_free(client);
    CHECK_OK(sock_set_log_fd(0, -1));
    close(peer);
    close(listener);
    close(log);
}

static void *take_three_events(void *argument)
{
    const int kinds[] = {DOTSOCK_CLIENT_CONNECTED, DOTSOCK_MESSAGE_RECEIVED, DOTSOCK_CLIENT_DISCONNECTED};
    for (int i = 0; i < 3; i++) {
        sock_event *event;
        CHECK_OK(sock_server_next(server, -1, &event));
        CHECK_INT(sock_event_kind(event), kinds[i]);
        sock_event_free(event);
    }
    return argument;
}

TEST(clients_come_and_go)
{
    server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_OK(sock_server_open(server));
    int peer = peer_connect("e");
    peer_send_json(peer, "e", "{}");
    close(peer);
    expect_done(take_three_events);
    sock_server_free(server);
}
