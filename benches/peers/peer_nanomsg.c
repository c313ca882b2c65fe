/* peer_nanomsg.c - nanomsg (the predecessor of nng), ipc://.
 *   PAIR   NN_PAIR, PUBSUB NN_PUB -> n x NN_SUB, MULTI NN_REP <-> n x NN_REQ
 * nanomsg allows 512 sockets a process, so fan-out stops at 500 clients.
 * NN_PUB drops when a subscriber is not ready; the harness counts that.
 */
#define _GNU_SOURCE
#include "bench.h"

#include <nanomsg/nn.h>
#include <nanomsg/pair.h>
#include <nanomsg/pubsub.h>
#include <nanomsg/reqrep.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

struct side { struct cfg c; int n, ep, *s; void *held; };

static void bufs(const struct cfg *c, int s)
{
    int b = c->sndbuf ? c->sndbuf : 4 << 20;
    if (c->pattern == PAT_PAIR) {
        nn_setsockopt(s, NN_SOL_SOCKET, NN_SNDBUF, &b, sizeof b);
        nn_setsockopt(s, NN_SOL_SOCKET, NN_RCVBUF, &b, sizeof b);
    }
}

void *srv_open(const struct cfg *c)
{
    char u[160]; snprintf(u, sizeof u, "ipc://%s", c->path);
    struct side *k = calloc(1, sizeof *k);
    k->c = *c; k->n = 1; k->s = calloc(1, sizeof *k->s);
    k->s[0] = nn_socket(AF_SP, c->pattern == PAT_PUBSUB ? NN_PUB : c->pattern == PAT_MULTI ? NN_REP : NN_PAIR);
    if (k->s[0] < 0) die("nn_socket");
    bufs(c, k->s[0]);
    if (nn_bind(k->s[0], u) < 0) die("nn_bind");
    return k;
}

void srv_wait(void *v, int n)
{
    struct side *k = v;
    while ((int)nn_get_statistic(k->s[0], NN_STAT_CURRENT_CONNECTIONS) < n) usleep(1000);
}

void srv_send(void *v, void *buf, size_t len)
{
    struct side *k = v;
    if (nn_send(k->s[0], buf, len, 0) < 0) die("nn_send");
}
void srv_bcast(void *v, void *buf, size_t len) { srv_send(v, buf, len); }
void srv_flush(void *v) { (void)v; }
void cli_flush(void *v) { (void)v; }

void srv_echo(void *v)
{
    struct side *k = v;
    void *m;
    if (nn_recv(k->s[0], &m, NN_MSG, 0) < 0) die("nn_recv");
    if (nn_send(k->s[0], &m, NN_MSG, 0) < 0) die("nn_send");
}

void srv_take(void *v)
{
    struct side *k = v;
    void *m; int n = nn_recv(k->s[0], &m, NN_MSG, 0);
    if (n < 0) die("nn_recv");
    harness_got(0, m, (size_t)n);
    nn_freemsg(m);
}

void *cli_open(const struct cfg *c, int n)
{
    char u[160]; snprintf(u, sizeof u, "ipc://%s", c->path);
    struct side *k = calloc(1, sizeof *k);
    k->c = *c; k->n = n; k->s = calloc((size_t)n, sizeof *k->s);
    k->ep = epoll_create1(0);
    for (int i = 0; i < n; i++) {
        int s = k->s[i] = nn_socket(AF_SP, c->pattern == PAT_PUBSUB ? NN_SUB : c->pattern == PAT_MULTI ? NN_REQ : NN_PAIR);
        if (s < 0) die("nn_socket");
        bufs(c, s);
        if (c->pattern == PAT_PUBSUB) {
            nn_setsockopt(s, NN_SUB, NN_SUB_SUBSCRIBE, "", 0);
            int fd; size_t sl = sizeof fd;
            nn_getsockopt(s, NN_SOL_SOCKET, NN_RCVFD, &fd, &sl);
            struct epoll_event e = { .events = EPOLLIN, .data.u32 = (uint32_t)i };
            epoll_ctl(k->ep, EPOLL_CTL_ADD, fd, &e);
        }
        if (nn_connect(s, u) < 0) die("nn_connect");
    }
    return k;
}

void cli_send(void *v, void *buf, size_t len)
{
    struct side *k = v;
    if (nn_send(k->s[0], buf, len, 0) < 0) die("nn_send");
}

const void *cli_recv(void *v, size_t *len)
{
    struct side *k = v;
    if (k->held) nn_freemsg(k->held);
    int n = nn_recv(k->s[0], &k->held, NN_MSG, 0);
    if (n < 0) die("nn_recv");
    *len = (size_t)n;
    return k->held;
}

void cli_pump(void *v)
{
    struct side *k = v;
    struct epoll_event ev[256];
    int n = epoll_wait(k->ep, ev, 256, 100);
    for (int i = 0; i < n; i++) {
        int id = (int)ev[i].data.u32; void *m; int r;
        while ((r = nn_recv(k->s[id], &m, NN_MSG, NN_DONTWAIT)) >= 0) {
            harness_got(id, m, (size_t)r);
            nn_freemsg(m);
        }
    }
}
