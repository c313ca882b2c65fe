/* Options: layers, forms, defaults, and what bad ones say. */
#include "helpers.h"

static const char *get(const sock_options *options, const char *key)
{
    static char values[8][DOTSOCK_OPTION_SIZE];
    static int next;
    char *value = values[next++ % 8];
    CHECK_OK(sock_options_get(options, key, value, DOTSOCK_OPTION_SIZE));
    return value;
}

static const char *write_file(const char *name, const char *text)
{
    const char *path = check_path(name);
    FILE *file = fopen(path, "w");
    CHECK(file);
    fputs(text, file);
    fclose(file);
    return path;
}

static void write_user_file(const char *text)
{
    mkdir(check_path("config"), 0700);
    mkdir(check_path("config/dotsock"), 0700);
    write_file("config/dotsock/settings.toml", text);
}

static sock_options *new_options(void)
{
    sock_options *options = sock_options_new();
    CHECK(options);
    return options;
}

static const char *const defaults[][2] = {
    {"socket_dir", "/tmp/sockets"},
    {"default_timeout", "5"},
    {"send_timeout", ""},
    {"buffer_size", "65536"},
    {"timezone", "UTC"},
    {"message_queue_size", "100"},
    {"blocking_mode", "false"},
    {"allow_client_send", "true"},
    {"max_connections", "1024"},
    {"socket_permissions", "0600"},
    {"auto_remove_socket", "true"},
    {"allow_foreign_server", "false"},
    {"host", "127.0.0.1"},
    {"port", ""},
    {"port_range_start", "9000"},
    {"port_range_end", "9100"},
    {"token", ""},
    {"token_file", ""},
    {"max_message_size", "16777216"},
    {"max_depth", "128"},
    {"frame_timeout", "30"},
    {"client_queue_size", "8388608"},
    {"slow_client", "drop_oldest"},
    {"linger", "1"},
    {"spin", "0"},
    {"retain_last", "false"},
    {"auto_reconnect", "true"},
    {"report_loss", "false"},
    {"reconnect_delay", "0.1"},
    {"reconnect_max_delay", "5"},
    {"reconnect_max_attempts", "0"},
};
enum { KEYS = sizeof defaults / sizeof *defaults };

TEST(every_key_has_its_documented_default)
{
    unsetenv("DOTSOCK_SOCKET_DIR");
    unsetenv("DOTSOCK_SPIN");
    sock_options *options = new_options();
    for (int i = 0; i < KEYS; i++)
        CHECK_STR(get(options, defaults[i][0]), defaults[i][1]);
    sock_options_free(options);
}

TEST(every_default_can_be_set)
{
    sock_options *options = new_options();
    for (int i = 0; i < KEYS; i++) {
        CHECK_OK(sock_options_set(options, defaults[i][0], defaults[i][1]));
        CHECK_STR(get(options, defaults[i][0]), defaults[i][1]);
    }
    sock_options_free(options);
}

TEST(values_have_one_form)
{
    static const char *const forms[][3] = {
        {"default_timeout", "2.50", "2.5"},     {"default_timeout", "7.0", "7"},
        {"default_timeout", "86400", "86400"},  {"default_timeout", "0", "0"},
        {"send_timeout", "0.25", "0.25"},       {"blocking_mode", "YES", "true"},
        {"blocking_mode", "0", "false"},        {"blocking_mode", "On", "true"},
        {"blocking_mode", "off", "false"},      {"blocking_mode", "No", "false"},
        {"blocking_mode", "1", "true"},         {"blocking_mode", "False", "false"},
        {"socket_permissions", "640", "0640"},  {"socket_permissions", "0o640", "0640"},
        {"socket_permissions", "0640", "0640"}, {"message_queue_size", "0", "0"},
        {"port", "9050", "9050"},               {"port", "0", "0"},
        {"port", "", ""},                       {"host", "::1", "::1"},
        {"timezone", "Europe/Berlin", "Europe/Berlin"},
        {"slow_client", "block", "block"},      {"slow_client", "drop_newest", "drop_newest"},
        {"slow_client", "disconnect", "disconnect"},
        {"frame_timeout", "0", "0"},            {"reconnect_delay", "0.001", "0.001"},
        {"reconnect_max_attempts", "3", "3"},   {"linger", "0", "0"},
    };
    sock_options *options = new_options();
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        CHECK_OK(sock_options_set(options, forms[i][0], forms[i][1]));
        CHECK_STR(get(options, forms[i][0]), forms[i][2]);
    }
    sock_options_free(options);
}

static const char *const bad_values[][2] = {
    {"default_timeout", "-1"},      {"default_timeout", "86401"},    {"default_timeout", "soon"},
    {"default_timeout", "nan"},     {"default_timeout", "inf"},      {"send_timeout", "-0.5"},
    {"buffer_size", "0"},           {"buffer_size", "1.5"},          {"timezone", "Mars/Olympus"},
    {"message_queue_size", "-1"},   {"message_queue_size", "many"},  {"blocking_mode", "maybe"},
    {"allow_client_send", "2"},     {"max_connections", "0"},        {"socket_permissions", "0888"},
    {"socket_permissions", "1000"}, {"socket_permissions", "rw"},    {"port", "65536"},
    {"port", "http"},               {"port_range_start", "-9"},      {"port_range_end", "70000"},
    {"max_message_size", "0"},      {"max_depth", "0"},              {"frame_timeout", "-1"},
    {"client_queue_size", "0"},     {"slow_client", "wait"},         {"linger", "90000"},
    {"reconnect_delay", "0"},       {"reconnect_max_attempts", "-2"}, {"retain_last", "yess"},
};

TEST(a_bad_value_is_named_and_changes_nothing)
{
    sock_options *options = new_options();
    for (size_t i = 0; i < sizeof bad_values / sizeof *bad_values; i++) {
        const char *key = bad_values[i][0], *value = bad_values[i][1], *before = get(options, key);
        CHECK_STATUS(sock_options_set(options, key, value), DOTSOCK_E_INVALID);
        CHECK_CONTAINS(sock_last_error(), key);
        CHECK_CONTAINS(sock_last_error(), value);
        CHECK_STR(get(options, key), before);
    }
    sock_options_free(options);
}

TEST(a_bad_choice_names_what_is_allowed)
{
    sock_options *options = new_options();
    CHECK_STATUS(sock_options_set(options, "slow_client", "wait"), DOTSOCK_E_INVALID);
    CHECK_CONTAINS(sock_last_error(), "drop_newest");
    CHECK_CONTAINS(sock_last_error(), "disconnect");
    CHECK_STATUS(sock_options_set(options, "linger", "86401"), DOTSOCK_E_INVALID);
    CHECK_CONTAINS(sock_last_error(), "86400");
    sock_options_free(options);
}

TEST(an_unknown_key_names_the_nearest)
{
    char buffer[DOTSOCK_OPTION_SIZE];
    sock_options *options = new_options();
    CHECK_STATUS(sock_options_set(options, "socket_dri", "/tmp"), DOTSOCK_E_INVALID);
    CHECK_CONTAINS(sock_last_error(), "socket_dri");
    CHECK_CONTAINS(sock_last_error(), "socket_dir");
    CHECK_STATUS(sock_options_set(options, "max_conections", NULL), DOTSOCK_E_INVALID);
    CHECK_CONTAINS(sock_last_error(), "max_connections");
    CHECK_STATUS(sock_options_get(options, "retain_lst", buffer, sizeof buffer), DOTSOCK_E_INVALID);
    CHECK_CONTAINS(sock_last_error(), "retain_last");
    CHECK_STATUS(sock_options_load(options, write_file("a.toml", "lingr = 1\n")), DOTSOCK_E_INVALID);
    CHECK_CONTAINS(sock_last_error(), "linger");
    sock_options_free(options);
}

TEST(a_small_buffer_is_left_alone)
{
    char buffer[16] = "untouched";
    sock_options *options = new_options();
    CHECK_OK(sock_options_set(options, "host", "192.168.100.200"));
    CHECK_STATUS(sock_options_get(options, "host", buffer, 15), DOTSOCK_E_INVALID);
    CHECK_CONTAINS(sock_last_error(), "16"); /* 15 characters and the NUL */
    CHECK_STR(buffer, "untouched");
    CHECK_OK(sock_options_get(options, "host", buffer, 16));
    CHECK_STR(buffer, "192.168.100.200");
    sock_options_free(options);
}

TEST(later_layers_win)
{
    write_user_file("max_connections = 1\nlinger = 0.5\nretain_last = true\nmax_depth = 11\nbuffer_size = 100\n");
    setenv("DOTSOCK_SETTINGS",
           write_file("named.toml", "max_connections = 2\nlinger = 0.25\nretain_last = false\nmax_depth = 12\n"), 1);
    setenv("DOTSOCK_MAX_CONNECTIONS", "3", 1);
    setenv("DOTSOCK_LINGER", "3.5", 1);
    sock_options *options = new_options();
    CHECK_STR(get(options, "buffer_size"), "100");
    CHECK_STR(get(options, "retain_last"), "false");
    CHECK_STR(get(options, "max_depth"), "12");
    CHECK_STR(get(options, "max_connections"), "3");
    CHECK_STR(get(options, "linger"), "3.5");

    /* Load and set: in the order called. */
    CHECK_OK(sock_options_set(options, "max_connections", "4"));
    CHECK_OK(sock_options_load(options, write_file("late.toml", "max_connections = 5\n")));
    CHECK_STR(get(options, "max_connections"), "5");
    CHECK_OK(sock_options_set(options, "max_connections", "6"));
    CHECK_STR(get(options, "max_connections"), "6");

    /* Unset: back to what files and environment say, whatever was set or loaded here. */
    CHECK_OK(sock_options_set(options, "max_connections", NULL));
    CHECK_STR(get(options, "max_connections"), "3");
    CHECK_OK(sock_options_set(options, "buffer_size", "7"));
    CHECK_OK(sock_options_set(options, "buffer_size", NULL));
    CHECK_STR(get(options, "buffer_size"), "100");
    CHECK_OK(sock_options_set(options, "host", "::1"));
    CHECK_OK(sock_options_set(options, "host", NULL));
    CHECK_STR(get(options, "host"), "127.0.0.1");
    sock_options_free(options);
}

TEST(files_and_environment_are_read_anew)
{
    sock_options *first = new_options();
    setenv("DOTSOCK_MAX_DEPTH", "9", 1);
    write_user_file("linger = 2\n");
    sock_options *second = new_options();
    CHECK_STR(get(first, "max_depth"), "128");
    CHECK_STR(get(first, "linger"), "1");
    CHECK_STR(get(second, "max_depth"), "9");
    CHECK_STR(get(second, "linger"), "2");
    sock_options_free(first);
    sock_options_free(second);
}

TEST(the_users_file_is_below_home_without_xdg)
{
    write_user_file("");
    mkdir(check_path(".config"), 0700);
    mkdir(check_path(".config/dotsock"), 0700);
    write_file(".config/dotsock/settings.toml", "max_depth = 21\n");
    unsetenv("XDG_CONFIG_HOME");
    setenv("HOME", check_dir, 1);
    sock_options *options = new_options();
    CHECK_STR(get(options, "max_depth"), "21");
    sock_options_free(options);
}

TEST(a_settings_file_knows_all_types)
{
    sock_options *options = new_options();
    CHECK_OK(sock_options_load(options, write_file("all.toml", "# a comment\n"
                                                               "socket_dir = \"/tmp/elsewhere\"\n"
                                                               "default_timeout = 2.5\nlinger = 3\n"
                                                               "retain_last = true\nport = 9050\n"
                                                               "socket_permissions = \"0660\"\n")));
    CHECK_STR(get(options, "socket_dir"), "/tmp/elsewhere");
    CHECK_STR(get(options, "default_timeout"), "2.5");
    CHECK_STR(get(options, "linger"), "3");
    CHECK_STR(get(options, "retain_last"), "true");
    CHECK_STR(get(options, "port"), "9050");
    CHECK_STR(get(options, "socket_permissions"), "0660");
    CHECK_OK(sock_options_load(options, write_file("octal.toml", "socket_permissions = 0o640\n")));
    CHECK_STR(get(options, "socket_permissions"), "0640");
    sock_options_free(options);
}

TEST(decimal_permissions_are_refused_with_advice)
{
    sock_options *options = new_options();
    CHECK_STATUS(sock_options_load(options, write_file("p.toml", "socket_permissions = 600\n")), DOTSOCK_E_INVALID);
    CHECK_CONTAINS(sock_last_error(), "socket_permissions");
    CHECK_CONTAINS(sock_last_error(), "0o600");
    sock_options_free(options);
}

TEST(a_load_that_fails_changes_nothing)
{
    sock_options *options = new_options();
    const char *path = write_file("half.toml", "max_depth = 7\nlinger = \"long\"\n");
    CHECK_STATUS(sock_options_load(options, path), DOTSOCK_E_INVALID);
    CHECK_CONTAINS(sock_last_error(), path);
    CHECK_CONTAINS(sock_last_error(), "linger");
    CHECK_CONTAINS(sock_last_error(), "long");
    CHECK_STR(get(options, "max_depth"), "128");
    CHECK_STR(get(options, "linger"), "1");
    sock_options_free(options);
}

TEST(a_malformed_file_names_line_and_column)
{
    sock_options *options = new_options();
    const char *path = write_file("broken.toml", "max_depth = 7\n\nlinger = = 3\n");
    CHECK_STATUS(sock_options_load(options, path), DOTSOCK_E_INVALID);
    CHECK_CONTAINS(sock_last_error(), path);
    const char *where = strstr(sock_last_error(), path) + strlen(path);
    CHECK_CONTAINS(where, "3");  /* line 3 */
    CHECK_CONTAINS(where, "10"); /* column 10: the second '=' */
    CHECK_STATUS(sock_options_load(options, write_file("latin.toml", "host = \"\xe9\"\n")), DOTSOCK_E_INVALID);
    sock_options_free(options);
}

TEST(a_named_file_that_cannot_be_read)
{
    sock_options *options = new_options();
    CHECK_STATUS(sock_options_load(options, check_path("none.toml")), DOTSOCK_E_IO);
    CHECK_INT(sock_last_os_error(), ENOENT);
    CHECK_CONTAINS(sock_last_error(), check_path("none.toml"));
    CHECK_STATUS(sock_options_load(options, check_dir), DOTSOCK_E_IO);
    CHECK_INT(sock_last_os_error(), EISDIR);
    sock_options_free(options);

    setenv("DOTSOCK_SETTINGS", check_path("none.toml"), 1);
    CHECK_NULL(sock_options_new(), DOTSOCK_E_IO);
    CHECK_INT(sock_last_os_error(), ENOENT);
    CHECK_NULL(sock_server_new(DOTSOCK_UNIX, "e", NULL), DOTSOCK_E_IO);
    CHECK_NULL(sock_client_new(DOTSOCK_UNIX, "e", NULL), DOTSOCK_E_IO);
}

TEST(a_bad_environment_fails_what_reads_it)
{
    setenv("DOTSOCK_MAX_CONNECTIONS", "lots", 1);
    CHECK_NULL(sock_options_new(), DOTSOCK_E_INVALID);
    CHECK_CONTAINS(sock_last_error(), "MAX_CONNECTIONS");
    CHECK_CONTAINS(sock_last_error(), "lots");
    CHECK_NULL(sock_server_new(DOTSOCK_UNIX, "e", NULL), DOTSOCK_E_INVALID);
    CHECK_NULL(sock_client_new(DOTSOCK_UNIX, "e", NULL), DOTSOCK_E_INVALID);
    unsetenv("DOTSOCK_MAX_CONNECTIONS");
    write_user_file("timezone = \"Mars/Olympus\"\n");
    CHECK_NULL(sock_options_new(), DOTSOCK_E_INVALID);
    CHECK_CONTAINS(sock_last_error(), "Mars/Olympus");
    CHECK_CONTAINS(sock_last_error(), "settings.toml");
}

TEST(an_unknown_key_in_the_file_of_dotsock_settings_is_an_error)
{
    setenv("DOTSOCK_SETTINGS", write_file("named.toml", "max_dept = 2\n"), 1);
    CHECK_NULL(sock_options_new(), DOTSOCK_E_INVALID);
    CHECK_CONTAINS(sock_last_error(), "max_depth");
}

static void keep_warning(void *ctx, int level, const char *target, const char *text)
{
    CHECK(target && text);
    if (level == 2)
        strncat(ctx, text, 2000);
}

TEST(an_unknown_key_elsewhere_is_a_warning)
{
    char warnings[8192] = "";
    CHECK_OK(sock_set_log(2, keep_warning, warnings, NULL));
    write_user_file("max_dept = 2\nlinger = 2\n");
    setenv("DOTSOCK_RETAIN_LST", "true", 1);
    sock_options *options = new_options();
    CHECK_CONTAINS(warnings, "max_depth");
    CHECK_CONTAINS(warnings, "RETAIN_LST");
    CHECK_STR(get(options, "linger"), "2");
    sock_options_free(options);
    CHECK_OK(sock_set_log(0, NULL, NULL, NULL));
}

TEST(variables_in_socket_dir_are_expanded)
{
    setenv("HERE", check_dir, 1);
    sock_server *server = start_server("e", "socket_dir", "${HERE}/deep/er", NULL);
    CHECK_STR(sock_server_address(server), check_path("deep/er/e.sock"));
    sock_server_free(server);
    setenv("HOME", check_dir, 1);
    server = start_server("e", "socket_dir", "~/mine", NULL);
    CHECK_STR(sock_server_address(server), check_path("mine/e.sock"));
    sock_server_free(server);
}

TEST(handles_copy_their_options)
{
    sock_options *options = new_options();
    CHECK_OK(sock_options_set(options, "message_queue_size", "1"));
    sock_server *server = sock_server_new(DOTSOCK_UNIX, "e", options);
    CHECK_OK(sock_options_set(options, "message_queue_size", "50"));
    sock_options_free(options);
    CHECK_OK(sock_server_start(server));
    SEND(server, 1);
    SEND(server, 2);
    CHECK_INT(sock_server_queue_size(server), 1);
    sock_server_free(server);
}

/* The two are given one at a time, so a range that is empty shows where a server is made of it. */
TEST(an_empty_port_range_is_refused)
{
    sock_options *options = new_options();
    int status = sock_options_set(options, "port_range_start", "9200");
    if (status == DOTSOCK_OK) {
        sock_server *server = sock_server_new(DOTSOCK_TCP, "e", options);
        status = server ? sock_server_start(server) : sock_last_status();
        sock_server_free(server);
    }
    CHECK_INT(status, DOTSOCK_E_INVALID);
    sock_options_free(options);
}
