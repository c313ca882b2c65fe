/* hostile.h - what the processes of hostile.c and attackers.c share. */
#ifndef HOSTILE_H
#define HOSTILE_H

#include "numbered.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/types.h>

enum {
    STEADY = 3,        /* clients that keep up */
    GOOD = STEADY + 3, /* and, in a soak, two that are stopped now and then, and one that is killed */
    LATENCIES = 1 << 16,
    PATIENCE_MS = 20000
};
enum phase { QUIET, ATTACKED, PHASES };
enum command { SEND, PAUSE, RESTART, QUIT };
enum statistic { CLIENTS, MALFORMED, DROPPED, CONNECTIONS, REJECTED, STATS };

enum attack {
    RANDOM_BYTES,
    MUTATED_FRAMES,
    TWO_GIGABYTES,
    ONE_BYTE_AT_A_TIME,
    SILENT,
    STORM,
    HALF_CLOSED,
    DEAF,
    KILLED,
    STOPPED,
    SUSPENDED,
    ATTACKS
};
extern const char *const attack_names[ATTACKS];

/* A well-behaved client, as it and the server see it. */
struct good {
    _Atomic int64_t last, count, missed, skipped, losses; /* of what the server sent */
    _Atomic int64_t said, taken;                          /* of what it sent; what the server has of it */
    atomic_int may_skip;                                  /* the next one need not follow the last */
    atomic_uint latencies[PHASES];
    uint32_t latency[PHASES][LATENCIES];
};

struct shared {
    long seed;
    char sockets[64];
    atomic_int command, up, is_paused, heavy, phase, policy, stop_ms;
    _Atomic int64_t sent, sent_before_stop, stats[STATS], server_cpu_ms, restarts;
    _Atomic int64_t dropped_before; /* by servers that were killed */
    atomic_long resident_kb, descriptors, threads;
    atomic_int complaints;
    struct good good[GOOD];
};
extern struct shared *shared;

/* Says what is wrong; the stage manager ends the play. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
void pause_ms(int64_t ms);
pid_t spawn(void (*body)(int, int), int transport, int argument);

void be_server(int transport) __attribute__((noreturn));
void be_good(int transport, int who) __attribute__((noreturn));

/* They go on until they are killed. */
void be_attacker(int transport, int attack) __attribute__((noreturn));
void be_stopper(int transport, int unused) __attribute__((noreturn));
void be_suspender(int transport, int server) __attribute__((noreturn));

#endif
