/* Status codes, the last error, versions, event names. */
#include "helpers.h"

TEST(every_status_has_a_text_of_its_own)
{
    for (int status = 0; status >= -18; status--) {
        CHECK(sock_strerror(status) && sock_strerror(status)[0]);
        for (int other = 0; other > status; other--)
            CHECK(strcmp(sock_strerror(status), sock_strerror(other)) != 0);
    }
    CHECK(sock_strerror(1) && sock_strerror(-19) && sock_strerror(-1000));
}

TEST(the_numbers_are_fixed)
{
    static const int expected[] = {
        DOTSOCK_OK, DOTSOCK_E_INVALID, DOTSOCK_E_IO, DOTSOCK_E_TIMEOUT, DOTSOCK_E_CLOSED, DOTSOCK_E_MESSAGE,
        DOTSOCK_E_MAX_CONNECTIONS, DOTSOCK_E_NOT_RUNNING, DOTSOCK_E_NO_CLIENT, DOTSOCK_E_IN_USE,
        DOTSOCK_E_PERMISSION, DOTSOCK_E_SEND_DENIED, DOTSOCK_E_FULL, DOTSOCK_E_STATE, DOTSOCK_E_CANCELLED,
        DOTSOCK_E_INTERRUPTED, DOTSOCK_E_FORKED, DOTSOCK_E_INTERNAL, DOTSOCK_E_NO_MEMORY,
    };
    for (int i = 0; i < 19; i++)
        CHECK_INT(expected[i], -i);
    CHECK_INT(DOTSOCK_DATA, 0);
    CHECK_INT(DOTSOCK_ERROR, 1);
    CHECK_INT(DOTSOCK_CONTROL, 2);
    CHECK_INT(DOTSOCK_UNIX, 0);
    CHECK_INT(DOTSOCK_TCP, 1);
    CHECK_INT(DOTSOCK_KIND_NIL, 0);
    CHECK_INT(DOTSOCK_KIND_EXT, 8);
    CHECK_INT(DOTSOCK_CLIENT_CONNECTED, 0);
    CHECK_INT(DOTSOCK_CLIENT_DISCONNECTED, 1);
    CHECK_INT(DOTSOCK_MESSAGE_RECEIVED, 2);
    CHECK_INT(DOTSOCK_TIMESTAMP_SIZE, 64);
    CHECK_INT(DOTSOCK_OPTION_SIZE, 4096);
}

TEST(the_version)
{
    char text[64];
    snprintf(text, sizeof text, "%d.%d.%d", DOTSOCK_VERSION_MAJOR, DOTSOCK_VERSION_MINOR, DOTSOCK_VERSION_PATCH);
    CHECK_STR(sock_version(), text);
    CHECK(DOTSOCK_VERSION_AT_LEAST(0, 1, 0));
    CHECK(!DOTSOCK_VERSION_AT_LEAST(9, 0, 0));
    CHECK(!DOTSOCK_VERSION_AT_LEAST(DOTSOCK_VERSION_MAJOR, DOTSOCK_VERSION_MINOR, DOTSOCK_VERSION_PATCH + 1));
}

TEST(nothing_has_failed_at_first)
{
    CHECK_INT(sock_last_status(), DOTSOCK_OK);
    CHECK_STR(sock_last_error(), "");
    CHECK_INT(sock_last_os_error(), 0);
}

TEST(the_last_error_is_an_argument_of_the_next_call)
{
    sock_payload *payload = sock_payload_new();
    CHECK_STATUS(sock_validate_event_name("not a name"), DOTSOCK_E_INVALID);
    char *expected = strdup(sock_last_error());
    CHECK_OK(sock_payload_set_string(payload, "/message", sock_last_error()));
    sock_message *message = sock_message_from_payload("e", DOTSOCK_ERROR, payload);
    const char *text;
    CHECK_OK(sock_message_get_string(message, "/message", &text, NULL));
    CHECK_STR(text, expected);
    free(expected);
    sock_message_free(message);
    sock_payload_free(payload);
}

TEST(a_call_that_works_clears_the_error)
{
    sock_options *options = sock_options_new();
    CHECK_STATUS(sock_options_load(options, "/nonexistent/file"), DOTSOCK_E_IO);
    CHECK_INT(sock_last_os_error(), ENOENT);
    CHECK_OK(sock_options_set(options, "linger", "2"));
    CHECK_INT(sock_last_status(), DOTSOCK_OK);
    CHECK_STR(sock_last_error(), "");
    CHECK_INT(sock_last_os_error(), 0);
    sock_options_free(options);
}

TEST(getters_and_cancel_leave_the_error_alone)
{
    sock_server *server = new_server(DOTSOCK_UNIX, "e", NULL);
    sock_client *client = new_client(DOTSOCK_UNIX, "e", NULL);
    sock_message *message = sock_message_from_json("e", DOTSOCK_DATA, "{}");
    CHECK_STATUS(sock_client_connect(client), DOTSOCK_E_CLOSED);
    const char *error = sock_last_error();
    char before[512];
    snprintf(before, sizeof before, "%s", error);
    size_t size;
    sock_server_event_name(server);
    sock_server_address(server);
    sock_server_port(server);
    sock_server_is_running(server);
    sock_server_fd(server);
    sock_server_queue_size(server);
    sock_client_event_name(client);
    sock_client_address(client);
    sock_client_server_uid(client);
    sock_client_server_pid(client);
    sock_client_fd(client);
    sock_client_is_connected(client);
    sock_client_buffer_size(client);
    sock_message_type(message);
    sock_message_data(message, &size);
    sock_message_timestamp_ms(message);
    sock_message_event_name(NULL);
    sock_client_list_size(NULL);
    sock_event_kind(NULL);
    sock_version();
    sock_strerror(-3);
    sock_timestamp_ms();
    CHECK_INT(sock_server_cancel(server), DOTSOCK_OK);
    CHECK_INT(sock_client_cancel(client), DOTSOCK_OK);
    CHECK_INT(sock_last_status(), DOTSOCK_E_CLOSED);
    CHECK_INT(sock_last_os_error(), ENOENT);
    CHECK(sock_last_error() == error); /* the very text is still valid */
    CHECK_STR(error, before);
    sock_message_free(message);
    sock_client_free(client);
    sock_server_free(server);
}

static void *fails_elsewhere(void *argument)
{
    (void)argument;
    CHECK_INT(sock_last_status(), DOTSOCK_OK);
    CHECK_STR(sock_last_error(), "");
    CHECK_STATUS(sock_validate_event_name(""), DOTSOCK_E_INVALID);
    return NULL;
}

TEST(the_error_belongs_to_its_thread)
{
    CHECK_NULL(sock_message_from_json("e", DOTSOCK_DATA, "nonsense"), DOTSOCK_E_MESSAGE);
    char before[512];
    snprintf(before, sizeof before, "%s", sock_last_error());
    check_join(check_thread(fails_elsewhere, NULL));
    CHECK_INT(sock_last_status(), DOTSOCK_E_MESSAGE);
    CHECK_STR(sock_last_error(), before);
}

static void fail_in_drop(void *ctx)
{
    *(int *)ctx += 1;
    CHECK_STATUS(sock_validate_event_name(""), DOTSOCK_E_INVALID);
}

TEST(a_drop_that_fails_does_not_disturb_the_callers_error)
{
    int drops = 0;
    sock_server *server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_OK(sock_server_on_client_connected(server, record_connected, &drops, fail_in_drop));
    CHECK_OK(sock_server_on_client_connected(server, NULL, NULL, NULL));
    CHECK_INT(drops, 1);
    CHECK_INT(sock_last_status(), DOTSOCK_OK);
    CHECK_STR(sock_last_error(), "");
    sock_server_free(server);
}

TEST(event_names)
{
    char longest[66];
    memset(longest, 'n', sizeof longest);
    longest[64] = 0;
    CHECK_OK(sock_validate_event_name("a"));
    CHECK_OK(sock_validate_event_name("My_event-2"));
    CHECK_OK(sock_validate_event_name(longest));
    longest[64] = 'n';
    longest[65] = 0;
    CHECK_STATUS(sock_validate_event_name(longest), DOTSOCK_E_INVALID);
    CHECK_CONTAINS(sock_last_error(), "Event name too long: 65 > 64");
    CHECK_STATUS(sock_validate_event_name(""), DOTSOCK_E_INVALID);
    CHECK_CONTAINS(sock_last_error(), "Event name cannot be empty");
    static const char *const bad[] = {"a b", "a\n", "a/b", "../x", "a.b", "\xc3\xa9", " "};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_STATUS(sock_validate_event_name(bad[i]), DOTSOCK_E_INVALID);
        CHECK_CONTAINS(sock_last_error(), "Invalid event name: '");
        CHECK_NULL(sock_server_new(DOTSOCK_UNIX, bad[i], NULL), DOTSOCK_E_INVALID);
        CHECK_NULL(sock_client_new(DOTSOCK_UNIX, bad[i], NULL), DOTSOCK_E_INVALID);
    }
    CHECK_STATUS(sock_validate_event_name("a b"), DOTSOCK_E_INVALID);
    CHECK_CONTAINS(sock_last_error(), "Invalid event name: 'a b'");
    CHECK_STATUS(sock_validate_event_name("\xff"), DOTSOCK_E_INVALID);
}
