/* memory.c - what a peer or an argument sizes finds no memory: the n-th allocation of FAULT_LARGE bytes
 * or more fails, for n = 1, 2, ... until none is left that could. Each n is a process of its own. A
 * call may then say DOTSOCK_E_NO_MEMORY, or a message may be counted as dropped and announced as
 * missed; nobody crashes, and the next call works. At the end the same with a limit of the system's
 * (RLIMIT_AS) in the middle of a broadcast. */
#define _GNU_SOURCE
#include "inject.h"
#include "must.h"
#include "numbered.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_MS = 20000, LARGE = 200000 };

static char directory[] = "/tmp/dotsock-XXXXXX", sockets[100];

/* A status that says of something that there was no memory for it, or that all is well. */
static int is_fine(int status)
{
    if (status != DOTSOCK_OK && (status != DOTSOCK_E_NO_MEMORY || strlen(sock_last_error()) < 10))
        fail("status %d", status);
    if (status != DOTSOCK_OK && !fault_hits())
        fail("status %d, though nothing failed", status);
    return status == DOTSOCK_OK;
}

static int is_there(const void *made) { return is_fine(made ? DOTSOCK_OK : sock_last_status()) && made; }

/* ---- a server and its peers ---- */

static sock_server *server;
static sock_options *options;
static unsigned char bytes[NUMBERED_HEAD + NUMBERED_MOST];

static void begin(const char *policy, const char *queue)
{
    options = sock_options_new();
    MUST(sock_options_set(options, "socket_dir", sockets));
    MUST(sock_options_set(options, "slow_client", policy));
    MUST(sock_options_set(options, "message_queue_size", queue));
    MUST(sock_options_set(options, "send_timeout", "0.05"));
    MUST(sock_options_set(options, "report_loss", "true"));
    MUST(sock_options_set(options, "linger", "0.1"));
    server = sock_server_new(DOTSOCK_UNIX, "e", options);
    MUST(sock_server_open(server));
}

static void finish(void)
{
    sock_server_free(server);
    sock_options_free(options);
}

/* Handles what has happened; how many events of this kind there were. */
static int pump(int kind)
{
    int count = 0;
    sock_event *event;
    for (int status;
         (status = sock_server_next(server, 0, &event)) != DOTSOCK_E_TIMEOUT && status != DOTSOCK_E_NOT_RUNNING;)
        if (is_fine(status)) {
            count += sock_event_kind(event) == kind;
            sock_event_free(event);
        }
    return count;
}

static int64_t stat_of(const char *name)
{
    uint64_t value = 0;
    MUST(sock_server_stat(server, name, &value));
    return (int64_t)value;
}

static int bare_socket(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/e.sock", sockets);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        fail("socket: %m");
    for (int64_t until = now_ms() + PATIENCE_MS; connect(fd, (struct sockaddr *)&address, sizeof address) != 0;) {
        if (errno != EAGAIN || now_ms() > until)
            fail("connect: %m");
        pump(0);
    }
    return fd;
}

/* Sends so many to a client that does not read yet; then it reads, and each has arrived, or was
 * announced as missed and counted. */
static void a_slow_client(const char *policy, int count, size_t size, int corked)
{
    begin(policy, "100");
    sock_client *client = sock_client_new(DOTSOCK_UNIX, "e", options);
    MUST(sock_client_connect(client));
    pump(0);
    int64_t last = 0, missed = 0, refused = 0, number;
    if (corked)
        MUST(sock_server_cork(server));
    for (number = 1; number <= count; number++) {
        struct numbered what = {.from = -1, .number = number, .size = size};
        refused += !is_fine(sock_send_data(server, DOTSOCK_DATA, bytes, numbered_encode(bytes, &what), NULL));
    }
    if (corked)
        MUST(sock_server_uncork(server));
    for (int64_t until = now_ms() + PATIENCE_MS, quiet = 0; quiet < 3;) {
        sock_message *message;
        struct numbered is;
        pump(0);
        if (last % 100 == 0)
            (void)sock_client_buffer_size(client); /* reads into the client's own queue */
        int status = sock_client_recv(client, 0, &message);
        if (now_ms() > until)
            fail("it has no end");
        quiet = status == DOTSOCK_E_TIMEOUT ? quiet + 1 : 0;
        if (status == DOTSOCK_E_CLOSED)
            break; /* without memory for the rest of a message it was disconnected, and knows */
        if (status == DOTSOCK_E_TIMEOUT || !is_fine(status)) {
            struct pollfd entries[] = {{.fd = sock_client_fd(client), .events = POLLIN},
                                       {.fd = sock_server_fd(server), .events = POLLIN}};
            poll(entries, 2, 10);
            continue;
        }
        int64_t told = missed_count(message);
        const char *wrong = told ? NULL : numbered_decode(message, &is);
        if (wrong)
            fail("a message %s", wrong);
        missed += told;
        /* One that was refused altogether is in nobody's account. */
        if (!told && (is.number < last + missed + 1 || is.number > last + missed + 1 + refused))
            fail("message %lld came after %lld, with %lld announced as missed, %lld refused",
                 (long long)is.number, (long long)last, (long long)missed, (long long)refused);
        if (!told) {
            refused -= is.number - last - missed - 1;
            last = is.number, missed = 0;
        }
        sock_message_free(message);
    }
    if (last + missed < count - refused && stat_of("clients") == 1)
        fail("after message %lld and %lld announced as missed, %lld are missing", (long long)last,
             (long long)missed, (long long)(count - last - missed));
    sock_client_free(client);
    finish();
}

static void slow_drop_oldest(void) { a_slow_client("drop_oldest", 4000, 10, 0); }
static void slow_drop_newest(void) { a_slow_client("drop_newest", 4000, 10, 0); }
static void slow_block(void) { a_slow_client("block", 4000, 10, 0); }
static void slow_and_corked(void) { a_slow_client("drop_oldest", 4000, 10, 1); }
static void slow_and_large(void) { a_slow_client("drop_oldest", 20, LARGE, 0); }

static uint64_t queued_bytes(void)
{
    uint64_t sum = 0;
    sock_client_list *list = sock_server_clients(server);
    if (!list)
        fail("no list of clients");
    for (size_t i = 0; i < sock_client_list_size(list); i++)
        sum += sock_client_list_queued_bytes(list, i);
    sock_client_list_free(list);
    return sum;
}

/* What was queued for some before there was no memory for others is written, without another send. */
static void block_and_large(void)
{
    enum { READERS = 3 };
    int fds[READERS];
    begin("block", "0");
    for (int i = 0; i < READERS; i++)
        fds[i] = bare_socket();
    pump(0);
    struct numbered what = {.from = -1, .number = 1, .size = NUMBERED_MOST};
    is_fine(sock_send_data(server, DOTSOCK_DATA, bytes, numbered_encode(bytes, &what), NULL));
    for (int64_t until = now_ms() + PATIENCE_MS; queued_bytes() > 0; pump(0)) {
        for (int i = 0; i < READERS; i++)
            while (recv(fds[i], bytes, sizeof bytes, 0) > 0)
                continue;
        if (now_ms() > until)
            fail("%llu bytes stay queued", (unsigned long long)queued_bytes());
    }
    for (int i = 0; i < READERS; i++)
        close(fds[i]);
    finish();
}

static const char *id_of(size_t index)
{
    static char id[2][64];
    sock_client_list *list = sock_server_clients(server);
    snprintf(id[index], sizeof id[index], "%s", sock_client_list_id(list, index));
    sock_client_list_free(list);
    return id[index];
}

/* A broadcast that waits for one client finds no memory for another: nothing of it stays in the way. */
static void block_and_two(void)
{
    enum { LEAST = 130, ROUNDS = 4 /* until the other one's queue has to grow */ };
    begin("block", "0");
    int fds[] = {bare_socket(), bare_socket()};
    pump(0);
    struct numbered what = {.from = -1, .number = 1, .size = NUMBERED_MOST};
    size_t large = numbered_encode(bytes, &what);
    while (sock_send_data(server, DOTSOCK_DATA, bytes, large, id_of(0)) == DOTSOCK_OK)
        continue;
    for (uint64_t before = queued_bytes(); queued_bytes() == before;)
        is_fine(sock_send_json(server, DOTSOCK_DATA, "{}", id_of(1)));
    fault_least(LEAST);
    for (int i = 0; i < ROUNDS; i++)
        is_fine(sock_send_data(server, DOTSOCK_DATA, bytes, large, NULL));
    fault_least(FAULT_LARGE);
    for (int64_t until = now_ms() + PATIENCE_MS; queued_bytes() > 0; pump(0)) {
        for (int i = 0; i < 2; i++)
            while (recv(fds[i], bytes, sizeof bytes, 0) > 0)
                continue;
        if (now_ms() > until)
            fail("%llu bytes stay queued", (unsigned long long)queued_bytes());
    }
    MUST(sock_send_json(server, DOTSOCK_DATA, "{}", id_of(0)));
    for (int i = 0; i < 2; i++)
        close(fds[i]);
    finish();
}

static void a_backlog(void)
{
    begin("drop_oldest", "100000");
    int64_t kept = 0;
    for (int64_t number = 1; number <= 5000; number++) {
        struct numbered what = {.from = -1, .number = number, .size = 10};
        kept += is_fine(sock_send_data(server, DOTSOCK_DATA, bytes, numbered_encode(bytes, &what), NULL));
    }
    if ((int64_t)sock_server_queue_size(server) + stat_of("messages_dropped") != kept)
        fail("of %lld messages, %zu wait and %lld were dropped", (long long)kept, sock_server_queue_size(server),
             (long long)stat_of("messages_dropped"));
    finish();
}

static void allow_descriptors(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max < 2048 ? limit.rlim_max : 2048;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static void many_clients(void)
{
    enum { MANY = 800 };
    int fds[MANY];
    allow_descriptors();
    begin("drop_oldest", "0");
    for (int i = 0; i < MANY; i++)
        fds[i] = bare_socket();
    pump(0);
    sock_client_list *list = sock_server_clients(server);
    if (is_there(list) && sock_client_list_size(list) != MANY)
        fail("%zu clients are listed", sock_client_list_size(list));
    sock_client_list_free(list);
    struct numbered what = {.from = -1, .number = 1, .size = NUMBERED_MOST};
    uint64_t before = fault_calls(CALL_MALLOC);
    is_fine(sock_send_data(server, DOTSOCK_DATA, bytes, numbered_encode(bytes, &what), NULL));
    if (fault_calls(CALL_MALLOC) > before + 10)
        fail("what a broadcast leaves for %d clients was copied %llu times", MANY,
             (unsigned long long)(fault_calls(CALL_MALLOC) - before));
    MUST(sock_server_stop(server));
    pump(0);
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
    finish();
}

/* What a sender lists that waits for so many is less than FAULT_LARGE bytes, but clients size it. */
static void many_slow_clients(void)
{
    enum { MANY = 800, LISTED = 6000, SENT = 10 };
    int fds[MANY];
    allow_descriptors();
    begin("block", "0");
    for (int i = 0; i < MANY; i++)
        fds[i] = bare_socket();
    pump(0);
    fault_least(LISTED);
    /* They fill the sockets, then the queues; the last ones find no room. */
    for (int64_t number = 1; number <= SENT; number++) {
        struct numbered what = {.from = -1, .number = number, .size = NUMBERED_MOST};
        is_fine(sock_send_data(server, DOTSOCK_DATA, bytes, numbered_encode(bytes, &what), NULL));
    }
    if (stat_of("clients") == MANY && stat_of("messages_dropped") < MANY)
        fail("%lld messages were dropped", (long long)stat_of("messages_dropped"));
    fault_least(FAULT_LARGE);
    MUST(sock_server_stop(server));
    pump(0);
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
    finish();
}

/* What a client sent, and the server takes only after it has stopped. */
static void many_at_the_end(void)
{
    begin("drop_oldest", "0");
    sock_client *client = sock_client_new(DOTSOCK_UNIX, "e", options);
    MUST(sock_client_connect(client));
    pump(0);
    MUST(sock_client_cork(client));
    for (int64_t number = 1; number <= 800; number++) {
        struct numbered what = {.from = 0, .number = number, .size = 1};
        is_fine(sock_client_send_data(client, DOTSOCK_DATA, bytes, numbered_encode(bytes, &what)));
    }
    is_fine(sock_client_uncork(client));
    sock_event *event = NULL;
    if (is_fine(sock_server_next(server, 1000, &event)))
        sock_event_free(event);
    MUST(sock_server_stop(server));
    pump(DOTSOCK_MESSAGE_RECEIVED);
    sock_client_free(client);
    finish();
}

static void large_from_client(void)
{
    begin("drop_oldest", "0");
    sock_client *client = sock_client_new(DOTSOCK_UNIX, "e", options);
    MUST(sock_client_connect(client));
    pump(0);
    int taken = 0, sent = 0;
    for (int64_t number = 1; number <= 5; number++) {
        struct numbered what = {.from = 0, .number = number, .size = LARGE};
        int status = sock_client_send_data(client, DOTSOCK_DATA, bytes, numbered_encode(bytes, &what));
        if (status == DOTSOCK_E_TIMEOUT || status == DOTSOCK_E_CLOSED)
            break; /* nobody reads meanwhile, or the server had no memory for it and hung up */
        sent += is_fine(status);
        taken += pump(DOTSOCK_MESSAGE_RECEIVED);
        taken += pump(DOTSOCK_MESSAGE_RECEIVED);
    }
    if (!fault_hits() && (sent == 0 || taken == 0))
        fail("of %d messages, %d arrived", sent, taken);
    sock_client_free(client);
    finish();
}

/* ---- messages, payloads, texts ---- */

static char *text_of(size_t size)
{
    char *text = malloc(size + 1);
    memset(text, 'x', size);
    text[size] = 0;
    return text;
}

static void messages(void)
{
    struct numbered what = {.number = 1, .size = LARGE};
    sock_message *message = sock_message_new("e", DOTSOCK_DATA, bytes, numbered_encode(bytes, &what));
    if (is_there(message)) {
        size_t size;
        const void *envelope = sock_message_envelope(message, &size);
        sock_message *copy = sock_message_from_envelope(envelope, size);
        if (is_there(copy))
            sock_message_free(copy);
        is_there(sock_message_data_json(message));
        is_there(sock_message_json(message));
        sock_message_free(message);
    }
    char *json = text_of(LARGE + 20);
    memcpy(json, "{\"a\":\"", 6);
    memcpy(json + LARGE, "\"}", 3);
    message = sock_message_from_json("e", DOTSOCK_DATA, json);
    if (is_there(message)) {
        const char *text;
        size_t size;
        is_fine(sock_message_get_string(message, "/a", &text, &size));
        sock_message_free(message);
    }
    free(json);
    sock_payload *payload = sock_payload_new();
    char *text = text_of(LARGE);
    is_fine(sock_payload_set_string(payload, "/text", text));
    for (int i = 0; i < 2000; i++) {
        char pointer[30];
        snprintf(pointer, sizeof pointer, "/list/%d", i);
        if (!is_fine(sock_payload_set_int(payload, pointer, i)))
            break;
    }
    message = sock_message_from_payload("e", DOTSOCK_DATA, payload);
    if (is_there(message))
        sock_message_free(message);
    sock_payload_free(payload);
    free(text);
}

/* ---- the system's own limit ---- */

static long mapped_kb(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%ld", &pages) != 1)
        fail("/proc/self/statm");
    fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

/* Broadcasts of 1 MB to slow clients, while the process may grow by some bytess only. */
static void address_space(void)
{
    enum { MANY = 8 };
    int fds[MANY], refused = 0;
    begin("drop_oldest", "0");
    MUST(sock_server_stop(server));
    MUST(sock_server_start(server));
    for (int i = 0; i < MANY; i++)
        fds[i] = bare_socket();
    while (stat_of("clients") < MANY)
        poll(NULL, 0, 1);
    struct rlimit limit, before;
    getrlimit(RLIMIT_AS, &before);
    limit = before;
    limit.rlim_cur = (rlim_t)(mapped_kb() + 6 * 1024) * 1024;
    setrlimit(RLIMIT_AS, &limit);
    for (int64_t number = 1; number <= 20; number++) {
        struct numbered what = {.from = -1, .number = number, .size = NUMBERED_MOST};
        int status = sock_send_data(server, DOTSOCK_DATA, bytes, numbered_encode(bytes, &what), NULL);
        if (status != DOTSOCK_OK && status != DOTSOCK_E_NO_MEMORY)
            fail("status %d", status);
        refused += status != DOTSOCK_OK;
    }
    setrlimit(RLIMIT_AS, &before);
    if (!refused && !stat_of("messages_dropped"))
        fail("there was memory enough");
    MUST(sock_send_json(server, DOTSOCK_DATA, "{}", NULL));
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
    finish();
}

/* ---- runs ---- */

static const struct {
    const char *name;
    void (*run)(void);
} parts[] = {{"a slow client, drop_oldest", slow_drop_oldest},
             {"a slow client, drop_newest", slow_drop_newest},
             {"a slow client, block", slow_block},
             {"a slow client, corked", slow_and_corked},
             {"a slow client, large messages", slow_and_large},
             {"slow clients, block, large", block_and_large},
             {"two slow clients, block", block_and_two},
             {"a backlog", a_backlog},
             {"800 clients", many_clients},
             {"800 slow clients, block", many_slow_clients},
             {"800 messages at the end", many_at_the_end},
             {"large messages from a client", large_from_client},
             {"messages, JSON and payloads", messages}};

/* Runs a part in a process of its own; whether the n-th allocation was there to fail. */
static int run(void (*part)(void), uint64_t first, long *failed)
{
    int pipes[2], status;
    if (pipe(pipes) != 0)
        return 0;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        alarm(60);
        struct fault_plan plan = {.call = CALL_MALLOC, .kind = FAULT_ERROR, .error = ENOMEM, .first = first};
        fault_begin(first ? &plan : NULL);
        part();
        char hit = fault_hits() > 0;
        _exit(write(pipes[1], &hit, 1) != 1);
    }
    close(pipes[1]);
    char hit = 0;
    ssize_t got = read(pipes[0], &hit, 1);
    close(pipes[0]);
    waitpid(pid, &status, 0);
    if (status != 0 || got != 1) {
        fprintf(stderr, "FAILED %s: allocation %llu fails: %s\n", doing, (unsigned long long)first,
                WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "see above");
        ++*failed;
        return 1;
    }
    return hit;
}

int main(void)
{
    long failed = 0;
    if (!mkdtemp(directory))
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    snprintf(sockets, sizeof sockets, "%s/sockets", directory);
    setenv("XDG_CONFIG_HOME", directory, 1);
    numbered_pad(0, 0);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        uint64_t n = 1;
        doing = parts[i].name;
        while (n < 500 && run(parts[i].run, n, &failed))
            n++;
        printf("%-32s %4llu allocations, each failed once\n", doing, (unsigned long long)n - 1);
    }
    doing = "RLIMIT_AS in a broadcast";
    run(address_space, 0, &failed);
    printf("%-32s survived\n", doing);
    remove_all(directory);
    return failed != 0;
}
