/* tcp.c - the same over TCP: the server takes a free port, the client finds it by the event's name.
 *
 *     cc tcp.c $(pkg-config --cflags --libs dotsock) -o tcp && ./tcp
 *
 * TCP has no notion of users: whoever reaches the port can read and send. The server listens on
 * 127.0.0.1 unless the option `host` says otherwise.
 */
#include <dotsock.h>
#include <stdio.h>
#include <stdlib.h>

static void check(int status)
{
    if (status != DOTSOCK_OK) {
        fprintf(stderr, "tcp: %s\n", sock_last_error());
        exit(1);
    }
}

/* Answers whoever asks. */
static void on_question(void *ctx, sock_server *server, const char *client_id, const sock_message *question)
{
    (void)ctx, (void)question;
    check(sock_send_json(server, DOTSOCK_DATA, "{\"sky\": \"clear\"}", client_id));
}

static void ask(const char *who, const sock_options *options)
{
    sock_client *client = sock_client_new(DOTSOCK_TCP, "weather", options);
    if (!client)
        check(sock_last_status());
    check(sock_client_connect(client));
    check(sock_client_send_json(client, DOTSOCK_DATA, "{\"question\": \"How is the weather?\"}"));
    sock_message *answer;
    check(sock_client_recv(client, 5000, &answer));
    printf("%s got %s\n", who, sock_message_data_json(answer));
    sock_message_free(answer);
    sock_client_free(client);
}

int main(void)
{
    /* The first free port of port_range_start to port_range_end. */
    sock_server *server = sock_server_new(DOTSOCK_TCP, "weather", NULL);
    if (!server)
        check(sock_last_status());
    check(sock_server_on_message_received(server, on_question, NULL, NULL));
    check(sock_server_start(server));
    fprintf(stderr, "listening on %s\n", sock_server_address(server));

    /* On the same machine: without a port, the address that the server published is used. */
    ask("by name", NULL);

    /* From elsewhere, host and port have to be known. */
    char port[16];
    snprintf(port, sizeof port, "%d", sock_server_port(server));
    sock_options *options = sock_options_new();
    if (!options)
        check(sock_last_status());
    check(sock_options_set(options, "host", "127.0.0.1"));
    check(sock_options_set(options, "port", port));
    ask("by address", options);

    sock_options_free(options);
    sock_server_free(server);
    return 0;
}
