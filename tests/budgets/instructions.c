/* Walks the hot paths, one at a time and always on this thread, so that callgrind counts nothing
 * but the path. What belongs together is between `begin` and `end`; only what is between `COUNT(` and
 * `)` is counted.
 *
 *     valgrind --tool=callgrind --collect-atstart=no ./instructions */
#include "paths.h"

#include <valgrind/callgrind.h>

#define ALONE 200 /* messages that come one at a time */
#define BURST 128 /* messages that come together; all of them fit into a socket */
#define MANY 100  /* clients of a broadcast */

#define COUNT(...) do { CALLGRIND_TOGGLE_COLLECT; __VA_ARGS__; CALLGRIND_TOGGLE_COLLECT; } while (0)

static void begin(void) { CALLGRIND_ZERO_STATS; }

/* What was counted since `begin` was for so many operations. */
static void end(const char *path, int operations)
{
    char text[64];
    snprintf(text, sizeof text, "%s/%d", path, operations);
    CALLGRIND_DUMP_STATS_AT(text);
}

static void expect_message(sock_server *server)
{
    sock_event *event = next(server);
    if (sock_event_kind(event) != DOTSOCK_MESSAGE_RECEIVED) { fprintf(stderr, "no message\n"); exit(1); }
    sock_event_free(event);
}

static void connect_all(sock_server *server, sock_client **clients, int count)
{
    for (int i = 0; i < count; i++) {
        clients[i] = new_client();
        sock_event_free(next(server));
    }
}

/* `first` is left out: memory and tables grow for it. */
#define TWICE(first) for (int first = 1; first >= 0; first--)

static void alone(void)
{
    sock_server *server = new_server();
    sock_client *client;
    check(sock_server_open(server), "sock_server_open");
    connect_all(server, &client, 1);
    TWICE(first) {
        begin();
        for (int i = 0; i < ALONE; i++) { COUNT(send_one(server)); receive_one(client); }
        if (!first) end("server_send_alone", ALONE);
    }
    begin();
    for (int i = 0; i < ALONE; i++) { send_one(server); COUNT(receive_one(client)); }
    end("client_receive_alone", ALONE);
    TWICE(first) {
        begin();
        for (int i = 0; i < ALONE; i++) { COUNT(send_back(client)); expect_message(server); }
        if (!first) end("client_send_alone", ALONE);
    }
    begin();
    for (int i = 0; i < ALONE; i++) { send_back(client); COUNT(expect_message(server)); }
    end("server_receive_alone", ALONE);
    sock_client_free(client);
    sock_server_free(server);
}

/* A server with a thread, which has nothing to do meanwhile. */
static void started(void)
{
    sock_server *server = new_server();
    check(sock_server_start(server), "sock_server_start");
    sock_client *client = new_client();
    wait_for_clients(server, 1);
    TWICE(first) {
        begin();
        for (int i = 0; i < ALONE; i++) { COUNT(send_one(server)); receive_one(client); }
        if (!first) end("started_server_send_alone", ALONE);
    }
    sock_client_free(client);
    sock_server_free(server);
}

static void burst(void)
{
    sock_server *server = new_server();
    sock_client *client;
    check(sock_server_open(server), "sock_server_open");
    connect_all(server, &client, 1);
    TWICE(first) {
        begin();
        COUNT(check(sock_server_cork(server), "cork");
              for (int i = 0; i < BURST; i++) send_one(server);
              check(sock_server_uncork(server), "uncork"));
        if (!first) end("server_send_burst", BURST);
        begin();
        COUNT(for (int i = 0; i < BURST; i++) receive_one(client));
        if (!first) end("client_receive_burst", BURST);
    }
    TWICE(first) {
        begin();
        COUNT(check(sock_client_cork(client), "cork");
              for (int i = 0; i < BURST; i++) send_back(client);
              check(sock_client_uncork(client), "uncork"));
        if (!first) end("client_send_burst", BURST);
        begin();
        COUNT(for (int i = 0; i < BURST; i++) expect_message(server));
        if (!first) end("server_receive_burst", BURST);
    }
    sock_client_free(client);
    sock_server_free(server);
}

/* Counted by the client: a delivery. */
static void broadcast(void)
{
    sock_server *server = new_server();
    sock_client *clients[MANY];
    check(sock_server_open(server), "sock_server_open");
    connect_all(server, clients, MANY);
    TWICE(first) {
        begin();
        COUNT(for (int i = 0; i < 10; i++) send_one(server));
        if (!first) end("broadcast_alone", 10 * MANY);
        begin();
        COUNT(check(sock_server_cork(server), "cork");
              for (int i = 0; i < BURST; i++) send_one(server);
              check(sock_server_uncork(server), "uncork"));
        if (!first) end("broadcast_burst", BURST * MANY);
        for (int c = 0; c < MANY; c++)
            for (int i = 0; i < BURST + 10; i++) receive_one(clients[c]);
    }
    for (int c = 0; c < MANY; c++) sock_client_free(clients[c]);
    sock_server_free(server);
}

static void json(void)
{
    static const char TEXT[] = "{\"status\": \"processing\", \"progress\": 50, \"file\": \"wallpaper/0001.png\"}";
    sock_message *messages[ALONE];
    TWICE(first) {
        begin();
        for (int i = 0; i < ALONE; i++) {
            COUNT(messages[i] = sock_message_from_json(EVENT, DOTSOCK_DATA, TEXT));
            if (!messages[i]) check(sock_last_status(), "sock_message_from_json");
        }
        if (!first) end("json_in", ALONE);
        begin();
        for (int i = 0; i < ALONE; i++) {
            COUNT(if (!sock_message_data_json(messages[i])) check(sock_last_status(), "data_json"));
            sock_message_free(messages[i]);
        }
        if (!first) end("json_out", ALONE);
    }
}

int main(void)
{
    alone();
    started();
    burst();
    broadcast();
    json();
    return 0;
}
