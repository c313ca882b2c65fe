/* event_loop.c - a server and a client in one thread, driven by poll(2), without any callback.
 *
 *     cc event_loop.c $(pkg-config --cflags --libs dotsock) -o event_loop && ./event_loop
 *
 * Each handle has one descriptor that stays the same for its life: wait on it, never read it. It is
 * readable for as long as there is something to do, so one step for each wake-up is enough. The
 * same works with epoll, GLib, libuv, asyncio or any other event loop.
 */
#include <dotsock.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

static void check(int status)
{
    if (status != DOTSOCK_OK) {
        fprintf(stderr, "event_loop: %s\n", sock_last_error());
        exit(1);
    }
}

/* One step of the server; a timeout of 0 never waits. */
static void step_server(sock_server *server)
{
    sock_event *event;
    int status = sock_server_next(server, 0, &event);
    if (status == DOTSOCK_E_TIMEOUT) /* it did some work, and has no event yet */
        return;
    check(status);
    switch (sock_event_kind(event)) {
    case DOTSOCK_CLIENT_CONNECTED:
        printf("server: a client came\n");
        check(sock_send_json(server, DOTSOCK_DATA, "{\"text\": \"ping\"}", sock_event_client_id(event)));
        break;
    case DOTSOCK_MESSAGE_RECEIVED:
        printf("server: %s\n", sock_message_data_json(sock_event_message(event)));
        check(sock_send_json(server, DOTSOCK_CONTROL, "{\"command\": \"shutdown\"}", NULL));
        break;
    } /* other kinds: a client left, or what later versions add */
    sock_event_free(event);
}

/* One step of the client; 1 when the server said that this was all. */
static int step_client(sock_client *client)
{
    sock_message *message;
    int status = sock_client_recv(client, 0, &message);
    if (status == DOTSOCK_E_TIMEOUT) /* it connected, perhaps: not a message yet */
        return 0;
    check(status);
    int last = sock_message_type(message) == DOTSOCK_CONTROL;
    printf("client: %s\n", sock_message_data_json(message));
    if (!last)
        check(sock_client_send_json(client, DOTSOCK_DATA, "{\"text\": \"pong\"}"));
    sock_message_free(message);
    return last;
}

int main(void)
{
    sock_server *server = sock_server_new(DOTSOCK_UNIX, "loop", NULL);
    sock_client *client = sock_client_new(DOTSOCK_UNIX, "loop", NULL);
    if (!server || !client)
        check(sock_last_status());
    check(sock_server_open(server)); /* listens; no thread */
    check(sock_client_open(client)); /* connects by itself, as soon as it gets its turn */

    struct pollfd fds[2] = {{sock_server_fd(server), POLLIN, 0}, {sock_client_fd(client), POLLIN, 0}};
    for (int done = 0; !done && poll(fds, 2, 5000) > 0;) {
        if (fds[0].revents)
            step_server(server);
        if (fds[1].revents)
            done = step_client(client);
    }
    sock_client_free(client);
    sock_server_free(server);
    return 0;
}
