/* bench.h - the contract between the harness (bench.c) and one peer.
 *
 * Every peer implements the functions below and is linked with bench.c into
 * its own binary. The harness forks before it calls any of them, so that the
 * server and the clients live in separate processes and each of the two
 * initialises the library for itself.
 *
 * The harness owns the contents of payloads: each begins with a 64-bit
 * sequence number, which shows losses and reordering, and a 64-bit time.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>
#include <stdint.h>

enum pattern {
    PAT_PAIR,   /* one server, one client, both directions: rtt, tput, oneway */
    PAT_PUBSUB, /* one server, many clients, broadcasts: fanout, idle */
    PAT_MULTI   /* one server, many clients, echoes: active */
};

struct cfg {
    enum pattern pattern;
    size_t size;        /* bytes of a payload */
    long   count;       /* messages; round trips with rtt */
    int    clients;     /* connections */
    size_t batch;       /* bytes that batching variants coalesce */
    int    sndbuf;      /* SO_SNDBUF to ask for, 0 = the system's */
    int    window;      /* broadcasts in flight during fanout */
    int    idle;        /* connections are only held, nothing is sent */
    int    up;          /* tput: from the client to the server */
    int    cork;        /* let the caller collect bursts explicitly */
    const char *dir;    /* a directory of this run's own, removed afterwards */
    char   path[100];   /* a path in it to meet at, for Unix sockets */
    int    port;        /* unique port to meet at, for TCP */
    int    tcp;         /* over TCP, not a Unix socket */
    int    spin;        /* microseconds to look again and again before sleeping */
};

/* Payloads that the harness hands to a peer have this many bytes in front of
 * them and behind them that the peer may write: what it wraps a payload in
 * needs no copy of it then. */
#define BENCH_ROOM 64

/* ---- implemented by each peer, on behalf of the server */
void *srv_open(const struct cfg *c);
void  srv_wait(void *s, int n);                   /* until n clients can be sent to */
void  srv_send(void *s, void *buf, size_t len);   /* PAIR: to the client */
void  srv_bcast(void *s, void *buf, size_t len);  /* PUBSUB: to all */
void  srv_flush(void *s);                         /* write what has collected */
/* PAIR, MULTI: wait for a message and send the same bytes back where it came
 * from. A peer whose library answers on a thread of its own only waits here. */
void  srv_echo(void *s);
/* PAIR: take what has arrived, waiting for at least one message or some
 * milliseconds; harness_got() for each. A library's own thread may call that too. */
void  srv_take(void *s);

/* ---- implemented by each peer, on behalf of the clients */
void *cli_open(const struct cfg *c, int n);
void  cli_send(void *k, void *buf, size_t len);   /* on connection 0 */
void  cli_flush(void *k);                         /* write what has collected */
/* Wait for a message on connection 0; it stays valid until the next call. */
const void *cli_recv(void *k, size_t *len);
/* Take what has arrived on all connections, waiting for at least one message
 * or about 100 ms; harness_got() for each. */
void  cli_pump(void *k);

/* ---- offered by the harness */
uint64_t now_ns(void);
void harness_got(int conn, const void *buf, size_t len); /* one thread a connection */
void die(const char *what);                              /* perror, exit */

#endif
