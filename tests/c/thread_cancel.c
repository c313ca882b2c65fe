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
