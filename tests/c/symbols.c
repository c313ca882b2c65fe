/* A program that has functions of its own with names of ours: the library's inner calls stay its own.
 * The header's declarations are renamed here, so that the program can define them anew; the linker
 * makes these visible to the library all the same. */
#define _GNU_SOURCE
#define sock_send header_sock_send
#define sock_send_data header_sock_send_data
#define sock_message_ref header_sock_message_ref
#define sock_client_send header_sock_client_send
#define sock_timestamp_ms header_sock_timestamp_ms
#define sock_validate_event_name header_sock_validate_event_name
#include <dotsock.h>
#undef sock_send
#undef sock_send_data
#undef sock_message_ref
#undef sock_client_send
#undef sock_timestamp_ms
#undef sock_validate_event_name

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MINE(name)                                                                                           \
    int name(void);                                                                                          \
    int name(void)                                                                                           \
    {                                                                                                        \
        fprintf(stderr, "the library called the program's own %s\n", #name);                                 \
        _exit(1);                                                                                            \
    }

MINE(sock_send)
MINE(sock_send_data)
MINE(sock_message_ref)
MINE(sock_client_send)
MINE(sock_timestamp_ms)
MINE(sock_validate_event_name)

static void check(int condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "%s: %s\n", what, sock_last_error());
        exit(1);
    }
}

int main(void)
{
    char directory[] = "/tmp/dotsock-XXXXXX";
    check(mkdtemp(directory) != NULL, "mkdtemp");
    setenv("DOTSOCK_SOCKET_DIR", directory, 1);
    sock_server *server = sock_server_new(DOTSOCK_UNIX, "symbols", NULL);
    sock_client *client = sock_client_new(DOTSOCK_UNIX, "symbols", NULL);
    sock_payload *payload = sock_payload_new();
    check(server && client && payload, "constructors");
    check(sock_server_open(server) == DOTSOCK_OK, "open");
    check(sock_client_connect(client) == DOTSOCK_OK, "connect");
    sock_event *event = NULL;
    sock_message *message = NULL;
    check(sock_server_next(server, 5000, &event) == DOTSOCK_OK, "connected event");
    sock_event_free(event);
    check(sock_send_json(server, DOTSOCK_DATA, "{\"a\":1}", NULL) == DOTSOCK_OK, "send_json");
    check(sock_send_payload(server, DOTSOCK_DATA, payload, NULL) == DOTSOCK_OK, "send_payload");
    for (int i = 0; i < 2; i++) {
        check(sock_client_recv(client, 5000, &message) == DOTSOCK_OK, "recv");
        sock_message_free(message);
    }
    check(sock_client_send_json(client, DOTSOCK_DATA, "{\"b\":2}") == DOTSOCK_OK, "client send_json");
    check(sock_server_next(server, 5000, &event) == DOTSOCK_OK, "message event");
    sock_event_free(event);
    message = sock_message_from_json("symbols", DOTSOCK_DATA, "{}");
    check(message != NULL, "from_json");
    sock_message_free(message);
    sock_payload_free(payload);
    sock_client_free(client);
    sock_server_free(server);
    rmdir(directory);
    printf("1 of 1 tests passed\n");
    return 0;
}
