/* What a bad peer gets: limits, malformed frames, half frames. */
#include "peer.h"

/* A server that records, and a peer whose good frames show that the connection goes on. */
static struct record record = RECORD;

static sock_server *recording(sock_server *server)
{
    record_hooks(server, &record);
    return started(server);
}

static void still_works(sock_server *server, int peer, int number)
{
    char line[64];
    peer_send_json(peer, "e", numbered(number));
    snprintf(line, sizeof line, "A %s\n", numbered(number));
    WAIT_FOR(record_has(&record, line));
    SEND(server, number);
    PEER_EXPECT(peer, numbered(number));
}

TEST(malformed_frames_are_dropped_and_counted)
{
    /* The envelope's parts, to be put together wrongly. */
    static const char *const bodies[] = {
        "",                               /* empty */
        "c0", "93010203", "80", "01",     /* not the map it has to be */
        "c1",                             /* the reserved byte */
        "85aa6576656e745f6e616d65",       /* ends early */
    };
    sock_server *server = recording(new_server(DOTSOCK_UNIX, "e", NULL));
    int peer = peer_connect("e"), count = 0;
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct bytes body = {0}, frame = {0};
        put_hex(&body, bodies[i]);
        put_number(&frame, body.size, 4);
        put(&frame, body.at, body.size);
        peer_send(peer, frame.at, frame.size);
        free(body.at);
        free(frame.at);
        WAIT_FOR(stat_of(server, "malformed") == (uint64_t)count + 1);
        still_works(server, peer, ++count);
    }
    struct bytes frame = {0};
    put_frame(&frame, "e", "warning", "\x80", 1); /* an unknown type */
    put_frame(&frame, "e", "data", "\xc0", 1);    /* a payload that is no map */
    put_frame(&frame, "e", "data", "\x81\x01\x02", 3);
    put_frame(&frame, "e\xff", "data", "\x80", 1); /* a name that is not UTF-8 */
    put_frame(&frame, "e", "data", "\x80\x00", 2); /* bytes left over */
    peer_send(peer, frame.at, frame.size);
    free(frame.at);
    WAIT_FOR(stat_of(server, "malformed") == (uint64_t)count + 5);
    still_works(server, peer, 100);
    CHECK_INT(stat_of(server, "messages_received"), count + 1);
    close(peer);
    sock_server_free(server);
}

TEST(keys_in_any_order_and_unknown_ones_are_fine)
{
    sock_server *server = recording(new_server(DOTSOCK_UNIX, "e", NULL));
    int peer = peer_connect("e");
    struct bytes body = {0}, frame = {0};
    put_number(&body, 0x86, 1);
    put_str(&body, "data");
    put_hex(&body, "81a16e07"); /* {"n": 7} */
    put_str(&body, "later");
    put_hex(&body, "9101");
    put_str(&body, "message_type");
    put_str(&body, "data");
    put_str(&body, "timestamp_iso");
    put_str(&body, "");
    put_str(&body, "timestamp_ms");
    put_hex(&body, "00");
    put_str(&body, "event_name");
    put_str(&body, "a name of/another make");
    put_number(&frame, body.size, 4);
    put(&frame, body.at, body.size);
    for (size_t i = 0; i < frame.size; i++) /* byte by byte */
        peer_send(peer, frame.at + i, 1);
    WAIT_FOR(record_has(&record, "A {\"n\":7}\n"));
    CHECK_INT(stat_of(server, "malformed"), 0);
    free(body.at);
    free(frame.at);
    close(peer);
    sock_server_free(server);
}

TEST(a_length_over_the_limit_closes_the_connection)
{
    static const char *const heads[] = {"7fffffff", "ffffffff", "000003e9", "47455420"};
    sock_server *server = recording(new_server(DOTSOCK_UNIX, "e", "max_message_size", "1000", NULL));
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        int peer = peer_connect("e");
        struct bytes head = {0};
        put_hex(&head, heads[i]);
        peer_send(peer, head.at, head.size);
        PEER_EXPECT_END(peer); /* at once, without waiting for the body */
        free(head.at);
        close(peer);
    }
    wait_clients(server, 0);
    CHECK_INT(stat_of(server, "malformed"), 4);
    WAIT_FOR(record_has(&record, "-D"));
    sock_server_free(server);
}

TEST(a_browser_on_a_tcp_port)
{
    sock_server *server = recording(new_server(DOTSOCK_TCP, "e", NULL));
    int peer = peer_connect_tcp(sock_server_port(server));
    const char *request = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    peer_send(peer, request, strlen(request));
    PEER_EXPECT_END(peer);
    close(peer);
    WAIT_FOR(record_is(&record, "+A\n-A\n"));
    CHECK_INT(stat_of(server, "malformed"), 1);
    sock_server_free(server);
}

TEST(a_message_of_exactly_the_limit)
{
    sock_server *server = recording(new_server(DOTSOCK_UNIX, "e", "max_message_size", "1000", NULL));
    sock_client *client = join("e", NULL);
    int size = 1000, status = DOTSOCK_E_MESSAGE;
    while (status == DOTSOCK_E_MESSAGE && size > 0) /* the sender's own limit: the largest that goes */
        status = send_padded(server, 1, (size_t)--size, NULL);
    CHECK_INT(status, DOTSOCK_OK);
    sock_message *message = take(client);
    size_t body = 0;
    sock_message_envelope(message, &body);
    CHECK_INT(body, 1000);
    sock_message_free(message);
    CHECK_OK(client_send_padded(client, 1, (size_t)size)); /* and it comes back */
    WAIT_FOR(stat_of(server, "messages_received") == 1);
    sock_client_free(client);
    sock_server_free(server);
}

TEST(the_sender_is_told_about_its_limit)
{
    sock_server *server = start_server("e", NULL);
    sock_client *client = join("e", "max_message_size", "500", NULL);
    CHECK_STATUS(client_send_padded(client, 1, 1000), DOTSOCK_E_MESSAGE);
    CHECK_CONTAINS(sock_last_error(), "500");
    CHECK_OK(client_send_padded(client, 1, 10));
    WAIT_FOR(stat_of(server, "messages_received") == 1);
    sock_client_free(client);
    sock_server_free(server);
}

TEST(a_client_that_is_sent_too_much)
{
    sock_server *server = start_server("e", NULL);
    sock_client *client = join("e", "max_message_size", "500", "auto_reconnect", "false", NULL);
    sock_message *message = NULL;
    wait_clients(server, 1);
    SEND(server, 1);
    CHECK_OK(send_padded(server, 2, 1000, NULL));
    EXPECT_NUMBER(client, 1);
    CHECK_STATUS(sock_client_recv(client, check_patience(), &message), DOTSOCK_E_MESSAGE); /* once */
    CHECK_STATUS(sock_client_recv(client, check_patience(), &message), DOTSOCK_E_CLOSED);
    CHECK_INT(client_stat_of(client, "malformed"), 1);
    sock_client_free(client);
    sock_server_free(server);
}

TEST(a_client_drops_malformed_frames_too)
{
    int listener = peer_listen("e");
    sock_client *client = join("e", NULL);
    int peer = peer_accept(listener);
    peer_send(peer, "\0\0\0\1\xc0", 5);
    peer_send_json(peer, "e", numbered(1));
    EXPECT_NUMBER(client, 1);
    CHECK_INT(client_stat_of(client, "malformed"), 1);
    CHECK_INT(client_stat_of(client, "messages_received"), 1);
    close(peer);
    close(listener);
    sock_client_free(client);
}

TEST(depth_of_a_peers_payload)
{
    sock_server *server = recording(new_server(DOTSOCK_UNIX, "e", "max_depth", "3", NULL));
    int peer = peer_connect("e");
    peer_send_json(peer, "e", "{\"a\":[[1]]}");
    WAIT_FOR(record_has(&record, "A {\"a\":[[1]]}\n"));
    peer_send_json(peer, "e", "{\"a\":[[[1]]]}");
    WAIT_FOR(stat_of(server, "malformed") == 1);
    still_works(server, peer, 1);
    CHECK_STATUS(sock_send_json(server, DOTSOCK_DATA, "{\"a\":[[[1]]]}", NULL), DOTSOCK_E_MESSAGE);
    CHECK_CONTAINS(sock_last_error(), "3");
    close(peer);
    sock_server_free(server);
}

/* ---- half frames ---- */

TEST(the_stream_ends_inside_a_frame)
{
    static const char *const begun[] = {"00", "000000", "00000064", "000000648501"};
    for (size_t i = 0; i < sizeof begun / sizeof *begun; i++) {
        memset(record.text, 0, sizeof record.text);
        record.clients = 0;
        sock_server *server = recording(new_server(DOTSOCK_UNIX, "e", NULL));
        int peer = peer_connect("e");
        struct bytes bytes = {0};
        put_json_frame(&bytes, "e", DOTSOCK_DATA, numbered(1));
        put_hex(&bytes, begun[i]);
        peer_send(peer, bytes.at, bytes.size);
        free(bytes.at);
        close(peer);
        WAIT_FOR(record_is(&record, "+A\nA {\"n\":1}\n-A\n")); /* what was whole is handed over */
        CHECK_INT(stat_of(server, "malformed"), 1);
        sock_server_free(server);
    }
}

TEST(the_servers_stream_ends_inside_a_frame)
{
    int listener = peer_listen("e");
    sock_client *client = join("e", "auto_reconnect", "false", NULL);
    int peer = peer_accept(listener);
    sock_message *message = NULL;
    peer_send_json(peer, "e", numbered(1));
    peer_send(peer, "\0\0\0\x64\x85", 5);
    close(peer);
    EXPECT_NUMBER(client, 1);
    CHECK_STATUS(sock_client_recv(client, check_patience(), &message), DOTSOCK_E_CLOSED);
    CHECK_INT(client_stat_of(client, "malformed"), 1);
    close(listener);
    sock_client_free(client);
}

TEST(a_frame_that_stays_incomplete)
{
    sock_server *server = recording(new_server(DOTSOCK_UNIX, "e", "frame_timeout", "0.2", NULL));
    int peer = peer_connect("e"), idle = peer_connect("e");
    wait_clients(server, 2);
    int64_t before = check_now();
    peer_send(peer, "\0\0\0\x64\x85", 5);
    PEER_EXPECT_END(peer);
    CHECK(check_now() - before >= 150);
    CHECK_INT(stat_of(server, "malformed"), 1);
    wait_clients(server, 1); /* who has begun no frame may be silent for ever */
    SEND(server, 1);
    PEER_EXPECT(idle, numbered(1));
    close(peer);
    close(idle);
    sock_server_free(server);
}

TEST(frame_timeout_for_a_client)
{
    int listener = peer_listen("e");
    sock_client *client = join("e", "frame_timeout", "0.2", "auto_reconnect", "false", NULL);
    int peer = peer_accept(listener);
    sock_message *message = NULL;
    peer_send(peer, "\0\0\0\x64\x85", 5);
    int status = sock_client_recv(client, check_patience(), &message);
    CHECK(status == DOTSOCK_E_CLOSED || status == DOTSOCK_E_MESSAGE);
    CHECK_INT(client_stat_of(client, "malformed"), 1);
    PEER_EXPECT_END(peer);
    close(peer);
    close(listener);
    sock_client_free(client);
}

/* ---- refusals ---- */

TEST(over_max_connections)
{
    sock_server *server = start_server("e", "max_connections", "2", NULL);
    int one = peer_connect("e"), two = peer_connect("e");
    wait_clients(server, 2);
    int three = peer_connect("e");
    sock_message *message = peer_next(three);
    CHECK(message);
    const char *text = NULL;
    int64_t limit = 0;
    CHECK_INT(sock_message_type(message), DOTSOCK_ERROR);
    CHECK_OK(sock_message_get_string(message, "/code", &text, NULL));
    CHECK_STR(text, "max_connections");
    CHECK_OK(sock_message_get_int(message, "/limit", &limit));
    CHECK_INT(limit, 2);
    CHECK_OK(sock_message_get_string(message, "/message", &text, NULL));
    CHECK(text[0]);
    sock_message_free(message);
    shutdown(three, SHUT_WR);
    PEER_EXPECT_END(three);
    CHECK_INT(stat_of(server, "rejected"), 1);
    CHECK_INT(stat_of(server, "connections"), 2);
    CHECK_INT(stat_of(server, "clients"), 2);
    close(three);
    close(one); /* room again */
    wait_clients(server, 1);
    int four = peer_connect("e");
    wait_clients(server, 2);
    SEND(server, 1);
    PEER_EXPECT(four, numbered(1));
    close(two);
    close(four);
    sock_server_free(server);
}

TEST(our_client_turns_the_refusal_into_a_status)
{
    sock_server *server = start_server("e", "max_connections", "1", NULL);
    sock_client *one = join("e", NULL), *two = new_client(DOTSOCK_UNIX, "e", "auto_reconnect", "false", NULL);
    wait_clients(server, 1);
    sock_message *message = NULL;
    int status = sock_client_connect(two); /* may succeed */
    if (status == DOTSOCK_OK)
        status = sock_client_recv(two, check_patience(), &message);
    CHECK_INT(status, DOTSOCK_E_MAX_CONNECTIONS);
    CHECK_INT(sock_last_status(), DOTSOCK_E_MAX_CONNECTIONS);
    CHECK_INT(sock_client_is_connected(two), 0);
    CHECK_STATUS(sock_client_recv(two, check_patience(), &message), DOTSOCK_E_CLOSED); /* said once */
    sock_client_free(one);
    sock_client_free(two);
    sock_server_free(server);
}

TEST(a_refused_client_comes_in_when_there_is_room)
{
    sock_server *server = start_server("e", "max_connections", "1", NULL);
    sock_client *one = join("e", NULL), *two = new_client(DOTSOCK_UNIX, "e", "reconnect_delay", "0.01", NULL);
    wait_clients(server, 1);
    sock_message *message = NULL;
    int status = sock_client_connect(two), refused = 0;
    CHECK(status == DOTSOCK_OK || status == DOTSOCK_E_MAX_CONNECTIONS);
    while (refused < 3) {
        status = sock_client_recv(two, check_patience(), &message);
        CHECK_INT(status, DOTSOCK_E_MAX_CONNECTIONS);
        refused++;
    }
    sock_client_free(one);
    wait_clients(server, 0);
    SEND(server, 7); /* to the backlog: the next client's */
    while ((status = sock_client_recv(two, check_patience(), &message)) == DOTSOCK_E_MAX_CONNECTIONS)
        ; /* an attempt that was under way */
    CHECK_INT(status, DOTSOCK_OK);
    CHECK_INT(number_of(message), 7);
    sock_message_free(message);
    sock_client_free(two);
    sock_server_free(server);
}

TEST(clients_that_may_not_send)
{
    sock_server *server = recording(new_server(DOTSOCK_UNIX, "e", "allow_client_send", "false", NULL));
    int peer = peer_connect("e");
    for (int n = 0; n < 3; n++)
        peer_send_json(peer, "e", numbered(n));
    sock_message *message = peer_next(peer);
    const char *text = NULL;
    CHECK(message);
    CHECK_INT(sock_message_type(message), DOTSOCK_ERROR);
    CHECK_OK(sock_message_get_string(message, "/code", &text, NULL));
    CHECK_STR(text, "send_denied");
    CHECK_OK(sock_message_get_string(message, "/message", &text, NULL));
    CHECK(text[0]);
    sock_message_free(message);
    WAIT_FOR(stat_of(server, "denied") == 3);
    CHECK_INT(stat_of(server, "messages_received"), 0);
    peer_send(peer, "\0\0\0\1\xc0", 5); /* malformed is malformed */
    WAIT_FOR(stat_of(server, "malformed") == 1);
    CHECK_INT(stat_of(server, "denied"), 3);
    SEND(server, 1);
    PEER_EXPECT(peer, numbered(1)); /* told once a connection, and it goes on */
    close(peer);
    WAIT_FOR(record_is(&record, "+A\n-A\n"));
    sock_server_free(server);
}

TEST(our_client_is_told_that_it_may_not_send)
{
    sock_server *server = start_server("e", "allow_client_send", "false", NULL);
    sock_client *client = join("e", NULL);
    CHECK_OK(sock_client_send_json(client, DOTSOCK_DATA, "{}"));
    WAIT_FOR(stat_of(server, "denied") == 1);
    sock_message *message = take(client); /* recv delivers the message itself */
    const char *code = NULL;
    CHECK_OK(sock_message_get_string(message, "/code", &code, NULL));
    CHECK_STR(code, "send_denied");
    sock_message_free(message);
    CHECK_STATUS(sock_client_send_json(client, DOTSOCK_DATA, "{}"), DOTSOCK_E_SEND_DENIED);
    CHECK_STATUS(sock_client_send_json(client, DOTSOCK_DATA, "{}"), DOTSOCK_E_SEND_DENIED);
    CHECK_INT(stat_of(server, "denied"), 1);
    CHECK_OK(sock_client_disconnect(client)); /* until the connection ends */
    CHECK_OK(sock_client_connect(client));
    CHECK_OK(sock_client_send_json(client, DOTSOCK_DATA, "{}"));
    WAIT_FOR(stat_of(server, "denied") == 2);
    sock_client_free(client);
    sock_server_free(server);
}

TEST(a_client_that_only_sends_learns_it_too)
{
    sock_server *server = start_server("e", "allow_client_send", "false", NULL);
    sock_client *client = join("e", NULL);
    int status = DOTSOCK_OK;
    /* Nobody calls recv: send looks by itself, now and then. */
    WAIT_FOR((status = sock_client_send_json(client, DOTSOCK_DATA, "{}")) != DOTSOCK_OK);
    CHECK_INT(status, DOTSOCK_E_SEND_DENIED);
    CHECK_INT(sock_client_buffer_size(client), 1); /* the message itself can still be taken */
    sock_client_free(client);
    sock_server_free(server);
}
