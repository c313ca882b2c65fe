/* scenario.c - see scenario.h.
 *
 * Whatever fails, a call may say so, and then works when it is called again: what fails here fails
 * once, or for a moment. Messages arrive whole, in order and once. One that does not arrive has an
 * excuse: a connection that was lost and a client that was told, or a count of the server's. */
#define _GNU_SOURCE
#include "numbered.h"
#include "scenario.h"

#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CLIENTS = 3, MOST = 400, MOST_LANES = 100, PATIENCE_MS = 6000, TO_ALL = -1, TO_BACKLOG = -2 };

static const struct scenario *the;
static struct outcome *outcome;
static sock_server *server;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* for what hooks write */

/* What the server sent, by number. */
static struct {
    int to, status;
} sent[MOST];
static int next_number = 1, phase_start = 1;

/* What a client sent, by number. */
static struct client {
    sock_client *handle;
    char id[64]; /* as the server's hook has it */
    int last;    /* number of the newest message from the server */
    char got[MOST];
    int excused; /* its connection was lost in this phase, and somebody was told */
    /* and what it sent */
    int next_up, last_up, hello, hello_seen;
    int64_t hello_at;
    /* Order is kept on each connection: what is left of an old one may come after the new one. */
    struct {
        char id[64];
        int last;
    } lanes[MOST_LANES];
    int up_status[MOST];
    char up_got[MOST];
    int up_excused, up_phase;
} clients[CLIENTS];

static int connected, disconnected;
static int stopping;
static char log_text[1 << 16];
static size_t log_size;

/* ---- reporting ---- */

__attribute__((format(printf, 1, 2), noreturn)) static void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(outcome->why, sizeof outcome->why, format, arguments);
    va_end(arguments);
    outcome->hits = fault_hits();
    if (getenv("FAULT_LOG"))
        fprintf(stderr, "%s\n%.*s", outcome->why, (int)log_size, log_text);
    _exit(1);
}

static void keep_log(void *ctx, int level, const char *target, const char *text)
{
    (void)ctx, (void)target;
    pthread_mutex_lock(&lock);
    if (log_size + strlen(text) + 32 < sizeof log_text)
        log_size += (size_t)sprintf(log_text + log_size, "    %6lld [%d] %s\n", (long long)now_ms() % 1000000,
                                    level, text);
    pthread_mutex_unlock(&lock);
}

/* An error that is none of our making is one that the fault has made, and says what is wrong. */
static void check_error(const char *what, int status)
{
    outcome->errors++;
    if (status >= 0 || status < DOTSOCK_E_NO_MEMORY)
        fail("%s returned %d, which is no status", what, status);
    if (status == DOTSOCK_E_INTERNAL || status == DOTSOCK_E_FORKED)
        fail("%s returned %d: %s", what, status, sock_last_error());
    if (strlen(sock_last_error()) < 10 || sock_last_status() != status)
        fail("%s returned %d without a clear error: \"%s\" (%d)", what, status, sock_last_error(),
             sock_last_status());
    if (!fault_hits())
        fail("%s returned %d although nothing had failed: %s", what, status, sock_last_error());
    if (getenv("FAULT_LOG"))
        keep_log(NULL, 0, "", sock_last_error());
}

/* Calls until it succeeds. */
#define PERSIST(call)                                                                                          \
    do {                                                                                                       \
        int64_t until_ = now_ms() + PATIENCE_MS;                                                               \
        for (int status_; (status_ = (call)) != DOTSOCK_OK;) {                                                 \
            check_error(#call, status_);                                                                       \
            if (now_ms() > until_)                                                                             \
                fail("%s fails for ever: %s", #call, sock_last_error());                                       \
            poll(NULL, 0, 1);                                                                                  \
            step();                                                                                            \
        }                                                                                                      \
    } while (0)

/* Constructs until it succeeds. */
#define MAKE(pointer, call)                                                                                    \
    do {                                                                                                       \
        int64_t until_ = now_ms() + PATIENCE_MS;                                                               \
        while (!(pointer = (call))) {                                                                          \
            check_error(#call, sock_last_status());                                                            \
            if (now_ms() > until_)                                                                             \
                fail("%s fails for ever: %s", #call, sock_last_error());                                       \
            poll(NULL, 0, 1);                                                                                  \
        }                                                                                                      \
    } while (0)

#define UNTIL(condition, what)                                                                                 \
    do {                                                                                                       \
        int64_t until_ = now_ms() + PATIENCE_MS;                                                               \
        while (!(condition)) {                                                                                 \
            if (now_ms() > until_)                                                                             \
                fail("in vain: %s", what);                                                                     \
            step();                                                                                            \
        }                                                                                                      \
    } while (0)

static uint64_t stat_of(const char *name)
{
    uint64_t value = 0;
    if (sock_server_stat(server, name, &value) != DOTSOCK_OK)
        fail("the server's %s: %s", name, sock_last_error());
    return value;
}

/* ---- messages ---- */

static size_t pad_size(int number)
{
    return number % 8 == 5 ? the->large : number % 8 == 3 ? the->large / 3 : (size_t)(number % 100);
}

static unsigned char scratch[NUMBERED_HEAD + NUMBERED_MOST];

/* Writes a message into `scratch`, and returns its size. */
static size_t encode(int from, int number)
{
    struct numbered message = {.from = from, .number = number, .size = pad_size(number)};
    return numbered_encode(scratch, &message);
}

static const char *decode(const sock_message *message, int *from, int *number)
{
    struct numbered is;
    const char *wrong = numbered_decode(message, &is);
    if (!wrong && (is.number < 1 || is.number >= MOST || is.size != pad_size((int)is.number)))
        wrong = "has another size";
    *from = (int)is.from;
    *number = (int)is.number;
    return wrong;
}

static int send_one(int to, const char *id)
{
    int number = next_number++;
    if (number >= MOST)
        fail("the scenario has no end");
    sent[number].to = to;
    sent[number].status = sock_send_data(server, DOTSOCK_DATA, scratch, encode(-1, number), id);
    return sent[number].status;
}

/* Once: what has failed has not been sent (to one), or not to all. */
static void broadcast(void)
{
    int status = send_one(TO_ALL, NULL);
    if (status != DOTSOCK_OK)
        check_error("a broadcast", status);
}

static void unicast(int i)
{
    char id[64];
    pthread_mutex_lock(&lock);
    strcpy(id, clients[i].id);
    pthread_mutex_unlock(&lock);
    int status = send_one(i, id);
    if (status != DOTSOCK_OK)
        check_error("a unicast", status);
}

static void send_up(int i)
{
    struct client *client = &clients[i];
    int number = client->next_up++;
    if (number >= MOST)
        fail("client %d says hello for ever", i);
    int status = sock_client_send_data(client->handle, DOTSOCK_DATA, scratch, encode(i, number));
    client->up_status[number] = status;
    if (status != DOTSOCK_OK) {
        check_error("a client's send", status);
        if (status == DOTSOCK_E_CLOSED || status == DOTSOCK_E_IO)
            client->up_excused = client->excused = 1;
    }
}

/* ---- what arrives ---- */

/* From a client at the server; called with the lock. */
static void take_up(const char *id, const sock_message *message)
{
    int from, number;
    const char *wrong = decode(message, &from, &number);
    if (wrong)
        fail("a message from a client %s", wrong);
    if (from < 0 || from >= CLIENTS)
        fail("a message from client %d, who is nobody", from);
    struct client *client = &clients[from];
    if (client->up_got[number])
        fail("client %d: its message %d came twice", from, number);
    client->up_got[number] = 1;
    int lane = 0;
    while (lane < MOST_LANES && client->lanes[lane].last && strcmp(client->lanes[lane].id, id) != 0)
        lane++;
    if (lane == MOST_LANES)
        fail("client %d connects for ever", from);
    if (number <= client->lanes[lane].last)
        fail("client %d: its message %d came after %d", from, number, client->lanes[lane].last);
    client->lanes[lane].last = number;
    snprintf(client->lanes[lane].id, sizeof client->lanes[lane].id, "%s", id);
    if (number > client->last_up) {
        client->last_up = number;
        snprintf(client->id, sizeof client->id, "%s", id);
    }
    if (number >= client->hello)
        client->hello_seen = 1;
    outcome->messages++;
}

static void gone(const char *id)
{
    disconnected++;
    for (int i = 0; i < CLIENTS; i++)
        if (strcmp(clients[i].id, id) == 0) {
            clients[i].id[0] = 0;
            clients[i].excused = clients[i].up_excused = 1;
            outcome->losses++;
        }
}

static void on_connected(void *ctx, sock_server *which, const char *id)
{
    (void)ctx, (void)which, (void)id;
    pthread_mutex_lock(&lock);
    connected++;
    pthread_mutex_unlock(&lock);
}

static void on_disconnected(void *ctx, sock_server *which, const char *id)
{
    (void)ctx, (void)which;
    pthread_mutex_lock(&lock);
    gone(id);
    pthread_mutex_unlock(&lock);
}

static void on_message(void *ctx, sock_server *which, const char *id, const sock_message *message)
{
    (void)ctx, (void)which;
    pthread_mutex_lock(&lock);
    take_up(id, message);
    pthread_mutex_unlock(&lock);
}

/* The server's events, where it has no thread. */
static int pump(void)
{
    int any = 0, status;
    sock_event *event;
    while ((status = sock_server_next(server, 0, &event)) == DOTSOCK_OK) {
        any = 1;
        switch (sock_event_kind(event)) {
        case DOTSOCK_CLIENT_CONNECTED:
            connected++;
            break;
        case DOTSOCK_CLIENT_DISCONNECTED:
            gone(sock_event_client_id(event));
            break;
        default:
            take_up(sock_event_client_id(event), sock_event_message(event));
        }
        sock_event_free(event);
    }
    if (status != DOTSOCK_E_TIMEOUT && status != DOTSOCK_E_NOT_RUNNING) {
        check_error("next", status);
        poll(NULL, 0, 1);
    }
    return any;
}

static void take_down(struct client *client, const sock_message *message)
{
    int from, number, i = (int)(client - clients);
    const char *code = NULL, *wrong = decode(message, &from, &number);
    if (wrong && sock_message_get_string(message, "/code", &code, NULL) == DOTSOCK_OK &&
        strcmp(code, "missed") == 0) {
        client->excused = 1;
        return;
    }
    if (wrong)
        fail("a message at client %d %s: %.200s", i, wrong, sock_message_data_json(message));
    if (from != -1 || number >= next_number)
        fail("client %d got message %d from %d, which nobody sent", i, number, from);
    if (number <= client->last)
        fail("client %d got message %d after %d", i, number, client->last);
    if (sent[number].to >= 0 && (sent[number].to != i || sent[number].status != DOTSOCK_OK))
        fail("client %d got message %d, for %d (status %d)", i, number, sent[number].to, sent[number].status);
    client->last = number;
    client->got[number] = 1;
    outcome->messages++;
}

/* What arrives at a client; waits for it a moment. */
static int drain(struct client *client, int wait_ms)
{
    int any = 0;
    for (sock_message *message; client->handle;) {
        int status = sock_client_recv(client->handle, any ? 0 : wait_ms, &message);
        if (status == DOTSOCK_E_TIMEOUT)
            break;
        if (status != DOTSOCK_OK) {
            if (status == DOTSOCK_E_CLOSED) {
                client->excused = client->up_excused = 1;
                client->hello_at = 0; /* what it said last went nowhere */
                if (!fault_hits() && !stopping)
                    fail("client %d: %s", (int)(client - clients), sock_last_error());
            } else {
                check_error("recv", status);
                poll(NULL, 0, 1); /* whoever calls again at once burns what it wants to see unburnt */
            }
            break;
        }
        any = 1;
        take_down(client, message);
        sock_message_free(message);
    }
    return any;
}

/* Lets everybody get on a little. */
static void step(void)
{
    int any = 0;
    if (the->threaded) {
        for (int i = 0; i < CLIENTS; i++)
            any |= drain(&clients[i], 1);
        if (!clients[0].handle)
            poll(NULL, 0, 1);
        return;
    }
    if (server)
        any |= pump();
    for (int i = 0; i < CLIENTS; i++)
        any |= drain(&clients[i], 0);
    if (any)
        return;
    struct pollfd entries[CLIENTS + 1];
    nfds_t count = 0;
    if (server && sock_server_fd(server) >= 0)
        entries[count++] = (struct pollfd){.fd = sock_server_fd(server), .events = POLLIN};
    for (int i = 0; i < CLIENTS; i++)
        if (clients[i].handle && sock_client_fd(clients[i].handle) >= 0)
            entries[count++] = (struct pollfd){.fd = sock_client_fd(clients[i].handle), .events = POLLIN};
    poll(entries, count, 20);
}

/* ---- accounting ---- */

static int has_all(const struct client *client)
{
    int i = (int)(client - clients);
    for (int n = phase_start; n < next_number; n++)
        if (sent[n].status == DOTSOCK_OK && (sent[n].to == TO_ALL || sent[n].to == i) && !client->got[n])
            return n;
    return 0;
}

static int server_has_all(const struct client *client)
{
    for (int n = client->up_phase; n < client->next_up; n++)
        if (client->up_status[n] == DOTSOCK_OK && !client->up_got[n])
            return n;
    return 0;
}

static int is_settled(struct client *client)
{
    pthread_mutex_lock(&lock);
    int seen = client->hello_seen && client->id[0];
    char id[64];
    strcpy(id, client->id);
    pthread_mutex_unlock(&lock);
    if (!seen)
        return 0;
    sock_client_list *list = sock_server_client(server, id);
    sock_client_list_free(list);
    return list != NULL;
}

/* Waits until every client is known to the server by its newest connection. */
static void settle(void)
{
    int64_t until = now_ms() + PATIENCE_MS;
    for (int i = 0; i < CLIENTS; i++)
        clients[i].hello = clients[i].hello_seen = 0;
    for (int settled = 0; settled < CLIENTS;) {
        settled = 0;
        for (int i = 0; i < CLIENTS; i++) {
            struct client *client = &clients[i];
            if (is_settled(client)) {
                settled++;
            } else if (!client->hello || now_ms() - client->hello_at > 150) {
                pthread_mutex_lock(&lock);
                client->hello = client->next_up;
                client->hello_seen = 0;
                client->hello_at = now_ms();
                pthread_mutex_unlock(&lock);
                send_up(i);
            }
        }
        if (settled < CLIENTS)
            step();
        if (now_ms() > until)
            fail("in vain: the server knows its clients (%llu are connected)",
                 (unsigned long long)stat_of("clients"));
    }
    pthread_mutex_lock(&lock);
    for (int i = 0; i < CLIENTS; i++)
        clients[i].excused = 0;
    phase_start = next_number;
    pthread_mutex_unlock(&lock);
}

static uint64_t drops;

/* Waits until everything has arrived that was sent since, or is excused. */
static void account(void)
{
    int64_t began = now_ms(), until = began + PATIENCE_MS / 2;
    for (;;) {
        int missing = 0, excused = stat_of("messages_dropped") != drops || stat_of("malformed") != 0;
        char text[200] = "";
        for (int i = 0; i < CLIENTS; i++) {
            uint64_t malformed = 0;
            pthread_mutex_lock(&lock);
            struct client *client = &clients[i];
            sock_client_stat(client->handle, "malformed", &malformed);
            int down = has_all(client), up = server_has_all(client);
            int excuse = excused || malformed;
            if (down && !client->excused && !excuse)
                snprintf(text, sizeof text, "client %d never got message %d (of %d), and nobody was told", i,
                         down, next_number - 1);
            if (up && !client->up_excused && !excuse)
                snprintf(text, sizeof text,
                         "message %d (of %d) of client %d never arrived, and nobody was told", up,
                         client->next_up - 1, i);
            missing |= (down && !client->excused) || (up && !client->up_excused);
            pthread_mutex_unlock(&lock);
        }
        if (!missing || (now_ms() > began + PATIENCE_MS / 20 && !text[0]))
            break;
        if (now_ms() > until)
            fail("%s", text);
        step();
    }
    drops = stat_of("messages_dropped");
    pthread_mutex_lock(&lock);
    for (int i = 0; i < CLIENTS; i++) {
        clients[i].up_phase = clients[i].next_up;
        clients[i].up_excused = 0;
    }
    pthread_mutex_unlock(&lock);
}

/* ---- the story ---- */

static void make_client(int i, const sock_options *options)
{
    MAKE(clients[i].handle, sock_client_new(the->transport, "e", options));
    clients[i].next_up = 1;
    clients[i].up_phase = 1;
}

/* A mixture: small and large, to all and to one, one by one and corked. */
static void talk(void)
{
    settle();
    for (int i = 0; i < 8; i++)
        broadcast();
    for (int i = 0; i < CLIENTS; i++)
        unicast(i);
    PERSIST(sock_server_cork(server));
    for (int i = 0; i < 6; i++)
        broadcast();
    PERSIST(sock_server_uncork(server));
    for (int i = 0; i < CLIENTS; i++)
        for (int k = 0; k < 4; k++)
            send_up(i);
    PERSIST(sock_client_cork(clients[1].handle));
    send_up(1);
    send_up(1);
    int status = sock_client_uncork(clients[1].handle);
    if (status != DOTSOCK_OK)
        check_error("uncork", status);
    if (status == DOTSOCK_E_INTERRUPTED || status == DOTSOCK_E_TIMEOUT || status == DOTSOCK_E_NO_MEMORY)
        PERSIST(sock_client_uncork(clients[1].handle));
    account();
}

static int start(void) { return the->threaded ? sock_server_start(server) : sock_server_open(server); }

/* A TCP server that cannot publish where it listens runs nevertheless, and warns. */
static void start_to_be_found(void)
{
    char path[300];
    snprintf(path, sizeof path, "%s/sockets/e.tcp", the->directory);
    PERSIST(start());
    while (the->transport == DOTSOCK_TCP && access(path, F_OK) != 0) {
        pthread_mutex_lock(&lock);
        int warned = log_size && strstr(log_text, "[2]");
        pthread_mutex_unlock(&lock);
        if (!warned || !fault_hits())
            fail("%s is missing, and no warning was logged", path);
        PERSIST(sock_server_stop(server));
        poll(NULL, 0, 5);
        PERSIST(start());
    }
}

static void live(void)
{
    sock_options *options;
    char sockets[300];
    snprintf(sockets, sizeof sockets, "%s/sockets", the->directory);
    MAKE(options, sock_options_new());
    PERSIST(sock_options_set(options, "socket_dir", sockets));
    PERSIST(sock_options_set(options, "port", the->transport == DOTSOCK_TCP ? "0" : ""));
    PERSIST(sock_options_set(options, "token", the->token));
    PERSIST(sock_options_set(options, "default_timeout", "3"));
    PERSIST(sock_options_set(options, "reconnect_delay", "0.002"));
    PERSIST(sock_options_set(options, "reconnect_max_delay", "0.02"));
    PERSIST(sock_options_set(options, "report_loss", "true"));
    MAKE(server, sock_server_new(the->transport, "e", options));
    if (the->threaded) {
        PERSIST(sock_server_on_client_connected(server, on_connected, NULL, NULL));
        PERSIST(sock_server_on_client_disconnected(server, on_disconnected, NULL, NULL));
        PERSIST(sock_server_on_message_received(server, on_message, NULL, NULL));
    }
    start_to_be_found();
    PERSIST(send_one(TO_BACKLOG, NULL));
    for (int i = 0; i < CLIENTS; i++)
        make_client(i, options);
    sock_options_free(options);
    PERSIST(sock_client_connect(clients[0].handle));
    PERSIST(sock_client_connect(clients[1].handle));
    PERSIST(sock_client_open(clients[2].handle));
    talk();

    stopping = 1;
    PERSIST(sock_client_disconnect(clients[0].handle));
    PERSIST(sock_client_connect(clients[0].handle));
    settle();
    stopping = 0;

    stopping = 1;
    PERSIST(sock_server_stop(server));
    start_to_be_found();
    settle();
    stopping = 0;
    talk();

    stopping = 1;
    char id[64];
    strcpy(id, clients[1].id);
    int status = sock_server_disconnect_client(server, id);
    if (status != DOTSOCK_OK)
        check_error("disconnect_client", status);
    settle();
    stopping = 0;
    talk();
}

static void end(void)
{
    for (int i = 0; i < CLIENTS; i++) {
        sock_client_free(clients[i].handle);
        clients[i].handle = NULL;
    }
    UNTIL(stat_of("clients") == 0 && connected == disconnected, "every client that has come has left");
    PERSIST(sock_server_stop(server));
    if (!the->threaded)
        pump();
    sock_server_free(server);
    server = NULL;
    if (connected != disconnected)
        fail("%d clients came, %d left", connected, disconnected);
}

/* ---- what is left behind ---- */

static int entries_of(const char *directory, char *name, size_t size)
{
    int count = 0;
    DIR *open = opendir(directory);
    for (struct dirent *entry; open && (entry = readdir(open));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            count++;
            snprintf(name, size, "%s", entry->d_name);
        }
    if (open)
        closedir(open);
    return count;
}

static int64_t cpu_ms(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
           (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000;
}

void scenario_run(const struct scenario *scenario, struct outcome *to)
{
    char name[256] = "", sockets[300], warning[600];
    the = scenario;
    outcome = to;
    alarm(30);
    int descriptors = entries_of("/proc/self/fd", name, sizeof name);
    int64_t began = now_ms(), cpu = cpu_ms();
    if (sock_set_log(4, keep_log, NULL, NULL) != DOTSOCK_OK)
        fail("logging: %s", sock_last_error());
    fault_begin(the->fault);
    live();
    end();
    fault_end();
    outcome->hits = fault_hits();
    outcome->wall_ms = now_ms() - began;
    outcome->cpu_ms = cpu_ms() - cpu;
    for (int call = 0; call < CALLS; call++)
        outcome->calls[call] = fault_calls(call);

    int64_t until = now_ms() + PATIENCE_MS;
    while (entries_of("/proc/self/task", name, sizeof name) != 1 && now_ms() < until)
        poll(NULL, 0, 1);
    int threads = entries_of("/proc/self/task", name, sizeof name);
    if (threads != 1)
        fail("%d threads are left", threads - 1);
    int left = entries_of("/proc/self/fd", name, sizeof name) - descriptors;
    if (left)
        fail("%d descriptors are left", left);
    snprintf(sockets, sizeof sockets, "%s/sockets", the->directory);
    /* Where the system refuses to remove a file, it stays, and a warning says so. */
    int files = entries_of(sockets, name, sizeof name);
    snprintf(warning, sizeof warning, "[2] Cannot remove %s/%s:", sockets, name);
    if (files > 1 || (files && !strstr(log_text, warning)))
        fail("%d files are left: %s", files, name);
    sock_set_log(0, NULL, NULL, NULL);
    outcome->blocks = fault_blocks();
    if (getenv("FAULT_LOG"))
        fprintf(stderr, "%.*s", (int)log_size, log_text);
    outcome->done = 1;
    _exit(0);
}
