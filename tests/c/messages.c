/* Messages: constructors, getters, JSON, pointers, walking, envelopes, references. */
#include "peer.h"

#define FROM_JSON(json) sock_message_from_json("e", DOTSOCK_DATA, json)

/* A message whose payload is given in hex. */
static sock_message *from_hex(const char *hex)
{
    struct bytes data = {0};
    put_hex(&data, hex);
    sock_message *message = sock_message_new("e", DOTSOCK_DATA, data.at, data.size);
    free(data.at);
    return message;
}

TEST(a_new_message_has_what_it_was_given)
{
    setenv("DOTSOCK_TIMEZONE", "America/New_York", 1);
    size_t size = 0;
    int64_t before = sock_timestamp_ms();
    sock_message *message = sock_message_new("my_event", DOTSOCK_ERROR, "\x81\xa1k\x07", 4);
    CHECK(message);
    CHECK_STR(sock_message_event_name(message), "my_event");
    CHECK_INT(sock_message_type(message), DOTSOCK_ERROR);
    CHECK(memcmp(sock_message_data(message, &size), "\x81\xa1k\x07", 4) == 0);
    CHECK_INT(size, 4);
    CHECK_JSON(sock_message_data_json(message), "{\"k\":7}");

    /* Both timestamps are one reading of the clock. */
    int64_t ms = sock_message_timestamp_ms(message);
    CHECK(ms >= before && ms <= sock_timestamp_ms());
    char iso[DOTSOCK_TIMESTAMP_SIZE];
    CHECK_OK(sock_timestamp_iso_at("America/New_York", ms, iso, sizeof iso));
    const char *text = sock_message_timestamp_iso(message);
    CHECK_INT(strlen(text), strlen("2026-11-23T10:00:00.123456-05:00"));
    CHECK(strncmp(text, iso, 23) == 0);          /* up to the milliseconds */
    CHECK(strcmp(text + 26, iso + 26) == 0);     /* the offset */
    sock_message_free(message);
}

TEST(no_payload_is_the_empty_map)
{
    size_t size = 0;
    sock_message *message = sock_message_new("e", DOTSOCK_CONTROL, NULL, 0);
    CHECK(message);
    CHECK(memcmp(sock_message_data(message, &size), "\x80", 1) == 0);
    CHECK_INT(size, 1);
    CHECK_JSON(sock_message_data_json(message), "{}");
    sock_message_free(message);
}

TEST(a_payload_that_is_no_map_with_str_keys)
{
    static const char *const bad[] = {
        "c0", "01", "93010203", "a161", /* not a map */
        "810102", "81c0c0",             /* a key that is no str */
        "81a16b", "81", "df00000001",   /* ends early */
        "81a16b0100", "8080",           /* bytes left over */
        "c1", "81a16bc1",               /* the reserved byte */
        "81a16bddffffffff",             /* announces four billion elements */
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_NULL(from_hex(bad[i]), DOTSOCK_E_MESSAGE);
    sock_message *message = from_hex("81a16b8101c3"); /* further down, keys may be anything */
    CHECK(message);
    CHECK_JSON(sock_message_data_json(message), "{\"k\":{\"1\":true}}");
    sock_message_free(message);
}

TEST(bad_names_and_types)
{
    CHECK_NULL(sock_message_from_json("", DOTSOCK_DATA, "{}"), DOTSOCK_E_INVALID);
    CHECK_NULL(sock_message_from_json("a b", DOTSOCK_DATA, "{}"), DOTSOCK_E_INVALID);
    CHECK_NULL(sock_message_from_json("e", 3, "{}"), DOTSOCK_E_INVALID);
    CHECK_NULL(sock_message_from_json("e", -1, "{}"), DOTSOCK_E_INVALID);
    CHECK_NULL(sock_message_new("e", 99, NULL, 0), DOTSOCK_E_INVALID);
    CHECK_NULL(sock_message_new("e\n", DOTSOCK_DATA, NULL, 0), DOTSOCK_E_INVALID);
}

TEST(json_that_is_not_one_object)
{
    static const char *const bad[] = {"", "  ", "1", "[1]", "null", "\"text\"", "{", "{\"a\":}", "{} {}", "{}x",
                                      "{a:1}", "{\"a\":1,}", "{\"a\":NaN}", "{\"a\":01}", "{\"a\":\"\\x\"}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_NULL(FROM_JSON(bad[i]), DOTSOCK_E_MESSAGE);
}

TEST(json_keeps_order_and_the_last_of_equal_keys)
{
    sock_message *message = FROM_JSON(" {\"z\": 1, \"a\": [true, null, {}], \"m\": \"x\"} ");
    CHECK_JSON(sock_message_data_json(message), "{\"z\":1,\"a\":[true,null,{}],\"m\":\"x\"}");
    sock_message_free(message);
    message = FROM_JSON("{\"a\": 1, \"a\": 2}");
    CHECK_JSON(sock_message_data_json(message), "{\"a\":2}");
    sock_message_free(message);
}

TEST(json_integers_stay_exact)
{
    const char *json = "{\"max\":18446744073709551615,\"min\":-9223372036854775808,\"big\":9007199254740993}";
    sock_message *message = FROM_JSON(json);
    CHECK_JSON(sock_message_data_json(message), json);
    uint64_t u = 0;
    int64_t i = 0;
    CHECK_OK(sock_message_get_uint(message, "/max", &u));
    CHECK(u == UINT64_MAX);
    CHECK_OK(sock_message_get_int(message, "/min", &i));
    CHECK(i == INT64_MIN);
    CHECK_OK(sock_message_get_int(message, "/big", &i));
    CHECK(i == 9007199254740993);
    sock_message_free(message);
    CHECK_NULL(FROM_JSON("{\"a\":18446744073709551616}"), DOTSOCK_E_MESSAGE);
    CHECK_NULL(FROM_JSON("{\"a\":[-9223372036854775809]}"), DOTSOCK_E_MESSAGE);
}

TEST(json_says_what_only_messagepack_knows)
{
    /* b: bin 01 02 03, t: the timestamp 0, x: ext 5 with one byte, n: NaN, i: infinity */
    sock_message *message = from_hex("85 a162 c403010203 a174 d6ff00000000 a178 d40509"
                                     "a16e cb7ff8000000000000 a169 cb7ff0000000000000");
    CHECK(message);
    const char *json = sock_message_data_json(message);
    CHECK_CONTAINS(json, "\"AQID\"");
    CHECK_CONTAINS(json, "\"1970-01-01T00:00:00");
    sock_message *again = FROM_JSON(json);
    int64_t type = 0;
    int kind = -1;
    const char *text = NULL;
    CHECK_OK(sock_message_get_int(again, "/x/type", &type));
    CHECK_INT(type, 5);
    CHECK_OK(sock_message_get_string(again, "/x/data", &text, NULL));
    CHECK_STR(text, "CQ==");
    CHECK_OK(sock_message_get_kind(again, "/n", &kind));
    CHECK_INT(kind, DOTSOCK_KIND_NIL);
    CHECK_OK(sock_message_get_kind(again, "/i", &kind));
    CHECK_INT(kind, DOTSOCK_KIND_NIL);
    sock_message_free(again);
    sock_message_free(message);

    message = from_hex("81a173a3 61ff62"); /* text that is not UTF-8 */
    CHECK_JSON(sock_message_data_json(message), "{\"s\":\"a\xef\xbf\xbd" "b\"}");
    size_t size = 0;
    CHECK_OK(sock_message_get_string(message, "/s", &text, &size));
    CHECK_INT(size, 3);
    CHECK(memcmp(text, "a\xff" "b", 4) == 0); /* as it came, NUL-terminated */
    sock_message_free(message);
}

TEST(the_whole_envelope_as_json)
{
    sock_message *message = sock_message_from_json("whole", DOTSOCK_CONTROL, "{\"a\":{\"b\":1}}");
    sock_message *parsed = FROM_JSON(sock_message_json(message));
    const char *text = NULL;
    int64_t ms = 0;
    CHECK(parsed);
    CHECK_OK(sock_message_get_string(parsed, "/event_name", &text, NULL));
    CHECK_STR(text, "whole");
    CHECK_OK(sock_message_get_string(parsed, "/message_type", &text, NULL));
    CHECK_STR(text, "control");
    CHECK_OK(sock_message_get_int(parsed, "/timestamp_ms", &ms));
    CHECK_INT(ms, sock_message_timestamp_ms(message));
    CHECK_OK(sock_message_get_string(parsed, "/timestamp_iso", &text, NULL));
    CHECK_STR(text, sock_message_timestamp_iso(message));
    CHECK_OK(sock_message_get_int(parsed, "/data/a/b", &ms));
    CHECK_INT(ms, 1);
    sock_message_free(parsed);
    sock_message_free(message);
}

TEST(values_by_pointer)
{
    sock_message *message = FROM_JSON("{\"status\":\"ok\",\"n\":-3,\"half\":0.5,\"two\":2.0,\"yes\":true,\"\":\"empty\","
                                      "\"a/b\":1,\"m~n\":2,\"nul\":\"a\\u0000b\",\"huge\":18446744073709551615,"
                                      "\"steps\":[{\"name\":\"first\"},{\"name\":\"second\"}]}");
    CHECK(message);
    int64_t i = 0;
    uint64_t u = 0;
    double d = 0;
    int b = 0;
    const char *text = NULL;
    size_t size = 0;
    CHECK_OK(sock_message_get_string(message, "/status", &text, NULL));
    CHECK_STR(text, "ok");
    CHECK_OK(sock_message_get_int(message, "/n", &i));
    CHECK_INT(i, -3);
    CHECK_OK(sock_message_get_double(message, "/half", &d));
    CHECK(d == 0.5);
    CHECK_OK(sock_message_get_double(message, "/n", &d)); /* an integer is readable as a double */
    CHECK(d == -3.0);
    CHECK_OK(sock_message_get_bool(message, "/yes", &b));
    CHECK_INT(b, 1);
    CHECK_OK(sock_message_get_string(message, "/", &text, NULL));
    CHECK_STR(text, "empty");
    CHECK_OK(sock_message_get_uint(message, "/a~1b", &u));
    CHECK_INT(u, 1);
    CHECK_OK(sock_message_get_uint(message, "/m~0n", &u));
    CHECK_INT(u, 2);
    CHECK_OK(sock_message_get_string(message, "/nul", &text, &size));
    CHECK_INT(size, 3);
    CHECK(memcmp(text, "a\0b", 4) == 0);
    CHECK_OK(sock_message_get_string(message, "/steps/1/name", &text, NULL));
    CHECK_STR(text, "second");

    /* Another type, or nothing there. Outputs stay as they were. */
    i = 77;
    CHECK_STATUS(sock_message_get_int(message, "/two", &i), DOTSOCK_E_INVALID); /* a double is no integer */
    CHECK_STATUS(sock_message_get_int(message, "/huge", &i), DOTSOCK_E_INVALID);
    CHECK_STATUS(sock_message_get_int(message, "/status", &i), DOTSOCK_E_INVALID);
    CHECK_STATUS(sock_message_get_int(message, "/none", &i), DOTSOCK_E_INVALID);
    CHECK_STATUS(sock_message_get_int(message, "/steps/2", &i), DOTSOCK_E_INVALID);
    CHECK_STATUS(sock_message_get_int(message, "/steps/-", &i), DOTSOCK_E_INVALID);
    CHECK_STATUS(sock_message_get_int(message, "/n/deeper", &i), DOTSOCK_E_INVALID);
    CHECK_STATUS(sock_message_get_int(message, "n", &i), DOTSOCK_E_INVALID); /* no slash: no pointer */
    CHECK_INT(i, 77);
    CHECK_STATUS(sock_message_get_uint(message, "/n", &u), DOTSOCK_E_INVALID);
    CHECK_INT(u, 2);
    CHECK_STATUS(sock_message_get_bool(message, "/n", &b), DOTSOCK_E_INVALID);
    CHECK_STATUS(sock_message_get_string(message, "/n", &text, NULL), DOTSOCK_E_INVALID);
    const void *bytes = NULL;
    CHECK_STATUS(sock_message_get_bytes(message, "/status", &bytes, &size), DOTSOCK_E_INVALID);
    CHECK(!bytes);
    sock_message_free(message);
}

TEST(bytes_raw_values_and_foreign_keys)
{
    /* {"b": bin, "m": {1: "one", true: "yes", null: "nothing", [1]: "list"}, "k": 1, "k": [2]} */
    sock_message *message = from_hex("84 a162 c4020102 a16d 84 01a36f6e65 c3a3796573 c0a76e6f7468696e67 9101a46c697374"
                                     "a16b 01 a16b 9102");
    CHECK(message);
    const void *bytes = NULL;
    const char *text = NULL;
    size_t size = 0;
    CHECK_OK(sock_message_get_bytes(message, "/b", &bytes, &size));
    CHECK_INT(size, 2);
    CHECK(memcmp(bytes, "\1\2", 2) == 0);
    CHECK_OK(sock_message_get_string(message, "/m/1", &text, NULL));
    CHECK_STR(text, "one");
    CHECK_OK(sock_message_get_string(message, "/m/true", &text, NULL));
    CHECK_STR(text, "yes");
    CHECK_OK(sock_message_get_string(message, "/m/null", &text, NULL));
    CHECK_STR(text, "nothing");
    CHECK_OK(sock_message_get_string(message, "/m/[1]", &text, NULL));
    CHECK_STR(text, "list");
    CHECK_OK(sock_message_get_msgpack(message, "/k", &bytes, &size)); /* of equal keys the last, as it came */
    CHECK_INT(size, 2);
    CHECK(memcmp(bytes, "\x91\x02", 2) == 0);
    CHECK_OK(sock_message_get_msgpack(message, "", &bytes, &size));
    size_t all = 0;
    const void *data = sock_message_data(message, &all);
    CHECK(size == all && memcmp(bytes, data, all) == 0);
    sock_message_free(message);
}

TEST(walking_what_one_does_not_know)
{
    /* {"nil", "bool", "int", "double", "string", "bytes", "array", "map": {7: 0}, "ext"} */
    sock_message *message = from_hex("89 a36e696c c0 a4626f6f6c c2 a3696e74 ff a6646f75626c65 ca3f800000"
                                     "a6737472696e67 a26869 a56279746573 c403000000 a56172726179 920102"
                                     "a36d6170 810700 a3657874 d50a0102");
    CHECK(message);
    static const char *const keys[] = {"nil", "bool", "int", "double", "string", "bytes", "array", "map", "ext"};
    static const long sizes[] = {-1, -1, -1, -1, 2, 3, 2, 1, 2};
    int kind = -1;
    size_t size = 0;
    CHECK_OK(sock_message_get_kind(message, "", &kind));
    CHECK_INT(kind, DOTSOCK_KIND_MAP);
    CHECK_OK(sock_message_get_size(message, "", &size));
    CHECK_INT(size, 9);
    for (int i = 0; i < 9; i++) {
        const char *key = NULL;
        char pointer[32];
        CHECK_OK(sock_message_get_key(message, "", (size_t)i, &key, &size));
        CHECK_STR(key, keys[i]);
        CHECK_INT(size, strlen(keys[i]));
        snprintf(pointer, sizeof pointer, "/%s", key);
        CHECK_OK(sock_message_get_kind(message, pointer, &kind));
        CHECK_INT(kind, i);
        if (sizes[i] < 0) {
            CHECK_STATUS(sock_message_get_size(message, pointer, &size), DOTSOCK_E_INVALID);
        } else {
            CHECK_OK(sock_message_get_size(message, pointer, &size));
            CHECK_INT(size, sizes[i]);
        }
    }
    const char *key = NULL;
    CHECK_OK(sock_message_get_key(message, "/map", 0, &key, NULL));
    CHECK_STR(key, "7");
    CHECK_STATUS(sock_message_get_key(message, "", 9, &key, &size), DOTSOCK_E_INVALID);
    CHECK_STATUS(sock_message_get_key(message, "/array", 0, &key, &size), DOTSOCK_E_INVALID);
    CHECK_STATUS(sock_message_get_kind(message, "/none", &kind), DOTSOCK_E_INVALID);
    sock_message_free(message);
}

TEST(depth_is_bounded)
{
    for (int depth = 127; depth <= 129; depth++) { /* the payload's own map is the first level */
        struct bytes data = {0};
        char json[600] = "{\"k\":";
        put_hex(&data, "81a16b");
        for (int i = 1; i < depth; i++) {
            put_hex(&data, "91");
            strcat(json, "[");
        }
        put_hex(&data, "c0");
        strcat(json, "null");
        for (int i = 1; i < depth; i++)
            strcat(json, "]");
        strcat(json, "}");
        if (depth <= 128) {
            sock_message *one = sock_message_new("e", DOTSOCK_DATA, data.at, data.size), *other = FROM_JSON(json);
            CHECK(one && other);
            CHECK_JSON(sock_message_data_json(one), json);
            CHECK_JSON(sock_message_data_json(other), json);
            sock_message_free(one);
            sock_message_free(other);
        } else {
            CHECK_NULL(sock_message_new("e", DOTSOCK_DATA, data.at, data.size), DOTSOCK_E_MESSAGE);
            CHECK_CONTAINS(sock_last_error(), "128");
            CHECK_NULL(FROM_JSON(json), DOTSOCK_E_MESSAGE);
        }
        free(data.at);
    }
}

TEST(an_envelope_round_trip_is_byte_for_byte)
{
    /* Keys in another order, an unknown one, a name and a timestamp of another make. */
    struct bytes envelope = {0};
    put_number(&envelope, 0x86, 1);
    put_str(&envelope, "data");
    put_hex(&envelope, "81a16b01");
    put_str(&envelope, "hop");
    put_hex(&envelope, "93c0c0c0");
    put_str(&envelope, "message_type");
    put_str(&envelope, "error");
    put_str(&envelope, "timestamp_iso");
    put_str(&envelope, "yesterday");
    put_str(&envelope, "timestamp_ms");
    put_hex(&envelope, "d3fffffffffffffffe");
    put_str(&envelope, "event_name");
    put_str(&envelope, "wallpaper.progress/4");
    sock_message *message = sock_message_from_envelope(envelope.at, envelope.size);
    CHECK(message);
    CHECK_STR(sock_message_event_name(message), "wallpaper.progress/4");
    CHECK_STR(sock_message_timestamp_iso(message), "yesterday");
    CHECK_INT(sock_message_timestamp_ms(message), -2);
    CHECK_INT(sock_message_type(message), DOTSOCK_ERROR);
    CHECK_JSON(sock_message_data_json(message), "{\"k\":1}");
    size_t size = 0;
    const void *same = sock_message_envelope(message, &size);
    CHECK(size == envelope.size && memcmp(same, envelope.at, size) == 0);

    /* And it is sent so. */
    sock_server *server = start_server("e", NULL);
    CHECK_OK(sock_send(server, message, NULL));
    sock_client *client = join("e", NULL);
    sock_message *received = take(client);
    same = sock_message_envelope(received, &size);
    CHECK(size == envelope.size && memcmp(same, envelope.at, size) == 0);
    sock_message_free(received);
    sock_message_free(message);
    sock_client_free(client);
    sock_server_free(server);
    free(envelope.at);
}

TEST(a_malformed_envelope)
{
    CHECK_NULL(sock_message_from_envelope(NULL, 0), DOTSOCK_E_MESSAGE);
    CHECK_NULL(sock_message_from_envelope("\x80", 1), DOTSOCK_E_MESSAGE);
    struct bytes envelope = {0};
    put_envelope(&envelope, "e", "data", "\x80", 1);
    sock_message *message = sock_message_from_envelope(envelope.at, envelope.size);
    CHECK(message);
    sock_message_free(message);
    CHECK_NULL(sock_message_from_envelope(envelope.at, envelope.size - 1), DOTSOCK_E_MESSAGE);
    put_hex(&envelope, "00");
    CHECK_NULL(sock_message_from_envelope(envelope.at, envelope.size), DOTSOCK_E_MESSAGE);
    envelope.size = 0;
    put_envelope(&envelope, "e", "warning", "\x80", 1);
    CHECK_NULL(sock_message_from_envelope(envelope.at, envelope.size), DOTSOCK_E_MESSAGE);
    free(envelope.at);
}

TEST(references_keep_a_message)
{
    sock_message *message = FROM_JSON("{\"text\":\"still here\"}");
    sock_message *reference = sock_message_ref(message);
    CHECK(reference);
    const char *text = NULL;
    sock_message_free(message);
    CHECK_OK(sock_message_get_string(reference, "/text", &text, NULL));
    CHECK_STR(text, "still here");
    sock_message_free(reference);
}

TEST(a_large_message)
{
    enum { SIZE = 1 << 20 };
    char *json = malloc(SIZE + 64);
    strcpy(json, "{\"text\":\"");
    memset(json + 9, 'x', SIZE);
    strcpy(json + 9 + SIZE, "\"}");
    sock_message *message = FROM_JSON(json);
    CHECK(message);
    size_t size = 0;
    CHECK_OK(sock_message_get_size(message, "/text", &size));
    CHECK_INT(size, SIZE);
    CHECK_JSON(sock_message_data_json(message), json);
    sock_message_free(message);
    free(json);
}
