/* endurance.c - the same again and again: nothing grows.
 *
 *     endurance cycles N
 *     endurance messages N
 *
 * `cycles`: a server starts, a client connects, each says something to the other, both end, N times;
 * every eighth time with TCP, by turns with a thread of the library's own and without. `messages`: a
 * server sends N messages, one after the other, to two clients and to one of them, which answer.
 * Memory, descriptors and threads are looked at after a tenth of it, half of it and at the end. */
#define _GNU_SOURCE
#include "inject.h"
#include "must.h"
#include "numbered.h"

#include <dirent.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

/* ---- what may not grow ---- */

struct usage {
    long resident_kb, used_kb, blocks, descriptors, threads;
};

static long entries_of(const char *directory)
{
    long count = 0;
    DIR *open = opendir(directory);
    while (open && readdir(open))
        count++;
    if (open)
        closedir(open);
    return count;
}

static struct usage look(void)
{
    struct usage usage = {0};
    long pages = 0, resident = 0;
    malloc_trim(0);
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%ld %ld", &pages, &resident) != 2)
        fail("/proc/self/statm");
    fclose(file);
    usage.resident_kb = resident * (sysconf(_SC_PAGESIZE) / 1024);
    usage.used_kb = (long)(mallinfo2().uordblks / 1024);
    usage.blocks = (long)fault_blocks();
    usage.descriptors = entries_of("/proc/self/fd") - 3; /* its own, and . and .. */
    usage.threads = entries_of("/proc/self/task") - 2;
    return usage;
}

static int grows(const struct usage *early, const struct usage *late)
{
    return late->used_kb > early->used_kb + 256 || late->resident_kb > early->resident_kb + 1024;
}

static void compare(const char *what, long count, const struct usage *seen, int64_t took)
{
    const struct usage *early = &seen[0], *late = &seen[2];
    printf("%ld %s in %lld ms; after a tenth of them and at the end: memory %ld and %ld KB, allocated by the "
           "library %ld and %ld blocks, by all %ld and %ld KB, descriptors %ld and %ld, threads %ld and %ld\n",
           count, what, (long long)took, early->resident_kb, late->resident_kb, early->blocks, late->blocks,
           early->used_kb, late->used_kb, early->descriptors, late->descriptors, early->threads, late->threads);
    /* The library's blocks may not grow with the count at all; a few come and go. A buffer keeps the
     * size that the greatest crowd has given it: that grows once, a leak in each half. */
    if (late->blocks > early->blocks + 30 || late->descriptors > early->descriptors ||
        late->threads > early->threads || (grows(early, &seen[1]) && grows(&seen[1], late)))
        fail("it grows");
}

/* ---- cycles ---- */

static int64_t exchange(sock_client *client, int64_t number)
{
    sock_message *message = NULL;
    struct numbered is;
    MUST(sock_client_recv(client, 10000, &message));
    const char *wrong = numbered_decode(message, &is);
    if (wrong || is.number != number)
        fail("message %lld %s", (long long)is.number, wrong ? wrong : "is another");
    sock_message_free(message);
    return is.number;
}

static atomic_long received;

static void on_message(void *ctx, sock_server *server, const char *id, const sock_message *message)
{
    (void)ctx, (void)server, (void)id;
    struct numbered is;
    const char *wrong = numbered_decode(message, &is);
    if (wrong)
        fail("a message to the server %s", wrong);
    received++;
}

static void cycle(long number, const sock_options *options)
{
    static unsigned char bytes[NUMBERED_HEAD + 1000];
    /* A TCP server that stops waits some 40 ms for the client's kernel to say that it has everything. */
    int transport = number % 8 ? DOTSOCK_UNIX : DOTSOCK_TCP, threaded = number % 16 < 8;
    struct numbered what = {.from = -1, .number = number, .size = (size_t)(number % 1000)};
    size_t size = numbered_encode(bytes, &what);
    long before = received;

    sock_server *server = sock_server_new(transport, "e", options);
    sock_client *client = sock_client_new(transport, "e", options);
    if (!server || !client)
        fail("no handles in cycle %ld", number);
    MUST(sock_server_on_message_received(server, on_message, NULL, NULL));
    MUST(threaded ? sock_server_start(server) : sock_server_open(server));
    MUST(sock_client_connect(client));
    MUST(sock_send_data(server, DOTSOCK_DATA, bytes, size, NULL));
    MUST(sock_client_send_data(client, DOTSOCK_DATA, bytes, size));
    for (int64_t until = now_ms() + 10000; received == before;) {
        sock_event *event = NULL;
        if (now_ms() > until)
            fail("no message came in cycle %ld", number);
        if (threaded) {
            poll(NULL, 0, 0);
        } else if (sock_server_next(server, 100, &event) == DOTSOCK_OK) {
            received += sock_event_kind(event) == DOTSOCK_MESSAGE_RECEIVED;
            sock_event_free(event);
        }
    }
    exchange(client, number);
    /* By turns, who leaves first. */
    if (number / 2 % 2)
        sock_client_free(client);
    MUST(sock_server_stop(server));
    sock_server_free(server);
    if (!(number / 2 % 2))
        sock_client_free(client);
}

static void cycles(long count, const sock_options *options)
{
    struct usage seen[3];
    int64_t began = now_ms();
    for (long number = 0; number < count; number++) {
        if (number == count / 10)
            seen[0] = look();
        if (number == count / 2)
            seen[1] = look();
        cycle(number, options);
    }
    seen[2] = look();
    compare("cycles", count, seen, now_ms() - began);
}

/* ---- messages ---- */

struct reader {
    sock_client *client;
    long count;
    int answers;
    atomic_long taken;
    pthread_t thread;
};

static void *read_all(void *argument)
{
    struct reader *reader = argument;
    unsigned char *bytes = malloc(NUMBERED_HEAD + 64);
    for (int64_t number = 0; number < reader->count; number++) {
        exchange(reader->client, number);
        reader->taken++;
        if (reader->answers && number % 10 == 0) {
            struct numbered answer = {.from = 1, .number = number, .size = 64};
            MUST(sock_client_send_data(reader->client, DOTSOCK_DATA, bytes, numbered_encode(bytes, &answer)));
        }
    }
    free(bytes);
    return NULL;
}

static void send_part(sock_server *server, long from, long to)
{
    static unsigned char bytes[NUMBERED_HEAD + 4096];
    for (long number = from; number < to; number++) {
        struct numbered what = {
            .from = -1, .number = number, .size = (size_t)(number % 64 ? number % 100 : 4096)};
        MUST(sock_send_data(server, DOTSOCK_DATA, bytes, numbered_encode(bytes, &what), NULL));
    }
}

/* Until so many have arrived, and the answers to them. */
static void wait_for(struct reader *readers, long count)
{
    for (int64_t until = now_ms() + 20000;
         readers[0].taken < count || readers[1].taken < count || received < (count + 9) / 10;) {
        if (now_ms() > until)
            fail("of %ld messages, %ld and %ld arrived, and %ld answers", count, (long)readers[0].taken,
                 (long)readers[1].taken, (long)received);
        poll(NULL, 0, 1);
    }
}

static void messages(long count, const sock_options *options)
{
    struct reader readers[2];
    sock_server *server = sock_server_new(DOTSOCK_UNIX, "e", options);
    MUST(sock_server_on_message_received(server, on_message, NULL, NULL));
    MUST(sock_server_start(server));
    for (int i = 0; i < 2; i++) {
        readers[i] = (struct reader){
            .client = sock_client_new(DOTSOCK_UNIX, "e", options), .count = count, .answers = i};
        MUST(sock_client_connect(readers[i].client));
    }
    for (uint64_t clients = 0; clients < 2;)
        MUST(sock_server_stat(server, "clients", &clients));
    int64_t began = now_ms();
    for (int i = 0; i < 2; i++)
        if (pthread_create(&readers[i].thread, NULL, read_all, &readers[i]) != 0)
            fail("pthread_create");
    send_part(server, 0, count / 10);
    wait_for(readers, count / 10);
    struct usage seen[3] = {look()};
    send_part(server, count / 10, count / 2);
    wait_for(readers, count / 2);
    seen[1] = look();
    send_part(server, count / 2, count - 1);
    wait_for(readers, count - 1);
    seen[2] = look();
    send_part(server, count - 1, count);
    wait_for(readers, count);
    for (int i = 0; i < 2; i++)
        pthread_join(readers[i].thread, NULL);
    uint64_t dropped = 1;
    MUST(sock_server_stat(server, "messages_dropped", &dropped));
    if (dropped)
        fail("%llu messages were dropped", (unsigned long long)dropped);
    for (int i = 0; i < 2; i++)
        sock_client_free(readers[i].client);
    sock_server_free(server);
    compare("messages to each of two clients, every tenth answered,", count, seen, now_ms() - began);
}

int main(int argc, char **argv)
{
    long count = argc == 3 ? atol(argv[2]) : 0;
    char directory[] = "/tmp/dotsock-XXXXXX", path[100];
    if (count < 10 || !mkdtemp(directory))
        return 2;
    numbered_pad(0, 0);
    setenv("XDG_CONFIG_HOME", directory, 1);
    sock_options *options = sock_options_new();
    snprintf(path, sizeof path, "%s/sockets", directory);
    MUST(sock_options_set(options, "socket_dir", path));
    MUST(sock_options_set(options, "port", "0"));
    MUST(sock_options_set(options, "slow_client", "block"));
    MUST(sock_options_set(options, "client_queue_size", "262144"));
    doing = argv[1];
    if (strcmp(argv[1], "cycles") == 0)
        cycles(count, options);
    else
        messages(count, options);
    sock_options_free(options);
    if (entries_of(path) != 2)
        fail("%s is not empty", path);
    remove_all(directory);
    return 0;
}
