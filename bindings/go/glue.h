/*
 * What Go calls instead of the library itself, for two reasons. Why a call failed has to be read
 * on the thread that made it, and a goroutine may be on another one by its next call into C. And
 * one call into C that does the work of many costs less than many.
 */
#ifndef DOTSOCK_GO_GLUE_H
#define DOTSOCK_GO_GLUE_H

#include <dotsock.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How a call ended; `text` is the library's sentence, to be freed, when it failed. */
typedef struct {
    int status;
    int os_error;
    char *text;
} outcome;

/* What a constructor returned; `how` says why when `object` is NULL. */
typedef struct {
    void *object;
    outcome how;
} made;

static inline outcome outcome_of(int status) {
    outcome how = {status, 0, NULL};
    if (status != DOTSOCK_OK) {
        how.os_error = sock_last_os_error();
        how.text = strdup(sock_last_error());
    }
    return how;
}

static inline made made_of(void *object) {
    made result = {object, {DOTSOCK_OK, 0, NULL}};
    if (!object) result.how = outcome_of(sock_last_status());
    return result;
}

static inline outcome set_log_fd(int level, int fd) {
    return outcome_of(sock_set_log_fd(level, fd));
}

static inline outcome validate_event_name(const char *name) {
    return outcome_of(sock_validate_event_name(name));
}

/* --- Waiting ---------------------------------------------------------------------------------- */

/*
 * A descriptor of Go's own for the same thing, non-blocking, since that is what makes Go's poller
 * take it; -errno when there is none.
 */
static inline int own_descriptor(int fd) {
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (own < 0 || fcntl(own, F_SETFL, fcntl(own, F_GETFL) | O_NONBLOCK) < 0) {
        int error = errno;
        if (own >= 0) close(own);
        return -error;
    }
    return own;
}

static inline int is_readable(int fd) {
    struct pollfd wanted = {fd, POLLIN, 0};
    return poll(&wanted, 1, 0) == 1;
}

/* Returns what was blocked before. The signals of faults stay: nothing else shows where those are. */
static inline sigset_t block_signals(void) {
    sigset_t blocked, before;
    sigfillset(&blocked);
    const int faults[] = {SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP};
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) sigdelset(&blocked, faults[i]);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    return before;
}

static inline void restore_signals(const sigset_t *before) {
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

/* --- Options ---------------------------------------------------------------------------------- */

static inline made options_new(void) {
    return made_of(sock_options_new());
}

static inline outcome options_load(sock_options *options, const char *path) {
    return outcome_of(sock_options_load(options, path));
}

static inline outcome options_set(sock_options *options, const char *key, const char *value) {
    return outcome_of(sock_options_set(options, key, value));
}

/* --- Messages --------------------------------------------------------------------------------- */

/* A message, with what Go copies out of it. */
typedef struct {
    sock_message *message;
    const void *envelope;
    size_t envelope_size;
    size_t data_start;
    size_t data_size;
    int64_t timestamp_ms;
    int type;
} letter;

static inline letter letter_of(sock_message *message) {
    letter it = {.message = message};
    it.envelope = sock_message_envelope(message, &it.envelope_size);
    it.data_start = (size_t)((const char *)sock_message_data(message, &it.data_size) -
                             (const char *)it.envelope);
    it.timestamp_ms = sock_message_timestamp_ms(message);
    it.type = sock_message_type(message);
    return it;
}

static inline made message_new(const char *event_name, int type, const void *data, size_t size) {
    return made_of(sock_message_new(event_name, type, data, size));
}

static inline made message_from_envelope(const void *envelope, size_t size) {
    return made_of(sock_message_from_envelope(envelope, size));
}

/* The text that a message keeps is borrowed from it; a copy is to be freed. */
static inline made message_data_json(const sock_message *message) {
    const char *json = sock_message_data_json(message);
    return made_of(json ? strdup(json) : NULL);
}

/* --- Clients ---------------------------------------------------------------------------------- */

static inline made client_new(int transport, const char *event_name, const sock_options *options) {
    return made_of(sock_client_new(transport, event_name, options));
}

static inline outcome client_open(sock_client *client) {
    return outcome_of(sock_client_open(client));
}

static inline outcome client_connect(sock_client *client) {
    return outcome_of(sock_client_connect(client));
}

/* Large messages are not taken ahead: what is slow here shall hold its peer back. */
enum { MOST_BYTES = 64 * 1024 };

/* How many messages there were, and how it ended: timing out is DOTSOCK_OK. */
typedef struct {
    int count;
    outcome how;
} received;

/*
 * Takes up to `limit` messages that are there. What the descriptor says is looked at first, so
 * that `count` 0 means that it was not readable: one that is still readable without a message, as
 * in the middle of a large one, would never wake an edge-triggered poller again. `try` says not to
 * look first: because it is known to be readable, or because an end that was told once does not
 * make it so.
 */
static inline received client_receive(sock_client *client, int fd, int try, letter *letters,
                                      int limit) {
    received result = {0, {DOTSOCK_OK, 0, NULL}};
    while (result.count == 0 && (try || is_readable(fd))) {
        try = 0;
        size_t bytes = 0;
        do {
            sock_message *message;
            int status = sock_client_recv(client, 0, &message);
            if (status == DOTSOCK_E_TIMEOUT) break;
            if (status != DOTSOCK_OK) {
                result.how = outcome_of(status);
                return result;
            }
            letter it = letter_of(message);
            letters[result.count++] = it;
            bytes += it.envelope_size;
        } while (result.count < limit && bytes < MOST_BYTES && sock_client_has_next(client));
    }
    return result;
}

/* Go's memory must not keep pointers to what is gone: its collector looks at them. */
static inline void free_letters(letter *letters, int count) {
    for (int i = 0; i < count; i++) {
        sock_message *message = letters[i].message;
        memset(&letters[i], 0, sizeof letters[i]);
        sock_message_free(message);
    }
}

/* Takes back a sock_client_cancel() that no wait has taken. */
static inline void client_uncancel(sock_client *client) {
    sock_message *message;
    if (sock_client_recv(client, 1, &message) == DOTSOCK_OK) sock_message_free(message);
}

static inline outcome client_send_data(sock_client *client, int type, const void *data,
                                       size_t size) {
    return outcome_of(sock_client_send_data(client, type, data, size));
}

static inline outcome client_send_envelope(sock_client *client, const void *envelope,
                                           size_t size) {
    sock_message *message = sock_message_from_envelope(envelope, size);
    outcome how = outcome_of(message ? sock_client_send(client, message) : sock_last_status());
    sock_message_free(message);
    return how;
}

static inline outcome client_cork(sock_client *client) {
    return outcome_of(sock_client_cork(client));
}

static inline outcome client_uncork(sock_client *client) {
    return outcome_of(sock_client_uncork(client));
}

static inline outcome client_stat(const sock_client *client, const char *name, uint64_t *out) {
    return outcome_of(sock_client_stat(client, name, out));
}

/* --- Servers ---------------------------------------------------------------------------------- */

static inline made server_new(int transport, const char *event_name, const sock_options *options) {
    return made_of(sock_server_new(transport, event_name, options));
}

static inline outcome server_open(sock_server *server) {
    return outcome_of(sock_server_open(server));
}

/* An event, with what Go copies out of it. */
typedef struct {
    sock_event *event;
    int kind;
    const char *client_id;
    letter letter;
} happening;

/* As client_receive(). */
static inline received server_take(sock_server *server, int fd, int try, happening *happenings,
                                   int limit) {
    received result = {0, {DOTSOCK_OK, 0, NULL}};
    while (result.count == 0 && (try || is_readable(fd))) {
        try = 0;
        for (size_t bytes = 0; result.count < limit && bytes < MOST_BYTES;) {
            sock_event *event;
            int status = sock_server_next(server, 0, &event);
            if (status == DOTSOCK_E_TIMEOUT) break;
            if (status != DOTSOCK_OK) {
                result.how = outcome_of(status);
                return result;
            }
            happening *it = &happenings[result.count++];
            memset(it, 0, sizeof *it);
            it->event = event;
            it->kind = sock_event_kind(event);
            it->client_id = sock_event_client_id(event);
            const sock_message *message = sock_event_message(event);
            if (message) it->letter = letter_of((sock_message *)message);
            bytes += it->letter.envelope_size;
        }
    }
    return result;
}

static inline void free_happenings(happening *happenings, int count) {
    for (int i = 0; i < count; i++) {
        sock_event *event = happenings[i].event;
        memset(&happenings[i], 0, sizeof happenings[i]);
        sock_event_free(event);
    }
}

static inline outcome server_send_data(sock_server *server, int type, const void *data,
                                       size_t size, const char *client_id) {
    return outcome_of(sock_send_data(server, type, data, size, client_id));
}

static inline outcome server_send_envelope(sock_server *server, const void *envelope, size_t size,
                                           const char *client_id) {
    sock_message *message = sock_message_from_envelope(envelope, size);
    outcome how = outcome_of(message ? sock_send(server, message, client_id) : sock_last_status());
    sock_message_free(message);
    return how;
}

static inline outcome server_cork(sock_server *server) {
    return outcome_of(sock_server_cork(server));
}

static inline outcome server_uncork(sock_server *server) {
    return outcome_of(sock_server_uncork(server));
}

static inline made server_clients(sock_server *server) {
    return made_of(sock_server_clients(server));
}

static inline outcome server_disconnect_client(sock_server *server, const char *client_id) {
    return outcome_of(sock_server_disconnect_client(server, client_id));
}

static inline outcome server_clear_queue(sock_server *server) {
    return outcome_of(sock_server_clear_queue(server));
}

static inline outcome server_stat(const sock_server *server, const char *name, uint64_t *out) {
    return outcome_of(sock_server_stat(server, name, out));
}

#endif
