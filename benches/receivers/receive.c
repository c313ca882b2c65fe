/* What receiving costs in C, and the server for all that receive here.
 *
 *     receive_c flood EVENT COUNT             sends COUNT messages of 64 bytes to who connects
 *     receive_c receive EVENT COUNT [look]    the CPU time of a message in microseconds; with
 *                                             `look`, a value of every payload is looked up */
#include <dotsock.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* 64 bytes as MessagePack. */
#define PAYLOAD "{\"status\": \"processing\", \"progress\": 50, \"file\": \"wallpapers/mountains/0001.png\"}"

static int fail(void)
{
    fprintf(stderr, "%s\n", sock_last_error());
    return 1;
}

static int flood(const char *event, long count)
{
    sock_options *options = sock_options_new();
    sock_options_set(options, "slow_client", "block");
    sock_options_set(options, "max_connections", "10000");
    sock_server *server = sock_server_new(DOTSOCK_UNIX, event, options);
    sock_options_free(options);
    if (!server || sock_server_start(server) != DOTSOCK_OK) return fail();
    sock_message *message = sock_message_from_json(event, DOTSOCK_DATA, PAYLOAD);
    for (uint64_t served = 1;; served++) {
        uint64_t connections = 0;
        while (sock_server_stat(server, "connections", &connections) == DOTSOCK_OK && connections < served)
            nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
        for (long sent = 0; sent < count; sent++)
            if (sock_send(server, message, NULL) != DOTSOCK_OK) return fail();
    }
}

static int receive(const char *event, long count, int look)
{
    sock_client *client = sock_client_new(DOTSOCK_UNIX, event, NULL);
    if (!client || sock_client_connect(client) != DOTSOCK_OK) return fail();
    int64_t sum = 0, progress = 0;
    clock_t start = 0;
    for (long received = 0; received < count; received++) {
        sock_message *message;
        if (received == count / 10) start = clock();
        if (sock_client_recv(client, -1, &message) != DOTSOCK_OK) return fail();
        if (look && sock_message_get_int(message, "/progress", &progress) != DOTSOCK_OK) return fail();
        sum += progress;
        sock_message_free(message);
    }
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    printf("%.3f\n", seconds * 1e6 / (double)(count - count / 10));
    sock_client_free(client);
    return look && sum != 50 * count;
}

int main(int argc, char **argv)
{
    if (argc == 4 && !strcmp(argv[1], "flood")) return flood(argv[2], atol(argv[3]));
    if (argc >= 4 && !strcmp(argv[1], "receive")) return receive(argv[2], atol(argv[3]), argc > 4);
    fprintf(stderr, "usage: receive_c flood|receive EVENT COUNT [look]\n");
    return 2;
}
