/* attackers.c - peers that wish the server ill, or have bad luck. They speak to it through bare
 * sockets, and go on until they are killed. */
#define _GNU_SOURCE
#include "hostile.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

const char *const attack_names[ATTACKS] = {
    [RANDOM_BYTES] = "random bytes",      [MUTATED_FRAMES] = "mutated frames",
    [TWO_GIGABYTES] = "2 GB announced",   [ONE_BYTE_AT_A_TIME] = "one byte at a time",
    [SILENT] = "1000 silent ones",        [STORM] = "connect and close",
    [HALF_CLOSED] = "half closed",        [DEAF] = "never reading",
    [KILLED] = "clients killed",          [STOPPED] = "readers stopped",
    [SUSPENDED] = "the server suspended",
};

void complain(const char *format, ...)
{
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (shared->complaints++ < 5)
        fprintf(stderr, "  %s\n", text);
}

/* ---- bare sockets ---- */

static int connect_unix(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/e.sock", shared->sockets);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    close(fd);
    return -1;
}

static int connect_tcp(void)
{
    char path[100], line[100] = "";
    snprintf(path, sizeof path, "%s/e.tcp", shared->sockets);
    FILE *file = fopen(path, "r");
    if (!file)
        return -1;
    char *colon = fgets(line, sizeof line, file) ? strrchr(line, ':') : NULL;
    fclose(file);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)atoi(colon ? colon + 1 : "0"))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    close(fd);
    return -1;
}

/* Tries until it succeeds. */
static int dial(int transport)
{
    for (;;) {
        int fd = transport == DOTSOCK_TCP ? connect_tcp() : connect_unix();
        if (fd >= 0)
            return fd;
        pause_ms(2);
    }
}

static void hang_up(int fd)
{
    /* A closed TCP connection would keep its port for a minute. */
    struct linger at_once = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(fd);
}

/* Whether everything went; it reads and forgets what the server says meanwhile. */
static int push(int fd, const unsigned char *from, size_t size)
{
    static unsigned char unread[65536];
    while (size) {
        struct pollfd entry = {.fd = fd, .events = POLLIN | POLLOUT};
        poll(&entry, 1, 100);
        if (entry.revents & POLLIN && recv(fd, unread, sizeof unread, MSG_DONTWAIT) == 0)
            return 0;
        ssize_t sent = send(fd, from, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN)
            return 0;
        if (sent > 0)
            from += sent, size -= (size_t)sent;
    }
    return 1;
}

/* A frame that the server accepts, in `to`. */
static size_t make_frame(unsigned char *to, size_t size)
{
    unsigned char data[NUMBERED_HEAD + 70000];
    struct numbered what = {.from = 1000, .number = random() % 1000, .size = size};
    sock_message *message = sock_message_new("e", DOTSOCK_DATA, data, numbered_encode(data, &what));
    const void *envelope = sock_message_envelope(message, &size);
    for (int i = 0; i < 4; i++)
        to[i] = (unsigned char)(size >> (24 - 8 * i));
    memcpy(to + 4, envelope, size);
    sock_message_free(message);
    return size + 4;
}

static unsigned char buffer[1 << 17];

/* ---- what they do ---- */

static void random_bytes(int transport)
{
    int fd = dial(transport);
    for (int i = 0; i < 50; i++) {
        size_t size = (size_t)(random() % 8192);
        for (size_t k = 0; k < size; k++)
            buffer[k] = (unsigned char)random();
        /* A length that is allowed, so that not every connection ends with its first four bytes. */
        if (random() % 2 && size > 4)
            buffer[0] = 0, buffer[1] = 0, buffer[2] &= 3;
        if (!push(fd, buffer, size))
            break;
        pause_ms(1);
    }
    hang_up(fd);
}

static void mutated_frames(int transport)
{
    int fd = dial(transport);
    for (int i = 0; i < 100; i++) {
        size_t size = make_frame(buffer, (size_t)(random() % (i % 20 ? 200 : 60000)));
        for (long k = random() % 4; k >= 0; k--) {
            /* Mostly in the body, so that the stream goes on. */
            size_t at = random() % 50 ? 4 + (size_t)random() % (size - 4) : (size_t)random() % 4;
            buffer[at] =
                random() % 2 ? (unsigned char)random() : (unsigned char)(buffer[at] ^ 1u << random() % 8);
        }
        if (random() % 200 == 0)
            size -= (size_t)random() % size;
        if (!push(fd, buffer, size))
            break;
        if (i % 10 == 0)
            pause_ms(1);
    }
    hang_up(fd);
}

static void two_gigabytes(int transport)
{
    static const unsigned char head[][4] = {
        {0x7f, 0xff, 0xff, 0xff}, {0x80, 0, 0, 0}, {0xff, 0xff, 0xff, 0xff}, {0x00, 0xff, 0xff, 0xff}};
    int fds[20];
    for (int i = 0; i < 20; i++) {
        fds[i] = dial(transport);
        push(fds[i], head[i % 4], 4);
        push(fds[i], buffer, 10); /* the last kind is allowed, and never comes to its end */
    }
    pause_ms(20);
    for (int i = 0; i < 20; i++)
        hang_up(fds[i]);
}

static void one_byte_at_a_time(int transport)
{
    enum { MANY = 50 };
    int fds[MANY];
    size_t size = make_frame(buffer, 1000);
    for (int i = 0; i < MANY; i++)
        fds[i] = dial(transport);
    for (size_t k = 0; k < size; k++) {
        for (int i = 0; i < MANY; i++)
            if (!push(fds[i], buffer + k, 1)) { /* its frame_timeout was over */
                hang_up(fds[i]);
                fds[i] = dial(transport);
            }
        pause_ms(20);
    }
    for (int i = 0; i < MANY; i++)
        hang_up(fds[i]);
}

static void silent(int transport)
{
    enum { MANY = 1000 };
    static int fds[MANY];
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
    setrlimit(RLIMIT_NOFILE, &limit);
    for (int i = 0; i < MANY; i++)
        fds[i] = dial(transport);
    for (;;) {
        pause_ms(20);
        /* They listen, or they would be something else: slow. */
        static unsigned char unread[1 << 17];
        for (int i = 0; i < MANY; i++)
            while (recv(fds[i], unread, sizeof unread, MSG_DONTWAIT) > 0)
                ;
    }
}

static void storm(int transport)
{
    for (int i = 0; i < 20; i++)
        hang_up(dial(transport));
    pause_ms(1);
}

static void half_closed(int transport)
{
    enum { MANY = 20 };
    int fds[MANY];
    size_t size = make_frame(buffer, 100);
    for (int i = 0; i < MANY; i++) {
        fds[i] = dial(transport);
        if (i % 4 == 1)
            push(fds[i], buffer, size);
        if (i % 4 == 2)
            push(fds[i], buffer, size - 1);
        shutdown(fds[i], i % 4 == 3 ? SHUT_RD : SHUT_WR);
    }
    pause_ms(100);
    for (int i = 0; i < MANY; i++)
        hang_up(fds[i]);
}

static void deaf(int transport)
{
    enum { MANY = 20 };
    int fds[MANY];
    for (int i = 0; i < MANY; i++)
        fds[i] = dial(transport);
    pause_ms(1000);
    for (int i = 0; i < MANY; i++)
        hang_up(fds[i]);
}

/* A client of the library's own that sends what it can. */
static void be_restless(int transport, int unused)
{
    (void)unused;
    sock_options *options = sock_options_new();
    sock_options_set(options, "socket_dir", shared->sockets);
    sock_client *client = sock_client_new(transport, "e", options);
    sock_client_open(client);
    for (;;) {
        sock_message *message = NULL;
        if (sock_client_recv(client, 5, &message) == DOTSOCK_OK)
            sock_message_free(message);
        struct numbered what = {.from = 1000, .size = (size_t)(random() % 60000)};
        sock_client_send_data(client, DOTSOCK_DATA, buffer, numbered_encode(buffer, &what));
    }
}

/* They are killed in the middle of something. */
static void killed(int transport)
{
    pid_t pids[3];
    for (int i = 0; i < 3; i++)
        pids[i] = spawn(be_restless, transport, i);
    pause_ms(10 + random() % 60);
    for (int i = 0; i < 3; i++) {
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
    }
}

void be_attacker(int transport, int attack)
{
    static void (*const attacks[ATTACKS])(int) = {[RANDOM_BYTES] = random_bytes,
                                                  [MUTATED_FRAMES] = mutated_frames,
                                                  [TWO_GIGABYTES] = two_gigabytes,
                                                  [ONE_BYTE_AT_A_TIME] = one_byte_at_a_time,
                                                  [SILENT] = silent,
                                                  [STORM] = storm,
                                                  [HALF_CLOSED] = half_closed,
                                                  [DEAF] = deaf,
                                                  [KILLED] = killed};
    for (;;)
        attacks[attack](transport);
}

/* Two readers that are stopped for most of the time, and must be told exactly what they missed. */
void be_stopper(int transport, int unused)
{
    (void)unused;
    pid_t pids[2];
    for (int i = 0; i < 2; i++)
        pids[i] = spawn(be_good, transport, STEADY + i);
    for (int64_t until = now_ms() + PATIENCE_MS; shared->good[STEADY].last == 0 && now_ms() < until;)
        pause_ms(5);
    for (;;) {
        for (int i = 0; i < 2; i++)
            kill(pids[i], SIGSTOP);
        pause_ms(shared->stop_ms);
        for (int i = 0; i < 2; i++)
            kill(pids[i], SIGCONT);
        pause_ms(200);
    }
}

/* The machine sleeps, as far as the server can tell. */
void be_suspender(int transport, int server)
{
    (void)transport;
    for (;;) {
        kill(server, SIGSTOP);
        pause_ms(150);
        kill(server, SIGCONT);
        pause_ms(100);
    }
}
