/* numbered.h - messages that say who sent them, when, and which in the row they are, with a payload
 * that follows from that: so that a receiver knows of every message whether it is whole, whether it
 * is the next one, and how long it was on its way. */
#ifndef NUMBERED_H
#define NUMBERED_H

#include <dotsock.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct numbered {
    int64_t from; /* -1: the server */
    int64_t number;
    int64_t sent_at; /* nanoseconds, monotonic: one clock for all processes */
    size_t size;     /* of the payload that follows */
};

enum { NUMBERED_MOST = 1 << 20, NUMBERED_HEAD = 64 };

static inline int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline int64_t now_ms(void) { return now_ns() / 1000000; }

/* `size` bytes that belong to this message and to no other near it. */
static inline const unsigned char *numbered_pad(int64_t from, int64_t number)
{
    static unsigned char *bytes;
    enum { VARIETY = 65521 };
    if (!bytes) {
        uint64_t state = 88172645463325252u;
        unsigned char *made = malloc(NUMBERED_MOST + VARIETY);
        if (!made)
            abort();
        for (size_t i = 0; i < NUMBERED_MOST + VARIETY; i++) {
            state ^= state << 13, state ^= state >> 7, state ^= state << 17;
            made[i] = (unsigned char)(state >> 32);
        }
        bytes = made;
    }
    return bytes + (uint64_t)(number * 31 + from * 7919 + 7919) % VARIETY;
}

static inline unsigned char *numbered_put(unsigned char *to, const char *key, unsigned char code,
                                          uint64_t value, int size)
{
    *to++ = (unsigned char)(0xa0 | strlen(key));
    memcpy(to, key, strlen(key));
    to += strlen(key);
    *to++ = code;
    for (int i = size - 1; i >= 0; i--)
        *to++ = (unsigned char)(value >> (8 * i));
    return to;
}

/* Writes it as MessagePack; there is room for NUMBERED_HEAD + `size` bytes. */
static inline size_t numbered_encode(unsigned char *to, const struct numbered *what)
{
    unsigned char *at = to;
    *at++ = 0x84;
    at = numbered_put(at, "from", 0xd3, (uint64_t)what->from, 8);
    at = numbered_put(at, "n", 0xd3, (uint64_t)what->number, 8);
    at = numbered_put(at, "at", 0xd3, (uint64_t)what->sent_at, 8);
    at = numbered_put(at, "pad", 0xc6, what->size, 4);
    if (what->size)
        memcpy(at, numbered_pad(what->from, what->number), what->size);
    return (size_t)(at - to) + what->size;
}

/* Whether it is one of them and whole: NULL, or what is wrong with it. */
static inline const char *numbered_decode(const sock_message *message, struct numbered *to)
{
    const void *pad = NULL;
    if (sock_message_get_int(message, "/n", &to->number) != DOTSOCK_OK ||
        sock_message_get_int(message, "/from", &to->from) != DOTSOCK_OK ||
        sock_message_get_int(message, "/at", &to->sent_at) != DOTSOCK_OK ||
        sock_message_get_bytes(message, "/pad", &pad, &to->size) != DOTSOCK_OK)
        return "is none of ours";
    if (to->size > NUMBERED_MOST || memcmp(pad, numbered_pad(to->from, to->number), to->size) != 0)
        return "was altered";
    return NULL;
}

/* How many messages a `missed` notice stands for; 0 when it is none. */
static inline int64_t missed_count(const sock_message *message)
{
    const char *code = NULL;
    int64_t count = 0;
    if (sock_message_type(message) != DOTSOCK_CONTROL ||
        sock_message_get_string(message, "/code", &code, NULL) != DOTSOCK_OK || strcmp(code, "missed") != 0 ||
        sock_message_get_int(message, "/count", &count) != DOTSOCK_OK)
        return 0;
    return count;
}

#endif
