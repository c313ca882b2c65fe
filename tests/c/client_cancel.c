/* Cancelling a client: recv and connect are its loop. */
#include "peer.h"

static sock_client *client;
static sock_message *message;
static volatile int returned;

static void *cancel_once(void *argument)
{
    (void)argument;
    CHECK_INT(sock_client_cancel(client), DOTSOCK_OK);
    return NULL;
}

TEST(a_thread_cancels_recv)
{
    sock_server *server = start_server("e", NULL);
    client = join("e", NULL);
    pthread_t thread = check_thread(cancel_once, NULL);
    CHECK_STATUS(sock_client_recv(client, -1, &message), DOTSOCK_E_CANCELLED);
    check_join(thread);
    SEND(server, 1);
    EXPECT_NUMBER(client, 1); /* still connected */
    sock_client_free(client);
    sock_server_free(server);
}

TEST(it_counts_once_and_polls_leave_it)
{
    sock_server *server = start_server("e", NULL);
    client = join("e", NULL);
    for (int i = 0; i < 4; i++)
        CHECK_INT(sock_client_cancel(client), DOTSOCK_OK);
    EXPECT_NOTHING(client);
    wait_clients(server, 1);
    SEND(server, 1);
    WAIT_FOR(sock_client_buffer_size(client) == 1);
    CHECK_STATUS(sock_client_recv(client, -1, &message), DOTSOCK_E_CANCELLED); /* ahead of what is ready */
    EXPECT_NUMBER(client, 1);
    sock_client_free(client);
    sock_server_free(server);
}

TEST(it_is_pending_for_connect)
{
    sock_server *server = start_server("e", NULL);
    client = new_client(DOTSOCK_UNIX, "e", NULL);
    CHECK_INT(sock_client_cancel(client), DOTSOCK_OK);
    CHECK_STATUS(sock_client_connect(client), DOTSOCK_E_CANCELLED);
    CHECK_OK(sock_client_connect(client));
    CHECK_INT(sock_client_is_connected(client), 1);
    sock_client_free(client);
    sock_server_free(server);
}

TEST(while_there_is_no_server)
{
    client = new_client(DOTSOCK_UNIX, "e", NULL);
    CHECK_OK(sock_client_open(client));
    pthread_t thread = check_thread(cancel_once, NULL);
    CHECK_STATUS(sock_client_recv(client, -1, &message), DOTSOCK_E_CANCELLED);
    check_join(thread);
    sock_client_free(client);
}

TEST(it_ends_a_send_that_waits)
{
    int listener = peer_listen("e"), count = 0, status;
    client = join("e", "default_timeout", "600", NULL);
    int peer = peer_accept(listener);
    CHECK_INT(sock_client_cancel(client), DOTSOCK_OK);
    while ((status = client_send_padded(client, count, 50000)) == DOTSOCK_OK)
        CHECK(++count < 1000);
    CHECK_INT(status, DOTSOCK_E_CANCELLED);
    CHECK_STATUS(sock_client_recv(client, 1000, &message), DOTSOCK_E_CANCELLED); /* it left the cancel pending */
    CHECK_STATUS(sock_client_recv(client, 10, &message), DOTSOCK_E_TIMEOUT);
    close(peer);
    close(listener);
    sock_client_free(client);
}

static void cancel_handler(int signal)
{
    (void)signal;
    sock_client_cancel(client);
}

static void empty_handler(int signal) { (void)signal; }

static void *kill_often(void *argument)
{
    while (!__atomic_load_n(&returned, __ATOMIC_SEQ_CST)) {
        pthread_kill(*(pthread_t *)argument, SIGUSR1);
        check_pause();
    }
    return NULL;
}

static void check_handler(void (*handler)(int), int expected)
{
    struct sigaction action = {.sa_handler = handler};
    pthread_t self = pthread_self();
    sigaction(SIGUSR1, &action, NULL);
    sock_server *server = start_server("e", NULL);
    client = join("e", NULL);
    pthread_t thread = check_thread(kill_often, &self);
    CHECK_STATUS(sock_client_recv(client, -1, &message), expected);
    __atomic_store_n(&returned, 1, __ATOMIC_SEQ_CST);
    check_join(thread);
    sock_client_free(client);
    sock_server_free(server);
}

TEST(a_signal_handler_cancels_recv) { check_handler(cancel_handler, DOTSOCK_E_CANCELLED); }
TEST(a_signal_handler_interrupts_recv) { check_handler(empty_handler, DOTSOCK_E_INTERRUPTED); }

TEST(a_handler_with_sa_restart_interrupts_too)
{
    struct sigaction action = {.sa_handler = empty_handler, .sa_flags = SA_RESTART};
    pthread_t self = pthread_self();
    sigaction(SIGUSR1, &action, NULL);
    client = new_client(DOTSOCK_UNIX, "e", NULL);
    CHECK_OK(sock_client_open(client));
    pthread_t thread = check_thread(kill_often, &self);
    CHECK_STATUS(sock_client_recv(client, -1, &message), DOTSOCK_E_INTERRUPTED);
    __atomic_store_n(&returned, 1, __ATOMIC_SEQ_CST);
    check_join(thread);
    sock_client_free(client);
}
