/* Walks the hot paths in two processes, for strace to count what they ask the kernel for. Each
 * process says by its own name where a path begins and ends; the client prints how many messages
 * and bytes it was:
 *
 *     strace -f -o LOG ./calls
 *
 * They wait for each other with preadv2 and pwritev2, which the library has no use for: so that these
 * can be told from its own calls. */
#define _GNU_SOURCE
#include "paths.h"

#include <dirent.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>

#define ROUND_TRIPS 300
#define BURST 20000
#define IDLE_CLIENTS 10

static int to_server[2], to_client[2];

static void mark(const char *name) { prctl(PR_SET_NAME, name); }

static void tell(int *pipe)
{
    struct iovec byte = { "", 1 };
    if (pwritev2(pipe[1], &byte, 1, -1, 0) != 1) { perror("pwritev2"); exit(1); }
}
static void await(int *pipe)
{
    char room;
    struct iovec byte = { &room, 1 };
    if (preadv2(pipe[0], &byte, 1, -1, 0) != 1) { fprintf(stderr, "the other process has died\n"); exit(1); }
}

/* A path as the two processes walk it. */
struct path {
    const char *name;
    int opened; /* the program drives the server, which has no thread then */
    int corked;
    void (*serve)(const struct path *, sock_server *);
    long (*use)(sock_client *, size_t *bytes);
};

static void hook(void *ctx, sock_server *server, const char *client_id, const sock_message *message)
{
    (void)ctx;
    size_t size;
    const void *data = sock_message_data(message, &size);
    check(sock_send_data(server, DOTSOCK_DATA, data, size, client_id), "sock_send_data");
}

static void echo(const struct path *path, sock_server *server)
{
    if (!path->opened) return;
    for (int i = 0; i < ROUND_TRIPS; i++) {
        sock_event *event = next(server);
        hook(NULL, server, sock_event_client_id(event), sock_event_message(event));
        sock_event_free(event);
    }
}

static long ping(sock_client *client, size_t *bytes)
{
    for (int i = 0; i < ROUND_TRIPS; i++) {
        send_back(client);
        *bytes += receive_one(client);
    }
    return ROUND_TRIPS;
}

/* Bytes that the socket of the only client had no room for. */
static uint64_t queued(sock_server *server)
{
    sock_client_list *list = sock_server_clients(server);
    uint64_t bytes = sock_client_list_queued_bytes(list, 0);
    sock_client_list_free(list);
    return bytes;
}

static void flood(const struct path *path, sock_server *server)
{
    if (path->corked) check(sock_server_cork(server), "sock_server_cork");
    for (int i = 0; i < BURST; i++) send_one(server);
    if (path->corked) check(sock_server_uncork(server), "sock_server_uncork");
    while (path->opened && queued(server)) {
        sock_event *event;
        if (sock_server_next(server, 10, &event) != DOTSOCK_E_TIMEOUT) exit(1);
    }
}

static long drink(sock_client *client, size_t *bytes)
{
    for (int i = 0; i < BURST; i++) *bytes += receive_one(client);
    return BURST;
}

static void do_nothing(const struct path *path, sock_server *server) { (void)path; (void)server; }

/* Waits for a message that does not come. */
static long wait_in_vain(sock_client *client, size_t *bytes)
{
    sock_message *message;
    *bytes = 0;
    if (sock_client_recv(client, 1000, &message) != DOTSOCK_E_TIMEOUT) exit(1);
    return 1;
}

static const struct path PATHS[] = {
    { "latency_start", 0, 0, echo, ping },
    { "latency_open", 1, 0, echo, ping },
    { "burst_start", 0, 0, flood, drink },
    { "burst_open", 1, 1, flood, drink },
    { "idle", 0, 0, do_nothing, wait_in_vain },
};
enum { COUNT_PATHS = sizeof PATHS / sizeof *PATHS };

/* Whether a thread of this process sleeps: that stands behind its name in parentheses. */
static int sleeps(const char *thread)
{
    char path[64], text[256];
    snprintf(path, sizeof path, "/proc/self/task/%.20s/stat", thread);
    FILE *file = fopen(path, "r");
    if (!file) return 0;
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    const char *name_end = strrchr(text, ')');
    return name_end && strncmp(name_end, ") S", 3) == 0;
}

static int others_sleep(void)
{
    DIR *threads = opendir("/proc/self/task");
    if (!threads) { perror("/proc/self/task"); exit(1); }
    int all = 1;
    for (struct dirent *entry; all && (entry = readdir(threads));) {
        if (entry->d_name[0] != '.' && atoi(entry->d_name) != getpid()) all = sleeps(entry->d_name);
    }
    closedir(threads);
    return all;
}

/* Nothing holds up a thread of the library's but its wait while this one is in no call of it. */
static void wait_for_sleep(void)
{
    for (int tries = 0; !others_sleep(); tries++) {
        if (tries == 10000) { fprintf(stderr, "the server's thread does not go to sleep\n"); exit(1); }
        usleep(1000);
    }
}

static void serve_all(void)
{
    for (int i = 0; i < COUNT_PATHS; i++) {
        const struct path *path = &PATHS[i];
        sock_server *server = new_server();
        if (path->serve == echo) check(sock_server_on_message_received(server, hook, NULL, NULL), "hook");
        check(path->opened ? sock_server_open(server) : sock_server_start(server), "start");
        tell(to_client);
        await(to_server); /* it is connected */
        if (path->opened) sock_event_free(next(server));
        else wait_for_clients(server, 1);
        wait_for_sleep(); /* the server's thread is back in its wait */
        mark(path->name);
        tell(to_client);
        path->serve(path, server);
        await(to_server); /* it has everything */
        mark("end");
        tell(to_client);
        sock_server_free(server);
    }
}

static void use_all(void)
{
    mark("client");
    for (int i = 0; i < COUNT_PATHS; i++) {
        await(to_client);
        sock_client *client = new_client();
        tell(to_server);
        await(to_client);
        mark(PATHS[i].name);
        size_t bytes = 0;
        long messages = PATHS[i].use(client, &bytes);
        mark("end");
        printf("%s %ld %zu\n", PATHS[i].name, messages, bytes);
        fflush(stdout);
        tell(to_server);
        await(to_client); /* so that its going is not counted */
        sock_client_free(client);
    }
}

int main(void)
{
    if (pipe(to_server) || pipe(to_client)) { perror("pipe"); return 1; }
    pid_t child = fork();
    if (child == 0) {
        close(to_server[0]);
        close(to_client[1]);
        use_all();
        return 0;
    }
    close(to_server[1]);
    close(to_client[0]);
    serve_all();
    int status;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
