-- Lua's part of tests/conformance, whose README.md says what this does.

local dotsock = require "dotsock"
local json = require "json"
local ffi = require "ffi"

ffi.cdef [[
struct pollfd { int fd; short events, revents; };
int poll(struct pollfd *wanted, unsigned long count, int timeout);
ptrdiff_t read(int fd, void *bytes, size_t size);
]]

local function write(pairs_)
    io.stdout:write(json.object(pairs_), "\n")
    io.stdout:flush()
end

local function write_error(problem, status)
    write { { "error", { status = status, text = tostring(problem) } } }
end

-- What a call of the binding failed with: the library's status, unless the binding itself refused.
local function status_of(problem)
    local status = dotsock.last_status()
    return status ~= 0 and ffi.string(dotsock.library.sock_last_error()) == problem and status
        or dotsock.status.INVALID
end

-- --- Arguments -----------------------------------------------------------------------------------

local function refuse(...)
    io.stderr:write("dotsock_cmd: ", ..., "\n")
    os.exit(2)
end

local function number(text)
    return tonumber(text) or refuse("this is no number: ", text)
end

local function parse(arguments)
    local command = { name = arguments[1], event = arguments[2], options = {}, timeout = 10000 }
    local take = {
        ["--transport"] = function(value) command.options.transport = value end,
        ["--set"] = function(value)
            local key, setting = value:match("^([^=]+)=(.*)$")
            command.options[key or refuse("--set needs KEY=VALUE")] = setting
        end,
        ["--count"] = function(value) command.count = number(value) end,
        ["--timeout"] = function(value) command.timeout = number(value) end,
    }
    if not command.event then
        refuse("usage: dotsock_cmd serve|listen|send EVENT [options]")
    end
    local index = 3
    while arguments[index] do
        local option = arguments[index]
        if option == "--open" then
            command.open = true
        else
            index = index + 1
            local set = take[option] or refuse("there is no option ", option)
            set(arguments[index] or refuse("this needs a value: ", option))
        end
        index = index + 1
    end
    return command
end

-- --- Lines ---------------------------------------------------------------------------------------

local function write_message(message, from)
    write {
        { "event", message.event_name }, { "type", message.type }, { "data", message.data },
        { "timestamp_ms", message.timestamp_ms }, { "timestamp_iso", message.timestamp_iso },
        { "from", from },
    }
end

local function write_stat(object, name)
    write { { "stat", name }, { "value", object:stat(name) } }
end

-- Standard input, of which no more is taken than is there.
local input, chunk = "", ffi.new("uint8_t[65536]")

local function read_input()
    local size = tonumber(ffi.C.read(0, chunk, 65536))
    input = input .. ffi.string(chunk, math.max(size, 0))
    return size > 0
end

local function lines()
    local text, at = input, 1
    return function()
        local stop = text:find("\n", at, true)
        if not stop then
            input = text:sub(at)
            return nil
        end
        local line = text:sub(at, stop - 1)
        at = stop + 1
        return line
    end
end

-- --- Commands ------------------------------------------------------------------------------------

local function at_server(server, line)
    local request = json.read(line)
    if request["do"] == "disconnect" then
        server:disconnect_client(request.client)
    elseif request["do"] == "stat" then
        write_stat(server, request.name)
    elseif request.to then
        server:send_to(request.to, request.data or {}, request.type)
    else
        server:send(request.data or {}, request.type)
    end
end

local function serve(command)
    local server = dotsock.listen(command.event, command.options)
    local missing = command.count or math.huge
    server:on {
        connected = function(id) write { { "connected", id } } end,
        disconnected = function(id) write { { "disconnected", id } } end,
        message = function(id, message)
            write_message(message, id)
            missing = missing - 1
        end,
    }
    write { { "ready", true }, { "address", server:address() } }
    local wanted = ffi.new("struct pollfd[2]", { { 0, 1, 0 }, { server:fd(), 1, 0 } })
    local goes_on = true
    while goes_on and missing > 0 do
        ffi.C.poll(wanted, 2, -1)
        while missing > 0 and server:step(0) do end
        if wanted[0].revents ~= 0 then
            goes_on = read_input()
            for line in lines() do
                local done, problem = pcall(at_server, server, line)
                if not done then
                    write_error(problem, status_of(problem))
                end
            end
        end
    end
    server:stop()
    server:close()
end

local function connect(command)
    local client = dotsock.client(command.event, command.options)
    if command.open then
        client:open()
    else
        client:connect()
    end
    write { { "ready", true }, { "address", client:address() } }
    return client
end

local function receive(client, command, count)
    while count > 0 do
        local message, problem, status = client:recv(command.timeout)
        if not message then
            write_error(problem, status)
            os.exit(1)
        end
        write_message(message)
        count = count - 1
    end
end

local function listen(command)
    receive(connect(command), command, command.count or math.huge)
end

local function send(command)
    local client = connect(command)
    for line in io.lines() do
        local request = json.read(line)
        if request["do"] == "stat" then
            write_stat(client, request.name)
        else
            client:send(request.data or {}, request.type)
        end
    end
    receive(client, command, command.count or 0)
    client:disconnect()
end

local command = parse(arg)
local run = ({ serve = serve, listen = listen, send = send })[command.name]
    or refuse(command.name, " is no command: use serve, listen or send")
local done, problem = pcall(run, command)
if not done then
    write_error(problem, status_of(problem))
    os.exit(1)
end
