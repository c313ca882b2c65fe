/* retain_last: who connects is told the newest broadcast data message. */
#include "helpers.h"

TEST(every_client_is_told_the_newest)
{
    sock_server *server = start_server("e", "retain_last", "true", NULL);
    sock_client *one = join("e", NULL);
    wait_clients(server, 1);
    SEND(server, 1);
    SEND(server, 2);
    EXPECT_NUMBER(one, 1);
    EXPECT_NUMBER(one, 2);
    for (int i = 0; i < 2; i++) {
        sock_client *late = join("e", NULL);
        EXPECT_NUMBER(late, 2);
        EXPECT_NOTHING(late);
        sock_client_free(late);
    }
    EXPECT_NOTHING(one);
    sock_client_free(one);
    sock_server_free(server);
}

TEST(only_data_and_only_broadcasts_are_kept)
{
    sock_server *server = start_server("e", "retain_last", "true", NULL);
    sock_client *one = join("e", NULL);
    wait_clients(server, 1);
    SEND(server, 1);
    CHECK_OK(sock_send_json(server, DOTSOCK_ERROR, numbered(2), NULL));
    CHECK_OK(sock_send_json(server, DOTSOCK_CONTROL, numbered(3), NULL));
    CHECK_OK(sock_send_json(server, DOTSOCK_DATA, numbered(4), client_id(server, 0)));
    sock_client *late = join("e", NULL);
    EXPECT_NUMBER(late, 1);
    wait_clients(server, 2);
    SEND(server, 5);
    EXPECT_NUMBER(late, 5);
    sock_client_free(one);
    sock_client_free(late);
    sock_server_free(server);
}

TEST(it_comes_once_and_in_its_place_among_the_backlog)
{
    sock_server *server = start_server("e", "retain_last", "true", NULL);
    SEND(server, 1);
    SEND(server, 2);
    CHECK_OK(sock_send_json(server, DOTSOCK_CONTROL, numbered(3), NULL));
    sock_client *one = join("e", NULL);
    for (int n = 1; n <= 3; n++) /* 2 is both: retained and in the backlog */
        EXPECT_NUMBER(one, n);
    EXPECT_NOTHING(one);
    sock_client_free(one);
    wait_clients(server, 0);

    CHECK_OK(sock_send_json(server, DOTSOCK_ERROR, numbered(4), NULL)); /* a backlog younger than what is retained */
    sock_client *two = join("e", NULL);
    EXPECT_NUMBER(two, 2);
    EXPECT_NUMBER(two, 4);
    EXPECT_NOTHING(two);
    sock_client_free(two);
    sock_server_free(server);
}

TEST(it_outlives_stop_and_clear_queue)
{
    sock_server *server = start_server("e", "retain_last", "true", NULL);
    SEND(server, 1);
    CHECK_OK(sock_server_clear_queue(server));
    CHECK_INT(sock_server_queue_size(server), 0);
    CHECK_OK(sock_server_stop(server));
    CHECK_OK(sock_server_start(server));
    sock_client *client = join("e", NULL);
    EXPECT_NUMBER(client, 1);
    EXPECT_NOTHING(client);
    sock_client_free(client);
    sock_server_free(server);
}

TEST(it_survives_a_backlog_of_zero)
{
    sock_server *server = start_server("e", "retain_last", "true", "message_queue_size", "0", NULL);
    SEND(server, 1);
    sock_client *client = join("e", NULL);
    EXPECT_NUMBER(client, 1);
    sock_client_free(client);
    sock_server_free(server);
}

TEST(without_the_option_nothing_is_kept)
{
    sock_server *server = start_server("e", NULL);
    sock_client *one = join("e", NULL);
    wait_clients(server, 1);
    SEND(server, 1);
    sock_client *late = join("e", NULL);
    wait_clients(server, 2);
    SEND(server, 2);
    EXPECT_NUMBER(late, 2);
    sock_client_free(one);
    sock_client_free(late);
    sock_server_free(server);
}
