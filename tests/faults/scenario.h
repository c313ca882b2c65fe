/* scenario.h - a life of a server and three clients in which every message is accounted for. */
#ifndef SCENARIO_H
#define SCENARIO_H

#include "inject.h"

struct scenario {
    int transport;                  /* DOTSOCK_UNIX, DOTSOCK_TCP */
    int threaded;                   /* sock_server_start, or sock_server_open and sock_server_next */
    const char *token;              /* "": anybody may connect */
    size_t large;                   /* bytes of a large message */
    const struct fault_plan *fault; /* NULL: nothing fails */
    const char *directory;          /* an empty one */
};

struct outcome {
    int done; /* the scenario came to its end, and all was well */
    uint64_t hits, calls[CALLS];
    int64_t blocks; /* of memory that the library still holds */
    int64_t wall_ms, cpu_ms;
    uint64_t messages, errors, losses;
    char why[400]; /* what was not well */
};

/* Runs it in this process and ends the process; what came of it is in `outcome`, which is shared
 * with another one. */
void scenario_run(const struct scenario *scenario, struct outcome *outcome) __attribute__((noreturn));

#endif
