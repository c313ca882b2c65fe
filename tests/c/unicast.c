/* Unicast: to one client, and to nobody else. */
#include "peer.h"

TEST(only_the_one_that_was_meant)
{
    sock_server *server = start_server("e", NULL);
    sock_client *one = join("e", NULL);
    wait_clients(server, 1);
    const char *first = client_id(server, 0);
    sock_client *two = join("e", NULL);
    wait_clients(server, 2);
    CHECK_OK(sock_send_json(server, DOTSOCK_DATA, numbered(1), first));
    SEND(server, 2);
    EXPECT_NUMBER(one, 1);
    EXPECT_NUMBER(one, 2);
    EXPECT_NUMBER(two, 2);
    EXPECT_NOTHING(two);
    CHECK_INT(stat_of(server, "messages_sent"), 3);
    sock_client_free(one);
    sock_client_free(two);
    sock_server_free(server);
}

TEST(in_all_four_forms)
{
    sock_server *server = start_server("e", NULL);
    sock_client *client = join("e", NULL);
    wait_clients(server, 1);
    const char *id = client_id(server, 0);
    sock_message *message = sock_message_from_json("e", DOTSOCK_DATA, numbered(1));
    sock_payload *payload = sock_payload_new();
    CHECK_OK(sock_payload_set_int(payload, "/n", 4));
    CHECK_OK(sock_send(server, message, id));
    CHECK_OK(sock_send_data(server, DOTSOCK_CONTROL, "\x81\xa1n\x02", 4, id));
    CHECK_OK(sock_send_json(server, DOTSOCK_ERROR, numbered(3), id));
    CHECK_OK(sock_send_payload(server, DOTSOCK_DATA, payload, id));
    static const int types[] = {DOTSOCK_DATA, DOTSOCK_CONTROL, DOTSOCK_ERROR, DOTSOCK_DATA};
    for (int n = 1; n <= 4; n++) {
        sock_message *got = take(client);
        CHECK_INT(number_of(got), n);
        CHECK_INT(sock_message_type(got), types[n - 1]);
        CHECK_STR(sock_message_event_name(got), "e");
        sock_message_free(got);
    }
    sock_payload_free(payload);
    sock_message_free(message);
    sock_client_free(client);
    sock_server_free(server);
}

TEST(nobody_with_that_id)
{
    sock_server *server = start_server("e", NULL);
    CHECK_STATUS(sock_send_json(server, DOTSOCK_DATA, "{}", "nobody"), DOTSOCK_E_NO_CLIENT);
    CHECK_CONTAINS(sock_last_error(), "nobody");
    sock_client *client = join("e", NULL);
    wait_clients(server, 1);
    char gone[64];
    snprintf(gone, sizeof gone, "%s", client_id(server, 0));
    CHECK_STATUS(sock_send_json(server, DOTSOCK_DATA, "{}", "nobody"), DOTSOCK_E_NO_CLIENT);
    sock_client_free(client);
    wait_clients(server, 0);
    CHECK_STATUS(sock_send_json(server, DOTSOCK_DATA, "{}", gone), DOTSOCK_E_NO_CLIENT);
    CHECK_INT(sock_server_queue_size(server), 0); /* a unicast never goes to the backlog */
    client = join("e", NULL);
    wait_clients(server, 1);
    CHECK(strcmp(client_id(server, 0), gone) != 0); /* an id is never used again */
    CHECK_STATUS(sock_send_json(server, DOTSOCK_DATA, "{}", gone), DOTSOCK_E_NO_CLIENT);
    EXPECT_NOTHING(client);
    sock_client_free(client);
    sock_server_free(server);
}

TEST(what_is_wrong_with_the_message_is_said_first_or_last_but_said)
{
    sock_server *server = start_server("e", "max_message_size", "1000", NULL);
    sock_client *client = join("e", NULL);
    wait_clients(server, 1);
    CHECK_STATUS(send_padded(server, 1, 2000, client_id(server, 0)), DOTSOCK_E_MESSAGE);
    CHECK_CONTAINS(sock_last_error(), "1000");
    CHECK_STATUS(send_padded(server, 1, 2000, NULL), DOTSOCK_E_MESSAGE);
    CHECK_STATUS(sock_send_json(server, DOTSOCK_DATA, "[]", NULL), DOTSOCK_E_MESSAGE);
    CHECK_STATUS(sock_send_data(server, DOTSOCK_DATA, "\x90", 1, NULL), DOTSOCK_E_MESSAGE);
    SEND(server, 2);
    EXPECT_NUMBER(client, 2);
    sock_client_free(client);
    sock_server_free(server);
}

TEST(disconnecting_one_client)
{
    struct record record = RECORD;
    sock_server *server = new_server(DOTSOCK_UNIX, "e", NULL);
    record_hooks(server, &record);
    CHECK_OK(sock_server_start(server));
    sock_client *one = join("e", "auto_reconnect", "false", NULL);
    WAIT_FOR(record_has(&record, "+A"));
    sock_client *two = join("e", NULL);
    WAIT_FOR(record_has(&record, "+B"));
    const char *id = record.ids[0];
    CHECK_OK(sock_send_json(server, DOTSOCK_DATA, numbered(1), id));
    CHECK_OK(sock_server_disconnect_client(server, id));
    CHECK_STATUS(sock_server_disconnect_client(server, id), DOTSOCK_E_NO_CLIENT); /* unknown from then on */
    CHECK_STATUS(sock_send_json(server, DOTSOCK_DATA, "{}", id), DOTSOCK_E_NO_CLIENT);
    CHECK_NULL(sock_server_client(server, id), DOTSOCK_E_NO_CLIENT);
    EXPECT_NUMBER(one, 1); /* what was queued is delivered */
    sock_message *message = NULL;
    CHECK_STATUS(sock_client_recv(one, check_patience(), &message), DOTSOCK_E_CLOSED);
    WAIT_FOR(record_is(&record, "+A\n+B\n-A\n"));
    SEND(server, 2);
    EXPECT_NUMBER(two, 2);
    sock_client_free(one);
    sock_client_free(two);
    sock_server_free(server);
}
