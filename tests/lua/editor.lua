-- In Neovim: nvim --headless -u NONE -c 'luafile editor.lua'. Prints what went wrong, and exits
-- with 1 then.

local check = require "check"
local dotsock = require "dotsock"
local attach = require("dotsock.uv").attach
local test, equal = check.test, check.equal

local function wait_for(what, condition)
    assert(vim.wait(10000, condition, 5), "waited in vain for " .. what)
end

local event = check.event()
check.spawn("peer.lua", event)
local client = dotsock.client(event, { reconnect_delay = 0.01, reconnect_max_delay = 0.05 }):open()
local received = {}
attach(client, { message = function(message)
    -- Only allowed where all of the API is.
    vim.api.nvim_buf_set_lines(0, -1, -1, true, { "number " .. tostring(message.data.number) })
    received[#received + 1] = message.data
end })

test("the editor goes on while nothing comes", function()
    local ticks = 0
    local timer = vim.loop.new_timer()
    timer:start(1, 1, function() ticks = ticks + 1 end)
    wait_for("ticks", function() return ticks > 20 end)
    timer:close()
    equal(#received, 0)
end)

test("messages arrive in order, where the API may be called", function()
    wait_for("the server", function() return client:is_connected() end)
    client:send { flood = 1000 }
    wait_for("messages", function() return #received == 1000 end)
    for number = 1, 1000 do
        equal(received[number].number, number)
    end
    equal(vim.api.nvim_buf_line_count(0), 1001)
    equal(vim.api.nvim_buf_get_lines(0, 1000, 1001, true)[1], "number 1000")
end)

test("the editor's tables, its NIL, and back", function()
    client:send { echo = { null = vim.NIL, list = vim.tbl_keys { a = 1 }, dict = vim.empty_dict() } }
    wait_for("the echo", function() return #received == 1001 end)
    local data = received[1001]
    equal(data.null, dotsock.null)
    equal(data.list[1], "a")
    equal(next(data.dict), nil)
    vim.g.dotsock_test = { text = "x" }
    client:send { echo = vim.g.dotsock_test }
    wait_for("the echo", function() return #received == 1002 end)
    equal(received[1002].text, "x")
end)

test("an error in a function is shown, and the next message comes all the same", function()
    local server = dotsock.listen(check.event())
    local second = dotsock.client(server:event_name()):open()
    local calls = 0
    attach(server, { connected = function() server:send({ a = 1 }):send { a = 2 } end })
    attach(second, { message = function()
        calls = calls + 1
        if calls == 1 then
            error("a mistake in a function")
        end
    end })
    pcall(wait_for, "both messages", function() return calls == 2 end)
    wait_for("both messages", function() return calls == 2 end)
    second:close()
    server:close()
end)

test("a plugin that is loaded anew", function()
    package.loaded["dotsock"], package.loaded["dotsock.uv"] = nil, nil
    local again = require "dotsock"
    local third = again.client(event):open()
    local got
    require("dotsock.uv").attach(third, { message = function(message) got = message.data end })
    third:send { echo = { hello = "again" } }
    wait_for("the echo", function() return got end)
    equal(got.hello, "again")
    third:close()
end)

-- The client stays attached: the editor must be able to quit all the same.
client:send { stop = true }
io.stdout:write("in Neovim: ")
if check.finish() then
    vim.cmd "quitall!"
else
    vim.cmd "cquit 1"
end
