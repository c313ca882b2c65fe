-- A server that answers: luajit echo_server.lua

local dotsock = require "dotsock"

local server = dotsock.server("echo")
server:on {
    connected = function(client_id) print(client_id .. " has come") end,
    disconnected = function(client_id) print(client_id .. " has gone") end,
    message = function(client_id, message)
        if message.data.quit then
            server:stop()
        else
            server:send_to(client_id, { you_said = message.data })
        end
    end,
}
server:run()
