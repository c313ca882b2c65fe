-- What the tests share: a directory for sockets, and a way to run them.

local check = { directory = os.getenv("DOTSOCK_SOCKET_DIR") }
local ffi = require "ffi"

pcall(ffi.cdef, "int getpid(void);")

local failures, count = 0, 0

function check.test(name, run)
    local done, problem = xpcall(run, debug.traceback)
    collectgarbage()
    count = count + 1
    if not done then
        failures = failures + 1
        io.stdout:write("FAILED: ", name, ": ", tostring(problem), "\n")
    end
end

--- To be called last: the exit code says whether all went well.
function check.finish()
    io.stdout:write(("%s: %d of %d passed\n"):format(arg and arg[0] or "tests", count - failures,
        count))
    return failures == 0
end

function check.equal(got, expected, what)
    if got ~= expected then
        error(("%s: got %s, expected %s"):format(what or "value", tostring(got),
            tostring(expected)), 2)
    end
end

--- Calls a function that must fail with a sentence that contains these words.
function check.fails(words, ...)
    local done, problem = pcall(...)
    if done then
        error(("it did not fail, but should have with: %s"):format(words), 2)
    elseif not tostring(problem):find(words, 1, true) then
        error(("it failed with: %s, which lacks: %s"):format(tostring(problem), words), 2)
    end
end

--- A name of an event that no other test uses.
function check.event()
    check.events = (check.events or 0) + 1
    return ("lua_%d_%d"):format(ffi.C.getpid(), check.events)
end

--- Runs luajit in the background with a script of tests/lua and arguments.
function check.spawn(...)
    assert(os.execute("luajit " .. table.concat({ ... }, " ") .. " &"))
end

--- Tries a function again and again until it returns something, at most for ten seconds.
function check.wait_for(what, try)
    local pause = "sleep 0.01"
    for _ = 1, 1000 do
        local result = try()
        if result then
            return result
        end
        os.execute(pause)
    end
    error("waited in vain for " .. what, 2)
end

function check.count_descriptors()
    local pipe = io.popen(("ls /proc/%d/fd | wc -l"):format(ffi.C.getpid()))
    local number = tonumber(pipe:read("*l"))
    pipe:close()
    return number
end

--- Resident memory in kibibytes.
function check.memory()
    local file = assert(io.open("/proc/self/status"))
    local content = file:read("*a")
    file:close()
    return tonumber(content:match("VmRSS:%s*(%d+)"))
end

return check
