/* A peer that vanishes never raises SIGPIPE, whose default is to kill the process. */
#include "peer.h"

static void default_sigpipe(void)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigset_t set;
    CHECK(sigaction(SIGPIPE, &action, NULL) == 0);
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    CHECK(pthread_sigmask(SIG_UNBLOCK, &set, NULL) == 0);
}

static void check_server(int transport, const char *policy)
{
    default_sigpipe();
    for (int round = 0; round < 10; round++) {
        sock_server *server = started(new_server(transport, "e", "slow_client", policy, NULL));
        int peer = transport == DOTSOCK_UNIX ? peer_connect("e") : peer_connect_tcp(sock_server_port(server));
        wait_clients(server, 1);
        close(peer);
        for (int n = 0; n < 20; n++)
            CHECK_OK(send_padded(server, n, 10000, NULL));
        wait_clients(server, 0);
        sock_server_free(server);
    }
}

TEST(a_server_whose_client_vanishes) { check_server(DOTSOCK_UNIX, "drop_oldest"); }
TEST(a_server_whose_tcp_client_vanishes) { check_server(DOTSOCK_TCP, "drop_oldest"); }
TEST(a_server_that_blocks) { check_server(DOTSOCK_UNIX, "block"); }

TEST(a_server_with_unsent_messages)
{
    default_sigpipe();
    sock_server *server = start_server("e", NULL);
    int peer = peer_connect("e");
    wait_clients(server, 1);
    for (int n = 0; n < 60; n++) /* more than the kernel takes: the engine writes the rest */
        CHECK_OK(send_padded(server, n, 50000, NULL));
    close(peer);
    wait_clients(server, 0);
    sock_server_free(server);
}

TEST(a_client_whose_server_vanishes)
{
    default_sigpipe();
    for (int round = 0; round < 10; round++) {
        int listener = peer_listen("e"), status = DOTSOCK_OK;
        sock_client *client = join("e", "auto_reconnect", "false", NULL);
        close(peer_accept(listener));
        for (int n = 0; n < 20 && status == DOTSOCK_OK; n++)
            status = sock_client_send_json(client, DOTSOCK_DATA, "{}");
        CHECK_INT(status, DOTSOCK_E_CLOSED);
        CHECK_INT(sock_last_status(), DOTSOCK_E_CLOSED);
        close(listener);
        sock_client_free(client);
    }
}

static int disposition_unchanged(void)
{
    struct sigaction action;
    return sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL;
}

TEST(the_disposition_is_the_programs)
{
    default_sigpipe();
    sock_server *server = start_server("e", NULL);
    sock_client *client = join("e", NULL);
    CHECK(disposition_unchanged());
    sock_client_free(client);
    sock_server_free(server);
    CHECK(disposition_unchanged());
}
