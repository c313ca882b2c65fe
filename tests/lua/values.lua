-- Payloads: every value there and back, and what cannot be sent.

local check = require "check"
local dotsock = require "dotsock"
local ffi = require "ffi"
local test, equal, fails = check.test, check.equal, check.fails

local function round_trip(value)
    return dotsock.message("values", { value = value }).data.value
end

-- A message from raw MessagePack, given in hex.
local function from_hex(hex)
    local bytes = hex:gsub("%s", ""):gsub("..", function(digits)
        return string.char(tonumber(digits, 16))
    end)
    local pointer = dotsock.library.sock_message_new("values", 0, bytes, #bytes)
    assert(pointer ~= nil, ffi.string(dotsock.library.sock_last_error()))
    pointer = ffi.gc(pointer, dotsock.library.sock_message_free)
    local size = ffi.new("size_t[1]")
    local server = dotsock.listen(check.event())
    local client = dotsock.connect(server:event_name())
    assert(server:step(5000))
    assert(dotsock.library.sock_send(server.handle, pointer, nil) == 0)
    local message = assert(client:recv(5000))
    server:close()
    client:close()
    return message.data
end

-- The MessagePack of a payload, in hex.
local function to_hex(data)
    local message = dotsock.message("values", data)
    local pointer = dotsock.library.sock_message_from_envelope(message[1], message[2])
    local size = ffi.new("size_t[1]")
    local bytes = dotsock.library.sock_message_data(pointer, size)
    local hex = ffi.string(bytes, tonumber(size[0])):gsub(".", function(byte)
        return ("%02x"):format(byte:byte())
    end)
    dotsock.library.sock_message_free(pointer)
    return hex
end

test("numbers come back as they were", function()
    for _, number in ipairs {
        0, 1, 127, 128, 255, 256, 65535, 65536, 2 ^ 31, 2 ^ 32 - 1, 2 ^ 32, 2 ^ 53, -1, -32, -33,
        -128, -129, -32768, -32769, -2 ^ 31, -2 ^ 31 - 1, -2 ^ 32, -2 ^ 53, 0.5, -0.1, 1e300,
        2 ^ 53 + 2, 5e-324, math.huge, -math.huge,
    } do
        equal(round_trip(number), number)
    end
    local nan = round_trip(0 / 0)
    assert(nan ~= nan)
    equal(1 / round_trip(-0), 1 / -0, "the sign of zero")
end)

test("numbers are written in the shortest form", function()
    for number, hex in pairs {
        [0] = "00", [127] = "7f", [128] = "cc80", [255] = "ccff", [256] = "cd0100",
        [65535] = "cdffff", [65536] = "ce00010000", [4294967296] = "cf0000000100000000",
        [-1] = "ff", [-32] = "e0", [-33] = "d0df", [-128] = "d080", [-129] = "d1ff7f",
        [-32768] = "d18000", [-32769] = "d2ffff7fff", [-2147483648] = "d280000000",
        [-2147483649] = "d3ffffffff7fffffff", [0.5] = "cb3fe0000000000000",
    } do
        equal(to_hex { a = number }, "81a161" .. hex)
    end
end)

test("integers beyond 2^53 are exact, as cdata", function()
    for _, number in ipairs {
        9007199254740993LL, -9007199254740993LL, 0x7fffffffffffffffLL, -0x7fffffffffffffffLL - 1,
        0x8000000000000000ULL, 0xffffffffffffffffULL,
    } do
        local got = round_trip(number)
        assert(type(got) == "cdata" and got == number, tostring(got))
    end
    equal(type(from_hex("81a161cf0020000000000000").a), "number", "2^53")
    assert(ffi.istype("uint64_t", from_hex("81a161cf0020000000000001").a))
    assert(ffi.istype("int64_t", from_hex("81a161d3ffdfffffffffffff").a))
    equal(from_hex("81a161d3ffe0000000000000").a, -2 ^ 53)
    -- Small ones become numbers, and the shortest form.
    equal(round_trip(5LL), 5)
    equal(to_hex { a = -1LL }, "81a161ff")
    equal(to_hex { a = 300ULL }, "81a161cd012c")
    equal(round_trip(-9007199254740992LL), -2 ^ 53)
end)

test("text comes back as it was, at every length where its form changes", function()
    for _, length in ipairs { 0, 1, 31, 32, 255, 256, 65535, 65536, 1048576 } do
        local text = ("x"):rep(length)
        assert(round_trip(text) == text, length)
    end
    for _, text in ipairs { "a\0b", "Grüße, мир, 世界, 🎉", "\t\n\"\\/", "\194\128\244\143\191\191" } do
        equal(round_trip(text), text)
    end
end)

test("text that is not UTF-8 is refused, and sent as binary", function()
    for _, text in ipairs {
        "\128", "\255", "a\195", "\192\128", "\224\159\191", "\237\160\128", "\240\143\191\191",
        "\244\144\128\128", "\226\130", "\245\128\128\128", "\240\159\142",
    } do
        fails("data.value is no UTF-8 text: mark binary data with dotsock.bin", round_trip, text)
        equal(round_trip(dotsock.bin(text)), dotsock.bin(text))
    end
end)

test("binary and extensions keep their type", function()
    for _, length in ipairs { 0, 1, 2, 3, 4, 8, 16, 17, 255, 256, 65535, 65536 } do
        local bytes = ("\0\255"):rep(length):sub(1, length)
        local bin = round_trip(dotsock.bin(bytes))
        assert(getmetatable(bin) == dotsock.bin and bin.bytes == bytes and tostring(bin) == bytes)
        for _, ext_type in ipairs { -128, -1, 0, 127 } do
            local ext = round_trip(dotsock.ext(ext_type, bytes))
            assert(getmetatable(ext) == dotsock.ext and ext.type == ext_type)
            assert(ext.bytes == bytes)
        end
    end
    equal(to_hex { a = dotsock.bin("") }, "81a161c400")
    equal(to_hex { a = dotsock.ext(5, "abcd") }, "81a161d60561626364")
    equal(to_hex { a = dotsock.ext(5, "abc") }, "81a161c70305616263")
end)

-- LuaJIT compiles what runs often, and its compiler has ideas of its own about memory.
test("numbers come back as they were in loops that are compiled", function()
    local function number(index, round) return (index + round) / 7 end
    local function large(index, round)
        return (index % 2 == 0 and 1 or -1) * (2LL ^ 60 + index * 1234567890123LL + round)
    end
    local function beyond(index, round) return 2ULL ^ 63 + index * 1234567890123ULL + round end
    local function small(index, round) return index * (2 ^ round - 1) end
    for _, make in ipairs { number, large, beyond, small } do
        for round = 1, 45 do
            local values = {}
            for index = 1, 100 do
                values[index] = make(index, round)
            end
            local got = round_trip(values)
            for index = 1, 100 do
                equal(got[index], make(index, round))
            end
        end
    end
    local hex = {}
    for index = 1, 128 do
        hex[index] = ("ca%08x"):format(0x3f800000 + index * 65536) -- 1 + index / 128
    end
    local got = from_hex("81a161dc0080" .. table.concat(hex)).a
    for index = 1, 127 do
        equal(got[index], 1 + index / 128)
    end
end)

test("nil, false and what is not there are told apart", function()
    local data = dotsock.message("values", { null = dotsock.null, no = false, yes = true }).data
    assert(data.null == dotsock.null and data.no == false and data.yes == true)
    assert(data.other == nil)
    equal(tostring(data.null), "dotsock.null")
end)

test("arrays and maps are told apart, also when they are empty", function()
    equal(to_hex { a = {} }, "81a16180")
    equal(to_hex { a = dotsock.array {} }, "81a16190")
    equal(to_hex { a = { 1, 2 } }, "81a161920102")
    equal(to_hex { a = dotsock.map { 1, 2 } }, "81a1618201010202")
    local data = from_hex("83 a161 90 a162 80 a163 81 07 c3")
    assert(getmetatable(data.a) == dotsock.array and #data.a == 0)
    assert(getmetatable(data.b) == nil and next(data.b) == nil)
    assert(getmetatable(data.c) == dotsock.map and data.c[7] == true)
    equal(to_hex { a = data.a, b = nil }, "81a16190")
    equal(to_hex { c = data.c }, "81a1638107c3")
end)

test("every array and map length", function()
    for _, length in ipairs { 1, 15, 16, 17, 65535, 65536 } do
        local array, map = {}, {}
        for index = 1, length do
            array[index], map["k" .. index] = index, index
        end
        array, map = round_trip(array), round_trip(map)
        local entries = 0
        for index = 1, length do
            assert(array[index] == index and map["k" .. index] == index)
        end
        for _ in pairs(map) do
            entries = entries + 1
        end
        assert(#array == length and entries == length)
    end
end)

test("forms that other encoders choose are read", function()
    -- Longer than need be: map16, map32, str16, str32, array32, ints, float32, bin32, ext32.
    local data = from_hex([[de0009 d9016101 da00016202 db000000016303
        a164 dd0000000201d200000002 a165 ca3fc00000 a166 c60000000100
        a167 c900000001ff00 a168 df00000001a161c0 a169 d3ffffffffffffffff]])
    assert(data.a == 1 and data.b == 2 and data.c == 3 and data.d[2] == 2 and data.e == 1.5)
    assert(data.f.bytes == "\0" and data.g.type == -1 and data.g.bytes == "\0")
    assert(data.h.a == dotsock.null and data.i == -1)
end)

test("keys of any kind come back, NaN too", function()
    local data = from_hex("81a161 85 01a178 c3a179 c0a17a c40100a177 cb7ff8000000000000a176").a
    local nan
    for key, value in pairs(data) do
        if type(key) == "cdata" then
            nan = value
        end
    end
    assert(data[1] == "x" and data[true] == "y" and data[dotsock.null] == "z" and nan == "v")
    equal(#to_hex { a = data }, #"81a161" + #"85" + 2 * (3 + 3 + 3 + 5 + 11))
end)

test("what cannot be sent is refused by name", function()
    local cycle = { deeper = {} }
    cycle.deeper.back = cycle
    for words, data in pairs {
        ["data.f is a function"] = { f = print },
        ["data.list[2].f is a function"] = { list = { 1, { f = print } } },
        ["data.t is a thread"] = { t = coroutine.create(print) },
        ["data.u is a userdata"] = { u = io.stdout },
        ["data.deeper.back contains itself"] = cycle,
        ["data.gaps is an array with gaps"] = { gaps = { 1, nil, 3 } },
        ["data.zero is an array with gaps"] = { zero = { [0] = 1, 2 } },
        ["data.half is an array with gaps"] = { half = { [1.5] = 1 } },
        ["data.flags is an array with gaps"] = { flags = { [true] = 1 } },
        ["data.marked is an array with gaps"] = { marked = dotsock.array { 1, nil, 3 } },
        ["data.array has keys that are text"] = { array = dotsock.array { a = 1 } },
        ["data.mixed has keys that are text and others"] = { mixed = { 1, a = 2 } },
        ['data["a b"] is a function'] = { ["a b"] = print },
        ["data.pointer is a ctype<void *>"] = { pointer = ffi.cast("void *", 0) },
        ["data must have keys that are text, not 1"] = { "array" },
        ["data must have keys that are text, not true"] = { [true] = 1 },
    } do
        fails(words, dotsock.message, "values", data)
    end
    for what, data in pairs {
        number = 5, string = "text", boolean = true, ["function"] = print,
        ["dotsock.null"] = dotsock.null, ["dotsock.bin"] = dotsock.bin(""),
        ["dotsock.array"] = dotsock.array {},
    } do
        fails("data must be a table whose keys are text, not " .. what, dotsock.message, "values",
            data)
    end
    fails("not nil", dotsock.message, "values", nil)
    fails('type must be "data", "error" or "control", not oops', dotsock.message, "v", {}, "oops")
    fails("type must be", dotsock.message, "v", {}, 1)
    fails("event_name must be a string, not number", dotsock.message, 5, {})
    fails("Invalid event name", dotsock.message, "a b", {})
    fails("NUL byte", dotsock.message, "a\0b", {})
    -- After all of that, the next one is right.
    equal(to_hex { a = 1 }, "81a16101")
end)

test("a table may be there twice, as long as it is not in itself", function()
    local shared = { 1 }
    local data = dotsock.message("values", { a = shared, b = shared, c = { shared } }).data
    assert(data.a[1] == 1 and data.b[1] == 1 and data.c[1][1] == 1)
end)

test("deep nesting is refused, not a crash", function()
    local deep = {}
    for _ = 1, 100000 do
        deep = { deep }
    end
    fails("data is nested deeper than 1024 levels", dotsock.message, "values", { deep = deep })
    deep = {}
    for _ = 1, 200 do
        deep = { deep }
    end
    fails("128", dotsock.message, "values", { deep = deep })
end)

test("deep payloads from a peer are read, or refused, but never crash", function()
    for _, depth in ipairs { 128, 100000 } do
        local options = { max_depth = depth + 10, allow_client_send = true }
        local server = dotsock.listen(check.event(), options)
        local client = dotsock.connect(server:event_name(), options)
        assert(server:step(5000))
        local bytes = "\129\161a" .. ("\145"):rep(depth - 2) .. "\144"
        assert(dotsock.library.sock_send_data(server.handle, 0, bytes, #bytes, nil) == 0)
        local message = assert(client:recv(5000))
        local done, problem = pcall(function() return message.data end)
        assert(done or tostring(problem):find("overflow"), tostring(problem))
        assert(done or depth > 128)
        server:close()
        client:close()
    end
end)

test("markers refuse what they are not for", function()
    fails("dotsock.array must get a plain table, not string", dotsock.array, "x")
    fails("dotsock.array must get a plain table", dotsock.array, dotsock.map {})
    fails("dotsock.bin must get its bytes as a string, not number", dotsock.bin, 5)
    fails("dotsock.ext must get a type from -128 to 127", dotsock.ext, 128, "")
    fails("dotsock.ext must get a type from -128 to 127", dotsock.ext, "x", "")
    fails("dotsock.ext must get its bytes as a string", dotsock.ext, 1)
    -- Fields that were tampered with are no crash either.
    local bin, ext = dotsock.bin("x"), dotsock.ext(1, "x")
    bin.bytes, ext.type = 5, "y"
    equal(round_trip(bin).bytes, 5)
    equal(round_trip(ext).type, "y")
end)

test("a message says all that its envelope says", function()
    local before = dotsock.timestamp_ms()
    local message = dotsock.message("values", { a = 1 }, "error")
    equal(message.type, "error")
    equal(message.event_name, "values")
    assert(message.timestamp_ms >= before and message.timestamp_ms <= dotsock.timestamp_ms())
    assert(message.timestamp_iso:find("^%d+%-%d%d%-%d%dT"))
    assert(tostring(message):find('"data":{"a":1}', 1, true))
    equal(message:json(), tostring(message))
    equal(message.nonsense, nil)
end)

os.exit(check.finish(), true)
