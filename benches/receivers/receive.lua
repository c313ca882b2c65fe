-- What `receive_c receive` does, in Lua.
--
--     luajit receive.lua receive EVENT COUNT [look]

local dotsock = require "dotsock"

local event, count, look = arg[2], tonumber(arg[3]), arg[4] == "look"
local client = dotsock.connect(event)
local warm, sum, start = count / 10, 0, 0
for received = 1, count do
    if received == warm then
        start = os.clock()
    end
    local message = client:recv()
    if look then
        sum = sum + message.data.progress
    end
end
print(("%.3f"):format((os.clock() - start) * 1e6 / (count - warm)))
client:close()
assert(not look or sum == 50 * count)
