/* peer_nng.c - nng through its plain C API (builds against nng 1.x and 2.x).
 * -DTCP selects tcp:// instead of ipc://.
 *   PAIR   pair0 <-> pair0, send/receive buffers of 1024 messages
 *   PUBSUB pub0 -> n x sub0; buffers of 4096 messages while measuring (pub0
 *          drops when a subscriber's queue is full, the harness counts that),
 *          library defaults for the idle memory measurement
 *   MULTI  rep0 <-> n x req0
 */
#define _GNU_SOURCE
#include "bench.h"

#include <nng/nng.h>
#if NNG_MAJOR_VERSION < 2
#include <nng/protocol/pair0/pair.h>
#include <nng/protocol/pubsub0/pub.h>
#include <nng/protocol/pubsub0/sub.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#endif
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct side {
    struct cfg c;
    int n;
    nng_socket *s;
    nng_msg *held;
    struct sub { nng_aio *aio; nng_socket s; int id; } *subs;
};
static _Atomic int pipes;

static void check(int rv, const char *what)
{
    if (rv) { fprintf(stderr, "%s: %s\n", what, nng_strerror(rv)); _exit(2); }
}

static void start_lib(void)
{
#if NNG_MAJOR_VERSION >= 2
    check(nng_init(NULL), "nng_init");
#endif
}

static void url(const struct cfg *c, char *out, size_t cap)
{
#ifdef TCP
    snprintf(out, cap, "tcp://127.0.0.1:%d", c->port);
#else
    snprintf(out, cap, "ipc://%s", c->path);
#endif
}

static void buffers(const struct cfg *c, nng_socket s)
{
    if (c->pattern == PAT_MULTI || c->idle) return;
    int n = c->pattern == PAT_PUBSUB ? 4096 : 1024;
    nng_socket_set_int(s, NNG_OPT_SENDBUF, n);
    nng_socket_set_int(s, NNG_OPT_RECVBUF, n);
}

static void on_pipe(nng_pipe p, nng_pipe_ev ev, void *a)
{
    (void)p; (void)ev; (void)a;
    atomic_fetch_add(&pipes, 1);
}

void *srv_open(const struct cfg *c)
{
    char u[160]; url(c, u, sizeof u);
    start_lib();
    struct side *k = calloc(1, sizeof *k);
    k->c = *c; k->n = 1; k->s = calloc(1, sizeof *k->s);
    check(c->pattern == PAT_PUBSUB ? nng_pub0_open(k->s) : c->pattern == PAT_MULTI ? nng_rep0_open(k->s)
                                                                                    : nng_pair0_open(k->s), "open");
    buffers(c, k->s[0]);
    check(nng_pipe_notify(k->s[0], NNG_PIPE_EV_ADD_POST, on_pipe, NULL), "notify");
    check(nng_listen(k->s[0], u, NULL, 0), "listen");
    return k;
}

void srv_wait(void *v, int n) { (void)v; while (atomic_load(&pipes) < n) usleep(1000); }

void srv_send(void *v, void *buf, size_t len)
{
    struct side *k = v;
    check(nng_send(k->s[0], (void *)buf, len, 0), "nng_send");
}
void srv_bcast(void *v, void *buf, size_t len) { srv_send(v, buf, len); }
void srv_flush(void *v) { (void)v; }
void cli_flush(void *v) { (void)v; }

void srv_echo(void *v)
{
    struct side *k = v;
    nng_msg *m;
    check(nng_recvmsg(k->s[0], &m, 0), "nng_recvmsg");
    check(nng_sendmsg(k->s[0], m, 0), "nng_sendmsg");
}

void srv_take(void *v)
{
    struct side *k = v;
    nng_msg *m;
    check(nng_recvmsg(k->s[0], &m, 0), "nng_recvmsg");
    harness_got(0, nng_msg_body(m), nng_msg_len(m));
    nng_msg_free(m);
}

static void on_sub(void *a)
{
    struct sub *b = a;
    if (nng_aio_result(b->aio)) return;
    nng_msg *m = nng_aio_get_msg(b->aio);
    harness_got(b->id, nng_msg_body(m), nng_msg_len(m));
    nng_msg_free(m);
#if NNG_MAJOR_VERSION >= 2
    nng_socket_recv(b->s, b->aio);
#else
    nng_recv_aio(b->s, b->aio);
#endif
}

void *cli_open(const struct cfg *c, int n)
{
    char u[160]; url(c, u, sizeof u);
    start_lib();
    struct side *k = calloc(1, sizeof *k);
    k->c = *c; k->n = n;
    k->s = calloc((size_t)n, sizeof *k->s);
    k->subs = calloc((size_t)n, sizeof *k->subs);
    for (int i = 0; i < n; i++) {
        check(c->pattern == PAT_PUBSUB ? nng_sub0_open(&k->s[i]) : c->pattern == PAT_MULTI ? nng_req0_open(&k->s[i])
                                                                                            : nng_pair0_open(&k->s[i]), "open");
        buffers(c, k->s[i]);
#if NNG_MAJOR_VERSION >= 2
        if (c->pattern == PAT_PUBSUB) check(nng_sub0_socket_subscribe(k->s[i], "", 0), "subscribe");
#else
        if (c->pattern == PAT_PUBSUB) check(nng_socket_set(k->s[i], NNG_OPT_SUB_SUBSCRIBE, "", 0), "subscribe");
#endif
        check(nng_dial(k->s[i], u, NULL, 0), "dial");
        if (c->pattern == PAT_PUBSUB) {
            struct sub *b = &k->subs[i];
            b->s = k->s[i]; b->id = i;
            check(nng_aio_alloc(&b->aio, on_sub, b), "aio");
#if NNG_MAJOR_VERSION >= 2
            nng_socket_recv(b->s, b->aio);
#else
            nng_recv_aio(b->s, b->aio);
#endif
        }
    }
    return k;
}

void cli_send(void *v, void *buf, size_t len)
{
    struct side *k = v;
    check(nng_send(k->s[0], (void *)buf, len, 0), "nng_send");
}

const void *cli_recv(void *v, size_t *len)
{
    struct side *k = v;
    if (k->held) nng_msg_free(k->held);
    check(nng_recvmsg(k->s[0], &k->held, 0), "nng_recvmsg");
    *len = nng_msg_len(k->held);
    return nng_msg_body(k->held);
}

void cli_pump(void *v) { (void)v; usleep(5000); }    /* callbacks do the work */
