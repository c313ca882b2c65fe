/* demo_server.c - the server of demo.sh. `demo_server first` tells its story and then waits to be
 * killed; `demo_server second` is the restart that the clients survive, and ends the show.
 */
#define _POSIX_C_SOURCE 200809L
#include <dotsock.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t came = PTHREAD_COND_INITIALIZER;
static char one[64]; /* the id of the client that called itself "one" */
static int greeted;

static void check(int status)
{
    if (status != DOTSOCK_OK) {
        fprintf(stderr, "demo_server: %s\n", sock_last_error());
        exit(1);
    }
}

/* Runs on the server's thread: a client has said who it is. */
static void on_message(void *ctx, sock_server *server, const char *client_id, const sock_message *message)
{
    (void)ctx, (void)server;
    const char *name;
    if (sock_message_get_string(message, "/hello", &name, NULL) != DOTSOCK_OK)
        return;
    printf("[server] the hook got a hello from client %s\n", name);
    pthread_mutex_lock(&lock);
    if (strcmp(name, "one") == 0)
        snprintf(one, sizeof one, "%s", client_id);
    greeted++;
    pthread_cond_signal(&came);
    pthread_mutex_unlock(&lock);
}

static void say(sock_server *server, int type, const char *json, const char *client_id)
{
    printf("[server] %s %s\n", client_id ? "to client one alone:" : "to all:", json);
    check(sock_send_json(server, type, json, client_id));
    nanosleep(&(struct timespec){0, 100000000}, NULL); /* so that one can watch */
}

int main(int argc, char **argv)
{
    int second = argc > 1 && strcmp(argv[1], "second") == 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    sock_server *server = sock_server_new(DOTSOCK_UNIX, "demo", NULL);
    if (!server)
        check(sock_last_status());
    check(sock_server_on_message_received(server, on_message, NULL, NULL));
    check(sock_server_start(server));
    printf("[server] listening (%s run)\n", second ? "second" : "first");
    pthread_mutex_lock(&lock);
    while (greeted < 2)
        pthread_cond_wait(&came, &lock);
    pthread_mutex_unlock(&lock);
    for (int progress = 0; progress <= 100 && !second; progress += 25) {
        char json[64];
        snprintf(json, sizeof json, "{\"progress\":%d}", progress);
        say(server, DOTSOCK_DATA, json, NULL);
    }
    if (!second) {
        say(server, DOTSOCK_ERROR, "{\"error\":\"the disk is nearly full\"}", NULL);
        say(server, DOTSOCK_DATA, "{\"text\":\"a word for you alone\"}", one);
        for (;;)
            pause(); /* demo.sh kills us here, without any warning */
    }
    say(server, DOTSOCK_DATA, "{\"text\":\"here again\"}", NULL);
    say(server, DOTSOCK_CONTROL, "{\"command\":\"shutdown\"}", NULL);
    sock_server_free(server);
    printf("[server] stopped\n");
    return 0;
}
