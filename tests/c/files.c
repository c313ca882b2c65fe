/* The files of servers: modes, what is in the way, what is ours to remove. */
#include "peer.h"
#include <sys/file.h>

#define SOCKET check_path("sockets/e.sock")
#define LOCK check_path("sockets/e.lock")
#define PUBLISHED check_path("sockets/e.tcp")

static int exists(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0;
}

static mode_t mode_of(const char *path)
{
    struct stat info;
    CHECK(lstat(path, &info) == 0);
    return info.st_mode & 07777;
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    CHECK(file);
    fputs(text, file);
    fclose(file);
}

TEST(modes_whatever_the_umask)
{
    static const mode_t masks[] = {0, 022, 0777};
    for (int i = 0; i < 3; i++) {
        umask(masks[i]);
        sock_server *server = start_server("e", "socket_dir", check_path("a/b/c"), NULL);
        CHECK_INT(mode_of(check_path("a/b/c/e.sock")), 0600);
        CHECK_INT(mode_of(check_path("a/b/c")), 0700);
        CHECK_INT(mode_of(check_path("a")), 0700); /* its parents too */
        sock_server_free(server);
        server = start_server("e", "socket_permissions", "0666", NULL);
        CHECK_INT(mode_of(SOCKET), 0666);
        sock_server_free(server);
        server = started(new_server(DOTSOCK_TCP, "e", "socket_permissions", "0644", NULL));
        CHECK_INT(mode_of(PUBLISHED), 0644);
        sock_server_free(server);
        umask(022);
        CHECK(rmdir(check_path("a/b/c")) == 0 && rmdir(check_path("a/b")) == 0 && rmdir(check_path("a")) == 0);
        rmdir(check_path("sockets"));
    }
}

TEST(a_stale_socket_is_replaced)
{
    close(peer_listen("e")); /* the file stays, nobody listens */
    CHECK(exists(SOCKET));
    sock_server *server = start_server("e", NULL);
    sock_client *client = join("e", NULL);
    sock_client_free(client);
    sock_server_free(server);
    CHECK(!exists(SOCKET) && !exists(LOCK));
}

TEST(a_server_of_another_make_is_alive)
{
    int listener = peer_listen("e");
    sock_server *server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_STATUS(sock_server_start(server), DOTSOCK_E_IN_USE);
    CHECK(exists(SOCKET));
    int visit = peer_accept(listener); /* it connects to it, once */
    CHECK(!readable(listener));
    close(visit);
    CHECK(listen(listener, 0) == 0);
    struct sockaddr_un address = peer_address("e");
    for (;;) { /* alive also when its queue is full */
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0 && errno == EAGAIN)
            break;
    }
    CHECK_STATUS(sock_server_start(server), DOTSOCK_E_IN_USE);
    close(listener);
    CHECK_OK(sock_server_start(server));
    sock_server_free(server);
}

static void check_in_the_way(void)
{
    sock_server *server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK_STATUS(sock_server_start(server), DOTSOCK_E_IO);
    CHECK_CONTAINS(sock_last_error(), SOCKET);
    CHECK(exists(SOCKET));
    sock_server_free(server);
    CHECK(exists(SOCKET));
}

TEST(a_thing_in_the_way_that_is_no_socket)
{
    mkdir(check_path("sockets"), 0700);
    write_file(SOCKET, "precious");
    check_in_the_way();
    unlink(SOCKET);
    CHECK(mkdir(SOCKET, 0700) == 0);
    check_in_the_way();
    rmdir(SOCKET);
    write_file(check_path("target"), "precious");
    CHECK(symlink(check_path("target"), SOCKET) == 0); /* links are not followed */
    check_in_the_way();
    CHECK(exists(check_path("target")));
}

TEST(the_lock_says_who_is_live)
{
    sock_server *server = start_server("e", NULL);
    int lock = open(LOCK, O_RDONLY | O_CLOEXEC);
    CHECK(lock >= 0);
    CHECK(flock(lock, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK);
    CHECK_OK(sock_server_stop(server));
    CHECK(!exists(LOCK));
    close(lock);

    write_file(LOCK, ""); /* left over: nobody holds it */
    CHECK_OK(sock_server_start(server));
    CHECK_OK(sock_server_stop(server));
    CHECK(!exists(LOCK));

    write_file(LOCK, "");
    lock = open(LOCK, O_RDONLY | O_CLOEXEC);
    CHECK(flock(lock, LOCK_EX | LOCK_NB) == 0);
    CHECK_STATUS(sock_server_start(server), DOTSOCK_E_IN_USE);
    CHECK(exists(LOCK)); /* somebody else's */
    close(lock);
    CHECK_OK(sock_server_start(server));
    sock_server_free(server);
}

TEST(a_link_in_place_of_the_lock)
{
    mkdir(check_path("sockets"), 0700);
    write_file(check_path("target"), "precious");
    CHECK(symlink(check_path("target"), LOCK) == 0);
    sock_server *server = new_server(DOTSOCK_UNIX, "e", NULL);
    CHECK(sock_server_start(server) != DOTSOCK_OK); /* links are not followed */
    sock_server_free(server);
    CHECK(exists(LOCK) && exists(check_path("target")));
}

TEST(the_socket_may_stay)
{
    sock_server *server = start_server("e", "auto_remove_socket", "false", NULL);
    CHECK_OK(sock_server_stop(server));
    CHECK(exists(SOCKET));
    CHECK(!exists(LOCK)); /* the socket file alone stays */
    CHECK_OK(sock_server_start(server));
    sock_client_free(join("e", NULL));
    sock_server_free(server);
    CHECK(exists(SOCKET));
}

TEST(only_our_own_files_are_removed)
{
    sock_server *server = start_server("e", NULL);
    int other = peer_listen("e"); /* takes the name away from it */
    CHECK(unlink(LOCK) == 0);
    write_file(LOCK, "somebody else's");
    CHECK_OK(sock_server_stop(server));
    CHECK(exists(SOCKET) && exists(LOCK));
    close(other);
    sock_server_free(server);
}

/* ---- the directory ---- */

static void check_refused(const char *directory)
{
    sock_server *server = new_server(DOTSOCK_UNIX, "e", "socket_dir", directory, NULL);
    CHECK_STATUS(sock_server_start(server), DOTSOCK_E_PERMISSION);
    CHECK_CONTAINS(sock_last_error(), directory);
    sock_server_free(server);
    sock_client *client = new_client(DOTSOCK_TCP, "e", "socket_dir", directory, NULL);
    CHECK_STATUS(sock_client_connect(client), DOTSOCK_E_PERMISSION); /* no port is looked up there */
    sock_client_free(client);
    server = started(new_server(DOTSOCK_TCP, "e", "socket_dir", directory, NULL)); /* runs, and does not publish */
    char path[600];
    snprintf(path, sizeof path, "%s/e.tcp", directory);
    CHECK(!exists(path));
    sock_server_free(server);
}

TEST(a_directory_that_others_may_write)
{
    const char *directory = check_path("shared");
    CHECK(mkdir(directory, 0700) == 0 && chmod(directory, 0777) == 0);
    check_refused(directory);
    CHECK_INT(mode_of(directory), 0777); /* nothing is "repaired" */
    sock_server *server = new_server(DOTSOCK_UNIX, "e", "socket_dir", directory, NULL);
    CHECK_STATUS(sock_server_start(server), DOTSOCK_E_PERMISSION);
    CHECK_CONTAINS(sock_last_error(), "777");
    CHECK(chmod(directory, 01777) == 0); /* as /tmp is */
    CHECK_OK(sock_server_start(server));
    sock_server_free(server);
}

TEST(a_directory_that_is_a_link)
{
    CHECK(mkdir(check_path("real"), 0700) == 0);
    CHECK(symlink(check_path("real"), check_path("link")) == 0);
    check_refused(check_path("link"));
}

TEST(a_directory_of_another_user)
{
    if (getuid() != 0)
        return; /* only root can give a directory away */
    CHECK(mkdir(check_path("theirs"), 0700) == 0 && chown(check_path("theirs"), 12345, 12345) == 0);
    check_refused(check_path("theirs"));
}

/* What the second user of a machine reads when root made socket_dir: whose it is, and what to set. */
static void check_names_owner_and_remedy(int status, const char *whose)
{
    CHECK_STATUS(status, DOTSOCK_E_PERMISSION);
    CHECK_CONTAINS(sock_last_error(), whose);
    CHECK_CONTAINS(sock_last_error(), "runs as uid 12345");
}

TEST(what_belongs_to_root_is_named_as_such)
{
    if (getuid() != 0)
        return; /* only root can become somebody else */
    const char *directory = check_path("roots"), *open = check_path("open");
    sock_server *roots = started(new_server(DOTSOCK_UNIX, "e", "socket_dir", directory, NULL));
    sock_server *other = started(new_server(DOTSOCK_UNIX, "e", "socket_dir", open, NULL));
    CHECK(chmod(check_path("."), 0711) == 0 && chmod(open, 0711) == 0 && setresuid(12345, 12345, 12345) == 0);
    sock_server *server = new_server(DOTSOCK_UNIX, "e", "socket_dir", directory, NULL);
    sock_client *client = new_client(DOTSOCK_UNIX, "e", "socket_dir", directory, NULL);
    check_names_owner_and_remedy(sock_server_start(server), "belongs to uid 0 and has mode 0700");
    CHECK_CONTAINS(sock_last_error(), "DOTSOCK_SOCKET_DIR");
    check_names_owner_and_remedy(sock_client_connect(client), "belongs to uid 0 and has mode 0700");
    CHECK_CONTAINS(sock_last_error(), "DOTSOCK_SOCKET_DIR");
    sock_client_free(client);
    client = new_client(DOTSOCK_UNIX, "e", "socket_dir", open, NULL);
    check_names_owner_and_remedy(sock_client_connect(client), "it belongs to uid 0 and has mode 0600");
    CHECK_CONTAINS(sock_last_error(), "socket_permissions");
    sock_client_free(client);
    sock_server_free(other);
    sock_server_free(server);
    sock_server_free(roots);
}

TEST(a_directory_that_cannot_be_made)
{
    write_file(check_path("file"), "");
    sock_server *server = new_server(DOTSOCK_UNIX, "e", "socket_dir", check_path("file/sub"), NULL);
    CHECK_STATUS(sock_server_start(server), DOTSOCK_E_IO);
    CHECK(sock_last_os_error() != 0);
    CHECK_CONTAINS(sock_last_error(), check_path("file"));
    sock_server_free(server);
}

TEST(a_server_that_runs_as_another_user)
{
    if (getuid() != 0)
        return; /* only root can become somebody else */
    int ready[2];
    CHECK(pipe(ready) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct sockaddr_un address = peer_address("e");
        mkdir(check_path("sockets"), 0700);
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        CHECK(bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && setresuid(12345, 12345, 0) == 0);
        CHECK(listen(fd, 8) == 0); /* the peer's uid is the one at this moment */
        CHECK(write(ready[1], "x", 1) == 1);
        pause();
    }
    peer_wait(ready[0]);
    sock_client *client = new_client(DOTSOCK_UNIX, "e", NULL);
    CHECK_STATUS(sock_client_connect(client), DOTSOCK_E_PERMISSION);
    CHECK_CONTAINS(sock_last_error(), "12345");
    CHECK_INT(sock_client_is_connected(client), 0);
    sock_client_free(client);
    client = join("e", "allow_foreign_server", "true", NULL);
    CHECK_INT(sock_client_server_uid(client), 12345);
    CHECK_INT(sock_client_server_pid(client), pid);
    sock_client_free(client);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* ---- the discovery file ---- */

TEST(what_a_tcp_server_publishes)
{
    char line[64] = "", expected[64];
    sock_server *server = started(new_server(DOTSOCK_TCP, "e", NULL));
    FILE *file = fopen(PUBLISHED, "r");
    CHECK(file);
    CHECK(fgets(line, sizeof line, file) && fgetc(file) == EOF); /* one line */
    fclose(file);
    snprintf(expected, sizeof expected, "%s\n", sock_server_address(server));
    CHECK_STR(line, expected);
    CHECK_INT(mode_of(PUBLISHED), 0600);
    int fd = open(PUBLISHED, O_RDONLY | O_CLOEXEC);
    CHECK(flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK); /* held while it runs */
    close(fd);
    CHECK_OK(sock_server_stop(server));
    CHECK(!exists(PUBLISHED));
    sock_server_free(server);
}

static int connect_by_name(void)
{
    sock_client *client = new_client(DOTSOCK_TCP, "e", "default_timeout", "1", NULL);
    int status = sock_client_connect(client);
    sock_client_free(client);
    return status;
}

TEST(a_file_that_nobody_holds_is_stale)
{
    CHECK_INT(connect_by_name(), DOTSOCK_E_CLOSED); /* missing */
    mkdir(check_path("sockets"), 0700);
    write_file(PUBLISHED, "127.0.0.1:1\n");
    CHECK_INT(connect_by_name(), DOTSOCK_E_CLOSED); /* counts as missing */
    sock_server *server = started(new_server(DOTSOCK_TCP, "e", NULL)); /* and is replaced */
    CHECK_INT(connect_by_name(), DOTSOCK_OK);
    sock_server_free(server);
    CHECK(!exists(PUBLISHED));
}

TEST(a_file_that_another_holds_is_left_alone)
{
    char line[64] = "";
    sock_server *one = started(new_server(DOTSOCK_TCP, "e", NULL));
    sock_server *two = started(new_server(DOTSOCK_TCP, "e", NULL)); /* reachable by port alone */
    CHECK(sock_server_port(one) != sock_server_port(two));
    sock_server_free(two);
    FILE *file = fopen(PUBLISHED, "r");
    CHECK(file && fgets(line, sizeof line, file));
    fclose(file);
    CHECK(strncmp(line, sock_server_address(one), strlen(sock_server_address(one))) == 0);
    sock_server_free(one);
    CHECK(!exists(PUBLISHED));
}

TEST(nonsense_and_links_are_not_believed)
{
    mkdir(check_path("sockets"), 0700);
    static const char *const nonsense[] = {"", "hello\n", "127.0.0.1\n", "127.0.0.1:99999\n", "localhost:9000\n"};
    for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense; i++) {
        write_file(PUBLISHED, nonsense[i]);
        int fd = open(PUBLISHED, O_RDONLY | O_CLOEXEC);
        CHECK(flock(fd, LOCK_EX | LOCK_NB) == 0);
        CHECK_INT(connect_by_name(), DOTSOCK_E_IO);
        close(fd);
    }
    CHECK(rename(PUBLISHED, check_path("target")) == 0 && symlink(check_path("target"), PUBLISHED) == 0);
    CHECK_INT(connect_by_name(), DOTSOCK_E_PERMISSION);
    CHECK(unlink(PUBLISHED) == 0 && mkdir(PUBLISHED, 0700) == 0);
    CHECK_INT(connect_by_name(), DOTSOCK_E_PERMISSION); /* not a regular file */
    rmdir(PUBLISHED);
    if (getuid() == 0) {
        write_file(PUBLISHED, "127.0.0.1:9000\n");
        CHECK(chown(PUBLISHED, 12345, 12345) == 0);
        CHECK_INT(connect_by_name(), DOTSOCK_E_PERMISSION);
    }
}

TEST(it_is_read_anew_for_every_attempt)
{
    sock_server *server = started(new_server(DOTSOCK_TCP, "e", "port", "0", NULL)); /* another port each time */
    sock_client *client = connected(new_client(DOTSOCK_TCP, "e", "reconnect_delay", "0.01", NULL));
    for (int n = 0; n < 3; n++) {
        wait_clients(server, 1);
        sock_server_free(server);
        EXPECT_NOTHING(client);
        server = started(new_server(DOTSOCK_TCP, "e", "port", "0", NULL));
        SEND(server, n);
        EXPECT_NUMBER(client, n);
    }
    sock_client_free(client);
    sock_server_free(server);
}
