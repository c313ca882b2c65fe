-- JSON with the additions that the README lists, to and from the values of the Lua binding.

local dotsock = require "dotsock"
local ffi = require "ffi"

local json = {}

-- --- Base64 --------------------------------------------------------------------------------------

local DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
local VALUES = {}
for index = 1, 64 do
    VALUES[DIGITS:sub(index, index)] = index - 1
end

local function digit(bits, place)
    local value = math.floor(bits / 64 ^ place) % 64
    return DIGITS:sub(value + 1, value + 1)
end

local function to_base64(bytes)
    return (bytes:gsub("..?.?", function(group)
        local a, b, c = group:byte(1, 3)
        local bits = a * 65536 + (b or 0) * 256 + (c or 0)
        return digit(bits, 3) .. digit(bits, 2)
            .. (b and digit(bits, 1) or "=") .. (c and digit(bits, 0) or "=")
    end))
end

local function from_base64(text)
    return (text:gsub("(.)(.)(.)(.)", function(a, b, c, d)
        local bits = VALUES[a] * 262144 + VALUES[b] * 4096 + (VALUES[c] or 0) * 64
            + (VALUES[d] or 0)
        local bytes = string.char(math.floor(bits / 65536), math.floor(bits / 256) % 256, bits % 256)
        return bytes:sub(1, d ~= "=" and 3 or c ~= "=" and 2 or 1)
    end))
end

-- --- Writing -------------------------------------------------------------------------------------

local write

local function escape(character)
    return ("\\u%04x"):format(character:byte())
end

local function write_text(text)
    return '"' .. text:gsub('[%z\1-\31"\\\127]', escape) .. '"'
end

local function write_number(value)
    if value ~= value then
        return '{"$float": "nan"}'
    elseif value == math.huge or value == -math.huge then
        return ('{"$float": "%s"}'):format(value > 0 and "inf" or "-inf")
    elseif math.floor(value) == value and math.abs(value) <= 2 ^ 53 and 1 / value ~= -math.huge then
        return ("%.0f"):format(value)
    end
    local text = ("%.17g"):format(value)
    return text:find("[.e]") and text or text .. ".0"
end

local function write_array(array)
    local parts = {}
    for index, value in ipairs(array) do
        parts[index] = write(value)
    end
    return "[" .. table.concat(parts, ", ") .. "]"
end

local function write_map(map)
    local only_text, parts = getmetatable(map) ~= dotsock.map, {}
    for key, value in pairs(map) do
        parts[#parts + 1] = (only_text and "%s: %s" or "[%s, %s]"):format(write(key), write(value))
    end
    return (only_text and "{%s}" or '{"$map": [%s]}'):format(table.concat(parts, ", "))
end

local function write_table(value)
    local mark = getmetatable(value)
    if value == dotsock.null then
        return "null"
    elseif mark == dotsock.bin then
        return ('{"$bin": "%s"}'):format(to_base64(value.bytes))
    elseif mark == dotsock.ext then
        return ('{"$ext": [%d, "%s"]}'):format(value.type, to_base64(value.bytes))
    end
    return mark == dotsock.array and write_array(value) or write_map(value)
end

local WRITERS = {
    string = write_text,
    number = write_number,
    table = write_table,
    boolean = tostring,
    cdata = function(value)
        if ffi.istype("double", value) then
            return write_number(tonumber(value))
        end
        return (tostring(value):gsub("U?LL$", ""))
    end,
}

function write(value)
    return WRITERS[type(value)](value)
end

--- The text of an object with these { key, value } pairs, in this order; without those that are nil.
function json.object(pairs_)
    local parts = {}
    for _, pair in ipairs(pairs_) do
        if pair[2] ~= nil then
            parts[#parts + 1] = write_text(pair[1]) .. ": " .. write(pair[2])
        end
    end
    return "{" .. table.concat(parts, ", ") .. "}"
end

-- --- Reading -------------------------------------------------------------------------------------
-- Each reader gets the text and where to begin; and returns a value and where the next begins.

local read

local function after_space(text, at)
    return text:find("[^ \t\r\n]", at) or error("the JSON ends too early", 0)
end

local ESCAPES = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }

local function utf8_of(code)
    if code < 0x80 then
        return string.char(code)
    elseif code < 0x800 then
        return string.char(0xc0 + math.floor(code / 64), 0x80 + code % 64)
    elseif code < 0x10000 then
        return string.char(0xe0 + math.floor(code / 4096), 0x80 + math.floor(code / 64) % 64,
            0x80 + code % 64)
    end
    return string.char(0xf0 + math.floor(code / 262144), 0x80 + math.floor(code / 4096) % 64,
        0x80 + math.floor(code / 64) % 64, 0x80 + code % 64)
end

local function from_surrogates(high, low)
    return utf8_of(0x10000 + (tonumber(high, 16) - 0xd800) * 1024 + tonumber(low, 16) - 0xdc00)
end

local function read_text(text, at)
    local stop = at
    repeat
        stop = text:find('["\\]', stop + 1) or error("a JSON string has no end", 0)
        local escaped = text:byte(stop) == 92
        stop = escaped and stop + 1 or stop
    until not escaped
    local content = text:sub(at + 1, stop - 1)
    if content:find("\\", 1, true) then
        -- A backslash before anything else must not be taken for that of a \u.
        content = content:gsub("\\\\", "\\u005c")
            :gsub("\\u([dD][89abAB]%x%x)\\u([dD][c-fC-F]%x%x)", from_surrogates)
            :gsub("\\u(%x%x%x%x)", function(code) return "\\" .. utf8_of(tonumber(code, 16)) end)
            :gsub("\\(.)", function(character) return ESCAPES[character] or character end)
    end
    return content, stop + 1
end

local function whole(digits)
    local value = 0ULL
    for index = 1, #digits do
        value = value * 10 + (digits:byte(index) - 48)
    end
    return value
end

local function read_number(text, at)
    local literal = text:match("^-?[%d.eE+-]+", at) or error("no JSON at " .. at, 0)
    local value = tonumber(literal)
    if literal:find("[.eE]") then
        value = ffi.new("double", value) -- so that 1.0 stays a float
    elseif math.abs(value) >= 2 ^ 53 then
        value = whole(literal:match("%d+"))
        if literal:sub(1, 1) == "-" then
            value = -ffi.cast("int64_t", value)
        end
    end
    return value, at + #literal
end

local function read_array(text, at)
    local array = dotsock.array {}
    at = after_space(text, at + 1)
    while text:sub(at, at) ~= "]" do
        array[#array + 1], at = read(text, at)
        at = after_space(text, at)
        at = text:sub(at, at) == "," and after_space(text, at + 1) or at
    end
    return array, at + 1
end

-- Boxed, since a NaN that is not is no key of a table.
local FLOATS = {
    nan = ffi.new("double", 0 / 0),
    inf = ffi.new("double", math.huge),
    ["-inf"] = ffi.new("double", -math.huge),
}

local SPECIAL = {
    ["$float"] = function(name) return FLOATS[name] end,
    ["$bin"] = function(text) return dotsock.bin(from_base64(text)) end,
    ["$ext"] = function(pair) return dotsock.ext(tonumber(pair[1]), from_base64(pair[2])) end,
    ["$map"] = function(entries)
        local map = dotsock.map {}
        for _, entry in ipairs(entries) do
            map[entry[1]] = entry[2]
        end
        return map
    end,
}

local function read_object(text, at)
    local object, count, last = {}, 0, nil
    at = after_space(text, at + 1)
    while text:sub(at, at) ~= "}" do
        last, at = read_text(text, at)
        at = after_space(text, at)
        object[last], at = read(text, after_space(text, at + 1))
        count = count + 1
        at = after_space(text, at)
        at = text:sub(at, at) == "," and after_space(text, at + 1) or at
    end
    if count == 1 and SPECIAL[last] then
        return SPECIAL[last](object[last]), at + 1
    end
    return object, at + 1
end

local WORDS = { t = { true, 4 }, f = { false, 5 }, n = { dotsock.null, 4 } }

function read(text, at)
    local first = text:sub(at, at)
    local word = WORDS[first]
    if word then
        return word[1], at + word[2]
    elseif first == '"' then
        return read_text(text, at)
    elseif first == "[" then
        return read_array(text, at)
    elseif first == "{" then
        return read_object(text, at)
    end
    return read_number(text, at)
end

--- The object that a line of text is.
function json.read(line)
    return (read(line, after_space(line, 1)))
end

return json
