/* starved.c - for a while, the system has no memory for any write (ENOBUFS), though every socket has
 * room. Who waits for room in a socket then tries again at once, for ever: it has to wait by the
 * clock. The writes that are tried are counted, which no load on the machine makes more. Whatever
 * was sent arrives once there is memory again, and once. */
#define _GNU_SOURCE
#include "inject.h"
#include "must.h"
#include "numbered.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { FOR_MS = 300, EVERY_MS = 10, LARGE = 1 << 20, PATIENCE_MS = 20000 };

#define UNTIL(condition, ...)                                                                                  \
    do {                                                                                                       \
        for (int64_t until_ = now_ms() + PATIENCE_MS; !(condition);) {                                         \
            if (now_ms() > until_)                                                                             \
                fail("in vain: %s", #condition);                                                               \
            __VA_ARGS__;                                                                                       \
        }                                                                                                      \
    } while (0)

static char directory[] = "/tmp/dotsock-XXXXXX", sockets[100];
static unsigned char bytes[NUMBERED_HEAD + LARGE];
static sock_server *server;
static sock_client *client;
static atomic_int taken; /* the number of the newest message that the server has */

static void on_message(void *ctx, sock_server *which, const char *id, const sock_message *message)
{
    (void)ctx, (void)which, (void)id;
    struct numbered is;
    const char *wrong = numbered_decode(message, &is);
    if (wrong || is.number != taken + 1)
        fail("message %lld %s", (long long)is.number, wrong ? wrong : "came out of its place");
    taken++;
}

static void begin(int transport, int threaded, const char *policy, const char *send_timeout)
{
    sock_options *options = sock_options_new();
    MUST(sock_options_set(options, "socket_dir", sockets));
    MUST(sock_options_set(options, "port", transport == DOTSOCK_TCP ? "0" : ""));
    MUST(sock_options_set(options, "slow_client", policy));
    MUST(sock_options_set(options, "send_timeout", send_timeout));
    server = sock_server_new(transport, "e", options);
    client = sock_client_new(transport, "e", options);
    sock_options_free(options);
    taken = 0;
    MUST(sock_server_on_message_received(server, on_message, NULL, NULL));
    MUST(threaded ? sock_server_start(server) : sock_server_open(server));
    MUST(sock_client_connect(client));
    uint64_t clients = 0;
    UNTIL(clients == 1, {
        sock_event *event = NULL;
        if (threaded)
            poll(NULL, 0, 1);
        else if (sock_server_next(server, 10, &event) == DOTSOCK_OK)
            sock_event_free(event);
        MUST(sock_server_stat(server, "clients", &clients));
    });
}

static void finish(void)
{
    sock_client_free(client);
    sock_server_free(server);
}

/* From the `first` one on, no such call succeeds for FOR_MS. */
static void deny(int call, int error, uint64_t first)
{
    struct fault_plan plan = {
        .call = call, .kind = FAULT_ERROR, .error = error, .first = first, .for_ms = FOR_MS};
    fault_begin(&plan);
}

static void starve(uint64_t first) { deny(CALL_SEND, ENOBUFS, first); }

/* One write every EVERY_MS, and `besides` for what a call tries at once. */
static void check_attempts(unsigned besides)
{
    uint64_t hits = fault_hits();
    printf("%-60s %4llu attempts in vain\n", doing, (unsigned long long)hits);
    if (hits == 0)
        fail("nothing failed");
    if (hits > FOR_MS / EVERY_MS + besides)
        fail("%llu attempts in vain: it did not wait by the clock", (unsigned long long)hits);
    fault_end();
}

static size_t message(int64_t from, int64_t number, size_t size)
{
    struct numbered what = {.from = from, .number = number, .size = size};
    return numbered_encode(bytes, &what);
}

static void say(int64_t number, size_t size)
{
    MUST(sock_client_send_data(client, DOTSOCK_DATA, bytes, message(0, number, size)));
}

/* ---- clients ---- */

/* The rest of a message waits, and the program's event loop or its `recv` looks after it. */
static void client_receives(int transport, int blocking)
{
    doing = blocking ? "the rest of a client's message, in recv" : "the rest of a client's message, in an event loop";
    begin(transport, 1, "drop_oldest", "");
    starve(2);
    say(1, LARGE);
    UNTIL(taken == 1, {
        sock_message *none = NULL;
        struct pollfd entry = {.fd = sock_client_fd(client), .events = POLLIN};
        if (!blocking)
            poll(&entry, 1, 100);
        if (sock_client_recv(client, blocking ? 100 : 0, &none) != DOTSOCK_E_TIMEOUT)
            fail("recv found something");
    });
    check_attempts(5);
    finish();
}

/* Its socket cannot be watched, as when the user's limit of those is reached. */
static void client_is_blind(int transport)
{
    doing = "a client whose socket cannot be watched";
    begin(transport, 1, "drop_oldest", "");
    sock_message *got = NULL;
    if (sock_client_fd(client) < 0)
        fail("no descriptor");
    MUST(sock_client_disconnect(client));
    deny(CALL_EPOLL_ADD, ENOSPC, 2); /* the first is the server's, of the client that comes */
    MUST(sock_client_connect(client));
    MUST(sock_send_data(server, DOTSOCK_DATA, bytes, message(-1, 1, 100), NULL));
    int wakes = 0;
    for (int64_t until = now_ms() + FOR_MS; now_ms() < until; wakes++) {
        struct pollfd entry = {.fd = sock_client_fd(client), .events = POLLIN};
        poll(&entry, 1, FOR_MS);
        if (sock_client_recv(client, 0, &got) == DOTSOCK_OK)
            sock_message_free(got), taken++;
    }
    if (taken != 1)
        fail("%d messages arrived", (int)taken);
    check_attempts(FOR_MS / EVERY_MS + 20); /* the server tries to let it in, too */
    finish();
}

static void client_sends(int transport)
{
    doing = "a client's send waits";
    begin(transport, 1, "drop_oldest", "");
    starve(1);
    say(1, 100);
    check_attempts(5);
    UNTIL(taken == 1, poll(NULL, 0, 1));
    finish();
}

static void client_gives_up(int transport)
{
    doing = "a client's send waits for send_timeout";
    begin(transport, 1, "drop_oldest", "0.1");
    starve(1);
    int status = sock_client_send_data(client, DOTSOCK_DATA, bytes, message(0, 1, 100));
    if (status != DOTSOCK_E_NO_MEMORY)
        fail("it returned %d", status);
    check_attempts(5);
    say(1, 100); /* had the other one been sent, too, this would be in its place */
    UNTIL(taken == 1, poll(NULL, 0, 1));
    finish();
}

static void client_leaves(int transport)
{
    doing = "a client that disconnects";
    begin(transport, 1, "drop_oldest", "");
    MUST(sock_client_cork(client));
    say(1, 100);
    starve(1);
    MUST(sock_client_disconnect(client));
    check_attempts(5);
    UNTIL(taken == 1, poll(NULL, 0, 1));
    finish();
}

/* ---- servers ---- */

enum { MESSAGES = 10 };

static void server_sends(int transport, int threaded, const char *policy, uint64_t first, size_t size)
{
    char text[100];
    snprintf(text, sizeof text, "a server's messages, %s, %s, %zu bytes", policy, threaded ? "own thread" : "open", size);
    doing = text;
    begin(transport, threaded, policy, "");
    starve(first);
    for (int i = 1; i <= MESSAGES; i++)
        MUST(sock_send_data(server, DOTSOCK_DATA, bytes, message(-1, i, size), NULL));
    for (int i = 1; i <= MESSAGES; i++) {
        sock_message *got = NULL;
        struct numbered is;
        UNTIL(sock_client_recv(client, threaded ? 20 : 0, &got) == DOTSOCK_OK, {
            sock_event *event = NULL;
            struct pollfd entries[] = {{.fd = sock_server_fd(server), .events = POLLIN},
                                       {.fd = sock_client_fd(client), .events = POLLIN}};
            if (!threaded)
                poll(entries, 2, 100);
            if (!threaded && sock_server_next(server, 0, &event) == DOTSOCK_OK)
                sock_event_free(event);
        });
        const char *wrong = numbered_decode(got, &is);
        if (wrong || is.number != i)
            fail("message %lld %s", (long long)is.number, wrong ? wrong : "came out of its place");
        sock_message_free(got);
    }
    check_attempts(5 + 3 * MESSAGES);
    finish();
}

/* A send waits for room, and there is not even memory to wait with. */
static void server_cannot_wait(void)
{
    doing = "a send that waits for room, without memory for poll";
    begin(DOTSOCK_UNIX, 1, "block", "0.4");
    uint64_t dropped = 0;
    for (int i = 1; i <= 8; i++)
        MUST(sock_send_data(server, DOTSOCK_DATA, bytes, message(-1, i, LARGE), NULL));
    deny(CALL_POLL, ENOMEM, 1);
    MUST(sock_send_data(server, DOTSOCK_DATA, bytes, message(-1, 9, LARGE), NULL));
    MUST(sock_server_stat(server, "messages_dropped", &dropped));
    if (dropped != 1)
        fail("%llu messages were dropped", (unsigned long long)dropped);
    check_attempts(20);
    finish();
}

/* What drives a server has not even memory to wait with. */
static void server_cannot_wait_for_clients(void)
{
    doing = "next, without memory for poll";
    begin(DOTSOCK_UNIX, 0, "drop_oldest", "");
    deny(CALL_POLL, ENOMEM, 1);
    sock_event *event = NULL;
    if (sock_server_next(server, FOR_MS / 2, &event) != DOTSOCK_E_TIMEOUT)
        fail("%s", sock_last_error());
    say(1, 100);
    MUST(sock_server_next(server, PATIENCE_MS, &event));
    if (sock_event_kind(event) != DOTSOCK_MESSAGE_RECEIVED)
        fail("an event of kind %d", sock_event_kind(event));
    sock_event_free(event);
    check_attempts(5);
    finish();
}

/* Those who wait to be let in cannot be watched: the first shows it, and the others wait. */
static void server_cannot_watch(void)
{
    enum { MANY = 60 };
    int fds[MANY];
    doing = "many come, and none can be watched";
    begin(DOTSOCK_UNIX, 0, "drop_oldest", "");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/e.sock", sockets);
    for (int i = 0; i < MANY; i++) {
        fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(fds[i], (struct sockaddr *)&address, sizeof address) != 0)
            fail("connect: %m");
    }
    deny(CALL_EPOLL_ADD, ENOSPC, 1);
    uint64_t clients = 0;
    UNTIL(clients == MANY, { /* all but one, and that of begin() */
        sock_event *event = NULL;
        if (sock_server_next(server, 10, &event) == DOTSOCK_OK)
            sock_event_free(event);
        MUST(sock_server_stat(server, "clients", &clients));
    });
    check_attempts(5);
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
    finish();
}

/* One that is gone altogether, while the server still has something for it: epoll says so without
 * end, and nobody has asked it. */
static void server_takes_leave(void)
{
    doing = "a server's farewell to who is gone already";
    begin(DOTSOCK_UNIX, 1, "drop_oldest", "");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/e.sock", sockets);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        fail("connect: %m");
    uint64_t clients = 0;
    UNTIL(clients == 2, MUST(sock_server_stat(server, "clients", &clients)));
    starve(1);
    MUST(sock_send_data(server, DOTSOCK_DATA, bytes, message(-1, 1, 100), NULL));
    close(fd);
    UNTIL(clients == 1, {
        MUST(sock_server_stat(server, "clients", &clients));
        poll(NULL, 0, 5);
    });
    poll(NULL, 0, 2 * FOR_MS);
    check_attempts(20 + FOR_MS / EVERY_MS); /* two clients */
    finish();
}

/* ---- a token ---- */

static void begin_with_token(int threaded, const char *send_timeout)
{
    sock_options *options = sock_options_new();
    MUST(sock_options_set(options, "socket_dir", sockets));
    MUST(sock_options_set(options, "port", "0"));
    MUST(sock_options_set(options, "token", "a token that nobody guesses"));
    MUST(sock_options_set(options, "send_timeout", send_timeout));
    server = sock_server_new(DOTSOCK_TCP, "e", options);
    client = sock_client_new(DOTSOCK_TCP, "e", options);
    sock_options_free(options);
    MUST(threaded ? sock_server_start(server) : sock_server_open(server));
}

/* The `first` of question, answer and proof finds no memory. */
static void handshake(int threaded, uint64_t first)
{
    char text[100];
    snprintf(text, sizeof text, "message %d of a handshake, %s", (int)first, threaded ? "own thread" : "open");
    doing = text;
    begin_with_token(threaded, "");
    starve(first);
    int64_t began = now_ms();
    MUST(threaded ? sock_client_connect(client) : sock_client_open(client));
    UNTIL(sock_client_is_connected(client), {
        sock_event *event = NULL;
        sock_message *none = NULL;
        struct pollfd entries[] = {{.fd = sock_server_fd(server), .events = POLLIN},
                                   {.fd = sock_client_fd(client), .events = POLLIN}};
        poll(entries, 2, 100);
        if (sock_server_next(server, 0, &event) == DOTSOCK_OK)
            sock_event_free(event);
        if (sock_client_recv(client, 0, &none) != DOTSOCK_E_TIMEOUT)
            fail("recv found something");
    });
    if (now_ms() - began > FOR_MS + 2000)
        fail("it took %lld ms", (long long)(now_ms() - began));
    check_attempts(5);
    uint64_t count = 0;
    MUST(sock_server_stat(server, "rejected", &count));
    if (count)
        fail("the server has turned it away");
    finish();
}

static void *receive_in_thread(void *to)
{
    sock_client_recv(client, PATIENCE_MS, to);
    return NULL;
}

/* A send carries a handshake on as far as it can, and gives up; `recv`, which sleeps meanwhile in
 * another thread, has to go on with it. */
static void handshake_of_two(void)
{
    doing = "a handshake that a send leaves to a recv";
    sock_message *got = NULL;
    pthread_t thread;
    begin_with_token(1, "0.05");
    MUST(sock_send_data(server, DOTSOCK_DATA, bytes, message(-1, 1, 100), NULL));
    starve(2);
    int64_t began = now_ms();
    MUST(sock_client_open(client));
    if (pthread_create(&thread, NULL, receive_in_thread, &got) != 0)
        fail("pthread_create");
    sock_client_send_data(client, DOTSOCK_DATA, bytes, message(0, 1, 100));
    pthread_join(thread, NULL);
    if (!got || now_ms() - began > FOR_MS + 2000)
        fail("it took %lld ms", (long long)(now_ms() - began));
    sock_message_free(got);
    check_attempts(FOR_MS / EVERY_MS + 5); /* two threads */
    finish();
}

int main(void)
{
    if (!mkdtemp(directory))
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    snprintf(sockets, sizeof sockets, "%s/sockets", directory);
    setenv("XDG_CONFIG_HOME", directory, 1);
    numbered_pad(0, 0);
    /* A TCP socket may have room for all of a message. */
    client_receives(DOTSOCK_UNIX, 0);
    client_receives(DOTSOCK_UNIX, 1);
    client_is_blind(DOTSOCK_UNIX);
    for (int transport = DOTSOCK_UNIX; transport <= DOTSOCK_TCP; transport++) {
        client_sends(transport);
        client_gives_up(transport);
        client_leaves(transport);
        for (int threaded = 0; threaded < 2; threaded++)
            for (int blocks = 0; blocks < 2; blocks++) {
                server_sends(transport, threaded, blocks ? "block" : "drop_oldest", 1, 100);
                server_sends(transport, threaded, blocks ? "block" : "drop_oldest", 2, LARGE / 2);
            }
    }
    server_cannot_wait();
    server_cannot_wait_for_clients();
    server_cannot_watch();
    server_takes_leave();
    for (int threaded = 0; threaded < 2; threaded++)
        for (uint64_t message = 1; message <= 3; message++)
            handshake(threaded, message);
    for (int i = 0; i < 5; i++) /* which of the two is woken first, chance decides */
        handshake_of_two();
    remove_all(directory);
    return 0;
}
