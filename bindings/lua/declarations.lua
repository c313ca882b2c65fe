-- Writes the declarations of include/dotsock.cdef into dotsock.lua, and the name under which the
-- loader finds a library that fits them.
--
--     luajit declarations.lua            writes them
--     luajit declarations.lua --check    fails when they do not agree, or the rockspec's version

local directory = arg[0]:match("^(.*)/") or "."
local root = directory .. "/../.."

local function read(path)
    local file = assert(io.open(path, "rb"))
    local content = file:read("*a")
    file:close()
    return content
end

local cdef = read(root .. "/include/dotsock.cdef"):gsub("^//[^\n]*\n", ""):gsub("^//[^\n]*\n", "")
local version = assert(read(root .. "/Cargo.toml"):match('\nversion = "([^"]+)"'), "no version")
local major = version:match("^%d+")
local generated = ('local SONAME = "libdotsock.so.%s"\nlocal DECLARATIONS = [[\n%s\n]]\n')
    :format(major, cdef:match("^%s*(.-)%s*$"))

local path = directory .. "/dotsock.lua"
local before = read(path)
local head_end = select(2, assert(before:find("\n%-%- %[declarations[^\n]*\n")))
local tail_start = assert(before:find("%-%- declarations%]\n", head_end))
local after = before:sub(1, head_end) .. generated .. before:sub(tail_start)

if arg[1] ~= "--check" then
    local file = assert(io.open(path, "wb"))
    file:write(after)
    file:close()
elseif not io.open(("%s/dotsock-%s-1.rockspec"):format(directory, version)) then
    io.stderr:write("the rockspec in bindings/lua is not of version " .. version .. "\n")
    os.exit(1)
elseif after ~= before then
    io.stderr:write("bindings/lua/dotsock.lua does not agree with include/dotsock.cdef: "
        .. "run `make -C bindings/lua declarations`\n")
    os.exit(1)
end
