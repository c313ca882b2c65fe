/* peer_raw.c - hand-written sockets: what the kernel lets anybody reach. One
 * binary a combination, chosen at compile time:
 *
 *   TCP        loopback with TCP_NODELAY instead of a Unix socket
 *   TX_BATCH   sends coalesce up to --batch bytes, then one system call
 *   TX_CORK    one system call a message while idle; in a burst the caller
 *              collects and flushes by size or age, a timer covers the tail
 *   (neither)  one sendmsg, header and payload, a message
 *   RX_EPOLL   epoll_wait before every read, so that a wait can be ended
 *   OUR_WAITS  waits as dotsock has to: a server with a second thread waits in
 *              epoll, a client for its socket and for a descriptor that ends
 *              the wait, and what a program with many clients watches is a
 *              descriptor around each socket that outlives it
 *   ENV        the payload travels as {"b": bin} inside a real envelope with
 *              fresh timestamps, which the receiver checks and unpacks;
 *              else behind a 4-byte big-endian length alone
 */
#define _GNU_SOURCE
#include "bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* ---------------------------------------------------------------- plumbing */

static int make_socket(void)
{
#ifdef TCP
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
#else
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
#endif
    if (fd < 0) die("socket");
    return fd;
}

static void tune_conn(int fd, const struct cfg *c)
{
    if (c->sndbuf) setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &c->sndbuf, sizeof c->sndbuf);
#ifdef TCP
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
#endif
}

static socklen_t make_addr(const struct cfg *c, struct sockaddr_storage *ss)
{
    memset(ss, 0, sizeof *ss);
#ifdef TCP
    struct sockaddr_in *a = (struct sockaddr_in *)ss;
    a->sin_family = AF_INET;
    a->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    a->sin_port = htons((uint16_t)c->port);
#else
    struct sockaddr_un *a = (struct sockaddr_un *)ss;
    a->sun_family = AF_UNIX;
    strncpy(a->sun_path, c->path, sizeof a->sun_path - 1);
#endif
    return sizeof *a;
}

/* Everything that precedes the payload on the wire. */
#define HEAD_MAX 192
#ifdef ENV
#include "envelope.h"
static uint8_t env_tmpl[HEAD_MAX];
static size_t env_len, env_ms, env_iso;
static char env_text[ISO_LEN];
static int64_t env_sec = -1;

static void make_template(void)
{
    uint8_t *p = env_tmpl + 4;
    memset(env_text, '0', ISO_LEN);
    *p++ = 0x85;
    p = LIT(p, "event_name"); p = LIT(p, "wallpaper_changed");
    p = LIT(p, "timestamp_ms"); env_ms = (size_t)(p - env_tmpl) + 1; p = put_u64(p, 1795428000123u);
    p = LIT(p, "timestamp_iso"); env_iso = (size_t)(p - env_tmpl) + 2; p = put_str(p, env_text, ISO_LEN);
    p = LIT(p, "message_type"); p = LIT(p, "data"); p = LIT(p, "data");
    *p++ = 0x81; p = LIT(p, "b"); *p++ = 0xc6; p += 4;
    env_len = (size_t)(p - env_tmpl);
}

static size_t frame_head(uint8_t *h, size_t len)
{
    if (!env_len) make_template();
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    uint64_t ms = __builtin_bswap64((uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u);
    if (t.tv_sec != env_sec) { iso_date(env_text, t.tv_sec); env_sec = t.tv_sec; }
    iso_usec(env_text, (unsigned)(t.tv_nsec / 1000));
    uint32_t n = htonl((uint32_t)(env_len - 4 + len)), b = htonl((uint32_t)len);
    memcpy(h, env_tmpl, env_len);
    memcpy(h, &n, 4); memcpy(h + env_ms, &ms, 8);
    memcpy(h + env_iso, env_text, ISO_LEN); memcpy(h + env_len - 4, &b, 4);
    return env_len;
}

static const void *frame_body(const void *p, size_t n, size_t *len)
{
    const uint8_t *at[5];
    if (!decode_body(p, n, at) || at[4][0] != 0x81 || at[4][2] != 'b' || at[4][3] != 0xc6) {
        fprintf(stderr, "bad envelope\n");
        _exit(3);
    }
    uint32_t b; memcpy(&b, at[4] + 4, 4);
    *len = ntohl(b);
    return at[4] + 8;
}
#else
static size_t frame_head(uint8_t *h, size_t len)
{
    uint32_t n = htonl((uint32_t)len);
    memcpy(h, &n, 4);
    return 4;
}
static const void *frame_body(const void *p, size_t n, size_t *len) { *len = n; return p; }
#endif

static void send_all(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t r = send(fd, p, n, MSG_NOSIGNAL);
        if (r < 0) { if (errno == EINTR) continue; die("send"); }
        p += r; n -= (size_t)r;
    }
}

/* One frame, one system call unless the socket takes only part of it. */
static void send_frame(int fd, const void *buf, size_t len)
{
    uint8_t h[HEAD_MAX]; size_t hn = frame_head(h, len);
    struct iovec v[2] = { { h, hn }, { (void *)buf, len } };
    struct msghdr m = { .msg_iov = v, .msg_iovlen = 2 };
    ssize_t r;
    while ((r = sendmsg(fd, &m, MSG_NOSIGNAL)) < 0)
        if (errno != EINTR) die("sendmsg");
    if ((size_t)r == len + hn) return;
    if ((size_t)r < hn) { send_all(fd, (char *)h + r, hn - (size_t)r); r = (ssize_t)hn; }
    send_all(fd, (const char *)buf + ((size_t)r - hn), len - ((size_t)r - hn));
}

/* A read buffer that yields frames in place. */
#define READ_SIZE 262144
struct rbuf { char *b; size_t head, tail; };

static const void *rbuf_frame(struct rbuf *r, size_t *len)
{
    size_t have = r->tail - r->head;
    if (have < 4) return NULL;
    uint32_t h; memcpy(&h, r->b + r->head, 4);
    size_t n = ntohl(h);
    if (have < n + 4) return NULL;
    const void *p = r->b + r->head + 4;
    r->head += n + 4;
    return frame_body(p, n, len);
}

/* Room for the rest of the frame that has begun. */
static void rbuf_room(struct rbuf *r)
{
    if (!r->b) r->b = malloc(READ_SIZE);
    if (r->head == r->tail) { r->head = r->tail = 0; return; }
    size_t have = r->tail - r->head, need = 4096;
    if (have >= 4) { uint32_t h; memcpy(&h, r->b + r->head, 4); need = ntohl(h) + 4 - have; }
    if (READ_SIZE - r->tail < need) {
        memmove(r->b, r->b + r->head, have);
        r->head = 0; r->tail = have;
    }
}

static ssize_t read_some(int fd, void *p, size_t n, int flags)
{
    ssize_t r;
    while ((r = recv(fd, p, n, flags)) < 0 && errno == EINTR) ;
    return r;
}

static int spin_us;

/* What comes while it looks again and again; else -1. */
static ssize_t read_spinning(int fd, void *p, size_t n)
{
    uint64_t end = now_ns() + (uint64_t)spin_us * 1000;
    while (now_ns() < end) {
        ssize_t r = recv(fd, p, n, MSG_DONTWAIT);
        if (r >= 0) return r;
        sched_yield();
    }
    return -1;
}

#ifdef OUR_WAITS
static int ends_wait = -1;                  /* a client's */

static void *sleep_on(void *unused) { for (;;) pause(); return unused; }
#endif

static void read_more(int fd, struct rbuf *r, int ep)
{
    rbuf_room(r);
#ifdef OUR_WAITS
    if (ends_wait >= 0) {
        struct pollfd both[] = { { fd, POLLIN, 0 }, { ends_wait, POLLIN, 0 } };
        while (ppoll(both, 2, NULL, NULL) < 0 && errno == EINTR) ;
        ep = -1;
    }
#endif
#if defined RX_EPOLL || defined OUR_WAITS
    struct epoll_event ev;
    while (ep >= 0 && epoll_wait(ep, &ev, 1, -1) < 0 && errno == EINTR) ;
#else
    (void)ep;
#endif
    ssize_t k = spin_us ? read_spinning(fd, r->b + r->tail, READ_SIZE - r->tail) : -1;
    if (k < 0) k = read_some(fd, r->b + r->tail, READ_SIZE - r->tail, 0);
    if (k <= 0) die("recv");
    r->tail += (size_t)k;
}

static const void *recv_frame(int fd, struct rbuf *r, size_t *len, int ep)
{
    const void *p;
    while (!(p = rbuf_frame(r, len))) read_more(fd, r, ep);
    return p;
}

/* ----------------------------------------------- sending to n descriptors */

#if defined TX_CORK
/* Idle: one sendmsg a message on the caller's thread. Burst (CORK_ENTER sends
 * in a row, each begun sooner after the previous one than half of what an
 * inline send costs): append to a log shared by all receivers. The caller
 * writes the log out when it holds --batch bytes, or when the last write is
 * longer ago than max(CORK_AGE_NS, what that write cost). A thread blocked on
 * a timerfd writes what the burst left behind, and ends the burst once sending
 * the same messages inline would have taken less than half of the time. */
#define CORK_ENTER 8
#define CORK_AGE_NS 20000
#define CORK_TAIL_NS 100000

struct sender {
    pthread_mutex_t mu;
    int tfd, burst, streak, *fds, n;
    char *log; size_t len, batch;
    uint64_t last_end, last_cost;       /* previous write: when, how long */
    uint64_t inline_cost;               /* moving average of an inline send */
    uint64_t q0, t0, queued;
};

static void sender_flush(struct sender *k)
{
    uint64_t t = now_ns();
    for (int i = 0; i < k->n; i++) send_all(k->fds[i], k->log, k->len);
    k->len = 0;
    k->last_end = now_ns();
    k->last_cost = k->last_end - t;
}

static void cork_arm(struct sender *k)
{
    struct itimerspec it = { .it_value = { 0, CORK_TAIL_NS } };
    timerfd_settime(k->tfd, 0, &it, NULL);
}

static void *cork_main(void *arg)
{
    struct sender *k = arg; uint64_t x;
    while (read(k->tfd, &x, 8) == 8) {
        pthread_mutex_lock(&k->mu);
        uint64_t now = now_ns();
        /* a sender that is still flushing by itself needs no help */
        if (k->len && now - k->last_end > 2 * CORK_AGE_NS) sender_flush(k);
        uint64_t q = k->queued - k->q0, dt = now - k->t0;
        k->q0 = k->queued; k->t0 = now;
        /* never end a burst over unsent bytes: order would break */
        if (!k->len && q * k->inline_cost < dt / 2) { k->burst = 0; k->streak = 0; }
        else cork_arm(k);
        pthread_mutex_unlock(&k->mu);
    }
    return NULL;
}

static struct sender *sender_new(const struct cfg *c, int *fds, int n)
{
    struct sender *k = calloc(1, sizeof *k);
    pthread_mutex_init(&k->mu, NULL);
    k->fds = fds; k->n = n; k->batch = c->batch;
    k->log = calloc(1, c->batch + c->size + 2 * HEAD_MAX);
    k->inline_cost = 800 * (uint64_t)n;
    k->tfd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    pthread_t t;
    if (pthread_create(&t, NULL, cork_main, k)) die("thread");
    return k;
}

static void send_inline(struct sender *k, uint64_t t, const void *buf, size_t len)
{
    for (int i = 0; i < k->n; i++) send_frame(k->fds[i], buf, len);
    k->last_end = now_ns();
    k->last_cost = k->last_end - t;
    /* a send that also woke somebody says little about the next one */
    uint64_t c = k->last_cost < 4 * k->inline_cost ? k->last_cost : 4 * k->inline_cost;
    k->inline_cost = (7 * k->inline_cost + c) / 8;
    if (k->inline_cost > 1500 * (uint64_t)k->n) k->inline_cost = 1500 * (uint64_t)k->n;
}

static void sender_send(struct sender *k, const void *buf, size_t len)
{
    pthread_mutex_lock(&k->mu);
    uint64_t t = now_ns();
    if (!k->burst) {
        k->streak = t - k->last_end < k->inline_cost / 2 ? k->streak + 1 : 0;
        if (k->streak < CORK_ENTER) {
            send_inline(k, t, buf, len);
            pthread_mutex_unlock(&k->mu);
            return;
        }
        k->burst = 1; k->q0 = k->queued; k->t0 = t;
        cork_arm(k);
    }
    size_t hn = frame_head((uint8_t *)k->log + k->len, len);
    memcpy(k->log + k->len + hn, buf, len);
    k->len += len + hn;
    k->queued++;
    uint64_t age = k->last_cost > CORK_AGE_NS ? k->last_cost : CORK_AGE_NS;
    if (k->len + len + HEAD_MAX > k->batch || t - k->last_end > age) sender_flush(k);
    pthread_mutex_unlock(&k->mu);
}

static void sender_done(struct sender *k) { (void)k; }     /* the timer does it */

#elif defined TX_BATCH
struct sender { int *fds, n; char *log; size_t len, batch; };

static struct sender *sender_new(const struct cfg *c, int *fds, int n)
{
    struct sender *k = calloc(1, sizeof *k);
    k->fds = fds; k->n = n; k->batch = c->batch;
    k->log = calloc(1, c->batch + c->size + 2 * HEAD_MAX);
    return k;
}

static void sender_done(struct sender *k)
{
    for (int i = 0; i < k->n; i++) send_all(k->fds[i], k->log, k->len);
    k->len = 0;
}

static void sender_send(struct sender *k, const void *buf, size_t len)
{
    size_t hn = frame_head((uint8_t *)k->log + k->len, len);
    memcpy(k->log + k->len + hn, buf, len);
    k->len += len + hn;
    if (k->len + len + HEAD_MAX > k->batch) sender_done(k);
}

#else
struct sender { int *fds, n; };

static struct sender *sender_new(const struct cfg *c, int *fds, int n)
{
    (void)c;
    struct sender *k = calloc(1, sizeof *k);
    k->fds = fds; k->n = n;
    return k;
}

static void sender_send(struct sender *k, const void *buf, size_t len)
{
    for (int i = 0; i < k->n; i++) send_frame(k->fds[i], buf, len);
}

static void sender_done(struct sender *k) { (void)k; }
#endif

/* ------------------------------------------------------------- server role */

struct server {
    struct cfg c;
    int lfd, ep, n, *fds;
    struct rbuf *in;
    struct sender *out;
    struct epoll_event evs[64]; int nev, iev;
};

void *srv_open(const struct cfg *c)
{
    struct server *s = calloc(1, sizeof *s);
    s->c = *c;
    spin_us = c->spin;
    struct sockaddr_storage ss; socklen_t sl = make_addr(c, &ss);
    s->lfd = make_socket();
    int one = 1;
    setsockopt(s->lfd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(s->lfd, (struct sockaddr *)&ss, sl)) die("bind");
    if (listen(s->lfd, 4096)) die("listen");
    s->ep = epoll_create1(EPOLL_CLOEXEC);
#ifdef OUR_WAITS
    pthread_t thread;
    if (pthread_create(&thread, NULL, sleep_on, NULL)) die("thread");
#endif
    return s;
}

void srv_wait(void *v, int n)
{
    struct server *s = v;
    s->in = calloc((size_t)n, sizeof *s->in);
    s->fds = calloc((size_t)n, sizeof *s->fds);
    for (s->n = 0; s->n < n; s->n++) {
        int fd = accept4(s->lfd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0) die("accept");
        tune_conn(fd, &s->c);
        s->fds[s->n] = fd;
        struct epoll_event e = { .events = EPOLLIN, .data.u32 = (uint32_t)s->n };
        epoll_ctl(s->ep, EPOLL_CTL_ADD, fd, &e);
    }
    s->out = sender_new(&s->c, s->fds, n);
}

void srv_send(void *v, void *buf, size_t len) { sender_send(((struct server *)v)->out, buf, len); }
void srv_bcast(void *v, void *buf, size_t len) { srv_send(v, buf, len); }
void srv_flush(void *v) { sender_done(((struct server *)v)->out); }

/* Among many connections epoll tells which one, then one read, one write. */
static void echo_multi(struct server *s)
{
    for (;;) {
        if (s->iev == s->nev) {
            s->iev = 0;
            s->nev = epoll_wait(s->ep, s->evs, 64, -1);
            if (s->nev <= 0) { s->nev = 0; continue; }
        }
        uint32_t id = s->evs[s->iev++].data.u32;
        struct rbuf *in = &s->in[id];
        rbuf_room(in);
        ssize_t k = read_some(s->fds[id], in->b + in->tail, READ_SIZE - in->tail, MSG_DONTWAIT);
        if (k <= 0) { if (k < 0 && errno == EAGAIN) continue; die("recv"); }
        in->tail += (size_t)k;
        size_t len; const void *p = rbuf_frame(in, &len);
        if (p) { send_frame(s->fds[id], p, len); return; }
    }
}

void srv_echo(void *v)
{
    struct server *s = v;
    if (s->c.pattern == PAT_MULTI) { echo_multi(s); return; }
    size_t len; const void *p = recv_frame(s->fds[0], &s->in[0], &len, s->ep);
    sender_send(s->out, p, len);
    sender_done(s->out);
}

void srv_take(void *v)
{
    struct server *s = v;
    read_more(s->fds[0], &s->in[0], s->ep);
    size_t len; const void *p;
    while ((p = rbuf_frame(&s->in[0], &len))) harness_got(0, p, len);
}

/* ------------------------------------------------------------- client role */

struct client {
    int ep, *fds;
    struct rbuf *in;        /* a connection's; broadcast runs keep only the rest of a frame there */
    char *big;              /* shared read buffer of cli_pump */
    struct sender *out;
};

void *cli_open(const struct cfg *c, int n)
{
    struct client *k = calloc(1, sizeof *k);
    spin_us = c->spin;
    k->fds = calloc((size_t)n, sizeof *k->fds);
    k->in = calloc((size_t)n, sizeof *k->in);
    k->ep = epoll_create1(EPOLL_CLOEXEC);
    struct sockaddr_storage ss; socklen_t sl = make_addr(c, &ss);
    for (int i = 0; i < n; i++) {
        int fd = make_socket();
        while (connect(fd, (struct sockaddr *)&ss, sl)) {
            if (errno != EAGAIN && errno != EINTR) die("connect");
            usleep(100);
        }
        tune_conn(fd, c);
        k->fds[i] = fd;
        struct epoll_event e = { .events = EPOLLIN, .data.u32 = (uint32_t)i };
#ifdef OUR_WAITS
        int around = epoll_create1(EPOLL_CLOEXEC);
        epoll_ctl(around, EPOLL_CTL_ADD, fd, &e);
        fd = around;
#endif
        epoll_ctl(k->ep, EPOLL_CTL_ADD, fd, &e);
    }
#ifdef OUR_WAITS
    ends_wait = eventfd(0, EFD_CLOEXEC);
#endif
    k->big = malloc(READ_SIZE);
    k->out = sender_new(c, k->fds, 1);
    return k;
}

void cli_send(void *v, void *buf, size_t len) { sender_send(((struct client *)v)->out, buf, len); }
void cli_flush(void *v) { sender_done(((struct client *)v)->out); }

const void *cli_recv(void *v, size_t *len)
{
    struct client *k = v;
    return recv_frame(k->fds[0], &k->in[0], len, k->ep);
}

void cli_pump(void *v)
{
    struct client *k = v;
    struct epoll_event ev[256];
    int n = epoll_wait(k->ep, ev, 256, 100);
    for (int i = 0; i < n; i++) {
        uint32_t id = ev[i].data.u32;
        struct rbuf *carry = &k->in[id];
        size_t off = carry->tail;           /* the partial frame of last time */
        if (off) memcpy(k->big, carry->b, off);
        ssize_t r = read_some(k->fds[id], k->big + off, READ_SIZE - off, MSG_DONTWAIT);
        if (r <= 0) { if (r < 0 && errno == EAGAIN) continue; die("recv"); }
        struct rbuf b = { k->big, 0, off + (size_t)r };
        size_t len; const void *p;
        while ((p = rbuf_frame(&b, &len))) harness_got((int)id, p, len);
        size_t rest = b.tail - b.head;
        if (rest && !carry->b) carry->b = malloc(READ_SIZE);
        if (rest) memcpy(carry->b, k->big + b.head, rest);
        carry->tail = rest;
    }
}
