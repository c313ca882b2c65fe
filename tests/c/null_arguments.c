/* Every function with NULL, with unknown numbers, with text that is not UTF-8, with sizes without a
 * pointer: an error, never a crash, and nothing is written to outputs. */
#include "helpers.h"

#define BAD "\xff\xfe"
#define CHECK_INVALID(call) CHECK_STATUS(call, DOTSOCK_E_INVALID)

static void fn(void *ctx, sock_server *server, const char *id) { (void)ctx, (void)server, (void)id; }
static void on_message(void *ctx, sock_server *server, const char *id, const sock_message *message)
{
    (void)message;
    fn(ctx, server, id);
}
static void never(void *ctx)
{
    (void)ctx;
    FAIL("drop was called although nothing was taken");
}

TEST(freeing_nothing)
{
    sock_options_free(NULL);
    sock_message_free(NULL);
    sock_payload_free(NULL);
    sock_server_free(NULL);
    sock_client_free(NULL);
    sock_client_list_free(NULL);
    sock_event_free(NULL);
}

TEST(library_functions)
{
    char text[64] = "untouched";
    CHECK_INVALID(sock_validate_event_name(NULL));
    CHECK_INVALID(sock_timestamp_iso("UTC", NULL, 64));
    CHECK_INVALID(sock_timestamp_iso_at("UTC", 0, NULL, 64));
    CHECK_INVALID(sock_timestamp_iso_at(BAD, 0, text, 64));
    CHECK_STR(text, "untouched");
    CHECK(sock_strerror(INT32_MIN) && sock_strerror(INT32_MAX));
}

TEST(options_functions)
{
    char text[64] = "untouched";
    sock_options *options = sock_options_new();
    CHECK_INVALID(sock_options_load(NULL, "/x"));
    CHECK_INVALID(sock_options_load(options, NULL));
    CHECK_INVALID(sock_options_set(NULL, "linger", "1"));
    CHECK_INVALID(sock_options_set(options, NULL, "1"));
    CHECK_INVALID(sock_options_set(options, BAD, "1"));
    CHECK_INVALID(sock_options_set(options, "host", BAD));
    CHECK_INVALID(sock_options_set(options, "", "1"));
    CHECK_INVALID(sock_options_get(NULL, "linger", text, sizeof text));
    CHECK_INVALID(sock_options_get(options, NULL, text, sizeof text));
    CHECK_INVALID(sock_options_get(options, "linger", NULL, sizeof text));
    CHECK_INVALID(sock_options_get(options, "linger", NULL, 0)); /* too small */
    CHECK_STR(text, "untouched");
    sock_options_free(options);
}

TEST(message_constructors)
{
    CHECK_NULL(sock_message_new(NULL, DOTSOCK_DATA, NULL, 0), DOTSOCK_E_INVALID);
    CHECK_NULL(sock_message_new(BAD, DOTSOCK_DATA, NULL, 0), DOTSOCK_E_INVALID);
    CHECK_NULL(sock_message_new("e", 3, NULL, 0), DOTSOCK_E_INVALID);
    CHECK_NULL(sock_message_new("e", DOTSOCK_DATA, NULL, 5), DOTSOCK_E_INVALID);
    CHECK_NULL(sock_message_from_envelope(NULL, 5), DOTSOCK_E_INVALID);
    CHECK_NULL(sock_message_from_json(NULL, DOTSOCK_DATA, "{}"), DOTSOCK_E_INVALID);
    CHECK_NULL(sock_message_from_json("e", DOTSOCK_DATA, NULL), DOTSOCK_E_INVALID);
    CHECK_NULL(sock_message_from_json("e", DOTSOCK_DATA, "{\"a\":\"" BAD "\"}"), DOTSOCK_E_INVALID);
    CHECK_NULL(sock_message_from_json("e", -5, "{}"), DOTSOCK_E_INVALID);
    CHECK_NULL(sock_message_from_payload("e", DOTSOCK_DATA, NULL), DOTSOCK_E_INVALID);
    sock_payload *payload = sock_payload_new();
    CHECK_NULL(sock_message_from_payload(NULL, DOTSOCK_DATA, payload), DOTSOCK_E_INVALID);
    CHECK_NULL(sock_message_from_payload("e", 7, payload), DOTSOCK_E_INVALID);
    sock_payload_free(payload);
    CHECK(!sock_message_ref(NULL));
}

TEST(message_getters)
{
    size_t size = 77;
    CHECK(!sock_message_envelope(NULL, &size));
    CHECK(!sock_message_data(NULL, &size));
    CHECK(!sock_message_event_name(NULL));
    CHECK_INT(sock_message_type(NULL), -1);
    CHECK_INT(sock_message_timestamp_ms(NULL), 0);
    CHECK(!sock_message_timestamp_iso(NULL));
    CHECK_NULL(sock_message_data_json(NULL), DOTSOCK_E_INVALID);
    CHECK_NULL(sock_message_json(NULL), DOTSOCK_E_INVALID);
}

TEST(message_values)
{
    sock_message *m = sock_message_from_json("e", DOTSOCK_DATA, "{\"n\":1,\"s\":\"x\"}");
    int64_t i = 77;
    uint64_t u = 77;
    double d = 77;
    int b = 77;
    const char *text = "untouched";
    const void *bytes = "untouched";
    size_t size = 77;
    CHECK_INVALID(sock_message_get_int(NULL, "/n", &i));
    CHECK_INVALID(sock_message_get_int(m, NULL, &i));
    CHECK_INVALID(sock_message_get_int(m, "/n", NULL));
    CHECK_INVALID(sock_message_get_int(m, BAD, &i));
    CHECK_INVALID(sock_message_get_uint(NULL, "/n", &u));
    CHECK_INVALID(sock_message_get_uint(m, NULL, &u));
    CHECK_INVALID(sock_message_get_uint(m, "/n", NULL));
    CHECK_INVALID(sock_message_get_double(NULL, "/n", &d));
    CHECK_INVALID(sock_message_get_double(m, NULL, &d));
    CHECK_INVALID(sock_message_get_double(m, "/n", NULL));
    CHECK_INVALID(sock_message_get_bool(NULL, "/n", &b));
    CHECK_INVALID(sock_message_get_bool(m, NULL, &b));
    CHECK_INVALID(sock_message_get_bool(m, "/n", NULL));
    CHECK_INVALID(sock_message_get_string(NULL, "/s", &text, &size));
    CHECK_INVALID(sock_message_get_string(m, NULL, &text, &size));
    CHECK_INVALID(sock_message_get_string(m, "/s", NULL, &size));
    CHECK_INVALID(sock_message_get_bytes(NULL, "/s", &bytes, &size));
    CHECK_INVALID(sock_message_get_bytes(m, NULL, &bytes, &size));
    CHECK_INVALID(sock_message_get_bytes(m, "/s", NULL, &size));
    CHECK_INVALID(sock_message_get_msgpack(NULL, "/s", &bytes, &size));
    CHECK_INVALID(sock_message_get_msgpack(m, NULL, &bytes, &size));
    CHECK_INVALID(sock_message_get_msgpack(m, "/s", NULL, &size));
    CHECK_INVALID(sock_message_get_kind(NULL, "/s", &b));
    CHECK_INVALID(sock_message_get_kind(m, NULL, &b));
    CHECK_INVALID(sock_message_get_kind(m, "/s", NULL));
    CHECK_INVALID(sock_message_get_size(NULL, "/s", &size));
    CHECK_INVALID(sock_message_get_size(m, NULL, &size));
    CHECK_INVALID(sock_message_get_size(m, "/s", NULL));
    CHECK_INVALID(sock_message_get_key(NULL, "", 0, &text, &size));
    CHECK_INVALID(sock_message_get_key(m, NULL, 0, &text, &size));
    CHECK_INVALID(sock_message_get_key(m, "", 0, NULL, &size));
    CHECK_INVALID(sock_message_get_key(m, "", SIZE_MAX, &text, &size));
    CHECK(i == 77 && u == 77 && d == 77 && b == 77 && size == 77);
    CHECK_STR(text, "untouched");
    CHECK_STR((const char *)bytes, "untouched");
    sock_message_free(m);
}

TEST(payload_functions)
{
    sock_payload *p = sock_payload_new();
    CHECK_INVALID(sock_payload_set_int(NULL, "/k", 1));
    CHECK_INVALID(sock_payload_set_int(p, NULL, 1));
    CHECK_INVALID(sock_payload_set_int(p, "/" BAD, 1));
    CHECK_INVALID(sock_payload_set_uint(NULL, "/k", 1));
    CHECK_INVALID(sock_payload_set_uint(p, NULL, 1));
    CHECK_INVALID(sock_payload_set_double(NULL, "/k", 1));
    CHECK_INVALID(sock_payload_set_double(p, NULL, 1));
    CHECK_INVALID(sock_payload_set_bool(NULL, "/k", 1));
    CHECK_INVALID(sock_payload_set_bool(p, NULL, 1));
    CHECK_INVALID(sock_payload_set_string(NULL, "/k", "x"));
    CHECK_INVALID(sock_payload_set_string(p, NULL, "x"));
    CHECK_INVALID(sock_payload_set_string(p, "/k", NULL));
    CHECK_INVALID(sock_payload_set_string(p, "/k", BAD));
    CHECK_INVALID(sock_payload_set_bytes(NULL, "/k", "x", 1));
    CHECK_INVALID(sock_payload_set_bytes(p, NULL, "x", 1));
    CHECK_INVALID(sock_payload_set_bytes(p, "/k", NULL, 1));
    CHECK_INVALID(sock_payload_set_null(NULL, "/k"));
    CHECK_INVALID(sock_payload_set_null(p, NULL));
    CHECK_INVALID(sock_payload_set_json(NULL, "/k", "1"));
    CHECK_INVALID(sock_payload_set_json(p, NULL, "1"));
    CHECK_INVALID(sock_payload_set_json(p, "/k", NULL));
    CHECK_INVALID(sock_payload_set_msgpack(NULL, "/k", "\1", 1));
    CHECK_INVALID(sock_payload_set_msgpack(p, NULL, "\1", 1));
    CHECK_INVALID(sock_payload_set_msgpack(p, "/k", NULL, 1));
    sock_payload_free(p);
}

TEST(server_constructor_and_hooks)
{
    CHECK_NULL(sock_server_new(DOTSOCK_UNIX, NULL, NULL), DOTSOCK_E_INVALID);
    CHECK_NULL(sock_server_new(2, "e", NULL), DOTSOCK_E_INVALID);
    CHECK_NULL(sock_server_new(-1, "e", NULL), DOTSOCK_E_INVALID);
    CHECK_NULL(sock_server_new(DOTSOCK_UNIX, BAD, NULL), DOTSOCK_E_INVALID);
    CHECK_INVALID(sock_server_on_client_connected(NULL, fn, NULL, never));
    CHECK_INVALID(sock_server_on_client_disconnected(NULL, fn, NULL, never));
    CHECK_INVALID(sock_server_on_message_received(NULL, on_message, NULL, never));
}

TEST(server_functions)
{
    sock_event *event = (sock_event *)&event;
    uint64_t u = 77;
    CHECK_INVALID(sock_server_start(NULL));
    CHECK_INVALID(sock_server_run(NULL));
    CHECK_INVALID(sock_server_open(NULL));
    CHECK_INVALID(sock_server_next(NULL, 0, &event));
    CHECK_INVALID(sock_server_stop(NULL));
    CHECK_INT(sock_server_cancel(NULL), DOTSOCK_E_INVALID);
    CHECK_INVALID(sock_server_cork(NULL));
    CHECK_INVALID(sock_server_uncork(NULL));
    CHECK_INVALID(sock_server_clear_queue(NULL));
    CHECK_INVALID(sock_server_stat(NULL, "clients", &u));
    CHECK_INVALID(sock_server_disconnect_client(NULL, "x"));
    CHECK_NULL(sock_server_clients(NULL), DOTSOCK_E_INVALID);
    CHECK_NULL(sock_server_client(NULL, "x"), DOTSOCK_E_INVALID);

    sock_server *server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_OK(sock_server_open(server));
    CHECK_INVALID(sock_server_next(server, -2, &event));
    CHECK_INVALID(sock_server_next(server, 0, NULL));
    CHECK(event == (sock_event *)&event);
    CHECK_INVALID(sock_server_stat(server, NULL, &u));
    CHECK_INVALID(sock_server_stat(server, "clients", NULL));
    CHECK_INVALID(sock_server_stat(server, "no_such_counter", &u));
    CHECK_CONTAINS(sock_last_error(), "no_such_counter");
    CHECK(u == 77);
    CHECK_INVALID(sock_server_disconnect_client(server, NULL));
    CHECK_NULL(sock_server_client(server, NULL), DOTSOCK_E_INVALID);
    sock_server_free(server);
}

TEST(server_getters)
{
    CHECK_INT(sock_server_fd(NULL), -1);
    CHECK_INT(sock_server_is_running(NULL), 0);
    CHECK(!sock_server_event_name(NULL));
    CHECK(!sock_server_address(NULL));
    CHECK_INT(sock_server_port(NULL), 0);
    CHECK_INT(sock_server_queue_size(NULL), 0);
    CHECK_INT(sock_event_kind(NULL), -1);
    CHECK_STR(sock_event_client_id(NULL), ""); /* never NULL, which would broadcast */
    CHECK(!sock_event_message(NULL));
}

TEST(client_list_getters)
{
    sock_server *server = new_server(DOTSOCK_UNIX, "e", NULL);
    sock_client_list *empty = sock_server_clients(server);
    CHECK(empty);
    const sock_client_list *const lists[] = {NULL, empty};
    for (int i = 0; i < 2; i++) {
        CHECK_INT(sock_client_list_size(lists[i]), 0);
        CHECK_STR(sock_client_list_id(lists[i], 0), "");
        CHECK(!sock_client_list_address(lists[i], 0));
        CHECK_INT(sock_client_list_connected_at_ms(lists[i], 0), 0);
        CHECK_INT(sock_client_list_uid(lists[i], 0), -1);
        CHECK_INT(sock_client_list_pid(lists[i], 0), -1);
        CHECK_INT(sock_client_list_dropped(lists[i], 0), 0);
        CHECK_INT(sock_client_list_queued_bytes(lists[i], SIZE_MAX), 0);
    }
    sock_client_list_free(empty);
    sock_server_free(server);
}

TEST(sending)
{
    sock_server *server = start_server("e", NULL);
    sock_client *client = join("e", NULL);
    sock_message *message = sock_message_from_json("e", DOTSOCK_DATA, "{}");
    sock_payload *payload = sock_payload_new();
    wait_clients(server, 1);
    CHECK_INVALID(sock_send(NULL, message, NULL));
    CHECK_INVALID(sock_send(server, NULL, NULL));
    CHECK_INVALID(sock_send(server, message, BAD));
    CHECK_INVALID(sock_send_data(NULL, DOTSOCK_DATA, NULL, 0, NULL));
    CHECK_INVALID(sock_send_data(server, DOTSOCK_DATA, NULL, 1, NULL));
    CHECK_INVALID(sock_send_data(server, 3, NULL, 0, NULL));
    CHECK_INVALID(sock_send_json(NULL, DOTSOCK_DATA, "{}", NULL));
    CHECK_INVALID(sock_send_json(server, DOTSOCK_DATA, NULL, NULL));
    CHECK_INVALID(sock_send_json(server, -1, "{}", NULL));
    CHECK_INVALID(sock_send_payload(NULL, DOTSOCK_DATA, payload, NULL));
    CHECK_INVALID(sock_send_payload(server, DOTSOCK_DATA, NULL, NULL));
    CHECK_INVALID(sock_send_payload(server, 9, payload, NULL));
    CHECK_STATUS(sock_send(server, message, ""), DOTSOCK_E_NO_CLIENT); /* "" is nobody, not everybody */
    CHECK_INVALID(sock_client_send(NULL, message));
    CHECK_INVALID(sock_client_send(client, NULL));
    CHECK_INVALID(sock_client_send_data(NULL, DOTSOCK_DATA, NULL, 0));
    CHECK_INVALID(sock_client_send_data(client, DOTSOCK_DATA, NULL, 1));
    CHECK_INVALID(sock_client_send_data(client, 3, NULL, 0));
    CHECK_INVALID(sock_client_send_json(NULL, DOTSOCK_DATA, "{}"));
    CHECK_INVALID(sock_client_send_json(client, DOTSOCK_DATA, NULL));
    CHECK_INVALID(sock_client_send_json(client, 3, "{}"));
    CHECK_INVALID(sock_client_send_payload(NULL, DOTSOCK_DATA, payload));
    CHECK_INVALID(sock_client_send_payload(client, DOTSOCK_DATA, NULL));
    CHECK_INVALID(sock_client_send_payload(client, 3, payload));
    CHECK_OK(sock_send(server, message, NULL));
    EXPECT(client, "{}"); /* and nothing else was sent */
    EXPECT_NOTHING(client);
    CHECK_INT(stat_of(server, "messages_received"), 0);
    sock_payload_free(payload);
    sock_message_free(message);
    sock_client_free(client);
    sock_server_free(server);
}

TEST(client_functions)
{
    sock_message *message = (sock_message *)&message;
    uint64_t u = 77;
    CHECK_NULL(sock_client_new(DOTSOCK_UNIX, NULL, NULL), DOTSOCK_E_INVALID);
    CHECK_NULL(sock_client_new(2, "e", NULL), DOTSOCK_E_INVALID);
    CHECK_NULL(sock_client_new(DOTSOCK_UNIX, BAD, NULL), DOTSOCK_E_INVALID);
    CHECK_INVALID(sock_client_open(NULL));
    CHECK_INVALID(sock_client_connect(NULL));
    CHECK_INVALID(sock_client_disconnect(NULL));
    CHECK_INVALID(sock_client_recv(NULL, 0, &message));
    CHECK_INVALID(sock_client_cork(NULL));
    CHECK_INVALID(sock_client_uncork(NULL));
    CHECK_INVALID(sock_client_clear_buffer(NULL));
    CHECK_INT(sock_client_cancel(NULL), DOTSOCK_E_INVALID);
    CHECK_INVALID(sock_client_stat(NULL, "reconnects", &u));
    CHECK_INT(sock_client_is_connected(NULL), 0);
    CHECK_INT(sock_client_fd(NULL), -1);
    CHECK_INT(sock_client_has_next(NULL), 0);
    CHECK_INT(sock_client_buffer_size(NULL), 0);
    CHECK(!sock_client_event_name(NULL));
    CHECK(!sock_client_address(NULL));
    CHECK_INT(sock_client_server_uid(NULL), -1);
    CHECK_INT(sock_client_server_pid(NULL), -1);

    sock_client *client = new_client(DOTSOCK_UNIX, "e", NULL);
    CHECK_INVALID(sock_client_recv(client, -2, &message));
    CHECK_INVALID(sock_client_recv(client, INT32_MIN, &message));
    CHECK_INVALID(sock_client_recv(client, 0, NULL));
    CHECK_INVALID(sock_client_stat(client, NULL, &u));
    CHECK_INVALID(sock_client_stat(client, "reconnects", NULL));
    CHECK_INVALID(sock_client_stat(client, "no_such_counter", &u));
    CHECK(message == (sock_message *)&message && u == 77);
    sock_client_free(client);
}
