/* A program as a user writes it: sends one message from a server to a client. Besides, it has a
 * function that happens to be called like one of the library's, which never calls it. */
#include <dotsock.h>
#include <stdio.h>
#include <string.h>

#ifdef OWN_SOCK_SEND
static int calls;

/* Hides the library's, for this program alone. */
int sock_send(sock_server *server, const sock_message *message, const char *client_id)
{
    (void)server, (void)message, (void)client_id;
    return ++calls;
}
#endif

static int fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, sock_last_error());
    return 1;
}

int main(void)
{
    if (strcmp(sock_version(), EXPECTED_VERSION) != 0)
        return fail("not the version that was installed");
#if !DOTSOCK_VERSION_AT_LEAST(0, 1, 0) || DOTSOCK_VERSION_AT_LEAST(99, 0, 0)
#error DOTSOCK_VERSION_AT_LEAST
#endif
    sock_server *server = sock_server_new(DOTSOCK_UNIX, "installed", NULL);
    if (!server || sock_server_start(server) != DOTSOCK_OK)
        return fail("server");
    sock_client *client = sock_client_new(DOTSOCK_UNIX, "installed", NULL);
    if (!client || sock_client_connect(client) != DOTSOCK_OK)
        return fail("client");
    if (sock_send_json(server, DOTSOCK_DATA, "{\"progress\": 50}", NULL) != DOTSOCK_OK)
        return fail("send");
    sock_message *message;
    if (sock_client_recv(client, 5000, &message) != DOTSOCK_OK)
        return fail("recv");
    int64_t progress = 0;
    if (sock_message_get_int(message, "/progress", &progress) != DOTSOCK_OK || progress != 50)
        return fail("payload");
#ifdef OWN_SOCK_SEND
    if (calls != 0)
        return fail("the library called the program's sock_send()");
    if (sock_send(server, message, NULL) != 1)
        return fail("the program does not call its own sock_send()");
#endif
    sock_message_free(message);
    sock_client_free(client);
    sock_server_free(server);
    puts("ok");
    return 0;
}
