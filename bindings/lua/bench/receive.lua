-- What `bench receive` does, in Lua.
--
--     luajit receive.lua EVENT COUNT [data]    with `data`, every payload is looked into

local dotsock = require "dotsock"

local event, count, with_data = arg[1], tonumber(arg[2]), arg[3] == "data"
local client = dotsock.connect(event)
local warm, sum, start = count / 10, 0, 0
for received = 1, count do
    if received == warm then
        start = os.clock()
    end
    local message = client:recv()
    if with_data then
        sum = sum + message.data.progress
    end
end
print(("%.3f"):format((os.clock() - start) * 1e6 / (count - warm)))
client:close()
assert(not with_data or sum == 50 * count)
