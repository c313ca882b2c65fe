/* What both programs here are made of. Each ends with a sentence when anything fails. */
#ifndef PATHS_H
#define PATHS_H

#include <dotsock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EVENT "budgets"

/* The map {"b": bin} with 64 bytes in it. */
#define PAYLOAD_SIZE 69
static const unsigned char PAYLOAD[PAYLOAD_SIZE] = {0x81, 0xa1, 'b', 0xc4, 64};

static void check(int status, const char *what)
{
    if (status == DOTSOCK_OK) return;
    fprintf(stderr, "%s: %s\n", what, sock_last_error());
    exit(1);
}

static sock_server *new_server(void)
{
    sock_options *options = sock_options_new();
    check(sock_options_set(options, "slow_client", "block"), "slow_client");
    sock_server *server = sock_server_new(DOTSOCK_UNIX, EVENT, options);
    if (!server) check(sock_last_status(), "sock_server_new");
    sock_options_free(options);
    return server;
}

static sock_client *new_client(void)
{
    sock_client *client = sock_client_new(DOTSOCK_UNIX, EVENT, NULL);
    if (!client) check(sock_last_status(), "sock_client_new");
    check(sock_client_connect(client), "sock_client_connect");
    return client;
}

static void wait_for_clients(sock_server *server, uint64_t wanted)
{
    uint64_t clients = 0;
    for (int tries = 0; clients < wanted; tries++) {
        if (tries == 10000) { fprintf(stderr, "only %d clients came\n", (int)clients); exit(1); }
        check(sock_server_stat(server, "clients", &clients), "sock_server_stat");
        usleep(1000);
    }
}

static void send_one(sock_server *server)
{
    check(sock_send_data(server, DOTSOCK_DATA, PAYLOAD, PAYLOAD_SIZE, NULL), "sock_send_data");
}

static void send_back(sock_client *client)
{
    check(sock_client_send_data(client, DOTSOCK_DATA, PAYLOAD, PAYLOAD_SIZE), "sock_client_send_data");
}

/* Receives one message; the bytes of its frame. */
static size_t receive_one(sock_client *client)
{
    sock_message *message;
    size_t size;
    check(sock_client_recv(client, 60000, &message), "sock_client_recv");
    sock_message_envelope(message, &size);
    sock_message_free(message);
    return size + 4;
}

static sock_event *next(sock_server *server)
{
    sock_event *event;
    check(sock_server_next(server, 60000, &event), "sock_server_next");
    return event;
}

#endif
