-- A server in a process of its own, which does what it is told in messages: see faults.lua.
--
--     luajit peer.lua EVENT

local check = require "check"
local dotsock = require "dotsock"
local ffi = require "ffi"

ffi.cdef [[
int getpid(void);
int kill(int pid, int signal);
unsigned int alarm(unsigned int seconds);
]]
-- Nobody waits for it for longer than that.
ffi.C.alarm(60)

local server = dotsock.server(arg[1])
server:on {
    message = function(client_id, message)
        local order = message.data
        if order.die then
            ffi.C.kill(ffi.C.getpid(), 9)
        elseif order.stop then
            server:close()
        elseif order.echo then
            server:send_to(client_id, order.echo)
        elseif order.flood then
            for number = 1, order.flood do
                server:send { number = number }
            end
        end
    end,
}
-- One that stops holds the event for a moment after its clients have seen it go.
check.wait_for("the event is free", function()
    local opened, problem = pcall(server.open, server)
    return opened or dotsock.last_status() ~= dotsock.status.IN_USE and error(problem, 0)
end)
server:run()
