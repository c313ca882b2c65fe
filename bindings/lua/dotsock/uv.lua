--- Servers and clients in a libuv loop: in Neovim, or with luv.
--
--     local client = dotsock.client("my_event"):open()
--     require("dotsock.uv").attach(client, {
--         message = function(message) print(message.data.progress) end,
--     })
--
-- Nothing here waits, and in Neovim the functions run where all of its API may be called.

local dotsock = require "dotsock"

local found, ffi = pcall(require, "ffi")
if not found then
    ffi = require "cffi"
end

-- Functions may be declared again and again.
ffi.cdef [[
int fcntl(int fd, int cmd, ...);
int close(int fd);
]]

local editor = rawget(_G, "vim")

local function find_uv()
    local uv = type(editor) == "table" and (editor.uv or editor.loop)
    if uv then
        return uv
    end
    for _, name in ipairs { "luv", "uv" } do
        local there, module = pcall(require, name)
        if there then
            return module
        end
    end
    error("dotsock.uv needs libuv: run it in Neovim, or install luv (luarocks install luv; "
        .. "lua-luv on Debian)", 0)
end

local uv = find_uv()

-- How many messages or events at most are handed over in one turn of the loop, so that a flood
-- leaves it time for everything else.
local ONE_TURN = 64

local F_DUPFD_CLOEXEC = 1030

-- libuv gets a descriptor of its own, which is closed when libuv is done with it: the library's
-- belongs to the library.
local function duplicate(fd)
    local own = ffi.C.fcntl(fd, F_DUPFD_CLOEXEC, ffi.new("int", 0))
    if own < 0 then
        error(("dotsock.uv cannot duplicate descriptor %d: error %d"):format(fd, ffi.errno()), 0)
    end
    return own
end

local Attachment = {}
Attachment.__index = Attachment

--- Ends it; the server or client goes on without. Harmless when it has ended.
function Attachment.close(attachment)
    local poll, fd = attachment.poll, attachment.fd
    if not poll then
        return
    end
    attachment.poll = nil
    if attachment.object.attachment == attachment then
        attachment.object.attachment = nil
    end
    poll:stop()
    poll:close(function() ffi.C.close(fd) end)
end

-- A function may close its attachment: then it gets nothing more, and what is there stays.
local function client_turn(attachment, handlers)
    local client = attachment.object
    for _ = 1, ONE_TURN do
        local message, problem, status = client:recv(0)
        if not message then
            if status ~= dotsock.status.TIMEOUT and handlers.error then
                handlers.error(problem, status)
            end
            return
        end
        handlers.message(message)
        if not attachment.poll or not client:has_next() then
            return
        end
    end
end

local function server_turn(attachment, handlers)
    for _ = 1, ONE_TURN do
        local done, problem, status = attachment.object:step(0)
        if not done then
            if status ~= dotsock.status.TIMEOUT and handlers.error then
                handlers.error(problem, status)
            end
            return
        elseif not attachment.poll then
            return
        end
    end
end

-- In Neovim a callback of libuv may call little: what is to be done is put off to where all is
-- allowed. Polling rests meanwhile, so that no more than one turn is ever waiting.
local schedule = type(editor) == "table" and editor.schedule or function(turn) turn() end

local function watch(attachment, turn, handlers)
    local function readable(failed)
        if not attachment.poll then
            return
        end
        attachment.poll:stop()
        schedule(function()
            if not attachment.poll then
                return
            end
            if failed then
                attachment:close()
                error("dotsock.uv cannot wait for its descriptor: " .. failed, 0)
            end
            local done, problem = pcall(turn, attachment, handlers)
            if attachment.poll then
                attachment.poll:start("r", readable)
            end
            if not done then
                error(problem, 0)
            end
        end)
    end
    attachment.poll:start("r", readable)
end

local FUNCTIONS = {
    client = { message = true, error = true },
    server = { connected = true, disconnected = true, message = true, error = true },
}

local function check_handlers(kind, handlers)
    if type(handlers) ~= "table" then
        error(("handlers must be a table, not %s"):format(type(handlers)), 3)
    end
    for name, handler in pairs(handlers) do
        if not FUNCTIONS[kind][name] then
            error(("handlers.%s: a %s has no such function"):format(tostring(name), kind), 3)
        elseif type(handler) ~= "function" then
            error(("handlers.%s must be a function, not %s"):format(name, type(handler)), 3)
        end
    end
    if kind == "client" and not handlers.message then
        error("handlers.message must be a function: what is to be done with a message", 3)
    end
end

local M = {}

--- Attaches a client that was opened or connected, or a server that listens, to the loop.
--
-- A client's functions are message(message) and error(problem, status), the latter for the end of
-- a connection (`report_loss`, or without `auto_reconnect`) and for refusals. A server's are those
-- of `server:on`, and error(problem, status), once it was stopped.
--
-- What is returned has a method `close`; closing the server or client closes it too. It keeps
-- both alive until then.
function M.attach(object, handlers)
    local kind = type(object) == "table" and object.name
    if not FUNCTIONS[kind] then
        error("dotsock.uv.attach must get a client or a server first", 2)
    end
    check_handlers(kind, handlers)
    local fd = object:fd()
    if not fd then
        error(("this %s has no descriptor yet: %s it first"):format(kind,
            kind == "client" and "open or connect" or "open"), 2)
    elseif object.attachment then
        error(("this %s is attached already"):format(kind), 2)
    end
    local own = duplicate(fd)
    local poll, problem = uv.new_poll(own)
    if not poll then
        ffi.C.close(own)
        error("dotsock.uv cannot watch its descriptor: " .. tostring(problem), 2)
    end
    if kind == "server" then
        object:on {
            connected = handlers.connected,
            disconnected = handlers.disconnected,
            message = handlers.message,
        }
    end
    local attachment = setmetatable({ object = object, poll = poll, fd = own }, Attachment)
    object.attachment = attachment
    watch(attachment, kind == "client" and client_turn or server_turn, handlers)
    return attachment
end

return M
