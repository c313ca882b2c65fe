/* Timestamps in every time zone. */
#include "helpers.h"

static const char *at(const char *zone, int64_t ms)
{
    static char text[DOTSOCK_TIMESTAMP_SIZE];
    CHECK_OK(sock_timestamp_iso_at(zone, ms, text, sizeof text));
    return text;
}

TEST(instants_in_time_zones)
{
    CHECK_STR(at("UTC", 0), "1970-01-01T00:00:00.000000+00:00");
    CHECK_STR(at("UTC", 1790000000000), "2026-09-21T14:13:20.000000+00:00");
    CHECK_STR(at("UTC", -1), "1969-12-31T23:59:59.999000+00:00");
    CHECK_STR(at("UTC", 951868799999), "2000-02-29T23:59:59.999000+00:00");
    CHECK_STR(at("America/New_York", 1795428000123), "2026-11-23T05:00:00.123000-05:00");
    CHECK_STR(at("America/New_York", 1782864000000), "2026-06-30T20:00:00.000000-04:00"); /* summer */
    CHECK_STR(at("Asia/Kolkata", 0), "1970-01-01T05:30:00.000000+05:30");
}

TEST(milliseconds_are_the_systems)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    int64_t now = (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000, ours = sock_timestamp_ms();
    CHECK(ours >= now && ours < now + check_patience());
}

TEST(now_is_between_two_readings)
{
    char before[DOTSOCK_TIMESTAMP_SIZE], now[DOTSOCK_TIMESTAMP_SIZE], after[DOTSOCK_TIMESTAMP_SIZE];
    CHECK_OK(sock_timestamp_iso_at("UTC", sock_timestamp_ms(), before, sizeof before));
    CHECK_OK(sock_timestamp_iso("UTC", now, sizeof now));
    CHECK_OK(sock_timestamp_iso_at("UTC", sock_timestamp_ms() + 1, after, sizeof after));
    CHECK_INT(strlen(now), 32);
    CHECK(strcmp(before, now) <= 0 && strcmp(now, after) <= 0); /* the same zone: text sorts as time */
}

TEST(an_unknown_time_zone_is_named)
{
    char text[DOTSOCK_TIMESTAMP_SIZE] = "untouched";
    CHECK_STATUS(sock_timestamp_iso("Mars/Olympus", text, sizeof text), DOTSOCK_E_INVALID);
    CHECK_CONTAINS(sock_last_error(), "Mars/Olympus");
    CHECK_STATUS(sock_timestamp_iso_at("\xff", 0, text, sizeof text), DOTSOCK_E_INVALID);
    CHECK_STR(text, "untouched");
}

TEST(the_farthest_instants_fit_too)
{
    CHECK_STR(at("UTC", INT64_MAX), "+292278994-08-17T07:12:55.807000+00:00");
    CHECK_STR(at("UTC", INT64_MIN), "-292275055-05-16T16:47:04.192000+00:00");
    CHECK_STR(at("Asia/Kolkata", INT64_MAX) + 32, "+05:30");
}

TEST(a_small_buffer_is_left_alone)
{
    char text[DOTSOCK_TIMESTAMP_SIZE] = "untouched";
    CHECK_STATUS(sock_timestamp_iso_at("UTC", 0, text, 32), DOTSOCK_E_INVALID);
    CHECK_CONTAINS(sock_last_error(), "33"); /* 32 characters and the NUL */
    CHECK_STATUS(sock_timestamp_iso("UTC", text, 0), DOTSOCK_E_INVALID);
    CHECK_STR(text, "untouched");
    CHECK_OK(sock_timestamp_iso_at("UTC", 0, text, 33));
}

TEST(no_time_zone_is_the_configured_one_of_the_first_call)
{
    char text[DOTSOCK_TIMESTAMP_SIZE];
    setenv("DOTSOCK_TIMEZONE", "Asia/Kolkata", 1);
    CHECK_STR(at(NULL, 0), "1970-01-01T05:30:00.000000+05:30");
    setenv("DOTSOCK_TIMEZONE", "UTC", 1);
    CHECK_STR(at(NULL, 0), "1970-01-01T05:30:00.000000+05:30");
    CHECK_OK(sock_timestamp_iso(NULL, text, sizeof text));
    CHECK_STR(text + 26, "+05:30");
    sock_message *message = sock_message_from_json("e", DOTSOCK_DATA, "{}");
    CHECK(message);
    CHECK_STR(sock_message_timestamp_iso(message) + 26, "+05:30");
    sock_message_free(message);
}

TEST(a_bad_configuration_is_utc)
{
    setenv("DOTSOCK_TIMEZONE", "Mars/Olympus", 1);
    CHECK_STR(at(NULL, 0), "1970-01-01T00:00:00.000000+00:00");
}

TEST(a_servers_messages_are_in_its_time_zone)
{
    sock_server *server = start_server("e", "timezone", "Asia/Kolkata", NULL);
    SEND(server, 1);
    sock_client *client = join("e", NULL);
    sock_message *message = take(client);
    const char *text = sock_message_timestamp_iso(message);
    CHECK_STR(text + 26, "+05:30");
    CHECK(strncmp(text, at("Asia/Kolkata", sock_message_timestamp_ms(message)), 23) == 0);
    sock_message_free(message);
    sock_client_free(client);
    sock_server_free(server);
}
