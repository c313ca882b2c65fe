-- A program that says how far it is: luajit progress.lua

local dotsock = require "dotsock"

local server = dotsock.listen("progress")
for percent = 0, 100, 10 do
    server:send { task = "rendering", percent = percent }
    -- The work. While it goes on, `step` lets listeners in and takes what they say.
    local left, done_at = 200, dotsock.timestamp_ms() + 200
    while left > 0 do
        server:step(left)
        left = done_at - dotsock.timestamp_ms()
    end
end
server:send({ done = true }, "control")
server:close()
