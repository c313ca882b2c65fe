/* Out of descriptors: the server goes on, without burning CPU, and accepts again later. */
#include "peer.h"
#include <sys/resource.h>

/* Connects from another process, whose descriptors are its own: a byte in `go` for each connection;
 * each is closed when a message has come, and that is reported in `done`. */
static pid_t start_visitor(int go[2], int done)
{
    pid_t pid = fork();
    if (pid == 0) {
        char byte;
        close(go[1]);
        while (read(go[0], &byte, 1) == 1) {
            int peer = peer_connect("e");
            CHECK(write(done, "c", 1) == 1);
            PEER_EXPECT(peer, "{\"n\":2}");
            CHECK(write(done, "m", 1) == 1);
            close(peer);
        }
        exit(0);
    }
    return pid;
}

static void expect_byte(int fd, char expected)
{
    char byte = 0;
    peer_wait(fd);
    CHECK(read(fd, &byte, 1) == 1);
    CHECK_INT(byte, expected);
}

static void limit_descriptors(rlim_t count)
{
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = count;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

TEST(the_server_goes_on_and_accepts_again)
{
    if (getenv("CHECK_VALGRIND"))
        return; /* valgrind accepts by itself and closes what is over the limit */
    int go[2], done[2], taken[256], count = 0;
    CHECK(pipe(go) == 0 && pipe(done) == 0);
    pid_t visitor = start_visitor(go, done[1]);
    close(go[0]);
    close(done[1]);
    sock_server *server = start_server("e", NULL);
    sock_client *client = join("e", NULL);
    wait_clients(server, 1);
    SEND(server, 0);
    EXPECT_NUMBER(client, 0); /* it has all the descriptors that it needs */

    limit_descriptors(128);
    while (count < 256 && (taken[count] = dup(0)) >= 0)
        count++;
    CHECK(errno == EMFILE);
    CHECK(write(go[1], "x", 1) == 1);
    expect_byte(done[0], 'c'); /* the kernel has accepted it, the server cannot */

    double cpu = cpu_seconds(CLOCK_PROCESS_CPUTIME_ID);
    int64_t before = check_now();
    SEND(server, 1);
    EXPECT_NUMBER(client, 1); /* who is connected notices nothing */
    poll(NULL, 0, 500);       /* a while to burn CPU in */
    CHECK((cpu_seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu) * 1000 < 0.2 * (double)(check_now() - before) * check_slow());
    CHECK_INT(stat_of(server, "clients"), 1);

    while (count > 0)
        close(taken[--count]);
    wait_clients(server, 2);
    SEND(server, 2);
    EXPECT_NUMBER(client, 2);
    expect_byte(done[0], 'm');
    close(go[1]);
    CHECK_INT(check_child(visitor), 0);
    sock_client_free(client);
    sock_server_free(server);
}

TEST(starting_and_connecting_without_descriptors_are_errors)
{
    int taken[256], count = 0;
    sock_server *other = start_server("other", NULL);
    sock_server *server = new_server(DOTSOCK_UNIX, "e", NULL);
    sock_client *client = new_client(DOTSOCK_UNIX, "other", NULL);
    limit_descriptors(64);
    while (count < 256 && (taken[count] = dup(0)) >= 0)
        count++;
    CHECK_STATUS(sock_server_start(server), DOTSOCK_E_IO);
    CHECK_INT(sock_last_os_error(), EMFILE);
    CHECK_INT(sock_server_is_running(server), 0);
    CHECK_STATUS(sock_client_connect(client), DOTSOCK_E_IO);
    CHECK_INT(sock_last_os_error(), EMFILE);
    while (count > 0)
        close(taken[--count]);
    CHECK_OK(sock_server_start(server));
    CHECK_OK(sock_client_connect(client));
    sock_client_free(client);
    sock_server_free(server);
    sock_server_free(other);
}
