/* blocking.c - a server that runs on the calling thread until Ctrl-C.
 *
 *     cc blocking.c $(pkg-config --cflags --libs dotsock) -o blocking && ./blocking
 *
 * sock_server_run() needs no thread of the library; hooks run on the thread that called it.
 */
#define _POSIX_C_SOURCE 200809L
#include <dotsock.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static sock_server *server;

/* A signal handler may do next to nothing. sock_server_cancel() is made for it. */
static void on_signal(int signal)
{
    (void)signal;
    sock_server_cancel(server);
}

static void on_message(void *ctx, sock_server *from, const char *client_id, const sock_message *message)
{
    (void)ctx, (void)from, (void)client_id;
    printf("got %s\n", sock_message_data_json(message));
}

static int failed(void)
{
    fprintf(stderr, "blocking: %s\n", sock_last_error());
    return 1;
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0); /* every line at once, through a pipe too */
    server = sock_server_new(DOTSOCK_UNIX, "blocking", NULL);
    if (!server || sock_server_on_message_received(server, on_message, NULL, NULL) != DOTSOCK_OK)
        return failed();

    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);

    printf("running, Ctrl-C ends it\n");
    int status = sock_server_run(server);
    /* After a cancel the server still listens and keeps its clients: sock_server_run() would go on
     * with them. Freeing it stops it: what is queued is delivered, the socket file removed. */
    if (status != DOTSOCK_E_CANCELLED && status != DOTSOCK_OK)
        return failed();
    sock_server_free(server);
    printf("stopped\n");
    return 0;
}
