-- Neovim shows how far progress.lua is, in its status line. In init.lua, or with :luafile.
-- It needs dotsock.lua and dotsock/uv.lua in a directory lua/ of the runtime path.

local dotsock = require "dotsock"

vim.g.progress = ""
vim.o.statusline = "%f %= %{g:progress}"

local client = dotsock.client("progress"):open()
require("dotsock.uv").attach(client, {
    message = function(message)
        local data = message.data
        vim.g.progress = data.done and "" or ("%s %d %%"):format(data.task, data.percent)
        vim.cmd "redrawstatus"
    end,
})
