/* Servers and clients in programs of their own, and what happens when one is killed. */
#define CHECK_OWN_MAIN
#include "peer.h"
#include <spawn.h>

extern char **environ;

/* This very program again, in the role of a server or a client. */
static pid_t start_role(const char *role, const char *argument)
{
    char *arguments[] = {"two_processes", "--role", (char *)role, (char *)argument, NULL};
    char program[512] = "";
    CHECK(readlink("/proc/self/exe", program, sizeof program - 1) > 0);
    pid_t pid = 0;
    int failed = posix_spawn(&pid, program, NULL, NULL, arguments, environ);
    if (failed)
        FAIL("posix_spawn: %s", strerror(failed));
    return pid;
}

/* Greets every client with its number, answers messages, stops when told to. */
static int serve(int number)
{
    sock_server *server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_OK(sock_server_open(server));
    for (;;) {
        sock_event *event = next_event(server);
        const char *id = sock_event_client_id(event), *what = "";
        const sock_message *message = sock_event_message(event);
        if (sock_event_kind(event) == DOTSOCK_CLIENT_CONNECTED)
            CHECK_OK(sock_send_json(server, DOTSOCK_DATA, numbered(number), id));
        if (message && sock_message_get_string(message, "/do", &what, NULL) == DOTSOCK_OK && !strcmp(what, "stop")) {
            sock_event_free(event);
            break;
        }
        if (message)
            CHECK_OK(sock_send(server, message, id));
        sock_event_free(event);
    }
    sock_server_free(server);
    return 0;
}

/* Says hello and waits to be killed. */
static int visit(void)
{
    sock_client *client = join("e", NULL);
    CHECK_OK(sock_client_send_json(client, DOTSOCK_DATA, "{\"hello\":true}"));
    for (;;)
        sock_message_free(take(client));
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "--role") == 0) {
        snprintf(check_dir, sizeof check_dir, "%s", getenv("DOTSOCK_SOCKET_DIR"));
        alarm(20 * (unsigned)check_slow());
        return strcmp(argv[2], "serve") == 0 ? serve(atoi(argv[3])) : visit();
    }
    return check_main(argc, argv);
}

static void kill_hard(pid_t pid)
{
    int status = 0;
    CHECK(kill(pid, SIGKILL) == 0);
    CHECK(waitpid(pid, &status, 0) == pid);
}

TEST(a_server_in_a_program_of_its_own)
{
    sock_client *client = new_client(DOTSOCK_UNIX, "e", "reconnect_delay", "0.01", NULL);
    CHECK_OK(sock_client_open(client)); /* it comes before its server */
    pid_t pid = start_role("serve", "1");
    EXPECT_NUMBER(client, 1);
    CHECK_INT(sock_client_server_pid(client), pid);
    CHECK_INT(sock_client_server_uid(client), getuid());
    CHECK_OK(sock_client_send_json(client, DOTSOCK_DATA, "{\"echo\":[1,2,3]}"));
    EXPECT(client, "{\"echo\":[1,2,3]}");
    CHECK_OK(sock_client_send_json(client, DOTSOCK_DATA, "{\"do\":\"stop\"}"));
    CHECK_INT(check_child(pid), 0);
    CHECK(access(check_path("sockets/e.sock"), F_OK) != 0);
    sock_client_free(client);
}

TEST(a_client_survives_servers_that_are_killed)
{
    char number[16];
    sock_client *client = new_client(DOTSOCK_UNIX, "e", "reconnect_delay", "0.01", NULL);
    CHECK_OK(sock_client_open(client));
    for (int n = 1; n <= 3; n++) {
        snprintf(number, sizeof number, "%d", n);
        pid_t pid = start_role("serve", number); /* takes over the files that the killed one left */
        EXPECT_NUMBER(client, n);
        CHECK_INT(sock_client_server_pid(client), pid);
        kill_hard(pid);
        CHECK(access(check_path("sockets/e.sock"), F_OK) == 0);
    }
    CHECK_INT(client_stat_of(client, "reconnects"), 2);
    sock_client_free(client);
    sock_server *server = start_server("e", NULL);
    sock_server_free(server);
}

TEST(a_client_that_is_killed_has_left)
{
    struct record record = RECORD;
    sock_server *server = new_server(DOTSOCK_UNIX, "e", NULL);
    record_hooks(server, &record);
    CHECK_OK(sock_server_start(server));
    pid_t pid = start_role("visit", "-");
    WAIT_FOR(record_has(&record, "A {\"hello\":true}"));
    sock_client_list *list = sock_server_clients(server);
    CHECK_INT(sock_client_list_pid(list, 0), pid);
    CHECK_INT(sock_client_list_uid(list, 0), getuid());
    sock_client_list_free(list);
    kill_hard(pid);
    WAIT_FOR(record_is(&record, "+A\nA {\"hello\":true}\n-A\n"));
    sock_server_free(server);
}

TEST(a_live_server_in_another_program_is_in_use)
{
    sock_client *client = new_client(DOTSOCK_UNIX, "e", "reconnect_delay", "0.01", NULL);
    CHECK_OK(sock_client_open(client));
    pid_t pid = start_role("serve", "1");
    EXPECT_NUMBER(client, 1);
    sock_server *server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_STATUS(sock_server_start(server), DOTSOCK_E_IN_USE);
    kill_hard(pid);
    CHECK_OK(sock_server_start(server));
    sock_client_free(client);
    sock_server_free(server);
}
