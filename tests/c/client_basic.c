/* The client: connecting, receiving, sending, its buffer, its getters. */
#include "peer.h"

static sock_client *once(const char *event) { return new_client(DOTSOCK_UNIX, event, "auto_reconnect", "false", NULL); }

TEST(nobody_there)
{
    sock_client *client = once("e");
    CHECK_STATUS(sock_client_connect(client), DOTSOCK_E_CLOSED);
    CHECK_INT(sock_last_os_error(), ENOENT);
    CHECK_CONTAINS(sock_last_error(), "e.sock");
    close(peer_listen("e")); /* a socket file without a server */
    CHECK_STATUS(sock_client_connect(client), DOTSOCK_E_CLOSED);
    CHECK_INT(sock_last_os_error(), ECONNREFUSED);
    CHECK_INT(sock_client_is_connected(client), 0);
    sock_client_free(client);
}

TEST(a_client_connects_when_told_to)
{
    sock_server *server = start_server("e", NULL);
    sock_client *client = new_client(DOTSOCK_UNIX, "e", NULL);
    sock_message *message = NULL;
    CHECK_STR(sock_client_event_name(client), "e");
    CHECK_STR(sock_client_address(client), "");
    CHECK_INT(sock_client_server_uid(client), -1);
    CHECK_INT(sock_client_server_pid(client), -1);
    CHECK_INT(sock_client_is_connected(client), 0);
    CHECK_INT(sock_client_fd(client), -1);
    CHECK_STATUS(sock_client_recv(client, 0, &message), DOTSOCK_E_CLOSED); /* never told to */
    CHECK_STATUS(sock_client_send_json(client, DOTSOCK_DATA, "{}"), DOTSOCK_E_CLOSED);
    CHECK_OK(sock_client_connect(client));
    CHECK_OK(sock_client_connect(client)); /* connected already */
    CHECK_STR(sock_client_address(client), sock_server_address(server));
    CHECK_INT(sock_client_server_uid(client), getuid());
    CHECK_INT(sock_client_server_pid(client), getpid());
    CHECK_INT(sock_client_is_connected(client), 1);
    wait_clients(server, 1);
    CHECK_OK(sock_client_disconnect(client));
    CHECK_OK(sock_client_disconnect(client)); /* harmless */
    CHECK_STR(sock_client_address(client), "");
    CHECK_INT(sock_client_server_pid(client), -1);
    CHECK_INT(sock_client_is_connected(client), 0);
    CHECK_STATUS(sock_client_recv(client, -1, &message), DOTSOCK_E_CLOSED);
    CHECK_STATUS(sock_client_send_json(client, DOTSOCK_DATA, "{}"), DOTSOCK_E_CLOSED);
    wait_clients(server, 0);
    CHECK_OK(sock_client_connect(client));
    wait_clients(server, 1);
    sock_client_free(client);
    sock_server_free(server);
}

TEST(no_answer_in_time)
{
    struct sockaddr_un address = peer_address("e");
    int listener = peer_listen("e");
    CHECK(listen(listener, 0) == 0);
    for (;;) { /* until its queue is full */
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0 && errno == EAGAIN)
            break;
    }
    sock_client *client = new_client(DOTSOCK_UNIX, "e", "default_timeout", "0.15", NULL);
    int64_t before = check_now();
    CHECK_STATUS(sock_client_connect(client), DOTSOCK_E_TIMEOUT);
    CHECK(check_now() - before >= 140);
    sock_client_free(client);
    close(listener);
}

TEST(timeouts_of_recv)
{
    sock_message *message = NULL;
    sock_server *server = start_server("e", NULL);
    sock_client *client = join("e", NULL);
    CHECK_STATUS(sock_client_recv(client, 0, &message), DOTSOCK_E_TIMEOUT);
    int64_t before = check_now();
    CHECK_STATUS(sock_client_recv(client, 60, &message), DOTSOCK_E_TIMEOUT);
    CHECK(check_now() - before >= 55);
    CHECK(!message);
    sock_client_free(client);
    sock_server_free(server);
}

TEST(sending_in_all_four_forms)
{
    sock_server *server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_OK(sock_server_open(server));
    sock_client *client = join("e", NULL);
    EXPECT_EVENT(server, DOTSOCK_CLIENT_CONNECTED);
    sock_message *message = sock_message_from_json("other_name", DOTSOCK_DATA, numbered(1));
    sock_payload *payload = sock_payload_new();
    CHECK_OK(sock_payload_set_int(payload, "/n", 4));
    CHECK_OK(sock_client_send(client, message));
    CHECK_OK(sock_client_send_data(client, DOTSOCK_CONTROL, "\x81\xa1n\x02", 4));
    CHECK_OK(sock_client_send_json(client, DOTSOCK_ERROR, numbered(3)));
    CHECK_OK(sock_client_send_payload(client, DOTSOCK_DATA, payload));
    static const int types[] = {DOTSOCK_DATA, DOTSOCK_CONTROL, DOTSOCK_ERROR, DOTSOCK_DATA};
    for (int n = 1; n <= 4; n++) {
        sock_event *event = next_event(server);
        const sock_message *got = sock_event_message(event);
        CHECK_INT(number_of(got), n);
        CHECK_INT(sock_message_type(got), types[n - 1]);
        CHECK_STR(sock_message_event_name(got), n == 1 ? "other_name" : "e");
        sock_event_free(event);
    }
    CHECK_STATUS(sock_client_send_json(client, DOTSOCK_DATA, "[]"), DOTSOCK_E_MESSAGE);
    CHECK_STATUS(sock_client_send_data(client, DOTSOCK_DATA, "\xc0", 1), DOTSOCK_E_MESSAGE);
    sock_payload_free(payload);
    sock_message_free(message);
    sock_client_free(client);
    sock_server_free(server);
}

TEST(the_buffer)
{
    sock_server *server = start_server("e", NULL);
    sock_client *client = join("e", NULL);
    wait_clients(server, 1);
    CHECK_INT(sock_client_buffer_size(client), 0);
    for (int n = 0; n < 5; n++)
        SEND(server, n);
    WAIT_FOR(sock_client_buffer_size(client) == 5);
    EXPECT_NUMBER(client, 0);
    CHECK_INT(sock_client_buffer_size(client), 4);
    CHECK_OK(sock_client_clear_buffer(client));
    CHECK_INT(sock_client_buffer_size(client), 0);
    EXPECT_NOTHING(client);
    SEND(server, 5);
    EXPECT_NUMBER(client, 5);
    sock_client_free(client);
    sock_server_free(server);
}

TEST(clearing_leaves_a_frame_that_has_begun)
{
    int listener = peer_listen("e");
    sock_client *client = join("e", NULL);
    int peer = peer_accept(listener);
    struct bytes frames = {0};
    put_json_frame(&frames, "e", DOTSOCK_DATA, numbered(1));
    size_t half = frames.size + frames.size / 2;
    put_json_frame(&frames, "e", DOTSOCK_DATA, numbered(2));
    peer_send(peer, frames.at, half);
    WAIT_FOR(sock_client_buffer_size(client) == 1); /* what has begun is no message yet */
    CHECK_OK(sock_client_clear_buffer(client));
    peer_send(peer, frames.at + half, frames.size - half);
    EXPECT_NUMBER(client, 2);
    free(frames.at);
    close(peer);
    close(listener);
    sock_client_free(client);
}

TEST(what_had_been_read_survives_a_disconnect)
{
    sock_message *message = NULL;
    sock_server *server = start_server("e", NULL);
    sock_client *client = join("e", NULL);
    wait_clients(server, 1);
    for (int n = 0; n < 3; n++)
        SEND(server, n);
    WAIT_FOR(sock_client_buffer_size(client) == 3);
    CHECK_OK(sock_client_disconnect(client));
    CHECK_INT(sock_client_is_connected(client), 0);
    for (int n = 0; n < 3; n++)
        EXPECT_NUMBER(client, n);
    CHECK_STATUS(sock_client_recv(client, -1, &message), DOTSOCK_E_CLOSED);
    sock_client_free(client);
    sock_server_free(server);
}

static void *disconnect(void *client)
{
    CHECK_OK(sock_client_disconnect(client));
    return NULL;
}

TEST(a_disconnect_ends_a_recv_of_another_thread)
{
    sock_message *message = NULL;
    sock_server *server = start_server("e", NULL);
    sock_client *client = join("e", NULL);
    pthread_t thread = check_thread(disconnect, client);
    CHECK_STATUS(sock_client_recv(client, -1, &message), DOTSOCK_E_CLOSED);
    check_join(thread);
    sock_client_free(client);
    sock_server_free(server);
}

TEST(a_server_that_has_gone_is_noticed)
{
    sock_message *message = NULL;
    sock_server *server = start_server("e", NULL);
    sock_client *client = once("e");
    CHECK_OK(sock_client_connect(client));
    wait_clients(server, 1);
    SEND(server, 1);
    sock_server_free(server);
    WAIT_FOR(!sock_client_is_connected(client)); /* looks at the socket, without a recv */
    EXPECT_NUMBER(client, 1);                    /* everything that had arrived comes first */
    CHECK_STATUS(sock_client_recv(client, check_patience(), &message), DOTSOCK_E_CLOSED);
    CHECK_STATUS(sock_client_send_json(client, DOTSOCK_DATA, "{}"), DOTSOCK_E_CLOSED);
    sock_client_free(client);
}

/* ---- a server that does not read ---- */

enum { SIZE = 50000 };

static void *read_numbers(void *argument)
{
    int *of = argument, peer = of[0];
    for (int n = 0; n < of[1]; n++) {
        sock_message *message = peer_next(peer);
        CHECK(message);
        CHECK_INT(number_of(message), n);
        sock_message_free(message);
    }
    __atomic_store_n(&of[2], 1, __ATOMIC_SEQ_CST);
    return NULL;
}

TEST(a_send_that_has_to_wait)
{
    int listener = peer_listen("e"), count = 0, status;
    sock_client *client = join("e", "default_timeout", "0.1", NULL);
    int peer = peer_accept(listener);
    while ((status = client_send_padded(client, count, SIZE)) == DOTSOCK_OK)
        CHECK(++count < 1000);
    CHECK_INT(status, DOTSOCK_E_TIMEOUT); /* nothing of this one left */
    /* The others arrive whole; the rest of one that was cut goes before anything else. */
    int reading[3] = {peer, count + 1, 0};
    pthread_t reader = check_thread(read_numbers, reading);
    sock_message *message = NULL;
    WAIT_FOR(client_send_padded(client, count, SIZE) == DOTSOCK_OK);
    WAIT_FOR((sock_client_recv(client, 0, &message), __atomic_load_n(&reading[2], __ATOMIC_SEQ_CST)));
    check_join(reader);
    CHECK_INT(client_stat_of(client, "messages_sent"), count + 1);
    close(peer);
    close(listener);
    sock_client_free(client);
}

static void *send_then_read(void *argument)
{
    int *of = argument;
    for (int n = 0; n < 60; n++) {
        struct bytes frame = {0}, data = {0};
        put_hex(&data, "82a16e cd");
        put_number(&data, (uint64_t)n, 2);
        put_hex(&data, "a170 c5");
        put_number(&data, SIZE, 2);
        char *padding = calloc(1, SIZE);
        put(&data, padding, SIZE);
        put_frame(&frame, "e", "data", data.at, data.size);
        peer_send(of[0], frame.at, frame.size); /* blocks until the client reads */
        free(padding);
        free(data.at);
        free(frame.at);
    }
    return read_numbers(argument);
}

TEST(a_send_that_waits_reads_what_arrives)
{
    int listener = peer_listen("e");
    sock_client *client = join("e", NULL);
    int peer[3] = {peer_accept(listener), 60, 0};
    pthread_t other = check_thread(send_then_read, peer); /* reads only when all of its own is sent */
    for (int n = 0; n < 60; n++)
        CHECK_OK(client_send_padded(client, n, SIZE));
    for (int n = 0; n < 60; n++) {
        sock_message *message = take(client);
        CHECK_INT(number_of(message), n);
        sock_message_free(message);
    }
    sock_message *message = NULL;
    WAIT_FOR((sock_client_recv(client, 0, &message), __atomic_load_n(&peer[2], __ATOMIC_SEQ_CST)));
    check_join(other);
    close(peer[0]);
    close(listener);
    sock_client_free(client);
}
