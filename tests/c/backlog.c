/* The backlog: what is sent while no client is connected. */
#include "peer.h"

TEST(the_first_client_gets_all_of_it_in_order)
{
    sock_server *server = start_server("e", NULL);
    for (int n = 0; n < 100; n++)
        SEND(server, n);
    CHECK_INT(sock_server_queue_size(server), 100);
    CHECK_INT(stat_of(server, "queued"), 100);
    CHECK_INT(stat_of(server, "messages_dropped"), 0);
    CHECK_INT(stat_of(server, "messages_sent"), 0);
    sock_client *one = join("e", NULL);
    wait_clients(server, 1);
    SEND(server, 100); /* behind the backlog */
    for (int n = 0; n <= 100; n++)
        EXPECT_NUMBER(one, n);
    WAIT_FOR(sock_server_queue_size(server) == 0);
    sock_client *two = join("e", NULL); /* it was delivered once */
    wait_clients(server, 2);
    SEND(server, 101);
    EXPECT_NUMBER(two, 101);
    sock_client_free(one);
    sock_client_free(two);
    sock_server_free(server);
}

TEST(the_oldest_are_dropped)
{
    sock_server *server = start_server("e", "message_queue_size", "3", NULL);
    for (int n = 0; n < 10; n++)
        SEND(server, n);
    CHECK_INT(sock_server_queue_size(server), 3);
    CHECK_INT(stat_of(server, "messages_dropped"), 7);
    sock_client *client = join("e", NULL);
    for (int n = 7; n < 10; n++)
        EXPECT_NUMBER(client, n);
    EXPECT_NOTHING(client);
    sock_client_free(client);
    sock_server_free(server);
}

TEST(a_size_of_zero_keeps_none)
{
    sock_server *server = start_server("e", "message_queue_size", "0", NULL);
    SEND(server, 1);
    CHECK_INT(sock_server_queue_size(server), 0);
    CHECK_INT(stat_of(server, "messages_dropped"), 1);
    sock_client *client = join("e", NULL);
    wait_clients(server, 1);
    SEND(server, 2);
    EXPECT_NUMBER(client, 2);
    sock_client_free(client);
    sock_server_free(server);
}

TEST(it_is_bounded_in_bytes_too)
{
    sock_server *server = start_server("e", "client_queue_size", "20000", NULL);
    for (int n = 0; n < 10; n++)
        CHECK_OK(send_padded(server, n, 8000, NULL));
    CHECK_INT(sock_server_queue_size(server), 2); /* what fits into 20,000 bytes */
    CHECK_INT(stat_of(server, "messages_dropped"), 8);
    sock_client *client = join("e", NULL);
    for (int n = 8; n < 10; n++) {
        sock_message *message = take(client);
        CHECK_INT(number_of(message), n);
        sock_message_free(message);
    }
    sock_client_free(client);
    sock_server_free(server);
}

TEST(clearing_it)
{
    sock_server *server = start_server("e", NULL);
    SEND(server, 1);
    SEND(server, 2);
    CHECK_OK(sock_server_clear_queue(server));
    CHECK_INT(sock_server_queue_size(server), 0);
    CHECK_INT(stat_of(server, "messages_dropped"), 0); /* what is cleared is not dropped */
    SEND(server, 3);
    sock_client *client = join("e", NULL);
    EXPECT_NUMBER(client, 3);
    sock_client_free(client);
    sock_server_free(server);
}

TEST(it_survives_a_stop)
{
    sock_server *server = start_server("e", NULL);
    SEND(server, 1);
    CHECK_OK(sock_server_stop(server));
    CHECK_INT(sock_server_queue_size(server), 1);
    CHECK_OK(sock_server_start(server));
    SEND(server, 2);
    sock_client *client = join("e", NULL);
    EXPECT_NUMBER(client, 1);
    EXPECT_NUMBER(client, 2);
    sock_client_free(client);
    CHECK_OK(sock_server_stop(server));
    CHECK_OK(sock_server_clear_queue(server)); /* running or not */
    sock_server_free(server);
}

TEST(when_the_last_client_has_gone_it_begins_again)
{
    sock_server *server = start_server("e", NULL);
    sock_client *client = join("e", NULL);
    wait_clients(server, 1);
    sock_client_free(client);
    wait_clients(server, 0);
    SEND(server, 1);
    CHECK_INT(sock_server_queue_size(server), 1);
    client = join("e", NULL);
    EXPECT_NUMBER(client, 1);
    sock_client_free(client);
    sock_server_free(server);
}

/* A broadcast that finds while writing that nobody is left goes to the backlog. Whether the sender
 * or the engine notices first is up to the scheduler; the message is there in the end. */
TEST(a_broadcast_to_a_client_that_has_just_left)
{
    for (int round = 0; round < 20; round++) {
        sock_server *server = start_server("e", NULL);
        sock_client *client = join("e", NULL);
        wait_clients(server, 1);
        sock_client_free(client);
        SEND(server, round);
        client = join("e", NULL);
        EXPECT_NUMBER(client, round);
        sock_client_free(client);
        sock_server_free(server);
    }
}

enum { LARGE = 100 * 1024, COUNT = 40 }; /* together more than any socket buffer */

TEST(a_backlog_larger_than_the_clients_queue)
{
    static const char *const policies[] = {"drop_oldest", "drop_newest", "disconnect", "block"};
    for (int i = 0; i < 4; i++) {
        sock_server *server = new_server(DOTSOCK_UNIX, "e", "slow_client", policies[i], NULL);
        CHECK_OK(sock_server_start(server));
        for (int n = 0; n < COUNT; n++)
            CHECK_OK(send_padded(server, n, LARGE, NULL));
        CHECK_INT(sock_server_queue_size(server), COUNT);
        sock_client *client = join("e", NULL);
        for (int n = 0; n < COUNT; n++) { /* handed over as room appears, whatever the policy */
            sock_message *message = take(client);
            CHECK_INT(number_of(message), n);
            sock_message_free(message);
        }
        WAIT_FOR(sock_server_queue_size(server) == 0);
        CHECK_INT(stat_of(server, "messages_dropped"), 0);
        sock_client_free(client);
        sock_server_free(server);
    }
}

TEST(what_the_first_leaves_untaken_waits_for_the_next)
{
    sock_server *server = start_server("e", NULL);
    for (int n = 0; n < COUNT; n++)
        CHECK_OK(send_padded(server, n, LARGE, NULL));
    int peer = peer_connect("e");
    sock_message *message = peer_next(peer);
    CHECK_INT(number_of(message), 0);
    sock_message_free(message);
    WAIT_FOR(sock_server_queue_size(server) < COUNT);
    CHECK(sock_server_queue_size(server) > 0); /* counts as queued */
    close(peer);
    wait_clients(server, 0);
    size_t left = sock_server_queue_size(server);
    CHECK(left > 0 && left < COUNT);
    CHECK_INT(stat_of(server, "queued"), left);
    sock_client *client = join("e", NULL);
    /* The rest, without a gap, to the end. A message that was only half in the old socket may be
     * with either side. */
    int first = -1;
    for (int n = COUNT - (int)left; n < COUNT; n++) {
        message = take(client);
        if (first < 0)
            first = number_of(message);
        CHECK_INT(number_of(message), first + n - (COUNT - (int)left));
        sock_message_free(message);
    }
    CHECK_INT(first, COUNT - (int)left);
    sock_client_free(client);
    sock_server_free(server);
}

TEST(messages_keep_their_type_name_and_time)
{
    sock_server *server = start_server("e", NULL);
    sock_message *sent = sock_message_from_json("another_event", DOTSOCK_ERROR, "{\"x\":1}");
    CHECK_OK(sock_send(server, sent, NULL));
    sock_client *client = join("e", NULL);
    sock_message *got = take(client);
    CHECK_STR(sock_message_event_name(got), "another_event");
    CHECK_INT(sock_message_type(got), DOTSOCK_ERROR);
    CHECK_INT(sock_message_timestamp_ms(got), sock_message_timestamp_ms(sent));
    sock_message_free(sent);
    sock_message_free(got);
    sock_client_free(client);
    sock_server_free(server);
}
