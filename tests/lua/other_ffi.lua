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

require "round_trip"
