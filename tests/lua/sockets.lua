-- Servers and clients.

local check = require "check"
local dotsock = require "dotsock"
local test, equal, fails = check.test, check.equal, check.fails
local status = dotsock.status

-- A server and a client that is connected to it, and known to it as the id returned third.
local function pair(options)
    local server = dotsock.listen(check.event(), options)
    local client = dotsock.connect(server:event_name(), options)
    local kind, client_id = server:next(5000)
    equal(kind, "connected")
    return server, client, client_id
end

for _, transport in ipairs { "unix", "tcp" } do
    test("the smallest program, " .. transport, function()
        local server, client = pair { transport = transport, port_range_end = 9999 }
        server:send { status = "processing", progress = 50 }
        for message in client:messages(5000) do
            equal(message.data.progress, 50)
            equal(message.type, "data")
            equal(message.event_name, server:event_name())
            break
        end
        client:send({ hello = "server" }, "control")
        local kind, client_id, message = server:next(5000)
        equal(kind, "message")
        equal(message.data.hello, "server")
        equal(message.type, "control")
        server:send_to(client_id, { only = "you" }, "error")
        message = client:recv(5000)
        equal(message.data.only, "you")
        equal(message.type, "error")
        client:close()
        equal(server:next(5000), "disconnected")
        server:close()
    end)
end

test("functions are called for what happens", function()
    local server = dotsock.server(check.event())
    local seen = {}
    server:on {
        connected = function(client_id)
            seen[#seen + 1] = "connected " .. client_id
            server:send { welcome = client_id }
        end,
        disconnected = function(client_id)
            seen[#seen + 1] = "disconnected " .. client_id
            server:stop()
        end,
    }
    server:on { message = function(client_id, message)
        seen[#seen + 1] = message.data.text .. " " .. client_id
    end }
    server:open()
    local client = dotsock.connect(server:event_name()):send { text = "hello" }
    assert(server:step(5000))
    local id = client:recv(5000).data.welcome
    client:close()
    assert(server:run())
    equal(table.concat(seen, ", "),
        ("connected %s, hello %s, disconnected %s"):format(id, id, id))
    equal(server:is_running(), false)
    server:close()
end)

test("an error in a function comes out of step, and the server goes on", function()
    local server = dotsock.listen(check.event()):on {
        connected = function() error("a mistake") end,
    }
    local client = dotsock.connect(server:event_name())
    fails("a mistake", server.step, server, 5000)
    server:on { connected = false }
    server:send { a = 1 }
    equal(client:recv(5000).data.a, 1)
    client:close()
    assert(server:step(5000))
    server:close()
end)

test("a function may close the server that calls it", function()
    local server = dotsock.server(check.event())
    server:on { connected = function() server:close() end }
    server:open()
    local client = dotsock.connect(server:event_name(), { auto_reconnect = false })
    equal(server:run(), true)
    local _, _, why = client:recv(5000)
    equal(why, status.CLOSED)
end)

test("run listens by itself, and cancel ends it with the clients kept", function()
    local server = dotsock.server(check.event())
    server:on { message = function() server:cancel() end }
    server:open()
    local client = dotsock.connect(server:event_name()):send { a = 1 }
    local done, problem, why = server:run()
    assert(done == nil and type(problem) == "string")
    equal(why, status.CANCELLED)
    equal(#server:clients(), 1)
    client:close()
    server:close()
end)

test("nothing in time is nil and a sentence", function()
    local server, client = pair()
    for _, timeout in ipairs { 0, 1, 0.1 } do
        for _, wait in ipairs { server.step, server.next } do
            local nothing, problem, why = wait(server, timeout)
            assert(nothing == nil and #problem > 0)
            equal(why, status.TIMEOUT)
        end
        local nothing, problem, why = client:recv(timeout)
        assert(nothing == nil and #problem > 0)
        equal(why, status.TIMEOUT)
    end
    for _ in client:messages(1) do
        error("a message that nobody sent")
    end
    client:cancel()
    equal(select(3, client:recv()), status.CANCELLED)
    server:close()
    client:close()
end)

test("a backlog, its size, and clearing it", function()
    local server = dotsock.listen(check.event(), { message_queue_size = 3 })
    for number = 1, 5 do
        server:send { number = number }
    end
    equal(server:queue_size(), 3)
    equal(server:stat("messages_dropped"), 2)
    local client = dotsock.connect(server:event_name())
    assert(server:step(5000))
    equal(client:recv(5000).data.number, 3)
    equal(client:recv(5000).data.number, 4)
    equal(client:recv(5000).data.number, 5)
    client:close()
    equal(server:next(5000), "disconnected")
    server:send { number = 6 }
    server:clear_queue()
    equal(server:queue_size(), 0)
    server:close()
end)

test("what is known of clients and servers", function()
    local server, client, id = pair()
    local clients = server:clients()
    equal(#clients, 1)
    equal(clients[1].id, id)
    equal(type(clients[1].uid), "number")
    equal(clients[1].pid, client:server_pid())
    equal(clients[1].uid, client:server_uid())
    equal(clients[1].dropped, 0)
    equal(clients[1].queued_bytes, 0)
    assert(clients[1].connected_at_ms > 1e12 and #clients[1].address > 0)
    equal(server:client(id).id, id)
    fails("nobody", server.client, server, "nobody")
    equal(dotsock.last_status(), status.NO_CLIENT)
    equal(server:address(), client:address())
    assert(server:address():find(server:event_name(), 1, true))
    equal(server:port(), 0)
    equal(server:is_running(), true)
    equal(client:is_connected(), true)
    equal(server:stat("connections"), 1)
    equal(client:stat("messages_received"), 0)
    equal(type(server:fd()), "number")
    equal(type(client:fd()), "number")
    equal(client:buffer_size(), 0)
    equal(tostring(server), ("dotsock.server (%s)"):format(server:event_name()))
    server:send { a = 1 }
    equal(client:buffer_size(), 1)
    client:clear_buffer()
    equal(client:buffer_size(), 0)
    server:disconnect_client(id)
    equal(server:next(5000), "disconnected")
    fails(id, server.disconnect_client, server, id)
    client:disconnect()
    equal(client:is_connected(), false)
    equal(client:server_pid(), nil)
    server:close()
    equal(dotsock.client("x"):fd(), nil)
    equal(dotsock.server("x"):fd(), nil)
    equal(tostring(server), "dotsock.server (closed)")
end)

test("cork collects, uncork writes", function()
    local server, client = pair()
    server:cork()
    client:cork()
    server:send({ a = 1 }):send { a = 2 }
    client:send({ b = 1 }):send { b = 2 }
    equal(client:buffer_size(), 0)
    server:uncork()
    client:uncork()
    equal(client:buffer_size(), 2)
    local _, _, message = server:next(5000)
    equal(message.data.b, 1)
    server:close()
    client:close()
end)

test("messages are sent on as they came, and of another event", function()
    local server, client = pair()
    client:send { a = dotsock.map { [1] = 2 } }
    local _, id, message = server:next(5000)
    server:send_to(id, message)
    local back = client:recv(5000)
    equal(tostring(back), tostring(message))
    server:send(dotsock.message("another", { b = 1 }, "control"))
    back = client:recv(5000)
    equal(back.event_name, "another")
    equal(back.type, "control")
    client:send(back)
    _, _, message = server:next(5000)
    equal(tostring(message), tostring(back))
    server:close()
    client:close()
end)

test("10,000 messages in order", function()
    local server, client = pair()
    local next_number = 1
    for number = 1, 10000 do
        server:send { number = number }
        if number % 100 == 0 then
            for _ = 1, 100 do
                equal(client:recv(5000).data.number, next_number)
                next_number = next_number + 1
            end
        end
    end
    server:close()
    client:close()
end)

test("options: values of all kinds, files, and mistakes", function()
    local server = dotsock.server(check.event(), {
        transport = "tcp", port = 0, default_timeout = 0.25, auto_remove_socket = false,
        socket_permissions = "0600", port_range_end = 9999,
    }):open()
    assert(server:port() > 0)
    server:close()
    local path = check.directory .. "/lua.toml"
    local file = assert(io.open(path, "w"))
    file:write("message_queue_size = 1\n")
    file:close()
    server = dotsock.listen(check.event(), { settings = path })
    server:send({ a = 1 }):send { a = 2 }
    equal(server:queue_size(), 1)
    server:close()
    local new = dotsock.server
    fails("the nearest is 'socket_dir'", new, "x", { soket_dir = "/tmp" })
    fails("message_queue_size", new, "x", { message_queue_size = "many" })
    fails("options.socket_dir must be a string, a number or a boolean, not table", new, "x",
        { socket_dir = {} })
    fails("options.socket_dir has a NUL byte", new, "x", { socket_dir = "a\0b" })
    fails("options must be a table, not number", new, "x", 5)
    fails("options must have names as keys, not 1", new, "x", { "unix" })
    fails('options.transport must be "unix" or "tcp", not udp', new, "x", { transport = "udp" })
    fails('options.transport must be "unix" or "tcp", not 5', new, "x", { transport = 5 })
    fails("No such file", new, "x", { settings = "/nonexistent/settings.toml" })
    fails("options.settings must be a string, not number", new, "x", { settings = 5 })
end)

test("wrong arguments are errors that name them", function()
    local server, client, id = pair()
    for _, make in ipairs { dotsock.server, dotsock.client, dotsock.listen, dotsock.connect } do
        for _, name in ipairs { 5, true, {}, print } do
            fails("event_name must be a string, not " .. type(name), make, name)
        end
        fails("event_name must be a string, not nil", make)
        fails("event_name has a NUL byte", make, "a\0b")
        fails("Event name cannot be empty", make, "")
        fails("Event name too long: 65 > 64", make, ("x"):rep(65))
        fails("Invalid event name: 'a/b'", make, "a/b")
    end
    for _, timeout in ipairs { -2, -0.5, 0 / 0, "5", {}, true } do
        local words = "timeout must be a number of milliseconds"
        fails(words, client.recv, client, timeout)
        fails(words, client.messages, client, timeout)
        fails(words, server.step, server, timeout)
        fails(words, server.next, server, timeout)
    end
    fails("client_id must be a string, not nil", server.send_to, server, nil, {})
    fails("client_id must be a string, not number", server.send_to, server, 5, {})
    fails("nobody", server.send_to, server, "nobody", {})
    fails("client_id must be a string", server.client, server)
    fails("client_id must be a string", server.disconnect_client, server)
    fails("name must be a string, not nil", server.stat, server)
    fails("name must be a string, not number", client.stat, client, 1)
    fails("oops", client.stat, client, "oops")
    fails("data must be a table", client.send, client, "text")
    fails("data must be a table", server.send, server)
    fails("data must be a table", server.send_to, server, id)
    fails("type must be", client.send, client, {}, "text")
    fails("handlers must be a table, not nil", server.on, server)
    fails("handlers.message must be a function, not string", server.on, server, { message = "x" })
    fails("handlers.oops: there are connected, disconnected and message", server.on, server,
        { oops = print })
    fails('level must be "off"', dotsock.log, "loud")
    fails('level must be "off"', dotsock.log)
    fails("fd must be a number, not string", dotsock.log, "info", "2")
    for _, self in ipairs { 5, "text", {}, server } do
        fails("this is a method of a client: call it with a colon", client.recv, self)
        fails("this is a method of a client", client.close, self)
    end
    fails("this is a method of a server", server.run, client)
    fails("this is a method of a server", server.run)
    local where = select(2, pcall(function() dotsock.listen(5) end))
    assert(where:find("sockets.lua:%d+: event_name"), where)
    server:close()
    client:close()
end)

test("use after close is an error", function()
    local server, client = pair()
    local messages = client:messages()
    for object, class in pairs { [server] = "server", [client] = "client" } do
        object:close()
        object:close()
        for name, method in pairs(getmetatable(object)) do
            if type(method) == "function" and name:sub(1, 2) ~= "__" and name ~= "close" then
                fails(("this %s is closed"):format(class), method, object, {}, {})
            end
        end
    end
    fails("this client is closed", messages)
end)

test("what the library refuses is an error with its sentence", function()
    local server, client = pair()
    fails("is running already", dotsock.listen, server:event_name())
    equal(dotsock.last_status(), status.IN_USE)
    fails("", server.open, server)
    equal(dotsock.last_status(), status.STATE)
    server:close()
    client:close()
    fails("", dotsock.connect, check.event())
    equal(dotsock.last_status(), status.CLOSED)
    fails("", client.connect, client)
    server = dotsock.server(check.event())
    fails("", server.send, server, {})
    equal(dotsock.last_status(), status.NOT_RUNNING)
    equal(select(3, server:step(0)), status.NOT_RUNNING)
    equal(select(3, dotsock.client(check.event()):recv(0)), status.CLOSED)
end)

test("a server that is full refuses, and one that denies says so", function()
    local options = { max_connections = 1, allow_client_send = false, auto_reconnect = false }
    local server, client = pair(options)
    local second = dotsock.connect(server:event_name(), options)
    server:step(0)
    local message, _, why = second:recv(5000)
    equal(message, nil)
    equal(why, status.MAX_CONNECTIONS)
    client:send { a = 1 }
    server:step(0)
    message = client:recv(5000)
    equal(message.type, "error")
    equal(message.data.code, "send_denied")
    fails("", client.send, client, {})
    equal(dotsock.last_status(), status.SEND_DENIED)
    server:close()
    for _ in client:messages() do
        error("a message that nobody sent")
    end
end)

test("a token lets those alone in who know it", function()
    local event = check.event()
    local function options(token)
        return { transport = "tcp", port_range_end = 9999, token = token, auto_reconnect = true }
    end
    local server = dotsock.listen(event, options "secret")
    server:send { a = 1 }
    local stranger = dotsock.client(event, options "guess"):open()
    local client = dotsock.client(event, options "secret"):open()
    check.wait_for("the refusal", function()
        server:step(0)
        local message, _, why = stranger:recv(10)
        equal(message, nil)
        return why == status.PERMISSION
    end)
    stranger:close()
    check.wait_for("the message", function()
        server:step(0)
        local message = client:recv(10)
        return message and message.data.a == 1
    end)
    server:close()
    client:close()
end)

test("a client may come before its server", function()
    local event = check.event()
    local client = dotsock.client(event, { reconnect_delay = 0.01 }):open()
    equal(select(3, client:recv(0)), status.TIMEOUT)
    local server = dotsock.listen(event)
    server:send { a = 1 }
    check.wait_for("the message", function()
        server:step(0)
        local message = client:recv(10)
        return message and message.data.a == 1
    end)
    server:close()
    client:close()
end)

test("logging goes to a descriptor", function()
    local ffi = require "ffi"
    ffi.cdef "int pipe(int fds[2]); ssize_t read(int fd, void *buffer, size_t size); int close(int);"
    local fds = ffi.new("int[2]")
    assert(ffi.C.pipe(fds) == 0)
    dotsock.log("trace", fds[1])
    dotsock.listen(check.event()):close()
    dotsock.log("off")
    ffi.C.close(fds[1])
    local buffer = ffi.new("char[65536]")
    local size = tonumber(ffi.C.read(fds[0], buffer, 65536))
    ffi.C.close(fds[0])
    assert(ffi.string(buffer, size):find("dotsock::", 1, true))
end)

test("the module may be loaded anew", function()
    package.loaded.dotsock = nil
    local again = require "dotsock"
    assert(again ~= dotsock)
    local server = again.listen(check.event())
    local client = dotsock.connect(server:event_name())
    assert(server:step(5000))
    client:close()
    server:close()
    package.loaded.dotsock = dotsock
end)

os.exit(check.finish(), true)
