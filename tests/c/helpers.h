/* helpers.h - servers, clients and hooks for tests, in one line each. All of them end the test when
 * something fails. Option lists are "key", "value" pairs that end with NULL. */
#ifndef HELPERS_H
#define HELPERS_H

#include "check.h"

/* ---- options, servers, clients ---- */

static inline sock_options *options_from(va_list pairs)
{
    sock_options *options = sock_options_new();
    CHECK(options);
    for (const char *key; (key = va_arg(pairs, const char *)) != NULL;) {
        const char *value = va_arg(pairs, const char *);
        if (sock_options_set(options, key, value) != DOTSOCK_OK)
            FAIL("option %s = %s: %s", key, value, sock_last_error());
    }
    return options;
}

__attribute__((sentinel)) static inline sock_server *new_server(int transport, const char *event, ...)
{
    va_list pairs;
    va_start(pairs, event);
    sock_options *options = options_from(pairs);
    va_end(pairs);
    sock_server *server = sock_server_new(transport, event, options);
    CHECK(server);
    sock_options_free(options);
    return server;
}

__attribute__((sentinel)) static inline sock_client *new_client(int transport, const char *event, ...)
{
    va_list pairs;
    va_start(pairs, event);
    sock_options *options = options_from(pairs);
    va_end(pairs);
    sock_client *client = sock_client_new(transport, event, options);
    CHECK(client);
    sock_options_free(options);
    return client;
}

static inline sock_server *started(sock_server *server)
{
    CHECK_OK(sock_server_start(server));
    return server;
}

static inline sock_client *connected(sock_client *client)
{
    CHECK_OK(sock_client_connect(client));
    return client;
}

/* A Unix server that runs on its own thread, and a Unix client that is connected. */
#define start_server(...) started(new_server(DOTSOCK_UNIX, __VA_ARGS__))
#define join(...) connected(new_client(DOTSOCK_UNIX, __VA_ARGS__))

static inline uint64_t stat_of(const sock_server *server, const char *name)
{
    uint64_t value = 0;
    CHECK_OK(sock_server_stat(server, name, &value));
    return value;
}

static inline uint64_t client_stat_of(const sock_client *client, const char *name)
{
    uint64_t value = 0;
    CHECK_OK(sock_client_stat(client, name, &value));
    return value;
}

#define wait_clients(server, count) WAIT_FOR(stat_of(server, "clients") == (uint64_t)(count))

/* The id of the client at `index`; the text lives as long as the test. */
static inline const char *client_id(sock_server *server, size_t index)
{
    static char ids[16][64];
    static int next;
    char *id = ids[next++ % 16];
    sock_client_list *list = sock_server_clients(server);
    CHECK(list);
    CHECK(index < sock_client_list_size(list));
    snprintf(id, sizeof ids[0], "%s", sock_client_list_id(list, index));
    sock_client_list_free(list);
    return id;
}

/* ---- messages ---- */

/* JSON without the white space between its tokens; `out` has room for strlen(json) + 1. */
static inline char *squeeze(const char *json, char *out)
{
    char *end = out;
    for (int text = 0; *json; json++) {
        if (*json == '"')
            text = !text;
        if (text && *json == '\\')
            *end++ = *json++;
        if (text || !strchr(" \n\t", *json))
            *end++ = *json;
    }
    *end = 0;
    return out;
}

/* Whether both are the same JSON text, white space aside. */
static inline int same_json(const char *one, const char *other)
{
    char *a = malloc(strlen(one) + 1), *b = malloc(strlen(other) + 1);
    int same = strcmp(squeeze(one, a), squeeze(other, b)) == 0;
    free(a);
    free(b);
    return same;
}

#define CHECK_JSON(expression, expected)                                                                     \
    do {                                                                                                     \
        const char *json_ = (expression), *wanted_ = (expected);                                             \
        if (!json_ || !same_json(json_, wanted_))                                                            \
            FAIL("%s is %s, expected %s", #expression, json_ ? json_ : sock_last_error(), wanted_);          \
    } while (0)

/* The next message, in good time; free it. */
static inline sock_message *take(sock_client *client)
{
    sock_message *message = NULL;
    int status = sock_client_recv(client, check_patience(), &message);
    if (status != DOTSOCK_OK)
        FAIL("no message: %s (%s)", sock_strerror(status), sock_last_error());
    return message;
}

/* The next message has this payload. */
#define EXPECT(client, json)                                                                                 \
    do {                                                                                                     \
        sock_message *message_ = take(client);                                                               \
        CHECK_JSON(sock_message_data_json(message_), json);                                                  \
        sock_message_free(message_);                                                                         \
    } while (0)

#define EXPECT_NOTHING(client)                                                                               \
    do {                                                                                                     \
        sock_message *message_ = NULL;                                                                       \
        CHECK_STATUS(sock_client_recv(client, 0, &message_), DOTSOCK_E_TIMEOUT);                             \
        CHECK(!message_);                                                                                    \
    } while (0)

/* Numbered messages: {"n": 7}. */
static inline char *numbered(int number)
{
    static __thread char json[32];
    snprintf(json, sizeof json, "{\"n\":%d}", number);
    return json;
}

static inline int number_of(const sock_message *message)
{
    int64_t number = -1;
    CHECK_OK(sock_message_get_int(message, "/n", &number));
    return (int)number;
}

#define SEND(server, number) CHECK_OK(sock_send_json(server, DOTSOCK_DATA, numbered(number), NULL))
#define EXPECT_NUMBER(client, number) EXPECT(client, numbered(number))

/* One numbered message with `size` bytes of padding. */
static inline int send_padded(sock_server *server, int number, size_t size, const char *id)
{
    sock_payload *payload = sock_payload_new();
    void *padding = calloc(1, size + 1);
    CHECK(payload && padding);
    CHECK_OK(sock_payload_set_int(payload, "/n", number));
    CHECK_OK(sock_payload_set_bytes(payload, "/padding", padding, size));
    int status = sock_send_payload(server, DOTSOCK_DATA, payload, id);
    sock_payload_free(payload);
    free(padding);
    return status;
}

/* A client's message that is larger than what its server will read at once. */
static inline int client_send_padded(sock_client *client, int number, size_t size)
{
    sock_payload *payload = sock_payload_new();
    void *padding = calloc(1, size + 1);
    CHECK(payload && padding);
    CHECK_OK(sock_payload_set_int(payload, "/n", number));
    CHECK_OK(sock_payload_set_bytes(payload, "/padding", padding, size));
    int status = sock_client_send_payload(client, DOTSOCK_DATA, payload);
    sock_payload_free(payload);
    free(padding);
    return status;
}

/* How many messages a `missed` notice stands for; 0 when it is none. */
static inline int missed_count(const sock_message *message)
{
    const char *code = NULL;
    int64_t count = 0;
    if (sock_message_type(message) != DOTSOCK_CONTROL ||
        sock_message_get_string(message, "/code", &code, NULL) != DOTSOCK_OK || strcmp(code, "missed") != 0)
        return 0;
    CHECK_OK(sock_message_get_int(message, "/count", &count));
    CHECK(count > 0);
    return (int)count;
}

/* ---- the events of a server that the test drives itself ---- */

static inline sock_event *next_event(sock_server *server)
{
    sock_event *event = NULL;
    int status = sock_server_next(server, check_patience(), &event);
    if (status != DOTSOCK_OK)
        FAIL("no event: %s (%s)", sock_strerror(status), sock_last_error());
    return event;
}

#define EXPECT_EVENT(server, kind)                                                                           \
    do {                                                                                                     \
        sock_event *event_ = next_event(server);                                                             \
        CHECK_INT(sock_event_kind(event_), kind);                                                            \
        sock_event_free(event_);                                                                             \
    } while (0)

/* CLOCK_PROCESS_CPUTIME_ID or CLOCK_THREAD_CPUTIME_ID. */
static inline double cpu_seconds(clockid_t clock)
{
    struct timespec time;
    CHECK(clock_gettime(clock, &time) == 0);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Whether a descriptor is readable now. */
static inline int readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    CHECK(poll(&p, 1, 0) >= 0);
    return (p.revents & POLLIN) != 0;
}

/* ---- hooks that write down what happened ---- */

/* One line a call: "+A" A came, "-A" A left, "A {json}" A sent a message. The first client to come
 * is A, the second B. */
struct record {
    pthread_mutex_t lock;
    char text[65536];
    char ids[26][64];
    int clients, drops;
};

#define RECORD {.lock = PTHREAD_MUTEX_INITIALIZER}

static inline char record_letter(struct record *record, const char *id)
{
    int i = 0;
    while (i < record->clients && strcmp(record->ids[i], id) != 0)
        i++;
    if (i == record->clients && i < 26)
        snprintf(record->ids[record->clients++], sizeof record->ids[0], "%s", id);
    return (char)('A' + i);
}

static inline void record_line(struct record *record, const char *before, const char *id, const char *json)
{
    char small[1024] = "";
    if (json && strlen(json) < sizeof small)
        squeeze(json, small);
    pthread_mutex_lock(&record->lock);
    size_t used = strlen(record->text);
    snprintf(record->text + used, sizeof record->text - used, "%s%c%s%s\n", before, record_letter(record, id),
             json ? " " : "", small);
    pthread_mutex_unlock(&record->lock);
}

static inline void record_connected(void *ctx, sock_server *server, const char *id)
{
    (void)server;
    record_line(ctx, "+", id, NULL);
}

static inline void record_disconnected(void *ctx, sock_server *server, const char *id)
{
    (void)server;
    record_line(ctx, "-", id, NULL);
}

static inline void record_message(void *ctx, sock_server *server, const char *id, const sock_message *message)
{
    (void)server;
    record_line(ctx, "", id, sock_message_data_json(message));
}

static inline void record_drop(void *ctx)
{
    struct record *record = ctx;
    pthread_mutex_lock(&record->lock);
    record->drops++;
    pthread_mutex_unlock(&record->lock);
}

static inline void record_hooks(sock_server *server, struct record *record)
{
    CHECK_OK(sock_server_on_client_connected(server, record_connected, record, record_drop));
    CHECK_OK(sock_server_on_client_disconnected(server, record_disconnected, record, record_drop));
    CHECK_OK(sock_server_on_message_received(server, record_message, record, record_drop));
}

static inline int record_has(struct record *record, const char *part)
{
    pthread_mutex_lock(&record->lock);
    int found = strstr(record->text, part) != NULL;
    pthread_mutex_unlock(&record->lock);
    return found;
}

static inline int record_is(struct record *record, const char *text)
{
    pthread_mutex_lock(&record->lock);
    int same = strcmp(record->text, text) == 0;
    pthread_mutex_unlock(&record->lock);
    return same;
}

static inline int record_drops(struct record *record)
{
    pthread_mutex_lock(&record->lock);
    int drops = record->drops;
    pthread_mutex_unlock(&record->lock);
    return drops;
}

#endif
