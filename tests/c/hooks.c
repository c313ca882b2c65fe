/* Hooks: their order, their contexts, and all that may be done in them. */
#include "peer.h"

TEST(connected_messages_disconnected)
{
    struct record record = RECORD;
    sock_server *server = new_server(DOTSOCK_UNIX, "e", NULL);
    record_hooks(server, &record);
    CHECK_OK(sock_server_start(server));
    sock_client *client = join("e", NULL);
    for (int n = 1; n <= 3; n++)
        CHECK_OK(sock_client_send_json(client, DOTSOCK_DATA, numbered(n)));
    sock_client_free(client); /* what it had sent is still handed over */
    WAIT_FOR(record_is(&record, "+A\nA {\"n\":1}\nA {\"n\":2}\nA {\"n\":3}\n-A\n"));
    CHECK_INT(record_drops(&record), 0);
    sock_server_free(server);
    CHECK_INT(record.drops, 3);
}

TEST(stop_runs_every_disconnected_hook)
{
    struct record record = RECORD;
    sock_server *server = new_server(DOTSOCK_UNIX, "e", NULL);
    record_hooks(server, &record);
    CHECK_OK(sock_server_start(server));
    sock_client *one = join("e", NULL);
    WAIT_FOR(record_has(&record, "+A"));
    sock_client *two = join("e", NULL);
    WAIT_FOR(record_has(&record, "+B"));
    CHECK_OK(sock_server_stop(server));
    CHECK(record_has(&record, "-A") && record_has(&record, "-B")); /* done when stop returns */
    CHECK_INT(record_drops(&record), 0); /* hooks stay for the next start */
    CHECK_OK(sock_server_start(server));
    sock_client *three = join("e", NULL);
    WAIT_FOR(record_has(&record, "+C"));
    sock_client_free(one);
    sock_client_free(two);
    sock_client_free(three);
    sock_server_free(server);
    CHECK_INT(record.drops, 3);
}

TEST(replacing_a_hook_drops_the_earlier_one)
{
    struct record one = RECORD, two = RECORD;
    sock_server *server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_OK(sock_server_on_client_connected(server, record_connected, &one, record_drop));
    CHECK_OK(sock_server_on_client_connected(server, record_connected, &two, record_drop));
    CHECK_INT(one.drops, 1);
    CHECK_OK(sock_server_start(server));
    sock_client *client = join("e", NULL);
    WAIT_FOR(record_has(&two, "+A"));
    CHECK(record_is(&one, ""));
    CHECK_OK(sock_server_stop(server));
    CHECK_OK(sock_server_on_client_connected(server, NULL, NULL, NULL));
    CHECK_INT(two.drops, 1);
    sock_client_free(client);
    sock_server_free(server);
    CHECK_INT(one.drops, 1);
    CHECK_INT(two.drops, 1);
}

TEST(a_context_without_a_hook_is_dropped_at_once)
{
    struct record record = RECORD;
    sock_server *server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_OK(sock_server_on_client_connected(server, NULL, &record, record_drop));
    CHECK_INT(record.drops, 1);
    CHECK_OK(sock_server_on_client_disconnected(server, NULL, &record, record_drop));
    CHECK_INT(record.drops, 2);
    CHECK_OK(sock_server_on_message_received(server, NULL, &record, record_drop));
    CHECK_INT(record.drops, 3);
    sock_server_free(server);
    CHECK_INT(record.drops, 3);
}

TEST(hooks_do_not_run_with_open)
{
    struct record record = RECORD;
    sock_server *server = new_server(DOTSOCK_UNIX, "e", NULL);
    record_hooks(server, &record);
    CHECK_OK(sock_server_open(server));
    sock_client *client = join("e", NULL);
    EXPECT_EVENT(server, DOTSOCK_CLIENT_CONNECTED);
    sock_client_free(client);
    EXPECT_EVENT(server, DOTSOCK_CLIENT_DISCONNECTED);
    sock_server_free(server);
    CHECK(record_is(&record, ""));
    CHECK_INT(record.drops, 3);
}

/* ---- what a hook may do: each of these is a message hook that obeys {"do": ...} ---- */

struct obedient {
    sock_server *server;
    struct record *record;
    int returned, drops;
};

static void obey(void *ctx, sock_server *server, const char *id, const sock_message *message)
{
    struct obedient *o = ctx;
    const char *what = "";
    CHECK_OK(sock_message_get_string(message, "/do", &what, NULL));
    if (strcmp(what, "echo") == 0) {
        CHECK_OK(sock_send(server, message, id));
        CHECK_OK(sock_send_json(server, DOTSOCK_DATA, "{\"to\":\"all\"}", NULL));
    } else if (strcmp(what, "disconnect") == 0) {
        CHECK_OK(sock_server_disconnect_client(server, id));
        CHECK_STATUS(sock_server_disconnect_client(server, id), DOTSOCK_E_NO_CLIENT); /* unknown from then on */
        CHECK_STATUS(sock_send(server, message, id), DOTSOCK_E_NO_CLIENT);
    } else if (strcmp(what, "stop") == 0) {
        CHECK_OK(sock_server_stop(server)); /* takes effect once the hook has returned */
        CHECK_OK(sock_server_stop(server));
    } else if (strcmp(what, "free") == 0) {
        sock_server_free(server); /* deferred until the hook has returned */
    } else if (strcmp(what, "look") == 0) {
        sock_client_list *list = sock_server_clients(server);
        CHECK_INT(sock_client_list_size(list), 1);
        CHECK_STR(sock_client_list_id(list, 0), id);
        sock_client_list_free(list);
        CHECK(sock_server_is_running(server));
        CHECK_STATUS(sock_server_start(server), DOTSOCK_E_STATE);
        CHECK_STATUS(sock_server_on_client_connected(server, NULL, NULL, NULL), DOTSOCK_E_STATE);
    }
    __atomic_add_fetch(&o->returned, 1, __ATOMIC_SEQ_CST);
}

static void obedient_drop(void *ctx)
{
    __atomic_add_fetch(&((struct obedient *)ctx)->drops, 1, __ATOMIC_SEQ_CST);
}

static sock_server *obedient_server(struct obedient *o)
{
    sock_server *server = new_server(DOTSOCK_UNIX, "e", NULL);
    if (o->record) {
        CHECK_OK(sock_server_on_client_connected(server, record_connected, o->record, NULL));
        CHECK_OK(sock_server_on_client_disconnected(server, record_disconnected, o->record, NULL));
    }
    CHECK_OK(sock_server_on_message_received(server, obey, o, obedient_drop));
    return started(server);
}

#define RETURNED(o) __atomic_load_n(&(o).returned, __ATOMIC_SEQ_CST)
#define DROPS(o) __atomic_load_n(&(o).drops, __ATOMIC_SEQ_CST)

TEST(send_from_a_hook)
{
    struct obedient o = {0};
    sock_server *server = obedient_server(&o);
    sock_client *client = join("e", NULL);
    CHECK_OK(sock_client_send_json(client, DOTSOCK_DATA, "{\"do\":\"echo\"}"));
    EXPECT(client, "{\"do\":\"echo\"}");
    EXPECT(client, "{\"to\":\"all\"}");
    CHECK_OK(sock_client_send_json(client, DOTSOCK_DATA, "{\"do\":\"look\"}"));
    WAIT_FOR(RETURNED(o) == 2);
    sock_client_free(client);
    sock_server_free(server);
    CHECK_INT(DROPS(o), 1);
}

TEST(disconnect_that_very_client_from_its_hook)
{
    struct record record = RECORD;
    struct obedient o = {.record = &record};
    sock_server *server = obedient_server(&o);
    int peer = peer_connect("e");
    struct bytes frames = {0}; /* in one piece, so that the second is there when the first is handed over */
    put_json_frame(&frames, "e", DOTSOCK_DATA, "{\"do\":\"disconnect\"}");
    put_json_frame(&frames, "e", DOTSOCK_DATA, "{\"do\":\"echo\"}");
    peer_send(peer, frames.at, frames.size);
    PEER_EXPECT_END(peer); /* without an echo */
    close(peer);
    WAIT_FOR(record_is(&record, "+A\n-A\n"));
    CHECK_INT(RETURNED(o), 1);
    wait_clients(server, 0);
    sock_server_free(server);
    free(frames.at);
}

TEST(stop_from_a_hook)
{
    struct record record = RECORD;
    struct obedient o = {.record = &record};
    sock_server *server = obedient_server(&o);
    sock_client *client = join("e", NULL);
    CHECK_OK(sock_client_send_json(client, DOTSOCK_DATA, "{\"do\":\"stop\"}"));
    WAIT_FOR(RETURNED(o) == 1);
    WAIT_FOR(!sock_server_is_running(server));
    WAIT_FOR(record_is(&record, "+A\n-A\n"));
    CHECK_OK(sock_server_stop(server)); /* waits for the end of that one */
    CHECK(access(check_path("sockets/e.lock"), F_OK) != 0);
    CHECK_OK(sock_server_start(server));
    sock_client_free(client);
    sock_server_free(server);
    CHECK_INT(DROPS(o), 1);
}

TEST(free_from_a_hook)
{
    struct record record = RECORD;
    struct obedient o = {.record = &record};
    obedient_server(&o);
    sock_client *client = join("e", NULL), *other = join("e", NULL);
    WAIT_FOR(record_has(&record, "+B"));
    CHECK_OK(sock_client_send_json(client, DOTSOCK_DATA, "{\"do\":\"free\"}"));
    WAIT_FOR(DROPS(o) == 1);
    CHECK_INT(RETURNED(o), 1);
    CHECK(record_has(&record, "-A") && record_has(&record, "-B")); /* the others' hooks still ran */
    WAIT_FOR(access(check_path("sockets/e.lock"), F_OK) != 0);
    WAIT_FOR(check_threads() == 1);
    sock_client_free(client);
    sock_client_free(other);
}

static void *run(void *server) { return (void *)(intptr_t)sock_server_run(server); }

TEST(free_from_a_hook_of_run)
{
    struct obedient o = {0};
    void *result = NULL;
    sock_server *server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_OK(sock_server_on_message_received(server, obey, &o, obedient_drop));
    pthread_t thread = check_thread(run, server);
    WAIT_FOR(sock_server_is_running(server));
    sock_client *client = join("e", NULL);
    CHECK_OK(sock_client_send_json(client, DOTSOCK_DATA, "{\"do\":\"free\"}"));
    CHECK(pthread_join(thread, &result) == 0);
    CHECK_INT((intptr_t)result, DOTSOCK_OK);
    WAIT_FOR(DROPS(o) == 1);
    sock_client_free(client);
}

static void free_when_it_leaves(void *ctx, sock_server *server, const char *id)
{
    (void)ctx, (void)id;
    sock_server_free(server);
}

TEST(free_from_a_disconnected_hook)
{
    struct obedient o = {0};
    sock_server *server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_OK(sock_server_on_client_disconnected(server, free_when_it_leaves, &o, obedient_drop));
    CHECK_OK(sock_server_start(server));
    sock_client_free(join("e", NULL));
    WAIT_FOR(DROPS(o) == 1);
    WAIT_FOR(check_threads() == 1); /* the server's own thread ends, too */
}

static void close_from_connected(void *ctx, sock_server *server, const char *id)
{
    (void)ctx;
    CHECK_OK(sock_send_json(server, DOTSOCK_DATA, "{\"go\":\"away\"}", id));
    CHECK_OK(sock_server_disconnect_client(server, id));
}

TEST(disconnect_from_the_connected_hook)
{
    struct record record = RECORD;
    sock_server *server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_OK(sock_server_on_client_connected(server, close_from_connected, NULL, NULL));
    CHECK_OK(sock_server_on_client_disconnected(server, record_disconnected, &record, NULL));
    CHECK_OK(sock_server_start(server));
    int peer = peer_connect("e");
    PEER_EXPECT(peer, "{\"go\":\"away\"}"); /* what was queued is delivered */
    PEER_EXPECT_END(peer);
    close(peer);
    WAIT_FOR(record_is(&record, "-A\n"));
    sock_server_free(server);
}

/* ---- a hook that takes its time ---- */

struct gate {
    pthread_mutex_t lock;
    pthread_cond_t opened;
    int inside, open, calls;
};

static void wait_at_gate(void *ctx, sock_server *server, const char *id, const sock_message *message)
{
    (void)server, (void)id, (void)message;
    struct gate *gate = ctx;
    pthread_mutex_lock(&gate->lock);
    gate->inside = 1;
    while (!gate->open)
        pthread_cond_wait(&gate->opened, &gate->lock);
    gate->calls++;
    pthread_mutex_unlock(&gate->lock);
}

static int inside(struct gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    int yes = gate->inside;
    pthread_mutex_unlock(&gate->lock);
    return yes;
}

static void open_gate(struct gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    gate->open = 1;
    pthread_cond_broadcast(&gate->opened);
    pthread_mutex_unlock(&gate->lock);
}

TEST(a_slow_hook_loses_nothing)
{
    struct gate gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .opened = PTHREAD_COND_INITIALIZER};
    sock_server *server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_OK(sock_server_on_message_received(server, wait_at_gate, &gate, NULL));
    CHECK_OK(sock_server_start(server));
    sock_client *client = join("e", NULL);
    for (int n = 0; n < 100; n++)
        CHECK_OK(sock_client_send_json(client, DOTSOCK_DATA, numbered(n)));
    WAIT_FOR(inside(&gate));
    SEND(server, 7); /* sending goes on meanwhile, and arrives */
    EXPECT_NUMBER(client, 7);
    CHECK_INT(stat_of(server, "clients"), 1); /* and so do questions */
    open_gate(&gate);
    WAIT_FOR(stat_of(server, "messages_received") == 100);
    sock_client_free(client);
    sock_server_free(server);
    CHECK_INT(gate.calls, 100);
}

static void *stop(void *server)
{
    CHECK_OK(sock_server_stop(server));
    return NULL;
}

TEST(stop_waits_for_a_running_hook)
{
    struct gate gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .opened = PTHREAD_COND_INITIALIZER};
    sock_server *server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_OK(sock_server_on_message_received(server, wait_at_gate, &gate, NULL));
    CHECK_OK(sock_server_start(server));
    sock_client *client = join("e", NULL);
    CHECK_OK(sock_client_send_json(client, DOTSOCK_DATA, "{}"));
    WAIT_FOR(inside(&gate));
    pthread_t thread = check_thread(stop, server);
    WAIT_FOR(!sock_server_is_running(server));
    CHECK_STATUS(sock_send_json(server, DOTSOCK_DATA, "{}", NULL), DOTSOCK_E_NOT_RUNNING);
    struct timespec soon;
    clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_nsec += 50000000;
    soon.tv_sec += soon.tv_nsec / 1000000000;
    soon.tv_nsec %= 1000000000;
    CHECK_INT(pthread_timedjoin_np(thread, NULL, &soon), ETIMEDOUT); /* it does not return before the hook */
    open_gate(&gate);
    check_join(thread);
    CHECK_INT(gate.calls, 1);
    sock_client_free(client);
    sock_server_free(server);
}

static void send_while_stopping(void *ctx, sock_server *server, const char *id)
{
    CHECK_INT(sock_server_is_running(server), 0);
    CHECK_STATUS(sock_send_json(server, DOTSOCK_DATA, "{}", NULL), DOTSOCK_E_NOT_RUNNING);
    CHECK_STATUS(sock_send_json(server, DOTSOCK_DATA, "{}", id), DOTSOCK_E_NOT_RUNNING);
    record_disconnected(ctx, server, id);
}

TEST(sends_in_the_disconnected_hooks_of_a_stop)
{
    struct record record = RECORD;
    sock_server *server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_OK(sock_server_on_client_disconnected(server, send_while_stopping, &record, NULL));
    CHECK_OK(sock_server_start(server));
    sock_client *client = join("e", NULL);
    wait_clients(server, 1);
    CHECK_OK(sock_server_stop(server));
    CHECK(record_is(&record, "-A\n"));
    sock_client_free(client);
    sock_server_free(server);
}
