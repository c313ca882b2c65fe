-- Servers and clients in a libuv loop, with luv.

local check = require "check"
local dotsock = require "dotsock"
local attach = require("dotsock.uv").attach
local uv = require "luv"
local test, equal, fails = check.test, check.equal, check.fails
local status = dotsock.status

-- Runs the loop until it has nothing to do, at most for ten seconds.
local function run()
    local guard = uv.new_timer()
    guard:start(10000, 0, function() error("the loop did not end") end)
    guard:unref()
    uv.run()
    guard:close()
    uv.run()
end

test("a server and a client in one loop", function()
    local server = dotsock.listen(check.event())
    local client = dotsock.client(server:event_name()):open()
    local seen = {}
    attach(server, {
        connected = function(client_id)
            seen[#seen + 1] = "connected"
            server:send_to(client_id, { number = 0 })
        end,
        message = function(client_id, message)
            seen[#seen + 1] = message.data.number
            server:send_to(client_id, message)
        end,
        disconnected = function()
            seen[#seen + 1] = "disconnected"
            server:close()
        end,
    })
    attach(client, { message = function(message)
        if message.data.number == 3 then
            client:close()
        else
            client:send { number = message.data.number + 1 }
        end
    end })
    run()
    equal(table.concat(seen, " "), "connected 1 2 3 disconnected")
end)

test("a flood leaves the loop time for everything else", function()
    local server = dotsock.listen(check.event(), { client_queue_size = 100000000 })
    local client = dotsock.connect(server:event_name())
    assert(server:step(5000))
    for number = 1, 10000 do
        server:send { number = number }
    end
    local received, turns, longest, since = 0, 0, 0, 0
    local idle = uv.new_idle()
    idle:start(function()
        turns, longest, since = turns + 1, math.max(longest, received - since), received
        server:step(0)
    end)
    attach(client, { message = function(message)
        received = received + 1
        equal(message.data.number, received)
        if received == 10000 then
            idle:close()
            client:close()
        end
    end })
    run()
    equal(received, 10000)
    assert(longest <= 64, longest)
    server:close()
end)

test("closing the attachment leaves the client, which may be attached again", function()
    local server = dotsock.listen(check.event())
    local client = dotsock.connect(server:event_name())
    assert(server:step(5000))
    local function once()
        local attachment, got
        attachment = attach(client, { message = function(message)
            got = message.data.number
            attachment:close()
            attachment:close()
        end })
        run()
        return got
    end
    local fd = client:fd()
    for number = 1, 3 do
        server:send { number = number }
        equal(once(), number)
    end
    equal(client:fd(), fd)
    server:send { number = 4 }
    equal(client:recv(5000).data.number, 4)
    server:close()
    client:close()
end)

test("what was closed in the middle of a flood hands over nothing more", function()
    local server = dotsock.listen(check.event())
    local client = dotsock.connect(server:event_name())
    assert(server:step(5000))
    server:cork()
    for number = 0, 9 do
        server:send { number = number }
        client:send { number = number }
    end
    server:uncork()
    local attachments, got = {}, {}
    local function first_only(object, index)
        attachments[index] = attach(object, { message = function(one, other)
            got[#got + 1] = (other or one).data.number
            attachments[index]:close()
        end })
        run()
    end
    equal(client:recv(5000).data.number, 0) -- which reads the others too
    assert(client:has_next())
    first_only(client, 1)
    equal(client:recv(5000).data.number, 2)
    first_only(server, 2)
    equal(table.concat(got, " "), "1 0")
    equal(select(3, server:next(5000)).data.number, 1)
    server:close()
    client:close()
end)

test("the end of a connection and of a server are told", function()
    local server = dotsock.listen(check.event())
    local client = dotsock.connect(server:event_name(), { auto_reconnect = false })
    local told = {}
    attach(server, {
        connected = function() server:stop() end,
        error = function(problem, why)
            assert(#problem > 0)
            told.server = why
            server:close()
        end,
    })
    attach(client, {
        message = function() end,
        error = function(problem, why)
            assert(#problem > 0)
            told.client = (told.client or 0) + why
            client:close()
        end,
    })
    run()
    equal(told.server, status.NOT_RUNNING)
    equal(told.client, status.CLOSED)
end)

test("a server that goes and comes back is followed", function()
    local event = check.event()
    local client = dotsock.client(event, { reconnect_delay = 0.01 }):open()
    local server, rounds
    rounds = 0
    local function start()
        server = dotsock.listen(event):send { round = rounds }
        attach(server, {})
    end
    start()
    attach(client, { message = function(message)
        equal(message.data.round, rounds)
        rounds = rounds + 1
        server:close()
        if rounds == 3 then
            client:close()
        else
            start()
        end
    end })
    run()
    equal(rounds, 3)
end)

test("the loop keeps what is attached alive", function()
    local server = dotsock.listen(check.event())
    local got = 0
    do
        local client = dotsock.connect(server:event_name())
        local attachment
        attachment = attach(client, { message = function(message)
            got = got + message.data.number
            if got == 3 then
                attachment:close()
                server:close()
            end
        end })
    end
    attach(server, { connected = function()
        collectgarbage()
        collectgarbage()
        server:send { number = 1 }
        collectgarbage()
        server:send { number = 2 }
    end })
    run()
    equal(got, 3)
end)

test("no descriptor is left", function()
    local function live()
        local server = dotsock.listen(check.event())
        local client = dotsock.connect(server:event_name())
        attach(server, { message = function() server:close() end })
        attach(client, { message = function() end })
        client:send {}
        local timer = uv.new_timer()
        timer:start(1, 1, function()
            if not server.handle then
                client:close()
                timer:close()
            end
        end)
        run()
    end
    live()
    collectgarbage()
    local descriptors = check.count_descriptors()
    for _ = 1, 100 do live() end
    collectgarbage()
    -- The collector may come to a handle of an earlier test only now; a leak would be a hundred.
    assert(check.count_descriptors() < descriptors + 10)
end)

test("wrong arguments are errors that name them", function()
    local server = dotsock.listen(check.event())
    local client = dotsock.connect(server:event_name())
    fails("must get a client or a server first", attach, 5, {})
    fails("must get a client or a server first", attach, {}, {})
    fails("must get a client or a server first", attach)
    fails("handlers must be a table, not function", attach, client, print)
    fails("handlers.message must be a function", attach, client, {})
    fails("handlers.message must be a function, not number", attach, client, { message = 1 })
    fails("handlers.connected: a client has no such function", attach, client,
        { connected = print })
    fails("handlers.oops: a server has no such function", attach, server, { oops = print })
    fails("open or connect it first", attach, dotsock.client("x"), { message = print })
    fails("open it first", attach, dotsock.server("x"), {})
    attach(client, { message = print })
    fails("attached already", attach, client, { message = print })
    client:close()
    fails("this client is closed", attach, client, { message = print })
    server:close()
    run()
end)

os.exit(check.finish(), true)
