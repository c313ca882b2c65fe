/*
 * dotsock: event sockets.
 *
 * A program says what it is doing, others listen: a server is named by an event and sends messages
 * to its clients, over a Unix socket or TCP.
 *
 *     sock_server *server = sock_server_new(DOTSOCK_UNIX, "my_event", NULL);
 *     if (!server || sock_server_start(server) != DOTSOCK_OK) {
 *         fprintf(stderr, "%s\n", sock_last_error());
 *         return 1;
 *     }
 *     sock_send_json(server, DOTSOCK_DATA, "{\"status\": \"processing\", \"progress\": 50}", NULL);
 *     sock_server_free(server);
 *
 *     sock_client *client = sock_client_new(DOTSOCK_UNIX, "my_event", NULL);
 *     sock_message *message;
 *     if (!client || sock_client_connect(client) != DOTSOCK_OK) {
 *         fprintf(stderr, "%s\n", sock_last_error());
 *         return 1;
 *     }
 *     while (sock_client_recv(client, -1, &message) == DOTSOCK_OK) {
 *         printf("%s\n", sock_message_data_json(message));
 *         sock_message_free(message);
 *     }
 *     sock_client_free(client);
 *
 * What holds for all functions:
 *
 * Success and failure. A constructor (a call that returns an object to be freed) returns NULL when
 * it fails, and so do sock_message_data_json() and sock_message_json(), which return text. Every
 * other call that can fail returns int: DOTSOCK_OK (0), or a negative DOTSOCK_E_... Outputs are
 * written on success only.
 * To learn why a call failed, ask sock_last_status(), sock_last_error() and sock_last_os_error().
 * Each thread has its own. Every call that can fail clears them, and sets them if it fails;
 * getters, _free and _cancel leave them unchanged. These errors are possible everywhere and not
 * repeated below:
 *   DOTSOCK_E_INVALID    a required pointer is NULL, text is not UTF-8, a size comes without a
 *                        pointer ((NULL, 0) is an empty buffer), a number is out of range
 *   DOTSOCK_E_FORKED     the handle was made before a fork, and this is the child
 *   DOTSOCK_E_NO_MEMORY  there is no memory for data whose size a peer or an argument determines
 *   DOTSOCK_E_INTERNAL   a defect in the library; please report what sock_last_error() says
 * A getter that gets NULL, or an index out of range, answers NULL, 0, -1 where 0 would mean
 * something, or "" for a client's id.
 *
 * Ownership. Whoever gets a pointer from a constructor, or through an out-pointer that is not
 * const, frees it with that type's _free, which does nothing for NULL. What a getter returns is
 * borrowed from its object until that is freed. What is passed in is copied, and stays the caller's.
 *
 * Threads. All calls on one object may be made from any number of threads at once, except _free,
 * which must be the last one.
 *
 * Hooks and log functions. No lock is held while one runs: it may make every call. Two kinds of
 * call are carried out later: sock_server_stop() and sock_server_free() in a hook of that server,
 * once the hook has returned; sock_server_stop() and every _free in a log function, once the call
 * that logged is over. It must return: no longjmp and no C++ exception may leave it.
 *
 * Signals. The library installs no signal handler and never raises SIGPIPE. A server's own thread
 * blocks all signals. DOTSOCK_E_INTERRUPTED says that a handler ran during a wait. A handler may
 * call the two _cancel functions, and no others.
 *
 * Fork. In a forked child, calls on servers and clients from before the fork fail with
 * DOTSOCK_E_FORKED, and their getters answer as for NULL; _free runs the hooks' `drop`s, and
 * affects neither peers nor files. Messages, options and lists can still be used, and new servers
 * and clients can be made.
 *
 * Descriptors that the library hands out belong to the object: wait on them, never read or close
 * them.
 *
 * Versions. Later versions add functions, options, statuses, kinds of events and counters: ignore
 * values that you do not know.
 *
 * This file is generated; its source is in src/ffi/.
 */

#ifndef DOTSOCK_H
#define DOTSOCK_H

#include <stddef.h>
#include <stdint.h>

/** The version of this header; sock_version() is that of the library in use. */
#define DOTSOCK_VERSION_MAJOR 0
#define DOTSOCK_VERSION_MINOR 1
#define DOTSOCK_VERSION_PATCH 0

/** Whether this header is of that version or a later one, for #if. */
#define DOTSOCK_VERSION_AT_LEAST(major, minor, patch) \
    (DOTSOCK_VERSION_MAJOR > (major) || \
     (DOTSOCK_VERSION_MAJOR == (major) && \
      (DOTSOCK_VERSION_MINOR > (minor) || \
       (DOTSOCK_VERSION_MINOR == (minor) && DOTSOCK_VERSION_PATCH >= (patch)))))

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------------------------------------
 * Constants
 * ------------------------------------------------------------------------------------------------
 * All are enums, so that LuaJIT and cgo see them too. Functions take and return them as `int`:
 * later versions add values, and a program ignores those that it doesn't know.
 */

/** How a call ended. Every function that returns `int` without saying otherwise returns one. */
typedef enum {
  /** It did what was asked. */
  DOTSOCK_OK = 0,
  /** An argument is wrong; sock_last_error() names it, its value and what is allowed. */
  DOTSOCK_E_INVALID = -1,
  /** The operating system refused something; see sock_last_os_error(). */
  DOTSOCK_E_IO = -2,
  /** Nothing happened in time. */
  DOTSOCK_E_TIMEOUT = -3,
  /** Not connected, or the peer is gone. */
  DOTSOCK_E_CLOSED = -4,
  /** A message is malformed, too large, or cannot be encoded. */
  DOTSOCK_E_MESSAGE = -5,
  /** The server has as many clients as its option `max_connections` allows. */
  DOTSOCK_E_MAX_CONNECTIONS = -6,
  /** The server is not running. */
  DOTSOCK_E_NOT_RUNNING = -7,
  /** No client has this id. */
  DOTSOCK_E_NO_CLIENT = -8,
  /** A live server has this event, or no port in the range is free. */
  DOTSOCK_E_IN_USE = -9,
  /** Access was refused, or a file or a peer is not to be trusted. */
  DOTSOCK_E_PERMISSION = -10,
  /** The server does not accept messages from its clients. */
  DOTSOCK_E_SEND_DENIED = -11,
  /** The client's queue is full. */
  DOTSOCK_E_FULL = -12,
  /** The call is not possible in this state. */
  DOTSOCK_E_STATE = -13,
  /** sock_server_cancel() or sock_client_cancel() ended the wait. */
  DOTSOCK_E_CANCELLED = -14,
  /** A signal handler ran during the wait: go on, or see what it asked for. */
  DOTSOCK_E_INTERRUPTED = -15,
  /** The handle was made before a fork, and this is the child: make a new one. */
  DOTSOCK_E_FORKED = -16,
  /** A defect in the library; sock_last_error() says what to report. */
  DOTSOCK_E_INTERNAL = -17,
  /** Memory ran out. */
  DOTSOCK_E_NO_MEMORY = -18,
} dotsock_status;

/** How servers and clients reach each other. */
typedef enum {
  /** A Unix socket in the directory that the option `socket_dir` names. */
  DOTSOCK_UNIX = 0,
  /** TCP. */
  DOTSOCK_TCP = 1,
} dotsock_transport;

/** What a message is about. */
typedef enum {
  /** What the program has to say. */
  DOTSOCK_DATA = 0,
  /** Something failed. */
  DOTSOCK_ERROR = 1,
  /** Something about the conversation itself, such as "shutdown". */
  DOTSOCK_CONTROL = 2,
} dotsock_message_type;

/** The kind of a value in a message's payload. */
typedef enum {
  /** Nothing: JSON's null. */
  DOTSOCK_KIND_NIL = 0,
  /** True or false. */
  DOTSOCK_KIND_BOOL = 1,
  /** A whole number, from -2^63 to 2^64-1. */
  DOTSOCK_KIND_INT = 2,
  /** A floating point number. */
  DOTSOCK_KIND_DOUBLE = 3,
  /** Text. */
  DOTSOCK_KIND_STRING = 4,
  /** Binary data. */
  DOTSOCK_KIND_BYTES = 5,
  /** A list of values. */
  DOTSOCK_KIND_ARRAY = 6,
  /** Keys with a value each. */
  DOTSOCK_KIND_MAP = 7,
  /** A MessagePack extension: a number that says which, and bytes. */
  DOTSOCK_KIND_EXT = 8,
} dotsock_kind;

/** What sock_server_next() has to tell. */
typedef enum {
  /** A client has connected. */
  DOTSOCK_CLIENT_CONNECTED = 0,
  /** A client has left. */
  DOTSOCK_CLIENT_DISCONNECTED = 1,
  /** A client has sent a message. */
  DOTSOCK_MESSAGE_RECEIVED = 2,
} dotsock_event_kind;

/** Levels for sock_set_log(). */
typedef enum {
  /** Nothing at all. */
  DOTSOCK_LOG_OFF = 0,
  /** What went wrong. */
  DOTSOCK_LOG_ERROR = 1,
  /** What may be wrong, and what a bad peer did. */
  DOTSOCK_LOG_WARNING = 2,
  /** What a server or client is doing. */
  DOTSOCK_LOG_INFO = 3,
  /** What helps to find a fault. */
  DOTSOCK_LOG_DEBUG = 4,
  /** Everything. */
  DOTSOCK_LOG_TRACE = 5,
} dotsock_log_level;

/** Sizes of buffers that are always large enough, the final NUL included. */
typedef enum {
  /** For sock_timestamp_iso() and sock_timestamp_iso_at(). */
  DOTSOCK_TIMESTAMP_SIZE = 64,
  /** For sock_options_get(). */
  DOTSOCK_OPTION_SIZE = 4096,
} dotsock_size;


/* ------------------------------------------------------------------------------------------------
 * Objects
 * ------------------------------------------------------------------------------------------------
 * All of them are opaque, and are only ever pointed to.
 */

/** Options of a server or client. */
typedef struct sock_options sock_options;

/** A payload under construction. */
typedef struct sock_payload sock_payload;

/** A message. */
typedef struct sock_message sock_message;

/** A server. */
typedef struct sock_server sock_server;

/** What happened to a server. */
typedef struct sock_event sock_event;

/** The clients of a server at one moment. */
typedef struct sock_client_list sock_client_list;

/** A client. */
typedef struct sock_client sock_client;


/* ------------------------------------------------------------------------------------------------
 * The library
 * ------------------------------------------------------------------------------------------------
 */

/**
 * The version of the library that is in use, such as "0.1.0". The header's is in
 * DOTSOCK_VERSION_MAJOR, DOTSOCK_VERSION_MINOR and DOTSOCK_VERSION_PATCH.
 *
 * Never NULL; valid for ever.
 */
const char *sock_version(void);

/**
 * A sentence that says what a status means in general. sock_last_error() says what went wrong in
 * particular.
 *
 * Never NULL, whatever the number; valid for ever.
 */
const char *sock_strerror(int status);

/**
 * The status of this thread's last call that can fail: DOTSOCK_OK when it did not. Useful
 * after a call that returned NULL.
 */
int sock_last_status(void);

/**
 * Why this thread's last call that can fail did so: a sentence that names the value, the limit
 * and the remedy. "" when it did not fail; never NULL.
 *
 * Valid until this thread's next call that can fail has ended (so that it may be an argument of
 * that call); getters, `_free` and `_cancel` leave it unchanged. Each thread has its own.
 */
const char *sock_last_error(void);

/** `errno` of the system call behind this thread's last error, 0 when there is none. */
int sock_last_os_error(void);

/**
 * Checks the name of an event: 1 to 64 of A-Z, a-z, 0-9, '_' and '-'.
 *
 * DOTSOCK_E_INVALID: sock_last_error() says what is wrong with it.
 */
int sock_validate_event_name(const char *name);

/** Unix time in milliseconds, as messages carry it. */
int64_t sock_timestamp_ms(void);

/**
 * Writes the current time to `buffer`, in ISO 8601 with microseconds and offset:
 * "2026-11-23T10:00:00.123456+00:00" and a NUL. `timezone` is an IANA name such as
 * "Europe/Berlin", or NULL for the configured one, as it was at the first call of the process
 * that needed it (UTC when the configuration is bad).
 *
 * `size` is that of `buffer`; DOTSOCK_TIMESTAMP_SIZE is always enough.
 *
 * DOTSOCK_E_INVALID: the timezone is unknown, or the buffer is too small (sock_last_error()
 * names the size needed; nothing is written).
 */
int sock_timestamp_iso(const char *timezone, char *buffer, size_t size);

/** The same for the moment `timestamp_ms`, Unix time in milliseconds. */
int sock_timestamp_iso_at(const char *timezone, int64_t timestamp_ms, char *buffer, size_t size);


/**
 * Releases the context of a hook or log function. Runs exactly once, after the last call of that
 * function, on whichever thread that is.
 */
typedef void (*sock_drop_fn)(void *ctx);


/* ------------------------------------------------------------------------------------------------
 * Logging
 * ------------------------------------------------------------------------------------------------
 * The library logs nothing until it is told where to. Levels: DOTSOCK_LOG_OFF 0 to
 * DOTSOCK_LOG_TRACE 5.
 *
 * A log function runs on any thread, several at once, and in the middle of a call. It may call
 * the library; what it calls does not log, and what it stops or frees takes effect once the call
 * that logged is over. It must return: no longjmp and no C++ exception may leave it.
 */

/**
 * A log function. `target` says which part of the library speaks ("dotsock::server"), `text` is
 * one sentence; both are valid during the call.
 */
typedef void (*sock_log_fn)(void *ctx, int level, const char *target, const char *text);

/**
 * Logs to a function from now on, records up to `level`; NULL or level 0 ends it.
 *
 * `ctx` is handed to the function as it is. `drop`, if not NULL, is called with it exactly once:
 * after logging has been set again and the last running call of this function has returned, on
 * that call's thread. Setting does not wait for that. With a NULL function or level 0 the `drop`
 * that is passed runs at once, before this returns. When it fails, nothing was taken and `ctx` is
 * still the caller's.
 *
 * DOTSOCK_E_INVALID: there is no such level. DOTSOCK_E_STATE: the program is written in Rust and
 * has a logger already, which gets the records.
 */
int sock_set_log(int level, sock_log_fn log, void *ctx, sock_drop_fn drop);

/**
 * Logs to a descriptor from now on, records up to `level`, for languages that cannot be called
 * back: one line for each record, "LEVEL target: text", written at once; errors are ignored. -1 or
 * level 0 ends it. It replaces what sock_set_log() set.
 *
 * The descriptor stays the caller's: keep it open until logging has been set again. A full pipe
 * blocks the library until somebody reads from it.
 *
 * DOTSOCK_E_INVALID: there is no such level, or the descriptor is not open. DOTSOCK_E_STATE: as
 * for sock_set_log().
 */
int sock_set_log_fd(int level, int fd);


/* ------------------------------------------------------------------------------------------------
 * Options
 * ------------------------------------------------------------------------------------------------
 * The same keys everywhere: here, in `settings.toml`, and as `DOTSOCK_<KEY>` in the environment.
 * Later wins: built-in < the user's settings file ($XDG_CONFIG_HOME/dotsock/settings.toml, or
 * ~/.config/dotsock/settings.toml) < the file named by the environment variable DOTSOCK_SETTINGS
 * < the environment < sock_options_load() and sock_options_set(), in the order called.
 *
 * Where a call takes options, NULL means the configured ones: what sock_options_new() would
 * return. Servers and clients copy what they are given, so the options may be changed or freed
 * afterwards.
 *
 * The keys with their meaning and their defaults, as in a settings file:
 *
 *     # --- Where servers are found ------------------------------------------------------------------
 *
 *     # Directory of the socket files of Unix servers and of the files in which TCP servers publish
 *     # their address. `${VAR}` and a leading `~` are expanded. It is made with mode 0700 when missing.
 *     # Programs that run as different users can share a directory only if it has the sticky bit.
 *     socket_dir = "/tmp/sockets"
 *
 *     # Mode of socket files and of published addresses: an octal number up to 0777, as a string
 *     # ("0600", "600") or written 0o600. A decimal integer is refused.
 *     socket_permissions = "0600"
 *
 *     # Whether a server removes its socket file when it stops.
 *     auto_remove_socket = true
 *
 *     # Whether a Unix client accepts a server that runs as another user than its own or root.
 *     allow_foreign_server = false
 *
 *     # --- TCP --------------------------------------------------------------------------------------
 *
 *     # Address that a TCP server listens on, and that a client with a `port` connects to: IPv4, IPv6
 *     # or a name, up to 255 bytes. 127.0.0.1 is reachable from this machine alone.
 *     host = "127.0.0.1"
 *
 *     # One fixed port, 0 to 65535, instead of the range below. "" is unset; with 0 the system chooses.
 *     # A client without a port (unset, or 0) uses the address that the server published in socket_dir.
 *     port = ""
 *
 *     # Ports that a TCP server tries when `port` is unset, first to last, both included: 1 to 65535.
 *     port_range_start = 9000
 *     port_range_end = 9100
 *
 *     # Secret that a TCP server and its clients share, 1 to 4095 bytes: server and client turn away
 *     # whoever does not know it. "" is unset: whoever reaches the port may connect. It authenticates and
 *     # does not encrypt, and Unix sockets need none: see docs/security.md. Keep a long one in a file:
 *     #   head -c 32 /dev/urandom | base64 > FILE; chmod 600 FILE
 *     token = ""
 *
 *     # File that has the token, instead of the option above; one line end after it is ignored. It must
 *     # belong to the user who runs the program or to root, and nobody else may read it. It is read when a
 *     # server starts and whenever a client connects. `${VAR}` and leading `~` are expanded; "" is unset.
 *     token_file = ""
 *
 *     # --- Time -------------------------------------------------------------------------------------
 *
 *     # Seconds that connecting may take, and a send that has to wait for room.
 *     default_timeout = 5
 *
 *     # Seconds that a send may wait for room, if that should differ from default_timeout; "" is unset.
 *     send_timeout = ""
 *
 *     # Seconds in which a frame that has begun must be complete; 0 is no limit.
 *     frame_timeout = 30
 *
 *     # Seconds that stopping and disconnecting may take to deliver what is queued.
 *     linger = 1
 *
 *     # Microseconds, 0 to 1000000, that a receiver and a server's loop busy-poll before they sleep. This
 *     # keeps a core busy; what arrives in that time need not wait until the system has woken them, which
 *     # takes longer than all the rest if sender and receiver run on two cores. A signal that is sent to
 *     # the whole process in that time may be handled on another thread, which does not end the wait: see
 *     # docs/guide.md.
 *     spin = 0
 *
 *     # IANA name of the time zone of timestamps, for example "Europe/Berlin".
 *     timezone = "UTC"
 *
 *     # --- Servers ----------------------------------------------------------------------------------
 *
 *     # Whether starting a server runs its loop in the calling thread instead of a thread of its own.
 *     blocking_mode = false
 *
 *     # Whether clients may send to the server.
 *     allow_client_send = true
 *
 *     # Clients at the same time, at least 1; further ones are told that there are too many, and closed.
 *     max_connections = 1024
 *
 *     # Messages kept while no client is connected, oldest dropped first; 0 keeps none. They are also
 *     # bounded by client_queue_size bytes. The first client to connect gets them all.
 *     message_queue_size = 100
 *
 *     # Whether every client that connects is first sent the newest broadcast data message.
 *     retain_last = false
 *
 *     # --- Slow clients -----------------------------------------------------------------------------
 *
 *     # Bytes waiting for one slow client, at least 1.
 *     client_queue_size = 8388608
 *
 *     # What happens when that is full:
 *     #   "drop_oldest"  the oldest waiting messages make room; the client is told how many it missed
 *     #   "drop_newest"  the new message is dropped for this client; it is told how many it missed
 *     #   "disconnect"   the client is closed
 *     #   "block"        the sender waits for room, up to send_timeout (else default_timeout)
 *     slow_client = "drop_oldest"
 *
 *     # --- Messages ---------------------------------------------------------------------------------
 *
 *     # Bytes of one socket read, at least 1.
 *     buffer_size = 65536
 *
 *     # Bytes of one message on the wire, without its length prefix, sent or received: 1 to 4294967295.
 *     max_message_size = 16777216
 *
 *     # Levels of maps and arrays in a payload, itself the first; at least 1.
 *     max_depth = 128
 *
 *     # --- Clients ----------------------------------------------------------------------------------
 *
 *     # Whether a client whose connection is lost connects again by itself.
 *     auto_reconnect = true
 *
 *     # With auto_reconnect: whether receiving reports each lost connection once.
 *     report_loss = false
 *
 *     # Seconds before the second attempt to connect again, at least 0.001. They double with every
 *     # attempt up to reconnect_max_delay, with up to 20 % of jitter either way.
 *     reconnect_delay = 0.1
 *     reconnect_max_delay = 5
 *
 *     # Attempts to connect again; 0 is for ever.
 *     reconnect_max_attempts = 0
 */

/**
 * Options as the settings files and the environment have them now.
 *
 * Free them with sock_options_free(). NULL on failure:
 * DOTSOCK_E_INVALID: a file or the environment has a bad value (sock_last_error() names it, for
 * a file with line and column), a file is not TOML or is longer than 1 MiB, the file of
 * DOTSOCK_SETTINGS has an unknown key, or `port_range_start` is over `port_range_end`;
 * DOTSOCK_E_IO: the file of DOTSOCK_SETTINGS cannot be read, or the user's own settings file
 * exists and cannot be read.
 */
sock_options *sock_options_new(void);

/**
 * Sets what the file `path` says; other options stay as they are. A load that fails changes
 * nothing.
 *
 * DOTSOCK_E_IO: the file cannot be read; DOTSOCK_E_INVALID: it is not TOML, or has a bad value or
 * an unknown key (sock_last_error() says in which line and column), or is longer than 1 MiB.
 */
int sock_options_load(sock_options *options, const char *path);

/**
 * Sets one option. NULL as `value` sets it back to what the settings files and the environment
 * said when sock_options_new() was called, whatever has been set or loaded since.
 *
 * DOTSOCK_E_INVALID: the key is unknown (sock_last_error() names the nearest known one), or the
 * value is bad (it says what is allowed).
 */
int sock_options_set(sock_options *options, const char *key, const char *value);

/**
 * Writes the value of one option to `buffer`, as text with a NUL, in one form: "true" or "false",
 * "0600", numbers without trailing zeros, "" for what is unset.
 *
 * `size` is that of `buffer`; DOTSOCK_OPTION_SIZE is always enough.
 *
 * DOTSOCK_E_INVALID: the key is unknown, or the buffer is too small (sock_last_error() names the
 * size needed; nothing is written).
 */
int sock_options_get(const sock_options *options, const char *key, char *buffer, size_t size);

/** Frees options. NULL is allowed. */
void sock_options_free(sock_options *options);


/* ------------------------------------------------------------------------------------------------
 * Payloads
 * ------------------------------------------------------------------------------------------------
 * A payload is built value by value, without escaping anything by hand. It is then sent with
 * sock_send_payload() or sock_client_send_payload(), or turned into a message with
 * sock_message_from_payload(), and may be changed and sent again.
 *
 * A value's place is a JSON Pointer: "/status", "/steps/0/name" ("~1" stands for '/' in a key,
 * "~0" for '~'). Missing parents are made: an array if the next token is "-", else a map. In an
 * array "-" appends ("/steps/-/name" appends a map to "steps"); in a map it is a key like any
 * other. Setting replaces what was there, also a whole map; the pointer "" is the payload itself,
 * which only a map can replace.
 *
 * All setters: DOTSOCK_E_INVALID when the pointer is not a JSON Pointer, leads through a value
 * that is neither map nor array, or names an index that the array does not have; DOTSOCK_E_MESSAGE
 * when the value is nested too deeply or is not what the setter takes. A setter that fails changes
 * nothing.
 */

/** An empty payload: a map without keys. Free it with sock_payload_free(). */
sock_payload *sock_payload_new(void);

/** Sets an integer. */
int sock_payload_set_int(sock_payload *payload, const char *pointer, int64_t value);

/** Sets an integer that is not negative, up to 2^64-1. */
int sock_payload_set_uint(sock_payload *payload, const char *pointer, uint64_t value);

/** Sets a floating point number. */
int sock_payload_set_double(sock_payload *payload, const char *pointer, double value);

/** Sets true (anything but 0) or false (0). */
int sock_payload_set_bool(sock_payload *payload, const char *pointer, int value);

/** Sets text, which is copied: NUL-terminated UTF-8. */
int sock_payload_set_string(sock_payload *payload, const char *pointer, const char *value);

/** Sets `size` bytes of binary data, which are copied. (NULL, 0) is empty data. */
int sock_payload_set_bytes(sock_payload *payload,
                           const char *pointer,
                           const void *value,
                           size_t size);

/** Sets nothing: JSON's null. */
int sock_payload_set_null(sock_payload *payload, const char *pointer);

/** Sets any JSON value, such as "[1, 2]", "null" or "\"text\"". */
int sock_payload_set_json(sock_payload *payload, const char *pointer, const char *json);

/** Sets any MessagePack value: `size` bytes, which are copied. */
int sock_payload_set_msgpack(sock_payload *payload,
                             const char *pointer,
                             const void *value,
                             size_t size);

/** Frees a payload. NULL is allowed. */
void sock_payload_free(sock_payload *payload);


/* ------------------------------------------------------------------------------------------------
 * Messages
 * ------------------------------------------------------------------------------------------------
 * A message is immutable, reference-counted, and may be used by any number of threads. Strings and
 * bytes that a getter returns are borrowed from the message until it is freed.
 *
 * Inside, a message is MessagePack. As JSON it keeps the order of its keys, and 64-bit integers
 * stay exact. What JSON does not have is written as:
 *
 * - binary data: base64 text; a MessagePack timestamp: ISO 8601 text
 * - another MessagePack extension: {"type": n, "data": base64}
 * - NaN and infinities: null
 * - a key that is not a string: its JSON text
 * - bytes in text that are not UTF-8: U+FFFD
 *
 * When JSON that is passed in has a key more than once, the last one counts.
 */

/**
 * A message about `event_name` (see sock_validate_event_name()) with this payload: one
 * MessagePack map with str keys (maps inside it may have any keys), of `size` bytes, which are
 * copied; (NULL, 0) is the empty map. `type`: DOTSOCK_DATA, DOTSOCK_ERROR or DOTSOCK_CONTROL. It
 * is stamped with the current time, in the configured timezone.
 *
 * Free it with sock_message_free(). NULL on failure: DOTSOCK_E_INVALID: the name or the type;
 * DOTSOCK_E_MESSAGE: `data` is anything else, or nested more than 128 levels deep.
 */
sock_message *sock_message_new(const char *event_name, int type, const void *data, size_t size);

/**
 * A message from an envelope (the body of a frame) that came from elsewhere, for relays and
 * recorders: it is kept and sent byte for byte, with its name, timestamps, key order and unknown
 * keys. The bytes are copied.
 *
 * Free it with sock_message_free(). NULL on failure: DOTSOCK_E_MESSAGE: it is malformed, and
 * sock_last_error() says why.
 */
sock_message *sock_message_from_envelope(const void *envelope, size_t size);

/**
 * Like sock_message_new(), with a payload from JSON: one object.
 *
 * NULL on failure; DOTSOCK_E_MESSAGE also for an integer outside -2^63 to 2^64-1.
 */
sock_message *sock_message_from_json(const char *event_name, int type, const char *json);

/** Like sock_message_new(), with a copy of `payload` as it is now. */
sock_message *sock_message_from_payload(const char *event_name,
                                        int type,
                                        const sock_payload *payload);

/** The event that the message is about; NULL for NULL. In a message from a peer it may be any text. */
const char *sock_message_event_name(const sock_message *message);

/** DOTSOCK_DATA, DOTSOCK_ERROR or DOTSOCK_CONTROL; -1 for NULL. */
int sock_message_type(const sock_message *message);

/** When the message was made: Unix time in milliseconds; 0 for NULL. */
int64_t sock_message_timestamp_ms(const sock_message *message);

/** The same moment in ISO 8601; NULL for NULL. In a message from a peer it may be any text. */
const char *sock_message_timestamp_iso(const sock_message *message);

/** The payload as MessagePack; its size goes to `size`, unless that is NULL. NULL for NULL. */
const void *sock_message_data(const sock_message *message, size_t *size);

/**
 * The whole envelope, as sock_message_from_envelope() takes it; its size goes to `size`, unless
 * that is NULL. NULL for NULL.
 */
const void *sock_message_envelope(const sock_message *message, size_t *size);

/**
 * The payload as JSON text. It is made on first use and kept with the message.
 *
 * NULL on failure: DOTSOCK_E_INVALID: NULL; DOTSOCK_E_NO_MEMORY; DOTSOCK_E_MESSAGE: it has map
 * keys that are maps with such keys again, nested more than 4 deep.
 */
const char *sock_message_data_json(const sock_message *message);

/**
 * Like sock_message_data_json(), of the whole envelope: with event name, type and timestamps, but
 * without keys of it that this version does not know.
 */
const char *sock_message_json(const sock_message *message);

/**
 * One more reference to the message, to be freed like the first. NULL on failure
 * (DOTSOCK_E_INVALID: NULL).
 */
sock_message *sock_message_ref(const sock_message *message);

/** Gives one reference up; with the last one the message goes. NULL is allowed. */
void sock_message_free(sock_message *message);


/* ------------------------------------------------------------------------------------------------
 * Values of a message
 * ------------------------------------------------------------------------------------------------
 * sock_message_get_...() read one value of the payload. `pointer` says which, as a JSON Pointer:
 * "/status", "/steps/0/name"; "" is the payload itself. A key that is not a string is named by its
 * JSON text.
 *
 * All of them: DOTSOCK_E_INVALID when there is no such value, or when it is of another type (an
 * integer may be read as a double, but no double as an integer).
 */

/** Reads an integer from -2^63 to 2^63-1. */
int sock_message_get_int(const sock_message *message, const char *pointer, int64_t *out);

/** Reads an integer from 0 to 2^64-1. */
int sock_message_get_uint(const sock_message *message, const char *pointer, uint64_t *out);

/** Reads a floating point number, or an integer as one. */
int sock_message_get_double(const sock_message *message, const char *pointer, double *out);

/** Reads true (1) or false (0). */
int sock_message_get_bool(const sock_message *message, const char *pointer, int *out);

/**
 * Reads text: NUL-terminated, and borrowed from the message. Its size without that NUL goes to
 * `size`, unless that is NULL (text may have a NUL inside). Text that is not UTF-8 is left as it
 * came.
 */
int sock_message_get_string(const sock_message *message,
                            const char *pointer,
                            const char **out,
                            size_t *size);

/** Reads binary data, borrowed from the message; its size goes to `size`. */
int sock_message_get_bytes(const sock_message *message,
                           const char *pointer,
                           const void **out,
                           size_t *size);

/**
 * Reads any value as MessagePack, as it came, borrowed from the message; its size goes to `size`.
 * Where a map has a key more than once, the last one counts.
 */
int sock_message_get_msgpack(const sock_message *message,
                             const char *pointer,
                             const void **out,
                             size_t *size);

/**
 * Says of which kind a value is (DOTSOCK_KIND_NIL and so on), for programs that walk through a
 * payload that they do not know.
 */
int sock_message_get_kind(const sock_message *message, const char *pointer, int *out);

/**
 * Says how many elements an array or map has, or how many bytes a string, binary data or an
 * extension has. DOTSOCK_E_INVALID for other kinds.
 */
int sock_message_get_size(const sock_message *message, const char *pointer, size_t *out);

/**
 * Reads key number `index` (from 0) of a map, or the JSON text of a key that is not a string:
 * NUL-terminated, and borrowed from the message. Its size without that NUL goes to `size`, unless
 * that is NULL. DOTSOCK_E_INVALID also when there is no such key, DOTSOCK_E_MESSAGE for a key that
 * has no JSON text: a map with keys that are maps again, nested more than 4 deep. Later keys can
 * still be read.
 */
int sock_message_get_key(const sock_message *message,
                         const char *pointer,
                         size_t index,
                         const char **out,
                         size_t *size);


/* ------------------------------------------------------------------------------------------------
 * Servers
 * ------------------------------------------------------------------------------------------------
 * A server is named by an event, and sends what it has to say to all clients or to one. There
 * are three ways to run it, with one engine behind them:
 *
 * - sock_server_start(): on a thread of the library's own; hooks run there.
 * - sock_server_run(): on the calling thread, until it is stopped; hooks run there.
 * - sock_server_open(), sock_server_next() and sock_server_fd(): no thread and no hooks; the
 *   program asks for events when its own event loop says that there are some.
 *
 * While the server runs in one of these ways, starting it in any way fails with DOTSOCK_E_STATE;
 * only sock_server_run() may be called again, after it was cancelled or interrupted.
 */

/**
 * A server for `event_name` (see sock_validate_event_name()), over DOTSOCK_UNIX or DOTSOCK_TCP.
 * It opens nothing yet. `options` are copied; NULL means the configured ones.
 *
 * Free it with sock_server_free(). NULL on failure:
 * DOTSOCK_E_INVALID: the transport, the name, `port_range_start` over `port_range_end`, or (with
 * NULL options) the configuration;
 * DOTSOCK_E_IO: a relative `socket_dir` or `token_file` cannot be made absolute, the system has no
 * page of memory to give, or (with NULL options) a settings file cannot be read, as for
 * sock_options_new().
 */
sock_server *sock_server_new(int transport, const char *event_name, const sock_options *options);

/**
 * Starts the server on a thread of the library's own, which blocks all signals, and returns once
 * it is listening. Hooks run on that thread. (With the option `blocking_mode` it does what
 * sock_server_run() does.)
 *
 * DOTSOCK_E_STATE: it is running already; DOTSOCK_E_IN_USE: a live Unix server has this event, or
 * no port in the range is free; DOTSOCK_E_PERMISSION: `socket_dir` is not to be trusted or may not
 * be written, the system denies the port, or (over TCP) `token_file` may not be read, may be read
 * by others, or belongs to another user; DOTSOCK_E_INVALID: the path of the socket is too long, or
 * (over TCP) `token` and `token_file` are both set, `token_file` is empty, longer than 4095 bytes
 * or not a regular file, or there is a token and `default_timeout` is 0; DOTSOCK_E_IO: any other
 * system error, see sock_last_os_error(), such as a `token_file` that does not exist.
 */
int sock_server_start(sock_server *server);

/**
 * Runs the server on the calling thread, until sock_server_stop(), sock_server_cancel() or a
 * signal handler. Hooks run on this thread.
 *
 * DOTSOCK_OK: it was stopped. DOTSOCK_E_CANCELLED, DOTSOCK_E_INTERRUPTED: it is still listening
 * and its clients are kept; call it again to go on, or stop it. A stop by another thread in
 * between is not lost: the call that follows returns DOTSOCK_OK at once and starts nothing.
 * Other errors: as for sock_server_start().
 */
int sock_server_run(sock_server *server);

/**
 * Starts to listen, without a thread: the program drives the server with sock_server_next().
 * Hooks are not called. Events that were left when it was last stopped come first.
 *
 * Errors as for sock_server_start().
 */
int sock_server_open(sock_server *server);

/**
 * Drives an opened server, and writes its next event to `out`: free that with sock_event_free().
 * `timeout_ms`: 0 polls, -1 waits without end. A client's events come as connected, messages,
 * disconnected.
 *
 * DOTSOCK_E_TIMEOUT: nothing in time. DOTSOCK_E_NOT_RUNNING: it was never opened, or it was
 * stopped and all events that were left have been returned, including the disconnect of every
 * client. DOTSOCK_E_STATE: it runs in another way. DOTSOCK_E_CANCELLED: sock_server_cancel().
 * DOTSOCK_E_INTERRUPTED: a signal handler ran.
 */
int sock_server_next(sock_server *server, int timeout_ms, sock_event **out);

/**
 * A descriptor for poll, epoll, libuv, GLib or asyncio: readable (level-triggered) for as long as
 * sock_server_next() with timeout 0 has something to do. The same from the first
 * sock_server_open() to sock_server_free(), across stops and starts; -1 before, and for NULL.
 *
 * It belongs to the server: wait on it, never read or close it; `dup` it for code that closes
 * what it is given.
 */
int sock_server_fd(const sock_server *server);

/**
 * Stops the server, in this order: sends answer DOTSOCK_E_NOT_RUNNING, blocked calls end,
 * listening ends and the socket or discovery file goes, what is queued is delivered (for at most
 * the option `linger`), clients are closed, their disconnect hooks run. When it returns all of
 * that is done and no hook runs any more.
 *
 * Harmless when it is not running. In a hook it returns at once: sends answer
 * DOTSOCK_E_NOT_RUNNING from then on, and the rest follows once the hook has returned. In a log
 * function all of it follows once the call that logged is over. The server can be started again,
 * and its backlog is still there.
 */
int sock_server_stop(sock_server *server);

/**
 * Ends the wait of sock_server_run() or sock_server_next(): the one in progress or, if there is
 * none, the next one with a timeout other than 0 returns DOTSOCK_E_CANCELLED. It does so once,
 * however often this was called before. It also ends every send that waits for room.
 *
 * May be called from a signal handler: it takes no lock, allocates nothing, and keeps `errno` and
 * the last error as they are.
 */
int sock_server_cancel(sock_server *server);

/** 1 while the server is running, 0 otherwise (and for NULL). */
int sock_server_is_running(const sock_server *server);

/** The name of the server's event; valid until the server is freed. NULL for NULL. */
const char *sock_server_event_name(const sock_server *server);

/**
 * Where the server listens: the path of its socket, or "host:port", numeric ("" while a TCP
 * server is not listening). Valid until the server is freed, also when it changes. NULL for NULL.
 */
const char *sock_server_address(const sock_server *server);

/** The port that a TCP server listens on; 0 for Unix, while not listening, and for NULL. */
int sock_server_port(const sock_server *server);

/**
 * Disconnects a client, and returns at once: its id is unknown from now on, and none of its
 * messages is delivered any more, not even one that has already arrived. One exception: another
 * thread may already be in a hook with a message of this client, or in a sock_server_next() that
 * is about to return one; that one is still delivered. What is queued for the client is sent (for
 * at most the option `linger`), then it is closed and its disconnect hook or event follows.
 *
 * DOTSOCK_E_NO_CLIENT: nobody has this id.
 */
int sock_server_disconnect_client(sock_server *server, const char *client_id);

/**
 * How many messages are in the backlog, which holds what was broadcast while no client was
 * connected. 0 for NULL.
 */
size_t sock_server_queue_size(const sock_server *server);

/**
 * Empties the backlog, whether the server is running or not. These messages do not count as
 * dropped.
 */
int sock_server_clear_queue(sock_server *server);

/**
 * Writes one counter to `out`; they count from sock_server_new() on.
 *
 * - "clients": connected now
 * - "connections": accepted; "rejected": refused because of `max_connections`, or without the
 *   token
 * - "messages_sent", "bytes_sent": what the kernel took, per recipient, with lengths and notices
 * - "messages_received", "bytes_received"
 * - "messages_dropped": what the kernel never took, per recipient, because a queue or the backlog
 *   was full, a client left, or `linger` was over
 * - "malformed": frames that were malformed, too large, cut off or timed out
 * - "denied": well-formed frames refused because of `allow_client_send`
 * - "queued": in the backlog now
 *
 * DOTSOCK_E_INVALID: no counter has this name.
 */
int sock_server_stat(const sock_server *server, const char *name, uint64_t *out);

/**
 * Stops the server, runs the `drop`s of its hooks, and frees it. NULL is allowed.
 *
 * No other thread may use it any more. In one of its hooks it takes effect once the hook has
 * returned: the other clients' disconnect hooks still run, so release a hook's `ctx` in its
 * `drop`. In a log function it takes effect once the call that logged is over. In a forked child
 * it runs the `drop`s and affects neither peers nor files.
 */
void sock_server_free(sock_server *server);


/* ------------------------------------------------------------------------------------------------
 * Sending
 * ------------------------------------------------------------------------------------------------
 * A server sends to all of its clients, or to the one that `client_id` names.
 *
 * sock_send() sends a message as it is. The other three make one: of the server's event, with the
 * current time, of the `type` DOTSOCK_DATA, DOTSOCK_ERROR or DOTSOCK_CONTROL, and with a payload
 * that is given as MessagePack, as JSON or as a sock_payload.
 */

/**
 * Sends a message: to all clients when `client_id` is NULL, else to that one. Never blocks,
 * unless the option `slow_client` is "block". The message stays the caller's; its event name may
 * differ from the server's.
 *
 * With no client connected a broadcast goes to the backlog (option `message_queue_size`), and the
 * first client that connects gets it. All clients get broadcasts in one order, and what one
 * thread sends arrives in the order of its calls.
 *
 * A broadcast is DOTSOCK_OK even where a client's queue was full: what was not queued counts as
 * dropped, and the client is told; never repeat it. A unicast to a full queue is DOTSOCK_OK with
 * `slow_client` "drop_oldest", DOTSOCK_E_FULL with "drop_newest" and "disconnect", and with
 * "block" it waits: DOTSOCK_E_TIMEOUT, DOTSOCK_E_CANCELLED, DOTSOCK_E_INTERRUPTED,
 * DOTSOCK_E_NO_CLIENT (it left) and DOTSOCK_E_NOT_RUNNING (stopped) mean that it was not queued.
 *
 * DOTSOCK_E_NOT_RUNNING; DOTSOCK_E_NO_CLIENT: nobody has this id; DOTSOCK_E_MESSAGE: it is larger
 * than `max_message_size` or deeper than `max_depth`. DOTSOCK_E_NO_MEMORY: a unicast was dropped;
 * some clients may have got a broadcast, and for the others it counts as dropped, so do not repeat
 * it unless it may arrive twice. (If there was no memory even to encode it, nobody got it.)
 */
int sock_send(sock_server *server, const sock_message *message, const char *client_id);

/**
 * Like sock_send(), with a new message that has this payload: MessagePack, one map with str keys
 * (maps inside it may have any keys), of `size` bytes, or (NULL, 0) for the empty map.
 *
 * DOTSOCK_E_MESSAGE also when `data` is anything else.
 */
int sock_send_data(sock_server *server,
                   int type,
                   const void *data,
                   size_t size,
                   const char *client_id);

/**
 * Like sock_send(), with a new message that has this payload: one JSON object.
 *
 * DOTSOCK_E_MESSAGE also when `json` is anything else; sock_last_error() says where.
 */
int sock_send_json(sock_server *server, int type, const char *json, const char *client_id);

/**
 * Like sock_send(), with a new message that has this payload, which stays the caller's and may be
 * changed and sent again.
 */
int sock_send_payload(sock_server *server,
                      int type,
                      const sock_payload *payload,
                      const char *client_id);

/**
 * From now on messages are collected and written together, by sock_server_uncork() or when there
 * are 64 KiB for a client: for bursts of a server that has no thread of the library's own
 * (sock_server_open() and sock_server_run()). A cork belongs to the server, not to a thread, and
 * does not nest. sock_server_next() and the end of a hook write what was collected and leave the
 * cork on; sock_server_stop() lifts it.
 *
 * DOTSOCK_E_NOT_RUNNING.
 */
int sock_server_cork(sock_server *server);

/**
 * Lifts the cork and writes what was collected. It does not wait: what a client's socket has no
 * room for is written as soon as there is room, by the thread that runs the server or, after
 * sock_server_open(), by sock_server_next().
 *
 * DOTSOCK_E_NOT_RUNNING.
 */
int sock_server_uncork(sock_server *server);


/* ------------------------------------------------------------------------------------------------
 * Hooks
 * ------------------------------------------------------------------------------------------------
 * Functions that the server calls when a client comes, goes, or sends a message. They run with
 * sock_server_start() and sock_server_run(), one at a time, on the thread that runs the server;
 * not with sock_server_open().
 *
 * No lock is held while a hook runs: it may call everything, including sock_send(),
 * sock_server_stop() and sock_server_disconnect_client() for that very client. It must return: no
 * longjmp and no C++ exception may leave it. While it runs, the server reads nothing and its
 * clients wait.
 *
 * `ctx` is handed to the hook as it is. `drop`, if not NULL, is called with it exactly once,
 * after the hook's last call: when the hook is set again, or to NULL, or when the server is
 * freed. A `drop` that is passed with a NULL hook runs at once, before that call returns. When
 * setting fails, nothing was taken and `ctx` is still the caller's.
 *
 * All three: DOTSOCK_E_STATE while the server is running.
 */

/** A hook for a client that has come or gone. `client_id` is valid during the call. */
typedef void (*sock_client_hook_fn)(void *ctx, sock_server *server, const char *client_id);

/**
 * A hook for a message that a client has sent. `client_id` and `message` are valid during the
 * call; sock_message_ref() keeps a message for longer.
 */
typedef void (*sock_message_hook_fn)(void *ctx,
                                     sock_server *server,
                                     const char *client_id,
                                     const sock_message *message);

/**
 * Sets the hook that is called when a client has connected; NULL for none. The client counts as
 * connected before that: what the hook sends reaches it, after the backlog.
 */
int sock_server_on_client_connected(sock_server *server,
                                    sock_client_hook_fn hook,
                                    void *ctx,
                                    sock_drop_fn drop);

/**
 * Sets the hook that is called when a client has left, or was disconnected; NULL for none. No hook
 * is called with this id afterwards.
 */
int sock_server_on_client_disconnected(sock_server *server,
                                       sock_client_hook_fn hook,
                                       void *ctx,
                                       sock_drop_fn drop);

/** Sets the hook that is called when a client has sent a message; NULL for none. */
int sock_server_on_message_received(sock_server *server,
                                    sock_message_hook_fn hook,
                                    void *ctx,
                                    sock_drop_fn drop);


/* ------------------------------------------------------------------------------------------------
 * Events
 * ------------------------------------------------------------------------------------------------
 * What sock_server_next() returns. An event may be used after its server was freed.
 */

/** DOTSOCK_CLIENT_CONNECTED, DOTSOCK_CLIENT_DISCONNECTED or DOTSOCK_MESSAGE_RECEIVED; -1 for NULL. */
int sock_event_kind(const sock_event *event);

/**
 * The id of the client that it is about; valid until the event is freed. "" (which no client has)
 * for NULL.
 */
const char *sock_event_client_id(const sock_event *event);

/**
 * The message that was received, borrowed until the event is freed (sock_message_ref() keeps it
 * for longer); NULL for the other kinds and for NULL.
 */
const sock_message *sock_event_message(const sock_event *event);

/** Frees an event and its message. NULL is allowed. */
void sock_event_free(sock_event *event);


/* ------------------------------------------------------------------------------------------------
 * Lists of clients
 * ------------------------------------------------------------------------------------------------
 * A list is a snapshot of the clients of a server: what it says stays as it was when the list was
 * made. Strings are borrowed from the list until it is freed.
 */

/**
 * The clients that are connected now, none when the server is not running: a snapshot, to be
 * freed with sock_client_list_free().
 *
 * NULL on failure; DOTSOCK_E_NO_MEMORY: there is none for so many.
 */
sock_client_list *sock_server_clients(sock_server *server);

/**
 * A list with the one client that has this id, to be freed with sock_client_list_free().
 *
 * NULL on failure; DOTSOCK_E_NO_CLIENT: nobody has this id.
 */
sock_client_list *sock_server_client(sock_server *server, const char *client_id);

/** How many clients are in the list; 0 for NULL. */
size_t sock_client_list_size(const sock_client_list *list);

/**
 * The client's id, for sock_send(): of A-Z, a-z, 0-9 and '-', at most 63 bytes, never used again
 * by this server. "" (which no client has) for NULL or an index out of range.
 */
const char *sock_client_list_id(const sock_client_list *list, size_t index);

/** Who it is: "uid 1000, pid 4242", or "127.0.0.1:54321". NULL for NULL or an index out of range. */
const char *sock_client_list_address(const sock_client_list *list, size_t index);

/** When it connected: Unix time in milliseconds. 0 for NULL or an index out of range. */
int64_t sock_client_list_connected_at_ms(const sock_client_list *list, size_t index);

/** The user id of the client's process. -1 for TCP, NULL or an index out of range. */
int64_t sock_client_list_uid(const sock_client_list *list, size_t index);

/** The process id of the client. -1 for TCP, NULL or an index out of range. */
int64_t sock_client_list_pid(const sock_client_list *list, size_t index);

/** How many messages were dropped because its queue was full. 0 for NULL or an index out of range. */
uint64_t sock_client_list_dropped(const sock_client_list *list, size_t index);

/**
 * How many bytes wait for it (see the option `client_queue_size`). 0 for NULL or an index out of
 * range.
 */
uint64_t sock_client_list_queued_bytes(const sock_client_list *list, size_t index);

/** Frees a list. NULL is allowed. */
void sock_client_list_free(sock_client_list *list);


/* ------------------------------------------------------------------------------------------------
 * Clients
 * ------------------------------------------------------------------------------------------------
 * A client connects when told to: with sock_client_connect(), which makes one attempt, or with
 * sock_client_open(), which does not wait. From then until sock_client_disconnect(), with the
 * option `auto_reconnect` (the default), sock_client_recv() and the sends connect again by
 * themselves.
 *
 * A client has no thread: it reads when sock_client_recv() is called, and sock_client_fd() tells
 * an event loop when that has something to do.
 *
 * Among the messages are some of the library's own, with a `code` in the payload:
 * {"code": "missed", "count": n}, a DOTSOCK_CONTROL, stands where the server dropped n messages
 * because this client was too slow, or where the client itself did, which had `client_queue_size`
 * bytes untaken from earlier connections as one more ended; {"code": "send_denied"}, a
 * DOTSOCK_ERROR with a "message", says that the server accepts no messages. Don't use these codes for others, nor
 * "max_connections", "auth" and "auth_denied", which server and client settle among themselves.
 */

/**
 * A client of `event_name` (see sock_validate_event_name()), over DOTSOCK_UNIX or DOTSOCK_TCP.
 * Over TCP it connects to `host` and `port` or, when `port` is unset or 0, to the address that the
 * server published in `socket_dir`. It opens nothing yet. `options` are copied; NULL means the
 * configured ones.
 *
 * Free it with sock_client_free(). NULL on failure:
 * DOTSOCK_E_INVALID: the transport, the name, `port_range_start` over `port_range_end`, or (with
 * NULL options) the configuration;
 * DOTSOCK_E_IO: a relative `socket_dir` or `token_file` cannot be made absolute, the system has no
 * page of memory to give, or (with NULL options) a settings file cannot be read, as for
 * sock_options_new().
 */
sock_client *sock_client_new(int transport, const char *event_name, const sock_options *options);

/**
 * From now on the client connects by itself, without blocking and without an attempt in this
 * call: for a program that must not wait, or that may start before its server. The attempts are
 * made by sock_client_recv() and the sends, and sock_client_fd() tells when one is due.
 *
 * DOTSOCK_E_STATE: `auto_reconnect` is off, or `host` is a name that has to be looked up:
 * use sock_client_connect(). DOTSOCK_E_INVALID: the path of the socket is too long. DOTSOCK_E_IO:
 * the process has no descriptor left.
 */
int sock_client_open(sock_client *client);

/**
 * Makes one attempt to connect, of at most the option `default_timeout` (looking up a host's name
 * may take longer). DOTSOCK_OK when it is connected already. With `auto_reconnect`,
 * sock_client_recv() and the sends go on trying after a failure, unless the name of the host could
 * not be looked up.
 *
 * DOTSOCK_E_CLOSED: no server is there (sock_last_os_error(): ENOENT, ECONNREFUSED);
 * DOTSOCK_E_TIMEOUT: no answer in time; DOTSOCK_E_PERMISSION: the server runs as another
 * unprivileged user (see `allow_foreign_server`), a TCP server and this client do not have the
 * same token (see `token_file`), or a file is not to be trusted or not to be read;
 * DOTSOCK_E_INVALID: the path of the socket is too long, or (over TCP) `token` and `token_file`
 * are both set, `token_file` is empty, longer than 4095 bytes or not a regular file, or there is a
 * token and `default_timeout` is 0; DOTSOCK_E_CANCELLED; DOTSOCK_E_INTERRUPTED;
 * DOTSOCK_E_NO_MEMORY: for the whole of `default_timeout` the system had no memory to send the
 * answer of the token handshake; DOTSOCK_E_IO: any other system error, or the name of the host is
 * not known.
 */
int sock_client_connect(sock_client *client);

/**
 * Closes the connection, and stops reconnecting. What was sent is delivered first, which takes at
 * most the option `linger`. Messages that had been read already can still be received; then
 * sock_client_recv() returns DOTSOCK_E_CLOSED, in other threads too. Harmless when not connected.
 */
int sock_client_disconnect(sock_client *client);

/**
 * 1 while the client is connected, 0 otherwise (and for NULL). It looks at the socket without
 * blocking, so that a server that has gone is noticed.
 */
int sock_client_is_connected(const sock_client *client);

/**
 * Waits for the next message and writes it to `out`: free it with sock_message_free().
 * `timeout_ms`: 0 polls, -1 waits without end.
 *
 * DOTSOCK_E_TIMEOUT: nothing in time. DOTSOCK_E_CLOSED: not connected; with `auto_reconnect` only
 * after sock_client_disconnect(), when `reconnect_max_attempts` are used up, or, with the option
 * `report_loss`, once for each lost connection (the next call goes on). DOTSOCK_E_MAX_CONNECTIONS:
 * the server has as many clients as it allows; DOTSOCK_E_PERMISSION: see sock_client_connect(),
 * or the server asks for a token and none is set; DOTSOCK_E_MESSAGE: the server sent something
 * that is not a message. Each of these three is returned once; the next call behaves as after a
 * lost connection. DOTSOCK_E_IO, DOTSOCK_E_INVALID: connecting again fails, and not because no
 * server is there (see sock_client_connect()); once for each lost connection.
 * DOTSOCK_E_CANCELLED: sock_client_cancel(). DOTSOCK_E_INTERRUPTED: a signal handler ran. After
 * these two nothing is lost: call it again to go on.
 */
int sock_client_recv(sock_client *client, int timeout_ms, sock_message **out);

/**
 * 1 when something has been read from the socket and was not taken yet, so that
 * sock_client_recv() need not look at the socket for it; 0 otherwise (and for NULL). It makes no
 * system call and takes no lock. In an event loop, call sock_client_recv() once when
 * sock_client_fd() is readable, and again for as long as this is 1: what comes later makes the
 * descriptor readable again. A hint: with several receiving threads another one may take the
 * message first, and this call then waits or times out.
 */
int sock_client_has_next(const sock_client *client);

/**
 * Sends a message to the server; the message stays the caller's. It waits up to `send_timeout`
 * (`default_timeout` where that is unset) for room, and after a lost connection connects again
 * first.
 *
 * DOTSOCK_E_TIMEOUT (also when no server was there in that time), DOTSOCK_E_NO_MEMORY (the system
 * had none to send with in that time), DOTSOCK_E_CANCELLED and DOTSOCK_E_INTERRUPTED mean that
 * nothing of it was written. Once its first byte is written, it counts as sent: the call succeeds
 * whatever ends the wait, and the next call writes the rest. DOTSOCK_E_CLOSED: not connected.
 * DOTSOCK_E_SEND_DENIED: the server does not accept messages. DOTSOCK_E_MESSAGE: it is larger
 * than `max_message_size` or deeper than `max_depth`. DOTSOCK_E_MAX_CONNECTIONS,
 * DOTSOCK_E_PERMISSION, DOTSOCK_E_IO, DOTSOCK_E_INVALID: as for sock_client_recv().
 */
int sock_client_send(sock_client *client, const sock_message *message);

/**
 * Like sock_client_send(), with a new message of the client's event and this payload: one
 * MessagePack map with str keys, of `size` bytes, or (NULL, 0) for the empty one. `type`:
 * DOTSOCK_DATA, DOTSOCK_ERROR or DOTSOCK_CONTROL.
 *
 * DOTSOCK_E_MESSAGE also when `data` is anything else.
 */
int sock_client_send_data(sock_client *client, int type, const void *data, size_t size);

/**
 * Like sock_client_send(), with a new message of the client's event and this payload: one JSON
 * object.
 *
 * DOTSOCK_E_MESSAGE also when `json` is anything else; sock_last_error() says where.
 */
int sock_client_send_json(sock_client *client, int type, const char *json);

/**
 * Like sock_client_send(), with a new message of the client's event and this payload, which stays
 * the caller's and may be changed and sent again.
 */
int sock_client_send_payload(sock_client *client, int type, const sock_payload *payload);

/**
 * From now on messages are collected and written together, by sock_client_uncork() or when there
 * are 64 KiB: for bursts. A cork belongs to the client, not to a thread, and does not nest.
 * sock_client_recv() writes what was collected and leaves the cork on; sock_client_disconnect()
 * lifts it.
 */
int sock_client_cork(sock_client *client);

/**
 * Lifts the cork and writes what was collected, waiting like sock_client_send(), with its errors.
 * What could not be written stays ahead of later messages, also on a new connection.
 */
int sock_client_uncork(sock_client *client);

/**
 * A descriptor for poll, epoll, libuv, GLib or asyncio: readable (level-triggered) for as long as
 * sock_client_recv() with timeout 0 has something to do. The same from the first
 * sock_client_connect() or sock_client_open() to sock_client_free(), across reconnects; -1
 * before, for NULL, and when the process has no descriptor left.
 *
 * It belongs to the client: wait on it, never read or close it; `dup` it for code that closes
 * what it is given.
 */
int sock_client_fd(const sock_client *client);

/**
 * How many messages have arrived and were not taken (unrelated to the option `buffer_size`). It
 * looks at the socket first, without blocking. 0 for NULL.
 */
size_t sock_client_buffer_size(const sock_client *client);

/**
 * Drops the messages that have arrived and were not taken. It looks at the socket first, without
 * blocking.
 */
int sock_client_clear_buffer(sock_client *client);

/**
 * Ends the wait of sock_client_recv() or sock_client_connect(): the one in progress or, if there
 * is none, the next one that may wait returns DOTSOCK_E_CANCELLED. It does so once, however often
 * this was called before. It also ends every send that waits, or begins to wait before that.
 *
 * May be called from a signal handler: it takes no lock, allocates nothing, and keeps `errno` and
 * the last error as they are.
 */
int sock_client_cancel(sock_client *client);

/** The name of the client's event; valid until the client is freed. NULL for NULL. */
const char *sock_client_event_name(const sock_client *client);

/**
 * The address of the server: the path of its socket, or "host:port", numeric; "" while not
 * connected. Valid until the client is freed, also when it changes. NULL for NULL.
 */
const char *sock_client_address(const sock_client *client);

/** The user id of the server's process; -1 for TCP, while not connected, and for NULL. */
int64_t sock_client_server_uid(const sock_client *client);

/** The process id of the server; -1 for TCP, while not connected, and for NULL. */
int64_t sock_client_server_pid(const sock_client *client);

/**
 * Writes one counter to `out`; they count from sock_client_new() on: "messages_sent",
 * "messages_received", "bytes_sent", "bytes_received" (without the token handshake), "malformed"
 * (frames of the server that were not messages), "reconnects".
 *
 * DOTSOCK_E_INVALID: no counter has this name.
 */
int sock_client_stat(const sock_client *client, const char *name, uint64_t *out);

/**
 * Disconnects the client and frees it. NULL is allowed.
 *
 * No other thread may use it any more. In a log function it takes effect once the call that
 * logged is over. In a forked child the server does not notice it.
 */
void sock_client_free(sock_client *client);


#ifdef __cplusplus
} // extern "C"
#endif

#endif // DOTSOCK_H
