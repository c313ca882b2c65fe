/* Payloads built by path. */
#include "peer.h"

static sock_payload *new_payload(void)
{
    sock_payload *payload = sock_payload_new();
    CHECK(payload);
    return payload;
}

/* What the payload is at this moment. */
#define CHECK_PAYLOAD(payload, json)                                                                         \
    do {                                                                                                     \
        sock_message *message_ = sock_message_from_payload("e", DOTSOCK_DATA, payload);                      \
        CHECK(message_);                                                                                     \
        CHECK_JSON(sock_message_data_json(message_), json);                                                  \
        sock_message_free(message_);                                                                         \
    } while (0)

TEST(every_type_can_be_set_and_read)
{
    sock_payload *payload = new_payload();
    CHECK_PAYLOAD(payload, "{}");
    CHECK_OK(sock_payload_set_int(payload, "/int", INT64_MIN));
    CHECK_OK(sock_payload_set_uint(payload, "/uint", UINT64_MAX));
    CHECK_OK(sock_payload_set_double(payload, "/double", 0.25));
    CHECK_OK(sock_payload_set_bool(payload, "/yes", 42)); /* anything but 0 */
    CHECK_OK(sock_payload_set_bool(payload, "/no", 0));
    CHECK_OK(sock_payload_set_string(payload, "/string", "a \"quoted\" \\ text\n"));
    CHECK_OK(sock_payload_set_bytes(payload, "/bytes", "\0\1", 2));
    CHECK_OK(sock_payload_set_bytes(payload, "/empty", NULL, 0));
    CHECK_OK(sock_payload_set_null(payload, "/null"));
    CHECK_OK(sock_payload_set_json(payload, "/json", "[1, {\"two\": 2}]"));
    CHECK_OK(sock_payload_set_msgpack(payload, "/msgpack", "\x92\x01\x02", 3));
    sock_message *message = sock_message_from_payload("e", DOTSOCK_ERROR, payload);
    sock_payload_free(payload);
    CHECK(message);
    CHECK_INT(sock_message_type(message), DOTSOCK_ERROR);
    int64_t i = 0;
    uint64_t u = 0;
    double d = 0;
    int b = 0;
    const char *text = NULL;
    const void *bytes = NULL;
    size_t size = 9;
    CHECK_OK(sock_message_get_int(message, "/int", &i));
    CHECK(i == INT64_MIN);
    CHECK_OK(sock_message_get_uint(message, "/uint", &u));
    CHECK(u == UINT64_MAX);
    CHECK_OK(sock_message_get_double(message, "/double", &d));
    CHECK(d == 0.25);
    CHECK_OK(sock_message_get_bool(message, "/yes", &b));
    CHECK_INT(b, 1);
    CHECK_OK(sock_message_get_bool(message, "/no", &b));
    CHECK_INT(b, 0);
    CHECK_OK(sock_message_get_string(message, "/string", &text, NULL));
    CHECK_STR(text, "a \"quoted\" \\ text\n");
    CHECK_OK(sock_message_get_bytes(message, "/bytes", &bytes, &size));
    CHECK(size == 2 && memcmp(bytes, "\0\1", 2) == 0);
    CHECK_OK(sock_message_get_bytes(message, "/empty", &bytes, &size));
    CHECK_INT(size, 0);
    CHECK_OK(sock_message_get_kind(message, "/null", &b));
    CHECK_INT(b, DOTSOCK_KIND_NIL);
    CHECK_OK(sock_message_get_int(message, "/json/1/two", &i));
    CHECK_INT(i, 2);
    CHECK_OK(sock_message_get_int(message, "/msgpack/1", &i));
    CHECK_INT(i, 2);
    CHECK_OK(sock_message_get_key(message, "", 0, &text, NULL)); /* in the order set */
    CHECK_STR(text, "int");
    sock_message_free(message);
}

TEST(missing_parents_are_made)
{
    sock_payload *payload = new_payload();
    CHECK_OK(sock_payload_set_int(payload, "/a/b/c", 1));
    CHECK_PAYLOAD(payload, "{\"a\":{\"b\":{\"c\":1}}}");
    CHECK_OK(sock_payload_set_string(payload, "/steps/-", "one"));
    CHECK_OK(sock_payload_set_string(payload, "/steps/-", "two"));
    CHECK_OK(sock_payload_set_int(payload, "/rows/-/n", 1)); /* one new map each time */
    CHECK_OK(sock_payload_set_int(payload, "/rows/-/n", 2));
    CHECK_OK(sock_payload_set_int(payload, "/rows/0/m", 3)); /* the first of them */
    CHECK_OK(sock_payload_set_int(payload, "/grid/-/-", 4));
    CHECK_PAYLOAD(payload, "{\"a\":{\"b\":{\"c\":1}},\"steps\":[\"one\",\"two\"],"
                           "\"rows\":[{\"n\":1,\"m\":3},{\"n\":2}],\"grid\":[[4]]}");
    sock_payload_free(payload);
}

TEST(setting_replaces)
{
    sock_payload *payload = new_payload();
    CHECK_OK(sock_payload_set_int(payload, "/a/b", 1));
    CHECK_OK(sock_payload_set_int(payload, "/z", 1));
    CHECK_OK(sock_payload_set_string(payload, "/a", "whole maps too"));
    CHECK_PAYLOAD(payload, "{\"a\":\"whole maps too\",\"z\":1}");
    CHECK_OK(sock_payload_set_json(payload, "/list", "[1,2,3]"));
    CHECK_OK(sock_payload_set_bool(payload, "/list/1", 1));
    CHECK_PAYLOAD(payload, "{\"a\":\"whole maps too\",\"z\":1,\"list\":[1,true,3]}");
    CHECK_OK(sock_payload_set_json(payload, "", "{\"new\": true}"));
    CHECK_PAYLOAD(payload, "{\"new\":true}");
    CHECK_OK(sock_payload_set_msgpack(payload, "", "\x81\xa1k\x01", 4));
    CHECK_PAYLOAD(payload, "{\"k\":1}");
    sock_payload_free(payload);
}

TEST(a_dash_in_a_map_is_a_key)
{
    sock_payload *payload = new_payload();
    CHECK_OK(sock_payload_set_int(payload, "/m/x", 1));
    CHECK_OK(sock_payload_set_int(payload, "/m/-", 2));
    CHECK_OK(sock_payload_set_int(payload, "/-", 3)); /* the payload itself is a map */
    CHECK_OK(sock_payload_set_int(payload, "/a~1b~0c", 4));
    CHECK_PAYLOAD(payload, "{\"m\":{\"x\":1,\"-\":2},\"-\":3,\"a/b~c\":4}");
    sock_payload_free(payload);
}

TEST(what_cannot_be_set_changes_nothing)
{
    sock_payload *payload = new_payload();
    CHECK_OK(sock_payload_set_int(payload, "/n", 1));
    CHECK_OK(sock_payload_set_int(payload, "/list/-", 1));
    CHECK_STATUS(sock_payload_set_int(payload, "/n/deeper", 1), DOTSOCK_E_INVALID); /* neither map nor array */
    CHECK_STATUS(sock_payload_set_int(payload, "/list/name", 1), DOTSOCK_E_INVALID);
    CHECK_STATUS(sock_payload_set_int(payload, "/list/5", 1), DOTSOCK_E_INVALID);
    CHECK_STATUS(sock_payload_set_int(payload, "/list/00", 1), DOTSOCK_E_INVALID);
    CHECK_STATUS(sock_payload_set_int(payload, "no_slash", 1), DOTSOCK_E_INVALID);
    CHECK_STATUS(sock_payload_set_int(payload, "/bad~2escape", 1), DOTSOCK_E_INVALID);
    CHECK(sock_payload_set_int(payload, "", 1) != DOTSOCK_OK); /* "" takes a map */
    CHECK(sock_payload_set_json(payload, "", "[1]") != DOTSOCK_OK);
    CHECK(sock_payload_set_null(payload, "") != DOTSOCK_OK);
    CHECK(sock_payload_set_msgpack(payload, "", "\x81\x01\x02", 3) != DOTSOCK_OK); /* its keys are str */
    CHECK_STATUS(sock_payload_set_json(payload, "/x", "{"), DOTSOCK_E_MESSAGE);
    CHECK_STATUS(sock_payload_set_json(payload, "/x", "1 2"), DOTSOCK_E_MESSAGE);
    CHECK_STATUS(sock_payload_set_json(payload, "/x", "18446744073709551616"), DOTSOCK_E_MESSAGE);
    CHECK_STATUS(sock_payload_set_msgpack(payload, "/x", "\x92\x01", 2), DOTSOCK_E_MESSAGE);
    CHECK_STATUS(sock_payload_set_msgpack(payload, "/x", "\x01\x02", 2), DOTSOCK_E_MESSAGE);
    CHECK_STATUS(sock_payload_set_msgpack(payload, "/x", NULL, 0), DOTSOCK_E_MESSAGE); /* no value at all */
    CHECK_STATUS(sock_payload_set_string(payload, "/x", "\xff"), DOTSOCK_E_INVALID);
    CHECK_STATUS(sock_payload_set_string(payload, "/x", NULL), DOTSOCK_E_INVALID);
    CHECK_STATUS(sock_payload_set_string(payload, NULL, "x"), DOTSOCK_E_INVALID);
    CHECK_STATUS(sock_payload_set_bytes(payload, "/x", NULL, 2), DOTSOCK_E_INVALID);
    CHECK_PAYLOAD(payload, "{\"n\":1,\"list\":[1]}");
    sock_payload_free(payload);
}

TEST(too_deep_a_value)
{
    sock_payload *payload = new_payload();
    char pointer[300] = "";
    for (int depth = 1; depth <= 128; depth++)
        strcat(pointer, "/k"); /* as many maps */
    CHECK_OK(sock_payload_set_int(payload, pointer, 1));
    strcat(pointer, "/k");
    sock_payload *other = new_payload();
    CHECK_STATUS(sock_payload_set_int(other, pointer, 1), DOTSOCK_E_MESSAGE);
    CHECK_CONTAINS(sock_last_error(), "128");
    CHECK_PAYLOAD(other, "{}");
    pointer[strlen(pointer) - 4] = 0;
    CHECK_STATUS(sock_payload_set_json(other, pointer, "[[1]]"), DOTSOCK_E_MESSAGE);
    CHECK_OK(sock_payload_set_json(other, pointer, "[1]"));
    sock_payload_free(payload);
    sock_payload_free(other);
}

TEST(a_payload_may_be_sent_and_changed_again)
{
    sock_server *server = start_server("e", NULL);
    sock_payload *payload = new_payload();
    for (int n = 0; n < 3; n++) {
        CHECK_OK(sock_payload_set_int(payload, "/n", n));
        CHECK_OK(sock_send_payload(server, DOTSOCK_DATA, payload, NULL));
    }
    sock_message *message = sock_message_from_payload("e", DOTSOCK_DATA, payload);
    CHECK_OK(sock_payload_set_int(payload, "/n", 3));
    CHECK_INT(number_of(message), 2); /* a message made earlier keeps what it had */
    sock_message_free(message);
    sock_client *client = join("e", NULL);
    for (int n = 0; n < 3; n++)
        EXPECT_NUMBER(client, n);
    CHECK_OK(sock_client_send_payload(client, DOTSOCK_DATA, payload));
    sock_payload_free(payload);
    WAIT_FOR(stat_of(server, "messages_received") == 1);
    sock_client_free(client);
    sock_server_free(server);
}
