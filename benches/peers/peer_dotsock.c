/* peer_dotsock.c - this library through its C API, as a user would write it.
 *
 *   TCP              over TCP instead of a Unix socket
 *   WAY=start        the server runs on the library's own thread (default)
 *   WAY=open         the caller drives it with sock_server_next()
 *   WAY=run          a thread of the program's own is in sock_server_run()
 *
 * A payload is the map {"b": bin}. Clients that are slow hold the sender up
 * (slow_client = block), so that nothing is lost.
 */
#define _GNU_SOURCE
#include "bench.h"

#include <arpa/inet.h>
#include <dotsock.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define start 0
#define open 1
#define run 2
enum { DRIVEN = WAY == 1, RUN = WAY == 2 };
#undef start
#undef open
#undef run

#define EVENT "wallpaper_changed"
static int transport(const struct cfg *c) { return c->tcp ? DOTSOCK_TCP : DOTSOCK_UNIX; }

static void check(int status, const char *what)
{
    if (status == DOTSOCK_OK) return;
    fprintf(stderr, "%s: %s\n", what, sock_last_error());
    _exit(2);
}

static sock_options *options(const struct cfg *c)
{
    sock_options *o = sock_options_new();
    char port[16], spin[16];
    snprintf(port, sizeof port, "%d", c->port);
    snprintf(spin, sizeof spin, "%d", c->spin);
    check(sock_options_set(o, "socket_dir", c->dir), "socket_dir");
    check(sock_options_set(o, "port", port), "port");
    check(sock_options_set(o, "max_connections", "100000"), "max_connections");
    check(sock_options_set(o, "slow_client", "block"), "slow_client");
    check(sock_options_set(o, "spin", spin), "spin");
    return o;
}

/* The map around a payload is written into the room in front of it. */
#define MAP_HEAD 8
static void *wrapped(void *buf, size_t len)
{
    uint8_t *p = (uint8_t *)buf - MAP_HEAD;
    uint32_t n = htonl((uint32_t)len);
    memcpy(p, "\x81\xa1" "b\xc6", 4);
    memcpy(p + 4, &n, 4);
    return p;
}

static const void *unwrapped(const sock_message *m, size_t *len)
{
    size_t size;
    const uint8_t *p = sock_message_data(m, &size);
    if (!p || size < MAP_HEAD || memcmp(p, "\x81\xa1" "b\xc6", 4)) { fprintf(stderr, "bad payload\n"); _exit(3); }
    *len = size - MAP_HEAD;
    return p + MAP_HEAD;
}

/* ------------------------------------------------------------- server role */

struct server {
    struct cfg c;
    sock_server *s;
    int corked;
    _Atomic long echoed;
    long seen;
};

static void echo(sock_server *s, const char *client_id, const sock_message *m)
{
    size_t size;
    const void *data = sock_message_data(m, &size);
    check(sock_send_data(s, DOTSOCK_DATA, data, size, client_id), "sock_send_data");
}

static void take(const sock_message *m)
{
    size_t len;
    const void *p = unwrapped(m, &len);
    harness_got(0, p, len);
}

static void on_message(void *ctx, sock_server *s, const char *client_id, const sock_message *m)
{
    struct server *v = ctx;
    if (v->c.up) { take(m); return; }
    echo(s, client_id, m);
    atomic_fetch_add_explicit(&v->echoed, 1, memory_order_relaxed);
}

static void *runner(void *s)
{
    check(sock_server_run(s), "sock_server_run");
    return NULL;
}

void *srv_open(const struct cfg *c)
{
    struct server *v = calloc(1, sizeof *v);
    v->c = *c;
    sock_options *o = options(c);
    v->s = sock_server_new(transport(c), EVENT, o);
    if (!v->s) check(sock_last_status(), "sock_server_new");
    sock_options_free(o);
    check(sock_server_on_message_received(v->s, on_message, v, NULL), "on_message_received");
    if (RUN) {
        pthread_t t;
        if (pthread_create(&t, NULL, runner, v->s)) die("thread");
        while (!sock_server_is_running(v->s)) usleep(1000);
    } else {
        check(DRIVEN ? sock_server_open(v->s) : sock_server_start(v->s), "start");
    }
    return v;
}

/* The next event of a server that the caller drives. */
static sock_event *next(struct server *v, int timeout_ms)
{
    sock_event *e;
    int status = sock_server_next(v->s, timeout_ms, &e);
    if (status == DOTSOCK_E_TIMEOUT) return NULL;
    check(status, "sock_server_next");
    return e;
}

void srv_wait(void *p, int n)
{
    struct server *v = p;
    uint64_t clients = 0;
    while (sock_server_stat(v->s, "clients", &clients) == DOTSOCK_OK && clients < (uint64_t)n) {
        if (DRIVEN) sock_event_free(next(v, 100));
        else usleep(1000);
    }
    if (DRIVEN) {
        sock_event *e;
        while ((e = next(v, 0))) sock_event_free(e);
    }
}

void srv_send(void *p, void *buf, size_t len)
{
    struct server *v = p;
    if (v->c.cork && !v->corked) { check(sock_server_cork(v->s), "sock_server_cork"); v->corked = 1; }
    check(sock_send_data(v->s, DOTSOCK_DATA, wrapped(buf, len), len + MAP_HEAD, NULL), "sock_send_data");
}

void srv_bcast(void *p, void *buf, size_t len) { srv_send(p, buf, len); }

static int has_queued(struct server *v)
{
    sock_client_list *l = sock_server_clients(v->s);
    uint64_t bytes = 0;
    for (size_t i = 0; i < sock_client_list_size(l); i++) bytes += sock_client_list_queued_bytes(l, i);
    sock_client_list_free(l);
    return bytes > 0;
}

void srv_flush(void *p)
{
    struct server *v = p;
    if (v->corked) { check(sock_server_uncork(v->s), "sock_server_uncork"); v->corked = 0; }
    /* What a full socket left behind is written while the program asks for events. */
    while (DRIVEN && has_queued(v)) sock_event_free(next(v, 10));
}

void srv_echo(void *p)
{
    struct server *v = p;
    if (!DRIVEN) {
        while (atomic_load_explicit(&v->echoed, memory_order_relaxed) <= v->seen) usleep(5000);
        v->seen++;
        return;
    }
    for (;;) {
        sock_event *e = next(v, -1);
        const sock_message *m = sock_event_message(e);
        if (m) echo(v->s, sock_event_client_id(e), m);
        sock_event_free(e);
        if (m) return;
    }
}

void srv_take(void *p)
{
    struct server *v = p;
    if (!DRIVEN) { usleep(5000); return; }
    sock_event *e = next(v, 100);
    if (e && sock_event_message(e)) take(sock_event_message(e));
    sock_event_free(e);
}

/* ------------------------------------------------------------- client role */

struct client {
    struct cfg c;
    sock_client **k;
    sock_message *held;
    int ep, corked;
};

/* How many of the connections only exist. */
static int plain_ones(const struct cfg *c, int n)
{
    return c->tcp ? 0 : c->idle ? n : c->pattern == PAT_MULTI ? n - 1 : 0;
}

/* Connections that only exist are the same to the server whoever made them, and
 * this way 9,000 of them need no more than that many descriptors. */
static void connect_plain(const struct cfg *c, int n)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    snprintf(a.sun_path, sizeof a.sun_path, "%s/" EVENT ".sock", c->dir);
    for (int i = 0; i < n; i++) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0) die("socket");
        while (connect(fd, (struct sockaddr *)&a, sizeof a)) {
            if (errno != EAGAIN && errno != EINTR) die("connect");
            usleep(100);
        }
    }
}

void *cli_open(const struct cfg *c, int n)
{
    struct client *v = calloc(1, sizeof *v);
    v->c = *c;
    int plain = plain_ones(c, n);
    connect_plain(c, plain);
    n -= plain;
    v->k = calloc((size_t)n, sizeof *v->k);
    v->ep = epoll_create1(EPOLL_CLOEXEC);
    sock_options *o = options(c);
    for (int i = 0; i < n; i++) {
        v->k[i] = sock_client_new(transport(c), EVENT, o);
        if (!v->k[i]) check(sock_last_status(), "sock_client_new");
        check(sock_client_connect(v->k[i]), "sock_client_connect");
        struct epoll_event e = { .events = EPOLLIN, .data.u32 = (uint32_t)i };
        if (c->pattern == PAT_PUBSUB) epoll_ctl(v->ep, EPOLL_CTL_ADD, sock_client_fd(v->k[i]), &e);
    }
    sock_options_free(o);
    return v;
}

void cli_send(void *p, void *buf, size_t len)
{
    struct client *v = p;
    if (v->c.cork && !v->corked) { check(sock_client_cork(v->k[0]), "sock_client_cork"); v->corked = 1; }
    check(sock_client_send_data(v->k[0], DOTSOCK_DATA, wrapped(buf, len), len + MAP_HEAD), "sock_client_send_data");
}

void cli_flush(void *p)
{
    struct client *v = p;
    if (v->corked) { check(sock_client_uncork(v->k[0]), "sock_client_uncork"); v->corked = 0; }
}

const void *cli_recv(void *p, size_t *len)
{
    struct client *v = p;
    sock_message_free(v->held);
    check(sock_client_recv(v->k[0], -1, &v->held), "sock_client_recv");
    return unwrapped(v->held, len);
}

void cli_pump(void *p)
{
    struct client *v = p;
    struct epoll_event ev[256];
    int n = epoll_wait(v->ep, ev, 256, 100);
    for (int i = 0; i < n; i++) {
        uint32_t id = ev[i].data.u32;
        int status;
        do {
            sock_message *m;
            if ((status = sock_client_recv(v->k[id], 0, &m)) != DOTSOCK_OK) break;
            size_t len;
            const void *b = unwrapped(m, &len);
            harness_got((int)id, b, len);
            sock_message_free(m);
        } while (sock_client_has_next(v->k[id]));
        if (status != DOTSOCK_E_TIMEOUT) check(status, "sock_client_recv");
    }
}
