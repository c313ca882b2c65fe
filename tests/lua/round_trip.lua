-- What any FFI must be able to do for the binding.

local dotsock = require "dotsock"

local server = dotsock.listen("round_trip")
local client = dotsock.connect("round_trip")
assert(server:step(5000))
server:send { a = 1, b = { 1.5, -2 ^ 40, dotsock.null }, c = dotsock.bin("x"), d = "text" }
local data = client:recv(5000).data
assert(data.a == 1 and data.b[1] == 1.5 and data.b[2] == -2 ^ 40 and data.b[3] == dotsock.null)
assert(data.c.bytes == "x" and data.d == "text")
assert(client:recv(0) == nil)
client:send { answer = true }
local kind, client_id, message = server:next(5000)
assert(kind == "message" and client_id == "client-1" and message.data.answer == true)
assert(server:clients()[1].id == client_id)
assert(not pcall(dotsock.connect, "nobody_is_there"))
client:close()
server:close()
print("round_trip.lua: passed")
