/* Forked children: handles made before the fork are of no use there, and do no harm. */
#include "peer.h"

#define FORKED DOTSOCK_E_FORKED

static int drops, hooks;
static void count_drop(void *ctx) { (void)ctx, drops++; }
static void count_hook(void *ctx, sock_server *server, const char *id) { (void)ctx, (void)server, (void)id, hooks++; }

/* Runs `body` in a child and waits for its good end. */
#define IN_CHILD(body)                                                                                       \
    do {                                                                                                     \
        pid_t pid_ = fork();                                                                                 \
        if (pid_ == 0) {                                                                                     \
            body;                                                                                            \
            check_leave_child();                                                                             \
        }                                                                                                    \
        CHECK_INT(check_child(pid_), 0);                                                                     \
    } while (0)

static sock_server *server;
static sock_client *client;

static void set_up(void)
{
    server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_OK(sock_server_on_client_disconnected(server, count_hook, NULL, count_drop));
    CHECK_OK(sock_server_start(server));
    client = join("e", "auto_reconnect", "false", NULL);
    wait_clients(server, 1);
}

static void still_works(int number)
{
    SEND(server, number);
    EXPECT_NUMBER(client, number);
    CHECK_OK(sock_client_send_json(client, DOTSOCK_DATA, numbered(number)));
    WAIT_FOR(stat_of(server, "messages_received") > 0);
    CHECK_INT(stat_of(server, "clients"), 1);
    CHECK(access(check_path("sockets/e.sock"), F_OK) == 0 && access(check_path("sockets/e.lock"), F_OK) == 0);
}

static void tear_down(void)
{
    sock_client_free(client);
    sock_server_free(server);
    CHECK_INT(drops, 1);
}

static void use_handles(void)
{
    sock_event *event = NULL;
    sock_message *message = NULL;
    uint64_t value = 77;
    CHECK_STATUS(sock_server_start(server), FORKED);
    CHECK_STATUS(sock_server_run(server), FORKED);
    CHECK_STATUS(sock_server_open(server), FORKED);
    CHECK_STATUS(sock_server_next(server, 0, &event), FORKED);
    CHECK_STATUS(sock_server_stop(server), FORKED);
    CHECK_STATUS(sock_send_json(server, DOTSOCK_DATA, "{}", NULL), FORKED);
    CHECK_STATUS(sock_server_cork(server), FORKED);
    CHECK_STATUS(sock_server_uncork(server), FORKED);
    CHECK_STATUS(sock_server_clear_queue(server), FORKED);
    CHECK_STATUS(sock_server_disconnect_client(server, "x"), FORKED);
    CHECK_STATUS(sock_server_stat(server, "clients", &value), FORKED);
    CHECK_STATUS(sock_server_on_client_connected(server, NULL, NULL, NULL), FORKED);
    CHECK_NULL(sock_server_clients(server), FORKED);
    CHECK_NULL(sock_server_client(server, "x"), FORKED);
    CHECK_INT(sock_server_cancel(server), FORKED);
    CHECK_STATUS(sock_client_open(client), FORKED);
    CHECK_STATUS(sock_client_connect(client), FORKED);
    CHECK_STATUS(sock_client_disconnect(client), FORKED);
    CHECK_STATUS(sock_client_recv(client, 0, &message), FORKED);
    CHECK_STATUS(sock_client_send_json(client, DOTSOCK_DATA, "{}"), FORKED);
    CHECK_STATUS(sock_client_cork(client), FORKED);
    CHECK_STATUS(sock_client_uncork(client), FORKED);
    CHECK_STATUS(sock_client_clear_buffer(client), FORKED);
    CHECK_STATUS(sock_client_stat(client, "reconnects", &value), FORKED);
    CHECK_INT(sock_client_cancel(client), FORKED);
    CHECK(!event && !message && value == 77);
}

static void ask_getters(void)
{
    CHECK_INT(sock_server_fd(server), -1);
    CHECK_INT(sock_server_is_running(server), 0);
    CHECK(!sock_server_event_name(server));
    CHECK(!sock_server_address(server));
    CHECK_INT(sock_server_port(server), 0);
    CHECK_INT(sock_server_queue_size(server), 0);
    CHECK_INT(sock_client_fd(client), -1);
    CHECK_INT(sock_client_is_connected(client), 0);
    CHECK_INT(sock_client_buffer_size(client), 0);
    CHECK(!sock_client_event_name(client));
    CHECK(!sock_client_address(client));
    CHECK_INT(sock_client_server_uid(client), -1);
    CHECK_INT(sock_client_server_pid(client), -1);
}

TEST(handles_say_that_they_are_forked)
{
    set_up();
    IN_CHILD(use_handles());
    IN_CHILD(ask_getters());
    still_works(1);
    tear_down();
}

static void free_handles(void)
{
    sock_client_free(client);
    sock_server_free(server);
    CHECK_INT(drops, 1);
    CHECK_INT(hooks, 0);
}

TEST(freeing_in_the_child_runs_the_drops_and_touches_nothing)
{
    set_up();
    IN_CHILD(free_handles());
    still_works(1);
    IN_CHILD((use_handles(), free_handles()));
    still_works(2);
    tear_down();
}

TEST(freeing_an_opened_server_in_the_child)
{
    sock_event *event = NULL;
    server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_OK(sock_server_on_client_disconnected(server, count_hook, NULL, count_drop));
    CHECK_OK(sock_server_open(server));
    client = join("e", NULL);
    EXPECT_EVENT(server, DOTSOCK_CLIENT_CONNECTED);
    IN_CHILD(free_handles());
    CHECK_STATUS(sock_server_next(server, 20, &event), DOTSOCK_E_TIMEOUT); /* nobody has left */
    SEND(server, 1);
    EXPECT_NUMBER(client, 1);
    CHECK_OK(sock_client_send_json(client, DOTSOCK_DATA, "{}"));
    EXPECT_EVENT(server, DOTSOCK_MESSAGE_RECEIVED); /* and its descriptor still works */
    tear_down();
}

static void use_plain_objects(sock_message *message, sock_options *options, sock_client_list *list,
                              sock_payload *payload)
{
    char value[DOTSOCK_OPTION_SIZE];
    CHECK_JSON(sock_message_data_json(message), "{\"n\":7}");
    CHECK_OK(sock_options_set(options, "linger", "3"));
    CHECK_OK(sock_options_get(options, "linger", value, sizeof value));
    CHECK_INT(sock_client_list_size(list), 1);
    CHECK_OK(sock_payload_set_int(payload, "/n", 8));
    sock_message *other = sock_message_from_payload("e", DOTSOCK_DATA, payload);
    CHECK_INT(number_of(other), 8);
    sock_message_free(other);
}

TEST(messages_options_and_lists_go_on_working)
{
    set_up();
    sock_message *message = sock_message_from_json("e", DOTSOCK_DATA, numbered(7));
    sock_options *options = sock_options_new();
    sock_client_list *list = sock_server_clients(server);
    sock_payload *payload = sock_payload_new();
    IN_CHILD(use_plain_objects(message, options, list, payload));
    sock_message_free(message);
    sock_options_free(options);
    sock_client_list_free(list);
    sock_payload_free(payload);
    tear_down();
}

static void work_with_new_handles(void)
{
    sock_server *own = start_server("child", NULL);
    sock_client *guest = join("child", NULL);
    wait_clients(own, 1);
    SEND(own, 5);
    EXPECT_NUMBER(guest, 5);
    sock_client_free(guest);
    sock_server_free(own);
    sock_client *visitor = join("e", NULL); /* the parent's server is a server like any other */
    CHECK_INT(sock_client_server_pid(visitor), getppid());
    CHECK_OK(sock_client_disconnect(visitor));
    sock_client_free(visitor);
    CHECK_STATUS(sock_server_start(server), FORKED);
    free_handles();
}

TEST(new_handles_work_in_the_child)
{
    set_up();
    IN_CHILD(work_with_new_handles());
    wait_clients(server, 1);
    still_works(1);
    tear_down();
}

TEST(a_child_that_just_exits)
{
    set_up();
    pid_t pid = fork();
    if (pid == 0)
        exit(0); /* nothing of the library's runs then */
    check_child(pid); /* its status is not looked at: valgrind counts what the parent's threads left as leaks */
    still_works(1);
    tear_down();
}
