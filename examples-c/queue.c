/* queue.c - the backlog: what is sent while nobody is connected.
 *
 *     cc queue.c $(pkg-config --cflags --libs dotsock) -o queue && ./queue
 */
#include <dotsock.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static void check(int status)
{
    if (status != DOTSOCK_OK) {
        fprintf(stderr, "queue: %s\n", sock_last_error());
        exit(1);
    }
}

int main(void)
{
    /* Options are text, the same keys as in the settings file and the environment. */
    sock_options *options = sock_options_new();
    if (!options)
        check(sock_last_status());
    check(sock_options_set(options, "message_queue_size", "3"));

    /* The server keeps a copy, so the options can be freed at once. */
    sock_server *server = sock_server_new(DOTSOCK_UNIX, "queue", options);
    sock_options_free(options);
    if (!server)
        check(sock_last_status());
    check(sock_server_start(server));

    /* Nobody is connected: these five go to the backlog, which drops the oldest two. */
    for (int64_t n = 1; n <= 5; n++) {
        sock_payload *payload = sock_payload_new(); /* builds a message without writing JSON */
        if (!payload)
            check(sock_last_status());
        check(sock_payload_set_int(payload, "/n", n));
        check(sock_payload_set_string(payload, "/text", "nothing needs \"escaping\" here"));
        check(sock_send_payload(server, DOTSOCK_DATA, payload, NULL));
        sock_payload_free(payload);
    }
    uint64_t dropped;
    check(sock_server_stat(server, "messages_dropped", &dropped));
    printf("%zu queued, %" PRIu64 " dropped\n", sock_server_queue_size(server), dropped);

    /* The first client to connect gets the whole backlog, oldest first. */
    sock_client *client = sock_client_new(DOTSOCK_UNIX, "queue", NULL);
    if (!client)
        check(sock_last_status());
    check(sock_client_connect(client));
    for (int i = 0; i < 3; i++) {
        sock_message *message;
        const char *text;
        int64_t n;
        check(sock_client_recv(client, 5000, &message));
        check(sock_message_get_int(message, "/n", &n));
        check(sock_message_get_string(message, "/text", &text, NULL));
        printf("got %" PRId64 ": %s\n", n, text);
        sock_message_free(message); /* `text` was borrowed from it: not to be used from here on */
    }
    sock_client_free(client);
    sock_server_free(server);
    return 0;
}
