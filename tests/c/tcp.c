/* TCP: ports, addresses, discovery by name. The discovery file itself is in files.c. */
#include "peer.h"

static const char *port_text(const sock_server *server)
{
    static char text[4][16];
    static int next;
    char *port = text[next++ % 4];
    snprintf(port, sizeof text[0], "%d", sock_server_port(server));
    return port;
}

static void check_conversation(sock_server *server, sock_client *client)
{
    wait_clients(server, 1);
    SEND(server, 1);
    EXPECT_NUMBER(client, 1);
    CHECK_OK(sock_client_send_json(client, DOTSOCK_DATA, "{}"));
    WAIT_FOR(stat_of(server, "messages_received") == 1);
}

TEST(found_by_name)
{
    char address[64];
    sock_server *server = new_server(DOTSOCK_TCP, "e", NULL);
    CHECK_STR(sock_server_address(server), "");
    CHECK_INT(sock_server_port(server), 0);
    CHECK_OK(sock_server_start(server));
    CHECK(sock_server_port(server) >= 9000 && sock_server_port(server) <= 9100);
    snprintf(address, sizeof address, "127.0.0.1:%d", sock_server_port(server));
    CHECK_STR(sock_server_address(server), address);
    sock_client *client = connected(new_client(DOTSOCK_TCP, "e", NULL));
    CHECK_STR(sock_client_address(client), address);
    CHECK_INT(sock_client_server_uid(client), -1);
    CHECK_INT(sock_client_server_pid(client), -1);
    check_conversation(server, client);
    sock_client_list *list = sock_server_clients(server);
    CHECK(strncmp(sock_client_list_address(list, 0), "127.0.0.1:", 10) == 0);
    CHECK_INT(sock_client_list_uid(list, 0), -1);
    CHECK_INT(sock_client_list_pid(list, 0), -1);
    sock_client_list_free(list);
    const char *before = sock_server_address(server);
    CHECK_OK(sock_server_stop(server));
    CHECK_STR(sock_server_address(server), "");
    CHECK_INT(sock_server_port(server), 0);
    CHECK_STR(before, address); /* valid until the handle is freed */
    sock_client_free(client);
    sock_server_free(server);
}

TEST(found_by_port)
{
    sock_server *server = started(new_server(DOTSOCK_TCP, "e", "port", "0", NULL)); /* the system's choice */
    CHECK(sock_server_port(server) > 0);
    unlink(check_path("sockets/e.tcp"));
    sock_client *client = connected(
        new_client(DOTSOCK_TCP, "whatever", "host", "127.0.0.1", "port", port_text(server), NULL));
    check_conversation(server, client);
    sock_client_free(client);
    sock_server_free(server);
}

TEST(for_a_client_port_zero_is_as_if_unset)
{
    sock_server *server = started(new_server(DOTSOCK_TCP, "e", NULL));
    sock_client *client = connected(new_client(DOTSOCK_TCP, "e", "port", "0", "host", "no-such-host.invalid", NULL));
    check_conversation(server, client); /* without a port it does not look at the host either */
    sock_client_free(client);
    sock_server_free(server);
}

TEST(one_fixed_port)
{
    sock_server *server = started(new_server(DOTSOCK_TCP, "e", "port", "0", NULL));
    const char *port = port_text(server);
    sock_server *other = new_server(DOTSOCK_TCP, "other", "port", port, NULL);
    CHECK_STATUS(sock_server_start(other), DOTSOCK_E_IN_USE);
    CHECK_CONTAINS(sock_last_error(), port);
    sock_server_free(server);
    CHECK_OK(sock_server_start(other)); /* at once, whatever connections were there */
    CHECK_STR(port_text(other), port);
    sock_client *client = connected(new_client(DOTSOCK_TCP, "other", NULL)); /* it is published, too */
    check_conversation(other, client);
    CHECK_OK(sock_server_stop(other));
    CHECK_OK(sock_server_start(other));
    sock_client_free(client);
    sock_server_free(other);
}

TEST(no_port_in_the_range_is_free)
{
    sock_server *server = started(new_server(DOTSOCK_TCP, "e", "port", "0", NULL));
    const char *port = port_text(server);
    sock_server *other = new_server(DOTSOCK_TCP, "other", "port_range_end", "65535", "port_range_start", port,
                                    "port_range_end", port, NULL);
    CHECK_STATUS(sock_server_start(other), DOTSOCK_E_IN_USE);
    CHECK_CONTAINS(sock_last_error(), port);
    CHECK(!sock_server_is_running(other));
    sock_server_free(server);
    CHECK_OK(sock_server_start(other));
    CHECK_STR(port_text(other), port);
    sock_server_free(other);
}

TEST(a_name_is_looked_up)
{
    sock_server *server = started(new_server(DOTSOCK_TCP, "e", "host", "localhost", NULL));
    sock_client *client = connected(new_client(DOTSOCK_TCP, "e", "host", "localhost", "port", port_text(server), NULL));
    CHECK(!strstr(sock_client_address(client), "localhost")); /* addresses are numeric */
    CHECK(!strstr(sock_server_address(server), "localhost"));
    check_conversation(server, client);
    sock_client_free(client);
    sock_server_free(server);
}

TEST(a_lookup_that_fails)
{
    sock_message *message = NULL;
    sock_server *server = new_server(DOTSOCK_TCP, "e", "host", "no-such-host.invalid", NULL);
    CHECK_STATUS(sock_server_start(server), DOTSOCK_E_IO);
    CHECK_CONTAINS(sock_last_error(), "no-such-host.invalid");
    sock_server_free(server);
    sock_client *client = new_client(DOTSOCK_TCP, "e", "host", "no-such-host.invalid", "port", "9", NULL);
    CHECK_STATUS(sock_client_connect(client), DOTSOCK_E_IO);
    CHECK_CONTAINS(sock_last_error(), "no-such-host.invalid");
    CHECK_STATUS(sock_client_recv(client, -1, &message), DOTSOCK_E_CLOSED); /* as if never told to connect */
    sock_client_free(client);
}

TEST(nobody_at_that_port)
{
    sock_server *server = started(new_server(DOTSOCK_TCP, "e", "port", "0", NULL));
    sock_client *client = new_client(DOTSOCK_TCP, "e", "port", port_text(server), NULL);
    sock_server_free(server);
    CHECK_STATUS(sock_client_connect(client), DOTSOCK_E_CLOSED);
    CHECK_INT(sock_last_os_error(), ECONNREFUSED);
    sock_client_free(client);
}

TEST(ipv6)
{
    char address[64];
    int probe = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in6 loopback = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int there = probe >= 0 && bind(probe, (struct sockaddr *)&loopback, sizeof loopback) == 0;
    close(probe);
    if (!there)
        return; /* this machine has no IPv6 */
    sock_server *server = started(new_server(DOTSOCK_TCP, "e", "host", "::1", NULL));
    snprintf(address, sizeof address, "[::1]:%d", sock_server_port(server));
    CHECK_STR(sock_server_address(server), address);
    sock_client *client = connected(new_client(DOTSOCK_TCP, "e", NULL)); /* by name */
    CHECK_STR(sock_client_address(client), address);
    check_conversation(server, client);
    sock_client_free(client);
    client = connected(new_client(DOTSOCK_TCP, "e", "host", "::1", "port", port_text(server), NULL));
    sock_client_free(client);
    sock_server_free(server);
}

TEST(a_wildcard_is_published_as_loopback)
{
    char line[64] = "", expected[64];
    sock_server *server = started(new_server(DOTSOCK_TCP, "e", "host", "0.0.0.0", NULL));
    FILE *file = fopen(check_path("sockets/e.tcp"), "r");
    CHECK(file && fgets(line, sizeof line, file));
    fclose(file);
    snprintf(expected, sizeof expected, "127.0.0.1:%d\n", sock_server_port(server));
    CHECK_STR(line, expected);
    sock_client *client = connected(new_client(DOTSOCK_TCP, "e", NULL));
    check_conversation(server, client);
    sock_client_free(client);
    sock_server_free(server);
}

TEST(the_same_event_over_both)
{
    sock_server *local = start_server("e", NULL), *tcp = started(new_server(DOTSOCK_TCP, "e", NULL));
    sock_client *one = join("e", NULL), *two = connected(new_client(DOTSOCK_TCP, "e", NULL));
    check_conversation(local, one);
    check_conversation(tcp, two);
    sock_client_free(one);
    sock_client_free(two);
    sock_server_free(local);
    sock_server_free(tcp);
}

TEST(a_restart_on_the_same_port)
{
    sock_server *server = started(new_server(DOTSOCK_TCP, "e", "port", "0", NULL));
    char port[16];
    snprintf(port, sizeof port, "%s", port_text(server));
    sock_client *client = connected(new_client(DOTSOCK_TCP, "e", "port", port, "reconnect_delay", "0.01", NULL));
    wait_clients(server, 1);
    sock_server_free(server);
    server = started(new_server(DOTSOCK_TCP, "e", "port", port, NULL));
    SEND(server, 1);
    EXPECT_NUMBER(client, 1);
    sock_client_free(client);
    sock_server_free(server);
}

TEST(large_messages_both_ways)
{
    sock_server *server = started(new_server(DOTSOCK_TCP, "e", NULL));
    sock_client *client = connected(new_client(DOTSOCK_TCP, "e", NULL));
    wait_clients(server, 1);
    CHECK_OK(send_padded(server, 1, 4000000, NULL));
    sock_message *message = take(client);
    CHECK_INT(number_of(message), 1);
    sock_message_free(message);
    CHECK_OK(client_send_padded(client, 2, 4000000));
    while (stat_of(server, "messages_received") == 0) /* recv writes the rest */
        sock_client_recv(client, 10, &message);
    sock_client_free(client);
    sock_server_free(server);
}
