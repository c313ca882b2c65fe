/* demo_client.c - a client of demo.sh: `demo_client NAME`. Says hello, prints what it is told,
 * notices that its server was killed, greets the next one, and ends when told to shut down.
 */
#include <dotsock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(int status)
{
    if (status != DOTSOCK_OK) {
        fprintf(stderr, "demo_client: %s\n", sock_last_error());
        exit(1);
    }
}

static void say_hello(sock_client *client, const char *name)
{
    sock_payload *payload = sock_payload_new();
    if (!payload)
        check(sock_last_status());
    check(sock_payload_set_string(payload, "/hello", name));
    /* After a lost connection this connects again first, for up to `default_timeout` seconds. */
    check(sock_client_send_payload(client, DOTSOCK_DATA, payload));
    sock_payload_free(payload);
}

int main(int argc, char **argv)
{
    static const char *const types[] = {"data", "error", "control"};
    const char *name = argc > 1 ? argv[1] : "one";
    setvbuf(stdout, NULL, _IOLBF, 0);

    sock_options *options = sock_options_new();
    if (!options)
        check(sock_last_status());
    check(sock_options_set(options, "report_loss", "true")); /* else a restart goes unnoticed */
    sock_client *client = sock_client_new(DOTSOCK_UNIX, "demo", options);
    sock_options_free(options);
    if (!client)
        check(sock_last_status());
    check(sock_client_connect(client));
    say_hello(client, name);

    for (int done = 0; !done;) {
        sock_message *message;
        int status = sock_client_recv(client, 10000, &message);
        if (status == DOTSOCK_E_CLOSED) {
            printf("[client %s] the server is gone; connecting again\n", name);
            say_hello(client, name);
            continue;
        }
        check(status);
        printf("[client %s] %s %s\n", name, types[sock_message_type(message)], sock_message_data_json(message));
        done = sock_message_type(message) == DOTSOCK_CONTROL;
        sock_message_free(message);
    }
    sock_client_free(client);
    printf("[client %s] bye\n", name);
    return 0;
}
