/* Many threads on one handle. */
#include "peer.h"

enum { SENDERS = 4, EACH = 500, CLIENTS = 3 };

static sock_server *server;
static char ids[CLIENTS][64];

static char *tagged(char *json, size_t size, int sender, int number, int unicast)
{
    snprintf(json, size, "{\"t\":%d,\"n\":%d,\"u\":%d}", sender, number, unicast);
    return json;
}

/* Broadcasts, with a unicast to each client after every third. */
static void *send_mixed(void *argument)
{
    int sender = (int)(intptr_t)argument;
    char json[64];
    for (int n = 0; n < EACH; n++) {
        CHECK_OK(sock_send_json(server, DOTSOCK_DATA, tagged(json, sizeof json, sender, n, 0), NULL));
        for (int c = 0; n % 3 == 0 && c < CLIENTS; c++)
            CHECK_OK(sock_send_json(server, DOTSOCK_DATA, tagged(json, sizeof json, sender, n, 1), ids[c]));
    }
    return NULL;
}

struct reader {
    sock_client *client;
    int order[SENDERS * EACH]; /* broadcasts: sender * EACH + number */
};

static void *read_mixed(void *argument)
{
    struct reader *reader = argument;
    int last[SENDERS], unicasts[SENDERS] = {0}, broadcasts = 0, all = SENDERS * (EACH + (EACH + 2) / 3);
    memset(last, -1, sizeof last);
    for (int i = 0; i < all; i++) {
        sock_message *message = take(reader->client);
        int64_t sender = -1, number = -1, unicast = -1;
        CHECK_OK(sock_message_get_int(message, "/t", &sender));
        CHECK_OK(sock_message_get_int(message, "/n", &number));
        CHECK_OK(sock_message_get_int(message, "/u", &unicast));
        if (unicast) {
            CHECK_INT(number, last[sender]); /* right after its broadcast, as that thread sent it */
            unicasts[sender]++;
        } else {
            CHECK_INT(number, last[sender] + 1);
            last[sender] = (int)number;
            reader->order[broadcasts++] = (int)(sender * EACH + number);
        }
        sock_message_free(message);
    }
    for (int t = 0; t < SENDERS; t++)
        CHECK_INT(unicasts[t], (EACH + 2) / 3);
    EXPECT_NOTHING(reader->client);
    return NULL;
}

TEST(every_threads_order_and_one_order_for_all)
{
    static struct reader readers[CLIENTS];
    pthread_t reading[CLIENTS], sending[SENDERS];
    server = start_server("e", "slow_client", "block", "client_queue_size", "20000", NULL);
    for (int c = 0; c < CLIENTS; c++) {
        readers[c].client = join("e", NULL);
        wait_clients(server, c + 1);
    }
    for (int c = 0; c < CLIENTS; c++)
        snprintf(ids[c], sizeof ids[c], "%s", client_id(server, (size_t)c));
    for (int c = 0; c < CLIENTS; c++)
        reading[c] = check_thread(read_mixed, &readers[c]);
    for (int t = 0; t < SENDERS; t++)
        sending[t] = check_thread(send_mixed, (void *)(intptr_t)t);
    for (int t = 0; t < SENDERS; t++)
        check_join(sending[t]);
    for (int c = 0; c < CLIENTS; c++)
        check_join(reading[c]);
    for (int c = 1; c < CLIENTS; c++) /* all clients get broadcasts in one order */
        CHECK(memcmp(readers[0].order, readers[c].order, sizeof readers[0].order) == 0);
    CHECK_INT(stat_of(server, "messages_dropped"), 0);
    for (int c = 0; c < CLIENTS; c++)
        sock_client_free(readers[c].client);
    sock_server_free(server);
}

static sock_client *shared;

static void *send_to_server(void *argument)
{
    char json[64];
    for (int n = 0; n < EACH; n++)
        CHECK_OK(sock_client_send_json(shared, DOTSOCK_DATA,
                                       tagged(json, sizeof json, (int)(intptr_t)argument, n, 0)));
    return NULL;
}

static int from[SENDERS], disorder;

static void in_order(void *ctx, sock_server *at, const char *id, const sock_message *message)
{
    (void)ctx, (void)at, (void)id;
    int64_t sender = -1, number = -1;
    CHECK_OK(sock_message_get_int(message, "/t", &sender));
    CHECK_OK(sock_message_get_int(message, "/n", &number));
    disorder += from[sender]++ != number;
}

TEST(many_threads_send_through_one_client)
{
    pthread_t sending[SENDERS];
    server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_OK(sock_server_on_message_received(server, in_order, NULL, NULL));
    CHECK_OK(sock_server_start(server));
    shared = join("e", NULL);
    for (int t = 0; t < SENDERS; t++)
        sending[t] = check_thread(send_to_server, (void *)(intptr_t)t);
    for (int t = 0; t < SENDERS; t++)
        check_join(sending[t]);
    WAIT_FOR(stat_of(server, "messages_received") == SENDERS * EACH);
    sock_client_free(shared);
    sock_server_free(server);
    CHECK_INT(disorder, 0);
    for (int t = 0; t < SENDERS; t++)
        CHECK_INT(from[t], EACH);
}

static int received;

static void *share_recv(void *argument)
{
    (void)argument;
    sock_message *message = NULL;
    int status;
    while ((status = sock_client_recv(shared, -1, &message)) == DOTSOCK_OK) {
        __atomic_add_fetch(&received, 1, __ATOMIC_SEQ_CST);
        sock_message_free(message);
    }
    CHECK_INT(status, DOTSOCK_E_CLOSED);
    return NULL;
}

TEST(many_threads_receive_from_one_client)
{
    pthread_t reading[3];
    server = start_server("e", "slow_client", "block", NULL);
    shared = join("e", NULL);
    wait_clients(server, 1);
    for (int t = 0; t < 3; t++)
        reading[t] = check_thread(share_recv, NULL);
    for (int n = 0; n < 1000; n++)
        SEND(server, n);
    WAIT_FOR(__atomic_load_n(&received, __ATOMIC_SEQ_CST) == 1000); /* each message to one of them */
    CHECK_OK(sock_client_disconnect(shared)); /* ends all three waits */
    for (int t = 0; t < 3; t++)
        check_join(reading[t]);
    sock_client_free(shared);
    sock_server_free(server);
}

static volatile int finished;

static void *start_and_stop(void *argument)
{
    (void)argument;
    for (int i = 0; i < 60; i++) {
        int status = sock_server_start(server);
        CHECK(status == DOTSOCK_OK || status == DOTSOCK_E_STATE);
        CHECK_OK(sock_server_stop(server));
    }
    return NULL;
}

static void *ask_and_send(void *argument)
{
    (void)argument;
    while (!__atomic_load_n(&finished, __ATOMIC_SEQ_CST)) {
        int status = sock_send_json(server, DOTSOCK_DATA, "{}", NULL);
        CHECK(status == DOTSOCK_OK || status == DOTSOCK_E_NOT_RUNNING);
        sock_client_list *list = sock_server_clients(server);
        CHECK(list);
        sock_client_list_free(list);
        CHECK(sock_server_address(server) && sock_server_event_name(server));
        sock_server_is_running(server);
        sock_server_queue_size(server);
        CHECK_OK(sock_server_clear_queue(server));
    }
    return NULL;
}

static void *come_and_go(void *argument)
{
    (void)argument;
    while (!__atomic_load_n(&finished, __ATOMIC_SEQ_CST)) {
        sock_client *client = new_client(DOTSOCK_UNIX, "e", NULL);
        int status = sock_client_connect(client);
        CHECK(status == DOTSOCK_OK || status == DOTSOCK_E_CLOSED);
        sock_client_free(client);
    }
    return NULL;
}

TEST(starts_stops_sends_and_clients_at_once)
{
    pthread_t threads[4];
    server = new_server(DOTSOCK_UNIX, "e", NULL);
    threads[0] = check_thread(start_and_stop, NULL);
    threads[1] = check_thread(start_and_stop, NULL);
    threads[2] = check_thread(ask_and_send, NULL);
    threads[3] = check_thread(come_and_go, NULL);
    check_join(threads[0]);
    check_join(threads[1]);
    __atomic_store_n(&finished, 1, __ATOMIC_SEQ_CST);
    check_join(threads[2]);
    check_join(threads[3]);
    CHECK_OK(sock_server_stop(server));
    CHECK_INT(stat_of(server, "clients"), 0);
    sock_server_free(server);
}

static void *stop(void *argument)
{
    (void)argument;
    CHECK_OK(sock_server_stop(server));
    CHECK_INT(sock_server_is_running(server), 0);
    return NULL;
}

TEST(many_stops_at_once)
{
    server = start_server("e", NULL);
    sock_client *client = join("e", NULL);
    wait_clients(server, 1);
    pthread_t threads[4];
    for (int t = 0; t < 4; t++)
        threads[t] = check_thread(stop, NULL);
    for (int t = 0; t < 4; t++)
        check_join(threads[t]);
    CHECK(access(check_path("sockets/e.lock"), F_OK) != 0);
    sock_client_free(client);
    sock_server_free(server);
}

static void *use_message(void *argument)
{
    sock_message *message = argument;
    for (int i = 0; i < 200; i++) {
        int64_t n = 0;
        CHECK_JSON(sock_message_data_json(message), "{\"n\":7}");
        CHECK_OK(sock_message_get_int(message, "/n", &n));
        sock_message *reference = sock_message_ref(message);
        CHECK(sock_message_json(reference));
        sock_message_free(reference);
    }
    sock_message_free(message);
    return NULL;
}

TEST(one_message_in_many_threads)
{
    pthread_t threads[4];
    sock_message *message = sock_message_from_json("e", DOTSOCK_DATA, "{\"n\":7}");
    for (int t = 0; t < 4; t++)
        threads[t] = check_thread(use_message, sock_message_ref(message));
    sock_message_free(message);
    for (int t = 0; t < 4; t++)
        check_join(threads[t]);
}
