/* Floods a client with messages of 64 bytes, or receives them: see run.sh.
 *
 *     bench serve EVENT COUNT      sends COUNT messages to every client that connects
 *     bench receive EVENT COUNT    prints the CPU time of COUNT messages, in microseconds each
 */
#include <dotsock.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAYLOAD "{\"status\": \"processing\", \"progress\": 50, \"file\": \"wallpaper/0001.png\"}"

static int fail(void) {
    fprintf(stderr, "%s\n", sock_last_error());
    return 1;
}

static int serve(const char *event, long count) {
    sock_options *options = sock_options_new();
    sock_options_set(options, "slow_client", "block");
    sock_server *server = sock_server_new(DOTSOCK_UNIX, event, options);
    sock_options_free(options);
    if (!server || sock_server_start(server) != DOTSOCK_OK)
        return fail();
    sock_message *message = sock_message_from_json(event, DOTSOCK_DATA, PAYLOAD);
    for (uint64_t served = 1;; served++) {
        uint64_t connections = 0;
        while (sock_server_stat(server, "connections", &connections) == DOTSOCK_OK &&
               connections < served)
            nanosleep(&(struct timespec){0, 1000000}, NULL);
        for (long sent = 0; sent < count; sent++)
            if (sock_send(server, message, NULL) != DOTSOCK_OK)
                return fail();
    }
}

static int receive(const char *event, long count) {
    sock_client *client = sock_client_new(DOTSOCK_UNIX, event, NULL);
    if (!client || sock_client_connect(client) != DOTSOCK_OK)
        return fail();
    sock_message *message;
    clock_t start = 0;
    for (long received = 0; received < count; received++) {
        if (received == count / 10)
            start = clock();
        if (sock_client_recv(client, -1, &message) != DOTSOCK_OK)
            return fail();
        sock_message_free(message);
    }
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    printf("%.3f\n", seconds * 1e6 / (double)(count - count / 10));
    sock_client_free(client);
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 4 && strcmp(argv[1], "serve") == 0)
        return serve(argv[2], atol(argv[3]));
    if (argc == 4 && strcmp(argv[1], "receive") == 0)
        return receive(argv[2], atol(argv[3]));
    fprintf(stderr, "bench serve|receive EVENT COUNT\n");
    return 2;
}
