/* progress_server.c - a program that says how far it is.
 *
 *     cc progress_server.c $(pkg-config --cflags --libs dotsock) -o progress_server
 *     ./progress_server            (and ./listener in another terminal, before or after)
 *
 * Messages that are sent while nobody listens wait in the server's backlog; the first listener to
 * come gets them all, in order.
 */
#define _POSIX_C_SOURCE 200809L
#include <dotsock.h>
#include <stdio.h>
#include <time.h>

/* Says why the last call failed. The text names the value, the limit and what to do. */
static int failed(void)
{
    fprintf(stderr, "progress_server: %s\n", sock_last_error());
    return 1;
}

/* Stands for the work that a real program does. */
static void work(void)
{
    struct timespec tenth = {0, 100000000};
    nanosleep(&tenth, NULL);
}

int main(int argc, char **argv)
{
    const char *event = argc > 1 ? argv[1] : "progress";
    setvbuf(stdout, NULL, _IOLBF, 0); /* every line at once, through a pipe too */

    /* NULL options: the built-in defaults, the user's settings file, the environment. */
    sock_server *server = sock_server_new(DOTSOCK_UNIX, event, NULL);
    if (!server || sock_server_start(server) != DOTSOCK_OK)
        return failed();
    printf("listening\n");

    for (int progress = 0; progress <= 100; progress += 20) {
        char json[64];
        snprintf(json, sizeof json, "{\"progress\": %d}", progress);
        /* The last argument says to whom: NULL is everybody. */
        if (sock_send_json(server, DOTSOCK_DATA, json, NULL) != DOTSOCK_OK)
            return failed();
        printf("sent %d\n", progress);
        work();
    }

    /* A CONTROL message is about the conversation itself. Here it says that this was all. */
    if (sock_send_json(server, DOTSOCK_CONTROL, "{\"command\": \"shutdown\"}", NULL) != DOTSOCK_OK)
        return failed();

    /* Nobody has come yet? Then wait until somebody has taken the backlog. */
    while (sock_server_queue_size(server) > 0)
        work();

    /* Stops the server first: what is still on its way is delivered, the socket file removed. */
    sock_server_free(server);
    printf("done\n");
    return 0;
}
