/* peer_zmq.c - ZeroMQ through its plain C API.
 * -DTCP selects tcp:// instead of ipc://.
 *   PAIR   ZMQ_PAIR <-> ZMQ_PAIR          (rtt, tput, oneway)
 *   PUBSUB ZMQ_XPUB -> n x ZMQ_SUB        (fanout, idle); XPUB only so that
 *          the server can count subscriptions; its send path is PUB's
 *   MULTI  ZMQ_ROUTER <-> n x ZMQ_DEALER  (active)
 * High-water marks are 0 (unlimited) for PUBSUB so that nothing is dropped.
 */
#define _GNU_SOURCE
#include "bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <zmq.h>

struct side {
    struct cfg c;
    void *ctx, **s;
    int n, ep;
    zmq_msg_t msg; int have;
};

static void url(const struct cfg *c, char *out, size_t cap)
{
#ifdef TCP
    snprintf(out, cap, "tcp://127.0.0.1:%d", c->port);
#else
    snprintf(out, cap, "ipc://%s", c->path);
#endif
}

static struct side *side_new(const struct cfg *c, int n)
{
    struct side *k = calloc(1, sizeof *k);
    k->c = *c; k->n = n;
    k->ctx = zmq_ctx_new();
    zmq_ctx_set(k->ctx, ZMQ_MAX_SOCKETS, n + 16);
    k->s = calloc((size_t)n, sizeof *k->s);
    return k;
}

static void *sock(struct side *k, int type)
{
    void *s = zmq_socket(k->ctx, type);
    if (!s) die("zmq_socket");
    int hwm = k->c.pattern == PAT_PUBSUB ? 0 : 10000, linger = 0, backlog = 4096;
    zmq_setsockopt(s, ZMQ_SNDHWM, &hwm, sizeof hwm);
    zmq_setsockopt(s, ZMQ_RCVHWM, &hwm, sizeof hwm);
    zmq_setsockopt(s, ZMQ_LINGER, &linger, sizeof linger);
    zmq_setsockopt(s, ZMQ_BACKLOG, &backlog, sizeof backlog);
    if (k->c.sndbuf) {
        zmq_setsockopt(s, ZMQ_SNDBUF, &k->c.sndbuf, sizeof k->c.sndbuf);
        zmq_setsockopt(s, ZMQ_RCVBUF, &k->c.sndbuf, sizeof k->c.sndbuf);
    }
    return s;
}

/* ------------------------------------------------------------- server role */

void *srv_open(const struct cfg *c)
{
    char u[160]; url(c, u, sizeof u);
    struct side *k = side_new(c, 1);
    k->s[0] = sock(k, c->pattern == PAT_PUBSUB ? ZMQ_XPUB : c->pattern == PAT_MULTI ? ZMQ_ROUTER : ZMQ_PAIR);
    if (c->pattern == PAT_PUBSUB) {
        int one = 1;
        zmq_setsockopt(k->s[0], ZMQ_XPUB_VERBOSE, &one, sizeof one);
    }
    if (zmq_bind(k->s[0], u)) die("zmq_bind");
    return k;
}

void srv_wait(void *v, int n)
{
    struct side *k = v;
    char b[256];
    if (k->c.pattern == PAT_PAIR) { zmq_recv(k->s[0], b, sizeof b, 0); return; }
    while (n) {
        int r = zmq_recv(k->s[0], b, sizeof b, 0);
        if (k->c.pattern == PAT_MULTI) { zmq_recv(k->s[0], b, sizeof b, 0); n--; }
        else if (r >= 1 && b[0] == 1) n--;
    }
}

void srv_send(void *v, void *buf, size_t len)
{
    struct side *k = v;
    if (zmq_send(k->s[0], buf, len, 0) < 0) die("zmq_send");
}
void srv_bcast(void *v, void *buf, size_t len) { srv_send(v, buf, len); }
void srv_flush(void *v) { (void)v; }
void cli_flush(void *v) { (void)v; }

void srv_echo(void *v)
{
    struct side *k = v;
    zmq_msg_t m, id;
    if (k->c.pattern == PAT_MULTI) {
        zmq_msg_init(&id);
        if (zmq_msg_recv(&id, k->s[0], 0) < 0) die("zmq_msg_recv");
    }
    zmq_msg_init(&m);
    if (zmq_msg_recv(&m, k->s[0], 0) < 0) die("zmq_msg_recv");
    if (k->c.pattern == PAT_MULTI && zmq_msg_send(&id, k->s[0], ZMQ_SNDMORE) < 0) die("zmq_msg_send");
    if (zmq_msg_send(&m, k->s[0], 0) < 0) die("zmq_msg_send");
}

void srv_take(void *v)
{
    struct side *k = v;
    zmq_msg_t m;
    zmq_msg_init(&m);
    if (zmq_msg_recv(&m, k->s[0], 0) < 0) die("zmq_msg_recv");
    harness_got(0, zmq_msg_data(&m), zmq_msg_size(&m));
    zmq_msg_close(&m);
}

/* ------------------------------------------------------------- client role */

void *cli_open(const struct cfg *c, int n)
{
    char u[160]; url(c, u, sizeof u);
    struct side *k = side_new(c, n);
    k->ep = epoll_create1(0);
    for (int i = 0; i < n; i++) {
        k->s[i] = sock(k, c->pattern == PAT_PUBSUB ? ZMQ_SUB : c->pattern == PAT_MULTI ? ZMQ_DEALER : ZMQ_PAIR);
        if (c->pattern == PAT_PUBSUB) zmq_setsockopt(k->s[i], ZMQ_SUBSCRIBE, "", 0);
        if (zmq_connect(k->s[i], u)) die("zmq_connect");
        if (c->pattern != PAT_PUBSUB) zmq_send(k->s[i], "h", 1, 0);   /* hello */
        if (c->pattern == PAT_PUBSUB) {
            int fd; size_t sl = sizeof fd;
            zmq_getsockopt(k->s[i], ZMQ_FD, &fd, &sl);
            struct epoll_event e = { .events = EPOLLIN, .data.u32 = (uint32_t)i };
            epoll_ctl(k->ep, EPOLL_CTL_ADD, fd, &e);
        }
    }
    return k;
}

void cli_send(void *v, void *buf, size_t len)
{
    struct side *k = v;
    if (zmq_send(k->s[0], buf, len, 0) < 0) die("zmq_send");
}

const void *cli_recv(void *v, size_t *len)
{
    struct side *k = v;
    if (k->have) zmq_msg_close(&k->msg);
    zmq_msg_init(&k->msg); k->have = 1;
    if (zmq_msg_recv(&k->msg, k->s[0], 0) < 0) die("zmq_msg_recv");
    *len = zmq_msg_size(&k->msg);
    return zmq_msg_data(&k->msg);
}

/* Documented use of ZMQ_FD: once it signals, receive until EAGAIN. */
void cli_pump(void *v)
{
    struct side *k = v;
    struct epoll_event ev[256];
    int n = epoll_wait(k->ep, ev, 256, 100);
    for (int i = 0; i < n; i++) {
        int id = (int)ev[i].data.u32;
        for (;;) {
            zmq_msg_t m; zmq_msg_init(&m);
            if (zmq_msg_recv(&m, k->s[id], ZMQ_DONTWAIT) < 0) { zmq_msg_close(&m); break; }
            harness_got(id, zmq_msg_data(&m), zmq_msg_size(&m));
            zmq_msg_close(&m);
        }
    }
}
