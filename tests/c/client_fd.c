/* The client's descriptor: readable for as long as recv(0) has something to do. */
#include "peer.h"

TEST(messages)
{
    sock_server *server = start_server("e", NULL);
    sock_client *client = new_client(DOTSOCK_UNIX, "e", NULL);
    CHECK_INT(sock_client_fd(client), -1);
    CHECK_OK(sock_client_connect(client));
    int fd = sock_client_fd(client);
    CHECK(fd >= 0);
    wait_clients(server, 1);
    CHECK(!readable(fd));
    for (int n = 0; n < 3; n++) /* may all be read from the socket at once */
        SEND(server, n);
    WAIT_FOR(sock_client_buffer_size(client) == 3);
    for (int n = 0; n < 3; n++) {
        CHECK(readable(fd));
        CHECK(readable(fd)); /* level-triggered: still */
        CHECK_INT(sock_client_has_next(client), 1);
        EXPECT_NUMBER(client, n);
    }
    CHECK_INT(sock_client_has_next(client), 0);
    CHECK(!readable(fd));
    sock_client_free(client);
    sock_server_free(server);
}

TEST(half_a_frame_is_nothing_to_do_once_it_was_read)
{
    int listener = peer_listen("e");
    sock_client *client = join("e", NULL);
    int peer = peer_accept(listener), fd = sock_client_fd(client);
    struct bytes frame = {0};
    put_json_frame(&frame, "e", DOTSOCK_DATA, numbered(1));
    peer_send(peer, frame.at, 20);
    WAIT_FOR(readable(fd));
    EXPECT_NOTHING(client);
    CHECK(!readable(fd));
    peer_send(peer, frame.at + 20, frame.size - 20);
    WAIT_FOR(readable(fd));
    EXPECT_NUMBER(client, 1);
    CHECK(!readable(fd));
    free(frame.at);
    close(peer);
    close(listener);
    sock_client_free(client);
}

TEST(half_a_frame_behind_a_whole_one_has_its_time)
{
    int listener = peer_listen("e");
    sock_client *client = join("e", "frame_timeout", "0.1", "auto_reconnect", "false", NULL);
    sock_message *message = NULL;
    int peer = peer_accept(listener), fd = sock_client_fd(client);
    struct bytes frames = {0};
    put_json_frame(&frames, "e", DOTSOCK_DATA, numbered(1));
    put_json_frame(&frames, "e", DOTSOCK_DATA, numbered(2));
    peer_send(peer, frames.at, frames.size - 5);
    WAIT_FOR(readable(fd));
    EXPECT_NUMBER(client, 1);
    WAIT_FOR(readable(fd)); /* although nobody has asked for the second one yet */
    CHECK_STATUS(sock_client_recv(client, 0, &message), DOTSOCK_E_CLOSED);
    free(frames.at);
    close(peer);
    close(listener);
    sock_client_free(client);
}

TEST(the_end_is_said_once)
{
    sock_message *message = NULL;
    sock_server *server = start_server("e", NULL);
    sock_client *client = join("e", "auto_reconnect", "false", NULL);
    int fd = sock_client_fd(client);
    sock_server_free(server);
    WAIT_FOR(readable(fd));
    CHECK_STATUS(sock_client_recv(client, 0, &message), DOTSOCK_E_CLOSED);
    CHECK(!readable(fd));
    CHECK_STATUS(sock_client_recv(client, 0, &message), DOTSOCK_E_CLOSED);
    CHECK(!readable(fd));
    server = start_server("e", NULL);
    CHECK_OK(sock_client_connect(client));
    CHECK_INT(sock_client_fd(client), fd); /* the same across connections */
    wait_clients(server, 1);
    SEND(server, 1);
    WAIT_FOR(readable(fd));
    EXPECT_NUMBER(client, 1);
    CHECK_OK(sock_client_disconnect(client));
    CHECK_INT(sock_client_fd(client), fd);
    sock_client_free(client);
    sock_server_free(server);
}

TEST(a_refusal_is_said_once)
{
    sock_message *message = NULL;
    sock_server *server = start_server("e", "max_connections", "1", NULL);
    sock_client *one = join("e", NULL);
    wait_clients(server, 1);
    sock_client *two = new_client(DOTSOCK_UNIX, "e", "auto_reconnect", "false", NULL);
    if (sock_client_connect(two) == DOTSOCK_OK) {
        int fd = sock_client_fd(two);
        WAIT_FOR(readable(fd));
        int status;
        while ((status = sock_client_recv(two, 0, &message)) == DOTSOCK_E_TIMEOUT)
            WAIT_FOR(readable(fd));
        CHECK_INT(status, DOTSOCK_E_MAX_CONNECTIONS);
        CHECK(!readable(fd));
    }
    sock_client_free(two);
    sock_client_free(one);
    sock_server_free(server);
}

/* An event loop that knows nothing but the descriptor. */
TEST(due_attempts_wake_the_loop_and_nothing_else_does)
{
    sock_message *message = NULL;
    sock_client *client = new_client(DOTSOCK_UNIX, "e", "reconnect_delay", "0.05", "reconnect_max_delay", "0.1", NULL);
    CHECK_OK(sock_client_open(client));
    struct pollfd p = {.fd = sock_client_fd(client), .events = POLLIN};
    CHECK(readable(p.fd)); /* the first attempt is due at once */
    int wakes = 0;
    for (int64_t until = check_now() + 400; check_now() < until;) {
        if (poll(&p, 1, (int)(until - check_now() > 0 ? until - check_now() : 0)) != 1)
            continue;
        CHECK_STATUS(sock_client_recv(client, 0, &message), DOTSOCK_E_TIMEOUT);
        wakes++;
    }
    CHECK(wakes >= 2 && wakes <= 20); /* paced by the backoff, never spinning */
    sock_server *server = start_server("e", NULL);
    SEND(server, 1);
    for (;;) {
        CHECK_INT(poll(&p, 1, check_patience()), 1);
        int status = sock_client_recv(client, 0, &message);
        if (status == DOTSOCK_OK)
            break;
        CHECK_INT(status, DOTSOCK_E_TIMEOUT);
    }
    CHECK_INT(number_of(message), 1);
    sock_message_free(message);
    CHECK(!readable(p.fd));
    sock_client_free(client);
    sock_server_free(server);
}

enum { SIZE = 50000 };

TEST(the_rest_of_a_frame_that_can_be_written)
{
    int listener = peer_listen("e"), count = 0;
    sock_client *client = join("e", "default_timeout", "0.05", NULL);
    int peer = peer_accept(listener), fd = sock_client_fd(client);
    sock_message *message = NULL;
    while (client_send_padded(client, count, SIZE) == DOTSOCK_OK)
        CHECK(++count < 1000);
    CHECK(!readable(fd)); /* no room, nothing to do */
    char *bytes = malloc(1 << 20);
    size_t total = 0;
    uint64_t expected = 0;
    for (;;) { /* read all, and let the loop write the rest */
        struct pollfd p[2] = {{.fd = peer, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
        if (poll(p, 2, 100 * check_slow()) == 0)
            break;
        if (p[0].revents) {
            ssize_t got = recv(peer, bytes, 1 << 20, 0);
            CHECK(got > 0);
            total += (size_t)got;
        }
        if (p[1].revents)
            CHECK_STATUS(sock_client_recv(client, 0, &message), DOTSOCK_E_TIMEOUT);
    }
    expected = client_stat_of(client, "bytes_sent");
    CHECK_INT(total, expected);
    CHECK_INT(client_stat_of(client, "messages_sent"), count);
    free(bytes);
    close(peer);
    close(listener);
    sock_client_free(client);
}
