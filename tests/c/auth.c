/* A token for TCP, as a program meets it: two processes, statuses, event loops, and a third party
 * that passes on, repeats and sends back what it has seen. */
#define CHECK_OWN_MAIN
#include "peer.h"
#include <spawn.h>

#define TOKEN "a token that nobody guesses"

extern char **environ;

static const char *port_of(const sock_server *server)
{
    static char text[16];
    snprintf(text, sizeof text, "%d", sock_server_port(server));
    return text;
}

#define token_server(...) new_server(DOTSOCK_TCP, "e", "token", TOKEN, "port", "0", __VA_ARGS__)

/* A file with the token, under the test's own directory. */
static const char *token_file(const char *contents, mode_t mode)
{
    const char *path = check_path("token");
    unlink(path);
    FILE *file = fopen(path, "w");
    CHECK(file && fputs(contents, file) >= 0 && fclose(file) == 0 && chmod(path, mode) == 0);
    return path;
}

/* ---- a server in a process of its own ---- */

/* Says 1 to the first client, and what it is told. */
static int serve(void)
{
    sock_server *server = started(new_server(DOTSOCK_TCP, "e", NULL)); /* DOTSOCK_TOKEN_FILE */
    SEND(server, 1);
    WAIT_FOR(stat_of(server, "messages_received") == 1);
    CHECK_INT(stat_of(server, "connections"), 1);
    sock_server_free(server);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--serve") == 0) {
        snprintf(check_dir, sizeof check_dir, "%s", getenv("DOTSOCK_SOCKET_DIR"));
        alarm(20 * (unsigned)check_slow());
        return serve();
    }
    return check_main(argc, argv);
}

TEST(two_processes_that_share_a_file)
{
    char *arguments[] = {"auth", "--serve", NULL}, program[512] = "";
    pid_t pid = 0;
    CHECK(readlink("/proc/self/exe", program, sizeof program - 1) > 0);
    CHECK(setenv("DOTSOCK_TOKEN_FILE", token_file(TOKEN "\n", 0600), 1) == 0);
    CHECK(posix_spawn(&pid, program, NULL, NULL, arguments, environ) == 0);
    WAIT_FOR(access(check_path("sockets/e.tcp"), F_OK) == 0);
    sock_client *stranger = new_client(DOTSOCK_TCP, "e", "token_file", "", "auto_reconnect", "false", NULL);
    sock_message *message = NULL;
    CHECK_OK(sock_client_connect(stranger));
    CHECK_STATUS(sock_client_recv(stranger, check_patience(), &message), DOTSOCK_E_PERMISSION);
    CHECK_CONTAINS(sock_last_error(), "set token or token_file");
    CHECK_STATUS(sock_client_recv(stranger, 0, &message), DOTSOCK_E_CLOSED);
    sock_client_free(stranger);
    sock_client *client = connected(new_client(DOTSOCK_TCP, "e", NULL));
    EXPECT_NUMBER(client, 1); /* the stranger has not got it */
    CHECK_OK(sock_client_send_json(client, DOTSOCK_DATA, "{}"));
    CHECK_INT(check_child(pid), 0);
    sock_client_free(client);
}

/* ---- statuses ---- */

TEST(another_token_is_a_permission_error_everywhere)
{
    sock_server *server = started(token_server(NULL));
    sock_client *client =
        new_client(DOTSOCK_TCP, "e", "token", "a bad guess", "reconnect_delay", "0.01", NULL);
    sock_message *message = NULL;
    CHECK_STATUS(sock_client_connect(client), DOTSOCK_E_PERMISSION);
    CHECK_CONTAINS(sock_last_error(), "token_file");
    CHECK(!strstr(sock_last_error(), "a bad guess"));
    CHECK_STATUS(sock_client_recv(client, check_patience(), &message), DOTSOCK_E_PERMISSION);
    CHECK_STATUS(sock_client_send_json(client, DOTSOCK_DATA, "{}"), DOTSOCK_E_PERMISSION);
    CHECK(!sock_client_is_connected(client));
    sock_client_free(client);
    CHECK_INT(stat_of(server, "connections"), 0);
    CHECK(stat_of(server, "rejected") >= 3);
    CHECK_INT(stat_of(server, "messages_received"), 0);
    sock_server_free(server);
}

TEST(the_event_is_part_of_what_is_proven)
{
    sock_server *server = started(token_server(NULL));
    sock_client *client = new_client(DOTSOCK_TCP, "other", "token", TOKEN, "port", port_of(server), NULL);
    CHECK_STATUS(sock_client_connect(client), DOTSOCK_E_PERMISSION);
    CHECK_CONTAINS(sock_last_error(), "name of the event");
    sock_client_free(client);
    sock_server_free(server);
}

TEST(a_server_without_a_token_is_refused)
{
    sock_server *server = started(new_server(DOTSOCK_TCP, "e", NULL));
    sock_client *client = new_client(DOTSOCK_TCP, "e", "token", TOKEN, "default_timeout", "0.2", NULL);
    CHECK_STATUS(sock_client_connect(client), DOTSOCK_E_PERMISSION);
    CHECK_CONTAINS(sock_last_error(), "did not ask");
    SEND(server, 1); /* now it has something to say */
    CHECK_STATUS(sock_client_connect(client), DOTSOCK_E_PERMISSION);
    sock_client_free(client);
    sock_server_free(server);
}

TEST(options)
{
    char value[DOTSOCK_OPTION_SIZE];
    sock_options *options = sock_options_new();
    CHECK_OK(sock_options_set(options, "token", TOKEN));
    CHECK_OK(sock_options_get(options, "token", value, sizeof value));
    CHECK_STR(value, "(set)"); /* not told */
    CHECK_STATUS(sock_options_set(options, "token", value), DOTSOCK_E_INVALID); /* nor replaced */
    const char *path = token_file("secret", 0644);
    CHECK_OK(sock_options_set(options, "token_file", path));
    CHECK_OK(sock_options_get(options, "token_file", value, sizeof value));
    CHECK_STR(value, path);
    sock_server *server = sock_server_new(DOTSOCK_TCP, "e", options);
    CHECK(server);
    CHECK_STATUS(sock_server_start(server), DOTSOCK_E_INVALID); /* both */
    CHECK(!strstr(sock_last_error(), TOKEN));
    sock_server_free(server);
    CHECK_OK(sock_options_set(options, "token", NULL));
    server = sock_server_new(DOTSOCK_TCP, "e", options);
    CHECK_STATUS(sock_server_start(server), DOTSOCK_E_PERMISSION); /* others may read it */
    CHECK_CONTAINS(sock_last_error(), "0644");
    CHECK_CONTAINS(sock_last_error(), "chmod 600");
    CHECK(chmod(path, 0600) == 0);
    CHECK_OK(sock_server_start(server));
    sock_server_free(server);
    CHECK(chmod(path, 0644) == 0);
    server = sock_server_new(DOTSOCK_UNIX, "e", options);
    CHECK_OK(sock_server_start(server)); /* has permissions of its own, and does not look */
    sock_server_free(server);
    sock_options_free(options);
}

/* ---- event loops and losses ---- */

TEST(both_sides_driven_by_descriptors)
{
    sock_server *server = token_server(NULL);
    sock_client *client = new_client(DOTSOCK_TCP, "e", "token", TOKEN, NULL);
    sock_message *message = NULL;
    CHECK_OK(sock_server_open(server));
    SEND(server, 1);
    CHECK_OK(sock_client_open(client));
    int64_t end = check_now() + check_patience();
    for (int status = DOTSOCK_E_TIMEOUT; status != DOTSOCK_OK;) {
        struct pollfd fds[] = {{.fd = sock_server_fd(server), .events = POLLIN},
                               {.fd = sock_client_fd(client), .events = POLLIN}};
        CHECK(check_now() < end && poll(fds, 2, check_patience()) > 0);
        if (fds[0].revents) {
            sock_event *event = NULL;
            if (sock_server_next(server, 0, &event) == DOTSOCK_OK)
                sock_event_free(event);
        }
        if (fds[1].revents)
            status = sock_client_recv(client, 0, &message);
        CHECK(status == DOTSOCK_OK || status == DOTSOCK_E_TIMEOUT);
    }
    CHECK_INT(number_of(message), 1);
    sock_message_free(message);
    CHECK(!readable(sock_client_fd(client)));
    CHECK(!readable(sock_server_fd(server)));
    sock_client_free(client);
    sock_server_free(server);
}

TEST(a_restart_is_a_new_handshake)
{
    sock_server *server = started(token_server(NULL));
    char port[16];
    snprintf(port, sizeof port, "%s", port_of(server));
    sock_client *client = connected(
        new_client(DOTSOCK_TCP, "e", "token", TOKEN, "port", port, "reconnect_delay", "0.01", NULL));
    for (int n = 1; n <= 3; n++) {
        sock_server_free(server);
        server = started(new_server(DOTSOCK_TCP, "e", "token", TOKEN, "port", port, NULL));
        SEND(server, n);
        EXPECT_NUMBER(client, n);
        CHECK_OK(sock_client_send_json(client, DOTSOCK_DATA, "{}"));
        WAIT_FOR(stat_of(server, "messages_received") == 1);
    }
    CHECK_INT(client_stat_of(client, "reconnects"), 3);
    sock_client_free(client);
    sock_server_free(server);
}

/* ---- a third party ---- */

/* One frame as it comes, length included. */
static struct bytes next_frame(int fd)
{
    unsigned char head[4];
    struct bytes frame = {0};
    CHECK_INT(peer_read(fd, head, 4), 4);
    size_t size = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
    CHECK(size < 512);
    char body[512];
    CHECK_INT(peer_read(fd, body, size), size);
    put(&frame, head, 4);
    put(&frame, body, size);
    return frame;
}

static void expect_denial(int fd)
{
    const char *code = NULL;
    sock_message *message = peer_next(fd);
    CHECK(message);
    CHECK_INT(sock_message_type(message), DOTSOCK_ERROR);
    CHECK_OK(sock_message_get_string(message, "/code", &code, NULL));
    CHECK_STR(code, "auth_denied");
    CHECK_OK(sock_message_get_string(message, "/message", &code, NULL));
    sock_message_free(message);
    PEER_EXPECT_END(fd);
    close(fd);
}

/* Against servers that are false: what it says is looked at with is_connected. */
static void *connect_in_thread(void *client)
{
    sock_client_connect(client);
    return NULL;
}

struct handshake {
    struct bytes question, answer, proof;
};

static void pass_on(int from, int to, struct bytes *seen)
{
    *seen = next_frame(from);
    peer_send(to, seen->at, seen->size);
}

/* A listener for false servers; its port is written to `port`. */
static int listen_tcp(char port[16])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(listener, (struct sockaddr *)&address, length) == 0 && listen(listener, 4) == 0);
    CHECK(getsockname(listener, (struct sockaddr *)&address, &length) == 0);
    snprintf(port, 16, "%d", ntohs(address.sin_port));
    return listener;
}

/* A handshake of a server and a client with somebody in between, who writes it all down. */
static struct handshake overhear(sock_server *server)
{
    struct handshake seen;
    char port[16];
    int listener = listen_tcp(port);
    sock_client *client = new_client(DOTSOCK_TCP, "e", "token", TOKEN, "port", port, NULL);
    pthread_t thread = check_thread(connect_in_thread, client);
    int near = peer_accept(listener), far = peer_connect_tcp(sock_server_port(server));
    pass_on(far, near, &seen.question);
    pass_on(near, far, &seen.answer);
    pass_on(far, near, &seen.proof);
    check_join(thread);
    CHECK(sock_client_is_connected(client));
    close(far);
    close(near);
    close(listener);
    sock_client_free(client);
    return seen;
}

static void check_denied(sock_server *server, const struct bytes *first, const struct bytes *second)
{
    uint64_t before = stat_of(server, "rejected");
    int fd = peer_connect_tcp(sock_server_port(server));
    struct bytes question = next_frame(fd), said = {0};
    put(&said, first->at, first->size);
    if (second)
        put(&said, second->at, second->size);
    peer_send(fd, said.at, said.size);
    expect_denial(fd);
    WAIT_FOR(stat_of(server, "rejected") == before + 1);
    free(question.at);
    free(said.at);
}

TEST(what_was_overheard_is_of_no_use)
{
    sock_server *server = started(token_server(NULL));
    struct handshake seen = overhear(server);
    WAIT_FOR(stat_of(server, "connections") == 1);
    struct bytes huge = {0}, message = {0};
    put_number(&huge, 600, 4);
    put_json_frame(&message, "e", DOTSOCK_DATA, "{}");
    check_denied(server, &seen.answer, NULL);
    check_denied(server, &seen.question, NULL);
    check_denied(server, &seen.proof, NULL);
    check_denied(server, &seen.proof, &seen.answer);
    check_denied(server, &message, &seen.answer);
    check_denied(server, &huge, NULL);
    CHECK_INT(stat_of(server, "connections"), 1);
    CHECK_INT(stat_of(server, "messages_received"), 0);

    /* Nor to a false server. */
    struct bytes *replies[] = {&seen.proof, &seen.answer, &seen.question, &message};
    for (int i = 0; i < 4; i++) {
        char port[16];
        int listener = listen_tcp(port);
        sock_client *client = new_client(DOTSOCK_TCP, "e", "token", TOKEN, "port", port, NULL);
        pthread_t thread = check_thread(connect_in_thread, client);
        int fd = peer_accept(listener);
        peer_send(fd, seen.question.at, seen.question.size); /* the same nonce as then */
        struct bytes answer = next_frame(fd);
        CHECK(answer.size == seen.answer.size && memcmp(answer.at, seen.answer.at, answer.size) != 0);
        peer_send(fd, replies[i]->at, replies[i]->size);
        PEER_EXPECT_END(fd);
        check_join(thread);
        CHECK(!sock_client_is_connected(client));
        free(answer.at);
        close(fd);
        close(listener);
        sock_client_free(client);
    }
    free(seen.question.at);
    free(seen.answer.at);
    free(seen.proof.at);
    free(huge.at);
    free(message.at);
    sock_server_free(server);
}

TEST(half_a_handshake_and_none)
{
    struct record record = RECORD;
    sock_server *server = token_server("default_timeout", "0.3", NULL);
    record_hooks(server, &record);
    CHECK_OK(sock_server_start(server));
    SEND(server, 1);
    int silent = peer_connect_tcp(sock_server_port(server)), half = peer_connect_tcp(sock_server_port(server));
    struct bytes question = next_frame(half);
    free(question.at);
    peer_send(half, "\0\0\1", 3);
    close(half);
    question = next_frame(silent);
    free(question.at);
    expect_denial(silent);
    WAIT_FOR(stat_of(server, "rejected") == 2);
    CHECK_INT(sock_server_queue_size(server), 1);
    CHECK(record_is(&record, ""));
    int late = peer_connect_tcp(sock_server_port(server));
    question = next_frame(late);
    free(question.at);
    CHECK_OK(sock_server_stop(server)); /* in the middle of a handshake */
    PEER_EXPECT_END(late);
    close(late);
    sock_server_free(server);
}
