/* C's part of tests/conformance, whose README.md says what this does. */
#include "values.h"

#include <dotsock.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What the arguments ask for. */
static struct {
    const char *event;
    int transport;
    sock_options *options;
    long count; /* -1: without end */
    int timeout;
    int open;
} command = {.transport = DOTSOCK_UNIX, .count = -1, .timeout = 10000};

static const char *const TYPES[] = {"data", "error", "control"};

/* --- Lines that are written ------------------------------------------------------------------- */

static void write_string(const char *text) {
    write_text(stdout, text, strlen(text));
}

static void end_line(void) {
    fputs("}\n", stdout);
    fflush(stdout);
}

static void write_pair(const char *key, const char *text) {
    printf("{\"%s\": ", key);
    write_string(text);
    end_line();
}

static void write_failure(int status, const char *text) {
    printf("{\"error\": {\"status\": %d, \"text\": ", status);
    write_string(text);
    fputc('}', stdout);
    end_line();
}

/* Writes why a call failed; returns whether it did. */
static int failed(int status) {
    if (status != DOTSOCK_OK) write_failure(status, sock_last_error());
    return status != DOTSOCK_OK;
}

static void write_ready(const char *address) {
    fputs("{\"ready\": true, \"address\": ", stdout);
    write_string(address);
    end_line();
}

static void write_message(const sock_message *message, const char *from) {
    fputs("{\"event\": ", stdout);
    write_string(sock_message_event_name(message));
    printf(", \"type\": \"%s\", \"data\": ", TYPES[sock_message_type(message)]);
    write_described(stdout, sock_message_data(message, NULL));
    printf(", \"timestamp_ms\": %lld, \"timestamp_iso\": ",
           (long long)sock_message_timestamp_ms(message));
    write_string(sock_message_timestamp_iso(message));
    if (from) {
        fputs(", \"from\": ", stdout);
        write_string(from);
    }
    end_line();
}

static int write_stat(int status, const char *name, const uint64_t *value) {
    if (failed(status)) return 0;
    fputs("{\"stat\": ", stdout);
    write_string(name);
    printf(", \"value\": %llu", (unsigned long long)*value);
    end_line();
    return 1;
}

/* --- Lines that are read ---------------------------------------------------------------------- */

static struct {
    char *text;
    size_t size, capacity;
} input;

/* Reads what is there; 0 at the end. */
static int read_input(void) {
    if (input.capacity - input.size < 65536) {
        input.capacity = 2 * input.capacity + 65536;
        input.text = realloc(input.text, input.capacity);
    }
    ssize_t size;
    do size = read(STDIN_FILENO, input.text + input.size, input.capacity - input.size);
    while (size < 0 && errno == EINTR);
    if (size <= 0) return 0;
    input.size += (size_t)size;
    return 1;
}

/* Hands each whole line on; 0 as soon as one of them ends the command. */
static int for_each_line(int (*work)(void *, const sock_message *), void *object) {
    char *line = input.text, *end;
    int goes_on = 1;
    while (goes_on && (end = memchr(line, '\n', input.size - (size_t)(line - input.text)))) {
        *end = '\0';
        sock_message *request = sock_message_from_json("request", DOTSOCK_DATA, line);
        if (!request) failed(sock_last_status());
        goes_on = request && work(object, request);
        sock_message_free(request);
        line = end + 1;
    }
    input.size -= (size_t)(line - input.text);
    memmove(input.text, line, input.size);
    return goes_on;
}

/* A text of the request; NULL when there is none. */
static const char *text_of(const sock_message *request, const char *pointer) {
    const char *text;
    return sock_message_get_string(request, pointer, &text, NULL) == DOTSOCK_OK ? text : NULL;
}

static int asks_for(const sock_message *request, const char *what) {
    const char *deed = text_of(request, "/do");
    return deed && strcmp(deed, what) == 0;
}

/* The message that a request is about, to be freed; NULL, and the failure written. */
static sock_message *message_of(const sock_message *request) {
    const char *name = text_of(request, "/type");
    int type = DOTSOCK_DATA;
    while (name && type <= DOTSOCK_CONTROL && strcmp(name, TYPES[type]) != 0) type++;
    if (type > DOTSOCK_CONTROL) {
        write_failure(DOTSOCK_E_INVALID, "there is no such type of message");
        return NULL;
    }
    const void *json;
    size_t ignored, size = 0;
    char *data = NULL;
    FILE *out = open_memstream(&data, &size);
    int sound = sock_message_get_msgpack(request, "/data", &json, &ignored) != DOTSOCK_OK ||
                write_meant(out, json);
    fclose(out);
    sock_message *message = NULL;
    if (!sound)
        write_failure(DOTSOCK_E_INVALID, "data has a $ that is none of the README's table");
    else if (!(message = sock_message_new(command.event, type, data, size)))
        failed(sock_last_status());
    free(data);
    return message;
}

/* --- Commands --------------------------------------------------------------------------------- */

static int at_server(void *object, const sock_message *request) {
    sock_server *server = object;
    const char *name;
    if (asks_for(request, "disconnect")) {
        name = text_of(request, "/client");
        failed(sock_server_disconnect_client(server, name ? name : ""));
    } else if (asks_for(request, "stat")) {
        uint64_t value = 0;
        name = text_of(request, "/name");
        write_stat(sock_server_stat(server, name, &value), name, &value);
    } else {
        sock_message *message = message_of(request);
        if (message) failed(sock_send(server, message, text_of(request, "/to")));
        sock_message_free(message);
    }
    return 1;
}

/* Writes what has happened; 0 once that were enough messages. */
static int write_events(sock_server *server) {
    sock_event *event;
    int status = DOTSOCK_OK;
    while (command.count != 0 && (status = sock_server_next(server, 0, &event)) == DOTSOCK_OK) {
        const char *client = sock_event_client_id(event);
        if (sock_event_kind(event) == DOTSOCK_CLIENT_CONNECTED)
            write_pair("connected", client);
        else if (sock_event_kind(event) == DOTSOCK_CLIENT_DISCONNECTED)
            write_pair("disconnected", client);
        else {
            write_message(sock_event_message(event), client);
            command.count -= command.count > 0;
        }
        sock_event_free(event);
    }
    return command.count != 0 && (status == DOTSOCK_E_TIMEOUT || !failed(status));
}

static int serve(void) {
    sock_server *server = sock_server_new(command.transport, command.event, command.options);
    if (failed(server ? sock_server_open(server) : sock_last_status())) return 1;
    write_ready(sock_server_address(server));
    struct pollfd wanted[] = {{STDIN_FILENO, POLLIN, 0}, {sock_server_fd(server), POLLIN, 0}};
    int goes_on = 1;
    while (goes_on && poll(wanted, 2, -1) > 0) {
        if (wanted[1].revents) goes_on = write_events(server);
        if (goes_on && wanted[0].revents)
            goes_on = read_input() && for_each_line(at_server, server);
    }
    int result = failed(sock_server_stop(server));
    sock_server_free(server);
    return result;
}

static int at_client(void *object, const sock_message *request) {
    sock_client *client = object;
    if (asks_for(request, "stat")) {
        uint64_t value = 0;
        const char *name = text_of(request, "/name");
        return write_stat(sock_client_stat(client, name, &value), name, &value);
    }
    sock_message *message = message_of(request);
    int goes_on = message && !failed(sock_client_send(client, message));
    sock_message_free(message);
    return goes_on;
}

static int receive(sock_client *client, long count) {
    sock_message *message;
    for (; count != 0; count -= count > 0) {
        if (failed(sock_client_recv(client, command.timeout, &message))) return 1;
        write_message(message, NULL);
        sock_message_free(message);
    }
    return 0;
}

static int talk(int sends) {
    sock_client *client = sock_client_new(command.transport, command.event, command.options);
    int (*begin)(sock_client *) = command.open ? sock_client_open : sock_client_connect;
    if (failed(client ? begin(client) : sock_last_status())) return 1;
    write_ready(sock_client_address(client));
    int goes_on = 1;
    while (sends && goes_on && read_input()) goes_on = for_each_line(at_client, client);
    if (sends && command.count < 0) command.count = 0;
    int result = !goes_on || receive(client, command.count) ||
                 (sends && failed(sock_client_disconnect(client)));
    sock_client_free(client);
    return result;
}

/* --- Arguments -------------------------------------------------------------------------------- */

static int refuse(const char *problem, const char *what) {
    fprintf(stderr, "dotsock_cmd: %s%s\n", problem, what);
    return 2;
}

/* 0, or the exit code. */
static int take_option(const char *name, const char *value) {
    char *rest = "";
    if (!value) return refuse("this needs a value: ", name);
    if (strcmp(name, "--transport") == 0) {
        command.transport = strcmp(value, "tcp") == 0 ? DOTSOCK_TCP : DOTSOCK_UNIX;
        if (strcmp(value, "tcp") != 0 && strcmp(value, "unix") != 0)
            return refuse("there are the transports unix and tcp, and not ", value);
    } else if (strcmp(name, "--set") == 0) {
        char *key = strdup(value), *equals = strchr(key, '=');
        if (!equals) return refuse("--set needs KEY=VALUE, not ", value);
        *equals = '\0';
        int wrong = failed(sock_options_set(command.options, key, equals + 1));
        free(key);
        return wrong;
    } else if (strcmp(name, "--count") == 0) {
        command.count = strtol(value, &rest, 10);
    } else if (strcmp(name, "--timeout") == 0) {
        command.timeout = (int)strtol(value, &rest, 10);
    } else {
        return refuse("there is no option ", name);
    }
    return *rest ? refuse("this is no number: ", value) : 0;
}

int main(int argc, char **argv) {
    if (argc < 3) return refuse("usage: dotsock_cmd serve|listen|send EVENT [options]", "");
    command.event = argv[2];
    command.options = sock_options_new();
    if (!command.options) return failed(sock_last_status());
    for (int i = 3; i < argc; i++) {
        if (strcmp(argv[i], "--open") == 0) {
            command.open = 1;
            continue;
        }
        int code = take_option(argv[i], argv[i + 1]);
        if (code) return code;
        i++;
    }
    int result = strcmp(argv[1], "serve") == 0    ? serve()
                 : strcmp(argv[1], "listen") == 0 ? talk(0)
                 : strcmp(argv[1], "send") == 0   ? talk(1)
                                                  : refuse("there is no command ", argv[1]);
    sock_options_free(command.options);
    free(input.text);
    return result;
}
