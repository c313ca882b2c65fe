/* listener.c - prints what a server says, until it says `shutdown`.
 *
 *     cc listener.c $(pkg-config --cflags --libs dotsock) -o listener
 *     ./listener                   (and ./progress_server in another terminal, before or after)
 */
#include <dotsock.h>
#include <stdio.h>
#include <string.h>

static int failed(void)
{
    fprintf(stderr, "listener: %s\n", sock_last_error());
    return 1;
}

/* Whether this is the control message {"command": "shutdown"}. */
static int is_shutdown(const sock_message *message)
{
    const char *command;
    return sock_message_type(message) == DOTSOCK_CONTROL &&
           /* A JSON Pointer says which value. The text belongs to the message: do not free it. */
           sock_message_get_string(message, "/command", &command, NULL) == DOTSOCK_OK &&
           strcmp(command, "shutdown") == 0;
}

int main(int argc, char **argv)
{
    const char *event = argc > 1 ? argv[1] : "progress";
    static const char *const types[] = {"data", "error", "control"};
    setvbuf(stdout, NULL, _IOLBF, 0); /* every line at once, through a pipe too */

    sock_client *client = sock_client_new(DOTSOCK_UNIX, event, NULL);
    /* It connects as soon as there is a server. sock_client_connect() would say at once that there
     * is none. */
    if (!client || sock_client_open(client) != DOTSOCK_OK)
        return failed();
    printf("listening for %s\n", event);

    int status, done = 0;
    sock_message *message;
    /* -1 waits as long as it takes. Should the server be restarted meanwhile, the client connects
     * again by itself and the loop just goes on. */
    while (!done && (status = sock_client_recv(client, -1, &message)) == DOTSOCK_OK) {
        printf("%s %s\n", types[sock_message_type(message)], sock_message_data_json(message));
        done = is_shutdown(message);
        sock_message_free(message); /* every received message is ours to free */
    }
    if (!done)
        return failed();

    sock_client_free(client);
    printf("done\n");
    return 0;
}
