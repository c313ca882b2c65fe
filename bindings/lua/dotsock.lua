--- Event sockets: a program says what it is doing, others listen.
--
--     local dotsock = require "dotsock"
--     local server = dotsock.listen("my_event")
--     server:send { status = "processing", progress = 50 }
--
--     local client = dotsock.connect("my_event")
--     for message in client:messages() do print(message.data.progress) end
--
-- docs/lua.md is the guide. What holds for everything here:
--
-- Errors. A failure raises a Lua error: the library's sentence. What a wait may end with (nothing
-- in time, the peer is gone) is no failure: `recv`, `next` and `step` then return nil, the
-- sentence, and a number to compare with `dotsock.status.TIMEOUT` and so on.
--
-- Times to wait are in milliseconds: 0 polls, nil waits without end.
--
-- No C callback ever enters Lua. Servers and clients are closed by `:close()` and by the garbage
-- collector, and belong to the Lua state that made them.

local found, ffi = pcall(require, "ffi")
if not found then
    found, ffi = pcall(require, "cffi")
end
if not found then
    error("dotsock needs a foreign function interface: run it with LuaJIT, or install the module "
        .. "cffi for this Lua (luarocks install cffi-lua)", 0)
end

-- [declarations: generated, `make -C bindings/lua declarations` writes them anew
local SONAME = "libdotsock.so.0"
local DECLARATIONS = [[
typedef enum {
  DOTSOCK_OK = 0,
  DOTSOCK_E_INVALID = -1,
  DOTSOCK_E_IO = -2,
  DOTSOCK_E_TIMEOUT = -3,
  DOTSOCK_E_CLOSED = -4,
  DOTSOCK_E_MESSAGE = -5,
  DOTSOCK_E_MAX_CONNECTIONS = -6,
  DOTSOCK_E_NOT_RUNNING = -7,
  DOTSOCK_E_NO_CLIENT = -8,
  DOTSOCK_E_IN_USE = -9,
  DOTSOCK_E_PERMISSION = -10,
  DOTSOCK_E_SEND_DENIED = -11,
  DOTSOCK_E_FULL = -12,
  DOTSOCK_E_STATE = -13,
  DOTSOCK_E_CANCELLED = -14,
  DOTSOCK_E_INTERRUPTED = -15,
  DOTSOCK_E_FORKED = -16,
  DOTSOCK_E_INTERNAL = -17,
  DOTSOCK_E_NO_MEMORY = -18,
} dotsock_status;

typedef enum {
  DOTSOCK_UNIX = 0,
  DOTSOCK_TCP = 1,
} dotsock_transport;

typedef enum {
  DOTSOCK_DATA = 0,
  DOTSOCK_ERROR = 1,
  DOTSOCK_CONTROL = 2,
} dotsock_message_type;

typedef enum {
  DOTSOCK_KIND_NIL = 0,
  DOTSOCK_KIND_BOOL = 1,
  DOTSOCK_KIND_INT = 2,
  DOTSOCK_KIND_DOUBLE = 3,
  DOTSOCK_KIND_STRING = 4,
  DOTSOCK_KIND_BYTES = 5,
  DOTSOCK_KIND_ARRAY = 6,
  DOTSOCK_KIND_MAP = 7,
  DOTSOCK_KIND_EXT = 8,
} dotsock_kind;

typedef enum {
  DOTSOCK_CLIENT_CONNECTED = 0,
  DOTSOCK_CLIENT_DISCONNECTED = 1,
  DOTSOCK_MESSAGE_RECEIVED = 2,
} dotsock_event_kind;

typedef enum {
  DOTSOCK_LOG_OFF = 0,
  DOTSOCK_LOG_ERROR = 1,
  DOTSOCK_LOG_WARNING = 2,
  DOTSOCK_LOG_INFO = 3,
  DOTSOCK_LOG_DEBUG = 4,
  DOTSOCK_LOG_TRACE = 5,
} dotsock_log_level;

typedef enum {
  DOTSOCK_TIMESTAMP_SIZE = 64,
  DOTSOCK_OPTION_SIZE = 4096,
} dotsock_size;

typedef struct sock_options sock_options;

typedef struct sock_payload sock_payload;

typedef struct sock_message sock_message;

typedef struct sock_server sock_server;

typedef struct sock_event sock_event;

typedef struct sock_client_list sock_client_list;

typedef struct sock_client sock_client;

typedef void (*sock_drop_fn)(void *ctx);

typedef void (*sock_log_fn)(void *ctx, int level, const char *target, const char *text);

typedef void (*sock_client_hook_fn)(void *ctx, sock_server *server, const char *client_id);

typedef void (*sock_message_hook_fn)(void *ctx,
                                     sock_server *server,
                                     const char *client_id,
                                     const sock_message *message);

const char *sock_version(void);

const char *sock_strerror(int status);

int sock_last_status(void);

const char *sock_last_error(void);

int sock_last_os_error(void);

int sock_validate_event_name(const char *name);

int64_t sock_timestamp_ms(void);

int sock_timestamp_iso(const char *timezone, char *buffer, size_t size);

int sock_timestamp_iso_at(const char *timezone, int64_t timestamp_ms, char *buffer, size_t size);

int sock_set_log(int level, sock_log_fn log, void *ctx, sock_drop_fn drop);

int sock_set_log_fd(int level, int fd);

sock_options *sock_options_new(void);

int sock_options_load(sock_options *options, const char *path);

int sock_options_set(sock_options *options, const char *key, const char *value);

int sock_options_get(const sock_options *options, const char *key, char *buffer, size_t size);

void sock_options_free(sock_options *options);

sock_payload *sock_payload_new(void);

int sock_payload_set_int(sock_payload *payload, const char *pointer, int64_t value);

int sock_payload_set_uint(sock_payload *payload, const char *pointer, uint64_t value);

int sock_payload_set_double(sock_payload *payload, const char *pointer, double value);

int sock_payload_set_bool(sock_payload *payload, const char *pointer, int value);

int sock_payload_set_string(sock_payload *payload, const char *pointer, const char *value);

int sock_payload_set_bytes(sock_payload *payload,
                           const char *pointer,
                           const void *value,
                           size_t size);

int sock_payload_set_null(sock_payload *payload, const char *pointer);

int sock_payload_set_json(sock_payload *payload, const char *pointer, const char *json);

int sock_payload_set_msgpack(sock_payload *payload,
                             const char *pointer,
                             const void *value,
                             size_t size);

void sock_payload_free(sock_payload *payload);

sock_message *sock_message_new(const char *event_name, int type, const void *data, size_t size);

sock_message *sock_message_from_envelope(const void *envelope, size_t size);

sock_message *sock_message_from_json(const char *event_name, int type, const char *json);

sock_message *sock_message_from_payload(const char *event_name,
                                        int type,
                                        const sock_payload *payload);

const char *sock_message_event_name(const sock_message *message);

int sock_message_type(const sock_message *message);

int64_t sock_message_timestamp_ms(const sock_message *message);

const char *sock_message_timestamp_iso(const sock_message *message);

const void *sock_message_data(const sock_message *message, size_t *size);

const void *sock_message_envelope(const sock_message *message, size_t *size);

const char *sock_message_data_json(const sock_message *message);

const char *sock_message_json(const sock_message *message);

sock_message *sock_message_ref(const sock_message *message);

void sock_message_free(sock_message *message);

int sock_message_get_int(const sock_message *message, const char *pointer, int64_t *out);

int sock_message_get_uint(const sock_message *message, const char *pointer, uint64_t *out);

int sock_message_get_double(const sock_message *message, const char *pointer, double *out);

int sock_message_get_bool(const sock_message *message, const char *pointer, int *out);

int sock_message_get_string(const sock_message *message,
                            const char *pointer,
                            const char **out,
                            size_t *size);

int sock_message_get_bytes(const sock_message *message,
                           const char *pointer,
                           const void **out,
                           size_t *size);

int sock_message_get_msgpack(const sock_message *message,
                             const char *pointer,
                             const void **out,
                             size_t *size);

int sock_message_get_kind(const sock_message *message, const char *pointer, int *out);

int sock_message_get_size(const sock_message *message, const char *pointer, size_t *out);

int sock_message_get_key(const sock_message *message,
                         const char *pointer,
                         size_t index,
                         const char **out,
                         size_t *size);

sock_server *sock_server_new(int transport, const char *event_name, const sock_options *options);

int sock_server_start(sock_server *server);

int sock_server_run(sock_server *server);

int sock_server_open(sock_server *server);

int sock_server_next(sock_server *server, int timeout_ms, sock_event **out);

int sock_server_fd(const sock_server *server);

int sock_server_stop(sock_server *server);

int sock_server_cancel(sock_server *server);

int sock_server_is_running(const sock_server *server);

const char *sock_server_event_name(const sock_server *server);

const char *sock_server_address(const sock_server *server);

int sock_server_port(const sock_server *server);

int sock_server_disconnect_client(sock_server *server, const char *client_id);

size_t sock_server_queue_size(const sock_server *server);

int sock_server_clear_queue(sock_server *server);

int sock_server_stat(const sock_server *server, const char *name, uint64_t *out);

void sock_server_free(sock_server *server);

int sock_send(sock_server *server, const sock_message *message, const char *client_id);

int sock_send_data(sock_server *server,
                   int type,
                   const void *data,
                   size_t size,
                   const char *client_id);

int sock_send_json(sock_server *server, int type, const char *json, const char *client_id);

int sock_send_payload(sock_server *server,
                      int type,
                      const sock_payload *payload,
                      const char *client_id);

int sock_server_cork(sock_server *server);

int sock_server_uncork(sock_server *server);

int sock_server_on_client_connected(sock_server *server,
                                    sock_client_hook_fn hook,
                                    void *ctx,
                                    sock_drop_fn drop);

int sock_server_on_client_disconnected(sock_server *server,
                                       sock_client_hook_fn hook,
                                       void *ctx,
                                       sock_drop_fn drop);

int sock_server_on_message_received(sock_server *server,
                                    sock_message_hook_fn hook,
                                    void *ctx,
                                    sock_drop_fn drop);

int sock_event_kind(const sock_event *event);

const char *sock_event_client_id(const sock_event *event);

const sock_message *sock_event_message(const sock_event *event);

void sock_event_free(sock_event *event);

sock_client_list *sock_server_clients(sock_server *server);

sock_client_list *sock_server_client(sock_server *server, const char *client_id);

size_t sock_client_list_size(const sock_client_list *list);

const char *sock_client_list_id(const sock_client_list *list, size_t index);

const char *sock_client_list_address(const sock_client_list *list, size_t index);

int64_t sock_client_list_connected_at_ms(const sock_client_list *list, size_t index);

int64_t sock_client_list_uid(const sock_client_list *list, size_t index);

int64_t sock_client_list_pid(const sock_client_list *list, size_t index);

uint64_t sock_client_list_dropped(const sock_client_list *list, size_t index);

uint64_t sock_client_list_queued_bytes(const sock_client_list *list, size_t index);

void sock_client_list_free(sock_client_list *list);

sock_client *sock_client_new(int transport, const char *event_name, const sock_options *options);

int sock_client_open(sock_client *client);

int sock_client_connect(sock_client *client);

int sock_client_disconnect(sock_client *client);

int sock_client_is_connected(const sock_client *client);

int sock_client_recv(sock_client *client, int timeout_ms, sock_message **out);

int sock_client_has_next(const sock_client *client);

int sock_client_send(sock_client *client, const sock_message *message);

int sock_client_send_data(sock_client *client, int type, const void *data, size_t size);

int sock_client_send_json(sock_client *client, int type, const char *json);

int sock_client_send_payload(sock_client *client, int type, const sock_payload *payload);

int sock_client_cork(sock_client *client);

int sock_client_uncork(sock_client *client);

int sock_client_fd(const sock_client *client);

size_t sock_client_buffer_size(const sock_client *client);

int sock_client_clear_buffer(sock_client *client);

int sock_client_cancel(sock_client *client);

const char *sock_client_event_name(const sock_client *client);

const char *sock_client_address(const sock_client *client);

int64_t sock_client_server_uid(const sock_client *client);

int64_t sock_client_server_pid(const sock_client *client);

int sock_client_stat(const sock_client *client, const char *name, uint64_t *out);

void sock_client_free(sock_client *client);
]]
-- declarations]

-- Loaded anew in the same Lua state, as editors do with plugins, the types are there already.
if not pcall(ffi.typeof, "sock_client *") then
    ffi.cdef(DECLARATIONS)
end

-- The reference keeps the library loaded for as long as anything here is in use.
local LIBRARY = os.getenv("DOTSOCK_LIBRARY") or SONAME
local loaded, C = pcall(ffi.load, LIBRARY)
if not loaded then
    error(("dotsock cannot load the shared library %s: %s. Install it (make install, then "
        .. "ldconfig), or name its file in the environment variable DOTSOCK_LIBRARY")
        :format(LIBRARY, C), 0)
end

local floor = math.floor
local to_number = ffi.tonumber or tonumber
local NULL = ffi.nullptr -- nil with LuaJIT, where a null pointer equals nil
local OK = C.DOTSOCK_OK

--- `library` is for the functions that have no form of their own here; see dotsock.h.
local dotsock = { library = C, status = {} }
local status_of = dotsock.status
for name, value in DECLARATIONS:gmatch("DOTSOCK_E_([%u_]+) = (%-%d+)") do
    status_of[name] = tonumber(value)
end

-- --- Errors and arguments -----------------------------------------------------------------------

local function last_error()
    return ffi.string(C.sock_last_error())
end

local function check(status)
    if status ~= OK then
        error(last_error(), 0)
    end
end

-- These are mistakes of the program; with every other status a wait may end.
local MISTAKES = {
    [status_of.INVALID] = true,
    [status_of.STATE] = true,
    [status_of.FORKED] = true,
    [status_of.INTERNAL] = true,
}

local function end_of_wait(status)
    if MISTAKES[status] then
        error(last_error(), 0)
    end
    return nil, last_error(), status
end

local HERE = debug.getinfo(1, "S").source

--- An error in how something here was called, which says where that was.
local function misuse(problem, ...)
    local level = 2
    local frame = debug.getinfo(level, "S")
    while frame and frame.source == HERE do
        level = level + 1
        frame = debug.getinfo(level, "S")
    end
    error(problem:format(...), level)
end

--- Text for the library: what follows a NUL would be lost on the way.
local function text(value, what)
    if type(value) ~= "string" then
        misuse("%s must be a string, not %s", what, type(value))
    end
    if value:find("\0", 1, true) then
        misuse("%s has a NUL byte in it: %q", what, value)
    end
    return value
end

local FOREVER, LONGEST = -1, 2147483647

local function milliseconds(timeout)
    if timeout == nil then
        return FOREVER
    end
    if type(timeout) ~= "number" or not (timeout >= 0 or timeout == FOREVER) then
        misuse("timeout must be a number of milliseconds, or nil to wait without end, not %s",
            tostring(timeout))
    end
    -- Rounded up: less than a millisecond must not become a poll.
    return timeout < LONGEST and math.ceil(timeout) or LONGEST
end

-- --- Values -------------------------------------------------------------------------------------
-- A payload is MessagePack, and a Lua table here. What Lua has no value of its own for is marked:
-- each of these is also the metatable of what it makes, so that getmetatable(x) == dotsock.array
-- tells an array that was received.

local function marker(name, make)
    local mark = {}
    dotsock[name] = setmetatable(mark, {
        __call = make,
        __tostring = function() return "dotsock." .. name end,
    })
    return mark
end

local function marked_table(mark, value)
    if type(value) ~= "table" or getmetatable(value) ~= nil and getmetatable(value) ~= mark then
        misuse("%s must get a plain table, not %s", tostring(mark), type(value))
    end
    return setmetatable(value, mark)
end

local function bytes_of(mark, value)
    if type(value) ~= "string" then
        misuse("%s must get its bytes as a string, not %s", tostring(mark), type(value))
    end
    return value
end

--- Nothing: MessagePack's nil, JSON's null, where a Lua table cannot hold nil.
local null = setmetatable({}, { __tostring = function() return "dotsock.null" end })
dotsock.null = null

--- An array, also when it is empty: dotsock.array {}. All received arrays are marked so.
local Array = marker("array", marked_table)

--- A map whose keys need not be text: dotsock.map { [7] = "seven" }.
local Map = marker("map", marked_table)

--- Binary data: dotsock.bin("\0\1"), with the field `bytes`.
local Bin = marker("bin", function(mark, bytes)
    return setmetatable({ bytes = bytes_of(mark, bytes) }, mark)
end)

--- A MessagePack extension: dotsock.ext(5, "\0\1"), with the fields `type` and `bytes`.
local Ext = marker("ext", function(mark, ext_type, bytes)
    if type(ext_type) ~= "number" or floor(ext_type) ~= ext_type or ext_type < -128
        or ext_type > 127 then
        misuse("dotsock.ext must get a type from -128 to 127 first, not %s", tostring(ext_type))
    end
    return setmetatable({ type = ext_type, bytes = bytes_of(mark, bytes) }, mark)
end)

function Bin.__tostring(bin) return bin.bytes end
function Bin.__eq(a, b) return a.bytes == b.bytes end
function Ext.__tostring(ext) return ext.bytes end
function Ext.__eq(a, b) return a.type == b.type and a.bytes == b.bytes end

local int64, uint64, double = ffi.typeof("int64_t"), ffi.typeof("uint64_t"), ffi.typeof("double")
local byte_array = ffi.typeof("uint8_t[?]")

-- One number seen as another, and as two halves. These are no array: LuaJIT's compiler takes an
-- element of an array inside of a union for something apart from the other members, and would then
-- reuse what was there before.
local halves = ffi.abi("be") and "high, low" or "low, high"
local word = ffi.new("union { double d; int64_t i; uint64_t u; struct { uint32_t " .. halves
    .. "; }; }")
local single = ffi.new("union { float f; uint32_t u; }")

-- Numbers hold whole numbers to 2^53; where Lua has integers (from 5.3 on), all of 64 bits.
local integer_type = math.type
local EXACT = 9007199254740992
local HIGH_EXACT = integer_type and 2147483648 or 2097152

-- --- From MessagePack ---------------------------------------------------------------------------
-- Each reader gets the bytes, where to begin, and where they end; and returns a value and where
-- the next begins. The library has checked the bytes; the checks here stay cheap.

local function cut_off()
    error("the MessagePack of this message ends too early", 0)
end

local function u16(bytes, at)
    return bytes[at] * 256 + bytes[at + 1]
end

local function u32(bytes, at)
    return ((bytes[at] * 256 + bytes[at + 1]) * 256 + bytes[at + 2]) * 256 + bytes[at + 3]
end

local function read_string(bytes, at, stop, size)
    if at + size > stop then
        cut_off()
    end
    return ffi.string(bytes + at, size), at + size
end

local function read_bin(bytes, at, stop, size)
    local value
    value, at = read_string(bytes, at, stop, size)
    return setmetatable({ bytes = value }, Bin), at
end

local function read_ext(bytes, at, stop, size)
    if at >= stop then
        cut_off()
    end
    local ext_type, value = bytes[at], nil
    if ext_type >= 128 then
        ext_type = ext_type - 256
    end
    value, at = read_string(bytes, at + 1, stop, size)
    return setmetatable({ type = ext_type, bytes = value }, Ext), at
end

local read

local function read_array(bytes, at, stop, count)
    local array = {}
    for index = 1, count do
        array[index], at = read(bytes, at, stop)
    end
    return setmetatable(array, Array), at
end

local function read_map(bytes, at, stop, count)
    local map, only_text = {}, true
    for _ = 1, count do
        local key, value
        key, at = read(bytes, at, stop)
        value, at = read(bytes, at, stop)
        if type(key) ~= "string" then
            only_text = false
            if key ~= key then
                key = double(key) -- NaN, which is no key in Lua unless boxed
            end
        end
        map[key] = value
    end
    return only_text and map or setmetatable(map, Map), at
end

local function read_u64(bytes, at)
    local high, low = u32(bytes, at), u32(bytes, at + 4)
    if high < HIGH_EXACT or high * 4294967296 + low == EXACT and low == 0 then
        return high * 4294967296 + low
    end
    word.high, word.low = high, low
    return ffi.cast(uint64, word.u)
end

local function read_i64(bytes, at)
    local high, low = u32(bytes, at), u32(bytes, at + 4)
    local signed = high < 2147483648 and high or high - 4294967296
    if -HIGH_EXACT <= signed and signed < HIGH_EXACT then
        return signed * 4294967296 + low
    end
    if signed == HIGH_EXACT and low == 0 then
        return EXACT
    end
    word.high, word.low = high, low
    return ffi.cast(int64, word.i)
end

local function read_f32(bytes, at)
    single.u = u32(bytes, at)
    return single.f
end

local function read_f64(bytes, at)
    word.high, word.low = u32(bytes, at), u32(bytes, at + 4)
    return word.d
end

-- The numbers, from tag 0xca on: how many bytes, and how they are read.
local NUMBERS = {
    [0xca] = { 4, read_f32 },
    [0xcb] = { 8, read_f64 },
    [0xcc] = { 1, function(bytes, at) return bytes[at] end },
    [0xcd] = { 2, u16 },
    [0xce] = { 4, u32 },
    [0xcf] = { 8, read_u64 },
    [0xd0] = { 1, function(bytes, at)
        local value = bytes[at]
        return value < 128 and value or value - 256
    end },
    [0xd1] = { 2, function(bytes, at)
        local value = u16(bytes, at)
        return value < 32768 and value or value - 65536
    end },
    [0xd2] = { 4, function(bytes, at)
        local value = u32(bytes, at)
        return value < 2147483648 and value or value - 4294967296
    end },
    [0xd3] = { 8, read_i64 },
}

-- What begins with a size: of how many bytes that is, and what follows.
local SIZED = {
    [0xc4] = { 1, read_bin }, [0xc5] = { 2, read_bin }, [0xc6] = { 4, read_bin },
    [0xc7] = { 1, read_ext }, [0xc8] = { 2, read_ext }, [0xc9] = { 4, read_ext },
    [0xd9] = { 1, read_string }, [0xda] = { 2, read_string }, [0xdb] = { 4, read_string },
    [0xdc] = { 2, read_array }, [0xdd] = { 4, read_array },
    [0xde] = { 2, read_map }, [0xdf] = { 4, read_map },
}

local FIXED_EXT = { [0xd4] = 1, [0xd5] = 2, [0xd6] = 4, [0xd7] = 8, [0xd8] = 16 }

local function read_rare(bytes, at, stop, tag)
    if tag == 0xc0 then
        return null, at
    elseif tag == 0xc2 then
        return false, at
    elseif tag == 0xc3 then
        return true, at
    end
    local number = NUMBERS[tag]
    if number then
        if at + number[1] > stop then
            cut_off()
        end
        return number[2](bytes, at), at + number[1]
    end
    local sized = SIZED[tag]
    if sized then
        local width = sized[1]
        if at + width > stop then
            cut_off()
        end
        local size = width == 1 and bytes[at] or width == 2 and u16(bytes, at) or u32(bytes, at)
        return sized[2](bytes, at + width, stop, size)
    end
    local size = FIXED_EXT[tag]
    if size then
        return read_ext(bytes, at, stop, size)
    end
    error("the MessagePack of this message has a reserved byte", 0)
end

function read(bytes, at, stop)
    if at >= stop then
        cut_off()
    end
    local tag = bytes[at]
    if tag < 0x80 then
        return tag, at + 1
    elseif tag < 0x90 then
        return read_map(bytes, at + 1, stop, tag - 0x80)
    elseif tag < 0xa0 then
        return read_array(bytes, at + 1, stop, tag - 0x90)
    elseif tag < 0xc0 then
        return read_string(bytes, at + 1, stop, tag - 0xa0)
    elseif tag >= 0xe0 then
        return tag - 256, at + 1
    end
    return read_rare(bytes, at + 1, stop, tag)
end

-- --- To MessagePack -----------------------------------------------------------------------------
-- One buffer that grows and is used again. Each writer gets where to begin, and returns where the
-- next begins. Nothing of the user's runs meanwhile: tables are read without their metamethods.

local SMALL_BUFFER, LARGEST_KEPT_BUFFER, DEEPEST = 4096, 1048576, 1024
local capacity = SMALL_BUFFER
local buffer = byte_array(capacity)

-- The tables around the value that is being written, and its place in each of them.
local parents, places = {}, {}

local function refuse(depth, problem)
    local where = "data"
    for level = 1, depth do
        local place = places[level]
        if type(place) == "string" and place:find("^[%a_][%w_]*$") then
            where = where .. "." .. place
        else
            where = where .. "[" .. (type(place) == "string" and ("%q"):format(place)
                or tostring(place)) .. "]"
        end
    end
    parents, places = {}, {}
    misuse("%s %s", where, problem)
end

local function make_room(at, size)
    if at + size > capacity then
        local larger = math.max(2 * capacity, at + size)
        local grown = byte_array(larger)
        ffi.copy(grown, buffer, at)
        buffer, capacity = grown, larger
    end
end

local function write_u16(at, value)
    buffer[at], buffer[at + 1] = floor(value / 256), value % 256
end

local function write_u32(at, value)
    buffer[at], buffer[at + 1] = floor(value / 16777216), floor(value / 65536) % 256
    buffer[at + 2], buffer[at + 3] = floor(value / 256) % 256, value % 256
end

local function write_word(at, tag)
    buffer[at] = tag
    write_u32(at + 1, word.high)
    write_u32(at + 5, word.low)
    return at + 9
end

local function write_integer(at, value)
    make_room(at, 9)
    if value >= 0 then
        if value < 0x80 then
            buffer[at] = value
            return at + 1
        elseif value < 0x100 then
            buffer[at], buffer[at + 1] = 0xcc, value
            return at + 2
        elseif value < 0x10000 then
            buffer[at] = 0xcd
            write_u16(at + 1, value)
            return at + 3
        elseif value < 4294967296 then
            buffer[at] = 0xce
            write_u32(at + 1, value)
            return at + 5
        end
        word.i = value
        return write_word(at, 0xcf)
    end
    if value >= -0x20 then
        buffer[at] = 256 + value
        return at + 1
    elseif value >= -0x80 then
        buffer[at], buffer[at + 1] = 0xd0, 256 + value
        return at + 2
    elseif value >= -0x8000 then
        buffer[at] = 0xd1
        write_u16(at + 1, 65536 + value)
        return at + 3
    elseif value >= -2147483648 then
        buffer[at] = 0xd2
        write_u32(at + 1, 4294967296 + value)
        return at + 5
    end
    word.i = value
    return write_word(at, 0xd3)
end

local function write_float(at, value)
    make_room(at, 9)
    word.d = value
    return write_word(at, 0xcb)
end

local function is_integer(value)
    if integer_type then
        return integer_type(value) == "integer"
    end
    return floor(value) == value and value >= -EXACT and value <= EXACT
        and not (value == 0 and 1 / value < 0) -- -0 is a float
end

local function write_number(value, at)
    if is_integer(value) then
        return write_integer(at, value)
    end
    return write_float(at, value)
end

local function write_cdata(value, at, depth)
    if ffi.istype(double, value) then
        return write_float(at, to_number(value))
    end
    local signed = ffi.istype(int64, value)
    if not signed and not ffi.istype(uint64, value) then
        refuse(depth, ("is a %s, which cannot be sent: of cdata only int64_t and uint64_t can")
            :format(tostring(ffi.typeof(value))))
    end
    if signed then
        word.i = value
    else
        word.u = value
    end
    local high = word.high
    local negative = signed and high >= 2147483648
    if negative and high >= 4294967296 - 2097152 or high < 2097152 then
        return write_integer(at, to_number(value))
    end
    make_room(at, 9)
    return write_word(at, negative and 0xd3 or 0xcf)
end

-- The head of something with a size: a tag alone where `fixed` says so, else one of up to three
-- tags, for a size of 1, 2 and 4 bytes.
local function write_head(at, size, fixed, fixed_limit, tag8, tag16, tag32)
    make_room(at, 5)
    if size < fixed_limit then
        buffer[at] = fixed + size
        return at + 1
    elseif tag8 and size < 0x100 then
        buffer[at], buffer[at + 1] = tag8, size
        return at + 2
    elseif size < 0x10000 then
        buffer[at] = tag16
        write_u16(at + 1, size)
        return at + 3
    end
    buffer[at] = tag32
    write_u32(at + 1, size)
    return at + 5
end

local function write_bytes(at, bytes)
    make_room(at, #bytes)
    ffi.copy(buffer + at, bytes, #bytes)
    return at + #bytes
end

local function continues(at, stop)
    return at < stop and buffer[at] >= 0x80 and buffer[at] < 0xc0
end

-- How long the character is that begins with this byte of at least 0x80; 0 when it is no UTF-8.
local function character(at, stop)
    local first, second = buffer[at], at + 1 < stop and buffer[at + 1] or 0
    if first < 0xc2 or first > 0xf4 or not continues(at + 1, stop) then
        return 0
    elseif first < 0xe0 then
        return 2
    elseif first < 0xf0 then
        local overlong, surrogate = first == 0xe0 and second < 0xa0, first == 0xed and second > 0x9f
        return not overlong and not surrogate and continues(at + 2, stop) and 3 or 0
    end
    local outside = first == 0xf0 and second < 0x90 or first == 0xf4 and second > 0x8f
    return not outside and continues(at + 2, stop) and continues(at + 3, stop) and 4 or 0
end

local function is_utf8(at, stop)
    while at < stop do
        if buffer[at] < 0x80 then
            at = at + 1
        else
            local length = character(at, stop)
            if length == 0 then
                return false
            end
            at = at + length
        end
    end
    return true
end

local function write_text(value, at, depth)
    local start = write_head(at, #value, 0xa0, 32, 0xd9, 0xda, 0xdb)
    local stop = write_bytes(start, value)
    if not is_utf8(start, stop) then
        refuse(depth, "is no UTF-8 text: mark binary data with dotsock.bin(…)")
    end
    return stop
end

local function write_bin(value, at)
    return write_bytes(write_head(at, #value.bytes, 0, 0, 0xc4, 0xc5, 0xc6), value.bytes)
end

local FIXED_EXT_TAGS = { [1] = 0xd4, [2] = 0xd5, [4] = 0xd6, [8] = 0xd7, [16] = 0xd8 }

local function write_ext(value, at)
    local bytes = value.bytes
    make_room(at, 6)
    local fixed = FIXED_EXT_TAGS[#bytes]
    if fixed then
        buffer[at] = fixed
        at = at + 1
    else
        at = write_head(at, #bytes, 0, 0, 0xc7, 0xc8, 0xc9)
        make_room(at, 1)
    end
    buffer[at] = value.type % 256
    return write_bytes(at + 1, bytes)
end

local write

local function write_array(array, at, depth, size)
    at = write_head(at, size, 0x90, 16, nil, 0xdc, 0xdd)
    for index = 1, size do
        places[depth] = index
        at = write(array[index], at, depth)
    end
    return at
end

local function write_map(map, at, depth, size)
    at = write_head(at, size, 0x80, 16, nil, 0xde, 0xdf)
    for key, value in next, map do
        places[depth] = key
        at = write(key, at, depth)
        at = write(value, at, depth)
    end
    return at
end

-- How many entries a table has, how many of them by text, and whether the others are 1, 2, 3, …
local function survey(value)
    local size, texts, largest = 0, 0, 0
    for key in next, value do
        size = size + 1
        if type(key) == "string" then
            texts = texts + 1
        elseif type(key) == "number" and floor(key) == key and key >= 1 then
            largest = key > largest and key or largest
        else
            largest = math.huge
        end
    end
    return size, texts, largest == size - texts
end

local function write_content(value, at, depth)
    local mark = getmetatable(value)
    local size, texts, sequence = survey(value)
    if mark == Map or mark ~= Array and texts == size then
        return write_map(value, at, depth, size)
    elseif texts == 0 and sequence then
        return write_array(value, at, depth, size)
    elseif texts > 0 then
        refuse(depth - 1, "has keys that are text and others: send it as an array of its own, or "
            .. "mark it with dotsock.map(…), whose keys may be anything")
    end
    refuse(depth - 1, "is an array with gaps, or with keys that are no numbers from 1 on: put "
        .. "dotsock.null into its gaps, or mark it with dotsock.map(…)")
end

local function write_table(value, at, depth)
    local mark = getmetatable(value)
    if value == null then
        make_room(at, 1)
        buffer[at] = 0xc0
        return at + 1
    elseif mark == Bin and type(value.bytes) == "string" then
        return write_bin(value, at)
    elseif mark == Ext and type(value.bytes) == "string" and type(value.type) == "number" then
        return write_ext(value, at)
    end
    for level = 1, depth do
        if parents[level] == value then
            refuse(depth, "contains itself")
        end
    end
    if depth == DEEPEST then
        refuse(0, ("is nested deeper than %d levels"):format(DEEPEST))
    end
    parents[depth + 1] = value
    at = write_content(value, at, depth + 1)
    parents[depth + 1] = nil
    return at
end

local editor = rawget(_G, "vim")
local editors_null = type(editor) == "table" and editor.NIL or nil

function write(value, at, depth)
    local kind = type(value)
    if kind == "string" then
        return write_text(value, at, depth)
    elseif kind == "number" then
        return write_number(value, at)
    elseif kind == "table" then
        return write_table(value, at, depth)
    elseif kind == "boolean" then
        make_room(at, 1)
        buffer[at] = value and 0xc3 or 0xc2
        return at + 1
    elseif kind == "cdata" or kind == "userdata" and ffi.type and ffi.type(value) == "cdata" then
        return write_cdata(value, at, depth)
    elseif editors_null ~= nil and value == editors_null then
        return write_table(null, at, depth)
    end
    refuse(depth, ("is a %s, which cannot be sent"):format(kind))
end

--- Writes a payload to the buffer, and returns its size.
local function write_payload(data)
    local mark = getmetatable(data)
    if type(data) ~= "table" or data == null or mark == Bin or mark == Ext or mark == Array then
        misuse("data must be a table whose keys are text, not %s",
            type(data) == "table" and tostring(data == null and data or mark) or type(data))
    end
    for key in next, data do
        if type(key) ~= "string" then
            misuse("data must have keys that are text, not %s", tostring(key))
        end
    end
    if capacity > LARGEST_KEPT_BUFFER then
        buffer, capacity = byte_array(SMALL_BUFFER), SMALL_BUFFER
    end
    return write(data, 0, 0)
end

-- --- Messages -----------------------------------------------------------------------------------
-- A message keeps the bytes of its envelope, where the garbage collector sees their size, and is
-- decoded when it is first looked at.

local Message = {}

local MESSAGE_TYPES = {
    data = C.DOTSOCK_DATA,
    error = C.DOTSOCK_ERROR,
    control = C.DOTSOCK_CONTROL,
}

local function type_number(message_type)
    local number = MESSAGE_TYPES[message_type == nil and "data" or message_type]
    if not number then
        misuse('type must be "data", "error" or "control", not %s', tostring(message_type))
    end
    return number
end

local size_out = ffi.new("size_t[1]")

local function message_of(pointer)
    local envelope = C.sock_message_envelope(pointer, size_out)
    local size = to_number(size_out[0])
    local bytes = byte_array(size)
    ffi.copy(bytes, envelope, size)
    return setmetatable({ bytes, size, false }, Message)
end

-- The names under which a message has what its envelope says.
local FIELDS = {
    event_name = "event_name",
    timestamp_ms = "timestamp_ms",
    timestamp_iso = "timestamp_iso",
    message_type = "type",
    data = "data",
}

-- How many entries the map has that an envelope is, and where they begin.
local function map_head(bytes)
    local tag = bytes[0]
    if tag < 0x90 then
        return tag - 0x80, 1
    elseif tag == 0xde then
        return u16(bytes, 1), 3
    end
    return u32(bytes, 1), 5
end

local function open_envelope(message)
    local fields = {
        event_name = false, timestamp_ms = false, timestamp_iso = false, type = false, data = false,
    }
    local bytes, stop = message[1], message[2]
    local count, at = map_head(bytes)
    for _ = 1, count do
        local key, value
        key, at = read(bytes, at, stop)
        value, at = read(bytes, at, stop)
        local field = FIELDS[key]
        if field then
            fields[field] = value
        end
    end
    message[3] = fields
    return fields
end

function Message.__index(message, name)
    local fields = message[3] or open_envelope(message)
    local value = fields[name]
    if value == nil then
        value = Message[name]
    end
    return value
end

local function with_pointer(message)
    local pointer = C.sock_message_from_envelope(message[1], message[2])
    if pointer == NULL then
        error(last_error(), 0)
    end
    return ffi.gc(pointer, C.sock_message_free)
end

--- The whole message as JSON text.
function Message.json(message)
    local pointer = with_pointer(message)
    local json = C.sock_message_json(pointer)
    if json == NULL then
        error(last_error(), 0)
    end
    return ffi.string(json)
end

Message.__tostring = Message.json

--- A message of any event, to be sent as often as one likes.
function dotsock.message(event_name, data, message_type)
    event_name = text(event_name, "event_name")
    local number = type_number(message_type)
    local size = write_payload(data)
    local pointer = C.sock_message_new(event_name, number, buffer, size)
    if pointer == NULL then
        error(last_error(), 0)
    end
    local message = message_of(pointer)
    C.sock_message_free(pointer)
    return message
end

-- --- What servers and clients have in common ----------------------------------------------------

local TRANSPORTS = { unix = C.DOTSOCK_UNIX, tcp = C.DOTSOCK_TCP }

local function option_text(key, value)
    if type(value) == "number" then
        return floor(value) == value and ("%.0f"):format(value) or ("%.14g"):format(value)
    elseif type(value) == "string" or type(value) == "boolean" then
        return tostring(value)
    end
    misuse("options.%s must be a string, a number or a boolean, not %s", key, type(value))
end

-- What is no option of the library: the transport, and a settings file to read first.
local OWN_OPTIONS = { transport = true, settings = true }

local function options_of(options)
    local pointer = C.sock_options_new()
    if pointer == NULL then
        error(last_error(), 0)
    end
    pointer = ffi.gc(pointer, C.sock_options_free)
    if options.settings ~= nil then
        check(C.sock_options_load(pointer, text(options.settings, "options.settings")))
    end
    for key, value in pairs(options) do
        if type(key) ~= "string" then
            misuse("options must have names as keys, not %s", tostring(key))
        elseif not OWN_OPTIONS[key] then
            value = text(option_text(key, value), "options." .. key)
            check(C.sock_options_set(pointer, text(key, "options"), value))
        end
    end
    return pointer
end

--- Makes a server or client: `create` and `free` are the library's functions.
local function make(class, create, free, event_name, options)
    event_name = text(event_name, "event_name")
    if options ~= nil and type(options) ~= "table" then
        misuse("options must be a table, not %s", type(options))
    end
    local name = options and options.transport
    local transport = TRANSPORTS[name == nil and "unix" or name]
    if not transport then
        misuse('options.transport must be "unix" or "tcp", not %s', tostring(name))
    end
    local handle = create(transport, event_name, options and options_of(options))
    if handle == NULL then
        error(last_error(), 0)
    end
    return setmetatable({ handle = ffi.gc(handle, free), free = free }, class)
end

local function class(name)
    local methods = { name = name }
    methods.__index = methods
    methods.__tostring = function(object)
        return ("dotsock.%s (%s)"):format(name, object.handle and object:event_name() or "closed")
    end
    return methods
end

--- The library's handle; an error when the object is closed, or is none of this class.
local function handle_of(object, class)
    if getmetatable(object) ~= class then
        misuse("this is a method of a %s: call it with a colon", class.name)
    end
    local handle = object.handle
    if not handle then
        misuse("this %s is closed", class.name)
    end
    return handle
end

--- Methods that hand a call with no more arguments on, and return the object.
local function verbs(class, prefix, names)
    for _, name in ipairs(names) do
        local call = C[prefix .. name]
        class[name] = function(object)
            check(call(handle_of(object, class)))
            return object
        end
    end
end

--- Methods that return what a getter says, turned into a Lua value.
local function getters(class, prefix, convert, names)
    for _, name in ipairs(names) do
        local call = C[prefix .. name]
        class[name] = function(object)
            return convert(call(handle_of(object, class)))
        end
    end
end

local function to_boolean(number) return number ~= 0 end

-- Descriptors, ids of users and of processes: -1 is none.
local function to_id(number)
    number = to_number(number)
    return number ~= -1 and number or nil
end

local counter_out = ffi.new("uint64_t[1]")

local function statistics(class, call)
    --- One counter, by name.
    function class.stat(object, name)
        check(call(handle_of(object, class), text(name, "name"), counter_out))
        return to_number(counter_out[0])
    end
end

local function closing(class)
    --- Closes it now, not when the garbage collector comes. Harmless when closed already.
    function class.close(object)
        if getmetatable(object) ~= class then
            handle_of(object, class)
        end
        local attachment, handle = object.attachment, object.handle
        object.attachment, object.handle = nil, nil
        if attachment then
            attachment:close()
        end
        if handle then
            object.free(ffi.gc(handle, nil))
        end
    end
    class.__close = class.close
end

-- --- Clients ------------------------------------------------------------------------------------

local Client = class("client")
verbs(Client, "sock_client_", {
    "open", "connect", "disconnect", "cork", "uncork", "clear_buffer", "cancel",
})
getters(Client, "sock_client_", ffi.string, { "event_name", "address" })
getters(Client, "sock_client_", to_number, { "buffer_size" })
getters(Client, "sock_client_", to_boolean, { "is_connected", "has_next" })
getters(Client, "sock_client_", to_id, { "fd", "server_uid", "server_pid" })
statistics(Client, C.sock_client_stat)
closing(Client)

local message_out = ffi.new("sock_message *[1]")

--- The next message; or nil, a sentence and a status when the wait ended without one.
function Client.recv(client, timeout)
    local status = C.sock_client_recv(handle_of(client, Client), milliseconds(timeout), message_out)
    if status ~= OK then
        return end_of_wait(status)
    end
    local pointer = message_out[0]
    local message = message_of(pointer)
    C.sock_message_free(pointer)
    return message
end

-- After these the iteration is over; with any other it fails.
local ENDS_ITERATION = {
    [status_of.TIMEOUT] = true,
    [status_of.CLOSED] = true,
    [status_of.CANCELLED] = true,
}

--- Iterates over the messages, until nothing has come for that time or the connection has ended.
function Client.messages(client, timeout)
    handle_of(client, Client)
    milliseconds(timeout)
    return function()
        while true do
            local message, problem, status = Client.recv(client, timeout)
            if message or ENDS_ITERATION[status] then
                return message
            elseif status ~= status_of.INTERRUPTED then
                error(problem, 0)
            end
        end
    end
end

--- Sends a table, or a message as it is.
function Client.send(client, data, message_type)
    local handle = handle_of(client, Client)
    if getmetatable(data) == Message then
        check(C.sock_client_send(handle, with_pointer(data)))
        return client
    end
    local number = type_number(message_type)
    local size = write_payload(data)
    check(C.sock_client_send_data(handle, number, buffer, size))
    return client
end

--- A client that is not connected yet: `client:connect()` or `client:open()` does that.
function dotsock.client(event_name, options)
    return make(Client, C.sock_client_new, C.sock_client_free, event_name, options)
end

--- A client that is connected.
function dotsock.connect(event_name, options)
    return dotsock.client(event_name, options):connect()
end

-- --- Servers ------------------------------------------------------------------------------------

local Server = class("server")
verbs(Server, "sock_server_", { "open", "cork", "uncork", "stop", "clear_queue", "cancel" })
getters(Server, "sock_server_", ffi.string, { "event_name", "address" })
getters(Server, "sock_server_", to_number, { "port", "queue_size" })
getters(Server, "sock_server_", to_id, { "fd" })
getters(Server, "sock_server_", to_boolean, { "is_running" })
statistics(Server, C.sock_server_stat)
closing(Server)

local event_out = ffi.new("sock_event *[1]")

local EVENTS = {
    [C.DOTSOCK_CLIENT_CONNECTED] = "connected",
    [C.DOTSOCK_CLIENT_DISCONNECTED] = "disconnected",
    [C.DOTSOCK_MESSAGE_RECEIVED] = "message",
}

--- The next event: "connected", "disconnected" or "message", the client's id, and the message; or
-- nil, a sentence and a status when the wait ended without one.
function Server.next(server, timeout)
    local status = C.sock_server_next(handle_of(server, Server), milliseconds(timeout), event_out)
    if status ~= OK then
        return end_of_wait(status)
    end
    local event = event_out[0]
    local kind = C.sock_event_kind(event)
    local client_id = ffi.string(C.sock_event_client_id(event))
    local pointer = C.sock_event_message(event)
    local message = pointer ~= NULL and message_of(pointer) or nil
    C.sock_event_free(event)
    -- Later versions add kinds of events, which nobody has a function for.
    return EVENTS[kind] or "unknown", client_id, message
end

local HANDLERS = { connected = true, disconnected = true, message = true }

--- Sets what `step` and `run` call: connected(client_id), disconnected(client_id) and
-- message(client_id, message). What is not named stays; false removes one.
function Server.on(server, handlers)
    handle_of(server, Server)
    if type(handlers) ~= "table" then
        misuse("handlers must be a table, not %s", type(handlers))
    end
    for name, handler in pairs(handlers) do
        if not HANDLERS[name] then
            misuse("handlers.%s: there are connected, disconnected and message", tostring(name))
        elseif type(handler) ~= "function" and handler ~= false then
            misuse("handlers.%s must be a function, not %s", name, type(handler))
        end
    end
    server.handlers = server.handlers or {}
    for name, handler in pairs(handlers) do
        server.handlers[name] = handler
    end
    return server
end

--- Waits for one event and calls the function for it: true; or nil, a sentence and a status when
-- there was none.
function Server.step(server, timeout)
    local kind, client_id, message = Server.next(server, timeout)
    if not kind then
        return nil, client_id, message
    end
    local handler = server.handlers and server.handlers[kind]
    if handler then
        handler(client_id, message)
    end
    return true
end

--- Listens, and calls the functions for all events, until one of them stops or closes the server:
-- true; or nil, a sentence and a status after `cancel`.
function Server.run(server)
    if C.sock_server_is_running(handle_of(server, Server)) == 0 then
        server:open()
    end
    while server.handle do
        local _, problem, status = Server.step(server)
        if status == status_of.NOT_RUNNING then
            return true
        elseif status and status ~= status_of.INTERRUPTED then
            return nil, problem, status
        end
    end
    return true
end

local function send(server, data, message_type, client_id)
    local handle = handle_of(server, Server)
    if getmetatable(data) == Message then
        check(C.sock_send(handle, with_pointer(data), client_id))
        return server
    end
    local number = type_number(message_type)
    local size = write_payload(data)
    check(C.sock_send_data(handle, number, buffer, size, client_id))
    return server
end

--- Sends a table, or a message as it is, to all clients.
function Server.send(server, data, message_type)
    return send(server, data, message_type, nil)
end

--- Sends it to one client.
function Server.send_to(server, client_id, data, message_type)
    handle_of(server, Server)
    return send(server, data, message_type, text(client_id, "client_id"))
end

--- Disconnects one client, once what is queued for it was delivered.
function Server.disconnect_client(server, client_id)
    check(C.sock_server_disconnect_client(handle_of(server, Server), text(client_id, "client_id")))
    return server
end

local function clients_of(list)
    if list == NULL then
        error(last_error(), 0)
    end
    list = ffi.gc(list, C.sock_client_list_free)
    local clients = {}
    for index = 0, to_number(C.sock_client_list_size(list)) - 1 do
        clients[index + 1] = {
            id = ffi.string(C.sock_client_list_id(list, index)),
            address = ffi.string(C.sock_client_list_address(list, index)),
            connected_at_ms = to_number(C.sock_client_list_connected_at_ms(list, index)),
            uid = to_id(C.sock_client_list_uid(list, index)),
            pid = to_id(C.sock_client_list_pid(list, index)),
            dropped = to_number(C.sock_client_list_dropped(list, index)),
            queued_bytes = to_number(C.sock_client_list_queued_bytes(list, index)),
        }
    end
    return clients
end

--- The clients that are connected now: an array of tables with id, address, connected_at_ms, uid,
-- pid, dropped and queued_bytes.
function Server.clients(server)
    return clients_of(C.sock_server_clients(handle_of(server, Server)))
end

--- The one client with this id.
function Server.client(server, client_id)
    return clients_of(C.sock_server_client(handle_of(server, Server),
        text(client_id, "client_id")))[1]
end

--- A server that does not listen yet: `server:open()` or `server:run()` does that.
function dotsock.server(event_name, options)
    return make(Server, C.sock_server_new, C.sock_server_free, event_name, options)
end

--- A server that listens. `step`, `next` or `run` drive it: clients are let in while one runs.
function dotsock.listen(event_name, options)
    return dotsock.server(event_name, options):open()
end

-- --- The library --------------------------------------------------------------------------------

--- The version of the library that is in use.
function dotsock.version()
    return ffi.string(C.sock_version())
end

--- The status of the last call of the library that can fail: of use after an error was caught.
function dotsock.last_status()
    return C.sock_last_status()
end

--- Unix time in milliseconds, as messages carry it.
function dotsock.timestamp_ms()
    return to_number(C.sock_timestamp_ms())
end

local LOG_LEVELS = {}
for name, value in DECLARATIONS:gmatch("DOTSOCK_LOG_(%u+) = (%d+)") do
    LOG_LEVELS[name:lower()] = tonumber(value)
end

--- Logs records up to "off", "error", "warning", "info", "debug" or "trace" to a descriptor,
-- standard error when none is given.
function dotsock.log(level, fd)
    local number = LOG_LEVELS[level]
    if not number then
        misuse('level must be "off", "error", "warning", "info", "debug" or "trace", not %s',
            tostring(level))
    elseif fd ~= nil and type(fd) ~= "number" then
        misuse("fd must be a number, not %s", type(fd))
    end
    check(C.sock_set_log_fd(number, fd or 2))
end

return dotsock
