/* peer.h - peers that speak the wire protocol by hand, for what our own server and client would
 * never send: half frames, nonsense, a reader that does not read. */
#ifndef PEER_H
#define PEER_H

#include "helpers.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

/* ---- bytes, MessagePack, frames ---- */

struct bytes {
    unsigned char *at;
    size_t size, room;
};

static inline void put(struct bytes *out, const void *from, size_t size)
{
    if (out->size + size > out->room) {
        out->room = 2 * (out->size + size);
        out->at = realloc(out->at, out->room);
        CHECK(out->at);
    }
    if (size)
        memcpy(out->at + out->size, from, size);
    out->size += size;
}

static inline void put_hex(struct bytes *out, const char *hex)
{
    for (; *hex; hex++) {
        unsigned value;
        if (*hex == ' ')
            continue;
        CHECK(sscanf(hex++, "%2x", &value) == 1);
        unsigned char byte = (unsigned char)value;
        put(out, &byte, 1);
    }
}

static inline void put_number(struct bytes *out, uint64_t value, int size) /* big-endian */
{
    for (int i = size - 1; i >= 0; i--) {
        unsigned char byte = (unsigned char)(value >> (8 * i));
        put(out, &byte, 1);
    }
}

static inline void put_str(struct bytes *out, const char *text)
{
    put_number(out, 0xd9, 1); /* str 8 does for everything here */
    put_number(out, strlen(text), 1);
    put(out, text, strlen(text));
}

/* An envelope with these fields, around a payload that is MessagePack already. */
static inline void put_envelope(struct bytes *out, const char *event, const char *type, const void *data,
                                size_t size)
{
    put_number(out, 0x85, 1);
    put_str(out, "event_name");
    put_str(out, event);
    put_str(out, "timestamp_ms");
    put_number(out, 0xcf, 1);
    put_number(out, 1790000000000u, 8);
    put_str(out, "timestamp_iso");
    put_str(out, "2026-09-21T14:13:20.000000+00:00");
    put_str(out, "message_type");
    put_str(out, type);
    put_str(out, "data");
    put(out, data, size);
}

/* The same with the length in front: a frame. */
static inline void put_frame(struct bytes *out, const char *event, const char *type, const void *data, size_t size)
{
    struct bytes body = {0};
    put_envelope(&body, event, type, data, size);
    put_number(out, body.size, 4);
    put(out, body.at, body.size);
    free(body.at);
}

/* A frame whose payload is given as JSON. */
static inline void put_json_frame(struct bytes *out, const char *event, int type, const char *json)
{
    sock_message *message = sock_message_from_json(event, type, json);
    CHECK(message);
    size_t size = 0;
    const void *envelope = sock_message_envelope(message, &size);
    put_number(out, size, 4);
    put(out, envelope, size);
    sock_message_free(message);
}

/* ---- sockets ---- */

static inline struct sockaddr_un peer_address(const char *event)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int length = snprintf(address.sun_path, sizeof address.sun_path, "%s/sockets/%s.sock", check_dir, event);
    CHECK(length < (int)sizeof address.sun_path);
    return address;
}

static inline int peer_connect(const char *event)
{
    struct sockaddr_un address = peer_address(event);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        FAIL("connect to %s: %s", address.sun_path, strerror(errno));
    return fd;
}

static inline int peer_connect_tcp(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        FAIL("connect to port %d: %s", port, strerror(errno));
    return fd;
}

/* A server made by hand. */
static inline int peer_listen(const char *event)
{
    struct sockaddr_un address = peer_address(event);
    mkdir(check_path("sockets"), 0700);
    unlink(address.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 16) == 0);
    return fd;
}

/* Waits for a descriptor to have something to read. */
static inline void peer_wait(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (poll(&p, 1, check_patience()) != 1)
        FAIL("nothing arrived at a raw peer within %d ms", check_patience());
}

static inline int peer_accept(int listener)
{
    peer_wait(listener);
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    CHECK(fd >= 0);
    return fd;
}

static inline void peer_send(int fd, const void *from, size_t size)
{
    for (const char *at = from; size;) {
        ssize_t sent = send(fd, at, size, MSG_NOSIGNAL);
        if (sent < 0)
            FAIL("a raw peer could not send: %s", strerror(errno));
        at += sent;
        size -= (size_t)sent;
    }
}

static inline void peer_send_json(int fd, const char *event, const char *json)
{
    struct bytes frame = {0};
    put_json_frame(&frame, event, DOTSOCK_DATA, json);
    peer_send(fd, frame.at, frame.size);
    free(frame.at);
}

/* Reads exactly `size` bytes; less only where the stream ends. */
static inline size_t peer_read(int fd, void *to, size_t size)
{
    size_t done = 0;
    while (done < size) {
        peer_wait(fd);
        ssize_t got = recv(fd, (char *)to + done, size - done, 0);
        if (got < 0 && errno != ECONNRESET)
            FAIL("a raw peer could not read: %s", strerror(errno));
        if (got <= 0)
            break;
        done += (size_t)got;
    }
    return done;
}

/* The next message as it arrives at a raw peer, or NULL at the end of the stream; free it. */
static inline sock_message *peer_next(int fd)
{
    unsigned char head[4];
    if (peer_read(fd, head, 4) < 4)
        return NULL;
    size_t size = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
    CHECK(size <= 64u << 20);
    void *body = malloc(size + 1);
    if (peer_read(fd, body, size) < size)
        FAIL("the stream ended inside a frame of %zu bytes", size);
    sock_message *message = sock_message_from_envelope(body, size);
    if (!message)
        FAIL("a raw peer got a malformed frame: %s", sock_last_error());
    free(body);
    return message;
}

#define PEER_EXPECT(fd, json)                                                                                \
    do {                                                                                                     \
        sock_message *message_ = peer_next(fd);                                                              \
        if (!message_)                                                                                       \
            FAIL("the stream ended, expected %s", json);                                                     \
        CHECK_JSON(sock_message_data_json(message_), json);                                                  \
        sock_message_free(message_);                                                                         \
    } while (0)

#define PEER_EXPECT_END(fd)                                                                                  \
    do {                                                                                                     \
        char byte_;                                                                                          \
        CHECK_INT(peer_read(fd, &byte_, 1), 0);                                                              \
    } while (0)

#endif
