/* mishaps.c - what happens to a server and its clients while they run: files that vanish, a fork, a
 * stopped server, signals without end, a clock that jumps, a client that ends its half and reads on.
 * In each case messages go on arriving, whole and in order, and the server stops and leaves nothing
 * behind. */
#define _GNU_SOURCE
#include "must.h"
#include "numbered.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_MS = 20000 };

static char directory[] = "/tmp/dotsock-XXXXXX", sockets[100];
static sock_server *server;
static sock_client *client;
static int64_t sent, got, said;
static atomic_llong taken;

#define UNTIL(condition)                                                                                       \
    do {                                                                                                       \
        for (int64_t until_ = now_ms() + PATIENCE_MS; !(condition); poll(NULL, 0, 1))                          \
            if (now_ms() > until_)                                                                             \
                fail("in vain: %s", #condition);                                                               \
    } while (0)

/* ---- a clock that jumps ---- */

static atomic_llong wall_clock_off; /* seconds */

int clock_gettime(clockid_t clock, struct timespec *to)
{
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, to);
    if (clock == CLOCK_REALTIME)
        to->tv_sec += (time_t)wall_clock_off;
    return result;
}

/* ---- a server and a client ---- */

static void on_message(void *ctx, sock_server *which, const char *id, const sock_message *message)
{
    (void)ctx, (void)which, (void)id;
    struct numbered is;
    const char *wrong = numbered_decode(message, &is);
    if (wrong || is.number != taken + 1)
        fail("message %lld after %lld at the server: %s", (long long)is.number, (long long)taken, wrong ? wrong : "");
    taken++;
}

static int64_t stat_of(const char *name)
{
    uint64_t value = 0;
    MUST(sock_server_stat(server, name, &value));
    return (int64_t)value;
}

static void begin(int transport, const char *policy)
{
    sock_options *options = sock_options_new();
    MUST(sock_options_set(options, "socket_dir", sockets));
    MUST(sock_options_set(options, "port", transport == DOTSOCK_TCP ? "0" : ""));
    MUST(sock_options_set(options, "slow_client", policy));
    MUST(sock_options_set(options, "reconnect_delay", "0.01"));
    MUST(sock_options_set(options, "default_timeout", "10"));
    server = sock_server_new(transport, "e", options);
    client = sock_client_new(transport, "e", options);
    sock_options_free(options);
    sent = got = said = taken = 0;
    MUST(sock_server_on_message_received(server, on_message, NULL, NULL));
    MUST(sock_server_start(server));
    MUST(sock_client_connect(client));
    UNTIL(stat_of("clients") == 1);
}

static long entries_of(const char *path)
{
    long count = -2;
    DIR *open = opendir(path);
    while (open && readdir(open))
        count++;
    if (open)
        closedir(open);
    return open ? count : 0;
}

static void finish(void)
{
    sock_client_free(client);
    MUST(sock_server_stop(server));
    sock_server_free(server);
    if (entries_of(sockets) != 0)
        fail("%s is not empty", sockets);
    printf("ok     %s\n", doing);
}

static void send_one(size_t size)
{
    static unsigned char bytes[NUMBERED_HEAD + NUMBERED_MOST];
    struct numbered what = {.from = -1, .number = ++sent, .size = size};
    MUST(sock_send_data(server, DOTSOCK_DATA, bytes, numbered_encode(bytes, &what), NULL));
}

static void say_one(size_t size)
{
    static unsigned char bytes[NUMBERED_HEAD + NUMBERED_MOST];
    struct numbered what = {.from = 0, .number = ++said, .size = size};
    int status;
    while ((status = sock_client_send_data(client, DOTSOCK_DATA, bytes, numbered_encode(bytes, &what))) ==
           DOTSOCK_E_INTERRUPTED)
        ;
    MUST(status);
}

static void receive_all(void)
{
    while (got < sent) {
        sock_message *message = NULL;
        struct numbered is;
        int status;
        while ((status = sock_client_recv(client, PATIENCE_MS, &message)) == DOTSOCK_E_INTERRUPTED)
            ;
        MUST(status);
        const char *wrong = numbered_decode(message, &is);
        if (wrong || is.number != ++got)
            fail("message %lld in the place of %lld: %s", (long long)is.number, (long long)got, wrong ? wrong : "");
        sock_message_free(message);
    }
    UNTIL(taken == said);
}

static void talk(void)
{
    for (int i = 0; i < 200; i++) {
        send_one((size_t)i);
        say_one((size_t)i);
    }
    receive_all();
}

/* ---- mishaps ---- */

static void files_vanish(int transport)
{
    doing = transport == DOTSOCK_TCP ? "the discovery file is deleted" : "the socket file is deleted";
    begin(transport, "drop_oldest");
    char path[200];
    snprintf(path, sizeof path, "%s/e.%s", sockets, transport == DOTSOCK_TCP ? "tcp" : "sock");
    if (unlink(path) != 0)
        fail("%s: %m", path);
    talk();
    /* Whoever comes now finds nobody, and is told. */
    MUST(sock_client_disconnect(client));
    if (sock_client_connect(client) != DOTSOCK_E_CLOSED)
        fail("it found a server");
    MUST(sock_server_stop(server));
    MUST(sock_server_start(server));
    MUST(sock_client_connect(client));
    UNTIL(stat_of("clients") == 1);
    talk();
    finish();
}

static void directory_vanishes(int transport)
{
    doing = "socket_dir is deleted";
    begin(transport, "drop_oldest");
    remove_all(sockets);
    talk();
    MUST(sock_server_stop(server));
    MUST(sock_server_start(server));
    MUST(sock_client_connect(client));
    UNTIL(stat_of("clients") == 1);
    talk();
    finish();
}

/* Somebody else's file stands in the place of the server's own: it is not removed. */
static void file_is_replaced(void)
{
    doing = "the socket file is another one";
    begin(DOTSOCK_UNIX, "drop_oldest");
    char path[200];
    snprintf(path, sizeof path, "%s/e.sock", sockets);
    unlink(path);
    FILE *other = fopen(path, "w");
    fclose(other);
    talk();
    MUST(sock_server_stop(server));
    if (access(path, F_OK) != 0)
        fail("what belonged to somebody else is gone");
    if (sock_server_start(server) != DOTSOCK_E_IO)
        fail("it started in a place that is taken");
    unlink(path);
    MUST(sock_server_start(server));
    MUST(sock_client_connect(client));
    UNTIL(stat_of("clients") == 1);
    talk();
    finish();
}

/* A child of a server that has connections, begun messages and more to accept. */
static void forks(int transport)
{
    doing = "the server's process forks";
    begin(transport, "drop_oldest");
    for (int i = 0; i < 10; i++) {
        send_one(NUMBERED_MOST / 2); /* more than a socket takes: some of it waits */
        say_one(100);
    }
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        if (sock_send_json(server, DOTSOCK_DATA, "{}", NULL) != DOTSOCK_E_FORKED)
            _exit(1);
        sock_client_free(client);
        sock_server_free(server);
        _exit(0);
    }
    int status;
    waitpid(pid, &status, 0);
    if (status != 0)
        fail("the child ended with %#x", status);
    receive_all();
    talk();
    finish();
}

static void server_is_stopped(int transport)
{
    doing = "the server is stopped (SIGSTOP) while clients send";
    /* It has to be another process; it answers each message with the same number. */
    int pipes[2];
    begin(transport, "block"); /* for the options; replaced below */
    sock_client_free(client);
    sock_server_free(server);
    if (pipe(pipes) != 0)
        fail("pipe");
    fflush(NULL);
    pid_t pid = fork();
    sock_options *options = sock_options_new();
    MUST(sock_options_set(options, "socket_dir", sockets));
    MUST(sock_options_set(options, "port", transport == DOTSOCK_TCP ? "0" : ""));
    MUST(sock_options_set(options, "send_timeout", "0.2"));
    if (pid == 0) {
        server = sock_server_new(transport, "e", options);
        sock_server_on_message_received(server, on_message, NULL, NULL);
        MUST(sock_server_start(server));
        if (write(pipes[1], "", 1) != 1)
            _exit(1);
        int64_t last = 0;
        for (int64_t until = now_ms() + 2 * PATIENCE_MS; now_ms() < until; poll(NULL, 0, 1))
            for (; last < taken; last++) {
                sent = last;
                send_one(10);
            }
        _exit(0);
    }
    char byte;
    if (read(pipes[0], &byte, 1) != 1)
        fail("no server");
    client = sock_client_new(transport, "e", options);
    sock_options_free(options);
    MUST(sock_client_connect(client));
    kill(pid, SIGSTOP);
    int refused = 0;
    static unsigned char bytes[NUMBERED_HEAD + NUMBERED_MOST];
    said = sent = got = 0;
    while (refused < 3) {
        struct numbered what = {.from = 0, .number = said + 1, .size = 100000};
        int64_t began = now_ms();
        int result = sock_client_send_data(client, DOTSOCK_DATA, bytes, numbered_encode(bytes, &what));
        if (result == DOTSOCK_OK)
            said++;
        else if (result == DOTSOCK_E_TIMEOUT && now_ms() - began >= 200)
            refused++;
        else
            fail("a send to a stopped server: %d after %lld ms", result, (long long)(now_ms() - began));
    }
    kill(pid, SIGCONT);
    taken = sent = said; /* it has them once it answers the last */
    receive_all();
    sock_client_free(client);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    /* What was killed left its files; the next server replaces them. */
    begin(transport, "drop_oldest");
    talk();
    finish();
}

static void on_signal(int number) { (void)number; }

static atomic_int over;

static void *send_signals(void *thread)
{
    while (!over) {
        pthread_kill(*(pthread_t *)thread, SIGUSR1);
        poll(NULL, 0, 0);
    }
    return NULL;
}

/* A handler runs all the time, in every wait. */
static void signals(int transport, const char *policy)
{
    doing = "a signal handler runs all the time";
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &action, NULL); /* without SA_RESTART */
    begin(transport, policy);
    pthread_t self = pthread_self(), other;
    over = 0;
    pthread_create(&other, NULL, send_signals, &self);
    for (int round = 0; round < 10; round++)
        talk();
    over = 1;
    pthread_join(other, NULL);
    finish();
}

static void clock_jumps(int transport)
{
    doing = "the clock jumps";
    static const long long offs[] = {3600, -3600, 86400LL * 365 * 20, -86400LL * 365 * 40, 1, -1, 0};
    begin(transport, "drop_oldest");
    for (size_t i = 0; i < sizeof offs / sizeof *offs; i++) {
        for (int k = 0; k < 300; k++)
            send_one(10); /* a burst that is cut by the jump */
        wall_clock_off = offs[i];
        int64_t began = now_ms();
        receive_all();
        if (now_ms() - began > 2000)
            fail("a tail waited for %lld ms", (long long)(now_ms() - began));
        talk();
    }
    finish();
}

/* A client that has ended its half and reads on gets what was sent before, then the end. */
static void half_closed_reader(void)
{
    doing = "a client ends its half and reads on";
    begin(DOTSOCK_UNIX, "drop_oldest");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/e.sock", sockets);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        fail("connect: %m");
    UNTIL(stat_of("clients") == 2);
    send_one(NUMBERED_MOST / 2);
    shutdown(fd, SHUT_WR);
    size_t total = 0;
    char unread[1 << 16];
    ssize_t size;
    for (; (size = read(fd, unread, sizeof unread)) > 0; total += (size_t)size)
        ;
    if (size != 0 || total < NUMBERED_MOST / 2)
        fail("it got %zu bytes, then %m", total);
    UNTIL(stat_of("clients") == 1);
    close(fd);
    talk();
    finish();
}

int main(void)
{
    if (!mkdtemp(directory))
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    snprintf(sockets, sizeof sockets, "%s/sockets", directory);
    setenv("XDG_CONFIG_HOME", directory, 1);
    signal(SIGPIPE, SIG_DFL);
    numbered_pad(0, 0);
    for (int transport = DOTSOCK_UNIX; transport <= DOTSOCK_TCP; transport++) {
        files_vanish(transport);
        directory_vanishes(transport);
        forks(transport);
        server_is_stopped(transport);
        signals(transport, "drop_oldest");
        signals(transport, "block");
        clock_jumps(transport);
    }
    file_is_replaced();
    half_closed_reader();
    remove_all(directory);
    return 0;
}
