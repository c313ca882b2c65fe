-- The binding with a module `cffi` in place of LuaJIT's `ffi`: LuaJIT's own under that name, with
-- what differs there, so that the binding uses nothing that the other lacks.

local ffi = require "ffi"

local null = ffi.cast("void *", 0)
package.loaded.ffi = nil
package.preload.ffi = function() error("no LuaJIT here") end
package.loaded.cffi = setmetatable({
    nullptr = null,
    tonumber = tonumber,
    type = function(value) return type(value) == "cdata" and "cdata" or type(value) end,
}, { __index = ffi })
package.loaded.bit, _G.bit = nil, nil
package.preload.bit = function() error("no LuaJIT here") end

local dotsock = require "dotsock"

local server = dotsock.listen("other_ffi")
local client = dotsock.connect("other_ffi")
assert(server:step(5000))
server:send { a = 1, b = { 1.5, -2 ^ 40, dotsock.null }, c = dotsock.bin("x"), d = "text" }
local data = client:recv(5000).data
assert(data.a == 1 and data.b[1] == 1.5 and data.b[2] == -2 ^ 40 and data.c.bytes == "x")
assert(client:recv(0) == nil)
assert(not pcall(dotsock.connect, "nobody_is_there"))
client:close()
server:close()
print("other_ffi.lua: passed")
