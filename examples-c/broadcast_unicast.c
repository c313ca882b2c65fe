/* broadcast_unicast.c - to everybody, or to one client alone.
 *
 *     cc broadcast_unicast.c $(pkg-config --cflags --libs dotsock) -o broadcast_unicast
 *     ./broadcast_unicast
 */
#include <dotsock.h>
#include <stdio.h>
#include <stdlib.h>

static void check(int status)
{
    if (status != DOTSOCK_OK) {
        fprintf(stderr, "broadcast_unicast: %s\n", sock_last_error());
        exit(1);
    }
}

static sock_client *join(void)
{
    sock_client *client = sock_client_new(DOTSOCK_UNIX, "news", NULL);
    if (!client)
        check(sock_last_status());
    check(sock_client_connect(client));
    return client;
}

static void print_next(const char *who, sock_client *client)
{
    sock_message *message;
    check(sock_client_recv(client, 5000, &message));
    printf("%s got %s\n", who, sock_message_data_json(message));
    sock_message_free(message);
}

int main(void)
{
    sock_server *server = sock_server_new(DOTSOCK_UNIX, "news", NULL);
    if (!server)
        check(sock_last_status());

    /* No thread and no callback: the server tells what happens when it is asked. */
    check(sock_server_open(server));

    sock_client *first = join(), *second = join();
    char first_id[64]; /* ids are at most 63 characters */
    for (int i = 0; i < 2; i++) {
        sock_event *event;
        check(sock_server_next(server, 5000, &event)); /* two clients have come, in this order */
        if (i == 0)
            snprintf(first_id, sizeof first_id, "%s", sock_event_client_id(event));
        sock_event_free(event);
    }

    /* NULL: everybody gets it. */
    check(sock_send_json(server, DOTSOCK_DATA, "{\"text\": \"good morning\"}", NULL));
    /* An id: only that client gets it. */
    check(sock_send_json(server, DOTSOCK_DATA, "{\"text\": \"only for you\"}", first_id));
    /* What one thread sends arrives in the order of its calls. */
    check(sock_send_json(server, DOTSOCK_DATA, "{\"text\": \"good night\"}", NULL));

    for (int i = 0; i < 3; i++)
        print_next("first", first);
    for (int i = 0; i < 2; i++)
        print_next("second", second);

    /* A unicast never goes to somebody else: nobody has this id. */
    int status = sock_send_json(server, DOTSOCK_DATA, "{}", "nobody");
    printf("unknown id: %s\n", status == DOTSOCK_E_NO_CLIENT ? "DOTSOCK_E_NO_CLIENT" : "?");

    sock_client_free(first);
    sock_client_free(second);
    sock_server_free(server);
    return 0;
}
