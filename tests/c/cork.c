/* Cork: sends collect and are written together. */
#include "peer.h"

TEST(a_corked_server_collects)
{
    sock_server *server = start_server("e", NULL);
    sock_client *client = join("e", NULL);
    wait_clients(server, 1);
    CHECK_OK(sock_server_cork(server));
    CHECK_OK(sock_server_cork(server)); /* does not nest */
    for (int n = 0; n < 3; n++)
        SEND(server, n);
    CHECK_INT(stat_of(server, "messages_sent"), 0);
    EXPECT_NOTHING(client);
    CHECK_OK(sock_server_uncork(server));
    for (int n = 0; n < 3; n++)
        EXPECT_NUMBER(client, n);
    SEND(server, 3); /* as ever */
    EXPECT_NUMBER(client, 3);
    CHECK_OK(sock_server_uncork(server)); /* harmless */
    sock_client_free(client);
    sock_server_free(server);
}

TEST(not_more_than_64_kib_collect)
{
    sock_server *server = start_server("e", NULL);
    sock_client *client = join("e", NULL);
    wait_clients(server, 1);
    CHECK_OK(sock_server_cork(server));
    for (int n = 0; n < 10; n++)
        CHECK_OK(send_padded(server, n, 20000, NULL));
    for (int n = 0; n < 6; n++) { /* at most three of the ten are still held back */
        sock_message *message = take(client);
        CHECK_INT(number_of(message), n);
        sock_message_free(message);
    }
    CHECK_OK(sock_server_uncork(server));
    for (int n = 6; n < 10; n++) {
        sock_message *message = take(client);
        CHECK_INT(number_of(message), n);
        sock_message_free(message);
    }
    sock_client_free(client);
    sock_server_free(server);
}

TEST(unicast_and_broadcast_keep_their_order)
{
    sock_server *server = start_server("e", NULL);
    sock_client *client = join("e", NULL);
    wait_clients(server, 1);
    const char *id = client_id(server, 0);
    CHECK_OK(sock_server_cork(server));
    for (int n = 0; n < 6; n++)
        CHECK_OK(sock_send_json(server, DOTSOCK_DATA, numbered(n), n % 2 ? id : NULL));
    CHECK_OK(sock_server_uncork(server));
    for (int n = 0; n < 6; n++)
        EXPECT_NUMBER(client, n);
    sock_client_free(client);
    sock_server_free(server);
}

TEST(stop_lifts_it)
{
    sock_server *server = start_server("e", NULL);
    sock_client *client = join("e", NULL);
    wait_clients(server, 1);
    CHECK_OK(sock_server_cork(server));
    SEND(server, 1);
    CHECK_OK(sock_server_stop(server));
    EXPECT_NUMBER(client, 1);
    CHECK_OK(sock_server_start(server));
    SEND(server, 2); /* not held back any more */
    EXPECT_NUMBER(client, 2);
    sock_client_free(client);
    sock_server_free(server);
}

TEST(next_writes_and_leaves_it_on)
{
    sock_event *event = NULL;
    sock_server *server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_OK(sock_server_open(server));
    sock_client *client = join("e", NULL);
    EXPECT_EVENT(server, DOTSOCK_CLIENT_CONNECTED);
    CHECK_OK(sock_server_cork(server));
    for (int n = 0; n < 3; n++) {
        SEND(server, n);
        EXPECT_NOTHING(client);
        CHECK_STATUS(sock_server_next(server, 0, &event), DOTSOCK_E_TIMEOUT);
        EXPECT_NUMBER(client, n);
    }
    sock_client_free(client);
    sock_server_free(server);
}

static void answer_twice(void *ctx, sock_server *server, const char *id, const sock_message *message)
{
    (void)ctx;
    CHECK_OK(sock_send(server, message, id));
    CHECK_OK(sock_send(server, message, NULL));
}

TEST(the_end_of_a_hook_writes)
{
    sock_server *server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_OK(sock_server_on_message_received(server, answer_twice, NULL, NULL));
    CHECK_OK(sock_server_start(server));
    CHECK_OK(sock_server_cork(server));
    sock_client *client = join("e", NULL);
    for (int n = 0; n < 2; n++) {
        CHECK_OK(sock_client_send_json(client, DOTSOCK_DATA, numbered(n)));
        EXPECT_NUMBER(client, n);
        EXPECT_NUMBER(client, n);
    }
    sock_client_free(client);
    sock_server_free(server);
}

/* ---- the client ---- */

TEST(a_corked_client_collects)
{
    sock_message *message = NULL;
    sock_server *server = start_server("e", NULL);
    sock_client *client = join("e", NULL);
    CHECK_OK(sock_client_cork(client));
    for (int n = 0; n < 3; n++)
        CHECK_OK(sock_client_send_json(client, DOTSOCK_DATA, numbered(n)));
    CHECK_INT(client_stat_of(client, "bytes_sent"), 0);
    CHECK_OK(sock_client_uncork(client));
    WAIT_FOR(stat_of(server, "messages_received") == 3);
    CHECK_OK(sock_client_cork(client));
    CHECK_OK(sock_client_send_json(client, DOTSOCK_DATA, numbered(3)));
    CHECK_STATUS(sock_client_recv(client, 0, &message), DOTSOCK_E_TIMEOUT); /* writes, and leaves it on */
    WAIT_FOR(stat_of(server, "messages_received") == 4);
    uint64_t before = client_stat_of(client, "bytes_sent");
    CHECK_OK(sock_client_send_json(client, DOTSOCK_DATA, numbered(4)));
    CHECK_INT(client_stat_of(client, "bytes_sent"), before);
    CHECK_OK(sock_client_disconnect(client)); /* lifts it */
    WAIT_FOR(stat_of(server, "messages_received") == 5);
    sock_client_free(client);
    sock_server_free(server);
}

TEST(a_corked_clients_messages_survive_a_lost_connection)
{
    sock_server *server = start_server("e", NULL);
    sock_client *client = join("e", "reconnect_delay", "0.01", NULL);
    wait_clients(server, 1);
    CHECK_OK(sock_client_cork(client));
    CHECK_OK(sock_client_send_json(client, DOTSOCK_DATA, numbered(1)));
    CHECK_OK(sock_server_stop(server));
    struct record record = RECORD;
    record_hooks(server, &record);
    CHECK_OK(sock_server_start(server));
    CHECK_OK(sock_client_send_json(client, DOTSOCK_DATA, numbered(2)));
    CHECK_OK(sock_client_uncork(client)); /* what has not left stays first in line, on a new connection too */
    WAIT_FOR(record_is(&record, "+A\nA {\"n\":1}\nA {\"n\":2}\n"));
    sock_client_free(client);
    sock_server_free(server);
}
