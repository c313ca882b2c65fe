-- A status line that follows progress.lua, whether that runs already or not: luajit status_line.lua

local dotsock = require "dotsock"

local client = dotsock.client("progress"):open()
for message in client:messages() do
    local data = message.data
    if data.done then
        print("done")
        break
    end
    local filled = math.floor(data.percent / 10)
    print(("%s [%s%s] %3d %%"):format(data.task, ("#"):rep(filled), ("-"):rep(10 - filled),
        data.percent))
    io.stdout:flush()
end
client:close()
