-- Servers that die, garbage collection, and whether anything leaks.

local check = require "check"
local dotsock = require "dotsock"
local ffi = require "ffi"
local test, equal = check.test, check.equal
local status = dotsock.status

ffi.cdef [[
int raise(int signal);
unsigned int alarm(unsigned int seconds);
]]
-- A wait that does not end is a failure.
ffi.C.alarm(240)

-- A client of a server in a process of its own.
local function connect_to_peer(event, options)
    check.spawn("peer.lua", event)
    return check.wait_for("the server", function()
        local done, client = pcall(dotsock.connect, event, options)
        return done and client
    end)
end

test("the server dies while a client waits", function()
    for _, order in ipairs { { die = true }, { stop = true } } do
        local client = connect_to_peer(check.event(), { auto_reconnect = false })
        client:send(order)
        local message, problem, why = client:recv()
        equal(message, nil)
        assert(#problem > 0)
        equal(why, status.CLOSED)
        for _ in client:messages() do
            error("a message that nobody sent")
        end
        client:close()
    end
end)

test("the server dies while a client iterates, and comes back", function()
    local event = check.event()
    local client = connect_to_peer(event, { reconnect_delay = 0.01, reconnect_max_delay = 0.02 })
    client:send { die = true }
    -- A new server could not start beside the old one.
    check.wait_for("the end of the old server", function() return not client:is_connected() end)
    check.spawn("peer.lua", event)
    -- The send waits for a server, and connects anew.
    check.wait_for("the new server", function()
        return client:recv(0) == nil and client:stat("reconnects") > 0
    end)
    client:send { echo = { a = 1 } }
    for message in client:messages(10000) do
        equal(message.data.a, 1)
        break
    end
    client:send { stop = true }
    client:close()
end)

test("with report_loss an iteration ends with the connection, and the next goes on", function()
    local event = check.event()
    local client = connect_to_peer(event, {
        report_loss = true, reconnect_delay = 0.01, reconnect_max_delay = 0.02,
    })
    client:send { stop = true }
    for _ in client:messages() do
        error("a message that nobody sent")
    end
    check.spawn("peer.lua", event)
    client:send { flood = 3 }
    local sum = 0
    for message in client:messages(10000) do
        sum = sum + message.data.number
        if sum == 6 then
            break
        end
    end
    equal(sum, 6)
    client:send { stop = true }
    client:close()
end)

test("garbage collection in the midst of everything", function()
    local server = dotsock.listen(check.event())
    server:on { message = function(client_id, message)
        collectgarbage()
        server:send_to(client_id, { number = message.data.number })
        collectgarbage()
    end }
    -- Only the iterator holds the client.
    local messages = (function()
        local client = dotsock.connect(server:event_name())
        for number = 1, 100 do
            client:send { number = number }
        end
        return client:messages(5000)
    end)()
    collectgarbage()
    assert(server:step(5000))
    local kept = {}
    for number = 1, 100 do
        assert(server:step(5000))
        kept[number] = messages()
        collectgarbage("step")
    end
    collectgarbage()
    for number = 1, 100 do
        equal(kept[number].data.number, number)
    end
    -- A message outlives client, server and everything.
    server:close()
    messages = nil
    collectgarbage()
    equal(tostring(kept[1]):find('{"number":1}', 1, true) ~= nil, true)
end)

test("what is forgotten is closed by the garbage collector", function()
    local server = dotsock.listen(check.event())
    local event, path = server:event_name(), server:address()
    local client = dotsock.connect(event)
    equal(server:next(5000), "connected")
    client = nil
    collectgarbage()
    collectgarbage()
    equal(server:next(5000), "disconnected")
    equal(client, nil)
    server = nil
    collectgarbage()
    collectgarbage()
    equal(server, nil)
    equal(io.open(path), nil)
    dotsock.listen(event):close()
end)

-- One life of a server and of a client, with messages both ways.
local function live(event, close)
    local server = dotsock.listen(event)
    local client = dotsock.connect(event):send { a = 1 }
    server:send { b = ("x"):rep(100) }
    assert(server:next(5000) == "connected")
    local _, _, message = server:next(5000)
    assert(message.data.a == 1 and client:recv(5000).data.b)
    if close then
        client:close()
        server:close()
    end
end

-- The collector may come to a handle sooner or later: what leaks, leaks thousands of times.
local function assert_no_leak(before)
    local now = check.count_descriptors()
    assert(now < before + 10, ("%d descriptors, %d before"):format(now, before))
end

test("10,000 lives leave no descriptor and no memory behind", function()
    for _, close in ipairs { true, false } do
        local event = check.event()
        local function lives(count)
            for _ = 1, count do
                live(event, close)
                if not close then
                    collectgarbage()
                    collectgarbage()
                end
            end
            collectgarbage()
            collectgarbage()
        end
        local count = close and 10000 or 1000
        lives(count / 10)
        local descriptors, memory = check.count_descriptors(), check.memory()
        lives(count)
        assert_no_leak(descriptors)
        local grown = check.memory() - memory
        assert(grown < 1024, ("grown by %d KiB"):format(grown))
    end
end)

test("failing calls leave nothing behind", function()
    local event = check.event()
    local client = dotsock.client(event)
    local function fail()
        assert(not pcall(dotsock.connect, event))
        assert(not pcall(dotsock.listen, event, { socket_dir = "/proc/nowhere" }))
        assert(not pcall(dotsock.listen, event, { oops = 1 }))
        assert(not pcall(client.send, client, { f = print }))
        assert(client:recv(0) == nil)
    end
    for _ = 1, 1000 do fail() end
    collectgarbage()
    collectgarbage()
    local descriptors, memory = check.count_descriptors(), check.memory()
    for _ = 1, 10000 do fail() end
    collectgarbage()
    collectgarbage()
    assert_no_leak(descriptors)
    local grown = check.memory() - memory
    assert(grown < 1024, ("grown by %d KiB"):format(grown))
end)

test("large messages do not pile up unseen", function()
    local server = dotsock.listen(check.event())
    local client = dotsock.connect(server:event_name())
    assert(server:step(5000))
    local data = { text = ("x"):rep(1048576) }
    local function receive(count)
        for _ = 1, count do
            server:send(data)
            repeat
                server:step(0)
            until client:recv(1)
        end
    end
    receive(50)
    local memory = check.memory()
    receive(500)
    local grown = check.memory() - memory
    assert(grown < 32768, ("grown by %d KiB"):format(grown))
    server:close()
    client:close()
end)

test("an interrupt ends a program that waits", function()
    local event = check.event()
    local server = dotsock.listen(event)
    local pipe = io.popen("luajit interrupted.lua " .. event .. " 2>&1")
    local kind
    repeat
        kind = server:next(10000)
    until kind == "message" or not kind
    equal(kind, "message")
    local said = pipe:read("*a")
    pipe:close()
    assert(said:find("interrupted!", 1, true), said)
    server:close()
end)

os.exit(check.finish(), true)
