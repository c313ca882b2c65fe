/* hooks.c - functions of yours that the server calls: a client came, sent something, left.
 *
 *     cc hooks.c $(pkg-config --cflags --libs dotsock) -o hooks && ./hooks
 *
 * With sock_server_start() hooks run on the server's own thread, one at a time. What they share
 * with the rest of the program (`ctx`) must be safe to use from two threads: here `main` looks at
 * it only after sock_server_stop(), when no hook runs any more.
 */
#include <dotsock.h>
#include <stdio.h>
#include <stdlib.h>

struct visitors { int came, left, messages; };

static void check(int status)
{
    if (status != DOTSOCK_OK) {
        fprintf(stderr, "hooks: %s\n", sock_last_error());
        exit(1);
    }
}

static void on_connected(void *ctx, sock_server *server, const char *client_id)
{
    struct visitors *visitors = ctx;
    visitors->came++;
    /* In a hook every call is allowed. The id says to whom: this client alone. */
    check(sock_send_json(server, DOTSOCK_DATA, "{\"text\": \"welcome\"}", client_id));
}

static void on_message(void *ctx, sock_server *server, const char *client_id, const sock_message *message)
{
    struct visitors *visitors = ctx;
    visitors->messages++;
    printf("hook got %s\n", sock_message_data_json(message));
    check(sock_send(server, message, client_id)); /* an echo; the message is borrowed, never freed here */
}

static void on_disconnected(void *ctx, sock_server *server, const char *client_id)
{
    (void)server, (void)client_id;
    ((struct visitors *)ctx)->left++;
}

static void print_next(sock_client *client)
{
    sock_message *message;
    check(sock_client_recv(client, 5000, &message));
    printf("client got %s\n", sock_message_data_json(message));
    sock_message_free(message);
}

int main(void)
{
    struct visitors *visitors = calloc(1, sizeof *visitors);
    sock_server *server = sock_server_new(DOTSOCK_UNIX, "hooks", NULL);
    sock_client *client = sock_client_new(DOTSOCK_UNIX, "hooks", NULL);
    if (!visitors || !server || !client)
        check(sock_last_status());

    /* Set before the server starts. The last argument may be a function that releases `ctx` once no
     * hook needs it any more; `main` needs it longer and frees it itself. */
    check(sock_server_on_client_connected(server, on_connected, visitors, NULL));
    check(sock_server_on_message_received(server, on_message, visitors, NULL));
    check(sock_server_on_client_disconnected(server, on_disconnected, visitors, NULL));
    check(sock_server_start(server));

    check(sock_client_connect(client));
    print_next(client); /* the welcome */
    check(sock_client_send_json(client, DOTSOCK_DATA, "{\"text\": \"hello\"}"));
    print_next(client); /* the echo */
    check(sock_server_stop(server)); /* every client's disconnected hook has run when it returns */
    printf("%d came, %d left, %d message(s)\n", visitors->came, visitors->left, visitors->messages);

    sock_client_free(client);
    sock_server_free(server);
    free(visitors);
}
