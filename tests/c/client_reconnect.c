/* Automatic reconnection. */
#include "peer.h"

#define QUICK "reconnect_delay", "0.01", "reconnect_max_delay", "0.05"

TEST(a_server_restart_goes_unnoticed)
{
    sock_server *server = start_server("e", NULL);
    sock_client *client = join("e", QUICK, NULL);
    wait_clients(server, 1);
    for (int n = 0; n < 3; n++) {
        SEND(server, n);
        EXPECT_NUMBER(client, n);
        CHECK_OK(sock_server_stop(server));
        EXPECT_NOTHING(client); /* and connects again by itself */
        CHECK_OK(sock_server_start(server));
        SEND(server, 100 + n); /* waits in the backlog until it comes */
        EXPECT_NUMBER(client, 100 + n);
    }
    CHECK_INT(client_stat_of(client, "reconnects"), 3);
    CHECK_INT(sock_client_is_connected(client), 1);
    sock_client_free(client);
    sock_server_free(server);
}

TEST(a_client_before_its_server)
{
    sock_message *message = NULL;
    sock_client *client = new_client(DOTSOCK_UNIX, "e", QUICK, NULL);
    CHECK_OK(sock_client_open(client));
    CHECK(sock_client_fd(client) >= 0);
    CHECK_STATUS(sock_client_recv(client, 50, &message), DOTSOCK_E_TIMEOUT);
    sock_server *server = start_server("e", NULL);
    SEND(server, 1);
    EXPECT_NUMBER(client, 1);
    CHECK_OK(sock_client_open(client)); /* no harm */
    sock_client_free(client);
    sock_server_free(server);
}

TEST(open_makes_no_attempt_in_the_call)
{
    int listener = peer_listen("e");
    sock_client *client = new_client(DOTSOCK_UNIX, "e", NULL);
    CHECK_OK(sock_client_open(client));
    CHECK(!readable(listener));
    CHECK_INT(sock_client_is_connected(client), 0);
    EXPECT_NOTHING(client); /* this one does it */
    CHECK(readable(listener));
    sock_client_free(client);
    close(listener);
}

TEST(open_needs_what_it_cannot_do_without)
{
    sock_client *client = new_client(DOTSOCK_UNIX, "e", "auto_reconnect", "false", NULL);
    CHECK_STATUS(sock_client_open(client), DOTSOCK_E_STATE);
    sock_client_free(client);
    client = new_client(DOTSOCK_TCP, "e", "host", "localhost", "port", "9", NULL); /* a name to be looked up */
    CHECK_STATUS(sock_client_open(client), DOTSOCK_E_STATE);
    sock_client_free(client);
}

TEST(connect_that_failed_counts_as_told_to)
{
    sock_client *client = new_client(DOTSOCK_UNIX, "e", QUICK, NULL);
    CHECK_STATUS(sock_client_connect(client), DOTSOCK_E_CLOSED);
    sock_server *server = start_server("e", NULL);
    SEND(server, 1);
    EXPECT_NUMBER(client, 1);
    sock_client_free(client);
    sock_server_free(server);
}

TEST(disconnect_ends_it)
{
    sock_message *message = NULL;
    sock_server *server = start_server("e", NULL);
    sock_client *client = join("e", QUICK, NULL);
    wait_clients(server, 1);
    CHECK_OK(sock_client_disconnect(client));
    wait_clients(server, 0);
    CHECK_STATUS(sock_client_recv(client, 100, &message), DOTSOCK_E_CLOSED);
    CHECK_INT(stat_of(server, "connections"), 1);
    sock_client_free(client);
    sock_server_free(server);
}

TEST(report_loss_says_it_once_for_each)
{
    sock_message *message = NULL;
    sock_server *server = start_server("e", NULL);
    sock_client *client = join("e", QUICK, "report_loss", "true", NULL);
    wait_clients(server, 1);
    for (int n = 0; n < 2; n++) {
        SEND(server, n);
        CHECK_OK(sock_server_stop(server));
        EXPECT_NUMBER(client, n); /* what had arrived comes first */
        CHECK_STATUS(sock_client_recv(client, check_patience(), &message), DOTSOCK_E_CLOSED);
        CHECK_STATUS(sock_client_recv(client, 30, &message), DOTSOCK_E_TIMEOUT); /* goes on reconnecting */
        CHECK_OK(sock_server_start(server));
        SEND(server, 10 + n);
        EXPECT_NUMBER(client, 10 + n);
    }
    sock_client_free(client);
    sock_server_free(server);
}

TEST(attempts_are_used_up)
{
    sock_message *message = NULL;
    sock_server *server = start_server("e", NULL);
    sock_client *client = join("e", QUICK, "reconnect_max_attempts", "3", NULL);
    sock_server_free(server);
    CHECK_STATUS(sock_client_recv(client, check_patience(), &message), DOTSOCK_E_CLOSED);
    CHECK_STATUS(sock_client_recv(client, check_patience(), &message), DOTSOCK_E_CLOSED);
    CHECK_STATUS(sock_client_send_json(client, DOTSOCK_DATA, "{}"), DOTSOCK_E_CLOSED);
    server = start_server("e", NULL);
    CHECK_STATUS(sock_client_recv(client, 50, &message), DOTSOCK_E_CLOSED); /* until the next connect */
    CHECK_OK(sock_client_connect(client));
    wait_clients(server, 1);
    SEND(server, 1);
    EXPECT_NUMBER(client, 1);
    sock_client_free(client);
    sock_server_free(server);
}

TEST(send_connects_again_first)
{
    sock_server *server = start_server("e", NULL);
    sock_client *client = join("e", QUICK, NULL);
    wait_clients(server, 1);
    CHECK_OK(sock_server_stop(server));
    CHECK_OK(sock_server_start(server));
    WAIT_FOR(!sock_client_is_connected(client) || stat_of(server, "clients") == 1);
    CHECK_OK(sock_client_send_json(client, DOTSOCK_DATA, numbered(1)));
    WAIT_FOR(stat_of(server, "messages_received") == 1);
    CHECK_INT(client_stat_of(client, "reconnects"), 1);
    sock_client_free(client);
    sock_server_free(server);
}

TEST(send_gives_up_after_its_time)
{
    sock_server *server = start_server("e", NULL);
    sock_client *client = join("e", QUICK, "default_timeout", "0.2", NULL);
    sock_server_free(server);
    WAIT_FOR(!sock_client_is_connected(client));
    int64_t before = check_now();
    CHECK_STATUS(sock_client_send_json(client, DOTSOCK_DATA, "{}"), DOTSOCK_E_TIMEOUT);
    CHECK(check_now() - before >= 150);
    server = start_server("e", NULL);
    CHECK_OK(sock_client_send_json(client, DOTSOCK_DATA, "{}"));
    WAIT_FOR(stat_of(server, "messages_received") == 1); /* the one that was refused never came */
    sock_client_free(client);
    sock_server_free(server);
}

TEST(what_had_arrived_on_the_old_connection_stays_receivable)
{
    sock_message *message = NULL;
    sock_server *server = start_server("e", NULL);
    sock_client *client = join("e", QUICK, "report_loss", "true", NULL);
    wait_clients(server, 1);
    SEND(server, 1);
    SEND(server, 2);
    CHECK_OK(sock_server_stop(server));
    CHECK_OK(sock_server_start(server));
    CHECK_OK(sock_client_send_json(client, DOTSOCK_DATA, "{}")); /* connects anew */
    wait_clients(server, 1);
    WAIT_FOR(stat_of(server, "messages_received") == 1);
    SEND(server, 3);
    EXPECT_NUMBER(client, 1);
    EXPECT_NUMBER(client, 2);
    CHECK_STATUS(sock_client_recv(client, check_patience(), &message), DOTSOCK_E_CLOSED); /* between the two */
    EXPECT_NUMBER(client, 3);
    sock_client_free(client);
    sock_server_free(server);
}

/* Attempts become rarer: an absent server is not asked a thousand times a second. */
TEST(attempts_are_paced)
{
    sock_message *message = NULL;
    int listener = peer_listen("e"), accepted = 0;
    sock_client *client = join("e", "reconnect_delay", "0.05", "reconnect_max_delay", "0.1", NULL);
    int64_t until = check_now() + 500;
    while (check_now() < until) { /* every connection is closed at once */
        struct pollfd p = {.fd = listener, .events = POLLIN};
        if (poll(&p, 1, 0) == 1) {
            close(peer_accept(listener));
            accepted++;
        }
        CHECK_STATUS(sock_client_recv(client, 2, &message), DOTSOCK_E_TIMEOUT);
    }
    CHECK(accepted >= 3 && accepted <= 14); /* 500 ms: at once, then every 50 to 120 */
    sock_client_free(client);
    close(listener);
}

/* While `client_queue_size` bytes wait to be taken there is no place for what later connections
 * brought: it is dropped, and the receiver is told how much that was, and where. */
TEST(what_a_full_client_finds_at_the_end_of_a_connection_is_announced_as_missed)
{
    int listener = peer_listen("e");
    sock_client *client = join("e", "client_queue_size", "100", NULL);
    int peer = peer_accept(listener), next = 1;
    for (int lost = 0; lost < 3; lost++) {
        for (int n = 0; n <= lost; n++)
            peer_send_json(peer, "e", numbered(next++));
        close(peer);
        CHECK_OK(sock_client_send_json(client, DOTSOCK_DATA, "{}")); /* connects again */
        peer = peer_accept(listener);
    }
    peer_send_json(peer, "e", numbered(next));
    EXPECT_NUMBER(client, 1);
    sock_message *notice = take(client);
    CHECK_INT(sock_message_type(notice), DOTSOCK_CONTROL);
    CHECK_INT(missed_count(notice), next - 2);
    sock_message_free(notice);
    EXPECT_NUMBER(client, next);
    close(peer);
    close(listener);
    sock_client_free(client);
}

/* That the client was full when it connected is nothing to a message that comes once it is not. */
TEST(what_comes_once_everything_was_taken_is_not_missed)
{
    int listener = peer_listen("e");
    sock_client *client = join("e", "client_queue_size", "100", NULL);
    int peer = peer_accept(listener);
    peer_send_json(peer, "e", numbered(1));
    close(peer);
    CHECK_OK(sock_client_send_json(client, DOTSOCK_DATA, "{}")); /* connects again, with a full inbox */
    peer = peer_accept(listener);
    EXPECT_NUMBER(client, 1);
    peer_send_json(peer, "e", numbered(2));
    EXPECT_NUMBER(client, 2);
    peer_send_json(peer, "e", numbered(3));
    close(peer);
    CHECK_OK(sock_client_send_json(client, DOTSOCK_DATA, "{}"));
    EXPECT_NUMBER(client, 3);
    CHECK_INT(client_stat_of(client, "messages_received"), 3);
    sock_client_free(client);
    close(listener);
}
